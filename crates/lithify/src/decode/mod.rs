//! What a payload is, and how an element's list becomes numbers of a dtype and a shape.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::audio;
use crate::error::{Error, Result};
use crate::image::{Depth, Dialect};
use crate::value::{DType, Kind, List, Shape};

mod pixels;
mod sound;
pub mod tensor_proto;
mod view;

pub(crate) use pixels::image_axes;
pub use pixels::{ImageFacts, Pixels};
pub use sound::SoundFacts;
pub use view::{Data, Dim, Look, Numbers, Scratch, View};

/// How a feature's bytes are to be read, beyond what its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Decode {
    /// As the list of byte strings it is.
    None,
    /// As the items of a dtype, one after another: `tf.io.decode_raw`.
    Raw {
        /// What the items are.
        dtype: DType,
        /// Whether their most significant byte comes first.
        big_endian: bool,
    },
    /// As a `TensorProto`, with its own dtype and shape: `tf.io.parse_tensor`.
    Tensor,
    /// As an encoded image, of shape (height, width, channels): `tf.io.decode_image`.
    Image {
        /// Whose samples, where decoders differ.
        dialect: Dialect,
        /// Whether samples are 8 bits (uint8) or 16 (uint16).
        depth: Depth,
    },
    /// As an encoded sound, of shape (samples, channels): `tf.audio.decode_wav`.
    Audio {
        /// What samples become.
        depth: audio::Depth,
        /// Whether it has one channel, and no axis for it.
        mono: bool,
    },
}

impl Decode {
    /// As an image, as TensorFlow decodes it by default.
    pub const IMAGE: Self = Self::Image { dialect: Dialect::Tf, depth: Depth::U8 };

    /// As a sound whose samples become of a dtype, if there are such; else of float32.
    #[must_use]
    pub fn audio(dtype: Option<DType>) -> Self {
        Self::Audio { depth: dtype.and_then(audio::Depth::of).unwrap_or_default(), mono: false }
    }
}

impl fmt::Display for Decode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Tensor => f.write_str("tensor"),
            Self::Image { dialect, depth } => {
                f.write_str(match dialect {
                    Dialect::Tf => "tf",
                    Dialect::Accurate => "accurate",
                })?;
                f.write_str(match depth {
                    Depth::U8 => "",
                    Depth::U16 => ":uint16",
                })
            }
            Self::Audio { depth, mono } => {
                f.write_str("audio")?;
                if *depth != audio::Depth::default() {
                    write!(f, ":{}", depth.dtype())?;
                }
                f.write_str(if *mono { ":mono" } else { "" })
            }
            Self::Raw { dtype, big_endian } => {
                write!(f, "raw:{dtype}{}", if *big_endian { ":big" } else { "" })
            }
        }
    }
}

impl FromStr for Decode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split(':').collect::<Vec<_>>()[..] {
            ["none"] => Ok(Self::None),
            ["tensor"] => Ok(Self::Tensor),
            [dialect @ ("tf" | "accurate"), ref depth @ ..] if matches!(depth, [] | ["uint8" | "uint16"]) => {
                Ok(Self::Image {
                    dialect: if dialect == "tf" { Dialect::Tf } else { Dialect::Accurate },
                    depth: if *depth == ["uint16"] { Depth::U16 } else { Depth::U8 },
                })
            }
            ["audio", ref rest @ ..] => {
                let (mono, rest) = match rest {
                    [rest @ .., "mono"] => (true, rest),
                    rest => (false, rest),
                };
                let depth = match rest {
                    [] => Some(audio::Depth::default()),
                    [dtype] => audio::Depth::of(dtype.parse()?),
                    _ => None,
                };
                let depth = depth.ok_or_else(|| {
                    Error::request(format!("`decode={text}` is unknown"))
                        .hint("sounds are decoded as `audio`, `audio:int16`, `audio:int32` or `audio:int64`, with `:mono` for one channel without an axis")
                })?;
                Ok(Self::Audio { depth, mono })
            }
            ["raw", dtype] => Ok(Self::Raw { dtype: dtype.parse()?, big_endian: false }),
            ["raw", dtype, order @ ("big" | "little")] => {
                Ok(Self::Raw { dtype: dtype.parse()?, big_endian: order == "big" })
            }
            _ => Err(Error::request(format!("`decode={text}` is unknown"))
                .hint("use `raw:float32` or `raw:int16:big` for numbers, `tensor` for serialized tensors, `tf`, `accurate` or `tf:uint16` for images, `audio` or `audio:int16` for sounds, `none` for bytes")),
        }
    }
}

