//! The messages of an Arrow file or stream: a header each, by the flatbuffers of `arrow-ipc`, and a body of buffers.
//!
//! ```text
//! message  ff ff ff ff  u32 length of the header  header  body       stream  schema  (dictionary | batch)…  ff ff ff ff 00 00 00 00
//! file     "ARROW1" 00 00  stream  footer  u32 length of the footer  "ARROW1"
//! ```
//! Before version 0.15, messages began with the length.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{Endianness, Message, MessageHeader, RecordBatch, root_as_footer, root_as_message};
use arrow_schema::Schema;

use crate::error::{Error, Result};

/// What a file begins and ends with.
pub(super) const MAGIC: &[u8] = b"ARROW1";
/// What a message begins with.
pub(super) const CONTINUES: [u8; 4] = [0xff; 4];

/// A message.
pub(super) struct Stored {
    header: Vec<u8>,
    /// Where its body is.
    pub body: std::ops::Range<u64>,
}

impl Stored {
    /// Reads the message at a place of a file; `None` where the stream ends.
    ///
    /// # Errors
    /// It is cut or damaged: why.
    pub(super) fn read(
        file: &File,
        bytes: u64,
        at: u64,
        most: u64,
    ) -> io::Result<Result<Option<Self>, String>> {
        let mut prefix = [0; 8];
        let left = bytes.saturating_sub(at);
        if left < 4 {
            // A stream may end without a mark.
            return Ok(if left == 0 { Ok(None) } else { Err("it ends within a message".into()) });
        }
        let read = usize::try_from(left.min(8)).unwrap_or(8);
        file.read_exact_at(&mut prefix[..read], at)?;
        let word =
            |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        let marked = prefix[..4] == CONTINUES;
        let (length, start) = if marked { (word(4), at + 8) } else { (word(0), at + 4) };
        if marked && read < 8 {
            return Ok(Err("it ends within a message".into()));
        }
        if length == 0 {
            // Streams that follow one another, and what is left of one that was torn, must not be taken for the end.
            return Ok(match bytes - start {
                0 => Ok(None),
                more => Err(format!(
                    "{more} bytes follow the mark of its end, at byte {start}: they are not read"
                )),
            });
        }
        let end = start + u64::from(length);
        if end > bytes || u64::from(length) > most {
            return Ok(Err(format!("a message with a header of {length} bytes is cut, or no message")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(&mut header, start)?;
        let body = match root_as_message(&header) {
            Ok(message) => {
                u64::try_from(message.bodyLength()).ok().and_then(|length| end.checked_add(length))
            }
            Err(e) => return Ok(Err(format!("the header of a message is damaged: {e}"))),
        };
        Ok(match body {
            Some(body) if body <= bytes => Ok(Some(Self { header, body: end..body })),
            _ => Err("the body of a message is cut".into()),
        })
    }

    /// Its header.
    pub(super) fn message(&self) -> Result<Message<'_>> {
        root_as_message(&self.header)
            .map_err(|e| Error::input(format!("the header of a message is damaged: {e}")))
    }
}

/// A record batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchAt {
    /// Where its message is.
    pub at: u64,
    /// The number of its first row.
    pub first: u64,
}

/// A message with values of a dictionary.
#[derive(Clone, Copy, Debug)]
pub(super) struct DictionaryAt {
    /// Where it is.
    pub at: u64,
    /// Which dictionary.
    pub id: i64,
    /// Whether its values come after those that are known, and not in their place.
    pub adds: bool,
    /// The number of the first batch that it is for.
    pub from: usize,
}

/// What a file holds, and where.
pub(super) struct Listing {
    pub schema: Schema,
    /// The numbers of dictionaries, of the columns and what is nested in them, in order.
    pub dictionaries_of: Vec<Option<i64>>,
    pub batches: Vec<BatchAt>,
    pub rows: u64,
    pub dictionaries: Vec<DictionaryAt>,
    /// Why there is no more, where the file does not end as it should.
    pub damage: Option<String>,
}

impl Listing {
    /// Lists the messages of a file, and shows each batch.
    ///
    /// # Errors
    /// It is no Arrow file, or holds what is not known.
    pub(super) fn read(
        file: &File,
        path: &Path,
        bytes: u64,
        most: u64,
        mut look: impl FnMut(&Schema, &RecordBatch<'_>, &Stored) -> Result<()>,
    ) -> Result<Self> {
        let failed = |e: io::Error| Error::io("read", path, e);
        let mut magic = [0; 6];
        let whole = bytes >= 8 && file.read_exact_at(&mut magic, 0).is_ok() && magic == *MAGIC;
        let mut listing;
        if whole {
            let blocks;
            (listing, blocks) = Self::of_footer(file, bytes, most).map_err(failed)??;
            // Dictionaries come first, so that a batch follows all of them.
            for at in blocks {
                match Stored::read(file, bytes, at, most).map_err(failed)? {
                    Ok(Some(stored)) => listing.take(at, &stored, &mut look)?,
                    Ok(None) => return Err(Error::input("its footer names a place where no message is")),
                    Err(why) => return Err(Error::input(why)),
                }
            }
            return Ok(listing);
        }
        let first = Stored::read(file, bytes, 0, most).map_err(failed)?.map_err(Error::input)?;
        let Some(first) = first else { return Err(Error::input("it ends before its schema")) };
        let message = first.message()?;
        let schema =
            message.header_as_schema().ok_or_else(|| Error::input("it does not begin with a schema"))?;
        listing = Self::of_schema(schema)?;
        let mut at = first.body.end;
        loop {
            match Stored::read(file, bytes, at, most).map_err(failed)? {
                Ok(Some(stored)) => {
                    if let Err(error) = listing.take(at, &stored, &mut look) {
                        listing.damage = Some(error.message().to_owned());
                        break;
                    }
                    at = stored.body.end;
                }
                Ok(None) => break,
                Err(why) => {
                    listing.damage = Some(why);
                    break;
                }
            }
        }
        match listing.damage.take() {
            Some(why) if listing.batches.is_empty() => Err(Error::input(why)),
            damage => Ok(Self { damage, ..listing }),
        }
    }

    fn of_schema(schema: arrow_ipc::Schema<'_>) -> Result<Self> {
        if schema.endianness() != Endianness::Little {
            return Err(Error::input("its numbers are big-endian, which cannot be read")
                .hint("write it anew with pyarrow on this machine"));
        }
        let mut dictionaries_of = Vec::new();
        for field in schema.fields().into_iter().flatten() {
            number_dictionaries(&field, &mut dictionaries_of, 0)?;
        }
        let schema =
            try_fb_to_schema(schema).map_err(|e| Error::input(format!("its schema is damaged: {e}")))?;
        let (batches, dictionaries) = (Vec::new(), Vec::new());
        Ok(Self { schema, dictionaries_of, batches, rows: 0, dictionaries, damage: None })
    }

    /// The schema of a file by its footer, and where its dictionaries and batches are.
    fn of_footer(file: &File, bytes: u64, most: u64) -> io::Result<Result<(Self, Vec<u64>)>> {
        let cut = || Ok(Err(Error::input("it has no footer: it is cut, or was not finished")));
        let mut tail = [0; 10];
        if bytes < 8 + 10 {
            return cut();
        }
        file.read_exact_at(&mut tail, bytes - 10)?;
        let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
        if tail[4..] != *MAGIC || length > bytes - 18 || length > most {
            return cut();
        }
        let mut footer = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut footer, bytes - 10 - length)?;
        let footer = match root_as_footer(&footer) {
            Ok(footer) => footer,
            Err(e) => return Ok(Err(Error::input(format!("its footer is damaged: {e}")))),
        };
        let Some(schema) = footer.schema() else {
            return Ok(Err(Error::input("its footer has no schema")));
        };
        let blocks =
            footer.dictionaries().into_iter().flatten().chain(footer.recordBatches().into_iter().flatten());
        let places = blocks.map(|block| u64::try_from(block.offset()).unwrap_or(u64::MAX)).collect();
        Ok(Self::of_schema(schema).map(|listing| (listing, places)))
    }

