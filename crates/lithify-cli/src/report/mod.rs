//! Reports: a page that opens from disk, of what is in a dataset or in an output, and a picture of what came out.

pub mod notebook;
mod output;
mod page;
mod picture;
mod profile;
mod sheet;
mod svg;
mod tile;

pub use output::page as output;
pub use profile::page as profile;
pub use sheet::png as sheet;
