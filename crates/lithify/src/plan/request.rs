//! What the user wants of each feature. How it is written is in [`notation`](super::notation).

use serde::{Deserialize, Serialize};

use super::chunks::{self, ChunkRequest};
use super::image::{self, FramesRequest, ImageRequest};
use super::notation::split_list;
use crate::audio::Depth;
use crate::decode::{Decode, Dim, View};
use crate::error::{Error, Result, nearest};
use crate::image::geometry::Geometry;
use crate::value::DType;

/// What is wanted of a dataset. Without features: all of them, each by the fit that loses nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The features that are wanted, in this order.
    pub features: Vec<FeatureRequest>,
}

/// What is wanted of one feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeatureRequest {
    /// The feature; empty means the only one there is. With `*`, all whose names fit, and of which nothing else is said.
    pub name: String,
    /// Whether it is left out.
    pub drop: bool,
    /// How it is seen.
    pub view: View,
    /// The fit; by what the feature is, where nothing is said.
    pub fit: Option<FitRequest>,
    /// What is done with images.
    pub image: ImageRequest,
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
    /// How its arrays are cut and encoded in a Zarr store.
    pub chunks: ChunkRequest,
}

/// A fit, as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum FitRequest {
    /// Padded to these sizes, an axis each; `None` is the largest in the dataset.
    Pad(Vec<Option<u64>>),
    /// Values and offsets.
    Ragged,
    /// An array for each range of lengths, given by the largest of each.
    Bucket(Vec<u64>),
    /// So many ranges of lengths, to be chosen by the plan.
    AutoBucket(usize),
    /// Images of one size.
    Resize(Geometry),
}

/// A dtype, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DTypeRequest {
    /// This one.
    Exactly(DType),
    /// Byte strings as wide as the widest.
    WidestBytes,
    /// Texts, each as long as it is. Only Zarr has such arrays.
    Text,
}

/// A key of the notation.
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What its value is called; `None` if it is a flag.
    pub value: Option<&'static str>,
    /// What it does.
    pub about: &'static str,
    /// Values, as examples.
    pub examples: &'static str,
}

impl Key {
    /// What it does, and how it is written.
    #[must_use]
    pub fn help(&self) -> String {
        if self.examples.is_empty() {
            self.about.into()
        } else {
            format!("{}: {}", self.about, self.examples)
        }
    }
}

const fn key(name: &'static str, value: &'static str, about: &'static str, examples: &'static str) -> Key {
    Key { name, value: Some(value), about, examples }
}

const fn flag(name: &'static str, about: &'static str) -> Key {
    Key { name, value: None, about, examples: "" }
}

