//! The chunks of a PNG: which count, in which order, and how much of them must be right.

use crc_fast::{CrcAlgorithm, checksum};
use flate2::{Decompress, FlushDecompress, Status};

use crate::image::{ImageError, Result, array, room, slice};

/// A PNG that was read up to its compressed data.
#[derive(Debug)]
pub(crate) struct Png<'a> {
    bytes: &'a [u8],
    pub(super) height: u32,
    pub(super) width: u32,
    /// Bits of a sample: 1, 2, 4, 8 or 16.
    pub(super) depth: u8,
    pub(super) colour: Colour,
    pub(super) interlaced: bool,
    /// The colours of a palette.
    pub(super) palette: &'a [[u8; 3]],
    /// The content of a valid `tRNS`: the alpha of the palette's first colours, or the grey or colour that is transparent.
    pub(super) transparent: Option<&'a [u8]>,
    /// Where the first chunk of compressed data starts.
    data: usize,
    has_palette: bool,
}

/// What the samples of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    Rgb,
    Palette,
    GreyAlpha,
    Rgba,
}

/// A chunk, its checksum not looked at.
pub(super) struct Chunk<'a> {
    pub name: [u8; 4],
    pub content: &'a [u8],
    at: usize,
    /// Where the next one starts.
    next: usize,
}

impl<'a> Chunk<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Result<Self> {
        let length = u32::from_be_bytes(array(bytes, at, "a chunk")?);
        let name: [u8; 4] = array(bytes, at + 4, "a chunk's name")?;
        if length > i32::MAX.unsigned_abs() || !name.iter().all(u8::is_ascii_alphabetic) {
            return Err(ImageError::damaged(at, "there is no chunk where one must be"));
        }
        let content = slice(bytes, at + 8, length as usize, "a chunk's content")?;
        let next = at + 12 + content.len();
        slice(bytes, next - 4, 4, "a chunk's checksum")?;
        Ok(Self { name, content, at, next })
    }

    pub(super) fn is_sound(&self, bytes: &[u8]) -> bool {
        let stored =
            bytes[self.next - 4..self.next].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        checksum(CrcAlgorithm::Crc32IsoHdlc, &bytes[self.at + 4..self.next - 4]) == stored
    }

    fn must_be_sound(&self, bytes: &[u8]) -> Result<()> {
        if self.is_sound(bytes) {
            return Ok(());
        }
        let name = String::from_utf8_lossy(&self.name);
        Err(ImageError::damaged(self.at, format!("the checksum of its chunk {name} is wrong")))
    }

    /// A reader must know a chunk whose name starts with a capital letter, and these it knows.
    fn is_unknown(&self) -> bool {
        self.name[0].is_ascii_uppercase() && !matches!(&self.name, b"IHDR" | b"PLTE" | b"IDAT" | b"IEND")
    }

    fn unknown(&self) -> ImageError {
        let name = String::from_utf8_lossy(&self.name);
        ImageError::damaged(self.at, format!("its chunk {name} is needed to read it, and unknown"))
    }
}

