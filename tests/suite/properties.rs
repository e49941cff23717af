//! What must hold for any bytes, any file and any way to cut a dataset up, tried on random ones.
//!
//! The oracles are the types and the writer of the `tfrecord` crate, and files that are scanned as a whole.

#![expect(clippy::cast_possible_wrap, reason = "the numbers are small")]

use std::collections::BTreeMap;

use lithify::decode::tensor_proto;
use lithify::plan::request::{FeatureRequest, Request};
use lithify::scan::profile::{FeatureProfile, Profile, Sizes};
use lithify::source::{example as wire_example, wire};
use lithify::value::{Element, Kind, List, Slots};
use lithify_tests::values::{Values, feature_in_runs, long_varint};
use lithify_tests::{
    Conversion, Scratch, entry, example, field, gzip, header, integers, masked_crc, read_npy, record,
    strings, varint, zlib,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tfrecord::Record;
use tfrecord::protobuf::feature::Kind as TfKind;

fn cases(cases: u32) -> ProptestConfig {
    // A case that fails becomes a test of its own, and not a file of seeds.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// ---------------------------------------------------------------------------------------------------------------------
// Values, and how they may lie on the wire.

fn any_values() -> impl Strategy<Value = Values> {
    prop_oneof![
        vec(vec(any::<u8>(), 0..9), 0..5).prop_map(Values::Bytes),
        vec(any::<u32>(), 0..9).prop_map(Values::Floats),
        vec(prop_oneof![any::<i64>(), 0..200_i64], 0..9).prop_map(Values::Integers),
    ]
}

/// An entry of an Example: its name, the values if it has a kind, how they lie, and whether the value precedes the name.
fn any_entry() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = select(vec!["a", "b", "tokens", "image/encoded", "ü", "a b"]);
    let runs = vec((0..4_usize, any::<bool>()), 0..4);
    (name, proptest::option::weighted(0.8, any_values()), runs, 0..3_usize, any::<bool>(), any::<bool>())
        .prop_map(|(name, values, runs, extra, value_first, unknown)| {
            let mut feature = values.map(|values| feature_in_runs(&values, &runs, extra)).unwrap_or_default();
            if unknown && !feature.is_empty() {
                // A field that a later version may add.
                feature.extend(field(9, b"new"));
            }
            let parts = [field(1, name.as_bytes()), field(2, &feature)];
            let entry = if value_first { [&parts[1][..], &parts[0]].concat() } else { parts.concat() };
            (name.to_owned(), entry)
        })
}

/// The values of a list, as the library reads them.
fn values_of(list: List<'_>) -> Values {
    let runs: Vec<&[u8]> = list.runs().collect::<Result<_, _>>().unwrap();
    let values = match list.kind {
        Kind::Bytes => Values::Bytes(runs.iter().map(|run| run.to_vec()).collect()),
        Kind::Float => Values::Floats(
            runs.concat()
                .chunks_exact(4)
                .map(|bits| u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]))
                .collect(),
        ),
        Kind::Int64 => {
            let mut values = Vec::new();
            for run in runs {
                wire::each_varint(run, |value| {
                    values.push(value.cast_signed());
                    true
                })
                .unwrap();
            }
            Values::Integers(values)
        }
        Kind::Items(_) => unreachable!("an Example has lists"),
    };
    assert_eq!(list.count().unwrap(), values.len() as u64);
    values
}

fn values_of_tf(kind: TfKind) -> Values {
    match kind {
        TfKind::BytesList(list) => Values::Bytes(list.value),
        TfKind::FloatList(list) => Values::Floats(list.value.into_iter().map(f32::to_bits).collect()),
        TfKind::Int64List(list) => Values::Integers(list.value),
    }
}

fn features_of(record: &[u8]) -> Result<BTreeMap<String, Option<Values>>, &'static str> {
    let mut fields = Vec::new();
    wire_example::parse(record, &mut fields)?;
    let element = Element::new(record, &fields, 0);
    let mut slots = Slots::default();
    slots.find(&element, |_| Ok::<_, ()>(true)).unwrap();
    let mut found = BTreeMap::new();
    for at in 0..element.len() {
        let name = std::str::from_utf8(element.name(at)).unwrap();
        found.insert(name.to_owned(), slots.named(name, &element).map(values_of));
    }
    Ok(found)
}

