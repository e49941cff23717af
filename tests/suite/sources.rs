//! What every source must do, tried on a sample of every format; and how a file is read in pieces at once.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use lithify::error::ErrorKind;
use lithify::plan::plan;
use lithify::plan::request::Request;
use lithify::plan::{Layout, Target};
use lithify::scan::OnError;
use lithify::source::tfrecord::masked_crc;
use lithify::source::{Elements, FORMATS, Source, Want};
use lithify::value::Element;
use lithify_tests::images::chunk;
use lithify_tests::{
    Conversion, Scratch, entry, example, field, header, integers, machine, numbered, read_npy, record,
    strings,
};

use crate::samples::{Feature, Sample, places, samples, tars};

#[test]
fn a_tar_that_is_cut_is_told_with_its_sample() {
    let tars = tars();
    let sample = tars.iter().find(|sample| sample.plain).unwrap();
    let scratch = Scratch::new();
    let last = usize::try_from(sample.elements.last().unwrap().0).unwrap() + 1024;
    for cut in (1..last).filter(|cut| !cut.is_multiple_of(512)) {
        let path = scratch.file("sample", &sample.bytes[..cut]);
        let source = Conversion::of([&path]).from(sample.format).open().unwrap();
        let mut elements = source.read(0, 0..u64::MAX, Want::Whole).unwrap();
        let (found, error) = rest_of(elements.as_mut());
        let Some(error) = error else { panic!("cut at {cut}: no error after {} samples", found.len()) };
        assert_eq!(found, sample.elements[..found.len()], "cut at {cut}");
        let at = sample.elements[found.len()].0;
        assert_eq!(error.place().byte, Some(at), "cut at {cut}: {error}");
        assert!(cut as u64 > at && error.message().contains("cut"), "cut at {cut}: {error}");
        assert!(matches!(elements.next(), Ok(None)), "cut at {cut}: an end comes after the error");
    }
}

#[test]
fn every_format_has_a_sample() {
    let samples = samples();
    for format in FORMATS {
        assert!(
            samples.iter().any(|sample| sample.format == format.name()),
            "there is no sample of `{}`",
            format.name()
        );
    }
    for sample in samples {
        assert!(
            FORMATS.iter().any(|format| format.name() == sample.format),
            "`{}` is no format",
            sample.format
        );
    }
}

fn features_of(element: &Element<'_>) -> Vec<Feature> {
    (0..element.len())
        .map(|at| {
            let name = String::from_utf8(element.name(at).to_vec()).unwrap();
            let values =
                element.list(at).map(|list| list.runs().flat_map(|run| run.unwrap().to_vec()).collect());
            (name, values.unwrap_or_default())
        })
        .collect()
}

