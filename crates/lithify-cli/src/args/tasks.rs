//! The flags of a batch job.

use std::path::PathBuf;

use clap::Args;

use super::{Dataset, Run, Wanted, size};

/// What is planned, and for whom.
#[derive(Debug, Args)]
pub struct Planning {
    #[command(flatten)]
    pub dataset: Dataset,
    /// Where the arrays are to go, as `convert -o`.
    #[arg(long, value_name = "OUT")]
    pub to: PathBuf,
    /// The file to save the plan in.
    #[arg(short, long, value_name = "PLAN")]
    pub output: PathBuf,
    #[command(flatten)]
    pub wanted: Wanted,
    #[command(flatten)]
    pub tasks: Tasks,
    #[command(flatten)]
    pub run: Run,
}

/// The tasks of a plan.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tasks of a batch job")]
pub struct Tasks {
    /// Let so many tasks write the arrays: `lithify write PLAN --task K` for each K from 0 on, then `lithify finish PLAN`.
    #[arg(long = "tasks", id = "tasks", value_name = "N")]
    pub count: Option<u64>,
    /// No two tasks write to the same so many bytes of a file: a page, or the stripe of a parallel file system.
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "tasks", default_value = "4KiB")]
    pub align: u64,
    /// Plan by what `lithify scan … --tasks` has saved in this directory, and do not scan.
    #[arg(long, value_name = "DIR")]
    pub profiles: Option<PathBuf>,
    /// Let `finish` replace an output that is there already.
    #[arg(long, requires = "tasks")]
    pub overwrite: bool,
    /// Throw away what tasks of another plan have left of the same output. None may be running any more.
    #[arg(long, requires = "tasks")]
    pub restart: bool,
}

/// Which share of a dataset's files is scanned.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tasks of a batch job")]
pub struct ScanShare {
    /// Scan one of so many shares of the files, for `plan --profiles`.
    #[arg(long, value_name = "N", requires_all = ["task", "profiles"])]
    pub tasks: Option<u64>,
    #[command(flatten)]
    pub task: Task,
    /// The directory to save in what was learnt.
    #[arg(short = 'o', long = "output", id = "profiles", value_name = "PROFILES", requires = "tasks")]
    pub profiles: Option<PathBuf>,
}

/// Which task this is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tasks of a batch job")]
pub struct Task {
    /// Which task this is, from 0 on; or `auto`: what the launcher of this process says (an array of Slurm, PBS, LSF or SGE, `srun`,
    /// `mpirun`, Flux, torchrun, Kubernetes, …).
    #[arg(long, value_name = "K")]
    pub task: Option<TaskNumber>,
    /// The number that the launcher gives to the first task, where that is not 0 (of LSF and SGE, it is known to be 1).
    #[arg(long, value_name = "B", requires = "task")]
    pub task_base: Option<u64>,
}

/// The number of a task, or where it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskNumber {
    /// The launcher tells.
    Auto,
    /// It is given.
    Is(u64),
}

impl std::str::FromStr for TaskNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Is).map_err(|_| "it is neither a number nor `auto`".into()),
        }
    }
}
