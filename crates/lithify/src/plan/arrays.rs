//! The arrays that come of a feature, and what must be counted to know where their blocks begin.

use serde::{Deserialize, Serialize};

use super::codec::Compressor;
use super::image::Frames;
use super::{FeaturePlan, Fit, Layout, ZarrArray};
use crate::image::geometry::Geometry;
use crate::scan::index::Counted;
use crate::scan::profile::{FeatureProfile, Profile};
use crate::value::DType;

/// An array of the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayPlan {
    /// Its name, which is also that of its file, without the ending, or of its place in a Zarr store.
    pub name: String,
    /// What it holds.
    pub dtype: DType,
    /// Its shape.
    pub shape: Vec<u64>,
    /// The number of the feature that it is of.
    pub feature: usize,
    /// What of the feature it holds.
    pub role: Role,
    /// What its rows are.
    pub rows: Rows,
    /// What else it is in a Zarr store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zarr: Option<Box<ZarrArray>>,
}

/// What an array holds of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A row an element.
    Data,
    /// The true length of each row (of each axis).
    Lengths,
    /// Which items of each row are data.
    Mask,
    /// Height and width of each image before it was resized.
    Sizes,
    /// Which elements have the feature.
    Present,
    /// Samples a second of each element.
    Rates,
    /// All values, one after another.
    Values,
    /// Where each element's values start, and where the last one's end.
    Offsets,
    /// Where each byte string starts, and where the last one ends.
    ValueOffsets,
    /// The shape of each element.
    Shapes,
    /// The rows of a bucket.
    Bucket(usize),
    /// The true lengths of a bucket's rows.
    BucketLengths(usize),
    /// Which items of a bucket's rows are data.
    BucketMask(usize),
    /// Which elements the rows of a bucket are.
    BucketElements(usize),
}

/// What the rows of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// The elements.
    Elements,
    /// What this counter counts.
    Counted(usize),
    /// One more than the elements: the starts, and the last end.
    ElementsAndEnd,
    /// One more than what this counter counts.
    CountedAndEnd(usize),
}

/// A running total over the elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterPlan {
    /// Of which feature.
    pub feature: usize,
    /// What of it.
    pub what: Counted,
    /// Its number in the index, where it differs from element to element.
    pub indexed: Option<usize>,
    /// What each element adds, where it does not.
    pub each: u64,
    /// The total over the dataset.
    pub total: u64,
}

impl ArrayPlan {
    /// Bytes of a row.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        self.shape.iter().skip(1).fold(self.dtype.size() as u64, |bytes, size| bytes.saturating_mul(*size))
    }

    /// Bytes of the whole array, without its header.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1).saturating_mul(self.row_bytes())
    }

    /// Bytes that it takes on disk, at most, without a header: chunks are stored whole, also those at the end of an axis.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        if self.compressed() {
            return self.bytes();
        }
        // Before each text stands its length.
        let text = self.zarr.as_ref().is_some_and(|zarr| zarr.text);
        let lengths = if text { self.largest_file() / (self.dtype.size() as u64).max(1) * 4 } else { 0 };
        self.files().saturating_mul(self.largest_file().saturating_add(lengths))
    }

    /// Whether it takes less than its bytes on disk.
    #[must_use]
    pub fn compressed(&self) -> bool {
        self.zarr.as_ref().is_some_and(|zarr| zarr.chunks.codec.compressor != Compressor::None)
    }

    /// How many files hold it, at most.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.zarr.as_ref().map_or(1, |zarr| zarr.chunks.files(&self.shape))
    }

    /// Bytes of the largest of them, without a header and before they are compressed.
    #[must_use]
    pub fn largest_file(&self) -> u64 {
        let item = self.dtype.size() as u64;
        self.zarr.as_ref().map_or(self.bytes(), |zarr| {
            zarr.chunks.file_shape().iter().fold(item, |bytes, size| bytes.saturating_mul(*size))
        })
    }
}

/// What of a Zarr array is in memory.
impl ArrayPlan {
    /// Bytes of a chunk before it is encoded.
    #[must_use]
    pub fn chunk_bytes(&self) -> u64 {
        let item = self.dtype.size() as u64;
        let chunk = self.zarr.iter().flat_map(|zarr| &zarr.chunks.chunk);
        chunk.fold(item, |bytes, size| bytes.saturating_mul(*size))
    }

