//! Encoded images as samples: what `tf.io.decode_image` gives, bit by bit.
//!
//! ```text
//!            ┌─▶ Header::read ──▶ output_shape, scratch_bytes   (planning: no pixel is decoded)
//! bytes ─────┤
//!            └─▶ decode ──▶ Image                               (lent from a Scratch that is used again)
//! ```
//! Samples lie as (height, width, channels), or (frames, height, width, channels), rows from top to bottom, channels
//! together. A "TensorFlow" in this module is 2.21.0 (libjpeg-turbo 2.1, libpng 1.6, giflib 5.2, libwebp) on x86-64: every
//! rule that names it was read in its sources and checked against it.
//!
//! | format | decoder | equal to |
//! |---|---|---|
//! | JPEG | mozjpeg's libjpeg, in C | TensorFlow, with either DCT; SIMD or not |
//! | PNG | ours, over zlib | TensorFlow, in `uint8` and `uint16` |
//! | GIF, BMP | ours | TensorFlow |
//! | `WebP` | `image-webp` | TensorFlow (libwebp) |
//! | TIFF | `tiff` | Pillow: TensorFlow has none |
//!
//! Where it differs from TensorFlow, on purpose:
//! - A GIF that is cut within a frame is an error; TensorFlow gives the frames before, without a word.
//! - A progressive JPEG without its last scans is an error; TensorFlow guesses what is missing, and later versions of its
//!   decoder guess otherwise.
//! - An animated `WebP` without alpha has four channels; it makes TensorFlow write beyond its tensor of three.
//! - What would take more memory than allowed is an error, whatever TensorFlow's own limits are.

use std::borrow::Cow;
use std::fmt;

mod bmp;
pub mod decode;
mod exif;
pub mod geometry;
mod gif;
pub mod header;
mod jpeg;
mod jpeg_ffi;
mod png;
pub mod resize;
mod tiff;
mod webp;

pub use decode::{
    DecodeOptions, Depth, Dialect, Image, OutputShape, Samples, Scratch, decode, decode_as, output_shape,
    scratch_bytes,
};
pub use header::{Format, Header, is_head};
pub use jpeg_ffi::simd as jpeg_simd;

/// A size of an image in pixels: height, then width.
pub type Size = (usize, usize);

/// Why an image cannot be made as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Whose fault it is that an image was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The image is damaged, cut, or not an image.
    Damaged,
    /// The image is of a kind that cannot be given as it was asked for.
    Request,
    /// Decoding it takes more memory than was allowed, or than there is.
    Memory,
}

/// Why an image was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageError {
    /// Whose fault it is.
    pub fault: Fault,
    /// The byte of the image where it was noticed, from 0, as far as it is known.
    pub byte: Option<u64>,
    /// What is wrong, without the place.
    pub message: Cow<'static, str>,
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, ImageError>;

impl ImageError {
    fn damaged(byte: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: Fault::Damaged, byte: Some(byte as u64), message: message.into() }
    }

    fn request(message: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: Fault::Request, byte: None, message: message.into() }
    }

    fn memory(message: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: Fault::Memory, byte: None, message: message.into() }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.byte.map_or(Ok(()), |byte| write!(f, " (at byte {byte} of the image)"))
    }
}

impl std::error::Error for ImageError {}

/// The `N` bytes at `at`.
///
/// # Errors
/// The image is cut before their end; `what` says what they are.
fn array<const N: usize>(bytes: &[u8], at: usize, what: &'static str) -> Result<[u8; N]> {
    slice(bytes, at, N, what)?.try_into().map_err(|_| ImageError::damaged(at, what))
}

/// The `length` bytes at `at`.
///
/// # Errors
/// The image is cut before their end; `what` says what they are.
fn slice<'a>(bytes: &'a [u8], at: usize, length: usize, what: &'static str) -> Result<&'a [u8]> {
    at.checked_add(length)
        .and_then(|stop| bytes.get(at..stop))
        .ok_or_else(|| ImageError::damaged(bytes.len(), format!("the image is cut: {what} is missing")))
}

/// The first `length` items of `buffer`, which grows where it must; what they hold is left from before.
///
/// # Errors
/// There is no such memory.
fn room<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) -> Result<&mut [T]> {
    if buffer.len() < length {
        // What it holds need not be copied to the new place.
        buffer.clear();
        buffer
            .try_reserve_exact(length)
            .map_err(|e| ImageError::memory(format!("no memory for an image: {e}")))?;
        buffer.resize(length, T::default());
    }
    Ok(&mut buffer[..length])
}
