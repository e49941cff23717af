//! TFRecord files of `tf.train.Example`, or of records of any kind: the framing is that of [`framing`](super::framing).

use std::ops::Range;

use super::framing::{FOOTER, Frames, beginning, compression_of, find_record};
use super::input::Compression;
use super::probe::{Evidence, head_of};
use super::{Elements, Format, Options, Part, Source, Verdict, Want, example};
use crate::error::Result;
use crate::value::{Element, Field};

pub use super::framing::masked_crc;

/// The name of the only feature of records that are taken as they are.
const RECORD: &[u8] = b"record";

/// What the records are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    Example,
    Raw,
}

/// TFRecord files of `tf.train.Example`.
pub struct ExampleFormat;

impl Format for ExampleFormat {
    fn name(&self) -> &'static str {
        "tfrecord"
    }

    fn about(&self) -> &'static str {
        "TFRecords of tf.train.Example"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        if compression_of(seen.head).is_some() { Verdict::Yes } else { Verdict::No }
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        TfRecords::open(parts, Payload::Example, *options)
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
        TfRecords::open(parts, Payload::Raw, *options)
    }
}

struct TfRecords {
    parts: Vec<Part>,
    compression: Vec<Compression>,
    payload: Payload,
    largest_record: u64,
}

impl TfRecords {
    fn open(parts: Vec<Part>, payload: Payload, options: Options) -> Result<Box<dyn Source>> {
        let mut compression = Vec::with_capacity(parts.len());
        for part in &parts {
            // Where the first record is damaged, reading it will say so.
            compression.push(beginning(&head_of(&part.path)?).0);
        }
        Ok(Box::new(Self { parts, compression, payload, largest_record: options.largest_record }))
    }
}

impl Source for TfRecords {
    fn format(&self) -> &'static str {
        match self.payload {
            Payload::Example => ExampleFormat.name(),
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
        let frames = Frames::open(&self.parts[part], self.compression[part], range, self.largest_record)?;
        Ok(Box::new(Records { frames, payload: self.payload, fields: Vec::new() }))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        find_record(&self.parts[part], range)
    }
}

struct Records<'s> {
    frames: Frames<'s>,
    payload: Payload,
    fields: Vec<Field>,
}

impl Elements for Records<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        let Some(at) = self.frames.begin() else { return Ok(None) };
        let Some(data) = self.frames.record(0)? else { return Ok(None) };
        self.frames.lend(data.end + FOOTER);
        if self.payload == Payload::Raw {
            self.fields.clear();
            self.fields.push(Field::string(0..RECORD.len(), 0..data.len()));
        } else if let Err(why) = example::parse(&self.frames.window()[data.clone()], &mut self.fields) {
            return Err(self
                .frames
                .damaged(at, format!("the record is no tf.train.Example: {why}"))
                .hint("`--from tfrecord-raw` keeps records of any kind as byte strings"));
        }
        let record = &self.frames.window()[data];
        Ok(Some(match self.payload {
            Payload::Example => Element::new(record, &self.fields, at),
            Payload::Raw => Element::named(record, RECORD, &self.fields, at),
        }))
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
