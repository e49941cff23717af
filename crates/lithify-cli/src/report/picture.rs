//! Samples as pictures of a few pixels, and pictures as PNG.

use lithify::error::{Error, ErrorKind, Result};
use lithify::image::resize::{Method, Resize, Spec};

/// Height and width of a picture, at most.
pub const SIDE: usize = 96;

/// Pixels of three or one channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pixels: Vec<u8>,
}

impl Picture {
    /// The same, no larger than [`SIDE`].
    pub fn small(self) -> Self {
        let longest = self.height.max(self.width);
        if longest <= SIDE {
            return self;
        }
        let shrunk = |side: usize| (side * SIDE / longest).max(1);
        let size = (shrunk(self.height), shrunk(self.width));
        let mut pixels = vec![0; size.0 * size.1 * self.channels];
        let spec = Spec { antialias: true, ..Spec::new((self.height, self.width), size, Method::Bilinear) };
        let resized = Resize::new(spec)
            .and_then(|resize| resize.run(&self.pixels, self.channels, &mut pixels, &mut Vec::new()));
        if resized.is_err() { self } else { Self { height: size.0, width: size.1, pixels, ..self } }
    }

    /// The bytes of a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let failed = |e: png::EncodingError| Error::new(ErrorKind::Io, format!("cannot make a PNG: {e}"));
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(&mut bytes, side(self.width), side(self.height));
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_color(match self.channels {
            1 => png::ColorType::Grayscale,
            4 => png::ColorType::Rgba,
            _ => png::ColorType::Rgb,
        });
        encoder.add_text_chunk("Software".into(), "lithify".into()).map_err(failed)?;
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

/// The least and the greatest of the values that are finite, if any are.
pub fn limits(values: &[f64]) -> Option<(f64, f64)> {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    finite.fold(None, |limits, value| {
        let (low, high) = limits.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// Where the points of a line stand in a box: of many values the least and the greatest of each stretch. What is no number has none.
pub fn line_points(values: &[f64], width: f64, height: f64) -> Vec<(f64, f64)> {
    let Some((low, high)) = limits(values) else { return Vec::new() };
    let span = if high > low { high - low } else { 1.0 };
    let each = values.len().div_ceil(SIDE).max(1);
    let mut points = Vec::new();
    for (number, stretch) in values.chunks(each).enumerate() {
        let Some((least, most)) = limits(stretch) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "pixels")]
        let x = (number * each) as f64 / (values.len() - 1).max(1) as f64 * width + 1.0;
        let y = |value: f64| height - (value - low) / span * (height - 2.0);
        points.push((x, y(least)));
        if least < most {
            points.push((x, y(most)));
        }
    }
    points
}
