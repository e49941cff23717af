//! JPEG: its markers up to the first scan, and what libjpeg makes of the rest.

use super::exif;
use super::header::{Format, Header};
use super::jpeg_ffi::{self, Wanted};
use super::{ImageError, Result, array, room, slice};

/// A JPEG whose markers were read up to its first scan.
#[derive(Debug)]
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    height: u16,
    width: u16,
    components: u8,
    /// Blocks of 8 x 8 that all components have, padded to whole units; 0 where they need not be held.
    blocks: u64,
    /// Whether there is an Adobe marker: inks are stored inverted then.
    adobe: bool,
    orientation: u8,
}

/// The frame marker: what it says of the components' blocks.
struct Frame {
    height: u16,
    width: u16,
    components: u8,
    progressive: bool,
    blocks: u64,
}

/// libjpeg's `JPEG_MAX_DIMENSION`.
const MOST_SIDE: u16 = 65_500;

impl<'a> Jpeg<'a> {
    /// Reads the markers up to the first scan, as libjpeg does: bytes that belong to no marker are passed over.
    ///
    /// # Errors
    /// They are cut, are not those of an image, or tell of a process that neither libjpeg nor TensorFlow decodes.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut frame: Option<Frame> = None;
        let (mut adobe, mut orientation) = (false, None);
        let mut at = 2;
        loop {
            let (marker, start) = next_marker(bytes, at)?;
            match marker {
                // Markers without content.
                0x01 | 0xd0..=0xd7 => {
                    at = start;
                    continue;
                }
                0xd8 => return Err(ImageError::damaged(start, "a JPEG starts within this one")),
                0xd9 => return Err(ImageError::damaged(start, "the JPEG ends before its pixels")),
                _ => {}
            }
            let length = usize::from(u16::from_be_bytes(array(bytes, start, "a marker's length")?));
            let content = slice(bytes, start + 2, length.saturating_sub(2), "a marker's content")?;
            at = start + length.max(2);
            match marker {
                // Sequential or progressive, with Huffman's or arithmetic codes.
                0xc0..=0xc2 | 0xc9 | 0xca => {
                    if frame.is_some() {
                        return Err(ImageError::damaged(start, "it has two frames"));
                    }
                    frame = Some(read_frame(content, matches!(marker, 0xc2 | 0xca), start)?);
                }
                0xc3 | 0xc5..=0xc8 | 0xcb | 0xcd..=0xcf => {
                    let what =
                        format!("a JPEG of process {} is not decoded, nor by TensorFlow", marker - 0xc0);
                    return Err(ImageError::damaged(start, what));
                }
                0xe1 if orientation.is_none() => {
                    orientation = content.strip_prefix(b"Exif\0\0").and_then(exif::orientation);
                }
                0xee => adobe |= content.len() >= 12 && content.starts_with(b"Adobe"),
                0xda => {
                    let frame =
                        frame.ok_or_else(|| ImageError::damaged(start, "its scan comes before its frame"))?;
                    let in_scan = content.first().copied().unwrap_or(0);
                    let whole = frame.progressive || in_scan < frame.components;
                    return Ok(Self {
                        bytes,
                        height: frame.height,
                        width: frame.width,
                        components: frame.components,
                        blocks: if whole { frame.blocks } else { 0 },
                        adobe,
                        orientation: orientation.unwrap_or(1),
                    });
                }
                _ => {}
            }
        }
    }

    pub(super) fn header(&self) -> Header {
        let size = (u32::from(self.height), u32::from(self.width));
        let channels = if self.components == 1 { 1 } else { 3 };
        // Where the image comes in several scans, libjpeg holds all coefficients, 2 bytes each. Else it holds three rows
        // of units, of at most 4 rows of blocks, in every component; and tables, which never take as much as the rest.
        let rows = (u64::from(self.width) + 64) * u64::from(self.components) * (3 * 4 * 8 + 8);
        let inks = if self.components == 4 { 4 * u64::from(self.height) * u64::from(self.width) } else { 0 };
        Header {
            orientation: self.orientation,
            inks: self.components == 4,
            ..Header::still(Format::Jpeg, size, channels, self.blocks * 128 + rows + inks + (256 << 10))
        }
    }

    /// Decodes to (height, width, channels), as `tf.io.decode_jpeg(channels, ratio, dct_method)` does, with a size that is
    /// divided by `ratio` and rounded up.
    ///
    /// # Errors
    /// The image is damaged or cut, or there is no memory for it.
    pub(super) fn decode(
        &self,
        channels: u8,
        ratio: u8,
        fast: bool,
        stored: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let inks = self.components == 4;
        let (height, width) = (self.height.div_ceil(ratio.into()), self.width.div_ceil(ratio.into()));
        let pixels = usize::from(height) * usize::from(width);
        let wanted = Wanted {
            channels: if inks { 4 } else { channels },
            ratio,
            fast,
            height: height.into(),
            width: width.into(),
            rows_of_blocks: self.height.div_ceil(8),
        };
        let out = room(out, pixels * usize::from(channels))?;
        let decompress = |to: &mut [u8]| {
            jpeg_ffi::decompress(self.bytes, &wanted, to)
                .map_err(|stopped| ImageError::damaged(stopped.byte, stopped.message))
        };
        if !inks {
            return decompress(out);
        }
        let stored = room(stored, pixels * 4)?;
        decompress(stored)?;
        mix(stored, self.adobe, out);
        Ok(())
    }
}

