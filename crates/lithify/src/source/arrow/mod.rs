//! Arrow and Parquet files, and the directories of Hugging Face's `datasets`: tables, whose rows are elements.

use super::probe::Evidence;
use super::{Format, Options, Part, Source, Verdict};
use crate::error::Result;
use features::Features;
pub use huggingface::HuggingFace;
use table::{Piece, Tables};

mod array;
mod features;
mod huggingface;
mod ipc;
mod messages;
mod pages;
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

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let open = |part: Part| {
            let features = |schema: &_| Features::of(schema, None).only(options);
            let table = ipc::Ipc::open(&part, options.largest_record, features)?;
            Ok(Piece::whole(part, table))
        };
        let pieces = parts.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Box::new(Tables::of(self.name(), pieces)?))
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

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let open = |part: Part| {
            let features = |schema: &_| Features::of(schema, None).only(options);
            let table = parquet::Parquet::open(&part, options.largest_record, features)?;
            Ok(Piece::whole(part, table))
        };
        let pieces = parts.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Box::new(Tables::of(self.name(), pieces)?))
    }
}

/// What a Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";
