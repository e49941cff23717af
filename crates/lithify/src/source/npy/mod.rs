//! `.npy` files, whose rows are elements: one array, several of which one goes on where the other ends, or the arrays of an
//! output of this program side by side. And folders of them, or of `.npz` files, where each file is an element.

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::columns::{Column, Rows, Table, Tables};
use super::probe::{Evidence, has_ending, is_sidecar, names_in, shown_in};
use super::{Format, Options, Part, Source, Verdict};
use crate::error::{Error, Result};
use crate::value::advance;
use header::{Header, Item, MAGIC, NO_ROWS};

pub mod header;
pub mod npz;

/// Rows of `.npy` files.
pub struct Npy;

impl Format for Npy {
    fn name(&self) -> &'static str {
        "npy"
    }

    fn about(&self) -> &'static str {
        "rows of .npy files, one file after another"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        if seen.head.starts_with(MAGIC) { Verdict::Yes } else { Verdict::No }
    }

    fn takes(&self, directory: &Path) -> bool {
        directory.join(OUTPUT).is_file()
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let name = match &parts[..] {
            [only] => stem(&only.path),
            _ => ARRAY.to_owned(),
        };
        let rows_of = |file: &Part| {
            let array = Array::open(&file.path, file.bytes)?;
            if array.header.shape.is_empty() {
                return Err(Error::input(NO_ROWS).in_file(&file.path).hint(npz::FILES_HINT));
            }
            Ok(Box::new(array) as Box<dyn Column>)
        };
        let table = |part: &Part| {
            let mut table = Table::new();
            if !part.path.is_dir() {
                table.columns.push((name.clone(), rows_of(part)?));
                return Ok(table);
            }
            let mut files = Vec::new();
            list(&part.path, &["npy"], &mut files)?;
            for file in &files {
                let within = file.path.strip_prefix(&part.path).unwrap_or(&file.path).with_extension("");
                table.columns.push((within.to_string_lossy().into_owned(), rows_of(file)?));
            }
            let table = table.join(&part.path, '.', options.features.as_ref());
            table.only(options.features.as_ref()).map_err(|e| e.in_file(&part.path))
        };
        let tables = parts.iter().map(table).collect::<Result<_>>()?;
        let parts = parts.iter().map(|part| Part::whole(&part.path)).collect::<Result<_>>()?;
        Ok(Box::new(Tables { format: self.name(), parts, by_part: tables }.within(options.largest_record)?))
    }
}

/// `.npy` files that are an element each, or `.npz` files whose members are its features.
pub struct NpyFiles;

impl Format for NpyFiles {
    fn name(&self) -> &'static str {
        "npy-files"
    }

    fn about(&self) -> &'static str {
        "folders of .npy or .npz files, each an element"
    }

    fn probe(&self, _: &Evidence<'_>) -> Verdict {
        Verdict::No
    }

    fn takes(&self, directory: &Path) -> bool {
        match holds_only(directory, &["npy", "npz"]) {
            Some(only) => only,
            // A folder of such folders, as of classes or series.
            None => shown_in(directory)
                .filter(|path| path.is_dir())
                .any(|path| holds_only(&path, &["npy", "npz"]).unwrap_or(false)),
        }
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let files = listed(parts, &["npy", "npz"])?;
        let table = |part: &Part| {
            if has_ending(&part.path, &["npz"]) {
                let table = npz::table(&part.path, true).and_then(|all| all.only(options.features.as_ref()));
                return table.map_err(|e| e.in_file(&part.path));
            }
            let mut array = Array::open(&part.path, part.bytes)?;
            array.whole = true;
            let mut table = Table::new();
            table.columns.push((ARRAY.to_owned(), Box::new(array)));
            Ok(table)
        };
        let tables = files.iter().map(table).collect::<Result<_>>()?;
        Ok(Box::new(
            Tables { format: self.name(), parts: files, by_part: tables }.within(options.largest_record)?,
        ))
    }
}

/// What an output of several arrays has beside them.
const OUTPUT: &str = "lithify.json";
/// The feature's name where files do not give one.
pub(in crate::source) const ARRAY: &str = "array";

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| ARRAY.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Whether all data files of a directory have names that end so; `None` if it has none.
pub(super) fn holds_only(directory: &Path, endings: &[&str]) -> Option<bool> {
    let mut files = shown_in(directory).filter(|path| !path.is_dir() && !is_sidecar(path)).peekable();
    files.peek()?;
    Some(files.all(|path| has_ending(&path, endings)))
}

/// The parts, and in the place of directories their files whose names end so.
pub(super) fn listed(parts: Vec<Part>, endings: &[&str]) -> Result<Vec<Part>> {
    let mut files = Vec::new();
    for part in parts {
        if part.path.is_dir() {
            list(&part.path, endings, &mut files)?;
        } else {
            files.push(part);
        }
    }
    Ok(files)
}

