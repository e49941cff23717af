//! Chunks of a Riegeli file: where they are, and their bytes without the headers of blocks in between.
//!
//! ```text
//! file          chunk chunk …, cut by a block header wherever 65,536 divides the offset
//! block header  u64 hash │ u64 bytes back to the start of the chunk that is cut │ u64 bytes on to its end
//! chunk         u64 hash of the rest of the header │ u64 bytes of data │ u64 hash of data │ u8 kind │ u56 records
//!               u64 bytes of the records, decoded │ data │ padding: a chunk has as many bytes as records, or more
//! ```
//! So a record has a position by itself: that of its chunk, and one more for each record before it in there. A block header
//! tells where the chunk around it starts, so that a file can be entered anywhere, and be read on after damage, without an
//! index. (`google/riegeli`: `doc/riegeli_records_file_format.md`.)

use std::fs::File;

use highway::{HighwayHash, HighwayHasher, Key};
use smallvec::SmallVec;

use crate::error::{Error, ErrorKind, Result};
use crate::source::Part;
use crate::source::framing::read_full_at;
use crate::source::input::{Compression, Input};
use crate::source::wire;

/// Bytes from one block header to the next.
pub(super) const BLOCK: u64 = 1 << 16;
const BLOCK_HEADER: u64 = 24;
const BLOCK_HEADER_BYTES: usize = 24;
/// Bytes of a block that belong to chunks.
const USABLE: u64 = BLOCK - BLOCK_HEADER;
const CHUNK_HEADER: usize = 40;

/// The hash that stands in headers: `HighwayHash` of 64 bits, with the key `Riegeli/records\n`, twice.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let words = [0x2f69_6c65_6765_6952, 0x0a73_6472_6f63_6572];
    HighwayHasher::new(Key([words[0], words[1], words[0], words[1]])).hash64(bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

/// Where so many bytes of a chunk end, the first of which stands at an offset or after the block header there.
fn end_of(start: u64, bytes: u64) -> Option<u64> {
    let headers = bytes.checked_add((start + USABLE - 1) % BLOCK)? / USABLE;
    start.checked_add(bytes)?.checked_add(headers.checked_mul(BLOCK_HEADER)?)
}

/// The pieces of bytes from an offset of the file on that are no block headers.
fn pieces(mut bytes: &[u8], start: u64) -> impl Iterator<Item = &[u8]> {
    let mut within = start % BLOCK;
    std::iter::from_fn(move || {
        loop {
            let keep = within >= BLOCK_HEADER;
            let until = if keep { BLOCK } else { BLOCK_HEADER };
            let length = usize::try_from(until - within).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(bytes.len().min(length));
            (bytes, within) = (rest, until % BLOCK);
            if keep || piece.is_empty() {
                return (!piece.is_empty()).then_some(piece);
            }
        }
    })
}

/// What a chunk's header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Where it starts.
    pub start: u64,
    /// Where the next one does.
    pub end: u64,
    /// What it is: `r` for records.
    pub kind: u8,
    /// How many records it holds.
    pub records: u64,
    /// Bytes of the records.
    pub decoded: u64,
    /// Bytes of its data, without block headers.
    pub data: u64,
    hash: u64,
    /// Where the data start and end in the file.
    data_start: u64,
    data_end: u64,
}

