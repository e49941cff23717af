//! What stands in an output: some of its elements, evenly spaced, and how far its values range.

mod rows;

use std::path::{Path, PathBuf};

use crate::error::Result;
pub use crate::plan::scalar::Number;
use crate::plan::scalar::{Item, with_item};
use crate::plan::{Fit, Role};
use crate::progress::Progress;
use crate::value::DType;
use crate::write::manifest::{ArrayRecord, Manifest, directory_of};
use rows::Rows;
pub use rows::Values;

/// Bytes of an array of which all are read; of a larger one as many, in pieces that are evenly spaced.
const WHOLE_BYTES: u64 = 256 << 20;
const PIECES: u64 = 64;
/// Bytes of an element that is shown, at most: of a longer one of no fixed shape, its start.
const SHOWN_BYTES: u64 = 16 << 20;

/// What was seen of an output.
#[derive(Debug)]
pub struct Look {
    /// What is written of it.
    pub manifest: Manifest,
    /// Of each array, how far its values range.
    pub ranges: Vec<Range>,
    /// Of each feature, some elements.
    pub features: Vec<Samples>,
}

/// How far the values of an array range, as far as they were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Range {
    /// Rows that were read.
    pub rows: u64,
    /// Values that were read; of complex numbers, their parts.
    pub values: u64,
    /// The least of those that are numbers; none of strings.
    pub least: Option<Number>,
    /// The greatest.
    pub greatest: Option<Number>,
    /// How many are no numbers.
    pub nan: u64,
    /// How many are infinite.
    pub infinite: u64,
}

/// Some elements of a feature.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Its name.
    pub feature: String,
    /// How it became arrays.
    pub fit: Fit,
    /// The elements, by number.
    pub elements: Vec<Sample>,
    /// The share of its rows that is padding, where true lengths stand beside them: of the rows that were read.
    pub padding: Option<f64>,
}

/// An element of a feature.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its number.
    pub element: u64,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its values, or the first of them.
    pub values: Values,
}

/// Looks at an output: at so many elements of each feature.
///
/// # Errors
/// It is none, or cannot be read.
pub fn look(output: &Path, elements: u64, progress: &dyn Progress) -> Result<Look> {
    let manifest = Manifest::read(output)?;
    let directory = directory_of(output);
    let read = |array: &ArrayRecord| bytes_of(array).min(WHOLE_BYTES);
    progress.begin("look", manifest.arrays.iter().map(read).sum());
    let arrays: Vec<Array<'_>> =
        manifest.arrays.iter().map(|record| Array { record, path: directory.join(&record.file) }).collect();
    let ranges = arrays.iter().map(|array| {
        let range = array.range()?;
        progress.advance(read(array.record));
        Ok(range)
    });
    let ranges = ranges.collect::<Result<Vec<_>>>()?;
    let mut names: Vec<&str> = Vec::new();
    for array in &manifest.arrays {
        if !names.contains(&&*array.feature) {
            names.push(&array.feature);
        }
    }
    let features = names.into_iter().map(|name| {
        let arrays: Vec<_> = arrays.iter().filter(|array| array.record.feature == name).collect();
        samples(name, &arrays, &manifest, elements)
    });
    let features = features.collect::<Result<Vec<_>>>()?;
    progress.end();
    Ok(Look { manifest, ranges, features })
}

/// An array, and where it is.
struct Array<'m> {
    record: &'m ArrayRecord,
    path: PathBuf,
}

fn bytes_of(array: &ArrayRecord) -> u64 {
    array.shape.iter().fold(array.dtype.size() as u64, |bytes, size| bytes.saturating_mul(*size))
}

