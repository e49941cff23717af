//! Any bytes as the metadata and the only chunk of a Zarr array, of the second version of the format or the third.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static ROOTS: LazyLock<[PathBuf; 2]> =
    LazyLock::new(|| ["zarr2", "zarr3"].map(|version| lithify_fuzz::place(version)));

fuzz_target!(|bytes: &[u8]| {
    let [version, low, high, rest @ ..] = bytes else { return };
    let Some((metadata, chunk)) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high]))) else {
        return;
    };
    let which = usize::from(version & 1);
    let array = ROOTS[which].join("x");
    let files = if which == 0 { [".zgroup", "x/.zarray", "x/0"] } else { ["zarr.json", "x/zarr.json", "x/c/0"] };
    let group: &[u8] = if which == 0 {
        b"{\"zarr_format\": 2}"
    } else {
        b"{\"zarr_format\": 3, \"node_type\": \"group\"}"
    };
    let written = std::fs::create_dir_all(array.join("c"))
        .and_then(|()| std::fs::write(ROOTS[which].join(files[0]), group))
        .and_then(|()| std::fs::write(ROOTS[which].join(files[1]), metadata))
        .and_then(|()| std::fs::write(ROOTS[which].join(files[2]), chunk));
    if written.is_ok() {
        lithify_fuzz::walk(&ROOTS[which], Some("zarr"));
    }
});