/// Whether a message has a field 1 that is not of bytes.
fn has_other_field_1(mut message: &[u8]) -> bool {
    while let Some((field, kind)) = wire::tag(&mut message) {
        if field == 1 && kind != wire::Wire::Bytes {
            return true;
        }
        wire::skip(&mut message, kind).unwrap();
    }
    false
}

/// The keys of the notation, and one that is none.
const KEYS: [&str; 16] = [
    "pad", "value", "side", "truncate", "ragged", "bucket", "reshape", "decode", "dtype", "saturate",
    "default", "lengths", "mask", "present", "rename", "colour",
];

proptest! {
    #![proptest_config(cases(400))]

    /// Any legal Example, however its features are ordered, repeated, packed: as the protobuf library reads it.
    #[test]
    fn examples_are_what_protobuf_reads(entries in vec(any_entry(), 0..6), split in any::<Index>(), unknown in any::<bool>()) {
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| field(1, &entry)).collect();
        // Two messages of features are one.
        let (first, second) = entries.split_at(split.index(entries.len() + 1));
        let mut message = [field(1, &first.concat()), field(1, &second.concat())].concat();
        if unknown {
            message.extend([&[0x48, 0x01][..], &field(15, b"later")].concat());
        }
        let other = tfrecord::Example::from_bytes(message.clone()).unwrap();
        let wanted: BTreeMap<_, _> =
            other.features.unwrap_or_default().feature.into_iter().map(|(name, feature)| (name, feature.kind.map(values_of_tf))).collect();
        prop_assert_eq!(features_of(&message), Ok(wanted));
    }

    /// What the parser accepts of any bytes at all, protobuf accepts, too. (Strings that are not UTF-8 apart, and a field 1
    /// that is no message: to TensorFlow it is an unknown one.)
    #[test]
    fn what_is_accepted_is_an_example(entries in vec(any_entry(), 1..4), changes in vec((any::<Index>(), any::<u8>()), 1..4)) {
        let mut message = field(1, &entries.into_iter().flat_map(|(_, entry)| field(1, &entry)).collect::<Vec<_>>());
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let mut fields = Vec::new();
        if wire_example::parse(&message, &mut fields).is_err() || has_other_field_1(&message) {
            return Ok(());
        }
        let element = Element::new(&message, &fields, 0);
        let sound = (0..element.len()).all(|at| {
            let whole = element.list(at).is_none_or(|list| list.count().is_ok() && list.runs().all(|run| run.is_ok()));
            whole && std::str::from_utf8(element.name(at)).is_ok()
        });
        // A run may hold an integer that is too long, which only reading it shows; and one of more than 64 bits, of which
        // TensorFlow drops what is too much.
        let long = (0..element.len()).filter_map(|at| element.list(at)).filter(|list| list.kind == Kind::Int64).any(|list| {
            list.runs().flatten().any(|run| {
                let too_much = |ten: &[u8]| ten[..9].iter().all(|byte| *byte >= 0x80) && ten[9] > 1;
                wire::each_varint(run, |_| true).is_err() || run.windows(10).any(too_much)
            })
        });
        if sound && !long {
            prop_assert!(tfrecord::Example::from_bytes(message.clone()).is_ok(), "{:02x?}", message);
        }
    }

    #[test]
    fn runs_of_varints_are_read_one_by_one(values in vec((prop_oneof![any::<u64>(), 0..300_u64], 0..9_usize), 0..40)) {
        let run: Vec<u8> = values.iter().flat_map(|(value, extra)| long_varint(*value, *extra)).collect();
        let mut read = Vec::new();
        let all = wire::each_varint(&run, |value| {
            read.push(value);
            true
        });
        prop_assert_eq!(all, Ok(()));
        prop_assert_eq!(&read, &values.iter().map(|(value, _)| *value).collect::<Vec<_>>());
        prop_assert_eq!(wire::count_varints(&run), values.len());
        let mut rest = &run[..];
        for value in read {
            prop_assert_eq!(wire::varint(&mut rest), Some(value));
        }
        prop_assert!(rest.is_empty());
    }

    /// Any bytes whatever: no panic, and no more tensor than there are bytes for.
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..64)) {
        let mut fields = Vec::new();
        if wire_example::parse(&bytes, &mut fields).is_ok() {
            let element = Element::new(&bytes, &fields, 0);
            for list in (0..element.len()).filter_map(|at| element.list(at)) {
                let _ = (list.count(), list.single(), list.runs().count());
            }
        }
        if let Ok(tensor) = tensor_proto::parse(&bytes) {
            let count = tensor.shape.iter().product::<u64>();
            if let (Some(dtype), tensor_proto::Values::Typed { message, field }) = (tensor.dtype, tensor.values) {
                let mut out = Vec::new();
                let _ = tensor_proto::expand(dtype, usize::try_from(count).unwrap_or(0).min(1 << 12) * dtype.size(), message, field, &mut out);
                prop_assert!(out.len() <= 1 << 16);
            }
        }
    }

    #[test]
    fn the_notation_never_panics_and_comes_back(
        name in "[a-z/: ]{0,5}",
        keys in vec((select(KEYS.to_vec()), proptest::option::of("[a-zA-Z0-9:,x'\\\\ -]{0,8}"), "[ ']?"), 0..4),
    ) {
        let word = |(key, value, end): (&str, Option<String>, String)| match value {
            Some(value) => format!("{key}={value}{end}"),
            None => format!("{key}{end}"),
        };
        let text = format!("{name}: {}", keys.into_iter().map(word).collect::<Vec<_>>().join(" "));
        if let Ok(request) = text.parse::<FeatureRequest>() {
            let shown = request.to_string();
            let back = shown.parse::<FeatureRequest>();
            prop_assert_eq!(back.ok(), Some(request), "{} became {}", text, shown);
        }
    }
}

