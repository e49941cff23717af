//! The bytes of a Parquet file as the crate asks for them. Before it gets a page, the sizes that the page's header claims are
//! looked at: it would make room for them, whatever they are.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::array::too_large;
use crate::error::{Error, ErrorKind, Result};

/// Bytes that are read for the header of a page, at first and at most: it may hold the least and the largest value.
const HEADER: (usize, usize) = (512, 1 << 20);

/// A file, and how large what is read of it may be.
pub(super) struct Pages {
    file: Arc<File>,
    bytes: u64,
    most: u64,
    /// Where what follows the last header starts: the crate asks for a reader of it, as if it were one, too.
    body: AtomicU64,
}

/// A page by its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Page {
    /// Bytes of the header.
    header: u64,
    packed: u64,
    plain: u64,
    /// Values of a dictionary; 0 if it is none.
    values: u64,
}

impl Pages {
    pub(super) fn new(file: Arc<File>, bytes: u64, most: u64) -> Self {
        Self { file, bytes, most, body: AtomicU64::new(u64::MAX) }
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
            self.file.read_exact_at(&mut head[before..], at + before as u64)?;
            let page = Header { rest: &head, of: head.len() }.page();
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
        let (_, page) = self.page(at).map_err(|e| Error::new(ErrorKind::Io, format!("cannot read: {e}")))?;
        Ok(page.map_or(0, |page| page.plain / page.values.max(1)))
    }

    /// Bytes of the largest page of a column's chunk, compressed and not, and of the dictionary before it.
    pub(super) fn largest(&self, chunk: &ColumnChunkMetaData) -> Result<u64> {
        let first = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let size = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        let start = size(first);
        let (mut at, end) = (start, start.saturating_add(size(chunk.compressed_size())).min(self.bytes));
        let (mut dictionary, mut largest) = (0, 0_u64);
        while at < end {
            let failed = |e: io::Error| Error::new(ErrorKind::Io, format!("cannot read: {e}"));
            // What is damaged is said where it is read.
            let (_, Some(page)) = self.page(at).map_err(failed)? else { break };
            let held = page.packed.saturating_add(page.plain);
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

impl Length for Pages {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Pages {
    type T = From;

    fn get_read(&self, start: u64) -> Result<From, ParquetError> {
        if self.body.load(Ordering::Relaxed) == start {
            return Ok(From { file: Arc::clone(&self.file), head: Vec::new(), at: start, read: 0 });
        }
        let (head, page) = self.page(start)?;
        let body = page.map_or(u64::MAX, |page| start.saturating_add(page.header));
        self.body.store(body, Ordering::Relaxed);
        if let Some(page) = page.filter(|page| page.plain.max(page.packed) > self.most) {
            return Err(ParquetError::from(too_large(page.plain.max(page.packed), self.most)));
        }
        // No value of a dictionary takes less than a byte.
        if page.is_some_and(|page| page.values > page.plain) {
            return Err(ParquetError::General("a dictionary has more values than bytes".into()));
        }
        Ok(From { file: Arc::clone(&self.file), head, at: start, read: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes from byte {start} on are not in the file"
            )));
        }
        if length as u64 > self.most {
            return Err(ParquetError::from(too_large(length as u64, self.most)));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// The file from a place on, of which the first bytes are read.
pub(super) struct From {
    file: Arc<File>,
    head: Vec<u8>,
    at: u64,
    read: usize,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let known = self.head.get(self.read..).unwrap_or_default();
        let count = match known {
            [] => self.file.read_at(into, self.at + self.read as u64)?,
            known => {
                let count = known.len().min(into.len());
                into[..count].copy_from_slice(&known[..count]);
                count
            }
        };
        self.read += count;
        Ok(count)
    }
}

/// The header of a page: a struct in Thrift's compact protocol.
struct Header<'a> {
    rest: &'a [u8],
    /// How many bytes there were.
    of: usize,
}

impl Header<'_> {
    /// The sizes that it claims; `None` where it is cut or damaged.
    fn page(mut self) -> Option<Page> {
        let (mut page, mut id, mut values) = (Page::default(), 0, 0);
        let size = |value: i64| u64::try_from(value).ok();
        while let kind @ 1.. = self.field(&mut id)? {
            match (id, kind) {
                (2, 5) => page.plain = size(self.number()?)?,
                (3, 5) => page.packed = size(self.number()?)?,
                (7, 12) => values = self.values()?,
                (_, kind) => self.skip(kind, 0)?,
            }
        }
        page.header = (self.of - self.rest.len()) as u64;
        page.values = u64::try_from(values).ok()?;
        Some(page)
    }

    /// How many values the header of a dictionary claims.
    fn values(&mut self) -> Option<i64> {
        let (mut values, mut id) = (0, 0);
        while let kind @ 1.. = self.field(&mut id)? {
            match (id, kind) {
                (1, 5) => values = self.number()?,
                (_, kind) => self.skip(kind, 0)?,
            }
        }
        Some(values)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A number, by zigzag.
    fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The type of the next field, whose number is known by that of the last; 0 at the end of the struct.
    fn field(&mut self, id: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        if byte.trailing_zeros() >= 4 {
            return Some(0);
        }
        *id = match byte >> 4 {
            0 => self.number()?,
            more => id.wrapping_add(i64::from(more)),
        };
        Some(byte & 0xf)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > 8 {
            return None;
        }
        match kind {
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            7 => self.rest = self.rest.get(8..)?,
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.rest = self.rest.get(length..)?;
            }
            12 => {
                let mut id = 0;
                while let kind @ 1.. = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }
}
