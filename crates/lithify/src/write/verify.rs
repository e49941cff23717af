//! Whether an output still is what was written, and what the dataset would give again.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::manifest::{ArrayRecord, Manifest, directory_of, path_for};
use super::publish::foreign_files;
use super::{Notes, Outcome, fill_blocks};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel::on_threads;
use crate::plan::{Layout, Plan};
use crate::progress::Progress;
use crate::source::Source;
use crate::store::files::FileRecord;
use crate::store::npy::{self, ChecksumStore};
use crate::store::{Checksum, Hasher};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file, or the directory of a Zarr array.
    pub file: PathBuf,
    /// What is wrong.
    pub what: String,
    /// How it can be made right.
    pub cure: Cure,
}

/// How something that is not as it was written can be made right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cure {
    /// By the header of the array, and the rows of these blocks.
    Blocks(Vec<u64>),
    /// By the file of a Zarr store, as a whole.
    File,
    /// Not by what the dataset gives.
    None,
}

/// Reads an output and compares it with its checksums.
///
/// # Errors
/// The output cannot be read. Differences are no errors: they are what is given.
pub fn verify(output: &Path, threads: usize, progress: &dyn Progress) -> Result<Vec<Difference>> {
    let manifest = Manifest::read(output)?;
    let directory = directory_of(output);
    let mut found = match manifest.layout {
        Layout::NpyFile | Layout::NpyDirectory => {
            progress.begin("verify", manifest.bytes());
            let check = |array: &ArrayRecord| check_array(&directory, array, &manifest, progress);
            check_all(&manifest.arrays, threads, check)?
        }
        Layout::Zarr | Layout::Zarr2 => {
            progress.begin("verify", manifest.files.iter().map(|file| file.bytes).sum());
            let check = |file: &FileRecord| {
                let mut found = check_file(&directory, file, progress)?;
                if let Some((array, slab)) = slab_of(&file.path, &manifest) {
                    let array = &manifest.arrays[array];
                    let (all, rows) = (array.shape.first().copied().unwrap_or(1), slab_rows(array));
                    let first = slab.saturating_mul(rows);
                    let last = first.saturating_add(rows).min(all).saturating_sub(1);
                    let name = array.file.display();
                    for one in &mut found {
                        let _ = write!(one.what, ": rows {first} to {last} of `{name}`");
                    }
                }
                Ok(found)
            };
            let mut found = check_all(&manifest.files, threads, check)?;
            // A reader would take a chunk for one of the array's, whoever has put it there.
            let surplus = foreign_files(&directory, &manifest)?;
            let what = || "the file was not written by lithify".into();
            let differs = |file| Difference { file, what: what(), cure: Cure::None };
            found.extend(surplus.into_iter().map(differs));
            found
        }
    };
    progress.end();
    if !Manifest::is_as_written(output)? {
        let path = path_for(output);
        let file = path.strip_prefix(&directory).unwrap_or(&path).to_path_buf();
        found.push(Difference { file, what: "what it says has changed".into(), cure: Cure::None });
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

/// The array of which a file of a Zarr store holds rows, and the number of the slab that these are.
pub(super) fn slab_of(file: &Path, manifest: &Manifest) -> Option<(usize, u64)> {
    let is_its = |array: &ArrayRecord| array.zarr.is_some() && file.parent() == Some(&array.file);
    let array = manifest.arrays.iter().position(is_its)?;
    let name = file.file_name()?.to_str()?;
    Some((array, name.strip_prefix("c.").unwrap_or(name).split('.').next()?.parse().ok()?))
}

/// Rows of a slab of an array.
pub(super) fn slab_rows(array: &ArrayRecord) -> u64 {
    array.zarr.as_ref().map_or(1, |zarr| zarr.chunks.slab_rows())
}

/// Checks each of these on so many threads, and gives what all of them find.
fn check_all<T: Sync>(
    all: &[T],
    threads: usize,
    check: impl Fn(&T) -> Result<Vec<Difference>> + Sync,
) -> Result<Vec<Difference>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Ok(Vec::new()));
    on_threads(threads.min(all.len()), || {
        while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let differences = check(one);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *found, differences) {
                (Ok(all), Ok(mut more)) => all.append(&mut more),
                (Ok(_), Err(error)) => *found = Err(error),
                (Err(_), _) => {}
            }
        }
    })?;
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is there and has the size that it should have; or what is wrong.
struct Opened<'a> {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    progress: &'a dyn Progress,
}