impl Array<'_> {
    fn rows(&self) -> u64 {
        self.record.shape.first().copied().unwrap_or(0)
    }

    fn row_bytes(&self) -> u64 {
        bytes_of(self.record) / self.rows().max(1)
    }

    fn open(&self) -> Result<Rows> {
        Rows::open(&self.path, self.record.dtype)
    }

    /// What is read of its rows: all of them, or pieces.
    fn pieces(&self) -> Vec<std::ops::Range<u64>> {
        let (rows, most) = (self.rows(), WHOLE_BYTES / self.row_bytes().max(1));
        let each = if rows <= most.max(1) { rows } else { (most / PIECES).max(1) };
        evenly(rows - each + 1, (most / each.max(1)).clamp(1, PIECES))
            .map(|start| start..start + each)
            .collect()
    }

    fn range(&self) -> Result<Range> {
        let mut range = Range::default();
        let mut rows = self.open()?;
        for piece in self.pieces() {
            range.rows += piece.end - piece.start;
            rows.each_run(piece, &mut |bytes| match self.record.dtype {
                DType::Bytes(_) => range.values += 1,
                DType::Complex64 => range.fold::<f32>(bytes),
                DType::Complex128 => range.fold::<f64>(bytes),
                dtype => with_item!(dtype, T => range.fold::<T>(bytes), else => {}),
            })?;
        }
        Ok(range)
    }
}

impl Range {
    fn fold<T: Item>(&mut self, bytes: &[u8]) {
        self.values += (bytes.len() / T::SIZE) as u64;
        // Whole numbers and others never stand in one array.
        let (mut least, mut greatest) = (i128::MAX, i128::MIN);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for item in bytes.chunks_exact(T::SIZE) {
            match T::read(item).number() {
                Number::Int(number) => (least, greatest) = (least.min(number), greatest.max(number)),
                Number::Float(number) if number.is_nan() => self.nan += 1,
                Number::Float(number) if number.is_infinite() => self.infinite += 1,
                Number::Float(number) => (low, high) = (low.min(number), high.max(number)),
            }
        }
        let mut take = |number: Number| {
            self.least = Some(self.least.filter(|old| !is_less(number, *old)).unwrap_or(number));
            self.greatest = Some(self.greatest.filter(|old| !is_less(*old, number)).unwrap_or(number));
        };
        if least <= greatest {
            take(Number::Int(least));
            take(Number::Int(greatest));
        }
        if low <= high {
            take(Number::Float(low));
            take(Number::Float(high));
        }
    }
}

/// The numbers that items are, as [`Values::Numbers`] has them; of complex ones the parts.
#[must_use]
pub fn numbers(dtype: DType, bytes: &[u8]) -> Box<dyn Iterator<Item = Number> + '_> {
    fn read<T: Item + 'static>(bytes: &[u8]) -> Box<dyn Iterator<Item = Number> + '_> {
        Box::new(bytes.chunks_exact(T::SIZE).map(|item| T::read(item).number()))
    }
    match dtype {
        DType::Complex64 => read::<f32>(bytes),
        DType::Complex128 => read::<f64>(bytes),
        dtype => with_item!(dtype, T => read::<T>(bytes), else => Box::new(std::iter::empty())),
    }
}

fn is_less(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a < b,
        (Number::Float(a), Number::Float(b)) => a < b,
        _ => false,
    }
}

/// At most so many of `0..all`, evenly spaced, the first and the last among them.
fn evenly(all: u64, most: u64) -> impl Iterator<Item = u64> {
    let count = most.min(all);
    let place = move |number: u64| {
        let place = u128::from(number) * u128::from(all.saturating_sub(1)) / u128::from((count - 1).max(1));
        u64::try_from(place).unwrap_or_default()
    };
    (0..count).map(place)
}

