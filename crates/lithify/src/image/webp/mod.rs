//! `WebP`: its chunks, and what `image-webp` makes of them. TensorFlow's rules are those of `webp_io.cc`: an animation has
//! four channels, others as many as they say, and frames are given even where there is one.
//!
//! An animation without alpha makes TensorFlow 2.21 write beyond its tensor of three channels, and often crash. Its four
//! channels are given here, as its sources intend.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::header::{Format, Header};
use super::{ImageError, Result, array, room, slice};

mod animation;
mod codes;

pub(super) use animation::Work;

/// What the chunk `VP8X` says, and what was counted.
#[derive(Default)]
struct Extended {
    size: Option<(u32, u32)>,
    alpha: bool,
    moves: bool,
    frames: u32,
    /// What the codes of lossless data take, of the frame that takes most.
    codes: u64,
}

/// Reads the chunks up to the image; of an animation, the headers of all frames.
///
/// # Errors
/// They are cut, or are none.
pub(super) fn header(bytes: &[u8]) -> Result<Header> {
    let bytes = whole(bytes)?;
    let mut extended = Extended::default();
    let mut at = 12;
    loop {
        if extended.moves && at >= bytes.len() {
            break;
        }
        let name: [u8; 4] = array(bytes, at, "a chunk")?;
        let length = u32::from_le_bytes(array(bytes, at + 4, "a chunk's length")?);
        let content = at + 8;
        let whole = slice(bytes, content, length as usize, "a chunk's content")?;
        match &name {
            b"VP8X" if at == 12 => {
                let [flags, _, _, _, w1, w2, w3, h1, h2, h3] = array(bytes, content, "the canvas")?;
                let side = |low, middle, high| u32::from_le_bytes([low, middle, high, 0]) + 1;
                extended.size = Some((side(h1, h2, h3), side(w1, w2, w3)));
                extended.alpha = flags & 0x10 != 0;
                extended.moves = flags & 0x02 != 0;
            }
            b"ANMF" => {
                extended.frames += 1;
                extended.codes = extended.codes.max(animation::codes(whole));
            }
            // Alpha beside a lossy image, which counts only where a canvas was announced.
            b"ALPH" if !extended.moves => {
                extended.alpha |= extended.size.is_some();
                extended.codes += extended.size.map_or(0, |size| codes_of(name, whole, size));
            }
            b"VP8 " if !extended.moves => {
                let [_, _, _, 0x9d, 0x01, 0x2a, w1, w2, h1, h2] = array(bytes, content, "a frame's start")?
                else {
                    return Err(ImageError::damaged(content, "it has no frame that stands alone"));
                };
                // The two upper bits are a scale that nobody applies.
                let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                return still((side(h1, h2), side(w1, w2)), extended.alpha, &extended, content);
            }
            b"VP8L" if !extended.moves => {
                let [signature, packed @ ..] = array::<5>(bytes, content, "a frame's start")?;
                if signature != 0x2f {
                    return Err(ImageError::damaged(content, "its lossless image has no signature"));
                }
                let packed = u32::from_le_bytes(packed);
                let size = ((packed >> 14 & 0x3fff) + 1, (packed & 0x3fff) + 1);
                extended.codes += codes_of(name, whole, size);
                return still(size, packed >> 28 & 1 != 0, &extended, content);
            }
            _ => {}
        }
        at = usize::try_from(length)
            .ok()
            .and_then(|length| content.checked_add(length)?.checked_add(length % 2))
            .ok_or_else(|| ImageError::damaged(at, "a chunk has an absurd length"))?;
    }
    let (Some(size), 1..) = (extended.size, extended.frames) else {
        return Err(ImageError::damaged(bytes.len(), "the animation has no frame"));
    };
    // What a frame takes, its own pixels, and its bytes.
    Ok(Header {
        frames: extended.frames,
        animated: true,
        ..Header::still(
            Format::WebP,
            size,
            4,
            16 * pixels(size) + bytes.len() as u64 + extended.codes + (1 << 20),
        )
    })
}

/// The bytes of the file, without what comes after its end.
fn whole(bytes: &[u8]) -> Result<&[u8]> {
    let length = u32::from_le_bytes(array(bytes, 4, "the length")?);
    if length < 12 {
        return Err(ImageError::damaged(4, "the file is shorter than a chunk"));
    }
    slice(bytes, 0, (length as usize).saturating_add(8), "the end of the file")
}

fn still(size: (u32, u32), alpha: bool, extended: &Extended, at: usize) -> Result<Header> {
    if size.0 == 0 || size.1 == 0 {
        return Err(ImageError::damaged(at, "it has no pixels"));
    }
    if extended.size.is_some_and(|canvas| canvas != size) {
        return Err(ImageError::damaged(at, "its image has another size than its canvas"));
    }
    // The decoder's planes or colours, alpha, and tables. For a damaged one it may reserve 16 MiB more, which it never
    // touches, as that is what a part of the data may claim to have.
    Ok(Header::still(
        Format::WebP,
        size,
        if alpha { 4 } else { 3 },
        10 * pixels(size) + extended.codes + (1 << 20),
    ))
}

