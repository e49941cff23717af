//! Which task of a batch job does what: each a run of whole blocks.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Plan, Rows};
use crate::error::{Error, Result};

/// The least alignment: what no file system shares less of between machines, in bytes.
pub const LEAST_ALIGNMENT: u64 = 4096;
/// The most, in bytes: what is not aligned is put together by one process in the end.
const MOST_ALIGNMENT: u64 = 1 << 30;
/// Tasks, at most.
const MOST_TASKS: u64 = 1 << 20;

/// The tasks that carry out a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// How many there are.
    pub count: u64,
    /// No two tasks write to the same so many bytes of a file, counted from its start.
    pub align: u64,
    /// Whether an output that is there may be replaced.
    pub overwrite: bool,
}

impl Tasks {
    /// So many tasks.
    ///
    /// # Errors
    /// There are none, or too many; or the alignment is no power of two from a page on.
    pub fn new(count: u64, align: u64, overwrite: bool) -> Result<Self> {
        if count == 0 || count > MOST_TASKS {
            return Err(Error::request(format!("a plan has from 1 to {MOST_TASKS} tasks, and not {count}")));
        }
        if !align.is_power_of_two() || !(LEAST_ALIGNMENT..=MOST_ALIGNMENT).contains(&align) {
            return Err(Error::request(format!(
                "tasks are aligned to a power of two from {LEAST_ALIGNMENT} to {MOST_ALIGNMENT} bytes, and not to {align}"
            )));
        }
        Ok(Self { count, align, overwrite })
    }
}

impl Plan {
    /// The blocks of a task. All tasks have about as many; where blocks are many enough, they are whole slabs of the largest arrays.
    #[must_use]
    pub fn blocks_of(&self, tasks: &Tasks, task: u64) -> Range<u64> {
        let unit = self.unit(tasks);
        let units = self.blocks().div_ceil(unit);
        let cut = |task: u64| {
            let at = u128::from(units) * u128::from(task) / u128::from(tasks.count);
            u64::try_from(at).unwrap_or(u64::MAX).saturating_mul(unit).min(self.blocks())
        };
        cut(task)..cut(task + 1)
    }

    /// The elements of blocks.
    #[must_use]
    pub fn elements_of(&self, blocks: &Range<u64>) -> Range<u64> {
        let at = |block: u64| block.saturating_mul(self.block_rows).min(self.elements);
        at(blocks.start)..at(blocks.end)
    }

    /// Blocks that stay together: those of the largest slab of which every task can have one.
    fn unit(&self, tasks: &Tasks) -> u64 {
        let by_elements = self.arrays.iter().filter(|array| array.rows == Rows::Elements);
        let slabs = by_elements.filter_map(|array| Some(array.zarr.as_ref()?.chunks.slab_rows()));
        let blocks =
            slabs.filter(|rows| rows.is_multiple_of(self.block_rows)).map(|rows| rows / self.block_rows);
        blocks.filter(|unit| self.blocks() / unit >= tasks.count).max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_done_is_taken() {
        assert!(Tasks::new(0, 4096, false).is_err() && Tasks::new(1 << 21, 4096, false).is_err());
        assert!(Tasks::new(8, 4095, false).is_err() && Tasks::new(8, 512, false).is_err());
        assert!(Tasks::new(8, 4 << 20, false).is_ok());
    }
}
