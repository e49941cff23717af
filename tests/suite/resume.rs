//! Runs that are ended in any way, and gone on with: what comes out is what an undisturbed run gives.
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers are small")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lithify::store::Checksum;
use lithify_tests::command::{Ran, binary, ran, run, run_in, words};
use lithify_tests::{Scratch, example, files_below, integers, record};
use rustix::process::{Pid, Signal, kill_process};

/// Requests of each kind of output: files of all lengths, chunks and shards that blocks fill alone and together.
pub const OUTPUTS: [(&str, &str); 4] = [
    ("out", "-f 'x: pad=1000 dtype=float64' -f y -f label"),
    ("out.npy", "-f 'x: pad=1000 dtype=float64'"),
    ("out.zarr", "-f 'x: pad=1000 dtype=float64 chunk=100 shard=1000 codec=none' -f 'y: ragged' -f label"),
    ("out.zarr", "-f 'x: pad=1000 dtype=float64 chunk=700 codec=zstd:1' -f 'y: bucket=5,50' -f label"),
];

/// Sequences of a few lengths, in two files.
pub fn dataset(scratch: &Scratch) {
    for file in 0..2_i64 {
        let element = |at: i64| {
            let at = at + 10_000 * file;
            let y: Vec<i64> = (0..at * 7 % 40).collect();
            example(&[
                ("x", integers(&vec![at; 1 + at as usize % 30])),
                ("y", integers(&y)),
                ("label", integers(&[at])),
            ])
        };
        let bytes: Vec<u8> = (0..10_000).flat_map(|at| record(&element(at))).collect();
        let _ = scratch.file(&format!("data-{file}"), &bytes);
    }
}

pub fn spawn(scratch: &Scratch, line: &str) -> Child {
    Command::new(binary())
        .args(words(line))
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// All files but those of the dataset, and of manifests what does not tell how the run went.
pub fn bytes_of(scratch: &Scratch) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files_below(scratch.path());
    files.retain(|(path, _)| !path.starts_with("data-0") && !path.starts_with("data-1"));
    for (path, bytes) in &mut files {
        if path.to_string_lossy().ends_with("lithify.json") {
            let text = String::from_utf8_lossy(bytes).into_owned();
            *bytes = text[..text.find("\"run\"").unwrap()].into();
        }
    }
    files
}

/// Kills runs as soon as they have done some more, or a little later, until one is left to its end. Gives how many went on with
/// what was there.
fn kill_and_go_on(scratch: &Scratch, line: &str, output: &str, kills: u32) -> u32 {
    let journal = scratch.at(&format!(".{output}.lithify-partial/journal"));
    let noted = || fs::metadata(&journal).map_or(0, |metadata| metadata.len());
    let mut gone_on = 0;
    for number in 0..=kills {
        let before = noted();
        let mut child = spawn(scratch, line);
        if number < kills {
            while noted() < before + 400 && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(u64::from(number) * 700));
            let _ = child.kill();
        }
        let ended = ran(&child.wait_with_output().unwrap());
        gone_on += u32::from(ended.err.contains("going on with a run that was ended"));
        // The one before may have been killed when all was done.
        let over = number > 0 && ended.err.contains("is there already");
        if ended.code == Some(0) || over {
            return gone_on;
        }
        assert!(ended.code.is_none() && number < kills, "{line}: {ended:?}");
    }
    unreachable!("the last run is not killed")
}

#[test]
fn a_run_that_is_killed_is_gone_on_with() {
    for (output, request) in OUTPUTS {
        let scratch = Scratch::new();
        dataset(&scratch);
        let line = format!("convert data-0 data-1 -o {output} {request} --threads 1");
        assert_eq!(run(&scratch, &line).code, Some(0));
        let whole = bytes_of(&scratch);
        for path in fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if !path.ends_with("data-0") && !path.ends_with("data-1") {
                fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
            }
        }
        let gone_on = kill_and_go_on(&scratch, &line, output, 12);
        assert!(gone_on > 0, "{output}: no run was killed while it wrote");
        assert!(bytes_of(&scratch) == whole, "{output} {request}");
        assert_eq!(run(&scratch, &format!("verify {output} -q --against-source")).code, Some(0));
    }
}

