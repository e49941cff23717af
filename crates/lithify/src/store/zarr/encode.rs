//! From the rows of a slab to the files of its chunks.

use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, checksum};

use super::codec::ChunkCodec;
use super::planned;
use crate::error::{Error, Result};
use crate::plan::{ArrayPlan, Layout};
use crate::store::changed;
use crate::store::files::{FileRecord, Files, WholeFile, write_whole};
use crate::value::{advance, fill};

/// Bytes of the fill value that are written at once.
const FILL_BYTES: usize = 64 << 10;
/// What a shard's index has for a chunk that is not stored.
const ABSENT: [u64; 2] = [u64::MAX; 2];

/// How the slabs of an array are cut into chunks and encoded.
pub(super) struct Encoder {
    name: String,
    shape: Vec<u64>,
    /// The shape of a chunk, and its bytes.
    chunk: Vec<u64>,
    chunk_bytes: usize,
    /// How many chunks there are along each axis but the first.
    across: Vec<u64>,
    /// How many chunks a shard holds, if there are shards: those of a slab are one.
    shard: Option<usize>,
    slab_rows: u64,
    item: usize,
    fill: Vec<u8>,
    /// Whether the store is of version 2, which has files of other names, and all of them.
    version_2: bool,
    codec: ChunkCodec,
    in_pieces: bool,
}

impl Encoder {
    pub(super) fn new(array: &ArrayPlan, layout: Layout) -> Result<Self> {
        let zarr = planned(array)?;
        let chunks = &zarr.chunks;
        let size = |bytes: u64| {
            usize::try_from(bytes).map_err(|_| {
                Error::request(format!("a chunk of `{}` is larger than memory can be", array.name))
            })
        };
        let shard = chunks.shard.as_ref().map(|shard| {
            let along = shard.iter().zip(&chunks.chunk).map(|(shard, chunk)| shard / chunk);
            size(along.fold(1, u64::saturating_mul))
        });
        Ok(Self {
            name: array.name.clone(),
            shape: array.shape.clone(),
            chunk: chunks.chunk.clone(),
            chunk_bytes: size(array.chunk_bytes())?,
            across: array
                .shape
                .iter()
                .zip(&chunks.chunk)
                .skip(1)
                .map(|(all, one)| all.div_ceil(*one))
                .collect(),
            shard: shard.transpose()?,
            slab_rows: chunks.slab_rows(),
            item: array.dtype.size(),
            fill: zarr.fill.clone(),
            version_2: layout == Layout::Zarr2,
            codec: ChunkCodec::new(array)?,
            in_pieces: array.in_pieces(),
        })
    }

    /// Rows of a slab: those that a file holds.
    pub(super) fn slab_rows(&self) -> u64 {
        self.slab_rows
    }

    /// Rows of a band: those that a chunk holds.
    pub(super) fn band_rows(&self) -> u64 {
        self.chunk[0]
    }

    /// Whether slabs are written in pieces of any size.
    pub(super) fn in_pieces(&self) -> bool {
        self.in_pieces
    }

    /// Begins the files of a slab.
    pub(super) fn begin<'s>(&'s self, place: &'s Files, slab: u64) -> SlabWriter<'s> {
        SlabWriter { encoder: self, place, slab, file: None, index: Vec::new(), blank: 0, files: Vec::new() }
    }

    /// Whether all items are the fill value, so that readers need no file to know them.
    fn is_fill(&self, bytes: &[u8]) -> bool {
        // All items are the first, as each is the one before; and so most chunks are told by their first bytes.
        !self.version_2
            && bytes.starts_with(&self.fill)
            && bytes[self.fill.len()..] == bytes[..bytes.len() - self.fill.len()]
    }

    /// Where the file of a chunk is.
    fn path(&self, slab: u64, others: &[u64]) -> PathBuf {
        let first = if self.version_2 { slab.to_string() } else { format!("c.{slab}") };
        Path::new(&self.name).join(others.iter().fold(first, |key, at| format!("{key}.{at}")))
    }
}

/// A slab on its way to its files, from its first row to its last. What holds the fill value alone is not stored.
pub(super) struct SlabWriter<'s> {
    encoder: &'s Encoder,
    place: &'s Files,
    slab: u64,
    /// The slab's only file, once there is something in it.
    file: Option<WholeFile<'s>>,
    /// Of a shard, where its chunks start, and their bytes.
    index: Vec<[u64; 2]>,
    /// Bytes of the fill value that are still to be written before what follows them.
    blank: u64,
    files: Vec<FileRecord>,
}

