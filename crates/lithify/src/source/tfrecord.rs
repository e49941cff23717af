//! TFRecord files: framing, checksums, and how to find a way back into a damaged one.
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

use crc_fast::{CrcAlgorithm, checksum};

use super::input::{Compression, Input, READ_BYTES};
use super::payload::{Parsed, Payload};
use super::probe::{Evidence, HEAD_BYTES, head_of};
use super::sequence::Lists;
use super::{Elements, Format, Options, Part, Source, Verdict, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Element;

/// Bytes before a record's data.
const HEADER: usize = 12;
/// The largest record that there can be, in bytes.
const MOST_BYTES: u64 = 1 << 40;
/// Bytes after a record's data.
const FOOTER: usize = 4;

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
fn length_in(header: &[u8; HEADER]) -> Option<u64> {
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
fn compression_of(head: &[u8]) -> Option<Compression> {
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
fn beginning(head: &[u8]) -> (Compression, Option<Vec<u8>>) {
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
        _ => return (Compression::None, Some(plain)),
    };
    let mut header = Vec::new();
    let decoded = stream.take(HEADER as u64).read_to_end(&mut header);
    (compression, decoded.is_ok().then_some(header))
}

/// TFRecord files of `tf.train.Example`.
pub struct ExampleFormat;

impl Format for ExampleFormat {
    fn name(&self) -> &'static str {
        "tfrecord"
    }

    fn about(&self) -> &'static str {
        "TFRecords of tf.train.Example or tf.train.SequenceExample"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        if compression_of(seen.head).is_some() { Verdict::Yes } else { Verdict::No }
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let records = TfRecords::open(parts, Payload::Raw, options)?;
        let lists = records.learn_lists();
        Ok(Box::new(TfRecords { payload: Payload::Example(lists), ..records }))
    }
}

/// TFRecord files of anything else: each record is one byte string, the feature `record`.
pub struct RawFormat;

impl Format for RawFormat {
    fn name(&self) -> &'static str {
        "tfrecord-raw"
    }

    fn about(&self) -> &'static str {
        "TFRecords of anything, each record a byte string"
    }

    fn probe(&self, _: &Evidence<'_>) -> Verdict {
        Verdict::No
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(TfRecords::open(parts, Payload::Raw, options)?))
    }
}

/// Records that are looked at to tell what feature lists are, and their bytes, at most.
const LEARNT_FROM: (usize, u64) = (256, 4 << 20);

/// TFRecord files, or runs of the records of such.
pub(super) struct TfRecords {
    parts: Vec<Part>,
    compression: Vec<Compression>,
    /// The positions between which each part's records start.
    within: Vec<Range<u64>>,
    payload: Payload,
    largest_record: u64,
}

impl TfRecords {
    pub(super) fn open(parts: Vec<Part>, payload: Payload, options: &Options) -> Result<Self> {
        let mut compression = Vec::with_capacity(parts.len());
        for part in &parts {
            // Where the first record is damaged, reading it will say so.
            compression.push(beginning(&head_of(&part.path)?).0);
        }
        let within = vec![0..u64::MAX; parts.len()];
        Ok(Self { parts, compression, within, payload, largest_record: options.largest_record })
    }

    /// Keeps of a part the records from one number up to another. Their headers are read, one after another.
    ///
    /// # Errors
    /// There are not so many, or a header is damaged.
    pub(super) fn keep(&mut self, part: usize, records: Range<u64>) -> Result<()> {
        let path = &self.parts[part].path;
        let bad = |message: String, at: u64| Error::input(message).in_file(path).at_byte(at);
        if self.compression[part] != Compression::None {
            let error = Error::input("it is compressed, so that a part of its records cannot be taken alone");
            return Err(error.in_file(path).hint("take whole splits"));
        }
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let (mut at, mut start) = (0, 0);
        for number in 0..records.end {
            if number == records.start {
                start = at;
            }
            let mut header = [0; HEADER];
            let there = read_full_at(&file, &mut header, at).map_err(|e| Error::io("read", path, e))?;
            if there < HEADER {
                let wanted = records.end;
                return Err(bad(format!("it has {number} records, and {wanted} are wanted of it"), at));
            }
            let next =
                length_in(&header).and_then(|length| length.checked_add((HEADER + FOOTER) as u64 + at));
            at =
                next.ok_or_else(|| bad("the record's length is damaged: its checksum is wrong".into(), at))?;
        }
        self.within[part] = start..at;
        Ok(())
    }

