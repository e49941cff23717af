//! Snappy, as TensorFlow frames it: blocks, each a big-endian `u32` with its compressed length before it.
//!
//! ```text
//! block     varint decoded length │ literals and copies      tag  low two bits: 0 literal, 1 to 3 copy of a 1 to 4 byte offset
//! ```
//! (`google/snappy`: `format_description.txt`; TensorFlow: `xla/tsl/lib/io/snappy/snappy_outputbuffer.h`.)

use std::io::{self, Read};

use super::wire;

/// Bytes that a byte of a block can give, at most, rounded up: a copy of 64 bytes takes three.
const MOST_RATIO: usize = 22;
/// The most that a block may hold, however small the budget: what TensorFlow fills before it writes one is a quarter.
const LEAST_LIMIT: u64 = 1 << 20;
/// Bytes that are copied at once where there is room, since that is faster than as many as are wanted.
const STRIDE: usize = 16;

const CUT: &str = "a block is cut";

/// Decodes a block into the start of `out`, which grows as needed but to no more than `most` bytes, and says how many
/// bytes there are.
///
/// # Errors
/// The block is damaged, or has more bytes.
pub fn decode(block: &[u8], most: usize, out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let mut rest = block;
    let length = wire::varint(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or(CUT)?;
    if length > rest.len().saturating_mul(MOST_RATIO) {
        return Err("a block is said to hold more than its bytes can give");
    }
    if length > most {
        return Err("a block holds more than the memory budget leaves for it");
    }
    if out.len() < length {
        out.resize(length, 0);
    }
    let mut filled = 0;
    let rest = expand(rest, &mut out[..length], &mut filled)?;
    if filled < length || !rest.is_empty() {
        return Err("a block holds another number of bytes than it says");
    }
    Ok(length)
}

/// Expands literals and copies until `out` is full or there are no more, and gives what is left. `filled` bytes of `out` are
/// good, also where that fails.
fn expand<'a>(mut rest: &'a [u8], out: &mut [u8], filled: &mut usize) -> Result<&'a [u8], &'static str> {
    while *filled < out.len()
        && let Some((&tag, after)) = rest.split_first()
    {
        let (end, bits) = (*filled, usize::from(tag >> 2));
        let (length, offset_bytes) = match tag & 3 {
            0 => {
                let more = bits.saturating_sub(59);
                let (length, after) = after.split_at_checked(more).ok_or(CUT)?;
                let length = if more == 0 { bits } else { little_endian(length) } + 1;
                if length > out.len() - end {
                    return Err("a block holds more bytes than it says");
                }
                match (after.first_chunk::<STRIDE>(), out[end..].first_chunk_mut::<STRIDE>()) {
                    (Some(from), Some(to)) if length <= STRIDE => *to = *from,
                    _ => {
                        let there = length.min(after.len());
                        out[end..end + there].copy_from_slice(&after[..there]);
                    }
                }
                *filled += length.min(after.len());
                rest = after.get(length..).ok_or(CUT)?;
                continue;
            }
            1 => (4 + (bits & 7), 1),
            2 => (1 + bits, 2),
            _ => (1 + bits, 4),
        };
        let (offset, after) = after.split_at_checked(offset_bytes).ok_or(CUT)?;
        let high = if offset_bytes == 1 { (bits >> 3) << 8 } else { 0 };
        let offset = high | little_endian(offset);
        rest = after;
        if offset == 0 || offset > end {
            return Err("a block copies from before its start");
        }
        if length > out.len() - end {
            return Err("a block holds more bytes than it says");
        }
        copy(out, end, offset, length);
        *filled += length;
    }
    Ok(rest)
}

