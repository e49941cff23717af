//! Any bytes as a file: it is opened, read, and scanned, and bad elements are left out. A right checksum is hard to
//! guess, so the bytes are also framed: a first byte that is odd makes records of what follows.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lithify::error::ErrorKind;
use lithify::plan::request::Request;
use lithify::scan::{OnError, ScanOptions, scan};
use lithify::source::Options;
use lithify::source::tfrecord::masked_crc;

/// The file of this process; in memory, where there is such a place.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("lithify-fuzz-{}", std::process::id()))
});

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
    let Ok(source) = lithify::open(&[FILE.clone()], format, &Options { largest_record: 1 << 20, ..Options::default() }) else { return };
    let Ok(mut elements) = source.read(0, 0..u64::MAX, lithify::source::Want::Whole) else { return };
    let mut position = 0;
    loop {
        match elements.next() {
            Ok(None) => break,
            Err(error) if error.kind() != ErrorKind::Input => break,
            Ok(Some(_)) | Err(_) => {}
        }
        assert!(elements.position() >= position, "reading goes forward");
        position = elements.position();
    }
    let request = Request::default();
    let _ = scan(source.as_ref(), &ScanOptions {
        request: &request,
        on_error: OnError::Skip,
        threads: 1,
        largest_payload: 1 << 20,
        excluded: &[],
        progress: &(),
    });
});
