//! What the user wants of each feature. How it is written is in [`notation`](super::notation).

use serde::{Deserialize, Serialize};

use super::notation::split_list;
use crate::decode::{Decode, Dim, View};
use crate::error::{Error, Result};
use crate::value::DType;

/// What is wanted of a dataset. Without features: all of them, each by the fit that loses nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The features that are wanted, in this order.
    pub features: Vec<FeatureRequest>,
}

/// What is wanted of one feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeatureRequest {
    /// The feature; empty means the only one there is.
    pub name: String,
    /// How it is seen.
    pub view: View,
    /// The fit; by what the feature is, where nothing is said.
    pub fit: Option<FitRequest>,
    /// The padding value.
    pub value: Option<String>,
    /// Whether padding (and truncation) is at the front instead of the end.
    pub left: bool,
    /// Whether what is longer than its row is cut.
    pub truncate: bool,
    /// The dtype of the array.
    pub dtype: Option<DTypeRequest>,
    /// Whether a number that does not fit the dtype is clipped.
    pub saturate: bool,
    /// The values of elements that lack the feature: one for all, or as many as a row has.
    pub default: Option<Vec<String>>,
    /// Whether the true lengths are kept.
    pub lengths: Option<bool>,
    /// Whether a mask of the padding is kept.
    pub mask: bool,
    /// Whether a mask of the elements that have the feature is kept.
    pub present: bool,
    /// The array's name, where it is not the feature's.
    pub rename: Option<String>,
}

/// A fit, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FitRequest {
    /// Padded to these sizes, an axis each; `None` is the largest in the dataset.
    Pad(Vec<Option<u64>>),
    /// Values and offsets.
    Ragged,
    /// An array for each range of lengths, given by the largest of each.
    Bucket(Vec<u64>),
    /// So many ranges of lengths, to be chosen by the plan.
    AutoBucket(usize),
}

/// A dtype, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DTypeRequest {
    /// This one.
    Exactly(DType),
    /// Byte strings as wide as the widest.
    WidestBytes,
}

/// How many buckets `bucket=auto` makes at most.
const AUTO_BUCKETS: usize = 4;

/// The keys, for messages.
const KEYS: &str =
    "pad value side truncate ragged bucket reshape decode dtype saturate default lengths mask present rename";

impl FeatureRequest {
    /// Sets one key of the notation. A flag has no value, or `yes` or `no`.
    ///
    /// # Errors
    /// The key is unknown, its value cannot be understood, or it contradicts what was set before.
    pub fn set(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let needed =
            || value.ok_or_else(|| Error::request(format!("`{key}` wants a value, as in `{key}=…`")));
        match key {
            "pad" => self.set_fit(FitRequest::Pad(parse_sizes(value.unwrap_or("max"))?))?,
            "ragged" => {
                if parse_flag(key, value)? {
                    self.set_fit(FitRequest::Ragged)?;
                }
            }
            "bucket" => self.set_fit(parse_buckets(value.unwrap_or("auto"))?)?,
            "value" => self.value = Some(needed()?.to_owned()),
            "side" => {
                self.left = match needed()? {
                    "left" => true,
                    "right" => false,
                    other => {
                        return Err(Error::request(format!("`side={other}` is unknown"))
                            .hint("use `side=left` or `side=right`"));
                    }
                }
            }
            "truncate" => self.truncate = parse_flag(key, value)?,
            "reshape" => self.view.reshape = Some(parse_dims(needed()?)?),
            "decode" => self.view.decode = Some(needed()?.parse::<Decode>()?),
            "dtype" => {
                self.dtype = Some(match needed()? {
                    "S" => DTypeRequest::WidestBytes,
                    name => DTypeRequest::Exactly(name.parse()?),
                });
            }
            "saturate" => self.saturate = parse_flag(key, value)?,
            "default" => self.default = Some(split_list(needed()?)),
            "lengths" => self.lengths = Some(parse_flag(key, value)?),
            "mask" => self.mask = parse_flag(key, value)?,
            "present" => self.present = parse_flag(key, value)?,
            "rename" => self.rename = Some(needed()?.to_owned()),
            _ => {
                return Err(Error::request(format!("`{key}` is no key of a feature"))
                    .hint(format!("the keys are: {KEYS}")));
            }
        }
        Ok(())
    }

