//! `tf.image.resize`, bit for bit: images of any number of channels, resampled to another size.
//!
//! What a pixel is made of depends on the sizes only. A [`Resize`] holds it, and serves any number of images of the same
//! size:
//!
//! ```
//! use lithify::image::resize::{Method, Resize, Spec};
//!
//! # fn main() -> Result<(), lithify::image::Refused> {
//! let resize = Resize::new(Spec::new((1, 4), (1, 2), Method::Bilinear))?;
//! let mut scratch = Vec::new();
//! let mut out = [0.0; 2];
//! resize.run(&[10_u8, 20, 30, 60], 1, &mut out, &mut scratch)?;
//! assert_eq!(out, [15.0, 45.0]);
//! # Ok(())
//! # }
//! ```
//!
//! Images are `(height, width, channels)` in C order. The rules are those of TensorFlow 2.21, as the kernels on its CPU
//! compute them; where its Python states none (`antialias` with `nearest` and `area`), it is ignored here, too.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use self::kernel::Kernel;
pub use self::sample::{Output, Sample};
use self::taps::{Lerps, Taps, float, nearest};
use super::{Refused, Size};

mod kernel;
mod rows;
mod run;
mod sample;
mod taps;
#[cfg(test)]
mod tests;

/// How pixels are made of those of the source: `tf.image.ResizeMethod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are TensorFlow's")]
pub enum Method {
    Nearest,
    Bilinear,
    Bicubic,
    Area,
    Lanczos3,
    Lanczos5,
    Gaussian,
    MitchellCubic,
}

impl Method {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Nearest,
        Self::Bilinear,
        Self::Bicubic,
        Self::Area,
        Self::Lanczos3,
        Self::Lanczos5,
        Self::Gaussian,
        Self::MitchellCubic,
    ];

    /// The kernel of `ScaleAndTranslate`, where that is what TensorFlow calls.
    fn kernel(self, antialias: bool) -> Option<Kernel> {
        match self {
            Self::Bilinear if antialias => Some(Kernel::Triangle),
            Self::Bicubic if antialias => Some(Kernel::Keys),
            Self::Nearest | Self::Area | Self::Bilinear | Self::Bicubic => None,
            Self::Lanczos3 => Some(Kernel::Lanczos3),
            Self::Lanczos5 => Some(Kernel::Lanczos5),
            Self::Gaussian => Some(Kernel::Gaussian),
            Self::MitchellCubic => Some(Kernel::Mitchell),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::Area => "area",
            Self::Lanczos3 => "lanczos3",
            Self::Lanczos5 => "lanczos5",
            Self::Gaussian => "gaussian",
            Self::MitchellCubic => "mitchellcubic",
        })
    }
}

impl FromStr for Method {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        Self::ALL.into_iter().find(|method| method.to_string() == text).ok_or_else(|| {
            let known = Self::ALL.map(|method| format!("`{method}`")).join(", ");
            Refused(format!("`{text}` is no method to resize with: there are {known}"))
        })
    }
}

/// What a [`Resize`] is made for. Two that are equal do the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The size of the source.
    pub source: Size,
    /// The size it is resized to.
    pub size: Size,
    /// How.
    pub method: Method,
    /// Whether shrinking smooths: TensorFlow's `antialias`.
    pub antialias: bool,
    /// The rows of the resized image that are made.
    pub rows: Range<usize>,
    /// The columns of the resized image that are made.
    pub cols: Range<usize>,
}

impl Spec {
    /// The whole of an image, without antialiasing.
    #[must_use]
    pub fn new(source: Size, size: Size, method: Method) -> Self {
        Self { source, size, method, antialias: false, rows: 0..size.0, cols: 0..size.1 }
    }
}

/// A resize that is prepared for images of one size.
#[derive(Clone, Debug)]
pub struct Resize {
    spec: Spec,
    plan: Plan,
}

#[derive(Clone, Debug)]
enum Plan {
    /// Copies.
    Nearest { rows: Vec<usize>, cols: Vec<usize> },
    /// Between two columns, then between two rows.
    Bilinear { rows: Lerps, cols: Lerps },
    /// Sums of rows, then of columns, that start from this.
    Sums { rows: Taps, cols: Taps, start: f32 },
    /// Sums of columns, then of rows, that are multiplied by this.
    Area { rows: Taps, cols: Taps, factor: f32 },
}

/// What a sum starts from that has no start: adding it changes nothing, not even the sign of a zero.
const NO_START: f32 = -0.0;

impl Resize {
    /// Computes indices and weights: `O(height + width)`.
    ///
    /// # Errors
    /// A size is 0, or the window is empty or not within the resized image.
    pub fn new(spec: Spec) -> Result<Self, Refused> {
        let ((height, width), (to_height, to_width)) = (spec.source, spec.size);
        if [height, width, to_height, to_width].contains(&0) {
            return Err(Refused(format!(
                "an image of {height}x{width} cannot be resized to {to_height}x{to_width}: no side may be 0"
            )));
        }
        let (rows, cols) = (spec.rows.clone(), spec.cols.clone());
        if rows.is_empty() || cols.is_empty() || rows.end > to_height || cols.end > to_width {
            return Err(Refused(format!(
                "rows {rows:?} and columns {cols:?} are no window of an image of {to_height}x{to_width}"
            )));
        }
        let plan = match spec.method.kernel(spec.antialias) {
            Some(kernel) => Plan::Sums {
                rows: Taps::kernel(height, to_height, rows, kernel, spec.antialias),
                cols: Taps::kernel(width, to_width, cols, kernel, spec.antialias),
                start: 0.0,
            },
            None if spec.method == Method::Bicubic => Plan::Sums {
                rows: Taps::bicubic(height, to_height, rows),
                cols: Taps::bicubic(width, to_width, cols),
                start: NO_START,
            },
            None if spec.method == Method::Area => Plan::Area {
                rows: Taps::area(height, to_height, rows),
                cols: Taps::area(width, to_width, cols),
                factor: 1.0 / ((float(height) / float(to_height)) * (float(width) / float(to_width))),
            },
            // Bilinear to the same size is a copy.
            None if spec.method == Method::Bilinear && spec.source != spec.size => Plan::Bilinear {
                rows: Lerps::new(height, to_height, rows),
                cols: Lerps::new(width, to_width, cols),
            },
            None => {
                Plan::Nearest { rows: nearest(height, to_height, rows), cols: nearest(width, to_width, cols) }
            }
        };
        Ok(Self { spec, plan })
    }

