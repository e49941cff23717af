//! Parquet files, by the crate `parquet`: columns of numbers from its pages, and all others as batches of a row group.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::Array as _;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection, RowSelector,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData};
use parquet::file::statistics::Statistics;
use parquet::schema::types::TypePtr;

use super::array::{Array, Fetch};
use super::features::{Features, Step};
use super::table::{Rows, Table, WINDOW_MOST, Window, window_rows};
use super::window::{Lent, gather};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::guarded;
use crate::source::Part;
use chunks::{Chunks, by_lengths};
use contents::width;
use flat::{Flat, Layout};
use pages::{Pages, unread};

mod chunks;
mod contents;
mod deltas;
mod flat;
mod hybrid;
mod meter;
mod pages;
mod thrift;

/// Chunks of a column with no more bytes than this are not looked through for their largest page.
const SMALL_CHUNK: u64 = 256 << 10;

/// Bytes that are counted for a byte string that is told by the one before.
const FRONT_CODED: u64 = 4 << 10;

/// A Parquet file.
pub(super) struct Parquet {
    path: PathBuf,
    bytes: u64,
    most: u64,
    metadata: ArrowReaderMetadata,
    groups: Vec<u64>,
    features: Features,
    /// The columns that features are of, in order.
    columns: Vec<usize>,
    nullable: Vec<bool>,
    /// The type of each column as it is to be read.
    hint: Fields,
    /// How many values the crate decodes for a null, of each column: a list of a fixed length is filled up.
    of_nulls: Vec<u64>,
    /// Bytes that the columns of each group take once they are decoded, about.
    decoded: Vec<u64>,
    /// How the values of each feature lie in pages, where that is known before.
    layouts: Vec<Option<Layout>>,
    held: u64,
}

/// What the crate says, or that it gave up: it does at some files that are damaged.
fn asked<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
    guarded(call).map_or_else(|| Err(Error::input("it is damaged")), |done| done.map_err(error_of))
}

fn error_of(error: ParquetError) -> Error {
    match error {
        // What a reader of pages has refused comes back as it was.
        ParquetError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => match other.downcast_ref() {
                Some(read) => unread(read),
                None => Error::input(other.to_string()),
            },
        },
        other => Error::input(format!("it cannot be read: {other}")),
    }
}