    fn set_fit(&mut self, fit: FitRequest) -> Result<()> {
        match self.fit.replace(fit) {
            None => Ok(()),
            Some(_) => {
                Err(Error::request("`pad`, `ragged` and `bucket` exclude each other")
                    .hint("keep one of them"))
            }
        }
    }
}

fn parse_flag(key: &str, value: Option<&str>) -> Result<bool> {
    match value {
        None | Some("yes" | "true") => Ok(true),
        Some("no" | "false") => Ok(false),
        Some(other) => {
            Err(Error::request(format!("`{key}={other}` is unknown"))
                .hint(format!("use `{key}` or `{key}=no`")))
        }
    }
}

fn parse_number(text: &str) -> Result<u64> {
    text.trim().parse().map_err(|_| Error::request(format!("`{text}` is not a size")))
}

fn parse_sizes(text: &str) -> Result<Vec<Option<u64>>> {
    let bad =
        || Error::request(format!("`pad={text}` is no size")).hint("use `pad=max`, `pad=512` or `pad=32x64`");
    // `max` holds an `x`, which also stands between sizes.
    let sizes = text.replace("max", "*");
    let size = |size: &str| if size == "*" { Ok(None) } else { size.parse().map(Some).map_err(|_| bad()) };
    sizes.split(['x', ',']).map(size).collect()
}

fn parse_buckets(text: &str) -> Result<FitRequest> {
    match text.split_once(':') {
        None if text == "auto" => return Ok(FitRequest::AutoBucket(AUTO_BUCKETS)),
        Some(("auto", count)) => match count.parse() {
            Ok(count @ 1..=64) => return Ok(FitRequest::AutoBucket(count)),
            _ => {
                return Err(Error::request(format!("`bucket=auto:{count}` is not a number of buckets"))
                    .hint("use 1 to 64"));
            }
        },
        _ => {}
    }
    let caps = text.split(',').map(parse_number).collect::<Result<Vec<_>>>()?;
    if caps.is_sorted_by(|a, b| a < b) {
        Ok(FitRequest::Bucket(caps))
    } else {
        Err(Error::request(format!("`bucket={text}`: the lengths must rise"))
            .hint("as in `bucket=64,128,512`"))
    }
}

fn parse_dims(text: &str) -> Result<Vec<Dim>> {
    let dims: Vec<_> = split_list(text.trim_matches(['[', ']', '(', ')']))
        .into_iter()
        .map(|dim| match dim.trim() {
            "-1" => Dim::Rest(-1),
            dim => dim.parse().map_or_else(|_| Dim::Feature(dim.to_owned()), Dim::Size),
        })
        .collect();
    if dims.iter().filter(|dim| matches!(dim, Dim::Rest(_))).count() > 1 {
        return Err(Error::request(format!("`reshape={text}`: only one size can be -1")));
    }
    if dims.contains(&Dim::Feature(String::new())) {
        return Err(
            Error::request(format!("`reshape={text}`: a size is missing")).hint("as in `reshape=28,28,1`")
        );
    }
    Ok(dims)
}

impl Request {
    /// Refuses what cannot be meant, whatever the dataset is.
    ///
    /// # Errors
    /// A feature is asked for twice.
    pub fn check(&self) -> Result<()> {
        let twice = self
            .features
            .iter()
            .enumerate()
            .find(|(at, feature)| self.features[..*at].iter().any(|other| other.name == feature.name));
        twice.map_or(Ok(()), |(_, feature)| {
            Err(Error::request("it is asked for twice")
                .in_feature(&feature.name)
                .hint("convert it a second time, to another output"))
        })
    }

    /// The feature of this name, if it is wanted by name.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<&FeatureRequest> {
        self.features.iter().find(|feature| feature.name == name)
    }

    /// Whether a feature must be looked at: it is wanted, or gives another one its shape.
    #[must_use]
    pub fn looks_at(&self, name: &str) -> bool {
        let named = |feature: &FeatureRequest| {
            feature.name == name
                || feature.name.is_empty()
                || feature.view.shape_features().any(|other| other == name)
        };
        self.features.is_empty() || self.features.iter().any(named)
    }
}
