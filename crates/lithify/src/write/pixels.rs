//! Samples of images on their way into a row: resized, normalised, and with channels where they are wanted.

use super::cast::Cast;
use crate::decode::{Data, Numbers, image_axes};
use crate::error::{Error, Result};
use crate::image::geometry::{Geometry, Placement};
use crate::image::resize::{Method, Resize, Spec};
use crate::image::{Refused, Size};
use crate::plan::FeaturePlan;
use crate::plan::fit::show_shape;
use crate::plan::image::{Finish, Frames};
use crate::value::{DType, fill};

/// Memory of resizing that is used again for each image.
#[derive(Default)]
pub(super) struct Scratch {
    /// What the last image was resized with: the next is often of its size.
    resize: Option<Resize>,
    /// Rows that the resize works with.
    rows: Vec<f32>,
    /// The source as float32, where it is stored as something else than bytes.
    source: Vec<f32>,
    /// What was made of it, with channels last.
    made: Vec<f32>,
    /// The same with channels first.
    arranged: Vec<f32>,
}

/// Memory of numbers that are not resized, but finished.
#[derive(Default)]
pub(super) struct Finished {
    normalised: Vec<f32>,
    /// Items, and the same with channels first.
    items: Vec<u8>,
    moved: Vec<u8>,
}

/// Where an image came to lie in its row.
pub(super) struct Placed {
    /// Its height and width before.
    pub size: [u64; 2],
    /// How much of each axis of the row it covers.
    pub lengths: Vec<u64>,
}

/// What is to be done with an image, and how.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'p> {
    pub geometry: Geometry,
    pub method: Method,
    pub antialias: bool,
    pub frames: Frames,
    pub plan: &'p FeaturePlan,
    /// The shape of a row.
    pub shape: &'p [u64],
}

fn refused(why: Refused) -> Error {
    Error::input(why.0)
}

