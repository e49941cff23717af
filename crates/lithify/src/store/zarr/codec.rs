//! From the items of a chunk to its bytes in a file.

use std::borrow::Cow;
use std::num::NonZeroU64;

use zarrs::array::{
    ArrayBytes, ArrayBytesOffsets, ArrayToBytesCodecTraits, CodecChain, CodecOptions, DataType, FillValue,
};
use zarrs::metadata::v3::MetadataV3;

use super::metadata::{TEXT, chunk_codecs};
use super::planned;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::ArrayPlan;

/// Encodes the chunks of an array.
pub(super) struct ChunkCodec {
    name: String,
    /// Whether items are texts, and their bytes in memory.
    text: bool,
    item: usize,
    /// `None` where chunks are their bytes as they are.
    chain: Option<Chain>,
}

struct Chain {
    codecs: CodecChain,
    options: CodecOptions,
    data_type: DataType,
    fill_value: FillValue,
    shape: Vec<NonZeroU64>,
}

impl ChunkCodec {
    pub(super) fn new(array: &ArrayPlan) -> Result<Self> {
        let zarr = planned(array)?;
        Ok(Self {
            name: array.name.clone(),
            text: zarr.text,
            item: array.dtype.size(),
            chain: if zarr.is_plain() { None } else { Some(Chain::new(array)?) },
        })
    }

    /// Encodes a chunk.
    pub(super) fn encode<'c>(&self, items: &'c [u8]) -> Result<Cow<'c, [u8]>> {
        let Some(chain) = &self.chain else { return Ok(Cow::Borrowed(items)) };
        let items = if self.text { self.texts(items)? } else { ArrayBytes::from(items) };
        chain
            .codecs
            .encode(items, &chain.shape, &chain.data_type, &chain.fill_value, &chain.options)
            .map_err(|e| self.failed(&e.to_string()))
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

    fn failed(&self, why: &str) -> Error {
        Error::new(ErrorKind::Resources, format!("a chunk of `{}` cannot be encoded: {why}", self.name))
    }
}

impl Chain {
    fn new(array: &ArrayPlan) -> Result<Self> {
        let zarr = planned(array)?;
        let wrong =
            |e: String| Error::request(format!("`{}` cannot be encoded as it is asked to: {e}", array.name));
        let metadata: Vec<MetadataV3> =
            serde_json::from_value(chunk_codecs(array, zarr).into()).map_err(|e| wrong(e.to_string()))?;
        // Items are little-endian already. To what encodes them, they are opaque bytes.
        let opaque = format!("r{}", array.dtype.size() * 8);
        let items = MetadataV3::new(if zarr.text { TEXT.to_owned() } else { opaque });
        let shape = zarr.chunks.chunk.iter().map(|size| NonZeroU64::new(*size)).collect::<Option<_>>();
        Ok(Self {
            codecs: CodecChain::from_metadata(&metadata).map_err(|e| wrong(e.to_string()))?,
            // Threads are lithify's own.
            options: CodecOptions::default().with_concurrent_target(1),
            data_type: DataType::from_metadata(&items).map_err(|e| wrong(e.to_string()))?,
            fill_value: FillValue::new(if zarr.text { Vec::new() } else { zarr.fill.clone() }),
            shape: shape.ok_or_else(|| wrong("a chunk has no size".into()))?,
        })
    }
}