    fn take(
        &mut self,
        at: u64,
        stored: &Stored,
        look: &mut impl FnMut(&Schema, &RecordBatch<'_>, &Stored) -> Result<()>,
    ) -> Result<()> {
        let message = stored.message()?;
        match message.header_type() {
            MessageHeader::RecordBatch => {
                let batch =
                    message.header_as_record_batch().ok_or_else(|| Error::input("a batch is damaged"))?;
                let rows = u64::try_from(batch.length())
                    .map_err(|_| Error::input("a batch has less than no rows"))?;
                look(&self.schema, &batch, stored)?;
                if rows > 0 {
                    self.batches.push(BatchAt { at, first: self.rows });
                }
                let all = self.rows.checked_add(rows);
                self.rows =
                    all.ok_or_else(|| Error::input("its batches have more rows than can be counted"))?;
            }
            MessageHeader::DictionaryBatch => {
                let batch = message
                    .header_as_dictionary_batch()
                    .ok_or_else(|| Error::input("a dictionary is damaged"))?;
                let (id, adds) = (batch.id(), batch.isDelta());
                self.dictionaries.push(DictionaryAt { at, id, adds, from: self.batches.len() });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Lists of which dictionary each column is, and what is nested in it.
fn number_dictionaries(field: &arrow_ipc::Field<'_>, all: &mut Vec<Option<i64>>, depth: usize) -> Result<()> {
    const DEEPEST: usize = 64;
    if depth > DEEPEST {
        return Err(Error::input("its types are nested more deeply than can be read"));
    }
    let dictionary = field.dictionary().map(|dictionary| dictionary.id());
    all.push(dictionary);
    // What is nested in the values of a dictionary is not in batches.
    for child in field.children().into_iter().flatten().filter(|_| dictionary.is_none()) {
        number_dictionaries(&child, all, depth + 1)?;
    }
    Ok(())
}
