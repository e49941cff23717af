//! The bytes of a Parquet file as the crate asks for them. Before it gets a page, the sizes that the page's header claims are
//! looked at: it would make room for them, whatever they are.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::super::array::too_large;
use super::chunks::by_lengths;
use super::thrift::{Compact, STRUCT};
use crate::error::{Error, ErrorKind, Result};

/// Bytes that are read for the header of a page, at first and at most: it may hold the least and the largest value.
const HEADER: (usize, usize) = (512, 1 << 20);

/// Bytes that the crate takes for the length of a byte string, in two parts where it begins as the one before.
const LENGTH: u64 = 8;

/// Bytes behind the footer: its length, and what tells the format.
const TAIL: u64 = 8;

/// A file, and how large what is read of it may be.
pub(super) struct Pages {
    file: Arc<File>,
    bytes: u64,
    /// Bytes that a page may take, or anything else that is held at once.
    pub most: u64,
    /// What went wrong that is not of the file's contents: the crate hands on its words alone.
    failed: Failed,
    /// Where what follows headers starts: the crate asks for a reader of it, as if it were one, too, and of several columns in turns.
    bodies: Mutex<HashSet<u64>>,
}

/// The last of what went wrong.
type Failed = Arc<Mutex<Option<Error>>>;

/// A page by its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Page {
    /// Bytes of the header.
    header: u64,
    packed: u64,
    plain: u64,
    values: u64,
    is_dictionary: bool,
}

impl Pages {
    pub(super) fn new(file: Arc<File>, bytes: u64, most: u64) -> Self {
        Self { file, bytes, most, failed: Failed::default(), bodies: Mutex::default() }
    }

    /// Looks at the footer, whose lists may claim to be of any length: the crate would count to it.
    ///
    /// # Errors
    /// It is not what a footer can be.
    pub(super) fn check_footer(&self) -> Result<(), ParquetError> {
        let end = self.bytes.saturating_sub(TAIL);
        let tail = self.get_bytes(end, usize::try_from(self.bytes - end).unwrap_or(usize::MAX))?;
        let Some((length, _)) = tail.split_first_chunk().filter(|(_, magic)| *magic == b"PAR1") else {
            // The crate says what it is instead.
            return Ok(());
        };
        let length = u32::from_le_bytes(*length);
        let start =
            end.checked_sub(length.into()).ok_or_else(|| ParquetError::EOF("its footer is cut".into()))?;
        let footer = self.get_bytes(start, usize::try_from(length).unwrap_or(usize::MAX))?;
        let mut footer = Compact { rest: &footer };
        footer.skip(STRUCT, 0).ok_or_else(|| ParquetError::General("its footer is damaged".into()))
    }

    /// What was wrong, of which the crate says this.
    pub(super) fn why(&self, error: Error) -> Error {
        lock(&self.failed).take().unwrap_or(error)
    }

    /// Refuses to hold so many bytes if there may not be so many.
    pub(super) fn check_size(&self, bytes: u64) -> Result<(), ParquetError> {
        if bytes <= self.most {
            return Ok(());
        }
        *lock(&self.failed) = Some(too_large(bytes, self.most));
        Err(too_large(bytes, self.most).into())
    }

