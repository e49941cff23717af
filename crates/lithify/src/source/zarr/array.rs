//! An array's rows, decoded a band of chunks at a time.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zarrs::array::{
    Array, ArrayBytes, ArrayMetadata, ArrayShardedExt, ArrayShardedReadableExt, ArrayShardedReadableExtCache,
    ArraySubset, CodecOptions,
};

use super::files::Files;
use super::node::Node;
use crate::error::{Error, Result};
use crate::guard::guarded;
use crate::source::columns::{Column, Rows};
use crate::source::npy::header::{Item, NO_ROWS};

/// Bytes of an array, or of a chunk, at most.
const MOST_BYTES: u64 = i64::MAX.unsigned_abs();

/// An array of a store.
pub(super) struct ZarrColumn {
    path: PathBuf,
    array: Array<Files>,
    item: Item,
    big_endian: bool,
    /// Rows of a band: those of a chunk, all of whose bytes are decoded to get at any. Where chunks are kept in shards, of a
    /// chunk within a shard.
    band_rows: u64,
    /// Bytes of it, as it is stored.
    band_bytes: u64,
    /// The band that was asked for last, for those who go on where others have stopped.
    latest: Mutex<Option<(u64, Band)>>,
}

/// The rows of a band; empty until they are decoded.
type Band = Arc<Mutex<Vec<u8>>>;

impl ZarrColumn {
    pub(super) fn open(path: &Path, mut node: Node) -> Result<Self> {
        let (blosc, packed) = (node.take_blosc(), node.packed());
        let (item, big_endian, document) = node.array().map_err(Error::input)?;
        let metadata: ArrayMetadata = serde_json::from_value(document)
            .map_err(|e| Error::input(format!("what is said of the array is not as it should be: {e}")))?;
        let files = |most| Arc::new(Files { directory: path.to_path_buf(), most, blosc, packed });
        let array = guarded(|| Array::new_with_metadata(files(0), "/", metadata))
            .ok_or_else(gave_up)
            .and_then(|array| array.map_err(|e| e.to_string()))
            .map_err(|why| Error::input(format!("it cannot be read: {why}")))?;
        let shape = array.shape();
        if shape.is_empty() {
            return Err(Error::input(NO_ROWS));
        }
        if bytes_of(item, shape.iter().map(|size| (*size).max(1))).is_none() {
            return Err(Error::input("its shape is larger than any file"));
        }
        if array.data_type().fixed_size() != Some(item.size()) {
            return Err(Error::input("its items are of no fixed size"));
        }
        let file = array.chunk_shape(&vec![0; shape.len()]).unwrap_or_default();
        let within_shard =
            guarded(|| array.effective_subchunk_shape()).ok_or_else(|| Error::input(gave_up()))?;
        let band = within_shard.unwrap_or_else(|| file.clone());
        // All chunks that hold a part of its rows, whole, also where they reach over the array's end.
        let across = shape.iter().zip(&band).skip(1);
        let across =
            across.map(|(size, chunk)| size.div_ceil(chunk.get()).saturating_mul(chunk.get()).max(1));
        let band_rows = band.first().map_or(1, |rows| rows.get());
        let band_bytes = bytes_of(item, std::iter::once(band_rows).chain(across));
        let file_bytes = bytes_of(item, file.iter().map(|size| size.get()));
        let (Some(band_bytes), Some(file_bytes)) = (band_bytes, file_bytes) else {
            return Err(Error::input("its chunks are larger than any file"));
        };
        let array = array.with_storage(files(usize::try_from(file_bytes).unwrap_or(usize::MAX)));
        let path = path.to_path_buf();
        Ok(Self { path, array, item, big_endian, band_rows, band_bytes, latest: Mutex::default() })
    }
}

/// Bytes of items of these sizes, unless there are too many.
fn bytes_of(item: Item, mut sizes: impl Iterator<Item = u64>) -> Option<u64> {
    let bytes = sizes.try_fold(item.size() as u64, u64::checked_mul);
    bytes.filter(|bytes| *bytes <= MOST_BYTES)
}

