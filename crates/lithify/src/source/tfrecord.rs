//! TFRecord files of `tf.train.Example`, or of records of any kind: the framing is that of `framing`.

use std::ops::Range;

use super::framing::{FOOTER, Frames, beginning, compression_of, find_record, positions_of};
use super::input::Compression;
use super::payload::{Parsed, Payload, RecordSource};
use super::probe::{Evidence, head_of};
use super::{Elements, Format, Options, Part, Source, Verdict, Want};
use crate::error::{Error, Result};
use crate::value::Element;

pub use super::framing::masked_crc;

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

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let records = TfRecords::open(parts, Payload::Raw, options)?;
        let payload = Payload::learn(&records);
        Ok(Box::new(TfRecords { payload, ..records }))
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

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(TfRecords::open(parts, Payload::Raw, options)?))
    }
}

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

    /// The positions of a range at which records of a part may start.
    fn within(&self, part: usize, range: &Range<u64>) -> Range<u64> {
        let within = &self.within[part];
        range.start.max(within.start)..range.end.min(within.end)
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
        let (part, compression, range) =
            (&self.parts[part], self.compression[part], self.within(part, &range));
        let frames = Frames::open(part, compression, range, self.largest_record)?;
        Ok(Box::new(Records { frames, source: self, parsed: Parsed::default() }))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        find_record(&self.parts[part], self.within(part, &range))
    }
}

impl RecordSource for TfRecords {
    fn keep(&mut self, part: usize, records: Range<u64>) -> Result<()> {
        if self.compression[part] != Compression::None {
            let error = Error::input("it is compressed, so that a part of its records cannot be taken alone");
            return Err(error.in_file(&self.parts[part].path).hint("take whole splits"));
        }
        self.within[part] = positions_of(&self.parts[part], records)?;
        Ok(())
    }
}

struct Records<'s> {
    frames: Frames<'s>,
    source: &'s TfRecords,
    parsed: Parsed,
}

impl Elements for Records<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        let Some(at) = self.frames.begin() else { return Ok(None) };
        let Some(data) = self.frames.record(0)? else { return Ok(None) };
        self.frames.lend(data.end + FOOTER);
        let Self { frames, source, parsed } = self;
        let TfRecords { payload, largest_record, .. } = source;
        let record = &frames.window()[data];
        match payload.parse(record, *largest_record, RawFormat.name(), parsed) {
            Ok(()) => Ok(Some(payload.element(record, parsed, at))),
            Err(error) => Err(error.in_file(frames.path()).at_byte(at)),
        }
    }

    fn skip(&mut self) -> Result<bool> {
        if self.frames.begin().is_none() {
            return Ok(false);
        }
        let Some(size) = self.frames.size(0)? else { return Ok(false) };
        self.frames.lend(size);
        Ok(true)
    }

    fn position(&self) -> u64 {
        self.frames.position()
    }

    fn consumed(&self) -> u64 {
        self.frames.consumed()
    }
}
