//! Damage of every kind: what is said about it, to the byte, and what is left when it is skipped.
//!
//! TensorFlow passes over some of it in silence (stray bytes at the end, a gzip file without its end) and crashes at
//! some (a length of 2^40). Here all of it is an error that names the file, the element and the byte.

use std::path::PathBuf;

use lithify::Error;
use lithify::error::ErrorKind;
use lithify::scan::profile::{Profile, Skipped};
use lithify::source::Options;
use lithify_tests::memory::largest;
use lithify_tests::{
    Conversion, Scratch, entry, example, field, floats, gzip, header, integers, numbered, read_npy, record,
    strings, zlib,
};

use crate::MOST_AT_ONCE;

const SKIP_HINT: &str = "\nhint: `--on-error skip` leaves out what is bad, and lists it";
const RAW_HINT: &str = "\nhint: `--from tfrecord-raw` keeps records of any kind as byte strings";
const LOST_HINT: &str =
    "\nhint: all that follows in this file is lost; the offset is one of the decompressed stream";

/// Four records of 30 bytes, whose feature `x` is 0, 1, 2, 3.
fn four() -> Vec<u8> {
    (0..4).flat_map(numbered).collect()
}

/// Bytes, of which one is changed.
fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 0x10;
    bytes
}

/// Four records with another one in place of the third.
fn with_third(record: &[u8]) -> Vec<u8> {
    [&four()[..60], record, &four()[90..]].concat()
}

/// A file and what becomes of it.
struct Case {
    /// What is wrong with it.
    what: String,
    bytes: Vec<u8>,
    /// The format, where it cannot be found by content.
    from: Option<&'static str>,
    /// The error, with its place and its hints.
    error: String,
    /// The values of `x` that are left when bad elements are skipped.
    kept: Vec<i64>,
}

impl Case {
    /// A file whose only damage is an element of which `message` is said.
    fn skippable(what: impl Into<String>, bytes: Vec<u8>, place: &str, message: &str, kept: &[i64]) -> Self {
        let error = format!("`bad`, {place}: {message}{SKIP_HINT}");
        Self { what: what.into(), bytes, from: None, error, kept: kept.to_vec() }
    }

    fn from(mut self, format: &'static str) -> Self {
        self.from = Some(format);
        self
    }

    /// An empty text where all is as it should be, or what differs.
    fn check(&self) -> String {
        let scratch = Scratch::new();
        let mut conversion = Conversion::of([scratch.file("bad", &self.bytes)]);
        conversion.from = self.from;
        let mut found = match conversion.scan() {
            Ok(profile) => format!("{} elements, no error", profile.elements),
            Err(error) => scratch.show(&error),
        };
        if found != self.error {
            return format!("--- {}\nexpected: {}\nfound:    {found}\n", self.what, self.error);
        }
        // The one element of which the error speaks is left out, and the same is said of it.
        let skipping = conversion.skipping();
        found = match skipping.scan() {
            Err(error) => scratch.show(&error),
            Ok(profile) => {
                let told: Vec<_> = profile
                    .skipped
                    .iter()
                    .map(|one| scratch.without_path(&format!("{}: {}", one.place, one.reason)))
                    .collect();
                let error = self.error.lines().next().unwrap_or_default();
                if told == [error] { String::new() } else { format!("skipped: {told:?}") }
            }
        };
        if found.is_empty() && !self.kept.is_empty() {
            found = match skipping.convert(&scratch.at("out")) {
                Err(error) => scratch.show(&error),
                Ok(manifest) => {
                    let kept = read_npy::<i64>(&scratch.at("out/x.npy")).into_raw_vec_and_offset().0;
                    let counted = manifest.elements == kept.len() as u64 && manifest.skipped.len() == 1;
                    if kept == self.kept && counted {
                        String::new()
                    } else {
                        format!("kept {kept:?}, and {} are skipped", manifest.skipped.len())
                    }
                }
            };
        }
        if found.is_empty() {
            found
        } else {
            format!("--- {}, skipped\nexpected: {:?} kept\nfound:    {found}\n", self.what, self.kept)
        }
    }
}

#[track_caller]
fn check(cases: &[Case]) {
    let wrong: Vec<_> = cases.iter().map(Case::check).filter(|wrong| !wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), cases.len(), wrong.concat());
}

#[test]
fn stray_bytes_at_the_end_are_told() {
    let cases = (1..12).map(|stray| {
        Case::skippable(
            format!("{stray} stray bytes"),
            [four(), vec![0; stray]].concat(),
            "element 4, byte 120",
            &format!("the file ends with {stray} stray bytes, which is no whole record header"),
            &[0, 1, 2, 3],
        )
    });
    check(&cases.collect::<Vec<_>>());
}

