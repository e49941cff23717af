//! TIFF, which TensorFlow does not read: the first image of a file, as Pillow gives it. Grey, colours, and either with
//! alpha, of 8 or 16 bits; grey of fewer bits is scaled to 8.

use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::{ColorType, TiffError};

use super::header::{Format, Header};
use super::{ImageError, Result, room};

/// What a file's samples are.
pub(super) enum Stored {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

fn failed(error: &TiffError) -> ImageError {
    ImageError {
        byte: None,
        ..ImageError::damaged(0, format!("the TIFF is damaged, or of a kind not read: {error}"))
    }
}

/// Reads the first directory.
///
/// # Errors
/// There is none, or the image is of another kind.
pub(super) fn header(bytes: &[u8]) -> Result<Header> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(|e| failed(&e))?;
    let (width, height) = decoder.dimensions().map_err(|e| failed(&e))?;
    let colours = decoder.colortype().map_err(|e| failed(&e))?;
    let (channels, bits) = match colours {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8 | 16)) => (1, bits),
        // The second is what the decoder calls grey with a sample more.
        ColorType::GrayA(bits @ (8 | 16))
        | ColorType::Multiband { bit_depth: bits @ (8 | 16), num_samples: 2 } => (2, bits),
        ColorType::RGB(bits @ (8 | 16)) => (3, bits),
        ColorType::RGBA(bits @ (8 | 16)) => (4, bits),
        _ => return Err(ImageError::request(format!("a TIFF of {colours:?} is not decoded"))),
    };
    if width == 0 || height == 0 {
        return Err(ImageError::damaged(0, "the TIFF has no pixels"));
    }
    // The samples as they are stored, and once more while a strip or tile is decompressed: it may be all of them.
    let samples = u64::from(width).saturating_mul(height.into()).saturating_mul(channels.into());
    let working = samples.saturating_mul(u64::from(bits) / 8).saturating_mul(3).saturating_add(1 << 20);
    let bits = bits.max(8);
    Ok(Header { bits, ..Header::still(Format::Tiff, (height, width), channels, working) })
}

/// Decodes to samples as they are stored, in (height, width, channels).
///
/// # Errors
/// The image is damaged, or there is no memory for it.
pub(super) fn read(bytes: &[u8], header: &Header) -> Result<Stored> {
    let mut limits = Limits::default();
    let most = usize::try_from(header.working).unwrap_or(usize::MAX);
    (limits.decoding_buffer_size, limits.intermediate_buffer_size, limits.ifd_value_size) =
        (most, most, most);
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(|e| failed(&e))?.with_limits(limits);
    let bits = match decoder.colortype() {
        Ok(ColorType::Gray(bits)) => bits,
        _ => 8,
    };
    match decoder.read_image().map_err(|e| failed(&e))? {
        DecodingResult::U8(packed) if bits < 8 => {
            unpack(&packed, header.width as usize, bits).map(Stored::Bytes)
        }
        DecodingResult::U8(samples) => Ok(Stored::Bytes(samples)),
        DecodingResult::U16(samples) => Ok(Stored::Words(samples)),
        _ => Err(ImageError::request("a TIFF whose samples are not plain counts is not decoded")),
    }
}

/// Scales grey of fewer than 8 bits, packed from the upper ones on, each row from a byte of its own.
///
/// # Errors
/// There is no memory for it.
fn unpack(packed: &[u8], width: usize, bits: u8) -> Result<Vec<u8>> {
    let most = u8::MAX >> (8 - bits);
    let per_byte = usize::from(8 / bits);
    let mut samples = Vec::new();
    let rows = packed.chunks_exact(width.div_ceil(per_byte));
    room(&mut samples, rows.len() * width)?;
    for (row, to) in rows.zip(samples.chunks_exact_mut(width)) {
        for (i, to) in to.iter_mut().enumerate() {
            let shift = 8 - usize::from(bits) * (i % per_byte + 1);
            *to = (row[i / per_byte] >> shift & most) * (u8::MAX / most);
        }
    }
    Ok(samples)
}

/// Gives the samples with so many channels: those that are stored; 3, or 4, of any.
///
/// # Errors
/// There are fewer samples than the header says, or there is no memory.
pub(super) fn expand<T: Copy + Default>(
    stored: &[T],
    header: &Header,
    channels: u8,
    opaque: T,
    out: &mut Vec<T>,
) -> Result<()> {
    let pixels = header.height as usize * header.width as usize;
    let (given, channels) = (usize::from(header.channels), usize::from(channels));
    if stored.len() != pixels * given {
        return Err(ImageError::damaged(0, "the TIFF has another number of samples than its size says"));
    }
    let out = room(out, pixels * channels)?;
    for (to, pixel) in out.chunks_exact_mut(channels).zip(stored.chunks_exact(given)) {
        match (pixel, channels) {
            ([grey] | [grey, _], 3 | 4) => to[..3].fill(*grey),
            _ => to.iter_mut().zip(pixel).for_each(|(to, sample)| *to = *sample),
        }
        if channels == 4 {
            to[3] = if given.is_multiple_of(2) { pixel[given - 1] } else { opaque };
        }
    }
    Ok(())
}
