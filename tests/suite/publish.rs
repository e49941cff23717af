//! Outputs under their final names: never unfinished, never in the place of what should have stayed.
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers are small")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lithify_tests::command::{binary, ran, run, run_after};
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

#[test]
fn what_is_replaced_hands_on_its_mode() {
    let scratch = Scratch::new();
    sequences(&scratch);
    let mode = |path: &str| fs::metadata(scratch.at(path)).unwrap().permissions().mode() & 0o7777;
    let set = |path: &str, mode| fs::set_permissions(scratch.at(path), Permissions::from_mode(mode)).unwrap();
    // A directory that was made for the output is taken as it is.
    fs::create_dir(scratch.at("out")).unwrap();
    set("out", 0o2750);
    assert_eq!(run(&scratch, "convert data -o out -q").code, Some(0));
    assert_eq!(mode("out"), 0o2750);
    set("out", 0o700);
    assert_eq!(run(&scratch, "convert data -o out -q --overwrite").code, Some(0));
    assert_eq!(mode("out"), 0o700);
    // New files are as the umask has them, and those that are replaced as they were.
    let as_made = mode("data");
    assert_eq!(run(&scratch, "convert data -o x.npy -q -f 'x: pad'").code, Some(0));
    let beside: Vec<String> = names_in(&scratch).into_iter().filter(|name| name.starts_with("x.")).collect();
    assert!(beside.len() > 1, "{beside:?}");
    for name in &beside {
        assert_eq!(mode(name), as_made, "{name}");
        set(name, 0o640);
    }
    assert_eq!(run(&scratch, "convert data -o x.npy -q -f 'x: pad' --overwrite").code, Some(0));
    for name in &beside {
        assert_eq!(mode(name), 0o640, "{name}");
    }
}

#[test]
fn links_are_neither_followed_nor_replaced() {
    let scratch = Scratch::new();
    sequences(&scratch);
    fs::create_dir(scratch.at("elsewhere")).unwrap();
    let _ = scratch.file("elsewhere.npy", b"something");
    for (link, to) in [("out", "elsewhere"), ("out.npy", "elsewhere.npy"), ("nowhere", "not-there")] {
        symlink(to, scratch.at(link)).unwrap();
        let told = run(&scratch, &format!("convert data -o {link} -q --overwrite"));
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.err.contains(&format!("`{link}` is a symbolic link to `{to}`")), "{told:?}");
        assert_eq!(fs::read_link(scratch.at(link)).unwrap().to_str(), Some(to));
    }
    assert_eq!(fs::read_dir(scratch.at("elsewhere")).unwrap().count(), 0);
    assert_eq!(fs::read(scratch.at("elsewhere.npy")).unwrap(), b"something");
    // Directories above may be links.
    symlink("elsewhere", scratch.at("above")).unwrap();
    assert_eq!(run(&scratch, "convert data -o above/out -q").code, Some(0));
    assert!(scratch.at("elsewhere/out").is_dir());
}

#[test]
fn a_limit_of_file_sizes_is_an_error() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..4000).flat_map(|at| record(&example(&[("x", integers(&[at; 100]))]))).collect();
    let _ = scratch.file("data", &bytes);
    for (output, request) in [("out", ""), ("out.npy", ""), ("out.zarr", " -f 'x: codec=none chunk=4000'")] {
        let line = format!("convert data -o {output} -q{request}");
        let told = run_after(&scratch, "ulimit -f 4000", &line);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.err.contains("ulimit -f"), "{told:?}");
        assert_eq!(run(&scratch, &line).code, Some(0));
    }
}
