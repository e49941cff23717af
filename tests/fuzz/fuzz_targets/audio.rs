//! Any bytes as a sound: what its header says is what is decoded, and nothing is left behind in the buffer that shows in the
//! next one. The first byte says how it is decoded; frames of FLAC get right checksums where the second one says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify::audio::{DecodeOptions, Depth, Header, decode};

/// What the samples of one may take here.
const LIMIT: u64 = 16 << 20;

fn crc(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
    let top = 1 << (bits - 1);
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << (bits - 8), |crc, _| {
            (if crc & top == 0 { crc << 1 } else { crc << 1 ^ polynomial }) & (2 * top - 1)
        })
    })
}

/// A FLAC stream of one frame of these bytes, which no writer would guess the checksums of.
fn flac(first: u8, body: &[u8]) -> Vec<u8> {
    let channels = u64::from(first >> 5 & 7);
    let word = 8000_u64 << 44 | channels << 41 | 15 << 36;
    let mut stream = [&b"fLaC\x80\0\0\x22"[..], &[0; 10], &word.to_be_bytes(), &[0; 16]].concat();
    let mut frame = vec![0xff, 0xf8, 0x10 | 0x50 * (first & 1), (channels as u8) << 4, 0];
    if first & 1 == 1 {
        frame.push(first);
    }
    frame.push(crc(&frame, 8, 0x07) as u8);
    frame.extend(body);
    frame.extend((crc(&frame, 16, 0x8005) as u16).to_be_bytes());
    stream.extend(frame);
    stream
}

fuzz_target!(|input: &[u8]| {
    let [how, framed, rest @ ..] = input else { return };
    let options = DecodeOptions {
        depth: [Depth::Float32, Depth::Int16, Depth::Int32, Depth::Int64][usize::from(how & 3)],
        channels: [None, Some(1), Some(2), Some(9)][usize::from(how >> 2 & 3)],
    };
    let made = if framed & 1 == 1 { flac(*framed, rest) } else { rest.to_vec() };
    let Ok(header) = Header::read(&made, made.len() as u64) else { return };
    let mut used = vec![7; 1000];
    let first = decode(&made, &header, &options, LIMIT, &mut used).map_err(|error| error.to_string());
    if let Err(error) = &first {
        assert!(!error.contains("a bug"), "a decoder panicked");
    }
    if let (Ok(length), Some(claimed)) = (&first, header.length) {
        assert_eq!(*length, claimed);
    }
    let mut fresh = Vec::new();
    assert_eq!(first, decode(&made, &header, &options, LIMIT, &mut fresh).map_err(|error| error.to_string()));
    assert!(first.is_err() || used == fresh);
    assert!(used.len() as u64 <= LIMIT + (1 << 20));
});
