//! What of an array is kept aside, as it is, until somebody has all that belongs to it: bytes of a slab that several blocks fill,
//! and those beside the border between two processes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::not_as_left;
use crate::error::{Error, Result};

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// A directory of pieces of arrays, a file each, whose name tells of which array it is and where in that it begins.
pub(super) struct Aside {
    directory: PathBuf,
    /// Where an earlier process has kept the same: its files are looked at, and never written.
    before: Option<PathBuf>,
    taking: Mutex<()>,
}

impl Aside {
    /// Makes the directory, unless it is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn open(directory: &Path, before: Option<PathBuf>) -> Result<Self> {
        super::make_directory(directory)?;
        Ok(Self { directory: directory.to_path_buf(), before, taking: Mutex::default() })
    }

    /// The file of a piece, to be read and written, and its path. One that an earlier process has begun is taken over.
    ///
    /// # Errors
    /// It cannot be opened, or is not there although it `must` be.
    pub(super) fn file(&self, array: usize, start: u64, must: bool) -> Result<(File, PathBuf)> {
        let name = name(array, start);
        let path = self.directory.join(&name);
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = self.before.as_ref().map(|before| before.join(&name)).filter(|_| !path.exists())
            && before.exists()
        {
            // It may still be written there, by a process that was thought to be dead.
            let taken = path.with_extension("taken");
            copy(&before, &taken)
                .and_then(|()| fs::rename(&taken, &path))
                .map_err(|e| Error::io("copy", &before, e))?;
        }
        if must && !path.exists() {
            return Err(not_as_left(&path, "it is not there any more".into()));
        }
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        Ok((file.map_err(|e| Error::io("open", &path, e))?, path))
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
