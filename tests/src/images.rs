//! Small images of every format, written byte by byte.

use std::io::Write;

use flate2::Crc;
use flate2::write::ZlibEncoder;

/// A chunk of a PNG, with its checksum.
#[must_use]
pub fn chunk(name: &str, content: &[u8]) -> Vec<u8> {
    let mut sum = Crc::new();
    sum.update(name.as_bytes());
    sum.update(content);
    let length = u32::try_from(content.len()).unwrap();
    [&length.to_be_bytes()[..], name.as_bytes(), content, &sum.sum().to_be_bytes()].concat()
}

/// What deflate makes of bytes, as PNG has it.
#[must_use]
pub fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What deflate makes of so many MiB of zeros, which are never in memory.
#[must_use]
pub fn deflated_zeros(mib: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..mib {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

/// A PNG of red, green and blue whose header says this size, of chunks before the data, and compressed data.
#[must_use]
pub fn png((height, width): (u32, u32), before: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let chunks = [chunk("IHDR", &header), before.concat(), chunk("IDAT", data), chunk("IEND", &[])];
    [b"\x89PNG\r\n\x1a\n", &chunks.concat()[..]].concat()
}

/// A grey JPEG whose header says this size; its data are those of one block.
#[must_use]
pub fn jpeg((height, width): (u16, u16)) -> Vec<u8> {
    let quantised = [&b"\xff\xdb\x00\x43\x00"[..], &[1; 64]].concat();
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let frame = [&b"\xff\xc0\x00\x0b\x08"[..], &size, b"\x01\x01\x11\x00"].concat();
    // Two tables of one code of one bit each, which says "nothing".
    let table = |kind| [&[0xff, 0xc4, 0, 20, kind, 1][..], &[0; 16]].concat();
    let scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x3f\xff\xd9".to_vec();
    [b"\xff\xd8".to_vec(), quantised, frame, table(0x00), table(0x10), scan].concat()
}

/// A GIF with a screen and a frame that say these sizes; its data are 4 pixels.
#[must_use]
pub fn gif(screen: (u16, u16), (height, width): (u16, u16)) -> Vec<u8> {
    let size = |(height, width): (u16, u16)| [width.to_le_bytes(), height.to_le_bytes()].concat();
    let colours = b"\x80\0\0\xff\0\0\0\xff\0";
    let frame = [&b",\0\0\0\0"[..], &size((height, width)), b"\0"].concat();
    // 0, 1, 1, 0 after a clear code each would be codes of 3 bits: 4 0 4 1 4 1 4 0 5.
    let data = b"\x02\x04\x04\x43\x30\x14\x00";
    [&b"GIF89a"[..], &size(screen), colours, &frame, data, b";"].concat()
}

/// A BMP of 24 bits whose header says this size, with so many bytes of pixels.
#[must_use]
pub fn bmp((height, width): (i32, i32), pixels: usize) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.resize(54 + pixels, 7);
    bytes[2..54].fill(0);
    for (at, value) in [(10, 54), (18, width), (22, height), (28, 24)] {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A grey TIFF whose header says this size, with one strip.
#[must_use]
pub fn tiff((height, width): (u32, u32), strip: &[u8]) -> Vec<u8> {
    let length = u32::try_from(strip.len()).unwrap();
    let entries = [
        (256_u16, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8 + 2 + 9 * 12 + 4),
        (277, 1),
        (278, height),
        (279, length),
    ];
    let mut bytes = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, value) in entries {
        // One value of four bytes.
        bytes
            .extend_from_slice(&[&tag.to_le_bytes()[..], b"\x04\0\x01\0\0\0", &value.to_le_bytes()].concat());
    }
    [&bytes[..], &[0; 4], strip].concat()
}

/// A lossless WebP whose header says this size; its data are those of two pixels of one colour, which any size may have.
#[must_use]
pub fn webp((height, width): (u32, u32)) -> Vec<u8> {
    let size = (width - 1) | (height - 1) << 14;
    [
        &b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0/"[..],
        &size.to_le_bytes(),
        b"\x07P\x8a*\xd4\xa3\xff\x81\x88\xe8\x7f\0\0",
    ]
    .concat()
}

/// A whole image of each format: its name and its bytes.
#[must_use]
pub fn of_every_format() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a.png", png((2, 2), &[], &deflated(&[0, 1, 2, 3, 4, 5, 6, 4, 7, 8, 9, 1, 2, 3]))),
        ("b.jpg", jpeg((8, 8))),
        ("c.gif", gif((2, 2), (2, 2))),
        ("d.bmp", bmp((2, 1), 8)),
        ("e.tif", tiff((2, 3), &[1, 2, 3, 4, 5, 6])),
        ("f.webp", webp((1, 2))),
    ]
}