#[test]
fn twelve_zero_bytes_at_the_end_are_a_damaged_length() {
    let message =
        "the record's length is damaged: its checksum is wrong; all that follows in this file is lost";
    check(&[12, 13, 16, 100].map(|zeros| {
        Case::skippable(
            format!("{zeros} zeros"),
            [four(), vec![0; zeros]].concat(),
            "element 4, byte 120",
            message,
            &[0, 1, 2, 3],
        )
    }));
}

#[test]
fn a_cut_anywhere_in_a_record_is_told() {
    let cases = (61..90).map(|end| {
        let message = match end - 60 {
            stray @ 1..12 => {
                format!("the file ends with {stray} stray bytes, which is no whole record header")
            }
            there => format!(
                "the record is cut: it is said to have 14 bytes, but {} are left in the file",
                there.max(16) - 16
            ),
        };
        Case::skippable(
            format!("cut at {end}"),
            four()[..end].to_vec(),
            "element 2, byte 60",
            &message,
            &[0, 1],
        )
    });
    check(&cases.collect::<Vec<_>>());
}

#[test]
fn a_change_of_any_byte_is_told_and_costs_one_element() {
    let cases = (30..60).map(|at| {
        let message = match at - 30 {
            0..12 => "the record's length is damaged: its checksum is wrong; bytes 30 to 60 are passed over",
            _ => "the record's data is damaged: its checksum is wrong",
        };
        Case::skippable(
            format!("byte {at} changed"),
            flipped(four(), at),
            "element 1, byte 30",
            message,
            &[0, 2, 3],
        )
    });
    check(&cases.collect::<Vec<_>>());
}

#[test]
fn a_damaged_first_length_needs_the_format_to_be_named() {
    let scratch = Scratch::new();
    let error = Conversion::of([scratch.file("bad", &flipped(four(), 3))]).scan().unwrap_err();
    assert_eq!(
        scratch.show(&error),
        "`bad`, byte 0: it is not a TFRecord file (it looks like: of no known format)\n\
         hint: a TFRecord file whose first record is damaged looks like this, too: `--from tfrecord` reads it all the same, \
         and `--on-error skip` leaves out what is damaged"
    );
    let message = "the record's length is damaged: its checksum is wrong; bytes 0 to 30 are passed over";
    check(&[Case::skippable("first length", flipped(four(), 3), "element 0, byte 0", message, &[1, 2, 3])
        .from("tfrecord")]);
}

#[test]
fn a_length_that_the_file_does_not_have_is_a_cut_record() {
    let lengths = [1 << 31, 1 << 32, 1 << 40, 1 << 60, 1 << 63, u64::MAX - 16, u64::MAX - 5, u64::MAX];
    let cases = lengths.map(|length| {
        let message =
            format!("the record is cut: it is said to have {length} bytes, but 44 are left in the file");
        let third = [&header(length)[..], &four()[72..90]].concat();
        Case::skippable(
            format!("length {length}"),
            with_third(&third),
            "element 2, byte 60",
            &message,
            &[0, 1],
        )
    });
    check(&cases);
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}

/// How long a compressed stream is nobody knows before its end, so that only the memory budget bounds a length.
#[test]
fn a_length_beyond_the_budget_is_refused_in_a_compressed_file() {
    for length in [1 << 40, 1 << 60, u64::MAX] {
        let scratch = Scratch::new();
        let bytes = gzip(&with_third(&[&header(length)[..], &four()[72..90]].concat()));
        let error = Conversion::of([scratch.file("bad", &bytes)]).scan().unwrap_err();
        assert_eq!(
            scratch.show(&error),
            format!(
                "`bad`, element 2, byte 60: the record has {length} bytes, more than the 134217728 that the memory budget leaves for one\n\
                 hint: give more memory with `--memory`, or use fewer threads with `--threads`"
            )
        );
        assert_eq!(error.kind(), ErrorKind::Resources);
    }
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}

/// A caller of the library may set no limit at all.
#[test]
fn a_length_without_a_limit_takes_no_more_memory_than_there_is_data() {
    for length in [1 << 32, 1 << 40, 1 << 60, 1 << 63, u64::MAX - 16] {
        let scratch = Scratch::new();
        let bytes = gzip(&with_third(&[&header(length)[..], &four()[72..90]].concat()));
        let source = lithify::open(&[scratch.file("bad", &bytes)], None, &Options::default()).unwrap();
        let mut elements = source.read(0, 0..u64::MAX, lithify::source::Want::Whole).unwrap();
        assert!(elements.next().unwrap().is_some() && elements.next().unwrap().is_some());
        let error = elements.next().map(|_| ()).unwrap_err();
        let wanted = match length {
            0..=0x100_0000_0000 => {
                format!("`bad`, byte 60: the record is cut: it has 60 of its {} bytes", length + 16)
            }
            // More than any record has.
            _ => format!("`bad`, byte 60: the record has {length} bytes, more than the 1099511627776 "),
        };
        assert!(scratch.show(&error).starts_with(&wanted), "{error}");
    }
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}

