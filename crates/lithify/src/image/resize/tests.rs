use super::*;

/// Method, antialias, and hashes of what [`noise`] becomes: 40x31x3 to 17x13, and 9x16x1 to 21x35. Made with TensorFlow
/// 2.21 on Linux with glibc, in f32; those of the sines rounded to uint8, so that another sine passes.
#[rustfmt::skip]
const GOLDEN: [(Method, bool, [u64; 2]); 14] = {
    use Method::{Area, Bicubic, Bilinear, Gaussian, Lanczos3, Lanczos5, MitchellCubic, Nearest};
    [
        (Nearest, false, [0x89f0_79a8_1f3d_4a26, 0x9f99_3f0e_c0a0_d9a9]),
        (Bilinear, false, [0x2af0_4570_596e_ba62, 0xeb0b_6ac5_4d5b_9e27]),
        (Bilinear, true, [0x7897_0a0f_e5db_d508, 0x60d0_5a6c_a127_7c7a]),
        (Bicubic, false, [0x8525_fcae_60d6_fa94, 0xc792_f76b_f9a8_0323]),
        (Bicubic, true, [0x6a7f_2ffc_9cd1_544c, 0x010a_6c6c_eda0_b943]),
        (Area, false, [0x03c9_0128_cbea_aa4b, 0xc4e6_fe33_c3be_e05c]),
        (Lanczos3, false, [0xc68a_1190_e179_c4f5, 0xbc45_a02d_c3d4_8c51]),
        (Lanczos3, true, [0x0449_1821_001f_d493, 0xbc45_a02d_c3d4_8c51]),
        (Lanczos5, false, [0xae2d_bc64_7ea2_861b, 0x9b96_6455_8e0f_ecb9]),
        (Lanczos5, true, [0xd87e_7a42_dc2f_3626, 0x9b96_6455_8e0f_ecb9]),
        (Gaussian, false, [0xd528_b53f_fb8d_9591, 0xa00d_1286_0768_ea47]),
        (Gaussian, true, [0xaeb5_4f66_ef06_43e3, 0xa00d_1286_0768_ea47]),
        (MitchellCubic, false, [0x1b14_7a50_698b_71c4, 0x1ea6_d3cb_fbcb_43a9]),
        (MitchellCubic, true, [0x7b15_6260_0656_1eee, 0x1ea6_d3cb_fbcb_43a9]),
    ]
};

/// The upper bytes of the states of a generator.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

/// FNV-1a.
fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn run<T: Sample, O: Output + Default>(spec: Spec, source: &[T], channels: usize) -> Vec<O> {
    let resize = Resize::new(spec).unwrap();
    let mut out = vec![O::default(); resize.size().0 * resize.size().1 * channels];
    // What is left in the scratch by others must not matter.
    resize.run(source, channels, &mut out, &mut vec![f32::NAN; 1000]).unwrap();
    out
}

/// All methods, with and without antialiasing, from one size to smaller and larger ones.
fn specs(source: Size) -> impl Iterator<Item = Spec> {
    let sizes = [(5, 4), (23, 31), (5, 31), source];
    Method::ALL.into_iter().flat_map(move |method| {
        sizes.into_iter().flat_map(move |size| {
            [false, true].map(|antialias| Spec { antialias, ..Spec::new(source, size, method) })
        })
    })
}

#[test]
fn pixels_are_those_of_tensorflow() {
    let cases = [((40, 31), 3, (17, 13)), ((9, 16), 1, (21, 35))];
    for (method, antialias, hashes) in GOLDEN {
        for ((source, channels, size), expected) in cases.into_iter().zip(hashes) {
            let image = noise(source.0 * source.1 * channels);
            let spec = Spec { antialias, ..Spec::new(source, size, method) };
            let is = if matches!(method, Method::Lanczos3 | Method::Lanczos5) {
                hash(run::<_, u8>(spec, &image, channels))
            } else {
                hash(run::<_, f32>(spec, &image, channels).into_iter().flat_map(f32::to_le_bytes))
            };
            assert_eq!(is, expected, "{method}, antialias {antialias}, to {size:?}");
        }
    }
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    for channels in 1..7 {
        let image = noise(13 * 11 * channels);
        for spec in specs((13, 11)) {
            let (height, width) = spec.size;
            let whole: Vec<f32> = run(spec.clone(), &image, channels);
            let (rows, cols) = (2..height - 1, 1..width - 2);
            let resize =
                Resize::new(Spec { rows: rows.clone(), cols: cols.clone(), ..spec.clone() }).unwrap();
            // Into the larger image, where it belongs.
            let mut out = vec![-1.0; whole.len()];
            let first = (rows.start * width + cols.start) * channels;
            let stride = width * channels;
            resize.run_strided(&image, channels, &mut out[first..], stride, &mut Vec::new()).unwrap();
            for (i, (is, expected)) in out.iter().zip(&whole).enumerate() {
                let pixel = i / channels;
                let inside = rows.contains(&(pixel / width)) && cols.contains(&(pixel % width));
                let expected = if inside { *expected } else { -1.0 };
                assert_eq!(is.to_bits(), expected.to_bits(), "{spec:?}");
            }
        }
    }
}

