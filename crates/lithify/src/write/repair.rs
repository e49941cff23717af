//! What has changed of an output, written anew from the dataset: only the blocks that it takes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use super::manifest::{ArrayRecord, Manifest, directory_of};
use super::publish::keep_permissions;
use super::staging::Staging;
use super::unfinished::Left;
use super::verify::{Cure, Difference, verify};
use super::{Notes, fill};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::plan::{Io, Layout, Plan};
use crate::progress::Progress;
use crate::source::Source;
use crate::store::npy::{self, ChecksumStore};
use crate::store::{self, Store};

/// Makes an output what it was, as far as the dataset can say: gives what was not, and of that what still is not.
///
/// The plan is the one by which it was written: see [`plan_again`](crate::convert::plan_again).
///
/// # Errors
/// What was written is not known any more, the dataset gives something else, or reading or writing fails.
pub fn repair(
    output: &Path,
    source: &dyn Source,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<(Vec<Difference>, Vec<Difference>)> {
    // The lock is beside what a link leads to, and `.` has a name.
    let output = &fs::canonicalize(output).map_err(|e| Error::io("open", output, e))?;
    let staging = Staging::lock(output)?;
    if Left::look(staging.path())?.is_some() {
        let message = format!("beside `{}` is what a run that was ended has left", printable(output));
        return Err(Error::new(ErrorKind::Output, message).hint("go on with that run first"));
    }
    staging.clear()?;
    if !Manifest::is_as_written(output)? {
        let message = format!(
            "the `lithify.json` of `{}` has changed, so that nobody knows what was written",
            printable(output)
        );
        return Err(
            Error::new(ErrorKind::Output, message).hint("convert the dataset anew, with `--overwrite`")
        );
    }
    let manifest = Manifest::read(output)?;
    let damaged = verify(output, plan.threads, progress)?;
    if damaged.iter().all(|one| one.cure == Cure::None) {
        return Ok((damaged.clone(), damaged));
    }
    let mut blocks = BTreeSet::new();
    for one in &damaged {
        match &one.cure {
            Cure::Blocks(those) => blocks.extend(those),
            Cure::File => blocks.extend(blocks_of(&one.file, &manifest, plan)),
            Cure::None => {}
        }
    }
    // Nothing is touched before the dataset is known to give what was written.
    derive(source, plan, &ChecksumStore::new(&plan.arrays), &blocks, &manifest, progress)?;
    if manifest.layout.is_zarr() {
        repair_files(output, source, plan, &blocks, &manifest, &damaged, &staging, progress)?;
    } else {
        repair_rows(output, source, plan, &blocks, &manifest, &damaged, progress)?;
    }
    super::journal::sync_all(&directory_of(output))?;
    let left = verify(output, plan.threads, progress)?;
    Ok((damaged, left))
}

/// The blocks that have a part in a file of a Zarr store; none of a document.
fn blocks_of(file: &Path, manifest: &Manifest, plan: &Plan) -> Vec<u64> {
    let Some((number, array)) = manifest
        .arrays
        .iter()
        .enumerate()
        .find(|(_, array)| file.parent() == Some(&array.file) && array.zarr.is_some())
    else {
        return Vec::new();
    };
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let slab =
        name.strip_prefix("c.").unwrap_or(&name).split('.').next().and_then(|slab| slab.parse::<u64>().ok());
    let (Some(slab), Some(zarr)) = (slab, &array.zarr) else { return Vec::new() };
    let bytes = zarr.chunks.slab_rows().saturating_mul(plan.arrays[number].row_bytes());
    let wanted = slab.saturating_mul(bytes)..(slab + 1).saturating_mul(bytes);
    let mut at = 0;
    let overlaps = |(block, note): (usize, &super::Note)| {
        let here = at..at + note.0;
        at = here.end;
        (here.start < wanted.end && wanted.start < here.end).then_some(block as u64)
    };
    array.blocks.iter().enumerate().filter_map(overlaps).collect()
}

/// Fills blocks from the dataset, which must come out as they were written.
fn derive(
    source: &dyn Source,
    plan: &Plan,
    store: &dyn Store,
    blocks: &BTreeSet<u64>,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<()> {
    progress.begin("derive", 0);
    let filled = fill(source, plan, store, progress, Notes::but(plan, blocks), None);
    progress.end();
    let (notes, bad) = filled?;
    for (array, (record, notes)) in plan.arrays.iter().zip(manifest.arrays.iter().zip(&notes.arrays)) {
        let same = |number: &&u64| {
            let number = usize::try_from(**number).unwrap_or(usize::MAX);
            record.blocks.get(number) == notes.get(number)
        };
        if !bad.is_empty() || !blocks.iter().all(|number| same(&number)) {
            let message =
                format!("the dataset does not give the rows of `{}` any more that were written", array.name);
            return Err(Error::input(message).hint("convert it anew, with `--overwrite`"));
        }
    }
    Ok(())
}

/// Writes the rows of blocks in place.
fn repair_rows(
    output: &Path,
    source: &dyn Source,
    plan: &Plan,
    blocks: &BTreeSet<u64>,
    manifest: &Manifest,
    damaged: &[Difference],
    progress: &dyn Progress,
) -> Result<()> {
    let directory = directory_of(output);
    let is_damaged = |array: &&ArrayRecord| damaged.iter().any(|one| one.file == array.file);
    for array in manifest.arrays.iter().filter(is_damaged) {
        let path = directory.join(&array.file);
        let bytes = npy::header(array.dtype, &array.shape).len() as u64
            + array.blocks.iter().map(|block| block.0).sum::<u64>();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| Error::io("open", &path, e))?;
        file.set_len(bytes).map_err(|e| Error::io("set the size of", &path, e))?;
    }
    let how = (Layout::NpyDirectory, Io::Pwrite);
    let store = store::open(&directory, &directory, how, &plan.arrays, true)?;
    derive(source, plan, store.as_ref(), blocks, manifest, progress)
}

/// Makes files anew, and puts them where they belong.
#[expect(clippy::too_many_arguments, reason = "they are what a repair has")]
fn repair_files(
    output: &Path,
    source: &dyn Source,
    plan: &Plan,
    blocks: &BTreeSet<u64>,
    manifest: &Manifest,
    damaged: &[Difference],
    staging: &Staging,
    progress: &dyn Progress,
) -> Result<()> {
    let made = staging.output();
    fs::create_dir_all(&made).map_err(|e| Error::io("create", &made, e))?;
    let store = store::open(&made, &staging.slabs(), (plan.layout, plan.io), &plan.arrays, false)?;
    derive(source, plan, store.as_ref(), blocks, manifest, progress)?;
    for one in damaged.iter().filter(|one| one.cure == Cure::File) {
        let (from, to) = (made.join(&one.file), output.join(&one.file));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        }
        keep_permissions(&to, &from);
        fs::rename(&from, &to).map_err(|e| Error::io("rename to", &to, e))?;
    }
    Ok(())
}
