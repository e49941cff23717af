//! The frames of an animated `WebP`, put together as libwebp's `WebPAnimDecoder` does, which TensorFlow calls. The
//! decoder that reads the frames puts them together, too, with other rounding.

use super::{ImageError, Result, array, codes_of, decode_still, header, slice};
use crate::image::header::Header;

/// Where a frame lies, and what is done with it.
#[derive(Clone, Copy)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    /// Whether it is laid over what was there, where it is not opaque; else it takes its place.
    blends: bool,
    /// Whether it is cleared before the next one.
    is_cleared: bool,
}

impl Place {
    fn of(content: &[u8], at: usize) -> Result<Self> {
        let head: [u8; 16] = array(content, 0, "a frame's place")
            .map_err(|_| ImageError::damaged(at, "a frame is too short"))?;
        let three =
            |i: usize| usize::from(head[i]) | usize::from(head[i + 1]) << 8 | usize::from(head[i + 2]) << 16;
        Ok(Self {
            left: 2 * three(0),
            top: 2 * three(3),
            width: three(6) + 1,
            height: three(9) + 1,
            blends: head[15] & 2 == 0,
            is_cleared: head[15] & 1 != 0,
        })
    }

    fn holds(&self, x: usize, y: usize) -> bool {
        (self.left..self.left + self.width).contains(&x) && (self.top..self.top + self.height).contains(&y)
    }

    fn covers(&self, canvas: &Header) -> bool {
        self.width == canvas.width as usize && self.height == canvas.height as usize
    }
}

/// What decoding works with, kept between images.
#[derive(Default)]
pub(crate) struct Work {
    /// A frame as a file of its own.
    file: Vec<u8>,
    /// Its pixels.
    pixels: Vec<u8>,
    pub(super) colours: Vec<u8>,
}

/// Decodes the first `out.len() / canvas` frames, of red, green, blue and alpha.
///
/// # Errors
/// A frame is damaged.
pub(super) fn decode(bytes: &[u8], canvas: &Header, work: &mut Work, out: &mut [u8]) -> Result<()> {
    let (height, width) = (canvas.height as usize, canvas.width as usize);
    let mut at = 12;
    // The frame before, and whether it owed nothing to those before it.
    let mut before: Option<(Place, bool)> = None;
    let frames = out.len() / (height * width * 4);
    for number in 0..frames {
        let (start, content) = next_frame(bytes, &mut at)?;
        let place = Place::of(content, start)?;
        if place.left + place.width > width || place.top + place.height > height {
            return Err(ImageError::damaged(start, "a frame lies beyond the canvas"));
        }
        let file = wrap(content, &mut work.file, start)?;
        let inner = header(file).map_err(|e| ImageError { byte: Some(start as u64), ..e })?;
        if (inner.height as usize, inner.width as usize) != (place.height, place.width) || inner.animated {
            return Err(ImageError::damaged(start, "a frame has another size than it says"));
        }
        decode_still(file, &inner, &mut work.colours, &mut work.pixels)
            .map_err(|e| ImageError { byte: Some(start as u64), ..e })?;

        let stands_alone = match before {
            None => true,
            _ if (inner.channels == 3 || !place.blends) && place.covers(canvas) => true,
            Some((last, stood_alone)) => last.is_cleared && (last.covers(canvas) || stood_alone),
        };
        let (done, rest) = out.split_at_mut(number * height * width * 4);
        let this = &mut rest[..height * width * 4];
        if stands_alone {
            this.fill(0);
        } else {
            this.copy_from_slice(&done[(number - 1) * height * width * 4..]);
        }
        let cleared = before.map(|(last, _)| last).filter(|last| last.is_cleared && !stands_alone);
        if let Some(last) = cleared {
            for row in this.chunks_exact_mut(width * 4).skip(last.top).take(last.height) {
                row[last.left * 4..][..last.width * 4].fill(0);
            }
        }
        let channels = usize::from(inner.channels);
        let rows = work.pixels.chunks_exact(place.width * channels).take(place.height);
        for ((y, row), to) in (place.top..).zip(rows).zip(this.chunks_exact_mut(width * 4).skip(place.top)) {
            let to = to[place.left * 4..].as_chunks_mut::<4>().0;
            for ((x, pixel), to) in (place.left..).zip(row.chunks_exact(channels)).zip(to) {
                let over = match *pixel {
                    [red, green, blue, alpha] => [red, green, blue, alpha],
                    [red, green, blue] => [red, green, blue, 255],
                    _ => [0; 4],
                };
                // Over what was cleared there is nothing to blend with.
                let blends = place.blends && !stands_alone && !cleared.is_some_and(|last| last.holds(x, y));
                *to = if blends { blend(over, *to) } else { over };
            }
        }
        before = Some((place, stands_alone));
    }
    Ok(())
}

