//! Zarr stores, of version 3 unless the layout says 2: groups and arrays of chunks, each encoded and written once, whole.
//!
//! ```text
//! OUT.zarr/
//!   zarr.json             the root group, with the metadata of all that is below it
//!   NAME/zarr.json        an array: shape, dtype, chunks, codecs, fill value, names of axes, attributes
//!   NAME/c.0.0            a chunk, or a shard of chunks: absent where it would hold the fill value alone
//! ```
//! Chunks of one array stand in one directory (a separator `.` instead of `/`), which takes a third of the inodes.
//!
//! A *slab* is the rows that a file holds, with all of their other axes, and a *band* the rows that a chunk holds. A block that
//! has all of a slab encodes it band by band, as it is filled. But blocks need not be whole slabs: what a block has of a slab that
//! is not its own alone is kept until the last block that has a part in it has brought that, and whoever brings it encodes
//! the slab. So no file is ever read again, and none is written by two threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{FileRecord, write_whole};
use super::{Output, Region, Store, Stored, changed};
use crate::error::{Error, Result};
use crate::plan::{ArrayPlan, Layout, Rows, ZarrArray};

mod codec;
mod encode;
mod metadata;
mod metadata_v2;
mod region;

use encode::Encoder;
use region::SlabRegion;

/// A Zarr store under way.
pub struct ZarrStore {
    directory: PathBuf,
    arrays: Vec<Target>,
    /// Slabs that are filled in part, by array and number.
    waiting: Mutex<HashMap<(usize, u64), Waiting>>,
    /// The files that are written.
    files: Mutex<Vec<FileRecord>>,
    /// Memory for a chunk that nobody uses now.
    rooms: Mutex<Vec<Vec<u8>>>,
}

/// An array on its way to its files.
struct Target {
    /// Bytes of the array, of a slab that is not the last, and of a band.
    bytes: u64,
    slab_bytes: u64,
    band_bytes: u64,
    /// Whether it has a row for each element, so that what is expected of a block is what comes.
    by_elements: bool,
    encoder: Encoder,
    /// Windows that nobody uses now.
    windows: Mutex<Vec<Vec<u8>>>,
}

/// A slab that several blocks fill, in turns.
type Waiting = Arc<Mutex<Partial>>;

/// What they have filled of it.
struct Partial {
    bytes: Vec<u8>,
    filled: usize,
}

impl Target {
    /// Bytes of a slab.
    fn bytes_of(&self, slab: u64) -> usize {
        let left = self.bytes.saturating_sub(slab.saturating_mul(self.slab_bytes));
        usize::try_from(left.min(self.slab_bytes)).unwrap_or(usize::MAX)
    }
}

impl ZarrStore {
    /// Begins a store of these arrays in a directory.
    ///
    /// # Errors
    /// An array is not planned for Zarr, or the files of its metadata cannot be made.
    pub fn create(directory: &Path, layout: Layout, arrays: &[ArrayPlan]) -> Result<Self> {
        let mut files = Vec::new();
        let documents = match layout {
            Layout::Zarr2 => metadata_v2::documents(arrays)?,
            _ => metadata::documents(arrays)?,
        };
        for (path, document) in documents {
            files.push(write_whole(directory, path, &document)?);
        }
        let target = |array: &ArrayPlan| {
            let encoder = Encoder::new(array, layout)?;
            Ok(Target {
                bytes: array.bytes(),
                slab_bytes: encoder.slab_rows().saturating_mul(array.row_bytes()),
                band_bytes: encoder.band_rows().saturating_mul(array.row_bytes()),
                by_elements: array.rows == Rows::Elements,
                encoder,
                windows: Mutex::default(),
            })
        };
        Ok(Self {
            directory: directory.to_path_buf(),
            arrays: arrays.iter().map(target).collect::<Result<_>>()?,
            waiting: Mutex::default(),
            files: Mutex::new(files),
            rooms: Mutex::default(),
        })
    }

    /// Memory that was a window before: to take it anew for each block costs as much as to fill it.
    fn spare_window(&self, array: usize) -> Vec<u8> {
        lock(&self.arrays[array].windows).pop().unwrap_or_default()
    }

    fn keep_window(&self, array: usize, window: Vec<u8>) {
        lock(&self.arrays[array].windows).push(window);
    }

    /// Lends memory for a chunk.
    fn with_room<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut room = lock(&self.rooms).pop().unwrap_or_default();
        let outcome = work(&mut room);
        lock(&self.rooms).push(room);
        outcome
    }

    fn add_files(&self, files: Vec<FileRecord>) {
        lock(&self.files).extend(files);
    }

    /// Encodes and writes a slab that is complete.
    fn write(&self, array: usize, slab: u64, bytes: &[u8]) -> Result<()> {
        let target = &self.arrays[array];
        let mut writer = target.encoder.begin(&self.directory, slab);
        let band = usize::try_from(target.band_bytes).unwrap_or(usize::MAX);
        self.with_room(|room| bytes.chunks(band).try_for_each(|band| writer.rows(band, room)))?;
        self.add_files(writer.finish()?);
        Ok(())
    }

    /// Takes a part of a slab, and writes the slab if that was the last of it.
    fn part(&self, array: usize, at: u64, part: &[u8]) -> Result<()> {
        let slab_bytes = self.arrays[array].slab_bytes;
        let (slab, at) = (at / slab_bytes, usize::try_from(at % slab_bytes).unwrap_or(usize::MAX));
        let whole = self.arrays[array].bytes_of(slab);
        let partial = {
            let mut waiting = lock(&self.waiting);
            match waiting.entry((array, slab)) {
                Entry::Occupied(there) => Arc::clone(there.get()),
                Entry::Vacant(free) => {
                    let new = Partial { bytes: vec![0; whole], filled: 0 };
                    Arc::clone(free.insert(Arc::new(Mutex::new(new))))
                }
            }
        };
        let mut partial = lock(&partial);
        // It is gone where it was complete before: then blocks overlap, and that is not what was planned.
        let place = partial.bytes.get_mut(at..at + part.len()).ok_or_else(changed)?;
        place.copy_from_slice(part);
        partial.filled += part.len();
        if partial.filled < whole {
            return Ok(());
        }
        let bytes = std::mem::take(&mut partial.bytes);
        drop(partial);
        lock(&self.waiting).remove(&(array, slab));
        self.write(array, slab, &bytes)
    }
}

impl Store for ZarrStore {
    fn region(&self, array: usize, offset: u64, expected: u64) -> Result<Box<dyn Region + '_>> {
        Ok(Box::new(SlabRegion::new(self, array, offset, expected)))
    }
}

impl Output for ZarrStore {
    fn finish(self: Box<Self>) -> Result<Stored> {
        if !self.waiting.into_inner().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Err(changed());
        }
        let mut files = self.files.into_inner().unwrap_or_else(PoisonError::into_inner);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Stored { headers: Vec::new(), files })
    }
}

/// What is planned for an array in a Zarr store.
fn planned(array: &ArrayPlan) -> Result<&ZarrArray> {
    let missing =
        || Error::request(format!("`{}` cannot be kept in Zarr: its chunks are not planned", array.name));
    array.zarr.as_deref().ok_or_else(missing)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
