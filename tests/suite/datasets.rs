//! Which elements of which datasets: several one after another, those that meet a condition, the first so many.

use std::path::{Path, PathBuf};

use lithify::convert::{plan_again, reopen};
use lithify::plan::Layout;
use lithify::source::{Choice, Options, Want};
use lithify::store::npy::header;
use lithify::value::{DType, Slots};
use lithify::write::verify::verify_against_source;
use lithify_tests::command::run;
use lithify_tests::tfds::{dataset, dict, tensor};
use lithify_tests::{
    Conversion, Scratch, example, files_below, floats, gzip, integers, read_npy, record, strings,
};

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
    let source =
        reopen(&manifest.format, &manifest.parts, &manifest.choice, &manifest.request, &machine).unwrap();
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

/// Read with so little memory that it takes many windows, by one thread and by several that are at different places.
fn windows_make_no_difference(files: &[PathBuf], order: &[i64]) {
    let choice = Choice { shuffle: Some(7), ..Choice::default() };
    let options = Options { choice, memory: 120_000, threads: 2, ..Options::default() };
    let source = lithify::open(files, None, &options).unwrap();
    assert!(source.held() <= 120_000);
    let ids = |from: u64, until: u64| {
        let mut elements = source.read(0, from..until, Want::Whole).unwrap();
        let mut slots = Slots::of(["id"]);
        let mut ids = Vec::new();
        while let Some(element) = elements.next().unwrap() {
            slots.find(&element, |_| Ok::<_, ()>(false)).unwrap();
            let run = slots.named("id", &element).unwrap().runs().next().unwrap().unwrap();
            ids.push(i64::try_from(lithify::source::wire::varint(&mut &run[..]).unwrap()).unwrap());
        }
        ids
    };
    assert_eq!(ids(0, u64::MAX), order);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let ids = &ids;
            scope.spawn(move || {
                for start in (thread * 20..1200).step_by(60) {
                    let at = usize::try_from(start).unwrap();
                    assert_eq!(ids(start, start + 20), order[at..at + 20]);
                }
            });
        }
    });
}

#[test]
fn a_shuffled_dataset_has_the_same_elements_in_an_order_of_its_seed() {
    let scratch = Scratch::new();
    let files = files(&scratch, &[400, 300, 500]);
    let mut orders = Vec::new();
    for (seed, threads) in [(7, 1), (7, 3), (8, 2)] {
        let output = scratch.at(&format!("{seed}-{threads}"));
        convert(&of(&files).shuffle(seed).threads(threads), &output);
        orders.push(ids(&output));
    }
    assert_eq!(orders[0], orders[1], "threads do not matter");
    assert_ne!(orders[0], orders[2]);
    windows_make_no_difference(&files, &orders[0]);
    let in_place = orders[0].iter().zip(0..).filter(|(id, place)| **id == *place).count();
    assert!(in_place < 10, "{in_place}");
    let mut sorted = orders[0].clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..1200));
}

#[test]
fn what_is_chosen_is_shuffled() {
    let scratch = Scratch::new();
    let files = files(&scratch, &[40, 30, 50]);
    let output = scratch.at("out");
    convert(&of(&files).select("id >= 20").limit(60).shuffle(1), &output);
    let mut found = ids(&output);
    assert_ne!(found, (20..80).collect::<Vec<_>>());
    found.sort_unstable();
    assert_eq!(found, (20..80).collect::<Vec<_>>());
}

