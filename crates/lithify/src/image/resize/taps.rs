//! Which pixels of a source make one of the output, along one axis, and how much each counts.
//!
//! Below, `n` is the size of the source and `o` that of the output, in pixels. The arithmetic is TensorFlow's, in f32 and
//! in its order.

use std::ops::Range;

use super::kernel::Kernel;

/// A pixel of the source and its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tap {
    /// The pixel, counted from the [first](Taps::first) that is needed.
    pub index: usize,
    /// What it counts.
    pub weight: f32,
}

/// The taps of consecutive pixels of the output.
#[derive(Clone, Debug)]
pub(super) struct Taps {
    /// The first pixel of the source that is needed.
    pub first: usize,
    /// How many pixels from there on are needed.
    pub count: usize,
    all: Vec<Tap>,
    /// Where each pixel's taps end.
    ends: Vec<usize>,
    /// Where those end that do not count 0, of the same pixels: not behind the former.
    solid: Vec<usize>,
}

/// Two pixels of the source, and how far from the low to the high one the output lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lerp {
    /// The one before.
    pub low: usize,
    /// How much further the one behind is: 1; at an edge, and where the place is exact, 0.
    pub step: usize,
    /// 0 at the low one, 1 at the high one.
    pub share: f32,
}

/// The lerps of consecutive pixels of the output.
#[derive(Clone, Debug)]
pub(super) struct Lerps {
    all: Vec<Lerp>,
    /// Where runs of the same step end.
    ends: Vec<usize>,
}

impl Lerps {
    /// The two pixels between which each pixel of the output lies. At the edges the share stays as it is, and does
    /// nothing, since both pixels are the same.
    pub(super) fn new(n: usize, o: usize, window: Range<usize>) -> Self {
        let scale = float(n) / float(o);
        let lerp = |x| {
            let place = place(x, scale);
            let low = whole(place.floor()).min(n - 1);
            Lerp { low, step: whole(place.ceil()).min(n - 1) - low, share: place - place.floor() }
        };
        let all: Vec<_> = window.map(lerp).collect();
        let mut end = 0;
        let runs = all.chunk_by(|before, after| before.step == after.step);
        let ends = runs.map(|run| {
            end += run.len();
            end
        });
        Self { ends: ends.collect(), all }
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> &[Lerp] {
        &self.all
    }

    /// All of them in order, cut where the step changes.
    pub(super) fn runs(&self) -> impl Iterator<Item = &[Lerp]> {
        std::iter::once(&0).chain(&self.ends).zip(&self.ends).map(|(start, end)| &self.all[*start..*end])
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "as TensorFlow counts: an image has less than 2^24 pixels a side"
)]
pub(super) fn float(count: usize) -> f32 {
    count as f32
}

/// Towards zero; what is negative becomes 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, as is wanted")]
pub(super) fn whole(place: f32) -> usize {
    place as usize
}

/// The place in the source that pixel `x` of the output has, where pixels are counted by their middles.
fn place(x: usize, scale: f32) -> f32 {
    (float(x) + 0.5) * scale - 0.5
}

/// The pixel that each pixel of the output copies.
pub(super) fn nearest(n: usize, o: usize, window: Range<usize>) -> Vec<usize> {
    let scale = float(n) / float(o);
    window.map(|x| whole(((float(x) + 0.5) * scale).floor()).min(n - 1)).collect()
}

impl Taps {
    /// Takes the taps of each pixel of the output: pixels of the source, and weights.
    fn collect<I: IntoIterator<Item = Tap>>(pixels: impl Iterator<Item = I>) -> Self {
        Self::padded(pixels.map(|taps| (taps, std::iter::empty())))
    }

    /// As [`collect`](Self::collect), with pixels behind each pixel's taps that count 0.
    fn padded<I: IntoIterator<Item = Tap>>(
        pixels: impl Iterator<Item = (I, impl Iterator<Item = usize>)>,
    ) -> Self {
        let mut taps = Self { first: 0, count: 0, all: Vec::new(), ends: Vec::new(), solid: Vec::new() };
        for (solid, padding) in pixels {
            taps.all.extend(solid);
            taps.solid.push(taps.all.len());
            taps.all.extend(padding.map(|index| Tap { index, weight: 0.0 }));
            taps.ends.push(taps.all.len());
        }
        taps.first = taps.all.iter().map(|tap| tap.index).min().unwrap_or(0);
        taps.count = taps.all.iter().map(|tap| tap.index + 1 - taps.first).max().unwrap_or(0);
        for tap in &mut taps.all {
            tap.index -= taps.first;
        }
        taps
    }

