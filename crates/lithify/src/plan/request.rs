//! What the user wants of each feature, in one notation: the command line, recipe files, saved plans and the library
//! all say `NAME: key=value key=value flag`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
            "default" => self.default = Some(needed()?.split(',').map(str::to_owned).collect()),
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

    /// The name that its arrays have.
    #[must_use]
    pub fn array_name(&self) -> &str {
        self.rename.as_deref().unwrap_or(&self.name)
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
    // `max` holds an `x`, which also stands between sizes.
    text.replace("max", "-1")
        .split(['x', ','])
        .map(|size| if size == "-1" { Ok(None) } else { parse_number(size).map(Some) })
        .collect::<Result<_>>()
        .map_err(|e| e.hint("use `pad=max`, `pad=512` or `pad=32x64`"))
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
    let dims: Vec<_> = text
        .trim_matches(['[', ']', '(', ')'])
        .split(',')
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

impl FromStr for FeatureRequest {
    type Err = Error;

    /// Reads `NAME` or `NAME: key=value …`. The name may hold anything but a colon before a blank.
    fn from_str(text: &str) -> Result<Self> {
        let (name, keys) = text.split_once(": ").unwrap_or((text.trim_end().trim_end_matches(':'), ""));
        let mut request = Self { name: name.trim().to_owned(), ..Self::default() };
        for word in keys.split_whitespace() {
            let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
            request.set(key, value).map_err(|e| e.in_feature(&request.name))?;
        }
        Ok(request)
    }
}

impl fmt::Display for FeatureRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if let Some(decode) = self.view.decode {
            words.push(format!("decode={decode}"));
        }
        if let Some(dims) = &self.view.reshape {
            let dims: Vec<_> = dims
                .iter()
                .map(|dim| match dim {
                    Dim::Size(size) => size.to_string(),
                    Dim::Rest(_) => "-1".into(),
                    Dim::Feature(name) => name.clone(),
                })
                .collect();
            words.push(format!("reshape={}", dims.join(",")));
        }
        match &self.fit {
            None => {}
            Some(FitRequest::Ragged) => words.push("ragged".into()),
            Some(FitRequest::AutoBucket(count)) => words.push(format!("bucket=auto:{count}")),
            Some(FitRequest::Bucket(caps)) => {
                words.push(format!(
                    "bucket={}",
                    caps.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
                ));
            }
            Some(FitRequest::Pad(sizes)) => {
                let sizes: Vec<_> = sizes
                    .iter()
                    .map(|size| size.map_or_else(|| "max".into(), |size| size.to_string()))
                    .collect();
                words.push(format!("pad={}", sizes.join(",")));
            }
        }
        let dtype = self.dtype.map(|dtype| match dtype {
            DTypeRequest::Exactly(dtype) => dtype.to_string(),
            DTypeRequest::WidestBytes => "S".into(),
        });
        let side = self.left.then(|| "left".to_owned());
        let default = self.default.as_ref().map(|values| values.join(","));
        let pairs = [
            ("value", &self.value),
            ("side", &side),
            ("dtype", &dtype),
            ("default", &default),
            ("rename", &self.rename),
        ];
        words.extend(
            pairs.iter().filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}={value}"))),
        );
        if let Some(lengths) = self.lengths {
            words.push(format!("lengths={}", if lengths { "yes" } else { "no" }));
        }
        let flags = [
            ("truncate", self.truncate),
            ("saturate", self.saturate),
            ("mask", self.mask),
            ("present", self.present),
        ];
        words.extend(flags.iter().filter(|flag| flag.1).map(|flag| flag.0.to_owned()));
        f.write_str(&self.name)?;
        if words.is_empty() { Ok(()) } else { write!(f, ": {}", words.join(" ")) }
    }
}

impl TryFrom<String> for FeatureRequest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<FeatureRequest> for String {
    fn from(request: FeatureRequest) -> Self {
        request.to_string()
    }
}

impl Request {
    /// Reads the `[feature.NAME]` tables of a recipe (TOML): the keys of the notation, flags as booleans.
    ///
    /// # Errors
    /// The text is no recipe.
    pub fn from_recipe(text: &str) -> Result<Self> {
        let recipe: toml::Table =
            text.parse().map_err(|e| Error::request(format!("the recipe is not TOML: {e}")))?;
        let mut features = Vec::new();
        for (section, value) in &recipe {
            let ("feature", toml::Value::Table(tables)) = (section.as_str(), value) else {
                return Err(Error::request(format!("`{section}` has no meaning in a recipe"))
                    .hint("a recipe is made of tables like `[feature.tokens]`"));
            };
            for (name, table) in tables {
                features.push(feature_from(name, table).map_err(|e| e.in_feature(name))?);
            }
        }
        Ok(Self { features })
    }

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

fn feature_from(name: &str, table: &toml::Value) -> Result<FeatureRequest> {
    let toml::Value::Table(keys) = table else {
        return Err(Error::request("it must be a table of keys"));
    };
    let mut request = FeatureRequest { name: name.to_owned(), ..FeatureRequest::default() };
    for (key, value) in keys {
        let text = |value: &toml::Value| match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = match value {
            toml::Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
            other => text(other),
        };
        request.set(key, Some(&value))?;
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_comes_back_as_it_was_read() {
        for text in [
            "tokens",
            "tokens: pad=512 value=0 dtype=int32",
            "image/encoded: decode=raw:uint8 reshape=height,width,3 pad=max,max,3 mask",
            "a b: bucket=64,128 lengths=no",
            "x: bucket=auto:3 rename=y",
            "x: ragged default=1,2 present",
            "x: pad=3 side=left truncate saturate",
            "s: dtype=S32",
        ] {
            let request: FeatureRequest = text.parse().unwrap();
            let back: FeatureRequest = request.to_string().parse().unwrap();
            assert_eq!(back, request, "{text} became {request}");
        }
        assert_eq!(
            "t: pad=32x64".parse::<FeatureRequest>().unwrap().fit,
            Some(FitRequest::Pad(vec![Some(32), Some(64)]))
        );
        assert_eq!("t: pad".parse::<FeatureRequest>().unwrap().fit, Some(FitRequest::Pad(vec![None])));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "t: pad=3 ragged",
            "t: bucket=5,4",
            "t: colour=red",
            "t: reshape=-1,-1",
            "t: dtype=float31",
            "t: side=top",
            "t: reshape=3,,4",
        ] {
            assert!(text.parse::<FeatureRequest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_recipe_says_the_same_as_the_command_line() {
        let recipe = "[feature.tokens]\npad = 512\ntruncate = true\nreshape = [2, -1, \"depth\"]\n[feature.\"a/b\"]\ndtype = \"int32\"\n";
        let request = Request::from_recipe(recipe).unwrap();
        assert_eq!(request.features[0].to_string(), "tokens: reshape=2,-1,depth pad=512 truncate");
        assert_eq!(request.features[1], "a/b: dtype=int32".parse().unwrap());
        assert!(Request::from_recipe("[machine]\nx = 1").is_err());
    }
}
