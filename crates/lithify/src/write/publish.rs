//! From a plan to an output under its final name: staged beside it, renamed when it is complete.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::manifest::{self, Manifest, Run};
use super::staging::Staging;
use super::{Outcome, fill_blocks};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::machine::peak_memory;
use crate::plan::{Plan, Target};
use crate::progress::Progress;
use crate::scan::profile::Skipped;
use crate::source::Source;
use crate::store;

/// How an output is written.
pub struct WriteOptions<'a> {
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
    let target = plan.target();
    check_target(&target, options.overwrite)?;
    check_beside(plan, options.overwrite)?;
    let staging = Staging::create(&plan.output)?;
    let made = staging.output();
    let store = store::create(&made, &staging.slabs(), plan.layout, &plan.arrays, plan.io)?;
    options.progress.begin("write", plan.stored_bytes);
    let outcome = fill_blocks(source, plan, store.as_ref(), options.progress);
    options.progress.end();
    let blocks = match outcome? {
        Outcome::Bad(bad) => return Ok(Report::Bad(bad)),
        Outcome::Done(blocks) => blocks,
    };
    let run = Run {
        seconds: start.elapsed().as_secs_f64(),
        threads: plan.threads,
        io: plan.io,
        planned_memory: plan.memory.at(plan.threads),
        peak_memory: peak_memory(),
    };
    let manifest = Manifest::of(plan, blocks, store.finish()?, run);
    // It grows with the blocks, and so is not held in memory as text.
    let path = made.join(manifest_name(plan));
    let failed = |e: std::io::Error| Error::io("write", &path, e);
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    serde_json::to_writer_pretty(&mut file, &manifest).map_err(|e| failed(e.into()))?;
    file.flush().map_err(failed)?;
    if plan.layout.single() {
        publish_file(&staging, plan, options.overwrite)?;
    } else {
        publish_directory(&staging, &target, options.overwrite)?;
    }
    Ok(Report::Done(Box::new(manifest)))
}

fn manifest_name(plan: &Plan) -> PathBuf {
    if plan.layout.single() {
        let beside = plan.output.with_extension(manifest::NAME);
        return PathBuf::from(beside.file_name().unwrap_or_default());
    }
    PathBuf::from(manifest::NAME)
}

fn there_already(path: &Path) -> Error {
    Error::new(ErrorKind::Output, format!("`{}` is there already", printable(path)))
        .hint("replace it with `--overwrite`")
}

/// Refuses an output that is there, unless it may be replaced; and a directory that holds what lithify has not written, in
/// any case.
///
/// # Errors
/// It is so.
pub fn check_target(target: &Target, overwrite: bool) -> Result<()> {
    let output = &target.output;
    let Ok(there) = fs::symlink_metadata(output) else { return Ok(()) };
    let exists = |message: String| Error::new(ErrorKind::Output, message);
    if target.layout.single() {
        if !there.is_file() {
            return Err(exists(format!("`{}` is there, and is no file", printable(output))));
        }
    } else if !there.is_dir() {
        return Err(exists(format!("`{}` is there, and is no directory", printable(output)))
            .hint("for one array, let the name end in `.npy`"));
    } else if fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    } else if let Some(foreign) = foreign_file(output)? {
        return Err(exists(format!(
            "`{}` holds `{}`, which lithify has not written",
            printable(output),
            printable(&output.join(foreign))
        ))
        .hint("give another output"));
    }
    if overwrite { Ok(()) } else { Err(there_already(output)) }
}

/// A file in an output directory that is not known to be ours.
fn foreign_file(output: &Path) -> Result<Option<PathBuf>> {
    let foreign = match Manifest::read(output) {
        Ok(manifest) => foreign_files(output, &manifest)?,
        // Without a manifest that can be read, nothing there is.
        Err(_) => files_but(output, &|_| false)?,
    };
    Ok(foreign.into_iter().next())
}

/// The files in an output directory that its manifest does not name.
pub(super) fn foreign_files(output: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>> {
    let listed: BTreeSet<&Path> = manifest.files().collect();
    files_but(output, &|file| {
        listed.contains(file) || file == Path::new(manifest::NAME) && !listed.is_empty()
    })
}

/// The files in a directory and below it, but for those that are `known`.
fn files_but(output: &Path, known: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![output.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(|e| Error::io("list", &directory, e))? {
            let entry = entry.map_err(|e| Error::io("list", &directory, e))?;
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(path);
                continue;
            }
            let below = path.strip_prefix(output).unwrap_or(&path);
            if !known(below) {
                found.push(below.to_path_buf());
            }
        }
    }
    Ok(found)
}

/// The files of an output that is one array, the array last: where it stands, all that belongs to it does.
fn files_of(plan: &Plan) -> Vec<PathBuf> {
    let main = plan.output.file_name().unwrap_or_default();
    let mut files: Vec<PathBuf> = plan
        .arrays
        .iter()
        .map(|array| plan.layout.path_of(&array.name))
        .filter(|file| file != Path::new(main))
        .collect();
    files.push(manifest_name(plan));
    files.push(PathBuf::from(main));
    files
}

