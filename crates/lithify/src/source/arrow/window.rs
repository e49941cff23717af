//! Rows of a feature, gathered in one piece of memory: from a column down to its values.

use std::ops::Range;

use super::array::{Array, Bytes, Fetch, too_large};
use super::features::{Item, Leaf, Step};
use crate::error::{Error, Result};
use crate::source::wire::push_length;
use crate::value::DType;

/// What is to be said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing: it has values.
    Good,
    /// It has none.
    Missing,
    /// A value in it is null, which no integer or byte string stands for.
    NullValue,
    /// A list in it is null.
    NullList,
    /// A list in it has so many items, and not as many as are declared.
    Length(u64, u64),
    /// It is a file of which there is only the path.
    PathOnly,
}

/// The values of a feature in a window.
#[derive(Debug, Default)]
pub(super) struct Lent {
    /// Where those of each row start, and where those of the last one end.
    ends: Ends,
    /// How many items the first axis has in each row, where that is not the same in all.
    pub counts: Option<Ends>,
    /// What is to be said of each row; nothing, where all are good.
    pub marks: Vec<Mark>,
}

impl Lent {
    /// Rows of so many bytes each, the first of which start here.
    pub(super) fn even(start: u64, each: u64) -> Self {
        Self { ends: Ends::Even(start, each), ..Self::default() }
    }

    /// Where the values of rows are.
    pub(super) fn body(&self, rows: Range<usize>) -> Range<usize> {
        let at = |row: usize| usize::try_from(self.ends.at(row)).unwrap_or(usize::MAX);
        at(rows.start)..at(rows.end)
    }

    /// What is to be said of a row.
    pub(super) fn mark(&self, row: usize) -> Mark {
        self.marks.get(row).copied().unwrap_or(Mark::Good)
    }
}

/// Where rows start and end among what is numbered.
#[derive(Clone, Debug)]
pub(super) enum Ends {
    /// Each has as many, from this one on.
    Even(u64, u64),
    /// As it is for each, and the end of the last.
    Uneven(Vec<u64>),
}

impl Default for Ends {
    fn default() -> Self {
        Self::Even(0, 0)
    }
}

impl Ends {
    #[inline]
    pub(super) fn at(&self, row: usize) -> u64 {
        match self {
            Self::Even(first, each) => first.saturating_add((row as u64).saturating_mul(*each)),
            Self::Uneven(ends) => ends[row],
        }
    }

    fn map(&self, rows: usize, to: impl Fn(u64) -> u64) -> Self {
        Self::Uneven((0..=rows).map(|row| to(self.at(row))).collect())
    }

    /// The same, from `first` on and each of so many more.
    fn scaled(&self, first: u64, by: u64, base: u64) -> Self {
        let to = |end: u64| (end - first).saturating_mul(by).saturating_add(base);
        match self {
            Self::Even(start, each) => Self::Even(to(*start), each.saturating_mul(by)),
            Self::Uneven(ends) => Self::Uneven(ends.iter().map(|end| to(*end)).collect()),
        }
    }
}

/// The values that a dictionary names, in memory.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    nulls: Vec<bool>,
}

impl Dictionary {
    /// Adds values.
    pub(super) fn add(&mut self, item: Item, values: &Array, fetch: &Fetch<'_>) -> Result<()> {
        let range = values.offset..values.offset.saturating_add(values.len);
        let count = usize::try_from(values.len).unwrap_or(usize::MAX);
        let nulls = fetch.nulls(values, 0..values.len)?;
        let (before, known) = (self.bytes.len() as u64, self.ends.len());
        if let Item::Number(dtype) = item {
            let size = dtype.size() as u64;
            let place = range.start.saturating_mul(size)..range.end.saturating_mul(size);
            fetch.get(buffer(values, 0)?, place, &mut self.bytes)?;
            self.ends.extend((1..=values.len).map(|end| before + end * size));
        } else {
            let texts = Texts::read(item, values, range, fetch)?;
            self.bytes.extend_from_slice(&texts.bytes);
            self.ends.extend(texts.ends[1..].iter().map(|end| before + end));
        }
        self.nulls.resize(known, false);
        self.nulls.extend(nulls);
        self.nulls.resize(known + count, false);
        Ok(())
    }

    /// Bytes that it takes.
    pub(super) fn held(&self) -> u64 {
        (self.bytes.len() + self.ends.len() * 9) as u64
    }

    fn value(&self, key: u64) -> Result<Option<&[u8]>> {
        let wrong = || Error::input(format!("it names value {key} of a dictionary of {}", self.ends.len()));
        let key = usize::try_from(key).ok().filter(|key| *key < self.ends.len()).ok_or_else(wrong)?;
        let start = key.checked_sub(1).map_or(0, |before| self.ends[before]);
        let place = |end: u64| usize::try_from(end).unwrap_or(usize::MAX);
        Ok((!self.nulls[key]).then_some(&self.bytes[place(start)..place(self.ends[key])]))
    }
}

