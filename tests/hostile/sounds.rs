//! Sounds that were cut, damaged, or made to hurt: an error that names the element, or samples as many as the header says;
//! never more memory than was allowed, and never what a header claims.

use lithify::audio::{DecodeOptions, Depth, Header, decode, is_head};
use lithify::error::ErrorKind;
use lithify_tests::memory::largest;
use lithify_tests::sounds::{flac, of_every_kind, wav};
use lithify_tests::{Conversion, Scratch, read_npy};

use crate::MOST_AT_ONCE;

/// What the samples of one may take here.
const LIMIT: u64 = 4 << 20;

/// Decodes, and checks what holds of any bytes. Gives the samples, if there are any.
fn samples(bytes: &[u8], options: DecodeOptions, out: &mut Vec<u8>) -> Option<Vec<u8>> {
    let header = Header::read(bytes, bytes.len() as u64);
    assert_eq!(
        is_head(bytes, bytes.len() as u64),
        header.as_ref().is_ok_and(|header| header.length.is_some())
    );
    let header = header.ok()?;
    match decode(bytes, &header, &options, LIMIT, out) {
        Ok(length) => {
            assert!(header.length.is_none_or(|claimed| claimed == length));
            let channels = u64::from(options.channels.unwrap_or(header.channels));
            assert_eq!(out.len() as u64, length * channels * options.depth.dtype().size() as u64);
            Some(out.clone())
        }
        Err(error) => {
            assert!(!error.message().contains("a bug"), "a decoder panicked");
            None
        }
    }
}

fn every_way() -> impl Iterator<Item = DecodeOptions> {
    [Depth::Float32, Depth::Int16, Depth::Int32, Depth::Int64]
        .into_iter()
        .flat_map(|depth| [None, Some(1), Some(3)].map(|channels| DecodeOptions { depth, channels }))
}

#[test]
fn whole_sounds_are_decoded() {
    for (name, bytes) in of_every_kind() {
        assert!(samples(&bytes, DecodeOptions::default(), &mut Vec::new()).is_some(), "{name}");
    }
}

#[test]
fn frames_are_what_their_bits_say() {
    let options = DecodeOptions { depth: Depth::Int16, channels: None };
    let (_, bytes) = of_every_kind().into_iter().find(|(name, _)| *name == "a.flac").unwrap();
    let found = samples(&bytes, options, &mut Vec::new()).unwrap();
    let found: Vec<i16> = found.as_chunks().0.iter().map(|sample| i16::from_ne_bytes(*sample)).collect();
    let first: Vec<i16> = (0..6)
        .map(|at: u8| i16::from_be_bytes([at.wrapping_mul(106), (at * 2 + 1).wrapping_mul(53)]))
        .collect();
    assert_eq!(found, [&first[..], &[28; 6], &[9, 8, 8, 9, 7, 9]].concat());
}

#[test]
fn a_cut_anywhere_is_an_error() {
    for (name, bytes) in of_every_kind() {
        for options in every_way() {
            let whole = samples(&bytes, options, &mut Vec::new());
            for cut in 0..bytes.len() {
                let left = samples(&bytes[..cut], options, &mut Vec::new());
                // What does not say how long it is may end after any frame.
                let open = name.contains("stream");
                assert!(left.is_none() || open && left < whole, "{name}, cut at {cut}");
            }
        }
    }
}

#[test]
fn a_change_of_any_bit_is_an_error_or_a_sound() {
    for (_, mut bytes) in of_every_kind() {
        for options in every_way() {
            let mut used = Vec::new();
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                // What was left in the buffer must not show.
                let damaged = samples(&bytes, options, &mut used);
                assert_eq!(damaged, samples(&bytes, options, &mut Vec::new()), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}

/// A frame whose checksums are right, of any bits.
#[test]
fn frames_of_any_bits_do_no_harm() {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for round in 0..20_000_u32 {
        let kind = [0, 2, 16, 18, 20, 22, 24, 64, 90, 126][round as usize % 10];
        let body: Vec<u8> = std::iter::once(kind + random() % 2).chain((0..40).map(|_| random())).collect();
        let bytes = flac((16, 1 + round % 2), 64, &[(64, &body)]);
        samples(&bytes, DecodeOptions::default(), &mut Vec::new());
    }
}

/// Converts a folder of a sound and two others that are in order.
fn with_sound_ones(scratch: &Scratch, name: &str, bytes: &[u8]) -> Conversion {
    let good = wav(1, 16, &[1, 0, 2, 0, 3, 0]);
    for (name, bytes) in [("0.wav", &good[..]), (name, bytes), ("z.wav", &good)] {
        let _ = scratch.file(name, bytes);
    }
    Conversion::of([scratch.path()]).memory(64 << 20)
}

#[test]
fn a_damaged_sound_is_named_and_can_be_left_out() {
    for (name, bytes) in of_every_kind().into_iter().filter(|(name, _)| !name.contains("stream")) {
        let scratch = Scratch::new();
        let conversion = with_sound_ones(&scratch, name, &bytes[..bytes.len() * 3 / 4]);
        let output = Scratch::new();
        let error = conversion.convert(&output.at("out")).unwrap_err();
        let shown = scratch.show(&error);
        assert!(
            shown.starts_with(&format!("`{name}`, element 1, feature `audio`: the sound cannot be")),
            "{shown}"
        );
        assert_eq!(error.kind(), ErrorKind::Input);
        let manifest = conversion.skipping().convert(&output.at("out")).unwrap();
        assert_eq!((manifest.elements, manifest.skipped.len()), (2, 1), "{name}");
        assert_eq!(read_npy::<f32>(&output.at("out/audio.npy")).shape(), [2, 3, 1]);
    }
}

#[test]
fn a_header_that_claims_a_huge_sound_is_refused_by_name() {
    // As many samples as so few bytes may have.
    let constant = flac((16, 1), 65_536 * 200, &[(4096, &[0, 0, 1])]);
    let bytes = [constant, vec![0; 4000]].concat();
    let scratch = Scratch::new();
    let conversion = with_sound_ones(&scratch, "a.flac", &bytes);
    let error = conversion.clone().feature("audio: pad=max").convert(&Scratch::new().at("out")).unwrap_err();
    let shown = scratch.show(&error);
    assert!(shown.starts_with("`a.flac`, element 1, feature `audio`: one block needs "), "{shown}");
    assert!(shown.contains("hint: most of it is for this sound"), "{shown}");
    assert_eq!(error.kind(), ErrorKind::Resources);
    let error = conversion.memory(1 << 30).feature("audio").convert(&Scratch::new().at("out")).unwrap_err();
    assert!(error.to_string().contains("no frame starts"), "{error}");
    // More than they can have.
    let error = Header::read(&flac((16, 1), 1 << 35, &[]), 42).unwrap_err();
    assert!(error.to_string().contains("do not go into 42 bytes"), "{error}");
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}
