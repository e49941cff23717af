//! Tables of a few rows, and the files that hold them, written by the crates of Apache Arrow.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int16Array, RecordBatch, StringArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

/// Row `at`: a number, a text that every third lacks, numbers, and texts.
fn row(at: u8) -> (i16, Option<String>, Vec<i32>, Vec<String>) {
    let text = (at % 3 != 2).then(|| "ab".repeat(usize::from(at)));
    let texts = (0..at % 3).map(|number| format!("t{number}")).collect();
    (i16::from(at) - 2, text, (0..i32::from(at)).collect(), texts)
}

/// A batch of some rows.
#[must_use]
pub fn batch(rows: Range<u8>) -> RecordBatch {
    let all: Vec<_> = rows.map(row).collect();
    let (mut numbers, mut texts) =
        (ListBuilder::new(Int32Builder::new()), ListBuilder::new(StringBuilder::new()));
    for row in &all {
        numbers.append_value(row.2.iter().copied().map(Some));
        texts.append_value(row.3.iter().map(Some));
    }
    let columns: [(&str, ArrayRef); 4] = [
        ("x", Arc::new(all.iter().map(|row| row.0).collect::<Int16Array>())),
        ("t", Arc::new(all.iter().map(|row| row.1.clone()).collect::<StringArray>())),
        ("l", Arc::new(numbers.finish())),
        ("s", Arc::new(texts.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// The values of a row's features, in the order of the columns: the bytes of each.
#[must_use]
pub fn values(at: u8) -> Vec<(String, Vec<u8>)> {
    let (x, t, l, s) = row(at);
    vec![
        ("x".into(), x.to_le_bytes().to_vec()),
        ("t".into(), t.unwrap_or_default().into_bytes()),
        ("l".into(), l.iter().flat_map(|number| number.to_le_bytes()).collect()),
        ("s".into(), s.concat().into_bytes()),
    ]
}

/// A stream of these batches.
#[must_use]
pub fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// A file of these batches.
#[must_use]
pub fn arrow(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// A Parquet file of these batches, each a row group.
#[must_use]
pub fn parquet(batches: &[RecordBatch], properties: WriterProperties) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}
