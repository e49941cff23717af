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
//! is not its own alone goes to a file beside the store, as it is, and whoever brings the last part encodes the slab from there.
//! So no file of the store is written by two threads, and none is written twice.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::aside::Aside;
use super::files::{FileRecord, Files, write_whole};
use super::share::Share;
use super::{Opening, Output, Region, Store, Stored, UNKNOWN_BYTES, changed, not_as_left};
use crate::error::{Error, Result};
use crate::plan::memory::BUFFER_BYTES;
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
    files: Files,
    layout: Layout,
    arrays: Vec<Target>,
    /// Where slabs are that several blocks fill.
    slabs: Aside,
    /// How many bytes of them are filled, by array and number, until all are.
    waiting: Mutex<HashMap<(usize, u64), Waiting>>,
    /// What of the arrays comes here, if not all of them.
    share: Option<Share>,
    /// The files of metadata.
    documents: Vec<FileRecord>,
    /// Memory for a chunk that nobody uses now.
    rooms: Mutex<Vec<Vec<u8>>>,
}

/// A slab that several blocks fill.
#[derive(Default)]
struct Waiting {
    filled: u64,
    /// Whether an earlier run has filled a part, so that its file must be there.
    restored: bool,
}

/// An array on its way to its files.
struct Target {
    /// Bytes of the array, of a slab that is not the last, and of a band.
    bytes: u64,
    slab_bytes: u64,
    band_bytes: u64,
    /// Whether it has a row for each element, so that what is expected of a block is what comes.
    by_elements: bool,
    /// Where what comes here of it begins.
    from: u64,
    /// What of that is whole slabs.
    own: Range<u64>,
    encoder: Encoder,
    /// Windows that nobody uses now.
    windows: Mutex<Vec<Vec<u8>>>,
}

impl Target {
    /// Whether a region that ends there has all of the slab in which byte `at` of the array is, and that is its first.
    fn is_filled_alone(&self, at: u64, end: u64) -> bool {
        let slab = at / self.slab_bytes;
        let slab_end = slab * self.slab_bytes + self.bytes_of(slab);
        self.by_elements && at.is_multiple_of(self.slab_bytes) && slab_end <= end
    }

    /// Where a slab begins of what comes here of it.
    fn start_of(&self, slab: u64) -> u64 {
        slab.saturating_mul(self.slab_bytes).max(self.from)
    }

    /// Bytes of a slab.
    fn bytes_of(&self, slab: u64) -> u64 {
        self.bytes.saturating_sub(slab.saturating_mul(self.slab_bytes)).min(self.slab_bytes)
    }
}

impl ZarrStore {
    /// Opens a store of these arrays in a directory; `slabs` is another, for what several blocks fill together.
    ///
    /// # Errors
    /// An array is not planned for Zarr, or the files of its metadata cannot be made.
    pub fn open(
        directory: &Path,
        slabs: &Path,
        layout: Layout,
        arrays: &[ArrayPlan],
        opening: Opening<'_>,
    ) -> Result<Self> {
        let (files, share) = match opening {
            Opening::New | Opening::Growing | Opening::Again => (Files::alone(directory), None),
            Opening::Share(share) => {
                (Files::shared(directory, &share.unfinished, share.scratch.as_deref())?, Some(share))
            }
        };
        let growing = matches!(opening, Opening::Growing);
        // Those who write a share find them; shapes that are not known are written when they are.
        let documents =
            if share.is_none() && !growing { write_documents(&files, layout, arrays)? } else { Vec::new() };
        let target = |(number, array): (usize, &ArrayPlan)| {
            let encoder = Encoder::new(array, layout)?;
            let bytes = if growing { UNKNOWN_BYTES } else { array.bytes() };
            let slab_bytes = encoder.slab_rows().saturating_mul(array.row_bytes());
            let own = |share: &Share| share.own(number, slab_bytes.max(1), 0, bytes);
            Ok(Target {
                bytes,
                slab_bytes,
                band_bytes: encoder.band_rows().saturating_mul(array.row_bytes()),
                by_elements: array.rows == Rows::Elements,
                from: share.map_or(0, |share| share.ranges[number].start),
                own: share.map_or(0..bytes, own),
                encoder,
                windows: Mutex::default(),
            })
        };
        Ok(Self {
            arrays: arrays.iter().enumerate().map(target).collect::<Result<_>>()?,
            slabs: Aside::open(slabs)?,
            files,
            layout,
            share: share.cloned(),
            waiting: Mutex::default(),
            documents,
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

    /// Takes a part of a slab, and encodes the slab if that was the last of it; gives the files that this has made.
    fn part(&self, array: usize, at: u64, part: &[u8]) -> Result<Vec<FileRecord>> {
        let target = &self.arrays[array];
        let slab = at / target.slab_bytes;
        let start = target.start_of(slab);
        let restored = lock(&self.waiting).get(&(array, slab)).is_some_and(|waiting| waiting.restored);
        let (file, path) = self.slabs.file(array, start, restored)?;
        file.write_all_at(part, at - start).map_err(|e| Error::io("write", &path, e))?;
        let filled = {
            let mut waiting = lock(&self.waiting);
            let waiting = waiting.entry((array, slab)).or_default();
            waiting.filled += part.len() as u64;
            waiting.filled
        };
        if filled < target.bytes_of(slab) {
            return Ok(Vec::new());
        }
        lock(&self.waiting).remove(&(array, slab));
        self.encode(array, slab, &file, &path)
    }

    /// Encodes a slab that is complete.
    fn encode(&self, array: usize, slab: u64, from: &File, path: &Path) -> Result<Vec<FileRecord>> {
        let target = &self.arrays[array];
        let bytes = target.bytes_of(slab);
        let step = if target.encoder.in_pieces() { BUFFER_BYTES } else { target.band_bytes };
        let mut writer = target.encoder.begin(&self.files, slab);
        let mut band = self.spare_window(array);
        let mut at = 0;
        while at < bytes {
            let count = usize::try_from(step.min(bytes - at)).unwrap_or(usize::MAX);
            band.resize(count, 0);
            from.read_exact_at(&mut band, at).map_err(|e| match e.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    not_as_left(path, format!("it ends at byte {at} or after"))
                }
                _ => Error::io("read", path, e),
            })?;
            self.with_room(|room| writer.rows(&band, room))?;
            at += count as u64;
        }
        self.keep_window(array, band);
        writer.finish()
    }
}

impl Store for ZarrStore {
    fn region(&self, array: usize, offset: u64, expected: u64) -> Result<Box<dyn Region + '_>> {
        Ok(Box::new(SlabRegion::new(self, array, offset, expected)))
    }
}