/// A recipe may say what the notation has no words for, and what was asked for is saved in the notation.
#[test]
fn what_a_recipe_says_can_be_saved() {
    for recipe in [
        "[feature.x]\nrename = \"a b\"",
        "[feature.x]\ndefault = [\"a b\"]",
        "[feature.\"x: y\"]\nragged = true",
        "[feature.\"x:\"]",
        "[feature.\" x\"]\nmask = true",
    ] {
        let request = Request::from_recipe(recipe).unwrap();
        let back: Vec<_> = request
            .features
            .iter()
            .map(|feature| feature.to_string().parse::<FeatureRequest>().ok())
            .collect();
        assert_eq!(back, request.features.into_iter().map(Some).collect::<Vec<_>>(), "{recipe}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Files.

proptest! {
    #![proptest_config(cases(60))]

    /// Framing: what another writer writes is read back, plain and compressed.
    #[test]
    fn records_of_another_writer_come_back(records in vec(vec(any::<u8>(), 0..300), 0..20), pack in 0..3) {
        let mut bytes = Vec::new();
        let mut writer = tfrecord::BytesWriter::from_writer(&mut bytes).unwrap();
        for data in &records {
            writer.send(data.clone()).unwrap();
        }
        prop_assert_eq!(&bytes, &records.iter().flat_map(|data| record(data)).collect::<Vec<_>>());
        let packed = match pack {
            0 => bytes.clone(),
            1 => gzip(&bytes),
            _ => zlib(&bytes),
        };
        let scratch = Scratch::new();
        let conversion = Conversion::of([scratch.file("data", &packed)]).from("tfrecord-raw");
        let source = conversion.open().unwrap();
        let mut elements = source.read(0, 0..u64::MAX, lithify::source::Want::Whole).unwrap();
        let mut position = 0;
        for data in &records {
            prop_assert_eq!(elements.position(), position);
            let element = elements.next().unwrap().unwrap();
            prop_assert_eq!(element.position(), position);
            prop_assert_eq!(element.list(0).unwrap().single(), Some(&data[..]));
            position += data.len() as u64 + 16;
        }
        prop_assert!(elements.next().unwrap().is_none());
    }

    /// Damage anywhere: an error or less, but never a panic; and what is not touched is kept.
    #[test]
    fn damage_costs_no_more_than_what_it_touches(
        payloads in vec(vec(any::<u8>(), 0..40), 1..12),
        changes in vec((any::<Index>(), 1..=255_u8), 0..4),
        cut in proptest::option::weighted(0.3, any::<Index>()),
        threads in 1..3_usize,
    ) {
        let records: Vec<_> = payloads
            .iter()
            .enumerate()
            .map(|(number, payload)| record(&example(&[("n", integers(&[number as i64])), ("p", strings(&[payload]))])))
            .collect();
        let mut bytes = records.concat();
        let whole = bytes.len();
        let mut touched = vec![false; whole];
        for (at, change) in changes {
            let at = at.index(whole);
            bytes[at] ^= change;
            touched[at] |= true;
        }
        let cut = cut.map_or(whole, |cut| cut.index(whole) + 1);
        bytes.truncate(cut);
        let start_of = |number: usize| records[..number].iter().map(Vec::len).sum::<usize>();
        let starts: Vec<usize> = (0..records.len()).map(start_of).take_while(|start| *start < cut).collect();
        let end_of = |number: usize| starts[number] + records[number].len();
        let head_sound = |number: usize| !touched[starts[number]..starts[number] + 12].contains(&true) && starts[number] + 12 <= cut;
        // After a damaged length, reading goes on where a record stands that is followed by another one, or by the end.
        let (mut wanted, mut damaged, mut lost) = (Vec::new(), 0, false);
        for number in 0..starts.len() {
            let goes_on = head_sound(number) && (end_of(number) == cut || number + 1 < starts.len() && head_sound(number + 1));
            if lost && !goes_on {
                continue;
            }
            lost = !head_sound(number) && starts[number] + 12 <= cut;
            if lost || end_of(number) > cut || touched[starts[number]..end_of(number)].contains(&true) {
                damaged += 1;
            } else {
                wanted.push(number as i64);
            }
        }
        let scratch = Scratch::new();
        let conversion = Conversion::of([scratch.file("data", &bytes)]).from("tfrecord").threads(threads);
        let scanned = conversion.scan();
        prop_assert_eq!(scanned.is_ok(), damaged == 0);
        let skipping = conversion.skipping();
        let profile = skipping.scan().unwrap();
        prop_assert_eq!(profile.elements, wanted.len() as u64);
        prop_assert_eq!(profile.skipped.len(), damaged);
        if !wanted.is_empty() {
            let manifest = skipping.convert(&scratch.at("out")).unwrap();
            prop_assert_eq!(manifest.skipped.len(), profile.skipped.len());
            prop_assert_eq!(read_npy::<i64>(&scratch.at("out/n.npy")).into_raw_vec_and_offset().0, wanted);
        }
    }

    /// A compressed file whose bytes are changed: never a panic, and never another value than was there. A changed
    /// back-reference may well give whole records a second time, with checksums that are right; then the stream's own
    /// checksum tells that not all is well.
    #[test]
    fn a_changed_compressed_file_is_never_taken_for_sound(pack in any::<bool>(), at in any::<Index>(), change in 1..=255_u8, cut in any::<bool>()) {
        let stream: Vec<u8> = (0..50).flat_map(lithify_tests::numbered).collect();
        let mut bytes = if pack { gzip(&stream) } else { zlib(&stream) };
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= change }
        let scratch = Scratch::new();
        let conversion = Conversion::of([scratch.file("data", &bytes)]).from("tfrecord").skipping();
        if let Ok(profile) = conversion.scan() && profile.elements > 0 {
            let manifest = conversion.convert(&scratch.at("out")).unwrap();
            let kept = read_npy::<i64>(&scratch.at("out/x.npy")).into_raw_vec_and_offset().0;
            prop_assert!(kept.iter().all(|value| (0..50).contains(value)), "{:?}", kept);
            prop_assert!(kept == (0..50).collect::<Vec<_>>() || !manifest.skipped.is_empty(), "{:?}", kept);
        }
    }
}

/// Between two damaged lengths stands a record that is sound: nothing is left out in silence.
#[test]
fn what_is_passed_over_after_a_damaged_length_is_told() {
    let scratch = Scratch::new();
    let mut bytes: Vec<u8> = (0..6).flat_map(lithify_tests::numbered).collect();
    bytes[30] ^= 1;
    bytes[90] ^= 1;
    let profile = Conversion::of([scratch.file("data", &bytes)]).skipping().scan().unwrap();
    // A header alone may be part of a payload, so that the sound record between two damaged ones is not trusted. How
    // much is lost with it is said.
    assert_eq!((profile.elements, profile.skipped.len()), (3, 1));
    assert!(profile.skipped[0].reason.ends_with("bytes 30 to 120 are passed over"), "{:?}", profile.skipped);
}

/// A length that was changed together with its checksum: what stands behind it is not an element.
#[test]
fn a_wrong_length_with_a_right_checksum_makes_no_element() {
    let scratch = Scratch::new();
    let records: Vec<Vec<u8>> = (0..4).map(lithify_tests::numbered).collect();
    for length in [0, 1, 13, 15, 30, 44] {
        let mut bytes = records.concat();
        bytes[30..42].copy_from_slice(&header(length));
        let profile = Conversion::of([scratch.file("data", &bytes)]).skipping().scan().unwrap();
        assert_eq!(profile.skipped.first().map(|one| one.position), Some(30), "length {length}");
        assert!(profile.elements <= 3, "length {length}");
    }
    assert_eq!(masked_crc(&0_u64.to_le_bytes()), u32::from_le_bytes(header(0)[8..].try_into().unwrap()));
}

// ---------------------------------------------------------------------------------------------------------------------
// Profiles.

/// What is known of a feature, without where it was seen in which file.
fn without_places(feature: &FeatureProfile) -> impl PartialEq + std::fmt::Debug + use<> {
    let sizes = |sizes: &Sizes| {
        let found = |found: Option<(u64, lithify::scan::profile::Witness)>| {
            found.map(|(size, witness)| (size, witness.element))
        };
        (sizes.count, sizes.total, found(sizes.smallest), found(sizes.largest), sizes.histogram.clone())
    };
    let shapes = feature.seen_as.iter().map(|shapes| {
        let differs = shapes.differs.as_ref().map(|differs| (differs.0.clone(), differs.1.element));
        let first = (shapes.dtype, shapes.first.0.clone(), shapes.first.1.element);
        let range = (shapes.smallest.clone(), shapes.largest.clone());
        (first, differs, range, sizes(&shapes.values), sizes(&shapes.strings), shapes.ends_in_nul)
    });
    let shapes: Vec<_> = shapes.collect();
    (
        (
            feature.name.clone(),
            feature.kinds.iter().map(|kind| (kind.0, kind.1.element)).collect::<Vec<_>>(),
            feature.present,
        ),
        (
            feature.first_missing.map(|witness| witness.element),
            sizes(&feature.lengths),
            sizes(&feature.strings),
        ),
        (feature.contents.clone(), feature.ends_in_nul, feature.viewed, shapes),
    )
}

fn assert_same(one: &Profile, other: &Profile) -> Result<(), TestCaseError> {
    prop_assert_eq!(one.elements, other.elements);
    prop_assert_eq!(one.stored_bytes, other.stored_bytes);
    prop_assert_eq!(one.largest_record, other.largest_record);
    for (a, b) in one.features.iter().zip(&other.features) {
        prop_assert_eq!(without_places(a), without_places(b));
    }
    prop_assert_eq!(one.features.len(), other.features.len());
    Ok(())
}

/// Counts of a profile against those of another reader.
fn assert_counted(profile: &Profile, records: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let mut counts: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for record in records {
        let other = tfrecord::Example::from_bytes(record[12..record.len() - 4].to_vec()).unwrap();
        for (name, feature) in other.features.unwrap_or_default().feature {
            let (present, values, longest) = counts.entry(name).or_default();
            let Some(kind) = feature.kind else { continue };
            let length = values_of_tf(kind).len() as u64;
            *present += 1;
            *values += length;
            *longest = length.max(*longest);
        }
    }
    let found = profile.features.iter().map(|feature| {
        (feature.name.clone(), (feature.present, feature.lengths.total, feature.lengths.max()))
    });
    prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), counts);
    prop_assert_eq!(profile.elements, records.len() as u64);
    Ok(())
}