impl TryFrom<String> for Decode {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Decode> for String {
    fn from(decode: Decode) -> Self {
        decode.to_string()
    }
}

/// What a byte string looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Content {
    Empty,
    Text,
    Jpeg,
    Png,
    Gif,
    Bmp,
    WebP,
    Tiff,
    Wav,
    Flac,
    Npy,
    /// A serialized `TensorProto`.
    Tensor,
    /// None of these.
    Raw,
}

/// The longest prefix of a byte string that is looked at to call it text, in bytes.
const TEXT_LOOK: usize = 1024;

impl Content {
    /// Looks at a byte string's first bytes; for a tensor, at its whole frame.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Empty,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Self::Tiff,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            // Two letters prove little: the size that the header of a bitmap states must be right, too.
            [b'B', b'M', a, b, c, d, ..] if u32::from_le_bytes([*a, *b, *c, *d]) as usize == bytes.len() => {
                Self::Bmp
            }
            _ => match audio::Format::of(bytes) {
                Some(audio::Format::Wav) => Self::Wav,
                Some(audio::Format::Flac) => Self::Flac,
                None if tensor_proto::parse(bytes).is_ok() => Self::Tensor,
                None if is_text(&bytes[..bytes.len().min(TEXT_LOOK)]) => Self::Text,
                None => Self::Raw,
            },
        }
    }
}

impl Content {
    /// Whether it is an encoded image.
    #[must_use]
    pub fn is_image(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::Bmp | Self::WebP | Self::Tiff)
    }

    /// Whether it is an encoded sound.
    #[must_use]
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Wav | Self::Flac)
    }
}

fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut by the look, not by the writer.
        Err(e) if e.error_len().is_none() && head.len() == TEXT_LOOK => {
            std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or("")
        }
        Err(_) => return false,
    };
    !valid.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// The integers of a list that names sizes.
///
/// # Errors
/// It holds no integers, or negative ones.
fn sizes(list: List<'_>) -> Result<Shape> {
    let mut sizes = Shape::new();
    let mut negative = false;
    match (list.kind, list.items()) {
        (Kind::Int64, _) => {
            for run in list.runs() {
                let run = run.map_err(|bad| Error::input(bad.0))?;
                let whole = crate::source::wire::each_varint(run, |value| {
                    negative |= i64::try_from(value).is_err();
                    sizes.push(value);
                    !negative
                });
                whole.map_err(|_| Error::input("an integer is cut"))?;
            }
        }
        (Kind::Items(dtype), Some((bytes, big_endian))) if dtype.is_integer() => {
            for item in bytes.chunks_exact(dtype.size()) {
                let byte =
                    |at: usize| u64::from(if big_endian { item[item.len() - 1 - at] } else { item[at] });
                negative |= dtype.is_signed() && byte(item.len() - 1) >= 0x80;
                sizes.push((0..item.len()).fold(0, |value, at| value | byte(at) << (8 * at)));
            }
        }
        _ => {
            return Err(Error::request(format!(
                "a shape is made of features of integers, and this is one of {}",
                list.kind
            )));
        }
    }
    if negative {
        return Err(Error::input("a size in a shape is negative"));
    }
    Ok(sizes)
}
