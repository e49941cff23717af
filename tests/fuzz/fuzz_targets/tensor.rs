//! Any bytes as a `TensorProto`: its values have the bytes that its shape says, and no more than the budget.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify::decode::tensor_proto::{Values, expand, parse, push_strings};

const MOST: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tensor) = parse(bytes) else { return };
    let count = tensor.shape.iter().product::<u64>();
    if let Values::Strings(content) = tensor.values {
        let mut out = Vec::new();
        let _ = push_strings(content, count, &mut out);
        return;
    }
    let Some(dtype) = tensor.dtype else { return };
    match tensor.values {
        Values::Strings(_) => {}
        Values::Content(content) => assert_eq!(content.len() as u64, count * dtype.size() as u64),
        Values::Typed { message, field } => {
            let bytes = count.saturating_mul(dtype.size() as u64);
            let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| *bytes as u64 <= MOST) else { return };
            let mut out = Vec::new();
            if expand(dtype, bytes, message, field, &mut out).is_ok() {
                assert_eq!(out.len(), bytes);
            }
        }
    }
});