/// Rows of arrays, and many more of them than memory that is allowed.
#[test]
fn arrays_are_shuffled() {
    let scratch = Scratch::new();
    let values: Vec<u8> = (0..800_000_i64).flat_map(i64::to_le_bytes).collect();
    let file = scratch.file("x.npy", &[&header(DType::Int64, &[200_000, 4])[..], &values].concat());
    let mut orders = Vec::new();
    for memory in [48 << 20, 1 << 30] {
        let output = scratch.at(&format!("{memory}.npy"));
        let manifest = Conversion::of([&file]).shuffle(3).memory(memory).convert(&output).unwrap();
        assert_eq!(manifest.choice.shuffle, Some(3));
        orders.push(read_npy::<i64>(&output));
    }
    assert_eq!(orders[0], orders[1]);
    let mut firsts: Vec<i64> = orders[0]
        .rows()
        .into_iter()
        .map(|row| {
            assert!(row.iter().copied().eq(row[0]..row[0] + 4));
            row[0]
        })
        .collect();
    assert!(!firsts.is_sorted());
    firsts.sort_unstable();
    assert!(firsts.into_iter().eq((0..200_000).map(|row| row * 4)));
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

#[test]
fn outputs_of_a_split_are_of_one_shape_and_have_all_elements() {
    let scratch = Scratch::new();
    files(&scratch, &[40, 30, 50]);
    let line = "convert *.tfrecord -o out --split train=0.8,val=0.2 --shuffle 5 -f 'id' -f 'v: pad=max' -f 's: dtype=S' -q";
    assert_eq!(run(&scratch, line).code, Some(0));
    let mut all = Vec::new();
    for (name, count) in [("train", 96), ("val", 24)] {
        let output = scratch.at("out").join(name);
        let ids: Vec<i64> = read_npy::<i64>(&output.join("id.npy")).into_iter().collect();
        assert_eq!(ids.len(), count);
        assert_eq!(read_npy::<f32>(&output.join("v.npy")).shape(), [count, 4]);
        all.extend(ids);
        assert_eq!(run(&scratch, &format!("verify out/{name} --against-source")).code, Some(0));
    }
    assert_ne!(all, (0..120).collect::<Vec<_>>());
    all.sort_unstable();
    assert_eq!(all, (0..120).collect::<Vec<_>>());
    // Where one is missing, a run was ended before it made it: the other is as it is wanted.
    let (whole, train) = (files_below(&scratch.at("out")), scratch.at("out/train/lithify.json"));
    let written = train.metadata().unwrap().modified().unwrap();
    std::fs::remove_dir_all(scratch.at("out/val")).unwrap();
    let told = run(&scratch, line.trim_end_matches(" -q"));
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("`out/train` was complete already"), "{told:?}");
    assert_eq!(train.metadata().unwrap().modified().unwrap(), written);
    let arrays = |mut files: Vec<(PathBuf, Vec<u8>)>| {
        files.retain(|file| !file.0.ends_with("lithify.json"));
        files
    };
    assert!(arrays(files_below(&scratch.at("out"))) == arrays(whole));
    // But not if something else is wanted, or all of them are there.
    std::fs::remove_dir_all(scratch.at("out/val")).unwrap();
    let told = run(&scratch, &line.replace("0.8", "0.7"));
    assert!(told.code == Some(1) && told.err.contains("`out/train` is there already"), "{told:?}");
    assert_eq!(run(&scratch, line).code, Some(0));
    assert_eq!(run(&scratch, line).code, Some(1));
    let ran = run(&scratch, "plan *.tfrecord --to out -o plan --split a=0.5,b=0.5");
    assert!(ran.code == Some(2) && ran.err.contains("several"), "{}", ran.err);
    let ran = run(&scratch, "convert *.tfrecord -o x --shuffle 1 --on-error skip");
    assert!(ran.code == Some(2) && ran.err.contains("--shuffle"), "{}", ran.err);
}

#[test]
fn a_split_of_a_dataset_is_split_again() {
    let scratch = Scratch::new();
    let of = |ids: std::ops::Range<i64>| vec![ids.map(|id| example(&[("id", integers(&[id]))])).collect()];
    let features = dict(&[("id", tensor("int64", "", "none"))]);
    let _ =
        dataset(&scratch, &features, &[("test", of(0..30)), ("train", of(100..200)), ("more", of(300..310))]);
    let line = "convert made -o out --split train --split a=0.9,b=0.1 --split more -f id";
    let told = run(&scratch, &format!("{line} --dry-run"));
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("(99,)") && told.out.contains("(11,)"), "{told:?}");
    assert!(!scratch.at("out").exists());
    assert_eq!(run(&scratch, &format!("{line} -q")).code, Some(0));
    let ids = |name: &str| read_npy::<i64>(&scratch.at("out").join(name).join("id.npy"));
    let mut all: Vec<i64> = ids("a").into_iter().chain(ids("b")).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq((100..200).chain(300..310)));
    let told = run(&scratch, "convert made -o no --split a=0.9 --split b=0.1");
    assert!(told.code == Some(2) && told.err.contains("given already"), "{told:?}");
}

