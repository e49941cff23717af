//! An encoded image as numbers: of its header alone where only the shape is wanted, of its samples where the values are.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::view::{Data, Look, Numbers, Scratch};
use crate::error::{Error, ErrorKind, Result};
use crate::image::geometry::{Geometry, Placement};
use crate::image::{
    self, DecodeOptions, Depth, Dialect, Fault, Header, ImageError, Samples, output_shape, scratch_bytes,
};
use crate::value::{DType, List, Shape};

/// How images are decoded, beyond whose samples they give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pixels {
    /// How many channels, where it is not as many as there are.
    pub channels: Option<u8>,
    /// By what height and width of a JPEG are divided: 1, 2, 4 or 8.
    pub ratio: u8,
    /// Whether a JPEG is turned upright, if that is said.
    pub upright: Option<bool>,
    /// Whether all frames are given, on an axis before the others.
    pub all_frames: bool,
    /// The part of both sides that is kept, from the middle: `tf.image.central_crop`.
    pub central_crop: Option<f64>,
    /// Whether the four samples of a pixel are the bytes of one float32.
    #[serde(default)]
    pub floats: bool,
}

impl Default for Pixels {
    fn default() -> Self {
        Self { channels: None, ratio: 1, upright: None, all_frames: false, central_crop: None, floats: false }
    }
}

/// What is known of an image beside its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its height and width before anything was cropped or reduced, upright if that was asked for.
    pub size: [u64; 2],
    /// The most that decoding takes, in bytes, samples and all.
    pub scratch: u64,
    /// How many encoded images there are.
    pub count: u64,
}

/// Memory that decoding uses again.
pub(super) struct Buffers<'a> {
    /// What is cut out of an image.
    pub cut: &'a mut Vec<u8>,
    /// What decoders need.
    pub image: &'a mut image::Scratch,
}

fn refused(error: &ImageError) -> Error {
    let kind = match error.fault {
        // What one image cannot be given as, another may.
        Fault::Damaged | Fault::Request => ErrorKind::Input,
        Fault::Memory => ErrorKind::Resources,
    };
    Error::new(kind, format!("the image cannot be decoded: {error}"))
}

impl Pixels {
    /// These, or where nothing is said what is declared.
    pub(super) fn or(&self, declared: &Self) -> Self {
        let channels = self.channels.or(declared.channels);
        let floats = declared.floats && channels == declared.channels;
        Self { channels, floats, upright: self.upright.or(declared.upright), ..self.clone() }
    }

