//! Any bytes as a file of Parquet, the length of whose footer is right wherever it may end: it is read, sought in and scanned.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| lithify_fuzz::place("parquet"));

fuzz_target!(|bytes: &[u8]| {
    let Some((pages, footer)) = bytes.split_first_chunk::<2>().and_then(|(size, rest)| {
        rest.split_at_checked(usize::from(u16::from_le_bytes(*size)))
    }) else {
        return;
    };
    let length = (footer.len() as u32).to_le_bytes();
    let file = [b"PAR1", pages, footer, &length, b"PAR1"].concat();
    if std::fs::write(&*FILE, file).is_ok() {
        lithify_fuzz::walk(&FILE, Some("parquet"));
    }
});
