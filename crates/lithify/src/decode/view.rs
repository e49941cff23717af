//! How one feature of an element is seen: its list, decoded, in a shape.

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::pixels::{Buffers, ImageFacts, Pixels};
use super::sound::{SoundFacts, Wanted};
use super::tensor_proto::{self, Values};
use super::{Decode, sizes};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{BadList, DType, Kind, List, Shape};

/// One axis of a requested shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// So many.
    Size(u64),
    /// As many as the others leave: `-1`.
    Rest(i8),
    /// As the values of this integer feature of the same element say; it may hold several.
    Feature(String),
}

/// How a feature is seen: see [`View::numbers`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// How its bytes are read; by its kind and content where nothing is said.
    pub decode: Option<Decode>,
    /// Its shape, where it is not the one it has.
    pub reshape: Option<Vec<Dim>>,
    /// How images are decoded; of sounds, how many channels are wanted.
    pub pixels: Pixels,
}

/// How much is wanted of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Their dtype and shape: an image is not decoded, and has no values.
    Outline,
    /// The values, too.
    Values,
}

/// Memory that is used again from element to element. One per thread.
#[derive(Default)]
pub struct Scratch {
    pub(super) bytes: Vec<u8>,
    /// The images of a list.
    pub(super) frames: Vec<u8>,
    pub(super) image: crate::image::Scratch,
}

/// A feature of one element, with its dtype and shape; the values still as they are stored.
#[derive(Clone, Debug)]
pub struct Numbers<'a> {
    /// What the values are; `None` for byte strings.
    pub dtype: Option<DType>,
    /// The shape; its product is the number of values.
    pub shape: Shape,
    /// The values.
    pub data: Data<'a>,
    /// What else is known, if it is a decoded image: its last axis are channels.
    pub image: Option<ImageFacts>,
    /// The same, if it is a decoded sound.
    pub sound: Option<SoundFacts>,
}

/// Values, as they are stored.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// On the wire: floats, varints or byte strings.
    List(List<'a>),
    /// Items one after another.
    Raw {
        /// The bytes.
        bytes: &'a [u8],
        /// Whether each item's most significant byte comes first.
        big_endian: bool,
    },
}

impl<'a> Data<'a> {
    /// Items as they lie in this machine's memory.
    #[must_use]
    pub fn native(bytes: &'a [u8]) -> Self {
        Self::Raw { bytes, big_endian: cfg!(target_endian = "big") }
    }
}

fn bad_list(bad: BadList) -> Error {
    Error::input(format!("the feature is damaged: {}", bad.0))
}

impl View {
    /// Whether the list is seen as it is stored, in one axis.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.decode, None | Some(Decode::None)) && self.reshape.is_none()
    }

    /// This one, or where it says nothing what is declared. What is declared of an image holds for it in whatever way it is decoded.
    #[must_use]
    pub fn or(&self, declared: Option<&Self>) -> Self {
        let Some(declared) = declared else { return self.clone() };
        match self.decode {
            None => {}
            Some(Decode::Image { .. }) => {
                return Self { pixels: self.pixels.or(&declared.pixels), ..self.clone() };
            }
            Some(_) => return self.clone(),
        }
        let reshape = self.reshape.as_ref().or(declared.reshape.as_ref()).cloned();
        Self { decode: declared.decode, reshape, pixels: self.pixels.or(&declared.pixels) }
    }

    /// The features whose values give the shape.
    pub fn shape_features(&self) -> impl Iterator<Item = &str> {
        self.reshape.iter().flatten().filter_map(|dim| match dim {
            Dim::Feature(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Sees `list` in its dtype and shape. `sibling` gives other features of the same element by name. Typed values of
    /// tensors and samples of images and sounds are put into `scratch`, and may take `most` bytes.
    ///
    /// # Errors
    /// The bytes are not what they are to be decoded as, or there are more or fewer values than the shape wants.
    pub fn numbers<'a>(
        &self,
        list: List<'a>,
        sibling: &dyn Fn(&str) -> Option<List<'a>>,
        look: Look,
        scratch: &'a mut Scratch,
        most: u64,
    ) -> Result<Numbers<'a>> {
        let mut numbers = match self.decode {
            None | Some(Decode::None) => {
                let shape = if let Some(shape) = list.shape() {
                    shape.into()
                } else {
                    smallvec![list.count().map_err(bad_list)?]
                };
                let data = match list.items() {
                    Some((bytes, big_endian)) => Data::Raw { bytes, big_endian },
                    None => Data::List(list),
                };
                Numbers { dtype: list.dtype(), shape, data, image: None, sound: None }
            }
            Some(Decode::Image { dialect, depth }) => {
                let how = (dialect, depth);
                if let Some(outer @ [_, ..]) = list.shape() {
                    self.pixels.list(list, outer, how, look, scratch, most)?
                } else {
                    let buffers = Buffers { cut: &mut scratch.bytes, image: &mut scratch.image };
                    self.pixels.numbers(payload(list)?, how, look, buffers, most)?
                }
            }
            Some(Decode::Audio { depth, mono }) => {
                let (wanted, payload) =
                    (Wanted { depth, mono, channels: self.pixels.channels }, payload(list)?);
                let total = payload.len() as u64 + list.unread();
                wanted.numbers(payload, total, look, &mut scratch.bytes, most)?
            }
            Some(Decode::Raw { dtype, big_endian }) => raw(payload(list)?, dtype, big_endian)?,
            Some(Decode::Tensor) => tensor(payload(list)?, &mut scratch.bytes, most)?,
        };
        if let Some(dims) = &self.reshape {
            let undecoded = self.decode.is_none() && numbers.dtype.is_none();
            numbers.shape = reshaped(dims, numbers.shape.iter().product(), sibling).map_err(|error| {
                if undecoded {
                    error.hint("to read numbers out of byte strings, say what they are: `decode=raw:uint8`")
                } else {
                    error
                }
            })?;
        }
        Ok(numbers)
    }
}

fn payload(list: List<'_>) -> Result<&[u8]> {
    if list.kind != Kind::Bytes {
        return Err(Error::request(format!(
            "only byte strings can be decoded, and this feature holds {}",
            list.kind
        )));
    }
    let count = || list.count().map_err(bad_list);
    match list.single() {
        Some(payload) => Ok(payload),
        None => {
            Err(Error::input(format!("one byte string is wanted to be decoded, and there are {}", count()?)))
        }
    }
}

fn raw(payload: &[u8], dtype: DType, big_endian: bool) -> Result<Numbers<'_>> {
    if !payload.len().is_multiple_of(dtype.size()) {
        let (length, size) = (payload.len(), dtype.size());
        return Err(Error::input(format!(
            "{length} bytes are no whole number of {dtype} ({size} bytes each)"
        )));
    }
    let shape = smallvec![(payload.len() / dtype.size()) as u64];
    Ok(Numbers {
        dtype: Some(dtype),
        shape,
        data: Data::Raw { bytes: payload, big_endian },
        image: None,
        sound: None,
    })
}