impl Wanted<'_> {
    /// Resizes an image into a row.
    pub(super) fn resize(
        &self,
        numbers: &Numbers<'_>,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Placed> {
        let finish = &self.plan.finish;
        let misfit = || {
            let (here, rows) = (show_shape(&numbers.shape), show_shape(self.shape));
            Error::input(format!("its shape is {here}, which cannot be resized to rows of {rows}"))
        };
        let [frames, height, width, channels] = image_axes(&numbers.shape).ok_or_else(misfit)?;
        let placement = self.geometry.place((height, width)).map_err(refused)?;
        let room = self.room(placement.output);
        // The shape of a row that has this height and width.
        let with_size = |(height, width): Size| {
            let mut shape = numbers.shape.clone();
            let first = shape.len() - 2 - usize::from(shape.len() > 2);
            (shape[first], shape[first + 1]) = (height as u64, width as u64);
            finish.arranged(&shape)
        };
        let mut row = with_size(room);
        // How many bytes a frame has.
        let frame = row.iter().skip(usize::from(row.len() > 3)).product::<u64>();
        let frame = usize::try_from(frame).unwrap_or(usize::MAX).saturating_mul(self.plan.dtype.size());
        if self.frames != Frames::Same && row.len() == self.shape.len() {
            row[0] = self.shape[0];
        }
        if row != self.shape {
            return Err(misfit());
        }
        let kept = frames.min(out.len() / frame.max(1));
        if self.frames == Frames::Padded {
            if kept < frames && !self.plan.cut_strings {
                let message = format!("it has {frames} frames, and there is room for {kept}");
                return Err(Error::input(message).hint("cut such elements with `truncate`"));
            }
            fill(&mut out[kept * frame..], &self.plan.fill);
        }
        let out = &mut out[..kept * frame];
        let spec = placement.spec(&self.geometry, (height, width), self.method, self.antialias);
        if placement.kept != room {
            fill(out, &self.plan.fill);
        }
        let image = Image { frames, size: (height, width), channels, placement, room };
        self.frames(numbers, &image, spec, out, scratch)?;
        let size = numbers.image.map_or([height as u64, width as u64], |facts| facts.size);
        let mut lengths = with_size(placement.kept);
        if self.frames == Frames::Padded {
            lengths[0] = kept as u64;
        }
        Ok(Placed { size, lengths })
    }

    /// The height and width of a row: that of the output, but for images that keep their proportions within it.
    fn room(&self, output: Size) -> Size {
        match self.geometry {
            Geometry::KeepAspect(size) => size,
            _ => output,
        }
    }

    fn frames(
        &self,
        numbers: &Numbers<'_>,
        image: &Image,
        spec: Spec,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Scratch { resize, rows, source, made, arranged } = scratch;
        let (dtype, finish) = (self.plan.dtype, &self.plan.finish);
        let copies = spec.method == Method::Nearest;
        if resize.as_ref().is_none_or(|last| *last.spec() != spec) {
            *resize = Some(Resize::new(spec).map_err(refused)?);
        }
        let Some(resize) = resize else { return Ok(()) };
        let channels = image.channels;
        let frame = image.size.0 * image.size.1 * channels;
        let out_frame = image.room.0 * image.room.1 * channels * dtype.size();
        let start = (image.placement.at.0 * image.room.1 + image.placement.at.1) * channels;
        let as_is = !finish.changes();
        // The samples as they lie in memory, where they do.
        let stored = match numbers.data {
            Data::Raw { bytes, big_endian: false }
                if bytes.len() == frame * image.frames * numbers.dtype.map_or(1, DType::size) =>
            {
                Some(bytes)
            }
            _ => None,
        };
        let bytes = stored.filter(|_| numbers.dtype == Some(DType::Uint8));
        if bytes.is_none() {
            as_floats(numbers, frame * image.frames, source)?;
        }
        for (number, out) in out.chunks_exact_mut(out_frame.max(1)).enumerate() {
            let part = number * frame..(number + 1) * frame;
            match (stored, bytes) {
                // Nothing is computed: pixels are copied.
                (Some(stored), _) if copies && as_is && numbers.dtype == Some(dtype) => {
                    let item = dtype.size();
                    let from = &stored[part.start * item..part.end * item];
                    let (out, stride) = (&mut out[start * item..], image.room.1 * channels * item);
                    resize.run_nearest_strided(from, channels * item, out, stride).map_err(refused)?;
                }
                // The commonest: bytes, rounded into the row.
                (_, Some(bytes)) if as_is && dtype == DType::Uint8 => {
                    let (out, stride) = (&mut out[start..], image.room.1 * channels);
                    resize.run_strided(&bytes[part], channels, out, stride, rows).map_err(refused)?;
                }
                (_, bytes) => {
                    made.resize(image.placement.kept.0 * image.placement.kept.1 * channels, 0.0);
                    match bytes {
                        Some(bytes) => resize.run(&bytes[part], channels, made, rows),
                        None => resize.run(&source[part], channels, made, rows),
                    }
                    .map_err(refused)?;
                    normalise(made, channels, finish);
                    if dtype.is_integer() {
                        for sample in &mut *made {
                            *sample = sample.round_ties_even();
                        }
                    }
                    self.emit(made, image, out, arranged)?;
                }
            }
        }
        Ok(())
    }

    /// Casts the samples of a frame into their places of the row. Whole numbers are clipped to what the dtype holds.
    fn emit(&self, made: &[f32], image: &Image, out: &mut [u8], arranged: &mut Vec<f32>) -> Result<()> {
        let (dtype, item) = (self.plan.dtype, self.plan.dtype.size());
        let saturate = dtype.is_integer() || self.plan.saturate;
        let cast = Cast { from: Some(DType::Float32), to: dtype, saturate, truncate: false };
        let (kept, at, room) = (image.placement.kept, image.placement.at, image.room);
        // Rows of one channel, or of all together.
        let (planes, together) = match self.plan.finish.channels_first {
            true => (image.channels, 1),
            false => (1, image.channels),
        };
        let samples = if planes > 1 {
            arranged.clear();
            (0..planes).for_each(|plane| arranged.extend(made.iter().skip(plane).step_by(planes)));
            arranged
        } else {
            made
        };
        let row = kept.1 * together;
        for (number, samples) in samples.chunks_exact(row.max(1)).enumerate() {
            let (plane, y) = (number / kept.0, number % kept.0);
            let start = ((plane * room.0 + at.0 + y) * room.1 + at.1) * together;
            let samples = Data::native(bytemuck::cast_slice(samples));
            cast.write(samples, 0, &mut out[start * item..(start + row) * item])?;
        }
        Ok(())
    }
}

