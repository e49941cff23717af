//! The documents of version 2: `.zgroup`, `.zarray`, `.zattrs`, and all of them once more in `.zmetadata`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::metadata::{groups, text};
use super::planned;
use crate::error::Result;
use crate::plan::codec::Compressor;
use crate::plan::{ArrayPlan, ZarrArray};

/// The documents of all groups and arrays, and where they are.
pub(super) fn documents(arrays: &[ArrayPlan]) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    // In the order of their paths: zarr-python takes those of a node for all that there are when the next node begins.
    let mut all = BTreeMap::new();
    let mut add = |node: &str, name: &str, document: Value| {
        let key = if node.is_empty() { name.to_owned() } else { format!("{node}/{name}") };
        all.insert(key, document);
    };
    for group in groups(arrays) {
        add(&group, ".zgroup", json!({"zarr_format": 2}));
    }
    for array in arrays {
        let zarr = planned(array)?;
        add(&array.name, ".zarray", document(array, zarr));
        let mut attributes = zarr.attributes.clone();
        // Where xarray looks for the names of axes.
        attributes.insert("_ARRAY_DIMENSIONS".into(), json!(zarr.dimensions));
        add(&array.name, ".zattrs", Value::Object(attributes));
    }
    let mut documents = Vec::new();
    for (key, document) in &all {
        documents.push((Path::new(key).to_path_buf(), text(document)?));
    }
    let consolidated = json!({"zarr_consolidated_format": 1, "metadata": all});
    documents.push((PathBuf::from(".zmetadata"), text(&consolidated)?));
    Ok(documents)
}

fn document(array: &ArrayPlan, zarr: &ZarrArray) -> Value {
    let filters = if zarr.text { json!([{"id": "vlen-utf8"}]) } else { Value::Null };
    json!({
        "zarr_format": 2,
        "shape": array.shape,
        "chunks": zarr.chunks.chunk,
        "dtype": if zarr.text { "|O".to_owned() } else { array.dtype.descr() },
        // xarray takes what is equal to a fill value of this version for missing: a label of 0 would become NaN.
        "fill_value": null,
        "order": "C",
        "filters": filters,
        "compressor": compressor(array, zarr),
        "dimension_separator": ".",
    })
}

/// The compressor, in the terms of numcodecs.
fn compressor(array: &ArrayPlan, zarr: &ZarrArray) -> Value {
    match zarr.chunks.codec.compressor {
        Compressor::None => Value::Null,
        Compressor::Zstd { level } => json!({"id": "zstd", "level": level}),
        Compressor::Gzip { level } => json!({"id": "gzip", "level": level}),
        Compressor::Blosc { with, level } => json!({
            "id": "blosc", "cname": with.to_string(), "clevel": level, "blocksize": 0,
            "shuffle": u8::from(array.dtype.size() > 1),
        }),
    }
}
