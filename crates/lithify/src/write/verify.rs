//! Whether an output still is what was written, and what the dataset would give again.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::manifest::{ArrayRecord, Manifest, directory_of};
use super::{Outcome, fill_blocks};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel::on_threads;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::source::Source;
use crate::store::npy::{self, ChecksumStore};
use crate::store::{Checksum, Hasher};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The array's file.
    pub file: PathBuf,
    /// What is wrong.
    pub what: String,
}

/// Reads an output and compares it with its checksums.
///
/// # Errors
/// The output cannot be read. Differences are no errors: they are what is given.
pub fn verify(output: &Path, threads: usize, progress: &dyn Progress) -> Result<Vec<Difference>> {
    let manifest = Manifest::read(output)?;
    let directory = directory_of(output);
    progress.begin(
        "verify",
        manifest.arrays.iter().map(|array| array.blocks.iter().map(|block| block.0).sum::<u64>()).sum(),
    );
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Ok(Vec::new()));
    on_threads(threads.min(manifest.arrays.len()), || {
        while let Some(array) = manifest.arrays.get(next.fetch_add(1, Ordering::Relaxed)) {
            let differences = check_array(&directory, array, &manifest, progress);
            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&mut *found, differences) {
                (Ok(all), Ok(mut more)) => all.append(&mut more),
                (Ok(_), Err(error)) => *found = Err(error),
                (Err(_), _) => {}
            }
        }
    })?;
    progress.end();
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

fn check_array(
    directory: &Path,
    array: &ArrayRecord,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<Vec<Difference>> {
    let path = directory.join(&array.file);
    let differs = |what: String| Difference { file: array.file.clone(), what };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(vec![differs("the file is missing".into())]);
        }
        Err(e) => return Err(Error::io("open", &path, e)),
    };
    let header = npy::header(array.dtype, &array.shape);
    let wanted = header.len() as u64 + array.blocks.iter().map(|block| block.0).sum::<u64>();
    let there = file.metadata().map_err(|e| Error::io("look at", &path, e))?.len();
    if there != wanted {
        return Ok(vec![differs(format!("the file has {there} bytes instead of {wanted}"))]);
    }
    let mut found = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut hash = |bytes: u64| -> Result<Checksum> {
        let mut hasher = Hasher::new();
        let mut left = bytes;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            file.read_exact(&mut buffer[..piece]).map_err(|e| Error::io("read", &path, e))?;
            hasher.update(&buffer[..piece]);
            left -= piece as u64;
            progress.advance(piece as u64);
        }
        Ok(hasher.finish())
    };
    if hash(header.len() as u64)? != array.header {
        found.push(differs("the header has changed".into()));
    }
    let mut at = header.len() as u64;
    for (number, (bytes, checksum)) in array.blocks.iter().enumerate() {
        if progress.cancelled() {
            return Err(Error::new(ErrorKind::Interrupted, "stopped as asked"));
        }
        if hash(*bytes)? != *checksum {
            let first = number as u64 * manifest.block_rows;
            let last = (first + manifest.block_rows).min(manifest.elements).saturating_sub(1);
            found.push(differs(format!(
                "the rows of elements {first} to {last} have changed (bytes {at} to {})",
                at + bytes
            )));
        }
        at += bytes;
    }
    Ok(found)
}

/// Derives all rows again from the dataset, and compares them with what was written.
///
/// # Errors
/// The dataset cannot be read, or it has changed.
pub fn verify_against_source(
    output: &Path,
    source: &dyn Source,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<Vec<Difference>> {
    let manifest = Manifest::read(output)?;
    progress.begin("derive", plan.stored_bytes);
    let outcome = fill_blocks(source, plan, &ChecksumStore::new(&plan.arrays), progress);
    progress.end();
    let Outcome::Done(blocks) = outcome? else {
        return Err(Error::input("elements that were written do not fit their rows any more"));
    };
    let mut found = Vec::new();
    for (array, blocks) in plan.arrays.iter().zip(blocks) {
        let file = PathBuf::from(format!("{}.npy", array.name));
        let Some(record) = manifest.arrays.iter().find(|record| record.file == file) else {
            found.push(Difference { file, what: "the array was not written".into() });
            continue;
        };
        if let Some(number) =
            (0..blocks.len().max(record.blocks.len())).find(|at| blocks.get(*at) != record.blocks.get(*at))
        {
            let first = number as u64 * manifest.block_rows;
            found.push(Difference {
                file,
                what: format!("the dataset gives other rows from element {first} on"),
            });
        }
    }
    Ok(found)
}