#[test]
fn a_length_without_a_limit_does_not_overflow() {
    for length in [u64::MAX - 15, u64::MAX - 4, u64::MAX] {
        let scratch = Scratch::new();
        let bytes = gzip(&with_third(&[&header(length)[..], &four()[72..90]].concat()));
        let source = lithify::open(&[scratch.file("bad", &bytes)], None, &Options::default()).unwrap();
        let mut elements = source.read(0, 0..u64::MAX, lithify::source::Want::Whole).unwrap();
        assert!(elements.next().unwrap().is_some() && elements.next().unwrap().is_some());
        assert!(elements.next().is_err(), "length {length}");
    }
}

/// What is left of a compressed file that is cut, or that is followed by something: an error, whatever else.
fn assert_told(what: &str, bytes: &[u8], complete: bool) {
    let scratch = Scratch::new();
    let conversion = Conversion::of([scratch.file("bad", bytes)]);
    match conversion.scan() {
        Ok(profile) => panic!("{what}: no error, and {} elements", profile.elements),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Input, "{what}: {error}"),
    }
    // Too little of it is no compressed file at all.
    let Ok(profile) = conversion.skipping().scan() else { return };
    assert_eq!(profile.skipped.len(), 1, "{what}");
    assert!(!complete || profile.elements == 4, "{what}: {} elements are left", profile.elements);
    let skipped = &profile.skipped[0];
    assert_eq!(skipped.place.byte, Some(profile.elements * 30), "{what}");
}

/// A gzip file that is cut up to here gives not a byte.
const NOTHING_DECODED: usize = 12;

#[test]
fn a_gzip_file_that_is_cut_anywhere_is_told() {
    let whole = gzip(&four());
    for end in (1..whole.len()).filter(|end| !(3..=NOTHING_DECODED).contains(end)) {
        assert_told(&format!("cut at {end} of {}", whole.len()), &whole[..end], end >= whole.len() - 8);
    }
}

#[test]
fn a_compressed_file_that_is_cut_before_anything_is_decoded_is_told() {
    for end in 3..=NOTHING_DECODED {
        assert_told(&format!("gzip cut at {end}"), &gzip(&four())[..end], false);
    }
    for end in 2..=4 {
        assert_told(&format!("zlib cut at {end}"), &zlib(&four())[..end], false);
    }
}

#[test]
fn a_zlib_file_that_is_cut_anywhere_is_told() {
    let whole = zlib(&four());
    for end in 5..whole.len() {
        assert_told(&format!("cut at {end} of {}", whole.len()), &whole[..end], end >= whole.len() - 4);
    }
}

/// Records whose stream has so many bytes: each of 1024, the last of what is left.
fn stream_of(bytes: usize) -> Vec<u8> {
    let of = |bytes: usize| {
        let bare = record(&example(&[("x", integers(&[1])), ("fill", strings(&[&[b'a'; 200]]))])).len();
        record(&example(&[("x", integers(&[1])), ("fill", strings(&[&vec![b'a'; bytes + 200 - bare]]))]))
    };
    let mut stream = Vec::new();
    while stream.len() < bytes {
        let left = bytes - stream.len();
        stream.extend(of(if left < 2048 { left } else { 1024 }));
    }
    assert_eq!(stream.len(), bytes);
    stream
}

/// Decoded bytes are handed over in pieces, and damage may stand where a piece ends.
#[test]
fn damage_at_the_border_of_a_decoded_piece_is_told() {
    for pieces in [1, 2] {
        let stream = stream_of(pieces * lithify::source::input::READ_BYTES);
        let mut wrong = gzip(&stream);
        let end = wrong.len();
        wrong[end - 8..].fill(0);
        let cut = &gzip(&stream)[..end - 8];
        let followed = [zlib(&stream), b"more".to_vec()].concat();
        for (what, bytes) in
            [("a wrong checksum", &wrong[..]), ("no checksum", cut), ("zlib and more", &followed)]
        {
            let scratch = Scratch::new();
            let conversion = Conversion::of([scratch.file("bad", bytes)]);
            let found = conversion.scan().map(|profile| profile.elements);
            assert!(found.is_err(), "{what} after {pieces} pieces: {found:?} elements, no error");
        }
    }
}

