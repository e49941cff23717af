use super::*;
use crate::environment::of;
use crate::error::ErrorKind;

fn found(variables: &str, tasks: u64, base: Option<u64>) -> Launched {
    task(&of(variables), tasks, base).unwrap_or_else(|error| panic!("{variables}: {error}"))
}

/// The message of a refusal and its hints, a line each.
fn refused(variables: &str, tasks: u64, base: Option<u64>) -> String {
    let error = task(&of(variables), tasks, base).expect_err(variables);
    assert_eq!(error.kind(), ErrorKind::Request, "{variables}");
    [&[error.message().to_owned()], error.hints()].concat().join("\n")
}

#[test]
fn each_launcher_is_known() {
    let step = "SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_STEP_NUM_NODES=2 SLURM_PROCID=3";
    for (variables, expected, by) in [
        ("SLURM_ARRAY_TASK_ID=3", 3, "SLURM_ARRAY_TASK_ID"),
        // Two failed elements, submitted again.
        (
            "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=7 SLURM_JOB_ID=7",
            7,
            "SLURM_ARRAY_TASK_ID",
        ),
        ("PBS_ARRAY_INDEX=0", 0, "PBS_ARRAY_INDEX"),
        ("PBS_ARRAYID=9", 9, "PBS_ARRAYID"),
        ("PBS_ARRAYID=9 PBS_ARRAY_INDEX=9", 9, "PBS_ARRAY_INDEX"),
        ("LSB_JOBINDEX=1 LSB_JOBINDEX_END=10", 0, "LSB_JOBINDEX"),
        ("LSB_JOBINDEX=10", 9, "LSB_JOBINDEX"),
        ("SGE_TASK_ID=10 SGE_TASK_LAST=10 SGE_TASK_STEPSIZE=1", 9, "SGE_TASK_ID"),
        ("JOB_COMPLETION_INDEX=4", 4, "JOB_COMPLETION_INDEX"),
        ("AWS_BATCH_JOB_ARRAY_INDEX=5", 5, "AWS_BATCH_JOB_ARRAY_INDEX"),
        ("BATCH_TASK_INDEX=6 BATCH_TASK_COUNT=7", 6, "BATCH_TASK_INDEX"),
        ("FLUX_JOB_CC=2 FLUX_TASK_RANK=0 FLUX_JOB_SIZE=1", 2, "FLUX_JOB_CC"),
        (&format!("{step} SLURM_NTASKS=10"), 3, "SLURM_PROCID"),
        (&format!("{step} SLURM_NTASKS=99 SLURM_STEP_NUM_TASKS=10"), 3, "SLURM_PROCID"),
        // `srun --mpi=pmi2`: both are said, and agree.
        (&format!("{step} SLURM_STEP_NUM_TASKS=10 PMI_RANK=3 PMI_SIZE=10"), 3, "SLURM_PROCID"),
        ("OMPI_COMM_WORLD_RANK=9 OMPI_COMM_WORLD_SIZE=10", 9, "OMPI_COMM_WORLD_RANK"),
        ("PMI_RANK=1 PMI_SIZE=10", 1, "PMI_RANK"),
        ("MV2_COMM_WORLD_RANK=2 MV2_COMM_WORLD_SIZE=10", 2, "MV2_COMM_WORLD_RANK"),
        ("PALS_RANKID=2 PMI_RANK=2 PMI_SIZE=10", 2, "PMI_RANK"),
        ("FLUX_TASK_RANK=8 FLUX_JOB_SIZE=10 PMI_RANK=8 PMI_SIZE=10", 8, "PMI_RANK"),
        ("FLUX_TASK_RANK=8 FLUX_JOB_SIZE=10", 8, "FLUX_TASK_RANK"),
        ("RANK=5 WORLD_SIZE=10 LOCAL_RANK=1", 5, "RANK"),
        // No arrays, and nothing that is a rank.
        ("SGE_TASK_ID=undefined LSB_JOBINDEX=0 RANK=colonel PMI_RANK=4 PMI_SIZE=10", 4, "PMI_RANK"),
    ] {
        let expected = Launched { task: Some(expected), by: by.into(), note: None };
        assert_eq!(found(variables, 10, None), expected, "{variables}");
    }
    let unknown = found("PALS_RANKID=2", 10, None);
    assert!(unknown.task == Some(2) && unknown.note.unwrap().contains("lithify finish"));
}

