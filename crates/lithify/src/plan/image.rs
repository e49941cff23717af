//! Images: what can be asked of their size and samples, and what becomes of a row.

use serde::{Deserialize, Serialize};

use super::fit::{Fit, show_shape};
use super::notation::split_list;
use super::request::{FeatureRequest, FitRequest, needed, parse_flag};
use crate::decode::{Decode, Pixels, View};
use crate::error::{Error, Result};
use crate::image::Size;
use crate::image::geometry::Geometry;
use crate::image::resize::Method;
use crate::value::DType;

/// What is wanted of images beyond their decoding, which is in their [`View`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageRequest {
    /// Whether `resize` keeps their proportions.
    pub keep_aspect: bool,
    /// The size of the middle that is kept of an image whose shorter side was resized.
    pub crop: Option<Size>,
    /// How they are resized; bilinear where nothing is said, as in TensorFlow.
    pub method: Option<Method>,
    /// Whether shrinking smooths.
    pub antialias: bool,
    /// What is done with the samples.
    pub finish: Finish,
    /// What is done about elements that have not all as many images, once these are of one size.
    pub frames: Option<FramesRequest>,
}

/// What is done about elements that have not all as many images, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramesRequest {
    /// Padded to so many, or to the most of all elements.
    Pad(Option<u64>),
    /// Those of an element follow those of the one before.
    Ragged,
}

impl FramesRequest {
    /// What a fit says of frames; `None` if it says nothing of them.
    pub(super) fn of(fit: &FitRequest) -> Option<Self> {
        match fit {
            FitRequest::Pad(sizes) => match sizes[..] {
                [frames] => Some(Self::Pad(frames)),
                _ => None,
            },
            FitRequest::Ragged => Some(Self::Ragged),
            _ => None,
        }
    }
}

/// What becomes of the images of an element that has a list of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frames {
    /// All elements have as many.
    #[default]
    Same,
    /// They are padded to as many as a row has.
    Padded,
    /// Each has a row, and those of an element follow those of the one before.
    Ragged,
}

/// What is done with the samples of images at the end: `(sample · scale − mean) / std`, each step in float32.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// The factor, as it was asked for: `1/255` is the float32 that is nearest to it.
    pub scale: Option<String>,
    /// What is taken off, one for all channels or one for each.
    pub mean: Vec<f32>,
    /// By what is divided, one for all channels or one for each.
    pub std: Vec<f32>,
    /// Whether channels come before rows.
    pub channels_first: bool,
}

impl Finish {
    /// Whether samples become other numbers.
    #[must_use]
    pub fn normalises(&self) -> bool {
        self.scale.is_some() || !self.mean.is_empty() || !self.std.is_empty()
    }

    /// Whether anything is done.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.normalises() || self.channels_first
    }

    /// The factor.
    #[must_use]
    pub fn factor(&self) -> f32 {
        self.scale.as_deref().and_then(parse_factor).unwrap_or(1.0)
    }

    /// A shape whose last three axes are (height, width, channels), as rows have it.
    #[must_use]
    pub fn arranged(&self, shape: &[u64]) -> Vec<u64> {
        let mut shape = shape.to_vec();
        if let (true, [.., _, _, _]) = (self.channels_first, &shape[..]) {
            let from = shape.len() - 3;
            shape[from..].rotate_right(1);
        }
        shape
    }
}

fn parse_factor(text: &str) -> Option<f32> {
    let value: f32 = match text.split_once('/') {
        Some((over, under)) => over.trim().parse::<f32>().ok()? / under.trim().parse::<f32>().ok()?,
        None => text.trim().parse().ok()?,
    };
    value.is_finite().then_some(value)
}

fn parse_size(key: &str, text: &str) -> Result<Size> {
    let pixels = |text: &str| text.parse::<u32>().ok().filter(|side| *side > 0).map(|side| side as usize);
    let size = match text.split_once('x') {
        Some((height, width)) => pixels(height).zip(pixels(width)),
        None => pixels(text).map(|side| (side, side)),
    };
    size.ok_or_else(|| {
        Error::request(format!("`{key}={text}` is no size"))
            .hint(format!("height by width, as in `{key}=224x224`"))
    })
}

fn show_size((height, width): Size) -> String {
    format!("{height}x{width}")
}

