//! Numbers of a few bits in runs, each of one number again and again or of numbers packed one after another: Parquet's
//! "RLE / bit-packing hybrid", which levels and names of dictionaries are stored in.

use bytes::Bytes;

/// Numbers, in sequence.
pub(super) struct Hybrid {
    bytes: Bytes,
    at: usize,
    /// Bits of a number: no more than 32.
    width: u32,
    rest: Run,
}

/// Numbers that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// The same, so many times.
    Repeated { value: u32, count: u64 },
    /// So many from this bit on.
    Packed { bit: u64, count: u64 },
}

impl Run {
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Repeated { count, .. } | Self::Packed { count, .. } => *count,
        }
    }

    /// The first so many of them, and the others.
    fn split(self, first: u64, width: u32) -> (Self, Self) {
        match self {
            Self::Repeated { value, count } => {
                (Self::Repeated { value, count: first }, Self::Repeated { value, count: count - first })
            }
            Self::Packed { bit, count } => (
                Self::Packed { bit, count: first },
                Self::Packed { bit: bit + first * u64::from(width), count: count - first },
            ),
        }
    }
}

impl Hybrid {
    pub(super) fn new(bytes: Bytes, width: u32) -> Self {
        Self { bytes, at: 0, width, rest: Run::Repeated { value: 0, count: 0 } }
    }

    /// The next numbers that belong to one run, no more than so many; `None` where the bytes end before, or make no sense.
    pub(super) fn next_run(&mut self, most: u64) -> Option<Run> {
        if self.rest.count() == 0 {
            self.rest = self.run()?;
        }
        let run;
        (run, self.rest) = self.rest.split(most.min(self.rest.count()), self.width);
        Some(run)
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Option<u32> {
        let run = self.next_run(1)?;
        Some(self.value(&run, 0))
    }

    /// Passes over numbers.
    pub(super) fn skip(&mut self, mut count: u64) -> Option<()> {
        while count > 0 {
            count -= self.next_run(count)?.count();
        }
        Some(())
    }

    /// A number of a run that it gave.
    #[inline]
    pub(super) fn value(&self, run: &Run, place: u64) -> u32 {
        match run {
            Run::Repeated { value, .. } => *value,
            Run::Packed { bit, .. } => {
                let bit = bit + place * u64::from(self.width);
                let at = (bit / 8) as usize;
                let rest = self.bytes.get(at..).unwrap_or_default();
                let word = if let Some(word) = rest.first_chunk::<8>() {
                    u64::from_le_bytes(*word)
                } else {
                    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
                };
                let value = word >> (bit % 8) & ((1_u64 << self.width) - 1);
                u32::try_from(value).unwrap_or_default()
            }
        }
    }

    fn run(&mut self) -> Option<Run> {
        let mut header = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            header |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let run = if header & 1 == 1 { self.packed(header >> 1) } else { self.repeated(header >> 1) };
                return run.filter(|run| run.count() > 0);
            }
        }
        None
    }

    /// A run of so many groups of eight. The last one may be cut short where nothing is left to be said.
    fn packed(&mut self, groups: u64) -> Option<Run> {
        let (width, bit) = (u64::from(self.width), self.at as u64 * 8);
        let there = (self.bytes.len() - self.at) as u64;
        let bytes = groups.checked_mul(width)?.min(there);
        self.at += usize::try_from(bytes).ok()?;
        let count = match (bytes * 8).checked_div(width) {
            Some(count) => count,
            None => groups.checked_mul(8)?,
        };
        Some(Run::Packed { bit, count })
    }

    fn repeated(&mut self, count: u64) -> Option<Run> {
        let bytes = self.width.div_ceil(8) as usize;
        let mut value = [0; 4];
        value[..bytes].copy_from_slice(self.bytes.get(self.at..self.at + bytes)?);
        self.at += bytes;
        Some(Run::Repeated { value: u32::from_le_bytes(value), count })
    }
}
