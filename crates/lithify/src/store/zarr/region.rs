//! A block's bytes of one array, on their way to its slabs.

use super::encode::SlabWriter;
use super::{Target, ZarrStore};
use crate::error::Result;
use crate::plan::memory::BUFFER_BYTES;
use crate::store::files::FileRecord;
use crate::store::{Checksum, Hasher, Region, too_much};

/// Bytes that are added to a checksum at once, while they are still in a core's cache.
const HASH_BYTES: usize = 256 << 10;

/// Bytes of a piece, unless a row is larger.
#[expect(clippy::cast_possible_truncation, reason = "it is below a mebibyte")]
const PIECE_BYTES: usize = BUFFER_BYTES as usize;

/// A piece of an array, of which a window is in memory: a band of chunks where a whole slab is filled, which is encoded while
/// it is; else a piece of any size.
pub(super) struct SlabRegion<'s> {
    store: &'s ZarrStore,
    target: &'s Target,
    array: usize,
    start: u64,
    /// Where what was expected ends.
    expected_end: u64,
    /// The present slab, where all of it is filled here.
    slab: Option<SlabWriter<'s>>,
    /// Bytes of the array from `at` on: the first `used` are filled, the first `hashed` in the checksum.
    window: Vec<u8>,
    at: u64,
    used: usize,
    hashed: usize,
    /// Where the window ends at the latest, in bytes of the array.
    window_end: u64,
    /// Bytes that were given and lie in more than one window: they go there once they are filled.
    straddling: Vec<u8>,
    hasher: Hasher,
    /// The files that were completed.
    files: Vec<FileRecord>,
}

impl<'s> SlabRegion<'s> {
    pub(super) fn new(store: &'s ZarrStore, array: usize, start: u64, expected: u64) -> Self {
        let mut region = Self {
            store,
            target: &store.arrays[array],
            array,
            start,
            expected_end: start.saturating_add(expected),
            slab: None,
            window: store.spare_window(array),
            at: start,
            used: 0,
            hashed: 0,
            window_end: start,
            straddling: Vec::new(),
            hasher: Hasher::new(),
            files: Vec::new(),
        };
        region.go_on();
        region
    }

    /// Says what the window is from here on.
    fn go_on(&mut self) {
        let Self { target, at, .. } = *self;
        if target.slab_bytes == 0 || at >= target.bytes {
            return;
        }
        let number = at / target.slab_bytes;
        let slab_end = number * target.slab_bytes + target.bytes_of(number);
        if target.is_filled_alone(at, self.expected_end) {
            self.slab = Some(target.encoder.begin(&self.store.files, number));
        }
        self.window_end = if self.in_pieces() {
            slab_end
        } else {
            slab_end.min((at / target.band_bytes + 1) * target.band_bytes)
        };
    }

    /// Whether the present slab takes pieces of any size.
    fn in_pieces(&self) -> bool {
        self.slab.is_none() || self.target.encoder.in_pieces()
    }

    /// Bytes of the window, at most.
    fn room(&self) -> usize {
        usize::try_from(self.window_end - self.at).unwrap_or(usize::MAX)
    }

    /// The next bytes of the window, which has room for them.
    fn take(&mut self, bytes: usize) -> Result<&mut [u8]> {
        let in_pieces = self.in_pieces();
        if in_pieces && self.used > 0 && self.used + bytes > PIECE_BYTES {
            self.give()?;
        }
        let end = self.used + bytes;
        if end > self.window.len() {
            // All that is expected at once; where there is more, all that there can be.
            let expected = usize::try_from(self.expected_end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let room = self.room();
            let most = if in_pieces { room.min(end.max(PIECE_BYTES)) } else { room };
            self.window.resize(if end <= expected { expected.min(most) } else { most }, 0);
        }
        self.used = end;
        Ok(&mut self.window[end - bytes..end])
    }

    /// Gives the window away once it is full; until then, adds what is filled to the checksum, in pieces.
    fn settle(&mut self) -> Result<()> {
        if self.used > 0 && self.used == self.room() {
            return self.give();
        }
        if self.used - self.hashed >= HASH_BYTES {
            self.hasher.update(&self.window[self.hashed..self.used]);
            self.hashed = self.used;
        }
        Ok(())
    }

    /// Adds the rest to the checksum, and gives what is filled to the slab, or to the store where the slab is not filled here alone.
    fn give(&mut self) -> Result<()> {
        let used = std::mem::take(&mut self.used);
        self.hasher.update(&self.window[std::mem::take(&mut self.hashed)..used]);
        match &mut self.slab {
            Some(slab) => self.store.with_room(|room| slab.rows(&self.window[..used], room))?,
            None => self.files.extend(self.store.part(self.array, self.at, &self.window[..used])?),
        }
        self.at += used as u64;
        let slab_ends = self.at == self.target.bytes || self.at.is_multiple_of(self.target.slab_bytes);
        if slab_ends && let Some(slab) = self.slab.take() {
            self.files.extend(slab.finish()?);
        }
        if self.at == self.window_end {
            self.go_on();
        }
        Ok(())
    }

    /// Brings bytes that lie in several windows there.
    fn distribute(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.straddling);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.room() - self.used));
            self.take(now.len())?.copy_from_slice(now);
            self.settle()?;
            rest = later;
        }
        Ok(())
    }
}

impl Region for SlabRegion<'_> {
    #[inline]
    fn next(&mut self, bytes: usize) -> Result<&mut [u8]> {
        if !self.straddling.is_empty() {
            self.distribute()?;
        }
        self.settle()?;
        if bytes == 0 {
            return Ok(&mut []);
        }
        if self.at + (self.used + bytes) as u64 > self.target.bytes {
            return Err(too_much());
        }
        if bytes <= self.room() - self.used {
            return self.take(bytes);
        }
        self.straddling.resize(bytes, 0);
        Ok(&mut self.straddling)
    }

    fn filled(&self) -> u64 {
        self.at + (self.used + self.straddling.len()) as u64 - self.start
    }

    fn commit(mut self: Box<Self>, completed: &mut Vec<FileRecord>) -> Result<Checksum> {
        self.distribute()?;
        if self.used > 0 {
            self.give()?;
        }
        if let Some(last) = self.slab.take() {
            // The array ends within it, which was not known when it was begun.
            self.files.extend(last.finish()?);
        }
        self.store.keep_window(self.array, self.window);
        completed.append(&mut self.files);
        Ok(self.hasher.finish())
    }
}
