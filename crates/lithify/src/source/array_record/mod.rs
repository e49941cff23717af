//! `ArrayRecord` files: Riegeli files of records, with an index at their end. As with TFRecords, the records are
//! `tf.train.Example`s, or of any kind.
//!
//! The index is not needed to read them: block headers tell where chunks start. What stands at the end of the file says where the data end, and that
//! its writer has come to its end. (`google/array_record`: `cpp/layout.proto`.)

use std::fs::File;
use std::ops::Range;

use super::framing::read_full_at;
use super::payload::{Parsed, Payload, RecordSource};
use super::probe::Evidence;
use super::wire::{self, Wire};
use super::{Elements, Format, Options, Part, Source, Verdict, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Element;
use chunks::{BLOCK, Chunk, Chunks};
use unpack::Unpacked;

mod chunks;
mod unpack;

pub use chunks::hash;

/// The first bytes of a Riegeli file: its first block header, in which the hash says so.
const SIGNATURE: [u8; 24] =
    [0x83, 0xaf, 0x70, 0xd1, 0x0d, 0x88, 0x4a, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0];
/// What stands in the last block of an `ArrayRecord` file.
const MAGIC: u64 = 0x7193_0e70_4fda_e05e;
/// Bytes of the last block that are read: it says the same thing three times.
const POSTSCRIPT_BYTES: usize = 256;

/// `ArrayRecord` files of `tf.train.Example`.
pub struct ArrayRecord;

impl Format for ArrayRecord {
    fn name(&self) -> &'static str {
        "array_record"
    }

    fn about(&self) -> &'static str {
        "ArrayRecord files of tf.train.Example or tf.train.SequenceExample"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        if seen.head.starts_with(&SIGNATURE) { Verdict::Yes } else { Verdict::No }
    }

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let mut records = ArrayRecords::open(parts, Payload::Raw, options)?;
        records.payload = Payload::learn(&records);
        Ok(Box::new(records))
    }
}

/// `ArrayRecord` files of anything else: each record is one byte string, the feature `record`.
pub struct RawArrayRecord;

impl Format for RawArrayRecord {
    fn name(&self) -> &'static str {
        "array_record-raw"
    }

    fn about(&self) -> &'static str {
        "ArrayRecord files of anything, each record a byte string"
    }

    fn probe(&self, _: &Evidence<'_>) -> Verdict {
        Verdict::No
    }

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(ArrayRecords::open(parts, Payload::Raw, options)?))
    }
}

/// `ArrayRecord` files, or runs of the records of such.
pub(super) struct ArrayRecords {
    parts: Vec<Part>,
    /// Where the chunks of each part end that hold data.
    stops: Vec<u64>,
    /// The positions between which each part's records start.
    within: Vec<Range<u64>>,
    payload: Payload,
    largest: u64,
}

impl ArrayRecords {
    pub(super) fn open(parts: Vec<Part>, payload: Payload, options: &Options) -> Result<Self> {
        let stops = parts.iter().map(|part| if part.bytes == 0 { Ok(0) } else { stop_of(part) });
        let stops = stops.collect::<Result<_>>()?;
        let within = vec![0..u64::MAX; parts.len()];
        Ok(Self { parts, stops, within, payload, largest: options.largest_record })
    }

    /// The positions of a range at which records of a part may start.
    fn within(&self, part: usize, range: &Range<u64>) -> Range<u64> {
        let within = &self.within[part];
        range.start.max(within.start)..range.end.min(within.end)
    }

    /// The records of a part that start in a range.
    fn records(&self, part: usize, range: Range<u64>) -> Result<Records<'_>> {
        let (file, stop) = (&self.parts[part], self.stops[part]);
        let mut records = Records {
            chunks: Chunks::open_at(file, range.start, range.end, stop, self.largest)?,
            source: self,
            until: range.end,
            front: Front::End,
            record: 0,
            unpacked: Unpacked::default(),
            is_unpacked: false,
            held: 0,
            parsed: Parsed::default(),
        };
        records.settle();
        if let Front::Chunk(chunk) = records.front
            && chunk.start < range.start
        {
            match chunk.holds(range.start) {
                true => records.record = range.start - chunk.start,
                // Behind its last record is padding.
                false => records.advance(&chunk),
            }
        }
        Ok(records)
    }
}

