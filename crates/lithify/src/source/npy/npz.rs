//! `.npz` files: a zip of `.npy` members, each a feature, stored as they are or deflated.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::header::{Header, Item, NO_ROWS};
use super::{
    Array, Column, Evidence, Format, Options, Part, Rows, Source, Table, Tables, Verdict, has_ending,
    holds_only, listed, to_c_order,
};
use crate::error::{Error, Result};

/// What helps where rows are no elements.
pub(super) const FILES_HINT: &str = "`--from npy-files` makes an element of each file";

/// Rows of the arrays in `.npz` files.
pub struct Npz;

impl Format for Npz {
    fn name(&self) -> &'static str {
        "npz"
    }

    fn about(&self) -> &'static str {
        "rows of the arrays in .npz files, which are equally long"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        let zip = seen.head.starts_with(b"PK\x03\x04") || seen.head.starts_with(b"PK\x05\x06");
        if zip && has_ending(seen.path, &["npz"]) { Verdict::Yes } else { Verdict::No }
    }

    fn takes(&self, directory: &Path) -> bool {
        holds_only(directory, &["npz"]).unwrap_or(false)
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let parts = listed(parts, &["npz"])?;
        let table = |part: &Part| table(&part.path, false)?.only(options.features.as_ref());
        let tables = parts.iter().map(|part| table(part).map_err(|e| e.in_file(&part.path)));
        let tables = tables.collect::<Result<_>>()?;
        Ok(Box::new(Tables { format: self.name(), parts, by_part: tables }.within(options.largest_record)?))
    }
}

/// The arrays of a file side by side; as one element if `whole`.
pub(super) fn table(path: &Path, whole: bool) -> Result<Table> {
    let damaged = |e: zip::result::ZipError| Error::input(format!("it is no sound zip file: {e}"));
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let mut table = Table::new();
    for number in 0..archive.len() {
        let member = archive.by_index_raw(number).map_err(damaged)?;
        let full = member.name().map_err(damaged)?.into_owned();
        let wrong = |why: String| Error::input(format!("`{}` in it: {why}", full.escape_debug()));
        let Some(start) = member.data_start() else {
            return Err(wrong("it has no data".into()));
        };
        let (method, packed) = (member.compression(), member.compressed_size());
        drop(member);
        let deflated = match method {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => return Err(wrong(format!("it is compressed by {other}, and NumPy only deflates"))),
        };
        let member = Member { path: path.to_path_buf(), start, packed };
        let header = match deflated {
            false => Header::read(&mut member.stored()?),
            true => Header::read(&mut member.inflated()?),
        }
        .map_err(wrong)?;
        if header.shape.is_empty() && !whole {
            return Err(wrong(NO_ROWS.into()).hint(FILES_HINT));
        }
        if !deflated {
            header.check(packed).map_err(wrong)?;
        }
        let name = full.strip_suffix(".npy").unwrap_or(&full).to_owned();
        table.seekable &= !deflated;
        let column: Box<dyn Column> = match deflated {
            false => Box::new(Array { path: path.to_path_buf(), header, start, whole }),
            true if header.fortran && !whole => {
                return Err(wrong("it is deflated with its first axis varying fastest, so that no row can be read without all".into()).hint(FILES_HINT));
            }
            true => Box::new(Deflated { member, header, whole }),
        };
        table.columns.push((name, column));
    }
    if table.columns.is_empty() {
        return Err(Error::input("there are no arrays in it"));
    }
    Ok(table)
}

/// A member of a zip file.
struct Member {
    path: PathBuf,
    /// Where its bytes start, and how many they are.
    start: u64,
    packed: u64,
}

impl Member {
    fn stored(&self) -> Result<BufReader<Take<File>>> {
        let mut file = File::open(&self.path).map_err(|e| Error::io("open", &self.path, e))?;
        file.seek(SeekFrom::Start(self.start)).map_err(|e| Error::io("read", &self.path, e))?;
        Ok(BufReader::new(file.take(self.packed)))
    }

    fn inflated(&self) -> Result<DeflateDecoder<BufReader<Take<File>>>> {
        Ok(DeflateDecoder::new(self.stored()?))
    }
}

/// An array that is deflated, so that it is read from front to back.
struct Deflated {
    member: Member,
    header: Header,
    /// Whether it is one element, and not as many as it has rows.
    whole: bool,
}

impl Column for Deflated {
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
        Ok(Box::new(Inflating { column: self, stream: None, next: 0 }))
    }
}

struct Inflating<'a> {
    column: &'a Deflated,
    /// The stream, once it is open, which stands before the row numbered `next`.
    stream: Option<DeflateDecoder<BufReader<Take<File>>>>,
    next: u64,
}

impl Rows for Inflating<'_> {
    fn read(&mut self, rows: Range<u64>, into: &mut [u8]) -> Result<()> {
        let row = self.column.row_bytes();
        let damaged = |e: std::io::Error| Error::input(format!("an array in it is damaged: {e}"));
        let mut stream = match self.stream.take() {
            Some(stream) if self.next <= rows.start => stream,
            _ => {
                let mut stream = self.column.member.inflated()?;
                let data = self.column.header.data;
                std::io::copy(&mut stream.by_ref().take(data), &mut std::io::sink()).map_err(damaged)?;
                self.next = 0;
                stream
            }
        };
        let passed = (rows.start - self.next) * row;
        std::io::copy(&mut stream.by_ref().take(passed), &mut std::io::sink()).map_err(damaged)?;
        let header = &self.column.header;
        if header.fortran {
            let mut stored = vec![0; into.len()];
            stream.read_exact(&mut stored).map_err(damaged)?;
            to_c_order(&stored, &header.shape, header.item.size(), into);
        } else {
            stream.read_exact(into).map_err(damaged)?;
        }
        self.next = rows.end;
        self.stream = Some(stream);
        Ok(())
    }
}
