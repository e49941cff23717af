//! Images that were cut, damaged, or made to hurt: an error that names the file, or what TensorFlow gives; never more memory
//! than was allowed, and never what a header claims.

use lithify::error::ErrorKind;
use lithify::image::{DecodeOptions, Fault, Header, Samples, Scratch as Buffers, decode, output_shape};
use lithify_tests::images::{
    bmp, chunk, deflated, deflated_zeros, gif, jpeg, of_every_format, png, tiff, webp,
};
use lithify_tests::memory::largest;
use lithify_tests::{Conversion, Scratch, read_npy};

use crate::MOST_AT_ONCE;

/// What decoding may take here.
const LIMIT: u64 = 4 << 20;

/// Decodes, and checks what holds of any bytes. Gives the samples, if there are any.
fn samples(bytes: &[u8], options: &DecodeOptions, buffers: &mut Buffers) -> Option<Vec<u8>> {
    let header = Header::read(bytes);
    match decode(bytes, options, buffers) {
        Ok(image) => {
            let Samples::U8(samples) = image.samples else { panic!("8 bits were asked for") };
            assert_eq!(output_shape(&header.unwrap(), options), Ok(image.shape));
            assert_eq!(samples.len() as u64, image.shape.samples());
            Some(samples.to_vec())
        }
        Err(error) => {
            assert!(!error.message.contains("a bug"), "a decoder panicked");
            assert!(error.fault != Fault::Memory || header.is_ok());
            assert!(error.byte.is_none_or(|byte| byte <= bytes.len() as u64), "{error}");
            None
        }
    }
}

fn every_way() -> impl Iterator<Item = DecodeOptions> {
    [None, Some(1), Some(3), Some(4)].into_iter().flat_map(|channels| {
        [false, true].map(|all_frames| DecodeOptions {
            channels,
            all_frames,
            limit: LIMIT,
            ..DecodeOptions::default()
        })
    })
}

#[test]
fn whole_images_are_decoded() {
    for (name, bytes) in of_every_format() {
        let image = samples(&bytes, &DecodeOptions::default(), &mut Buffers::new());
        assert!(image.is_some(), "{name}");
    }
}

#[test]
fn a_cut_anywhere_is_an_error_or_changes_nothing() {
    let mut buffers = Buffers::new();
    for (name, bytes) in of_every_format() {
        for options in every_way() {
            let whole = samples(&bytes, &options, &mut buffers);
            for cut in 0..bytes.len() {
                let left = samples(&bytes[..cut], &options, &mut buffers);
                // A GIF needs no end mark, and a lossless WebP may have bytes to spare; neither loses a pixel.
                assert!(left.is_none() || left == whole, "{name}, cut at {cut}");
            }
        }
    }
}

