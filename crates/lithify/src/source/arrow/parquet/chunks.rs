//! The pages of a row group as the crate's reader gets them, each of which is looked at before: the crate makes room for whatever
//! they claim to hold, and does not come to an end where levels are not there.

use std::sync::Arc;

use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::contents::{Contents, bits};
use super::hybrid::Hybrid;
use super::meter::{Lengths, Meter};
use super::pages::Pages;

/// Whether byte strings are told by their lengths, and these by differences.
pub(super) fn by_lengths(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)
}

/// A row group.
pub(super) struct Chunks<'a> {
    metadata: &'a ParquetMetaData,
    group: &'a RowGroupMetaData,
    pages: Arc<Pages>,
    /// Values that stand for a null, of each column.
    of_nulls: &'a [u64],
    /// Rows that are read at once.
    step: u64,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(
        metadata: &'a ParquetMetaData,
        group: usize,
        of_nulls: &'a [u64],
        pages: Arc<Pages>,
        step: u64,
    ) -> Self {
        Self { metadata, group: metadata.row_group(group), of_nulls, pages, step }
    }
}

impl RowGroups for Chunks<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.group.num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let chunk = self.group.column(column);
        let meter = Meter::new(chunk, self.of_nulls[column], self.step, self.pages.most);
        let about = chunk.column_descr();
        let chunk = Chunk {
            file: Arc::clone(&self.pages),
            pages: SerializedPageReader::new(Arc::clone(&self.pages), chunk, self.num_rows(), None)?,
            levels: (about.max_rep_level().try_into()?, about.max_def_level().try_into()?),
            left: chunk.num_values().try_into()?,
            meter,
        };
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
    file: Arc<Pages>,
    pages: SerializedPageReader<Pages>,
    /// The highest levels of its values.
    levels: (u32, u32),
    /// Values that are still to come.
    left: u64,
    meter: Meter,
}

impl Chunk {
    /// Looks at a page before the crate does.
    fn check(&mut self, page: &Page) -> Result<(), ParquetError> {
        let damaged = |what: &str| ParquetError::General(format!("a page has not the {what} that it claims"));
        if let Page::DictionaryPage { buf, num_values, .. } = page {
            self.meter.dictionary(buf, *num_values).ok_or_else(|| damaged("byte strings"))?;
            return Ok(());
        }
        self.count(page.num_values().into())?;
        let Some(contents) = Contents::of(page.clone(), self.levels.0, self.levels.1) else {
            // Levels as they were before the year 2014 take a given number of bytes.
            if !older(page) || by_lengths(page.encoding()) {
                return Err(damaged("levels"));
            }
            return self.file.check_size(self.meter.worst(page.num_values(), page.buffer().len()));
        };
        levels_are_there(&contents, self.levels).ok_or_else(|| damaged("levels"))?;
        let lengths = match by_lengths(contents.encoding) {
            true => Some(Lengths::of(&contents).ok_or_else(|| damaged("lengths of byte strings"))?),
            false => None,
        };
        let bytes = self.meter.page(&contents, lengths, self.levels).ok_or_else(|| damaged("values"))?;
        self.file.check_size(bytes)
    }

    /// Counts values that come, all of which the chunk must have.
    fn count(&mut self, values: u64) -> Result<(), ParquetError> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or_else(|| ParquetError::General("it has more values than it claims".into()))?;
        Ok(())
    }
}

impl PageReader for Chunk {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.pages.get_next_page()?;
        page.as_ref().map_or(Ok(()), |page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        if let Some(about) = self.pages.peek_next_page()?.filter(|about| !about.is_dict) {
            let values = about.num_levels.unwrap_or_default();
            self.count(values as u64)?;
            self.meter.skip(about.num_rows.unwrap_or(values) as u64);
        }
        self.pages.skip_next_page()
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

/// Whether levels of a page are packed as bits and nothing else.
#[expect(deprecated, reason = "they are in files of that time")]
fn older(page: &Page) -> bool {
    let Page::DataPage { def_level_encoding, rep_level_encoding, .. } = page else { return false };
    [def_level_encoding, rep_level_encoding].contains(&&Encoding::BIT_PACKED)
}

/// Whether a page has levels for as many values as it claims.
fn levels_are_there(contents: &Contents, (most_repetition, most_definition): (u32, u32)) -> Option<()> {
    for (levels, most) in [(&contents.repetition, most_repetition), (&contents.definition, most_definition)] {
        if most > 0 {
            Hybrid::new(levels.clone(), bits(most)).skip(contents.count.into())?;
        }
    }
    Some(())
}
