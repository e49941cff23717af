//! What this process may use: processors, memory, disk. Plain data, so that a plan can be tried for any machine.

mod cgroup;
mod scheduler;

use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use sysinfo::System;

use crate::environment::{self, Environment};
use crate::error::{Error, Result, printable};

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
    /// Bytes of the budget that are taken before: what a source holds as long as it is open.
    #[serde(skip)]
    pub memory_taken: u64,
    /// Bytes of memory that are available in all, to this process.
    pub memory_available: u64,
    /// What limits the memory: `--memory`, a cgroup, an rlimit, the batch scheduler, or the machine.
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
    /// Looks at this machine, for an output at `output`: at what the kernel allows this process, and at what a batch
    /// scheduler gives it. What is asked for in `memory` and `threads` stands over both.
    ///
    /// # Errors
    /// The file system of the output cannot be asked.
    pub fn here(output: &Path, memory: Option<u64>, threads: Option<usize>) -> Result<Self> {
        let (memory_available, limit) = available_memory(&environment::here);
        let disk_path = existing_ancestor(output);
        let disk = rustix::fs::statvfs(&disk_path)
            .map_err(|e| Error::io("ask the file system of", &disk_path, e.into()))?;
        Ok(Self {
            threads: threads.unwrap_or_else(|| available_threads(&environment::here)).max(1),
            memory: memory.unwrap_or(memory_available / 100 * MEMORY_SHARE),
            memory_taken: 0,
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
        let memory_taken = self.memory_taken.saturating_add(bytes);
        Self { memory: self.memory.saturating_sub(bytes), memory_taken, ..self.clone() }
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

/// The threads that may run at once: no more than the kernel lets run, nor than the scheduler has given.
fn available_threads(environment: &Environment<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let given = scheduler::processors(environment).and_then(|given| usize::try_from(given).ok());
    given.map_or(cores, |given| given.min(cores))
}

/// The memory that this process may take, in bytes, and what says so: the least of the machine's, its cgroups', its
/// own limits and what the scheduler gives.
fn available_memory(environment: &Environment<'_>) -> (u64, String) {
    let tasks = scheduler::running_tasks(environment);
    // What the node or a job has, its tasks have together.
    let mut found = vec![(u64::MAX, "the machine".to_owned())];
    if let Ok(mut system) = System::new() {
        system.refresh_memory();
        found.push((system.available_memory() / tasks, scheduler::shared("the machine", tasks)));
    }
    if let Some((left, group)) = cgroup::memory(Path::new("/proc/self")) {
        let name = format!("the cgroup `{}`", printable(&group));
        found.push((left / tasks, scheduler::shared(&name, tasks)));
    }
    for resource in [Resource::As, Resource::Data] {
        if let Some(limit) = getrlimit(resource).current {
            found.push((limit, "the process limit (ulimit)".into()));
        }
    }
    found.extend(scheduler::memory(environment));
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
    use crate::environment::of;

    #[test]
    fn schedulers_give_less_but_never_more() {
        let cores = available_threads(&of(""));
        assert_eq!(available_threads(&of("NSLOTS=1")), 1);
        assert_eq!(available_threads(&of("NSLOTS=100000")), cores);
        let one = available_memory(&of("SLURM_JOB_ID=7 SLURM_MEM_PER_NODE=1"));
        assert_eq!(one, (1 << 20, "SLURM_MEM_PER_NODE".into()));
        let (bytes, limit) = available_memory(&of("SLURM_JOB_ID=7 SLURM_MEM_PER_NODE=1000000000"));
        assert!(bytes < 1 << 48 && !limit.contains("SLURM"), "{bytes} by {limit}");
        let (bytes, limit) = available_memory(&of("LOCAL_WORLD_SIZE=1000000"));
        assert!(bytes < 1 << 28 && limit.ends_with(", shared by 1000000 tasks,"), "{bytes} by {limit}");
    }

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
