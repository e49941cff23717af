//! WAV: chunks of a RIFF file.
//!
//! ```text
//! "RIFF" u32 size "WAVE" │ chunk …     chunk: id of 4 letters, u32 bytes, the bytes, one more where they are odd
//! "fmt "  u16 tag, u16 channels, u32 rate, u32 bytes a second, u16 bytes of a sample of all channels, u16 bits │ …
//! "data"  the samples, channel by channel                                       all little-endian
//! ```

use super::{Format, Header, Layout, Stored, damaged, spread};
use crate::error::{Error, Result};

/// Format tags: integers, floats, and one behind which another stands.
const INTEGERS: u16 = 1;
const FLOATS: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;
/// Where in the format that other one stands.
const SUBFORMAT: usize = 24;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// What the chunk `fmt ` says.
struct How {
    stored: Stored,
    channels: u16,
    rate: u32,
    /// Bytes of a sample of all channels.
    frame: u16,
}

fn how(chunk: &[u8]) -> Result<How> {
    let cut = || damaged("what says how its samples are stored is cut");
    let number = |at: usize| u16_at(chunk, at).ok_or_else(cut);
    let (mut tag, channels, frame, bits) = (number(0)?, number(2)?, number(12)?, number(14)?);
    let rate = u32_at(chunk, 4).ok_or_else(cut)?;
    if tag == EXTENSIBLE {
        tag = number(SUBFORMAT)?;
    }
    let stored = match (tag, bits) {
        (INTEGERS, 8 | 16 | 24 | 32) => Stored::Integer(bits.into()),
        (FLOATS, 32 | 64) => Stored::Float(bits.into()),
        _ => return Err(not_read(tag, bits)),
    };
    if channels == 0 || u32::from(frame) != u32::from(channels) * u32::from(bits / 8) {
        return Err(damaged(format!(
            "it is said to have {channels} channels of {bits} bits in {frame} bytes"
        )));
    }
    Ok(How { stored, channels, rate, frame })
}

fn not_read(tag: u16, bits: u16) -> Error {
    let what = match tag {
        INTEGERS => format!("its samples have {bits} bits"),
        FLOATS => format!("its samples are floats of {bits} bits"),
        2 | 0x11 => "its samples are compressed by ADPCM".into(),
        6 => "its samples are compressed by A-law".into(),
        7 => "its samples are compressed by µ-law".into(),
        0x55 => "its samples are compressed as MP3".into(),
        other => format!("its samples are stored in a way numbered {other}"),
    };
    damaged(format!("{what}, which is not read"))
        .hint("write it as PCM, for example with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`")
}

/// The header of a file of `total` bytes, of which these are the first.
pub(super) fn header(bytes: &[u8], total: u64) -> Result<Header> {
    let riff = u32_at(bytes, 4).unwrap_or_default();
    let (mut at, mut format) = (12_usize, None);
    loop {
        let (Some(id), Some(size)) =
            (bytes.get(at..at.saturating_add(4)), u32_at(bytes, at.saturating_add(4)))
        else {
            return Err(damaged("there are no samples in it: it has no chunk `data`"));
        };
        let body = at + 8;
        let end = body.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        match id {
            b"fmt " => format = Some(how(&bytes[body..end.min(bytes.len())])?),
            b"data" => {
                let How { stored, channels, rate, frame } =
                    format.ok_or_else(|| damaged("what says how its samples are stored is missing"))?;
                let left = total.saturating_sub(body as u64);
                // Whoever writes a stream cannot go back to say how long it became.
                let streamed = size == u32::MAX || size == 0 && matches!(riff, 0 | 8 | u32::MAX);
                let size = if streamed { left } else { size.into() };
                if size > left {
                    return Err(damaged(format!(
                        "it is cut: its samples are said to have {size} bytes, and {left} are left"
                    )));
                }
                let length = Some(size / u64::from(frame));
                return Ok(Header { format: Format::Wav, rate, channels, length, stored, data: body });
            }
            _ => {}
        }
        // A chunk of odd length is filled up, though not by every program.
        at = end.saturating_add(usize::from(size % 2 == 1 && bytes.get(end) == Some(&0)));
    }
}

/// Puts the samples into `out`. The header says that they are there, and how many.
pub(super) fn decode(bytes: &[u8], header: &Header, layout: Layout, out: &mut Vec<u8>) {
    let Header { stored: Stored::Integer(bits) | Stored::Float(bits), .. } = *header;
    let length = usize::try_from(header.length.unwrap_or_default()).unwrap_or(usize::MAX);
    let data = bytes.get(header.data..).unwrap_or_default();
    let size = length.saturating_mul(layout.from).saturating_mul(bits as usize / 8);
    let data = &data[..size.min(data.len())];
    out.resize(length.saturating_mul(layout.to).saturating_mul(layout.depth.dtype().size()), 0);
    match header.stored {
        Stored::Integer(8) => integers(data, layout, bits, out, |[byte]| i32::from(byte) - 128),
        Stored::Integer(16) => integers(data, layout, bits, out, |bytes| i16::from_le_bytes(bytes).into()),
        Stored::Integer(24) => {
            integers(data, layout, bits, out, |[a, b, c]| i32::from_le_bytes([0, a, b, c]) >> 8);
        }
        Stored::Integer(_) => integers(data, layout, bits, out, i32::from_le_bytes),
        #[expect(clippy::cast_possible_truncation, reason = "as libsndfile rounds it")]
        Stored::Float(64) => floats(data, layout, out, |bytes| f64::from_le_bytes(bytes) as f32),
        Stored::Float(_) => floats(data, layout, out, f32::from_le_bytes),
    }
}

/// Calls `put` with the samples that go from a place on into every so-many-th one.
fn each_plane<'d, const N: usize>(
    data: &'d [u8],
    layout: Layout,
    mut put: impl FnMut(std::iter::StepBy<std::slice::Iter<'d, [u8; N]>>, (usize, usize)),
) {
    let samples = data.as_chunks::<N>().0;
    for channel in 0..layout.to {
        let plane = samples.get(layout.source(channel)..).unwrap_or_default();
        put(plane.iter().step_by(layout.from), (channel, layout.to));
    }
}

fn integers<const N: usize>(
    data: &[u8],
    layout: Layout,
    bits: u32,
    out: &mut [u8],
    value: impl Fn([u8; N]) -> i32,
) {
    if layout.from == layout.to {
        return layout.put(data.as_chunks::<N>().0.iter().map(|sample| value(*sample)), bits, (0, 1), out);
    }
    each_plane(data, layout, |plane, at| layout.put(plane.map(|sample| value(*sample)), bits, at, out));
}

fn floats<const N: usize>(data: &[u8], layout: Layout, out: &mut [u8], value: impl Fn([u8; N]) -> f32) {
    let make = |sample: &[u8; N]| value(*sample).to_ne_bytes();
    if layout.from == layout.to {
        return spread(data.as_chunks::<N>().0.iter(), (0, 1), out, make);
    }
    each_plane(data, layout, |plane, at| spread(plane, at, out, make));
}
