//! What one of several processes that write an output together writes of it.

use std::ops::Range;
use std::path::PathBuf;

use super::Checksum;
use serde::{Deserialize, Serialize};

/// A share of an output.
#[derive(Clone, Debug)]
pub struct Share {
    /// Of each array, the bytes of its data.
    pub ranges: Vec<Range<u64>>,
    /// No other process writes to the same so many bytes of a file, counted from its start: a power of two.
    pub align: u64,
    /// Where files are that are not complete, on the file system of the output.
    pub unfinished: PathBuf,
    /// Where they are built before, if that is another file system.
    pub scratch: Option<PathBuf>,
}

impl Share {
    /// Of an array's share, those bytes that are whole units: what lies before and behind them belongs to units of which other
    /// processes have a part. Units are of so many bytes, from `origin` bytes before the array's first on; an array ends with a unit.
    pub(super) fn own(&self, array: usize, unit: u64, origin: u64, array_bytes: u64) -> Range<u64> {
        let Range { start, end } = self.ranges[array];
        let up = if start == 0 { 0 } else { (origin + start).next_multiple_of(unit) - origin };
        let down =
            if end == array_bytes { end } else { ((origin + end) / unit * unit).saturating_sub(origin) };
        let from = up.min(end);
        from..down.max(from)
    }

    /// The pieces of an array's share that are not its own alone.
    pub(super) fn pieces(&self, array: usize, own: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let Range { start, end } = self.ranges[array];
        [start..own.start, own.end..end].into_iter().filter(|piece| !piece.is_empty())
    }
}

/// A piece of an array that a process could not complete by itself, and keeps in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Of which array.
    pub array: usize,
    /// Where in the array's data it begins, in bytes.
    pub start: u64,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub checksum: Checksum,
}
