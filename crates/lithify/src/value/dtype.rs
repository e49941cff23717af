//! What the items of arrays are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, nearest};

/// The type of an array's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[expect(missing_docs, reason = "the names say it")]
pub enum DType {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float16,
    BFloat16,
    Float32,
    Float64,
    Complex64,
    Complex128,
    /// Byte strings of so many bytes, padded with NUL at the end: `NumPy`'s `S`.
    Bytes(u32),
}

const NAMED: [(DType, &str, &str); 15] = [
    (DType::Bool, "bool", "|b1"),
    (DType::Int8, "int8", "|i1"),
    (DType::Int16, "int16", "<i2"),
    (DType::Int32, "int32", "<i4"),
    (DType::Int64, "int64", "<i8"),
    (DType::Uint8, "uint8", "|u1"),
    (DType::Uint16, "uint16", "<u2"),
    (DType::Uint32, "uint32", "<u4"),
    (DType::Uint64, "uint64", "<u8"),
    (DType::Float16, "float16", "<f2"),
    // NumPy has no bfloat16 of its own: two opaque bytes, to be viewed as `ml_dtypes.bfloat16`.
    (DType::BFloat16, "bfloat16", "<V2"),
    (DType::Float32, "float32", "<f4"),
    (DType::Float64, "float64", "<f8"),
    (DType::Complex64, "complex64", "<c8"),
    (DType::Complex128, "complex128", "<c16"),
];

impl DType {
    /// Bytes of one item.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::Int8 | Self::Uint8 => 1,
            Self::Int16 | Self::Uint16 | Self::Float16 | Self::BFloat16 => 2,
            Self::Int32 | Self::Uint32 | Self::Float32 => 4,
            Self::Int64 | Self::Uint64 | Self::Float64 | Self::Complex64 => 8,
            Self::Complex128 => 16,
            Self::Bytes(width) => width as usize,
        }
    }

    /// The `descr` of a `.npy` header.
    #[must_use]
    pub fn descr(self) -> String {
        match self {
            Self::Bytes(width) => format!("|S{width}"),
            _ => {
                NAMED.iter().find(|named| named.0 == self).map(|named| named.2.to_owned()).unwrap_or_default()
            }
        }
    }

    /// The dtype that the `descr` of a `.npy` header, its order of bytes left out, or its name means; `None` of byte strings.
    pub(crate) fn named(text: &str) -> Option<Self> {
        NAMED.iter().find(|named| named.1 == text || &named.2[1..] == text).map(|named| named.0)
    }

    /// Whether it holds whole numbers (or booleans).
    #[must_use]
    pub fn is_integer(self) -> bool {
        !matches!(
            self,
            Self::Float16
                | Self::BFloat16
                | Self::Float32
                | Self::Float64
                | Self::Complex64
                | Self::Complex128
                | Self::Bytes(_)
        )
    }

    /// Whether it holds whole numbers that may be negative.
    #[must_use]
    pub fn is_signed(self) -> bool {
        matches!(self, Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64)
    }

    /// Whether it holds real and imaginary parts.
    #[must_use]
    pub fn is_complex(self) -> bool {
        matches!(self, Self::Complex64 | Self::Complex128)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(width) => write!(f, "S{width}"),
            _ => f.write_str(NAMED.iter().find(|named| named.0 == *self).map_or("", |named| named.1)),
        }
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(named) = NAMED.iter().find(|named| named.1 == text) {
            return Ok(named.0);
        }
        if let Some(width) =
            text.strip_prefix('S').and_then(|width| width.parse().ok()).filter(|width| *width > 0)
        {
            return Ok(Self::Bytes(width));
        }
        let error = Error::request(format!("`{text}` is not a dtype"));
        let names = NAMED.map(|named| named.1);
        // What NumPy calls otherwise, or other languages do.
        let usual = match text {
            "int" | "long" => Some("int64"),
            "float" | "single" => Some("float32"),
            "double" => Some("float64"),
            "half" => Some("float16"),
            "byte" => Some("uint8"),
            _ => Self::named(text)
                .and_then(|dtype| NAMED.iter().find(|named| named.0 == dtype))
                .map(|named| named.1),
        };
        Err(match usual.or_else(|| nearest(text, names)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("use one of {}, or S32 for 32 bytes", names.join(", "))),
        })
    }
}

impl TryFrom<String> for DType {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DType> for String {
    fn from(dtype: DType) -> Self {
        dtype.to_string()
    }
}
