//! `TensorProto`, the bytes that `tf.io.serialize_tensor` makes.
//!
//! ```text
//! 1: dtype   2: shape { 2: dim { 1: size }, repeated   3: unknown rank }   4: tensor_content
//! 5 float  6 double  7 int  8 string  9 complex64  10 int64  11 bool  12 complex128  13 half  16 uint32  17 uint64
//! ```
//! Numbers are in `tensor_content`, little-endian and in C order, or in the field of their type; there, too few values
//! mean that the last one repeats, none that all are zero, and too many that the rest does not count. Strings in
//! `tensor_content`, where a saved dataset has them, are the lengths of all as varints, then the bytes of all.

use crate::source::wire::{self, Wire, each_varint};
use crate::value::{DType, Kind, List, Shape};

/// A tensor as it lies in its bytes.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// The dtype; `None` for strings.
    pub dtype: Option<DType>,
    /// The shape.
    pub shape: Shape,
    /// The values.
    pub values: Values<'a>,
}

/// Where a tensor's values are.
#[derive(Clone, Debug)]
pub enum Values<'a> {
    /// Raw little-endian bytes, in C order.
    Content(&'a [u8]),
    /// Byte strings: the lengths of all as varints, then the bytes of all.
    Strings(&'a [u8]),
    /// In the repeated field of their type, of this number.
    Typed {
        /// The whole message.
        message: &'a [u8],
        /// The field.
        field: u32,
    },
}

/// The dtypes of tensors (`tensorflow/core/framework/types.proto`) that arrays can have, and the field that holds
/// their values.
pub(crate) fn dtype_numbered(number: u64) -> Option<(DType, u32)> {
    Some(match number {
        1 => (DType::Float32, 5),
        2 => (DType::Float64, 6),
        3 => (DType::Int32, 7),
        4 => (DType::Uint8, 7),
        5 => (DType::Int16, 7),
        6 => (DType::Int8, 7),
        8 => (DType::Complex64, 9),
        9 => (DType::Int64, 10),
        10 => (DType::Bool, 11),
        14 => (DType::BFloat16, 13),
        17 => (DType::Uint16, 7),
        18 => (DType::Complex128, 12),
        19 => (DType::Float16, 13),
        22 => (DType::Uint32, 16),
        23 => (DType::Uint64, 17),
        _ => return None,
    })
}

/// The number of the dtype of strings.
pub(crate) const DT_STRING: u64 = 7;

/// Reads a tensor's frame.
///
/// # Errors
/// The bytes are no `TensorProto`, or one that cannot be an array.
pub fn parse(message: &[u8]) -> Result<TensorView<'_>, &'static str> {
    let mut rest = message;
    let (mut dtype, mut shape, mut content) = (None, None, None);
    let mut typed = false;
    while !rest.is_empty() {
        match wire::tag(&mut rest).ok_or("a tag is cut or unknown")? {
            (1, Wire::Varint) => dtype = Some(wire::varint(&mut rest).ok_or("the dtype is cut")?),
            (2, Wire::Bytes) => shape = Some(parse_shape(wire::bytes(&mut rest).ok_or("the shape is cut")?)?),
            (4, Wire::Bytes) => content = Some(wire::bytes(&mut rest).ok_or("the content is cut")?),
            (3, Wire::Varint) => drop(wire::varint(&mut rest).ok_or("the version is cut")?),
            (5..=13 | 16..=17, wire_type) => {
                wire::skip(&mut rest, wire_type).ok_or("the values are cut")?;
                typed = true;
            }
            _ => return Err("it has a field that no tensor has"),
        }
    }
    let number = dtype.ok_or("it has no dtype")?;
    let shape = shape.unwrap_or_default();
    let count = shape.iter().try_fold(1_u64, |n, size| n.checked_mul(*size)).ok_or("its shape is absurd")?;
    if number == DT_STRING {
        let values = match content {
            Some(content) => {
                split(content, count)?;
                Values::Strings(content)
            }
            None if List::of_field(Kind::Bytes, message, 8).count() == Ok(count) => {
                Values::Typed { message, field: 8 }
            }
            None => return Err("it has another number of strings than its shape says"),
        };
        return Ok(TensorView { dtype: None, shape, values });
    }
    let (dtype, field) = dtype_numbered(number).ok_or("its dtype is none that an array can have")?;
    let values = match content.filter(|content| !content.is_empty()) {
        Some(content) if Some(content.len() as u64) == count.checked_mul(dtype.size() as u64) => {
            Values::Content(content)
        }
        Some(_) => return Err("its content has another size than its shape says"),
        // A message as short as `08 01` would be a tensor of one zero: more likely it is something else.
        None if !typed && count != 0 => return Err("it has no values"),
        None => Values::Typed { message, field },
    };
    Ok(TensorView { dtype: Some(dtype), shape, values })
}

/// Splits so many byte strings: gives the varints that are their lengths, and the bytes of all.
///
/// # Errors
/// They do not have as many bytes as the lengths say.
pub(crate) fn split(content: &[u8], count: u64) -> Result<(&[u8], &[u8]), &'static str> {
    let (mut rest, mut bytes) = (content, 0_u64);
    for _ in 0..count {
        let length = wire::varint(&mut rest).ok_or("its strings are cut")?;
        bytes = bytes.checked_add(length).ok_or("its strings are cut")?;
    }
    if bytes != rest.len() as u64 {
        return Err("its strings have another size than their lengths say");
    }
    Ok((&content[..content.len() - rest.len()], rest))
}