/// Makes red, green and blue of four inks: what is left of the light after one ink and the black, rounded down. With an
/// Adobe marker, the inks are stored inverted. (`UncompressLow` in TensorFlow's `jpeg_mem.cc`.)
fn mix(inks: &[u8], adobe: bool, out: &mut [u8]) {
    let flip = if adobe { 0 } else { 255 };
    for (pixel, inks) in out.as_chunks_mut::<3>().0.iter_mut().zip(inks.as_chunks::<4>().0) {
        let [inks @ .., black] = inks.map(|ink| u16::from(ink ^ flip));
        *pixel = inks.map(|ink| (ink * black / 255).to_le_bytes()[0]);
    }
}

/// The marker that comes next at or after `at`, and where its content starts.
fn next_marker(bytes: &[u8], mut at: usize) -> Result<(u8, usize)> {
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(lead) = rest.iter().position(|byte| *byte == 0xff) else { break };
        let Some(fill) = rest[lead..].iter().position(|byte| *byte != 0xff) else { break };
        at += lead + fill + 1;
        // A zero after the lead makes it data.
        if rest[lead + fill] != 0 {
            return Ok((rest[lead + fill], at));
        }
    }
    Err(ImageError::damaged(bytes.len(), "the image is cut before its pixels"))
}

fn read_frame(content: &[u8], progressive: bool, at: usize) -> Result<Frame> {
    let [bits, h1, h2, w1, w2, components, ref list @ ..] = *content else {
        return Err(ImageError::damaged(at, "its frame is too short"));
    };
    let (height, width) = (u16::from_be_bytes([h1, h2]), u16::from_be_bytes([w1, w2]));
    if height == 0 || width == 0 {
        return Err(ImageError::damaged(at, "it has no pixels"));
    }
    if height > MOST_SIDE || width > MOST_SIDE {
        return Err(ImageError::damaged(at, format!("{height} x {width} is more than libjpeg decodes")));
    }
    if bits != 8 {
        return Err(ImageError::damaged(at, format!("it has {bits} bits a sample, and only 8 are decoded")));
    }
    if list.len() != 3 * usize::from(components) {
        return Err(ImageError::damaged(at, "its frame has another length than its components"));
    }
    if !matches!(components, 1 | 3 | 4) {
        let what = format!("it has {components} components, and only 1, 3 and 4 are decoded");
        return Err(ImageError::damaged(at, what));
    }
    let factors =
        || list.as_chunks::<3>().0.iter().map(|[_, hv, _]| (u64::from(hv >> 4), u64::from(hv & 15)));
    if factors().any(|(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err(ImageError::damaged(at, "its sampling factors are none"));
    }
    let units = |side: u16, most: u64| u64::from(side).div_ceil(8 * most);
    let across = units(width, factors().map(|(h, _)| h).max().unwrap_or(1));
    let down = units(height, factors().map(|(_, v)| v).max().unwrap_or(1));
    let blocks = across * down * factors().map(|(h, v)| h * v).sum::<u64>();
    Ok(Frame { height, width, components, progressive, blocks })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::image::Fault;

    /// A grey JPEG of 1 x 1, as small as one can be: its sample is 128.
    pub(in crate::image) fn dot() -> Vec<u8> {
        let mut bytes = b"\xff\xd8\xff\xdb\x00\x43\x00".to_vec();
        bytes.extend_from_slice(&[1; 64]);
        bytes.extend_from_slice(b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00");
        // Two tables of one code of one bit each, which says "nothing".
        for table in [0x00, 0x10] {
            bytes.extend_from_slice(&[0xff, 0xc4, 0, 20, table, 1]);
            bytes.extend_from_slice(&[0; 16]);
        }
        bytes.extend_from_slice(b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x3f\xff\xd9");
        bytes
    }

    fn decode(bytes: &[u8], channels: u8, ratio: u8) -> Result<Vec<u8>> {
        let (mut stored, mut out) = (Vec::new(), Vec::new());
        Jpeg::parse(bytes)?.decode(channels, ratio, true, &mut stored, &mut out)?;
        Ok(out)
    }

    #[test]
    fn markers_are_read_up_to_the_scan() {
        let header = Jpeg::parse(&dot()).unwrap().header();
        assert_eq!((header.height, header.width, header.channels, header.orientation), (1, 1, 1, 1));
    }

    #[test]
    fn grey_is_given_as_one_channel_or_three() {
        assert_eq!(decode(&dot(), 1, 1).unwrap(), [128]);
        assert_eq!(decode(&dot(), 3, 1).unwrap(), [128; 3]);
        assert_eq!(decode(&dot(), 1, 8).unwrap(), [128]);
    }

    #[test]
    fn a_cut_is_an_error_wherever_it_is() {
        let whole = dot();
        for cut in 0..whole.len() {
            let error = decode(&whole[..cut], 1, 1).expect_err("cut");
            assert_eq!(error.fault, Fault::Damaged);
            assert!(error.byte.unwrap() <= cut as u64);
        }
        let mut longer = whole.clone();
        longer.extend_from_slice(b"garbage after the end");
        assert_eq!(decode(&longer, 1, 1).unwrap(), decode(&whole, 1, 1).unwrap());
    }

    #[test]
    fn inks_are_mixed_as_tensorflow_does() {
        let mut pixel = [0; 3];
        mix(&[200, 100, 0, 128], true, &mut pixel);
        assert_eq!(pixel, [100, 50, 0]);
        mix(&[200, 100, 0, 128], false, &mut pixel);
        assert_eq!(pixel, [27, 77, 127]);
    }
}
