//! `.npy` files, byte for byte as `np.save` writes them.
//!
//! ```text
//! 93 'NUMPY' 1 0 │ u16 length │ "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }" blanks '\n' │ data
//! ```
//! The header ends on a multiple of 64 bytes, and has room for a first axis of 21 digits, so that `NumPy` can append.
//! (`NumPy`: `numpy/lib/_format_impl.py`.)

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};

use super::aside::{self, Aside};
use super::files::FileRecord;
use super::mapped::{ALIGNMENT, MappedRange};
use super::share::Share;
use super::{
    Checksum, Hasher, Opening, Output, Region, Store, Stored, UNKNOWN_BYTES, changed, not_as_left, too_much,
};
use crate::error::{Error, ErrorKind, Result};
use crate::machine::show_size;
use crate::plan::memory::{BUFFER_BYTES, WINDOW_BYTES};
use crate::plan::{ArrayPlan, Io, Layout};
use crate::value::DType;

/// Digits that the header leaves for the first axis.
const GROWTH_DIGITS: usize = 21;
/// Pieces below this size are not worth a map of their own, in bytes.
const SMALL_BYTES: u64 = 256 << 10;

/// The header that `np.save` writes for an array.
#[must_use]
pub fn header(dtype: DType, shape: &[u64]) -> Vec<u8> {
    let sizes = match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {sizes}, }}", dtype.descr());
    if let Some(first) = shape.first() {
        text.extend(std::iter::repeat_n(' ', GROWTH_DIGITS.saturating_sub(first.to_string().len())));
    }
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.extend(std::iter::repeat_n(' ', padded - text.len() - 1));
    text.push('\n');
    // A shape of 64 axes of 20 digits has fewer bytes than a u16 counts.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], text.as_bytes()].concat()
}

/// The files of an output under way.
pub struct NpyStore {
    files: Vec<NpyFile>,
    headers: Vec<Checksum>,
    io: Io,
    /// Where bytes go that stand in one page with those of other processes, if there are any.
    aside: Option<(Aside, Share)>,
}

struct NpyFile {
    number: usize,
    file: File,
    path: PathBuf,
    header: u64,
    /// Bytes of the data.
    bytes: u64,
    /// Those of them that are written here, and by nobody else.
    own: Range<u64>,
}

impl NpyFile {
    /// Bytes of the whole file.
    fn end(&self) -> u64 {
        self.header + self.bytes
    }

    /// Gives bytes from byte `at` of the data on to the file, and those aside that are not this process's own.
    fn write(&self, bytes: &[u8], at: u64, aside: Option<&(Aside, Share)>) -> Result<()> {
        let end = at + bytes.len() as u64;
        let cut = |border: u64| usize::try_from(border.clamp(at, end) - at).unwrap_or(bytes.len());
        let (before, rest) = bytes.split_at(cut(self.own.start));
        let (own, behind) = rest.split_at(cut(self.own.end.max(self.own.start)) - before.len());
        let own_at = at + before.len() as u64;
        if !own.is_empty() {
            self.file
                .write_all_at(own, self.header + own_at)
                .map_err(|e| Error::io("write", &self.path, e))?;
        }
        if let Some((aside, share)) = aside {
            let start = share.ranges[self.number].start;
            if !before.is_empty() {
                aside.write(self.number, start, before, at - start)?;
            }
            if !behind.is_empty() {
                let at = own_at + own.len() as u64;
                aside.write(self.number, self.own.end, behind, at - self.own.end)?;
            }
        }
        Ok(())
    }
}