/// Byte strings one after another.
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Texts {
    /// The byte strings of an array, numbered as in its buffers.
    fn read(item: Item, array: &Array, range: Range<u64>, fetch: &Fetch<'_>) -> Result<Self> {
        let mut bytes = Vec::new();
        let ends = match item {
            Item::Strings { large } => {
                let ends = fetch.offsets(buffer(array, 0)?, range, large)?;
                let (first, last) = (ends[0], ends[ends.len() - 1]);
                fetch.get(buffer(array, 1)?, first..last, &mut bytes)?;
                ends.into_iter().map(|end| end - first).collect()
            }
            Item::Wide(width) => {
                let width = width as u64;
                let place = range.start.saturating_mul(width)..range.end.saturating_mul(width);
                fetch.get(buffer(array, 0)?, place, &mut bytes)?;
                (0..=range.end - range.start).map(|end| end * width).collect()
            }
            _ => views(array, range, fetch, &mut bytes)?,
        };
        Ok(Self { bytes, ends })
    }

    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let place = |end: u64| usize::try_from(end).unwrap_or(usize::MAX);
        self.ends.windows(2).map(move |ends| &self.bytes[place(ends[0])..place(ends[1])])
    }
}

/// Byte strings that a view each says the place of: those of up to 12 bytes stand in the view itself.
fn views(array: &Array, range: Range<u64>, fetch: &Fetch<'_>, bytes: &mut Vec<u8>) -> Result<Vec<u64>> {
    const VIEW: u64 = 16;
    let nulls = fetch.nulls(array, range.start - array.offset..range.end - array.offset)?;
    let mut all = Vec::new();
    fetch.get(
        buffer(array, 0)?,
        range.start.saturating_mul(VIEW)..range.end.saturating_mul(VIEW),
        &mut all,
    )?;
    let mut ends = vec![0];
    for (place, view) in all.as_chunks::<16>().0.iter().enumerate() {
        let word = |at: usize| u32::from_le_bytes([view[at], view[at + 1], view[at + 2], view[at + 3]]);
        let length = word(0) as usize;
        if nulls.get(place) == Some(&true) {
            // What stands there means nothing.
        } else if let Some(inline) = view[4..].get(..length) {
            bytes.extend_from_slice(inline);
        } else {
            let start = u64::from(word(12));
            fetch.get(buffer(array, 1 + word(8) as usize)?, start..start + length as u64, bytes)?;
        }
        ends.push(bytes.len() as u64);
    }
    Ok(ends)
}

fn buffer(array: &Array, number: usize) -> Result<&Bytes> {
    array.buffers.get(number).ok_or_else(|| Error::input("a buffer of it is not there"))
}

/// What is nested in an array.
fn child(array: &Array, number: usize) -> Result<&Array> {
    array.children.get(number).ok_or_else(|| Error::input("a part of it is not there"))
}

/// Where a walk from a column to its values has come to.
struct Walk<'a> {
    array: &'a Array,
    rows: usize,
    /// The values of each row, numbered in the array.
    ends: Ends,
    /// Which of them are null by what is above them; nothing, where none is.
    nulls: Vec<bool>,
    marks: Vec<Mark>,
    /// How many lists are behind.
    lists: usize,
}

impl Walk<'_> {
    fn range(&self) -> Range<u64> {
        self.ends.at(0)..self.ends.at(self.rows)
    }

    /// Adds those that are null in the present array.
    fn add_nulls(&mut self, fetch: &Fetch<'_>) -> Result<()> {
        let nulls = fetch.nulls(self.array, self.range())?;
        if self.nulls.is_empty() {
            self.nulls = nulls;
        } else {
            self.nulls.iter_mut().zip(nulls).for_each(|(null, more)| *null |= more);
        }
        Ok(())
    }

    fn mark(&mut self, row: usize, mark: Mark) {
        if self.marks.is_empty() {
            self.marks = vec![Mark::Good; self.rows];
        }
        if self.marks[row] == Mark::Good {
            self.marks[row] = mark;
        }
    }

    /// The values of a row, numbered from that of the first.
    fn values(&self, row: usize) -> Range<usize> {
        let first = self.ends.at(0);
        let place = |end: u64| usize::try_from(end - first).unwrap_or(usize::MAX);
        place(self.ends.at(row))..place(self.ends.at(row + 1))
    }

    /// Marks the rows in which something is null.
    fn mark_nulls(&mut self, mark: Mark) {
        for row in 0..if self.nulls.is_empty() { 0 } else { self.rows } {
            if self.nulls[self.values(row)].contains(&true) {
                self.mark(row, mark);
            }
        }
    }
}

