//! Items of arrays as they lie in memory.

/// Fills memory with copies of one item.
pub(crate) fn fill(out: &mut [u8], item: &[u8]) {
    match item {
        [first, rest @ ..] if rest.iter().all(|byte| byte == first) => out.fill(*first),
        [] => {}
        _ => out.chunks_exact_mut(item.len()).for_each(|slot| slot.copy_from_slice(item)),
    }
}

/// Goes on to the next place of an array of these sizes, in C order.
pub(crate) fn advance(place: &mut [u64], sizes: &[u64]) {
    for (at, size) in place.iter_mut().zip(sizes).rev() {
        *at += 1;
        if *at < *size {
            return;
        }
        *at = 0;
    }
}