impl NpyStore {
    /// Makes the files of these arrays in a directory, with their headers, and reserves their space; or opens them again, if
    /// they were begun before. `aside` is another directory, for what stands in one page with bytes of other processes.
    ///
    /// # Errors
    /// There is not the space, the files cannot be made, or they are not of their size any more.
    pub fn open(
        directory: &Path,
        aside: &Path,
        arrays: &[ArrayPlan],
        io: Io,
        opening: Opening<'_>,
    ) -> Result<Self> {
        raise_open_files();
        let mut files = Vec::with_capacity(arrays.len());
        let mut headers = Vec::with_capacity(arrays.len());
        let share = if let Opening::Share(share) = opening { Some(share) } else { None };
        let growing = matches!(opening, Opening::Growing);
        let begun = matches!(opening, Opening::Again | Opening::Share(_));
        if growing && io == Io::Mapped {
            return Err(Error::request(
                "`--io mapped` is for arrays whose size is known before they are written",
            )
            .hint("leave `--io` out"));
        }
        for (number, array) in arrays.iter().enumerate() {
            let path = directory.join(Layout::NpyDirectory.path_of(&array.name));
            let parent = path.parent().unwrap_or(directory);
            if !begun {
                std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
            }
            // Where it is not read, no network file system has pages of it that others have changed since.
            let file = OpenOptions::new()
                .read(share.is_none())
                .write(true)
                .create_new(!begun)
                .open(&path)
                .map_err(|e| Error::io("create", &path, e))?;
            let header = header(array.dtype, &array.shape);
            let (start, bytes) = (header.len() as u64, if growing { UNKNOWN_BYTES } else { array.bytes() });
            let there = file.metadata().map_err(|e| Error::io("look at", &path, e))?.len();
            if begun && there != start + bytes {
                let message = format!("it has {there} bytes, and was made with {}", start + bytes);
                return Err(not_as_left(&path, message));
            }
            if share.is_none() && !growing {
                let reserved = reserve(&file, &path, start + bytes)?;
                if io == Io::Mapped && !reserved {
                    let message = "`--io mapped` is not safe here: the file system cannot reserve space, and a full disk would kill the run";
                    return Err(Error::request(message).in_file(&path).hint("leave `--io` out"));
                }
                file.write_all_at(&header, 0).map_err(|e| Error::io("write", &path, e))?;
            }
            headers.push(Checksum::of(&header));
            let own = share.map_or(0..bytes, |share| share.own(number, share.align, start, bytes));
            files.push(NpyFile { number, file, path, header: start, bytes, own });
        }
        let aside = share.map(|share| Ok((Aside::open(aside)?, share.clone())));
        Ok(Self { files, headers, io, aside: aside.transpose()? })
    }
}

/// Reserves the space of a file; says whether that is possible. The system call is made directly: the C library would
/// write a byte a block where the file system cannot reserve.
fn reserve(file: &File, path: &Path, bytes: u64) -> Result<bool> {
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, bytes)) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            file.set_len(bytes).map_err(|e| Error::io("set the size of", path, e))?;
            Ok(false)
        }
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
            let message = format!(
                "there is no room for `{}` of {}: {}",
                path.display(),
                show_size(bytes),
                std::io::Error::from(errno)
            );
            Err(Error::new(ErrorKind::Resources, message)
                .hint("give an output on another disk, or free some space"))
        }
        Err(errno) => Err(Error::io("reserve space for", path, errno.into())),
    }
}

/// Lets the process have as many files open as it may: a dataset of many features has many arrays.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it fails, opening will fail, and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

impl Store for NpyStore {
    fn region(&self, array: usize, offset: u64, expected: u64) -> Result<Box<dyn Region + '_>> {
        let target = &self.files[array];
        let mapped = self.io == Io::Mapped && expected >= SMALL_BYTES;
        let target = Some((target, self.aside.as_ref()));
        Ok(Box::new(NpyRegion::new(target, self.files[array].bytes, offset, expected, mapped)))
    }
}

impl Output for NpyStore {
    fn take_over(&self, from: &Path) -> Result<()> {
        let Some((aside, share)) = &self.aside else { return Ok(()) };
        for file in &self.files {
            for piece in share.pieces(file.number, &file.own) {
                // Of what no block is done, there is nothing yet.
                if from.join(aside::name(file.number, piece.start)).exists() {
                    aside.take_over(from, file.number, piece.start)?;
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.files.iter().try_for_each(|file| {
            file.file.sync_data().map_err(|e| Error::io("wait for the disk of", &file.path, e))
        })
    }

    fn pieces(&self) -> Result<Vec<(usize, Range<u64>)>> {
        let Some((aside, share)) = &self.aside else { return Ok(Vec::new()) };
        let mut pieces = Vec::new();
        for file in &self.files {
            for piece in share.pieces(file.number, &file.own) {
                let (there, _) = aside.file(file.number, piece.start, true)?;
                if there.metadata().map_or(0, |there| there.len()) != piece.end - piece.start {
                    return Err(changed());
                }
                pieces.push((file.number, piece));
            }
        }
        Ok(pieces)
    }

    fn cut(&mut self, arrays: &[ArrayPlan]) -> Result<Vec<FileRecord>> {
        self.headers.clear();
        for (file, array) in self.files.iter_mut().zip(arrays) {
            // It is as long for any number of rows.
            let header = header(array.dtype, &array.shape);
            (file.bytes, file.own) = (array.bytes(), 0..array.bytes());
            file.file.write_all_at(&header, 0).map_err(|e| Error::io("write", &file.path, e))?;
            file.file.set_len(file.end()).map_err(|e| Error::io("set the size of", &file.path, e))?;
            self.headers.push(Checksum::of(&header));
        }
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>) -> Result<Stored> {
        Ok(Stored { headers: self.headers, files: Vec::new() })
    }
}

/// A store that keeps nothing but checksums: what a dataset would be written as.
pub struct ChecksumStore {
    bytes: Vec<u64>,
}

impl ChecksumStore {
    /// A store for these arrays.
    #[must_use]
    pub fn new(arrays: &[ArrayPlan]) -> Self {
        Self { bytes: arrays.iter().map(ArrayPlan::bytes).collect() }
    }
}

impl Store for ChecksumStore {
    fn region(&self, array: usize, offset: u64, expected: u64) -> Result<Box<dyn Region + '_>> {
        Ok(Box::new(NpyRegion::new(None, self.bytes[array], offset, expected, false)))
    }
}

enum Window {
    Mapped(MappedRange),
    Buffer(Vec<u8>),
}

/// A piece of an array, of which a window is in memory.
struct NpyRegion<'a> {
    /// The file, and where what it must not be given goes.
    target: Option<(&'a NpyFile, Option<&'a (Aside, Share)>)>,
    /// Where the array ends, in bytes of its data.
    end: u64,
    start: u64,
    expected: u64,
    mapped: bool,
    window: Window,
    /// Where the window starts.
    at: u64,
    used: usize,
    hasher: Hasher,
}

impl<'a> NpyRegion<'a> {
    fn new(
        target: Option<(&'a NpyFile, Option<&'a (Aside, Share)>)>,
        end: u64,
        start: u64,
        expected: u64,
        mapped: bool,
    ) -> Self {
        Self {
            target,
            end,
            start,
            expected,
            mapped,
            window: Window::Buffer(Vec::new()),
            at: start,
            used: 0,
            hasher: Hasher::new(),
        }
    }

