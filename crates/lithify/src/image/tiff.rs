//! TIFF, which TensorFlow does not read: the first image of a file, as Pillow gives it. Grey, colours, and either with
//! alpha, of 8 or 16 bits; grey of fewer bits is scaled to 8.

use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::{ColorType, TiffError};

use super::header::{Format, Header};
use super::{ImageError, Result, room, slice};

/// What a file's samples are.
pub(super) enum Stored {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

fn failed(error: &TiffError) -> ImageError {
    match error {
        TiffError::UnsupportedError(what) => {
            ImageError::request(format!("a TIFF of this kind is not decoded: {what}"))
        }
        _ => ImageError { byte: None, ..ImageError::damaged(0, format!("the TIFF is damaged: {error}")) },
    }
}

/// A list of more values than this is taken for damage: the decoder makes room for as many as a list claims. Rows of an
/// image that lie in a strip each make the longest lists.
const LONGEST_LIST: u64 = 1 << 16;

/// What the decoder takes for the lists of a directory, at most, in bytes.
const LISTS: u64 = 8 << 20;

/// Checks the lists of the first directory that the decoder will read.
///
/// # Errors
/// The directory is cut, or claims a list that is too long.
fn check_lists(bytes: &[u8]) -> Result<()> {
    let little = bytes.first() == Some(&b'I');
    // A number of so many bytes, at most 8.
    let number = |at: usize, length: usize| -> Result<u64> {
        let stored = slice(bytes, at, length, "a directory")?;
        let add = |value, byte: &u8| value << 8 | u64::from(*byte);
        Ok(if little { stored.iter().rev().fold(0, add) } else { stored.iter().fold(0, add) })
    };
    let is_big = number(2, 2)? == 43;
    // Of either kind: where the directory is named, bytes of a place and of the number of entries, and of an entry.
    let (named, place, count, entry) = if is_big { (8, 8, 8, 20) } else { (4, 4, 2, 12) };
    let directory = usize::try_from(number(named, place)?).unwrap_or(usize::MAX);
    let entries = usize::try_from(number(directory, count)?).unwrap_or(usize::MAX);
    let list = slice(bytes, directory.saturating_add(count), entries.saturating_mul(entry), "a directory")?;
    let start = directory + count;
    for at in (start..start + list.len()).step_by(entry) {
        // All that say how the image is stored; not texts, which the decoder does not read.
        let is_read =
            matches!(number(at, 2)?, 254..=268 | 273..=284 | 286..=304 | 317..=332 | 334..=336 | 338..=600);
        let length = number(at + 4, place)?;
        if is_read && length > LONGEST_LIST {
            return Err(ImageError::damaged(at, format!("the TIFF claims a list of {length} values")));
        }
    }
    Ok(())
}

/// Reads the first directory.
///
/// # Errors
/// There is none, or the image is of another kind.
pub(super) fn header(bytes: &[u8]) -> Result<Header> {
    check_lists(bytes)?;
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
    let working = samples.saturating_mul(u64::from(bits) / 8).saturating_mul(3).saturating_add(LISTS);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF of 8 x 1 pixels in one strip, which follows its directory: tag, type (3 of 2 bytes, 4 of 4), count, value.
    fn tiff(entries: &[(u16, u16, u32, u32)], strip: &[u8]) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend_from_slice(&u16::try_from(entries.len()).unwrap().to_le_bytes());
        let offset = u32::try_from(8 + 2 + 12 * entries.len() + 4).unwrap();
        for (tag, kind, count, value) in entries {
            bytes.extend_from_slice(&[tag.to_le_bytes(), kind.to_le_bytes()].concat());
            let value = if *tag == 273 { offset } else { *value };
            bytes.extend_from_slice(&[count.to_le_bytes(), value.to_le_bytes()].concat());
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(strip);
        bytes
    }

    const GREY: [(u16, u16, u32, u32); 8] = [
        (256, 3, 1, 8),
        (257, 3, 1, 1),
        (258, 3, 1, 4),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 0),
        (277, 3, 1, 1),
        (279, 4, 1, 4),
    ];

    #[test]
    fn grey_of_fewer_bits_is_scaled() {
        let bytes = tiff(&GREY, &[0x01, 0x23, 0x45, 0xf0]);
        let header = header(&bytes).unwrap();
        assert_eq!((header.height, header.width, header.channels, header.bits), (1, 8, 1, 8));
        let Stored::Bytes(samples) = read(&bytes, &header).unwrap() else { panic!("bytes") };
        assert_eq!(samples, [0, 17, 34, 51, 68, 85, 255, 0]);
        let mut out = Vec::new();
        expand(&samples, &header, 4, u8::MAX, &mut out).unwrap();
        assert_eq!(out[4..8], [17, 17, 17, 255]);
    }

    #[test]
    fn a_list_that_cannot_be_is_refused_before_there_is_memory_for_it() {
        let mut entries = GREY;
        entries[5].2 = 1 << 24;
        assert!(header(&tiff(&entries, &[0; 4])).unwrap_err().message.contains("16777216 values"));
        let whole = tiff(&GREY, &[0; 4]);
        for cut in 0..whole.len() - 8 {
            assert!(header(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
