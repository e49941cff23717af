//! The framing of TFRecords: lengths, checksums, and how to find a way back into a damaged file.
//!
//! ```text
//! u64 length │ u32 checksum of these 8 bytes │ data │ u32 checksum of the data        all little-endian
//! ```
//! A checksum is the CRC-32C, rotated right by 15 bits, plus 0xa282ead8. There is no header and no index. The whole file
//! may be compressed. (TensorFlow: `tensorflow/core/lib/io/record_writer.h`.)

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crc_fast::{CrcAlgorithm, checksum};

use super::Part;
use super::input::{Compression, Input, READ_BYTES};
use super::probe::HEAD_BYTES;
use super::snappy;
use crate::error::{Error, ErrorKind, Result};

/// Bytes before a record's data.
pub(super) const HEADER: usize = 12;
/// Bytes after a record's data.
pub(super) const FOOTER: usize = 4;
/// The largest record that there can be, in bytes.
const MOST_BYTES: u64 = 1 << 40;

/// The checksum that a TFRecord keeps of `data`.
#[inline]
#[must_use]
pub fn masked_crc(data: &[u8]) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a CRC-32 has 32 bits")]
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, data) as u32;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The length in a record's header, if its checksum is right: a proof of 32 bits that a record starts here.
#[inline]
pub(super) fn length_in(header: &[u8; HEADER]) -> Option<u64> {
    let (length, crc) = header.split_at(8);
    let crc = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
    (masked_crc(length) == crc).then(|| claimed_length(length))
}

/// The length that a record would have whose header this is.
#[inline]
fn claimed_length(header: &[u8]) -> u64 {
    header.first_chunk().map_or(u64::MAX, |length| u64::from_le_bytes(*length))
}

/// How the file is compressed, if it is a TFRecord file.
pub(super) fn compression_of(head: &[u8]) -> Option<Compression> {
    let (compression, first) = beginning(head);
    match first {
        Some(first) => (first.is_empty()
            || first.first_chunk().is_some_and(|header| length_in(header).is_some()))
        .then_some(compression),
        // The head may end before twelve bytes are decoded only if the file does: then the reading of it will tell.
        None => (head.len() < HEAD_BYTES).then_some(compression),
    }
}

/// How a file of this beginning must be compressed, if it is one of TFRecords, and the first record's header; `None`
/// where it cannot be decompressed. The checksum comes first, because the length of a plain record may well look like
/// the first bytes of gzip.
pub(super) fn beginning(head: &[u8]) -> (Compression, Option<Vec<u8>>) {
    let plain = head[..head.len().min(HEADER)].to_vec();
    if head.first_chunk().is_some_and(|header| length_in(header).is_some()) {
        return (Compression::None, Some(plain));
    }
    let (compression, stream): (_, Box<dyn Read + '_>) = match head {
        [0x1f, 0x8b, 8, ..] => (Compression::Gzip, Box::new(flate2::bufread::MultiGzDecoder::new(head))),
        [a, b, ..]
            if a & 15 == 8 && a >> 4 <= 7 && u16::from_be_bytes([*a, *b]) % 31 == 0 && b & 0x20 == 0 =>
        {
            (Compression::Zlib, Box::new(flate2::bufread::ZlibDecoder::new(head)))
        }
        _ => {
            let first = snappy::first_bytes(head, HEADER);
            let framed = first.first_chunk().is_some_and(|header| length_in(header).is_some());
            return if framed {
                (Compression::Snappy, Some(first))
            } else {
                (Compression::None, Some(plain))
            };
        }
    };
    let mut header = Vec::new();
    let decoded = stream.take(HEADER as u64).read_to_end(&mut header);
    (compression, decoded.is_ok().then_some(header))
}