#[test]
fn the_dtype_of_the_source_does_not_matter() {
    let image = noise(13 * 11 * 3);
    let shorts: Vec<u16> = image.iter().map(|v| u16::from(*v)).collect();
    let longs: Vec<i64> = image.iter().map(|v| i64::from(*v)).collect();
    let doubles: Vec<f64> = image.iter().map(|v| f64::from(*v)).collect();
    let halves: Vec<half::f16> = image.iter().map(|v| half::f16::from(*v)).collect();
    for spec in specs((13, 11)) {
        let expected: Vec<f32> = run(spec.clone(), &image, 3);
        assert_eq!(run::<_, f32>(spec.clone(), &shorts, 3), expected);
        assert_eq!(run::<_, f32>(spec.clone(), &longs, 3), expected);
        assert_eq!(run::<_, f32>(spec.clone(), &doubles, 3), expected);
        assert_eq!(run::<_, f32>(spec.clone(), &halves, 3), expected);
        let rounded: Vec<u8> = expected.into_iter().map(u8::from_f32).collect();
        assert_eq!(run::<_, u8>(spec, &image, 3), rounded);
    }
}

#[test]
fn bytes_are_rounded_half_to_even_and_clipped() {
    let values = [0.5, 1.5, 2.5, 0.49, 254.5, 255.4, 1e9, -0.6, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    assert_eq!(values.map(u8::from_f32), [0, 2, 2, 0, 254, 255, 255, 0, 0, 255, 0]);
}

// With TensorFlow 2.21: what is out of a kernel's reach counts 0, and 0 times infinity is not a number.
#[test]
fn what_is_not_finite_spreads_as_in_tensorflow() {
    let image = [f32::INFINITY, 1.0, 2.0, 3.0, 4.0, f32::NAN, 1.0, 1.0, -0.0, -0.0, -0.0, -0.0];
    let spec = Spec { antialias: true, ..Spec::new((1, 12), (1, 6), Method::Bilinear) };
    let finite: Vec<_> =
        run::<_, f32>(spec, &image, 1).into_iter().map(|v| (v.is_finite(), v.is_nan())).collect();
    let (infinite, nan, number) = ((false, false), (false, true), (true, false));
    assert_eq!(finite, [infinite, nan, nan, nan, number, number]);
}

#[test]
fn nearest_copies_pixels_of_any_dtype() {
    let image = noise(6 * 7 * 8);
    for bytes in 1..9 {
        let image = &image[..6 * 7 * bytes];
        let resize = Resize::new(Spec::new((6, 7), (3, 14), Method::Nearest)).unwrap();
        let mut out = vec![0; 3 * 14 * bytes];
        resize.run_nearest(image, bytes, &mut out).unwrap();
        for (i, pixel) in out.chunks_exact(bytes).enumerate() {
            let (row, col) = (i / 14 * 2 + 1, i % 14 / 2);
            assert_eq!(pixel, &image[(row * 7 + col) * bytes..][..bytes]);
        }
        // The same size, and a window: a crop.
        let crop = Spec { rows: 1..3, cols: 2..5, ..Spec::new((6, 7), (6, 7), Method::Nearest) };
        let mut out = vec![0; 2 * 3 * bytes];
        Resize::new(crop).unwrap().run_nearest(image, bytes, &mut out).unwrap();
        assert_eq!(out[3 * bytes..], image[(2 * 7 + 2) * bytes..][..3 * bytes]);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (source, size) in [((0, 1), (1, 1)), ((1, 0), (1, 1)), ((1, 1), (0, 1)), ((1, 1), (1, 0))] {
        assert!(Resize::new(Spec::new(source, size, Method::Area)).is_err());
    }
    let spec = Spec::new((2, 2), (4, 4), Method::Bicubic);
    for (rows, cols) in [(0..5, 0..4), (0..4, 3..3), (0..4, 1..5)] {
        assert!(Resize::new(Spec { rows, cols, ..spec.clone() }).is_err());
    }
    let resize = Resize::new(spec).unwrap();
    let scratch = &mut Vec::new();
    assert!(resize.run(&[0_u8; 4], 1, &mut [0.0; 16], scratch).is_ok());
    assert!(resize.run(&[0_u8; 5], 1, &mut [0.0; 16], scratch).is_err());
    assert!(resize.run(&[0_u8; 4], 1, &mut [0.0; 15], scratch).is_err());
    assert!(resize.run(&[0_u8; 0], 0, &mut [0.0; 0], scratch).is_err());
    assert!(resize.run(&[0_u8; 4], usize::MAX, &mut [0.0; 16], scratch).is_err());
    assert!(resize.run_strided(&[0_u8; 4], 1, &mut [0.0; 18], 5, scratch).is_err());
    assert!(resize.run_strided(&[0_u8; 4], 1, &mut [0.0; 19], 5, scratch).is_ok());
    assert!(resize.run_strided(&[0_u8; 4], 1, &mut [0.0; 19], 3, scratch).is_err());
    assert!(resize.run_nearest(&[0; 4], 1, &mut [0; 16]).is_err());
}

#[test]
fn methods_have_the_names_of_tensorflow() {
    for method in Method::ALL {
        assert_eq!(method.to_string().parse(), Ok(method));
    }
    assert!("cubic".parse::<Method>().is_err());
}
