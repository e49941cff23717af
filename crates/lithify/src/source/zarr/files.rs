//! The files of an array, as `zarrs` asks for them. No more is read, or held in memory, than a file has.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator, InvalidByteRangeError, extract_byte_ranges};
use zarrs::storage::{Bytes, MaybeBytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

use super::blosc;

/// The first bytes of a frame of Zstandard.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The directory of an array.
pub(super) struct Files {
    pub directory: PathBuf,
    /// Bytes of a chunk.
    pub most: usize,
    /// Whether what is stored is in Blosc's container: it is taken out of that here.
    pub blosc: bool,
    /// Whether chunks are compressed by Zstandard, whose decoder takes as much memory as they claim to need.
    pub zstd: bool,
}

fn failed(error: std::io::Error) -> StorageError {
    StorageError::IOError(Arc::new(error))
}

impl Files {
    /// Refuses a frame of Zstandard that claims to hold more than a chunk.
    fn check(&self, bytes: &[u8]) -> Result<(), StorageError> {
        let is_frame = self.zstd && bytes.starts_with(&ZSTD_MAGIC);
        match zstd::zstd_safe::get_frame_content_size(bytes) {
            Ok(Some(claimed)) if is_frame && claimed > self.most as u64 => Err(StorageError::Other(format!(
                "a chunk claims to hold {claimed} bytes, and there are {}",
                self.most
            ))),
            _ => Ok(()),
        }
    }

    /// A file that may not be there, and its size.
    fn open(&self, key: &StoreKey) -> Result<Option<(File, u64)>, StorageError> {
        let path = self.directory.join(key.as_str());
        // To open what is no file, such as a pipe, may take for ever.
        match std::fs::metadata(&path) {
            Ok(there) if there.is_file() => Ok(Some((File::open(path).map_err(failed)?, there.len()))),
            Ok(_) => Err(StorageError::Other("it is no file".into())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }
}

impl ReadableStorageTraits for Files {
    fn get(&self, key: &StoreKey) -> Result<MaybeBytes, StorageError> {
        let Some((mut file, bytes)) = self.open(key)? else { return Ok(None) };
        let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.read_to_end(&mut whole).map_err(failed)?;
        if self.blosc {
            whole = blosc::decode(&whole, self.most).map_err(StorageError::Other)?;
        }
        self.check(&whole)?;
        Ok(Some(whole.into()))
    }

    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        if self.blosc {
            let Some(whole) = self.get(key)? else { return Ok(None) };
            let pieces = extract_byte_ranges(&whole, ranges).map_err(StorageError::from)?;
            return Ok(Some(Box::new(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))))));
        }
        let Some((file, size)) = self.open(key)? else { return Ok(None) };
        Ok(Some(Box::new(ranges.map(move |range| {
            // An index may claim anything.
            let claimed = match range {
                ByteRange::FromStart(start, length) => {
                    Some(start).zip(length.map_or(Some(size), |length| start.checked_add(length)))
                }
                ByteRange::Suffix(length) => size.checked_sub(length).zip(Some(size)),
            };
            let Some((start, end)) = claimed.filter(|(start, end)| start <= end && *end <= size) else {
                return Err(InvalidByteRangeError::new(range, size).into());
            };
            let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
            file.read_exact_at(&mut bytes, start).map_err(failed)?;
            self.check(&bytes)?;
            Ok(Bytes::from(bytes))
        }))))
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        Ok(self.open(key)?.map(|(_, bytes)| bytes))
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}
