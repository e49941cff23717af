//! From a slab to the files of its chunks.

use std::num::NonZeroU64;

use zarrs::array::codec::{ShardingCodecOptions, SubchunkWriteOrder};
use zarrs::array::{
    ArrayBytes, ArrayBytesOffsets, ArrayToBytesCodecTraits, CodecChain, CodecOptions, CodecSpecificOptions,
    DataType, FillValue,
};
use zarrs::metadata::v3::MetadataV3;

use super::metadata::{TEXT, codecs};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::codec::Compressor;
use crate::plan::{ArrayPlan, Layout, ZarrArray};
use crate::value::{advance, fill};

/// Encodes the slabs of an array.
pub(super) struct Encoder {
    name: String,
    shape: Vec<u64>,
    /// The shape of what is a file, and its bytes.
    file_shape: Vec<u64>,
    file_bytes: usize,
    item: usize,
    fill: Vec<u8>,
    /// Whether the store is of version 2, which has files of other names, and all of them.
    version_2: bool,
    /// Whether items are texts.
    text: bool,
    /// How a file is encoded; `None` where it is the bytes as they are.
    chain: Option<Chain>,
}

struct Chain {
    codecs: CodecChain,
    options: CodecOptions,
    data_type: DataType,
    fill_value: FillValue,
    shape: Vec<NonZeroU64>,
}

impl Encoder {
    pub(super) fn new(array: &ArrayPlan, layout: Layout) -> Result<Self> {
        let zarr = planned(array)?;
        let chunks = &zarr.chunks;
        let encoded =
            chunks.shard.is_some() || chunks.codec.compressor != Compressor::None || chunks.codec.crc32c;
        Ok(Self {
            name: array.name.clone(),
            shape: array.shape.clone(),
            file_shape: chunks.file_shape().to_vec(),
            file_bytes: usize::try_from(array.largest_file())
                .map_err(|_| defect(array, "a chunk is larger than memory can be"))?,
            item: array.dtype.size(),
            fill: zarr.fill.clone(),
            version_2: layout == Layout::Zarr2,
            text: zarr.text,
            chain: if encoded || zarr.text { Some(Chain::new(array, zarr)?) } else { None },
        })
    }

    pub(super) fn slab_rows(&self) -> u64 {
        self.file_shape.first().copied().unwrap_or(1)
    }

    /// Encodes a slab, and gives each file that is to be: its name, and its bytes. What holds the fill value alone is none.
    pub(super) fn encode(
        &self,
        slab: u64,
        bytes: &mut Vec<u8>,
        write: &mut dyn FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let across: Vec<u64> = self
            .shape
            .iter()
            .zip(&self.file_shape)
            .skip(1)
            .map(|(size, file)| size.div_ceil(*file))
            .collect();
        if self.shape[1..] == self.file_shape[1..] {
            // One file. The last chunk of an array is as large as all others.
            let there = bytes.len();
            bytes.resize(self.file_bytes, 0);
            fill(&mut bytes[there..], &self.fill);
            let key = self.key(slab, &vec![0; across.len()]);
            return self.encode_file(&key, bytes, write);
        }
        let row = self.shape.iter().skip(1).fold(self.item as u64, |bytes, size| bytes * size);
        let mut file = vec![0; self.file_bytes];
        let mut from = vec![bytes.len() as u64 / row.max(1)];
        from.extend(&self.shape[1..]);
        let mut at = vec![0; across.len()];
        for _ in 0..across.iter().product::<u64>() {
            fill(&mut file, &self.fill);
            let start: Vec<u64> = std::iter::once(0)
                .chain(at.iter().zip(&self.file_shape[1..]).map(|(at, size)| at * size))
                .collect();
            gather(bytes, &from, &start, &mut file, &self.file_shape, self.item);
            self.encode_file(&self.key(slab, &at), &file, write)?;
            advance(&mut at, &across);
        }
        Ok(())
    }

    fn encode_file(
        &self,
        key: &str,
        bytes: &[u8],
        write: &mut dyn FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if !self.version_2 && self.is_fill(bytes) {
            return Ok(());
        }
        let Some(chain) = &self.chain else { return write(key, bytes) };
        let items = if self.text { self.texts(bytes)? } else { ArrayBytes::from(bytes) };
        let encoded = chain
            .codecs
            .encode(items, &chain.shape, &chain.data_type, &chain.fill_value, &chain.options)
            .map_err(|e| self.failed(&e.to_string()))?;
        write(key, &encoded)
    }

