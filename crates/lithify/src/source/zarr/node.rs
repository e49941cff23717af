//! What the documents of a store say of a group or an array: `zarr.json` (version 3), `.zgroup` and `.zarray` (version 2).

use std::path::Path;

use serde_json::{Value, json};

use super::document;
use super::files::Packed;
use crate::error::{Error, Result};
use crate::source::npy::header::{Item, item_of};
use crate::value::DType;

/// Bytes of a string of fixed width, at most: wider ones are not read.
const MOST_ITEM_BYTES: usize = 1 << 20;
const V3: &str = "zarr.json";
const V2_ARRAY: &str = ".zarray";
const V2_GROUP: &str = ".zgroup";

/// Whether a directory is a group or an array.
pub(super) fn is_node(directory: &Path) -> bool {
    [V3, V2_ARRAY, V2_GROUP].iter().any(|name| directory.join(name).is_file())
}

/// A group or an array.
pub(super) struct Node {
    pub group: bool,
    document: Value,
}

impl Node {
    /// What chunks are compressed by, of what can claim to hold more than they do.
    pub(super) fn packed(&self) -> Option<Packed> {
        let text = self.document.to_string();
        let names = [("\"zstd\"", Packed::Zstd), ("\"gzip\"", Packed::Gzip), ("\"zlib\"", Packed::Zlib)];
        names.into_iter().find(|(name, _)| text.contains(name)).map(|(_, packed)| packed)
    }

    /// The node in a directory, if it is one.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>> {
        if let Some(document) = document(&directory.join(V3))? {
            let group = match document["node_type"].as_str() {
                Some("group") => true,
                Some("array") => false,
                _ => {
                    let message =
                        format!("its `node_type` is {}, not a group or an array", document["node_type"]);
                    return Err(Error::input(message).in_file(&directory.join(V3)));
                }
            };
            return Ok(Some(Self { group, document }));
        }
        if let Some(document) = document(&directory.join(V2_ARRAY))? {
            return Ok(Some(Self { group: false, document }));
        }
        let group = document(&directory.join(V2_GROUP))?;
        Ok(group.map(|document| Self { group: true, document }))
    }

    /// Takes Blosc off what is done to chunks, where that is the last thing that is done. Says whether it was there.
    pub(super) fn take_blosc(&mut self) -> bool {
        if self.document["compressor"]["id"] == json!("blosc") {
            self.document["compressor"] = Value::Null;
            return true;
        }
        let codecs = self.document.get_mut("codecs").and_then(Value::as_array_mut);
        codecs.is_some_and(|codecs| codecs.pop_if(|last| last["name"] == json!("blosc")).is_some())
    }

    /// What an array's items are, and its document in terms that `zarrs` knows: what it has no name for are opaque bytes.
    pub(super) fn array(self) -> Result<(Item, bool, Value), String> {
        if self.document["zarr_format"] == json!(2) { v2(self.document) } else { v3(self.document) }
    }
}

fn v2(mut document: Value) -> Result<(Item, bool, Value), String> {
    let Some(descr) = document["dtype"].as_str() else {
        return Err("it is a structured array, whose fields are not read".into());
    };
    if descr.contains('O') {
        return Err("its items are Python objects or strings of any length, which are not read".into());
    }
    let (item, big_endian) = item_of(descr)?;
    if descr.contains(['M', 'm']) {
        let order = if big_endian { '>' } else { '<' };
        document["dtype"] = json!(format!("{order}i8"));
    }
    if let Item::Number(dtype) = item {
        // `zarrs` knows what nothing is of other numbers.
        if dtype.is_complex() && document["fill_value"].is_null() {
            document["fill_value"] = json!([0, 0]);
        }
        // `zarrs` gives items in this machine's order.
        return Ok((item, false, document));
    }
    check_width(item)?;
    document["dtype"] = json!(format!("|V{}", item.size()));
    if !is_blank(&document["fill_value"], item) {
        return Err(filled(&document["fill_value"]));
    }
    document["fill_value"] = zeros(item);
    Ok((item, big_endian, document))
}

