//! What a batch scheduler gives a task, as far as variables tell. The kernel need not know of it: where tasks are not
//! bound to cores, each of them sees all of the node.

use crate::environment::{Environment, value};

/// What launchers call the number of tasks that they have started on this node.
const LOCAL_SIZES: [&str; 5] = [
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "MV2_COMM_WORLD_LOCAL_SIZE",
    "PALS_LOCAL_SIZE",
    "LOCAL_WORLD_SIZE",
];

/// Processors that a task may use, by others than Slurm: SGE, PBS and LSF, and what a user has said to all programs.
const PROCESSORS: [&str; 4] = ["NSLOTS", "NCPUS", "LSB_DJOB_NUMPROC", "OMP_NUM_THREADS"];

/// The processors that this task was given: the least that is said.
pub(super) fn processors(environment: &Environment<'_>) -> Option<u64> {
    let others = PROCESSORS.iter().filter_map(|name| number(environment, name));
    others.chain(slurm_processors(environment)).min()
}

/// The memory that this task was given, in bytes, and what says so.
pub(super) fn memory(environment: &Environment<'_>) -> Option<(u64, String)> {
    value(environment, "SLURM_JOB_ID")?;
    let by_node = number(environment, "SLURM_MEM_PER_NODE").map(|mib| {
        let tasks = number_of_tasks(environment);
        (mib.saturating_mul(1 << 20) / tasks, shared("SLURM_MEM_PER_NODE", tasks))
    });
    let by_processor = number(environment, "SLURM_MEM_PER_CPU").and_then(|mib| {
        let bytes = mib.saturating_mul(1 << 20).saturating_mul(slurm_processors(environment)?);
        Some((bytes, "SLURM_MEM_PER_CPU".into()))
    });
    by_node.into_iter().chain(by_processor).min()
}

/// A limit's name, where so many tasks have it together.
pub(super) fn shared(limit: &str, tasks: u64) -> String {
    if tasks > 1 { format!("{limit}, shared by {tasks} tasks,") } else { limit.to_owned() }
}

/// Tasks that are known to run on this node at once, this one among them: they share what the node has.
pub(super) fn running_tasks(environment: &Environment<'_>) -> u64 {
    let slurm = value(environment, "SLURM_JOB_ID").and(most(environment, "SLURM_STEP_TASKS_PER_NODE"));
    // An MPI that Slurm has started one process of on each node starts its own there.
    let started = LOCAL_SIZES.iter().filter_map(|name| number(environment, name));
    started.chain(slurm).max().unwrap_or(1)
}

/// Tasks that Slurm was asked to have on this node: without a step, as many may be started by the script.
fn number_of_tasks(environment: &Environment<'_>) -> u64 {
    let asked = ["SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE"]
        .iter()
        .find_map(|name| most(environment, name));
    asked.unwrap_or(1).max(running_tasks(environment))
}

fn slurm_processors(environment: &Environment<'_>) -> Option<u64> {
    value(environment, "SLURM_JOB_ID")?;
    number(environment, "SLURM_CPUS_PER_TASK").or_else(|| {
        let node = number(environment, "SLURM_CPUS_ON_NODE")?;
        Some((node / number_of_tasks(environment)).max(1))
    })
}

/// The number that a variable begins with: lists, as of threads on each level, begin with what counts here.
/// What is no number, or 0, limits nothing.
fn number(environment: &Environment<'_>, name: &str) -> Option<u64> {
    let text = value(environment, name)?;
    text.split(',').next()?.trim().parse().ok().filter(|number| *number > 0)
}

