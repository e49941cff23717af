//! Where the pixels of a source come to lie in an output: sizes, crops and padding. No pixel is looked at.

use serde::{Deserialize, Serialize};

use super::resize::{Method, Spec};
use super::{Refused, Size};

/// How an image of any size becomes one of a size that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Geometry {
    /// Resized to this size, whatever becomes of its proportions: `tf.image.resize`.
    Exact(Size),
    /// Resized to the largest size that fits this one and keeps the proportions:
    /// `tf.image.resize(preserve_aspect_ratio=True)`.
    KeepAspect(Size),
    /// Resized as it fits, in the middle, between rows or columns of zeros: `tf.image.resize_with_pad`.
    ResizeWithPad(Size),
    /// Not resampled: its middle, or in the middle between zeros, on each axis by itself:
    /// `tf.image.resize_with_crop_or_pad`.
    CropOrPad(Size),
    /// Not resampled: this part of both sides, from the middle: `tf.image.central_crop`. From 0, exclusive, to 1.
    CentralCrop(f64),
    /// Resized so that its shorter side has this size, then the middle of it: the transform with which classifiers are
    /// evaluated. TensorFlow has none; sizes and rounding are those of torchvision's `Resize(shorter)` and
    /// `CenterCrop(crop)`, with zeros around what is smaller than the crop.
    ShorterSide {
        /// What the shorter side becomes.
        shorter: usize,
        /// The size of the middle that is kept; all where there is none.
        crop: Option<Size>,
    },
    /// Not resampled: at the top left, with zeros below and to the right.
    PadTo(Size),
}

/// Where a source comes to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The size to which the source is resized; its own, where it is not resampled.
    pub resized: Size,
    /// The first row and column of the resized image that are kept.
    pub first: Size,
    /// How many rows and columns are kept.
    pub kept: Size,
    /// The row and column of the output where they start.
    pub at: Size,
    /// The size of the output. What is not covered is 0.
    pub output: Size,
}

/// A placement along one axis.
struct Axis {
    resized: usize,
    first: usize,
    kept: usize,
    at: usize,
    output: usize,
}

impl Geometry {
    /// Whether pixels are computed, and not just copied. A size that stays the same is resampled, too: with some
    /// methods, as in TensorFlow, that smooths.
    #[must_use]
    pub fn resamples(&self) -> bool {
        match self {
            Self::Exact(_) | Self::KeepAspect(_) | Self::ResizeWithPad(_) | Self::ShorterSide { .. } => true,
            Self::CropOrPad(_) | Self::CentralCrop(_) | Self::PadTo(_) => false,
        }
    }

    /// Where a source of this size comes to lie.
    ///
    /// # Errors
    /// A side is 0 or becomes 0, the part to keep is none, or the source is larger than what it is padded to.
    pub fn place(&self, source: Size) -> Result<Placement, Refused> {
        let [rows, cols] = self.axes(source)?;
        let placement = Placement {
            resized: (rows.resized, cols.resized),
            first: (rows.first, cols.first),
            kept: (rows.kept, cols.kept),
            at: (rows.at, cols.at),
            output: (rows.output, cols.output),
        };
        let sides = [source, placement.resized, placement.kept, placement.output];
        if sides.iter().any(|size| size.0 == 0 || size.1 == 0) {
            let ((height, width), (to_height, to_width)) = (source, placement.kept);
            return Err(Refused(format!(
                "an image of {height}x{width} would become one of {to_height}x{to_width}: no side may be 0"
            )));
        }
        Ok(placement)
    }

    fn axes(&self, (height, width): Size) -> Result<[Axis; 2], Refused> {
        Ok(match *self {
            _ if height == 0 || width == 0 => [whole(height), whole(width)],
            Self::Exact((rows, cols)) => [whole(rows), whole(cols)],
            Self::KeepAspect((rows, cols)) => {
                let scale = (float(rows) / float(height)).min(float(cols) / float(width));
                [height, width].map(|side| whole(count((scale * float(side)).round_ties_even())))
            }
            Self::ResizeWithPad((rows, cols)) => {
                let ratio = (float(width) / float(cols)).max(float(height) / float(rows));
                [(height, rows), (width, cols)].map(|(side, output)| {
                    let exact = float(side) / ratio;
                    let resized = count(exact.floor());
                    // From the side before it was rounded, and never less than 0: so does TensorFlow.
                    let at = count(((float(output) - exact) / 2.0).floor());
                    Axis { resized, first: 0, kept: resized, at, output }
                })
            }
            Self::CropOrPad((rows, cols)) => {
                [(height, rows), (width, cols)].map(|(side, output)| middle(side, output, |spare| spare / 2))
            }
            Self::CentralCrop(fraction) => {
                if !(fraction > 0.0 && fraction <= 1.0) {
                    return Err(Refused(format!(
                        "a part of {fraction} cannot be kept: it must be in (0, 1]"
                    )));
                }
                [height, width].map(|side| central(side, fraction))
            }
            Self::ShorterSide { shorter, crop } => {
                let short = height.min(width);
                let resized = [height, width].map(|side| scaled(shorter, side, short));
                let (rows, cols) = crop.unwrap_or((resized[0], resized[1]));
                [middle(resized[0], rows, half_to_even), middle(resized[1], cols, half_to_even)]
            }
            Self::PadTo((rows, cols)) => {
                if height > rows || width > cols {
                    return Err(Refused(format!(
                        "an image of {height}x{width} is larger than the {rows}x{cols} it is to be padded to"
                    )));
                }
                [(height, rows), (width, cols)].map(|(side, output)| Axis {
                    resized: side,
                    first: 0,
                    kept: side,
                    at: 0,
                    output,
                })
            }
        })
    }
}