    /// What the feature lists of the first records are, where these are such as have some.
    fn learn_lists(&self) -> Lists {
        let mut lists = Lists::default();
        let part = self.parts.iter().position(|part| part.bytes > 0);
        let elements = part.and_then(|part| self.read(part, 0..LEARNT_FROM.1, Want::Whole).ok());
        let Some(mut elements) = elements else { return lists };
        for _ in 0..LEARNT_FROM.0 {
            let Ok(Some(element)) = elements.next() else { break };
            if let Some(record) = element.list(0).and_then(|list| list.single()) {
                lists.learn(record);
            }
        }
        lists
    }
}

impl Source for TfRecords {
    fn format(&self) -> &'static str {
        match self.payload {
            Payload::Example(_) | Payload::Declared(_) => ExampleFormat.name(),
            Payload::Raw => RawFormat.name(),
        }
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn seekable(&self, part: usize) -> bool {
        self.compression[part] == Compression::None
    }

    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        let within = &self.within[part];
        let range = range.start.max(within.start)..range.end.min(within.end);
        let input = Input::open(&self.parts[part].path, self.compression[part], range.start, range.end)?;
        Ok(Box::new(Records {
            source: self,
            part,
            input,
            until: range.end,
            parsed: Parsed::default(),
            over: false,
            record: 0,
        }))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let path = &self.parts[part].path;
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let (size, within) = (self.parts[part].bytes, &self.within[part]);
        let range = range.start.max(within.start)..range.end.min(within.end);
        let mut window = vec![0; READ_BYTES];
        let mut at = range.start;
        while at < range.end {
            let filled = read_full_at(&file, &mut window, at).map_err(|e| Error::io("read", path, e))?;
            let starts = filled.saturating_sub(HEADER - 1);
            for (start, header) in window[..filled].windows(HEADER).enumerate() {
                let position = at + start as u64;
                if position >= range.end {
                    return Ok(None);
                }
                // Most bytes claim a length that the file has not, which is cheaper to see than a wrong checksum.
                if claimed_length(header) > size.saturating_sub(position) {
                    continue;
                }
                let Some(length) = header.first_chunk().and_then(length_in) else { continue };
                let next = (HEADER + FOOTER) as u64 + position;
                let Some(next) = next.checked_add(length).filter(|next| *next <= size) else { continue };
                // Two headers in the right places are no accident; one may be part of a payload.
                let mut after = [0; HEADER];
                let there = read_full_at(&file, &mut after, next).map_err(|e| Error::io("read", path, e))?;
                if next == size || there == HEADER && length_in(&after).is_some() {
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
}

fn read_full_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
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

struct Records<'s> {
    source: &'s TfRecords,
    part: usize,
    input: Input,
    until: u64,
    parsed: Parsed,
    /// Whether nothing more can be read.
    over: bool,
    /// Bytes of the record that was lent out last, which are still to be consumed.
    record: usize,
}

impl Records<'_> {
    fn damaged(&self, byte: u64, message: impl Into<String>) -> Error {
        Error::input(message).in_file(&self.source.parts[self.part].path).at_byte(byte)
    }

    fn unreadable(&mut self, error: io::Error) -> Error {
        self.over = true;
        let path = &self.source.parts[self.part].path;
        if self.source.seekable(self.part) {
            return Error::io("read", path, error);
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

    /// The length of the next record, or `None` at the end.
    fn header(&mut self) -> Result<Option<usize>> {
        self.input.pass(std::mem::take(&mut self.record));
        let at = self.input.offset();
        if self.over || at >= self.until {
            return Ok(None);
        }
        let header = match self.input.peek(HEADER) {
            Ok(header) => header,
            Err(e) => return Err(self.unreadable(e)),
        };
        let Some(first) = header.first_chunk() else {
            let stray = header.len();
            self.over = true;
            return match stray {
                0 => Ok(None),
                _ => Err(self
                    .damaged(
                        at,
                        format!("the file ends with {stray} stray bytes, which is no whole record header"),
                    )
                    .loses_a_stretch()),
            };
        };
        let Some(length) = length_in(first) else {
            self.find_next()?;
            let start = if at == 0 { " (is this a TFRecord file?)" } else { "" };
            let lost = match self.over {
                true => format!("all that follows in this file is lost{start}"),
                false => format!("bytes {at} to {} are passed over", self.input.offset()),
            };
            return Err(self
                .damaged(at, format!("the record's length is damaged: its checksum is wrong; {lost}"))
                .loses_a_stretch());
        };
        let path = &self.source.parts[self.part].path;
        let left = self.source.parts[self.part].bytes.saturating_sub(at + (HEADER + FOOTER) as u64);
        if self.source.seekable(self.part) && length > left {
            self.over = true;
            return Err(self
                .damaged(
                    at,
                    format!("the record is cut: it is said to have {length} bytes, but {left} are left in the file"),
                )
                .loses_a_stretch());
        }
        // Not even a caller without a budget gets more than can be counted.
        let most = self.source.largest_record.min(MOST_BYTES);
        match usize::try_from(length) {
            Ok(length) if length as u64 <= most => Ok(Some(length)),
            _ => {
                self.over = true;
                let message = format!(
                    "the record has {length} bytes, more than the {most} that the memory budget leaves for one"
                );
                Err(Error::new(ErrorKind::Resources, message)
                    .in_file(path)
                    .at_byte(at)
                    .hint("give more memory with `--memory`, or use fewer threads with `--threads`"))
            }
        }
    }

    /// Moves to the next place where a record starts, after one whose length is damaged.
    fn find_next(&mut self) -> Result<()> {
        let part = &self.source.parts[self.part];
        if !self.source.seekable(self.part) {
            self.over = !self.find_in_stream().unwrap_or(false);
            return Ok(());
        }
        match self.source.find_element(self.part, self.input.offset() + 1..part.bytes)? {
            Some(position) => self.input = Input::open(&part.path, Compression::None, position, self.until)?,
            None => self.over = true,
        }
        Ok(())
    }

    /// The same where only reading on leads there. Says whether there is one.
    fn find_in_stream(&mut self) -> io::Result<bool> {
        self.input.consume(1);
        loop {
            let window = self.input.peek(READ_BYTES)?;
            let most = self.source.largest_record;
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

impl Elements for Records<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        let Some(length) = self.header()? else { return Ok(None) };
        let at = self.input.offset();
        let whole = HEADER + length + FOOTER;
        match self.input.peek(whole).map(|bytes| check(bytes, length)) {
            Err(e) => return Err(self.unreadable(e)),
            Ok(Check::Cut(there)) => {
                self.over = true;
                return Err(self
                    .damaged(at, format!("the record is cut: it has {there} of its {whole} bytes"))
                    .loses_a_stretch());
            }
            Ok(Check::Damaged) => {
                self.input.consume(whole);
                return Err(self.damaged(at, "the record's data is damaged: its checksum is wrong"));
            }
            Ok(Check::Sound) => {}
        }
        let data = HEADER..HEADER + length;
        let Self { source, input, parsed, .. } = self;
        if let Err(error) = source.payload.parse(&input.window()[data.clone()], source.largest_record, parsed)
        {
            input.consume(whole);
            return Err(error.in_file(&source.parts[self.part].path).at_byte(at));
        }
        self.record = whole;
        Ok(Some(self.source.payload.element(&self.input.window()[data], &self.parsed, at)))
    }

    fn skip(&mut self) -> Result<bool> {
        let Some(length) = self.header()? else { return Ok(false) };
        let whole = HEADER + length + FOOTER;
        // A file that is not compressed was found to be long enough.
        if self.source.seekable(self.part) {
            self.record = whole;
            return Ok(true);
        }
        match self.input.peek(whole) {
            Ok(bytes) if bytes.len() >= whole => {}
            // What is wrong is said where the element is read.
            _ => return Ok(self.next()?.is_some()),
        }
        self.record = whole;
        Ok(true)
    }

    fn position(&self) -> u64 {
        let next = self.input.offset() + self.record as u64;
        // What is left of a file that cannot be read on is lost, and no other reading of it need try.
        let lost = self.over && self.source.seekable(self.part);
        if lost { next.max(self.source.parts[self.part].bytes) } else { next }
    }

    fn consumed(&self) -> u64 {
        self.input.consumed()
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
