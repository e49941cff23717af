//! What an encoded image says of itself, read from its first bytes.

use super::{ImageError, Result, bmp, gif, jpeg, png, tiff, webp};

/// How an image is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
}

impl Format {
    /// Goes by the first bytes, as TensorFlow does (`ClassifyFileFormat`), which knows no TIFF.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', ..] => Some(Self::Gif),
            [b'B', b'M', ..] => Some(Self::Bmp),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', _, ..] => Some(Self::WebP),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            _ => None,
        }
    }

    /// The format's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        }
    }
}

/// What an image says of itself. Nothing is decoded to learn it, little (of TIFF, up to 8 MiB) or nothing is allocated, and
/// no length in it is believed beyond what the bytes bear out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it is encoded.
    pub format: Format,
    /// Rows of samples, at least 1. For a GIF, of its highest frame; for others with frames, of the canvas.
    pub height: u32,
    /// Samples in a row, at least 1, likewise.
    pub width: u32,
    /// Samples of a pixel, where none are asked for: 1 grey, 2 grey and alpha, 3 red, green, blue, 4 those and alpha.
    pub channels: u8,
    /// Bits of a sample: 8, also where there are fewer in the image, or 16.
    pub bits: u8,
    /// Frames, at least 1. For an animated PNG it is 1: its default image is what it is decoded to.
    pub frames: u32,
    /// Whether it is meant to move. A GIF of one frame is not.
    pub animated: bool,
    /// How a JPEG is to be turned to be seen upright, from 1 (as it is) to 8: the Exif tag 0x0112. 1 for other formats.
    pub orientation: u8,
    /// Whether a JPEG has four inks, of which three channels are made, and none else.
    pub(super) inks: bool,
    /// An upper bound for what decoding takes beside the samples that are decoded to, in bytes.
    pub(super) working: u64,
}

/// Whether the first bytes of an image hold all that [`Header::read`] reads of it, so that it gives the same of them as of
/// all. That is known of JPEG and PNG; of the others, parts may stand anywhere.
#[must_use]
pub fn is_head(bytes: &[u8]) -> bool {
    matches!(Format::of(bytes), Some(Format::Jpeg | Format::Png)) && Header::read(bytes).is_ok()
}

impl Header {
    /// A header of one frame that is not turned.
    pub(super) fn still(format: Format, (height, width): (u32, u32), channels: u8, working: u64) -> Self {
        Self {
            format,
            height,
            width,
            channels,
            bits: 8,
            frames: 1,
            animated: false,
            orientation: 1,
            inks: false,
            working,
        }
    }

    /// Reads what comes before the pixels; of GIF and `WebP`, the headers of all frames.
    ///
    /// # Errors
    /// The bytes are no image of a known format, or one that is damaged or cut in what is read here.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        match Format::of(bytes) {
            Some(Format::Jpeg) => jpeg::Jpeg::parse(bytes).map(|jpeg| jpeg.header()),
            Some(Format::Png) => png::Png::parse(bytes).map(|png| png.header()),
            Some(Format::WebP) => webp::header(bytes),
            Some(Format::Gif) => gif::header(bytes),
            Some(Format::Bmp) => bmp::Bmp::parse(bytes).map(|bmp| bmp.header()),
            Some(Format::Tiff) => super::decode::fenced(|| tiff::header(bytes)),
            None if bytes.is_empty() => Err(ImageError::damaged(0, "there are no bytes")),
            None => Err(ImageError::damaged(0, "it starts like no image (JPEG, PNG, WebP, GIF, BMP, TIFF)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_what_the_whole_does() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\x02tRNS\0\0v\x93\xcd8\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";
        for (whole, enough) in [(&png[..], 55), (&jpeg::tests::dot()[..], 138)] {
            let header = Header::read(whole).unwrap();
            for end in 0..=whole.len() {
                let head = &whole[..end];
                assert_eq!(is_head(head), end >= enough, "{:?}, {end} bytes", header.format);
                assert!(!is_head(head) || Header::read(head).unwrap() == header);
            }
        }
    }
}
