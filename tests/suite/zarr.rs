//! Zarr stores from the command line. What readers make of them is tested in `oracle/test_zarr.py`.

use std::fs;
use std::path::{Path, PathBuf};

use lithify_tests::command::run;
use lithify_tests::{Scratch, example, files_below, floats, integers, record};

/// Vectors, sequences of many lengths, and numbers.
fn dataset(scratch: &Scratch) {
    let elements = (0..500_i16).map(|at| {
        let sequence = vec![i64::from(at); usize::try_from(at % 7).unwrap()];
        record(&example(&[
            ("x", floats(&[f32::from(at), 0.5])),
            ("tokens", integers(&sequence)),
            ("a/b", integers(&[at.into()])),
        ]))
    });
    let _ = scratch.file("data", &elements.collect::<Vec<_>>().concat());
}

/// The files of a store and what they hold, but for the manifest, which tells how long the run took.
fn stored(store: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(store).into_iter().filter(|file| !file.0.ends_with("lithify.json")).collect()
}

#[test]
fn the_ending_chooses_zarr() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert data -o out.zarr -q").code, Some(0));
    for file in ["", "a", "a/b", "tokens", "tokens/values", "tokens/offsets", "x"] {
        assert!(scratch.at("out.zarr").join(file).join("zarr.json").is_file(), "{file}");
    }
    assert!(scratch.at("out.zarr/lithify.json").is_file());
    let info = run(&scratch, "info out.zarr");
    assert!(info.out.contains("tokens/offsets") && info.out.contains("(500, 2), zstd:1"), "{info:?}");
    assert_eq!(run(&scratch, "verify out.zarr --against-source").code, Some(0));
    // Also under another name.
    fs::rename(scratch.at("out.zarr"), scratch.at("renamed")).unwrap();
    assert_eq!(run(&scratch, "verify renamed --against-source").code, Some(0));
}

#[test]
fn a_dry_run_tells_the_chunks_and_writes_nothing() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let shown = run(&scratch, "convert data -o out.zarr -f 'x: chunk=8 shard=64 codec=none' --dry-run");
    assert_eq!(shown.code, Some(0));
    assert!(shown.out.contains("(8, 2) in shards of (64, 2), none"), "{shown:?}");
    assert!(shown.out.contains("files:  8 "), "{shown:?}");
    assert!(!scratch.at("out.zarr").exists());
}

#[test]
fn a_saved_plan_writes_what_convert_writes() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let keys = "-f 'x: chunk=8x1 codec=gzip:1' -f 'tokens: bucket=2,6 chunk=100'";
    assert_eq!(run(&scratch, &format!("convert data -o a/out.zarr -q {keys}")).code, Some(0));
    assert_eq!(run(&scratch, &format!("plan data --to b/out.zarr -o plan -q {keys}")).code, Some(0));
    assert_eq!(run(&scratch, "write plan -q").code, Some(0));
    assert_eq!(stored(&scratch.at("a/out.zarr")), stored(&scratch.at("b/out.zarr")));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let scratch = Scratch::new();
    dataset(&scratch);
    for (output, keys, said) in [
        ("out.zarr", "-f 'x: chunk=0'", "`chunk=0` is no size"),
        ("out.zarr", "-f 'x: chunk=8x2x2'", "`chunk` has 3 sizes, but the array has the shape (500, 2)"),
        ("out.zarr", "-f 'x: chunk=8 shard=12'", "not made of whole chunks of 8 rows"),
        ("out.zarr", "-f 'x: shard=some'", "`shard=some` is no size"),
        ("out.zarr", "-f 'x: codec=lzma'", "`codec=lzma` is unknown"),
        ("out.zarr", "-f 'x: codec=zstd:40'", "`codec=zstd:40` is unknown"),
        ("out.zarr", "-f 'x: rename=__x'", "cannot be the name of a Zarr array"),
        ("out.zarr", "-f x -f 'a/b: rename=x/y'", "which is the place of another array"),
        ("out.zarr", "-f x --io mapped", "`--io mapped` is for `.npy` files"),
        ("out.npy", "-f 'x: chunk=8'", "`chunk` is for Zarr"),
        ("out", "-f 'x: codec=none'", "`codec` is for Zarr"),
        ("out", "-f 'x: shard=none'", "let the name of the output end in `.zarr`"),
    ] {
        let ran = run(&scratch, &format!("convert data -o {output} -q {keys}"));
        assert_eq!(ran.code, Some(2), "{keys}: {ran:?}");
        assert!(ran.err.contains(said), "{keys}: {ran:?}");
        assert!(!scratch.at(output).exists());
    }
    let ran = run(&scratch, "convert data -o out.zarr -f 'x: codec=blosc:lz4' --dry-run");
    assert!(ran.code == Some(0) || ran.err.contains("this build has no Blosc"), "{ran:?}");
}