/// The first position in `range` where a record seems to start, of a file that is not compressed.
pub(super) fn find_record(part: &Part, range: Range<u64>) -> Result<Option<u64>> {
    let failed = |e| Error::io("read", &part.path, e);
    let file = File::open(&part.path).map_err(|e| Error::io("open", &part.path, e))?;
    let mut window = vec![0; READ_BYTES];
    let mut at = range.start;
    while at < range.end {
        let filled = read_full_at(&file, &mut window, at).map_err(failed)?;
        let starts = filled.saturating_sub(HEADER - 1);
        for (start, header) in window[..filled].windows(HEADER).enumerate() {
            let position = at + start as u64;
            if position >= range.end {
                return Ok(None);
            }
            // Most bytes claim a length that the file has not, which is cheaper to see than a wrong checksum.
            if claimed_length(header) > part.bytes.saturating_sub(position) {
                continue;
            }
            let Some(length) = header.first_chunk().and_then(length_in) else { continue };
            let next = (HEADER + FOOTER) as u64 + position;
            let Some(next) = next.checked_add(length).filter(|next| *next <= part.bytes) else { continue };
            // Two headers in the right places are no accident; one may be part of a payload.
            let mut after = [0; HEADER];
            let there = read_full_at(&file, &mut after, next).map_err(failed)?;
            if next == part.bytes || there == HEADER && length_in(&after).is_some() {
                return Ok(Some(position));
            }
        }
        if starts == 0 {
            break;
        }
        at += starts as u64;
    }
    Ok(None)
}

/// Where the records start and end that have these numbers in a file that is not compressed. Headers are read, one after
/// another.
///
/// # Errors
/// There are not so many, or a header is damaged.
pub(super) fn positions_of(part: &Part, records: Range<u64>) -> Result<Range<u64>> {
    let bad = |message: String, at: u64| Err(Error::input(message).in_file(&part.path).at_byte(at));
    let file = File::open(&part.path).map_err(|e| Error::io("open", &part.path, e))?;
    let (mut at, mut start) = (0, 0);
    for number in 0..records.end {
        if number == records.start {
            start = at;
        }
        let mut header = [0; HEADER];
        let there = read_full_at(&file, &mut header, at).map_err(|e| Error::io("read", &part.path, e))?;
        if there < HEADER {
            return bad(format!("it has {number} records, and {} are wanted of it", records.end), at);
        }
        let next = length_in(&header).and_then(|length| length.checked_add((HEADER + FOOTER) as u64 + at));
        let Some(next) = next else {
            return bad("the record's length is damaged: its checksum is wrong".into(), at);
        };
        at = next;
    }
    Ok(start..at)
}

/// Fills the buffer from an offset of the file, as far as that goes.
pub(super) fn read_full_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut end = 0;
    while end < buffer.len() {
        match file.read_at(&mut buffer[end..], at + end as u64) {
            Ok(0) => break,
            Ok(n) => end += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(end)
}

/// The records of a file, one or several at a time: those at the front are lent from the window of the input.
pub(super) struct Frames<'s> {
    part: &'s Part,
    /// The file is not compressed, so that it can be entered anywhere.
    plain: bool,
    largest: u64,
    input: Input,
    until: u64,
    /// Whether nothing more can be read.
    over: bool,
    /// Bytes that were lent last, which are still to be consumed.
    lent: usize,
}

impl<'s> Frames<'s> {
    /// Opens a file for the records that start in `range`.
    pub(super) fn open(
        part: &'s Part,
        compression: Compression,
        range: Range<u64>,
        largest: u64,
    ) -> Result<Self> {
        // Not even a caller without a budget gets more than can be counted.
        let largest = largest.min(MOST_BYTES);
        let input = Input::open(&part.path, compression, range.start, range.end, largest)?;
        let plain = compression == Compression::None;
        Ok(Self { part, plain, largest, input, until: range.end, over: false, lent: 0 })
    }

    /// Gives back what was lent; where the next record starts, unless the end is reached.
    pub(super) fn begin(&mut self) -> Option<u64> {
        self.input.pass(std::mem::take(&mut self.lent));
        let at = self.input.offset();
        (!self.over && at < self.until).then_some(at)
    }