#[test]
fn a_change_of_any_bit_is_an_error_or_an_image() {
    let mut buffers = Buffers::new();
    for (_, mut bytes) in of_every_format() {
        for options in every_way() {
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let damaged = samples(&bytes, &options, &mut buffers);
                // What was left in the buffers must not show.
                assert_eq!(damaged, samples(&bytes, &options, &mut Buffers::new()), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}

/// Converts a folder of an image and two sound ones.
fn with_sound_ones(scratch: &Scratch, name: &str, bytes: &[u8]) -> Conversion {
    let sound = png((1, 1), &[], &deflated(&[0, 1, 2, 3]));
    for (name, bytes) in [("0.png", &sound[..]), (name, bytes), ("z.png", &sound)] {
        let _ = scratch.file(name, bytes);
    }
    Conversion::of([scratch.path()]).feature("image: resize=2x2 channels=3").memory(64 << 20)
}

#[test]
fn a_damaged_image_is_named_and_can_be_left_out() {
    for (name, bytes) in of_every_format() {
        let scratch = Scratch::new();
        let conversion = with_sound_ones(&scratch, name, &bytes[..bytes.len() * 3 / 4]);
        let output = Scratch::new();
        let error = conversion.convert(&output.at("out")).unwrap_err();
        let shown = scratch.show(&error);
        assert!(shown.starts_with(&format!("`{name}`, element 1, feature `image`: ")), "{shown}");
        assert!(shown.ends_with("hint: `--on-error skip` leaves out what is bad, and lists it"), "{shown}");
        assert_eq!(error.kind(), ErrorKind::Input);
        let manifest = conversion.skipping().convert(&output.at("out")).unwrap();
        assert_eq!((manifest.elements, manifest.skipped.len()), (2, 1), "{name}");
        assert_eq!(manifest.skipped[0].place.file.as_deref(), Some(&*scratch.at(name)));
        assert_eq!(read_npy::<u8>(&output.at("out/image.npy")).shape(), [2, 2, 2, 3]);
    }
}

#[test]
fn a_header_that_claims_a_huge_image_is_refused_by_name() {
    let huge = [
        ("a.png", png((100_000, 100_000), &[], &deflated(&[0; 100]))),
        ("b.jpg", jpeg((65_500, 65_500))),
        ("c.gif", gif((2, 2), (65_535, 65_535))),
        ("e.tif", tiff((60_000, 60_000), &[0; 100])),
        ("f.webp", webp((16_384, 16_384))),
    ];
    for (name, bytes) in huge {
        let scratch = Scratch::new();
        let conversion = with_sound_ones(&scratch, name, &bytes);
        for conversion in [conversion.clone(), conversion.skipping()] {
            let output = Scratch::new();
            let error = conversion.convert(&output.at("out")).unwrap_err();
            let shown = scratch.show(&error);
            assert!(
                shown.starts_with(&format!("`{name}`, element 1, feature `image`: one block needs ")),
                "{shown}"
            );
            assert!(shown.contains("hint: most of it is for this image"), "{shown}");
            assert_eq!(error.kind(), ErrorKind::Resources);
        }
        let options = DecodeOptions { limit: LIMIT, ..DecodeOptions::default() };
        assert_eq!(decode(&bytes, &options, &mut Buffers::new()).unwrap_err().fault, Fault::Memory);
    }
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}

#[test]
fn a_bmp_that_is_larger_than_its_file_is_damaged() {
    let scratch = Scratch::new();
    let conversion = with_sound_ones(&scratch, "d.bmp", &bmp((16_000, 16_000), 100));
    let error = conversion.convert(&Scratch::new().at("out")).unwrap_err();
    assert!(scratch.show(&error).starts_with("`d.bmp`, element 1, feature `image`: "), "{error}");
}

#[test]
fn the_screen_of_a_gif_does_not_matter() {
    let claims = gif((65_535, 65_535), (2, 2));
    let options = DecodeOptions { limit: LIMIT, ..DecodeOptions::default() };
    let image = samples(&claims, &options, &mut Buffers::new());
    assert_eq!(image, samples(&gif((2, 2), (2, 2)), &options, &mut Buffers::new()));
    assert_eq!(image.map(|samples| samples.len()), Some(12));
}

#[test]
fn what_expands_to_more_than_is_needed_is_not_kept() {
    let mut buffers = Buffers::new();
    let bomb = deflated_zeros(64);
    let profile = [&b"name\0\0"[..], &bomb].concat();
    let chunks = [chunk("iCCP", &profile), chunk("zTXt", &profile)];
    let images = [png((2, 2), &[], &bomb), png((2, 2), &chunks, &deflated(&[0; 14]))];
    for bytes in images {
        // Grey is weighed by what the profile says.
        for channels in [1, 3] {
            let options =
                DecodeOptions { channels: Some(channels), limit: LIMIT, ..DecodeOptions::default() };
            let image = samples(&bytes, &options, &mut buffers).unwrap();
            assert_eq!(image, vec![0; 4 * usize::from(channels)]);
        }
    }
    assert!(largest() < MOST_AT_ONCE, "{} bytes were asked for at once", largest());
}
