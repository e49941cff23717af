//! From a plan to an output under its final name: staged beside it, renamed when it is complete.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    Access, AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags, access, renameat_with, statx,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::fill::starts;
use super::journal::{self, DoneBlock, Journal, Trusted, sync_all};
use super::manifest::{self, Manifest, Run};
use super::staging::Staging;
use super::there;
use super::unfinished::{self, Asked, Left, Saved};
use super::{Filled, Notes, Outcome, fill_blocks, tasks};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::plan::request::Request;
use crate::plan::{Plan, Target};
use crate::progress::Progress;
use crate::scan::profile::Skipped;
use crate::source::Source;
use crate::source::live::LIVE;
use crate::store::files::FileRecord;
use crate::store::{self, Checksum, Opening, Output, not_as_left};

/// How an output is written.
pub struct WriteOptions<'a> {
    /// Whether an output that is there may be replaced.
    pub overwrite: bool,
    /// Whether what an earlier run has left is thrown away, and not gone on with.
    pub restart: bool,
    /// How often to wait until everything is on the disk: what a power cut may cost is then so much work, and never an output
    /// that is complete. If never, the operating system decides when it is written, as it does for what `np.save` writes.
    pub durable: Option<Duration>,
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

/// Takes the place beside an output, where it is made. If an earlier run was ended while its output, which was complete, was given
/// its name, that is done now: then its manifest is given, too, if it is what is asked for.
///
/// # Errors
/// Another process is writing the output, or files cannot be made there.
pub fn stage(asked: &Asked<'_>, restart: bool) -> Result<(Staging, Option<Manifest>)> {
    let staging = Staging::lock(&asked.target.output)?;
    if !restart {
        tasks::refuse(&staging)?;
    }
    // Also where all is begun anew: what it replaces may have given way already.
    let Some(saved) = complete(&staging)? else {
        let left = if restart { None } else { Left::look(&staging)? };
        if left.is_none_or(|left| left.plan().format == LIVE) {
            // What a run that was ended early has left, or one that was ended while it tidied up; or what nobody can go on with.
            staging.clear()?;
        }
        return Ok((staging, None));
    };
    staging.clear()?;
    let same = !restart && asked.format != LIVE && saved.difference(asked).is_none();
    let manifest = same.then(|| Manifest::read(&asked.target.output));
    Ok((staging, manifest.transpose()?))
}

/// Writes what a plan says, or what an earlier run has left of it to be written.
///
/// # Errors
/// As [`stage`], [`Staging::go_on`] and [`write_staged`].
pub fn write(source: &dyn Source, plan: &Plan, options: &WriteOptions<'_>) -> Result<Report> {
    let target = plan.target();
    let Plan { format, parts, choice, request, .. } = plan;
    let asked = Asked { format, parts, choice, request, target: &target };
    let (staging, done) = stage(&asked, options.restart)?;
    if let Some(manifest) = done {
        return Ok(Report::Done(Box::new(manifest)));
    }
    let left = staging.go_on(&asked)?;
    let plan = left.as_ref().map_or(plan, Left::plan);
    write_staged(source, plan, request, &staging, left.as_ref(), options)
}

