//! How sizes are distributed, and which elements have the smallest and the largest.

use serde::{Deserialize, Serialize};

use super::profile::Witness;

/// How sizes are distributed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// How many were seen.
    pub count: u64,
    /// Their sum.
    pub total: u64,
    /// The smallest, and the first element that has it.
    pub smallest: Option<(u64, Witness)>,
    /// The largest, and the first element that has it.
    pub largest: Option<(u64, Witness)>,
    /// How many fall in each bin of [`bin_of`].
    pub histogram: Vec<u64>,
}

/// The bin of a size: sizes below 64 have their own, larger ones share an octave's sixteenth.
#[must_use]
pub fn bin_of(size: u64) -> usize {
    if size < 64 {
        return usize::try_from(size).unwrap_or(0);
    }
    let octave = size.ilog2() as usize;
    let sixteenth = usize::try_from(size >> (octave - 4) & 15).unwrap_or(0);
    64 + (octave - 6) * 16 + sixteenth
}

/// The largest size that falls in a bin.
#[must_use]
pub fn bin_end(bin: usize) -> u64 {
    if bin < 64 {
        return bin as u64;
    }
    let (octave, sixteenth) = ((bin - 64) / 16 + 6, (bin - 64) % 16);
    let start = u128::from(16 + sixteenth as u64) << (octave - 4);
    u64::try_from(start + (1 << (octave - 4)) - 1).unwrap_or(u64::MAX)
}

impl Sizes {
    #[inline]
    pub(super) fn observe(&mut self, size: u64, witness: Witness) {
        self.count += 1;
        self.total = self.total.saturating_add(size);
        if self.smallest.is_none_or(|smallest| size < smallest.0) {
            self.smallest = Some((size, witness));
        }
        if self.largest.is_none_or(|largest| size > largest.0) {
            self.largest = Some((size, witness));
        }
        let bin = bin_of(size);
        if self.histogram.len() <= bin {
            self.histogram.resize(bin + 1, 0);
        }
        self.histogram[bin] += 1;
    }

    /// So many of the same.
    pub(super) fn repeat(&mut self, times: u64) {
        self.count *= times;
        self.total = self.total.saturating_mul(times);
        self.histogram.iter_mut().for_each(|count| *count *= times);
    }

    pub(super) fn merge(&mut self, later: &Self, before: u64) {
        self.count += later.count;
        self.total = self.total.saturating_add(later.total);
        let shifted =
            |found: Option<(u64, Witness)>| found.map(|(size, witness)| (size, witness.after(before)));
        self.smallest = earliest(self.smallest, shifted(later.smallest), |new, old| new < old);
        self.largest = earliest(self.largest, shifted(later.largest), |new, old| new > old);
        if self.histogram.len() < later.histogram.len() {
            self.histogram.resize(later.histogram.len(), 0);
        }
        for (mine, theirs) in self.histogram.iter_mut().zip(&later.histogram) {
            *mine += theirs;
        }
    }

    /// The smallest size.
    #[must_use]
    pub fn min(&self) -> u64 {
        self.smallest.map_or(0, |found| found.0)
    }

    /// The largest size.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.largest.map_or(0, |found| found.0)
    }

    /// A size that so many of the sizes do not exceed, as near as the bins tell.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bin, count) in self.histogram.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return bin_end(bin).min(self.max());
            }
        }
        self.max()
    }
}

pub(super) fn earliest(
    old: Option<(u64, Witness)>,
    new: Option<(u64, Witness)>,
    better: impl Fn(u64, u64) -> bool,
) -> Option<(u64, Witness)> {
    match (old, new) {
        (Some(old), Some(new)) if better(new.0, old.0) => Some(new),
        (Some(old), _) => Some(old),
        (None, new) => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_falls_in_the_bin_that_ends_at_or_above_it() {
        for size in (0..5000)
            .chain((12..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]))
            .chain([u64::MAX])
        {
            let bin = bin_of(size);
            assert!(bin_end(bin) >= size && (bin == 0 || bin_end(bin - 1) < size), "{size} in {bin}");
        }
    }

    #[test]
    fn quantiles_are_exact_for_small_sizes() {
        let mut sizes = Sizes::default();
        (1..=50).for_each(|size| sizes.observe(size, Witness::default()));
        assert_eq!((sizes.quantile(0.5), sizes.quantile(0.99), sizes.quantile(1.0)), (25, 50, 50));
    }
}
