//! What records hold, and how it becomes features.

use std::ops::Range;

use super::example;
use super::sequence::Lists;
use super::tfds::schema::Schema;
use super::{Source, Want};
use crate::error::{Error, Result};
use crate::value::{Element, Field};

/// The name of the only feature of records that are taken as they are.
const RECORD: &[u8] = b"record";

/// What the records are taken for.
pub(super) enum Payload {
    /// `tf.train.Example` or `tf.train.SequenceExample`.
    Example(Lists),
    /// `tf.train.Example` whose features are declared.
    Declared(Schema),
    /// Byte strings.
    Raw,
}

/// Records that are looked at to tell what feature lists are, and their bytes, at most.
const LEARNT_FROM: (usize, u64) = (256, 4 << 20);

/// Files of records.
pub(super) trait RecordSource: Source {
    /// Keeps of a part the records from one number up to another. Headers are read, one after another.
    ///
    /// # Errors
    /// There are not so many, or a header is damaged.
    fn keep(&mut self, part: usize, records: Range<u64>) -> Result<()>;
}

/// What was found in a record. The memory is used again for the next.
#[derive(Default)]
pub(super) struct Parsed {
    /// The features.
    pub fields: Vec<Field>,
    /// The sizes of their axes.
    pub sizes: Vec<u64>,
    /// The record, and after it what was made of it; nothing, if nothing was made.
    made: Vec<u8>,
    /// For each place of a record, which of the declared features was there in the last one.
    pub order: Vec<usize>,
}

impl Parsed {
    /// Where more bytes for features can be put, after those of the record.
    pub(super) fn made_after(&mut self, record: &[u8]) -> &mut Vec<u8> {
        if self.made.is_empty() {
            self.made.extend_from_slice(record);
        }
        &mut self.made
    }
}

impl Payload {
    /// Examples, whose feature lists are those of the first records of a dataset that is read as byte strings.
    pub(super) fn learn(records: &dyn Source) -> Self {
        let mut lists = Lists::default();
        let part = records.parts().iter().position(|part| part.bytes > 0);
        let elements = part.and_then(|part| records.read(part, 0..LEARNT_FROM.1, Want::Whole).ok());
        let Some(mut elements) = elements else { return Self::Example(lists) };
        for _ in 0..LEARNT_FROM.0 {
            let Ok(Some(element)) = elements.next() else { break };
            if let Some(record) = element.list(0).and_then(|list| list.single()) {
                lists.learn(record);
            }
        }
        Self::Example(lists)
    }

    /// Finds the features of a record. The format `raw` would keep it as it is.
    ///
    /// # Errors
    /// The record is something else. The memory budget leaves `most` bytes for what is made of it.
    pub(super) fn parse(&self, record: &[u8], most: u64, raw: &str, parsed: &mut Parsed) -> Result<()> {
        parsed.sizes.clear();
        parsed.made.clear();
        if matches!(self, Self::Raw) {
            parsed.fields.clear();
            parsed.fields.push(Field::string(0..RECORD.len(), 0..record.len()));
            return Ok(());
        }
        let has_lists = example::parse(record, &mut parsed.fields).map_err(|why| {
            Error::input(format!("the record is no tf.train.Example: {why}")).hint(raw_hint(raw))
        })?;
        match self {
            Self::Example(lists) if has_lists => lists.add(record, raw, parsed),
            Self::Declared(schema) => schema.apply(record, most, parsed),
            Self::Example(_) | Self::Raw => Ok(()),
        }
    }

    /// The element that a record is, as it was parsed.
    pub(super) fn element<'a>(&self, record: &'a [u8], parsed: &'a Parsed, position: u64) -> Element<'a> {
        let Parsed { fields, sizes, made, .. } = parsed;
        let bytes = if made.is_empty() { record } else { made };
        let names = if matches!(self, Self::Raw) { RECORD } else { bytes };
        Element::named(bytes, names, fields, position).with_sizes(sizes)
    }
}

/// What to do about records that are something else.
pub(super) fn raw_hint(raw: &str) -> String {
    format!("`--from {raw}` keeps records of any kind as byte strings")
}