/// Ends a run by a signal once some of its blocks are done.
fn interrupted(scratch: &Scratch, line: &str, signal: Signal) -> Ran {
    let child = spawn(scratch, line);
    let start = Instant::now();
    let journal = scratch.at(".out.lithify-partial/journal");
    while fs::metadata(&journal).map_or(0, |metadata| metadata.len()) < 1000 {
        assert!(
            start.elapsed() < Duration::from_mins(1) && !scratch.at("out").exists(),
            "it was over too soon"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    // At once: to start a program for it may take longer than the run.
    kill_process(Pid::from_child(&child), signal).unwrap();
    let ended = ran(&child.wait_with_output().unwrap());
    assert!(start.elapsed() < Duration::from_secs(30));
    ended
}

const LINE: &str = "convert data-0 data-1 -o out -f 'x: pad=2000 dtype=float64' -f label --threads 1";

#[test]
fn a_run_that_is_asked_to_stop_keeps_what_is_done() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let scratch = Scratch::new();
        dataset(&scratch);
        let ended = interrupted(&scratch, LINE, signal);
        assert_eq!(ended.code, Some(75), "{ended:?}");
        assert!(ended.err.contains("error: stopped as asked"), "{ended:?}");
        assert!(ended.err.contains("blocks are done, and kept: the same command goes on"), "{ended:?}");
        let again = run(&scratch, LINE);
        assert_eq!(again.code, Some(0));
        assert!(again.err.contains("going on with a run that was ended: "), "{again:?}");
        assert_eq!(run(&scratch, "verify out -q --against-source").code, Some(0));
    }
}

/// What is done is not mixed with something else, and not thrown away without being asked.
#[test]
fn another_request_does_not_go_on_with_it() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
    let other = LINE.replace("pad=2000", "pad=100");
    let refused = run(&scratch, &other);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("`out` was begun before, and "), "{refused:?}");
    assert!(refused.err.contains("but what is asked for is not the same"), "{refused:?}");
    assert!(
        refused
            .err
            .contains("hint: go on with it by the same command as before, or begin anew with `--restart`")
    );
    let restarted = run(&scratch, &format!("{other} --restart"));
    assert_eq!(restarted.code, Some(0));
    assert!(!restarted.err.contains("going on"), "{restarted:?}");
    assert_eq!(run(&scratch, "verify out -q --against-source").code, Some(0));
}

#[test]
fn another_dataset_does_not_go_on_with_it() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
    let bytes = fs::read(scratch.at("data-1")).unwrap();
    fs::write(scratch.at("data-1"), &bytes).unwrap();
    let refused = run(&scratch, LINE);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("but `data-1` has changed since"), "{refused:?}");
    let fewer = run(&scratch, &LINE.replace(" data-1", ""));
    assert!(fewer.err.contains("it was of 2 files (tfrecord), and there are 1 (tfrecord)"), "{fewer:?}");
    assert_eq!(run(&scratch, &format!("{LINE} --restart")).code, Some(0));
}

/// A plan that was saved is gone on with, too.
#[test]
fn a_plan_is_gone_on_with() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let plan = LINE
        .replace("convert", "plan")
        .replace("-o out", "--to out -o plan.json")
        .replace(" --threads 1", "");
    assert_eq!(run(&scratch, &plan).code, Some(0));
    assert_eq!(interrupted(&scratch, "write plan.json --threads 1", Signal::TERM).code, Some(75));
    let again = run(&scratch, "write plan.json");
    assert!(again.code == Some(0) && again.err.contains("going on"), "{again:?}");
    assert_eq!(run(&scratch, "verify out -q --against-source").code, Some(0));
}

/// After a power cut, which another start of the machine tells, what counts is what had reached the disk by then.
#[test]
fn what_was_not_durable_does_not_count_after_a_power_cut() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
    let journal = scratch.at(".out.lithify-partial/journal");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let line = |json: &str| format!("{} {json}\n", String::from(Checksum::of(json.as_bytes())));
    let text = fs::read_to_string(&journal).unwrap();
    let then: Vec<String> =
        text.lines().map(|text| line(&text[17..].replace(boot.trim(), "another"))).collect();
    assert!(then.len() > 3 && then.concat() != text);
    for durable in [0, 2] {
        let mut lines = then.clone();
        // The first line tells who writes, and each other one of a block.
        let bytes: usize = lines[..=durable].iter().map(String::len).sum();
        lines.insert(3, line(&format!("{{\"durable\":{}}}", if durable == 0 { 0 } else { bytes })));
        fs::write(&journal, lines.concat()).unwrap();
        let again = run(&scratch, &format!("{LINE} --no-sync"));
        assert_eq!(again.code, Some(0), "{again:?}");
        let gone_on = again.err.contains(&format!("going on with a run that was ended: {durable} of"));
        assert_eq!(gone_on, durable > 0, "{again:?}");
        assert_eq!(run(&scratch, "verify out -q --against-source").code, Some(0));
        fs::remove_dir_all(scratch.at("out")).unwrap();
        if durable == 0 {
            assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
        }
    }
}

/// What was begun under one name is not finished under another, wherever it is named from.
#[test]
fn it_is_gone_on_with_from_another_directory() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
    let below = scratch.at("below");
    fs::create_dir(&below).unwrap();
    // Something else of the same name stands where the name would lead from there.
    assert_eq!(run_in(&below, &words("convert ../data-0 -o out -f label -q")).code, Some(0));
    let there = files_below(&below);
    let again = run_in(&below, &words(&LINE.replace(" data-", " ../data-").replace(" out ", " ../out ")));
    assert!(again.code == Some(0) && again.err.contains("going on"), "{again:?}");
    assert!(files_below(&below) == there);
    assert_eq!(run(&scratch, "verify out -q --against-source").code, Some(0));
}