    /// Whether rows go to their file as they are, so that pieces of it can be written: a chunk that is not encoded and holds
    /// whole rows.
    #[must_use]
    pub fn in_pieces(&self) -> bool {
        self.zarr.as_ref().is_some_and(|zarr| {
            zarr.is_plain() && zarr.chunks.shard.is_none() && zarr.chunks.chunk[1..] == self.shape[1..]
        })
    }

    /// Whether blocks of so many rows are made of whole slabs: then a slab is encoded as it is filled, and need not be in
    /// memory as a whole.
    #[must_use]
    pub fn whole_slabs(&self, block_rows: u64) -> bool {
        let slab = self.zarr.as_ref().map(|zarr| zarr.chunks.slab_rows());
        self.rows == Rows::Elements && slab.is_some_and(|rows| block_rows.is_multiple_of(rows))
    }
}

/// Adds the arrays of the feature numbered `number`, in the names of a layout.
pub(super) fn add_arrays(
    (profile, layout): (&Profile, Layout),
    feature: &FeatureProfile,
    plan: &FeaturePlan,
    number: usize,
    arrays: &mut Vec<ArrayPlan>,
    counters: &mut Vec<CounterPlan>,
) {
    let elements = profile.elements;
    let mut counter = |what: Counted| {
        let known = counters.iter().position(|counter| counter.feature == number && counter.what == what);
        known.unwrap_or_else(|| {
            counters.push(count(profile, feature, plan, number, what));
            counters.len() - 1
        })
    };
    let mut add = |suffix: &str, dtype: DType, shape: Vec<u64>, role: Role, rows: Rows| {
        arrays.push(ArrayPlan {
            name: layout.name_of(&plan.name, suffix, &plan.fit),
            dtype,
            shape,
            feature: number,
            role,
            rows,
            zarr: None,
        });
    };
    let rows_of = |shape: &[u64]| [&[elements], shape].concat();
    match &plan.fit {
        Fit::Resize { .. } => {}
        Fit::Exact { shape } => add("", plan.dtype, rows_of(shape), Role::Data, Rows::Elements),
        Fit::Pad { shape, .. } => {
            add("", plan.dtype, rows_of(shape), Role::Data, Rows::Elements);
            if plan.lengths {
                let lengths =
                    if shape.len() == 1 { vec![elements] } else { vec![elements, shape.len() as u64] };
                add(".lengths", DType::Int64, lengths, Role::Lengths, Rows::Elements);
            }
            if plan.mask {
                add(".mask", DType::Bool, rows_of(shape), Role::Mask, Rows::Elements);
            }
        }
        Fit::Ragged { rank, row } => {
            let what = if row.is_empty() { Counted::Seen } else { Counted::Rows };
            let rows = counter(what);
            let total = total_of(profile, feature, plan, what);
            add(".values", plan.dtype, [&[total], &row[..]].concat(), Role::Values, Rows::Counted(rows));
            add(".offsets", DType::Int64, vec![elements + 1], Role::Offsets, Rows::ElementsAndEnd);
            if *rank > 1 && row.is_empty() {
                add(".shapes", DType::Int64, vec![elements, *rank as u64], Role::Shapes, Rows::Elements);
            }
        }
        Fit::RaggedBytes { nested, rank } => {
            let bytes = counter(Counted::Bytes);
            let total = total_of(profile, feature, plan, Counted::Bytes);
            add(".values", DType::Uint8, vec![total], Role::Values, Rows::Counted(bytes));
            if *nested {
                let strings = counter(Counted::Seen);
                let ends = vec![total_of(profile, feature, plan, Counted::Seen) + 1];
                add(".value_offsets", DType::Int64, ends, Role::ValueOffsets, Rows::CountedAndEnd(strings));
            }
            add(".offsets", DType::Int64, vec![elements + 1], Role::Offsets, Rows::ElementsAndEnd);
            if *rank > 1 {
                add(".shapes", DType::Int64, vec![elements, *rank as u64], Role::Shapes, Rows::Elements);
            }
        }
        Fit::Bucket { caps, .. } => {
            for (bucket, cap) in caps.iter().enumerate() {
                let rows = counter(Counted::Bucket(bucket));
                let total = total_of(profile, feature, plan, Counted::Bucket(bucket));
                let rows = Rows::Counted(rows);
                add(&format!(".le{cap}"), plan.dtype, vec![total, *cap], Role::Bucket(bucket), rows);
                add(
                    &format!(".le{cap}.elements"),
                    DType::Int64,
                    vec![total],
                    Role::BucketElements(bucket),
                    rows,
                );
                if plan.lengths {
                    add(
                        &format!(".le{cap}.lengths"),
                        DType::Int64,
                        vec![total],
                        Role::BucketLengths(bucket),
                        rows,
                    );
                }
                if plan.mask {
                    add(
                        &format!(".le{cap}.mask"),
                        DType::Bool,
                        vec![total, *cap],
                        Role::BucketMask(bucket),
                        rows,
                    );
                }
            }
        }
    }
    if let Fit::Resize { shape, frames: Frames::Ragged, .. } = &plan.fit {
        let rows = counter(Counted::Rows);
        let total = total_of(profile, feature, plan, Counted::Rows);
        add(".values", plan.dtype, [&[total], &shape[1..]].concat(), Role::Values, Rows::Counted(rows));
        add(".offsets", DType::Int64, vec![elements + 1], Role::Offsets, Rows::ElementsAndEnd);
        if plan.lengths {
            add(".sizes", DType::Int64, vec![elements, 2], Role::Sizes, Rows::Elements);
        }
    } else if let Fit::Resize { shape, geometry, frames, .. } = &plan.fit {
        add("", plan.dtype, rows_of(shape), Role::Data, Rows::Elements);
        if plan.lengths {
            add(".sizes", DType::Int64, vec![elements, 2], Role::Sizes, Rows::Elements);
        }
        if plan.lengths && matches!(geometry, Geometry::KeepAspect(_)) {
            add(".lengths", DType::Int64, vec![elements, shape.len() as u64], Role::Lengths, Rows::Elements);
        } else if plan.lengths && *frames == Frames::Padded {
            add(".lengths", DType::Int64, vec![elements], Role::Lengths, Rows::Elements);
        }
    }
    if plan.rates {
        add(".rates", DType::Int64, vec![elements], Role::Rates, Rows::Elements);
    }
    if plan.present {
        add(".present", DType::Bool, vec![elements], Role::Present, Rows::Elements);
    }
}

