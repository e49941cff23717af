//! Which task of a plan this process is, by the launcher that started it: a job array, `srun`, `mpirun` or the like.
//!
//! How many tasks there are is the plan's to say. What a launcher says of that only helps to refuse what would leave
//! tasks undone in silence; what it says of an array's size not even that, since failed elements are submitted again alone.

mod known;

use crate::environment::{self, Environment, value};
use crate::error::{Error, Result};
use known::{Index, Rank};

/// What the launcher says of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The task that this process is to do. `None` if more processes were started than the plan has tasks: there is
    /// nothing to do for this one, and nothing is wrong.
    pub task: Option<u64>,
    /// The variables that say so, as in `SLURM_ARRAY_TASK_ID x SLURM_PROCID`.
    pub by: String,
    /// What the user should know of it.
    pub note: Option<String>,
}

/// [`task`] by the variables of this process.
///
/// # Errors
/// As [`task`].
pub fn task_here(tasks: u64, base: Option<u64>) -> Result<Launched> {
    task(&environment::here, tasks, base)
}

/// Which of `tasks` tasks this process is. `base` is what job arrays count from, where it is not what their scheduler
/// does by itself (LSF and SGE count from 1, the others from 0).
///
/// # Errors
/// The variables name no task, several, or one that is not there; or they tell that tasks would be left to nobody.
pub fn task(environment: &Environment<'_>, tasks: u64, base: Option<u64>) -> Result<Launched> {
    let index = one_index(known::indices(environment, base)?)?;
    let rank = one_rank(without_daemons(environment, known::ranks(environment)?))?;
    match (index, rank) {
        (None, None) => Err(nothing(environment)),
        (None, Some(rank)) => of_ranks(&rank, tasks, base),
        (Some(index), None) => {
            let note = tasks_without_srun(environment).map(|started| {
                format!("SLURM_NTASKS is {started}, but no `srun` has started this process: an element of the array does one task")
            });
            Ok(Launched { note, ..of_array(&index, tasks)? })
        }
        // As `srun` without a number, or each of Flux's jobs: all but the array is trivial.
        (Some(index), Some(rank)) if rank.size == Some(1) => of_array(&index, tasks),
        (Some(index), Some(rank)) => of_both(&index, &rank, tasks),
    }
}

/// The index on which all variables agree.
fn one_index(found: Vec<Index>) -> Result<Option<Index>> {
    if found.windows(2).all(|pair| pair[0].at == pair[1].at) {
        return Ok(found.into_iter().next());
    }
    let said: Vec<_> = found.iter().map(Index::said).collect();
    let ways: Vec<_> = found.iter().map(Index::way).collect();
    Err(Error::request(format!("several job arrays claim this process: {}", said.join(", ")))
        .hint(format!("say which of them counts: {}", ways.join(" or "))))
}

/// The rank on which all variables agree.
fn one_rank(found: Vec<Rank>) -> Result<Option<Rank>> {
    if agree(&found) {
        let size = found.iter().find_map(|rank| rank.size);
        let local = found.iter().find_map(|rank| rank.local);
        return Ok(found.into_iter().next().map(|rank| Rank { size, local, ..rank }));
    }
    let said: Vec<_> = found.iter().map(Rank::said).collect();
    let ways: Vec<_> = found.iter().map(|rank| format!("`--task ${}`", rank.name)).collect();
    Err(Error::request(format!("several launchers claim this process: {}", said.join(", ")))
        .hint(format!("say which of them counts: {}", ways.join(" or ")))
        .hint("in a shell of each process, as with `srun bash -c '…'`: the shell that starts them all knows no rank"))
}

fn agree(found: &[Rank]) -> bool {
    let known = |size: fn(&Rank) -> Option<u64>| {
        let mut sizes = found.iter().filter_map(size);
        sizes.next().is_none_or(|first| sizes.all(|other| other == first))
    };
    known(|rank| Some(rank.at)) && known(|rank| rank.size)
}

/// Ranks without those of the daemons by which another launcher started this process: in a job of Slurm, `mpirun` has
/// `srun` start one daemon on each node, and processes inherit the variables of their daemon.
fn without_daemons(environment: &Environment<'_>, mut found: Vec<Rank>) -> Vec<Rank> {
    let daemons = |rank: &Rank| {
        rank.name == known::SLURM_RANK
            && rank.size.is_some()
            && known::number(environment, "SLURM_STEP_NUM_NODES").is_ok_and(|nodes| nodes == rank.size)
    };
    let most = found.iter().filter_map(|rank| rank.size).max();
    if !agree(&found) {
        found.retain(|rank| rank.size == most || !daemons(rank));
    }
    found
}

