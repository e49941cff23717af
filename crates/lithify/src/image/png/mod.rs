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
        let raw = self.inflate(&mut work.inflater, &mut work.raw, length)?;
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
mod tests;
