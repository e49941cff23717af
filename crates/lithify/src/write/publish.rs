//! From a plan to an output under its final name: staged beside it, renamed when it is complete.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::manifest::{self, Manifest, Run};
use super::{Outcome, fill_blocks};
use crate::error::{Error, Kind as ErrorKind, Result, printable};
use crate::machine::peak_memory;
use crate::plan::{Plan, Target};
use crate::progress::Progress;
use crate::scan::profile::Skipped;
use crate::source::Source;
use crate::store::npy::{Io, NpyStore};

/// How an output is written.
pub struct WriteOptions<'a> {
    /// How blocks reach the disk.
    pub io: Io,
    /// Whether an output that is there may be replaced.
    pub overwrite: bool,
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
}

/// What came of pass 2.
#[derive(Debug)]
pub enum Report {
    /// The output stands under its name.
    Done(Box<Manifest>),
    /// Nothing stands there, because these elements do not fit their rows: the dataset must be scanned again without
    /// them. Only where elements may be skipped.
    Bad(Vec<Skipped>),
}

/// Writes what a plan says.
///
/// # Errors
/// The output is there already, an element does not fit its row, or reading or writing fails. Nothing stands under the
/// final name then, and what stood there before still does.
pub fn write(source: &dyn Source, plan: &Plan, options: &WriteOptions<'_>) -> Result<Report> {
    let start = Instant::now();
    check_target(&Target { output: plan.output.clone(), on_error: plan.on_error }, options.overwrite)?;
    if plan.single && !options.overwrite {
        // What belongs to the one array stands beside it: `x.lengths.npy`.
        let beside =
            plan.arrays.iter().map(|array| plan.output.with_file_name(format!("{}.npy", array.name)));
        if let Some(there) = beside.into_iter().find(|path| path.exists()) {
            return Err(Error::new(ErrorKind::Output, format!("`{}` is there already", printable(&there)))
                .hint("replace it with `--overwrite`"));
        }
    }
    let staging = Staging::create(&plan.output)?;
    let store = NpyStore::create(&staging.path, &plan.arrays, options.io)?;
    options.progress.begin("write", plan.stored_bytes);
    let outcome = fill_blocks(source, plan, &store, options.progress);
    options.progress.end();
    let blocks = match outcome? {
        Outcome::Bad(bad) => return Ok(Report::Bad(bad)),
        Outcome::Done(blocks) => blocks,
    };
    let run = Run {
        seconds: start.elapsed().as_secs_f64(),
        threads: plan.threads,
        io: options.io,
        planned_memory: plan.memory.at(plan.threads),
        peak_memory: peak_memory(),
    };
    drop(store);
    let manifest = Manifest::of(plan, &blocks, run);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::request(e.to_string()))?;
    let beside =
        if plan.single { plan.output.with_extension(manifest::NAME) } else { PathBuf::from(manifest::NAME) };
    let path = staging.path.join(beside.file_name().unwrap_or_default());
    fs::write(&path, text).map_err(|e| Error::io("write", &path, e))?;
    staging.publish(plan, &manifest)?;
    Ok(Report::Done(Box::new(manifest)))
}

/// Refuses an output that is there, unless it may be replaced; and one that lithify has not made, in any case.
///
/// # Errors
/// It is so.
pub fn check_target(target: &Target, overwrite: bool) -> Result<()> {
    let output = &target.output;
    let Ok(there) = fs::symlink_metadata(output) else { return Ok(()) };
    let exists = |message: String| Error::new(ErrorKind::Output, message);
    if target.single() {
        if !there.is_file() {
            return Err(exists(format!("`{}` is there, and is no file", printable(output))));
        }
    } else if !there.is_dir() {
        return Err(exists(format!("`{}` is there, and is no directory", printable(output)))
            .hint("for one array, let the name end in `.npy`"));
    } else if fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    } else if !output.join(manifest::NAME).exists() {
        return Err(exists(format!("`{}` holds files that lithify has not written", printable(output)))
            .hint("give another output"));
    }
    if overwrite {
        return Ok(());
    }
    Err(exists(format!("`{}` is there already", printable(output))).hint("replace it with `--overwrite`"))
}

/// A directory beside the output, where that is made. It goes when it is dropped.
struct Staging {
    path: PathBuf,
    /// Held as long as this run works, so that a second one is told.
    _lock: File,
}

/// The name of the file that is locked.
const LOCK: &str = ".lock";

impl Staging {
    fn create(output: &Path) -> Result<Self> {
        let name = output
            .file_name()
            .ok_or_else(|| Error::request(format!("`{}` is no name for an output", printable(output))))?;
        let parent = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        let path = parent.join(format!(".{}.lithify-partial", name.to_string_lossy()));
        fs::create_dir_all(&path).map_err(|e| Error::io("create", &path, e))?;
        let lock_path = path.join(LOCK);
        let lock = File::create(&lock_path).map_err(|e| Error::io("create", &lock_path, e))?;
        match lock.try_lock() {
            // Some file systems do not lock; names that only one run uses would not help against a second run either.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Output,
                    format!("another process is writing `{}`", printable(output)),
                )
                .hint("wait for it, or give another output"));
            }
        }
        // What a killed run has left cannot be gone on with yet: it is made anew.
        for entry in fs::read_dir(&path).map_err(|e| Error::io("list", &path, e))?.flatten() {
            if entry.file_name() != LOCK {
                let left = entry.path();
                let removed = if left.is_dir() { fs::remove_dir_all(&left) } else { fs::remove_file(&left) };
                removed.map_err(|e| Error::io("remove", &left, e))?;
            }
        }
        Ok(Self { path, _lock: lock })
    }

    fn publish(&self, plan: &Plan, manifest: &Manifest) -> Result<()> {
        let lock = self.path.join(LOCK);
        let output = &plan.output;
        if plan.single {
            // The array comes last: where it stands, all that belongs to it does.
            let main = output.file_name().unwrap_or_default();
            let mut names: Vec<PathBuf> = manifest
                .arrays
                .iter()
                .map(|array| array.file.clone())
                .filter(|file| file != Path::new(main))
                .collect();
            names.push(PathBuf::from(output.with_extension(manifest::NAME).file_name().unwrap_or_default()));
            names.push(PathBuf::from(main));
            for name in names {
                let (from, to) = (self.path.join(&name), output.with_file_name(&name));
                fs::rename(&from, &to).map_err(|e| Error::io("rename to", &to, e))?;
            }
            return Ok(());
        }
        fs::remove_file(&lock).map_err(|e| Error::io("remove", &lock, e))?;
        if output.exists() && renameat_with(CWD, &self.path, CWD, output, RenameFlags::EXCHANGE).is_ok() {
            // The old output now stands in the place of the staging directory, and goes with it.
            return Ok(());
        }
        if output.exists() {
            fs::remove_dir_all(output).map_err(|e| Error::io("remove", output, e))?;
        }
        fs::rename(&self.path, output).map_err(|e| Error::io("rename to", output, e))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing there is nothing left, or what was replaced. What cannot be removed does no harm.
        let _ = fs::remove_dir_all(&self.path);
    }
}
