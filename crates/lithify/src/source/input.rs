//! Bytes in: a file read in order through one bounded buffer, decompressed where it is compressed.
//!
//! Files are read and never mapped: someone may cut a file while it is mapped, and that kills the process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use rustix::fs::Advice;

use super::snappy;
use crate::error::{Error, Result};

/// How a whole file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// One zlib stream.
    Zlib,
    /// Snappy, in blocks.
    Snappy,
}

/// How much is asked of the operating system at a time: small enough to stay in a core's cache until it is parsed.
pub const READ_BYTES: usize = 256 << 10;

/// Bytes that the operating system forgets together, at least.
const CACHE_PAGE: u64 = 1 << 16;

/// How often something was damaged when this process read it, and sound when it was read again.
static READ_WRONG: AtomicU64 = AtomicU64::new(0);

/// How many records, or chunks of them, were not what is on the disk when this process first read them.
#[must_use]
pub fn read_wrong() -> u64 {
    READ_WRONG.load(Ordering::Relaxed)
}

/// Decoded buffers that may wait between the thread that decompresses and the one that parses.
const BUFFERS_AHEAD: usize = 4;

/// The most memory an input takes beyond its largest peek, in bytes.
pub const INPUT_BYTES: u64 = 2 * READ_BYTES as u64;

/// The same where the file is compressed.
pub const COMPRESSED_INPUT_BYTES: u64 = INPUT_BYTES + (BUFFERS_AHEAD as u64 + 4) * READ_BYTES as u64;

/// A stream of bytes with a window on what comes next.
pub struct Input {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of `buffer[start]` in the decoded stream.
    offset: u64,
    /// Up to where the file was read twice.
    again: u64,
    /// Bytes read of a compressed file.
    compressed: Option<Arc<AtomicU64>>,
}

impl Input {
    /// Opens the file at an offset of its decoded stream. Large reads stop at `until`, which spares work when the
    /// caller does not mean to go much beyond. What can only be decompressed as a whole may have `most` bytes.
    ///
    /// # Errors
    /// The file cannot be opened, or is damaged before the offset.
    pub fn open(path: &Path, compression: Compression, offset: u64, until: u64, most: u64) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        if compression == Compression::None {
            let stream = Stream::File(Positioned { file, offset, until });
            return Ok(Self {
                stream,
                buffer: Vec::new(),
                start: 0,
                end: 0,
                offset,
                again: 0,
                compressed: None,
            });
        }
        let read = Arc::new(AtomicU64::new(0));
        let file = BufReader::with_capacity(READ_BYTES, Counted { file, read: Arc::clone(&read) });
        let stream = match compression {
            Compression::Zlib => ReadAhead::new(OneZlib(ZlibDecoder::new(file))),
            Compression::Snappy => ReadAhead::new(snappy::Blocks::new(file, most)),
            _ => ReadAhead::new(MultiGzDecoder::new(file)),
        }
        .map(Stream::Decoded)
        .map_err(|e| {
            Error::io("start a thread to decompress", path, e).hint("use fewer threads with `--threads`")
        })?;
        let mut input = Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            again: 0,
            compressed: Some(read),
        };
        while input.offset < offset {
            let missing = usize::try_from(offset - input.offset).unwrap_or(usize::MAX).min(READ_BYTES);
            let there = input.peek(missing).map_err(|e| Error::io("decompress", path, e))?.len();
            if there == 0 {
                break;
            }
            input.consume(there.min(missing));
        }
        Ok(input)
    }

    /// The offset of the next byte in the decoded stream.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes of the file were read to get here, of a compressed file a little ahead.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.compressed.as_ref().map_or(self.offset, |read| read.load(Ordering::Relaxed))
    }

    /// The next `wanted` bytes or more; fewer only where the stream ends. The buffer grows as bytes come, so that a
    /// wrong length asks for no more memory than there is data.
    ///
    /// # Errors
    /// The file cannot be read, or cannot be decompressed.
    #[inline]
    pub fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.end - self.start < wanted {
            self.fill(wanted)?;
        }
        Ok(self.window())
    }

    /// What the last peek has shown, less what was consumed since.
    #[inline]
    #[must_use]
    pub fn window(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the window, which seems to be damaged, is `sound` when it is read again from a file that is not compressed, after
    /// the operating system was asked to forget what it has of it: memory and networks err, too, and not only disks.
    pub fn is_sound_on_disk(&mut self, sound: impl FnOnce(&[u8]) -> bool) -> bool {
        let sound = self.read_again().unwrap_or(false) && sound(self.window());
        READ_WRONG.fetch_add(u64::from(sound), Ordering::Relaxed);
        sound
    }

    /// Reads again what the window shows, but for what was read again before; says whether it is something else now.
    fn read_again(&mut self) -> io::Result<bool> {
        let Stream::File(Positioned { file, .. }) = &self.stream else { return Ok(false) };
        let window = self.end - self.start;
        let skip =
            usize::try_from(self.again.saturating_sub(self.offset)).map_or(window, |skip| skip.min(window));
        let from = self.offset + skip as u64;
        self.again = self.offset + window as u64;
        let first = from / CACHE_PAGE * CACHE_PAGE;
        let pages = (self.again - first).next_multiple_of(CACHE_PAGE);
        // Where it will not, what it has is read once more, which does no harm.
        let _ = rustix::fs::fadvise(file, first, NonZeroU64::new(pages), Advice::DontNeed);
        let (mut again, mut changed) = (vec![0; READ_BYTES], false);
        let shown = self.buffer[self.start + skip..self.end].chunks_mut(READ_BYTES);
        for (shown, at) in shown.zip((from..).step_by(READ_BYTES)) {
            let again = &mut again[..shown.len()];
            file.read_exact_at(again, at)?;
            changed |= shown != again;
            shown.copy_from_slice(again);
        }
        Ok(changed)
    }

    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < wanted {
            let room = if self.end < READ_BYTES {
                READ_BYTES
            } else {
                wanted.min(2 * self.end).max(self.end + READ_BYTES)
            };
            if self.buffer.len() < room {
                self.buffer.try_reserve_exact(room - self.buffer.len())?;
                self.buffer.resize(room, 0);
            }
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Passes over bytes, whether a peek has shown them or not. Those of a file are not read, and need not be there; those of
    /// a decoded stream must have been shown.
    #[inline]
    pub fn pass(&mut self, bytes: usize) {
        match &mut self.stream {
            Stream::File(file) if bytes > self.end - self.start => {
                file.offset += (bytes - (self.end - self.start)) as u64;
                (self.start, self.end) = (0, 0);
                self.offset += bytes as u64;
            }
            _ => self.consume(bytes),
        }
    }

    /// Passes over bytes that a peek has shown.
    #[inline]
    pub fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }
}