impl Chunk {
    /// Reads the header of the chunk at `start`, of which these are the first bytes, in a file whose chunks end at `stop`.
    fn read(start: u64, bytes: &[u8], stop: u64) -> Result<Self, &'static str> {
        let cut = "a chunk's header is cut";
        let data_start = end_of(start, CHUNK_HEADER as u64).ok_or(cut)?;
        let bytes = bytes.get(..usize::try_from(data_start - start).unwrap_or(usize::MAX)).ok_or(cut)?;
        let mut whole = SmallVec::<[u8; 64]>::new();
        pieces(bytes, start).for_each(|piece| whole.extend_from_slice(piece));
        let header = whole.first_chunk::<CHUNK_HEADER>().ok_or(cut)?;
        let (data, records) = (word(header, 8), word(header, 24) >> 8);
        // What is claimed tells more cheaply that this is no header than the hash does.
        if data.max(records) > stop || hash(&header[8..]) != word(header, 0) {
            return Err("a chunk's header is damaged: its checksum is wrong");
        }
        // A chunk ends neither within a block header nor right after one.
        let padded = start.checked_add(records).map(|end| match end % BLOCK {
            within @ 1..=BLOCK_HEADER => end - within + BLOCK_HEADER + 1,
            _ => end,
        });
        let whole = end_of(start, data.saturating_add(CHUNK_HEADER as u64)).zip(padded);
        let (data_end, end) = whole
            .map(|(data_end, padded)| (data_end, data_end.max(padded)))
            .filter(|ends| ends.1 <= stop)
            .ok_or("a chunk is said to reach beyond the end of the data")?;
        let (kind, decoded, hash) = (header[24], word(header, 32), word(header, 16));
        Ok(Self { start, end, kind, records, decoded, data, hash, data_start, data_end })
    }

    /// Whether a position is that of one of its records.
    pub(super) fn holds(&self, position: u64) -> bool {
        position.checked_sub(self.start).is_some_and(|record| record < self.records)
    }
}

/// The chunk that a block header cuts: where it starts and ends. `None` where the header is damaged.
fn chunk_around(file: &File, block: u64, stop: u64) -> std::io::Result<Option<(u64, u64)>> {
    let mut header = [0; BLOCK_HEADER_BYTES];
    let there = read_full_at(file, &mut header, block)?;
    let sound = there == header.len() && hash(&header[8..]) == word(&header, 0);
    let around = block.checked_sub(word(&header, 8)).zip(block.checked_add(word(&header, 16)));
    Ok(around.filter(|(_, end)| sound && *end > block && *end <= stop))
}

/// Where the next chunk starts after one whose header is damaged.
fn next_chunk(file: &File, at: u64, stop: u64) -> std::io::Result<u64> {
    // The first place from here on of which a block header tells.
    let (mut block, mut known) = (at / BLOCK * BLOCK + BLOCK, stop);
    while block < stop {
        match chunk_around(file, block, stop)? {
            Some((start, end)) if start <= at => return Ok(end),
            Some((start, _)) => {
                known = start;
                break;
            }
            None => block += BLOCK,
        }
    }
    // There may be smaller ones before: such as follow one another up to there.
    let mut bytes = vec![0; usize::try_from((known - at).min(BLOCK)).unwrap_or(0)];
    let there = read_full_at(file, &mut bytes, at)?;
    let header = |at: usize, start: u64| Chunk::read(start, bytes[..there].get(at..)?, known).ok();
    for (place, start) in (at + 1..known).enumerate().take(there) {
        let mut chunk = header(place + 1, start);
        while let Some(found) = chunk {
            if found.end == known {
                return Ok(start);
            }
            chunk = header(usize::try_from(found.end - at).unwrap_or(usize::MAX), found.end);
        }
    }
    Ok(known)
}

/// The chunks of a file, one after another.
pub(super) struct Chunks<'s> {
    part: &'s Part,
    input: Input,
    /// Up to where the file is read in large pieces.
    until: u64,
    /// Where the chunks end that hold data.
    stop: u64,
    largest: u64,
}

impl<'s> Chunks<'s> {
    /// The chunks from one that starts at `start` on.
    pub(super) fn open(part: &'s Part, start: u64, until: u64, stop: u64, largest: u64) -> Result<Self> {
        let input = Input::open(&part.path, Compression::None, start, until, largest)?;
        Ok(Self { part, input, until, stop, largest })
    }

    /// The same from the chunk on that holds the record at `position`, or is the first after it.
    pub(super) fn open_at(
        part: &'s Part,
        position: u64,
        until: u64,
        stop: u64,
        largest: u64,
    ) -> Result<Self> {
        let failed = |e| Error::io("read", &part.path, e);
        let file = File::open(&part.path).map_err(|e| Error::io("open", &part.path, e))?;
        let mut block = position.min(stop) / BLOCK * BLOCK;
        let mut start = 0;
        while block > 0 {
            if let Some((around, next)) = chunk_around(&file, block, stop).map_err(failed)? {
                start = if next <= position { next } else { around };
                break;
            }
            block -= BLOCK;
        }
        // On the way, what comes after the chunk need not be read.
        let mut chunks = Self::open(part, start, position, stop, largest)?;
        loop {
            let here = chunks.at();
            match chunks.header() {
                Ok(Some(chunk)) if chunk.end <= position => chunks.pass(&chunk),
                // What is damaged right there is for the reader to tell.
                Err(error) if error.kind() == ErrorKind::Input && here < position => chunks.recover()?,
                Err(error) if error.kind() != ErrorKind::Input => return Err(error),
                _ => break,
            }
        }
        Self::open(part, chunks.at(), until, stop, largest)
    }