    /// The record that starts `ahead` bytes after the present one: where its data are in the window. `None` where the file
    /// ends.
    ///
    /// # Errors
    /// It is damaged. What can be passed over has been lent: the next record is the first after it that can be found.
    pub(super) fn record(&mut self, ahead: usize) -> Result<Option<Range<usize>>> {
        let Some(length) = self.header(ahead)? else { return Ok(None) };
        let whole = HEADER + length + FOOTER;
        let is_sound = |bytes: &[u8]| matches!(check(bytes, length), Check::Sound);
        match self.input.peek(ahead + whole).map(|bytes| check(&bytes[ahead.min(bytes.len())..], length)) {
            Err(e) => return Err(self.unreadable(e)),
            Ok(Check::Cut(there)) => {
                self.over = true;
                let message = format!("the record is cut: it has {there} of its {whole} bytes");
                return Err(self.damaged_at(ahead, message).loses_a_stretch());
            }
            Ok(Check::Damaged) if self.input.is_sound_on_disk(|bytes| is_sound(&bytes[ahead..])) => {}
            Ok(Check::Damaged) => {
                self.lent = ahead + whole;
                return Err(
                    self.damaged_at(ahead, "the record's data is damaged: its checksum is wrong".into())
                );
            }
            Ok(Check::Sound) => {}
        }
        let start = ahead + HEADER;
        Ok(Some(start..start + length))
    }

    /// How many bytes the record takes that starts `ahead` bytes after the present one, which is not checked.
    pub(super) fn size(&mut self, ahead: usize) -> Result<Option<usize>> {
        let Some(length) = self.header(ahead)? else { return Ok(None) };
        let whole = HEADER + length + FOOTER;
        // A file that is not compressed was found to be long enough; what is passed over need not be read.
        if self.plain && ahead == 0 {
            return Ok(Some(whole));
        }
        match self.input.peek(ahead + whole) {
            Ok(bytes) if bytes.len() >= ahead + whole => Ok(Some(whole)),
            // What is wrong is said where it is read.
            _ => Ok(self.record(ahead)?.map(|_| whole)),
        }
    }

    /// Lends so many bytes, which the next `begin` passes over.
    pub(super) fn lend(&mut self, bytes: usize) {
        self.lent = bytes;
    }

    /// How many bytes are lent: where damage ended, from the present record on.
    pub(super) fn lent(&self) -> usize {
        self.lent
    }

    /// What the input shows, from the present record on.
    pub(super) fn window(&self) -> &[u8] {
        self.input.window()
    }

