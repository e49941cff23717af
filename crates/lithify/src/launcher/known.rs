//! The launchers that are known, and what they call what they say.

use crate::environment::{Environment, value};
use crate::error::{Error, Result};

/// A scheduler's variable for the element of a job array.
struct Array {
    name: &'static str,
    /// What it counts from, unless the user says otherwise.
    base: u64,
    /// What it is set to where there is no array.
    none: &'static str,
    /// Whether the elements of one job may be started to form one world of ranks.
    may_be_ranks: bool,
}

impl Array {
    const fn new(name: &'static str) -> Self {
        Self { name, base: 0, none: "", may_be_ranks: false }
    }
}

const ARRAYS: [Array; 9] = [
    Array::new("SLURM_ARRAY_TASK_ID"),
    // PBS Pro and OpenPBS; Torque.
    Array::new("PBS_ARRAY_INDEX"),
    Array::new("PBS_ARRAYID"),
    Array { base: 1, none: "0", ..Array::new("LSB_JOBINDEX") },
    Array { base: 1, none: "undefined", ..Array::new("SGE_TASK_ID") },
    // Indexed jobs of Kubernetes.
    Array { may_be_ranks: true, ..Array::new("JOB_COMPLETION_INDEX") },
    Array::new("AWS_BATCH_JOB_ARRAY_INDEX"),
    // Google Batch.
    Array { may_be_ranks: true, ..Array::new("BATCH_TASK_INDEX") },
    // `flux submit --cc`.
    Array::new("FLUX_JOB_CC"),
];

/// A launcher's variables for the processes that it has started together.
struct Ranks {
    name: &'static str,
    /// How many there are, by the first of these that is set.
    sizes: &'static [&'static str],
    /// How many of them are on this node.
    local: &'static str,
}

/// What `srun` calls the rank.
pub(super) const SLURM_RANK: &str = "SLURM_PROCID";

/// What `torchrun` calls it: a name that others may use for anything.
const TORCH_RANK: &str = "RANK";

const RANKS: [Ranks; 7] = [
    // The job may have more tasks than the step.
    Ranks { name: SLURM_RANK, sizes: &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"], local: "" },
    Ranks {
        name: "OMPI_COMM_WORLD_RANK",
        sizes: &["OMPI_COMM_WORLD_SIZE"],
        local: "OMPI_COMM_WORLD_LOCAL_SIZE",
    },
    // MPICH, Intel MPI, and `srun --mpi=pmi2`.
    Ranks { name: "PMI_RANK", sizes: &["PMI_SIZE"], local: "MPI_LOCALNRANKS" },
    Ranks {
        name: "MV2_COMM_WORLD_RANK",
        sizes: &["MV2_COMM_WORLD_SIZE"],
        local: "MV2_COMM_WORLD_LOCAL_SIZE",
    },
    Ranks { name: "PALS_RANKID", sizes: &[], local: "PALS_LOCAL_SIZE" },
    Ranks { name: "FLUX_TASK_RANK", sizes: &["FLUX_JOB_SIZE"], local: "" },
    Ranks { name: TORCH_RANK, sizes: &["WORLD_SIZE"], local: "LOCAL_WORLD_SIZE" },
];

/// The element of a job array that this process is.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) name: &'static str,
    /// From 0.
    pub(super) at: u64,
    /// What the array counts from.
    pub(super) base: u64,
    pub(super) may_be_ranks: bool,
}

impl Index {
    /// The variable, as it is set.
    pub(super) fn said(&self) -> String {
        format!("{}={}", self.name, self.at + self.base)
    }

    /// How to ask for what this variable says.
    pub(super) fn way(&self) -> String {
        match self.base {
            0 => format!("`--task ${}`", self.name),
            base => format!("`--task $(({} - {base}))`", self.name),
        }
    }
}

/// The process that this is of those that were started together.
#[derive(Debug)]
pub(super) struct Rank {
    pub(super) name: &'static str,
    pub(super) at: u64,
    /// How many there are, if it is known.
    pub(super) size: Option<u64>,
    /// How many of them are on this node, if it is known.
    pub(super) local: Option<u64>,
}

impl Rank {
    /// The variable, as it is set.
    pub(super) fn said(&self) -> String {
        let size = self.size.map(|size| format!(" of {size}")).unwrap_or_default();
        format!("{}={}{size}", self.name, self.at)
    }
}

/// What the variables for job arrays say.
pub(super) fn indices(environment: &Environment<'_>, base: Option<u64>) -> Result<Vec<Index>> {
    let mut found = Vec::new();
    for array in &ARRAYS {
        if value(environment, array.name).is_some_and(|text| text == array.none) {
            continue;
        }
        let Some(said) = number(environment, array.name)? else { continue };
        let base = base.unwrap_or(array.base);
        let index = said.checked_sub(base).ok_or_else(|| {
            Error::request(format!("{}={said}, but the array is taken to count from {base}", array.name))
                .hint("`--task-base B` says what it counts from")
        })?;
        found.push(Index { name: array.name, at: index, base, may_be_ranks: array.may_be_ranks });
    }
    Ok(found)
}

/// What the variables for ranks say.
pub(super) fn ranks(environment: &Environment<'_>) -> Result<Vec<Rank>> {
    let mut found = Vec::new();
    for ranks in &RANKS {
        let counts = match ranks.name {
            // A batch script is told that it is rank 0, whatever it was to start.
            SLURM_RANK => in_step(environment),
            TORCH_RANK => ranks.sizes.iter().any(|name| value(environment, name).is_some()),
            _ => true,
        };
        if !counts {
            continue;
        }
        let Some(rank) = number(environment, ranks.name)? else { continue };
        let size = ranks.sizes.iter().find(|name| value(environment, name).is_some());
        let size = size.map_or(Ok(None), |name| number(environment, name))?;
        let local = number(environment, ranks.local).ok().flatten();
        let rank = Rank { name: ranks.name, at: rank, size, local };
        if size.is_some_and(|size| rank.at >= size) {
            return Err(Error::request(format!("{} cannot be: ranks count from 0", rank.said()))
                .hint("say which task this is: `--task K`"));
        }
        found.push(rank);
    }
    Ok(found)
}

/// Whether `srun` has started this process. Steps of the highest numbers are not its own: batch scripts and the shells of
/// `salloc`, for which nothing is started beside them.
pub(super) fn in_step(environment: &Environment<'_>) -> bool {
    const FIRST_OF_SLURM: u64 = 0xffff_fff0;
    number(environment, "SLURM_STEP_ID").is_ok_and(|step| step.is_some_and(|step| step < FIRST_OF_SLURM))
}

/// The number that a variable is set to.
pub(super) fn number(environment: &Environment<'_>, name: &str) -> Result<Option<u64>> {
    let Some(text) = value(environment, name) else { return Ok(None) };
    let number = text.parse().map_err(|_| {
        Error::request(format!("{name} is `{}`, which is no number of a task", text.escape_debug()))
            .hint("unset it, or say which task this is: `--task K`")
    })?;
    Ok(Some(number))
}
