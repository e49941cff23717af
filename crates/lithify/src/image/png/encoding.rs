//! What a PNG says of how its samples were encoded. libpng does not correct colours unless it is asked to, and TensorFlow
//! does not ask; but when it makes grey of colours, it weighs the light that they stand for.

use flate2::{Crc, Decompress, FlushDecompress};

use super::chunks::Png;

/// How samples were encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoding {
    /// The exponent, in 100,000ths.
    pub gamma: Option<u32>,
    /// How many bits of a sample are significant (`sBIT`); 0 where nothing is said.
    pub bits: u8,
}

/// `PNG_GAMMA_sRGB_INVERSE`.
const SRGB: u32 = 45_455;

/// libpng's `colorspace`, as far as it is about the exponent.
#[derive(Default)]
struct Space {
    gamma: Option<u32>,
    /// Whether something in it was wrong; then nothing that follows counts (`PNG_COLORSPACE_INVALID`).
    is_over: bool,
    has_gamma_chunk: bool,
    is_srgb: bool,
}

impl Png<'_> {
    /// What the chunks before the palette say together.
    pub(super) fn encoding(&self, inflater: &mut Decompress) -> Encoding {
        let mut space = Space::default();
        let mut bits = 0;
        let before_palette = self.chunks_before().take_while(|(chunk, _)| chunk.name != *b"PLTE");
        for (chunk, bytes) in before_palette {
            match (&chunk.name, chunk.content) {
                (b"gAMA", [a, b, c, d]) if chunk.is_sound(bytes) => {
                    space.take_gamma(u32::from_be_bytes([*a, *b, *c, *d]));
                }
                (b"sRGB", [intent]) if chunk.is_sound(bytes) => space.take_srgb(*intent < 4),
                (b"iCCP", content) if content.len() >= 14 && !space.is_over => {
                    match if space.is_srgb { Profile::Wrong } else { Profile::read(content, inflater) } {
                        Profile::Srgb => space.take_srgb(true),
                        Profile::Wrong => space.is_over = true,
                        Profile::Other => {}
                    }
                }
                (b"sBIT", content) if bits == 0 && chunk.is_sound(bytes) => {
                    let colours = content.iter().take(3);
                    bits = if content.len() == self.stored_channels() && !content.contains(&0) {
                        colours.copied().max().unwrap_or(0)
                    } else {
                        0
                    };
                }
                _ => {}
            }
        }
        Encoding { gamma: space.gamma, bits }
    }
}

impl Space {
    /// `png_colorspace_set_gamma`.
    fn take_gamma(&mut self, value: u32) {
        if self.has_gamma_chunk || !(16..=625_000_000).contains(&value) {
            self.is_over = true;
        } else if !self.is_over {
            // Beside sRGB, only one that agrees with it.
            let (known, value64) = (u64::from(self.gamma.unwrap_or(value)), u64::from(value));
            if !is_significant((known * 100_000 + value64 / 2) / value64) {
                (self.gamma, self.has_gamma_chunk) = (Some(value), true);
            }
        }
    }

    /// `png_colorspace_set_sRGB`.
    fn take_srgb(&mut self, intent_is_known: bool) {
        if self.is_srgb || !intent_is_known {
            self.is_over = true;
        } else if !self.is_over {
            (self.gamma, self.is_srgb) = (Some(SRGB), true);
        }
    }
}

/// Whether an exponent in 100,000ths is so far from 1 that libpng applies it (`png_gamma_significant`).
pub(super) fn is_significant(gamma: u64) -> bool {
    !(95_000..=105_000).contains(&gamma)
}

/// What an embedded colour profile is to libpng.
enum Profile {
    /// One of the few that it knows to be sRGB.
    Srgb,
    /// Another one, which it does not use.
    Other,
    /// Damaged, or not of colours.
    Wrong,
}

/// The profiles that libpng knows to be sRGB: length and CRC-32 (`png_sRGB_checks`).
const KNOWN: [(usize, u32); 7] = [
    (3048, 0x3b87_72b9),
    (3052, 0x427e_bb21),
    (60_988, 0x306f_d8ae),
    (60_960, 0xbbef_7812),
    (3024, 0x5d51_29ce),
    (3144, 0x182e_a552),
    (3144, 0xf29e_526d),
];

impl Profile {
    /// `png_handle_iCCP`, of `content` that is a name, a zero, the compression method (zero), and zlib.
    fn read(content: &[u8], inflater: &mut Decompress) -> Self {
        const HEADER: usize = 132;
        let Some((1..=79, [0, 0, packed @ ..])) =
            content.iter().position(|byte| *byte == 0).map(|name| (name, &content[name..]))
        else {
            return Self::Wrong;
        };
        let mut unpack = |length: usize| {
            let mut profile = vec![0; length];
            inflater.reset(true);
            let status = inflater.decompress(packed, &mut profile, FlushDecompress::None);
            let whole = status.is_ok() && usize::try_from(inflater.total_out()) == Ok(length);
            whole.then_some(profile)
        };
        let word = |profile: &[u8], at: usize| {
            profile.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
        };
        let Some(header) = unpack(HEADER) else { return Self::Wrong };
        let (length, tags) = (word(&header, 0), word(&header, 128));
        let sound = u64::from(length) >= HEADER as u64 + 12 * u64::from(tags)
            && (header[8] <= 3 || length.is_multiple_of(4))
            && word(&header, 64) < 0xffff
            && header[36..40] == *b"acsp"
            && header[16..20] == *b"RGB "
            && !matches!(&header[12..16], b"abst" | b"link")
            && matches!(&header[20..24], b"XYZ " | b"Lab ");
        if sound && length > MOST_PROFILE {
            return Self::Other;
        }
        let profile = if sound { unpack(length as usize) } else { None };
        let Some(profile) = profile else { return Self::Wrong };
        let tags = profile[HEADER..].chunks_exact(12).take(tags as usize);
        for tag in tags {
            if u64::from(word(tag, 4)) + u64::from(word(tag, 8)) > u64::from(length) {
                return Self::Wrong;
            }
        }
        let mut sum = Crc::new();
        sum.update(&profile);
        if KNOWN.contains(&(profile.len(), sum.sum())) { Self::Srgb } else { Self::Other }
    }
}

/// Profiles longer than this are not looked at: none that is known comes near, and memory for them is not planned.
const MOST_PROFILE: u32 = 512 << 10;
