//! How much memory the codes of a lossless image take where it is decoded.
//!
//! An image may have a group of five codes for each of its parts, and 65,536 of them that it never uses. The decoder holds
//! all, in hundreds of bytes for each that tells of one, so that a small file could take a gigabyte. Here they are read
//! and counted, and nothing of them is kept. What is damaged ends the count: decoding ends there, too.

/// What the decoder holds of a group besides its codes, in bytes, while the list of groups grows.
const GROUP: u64 = 1024;

/// Symbols of the five codes of a group: green, lengths of copies and colours of the cache; red; blue; alpha; distances.
const SYMBOLS: [usize; 5] = [256 + 24, 256, 256, 256, 40];

/// Bytes that the codes take of a lossless image of this size, whose bits start here.
pub(super) fn memory(bytes: &[u8], with_header: bool, (height, width): (u32, u32)) -> u64 {
    let mut image = Lossless { bytes, at: if with_header { 40 } else { 0 }, taken: 0 };
    // Where it ends early, it is damaged.
    let _ = image.read(height as usize, width as usize);
    image.taken
}

/// A lossless image whose codes are read.
struct Lossless<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
    /// What the codes before it take, in bytes.
    taken: u64,
}

impl Lossless<'_> {
    fn read(&mut self, height: usize, mut width: usize) -> Option<()> {
        let mut seen = [false; 4];
        while self.bits(1)? == 1 {
            let transform = self.bits(2)?;
            if std::mem::replace(&mut seen[transform], true) {
                return None;
            }
            match transform {
                // A predictor or colours for each block.
                0 | 1 => {
                    let _ = self.parts(height, width)?;
                }
                // Colours of a palette, which may lie two, four or eight in a pixel.
                3 => {
                    let colours = self.bits(8)? + 1;
                    let _ = self.inner(colours)?;
                    width = width.div_ceil(match colours {
                        0..=2 => 8,
                        3..=4 => 4,
                        5..=16 => 2,
                        _ => 1,
                    });
                }
                _ => {}
            }
        }
        let cache = self.cache()?;
        let groups = if self.bits(1)? == 1 { self.parts(height, width)? } else { 1 };
        (0..groups).try_for_each(|_| self.group(cache).map(|_| ()))
    }

    /// Passes over an image that has a pixel for each block of another one. Gives how many groups such pixels can name, at
    /// most: they do it by red and green.
    fn parts(&mut self, height: usize, width: usize) -> Option<usize> {
        let side = 1 << (self.bits(3)? + 2);
        let [green, red, ..] = self.inner(height.div_ceil(side) * width.div_ceil(side))?;
        // Green may be all below a red that is not the largest.
        let green = if red.largest > 0 { 255 } else { green.largest.min(255) };
        Some((red.largest << 8 | green) + 1)
    }

    /// Passes over an image that is part of another one; gives its codes.
    fn inner(&mut self, pixels: usize) -> Option<[Code; 5]> {
        let cache = self.cache()?;
        let codes = self.group(cache)?;
        let [green, red, blue, alpha, distance] = &codes;
        // Codes of one symbol take no bits.
        let mut left = if codes[..4].iter().all(Code::is_single) { 0 } else { pixels };
        while left > 0 {
            let done = match self.symbol(green)? {
                ..256 => {
                    for code in [red, blue, alpha] {
                        let _ = self.symbol(code)?;
                    }
                    1
                }
                copied @ 256..280 => {
                    let length = self.distance(copied - 256)?;
                    let far = self.symbol(distance)?;
                    let _ = self.distance(far)?;
                    length
                }
                _ => 1,
            };
            left = left.checked_sub(done)?;
        }
        Some(codes)
    }

    /// How many colours the cache has.
    fn cache(&mut self) -> Option<usize> {
        if self.bits(1)? == 0 {
            return Some(0);
        }
        let bits = self.bits(4)?;
        (1..=11).contains(&bits).then_some(1 << bits)
    }

    fn group(&mut self, cache: usize) -> Option<[Code; 5]> {
        self.taken += GROUP;
        let mut symbols = SYMBOLS;
        symbols[0] += cache;
        let codes = symbols.iter().map(|symbols| {
            let code = self.code(*symbols)?;
            self.taken += code.memory();
            Some(code)
        });
        codes.collect::<Option<Vec<_>>>()?.try_into().ok()
    }

    fn code(&mut self, symbols: usize) -> Option<Code> {
        /// The order in which lengths of lengths are stored.
        const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut lengths = vec![0; symbols];
        if self.bits(1)? == 1 {
            let two = self.bits(1)? == 1;
            let wide = self.bits(1)?;
            let first = self.bits(1 + 7 * wide)?;
            let both = if two { vec![first, self.bits(8)?] } else { vec![first] };
            return both.iter().all(|symbol| *symbol < symbols).then(|| Code::simple(both));
        }
        let mut of_lengths = [0; 19];
        for place in &ORDER[..4 + self.bits(4)?] {
            of_lengths[*place] = self.bits(3)?;
        }
        let of_lengths = Code::of(&of_lengths)?;
        let mut told = symbols;
        if self.bits(1)? == 1 {
            let bits = 2 + 2 * self.bits(3)?;
            told = 2 + self.bits(bits)?;
            if told > symbols {
                return None;
            }
        }
        let (mut next, mut before) = (0, 8);
        for _ in 0..told {
            if next == symbols {
                break;
            }
            let (length, times) = match self.symbol(&of_lengths)? {
                16 => (before, self.bits(2)? + 3),
                17 => (0, self.bits(3)? + 3),
                18 => (0, self.bits(7)? + 11),
                length => (length, 1),
            };
            lengths.get_mut(next..next + times)?.fill(length);
            next += times;
            before = if length == 0 { before } else { length };
        }
        Code::of(&lengths)
    }

    /// The length or distance of a copy.
    fn distance(&mut self, symbol: usize) -> Option<usize> {
        if symbol < 4 {
            return Some(symbol + 1);
        }
        let more = (symbol - 2) / 2;
        Some(((2 + symbol % 2) << more) + self.bits(more)? + 1)
    }

    fn symbol(&mut self, code: &Code) -> Option<usize> {
        if code.is_single() {
            return code.symbols.first().copied();
        }
        // The codes of a length are consecutive, and follow those that are one bit shorter.
        let (mut value, mut first, mut before) = (0, 0, 0);
        for count in &code.counts[1..] {
            value += self.bits(1)?;
            if value < first + count {
                return code.symbols.get(before + value - first).copied();
            }
            (value, first, before) = (value << 1, (first + count) << 1, before + count);
        }
        None
    }

    fn bits(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for i in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << i;
            self.at += 1;
        }
        Some(value)
    }
}