/// All that is left, up to an error.
fn rest_of(elements: &mut dyn Elements) -> (Vec<(u64, Vec<Feature>)>, Option<lithify::Error>) {
    let mut found = Vec::new();
    loop {
        let position = elements.position();
        match elements.next() {
            Ok(Some(element)) => {
                assert_eq!(
                    element.position(),
                    position,
                    "an element is where the source says that the next one is"
                );
                found.push((element.position(), features_of(&element)));
            }
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

/// Calls `then` with each sample, opened.
fn each_sample(then: impl Fn(&Sample, &Path, &dyn Source, &str)) {
    for sample in samples() {
        let scratch = Scratch::new();
        let path = scratch.at("sample");
        for (name, bytes) in &sample.files {
            std::fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            std::fs::write(path.join(name), bytes).unwrap();
        }
        if sample.files.is_empty() {
            std::fs::write(&path, &sample.bytes).unwrap();
        }
        let source = Conversion::of([&path]).from(sample.format).open().unwrap();
        then(&sample, &path, source.as_ref(), &format!("{}, {}", sample.format, sample.what));
    }
}

#[test]
fn parts_in_sequence_are_what_was_written() {
    each_sample(|sample, path, source, what| {
        assert_eq!(source.format(), sample.format, "{what}");
        assert_eq!(source.parts().len(), 1, "{what}");
        let below: usize = sample.files.iter().map(|file| file.1.len()).sum();
        let bytes = match sample.format {
            "zarr" => below as u64,
            "huggingface" => sample.files[2].1.len() as u64,
            _ if sample.bytes.is_empty() => sample.end,
            _ => sample.bytes.len() as u64,
        };
        assert_eq!(
            (source.parts()[0].path.as_path(), source.parts()[0].bytes),
            (&*path.join(sample.part), bytes),
            "{what}"
        );
        assert_eq!(source.seekable(0), sample.plain, "{what}");
        let mut elements = source.read(0, 0..u64::MAX, Want::Whole).unwrap();
        let (found, error) = rest_of(elements.as_mut());
        assert!(error.is_none(), "{what}: {error:?}");
        assert_eq!(found, sample.elements, "{what}");
        assert_eq!(elements.position(), sample.end, "{what}");
        assert!(
            elements.next().unwrap().is_none() && !elements.skip().unwrap(),
            "{what}: the end is the end"
        );
    });
}

/// What has no name is found by what it holds.
#[test]
fn a_format_is_found_by_its_content() {
    let by_content = ["tfrecord", "array_record"];
    for sample in samples().iter().filter(|sample| by_content.contains(&sample.format)) {
        let scratch = Scratch::new();
        let source = Conversion::of([scratch.file("no-ending", &sample.bytes)]).open().unwrap();
        assert_eq!(source.format(), sample.format, "{}", sample.what);
    }
    // A plain file may begin like a compressed one: its first record has 0x…088b1f bytes.
    let scratch = Scratch::new();
    let payload = example(&[("p", strings(&[&vec![7; 0x0008_8b1f - 23]]))]);
    let bytes = record(&payload);
    assert_eq!(&bytes[..3], b"\x1f\x8b\x08");
    assert_eq!(Conversion::of([scratch.file("sample", &bytes)]).scan().unwrap().elements, 1);
}

#[test]
fn from_any_position_the_same_rest_follows() {
    each_sample(|sample, _, source, what| {
        let ends = sample.elements.iter().map(|element| element.0).chain([sample.end]);
        for (number, position) in ends.enumerate() {
            let mut elements = source.read(0, position..u64::MAX, Want::Whole).unwrap();
            assert_eq!(elements.position(), position, "{what}");
            assert_eq!(rest_of(elements.as_mut()).0, sample.elements[number..], "{what}, from {position}");
            // The elements that start before an end, wherever that is.
            for end in [position.saturating_sub(1), position, position + 1] {
                let mut elements = source.read(0, 0..end, Want::Whole).unwrap();
                let wanted: Vec<_> =
                    sample.elements.iter().filter(|element| element.0 < end).cloned().collect();
                assert_eq!(rest_of(elements.as_mut()).0, wanted, "{what}, up to {end}");
            }
        }
    });
}

#[test]
fn passing_over_elements_is_as_good_as_reading_them() {
    each_sample(|sample, _, source, what| {
        let count = sample.elements.len();
        for pattern in 0..1_usize << count {
            let mut elements = source.read(0, 0..u64::MAX, Want::Whole).unwrap();
            for (number, wanted) in sample.elements.iter().enumerate() {
                assert_eq!(elements.position(), wanted.0, "{what}");
                if pattern >> number & 1 == 1 {
                    assert!(elements.skip().unwrap(), "{what}");
                } else {
                    let element = elements.next().unwrap().unwrap();
                    assert_eq!(features_of(&element), wanted.1, "{what}");
                }
            }
            assert!(!elements.skip().unwrap() && elements.position() == sample.end, "{what}");
            // Compressed files start a thread each time: a few patterns will do.
            if !sample.plain && pattern == 5 {
                break;
            }
        }
    });
}

#[test]
fn the_next_element_is_found_from_any_byte() {
    each_sample(|sample, _, source, what| {
        if !source.seekable(0) {
            return;
        }
        let size = sample.end;
        for from in places(size) {
            // A record of the sample holds a whole record, after which no other one stands.
            // Where the ones before must be decoded, it is one from which reading begins.
            let mut starts = sample.elements.iter().map(|element| element.0);
            let wanted = starts.find(|start| *start >= from && source.entry(0, *start) == *start);
            assert_eq!(source.find_element(0, from..size).unwrap(), wanted, "{what}, from {from}");
            assert_eq!(source.find_element(0, from..from).unwrap(), None, "{what}, from {from}");
        }
    });
}

#[test]
fn a_cut_anywhere_is_told_with_its_byte() {
    each_sample(|sample, path, _, what| {
        // Of these there are tests of their own.
        if !sample.files.is_empty()
            || ["webdataset", "webdataset-raw", "arrow", "parquet"].contains(&sample.format)
        {
            return;
        }
        for cut in places(sample.bytes.len() as u64).skip(1) {
            let cut = usize::try_from(cut).unwrap();
            std::fs::write(path, &sample.bytes[..cut]).unwrap();
            let source = match Conversion::of([path]).from(sample.format).open() {
                Ok(source) => source,
                // A file that says how long it is is refused at once, and one that ends in an index.
                Err(error) if ["np", "array"].iter().any(|name| sample.format.starts_with(name)) => {
                    assert_eq!(error.kind(), ErrorKind::Input, "{what}, cut at {cut}: {error}");
                    assert_eq!(error.place().file.as_deref(), Some(path), "{what}, cut at {cut}: {error}");
                    continue;
                }
                Err(error) => panic!("{what}: cannot be opened: {error}"),
            };
            let mut elements = source.read(0, 0..u64::MAX, Want::Whole).unwrap();
            let (found, error) = rest_of(elements.as_mut());
            assert_eq!(found, sample.elements[..found.len()], "{what}, cut at {cut}");
            if sample.plain {
                let ends = sample.elements.iter().skip(1).map(|element| element.0).chain([sample.end]);
                assert_eq!(
                    found.len(),
                    ends.filter(|end| *end <= cut as u64).count(),
                    "{what}, cut at {cut}"
                );
            }
            let at = sample.elements.get(found.len()).map_or(sample.end, |element| element.0);
            if sample.plain && at == cut as u64 {
                assert!(error.is_none(), "{what}: a cut between elements cannot be seen");
                continue;
            }
            let Some(error) = error else {
                panic!("{what}, cut at {cut}: no error after {} elements", found.len())
            };
            assert_eq!(error.kind(), ErrorKind::Input, "{what}, cut at {cut}: {error}");
            assert_eq!(
                (error.place().file.as_deref(), error.place().byte),
                (Some(path), Some(at)),
                "{what}, cut at {cut}: {error}"
            );
            assert!(
                matches!(elements.next(), Ok(None)),
                "{what}, cut at {cut}: an end comes after the error"
            );
        }
    });
}

#[test]
fn parallel_is_serial() {
    let scratch = Scratch::new();
    let files: Vec<_> = samples()
        .iter()
        .filter(|sample| sample.format == "tfrecord")
        .enumerate()
        .flat_map(|(number, sample)| {
            (0..3).map(move |copy| (format!("part-{number}-{copy}"), sample.bytes.clone()))
        })
        .map(|(name, bytes)| scratch.file(&name, &bytes))
        .collect();
    let profile = |threads: usize| {
        serde_json::to_string(&Conversion::of(&files).threads(threads).scan().unwrap()).unwrap()
    };
    let serial = profile(1);
    for threads in [2, 3, 8] {
        assert_eq!(profile(threads), serial, "{threads} threads");
    }
}

/// A PNG of 3 x 5 pixels in grey, as far as its header tells, with so many bytes after it.
fn png_head(rest: u64) -> (Vec<u8>, u64) {
    let header = chunk("IHDR", b"\0\0\0\x05\0\0\0\x03\x08\0\0\0\0");
    let length = u32::try_from(rest).unwrap().to_be_bytes();
    let head = [b"\x89PNG\r\n\x1a\n", &header[..], &length, b"IDAT"].concat();
    let size = head.len() as u64 + rest;
    (head, size)
}

/// Files far larger than the memory there is: whoever reads them whole cannot.
#[test]
fn a_scan_reads_the_heads_of_images() {
    let scratch = Scratch::new();
    let (head, size) = png_head(1 << 30);
    std::fs::create_dir(scratch.at("photos")).unwrap();
    for name in ["a.png", "b.png"] {
        let _ = scratch.file(&format!("photos/{name}"), &head);
        File::options().write(true).open(scratch.at("photos").join(name)).unwrap().set_len(size).unwrap();
    }
    let conversion = Conversion::of([scratch.at("photos")]).memory(64 << 20).threads(1);
    let profile = conversion.scan().unwrap();
    let image = profile.feature("image").unwrap();
    assert_eq!((image.strings.total, profile.stored_bytes - 10), (2 * size, 2 * size), "with the names");
    assert_eq!(image.shapes().unwrap().largest, [3, 5, 1]);
    // Where the bytes themselves are wanted, they are read; and here they are too many.
    let error = conversion.feature("image: decode=none ragged").scan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources, "{error}");
}

#[test]
fn files_are_taken_in_the_order_of_the_inputs_and_of_their_names() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.at("dir")).unwrap();
    for (name, value) in [("dir/b", 1), ("dir/a", 0), ("dir/c", 2), ("x-2", 5), ("x-1", 4), ("first", 3)] {
        let _ = scratch.file(name, &numbered(value));
    }
    let values = |inputs: &[&str]| {
        let output = scratch.at("out");
        Conversion::of(inputs.iter().map(|input| scratch.at(input))).convert(&output).unwrap();
        let values = read_npy::<i64>(&output.join("x.npy")).into_raw_vec_and_offset().0;
        std::fs::remove_dir_all(&output).unwrap();
        values
    };
    assert_eq!(values(&["first", "dir", "x-*"]), [3, 0, 1, 2, 4, 5]);
    assert_eq!(values(&["x-2", "x-1", "x-2"]), [5, 4, 5]);
    assert_eq!(values(&["dir/[bc]"]), [1, 2]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Spans: a plain file of more than 32 MiB is scanned in pieces that begin where a record seems to start.

/// Writes records whose payloads hold these streams, one after another; gives the number of bytes.
fn write_records(path: &Path, payloads: &mut dyn Iterator<Item = (i64, &[u8])>) -> u64 {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut bytes = 0;
    for (number, payload) in payloads {
        let data = field(
            1,
            &[field(1, &entry(b"n", &integers(&[number]))), field(1, &entry(b"p", &strings(&[payload])))]
                .concat(),
        );
        file.write_all(&header(data.len() as u64)).unwrap();
        file.write_all(&data).unwrap();
        // The library's checksum, which other tests compare with another one: it is fast, and this is much.
        file.write_all(&masked_crc(&data).to_le_bytes()).unwrap();
        bytes += data.len() as u64 + 16;
    }
    file.flush().unwrap();
    bytes
}

/// A whole stream of records with other features, of about so many bytes.
fn inner_stream(bytes: usize) -> Vec<u8> {
    let one = record(&example(&[("inner", strings(&[&vec![1; 30_000]]))]));
    one.repeat(bytes / one.len())
}

#[test]
fn streams_inside_of_records_are_not_taken_for_records() {
    let scratch = Scratch::new();
    let input = scratch.at("data");
    let small = inner_stream(5 << 20);
    let size = write_records(&input, &mut (0..14).map(|number| (number, &small[..])));
    assert!(size > 68 << 20);
    for threads in [1, 3] {
        let conversion = Conversion::of([&input]).threads(threads).feature("n").feature("p: ragged");
        let profile = conversion.scan().unwrap();
        assert_eq!((profile.elements, profile.features.len()), (14, 2), "{threads} threads");
        assert_eq!(profile.feature("p").unwrap().strings.total, 14 * small.len() as u64);
    }
    let output = scratch.at("out");
    Conversion::of([&input]).feature("n").convert(&output).unwrap();
    assert_eq!(
        read_npy::<i64>(&output.join("n.npy")).into_raw_vec_and_offset().0,
        (0..14).collect::<Vec<_>>()
    );
}

#[test]
fn a_record_longer_than_a_span_is_one_record() {
    let scratch = Scratch::new();
    let input = scratch.at("data");
    let (large, small) = (inner_stream(66 << 20), numbered(1));
    let size = write_records(&input, &mut [(7, &small[..]), (8, &large[..]), (9, &small[..])].into_iter());
    assert!(size > 64 << 20);
    let output = scratch.at("out");
    let conversion = Conversion::of([&input]).threads(3).memory(4 << 30).feature("n");
    let manifest = conversion.convert(&output).unwrap();
    assert_eq!(manifest.elements, 3);
    assert_eq!(read_npy::<i64>(&output.join("n.npy")).into_raw_vec_and_offset().0, [7, 8, 9]);
    // With its data damaged it is one bad element, of which the rest of the file knows nothing.
    let file = File::options().write(true).open(&input).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"?", 40 << 20).unwrap();
    let profile = conversion.clone().skipping().scan().unwrap();
    assert_eq!((profile.elements, profile.skipped.len()), (2, 1));
    let error = conversion.scan().unwrap_err();
    assert!(error.to_string().contains("element 1, byte 71: "), "{error}");
}

/// A file with holes, that ends in a record which is cut, or whose length is wrong, before the end of a span.
fn with_a_cut_record(scratch: &Scratch, length: u64, size: u64) -> Conversion {
    let records: Vec<u8> = (0..3).flat_map(numbered).collect();
    let input = scratch.file("data", &[&records[..], &header(length)].concat());
    File::options().write(true).open(&input).unwrap().set_len(size).unwrap();
    Conversion::of([input])
}

#[test]
fn a_record_that_is_cut_in_another_span_is_told() {
    let scratch = Scratch::new();
    let size = (32 << 20) + 1000;
    let error = with_a_cut_record(&scratch, 40 << 20, size).scan().unwrap_err();
    let wanted = format!(
        "`data`, element 3, byte 90: the record is cut: it is said to have 41943040 bytes, but {} are left in the file",
        size - 106
    );
    assert_eq!(scratch.show(&error).lines().next().unwrap(), wanted);
}

#[test]
fn a_record_that_is_cut_in_another_span_is_listed_once() {
    let scratch = Scratch::new();
    for size in [(32 << 20) + 1000, (64 << 20) + 1000] {
        let profile = with_a_cut_record(&scratch, 80 << 20, size).skipping().scan().unwrap();
        assert_eq!((profile.elements, profile.skipped.len()), (3, 1), "{:?}", profile.skipped);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The index.

/// So many counters and parts that the index must be thinned: what is left of it still finds every part.
fn thinned(damaged: bool) -> lithify::Result<Vec<i64>> {
    let scratch = Scratch::new();
    let names: Vec<String> = (0..4000).map(|number| format!("x{number}")).collect();
    let wide: Vec<_> = [("x", integers(&[0]))]
        .into_iter()
        .chain(names.iter().map(|name| (name.as_str(), strings(&[b"ab"]))))
        .collect();
    let mut files = vec![scratch.file("part-000", &record(&example(&wide)))];
    for part in 1..280_i64 {
        let mut bytes = [numbered(part), numbered(part)].concat();
        if damaged && part % 2 == 1 {
            bytes[20] ^= 1;
        }
        files.push(scratch.file(&format!("part-{part:03}"), &bytes));
    }
    let conversion = Conversion::of(files).skipping();
    let profile = conversion.scan()?;
    let output = scratch.at("out");
    let request = Request { features: vec!["x".parse()?] };
    let planned = plan(
        &profile,
        &request,
        &machine(2, 1 << 30),
        &Target {
            output: output.clone(),
            layout: Layout::of(&output),
            on_error: OnError::Skip,
            io: conversion.io,
        },
    )?;
    let writing =
        lithify::write::WriteOptions { overwrite: false, restart: false, durable: None, progress: &() };
    lithify::write(conversion.open()?.as_ref(), &planned, &writing)?;
    Ok(read_npy::<i64>(&output.join("x.npy")).into_raw_vec_and_offset().0)
}

#[test]
fn a_thinned_index_finds_every_part() {
    let wanted: Vec<i64> = [0].into_iter().chain((1..280).flat_map(|part| [part, part])).collect();
    assert_eq!(thinned(false).unwrap(), wanted);
}

#[test]
fn a_thinned_index_finds_parts_whose_first_element_is_bad() {
    let wanted: Vec<i64> = [0]
        .into_iter()
        .chain((1..280).flat_map(|part| vec![part; if part % 2 == 1 { 1 } else { 2 }]))
        .collect();
    assert_eq!(thinned(true).unwrap(), wanted);
}
