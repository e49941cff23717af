//! PNG, as TensorFlow reads it (`png_io.cc`) by libpng 1.6.
//!
//! What is an error and what is passed over follows libpng: a checksum must be right in the chunks that are needed, and
//! the others may be damaged; the last must be there; compressed data must fill all rows, and may go on.

mod chunks;
mod encoding;
mod grey;
mod rows;
mod samples;

use flate2::Decompress;

use super::header::{Format, Header};
use super::{Result, room};
use chunks::Colour;
use grey::Weigh;
use rows::Pass;

pub(super) use chunks::Png;
pub(super) use samples::Sample;

/// What decoding works with, kept between images.
pub(super) struct Work {
    inflater: Decompress,
    /// For data that lie in one piece: half as long, since it need not be able to stop anywhere.
    whole: libdeflater::Decompressor,
    /// The rows as they are after decompression: of all passes, each row after the byte that names its filter.
    raw: Vec<u8>,
    /// A row of a pass, in bytes or in 16 bits.
    line8: Vec<u8>,
    line16: Vec<u16>,
    grey: grey::Tables,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            inflater: Decompress::new(true),
            whole: libdeflater::Decompressor::new(),
            raw: Vec::new(),
            line8: Vec::new(),
            line16: Vec::new(),
            grey: grey::Tables::default(),
        }
    }
}

impl Png<'_> {
    pub(super) fn header(&self) -> Header {
        let line = u64::from(self.width) * 8;
        let raw = self.passes().map(|pass| pass.length as u64).sum::<u64>();
        Header {
            bits: if self.depth == 16 { 16 } else { 8 },
            ..Header::still(Format::Png, (self.height, self.width), self.channels(), raw + line + (1 << 20))
        }
    }

    /// Decodes to (height, width, channels), in 8 or 16 bits.
    ///
    /// # Errors
    /// The image is damaged or cut, or there is no memory for it.
    pub(super) fn decode<T: Sample>(&self, channels: u8, work: &mut Work, out: &mut Vec<T>) -> Result<()> {
        let length = self.passes().map(|pass| pass.length).sum();
        let raw = self.inflate((&mut work.inflater, &mut work.whole), &mut work.raw, length)?;
        let (width, channels) = (self.width as usize, usize::from(channels));
        let out = room(out, self.height as usize * width * channels)?;
        let weigh = match self.colour {
            Colour::Grey | Colour::GreyAlpha => Weigh::Plain,
            _ if channels > 1 => Weigh::Plain,
            _ => work.grey.weigh(self.encoding(&mut work.inflater), self.depth, T::BITS)?,
        };
        let colours = self.colours();
        let mut rest = raw;
        for pass in self.passes() {
            let (this, after) = rest.split_at_mut(pass.length);
            rest = after;
            rows::unfilter(this, pass.stride, self.pixel_bytes())?;
            for (number, row) in this.chunks_exact(pass.stride).enumerate() {
                let to = &mut out[(pass.top + number * pass.down) * width * channels..][..width * channels];
                if pass.across == 1 {
                    self.expand(&row[1..], channels, weigh, &colours, to);
                } else {
                    let line = room(T::line(&mut work.line8, &mut work.line16), pass.width * channels)?;
                    self.expand(&row[1..], channels, weigh, &colours, line);
                    scatter(line, &pass, channels, to);
                }
            }
        }
        Ok(())
    }
}

/// Puts a row of a pass to its places in the row of the image.
fn scatter<T: Sample>(line: &[T], pass: &Pass, channels: usize, to: &mut [T]) {
    let places = to[pass.left * channels..].chunks_mut(pass.across * channels);
    for (place, pixel) in places.zip(line.chunks_exact(channels)) {
        place[..channels].copy_from_slice(pixel);
    }
}

#[cfg(test)]
mod tests {
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
}
