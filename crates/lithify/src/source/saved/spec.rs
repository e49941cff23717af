//! What the elements of a saved dataset are made of: `dataset_spec.pb`, a `StructuredValue`
//! (TensorFlow: `tensorflow/core/protobuf/struct.proto`).
//!
//! A structure is flattened as `tf.nest` does it: dicts by their sorted keys, tuples by place. Each leaf is a component.

use crate::decode::tensor_proto;
use crate::source::wire::{self, Wire};
use crate::value::DType;

/// Structures within structures that are looked into.
const MOST_DEPTH: usize = 64;

/// A component of the elements: what one record of the files holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// Where it stands in the structure: `a/0/b`. Nothing, if it is the structure.
    pub path: String,
    pub what: What,
}

/// What a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A tensor.
    Tensor {
        /// The number of its dtype (`tensorflow/core/framework/types.proto`).
        number: u64,
        /// The same; `None` for strings.
        dtype: Option<DType>,
        /// Its shape, as far as it is known.
        shape: Option<Vec<Option<u64>>>,
    },
    /// A ragged tensor of so many ragged axes.
    Ragged {
        /// How many.
        rank: usize,
    },
    /// A sparse tensor.
    Sparse,
}

/// The number of the dtype of variants, which ragged and sparse tensors are saved as.
const DT_VARIANT: u64 = 21;

impl What {
    /// A tensor of the dtype of this number.
    pub(super) fn tensor(number: u64, shape: Option<Vec<Option<u64>>>, path: &str) -> Result<Self, String> {
        let dtype = tensor_proto::dtype_numbered(number);
        if dtype.is_none() && number != tensor_proto::DT_STRING {
            return Err(refused(
                path,
                &format!("of the dtype that TensorFlow numbers {number}"),
                "which no array can have",
            ));
        }
        Ok(Self::Tensor { number, dtype: dtype.map(|dtype| dtype.0), shape })
    }

    /// The number of the dtype that its records have.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Tensor { number, .. } => *number,
            Self::Ragged { .. } | Self::Sparse => DT_VARIANT,
        }
    }

    /// Whether this record, of which only the dtype and the shape are looked at, may be one of it.
    pub(super) fn may_be(&self, record: &[u8]) -> bool {
        let found = || -> Result<_, &'static str> {
            Ok((number(record, 1)?, only(record, 2)?.map_or(Ok(Some(Vec::new())), shape)?))
        };
        let Ok((number, Some(found))) = found() else { return false };
        let fits = match self {
            Self::Tensor { shape: Some(shape), .. } => {
                shape.len() == found.len()
                    && shape.iter().zip(&found).all(|(known, size)| known.is_none() || known == size)
            }
            Self::Tensor { shape: None, .. } => true,
            Self::Ragged { rank } => found.len() <= *rank,
            Self::Sparse => found.last() == Some(&Some(3)),
        };
        number == self.number() && fits
    }
}

/// Says that a component cannot be read.
fn refused(path: &str, what: &str, why: &str) -> String {
    let path = if path.is_empty() { "the element".into() } else { format!("`{}`", path.escape_debug()) };
    format!("{path} is {what}, {why}")
}

/// Reads a spec.
///
/// # Errors
/// It is damaged, or a component is of a kind that cannot be read; why.
pub(super) fn parse(spec: &[u8]) -> Result<Vec<Component>, String> {
    let mut components = Vec::new();
    flatten(spec, "", 0, &mut components)?;
    Ok(components)
}

/// What stands in a message, one field after another: varints as they are, all else as bytes.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

const DAMAGED: &str = "it is no structure of specs";

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, &'static str> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (field, wire) = wire::tag(&mut self.0).ok_or(DAMAGED)?;
        let value = match wire {
            Wire::Varint => Value::Number(wire::varint(&mut self.0).ok_or(DAMAGED)?),
            Wire::Bytes => Value::Bytes(wire::bytes(&mut self.0).ok_or(DAMAGED)?),
            _ => {
                wire::skip(&mut self.0, wire).ok_or(DAMAGED)?;
                Value::Other
            }
        };
        Ok(Some((field, value)))
    }
}

/// The messages in the repeated field of this number.
pub(super) fn repeated(message: &[u8], wanted: u32) -> Result<Vec<&[u8]>, &'static str> {
    let (mut fields, mut found) = (Fields(message), Vec::new());
    while let Some((field, value)) = fields.next()? {
        if let (true, Value::Bytes(bytes)) = (field == wanted, value) {
            found.push(bytes);
        }
    }
    Ok(found)
}

