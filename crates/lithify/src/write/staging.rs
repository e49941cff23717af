//! The directory that an output is made in, and the lock that keeps a second run away from it.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result, printable};

/// A directory beside the output, where that is made: `output` in it gets the output's name when it is complete. It goes when it
/// is dropped, and then the lock.
pub(super) struct Staging {
    path: PathBuf,
    lock: Lock,
}

impl Staging {
    /// Makes the directory, empty.
    ///
    /// # Errors
    /// Another run is at work on the output, or the directory cannot be made.
    pub(super) fn create(output: &Path) -> Result<Self> {
        let name = output
            .file_name()
            .ok_or_else(|| Error::request(format!("`{}` is no name for an output", printable(output))))?;
        let parent = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        let hidden = |ending: &str| parent.join(format!(".{}.lithify-{ending}", name.to_string_lossy()));
        let lock = Lock::take(hidden("lock"), output)?;
        let path = hidden("partial");
        // What a killed run has left cannot be gone on with yet: it is made anew.
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("remove", &path, e)),
            _ => {}
        }
        let staging = Self { path, lock };
        let output = staging.output();
        fs::create_dir_all(&output).map_err(|e| Error::io("create", &output, e))?;
        Ok(staging)
    }

    /// What is to become the output.
    pub(super) fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// Where slabs of chunks are until they are complete.
    pub(super) fn slabs(&self) -> PathBuf {
        self.path.join("slabs")
    }

    /// What the files of an array that is replaced are kept in until all is done.
    pub(super) fn replaced(&self) -> PathBuf {
        self.path.join("replaced")
    }

    /// A name beside the output that only this run uses.
    pub(super) fn aside(&self) -> PathBuf {
        self.lock.path.with_extension("lithify-replaced")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing there is nothing left, or what was replaced. What cannot be removed does no harm. The lock is
        // a field, and so goes after this.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A locked file beside what is renamed, so that it stays locked through the renaming.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn take(path: PathBuf, output: &Path) -> Result<Self> {
        loop {
            let file = File::options()
                .create(true)
                .write(true)
                .truncate(false)
                .open(&path)
                .map_err(|e| Error::io("create files in", path.parent().unwrap_or(&path), e))?;
            match file.try_lock() {
                // Some file systems do not lock; names that only one run uses would not help against a second run either.
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(
                        ErrorKind::Output,
                        format!("another process is writing `{}`", printable(output)),
                    )
                    .hint("wait for it, or give another output"));
                }
            }
            // The run that had the lock may have removed the file between our opening and our locking it.
            let inode =
                |metadata: std::io::Result<fs::Metadata>| metadata.map(|metadata| metadata.ino()).ok();
            if inode(file.metadata()) == inode(fs::metadata(&path)) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It is removed while it is still locked: see above. What cannot be removed does no harm.
        let _ = fs::remove_file(&self.path);
    }
}
