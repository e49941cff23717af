//! Any bytes as an array of NumPy, or several in a zip archive: it is read, sought in and scanned.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FILES: LazyLock<[PathBuf; 2]> =
    LazyLock::new(|| ["npy", "npz"].map(|ending| lithify_fuzz::place("array").with_extension(ending)));

fuzz_target!(|bytes: &[u8]| {
    let which = usize::from(bytes.starts_with(b"PK"));
    if std::fs::write(&FILES[which], bytes).is_ok() {
        lithify_fuzz::walk(&FILES[which], Some(["npy", "npz"][which]));
    }
});
