//! Mapped memory: the only `unsafe` of the library, beside its calls into libjpeg.

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::{MmapOptions, MmapRaw};

/// Maps start and end at multiples of this where they can, in bytes. It is the size of a huge page: a file system that
/// keeps a file in large folios then maps one at a single fault, which was measured to be ten to twenty times faster
/// than what it does for a map that starts anywhere else.
pub(super) const ALIGNMENT: u64 = 2 << 20;

/// A range of a file's bytes, mapped, to be filled in place. Dropping it unmaps it; the bytes are then in the page cache,
/// as after a `write`.
pub(super) struct MappedRange {
    map: MmapRaw,
    /// Where the range starts in the map, which starts earlier.
    start: usize,
    length: usize,
}

impl MappedRange {
    /// Maps `length` bytes from `offset` on, of a file that has `end` bytes.
    ///
    /// The file must be one that this run has made and reserved: see the argument below.
    ///
    /// # Errors
    /// The range is not within the file, the file system cannot map files, or the process may not map so much.
    pub(super) fn new(file: &File, offset: u64, length: usize, end: u64) -> io::Result<Self> {
        let stop = offset
            .checked_add(length as u64)
            .filter(|stop| *stop <= end)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let from = offset / ALIGNMENT * ALIGNMENT;
        let to = stop.next_multiple_of(ALIGNMENT).min(end);
        let bytes = usize::try_from(to - from).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let map = MmapOptions::new().offset(from).len(bytes).map_raw(file)?;
        Ok(Self { map, start: usize::try_from(offset - from).unwrap_or(usize::MAX), length })
    }
}

// SAFETY, of both: `start + length` lies within the map, as `new` has checked, and the map lives as long as `self`. What
// is lent is sound as long as nobody else changes those bytes or cuts the file beneath them:
// - The file lies in a staging directory that this run has made, under a name that only this run uses, and is locked
//   against a second run; it is renamed to its final name after the last map is gone.
// - Its space is reserved (`fallocate`), and it is never cut, so that a store to it cannot fail with a signal for want
//   of disk.
// - Maps of two blocks may share pages, but only a block's own bytes are ever made a slice, and no two blocks own the
//   same bytes. The kernel keeps all maps of one file in one process coherent.
impl Deref for MappedRange {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        #[expect(unsafe_code, reason = "lending mapped memory is what this module is for")]
        // SAFETY: see above.
        unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().add(self.start), self.length)
        }
    }
}

impl DerefMut for MappedRange {
    fn deref_mut(&mut self) -> &mut [u8] {
        #[expect(unsafe_code, reason = "lending mapped memory is what this module is for")]
        // SAFETY: see above.
        unsafe {
            std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.start), self.length)
        }
    }
}
