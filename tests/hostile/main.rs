//! Input that is damaged or made to hurt, in a program of its own: it watches the largest piece of memory that is asked for.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use lithify_tests::memory::Watch;

mod data;
mod formats;
mod images;
mod sounds;
mod tables;
mod tfds;

#[global_allocator]
static ALLOCATOR: Watch = Watch;

/// What may be asked for at once: far more than what these small files need, and far less than what they claim. The lists of
/// a TIFF may take 8 MiB.
const MOST_AT_ONCE: usize = 9 << 20;
