//! Arrow and Parquet files with any byte changed, cut anywhere, and made to hurt: they are read to their end, or what is wrong
//! is told.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::{ArrayRef, FixedSizeListArray, RecordBatch};
use arrow_schema::{DataType, Field};
use lithify::error::ErrorKind;
use lithify::source::{Options, Want};
use lithify_tests::memory::largest;
use lithify_tests::tables::{arrow, batch, parquet, stream};
use lithify_tests::{Conversion, Scratch, read_npy, varint};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::MOST_AT_ONCE;
use crate::formats::{changed, read_all};

/// Files of the same seven rows, and the format that each is of.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let batches = [batch(0..4), batch(4..7)];
    let plain = WriterProperties::builder().set_dictionary_enabled(false).build();
    let second = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::SNAPPY)
        .set_column_encoding("x".into(), Encoding::DELTA_BINARY_PACKED)
        .build();
    vec![
        ("arrow", stream(&batches)),
        ("arrow", arrow(&batches)),
        ("parquet", parquet(&batches, WriterProperties::default())),
        ("parquet", parquet(&batches, plain)),
        ("parquet", parquet(&batches, second)),
        ("parquet", parquet(&batches, by_lengths(WriterVersion::PARQUET_1_0))),
        ("parquet", parquet(&batches, by_lengths(WriterVersion::PARQUET_2_0))),
    ]
}

/// Texts by their lengths, and these by differences: in one part, and in two.
fn by_lengths(version: WriterVersion) -> WriterProperties {
    WriterProperties::builder()
        .set_writer_version(version)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_column_encoding("t".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_column_encoding(
            vec!["s".to_owned(), "list".to_owned(), "item".to_owned()].into(),
            Encoding::DELTA_BYTE_ARRAY,
        )
        .build()
}

#[test]
fn a_table_of_which_a_byte_is_changed() {
    let scratch = Scratch::new();
    for (format, bytes) in files() {
        assert_eq!(read_all(&scratch.file("data", &bytes), Some(format)), Some(7));
        changed(&bytes, |bytes| {
            let _ = read_all(&scratch.file("data", bytes), Some(format));
        });
    }
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}

#[test]
fn a_table_that_is_cut() {
    let scratch = Scratch::new();
    for (number, (format, bytes)) in files().into_iter().enumerate() {
        for cut in 1..bytes.len() {
            let found = read_all(&scratch.file("data", &bytes[..cut]), Some(format));
            match number {
                // A stream has what came before: whole batches.
                0 => assert!(matches!(found, None | Some(0 | 4 | 7)), "cut at {cut}: {found:?}"),
                _ => assert_eq!(found, None, "cut at {cut}"),
            }
        }
    }
}

/// Of a stream that is cut, what came before is kept where that is allowed.
#[test]
fn what_comes_before_a_cut_is_kept() {
    let scratch = Scratch::new();
    let bytes = stream(&[batch(0..4), batch(4..7)]);
    let path = scratch.file("data", &bytes[..bytes.len() - 100]);
    let conversion = Conversion::of([&path]).feature("x");
    let error = conversion.scan().unwrap_err();
    assert_eq!((error.kind(), error.place().element), (ErrorKind::Input, Some(4)), "{error}");
    let manifest = conversion.skipping().convert(&scratch.at("out")).unwrap();
    assert_eq!((manifest.elements, manifest.skipped.len()), (4, 1));
    assert_eq!(read_npy::<i16>(&scratch.at("out/x.npy")).into_raw_vec_and_offset().0, [-2, -1, 0, 1]);
}

/// A page whose header claims other sizes than it has.
#[test]
fn a_page_that_lies_of_its_sizes() {
    let scratch = Scratch::new();
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW] {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let whole = parquet(&[batch(0..7)], properties);
        // A page starts with its type, a data page or a dictionary, and the size of what it holds.
        let pages = (4..whole.len())
            .filter(|at| whole[*at] == 0x15 && [0, 4].contains(&whole[at + 1]) && whole[at + 2] == 0x15);
        for page in pages {
            for claim in [1_u64 << 20, 1 << 30, (1 << 31) - 1] {
                let size = varint(claim << 1);
                let rest = &whole[page + 3..];
                let length = rest.iter().position(|byte| *byte < 0x80).unwrap() + 1;
                let mut lie = [&whole[..page + 3], &size, &rest[length..]].concat();
                // The footer says where pages are: those before keep their places.
                let _ = read_all(&scratch.file("data", &lie), Some("parquet"));
                lie.truncate(whole.len());
                let _ = read_all(&scratch.file("data", &lie), Some("parquet"));
            }
        }
    }
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}

/// Where the crate would make room for all the lengths that a page claims.
#[test]
fn a_page_that_lies_of_how_many_lengths_it_has() {
    let scratch = Scratch::new();
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let whole = parquet(&[batch(0..7)], by_lengths(version));
        // Blocks of 128 numbers, in 4 parts.
        let heads: Vec<_> =
            (4..whole.len() - 8).filter(|at| whole[*at..].starts_with(&[0x80, 1, 4])).collect();
        // Of the lengths of the first, and of both parts of the other.
        assert_eq!(heads.len(), 3);
        for head in heads {
            for claim in [&[0xff, 0xff, 0xff, 0xff, 0x7f][..], &[0xff, 0xff, 0x7f], &[8]] {
                let mut lie = whole.clone();
                lie[head + 3..][..claim.len()].copy_from_slice(claim);
                assert_eq!(read_all(&scratch.file("data", &lie), Some("parquet")), Some(0), "{claim:?}");
            }
        }
    }
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}