/// Adds byte strings, whose lengths come before all of them, to `out` as a list on the wire.
///
/// # Errors
/// They do not have as many bytes as the lengths say.
pub fn push_strings(content: &[u8], count: u64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (mut lengths, mut bytes) = split(content, count)?;
    while !lengths.is_empty() {
        let length = wire::varint(&mut lengths).and_then(|length| usize::try_from(length).ok());
        let (string, rest) =
            length.and_then(|length| bytes.split_at_checked(length)).ok_or("its strings are cut")?;
        wire::push_string(out, string);
        bytes = rest;
    }
    Ok(())
}

/// Reads a shape that is known.
pub(crate) fn parse_shape(mut rest: &[u8]) -> Result<Shape, &'static str> {
    let mut shape = Shape::new();
    while !rest.is_empty() {
        let Some((2, Wire::Bytes)) = wire::tag(&mut rest) else {
            return Err("its shape is unknown or damaged");
        };
        let mut dim = wire::bytes(&mut rest).ok_or("its shape is cut")?;
        let mut size = 0;
        while !dim.is_empty() {
            match wire::tag(&mut dim).ok_or("its shape is cut")? {
                (1, Wire::Varint) => size = wire::varint(&mut dim).ok_or("its shape is cut")?,
                (2, Wire::Bytes) => drop(wire::bytes(&mut dim).ok_or("its shape is cut")?),
                _ => return Err("its shape is damaged"),
            }
        }
        if i64::try_from(size).is_err() || shape.len() == 254 {
            return Err("its shape is absurd");
        }
        shape.push(size);
    }
    Ok(shape)
}

/// Brings typed values into the form that `tensor_content` has, of `bytes` bytes in all.
///
/// # Errors
/// The values are not those of the dtype.
pub fn expand(
    dtype: DType,
    bytes: usize,
    message: &[u8],
    field: u32,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    out.clear();
    let (size, whole) = (dtype.size(), bytes);
    out.try_reserve(whole).map_err(|e| e.to_string())?;
    let mut rest = message;
    while !rest.is_empty() && out.len() < whole {
        let (number, wire_type) = wire::tag(&mut rest).ok_or("a tag is cut")?;
        if number != field {
            wire::skip(&mut rest, wire_type).ok_or("a field is cut")?;
            continue;
        }
        // A value alone and a packed run of values differ only in the length before the run.
        let before = rest;
        let run = if wire_type == Wire::Bytes {
            wire::bytes(&mut rest).ok_or("the values are cut")?
        } else {
            wire::skip(&mut rest, wire_type).ok_or("a value is cut")?;
            &before[..before.len() - rest.len()]
        };
        if matches!(field, 5 | 6 | 9 | 12) {
            out.extend_from_slice(&run[..run.len().min(whole - out.len())]);
        } else {
            each_varint(run, |value| {
                let more = out.len() < whole;
                if more {
                    out.extend_from_slice(&value.to_le_bytes()[..size]);
                }
                more
            })
            .map_err(|_| "the values are cut")?;
        }
    }
    if !out.len().is_multiple_of(size) {
        return Err("a value is cut".into());
    }
    let last = out.len().checked_sub(size).map(|start| out[start..].to_vec());
    while out.len() < whole {
        match &last {
            Some(last) => out.extend_from_slice(last),
            None => out.resize(whole, 0),
        }
    }
    Ok(())
}
