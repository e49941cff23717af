//! Whether a plan can be carried out: disk, files, memory. What cannot is refused with the numbers, and with what to
//! do about it.

use super::{ArrayPlan, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::machine::{Machine, show_size};

/// What a `.npy` header takes at most, in bytes: counted for every array.
pub(super) const HEADER_BYTES: u64 = 1024;
/// Files that are open besides the arrays.
const OTHER_FILES: u64 = 64;

/// Adds what an array takes on disk.
pub(super) fn add_file_bytes(sum: u64, array: &ArrayPlan) -> u64 {
    sum.saturating_add(array.disk_bytes()).saturating_add(HEADER_BYTES)
}

impl Plan {
    /// The plan for another machine than it was made for: with as many threads as that has and its memory allows.
    ///
    /// # Errors
    /// It has not the disk or the memory.
    pub fn on(mut self, machine: &Machine) -> Result<Self> {
        let blocks = usize::try_from(self.blocks()).unwrap_or(usize::MAX);
        self.threads = self.memory.threads_within(machine, machine.threads.min(blocks).max(1))?;
        self.check_disk(machine)?;
        Ok(self)
    }

    /// The plan of a task of so many blocks, with as many threads as it can use: its disk is reserved already.
    ///
    /// # Errors
    /// One thread needs more memory than there is.
    pub fn on_task(mut self, machine: &Machine, blocks: u64) -> Result<Self> {
        let blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
        self.threads = self.memory.threads_within(machine, machine.threads.min(blocks).max(1))?;
        Ok(self)
    }

    fn check_disk(&self, machine: &Machine) -> Result<()> {
        // What compressing saves is not known before it is done. What several blocks fill together is there twice until the end.
        let stored = self.arrays.iter().filter(|array| !array.compressed()).fold(0, add_file_bytes);
        let shared =
            self.arrays.iter().filter(|array| array.zarr.is_some() && !array.whole_slabs(self.block_rows));
        let needed = shared.fold(stored, |sum, array| sum.saturating_add(array.bytes()));
        if needed > machine.disk {
            let message = format!(
                "the arrays take {} ({needed} bytes), but {} are free in `{}`",
                show_size(needed),
                show_size(machine.disk),
                machine.disk_path.display()
            );
            return Err(Error::new(ErrorKind::Resources, message)
                .hint("give an output on another disk, or free some space"));
        }
        let largest = self.arrays.iter().max_by_key(|array| array.largest_file());
        if let (Some(most), Some(array)) = (machine.largest_file, largest)
            && array.largest_file().saturating_add(HEADER_BYTES) > most
        {
            let message = format!(
                "`{}` takes {}, but this process may write files of {} at most",
                array.name,
                show_size(array.largest_file()),
                show_size(most)
            );
            return Err(
                Error::new(ErrorKind::Resources, message).hint("raise the limit with `ulimit -f unlimited`")
            );
        }
        // Chunks are written one after another, and are not kept open.
        let files = self.arrays.iter().filter(|array| array.zarr.is_none()).count() as u64 + OTHER_FILES;
        match machine.open_files {
            Some(most) if files > most => {
                let message = format!("{files} files must be open at once, but this process may have {most}");
                Err(Error::new(ErrorKind::Resources, message).hint(format!(
                    "raise the limit with `ulimit -n {files}`, or choose fewer features with `--feature`"
                )))
            }
            _ => Ok(()),
        }
    }
}
