//! Each command, as calls of the library.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

use clap::CommandFactory;
use lithify::batch::{begin, check_place, disk_taken, found_bad, plan_of_profiles};
use lithify::convert::{
    Job, Ready, made_of, prepare, prepare_plan, refuse_skip, reopen, scan_and_plan, unmet, write_prepared,
};
use lithify::error::{Error, ErrorKind, Result};
use lithify::look::look;
use lithify::machine::{Machine, show_size};
use lithify::plan::{Plan, Target, Tasks, advice, settled, unknown};
use lithify::saved::SavedPlan;
use lithify::scan::profile::Profile;
use lithify::source::{Choice, Source};
use lithify::write::manifest::{Manifest, NAME};
use lithify::write::repair::repair;
use lithify::write::verify::{verify, verify_against_source};
use lithify::write::{Asked, Staging, WriteOptions, check_target, stage};
use lithify::{Portion, scan, show};

use crate::Outcome;
use crate::args::{Cli, Command, Dataset, Features, Planning, Run};
use crate::context::Context;
use crate::json;
use crate::progress::tell;
use crate::report;
use crate::terminal;

pub fn run(command: Command, program: &Path) -> Result<Outcome> {
    match command {
        Command::Scan { dataset, features, share, run, json, html } => match share.tasks {
            None if share.task.task.is_some() => {
                Err(Error::request("it is not said how many tasks there are").hint("add `--tasks N`"))
            }
            Some(_) => crate::batch::scan_task(&dataset, &features, &share, &run),
            None => scan_command(&dataset, &features, &run, json, html.as_deref()),
        },
        Command::Convert { dataset, output, wanted, writing, run, dry_run, json } => {
            let context = Context::new(&run, &output)?;
            let request = wanted.request()?;
            let target = wanted.target(output, &dataset)?;
            let writing = context.writing(&writing);
            let job =
                Job { request: &request, target: &target, machine: &context.machine, writing: &writing };
            if let Some(portions) = dataset.portions()? {
                return context.convert_portions(&dataset, &job, &portions, dry_run, json);
            }
            let source = context.open(&dataset, &request, dataset.choice())?;
            if dry_run {
                let (profile, plan) = scan_and_plan(source.as_ref(), &job, &[])?;
                return show_plan(&profile, &plan, &context.machine, json);
            }
            context.convert(source.as_ref(), &job, json)
        }
        Command::Plan(planning) => plan_command(*planning),
        Command::Write { plan: path, task, scratch, writing, run, json } => {
            let saved = SavedPlan::open(&path)?;
            if task.task.is_some() || saved.head().tasks.is_some() {
                return crate::batch::write_task(&saved, &task, scratch.as_deref(), &writing, &run);
            }
            let plan = saved.whole()?;
            let context = Context::new(&run, &plan.output)?;
            let source = reopen(&plan.format, &plan.parts, &plan.choice, &plan.request, &context.machine)?;
            let (request, target) = (plan.request.clone(), plan.target());
            let writing = context.writing(&writing);
            let job =
                Job { request: &request, target: &target, machine: &context.machine, writing: &writing };
            let start = Instant::now();
            let ready = prepare_plan(source.as_ref(), &job, plan)?;
            context.finish(source.as_ref(), &job, ready, start, json)
        }
        Command::Finish { plan, overwrite, no_sync, run, json } => {
            crate::batch::finish(&plan, (overwrite, no_sync), &run, json)
        }
        Command::Status { plan, json } => crate::batch::status(&plan, json),
        Command::Slurm(planning) => crate::batch::slurm(&planning, program),
        Command::Verify { output, against_source, run } => verify_command(&output, against_source, &run),
        Command::Repair { output, run } => repair_command(&output, &run),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lithify", &mut script);
            print(&String::from_utf8_lossy(&script))?;
            Ok(Outcome::Done)
        }
        Command::Man { directory } => {
            fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, e))?;
            clap_mangen::generate_to(Cli::command(), &directory)
                .map_err(|e| Error::io("write manual pages into", &directory, e))?;
            Ok(Outcome::Done)
        }
        Command::Info { output, json, html, sheet } => {
            html.iter().chain(&sheet).try_for_each(|path| check_report(path))?;
            let manifest = if html.is_some() || sheet.is_some() {
                let look = look(&output, LOOKED_AT, &())?;
                if let Some(path) = html {
                    write_report(&path, report::output(&look, &output)?.as_bytes(), false)?;
                }
                if let Some(path) = sheet {
                    write_report(&path, &report::sheet(&look)?, false)?;
                }
                look.manifest
            } else {
                Manifest::read(&output)?
            };
            print(&if json { json::pretty(&manifest)? } else { show::manifest(&manifest) })?;
            Ok(Outcome::Done)
        }
    }
}