/// The same in a place that is taken. `asked` is what the plan was made for.
///
/// # Errors
/// The output is there already, an element does not fit its row, or reading or writing fails. Nothing stands under the
/// final name then, and what stood there before still does. What is done is kept if the run may succeed when it is tried again.
pub fn write_staged(
    source: &dyn Source,
    plan: &Plan,
    asked: &Request,
    staging: &Staging,
    left: Option<&Left>,
    options: &WriteOptions<'_>,
) -> Result<Report> {
    let start = Instant::now();
    check_target(&plan.target(), options.overwrite)?;
    check_beside(plan, options.overwrite)?;
    let made = staging.output();
    if left.is_none() {
        staging.clear()?;
        staging.create()?;
    }
    let (how, slabs) = ((plan.layout, plan.io), staging.slabs());
    let opening = if left.is_some() { Opening::Again } else { Opening::New };
    let store = store::open(&made, &slabs, how, &plan.arrays, opening)?;
    let (checksum, trusted) = match left {
        Some(left) => (left.checksum, left.trusted),
        None => (unfinished::save(staging.path(), asked, plan)?, Trusted::default()),
    };
    let mut notes = Notes::of(plan);
    let mut restored = Ok(());
    journal::blocks(staging.path(), trusted, |block| {
        if restored.is_ok() {
            restored = restore(plan, store.as_ref(), &block);
        }
        notes.restore(block);
    })?;
    restored?;
    let journal = Journal::open(staging.path(), checksum, trusted)?;
    staging.keep(true);
    let (blocks, done) = (plan.blocks(), notes.done());
    if done > 0 {
        options.progress.resumed(done, blocks);
    }
    options.progress.begin("write", plan.stored_bytes);
    options.progress.advance(plan.stored_bytes / blocks.max(1) * done);
    let fill =
        || fill_blocks(source, plan, store.as_ref(), options.progress, notes, Some(&journal))?.outcome(plan);
    let outcome = match options.durable {
        Some(every) => journal.during(every, fill),
        None => fill(),
    };
    options.progress.end();
    let filled = match outcome {
        Ok(Outcome::Done(filled)) => filled,
        Ok(Outcome::Bad(bad)) => {
            staging.clear()?;
            return Ok(Report::Bad(bad));
        }
        Err(error) => return Err(stopped(error, staging, plan.format != LIVE)),
    };
    if left.is_some() {
        check_files(&made, &filled.files)?;
    }
    let run = Run { seconds: start.elapsed().as_secs_f64(), ..Run::of(plan) };
    let sync = || if options.durable.is_some() { journal.sync() } else { Ok(()) };
    let completed = complete_output(store, filled, run, plan, staging, (options.overwrite, &sync));
    let manifest = completed.map_err(|error| stopped(error, staging, plan.format != LIVE))?;
    end(plan, staging, options.durable.is_some())?;
    Ok(Report::Done(Box::new(manifest)))
}

/// Completes an output all of whose blocks are done, and gives it its name.
pub(super) fn complete_output(
    store: Box<dyn Output>,
    filled: Filled,
    run: Run,
    plan: &Plan,
    staging: &Staging,
    (overwrite, sync): (bool, &dyn Fn() -> Result<()>),
) -> Result<Manifest> {
    let mut stored = store.finish()?;
    stored.files.extend(filled.files);
    stored.files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut manifest = Manifest::of(plan, filled.arrays, stored, run);
    let complete = seal(staging, plan, &mut manifest, overwrite, sync)?;
    publish(staging, plan, &complete)?;
    Ok(manifest)
}

/// Waits until the name of an output is on the disk, if that is wanted, and removes what was left beside it.
pub(super) fn end(plan: &Plan, staging: &Staging, durable: bool) -> Result<()> {
    if let Some(parent) = plan.output.parent().filter(|_| durable) {
        sync_all(parent)?;
    }
    // All is done: what cannot be removed does no harm, and goes with the next run.
    let _ = staging.clear();
    Ok(())
}

/// Looks whether all files are there that were completed, also by earlier runs.
pub(super) fn check_files(made: &Path, files: &[FileRecord]) -> Result<()> {
    for file in files {
        let path = made.join(&file.path);
        let there = fs::metadata(&path).map_or(0, |there| there.len());
        if there != file.bytes {
            return Err(not_as_left(&path, format!("it has {there} bytes, and had {}", file.bytes)));
        }
    }
    Ok(())
}

/// Tells a store what it has of a block that is done.
pub(super) fn restore(plan: &Plan, store: &dyn Output, block: &DoneBlock) -> Result<()> {
    let mut starts = starts(plan, block.number * plan.block_rows, &block.totals[0]);
    let mut notes = starts.by_ref().zip(&block.arrays).enumerate();
    notes.try_for_each(|(array, (start, note))| store.restore(array, start, note.0))
}

/// Keeps what is done if the run may succeed when it is tried again, and says so.
pub(super) fn stopped(error: Error, staging: &Staging, lasts: bool) -> Error {
    let again =
        lasts && matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Io | ErrorKind::Resources);
    let done =
        Left::look(staging).ok().flatten().filter(|_| again).map(|left| (left.done(), left.plan().blocks()));
    match done {
        Some((done, all)) if done > 0 => error
            .hint(format!("{done} of {all} blocks are done, and kept: the same command goes on from there")),
        _ => {
            // What was there before, and could not be brought back, stays.
            let replaced = fs::read_dir(staging.replaced()).is_ok_and(|mut entries| entries.next().is_some());
            staging.keep(replaced);
            error
        }
    }
}

