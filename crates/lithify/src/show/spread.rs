//! How sizes are distributed, as a picture.

use crate::scan::profile::{FeatureProfile, Sizes, bin_end};
use crate::value::Kind;

/// What differs most from one element to another of a feature, and what that is called: of images heights or widths, of strings
/// their bytes, else how many values there are.
#[must_use]
pub fn differing(feature: &FeatureProfile) -> (Sizes, &'static str) {
    let differs = |sizes: &Sizes| sizes.min() != sizes.max();
    if let Some(images) = feature.images().filter(|_| feature.is_images()) {
        return if differs(&images.heights) { (images.heights, "height") } else { (images.widths, "width") };
    }
    if let Some(sounds) = feature.sounds() {
        return (sounds.milliseconds.clone(), "milliseconds");
    }
    if let Some(shapes) = feature.shapes().filter(|shapes| differs(&shapes.values)) {
        return (shapes.values.clone(), "values");
    }
    if feature.kind() == Some(Kind::Bytes) && !differs(&feature.lengths) {
        return (feature.strings.clone(), "bytes");
    }
    (feature.lengths.clone(), "values")
}

/// How many sizes fall in each of at most so many columns, which are of one width, from the smallest size to the largest.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "heights of a picture"
)]
pub fn columns(sizes: &Sizes, most: usize) -> Vec<f64> {
    if sizes.count == 0 || most == 0 {
        return Vec::new();
    }
    let (least, largest) = (sizes.min(), sizes.max());
    let span = (largest - least) as f64 + 1.0;
    let count = (most as f64).min(span);
    let mut columns = vec![0.0; count as usize];
    // Where a size stands, in columns.
    let place = |size: u64| (size.clamp(least, largest) - least) as f64 / span * count;
    for (bin, sizes) in sizes.histogram.iter().enumerate().filter(|(_, sizes)| **sizes > 0) {
        let first = if bin == 0 { 0 } else { bin_end(bin - 1).saturating_add(1) };
        let (start, end) = (place(first), place(bin_end(bin)) + count / span);
        let density = *sizes as f64 / (end - start);
        let stop = (end.ceil() as usize).min(columns.len());
        for (number, column) in columns.iter_mut().enumerate().take(stop).skip(start as usize) {
            let covered = end.min(number as f64 + 1.0) - start.max(number as f64);
            *column += density * covered.max(0.0);
        }
    }
    columns
}

/// The same as text, a letter a column: a column that has any is never blank.
#[must_use]
pub fn bars(sizes: &Sizes, most: usize) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = columns(sizes, most);
    let highest = columns.iter().copied().fold(0.0, f64::max);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of eight")]
    let block = |column: f64| {
        if column <= 0.0 { 0 } else { (column / highest * 8.0).ceil().clamp(1.0, 8.0) as usize }
    };
    columns.into_iter().map(|column| BLOCKS[block(column)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::profile::{Witness, bin_of};

    fn sizes(of: &[(u64, u32)]) -> Sizes {
        let mut sizes = Sizes::default();
        for (size, count) in of {
            let bin = bin_of(*size);
            sizes.histogram.resize(sizes.histogram.len().max(bin + 1), 0);
            sizes.histogram[bin] += u64::from(*count);
            sizes.count += u64::from(*count);
        }
        let ends = [of.iter().map(|one| one.0).min(), of.iter().map(|one| one.0).max()];
        [sizes.smallest, sizes.largest] = ends.map(|size| size.map(|size| (size, Witness::default())));
        sizes
    }

    #[test]
    fn all_that_is_counted_is_in_a_column() {
        for of in [
            &[(0, 3)][..],
            &[(7, 1), (9, 5)],
            &[(1, 100), (1000, 1)],
            &[(3, 2), (1 << 40, 2)],
            &[(u64::MAX, 1)],
        ] {
            let sizes = sizes(of);
            for most in [1, 2, 8, 40] {
                let found: f64 = columns(&sizes, most).iter().sum();
                assert!(
                    (found - f64::from(of.iter().map(|one| one.1).sum::<u32>())).abs() < 1e-6,
                    "{of:?} {most}"
                );
            }
        }
    }

    #[test]
    fn the_highest_is_full_and_none_is_lost() {
        assert_eq!(bars(&sizes(&[(1, 8), (2, 4), (4, 1)]), 8), "█▄ ▁");
        assert_eq!(bars(&sizes(&[(5, 8)]), 8), "█");
        assert_eq!(bars(&sizes(&[(0, 1000), (31, 1)]), 8), "█      ▁");
        assert_eq!(bars(&Sizes::default(), 8), "");
    }
}
