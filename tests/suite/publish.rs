//! Outputs under their final names: never unfinished, never in the place of what should have stayed.
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers are small")]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lithify_tests::command::{binary, ran, run};
use lithify_tests::{Scratch, example, files_below, floats, integers, read_npy, record};

/// Sequences of one to three integers.
fn sequences(scratch: &Scratch) {
    let bytes: Vec<u8> =
        (0..30).flat_map(|at| record(&example(&[("x", integers(&vec![at; 1 + at as usize % 3]))]))).collect();
    let _ = scratch.file("data", &bytes);
}

fn names_in(scratch: &Scratch) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A conversion of so much that it is still at work when this returns, and its staging directory is there.
fn begun(scratch: &Scratch, output: &str) -> Child {
    let bytes: Vec<u8> = (0..40_000).flat_map(|at| record(&example(&[("x", integers(&[at; 20]))]))).collect();
    let _ = scratch.file("data", &bytes);
    let child = Command::new(binary())
        .args(["convert", "data", "-o", output, "-f", "x: pad=2000 dtype=float64", "-q"])
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !scratch.at(&format!(".{output}.lithify-partial")).exists() {
        std::thread::sleep(Duration::from_millis(2));
        assert!(!scratch.at(output).exists(), "the run was over too soon");
    }
    child
}

#[test]
fn a_directory_that_appears_during_a_run_stays() {
    let scratch = Scratch::new();
    let child = begun(&scratch, "out");
    fs::create_dir(scratch.at("out")).unwrap();
    let _ = scratch.file("out/notes", b"precious");
    let ran = ran(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("`out/notes`, which lithify has not written"), "{ran:?}");
    assert_eq!(files_below(&scratch.at("out")).len(), 1);
    assert_eq!(names_in(&scratch), ["data", "out"]);
}

#[test]
fn files_that_appear_during_a_run_stay() {
    for name in ["out.npy", "out.lengths.npy", "out.lithify.json"] {
        let scratch = Scratch::new();
        let child = begun(&scratch, "out.npy");
        let _ = scratch.file(name, b"precious");
        let ran = ran(&child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        assert!(ran.err.contains(&format!("`{name}` is there already")), "{ran:?}");
        assert_eq!(fs::read(scratch.at(name)).unwrap(), b"precious");
        assert_eq!(names_in(&scratch), ["data", name], "the others are gone again");
    }
}

#[test]
fn what_stands_in_an_output_beside_the_arrays_is_not_deleted() {
    let scratch = Scratch::new();
    sequences(&scratch);
    assert_eq!(run(&scratch, "convert data -o out -q").code, Some(0));
    assert_eq!(run(&scratch, "convert data -o out -q --overwrite").code, Some(0));
    let _ = scratch.file("out/notes", b"precious");
    let refused = run(&scratch, "convert data -o out -q --overwrite");
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("`out/notes`, which lithify has not written"), "{refused:?}");
}

#[test]
fn what_belonged_to_a_replaced_array_goes_with_it() {
    let scratch = Scratch::new();
    sequences(&scratch);
    assert_eq!(run(&scratch, "convert data -o x.npy --pad max -q").code, Some(0));
    assert_eq!(names_in(&scratch), ["data", "x.lengths.npy", "x.lithify.json", "x.npy"]);
    assert_eq!(run(&scratch, "convert data -o x.npy -f 'x: pad=4 lengths=no' -q --overwrite").code, Some(0));
    assert_eq!(names_in(&scratch), ["data", "x.lithify.json", "x.npy"]);
    assert_eq!(read_npy::<i64>(&scratch.at("x.npy")).shape(), [30, 4]);
}

#[test]
fn publishing_that_fails_half_way_is_undone() {
    let scratch = Scratch::new();
    sequences(&scratch);
    assert_eq!(run(&scratch, "convert data -o x.npy --pad max -q").code, Some(0));
    let before = (fs::read(scratch.at("x.npy")).unwrap(), fs::read(scratch.at("x.lengths.npy")).unwrap());
    // The manifest's name is taken by what no file can replace.
    fs::remove_file(scratch.at("x.lithify.json")).unwrap();
    fs::create_dir(scratch.at("x.lithify.json")).unwrap();
    let failed = run(&scratch, "convert data -o x.npy --pad 5 -q --overwrite");
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_eq!(
        (fs::read(scratch.at("x.npy")).unwrap(), fs::read(scratch.at("x.lengths.npy")).unwrap()),
        before
    );
    assert_eq!(names_in(&scratch), ["data", "x.lengths.npy", "x.lithify.json", "x.npy"]);
}

/// Bad elements may stand before the first element of a block, in it, or in what is passed over to get to it.
#[test]
fn what_is_skipped_does_not_depend_on_threads() {
    let scratch = Scratch::new();
    let element = |at: i64| match at % 50 {
        49 => floats(&[1.0, 2.0]),
        _ => integers(&vec![at; at as usize % 5]),
    };
    let bytes: Vec<u8> = (0..60_000).flat_map(|at| record(&example(&[("x", element(at))]))).collect();
    let _ = scratch.file("data", &bytes);
    for threads in [1, 2, 7] {
        let line =
            format!("convert data -o out{threads} -f 'x: ragged' --on-error skip -q --threads {threads}");
        let ran = run(&scratch, &line);
        assert_eq!(ran.code, Some(3), "{threads}: {ran:?}");
        let kept: Vec<i64> =
            (0..60_000).filter(|at| at % 50 != 49).flat_map(|at| vec![at; at as usize % 5]).collect();
        let values = read_npy::<i64>(&scratch.at(&format!("out{threads}/x.values.npy")));
        assert!(values.iter().eq(&kept), "{threads} threads");
    }
}