#[test]
fn arrays_count_from_what_the_user_says() {
    for (variables, base, expected) in [
        ("SLURM_ARRAY_TASK_ID=1", 1, 0),
        ("SLURM_ARRAY_TASK_ID=109", 100, 9),
        ("SGE_TASK_ID=1", 1, 0),
        ("SGE_TASK_ID=1", 0, 1),
        ("LSB_JOBINDEX=5", 3, 2),
        // Each counts from there, so they agree.
        ("SLURM_ARRAY_TASK_ID=4 SGE_TASK_ID=4", 1, 3),
    ] {
        assert_eq!(found(variables, 10, Some(base)).task, Some(expected), "{variables} from {base}");
    }
    assert_eq!(found("PMI_RANK=1 PMI_SIZE=10", 10, Some(0)).task, Some(1));
}

#[test]
fn an_array_may_start_processes_of_its_own() {
    let srun = "SLURM_JOB_ID=7 SLURM_ARRAY_TASK_ID=2 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS";
    let both = |task, note| Launched { task, by: "SLURM_ARRAY_TASK_ID x SLURM_PROCID".into(), note };
    assert_eq!(found(&format!("{srun}=4 SLURM_PROCID=3"), 12, None), both(Some(11), None));
    assert_eq!(found(&format!("{srun}=4 SLURM_PROCID=0"), 9, None), both(Some(8), None));
    // Of the last element's processes, some are too many.
    let idle = found(&format!("{srun}=4 SLURM_PROCID=1"), 9, None);
    assert!(idle.task.is_none() && idle.note.unwrap().contains("there are 9 tasks"));
    // `srun` for its own sake.
    let alone = found(&format!("{srun}=1 SLURM_PROCID=0"), 9, None);
    assert_eq!(alone, Launched { task: Some(2), by: "SLURM_ARRAY_TASK_ID".into(), note: None });
    // What counts from 1 does so before it is multiplied.
    assert_eq!(found("LSB_JOBINDEX=2 PMI_RANK=1 PMI_SIZE=4", 9, None).task, Some(5));
    // Forgotten, perhaps: each element does one task, and says so.
    let one = found("SLURM_JOB_ID=7 SLURM_ARRAY_TASK_ID=2 SLURM_NTASKS=4 SLURM_PROCID=0", 9, None);
    assert!(one.task == Some(2) && one.note.unwrap().starts_with("SLURM_NTASKS is 4"));
    // All ranks are of one pod.
    let pod = "JOB_COMPLETION_INDEX=1 RANK=2 WORLD_SIZE=4 LOCAL_WORLD_SIZE=4";
    assert_eq!(found(pod, 8, None).task, Some(6));

    let beyond = refused(&format!("{srun}=4 SLURM_PROCID=0"), 8, None);
    assert!(
        beyond.contains("SLURM_ARRAY_TASK_ID=2 is no element of 0-1: there are 8 tasks, 4 for each element")
    );
    let unknown = refused("PBS_ARRAY_INDEX=1 PALS_RANKID=2", 8, None);
    assert!(unknown.contains("PBS_ARRAY_INDEX=1 and PALS_RANKID=2: how many"), "{unknown}");
    for pods in ["LOCAL_WORLD_SIZE=1", ""] {
        let ranks = refused(&format!("JOB_COMPLETION_INDEX=1 RANK=1 WORLD_SIZE=4 {pods}"), 8, None);
        assert!(ranks.contains("JOB_COMPLETION_INDEX=1 and RANK=1 of 4: the processes may be"), "{ranks}");
    }
}

/// `mpirun` in a job of Slurm has daemons started by `srun`, one on each node, and they start the processes.
#[test]
fn daemons_are_no_tasks() {
    let daemon =
        "SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_STEP_NUM_NODES=2 SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1";
    for (mpi, expected) in [
        ("OMPI_COMM_WORLD_RANK=6 OMPI_COMM_WORLD_SIZE=8", 6),
        ("PMI_RANK=1 PMI_SIZE=8", 1),
        ("FLUX_TASK_RANK=0 FLUX_JOB_SIZE=8", 0),
        ("RANK=7 WORLD_SIZE=8", 7),
    ] {
        let found = found(&format!("{daemon} {mpi}"), 8, None);
        assert_eq!(found.task, Some(expected), "{mpi}");
        assert!(mpi.starts_with(&format!("{}=", found.by)), "{mpi}: {}", found.by);
    }
    // On the node of the script there is no daemon.
    let here = "SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_PROCID=0 OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=8";
    assert_eq!(found(here, 8, None).task, Some(2));
    // Several on a node are no daemons, and neither are they where what is left over from elsewhere is smaller.
    let several = daemon.replace("NUM_TASKS=2", "NUM_TASKS=4");
    for variables in [
        format!("{several} OMPI_COMM_WORLD_RANK=6 OMPI_COMM_WORLD_SIZE=8"),
        format!("{daemon} OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1"),
        format!("{daemon} OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2"),
    ] {
        let text = refused(&variables, 2, None);
        assert!(text.contains("SLURM_PROCID=1 of ") && text.contains("OMPI_COMM_WORLD_RANK="), "{text}");
        assert!(text.contains("`--task $SLURM_PROCID` or `--task $OMPI_COMM_WORLD_RANK`"), "{text}");
    }
}

