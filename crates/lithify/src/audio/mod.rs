//! Encoded sounds as samples, of shape (samples, channels): of WAV what `tf.audio.decode_wav` gives of all that it reads, bit
//! by bit; of other WAV files and of FLAC what libsndfile gives as float32.
//!
//! ```text
//!            ┌─▶ Header::read ──▶ length, channels, rate    (planning: no sample is decoded)
//! bytes ─────┤
//!            └─▶ decode ──▶ samples, one after another
//! ```
//! A sample of *n* bits is divided by 2ⁿ⁻¹, so that it lies in [-1, 1); one of 8 bits in a WAV file has 128 taken off first.
//! As integers, samples of fewer bits are shifted to the top: what they are as floats does not change. (TensorFlow:
//! `core/lib/wav/wav_io.cc`.)
//!
//! Where it differs from TensorFlow, on purpose:
//! - Chunks of odd length are followed by the byte that fills them up, where there is one.
//! - What stands behind the samples does not matter.
//! - A file that was written as it came, and so does not tell how long it is, ends where its samples do.

use crate::error::{Error, ErrorKind, Result};
use crate::value::DType;

mod bits;
mod flac;
mod wav;

/// A format of sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RIFF files of type WAVE.
    Wav,
    /// FLAC streams.
    Flac,
}

impl Format {
    /// The format of a sound that begins with these bytes.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Self::Wav),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            _ => None,
        }
    }
}

/// What samples become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Floats in [-1, 1).
    #[default]
    Float32,
    /// Integers of 16 bits, to whose top they are shifted.
    Int16,
    /// Integers of 32 bits, to whose top they are shifted.
    Int32,
    /// Integers as they are stored, those of 24 bits as of 32: what TensorFlow Datasets stores.
    Int64,
}

impl Depth {
    /// The dtype of the samples.
    #[must_use]
    pub fn dtype(self) -> DType {
        match self {
            Self::Float32 => DType::Float32,
            Self::Int16 => DType::Int16,
            Self::Int32 => DType::Int32,
            Self::Int64 => DType::Int64,
        }
    }

    /// What gives samples of this dtype.
    #[must_use]
    pub fn of(dtype: DType) -> Option<Self> {
        [Self::Float32, Self::Int16, Self::Int32, Self::Int64]
            .into_iter()
            .find(|depth| depth.dtype() == dtype)
    }
}

/// How a sample is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// As an integer of so many bits; in a WAV file of whole bytes, little-endian, and without a sign if it is one byte.
    Integer(u32),
    /// As a float of so many bits.
    Float(u32),
}

/// What is known of a sound before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its format.
    pub format: Format,
    /// Samples a second.
    pub rate: u32,
    /// How many channels it has.
    pub channels: u16,
    /// How many samples each channel has; `None` where only decoding tells.
    pub length: Option<u64>,
    stored: Stored,
    /// Where the samples start.
    data: usize,
}

/// How a sound is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// What its samples become.
    pub depth: Depth,
    /// How many channels are wanted, where it is not as many as there are: the first ones, or the last one again and again.
    pub channels: Option<u16>,
}

fn damaged(why: impl std::fmt::Display) -> Error {
    Error::input(format!("the sound cannot be decoded: {why}"))
}

/// Whether the first bytes of a sound of `total` bytes hold all that [`Header::read`] reads of it, and tell how long it is.
#[must_use]
pub fn is_head(bytes: &[u8], total: u64) -> bool {
    Header::read(bytes, total).is_ok_and(|header| header.length.is_some())
}

impl Header {
    /// Reads the header of a sound of `total` bytes, of which these are the first.
    ///
    /// # Errors
    /// It is damaged, or of a kind that is not read.
    pub fn read(bytes: &[u8], total: u64) -> Result<Self> {
        match Format::of(bytes) {
            Some(Format::Wav) => wav::header(bytes, total).map_err(damaged),
            Some(Format::Flac) => flac::header(bytes, total).map_err(damaged),
            None => Err(damaged("it is neither WAV nor FLAC")),
        }
    }
}

