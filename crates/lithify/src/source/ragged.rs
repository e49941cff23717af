//! Features of an output whose elements differ in length, as it keeps them: values of all elements one after another, and where
//! each element starts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

use super::columns::{Column, Rows};
use super::npy::header::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::value::DType;

/// What an output says of its arrays, as far as it matters here.
#[derive(Deserialize)]
struct Manifest {
    arrays: Vec<Array>,
}

#[derive(Deserialize)]
struct Array {
    file: String,
    role: String,
    #[serde(default)]
    fit: serde_json::Value,
}

/// Axes of an element, at most: NumPy has no more than 64.
const MOST_AXES: u64 = 64;

/// What the values of an element are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Each {
    /// Items on a first axis.
    Items,
    /// One item, or none where the element lacks the feature.
    One,
    /// The bytes of one string.
    String,
}

impl Each {
    /// What a fit says, if this is known of it.
    fn of(fit: &serde_json::Value) -> Option<Self> {
        if let Some(ragged) = fit.get("ragged") {
            return Some(if ragged.get("rank")? == 0 { Self::One } else { Self::Items });
        }
        // Strings in lists have offsets of their own.
        let strings = fit.get("raggedbytes")?;
        (strings.get("nested")? == false).then_some(Self::String)
    }

    /// Whether arrays can be values and offsets of such elements.
    pub(super) fn fits(self, values: &dyn Column, offsets: &dyn Column) -> bool {
        let bytes = values.item() == Item::Number(DType::Uint8) && values.row_shape().is_empty();
        offsets.item() == Item::Number(DType::Int64)
            && offsets.row_shape().is_empty()
            && offsets.rows() > 0
            && (bytes || self != Self::String)
    }
}

/// The ragged features of an output in a directory: by their names, what their elements are. The names are those of the arrays but
/// for this ending.
pub(super) fn of_output(directory: &Path, ending: &str) -> BTreeMap<String, Each> {
    let text = std::fs::read(directory.join("lithify.json")).unwrap_or_default();
    // What is none of ours, or damaged, says nothing.
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { return BTreeMap::new() };
    let values = manifest.arrays.iter().filter(|array| array.role == "values");
    let named = values.filter_map(|array| {
        let file = array.file.strip_suffix(".npy").unwrap_or(&array.file);
        Some((file.strip_suffix(ending)?.to_owned(), Each::of(&array.fit)?))
    });
    named.collect()
}

/// The arrays of a feature.
pub(super) struct Ragged {
    pub each: Each,
    pub values: Box<dyn Column>,
    pub offsets: Box<dyn Column>,
    /// The shape of each element, where its values stand on one axis.
    pub shapes: Option<Box<dyn Column>>,
    /// Which elements have the feature.
    pub present: Option<Box<dyn Column>>,
}

impl Ragged {
    /// Whether an array can be the shapes of its elements.
    pub(super) fn fits_shapes(&self, array: &dyn Column) -> bool {
        array.item() == Item::Number(DType::Int64)
            && matches!(array.row_shape(), [1..=MOST_AXES])
            && array.rows() == self.rows()
            && self.values.row_shape().is_empty()
            && self.each == Each::Items
    }

    /// Whether an array can say which elements have it.
    pub(super) fn fits_present(&self, array: &dyn Column) -> bool {
        array.item() == Item::Number(DType::Bool)
            && array.row_shape().is_empty()
            && array.rows() == self.rows()
    }

    /// How many axes its elements have.
    pub(super) fn rank(&self) -> usize {
        match (self.each, &self.shapes) {
            (Each::String, _) => 0,
            (Each::One, _) => self.values.row_shape().len(),
            (Each::Items, Some(shapes)) => usize::try_from(shapes.row_shape()[0]).unwrap_or(usize::MAX),
            (Each::Items, None) => 1 + self.values.row_shape().len(),
        }
    }

    /// How many elements it has.
    pub(super) fn rows(&self) -> u64 {
        self.offsets.rows() - 1
    }

    /// Bytes of an element, on average.
    pub(super) fn row_bytes(&self) -> u64 {
        let all = self.values.rows().saturating_mul(self.values.row_bytes());
        let beside =
            [&self.shapes, &self.present].map(|array| array.as_ref().map_or(0, |array| array.row_bytes()));
        all.div_ceil(self.rows().max(1)).saturating_add(8).saturating_add(beside.iter().sum())
    }

    /// Bytes of memory that reading takes beside the elements that are read.
    pub(super) fn held(&self) -> u64 {
        self.values.held().saturating_add(self.offsets.held())
    }

    pub(super) fn open(&self) -> Result<Reader<'_>> {
        Ok(Reader {
            ragged: self,
            values: self.values.open()?,
            offsets: self.offsets.open()?,
            shapes: self.shapes.as_ref().map(|array| array.open()).transpose()?,
            present: self.present.as_ref().map(|array| array.open()).transpose()?,
            bytes: Vec::new(),
            bounds: Vec::new(),
            sizes: Vec::new(),
            are_there: Vec::new(),
            start: 0,
        })
    }
}

