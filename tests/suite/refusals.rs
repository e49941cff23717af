//! What the plan refuses: each refusal ends with a command line that works.

use std::process::Command;

use lithify_tests::command::{binary, ran, run, words};
use lithify_tests::images::jpeg;
use lithify_tests::{Scratch, example, floats, integers, record, strings};

/// Numbers of one count and of several, texts, bytes that end in NUL, and a feature that some elements lack; images of two kinds.
fn dataset(scratch: &Scratch) {
    let element = |at: i64| {
        let mut features = vec![
            ("box", floats(&[0.5, 1.0, 2.0, 3.0])),
            ("label", integers(&[at])),
            ("name", strings(&[format!("element {at}").as_bytes()])),
            ("packed", strings(&[&[1, 0]])),
            ("tokens", integers(&(0..=at % 12).collect::<Vec<_>>())),
        ];
        if at % 4 != 3 {
            features.push(("weight", floats(&[1.5])));
        }
        record(&example(&features))
    };
    let _ = scratch.file("a.tfrecord", &(0..40).flat_map(element).collect::<Vec<u8>>());
    let image = |height| record(&example(&[("image", strings(&[&jpeg((height, 4))]))]));
    let images = [8, 4].map(image);
    let _ = scratch.file("images.tfrecord", &images.concat());
}

/// What is asked for, and what would work instead.
const REFUSED: &[(&str, &str)] = &[
    ("a.tfrecord -o x.npy", "a.tfrecord --output x"),
    ("a.tfrecord -o x.npy -f tokens", "a.tfrecord -o x.npy --feature 'tokens: pad=max'"),
    ("a.tfrecord -o x.npy -f tokens --ragged", "a.tfrecord -f tokens --ragged --output x"),
    ("a.tfrecord -o x.npy -f weight", "a.tfrecord -o x.npy --feature 'weight: default=0 present'"),
    ("a.tfrecord -o x.npy -f packed", "a.tfrecord -o x.npy --feature 'packed: dtype=S'"),
    (
        "a.tfrecord -o x -f tokens --pad 5 --threads=1",
        "a.tfrecord -o x --threads=1 --feature 'tokens: pad=12'",
    ),
    ("a.tfrecord -o x -f 'tokens: pad=3x4'", "a.tfrecord -o x --feature 'tokens: pad=12'"),
    (
        "a.tfrecord -o x -f '*: pad=3'",
        "a.tfrecord -o x --feature '*: pad=3' --feature 'box: pad=4' --feature 'tokens: pad=12'",
    ),
    ("a.tfrecord -o x --pad 4", "a.tfrecord -o x --feature 'box: pad=4'"),
    (
        "a.tfrecord -o x -f 'tokens: bucket=2,4' -f label",
        "a.tfrecord -o x --feature 'tokens: bucket=2,4,12' --feature label",
    ),
    (
        "a.tfrecord -o x -f 'box: pad=2' -f 'tokens: pad=2' -f weight",
        "a.tfrecord -o x --feature 'box: pad=4' --feature 'tokens: pad=12' --feature 'weight: default=0 present'",
    ),
    ("a.tfrecord -o x -f 'weight: bucket=3'", "a.tfrecord -o x --feature 'weight: bucket=3 present'"),
    ("a.tfrecord -o x -f 'weight: default=1,2'", "a.tfrecord -o x --feature 'weight: default=1'"),
    ("a.tfrecord -o x -f 'tokens: ragged default=1'", "a.tfrecord -o x --feature 'tokens: ragged=yes'"),
    ("a.tfrecord -o x -f 'tokens: ragged mask'", "a.tfrecord -o x --feature 'tokens: ragged=yes'"),
    ("a.tfrecord -o x -f 'name: dtype=S3'", "a.tfrecord -o x --feature 'name: dtype=S10'"),
    ("a.tfrecord -o x -f 'name: dtype=int32'", "a.tfrecord -o x --feature name"),
    ("a.tfrecord -o x -f 'name: saturate'", "a.tfrecord -o x --feature name"),
    ("a.tfrecord -o x -f 'label: dtype=S4'", "a.tfrecord -o x --feature label"),
    ("a.tfrecord -o x -f 'label: dtype=complex64'", "a.tfrecord -o x --feature label"),
    ("a.tfrecord -o x -f 'box: resize=3x3'", "a.tfrecord -o x --feature box"),
    (
        "a.tfrecord -o x -f 'label: rename=y' -f 'box: rename=y'",
        "a.tfrecord -o x --feature 'label: rename=y' --feature 'box: rename=y_2'",
    ),
    ("a.tfrecord -o x -f 'label: rename=../y'", "a.tfrecord -o x --feature 'label: rename=___y_2'"),
    ("a.tfrecord -o x.npy -f 'label: rename=y'", "a.tfrecord -o x.npy --feature label"),
    ("a.tfrecord -o x.zarr -f 'packed: dtype=string'", "a.tfrecord -o x.zarr --feature 'packed: ragged=yes'"),
    ("a.tfrecord -o x -f 'name: dtype=string'", "a.tfrecord -f 'name: dtype=string' --output x.zarr"),
    ("a.tfrecord -o x -f 'box: chunk=3'", "a.tfrecord -f 'box: chunk=3' --output x.zarr"),
    ("a.tfrecord -o x.zarr -f 'box: chunk=3x4x5'", "a.tfrecord -o x.zarr --feature 'box: chunk=3'"),
    (
        "a.tfrecord -o x.zarr -f 'box: chunk=3 shard=5'",
        "a.tfrecord -o x.zarr --feature 'box: chunk=3 shard=6'",
    ),
    (
        "a.tfrecord -o x.zarr --store zarr2 -f 'box: chunk=3 shard=6'",
        "a.tfrecord -o x.zarr -f 'box: chunk=3 shard=6' --store zarr",
    ),
    ("a.tfrecord -o x.zarr --io mapped", "a.tfrecord -o x.zarr"),
    ("a.tfrecord -o x -f 'tokens: pad=100000000000'", "a.tfrecord -o x --feature 'tokens: pad=max'"),
    ("images.tfrecord -o x.npy -f image", "images.tfrecord -o x.npy --feature 'image: resize=224x224'"),
    (
        "images.tfrecord -o x -f 'image: resize=2x2 dtype=int8'",
        "images.tfrecord -o x --feature 'image: dtype=int8 saturate resize=2x2'",
    ),
    (
        "images.tfrecord -o x -f 'image: shorter-side=3'",
        "images.tfrecord -o x --feature 'image: shorter-side=3 crop=3x3'",
    ),
];

