//! The commands of a batch job: tasks, what they leave, and the script that submits them.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;

use lithify::Error;
use lithify::batch::{self, Status, TaskOptions, TaskReport};
use lithify::error::Result;
use lithify::launcher;
use lithify::plan::Io;
use lithify::plan::request::FitRequest;
use lithify::saved::SavedPlan;
use lithify::scan::Share;
use lithify::show::{self, plural};

use crate::Outcome;
use crate::args::{Dataset, Features, Planning, Run, ScanShare, Task, TaskNumber, Writing};
use crate::commands::{absolute, print, skipped_or_done};
use crate::context::Context;
use crate::json;
use crate::progress::tell;

/// Tasks that are named one by one.
const SHOWN: usize = 20;

impl Task {
    /// Which of so many tasks this is; nothing if it is one too many.
    fn number(&self, tasks: u64) -> Result<Option<u64>> {
        let base = self.task_base.unwrap_or(0);
        match self.task {
            None => Err(Error::request(format!("it is the plan of {tasks} tasks"))
                .hint("say which one: `--task K`, from 0 on; or `--task auto`, under a launcher")
                .hint("see how far they are: `lithify status PLAN`")),
            Some(TaskNumber::Is(number)) => number.checked_sub(base).map(Some).ok_or_else(|| {
                Error::request(format!("task {number} comes before the first, which is said to be {base}"))
            }),
            Some(TaskNumber::Auto) => {
                let found = launcher::task_here(tasks, self.task_base)?;
                match found.task {
                    Some(task) => tell(format_args!("task {task}, by {}", found.by)),
                    None => tell(format_args!("nothing to do, by {}", found.by)),
                }
                found.note.iter().for_each(|note| tell(format_args!("{note}")));
                Ok(found.task)
            }
        }
    }
}

pub fn scan_task(dataset: &Dataset, features: &Features, share: &ScanShare, run: &Run) -> Result<Outcome> {
    let (Some(count), Some(profiles)) = (share.tasks, &share.profiles) else {
        return Err(Error::request("a share of a scan is given by `--tasks`, `--task` and `-o`"));
    };
    let Some(number) = share.task.number(count)? else { return Ok(Outcome::Done) };
    let context = Context::new(run, profiles)?;
    let request = features.request()?;
    let source = context.open(dataset, &request, dataset.choice())?;
    let options = context.scanning(&request, dataset);
    let profile = batch::scan_task(source.as_ref(), &options, Share { number, count }, profiles)?;
    if !run.quiet {
        print(&format!(
            "scanned {} of {}, share {number} of {count}\n",
            plural(profile.elements, "element"),
            plural(profile.parts.len() as u64, "file")
        ))?;
    }
    Ok(skipped_or_done(!profile.skipped.is_empty()))
}

pub fn write_task(
    saved: &SavedPlan,
    task: &Task,
    scratch: Option<&Path>,
    writing: &Writing,
    run: &Run,
) -> Result<Outcome> {
    let Some(number) = task.number(batch::count(saved)?)? else { return Ok(Outcome::Done) };
    let context = Context::new(run, &saved.head().output)?;
    let writing = context.writing(writing);
    let options = TaskOptions { writing: &writing, scratch };
    let report = batch::run(saved, number, &context.machine, &options)?;
    if !run.quiet {
        print(&match report {
            TaskReport::WasDone => format!("task {number} was done already\n"),
            TaskReport::Done { blocks, .. } => {
                format!("task {number} is done: {}\n", plural(blocks, "block"))
            }
        })?;
    }
    Ok(Outcome::Done)
}

pub fn finish(path: &Path, (overwrite, no_sync): (bool, bool), run: &Run, json: bool) -> Result<Outcome> {
    let saved = SavedPlan::open(path)?;
    let output = saved.head().output.clone();
    let context = Context::new(run, &output)?;
    let manifest = batch::finish(&saved, &context.machine, (overwrite, !no_sync), &context.progress)?;
    if json {
        print(&json::pretty(&json::outcome(&manifest, &saved.head().target()))?)?;
    } else if !run.quiet {
        print(&show::manifest(&manifest))?;
        print(&format!("\n`{}` is complete\n", output.display()))?;
    }
    Ok(skipped_or_done(!manifest.skipped.is_empty()))
}

