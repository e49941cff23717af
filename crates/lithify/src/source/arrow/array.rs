//! Arrays as Arrow lays them out, in memory or in a file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use arrow_buffer::Buffer;
use arrow_data::ArrayData;

use crate::error::{Error, ErrorKind, Result};

/// A buffer.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    /// In memory.
    Held(Buffer),
    /// In the file: these bytes of it.
    Stored(Range<u64>),
}

/// An array, or what is nested in one.
#[derive(Clone, Debug)]
pub(super) struct Array {
    /// How many values it has.
    pub len: u64,
    /// How many stand before its first in its buffers.
    pub offset: u64,
    /// A bit a value, 0 where it is null, and where the bits start; `None` where none is.
    pub valid: Option<(Bytes, u64)>,
    /// Its other buffers.
    pub buffers: Vec<Bytes>,
    /// What is nested in it.
    pub children: Vec<Self>,
}

impl From<&ArrayData> for Array {
    fn from(data: &ArrayData) -> Self {
        let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0);
        Self {
            len: data.len() as u64,
            offset: data.offset() as u64,
            valid: nulls.map(|nulls| (Bytes::Held(nulls.buffer().clone()), nulls.offset() as u64)),
            buffers: data.buffers().iter().cloned().map(Bytes::Held).collect(),
            children: data.child_data().iter().map(Self::from).collect(),
        }
    }
}

/// Reads from buffers.
pub(super) struct Fetch<'a> {
    /// The file that they are in, if they are in one.
    pub file: Option<&'a File>,
    /// Bytes that may be read for one run of rows.
    pub most: u64,
}

impl Fetch<'_> {
    /// Adds bytes of a buffer to others.
    ///
    /// # Errors
    /// The buffer ends before, or it would be too many bytes.
    pub(super) fn get(&self, from: &Bytes, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let short = || Error::input("a buffer of it ends before its last row");
        let length = range.end.checked_sub(range.start).ok_or_else(short)?;
        if length == 0 {
            return Ok(());
        }
        if length.saturating_add(into.len() as u64) > self.most {
            return Err(too_large(length, self.most));
        }
        match from {
            Bytes::Held(held) => {
                let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                let bytes = range.and_then(|(start, end)| held.get(start..end)).ok_or_else(short)?;
                into.extend_from_slice(bytes);
            }
            Bytes::Stored(place) => {
                let start = place.start.checked_add(range.start).ok_or_else(short)?;
                if start.checked_add(length).is_none_or(|end| end > place.end) {
                    return Err(short());
                }
                let (file, before) = (self.file.ok_or_else(short)?, into.len());
                let bytes = usize::try_from(length).map_err(|_| short())?;
                into.resize(before + bytes, 0);
                file.read_exact_at(&mut into[before..], start).map_err(|e| match e.kind() {
                    std::io::ErrorKind::UnexpectedEof => short(),
                    _ => Error::new(ErrorKind::Io, format!("cannot read: {e}")),
                })?;
            }
        }
        Ok(())
    }

    /// Which of an array's values are null; nothing, where none is.
    pub(super) fn nulls(&self, array: &Array, range: Range<u64>) -> Result<Vec<bool>> {
        let Some((bits, first)) = &array.valid else { return Ok(Vec::new()) };
        let valid = self.bits(bits, range.start.saturating_add(*first)..range.end.saturating_add(*first))?;
        Ok(if valid.contains(&false) { valid.into_iter().map(|valid| !valid).collect() } else { Vec::new() })
    }

    /// Bits of a buffer.
    pub(super) fn bits(&self, from: &Bytes, range: Range<u64>) -> Result<Vec<bool>> {
        let mut packed = Vec::new();
        self.get(from, range.start / 8..range.end.div_ceil(8), &mut packed)?;
        let skip = usize::try_from(range.start % 8).unwrap_or_default();
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bits = packed.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        Ok(bits.skip(skip).take(count).collect())
    }

    /// Where lists or byte strings start, and where the last one ends; they follow one another.
    pub(super) fn offsets(&self, from: &Bytes, range: Range<u64>, large: bool) -> Result<Vec<u64>> {
        if range.is_empty() {
            return Ok(vec![0]);
        }
        let size = if large { 8 } else { 4 };
        let (start, end) =
            (range.start.saturating_mul(size), range.end.saturating_add(1).saturating_mul(size));
        let mut bytes = Vec::new();
        self.get(from, start..end, &mut bytes)?;
        let negative = |n: i64| u64::try_from(n).unwrap_or(u64::MAX);
        let offsets: Vec<u64> = if large {
            bytes.as_chunks::<8>().0.iter().map(|item| negative(i64::from_le_bytes(*item))).collect()
        } else {
            bytes.as_chunks::<4>().0.iter().map(|item| negative(i32::from_le_bytes(*item).into())).collect()
        };
        if offsets.last() == Some(&u64::MAX) || !offsets.is_sorted() {
            return Err(Error::input("its offsets do not rise"));
        }
        Ok(offsets)
    }
}

/// More bytes are wanted than may be held.
pub(super) fn too_large(bytes: u64, most: u64) -> Error {
    let message =
        format!("it takes {bytes} bytes, more than the {most} that the memory budget leaves for it");
    Error::new(ErrorKind::Resources, message)
        .hint("give more memory with `--memory`, or use fewer threads with `--threads`")
}

impl Array {
    /// Bytes of its buffers.
    pub(super) fn bytes(&self) -> u64 {
        let own =
            self.buffers.iter().chain(self.valid.iter().map(|valid| &valid.0)).map(|bytes| match bytes {
                Bytes::Held(held) => held.len() as u64,
                Bytes::Stored(place) => place.end - place.start,
            });
        own.chain(self.children.iter().map(Self::bytes)).fold(0, u64::saturating_add)
    }
}