/// Where the crate would fill up each of them.
#[test]
fn null_lists_of_a_fixed_length_are_not_filled() {
    let scratch = Scratch::new();
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let nulls = FixedSizeListArray::new_null(item, 1 << 18, 2);
    let batch = RecordBatch::try_from_iter_with_nullable([("x", Arc::new(nulls) as ArrayRef, true)]).unwrap();
    let file = parquet(&[batch], WriterProperties::default());
    assert!(file.len() < 2000);
    assert_eq!(read_all(&scratch.file("data", &file), Some("parquet")), None);
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}

/// Lists that lie together are decoded together, however few values a row has elsewhere.
#[test]
fn long_lists_among_short_ones_are_not_decoded_together() {
    let scratch = Scratch::new();
    let mut lists = ListBuilder::new(Int32Builder::new());
    for row in 0..20_000 {
        lists.append_value(std::iter::repeat_n(Some(7), if row / 64 == 99 { 16_000 } else { 0 }));
    }
    let batch = RecordBatch::try_from_iter([("x", Arc::new(lists.finish()) as ArrayRef)]).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let file = scratch.file("data", &parquet(&[batch], properties));
    assert_eq!(read_all(&file, Some("parquet")), Some(20_000));
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}

/// Lists of values that take no bytes may be as long as a footer says, and there may be many.
#[test]
fn a_footer_of_endless_lists_is_not_counted() {
    let scratch = Scratch::new();
    let whole = parquet(&[batch(0..7)], WriterProperties::default());
    let footer = whole.len() - 8;
    let length = usize::try_from(u32::from_le_bytes(whole[footer..][..4].try_into().unwrap())).unwrap();
    // A field 100 further on, which nobody knows: a list of 2^31 - 1 truths.
    let field = [&[0x09][..], &varint(2 * 100), &[0xf1], &varint((1 << 31) - 1)].concat();
    let end = [&whole[footer - length..footer - 1], &field.repeat(200)[..], &[0]].concat();
    let size = u32::try_from(end.len()).unwrap().to_le_bytes();
    let lie = [&whole[..footer - length], &end, &size, b"PAR1"].concat();
    let start = Instant::now();
    assert_eq!(read_all(&scratch.file("data", &lie), Some("parquet")), None);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

/// The same in the header of a page.
#[test]
fn a_page_of_endless_lists_is_not_counted() {
    let scratch = Scratch::new();
    let mut lie = parquet(&[batch(0..7)], WriterProperties::default());
    // A field that nobody knows: 2^31 - 1 lists of as many floats.
    let many = varint((1 << 31) - 1);
    let field = [&[0x09][..], &varint(2 * 100), &[0xf9], &many, &[0xf7], &many].concat();
    lie[4..4 + field.len()].copy_from_slice(&field);
    let start = Instant::now();
    assert_eq!(read_all(&scratch.file("data", &lie), Some("parquet")), Some(0));
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

/// The crate skips lists without an end where it is said that there are more than there are. So what was not read once, from the start of
/// its group, is not read from the midst of it.
#[test]
fn lists_are_read_from_the_start_of_their_group() {
    let scratch = Scratch::new();
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let file = scratch.file("data.parquet", &parquet(&[batch(0..7)], groups));
    let source = lithify::open(&[file], None, &Options::default()).unwrap();
    let end = source.parts()[0].bytes;
    let found = |from: u64| source.find_element(0, from..end).unwrap();
    let second = found(1).unwrap();
    assert_eq!((found(0), found(second), found(second * 2 + 1)), (Some(0), Some(second), None));
    let mut elements = source.read(0, second..end, Want::Whole).unwrap();
    let mut rest = 0;
    while elements.next().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 4);
}

/// A batch that says that it has more rows than bytes.
#[test]
fn rows_that_are_not_there_are_not_read_for_ever() {
    let scratch = Scratch::new();
    let mut numbers = Int32Builder::new();
    (0..5_000).for_each(|number| numbers.append_value(number));
    let numbers = RecordBatch::try_from_iter([("x", Arc::new(numbers.finish()) as ArrayRef)]).unwrap();
    let mut lie = stream(&[numbers]);
    assert_eq!(read_all(&scratch.file("data", &lie), Some("arrow")), Some(5_000));
    let (rows, claim) = (5_000_i64.to_le_bytes(), (1_i64 << 44).to_le_bytes());
    for at in 0..lie.len() - 8 {
        if lie[at..at + 8] == rows {
            lie[at..at + 8].copy_from_slice(&claim);
        }
    }
    let error = Conversion::of([scratch.file("data", &lie)]).skipping().scan().unwrap_err();
    assert!(error.to_string().contains("says that it has 17592186044416 rows"), "{error}");
}

/// Files that fuzzers have found, and others that are known to be bad.
#[test]
fn files_that_are_known_to_be_bad() {
    let Ok(data) = std::env::var("LITHIFY_TEST_DATA") else { return };
    for (directory, format) in
        [("arrow/arrow-ipc-file", "arrow"), ("arrow/arrow-ipc-stream", "arrow"), ("parquet", "parquet")]
    {
        let directory = std::path::Path::new(&data).join("bad").join(directory);
        let mut found = 0;
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let rows = read_all(&path, Some(format));
            assert!(rows.is_none_or(|rows| rows < 100_000), "{}: {rows:?}", path.display());
            found += 1;
        }
        assert!(found > 3, "{}", directory.display());
    }
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}
