//! The records of a chunk: their sizes, and their bytes one after another, both perhaps compressed.
//!
//! ```text
//! u8 compression │ varint bytes of the sizes │ sizes, a varint a record │ the records
//! ```
//! What is compressed begins with a varint: how many bytes it has when it is not.

use std::io::Read;
use std::ops::Range;

use super::chunks::Chunk;
use crate::error::{Error, ErrorKind, Result};
use crate::source::{snappy, wire};

/// Bytes that brotli's decoder takes from its input at a time.
const BROTLI_READS: usize = 4096;
/// How much larger than its bytes what Zstandard has compressed may be: a block of 128 KiB takes four.
const ZSTD_RATIO: u64 = 1 << 15;
/// The most bytes of a varint.
const VARINT_BYTES: u64 = 10;

/// A compressed piece, as it lies in the data or decompressed.
#[derive(Default)]
struct Piece {
    /// Where it is in the data, if it is not compressed.
    plain: Option<Range<usize>>,
    bytes: Vec<u8>,
}

impl Piece {
    fn of<'a>(&'a self, data: &'a [u8]) -> &'a [u8] {
        self.plain.clone().map_or(&self.bytes, |range| &data[range])
    }
}

/// A chunk that is unpacked, record by record. The memory is used again for the next one.
#[derive(Default)]
pub(super) struct Unpacked {
    /// The chunk's data.
    pub data: Vec<u8>,
    sizes: Piece,
    records: Piece,
    /// How far sizes and records were given.
    sizes_at: usize,
    records_at: usize,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

/// The most that a chunk takes when it is unpacked, in bytes.
pub(super) fn held(chunk: &Chunk) -> u64 {
    // The file's bytes, the chunk's, what they become, and what the decoder of brotli keeps of that.
    chunk.data.saturating_mul(2).saturating_add(chunk.records).saturating_add(chunk.decoded.saturating_mul(2))
}

impl Unpacked {
    /// Unpacks the data.
    ///
    /// # Errors
    /// Why they are not what they should be.
    pub(super) fn unpack(&mut self, chunk: &Chunk) -> Result<(), String> {
        (self.sizes_at, self.records_at) = (0, 0);
        let cut = || "a chunk is cut".to_owned();
        let mut rest = &self.data[..];
        let (&compression, after) = rest.split_first().ok_or_else(cut)?;
        rest = after;
        let sizes = wire::bytes(&mut rest).ok_or_else(cut)?;
        let most = chunk.records.saturating_mul(VARINT_BYTES);
        let at = |piece: &[u8]| wire::range_in(&self.data, piece);
        let (sizes, records) = (at(sizes), at(rest));
        let Self { data, zstd, .. } = self;
        for (piece, range, most) in
            [(&mut self.sizes, sizes, most), (&mut self.records, records, chunk.decoded)]
        {
            piece.plain = None;
            if compression == 0 {
                piece.plain = Some(range);
                continue;
            }
            let mut packed = &data[range];
            let bytes = wire::varint(&mut packed).ok_or_else(cut)?;
            if bytes > most {
                return Err(format!("a chunk is said to hold {bytes} bytes where its header says {most}"));
            }
            expand(compression, packed, bytes, &mut piece.bytes, zstd)?;
            if piece.bytes.len() as u64 != bytes {
                return Err(format!("a chunk holds {} bytes where it says {bytes}", piece.bytes.len()));
            }
        }
        let decoded = self.records.of(&self.data).len() as u64;
        if decoded != chunk.decoded {
            return Err(format!("a chunk holds {decoded} bytes of records where it says {}", chunk.decoded));
        }
        Ok(())
    }

    /// Where the next record is among [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn next(&mut self) -> Result<Range<usize>, &'static str> {
        let mut rest = &self.sizes.of(&self.data)[self.sizes_at..];
        let before = rest.len();
        let size = wire::varint(&mut rest).ok_or("a chunk has fewer records than it says")?;
        self.sizes_at += before - rest.len();
        let left = self.records.of(&self.data).len() - self.records_at;
        let size = usize::try_from(size).ok().filter(|size| *size <= left);
        let size = size.ok_or("a chunk's records are larger than it says")?;
        let start = self.records_at;
        self.records_at += size;
        Ok(start..self.records_at)
    }

    /// Whether all sizes and records were given.
    pub(super) fn is_spent(&self) -> bool {
        let left = |piece: &Piece, at: usize| piece.of(&self.data).len() - at;
        left(&self.sizes, self.sizes_at) == 0 && left(&self.records, self.records_at) == 0
    }

    /// The records, one after another.
    pub(super) fn bytes(&self) -> &[u8] {
        self.records.of(&self.data)
    }
}

/// Decompresses what should be so many bytes. They are claimed, so that no more memory is asked for than there can be.
fn expand(
    compression: u8,
    packed: &[u8],
    bytes: u64,
    into: &mut Vec<u8>,
    zstd: &mut Option<zstd::bulk::Decompressor<'static>>,
) -> Result<(), String> {
    let damaged = |why: &dyn std::fmt::Display| format!("a chunk cannot be decompressed: {why}");
    into.clear();
    match compression {
        b'z' => {
            if bytes > (packed.len() as u64).saturating_mul(ZSTD_RATIO) {
                return Err(damaged(&"it is said to hold more than its bytes can give"));
            }
            into.try_reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX)).map_err(|e| damaged(&e))?;
            if zstd.is_none() {
                *zstd = Some(zstd::bulk::Decompressor::new().map_err(|e| damaged(&e))?);
            }
            let filled = zstd.as_mut().map_or(Ok(0), |zstd| zstd.decompress_to_buffer(packed, into));
            filled.map(drop).map_err(|e| damaged(&e))
        }
        b'b' => {
            let mut stream = brotli_decompressor::Decompressor::new(packed, BROTLI_READS);
            let read = stream.by_ref().take(bytes.saturating_add(1)).read_to_end(into);
            read.map(drop).map_err(|e| damaged(&e))
        }
        b's' => {
            let most = usize::try_from(bytes).unwrap_or(usize::MAX);
            let filled = snappy::decode(packed, most, into).map_err(|e| damaged(&e))?;
            into.truncate(filled);
            Ok(())
        }
        other => Err(format!("a chunk is compressed in a way that is not known: {}", other.escape_ascii())),
    }
}

/// Refuses a chunk of which there can be no records here.
///
/// # Errors
/// It is too large, or of a kind that is not read.
pub(super) fn check(chunk: &Chunk, largest: u64) -> Result<()> {
    if chunk.kind != b'r' {
        let what = match chunk.kind {
            b't' => "its records are transposed, which is not read".to_owned(),
            other => format!("it has a chunk of a kind that is not known: `{}`", other.escape_ascii()),
        };
        return Err(Error::input(what)
            .hint("write it again with the writer's option `transpose:false`, which is the default"));
    }
    let bytes = held(chunk);
    if bytes > largest {
        let message = format!(
            "to read a group of {} records takes {bytes} bytes, more than the {largest} that the memory budget leaves for it",
            chunk.records
        );
        return Err(Error::new(ErrorKind::Resources, message)
            .hint("give more memory with `--memory`, or use fewer threads with `--threads`")
            .hint("or write the file in smaller groups, with the writer's option `group_size:1`"));
    }
    Ok(())
}
