//! Columns of numbers, the same number of them in each row, right from the pages of a Parquet file. Where a value belongs is
//! known before; the levels that say it are only compared with it, a run at a time. Wherever something is not as expected,
//! this gives up, and the crate `parquet` reads the rows, or says what is wrong with them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{ConvertedType, Encoding, LogicalType, Type};
use parquet::column::page::{Page, PageReader as _};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::super::array::too_large;
use super::super::features::{Item, Leaf, Step};
use super::contents::{Contents, bits};
use super::hybrid::{Hybrid, Run};
use super::pages::Pages;
use crate::value::DType;

/// How the values of a column lie in pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The number of the column among those of the file.
    pub column: usize,
    /// Bytes of a value in a page, and of an item of the feature, which are the first of them.
    stored: usize,
    size: usize,
    /// The level at which a value is there, and not null.
    defined: u32,
    /// How many values the lists hold, from the innermost to the row.
    lists: Vec<u64>,
}

impl Layout {
    /// How a feature lies in a chunk of its column; `None` where it has to be read otherwise.
    pub(super) fn of(leaf: &Leaf, column: usize, chunk: &ColumnChunkMetaData, rows: u64) -> Option<Self> {
        let Item::Number(dtype) = leaf.item else { return None };
        if leaf.keys.is_some() || leaf.lengths {
            return None;
        }
        let about = chunk.column_descr();
        let plain = matches!(
            about.logical_type_ref(),
            None | Some(LogicalType::Integer { .. } | LogicalType::Float16)
        ) && matches!(
            about.converted_type(),
            ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64
                | ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        );
        let stored = match (about.physical_type(), dtype) {
            (
                Type::INT32,
                DType::Int8 | DType::Int16 | DType::Int32 | DType::Uint8 | DType::Uint16 | DType::Uint32,
            )
            | (Type::FLOAT, DType::Float32) => 4,
            (Type::INT64, DType::Int64 | DType::Uint64) | (Type::DOUBLE, DType::Float64) => 8,
            (Type::FIXED_LEN_BYTE_ARRAY, DType::Float16) if about.type_length() == 2 => 2,
            _ => return None,
        };
        let mut lists = Vec::new();
        let mut values = 1_u64;
        for step in leaf.steps.iter().rev() {
            values = match step {
                Step::Child(_) => continue,
                Step::Fixed(length) | Step::List { declared: Some(length), .. } => {
                    values.checked_mul(*length)?
                }
                Step::List { declared: None, .. } => return None,
            };
            lists.push(values);
        }
        let known = |encoding| {
            matches!(
                encoding,
                Encoding::PLAIN | Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY | Encoding::RLE
            )
        };
        let all = rows.checked_mul(values)?;
        let fits = plain
            && values > 0
            && u64::try_from(chunk.num_values()) == Ok(all)
            && usize::try_from(about.max_rep_level()) == Ok(lists.len())
            && chunk.encodings().all(known);
        let defined = u32::try_from(about.max_def_level()).ok()?;
        fits.then(|| Self { column, stored, size: dtype.size(), defined, lists })
    }

    /// How many values a row has.
    fn values(&self) -> u64 {
        self.lists.last().copied().unwrap_or(1)
    }

    /// Bytes of a row.
    pub(super) fn row_bytes(&self) -> u64 {
        self.values().saturating_mul(self.size as u64)
    }

    /// Whether levels say of these values what they must: which lists each begins.
    fn begins(&self, mut levels: Hybrid, values: Range<u64>) -> Option<()> {
        let Some(inner) = self.lists.first() else { return Some(()) };
        let within = u32::try_from(self.lists.len()).ok()?;
        let (mut at, mut begin) = (values.start, values.start.next_multiple_of(*inner));
        while at < values.end {
            let run = levels.next_run(values.end - at)?;
            let end = at + run.count();
            if let Run::Repeated { value, .. } = run
                && value == within
                && end <= begin
            {
                at = end;
                continue;
            }
            for place in 0..run.count() {
                let mut expected = within;
                if at == begin {
                    expected -=
                        u32::try_from(self.lists.iter().filter(|list| at % **list == 0).count()).ok()?;
                    begin += inner;
                }
                if levels.value(&run, place) != expected {
                    return None;
                }
                at += 1;
            }
        }
        Some(())
    }

    /// Whether levels say of so many values that they are there.
    fn are_there(&self, mut levels: Hybrid, values: u64) -> Option<()> {
        let mut left = values;
        while left > 0 {
            let run = levels.next_run(left)?;
            let places = if matches!(run, Run::Repeated { .. }) { 1 } else { run.count() };
            if !(0..places).all(|place| levels.value(&run, place) == self.defined) {
                return None;
            }
            left -= run.count();
        }
        Some(())
    }

    /// The values of a page, after a look at their levels.
    fn values_of(&self, page: Page, numbers: &Range<u64>) -> Option<Values> {
        let most_repetition = u32::try_from(self.lists.len()).ok()?;
        let Contents { encoding, repetition, definition, mut values, .. } =
            Contents::of(page, most_repetition, self.defined)?;
        self.begins(Hybrid::new(repetition, bits(most_repetition)), numbers.clone())?;
        if self.defined > 0 {
            self.are_there(Hybrid::new(definition, bits(self.defined)), numbers.end - numbers.start)?;
        }
        match encoding {
            Encoding::PLAIN => {
                let bytes = usize::try_from(numbers.end - numbers.start).ok()?.checked_mul(self.stored)?;
                (values.len() >= bytes).then_some(Values::Plain(values))
            }
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY if !values.is_empty() => {
                let width = u32::from(values.split_to(1)[0]);
                (width <= 32).then(|| Values::Named(Hybrid::new(values, width)))
            }
            _ => None,
        }
    }
}

