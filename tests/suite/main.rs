//! The tests of the library and of the command, in one program: it is linked once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batch;
mod cli;
mod conversions;
mod datasets;
mod invariants;
mod live;
mod properties;
mod publish;
mod refusals;
mod repair;
mod resume;
mod samples;
mod sources;
mod tfds;
mod zarr;