/// Copies bytes to `end` from so many bytes before; where the two overlap, the pattern between repeats.
#[inline]
fn copy(out: &mut [u8], end: usize, offset: usize, length: usize) {
    let from = end - offset;
    if offset >= STRIDE && length + STRIDE <= out.len() - end {
        for at in (0..length).step_by(STRIDE) {
            out.copy_within(from + at..from + at + STRIDE, end + at);
        }
        return;
    }
    let mut done = 0;
    while done < length {
        let more = (length - done).min(offset + done);
        out.copy_within(from..from + more, end + done);
        done += more;
    }
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// The first bytes of a stream of blocks, up to so many, of which `head` is the beginning.
pub(super) fn first_bytes(head: &[u8], wanted: usize) -> Vec<u8> {
    let mut rest = head.get(4..).unwrap_or_default();
    let length = wire::varint(&mut rest).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut out = vec![0; length.min(rest.len() * MOST_RATIO)];
    let mut filled = 0;
    // Where the block goes on beyond the head it is cut, which is no error here.
    let _ = expand(rest, &mut out, &mut filled);
    out.truncate(filled.min(wanted));
    out
}

/// The decoded bytes of a stream of blocks.
pub(super) struct Blocks<R> {
    stream: R,
    most: u64,
    packed: Vec<u8>,
    decoded: Vec<u8>,
    /// What of `decoded` is still to be given.
    left: std::ops::Range<usize>,
}

impl<R: Read> Blocks<R> {
    /// The blocks of a stream, none of which may have more than `most` bytes.
    pub(super) fn new(stream: R, most: u64) -> Self {
        let most = most.max(LEAST_LIMIT);
        Self { stream, most, packed: Vec::new(), decoded: Vec::new(), left: 0..0 }
    }

    /// Decodes the next block. Says whether there was one.
    fn fill(&mut self) -> io::Result<bool> {
        self.packed.clear();
        self.stream.by_ref().take(4).read_to_end(&mut self.packed)?;
        let length = match self.packed.first_chunk() {
            Some(length) => u64::from(u32::from_be_bytes(*length)),
            None if self.packed.is_empty() => return Ok(false),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        if length > self.most {
            let message = format!("a compressed block has {length} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.packed.clear();
        self.stream.by_ref().take(length).read_to_end(&mut self.packed)?;
        if (self.packed.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let decoded = decode(&self.packed, most, &mut self.decoded);
        self.left = 0..decoded.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        Ok(true)
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let bytes = buffer.len().min(self.left.len());
        buffer[..bytes].copy_from_slice(&self.decoded[self.left.start..][..bytes]);
        self.left.start += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(block: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        decode(block, 1 << 20, &mut out).map(|length| out[..length].to_vec())
    }

    #[test]
    fn literals_and_copies_come_back() {
        // 3 bytes, then as many of those as a copy gives: by 1, 2 and 4 bytes of offset, overlapping and not.
        let block = [
            &[29, 2 << 2][..],
            b"abc",
            &[1 | (7 << 2), 3],
            &[2 | (2 << 2), 1, 0],
            &[3 | (11 << 2), 14, 0, 0, 0],
        ];
        assert_eq!(decoded(&block.concat()).unwrap(), b"abcabcabcabcabbbbabcabcabcabb");
        let long = [&[200, 1, 60 << 2, 199][..], &[7; 200]].concat();
        assert_eq!(decoded(&long).unwrap(), [7; 200]);
        assert_eq!(decoded(&[0]).unwrap(), b"");
    }

    #[test]
    fn a_block_that_lies_is_refused() {
        for (block, why) in [
            (&[][..], "cut"),
            (&[3, 2 << 2, b'a'], "cut"),
            (&[3, 0, b'a'], "another number"),
            (&[1, 0, b'a', 0], "another number"),
            (&[1, 1 << 2, b'a', b'b'], "more bytes"),
            (&[9, 0, b'a', 1 | (4 << 2), 2], "before its start"),
            (&[9, 0, b'a', 1 | (4 << 2), 0], "before its start"),
            (&[0xff, 0xff, 0xff, 0xff, 15, 0, b'a'], "can give"),
        ] {
            let error = decoded(block).unwrap_err();
            assert!(error.contains(why), "{block:?}: {error}");
        }
        assert!(decode(&[3, 2 << 2, 1, 2, 3], 2, &mut Vec::new()).unwrap_err().contains("budget"));
    }
}