/// Decodes a sound, and puts its samples into `out`, as they lie in this machine's memory; gives how many each channel has.
/// They may take `most` bytes.
///
/// # Errors
/// It is damaged, cannot be given as it is wanted, or has more samples.
pub fn decode(
    bytes: &[u8],
    header: &Header,
    options: &DecodeOptions,
    most: u64,
    out: &mut Vec<u8>,
) -> Result<u64> {
    out.clear();
    if let (Stored::Float(_), false) = (header.stored, options.depth == Depth::Float32) {
        return Err(damaged("its samples are floats, and integers are wanted"));
    }
    let room = match options.depth {
        Depth::Int16 => 16,
        Depth::Float32 | Depth::Int32 | Depth::Int64 => 32,
    };
    if let Stored::Integer(bits) = header.stored
        && bits > room
    {
        return Err(damaged(format!("its samples have {bits} bits, which do not go into {room}"))
            .hint("take them as `dtype=int32`, or as the floats that they are by default"));
    }
    let channels = options.channels.unwrap_or(header.channels);
    let frame = u64::from(channels) * options.depth.dtype().size() as u64;
    let layout = Layout { depth: options.depth, from: header.channels.into(), to: channels.into() };
    if let Some(length) = header.length {
        check_size(length.saturating_mul(frame), most)?;
    }
    match header.format {
        Format::Wav => wav::decode(bytes, header, layout, out),
        Format::Flac => flac::decode(bytes, header, layout, most, out)?,
    }
    Ok(out.len() as u64 / frame.max(1))
}

fn check_size(bytes: u64, most: u64) -> Result<()> {
    if bytes <= most {
        return Ok(());
    }
    let message = format!(
        "the sound has {bytes} bytes of samples, more than the {most} that the memory budget leaves for one"
    );
    Err(Error::new(ErrorKind::Resources, message).hint("give more memory with `--memory`"))
}

/// How samples lie in the output.
#[derive(Clone, Copy)]
struct Layout {
    depth: Depth,
    /// Channels that there are, and that there will be.
    from: usize,
    to: usize,
}

impl Layout {
    /// The channel that becomes this one.
    fn source(&self, channel: usize) -> usize {
        channel.min(self.from.saturating_sub(1))
    }

    /// Puts samples, which are integers of so many bits, from a place on into every `step`-th one.
    fn put(&self, samples: impl Iterator<Item = i32>, bits: u32, at: (usize, usize), out: &mut [u8]) {
        #[expect(clippy::cast_precision_loss, reason = "rounded as TensorFlow and libsndfile do")]
        #[expect(
            clippy::cast_possible_truncation,
            reason = "samples of more bits than there is room for are refused"
        )]
        match self.depth {
            Depth::Float32 => {
                let scale = 1.0 / (1_u64 << (bits - 1)) as f32;
                spread(samples, at, out, |sample| (sample as f32 * scale).to_ne_bytes());
            }
            Depth::Int16 => spread(samples, at, out, |sample| ((sample << (16 - bits)) as i16).to_ne_bytes()),
            Depth::Int32 => spread(samples, at, out, |sample| (sample << (32 - bits)).to_ne_bytes()),
            Depth::Int64 => {
                let up = if bits == 24 { 8 } else { 0 };
                spread(samples, at, out, |sample| i64::from(sample << up).to_ne_bytes());
            }
        }
    }
}

/// Puts what is made of samples from a place on into every `step`-th one.
fn spread<S, const N: usize>(
    samples: impl Iterator<Item = S>,
    (place, step): (usize, usize),
    out: &mut [u8],
    make: impl Fn(S) -> [u8; N],
) {
    let places = out.as_chunks_mut::<N>().0.get_mut(place..).unwrap_or_default();
    if step == 1 {
        places.iter_mut().zip(samples).for_each(|(place, sample)| *place = make(sample));
    } else {
        places.iter_mut().step_by(step).zip(samples).for_each(|(place, sample)| *place = make(sample));
    }
}
