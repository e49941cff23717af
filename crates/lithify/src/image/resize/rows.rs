//! The inner loops: a row of pixels at a time.
//!
//! A row is a slice of samples, `(width, channels)`. All loops are plain f32 with separate multiplications and additions:
//! with fused ones the bits would differ from TensorFlow's.

use super::sample::Sample;
use super::taps::{Lerp, Lerps, Tap};

/// Elements that are summed at a time: as many as 128-bit registers hold with some to spare.
const CHUNK: usize = 16;

/// How many samples more than its pixels need a row has that is written by [`lerp_cols`], [`lerp_both`] or [`sum_cols`]:
/// there, a pixel of three channels is written as four, of which the next pixel overwrites one.
pub(super) const SLACK: usize = 1;

/// Calls `$function::<CHANNELS, LANES, ..>` for the number of channels there are; 0 stands for any.
macro_rules! with_channels {
    ($channels:expr, $function:ident::<$($generic:tt),*>($($argument:expr),*)) => {
        match $channels {
            1 => $function::<1, 1, $($generic),*>($($argument),*),
            2 => $function::<2, 2, $($generic),*>($($argument),*),
            3 => $function::<3, 4, $($generic),*>($($argument),*),
            4 => $function::<4, 4, $($generic),*>($($argument),*),
            _ => $function::<0, 0, $($generic),*>($($argument),*),
        }
    };
}

/// For every pixel of a row, between its two columns: `row[low] + (row[high] - row[low]) * share`.
pub(super) fn lerp_cols<T: Sample>(row: &[T], channels: usize, cols: &Lerps, out: &mut [f32]) {
    lerp_runs([row], channels, cols, 0.0, out);
}

/// As [`lerp_cols`] of two rows, then between them, with no row in between.
pub(super) fn lerp_both<T: Sample>(
    top: &[T],
    bottom: &[T],
    channels: usize,
    cols: &Lerps,
    share: f32,
    out: &mut [f32],
) {
    lerp_runs([top, bottom], channels, cols, share, out);
}

fn lerp_runs<T: Sample, const ROWS: usize>(
    rows: [&[T]; ROWS],
    channels: usize,
    cols: &Lerps,
    share: f32,
    mut out: &mut [f32],
) {
    // All rows are equally long, and the compiler must see it.
    let rows = rows.map(|row| &row[..rows[0].len()]);
    for run in cols.runs() {
        if run[0].step == 0 {
            with_channels!(channels, lerp_pixels::<T, ROWS, 0>(rows, channels, run, share, out));
        } else {
            with_channels!(channels, lerp_pixels::<T, ROWS, 1>(rows, channels, run, share, out));
        }
        out = &mut out[run.len() * channels..];
    }
}

/// `STEP` is that of all of `cols`.
fn lerp_pixels<const C: usize, const LANES: usize, T: Sample, const ROWS: usize, const STEP: usize>(
    rows: [&[T]; ROWS],
    channels: usize,
    cols: &[Lerp],
    share: f32,
    out: &mut [f32],
) {
    // As many lanes as a register has are quicker than three, but at the end of a row there may be nothing to read.
    let reach = STEP * C + LANES;
    let wide = match LANES {
        0 => 0,
        _ => cols.partition_point(|col| col.low * C + reach <= rows[0].len()),
    };
    let (top, bottom) = (rows[0], rows[ROWS - 1]);
    for (x, col) in cols[..wide].iter().enumerate() {
        let start = col.low * C;
        let (above, below) = (&top[start..][..reach], &bottom[start..][..reach]);
        let (a, b): ([f32; LANES], [f32; LANES]) = (lanes(above), lanes(&above[STEP * C..]));
        let (c, d): ([f32; LANES], [f32; LANES]) = (lanes(below), lanes(&below[STEP * C..]));
        let out = &mut out[x * C..][..LANES];
        for i in 0..LANES {
            let first = lerp(a[i], b[i], col.share);
            out[i] = if ROWS == 1 { first } else { lerp(first, lerp(c[i], d[i], col.share), share) };
        }
    }
    for (col, out) in cols[wide..].iter().zip(out[wide * channels..].chunks_exact_mut(channels)) {
        let (above, below) = (&top[col.low * channels..], &bottom[col.low * channels..]);
        let (a, b) = (&above[..out.len()], &above[STEP * channels..][..out.len()]);
        let (c, d) = (&below[..out.len()], &below[STEP * channels..][..out.len()]);
        for i in 0..out.len() {
            let first = lerp(a[i].to_f32(), b[i].to_f32(), col.share);
            let second = || lerp(c[i].to_f32(), d[i].to_f32(), col.share);
            out[i] = if ROWS == 1 { first } else { lerp(first, second(), share) };
        }
    }
}