#[test]
fn what_is_wrong_behind_the_last_record_of_a_compressed_file_costs_no_element() {
    let lost = |what: &str| format!("it cannot be decompressed further: {what}{LOST_HINT}");
    let whole = gzip(&four());
    let end = whole.len();
    let changed = |at: usize| flipped(whole.clone(), at);
    let all = &[0, 1, 2, 3];
    let case = |what: &str, bytes: Vec<u8>, why: &str| {
        Case::skippable(what, bytes, "element 4, byte 120", &lost(why), all)
    };
    check(&[
        case("gzip checksum", changed(end - 8), "corrupt gzip stream does not have a matching checksum"),
        case("gzip size", changed(end - 4), "corrupt gzip stream does not have a matching checksum"),
        case("gzip without its end", whole[..end - 8].to_vec(), "the compressed stream is cut"),
        case("gzip and zeros", [&whole[..], &[0; 16]].concat(), "invalid gzip header"),
        case("gzip and text", [&whole[..], b"the end of it"].concat(), "invalid gzip header"),
        case(
            "zlib and text",
            [zlib(&four()), b"more".to_vec()].concat(),
            "there is more data after the end of the zlib stream",
        ),
        case(
            "two zlib streams",
            [zlib(&four()), zlib(&four())].concat(),
            "there is more data after the end of the zlib stream",
        ),
    ]);
}

#[test]
fn damage_inside_a_compressed_file_has_the_offset_of_the_decoded_stream() {
    for pack in [gzip, zlib] {
        check(&[
            Case::skippable(
                "data",
                pack(&flipped(four(), 50)),
                "element 1, byte 30",
                "the record's data is damaged: its checksum is wrong",
                &[0, 2, 3],
            ),
            Case::skippable(
                "length",
                pack(&flipped(four(), 31)),
                "element 1, byte 30",
                "the record's length is damaged: its checksum is wrong; bytes 30 to 60 are passed over",
                &[0, 2, 3],
            ),
            Case::skippable(
                "cut",
                pack(&four()[..110]),
                "element 3, byte 90",
                "the record is cut: it has 20 of its 30 bytes",
                &[0, 1, 2],
            ),
            Case::skippable(
                "stray",
                pack(&four()[..95]),
                "element 3, byte 90",
                "the file ends with 5 stray bytes, which is no whole record header",
                &[0, 1, 2],
            ),
        ]);
    }
}

/// Feature lists beside a context.
#[test]
fn feature_lists_that_are_damaged_are_told() {
    let of = |what: &str, lists: &[u8], why: &str| {
        let message = format!("the record is no tf.train.SequenceExample: {why}{RAW_HINT}");
        let data = [example(&[("x", integers(&[2]))]), field(2, lists)].concat();
        Case::skippable(what, with_third(&record(&data)), "element 2, byte 60", &message, &[0, 1, 3])
    };
    let list = |name: &[u8], steps: &[Vec<u8>]| {
        field(1, &entry(name, &steps.iter().flat_map(|step| field(1, step)).collect::<Vec<_>>()))
    };
    let (one, two) = (integers(&[1]), integers(&[1, 2]));
    let whole = list(b"s", &[one.clone(), one.clone()]);
    check(&[
        of("something else", &field(3, b""), "the feature lists hold something else"),
        of("a list cut", &whole[..9], "a feature list is cut"),
        of("no value", &field(1, &field(1, b"s")), "a feature lacks its name or its value"),
        of("a name", &list(b"\n", &[]), "a feature's name holds control characters: `\\n`"),
        of("no steps", &field(1, &entry(b"s", b"abc")), "the feature list `s`: it holds something else"),
        of("a step cut", &field(1, &entry(b"s", &[0x0a, 9, 0])), "the feature list `s`: a step is cut"),
        of(
            "two kinds",
            &list(b"s", &[one.clone(), floats(&[1.0])]),
            "the feature list `s`: its steps are of different kinds",
        ),
        of(
            "packed",
            &list(b"s", &[field(3, &field(1, &[0x80]))]),
            "the feature list `s`: an int64 list is cut",
        ),
        of(
            "the same name",
            &list(b"x", std::slice::from_ref(&one)),
            "its context and its feature lists both have `x`",
        ),
    ]);
    // What the first records show goes for all.
    let with =
        |steps: &[Vec<u8>]| record(&[example(&[("x", one.clone())]), field(2, &list(b"s", steps))].concat());
    let uneven = [one.clone(), two.clone()];
    let bytes = [with(&vec![one.clone(); 3]).repeat(300), with(&uneven)].concat();
    let at = bytes.len() - with(&uneven).len();
    let scratch = Scratch::new();
    let error = Conversion::of([scratch.file("bad", &bytes)]).scan().unwrap_err();
    let message = "the steps of `s` have 1 to 2 values here, but 1 in other elements";
    assert_eq!(
        error.to_string().replace(&format!("{}/", scratch.path().display()), ""),
        format!("`bad`, element 300, byte {at}: the record is no tf.train.SequenceExample: {message}")
    );
}

