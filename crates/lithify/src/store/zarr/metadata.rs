//! The documents that say what a group and an array are: `zarr.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use serde_json::{Map, Value, json};

use super::planned;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::codec::Compressor;
use crate::plan::{ArrayPlan, ZarrArray};
use crate::value::DType;

/// The data type of texts of any length.
pub(super) const TEXT: &str = "string";
/// The name of the document of a group or an array.
const NAME: &str = "zarr.json";

/// The documents of all groups and arrays, and where they are. Each group holds those of all that is below it, too, in the
/// way of zarr-python, so that a reader need not look for them.
pub(super) fn documents(arrays: &[ArrayPlan]) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut nodes = BTreeMap::new();
    for array in arrays {
        nodes.insert(array.name.clone(), document(array)?);
    }
    let groups = groups(arrays);
    nodes
        .extend(groups.iter().filter(|group| !group.is_empty()).map(|group| (group.clone(), group_of(None))));
    let mut documents = Vec::new();
    for group in &groups {
        let prefix = if group.is_empty() { String::new() } else { format!("{group}/") };
        let below: Map<String, Value> = nodes
            .iter()
            .filter_map(|(name, node)| Some((name.strip_prefix(&prefix)?.to_owned(), node.clone())))
            .collect();
        documents.push((group.clone(), group_of(Some(below))));
    }
    documents.extend(nodes.into_iter().filter(|node| !groups.contains(&node.0)));
    documents
        .into_iter()
        .map(|(name, document)| Ok((Path::new(&name).join(NAME), text(&document)?)))
        .collect()
}

/// The names of all groups: the root, whose name is empty, and those in the names of arrays.
pub(super) fn groups(arrays: &[ArrayPlan]) -> BTreeSet<String> {
    let above = |array: &ArrayPlan| {
        let ends = array.name.match_indices('/').map(|(end, _)| array.name[..end].to_owned());
        std::iter::once(String::new()).chain(ends).collect::<Vec<_>>()
    };
    arrays.iter().flat_map(above).collect()
}

/// A document as it is written.
pub(super) fn text(document: &Value) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)
        .map_err(|e| Error::new(ErrorKind::Io, format!("the metadata cannot be written: {e}")))?;
    text.push(b'\n');
    Ok(text)
}

/// A group, with the documents of what is below it.
fn group_of(below: Option<Map<String, Value>>) -> Value {
    let mut group = json!({"zarr_format": 3, "node_type": "group", "attributes": {}});
    if let Some(below) = below {
        group["consolidated_metadata"] =
            json!({"kind": "inline", "must_understand": false, "metadata": below});
    }
    group
}

fn document(array: &ArrayPlan) -> Result<Value> {
    let zarr = planned(array)?;
    Ok(json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": array.shape,
        "data_type": if zarr.text { json!(TEXT) } else { data_type(array.dtype) },
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": zarr.chunks.file_shape()}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": if zarr.text { json!("") } else { fill_value(array.dtype, &zarr.fill) },
        "codecs": codecs(array, zarr),
        "dimension_names": zarr.dimensions,
        "attributes": zarr.attributes,
    }))
}

fn data_type(dtype: DType) -> Value {
    match dtype {
        // zarr-python's name for NumPy's `S`.
        DType::Bytes(width) => {
            json!({"name": "null_terminated_bytes", "configuration": {"length_bytes": width}})
        }
        _ => json!(dtype.to_string()),
    }
}

/// The codecs of a file's bytes.
fn codecs(array: &ArrayPlan, zarr: &ZarrArray) -> Vec<Value> {
    let codecs = chunk_codecs(array, zarr);
    if zarr.chunks.shard.is_none() {
        return codecs;
    }
    let index = [bytes_codec(), json!({"name": "crc32c"})];
    vec![json!({"name": "sharding_indexed", "configuration": {
        "chunk_shape": zarr.chunks.chunk, "codecs": codecs, "index_codecs": index, "index_location": "end",
    }})]
}