/// The type of a column as it is to be read: dictionaries as what they name.
fn plain(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Dictionary(_, values) => (**values).clone(),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(plain(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(plain(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(plain(entries), *sorted),
        other => other.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

impl Parquet {
    pub(super) fn open(part: &Part, most: u64, features: impl FnOnce(&Schema) -> Features) -> Result<Self> {
        Self::read(part, most, features).map_err(|e| e.in_file(&part.path))
    }

    fn read(part: &Part, most: u64, features: impl FnOnce(&Schema) -> Features) -> Result<Self> {
        let file = File::open(&part.path).map_err(|e| Error::io("open", &part.path, e))?;
        let pages = Pages::new(Arc::new(file), part.bytes, most);
        let options = || ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
        asked(|| pages.check_footer())?;
        let mut metadata = asked(|| ArrowReaderMetadata::load(&pages, options()))?;
        let fields: Fields = metadata.schema().fields().iter().map(plain).collect();
        if fields != *metadata.schema().fields() {
            let schema = Schema::new_with_metadata(fields, metadata.schema().metadata().clone());
            let all = Arc::clone(metadata.metadata());
            metadata = asked(|| ArrowReaderMetadata::try_new(all, options().with_schema(Arc::new(schema))))?;
        }
        let mut groups = vec![0_u64];
        for group in metadata.metadata().row_groups() {
            let rows = u64::try_from(group.num_rows())
                .map_err(|_| Error::input("a row group has less than no rows"))?;
            let all = groups.last().and_then(|before| before.checked_add(rows));
            groups.push(all.ok_or_else(|| Error::input("it has more rows than can be counted"))?);
        }
        let mut features = features(metadata.schema());
        let roots = roots_of(&metadata);
        for leaf in &mut features.leaves {
            leaf.column = *roots.get(leaf.column).ok_or_else(|| Error::input("its schema is damaged"))?;
        }
        let mut columns: Vec<usize> = features.leaves.iter().map(|leaf| leaf.column).collect();
        columns.sort_unstable();
        columns.dedup();
        let nullable = nullable_of(metadata.metadata());
        let hint = hint_of(&metadata, &roots);
        let mut of_nulls = Vec::new();
        metadata
            .schema()
            .fields()
            .iter()
            .for_each(|field| values_of_null(field.data_type(), 1, &mut of_nulls));
        if of_nulls.len() != metadata.parquet_schema().num_columns() {
            return Err(Error::input("its schema for Arrow is not that of its columns"));
        }
        let path = part.path.clone();
        let mut parquet = Self {
            path,
            bytes: part.bytes,
            most,
            metadata,
            groups,
            features,
            columns,
            nullable,
            hint,
            of_nulls,
            decoded: Vec::new(),
            layouts: Vec::new(),
            held: 0,
        };
        parquet.check_counts()?;
        parquet.layouts = (0..parquet.features.leaves.len()).map(|leaf| parquet.layout(leaf)).collect();
        parquet.decoded = (0..parquet.groups.len() - 1)
            .map(|group| parquet.decoded_by(group, &pages))
            .collect::<Result<_>>()?;
        parquet.held = parquet.held_by(&pages)?;
        Ok(parquet)
    }

    /// The chunks of a group that are wanted, and which columns they are of.
    fn chunks(&self, group: usize) -> impl Iterator<Item = (usize, &ColumnChunkMetaData)> {
        let metadata = self.metadata.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let wanted =
            move |leaf: &usize| self.columns.binary_search(&schema.get_column_root_idx(*leaf)).is_ok();
        let chunks = metadata.row_group(group).columns();
        (0..chunks.len().min(schema.num_columns())).filter(wanted).map(move |leaf| (leaf, &chunks[leaf]))
    }

    /// Looks at how many values chunks say that they have: a row has one, or at least that in which it has none.
    fn check_counts(&self) -> Result<()> {
        for group in 0..self.groups.len() - 1 {
            let rows = self.groups[group + 1] - self.groups[group];
            for (_, chunk) in self.chunks(group) {
                let values = u64::try_from(chunk.num_values()).unwrap_or_default();
                if values < rows || values > rows && chunk.column_descr().max_rep_level() == 0 {
                    let name = chunk.column_path().string();
                    let message =
                        format!("row group {group} has {rows} rows, and {values} values of `{name}`");
                    return Err(Error::input(message));
                }
            }
        }
        Ok(())
    }

    /// How the values of a feature lie in pages, if they do so in all groups.
    fn layout(&self, leaf: usize) -> Option<Layout> {
        let leaf = &self.features.leaves[leaf];
        let metadata = self.metadata.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let mut of_column =
            (0..schema.num_columns()).filter(|at| schema.get_column_root_idx(*at) == leaf.column);
        let (column, None) = (of_column.next()?, of_column.next()) else { return None };
        if self.is_nullable(leaf.column) {
            return None;
        }
        let mut layouts = metadata.row_groups().iter().zip(self.groups.windows(2)).map(|(group, rows)| {
            let chunk = group.columns().get(column)?;
            Layout::of(leaf, column, chunk, rows[1] - rows[0])
        });
        let first = layouts.next()?;
        layouts.all(|layout| layout == first).then_some(first)?
    }

    /// Bytes that reading takes: the largest page of each column, compressed and not, with its dictionary; and a window,
    /// as it is decoded and as it is lent.
    fn held_by(&self, pages: &Pages) -> Result<u64> {
        let mut most = 0;
        for group in 0..self.groups.len() - 1 {
            let mut held = 0_u64;
            for (_, chunk) in self.chunks(group) {
                if let codec @ (Compression::BROTLI(_) | Compression::LZO) = chunk.compression() {
                    return Err(Error::input(format!("it is compressed by {codec}, which cannot be read"))
                        .hint(
                            "write it anew: `pyarrow.parquet.write_table(table, path, compression=\"zstd\")`",
                        ));
                }
                let whole = u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX);
                let small = whole <= SMALL_CHUNK && !chunk.encodings().any(by_lengths);
                let page = if small { whole } else { pages.largest(chunk)? };
                held = held.saturating_add(page);
            }
            most = most.max(held);
        }
        Ok(most.saturating_add(2 * WINDOW_MOST).saturating_add(self.metadata.metadata().memory_size() as u64))
    }

    /// Bytes that the columns of a group take once they are decoded, about. Encoded, they may take next to nothing.
    fn decoded_by(&self, group: usize, pages: &Pages) -> Result<u64> {
        let rows = self.groups[group + 1] - self.groups[group];
        let mut all = 0_u64;
        for (column, chunk) in self.chunks(group) {
            let size = |number: i64| u64::try_from(number).unwrap_or(0);
            let values = size(chunk.num_values());
            // Where a value ends is kept beside byte strings, and whether it is there.
            let each = match width(chunk) {
                Some(width) => width,
                None => 8 + pages.named_bytes(chunk)?.max(front_coded(chunk)),
            };
            let decoded = match chunk.unencoded_byte_array_data_bytes() {
                Some(bytes) => size(bytes).saturating_add(values.saturating_mul(8)),
                None => values.saturating_mul(each),
            };
            // At the most, lists of a fixed length are all null.
            let has_nulls = self.of_nulls[column] > 1
                && chunk.statistics().and_then(Statistics::null_count_opt) != Some(0);
            let nulls = if has_nulls { rows.saturating_mul(self.of_nulls[column]) } else { 0 };
            let filled = nulls.saturating_mul(each);
            all = all.saturating_add(decoded.max(filled).max(size(chunk.uncompressed_size())));
        }
        Ok(all)
    }

    /// Rows of a window.
    fn window_rows(&self, group: usize) -> u64 {
        window_rows(self.decoded[group], self.groups[group + 1] - self.groups[group])
    }
}

/// Which of the file's columns each field is: of a group without columns, there is none.
fn roots_of(metadata: &ArrowReaderMetadata) -> Vec<usize> {
    let fields = metadata.schema().fields();
    let roots = metadata.parquet_schema().root_schema().get_fields();
    let mut found = Vec::new();
    for (number, root) in roots.iter().enumerate() {
        let is_empty = root.is_group() && root.get_fields().is_empty();
        if !is_empty && fields.get(found.len()).is_some_and(|field| field.name() == root.name()) {
            found.push(number);
        }
    }
    found
}

/// What the crate is to make of each column: what it said itself, and nothing of a group without columns.
fn hint_of(metadata: &ArrowReaderMetadata, roots: &[usize]) -> Fields {
    let nothing = |name: &str| Arc::new(Field::new(name, DataType::Struct(Fields::empty()), true));
    let all = metadata.parquet_schema().root_schema().get_fields().iter().enumerate();
    let field = |(number, root): (usize, &TypePtr)| match roots.binary_search(&number) {
        Ok(at) => Arc::clone(&metadata.schema().fields()[at]),
        Err(_) => nothing(root.name()),
    };
    all.map(field).collect()
}

/// The product of the lengths that lists have around each of the columns in a field.
fn values_of_null(data_type: &DataType, around: u64, found: &mut Vec<u64>) {
    match data_type {
        DataType::Struct(fields) => {
            fields.iter().for_each(|field| values_of_null(field.data_type(), around, found));
        }
        DataType::FixedSizeList(item, length) => {
            let length = u64::try_from(*length).unwrap_or_default().max(1);
            values_of_null(item.data_type(), around.saturating_mul(length), found);
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => values_of_null(item.data_type(), around, found),
        _ => found.push(around),
    }
}

/// How long a byte string may be, about, where each is told by what it has in common with the one before: then many bytes take
/// few.
fn front_coded(chunk: &ColumnChunkMetaData) -> u64 {
    if chunk.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY) { FRONT_CODED } else { 0 }
}

/// Which columns may have nulls, by what is counted of them.
fn nullable_of(metadata: &ParquetMetaData) -> Vec<bool> {
    let schema = metadata.file_metadata().schema_descr();
    let mut nullable = vec![false; schema.root_schema().get_fields().len()];
    for leaf in 0..schema.num_columns() {
        let counted =
            |chunk: &ColumnChunkMetaData| chunk.statistics().and_then(Statistics::null_count_opt) == Some(0);
        let mut chunks = metadata.row_groups().iter().map(|group| group.columns().get(leaf));
        if schema.column(leaf).max_def_level() > 0 && !chunks.all(|chunk| chunk.is_some_and(counted)) {
            nullable.get_mut(schema.get_column_root_idx(leaf)).into_iter().for_each(|one| *one = true);
        }
    }
    nullable
}

impl Table for Parquet {
    fn features(&self) -> &Features {
        &self.features
    }

    fn groups(&self) -> &[u64] {
        &self.groups
    }

    fn restarts(&self) -> bool {
        // Pages of lists must be decoded to know how many rows they have.
        let lists = |step: &Step| !matches!(step, Step::Child(_));
        let mut leaves = self.features.leaves.iter().zip(&self.layouts);
        leaves.any(|(leaf, layout)| layout.is_none() && leaf.steps.iter().any(lists))
    }

    fn is_nullable(&self, column: usize) -> bool {
        self.nullable.get(column).copied().unwrap_or(true)
    }

    fn held(&self) -> u64 {
        self.held
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        Ok(Box::new(Reader { parquet: self, open: None, narrow: None }))
    }
}

struct Reader<'a> {
    parquet: &'a Parquet,
    open: Option<Group<'a>>,
    /// A group of which fewer rows are read at a time, and how many, since some take much more than most.
    narrow: Option<(usize, u64)>,
}

/// A group that is read.
struct Group<'a> {
    number: usize,
    /// The row that comes next, and how many are read at a time.
    row: u64,
    step: u64,
    /// The features that are read from pages.
    flat: Vec<Option<Flat<'a>>>,
    /// The other columns, and their batches, if there are any.
    columns: Vec<usize>,
    batches: Option<ParquetRecordBatchReader>,
    pages: Arc<Pages>,
}

impl<'a> Group<'a> {
    /// Begins to read a group from a row on, so many rows at a time.
    fn open(parquet: &'a Parquet, number: usize, row: u64, step: u64, from_pages: bool) -> Result<Self> {
        let file = File::open(&parquet.path).map_err(|e| Error::io("open", &parquet.path, e))?;
        let file = Arc::new(file);
        let pages = || Pages::new(Arc::clone(&file), parquet.bytes, parquet.most);
        let shared = Arc::new(pages());
        let metadata = &parquet.metadata;
        let group = metadata.metadata().row_group(number);
        let all = parquet.groups[number + 1] - parquet.groups[number];
        let open = |layout: &'a Option<Layout>| {
            let layout = layout.as_ref().filter(|_| from_pages);
            layout
                .map(|layout| Flat::open(layout, pages(), group.column(layout.column), all, parquet.most))
                .transpose()
        };
        asked(|| {
            let flat = parquet.layouts.iter().map(open).collect::<Result<Vec<_>, _>>()?;
            let others = parquet.features.leaves.iter().zip(&flat).filter(|(_, flat)| flat.is_none());
            let mut columns: Vec<usize> = others.map(|(leaf, _)| leaf.column).collect();
            columns.sort_unstable();
            columns.dedup();
            let mut batches = None;
            if !columns.is_empty() {
                let mask = ProjectionMask::roots(metadata.parquet_schema(), columns.iter().copied());
                let schema = metadata.parquet_schema();
                let levels = parquet_to_arrow_field_levels(schema, mask, Some(&parquet.hint))?;
                let (before, after) = (row - parquet.groups[number], parquet.groups[number + 1] - row);
                let selection = RowSelection::from(vec![
                    RowSelector::skip(usize::try_from(before)?),
                    RowSelector::select(usize::try_from(after)?),
                ]);
                batches = Some(ParquetRecordBatchReader::try_new_with_row_groups(
                    &levels,
                    &Chunks::new(metadata.metadata(), number, &parquet.of_nulls, Arc::clone(&shared), step),
                    usize::try_from(step.min(all))?,
                    (before > 0).then_some(selection),
                )?);
            }
            Ok(Self { number, row, step, flat, columns, batches, pages: Arc::clone(&shared) })
        })
        .map_err(|error| shared.why(error))
    }

    /// The values of the next rows of the columns that are not read from pages.
    fn batch(&mut self, rows: u64) -> Result<Vec<Array>> {
        let Some(batches) = &mut self.batches else { return Ok(Vec::new()) };
        let told = |error: ArrowError| match error {
            ArrowError::ParquetError(told) => {
                ParquetError::General(told.trim_start_matches("Parquet error: ").into())
            }
            other => ParquetError::ArrowError(other.to_string()),
        };
        let batch = asked(|| batches.next().transpose().map_err(told));
        let batch = batch.map_err(|error| self.pages.why(error))?;
        let batch = batch.filter(|batch| batch.num_rows() as u64 == rows);
        let batch = batch.ok_or_else(|| Error::input("it has fewer rows than it says"))?;
        Ok(batch.columns().iter().map(|column| Array::from(&column.to_data())).collect())
    }

    /// Fills a window with rows; says whether pages had what was expected.
    fn fill(&mut self, parquet: &Parquet, rows: Range<u64>, window: &mut Window) -> Result<bool> {
        window.clear();
        let count = rows.end - rows.start;
        let columns = self.batch(count)?;
        let fetch = Fetch { file: None, most: parquet.most };
        let first = parquet.groups[self.number];
        for ((leaf, layout), flat) in parquet.features.leaves.iter().zip(&parquet.layouts).zip(&mut self.flat)
        {
            let lent = if let (Some(flat), Some(layout)) = (flat, layout) {
                let start = window.bytes.len() as u64;
                if !asked(|| flat.take(rows.start - first..rows.end - first, &mut window.bytes))? {
                    return Ok(false);
                }
                Lent::even(start, layout.row_bytes())
            } else {
                let place = self.columns.binary_search(&leaf.column).unwrap_or_default();
                gather(leaf, &columns[place], 0..count, None, &fetch, &mut window.bytes)
                    .map_err(|e| e.in_feature(&leaf.name))?
            };
            window.leaves.push(lent);
        }
        self.row = rows.end;
        Ok(true)
    }
}

impl Rows for Reader<'_> {
    fn step(&self, group: usize) -> u64 {
        self.parquet.window_rows(group)
    }

    fn fill(&mut self, group: usize, row: u64, window: &mut Window) -> Result<Range<u64>> {
        loop {
            let narrow = self.narrow.filter(|narrow| narrow.0 == group);
            let step = narrow.map_or(self.step(group), |narrow| narrow.1);
            match self.fill_by(step, group, row, window) {
                Err(error) if error.kind() == ErrorKind::Resources && step > 1 => {
                    self.narrow = Some((group, step / 2));
                }
                done => return done,
            }
        }
    }
}

impl Reader<'_> {
    /// Fills a window with so many rows.
    fn fill_by(&mut self, step: u64, group: usize, row: u64, window: &mut Window) -> Result<Range<u64>> {
        let parquet = self.parquet;
        // Windows stand in the same places wherever reading begins, so that damage is met in the same place.
        let (first, end) = (parquet.groups[group], parquet.groups[group + 1]);
        let start = first + (row - first) / step * step;
        let rows = start..(start + step).min(end);
        let goes_on = |open: &Group<'_>| (open.number, open.row, open.step) == (group, start, step);
        let mut open = match self.open.take().filter(goes_on) {
            Some(open) => open,
            None => Group::open(parquet, group, start, step, true)?,
        };
        if !open.fill(parquet, rows.clone(), window)? {
            open = Group::open(parquet, group, start, step, false)?;
            open.fill(parquet, rows.clone(), window)?;
        }
        self.open = Some(open);
        Ok(rows)
    }
}

impl From<Error> for ParquetError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Io | ErrorKind::Resources | ErrorKind::Input => Self::External(Box::new(error)),
            _ => Self::General(error.to_string()),
        }
    }
}