fn of_ranks(rank: &Rank, tasks: u64, base: Option<u64>) -> Result<Launched> {
    if base.is_some_and(|base| base > 0) {
        return Err(Error::request(format!("{} counts from 0", rank.said()))
            .hint("leave out `--task-base`, which is for job arrays"));
    }
    let unknown = "it does not say how many processes there are: `lithify finish` tells if tasks are missing";
    let note = match rank.size {
        Some(size) if size < tasks => {
            let left = tasks - size;
            return Err(Error::request(format!(
                "{} started, but there are {tasks} tasks: {left} of them would be done by nobody ({})",
                if size == 1 { "1 process was".into() } else { format!("{size} processes were") },
                rank.said()
            ))
            .hint(format!("start {tasks} processes, or a job array of {tasks}"))
            .hint(format!("or share the work anew with `--tasks {size}`")));
        }
        _ if rank.at >= tasks => Some(nothing_left(&rank.said(), tasks)),
        None => Some(unknown.into()),
        Some(_) => None,
    };
    let task = Some(rank.at).filter(|task| *task < tasks);
    Ok(Launched { task, by: rank.name.into(), note })
}

fn of_array(index: &Index, tasks: u64) -> Result<Launched> {
    if index.at >= tasks {
        return Err(beyond(index, tasks, &format!("{tasks} tasks")));
    }
    Ok(Launched { task: Some(index.at), by: index.name.into(), note: None })
}

/// The array's element has started processes of its own, each of which does a task.
fn of_both(index: &Index, rank: &Rank, tasks: u64) -> Result<Launched> {
    let by = format!("{} x {}", index.name, rank.name);
    let refused = |why: &str| {
        Error::request(format!("{} and {}: {why}", index.said(), rank.said()))
            .hint(format!("say which task this is: {}, or what you make of both", index.way()))
    };
    let Some(size) = rank.size else {
        return Err(refused("how many processes each element of the array starts is not known"));
    };
    // There, an array is also how the processes of one world are started.
    if index.may_be_ranks && rank.local != Some(size) {
        return Err(refused("the processes may be those of one element, or of all"));
    }
    if index.at.saturating_mul(size) >= tasks {
        return Err(beyond(index, tasks.div_ceil(size), &format!("{tasks} tasks, {size} for each element")));
    }
    let task = index.at * size + rank.at;
    let note = (task >= tasks).then(|| nothing_left(&format!("{}, {}", index.said(), rank.said()), tasks));
    Ok(Launched { task: Some(task).filter(|task| *task < tasks), by, note })
}

fn nothing_left(said: &str, tasks: u64) -> String {
    format!("there are {tasks} tasks, so this process has nothing to do ({said})")
}

/// An element that an array of `elements` does not have.
fn beyond(index: &Index, elements: u64, what: &str) -> Error {
    let (first, last) = (index.base, (index.base + elements).saturating_sub(1));
    let error = Error::request(format!("{} is no element of {first}-{last}: there are {what}", index.said()))
        .hint(format!("submit the array as `{first}-{last}`"));
    if index.at == elements {
        let other = index.base + 1;
        return error.hint(format!("or, if it counts from {other}, give `--task-base {other}`"));
    }
    error
}

/// How many tasks Slurm was asked for, where the script runs itself, without `srun`.
fn tasks_without_srun(environment: &Environment<'_>) -> Option<u64> {
    let in_job = value(environment, "SLURM_JOB_ID").is_some() && !known::in_step(environment);
    let tasks = known::number(environment, "SLURM_NTASKS").ok().flatten();
    tasks.filter(|tasks| in_job && *tasks > 1)
}

fn nothing(environment: &Environment<'_>) -> Error {
    if let Some(tasks) = tasks_without_srun(environment) {
        return Error::request(format!(
            "Slurm was asked for {tasks} tasks, but the script runs once, and this process would do one of them"
        ))
        .hint("put `srun` before `lithify`: it starts one process for each task")
        .hint("or submit an array of single tasks: `sbatch --array`, and no `-n`");
    }
    Error::request("`--task auto` has found no launcher that says which task this is")
        .hint("it knows job arrays of Slurm, PBS, LSF, SGE, Flux, Kubernetes, AWS Batch and Google Batch")
        .hint("and processes that `srun`, `mpirun`, `flux run` or `torchrun` has started")
        .hint("without any of them, say which: `--task K`, from 0")
}

#[cfg(test)]
mod tests;