    /// Sees a list of encoded images, all of one size. Their axes come after those of the list, which are `outer`. Together
    /// they may take `most` bytes.
    pub(super) fn list<'a>(
        &self,
        list: List<'_>,
        outer: &[u64],
        how: (Dialect, Depth),
        look: Look,
        scratch: &'a mut Scratch,
        most: u64,
    ) -> Result<Numbers<'a>> {
        let Scratch { bytes, frames, image } = scratch;
        frames.clear();
        let mut first: Option<(Option<DType>, Shape, ImageFacts)> = None;
        let (mut count, mut total, mut heaviest) = (0_u64, 0_u64, 0);
        for payload in list.runs() {
            let payload =
                payload.map_err(|bad| Error::input(format!("the feature is damaged: {}", bad.0)))?;
            let buffers = Buffers { cut: bytes, image };
            let one = self.numbers(payload, how, look, buffers, most.saturating_sub(total))?;
            let Some(facts) = one.image else { continue };
            let (_, shape, _) = &*first.get_or_insert_with(|| (one.dtype, one.shape.clone(), facts));
            if *shape != one.shape {
                let (here, there) = (show(&one.shape), show(shape));
                return Err(Error::input(format!(
                    "its images are of different sizes: the first is {there}, and that of number {count} is {here}"
                )));
            }
            let item = one.dtype.map_or(1, DType::size) as u64;
            total =
                one.shape.iter().fold(item, |bytes, size| bytes.saturating_mul(*size)).saturating_add(total);
            count += 1;
            heaviest = facts.scratch.max(heaviest);
            if let (Look::Values, Data::Raw { bytes, .. }) = (look, one.data) {
                frames.extend_from_slice(bytes);
            }
        }
        let mut shape: Shape = outer.into();
        let (dtype, image) = if let Some((dtype, each, facts)) = first {
            shape.extend(each);
            (dtype, ImageFacts { scratch: total.saturating_add(heaviest), count, ..facts })
        } else {
            // Of no images, the size is none.
            shape.extend([0, 0, u64::from(self.channels.unwrap_or(0))]);
            let dtype = if how.1 == Depth::U16 { DType::Uint16 } else { DType::Uint8 };
            let facts = ImageFacts { size: [0; 2], scratch: 0, count: 0 };
            (Some(if self.floats { DType::Float32 } else { dtype }), facts)
        };
        Ok(Numbers { dtype, shape, data: Data::native(frames), image: Some(image), sound: None })
    }

    /// Sees an encoded image. Decoding may take `most` bytes.
    pub(super) fn numbers<'a>(
        &self,
        payload: &[u8],
        (dialect, depth): (Dialect, Depth),
        look: Look,
        buffers: Buffers<'a>,
        most: u64,
    ) -> Result<Numbers<'a>> {
        let options = DecodeOptions {
            channels: self.channels,
            dialect,
            depth,
            ratio: self.ratio,
            exif_apply: self.upright.unwrap_or(false),
            all_frames: self.all_frames,
            limit: most,
        };
        let header = Header::read(payload).map_err(|e| refused(&e))?;
        let decoded = output_shape(&header, &options).map_err(|e| refused(&e))?;
        let whole = DecodeOptions { ratio: 1, ..options };
        let stored = output_shape(&header, &whole).map_err(|e| refused(&e))?;
        let image = ImageFacts {
            size: [stored.height.into(), stored.width.into()],
            scratch: scratch_bytes(&header, &options).map_err(|e| refused(&e))?,
            count: 1,
        };
        let size = (decoded.height as usize, decoded.width as usize);
        let crop = self.central_crop.map(|part| Geometry::CentralCrop(part).place(size)).transpose();
        let crop = crop.map_err(|e| Error::input(e.to_string()))?;
        let (height, width) = crop.map_or(size, |crop| crop.kept);
        let mut shape: Shape = decoded.frames.map(u64::from).into_iter().collect();
        let samples = match depth {
            Depth::U8 => DType::Uint8,
            Depth::U16 => DType::Uint16,
        };
        let floats = self.floats && usize::from(decoded.channels) * samples.size() == DType::Float32.size();
        shape.extend([height as u64, width as u64, if floats { 1 } else { decoded.channels.into() }]);
        let dtype = Some(if floats { DType::Float32 } else { samples });
        let pixel = usize::from(decoded.channels) * samples.size();
        let numbers = |bytes: &'a [u8]| Numbers {
            dtype,
            shape,
            data: Data::native(bytes),
            image: Some(image),
            sound: None,
        };
        if look == Look::Outline {
            return Ok(numbers(&[]));
        }
        let Buffers { cut: bytes, image: buffers } = buffers;
        let samples = image::decode_as(payload, &header, &options, buffers).map_err(|e| refused(&e))?.samples;
        let samples: &[u8] = match samples {
            Samples::U8(samples) => samples,
            Samples::U16(samples) => bytemuck::cast_slice(samples),
        };
        Ok(numbers(match crop {
            None => samples,
            Some(crop) => {
                cut(samples, size, &crop, pixel, bytes);
                bytes
            }
        }))
    }
}

fn show(shape: &[u64]) -> String {
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ")
}

/// Copies the part of each frame that is kept.
fn cut(frames: &[u8], (height, width): (usize, usize), crop: &Placement, pixel: usize, out: &mut Vec<u8>) {
    let (stride, kept) = (width * pixel, crop.first.1 * pixel..(crop.first.1 + crop.kept.1) * pixel);
    out.clear();
    for frame in frames.chunks_exact(height * stride) {
        for row in frame.chunks_exact(stride).skip(crop.first.0).take(crop.kept.0) {
            out.extend_from_slice(&row[kept.clone()]);
        }
    }
}

/// The axes of an image in numbers of this shape: (frames, height, width, channels). Numbers of two axes are an image of
/// one channel.
#[must_use]
pub(crate) fn image_axes(shape: &[u64]) -> Option<[usize; 4]> {
    let sizes: SmallVec<[usize; 4]> =
        shape.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect();
    match sizes[..] {
        [height, width] => Some([1, height, width, 1]),
        [height, width, channels] => Some([1, height, width, channels]),
        [frames, height, width, channels] => Some([frames, height, width, channels]),
        _ => None,
    }
}
