//! Any bytes as a saved dataset: a spec, metadata and a file whose records have right checksums, which are hard to guess.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lithify::error::ErrorKind;
use lithify::plan::request::Request;
use lithify::scan::{OnError, ScanOptions, scan};
use lithify::source::tfrecord::masked_crc;
use lithify::source::{Options, Want};

/// The directory of this process; in memory, where there is such a place.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("lithify-fuzz-saved-{}", std::process::id()))
});

/// The next bytes, as many as a byte before them says.
fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((&size, after)) = rest.split_first() else { return &[] };
    let (data, after) = after.split_at(usize::from(size).min(after.len()));
    *rest = after;
    data
}

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let (spec, metadata) = (take(&mut rest), take(&mut rest));
    // The run is always the one that is there.
    let metadata = [b"\x12\x011\x20\x02", metadata].concat();
    let mut stream = Vec::new();
    while !rest.is_empty() {
        let data = take(&mut rest);
        let length = (data.len() as u64).to_le_bytes();
        stream.extend(length);
        stream.extend(masked_crc(&length).to_le_bytes());
        stream.extend(data);
        stream.extend(masked_crc(data).to_le_bytes());
    }
    let shard = ROOT.join("1/00000000.shard");
    let written = std::fs::create_dir_all(&shard)
        .and_then(|()| std::fs::write(ROOT.join("dataset_spec.pb"), spec))
        .and_then(|()| std::fs::write(ROOT.join("snapshot.metadata"), metadata))
        .and_then(|()| std::fs::write(shard.join("00000000.snapshot"), stream));
    if written.is_err() {
        return;
    }
    let Ok(source) = lithify::open(&[ROOT.clone()], None, &Options { largest_record: 1 << 20, ..Options::default() }) else { return };
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