    /// The file.
    pub(super) fn path(&self) -> &'s Path {
        &self.part.path
    }

    /// Whether nothing more can be read.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Gives up what is left.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// Where the next record starts: after what is lent, or after what was lost to damage.
    pub(super) fn position(&self) -> u64 {
        let next = self.input.offset() + self.lent as u64;
        // What is left of a file that cannot be read on is lost, and no other reading of it need try.
        if self.over && self.plain { next.max(self.part.bytes) } else { next }
    }

    pub(super) fn consumed(&self) -> u64 {
        self.input.consumed()
    }

    pub(super) fn damaged(&self, byte: u64, message: impl Into<String>) -> Error {
        Error::input(message).in_file(&self.part.path).at_byte(byte)
    }

    /// Damage to the record that starts `ahead` bytes after the present one, with which it makes one element.
    fn damaged_at(&self, ahead: usize, message: String) -> Error {
        let at = self.input.offset();
        match ahead {
            0 => self.damaged(at, message),
            _ => self.damaged(at, format!("its record at byte {}: {message}", at + ahead as u64)),
        }
    }

    fn unreadable(&mut self, error: io::Error) -> Error {
        self.over = true;
        let path = &self.part.path;
        if self.plain {
            return Error::io("read", path, error);
        }
        if error.kind() == io::ErrorKind::FileTooLarge {
            return self.too_large(&error.to_string());
        }
        let what = if error.kind() == io::ErrorKind::UnexpectedEof {
            "the compressed stream is cut".into()
        } else {
            error.to_string()
        };
        self.damaged(self.input.offset(), format!("it cannot be decompressed further: {what}"))
            .hint("all that follows in this file is lost; the offset is one of the decompressed stream")
            .loses_a_stretch()
    }

    fn too_large(&self, what: &str) -> Error {
        let most = self.largest;
        let message = format!("{what}, more than the {most} that the memory budget leaves for one");
        Error::new(ErrorKind::Resources, message)
            .in_file(&self.part.path)
            .at_byte(self.input.offset())
            .hint("give more memory with `--memory`, or use fewer threads with `--threads`")
    }

    /// The length of the record that starts `ahead` bytes after the present one, or `None` at the end.
    fn header(&mut self, ahead: usize) -> Result<Option<usize>> {
        let at = self.input.offset() + ahead as u64;
        if self.over {
            return Ok(None);
        }
        let header = match self.input.peek(ahead + HEADER) {
            Ok(window) => &window[ahead.min(window.len())..],
            Err(e) => return Err(self.unreadable(e)),
        };
        let Some(first) = header.first_chunk() else {
            let stray = header.len();
            self.over = true;
            if stray == 0 {
                return Ok(None);
            }
            let message = format!("the file ends with {stray} stray bytes, which is no whole record header");
            return Err(self.damaged_at(ahead, message).loses_a_stretch());
        };
        let mut length = length_in(first);
        if length.is_none() {
            let length_at = |bytes: &[u8]| bytes.get(ahead..)?.first_chunk().and_then(length_in);
            self.input.is_sound_on_disk(|bytes| length_at(bytes).is_some());
            length = length_at(self.input.window());
        }
        let Some(length) = length else {
            let element = self.input.offset();
            self.input.consume(ahead);
            self.lent = 0;
            self.find_next()?;
            let start = if at == 0 { " (is this a TFRecord file?)" } else { "" };
            let lost = match self.over {
                true => format!("all that follows in this file is lost{start}"),
                false => format!("bytes {at} to {} are passed over", self.input.offset()),
            };
            return Err(self
                .damaged(element, format!("the record's length is damaged: its checksum is wrong; {lost}"))
                .loses_a_stretch());
        };
        let left = self.part.bytes.saturating_sub(at + (HEADER + FOOTER) as u64);
        if self.plain && length > left {
            self.over = true;
            let message = format!(
                "the record is cut: it is said to have {length} bytes, but {left} are left in the file"
            );
            return Err(self.damaged_at(ahead, message).loses_a_stretch());
        }
        match usize::try_from(length.saturating_add(ahead as u64)) {
            Ok(all) if all as u64 <= self.largest => Ok(Some(all - ahead)),
            _ => {
                self.over = true;
                let what = if ahead == 0 { "the record" } else { "the element" };
                Err(self.too_large(&format!("{what} has {} bytes", length.saturating_add(ahead as u64))))
            }
        }
    }

    /// Moves to the next place where a record starts, after one whose length is damaged.
    fn find_next(&mut self) -> Result<()> {
        if !self.plain {
            self.over = !self.find_in_stream().unwrap_or(false);
            return Ok(());
        }
        match find_record(self.part, self.input.offset() + 1..self.part.bytes)? {
            Some(position) => {
                let (none, until) = (Compression::None, self.until);
                self.input = Input::open(&self.part.path, none, position, until, self.largest)?;
            }
            None => self.over = true,
        }
        Ok(())
    }

    /// The same where only reading on leads there. Says whether there is one.
    fn find_in_stream(&mut self) -> io::Result<bool> {
        self.input.consume(1);
        loop {
            let window = self.input.peek(READ_BYTES)?;
            let most = self.largest;
            let found = window.windows(HEADER).position(|header| {
                claimed_length(header) <= most
                    && header.first_chunk().is_some_and(|header| length_in(header).is_some())
            });
            let Some(found) = found else {
                let read = window.len();
                if read < READ_BYTES {
                    return Ok(false);
                }
                self.input.consume(read - (HEADER - 1));
                continue;
            };
            self.input.consume(found);
            // Two headers in the right places are no accident.
            let length = usize::try_from(claimed_length(self.input.window())).unwrap_or(usize::MAX);
            let whole = length.saturating_add(HEADER + FOOTER);
            let there = self.input.peek(whole.saturating_add(HEADER))?;
            let next = there.get(whole..).and_then(|after| after.first_chunk());
            if there.len() == whole || next.is_some_and(|header| length_in(header).is_some()) {
                return Ok(true);
            }
            self.input.consume(1);
        }
    }
}

enum Check {
    Sound,
    Cut(usize),
    Damaged,
}

fn check(bytes: &[u8], length: usize) -> Check {
    let Some((data, footer)) = bytes[HEADER.min(bytes.len())..].split_at_checked(length) else {
        return Check::Cut(bytes.len());
    };
    match footer.first_chunk() {
        None => Check::Cut(bytes.len()),
        Some(crc) if u32::from_le_bytes(*crc) == masked_crc(data) => Check::Sound,
        Some(_) => Check::Damaged,
    }
}
