//! FLAC (RFC 9639): frames of samples, each predicted from those before it, and what is left in Rice's code.
//!
//! ```text
//! "fLaC" │ metadata blocks: u1 last, u7 kind, u24 bytes; the first says rate, channels, bits and length │ frames
//! frame: header, checksum │ a subframe for each channel │ checksum of all
//! ```
//! Both checksums are verified; the MD5 of the samples is not. The crates there are for it are either four times as slow as
//! libFLAC, or not kept any more, or go on over damage in silence.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bits::{Bits, Ends};
use super::{Format, Header, Layout, Stored, check_size, damaged};
use crate::error::Result;

/// Bits of a sample, at most, and at least: of those with more, differences of channels have more than 32.
const BITS: std::ops::RangeInclusive<u32> = 4..=24;
/// The least bytes that a frame has, and the most samples of a channel in it.
const FRAME: (u64, u64) = (10, 65_536);
const STREAM_INFO: usize = 34;
const MOST_ORDER: usize = 32;

impl From<Ends> for String {
    fn from(_: Ends) -> Self {
        "it is cut within a frame".into()
    }
}

/// The header of a stream of `total` bytes, of which these are the first.
pub(super) fn header(bytes: &[u8], total: u64) -> Result<Header> {
    let info = bytes.get(8..8 + STREAM_INFO).filter(|_| matches!(bytes[4], 0 | 0x80));
    let info = info.ok_or_else(|| damaged("it does not begin with what is to be known of the stream"))?;
    let word = info[10..].first_chunk().map_or(0, |word| u64::from_be_bytes(*word));
    let part = |at: u32, bits: u32| word >> (64 - at - bits) & ((1 << bits) - 1);
    let length = part(28, 36);
    let bits = u32::try_from(part(23, 5)).unwrap_or_default() + 1;
    if !BITS.contains(&bits) {
        return Err(damaged(format!("its samples have {bits} bits, which is not read")));
    }
    if length > (total / FRAME.0 + 1).saturating_mul(FRAME.1) {
        return Err(damaged(format!(
            "it is said to have {length} samples, which do not go into {total} bytes"
        )));
    }
    Ok(Header {
        format: Format::Flac,
        rate: u32::try_from(part(0, 20)).unwrap_or_default(),
        channels: u16::try_from(part(20, 3)).unwrap_or_default() + 1,
        length: (length > 0).then_some(length),
        stored: Stored::Integer(bits),
        data: 4,
    })
}

/// Where the first frame starts.
fn first_frame(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let [kind, size @ ..] = bytes.get(at..)?.first_chunk::<4>()?;
        at += 4 + (usize::from(size[0]) << 16 | usize::from(size[1]) << 8 | usize::from(size[2]));
        if kind & 0x80 != 0 {
            return Some(at);
        }
    }
}

/// Puts the samples into `out`. They may take `most` bytes.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    layout: Layout,
    most: u64,
    out: &mut Vec<u8>,
) -> Result<()> {
    // What is broken by a panic is a buffer of plain numbers.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_frames(bytes, header, layout, most, out)));
    decoded.unwrap_or_else(|_| Err(damaged("its decoder failed on it (a bug: please report it)")))
}

fn decode_frames(bytes: &[u8], header: &Header, layout: Layout, most: u64, out: &mut Vec<u8>) -> Result<()> {
    let mut at =
        first_frame(bytes, header.data).ok_or_else(|| damaged("it is cut before its first frame"))?;
    let (Stored::Integer(bits) | Stored::Float(bits)) = header.stored;
    let frame_bytes = layout.to.saturating_mul(layout.depth.dtype().size());
    let mut frame = Frame { samples: Vec::new(), channels: header.channels.into(), bits };
    let mut done = 0_u64;
    // Where the stream says how long it is, what comes after that is none of it.
    while header.length.map_or(at < bytes.len(), |length| done < length) {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Err(damaged(format!(
                "it is cut: it is said to have {} samples, and has {done}",
                header.length.unwrap_or_default()
            )));
        }
        let (size, length) = frame.decode(rest).map_err(|why| damaged(format!("{why} (byte {at} of it)")))?;
        at += size;
        done += length as u64;
        check_size(done.saturating_mul(frame_bytes as u64), most)?;
        let start = out.len();
        out.resize(start + length * frame_bytes, 0);
        for channel in 0..layout.to {
            let plane = &frame.samples[layout.source(channel) * length..][..length];
            layout.put(plane.iter().copied(), bits, (channel, layout.to), &mut out[start..]);
        }
    }
    match header.length {
        Some(length) if length != done => {
            Err(damaged(format!("it is said to have {length} samples, and has {done}")))
        }
        _ => Ok(()),
    }
}

/// A frame, of channels one after another.
struct Frame {
    samples: Vec<i32>,
    channels: usize,
    bits: u32,
}

