//! The rows of one array of an output, read as those of any dataset.

use std::ops::Range;
use std::path::Path;

use crate::dataset::open;
use crate::error::{Error, Result};
use crate::source::{Options, Source, Want};
use crate::value::{BadList, DType};

/// An array whose rows are read here and there.
pub(super) struct Rows {
    source: Box<dyn Source>,
    dtype: DType,
    /// How far the positions of two rows are apart.
    step: u64,
}

/// Values of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Items one after another, of which the least significant byte comes first.
    Numbers(DType, Vec<u8>),
    /// Byte strings.
    Strings(Vec<Vec<u8>>),
}

impl Rows {
    pub(super) fn open(path: &Path, dtype: DType) -> Result<Self> {
        let source = open(&[path.to_path_buf()], None, &Options::default())?;
        // What is at the second place begins the second row.
        let step = source.find_element(0, 1..u64::MAX)?.unwrap_or(1);
        Ok(Self { source, dtype, step })
    }

    /// Gives the values of rows: items one after another in as many runs as it takes, of which the least significant byte comes first;
    /// or byte strings one by one.
    pub(super) fn each_run(&mut self, rows: Range<u64>, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let damaged = |bad: BadList| Error::input(bad.0);
        let range = rows.start.saturating_mul(self.step)..rows.end.saturating_mul(self.step);
        let mut elements = self.source.read(0, range, Want::Whole)?;
        while let Some(element) = elements.next_run(rows.end - rows.start)? {
            let Some(list) = element.list(0) else { continue };
            for run in list.runs() {
                take(run.map_err(damaged)?);
            }
        }
        Ok(())
    }

    pub(super) fn values(&mut self, rows: Range<u64>) -> Result<Values> {
        if !matches!(self.dtype, DType::Bytes(_)) {
            return Ok(Values::Numbers(self.dtype, self.bytes(rows)?));
        }
        let mut strings = Vec::new();
        self.each_run(rows, &mut |string| strings.push(string.to_vec()))?;
        Ok(Values::Strings(strings))
    }

    /// The bytes of rows.
    pub(super) fn bytes(&mut self, rows: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.each_run(rows, &mut |run| bytes.extend_from_slice(run))?;
        Ok(bytes)
    }

    /// The values of an array of int64, which are places and lengths.
    pub(super) fn integers(&mut self, rows: Range<u64>) -> Result<Vec<u64>> {
        let items = self.bytes(rows)?;
        Ok(items
            .chunks_exact(8)
            .map(|item| u64::from_le_bytes(item.try_into().unwrap_or_default()))
            .collect())
    }
}
