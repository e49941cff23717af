//! An encoded sound as numbers: of its header alone where only the shape is wanted, of its samples where the values are.

use smallvec::smallvec;

use super::view::{Data, Look, Numbers};
use crate::audio::{self, DecodeOptions, Depth, Format, Header};
use crate::error::{Error, Result};

/// The most bytes of a channel that decoding FLAC takes beside the samples: a frame's.
const FRAME_BYTES: u64 = 256 << 10;

/// What is known of a sound beside its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundFacts {
    /// Samples a second.
    pub rate: u32,
    /// How long it is, in thousandths of a second.
    pub milliseconds: u64,
    /// The most that decoding takes, in bytes, samples and all.
    pub scratch: u64,
}

/// How sounds are decoded.
pub(super) struct Wanted {
    pub depth: Depth,
    /// Whether there is one channel, and no axis for it.
    pub mono: bool,
    /// How many channels are wanted.
    pub channels: Option<u8>,
}

impl Wanted {
    /// Sees a sound of `total` bytes, of which these are the first. Samples are put into `out`, and may take `most` bytes.
    pub(super) fn numbers<'a>(
        &self,
        payload: &[u8],
        total: u64,
        look: Look,
        out: &'a mut Vec<u8>,
        most: u64,
    ) -> Result<Numbers<'a>> {
        let header = Header::read(payload, total)?;
        let options = DecodeOptions { depth: self.depth, channels: self.channels.map(u16::from) };
        let channels = options.channels.unwrap_or(header.channels);
        if self.mono && channels != 1 {
            return Err(Error::input(format!("the sound has {channels} channels, and one is wanted"))
                .hint("`channels=1` takes the first"));
        }
        out.clear();
        let length = match header.length {
            Some(length) if look == Look::Outline => length,
            _ => audio::decode(payload, &header, &options, most, out)?,
        };
        let samples = length.saturating_mul(channels.into());
        let bytes = samples.saturating_mul(self.depth.dtype().size() as u64);
        let frame_bytes = if header.format == Format::Flac { FRAME_BYTES } else { 0 };
        let facts = SoundFacts {
            rate: header.rate,
            milliseconds: length.saturating_mul(1000) / u64::from(header.rate).max(1),
            scratch: bytes.saturating_add(frame_bytes.saturating_mul(header.channels.into())),
        };
        Ok(Numbers {
            dtype: Some(self.depth.dtype()),
            shape: if self.mono { smallvec![length] } else { smallvec![length, channels.into()] },
            data: Data::native(out),
            image: None,
            sound: Some(facts),
        })
    }
}
