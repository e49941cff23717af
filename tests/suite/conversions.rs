//! The whole way from records to arrays, for random datasets and requests: against a model that keeps everything in
//! memory, and against itself, however the work is cut up.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "the numbers are small"
)]

use std::collections::BTreeMap;
use std::path::Path;

use lithify::error::ErrorKind;
use lithify::plan::request::Request;
use lithify::plan::{Io, Layout, Target, plan};
use lithify::scan::OnError;
use lithify_tests::model::{Array, Column, Fit, Wish};
use lithify_tests::values::{Values, feature_in_runs};
use lithify_tests::{
    Conversion, Scratch, entry, field, files_below, floats, gzip, integers, machine, read_npy,
    read_npy_bytes, record, strings, zlib,
};
use ndarray::{ArrayD, Axis, IxDyn, Slice};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn cases(cases: u32) -> ProptestConfig {
    // A case that fails becomes a test of its own, and not a file of seeds.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// ---------------------------------------------------------------------------------------------------------------------
// The whole way, against a model.

/// Rows of one kind: all of one length, or of any.
fn any_rows(elements: usize) -> impl Strategy<Value = Vec<Option<Values>>> {
    let lengths = prop_oneof![
        Just((1, 1)),
        Just((0, 0)),
        (2..4_usize).prop_map(|n| (n, n)),
        Just((0, 6)),
        Just((0, 1))
    ];
    let some_lack_it = prop_oneof![3 => Just(false), 1 => Just(true)];
    (lengths, some_lack_it, 0..4).prop_flat_map(move |((least, most), some_lack_it, kind)| {
        let values = match kind {
            0 => vec(prop_oneof![0..100_i64, any::<i32>().prop_map(i64::from)], least..=most)
                .prop_map(Values::Integers)
                .boxed(),
            1 => vec((-1000..1000_i32).prop_map(|value| (value as f32 / 4.0).to_bits()), least..=most)
                .prop_map(Values::Floats)
                .boxed(),
            2 => vec(vec(1..=255_u8, 0..6), least..=most).prop_map(Values::Bytes).boxed(),
            _ => vec(vec(any::<u8>(), 0..80), least..=most).prop_map(Values::Bytes).boxed(),
        };
        vec(
            (values, proptest::bool::weighted(0.7))
                .prop_map(move |(values, has)| (has || !some_lack_it).then_some(values)),
            elements,
        )
    })
}

fn any_fit() -> impl Strategy<Value = Fit> {
    let pad = (
        proptest::option::of(0..7_usize),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0..3_u8,
    )
        .prop_map(|(size, left, truncate, mask, lengths, value)| Fit::Pad {
            size,
            left,
            truncate,
            mask,
            lengths,
            value,
        });
    prop_oneof![
        2 => Just(Fit::Nothing),
        1 => Just(Fit::Ragged),
        4 => pad,
        1 => select(vec![vec![0, 2, 6], vec![3, 8], vec![6], vec![1, 2]]).prop_map(Fit::Bucket),
    ]
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let dtype = prop_oneof![3 => Just(None), 1 => Just(Some("int32")), 1 => Just(Some("float64"))];
    (any_fit(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.2), dtype)
        .prop_map(|(fit, default, present, dtype)| Wish { fit, default, present, dtype })
}

fn write_columns(scratch: &Scratch, columns: &[Column], parts: usize) -> Vec<std::path::PathBuf> {
    let elements = columns[0].rows.len();
    let records: Vec<Vec<u8>> = (0..elements)
        .map(|at| {
            let mut entries: Vec<Vec<u8>> = columns
                .iter()
                .filter_map(|column| {
                    let values = column.rows[at].as_ref()?;
                    Some(field(
                        1,
                        &entry(
                            column.name.as_bytes(),
                            &feature_in_runs(values, &vec![(at % 3, at % 2 == 0)], 0),
                        ),
                    ))
                })
                .collect();
            let turn = at % entries.len().max(1);
            entries.rotate_left(turn);
            record(&field(1, &entries.concat()))
        })
        .collect();
    let each = elements.div_ceil(parts);
    (0..parts)
        .map(|part| {
            let bytes = records.iter().skip(part * each).take(each).flatten().copied().collect::<Vec<_>>();
            scratch.file(&format!("part-{part}"), &if part % 2 == 1 { gzip(&bytes) } else { bytes })
        })
        .collect()
}

fn assert_arrays(output: &Path, wanted: &BTreeMap<String, Array>) -> Result<(), TestCaseError> {
    for (name, (descr, shape, bytes)) in wanted {
        let path = output.join(format!("{name}.npy"));
        let shown = match &shape[..] {
            [one] => format!("({one},)"),
            _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        prop_assert!(path.exists(), "{} is missing", name);
        prop_assert_eq!(&read_npy_bytes(&path, descr, &shown), bytes, "{}", name);
        // The header is one that another reader understands.
        match &descr[..] {
            "<i8" => prop_assert_eq!(read_npy::<i64>(&path).shape().to_vec(), shape.clone()),
            "<f4" => prop_assert_eq!(read_npy::<f32>(&path).shape().to_vec(), shape.clone()),
            "<f8" => prop_assert_eq!(read_npy::<f64>(&path).shape().to_vec(), shape.clone()),
            "<i4" => prop_assert_eq!(read_npy::<i32>(&path).shape().to_vec(), shape.clone()),
            "|u1" => prop_assert_eq!(read_npy::<u8>(&path).shape().to_vec(), shape.clone()),
            "|b1" => prop_assert_eq!(read_npy::<bool>(&path).shape().to_vec(), shape.clone()),
            _ => {}
        }
    }
    let there = files_below(output)
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "npy"))
        .count();
    prop_assert_eq!(there, wanted.len());
    Ok(())
}