/// Adds the files of a directory whose names end so, sorted by name, with those of the directories in it where they stand.
fn list(directory: &Path, endings: &[&str], files: &mut Vec<Part>) -> Result<()> {
    for name in names_in(directory)? {
        let path = directory.join(name);
        if path.is_dir() {
            list(&path, endings, files)?;
        } else if has_ending(&path, endings) {
            files.push(Part::of(&path)?);
        }
    }
    Ok(())
}

/// An array within a file.
pub(super) struct Array {
    path: PathBuf,
    header: Header,
    /// Where the `.npy` file starts, in bytes: it may lie in another one.
    start: u64,
    /// Whether it is one element, and not as many as it has rows.
    whole: bool,
}

impl Array {
    fn open(path: &Path, bytes: u64) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let header =
            Header::read(&mut BufReader::new(file)).map_err(|why| Error::input(why).in_file(path))?;
        header.check(bytes).map_err(|why| Error::input(why).in_file(path))?;
        Ok(Self { path: path.to_path_buf(), header, start: 0, whole: false })
    }
}

impl Column for Array {
    fn is_sound(&self) -> bool {
        true
    }

    fn item(&self) -> Item {
        self.header.item
    }

    fn big_endian(&self) -> bool {
        self.header.big_endian
    }

    fn row_shape(&self) -> &[u64] {
        if self.whole { &self.header.shape } else { &self.header.shape[1..] }
    }

    fn rows(&self) -> u64 {
        if self.whole { 1 } else { self.header.shape[0] }
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        let file = File::open(&self.path).map_err(|e| Error::io("open", &self.path, e))?;
        Ok(Box::new(Stored { array: self, file, line: Vec::new() }))
    }
}

/// An array that lies in its file as it is.
struct Stored<'a> {
    array: &'a Array,
    file: File,
    /// Items that stand next to each other in the file and not in the row.
    line: Vec<u8>,
}

impl Stored<'_> {
    /// Rows of an array whose first axis varies fastest: the same item of consecutive rows stands in one place.
    fn read_fortran(&mut self, rows: Range<u64>, into: &mut [u8]) -> io::Result<()> {
        let header = &self.array.header;
        let (size, data) = (header.item.size(), self.array.start + header.data);
        if self.array.whole {
            self.line.resize(into.len(), 0);
            self.file.read_exact_at(&mut self.line, data)?;
            to_c_order(&self.line, &header.shape, size, into);
            return Ok(());
        }
        let axes = &header.shape[1..];
        let count = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
        let items = usize::try_from(axes.iter().product::<u64>()).unwrap_or(usize::MAX);
        self.line.resize(count * size, 0);
        let strides = strides(axes, header.shape[0]);
        let mut place = vec![0; axes.len()];
        for item in 0..items {
            let offset = offset(&place, &strides);
            self.file.read_exact_at(&mut self.line, data + (offset + rows.start) * size as u64)?;
            for (row, value) in self.line.chunks_exact(size).enumerate() {
                into[(row * items + item) * size..][..size].copy_from_slice(value);
            }
            advance(&mut place, axes);
        }
        Ok(())
    }
}

/// Copies an array whose first axis varies fastest into one whose last one does.
pub(super) fn to_c_order(stored: &[u8], shape: &[u64], size: usize, into: &mut [u8]) {
    let strides = strides(shape, 1);
    let mut place = vec![0; shape.len()];
    for item in into.chunks_exact_mut(size.max(1)) {
        let from = usize::try_from(offset(&place, &strides)).unwrap_or(usize::MAX) * size;
        item.copy_from_slice(&stored[from..][..size]);
        advance(&mut place, shape);
    }
}

/// How far apart two items are that follow each other on an axis, where the first one varies fastest, and on that by so many.
fn strides(axes: &[u64], first: u64) -> Vec<u64> {
    let step = |stride: &mut u64, size: &u64| Some(std::mem::replace(stride, stride.saturating_mul(*size)));
    axes.iter().scan(first, step).collect()
}

fn offset(place: &[u64], strides: &[u64]) -> u64 {
    place.iter().zip(strides).map(|(at, stride)| at * stride).sum()
}

impl Rows for Stored<'_> {
    fn read(&mut self, rows: Range<u64>, into: &mut [u8]) -> Result<()> {
        let array = self.array;
        let read = if array.header.fortran && !into.is_empty() {
            self.read_fortran(rows, into)
        } else {
            let at = array.start + array.header.data + rows.start * array.row_bytes();
            self.file.read_exact_at(into, at)
        };
        read.map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::input("it ends before its last row: it has changed since it was opened")
            }
            _ => Error::io("read", &array.path, e),
        })
    }
}