impl<'a> Png<'a> {
    /// Reads the chunks before the compressed data (`png_read_info`).
    ///
    /// # Errors
    /// They are cut or damaged, or there is no image in them.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let first = Chunk::at(bytes, 8)?;
        if first.name != *b"IHDR" {
            return Err(ImageError::damaged(8, "its first chunk is no header"));
        }
        first.must_be_sound(bytes)?;
        let mut png = Self::of_header(bytes, first.content)?;
        let mut seen_transparent = false;
        let mut at = first.next;
        loop {
            if bytes.get(at + 4..at + 8) == Some(b"IDAT") {
                if png.colour == Colour::Palette && !png.has_palette {
                    return Err(ImageError::damaged(at, "its pixels come before their palette"));
                }
                // They need not be here yet.
                png.data = at;
                return Ok(png);
            }
            let chunk = Chunk::at(bytes, at)?;
            at = chunk.next;
            match &chunk.name {
                b"IEND" => return Err(ImageError::damaged(chunk.at, "it ends before its pixels")),
                b"IHDR" => return Err(ImageError::damaged(chunk.at, "it has two headers")),
                b"PLTE" => png.take_palette(&chunk)?,
                b"tRNS" if !seen_transparent => {
                    png.transparent = png.transparency(&chunk);
                    seen_transparent = png.transparent.is_some();
                }
                _ if chunk.is_unknown() => return Err(chunk.unknown()),
                _ => {}
            }
        }
    }

    /// The chunks between the header and the compressed data, once more, and the bytes that they are in.
    pub(super) fn chunks_before(&self) -> impl Iterator<Item = (Chunk<'a>, &'a [u8])> + use<'a> {
        /// Where the header ends.
        const START: usize = 33;
        let (bytes, data) = (self.bytes, self.data);
        let mut at = START;
        std::iter::from_fn(move || {
            let chunk = (at < data).then(|| Chunk::at(bytes, at).ok()).flatten()?;
            at = chunk.next;
            Some((chunk, bytes))
        })
    }

    /// `png_check_IHDR`.
    fn of_header(bytes: &'a [u8], content: &[u8]) -> Result<Self> {
        /// `PNG_USER_WIDTH_MAX` and `PNG_USER_HEIGHT_MAX`.
        const MOST_SIDE: u32 = 1_000_000;
        let wrong = |what: String| ImageError::damaged(16, what);
        let [w1, w2, w3, w4, h1, h2, h3, h4, depth, colour, compression, filter, interlace] = *content else {
            return Err(wrong(format!("its header has {} bytes, and 13 make one", content.len())));
        };
        let (width, height) = (u32::from_be_bytes([w1, w2, w3, w4]), u32::from_be_bytes([h1, h2, h3, h4]));
        if !(1..=MOST_SIDE).contains(&width) || !(1..=MOST_SIDE).contains(&height) {
            return Err(wrong(format!("{height} x {width} is no size that libpng decodes")));
        }
        let (colour, depths) = match colour {
            0 => (Colour::Grey, &[1, 2, 4, 8, 16][..]),
            2 => (Colour::Rgb, &[8, 16][..]),
            3 => (Colour::Palette, &[1, 2, 4, 8][..]),
            4 => (Colour::GreyAlpha, &[8, 16][..]),
            6 => (Colour::Rgba, &[8, 16][..]),
            _ => return Err(wrong(format!("its colour type {colour} is none"))),
        };
        if !depths.contains(&depth) || compression != 0 || filter != 0 || interlace > 1 {
            return Err(wrong("its header holds values that no PNG has".into()));
        }
        Ok(Self {
            bytes,
            height,
            width,
            depth,
            colour,
            interlaced: interlace == 1,
            palette: &[],
            transparent: None,
            data: 0,
            has_palette: false,
        })
    }

    /// `png_handle_PLTE`.
    fn take_palette(&mut self, chunk: &Chunk<'a>) -> Result<()> {
        if self.has_palette {
            return Err(ImageError::damaged(chunk.at, "it has two palettes"));
        }
        self.has_palette = true;
        chunk.must_be_sound(self.bytes)?;
        let (colours, rest) = chunk.content.as_chunks::<3>();
        let sound = rest.is_empty() && colours.len() <= 256;
        match self.colour {
            Colour::Grey | Colour::GreyAlpha => {}
            Colour::Palette if !sound => return Err(ImageError::damaged(chunk.at, "its palette is none")),
            _ if sound && colours.is_empty() => {
                return Err(ImageError::damaged(chunk.at, "its palette is empty"));
            }
            Colour::Palette => self.palette = &colours[..colours.len().min(1 << self.depth)],
            Colour::Rgb | Colour::Rgba => {}
        }
        Ok(())
    }

    /// What `tRNS` says, where it may and is sound (`png_handle_tRNS`).
    fn transparency(&self, chunk: &Chunk<'a>) -> Option<&'a [u8]> {
        let length = chunk.content.len();
        let valid = match self.colour {
            Colour::Grey => length == 2,
            Colour::Rgb => length == 6,
            Colour::Palette => (1..=self.palette.len()).contains(&length),
            Colour::GreyAlpha | Colour::Rgba => false,
        };
        (valid && chunk.is_sound(self.bytes)).then_some(chunk.content)
    }

    /// Decompresses all rows where they lie in one chunk and nothing is wrong with them, and gives the chunk after it.
    /// What is wrong is found, and said, by the slower way.
    fn inflate_at_once(
        &self,
        whole: &mut libdeflater::Decompressor,
        raw: &mut [u8],
        length: usize,
    ) -> Result<Option<Chunk<'a>>> {
        let chunk = Chunk::at(self.bytes, self.data)?;
        let Ok(next) = Chunk::at(self.bytes, chunk.next) else { return Ok(None) };
        if chunk.name != *b"IDAT" || next.name == *b"IDAT" || !chunk.is_sound(self.bytes) {
            return Ok(None);
        }
        let sound = whole.zlib_decompress(chunk.content, raw).is_ok_and(|done| done == length);
        Ok(sound.then_some(next))
    }

    /// Decompresses all rows into `raw`, `length` bytes, and reads on to the end (`png_read_IDAT_data`, `png_read_end`).
    ///
    /// # Errors
    /// The data are damaged or fewer, a chunk is damaged, the last one is missing, or there is no memory.
    pub(super) fn inflate<'b>(
        &self,
        (inflater, whole): (&mut Decompress, &mut libdeflater::Decompressor),
        raw: &'b mut Vec<u8>,
        length: usize,
    ) -> Result<&'b mut [u8]> {
        /// Deflate makes no more of a byte. A header that claims more than this is wrong, whatever the data are.
        const MOST_GROWTH: usize = 1032;
        let short = |at, done| {
            ImageError::damaged(at, format!("its data end after {done} of {length} bytes of rows"))
        };
        let left = self.bytes.len() - self.data;
        if left.saturating_mul(MOST_GROWTH) < length {
            return Err(short(self.bytes.len(), left * MOST_GROWTH));
        }
        let raw = room(raw, length)?;
        if let Some(end) = self.inflate_at_once(whole, raw, length)? {
            self.read_end(end)?;
            return Ok(raw);
        }
        inflater.reset(true);
        let (mut done, mut ended) = (0, false);
        let mut chunk = Chunk::at(self.bytes, self.data)?;
        while !ended {
            if chunk.name != *b"IDAT" {
                return Err(short(chunk.at, done));
            }
            let mut rest = chunk.content;
            let is_last = !Chunk::at(self.bytes, chunk.next).is_ok_and(|next| next.name == *b"IDAT");
            while !rest.is_empty() && !ended {
                let (taken, given) = (inflater.total_in(), inflater.total_out());
                // What comes after the last row is not kept, but must be read to know the end.
                let mut beyond = [0; 256];
                let filling = done < length;
                let to = if filling { &mut raw[done..] } else { &mut beyond[..] };
                // Told that no more will come, it need not keep what it has written.
                let flush = if is_last { FlushDecompress::Finish } else { FlushDecompress::None };
                let status = inflater.decompress(rest, to, flush);
                rest = rest.get(below(inflater.total_in() - taken)..).unwrap_or_default();
                let given = below(inflater.total_out() - given);
                done += if filling { given } else { 0 };
                ended = match status {
                    Ok(Status::StreamEnd) => true,
                    // Nothing moves: all that is here was taken, or the room is used up, which the next round changes.
                    Ok(Status::Ok | Status::BufError) if inflater.total_in() == taken && given == 0 => {
                        rest = &[];
                        false
                    }
                    Ok(Status::Ok | Status::BufError) => false,
                    // libpng has what it wants, and only warns.
                    Err(_) if !filling => true,
                    Err(_) => {
                        let at = chunk.at + 8 + (chunk.content.len() - rest.len());
                        return Err(ImageError::damaged(at, "its compressed data are damaged"));
                    }
                };
            }
            chunk.must_be_sound(self.bytes)?;
            if ended && done < length {
                return Err(short(chunk.at, done));
            }
            chunk = Chunk::at(self.bytes, chunk.next)?;
        }
        self.read_end(chunk)?;
        Ok(raw)
    }

    /// Reads the chunks after the data, from `chunk` on.
    fn read_end(&self, mut chunk: Chunk<'a>) -> Result<()> {
        loop {
            match &chunk.name {
                b"IHDR" => return Err(ImageError::damaged(chunk.at, "it has two headers")),
                b"PLTE" if self.has_palette => {
                    return Err(ImageError::damaged(chunk.at, "it has two palettes"));
                }
                b"PLTE" | b"IDAT" | b"IEND" => chunk.must_be_sound(self.bytes)?,
                _ if chunk.is_unknown() => return Err(chunk.unknown()),
                _ => {}
            }
            if chunk.name == *b"IEND" {
                return Ok(());
            }
            chunk = Chunk::at(self.bytes, chunk.next)?;
        }
    }
}

/// A count of bytes that are in memory, which always fits.
fn below(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
