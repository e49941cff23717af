//! A batch job: `scan`, `plan` and `write` by many processes, on whatever machines share a file system.
//!
//! ```text
//!  share 0 of the files ──scan──▶ profile ┐                       ┌──▶ task 0 ──write──▶ its blocks ┐
//!  share 1 of the files ──scan──▶ profile ┼──merge, plan──▶ Plan ─┼──▶ task 1 ──write──▶ its blocks ┼──finish──▶ arrays
//!  …                                      ┘                       └──▶ …                            ┘
//! ```
//! The engine is the user's own: all that a task must be told is the path of the plan and its number. [`run`] can be called any number
//! of times, also at the same time, and nothing needs locks or a coordinator.

use std::path::{Path, PathBuf};

use crate::convert::{Job, reopen};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::machine::Machine;
use crate::plan::{Io, Plan, Tasks, plan, settle_buckets};
use crate::progress::Progress;
use crate::saved::{SavedPlan, SavedProfile, save_profile};
use crate::scan::profile::{Profile, Skipped};
use crate::scan::shares::{merge_shares, scan_share};
use crate::scan::{ScanOptions, Share};
use crate::source::{Source, name_file, separable};
use crate::write::manifest::Manifest;
use crate::write::tasks::{self, Batch, Found};
pub use crate::write::tasks::{Status, TaskOptions, TaskReport, TaskStatus, tasks_of};
use crate::write::{Asked, Staging};

/// Scans a share of a dataset's files, and saves what was learnt in a directory, for [`plan_of_profiles`].
///
/// # Errors
/// As [`scan_share`]; or the file cannot be written.
pub fn scan_task(
    source: &dyn Source,
    options: &ScanOptions<'_>,
    share: Share,
    profiles: &Path,
) -> Result<Profile> {
    if share.number >= share.count {
        return Err(no_such_task(share.number, share.count));
    }
    std::fs::create_dir_all(profiles).map_err(|e| Error::io("create", profiles, e))?;
    let profile = scan_share(source, options, share)?;
    let saved = SavedProfile {
        share,
        format: source.format().to_owned(),
        choice: source.choice(),
        request: options.request.clone(),
        on_error: options.on_error,
        profile: profile.clone(),
    };
    save_profile(saved, &path_of(profiles, share.number))?;
    Ok(profile)
}

fn path_of(profiles: &Path, number: u64) -> PathBuf {
    profiles.join(format!("{number}.profile"))
}

/// Plans by what was learnt from all shares of a dataset.
///
/// # Errors
/// A share is missing, or was scanned for another request, or its files have changed since; or as [`plan`].
pub fn plan_of_profiles(source: &dyn Source, job: &Job<'_>, profiles: &Path) -> Result<(Profile, Plan)> {
    job.request.check()?;
    let count = SavedProfile::read(&path_of(profiles, 0))?.share.count;
    let read = |number: u64| {
        let path = path_of(profiles, number);
        let saved = SavedProfile::read(&path).map_err(|e| {
            e.hint(format!(
                "scan it: `lithify scan … --tasks {count} --task {number} -o {}`",
                profiles.display()
            ))
        })?;
        if saved.share != (Share { number, count }) {
            let message = format!("it is share {} of {}", saved.share.number, saved.share.count);
            return Err(Error::input(message)
                .in_file(&path)
                .hint("scan all shares anew, in an empty directory"));
        }
        let differs = [
            (saved.format != source.format(), "format"),
            (saved.choice != source.choice(), "choice of elements"),
            (saved.request != *job.request, "request of features"),
            (saved.on_error != job.target.on_error, "`--on-error`"),
        ];
        if let Some((_, what)) = differs.into_iter().find(|(differs, _)| *differs) {
            return Err(Error::request(format!("it was scanned for another {what}"))
                .in_file(&path)
                .hint("give `lithify scan` and `lithify plan` the same words"));
        }
        Ok(saved.profile)
    };
    let profile = merge_shares(source, job.target.on_error, (0..count).map(read))?;
    if settle_buckets(&profile, job.request)?.is_some() {
        return Err(Error::request("buckets that are left to the plan must be counted by a second scan")
            .hint("name their lengths, or let `lithify plan` scan, without `--profiles`"));
    }
    let machine = job.machine.without(source.held());
    let plan = plan(&profile, job.request, &machine, job.target).map_err(|e| name_file(source, e))?;
    Ok((profile, plan))
}

/// Saves a plan of tasks, and makes what they write to: the files of the output in their full size, in a hidden directory beside it.
/// If all of that is there already, nothing is done.
///
/// # Errors
/// Something else is being made there, unless it is to be thrown away; or the output is there; or there is not the space.
pub fn begin(mut plan: Plan, tasks: Tasks, path: &Path, restart: bool, bad: &[Skipped]) -> Result<Plan> {
    if plan.io == Io::Mapped {
        return Err(Error::request(
            "tasks do not write by `--io mapped`: nodes would write each other's bytes back",
        )
        .hint("leave `--io` out"));
    }
    plan.tasks = Some(tasks);
    // Each task finds out for itself how many it has.
    let threads = std::mem::replace(&mut plan.threads, 1);
    let unnamed = SavedPlan::save(&plan, path)?;
    Batch::begin(&plan, &tasks, unnamed.id, restart, bad)?;
    unnamed.publish()?;
    plan.threads = threads;
    Ok(plan)
}

