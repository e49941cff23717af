//! Elements that come once only, kept on disk until they are written for good.
//!
//! ```text
//! batch ...      a batch: u64 checksum of its record, the record
//! ```
//! The file has no name, so that it goes with the process, whatever ends that.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, checksum};

use super::{Batch, LIVE, part};
use crate::error::{Error, Result};
use crate::source::{Elements, Part, Source, Want};
use crate::unique;
use crate::value::{Element, Field};

/// A spool that is being filled.
pub struct Spool {
    file: File,
    /// The directory that it is in.
    directory: PathBuf,
    record: Vec<u8>,
    bytes: u64,
    batches: Vec<Place>,
    largest: u64,
}

/// Where a batch is.
#[derive(Clone, Copy)]
struct Place {
    start: u64,
    bytes: u64,
    elements: u64,
}

/// What stands before a record: its checksum.
const HEAD_BYTES: usize = 8;

impl Spool {
    /// Makes a file in a directory, for what is to be kept until an output is written.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(directory: &Path) -> Result<Self> {
        let path = directory.join(format!(".lithify-spool-{}", unique::name()));
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|e| Error::io("create", &path, e))?;
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        let directory = directory.to_path_buf();
        Ok(Self { file, directory, record: Vec::new(), bytes: 0, batches: Vec::new(), largest: 0 })
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn push(&mut self, batch: &Batch) -> Result<()> {
        if batch.elements() == 0 {
            return Ok(());
        }
        let record = &mut self.record;
        record.clear();
        record.extend([0; HEAD_BYTES]);
        batch.encode(record);
        // Each element has a position of its own.
        let least = usize::try_from(batch.elements()).unwrap_or(usize::MAX);
        record.resize(record.len().max(least), 0);
        let (head, rest) = record.split_at_mut(HEAD_BYTES);
        head.copy_from_slice(&checksum(CrcAlgorithm::Crc64Nvme, rest).to_le_bytes());
        self.file
            .write_all(record)
            .map_err(|e| Error::io("write a file without a name in", &self.directory, e))?;
        let (start, bytes) = (self.bytes, record.len() as u64);
        self.batches.push(Place { start, bytes, elements: batch.elements() });
        self.bytes += bytes;
        self.largest = self.largest.max(bytes.saturating_add(batch.held()));
        Ok(())
    }

    /// All of it as a source, named after what it came from.
    #[must_use]
    pub fn finish(self, name: &str) -> Spooled {
        let Self { file, directory, bytes, batches, largest, .. } = self;
        Spooled { file, directory, batches, largest, parts: [part(name, bytes)] }
    }
}

/// What was kept, as a source of one part. The position of an element is where its batch starts, and its number there.
pub struct Spooled {
    file: File,
    directory: PathBuf,
    batches: Vec<Place>,
    /// Bytes of memory that reading a batch takes, at most.
    largest: u64,
    parts: [Part; 1],
}

impl Spooled {
    fn read_batch(&self, place: Place, record: &mut Vec<u8>) -> Result<Batch> {
        record.resize(usize::try_from(place.bytes).unwrap_or(usize::MAX), 0);
        let failed = |e| Error::io("read a file without a name in", &self.directory, e);
        self.file.read_exact_at(record, place.start).map_err(failed)?;
        let (head, rest) = record.split_at(HEAD_BYTES);
        let sound = head == checksum(CrcAlgorithm::Crc64Nvme, rest).to_le_bytes();
        Batch::decode(rest).filter(|_| sound).ok_or_else(|| {
            let bytes = std::io::Error::other("it is not what was written there");
            failed(bytes).hint("the disk, or the memory of this machine, errs")
        })
    }

    /// The first batch that has an element at or after a position, and how many of its elements are before that.
    fn find(&self, position: u64) -> (usize, u64) {
        let after = self.batches.partition_point(|place| place.start <= position);
        let Some(at) = after.checked_sub(1) else { return (0, 0) };
        let within = position - self.batches[at].start;
        if within < self.batches[at].elements { (at, within) } else { (after, 0) }
    }
}

impl Source for Spooled {
    fn format(&self) -> &str {
        LIVE
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn part_now(&self, part: usize) -> Result<Part> {
        Ok(self.parts[part].clone())
    }

    fn positions_are_bytes(&self, _part: usize) -> bool {
        false
    }

    fn held(&self) -> u64 {
        (self.batches.capacity() * size_of::<Place>()) as u64
    }

    fn read(&self, _part: usize, range: Range<u64>, _want: Want) -> Result<Box<dyn Elements + '_>> {
        let (next, passed) = self.find(range.start);
        Ok(Box::new(SpooledElements {
            source: self,
            next,
            passed,
            batch: Batch::default(),
            start: 0,
            at: 0,
            end: range.end,
            record: Vec::new(),
            moved: Vec::new(),
        }))
    }

    fn seekable(&self, _part: usize) -> bool {
        true
    }

    fn find_element(&self, _part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let (batch, at) = self.find(range.start);
        let found = self.batches.get(batch).map(|place| place.start + at);
        Ok(found.filter(|position| *position < range.end))
    }
}

struct SpooledElements<'a> {
    source: &'a Spooled,
    /// The number of the next batch, and how many of its elements are before those that are wanted.
    next: usize,
    passed: u64,
    batch: Batch,
    /// Where the batch starts.
    start: u64,
    /// The number of the next element in the batch.
    at: u64,
    end: u64,
    record: Vec<u8>,
    moved: Vec<Field>,
}

impl SpooledElements<'_> {
    /// Reads the next batch if this one is used up; says whether there is an element.
    fn find(&mut self) -> Result<bool> {
        if self.position() >= self.end {
            return Ok(false);
        }
        if self.at >= self.batch.elements() {
            let Some(place) = self.source.batches.get(self.next) else { return Ok(false) };
            self.batch = self.source.read_batch(*place, &mut self.record)?;
            (self.next, self.start, self.at) = (self.next + 1, place.start, std::mem::take(&mut self.passed));
        }
        Ok(true)
    }
}

impl Elements for SpooledElements<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        self.next_run(1)
    }

    fn next_run(&mut self, most: u64) -> Result<Option<Element<'_>>> {
        if !self.find()? {
            return Ok(None);
        }
        let position = self.position();
        let most = most.min(self.end - position);
        let Self { batch, at, moved, .. } = self;
        let element = batch.lend(*at, most, position, moved);
        *at += element.count();
        Ok(Some(element))
    }

    fn skip(&mut self) -> Result<bool> {
        let there = self.find()?;
        self.at += u64::from(there);
        Ok(there)
    }

    fn position(&self) -> u64 {
        if self.at < self.batch.elements() {
            return self.start + self.at;
        }
        let next = self.source.batches.get(self.next).map(|place| place.start + self.passed);
        next.unwrap_or(self.source.parts[0].bytes)
    }

    fn held(&self) -> u64 {
        self.source.largest
    }
}
