//! Mapped memory: the only `unsafe` of the library.

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};

/// Maps `length` bytes of a file from `offset` on, to be filled in place. Dropping the map unmaps it; the bytes are then
/// in the page cache, as after a `write`.
///
/// The file must be one that this run has made and reserved: see the argument below.
///
/// # Errors
/// The file system cannot map files, or the process may not map so much.
pub(super) fn map(file: &File, offset: u64, length: usize) -> io::Result<MmapMut> {
    #[expect(unsafe_code, reason = "mapping a file is what this module is for")]
    // SAFETY: a mapped slice is sound as long as nobody else changes or cuts the file beneath it.
    // - The file lies in a staging directory that this run has made, under a name that only this run uses, and is locked
    //   against a second run; it is renamed to its final name after the last map is gone.
    // - Its space is reserved (`fallocate`), and it is never cut, so that a store to it cannot fail with a signal for
    //   want of disk. Callers never map beyond its end.
    // - Two maps may share a page, but what is lent of them never overlaps: each block owns its bytes of each array.
    //   They are different memory to the compiler, and the kernel keeps maps of one file in one process coherent.
    unsafe {
        MmapOptions::new().offset(offset).len(length).map_mut(file)
    }
}
