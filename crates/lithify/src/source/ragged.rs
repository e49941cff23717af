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
}

impl Ragged {
    /// How many elements it has.
    pub(super) fn rows(&self) -> u64 {
        self.offsets.rows() - 1
    }

    /// Bytes of an element, on average.
    pub(super) fn row_bytes(&self) -> u64 {
        let all = self.values.rows().saturating_mul(self.values.row_bytes());
        all.div_ceil(self.rows().max(1)).saturating_add(8)
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
            bytes: Vec::new(),
            bounds: Vec::new(),
            start: 0,
        })
    }
}

/// Elements of a feature, as they are read.
pub(super) struct Reader<'s> {
    pub ragged: &'s Ragged,
    values: Box<dyn Rows + 's>,
    offsets: Box<dyn Rows + 's>,
    bytes: Vec<u8>,
    /// Where the elements that were read start and end among the values.
    bounds: Vec<u64>,
    /// Where the first of them starts in the buffer.
    start: usize,
}

impl Reader<'_> {
    /// Adds the values of elements to a buffer.
    ///
    /// # Errors
    /// They cannot be read; they take more than `most` bytes; or offsets are not in order.
    pub(super) fn read(&mut self, elements: Range<u64>, most: u64, into: &mut Vec<u8>) -> Result<()> {
        let count = usize::try_from(elements.end - elements.start).unwrap_or(usize::MAX);
        self.bytes.resize((count + 1) * 8, 0);
        self.offsets.read(elements.start..elements.end + 1, &mut self.bytes)?;
        let number = if self.ragged.offsets.big_endian() { u64::from_be_bytes } else { u64::from_le_bytes };
        self.bounds.clear();
        self.bounds.extend(self.bytes.as_chunks::<8>().0.iter().map(|bytes| number(*bytes)));
        let (first, last) = (self.bounds[0], self.bounds[count]);
        if !self.bounds.is_sorted() || last > self.ragged.values.rows() {
            return Err(Error::input("its offsets do not say where elements start and end"));
        }
        let bytes = (last - first).saturating_mul(self.ragged.values.row_bytes());
        if bytes > most {
            let message = format!(
                "{count} elements of it take {bytes} bytes, more than the {most} that the memory budget leaves for them"
            );
            return Err(Error::new(ErrorKind::Resources, message)
                .hint("give more memory with `--memory`, or use fewer threads with `--threads`"));
        }
        self.start = into.len();
        into.resize(self.start + usize::try_from(bytes).unwrap_or(usize::MAX), 0);
        self.values.read(first..last, &mut into[self.start..])
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