/// Elements that tasks of an earlier plan for the same output, of the same dataset and for the same request, have found to be bad: the
/// next plan is to leave them out. None, where bad elements are errors.
///
/// # Errors
/// What they have left cannot be read.
pub fn found_bad(source: &dyn Source, job: &Job<'_>) -> Result<Vec<Skipped>> {
    let (choice, parts) = (source.choice(), source.parts());
    let asked =
        Asked { format: source.format(), parts, choice: &choice, request: job.request, target: job.target };
    tasks::found_bad(&asked)
}

/// Bytes of the disk that what is being made of an output takes already.
#[must_use]
pub fn disk_taken(output: &Path) -> u64 {
    Staging::disk_of(output)
}

/// Looks at what is there already where a plan is to be saved: one whose tasks are at work on another output is their only trace, and what
/// is no plan is somebody's file.
///
/// # Errors
/// It is one of these.
pub fn check_place(path: &Path, output: &Path) -> Result<()> {
    // What is empty is nothing: `mktemp` makes such files.
    if std::fs::metadata(path).map_or(true, |there| there.is_file() && there.len() == 0) {
        return Ok(());
    }
    let refused = |what: &str| {
        let message = format!("`{}` is there already, and {what}", printable(path));
        Error::new(ErrorKind::Output, message).hint("give the new plan another name")
    };
    let saved = SavedPlan::open(path).map_err(|e| match e.kind() {
        ErrorKind::Io => e,
        _ => refused("is no plan of this version"),
    })?;
    let other = &saved.head().output;
    if other != output && matches!(Batch::find(saved.head(), saved.id()), Ok(Found::Begun(_))) {
        return Err(refused(&format!("is the plan by which tasks make `{}`", printable(other)))
            .hint("complete that with `lithify finish`; or remove it, if it is not wanted any more"));
    }
    Ok(())
}

/// How many tasks a plan has.
///
/// # Errors
/// None: it is for one process.
pub fn count(saved: &SavedPlan) -> Result<u64> {
    tasks_of(saved.head()).map(|tasks| tasks.count)
}

/// Does a task of a plan, or what is left of it. It may be done any number of times, and even at the same time: what comes of it is the
/// same.
///
/// # Errors
/// There is no such task; the dataset has changed; an element does not fit its row; or reading or writing fails. What is done is
/// kept, but where the output was published already, there is nothing to do.
pub fn run(saved: &SavedPlan, task: u64, machine: &Machine, options: &TaskOptions<'_>) -> Result<TaskReport> {
    let tasks = tasks_of(saved.head())?;
    if task >= tasks.count {
        return Err(no_such_task(task, tasks.count));
    }
    if options.scratch.is_some() && !saved.head().layout.is_zarr() {
        return Err(Error::request(
            "`--scratch` is for files of a Zarr store: rows of `.npy` files are written where they belong",
        ));
    }
    let Found::Begun(batch) = Batch::find(saved.head(), saved.id())? else { return Ok(TaskReport::WasDone) };
    if batch.is_done(task)? && !options.writing.restart {
        return Ok(TaskReport::WasDone);
    }
    let head = saved.head();
    let blocks = head.blocks_of(&tasks, task);
    let elements = head.elements_of(&blocks);
    let (plan, first) = match separable(&head.format, &head.choice) {
        true => saved.share(elements)?,
        false => (saved.whole()?, 1),
    };
    let source = reopen(&plan.format, &plan.parts, &plan.choice, &plan.request, machine)?;
    let plan = plan.on_task(&machine.without(source.held()), blocks.end - blocks.start)?;
    let number = |part: usize| if part == 0 { 0 } else { part + first - 1 };
    let ran = batch.run(task, source.as_ref(), &plan, number, options);
    // Another process may have done the task, and all may be done, since.
    match ran {
        Err(_) if matches!(Batch::find(head, saved.id()), Ok(Found::Published(_))) => Ok(TaskReport::WasDone),
        ran => ran,
    }
}

/// Completes the output of a plan, all of whose tasks are done, and gives it its name. Whether it may replace what is there was said
/// when it was planned, or is said now.
///
/// # Errors
/// A task is not done, and which; or writing fails. It may be tried again.
pub fn finish(
    saved: &SavedPlan,
    machine: &Machine,
    (overwrite, durable): (bool, bool),
    progress: &dyn Progress,
) -> Result<Manifest> {
    match Batch::find(saved.head(), saved.id())? {
        Found::Published(manifest) => {
            Batch::tidy(&saved.head().output);
            Ok(*manifest)
        }
        Found::Begun(batch) => {
            let plan = saved.whole()?;
            let blocks = plan.blocks();
            batch.finish(&plan.on_task(machine, blocks)?, (overwrite, durable), progress)
        }
    }
}

/// How far the tasks of a plan are; nothing where the output has its name already.
///
/// # Errors
/// It is not begun, or cannot be read.
pub fn status(saved: &SavedPlan) -> Result<Option<Status>> {
    match Batch::find(saved.head(), saved.id())? {
        Found::Published(_) => Ok(None),
        Found::Begun(batch) => batch.status(saved.head()).map(Some),
    }
}

fn no_such_task(task: u64, count: u64) -> Error {
    Error::request(format!(
        "there is no task {task} of {count}: they are numbered from 0 to {}",
        count.saturating_sub(1)
    ))
    .hint("where a scheduler counts from 1, add `--task-base 1`")
}
