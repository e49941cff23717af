//! The members of a tar file, one after another.

use std::io;
use std::ops::Range;

use super::tar::{BLOCK, Header, Kind, Records, key_and_extension, parse, records};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Part;
use crate::source::input::{Compression, Input, READ_BYTES};

/// Bytes that a name or the records of a member may have.
const MOST_RECORDS: u64 = 1 << 20;

/// A member whose headers were read, and its data not.
pub(super) struct Member {
    /// Bytes of its headers.
    headers: usize,
    pub size: u64,
    pub sparse: bool,
    name: Vec<u8>,
    /// Where the key ends in the name; `None` for what belongs to no sample.
    key: Option<usize>,
}

impl Member {
    /// What it has in common with the other members of its sample.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.map(|end| &self.name[..end])
    }

    pub(super) fn extension(&self) -> &[u8] {
        self.key.map_or(&[], |end| &self.name[end + 1..])
    }

    pub(super) fn name(&self) -> String {
        self.name.escape_ascii().to_string()
    }
}

pub(super) struct Members<'s> {
    part: &'s Part,
    plain: bool,
    largest: u64,
    input: Input,
    until: u64,
    /// Where the present sample starts, which is what damage is a part of.
    sample: u64,
    /// The next member, once it was looked at.
    next: Option<Member>,
    /// Whether nothing more can be read.
    over: bool,
}

impl<'s> Members<'s> {
    pub(super) fn open(
        part: &'s Part,
        compression: Compression,
        range: Range<u64>,
        largest: u64,
    ) -> Result<Self> {
        let input = Input::open(&part.path, compression, range.start, range.end, largest)?;
        let plain = compression == Compression::None;
        let (until, sample) = (range.end, range.start);
        Ok(Self { part, plain, largest, input, until, sample, next: None, over: false })
    }

    /// Where the next sample starts, unless the end is reached.
    pub(super) fn begin(&mut self) -> Option<u64> {
        self.sample = self.input.offset();
        (!self.over && self.sample < self.until).then_some(self.sample)
    }

    /// Where the headers of the next member start.
    pub(super) fn position(&self) -> u64 {
        let at = self.input.offset();
        // What is left of a file that cannot be read on is lost, and no other reading of it need try.
        if self.over && self.plain { at.max(self.part.bytes) } else { at }
    }

    /// Bytes that a sample may have.
    pub(super) fn largest(&self) -> u64 {
        self.largest
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn consumed(&self) -> u64 {
        self.input.consumed()
    }

    /// Damage to the present sample, or to what comes before it.
    pub(super) fn damaged(&self, message: &str) -> Error {
        let at = self.input.offset();
        let message = if at == self.sample { message.to_owned() } else { format!("{message}, at byte {at}") };
        Error::input(message).in_file(&self.part.path).at_byte(self.sample)
    }

    /// Looks at the next member, and moves nothing; `None` at the end.
    ///
    /// # Errors
    /// There is none, or it cannot be read. It is not passed over.
    pub(super) fn upcoming(&mut self) -> Result<Option<&Member>> {
        if self.next.is_none() && !self.over {
            self.next = self.look()?;
        }
        Ok(self.next.as_ref())
    }

    fn look(&mut self) -> Result<Option<Member>> {
        let mut headers = 0;
        let mut known = Records::default();
        loop {
            let window = match self.input.peek(headers + BLOCK) {
                Ok(window) => &window[headers.min(window.len())..],
                Err(e) => return Err(self.unreadable(e)),
            };
            let Some(block) = window.first_chunk() else {
                let stray = window.len();
                return match (headers, stray) {
                    (0, 0) => Ok(None),
                    _ => Err(self.cut(&format!("it ends within a header, after {stray} bytes of it"))),
                };
            };
            let wrong = |why: &str| format!("the header of a member is damaged: {why}");
            let Some(header) = parse(block).map_err(|why| self.damaged(&wrong(why)))? else {
                return match headers {
                    0 => Ok(None),
                    _ => Err(self.damaged(&wrong("the tar file ends after it"))),
                };
            };
            headers += BLOCK;
            if !matches!(header.kind, Kind::LongName | Kind::Records) {
                return Ok(Some(member(header, known, headers)));
            }
            if header.size > MOST_RECORDS {
                return Err(self.damaged(&wrong("a name or its records are too long")));
            }
            let size = usize::try_from(header.size).unwrap_or_default();
            let end = headers + size;
            let data = match self.input.peek(end) {
                Ok(window) => window.get(headers..end),
                Err(e) => return Err(self.unreadable(e)),
            };
            let Some(data) = data else {
                return Err(self.cut("it ends within the name of a member"));
            };
            if header.kind == Kind::LongName {
                let end = data.iter().position(|byte| *byte == 0).unwrap_or(size);
                known.name = Some(data[..end].to_vec());
            } else {
                let read = records(data).map_err(|why| self.damaged(&wrong(why)))?;
                known = Records { name: read.name.or(known.name), ..read };
            }
            headers += size.next_multiple_of(BLOCK);
        }
    }

    /// Passes over the next member, which was looked at. Its data are added to `into`.
    ///
    /// # Errors
    /// They are cut, or too many.
    pub(super) fn take(&mut self, into: Option<&mut Vec<u8>>) -> Result<()> {
        let Some(member) = self.next.take() else { return Ok(()) };
        let end = self.input.offset().saturating_add(member.headers as u64).saturating_add(member.size);
        let cut = format!("it ends within its member `{}`", member.name());
        if self.plain && end > self.part.bytes {
            return Err(self.cut(&cut));
        }
        let held = into.as_ref().map_or(0, |into| into.len() as u64).saturating_add(member.size);
        if into.is_some() && held > self.largest {
            self.over = true;
            let most = self.largest;
            let message = format!(
                "a sample has {held} bytes or more, beyond the {most} that the memory budget leaves for one"
            );
            return Err(Error::new(ErrorKind::Resources, message)
                .in_file(&self.part.path)
                .at_byte(self.sample)
                .hint("give more memory with `--memory`, or use fewer threads with `--threads`"));
        }
        self.pass(member.headers as u64, None)?;
        if self.pass(member.size, into)? < member.size {
            return Err(self.cut(&cut));
        }
        let filling = member.size.next_multiple_of(BLOCK as u64) - member.size;
        // It tells nothing, but that more was there.
        if self.pass(filling, None)? < filling {
            return Err(self.cut(&cut));
        }
        Ok(())
    }

    /// Passes over so many bytes, as far as the file goes; says how many there were.
    fn pass(&mut self, bytes: u64, mut into: Option<&mut Vec<u8>>) -> Result<u64> {
        let mut left = bytes;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
            let window = match self.input.peek(1) {
                Ok(window) => &window[..window.len().min(wanted)],
                Err(e) => return Err(self.unreadable(e)),
            };
            if window.is_empty() {
                break;
            }
            if let Some(into) = &mut into {
                into.extend_from_slice(window);
            }
            let passed = window.len();
            self.input.consume(passed);
            left -= passed as u64;
        }
        Ok(bytes - left)
    }