/// Completes an output that has all of its blocks, and notes that it is complete.
fn seal(
    staging: &Staging,
    plan: &Plan,
    manifest: &mut Manifest,
    overwrite: bool,
    sync: &dyn Fn() -> Result<()>,
) -> Result<Complete> {
    let (path, unnamed) =
        (staging.output().join(manifest_name(plan)), staging.path().join(crate::unique::name()));
    manifest.write(&unnamed)?;
    fs::rename(&unnamed, &path).map_err(|e| Error::io("rename to", &path, e))?;
    sync()?;
    let old = if plan.layout.single() && overwrite { beside_of(&plan.output) } else { BTreeSet::new() };
    let complete = Complete { manifest: manifest.checksum, overwrite, old };
    let path = staging.path().join(COMPLETE);
    let text = serde_json::to_vec(&complete).map_err(|e| Error::io("write", &path, e.into()))?;
    let written = fs::write(&path, text).map_err(|e| Error::io("write", &path, e)).and_then(|()| sync());
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written.map(|()| complete)
}

/// Gives a complete output its name, or what is left of that to be done.
///
/// # Errors
/// It cannot be renamed; or what stands there afterwards is not this output, since another process was quicker.
fn publish(staging: &Staging, plan: &Plan, complete: &Complete) -> Result<()> {
    if plan.layout.single() {
        publish_file(staging, plan, complete)?;
    } else if is_made(staging, complete)? {
        publish_directory(staging, &plan.target(), complete.overwrite)?;
    }
    // Only where locks do not reach can it be another.
    match Manifest::read(&plan.output) {
        Ok(manifest) if manifest.checksum == complete.manifest => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Output,
            format!("another process is giving `{}` its name", printable(&plan.output)),
        )
        .hint("run it again")),
    }
}

/// Whether the directory of an output that is complete waits for its name. What stands there once the output has its name is what
/// it has replaced.
fn is_made(staging: &Staging, complete: &Complete) -> Result<bool> {
    let made = staging.output();
    Ok(there::look(&made)?.is_some()
        && Manifest::read(&made).is_ok_and(|manifest| manifest.checksum == complete.manifest))
}

/// What says that an output is complete.
#[derive(Serialize, Deserialize)]
struct Complete {
    /// What its manifest says that its checksum is, which no other output has.
    manifest: Checksum,
    overwrite: bool,
    /// What belongs to an array that is replaced.
    old: BTreeSet<PathBuf>,
}

const COMPLETE: &str = "complete";

