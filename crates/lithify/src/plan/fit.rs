//! Which fit a feature gets, and so the dtype and shape of its rows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::casts;
use super::image::{self, Finish, Frames};
use super::notation::show_name;
use super::request::{DTypeRequest, FeatureRequest, FitRequest};
use super::scalar::item_bytes;
use super::seen::{Seen, Terms, at, see};
use crate::decode::{Decode, View};
use crate::error::{Change, Error, Result};
use crate::image::geometry::Geometry;
use crate::image::resize::Method;
use crate::scan::profile::{FeatureProfile, Profile, Sizes, Witness};
use crate::value::{DType, Kind};

/// Byte strings up to this width become fixed-width items by themselves, longer ones a ragged array.
const SHORT_STRING: u64 = 64;

/// How an element of any shape is made to fill its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// It has the shape of its row.
    Exact {
        /// The shape.
        shape: Vec<u64>,
    },
    /// Each axis is filled up with the padding value.
    Pad {
        /// The shape.
        shape: Vec<u64>,
        /// Whether the padding is at the front.
        left: bool,
        /// Whether what is longer is cut (at the same side).
        truncate: bool,
    },
    /// Its values follow those of the element before.
    Ragged {
        /// The number of axes.
        rank: usize,
        /// The sizes of the axes after the first, where they are the same in all elements: then what follows one another are
        /// items of the first axis, and not single values.
        #[serde(default)]
        row: Vec<u64>,
    },
    /// Its bytes follow those of the element before.
    RaggedBytes {
        /// Whether an element may have other than one byte string.
        nested: bool,
        /// The number of axes.
        rank: usize,
    },
    /// It is padded to the first of these lengths that is not below its own, and goes to that array.
    Bucket {
        /// The lengths, rising.
        caps: Vec<u64>,
        /// Whether the padding is at the front.
        left: bool,
        /// Whether what is longer than the last is cut.
        truncate: bool,
    },
    /// As an image, it is resized, and what it does not cover is padding.
    Resize {
        /// The shape: (height, width), (height, width, channels) or (frames, height, width, channels), or with channels
        /// before height.
        shape: Vec<u64>,
        /// To which size.
        geometry: Geometry,
        /// How.
        method: Method,
        /// Whether shrinking smooths.
        antialias: bool,
        /// What is done about elements that have not all as many.
        #[serde(default)]
        frames: Frames,
    },
}

impl Fit {
    /// Whether it makes several arrays, none of which is *the* array.
    #[must_use]
    pub fn several(&self) -> bool {
        matches!(
            self,
            Self::Ragged { .. }
                | Self::RaggedBytes { .. }
                | Self::Bucket { .. }
                | Self::Resize { frames: Frames::Ragged, .. }
        )
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |left: &bool, truncate: &bool| {
            format!(
                "{}{}",
                if *left { ", at the front" } else { "" },
                if *truncate { ", longer ones cut" } else { "" }
            )
        };
        match self {
            Self::Exact { .. } => f.write_str("exact"),
            Self::Pad { shape, left, truncate } => {
                write!(f, "padded to {}{}", show_shape(shape), end(left, truncate))
            }
            Self::Ragged { .. } | Self::RaggedBytes { .. } => f.write_str("ragged"),
            Self::Bucket { caps, left, truncate } => {
                let caps = caps.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
                write!(f, "in buckets of {caps}{}", end(left, truncate))
            }
            Self::Resize { geometry, method, antialias, frames, .. } => {
                f.write_str(&image::describe(geometry, *method, *antialias, *frames))
            }
        }
    }
}

/// What becomes of a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeaturePlan {
    /// The feature.
    pub feature: String,
    /// The name of its arrays.
    pub name: String,
    /// What it is stored as.
    pub kind: Kind,
    /// What its values are before they are cast; byte strings where there is none.
    pub stored: Option<DType>,
    /// How it is seen.
    pub view: View,
    /// How it fills its rows.
    pub fit: Fit,
    /// What is done with the samples of images.
    pub finish: Finish,
    /// What the arrays hold.
    pub dtype: DType,
    /// Whether a number that does not fit the dtype is clipped.
    pub saturate: bool,
    /// Whether a byte string that is wider than the dtype is cut.
    pub cut_strings: bool,
    /// The padding value: one item.
    pub fill: Vec<u8>,
    /// The row of an element that lacks the feature, if that has one.
    pub default: Option<Vec<u8>>,
    /// Whether the true lengths are kept.
    pub lengths: bool,
    /// Whether a mask of the padding is kept.
    pub mask: bool,
    /// Whether it is kept which elements have the feature.
    pub present: bool,
    /// Whether it is kept how many samples a second each element has: sounds whose rates differ.
    #[serde(default)]
    pub rates: bool,
}

