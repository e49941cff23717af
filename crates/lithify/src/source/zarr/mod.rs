//! Zarr stores, of version 2 or 3, whose arrays' rows are elements: those of one array, or of all arrays of a group side by
//! side.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::columns::{Table, Tables};
use super::npy::ARRAY;
use super::probe::Evidence;
use super::{Format, Options, Part, Source, Verdict};
use crate::error::{Error, Result, printable};

mod array;
mod blosc;
mod files;
mod node;

use array::ZarrColumn;
use node::Node;

/// Bytes of a document, at most.
const MOST_DOCUMENT_BYTES: u64 = 256 << 20;

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
        // Of one store, a lone array is called as that; several are parts of one array, whatever they are called.
        let stem = |path: &Path| Some(path.canonicalize().ok()?.file_stem()?.to_string_lossy().into_owned());
        let name = parts.first().filter(|_| parts.len() == 1).and_then(|part| stem(&part.path));
        let name = name.unwrap_or_else(|| ARRAY.to_owned());
        let table = |part: &Part| {
            let all = table(&part.path, &name)?;
            let path = &part.path;
            let one = all.columns.last().map(|column| path.join(&column.0)).unwrap_or_default();
            let all = all.join(path, '/', options.features.as_ref());
            all.only(options.features.as_ref()).map_err(|e| {
                e.in_file(path).hint(format!("or give one array by its own path: `{}`", printable(&one)))
            })
        };
        let tables = parts.iter().map(table).collect::<Result<_>>()?;
        let parts = parts.iter().map(|part| Part::whole(&part.path)).collect::<Result<_>>()?;
        Ok(Box::new(Tables { format: self.name(), parts, by_part: tables }.within(options.largest_record)?))
    }
}

/// An array of a store: the path of its groups and its name, where it is, and what is said of it.
type Found = (String, PathBuf, Node);

fn table(store: &Path, lone: &str) -> Result<Table> {
    let mut arrays = Vec::new();
    find(store, "", &mut Vec::new(), &mut arrays)?;
    if let [(name, ..)] = &mut arrays[..]
        && name.is_empty()
    {
        lone.clone_into(name);
    }
    if arrays.is_empty() {
        return Err(Error::input("it is a Zarr group without arrays").in_file(store));
    }
    let mut table = Table::new();
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
        table.columns.push((name, Box::new(column)));
    }
    Ok(table)
}

/// Adds the arrays of a group, or the one that there is, sorted by name. `above` are the groups that it lies in, by device and
/// number: what a link leads back to is not gone through again.
fn find(directory: &Path, name: &str, above: &mut Vec<(u64, u64)>, arrays: &mut Vec<Found>) -> Result<()> {
    let here = std::fs::metadata(directory).map_err(|e| Error::io("open", directory, e))?;
    let here = (here.dev(), here.ino());
    if above.contains(&here) {
        return Ok(());
    }
    let node = Node::read(directory)?;
    if let Some(node @ Node { group: false, .. }) = node {
        arrays.push((name.to_owned(), directory.to_path_buf(), node));
        return Ok(());
    }
    if node.is_none() {
        return Ok(());
    }
    above.push(here);
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
        find(&path, &name, above, arrays)?;
    }
    above.pop();
    Ok(())
}

/// A document of a store.
fn document(path: &Path) -> Result<Option<Value>> {
    let failed = |e| Error::io("read", path, e);
    // To open what is no file, such as a pipe, may take for ever.
    match std::fs::metadata(path) {
        Ok(there) if there.is_file() => {}
        Ok(_) => return Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MOST_DOCUMENT_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    let parsed: Value = serde_json::from_slice(&bytes)
        .map_err(|e| Error::input(format!("it is no JSON: {e}")).in_file(path))?;
    if parsed.is_object() {
        Ok(Some(parsed))
    } else {
        Err(Error::input("it is no JSON object").in_file(path))
    }
}
