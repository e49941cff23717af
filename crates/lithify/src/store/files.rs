//! Files that are written once, whole, and told by a checksum.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Checksum;
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

/// Writes a file in a directory, which may lack the folders that the path names. That it is written only once is for the
/// caller to see to.
pub(super) fn write_whole(directory: &Path, path: PathBuf, bytes: &[u8]) -> Result<FileRecord> {
    let place = directory.join(&path);
    let create = || File::create(&place);
    let file = create().or_else(|e| match (e.kind(), place.parent()) {
        (ErrorKind::NotFound, Some(parent)) => fs::create_dir_all(parent).and_then(|()| create()),
        _ => Err(e),
    });
    let mut file = file.map_err(|e| Error::io("create", &place, e))?;
    file.write_all(bytes).map_err(|e| Error::io("write", &place, e))?;
    Ok(FileRecord { path, bytes: bytes.len() as u64, checksum: Checksum::of(bytes) })
}