fn tensor<'a>(payload: &'a [u8], scratch: &'a mut Vec<u8>, most: u64) -> Result<Numbers<'a>> {
    let tensor = tensor_proto::parse(payload)
        .map_err(|why| Error::input(format!("the byte string is no serialized tensor: {why}")))?;
    let data = match (tensor.values, tensor.dtype) {
        (Values::Content(bytes), _) => Data::Raw { bytes, big_endian: false },
        (Values::Strings(content), _) => {
            scratch.clear();
            let count = tensor.shape.iter().product();
            tensor_proto::push_strings(content, count, scratch).map_err(Error::input)?;
            Data::List(List::of_field(Kind::Bytes, scratch, 1))
        }
        (Values::Typed { message, field }, None) => Data::List(List::of_field(Kind::Bytes, message, field)),
        (Values::Typed { message, field }, Some(dtype)) => {
            let bytes =
                tensor.shape.iter().fold(dtype.size() as u64, |bytes, size| bytes.saturating_mul(*size));
            let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| *bytes as u64 <= most) else {
                let message = format!(
                    "a tensor has {bytes} bytes, more than the {most} that the memory budget leaves for one"
                );
                return Err(
                    Error::new(ErrorKind::Resources, message).hint("give more memory with `--memory`")
                );
            };
            tensor_proto::expand(dtype, bytes, message, field, scratch).map_err(Error::input)?;
            Data::Raw { bytes: scratch, big_endian: false }
        }
    };
    Ok(Numbers { dtype: tensor.dtype, shape: tensor.shape, data, image: None, sound: None })
}

fn reshaped<'a>(dims: &[Dim], count: u64, sibling: &dyn Fn(&str) -> Option<List<'a>>) -> Result<Shape> {
    let mut shape = Shape::new();
    let mut rest = None;
    for dim in dims {
        match dim {
            Dim::Size(size) => shape.push(*size),
            Dim::Rest(_) => {
                rest = Some(shape.len());
                shape.push(1);
            }
            Dim::Feature(name) => {
                let list = sibling(name).ok_or_else(|| {
                    Error::input(format!("feature `{name}`, which gives the shape, is missing here"))
                })?;
                shape.extend(sizes(list).map_err(|e| e.in_feature(name))?);
            }
        }
    }
    let known = shape.iter().try_fold(1_u64, |n, size| n.checked_mul(*size));
    match (known, rest) {
        (Some(known), None) if known == count => Ok(shape),
        (Some(known), Some(axis)) if known > 0 && count.is_multiple_of(known) => {
            shape[axis] = count / known;
            Ok(shape)
        }
        _ => {
            let wanted: Vec<_> = shape
                .iter()
                .enumerate()
                .map(|(i, n)| if rest == Some(i) { "-1".into() } else { n.to_string() })
                .collect();
            Err(Error::input(format!("{count} values do not fill a shape of ({})", wanted.join(", "))))
        }
    }
}

impl<'a> Numbers<'a> {
    /// Items of the first axis, where there are several.
    #[must_use]
    pub fn rows(&self) -> u64 {
        if let [rows, _, ..] = self.shape[..] { rows } else { 0 }
    }

    /// Bytes of the values, where they are byte strings.
    #[must_use]
    pub fn string_bytes(&self) -> u64 {
        let unread = if let Data::List(list) = self.data { list.unread() } else { 0 };
        self.strings().map(|string| string.len() as u64).sum::<u64>() + unread
    }

    /// The values, where they are byte strings.
    pub fn strings(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let list = match self.data {
            Data::List(list) if list.kind == Kind::Bytes => Some(list),
            _ => None,
        };
        list.into_iter().flat_map(|list| list.runs().flatten())
    }
}
