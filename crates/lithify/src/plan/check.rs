//! Whether a plan can be carried out: names, disk, files, memory. What cannot is refused with the numbers, and with what to
//! do about it.

use std::collections::HashSet;

use super::{ArrayPlan, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::machine::{Machine, show_size};

/// What a `.npy` header takes at most, in bytes: counted for every array.
pub(super) const HEADER_BYTES: u64 = 1024;
/// Files that are open besides the arrays.
const OTHER_FILES: u64 = 64;
/// Files of an output that are no arrays.
const RESERVED: &str = "lithify.json";

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

    fn check_disk(&self, machine: &Machine) -> Result<()> {
        let needed = self.bytes();
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
        let largest = self.arrays.iter().max_by_key(|array| array.bytes());
        if let (Some(most), Some(array)) = (machine.largest_file, largest)
            && array.bytes().saturating_add(HEADER_BYTES) > most
        {
            let message = format!(
                "`{}` takes {}, but this process may write files of {} at most",
                array.name,
                show_size(array.bytes()),
                show_size(most)
            );
            return Err(
                Error::new(ErrorKind::Resources, message).hint("raise the limit with `ulimit -f unlimited`")
            );
        }
        let files = self.arrays.len() as u64 + OTHER_FILES;
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

/// Refuses names that cannot all be files side by side.
pub(super) fn check_names(arrays: &[ArrayPlan]) -> Result<()> {
    let rename =
        |message: String| Err(Error::request(message).hint("give it another name with `rename=NAME`"));
    let mut files = HashSet::new();
    for array in arrays {
        let name = array.name.as_str();
        let bad_part = |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > 240;
        if name.contains(['\0', '\\']) || name.split('/').any(bad_part) {
            return rename(format!("`{}` cannot be the name of a file", name.escape_debug()));
        }
        if name.split('/').next() == Some(RESERVED) {
            return rename(format!("`{name}` is in the way of `{RESERVED}`"));
        }
        if !files.insert(format!("{name}.npy")) {
            return rename(format!("two arrays would be called `{name}`"));
        }
    }
    // `a.npy` beside `a/b.npy` is fine, but not beside `a.npy/b.npy`.
    for array in arrays {
        let folders = array.name.match_indices('/').map(|(end, _)| &array.name[..end]);
        if let Some(folder) = folders.into_iter().find(|folder| files.contains(*folder)) {
            return rename(format!(
                "`{}` needs a folder `{folder}`, which is the file of another array",
                array.name
            ));
        }
    }
    Ok(())
}