impl Frame {
    /// Decodes the frame that these bytes begin with: how many bytes it has, and how many samples of each channel.
    fn decode(&mut self, bytes: &[u8]) -> Result<(usize, usize), String> {
        let (start, length, assignment) = self.header(bytes)?;
        self.samples.resize(self.channels * length, 0);
        let mut bits = Bits::new(&bytes[start..]);
        for (channel, samples) in self.samples.chunks_exact_mut(length).enumerate() {
            // A difference of channels has one bit more.
            let wider = matches!((assignment, channel), (8 | 10, 1) | (9, 0));
            subframe(&mut bits, samples, self.bits + u32::from(wider))?;
        }
        let end = start + bits.align();
        let sum = bytes.get(end..).and_then(|rest| rest.first_chunk()).ok_or(Ends)?;
        if crc16(&bytes[..end]) != u16::from_be_bytes(*sum) {
            return Err("a frame is damaged: its checksum is wrong".into());
        }
        if let (8..=10, Some((left, right))) = (assignment, self.samples.split_at_mut_checked(length)) {
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = match (assignment, *left, *right) {
                    (8, left, side) => (left, left.wrapping_sub(side)),
                    (9, side, right) => (side.wrapping_add(right), right),
                    (_, mid, side) => {
                        let right = mid.wrapping_sub(side >> 1);
                        (right.wrapping_add(side), right)
                    }
                };
            }
        }
        Ok((end + 2, length))
    }

    /// How many bytes the header has, how many samples a channel, and how channels are made of others.
    fn header(&self, bytes: &[u8]) -> Result<(usize, usize, u8), String> {
        let [0xff, sync, sizes, kinds, ..] = *bytes else {
            return Err(if bytes.len() < 4 { Ends.into() } else { no_frame() });
        };
        if sync & 0xfe != 0xf8 || kinds & 1 != 0 {
            return Err(no_frame());
        }
        let number = bytes.get(4).map_or(0, |first| first.leading_ones().max(1) as usize);
        let mut at = 4 + number;
        let mut next = |count: usize| {
            let found = bytes.get(at..at + count).ok_or(Ends)?;
            at += count;
            Ok::<_, Ends>(found.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
        };
        let length = match sizes >> 4 {
            0 => return Err("a frame is of a length that is reserved".into()),
            1 => 192,
            code @ 2..=5 => 144 << code,
            6 => next(1)? + 1,
            7 => next(2)? + 1,
            code => 1 << code,
        };
        // The rate may differ from that of the stream, which is what counts.
        let rate = match sizes & 15 {
            12 => 1,
            13 | 14 => 2,
            15 => return Err("a frame is of a rate that is invalid".into()),
            _ => 0,
        };
        next(rate)?;
        next(1)?;
        // With the checksum at its end, it has the checksum 0.
        if crc8(&bytes[..at]) != 0 {
            return Err("a frame's header is damaged: its checksum is wrong".into());
        }
        let assignment = kinds >> 4;
        let channels = match assignment {
            independent @ 0..=7 => usize::from(independent) + 1,
            8..=10 => 2,
            _ => return Err("a frame's channels are in a way that is reserved".into()),
        };
        let bits = [self.bits, 8, 12, 0, 16, 20, 24, 32][usize::from(kinds >> 1 & 7)];
        if (channels, bits) != (self.channels, self.bits) {
            return Err(format!("a frame has {channels} channels of {bits} bits, unlike the stream"));
        }
        Ok((at, length, assignment))
    }
}

fn no_frame() -> String {
    "no frame starts where the one before ends".into()
}

/// Decodes the samples of one channel.
fn subframe(from: &mut Bits<'_>, samples: &mut [i32], mut bits: u32) -> Result<(), String> {
    let kind = from.unsigned(8)?;
    let mut wasted = 0;
    if kind & 1 == 1 {
        wasted = from.zeros()? + 1;
        bits = bits.checked_sub(wasted).filter(|bits| *bits > 0).ok_or("a frame has no bits left")?;
    }
    match kind >> 1 {
        0 => {
            let value = from.signed(bits)?;
            samples.fill(value);
        }
        1 => {
            for sample in &mut *samples {
                *sample = from.signed(bits)?;
            }
        }
        order @ 8..=12 => {
            let first = start(from, samples, order - 8, bits)?;
            residual(from, samples, first)?;
            predict_fixed(samples, order - 8);
        }
        order @ 32..=63 => {
            let order = start(from, samples, order - 31, bits)?;
            let precision = from.unsigned(4)? + 1;
            let shift = from.unsigned(5)?;
            if precision == 16 || shift > 15 {
                return Err("a frame is predicted in a way that is invalid".into());
            }
            let mut weights = [0; MOST_ORDER];
            for weight in &mut weights[..order] {
                *weight = from.signed(precision)?;
            }
            residual(from, samples, order)?;
            let sum_bits = bits + precision + order.ilog2() + 1;
            predict(samples, &weights[..order], shift, sum_bits <= 32);
        }
        _ => return Err("a frame holds what is reserved".into()),
    }
    if wasted > 0 {
        for sample in samples {
            *sample = sample.wrapping_shl(wasted);
        }
    }
    Ok(())
}