fn plan_command(planning: Planning) -> Result<Outcome> {
    let Planning { dataset, to, output, wanted, tasks, run } = planning;
    let context = Context::new(&run, &to)?;
    let request = wanted.request()?;
    if dataset.portions()?.is_some() {
        return Err(Error::request("a plan is for one output, and `--split` names several"));
    }
    check_place(&output, &absolute(&to))?;
    let of_tasks = tasks.count.map(|count| Tasks::new(count, tasks.align, tasks.overwrite)).transpose()?;
    let source = context.open(&dataset, &request, dataset.choice())?;
    let target = wanted.target(absolute(&to), &dataset)?;
    let writing =
        WriteOptions { overwrite: false, restart: false, durable: None, progress: &context.progress };
    let mut machine = context.machine.clone();
    if of_tasks.is_some() {
        // What it has of the disk it need not get once more.
        machine.disk = machine.disk.saturating_add(disk_taken(&target.output));
    }
    let job = Job { request: &request, target: &target, machine: &machine, writing: &writing };
    let bad = if of_tasks.is_some() { found_bad(source.as_ref(), &job)? } else { Vec::new() };
    let (profile, plan) = match &tasks.profiles {
        Some(_) if !bad.is_empty() => {
            let message = format!("tasks have found {} to be bad", show::plural(bad.len() as u64, "element"));
            return Err(Error::request(message)
                .hint("leave `--profiles` out: a new scan then leaves these out, too, for which `--restart` is needed"));
        }
        Some(profiles) => plan_of_profiles(source.as_ref(), &job, profiles)?,
        None => scan_and_plan(source.as_ref(), &job, &bad)?,
    };
    let plan = if let Some(of_tasks) = of_tasks {
        let plan = begin(plan, of_tasks, &output, tasks.restart, &bad)?;
        if plan.blocks() < of_tasks.count && !run.quiet {
            let (blocks, tasks) = (show::plural(plan.blocks(), "block"), of_tasks.count);
            tell(format_args!(
                "note: all of it is {blocks}, so that not all of {tasks} tasks have something to do"
            ));
        }
        plan
    } else {
        SavedPlan::save(&plan, &output)?.publish()?;
        plan
    };
    if run.quiet {
        return Ok(skipped_or_done(!plan.skipped.is_empty()));
    }
    show_plan(&profile, &plan, &context.machine, false)
}

impl Context {
    fn convert(&self, source: &dyn Source, job: &Job<'_>, json: bool) -> Result<Outcome> {
        let start = Instant::now();
        let ready = prepare(source, job)?;
        if let Ready::Go(prepared) = &ready
            && let (Some(profile), false) = (&prepared.profile, self.quiet)
        {
            for advice in advice::for_plan(profile, &prepared.plan, job.machine) {
                tell(format_args!("advice: {advice}"));
            }
        }
        self.finish(source, job, ready, start, json)
    }

