//! The rows of a PNG: of which passes they are, and the filters that were put on them before they were compressed.

use super::chunks::{Colour, Png};
use crate::image::{ImageError, Result};

/// A part of an image's pixels, whose rows come together: all, or one of the seven of an interlaced image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The first row and column, and the steps to the next ones.
    pub top: usize,
    pub left: usize,
    pub down: usize,
    pub across: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Bytes of a row, with the one that names the filter.
    pub stride: usize,
    /// Bytes of all rows.
    pub length: usize,
}

impl Png<'_> {
    /// The passes that have pixels.
    pub(super) fn passes(&self) -> impl Iterator<Item = Pass> + use<> {
        /// Adam7: first row and column, steps down and across.
        const PASSES: [[usize; 4]; 7] = [
            [0, 0, 8, 8],
            [0, 4, 8, 8],
            [4, 0, 8, 4],
            [0, 2, 4, 4],
            [2, 0, 4, 2],
            [0, 1, 2, 2],
            [1, 0, 2, 1],
        ];
        let passes = if self.interlaced { &PASSES[..] } else { &[[0, 0, 1, 1]][..] };
        let (height, width) = (self.height as usize, self.width as usize);
        let bits = self.stored_channels() * usize::from(self.depth);
        passes.iter().filter_map(move |[top, left, down, across]| {
            let rows = height.saturating_sub(*top).div_ceil(*down);
            let width = width.saturating_sub(*left).div_ceil(*across);
            let stride = 1 + (width * bits).div_ceil(8);
            (rows > 0 && width > 0).then_some(Pass {
                top: *top,
                left: *left,
                down: *down,
                across: *across,
                width,
                stride,
                length: rows * stride,
            })
        })
    }

    /// Samples of a pixel as they are stored.
    pub(super) fn stored_channels(&self) -> usize {
        match self.colour {
            Colour::Grey | Colour::Palette => 1,
            Colour::GreyAlpha => 2,
            Colour::Rgb => 3,
            Colour::Rgba => 4,
        }
    }

    /// So far back, in bytes, filters look for the pixel to the left.
    pub(super) fn pixel_bytes(&self) -> usize {
        (self.stored_channels() * usize::from(self.depth)).div_ceil(8)
    }
}

/// Takes the filters off the rows of a pass. `pixel` is how many bytes a pixel has, at least 1.
///
/// # Errors
/// A row has a filter that is none.
pub(super) fn unfilter(rows: &mut [u8], stride: usize, pixel: usize) -> Result<()> {
    match pixel {
        1 => unfilter_rows::<1>(rows, stride),
        2 => unfilter_rows::<2>(rows, stride),
        3 => unfilter_rows::<3>(rows, stride),
        4 => unfilter_rows::<4>(rows, stride),
        6 => unfilter_rows::<6>(rows, stride),
        _ => unfilter_rows::<8>(rows, stride),
    }
}

fn unfilter_rows<const N: usize>(rows: &mut [u8], stride: usize) -> Result<()> {
    let mut above: &[u8] = &[];
    for row in rows.chunks_exact_mut(stride) {
        let Some((filter, row)) = row.split_first_mut() else { continue };
        // The row above the first is all zeros, which leaves half of the filters without effect.
        match (*filter, above.is_empty()) {
            (0, _) | (2, true) => {}
            (1, _) | (4, true) => add_left::<N>(row),
            (2, false) => add_above(row, above),
            (3, true) => add_half_of_left::<N>(row),
            (3, false) => add_mean::<N>(row, above),
            (4, false) => add_paeth::<N>(row, above),
            (filter, _) => {
                return Err(ImageError {
                    byte: None,
                    ..ImageError::damaged(0, format!("a row has the filter {filter}, and there are 5"))
                });
            }
        }
        above = row;
    }
    Ok(())
}

fn add_left<const N: usize>(row: &mut [u8]) {
    let mut left = [0; N];
    for pixel in row.as_chunks_mut::<N>().0 {
        for (byte, left) in pixel.iter_mut().zip(&mut left) {
            *byte = byte.wrapping_add(*left);
            *left = *byte;
        }
    }
}

fn add_above(row: &mut [u8], above: &[u8]) {
    row.iter_mut().zip(above).for_each(|(byte, above)| *byte = byte.wrapping_add(*above));
}

fn add_half_of_left<const N: usize>(row: &mut [u8]) {
    let mut left = [0; N];
    for pixel in row.as_chunks_mut::<N>().0 {
        for (byte, left) in pixel.iter_mut().zip(&mut left) {
            *byte = byte.wrapping_add(*left / 2);
            *left = *byte;
        }
    }
}

fn add_mean<const N: usize>(row: &mut [u8], above: &[u8]) {
    let mut left = [0_u8; N];
    for (pixel, above) in row.as_chunks_mut::<N>().0.iter_mut().zip(above.as_chunks::<N>().0) {
        for i in 0..N {
            // The mean, rounded down, without a wider type.
            let mean = (left[i] & above[i]) + ((left[i] ^ above[i]) >> 1);
            pixel[i] = pixel[i].wrapping_add(mean);
            left[i] = pixel[i];
        }
    }
}

/// Adds the neighbour that is nearest to left + above - corner; of equals, the left one, then the one above.
///
/// It is the smaller of left and above where the corner is nearer to the larger one's far side, the larger likewise, and
/// else the corner: comparisons without branches, which a compiler makes vectors of.
fn add_paeth<const N: usize>(row: &mut [u8], above: &[u8]) {
    let (mut left, mut corner) = ([0_i16; N], [0_i16; N]);
    for (pixel, above) in row.as_chunks_mut::<N>().0.iter_mut().zip(above.as_chunks::<N>().0) {
        for i in 0..N {
            let above = i16::from(above[i]);
            let (low, high) = (left[i].min(above), left[i].max(above));
            let middle = 3 * corner[i] - (left[i] + above);
            let nearest = if high <= middle { low } else { corner[i] };
            let nearest = if middle <= low { high } else { nearest };
            let byte = pixel[i].wrapping_add(nearest.to_le_bytes()[0]);
            // Kept one by one: read back from the pixel, all would have to wait until it is stored.
            (pixel[i], left[i], corner[i]) = (byte, i16::from(byte), above);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_neighbour_is_that_of_the_standard() {
        for (left, above, corner) in (0..=255_u8)
            .flat_map(|a| (0..=255).step_by(3).map(move |b| (a, b)))
            .flat_map(|(a, b)| (0..=255).step_by(5).map(move |c| (a, b, c)))
        {
            let (a, b, c) = (i32::from(left), i32::from(above), i32::from(corner));
            let guess = a + b - c;
            let (to_a, to_b, to_c) = ((guess - a).abs(), (guess - b).abs(), (guess - c).abs());
            let expected = match () {
                () if to_a <= to_b && to_a <= to_c => left,
                () if to_b <= to_c => above,
                () => corner,
            };
            // The first pixel's neighbours are zeros and what is above it: with it, `left` is made of `corner` above.
            let mut row = [left.wrapping_sub(corner), 0];
            add_paeth::<1>(&mut row, &[corner, above]);
            assert_eq!(row, [left, expected], "{left} {above} {corner}");
        }
    }
}