/// Gives an output its name that an earlier run has completed; tells what it is.
pub(super) fn complete(staging: &Staging) -> Result<Option<Saved>> {
    let Some(text) = there::read(&staging.path().join(COMPLETE))? else { return Ok(None) };
    let Ok(complete) = serde_json::from_slice::<Complete>(&text) else { return Ok(None) };
    let Some(saved) = Saved::read(staging)? else { return Ok(None) };
    let has_its_name =
        || Manifest::read(&saved.plan.output).is_ok_and(|manifest| manifest.checksum == complete.manifest);
    if !saved.plan.layout.single() && !is_made(staging, &complete)? && !has_its_name() {
        // What is said to be complete has given way to what another process makes.
        return Ok(None);
    }
    publish(staging, &saved.plan, &complete)?;
    Ok(Some(saved))
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
    let Some(there) = there::look(output)? else { return Ok(()) };
    let exists = |message: String| Error::new(ErrorKind::Output, message);
    if there.is_symlink() {
        let to = fs::read_link(output).unwrap_or_default();
        let message = format!("`{}` is a symbolic link to `{}`", printable(output), printable(&to));
        return Err(
            exists(message).hint("give the name that it leads to: a link is neither followed nor replaced")
        );
    }
    if target.layout.single() {
        if !there.is_file() {
            return Err(exists(format!("`{}` is there, and is no file", printable(output))));
        }
    } else if !there.is_dir() {
        return Err(exists(format!("`{}` is there, and is no directory", printable(output)))
            .hint("for one array, let the name end in `.npy`"));
    } else if is_mounted_on(output) {
        let message = format!(
            "a file system is mounted on `{}`, so that nothing can take its place",
            printable(output)
        );
        return Err(
            exists(message).hint(format!("give a name inside it: `{}`", printable(&output.join("arrays"))))
        );
    } else if fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    } else if let Some(foreign) = foreign_file(output)? {
        let mut above = foreign.ancestors().skip(1).filter(|above| *above != Path::new(""));
        if let Some(inner) = above.find(|above| output.join(above).join(manifest::NAME).is_file()) {
            return Err(exists(format!(
                "`{}` holds another output, `{}`",
                printable(output),
                printable(&output.join(inner))
            ))
            .hint("remove that, or give another output"));
        }
        return Err(exists(format!(
            "`{}` holds `{}`, which lithify has not written",
            printable(output),
            printable(&output.join(foreign))
        ))
        .hint("give another output"));
    }
    if !overwrite {
        return Err(there_already(output));
    }
    // Only its owner's own word is meant: what may not be written cannot be moved out of the way.
    if there.is_dir() && access(output, Access::WRITE_OK).is_err() {
        return Err(exists(format!("`{}` may not be written to", printable(output)))
            .hint("allow it by `chmod u+w`, or give another output"));
    }
    Ok(())
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
pub(super) fn check_beside(plan: &Plan, overwrite: bool) -> Result<()> {
    if !plan.layout.single() {
        return Ok(());
    }
    let ours = if overwrite { beside_of(&plan.output) } else { BTreeSet::new() };
    let (main, files) = (plan.output.file_name().unwrap_or_default(), files_of(plan));
    let mut found = None;
    for file in files.into_iter().filter(|file| file != Path::new(main) && !ours.contains(file)) {
        if there::look(&plan.output.with_file_name(&file))?.is_some() {
            found = Some(file);
            break;
        }
    }
    match found {
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
    let before = there::look(output)?;
    if !overwrite || before.is_none() || empty() {
        fs::rename(from, output).map_err(failed)?;
    } else if renameat_with(CWD, from, CWD, output, RenameFlags::EXCHANGE).is_err() {
        // Where the file system cannot exchange, the old output steps aside first, and comes back if need be. Else it now stands
        // in the place of the staged one, and goes with the staging directory.
        let aside = staging.replaced();
        fs::rename(output, &aside).map_err(|e| Error::io("rename", output, e))?;
        if let Err(error) = fs::rename(from, output) {
            fs::rename(&aside, output).map_err(|e| Error::io("bring back", output, e))?;
            return Err(Error::io("rename to", output, error));
        }
    }
    // Not before: a directory that may not be written cannot be moved.
    if let Some(before) = before {
        keep_permissions(&before, output);
    }
    Ok(())
}

/// Moves the files of the one array to their names, those that have not got there before. What they replace is kept until all is
/// done, and comes back if something fails.
fn publish_file(staging: &Staging, plan: &Plan, complete: &Complete) -> Result<()> {
    let (made, replaced, overwrite) = (staging.output(), staging.replaced(), complete.overwrite);
    fs::create_dir_all(&replaced).map_err(|e| Error::io("create", &replaced, e))?;
    let all = files_of(plan);
    let (mut waiting, mut there) = (Vec::new(), Vec::new());
    for file in &all {
        let is_waiting = there::look(&made.join(file))?.is_some();
        if is_waiting { &mut waiting } else { &mut there }.push(file.clone());
    }
    let main = all.last().cloned().unwrap_or_default();
    // What the array that is replaced had beside it goes, too.
    let mut old: BTreeSet<PathBuf> = waiting.iter().cloned().collect();
    old.extend(complete.old.iter().filter(|file| !there.contains(file)).cloned());
    old.remove(&main);
    let mut undo: Vec<(PathBuf, PathBuf)> = Vec::new();
    let moved = (|| {
        for file in &old {
            let from = plan.output.with_file_name(file);
            if overwrite && there::look(&from)?.is_some_and(|there| !there.is_dir()) {
                let to = replaced.join(file);
                fs::rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
                undo.push((to, from));
            }
        }
        for file in &waiting {
            let (from, to) = (made.join(file), plan.output.with_file_name(file));
            if let Some(before) = there::look(&if *file == main { to.clone() } else { replaced.join(file) })?
            {
                keep_permissions(&before, &from);
            }
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

/// Gives what takes the place of something the same mode and group, as far as that is allowed: who has kept a directory for
/// himself, or shares it with a group, means what is written there, too.
pub(super) fn keep_permissions(before: &Metadata, to: &Path) {
    // Those of a link say nothing.
    if !before.is_symlink() {
        let _ = chown(to, None, Some(before.gid()));
        let _ = fs::set_permissions(to, before.permissions());
    }
}

/// Whether a directory is where a file system is mounted. Nothing can take its place.
fn is_mounted_on(directory: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, directory, flags, StatxFlags::empty())
        .is_ok_and(|there| there.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
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
