//! Elements that a program gives: what is written as they come is what two passes write, and what a spool gives back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use lithify::convert::{Alike, Job, convert, convert_growing};
use lithify::error::{Error, ErrorKind, Result};
use lithify::progress::Progress;
use lithify::source::live::{Batch, Begin, Builder, Feed, Live, Spool};
use lithify::value::DType;
use lithify::write::WriteOptions;
use lithify_tests::{Conversion, Scratch, files_below};
use ndarray::ArrayD;
use proptest::prelude::*;

/// Bytes of a row of which a block has eight.
const LARGE: u64 = 1 << 20;

/// A batch of elements that are alike: `x`, of so many bytes, and `y`, a number; the first has this number.
fn alike(first: u64, elements: u64, width: u64) -> Batch {
    let features: [(&str, DType, &[u64]); 2] = [("x", DType::Uint8, &[width]), ("y", DType::Int16, &[])];
    let values = |feature: usize, bytes: &mut Vec<u8>| {
        for number in first..first + elements {
            let [low, high, ..] = number.to_le_bytes();
            match feature {
                0 => bytes.extend(std::iter::repeat_n(low, usize::try_from(width).unwrap())),
                _ => bytes.extend([low, high]),
            }
        }
        Ok::<_, Error>(())
    };
    Batch::alike(elements, &features, values).unwrap()
}

/// Batches of at most so many elements, of `elements` that are alike.
fn all_alike(elements: u64, most: u64, width: u64) -> Vec<Batch> {
    let starts = (0..elements).step_by(usize::try_from(most).unwrap());
    starts.map(|first| alike(first, most.min(elements - first), width)).collect()
}

/// Lists of these lengths, a batch for each few.
fn lists(lengths: &[u64]) -> Vec<Batch> {
    let mut builder = Builder::default();
    let mut batches = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        let add = |bytes: &mut Vec<u8>| {
            (0..*length).for_each(|at| bytes.extend((number as u64 * 100 + at).to_ne_bytes()));
            Ok::<_, Error>(())
        };
        builder.numbers("array", DType::Uint64, &[*length], add).unwrap();
        builder.end_element().unwrap();
        if number % 3 == 2 {
            batches.push(builder.take());
        }
    }
    if !builder.is_empty() {
        batches.push(builder.take());
    }
    batches
}

/// A program that gives these batches each time.
fn program(batches: &[Batch], elements: Option<u64>, alike: bool) -> Live {
    let batches = batches.to_vec();
    let begin = move || {
        let batches = batches.clone();
        Ok(Box::new(batches.into_iter().map(Ok)) as lithify::source::live::Batches)
    };
    live(Box::new(begin), elements, alike)
}

fn live(begin: Begin, elements: Option<u64>, alike: bool) -> Live {
    let name = "program".into();
    Live::new(Feed { name, begin, elements, alike, again: true, held: 0, memory: 1 << 30 })
}

fn asked(features: &[&str]) -> Conversion {
    let nothing = Conversion::of::<PathBuf>([]);
    features.iter().fold(nothing, |conversion, feature| conversion.feature(*feature))
}

