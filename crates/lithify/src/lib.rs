//! Turns datasets larger than memory into memory-mapped arrays.
//!
//! ```text
//!  dataset ──open──▶ Source ──scan──▶ Profile ──plan──▶ Plan ──write──▶ arrays
//!             (format found          (pass 1,          (pure:    (pass 2, parallel, block by block,
//!              by content)            parallel)         no I/O)   then renamed into place)
//! ```
//! Each arrow is a function of this crate; the command line is a thin caller of the same four.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use lithify::convert::{Job, convert};
//! use lithify::machine::Machine;
//! use lithify::plan::{Io, Layout, Target, request::Request};
//! use lithify::scan::OnError;
//! use lithify::write::WriteOptions;
//!
//! # fn main() -> lithify::Result<()> {
//! let target = Target { output: "out".into(), layout: Layout::NpyDirectory, on_error: OnError::Fail, io: Io::default() };
//! let machine = Machine::here(&target.output, None, None)?;
//! let source = lithify::open(&["train-*.tfrecord".into()], None, &machine.source_options())?;
//! let request = Request { features: vec!["tokens: pad=512 dtype=int32".parse()?] };
//! let writing = WriteOptions { overwrite: false, restart: false, durable: Some(Duration::from_secs(10)), progress: &() };
//! convert(source.as_ref(), &Job { request: &request, target: &target, machine: &machine, writing: &writing })?;
//! # Ok(())
//! # }
//! ```

pub mod audio;
pub mod batch;
pub mod convert;
mod dataset;
pub mod decode;
pub mod environment;
pub mod error;
mod guard;
pub mod image;
pub mod launcher;
pub mod look;
pub mod machine;
mod parallel;
pub mod plan;
pub mod progress;
pub mod saved;
pub mod scan;
pub mod show;
pub mod source;
pub mod store;
mod unique;
pub mod value;
pub mod write;

pub use dataset::{Portion, open, open_parts};
pub use error::{Error, Result};
pub use plan::plan;
pub use scan::scan;
pub use write::write;
