//! What a file of a sample holds, by the last part of its ending.

use std::io::Read;
use std::ops::Range;

use serde_json::Value;

use crate::source::columns::push_strings;
use crate::source::npy::header::{Header, Item};
use crate::source::npy::to_c_order;
use crate::value::{DType, Field, Form, Kind};

/// Bytes of a sample, and the sizes of the axes of its arrays.
#[derive(Default)]
pub(super) struct Store {
    pub bytes: Vec<u8>,
    pub sizes: Vec<u64>,
}

impl Store {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.sizes.clear();
    }
}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Integer,
    Json,
    Npy,
    Bytes,
}

const GZ: &[u8] = b".gz";

impl Reading {
    /// How files of this ending are read, once they are decompressed.
    pub(super) fn of(extension: &[u8]) -> Self {
        let extension = extension.strip_suffix(GZ).unwrap_or(extension);
        match extension.rsplit(|byte| *byte == b'.').next().unwrap_or_default() {
            b"cls" | b"cls2" | b"index" | b"inx" | b"id" => Self::Integer,
            b"json" | b"jsn" => Self::Json,
            b"npy" => Self::Npy,
            _ => Self::Bytes,
        }
    }
}

/// What JSON becomes that is a number, or lists of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Integers,
    Floats,
}

impl Json {
    /// What holds one and the other; nothing but text does, where either is no number.
    pub(super) fn both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one?, other?) {
            (Self::Integers, Self::Integers) => Some(Self::Integers),
            _ => Some(Self::Floats),
        }
    }

    fn dtype(self) -> DType {
        match self {
            Self::Integers => DType::Int64,
            Self::Floats => DType::Float64,
        }
    }
}

/// What a text of JSON would become. One that is compressed is kept as it is.
pub(super) fn json_of(extension: &[u8], text: &[u8]) -> Option<Json> {
    if extension.ends_with(GZ) {
        return None;
    }
    numbers_of(&serde_json::from_slice(text).ok()?, &mut Vec::new(), 0, &mut |_| {})
}

/// Gives each number of a value in order, and the sizes of the axes of the lists around them; `None` where it has anything
/// else, or lists of several lengths.
fn numbers_of(
    value: &Value,
    sizes: &mut Vec<usize>,
    depth: usize,
    each: &mut dyn FnMut(&Value),
) -> Option<Json> {
    match value {
        Value::Number(number) if depth == sizes.len() => {
            each(value);
            let whole = number.as_i64().is_some();
            // A float that looks like an integer is one of a larger number than fits.
            (whole || number.is_f64()).then_some(if whole { Json::Integers } else { Json::Floats })
        }
        Value::Array(items) => {
            let first = sizes.len() == depth;
            if first {
                sizes.push(items.len());
            }
            if sizes[depth] != items.len() {
                return None;
            }
            let mut kind = None;
            for (place, item) in items.iter().enumerate() {
                // Only the first item of the first list may open an axis.
                if place > 0 && matches!(item, Value::Array(_)) && sizes.len() == depth + 1 {
                    return None;
                }
                let found = numbers_of(item, sizes, depth + 1, each)?;
                kind = Some(kind.map_or(found, |kind| if kind == found { kind } else { Json::Floats }));
            }
            // An empty list is one of floats, as NumPy has it; none of it can be an integer.
            kind.or(Some(Json::Floats))
        }
        _ => None,
    }
}

/// Reads a file, which is the last of the bytes, as a field without a name.
///
/// # Errors
/// It is not what its ending says; why.
pub(super) fn read(
    extension: &[u8],
    json: Option<Json>,
    store: &mut Store,
    mut body: Range<usize>,
    largest: u64,
) -> Result<Field, String> {
    if extension.ends_with(GZ) {
        body = inflated(store, body, largest)?;
    }
    match Reading::of(extension) {
        Reading::Integer => {
            let text = std::str::from_utf8(&store.bytes[body]).ok().map(str::trim);
            let value: Option<i64> = text.and_then(|text| text.parse().ok());
            let value = value.ok_or("it holds no integer of 64 bits")?;
            let start = store.bytes.len();
            store.bytes.extend_from_slice(&value.to_le_bytes());
            Ok(items(store, DType::Int64, &[], start))
        }
        Reading::Json => match json {
            None => Ok(Field::string(0..0, body)),
            Some(json) => numbers(store, body, json),
        },
        Reading::Npy => array(store, body),
        Reading::Bytes => Ok(Field::string(0..0, body)),
    }
}

/// Little-endian items, which are all bytes from `start` on.
fn items(store: &mut Store, dtype: DType, shape: &[u64], start: usize) -> Field {
    let first = store.sizes.len();
    store.sizes.extend_from_slice(shape);
    Field {
        name: 0..0,
        kind: Some(Kind::Items(dtype)),
        body: start..store.bytes.len(),
        form: Form::Items { big_endian: false },
        shape: Some(first..store.sizes.len()),
    }
}