/// A code: how many of its symbols have each length in bits, and the symbols, by length and value.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
    largest: usize,
}

impl Code {
    /// Of one symbol, or of two with a bit each.
    fn simple(symbols: Vec<usize>) -> Self {
        let mut counts = [0; 16];
        counts[1] = symbols.len();
        Self { counts, largest: symbols.iter().copied().max().unwrap_or(0), symbols }
    }

    /// With these lengths for symbols; 0 is for one that it has not.
    fn of(lengths: &[usize]) -> Option<Self> {
        let mut symbols: Vec<_> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        let largest = *symbols.last()?;
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        let mut counts = [0; 16];
        for symbol in &symbols {
            counts[lengths[*symbol]] += 1;
        }
        let used = counts.iter().enumerate().map(|(length, count)| count << (15 - length)).sum::<usize>();
        (symbols.len() == 1 || used == 1 << 15).then_some(Self { counts, symbols, largest })
    }

    fn is_single(&self) -> bool {
        self.symbols.len() == 1
    }

    /// What the decoder makes of it: a table for so many bits as the longest has, ten at most, and a tree of the rest.
    fn memory(&self) -> u64 {
        if self.is_single() {
            return 0;
        }
        let longest = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let beyond = self.counts[11..].iter().sum::<usize>() as u64;
        (4 << longest.min(10)) + 32 * beyond + 128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits, the first one lowest.
    #[derive(Clone, Default)]
    struct Written(Vec<u8>);

    impl Written {
        fn bits(&mut self, value: usize, count: usize) {
            self.0.extend((0..count).map(|i| u8::from(value >> i & 1 == 1)));
        }

        /// A code of one symbol.
        fn single(&mut self, symbol: usize) {
            self.bits(0b101, 3);
            self.bits(symbol, 8);
        }

        /// A code of symbols 0 to 10, whose bits are 1, 2 … 9, 10, 10: all lengths of up to ten bits.
        fn long(&mut self) {
            self.bits(0, 1);
            // 14 lengths of lengths, in their order: those of 1 to 6 have 3 bits, those of 7 to 10 have 4.
            self.bits(10, 4);
            for length in [0, 0, 0, 3, 3, 3, 3, 3, 0, 3, 4, 4, 4, 4] {
                self.bits(length, 3);
            }
            // 11 symbols are told, of which 9 is the number above two, in 4 bits.
            self.bits(0b1, 1);
            self.bits(1, 3);
            self.bits(9, 4);
            for length in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10] {
                // Codes are stored from their highest bit on.
                let (value, bits) = if length <= 6 { (length - 1, 3) } else { (length + 5, 4) };
                (0..bits).rev().for_each(|bit| self.bits(value >> bit & 1, 1));
            }
        }

        fn bytes(&self) -> Vec<u8> {
            self.0.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect()
        }
    }

    /// An image of one pixel that names the last of so many groups.
    fn of_groups(groups: usize) -> Written {
        let mut image = Written::default();
        image.bits(0x2f, 8);
        // One pixel, no alpha, no transform, no cache; groups for blocks of 4.
        image.bits(0, 14 + 14 + 4 + 2);
        image.bits(0b0001, 4);
        // The image of groups: no cache, green, red, and the rest.
        image.bits(0, 1);
        for symbol in [(groups - 1) & 255, (groups - 1) >> 8, 0, 0, 0] {
            image.single(symbol);
        }
        for _ in 0..groups * 5 {
            image.long();
        }
        image
    }

    #[test]
    fn codes_of_all_groups_are_counted() {
        for groups in [1, 2, 255, 256] {
            let taken = memory(&of_groups(groups).bytes(), true, (1, 1));
            let each = GROUP + 5 * (4096 + 128);
            assert_eq!(taken, groups as u64 * each + GROUP, "{groups} groups");
        }
        // How many of the last 256 there are depends on pixels, which are not kept.
        let taken = memory(&of_groups(300).bytes(), true, (1, 1));
        assert!(taken >= 300 * (GROUP + 5 * (4096 + 128)));
    }

    #[test]
    fn a_cut_ends_the_count() {
        let whole = of_groups(2).bytes();
        let mut before = 0;
        for cut in 0..=whole.len() {
            let taken = memory(&whole[..cut], true, (1, 1));
            assert!(taken >= before, "cut at {cut}");
            before = taken;
        }
    }
}