/// Where bytes come from.
enum Stream {
    File(Positioned),
    Decoded(ReadAhead),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Decoded(decoded) => decoded.read(buffer),
        }
    }
}

/// A file read by position, so that opening it at an offset costs nothing.
struct Positioned {
    file: File,
    offset: u64,
    until: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Beyond `until` only the rest of the last record is wanted.
        let left = usize::try_from(self.until.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let most = left.max(32 << 10).min(buffer.len());
        let n = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}

/// A file read in order that tells how far it is.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// A zlib stream that may not be followed by anything, for what follows would be lost in silence.
struct OneZlib<R: BufRead>(ZlibDecoder<R>);

impl<R: BufRead> Read for OneZlib<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        if n == 0 && !buffer.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "there is more data after the end of the zlib stream",
            ));
        }
        Ok(n)
    }
}

/// A stream decoded by a thread of its own, since one compressed file gives nothing else to do in parallel.
struct ReadAhead {
    decoded: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    used: usize,
    /// Whether there is nothing more to come: the end, or an error, was given.
    over: bool,
}

impl ReadAhead {
    fn new(mut stream: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, decoded) = sync_channel(BUFFERS_AHEAD);
        thread::Builder::new().name("decompress".into()).spawn(move || {
            loop {
                let mut buffer = vec![0; READ_BYTES];
                let mut end = 0;
                let result = loop {
                    match stream.read(&mut buffer[end..]) {
                        Ok(0) => break Ok(()),
                        Ok(n) => end += n,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => break Err(e),
                    }
                };
                buffer.truncate(end);
                // A failed send means that the reader has gone, and so does this thread. An empty buffer says that this
                // is the end.
                let bytes = buffer.len();
                if bytes > 0 && sender.send(Ok(buffer)).is_err() {
                    return;
                }
                if bytes < READ_BYTES {
                    let _ = sender.send(result.map(|()| Vec::new()));
                    return;
                }
            }
        })?;
        Ok(Self { decoded, current: Vec::new(), used: 0, over: false })
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.current.len() && !self.over {
            let decoded =
                self.decoded.recv().map_err(|_| io::Error::other("the thread that decompresses has died"))?;
            self.over = true;
            (self.current, self.used) = (decoded?, 0);
            self.over = self.current.is_empty();
        }
        let n = buffer.len().min(self.current.len() - self.used);
        buffer[..n].copy_from_slice(&self.current[self.used..self.used + n]);
        self.used += n;
        Ok(n)
    }
}