impl Placement {
    /// The resize that makes the part that is kept: of `source`, which was [placed](Geometry::place) here. A geometry
    /// that does not resample copies, whatever the method.
    #[must_use]
    pub fn spec(&self, geometry: &Geometry, source: Size, method: Method, antialias: bool) -> Spec {
        Spec {
            source,
            size: self.resized,
            method: if geometry.resamples() { method } else { Method::Nearest },
            antialias: antialias && geometry.resamples(),
            rows: self.first.0..self.first.0 + self.kept.0,
            cols: self.first.1..self.first.1 + self.kept.1,
        }
    }
}

fn whole(side: usize) -> Axis {
    Axis { resized: side, first: 0, kept: side, at: 0, output: side }
}

/// The middle of a side that is too long; in the middle, if it is too short: then half of what is missing, rounded down,
/// is before it. `half` says how much of what is too much is before the crop.
fn middle(side: usize, output: usize, half: impl Fn(usize) -> usize) -> Axis {
    let first = side.checked_sub(output).map_or(0, half);
    Axis { resized: side, first, kept: side.min(output), at: output.saturating_sub(side) / 2, output }
}

/// Python's `round(spare / 2)`.
fn half_to_even(spare: usize) -> usize {
    let half = spare / 2;
    if spare.is_multiple_of(2) { half } else { half + half % 2 }
}

/// Python's `int(shorter * side / short)`; for the short side, `shorter`. Saturates.
fn scaled(shorter: usize, side: usize, short: usize) -> usize {
    let exact = shorter as u128 * side as u128 / short as u128;
    usize::try_from(exact).unwrap_or(usize::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "this is `int((side - side * fraction) / 2)` in f64, and not negative"
)]
fn central(side: usize, fraction: f64) -> Axis {
    let exact = side as f64;
    let first = ((exact - exact * fraction) / 2.0) as usize;
    let kept = side.saturating_sub(2 * first);
    Axis { resized: side, first, kept, at: 0, output: kept }
}

#[expect(clippy::cast_precision_loss, reason = "TensorFlow computes sizes in f32")]
fn float(side: usize) -> f32 {
    side as f32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is negative becomes 0")]
fn count(side: f32) -> usize {
    side as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(geometry: Geometry, source: Size) -> Placement {
        geometry.place(source).unwrap()
    }

    #[test]
    fn evaluation_transforms_are_those_of_torchvision() {
        // Resize(256) makes 256x341 of 375x500; CenterCrop(224) starts at round(16.0) and round(58.5) = 58.
        let standard = Geometry::ShorterSide { shorter: 256, crop: Some((224, 224)) };
        let placed = place(standard, (375, 500));
        assert_eq!((placed.resized, placed.first, placed.kept), ((256, 341), (16, 58), (224, 224)));
        // round(0.5) = 0, round(1.5) = 2.
        let crop = Geometry::ShorterSide { shorter: 5, crop: Some((4, 2)) };
        assert_eq!(place(crop, (5, 5)).first, (0, 2));
        // A crop that is larger than the image: one row of three that are missing is above.
        let padded = place(Geometry::ShorterSide { shorter: 4, crop: Some((7, 3)) }, (4, 8));
        assert_eq!((padded.first, padded.kept, padded.at, padded.output), ((0, 2), (4, 3), (1, 0), (7, 3)));
        let all = place(Geometry::ShorterSide { shorter: 2, crop: None }, (9, 4));
        assert_eq!((all.resized, all.output), ((4, 2), (4, 2)));
    }

    // The expected values were made with TensorFlow 2.21.
    #[test]
    fn the_others_are_those_of_tensorflow() {
        assert_eq!(place(Geometry::KeepAspect((10, 20)), (3, 5)).output, (10, 17));
        let padded = place(Geometry::ResizeWithPad((30, 40)), (7, 5));
        assert_eq!((padded.resized, padded.at, padded.output), ((30, 21), (0, 9), (30, 40)));
        let placed = place(Geometry::CropOrPad((4, 8)), (7, 5));
        assert_eq!((placed.first, placed.kept, placed.at), ((1, 0), (4, 5), (0, 1)));
        let cropped = place(Geometry::CentralCrop(0.5), (7, 10));
        assert_eq!((cropped.first, cropped.output), ((1, 2), (5, 6)));
        let corner = place(Geometry::PadTo((4, 8)), (3, 8));
        assert_eq!((corner.kept, corner.at, corner.output), ((3, 8), (0, 0), (4, 8)));
    }

    #[test]
    fn a_crop_copies_whatever_the_method() {
        let geometry = Geometry::CropOrPad((1, 2));
        let spec = place(geometry, (3, 4)).spec(&geometry, (3, 4), Method::Gaussian, true);
        assert_eq!(spec, Spec { rows: 1..2, cols: 1..3, ..Spec::new((3, 4), (3, 4), Method::Nearest) });
    }

    #[test]
    fn what_leaves_no_image_is_refused() {
        let refused = [
            (Geometry::Exact((0, 4)), (3, 3)),
            (Geometry::Exact((4, 4)), (0, 3)),
            (Geometry::KeepAspect((10, 10)), (1, 100)),
            (Geometry::ResizeWithPad((10, 10)), (1, 100)),
            (Geometry::ResizeWithPad((0, 10)), (3, 3)),
            (Geometry::CropOrPad((0, 1)), (3, 3)),
            (Geometry::CentralCrop(0.0), (3, 3)),
            (Geometry::CentralCrop(f64::NAN), (3, 3)),
            (Geometry::ShorterSide { shorter: 0, crop: None }, (3, 3)),
            (Geometry::PadTo((3, 2)), (3, 3)),
        ];
        for (geometry, source) in refused {
            assert!(geometry.place(source).is_err(), "{geometry:?}");
        }
    }
}
