//! How much of a column's chunk is decoded at once. Encoded, any number of values may take next to nothing, and the crate knows no bounds:
//! where there may be too much of it, values are counted before they are decoded.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use super::super::table::WINDOW_MOST;
use super::contents::{Contents, bits, width};
use super::deltas::{Differences, Numbers};
use super::hybrid::Hybrid;

/// Bytes that a value takes beside its own: its levels, and of byte strings where it ends.
const LEVELS: u64 = 4;
const ENDS: u64 = 8;

/// What is decoded of a chunk, so many rows at a time.
pub(super) struct Meter {
    /// Bytes of a value; `None` of byte strings.
    width: Option<u64>,
    /// Values that stand for a list of a fixed length that is null.
    of_null: u64,
    /// Bytes that a value takes beside its own.
    beside: u64,
    /// All values of the chunk.
    values: u64,
    /// Whether it may be too much, and if not, how many bytes pages may still have for that to be true.
    counts: bool,
    left: u64,
    /// Bytes of each byte string of the dictionary.
    names: Vec<u32>,
    /// Rows of a window, and those that have begun.
    step: u64,
    rows: u64,
    /// Bytes of the window, and how many there may be.
    bytes: u64,
    most: u64,
}

impl Meter {
    pub(super) fn new(chunk: &ColumnChunkMetaData, of_null: u64, step: u64, most: u64) -> Self {
        let size = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        let values = size(chunk.num_values());
        let may_be = values.saturating_mul(of_null);
        let width = width(chunk);
        let beside = if width.is_some() { LEVELS } else { ENDS };
        // What a window takes at any rate is counted for by who reads it.
        let most = most.max(WINDOW_MOST);
        // Byte strings take what they take in pages, but for those that are told by others.
        let own = width.map_or(size(chunk.uncompressed_size()), |width| may_be.saturating_mul(width));
        let counts = may_be.saturating_mul(beside).saturating_add(own) > most;
        Self {
            width,
            of_null,
            beside,
            values,
            counts,
            left: own,
            names: Vec::new(),
            step,
            rows: 0,
            bytes: 0,
            most,
        }
    }

    /// Looks at the values of a dictionary.
    pub(super) fn dictionary(&mut self, mut rest: &[u8], count: u32) -> Option<()> {
        if self.width.is_some() {
            return Some(());
        }
        self.names.clear();
        for _ in 0..count {
            let (length, after) = rest.split_first_chunk()?;
            let length = u32::from_le_bytes(*length);
            rest = after.get(usize::try_from(length).ok()?..)?;
            self.names.push(length);
        }
        self.counts |= self.values.saturating_mul(self.beside + self.largest_name()) > self.most;
        Some(())
    }

    /// Passes over rows that are not decoded.
    pub(super) fn skip(&mut self, rows: u64) {
        self.rows = self.rows.saturating_add(rows);
        self.bytes = 0;
    }

    /// Counts what is in a page, and gives how many bytes a window takes that is too large, or 0; `None` if values are not there.
    pub(super) fn page(
        &mut self,
        contents: &Contents,
        lengths: Option<Lengths>,
        (most_repetition, most_definition): (u32, u32),
    ) -> Option<u64> {
        if self.width.is_none() {
            // What the chunk says of its size is not believed, and where byte strings share bytes, pages do not tell.
            let left = self.left.checked_sub(contents.values.len() as u64);
            self.counts |= left.is_none() || contents.encoding == Encoding::DELTA_BYTE_ARRAY;
            self.left = left.unwrap_or(0);
        }
        if !self.counts {
            return Some(0);
        }
        let mut sizes = Sizes::of(contents, lengths, self.width)?;
        let levels = |bytes: &Bytes, most| (most > 0).then(|| Hybrid::new(bytes.clone(), bits(most)));
        let mut repetition = levels(&contents.repetition, most_repetition);
        let mut definition = levels(&contents.definition, most_definition);
        for _ in 0..contents.count {
            let begins_row = repetition.as_mut().map_or(Some(0), Hybrid::number)? == 0;
            if begins_row {
                if self.rows.is_multiple_of(self.step) {
                    self.bytes = 0;
                }
                self.rows += 1;
            }
            let level = definition.as_mut().map_or(Some(most_definition), Hybrid::number)?;
            // A value that is null is below the highest level, and a list further below.
            let bytes = match most_definition - level.min(most_definition) {
                0 => sizes.next(&self.names)?.saturating_add(self.beside),
                1 => self.of_one_null(),
                _ => self.of_one_null().saturating_mul(self.of_null),
            };
            self.bytes = self.bytes.saturating_add(bytes);
            if self.bytes > self.most {
                break;
            }
        }
        Some(if self.bytes > self.most { self.bytes } else { 0 })
    }