/// The last message of this number.
pub(super) fn only(message: &[u8], wanted: u32) -> Result<Option<&[u8]>, &'static str> {
    Ok(repeated(message, wanted)?.pop())
}

/// The number in the field of this number, 0 where it is left out.
fn number(message: &[u8], wanted: u32) -> Result<u64, &'static str> {
    let (mut fields, mut found) = (Fields(message), 0);
    while let Some((field, value)) = fields.next()? {
        if let (true, Value::Number(number)) = (field == wanted, value) {
            found = number;
        }
    }
    Ok(found)
}

pub(super) fn text(bytes: Option<&[u8]>) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes.unwrap_or_default()).map_err(|_| "a name in it is not UTF-8")
}

fn flatten(value: &[u8], path: &str, depth: usize, components: &mut Vec<Component>) -> Result<(), String> {
    if depth > MOST_DEPTH {
        return Err(format!("it has more than {MOST_DEPTH} structures within each other"));
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    let Some((field, Value::Bytes(message))) = Fields(value).next()? else { return Err(DAMAGED.into()) };
    let what = match field {
        // None.
        1 => return Ok(()),
        33 | 35 => {
            let shape = only(message, 2)?.map_or(Ok(Some(Vec::new())), shape)?;
            What::tensor(number(message, 3)?, shape, path)?
        }
        34 => match of_type(message, path)? {
            Some(what) => what,
            None => return Ok(()),
        },
        51 | 52 => {
            for (place, value) in repeated(message, 1)?.into_iter().enumerate() {
                flatten(value, &below(&place.to_string()), depth + 1, components)?;
            }
            return Ok(());
        }
        53 | 54 => {
            let entries = repeated(message, if field == 53 { 1 } else { 2 })?;
            let entry = |entry| Ok((text(only(entry, 1)?)?, only(entry, 2)?.unwrap_or_default()));
            let mut entries = entries.into_iter().map(entry).collect::<Result<Vec<_>, &'static str>>()?;
            // A protobuf map has no order; the pairs of a namedtuple have theirs.
            if field == 53 {
                entries.sort_by_key(|entry| entry.0);
            }
            for (key, value) in entries {
                flatten(value, &below(key), depth + 1, components)?;
            }
            return Ok(());
        }
        _ => return Err(DAMAGED.into()),
    };
    components.push(Component { path: path.to_owned(), what });
    Ok(())
}

/// What a component of a kind of its own is; `None` where it is nothing.
fn of_type(spec: &[u8], path: &str) -> Result<Option<What>, String> {
    let (class, name) = (number(spec, 1)?, text(only(spec, 3)?)?);
    let refused = |what: &str, why: &str| Err(refused(path, what, why));
    match class {
        1 => Ok(Some(What::Sparse)),
        3 => {
            let state = only(spec, 2)?.and_then(|state| only(state, 52).transpose()).transpose()?;
            let state = repeated(state.unwrap_or_default(), 1)?;
            let rank = state.get(2).map_or(Ok(0), |rank| number(rank, 12))?;
            // As all signed numbers here: twice as large, and the sign in the last bit.
            Ok(Some(What::Ragged { rank: usize::try_from(rank >> 1).map_err(|_| DAMAGED)? }))
        }
        5 => refused("a nested dataset", "whose data TensorFlow does not save"),
        7 => refused("an optional", "which cannot be read"),
        12 if name.ends_with("NoneTensorSpec") => Ok(None),
        _ => refused(&format!("of the type `{}`", name.escape_debug()), "which cannot be read"),
    }
}

/// A shape, as far as it is known: `None` if not even its rank is.
fn shape(message: &[u8]) -> Result<Option<Vec<Option<u64>>>, &'static str> {
    if number(message, 3)? != 0 {
        return Ok(None);
    }
    let sizes =
        repeated(message, 2)?.into_iter().map(|dim| Ok(number(dim, 1)?.cast_signed().try_into().ok()));
    sizes.collect::<Result<_, _>>().map(Some)
}

/// `snapshot.metadata`: a `SnapshotMetadataRecord` (TensorFlow: `tensorflow/core/protobuf/snapshot.proto`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The directory that is the present one.
    pub run: String,
    /// How records are framed.
    pub version: u64,
    /// The number of the dtype of each component.
    pub dtypes: Vec<u64>,
    /// How many elements there are.
    pub elements: u64,
    /// Whether it was saved to its end.
    pub finalized: bool,
}

