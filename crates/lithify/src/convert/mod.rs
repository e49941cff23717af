//! The whole way from a dataset to arrays: scans as often as the request needs, plans, writes.

use std::collections::HashSet;
use std::path::Path;

use crate::dataset::{misnamed, open_parts};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::machine::Machine;
use crate::plan::request::Request;
use crate::plan::{Io, Layout, Plan, Target, plan, settle_buckets};
use crate::progress::Progress;
use crate::scan::profile::{Profile, Skipped};
use crate::scan::{OnError, SKIP_HINT, ScanOptions, scan};
use crate::source::live::LIVE;
use crate::source::{Choice, Options, Part, Source, name_file};
use crate::write::manifest::Manifest;
use crate::write::{Asked, Left, Report, Staging, WriteOptions, check_target, stage, write_staged};

mod live;

pub use live::{Alike, convert_growing, convert_live};

/// What is to be made of a dataset, where, and with what.
pub struct Job<'a> {
    /// What is wanted.
    pub request: &'a Request,
    /// Where the output goes.
    pub target: &'a Target,
    /// What may be used.
    pub machine: &'a Machine,
    /// How it is written.
    pub writing: &'a WriteOptions<'a>,
}

/// Scans a dataset, and again if buckets are left to the plan or elements turned out to be bad; then plans.
///
/// # Errors
/// As [`scan`] and [`plan`].
pub fn scan_and_plan(source: &dyn Source, job: &Job<'_>, bad: &[Skipped]) -> Result<(Profile, Plan)> {
    job.request.check()?;
    refuse_inside(source.parts(), &job.target.output)?;
    if !source.can_skip() {
        refuse_skip(job.target.on_error)?;
    }
    let machine = &job.machine.without(source.held());
    let scan_for = |request: &Request| {
        scan(
            source,
            &ScanOptions {
                request,
                on_error: job.target.on_error,
                threads: machine.threads,
                largest_payload: machine.largest_record(),
                excluded: bad,
                progress: job.writing.progress,
            },
        )
    };
    let plan_for = |profile: &Profile, request: &Request| {
        plan(profile, request, machine, job.target).map_err(|e| {
            let unmet = if profile.elements == 0 { unmet(source, machine) } else { None };
            unmet.into_iter().fold(name_file(source, e), Error::hint)
        })
    };
    let profile = scan_for(job.request)?;
    let Some(settled) = settle_buckets(&profile, job.request)? else {
        let plan = plan_for(&profile, job.request)?;
        return Ok((profile, plan));
    };
    let profile = scan_for(&settled)?;
    let plan = plan_for(&profile, &settled)?;
    Ok((profile, plan))
}

/// Refuses to write into a directory that is read: what is written would be of the dataset.
fn refuse_inside(parts: &[Part], output: &Path) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let output = absolute(output);
    // The system is asked of no part but such: there may be very many.
    let around = parts.iter().find(|part| output.starts_with(absolute(&part.path)) && part.path.is_dir());
    around.map_or(Ok(()), |part| {
        let message = format!("the output lies in `{}`, which is read", printable(&part.path));
        Err(Error::request(message).hint("give an output that is somewhere else"))
    })
}

/// Elements that are looked at for what features there are, where none meets what is asked for.
const FIRST: u64 = 1000;

/// What may be wrong with conditions that no element meets: that none of the first elements has the feature.
#[must_use]
pub fn unmet(source: &dyn Source, machine: &Machine) -> Option<String> {
    let Choice { select, split, .. } = source.choice();
    if select.is_empty() {
        return None;
    }
    let choice = Choice { split, limit: Some(FIRST), ..Choice::default() };
    let request = Request::default();
    let all = reopen(source.format(), source.parts(), &choice, &request, machine).ok()?;
    let options = ScanOptions {
        request: &request,
        on_error: OnError::Fail,
        threads: machine.threads,
        largest_payload: machine.largest_record(),
        excluded: &[],
        progress: &(),
    };
    let profile = scan(all.as_ref(), &options).ok()?;
    misnamed(&select, &profile.names(), profile.elements < FIRST)
}

