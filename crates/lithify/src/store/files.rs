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

/// A file that is written from front to back.
pub(super) struct WholeFile {
    file: File,
    place: PathBuf,
    path: PathBuf,
    bytes: u64,
    hasher: Hasher,
}

impl WholeFile {
    /// Begins a file in a directory, which may lack the folders that the path names. That it is written only once is for the
    /// caller to see to.
    pub(super) fn create(directory: &Path, path: PathBuf) -> Result<Self> {
        let place = directory.join(&path);
        let create = || File::create(&place);
        let file = create().or_else(|e| match (e.kind(), place.parent()) {
            (ErrorKind::NotFound, Some(parent)) => fs::create_dir_all(parent).and_then(|()| create()),
            _ => Err(e),
        });
        let file = file.map_err(|e| Error::io("create", &place, e))?;
        Ok(Self { file, place, path, bytes: 0, hasher: Hasher::new() })
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

    /// What is known of it once it is complete.
    pub(super) fn finish(self) -> FileRecord {
        FileRecord { path: self.path, bytes: self.bytes, checksum: self.hasher.finish() }
    }
}

/// Writes a file at once: see [`WholeFile`].
pub(super) fn write_whole(directory: &Path, path: PathBuf, bytes: &[u8]) -> Result<FileRecord> {
    let mut file = WholeFile::create(directory, path)?;
    file.append(bytes)?;
    Ok(file.finish())
}
