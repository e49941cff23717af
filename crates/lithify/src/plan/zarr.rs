//! What a Zarr array says of itself: its chunks, its fill value, the names of its axes, and where it comes from.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::chunks::{self, Chunks};
use super::codec::{Codec, Compressor};
use super::request::{DTypeRequest, FeatureRequest};
use super::{ArrayPlan, FeaturePlan, Fit, Layout, Role, Rows};
use crate::error::{Change, Error, Result};
use crate::scan::profile::Profile;
use crate::value::DType;

/// What an array is in a Zarr store, beyond its dtype and its shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZarrArray {
    /// Its chunks.
    pub chunks: Chunks,
    /// The item that chunks which are not stored are made of: the padding value, or zero bytes.
    pub fill: Vec<u8>,
    /// Whether its byte strings are stored as texts, each as long as it is. In memory they are filled up with NUL to the width
    /// of their dtype.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub text: bool,
    /// The names of its axes. Within a store, axes of one name have one size.
    pub dimensions: Vec<String>,
    /// Its attributes.
    pub attributes: Map<String, Value>,
}

impl ZarrArray {
    /// Whether the bytes of a chunk on disk are those of its items in memory.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.chunks.codec == Codec { compressor: Compressor::None, crc32c: false } && !self.text
    }
}

/// The name that a feature's arrays have by themselves: names that begin as Zarr's own are not for others, such as `__key__`,
/// which samples of tars have.
pub(super) fn name_of(feature: &str) -> String {
    let free = |part: &str| match part.trim_matches('_') {
        bare if part.starts_with("__") && !bare.is_empty() => bare.to_owned(),
        _ => part.to_owned(),
    };
    feature.split('/').map(free).collect::<Vec<_>>().join("/")
}

/// Says of each array what it is in a Zarr store. `wanted` are the requests, in the order of the features.
pub(super) fn describe(
    profile: &Profile,
    layout: Layout,
    features: &[FeaturePlan],
    wanted: &[&FeatureRequest],
    arrays: &mut [ArrayPlan],
) -> Result<()> {
    let dimensions = dimensions(profile, features, arrays);
    for (array, dimensions) in arrays.iter_mut().zip(dimensions) {
        let feature = &features[array.feature];
        let padded = matches!(array.role, Role::Data | Role::Bucket(_));
        let chunks = chunks::choose(array, &wanted[array.feature].chunks)
            .map_err(|e| e.in_feature(&feature.feature))?;
        if layout == Layout::Zarr2 {
            check_version_2(array, &chunks).map_err(|e| e.in_feature(&feature.feature))?;
        }
        array.zarr = Some(Box::new(ZarrArray {
            chunks,
            text: matches!(array.dtype, DType::Bytes(_))
                && wanted[array.feature].dtype == Some(DTypeRequest::Text),
            fill: if padded { feature.fill.clone() } else { vec![0; array.dtype.size()] },
            dimensions,
            attributes: attributes(array.role, feature, profile),
        }));
    }
    Ok(())
}

/// Refuses what is asked for and only Zarr can do.
pub(super) fn refuse(request: &FeatureRequest) -> Result<()> {
    let text = (request.dtype == Some(DTypeRequest::Text)).then(|| "dtype=string".to_owned());
    match text.or_else(|| chunks::keys(&request.chunks).next().map(|(key, _)| key.to_owned())) {
        None => Ok(()),
        Some(what) => Err(Error::request(format!(
            "`{what}` is for Zarr, and a `.npy` file is one piece of items of one size"
        ))
        .hint("let the name of the output end in `.zarr`")
        .instead(Change::Zarr)),
    }
}

/// Refuses what version 2 of the format does not know.
fn check_version_2(array: &ArrayPlan, chunks: &Chunks) -> Result<()> {
    let what = if chunks.shard.is_some() {
        "shards"
    } else if chunks.codec.crc32c {
        "checksums of chunks"
    } else if array.dtype == DType::BFloat16 {
        "bfloat16"
    } else {
        return Ok(());
    };
    let error = Error::request(format!("there are no {what} in version 2 of Zarr"))
        .hint("use `--store zarr`")
        .instead(Change::Flag("store", Some("zarr".into())));
    Err(match chunks.shard {
        Some(_) => error.hint("or ask for `shard=none`, or for a larger `chunk`"),
        None => error,
    })
}