#[test]
fn a_record_that_is_no_example_is_told() {
    let of = |what: &str, data: &[u8], why: &str| {
        let message = format!("the record is no tf.train.Example: {why}{RAW_HINT}");
        Case::skippable(what, with_third(&record(data)), "element 2, byte 60", &message, &[0, 1, 3])
    };
    let features = |entries: &[u8]| field(1, &field(1, entries));
    let one = integers(&[1]);
    check(&[
        of("text", b"hello", "a tag is cut or unknown"),
        of("bytes that are cut", b"*hello", "an unknown field is cut"),
        of("zeros", &[0; 5], "a tag is cut or unknown"),
        of("features cut", &example(&[("x", one.clone())])[..9], "the features are cut"),
        of("a group", &[0x0b, 0x0c], "a tag is cut or unknown"),
        of("an unknown field in the features", &field(1, &field(2, b"")), "the features hold something else"),
        of(
            "an unknown field in an entry",
            &features(&[entry(b"x", &one), field(3, b"")].concat()),
            "a feature holds something else",
        ),
        of(
            "two names",
            &features(&[field(1, b"x"), entry(b"x", &one)].concat()),
            "a feature has two names or two values",
        ),
        of("no name", &features(&field(2, &one)), "a feature lacks its name or its value"),
        of("no value", &features(&field(1, b"x")), "a feature lacks its name or its value"),
        of(
            "two lists",
            &features(&entry(b"x", &[one.clone(), one.clone()].concat())),
            "a feature has two lists",
        ),
        of(
            "two kinds",
            &features(&entry(b"x", &[one.clone(), floats(&[1.0])].concat())),
            "a feature has two lists",
        ),
        of("a kind without a list", &features(&entry(b"x", &[0x18, 1])), "a feature's list is no message"),
        of("an unknown kind", &features(&entry(b"x", &field(4, b"")[..])), "a feature is of an unknown kind"),
        of("an empty name", &example(&[("", one.clone())]), "a feature's name is empty: ``"),
        of(
            "a name that is not UTF-8",
            &features(&entry(b"\xff\xfe", &one)),
            r"a feature's name is not UTF-8: `\xff\xfe`",
        ),
        of(
            "a name with control characters",
            &example(&[("a\x01", one)]),
            r"a feature's name holds control characters: `a\x01`",
        ),
    ]);
}

#[test]
fn a_damaged_list_is_told() {
    let of = |what: &str, feature: &[u8], why: &str| {
        let place = "element 2, byte 60, feature `x`";
        let data = example(&[("y", integers(&[1])), ("x", feature.to_vec())]);
        Case::skippable(
            what,
            with_third(&record(&data)),
            place,
            &format!("the feature is damaged: {why}"),
            &[0, 1, 3],
        )
    };
    check(&[
        of("a packed run is cut", &field(3, &[0x0a, 5, 1]), "an int64 list is cut"),
        of("its last integer is cut", &field(3, &field(1, &[1, 0x80])), "an int64 list is cut"),
        of("a single integer is cut", &field(3, &[0x08, 0x80]), "an integer is cut"),
        of(
            "an integer of eleven bytes",
            &field(3, &[&[0x08][..], &[0x80; 10], &[0]].concat()),
            "an integer is cut",
        ),
        of(
            "floats that are not whole",
            &field(2, &field(1, &[0; 7])),
            "a packed float list is not a multiple of 4 bytes",
        ),
        of("a single float is cut", &field(2, &[0x0d, 0, 0]), "a float is cut"),
        of("a string is cut", &field(1, &[0x0a, 3, b'a']), "a byte string is cut"),
        of(
            "floats in a list of integers",
            &field(3, &[0x0d, 0, 0, 0, 0]),
            "a list holds values of another type",
        ),
        of("a tag is cut", &field(3, &[0x80]), "a tag is cut"),
        of("an unknown field is cut", &field(3, &[0x12, 9]), "an unknown field is cut"),
    ]);
}

/// Only decoding finds that a varint in the middle of a run is too long, so that pass 2 does.
#[test]
fn an_integer_of_eleven_bytes_in_a_run_is_told() {
    let scratch = Scratch::new();
    let two = |value: i64| record(&example(&[("x", integers(&[value, value]))]));
    let run = [&[1][..], &[0x80; 10], &[0]].concat();
    let bytes = [two(0), two(1), record(&example(&[("x", field(3, &field(1, &run)))])), two(3)].concat();
    let conversion = Conversion::of([scratch.file("bad", &bytes)]);
    let error = conversion.convert(&scratch.at("out")).unwrap_err();
    assert_eq!(
        scratch.show(&error),
        "`bad`, element 2, byte 62, feature `x`: the feature is damaged: an integer is cut or too long\n\
         hint: `--on-error skip` leaves out what is bad, and lists it"
    );
    let manifest = conversion.skipping().convert(&scratch.at("out")).unwrap();
    assert_eq!((manifest.elements, manifest.skipped.len()), (3, 1));
    assert_eq!(read_npy::<i64>(&scratch.at("out/x.npy")).into_raw_vec_and_offset().0, [0, 0, 1, 1, 3, 3]);
}

