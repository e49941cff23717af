//! Elements that a program gives, and no file holds: a running pipeline, a generator, a list.
//!
//! ```text
//!  program ──Batch──▶ Live            begun anew for each pass, if it gives the same each time
//!          ──Batch──▶ Spool ──▶ Spooled   else kept on disk, as it comes, and read from there
//! ```
//! Elements come many at a time, in a [`Batch`]: a copy, so that the program may use its memory again.

mod batch;
mod feed;
mod spool;

pub use batch::{Batch, Builder};
pub use feed::{Batches, Begin, Feed, Live};
pub use spool::{Spool, Spooled};

use super::Part;

/// What a dataset that has no names calls its only feature.
pub const ARRAY: &str = super::npy::ARRAY;
/// The name of the format, which no file has.
pub const LIVE: &str = "live";
/// Bytes of a batch that are enough for the work on it to be worth handing it over.
pub const BATCH_BYTES: usize = 1 << 20;
/// Elements of a batch that are enough for the same.
pub const BATCH_ELEMENTS: usize = 4096;

/// What stands for the program among the parts: its name, as people know it.
fn part(name: &str, bytes: u64) -> Part {
    Part { path: name.into(), bytes, modified_ns: 0, dataset: 0 }
}