    fn bodies(&self) -> MutexGuard<'_, HashSet<u64>> {
        lock(&self.bodies)
    }

    /// The file from a place on, of which these bytes are read.
    fn body(&self, at: u64, head: Vec<u8>) -> Body {
        Body { file: Arc::clone(&self.file), failed: Arc::clone(&self.failed), head, at, read: 0, ended: 0 }
    }

    /// The header of the page at a place; `None` where none is understood.
    fn page(&self, at: u64) -> io::Result<(Vec<u8>, Option<Page>)> {
        let mut head = Vec::new();
        let mut size = HEADER.0;
        loop {
            let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
            let before = head.len();
            head.resize(size.min(left), 0);
            let more = head.len() - before;
            let read = self.file.read_exact_at(&mut head[before..], at + before as u64);
            read.map_err(|e| note(&self.failed, e))?;
            let page = Page::of(&head);
            if page.is_some() || more == 0 || size >= HEADER.1 {
                return Ok((head, page));
            }
            size *= 8;
        }
    }

    /// How long the byte strings of a chunk's dictionary are on average; 0 where it has none.
    pub(super) fn named_bytes(&self, chunk: &ColumnChunkMetaData) -> Result<u64> {
        let Some(at) = chunk.dictionary_page_offset().and_then(|at| u64::try_from(at).ok()) else {
            return Ok(0);
        };
        if at >= self.bytes {
            return Ok(0);
        }
        let (_, page) = self.page(at).map_err(|e| unread(&e))?;
        Ok(page.map_or(0, |page| page.plain / page.values.max(1)))
    }

    /// Bytes of the largest page of a column's chunk, compressed and not, with what is made of its lengths; and of the dictionary
    /// before it.
    pub(super) fn largest(&self, chunk: &ColumnChunkMetaData) -> Result<u64> {
        let first = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let size = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        let start = size(first);
        let (mut at, end) = (start, start.saturating_add(size(chunk.compressed_size())).min(self.bytes));
        let by_lengths = chunk.encodings().any(by_lengths);
        let (mut dictionary, mut largest) = (0, 0_u64);
        while at < end {
            // What is damaged is said where it is read.
            let (_, Some(page)) = self.page(at).map_err(|e| unread(&e))? else { break };
            let lengths = if by_lengths { page.values.saturating_mul(LENGTH) } else { 0 };
            let held = page.packed.saturating_add(page.plain).saturating_add(lengths);
            if at == start && chunk.dictionary_page_offset().is_some() {
                dictionary = held.saturating_add(page.plain);
            } else {
                largest = largest.max(held);
            }
            at = at.saturating_add(page.header).saturating_add(page.packed);
        }
        Ok(largest.saturating_add(dictionary))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what the system says.
fn note(failed: &Failed, error: io::Error) -> io::Error {
    *lock(failed) = Some(unread(&error));
    error
}

/// The file is not read, for what the system says.
pub(super) fn unread(error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot read: {error}"))
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Pages {
    type T = Body;

    fn get_read(&self, start: u64) -> Result<Body, ParquetError> {
        if self.bodies().remove(&start) || start >= self.bytes.saturating_sub(TAIL) {
            return Ok(self.body(start, Vec::new()));
        }
        let (head, page) = self.page(start)?;
        // The crate would count to the end of any list that one claims, beyond the end of the file.
        let Some(page) = page else {
            return Err(ParquetError::General("the header of a page is damaged".into()));
        };
        self.bodies().insert(start.saturating_add(page.header));
        self.check_size(page.plain.max(page.packed))?;
        // No value of a dictionary takes less than a byte.
        if page.is_dictionary && page.values > page.plain {
            return Err(ParquetError::General("a dictionary has more values than bytes".into()));
        }
        Ok(self.body(start, head))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes from byte {start} on are not in the file"
            )));
        }
        self.check_size(length as u64)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).map_err(|e| note(&self.failed, e))?;
        Ok(bytes.into())
    }
}

/// The file from a place on, of which the first bytes are read.
pub(super) struct Body {
    file: Arc<File>,
    failed: Failed,
    head: Vec<u8>,
    at: u64,
    read: usize,
    /// How often it was read when there was nothing more.
    ended: u32,
}

/// Reads at the end of a file after which it is an error: who goes on counts to a length that a damaged header claims.
const MOST_ENDED: u32 = 64;

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let known = self.head.get(self.read..).unwrap_or_default();
        let count = match known {
            [] => {
                let read = self.file.read_at(into, self.at + self.read as u64);
                read.map_err(|e| note(&self.failed, e))?
            }
            known => {
                let count = known.len().min(into.len());
                into[..count].copy_from_slice(&known[..count]);
                count
            }
        };
        self.read += count;
        if count == 0 && !into.is_empty() {
            self.ended += 1;
            if self.ended > MOST_ENDED {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(count)
    }
}

impl Page {
    /// The sizes that the header of a page claims; `None` where it is cut or damaged.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut header = Compact { rest: bytes };
        let (mut page, mut id, mut values) = (Self::default(), 0, 0);
        let size = |value: i64| u64::try_from(value).ok();
        while let kind @ 1.. = header.field(&mut id)? {
            match (id, kind) {
                (2, 5) => page.plain = size(header.number()?)?,
                (3, 5) => page.packed = size(header.number()?)?,
                // Those of data, a dictionary, and of data as its second version has them.
                (5 | 7 | 8, STRUCT) => {
                    values = Self::values(&mut header)?;
                    page.is_dictionary = id == 7;
                }
                (_, kind) => header.skip(kind, 0)?,
            }
        }
        page.header = (bytes.len() - header.rest.len()) as u64;
        page.values = u64::try_from(values).ok()?;
        Some(page)
    }

    /// How many values the header claims.
    fn values(header: &mut Compact<'_>) -> Option<i64> {
        let (mut values, mut id) = (0, 0);
        while let kind @ 1.. = header.field(&mut id)? {
            match (id, kind) {
                (1, 5) => values = header.number()?,
                (_, kind) => header.skip(kind, 0)?,
            }
        }
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As where a header in a place that is no header's claims a list of any length.
    #[test]
    fn who_reads_at_the_end_again_and_again_is_stopped() {
        let file = Arc::new(File::open("/dev/null").unwrap());
        let mut from = Body { file, failed: Failed::default(), head: vec![1, 2], at: 0, read: 0, ended: 0 };
        let mut all = Vec::new();
        assert_eq!(from.read_to_end(&mut all).unwrap(), 2);
        let ended = (0..1000).find_map(|_| io::copy(&mut (&mut from).take(8), &mut io::sink()).err());
        assert_eq!(ended.map(|error| error.kind()), Some(io::ErrorKind::UnexpectedEof));
    }
}