fn inflated(store: &mut Store, body: Range<usize>, largest: u64) -> Result<Range<usize>, String> {
    let most = largest.saturating_sub(store.bytes.len() as u64);
    let mut out = Vec::new();
    let mut stream = flate2::bufread::MultiGzDecoder::new(&store.bytes[body]).take(most.saturating_add(1));
    stream.read_to_end(&mut out).map_err(|e| format!("it cannot be decompressed: {e}"))?;
    if out.len() as u64 > most {
        return Err(format!("decompressed, it has more than the {most} bytes that the memory budget leaves"));
    }
    let start = store.bytes.len();
    store.bytes.extend_from_slice(&out);
    Ok(start..store.bytes.len())
}

fn numbers(store: &mut Store, body: Range<usize>, json: Json) -> Result<Field, String> {
    let wanted = match json {
        Json::Integers => {
            "it is no integer, nor lists of such that are equally long, as the JSON of the first samples is"
        }
        Json::Floats => {
            "it is no number, nor lists of such that are equally long, as the JSON of the first samples is"
        }
    };
    let value: Value =
        serde_json::from_slice(&store.bytes[body]).map_err(|e| format!("it is no JSON: {e}"))?;
    let start = store.bytes.len();
    let mut sizes = Vec::new();
    let bytes = &mut store.bytes;
    let found = numbers_of(&value, &mut sizes, 0, &mut |number| {
        let item = match json {
            Json::Integers => number.as_i64().unwrap_or_default().to_le_bytes(),
            Json::Floats => number.as_f64().unwrap_or_default().to_le_bytes(),
        };
        bytes.extend_from_slice(&item);
    });
    let empty = bytes.len() == start;
    if found.is_none_or(|found| Json::both(Some(found), Some(json)) != Some(json) && !empty) {
        return Err(wanted.into());
    }
    let shape: Vec<u64> = sizes.into_iter().map(|size| size as u64).collect();
    Ok(items(store, json.dtype(), &shape, start))
}

fn array(store: &mut Store, body: Range<usize>) -> Result<Field, String> {
    let file = &store.bytes[body.clone()];
    let header = Header::read(&mut &file[..])?;
    header.check(file.len() as u64)?;
    let bytes = usize::try_from(header.bytes()).map_err(|_| "it is too large")?;
    let mut start = body.start + usize::try_from(header.data).map_err(|_| "it is too large")?;
    if header.fortran {
        let mut ordered = vec![0; bytes];
        to_c_order(&store.bytes[start..start + bytes], &header.shape, header.item.size(), &mut ordered);
        start = store.bytes.len();
        store.bytes.extend_from_slice(&ordered);
    }
    let data = start..start + bytes;
    if let Item::Number(dtype) = header.item {
        let field = items(store, dtype, &header.shape, start);
        return Ok(Field { body: data, form: Form::Items { big_endian: header.big_endian }, ..field });
    }
    let start = store.bytes.len();
    push_strings(&mut store.bytes, data, header.item, header.big_endian)
        .map_err(|e| e.message().to_owned())?;
    let field = items(store, DType::Uint8, &header.shape, start);
    Ok(Field { kind: Some(Kind::Bytes), form: Form::Message, ..field })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(text: &str) -> Option<(Json, Vec<usize>, usize)> {
        let (mut sizes, mut count) = (Vec::new(), 0);
        let value = serde_json::from_str(text).unwrap();
        numbers_of(&value, &mut sizes, 0, &mut |_| count += 1).map(|json| (json, sizes, count))
    }

    #[test]
    fn numbers_and_lists_of_one_length_are_arrays() {
        assert_eq!(shape_of("7"), Some((Json::Integers, vec![], 1)));
        assert_eq!(shape_of("-0.5"), Some((Json::Floats, vec![], 1)));
        assert_eq!(shape_of("[[1, 2], [3, 4.5]]"), Some((Json::Floats, vec![2, 2], 4)));
        assert_eq!(shape_of("[]"), Some((Json::Floats, vec![0], 0)));
        assert_eq!(shape_of("[[], []]"), Some((Json::Floats, vec![2, 0], 0)));
        for other in [
            "[1, [2]]",
            "[[1], 2]",
            "[[1], [2, 3]]",
            "{}",
            "\"a\"",
            "null",
            "[true]",
            "[[], [[]]]",
            "[1, []]",
        ] {
            assert_eq!(shape_of(other), None, "{other}");
        }
    }

    #[test]
    fn endings_say_how_files_are_read() {
        for (extension, reading) in [
            ("cls", Reading::Integer),
            ("a.cls2", Reading::Integer),
            ("json.gz", Reading::Json),
            ("x.npy", Reading::Npy),
            ("txt", Reading::Bytes),
            ("cls.png", Reading::Bytes),
        ] {
            assert_eq!(Reading::of(extension.as_bytes()), reading, "{extension}");
        }
    }
}