/// All keys. [`FeatureRequest::set`] gives them their meaning.
pub const KEYS: &[Key] = &[
    key("pad", "SIZE", "Fill up to the longest, or to so many (an axis each)", "`max`, `512`, `32x64`"),
    key("value", "VALUE", "What the padding is, instead of 0", "`-1`"),
    key("side", "SIDE", "Where padding goes, and what is too long is cut", "`right`, `left`"),
    flag("truncate", "Cut what is longer than `pad`, instead of failing"),
    key("lengths", "YES|NO", "Whether true lengths stand beside a padded array", "`yes`, `no`"),
    flag("mask", "Keep which items are data and which are padding"),
    flag("ragged", "No padding: NAME.values.npy and NAME.offsets.npy"),
    key(
        "bucket",
        "LENGTHS",
        "An array for each range of lengths, with the element numbers",
        "`64,128,512`, `auto:4`",
    ),
    key(
        "reshape",
        "SHAPE",
        "The shape of an element; -1 is the rest, a name is what that int64 feature says",
        "`28,28,1`, `height,width,3`",
    ),
    key(
        "decode",
        "AS",
        "What byte strings are; serialized tensors, images and sounds are found without it",
        "`raw:float32`, `raw:int16:big`, `tensor`, `none`; `tf`, `accurate`, `tf:uint16` for images; `audio`, `audio:mono` for sounds",
    ),
    key(
        "dtype",
        "DTYPE",
        "Cast on the way in; a value that does not fit is an error",
        "`int32`, `float16`, `bfloat16`, `S16`, `string` (in Zarr)",
    ),
    flag("saturate", "Clip values that do not fit the dtype, instead of failing"),
    key("default", "VALUE", "What an element has that lacks the feature", "`0`, `1,2,3`"),
    flag("present", "Keep which elements have the feature"),
    key("rename", "NAME", "The name of the arrays", "`image`"),
    flag("drop", "Leave it out, and take the others"),
    key("resize", "SIZE", "Images of one size (height by width), as tf.image.resize", "`224x224`"),
    flag("keep-aspect", "Keep proportions in `resize`; what is left of the row is padding"),
    key("resize-with-pad", "SIZE", "As tf.image.resize_with_pad", "`224x224`"),
    key("resize-with-crop-or-pad", "SIZE", "As tf.image.resize_with_crop_or_pad", "`224x224`"),
    key("shorter-side", "N", "Resize by the shorter side, and keep the middle: `crop`", "`256`"),
    key("crop", "SIZE", "What is kept with `shorter-side`", "`224`"),
    key("central-crop", "PART", "Keep the middle before all else, as tf.image.central_crop", "`0.875`"),
    key(
        "method",
        "METHOD",
        "How to resize, `bilinear` by default",
        "`nearest`, `bicubic`, `area`, `lanczos3`, `lanczos5`, `gaussian`, `mitchellcubic`",
    ),
    flag("antialias", "Smooth what is made smaller, as TensorFlow's `antialias=True`"),
    key("channels", "N", "Channels of decoded images, or of sounds", "`1`, `3`, `4`"),
    key("ratio", "N", "Decode JPEGs at a part of their size, which is faster", "`2`, `4`, `8`"),
    key("exif", "WHAT", "Whether JPEGs are turned as Exif says; TensorFlow does not", "`ignore`, `apply`"),
    key(
        "frames",
        "WHICH",
        "Of animations: the first frame, or all on an axis of their own",
        "`first`, `all`",
    ),
    key("scale", "FACTOR", "Multiply samples; then `mean` is taken off, and divided by `std`", "`1/255`"),
    key("mean", "NUMBERS", "One for all channels, or one for each", "`0.485,0.456,0.406`"),
    key("std", "NUMBERS", "One for all channels, or one for each", "`0.229,0.224,0.225`"),
    key("layout", "LAYOUT", "Whether channels come last or first", "`nhwc`, `nchw`"),
    key(
        "chunk",
        "ROWS",
        "Zarr: rows of a chunk, about 4 MiB by default; or its whole shape",
        "`128`, `128x64x64x3`",
    ),
    key("shard", "ROWS", "Zarr: rows of a shard, which is a file of whole chunks", "`4096`, `none`"),
    key(
        "codec",
        "CODEC",
        "Zarr: how chunks are encoded, `zstd:1` by default",
        "`none`, `zstd:3`, `gzip:6`, `zstd:1+crc32c`",
    ),
];

/// How many buckets `bucket=auto` makes at most.
const AUTO_BUCKETS: usize = 4;

impl FeatureRequest {
    /// Whether byte strings must be images: something is asked of them that only images have.
    #[must_use]
    pub fn asks_for_images(&self) -> bool {
        image::asks_for_images(&self.image, &self.view, self.fit.as_ref())
    }

    /// The dtype of the items of its arrays, where one is named.
    #[must_use]
    pub fn item_dtype(&self) -> Option<DType> {
        if let Some(DTypeRequest::Exactly(dtype)) = self.dtype { Some(dtype) } else { None }
    }

    /// A view of it in which samples of sounds are of the dtype that is wanted, if they can be.
    #[must_use]
    pub fn with_depth(&self, mut view: View) -> View {
        if let (Some(Decode::Audio { depth, .. }), Some(dtype)) = (&mut view.decode, self.item_dtype())
            && *depth == Depth::default()
        {
            *depth = Depth::of(dtype).unwrap_or_default();
        }
        view
    }