    /// Where the next chunk starts.
    pub(super) fn at(&self) -> u64 {
        self.input.offset()
    }

    /// The file.
    pub(super) fn part(&self) -> &'s Part {
        self.part
    }

    /// What the header of the next chunk says; `None` at the end.
    ///
    /// # Errors
    /// It is damaged.
    pub(super) fn header(&mut self) -> Result<Option<Chunk>> {
        let at = self.at();
        if at >= self.stop {
            return Ok(None);
        }
        let (most, stop) = (CHUNK_HEADER + BLOCK_HEADER_BYTES, self.stop);
        let bytes = self.input.peek(most).map_err(|e| Error::io("read", &self.part.path, e))?;
        let mut chunk = Chunk::read(at, bytes, stop);
        if chunk.is_err() && self.input.is_sound_on_disk(|bytes| Chunk::read(at, bytes, stop).is_ok()) {
            chunk = Chunk::read(at, self.input.window(), stop);
        }
        chunk.map(Some).map_err(|why| self.damaged(why).loses_a_stretch())
    }

    /// The data of the next chunk, whose header was read, put into `data`.
    ///
    /// # Errors
    /// They are damaged, or too large.
    pub(super) fn data(&mut self, chunk: &Chunk, data: &mut Vec<u8>) -> Result<()> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let skipped = size(chunk.data_start - chunk.start);
        let whole = size(chunk.data_end - chunk.start);
        let bytes = self.input.peek(whole).map_err(|e| Error::io("read", &self.part.path, e))?;
        if bytes.len() < whole {
            return Err(self.damaged("a chunk is cut"));
        }
        let mut is_sound = |bytes: &[u8]| {
            data.clear();
            pieces(&bytes[skipped..whole], chunk.data_start).for_each(|piece| data.extend_from_slice(piece));
            hash(data) == chunk.hash
        };
        if !is_sound(bytes) && !self.input.is_sound_on_disk(is_sound) {
            return Err(self.damaged("a chunk's data is damaged: its checksum is wrong"));
        }
        Ok(())
    }

    /// Passes over the next chunk, whose header was read.
    pub(super) fn pass(&mut self, chunk: &Chunk) {
        self.input.pass(usize::try_from(chunk.end - chunk.start).unwrap_or(usize::MAX));
    }

    /// Passes over a chunk whose header is damaged: to the next one that can be found.
    pub(super) fn recover(&mut self) -> Result<()> {
        let (at, path) = (self.at(), &self.part.path);
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let next = next_chunk(&file, at, self.stop).map_err(|e| Error::io("read", path, e))?;
        self.input = Input::open(&self.part.path, Compression::None, next, self.until, self.largest)?;
        Ok(())
    }

    /// Damage to the next chunk.
    pub(super) fn damaged(&self, why: &str) -> Error {
        Error::input(why).in_file(&self.part.path).at_byte(self.at())
    }
}

/// The first record of a chunk that is not compressed, of which these are the first bytes.
pub(super) fn first_record(bytes: &[u8], start: u64, stop: u64) -> Option<Vec<u8>> {
    let chunk = Chunk::read(start, bytes, stop).ok()?;
    let skipped = usize::try_from(chunk.data_start - start).ok()?;
    let data = pieces(bytes.get(skipped..)?, chunk.data_start).collect::<Vec<_>>().concat();
    let data = data.get(..usize::try_from(chunk.data).ok()?)?;
    let (&compression, mut rest) = data.split_first().filter(|_| hash(data) == chunk.hash)?;
    let mut sizes = wire::bytes(&mut rest)?;
    let size = usize::try_from(wire::varint(&mut sizes)?).ok()?;
    let record = rest.get(..size).filter(|_| (chunk.kind, compression) == (b'r', 0))?;
    Some(record.to_vec())
}