/// Nothing is made up for what is not there any more.
#[test]
fn what_has_gone_since_is_told() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let line = "convert data-0 data-1 -o out -f 'x: pad=2000 dtype=float64 chunk=700 codec=none' -f 'y: ragged' --store zarr --threads 1";
    let partial = |path: &str| scratch.at(".out.lithify-partial").join(path);
    for (what, told) in [("slabs", "it is not there any more"), ("output/x", "it has 0 bytes, and had ")] {
        assert_eq!(interrupted(&scratch, line, Signal::TERM).code, Some(75));
        for entry in fs::read_dir(partial(what)).unwrap() {
            let path = entry.unwrap().path();
            // What is there may still be complete, or not yet; of some it is known that it was.
            if path.extension().is_none_or(|ending| ending != "json") {
                fs::remove_file(path).unwrap();
            }
        }
        let again = run(&scratch, line);
        assert_eq!(again.code, Some(1), "{again:?}");
        assert!(again.err.contains(told), "{again:?}");
        assert!(again.err.contains("begin anew with `--restart`"), "{again:?}");
        assert_eq!(run(&scratch, &format!("{line} --restart")).code, Some(0));
        assert_eq!(run(&scratch, "verify out -q --against-source").code, Some(0));
        fs::remove_dir_all(scratch.at("out")).unwrap();
    }
}

/// What stands in a journal with a right checksum need not be right.
#[test]
fn a_journal_that_is_not_about_its_plan_is_told() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
    let journal = scratch.at(".out.lithify-partial/journal");
    let text = fs::read_to_string(&journal).unwrap();
    let line = |json: &str| format!("{} {json}\n", String::from(Checksum::of(json.as_bytes())));
    let (first, block) = (text.lines().next().unwrap(), text.lines().nth(1).unwrap());
    assert!(block.contains("\"number\":"), "{block}");
    let number = block.split("\"number\":").nth(1).unwrap().split(',').next().unwrap();
    let changed = |from: &str, to: &str| {
        let json = block[17..].replacen(from, to, 1);
        assert_ne!(json, block[17..], "{from}");
        line(&json)
    };
    let path = r#"{"path":"../../evil","bytes":0,"checksum":"0000000000000000"}"#;
    for wrong in [
        changed(&format!("\"number\":{number}"), "\"number\":100000"),
        changed(&format!("\"number\":{number}"), &format!("\"number\":{}", u64::MAX)),
        changed("\"totals\":[", "\"totals\":[[7],["),
        changed("\"arrays\":[[", "\"arrays\":[[9"),
        changed("\"arrays\":[", "\"arrays\":[[0,\"0000000000000000\"],"),
        changed("\"arrays\":", &format!("\"files\":[{path}],\"arrays\":")),
    ] {
        fs::write(&journal, format!("{first}\n{wrong}")).unwrap();
        let again = run(&scratch, LINE);
        // One that cannot be read at all ends the journal.
        assert!(again.code == Some(0) || again.code == Some(1), "{again:?}");
        assert!(!again.err.contains("panicked") && !again.err.contains("going on"), "{wrong}: {again:?}");
        if again.code == Some(0) {
            fs::remove_dir_all(scratch.at("out")).unwrap();
            assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
        }
    }
    fs::write(&journal, text.replace(concat!("lithify ", env!("CARGO_PKG_VERSION")), "lithify 0.0.9"))
        .unwrap();
    let other: String = text
        .lines()
        .map(|text| {
            line(&text[17..].replace(concat!("lithify ", env!("CARGO_PKG_VERSION")), "lithify 0.0.9"))
        })
        .collect();
    fs::write(&journal, other).unwrap();
    let again = run(&scratch, LINE);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("were written by lithify 0.0.9"), "{again:?}");
    assert_eq!(run(&scratch, &format!("{LINE} --restart")).code, Some(0));
}

/// What is not complete is for nobody else to see, and what stands in the way is not written through.
#[test]
fn what_is_made_is_kept_apart() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(interrupted(&scratch, LINE, Signal::TERM).code, Some(75));
    let partial = scratch.at(".out.lithify-partial");
    assert_eq!(fs::metadata(&partial).unwrap().permissions().mode() & 0o777, 0o700);
    fs::rename(&partial, scratch.at("moved")).unwrap();
    symlink("moved", &partial).unwrap();
    let refused = run(&scratch, LINE);
    assert!(refused.code == Some(1) && refused.err.contains("is a symbolic link"), "{refused:?}");
    fs::remove_file(&partial).unwrap();
    let _ = scratch.file("precious", b"something");
    symlink("precious", scratch.at(".out.lithify-lock")).unwrap();
    let refused = run(&scratch, LINE);
    assert!(refused.code == Some(1) && refused.err.contains("is a symbolic link"), "{refused:?}");
    assert_eq!(fs::read(scratch.at("precious")).unwrap(), b"something");
}