    /// The taps of each pixel of the output, in the order in which they are summed; without those behind the others that
    /// count 0, where all samples are `finite` and such taps change nothing.
    pub(super) fn iter(&self, finite: bool) -> impl Iterator<Item = &[Tap]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(if finite { &self.solid } else { &self.ends }).map(|(start, end)| &self.all[*start..*end])
    }

    /// How many pixels the output has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bicubic without antialiasing: four taps, whose weights have 1024 steps. A tap outside the image keeps its place in
    /// the sum, with the pixel at the edge and a weight of 0.
    pub(super) fn bicubic(n: usize, o: usize, window: Range<usize>) -> Self {
        let scale = float(n) / float(o);
        Self::collect(window.map(|x| {
            let place = place(x, scale);
            let step = f64::from(((place - place.floor()) * 1024.0).round_ties_even()) / 1024.0;
            // Tap 1 is the pixel below the place. Three pixels more than the image has are counted, so that none is
            // negative.
            let start = whole(place.floor() + 2.0);
            let mut taps =
                [1.0 + step, step, 1.0 - step, 2.0 - step].map(|x| Tap { index: 0, weight: keys(x) });
            for (i, tap) in taps.iter_mut().enumerate() {
                let index = start + i;
                tap.index = index.saturating_sub(3).min(n - 1);
                if index != tap.index + 3 {
                    tap.weight = 0.0;
                }
            }
            normalize(&mut taps);
            taps
        }))
    }

    /// The part of every pixel of the source that a pixel of the output covers: 1 but for the first and the last.
    pub(super) fn area(n: usize, o: usize, window: Range<usize>) -> Self {
        let scale = float(n) / float(o);
        Self::collect(window.map(|x| {
            let (start, end) = (float(x) * scale, float(x + 1) * scale);
            (whole(start.floor())..whole(end.ceil())).map(move |i| {
                let weight = match (float(i) < start, float(i + 1) > end) {
                    (true, true) => scale,
                    (true, false) => float(i + 1) - start,
                    (false, true) => end - float(i),
                    (false, false) => 1.0,
                };
                Tap { index: i.min(n - 1), weight }
            })
        }))
    }

    /// A kernel, stretched by the factor by which the source is larger where `smooth` is set. Weights near an edge are
    /// scaled so that they sum to 1, too.
    pub(super) fn kernel(n: usize, o: usize, window: Range<usize>, kernel: Kernel, smooth: bool) -> Self {
        let inverse = 1.0 / (float(o) / float(n));
        let stretch = if smooth { inverse.max(1.0) } else { 1.0 };
        let shrink = 1.0 / stretch;
        let reach = kernel.radius() * stretch;
        // TensorFlow sums as many pixels everywhere, as far as there are, and lets those out of reach count 0. That shows
        // where one is infinite or not a number.
        let most = 2 * whole(reach.ceil()) + 1;
        Self::padded(window.map(|x| {
            let place = (float(x) + 0.5) * inverse;
            let first = whole((place - reach - 0.5).ceil()).min(n - 1);
            let last = whole((place + reach - 0.5).floor()).min(n - 1);
            let weight = |i| kernel.at(((float(i) + 0.5 - place) * shrink).abs());
            let mut taps: Vec<_> = (first..=last).map(|index| Tap { index, weight: weight(index) }).collect();
            normalize(&mut taps);
            (taps, last + 1..(first + most).min(n))
        }))
    }
}

/// The cubic kernel of Keys with a = -1/2, in f64 as the table of TensorFlow's bicubic kernel is made.
#[expect(clippy::cast_possible_truncation, reason = "the table holds f32")]
fn keys(x: f64) -> f32 {
    (if x <= 1.0 { (1.5 * x - 2.5) * x * x + 1.0 } else { ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 }) as f32
}

/// Makes the weights sum to 1; to 0 where they sum to next to nothing.
fn normalize(taps: &mut [Tap]) {
    let sum = taps.iter().fold(0.0, |sum, tap| sum + tap.weight);
    let factor = if sum.abs() >= 1000.0 * f32::MIN_POSITIVE { 1.0 / sum } else { 0.0 };
    for tap in taps {
        tap.weight *= factor;
    }
}
