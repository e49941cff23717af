//! The Exif orientation: where a JPEG says it, and what it means.

use super::{Result, room};

/// The orientation that the TIFF structure of an Exif segment names, from 1 to 8: the tag 0x0112 of its first directory.
/// An Exif segment that is damaged says nothing: viewers ignore it, too.
pub(super) fn orientation(tiff: &[u8]) -> Option<u8> {
    let little = match tiff.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let two = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let long = |at: usize| {
        let four = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) }).ok()
    };
    let directory = long(4)?;
    let entries = usize::from(short(directory)?);
    (0..entries)
        .map_while(|i| directory.checked_add(2 + 12 * i))
        .find(|entry| short(*entry) == Some(0x0112))
        .and_then(|entry| short(entry + 8))
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
}

/// Whether the orientation makes rows of columns.
pub(super) fn turns_over(orientation: u8) -> bool {
    orientation >= 5
}

/// Turns the pixels of (height, width, channels) so that the image stands upright, as Pillow's `exif_transpose` does.
///
/// # Errors
/// There is no memory for a second copy.
pub(super) fn turn<'a>(
    samples: &[u8],
    (height, width, channels): (usize, usize, usize),
    orientation: u8,
    turned: &'a mut Vec<u8>,
) -> Result<&'a [u8]> {
    let turned = room(turned, samples.len())?;
    let (rows, columns) = if turns_over(orientation) { (width, height) } else { (height, width) };
    for row in 0..rows {
        for column in 0..columns {
            // The pixel that comes to (row, column), by what the tag says of the sides that the 0th row and column are.
            let (y, x) = match orientation {
                2 => (row, width - 1 - column),
                3 => (height - 1 - row, width - 1 - column),
                4 => (height - 1 - row, column),
                5 => (column, row),
                6 => (height - 1 - column, row),
                7 => (height - 1 - column, width - 1 - row),
                8 => (column, width - 1 - row),
                _ => (row, column),
            };
            let (from, to) = ((y * width + x) * channels, (row * columns + column) * channels);
            turned[to..to + channels].copy_from_slice(&samples[from..from + channels]);
        }
    }
    Ok(turned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_found_in_either_byte_order_and_damage_is_ignored() {
        let little =
            b"II*\0\x08\0\0\0\x02\0\x00\x01\x04\0\x01\0\0\0\x10\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!(orientation(little), Some(6));
        assert_eq!(orientation(big), Some(8));
        for cut in 0..little.len() - 2 {
            assert_eq!(orientation(&little[..cut]), None, "cut at {cut}");
        }
        assert_eq!(orientation(b"MM\0*\xff\xff\xff\xff\0\0"), None);
    }

    #[test]
    fn every_orientation_puts_the_first_pixel_where_the_standard_says() {
        // 0 1 2
        // 3 4 5
        let samples: Vec<u8> = (0..6).collect();
        let mut buffer = Vec::new();
        let mut turned = |orientation| turn(&samples, (2, 3, 1), orientation, &mut buffer).unwrap().to_vec();
        assert_eq!(turned(1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(turned(2), [2, 1, 0, 5, 4, 3]);
        assert_eq!(turned(3), [5, 4, 3, 2, 1, 0]);
        assert_eq!(turned(4), [3, 4, 5, 0, 1, 2]);
        assert_eq!(turned(5), [0, 3, 1, 4, 2, 5]);
        assert_eq!(turned(6), [3, 0, 4, 1, 5, 2]);
        assert_eq!(turned(7), [5, 2, 4, 1, 3, 0]);
        assert_eq!(turned(8), [2, 5, 1, 4, 0, 3]);
    }
}