/// What is said where code of others has panicked.
fn gave_up() -> String {
    "its decoder failed on it".into()
}

impl Column for ZarrColumn {
    fn item(&self) -> Item {
        self.item
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }

    fn row_shape(&self) -> &[u64] {
        &self.array.shape()[1..]
    }

    fn rows(&self) -> u64 {
        self.array.shape()[0]
    }

    fn held(&self) -> u64 {
        // A band while it is decoded, and what it is decoded from.
        self.band_bytes.saturating_mul(2)
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        Ok(Box::new(Decoded {
            column: self,
            band: None,
            shards: ArrayShardedReadableExtCache::new(&self.array),
        }))
    }
}

struct Decoded<'a> {
    column: &'a ZarrColumn,
    band: Option<(u64, Band)>,
    /// The indices of shards that were read.
    shards: ArrayShardedReadableExtCache,
}

impl Decoded<'_> {
    /// The band of this number, to be decoded by whoever comes first.
    fn band(&mut self, number: u64) -> Band {
        if let Some((_, band)) = self.band.as_ref().filter(|held| held.0 == number) {
            return Arc::clone(band);
        }
        // What is not needed any more goes before what is needed takes its place.
        self.band = None;
        let mut latest = self.column.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, band) = match latest.take() {
            Some(there) if there.0 == number => latest.insert(there),
            _ => latest.insert((number, Band::default())),
        };
        let band = Arc::clone(band);
        drop(latest);
        self.band = Some((number, Arc::clone(&band)));
        band
    }

    fn decode(&self, band: u64) -> Result<Vec<u8>> {
        let column = self.column;
        let array = &column.array;
        let start = band * column.band_rows;
        let rows = start..(start + column.band_rows).min(column.rows());
        let whole = array.shape()[1..].iter().map(|size| 0..*size);
        let subset =
            ArraySubset::new_with_ranges(&std::iter::once(rows.clone()).chain(whole).collect::<Vec<_>>());
        // Threads are lithify's own.
        let options = CodecOptions::default().with_concurrent_target(1);
        let wrong = |why: String| {
            Error::input(format!(
                "the chunk of rows {} to {} cannot be read: {why}",
                rows.start,
                rows.end - 1
            ))
            .in_file(&column.path)
        };
        let read = || {
            if array.is_sharded() {
                // Those of shards that were passed are of no use.
                if self.shards.len() > 1 {
                    self.shards.clear();
                }
                array.retrieve_array_subset_sharded_opt(&self.shards, &subset, &options)
            } else {
                array.retrieve_array_subset_opt(&subset, &options)
            }
        };
        let read = guarded(read).ok_or_else(|| wrong(gave_up()))?;
        let bytes: ArrayBytes<'_> = read.map_err(|e| wrong(e.to_string()))?;
        let bytes = bytes.into_fixed().map_err(|e| wrong(e.to_string()))?.into_owned();
        if bytes.len() as u64 != (rows.end - rows.start) * column.row_bytes() {
            return Err(wrong(format!("it holds {} bytes", bytes.len())));
        }
        Ok(bytes)
    }
}

impl Rows for Decoded<'_> {
    fn read(&mut self, rows: Range<u64>, into: &mut [u8]) -> Result<()> {
        let (row, per_band) = (self.column.row_bytes(), self.column.band_rows);
        let mut next = rows.start;
        let mut into = into;
        while next < rows.end && !into.is_empty() {
            let number = next / per_band;
            let end = rows.end.min((number + 1) * per_band);
            let band = self.band(number);
            let mut decoded = band.lock().unwrap_or_else(PoisonError::into_inner);
            if decoded.is_empty() {
                *decoded = self.decode(number)?;
            }
            let bytes = |rows: u64| usize::try_from(rows * row).unwrap_or(usize::MAX);
            let (now, later) = into.split_at_mut(bytes(end - next));
            now.copy_from_slice(&decoded[bytes(next - number * per_band)..][..now.len()]);
            into = later;
            next = end;
        }
        Ok(())
    }
}
