//! Bits of a FLAC frame, the highest of each byte first.

/// The bytes end too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends;

/// A place among bits.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in the cache.
    at: usize,
    /// The next bits, from the highest on. Below those that count are zeros, or the bits that come next.
    cache: u64,
    /// How many of them count.
    have: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, cache: 0, have: 0 }
    }

    /// Fills the cache: with 56 bits or more, if there are so many.
    #[inline]
    fn fill(&mut self) {
        if let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let whole = (63 - self.have) / 8;
            self.cache |= u64::from_be_bytes(*word) >> self.have;
            self.at += whole as usize;
            self.have += whole * 8;
            return;
        }
        while self.have <= 56
            && let Some(byte) = self.bytes.get(self.at)
        {
            self.cache |= u64::from(*byte) << (56 - self.have);
            self.at += 1;
            self.have += 8;
        }
    }

    #[inline]
    fn drop(&mut self, bits: u32) {
        // Twice, for none of 64 bits can be moved by 64.
        self.cache = (self.cache << (bits / 2)) << (bits - bits / 2);
        self.have -= bits;
    }

    /// The next bits, at most 32, as a number.
    #[inline]
    pub(super) fn unsigned(&mut self, bits: u32) -> Result<u32, Ends> {
        self.fill();
        if self.have < bits {
            return Err(Ends);
        }
        let value = u32::try_from((self.cache >> 32) >> (32 - bits)).unwrap_or_default();
        self.drop(bits);
        Ok(value)
    }

    /// The same with a sign.
    #[inline]
    pub(super) fn signed(&mut self, bits: u32) -> Result<i32, Ends> {
        let value = self.unsigned(bits)?;
        let above = 32 - bits.clamp(1, 32);
        Ok((value << above).cast_signed() >> above)
    }

    /// How many zeros come before the next one, which is passed over, too.
    #[inline]
    pub(super) fn zeros(&mut self) -> Result<u32, Ends> {
        let mut zeros = 0_u32;
        loop {
            self.fill();
            let here = self.cache.leading_zeros();
            if here < self.have {
                self.drop(here + 1);
                return Ok(zeros.saturating_add(here));
            }
            if self.have == 0 {
                return Err(Ends);
            }
            zeros = zeros.saturating_add(self.have);
            self.drop(self.have);
        }
    }

    /// A number in Rice's code with so many low bits, at most 31; `None` where it has more than 32 bits.
    #[inline]
    pub(super) fn rice(&mut self, low: u32) -> Result<Option<i32>, Ends> {
        self.fill();
        let high = self.cache.leading_zeros();
        let code = if high + 1 + low <= self.have {
            self.drop(high + 1);
            let value = u64::from(high) << low | (self.cache >> 1) >> (63 - low);
            self.drop(low);
            value
        } else {
            let high = self.zeros()?;
            u64::from(high) << low | u64::from(self.unsigned(low)?)
        };
        // Even ones count up from 0, odd ones down from -1.
        Ok(u32::try_from(code).ok().map(|code| (code >> 1).cast_signed() ^ -(code & 1).cast_signed()))
    }

    /// Goes on to the next whole byte, and says where that is.
    pub(super) fn align(&mut self) -> usize {
        self.drop(self.have % 8);
        self.at - (self.have / 8) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_in_order() {
        let bytes: Vec<u8> = (0..40_u8).map(|byte| byte.wrapping_mul(37)).collect();
        let bit = |at: usize| u32::from(bytes[at / 8] >> (7 - at % 8) & 1);
        for sizes in [[1, 3, 32, 7], [31, 32, 0, 5], [8, 16, 24, 32]] {
            let (mut bits, mut at) = (Bits::new(&bytes), 0);
            for size in sizes.into_iter().cycle() {
                let wanted = (at..at + size).fold(0, |value, at| match at < 320 {
                    true => value << 1 | bit(at),
                    false => 0,
                });
                let found = bits.unsigned(u32::try_from(size).unwrap());
                if at + size > 320 {
                    assert_eq!(found, Err(Ends));
                    break;
                }
                assert_eq!(found, Ok(wanted), "{size} bits at {at}");
                at += size;
            }
        }
    }

    #[test]
    fn codes_of_zeros_may_be_long() {
        let bytes = [&[0x80][..], &[0; 20], &[0b0000_1101], &[0xff; 9]].concat();
        let mut bits = Bits::new(&bytes);
        assert_eq!((bits.zeros(), bits.zeros(), bits.zeros(), bits.zeros()), (Ok(0), Ok(171), Ok(0), Ok(1)));
        assert_eq!((bits.align(), bits.signed(3)), (22, Ok(-1)));
        // `11`, then `0001`, then `1` without the low bits that belong to it.
        let mut bits = Bits::new(&[0b1100_0111]);
        assert_eq!((bits.rice(1), bits.rice(0), bits.rice(2)), (Ok(Some(-1)), Ok(Some(-2)), Err(Ends)));
        assert_eq!(Bits::new(&[0; 9]).zeros(), Err(Ends));
    }
}
