//! `ArrayRecord` files, written byte by byte.

use crate::{field, varint};

const BLOCK: usize = 1 << 16;
const BLOCK_HEADER: usize = 24;

/// `HighwayHash` of 64 bits with Riegeli's key, as its reference describes it.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let key = *b"Riegeli/records\nRiegeli/records\n";
    let mut state = State::new(&key);
    let (packets, rest) = bytes.as_chunks::<32>();
    for packet in packets {
        state.update(words(packet));
    }
    if !rest.is_empty() {
        state.update_rest(rest);
    }
    for _ in 0..4 {
        let [a, b, c, d] = state.v0.map(|word| word.rotate_left(32));
        state.update([c, d, a, b]);
    }
    [state.v1[0], state.mul0[0], state.mul1[0]].iter().fold(state.v0[0], |sum, word| sum.wrapping_add(*word))
}

struct State {
    v0: [u64; 4],
    v1: [u64; 4],
    mul0: [u64; 4],
    mul1: [u64; 4],
}

fn words(packet: &[u8; 32]) -> [u64; 4] {
    let words = packet.as_chunks::<8>().0;
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

impl State {
    fn new(key: &[u8; 32]) -> Self {
        let key = words(key);
        let mul0 =
            [0xdbe6_d5d5_fe4c_ce2f, 0xa409_3822_299f_31d0, 0x1319_8a2e_0370_7344, 0x243f_6a88_85a3_08d3];
        let mul1: [u64; 4] =
            [0x3bd3_9e10_cb0e_f593, 0xc0ac_f169_b5f1_8a8c, 0xbe54_66cf_34e9_0c6c, 0x4528_21e6_38d0_1377];
        let v0 = std::array::from_fn(|at| mul0[at] ^ key[at]);
        let v1 = std::array::from_fn(|at| mul1[at] ^ key[at].rotate_left(32));
        Self { v0, v1, mul0, mul1 }
    }

    fn update(&mut self, lanes: [u64; 4]) {
        let Self { v0, v1, mul0, mul1 } = self;
        let low = |word: u64| word & 0xffff_ffff;
        for at in 0..4 {
            v1[at] = v1[at].wrapping_add(mul0[at]).wrapping_add(lanes[at]);
            mul0[at] ^= low(v1[at]).wrapping_mul(v0[at] >> 32);
            v0[at] = v0[at].wrapping_add(mul1[at]);
            mul1[at] ^= low(v0[at]).wrapping_mul(v1[at] >> 32);
        }
        for at in [0, 2] {
            zip(v1[at + 1], v1[at], v0, at);
        }
        for at in [0, 2] {
            zip(v0[at + 1], v0[at], v1, at);
        }
    }

    fn update_rest(&mut self, rest: &[u8]) {
        let size = rest.len();
        let both = (size as u64) << 32 | size as u64;
        self.v0.iter_mut().for_each(|word| *word = word.wrapping_add(both));
        let turn = u32::try_from(size).unwrap();
        let halves = |word: u64| {
            let [low, high] = [word & 0xffff_ffff, word >> 32].map(|half| u32::try_from(half).unwrap());
            u64::from(high.rotate_left(turn)) << 32 | u64::from(low.rotate_left(turn))
        };
        self.v1 = self.v1.map(halves);
        let mut packet = [0; 32];
        let whole = size & !3;
        packet[..whole].copy_from_slice(&rest[..whole]);
        let left = size & 3;
        if size & 16 != 0 {
            packet[28..].copy_from_slice(&rest[size - 4..]);
        } else if left > 0 {
            let last = &rest[whole..];
            packet[16..19].copy_from_slice(&[last[0], last[left >> 1], last[left - 1]]);
        }
        self.update(words(&packet));
    }
}

/// Adds the bytes of two words, mixed, to the words at a place.
fn zip(high: u64, low: u64, into: &mut [u64; 4], at: usize) {
    let first = ((low & 0xff00_0000) | (high & 0xff_0000_0000)) >> 24
        | ((low & 0xff00_0000_0000) | (high & 0xff_0000_0000_0000)) >> 16
        | low & 0xff_0000
        | (low & 0xff00) << 32
        | (high & 0xff00_0000_0000_0000) >> 8
        | low << 56;
    let second = ((high & 0xff00_0000) | (low & 0xff_0000_0000)) >> 24
        | high & 0xff_0000
        | (high & 0xff00_0000_0000) >> 16
        | (high & 0xff00) << 24
        | (low & 0xff_0000_0000_0000) >> 8
        | (high & 0xff) << 48
        | low & 0xff00_0000_0000_0000;
    into[at] = into[at].wrapping_add(first);
    into[at + 1] = into[at + 1].wrapping_add(second);
}

/// How the records of a chunk are packed.
#[derive(Clone, Copy, Debug)]
pub enum Packed {
    /// As they are.
    Plain,
    /// By Zstandard, in blocks that hold bytes as they are.
    Zstd,
    /// By Snappy, as literals.
    Snappy,
}

/// Bytes in a frame of Zstandard, not compressed.
#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap();
    // One segment, whose size has four bytes.
    let mut frame = [&b"\x28\xb5\x2f\xfd\xa0"[..], &size.to_le_bytes()].concat();
    let mut pieces = bytes.chunks(100_000).peekable();
    if bytes.is_empty() {
        frame.extend([1, 0, 0]);
    }
    while let Some(piece) = pieces.next() {
        let last = u32::from(pieces.peek().is_none());
        frame.extend(&(u32::try_from(piece.len()).unwrap() << 3 | last).to_le_bytes()[..3]);
        frame.extend(piece);
    }
    frame
}

