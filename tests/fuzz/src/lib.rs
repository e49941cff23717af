//! What every target of a format does once its file is written.

use std::path::{Path, PathBuf};

use lithify::error::ErrorKind;
use lithify::plan::request::Request;
use lithify::scan::{OnError, ScanOptions, scan};
use lithify::source::{Options, Want};

/// A place for a target of this process; in memory, where there is such a place.
pub fn place(target: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("lithify-fuzz-{target}-{}", std::process::id()))
}

/// Reads a dataset to its end, looks for elements in the midst of it, and scans it: over damage, and forward.
pub fn walk(path: &Path, format: Option<&str>) {
    let options = Options { largest_record: 1 << 20, ..Options::default() };
    let Ok(source) = lithify::open(&[path.to_path_buf()], format, &options) else { return };
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
        for from in [0, 1, 100, bytes / 2] {
            if from < bytes
                && source.seekable(part)
                && let Ok(Some(found)) = source.find_element(part, from..bytes)
            {
                assert!((from..bytes).contains(&found));
            }
        }
    }
    let request = Request::default();
    let options = ScanOptions {
        request: &request,
        on_error: OnError::Skip,
        threads: 1,
        largest_payload: 1 << 20,
        excluded: &[],
        progress: &(),
    };
    let _ = scan(source.as_ref(), &options);
}