    /// What it was made for.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Rows and columns of the output: those of the window.
    #[must_use]
    pub fn size(&self) -> Size {
        (self.spec.rows.len(), self.spec.cols.len())
    }

    /// Resizes an image into `out`, row after row.
    ///
    /// `source` is `(height, width, channels)` and `out` `(rows, columns, channels)` of the [window](Self::size), as f32
    /// or rounded to u8. What is in `scratch` does not matter; it grows to a few rows.
    ///
    /// # Errors
    /// `source` or `out` have another length than that.
    pub fn run<T: Sample, O: Output>(
        &self,
        source: &[T],
        channels: usize,
        out: &mut [O],
        scratch: &mut Vec<f32>,
    ) -> Result<(), Refused> {
        let stride = self.size().1.saturating_mul(channels);
        exactly("output", out.len(), [self.size().0, stride, 1])?;
        self.run_strided(source, channels, out, stride, scratch)
    }

    /// As [`run`](Self::run), but into a part of a larger image: `out` starts with the first sample that is written, and
    /// rows start every `stride` samples. What is between them stays as it is.
    ///
    /// # Errors
    /// `source` has another length than its size says, or `out` does not hold the rows.
    pub fn run_strided<T: Sample, O: Output>(
        &self,
        source: &[T],
        channels: usize,
        out: &mut [O],
        stride: usize,
        scratch: &mut Vec<f32>,
    ) -> Result<(), Refused> {
        self.check(source.len(), channels, out.len(), stride)?;
        let image = run::Image { samples: source, stride: self.spec.source.1 * channels, channels };
        let out = out.chunks_mut(stride);
        match &self.plan {
            Plan::Nearest { rows, cols } => run::nearest(&image, rows, cols, out),
            Plan::Bilinear { rows, cols } => run::bilinear(&image, rows.all(), cols, out, scratch),
            Plan::Sums { rows, cols, start } => run::sums(&image, rows, cols, *start, out, scratch),
            Plan::Area { rows, cols, factor } => run::area(&image, rows, cols, *factor, out, scratch),
        }
        Ok(())
    }

    /// Copies the nearest pixels of an image, of `pixel_bytes` bytes each, whatever their dtype: as TensorFlow, which
    /// keeps it here. With the same size for source and output, this is a crop.
    ///
    /// # Errors
    /// `source` or `out` have another length than their sizes say, or the method is another.
    pub fn run_nearest(&self, source: &[u8], pixel_bytes: usize, out: &mut [u8]) -> Result<(), Refused> {
        let stride = self.size().1.saturating_mul(pixel_bytes);
        exactly("output", out.len(), [self.size().0, stride, 1])?;
        self.run_nearest_strided(source, pixel_bytes, out, stride)
    }

    /// As [`run_nearest`](Self::run_nearest), but into a part of a larger image: see
    /// [`run_strided`](Self::run_strided). `stride` is in bytes.
    ///
    /// # Errors
    /// `source` has another length than its size says, `out` does not hold the rows, or the method is another.
    pub fn run_nearest_strided(
        &self,
        source: &[u8],
        pixel_bytes: usize,
        out: &mut [u8],
        stride: usize,
    ) -> Result<(), Refused> {
        self.check(source.len(), pixel_bytes, out.len(), stride)?;
        let Plan::Nearest { rows, cols } = &self.plan else {
            return Err(Refused(format!("`{}` makes numbers, it does not copy pixels", self.spec.method)));
        };
        let image =
            run::Image { samples: source, stride: self.spec.source.1 * pixel_bytes, channels: pixel_bytes };
        run::copy(&image, rows, cols, out.chunks_mut(stride));
        Ok(())
    }

    /// Checks lengths in samples; for copies, a sample is a byte.
    fn check(&self, source: usize, channels: usize, out: usize, stride: usize) -> Result<(), Refused> {
        let (rows, cols) = self.size();
        exactly("source", source, [self.spec.source.0, self.spec.source.1, channels])?;
        let width = cols.saturating_mul(channels);
        let least = stride.saturating_mul(rows - 1).saturating_add(width);
        if channels == 0 || stride < width || out < least {
            return Err(Refused(format!(
                "{rows} rows of {cols} pixels with {channels} channels do not fit {out} samples, {stride} for each row"
            )));
        }
        Ok(())
    }
}

fn exactly(what: &str, length: usize, shape: [usize; 3]) -> Result<(), Refused> {
    match shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size)) {
        Some(wanted) if wanted == length => Ok(()),
        _ => Err(Refused(format!("an {what} of shape {shape:?} does not have {length} samples"))),
    }
}