#[test]
fn every_refusal_ends_with_a_command_that_works() {
    let program = binary();
    let mut wrong = Vec::new();
    for (asked, works) in REFUSED {
        let scratch = Scratch::new();
        dataset(&scratch);
        let refused = run(&scratch, &format!("convert {asked}"));
        let found =
            refused.err.trim_end().lines().last().and_then(|line| line.strip_prefix("this would work: "));
        let shown = found.and_then(|line| line.strip_prefix(&format!("{} convert ", program.display())));
        if refused.code == Some(0) || shown != Some(works) {
            wrong.push(format!("{asked}\n  ends with {:?}: {}", refused.code, refused.err));
            continue;
        }
        let mut shell = Command::new("sh");
        let again = ran(&shell
            .arg("-c")
            .arg(found.unwrap_or_default())
            .current_dir(scratch.path())
            .output()
            .unwrap());
        if again.code != Some(0) {
            wrong.push(format!("{works}\n  ends with {:?}: {}", again.code, again.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What was not looked at is not promised.
#[test]
fn what_may_work_is_said_to() {
    let scratch = Scratch::new();
    dataset(&scratch);
    for (asked, may) in [("-f tokns", "--feature tokens"), ("-f tokens:pad=5", "--feature 'tokens: pad=5'")] {
        let refused = run(&scratch, &format!("convert a.tfrecord -o x {asked}"));
        let last = refused.err.trim_end().lines().last().unwrap_or_default();
        assert!(
            last.starts_with("perhaps: ") && last.ends_with(&format!("a.tfrecord -o x {may}")),
            "{}",
            refused.err
        );
    }
}

/// Memory that is too little: as much as is needed.
#[test]
fn memory_that_is_enough_is_named() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let refused = run(&scratch, "convert a.tfrecord -o x --memory 3MiB");
    let (_, works) = refused.err.trim_end().rsplit_once("this would work: ").unwrap();
    let (_, arguments) = works.split_once(' ').unwrap();
    assert!(arguments.starts_with("convert a.tfrecord -o x --memory "), "{arguments}");
    let again = run(&scratch, &words(arguments).join(" "));
    assert_eq!(again.code, Some(0), "{}", again.err);
}
