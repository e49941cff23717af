//! Numbers of any dtype: read from text, and cast from one to another.

use half::{bf16, f16};

use crate::error::{Error, Result};
use crate::value::DType;

/// A number between two dtypes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number: both 64-bit kinds fit.
    Int(i128),
    /// Any other.
    Float(f64),
}

/// A Rust type that is the item of an array.
pub trait Item: Copy + Sized {
    /// Bytes of an item.
    const SIZE: usize;
    /// The largest finite value, about.
    const LARGEST: f64;
    /// From its little-endian bytes.
    fn read(bytes: &[u8]) -> Self;
    /// To its little-endian bytes.
    fn write(self, bytes: &mut [u8]);
    /// As a number.
    fn number(self) -> Number;
    /// From a number. One that does not fit gives `None`, or with `saturate` the nearest that does. A float becomes an
    /// integer only if it is whole, or with `saturate` by dropping its fraction, as `tf.saturate_cast` does; floats are
    /// rounded to the nearest, as every cast does.
    fn from_number(number: Number, saturate: bool) -> Option<Self>;
    /// The same from a stored integer, where it can be done faster.
    #[inline]
    fn from_i64(whole: i64, saturate: bool) -> Option<Self> {
        Self::from_number(Number::Int(i128::from(whole)), saturate)
    }
}

macro_rules! integer_item {
    ($($type:ty),*) => {$(
        impl Item for $type {
            const SIZE: usize = size_of::<Self>();
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless, reason = "about, and not every type loses")]
            const LARGEST: f64 = Self::MAX as f64;

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().unwrap_or_default())
            }

            #[inline]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn number(self) -> Number {
                Number::Int(i128::from(self))
            }

            #[inline]
            fn from_number(number: Number, saturate: bool) -> Option<Self> {
                let whole = match number {
                    Number::Int(whole) => whole,
                    Number::Float(float) if float.is_nan() => return None,
                    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and what does not fit is found below")]
                    Number::Float(float) if saturate || float.fract() == 0.0 => float as i128,
                    Number::Float(_) => return None,
                };
                match Self::try_from(whole) {
                    Ok(item) => Some(item),
                    Err(_) if saturate => Some(if whole < 0 { Self::MIN } else { Self::MAX }),
                    Err(_) => None,
                }
            }

            #[inline]
            fn from_i64(whole: i64, saturate: bool) -> Option<Self> {
                match Self::try_from(whole) {
                    Ok(item) => Some(item),
                    Err(_) if saturate => Self::from_number(Number::Int(i128::from(whole)), true),
                    Err(_) => None,
                }
            }
        }
    )*};
}

integer_item!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! float_item {
    ($($type:ty, $read:expr, $int:expr, $write:expr, $largest:expr, $largest_f64:expr);*) => {$(
        impl Item for $type {
            const SIZE: usize = size_of::<Self>();
            const LARGEST: f64 = $largest_f64;

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().unwrap_or_default())
            }

            #[inline]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn number(self) -> Number {
                Number::Float($read(self))
            }

            #[inline]
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::redundant_closure_call,
                reason = "floats round, and the closures are the macro's arguments; not every type needs each"
            )]
            fn from_number(number: Number, saturate: bool) -> Option<Self> {
                let cast: Self = match number {
                    Number::Int(whole) => $int(whole),
                    Number::Float(float) => $write(float),
                };
                let overflows = cast.is_infinite() && !matches!(number, Number::Float(float) if float.is_infinite());
                match (overflows, saturate) {
                    (false, _) => Some(cast),
                    (true, true) => Some(if cast.is_sign_negative() { -$largest } else { $largest }),
                    (true, false) => None,
                }
            }
        }
    )*};
}

// TensorFlow rounds to a half float by way of a float.
float_item!(
    f16, f64::from, |whole| f16::from_f32(whole as f32), |float| f16::from_f32(float as f32), f16::MAX, f16::MAX.to_f64_const();
    bf16, f64::from, |whole| bf16::from_f32(whole as f32), |float| bf16::from_f32(float as f32), bf16::MAX, bf16::MAX.to_f64_const();
    f32, f64::from, |whole| whole as f32, |float| float as f32, f32::MAX, f32::MAX as f64;
    f64, |float| float, |whole| whole as f64, |float: f64| float, f64::MAX, f64::MAX
);

/// A boolean byte, kept as it is where it comes from booleans; a number is true unless it is zero.
#[derive(Clone, Copy)]
pub struct Truth(u8);

