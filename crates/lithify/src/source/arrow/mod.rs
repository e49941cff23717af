//! Arrow and Parquet files, and the directories of Hugging Face's `datasets`: tables, whose rows are elements.

use super::probe::Evidence;
use super::{Format, Options, Part, Source, Verdict};
use crate::error::Result;
use features::Features;
pub use huggingface::HuggingFace;
use table::{Piece, Table, Tables};

mod array;
mod features;
mod huggingface;
mod ipc;
mod messages;
mod parquet;
mod table;
mod window;

/// Arrow files and streams.
pub struct Arrow;

impl Format for Arrow {
    fn name(&self) -> &'static str {
        "arrow"
    }

    fn about(&self) -> &'static str {
        "rows of Arrow files or streams (Feather, too)"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        let is_arrow = seen.head.starts_with(messages::MAGIC) || ipc::is_stream(seen.head, seen.path);
        if is_arrow { Verdict::Yes } else { Verdict::No }
    }

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let features = |schema: &_| Features::of(schema, None).only(options);
        tables(self.name(), parts, |part| ipc::Ipc::open(part, options.largest_record, features))
    }
}

/// Parquet files.
pub struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn about(&self) -> &'static str {
        "rows of Parquet files"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        if seen.head.starts_with(PARQUET) { Verdict::Yes } else { Verdict::No }
    }

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let features = |schema: &_| Features::of(schema, None).only(options);
        tables(self.name(), parts, |part| parquet::Parquet::open(part, options.largest_record, features))
    }
}

/// A dataset of files, a table each.
fn tables<T: Table + 'static>(
    format: &'static str,
    parts: Vec<Part>,
    open: impl Fn(&Part) -> Result<T>,
) -> Result<Box<dyn Source>> {
    let piece = |part: Part| open(&part).map(|table| Piece::whole(part, table));
    let pieces = parts.into_iter().map(piece).collect::<Result<_>>()?;
    Ok(Box::new(Tables::of(format, pieces)?))
}

/// What a Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";
