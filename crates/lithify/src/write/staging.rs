//! The directory that an output is made in, and the lock that keeps a second run away from it.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::unfinished::PLAN;
use super::{tasks, there};
use crate::error::{Error, ErrorKind, Result, printable};

/// A directory beside the output, where that is made, and its lock.
///
/// ```text
/// .OUT.lithify-partial/
///   output/      gets the name OUT when it is complete (or its files get theirs beside OUT.npy)
///   slabs/       what of chunks is not yet as it will be stored
///   plan.json    what is made, and of what
///   journal      how far it is
///   complete     it is complete, and on its way to its name
///   tasks/       what the tasks of a batch job have done
///   replaced/    what it takes the place of, until all is in place
/// ```
/// Only its owner sees what is in it: who may see the output is decided when that gets its name.
pub struct Staging {
    /// What is to be made.
    target: PathBuf,
    path: PathBuf,
    /// Directories above that were made for it.
    made: Vec<PathBuf>,
    /// Where in it the output is made.
    inside: PathBuf,
    /// Whether what is done stays, to be gone on with.
    keep: Cell<bool>,
    lock: Option<Lock>,
}

impl Staging {
    /// Locks the place beside an output. What an earlier run has left stays.
    ///
    /// # Errors
    /// Another run is at work on the output, or files cannot be made there.
    pub(super) fn lock(output: &Path) -> Result<Self> {
        if output.file_name().is_none() {
            return Err(Error::request(format!("`{}` is no name for an output", printable(output))));
        }
        let parent = parent_of(output);
        let made = parent.ancestors().take_while(|above| !above.exists()).map(Path::to_path_buf).collect();
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        let mut staging = Self {
            target: output.to_path_buf(),
            path: hidden(output, "partial"),
            made,
            inside: PathBuf::new(),
            keep: Cell::new(true),
            lock: None,
        };
        if there::look(&staging.path)?.is_some_and(|there| there.is_symlink()) {
            let message = format!("`{}` is a symbolic link", printable(&staging.path));
            return Err(Error::new(ErrorKind::Output, message).hint("remove it"));
        }
        staging.lock = Some(Lock::take(hidden(output, "lock"), output)?);
        Ok(staging)
    }

    /// Whether something is being made, or was left, of an output.
    #[must_use]
    pub fn is_begun(output: &Path) -> bool {
        hidden(output, "partial").exists()
    }

    /// Where an output is made.
    pub(super) fn of(output: &Path) -> PathBuf {
        hidden(output, "partial")
    }

    /// Makes the directory.
    pub(super) fn create(&self) -> Result<()> {
        let made = DirBuilder::new().mode(0o700).create(&self.path);
        made.and_then(|()| fs::create_dir_all(self.output())).map_err(|e| Error::io("create", &self.path, e))
    }

    /// What is to be made.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Removes what is there.
    pub(super) fn clear(&self) -> Result<()> {
        self.keep.set(false);
        // The plan first: without it, whatever else is left when this is cut short is gone on with by nobody.
        let _ = fs::remove_file(tasks::mark(&self.path));
        let _ = fs::remove_file(self.path.join(PLAN));
        match fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &self.path, e)),
            _ => Ok(()),
        }
    }

    /// Says whether what is there stays when this goes.
    pub(super) fn keep(&self, keep: bool) {
        self.keep.set(keep);
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The same place, inside of which the output is made in a directory.
    pub(super) fn making_in(mut self, directory: &Path) -> Self {
        self.inside = directory.to_path_buf();
        self
    }

    /// What is to become the output.
    pub(super) fn output(&self) -> PathBuf {
        self.path.join(&self.inside).join("output")
    }

    /// Where slabs of chunks are until they are complete.
    pub(super) fn slabs(&self) -> PathBuf {
        self.path.join("slabs")
    }

    /// What is replaced is kept there until all is done.
    pub(super) fn replaced(&self) -> PathBuf {
        self.path.join("replaced")
    }

    /// Bytes of the disk that it takes.
    pub(crate) fn disk(&self) -> u64 {
        Self::disk_of(&self.target)
    }

    /// The same of what is, or was, being made of an output.
    pub(crate) fn disk_of(output: &Path) -> u64 {
        fn below(path: &Path) -> u64 {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => below(&entry.path()),
                    Ok(metadata) => metadata.blocks() * 512,
                    Err(_) => 0,
                })
                .sum()
        }
        below(&Self::of(output))
    }
}

/// The directory that an output is in.
fn parent_of(output: &Path) -> &Path {
    output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A hidden name beside an output.
fn hidden(output: &Path, ending: &str) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    parent_of(output).join(format!(".{name}.lithify-{ending}"))
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing there is nothing left, or what was replaced. What cannot be removed does no harm.
        if !self.keep.get() {
            let _ = self.clear();
        }
        self.lock = None;
        for above in &self.made {
            // Those that hold something stay.
            let _ = fs::remove_dir(above);
        }
    }
}

/// A locked file beside what is renamed, so that it stays locked through the renaming.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Opens the file, or makes it. One of another user can still be read, and so be found to be locked.
    fn open(path: &Path) -> Result<File> {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = File::options();
        options.read(true).custom_flags(no_follow);
        let file = options.clone().create(true).write(true).truncate(false).open(path);
        let file = file.or_else(|e| match e.kind() {
            std::io::ErrorKind::PermissionDenied => options.open(path).map_err(|_| e),
            _ => Err(e),
        });
        file.map_err(|e| match e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            true => Error::new(ErrorKind::Output, format!("`{}` is a symbolic link", printable(path)))
                .hint("remove it"),
            false => Error::io("create files in", path.parent().unwrap_or(path), e),
        })
    }

    fn take(path: PathBuf, output: &Path) -> Result<Self> {
        loop {
            let mut file = Self::open(&path)?;
            match file.try_lock() {
                // Some file systems do not lock; names that only one run uses would not help against a second run either.
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder);
                    let who = if holder.is_empty() { "another process" } else { holder.trim_end() };
                    return Err(Error::new(
                        ErrorKind::Output,
                        format!("{who} is writing `{}`", printable(output)),
                    )
                    .hint("wait for it, or give another output"));
                }
            }
            // Of another user, who has it no more.
            if file.metadata().is_ok_and(|there| there.uid() != rustix::process::geteuid().as_raw())
                && File::options().append(true).open(&path).is_err()
            {
                let message = format!("another user has left `{}`", printable(&path));
                return Err(Error::new(ErrorKind::Output, message).hint("remove it"));
            }
            // The run that had the lock may have removed the file between our opening and our locking it.
            let inode =
                |metadata: std::io::Result<fs::Metadata>| metadata.map(|metadata| metadata.ino()).ok();
            if inode(file.metadata()) == inode(fs::metadata(&path)) {
                let host = rustix::system::uname();
                let host = host.nodename().to_string_lossy();
                // Only told to whoever comes: where it cannot be written, something else will fail, too.
                let _ =
                    file.set_len(0).and_then(|()| writeln!(file, "process {} on {host}", std::process::id()));
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
