//! Encoded images to samples, and what that takes, known beforehand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::header::{Format, Header};
use super::{Fault, ImageError, Result, bmp, exif, gif, jpeg, png, room, tiff, webp};

/// Whose samples are wanted, where decoders differ: in JPEG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// TensorFlow's, which decodes with the fast integer DCT unless it is told otherwise.
    #[default]
    Tf,
    /// Those of the accurate integer DCT, as Pillow, `OpenCV` and TensorFlow's `INTEGER_ACCURATE` give them.
    Accurate,
}

/// How many bits a sample is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// 8. Of samples with 16, the high byte.
    #[default]
    U8,
    /// 16. Samples with 8 are multiplied by 257 in a PNG and by 256 elsewhere, as TensorFlow does.
    U16,
}

/// How an image is to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// How many samples a pixel is to have; as many as it has where nothing (or 0) is said.
    pub channels: Option<u8>,
    /// Whose samples.
    pub dialect: Dialect,
    /// Bits of a sample.
    pub depth: Depth,
    /// A JPEG's height and width are divided by 1, 2, 4 or 8 and rounded up; other formats keep theirs, as in TensorFlow.
    pub ratio: u8,
    /// Whether a JPEG is turned upright as its Exif orientation says, which TensorFlow never does.
    pub exif_apply: bool,
    /// Whether formats that have frames (GIF and `WebP`) give all of them, with an axis for them: TensorFlow's
    /// `expand_animations`. Else, the first one is given like an image of other formats.
    pub all_frames: bool,
    /// The most that decoding may take, samples and all, in bytes: see [`scratch_bytes`].
    pub limit: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            channels: None,
            dialect: Dialect::Tf,
            depth: Depth::U8,
            ratio: 1,
            exif_apply: false,
            all_frames: false,
            limit: u64::MAX,
        }
    }
}

/// The shape of a decoded image: (height, width, channels), or (frames, height, width, channels).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct OutputShape {
    pub frames: Option<u32>,
    pub height: u32,
    pub width: u32,
    pub channels: u8,
}

impl OutputShape {
    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        [self.height, self.width, self.channels.into(), self.frames.unwrap_or(1)]
            .iter()
            .fold(1, |count, side| count.saturating_mul(u64::from(*side)))
    }
}

/// The samples of a decoded image, in C order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Samples<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
}

/// A decoded image, lent from a [`Scratch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Its shape, which [`output_shape`] knows beforehand.
    pub shape: OutputShape,
    /// As many samples as the shape says.
    pub samples: Samples<'a>,
}

/// What decoding works with: buffers that are kept between images, so that images of one size are decoded without new
/// memory, where the decoders of their formats allow. One per thread.
#[derive(Default)]
pub struct Scratch {
    samples: Vec<u8>,
    wide: Vec<u16>,
    turned: Vec<u8>,
    line: Vec<u8>,
    png: png::Work,
    gif: gif::Work,
    webp: webp::Work,
}

