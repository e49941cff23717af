//! The files of an array, as `zarrs` asks for them. No more is read, or held in memory, than a file has.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator, InvalidByteRangeError, extract_byte_ranges};
use zarrs::storage::{Bytes, MaybeBytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

use super::blosc;

/// The directory of an array.
pub(super) struct Files {
    pub directory: PathBuf,
    /// Bytes of a chunk, where what is stored is in Blosc's container: it is taken out of that here.
    pub blosc: Option<usize>,
}

fn failed(error: std::io::Error) -> StorageError {
    StorageError::IOError(Arc::new(error))
}

impl Files {
    /// A file that may not be there, and its size.
    fn open(&self, key: &StoreKey) -> Result<Option<(File, u64)>, StorageError> {
        match File::open(self.directory.join(key.as_str())) {
            Ok(file) => {
                let bytes = file.metadata().map_err(failed)?.len();
                Ok(Some((file, bytes)))
            }
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
        if let Some(most) = self.blosc {
            whole = blosc::decode(&whole, most).map_err(StorageError::Other)?;
        }
        Ok(Some(whole.into()))
    }

    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        if self.blosc.is_some() {
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