impl Output for ZarrStore {
    fn restore(&self, array: usize, offset: u64, bytes: u64) -> Result<()> {
        let target = &self.arrays[array];
        let (mut at, end) = (offset, offset.saturating_add(bytes));
        while at < end {
            let slab = at / target.slab_bytes;
            let slab_end = slab * target.slab_bytes + target.bytes_of(slab);
            let part = slab_end.min(end) - at;
            if part == 0 {
                break;
            }
            if !target.is_filled_alone(at, end) {
                let mut all = lock(&self.waiting);
                let waiting = all.entry((array, slab)).or_default();
                waiting.filled += part;
                waiting.restored = true;
                // Whoever has brought the last part has encoded it.
                if waiting.filled == target.bytes_of(slab) {
                    all.remove(&(array, slab));
                }
            }
            at += part;
        }
        Ok(())
    }

    fn take_over(&self, aside: &Path) -> Result<()> {
        // Slabs that are complete are in their files.
        let waiting: Vec<_> = lock(&self.waiting).keys().copied().collect();
        waiting.into_iter().try_for_each(|(array, slab)| {
            self.slabs.take_over(aside, array, self.arrays[array].start_of(slab))
        })
    }

    fn pieces(&self) -> Result<Vec<(usize, Range<u64>)>> {
        let mut waiting: HashMap<_, _> = std::mem::take(&mut *lock(&self.waiting));
        let mut pieces = Vec::new();
        for (array, target) in self.arrays.iter().enumerate() {
            let Some(share) = &self.share else { continue };
            for piece in share.pieces(array, &target.own) {
                let filled = waiting.remove(&(array, piece.start / target.slab_bytes));
                if filled.is_none_or(|waiting| waiting.filled != piece.end - piece.start) {
                    return Err(changed());
                }
                pieces.push((array, piece));
            }
        }
        // All other slabs are complete.
        if waiting.is_empty() { Ok(pieces) } else { Err(changed()) }
    }

    fn cut(&mut self, arrays: &[ArrayPlan]) -> Result<Vec<FileRecord>> {
        for (target, array) in self.arrays.iter_mut().zip(arrays) {
            (target.bytes, target.own) = (array.bytes(), 0..array.bytes());
        }
        self.documents = write_documents(&self.files, self.layout, arrays)?;
        let mut files = Vec::new();
        for ((array, slab), waiting) in std::mem::take(&mut *lock(&self.waiting)) {
            let target = &self.arrays[array];
            if waiting.filled != target.bytes_of(slab) {
                return Err(changed());
            }
            let (file, path) = self.slabs.file(array, target.start_of(slab), false)?;
            files.extend(self.encode(array, slab, &file, &path)?);
        }
        Ok(files)
    }

    fn finish(self: Box<Self>) -> Result<Stored> {
        if !self.waiting.into_inner().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Err(changed());
        }
        Ok(Stored { headers: Vec::new(), files: self.documents })
    }
}

/// Writes the metadata of all groups and arrays.
fn write_documents(files: &Files, layout: Layout, arrays: &[ArrayPlan]) -> Result<Vec<FileRecord>> {
    let documents = match layout {
        Layout::Zarr2 => metadata_v2::documents(arrays)?,
        _ => metadata::documents(arrays)?,
    };
    documents.into_iter().map(|(path, text)| write_whole(files, path, &text)).collect()
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