/// All files of an output but the manifest, which tells when it was written.
fn written(
    conversion: &Conversion,
    output: &Path,
    work: impl FnOnce(&Job<'_>) -> Result<()>,
) -> Vec<(PathBuf, Vec<u8>)> {
    conversion.job_of(output, work).unwrap();
    let difference = lithify::write::verify::verify(output, 1, &()).unwrap();
    assert!(difference.is_empty(), "{:?}", difference.iter().map(|one| &one.file).collect::<Vec<_>>());
    let files = files_below(output);
    files.into_iter().filter(|file| file.0 != Path::new("lithify.json")).collect()
}

fn two_passes(conversion: &Conversion, output: &Path, batches: &[Batch]) -> Vec<(PathBuf, Vec<u8>)> {
    written(conversion, output, |job| convert(&program(batches, None, false), job).map(drop))
}

fn one_pass(conversion: &Conversion, output: &Path, source: &Live, how: Alike) -> Vec<(PathBuf, Vec<u8>)> {
    written(conversion, output, |job| {
        assert!(convert_growing(source, job, how)?.is_some(), "it was not done in one pass");
        Ok(())
    })
}

fn spooled(conversion: &Conversion, output: &Path, batches: &[Batch]) -> Vec<(PathBuf, Vec<u8>)> {
    written(conversion, output, |job| {
        let mut spool = Spool::create(output.parent().unwrap())?;
        batches.iter().try_for_each(|batch| spool.push(batch))?;
        convert(&spool.finish("program"), job).map(drop)
    })
}

#[test]
fn what_is_alike_is_written_as_it_comes() {
    let scratch = Scratch::new();
    // Around the borders of blocks and of batches.
    for elements in [1, 2, 7, 8, 9, 16, 17, 25] {
        let batches = all_alike(elements, 3, LARGE);
        let wanted = two_passes(&asked(&[]), &scratch.at(&format!("{elements}/two")), &batches);
        assert_eq!(wanted.len(), 2);
        for (number, said) in [None, Some(elements), Some(1), Some(100)].into_iter().enumerate() {
            let output = scratch.at(&format!("{elements}/{number}"));
            let found = one_pass(&asked(&[]), &output, &program(&batches, said, true), Alike::Said);
            assert!(found == wanted, "{elements} elements, of which {said:?} were said");
        }
        assert!(spooled(&asked(&[]), &scratch.at(&format!("{elements}/spool")), &batches) == wanted);
    }
}

#[test]
fn chunks_and_shards_end_where_the_elements_do() {
    let scratch = Scratch::new();
    let ways = [
        ["x: chunk=3 codec=none shard=none", "y: chunk=2 shard=4"],
        ["x: chunk=2x500 shard=4", "y: chunk=5 codec=none shard=none"],
        ["x: chunk=4 dtype=int32 shard=none", "y: chunk=1 codec=gzip:1 shard=none"],
    ];
    for elements in [5, 6, 8, 11, 23] {
        for (number, features) in ways.iter().enumerate() {
            let batches = all_alike(elements, 4, 700);
            let at = |name: &str| scratch.at(&format!("{elements}-{number}-{name}.zarr"));
            let wanted = two_passes(&asked(features), &at("two"), &batches);
            let found = one_pass(&asked(features), &at("one"), &program(&batches, None, true), Alike::Said);
            let names =
                |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
            assert_eq!(names(&found), names(&wanted), "{elements} elements, {features:?}");
            assert!(found == wanted, "{elements} elements, {features:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn lists_are_written_as_they_come(lengths in prop::collection::vec(0_u64..9, 1..40)) {
        let scratch = Scratch::new();
        let batches = lists(&[&[2], &lengths[..]].concat());
        for (number, words) in [["array: ragged"], ["array: ragged dtype=int16"]].iter().enumerate() {
            let at = |name: &str| scratch.at(&format!("{number}-{name}"));
            let wanted = two_passes(&asked(words), &at("two"), &batches);
            let found = one_pass(&asked(words), &at("one"), &program(&batches, None, true), Alike::Anyhow);
            prop_assert!(found == wanted);
            prop_assert!(spooled(&asked(words), &at("spool"), &batches) == wanted);
            let store = one_pass(&asked(words), &at("one.zarr"), &program(&batches, None, true), Alike::Anyhow);
            prop_assert!(!store.is_empty());
        }
        let padded = two_passes(&asked(&["array: pad=max value=7"]), &scratch.at("padded"), &batches);
        prop_assert!(spooled(&asked(&["array: pad=max value=7"]), &scratch.at("padded-spool"), &batches) == padded);
    }
}

/// Where all of them must be known first, nothing is done; and where one is not as the first, that is said.
#[test]
fn what_is_not_alike_is_not_written_in_one_pass() {
    let scratch = Scratch::new();
    let batches = lists(&[3, 3, 3, 3, 2]);
    let output = scratch.at("out");
    let try_it = |words: &str, how: Alike| {
        asked(&[words]).job_of(&output, |job| convert_growing(&program(&batches, None, true), job, how))
    };
    assert!(try_it("array: pad=max", Alike::Hoped).unwrap().is_none());
    assert!(try_it("array", Alike::Anyhow).unwrap().is_none());
    let error = try_it("array", Alike::Hoped).unwrap_err();
    assert_eq!((error.kind(), error.place().element), (ErrorKind::Input, Some(4)), "{error}");
    assert_eq!(files_below(scratch.at("out").parent().unwrap()), []);
}

/// Stops a run after its first block.
#[derive(Default)]
struct FirstBlock {
    writing: AtomicBool,
    written: AtomicBool,
}

impl Progress for FirstBlock {
    fn begin(&self, what: &'static str, _: u64) {
        self.writing.store(what == "write", Ordering::Relaxed);
        self.written.store(false, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.written.fetch_or(bytes > 0 && self.writing.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }
}

/// What was begun of files, and not completed, is not thrown away for what a program gives; what was begun of a program is.
#[test]
fn what_others_have_begun_stays() {
    let scratch = Scratch::new();
    let (file, output) = (scratch.at("x.npy"), scratch.at("out"));
    let rows = ArrayD::from_shape_fn(vec![40, 1 << 20], |at| u8::try_from(at[0]).unwrap());
    ndarray_npy::write_npy(&file, &rows).unwrap();
    let of_file = Conversion::of([&file]).threads(1);
    let stop = FirstBlock::default();
    let stopping = WriteOptions { overwrite: false, restart: false, durable: None, progress: &stop };
    let source = of_file.open().unwrap();
    let stopped = |job: &Job<'_>| convert(source.as_ref(), &Job { writing: &stopping, ..*job });
    assert_eq!(of_file.job_of(&output, stopped).unwrap_err().kind(), ErrorKind::Interrupted);
    let batches = all_alike(3, 3, 7);
    let live = |restart: bool| {
        let writing = WriteOptions { restart, overwrite: false, durable: None, progress: &() };
        asked(&[]).job_of(&output, |job| {
            let job = Job { writing: &writing, ..*job };
            convert_growing(&program(&batches, None, true), &job, Alike::Said)
        })
    };
    let error = live(false).unwrap_err();
    assert!(error.to_string().contains("was begun before"), "{error}");
    // It is still there, and completed.
    assert_eq!(of_file.convert(&output).unwrap().elements, 40);
    std::fs::remove_dir_all(&output).unwrap();
    assert_eq!(of_file.job_of(&output, stopped).unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(live(true).unwrap().unwrap().elements, 3);
}

/// A program that gives up: nothing is left, and the next that is written there has nothing of it.
#[test]
fn a_program_that_fails_leaves_nothing() {
    let scratch = Scratch::new();
    let failing = |batches: Vec<Batch>, alike: bool| {
        let begin = move || {
            let end = || Err(Error::new(ErrorKind::Interrupted, "stopped as asked"));
            let batches = batches.clone().into_iter().map(Ok).chain(std::iter::once_with(end));
            Ok(Box::new(batches) as lithify::source::live::Batches)
        };
        live(Box::new(begin), None, alike)
    };
    let batches = all_alike(20, 3, LARGE);
    let output = scratch.at("place/out");
    let convert_it = |job: &Job<'_>| convert_growing(&failing(batches.clone(), true), job, Alike::Said);
    let error = asked(&[]).job_of(&output, convert_it).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    let twice = |job: &Job<'_>| convert(&failing(batches.clone(), false), job);
    assert_eq!(asked(&[]).job_of(&output, twice).unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(!output.parent().unwrap().exists() || files_below(output.parent().unwrap()).is_empty());
}