proptest! {
    #![proptest_config(cases(300))]

    /// The whole way, for random datasets and requests.
    #[test]
    fn conversions_are_what_the_model_makes(
        features in (1..13_usize).prop_flat_map(|elements| vec((any_rows(elements), any_wish()), 1..3)),
        asked in proptest::bool::weighted(0.8),
        parts in 1..4_usize,
        threads in 1..3_usize,
        mapped in any::<bool>(),
    ) {
        let (rows, wishes): (Vec<_>, Vec<_>) = features.into_iter().unzip();
        let columns: Vec<Column> = ["a", "b/c"].into_iter().zip(rows).map(|(name, rows)| Column { name, rows }).collect();
        // A feature that no element has is not there.
        prop_assume!(columns.iter().all(|column| column.rows.iter().any(Option::is_some)));
        let wishes: Vec<Wish> = match asked {
            true => wishes
                .into_iter()
                .zip(&columns)
                .map(|(wish, column)| Wish { dtype: wish.dtype.filter(|_| !column.of_text()), ..wish })
                .collect(),
            false => columns.iter().map(|_| Wish { fit: Fit::Nothing, default: false, present: false, dtype: None }).collect(),
        };
        let scratch = Scratch::new();
        let mut conversion = Conversion::of(write_columns(&scratch, &columns, parts)).threads(threads);
        conversion.io = if mapped { Io::Mapped } else { Io::Pwrite };
        if asked {
            conversion.features = columns.iter().zip(&wishes).map(|(column, wish)| wish.spec(column.name)).collect();
        }
        let wanted: Option<Vec<_>> = columns.iter().zip(&wishes).map(|(column, wish)| column.arrays(wish, asked)).collect();
        let output = scratch.at("out");
        match (conversion.convert(&output), wanted) {
            (Ok(_), Some(wanted)) => assert_arrays(&output, &wanted.into_iter().flatten().collect())?,
            (Err(error), None) => {
                prop_assert!(matches!(error.kind(), ErrorKind::Input | ErrorKind::Request), "{}", error);
                prop_assert!(!output.exists());
            }
            (Ok(_), None) => prop_assert!(false, "{:?} should be refused", conversion.features),
            (Err(error), Some(_)) => prop_assert!(false, "{:?} is refused: {}", conversion.features, error),
        }
    }

    /// Padding of arrays with two axes, at either end of each.
    #[test]
    fn two_axes_are_padded_as_ndarray_would(
        shapes in vec((0..5_usize, 0..5_usize), 1..8),
        size in proptest::option::of((0..6_usize, 0..6_usize)),
        left in any::<bool>(),
        truncate in any::<bool>(),
        raw in any::<bool>(),
    ) {
        let mut next = 0_u8;
        let tensors: Vec<ArrayD<u8>> = shapes
            .iter()
            .map(|(h, w)| ArrayD::from_shape_simple_fn(IxDyn(&[*h, *w]), || { next = next.wrapping_add(1); next }))
            .collect();
        let scratch = Scratch::new();
        let bytes: Vec<u8> = tensors
            .iter()
            .flat_map(|tensor| {
                let values: Vec<u8> = tensor.iter().copied().collect();
                let x = if raw { strings(&[&values]) } else { integers(&values.iter().map(|value| i64::from(*value)).collect::<Vec<_>>()) };
                let shape = integers(&tensor.shape().iter().map(|size| *size as i64).collect::<Vec<_>>());
                record(&lithify_tests::example(&[("x", x), ("shape", shape)]))
            })
            .collect();
        let largest = [shapes.iter().map(|shape| shape.0).max().unwrap_or(0), shapes.iter().map(|shape| shape.1).max().unwrap_or(0)];
        let room = size.map_or(largest, |(h, w)| [h, w]);
        let spec = format!(
            "x: {}reshape=shape pad={} value=7 mask dtype=uint8{}{}",
            if raw { "decode=raw:uint8 " } else { "" },
            size.map_or("max".into(), |(h, w)| format!("{h}x{w}")),
            if left { " side=left" } else { "" },
            if truncate { " truncate" } else { "" }
        );
        let conversion = Conversion::of([scratch.file("data", &bytes)]).feature(spec);
        let result = conversion.convert(&scratch.at("out"));
        if !truncate && (largest[0] > room[0] || largest[1] > room[1]) {
            prop_assert!(result.is_err());
            return Ok(());
        }
        result.unwrap();
        let found = read_npy::<u8>(&scratch.at("out/x.npy"));
        let mask = read_npy::<bool>(&scratch.at("out/x.mask.npy"));
        let lengths = read_npy::<i64>(&scratch.at("out/x.lengths.npy"));
        prop_assert_eq!(found.shape(), &[shapes.len(), room[0], room[1]]);
        for (number, tensor) in tensors.iter().enumerate() {
            let mut wanted = ArrayD::from_elem(IxDyn(&room), 7_u8);
            let mut marks = ArrayD::from_elem(IxDyn(&room), false);
            let kept = [tensor.shape()[0].min(room[0]), tensor.shape()[1].min(room[1])];
            // The start of each axis, or its end.
            let part = |axis: usize, whole: usize| {
                let kept = kept[axis];
                if left { Slice::from(whole - kept..whole) } else { Slice::from(0..kept) }
            };
            let taken = tensor.slice_each_axis(|axis| part(axis.axis.index(), axis.len));
            wanted.slice_each_axis_mut(|axis| part(axis.axis.index(), axis.len)).assign(&taken);
            marks.slice_each_axis_mut(|axis| part(axis.axis.index(), axis.len)).fill(true);
            prop_assert_eq!(found.index_axis(Axis(0), number), wanted.view());
            prop_assert_eq!(mask.index_axis(Axis(0), number), marks.view());
            prop_assert_eq!(lengths.index_axis(Axis(0), number).iter().copied().collect::<Vec<_>>(), kept.map(|size| size as i64));
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Plans.

proptest! {
    #![proptest_config(cases(100))]

    /// A plan is a function of what it is given; a smaller budget takes threads and never goes over.
    #[test]
    fn plans_are_pure_and_keep_to_the_budget(
        lengths in vec(0..2000_usize, 1..10),
        pad in 2000..5_000_000_u64,
        threads in 1..65_usize,
        memory_mib in 1..4096_u64,
    ) {
        let scratch = Scratch::new();
        let ones = |length: &usize| record(&lithify_tests::example(&[("x", floats(&vec![1.0; *length]))]));
        let bytes: Vec<u8> = lengths.iter().flat_map(ones).collect();
        let conversion = Conversion::of([scratch.file("data", &bytes)]);
        let profile = conversion.scan().unwrap();
        let request = Request { features: vec![format!("x: pad={pad}").parse().unwrap()] };
        let target = Target { output: scratch.at("out"), layout: Layout::NpyDirectory, on_error: OnError::Fail, io: Io::default() };
        let small = machine(threads, memory_mib << 20);
        let large = machine(1, 1 << 40);
        let free = plan(&profile, &request, &large, &target).unwrap();
        match plan(&profile, &request, &small, &target) {
            Ok(planned) => {
                let again = plan(&profile, &request, &small, &target).unwrap();
                prop_assert_eq!(serde_json::to_string(&planned).unwrap(), serde_json::to_string(&again).unwrap());
                prop_assert!(planned.memory.at(planned.threads) <= small.memory);
                prop_assert!((1..=threads).contains(&planned.threads));
                // Nothing of the output depends on the machine.
                prop_assert_eq!(planned.block_rows, free.block_rows);
                prop_assert_eq!(planned.arrays, free.arrays);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Resources);
                prop_assert!(free.memory.at(1) > small.memory, "{}", error);
            }
        }
    }
}

/// Sizes whose product has more bits than there are.
#[test]
fn absurd_sizes_are_refused() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..4).flat_map(lithify_tests::numbered).collect();
    let input = scratch.file("data", &bytes);
    for spec in [
        "x: pad=2305843009213693952",
        "x: pad=18446744073709551615",
        "x: bucket=9223372036854775807",
        "x: reshape=1,1 pad=4294967296x4294967296",
    ] {
        let found = Conversion::of([&input]).feature(spec).plan(&scratch.at("out")).map(|_| ());
        assert_eq!(found.map_err(|error| error.kind()), Err(ErrorKind::Resources), "{spec}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The same bytes, however they are made.

/// A dataset of several blocks and parts, whose features come in every form.
fn several_blocks(scratch: &Scratch) -> Conversion {
    let records = |from: usize, to: usize| -> Vec<u8> {
        (from..to)
            .flat_map(|at| {
                let numbers: Vec<i64> = (0..at % 7).map(|n| (at * 100 + n) as i64).collect();
                let text = vec![b'a' + (at % 26) as u8; at * 31 % 90];
                let mut features = vec![
                    ("wide", integers(&numbers)),
                    ("ragged", floats(&vec![at as f32; at * 37 % 1000])),
                    ("text", strings(&[&text])),
                ];
                if at % 3 > 0 {
                    features.push(("texts", strings(&vec![&text[..]; at % 4])));
                }
                features.rotate_left(at % 3);
                record(&lithify_tests::example(&features))
            })
            .collect()
    };
    let parts = [records(0, 17), gzip(&records(17, 30)), Vec::new(), records(30, 31), zlib(&records(31, 45))];
    let files = parts
        .iter()
        .enumerate()
        .map(|(number, bytes)| scratch.file(&format!("part-{number}"), bytes))
        .collect::<Vec<_>>();
    Conversion::of(files)
        .feature("wide: pad=400000 dtype=int16 lengths=no saturate")
        .feature("ragged: bucket=100,400,999")
        .feature("text: dtype=S present")
        .feature("texts: ragged present")
}

/// The files of an output, without what its manifest says of the run.
fn output_of(path: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = files_below(path);
    for (name, bytes) in &mut files {
        if name.ends_with("lithify.json") {
            let mut manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            manifest["run"] = serde_json::Value::Null;
            manifest["checksum"] = serde_json::Value::Null;
            *bytes = manifest.to_string().into_bytes();
        }
    }
    files
}

#[test]
fn the_output_does_not_depend_on_threads_memory_or_io() {
    let scratch = Scratch::new();
    let conversion = several_blocks(&scratch);
    let (_, plan) = conversion.plan(&scratch.at("first")).unwrap();
    assert!(plan.blocks() >= 4, "{} blocks", plan.blocks());
    conversion.clone().threads(1).io(Io::Pwrite).convert(&scratch.at("first")).unwrap();
    let first = output_of(&scratch.at("first"));
    let least = plan.memory.at(1);
    for (threads, memory, io) in
        [(1, 1 << 30, Io::Mapped), (2, 1 << 30, Io::Pwrite), (7, 1 << 30, Io::Mapped), (7, least, Io::Pwrite)]
    {
        let output = scratch.at("again");
        let manifest = conversion.clone().threads(threads).memory(memory).io(io).convert(&output).unwrap();
        assert!(memory > least || manifest.run.threads == 1);
        let again = output_of(&output);
        for (a, b) in first.iter().zip(&again) {
            assert_eq!(a.0, b.0);
            assert!(a.1 == b.1, "`{}` differs for {threads} threads, {memory} bytes, {io:?}", a.0.display());
        }
        assert_eq!(first.len(), again.len());
        std::fs::remove_dir_all(&output).unwrap();
    }
}

/// Ragged arrays and buckets in several blocks: each row is where its offsets say.
#[test]
fn rows_of_several_blocks_are_where_they_belong() {
    let scratch = Scratch::new();
    let output = scratch.at("out");
    several_blocks(&scratch).threads(2).convert(&output).unwrap();
    let wide = read_npy::<i16>(&output.join("wide.npy"));
    let (values, offsets) = (
        read_npy::<u8>(&output.join("texts.values.npy")),
        read_npy::<i64>(&output.join("texts.offsets.npy")),
    );
    let starts = read_npy::<i64>(&output.join("texts.value_offsets.npy"));
    let present = read_npy::<bool>(&output.join("texts.present.npy"));
    let at_of = |at: i64| usize::try_from(at).unwrap();
    for at in 0..45_usize {
        let numbers: Vec<i16> = (0..at % 7).map(|n| i16::try_from(at * 100 + n).unwrap()).collect();
        let row = wide.index_axis(Axis(0), at);
        assert_eq!(
            row.iter().take(7).copied().collect::<Vec<_>>(),
            [&numbers[..], &[0; 7]].concat()[..7],
            "element {at}"
        );
        assert!(row.iter().skip(7).all(|value| *value == 0), "element {at}");
        let text = vec![b'a' + u8::try_from(at % 26).unwrap(); at * 31 % 90];
        let wanted = vec![text; if at % 3 > 0 { at % 4 } else { 0 }];
        let found: Vec<Vec<u8>> = (at_of(offsets[[at]])..at_of(offsets[[at + 1]]))
            .map(|string| {
                values
                    .iter()
                    .skip(at_of(starts[[string]]))
                    .take(at_of(starts[[string + 1]] - starts[[string]]))
                    .copied()
                    .collect()
            })
            .collect();
        assert_eq!((found, present[[at]]), (wanted, at % 3 > 0), "element {at}");
    }
    let mut seen = Vec::new();
    for cap in [100, 400, 999] {
        let rows = read_npy::<f32>(&output.join(format!("ragged.le{cap}.npy")));
        let elements = read_npy::<i64>(&output.join(format!("ragged.le{cap}.elements.npy")));
        for (number, element) in elements.iter().enumerate() {
            let at = at_of(*element);
            let wanted: Vec<f32> =
                (0..cap).map(|n| if n < at * 37 % 1000 { at as f32 } else { 0.0 }).collect();
            assert_eq!(
                rows.index_axis(Axis(0), number).iter().copied().collect::<Vec<_>>(),
                wanted,
                "element {at}"
            );
            seen.push(at);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..45).collect::<Vec<_>>());
}
