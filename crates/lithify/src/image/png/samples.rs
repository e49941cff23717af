//! From stored samples to those that were asked for: `CommonInitDecode` of TensorFlow's `png_io.cc`, and what libpng does
//! by it.

use super::chunks::{Colour, Png};
use super::grey::Weigh;

/// A sample that a PNG can be decoded to.
pub(crate) trait Sample: Copy + Default {
    /// How many bits it has.
    const BITS: u8;
    /// A sample of 8 bits: `v`, or `v * 257`.
    fn of8(value: u8) -> Self;
    /// A sample of 16 bits: its high byte, or `v`.
    fn of16(value: u16) -> Self;
    /// The one of two buffers that holds such samples.
    fn line<'a>(line8: &'a mut Vec<u8>, line16: &'a mut Vec<u16>) -> &'a mut Vec<Self>;
    /// Gives `row`, of samples of 8 bits, unchanged; false if it cannot.
    fn copy8(row: &[u8], out: &mut [Self]) -> bool;
}

impl Sample for u8 {
    const BITS: u8 = 8;

    fn of8(value: u8) -> Self {
        value
    }

    fn of16(value: u16) -> Self {
        value.to_be_bytes()[0]
    }

    fn line<'a>(line8: &'a mut Vec<u8>, _: &'a mut Vec<u16>) -> &'a mut Vec<Self> {
        line8
    }

    fn copy8(row: &[u8], out: &mut [Self]) -> bool {
        out.copy_from_slice(row);
        true
    }
}

impl Sample for u16 {
    const BITS: u8 = 16;

    fn of8(value: u8) -> Self {
        Self::from(value) * 257
    }

    fn of16(value: u16) -> Self {
        value
    }

    fn line<'a>(_: &'a mut Vec<u8>, line16: &'a mut Vec<u16>) -> &'a mut Vec<Self> {
        line16
    }

    fn copy8(_: &[u8], _: &mut [Self]) -> bool {
        false
    }
}