/// Where the data of a file end, by what stands in its last block.
fn stop_of(part: &Part) -> Result<u64> {
    let wrong = || {
        Error::input("the index at its end is missing: it is cut, or its writer was not closed")
            .in_file(&part.path)
            .hint("write it again; nothing reads an ArrayRecord file without its index")
    };
    let file = File::open(&part.path).map_err(|e| Error::io("open", &part.path, e))?;
    let last = part.bytes.checked_sub(BLOCK).filter(|last| last.is_multiple_of(BLOCK)).ok_or_else(wrong)?;
    let mut bytes = [0; POSTSCRIPT_BYTES];
    let there = read_full_at(&file, &mut bytes, last).map_err(|e| Error::io("read", &part.path, e))?;
    let postscript = chunks::first_record(&bytes[..there], last, part.bytes).ok_or_else(wrong)?;
    let (mut rest, mut offset, mut magic) = (&postscript[..], None, None);
    while !rest.is_empty() {
        match wire::tag(&mut rest).ok_or_else(wrong)? {
            (1, Wire::Varint) => offset = wire::varint(&mut rest),
            (2, Wire::Varint) => magic = wire::varint(&mut rest),
            (_, wire) => wire::skip(&mut rest, wire).ok_or_else(wrong)?,
        }
    }
    offset.filter(|offset| magic == Some(MAGIC) && *offset <= last).ok_or_else(wrong)
}

impl Source for ArrayRecords {
    fn format(&self) -> &'static str {
        match self.payload {
            Payload::Example(_) | Payload::Declared(_) => ArrayRecord.name(),
            Payload::Raw => RawArrayRecord.name(),
        }
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn seekable(&self, _: usize) -> bool {
        true
    }

    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        Ok(Box::new(self.records(part, self.within(part, &range))?))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let range = self.within(part, &range);
        let mut records = self.records(part, range.start..range.end)?;
        // Of what is damaged, only where it ends matters here.
        while let Front::Damage(_) = records.front {
            records.chunks.recover()?;
            records.settle();
        }
        let found = matches!(records.front, Front::Chunk(_)).then(|| records.position());
        Ok(found.filter(|position| *position < range.end))
    }
}

impl RecordSource for ArrayRecords {
    fn keep(&mut self, part: usize, records: Range<u64>) -> Result<()> {
        let mut chunks = Chunks::open(&self.parts[part], 0, u64::MAX, self.stops[part], self.largest)?;
        let (mut before, mut start) = (0, None);
        while let Some(chunk) = chunks.header()? {
            let place = |number: u64| number.checked_sub(before).filter(|record| *record <= chunk.records);
            // The first may be in the next chunk; the last must end in this one.
            start = start
                .or(place(records.start).filter(|record| *record < chunk.records).map(|at| chunk.start + at));
            if let (Some(start), Some(end)) = (start, place(records.end)) {
                self.within[part] = start..chunk.start + end;
                return Ok(());
            }
            before += chunk.records;
            chunks.pass(&chunk);
        }
        let message = format!("it has {before} records, and {} are wanted of it", records.end);
        Err(Error::input(message).in_file(&self.parts[part].path))
    }
}

/// What comes next.
enum Front {
    /// A chunk of records.
    Chunk(Chunk),
    /// A chunk whose header is damaged, which is still to be told.
    Damage(Error),
    /// Nothing.
    End,
}

struct Records<'s> {
    chunks: Chunks<'s>,
    source: &'s ArrayRecords,
    until: u64,
    front: Front,
    /// The number of the next record in the chunk at the front.
    record: u64,
    unpacked: Unpacked,
    /// Whether that is of the chunk at the front.
    is_unpacked: bool,
    held: u64,
    parsed: Parsed,
}

