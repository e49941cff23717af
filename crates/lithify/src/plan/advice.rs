//! What padding wastes, and what would save it.

use std::fmt;

use super::{ArrayPlan, FeaturePlan, Fit, Plan};
use crate::decode::Content;
use crate::machine::{Machine, show_size};
use crate::scan::profile::{FeatureProfile, Profile, Sizes, bin_end};
use crate::value::DType;

/// Padding that wastes less than this share is not worth a word.
const WORTH_SAYING: f64 = 0.2;
/// Nor is one of fewer bytes.
const WORTH_BYTES: u64 = 1 << 20;

/// Something the user could do better.
#[derive(Clone, Debug, PartialEq)]
pub enum Advice {
    /// Most of an array is padding.
    Padding {
        /// The feature.
        feature: String,
        /// The share of the padded array that is padding.
        waste: f64,
        /// What it takes, and what it would take otherwise.
        ways: Ways,
    },
    /// Images are of many sizes, so that no array holds them as they are.
    Images {
        /// The feature.
        feature: String,
        /// A size that they can be given.
        size: (u64, u64),
        /// Bytes of the array then.
        bytes: u64,
    },
    /// JPEGs are much larger than what is made of them, and could be decoded at a part of their size.
    Ratio {
        /// The feature.
        feature: String,
        /// The part.
        ratio: u64,
    },
    /// An array of a Zarr store has a dtype that not every reader knows.
    Readers {
        /// The array.
        array: String,
        /// Its dtype.
        dtype: DType,
    },
    /// A column is left out.
    LeftOut {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// What must be compressed to fit on the disk.
    Disk {
        /// Bytes of all arrays before that.
        bytes: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Byte strings end in NUL, which `NumPy` takes off fixed-width items when it reads them.
    Nuls {
        /// The feature.
        feature: String,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Images { feature, size: (height, width), bytes } => write!(
                f,
                "`{feature}`: `resize={height}x{width}` makes images of one size, in {}",
                show_size(*bytes)
            ),
            Self::Disk { bytes, free } => write!(
                f,
                "before they are compressed the arrays take {}, and {} of disk are free: if too little is saved, the disk fills up",
                show_size(*bytes),
                show_size(*free)
            ),
            Self::LeftOut { name, why } => write!(f, "`{}` is left out: {why}", name.escape_debug()),
            Self::Ratio { feature, ratio } => write!(
                f,
                "`{feature}`: most images are much larger than what is made of them; `ratio={ratio}` decodes them at a part of their size, which is faster, and smoother than `resize` alone"
            ),
            Self::Readers { array, dtype: dtype @ DType::Bytes(_) } => {
                write!(f, "`{array}`: {dtype} is read by zarr-python as NumPy's `S`, but not by TensorStore")
            }
            Self::Readers { array, dtype } => write!(
                f,
                "`{array}`: {dtype} is read by TensorStore and zarrs; zarr-python and xarray cannot open it, nor list the group that it is in"
            ),
            Self::Nuls { feature } => write!(
                f,
                "`{feature}`: some byte strings end in NUL, which NumPy's `S` items lose when they are read; `ragged` keeps them"
            ),
            Self::Padding { feature, waste, ways: Ways { padded, cut, buckets, ragged, .. } } => {
                let caps = buckets.0.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                write!(
                    f,
                    "`{feature}` padded takes {}, {:.0} % of it padding; `ragged` would take {}, `bucket={caps}` {}",
                    show_size(*padded),
                    waste * 100.0,
                    show_size(*ragged),
                    show_size(buckets.1)
                )?;
                if cut.1 < *padded {
                    write!(f, ", `pad={} truncate` (99 % are no longer) {}", cut.0, show_size(cut.1))?;
                }
                Ok(())
            }
        }
    }
}

/// Lengths that split elements into at most `count` ranges so that padding each to its longest wastes least: the optimum,
/// as near as the histogram's bins tell.
#[must_use]
pub fn buckets(sizes: &Sizes, count: usize) -> Vec<u64> {
    let bins: Vec<(u64, u64)> = sizes
        .histogram
        .iter()
        .enumerate()
        .filter(|(_, elements)| **elements > 0)
        .map(|(bin, elements)| (bin_end(bin).min(sizes.max()), *elements))
        .collect();
    if bins.is_empty() {
        return vec![sizes.max()];
    }
    // cost[j] of the present number of buckets: least padded total of the first j bins; from[k][j]: where the last begins.
    let mut before = vec![0_u64];
    for (_, elements) in &bins {
        before.push(before.last().copied().unwrap_or_default() + elements);
    }
    let padded = |from: usize, to: usize| u128::from(bins[to - 1].0) * u128::from(before[to] - before[from]);
    let mut cost: Vec<u128> = (0..=bins.len()).map(|to| if to == 0 { 0 } else { padded(0, to) }).collect();
    let mut from = vec![vec![0; bins.len() + 1]];
    for _ in 1..count.min(bins.len()) {
        let mut best = vec![0; bins.len() + 1];
        let next: Vec<u128> = (0..=bins.len())
            .map(|to| {
                let found = (0..to).map(|start| (cost[start] + padded(start, to), start)).min();
                best[to] = found.map_or(0, |found| found.1);
                found.map_or(0, |found| found.0)
            })
            .collect();
        from.push(best);
        cost = next;
    }
    let mut caps = Vec::new();
    let mut to = bins.len();
    for starts in from.iter().rev() {
        if to == 0 {
            break;
        }
        caps.push(bins[to - 1].0);
        to = starts[to];
    }
    caps.reverse();
    caps
}

/// Elements of a histogram padded to these lengths, in values; longer ones are cut.
fn padded_values(sizes: &Sizes, caps: &[u64]) -> u64 {
    let cap_of = |bin: usize| {
        let end = bin_end(bin).min(sizes.max());
        caps.iter().find(|cap| end <= **cap).or(caps.last()).copied().unwrap_or_default()
    };
    sizes.histogram.iter().enumerate().fold(0, |sum, (bin, elements)| sum + elements * cap_of(bin))
}

/// The share of padding, where elements are padded to the longest.
#[must_use]
pub fn waste_of(sizes: &Sizes, elements: u64) -> f64 {
    let values = elements.saturating_mul(sizes.max());
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let filled = sizes.total as f64 / values.max(1) as f64;
    if values == 0 { 0.0 } else { 1.0 - filled }
}

/// What padding a feature to its longest would waste, if that is worth a word.
#[must_use]
pub fn for_feature(profile: &Profile, feature: &FeatureProfile) -> Option<Advice> {
    if feature.is_images() {
        return for_images(profile, feature);
    }
    let item = feature.kind()?.dtype()?.size() as u64;
    padding(&feature.name, &feature.lengths, profile.elements, item)
}

/// The size that is most often asked for, or a smaller one where images are smaller.
const USUAL_SIDE: u64 = 224;

fn for_images(profile: &Profile, feature: &FeatureProfile) -> Option<Advice> {
    let images = feature.images()?;
    if images.heights.min() == images.heights.max() && images.widths.min() == images.widths.max() {
        return None;
    }
    let usual = |sizes: &Sizes| sizes.quantile(0.5).clamp(1, USUAL_SIDE);
    let size = (usual(&images.heights), usual(&images.widths));
    let channels = feature.image_channels().into_iter().max()?;
    let bytes = profile.elements.saturating_mul(size.0 * size.1 * channels);
    Some(Advice::Images { feature: feature.name.clone(), size, bytes })
}

/// The largest ratio at which most images still have all the rows and columns that are made of them.
fn ratio(profile: &Profile, plan: &FeaturePlan) -> Option<Advice> {
    let Fit::Resize { geometry, .. } = plan.fit else { return None };
    let feature = profile.feature(&plan.feature)?;
    let jpegs = feature.contents.iter().all(|content| content.0 == Content::Jpeg);
    if !jpegs || plan.view.pixels.ratio != 1 {
        return None;
    }
    let images = feature.images()?;
    let size = (
        usize::try_from(images.heights.quantile(0.5)).ok()?,
        usize::try_from(images.widths.quantile(0.5)).ok()?,
    );
    let resized = geometry.place(size).ok()?.resized;
    let most = (size.0 / resized.0.max(1)).min(size.1 / resized.1.max(1));
    let ratio = [8, 4, 2].into_iter().find(|ratio| *ratio <= most)?;
    Some(Advice::Ratio { feature: plan.feature.clone(), ratio: ratio as u64 })
}

/// What lists of varying lengths take, by how they become arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// Bytes, all padded to the longest.
    pub padded: u64,
    /// The longest of 99 % of the elements, and the bytes, padded and cut to that.
    pub cut: (u64, u64),
    /// The lengths of four buckets, and their bytes.
    pub buckets: (Vec<u64>, u64),
    /// Bytes of values and offsets.
    pub ragged: u64,
    /// Bytes of the values alone, which no way goes below.
    pub values: u64,
}

