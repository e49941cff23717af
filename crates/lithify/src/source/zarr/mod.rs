//! Zarr stores, of version 2 or 3, whose arrays' rows are elements: those of one array, or of all arrays of a group side by
//! side.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::columns::{Table, Tables};
use super::probe::Evidence;
use super::{Format, Options, Part, Source, Verdict};
use crate::error::{Error, Result, printable};

mod array;
mod blosc;
mod files;
mod node;

use array::ZarrColumn;
use node::Node;

/// Groups within groups, at most: what a link to a folder above it makes has no end.
const MOST_LEVELS: usize = 32;

/// Rows of the arrays in Zarr stores.
pub struct Zarr;

impl Format for Zarr {
    fn name(&self) -> &'static str {
        "zarr"
    }

    fn about(&self) -> &'static str {
        "rows of the arrays in Zarr stores, which are equally long"
    }

    fn probe(&self, _: &Evidence<'_>) -> Verdict {
        Verdict::No
    }

    fn takes(&self, directory: &Path) -> bool {
        node::is_node(directory)
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let tables = parts.iter().map(|part| table(&part.path)).collect::<Result<_>>()?;
        let parts = parts.iter().map(|part| Part::of_all_in(&part.path)).collect::<Result<_>>()?;
        Ok(Box::new(Tables { format: self.name(), parts, by_part: tables }.within(options.largest_record)?))
    }
}

/// An array of a store: the path of its groups and its name, where it is, and what is said of it.
type Found = (String, PathBuf, Node);

fn table(store: &Path) -> Result<Table> {
    let mut arrays = Vec::new();
    find(store, "", 0, &mut arrays)?;
    if arrays.is_empty() {
        return Err(Error::input("it is a Zarr group without arrays").in_file(store));
    }
    let mut table = Table { columns: Vec::new(), seekable: true };
    let several = arrays.len() > 1;
    for (name, path, node) in arrays {
        let alone = |e: Error| {
            let error = e.in_file(&path);
            let example = printable(&path);
            if several {
                error.hint(format!("give the array that you want by its own path, such as `{example}`"))
            } else {
                error
            }
        };
        let column = ZarrColumn::open(&path, node).map_err(alone)?;
        table.push(name, Box::new(column)).map_err(alone)?;
    }
    Ok(table)
}

/// Adds the arrays of a group, or the one that there is, sorted by name.
fn find(directory: &Path, name: &str, level: usize, arrays: &mut Vec<Found>) -> Result<()> {
    let node = Node::read(directory)?;
    if let Some(node @ Node { group: false, .. }) = node {
        let stem = || directory.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = if name.is_empty() { stem().unwrap_or_default() } else { name.to_owned() };
        arrays.push((name, directory.to_path_buf(), node));
        return Ok(());
    }
    if node.is_none() || level > MOST_LEVELS {
        return Ok(());
    }
    let failed = |e| Error::io("list", directory, e);
    let mut below = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if node::is_node(&entry.path()) {
            below.push(entry.file_name());
        }
    }
    below.sort();
    for child in below {
        let path = directory.join(&child);
        let child = child.to_string_lossy();
        let name = if name.is_empty() { child.into_owned() } else { format!("{name}/{child}") };
        find(&path, &name, level + 1, arrays)?;
    }
    Ok(())
}

/// A document of a store.
fn document(path: &Path) -> Result<Option<Value>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|e| Error::input(format!("it is no JSON: {e}")).in_file(path))
}
