//! Files that are written once, whole, and told by a checksum.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Checksum, Hasher};
use crate::error::{Error, Result};

/// A file of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Where it is, from the directory of the output.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub checksum: Checksum,
}

/// Where the files of a store are made.
pub(super) struct Files {
    directory: PathBuf,
    /// Where they are until they are complete, if others may be writing the same ones: on the file system of the directory, and
    /// before that perhaps on another.
    apart: Option<(PathBuf, Option<PathBuf>)>,
}

impl Files {
    /// Files that nobody else writes.
    pub(super) fn alone(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), apart: None }
    }

    /// Files that others may be writing, too: they are made elsewhere, and renamed.
    pub(super) fn shared(directory: &Path, unfinished: &Path, scratch: Option<&Path>) -> Result<Self> {
        super::make_directory(unfinished)?;
        if let Some(scratch) = scratch {
            fs::create_dir_all(scratch).map_err(|e| Error::io("create", scratch, e))?;
        }
        let apart = (unfinished.to_path_buf(), scratch.map(Path::to_path_buf));
        Ok(Self { directory: directory.to_path_buf(), apart: Some(apart) })
    }
}

/// A file that is written from front to back.
pub(super) struct WholeFile<'f> {
    files: &'f Files,
    file: File,
    /// Where it is written.
    place: PathBuf,
    path: PathBuf,
    bytes: u64,
    hasher: Hasher,
}

impl<'f> WholeFile<'f> {
    /// Begins a file among others; there may not be the folders yet that the path names. Where nobody else writes them, it is for the
    /// caller to see to it that each is written once.
    pub(super) fn create(files: &'f Files, path: PathBuf) -> Result<Self> {
        let place = match &files.apart {
            None => files.directory.join(&path),
            Some((near, scratch)) => scratch.as_ref().unwrap_or(near).join(crate::unique::name()),
        };
        let file = File::create(&place).or_else(|e| match (e.kind(), place.parent(), &files.apart) {
            (ErrorKind::NotFound, Some(parent), None) => {
                fs::create_dir_all(parent).and_then(|()| File::create(&place))
            }
            _ => Err(e),
        });
        let file = file.map_err(|e| Error::io("create", &place, e))?;
        Ok(Self { files, file, place, path, bytes: 0, hasher: Hasher::new() })
    }

    /// Adds bytes to its end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.place, e))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Brings it to its place, and tells what is known of it.
    pub(super) fn finish(self) -> Result<FileRecord> {
        let Self { files, file, mut place, path, bytes, hasher } = self;
        drop(file);
        if let Some((near, scratch)) = &files.apart {
            if scratch.is_some() {
                let copy = near.join(crate::unique::name());
                fs::copy(&place, &copy).map_err(|e| Error::io("write", &copy, e))?;
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_file(&place);
                place = copy;
            }
            let to = files.directory.join(&path);
            // The folders are there, for what describes the array is; or the output is not made there any more.
            fs::rename(&place, &to).map_err(|e| Error::io("rename to", &to, e))?;
        }
        Ok(FileRecord { path, bytes, checksum: hasher.finish() })
    }
}

/// Writes a file at once: see [`WholeFile`].
pub(super) fn write_whole(files: &Files, path: PathBuf, bytes: &[u8]) -> Result<FileRecord> {
    let mut file = WholeFile::create(files, path)?;
    file.append(bytes)?;
    file.finish()
}