impl<'a> Opened<'a> {
    fn new(path: PathBuf, bytes: u64, progress: &'a dyn Progress) -> Result<Result<Self, String>> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Err("the file is missing".into()));
            }
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        let there = file.metadata().map_err(|e| Error::io("look at", &path, e))?.len();
        if there != bytes {
            return Ok(Err(format!("the file has {there} bytes instead of {bytes}")));
        }
        Ok(Ok(Self { file, path, buffer: vec![0; READ_BYTES], progress }))
    }

    /// The checksum of the next so many bytes.
    fn hash(&mut self, bytes: u64) -> Result<Checksum> {
        if self.progress.cancelled() {
            return Err(Error::new(ErrorKind::Interrupted, "stopped as asked"));
        }
        let mut hasher = Hasher::new();
        let mut left = bytes;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            let buffer = &mut self.buffer[..piece];
            self.file.read_exact(buffer).map_err(|e| Error::io("read", &self.path, e))?;
            hasher.update(buffer);
            left -= piece as u64;
            self.progress.advance(piece as u64);
        }
        Ok(hasher.finish())
    }
}

fn check_file(directory: &Path, record: &FileRecord, progress: &dyn Progress) -> Result<Vec<Difference>> {
    let differs = |what: String| Ok(vec![Difference { file: record.path.clone(), what, cure: Cure::File }]);
    match Opened::new(directory.join(&record.path), record.bytes, progress)? {
        Err(what) => differs(what),
        Ok(mut file) => match file.hash(record.bytes)? == record.checksum {
            true => Ok(Vec::new()),
            false => differs("the file has changed".into()),
        },
    }
}

fn check_array(
    directory: &Path,
    array: &ArrayRecord,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<Vec<Difference>> {
    let differs =
        |what: String, blocks| Difference { file: array.file.clone(), what, cure: Cure::Blocks(blocks) };
    let header = npy::header(array.dtype, &array.shape).len() as u64;
    let wanted = header + array.blocks.iter().map(|block| block.0).sum::<u64>();
    let mut file = match Opened::new(directory.join(&array.file), wanted, progress)? {
        Ok(file) => file,
        Err(what) => return Ok(vec![differs(what, (0..array.blocks.len() as u64).collect())]),
    };
    let mut found = Vec::new();
    if Some(file.hash(header)?) != array.header {
        found.push(differs("the header has changed".into(), Vec::new()));
    }
    let mut at = header;
    for (number, (bytes, checksum)) in array.blocks.iter().enumerate() {
        if file.hash(*bytes)? != *checksum {
            let first = number as u64 * manifest.block_rows;
            let last = (first + manifest.block_rows).min(manifest.elements).saturating_sub(1);
            let what =
                format!("the rows of elements {first} to {last} have changed (bytes {at} to {})", at + bytes);
            found.push(differs(what, vec![number as u64]));
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
    let store = ChecksumStore::new(&plan.arrays);
    let outcome = fill_blocks(source, plan, &store, progress, Notes::of(plan), None)
        .and_then(|attempt| attempt.outcome(plan));
    progress.end();
    let Outcome::Done(filled) = outcome? else {
        return Err(Error::input("elements that were written do not fit their rows any more"));
    };
    let mut found = Vec::new();
    for (array, blocks) in plan.arrays.iter().zip(filled.arrays) {
        let file = plan.layout.path_of(&array.name);
        let Some(record) = manifest.arrays.iter().find(|record| record.file == file) else {
            found.push(Difference { file, what: "the array was not written".into(), cure: Cure::None });
            continue;
        };
        if let Some(number) =
            (0..blocks.len().max(record.blocks.len())).find(|at| blocks.get(*at) != record.blocks.get(*at))
        {
            let first = number as u64 * manifest.block_rows;
            found.push(Difference {
                file,
                what: format!("the dataset gives other rows from element {first} on"),
                cure: Cure::None,
            });
        }
    }
    Ok(found)
}
