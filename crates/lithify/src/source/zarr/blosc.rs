//! Chunks in Blosc's container, version 1: what zarr-python compressed by until it took to version 3. Decoding needs none of
//! the C++ that encoding brings along.
//!
//! ```text
//! 2 version flags typesize │ u32 bytes │ u32 bytes of a block │ u32 bytes of all │ i32 start of each block … │ blocks
//! block: streams, one for each byte of an item or one in all: i32 length │ compressed, or as it is
//! ```
//! Source: `README_CHUNK_FORMAT.rst` of c-blosc.

use std::io::Read;

const HEADER_BYTES: usize = 16;
const SHUFFLED: u8 = 1;
const STORED: u8 = 2;
const BITS_SHUFFLED: u8 = 4;
const NOT_SPLIT: u8 = 16;
/// Blocks are split by the bytes of items up to this size, if a stream has at least so many bytes.
const MOST_STREAMS: usize = 16;
const LEAST_STREAM: usize = 128;

/// What a chunk in this container holds: at most so many bytes.
///
/// # Errors
/// It is damaged, holds more, or is compressed in a way that is not known here; why.
pub(super) fn decode(chunk: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let number = |at: usize| {
        let bytes = chunk.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        bytes.map(|number| number as usize).ok_or("it is cut")
    };
    let (bytes, block_bytes) = (number(4)?, number(8)?);
    let (flags, item) = (chunk[2], usize::from(chunk[3]).max(1));
    if bytes > most {
        return Err(format!("it is said to hold {bytes} bytes, more than its array's chunks have"));
    }
    if flags & STORED != 0 {
        let stored = chunk.get(HEADER_BYTES..).and_then(|data| data.get(..bytes)).ok_or("it is cut")?;
        return Ok(stored.to_vec());
    }
    if bytes > 0 && !(1..=bytes).contains(&block_bytes) {
        return Err(format!("its blocks are said to have {block_bytes} bytes"));
    }
    let mut decoded = vec![0; bytes];
    let mut shuffled = Vec::new();
    for (block, into) in decoded.chunks_mut(block_bytes.max(1)).enumerate() {
        let mut rest = chunk.get(number(HEADER_BYTES + 4 * block)?..).ok_or("a block lies behind its end")?;
        let whole = into.len() == block_bytes;
        let split =
            flags & NOT_SPLIT == 0 && whole && item <= MOST_STREAMS && block_bytes / item >= LEAST_STREAM;
        let streams = if split { item } else { 1 };
        shuffled.resize(into.len(), 0);
        if !into.len().is_multiple_of(streams) {
            return Err("a block is not made of whole items".into());
        }
        for stream in shuffled.chunks_mut(into.len() / streams) {
            let (length, after) = rest.split_first_chunk::<4>().ok_or("a block is cut")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (packed, after) = after.split_at_checked(length).ok_or("a stream is cut")?;
            rest = after;
            if length == stream.len() {
                stream.copy_from_slice(packed);
            } else {
                expand(packed, flags >> 5, stream)?;
            }
        }
        match () {
            () if flags & BITS_SHUFFLED != 0 => unshuffle_bits(&shuffled, item, into),
            () if flags & SHUFFLED != 0 && item > 1 => unshuffle(&shuffled, item, into),
            () => into.copy_from_slice(&shuffled),
        }
    }
    Ok(decoded)
}

/// Fills a stream with what is compressed.
fn expand(packed: &[u8], compressor: u8, stream: &mut [u8]) -> Result<(), String> {
    let damaged = |why: &dyn std::fmt::Display| format!("a stream is damaged: {why}");
    let filled = match compressor {
        1 => lz4_flex::block::decompress_into(packed, stream).map_err(|e| damaged(&e))?,
        3 => {
            let mut inflated = flate2::bufread::ZlibDecoder::new(packed);
            inflated.read_exact(stream).map_err(|e| damaged(&e))?;
            stream.len()
        }
        4 => zstd::bulk::decompress_to_buffer(packed, stream).map_err(|e| damaged(&e))?,
        0 => return Err("it is compressed by BloscLZ, which is not read".into()),
        2 => return Err("it is compressed by Snappy, which is not read".into()),
        other => return Err(format!("it is compressed by a way numbered {other}")),
    };
    if filled == stream.len() { Ok(()) } else { Err(damaged(&"it is too short")) }
}

/// The first bytes of all items, then the second ones, and so on; what is left over at the end is as it is.
fn unshuffle(shuffled: &[u8], item: usize, into: &mut [u8]) {
    let items = into.len() / item;
    let end = items * item;
    for (byte, plane) in shuffled[..end].chunks_exact(items.max(1)).enumerate() {
        for (place, value) in into[byte..].iter_mut().step_by(item).zip(plane) {
            *place = *value;
        }
    }
    into[end..].copy_from_slice(&shuffled[end..]);
}

/// The first bits of all items, then the second ones, and so on, if there are eight items or a multiple of that.
fn unshuffle_bits(shuffled: &[u8], item: usize, into: &mut [u8]) {
    let items = into.len() / item;
    into.copy_from_slice(shuffled);
    if !items.is_multiple_of(8) {
        return;
    }
    into[..items * item].fill(0);
    let row = items / 8;
    for (bit, plane) in shuffled[..items * item].chunks_exact(row.max(1)).enumerate() {
        for (eight, bits) in plane.iter().enumerate() {
            for at in 0..8 {
                into[(eight * 8 + at) * item + bit / 8] |= (bits >> at & 1) << (bit % 8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told() {
        let mut chunk = vec![2, 1, 0x20, 1, 9, 0, 0, 0, 9, 0, 0, 0, 29, 0, 0, 0, 20, 0, 0, 0, 9, 0, 0, 0];
        chunk.extend_from_slice(b"lithified");
        assert_eq!(decode(&chunk, 9).unwrap(), b"lithified");
        assert!(decode(&chunk, 8).unwrap_err().contains("more than"));
        for end in 0..chunk.len() {
            assert!(decode(&chunk[..end], 9).is_err(), "{end}");
        }
        for at in 0..24 {
            for bit in 0..8 {
                let mut damaged = chunk.clone();
                damaged[at] ^= 1 << bit;
                let _ = decode(&damaged, 1 << 20);
            }
        }
    }

    #[test]
    fn bits_and_bytes_are_put_back() {
        let mut into = [0; 7];
        unshuffle(&[1, 3, 5, 2, 4, 6, 7], 2, &mut into);
        assert_eq!(into, [1, 2, 3, 4, 5, 6, 7]);
        let mut into = [0; 8];
        unshuffle_bits(&[0xff, 0, 0, 0, 0, 0, 0, 0x01], 1, &mut into);
        assert_eq!(into, [0x81, 1, 1, 1, 1, 1, 1, 1]);
    }
}