/// Elements that only the request makes bad: some are found by the scan, some when their rows are filled.
#[test]
fn elements_that_do_not_fit_the_request_are_told_and_skipped() {
    let scratch = Scratch::new();
    let at = |value: i64, payload: &[u8]| {
        record(&example(&[("x", integers(&[value])), ("b", strings(&[payload]))]))
    };
    let records = [at(1, b"12345678"), at(300, b"12345678"), at(3, b"1234"), at(4, b"123")];
    let starts: Vec<usize> = (0..4).map(|n| records[..n].iter().map(Vec::len).sum()).collect();
    let input = scratch.file("bad", &records.concat());
    let cases = [
        ("x: dtype=int8", 1, "feature `x`: the value 300 does not fit int8\nhint: use a larger `dtype`, or clip such values with `saturate`".to_owned(), vec![1, 3, 4]),
        ("b: decode=raw:float32 pad=max", 3, format!("feature `b`: 3 bytes are no whole number of float32 (4 bytes each){SKIP_HINT}"), vec![1, 300, 3]),
        ("b: decode=raw:int8 reshape=4,-1 ragged", 3, format!("feature `b`: 3 values do not fill a shape of (4, -1){SKIP_HINT}"), vec![1, 300, 3]),
        ("x: reshape=x", 1, format!("feature `x`: 1 values do not fill a shape of (300){SKIP_HINT}"), vec![1]),
        ("b: decode=tensor", 0, "feature `b`: the byte string is no serialized tensor: the values are cut".to_owned(), vec![]),
    ];
    for (number, (spec, element, message, kept)) in cases.into_iter().enumerate() {
        let conversion = Conversion::of([&input]).feature(spec);
        let error = conversion.convert(&scratch.at("none")).unwrap_err();
        assert_eq!(
            scratch.show(&error),
            format!("`bad`, element {element}, byte {}, {message}", starts[element]),
            "{spec}"
        );
        if kept.is_empty() {
            // Skipping them all leaves nothing, and that is said with the first reason.
            let error = conversion.skipping().convert(&scratch.at("none")).unwrap_err();
            let wanted = "`bad`, byte 0, feature `b`: no element is left: the byte string is no serialized tensor: \
                          the values are cut (and 3 more are left out)\n\
                          hint: where it is the same with every element, look at the request";
            assert_eq!(scratch.show(&error), wanted);
            continue;
        }
        // A second feature is written beside it, so that what is left can be told.
        let mut conversion = conversion.skipping();
        if !spec.starts_with("x:") {
            conversion = conversion.feature("x");
        }
        let output = scratch.at(&format!("out{number}"));
        let manifest = conversion.convert(&output).unwrap();
        assert_eq!(manifest.skipped.len(), 4 - kept.len(), "{spec}");
        assert_eq!(manifest.elements, kept.len() as u64, "{spec}");
        if spec == "x: dtype=int8" {
            let kept: Vec<i8> = kept.iter().map(|value| i8::try_from(*value).unwrap()).collect();
            assert_eq!(read_npy::<i8>(&output.join("x.npy")).into_raw_vec_and_offset().0, kept, "{spec}");
        } else {
            assert_eq!(read_npy::<i64>(&output.join("x.npy")).into_raw_vec_and_offset().0, kept, "{spec}");
        }
    }
    assert!(!scratch.at("none").exists());
}

#[test]
fn a_feature_of_two_kinds_is_told() {
    let scratch = Scratch::new();
    let other = record(&example(&[("x", floats(&[1.0]))]));
    let two = [scratch.file("one", &four()), scratch.file("two", &other)];
    for (inputs, place, kept) in [
        (vec![scratch.file("bad", &with_third(&other))], "`bad`, element 2, byte 60", vec![0, 1, 3]),
        (two.to_vec(), "`two`, element 4, byte 0", vec![0, 1, 2, 3]),
    ] {
        let conversion = Conversion::of(inputs);
        assert_eq!(
            scratch.show(&conversion.scan().unwrap_err()),
            format!(
                "{place}, feature `x`: it holds float here, but int64 in element 0 before\n\
                 hint: a feature must be of one kind: leave it out by naming the others with `--feature`\n\
                 hint: or leave out the elements of another kind than the first with `--on-error skip`"
            )
        );
        // The kind that came first is the right one.
        let output = scratch.at("out");
        let manifest = conversion.skipping().convert(&output).unwrap();
        let told: Vec<_> =
            manifest.skipped.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect();
        let wanted = format!("{place}, feature `x`: it holds float here, but int64 in other elements");
        assert_eq!(told.iter().map(|one| scratch.without_path(one)).collect::<Vec<_>>(), [wanted]);
        assert_eq!(read_npy::<i64>(&output.join("x.npy")).into_raw_vec_and_offset().0, kept);
        std::fs::remove_dir_all(&output).unwrap();
    }
}