/// Gathers rows of a feature at the end of `bytes`.
pub(super) fn gather(
    leaf: &Leaf,
    column: &Array,
    rows: Range<u64>,
    dictionary: Option<&Dictionary>,
    fetch: &Fetch<'_>,
    bytes: &mut Vec<u8>,
) -> Result<Lent> {
    let count = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
    let ends = Ends::Even(rows.start, 1);
    let mut walk = Walk { array: column, rows: count, ends, nulls: Vec::new(), marks: Vec::new(), lists: 0 };
    let mut counts = None;
    for (at, step) in leaf.steps.iter().enumerate() {
        walk.add_nulls(fetch)?;
        let offset = walk.array.offset;
        if let Step::Child(number) = step {
            if leaf.files && walk.lists == 0 {
                walk.mark_nulls(Mark::Missing);
            }
            let array = child(walk.array, *number)?;
            walk.ends = walk.ends.scaled(0, 1, offset);
            walk.array = array;
            continue;
        }
        walk.mark_nulls(if walk.lists == 0 { Mark::Missing } else { Mark::NullList });
        let last = at + 1 == leaf.steps.len() && leaf.lengths;
        if last {
            counts = Some(walk.ends.clone());
        }
        let ends = enter(&mut walk, *step, last, fetch, bytes)?;
        if last {
            return Ok(Lent { ends, counts, marks: walk.marks });
        }
        walk.nulls.clear();
        walk.lists += 1;
        (walk.array, walk.ends) = (child(walk.array, 0)?, ends);
        if walk.lists == leaf.counted {
            counts = Some(walk.ends.clone());
        }
    }
    walk.add_nulls(fetch)?;
    let ends = values(leaf, &mut walk, dictionary, fetch, bytes)?;
    Ok(Lent { ends, counts, marks: walk.marks })
}

/// Goes into the lists of the present array: gives where each row's items start among theirs; or, if their lengths are wanted,
/// where those start in the bytes.
fn enter(
    walk: &mut Walk<'_>,
    step: Step,
    lengths: bool,
    fetch: &Fetch<'_>,
    bytes: &mut Vec<u8>,
) -> Result<Ends> {
    let (range, offset) = (walk.range(), walk.array.offset);
    let (large, declared) = match step {
        Step::List { large, declared } => (large, declared),
        Step::Child(_) => return Ok(walk.ends.clone()),
        Step::Fixed(length) => {
            if lengths {
                let start = bytes.len() as u64;
                for _ in range.clone() {
                    check_room(bytes, 8, fetch)?;
                    bytes.extend_from_slice(&length.to_le_bytes());
                }
                return Ok(walk.ends.scaled(range.start, 8, start));
            }
            return Ok(walk.ends.scaled(0, length, offset.saturating_mul(length)));
        }
    };
    let first = range.start;
    let range = range.start.saturating_add(offset)..range.end.saturating_add(offset);
    let offsets = fetch.offsets(buffer(walk.array, 0)?, range, large)?;
    if let Some(declared) = declared {
        for row in 0..walk.rows {
            let lists = walk.values(row);
            let wrong =
                offsets[lists.start..=lists.end].windows(2).find(|ends| ends[1] - ends[0] != declared);
            if let Some(ends) = wrong {
                walk.mark(row, Mark::Length(ends[1] - ends[0], declared));
            }
        }
    }
    if lengths {
        let start = bytes.len() as u64;
        check_room(bytes, offsets.len() as u64 * 8, fetch)?;
        for ends in offsets.windows(2) {
            bytes.extend_from_slice(&(ends[1] - ends[0]).to_le_bytes());
        }
        return Ok(walk.ends.scaled(first, 8, start));
    }
    if offsets.last().is_some_and(|last| *last > child(walk.array, 0).map_or(0, |items| items.len)) {
        return Err(Error::input("its lists have more items than there are"));
    }
    Ok(walk.ends.map(walk.rows, |end| offsets[usize::try_from(end - first).unwrap_or(usize::MAX)]))
}

fn check_room(bytes: &[u8], more: u64, fetch: &Fetch<'_>) -> Result<()> {
    if bytes.len() as u64 + more > fetch.most { Err(too_large(more, fetch.most)) } else { Ok(()) }
}