/// Elements of a feature, as they are read.
pub(super) struct Reader<'s> {
    pub ragged: &'s Ragged,
    values: Box<dyn Rows + 's>,
    offsets: Box<dyn Rows + 's>,
    shapes: Option<Box<dyn Rows + 's>>,
    present: Option<Box<dyn Rows + 's>>,
    bytes: Vec<u8>,
    /// Where the elements that were read start and end among the values.
    bounds: Vec<u64>,
    /// Their shapes, and whether they are there.
    sizes: Vec<u64>,
    are_there: Vec<u8>,
    /// Where the first of them starts in the buffer.
    start: usize,
}

impl Reader<'_> {
    /// Bytes that the values of elements take.
    ///
    /// # Errors
    /// Offsets cannot be read.
    pub(super) fn bytes_of(&mut self, elements: Range<u64>) -> Result<u64> {
        let mut bounds = [0; 2];
        for (bound, element) in bounds.iter_mut().zip([elements.start, elements.end]) {
            self.bytes.resize(8, 0);
            self.offsets.read(element..element + 1, &mut self.bytes)?;
            numbers(&self.bytes, self.ragged.offsets.as_ref(), &mut self.bounds);
            *bound = self.bounds[0];
        }
        Ok(bounds[1].saturating_sub(bounds[0]).saturating_mul(self.ragged.values.row_bytes()))
    }

    /// Adds the values of elements to a buffer.
    ///
    /// # Errors
    /// They cannot be read; they take more than `most` bytes; or offsets are not in order.
    pub(super) fn read(&mut self, elements: Range<u64>, most: u64, into: &mut Vec<u8>) -> Result<()> {
        let count = usize::try_from(elements.end - elements.start).unwrap_or(usize::MAX);
        self.bytes.resize((count + 1) * 8, 0);
        self.offsets.read(elements.start..elements.end + 1, &mut self.bytes)?;
        numbers(&self.bytes, self.ragged.offsets.as_ref(), &mut self.bounds);
        if let (Some(rows), Some(shapes)) = (&mut self.shapes, &self.ragged.shapes) {
            self.bytes.resize(count * self.ragged.rank() * 8, 0);
            rows.read(elements.clone(), &mut self.bytes)?;
            numbers(&self.bytes, shapes.as_ref(), &mut self.sizes);
        }
        if let Some(rows) = &mut self.present {
            self.are_there.resize(count, 0);
            rows.read(elements, &mut self.are_there)?;
        }
        let (first, last) = (self.bounds[0], self.bounds[count]);
        if !self.bounds.is_sorted() || last > self.ragged.values.rows() {
            return Err(Error::input("its offsets do not say where elements start and end"));
        }
        let bytes = (last - first).saturating_mul(self.ragged.values.row_bytes());
        if bytes.saturating_add(into.len() as u64) > most {
            let message = format!(
                "its features take {} bytes together, more than the {most} that the memory budget leaves for them",
                bytes.saturating_add(into.len() as u64)
            );
            return Err(Error::new(ErrorKind::Resources, message)
                .hint("give more memory with `--memory`, or use fewer threads with `--threads`"));
        }
        self.start = into.len();
        into.resize(self.start + usize::try_from(bytes).unwrap_or(usize::MAX), 0);
        self.values.read(first..last, &mut into[self.start..])
    }

    /// Whether an element has the feature, of those that were read.
    pub(super) fn is_there(&self, place: usize) -> bool {
        self.are_there.get(place).is_none_or(|there| *there != 0)
    }

    /// The shape of an element of so many values, into sizes of as many axes as it has.
    ///
    /// # Errors
    /// It has not as many.
    pub(super) fn shape(&self, place: usize, count: u64, sizes: &mut [u64]) -> Result<()> {
        if self.shapes.is_none() {
            sizes.first_mut().into_iter().for_each(|size| *size = count);
            return Ok(());
        }
        sizes.copy_from_slice(&self.sizes[place * sizes.len()..][..sizes.len()]);
        match sizes.iter().try_fold(1, |product: u64, size| product.checked_mul(*size)) {
            Some(product) if product == count => Ok(()),
            _ => Err(Error::input(format!("its shape is {sizes:?}, and it has {count} values"))),
        }
    }

    /// How many items an element has, of those that were read, and where they are in the buffer.
    pub(super) fn element(&self, place: usize) -> (u64, Range<usize>) {
        let (start, end) = (self.bounds[place], self.bounds[place + 1]);
        let at = |bound: u64| {
            let bytes = (bound - self.bounds[0]) * self.ragged.values.row_bytes();
            self.start + usize::try_from(bytes).unwrap_or(usize::MAX)
        };
        (end - start, at(start)..at(end))
    }
}

/// The numbers of an array of int64.
fn numbers(bytes: &[u8], array: &dyn Column, into: &mut Vec<u64>) {
    let number = if array.big_endian() { u64::from_be_bytes } else { u64::from_le_bytes };
    into.clear();
    into.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| number(*bytes)));
}