/// The largest of numbers as Slurm writes them for all nodes, as in `2(x3),1`. Which of them this node has is not
/// said everywhere, and too few threads are better than too many.
fn most(environment: &Environment<'_>, name: &str) -> Option<u64> {
    let text = value(environment, name)?;
    let numbers = text.split(',').filter_map(|one| one.split('(').next()?.trim().parse::<u64>().ok());
    numbers.max().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::of;

    #[test]
    fn processors_are_what_the_scheduler_gives_a_task() {
        for (variables, expected) in [
            ("", None),
            ("SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=3 SLURM_CPUS_ON_NODE=8", Some(3)),
            // Left over from a job, as in a shell that a terminal multiplexer kept.
            ("SLURM_CPUS_PER_TASK=3 SLURM_CPUS_ON_NODE=8", None),
            ("SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=8", Some(8)),
            ("SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=8 SLURM_TASKS_PER_NODE=4", Some(2)),
            ("SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=8 SLURM_NTASKS_PER_NODE=2", Some(4)),
            ("SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=8 SLURM_TASKS_PER_NODE=2(x3),1", Some(4)),
            ("SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=8 SLURM_TASKS_PER_NODE=1,4(x2)", Some(2)),
            // The step counts, not the job.
            (
                "SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=8 SLURM_TASKS_PER_NODE=8 SLURM_STEP_TASKS_PER_NODE=2",
                Some(4),
            ),
            // `mpirun` has had one process started on each node, which started four.
            (
                "SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=8 SLURM_STEP_TASKS_PER_NODE=1(x2) OMPI_COMM_WORLD_LOCAL_SIZE=4",
                Some(2),
            ),
            ("SLURM_JOB_ID=7 SLURM_CPUS_ON_NODE=1 SLURM_TASKS_PER_NODE=4", Some(1)),
            ("NSLOTS=6", Some(6)),
            ("NCPUS=5 OMP_NUM_THREADS=4,2", Some(4)),
            ("LSB_DJOB_NUMPROC=12", Some(12)),
            ("NSLOTS=0 NCPUS=many OMP_NUM_THREADS= LSB_DJOB_NUMPROC=-1", None),
            ("SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=4 OMP_NUM_THREADS=2", Some(2)),
        ] {
            assert_eq!(processors(&of(variables)), expected, "{variables}");
        }
    }

    #[test]
    fn memory_is_what_the_scheduler_gives_a_task() {
        for (variables, expected) in [
            ("", None),
            ("SLURM_MEM_PER_NODE=1024", None),
            ("SLURM_JOB_ID=7 SLURM_MEM_PER_NODE=1024", Some((1024, "SLURM_MEM_PER_NODE"))),
            (
                "SLURM_JOB_ID=7 SLURM_MEM_PER_NODE=1024 SLURM_STEP_TASKS_PER_NODE=4(x2)",
                Some((256, "SLURM_MEM_PER_NODE, shared by 4 tasks,")),
            ),
            ("SLURM_JOB_ID=7 SLURM_MEM_PER_CPU=100 SLURM_CPUS_PER_TASK=3", Some((300, "SLURM_MEM_PER_CPU"))),
            (
                "SLURM_JOB_ID=7 SLURM_MEM_PER_CPU=100 SLURM_CPUS_ON_NODE=8 SLURM_TASKS_PER_NODE=2",
                Some((400, "SLURM_MEM_PER_CPU")),
            ),
            // All of the node.
            ("SLURM_JOB_ID=7 SLURM_MEM_PER_NODE=0", None),
            ("SLURM_JOB_ID=7 SLURM_MEM_PER_NODE=99999999999999999999", None),
        ] {
            let expected = expected.map(|(mib, name): (u64, &str)| (mib << 20, name.to_owned()));
            assert_eq!(memory(&of(variables)), expected, "{variables}");
        }
    }

    #[test]
    fn tasks_that_run_beside_this_one_are_counted() {
        for (variables, expected) in [
            ("", 1),
            ("SLURM_JOB_ID=7 SLURM_TASKS_PER_NODE=4", 1),
            ("SLURM_JOB_ID=7 SLURM_STEP_TASKS_PER_NODE=4", 4),
            ("LOCAL_WORLD_SIZE=8", 8),
        ] {
            assert_eq!(running_tasks(&of(variables)), expected, "{variables}");
        }
    }
}
