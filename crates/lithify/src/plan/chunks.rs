//! Into which chunks and shards a Zarr array is cut: what can be asked, and what is chosen where nothing is.

use serde::{Deserialize, Serialize};

use super::codec::Codec;
use super::fit::{by, show_shape};
use super::request::needed;
use super::{ArrayPlan, Role};
use crate::error::{Error, Result};

/// Bytes of a chunk, at most, before it is compressed: what a reader takes in to get at one row.
const CHUNK_BYTES: u64 = 4 << 20;
/// Files of an array beyond which its chunks are put together in shards.
const MOST_FILES: u64 = 20_000;
/// Bytes of a shard that is not asked for, at most: it must be in memory whole.
const MOST_SHARD_BYTES: u64 = 256 << 20;

/// What is wanted of the chunks of a feature's array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChunkRequest {
    /// The rows of a chunk, or its whole shape.
    pub chunk: Option<Vec<u64>>,
    /// Whether chunks are kept in shards.
    pub shard: Option<ShardRequest>,
    /// How chunks are encoded.
    pub codec: Option<Codec>,
}

/// Whether chunks are kept in shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardRequest {
    /// Each is a file.
    None,
    /// Those of so many rows are a file together.
    Rows(u64),
}

/// Sets a key of chunks; says whether it is one.
pub(super) fn set(request: &mut ChunkRequest, key: &str, value: Option<&str>) -> Result<bool> {
    if !["chunk", "shard", "codec"].contains(&key) {
        return Ok(false);
    }
    let value = needed(key, value)?;
    let size = |text: &str| text.parse::<u64>().ok().filter(|size| *size > 0);
    let bad = |hint: &str| Error::request(format!("`{key}={value}` is no size")).hint(hint);
    match key {
        "chunk" => {
            let sizes: Option<Vec<u64>> = value.split(['x', ',']).map(size).collect();
            request.chunk = Some(sizes.ok_or_else(|| {
                bad("give the rows of a chunk, as in `chunk=128`, or its shape, as in `chunk=128x64x64x3`")
            })?);
        }
        "shard" if value == "none" => request.shard = Some(ShardRequest::None),
        "shard" => {
            let rows = size(value)
                .ok_or_else(|| bad("give the rows of a shard, as in `shard=4096`, or `shard=none`"))?;
            request.shard = Some(ShardRequest::Rows(rows));
        }
        _ => request.codec = Some(value.parse()?),
    }
    Ok(true)
}

/// The keys that were set, with their values.
pub(super) fn keys(request: &ChunkRequest) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let shard = |shard: ShardRequest| match shard {
        ShardRequest::None => "none".to_owned(),
        ShardRequest::Rows(rows) => rows.to_string(),
    };
    [
        request.chunk.as_ref().map(|chunk| ("chunk", by(chunk))),
        request.shard.map(|asked| ("shard", shard(asked))),
        request.codec.map(|codec| ("codec", codec.to_string())),
    ]
    .into_iter()
    .flatten()
}

/// Into which chunks and shards an array is cut, and how they are encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunks {
    /// The shape of a chunk, which a reader decodes as a whole.
    pub chunk: Vec<u64>,
    /// The shape of a shard, if chunks are kept in shards: whole chunks, all those of its rows.
    pub shard: Option<Vec<u64>>,
    /// How each chunk is encoded.
    pub codec: Codec,
}

impl Chunks {
    /// The shape of what is a file: a shard, or else a chunk.
    #[must_use]
    pub fn file_shape(&self) -> &[u64] {
        self.shard.as_ref().unwrap_or(&self.chunk)
    }

    /// Rows of a slab: the rows that a file holds, of which all other axes are written at once.
    #[must_use]
    pub fn slab_rows(&self) -> u64 {
        self.file_shape().first().copied().unwrap_or(1)
    }

    /// How many files an array of this shape takes at most.
    #[must_use]
    pub fn files(&self, shape: &[u64]) -> u64 {
        shape
            .iter()
            .zip(self.file_shape())
            .fold(1, |files, (size, file)| files.saturating_mul(size.div_ceil(*file)))
    }
}

impl std::fmt::Display for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", show_shape(&self.chunk))?;
        if let Some(shard) = &self.shard {
            write!(f, " in shards of {}", show_shape(shard))?;
        }
        write!(f, ", {}", self.codec)
    }
}