fn samples(name: &str, arrays: &[&Array<'_>], manifest: &Manifest, most: u64) -> Result<Samples> {
    let of = |role: Role| arrays.iter().copied().find(|array| array.record.role == role);
    let fit = arrays[0].record.fit.clone();
    let numbers = evenly(manifest.elements, most);
    let (mut elements, mut padding) = (Vec::new(), None);
    if let Some(data) = of(Role::Data) {
        elements = rows_of(data, numbers)?;
        if let Some(lengths) = of(Role::Lengths) {
            padding = padding_of(data, lengths)?;
        }
    } else if let (Some(values), Some(offsets)) = (of(Role::Values), of(Role::Offsets)) {
        let parts =
            Ragged { values, offsets, value_offsets: of(Role::ValueOffsets), shapes: of(Role::Shapes) };
        elements = parts.elements(numbers)?;
    } else {
        let buckets: Vec<_> =
            arrays.iter().filter(|array| matches!(array.record.role, Role::Bucket(_))).collect();
        for bucket in &buckets {
            let Role::Bucket(number) = bucket.record.role else { continue };
            let Some(of_rows) = of(Role::BucketElements(number)) else { continue };
            let mut of_rows = of_rows.open()?;
            let wanted = evenly(bucket.rows(), most.div_ceil(buckets.len() as u64));
            for mut sample in rows_of(bucket, wanted)? {
                sample.element =
                    of_rows.integers(sample.element..sample.element + 1)?.first().copied().unwrap_or(0);
                elements.push(sample);
            }
        }
    }
    Ok(Samples { feature: name.to_owned(), fit, elements, padding })
}

/// Rows of an array as elements, whose numbers are those of the rows.
fn rows_of(array: &Array<'_>, wanted: impl Iterator<Item = u64>) -> Result<Vec<Sample>> {
    if array.row_bytes() > SHOWN_BYTES {
        return Ok(Vec::new());
    }
    let mut rows = array.open()?;
    let shape = array.record.shape.get(1..).unwrap_or_default().to_vec();
    wanted
        .map(|row| Ok(Sample { element: row, shape: shape.clone(), values: rows.values(row..row + 1)? }))
        .collect()
}

/// The share of padding in the rows of an array, of which true lengths are known.
fn padding_of(data: &Array<'_>, lengths: &Array<'_>) -> Result<Option<f64>> {
    let axes = usize::try_from(lengths.record.shape.get(1).copied().unwrap_or(1)).unwrap_or(1).max(1);
    let row: u64 = data.record.shape.get(1..).unwrap_or_default().iter().take(axes).product();
    let (mut filled, mut rows) = (0_u128, 0_u128);
    let mut read = lengths.open()?;
    for piece in lengths.pieces() {
        rows += u128::from(piece.end - piece.start);
        let found = read.integers(piece)?;
        filled += found
            .chunks(axes)
            .map(|sizes| sizes.iter().map(|size| u128::from(*size)).product::<u128>())
            .sum::<u128>();
    }
    let all = rows * u128::from(row);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    Ok((all > 0).then(|| 1.0 - filled as f64 / all as f64))
}

/// The arrays of a ragged feature.
struct Ragged<'a, 'm> {
    values: &'a Array<'m>,
    offsets: &'a Array<'m>,
    value_offsets: Option<&'a Array<'m>>,
    shapes: Option<&'a Array<'m>>,
}

impl Ragged<'_, '_> {
    fn elements(&self, wanted: impl Iterator<Item = u64>) -> Result<Vec<Sample>> {
        let strings = matches!(self.values.record.fit, Fit::RaggedBytes { .. });
        let (mut values, mut offsets) = (self.values.open()?, self.offsets.open()?);
        let mut ends = self.value_offsets.map(Array::open).transpose()?;
        let mut shapes = self.shapes.map(Array::open).transpose()?;
        let most = (SHOWN_BYTES / self.values.row_bytes().max(1)).max(1);
        let row = self.values.record.shape.get(1..).unwrap_or_default();
        wanted
            .map(|element| {
                let between = offsets.integers(element..element + 2)?;
                let [start, stop] = between[..] else {
                    return Ok(Sample { element, shape: vec![0], values: Values::Strings(Vec::new()) });
                };
                let shape = match &mut shapes {
                    Some(shapes) => shapes.integers(element..element + 1)?,
                    None if strings && ends.is_none() => Vec::new(),
                    None => [&[stop - start], row].concat(),
                };
                let stop = stop.min(start + most);
                let found = match &mut ends {
                    Some(ends) => {
                        let ends = ends.integers(start..stop + 1)?;
                        let all = ends.windows(2).map(|pair| values.bytes(pair[0]..pair[1]));
                        Values::Strings(all.collect::<Result<_>>()?)
                    }
                    None if strings => Values::Strings(vec![values.bytes(start..stop)?]),
                    None => values.values(start..stop)?,
                };
                Ok(Sample { element, shape, values: found })
            })
            .collect()
    }
}