impl Records<'_> {
    /// Moves to the next chunk that holds records, or is damaged.
    fn settle(&mut self) {
        (self.record, self.is_unpacked) = (0, false);
        self.front = loop {
            match self.chunks.header() {
                Ok(Some(chunk)) if chunk.records > 0 => break Front::Chunk(chunk),
                Ok(Some(chunk)) => self.chunks.pass(&chunk),
                Ok(None) => break Front::End,
                Err(error) => break Front::Damage(error),
            }
        };
    }

    /// Passes over the chunk at the front.
    fn advance(&mut self, chunk: &Chunk) {
        self.chunks.pass(chunk);
        self.settle();
    }

    /// The chunk whose record is next; `None` at the end.
    fn chunk(&mut self) -> Result<Option<Chunk>> {
        if self.position() >= self.until {
            return Ok(None);
        }
        match std::mem::replace(&mut self.front, Front::End) {
            Front::Chunk(chunk) => {
                self.front = Front::Chunk(chunk);
                Ok(Some(chunk))
            }
            Front::Damage(error) => {
                if error.kind() == ErrorKind::Input {
                    self.chunks.recover()?;
                    self.settle();
                }
                Err(error)
            }
            Front::End => Ok(None),
        }
    }

    /// Unpacks the chunk at the front, as far as the next record.
    fn unpack(&mut self, chunk: &Chunk) -> Result<()> {
        if std::mem::replace(&mut self.is_unpacked, true) {
            return Ok(());
        }
        let Self { chunks, unpacked, source, record, .. } = self;
        unpack::check(chunk, source.largest)?;
        self.held = self.held.max(unpack::held(chunk));
        chunks.data(chunk, &mut unpacked.data)?;
        unpacked.unpack(chunk).map_err(|why| chunks.damaged(&why))?;
        for _ in 0..*record {
            unpacked.next().map_err(|why| chunks.damaged(why))?;
        }
        Ok(())
    }

    /// What is wrong with the chunk at the front, all of whose records are lost from the next on.
    fn lose(&mut self, chunk: &Chunk, error: Error) -> Error {
        let error = error.in_file(&self.chunks.part().path).at_byte(self.position());
        if error.kind() != ErrorKind::Input {
            self.front = Front::End;
            return error;
        }
        let lost = chunk.records - self.record;
        self.advance(chunk);
        match lost {
            1 => error,
            _ => error.hint(format!("{lost} records are lost with it")).loses_a_stretch(),
        }
    }
}

impl Elements for Records<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        let Some(chunk) = self.chunk()? else { return Ok(None) };
        let at = self.position();
        let record = self.unpack(&chunk).and_then(|()| {
            let record = self.unpacked.next().map_err(|why| self.chunks.damaged(why))?;
            let is_last = self.record + 1 == chunk.records;
            if is_last && !self.unpacked.is_spent() {
                return Err(self.chunks.damaged("a chunk has more records than it says"));
            }
            Ok(record)
        });
        let record = match record {
            Ok(record) => record,
            Err(error) => return Err(self.lose(&chunk, error)),
        };
        self.record += 1;
        if self.record == chunk.records {
            // What was unpacked stays until the next chunk is.
            self.advance(&chunk);
        }
        let Self { unpacked, source, parsed, chunks, .. } = self;
        let record = &unpacked.bytes()[record];
        match source.payload.parse(record, source.largest, RawArrayRecord.name(), parsed) {
            Ok(()) => Ok(Some(source.payload.element(record, parsed, at))),
            Err(error) => Err(error.in_file(&chunks.part().path).at_byte(at)),
        }
    }

    fn skip(&mut self) -> Result<bool> {
        let Some(chunk) = self.chunk()? else { return Ok(false) };
        self.held = self.held.max(unpack::held(&chunk));
        if self.is_unpacked
            && let Err(why) = self.unpacked.next()
        {
            let error = self.chunks.damaged(why);
            return Err(self.lose(&chunk, error));
        }
        self.record += 1;
        if self.record == chunk.records {
            self.advance(&chunk);
        }
        Ok(true)
    }

    fn position(&self) -> u64 {
        match &self.front {
            Front::Chunk(chunk) => chunk.start + self.record,
            Front::Damage(_) => self.chunks.at(),
            Front::End => self.chunks.part().bytes,
        }
    }

    fn held(&self) -> u64 {
        self.held
    }
}
