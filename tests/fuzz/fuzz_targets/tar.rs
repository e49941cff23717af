//! Any bytes as a tar file, each header with a right checksum, which is hard to guess: it is read, sought in and scanned.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lithify::error::ErrorKind;
use lithify::plan::request::Request;
use lithify::scan::{OnError, ScanOptions, scan};
use lithify::source::{Options, Want};

/// The file of this process; in memory, where there is such a place.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("lithify-fuzz-tar-{}", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut file = rest.to_vec();
    for block in file.chunks_exact_mut(512).filter(|block| block.starts_with(b"!")) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:07o} ").as_bytes());
    }
    if std::fs::write(&*FILE, &file).is_err() {
        return;
    }
    let format = if first & 1 == 1 { "webdataset" } else { "webdataset-raw" };
    let Ok(source) = lithify::open(&[FILE.clone()], Some(format), &Options { largest_record: 1 << 20, ..Options::default() }) else { return };
    for part in 0..source.parts().len() {
        let Ok(mut elements) = source.read(part, 0..u64::MAX, Want::Whole) else { return };
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
        let bytes = source.parts()[part].bytes;
        for from in [0, 1, bytes / 2] {
            if let (true, Ok(Some(found))) = (source.seekable(part), source.find_element(part, from..bytes)) {
                assert!((from..bytes).contains(&found));
            }
        }
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
