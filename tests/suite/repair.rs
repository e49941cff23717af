//! Outputs that have changed since they were written: `verify` names what has, and `repair` writes that anew.

use std::fs;

use lithify_tests::command::{run, run_in};
use lithify_tests::{Scratch, example, files_below, integers, record};

const OUTPUTS: [(&str, &str); 4] = [
    ("out", "-f 'x: pad=40 dtype=float64' -f 'y: ragged' -f label"),
    ("out.npy", "-f 'x: pad=40 dtype=float64'"),
    ("out.zarr", "-f 'x: pad=40 chunk=100 shard=500' -f 'y: ragged codec=zstd:3' -f label"),
    ("out.zarr", "--store zarr2 -f 'x: pad=40 chunk=700' -f 'y: bucket=5,50' -f label"),
];

fn dataset(scratch: &Scratch) {
    let element = |at: i64| {
        let y: Vec<i64> = (0..at * 7 % 40).collect();
        example(&[("x", integers(&[at; 30])), ("y", integers(&y)), ("label", integers(&[at % 10]))])
    };
    let _ = scratch.file("data", &(0..60_000).flat_map(|at| record(&element(at))).collect::<Vec<_>>());
}

#[test]
fn what_has_changed_is_written_anew() {
    for (output, request) in OUTPUTS {
        let scratch = Scratch::new();
        dataset(&scratch);
        assert_eq!(run(&scratch, &format!("convert data -o {output} -q --no-sync {request}")).code, Some(0));
        assert_eq!(run(&scratch, &format!("repair {output}")).out, "there is nothing to repair\n");
        let whole = files_below(scratch.path());
        let damaged = whole.iter().filter(|file| {
            let name = file.0.to_string_lossy();
            name != "data" && !name.ends_with("lithify.json")
        });
        for (number, (path, bytes)) in damaged.enumerate() {
            let place = scratch.at(&path.to_string_lossy());
            let mut changed = bytes.clone();
            match number % 4 {
                0 => changed[bytes.len() / 2] ^= 4,
                1 => changed.truncate(bytes.len() - 1),
                2 => changed[bytes.len() - 1] ^= 0x80,
                _ => changed[0] ^= 1,
            }
            fs::write(&place, changed).unwrap();
            if number % 7 == 6 {
                fs::remove_file(&place).unwrap();
            }
            let found = run(&scratch, &format!("verify {output}"));
            assert_eq!(found.code, Some(1), "{path:?}");
            if number % 5 > 0 {
                let repaired = run(&scratch, &format!("repair {output}"));
                assert_eq!(repaired.code, Some(0), "{path:?}: {repaired:?}");
                assert!(repaired.out.contains(": written anew"), "{repaired:?}");
            }
        }
        // Those that were left, together.
        assert_eq!(run(&scratch, &format!("repair {output} -q")).code, Some(0), "{output}");
        assert!(files_below(scratch.path()) == whole, "{output} {request}");
        assert_eq!(run(&scratch, &format!("verify {output} -q --against-source")).code, Some(0));
    }
}

#[test]
fn only_the_blocks_that_it_takes_are_touched() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert data -o out.npy -q -f 'x: pad=40 dtype=float64'").code, Some(0));
    let mut bytes = fs::read(scratch.at("out.npy")).unwrap();
    let whole = bytes.clone();
    // Of two rows that are far apart, the dataset is asked for two blocks.
    for at in [1_000_000, 18_000_000] {
        bytes[at] ^= 1;
    }
    fs::write(scratch.at("out.npy"), &bytes).unwrap();
    let repaired = run(&scratch, "repair out.npy");
    assert_eq!((repaired.code, repaired.out.lines().count()), (Some(0), 2), "{repaired:?}");
    assert!(fs::read(scratch.at("out.npy")).unwrap() == whole);
}