#[test]
fn records_without_features_are_told() {
    let scratch = Scratch::new();
    for data in [&b""[..], &[0x09, 1, 2, 3, 4, 5, 6, 7, 8]] {
        let error =
            Conversion::of([scratch.file("bad", &[record(data), record(data)].concat())]).scan().unwrap_err();
        assert_eq!(
            scratch.show(&error),
            format!("`bad`: no record has any feature: these are probably no tf.train.Examples{RAW_HINT}")
        );
    }
}

#[test]
fn files_that_are_something_else_are_told() {
    let tar = [&[b'a'; 257][..], b"ustar\x0000", &[0; 248]].concat();
    let files: [(&str, &[u8], &str); 8] = [
        ("text", b"one line of text\nand another\n", "text"),
        ("CSV", b"x,y\n1,2\n", "text"),
        ("JPEG", b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image"),
        ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "an image"),
        ("GIF", b"GIF89a\x01\0\x01\0", "an image"),
        (".npz", b"PK\x03\x04\x14\0\0\0", "a zip or .npz file"),
        ("tar", &tar, "a tar file"),
        ("noise", b"\xfe\xdc\xba\x98\x76\x54\x32\x10\xfe\xdc\xba\x98", "of no known format"),
    ];
    for (what, bytes, name) in files {
        let scratch = Scratch::new();
        let error = Conversion::of([scratch.file("bad", bytes)]).scan().unwrap_err();
        let shown = scratch.show(&error);
        let first = shown.lines().next().unwrap();
        assert_eq!(
            first,
            format!("`bad`, byte 0: it is not a TFRecord file (it looks like: {name})"),
            "{what}"
        );
        assert_eq!(error.kind(), ErrorKind::Input);
    }
    let scratch = Scratch::new();
    let error = Conversion::of([scratch.file("bad", &gzip(&b"text ".repeat(2000)))]).scan().unwrap_err();
    assert_eq!(
        scratch.show(&error),
        "`bad`, byte 0: it is not a TFRecord file (it looks like: gzip data, but not of TFRecords)\n\
         hint: a TFRecord file whose first record is damaged looks like this, too: `--from tfrecord` reads it all the \
         same, and `--on-error skip` leaves out what is damaged"
    );
}

/// Two letters may look like the start of a zlib stream: so do those of a table of exchange rates.
#[test]
fn text_that_begins_like_a_compressed_file_is_told() {
    for bytes in [&b"HKD,USD\n7.8,1\n"[..], b"8O", b"XG,YG\n"] {
        let scratch = Scratch::new();
        let found = Conversion::of([scratch.file("bad", bytes)]).scan().map(|profile| profile.elements);
        assert!(found.is_err(), "{}: {found:?} elements, no error", bytes.escape_ascii());
    }
}

#[test]
fn a_git_lfs_pointer_is_told() {
    let scratch = Scratch::new();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    let error = Conversion::of([scratch.file("bad", pointer)]).scan().unwrap_err();
    assert_eq!(
        scratch.show(&error),
        "`bad`: it is a Git LFS pointer, not the data\nhint: fetch the data with `git lfs pull`"
    );
}

#[test]
fn an_empty_file_is_a_dataset_without_elements() {
    let scratch = Scratch::new();
    let conversion = Conversion::of([scratch.file("empty", b"")]);
    assert_eq!(conversion.scan().unwrap().elements, 0);
    assert_eq!(
        scratch.show(&conversion.convert(&scratch.at("out")).unwrap_err()),
        "the dataset has no elements"
    );
    let mixed = Conversion::of([scratch.file("a", b""), scratch.file("b", &four()), scratch.file("c", b"")]);
    assert_eq!(mixed.convert(&scratch.at("out")).unwrap().elements, 4);
}

#[test]
fn what_is_not_there_is_told() {
    let scratch = Scratch::new();
    let scan = |name: &str| scratch.show(&Conversion::of([scratch.at(name)]).scan().unwrap_err());
    std::fs::create_dir_all(scratch.at("empty")).unwrap();
    std::fs::create_dir_all(scratch.at("nested/1.0.0")).unwrap();
    std::fs::create_dir_all(scratch.at("beside")).unwrap();
    let _ = scratch.file("beside/dataset_info.json", b"{}");
    let _ = scratch.file("beside/_SUCCESS", b"");
    let _ = scratch.file("beside/.part.crc", b"crc");
    assert_eq!(scan("none"), "cannot open `none`: No such file or directory (os error 2)");
    assert_eq!(scan("none-*"), "no file matches `none-*`");
    assert_eq!(scan("empty"), "no data files in `empty`");
    assert_eq!(
        scan("nested"),
        "no data files in `nested`\nhint: files of directories in it are not taken: name one, such as `nested/1.0.0`, or all with a glob"
    );
    assert_eq!(scan("beside"), "no data files in `beside`");
    // Beside data, what else is there is passed over; named by itself it is told.
    let _ = scratch.file("beside/data", &four());
    assert_eq!(Conversion::of([scratch.at("beside")]).scan().unwrap().elements, 4);
    let error = Conversion::of([scratch.at("beside/dataset_info.json")]).scan().unwrap_err();
    assert_eq!(
        scratch.show(&error),
        "`beside/dataset_info.json`, byte 0: it is not a TFRecord file (it looks like: text)"
    );
}

