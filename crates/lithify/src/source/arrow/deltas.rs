//! The pages of a row group for the crate's reader, of which those of byte strings whose lengths are told by differences are looked
//! at before: it makes room for as many lengths as they claim, whatever that is.

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::contents::Contents;
use super::pages::Pages;
use super::thrift::Compact;

/// Bytes that the crate takes for the length of a byte string, in two parts where it begins as the one before.
pub(super) const LENGTH: u64 = 8;

/// Whether byte strings are told by their lengths, and these by differences.
pub(super) fn by_lengths(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)
}

/// A row group, as the crate asks for it.
pub(super) struct Chunks<'a> {
    metadata: &'a ParquetMetaData,
    group: &'a RowGroupMetaData,
    pages: Arc<Pages>,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(metadata: &'a ParquetMetaData, group: usize, pages: Pages) -> Self {
        Self { metadata, group: metadata.row_group(group), pages: Arc::new(pages) }
    }
}

impl RowGroups for Chunks<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.group.num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let chunk = Chunk::open(Arc::clone(&self.pages), self.group.column(column), self.num_rows())?;
        Ok(Box::new(One(Some(Box::new(chunk)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

/// The chunk of a column in the only group that is read.
struct One(Option<Box<dyn PageReader>>);

impl Iterator for One {
    type Item = Result<Box<dyn PageReader>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for One {}

/// The pages of a column in a group.
struct Chunk {
    pages: SerializedPageReader<Pages>,
    /// The highest levels of its values.
    levels: (u32, u32),
}

impl Chunk {
    fn open(pages: Arc<Pages>, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Self, ParquetError> {
        let column = chunk.column_descr();
        let levels = (column.max_rep_level().try_into()?, column.max_def_level().try_into()?);
        Ok(Self { pages: SerializedPageReader::new(pages, chunk, rows, None)?, levels })
    }
}

impl PageReader for Chunk {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = page.as_ref().filter(|page| by_lengths(page.encoding())) {
            let contents = Contents::of(page.clone(), self.levels.0, self.levels.1);
            contents.and_then(|contents| lengths_are_there(&contents)).ok_or_else(|| {
                ParquetError::General("a page has not the lengths of its byte strings".into())
            })?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>, ParquetError> {
        self.pages.take_deferred_dictionary()
    }

    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for Chunk {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Whether a page has the lengths of no more byte strings than it holds, in as many parts as its encoding has.
fn lengths_are_there(contents: &Contents) -> Option<()> {
    let first = Differences::of(&contents.values)?;
    if first.count > u64::from(contents.count) {
        return None;
    }
    if contents.encoding == Encoding::DELTA_BYTE_ARRAY {
        let second = Differences::of(&contents.values.slice(first.bytes..))?;
        return (second.count == first.count).then_some(());
    }
    Some(())
}

/// Numbers by their differences (`DELTA_BINARY_PACKED` of <https://parquet.apache.org/docs/file-format/data-pages/encodings/>).
struct Differences {
    count: u64,
    bytes: usize,
}

impl Differences {
    /// How many numbers the head of some bytes claims, if they are there; nothing is made room for.
    fn of(all: &Bytes) -> Option<Self> {
        let mut bytes = Compact { rest: all };
        let (block, parts) = (bytes.varint()?, usize::try_from(bytes.varint()?).ok()?);
        let (count, _first) = (bytes.varint()?, bytes.number()?);
        let numbers = block.checked_div(parts as u64).filter(|numbers| *numbers > 0)?;
        let mut left = count.saturating_sub(1);
        while left > 0 {
            let _least = bytes.number()?;
            let (widths, rest) = bytes.rest.split_at_checked(parts)?;
            bytes.rest = rest;
            // What stands for parts after the last number means nothing.
            for width in widths {
                if left == 0 {
                    break;
                }
                let size = numbers.checked_mul(u64::from(*width))? / 8;
                bytes.rest = bytes.rest.get(usize::try_from(size).ok()?..)?;
                left = left.saturating_sub(numbers);
            }
        }
        Some(Self { count, bytes: all.len() - bytes.rest.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 128 numbers in four parts; each of 32 bits, or none.
    fn differences(count: u64, blocks: &[[u8; 4]]) -> Bytes {
        let varint = |mut value: u64| {
            let mut bytes = Vec::new();
            while value >= 0x80 {
                bytes.push((value & 0x7f) as u8 | 0x80);
                value >>= 7;
            }
            bytes.push((value & 0x7f) as u8);
            bytes
        };
        let mut bytes = [varint(128), varint(4), varint(count), varint(7)].concat();
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