    /// Converts portions of a dataset, each to an output of its own, all of the shapes that the whole needs.
    fn convert_portions(
        &self,
        dataset: &Dataset,
        job: &Job<'_>,
        portions: &[Portion],
        dry_run: bool,
        json: bool,
    ) -> Result<Outcome> {
        let target_of =
            |portion: &Portion| Target { output: portion.output(&job.target.output), ..job.target.clone() };
        let targets: Vec<Target> = portions.iter().map(target_of).collect();
        // Where one is not there, those that are may be of a run of the same that was ended.
        let is_there = |target: &&Target| target.output.exists();
        let is_done = |target: &Target| is_there(&target) && !Staging::is_begun(&target.output);
        let ended = !job.writing.overwrite && !targets.iter().all(is_done);
        for target in targets.iter().filter(|target| !ended || !is_there(target)) {
            check_target(target, job.writing.overwrite)?;
        }
        refuse_others(&job.target.output, &targets)?;
        refuse_skip(job.target.on_error)?;
        // Which shapes there are does not depend on the order, which costs memory and time.
        let whole = self.open(dataset, job.request, Choice { shuffle: None, ..dataset.choice() })?;
        let (profile, plan) = scan_and_plan(whole.as_ref(), job, &[])?;
        let request = settled(&plan);
        let rows_of = |portion: &Portion| portion.rows(profile.elements);
        if let Some(empty) = portions.iter().find(|portion| rows_of(portion)[0] == rows_of(portion)[1]) {
            let message = format!("of {} elements, the share of `{}` is none", profile.elements, empty.name);
            return Err(Error::request(message).hint("give it a larger share"));
        }
        for (portion, target) in portions.iter().zip(targets) {
            let choice = Choice { rows: Some(rows_of(portion)), ..dataset.choice() };
            let job = Job { request: &request, target: &target, ..*job };
            if dry_run {
                let source = self.open(dataset, &request, choice)?;
                let (profile, plan) = scan_and_plan(source.as_ref(), &job, &[])?;
                show_plan(&profile, &plan, &self.machine, json)?;
                continue;
            }
            let (format, parts) = (whole.format(), whole.parts());
            let asked = Asked { format, parts, choice: &choice, request: &request, target: &target };
            let (staging, complete) = stage(&asked, job.writing.restart)?;
            drop(staging);
            if let Some(manifest) = complete.or_else(|| asked.done().filter(|_| ended)) {
                self.finish(whole.as_ref(), &job, Ready::Done(Box::new(manifest)), Instant::now(), json)?;
                continue;
            }
            let source = self.open(dataset, &request, choice)?;
            self.convert(source.as_ref(), &job, json)?;
        }
        Ok(Outcome::Done)
    }

    fn finish(
        &self,
        source: &dyn Source,
        job: &Job<'_>,
        ready: Ready,
        start: Instant,
        json: bool,
    ) -> Result<Outcome> {
        let (manifest, written) = match ready {
            Ready::Done(manifest) => (*manifest, false),
            Ready::Go(prepared) => (write_prepared(source, job, *prepared)?, true),
        };
        if json {
            print(&json::pretty(&json::outcome(&manifest, job.target))?)?;
        } else if !self.quiet {
            print(&show::manifest(&manifest))?;
            print(&if written {
                summary(&manifest, job.target, start)
            } else {
                format!("\n`{}` was complete already\n", job.target.output.display())
            })?;
        }
        Ok(skipped_or_done(!manifest.skipped.is_empty()))
    }
}

/// Refuses to put parts of a dataset beside outputs that are none of them: an element might be in several.
fn refuse_others(directory: &Path, targets: &[Target]) -> Result<()> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut outputs = entries.map(|entry| entry.path()).filter(|path| path.join(NAME).is_file());
    match outputs.find(|path| targets.iter().all(|target| target.output != *path)) {
        Some(other) => Err(Error::new(
            ErrorKind::Output,
            format!("`{}` is there, and is none of the parts that `--split` names", other.display()),
        )
        .hint("remove it, or give another output")),
        None => Ok(()),
    }
}

fn show_plan(profile: &Profile, plan: &Plan, machine: &Machine, json: bool) -> Result<Outcome> {
    if json {
        print(&json::pretty(&json::plan(profile, plan, machine))?)?;
    } else {
        print(&show::plan(profile, plan, machine))?;
    }
    Ok(skipped_or_done(!plan.skipped.is_empty()))
}

/// Elements of a feature that are shown.
const LOOKED_AT: u64 = 12;

/// Bytes among which a report says whose it is.
const REPORT_HEAD: u64 = 512;
/// Who has made a report, as it says itself.
const NAMED: &[u8] = b"lithify";

/// Looks at what a report would take the place of: an older one, and nothing else.
fn check_report(path: &Path) -> Result<()> {
    // What is a pipe or a device is not there to be read.
    if !fs::metadata(path).is_ok_and(|there| there.is_file()) {
        return Ok(());
    }
    let mut head = Vec::new();
    let file = fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    file.take(REPORT_HEAD).read_to_end(&mut head).map_err(|e| Error::io("read", path, e))?;
    if head.is_empty() || head.windows(NAMED.len()).any(|part| part == NAMED) {
        return Ok(());
    }
    let message = format!("`{}` is there already, and is no report of lithify", path.display());
    Err(Error::new(ErrorKind::Output, message).hint("give the report another name"))
}

