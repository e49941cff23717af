//! An encoded image as numbers: of its header alone where only the shape is wanted, of its samples where the values are.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::view::{Data, Look, Numbers, Scratch};
use crate::error::{Error, ErrorKind, Result};
use crate::image::geometry::{Geometry, Placement};
use crate::image::{
    self, DecodeOptions, Depth, Dialect, Fault, Header, ImageError, Samples, output_shape, scratch_bytes,
};
use crate::value::{DType, Shape};

/// How images are decoded, beyond whose samples they give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pixels {
    /// How many channels, where it is not as many as there are.
    pub channels: Option<u8>,
    /// By what height and width of a JPEG are divided: 1, 2, 4 or 8.
    pub ratio: u8,
    /// Whether a JPEG is turned upright.
    pub upright: bool,
    /// Whether all frames are given, on an axis before the others.
    pub all_frames: bool,
    /// The part of both sides that is kept, from the middle: `tf.image.central_crop`.
    pub central_crop: Option<f64>,
}

impl Default for Pixels {
    fn default() -> Self {
        Self { channels: None, ratio: 1, upright: false, all_frames: false, central_crop: None }
    }
}

/// What is known of an image beside its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its height and width before anything was cropped or reduced, upright if that was asked for.
    pub size: [u64; 2],
    /// The most that decoding takes, in bytes, samples and all.
    pub scratch: u64,
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
    /// Sees an encoded image. Decoding may take `most` bytes.
    pub(super) fn numbers<'a>(
        &self,
        payload: &[u8],
        (dialect, depth): (Dialect, Depth),
        look: Look,
        scratch: &'a mut Scratch,
        most: u64,
    ) -> Result<Numbers<'a>> {
        let options = DecodeOptions {
            channels: self.channels,
            dialect,
            depth,
            ratio: self.ratio,
            exif_apply: self.upright,
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
        };
        let size = (decoded.height as usize, decoded.width as usize);
        let crop = self.central_crop.map(|part| Geometry::CentralCrop(part).place(size)).transpose();
        let crop = crop.map_err(|e| Error::input(e.to_string()))?;
        let (height, width) = crop.map_or(size, |crop| crop.kept);
        let mut shape: Shape = decoded.frames.map(u64::from).into_iter().collect();
        shape.extend([height as u64, width as u64, decoded.channels.into()]);
        let dtype = Some(match depth {
            Depth::U8 => DType::Uint8,
            Depth::U16 => DType::Uint16,
        });
        let numbers =
            |bytes: &'a [u8]| Numbers { dtype, shape, data: Data::native(bytes), image: Some(image) };
        if look == Look::Outline {
            return Ok(numbers(&[]));
        }
        let Scratch { bytes, image: buffers } = scratch;
        let samples = image::decode_as(payload, &header, &options, buffers).map_err(|e| refused(&e))?.samples;
        let samples: &[u8] = match samples {
            Samples::U8(samples) => samples,
            Samples::U16(samples) => bytemuck::cast_slice(samples),
        };
        Ok(numbers(match crop {
            None => samples,
            Some(crop) => {
                let pixel = usize::from(decoded.channels) * dtype.map_or(1, DType::size);
                cut(samples, size, &crop, pixel, bytes);
                bytes
            }
        }))
    }
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