    fn window(&mut self) -> &mut [u8] {
        match &mut self.window {
            Window::Mapped(map) => map,
            Window::Buffer(buffer) => buffer,
        }
    }

    /// Gives the window's bytes to the file.
    fn flush(&mut self) -> Result<()> {
        let used = std::mem::take(&mut self.used);
        let filled = match &self.window {
            Window::Mapped(map) => &map[..used],
            Window::Buffer(buffer) => &buffer[..used],
        };
        self.hasher.update(filled);
        if let (Window::Buffer(buffer), Some((target, aside))) = (&self.window, self.target) {
            target.write(&buffer[..used], self.at, aside)?;
        }
        self.at += used as u64;
        Ok(())
    }

    fn open_window(&mut self, bytes: usize) -> Result<()> {
        // Where there is more than was expected, it goes on in pieces that are worth their call.
        let left =
            (self.start + self.expected).saturating_sub(self.at).max(SMALL_BYTES).min(self.end - self.at);
        let length = |most: u64| usize::try_from(left.min(most)).unwrap_or(bytes).max(bytes);
        if let (true, Some((target, _))) = (self.mapped, self.target) {
            // The old map goes before the new one comes.
            self.window = Window::Buffer(Vec::new());
            let offset = target.header + self.at;
            // Windows after the first start where a huge page does.
            let length = length(WINDOW_BYTES - offset % ALIGNMENT);
            let map = MappedRange::new(&target.file, offset, length, target.end())
                .map_err(|e| Error::io("map", &target.path, e).hint("leave out `--io mapped`"))?;
            self.window = Window::Mapped(map);
            return Ok(());
        }
        let length = length(BUFFER_BYTES);
        match &mut self.window {
            Window::Buffer(buffer) if buffer.len() >= length => {}
            window => *window = Window::Buffer(vec![0; length]),
        }
        Ok(())
    }
}

impl Region for NpyRegion<'_> {
    #[inline]
    fn next(&mut self, bytes: usize) -> Result<&mut [u8]> {
        if self.used + bytes > self.window().len() {
            self.flush()?;
            if self.at + bytes as u64 > self.end {
                return Err(too_much());
            }
            self.open_window(bytes)?;
        }
        let start = self.used;
        self.used += bytes;
        Ok(&mut self.window()[start..start + bytes])
    }

    fn filled(&self) -> u64 {
        self.at + self.used as u64 - self.start
    }

    fn commit(mut self: Box<Self>, _: &mut Vec<FileRecord>) -> Result<Checksum> {
        self.flush()?;
        Ok(self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_numpy() {
        // From `np.save` of NumPy 2.4.
        let header = header(DType::Float32, &[3, 4]);
        assert_eq!(header.len(), 128);
        assert!(header.starts_with(
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   "
        ));
        assert_eq!(header.last(), Some(&b'\n'));
        assert_eq!(super::header(DType::Int64, &[1_000_000_000]).len(), 128);
        assert!(super::header(DType::Uint8, &[]).windows(2).any(|two| two == b"()"));
    }
}