/// A tensor of int64 zeros of this shape; with another dtype where `float`.
fn tensor(shape: &[u64], float: bool) -> Vec<u8> {
    let dims: Vec<u8> =
        shape.iter().flat_map(|size| field(2, &[&[0x08][..], &varint(*size)].concat())).collect();
    let count = usize::try_from(shape.iter().product::<u64>()).unwrap();
    let content = vec![0; count * if float { 4 } else { 8 }];
    [&[0x08, if float { 1 } else { 9 }][..], &field(2, &dims), &field(4, &content)].concat()
}

fn any_feature() -> impl Strategy<Value = Vec<u8>> {
    let bytes =
        prop_oneof![vec(any::<u8>(), 0..70), Just(b"text".to_vec()), Just(b"\xff\xd8\xff\xe0".to_vec()),];
    prop_oneof![
        1 => Just(Vec::new()),
        3 => vec(any::<i64>(), 0..80).prop_map(|values| integers(&values)),
        3 => vec(bytes, 0..4).prop_map(|values| strings(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())),
        2 => vec(0..5_u64, 2).prop_map(|shape| strings(&[&tensor(&shape, false)])),
    ]
}

/// A record with some of three features, each of which is of one kind.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let of = |name: &'static str, feature: BoxedStrategy<Vec<u8>>| {
        proptest::option::weighted(
            0.8,
            feature.prop_map(move |feature| field(1, &entry(name.as_bytes(), &feature))),
        )
    };
    let of_kind = |kind: u8| {
        any_feature()
            .prop_filter("of the kind", move |feature| feature.first().is_none_or(|first| *first == kind))
            .boxed()
    };
    let all = (of("i", of_kind(0x1a)), of("s", of_kind(0x0a)), of("i2", of_kind(0x1a)), any::<bool>());
    all.prop_map(|(a, b, c, turned)| {
        let mut entries: Vec<Vec<u8>> = [a, b, c].into_iter().flatten().collect();
        if turned {
            entries.reverse();
        }
        record(&field(1, &entries.concat()))
    })
}

