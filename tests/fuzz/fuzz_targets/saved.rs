//! Any bytes as a saved dataset: a spec, metadata and a file whose records have right checksums, which are hard to guess.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lithify::source::tfrecord::masked_crc;

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| lithify_fuzz::place("saved"));

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
    lithify_fuzz::walk(&ROOT, None);
});