    /// Byte strings without what fills them up.
    fn texts(&self, bytes: &[u8]) -> Result<ArrayBytes<'static>> {
        let mut texts = Vec::with_capacity(bytes.len());
        let mut offsets = Vec::with_capacity(bytes.len() / self.item + 1);
        offsets.push(0);
        for item in bytes.chunks_exact(self.item) {
            let length = item.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if std::str::from_utf8(&item[..length]).is_err() {
                let text = item[..length].escape_ascii();
                return Err(Error::input(format!(
                    "a byte string of `{}` is no text in UTF-8: `{text}`",
                    self.name
                ))
                .hint("keep byte strings as they are: `dtype=S`, or `ragged`"));
            }
            texts.extend_from_slice(&item[..length]);
            offsets.push(texts.len());
        }
        let offsets = ArrayBytesOffsets::new(offsets).map_err(|e| self.failed(&e.to_string()))?;
        ArrayBytes::new_vlen(texts, offsets).map_err(|e| self.failed(&e.to_string()))
    }

    /// The name of the file of a chunk.
    fn key(&self, slab: u64, others: &[u64]) -> String {
        let first = if self.version_2 { slab.to_string() } else { format!("c.{slab}") };
        others.iter().fold(first, |key, at| format!("{key}.{at}"))
    }

    fn failed(&self, why: &str) -> Error {
        Error::new(ErrorKind::Resources, format!("a chunk of `{}` cannot be encoded: {why}", self.name))
    }

    /// Whether all items are the fill value.
    fn is_fill(&self, bytes: &[u8]) -> bool {
        // All items are the first, as each is the one before; and so most chunks are told by their first bytes.
        bytes.starts_with(&self.fill) && bytes[self.fill.len()..] == bytes[..bytes.len() - self.fill.len()]
    }
}

impl Chain {
    fn new(array: &ArrayPlan, zarr: &ZarrArray) -> Result<Self> {
        let wrong = |e: String| defect(array, &e);
        let metadata: Vec<MetadataV3> =
            serde_json::from_value(codecs(array, zarr)).map_err(|e| wrong(e.to_string()))?;
        // The order in which chunks stand in a shard must not depend on anything.
        let in_order = ShardingCodecOptions::default().with_subchunk_write_order(SubchunkWriteOrder::C);
        let codecs = CodecChain::from_metadata(&metadata)
            .map_err(|e| wrong(e.to_string()))?
            .with_codec_specific_options(&CodecSpecificOptions::default().with_option(in_order));
        // Items are little-endian already. To what encodes them, they are opaque bytes.
        let opaque = format!("r{}", array.dtype.size() * 8);
        let items = MetadataV3::new(if zarr.text { TEXT.to_owned() } else { opaque });
        let shape = zarr.chunks.file_shape().iter().map(|size| NonZeroU64::new(*size)).collect::<Option<_>>();
        Ok(Self {
            codecs,
            // Threads are lithify's own.
            options: CodecOptions::default().with_concurrent_target(1),
            data_type: DataType::from_metadata(&items).map_err(|e| wrong(e.to_string()))?,
            fill_value: FillValue::new(if zarr.text { Vec::new() } else { zarr.fill.clone() }),
            shape: shape.ok_or_else(|| wrong("a chunk has no size".into()))?,
        })
    }
}

/// What is planned for an array in a Zarr store.
pub(super) fn planned(array: &ArrayPlan) -> Result<&ZarrArray> {
    array.zarr.as_deref().ok_or_else(|| defect(array, "its chunks are not planned"))
}

fn defect(array: &ArrayPlan, what: &str) -> Error {
    Error::request(format!("`{}` cannot be kept in Zarr: {what}", array.name))
}

/// Copies what an array of one shape has from `start` on to the front of one of another shape.
fn gather(from: &[u8], from_shape: &[u64], start: &[u64], to: &mut [u8], to_shape: &[u64], item: usize) {
    let bytes = |shape: &[u64]| usize::try_from(shape.iter().product::<u64>()).unwrap_or(usize::MAX) * item;
    let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let ([from_size, from_inner @ ..], [first, start_inner @ ..], [to_size, to_inner @ ..]) =
        (from_shape, start, to_shape)
    else {
        return to.copy_from_slice(from);
    };
    let count = size((from_size - first).min(*to_size));
    let (from_step, to_step) = (bytes(from_inner), bytes(to_inner));
    let from = &from[size(*first) * from_step..];
    if from_inner == to_inner {
        to[..count * to_step].copy_from_slice(&from[..count * from_step]);
        return;
    }
    for at in 0..count {
        let (from, to) = (&from[at * from_step..][..from_step], &mut to[at * to_step..][..to_step]);
        gather(from, from_inner, start_inner, to, to_inner, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_out_of_slabs_and_padded_at_the_edges() {
        let slab: Vec<u8> = (0..15).collect();
        let mut chunk = [99; 8];
        gather(&slab, &[3, 5], &[0, 4], &mut chunk, &[2, 4], 1);
        assert_eq!(chunk, [4, 99, 99, 99, 9, 99, 99, 99]);
        let mut chunk = [99; 8];
        gather(&slab, &[3, 5], &[0, 2], &mut chunk, &[4, 2], 1);
        assert_eq!(chunk, [2, 3, 7, 8, 12, 13, 99, 99]);
    }
}
