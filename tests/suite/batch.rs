//! Outputs that are written by the tasks of a batch job: what comes out is what one process gives.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use lithify::saved::SavedPlan;
use lithify_tests::command::{Ran, binary, ran, run, words};
use lithify_tests::images::{deflated, png};
use lithify_tests::{Scratch, example, integers, record, strings};

use crate::resume::{OUTPUTS, bytes_of, dataset, spawn};

/// Runs a command line that must do what it is to do.
fn done(scratch: &Scratch, line: &str) -> Ran {
    let ran = run(scratch, line);
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    ran
}

/// What one process makes of the dataset; the scratch directory holds no more than the dataset afterwards.
fn by_one(scratch: &Scratch, output: &str, request: &str) -> Vec<(PathBuf, Vec<u8>)> {
    done(scratch, &format!("convert data-0 data-1 -o {output} {request} -q --no-sync"));
    let whole = bytes_of(scratch);
    for path in fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if !path.ends_with("data-0") && !path.ends_with("data-1") {
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        }
    }
    whole
}

/// Plans for so many tasks.
fn plan(scratch: &Scratch, output: &str, request: &str, tasks: u64) {
    done(scratch, &format!("plan data-0 data-1 {request} --to {output} -o plan --tasks {tasks}"));
}

fn write(scratch: &Scratch, task: u64) -> Ran {
    run(scratch, &format!("write plan --task {task} --threads 1"))
}

/// Where the processes that do a task leave what they have done.
fn of_task(scratch: &Scratch, output: &str, task: u64) -> PathBuf {
    let tasks = scratch.at(&format!(".{output}.lithify-partial/tasks"));
    let id = fs::read_to_string(tasks.join("plan")).unwrap();
    tasks.join(id).join(task.to_string())
}

/// All that is there but the dataset and the files of the job.
fn output_of(scratch: &Scratch) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = bytes_of(scratch);
    all.retain(|(path, _)| !path.starts_with("plan") && !path.starts_with("profiles"));
    all
}

#[test]
fn tasks_give_what_one_process_gives() {
    for ((output, request), tasks) in OUTPUTS.into_iter().zip([7, 3, 30, 4]) {
        let scratch = Scratch::new();
        dataset(&scratch);
        let whole = by_one(&scratch, output, request);
        for task in (0..3).rev() {
            done(&scratch, &format!("scan data-0 data-1 {request} --tasks 3 --task {task} -o profiles -q"));
        }
        done(
            &scratch,
            &format!(
                "plan data-0 data-1 {request} --to {output} -o plan --tasks {tasks} --profiles profiles --align 64KiB"
            ),
        );
        // In any order, and some of them twice.
        for task in (0..tasks).rev().chain(0..2) {
            done(&scratch, &format!("write plan --task {task} -q --threads 2"));
        }
        done(&scratch, "finish plan -q");
        assert!(output_of(&scratch) == whole, "{output} {request}");
        done(&scratch, &format!("verify {output} -q --against-source"));
        // Whoever comes too late finds that nothing is left to do.
        assert!(done(&scratch, "write plan --task 1").out.contains("done already"));
        done(&scratch, "finish plan -q");
        assert!(done(&scratch, "status plan").out.contains("is complete"));
    }
}

#[test]
fn a_task_that_is_killed_or_done_twice_at_once_gives_the_same() {
    for (output, request) in OUTPUTS {
        let scratch = Scratch::new();
        dataset(&scratch);
        let whole = by_one(&scratch, output, request);
        plan(&scratch, output, request, 2);
        let line = "write plan --task 1 --threads 1 --sync-every 0.01";
        let journals = || {
            let processes = fs::read_dir(of_task(&scratch, output, 1));
            let journals = processes.into_iter().flatten().map(|entry| entry.unwrap().path().join("journal"));
            journals.map(|journal| fs::metadata(journal).map_or(0, |there| there.len())).max().unwrap_or(0)
        };
        let mut gone_on = 0;
        for number in 0..4_u64 {
            let before = journals();
            let (mut one, mut other) = (spawn(&scratch, line), spawn(&scratch, line));
            while journals() < before + 300 && one.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(number * 900));
            let _ = one.kill();
            if number == 2 {
                let _ = other.kill();
            }
            for child in [one, other] {
                let ended = ran(&child.wait_with_output().unwrap());
                assert!(matches!(ended.code, None | Some(0)), "{output}: {ended:?}");
                gone_on += u32::from(ended.err.contains("going on with a run that was ended"));
            }
            if number < 3 {
                // It is taken for one that is not done, so that the next goes on with it.
                let _ = fs::remove_file(of_task(&scratch, output, 1).join("done"));
            }
        }
        assert!(gone_on > 0, "{output}: no process went on with what another had done");
        done(&scratch, line);
        done(&scratch, "write plan --task 0 -q");
        done(&scratch, "finish plan -q");
        assert!(output_of(&scratch) == whole, "{output} {request}");
    }
}