proptest! {
    #![proptest_config(cases(60))]

    /// Files that are scanned one by one are one file.
    #[test]
    fn profiles_merge_to_that_of_the_whole(parts in vec(vec(any_record(), 0..8), 1..6), threads in 1..4_usize) {
        let scratch = Scratch::new();
        let names = (0..parts.len()).map(|number| format!("part-{number}"));
        let files: Vec<_> = names.zip(&parts).map(|(name, records)| scratch.file(&name, &records.concat())).collect();
        let whole = scratch.file("whole", &parts.concat().concat());
        let (one, other) = (Conversion::of(files).threads(threads).scan(), Conversion::of([whole]).scan());
        match (one, other) {
            (Ok(one), Ok(other)) => {
                assert_same(&one, &other)?;
                assert_counted(&one, &parts.concat())?;
            }
            (one, other) => {
                let message = |scanned: lithify::Result<Profile>| scanned.err().map(|error| error.message().to_owned());
                prop_assert_eq!(message(one), message(other));
            }
        }
    }
}

/// Tensors of another rank or dtype end what is learnt of shapes, wherever files are cut.
#[test]
fn profiles_of_mixed_tensors_merge_to_that_of_the_whole() {
    let of =
        |shape: &[u64], float| record(&field(1, &field(1, &entry(b"t", &strings(&[&tensor(shape, float)])))));
    let parts = [of(&[2], false), [of(&[2, 2], false), of(&[9], false)].concat()];
    let scratch = Scratch::new();
    let files = [scratch.file("a", &parts[0]), scratch.file("b", &parts[1])];
    let whole = scratch.file("whole", &parts.concat());
    assert_same(&Conversion::of(files).scan().unwrap(), &Conversion::of([whole]).scan().unwrap()).unwrap();
}