/// Adds the values that a walk has come to, and tells where those of each row are.
fn values(
    leaf: &Leaf,
    walk: &mut Walk<'_>,
    dictionary: Option<&Dictionary>,
    fetch: &Fetch<'_>,
    bytes: &mut Vec<u8>,
) -> Result<Ends> {
    let (range, array) = (walk.range(), walk.array);
    let stored = range.start.saturating_add(array.offset)..range.end.saturating_add(array.offset);
    let mut start = bytes.len();
    let alone = walk.lists == 0;
    let keyed = match (leaf.keys, dictionary) {
        (Some(keys), Some(dictionary)) => Some((read_keys(array, keys, &stored, fetch)?, dictionary)),
        (Some(_), None) => return Err(Error::input("its dictionary is not there")),
        (None, _) => None,
    };
    if let Some((keys, dictionary)) = &keyed {
        let known = std::mem::take(&mut walk.nulls);
        let null = |(place, key): (usize, &u64)| match known.get(place) {
            Some(true) => Ok(true),
            _ => dictionary.value(*key).map(|value| value.is_none()),
        };
        walk.nulls = keys.iter().enumerate().map(null).collect::<Result<_>>()?;
    }
    let is_null = |walk: &Walk<'_>, place: usize| walk.nulls.get(place) == Some(&true);
    let number = match leaf.item {
        Item::Number(dtype) => Some(dtype),
        Item::Bits => Some(DType::Bool),
        _ => None,
    };
    let ends = match (leaf.item, keyed) {
        (Item::Number(dtype), Some((keys, dictionary))) => {
            for (place, key) in keys.into_iter().enumerate() {
                check_room(bytes, dtype.size() as u64, fetch)?;
                match if is_null(walk, place) { None } else { dictionary.value(key)? } {
                    Some(value) => bytes.extend_from_slice(value),
                    None => bytes.resize(bytes.len() + dtype.size(), 0),
                }
            }
            walk.ends.scaled(range.start, dtype.size() as u64, start as u64)
        }
        (Item::Number(dtype), None) => {
            let size = dtype.size() as u64;
            let place = stored.start.saturating_mul(size)..stored.end.saturating_mul(size);
            fetch.get(buffer(array, 0)?, place, bytes)?;
            walk.ends.scaled(range.start, size, start as u64)
        }
        (Item::Bits, _) => {
            check_room(bytes, range.end - range.start, fetch)?;
            bytes.extend(fetch.bits(buffer(array, 0)?, stored)?.into_iter().map(u8::from));
            walk.ends.scaled(range.start, 1, start as u64)
        }
        (Item::Strings { large }, None) if alone => {
            let offsets = fetch.offsets(buffer(array, 0)?, stored, large)?;
            let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
            fetch.get(buffer(array, 1)?, first..last, bytes)?;
            Ends::Uneven(offsets.into_iter().map(|end| end - first + start as u64).collect())
        }
        (item, keyed) => {
            let texts = match &keyed {
                Some(_) => None,
                None => Some(Texts::read(item, array, stored, fetch)?),
            };
            let of_keys = keyed.iter().flat_map(|(keys, dictionary)| {
                keys.iter().map(|key| dictionary.value(*key).ok().flatten().unwrap_or_default())
            });
            let mut ends = vec![start as u64];
            for text in texts.iter().flat_map(Texts::each).chain(of_keys) {
                check_room(bytes, text.len() as u64 + 11, fetch)?;
                if !alone {
                    push_length(bytes, text.len());
                }
                bytes.extend_from_slice(text);
                ends.push(bytes.len() as u64);
            }
            let place = |end: u64| usize::try_from(end - range.start).unwrap_or(usize::MAX);
            walk.ends.map(walk.rows, |end| ends[place(end)])
        }
    };
    match number {
        _ if alone => walk.mark_nulls(if leaf.files { Mark::PathOnly } else { Mark::Missing }),
        Some(dtype @ (DType::Float16 | DType::Float32 | DType::Float64)) => {
            let nan: &[u8] = match dtype {
                DType::Float16 => &[0x00, 0x7e],
                DType::Float32 => &[0x00, 0x00, 0xc0, 0x7f],
                _ => &[0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
            };
            for null in &walk.nulls {
                if *null {
                    bytes[start..start + nan.len()].copy_from_slice(nan);
                }
                start += nan.len();
            }
        }
        _ => walk.mark_nulls(Mark::NullValue),
    }
    Ok(ends)
}

/// The numbers by which values of a dictionary are named.
fn read_keys(array: &Array, dtype: DType, range: &Range<u64>, fetch: &Fetch<'_>) -> Result<Vec<u64>> {
    let size = dtype.size() as u64;
    let mut bytes = Vec::new();
    let place = range.start.saturating_mul(size)..range.end.saturating_mul(size);
    fetch.get(buffer(array, 0)?, place, &mut bytes)?;
    let key = |item: &[u8]| item.iter().rev().fold(0, |key, byte| key << 8 | u64::from(*byte));
    Ok(bytes.chunks_exact(dtype.size()).map(key).collect())
}