/// The values of a page.
enum Values {
    Plain(Bytes),
    /// By their places in the dictionary.
    Named(Hybrid),
}

/// The values of a chunk, in sequence.
pub(super) struct Flat<'a> {
    layout: &'a Layout,
    pages: SerializedPageReader<Pages>,
    most: u64,
    dictionary: Bytes,
    values: Values,
    /// The values of the page: those that are read, and those that are not.
    read: u64,
    end: u64,
}

impl<'a> Flat<'a> {
    pub(super) fn open(
        layout: &'a Layout,
        pages: Pages,
        chunk: &ColumnChunkMetaData,
        rows: u64,
        most: u64,
    ) -> Result<Self, ParquetError> {
        let pages = SerializedPageReader::new(Arc::new(pages), chunk, usize::try_from(rows)?, None)?;
        let values = Values::Plain(Bytes::new());
        Ok(Self { layout, pages, most, dictionary: Bytes::new(), values, read: 0, end: 0 })
    }

    /// Adds the values of rows, which come after those that were read before; says whether all is as expected.
    pub(super) fn take(&mut self, rows: Range<u64>, into: &mut Vec<u8>) -> Result<bool, ParquetError> {
        let each = self.layout.values();
        let (mut at, end) = (rows.start.saturating_mul(each), rows.end.saturating_mul(each));
        let more = (end - at).saturating_mul(self.layout.size as u64);
        if more.saturating_add(into.len() as u64) > self.most {
            return Err(too_large(more, self.most).into());
        }
        while at < end {
            if at >= self.end {
                if !self.turn(at)? {
                    return Ok(false);
                }
                continue;
            }
            let stop = end.min(self.end);
            if self.copy(at..stop, into).is_none() {
                return Ok(false);
            }
            at = stop;
        }
        Ok(true)
    }

    /// Turns to the page that holds a value.
    fn turn(&mut self, value: u64) -> Result<bool, ParquetError> {
        while let Some(about) = self.pages.peek_next_page()? {
            let (start, count) = (self.end, about.num_levels.unwrap_or_default() as u64);
            if !about.is_dict {
                self.end = start.saturating_add(count);
                if self.end <= value {
                    self.pages.skip_next_page()?;
                    continue;
                }
            }
            match self.pages.get_next_page()? {
                Some(Page::DictionaryPage { buf, .. }) => self.dictionary = buf,
                Some(page) => {
                    let values = self.layout.values_of(page, &(start..self.end));
                    let found = values.is_some();
                    self.read = start;
                    self.values = values.unwrap_or_else(|| Values::Plain(Bytes::new()));
                    return Ok(found);
                }
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Adds values of the page, none of which was read before.
    fn copy(&mut self, numbers: Range<u64>, into: &mut Vec<u8>) -> Option<()> {
        let skipped = numbers.start.checked_sub(self.read)?;
        let count = usize::try_from(numbers.end - numbers.start).ok()?;
        let (stored, size) = (self.layout.stored, self.layout.size);
        let before = into.len();
        match &mut self.values {
            Values::Plain(rest) => {
                let skipped = usize::try_from(skipped).ok()?.checked_mul(stored)?;
                let bytes = count.checked_mul(stored)?;
                let end = skipped.checked_add(bytes).filter(|end| *end <= rest.len())?;
                let values = &rest[skipped..end];
                match (stored, size) {
                    (4, 1) => values.as_chunks::<4>().0.iter().for_each(|value| into.push(value[0])),
                    (4, 2) => values.as_chunks::<4>().0.iter().for_each(|value| into.extend(&value[..2])),
                    _ => into.extend_from_slice(values),
                }
                *rest = rest.slice(end..);
            }
            Values::Named(names) => {
                names.skip(skipped)?;
                into.resize(before + count * size, 0);
                let out = &mut into[before..];
                match (stored, size) {
                    (4, 1) => named::<4, 1>(names, &self.dictionary, out)?,
                    (4, 2) => named::<4, 2>(names, &self.dictionary, out)?,
                    (4, _) => named::<4, 4>(names, &self.dictionary, out)?,
                    (8, _) => named::<8, 8>(names, &self.dictionary, out)?,
                    _ => named::<2, 2>(names, &self.dictionary, out)?,
                }
            }
        }
        self.read = numbers.end;
        Some(())
    }
}

/// Fills in what a dictionary has for names.
fn named<const STORED: usize, const SIZE: usize>(
    names: &mut Hybrid,
    dictionary: &Bytes,
    out: &mut [u8],
) -> Option<()> {
    let dictionary = dictionary.as_chunks::<STORED>().0;
    let mut rest = out.as_chunks_mut::<SIZE>().0;
    while !rest.is_empty() {
        let run = names.next_run(rest.len() as u64)?;
        let now;
        (now, rest) = rest.split_at_mut(usize::try_from(run.count()).ok()?);
        match run {
            Run::Repeated { value, .. } => {
                now.fill(*dictionary.get(usize::try_from(value).ok()?)?.first_chunk::<SIZE>()?);
            }
            Run::Packed { .. } => {
                for (place, out) in (0..).zip(now) {
                    *out = *dictionary.get(names.value(&run, place) as usize)?.first_chunk::<SIZE>()?;
                }
            }
        }
    }
    Some(())
}