/// The next frame's chunk: where its content starts, and its content.
fn next_frame<'a>(bytes: &'a [u8], at: &mut usize) -> Result<(usize, &'a [u8])> {
    loop {
        let name: [u8; 4] = array(bytes, *at, "a frame")?;
        let length = u32::from_le_bytes(array(bytes, *at + 4, "a frame")?) as usize;
        let start = *at + 8;
        let content = slice(bytes, start, length, "a frame")?;
        *at = start + length + length % 2;
        if name == *b"ANMF" {
            return Ok((start, content));
        }
    }
}

/// What the codes in a frame's chunks take while it is decoded.
pub(super) fn codes(frame: &[u8]) -> u64 {
    let Ok(place) = Place::of(frame, 0) else { return 0 };
    let pixels = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let size = (pixels(place.height), pixels(place.width));
    let (mut at, mut taken) = (16, 0);
    while let (Ok(name), Ok(length)) = (array(frame, at, ""), array(frame, at + 4, "")) {
        let length = u32::from_le_bytes(length) as usize;
        let Ok(content) = slice(frame, at + 8, length, "") else { break };
        taken += codes_of(name, content, size);
        at += 8 + length + length % 2;
    }
    taken
}

/// Makes a file of a frame's chunks.
fn wrap<'a>(content: &[u8], file: &'a mut Vec<u8>, at: usize) -> Result<&'a [u8]> {
    let short = |_| ImageError::damaged(at, "a frame is too short");
    let [w1, w2, w3, h1, h2, h3]: [u8; 6] = array(content, 6, "a frame").map_err(short)?;
    let chunks = content.get(16..).unwrap_or_default();
    file.clear();
    file.try_reserve(chunks.len() + 30)
        .map_err(|e| ImageError::memory(format!("no memory for a frame: {e}")))?;
    let with_canvas = chunks.starts_with(b"ALPH");
    let length = u32::try_from(4 + chunks.len() + if with_canvas { 18 } else { 0 }).unwrap_or(u32::MAX);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(b"WEBP");
    if with_canvas {
        file.extend_from_slice(b"VP8X\x0a\0\0\0\x10\0\0\0");
        file.extend_from_slice(&[w1, w2, w3, h1, h2, h3]);
    }
    file.extend_from_slice(chunks);
    Ok(file)
}

/// Lays a pixel over another one (`BlendPixelNonPremult`).
fn blend(over: [u8; 4], under: [u8; 4]) -> [u8; 4] {
    let alpha = u32::from(over[3]);
    match alpha {
        255 => return over,
        0 => return under,
        _ => {}
    }
    // In proportion to alpha, rounded as libwebp does.
    let rest = (u32::from(under[3]) * (256 - alpha)) >> 8;
    let both = alpha + rest;
    let scale = (1 << 24) / both;
    let mix = |i: usize| {
        let sum = u32::from(over[i]) * alpha + u32::from(under[i]) * rest;
        (sum.wrapping_mul(scale) >> 24).to_le_bytes()[0]
    };
    [mix(0), mix(1), mix(2), both.to_le_bytes()[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_laid_over_each_other_as_libwebp_does() {
        assert_eq!(blend([26, 0, 255, 255], [1, 2, 3, 255]), [26, 0, 255, 255]);
        assert_eq!(blend([9, 9, 9, 0], [1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(blend([100, 0, 200, 128], [0, 100, 200, 255]), [50, 49, 199, 255]);
    }
}
