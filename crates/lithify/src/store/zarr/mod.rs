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
//! What is gathered in memory is a *slab*: the rows that a file holds, with all of their other axes. Blocks need not be
//! whole slabs. What a block has of a slab that is not its own alone is kept until the last block that has a part in it has
//! brought that, and whoever brings it encodes the slab. So no file is ever read again, and none is written by two threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::files::{FileRecord, write_whole};
use super::{Output, Region, Store, Stored, changed};
use crate::error::Result;
use crate::plan::{ArrayPlan, Layout};

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
}

/// An array on its way to its files.
struct Target {
    name: String,
    /// Bytes of the array, and of a slab that is not the last.
    bytes: u64,
    slab_bytes: u64,
    encoder: Encoder,
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
            let slab_bytes = encoder.slab_rows().saturating_mul(array.row_bytes());
            Ok(Target { name: array.name.clone(), bytes: array.bytes(), slab_bytes, encoder })
        };
        Ok(Self {
            directory: directory.to_path_buf(),
            arrays: arrays.iter().map(target).collect::<Result<_>>()?,
            waiting: Mutex::default(),
            files: Mutex::new(files),
        })
    }

    /// Encodes and writes a slab that is complete. Its memory may be made larger, to the size of a chunk.
    fn write(&self, array: usize, slab: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let target = &self.arrays[array];
        target.encoder.encode(slab, bytes, &mut |key, encoded| {
            let record = write_whole(&self.directory, Path::new(&target.name).join(key), encoded)?;
            self.files.lock().unwrap_or_else(PoisonError::into_inner).push(record);
            Ok(())
        })
    }

    /// Takes a part of a slab, and writes the slab if that was the last of it.
    fn part(&self, array: usize, slab: u64, at: usize, part: &[u8]) -> Result<()> {
        let whole = self.arrays[array].bytes_of(slab);
        let partial = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match waiting.entry((array, slab)) {
                Entry::Occupied(there) => Arc::clone(there.get()),
                Entry::Vacant(free) => {
                    let new = Partial { bytes: vec![0; whole], filled: 0 };
                    Arc::clone(free.insert(Arc::new(Mutex::new(new))))
                }
            }
        };
        let mut partial = partial.lock().unwrap_or_else(PoisonError::into_inner);
        // It is gone where it was complete before: then blocks overlap, and that is not what was planned.
        let place = partial.bytes.get_mut(at..at + part.len()).ok_or_else(changed)?;
        place.copy_from_slice(part);
        partial.filled += part.len();
        if partial.filled < whole {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut partial.bytes);
        drop(partial);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&(array, slab));
        self.write(array, slab, &mut bytes)
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