impl Scratch {
    /// Buffers that hold nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// The shape that [`decode`] gives.
///
/// # Errors
/// The format has no such channels or bits in TensorFlow: JPEG has 1 or 3 (of four inks, 3), PNG 1, 3 or 4, GIF 3, BMP 3 or 4,
/// `WebP` those it has, and never 16 bits. TIFF has those it has, 3 or 4.
pub fn output_shape(header: &Header, options: &DecodeOptions) -> Result<OutputShape> {
    let wanted = options.channels.unwrap_or(0);
    let possible: &[u8] = match header.format {
        Format::Jpeg if header.inks => &[3],
        Format::Jpeg => &[1, 3],
        Format::Png => &[1, 3, 4],
        Format::Gif => &[3],
        Format::Bmp => &[3, 4],
        Format::WebP => &[header.channels],
        Format::Tiff => &[header.channels, 3, 4],
    };
    if wanted != 0 && !possible.contains(&wanted) {
        let (name, has) = (header.format.name(), header.channels);
        let mut possible = possible.to_vec();
        possible.sort_unstable();
        possible.dedup();
        let possible = possible.iter().map(u8::to_string).collect::<Vec<_>>().join(" or ");
        return Err(ImageError::request(format!(
            "a {name} of {has} channels cannot be given with {wanted}, only with {possible}"
        )));
    }
    if header.format == Format::WebP && options.depth == Depth::U16 {
        return Err(ImageError::request("a WebP cannot be given with 16 bits, nor by TensorFlow"));
    }
    if !matches!(options.ratio, 1 | 2 | 4 | 8) {
        return Err(ImageError::request(format!("the ratio is 1, 2, 4 or 8, and not {}", options.ratio)));
    }
    let ratio = if header.format == Format::Jpeg { options.ratio.into() } else { 1 };
    let (mut height, mut width) = (header.height.div_ceil(ratio), header.width.div_ceil(ratio));
    if options.exif_apply && exif::turns_over(header.orientation) {
        (height, width) = (width, height);
    }
    let has_frames = matches!(header.format, Format::Gif | Format::WebP);
    let frames = (options.all_frames && has_frames).then_some(header.frames);
    Ok(OutputShape { frames, height, width, channels: if wanted == 0 { header.channels } else { wanted } })
}

/// An upper bound for the memory that decoding takes, in bytes: the samples, and all that the decoder holds beside them.
/// A [`Scratch`] keeps what its largest image took.
///
/// # Errors
/// As [`output_shape`].
pub fn scratch_bytes(header: &Header, options: &DecodeOptions) -> Result<u64> {
    /// A scratch that holds nothing: the tables of the decoders.
    const EMPTY: u64 = 128 << 10;
    let samples = output_shape(header, options)?.samples();
    let turned = options.exif_apply && header.orientation != 1;
    // Made 16 bits wide, they are there in 8 bits, too; turned, as they were stored, too.
    let copies = if options.depth == Depth::U16 { 3 } else { 1 } + u64::from(turned);
    Ok(samples.saturating_mul(copies).saturating_add(header.working).saturating_add(EMPTY))
}

/// Decodes an image.
///
/// Decoders that were written elsewhere may panic on images that were made to hurt; that is an error, too. What the panic
/// hook prints is not suppressed: the hook belongs to the process, not to a library, and such a panic is a bug that should
/// be seen. Errors of libjpeg do not go that way.
///
/// # Errors
/// The image is damaged or cut, cannot be given as asked for ([`output_shape`]), or takes more than the limit.
pub fn decode<'a>(bytes: &[u8], options: &DecodeOptions, scratch: &'a mut Scratch) -> Result<Image<'a>> {
    decode_as(bytes, &Header::read(bytes)?, options, scratch)
}

/// As [`decode`], where the header of these bytes was read before.
///
/// # Errors
/// As [`decode`].
pub fn decode_as<'a>(
    bytes: &[u8],
    header: &Header,
    options: &DecodeOptions,
    scratch: &'a mut Scratch,
) -> Result<Image<'a>> {
    fenced(|| decode_unfenced(bytes, header, options, scratch))
}

/// Makes an error of a panic.
pub(super) fn fenced<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What is broken by a panic is a scratch, whose buffers hold plain numbers that the next image overwrites.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(ImageError {
            fault: Fault::Damaged,
            byte: None,
            message: "the decoder of its format failed on it (a bug: please report it)".into(),
        })
    })
}