/// Reads the samples from which the first others are predicted; says how many.
fn start(from: &mut Bits<'_>, samples: &mut [i32], order: u32, bits: u32) -> Result<usize, String> {
    let order = order as usize;
    let first = samples.get_mut(..order).ok_or("a frame is shorter than what it is predicted from")?;
    for sample in first {
        *sample = from.signed(bits)?;
    }
    Ok(order)
}

/// Reads by how much the other samples differ from what is predicted.
fn residual(from: &mut Bits<'_>, samples: &mut [i32], order: usize) -> Result<(), String> {
    let bits = match from.unsigned(2)? {
        0 => 4,
        1 => 5,
        _ => return Err("a frame holds what is reserved".into()),
    };
    let partitions = 1 << from.unsigned(4)?;
    let each = samples.len() / partitions;
    if !samples.len().is_multiple_of(partitions) || each < order {
        return Err("a frame cannot be divided as it says".into());
    }
    let mut rest = &mut samples[order..];
    for partition in 0..partitions {
        let count = if partition == 0 { each - order } else { each };
        let (here, after) = std::mem::take(&mut rest).split_at_mut(count);
        rest = after;
        let low = from.unsigned(bits)?;
        if low == (1 << bits) - 1 {
            let bits = from.unsigned(5)?;
            for sample in here {
                *sample = from.signed(bits)?;
            }
            continue;
        }
        for sample in here {
            *sample = from.rice(low)?.ok_or("a frame holds a difference that is too large")?;
        }
    }
    Ok(())
}

/// Adds what is predicted by one of the polynomials to the samples after the first ones.
fn predict_fixed(samples: &mut [i32], order: u32) {
    let weights: &[i32] = match order {
        0 => return,
        1 => &[1],
        2 => &[2, -1],
        3 => &[3, -3, 1],
        _ => &[4, -6, 4, -1],
    };
    predict(samples, weights, 0, true);
}

/// Adds what is predicted from the samples before: sums may be made of 32 bits where they are known to go into that.
fn predict(samples: &mut [i32], weights: &[i32], shift: u32, narrow: bool) {
    // The weights in the order of the samples.
    let mut ordered = [0; MOST_ORDER];
    let order = weights.len();
    ordered[..order].iter_mut().zip(weights.iter().rev()).for_each(|(to, weight)| *to = *weight);
    // Lengths that are known make loops that need no looking after.
    macro_rules! by_order {
        ($($known:literal)*) => {
            match order {
                $($known => predict_by::<$known>(samples, ordered.first_chunk().unwrap_or(&[0; $known]), shift, narrow),)*
                _ => for at in order..samples.len() {
                    let (before, rest) = samples.split_at_mut(at);
                    rest[0] = rest[0].wrapping_add(sum(&before[at - order..], &ordered[..order], shift, narrow));
                },
            }
        };
    }
    by_order!(1 2 3 4 5 6 7 8 9 10 11 12);
}

fn predict_by<const N: usize>(samples: &mut [i32], weights: &[i32; N], shift: u32, narrow: bool) {
    let Some((first, rest)) = samples.split_first_chunk_mut::<N>() else { return };
    let mut before = *first;
    for sample in rest {
        *sample = sample.wrapping_add(sum(&before, weights, shift, narrow));
        before.copy_within(1.., 0);
        before[N - 1] = *sample;
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "its loop is unrolled where the length is known")]
#[expect(clippy::cast_possible_truncation, reason = "what is damaged may be anything")]
fn sum(before: &[i32], weights: &[i32], shift: u32, narrow: bool) -> i32 {
    if narrow {
        let products = before.iter().zip(weights).map(|(sample, weight)| sample.wrapping_mul(*weight));
        return products.fold(0_i32, i32::wrapping_add) >> shift;
    }
    let products = before.iter().zip(weights).map(|(sample, weight)| i64::from(*sample) * i64::from(*weight));
    (products.fold(0_i64, i64::wrapping_add) >> shift) as i32
}

/// CRC-8 of the polynomial 0x07.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

/// CRC-16 of the polynomial 0x8005, eight bytes at a time.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLES: [[u16; 256]; 8] = tables();
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words.iter().fold(0_u16, |crc, word| {
        let [high, low] = crc.to_be_bytes();
        let first = [word[0] ^ high, word[1] ^ low];
        let bytes = first.iter().chain(&word[2..]);
        bytes.zip(TABLES.iter().rev()).fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)])
    });
    rest.iter().fold(crc, |crc, byte| crc << 8 ^ TABLES[0][usize::from(crc.to_be_bytes()[0] ^ byte)])
}

#[expect(clippy::cast_possible_truncation, reason = "there are 256 bytes")]
const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x8005 };
            bit += 1;
        }
        let mut zeros = 0;
        while zeros < 8 {
            tables[zeros][byte] = crc;
            // The same with one more byte of zeros behind it.
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x8005 };
                bit += 1;
            }
            zeros += 1;
        }
        byte += 1;
    }
    tables
}