fn numbers(key: &str, text: &str) -> Result<Vec<f32>> {
    split_list(text)
        .iter()
        .map(|number| number.trim().parse::<f32>().ok().filter(|number| number.is_finite()))
        .collect::<Option<_>>()
        .ok_or_else(|| Error::request(format!("`{key}={text}` is no list of numbers")))
}

/// Which of the words a value is.
fn one_of<T: Copy>(key: &str, value: &str, words: &[(&str, T)]) -> Result<T> {
    words.iter().find(|word| word.0 == value).map(|word| word.1).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|word| format!("`{key}={}`", word.0)).collect();
        Error::request(format!("`{key}={value}` is unknown")).hint(format!("use {}", known.join(" or ")))
    })
}

/// Sets a key of images; says whether it is one. Keys of decoding ask for images.
pub(super) fn set(request: &mut FeatureRequest, key: &str, value: Option<&str>) -> Result<bool> {
    let needed = || needed(key, value);
    let geometry = match key {
        "resize" => Some(Geometry::Exact(parse_size(key, needed()?)?)),
        "resize-with-pad" => Some(Geometry::ResizeWithPad(parse_size(key, needed()?)?)),
        "resize-with-crop-or-pad" => Some(Geometry::CropOrPad(parse_size(key, needed()?)?)),
        "shorter-side" => {
            let shorter = parse_size(key, needed()?)?.0;
            Some(Geometry::ShorterSide { shorter, crop: None })
        }
        _ => None,
    };
    if let Some(geometry) = geometry {
        return request.set_fit(FitRequest::Resize(geometry)).map(|()| true);
    }
    let FeatureRequest { image, view, .. } = request;
    match key {
        "keep-aspect" => image.keep_aspect = parse_flag(key, value)?,
        "crop" => image.crop = Some(parse_size(key, needed()?)?),
        "method" => {
            image.method = Some(needed()?.parse().map_err(|e| Error::request(format!("{e}")))?);
        }
        "antialias" => image.antialias = parse_flag(key, value)?,
        "scale" => {
            let text = needed()?;
            if parse_factor(text).is_none() {
                return Err(
                    Error::request(format!("`scale={text}` is no number")).hint("as in `scale=1/255`")
                );
            }
            image.finish.scale = Some(text.to_owned());
        }
        "mean" => image.finish.mean = numbers(key, needed()?)?,
        "std" => {
            image.finish.std = numbers(key, needed()?)?;
            if image.finish.std.contains(&0.0) {
                return Err(Error::request("`std` cannot be 0: it is divided by"));
            }
        }
        "layout" => {
            image.finish.channels_first = one_of(key, needed()?, &[("nhwc", false), ("nchw", true)])?;
        }
        "channels" => {
            view.pixels.channels = Some(one_of(key, needed()?, &[("1", 1), ("2", 2), ("3", 3), ("4", 4)])?);
        }
        "ratio" => {
            view.pixels.ratio = one_of(key, needed()?, &[("1", 1), ("2", 2), ("4", 4), ("8", 8)])?;
        }
        "exif" => view.pixels.upright = Some(one_of(key, needed()?, &[("ignore", false), ("apply", true)])?),
        "frames" => view.pixels.all_frames = one_of(key, needed()?, &[("first", false), ("all", true)])?,
        "central-crop" => {
            let text = needed()?;
            let part = text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part <= 1.0);
            view.pixels.central_crop = Some(part.ok_or_else(|| {
                Error::request(format!("`central-crop={text}` is no part")).hint("more than 0 and at most 1")
            })?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The keys of a request that are not at their defaults, and their values.
pub(super) fn keys(
    image: &ImageRequest,
    view: &View,
    fit: Option<&FitRequest>,
) -> Vec<(&'static str, Option<String>)> {
    let mut keys = Vec::new();
    let mut pair = |key, value: String| keys.push((key, Some(value)));
    let pixels = &view.pixels;
    if let Some(channels) = pixels.channels {
        pair("channels", channels.to_string());
    }
    if pixels.ratio != 1 {
        pair("ratio", pixels.ratio.to_string());
    }
    if let Some(upright) = pixels.upright {
        pair("exif", if upright { "apply" } else { "ignore" }.into());
    }
    if pixels.all_frames {
        pair("frames", "all".into());
    }
    if let Some(part) = pixels.central_crop {
        pair("central-crop", part.to_string());
    }
    match image.frames {
        Some(FramesRequest::Pad(frames)) => {
            pair("pad", frames.map_or_else(|| "max".into(), |frames| frames.to_string()));
        }
        Some(FramesRequest::Ragged) => pair("ragged", "yes".into()),
        None => {}
    }
    match fit {
        Some(FitRequest::Resize(Geometry::Exact(size))) => pair("resize", show_size(*size)),
        Some(FitRequest::Resize(Geometry::ResizeWithPad(size))) => pair("resize-with-pad", show_size(*size)),
        Some(FitRequest::Resize(Geometry::CropOrPad(size))) => {
            pair("resize-with-crop-or-pad", show_size(*size));
        }
        Some(FitRequest::Resize(Geometry::ShorterSide { shorter, .. })) => {
            pair("shorter-side", shorter.to_string());
        }
        _ => {}
    }
    if let Some(size) = image.crop {
        pair("crop", show_size(size));
    }
    if let Some(method) = image.method {
        pair("method", method.to_string());
    }
    let Finish { scale, mean, std, channels_first } = &image.finish;
    if let Some(scale) = scale {
        pair("scale", scale.clone());
    }
    for (key, list) in [("mean", mean), ("std", std)] {
        if !list.is_empty() {
            pair(key, list.iter().map(f32::to_string).collect::<Vec<_>>().join(","));
        }
    }
    if *channels_first {
        pair("layout", "nchw".into());
    }
    let flags = [("keep-aspect", image.keep_aspect), ("antialias", image.antialias)];
    keys.extend(flags.iter().filter(|flag| flag.1).map(|flag| (flag.0, None)));
    keys
}

/// Whether a request says something that has a meaning only for images: then byte strings are taken for such.
pub(crate) fn asks_for_images(image: &ImageRequest, view: &View, fit: Option<&FitRequest>) -> bool {
    view.decode.is_none()
        && (matches!(fit, Some(FitRequest::Resize(_)))
            || view.pixels != View::default().pixels
            || image.finish.changes())
}

/// Refuses keys that have nothing to act on.
pub(super) fn check(image: &ImageRequest, view: &View, fit: Option<&FitRequest>) -> Result<()> {
    let only = |key: &str, with: &str| Err(Error::request(format!("`{key}` has a meaning only with {with}")));
    let geometry = match fit {
        Some(FitRequest::Resize(geometry)) => Some(geometry),
        _ => None,
    };
    let resamples = geometry.is_some_and(Geometry::resamples);
    if image.keep_aspect && !matches!(geometry, Some(Geometry::Exact(_))) {
        return only("keep-aspect", "`resize`");
    }
    if image.crop.is_some() && !matches!(geometry, Some(Geometry::ShorterSide { .. })) {
        return only("crop", "`shorter-side`");
    }
    if image.method.is_some() && !resamples {
        return only("method", "`resize`, `resize-with-pad` or `shorter-side`");
    }
    if image.antialias && !resamples {
        return only("antialias", "`resize`, `resize-with-pad` or `shorter-side`");
    }
    let decoded = match view.decode {
        None | Some(Decode::Image { .. }) => true,
        // How many channels it has can be asked of a sound, too.
        Some(Decode::Audio { .. }) => {
            view.pixels == Pixels { channels: view.pixels.channels, ..Pixels::default() }
        }
        _ => false,
    };
    if view.pixels != View::default().pixels && !decoded {
        return Err(Error::request(
            "this feature is not decoded as images, so that nothing can be asked of their pixels",
        ));
    }
    Ok(())
}

/// What is not said where nothing is resized.
const NOT_RESIZED: &str =
    "-resize -resize-with-pad -resize-with-crop-or-pad -shorter-side -crop -keep-aspect -method -antialias";

/// The fit of a feature that is resized: its smallest and largest shapes are (height, width), (height, width, channels)
/// or (frames, height, width, channels).
pub(super) fn fit(
    geometry: Geometry,
    (image, truncate): (&ImageRequest, bool),
    dtype: Option<DType>,
    smallest: &[u64],
    largest: &[u64],
) -> Result<Fit> {
    let wrong = |message: String| Err(Error::request(message).words(NOT_RESIZED));
    match dtype {
        None => {
            return Err(Error::request("byte strings that are not images cannot be resized")
                .hint("numbers in byte strings are read with `decode=raw:uint8 reshape=28,28,1`"));
        }
        Some(dtype) if dtype.is_complex() || dtype == DType::Bool => {
            return wrong(format!("{dtype} cannot be resized"));
        }
        Some(_) => {}
    }
    if !(2..=4).contains(&largest.len()) {
        return wrong(format!(
            "what is resized has the axes (height, width) or (height, width, channels), and this has {}",
            show_shape(largest)
        ));
    }
    let geometry = match (geometry, image.keep_aspect) {
        (Geometry::Exact(size), true) => Geometry::KeepAspect(size),
        (Geometry::ShorterSide { shorter, .. }, _) => Geometry::ShorterSide { shorter, crop: image.crop },
        (geometry, _) => geometry,
    };
    let (Geometry::Exact((height, width))
    | Geometry::KeepAspect((height, width))
    | Geometry::ResizeWithPad((height, width))
    | Geometry::CropOrPad((height, width))
    | Geometry::ShorterSide { crop: Some((height, width)), .. }) = geometry
    else {
        return Err(Error::request("images whose shorter side is resized still differ in the longer one")
            .hint("say what is kept of them: `shorter-side=256 crop=224`")
            .words(match geometry {
                Geometry::ShorterSide { shorter, .. } => format!("crop={shorter}"),
                _ => String::new(),
            }));
    };
    let first = usize::from(largest.len() == 4);
    let mut shape = largest.to_vec();
    let frames = match image.frames {
        None => Frames::Same,
        Some(_) if first == 0 => {
            return wrong("each element has one image, so that there are no frames to be padded".into());
        }
        Some(FramesRequest::Pad(frames)) => {
            shape[0] = frames.unwrap_or(largest[0]);
            if shape[0] < largest[0] && !truncate {
                return Err(Error::request(format!(
                    "an element has {} frames, and `pad` makes room for {}",
                    largest[0], shape[0]
                ))
                .hint("use `pad=max`, or cut what is longer with `truncate`")
                .words("pad=max"));
            }
            Frames::Padded
        }
        Some(FramesRequest::Ragged) => {
            shape[0] = 1;
            Frames::Ragged
        }
    };
    for axis in (0..largest.len()).filter(|axis| !(first..first + 2).contains(axis)) {
        if smallest[axis] != largest[axis] && !(axis < first && frames != Frames::Same) {
            let what = if axis < first { "frames" } else { "channels" };
            let error = Error::request(format!(
                "elements have {} to {} {what}, and only sizes are made equal",
                smallest[axis], largest[axis]
            ));
            return Err(match axis < first {
                true => error
                    .hint("fill them up with `pad=max` beside the size, or keep them one after another with `ragged`")
                    .words("pad=max"),
                false => error,
            });
        }
    }
    shape[first] = height as u64;
    shape[first + 1] = width as u64;
    for (key, list) in [("mean", &image.finish.mean), ("std", &image.finish.std)] {
        let channels = if largest.len() == 2 { 1 } else { largest[largest.len() - 1] };
        if list.len() > 1 && list.len() as u64 != channels {
            let message = format!("`{key}` has {} numbers, and there are {channels} channels", list.len());
            return Err(Error::request(message).words(format!("-{key}")));
        }
    }
    Ok(Fit::Resize {
        shape: image.finish.arranged(&shape),
        geometry,
        method: image.method.unwrap_or(Method::Bilinear),
        antialias: image.antialias,
        frames,
    })
}

/// What a resize does, in a few words.
pub(super) fn describe(geometry: &Geometry, method: Method, antialias: bool, frames: Frames) -> String {
    let frames = match frames {
        Frames::Same => "",
        Frames::Padded => ", frames padded",
        Frames::Ragged => ", frames ragged",
    };
    let size = describe_size(geometry, method, antialias);
    format!("{size}{frames}")
}

fn describe_size(geometry: &Geometry, method: Method, antialias: bool) -> String {
    let how = format!("{method}{}", if antialias { ", antialias" } else { "" });
    match geometry {
        Geometry::Exact(size) => format!("resized to {}, {how}", show_size(*size)),
        Geometry::KeepAspect(size) => format!("resized within {}, {how}", show_size(*size)),
        Geometry::ResizeWithPad(size) => format!("resized and padded to {}, {how}", show_size(*size)),
        Geometry::CropOrPad(size) => format!("cropped or padded to {}", show_size(*size)),
        Geometry::ShorterSide { shorter, crop } => {
            let crop = crop.map_or(String::new(), |size| format!(", middle {}", show_size(size)));
            format!("shorter side {shorter}{crop}, {how}")
        }
        Geometry::CentralCrop(part) => format!("middle {part}"),
        Geometry::PadTo(size) => format!("padded to {}", show_size(*size)),
    }
}
