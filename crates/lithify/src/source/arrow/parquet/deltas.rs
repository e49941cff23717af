//! Numbers by their differences: `DELTA_BINARY_PACKED` of <https://parquet.apache.org/docs/file-format/data-pages/encodings/>, in which
//! the lengths of byte strings are told.

use bytes::Bytes;

use super::hybrid::{Hybrid, Run};
use super::thrift::Compact;

/// What stands before the numbers.
#[derive(Clone, Copy)]
struct Head {
    /// Parts of a block, and numbers of a part.
    parts: usize,
    numbers: u64,
    count: u64,
    first: i64,
}

impl Head {
    fn of(bytes: &mut Compact<'_>) -> Option<Self> {
        let (block, parts) = (bytes.varint()?, bytes.varint()?);
        let (count, first) = (bytes.varint()?, bytes.number()?);
        let numbers = block.checked_div(parts).filter(|numbers| *numbers > 0)?;
        Some(Self { parts: usize::try_from(parts).ok()?, numbers, count, first })
    }

    /// Bytes of a part whose numbers have so many bits.
    fn part(&self, width: u8) -> Option<usize> {
        usize::try_from(self.numbers.checked_mul(width.into())? / 8).ok()
    }
}

/// Numbers that are all there.
pub(super) struct Differences {
    pub count: u64,
    /// Bytes that they take.
    pub bytes: usize,
    all: Bytes,
    head: Head,
    /// Where what follows the head starts.
    start: usize,
}

impl Differences {
    /// What stands at the start of some bytes, if it is as many numbers as it claims. Nothing is made room for.
    pub(super) fn of(all: &Bytes) -> Option<Self> {
        let mut bytes = Compact { rest: all };
        let head = Head::of(&mut bytes)?;
        let start = all.len() - bytes.rest.len();
        let mut left = head.count.saturating_sub(1);
        while left > 0 {
            let _least = bytes.number()?;
            let (widths, rest) = bytes.rest.split_at_checked(head.parts)?;
            bytes.rest = rest;
            // What stands for parts after the last number means nothing.
            for width in widths {
                if left == 0 {
                    break;
                }
                bytes.rest = bytes.rest.get(head.part(*width)?..)?;
                left = left.saturating_sub(head.numbers);
            }
        }
        let bytes = all.len() - bytes.rest.len();
        Some(Self { count: head.count, bytes, all: all.clone(), head, start })
    }

    /// The numbers, one after another.
    pub(super) fn numbers(self) -> Numbers {
        let Self { all, head, start: at, .. } = self;
        let packed = Hybrid::new(Bytes::new(), 0);
        Numbers { all, at, head, value: None, least: 0, widths: 0..0, packed, left: 0 }
    }
}

/// Numbers that are read one after another.
pub(super) struct Numbers {
    all: Bytes,
    at: usize,
    head: Head,
    value: Option<i32>,
    /// The least difference of the block, and where the widths of its other parts stand.
    least: i32,
    widths: std::ops::Range<usize>,
    /// What the differences of the part are more than that, and how many there are.
    packed: Hybrid,
    left: u64,
}

impl Numbers {
    /// The next number, in 32 bits as the lengths of byte strings are; `None` after the last, and where they are damaged.
    pub(super) fn next(&mut self) -> Option<i32> {
        let Some(before) = self.value else {
            self.value = (self.head.count > 0).then(|| i32::try_from(self.head.first).ok())?;
            return self.value;
        };
        if self.left == 0 {
            self.part()?;
        }
        self.left -= 1;
        let more = self.packed.value(&Run::Packed { bit: 0, count: 1 }, self.head.numbers - 1 - self.left);
        self.value = Some(before.wrapping_add(self.least).wrapping_add(more.cast_signed()));
        self.value
    }

    /// Turns to the next part.
    fn part(&mut self) -> Option<()> {
        if self.widths.is_empty() {
            let mut bytes = Compact { rest: self.all.get(self.at..)? };
            self.least = i32::try_from(bytes.number()?).ok()?;
            let start = self.all.len() - bytes.rest.len();
            self.at = start + self.head.parts;
            self.widths = start..self.at;
        }
        let width = *self.all.get(self.widths.next()?)?;
        let end = self.at.checked_add(self.head.part(width)?).filter(|end| *end <= self.all.len())?;
        self.packed =
            Hybrid::new(self.all.slice(self.at..end), Some(width.into()).filter(|width| *width <= 32)?);
        (self.at, self.left) = (end, self.head.numbers);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::wire::push_varint;

    /// Blocks of 128 numbers in four parts; each of 32 bits, or none.
    fn differences(count: usize, blocks: &[[u8; 4]]) -> Bytes {
        let mut bytes = Vec::new();
        for number in [128, 4, count, 7] {
            push_varint(&mut bytes, number);
        }
        for widths in blocks {
            bytes.extend([[2].as_slice(), widths].concat());
            bytes.resize(bytes.len() + widths.iter().map(|width| usize::from(*width) * 4).sum::<usize>(), 9);
        }
        bytes.into()
    }

    #[test]
    fn numbers_that_are_not_there_are_not_believed() {
        let count =
            |count, blocks: &[_]| Differences::of(&differences(count, blocks)).map(|found| found.count);
        assert_eq!(count(1, &[]), Some(1));
        assert_eq!(count(2, &[]), None);
        assert_eq!(count(129, &[[32, 0, 32, 0]]), Some(129));
        assert_eq!(count(130, &[[32, 0, 32, 0]]), None);
        assert_eq!(count(130, &[[32, 0, 32, 0], [1, 0, 0, 0]]), Some(130));
        assert_eq!(count(1 << 40, &[[0; 4]; 3]), None);
        let whole = differences(385, &[[1; 4]; 3]);
        assert!((0..whole.len()).all(|cut| Differences::of(&whole.slice(..cut)).is_none()));
    }

    #[test]
    fn numbers_are_the_first_and_what_differs_from_it() {
        // Differences of 1 at least; of the first 32, bytes that are all 9 are added to it.
        let mut numbers = Differences::of(&differences(36, &[[8, 0, 0, 0]])).unwrap().numbers();
        let found: Vec<i32> = std::iter::from_fn(|| numbers.next()).take(36).collect();
        let expected: Vec<i32> = (0..33).map(|number| number * 10 - 4).chain([317, 318, 319]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_stands_after_the_last_part_is_not_counted() {
        let whole = differences(34, &[[1, 1, 0, 0]]);
        assert_eq!(Differences::of(&whole).map(|found| found.bytes), Some(whole.len()));
        // Widths of parts that hold no number may be anything.
        let head = whole.len() - 8 - 2;
        let mut other = whole.to_vec();
        other[head..head + 2].fill(255);
        assert_eq!(Differences::of(&other.into()).map(|found| found.bytes), Some(whole.len()));
    }
}