impl Metadata {
    /// Reads them.
    ///
    /// # Errors
    /// They are damaged, or in a form that cannot be read; why.
    pub(super) fn parse(message: &[u8]) -> Result<Self, String> {
        const DAMAGED: &str = "it is no metadata of a saved dataset";
        // Field 5 is packed or not, as it happens.
        let (mut fields, mut dtypes) = (Fields(message), Vec::new());
        while let Some((field, value)) = fields.next().map_err(|_| DAMAGED)? {
            match (field, value) {
                (5, Value::Number(dtype)) => dtypes.push(dtype),
                (5, Value::Bytes(run)) => wire::each_varint(run, |dtype| {
                    dtypes.push(dtype);
                    true
                })
                .map_err(|_| DAMAGED)?,
                _ => {}
            }
        }
        let run = text(only(message, 2)?)?.to_owned();
        // The name of a directory beside this file, and of nothing else.
        if run.is_empty() || !run.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DAMAGED.into());
        }
        Ok(Self {
            run,
            version: number(message, 4)?,
            dtypes,
            elements: number(message, 6)?,
            finalized: number(message, 1000)? != 0,
        })
    }
}

impl Metadata {
    /// The components as far as these tell: tensors of unknown shapes.
    ///
    /// # Errors
    /// One is none; why.
    pub(super) fn components(&self) -> Result<Vec<Component>, String> {
        let component = |(place, dtype): (usize, &u64)| {
            let path = if self.dtypes.len() == 1 { String::new() } else { place.to_string() };
            let what = What::tensor(*dtype, None, &path)?;
            Ok(Component { path, what })
        };
        self.dtypes.iter().enumerate().map(component).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes, shorter than 128.
    fn field(number: u16, bytes: &[u8]) -> Vec<u8> {
        let tag = number << 3 | 2;
        let [low, high] = [tag & 0x7f, tag >> 7].map(|bits| u8::try_from(bits).unwrap());
        let tag = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
        [&tag[..], &[u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn tensor(dtype: u8) -> Vec<u8> {
        field(33, &[&field(2, &field(2, &[8, 3]))[..], &[0x18, dtype]].concat())
    }

    fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let entry =
            |entry: &(&str, Vec<u8>)| field(1, &[field(1, entry.0.as_bytes()), field(2, &entry.1)].concat());
        field(53, &entries.iter().flat_map(entry).collect::<Vec<_>>())
    }

    fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
        field(52, &items.iter().flat_map(|item| field(1, item)).collect::<Vec<_>>())
    }

    #[test]
    fn structures_are_flattened_by_sorted_keys() {
        let spec = dict(&[
            ("b", tuple(&[tensor(1), field(1, &[]), dict(&[("z", tensor(7)), ("B", tensor(9))])])),
            ("10", tensor(2)),
            ("9", tensor(3)),
        ]);
        let found = parse(&spec).unwrap();
        let paths: Vec<_> = found.iter().map(|component| component.path.as_str()).collect();
        assert_eq!(paths, ["10", "9", "b/0", "b/2/B", "b/2/z"]);
        let wanted = What::Tensor { number: 2, dtype: Some(DType::Float64), shape: Some(vec![Some(3)]) };
        assert_eq!(found[0].what, wanted);
        assert_eq!(parse(&tensor(1)).unwrap()[0].path, "");
        let mut deep = tensor(1);
        for _ in 0..20 {
            deep = tuple(&[deep]);
        }
        assert_eq!(parse(&deep).unwrap()[0].path, ["0"; 20].join("/"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let dataset = field(34, &[8, 5]);
        assert!(parse(&dict(&[("d", dataset)])).unwrap_err().contains("`d` is a nested dataset"));
        let own = field(34, &[&[8, 12][..], &field(3, b"my.Spec")].concat());
        assert!(parse(&own).unwrap_err().contains("of the type `my.Spec`"));
        for damaged in [&b""[..], b"\x8a", b"\x8a\x02\x7f", b"\x08\x01", b"text"] {
            assert_eq!(parse(damaged).unwrap_err(), DAMAGED, "{damaged:?}");
        }
    }

    #[test]
    fn metadata_name_one_run_and_nothing_else() {
        let dtypes = [&[0x28, 9, 0x2a, 2, 1, 7][..], &[0x30, 5]].concat();
        let metadata = Metadata::parse(&[&field(2, b"12345")[..], &dtypes].concat()).unwrap();
        assert_eq!((metadata.run.as_str(), metadata.elements), ("12345", 5));
        assert_eq!((metadata.dtypes, metadata.finalized), (vec![9, 1, 7], false));
        for run in [&b"../1"[..], b"", b"/", b"1/2"] {
            assert!(Metadata::parse(&field(2, run)).is_err(), "{run:?}");
        }
    }
}
