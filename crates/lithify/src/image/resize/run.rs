//! How the rows of an output are made, each in turn.

use std::slice::ChunksMut;

use super::rows::{SLACK, lerp_both, lerp_cols, lerp_rows, sum_cols, sum_rows};
use super::sample::{Output, Sample};
use super::taps::{Lerp, Lerps, Taps};

/// A source.
pub(super) struct Image<'a, T> {
    /// `(height, width, channels)`.
    pub samples: &'a [T],
    /// Samples in a row.
    pub stride: usize,
    /// Samples in a pixel.
    pub channels: usize,
}

impl<'a, T> Image<'a, T> {
    fn row(&self, index: usize) -> &'a [T] {
        &self.samples[index * self.stride..][..self.stride]
    }
}

/// Rows of floats, of the width that the loops need. What is in them does not matter.
fn rows<const N: usize>(scratch: &mut Vec<f32>, samples: [usize; N]) -> [&mut [f32]; N] {
    let needed = samples.iter().sum::<usize>() + N * SLACK;
    if scratch.len() < needed {
        scratch.resize(needed, 0.0);
    }
    let mut rest = scratch.as_mut_slice();
    samples.map(|samples| {
        let length = samples + SLACK;
        rest.split_off_mut(..length).unwrap_or_default()
    })
}

/// Copies pixels, byte by byte: a sample is a byte here.
pub(super) fn copy(image: &Image<'_, u8>, rows: &[usize], cols: &[usize], out: ChunksMut<'_, u8>) {
    let bytes = image.channels;
    let run = consecutive(cols);
    for (row, out) in rows.iter().zip(out) {
        let (row, out) = (image.row(*row), &mut out[..cols.len() * bytes]);
        match (run, bytes) {
            (Some(first), _) => out.copy_from_slice(&row[first * bytes..][..out.len()]),
            // A length that is known is copied without a call.
            (None, 1) => pixels::<1>(row, cols, out),
            (None, 2) => pixels::<2>(row, cols, out),
            (None, 3) => pixels::<3>(row, cols, out),
            (None, 4) => pixels::<4>(row, cols, out),
            (None, _) => {
                for (col, out) in cols.iter().zip(out.chunks_exact_mut(bytes)) {
                    out.copy_from_slice(&row[col * bytes..][..bytes]);
                }
            }
        }
    }
}

fn pixels<const BYTES: usize>(row: &[u8], cols: &[usize], out: &mut [u8]) {
    let (row, _) = row.as_chunks::<BYTES>();
    let (out, _) = out.as_chunks_mut::<BYTES>();
    for (col, out) in cols.iter().zip(out) {
        *out = row[*col];
    }
}

/// The first of columns, where they are side by side.
fn consecutive(cols: &[usize]) -> Option<usize> {
    cols.windows(2).all(|pair| pair[1] == pair[0] + 1).then(|| cols.first().copied()).flatten()
}

/// Copies samples as numbers.
pub(super) fn nearest<T: Sample, O: Output>(
    image: &Image<'_, T>,
    rows: &[usize],
    cols: &[usize],
    out: ChunksMut<'_, O>,
) {
    let channels = image.channels;
    let run = consecutive(cols);
    for (row, out) in rows.iter().zip(out) {
        let row = image.row(*row);
        if let Some(first) = run {
            for (out, value) in out[..cols.len() * channels].iter_mut().zip(&row[first * channels..]) {
                *out = O::from_f32(value.to_f32());
            }
            continue;
        }
        for (col, out) in cols.iter().zip(out.chunks_exact_mut(channels)) {
            for (out, value) in out.iter_mut().zip(&row[col * channels..]) {
                *out = O::from_f32(value.to_f32());
            }
        }
    }
}

/// Between columns first, then between rows.
pub(super) fn bilinear<T: Sample, O: Output>(
    image: &Image<'_, T>,
    rows: &[Lerp],
    cols: &Lerps,
    out: ChunksMut<'_, O>,
    scratch: &mut Vec<f32>,
) {
    let channels = image.channels;
    let width = cols.all().len() * channels;
    let [mut top, mut bottom, between] = self::rows(scratch, [width; 3]);
    let span = rows.last().map_or(0, |row| row.low) - rows.first().map_or(0, |row| row.low);
    if span >= rows.len() {
        // Shrinking: hardly a row of the source serves two of the output.
        for (row, out) in rows.iter().zip(out) {
            let (low, high) = (image.row(row.low), image.row(row.low + row.step));
            lerp_both(low, high, channels, cols, row.share, between);
            O::write(between, &mut out[..width]);
        }
        return;
    }
    // Enlarging: a row that was interpolated for one row of the output is kept for the next, of the same bits.
    let (mut in_top, mut in_bottom) = (None, None);
    for (row, out) in rows.iter().zip(out) {
        let (low, high) = (row.low, row.low + row.step);
        if in_bottom == Some(low) && in_top != Some(low) {
            (top, bottom) = (bottom, top);
            (in_top, in_bottom) = (in_bottom, in_top);
        }
        if in_top != Some(low) {
            lerp_cols(image.row(low), channels, cols, top);
            in_top = Some(low);
        }
        if row.step > 0 && in_bottom != Some(high) {
            lerp_cols(image.row(high), channels, cols, bottom);
            in_bottom = Some(high);
        }
        let bottom = if row.step > 0 { &*bottom } else { &*top };
        lerp_rows(top, bottom, row.share, between);
        O::write(between, &mut out[..width]);
    }
}

/// Sums of rows first, of the columns that are needed, then sums of columns.
pub(super) fn sums<T: Sample, O: Output>(
    image: &Image<'_, T>,
    rows: &Taps,
    cols: &Taps,
    start: f32,
    out: ChunksMut<'_, O>,
    scratch: &mut Vec<f32>,
) {
    let channels = image.channels;
    let (span, width) = (cols.count * channels, cols.len() * channels);
    let [down, across] = self::rows(scratch, [span, width]);
    let source = &image.samples[rows.first * image.stride + cols.first * channels..];
    for (taps, out) in rows.iter(T::FINITE).zip(out) {
        sum_rows(source, image.stride, taps, start, &mut down[..span]);
        sum_cols(down, channels, cols.iter(T::FINITE), start, across);
        O::write(across, &mut out[..width]);
    }
}

/// Sums of columns first, then sums of rows, then the factor that makes them a mean. A row of the source that counts for
/// two rows of the output is kept.
pub(super) fn area<T: Sample, O: Output>(
    image: &Image<'_, T>,
    rows: &Taps,
    cols: &Taps,
    factor: f32,
    out: ChunksMut<'_, O>,
    scratch: &mut Vec<f32>,
) {
    let channels = image.channels;
    let width = cols.len() * channels;
    let [row, sum] = self::rows(scratch, [width, width]);
    let mut in_row = None;
    for (taps, out) in rows.iter(false).zip(out) {
        sum[..width].fill(0.0);
        for tap in taps {
            if in_row != Some(tap.index) {
                let source = &image.row(rows.first + tap.index)[cols.first * channels..];
                sum_cols(source, channels, cols.iter(false), super::NO_START, row);
                in_row = Some(tap.index);
            }
            for (sum, value) in sum[..width].iter_mut().zip(&*row) {
                *sum += value * tap.weight;
            }
        }
        for (out, value) in out[..width].iter_mut().zip(&*sum) {
            *out = O::from_f32(value * factor);
        }
    }
}
