//! A block's bytes of one array, gathered slab by slab.

use super::{Target, ZarrStore};
use crate::error::Result;
use crate::store::{Checksum, Hasher, Region, too_much};

/// Bytes that are added to a checksum at once, while they are still in a core's cache.
const HASH_BYTES: usize = 256 << 10;

/// A piece of an array. What it has of the present slab is in memory.
pub(super) struct SlabRegion<'s> {
    store: &'s ZarrStore,
    target: &'s Target,
    array: usize,
    start: u64,
    /// Where what was expected ends.
    expected_end: u64,
    /// What it has of the present slab: the first `used` bytes, from `at` on in the array; the first `hashed` are in the
    /// checksum.
    window: Vec<u8>,
    at: u64,
    used: usize,
    hashed: usize,
    /// Bytes that were given and lie in more than one slab: they go to their slabs once they are filled.
    straddling: Vec<u8>,
    hasher: Hasher,
}

impl<'s> SlabRegion<'s> {
    pub(super) fn new(store: &'s ZarrStore, array: usize, start: u64, expected: u64) -> Self {
        Self {
            store,
            target: &store.arrays[array],
            array,
            start,
            expected_end: start.saturating_add(expected),
            window: Vec::new(),
            at: start,
            used: 0,
            hashed: 0,
            straddling: Vec::new(),
            hasher: Hasher::new(),
        }
    }

    /// The number of the present slab, and how many of its bytes lie before the window.
    fn slab(&self) -> (u64, usize) {
        let slab = self.at / self.target.slab_bytes;
        (slab, usize::try_from(self.at % self.target.slab_bytes).unwrap_or(usize::MAX))
    }

    /// Bytes of the present slab from the window's start on.
    fn room(&self) -> usize {
        let (slab, before) = self.slab();
        self.target.bytes_of(slab) - before
    }

    /// The next bytes of the window, which has room for them.
    fn take(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.used + bytes;
        if end > self.window.len() {
            // All that is expected of this slab at once; where there is more, all of the slab.
            let expected = usize::try_from(self.expected_end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let room = self.room();
            let length = if end <= expected { expected.min(room) } else { room };
            self.window.resize(length, 0);
        }
        self.used = end;
        &mut self.window[end - bytes..end]
    }

    /// Adds what is filled to the checksum, and gives the slab away if that was the last of it.
    fn settle(&mut self, at_least: usize) -> Result<()> {
        if self.used - self.hashed >= at_least.max(1) || (self.used > 0 && self.used == self.room()) {
            self.hasher.update(&self.window[self.hashed..self.used]);
            self.hashed = self.used;
        }
        if self.used > 0 && self.used == self.room() { self.give() } else { Ok(()) }
    }

    /// Gives what is filled of the present slab to the store.
    fn give(&mut self) -> Result<()> {
        let (slab, before) = self.slab();
        let used = std::mem::take(&mut self.used);
        self.hashed = 0;
        self.at += used as u64;
        if used == self.target.bytes_of(slab) {
            self.window.truncate(used);
            self.store.write(self.array, slab, &mut self.window)
        } else {
            self.store.part(self.array, slab, before, &self.window[..used])
        }
    }

    /// Brings bytes that lie in several slabs there.
    fn distribute(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.straddling);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.room() - self.used));
            self.take(now.len()).copy_from_slice(now);
            self.settle(HASH_BYTES)?;
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
        self.settle(HASH_BYTES)?;
        if bytes == 0 {
            return Ok(&mut []);
        }
        if self.at + (self.used + bytes) as u64 > self.target.bytes {
            return Err(too_much());
        }
        if bytes <= self.room() - self.used {
            return Ok(self.take(bytes));
        }
        self.straddling.resize(bytes, 0);
        Ok(&mut self.straddling)
    }

    fn filled(&self) -> u64 {
        self.at + (self.used + self.straddling.len()) as u64 - self.start
    }

    fn commit(mut self: Box<Self>) -> Result<Checksum> {
        self.distribute()?;
        self.settle(0)?;
        if self.used > 0 {
            self.give()?;
        }
        Ok(self.hasher.finish())
    }
}
