//! An element of a feature as something to look at: a picture, a line, or a text.

use lithify::image::{self, DecodeOptions, Samples, Scratch};
use lithify::look::{Number, Sample, Values, numbers};
use lithify::plan::Role;
use lithify::value::DType;
use lithify::write::manifest::{ArrayRecord, Manifest};

use super::picture::{Picture, limits};

/// Values that are shown as text, at most, and letters.
const SHOWN_VALUES: usize = 24;
const SHOWN_LETTERS: usize = 160;

/// Bytes that an image may take to be decoded.
const DECODED: u64 = 256 << 20;

/// The greatest value of bytes that are taken to be shades of fewer than 256.
const FEW_SHADES: u8 = 63;

/// What an element looks like.
pub enum Tile {
    Picture(Picture),
    Line(Vec<f64>),
    Text(String),
}

/// How an element of a feature is shown: numbers that are sounds as lines, and those that are classes with their names.
pub fn of(sample: &Sample, feature: &str, manifest: &Manifest) -> Tile {
    let (dtype, bytes) = match &sample.values {
        Values::Strings(strings) => {
            if let [one] = &strings[..]
                && let Some(picture) = decoded(one)
            {
                return Tile::Picture(picture.small());
            }
            let shown: Vec<_> = strings.iter().take(SHOWN_VALUES).map(|string| readable(string)).collect();
            return Tile::Text(cut(&shown.join(", ")));
        }
        Values::Numbers(dtype, bytes) => (*dtype, bytes),
    };
    if let Some(picture) = picture(&sample.shape, dtype, bytes) {
        return Tile::Picture(picture.small());
    }
    let has_rates = |array: &ArrayRecord| array.feature == feature && array.role == Role::Rates;
    let sound = manifest.rates.contains_key(feature) || manifest.arrays.iter().any(has_rates);
    let long = sample.shape.iter().product::<u64>() >= 8;
    if long && (sound || !dtype.is_integer()) {
        return Tile::Line(numbers(dtype, bytes).map(float).collect());
    }
    let classes = manifest.classes.get(feature);
    let mut values = numbers(dtype, bytes);
    let mut shown: Vec<String> =
        values.by_ref().take(SHOWN_VALUES).map(|value| named(value, classes)).collect();
    if values.next().is_some() {
        shown.push("…".into());
    }
    Tile::Text(if shown.is_empty() { "nothing".into() } else { shown.join(" ") })
}

/// What an encoded image shows, if it is one that can be decoded.
fn decoded(bytes: &[u8]) -> Option<Picture> {
    image::Format::of(bytes)?;
    let options = DecodeOptions { channels: Some(3), limit: DECODED, ..DecodeOptions::default() };
    let mut scratch = Scratch::default();
    let image = image::decode(bytes, &options, &mut scratch).ok()?;
    let Samples::U8(pixels) = image.samples else { return None };
    let side = |side: u32| usize::try_from(side).ok();
    let (height, width) = (side(image.shape.height)?, side(image.shape.width)?);
    Some(Picture { height, width, channels: image.shape.channels.into(), pixels: pixels.to_vec() })
}

fn named(value: Number, classes: Option<&Vec<String>>) -> String {
    let name = match value {
        Number::Int(class) => usize::try_from(class).ok().and_then(|class| classes?.get(class)),
        Number::Float(_) => None,
    };
    name.map_or_else(|| show(value), |name| format!("{} ({name})", show(value)))
}

/// A number as it is read.
pub fn show(value: Number) -> String {
    match value {
        Number::Int(whole) => whole.to_string(),
        Number::Float(value) if value == 0.0 || (1e-3..1e6).contains(&value.abs()) => {
            let text = format!("{value:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Number::Float(value) => format!("{value:.3e}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for a picture")]
fn float(value: Number) -> f64 {
    match value {
        Number::Int(whole) => whole as f64,
        Number::Float(value) => value,
    }
}

/// A string as text, or as the bytes that it is.
fn readable(string: &[u8]) -> String {
    let string = string.strip_suffix(b"\0").map_or(string, |_| string.trim_ascii_end());
    let end = string.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match std::str::from_utf8(&string[..end]) {
        Ok(text) if !text.chars().any(|letter| letter.is_control() && !letter.is_whitespace()) => {
            text.to_owned()
        }
        _ => format!("{} bytes: {}", string.len(), string[..end.min(16)].escape_ascii()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Values of two or three axes as pixels, if they can be: of several frames the first.
fn picture(shape: &[u64], dtype: DType, bytes: &[u8]) -> Option<Picture> {
    let sizes: Vec<usize> = shape.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<_>>()?;
    let (height, width, channels, first) = match sizes[..] {
        [height, width] => (height, width, 1, true),
        [height, width, channels @ (1 | 3 | 4)] | [_, height, width, channels @ (1 | 3 | 4)] => {
            (height, width, channels, false)
        }
        [channels @ (1 | 3), height, width] => (height, width, channels, true),
        _ => return None,
    };
    let count = height.checked_mul(width)?.checked_mul(channels)?;
    if height < 4 || width < 4 || dtype.is_complex() || bytes.len() < count.checked_mul(dtype.size())? {
        return None;
    }
    let bytes = &bytes[..count * dtype.size()];
    // What is of few shades would be black.
    let shades = dtype == DType::Uint8 && bytes.iter().any(|value| *value > FEW_SHADES);
    let mut pixels = if shades { bytes.to_vec() } else { scaled(dtype, bytes) };
    if first && channels > 1 {
        let planes = pixels.clone();
        for (at, pixel) in pixels.iter_mut().enumerate() {
            *pixel = planes[at % channels * height * width + at / channels];
        }
    }
    Some(Picture { height, width, channels, pixels })
}

/// Numbers brought to 0 to 255: from the least to the greatest.
fn scaled(dtype: DType, bytes: &[u8]) -> Vec<u8> {
    let values: Vec<f64> = numbers(dtype, bytes).map(float).collect();
    let (low, high) = limits(&values).unwrap_or_default();
    let span = if high > low { high - low } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a pixel")]
    let pixel = |value: &f64| if value.is_finite() { ((value - low) / span * 255.0) as u8 } else { 0 };
    values.iter().map(pixel).collect()
}