#[test]
fn of_two_damages_the_first_is_told_by_any_number_of_threads() {
    let scratch = Scratch::new();
    let inputs: Vec<PathBuf> = (0..6)
        .map(|part| {
            scratch.file(
                &format!("part-{part}"),
                &if part < 2 { four() } else { flipped(four(), 20 + 30 * part % 90) },
            )
        })
        .collect();
    for threads in [1, 2, 7] {
        let error = Conversion::of(&inputs).threads(threads).scan().unwrap_err();
        let wanted = "`part-2`, element 10, byte 60: the record's data is damaged: its checksum is wrong";
        assert_eq!(scratch.show(&error).lines().next().unwrap(), wanted, "{threads} threads");
    }
}

/// What is counted is what was found, once each, by any number of threads.
fn skipped_of(profile: &Profile) -> Vec<(usize, u64)> {
    profile.skipped.iter().map(|Skipped { part, position, .. }| (*part, *position)).collect()
}

#[test]
fn every_bad_element_is_listed_once() {
    let scratch = Scratch::new();
    let inputs: Vec<PathBuf> = (0..3)
        .map(|part| scratch.file(&format!("part-{part}"), &flipped(flipped(four(), 20), 110)))
        .collect();
    for threads in [1, 2, 7] {
        let profile = Conversion::of(&inputs).skipping().threads(threads).scan().unwrap();
        assert_eq!(skipped_of(&profile), [(0, 0), (0, 90), (1, 0), (1, 90), (2, 0), (2, 90)]);
        assert_eq!(profile.elements, 6);
    }
}

#[test]
fn a_file_that_changes_between_the_passes_is_told() {
    let scratch = Scratch::new();
    let input = scratch.file("data", &four());
    let conversion = Conversion::of([&input]);
    let (_, plan) = conversion.plan(&scratch.at("out")).unwrap();
    let _ = scratch.file("data", &[four(), numbered(4)].concat());
    let writing =
        lithify::write::WriteOptions { overwrite: false, restart: false, durable: None, progress: &() };
    let error: Error = lithify::write(conversion.open().unwrap().as_ref(), &plan, &writing).unwrap_err();
    assert_eq!(
        scratch.show(&error),
        "`data`: the file has changed since it was scanned: it had 120 bytes, and has 150 now\nhint: scan it again: run `convert` again, or make the plan anew"
    );
    assert!(!scratch.at("out").exists());
}

/// Files that others have published, and what is said of each: a file without a line here fails the test.
const PUBLISHED: [(&str, &str); 5] = [
    (
        "data.recordio",
        "`data.recordio`, byte 0: it is not a TFRecord file (it looks like: of no known format)",
    ),
    (
        "eval_elwc.tfrecord",
        "`eval_elwc.tfrecord`, element 0, byte 0: the record is no tf.train.Example: a feature has two names or two values",
    ),
    (
        "events.out.tfevents.1515280094.tayo-glaptop",
        "`events.out.tfevents.1515280094.tayo-glaptop`: no record has any feature: these are probably no tf.train.Examples",
    ),
    ("test.tfrecord", "`test.tfrecord`: it is a Git LFS pointer, not the data"),
    (
        "tfrecord_iterator_test.tfrecord",
        "`tfrecord_iterator_test.tfrecord`, element 0, byte 0: the record is no tf.train.Example: a tag is cut or unknown",
    ),
];

#[test]
fn published_bad_files_are_told() {
    let Some(data) = std::env::var_os("LITHIFY_TEST_DATA") else {
        eprintln!("skipped: LITHIFY_TEST_DATA is not set");
        return;
    };
    let directory = PathBuf::from(data).join("bad/tfrecord");
    let mut names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, PUBLISHED.map(|(name, _)| name), "a file has no test, or a test no file");
    for (name, wanted) in PUBLISHED {
        let error = Conversion::of([directory.join(name)]).scan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{name}");
        let shown = error.to_string().replace(&format!("{}/", directory.display()), "");
        assert_eq!(shown, wanted, "{name}");
    }
}
