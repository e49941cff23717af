//! How much memory pass 2 takes, term by term.

use serde::{Deserialize, Serialize};

use super::{ArrayPlan, FeaturePlan, Fit, Io, Plan, Rows, ZarrArray};
use crate::error::{Change, Error, ErrorKind, Place, Result};
use crate::machine::{Machine, show_size};
use crate::scan::profile::{FeatureProfile, Profile};
use crate::source::input::COMPRESSED_INPUT_BYTES;
use crate::value::DType;

/// The program itself, its libraries, and what the allocator holds on to, in bytes: measured, and rounded up.
const PROGRAM_BYTES: u64 = 16 << 20;
/// A window on a mapped array, unless a row is larger, in bytes.
pub const WINDOW_BYTES: u64 = 4 << 20;
/// A buffer of positioned writes, unless a row is larger, in bytes: it should still be in a core's cache when it is
/// written.
pub const BUFFER_BYTES: u64 = 512 << 10;
/// What is kept of a block of an array until the end, and of an element that is skipped.
const NOTE_BYTES: u64 = 64;
const SKIPPED_BYTES: u64 = 512;
/// What is kept of a file of a Zarr array until the end: its name, its size and its checksum.
const FILE_NOTE_BYTES: u64 = 256;
/// What is kept of a text while its chunk is encoded, besides its bytes: where it begins, and its length, twice.
const TEXT_BYTES: u64 = 16;
/// What a thread takes besides what is named here.
const THREAD_BYTES: u64 = 1 << 20;

/// Bytes of memory that pass 2 takes: [`at`](Self::at) so many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The program and the index; of chunks, also what is noted of each file.
    pub fixed: u64,
    /// A block in flight: the windows on its arrays, and of chunks also what they are encoded in.
    pub block: u64,
    /// What is read: the buffer, the largest record, and the largest payload once it is decoded.
    pub input: u64,
    /// The largest payload that is decoded.
    pub payload: u64,
    /// The most of a Zarr array that must be in memory in one piece before it is encoded; else 0.
    pub slab: u64,
}

impl Memory {
    pub(super) fn of(
        profile: &Profile,
        features: &[FeaturePlan],
        arrays: &[ArrayPlan],
        blocks: Blocks,
        io: Io,
    ) -> Self {
        let windows = arrays.iter().map(|array| {
            let plan = &features[array.feature];
            match &array.zarr {
                Some(_) if array.in_pieces() => window(array, plan, profile, blocks.rows, Io::Pwrite),
                // Once as it is filled, and what does not end with a band once more.
                Some(zarr) => {
                    band_bytes(array, zarr).max(BUFFER_BYTES).saturating_add(longest(array, plan, profile))
                }
                None => window(array, plan, profile, blocks.rows, io),
            }
        });
        let slabs = Slabs::of(arrays);
        let payload = features.iter().filter(|feature| !feature.view.is_plain()).filter_map(|feature| {
            let shapes = profile.feature(&feature.feature)?.shapes()?;
            let item = shapes.dtype.map_or(1, DType::size).max(feature.dtype.size()) as u64;
            let decoded = shapes.heaviest().map_or(0, |heaviest| heaviest.0);
            Some(shapes.values.max().saturating_mul(item).max(decoded))
        });
        // What is resized or normalised stands twice in float32 before it is cast.
        let floats = features.iter().map(|feature| {
            let row = feature
                .row_shape()
                .map_or(0, |shape| shape.iter().fold(8, |n: u64, size| n.saturating_mul(*size)));
            let seen = || Some(profile.feature(&feature.feature)?.shapes()?.values.max());
            match feature.fit {
                Fit::Resize { .. } => row.saturating_add(seen().unwrap_or_default().saturating_mul(4)),
                _ if feature.finish.normalises() => seen().unwrap_or_default().saturating_mul(8),
                _ => 0,
            }
        });
        let floats = floats.max().unwrap_or_default();
        let payload = payload.max().unwrap_or_default();
        let record = profile.largest_record;
        let notes = (arrays.len() as u64).saturating_mul(blocks.count).saturating_mul(NOTE_BYTES);
        Self {
            fixed: PROGRAM_BYTES
                .saturating_add(profile.index.bytes().saturating_mul(2))
                .saturating_add(notes)
                .saturating_add(slabs.fixed)
                .saturating_add(profile.skipped.len() as u64 * SKIPPED_BYTES),
            block: windows.fold(slabs.block, u64::saturating_add),
            // A buffer grows by doubling, so that it may be twice its record. A payload is expanded, and cast.
            input: (COMPRESSED_INPUT_BYTES + THREAD_BYTES)
                .saturating_add(record.saturating_mul(2))
                .saturating_add(payload.saturating_mul(2))
                .saturating_add(floats),
            payload,
            slab: slabs.largest,
        }
    }

    /// Bytes that so many threads take.
    #[must_use]
    pub fn at(&self, threads: usize) -> u64 {
        self.fixed.saturating_add((threads as u64).saturating_mul(self.block.saturating_add(self.input)))
    }