/// What lists of these lengths take, whose items have so many bytes.
#[must_use]
pub fn ways(sizes: &Sizes, elements: u64, item: u64) -> Ways {
    let (caps, most) = (buckets(sizes, 4), sizes.quantile(0.99));
    let values = sizes.total.saturating_mul(item);
    Ways {
        padded: elements.saturating_mul(sizes.max()).saturating_mul(item),
        cut: (most, elements.saturating_mul(most).saturating_mul(item)),
        buckets: (caps.clone(), padded_values(sizes, &caps).saturating_mul(item)),
        ragged: values.saturating_add(elements.saturating_add(1).saturating_mul(8)),
        values,
    }
}

fn padding(name: &str, sizes: &Sizes, elements: u64, item: u64) -> Option<Advice> {
    let waste = waste_of(sizes, elements);
    let values = elements.saturating_mul(sizes.max());
    if waste < WORTH_SAYING || values.saturating_mul(item) < WORTH_BYTES {
        return None;
    }
    Some(Advice::Padding { feature: name.to_owned(), waste, ways: ways(sizes, elements, item) })
}

/// What could be better about a plan: what its padding wastes, in the dtype that it pads to.
#[must_use]
pub fn for_plan(profile: &Profile, plan: &Plan, machine: &Machine) -> Vec<Advice> {
    let padded = |feature: &&FeaturePlan| {
        // Who cuts has decided what padding may take.
        matches!(&feature.fit, Fit::Pad { shape, truncate: false, .. } if shape.len() == 1)
    };
    let padding = plan.features.iter().filter(padded).filter_map(|feature| {
        let seen = profile.feature(&feature.feature)?;
        let sizes = seen.shapes().map_or(&seen.lengths, |shapes| &shapes.values);
        padding(&feature.feature, sizes, profile.elements, feature.dtype.size() as u64)
    });
    let nuls = plan.features.iter().filter(|feature| {
        let ends_in_nul = |seen: &FeatureProfile| match seen.shapes_by(&feature.view) {
            Some(shapes) => shapes.ends_in_nul,
            None => seen.ends_in_nul,
        };
        let fixed = matches!(feature.dtype, DType::Bytes(_));
        fixed && feature.stored.is_none() && profile.feature(&feature.feature).is_some_and(ends_in_nul)
    });
    let ratios = plan.features.iter().filter_map(|feature| ratio(profile, feature));
    let nuls = nuls.map(|feature| Advice::Nuls { feature: feature.feature.clone() });
    let readers = plan
        .arrays
        .iter()
        .filter(|array| array.zarr.as_ref().is_some_and(|zarr| !zarr.text))
        .filter(|array| matches!(array.dtype, DType::Bytes(_) | DType::BFloat16));
    let readers = readers.map(|array| Advice::Readers { array: array.name.clone(), dtype: array.dtype });
    let all = plan.request.features.is_empty();
    let left_out = profile.left_out.iter().filter(|_| all);
    let left_out = left_out.map(|(name, why)| Advice::LeftOut { name: name.clone(), why: why.clone() });
    let bytes = plan.bytes();
    let compressed = plan.arrays.iter().any(ArrayPlan::compressed);
    let disk = (compressed && bytes > machine.disk).then_some(Advice::Disk { bytes, free: machine.disk });
    disk.into_iter().chain(nuls).chain(padding).chain(ratios).chain(readers).chain(left_out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: &[(u64, u64)]) -> Sizes {
        let mut histogram = vec![0; 70];
        for (length, count) in lengths {
            histogram[usize::try_from(*length).unwrap()] += count;
        }
        let largest = lengths.iter().map(|length| length.0).max().unwrap();
        Sizes {
            count: lengths.iter().map(|length| length.1).sum(),
            total: lengths.iter().map(|length| length.0 * length.1).sum(),
            largest: Some((largest, crate::scan::profile::Witness::default())),
            histogram,
            ..Sizes::default()
        }
    }

    #[test]
    fn buckets_waste_as_little_as_can_be() {
        let sizes = sizes(&[(2, 1000), (3, 10), (50, 5), (60, 1)]);
        assert_eq!(buckets(&sizes, 1), [60]);
        assert_eq!(buckets(&sizes, 2), [2, 60]);
        assert_eq!(buckets(&sizes, 9), [2, 3, 50, 60]);
        assert_eq!(padded_values(&sizes, &[3, 60]), 3030 + 360);
    }
}