fn v3(mut document: Value) -> Result<(Item, bool, Value), String> {
    check_shards(&document)?;
    let data_type = document["data_type"].clone();
    let name = data_type.as_str().or_else(|| data_type["name"].as_str()).unwrap_or_default().to_owned();
    let length =
        data_type["configuration"]["length_bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    let item = match (name.as_str(), length) {
        ("null_terminated_bytes", Some(bytes)) => Item::Bytes(bytes),
        ("fixed_length_utf32", Some(bytes)) if bytes.is_multiple_of(4) => Item::Text(bytes / 4),
        ("string" | "bytes" | "variable_length_utf8" | "variable_length_bytes", _) => {
            return Err("its items are strings of any length, which are not read".into());
        }
        ("numpy.datetime64" | "numpy.timedelta64", _) => {
            document["data_type"] = json!("int64");
            if document["fill_value"] == json!("NaT") {
                document["fill_value"] = json!(i64::MIN);
            }
            Item::Number(DType::Int64)
        }
        _ => Item::Number(
            name.parse().map_err(|_| format!("its data type `{name}` is none that can be read"))?,
        ),
    };
    if let Item::Number(_) = item {
        return Ok((item, false, document));
    }
    check_width(item)?;
    if !is_blank(&document["fill_value"], item) {
        return Err(filled(&document["fill_value"]));
    }
    document["data_type"] = json!(format!("r{}", item.size() * 8));
    document["fill_value"] = zeros(item);
    let big_endian = is_big_endian(&document["codecs"]);
    Ok((item, big_endian, document))
}

/// The empty string, as opaque bytes.
fn zeros(item: Item) -> Value {
    json!(vec![0; item.size()])
}

/// Whether a fill value of strings is the empty one.
fn is_blank(fill: &Value, item: Item) -> bool {
    match (fill, item) {
        (Value::Null, _) => true,
        // In base 64, bytes that are all zero are letters `A`.
        (Value::String(text), Item::Bytes(_)) => {
            text.trim_end_matches('=').chars().all(|letter| letter == 'A')
        }
        (Value::String(text), _) => text.chars().all(|letter| letter == '\0'),
        (other, _) => *other == json!(0),
    }
}

/// Whether items are stored with their most significant byte first, by what `bytes` says, also within shards.
fn is_big_endian(codecs: &Value) -> bool {
    codecs.as_array().into_iter().flatten().any(|codec| {
        let settings = &codec["configuration"];
        settings["endian"] == json!("big") || is_big_endian(&settings["codecs"])
    })
}

/// Refuses strings that are too wide, or have no room for any.
fn check_width(item: Item) -> Result<(), String> {
    match item.size() {
        0 => Err("its strings have no bytes".into()),
        bytes if bytes > MOST_ITEM_BYTES => {
            Err(format!("its strings are {bytes} bytes wide, and {MOST_ITEM_BYTES} are read at most"))
        }
        _ => Ok(()),
    }
}

/// Refuses chunks of a shard that are not as many-sized as the array, or do not fill it.
fn check_shards(document: &Value) -> Result<(), String> {
    let shard = &document["chunk_grid"]["configuration"]["chunk_shape"];
    for codec in document["codecs"].as_array().into_iter().flatten() {
        let Some(chunk) = codec["configuration"]["chunk_shape"].as_array() else { continue };
        let sizes = |list: &[Value]| list.iter().map(Value::as_u64).collect::<Option<Vec<_>>>();
        let pairs = shard.as_array().and_then(|shard| sizes(shard)).zip(sizes(chunk));
        let fill = |(shard, chunk): &(Vec<u64>, Vec<u64>)| {
            let mut pairs = shard.iter().zip(chunk);
            shard.len() == chunk.len()
                && pairs.all(|(shard, chunk)| *chunk > 0 && shard.is_multiple_of(*chunk))
        };
        if !pairs.as_ref().is_some_and(fill) {
            return Err("its shards are not made of whole chunks".into());
        }
    }
    Ok(())
}

fn filled(fill: &Value) -> String {
    format!("its strings are filled with {fill}, and only empty ones are read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(document: Value) -> Result<(Item, bool, Value), String> {
        Node { group: false, document }.array()
    }

    #[test]
    fn items_are_told_from_either_version() {
        let v2 = |dtype: &str| {
            array(json!({"zarr_format": 2, "dtype": dtype, "fill_value": null})).map(|told| (told.0, told.1))
        };
        assert_eq!(v2("<f4"), Ok((Item::Number(DType::Float32), false)));
        assert_eq!(v2(">i2"), Ok((Item::Number(DType::Int16), false)));
        assert_eq!(v2("|S5"), Ok((Item::Bytes(5), false)));
        assert_eq!(v2(">U3"), Ok((Item::Text(3), true)));
        assert_eq!(v2("<M8[ns]"), Ok((Item::Number(DType::Int64), false)));
        assert!(v2("|O").unwrap_err().contains("objects"));
        let v3 = |data_type: Value| {
            array(json!({"zarr_format": 3, "data_type": data_type, "fill_value": ""})).map(|told| told.0)
        };
        assert_eq!(v3(json!("bfloat16")), Ok(Item::Number(DType::BFloat16)));
        let bytes = json!({"name": "null_terminated_bytes", "configuration": {"length_bytes": 7}});
        assert_eq!(v3(bytes), Ok(Item::Bytes(7)));
        assert!(v3(json!("string")).unwrap_err().contains("any length"));
        assert!(v3(json!("int3")).unwrap_err().contains("int3"));
        assert!(v3(json!(7)).is_err());
    }
}