    /// As many of the threads as the machine's memory allows.
    pub(super) fn threads_within(&self, machine: &Machine, threads: usize) -> Result<usize> {
        if let Some(threads) = (1..=threads).rev().find(|threads| self.at(*threads) <= machine.memory) {
            return Ok(threads);
        }
        let bytes = self.at(1).saturating_add(machine.memory_taken);
        let budget = show_size(machine.memory.saturating_add(machine.memory_taken));
        let needed = match show_size(bytes) {
            // What differs by less than is shown is said in bytes.
            same if same == budget => format!("{bytes} bytes"),
            shown => shown,
        };
        let held = match machine.memory_taken {
            0 => String::new(),
            held => format!(", {} for what waits to be written", show_size(held)),
        };
        let message = format!(
            "one block needs {needed} of memory ({} for its rows, {} to read it, {} for the program{held}), but the budget is {budget} ({})",
            show_size(self.block),
            show_size(self.input),
            show_size(self.fixed),
            machine.memory_limit
        );
        let needed = bytes.div_ceil(1 << 20);
        let mut error = Error::new(ErrorKind::Resources, message);
        if bytes <= machine.memory_available {
            let needed = format!("{needed}MiB");
            error = error.hint(format!("allow it with `--memory {needed}`"));
            error = error.instead(Change::Flag("memory", Some(needed)));
        } else {
            error = error.hint(format!("run it where {} can be had", show_size(bytes)));
        }
        if self.slab > 0 {
            error = error.hint(format!(
                "or make what is encoded at once smaller, which is of {} in memory: a smaller `chunk`",
                show_size(self.slab)
            ));
        }
        if bytes / 4 <= self.block {
            error = error.hint("or make rows smaller: a smaller `pad`, a smaller `dtype`, or `ragged`");
        }
        Err(error)
    }
}

/// The image or sound whose decoding takes most of a plan's memory, if there is one: how much, where it is, and which of the
/// two.
pub(super) fn heaviest(profile: &Profile, plan: &Plan) -> Option<(u64, Place, &'static str)> {
    let decoded = plan.features.iter().filter(|feature| !feature.view.is_plain());
    let found = decoded.filter_map(|feature| {
        let shapes = profile.feature(&feature.feature)?.shapes()?;
        let what = if shapes.images.is_some() { "image" } else { "sound" };
        Some((shapes.heaviest()?, &feature.feature, what))
    });
    let ((bytes, witness), feature, what) = found.max_by_key(|((bytes, _), ..)| *bytes)?;
    let place = Place { feature: Some(feature.clone()), ..profile.place(witness) };
    (bytes.saturating_mul(8) > plan.memory.at(1)).then_some((bytes, place, what))
}

/// The blocks of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// How many there are.
    pub count: u64,
    /// Rows of each.
    pub rows: u64,
}

/// What chunks take beside the windows in which they are filled.
#[derive(Default)]
struct Slabs {
    /// In the whole process.
    fixed: u64,
    /// For each block in flight.
    block: u64,
    /// The largest piece of an array that must be in memory at once.
    largest: u64,
}

impl Slabs {
    fn of(arrays: &[ArrayPlan]) -> Self {
        let mut all = Self::default();
        for array in arrays {
            let Some(zarr) = &array.zarr else { continue };
            all.fixed = all.fixed.saturating_add(array.files().saturating_mul(FILE_NOTE_BYTES));
            if array.in_pieces() {
                continue;
            }
            // A thread encodes one chunk at a time, which is cut out of its rows unless it is them.
            let chunk = array.chunk_bytes();
            let mut encoded = zarr.chunks.codec.most_bytes(chunk).saturating_add(chunk);
            if zarr.text {
                // Texts without what fills them up, where each begins, and both as one piece.
                let items = chunk / (array.dtype.size() as u64).max(1);
                encoded = encoded.saturating_add(chunk).saturating_add(items.saturating_mul(TEXT_BYTES));
            }
            all.block = all.block.max(encoded);
            all.largest = all.largest.max(band_bytes(array, zarr));
        }
        all
    }
}

/// Bytes of a band: the rows that a chunk holds.
fn band_bytes(array: &ArrayPlan, zarr: &ZarrArray) -> u64 {
    zarr.chunks.chunk[0].saturating_mul(array.row_bytes()).min(array.bytes())
}

/// The largest piece of an array that is in memory at once.
fn window(array: &ArrayPlan, plan: &FeaturePlan, profile: &Profile, block_rows: u64, io: Io) -> u64 {
    let row = array.row_bytes();
    let most = match io {
        Io::Mapped => WINDOW_BYTES,
        Io::Pwrite => BUFFER_BYTES,
    };
    match array.rows {
        Rows::Elements | Rows::ElementsAndEnd => {
            row.saturating_mul(block_rows.saturating_add(1)).min(most.max(row))
        }
        Rows::Counted(_) | Rows::CountedAndEnd(_) => {
            array.bytes().min(most.max(longest(array, plan, profile)).max(row))
        }
    }
}

/// Values of one element are written in one piece, where an array holds them one after another: the longest.
fn longest(array: &ArrayPlan, plan: &FeaturePlan, profile: &Profile) -> u64 {
    if !matches!(array.rows, Rows::Counted(_) | Rows::CountedAndEnd(_)) {
        return 0;
    }
    if let Fit::Resize { .. } = plan.fit {
        let shapes = profile.feature(&plan.feature).and_then(FeatureProfile::shapes);
        let frames = shapes.and_then(|shapes| shapes.largest.first().copied()).unwrap_or(1);
        return frames.saturating_mul(array.row_bytes()).min(array.bytes());
    }
    let values = profile.feature(&plan.feature).map_or(1, |feature| {
        let seen = feature.shapes().map_or(feature.lengths.max(), |shapes| shapes.values.max());
        seen.max(feature.strings.max())
    });
    values.saturating_mul(array.dtype.size() as u64).min(array.bytes())
}
