//! Schemas that do not hold, and what is said of the elements that break them.

use lithify::error::ErrorKind;
use lithify_tests::images::deflated_zeros;
use lithify_tests::memory::largest;
use lithify_tests::tfds::{dataset, dict, sequence, tensor};
use lithify_tests::{Conversion, Scratch, example, floats, integers, strings, zlib};

use crate::MOST_AT_ONCE;

/// What is said of a dataset of one feature `x` whose third element is bad, scanned and converted.
fn said(feature: &str, good: &[u8], bad: &[u8]) -> String {
    let scratch = Scratch::new();
    let of = |feature: &[u8]| example(&[("x", feature.to_vec())]);
    let directory = dataset(
        &scratch,
        &dict(&[("x", feature.to_owned())]),
        &[("s", vec![vec![of(good), of(good), of(bad)]])],
    );
    let conversion = Conversion::of([&directory]);
    let error = conversion.clone().feature("x").convert(&scratch.at("out")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    assert_eq!(error.place().element, Some(2), "{error}");
    assert_eq!(error.place().feature.as_deref(), Some("x"), "{error}");
    // It is left out, where that is allowed.
    let manifest = conversion.skipping().feature("x").convert(&scratch.at("skipped")).unwrap();
    assert_eq!((manifest.elements, manifest.skipped.len()), (2, 1));
    error.message().to_owned()
}

#[test]
fn what_a_schema_promises_must_hold() {
    let byte = tensor("uint8", "", "none");
    let pair = tensor("float32", "2", "none");
    let pairs = tensor("float64", "-1,2", "bytes");
    let packed = tensor("int16", "3", "zlib");
    let (six, sixteen) = (zlib(&[0; 6]), [0_u8; 16]);
    for (feature, good, bad, wanted) in [
        (&byte, integers(&[255]), integers(&[256]), "the value 256 does not fit uint8"),
        (&byte, integers(&[1]), integers(&[1, 2]), "it has 2 values, which is not as declared: ()"),
        (
            &byte,
            integers(&[1]),
            floats(&[1.0]),
            "it is declared as uint8 and stored as int64, but holds float here",
        ),
        (&pair, floats(&[1.0, 2.0]), floats(&[1.0]), "it has 1 values, which is not as declared: (2)"),
        (&pairs, strings(&[&sixteen]), strings(&[&sixteen[..9]]), "9 bytes are no whole number of float64"),
        (
            &pairs,
            strings(&[&sixteen]),
            strings(&[&sixteen[..8]]),
            "it has 1 values, which is not as declared: (?, 2)",
        ),
        (
            &packed,
            strings(&[&six]),
            strings(&[&zlib(&[0; 8])]),
            "it has 4 values, which is not as declared: (3)",
        ),
        (&packed, strings(&[&six]), strings(&[&six[..5]]), "it cannot be decompressed: "),
        (&packed, strings(&[&six]), strings(&[b"no"]), "it cannot be decompressed: "),
    ] {
        let found = said(feature, &good, &bad);
        assert!(found.starts_with(wanted), "{found}");
    }
    // A list of images of which one is none.
    let image = r#"{"pythonClassName": "Image", "image": {"shape": {"dimensions": ["-1", "-1", "3"]}}}"#;
    let png = lithify_tests::images::png((1, 1), &[], &lithify_tests::images::deflated(&[0; 4]));
    let found = said(&sequence(image), &strings(&[&png]), &strings(&[&png, b"no image"]));
    assert!(found.starts_with("the image cannot be decoded"), "{found}");
}

/// What a few bytes are decompressed to may not take more memory than there is.
#[test]
fn a_bomb_is_refused() {
    let scratch = Scratch::new();
    let bomb = example(&[("x", strings(&[&deflated_zeros(64)]))]);
    let features = dict(&[("x", tensor("uint8", "-1", "zlib"))]);
    let directory = dataset(&scratch, &features, &[("s", vec![vec![bomb]])]);
    let error = Conversion::of([&directory]).memory(24 << 20).scan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources, "{error}");
    assert!(error.message().contains("decompressed"), "{error}");
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}

#[test]
fn what_is_no_json_of_a_dataset_is_told() {
    let deep = "[".repeat(100_000);
    let huge =
        r#"{"splits": [{"name": "s", "shardLengths": ["18446744073709551615", "18446744073709551615"]}]}"#;
    for (file, text) in [
        ("dataset_info.json", ""),
        ("dataset_info.json", "\u{0}"),
        ("dataset_info.json", deep.as_str()),
        ("dataset_info.json", huge),
        ("dataset_info.json", r#"{"splits": []}"#),
        ("dataset_info.json", r#"{"splits": [{"name": "s"}]}"#),
        ("dataset_info.json", r#"{"splits": [{"name": "s", "shardLengths": ["-1"]}]}"#),
        ("dataset_info.json", r#"{"splits": [{"name": "../s", "shardLengths": ["1"]}]}"#),
        (
            "dataset_info.json",
            r#"{"splits": [{"name": "s", "shardLengths": ["1"], "filepathTemplate": "{SPLIT}/x"}]}"#,
        ),
        ("dataset_info.json", r#"{"fileFormat": "riegeli", "splits": []}"#),
        ("features.json", ""),
        ("features.json", deep.as_str()),
        ("features.json", "{\"featuresDict\": "),
    ] {
        let scratch = Scratch::new();
        let features = dict(&[("x", tensor("uint8", "", "none"))]);
        let directory = dataset(&scratch, &features, &[("s", vec![vec![example(&[("x", integers(&[1]))])]])]);
        std::fs::write(directory.join(file), text).unwrap();
        let error = Conversion::of([&directory]).scan().unwrap_err();
        let shown = scratch.show(&error);
        assert!(shown.contains(file), "{text:.40}: {shown}");
    }
    // Whatever a schema says, nothing is lost that it does not speak of.
    for features in
        ["{}", "null", "[1, 2]", r#"{"featuresDict": {"features": {"x": {"tensor": {"dtype": "int3"}}}}}"#]
    {
        let scratch = Scratch::new();
        let examples = vec![example(&[("x", integers(&[1]))]); 2];
        let directory = dataset(&scratch, features, &[("s", vec![examples])]);
        assert_eq!(Conversion::of([&directory]).scan().unwrap().features[0].name, "x", "{features}");
    }
}