fn write_report(path: &Path, bytes: &[u8], quiet: bool) -> Result<()> {
    fs::write(path, bytes).map_err(|e| Error::io("write", path, e))?;
    if !quiet {
        tell(format_args!("wrote `{}`", path.display()));
    }
    Ok(())
}

fn scan_command(
    dataset: &Dataset,
    features: &Features,
    run: &Run,
    json: bool,
    html: Option<&Path>,
) -> Result<Outcome> {
    let context = Context::new(run, Path::new("output"))?;
    html.map_or(Ok(()), check_report)?;
    let request = features.request()?;
    let source = context.open(dataset, &request, dataset.choice())?;
    let profile = scan(source.as_ref(), &context.scanning(&request, dataset))?;
    if json {
        print(&json::pretty(&json::profile(&profile, &context.machine))?)?;
    } else {
        print(&show::profile(&profile, &context.machine, terminal::window()))?;
    }
    if let Some(path) = html {
        write_report(
            path,
            report::profile(&profile, &context.machine, &dataset.inputs).as_bytes(),
            run.quiet,
        )?;
    }
    let unmet = if profile.elements == 0 { unmet(source.as_ref(), &context.machine) } else { None };
    for hint in unmet.into_iter().chain(unknown(&profile, &request)) {
        tell(format_args!("hint: {hint}"));
    }
    Ok(skipped_or_done(!profile.skipped.is_empty()))
}

fn verify_command(output: &Path, against_source: bool, run: &Run) -> Result<Outcome> {
    let context = Context::new(run, output)?;
    let manifest = Manifest::read(output)?;
    let mut differences = verify(output, context.machine.threads, &context.progress)?;
    if against_source {
        let (source, plan) = made_of(output, &context.machine, &context.progress)?;
        differences.extend(verify_against_source(output, source.as_ref(), &plan, &context.progress)?);
    }
    for difference in &differences {
        print(&format!("`{}`: {}\n", difference.file.display(), difference.what))?;
    }
    if !differences.is_empty() {
        return Ok(Outcome::Failed);
    }
    if !run.quiet {
        let source = if against_source { ", and what the dataset gives" } else { "" };
        print(&format!(
            "{} in {} are as written{source}\n",
            show_size(manifest.bytes()),
            show::plural(manifest.arrays.len() as u64, "array")
        ))?;
    }
    Ok(Outcome::Done)
}

fn repair_command(output: &Path, run: &Run) -> Result<Outcome> {
    let context = Context::new(run, output)?;
    if verify(output, context.machine.threads, &context.progress)?.is_empty() {
        if !run.quiet {
            print("there is nothing to repair\n")?;
        }
        return Ok(Outcome::Done);
    }
    let (source, plan) = made_of(output, &context.machine, &context.progress)?;
    let (damaged, left) = repair(output, source.as_ref(), &plan, &context.progress)?;
    for difference in &damaged {
        let cured = if left.contains(difference) { "" } else { ": written anew" };
        print(&format!("`{}`: {}{cured}\n", difference.file.display(), difference.what))?;
    }
    Ok(if left.is_empty() { Outcome::Done } else { Outcome::Failed })
}

pub fn skipped_or_done(skipped: bool) -> Outcome {
    if skipped { Outcome::Skipped } else { Outcome::Done }
}

/// The last lines of a conversion: how much, how fast, and whether memory was kept to.
fn summary(manifest: &Manifest, target: &Target, start: Instant) -> String {
    let bytes = manifest.bytes();
    let seconds = start.elapsed().as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate to be read"
    )]
    let rate = (bytes as f64 / seconds) as u64;
    let how = match manifest.stored_bytes() {
        Some(stored) => {
            format!("as {} in {}", show_size(stored), show::plural(manifest.files.len() as u64, "file"))
        }
        None => manifest.run.io.to_string(),
    };
    let peak = lithify::machine::peak_memory().map_or("unknown".into(), show_size);
    format!(
        "\nwrote {} to `{}` in {seconds:.2} s, {}/s, {how}\nmemory: {peak} at most, {} planned\n",
        show_size(bytes),
        target.output.display(),
        show_size(rate),
        show_size(manifest.run.planned_memory),
    )
}

pub fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Prints to standard output. A reader that has gone, as `head` does, ends the output and is no error.
pub fn print(text: &str) -> Result<()> {
    let text = terminal::painted(text, &io::stdout());
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to", Path::new("standard output"), e))
        }
        _ => Ok(()),
    }
}