impl<'s> SlabWriter<'s> {
    /// Takes the next rows: a band of them, or as many as are left of the array; where rows are written
    /// [in pieces](ArrayPlan::in_pieces), any. `room` is memory to work in.
    pub(super) fn rows(&mut self, bytes: &[u8], room: &mut Vec<u8>) -> Result<()> {
        let encoder = self.encoder;
        if encoder.in_pieces {
            return self.piece(bytes);
        }
        if bytes.len() == encoder.chunk_bytes && encoder.chunk[1..] == encoder.shape[1..] {
            return self.chunk(&vec![0; encoder.across.len()], bytes);
        }
        let row = encoder.shape[1..].iter().fold(encoder.item as u64, |bytes, size| bytes * size);
        let mut from = encoder.shape.clone();
        from[0] = bytes.len() as u64 / row.max(1);
        let mut start = vec![0; from.len()];
        let mut at = vec![0; encoder.across.len()];
        room.resize(encoder.chunk_bytes, 0);
        for _ in 0..encoder.across.iter().product::<u64>() {
            fill(room, &encoder.fill);
            for ((start, at), size) in start[1..].iter_mut().zip(&at).zip(&encoder.chunk[1..]) {
                *start = at * size;
            }
            gather(bytes, &from, &start, room, &encoder.chunk, encoder.item);
            self.chunk(&at, room)?;
            advance(&mut at, &encoder.across);
        }
        Ok(())
    }

    fn chunk(&mut self, at: &[u64], items: &[u8]) -> Result<()> {
        let encoder = self.encoder;
        let bytes = if encoder.is_fill(items) { None } else { Some(encoder.codec.encode(items)?) };
        if encoder.shard.is_none() {
            let path = || encoder.path(self.slab, at);
            let file = bytes.map(|bytes| write_whole(self.place, path(), &bytes));
            self.files.extend(file.transpose()?);
            return Ok(());
        }
        let entry = match bytes {
            Some(bytes) => {
                let file = self.file()?;
                let start = file.bytes();
                file.append(&bytes)?;
                [start, bytes.len() as u64]
            }
            None => ABSENT,
        };
        self.index.push(entry);
        Ok(())
    }

    /// Adds bytes to a chunk that is stored as it is.
    fn piece(&mut self, bytes: &[u8]) -> Result<()> {
        if self.file.is_none() && self.encoder.is_fill(bytes) {
            self.blank += bytes.len() as u64;
            return Ok(());
        }
        self.catch_up()?;
        self.file()?.append(bytes)
    }

    /// Writes what was left out so far.
    fn catch_up(&mut self) -> Result<()> {
        if self.blank == 0 {
            return Ok(());
        }
        let item = self.encoder.fill.len();
        let mut some = vec![0; (FILL_BYTES / item).max(1) * item];
        fill(&mut some, &self.encoder.fill);
        while self.blank > 0 {
            let now = usize::try_from(self.blank).map_or(some.len(), |blank| blank.min(some.len()));
            self.file()?.append(&some[..now])?;
            self.blank -= now as u64;
        }
        Ok(())
    }

    fn file(&mut self) -> Result<&mut WholeFile<'s>> {
        if self.file.is_none() {
            let path = self.encoder.path(self.slab, &vec![0; self.encoder.across.len()]);
            self.file = Some(WholeFile::create(self.place, path)?);
        }
        self.file.as_mut().ok_or_else(changed)
    }

    /// Completes the files, and tells of them.
    pub(super) fn finish(mut self) -> Result<Vec<FileRecord>> {
        let Some(file) = &mut self.file else { return Ok(self.files) };
        if let Some(chunks) = self.encoder.shard {
            // Beyond the end of the array there are none.
            self.index.resize(chunks, ABSENT);
            let mut index: Vec<u8> = self.index.iter().flatten().flat_map(|n| n.to_le_bytes()).collect();
            let sum = u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, &index)).unwrap_or_default();
            index.extend(sum.to_le_bytes());
            file.append(&index)?;
        } else {
            // The last chunk of an array is as large as all others.
            self.blank = self.encoder.chunk_bytes as u64 - file.bytes();
            self.catch_up()?;
        }
        self.files.extend(self.file.map(WholeFile::finish).transpose()?);
        Ok(self.files)
    }
}

/// Copies what an array of one shape has from `start` on to the front of one of another shape.
fn gather(from: &[u8], from_shape: &[u64], start: &[u64], to: &mut [u8], to_shape: &[u64], item: usize) {
    let bytes = |shape: &[u64]| usize::try_from(shape.iter().product::<u64>()).unwrap_or(usize::MAX) * item;
    let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let ([from_size, from_inner @ ..], [first, start_inner @ ..], [to_size, to_inner @ ..]) =
        (from_shape, start, to_shape)
    else {
        return to.copy_from_slice(from);
    };
    let count = size((from_size - first).min(*to_size));
    let (from_step, to_step) = (bytes(from_inner), bytes(to_inner));
    let from = &from[size(*first) * from_step..];
    if from_inner == to_inner {
        to[..count * to_step].copy_from_slice(&from[..count * from_step]);
        return;
    }
    for at in 0..count {
        let (from, to) = (&from[at * from_step..][..from_step], &mut to[at * to_step..][..to_step]);
        gather(from, from_inner, start_inner, to, to_inner, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_out_of_slabs_and_padded_at_the_edges() {
        let slab: Vec<u8> = (0..15).collect();
        let mut chunk = [99; 8];
        gather(&slab, &[3, 5], &[0, 4], &mut chunk, &[2, 4], 1);
        assert_eq!(chunk, [4, 99, 99, 99, 9, 99, 99, 99]);
        let mut chunk = [99; 8];
        gather(&slab, &[3, 5], &[0, 2], &mut chunk, &[4, 2], 1);
        assert_eq!(chunk, [2, 3, 7, 8, 12, 13, 99, 99]);
    }
}