#[test]
fn more_processes_than_tasks_are_no_mistake() {
    let idle = found("PMI_RANK=9 PMI_SIZE=16", 8, None);
    let note = "there are 8 tasks, so this process has nothing to do (PMI_RANK=9 of 16)";
    assert_eq!(idle, Launched { task: None, by: "PMI_RANK".into(), note: Some(note.into()) });
    assert_eq!(found("PMI_RANK=7 PMI_SIZE=16", 8, None).task, Some(7));
    assert_eq!(found("PALS_RANKID=8", 8, None).task, None);
}

#[test]
fn what_is_ambiguous_or_loses_tasks_is_refused() {
    for (variables, tasks, base, expected) in [
        ("", 4, None, "no launcher"),
        ("", 4, None, "Slurm, PBS, LSF, SGE, Flux, Kubernetes"),
        ("", 4, None, "`--task K`"),
        ("SLURM_JOB_ID=7 SLURM_NTASKS=1 SLURM_PROCID=0", 4, None, "no launcher"),
        // `sbatch -n 4`, and the shells of `salloc -n 4`.
        ("SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_PROCID=0", 4, None, "asked for 4 tasks"),
        ("SLURM_JOB_ID=7 SLURM_NTASKS=4", 4, None, "put `srun` before"),
        (
            "SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_PROCID=0 SLURM_STEP_ID=4294967290 SLURM_STEP_NUM_TASKS=1",
            1,
            None,
            "put `srun`",
        ),
        ("RANK=3", 4, None, "no launcher"),
        ("SGE_TASK_ID=undefined", 4, None, "no launcher"),
        (
            "SLURM_ARRAY_TASK_ID=3 SGE_TASK_ID=3",
            9,
            None,
            "SLURM_ARRAY_TASK_ID=3, SGE_TASK_ID=3\nsay which of them counts: `--task $SLURM_ARRAY_TASK_ID` or `--task $((SGE_TASK_ID - 1))`",
        ),
        ("PMI_RANK=3 PMI_SIZE=9 MV2_COMM_WORLD_RANK=2", 9, None, "PMI_RANK=3 of 9, MV2_COMM_WORLD_RANK=2\n"),
        ("RANK=3 WORLD_SIZE=8 PMI_RANK=3 PMI_SIZE=9", 8, None, "PMI_RANK=3 of 9, RANK=3 of 8\n"),
        ("PMI_RANK=1 PMI_SIZE=4", 16, None, "4 processes were started, but there are 16 tasks: 12 of them"),
        ("PMI_RANK=1 PMI_SIZE=4", 16, None, "start 16 processes"),
        ("PMI_RANK=1 PMI_SIZE=4", 16, None, "`--tasks 4`"),
        ("PMI_RANK=0 PMI_SIZE=1", 16, None, "1 process was started, but"),
        ("PMI_RANK=4 PMI_SIZE=4", 4, None, "PMI_RANK=4 of 4 cannot be"),
        ("PMI_RANK=1 PMI_SIZE=4", 4, Some(1), "leave out `--task-base`"),
        ("SLURM_ARRAY_TASK_ID=4", 4, None, "SLURM_ARRAY_TASK_ID=4 is no element of 0-3: there are 4 tasks"),
        ("SLURM_ARRAY_TASK_ID=4", 4, None, "`--task-base 1`"),
        ("LSB_JOBINDEX=5", 4, None, "LSB_JOBINDEX=5 is no element of 1-4"),
        ("SLURM_ARRAY_TASK_ID=0", 4, Some(1), "count from 1\n`--task-base B`"),
        ("SGE_TASK_ID=0", 4, None, "count from 1"),
        ("PBS_ARRAY_INDEX=some", 4, None, "PBS_ARRAY_INDEX is `some`"),
        ("SLURM_ARRAY_TASK_ID=18446744073709551615 PMI_RANK=1 PMI_SIZE=4", 4, None, "no element of 0-0"),
    ] {
        let text = refused(variables, tasks, base);
        assert!(text.contains(expected), "{variables}: {text}");
    }
}