impl FeaturePlan {
    /// Whether it is made of numbers that all elements have.
    pub(super) fn is_of_numbers(&self) -> bool {
        matches!(self.kind, Kind::Items(_)) && !self.present && self.default.is_none()
    }

    /// Whether its elements are lists that are kept as they are.
    pub(super) fn is_list(&self) -> bool {
        matches!(&self.fit, Fit::Ragged { rank: 1, row } if row.is_empty())
    }

    /// The shape of a row, where rows have one.
    #[must_use]
    pub fn row_shape(&self) -> Option<&[u64]> {
        match &self.fit {
            Fit::Exact { shape } | Fit::Pad { shape, .. } | Fit::Resize { shape, .. } => Some(shape),
            _ => None,
        }
    }
}

/// How a default is asked for, for a feature of this dtype; `None` for byte strings.
pub(crate) fn default_hint(dtype: Option<DType>) -> &'static str {
    if dtype.is_some() { "default=0" } else { "default=\"\"" }
}

/// How shapes are written in messages.
pub fn show_shape(shape: &[u64]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// How shapes are given in a request.
pub(super) fn by(shape: &[u64]) -> String {
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x")
}

/// Decides what becomes of a feature.
pub(super) fn plan_feature(
    profile: &Profile,
    feature: &FeatureProfile,
    request: &FeatureRequest,
    terms: &Terms,
) -> Result<FeaturePlan> {
    let &Terms { chosen, single, skip } = terms;
    let kind = feature.kind().ok_or_else(|| match profile.left_out.get(&feature.name) {
        Some(why) => Error::input(format!("it cannot be read: {why}")),
        None => Error::input("no element has a value of it"),
    })?;
    let mut seen = see(profile, feature, request, kind, terms)?;
    let finish = &request.image.finish;
    let sound = matches!(seen.view.decode, Some(Decode::Audio { .. }));
    if sound && (finish.changes() || matches!(request.fit, Some(FitRequest::Resize(_)))) {
        return Err(Error::request(
            "these are sounds, and what is asked of them has a meaning only for images",
        ));
    }
    let resized = match request.fit {
        Some(FitRequest::Resize(geometry)) => {
            let asked = (&request.image, request.truncate);
            Some(image::fit(geometry, asked, seen.dtype, &seen.smallest, &seen.largest)?)
        }
        _ => None,
    };
    if resized.is_none() {
        seen.largest = finish.arranged(&seen.largest);
    }
    if finish.changes() && seen.dtype.is_none() {
        return Err(Error::request("these are byte strings and no images, so that they have no samples"));
    }
    let missing = feature.first_missing.filter(|_| feature.present < profile.elements);
    let uniform = seen.differ.is_none();
    let item = item_dtype(&seen, request, skip)?;
    let asked = request.fit.as_ref();
    let mut present = request.present;

    let fit = match asked {
        Some(FitRequest::Resize(_)) => {
            let needed = !skip && request.image.frames.is_none();
            if let (Some(witness), None, true) = (missing, &request.default, needed) {
                return Err(missing_here(profile, feature, witness, seen.dtype));
            }
            resized.ok_or_else(|| Error::request("there is nothing to resize"))?
        }
        Some(FitRequest::Ragged) => ragged(&seen, item),
        Some(FitRequest::Pad(sizes)) => Fit::Pad {
            shape: padded(&seen, sizes, request, profile, skip)?,
            left: request.left,
            truncate: request.truncate,
        },
        Some(FitRequest::Bucket(caps)) => {
            if let (Some(witness), false) = (missing, present) {
                let error =
                    Error::input("the feature is missing here, and such an element has no row in any bucket");
                return Err(at(profile, witness, error)
                    .hint("keep which elements have it: `present`")
                    .words("present"));
            }
            bucket(&seen, caps, request, skip)?
        }
        Some(FitRequest::AutoBucket(_)) => {
            return Err(Error::request("buckets are chosen before the plan is made"));
        }
        None if uniform
            && item.is_some()
            && (missing.is_none() || request.default.is_some() || chosen || single) =>
        {
            if let (Some(witness), None, false) = (missing, &request.default, skip) {
                return Err(missing_here(profile, feature, witness, seen.dtype));
            }
            Fit::Exact { shape: if seen.scalar { Vec::new() } else { seen.largest.clone() } }
        }
        None if single && request.view.reshape.is_none() && item.is_some() || request.default.is_some() => {
            return Err(varying(profile, feature, &seen, single));
        }
        None => {
            present |= missing.is_some() && !chosen;
            ragged(&seen, item)
        }
    };
    if single && fit.several() {
        return Err(match asked {
            Some(_) => Error::request("this fit makes several arrays, and the output is one file")
                .hint("give a directory as the output: ragged arrays and buckets are several files")
                .instead(Change::Directory),
            None => varying(profile, feature, &seen, single),
        });
    }

    let dtype = match (&fit, item) {
        (Fit::RaggedBytes { .. }, _) => DType::Uint8,
        (_, Some(item)) => item,
        (_, None) => DType::Bytes(width(seen.strings, request)),
    };
    casts::check(seen.dtype, dtype, request)?;
    if matches!(fit, Fit::Resize { .. }) && !finish.normalises() {
        casts::check_resized(seen.dtype, dtype, request)?;
    }
    let mut fill = vec![0; dtype.size()];
    if let Some(value) = &request.value {
        fill = item_bytes(value, dtype)?;
    }
    let default = match (&request.default, &fit) {
        (None, _) => None,
        (Some(values), Fit::Exact { shape } | Fit::Pad { shape, .. } | Fit::Resize { shape, .. })
            if !fit.several() =>
        {
            Some(default_row(values, shape, dtype)?)
        }
        (Some(_), _) => {
            return Err(Error::request("`default` is for rows of one shape")
                .hint("leave it out: a missing feature is an empty row here")
                .words("-default"));
        }
    };
    let padded = matches!(fit, Fit::Pad { .. } | Fit::Bucket { .. });
    let resized = matches!(fit, Fit::Resize { .. });
    if request.mask && !padded {
        return Err(Error::request("`mask` tells padding from data, and nothing is padded here")
            .hint("use `pad`, or `present` for a missing feature")
            .words("-mask"));
    }
    // `truncate` also cuts byte strings to the width that is asked for.
    let cuts = request.truncate
        && !matches!(fit, Fit::Resize { frames: Frames::Padded, .. })
        && !matches!((request.dtype, dtype), (Some(DTypeRequest::Exactly(_)), DType::Bytes(_)));
    for (key, given) in [("truncate", cuts), ("side", request.left), ("value", request.value.is_some())] {
        if given && !padded && !(resized && key == "value") {
            return Err(Error::request(format!("`{key}` has a meaning only with `pad` or `bucket`")));
        }
    }
    Ok(FeaturePlan {
        feature: feature.name.clone(),
        name: request.rename.clone().unwrap_or_else(|| feature.name.clone()),
        kind,
        stored: seen.dtype,
        view: seen.view,
        fit,
        finish: finish.clone(),
        dtype,
        saturate: request.saturate,
        cut_strings: request.truncate,
        fill,
        default,
        lengths: (padded || resized) && request.lengths != Some(false),
        mask: request.mask,
        present,
        rates: sound && !profile.rates.contains_key(&feature.name),
    })
}

fn missing_here(
    profile: &Profile,
    feature: &FeatureProfile,
    witness: Witness,
    dtype: Option<DType>,
) -> Error {
    let (have, all) = (feature.present, profile.elements);
    let default = default_hint(dtype);
    at(
        profile,
        witness,
        Error::input(format!("the feature is missing here; {have} of {all} elements have it")),
    )
    .hint(format!("give what stands for it: `{default}`, and `present` to keep which elements have it"))
    .hint("or give such elements no value: `ragged`, or `ragged present`")
    .words(format!("{default} present"))
    .words(default)
    .words("ragged present")
}

/// The dtype of an item; `None` for byte strings that do not become fixed-width items.
fn item_dtype(seen: &Seen<'_>, request: &FeatureRequest, skip: bool) -> Result<Option<DType>> {
    let strings = seen.dtype.is_none();
    match (request.dtype, seen.dtype) {
        (None, Some(_)) if request.image.finish.normalises() => Ok(Some(DType::Float32)),
        (None, Some(natural)) => Ok(Some(natural)),
        (None, None) => {
            let padded = matches!(request.fit, Some(FitRequest::Pad(_) | FitRequest::Bucket(_)));
            let short = seen.strings.max() <= SHORT_STRING && !seen.ends_in_nul;
            Ok((short || padded).then(|| DType::Bytes(width(seen.strings, request))))
        }
        (Some(DTypeRequest::Text), None) if seen.ends_in_nul => {
            Err(Error::request("some of its byte strings end in NUL, which `dtype=string` would lose")
                .hint("keep them as they are: `ragged`")
                .words("ragged -dtype"))
        }
        (Some(DTypeRequest::WidestBytes | DTypeRequest::Text), None) => {
            Ok(Some(DType::Bytes(width(seen.strings, request))))
        }
        (Some(DTypeRequest::Exactly(dtype @ DType::Bytes(width))), None) => {
            if seen.strings.max() > u64::from(width) && !request.truncate && !skip {
                let longest = seen.strings.max();
                return Err(Error::request(format!(
                    "the longest byte string has {longest} bytes, more than `dtype=S{width}` holds"
                ))
                .hint(format!("use `dtype=S{longest}`, or cut them with `truncate`"))
                .words(format!("dtype=S{longest}")));
            }
            Ok(Some(dtype))
        }
        (Some(DTypeRequest::Exactly(dtype)), Some(_)) if !matches!(dtype, DType::Bytes(_)) => Ok(Some(dtype)),
        (Some(_), _) => {
            let what = if strings { "byte strings" } else { "numbers" };
            Err(Error::request(format!("it holds {what}, which cannot become this dtype"))
                .hint("to read numbers out of byte strings, use `decode=raw:float32` or `decode=tensor`")
                .words("-dtype"))
        }
    }
}

/// Bytes of the widest string, the default among them.
fn width(strings: &Sizes, request: &FeatureRequest) -> u32 {
    let default = request.default.iter().flatten().map(String::len).max().unwrap_or(0);
    // NumPy writes strings of width 0 with width 1.
    u32::try_from(strings.max()).unwrap_or(u32::MAX).max(u32::try_from(default).unwrap_or(u32::MAX)).max(1)
}

fn ragged(seen: &Seen<'_>, item: Option<DType>) -> Fit {
    match item {
        Some(_) => Fit::Ragged {
            rank: seen.largest.len(),
            row: if seen.even { seen.largest.iter().skip(1).copied().collect() } else { Vec::new() },
        },
        None => Fit::RaggedBytes {
            nested: seen.values.min() != 1 || seen.values.max() != 1,
            rank: seen.largest.len(),
        },
    }
}

fn padded(
    seen: &Seen<'_>,
    sizes: &[Option<u64>],
    request: &FeatureRequest,
    profile: &Profile,
    skip: bool,
) -> Result<Vec<u64>> {
    let rank = seen.largest.len();
    // One size is that of the first axis; the others are padded to the largest.
    let sizes = match sizes {
        [one] => [*one].into_iter().chain(std::iter::repeat_n(None, rank.saturating_sub(1))).collect(),
        _ => sizes.to_vec(),
    };
    if rank == 0 {
        let error =
            Error::request("`pad` is for axes, and the feature has one value in each element").words("-pad");
        return Err(match seen.dtype {
            Some(_) => error.hint("leave it out"),
            None => error.hint(
                "byte strings are as wide as the widest by themselves; `dtype=S20` makes them of 20 bytes",
            ),
        });
    }
    if sizes.len() != rank {
        return Err(Error::request(format!(
            "`pad` gives {} sizes, but the feature has {}",
            sizes.len(),
            axes(rank)
        ))
        .hint(format!("give one size an axis, as in `pad={}` or `pad=max`", by(&seen.largest)))
        .words(format!("pad={}", by(&seen.largest))));
    }
    let shape: Vec<u64> =
        sizes.iter().zip(&seen.largest).map(|(size, largest)| size.unwrap_or(*largest)).collect();
    let short = shape.iter().zip(&seen.largest).find(|(size, largest)| size < largest);
    if let (Some((size, largest)), false) = (short, request.truncate || skip) {
        let enough: Vec<u64> = shape.iter().zip(&seen.largest).map(|(size, most)| *size.max(most)).collect();
        let enough = format!("pad={}", by(&enough));
        let error = Error::request(format!(
            "an element has {largest} values on an axis that `pad` makes {size} long"
        ))
        .hint(format!("use `{enough}` or `pad=max`"))
        .hint("or cut longer ones with `truncate`")
        .words(enough);
        return Err(match (rank, seen.values.largest) {
            (1, Some((_, witness))) => at(profile, witness, error),
            _ => error,
        });
    }
    Ok(shape)
}

fn axes(rank: usize) -> String {
    format!("{rank} {}", if rank == 1 { "axis" } else { "axes" })
}

fn bucket(seen: &Seen<'_>, caps: &[u64], request: &FeatureRequest, skip: bool) -> Result<Fit> {
    if seen.largest.len() != 1 {
        return Err(Error::request(format!(
            "buckets are of lengths, and this feature has {}",
            axes(seen.largest.len())
        )));
    }
    let (last, longest) = (caps.last().copied().unwrap_or_default(), seen.largest[0]);
    if longest > last && !request.truncate && !skip {
        return Err(Error::request(format!(
            "an element has {longest} values, more than the {last} of the last bucket"
        ))
        .hint(format!("end the list with {longest}, or cut longer ones with `truncate`"))
        .words(format!(
            "bucket={},{longest}",
            caps.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
        )));
    }
    Ok(Fit::Bucket { caps: caps.to_vec(), left: request.left, truncate: request.truncate })
}

fn varying(profile: &Profile, feature: &FeatureProfile, seen: &Seen<'_>, single: bool) -> Error {
    let name = show_name(&feature.name);
    let error = match &seen.differ {
        Some((one, first, other, second)) => {
            let message =
                format!("elements differ in shape: {one} in element {}, but {other} here", first.element);
            at(profile, *second, Error::request(message))
        }
        None if seen.ends_in_nul => {
            Error::request("a byte string ends in NUL, which NumPy's fixed-width strings lose")
        }
        None => Error::request(format!(
            "its byte strings have up to {} bytes, and no fit is given",
            seen.strings.max()
        )),
    };
    let error = match seen.view.decode {
        Some(Decode::Image { .. }) => {
            let resized = "resize=224x224";
            error.hint(format!("`--feature '{name}: {resized}'` makes images of one size")).words(resized)
        }
        _ => error,
    };
    let error = match seen.dtype {
        None if feature.lengths.max() <= 1 => {
            let error = error.words("dtype=S");
            error.hint(format!("`--feature '{name}: dtype=S'` makes all as wide as the widest"))
        }
        _ => error
            .hint(format!("`--feature '{name}: pad=max'` fills them up to {}", show_shape(&seen.largest)))
            .words("pad=max"),
    };
    let where_to = if single { ", with a directory as the output" } else { "" };
    error
        .hint(format!("`--feature '{name}: ragged'` keeps values and offsets, without padding{where_to}"))
        .words("ragged")
}

fn default_row(values: &[String], shape: &[u64], dtype: DType) -> Result<Vec<u8>> {
    let count = shape.iter().product::<u64>();
    let items = values.iter().map(|value| item_bytes(value, dtype)).collect::<Result<Vec<_>>>()?;
    match &items[..] {
        // One value fills the row when the row is filled: it may be large.
        [one] => Ok(one.clone()),
        items if items.len() as u64 == count => Ok(items.concat()),
        items => {
            let error =
                Error::request(format!("`default` has {} values, but a row has {count}", items.len()));
            Err(error.words(format!("default={}", values[0])))
        }
    }
}