/// What is said of all features whose names fit is what would be said of each, and of those that are named it is not said.
#[test]
fn features_are_named_by_patterns() {
    let scratch = Scratch::new();
    let element = |id: i64| {
        let steps: Vec<i64> = (0..id % 5).collect();
        let picture = lithify_tests::images::png(
            (1 + u32::try_from(id % 2).unwrap(), 1),
            &[],
            &lithify_tests::images::deflated(&[0; 8]),
        );
        example(&[
            ("id", integers(&[id])),
            ("steps/a", integers(&steps)),
            ("steps/b", integers(&steps)),
            ("steps/c", integers(&steps)),
            ("picture", strings(&[&picture])),
            ("height", integers(&[2])),
            ("m", integers(&[1, 2, 3, 4])),
        ])
    };
    let _ = scratch.file("data", &(0..3000).flat_map(|id| record(&element(id))).collect::<Vec<_>>());
    let arrays = |name: &str| {
        let mut files = files_below(&scratch.at(name));
        files.retain(|file| !file.0.ends_with("lithify.json"));
        files
    };
    for (number, (short, long)) in [
        ("-f 'steps/*: pad=max value=-1'", "-f 'steps/a: pad=max value=-1' -f 'steps/b: pad=max value=-1' -f 'steps/c: pad=max value=-1'"),
        ("-f '*' -f 'steps/b: ragged rename=b' -f 'steps/c: drop'", "-f height -f id -f m -f 'picture: decode=none' -f 'steps/a: ragged' -f 'steps/b: ragged rename=b'"),
        ("-f 'steps/*: drop' -f 'picture: drop'", "-f height -f id -f m"),
        ("-f 'm: reshape=height,2' -f 'height: drop'", "-f 'm: reshape=height,2'"),
        ("-f '*a: bucket=auto:2' -f 'i*: dtype=int32'", "-f 'steps/a: bucket=auto:2' -f 'id: dtype=int32'"),
        ("", "-f '*'"),
    ].into_iter().enumerate() {
        for (name, request) in [("short", short), ("long", long)] {
            let told = run(&scratch, &format!("convert data -o {name}{number} -q {request}"));
            assert_eq!(told.code, Some(0), "{request}: {told:?}");
            let told = run(&scratch, &format!("verify {name}{number} -q --against-source"));
            assert_eq!(told.code, Some(0), "{request}: {told:?}");
        }
        let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
        let (short, long) = (arrays(&format!("short{number}")), arrays(&format!("long{number}")));
        assert_eq!(names(&short), names(&long), "{number}");
        assert!(short == long, "{number}");
    }
    let shares =
        "convert data -o shares -q --split a=0.5,b=0.5 -f '*' -f 'steps/*: pad=max' -f 'steps/c: drop'";
    let told = run(&scratch, shares);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(read_npy::<i64>(&scratch.at("shares/a/steps/b.npy")).shape(), [1500, 4]);
    for (wrong, why) in [
        ("-f 'x*'", "no element has a feature `x*`"),
        ("-f 'id: drop dtype=int8'", "left out"),
        ("-f 'steps/*: rename=x'", "`rename` is for one feature"),
    ] {
        let told = run(&scratch, &format!("convert data -o no {wrong}"));
        assert!(told.code == Some(2) && told.err.contains(why), "{told:?}");
    }
}

/// Records beside the rows of arrays, from wherever reading starts.
#[test]
fn datasets_stand_side_by_side() {
    let scratch = Scratch::new();
    files(&scratch, &[400, 300, 500]);
    let column = |from: i64, count: i64| -> Vec<u8> {
        let values: Vec<u8> = (from..from + count).flat_map(|at| (at * 3).to_le_bytes()).collect();
        [&header(DType::Int64, &[u64::try_from(count).unwrap()])[..], &values].concat()
    };
    let parts = scratch.at("more");
    std::fs::create_dir(&parts).unwrap();
    for (number, (from, count)) in [(0, 1), (1, 899), (900, 300)].into_iter().enumerate() {
        std::fs::write(parts.join(format!("{number}.npy")), column(from, count)).unwrap();
    }
    let line = "convert *.tfrecord --zip more/*.npy -o out -f id -f 'v: ragged' -f array --select 'array >= 90' --limit 1100 -q";
    let ran = run(&scratch, line);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let output = scratch.at("out");
    assert!(ids(&output).into_iter().eq(30..1130));
    assert!(read_npy::<i64>(&output.join("array.npy")).into_iter().eq((30..1130).map(|id| id * 3)));
    let ran = run(&scratch, "verify out --against-source");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let line = "convert *.tfrecord --zip more/*.npy -o shuffled -f id -f 'v: ragged' -f array --shuffle 3 -q";
    assert_eq!(run(&scratch, line).code, Some(0));
    let (output, found) = (scratch.at("shuffled"), ids(&scratch.at("shuffled")));
    assert!(read_npy::<i64>(&output.join("array.npy")).into_iter().eq(found.iter().map(|id| id * 3)));
    std::fs::write(parts.join("3.npy"), column(1200, 1)).unwrap();
    let ran = run(&scratch, "convert *.tfrecord --zip more/*.npy -o x");
    assert!(ran.code == Some(1) && ran.err.contains("1201"), "{}", ran.err);
    let ran = run(&scratch, "convert 0.tfrecord --zip 0.tfrecord -o x");
    assert!(ran.code == Some(2) && ran.err.contains("two of the datasets"), "{}", ran.err);
}