#[test]
fn a_store_is_replaced_as_a_whole_and_only_when_asked_for() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert data -o out.zarr -q -f 'x: chunk=10'").code, Some(0));
    let before = stored(&scratch.at("out.zarr"));
    assert_eq!(run(&scratch, "convert data -o out.zarr -q -f a/b").code, Some(1));
    assert_eq!(stored(&scratch.at("out.zarr")), before);
    assert_eq!(run(&scratch, "convert data -o out.zarr -q -f a/b --overwrite").code, Some(0));
    assert!(!scratch.at("out.zarr/x").exists());
    assert_eq!(run(&scratch, "verify out.zarr -q").code, Some(0));
    let _ = scratch.file("out.zarr/notes", b"precious");
    let refused = run(&scratch, "convert data -o out.zarr -q -f x --overwrite");
    assert!(refused.err.contains("`out.zarr/notes`, which lithify has not written"), "{refused:?}");
}

#[test]
fn a_flipped_bit_of_any_file_is_found() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let keys = "-f 'x: chunk=100 shard=200' -f 'tokens: ragged codec=none' -f 'a/b: codec=gzip+crc32c'";
    assert_eq!(run(&scratch, &format!("convert data -o out.zarr -q {keys}")).code, Some(0));
    for (name, bytes) in stored(&scratch.at("out.zarr")) {
        let file = scratch.at("out.zarr").join(&name);
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&file, flipped).unwrap();
            let ran = run(&scratch, "verify out.zarr");
            assert_eq!(ran.code, Some(1), "{}, byte {at}", file.display());
            assert!(ran.out.contains(&format!("`{}`: the file has changed", name.display())), "{ran:?}");
        }
        fs::write(&file, &bytes).unwrap();
    }
    let _ = scratch.file("out.zarr/x/c.9.0", b"no chunk of ours");
    fs::remove_file(scratch.at("out.zarr/a/b/c.0")).unwrap();
    let ran = run(&scratch, "verify out.zarr");
    assert!(ran.out.contains("`a/b/c.0`: the file is missing"), "{ran:?}");
    assert!(ran.out.contains("`x/c.9.0`: the file was not written by lithify"), "{ran:?}");
}

/// Elements that turn out bad in pass 2 leave slabs that nobody completes: the store is made anew without them.
#[test]
fn elements_that_are_skipped_are_in_no_chunk() {
    let scratch = Scratch::new();
    let elements = (0..2000).map(|at| {
        let value = if at % 100 == 7 { 1000 } else { at % 100 };
        record(&example(&[("x", integers(&[value]))]))
    });
    let _ = scratch.file("data", &elements.collect::<Vec<_>>().concat());
    let ran =
        run(&scratch, "convert data -o out.zarr -q -f 'x: dtype=uint8 chunk=64 codec=none' --on-error skip");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let chunks: Vec<u8> =
        (0..31).flat_map(|at| fs::read(scratch.at(&format!("out.zarr/x/c.{at}"))).unwrap()).collect();
    let kept = (0..2000).map(|at| at % 100).filter(|value| *value != 7);
    // The last chunk is filled up.
    assert!(chunks.iter().map(|value| i32::from(*value)).eq(kept.chain([0; 4])));
    assert_eq!(run(&scratch, "verify out.zarr -q --against-source").code, Some(0));
}