    /// Whether byte strings are wanted as they are: to be read as nothing, or to be of a dtype that only they have.
    #[must_use]
    pub fn takes_bytes(&self) -> bool {
        let strings = matches!(
            self.dtype,
            Some(DTypeRequest::WidestBytes | DTypeRequest::Text | DTypeRequest::Exactly(DType::Bytes(_)))
        );
        self.view.decode == Some(Decode::None) || strings && self.view.decode.is_none()
    }

    /// Sets one key of the notation. A flag has no value, or `yes` or `no`.
    ///
    /// # Errors
    /// The key is unknown, its value cannot be understood, or it contradicts what was set before.
    pub fn set(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let needed = || needed(key, value);
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
                    "string" => DTypeRequest::Text,
                    name => DTypeRequest::Exactly(name.parse()?),
                });
            }
            "saturate" => self.saturate = parse_flag(key, value)?,
            "default" => self.default = Some(split_list(needed()?)),
            "lengths" => self.lengths = Some(parse_flag(key, value)?),
            "mask" => self.mask = parse_flag(key, value)?,
            "present" => self.present = parse_flag(key, value)?,
            "drop" => self.drop = parse_flag(key, value)?,
            "rename" => {
                let name = needed()?;
                if name.is_empty() {
                    return Err(Error::request("`rename` wants a name"));
                }
                self.rename = Some(name.to_owned());
            }
            _ if image::set(self, key, value)? => {}
            _ if chunks::set(&mut self.chunks, key, value)? => {}
            _ => {
                if key.is_empty() {
                    return Err(Error::request("there are no blanks around `=`").hint("as in `pad=512`"));
                }
                let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
                let error = Error::request(format!("`{key}` is no key of a feature"));
                return Err(match nearest(key, known.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint(format!("the keys are: {}", known.join(" "))),
                });
            }
        }
        Ok(())
    }

    pub(super) fn set_fit(&mut self, fit: FitRequest) -> Result<()> {
        // Images that are resized may still differ in how many there are.
        let frames = |fit: &FitRequest| FramesRequest::of(fit).filter(|_| self.image.frames.is_none());
        match (self.fit.take(), fit) {
            (None, fit) => self.fit = Some(fit),
            (Some(FitRequest::Resize(size)), fit) | (Some(fit), FitRequest::Resize(size))
                if frames(&fit).is_some() =>
            {
                self.image.frames = frames(&fit);
                self.fit = Some(FitRequest::Resize(size));
            }
            _ => return Err(Error::request("a feature has one fit, and this is a second one")
                .hint("keep one of `pad`, `ragged`, `bucket`, `resize`, `resize-with-pad`, `resize-with-crop-or-pad` and `shorter-side`")),
        }
        Ok(())
    }
}

/// The value of a key that wants one.
pub(super) fn needed<'v>(key: &str, value: Option<&'v str>) -> Result<&'v str> {
    value.ok_or_else(|| Error::request(format!("`{key}` wants a value, as in `{key}=…`")))
}

pub(super) fn parse_flag(key: &str, value: Option<&str>) -> Result<bool> {
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
        if let Some((_, feature)) = twice {
            return Err(Error::request("it is asked for twice")
                .in_feature(&feature.name)
                .hint("convert it a second time, to another output"));
        }
        self.features.iter().try_for_each(|feature| {
            let dropped =
                FeatureRequest { name: feature.name.clone(), drop: true, ..FeatureRequest::default() };
            if feature.drop && *feature != dropped {
                return Err(Error::request("nothing can be asked of what is left out by `drop`")
                    .in_feature(&feature.name));
            }
            if feature.is_pattern() && feature.rename.is_some() {
                return Err(Error::request("`rename` is for one feature").in_feature(&feature.name));
            }
            image::check(&feature.image, &feature.view, feature.fit.as_ref())
                .map_err(|e| e.in_feature(&feature.name))
        })
    }

    /// Whether byte strings are wanted as they are, so that all of their bytes count.
    #[must_use]
    pub fn takes_bytes(&self) -> bool {
        self.features.iter().any(FeatureRequest::takes_bytes)
    }
}
