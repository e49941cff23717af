//! An output that is written by the tasks of a batch job: any number of processes, on any machines that share a file system.
//!
//! ```text
//! .OUT.lithify-partial/tasks/
//!   plan                    which plan's tasks write here: its checksum, ID
//!   ID/output/              gets the name OUT when it is complete
//!   ID/7/NAME/journal       how far a process that does task 7 has come; NAME is unlike that of any other
//!   ID/7/NAME/aside/        pieces of arrays in whose pages, or slabs, other tasks have a part
//!   ID/7/NAME/unfinished/   files that are not complete
//!   ID/excluded             what tasks of plans before this one have found to be bad
//!   ID/7/done               that task 7 is done, and by which process
//! ```
//! A task owns a run of blocks, and of each array the whole pages (or stripes, or slabs of chunks) in it, which nobody else writes.
//! What lies on the borders is kept aside, and put in its place by whoever finishes. So nothing depends on locks, and a task may be
//! done twice, even at the same time: both write the same bytes to the same places, and what is not written at its place, each keeps
//! in a directory of its own. One that comes after others goes on with what the best of them has done. And one that wakes up when all is
//! over, or when another plan is carried out, finds nothing to write to: it makes no directory but its own.

use std::fs;
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::publish::{check_beside, check_target};
use super::staging::Staging;
use super::{Asked, there};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::plan::request::Request;
use crate::plan::{Plan, Tasks};
use crate::scan::OnError;
use crate::scan::profile::Skipped;
use crate::source::{Choice, Part};
use crate::store::share::Piece;
use crate::store::{self, Checksum, Opening};

mod finish;
mod run;
mod status;

pub use run::{TaskOptions, TaskReport};
pub use status::{Status, TaskStatus};

/// The file that says which plan's tasks write in a place: as long as it is there, they do.
pub(super) fn mark(staging: &Path) -> PathBuf {
    staging.join(TASKS).join(PLAN)
}

/// Where in such a place the tasks of a plan write.
fn inside(plan: Checksum) -> PathBuf {
    Path::new(TASKS).join(String::from(plan))
}

const TASKS: &str = "tasks";
const PLAN: &str = "plan";
const DONE: &str = "done";
const BAD: &str = "bad";
const EXCLUDED: &str = "excluded";

/// Says that a task is done.
#[derive(Serialize, Deserialize)]
struct Done {
    /// The name of the process that did it.
    by: String,
    /// What is kept aside.
    pieces: Vec<Piece>,
}

/// The place where the tasks of a plan write.
pub struct Batch {
    directory: PathBuf,
    plan: Checksum,
    tasks: Tasks,
}

/// What became of the tasks of a plan.
pub enum Found {
    /// They are at work, or can be.
    Begun(Batch),
    /// The output has its name.
    Published(Box<Manifest>),
}

/// Refuses to touch what the tasks of a plan are making.
pub(super) fn refuse(staging: &Staging) -> Result<()> {
    if there::look(&mark(staging.path()))?.is_none() {
        return Ok(());
    }
    let message = format!("`{}` is being made by the tasks of a plan", printable(staging.target()));
    Err(Error::new(ErrorKind::Output, message)
        .hint("complete it with `lithify finish PLAN`; or, once no task is running any more, begin anew with `--restart`"))
}

impl Batch {
    /// Makes the place where the tasks of a plan write, and the files of the output in their full size. If it is there already,
    /// nothing is done.
    ///
    /// # Errors
    /// Something else is being made there, or was left, unless it is to be thrown away; the output is there already, and may not be
    /// replaced; or there is not the space.
    pub fn begin(plan: &Plan, tasks: &Tasks, id: Checksum, restart: bool, bad: &[Skipped]) -> Result<()> {
        let staging = Staging::lock(&plan.output)?.making_in(&inside(id));
        let mark = mark(staging.path());
        let begun = there::read(&mark)?;
        if begun.as_deref() == Some(String::from(id).as_bytes()) && !restart {
            return Ok(());
        }
        check_target(&plan.target(), tasks.overwrite)?;
        check_beside(plan, tasks.overwrite)?;
        if !restart {
            if begun.is_some() {
                let message =
                    format!("`{}` is being made by the tasks of another plan", printable(&plan.output));
                return Err(Error::new(ErrorKind::Output, message)
                    .hint("once no task of that is running any more, begin anew with `--restart`"));
            }
            staging.refuse_left()?;
        }
        staging.clear()?;
        staging.create()?;
        let (how, slabs) = ((plan.layout, plan.io), staging.slabs());
        store::open(&staging.output(), &slabs, how, &plan.arrays, Opening::New)?.finish()?;
        let excluded = Excluded::of(&plan.format, &plan.choice, &plan.request, &plan.parts, bad);
        let path = staging.path().join(inside(id)).join(EXCLUDED);
        let text = serde_json::to_vec(&excluded).map_err(|e| Error::io("write", &path, e.into()))?;
        write_at_once(&path, &text)?;
        write_at_once(&mark, String::from(id).as_bytes())?;
        staging.keep(true);
        Ok(())
    }