impl Png<'_> {
    /// Samples of a pixel where none are asked for: those of the colour type, and of a palette 3, or 4 with `tRNS`. In grey
    /// and in colours, `tRNS` counts only where alpha is asked for.
    pub(super) fn channels(&self) -> u8 {
        match self.colour {
            Colour::Grey => 1,
            Colour::GreyAlpha => 2,
            Colour::Palette if self.transparent.is_none() => 3,
            Colour::Rgb => 3,
            Colour::Palette | Colour::Rgba => 4,
        }
    }

    /// Gives a row's pixels with so many channels: 1, 2 (of grey with alpha only), 3 or 4. `colours` are its own.
    pub(super) fn expand<T: Sample>(
        &self,
        row: &[u8],
        channels: usize,
        weigh: Weigh<'_>,
        colours: &[[u8; 4]],
        out: &mut [T],
    ) {
        let as_stored =
            self.depth == 8 && self.colour != Colour::Palette && channels == self.stored_channels();
        if as_stored && T::copy8(row, out) {
            return;
        }
        let pixels = out.chunks_exact_mut(channels);
        match (self.colour, self.depth) {
            (Colour::Palette, _) => {
                let colour = |i| colours.get(self.index(row, i)).copied().unwrap_or_default();
                pixels.enumerate().for_each(|(i, pixel)| give8(pixel, colour(i), weigh));
            }
            (Colour::Grey, 1..8) => {
                let key = self.key().map(|[key, ..]| self.full(key.to_be_bytes()[1] & self.most()));
                for (i, pixel) in pixels.enumerate() {
                    let grey = self.full(u8::try_from(self.index(row, i)).unwrap_or(0));
                    let alpha = self.alpha(key.map(|key| key == grey));
                    give8(pixel, [grey, grey, grey, alpha], weigh);
                }
            }
            (Colour::Grey, 8) => {
                let key = self.key().map(|[key, ..]| key.to_be_bytes()[1]);
                for (pixel, grey) in pixels.zip(row) {
                    let alpha = self.alpha(key.map(|key| key == *grey));
                    give8(pixel, [*grey, *grey, *grey, alpha], weigh);
                }
            }
            (Colour::Rgb, 8) => {
                let key = self.key().map(|key| key.map(|sample| sample.to_be_bytes()[1]));
                for (pixel, rgb) in pixels.zip(row.as_chunks::<3>().0) {
                    let [red, green, blue] = *rgb;
                    give8(pixel, [red, green, blue, self.alpha(key.map(|key| key == *rgb))], weigh);
                }
            }
            (Colour::GreyAlpha, 8) => {
                let stored = row.as_chunks::<2>().0;
                pixels
                    .zip(stored)
                    .for_each(|(to, [grey, alpha])| give8(to, [*grey, *grey, *grey, *alpha], weigh));
            }
            (Colour::Rgba, 8) => {
                pixels.zip(row.as_chunks::<4>().0).for_each(|(pixel, rgba)| give8(pixel, *rgba, weigh));
            }
            (colour, _) => {
                let key = self.key();
                let samples = row.as_chunks::<2>().0;
                for (pixel, stored) in pixels.zip(samples.chunks_exact(self.stored_channels())) {
                    let sample = |i: usize| stored.get(i).map_or(0, |bytes| u16::from_be_bytes(*bytes));
                    let rgb = match colour {
                        Colour::Rgb | Colour::Rgba => [sample(0), sample(1), sample(2)],
                        _ => [sample(0); 3],
                    };
                    let alpha = match colour {
                        Colour::GreyAlpha => sample(1),
                        Colour::Rgba => sample(3),
                        _ if key == Some(rgb) => 0,
                        _ => u16::MAX,
                    };
                    give16(pixel, rgb, alpha, weigh);
                }
            }
        }
    }

    /// The palette's colours with their alpha, black beyond its end; none where there is no palette.
    pub(super) fn colours(&self) -> Vec<[u8; 4]> {
        if self.colour != Colour::Palette {
            return Vec::new();
        }
        let mut colours = vec![[0, 0, 0, self.alpha(None)]; 1 << self.depth];
        for (colour, [red, green, blue]) in colours.iter_mut().zip(self.palette) {
            *colour = [*red, *green, *blue, colour[3]];
        }
        if let Some(alphas) = self.transparent {
            // Those that it does not name are opaque.
            let alphas = alphas.iter().chain(std::iter::repeat(&255));
            colours.iter_mut().zip(alphas).for_each(|(colour, alpha)| colour[3] = *alpha);
        }
        colours
    }

    /// The grey or colour that `tRNS` makes transparent; a grey one three times.
    fn key(&self) -> Option<[u16; 3]> {
        match (self.colour, self.transparent?) {
            (Colour::Grey, [a, b]) => Some([u16::from_be_bytes([*a, *b]); 3]),
            (Colour::Rgb, rgb) => {
                let sample = |i| rgb.as_chunks::<2>().0.get(i).copied().map_or(0, u16::from_be_bytes);
                Some([sample(0), sample(1), sample(2)])
            }
            _ => None,
        }
    }

    /// The alpha of a pixel that is the transparent one, or is not, or of all where none is. TensorFlow then asks libpng
    /// for the largest value of as many bits as are stored, which for fewer than 8 is not opaque.
    fn alpha(&self, is_key: Option<bool>) -> u8 {
        match is_key {
            Some(true) => 0,
            Some(false) => 255,
            None => self.most(),
        }
    }

    /// The largest value of a stored sample, of 8 bits at most.
    fn most(&self) -> u8 {
        u8::MAX >> (8 - self.depth.min(8))
    }

    /// A grey of fewer than 8 bits on the scale of 8.
    fn full(&self, grey: u8) -> u8 {
        grey * (u8::MAX / self.most())
    }

    /// The `i`th sample of a row of samples of at most 8 bits.
    fn index(&self, row: &[u8], i: usize) -> usize {
        let bit = i * usize::from(self.depth);
        let shift = 8 - usize::from(self.depth) - bit % 8;
        usize::from(row.get(bit / 8).copied().unwrap_or(0) >> shift & self.most())
    }
}

fn give8<T: Sample>(pixel: &mut [T], rgba: [u8; 4], weigh: Weigh<'_>) {
    let [red, green, blue, alpha] = rgba;
    match pixel {
        [grey] => *grey = T::of8(weigh.of8([red, green, blue])),
        [grey, last] => (*grey, *last) = (T::of8(red), T::of8(alpha)),
        _ => pixel.iter_mut().zip(rgba).for_each(|(to, sample)| *to = T::of8(sample)),
    }
}

fn give16<T: Sample>(pixel: &mut [T], [red, green, blue]: [u16; 3], alpha: u16, weigh: Weigh<'_>) {
    match pixel {
        [grey] => *grey = T::of16(weigh.of16([red, green, blue])),
        [grey, last] => (*grey, *last) = (T::of16(red), T::of16(alpha)),
        _ => {
            pixel.iter_mut().zip([red, green, blue, alpha]).for_each(|(to, sample)| *to = T::of16(sample));
        }
    }
}
