//! GIF, as giflib reads it and TensorFlow puts its frames together (`gif_io.cc`): the canvas is as high as the highest frame
//! and as wide as the widest, whatever the screen's size; what frame 0 does not cover is black, and so is what is
//! transparent in it; later frames are drawn over the one before, and what is to be done with a frame afterwards
//! ("disposal") is ignored.
//!
//! In one point it is stricter: where a GIF is cut within a frame, TensorFlow gives the frames before, without a word. Here
//! it is an error. Where there is no end mark after a frame, or something else in its place, both take it for the end.

use super::header::{Format, Header};
use super::{ImageError, Result, array, room, slice};

/// A frame as it lies in its image.
struct Frame<'a> {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    interlaced: bool,
    /// Its colours, its own or the image's.
    colours: Option<&'a [[u8; 3]]>,
    /// The index that leaves a pixel as it was.
    transparent: Option<u8>,
    /// Where its compressed indices start: at the byte that gives the width of a code.
    data: usize,
}

/// The frames of a GIF, one after another.
struct Frames<'a> {
    bytes: &'a [u8],
    colours: Option<&'a [[u8; 3]]>,
    at: usize,
}

impl<'a> Frames<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let [flags, ..] = array::<3>(bytes, 10, "the screen")?;
        let mut frames = Self { bytes, colours: None, at: 13 };
        frames.colours = frames.table(flags)?;
        Ok(frames)
    }

    /// The colour table that `flags` announce, of 2 to 256 colours.
    fn table(&mut self, flags: u8) -> Result<Option<&'a [[u8; 3]]>> {
        if flags & 0x80 == 0 {
            return Ok(None);
        }
        let length = 3 * (2 << (flags & 7));
        let table = slice(self.bytes, self.at, length, "a colour table")?;
        self.at += length;
        Ok(Some(table.as_chunks().0))
    }

    /// Passes over blocks, to the empty one and behind it; gives the first.
    fn blocks(&mut self) -> Result<&'a [u8]> {
        let mut first = None;
        loop {
            let [length] = array(self.bytes, self.at, "a block")?;
            let block = slice(self.bytes, self.at + 1, length.into(), "a block")?;
            self.at += 1 + block.len();
            let first = *first.get_or_insert(block);
            if block.is_empty() {
                return Ok(first);
            }
        }
    }

    /// The next frame; nothing at the end.
    fn next(&mut self) -> Result<Option<Frame<'a>>> {
        // The first control block counts, of those before a frame.
        let mut control: Option<&[u8]> = None;
        loop {
            match self.bytes.get(self.at) {
                Some(0x2c) => break,
                Some(0x21) => {
                    let [label] = array(self.bytes, self.at + 1, "an extension")?;
                    self.at += 2;
                    let block = self.blocks()?;
                    if label == 0xf9 && !block.is_empty() {
                        control.get_or_insert(block);
                    }
                }
                _ => return Ok(None),
            }
        }
        let place: [u8; 9] = array(self.bytes, self.at + 1, "a frame's place")?;
        let [left, top, width, height] =
            [0, 2, 4, 6].map(|i| usize::from(u16::from_le_bytes([place[i], place[i + 1]])));
        if width == 0 || height == 0 {
            return Err(ImageError::damaged(self.at, "a frame has no pixels"));
        }
        self.at += 10;
        let colours = self.table(place[8])?.or(self.colours);
        let transparent = match control {
            Some([flags, _, _, index]) if flags & 1 != 0 => Some(*index),
            _ => None,
        };
        let data = self.at;
        self.at += 1;
        self.blocks()?;
        let interlaced = place[8] & 0x40 != 0;
        Ok(Some(Frame { left, top, width, height, interlaced, colours, transparent, data }))
    }
}

/// Reads the frames' places, without their pixels.
///
/// # Errors
/// The image is cut within one, or has none.
pub(super) fn header(bytes: &[u8]) -> Result<Header> {
    let mut frames = Frames::new(bytes)?;
    let (mut count, mut height, mut width, mut most) = (0_u32, 0, 0, 0);
    while let Some(frame) = frames.next()? {
        count += 1;
        (height, width) = (frame.height.max(height), frame.width.max(width));
        most = (frame.height * frame.width).max(most);
    }
    if count == 0 {
        return Err(ImageError::damaged(frames.at, "it has no frame"));
    }
    let pixels = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let size = (pixels(height), pixels(width));
    let working = 2 * most as u64 + size_of::<Codes>() as u64;
    Ok(Header { frames: count, animated: count > 1, ..Header::still(Format::Gif, size, 3, working) })
}

/// What decoding works with, kept between images.
#[derive(Default)]
pub(super) struct Work {
    codes: Box<Codes>,
    /// The indices of a frame, and those of an interlaced one as they are stored.
    indices: Vec<u8>,
    stored: Vec<u8>,
}