#[test]
fn what_cannot_be_repaired_is_told_and_left() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert data -o out.zarr -q -f label").code, Some(0));
    let _ = scratch.file("out.zarr/label/c.999", b"foreign");
    let told = run(&scratch, "repair out.zarr");
    assert_eq!(told.code, Some(1));
    assert!(told.out.contains("c.999`: the file was not written by lithify\n"), "{told:?}");
    fs::remove_file(scratch.at("out.zarr/label/c.999")).unwrap();
    // What was written is not known any more.
    let manifest = fs::read(scratch.at("out.zarr/lithify.json")).unwrap();
    let text = String::from_utf8(manifest.clone()).unwrap();
    fs::write(
        scratch.at("out.zarr/lithify.json"),
        text.replace("\"elements\": 60000", "\"elements\": 60001"),
    )
    .unwrap();
    assert!(run(&scratch, "verify out.zarr").out.contains("`lithify.json`: what it says has changed"));
    assert_eq!(run(&scratch, "repair out.zarr").code, Some(1));
    fs::write(scratch.at("out.zarr/lithify.json"), &manifest).unwrap();
    // What it tells are the rows.
    let path = scratch.at("out.zarr/label/c.0");
    let chunk = fs::read(&path).unwrap();
    fs::write(&path, &chunk[1..]).unwrap();
    let told = run(&scratch, "verify out.zarr").out;
    assert!(told.ends_with(": rows 0 to 59999 of `label`\n"), "{told}");
    fs::write(&path, &chunk).unwrap();
    // From inside it, too.
    let inside = |words: &[&str]| run_in(&scratch.at("out.zarr"), words);
    fs::write(scratch.at("out.zarr/label/c.0"), b"damaged").unwrap();
    assert_eq!(inside(&["verify", "."]).code, Some(1));
    assert_eq!(inside(&["repair", "."]).code, Some(0));
    // The dataset gives something else.
    fs::write(scratch.at("out.zarr/label/c.0"), b"damaged").unwrap();
    let before = files_below(&scratch.at("out.zarr"));
    let mut data = fs::read(scratch.at("data")).unwrap();
    let other =
        record(&example(&[("x", integers(&[0; 30])), ("y", integers(&[])), ("label", integers(&[9]))]));
    data.splice(..other.len(), other);
    fs::write(scratch.at("data"), data).unwrap();
    let told = run(&scratch, "repair out.zarr");
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("does not give the rows of `label` any more"), "{told:?}");
    assert!(files_below(&scratch.at("out.zarr")) == before);
}

/// The manifest beside an array tells of the files that it was written with, and those may be another's by now.
#[test]
fn another_output_is_not_taken_for_it() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let line = "convert data -o out.npy -q -f 'x: pad=40' --limit 100";
    assert_eq!(run(&scratch, line).code, Some(0));
    for ending in ["npy", "lengths.npy", "lithify.json"] {
        fs::rename(scratch.at(&format!("out.{ending}")), scratch.at(&format!("old.{ending}"))).unwrap();
    }
    assert_eq!(run(&scratch, &line.replace("100", "200")).code, Some(0));
    let whole = files_below(scratch.path());
    for line in ["repair old.npy", "verify old.npy", "convert data -o old.npy -f label --overwrite"] {
        let told = run(&scratch, line);
        assert_eq!(told.code, Some(1), "{line}: {told:?}");
    }
    assert!(run(&scratch, "repair old.npy").err.contains("it is of `out.npy`, `out.lengths.npy`"));
    assert!(files_below(scratch.path()) == whole);
}

#[test]
fn what_is_missing_is_made_and_what_is_whole_needs_no_dataset() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert data -o out.npy -q -f 'x: pad=40'").code, Some(0));
    let whole = files_below(scratch.path());
    fs::remove_file(scratch.at("out.npy")).unwrap();
    let told = run(&scratch, "repair out.npy");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(files_below(scratch.path()) == whole);
    fs::rename(scratch.at("data"), scratch.at("gone")).unwrap();
    assert_eq!(run(&scratch, "repair out.npy").out, "there is nothing to repair\n");
    // A link in the place of a file is not written through.
    fs::rename(scratch.at("gone"), scratch.at("data")).unwrap();
    let _ = scratch.file("precious", b"something");
    fs::remove_file(scratch.at("out.lengths.npy")).unwrap();
    std::os::unix::fs::symlink("precious", scratch.at("out.lengths.npy")).unwrap();
    let told = run(&scratch, "repair out.npy");
    assert!(told.code == Some(1) && told.err.contains("symbolic link"), "{told:?}");
    assert_eq!(fs::read(scratch.at("precious")).unwrap(), b"something");
}