/// A task that is stopped again and again, before it has done much of what the ones before it have left.
#[test]
fn a_task_may_be_stopped_many_times() {
    // With pages so large that a piece is of many blocks.
    for (output, request, align) in [
        ("out", "-f 'x: pad=1000 dtype=float64' -f 'y: ragged'", "128MiB"),
        ("out", "-f 'x: pad=1000 dtype=float64' -f 'y: ragged'", "4KiB"),
        ("out.zarr", "-f 'x: pad=1000 dtype=float64 chunk=100 shard=9000 codec=none' -f 'y: ragged'", "4KiB"),
    ] {
        let scratch = Scratch::new();
        dataset(&scratch);
        let whole = by_one(&scratch, output, request);
        done(
            &scratch,
            &format!("plan data-0 data-1 {request} --to {output} -o plan --tasks 2 --align {align}"),
        );
        for (number, signal) in ["-TERM", "-TERM", "-KILL", "-TERM", "-KILL", "-USR1"].into_iter().enumerate()
        {
            let journals = || {
                let processes = fs::read_dir(of_task(&scratch, output, 1)).into_iter().flatten();
                processes
                    .map(|entry| fs::metadata(entry.unwrap().path().join("journal")).map_or(0, |it| it.len()))
                    .sum::<u64>()
            };
            let before = journals();
            let mut child = spawn(&scratch, "write plan --task 1 --threads 1");
            while journals() < before + 200 + 300 * number as u64 && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
            let _ =
                Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
            let ended = ran(&child.wait_with_output().unwrap());
            assert!(matches!(ended.code, None | Some(0 | 75)), "{output} {align}: {ended:?}");
        }
        done(&scratch, "write plan --task 1");
        done(&scratch, "write plan --task 0");
        done(&scratch, "finish plan -q");
        assert!(output_of(&scratch) == whole, "{output} {request} {align}");
    }
}

/// Profiles tell of the elements that were chosen, and of no others.
#[test]
fn profiles_of_something_else_are_refused() {
    let scratch = Scratch::new();
    dataset(&scratch);
    done(&scratch, "scan data-0 --select 'label < 5' --tasks 1 --task 0 -o profiles -q");
    let plan = |words: &str| {
        run(&scratch, &format!("plan data-0 {words} --to out -o plan --tasks 1 --profiles profiles"))
    };
    for words in
        ["", "--select 'label > 25'", "--select 'label < 5' -f label", "--select 'label < 5' --on-error skip"]
    {
        let ran = plan(words);
        assert!(ran.code == Some(2) && ran.err.contains("it was scanned for another"), "{words}: {ran:?}");
    }
    assert_eq!(plan("--select 'label < 5'").code, Some(0));
}

const REQUEST: &str = "-f 'x: pad=2000 dtype=float64' -f label";

#[test]
fn what_is_missing_is_named_and_nothing_else_may_come_in_between() {
    let scratch = Scratch::new();
    dataset(&scratch);
    plan(&scratch, "out", REQUEST, 8);
    let refused = |line: &str, what: &str| {
        let ran = run(&scratch, line);
        assert!(matches!(ran.code, Some(1 | 2)) && ran.err.contains(what), "{line}: {ran:?}");
    };
    for task in [0, 1, 2, 4] {
        assert_eq!(write(&scratch, task).code, Some(0));
    }
    refused("finish plan", "4 of 8 tasks");
    refused("finish plan", ": 3,5-7");
    assert!(!scratch.at("out").exists());
    refused(&format!("convert data-0 data-1 -o out {REQUEST}"), "by the tasks of a plan");
    refused("plan data-0 data-1 -f label --to out -o other --tasks 8", "the tasks of another plan");
    refused("write plan", "8 tasks");
    refused("write plan --task 8", "no task 8 of 8");
    refused("plan data-0 -f label --to new -o other --tasks 0", "1 to");
    refused("plan data-0 -f label --to new -o other --tasks 2 --io mapped", "--io mapped");
    // The same once more changes nothing of what is done.
    plan(&scratch, "out", REQUEST, 8);
    let status = done(&scratch, "status plan").out;
    assert!(status.contains("4 of 8 tasks done"), "{status}");
    let json = serde_json::from_str::<serde_json::Value>(&done(&scratch, "status plan --json").out).unwrap();
    assert_eq!(json["tasks"][3]["done"], 0);
    assert_eq!(json["tasks"][4]["complete"], true);
    // What changes in between is found by the task that reads it.
    let data = fs::read(scratch.at("data-1")).unwrap();
    fs::write(scratch.at("data-1"), &data[..data.len() - 1]).unwrap();
    refused("write plan --task 7", "changed since it was scanned");
    // But one that reads other files need not care.
    assert_eq!(write(&scratch, 3).code, Some(0));
    done(&scratch, "plan data-0 -f label --to out -o plan --tasks 2 --restart");
    for task in 0..2 {
        assert_eq!(write(&scratch, task).code, Some(0));
    }
    done(&scratch, "finish plan");
    refused("plan data-0 -f label --to out -o plan --tasks 2 --align 64KiB", "is there already");
    done(&scratch, "plan data-0 -f label --to out -o plan --tasks 1 --overwrite");
    assert_eq!(write(&scratch, 0).code, Some(0));
    done(&scratch, "finish plan");
}

