//! The kernels of TensorFlow's `ScaleAndTranslate`: how much a pixel counts, by its distance.
//!
//! Constants and order of operations are those of `tensorflow/core/kernels/image/sampling_kernels.h`, so that every
//! weight has the same bits.

/// A kernel, as a function of the distance in pixels of the output (of the source, where nothing is smoothed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Bilinear.
    Triangle,
    /// Bicubic, a = -1/2.
    Keys,
    /// Bicubic of Mitchell and Netravali, B = C = 1/3.
    Mitchell,
    /// With σ = 1/2.
    Gaussian,
    /// A windowed sine.
    Lanczos3,
    /// A windowed sine, wider.
    Lanczos5,
}

impl Kernel {
    /// The distance from which on pixels do not count.
    pub(super) fn radius(self) -> f32 {
        match self {
            Self::Triangle => 1.0,
            Self::Gaussian => 1.5,
            Self::Keys | Self::Mitchell => 2.0,
            Self::Lanczos3 => 3.0,
            Self::Lanczos5 => 5.0,
        }
    }

    /// The weight at distance `x`, which is not negative.
    pub(super) fn at(self, x: f32) -> f32 {
        match self {
            Self::Triangle if x < 1.0 => 1.0 - x,
            Self::Keys if x < 1.0 => ((1.5 * x - 2.5) * x) * x + 1.0,
            Self::Keys if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Mitchell if x < 1.0 => ((7.0 / 6.0 * x - 2.0) * x) * x + 16.0 / 18.0,
            Self::Mitchell if x < 2.0 => ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0,
            Self::Gaussian if x < 1.5 => gaussian(x),
            Self::Lanczos3 | Self::Lanczos5 => lanczos(x, self.radius()),
            Self::Triangle | Self::Keys | Self::Mitchell | Self::Gaussian => 0.0,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the kernel computes in f32, but for the exponential")]
fn gaussian(x: f32) -> f32 {
    (f64::from(-x * x) / 0.5).exp() as f32
}

/// The sine is the platform's: with glibc the bits are TensorFlow's, with a correctly rounded sine one weight in twenty
/// differs in its last bit.
fn lanczos(x: f32, radius: f32) -> f32 {
    use std::f32::consts::PI;
    if x > radius {
        0.0
    } else if f64::from(x) <= 1e-3 {
        1.0
    } else {
        radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * PI * x * x)
    }
}
