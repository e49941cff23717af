//! Which elements of which datasets: several one after another, those that meet a condition, the first so many.

use std::path::{Path, PathBuf};

use lithify::convert::{plan_again, reopen};
use lithify::plan::Layout;
use lithify::store::npy::header;
use lithify::value::DType;
use lithify::write::verify::verify_against_source;
use lithify_tests::tfds::{dataset, dict, tensor};
use lithify_tests::{Conversion, Scratch, example, floats, gzip, integers, read_npy, record, strings};

/// An element: its number, as many values as that number allows, and a text.
fn element(number: i64) -> Vec<u8> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let values: Vec<f32> = (0..number % 5).map(|at| (number * 10 + at) as f32).collect();
    let text = format!("t{}", number % 3);
    example(&[("id", integers(&[number])), ("v", floats(&values)), ("s", strings(&[text.as_bytes()]))])
}

/// TFRecord files of these many elements, the second compressed.
fn files(scratch: &Scratch, counts: &[i64]) -> Vec<PathBuf> {
    let mut next = 0..;
    let file = |(number, count): (usize, &i64)| {
        let stream: Vec<u8> = next
            .by_ref()
            .take(usize::try_from(*count).unwrap())
            .flat_map(|at| record(&element(at)))
            .collect();
        let stream = if number == 1 { gzip(&stream) } else { stream };
        scratch.file(&format!("{number}.tfrecord"), &stream)
    };
    counts.iter().enumerate().map(file).collect()
}

fn of(files: &[PathBuf]) -> Conversion {
    Conversion::of(files).feature("id").feature("v: ragged").feature("s")
}

/// The ids that came out, once all that stands beside them is what it should be.
fn ids(output: &Path) -> Vec<i64> {
    let ids: Vec<i64> = read_npy::<i64>(&output.join("id.npy")).into_iter().collect();
    let values: Vec<f32> = read_npy::<f32>(&output.join("v.values.npy")).into_iter().collect();
    let offsets: Vec<i64> = read_npy::<i64>(&output.join("v.offsets.npy")).into_iter().collect();
    assert_eq!(offsets.len(), ids.len() + 1);
    for (id, pair) in ids.iter().zip(offsets.windows(2)) {
        let row = &values[usize::try_from(pair[0]).unwrap()..usize::try_from(pair[1]).unwrap()];
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let wanted: Vec<f32> = (0..id % 5).map(|at| (id * 10 + at) as f32).collect();
        assert_eq!(row, wanted);
    }
    ids
}

/// Converts, and compares the output with what its dataset gives when it is opened again by what the output says of it.
fn convert(conversion: &Conversion, output: &Path) {
    let manifest = conversion.convert(output).unwrap();
    let machine = conversion.machine();
    let source = reopen(&manifest.format, &manifest.parts, &manifest.choice, &machine).unwrap();
    let plan = plan_again(source.as_ref(), &manifest, output, &machine, &()).unwrap();
    assert_eq!(plan.layout, Layout::NpyDirectory);
    assert!(verify_against_source(output, source.as_ref(), &plan, &()).unwrap().is_empty());
}

#[test]
fn limits_take_the_first_elements() {
    let scratch = Scratch::new();
    let files = files(&scratch, &[40, 30, 50]);
    for threads in [1, 3] {
        for limit in [1, 39, 40, 41, 70, 100, 119, 120, 1000] {
            let output = scratch.at(&format!("{threads}-{limit}"));
            convert(&of(&files).threads(threads).limit(limit), &output);
            assert!(ids(&output).into_iter().eq(0..i64::try_from(limit).unwrap().min(120)), "{limit}");
        }
    }
}

