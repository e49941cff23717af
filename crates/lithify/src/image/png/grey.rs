//! How libpng makes grey of colours (`png_do_rgb_to_gray`), with the weights that TensorFlow gives it: 0.299 and 0.587.

use super::chunks::{Colour, Png};
use crate::image::{ImageError, Result};

/// How much of each colour is in grey, in 32,768ths.
const WEIGHTS: [u32; 3] = [9797, 19_234, 3737];

/// How grey is made of red, green and blue.
#[derive(Clone, Copy)]
pub(super) enum Weigh<'a> {
    /// As the samples are.
    Plain,
    /// By the light that they stand for: an image of 8 bits that says how it was encoded.
    Light(&'a Tables),
}

/// Tables from encoded samples to light, and back, for the exponent that they were made for.
pub(super) struct Tables {
    gamma: u32,
    light: [u8; 256],
    encoded: [u8; 256],
}

impl Default for Tables {
    fn default() -> Self {
        Self { gamma: 0, light: [0; 256], encoded: [0; 256] }
    }
}

impl Tables {
    /// How grey is made of this image.
    ///
    /// # Errors
    /// Grey is wanted of colours of 16 bits that say how they were encoded: libpng's tables for that are coarser than the
    /// samples, and are not rebuilt here.
    pub(super) fn weights(&mut self, png: &Png<'_>, channels: usize) -> Result<Weigh<'_>> {
        let colours = !matches!(png.colour, Colour::Grey | Colour::GreyAlpha);
        let Some(gamma) = png.gamma.filter(|gamma| channels == 1 && colours && matters(*gamma)) else {
            return Ok(Weigh::Plain);
        };
        if png.depth == 16 {
            return Err(ImageError::request(
                "grey cannot be made of a PNG with colours of 16 bits and a gamma: ask for 3 channels",
            ));
        }
        if self.gamma != gamma {
            self.gamma = gamma;
            self.light = table(reciprocal(gamma));
            self.encoded = table(reciprocal(reciprocal(gamma)));
        }
        Ok(Weigh::Light(self))
    }
}

impl Weigh<'_> {
    /// Grey of a pixel of 8 bits.
    pub(super) fn of8(self, rgb: [u8; 3]) -> u8 {
        let [red, green, blue] = rgb;
        if red == green && red == blue {
            return red;
        }
        match self {
            Self::Plain => low8(weighted(rgb.map(u32::from)) >> 15),
            Self::Light(tables) => {
                let light = rgb.map(|sample| u32::from(tables.light[usize::from(sample)]));
                tables.encoded[usize::from(low8((weighted(light) + 16_384) >> 15))]
            }
        }
    }
}

/// Grey of a pixel of 16 bits.
pub(super) fn of16(rgb: [u16; 3]) -> u16 {
    let [red, green, blue] = rgb;
    if red == green && red == blue {
        return red;
    }
    let [low, high, ..] = ((weighted(rgb.map(u32::from)) + 16_384) >> 15).to_le_bytes();
    u16::from_le_bytes([low, high])
}

fn weighted(rgb: [u32; 3]) -> u32 {
    rgb.iter().zip(WEIGHTS).map(|(sample, weight)| sample * weight).sum()
}

fn low8(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

/// Whether an exponent in 100,000ths is so far from 1 that libpng applies it (`png_gamma_significant`).
pub(super) fn is_significant(gamma: u64) -> bool {
    !(95_000..=105_000).contains(&gamma)
}

/// Whether an image with this exponent is weighed by light: it, or its reciprocal, is significant.
fn matters(gamma: u32) -> bool {
    is_significant(gamma.into()) || is_significant(reciprocal(gamma).into())
}

/// `png_reciprocal`.
fn reciprocal(gamma: u32) -> u32 {
    let value = (1e10 / f64::from(gamma) + 0.5).floor();
    // What does not fit is an overflow there, and 0.
    if value <= f64::from(i32::MAX) { whole(value) } else { 0 }
}

/// `png_build_8bit_table`.
fn table(exponent: u32) -> [u8; 256] {
    std::array::from_fn(|i| {
        let sample = u8::try_from(i).unwrap_or(u8::MAX);
        if !is_significant(exponent.into()) || matches!(sample, 0 | 255) {
            return sample;
        }
        let value = (f64::from(sample) / 255.).powf(f64::from(exponent) * 0.00001);
        low8(whole((255. * value + 0.5).floor()))
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole, and within 0 and 2^31"
)]
fn whole(value: f64) -> u32 {
    value as u32
}