pub fn status(path: &Path, json: bool) -> Result<Outcome> {
    let saved = SavedPlan::open(path)?;
    let status = batch::status(&saved)?;
    let output = saved.head().output.display();
    print(&match (&status, json) {
        (status, true) => json::pretty(status)?,
        (None, false) => format!("`{output}` is complete\n"),
        (Some(status), false) => show_status(status),
    })?;
    Ok(Outcome::Done)
}

fn show_status(status: &Status) -> String {
    let mut text = String::new();
    let open: Vec<_> = status.tasks.iter().filter(|task| !task.complete).collect();
    if !open.is_empty() {
        text += "  task  blocks done       state\n";
    }
    for task in open.iter().take(SHOWN) {
        let state = match (task.processes, task.done) {
            (0, _) => "not begun".into(),
            (_, done) if done == task.blocks => "about to be done".into(),
            (1, _) => "begun".into(),
            (times, _) => format!("begun {times} times"),
        };
        let blocks = format!("{} of {}", task.done, task.blocks);
        let _ = writeln!(text, "{:>6}  {blocks:16}  {state}", task.task);
    }
    if open.len() > SHOWN {
        let _ = writeln!(text, "     …  {} more", open.len() - SHOWN);
    }
    let complete = status.tasks.len() - open.len();
    let _ = write!(
        text,
        "{complete} of {} done, {} of {}",
        plural(status.tasks.len() as u64, "task"),
        status.done,
        plural(status.blocks, "block")
    );
    match (status.rate, status.seconds_left) {
        _ if open.is_empty() => text += ": `lithify finish PLAN` completes the output\n",
        (Some(rate), Some(left)) => {
            let _ = writeln!(text, ", {rate:.1} blocks/s, about {left:.0} s left");
        }
        _ => text += "\n",
    }
    text
}

/// The script that submits a conversion to Slurm.
pub fn slurm(planning: &Planning, program: &Path) -> Result<Outcome> {
    let Planning { dataset, to, output, wanted, tasks, run } = planning;
    let Some(count) = tasks.count else {
        return Err(Error::request("it is not said how many tasks there are").hint("add `--tasks N`"));
    };
    // What would fail when its turn comes is said now.
    lithify::plan::Tasks::new(count, tasks.align, tasks.overwrite)?;
    let request = wanted.request()?;
    let target = wanted.target(to.clone(), dataset)?;
    let auto = request.features.iter().any(|wanted| matches!(wanted.fit, Some(FitRequest::AutoBucket(_))));
    let refused = [
        (dataset.limit.is_some(), "`--limit`, which a scan in shares cannot keep to"),
        (dataset.shuffle.is_some(), "`--shuffle`, which reads all of the dataset in each task"),
        (dataset.portions()?.is_some(), "`--split` into several outputs"),
        (auto, "buckets whose lengths are left to the plan, which need a second scan"),
        (target.io == Io::Mapped, "`--io mapped`: nodes would write each other's bytes back"),
        (tasks.restart, "`--restart`, which must be done once, by hand"),
        (tasks.profiles.is_some(), "`--profiles`, which the script has of its own"),
    ];
    if let Some((_, what)) = refused.into_iter().find(|(given, _)| *given) {
        return Err(Error::request(format!("there is no script with {what}"))
            .hint("run `lithify plan` by hand, and then the tasks as the README says"));
    }
    let inputs = dataset.words().into_iter().chain(wanted.features.words());
    let mut made = vec!["--to".into(), quoted(absolute(to).as_os_str())];
    made.extend(wanted.words());
    made.extend(tasks.words());
    let words = |words: Vec<String>| words.join(" ");
    let script = include_str!("slurm.sh")
        .replace("@LITHIFY@", &quoted(program.as_os_str()))
        .replace("@PLAN@", &quoted(absolute(output).as_os_str()))
        .replace("@TASKS@", &count.to_string())
        .replace("@DATASET@", &words(inputs.collect()))
        .replace("@OUTPUT@", &words(made))
        .replace("@RUN@", &words(run.words()));
    print(&script)?;
    Ok(Outcome::Done)
}

/// A word as a shell reads it.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_for_something_else() {
        let shown = |word: &str| quoted(OsStr::new(word));
        assert_eq!(shown("a/b-1.npy"), "a/b-1.npy");
        assert_eq!(shown("a b'c"), "'a b'\\''c'");
        assert_eq!(shown("x: pad=3"), "'x: pad=3'");
        assert_eq!(shown("x: pad=max"), "'x: pad=max'");
        assert_eq!(shown("it's *"), r"'it'\''s *'");
        assert_eq!(shown(""), "''");
    }
}