fn decode_unfenced<'a>(
    bytes: &[u8],
    header: &Header,
    options: &DecodeOptions,
    scratch: &'a mut Scratch,
) -> Result<Image<'a>> {
    let shape = output_shape(header, options)?;
    let takes = scratch_bytes(header, options)?;
    if takes > options.limit {
        let (height, width, frames) = (header.height, header.width, header.frames);
        let frames = if frames > 1 { format!("{frames} frames of ") } else { String::new() };
        return Err(ImageError::memory(format!(
            "an image of {frames}{height} x {width} takes up to {takes} bytes to decode, more than the {} allowed",
            options.limit
        )));
    }
    let Scratch { samples, wide, turned, line, png: png_work, gif: gif_work, webp: webp_work } = scratch;
    let count =
        usize::try_from(shape.samples()).map_err(|_| ImageError::memory("an image has too many samples"))?;
    let narrow = options.depth == Depth::U8;
    let frames = shape.frames.unwrap_or(1);
    // Decoders of formats that have 16 bits give what is wanted; others give 8, which are made 16 below.
    let mut is_wide = false;
    match header.format {
        Format::Jpeg => {
            let fast = options.dialect == Dialect::Tf;
            jpeg::Jpeg::parse(bytes)?.decode(shape.channels, options.ratio, fast, line, samples)?;
        }
        Format::Png if narrow => png::Png::parse(bytes)?.decode(shape.channels, png_work, samples)?,
        Format::Png => {
            png::Png::parse(bytes)?.decode(shape.channels, png_work, wide)?;
            is_wide = true;
        }
        Format::Gif => gif::decode(bytes, header, frames, gif_work, samples)?,
        Format::Bmp => bmp::Bmp::parse(bytes)?.decode(shape.channels, samples)?,
        Format::WebP => webp::decode(bytes, header, frames, webp_work, samples)?,
        Format::Tiff => match tiff::read(bytes, header)? {
            tiff::Stored::Bytes(stored) => tiff::expand(&stored, header, shape.channels, u8::MAX, samples)?,
            tiff::Stored::Words(stored) if narrow => {
                let stored: Vec<u8> = stored.iter().map(|sample| sample.to_be_bytes()[0]).collect();
                tiff::expand(&stored, header, shape.channels, u8::MAX, samples)?;
            }
            tiff::Stored::Words(stored) => {
                tiff::expand(&stored, header, shape.channels, u16::MAX, wide)?;
                is_wide = true;
            }
        },
    }
    let mut given = samples.get(..count).unwrap_or_default();
    if options.exif_apply && header.orientation != 1 {
        let channels = usize::from(shape.channels);
        let (height, width) = (shape.height as usize, shape.width as usize);
        let stored = if exif::turns_over(header.orientation) { (width, height) } else { (height, width) };
        given = exif::turn(given, (stored.0, stored.1, channels), header.orientation, turned)?;
    }
    let samples = match (narrow, is_wide) {
        (true, _) => Samples::U8(given),
        (false, true) => Samples::U16(&wide[..count]),
        (false, false) => {
            let wide = room(wide, count)?;
            wide.iter_mut().zip(given).for_each(|(wide, sample)| *wide = u16::from(*sample) << 8);
            Samples::U16(wide)
        }
    };
    Ok(Image { shape, samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Exif segment that turns a JPEG.
    const TURN: &[u8] =
        b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

    /// A BMP of 2 x 1 pixels: (3, 2, 1) and (6, 5, 4).
    fn bmp() -> Vec<u8> {
        let mut bytes = b"BM".to_vec();
        bytes.resize(54, 0);
        for (at, value) in [(10, 54), (18, 2), (22, 1), (28, 24)] {
            bytes[at] = value;
        }
        bytes.extend_from_slice(&[1, 2, 3, 4, 5, 6, 0, 0]);
        bytes
    }

    #[test]
    fn samples_of_8_bits_become_16_as_tensorflow_makes_them() {
        let options = DecodeOptions { depth: Depth::U16, ..DecodeOptions::default() };
        let mut scratch = Scratch::new();
        let image = decode(&bmp(), &options, &mut scratch).unwrap();
        assert_eq!(image.samples, Samples::U16(&[3, 2, 1, 6, 5, 4].map(|sample: u16| sample * 256)));
        assert_eq!(image.shape, OutputShape { frames: None, height: 1, width: 2, channels: 3 });
    }

    #[test]
    fn what_takes_more_than_the_limit_is_refused() {
        let header = Header::read(&bmp()).unwrap();
        let takes = scratch_bytes(&header, &DecodeOptions::default()).unwrap();
        let mut scratch = Scratch::new();
        let enough = DecodeOptions { limit: takes, ..DecodeOptions::default() };
        assert!(decode(&bmp(), &enough, &mut scratch).is_ok());
        let error = decode(&bmp(), &DecodeOptions { limit: takes - 1, ..enough }, &mut scratch).unwrap_err();
        assert_eq!(error.fault, Fault::Memory);
    }

    #[test]
    fn a_shape_is_known_beforehand() {
        let mut bytes = jpeg::tests::dot();
        bytes.splice(2..2, TURN.iter().copied());
        let header = Header { height: 9, width: 4, ..Header::read(&bytes).unwrap() };
        assert_eq!(header.orientation, 6);
        let shape = |options: &DecodeOptions| {
            let shape = output_shape(&header, options).unwrap();
            (shape.frames, shape.height, shape.width, shape.channels)
        };
        let options = DecodeOptions::default();
        assert_eq!(shape(&options), (None, 9, 4, 1));
        assert_eq!(shape(&DecodeOptions { exif_apply: true, all_frames: true, ..options }), (None, 4, 9, 1));
        assert_eq!(shape(&DecodeOptions { ratio: 8, channels: Some(3), ..options }), (None, 2, 1, 3));
        for impossible in
            [DecodeOptions { channels: Some(4), ..options }, DecodeOptions { ratio: 3, ..options }]
        {
            assert_eq!(output_shape(&header, &impossible).unwrap_err().fault, Fault::Request);
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = fenced::<()>(|| std::panic::resume_unwind(Box::new("a decoder's"))).unwrap_err();
        assert_eq!(error.fault, Fault::Damaged);
    }

    #[test]
    fn what_starts_like_no_image_is_refused() {
        for bytes in [&b""[..], b"RIFF", b"GIF8", b"BM", b"\xff\xd8\xff", b"II*\0", b"P6 1 1 255"] {
            assert!(decode(bytes, &DecodeOptions::default(), &mut Scratch::new()).is_err());
        }
    }
}
