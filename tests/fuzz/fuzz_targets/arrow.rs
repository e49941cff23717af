//! Any bytes as a file or a stream of Arrow: it is read, sought in and scanned.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| lithify_fuzz::place("arrow"));

fuzz_target!(|bytes: &[u8]| {
    if std::fs::write(&*FILE, bytes).is_ok() {
        lithify_fuzz::walk(&FILE, Some("arrow"));
    }
});