/// Refuses to leave elements out of a dataset that cannot do without: see [`Source::can_skip`].
///
/// # Errors
/// They are to be left out.
pub fn refuse_skip(on_error: OnError) -> Result<()> {
    if on_error == OnError::Fail {
        return Ok(());
    }
    Err(Error::request(
        "what is bad cannot be left out with `--shuffle`, `--zip`, or `--split` by shares: others would be in its place",
    )
    .hint("convert the dataset without them first, and then what comes out"))
}

/// A plan, and the place where it is carried out.
pub struct Prepared {
    staging: Staging,
    left: Option<Left>,
    /// What is to be done.
    pub plan: Plan,
    /// What pass 1 has learnt; nothing where the plan of a run that was ended is gone on with.
    pub profile: Option<Profile>,
}

/// What there is to do.
pub enum Ready {
    /// Nothing: an earlier run had done it all, but for the name of the output.
    Done(Box<Manifest>),
    /// What is planned.
    Go(Box<Prepared>),
}

/// Takes the place of the output, and plans what is to be done there: what an earlier run has left of the same, or all of it.
///
/// # Errors
/// As [`scan`] and [`plan`]; the output is there already, or another process is writing it; or something else was begun there.
pub fn prepare(source: &dyn Source, job: &Job<'_>) -> Result<Ready> {
    let choice = source.choice();
    let (format, parts) = (source.format(), source.parts());
    let asked = Asked { format, parts, choice: &choice, request: job.request, target: job.target };
    prepare_as(source, job, &asked, || {
        let (profile, plan) = scan_and_plan(source, job, &[])?;
        Ok((Some(profile), plan))
    })
}

/// The same for a plan that is there already.
///
/// # Errors
/// As [`prepare`], but for those of pass 1.
pub fn prepare_plan(source: &dyn Source, job: &Job<'_>, plan: Plan) -> Result<Ready> {
    let (format, parts, choice) = (plan.format.clone(), plan.parts.clone(), plan.choice.clone());
    let asked =
        Asked { format: &format, parts: &parts, choice: &choice, request: job.request, target: job.target };
    prepare_as(source, job, &asked, || Ok((None, plan.on(&job.machine.without(source.held()))?)))
}

fn prepare_as(
    source: &dyn Source,
    job: &Job<'_>,
    asked: &Asked<'_>,
    plan: impl FnOnce() -> Result<(Option<Profile>, Plan)>,
) -> Result<Ready> {
    let (staging, done) = stage(asked, job.writing.restart)?;
    if let Some(manifest) = done {
        return Ok(Ready::Done(Box::new(manifest)));
    }
    check_target(job.target, job.writing.overwrite)?;
    let left = staging.go_on(asked)?;
    let (profile, plan) = match &left {
        Some(left) => {
            // What it has of the disk it need not get once more.
            let mut machine = job.machine.without(source.held());
            machine.disk = machine.disk.saturating_add(staging.disk());
            (None, left.plan().clone().on(&machine)?)
        }
        None => plan()?,
    };
    Ok(Ready::Go(Box::new(Prepared { staging, left, plan, profile })))
}

/// Scans, plans and writes. Elements that turn out not to fit their rows are left out, where that is allowed: the dataset
/// is then scanned and written without them. What an earlier run has left of the same is gone on with.
///
/// # Errors
/// As [`prepare`] and [`write_staged`].
pub fn convert(source: &dyn Source, job: &Job<'_>) -> Result<Manifest> {
    match prepare(source, job)? {
        Ready::Done(manifest) => Ok(*manifest),
        Ready::Go(prepared) => write_prepared(source, job, *prepared),
    }
}