impl Work {
    /// Unpacks a frame's indices, each row in its place.
    fn unpack(&mut self, bytes: &[u8], frame: &Frame<'_>) -> Result<&[u8]> {
        let length = frame.height * frame.width;
        let indices = room(&mut self.indices, length)?;
        if !frame.interlaced {
            self.codes.unpack(bytes, frame.data, indices)?;
            return Ok(indices);
        }
        let stored = room(&mut self.stored, length)?;
        self.codes.unpack(bytes, frame.data, stored)?;
        // Every 8th row, those in the middle between, every 2nd of those between, and the rest.
        let order = [(0, 8), (4, 8), (2, 4), (1, 2)];
        let order = order.iter().flat_map(|(start, step)| (*start..frame.height).step_by(*step));
        for (row, stored) in order.zip(stored.chunks_exact(frame.width)) {
            indices[row * frame.width..][..frame.width].copy_from_slice(stored);
        }
        Ok(indices)
    }
}

/// Decodes the first `count` frames to (count, height, width, 3).
///
/// # Errors
/// A frame's indices are damaged, or there is no memory for it.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    count: u32,
    work: &mut Work,
    out: &mut Vec<u8>,
) -> Result<()> {
    let (height, width) = (header.height as usize, header.width as usize);
    let canvas = height * width * 3;
    let out = room(out, canvas * count as usize)?;
    let mut frames = Frames::new(bytes)?;
    for number in 0..count as usize {
        let Some(frame) = frames.next()? else { break };
        let (before, this) = out[..canvas * (number + 1)].split_at_mut(canvas * number);
        match before.len().checked_sub(canvas) {
            Some(start) => this.copy_from_slice(&before[start..]),
            None => this.fill(0),
        }
        let indices = work.unpack(bytes, &frame)?;
        let colours =
            frame.colours.ok_or_else(|| ImageError::damaged(frame.data, "a frame has no colours"))?;
        let visible = frame.width.min(width.saturating_sub(frame.left));
        let rows = frame.height.min(height.saturating_sub(frame.top));
        for (y, row) in indices.chunks_exact(frame.width).take(rows).enumerate() {
            let start = ((frame.top + y) * width + frame.left) * 3;
            let pixels = this.get_mut(start..start + visible * 3).unwrap_or_default();
            for (pixel, index) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(row) {
                if Some(*index) != frame.transparent {
                    *pixel = *colours.get(usize::from(*index)).ok_or_else(|| {
                        let what = format!("colour {index} is not among the {} there are", colours.len());
                        ImageError::damaged(frame.data, what)
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// Codes of 12 bits.
const MOST_CODES: usize = 4096;

/// The table of an LZW stream: a code is the string of the code before it and one index more.
struct Codes {
    prefix: [u16; MOST_CODES],
    last: [u8; MOST_CODES],
    first: [u8; MOST_CODES],
    length: [u16; MOST_CODES],
}

impl Default for Codes {
    fn default() -> Self {
        let (index, code) = ([0; MOST_CODES], [0; MOST_CODES]);
        Self { prefix: code, last: index, first: index, length: code }
    }
}

impl Codes {
    /// Fills `out` with the indices whose codes start at `at`.
    fn unpack(&mut self, bytes: &[u8], at: usize, out: &mut [u8]) -> Result<()> {
        let end = self.read(bytes, at, out)?;
        if end == out.len() {
            return Ok(());
        }
        Err(ImageError::damaged(at, format!("a frame ends after {end} of {} pixels", out.len())))
    }

    /// Unpacks into `out`; gives how many indices there were.
    fn read(&mut self, bytes: &[u8], at: usize, out: &mut [u8]) -> Result<usize> {
        let [size] = array(bytes, at, "the width of a code")?;
        if !(1..=8).contains(&size) {
            return Err(ImageError::damaged(
                at,
                format!("indices have {size} bits, and 1 to 8 are possible"),
            ));
        }
        let damaged = |at, what: &'static str| ImageError::damaged(at, what);
        let clear = 1_usize << size;
        for code in 0..clear {
            let index = u8::try_from(code).unwrap_or(0);
            (self.last[code], self.first[code], self.length[code]) = (index, index, 1);
        }
        let (mut next, mut bits, mut before) = (clear + 2, u32::from(size) + 1, None::<usize>);
        let (mut buffer, mut held) = (0_u32, 0);
        let (mut at, mut left) = (at + 1, 0);
        let mut end = 0;
        while end < out.len() {
            while held < bits {
                if left == 0 {
                    left = usize::from(array::<1>(bytes, at, "a frame's block")?[0]);
                    at += 1;
                    if left == 0 {
                        return Ok(end);
                    }
                }
                buffer |= u32::from(array::<1>(bytes, at, "a frame's block")?[0]) << held;
                (at, left, held) = (at + 1, left - 1, held + 8);
            }
            let code = (buffer & ((1 << bits) - 1)) as usize;
            (buffer, held) = (buffer >> bits, held - bits);
            if code == clear {
                (next, bits, before) = (clear + 2, u32::from(size) + 1, None);
                continue;
            }
            if code == clear + 1 {
                return Ok(end);
            }
            // A new string is the last one and the first index of this one; this one may be it.
            if let Some(before) = before
                && next < MOST_CODES
            {
                let first = self.first[if code == next { before } else { code }];
                self.prefix[next] = u16::try_from(before).unwrap_or(0);
                (self.last[next], self.first[next]) = (first, self.first[before]);
                self.length[next] = self.length[before] + 1;
                next += 1;
            }
            if code >= next {
                return Err(damaged(at, "a code is used before it is made"));
            }
            if next == 1 << bits && bits < 12 {
                bits += 1;
            }
            let length = usize::from(self.length[code]);
            let mut string = code;
            // From its end to its start; what does not fit is dropped.
            for place in (end..end + length).rev() {
                if let Some(index) = out.get_mut(place) {
                    *index = self.last[string];
                }
                string = usize::from(self.prefix[string]);
            }
            end = (end + length).min(out.len());
            before = Some(code);
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GIF with the colours red, green, blue, white; of each frame: left, top, width, height, indices, transparent.
    type Drawn<'a> = (u16, u16, u16, u16, &'a [u8], Option<u8>);

    fn gif(frames: &[Drawn<'_>]) -> Vec<u8> {
        let mut bytes = b"GIF89a\x09\0\x09\0\x81\0\0\xff\0\0\0\xff\0\0\0\xff\xff\xff\xff".to_vec();
        for (left, top, width, height, indices, transparent) in frames {
            let flag = u8::from(transparent.is_some());
            bytes.extend_from_slice(&[0x21, 0xf9, 4, flag, 0, 0, transparent.unwrap_or(0), 0, 0x2c]);
            for side in [left, top, width, height] {
                bytes.extend_from_slice(&side.to_le_bytes());
            }
            // Each index after a clear code, so that all codes have 3 bits; at last the end code.
            let codes = indices.iter().flat_map(|index| [4, *index]).chain([5]);
            let mut packed = Vec::new();
            let mut held = (0_u32, 0);
            for code in codes {
                held = (held.0 | u32::from(code) << held.1, held.1 + 3);
                while held.1 >= 8 {
                    packed.push(held.0.to_le_bytes()[0]);
                    held = (held.0 >> 8, held.1 - 8);
                }
            }
            packed.push(held.0.to_le_bytes()[0]);
            bytes.extend_from_slice(&[0, 2, u8::try_from(packed.len()).unwrap()]);
            bytes.extend_from_slice(&packed);
            bytes.push(0);
        }
        bytes.push(b';');
        bytes
    }

    fn all(bytes: &[u8]) -> Result<Vec<u8>> {
        let header = header(bytes)?;
        let mut out = Vec::new();
        decode(bytes, &header, header.frames, &mut Work::default(), &mut out)?;
        Ok(out)
    }

    const RED: [u8; 3] = [255, 0, 0];
    const GREEN: [u8; 3] = [0, 255, 0];
    const BLACK: [u8; 3] = [0; 3];

    #[test]
    fn the_canvas_is_that_of_the_largest_frame_and_uncovered_pixels_are_black() {
        let bytes = gif(&[(0, 0, 2, 1, &[0, 1], None), (1, 0, 1, 2, &[0, 0], None)]);
        let header = header(&bytes).unwrap();
        assert_eq!((header.frames, header.height, header.width), (2, 2, 2));
        let second = [RED, RED, BLACK, RED];
        assert_eq!(all(&bytes).unwrap(), [[RED, GREEN, BLACK, BLACK], second].as_flattened().as_flattened());
    }

    #[test]
    fn a_transparent_pixel_is_black_at_first_and_then_what_was_there() {
        let bytes = gif(&[(0, 0, 2, 1, &[0, 3], Some(3)), (0, 0, 2, 1, &[3, 1], Some(3))]);
        assert_eq!(all(&bytes).unwrap(), [[RED, BLACK], [RED, GREEN]].as_flattened().as_flattened());
    }

    #[test]
    fn a_cut_within_a_frame_is_an_error() {
        let bytes = gif(&[(0, 0, 2, 1, &[0, 1], None)]);
        for cut in 0..bytes.len() - 1 {
            assert!(all(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        // Without its end mark it is whole.
        assert_eq!(all(&bytes[..bytes.len() - 1]).unwrap(), all(&bytes).unwrap());
    }
}
