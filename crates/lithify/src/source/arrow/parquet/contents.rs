//! What a page of a Parquet file holds: levels, and values.

use bytes::Bytes;
use parquet::basic::{Encoding, Type};
use parquet::column::page::Page;
use parquet::file::metadata::ColumnChunkMetaData;

/// The contents of a page of values.
pub(super) struct Contents {
    pub encoding: Encoding,
    /// How many values and nulls it says that it holds.
    pub count: u32,
    /// The levels that say which lists each value begins, and at which level it is there: empty where there is one level only.
    pub repetition: Bytes,
    pub definition: Bytes,
    pub values: Bytes,
}

impl Contents {
    /// What a page holds, of a column whose levels go up to these; `None` if it is a dictionary, is damaged, or has levels that are not
    /// encoded as they have been since the year 2014.
    pub(super) fn of(page: Page, most_repetition: u32, most_definition: u32) -> Option<Self> {
        let (count, encoding, mut rest, lengths) = match page {
            Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                let known = |most, encoding| most == 0 || encoding == Encoding::RLE;
                if !known(most_repetition, rep_level_encoding) || !known(most_definition, def_level_encoding)
                {
                    return None;
                }
                (num_values, encoding, buf, None)
            }
            Page::DataPageV2 {
                buf, num_values, encoding, rep_levels_byte_len, def_levels_byte_len, ..
            } => (num_values, encoding, buf, Some((rep_levels_byte_len, def_levels_byte_len))),
            Page::DictionaryPage { .. } => return None,
        };
        // In the first version of pages, levels are there only if there is more than one, with their length before them.
        let mut take = |most: u32, known: Option<u32>| {
            let length = match known {
                Some(length) => length,
                None if most == 0 => 0,
                None => {
                    let length = rest.first_chunk::<4>().map(|length| u32::from_le_bytes(*length))?;
                    rest = rest.slice(4..);
                    length
                }
            };
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
            Some(rest.split_to(length))
        };
        let repetition = take(most_repetition, lengths.map(|lengths| lengths.0))?;
        let definition = take(most_definition, lengths.map(|lengths| lengths.1))?;
        Some(Self { encoding, count, repetition, definition, values: rest })
    }
}

/// Bytes of a value once it is decoded; `None` of byte strings.
pub(super) fn width(chunk: &ColumnChunkMetaData) -> Option<u64> {
    match chunk.column_type() {
        Type::BOOLEAN => Some(1),
        Type::INT32 | Type::FLOAT => Some(4),
        Type::INT64 | Type::DOUBLE => Some(8),
        Type::INT96 => Some(16),
        Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(chunk.column_descr().type_length()).ok(),
        Type::BYTE_ARRAY => None,
    }
}

/// How many bits a level takes.
pub(super) fn bits(most: u32) -> u32 {
    u32::BITS - most.leading_zeros()
}
