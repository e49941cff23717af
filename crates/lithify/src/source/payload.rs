//! What records hold, and how it becomes features.

use super::example;
use super::sequence::Lists;
use super::tfds::schema::Schema;
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
    /// Finds the features of a record.
    ///
    /// # Errors
    /// The record is something else. The memory budget leaves `most` bytes for what is made of it.
    pub(super) fn parse(&self, record: &[u8], most: u64, parsed: &mut Parsed) -> Result<()> {
        parsed.sizes.clear();
        parsed.made.clear();
        if matches!(self, Self::Raw) {
            parsed.fields.clear();
            parsed.fields.push(Field::string(0..RECORD.len(), 0..record.len()));
            return Ok(());
        }
        let has_lists = example::parse(record, &mut parsed.fields).map_err(|why| {
            Error::input(format!("the record is no tf.train.Example: {why}"))
                .hint("`--from tfrecord-raw` keeps records of any kind as byte strings")
        })?;
        match self {
            Self::Example(lists) if has_lists => lists.add(record, parsed),
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