impl Item for Truth {
    const SIZE: usize = 1;
    const LARGEST: f64 = 1.0;

    fn read(bytes: &[u8]) -> Self {
        Self(bytes.first().copied().unwrap_or_default())
    }

    fn write(self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }

    fn number(self) -> Number {
        Number::Int(i128::from(self.0 != 0))
    }

    fn from_number(number: Number, _: bool) -> Option<Self> {
        Some(Self(u8::from(number != Number::Int(0) && number != Number::Float(0.0))))
    }
}

/// Calls a generic function with the item type of a dtype: `with_item!(dtype, Item => expression, else => other)`.
macro_rules! with_item {
    ($dtype:expr, $item:ident => $body:expr, else => $other:expr) => {
        $crate::plan::scalar::with_item!(
            $dtype, $item, $body, $other;
            Bool $crate::plan::scalar::Truth, Int8 i8, Int16 i16, Int32 i32, Int64 i64, Uint8 u8, Uint16 u16,
            Uint32 u32, Uint64 u64, Float16 half::f16, BFloat16 half::bf16, Float32 f32, Float64 f64
        )
    };
    ($dtype:expr, $item:ident, $body:expr, $other:expr; $($variant:ident $type:ty),*) => {
        match $dtype {
            $($crate::value::DType::$variant => {
                type $item = $type;
                $body
            })*
            $crate::value::DType::Complex64 | $crate::value::DType::Complex128 | $crate::value::DType::Bytes(_) => $other,
        }
    };
}
pub(crate) use with_item;

/// The bytes of an item that is written as text.
///
/// # Errors
/// It is no value of the dtype.
pub(super) fn item_bytes(text: &str, dtype: DType) -> Result<Vec<u8>> {
    let bad = || Error::request(format!("`{text}` is no value of {dtype}"));
    let mut bytes = vec![0; dtype.size()];
    if let DType::Bytes(_) = dtype {
        let there = text.as_bytes();
        bytes.get_mut(..there.len()).ok_or_else(bad)?.copy_from_slice(there);
        return Ok(bytes);
    }
    let number = match text {
        "true" | "True" => Number::Int(1),
        "false" | "False" => Number::Int(0),
        _ => match text.parse::<i128>() {
            Ok(whole) => Number::Int(whole),
            Err(_) => match text.parse::<f64>() {
                // `1e400` is no infinity that anyone asked for.
                Ok(float) if float.is_finite() || !text.contains(|letter: char| letter.is_ascii_digit()) => {
                    Number::Float(float)
                }
                _ => return Err(bad()),
            },
        },
    };
    match dtype {
        DType::Complex64 => f32::from_number(number, false).ok_or_else(bad)?.write(&mut bytes[..4]),
        DType::Complex128 => f64::from_number(number, false).ok_or_else(bad)?.write(&mut bytes[..8]),
        _ => {
            with_item!(dtype, T => T::from_number(number, false).ok_or_else(bad)?.write(&mut bytes), else => {});
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_are_exact_or_refused() {
        assert_eq!(i8::from_number(Number::Int(128), false), None);
        assert_eq!(i8::from_number(Number::Int(128), true), Some(127));
        assert_eq!(u8::from_number(Number::Float(2.5), false), None);
        assert_eq!(u8::from_number(Number::Float(-2.5), true), Some(0));
        assert_eq!(u64::from_number(Number::Int(i128::from(u64::MAX)), false), Some(u64::MAX));
        assert_eq!(i64::from_number(Number::Float(f64::NAN), true), None);
        assert_eq!(f16::from_number(Number::Float(1e6), false), None);
        assert_eq!(f16::from_number(Number::Float(1e6), true), Some(f16::MAX));
        assert_eq!(f16::from_number(Number::Float(f64::INFINITY), false), Some(f16::INFINITY));
        assert_eq!(f32::from_number(Number::Int(16_777_217), false), Some(16_777_216.0));
    }

    #[test]
    fn values_are_read_for_their_dtype() {
        assert_eq!(item_bytes("-1", DType::Int16).unwrap(), [255, 255]);
        assert_eq!(item_bytes("1", DType::Float32).unwrap(), 1.0_f32.to_le_bytes());
        assert_eq!(item_bytes("ab", DType::Bytes(3)).unwrap(), b"ab\0");
        assert!(item_bytes("-1", DType::Uint8).is_err() && item_bytes("abcd", DType::Bytes(3)).is_err());
    }
}