/// Bytes as a block of Snappy.
#[must_use]
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut block = varint(bytes.len() as u64);
    for piece in bytes.chunks(60_000) {
        block.push(61 << 2);
        block.extend(u16::try_from(piece.len() - 1).unwrap().to_le_bytes());
        block.extend(piece);
    }
    block
}

/// The data of a chunk of these records.
#[must_use]
pub fn packed<R: AsRef<[u8]>>(records: &[R], how: Packed) -> Vec<u8> {
    let sizes: Vec<u8> = records.iter().flat_map(|record| varint(record.as_ref().len() as u64)).collect();
    let values: Vec<u8> = records.iter().flat_map(|record| record.as_ref().to_vec()).collect();
    let with_size = |bytes: &[u8], packed: Vec<u8>| [varint(bytes.len() as u64), packed].concat();
    let (letter, pieces) = match how {
        Packed::Plain => (0, [sizes, values]),
        Packed::Zstd => (b'z', [sizes, values].map(|bytes| with_size(&bytes, zstd(&bytes)))),
        Packed::Snappy => (b's', [sizes, values].map(|bytes| with_size(&bytes, snappy(&bytes)))),
    };
    [&[letter][..], &varint(pieces[0].len() as u64), &pieces[0], &pieces[1]].concat()
}

/// A Riegeli file that grows by chunks.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// What there is of it.
    pub bytes: Vec<u8>,
}

impl File {
    /// One that begins as all do.
    #[must_use]
    pub fn new() -> Self {
        let mut file = Self::default();
        file.chunk(b's', &[], 0, 0);
        file
    }

    /// Adds a chunk of this kind and data, whose header says how many records there are, of how many bytes. Gives where it
    /// starts.
    pub fn chunk(&mut self, kind: u8, data: &[u8], records: u64, decoded: u64) -> u64 {
        let rest = [
            &(data.len() as u64).to_le_bytes()[..],
            &hash(data).to_le_bytes(),
            &(records << 8 | u64::from(kind)).to_le_bytes(),
            &decoded.to_le_bytes(),
        ]
        .concat();
        let whole = [&hash(&rest).to_le_bytes()[..], &rest, data].concat();
        let start = self.bytes.len();
        let mut end = start;
        for _ in &whole {
            end += 1 + if end.is_multiple_of(BLOCK) { BLOCK_HEADER } else { 0 };
        }
        end = end.max(start + usize::try_from(records).unwrap());
        if let within @ 1..=BLOCK_HEADER = end % BLOCK {
            end += BLOCK_HEADER + 1 - within;
        }
        let mut whole = whole.into_iter();
        while self.bytes.len() < end {
            let at = self.bytes.len();
            if at.is_multiple_of(BLOCK) {
                let around = [at - start, end - at].map(|bytes| (bytes as u64).to_le_bytes()).concat();
                self.bytes.extend(hash(&around).to_le_bytes());
                self.bytes.extend(around);
            }
            self.bytes.push(whole.next().unwrap_or(0));
        }
        start as u64
    }

    /// Adds a chunk of these records. Gives the position of each.
    pub fn group<R: AsRef<[u8]>>(&mut self, records: &[R], how: Packed) -> Vec<u64> {
        let decoded = records.iter().map(|record| record.as_ref().len() as u64).sum();
        let count = records.len() as u64;
        let start = self.chunk(b'r', &packed(records, how), count, decoded);
        (start..start + count).collect()
    }

    /// Fills the block with padding.
    fn fill(&mut self) {
        let left = BLOCK - 1 - (self.bytes.len() + BLOCK - 1) % BLOCK;
        if left > 0 {
            self.chunk(b'p', &vec![0; left.saturating_sub(40)], 0, 0);
        }
    }

    /// Adds the index, and what tells where it is.
    #[must_use]
    pub fn close(mut self) -> Vec<u8> {
        let footer = self.group(&[field(1, &[8, 1, 16, 0, 24, 0])], Packed::Plain)[0];
        self.fill();
        let magic = varint(0x7193_0e70_4fda_e05e);
        let postscript = [&[8][..], &varint(footer), &[16], &magic].concat();
        self.group(&[&postscript, &postscript, &postscript], Packed::Plain);
        self.fill();
        self.bytes
    }
}