    /// Bytes of the longest byte string of the dictionary.
    fn largest_name(&self) -> u64 {
        self.names.iter().max().map_or(0, |largest| u64::from(*largest))
    }

    /// Bytes that a null takes.
    fn of_one_null(&self) -> u64 {
        self.width.unwrap_or(0).saturating_add(self.beside)
    }

    /// How many bytes a page of so many values and bytes may take at the most.
    pub(super) fn worst(&self, values: u32, bytes: usize) -> u64 {
        let each = self.of_one_null().saturating_mul(self.of_null).max(self.beside + self.largest_name());
        u64::from(values).saturating_mul(each).saturating_add(bytes as u64)
    }
}

/// Bytes of the values of a page, one after another.
enum Sizes {
    Each(u64),
    /// Each stands before its byte string.
    Before(Bytes),
    Named(Hybrid),
    Told(Numbers),
    /// With what is the same as in the byte string before.
    Shared(Numbers, Numbers),
}

/// The lengths of a page's byte strings, where they are told by differences.
pub(super) struct Lengths {
    first: Differences,
    /// Those of what is not the same as in the byte string before.
    second: Option<Differences>,
}

impl Lengths {
    /// Those of no more byte strings than the page holds, in as many parts as its encoding has; `None` where they are not there.
    pub(super) fn of(contents: &Contents) -> Option<Self> {
        let first = Differences::of(&contents.values)?;
        if first.count > u64::from(contents.count) {
            return None;
        }
        if contents.encoding != Encoding::DELTA_BYTE_ARRAY {
            return Some(Self { first, second: None });
        }
        let second = Differences::of(&contents.values.slice(first.bytes..))?;
        (second.count == first.count).then_some(Self { first, second: Some(second) })
    }
}

impl Sizes {
    fn of(contents: &Contents, lengths: Option<Lengths>, width: Option<u64>) -> Option<Self> {
        if let Some(width) = width {
            return Some(Self::Each(width));
        }
        if let Some(Lengths { first, second }) = lengths {
            return Some(match second {
                Some(second) => Self::Shared(first.numbers(), second.numbers()),
                None => Self::Told(first.numbers()),
            });
        }
        let mut values = contents.values.clone();
        Some(match contents.encoding {
            Encoding::PLAIN => Self::Before(values),
            // Where all are null, nothing is named.
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY if values.is_empty() => {
                Self::Before(values)
            }
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY => {
                let width = u32::from(values.split_to(1)[0]);
                Self::Named(Hybrid::new(values, Some(width).filter(|width| *width <= 32)?))
            }
            // The crate does not know it.
            _ => Self::Each(0),
        })
    }

    fn next(&mut self, names: &[u32]) -> Option<u64> {
        match self {
            Self::Each(width) => Some(*width),
            Self::Before(rest) => {
                let length = u32::from_le_bytes(*rest.first_chunk()?);
                let end = usize::try_from(length).ok()?.checked_add(4).filter(|end| *end <= rest.len())?;
                drop(rest.split_to(end));
                Some(length.into())
            }
            Self::Named(hybrid) => names.get(hybrid.number()? as usize).map(|length| u64::from(*length)),
            Self::Told(lengths) => u64::try_from(lengths.next()?).ok(),
            Self::Shared(shared, own) => {
                u64::try_from(shared.next()?).ok()?.checked_add(u64::try_from(own.next()?).ok()?)
            }
        }
    }
}
