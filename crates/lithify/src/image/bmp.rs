//! BMP, as TensorFlow reads it (`DecodeBmpV2` in `decode_image_op.cc`): uncompressed, 8, 24 or 32 bits a pixel, palettes
//! ignored, the file exactly as long as its header says.

use super::header::{Format, Header};
use super::{ImageError, Result, array, room};

/// A BMP whose header was read.
#[derive(Debug)]
pub(super) struct Bmp<'a> {
    /// The rows, each padded to a multiple of 4 bytes.
    rows: &'a [u8],
    height: u32,
    width: u32,
    /// Bytes of a pixel.
    depth: u8,
    /// Whether the first row is the uppermost; usually it is the lowest.
    top_down: bool,
}

impl<'a> Bmp<'a> {
    /// Reads the header and checks it against the length.
    ///
    /// # Errors
    /// It is none, or not of a BMP that TensorFlow reads.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() < 32 {
            return Err(ImageError::damaged(bytes.len(), "the image is cut: a BMP's header has 32 bytes"));
        }
        let start = i32::from_le_bytes(array(bytes, 10, "the start of the pixels")?);
        let width = i32::from_le_bytes(array(bytes, 18, "the width")?);
        let tall = i32::from_le_bytes(array(bytes, 22, "the height")?);
        let bits = i16::from_le_bytes(array(bytes, 28, "the bits of a pixel")?);
        // As TensorFlow divides: what is left over does not count.
        let depth = match bits / 8 {
            1 => 1,
            3 => 3,
            4 => 4,
            _ => {
                let what = format!("a BMP of {bits} bits a pixel is not decoded, nor by TensorFlow");
                return Err(ImageError::damaged(28, what));
            }
        };
        let (Ok(width @ 1..), height @ 1..) = (u32::try_from(width), tall.unsigned_abs()) else {
            return Err(ImageError::damaged(18, format!("{tall} x {width} is no size")));
        };
        let row = (u64::from(width) * u64::from(depth)).next_multiple_of(4);
        let pixels = row.checked_mul(height.into()).filter(|_| {
            // TensorFlow's bound.
            u64::from(width) * u64::from(height) < u64::from(i32::MAX.unsigned_abs() / 8)
        });
        let rows = usize::try_from(start).ok().and_then(|start| bytes.get(start..));
        match (rows, pixels) {
            (Some(rows), Some(pixels)) if rows.len() as u64 == pixels => {
                Ok(Self { rows, height, width, depth, top_down: tall < 0 })
            }
            (_, Some(pixels)) => {
                let (length, wanted) = (bytes.len(), i128::from(start) + i128::from(pixels));
                let what = format!("its header asks for {wanted} bytes, and there are {length}");
                Err(ImageError::damaged(bytes.len(), what))
            }
            (_, None) => Err(ImageError::damaged(18, format!("{height} x {width} is too large for a BMP"))),
        }
    }

    pub(super) fn header(&self) -> Header {
        Header::still(Format::Bmp, (self.height, self.width), self.depth, 0)
    }

    /// Decodes to (height, width, channels).
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn decode(&self, channels: u8, out: &mut Vec<u8>) -> Result<()> {
        let (width, depth, channels) = (self.width as usize, usize::from(self.depth), usize::from(channels));
        let out = room(out, self.height as usize * width * channels)?;
        let stride = (width * depth).next_multiple_of(4);
        let rows = self.rows.chunks_exact(stride);
        let give = |to: &mut [u8], row: &[u8]| {
            for (pixel, stored) in to.chunks_exact_mut(channels).zip(row.chunks_exact(depth)) {
                let full = match *stored {
                    [grey] => [grey, grey, grey, 255],
                    [blue, green, red] => [red, green, blue, 255],
                    [blue, green, red, alpha] => [red, green, blue, alpha],
                    _ => [0; 4],
                };
                pixel.copy_from_slice(&full[..channels]);
            }
        };
        let to = out.chunks_exact_mut(width * channels);
        if self.top_down {
            to.zip(rows).for_each(|(to, row)| give(to, row));
        } else {
            to.rev().zip(rows).for_each(|(to, row)| give(to, row));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bmp(width: i32, height: i32, bits: i16, rows: &[u8]) -> Vec<u8> {
        let mut bytes = b"BM".to_vec();
        bytes.resize(54, 0);
        bytes[10..14].copy_from_slice(&54_u32.to_le_bytes());
        bytes[18..22].copy_from_slice(&width.to_le_bytes());
        bytes[22..26].copy_from_slice(&height.to_le_bytes());
        bytes[28..30].copy_from_slice(&bits.to_le_bytes());
        bytes.extend_from_slice(rows);
        bytes
    }

    fn decode(bytes: &[u8], channels: u8) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        Bmp::parse(bytes)?.decode(channels, &mut out)?;
        Ok(out)
    }

    #[test]
    fn rows_come_from_top_to_bottom_in_red_green_blue() {
        let rows = [1, 2, 3, 0, 4, 5, 6, 0];
        assert_eq!(decode(&bmp(1, 2, 24, &rows), 3).unwrap(), [6, 5, 4, 3, 2, 1]);
        assert_eq!(decode(&bmp(1, -2, 24, &rows), 3).unwrap(), [3, 2, 1, 6, 5, 4]);
        assert_eq!(decode(&bmp(1, 2, 32, &rows), 4).unwrap(), [6, 5, 4, 0, 3, 2, 1, 0]);
        assert_eq!(decode(&bmp(1, 2, 24, &rows), 4).unwrap(), [6, 5, 4, 255, 3, 2, 1, 255]);
        assert_eq!(decode(&bmp(2, 2, 8, &rows), 1).unwrap(), [4, 5, 1, 2]);
    }

    #[test]
    fn a_length_that_does_not_match_is_an_error() {
        let whole = bmp(1, 2, 24, &[0; 8]);
        for cut in 0..whole.len() {
            assert!(Bmp::parse(&whole[..cut]).is_err());
        }
        assert!(Bmp::parse(&bmp(1, 2, 24, &[0; 9])).is_err());
        assert!(Bmp::parse(&bmp(i32::MAX, i32::MIN, 32, &[])).is_err());
        assert!(Bmp::parse(&bmp(1, 1, 1, &[0; 4])).is_err());
    }
}
