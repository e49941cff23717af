//! How libpng makes grey of colours (`png_do_rgb_to_gray`), with the weights that TensorFlow gives it: 0.299 and 0.587.

use super::encoding::{Encoding, is_significant};
use crate::image::{Result, room};

/// How much of each colour is in grey, in 32,768ths.
const WEIGHTS: [u32; 3] = [9797, 19_234, 3737];

/// How grey is made of red, green and blue.
#[derive(Clone, Copy)]
pub(super) enum Weigh<'a> {
    /// As the samples are.
    Plain,
    /// By the light that they stand for: an image that says how it was encoded.
    Light(&'a Tables),
}

/// Tables from encoded samples to light, and back (`png_build_gamma_table`).
#[derive(Default)]
pub(super) struct Tables {
    made_for: Option<Key>,
    /// Of samples of 8 bits.
    light8: Vec<u8>,
    encoded8: Vec<u8>,
    /// Of samples of 16 bits, by their upper ones: the lower `shift` are dropped first.
    shift: u8,
    light16: Vec<u16>,
    encoded16: Vec<u16>,
    /// What becomes of a pixel that is grey already.
    grey16: Vec<u16>,
}

/// What tables depend on: the exponent, bits of a stored sample, of a wanted one, and significant ones.
type Key = (u32, u8, u8, u8);

impl Tables {
    /// How grey is made of colours with samples of `stored` bits, to be given with `wanted`.
    ///
    /// # Errors
    /// There is no memory for the tables.
    pub(super) fn weigh(&mut self, encoding: Encoding, stored: u8, wanted: u8) -> Result<Weigh<'_>> {
        let light =
            |gamma: &u32| is_significant((*gamma).into()) || is_significant(reciprocal(*gamma).into());
        let Some(gamma) = encoding.gamma.filter(light) else { return Ok(Weigh::Plain) };
        let key = (gamma, stored, wanted, encoding.bits);
        if self.made_for != Some(key) {
            self.made_for = None;
            // The exponent of the screen is taken to be the inverse, so that nothing but grey changes.
            let screen = reciprocal(gamma);
            if stored == 16 {
                self.make16(gamma, screen, wanted, encoding.bits)?;
            } else {
                make8(screen, room(&mut self.light8, 256)?);
                make8(reciprocal(screen), room(&mut self.encoded8, 256)?);
            }
            self.made_for = Some(key);
        }
        Ok(Weigh::Light(self))
    }

    fn make16(&mut self, gamma: u32, screen: u32, wanted: u8, significant: u8) -> Result<()> {
        /// `PNG_MAX_GAMMA_8`: so many bits are kept where 8 are wanted.
        const KEPT_OF_8: u8 = 11;
        let insignificant = if (1..16).contains(&significant) { 16 - significant } else { 0 };
        let dropped = if wanted == 8 { insignificant.max(16 - KEPT_OF_8) } else { insignificant };
        self.shift = dropped.min(8);
        let count = 1 << (16 - self.shift);
        make16(screen, self.shift, room(&mut self.light16, count)?);
        make16(reciprocal(screen), self.shift, room(&mut self.encoded16, count)?);
        let grey = room(&mut self.grey16, count)?;
        if wanted == 8 {
            make16_to_8(product(gamma, screen), grey);
        } else {
            let exponent = (1e15 / f64::from(gamma) / f64::from(screen) + 0.5).floor();
            make16(whole(exponent), self.shift, grey);
        }
        Ok(())
    }

    fn index(&self, sample: u16) -> usize {
        usize::from(sample >> self.shift)
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
                let light = rgb.map(|sample| u32::from(tables.light8[usize::from(sample)]));
                tables.encoded8[usize::from(low8((weighted(light) + 16_384) >> 15))]
            }
        }
    }

    /// Grey of a pixel of 16 bits.
    pub(super) fn of16(self, rgb: [u16; 3]) -> u16 {
        let [red, green, blue] = rgb;
        let is_grey = red == green && red == blue;
        match self {
            Self::Plain if is_grey => red,
            Self::Plain => low16((weighted(rgb.map(u32::from)) + 16_384) >> 15),
            Self::Light(tables) if is_grey => tables.grey16[tables.index(red)],
            Self::Light(tables) => {
                let light = rgb.map(|sample| u32::from(tables.light16[tables.index(sample)]));
                tables.encoded16[tables.index(low16((weighted(light) + 16_384) >> 15))]
            }
        }
    }
}

fn weighted(rgb: [u32; 3]) -> u32 {
    rgb.iter().zip(WEIGHTS).map(|(sample, weight)| sample * weight).sum()
}

/// `png_reciprocal`.
fn reciprocal(gamma: u32) -> u32 {
    let value = (1e10 / f64::from(gamma) + 0.5).floor();
    // What does not fit is an overflow there, and 0.
    if value <= f64::from(i32::MAX) { whole(value) } else { 0 }
}

/// `png_product2`.
fn product(a: u32, b: u32) -> u32 {
    whole((f64::from(a) * 1e-5 * f64::from(b) + 0.5).floor())
}

/// A part of 1 to the power of an exponent in 100,000ths.
fn power(part: f64, exponent: u32) -> f64 {
    part.powf(f64::from(exponent) * 0.00001)
}

/// `png_build_8bit_table`.
fn make8(exponent: u32, table: &mut [u8]) {
    for (sample, to) in (0_u8..=255).zip(table) {
        *to = sample;
        if is_significant(exponent.into()) && !matches!(sample, 0 | 255) {
            *to = low8(whole((255. * power(f64::from(sample) / 255., exponent) + 0.5).floor()));
        }
    }
}

/// `png_build_16bit_table`.
fn make16(exponent: u32, shift: u8, table: &mut [u16]) {
    let most = (1_u32 << (16 - shift)) - 1;
    let scale = 1. / f64::from(most);
    for (sample, to) in (0..=most).zip(table) {
        *to = low16(if is_significant(exponent.into()) {
            whole((65_535. * power(f64::from(sample) * scale, exponent) + 0.5).floor())
        } else if shift == 0 {
            sample
        } else {
            (sample * 65_535 + (1 << (15 - shift))) / most
        });
    }
}

/// `png_build_16to8_table`: the 8 bits that each sample becomes, as 16 bits.
fn make16_to_8(exponent: u32, table: &mut [u16]) {
    let most = u32::try_from(table.len() - 1).unwrap_or(u32::MAX);
    let mut start = 0;
    for given in 0..255_u16 {
        let middle = f64::from(given * 257 + 128);
        let bound = whole((65_535. * power(middle / 65_535., exponent) + 0.5).floor());
        let stop = ((bound * most + 32_768) / 65_535 + 1) as usize;
        if let Some(samples) = table.get_mut(start..stop) {
            samples.fill(given * 257);
            start = stop;
        }
    }
    table[start..].fill(u16::MAX);
}

fn low8(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

fn low16(value: u32) -> u16 {
    let [low, high, ..] = value.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole, and within 0 and 2^31"
)]
fn whole(value: f64) -> u32 {
    value as u32
}
