//! The protobuf wire format, as far as `tf.train.Example` and `TensorProto` need it: tags, varints, lengths.
//!
//! Every function takes a slice, moves its start past what it read, and gives `None` where the bytes end too early or
//! are not legal. Groups, which nothing here ever wrote, are not legal.

use std::ops::Range;

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A varint.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length, then so many bytes.
    Bytes,
    /// Four bytes.
    Fixed32,
}

/// Reads a varint of at most ten bytes. Bits beyond the 64th are dropped, as TensorFlow does.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "most varints are tags and short lengths of one byte: a call costs more than reading them"
)]
pub fn varint(rest: &mut &[u8]) -> Option<u64> {
    match rest.split_first() {
        Some((&first, after)) if first < 0x80 => {
            *rest = after;
            Some(u64::from(first))
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Option<u64> {
    let (&first, after) = rest.split_first()?;
    let mut value = u64::from(first & 0x7f);
    for (i, &byte) in after.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * (i + 1));
        if byte < 0x80 {
            *rest = &after[i + 1..];
            return Some(value);
        }
    }
    None
}

/// Reads a field's number and wire type.
#[inline]
pub fn tag(rest: &mut &[u8]) -> Option<(u32, Wire)> {
    let tag = u32::try_from(varint(rest)?).ok()?;
    let wire = match tag & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Bytes,
        5 => Wire::Fixed32,
        _ => return None,
    };
    (tag >> 3 != 0).then_some((tag >> 3, wire))
}

/// Reads a length and so many bytes.
#[inline]
pub fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

/// Passes over a value.
pub fn skip(rest: &mut &[u8], wire: Wire) -> Option<()> {
    match wire {
        Wire::Varint => varint(rest).map(drop),
        Wire::Bytes => bytes(rest).map(drop),
        Wire::Fixed64 => rest.split_at_checked(8).map(|(_, after)| *rest = after),
        Wire::Fixed32 => rest.split_at_checked(4).map(|(_, after)| *rest = after),
    }
}

/// Adds a byte string to a list, which is a message whose repeated field number 1 holds the values.
pub(crate) fn push_string(list: &mut Vec<u8>, string: &[u8]) {
    push_length(list, string.len());
    list.extend_from_slice(string);
}

/// The same up to the bytes of the string, of which there will be so many.
pub(crate) fn push_length(list: &mut Vec<u8>, length: usize) {
    list.push(0x0a);
    push_varint(list, length);
}

/// Writes a varint.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Where `inner`, a slice of `outer`, stands in it.
pub(crate) fn range_in(outer: &[u8], inner: &[u8]) -> Range<usize> {
    let start = inner.as_ptr() as usize - outer.as_ptr() as usize;
    start..start + inner.len()
}

/// The number of varints in a run of them: the number of bytes that end one.
#[must_use]
pub fn count_varints(run: &[u8]) -> usize {
    // A byte's worth of additions at a time lets the compiler count in byte lanes.
    run.chunks(255)
        .map(|chunk| usize::from(chunk.iter().fold(0_u8, |n, byte| n + u8::from(*byte < 0x80))))
        .sum()
}

/// Decodes a run of varints, in order, as long as `take` wants more.
///
/// # Errors
/// A varint has more than ten bytes or is cut.
#[inline]
pub fn each_varint(mut run: &[u8], mut take: impl FnMut(u64) -> bool) -> Result<(), BadVarint> {
    // Eight bytes at a time: the bytes without a continuation bit are where varints end. Two varints are taken of each
    // word, because what limits the speed is how long it takes to know where the next word starts.
    while let Some(word) = run.first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let ends = !word & CONTINUES;
        if ends == CONTINUES {
            if !word.to_le_bytes().into_iter().all(|byte| take(u64::from(byte))) {
                return Ok(());
            }
            run = &run[8..];
            continue;
        }
        let later_ends = ends & ends.wrapping_sub(1);
        if later_ends == 0 {
            if !take(varint(&mut run).ok_or(BadVarint)?) {
                return Ok(());
            }
            continue;
        }
        let (first, second) = (ends.trailing_zeros(), later_ends.trailing_zeros());
        if !take(squeeze(word, first)) || !take(squeeze(word >> (first + 1), second - first - 1)) {
            return Ok(());
        }
        run = &run[second as usize / 8 + 1..];
    }
    while !run.is_empty() {
        if !take(varint(&mut run).ok_or(BadVarint)?) {
            break;
        }
    }
    Ok(())
}

/// A varint has more than ten bytes, or its end is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadVarint;

/// The continuation bit of each byte.
const CONTINUES: u64 = 0x8080_8080_8080_8080;

/// The value of the varint at the start of a word, whose last bit is the one numbered `last`: three shifts bring its
/// groups of seven bits together.
#[inline]
fn squeeze(word: u64, last: u32) -> u64 {
    let groups = word & (u64::MAX >> (63 - last)) & !CONTINUES;
    let groups = (groups & 0x007f_007f_007f_007f) | ((groups & 0x7f00_7f00_7f00_7f00) >> 1);
    let groups = (groups & 0x0000_3fff_0000_3fff) | ((groups & 0x3fff_0000_3fff_0000) >> 2);
    (groups & 0x0fff_ffff) | ((groups & 0x0fff_ffff_0000_0000) >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
    }

    #[test]
    fn varints_of_every_length_come_back() {
        let values: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1, u64::MAX >> bit]).collect();
        let mut run = Vec::new();
        for value in &values {
            encode(*value, &mut run);
        }
        assert_eq!(count_varints(&run), values.len());
        let mut back = Vec::new();
        each_varint(&run, |value| {
            back.push(value);
            true
        })
        .unwrap();
        assert_eq!(back, values);
        let mut rest = &run[..];
        for value in values {
            assert_eq!(varint(&mut rest), Some(value));
        }
    }

    #[test]
    fn a_varint_may_be_longer_than_it_need_be_but_not_than_ten_bytes() {
        assert_eq!(varint(&mut &[0x80, 0x80, 0x00][..]), Some(0));
        let mut long = [0x80; 11];
        long[10] = 0;
        assert_eq!(varint(&mut &long[..]), None);
        assert_eq!(each_varint(&long, |_| true), Err(BadVarint));
        assert_eq!(varint(&mut &[0x80][..]), None);
    }
}
