//! Where arrays live on disk. A store hands out the memory of a block's rows and takes it back; nothing above knows
//! whether that memory is the file itself, mapped, a buffer that is written, or one that is encoded first.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{ArrayPlan, Io, Layout};

pub(crate) mod aside;
pub mod files;
mod mapped;
pub mod npy;
pub mod share;
pub mod zarr;

use share::Share;

/// What tells whether bytes have changed: the CRC-64/NVME of a block's bytes of one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(pub u64);

impl Checksum {
    /// That of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        format!("{:016x}", checksum.0)
    }
}

impl TryFrom<String> for Checksum {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

/// How checksums are computed on this processor.
#[must_use]
pub fn checksum_target() -> String {
    crc_fast::get_calculator_target(crc_fast::CrcAlgorithm::Crc64Nvme)
}

/// A running [`Checksum`].
pub(crate) struct Hasher(crc_fast::Digest);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> Checksum {
        Checksum(self.0.finalize())
    }
}

/// The arrays of an output, on their way to disk.
pub trait Store: Sync {
    /// The memory of an array from byte `offset` of its data on, of which about `expected` bytes will be filled.
    ///
    /// # Errors
    /// It cannot be mapped.
    fn region(&self, array: usize, offset: u64, expected: u64) -> Result<Box<dyn Region + '_>>;
}

/// A block's bytes of one array, filled from front to back.
pub trait Region {
    /// The next so many bytes, to be filled completely: they may hold anything.
    ///
    /// # Errors
    /// What was filled before cannot be written, or the array ends sooner.
    fn next(&mut self, bytes: usize) -> Result<&mut [u8]>;

    /// How many bytes were given.
    fn filled(&self) -> u64;

    /// Gives all of it to the file, and tells its checksum; adds the files that it has completed, of a store of many.
    ///
    /// # Errors
    /// It cannot be written.
    fn commit(self: Box<Self>, completed: &mut Vec<files::FileRecord>) -> Result<Checksum>;
}

/// A store that will be an output.
pub trait Output: Store {
    /// Says of what an earlier run has written that it is there: so many bytes of an array from byte `offset` of its data on,
    /// committed as one region.
    ///
    /// # Errors
    /// It is not there any more.
    fn restore(&self, array: usize, offset: u64, bytes: u64) -> Result<()> {
        let _ = (array, offset, bytes);
        Ok(())
    }

    /// Takes over what another process has kept aside of the same share, once all is [restored](Self::restore) that it has done.
    ///
    /// # Errors
    /// Something of it is not there.
    fn take_over(&self, aside: &Path) -> Result<()> {
        let _ = aside;
        Ok(())
    }

    /// Waits until what was written to files that stay open has reached the disk.
    ///
    /// # Errors
    /// It could not be written there.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// Of a share, once all of its regions are committed: the pieces of arrays that are not complete without those of other shares,
    /// as ranges of bytes. They are kept aside.
    ///
    /// # Errors
    /// Something is missing of the share.
    fn pieces(&self) -> Result<Vec<(usize, Range<u64>)>> {
        Ok(Vec::new())
    }

    /// Ends arrays whose number of rows was not known when they were [begun](Opening::Growing): they are those now. Tells of the files
    /// that were completed by that.
    ///
    /// # Errors
    /// They cannot be written.
    fn cut(&mut self, arrays: &[ArrayPlan]) -> Result<Vec<files::FileRecord>>;

    /// Completes it, once all regions are committed, and tells what there is on disk now.
    ///
    /// # Errors
    /// It is not complete.
    fn finish(self: Box<Self>) -> Result<Stored>;
}

/// What a store has put on disk, to be found again, and found unchanged.
#[derive(Debug, Default)]
pub struct Stored {
    /// The checksum of each array's header, where arrays have one.
    pub headers: Vec<Checksum>,
    /// The files that are written before and after all blocks.
    pub files: Vec<files::FileRecord>,
}

/// Blocks do not make up the arrays that they should.
pub(crate) fn changed() -> Error {
    Error::input("the dataset holds other values than in pass 1: it has changed in between")
        .hint("run it again")
}

/// What an earlier run has left is not all there.
pub(crate) fn not_as_left(path: &Path, message: String) -> Error {
    Error::new(ErrorKind::Output, message).in_file(path).hint("begin anew with `--restart`")
}

/// Makes a directory in one that is there, unless it is there, too.
fn make_directory(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io("create", path, e)),
        _ => Ok(()),
    }
}

/// A block goes on where its array has ended.
fn too_much() -> Error {
    Error::input("there is more data than in pass 1: the dataset has changed in between")
}

/// Who has written what there is of an output, and who else writes it.
#[derive(Clone, Copy)]
pub enum Opening<'a> {
    /// There is nothing yet.
    New,
    /// There is nothing yet, and nobody knows how many rows there will be.
    Growing,
    /// It was begun before: what is there stays.
    Again,
    /// It was begun before, and this is one of several processes that write it at the same time.
    Share(&'a Share),
}

/// Bytes that an array has at most whose number of rows is not known.
const UNKNOWN_BYTES: u64 = 1 << 62;

/// Opens an output of these arrays in a directory; `aside` is one beside it, for what is not yet as it will be stored.
///
/// # Errors
/// There is not the space, the files cannot be made, or those that were made before are not what they were.
pub fn open(
    directory: &Path,
    aside: &Path,
    (layout, io): (Layout, Io),
    arrays: &[ArrayPlan],
    opening: Opening<'_>,
) -> Result<Box<dyn Output>> {
    Ok(match layout {
        Layout::NpyFile | Layout::NpyDirectory => {
            Box::new(npy::NpyStore::open(directory, aside, arrays, io, opening)?)
        }
        Layout::Zarr | Layout::Zarr2 => {
            Box::new(zarr::ZarrStore::open(directory, aside, layout, arrays, opening)?)
        }
    })
}
