use std::io::Write;

use super::*;
use crate::image::{Fault, ImageError};

fn chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(&name);
    bytes.extend_from_slice(content);
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &bytes[4..]);
    bytes.extend_from_slice(&u32::try_from(sum).unwrap().to_be_bytes());
    bytes
}

fn zlib(rows: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(rows).unwrap();
    encoder.finish().unwrap()
}

/// A PNG of `rows`, each with its filter, and of chunks before the data.
fn png(width: u32, height: u32, depth: u8, colour: u8, before: &[Vec<u8>], rows: &[u8]) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(chunk(*b"IHDR", &[&size[..], &[depth, colour, 0, 0, 0]].concat()));
    bytes.extend(before.concat());
    bytes.extend(chunk(*b"IDAT", &zlib(rows)));
    bytes.extend(chunk(*b"IEND", &[]));
    bytes
}

fn decode<T: Sample>(bytes: &[u8], channels: u8) -> Result<Vec<T>> {
    let mut out = Vec::new();
    Png::parse(bytes)?.decode(channels, &mut Work::default(), &mut out)?;
    Ok(out)
}

#[test]
fn every_filter_is_taken_off() {
    let rows = [
        [0, 10, 20, 30], // none
        [1, 1, 1, 1],    // left: 1 2 3
        [2, 1, 1, 1],    // above: 2 3 4
        [3, 1, 1, 1],    // mean of left and above: 1+1, 1+(2+3)/2, 1+(3+4)/2
        [4, 1, 1, 1],    // paeth
    ];
    let bytes = png(3, 5, 8, 0, &[], rows.as_flattened());
    let expected = [[10, 20, 30], [1, 2, 3], [2, 3, 4], [2, 3, 4], [3, 4, 5]];
    assert_eq!(decode::<u8>(&bytes, 1).unwrap(), expected.as_flattened());
}

#[test]
fn fewer_bits_are_scaled_and_16_are_cut_or_kept() {
    assert_eq!(decode::<u8>(&png(3, 1, 4, 0, &[], &[0, 0x1f, 0x70]), 1).unwrap(), [17, 255, 119]);
    let wide = png(2, 1, 16, 0, &[], &[0, 0x12, 0xff, 0x80, 0]);
    assert_eq!(decode::<u8>(&wide, 1).unwrap(), [0x12, 0x80]);
    assert_eq!(decode::<u16>(&wide, 1).unwrap(), [0x12ff, 0x8000]);
    assert_eq!(decode::<u16>(&png(1, 1, 8, 0, &[], &[0, 7]), 3).unwrap(), [7 * 257; 3]);
}

#[test]
fn a_palette_has_alpha_only_with_transparency_and_is_black_beyond_its_end() {
    let palette = chunk(*b"PLTE", &[1, 2, 3, 4, 5, 6]);
    let opaque = png(2, 1, 8, 3, std::slice::from_ref(&palette), &[0, 1, 9]);
    assert_eq!(Png::parse(&opaque).unwrap().channels(), 3);
    assert_eq!(decode::<u8>(&opaque, 3).unwrap(), [4, 5, 6, 0, 0, 0]);
    let clear = png(2, 1, 8, 3, &[palette.clone(), chunk(*b"tRNS", &[77])], &[0, 0, 1]);
    assert_eq!(Png::parse(&clear).unwrap().channels(), 4);
    assert_eq!(decode::<u8>(&clear, 4).unwrap(), [1, 2, 3, 77, 4, 5, 6, 255]);
    // Damaged, it does not count.
    let mut damaged = chunk(*b"tRNS", &[77]);
    damaged[8] = 78;
    assert_eq!(Png::parse(&png(2, 1, 8, 3, &[palette, damaged], &[0, 0, 1])).unwrap().channels(), 3);
}

#[test]
fn the_alpha_that_is_added_is_the_largest_stored_value() {
    assert_eq!(decode::<u8>(&png(1, 1, 2, 0, &[], &[0, 0x40]), 4).unwrap(), [85, 85, 85, 3]);
    assert_eq!(decode::<u8>(&png(1, 1, 8, 2, &[], &[0, 1, 2, 3]), 4).unwrap(), [1, 2, 3, 255]);
    let key = [chunk(*b"tRNS", &[0, 1, 0, 2, 0, 3])];
    assert_eq!(decode::<u8>(&png(1, 1, 8, 2, &key, &[0, 1, 2, 3]), 4).unwrap(), [1, 2, 3, 0]);
}

#[test]
fn grey_of_colours_is_weighed_as_libpng_does() {
    let red = [0, 255, 0, 0];
    assert_eq!(decode::<u8>(&png(1, 1, 8, 2, &[], &red), 1).unwrap(), [76]);
    let gamma = [chunk(*b"gAMA", &45_455_u32.to_be_bytes())];
    assert_eq!(decode::<u8>(&png(1, 1, 8, 2, &gamma, &red), 1).unwrap(), [147]);
    assert_eq!(decode::<u8>(&png(1, 1, 8, 2, &[chunk(*b"sRGB", &[0])], &red), 1).unwrap(), [147]);
    assert_eq!(decode::<u8>(&png(1, 1, 8, 2, &gamma, &[0, 9, 9, 9]), 1).unwrap(), [9]);
}

#[test]
fn a_cut_or_a_wrong_sum_is_an_error_that_names_the_byte() {
    let bytes = png(3, 2, 8, 0, &[], &[0, 1, 2, 3, 0, 4, 5, 6]);
    for cut in 8..bytes.len() {
        let error = decode::<u8>(&bytes[..cut], 1).expect_err("cut");
        assert!(matches!(error, ImageError { fault: Fault::Damaged, byte: Some(_), .. }), "{error}");
    }
    for at in 8..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(decode::<u8>(&damaged, 1).is_err(), "byte {at}");
    }
    let longer = [&bytes[..], b"garbage"].concat();
    assert_eq!(decode::<u8>(&longer, 1).unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn rows_may_be_more_than_needed_but_not_fewer() {
    assert!(decode::<u8>(&png(3, 2, 8, 0, &[], &[0, 1, 2, 3, 0, 4, 5]), 1).is_err());
    assert_eq!(decode::<u8>(&png(1, 1, 8, 0, &[], &[0, 9, 0, 0, 0, 0]), 1).unwrap(), [9]);
    // A header that claims what its data cannot hold is refused before there is memory for it.
    let error = decode::<u8>(&png(100_000, 100_000, 8, 0, &[], &[0]), 1).expect_err("a bomb");
    assert_eq!(error.fault, Fault::Damaged);
}