/// The codecs of a chunk's bytes.
pub(super) fn chunk_codecs(array: &ArrayPlan, zarr: &ZarrArray) -> Vec<Value> {
    let mut codecs = vec![if zarr.text { json!({"name": "vlen-utf8"}) } else { bytes_codec() }];
    match zarr.chunks.codec.compressor {
        Compressor::None => {}
        Compressor::Zstd { level } => {
            codecs.push(json!({"name": "zstd", "configuration": {"level": level, "checksum": false}}));
        }
        Compressor::Gzip { level } => codecs.push(json!({"name": "gzip", "configuration": {"level": level}})),
        Compressor::Blosc { with, level } => codecs.push(json!({"name": "blosc", "configuration": {
            "cname": with.to_string(), "clevel": level, "blocksize": 0, "typesize": array.dtype.size(),
            "shuffle": if array.dtype.size() > 1 { "shuffle" } else { "noshuffle" },
        }})),
    }
    if zarr.chunks.codec.crc32c {
        codecs.push(json!({"name": "crc32c"}));
    }
    codecs
}

fn bytes_codec() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

/// An item as JSON.
fn fill_value(dtype: DType, item: &[u8]) -> Value {
    fn of<const N: usize>(item: &[u8]) -> [u8; N] {
        item.try_into().unwrap_or([0; N])
    }
    let f32_of = |item: &[u8]| float(f32::from_le_bytes(of(item)).into(), item);
    let f64_of = |item: &[u8]| float(f64::from_le_bytes(of(item)), item);
    match dtype {
        DType::Bool => json!(item != [0]),
        DType::Int8 => json!(i8::from_le_bytes(of(item))),
        DType::Int16 => json!(i16::from_le_bytes(of(item))),
        DType::Int32 => json!(i32::from_le_bytes(of(item))),
        DType::Int64 => json!(i64::from_le_bytes(of(item))),
        DType::Uint8 => json!(u8::from_le_bytes(of(item))),
        DType::Uint16 => json!(u16::from_le_bytes(of(item))),
        DType::Uint32 => json!(u32::from_le_bytes(of(item))),
        DType::Uint64 => json!(u64::from_le_bytes(of(item))),
        DType::Float16 => float(f16::from_le_bytes(of(item)).into(), item),
        DType::BFloat16 => float(bf16::from_le_bytes(of(item)).into(), item),
        DType::Float32 => f32_of(item),
        DType::Float64 => f64_of(item),
        DType::Complex64 => json!([f32_of(&item[..4]), f32_of(&item[4..])]),
        DType::Complex128 => json!([f64_of(&item[..8]), f64_of(&item[8..])]),
        DType::Bytes(_) => json!(base64(item)),
    }
}

/// A float as JSON, which has no numbers for some: those have names, and NaNs other than the usual one are their bits.
fn float(value: f64, item: &[u8]) -> Value {
    if value.is_infinite() {
        return json!(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    if !value.is_nan() {
        return json!(value);
    }
    let usual: &[u8] = match item.len() {
        4 => &f32::NAN.to_le_bytes(),
        8 => &f64::NAN.to_le_bytes(),
        _ => &[],
    };
    if item == usual {
        return json!("NaN");
    }
    json!(item.iter().rev().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

/// Bytes in the letters of base 64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().chain(&[0; 2]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * place) & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_values_are_written_as_the_specification_says() {
        assert_eq!(fill_value(DType::Bool, &[1]), json!(true));
        assert_eq!(fill_value(DType::Int16, &[255, 255]), json!(-1));
        assert_eq!(fill_value(DType::Uint64, &[255; 8]), json!(u64::MAX));
        assert_eq!(fill_value(DType::Float32, &0.5_f32.to_le_bytes()), json!(0.5));
        assert_eq!(fill_value(DType::Float32, &f32::NAN.to_le_bytes()), json!("NaN"));
        assert_eq!(fill_value(DType::Float32, &0x7fc0_0001_u32.to_le_bytes()), json!("0x7fc00001"));
        assert_eq!(fill_value(DType::Float64, &f64::NEG_INFINITY.to_le_bytes()), json!("-Infinity"));
        assert_eq!(fill_value(DType::Float16, &[0x00, 0x7e]), json!("0x7e00"));
        assert_eq!(fill_value(DType::Complex64, &[0; 8]), json!([0.0, 0.0]));
        assert_eq!(fill_value(DType::Bytes(3), b"ab\0"), json!("YWIA"));
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        // The test vectors of RFC 4648.
        let coded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in coded.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), text);
        }
    }
}
