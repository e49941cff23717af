//! Any bytes as a tar file, each header with a right checksum, which is hard to guess: it is read, sought in and scanned.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| lithify_fuzz::place("tar"));

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
    lithify_fuzz::walk(&FILE, Some(format));
});