#[inline]
fn lerp(low: f32, high: f32, share: f32) -> f32 {
    low + (high - low) * share
}

#[inline]
fn lanes<T: Sample, const LANES: usize>(samples: &[T]) -> [f32; LANES] {
    let samples = &samples[..LANES];
    let mut out = [0.0; LANES];
    for i in 0..LANES {
        out[i] = samples[i].to_f32();
    }
    out
}

/// For every sample: `top[i] + (bottom[i] - top[i]) * share`.
pub(super) fn lerp_rows(top: &[f32], bottom: &[f32], share: f32, out: &mut [f32]) {
    for ((out, top), bottom) in out.iter_mut().zip(top).zip(bottom) {
        *out = lerp(*top, *bottom, share);
    }
}

/// For every pixel of a row: `start + row[tap 0] * weight 0 + row[tap 1] * weight 1 + ...`, left to right.
pub(super) fn sum_cols<'a, T: Sample>(
    row: &[T],
    channels: usize,
    taps: impl Iterator<Item = &'a [Tap]>,
    start: f32,
    out: &mut [f32],
) {
    with_channels!(channels, sum_pixels::<T, _>(row, channels, taps, start, out));
}

fn sum_pixels<'a, const C: usize, const LANES: usize, T: Sample, I: Iterator<Item = &'a [Tap]>>(
    row: &[T],
    channels: usize,
    taps: I,
    start: f32,
    out: &mut [f32],
) {
    for (x, taps) in taps.enumerate() {
        // The last tap is that of the largest index.
        let wide = LANES > 0 && taps.last().is_some_and(|tap| tap.index * C + LANES <= row.len());
        if wide {
            let mut sum = [start; LANES];
            for tap in taps {
                let values: [f32; LANES] = lanes(&row[tap.index * C..]);
                for i in 0..LANES {
                    sum[i] += values[i] * tap.weight;
                }
            }
            out[x * C..][..LANES].copy_from_slice(&sum);
        } else {
            let out = &mut out[x * channels..][..channels];
            out.fill(start);
            for tap in taps {
                for (out, value) in out.iter_mut().zip(&row[tap.index * channels..]) {
                    *out += value.to_f32() * tap.weight;
                }
            }
        }
    }
}

/// For every sample: `start + rows[tap 0][i] * weight 0 + rows[tap 1][i] * weight 1 + ...`, left to right; a row
/// starts every `stride` samples.
pub(super) fn sum_rows<T: Sample>(rows: &[T], stride: usize, taps: &[Tap], start: f32, out: &mut [f32]) {
    let whole = out.len() - out.len() % CHUNK;
    let (chunks, rest) = out.split_at_mut(whole);
    for (i, out) in chunks.chunks_exact_mut(CHUNK).enumerate() {
        let mut sum = [start; CHUNK];
        for tap in taps {
            let values: [f32; CHUNK] = lanes(&rows[tap.index * stride + i * CHUNK..]);
            for i in 0..CHUNK {
                sum[i] += values[i] * tap.weight;
            }
        }
        out.copy_from_slice(&sum);
    }
    rest.fill(start);
    for tap in taps {
        for (out, value) in rest.iter_mut().zip(&rows[tap.index * stride + whole..]) {
            *out += value.to_f32() * tap.weight;
        }
    }
}