/// Writes what was prepared; where elements turn out not to fit their rows, as [`convert`] does.
///
/// # Errors
/// As [`scan`], [`plan`] and [`write_staged`].
pub fn write_prepared(source: &dyn Source, job: &Job<'_>, prepared: Prepared) -> Result<Manifest> {
    let Prepared { staging, mut left, mut plan, .. } = prepared;
    let mut bad: Vec<Skipped> = Vec::new();
    loop {
        let written = write_staged(source, &plan, job.request, &staging, left.take().as_ref(), job.writing);
        match written.map_err(|e| if source.can_skip() { say_skip(e, plan.on_error) } else { e })? {
            Report::Done(manifest) => return Ok(*manifest),
            Report::Bad(more) => {
                let known: HashSet<_> = bad.iter().map(|skipped| (skipped.part, skipped.position)).collect();
                let before = bad.len();
                bad.extend(more.into_iter().filter(|more| !known.contains(&(more.part, more.position))));
                if bad.len() == before {
                    return Err(Error::input(
                        "elements that were left out are met again: the dataset changes while it is read",
                    ));
                }
            }
        }
        (_, plan) = scan_and_plan(source, job, &bad)?;
    }
}

/// Says what can be done about an element that is bad, where nothing else is known.
fn say_skip(error: Error, on_error: OnError) -> Error {
    let is_of_element = error.kind() == ErrorKind::Input && error.place().element.is_some();
    if is_of_element && on_error == OnError::Fail && error.hints().is_empty() {
        return error.hint(SKIP_HINT);
    }
    error
}

/// Opens the dataset of a saved plan or of an output again.
///
/// # Errors
/// A file is not there any more, or cannot be read.
pub fn reopen(
    format: &str,
    parts: &[Part],
    choice: &Choice,
    request: &Request,
    machine: &Machine,
) -> Result<Box<dyn Source>> {
    if format == LIVE {
        return Err(Error::request(
            "it was made of what a program gave, which is not there to be read again",
        ));
    }
    let options = Options { choice: choice.clone(), features: request.names(), ..machine.source_options() };
    open_parts(format, parts, &options)
        .map_err(|e| e.hint("the dataset must be where it was when it was scanned"))
}

/// The files of which an output was made, and the plan by which it was.
///
/// # Errors
/// As [`reopen`] and [`plan_again`].
pub fn made_of(output: &Path, machine: &Machine, progress: &dyn Progress) -> Result<(Box<dyn Source>, Plan)> {
    let manifest = Manifest::read(output)?;
    let Manifest { format, parts, choice, request, .. } = &manifest;
    let source = reopen(format, parts, choice, request, machine)?;
    let plan = plan_again(source.as_ref(), &manifest, output, machine, progress)?;
    Ok((source, plan))
}

/// The plan by which an output was written, made anew from its dataset.
///
/// # Errors
/// The dataset is not there any more, or cannot be scanned.
pub fn plan_again(
    source: &dyn Source,
    manifest: &Manifest,
    output: &Path,
    machine: &Machine,
    progress: &dyn Progress,
) -> Result<Plan> {
    // The arrays exist, so that their disk need not be free once more.
    let machine = Machine { disk: u64::MAX, ..machine.clone() };
    // A manifest that is older than stores does not tell of files, which their names do.
    let layout = if manifest.layout.is_zarr() { manifest.layout } else { Layout::of(output) };
    let target =
        Target { output: output.to_path_buf(), layout, on_error: manifest.on_error, io: Io::default() };
    let writing = WriteOptions { overwrite: false, restart: false, durable: None, progress };
    let job = Job { request: &manifest.request, target: &target, machine: &machine, writing: &writing };
    let bad: &[Skipped] = if manifest.on_error == OnError::Skip { &manifest.skipped } else { &[] };
    let (_, mut plan) = scan_and_plan(source, &job, bad)?;
    if plan.elements != manifest.elements {
        let error = Error::input(format!(
            "the dataset has {} elements, and had {} when it was converted",
            plan.elements, manifest.elements
        ));
        let error = error.hint("convert it anew with `--overwrite`, or give back what it was made of");
        return Err(match source.parts() {
            [one] => error.in_file(&one.path),
            _ => error,
        });
    }
    plan.block_rows = manifest.block_rows;
    Ok(plan)
}