/// Refuses to write over what stands beside the one array under the names of what belongs to it. The array itself may be
/// replaced by whoever asks for it; what stands beside it only if the manifest there says that lithify has written it.
fn check_beside(plan: &Plan, overwrite: bool) -> Result<()> {
    if !plan.layout.single() {
        return Ok(());
    }
    let ours = if overwrite { beside_of(&plan.output) } else { BTreeSet::new() };
    let (main, files) = (plan.output.file_name().unwrap_or_default(), files_of(plan));
    let mut beside = files.into_iter().filter(|file| file != Path::new(main) && !ours.contains(file));
    match beside.find(|file| fs::symlink_metadata(plan.output.with_file_name(file)).is_ok()) {
        Some(file) if overwrite => Err(Error::new(
            ErrorKind::Output,
            format!(
                "`{}` is there, and lithify has not written it",
                printable(&plan.output.with_file_name(file))
            ),
        )
        .hint("move it, or give another output")),
        Some(file) => Err(there_already(&plan.output.with_file_name(file))),
        None => Ok(()),
    }
}

/// What an earlier run has written beside one array, by its manifest, which is named in it too.
fn beside_of(output: &Path) -> BTreeSet<PathBuf> {
    let Ok(manifest) = Manifest::read(output) else { return BTreeSet::new() };
    let name = manifest::path_for(output).file_name().map(PathBuf::from);
    manifest.files().map(Path::to_path_buf).chain(name).collect()
}

fn publish_directory(staging: &Staging, target: &Target, overwrite: bool) -> Result<()> {
    let output = &target.output;
    let from = &staging.output();
    let failed = |e: std::io::Error| match e.kind() {
        IoErrorKind::DirectoryNotEmpty | IoErrorKind::AlreadyExists | IoErrorKind::NotADirectory => {
            there_already(output)
        }
        _ => Error::io("rename to", output, e),
    };
    // Something may have come to stand there since the run began. A plain rename replaces nothing but an empty directory.
    check_target(target, overwrite)?;
    let empty = || fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none());
    if !overwrite || !output.exists() || empty() {
        return fs::rename(from, output).map_err(failed);
    }
    if renameat_with(CWD, from, CWD, output, RenameFlags::EXCHANGE).is_ok() {
        // The old output now stands in the place of the staging directory, and goes with it.
        return Ok(());
    }
    // Where the file system cannot exchange, the old output steps aside first, and comes back if need be.
    let aside = staging.aside();
    fs::rename(output, &aside).map_err(|e| Error::io("rename", output, e))?;
    if let Err(error) = fs::rename(from, output) {
        fs::rename(&aside, output).map_err(|e| Error::io("bring back", output, e))?;
        return Err(Error::io("rename to", output, error));
    }
    fs::remove_dir_all(&aside).map_err(|e| Error::io("remove", &aside, e))
}

/// Moves the files of the one array to their names. What they replace is kept until all is done, and comes back if
/// something fails.
fn publish_file(staging: &Staging, plan: &Plan, overwrite: bool) -> Result<()> {
    let files = files_of(plan);
    let (made, replaced) = (staging.output(), staging.replaced());
    fs::create_dir(&replaced).map_err(|e| Error::io("create", &replaced, e))?;
    // What the array that is replaced had beside it goes, too.
    let mut old: BTreeSet<PathBuf> = files.iter().cloned().collect();
    if overwrite {
        old.extend(beside_of(&plan.output));
    }
    let main = files.last().cloned().unwrap_or_default();
    old.remove(&main);
    let mut undo: Vec<(PathBuf, PathBuf)> = Vec::new();
    let moved = (|| {
        for file in &old {
            let from = plan.output.with_file_name(file);
            if overwrite && fs::symlink_metadata(&from).is_ok_and(|there| !there.is_dir()) {
                let to = replaced.join(file);
                fs::rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
                undo.push((to, from));
            }
        }
        for file in &files {
            let (from, to) = (made.join(file), plan.output.with_file_name(file));
            if overwrite { fs::rename(&from, &to) } else { rename_new(&from, &to) }.map_err(|e| {
                match e.kind() {
                    IoErrorKind::AlreadyExists => there_already(&to),
                    _ => Error::io("rename to", &to, e),
                }
            })?;
            undo.push((to, from));
        }
        Ok(())
    })();
    if moved.is_err() {
        for (now, before) in undo.into_iter().rev() {
            fs::rename(&now, &before).map_err(|e| Error::io("bring back", &before, e))?;
        }
    }
    moved
}

/// Renames a file to a name that nothing has.
fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if fs::symlink_metadata(to).is_err() => {
            fs::rename(from, to)
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(IoErrorKind::AlreadyExists.into()),
        other => other.map_err(Into::into),
    }
}
