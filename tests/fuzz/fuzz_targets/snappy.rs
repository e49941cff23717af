//! Any bytes as a block of Snappy: it is decoded to as many bytes as it says, within the limit, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify::source::snappy::decode;

const MOST: usize = 1 << 20;

fuzz_target!(|block: &[u8]| {
    let mut out = Vec::new();
    if let Ok(length) = decode(block, MOST, &mut out) {
        assert!(length <= MOST && length <= out.len());
        // Memory that was used before gives the same.
        let mut again = vec![0xff; 2 * length];
        assert_eq!(decode(block, MOST, &mut again), Ok(length));
        assert_eq!(out[..length], again[..length]);
    }
});
