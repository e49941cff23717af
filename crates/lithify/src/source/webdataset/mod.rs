//! WebDataset: tar files, in which consecutive files that share a key are one sample.
//!
//! The key is the path up to the first dot of the file's name, and what follows is the name of the feature: `003.seg.png` is
//! the feature `seg.png` of the sample `003`. Classes, JSON and arrays are read as the numbers that they are; images stay
//! encoded, and all else is a byte string. (`webdataset`: `tariterators.py`, `autodecode.py`.)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;

use super::framing::read_full_at;
use super::input::Compression;
use super::probe::{Evidence, head_of};
use super::{Elements, Format, Options, Part, Source, Verdict, Want};
use crate::error::{Error, Result};
use components::{Json, Reading};
use members::Members;
use samples::Samples;
use tar::{BLOCK, parse};

mod components;
mod members;
mod samples;
pub mod tar;

/// Samples, and bytes of them, that are looked at to tell what JSON holds.
const LOOKS: (usize, u64) = (1000, 16 << 20);
/// Bytes before a place that are looked through, at first and at most, for a header to start from.
const LOOK_BACK: (u64, u64) = (256 << 10, 64 << 20);

/// Tar files of samples.
pub struct WebDataset;

impl Format for WebDataset {
    fn name(&self) -> &'static str {
        "webdataset"
    }

    fn about(&self) -> &'static str {
        "tar files of samples, by the convention of WebDataset"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        if compression_of(seen.head).is_some() { Verdict::Yes } else { Verdict::No }
    }

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let mut source = Tars::open(parts, false, options)?;
        source.look_at_json()?;
        Ok(Box::new(source))
    }
}

/// The same with every file a byte string.
pub struct RawWebDataset;

impl Format for RawWebDataset {
    fn name(&self) -> &'static str {
        "webdataset-raw"
    }

    fn about(&self) -> &'static str {
        "tar files of samples, every file a byte string"
    }

    fn probe(&self, _: &Evidence<'_>) -> Verdict {
        Verdict::No
    }

    fn separable(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(Tars::open(parts, true, options)?))
    }
}

/// How a file of this beginning is compressed, if it is a tar file.
fn compression_of(head: &[u8]) -> Option<Compression> {
    let is_tar = |head: &[u8]| head.first_chunk().is_some_and(|block| matches!(parse(block), Ok(Some(_))));
    if is_tar(head) {
        return Some(Compression::None);
    }
    let gzip = head.starts_with(&[0x1f, 0x8b, 8]);
    let mut first = Vec::new();
    if gzip {
        // Where the stream is cut, what came before is good.
        let stream = flate2::bufread::MultiGzDecoder::new(head);
        let _ = stream.take(BLOCK as u64).read_to_end(&mut first);
    }
    is_tar(&first).then_some(Compression::Gzip)
}

struct Tars {
    parts: Vec<Part>,
    compression: Vec<Compression>,
    largest: u64,
    raw: bool,
    /// What the JSON of each feature becomes, where that is numbers.
    json: BTreeMap<Vec<u8>, Json>,
}

impl Tars {
    fn open(parts: Vec<Part>, raw: bool, options: &Options) -> Result<Self> {
        let mut compression = Vec::with_capacity(parts.len());
        for part in &parts {
            let head = head_of(&part.path)?;
            // Where the first header is damaged, reading it will say so.
            let gzip = if head.starts_with(&[0x1f, 0x8b]) { Compression::Gzip } else { Compression::None };
            compression.push(compression_of(&head).unwrap_or(gzip));
        }
        Ok(Self { parts, compression, largest: options.largest_record, raw, json: BTreeMap::new() })
    }

    fn members(&self, part: usize, range: Range<u64>) -> Result<Members<'_>> {
        Members::open(&self.parts[part], self.compression[part], range, self.largest)
    }

    /// Looks at the JSON of the first samples: an array of numbers needs them to agree.
    fn look_at_json(&mut self) -> Result<()> {
        let Some(part) = self.parts.iter().position(|part| part.bytes > 0) else { return Ok(()) };
        let mut found: BTreeMap<Vec<u8>, Option<Json>> = BTreeMap::new();
        let mut samples = Samples::new(self.members(part, 0..LOOKS.1)?, &self.json, true);
        // What is damaged is told when it is read.
        for _ in 0..LOOKS.0 {
            let Ok(Some(element)) = samples.next() else { break };
            for place in 0..element.len() {
                let (name, list) = (element.name(place), element.list(place));
                if Reading::of(name) != Reading::Json {
                    continue;
                }
                let json =
                    list.and_then(|list| list.single()).and_then(|text| components::json_of(name, text));
                let known = found.entry(name.to_vec()).or_insert(json);
                *known = Json::both(*known, json);
            }
        }
        drop(samples);
        self.json = found.into_iter().filter_map(|(name, json)| Some((name, json?))).collect();
        Ok(())
    }

    /// Where the first sample starts at or after `position`, when the reading of members begins at `from`, and whether that is
    /// certain: where two members came before.
    fn sample_after(&self, part: usize, from: u64, position: u64) -> Result<(Option<u64>, bool)> {
        let mut members = self.members(part, from..u64::MAX)?;
        let (mut key, mut seen) = (None::<Vec<u8>>, 0);
        loop {
            let found =
                members.find_sample().ok().flatten().and_then(|member| member.key().map(<[u8]>::to_vec));
            let (at, sure) = (members.position(), seen > 1 || from == 0);
            let Some(found) = found else { return Ok((None, sure)) };
            if at >= position && key.is_some_and(|key| key != found) {
                return Ok((Some(at), sure));
            }
            key = Some(found);
            seen += u32::from(at < position);
            if members.take(None).is_err() {
                return Ok((None, false));
            }
        }
    }

    /// The first position from `range.start` on where a header seems to stand.
    fn find_header(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let path = &self.parts[part].path;
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let mut window = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        let filled = read_full_at(&file, &mut window, range.start).map_err(|e| Error::io("read", path, e))?;
        let blocks = window[..filled].as_chunks::<BLOCK>().0;
        let found = blocks.iter().position(|block| matches!(parse(block), Ok(Some(_))));
        Ok(found.map(|block| range.start + (block * BLOCK) as u64))
    }
}

impl Source for Tars {
    fn format(&self) -> &'static str {
        if self.raw { RawWebDataset.name() } else { WebDataset.name() }
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn seekable(&self, part: usize) -> bool {
        self.compression[part] == Compression::None
    }

    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        Ok(Box::new(Samples::new(self.members(part, range)?, &self.json, self.raw)))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        if range.start == 0 {
            return Ok((range.end > 0).then_some(0));
        }
        // Whether a sample starts here is seen from the members before.
        let mut back = LOOK_BACK.0;
        let found = loop {
            let from = range.start.saturating_sub(back) / BLOCK as u64 * BLOCK as u64;
            let header = if from == 0 { Some(0) } else { self.find_header(part, from..range.start)? };
            let (found, sure) = match header {
                Some(header) => self.sample_after(part, header, range.start)?,
                None => (None, false),
            };
            if sure || back >= LOOK_BACK.1 {
                break found;
            }
            back *= 4;
        };
        Ok(found.filter(|position| *position < range.end))
    }
}