fn attributes(role: Role, feature: &FeaturePlan, profile: &Profile) -> Map<String, Value> {
    let mut attributes = Map::new();
    attributes.insert("feature".into(), json!(feature.feature));
    attributes.insert("role".into(), json!(role));
    attributes.insert("fit".into(), json!(feature.fit.to_string()));
    if let (Role::Data, Some(classes)) = (role, profile.classes.get(&feature.feature)) {
        attributes.insert("classes".into(), json!(classes));
    }
    if let (Role::Data | Role::Values | Role::Bucket(_), Some(rate)) =
        (role, profile.rates.get(&feature.feature))
    {
        attributes.insert("rate".into(), json!(rate));
    }
    let nested = matches!(feature.fit, Fit::RaggedBytes { nested: true, .. });
    let convention = match role {
        Role::Values | Role::Offsets if nested => Some(
            "string j is values[value_offsets[j]:value_offsets[j+1]]; element i has the strings offsets[i] to offsets[i+1]",
        ),
        Role::ValueOffsets => Some("string j is values[value_offsets[j]:value_offsets[j+1]]"),
        Role::Values | Role::Offsets => Some("element i is values[offsets[i]:offsets[i+1]]"),
        Role::Shapes => Some("element i has the shape shapes[i]"),
        Role::BucketElements(_) => Some("row i is of the element with this number"),
        _ => None,
    };
    if let Some(convention) = convention {
        attributes.insert("convention".into(), json!(convention));
    }
    attributes
}

/// The names of the axes of each array. Readers such as xarray take axes of one name for one axis, and an array that is
/// called as an axis for its coordinates.
fn dimensions(profile: &Profile, features: &[FeaturePlan], arrays: &[ArrayPlan]) -> Vec<Vec<String>> {
    let natural: Vec<Vec<String>> =
        arrays.iter().map(|array| natural(profile, &features[array.feature], array)).collect();
    let mut sizes: HashMap<&str, HashSet<u64>> = HashMap::new();
    for (array, names) in arrays.iter().zip(&natural) {
        for (name, size) in names.iter().zip(&array.shape) {
            sizes.entry(name).or_default().insert(*size);
        }
    }
    let taken: HashSet<&str> = arrays.iter().flat_map(|array| array.name.split('/')).collect();
    let settle = |array: &ArrayPlan, name: &String| {
        let differs = sizes.get(name.as_str()).is_some_and(|sizes| sizes.len() > 1);
        let mut name = if differs { format!("{}_{name}", flat(&array.name)) } else { name.clone() };
        while taken.contains(name.as_str()) {
            name.push('_');
        }
        name
    };
    let settled = |(array, names): (&ArrayPlan, &Vec<String>)| {
        names.iter().map(|name| settle(array, name)).collect::<Vec<_>>()
    };
    arrays.iter().zip(&natural).map(settled).collect()
}

/// A name without what separates groups.
fn flat(name: &str) -> String {
    name.replace('/', "_")
}

/// The names that an array's axes would have if it were alone.
fn natural(profile: &Profile, feature: &FeaturePlan, array: &ArrayPlan) -> Vec<String> {
    let name = flat(&feature.name);
    let first = match (array.rows, array.role) {
        (Rows::Elements, _) => "element".into(),
        (Rows::ElementsAndEnd, _) => "element_bound".into(),
        (Rows::CountedAndEnd(_), _) => format!("{name}_string_bound"),
        (
            _,
            Role::Bucket(bucket)
            | Role::BucketElements(bucket)
            | Role::BucketLengths(bucket)
            | Role::BucketMask(bucket),
        ) => format!("{name}_bucket_{bucket}"),
        _ => format!("{name}_value"),
    };
    let images = matches!(feature.fit, Fit::Resize { .. })
        || profile.feature(&feature.feature).is_some_and(|seen| seen.is_images() && !feature.view.is_plain());
    let axes = array.shape.len() - 1;
    let image_axes: Option<&[&str]> = match (axes, feature.finish.channels_first) {
        (2, _) => Some(&["height", "width"]),
        (3, false) => Some(&["height", "width", "channel"]),
        (3, true) => Some(&["channel", "height", "width"]),
        (4, false) => Some(&["frame", "height", "width", "channel"]),
        (4, true) => Some(&["frame", "channel", "height", "width"]),
        _ => None,
    };
    let others: Vec<String> = match (array.role, image_axes) {
        (Role::Data | Role::Mask, Some(axes)) if images => {
            axes.iter().map(|axis| (*axis).to_owned()).collect()
        }
        (Role::Sizes, _) => vec!["side".into()],
        (Role::Lengths | Role::Shapes, _) => (0..axes).map(|_| format!("{name}_axis")).collect(),
        (Role::Bucket(bucket) | Role::BucketMask(bucket), _) => vec![format!("{name}_bucket_{bucket}_1")],
        _ => (1..=axes).map(|axis| format!("{name}_{axis}")).collect(),
    };
    std::iter::once(first).chain(others).collect()
}