    /// Looks for the place where the tasks of a plan write.
    ///
    /// # Errors
    /// There is none, or it is that of another plan; or the plan is none of tasks.
    pub fn find(plan: &Plan, id: Checksum) -> Result<Found> {
        let tasks = tasks_of(plan)?;
        let directory = Staging::of(&plan.output).join(inside(id));
        let mark = there::read(&mark(&Staging::of(&plan.output)))?;
        if mark.as_deref() == Some(String::from(id).as_bytes()) {
            return Ok(Found::Begun(Self { directory, plan: id, tasks }));
        }
        if mark.is_none()
            && there::look(&plan.output)?.is_some()
            && let Ok(manifest) = Manifest::read(&plan.output)
            && manifest.run.plan == Some(id)
        {
            return Ok(Found::Published(Box::new(manifest)));
        }
        let what = if mark.is_some() { "is being made by another plan" } else { "is not begun" };
        Err(Error::new(ErrorKind::Output, format!("`{}` {what}", printable(&plan.output)))
            .hint("run `lithify plan` again: what tasks have done, and what was there before, tells whether to add `--restart`"))
    }

    fn of_task(&self, task: u64) -> PathBuf {
        self.directory.join(task.to_string())
    }

    fn done(&self, task: u64) -> Result<Option<Done>> {
        let path = self.of_task(task).join(DONE);
        let Some(text) = there::read(&path)? else { return Ok(None) };
        let done = serde_json::from_slice(&text);
        done.map(Some).map_err(|e| Error::input(format!("it cannot be understood: {e}")).in_file(&path))
    }

    /// The directories of the processes that have done a task, or were at it.
    fn processes(&self, task: u64) -> Result<Vec<PathBuf>> {
        let directory = self.of_task(task);
        let failed = |e| Error::io("list", &directory, e);
        let entries = match fs::read_dir(&directory) {
            Err(e) if e.kind() == IoErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                all.push(entry.path());
            }
        }
        all.sort();
        Ok(all)
    }
}

/// What a plan was made without, since tasks had found it to be bad, and what plans that is true of.
#[derive(Serialize, Deserialize)]
struct Excluded {
    format: String,
    choice: Choice,
    request: Request,
    /// The checksum of the list of the dataset's files.
    parts: Checksum,
    bad: Vec<Skipped>,
}

impl Excluded {
    fn of(format: &str, choice: &Choice, request: &Request, parts: &[Part], bad: &[Skipped]) -> Self {
        let parts: Vec<Part> = parts.iter().map(Part::absolute).collect();
        let parts = Checksum::of(&serde_json::to_vec(&parts).unwrap_or_default());
        let (format, choice, request) = (format.to_owned(), choice.clone(), request.clone());
        Self { format, choice, request, parts, bad: bad.to_vec() }
    }
}

/// What tasks have found to be bad, though pass 1 had not, of what is asked for: those of the plan that is being carried out, and of
/// those before it. A plan must be made without it.
///
/// # Errors
/// It cannot be read.
pub fn found_bad(asked: &Asked<'_>) -> Result<Vec<Skipped>> {
    let staging = Staging::of(&asked.target.output);
    let Some(id) = there::read(&mark(&staging))? else { return Ok(Vec::new()) };
    let directory = staging.join(TASKS).join(String::from_utf8_lossy(&id).as_ref());
    let Some(text) = there::read(&directory.join(EXCLUDED))? else { return Ok(Vec::new()) };
    let parsed = |e| Error::input(format!("it cannot be understood: {e}")).in_file(&directory);
    let then: Excluded = serde_json::from_slice(&text).map_err(parsed)?;
    let now = Excluded::of(asked.format, asked.choice, asked.request, asked.parts, &[]);
    let same = (&then.format, &then.choice, &then.request, then.parts)
        == (&now.format, &now.choice, &now.request, now.parts);
    if !same || asked.target.on_error == OnError::Fail {
        return Ok(Vec::new());
    }
    let failed = |e| Error::io("list", &directory, e);
    let mut all = then.bad;
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path().join(BAD);
        if let Some(text) = there::look(&path)?.map(|_| there::read(&path)).transpose()?.flatten() {
            all.extend(serde_json::from_slice::<Vec<Skipped>>(&text).map_err(parsed)?);
        }
    }
    all.sort_by_key(|bad| (bad.part, bad.position));
    all.dedup_by_key(|bad| (bad.part, bad.position));
    Ok(all)
}

/// The tasks of a plan.
///
/// # Errors
/// It has none.
pub fn tasks_of(plan: &Plan) -> Result<Tasks> {
    plan.tasks.ok_or_else(|| {
        Error::request("it is a plan for one process")
            .hint("write it without `--task`, or make it with `--tasks N`")
    })
}

/// Writes a file that others find either complete or not at all.
fn write_at_once(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_file_name(crate::unique::name());
    let failed = |e| Error::io("write", path, e);
    let written = fs::File::create(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&unfinished, path)).map_err(|e| {
        let _ = fs::remove_file(&unfinished);
        failed(e)
    })
}
