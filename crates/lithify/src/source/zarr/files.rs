//! The files of an array, as `zarrs` asks for them. No more is read, or held in memory, than a file has.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator, InvalidByteRangeError, extract_byte_ranges};
use zarrs::storage::{Bytes, MaybeBytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

use super::blosc;

/// The first bytes of a frame of Zstandard.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The first bytes of a member of gzip.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are expanded at a time.
const EXPAND_BYTES: usize = 64 << 10;

/// The directory of an array.
pub(super) struct Files {
    pub directory: PathBuf,
    /// Bytes of a chunk.
    pub most: usize,
    /// Whether what is stored is in Blosc's container: it is taken out of that here.
    pub blosc: bool,
    /// By what else chunks are compressed: the decoders of `zarrs` take as much memory as what is stored asks for.
    pub packed: Option<Packed>,
}

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    Zstd,
    Gzip,
    Zlib,
}

fn failed(error: std::io::Error) -> StorageError {
    StorageError::IOError(Arc::new(error))
}

impl Files {
    /// Refuses what would expand to more than a chunk. Where that is not said, it is expanded once to see.
    fn check(&self, bytes: &[u8]) -> Result<(), StorageError> {
        let holds = match self.packed {
            Some(Packed::Zstd) if bytes.starts_with(&ZSTD_MAGIC) => {
                match zstd::zstd_safe::get_frame_content_size(bytes) {
                    Ok(Some(claimed)) => claimed,
                    _ => self.expand(zstd::Decoder::new(bytes)),
                }
            }
            Some(Packed::Gzip) if bytes.starts_with(&GZIP_MAGIC) => {
                self.expand(Ok(MultiGzDecoder::new(bytes)))
            }
            Some(Packed::Zlib) => self.expand(Ok(ZlibDecoder::new(bytes))),
            _ => 0,
        };
        if holds <= self.most as u64 {
            return Ok(());
        }
        Err(StorageError::Other(format!(
            "a chunk is compressed from more than the {} bytes that it should have",
            self.most
        )))
    }

    /// How many bytes there are in what is compressed, up to one more than there may be. Of what is damaged, those that can
    /// be had.
    fn expand(&self, stream: std::io::Result<impl Read>) -> u64 {
        let Ok(stream) = stream else { return 0 };
        let mut stream = stream.take(self.most as u64 + 1);
        let mut buffer = vec![0; EXPAND_BYTES];
        let mut bytes = 0;
        while let Ok(more @ 1..) = stream.read(&mut buffer) {
            bytes += more as u64;
        }
        bytes
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
