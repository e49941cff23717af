//! Items at one end of each axis of a row.

/// Marks the `kept` items at one end of a row.
pub(super) fn mask(out: &mut [u8], kept: usize, left: bool) {
    out.fill(0);
    let start = if left { out.len() - kept } else { 0 };
    out[start..start + kept].fill(1);
}

/// Copies the items of a C-order array of one shape into one of another, to the start of each axis (or its end); what
/// does not fit an axis is cut.
pub(super) fn place(items: &[u8], from: &[u64], out: &mut [u8], to: &[u64], item: usize, left: bool) {
    let [size, inner_from @ ..] = from else {
        out.copy_from_slice(items);
        return;
    };
    let [room, inner_to @ ..] = to else { return };
    let step = |shape: &[u64]| usize::try_from(shape.iter().product::<u64>()).unwrap_or_default() * item;
    let (step_from, step_to) = (step(inner_from), step(inner_to));
    let kept = usize::try_from(*size.min(room)).unwrap_or_default();
    let (skip_from, skip_to) = match left {
        true => (
            usize::try_from(*size).unwrap_or_default() - kept,
            usize::try_from(*room).unwrap_or_default() - kept,
        ),
        false => (0, 0),
    };
    let (items, out) = (&items[skip_from * step_from..], &mut out[skip_to * step_to..]);
    if inner_from == inner_to {
        out[..kept * step_to].copy_from_slice(&items[..kept * step_from]);
        return;
    }
    for at in 0..kept {
        place(
            &items[at * step_from..][..step_from],
            inner_from,
            &mut out[at * step_to..][..step_to],
            inner_to,
            item,
            left,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_placed_at_either_end_of_each_axis() {
        let items = [1, 2, 3, 4, 5, 6];
        let mut out = [0; 12];
        place(&items, &[2, 3], &mut out, &[3, 4], 1, false);
        assert_eq!(out, [1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0, 0]);
        let mut out = [0; 12];
        place(&items, &[2, 3], &mut out, &[3, 4], 1, true);
        assert_eq!(out, [0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6]);
        let mut out = [0; 2];
        place(&items, &[2, 3], &mut out, &[1, 2], 1, true);
        assert_eq!(out, [5, 6]);
    }
}
