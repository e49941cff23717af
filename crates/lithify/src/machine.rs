//! What this process may use: processors, memory, disk. Plain data, so that a plan can be tried for any machine.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use crate::error::{Error, Result};

/// The share of the available memory that is used where the user sets no budget: the rest is for the page cache, without
/// which reading and writing are slow, and for others.
const MEMORY_SHARE: u64 = 60;

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Threads that may run at once.
    pub threads: usize,
    /// Bytes of memory that the run may take.
    pub memory: u64,
    /// Bytes of memory that are available in all, to this process.
    pub memory_available: u64,
    /// What limits the memory: `--memory`, a cgroup, an rlimit, or the machine.
    pub memory_limit: String,
    /// Bytes that are free where the output goes, to this user.
    pub disk: u64,
    /// The directory that was asked.
    pub disk_path: PathBuf,
    /// The largest file that this process may write.
    pub largest_file: Option<u64>,
    /// The most files that this process may have open.
    pub open_files: Option<u64>,
}

impl Machine {
    /// Looks at this machine, for an output at `output`.
    ///
    /// # Errors
    /// The file system of the output cannot be asked.
    pub fn here(output: &Path, memory: Option<u64>, threads: Option<usize>) -> Result<Self> {
        let (memory_available, limit) = available_memory();
        let disk_path = existing_ancestor(output);
        let disk = rustix::fs::statvfs(&disk_path)
            .map_err(|e| Error::io("ask the file system of", &disk_path, e.into()))?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            threads: threads.unwrap_or(cores).max(1),
            memory: memory.unwrap_or(memory_available / 100 * MEMORY_SHARE),
            memory_available,
            memory_limit: if memory.is_some() {
                "--memory".into()
            } else {
                format!("{MEMORY_SHARE} % of what {limit} leaves")
            },
            disk: disk.f_bavail * disk.f_frsize,
            disk_path,
            largest_file: getrlimit(Resource::Fsize).current,
            open_files: getrlimit(Resource::Nofile).maximum,
        })
    }
}

impl Machine {
    /// The largest record that a thread may hold, in bytes, while others hold as much: a buffer grows by doubling, and
    /// what is decoded stands beside it.
    #[must_use]
    pub fn largest_record(&self) -> u64 {
        self.memory / 4 / self.threads.max(1) as u64
    }

    /// This machine, of whose memory so many bytes are taken.
    #[must_use]
    pub fn without(&self, bytes: u64) -> Self {
        Self { memory: self.memory.saturating_sub(bytes), ..self.clone() }
    }

    /// What a source must know of this machine.
    #[must_use]
    pub fn source_options(&self) -> crate::source::Options {
        crate::source::Options {
            largest_record: self.largest_record(),
            memory: self.memory / 2,
            threads: self.threads,
            ..Default::default()
        }
    }
}

/// The nearest directory above a path that is there.
fn existing_ancestor(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.ancestors().skip(1).find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/")).to_path_buf()
}

/// The memory that this process may take, in bytes, and what says so: the least of the machine's, its cgroups' and its
/// own limits.
fn available_memory() -> (u64, &'static str) {
    let mut found = vec![(u64::MAX, "the machine")];
    if let Ok(mut system) = System::new() {
        system.refresh_memory();
        found.push((system.available_memory(), "the machine"));
        if let Ok(pid) = sysinfo::get_current_pid() {
            system.refresh_processes_specifics(
                ProcessesToUpdate::Some(&[pid]),
                false,
                ProcessRefreshKind::nothing(),
            );
            // The page cache counts towards a cgroup's usage but gives way, so only what processes hold is taken off.
            if let Some(limits) = system.process(pid).and_then(sysinfo::Process::cgroup_limits) {
                found.push((limits.total_memory.saturating_sub(limits.rss), "the cgroup"));
            }
        }
    }
    for resource in [Resource::As, Resource::Data] {
        if let Some(limit) = getrlimit(resource).current {
            found.push((limit, "the process limit (ulimit)"));
        }
    }
    found.into_iter().min_by_key(|found| found.0).unwrap_or_default()
}

/// The most memory that this process has held at once, in bytes, as the kernel counts it.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Reads a size such as `512MiB`, `2GB` or a plain number of bytes.
///
/// # Errors
/// It is no size.
pub fn parse_size(text: &str) -> Result<u64> {
    let bad =
        || Error::request(format!("`{text}` is not a size")).hint("as in `512MiB`, `2GB` or `1073741824`");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| bad())?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(bad()),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size is not that exact")]
    Ok((number * unit) as u64)
}

/// A size in bytes for people, such as `1.5 GiB`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} PiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("512MiB", 512 << 20), ("2GB", 2_000_000_000), ("1.5 GiB", 3 << 29), ("10", 10), ("4k", 4096)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        assert!(parse_size("many").is_err() && parse_size("5 apples").is_err());
        assert_eq!((show_size(1023).as_str(), show_size(3 << 29).as_str()), ("1023 B", "1.5 GiB"));
    }
}