    /// Goes on after damage, of which `error` tells: to the first sample that starts after the next sound header. To which
    /// sample the damage belongs nobody knows, so that those on both sides of it are lost.
    pub(super) fn recover(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Input || self.over {
            return error;
        }
        match self.find_next() {
            Err(error) if error.kind() != ErrorKind::Input => error,
            _ => {
                let (from, to) = (self.sample, self.position());
                error.hint(format!("bytes {from} to {to} are passed over")).loses_a_stretch()
            }
        }
    }

    fn find_next(&mut self) -> Result<()> {
        self.next = None;
        while !self.over {
            if self.pass(BLOCK as u64, None)? < BLOCK as u64 {
                self.over = true;
                break;
            }
            let sound = match self.input.peek(BLOCK) {
                Ok(window) => window.first_chunk().is_some_and(|block| matches!(parse(block), Ok(Some(_)))),
                Err(e) => return Err(self.unreadable(e)),
            };
            let in_sample = sound
                && self.upcoming().is_ok_and(|member| member.is_some_and(|member| member.key.is_some()));
            if in_sample && self.pass_sample().is_ok() {
                break;
            }
            self.next = None;
        }
        Ok(())
    }

    /// Passes over what is left of the sample of the next member.
    fn pass_sample(&mut self) -> Result<()> {
        let key = self.next.as_ref().and_then(Member::key).map(<[u8]>::to_vec);
        while self.upcoming()?.is_some_and(|member| member.key.is_none() || member.key() == key.as_deref()) {
            self.take(None)?;
        }
        Ok(())
    }

    /// Passes over what belongs to no sample.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn find_sample(&mut self) -> Result<Option<&Member>> {
        while self.upcoming()?.is_some_and(|member| member.key.is_none()) {
            self.take(None)?;
        }
        self.upcoming()
    }

    /// Reads what follows the last member, which must be zeros.
    pub(super) fn finish(&mut self) -> Result<()> {
        while !self.over {
            let window = match self.input.peek(READ_BYTES) {
                Ok(window) => window,
                Err(e) => return Err(self.unreadable(e)),
            };
            let (bytes, zeros) = (window.len(), window.iter().all(|byte| *byte == 0));
            self.over = bytes == 0 || !zeros;
            if !zeros {
                return Err(self
                    .damaged("there is more in it after the mark of its end")
                    .hint("tar files that were joined cannot be read as one: give each by itself")
                    .loses_a_stretch());
            }
            self.input.consume(bytes);
        }
        Ok(())
    }

    fn cut(&mut self, what: &str) -> Error {
        self.over = true;
        self.damaged(&format!("the tar file is cut: {what}")).loses_a_stretch()
    }

    fn unreadable(&mut self, error: io::Error) -> Error {
        self.over = true;
        self.next = None;
        if self.plain {
            return Error::io("read", &self.part.path, error);
        }
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the compressed stream is cut".into(),
            _ => error.to_string(),
        };
        self.damaged(&format!("it cannot be decompressed further: {what}"))
            .hint("all that follows in this file is lost; offsets are those of the decompressed stream")
            .loses_a_stretch()
    }
}

fn member(header: Header, known: Records, headers: usize) -> Member {
    let name = known.name.unwrap_or(header.name);
    let is_file = matches!(header.kind, Kind::File | Kind::Sparse);
    let key = if is_file { key_and_extension(&name).map(|(key, _)| key.len()) } else { None };
    let sparse = known.sparse || header.kind == Kind::Sparse;
    Member { headers, size: known.size.unwrap_or(header.size), sparse, name, key }
}