#[test]
fn a_task_stops_at_any_signal_of_a_scheduler_and_goes_on() {
    for signal in ["-TERM", "-USR1", "-USR2", "-XCPU"] {
        let scratch = Scratch::new();
        dataset(&scratch);
        plan(&scratch, "out", REQUEST, 2);
        let child = spawn(&scratch, "write plan --task 0 --threads 1");
        let noted = || {
            let processes = fs::read_dir(of_task(&scratch, "out", 0)).into_iter().flatten();
            let journals = processes.map(|entry| fs::metadata(entry.unwrap().path().join("journal")));
            journals.map(|there| there.map_or(0, |there| there.len())).sum::<u64>()
        };
        while noted() < 600 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let ended = ran(&child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(75), "{signal}: {ended:?}");
        assert!(ended.err.contains("are done, and kept"), "{ended:?}");
        let again = write(&scratch, 0);
        assert!(again.code == Some(0) && again.err.contains("going on with a run"), "{again:?}");
    }
}

#[test]
fn a_launcher_tells_which_task_it_is() {
    let scratch = Scratch::new();
    dataset(&scratch);
    plan(&scratch, "out", "-f label", 3);
    let with = |variables: &[(&str, &str)], line: &str| {
        let mut command = Command::new(binary());
        command.args(words(line)).current_dir(scratch.path()).stdin(Stdio::null()).env_clear();
        ran(&command.envs(variables.iter().copied()).output().unwrap())
    };
    let auto = "write plan --task auto";
    let array = with(&[("SLURM_ARRAY_TASK_ID", "2"), ("SLURM_ARRAY_TASK_COUNT", "1")], auto);
    assert!(array.code == Some(0) && array.err.contains("task 2, by SLURM_ARRAY_TASK_ID"), "{array:?}");
    let from_1 = with(&[("PBS_ARRAY_INDEX", "1")], "write plan --task auto --task-base 1");
    assert!(from_1.code == Some(0) && from_1.out.contains("task 0 is done"), "{from_1:?}");
    let alone = with(&[("SLURM_JOB_ID", "9"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")], auto);
    assert!(alone.code == Some(2) && alone.err.contains("srun"), "{alone:?}");
    let nothing = with(&[], auto);
    assert!(nothing.code == Some(2) && nothing.err.contains("--task K"), "{nothing:?}");
    done(&scratch, "write plan --task 1");
    done(&scratch, "finish plan");
}

#[test]
fn elements_that_turn_out_bad_are_left_out_by_new_plans() {
    let scratch = Scratch::new();
    let element = |at: i64| {
        // A PNG with too little in it, which shows only when it is decoded.
        let rows = if [50, 350].contains(&at) { 30 } else { 128 };
        let image = png((128, 128), &[], &deflated(&vec![0; rows * (128 * 3 + 1)]));
        example(&[("label", integers(&[at])), ("image", strings(&[&image]))])
    };
    let bytes: Vec<u8> = (0..400).flat_map(|at| record(&element(at))).collect();
    let _ = scratch.file("data", &bytes);
    let line = "plan data -f image -f label --on-error skip --to out -o plan --tasks 2";
    done(&scratch, line);
    // One task tells, and after the next plan the other one does.
    for task in 0..2 {
        let failed = write(&scratch, task);
        assert!(failed.code == Some(1) && failed.err.contains("make the plan anew"), "{failed:?}");
        assert_eq!(run(&scratch, line).code, Some(1), "there is another plan already");
        assert_eq!(run(&scratch, &format!("{line} --restart")).code, Some(3));
    }
    for task in 0..2 {
        assert_eq!(write(&scratch, task).code, Some(0));
    }
    assert_eq!(run(&scratch, "finish plan").code, Some(3));
    assert!(done(&scratch, "info out --json").out.contains("\"elements\": 398"));
    // What is bad for one request need not be for another.
    let _ = fs::remove_dir_all(scratch.at("out"));
    done(&scratch, line);
    assert_eq!(write(&scratch, 0).code, Some(1));
    done(&scratch, "plan data -f label --to out -o plan --tasks 2 --restart");
    for task in 0..2 {
        assert_eq!(write(&scratch, task).code, Some(0));
    }
    done(&scratch, "finish plan");
    assert!(done(&scratch, "info out --json").out.contains("\"elements\": 400"));
}

#[test]
fn plans_and_profiles_that_are_damaged_are_told() {
    let scratch = Scratch::new();
    let element = |at: i64| example(&[("x", integers(&[at]))]);
    let bytes: Vec<u8> = (0..100).flat_map(|at| record(&element(at))).collect();
    let _ = scratch.file("data", &bytes);
    done(&scratch, "plan data --to out -o plan --tasks 2");
    done(&scratch, "scan data --tasks 1 --task 0 -o profiles -q");
    for (file, line) in [
        ("plan", "write plan --task 0"),
        ("profiles/0.profile", "plan data --to other -o another --tasks 1 --profiles profiles"),
    ] {
        let sound = fs::read(scratch.at(file)).unwrap();
        for at in (0..sound.len()).step_by(37) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x10;
            fs::write(scratch.at(file), &bytes).unwrap();
            let ran = run(&scratch, line);
            assert!(ran.code == Some(1) && ran.err.contains("error: "), "{file}, byte {at}: {ran:?}");
            assert!(!ran.err.contains("panicked"), "{ran:?}");
        }
        for end in [0, 10, sound.len() / 2, sound.len() - 1] {
            fs::write(scratch.at(file), &sound[..end]).unwrap();
            assert_eq!(run(&scratch, line).code, Some(1));
        }
        fs::write(scratch.at(file), &sound).unwrap();
    }
    done(&scratch, "write plan --task 0");
}

#[test]
fn a_share_of_a_plan_tells_what_the_whole_plan_does() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.at("data")).unwrap();
    let mut elements = 0;
    for file in 0..2_500_i64 {
        let count = [1, 0, 3, 2, 1][usize::try_from(file % 5).unwrap()];
        // Some of the second files are damaged behind their elements.
        let mut bytes: Vec<u8> = (0..count)
            .flat_map(|at| {
                record(&example(&[("x", integers(&vec![file; usize::try_from(at + file % 3).unwrap()]))]))
            })
            .collect();
        if file % 35 == 12 {
            bytes.extend([7; 5]);
        }
        elements += u64::try_from(count).unwrap();
        fs::write(scratch.at(&format!("data/{file:05}.tfrecord")), bytes).unwrap();
    }
    let ran = run(&scratch, "plan data --to out -o plan --tasks 9 -f 'x: ragged' --on-error skip -q");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let saved = SavedPlan::open(&scratch.at("plan")).unwrap();
    let whole = saved.whole().unwrap();
    assert_eq!((whole.elements, whole.parts.len()), (elements, 2_500));
    assert!(!whole.skipped.is_empty());
    for start in (0..elements).step_by(97) {
        for length in [1, 5, 300, elements] {
            let stop = (start + length).min(elements);
            let (share, first) = saved.share(start..stop).unwrap();
            let number = |part: usize| if part == 0 { 0 } else { part + first - 1 };
            for element in start..stop {
                let (at, entry) = whole.index.before(element).unwrap();
                let (at_in_share, of_share) = share.index.before(element).unwrap();
                assert_eq!((entry.element, entry.position), (of_share.element, of_share.position));
                assert_eq!(entry.part, number(of_share.part));
                assert_eq!(share.parts[of_share.part], whole.parts[entry.part]);
                assert_eq!(share.index.total_before(0, at_in_share), whole.index.total_before(0, at));
                let ends = (whole.index.end_of(entry.part), share.index.end_of(of_share.part));
                assert!(ends.0 == ends.1 || ends.0.min(ends.1) >= stop);
            }
            let mut here: Vec<_> =
                share.skipped.iter().map(|skipped| (number(skipped.part), skipped.position)).collect();
            let parts: Vec<_> = (0..share.parts.len()).map(number).collect();
            let mut there: Vec<_> =
                whole.skipped.iter().map(|skipped| (skipped.part, skipped.position)).collect();
            there.retain(|skipped| parts.contains(&skipped.0));
            here.retain(|skipped| skipped.0 > 0 || parts.contains(&1));
            there.retain(|skipped| skipped.0 > 0 || parts.contains(&1));
            assert_eq!(here, there, "{start}..{stop}");
        }
    }
}