#[test]
fn what_comes_after_the_limit_does_not_matter() {
    let scratch = Scratch::new();
    let good: Vec<u8> = (0..20).flat_map(|at| record(&element(at))).collect();
    let file = scratch.file("x.tfrecord", &[&good[..], &[7; 100]].concat());
    assert!(of(std::slice::from_ref(&file)).convert(&scratch.at("all")).is_err());
    for limit in [1, 19, 20] {
        let output = scratch.at(&limit.to_string());
        of(std::slice::from_ref(&file)).limit(limit).convert(&output).unwrap();
        assert_eq!(ids(&output).len() as u64, limit);
    }
    assert!(of(std::slice::from_ref(&file)).limit(21).convert(&scratch.at("more")).is_err());
}

/// Which ids meet a condition.
type Meets = fn(&i64) -> bool;

#[test]
fn conditions_leave_the_others_out() {
    let scratch = Scratch::new();
    let files = files(&scratch, &[40, 30, 50]);
    let cases: [(&[&str], Meets); 6] = [
        (&["id < 41"], |id| *id < 41),
        (&["len(v)>=3"], |id| id % 5 >= 3),
        (&["s == t1", "id >= 60"], |id| id % 3 == 1 && *id >= 60),
        (&["s != t1"], |id| id % 3 != 1),
        (&["id > 39", "id <= 69"], |id| (40..70).contains(id)),
        (&["id == 119"], |id| *id == 119),
    ];
    for (number, (conditions, meets)) in cases.into_iter().enumerate() {
        for (threads, limit) in [(1, None), (3, None), (2, Some(7))] {
            let mut conversion = of(&files).threads(threads);
            for condition in conditions {
                conversion = conversion.select(condition);
            }
            conversion.choice.limit = limit;
            let output = scratch.at(&format!("{number}-{threads}"));
            convert(&conversion, &output);
            let wanted = (0..120).filter(meets).take(limit.map_or(usize::MAX, |_| 7));
            assert!(ids(&output).into_iter().eq(wanted), "{conditions:?}");
        }
    }
    let error = of(&files).select("v < 3").convert(&scratch.at("error")).unwrap_err();
    assert!(scratch.show(&error).contains("len(v)"), "{error}");
    assert!(of(&files).select("id").open().is_err());
}

#[test]
fn datasets_follow_one_another() {
    let scratch = Scratch::new();
    let records = files(&scratch, &[3]);
    let array = [&header(DType::Int64, &[2, 1])[..], &7_i64.to_le_bytes(), &8_i64.to_le_bytes()].concat();
    let array = scratch.file("id.npy", &array);
    let output = scratch.at("out");
    let conversion = Conversion::of([&array, &records[0], &array]).feature("id");
    convert(&conversion, &output);
    assert_eq!(
        read_npy::<i64>(&output.join("id.npy")).into_iter().collect::<Vec<_>>(),
        [7, 8, 0, 1, 2, 7, 8]
    );
    let manifest = conversion.convert(&scratch.at("again")).unwrap();
    assert_eq!(manifest.format, "npy+tfrecord+npy");
    assert_eq!(manifest.parts.iter().map(|part| part.dataset).collect::<Vec<_>>(), [0, 1, 2]);
}

/// Two directories of TensorFlow Datasets, whose schemas say nothing of each other.
#[test]
fn directories_are_datasets_each() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let features = dict(&[("id", tensor("int64", "", "none"))]);
    let make = |scratch: &Scratch, from: i64| {
        let elements = (from..from + 4).map(|id| example(&[("id", integers(&[id]))])).collect();
        dataset(scratch, &features, &[("train", vec![elements])])
    };
    let inputs = [make(&one, 0), make(&two, 10)];
    for (number, (split, wanted)) in
        [("train", vec![0, 1, 2, 3, 10, 11, 12, 13]), ("train[:2]", vec![0, 1, 10, 11])]
            .into_iter()
            .enumerate()
    {
        let output = one.at(&format!("out{number}"));
        convert(&Conversion::of(&inputs).split(split), &output);
        let ids: Vec<i64> = read_npy::<i64>(&output.join("id.npy")).into_iter().collect();
        assert_eq!(ids, wanted);
    }
}
