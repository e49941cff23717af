//! Any bytes as a file: it is opened, read, and scanned, and bad elements are left out. A right checksum is hard to
//! guess, so the bytes are also framed: a first byte that is odd makes records of what follows.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lithify::source::tfrecord::masked_crc;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| lithify_fuzz::place("record"));

/// Records of a length byte and so many bytes; a length above 250 is a lie.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&size, after)) = rest.split_first() {
        let (data, after) = after.split_at(usize::from(size).min(after.len()));
        rest = after;
        let length = if size > 250 { u64::MAX >> (size - 250) } else { data.len() as u64 };
        stream.extend(length.to_le_bytes());
        stream.extend(masked_crc(&length.to_le_bytes()).to_le_bytes());
        stream.extend(data);
        stream.extend(masked_crc(data).to_le_bytes());
    }
    stream
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let file = if first & 1 == 1 { framed(rest) } else { rest.to_vec() };
    if std::fs::write(&*FILE, &file).is_err() {
        return;
    }
    let format = [None, Some("tfrecord"), Some("tfrecord-raw")][usize::from(first >> 1) % 3];
    lithify_fuzz::walk(&FILE, format);
});