fn count(
    profile: &Profile,
    feature: &FeatureProfile,
    plan: &FeaturePlan,
    number: usize,
    what: Counted,
) -> CounterPlan {
    let total = total_of(profile, feature, plan, what);
    let indexed = profile.index.counter(&feature.name, source_of(plan, what));
    CounterPlan { feature: number, what, indexed, each: total / profile.elements.max(1), total }
}

/// Under which name the scan has counted it: what a plain view sees is what is stored.
fn source_of(plan: &FeaturePlan, what: Counted) -> Counted {
    match (what, plan.view.is_plain()) {
        (Counted::Seen, true) => Counted::Values,
        (Counted::Bytes, false) => Counted::SeenBytes,
        (other, _) => other,
    }
}

fn total_of(profile: &Profile, feature: &FeatureProfile, plan: &FeaturePlan, what: Counted) -> u64 {
    let what = source_of(plan, what);
    if let Some(counter) = profile.index.counter(&feature.name, what) {
        return profile.index.sum(counter);
    }
    let shapes = feature.shapes();
    match what {
        Counted::Values => feature.lengths.total,
        Counted::Bytes => feature.strings.total,
        Counted::Seen => shapes.map_or(0, |shapes| shapes.values.total),
        Counted::SeenBytes => shapes.map_or(0, |shapes| shapes.strings.total),
        Counted::Rows => {
            let each = shapes.and_then(|shapes| shapes.largest.first().copied());
            each.unwrap_or_default().saturating_mul(feature.present)
        }
        Counted::Bucket(_) => 0,
    }
}