/// An image, and where it goes.
struct Image {
    frames: usize,
    size: Size,
    channels: usize,
    placement: Placement,
    room: Size,
}

/// All `count` values as float32.
fn as_floats(numbers: &Numbers<'_>, count: usize, into: &mut Vec<f32>) -> Result<()> {
    into.resize(count, 0.0);
    let cast = Cast { from: numbers.dtype, to: DType::Float32, saturate: false, truncate: false };
    cast.write(numbers.data, 0, bytemuck::cast_slice_mut(into)).map(drop)
}

/// `(sample · scale − mean) / std`, each step in float32, as TensorFlow computes it.
fn normalise(samples: &mut [f32], channels: usize, finish: &Finish) {
    if !finish.normalises() {
        return;
    }
    let of = |list: &[f32], channel: usize, none: f32| match list {
        [] => none,
        [one] => *one,
        many => many.get(channel).copied().unwrap_or(none),
    };
    let scale = finish.factor();
    for channel in 0..channels {
        let (mean, std) = (of(&finish.mean, channel, 0.0), of(&finish.std, channel, 1.0));
        for sample in samples.iter_mut().skip(channel).step_by(channels) {
            *sample = (*sample * scale - mean) / std;
        }
    }
}

/// Numbers as they are wanted at the end, where they are not resized: normalised, and with channels first.
pub(super) fn finished<'s>(
    numbers: Numbers<'s>,
    finish: &Finish,
    scratch: &'s mut Finished,
) -> Result<Numbers<'s>> {
    let (Some(stored), [.., last]) = (numbers.dtype, &numbers.shape[..]) else { return Ok(numbers) };
    let count = usize::try_from(numbers.shape.iter().product::<u64>()).unwrap_or(usize::MAX);
    let channels = usize::try_from(*last).unwrap_or(usize::MAX).max(1);
    let Finished { normalised, items, moved } = scratch;
    let (dtype, data) = if finish.normalises() {
        as_floats(&numbers, count, normalised)?;
        normalise(normalised, channels, finish);
        (DType::Float32, Data::native(bytemuck::cast_slice(normalised)))
    } else {
        (stored, numbers.data)
    };
    let (items, big_endian): (&[u8], _) = match data {
        Data::Raw { bytes, big_endian } => (bytes, big_endian),
        Data::List(_) => {
            items.resize(count.saturating_mul(stored.size()), 0);
            let cast = Cast { from: Some(stored), to: stored, saturate: false, truncate: false };
            cast.write(data, 0, items)?;
            (items, false)
        }
    };
    let shape = finish.arranged(&numbers.shape);
    let items = if shape[..] == numbers.shape[..] {
        items
    } else {
        moved.clear();
        let item = dtype.size();
        let frame = shape[shape.len() - 3..].iter().product::<u64>();
        let frame = usize::try_from(frame).unwrap_or(usize::MAX).saturating_mul(item);
        for frame in items.chunks_exact(frame.max(1)) {
            for channel in 0..channels {
                frame.chunks_exact(item).skip(channel).step_by(channels).for_each(|item| moved.extend(item));
            }
        }
        moved
    };
    Ok(Numbers {
        dtype: Some(dtype),
        shape: shape.into(),
        data: Data::Raw { bytes: items, big_endian },
        image: numbers.image,
        sound: numbers.sound,
    })
}