/// Chooses the chunks of an array. What is asked of their shape is asked of the array that holds the feature's values,
/// and not of those beside it, such as offsets; the codec is that of all.
pub(super) fn choose(array: &ArrayPlan, request: &ChunkRequest) -> Result<Chunks> {
    let main = matches!(array.role, Role::Data | Role::Values | Role::Bucket(_));
    let asked = request.chunk.as_ref().filter(|_| main);
    let rows = array.shape[0].max(1);
    let mut chunk: Vec<u64> = array.shape.iter().map(|size| (*size).max(1)).collect();
    match asked.map(Vec::as_slice) {
        None => chunk[0] = usual_rows(array.row_bytes()),
        Some([rows]) => chunk[0] = *rows,
        Some(sizes) if sizes.len() == chunk.len() => {
            // A chunk wider than its array would be padding.
            chunk = chunk.iter().zip(sizes).map(|(most, size)| *size.min(most)).collect();
            chunk[0] = sizes[0];
        }
        Some(sizes) => {
            return Err(Error::request(format!(
                "`chunk` has {} sizes, but the array has the shape {}",
                sizes.len(),
                show_shape(&array.shape)
            ))
            .hint(format!("give the rows alone, as in `chunk={}`", sizes[0]))
            .words(format!("chunk={}", sizes[0])));
        }
    }
    let wanted_rows = chunk[0];
    chunk[0] = wanted_rows.min(rows);
    let mut chunks = Chunks { chunk, shard: None, codec: request.codec.unwrap_or_default() };
    match request.shard.filter(|_| main) {
        Some(ShardRequest::Rows(shard)) => {
            if !shard.is_multiple_of(wanted_rows) {
                let near = shard.next_multiple_of(wanted_rows);
                return Err(Error::request(format!(
                    "a shard of {shard} rows is not made of whole chunks of {wanted_rows} rows"
                ))
                .hint(format!("as in `shard={near}`, or give another `chunk`"))
                .words(format!("shard={near}")));
            }
            let shard = shard.min(rows.next_multiple_of(chunks.chunk[0]));
            chunks.shard = Some(shard_shape(array, &chunks.chunk, shard));
        }
        Some(ShardRequest::None) => {}
        None => {
            let row = array.row_bytes().max(1);
            let mut shard = chunks.chunk[0];
            while chunks.files(&array.shape) > MOST_FILES
                && (shard * 2).saturating_mul(row) <= MOST_SHARD_BYTES
            {
                shard *= 2;
                chunks.shard = Some(shard_shape(array, &chunks.chunk, shard));
            }
        }
    }
    Ok(chunks)
}

/// Rows of a chunk where nothing is said: a power of two, so that the slabs and blocks of all arrays end at the same rows.
fn usual_rows(row_bytes: u64) -> u64 {
    power_of_two_within(CHUNK_BYTES / row_bytes.max(1))
}

/// The largest power of two that is not above a number, or 1.
pub(super) fn power_of_two_within(number: u64) -> u64 {
    number.checked_ilog2().map_or(1, |log| 1 << log)
}

/// So many rows, and all of the other axes in whole chunks.
fn shard_shape(array: &ArrayPlan, chunk: &[u64], rows: u64) -> Vec<u64> {
    let others =
        array.shape.iter().zip(chunk).skip(1).map(|(size, chunk)| (*size).max(1).next_multiple_of(*chunk));
    std::iter::once(rows).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Rows;
    use crate::plan::request::FeatureRequest;
    use crate::value::DType;

    fn chosen(shape: &[u64], words: &str) -> Result<Chunks> {
        let array = ArrayPlan {
            name: "x".into(),
            dtype: DType::Float32,
            shape: shape.to_vec(),
            feature: 0,
            role: Role::Data,
            rows: Rows::Elements,
            zarr: None,
        };
        choose(&array, &format!("x: {words}").parse::<FeatureRequest>()?.chunks)
    }

    #[test]
    fn chunks_are_of_a_few_mebibytes_and_files_not_too_many() {
        let shapes = |shape: &[u64], words: &str| {
            let chunks = chosen(shape, words).unwrap();
            (chunks.chunk, chunks.shard)
        };
        assert_eq!(shapes(&[200_000, 1024], ""), (vec![1024, 1024], None));
        assert_eq!(shapes(&[3, 1024], ""), (vec![3, 1024], None));
        assert_eq!(shapes(&[9, 3_000_000], ""), (vec![1, 3_000_000], None));
        assert_eq!(shapes(&[5, 0], ""), (vec![5, 1], None));
        assert_eq!(shapes(&[0], ""), (vec![1], None));
        assert_eq!(shapes(&[30_720_000, 1024], ""), (vec![1024, 1024], Some(vec![2048, 1024])));
        assert_eq!(shapes(&[30_720_000, 1024], "shard=none"), (vec![1024, 1024], None));
        // As large as may be, though there will be more files.
        assert_eq!(shapes(&[1 << 50, 1024], "").1, Some(vec![65536, 1024]));
        assert_eq!(shapes(&[100, 64, 10], "chunk=8x64x4 shard=32"), (vec![8, 64, 4], Some(vec![32, 64, 12])));
        assert_eq!(shapes(&[20, 3], "chunk=8 shard=64"), (vec![8, 3], Some(vec![24, 3])));
        assert_eq!(shapes(&[5, 3], "chunk=8 shard=64"), (vec![5, 3], Some(vec![5, 3])));
        for wrong in ["chunk=8 shard=12", "chunk=8x3", "chunk=0", "chunk=8x8x", "shard=no", "codec=lzma"] {
            assert!(chosen(&[100, 64, 10], wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_are_counted() {
        assert_eq!(chosen(&[100, 64, 10], "chunk=8x64x4").unwrap().files(&[100, 64, 10]), 39);
        assert_eq!(chosen(&[100, 64, 10], "chunk=8x64x4 shard=32").unwrap().files(&[100, 64, 10]), 4);
    }
}