/// What the codes in a chunk take while it is decoded.
fn codes_of(name: [u8; 4], content: &[u8], size: (u32, u32)) -> u64 {
    match (&name, content) {
        (b"VP8L", _) => codes::memory(content, true, size),
        // Alpha that is compressed.
        (b"ALPH", [flags, compressed @ ..]) if flags & 3 == 1 => codes::memory(compressed, false, size),
        _ => 0,
    }
}

/// Pixels of an image whose sides are padded to whole blocks.
fn pixels((height, width): (u32, u32)) -> u64 {
    u64::from(height).next_multiple_of(16) * u64::from(width).next_multiple_of(16)
}

/// Decodes the first `count` frames to (count, height, width, channels), as many channels as the header says.
///
/// # Errors
/// The image is damaged, or there is no memory for it.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    count: u32,
    work: &mut Work,
    out: &mut Vec<u8>,
) -> Result<()> {
    let bytes = whole(bytes)?;
    if !header.animated {
        return decode_still(bytes, header, &mut work.colours, out);
    }
    let canvas = header.height as usize * header.width as usize * 4;
    animation::decode(bytes, header, work, room(out, count as usize * canvas)?)
}

fn decode_still(bytes: &[u8], header: &Header, colours: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
    let failed = |error: &DecodingError| ImageError {
        byte: None,
        ..ImageError::damaged(0, format!("the WebP is damaged: {error}"))
    };
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| failed(&e))?;
    let size = (decoder.dimensions().1, decoder.dimensions().0);
    if size != (header.height, header.width) || decoder.is_animated() {
        return Err(ImageError::damaged(12, "its chunks contradict each other"));
    }
    let pixels = header.height as usize * header.width as usize;
    let channels = usize::from(header.channels);
    let given = if decoder.has_alpha() { 4 } else { 3 };
    let out = room(out, pixels * channels)?;
    if given == channels {
        return decoder.read_image(out).map_err(|e| failed(&e));
    }
    // The decoder and libwebp differ in whose word for alpha counts, that of the canvas or that of the image.
    let colours = room(colours, pixels * given)?;
    decoder.read_image(colours).map_err(|e| failed(&e))?;
    for (to, colour) in out.chunks_exact_mut(channels).zip(colours.chunks_exact(given)) {
        to[3..].fill(255);
        to[..3].copy_from_slice(&colour[..3]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 pixels of (10, 20, 30), lossless.
    const STILL: &[u8] =
        b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0/\x01\0\0\0\x07P\x8a*\xd4\xa3\xff\x81\x88\xe8\x7f\0\0";

    /// The same, opaque, and then with an alpha of 128, to be laid over it.
    const MOVING: &[u8] = b"RIFF\x88\0\0\0WEBPVP8X\n\0\0\0\x12\0\0\0\x01\0\0\0\0\0ANIM\x06\0\0\0\0\0\0\0\0\0\
        ANMF*\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x02VP8L\x11\0\0\0/\x01\0\0\0\x07P\x8a*\xd4\xa3\xff\x81\x88\xe8\x7f\0\0\
        ANMF*\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0VP8L\x11\0\0\0/\x01\0\0\x10\x07P\x8a*\xd4\xa3\x80\x81\x88\xe8\x7f\0\0";

    fn all(bytes: &[u8]) -> Result<(Header, Vec<u8>)> {
        let header = header(bytes)?;
        let mut out = Vec::new();
        decode(bytes, &header, header.frames, &mut Work::default(), &mut out)?;
        Ok((header, out))
    }

    #[test]
    fn a_still_image_has_its_own_channels() {
        let (header, samples) = all(STILL).unwrap();
        assert_eq!((header.height, header.width, header.channels, header.animated), (1, 2, 3, false));
        assert_eq!(samples, [10, 20, 30, 10, 20, 30]);
    }

    #[test]
    fn frames_of_an_animation_are_laid_over_each_other() {
        let (header, samples) = all(MOVING).unwrap();
        assert_eq!((header.frames, header.channels, header.animated), (2, 4, true));
        let second = [9, 19, 29, 255];
        assert_eq!(samples, [[[10, 20, 30, 255]; 2], [second; 2]].as_flattened().as_flattened());
    }

    #[test]
    fn a_cut_is_an_error() {
        for whole in [STILL, MOVING] {
            for cut in 0..whole.len() {
                assert!(all(&whole[..cut]).is_err(), "cut at {cut} of {}", whole.len());
            }
            let longer = [whole, b"garbage"].concat();
            assert_eq!(all(&longer).unwrap().1, all(whole).unwrap().1);
        }
    }
}
