//! What of an array is kept aside, as it is, until somebody has all that belongs to it: bytes of a slab that several blocks fill,
//! and those beside the border between two processes.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::not_as_left;
use crate::error::{Error, Result};

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// A directory of pieces of arrays, a file each, whose name tells of which array it is and where in that it begins.
pub(super) struct Aside {
    directory: PathBuf,
}

impl Aside {
    /// Makes the directory, unless it is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        super::make_directory(directory)?;
        Ok(Self { directory: directory.to_path_buf() })
    }

    /// The file of a piece, to be read and written, and its path.
    ///
    /// # Errors
    /// It cannot be opened, or is not there although it `must` be.
    pub(super) fn file(&self, array: usize, start: u64, must: bool) -> Result<(File, PathBuf)> {
        let path = self.directory.join(name(array, start));
        let file = File::options().create(!must).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(|e| match e.kind() {
            ErrorKind::NotFound if must => not_as_left(&path, "it is not there any more".into()),
            _ => Error::io("open", &path, e),
        });
        Ok((file?, path))
    }

    /// Takes a piece over from where another process has kept it.
    ///
    /// # Errors
    /// It is not there, or cannot be copied.
    pub(super) fn take_over(&self, from: &Path, array: usize, start: u64) -> Result<()> {
        let name = name(array, start);
        let (from, to) = (from.join(&name), self.directory.join(&name));
        copy(&from, &to).map_err(|e| Error::io("copy", &from, e))
    }

    /// Writes bytes of a piece, from byte `at` of it on.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn write(&self, array: usize, start: u64, bytes: &[u8], at: u64) -> Result<()> {
        let (file, path) = self.file(array, start, false)?;
        file.write_all_at(bytes, at).map_err(|e| Error::io("write", &path, e))
    }
}

/// The name of the file of a piece.
pub(crate) fn name(array: usize, start: u64) -> String {
    format!("{array}.{start}")
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let (from, to) = (File::open(from)?, File::create(to)?);
    let bytes = from.metadata()?.len();
    let (mut piece, mut at) = (vec![0; COPY_BYTES], 0);
    while at < bytes {
        let count = from.read_at(&mut piece, at)?;
        if count == 0 {
            break;
        }
        // What was never written stays a hole.
        if piece[..count].iter().any(|byte| *byte != 0) {
            to.write_all_at(&piece[..count], at)?;
        }
        at += count as u64;
    }
    to.set_len(bytes)
}
