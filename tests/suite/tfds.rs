//! Directories of TensorFlow Datasets: what comes out does not depend on threads, memory or slices. What TFDS itself makes
//! of them is tested in `oracle/test_tfds.py`.

use std::path::Path;

use lithify_tests::images::{deflated, png};
use lithify_tests::tfds::{dataset, dict, sequence, tensor};
use lithify_tests::{Conversion, Scratch, example, files_below, floats, integers, read_npy, strings};

/// How many steps an episode has.
fn steps(episode: usize) -> usize {
    episode * 7 % 5
}

/// A picture of one colour, 2 x 3.
fn picture(colour: u8) -> Vec<u8> {
    let row = [&[0][..], &[colour; 9]].concat();
    png((2, 3), &[], &deflated(&row.repeat(2)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
fn episode(number: usize) -> Vec<u8> {
    let count = steps(number);
    let pictures: Vec<_> = (0..count).map(|step| picture((number * 10 + step) as u8)).collect();
    let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    let states: Vec<_> = (0..count * 2).map(|at| (number * 100 + at) as f32).collect();
    example(&[
        ("steps/image", strings(&pictures)),
        ("id", integers(&[i64::try_from(number).unwrap()])),
        ("steps/state", floats(&states)),
    ])
}

/// Episodes, in files of these many.
fn episodes(scratch: &Scratch, files: &[usize]) -> std::path::PathBuf {
    let image = r#"{"pythonClassName": "Image", "image": {"shape": {"dimensions": ["2", "3", "3"]}, "dtype": "uint8"}}"#;
    let inner = dict(&[("image", image.to_owned()), ("state", tensor("float32", "2", "none"))]);
    let features = dict(&[("id", tensor("uint16", "", "none")), ("steps", sequence(&inner))]);
    let mut next = 0..;
    let files = files.iter().map(|count| next.by_ref().take(*count).map(episode).collect()).collect();
    dataset(scratch, &features, &[("train", files)])
}

const RAGGED: &str = "steps/image: ragged";
const RESIZED: &str = "steps/image: resize=1x2 ragged";
const PADDED: &str = "steps/image: resize=1x2 pad=max";

fn arrays(output: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    files_below(output).into_iter().filter(|file| !file.0.ends_with("lithify.json")).collect()
}

#[test]
fn steps_are_rows_whatever_the_threads() {
    let scratch = Scratch::new();
    let directory = episodes(&scratch, &[170, 1, 229]);
    let total: usize = (0..400).map(steps).sum();
    for (number, image) in [RAGGED, RESIZED, PADDED].into_iter().enumerate() {
        let conversion =
            Conversion::of([&directory]).feature(image).feature("steps/state: ragged").feature("id");
        let one = scratch.at(&format!("one{number}"));
        conversion.clone().threads(1).convert(&one).unwrap();
        for (threads, memory) in [(4, 1 << 30), (2, 30 << 20)] {
            let other = scratch.at(&format!("other{number}-{threads}"));
            conversion.clone().threads(threads).memory(memory).convert(&other).unwrap();
            assert_eq!(arrays(&one), arrays(&other), "{image}, {threads} threads");
        }
        let state = read_npy::<f32>(&one.join("steps/state.values.npy"));
        assert_eq!(state.shape(), [total, 2]);
        let ids = read_npy::<u16>(&one.join("id.npy"));
        assert!(ids.iter().copied().eq(0..400));
        let colour = |episode: usize, step: usize| u8::try_from((episode * 10 + step) % 256).unwrap();
        let colours = (0..400).flat_map(|episode| (0..steps(episode)).map(move |step| colour(episode, step)));
        if image == PADDED {
            let frames = read_npy::<u8>(&one.join("steps/image.npy"));
            assert_eq!(frames.shape(), [400, 4, 1, 2, 3]);
            let lengths = read_npy::<i64>(&one.join("steps/image.lengths.npy"));
            assert!(lengths.iter().map(|length| usize::try_from(*length).unwrap()).eq((0..400).map(steps)));
            let mut wanted = vec![0; 400 * 4];
            for episode in 0..400 {
                (0..steps(episode)).for_each(|step| wanted[episode * 4 + step] = colour(episode, step));
            }
            assert!(frames.iter().copied().step_by(6).eq(wanted));
            continue;
        }
        let frames = read_npy::<u8>(&one.join("steps/image.values.npy"));
        let size = if image == RAGGED { [2, 3] } else { [1, 2] };
        assert_eq!(frames.shape(), [total, size[0], size[1], 3]);
        assert!(frames.iter().copied().step_by(size[0] * size[1] * 3).eq(colours));
        let offsets = read_npy::<i64>(&one.join("steps/image.offsets.npy"));
        assert_eq!(offsets, read_npy::<i64>(&one.join("steps/state.offsets.npy")));
    }
}

#[test]
fn slices_are_what_they_are_of_the_whole() {
    let scratch = Scratch::new();
    let directory = episodes(&scratch, &[7, 0, 5, 8]);
    let slices = [
        ("train[3:9]", (3..9).collect::<Vec<u16>>()),
        ("train[:-13]", (0..7).collect()),
        ("train[50%:]", (10..20).collect()),
        ("train[12:]+train[:3]", (12..20).chain(0..3).collect()),
        ("train[6:7]+train[6:8]", vec![6, 6, 7]),
        ("all", (0..20).collect()),
    ];
    for (number, (split, wanted)) in slices.into_iter().enumerate() {
        let output = scratch.at(&number.to_string());
        let conversion = Conversion::of([&directory]).split(split);
        let manifest = conversion.convert(&output).unwrap();
        assert_eq!(manifest.choice.split.as_deref(), Some(split));
        let found: Vec<_> = read_npy::<u16>(&output.join("id.npy")).into_iter().collect();
        assert_eq!(found, wanted, "{split}");
    }
    let error = Conversion::of([scratch.file("plain", b"")]).split("train").open().err().unwrap();
    assert!(error.to_string().contains("`train`"), "{error}");
}

/// Where a schema promises all that is wanted, pass 1 reads no more than where records are; what it says must still hold.
#[test]
fn what_is_promised_is_not_read_twice() {
    let scratch = Scratch::new();
    let features = dict(&[
        ("id", tensor("uint16", "", "none")),
        ("pair", tensor("float32", "2", "none")),
        ("more", tensor("int64", "-1", "none")),
    ]);
    let element = |number: u16| {
        let more = vec![i64::from(number) << 20; usize::from(number) * 13 % 50];
        let pair = [f32::from(number), 0.5];
        let (id, pair) = (integers(&[number.into()]), floats(&pair));
        example(&[("id", id), ("more", integers(&more)), ("pair", pair)])
    };
    let files = [(0..5000).map(element).collect(), (5000..5100).map(element).collect()];
    let directory = dataset(&scratch, &features, &[("train", files.to_vec())]);
    let all = Conversion::of([&directory]);
    let some = all.clone().feature("id").feature("pair: ragged");
    all.clone().feature("id").feature("pair: ragged").feature("more").convert(&scratch.at("all")).unwrap();
    let read = |output: &str, array: &str| std::fs::read(scratch.at(output).join(array)).unwrap();
    let names = ["id.npy", "pair.values.npy", "pair.offsets.npy"];
    for threads in [1, 3] {
        let output = format!("some{threads}");
        some.clone().threads(threads).convert(&scratch.at(&output)).unwrap();
        for name in names {
            assert_eq!(read("all", name), read(&output, name), "{name}, {threads} threads");
        }
    }
    let profiles = [some.clone().scan().unwrap(), all.clone().scan().unwrap()];
    let facts =
        profiles.each_ref().map(|profile| (profile.elements, profile.stored_bytes, profile.largest_record));
    assert_eq!(facts[0], facts[1]);
    assert_eq!(profiles[0].features.iter().find(|feature| feature.name == "id"), profiles[1].feature("id"));
    // What is damaged is found in pass 2; or in pass 1, where it is to be left out.
    let shard = directory.join("made-train.tfrecord-00000-of-00002");
    let mut bytes = std::fs::read(&shard).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let error = some.clone().convert(&scratch.at("bad")).unwrap_err();
    let element = error.place().element.unwrap();
    assert_eq!(error.place(), all.scan().unwrap_err().place());
    let manifest = some.skipping().convert(&scratch.at("skipped")).unwrap();
    assert_eq!((manifest.elements, manifest.skipped.len()), (5099, 1));
    let ids = read_npy::<u16>(&scratch.at("skipped/id.npy"));
    assert!(ids.iter().copied().eq((0..5100).filter(|id| u64::from(*id) != element)));
}
