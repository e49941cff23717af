//! Any bytes as the two JSON documents of a TFDS directory and a record, which has right checksums: it is read and scanned.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lithify::source::tfrecord::masked_crc;

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| lithify_fuzz::place("tfds"));

fuzz_target!(|bytes: &[u8]| {
    let mut pieces = bytes.splitn(3, |byte| *byte == 0);
    let [info, features, record] = std::array::from_fn(|_| pieces.next().unwrap_or_default());
    let length = (record.len() as u64).to_le_bytes();
    let file = [
        &length[..],
        &masked_crc(&length).to_le_bytes(),
        record,
        &masked_crc(record).to_le_bytes(),
    ]
    .concat();
    let written = std::fs::create_dir_all(&*ROOT)
        .and_then(|()| std::fs::write(ROOT.join("dataset_info.json"), info))
        .and_then(|()| std::fs::write(ROOT.join("features.json"), features))
        .and_then(|()| std::fs::write(ROOT.join("fuzz-train.tfrecord-00000-of-00001"), file));
    if written.is_ok() {
        lithify_fuzz::walk(&ROOT, Some("tfds"));
    }
});
