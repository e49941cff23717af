//! Pass 1: every element is read once, in parallel, and folded into a [`Profile`].
//!
//! Parts are cut into spans of bytes. A span begins where a record seems to start, which is not certain: it counts only
//! if the span before ends exactly there, and is scanned anew otherwise. So the outcome is that of reading in order.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::parallel::on_threads;
use crate::plan::request::{FeatureRequest, Request};
use crate::progress::Progress;
use crate::source::{Alike, Part, Source, Want, name_file};

mod fold;
mod images;
pub mod index;
mod merge;
pub mod profile;
pub mod shares;
mod sizes;
mod sounds;

use fold::Fold;
use merge::{Merger, finished};
use profile::{Profile, Skipped};
pub use shares::Share;

/// Bytes of a part that one thread scans at a time.
const SPAN_BYTES: u64 = 32 << 20;
/// Bytes between two entries of the index: by the size of the dataset, so that the index is small beside what a block
/// takes, and within these bounds.
const ENTRY_BYTES: (u64, u64) = (64 << 10, 16 << 20);
/// Entries of an index whose spacing is within the bounds, about.
const ENTRIES: u64 = 1 << 14;
/// Elements between two entries of the index, at most, so that little must be passed over where they are tiny.
const ENTRY_ELEMENTS: u64 = 4096;
/// Bytes read between two looks at whether to stop.
const STEP_BYTES: u64 = 1 << 20;
/// Spans that a thread may be ahead of the first that is not merged yet: what was found in them waits in memory.
const SPANS_AHEAD: usize = 4;
/// Elements that may be skipped before that is an error of its own: a list of more helps nobody.
const MOST_SKIPPED: usize = 100_000;

/// What is to be done about an element that is damaged or does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The element is left out, counted and listed.
    Skip,
}

/// How a dataset is scanned.
pub struct ScanOptions<'a> {
    /// What is wanted, so that views can be tried and buckets counted.
    pub request: &'a Request,
    /// What is to be done about damage.
    pub on_error: OnError,
    /// How many threads work.
    pub threads: usize,
    /// Bytes that a decoded payload may take.
    pub largest_payload: u64,
    /// Elements that are known to be bad, from a pass 2 that met them: `(part, position)`, and why.
    pub excluded: &'a [Skipped],
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
}

/// What is said of an element that is bad.
pub(crate) const SKIP_HINT: &str = "`--on-error skip` leaves out what is bad, and lists it";

/// Reads a dataset once.
///
/// # Errors
/// The first element in the order of the dataset that is damaged, unless such are skipped; or a file cannot be read.
pub fn scan(source: &dyn Source, options: &ScanOptions<'_>) -> Result<Profile> {
    let whole = scan_parts(source, options, 0..source.parts().len())?;
    finished(source, options.on_error, whole).map_err(|e| name_file(source, e))
}

/// Reads some of a dataset's parts; what can only be said of all is not said yet.
fn scan_parts(source: &dyn Source, options: &ScanOptions<'_>, parts: Range<usize>) -> Result<Profile> {
    let spans = spans_of(source, options.on_error, parts.clone());
    let bytes = |parts: &[Part]| parts.iter().map(|part| part.bytes).sum::<u64>();
    options.progress.begin("scan", bytes(&source.parts()[parts]));
    let total = bytes(source.parts());
    let excluded =
        options.excluded.iter().map(|skipped| ((skipped.part, skipped.position), skipped)).collect();
    let spacing = (total / ENTRIES).clamp(ENTRY_BYTES.0, ENTRY_BYTES.1);
    let want = if options.request.takes_bytes() { Want::Whole } else { Want::Heads };
    // Where what is damaged is to be left out, it must be found before rows are counted.
    let promised = options.on_error == OnError::Fail && promises(source, options.request);
    let limit = source.choice().limit.unwrap_or(u64::MAX);
    let scanner =
        Scanner { source, options, want, promised, excluded, spacing, stop: AtomicBool::new(false) };
    let merger = Mutex::new(Merger::new(&scanner, limit));
    let advanced = Condvar::new();
    let next = AtomicUsize::new(0);
    let threads = options.threads.min(spans.len());
    on_threads(threads, || {
        while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut waiting = merger.lock().unwrap_or_else(PoisonError::into_inner);
            while !scanner.stopped() && span.number > waiting.next + SPANS_AHEAD * threads {
                // Now and then it is looked whether to stop.
                let timeout = Duration::from_millis(100);
                (waiting, _) =
                    advanced.wait_timeout(waiting, timeout).unwrap_or_else(PoisonError::into_inner);
            }
            drop(waiting);
            if scanner.stopped() {
                break;
            }
            let found = scanner.find_and_scan(span, limit);
            let mut merger = merger.lock().unwrap_or_else(PoisonError::into_inner);
            match merger.take(&spans, span.number, found) {
                Ok(()) if !merger.is_full() => {}
                Ok(()) => scanner.stop.store(true, Ordering::Relaxed),
                Err(error) => {
                    scanner.stop.store(true, Ordering::Relaxed);
                    merger.error.get_or_insert(error);
                }
            }
            advanced.notify_all();
        }
    })?;
    options.progress.end();
    let merger = merger.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = merger.error {
        return Err(error);
    }
    if options.progress.cancelled() {
        return Err(Error::new(ErrorKind::Interrupted, "stopped as asked"));
    }
    Ok(merger.whole)
}

/// Whether the source promises all that is to be known of what is wanted, but for where elements are.
fn promises(source: &dyn Source, request: &Request) -> bool {
    let named = |feature: &FeatureRequest| {
        source.promised(&feature.name) && feature.view.shape_features().all(|name| source.promised(name))
    };
    !request.features.is_empty() && request.features.iter().all(named)
}

/// A run of a part's bytes, scanned by one thread.
struct Span {
    number: usize,
    part: usize,
    range: Range<u64>,
    last_of_part: bool,
}

/// How the elements of a part are alike, if that makes it enough to look at one of them: what is bad may be left out only where it is
/// found now.
fn alike(source: &dyn Source, part: usize, on_error: OnError) -> Option<Alike> {
    source.alike(part).filter(|alike| alike.sound || on_error == OnError::Fail)
}

fn spans_of(source: &dyn Source, on_error: OnError, parts: Range<usize>) -> Vec<Span> {
    let mut spans = Vec::new();
    for (part, file) in source.parts().iter().enumerate().take(parts.end).skip(parts.start) {
        let pieces = if source.seekable(part) && alike(source, part, on_error).is_none() {
            file.bytes.div_ceil(SPAN_BYTES).max(1)
        } else {
            1
        };
        // Spans begin where reading can.
        let mut starts: Vec<u64> = (0..pieces).map(|piece| source.entry(part, piece * SPAN_BYTES)).collect();
        starts.dedup();
        for (piece, &start) in starts.iter().enumerate() {
            let end = starts.get(piece + 1).copied().unwrap_or(u64::MAX);
            let last_of_part = piece + 1 == starts.len();
            spans.push(Span { number: spans.len(), part, range: start..end, last_of_part });
        }
    }
    spans
}

/// What was found in a span.
struct Piece {
    /// Where its first element starts, and where the element after its last does. `None` if none starts in it.
    covers: Option<Range<u64>>,
    profile: Profile,
    /// The damage that ended it.
    error: Option<Error>,
}

struct Scanner<'a> {
    source: &'a dyn Source,
    options: &'a ScanOptions<'a>,
    want: Want,
    /// Whether one element tells of all.
    promised: bool,
    /// By part and position.
    excluded: HashMap<(usize, u64), &'a Skipped>,
    /// Bytes between two entries of the index.
    spacing: u64,
    stop: AtomicBool,
}

impl Scanner<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.options.progress.cancelled()
    }

    /// Scans a span, but no more than so many elements.
    fn find_and_scan(&self, span: &Span, most: u64) -> Result<Piece> {
        let start = match span.range.start {
            0 => Some(0),
            _ => self.source.find_element(
                span.part,
                span.range.start..span.range.end.min(self.source.parts()[span.part].bytes),
            )?,
        };
        match start {
            Some(start) => self.scan_from(span, start, most),
            None => Ok(Piece { covers: None, profile: Profile::default(), error: None }),
        }
    }

    fn scan_from(&self, span: &Span, start: u64, most: u64) -> Result<Piece> {
        let range = start..span.range.end;
        let alike = alike(self.source, span.part, self.options.on_error);
        let alike = alike.map(|alike| Alike { elements: alike.elements.min(most), ..alike });
        let mut elements = self.source.read(span.part, range, self.want)?;
        let mut fold = Fold::new(self, span.part);
        let mut error = None;
        let (mut looked, mut told) = (start, start);
        while fold.profile.elements < most {
            let at = elements.position();
            if at - looked >= STEP_BYTES {
                self.options.progress.advance(elements.consumed().saturating_sub(told));
                (looked, told) = (at, elements.consumed());
                if self.stopped() {
                    break;
                }
            }
            let passes = self.promised && fold.profile.elements > 0;
            let folded = if passes { fold.pass(elements.as_mut()) } else { fold.step(elements.as_mut()) };
            match folded {
                Ok(true) if alike.is_some_and(|alike| fold.repeat(alike)) => break,
                Ok(true) => {}
                Ok(false) => break,
                Err(found) => match fold.bad(found, at) {
                    Ok(()) => {}
                    Err(found) => {
                        error = Some(found);
                        break;
                    }
                },
            }
        }
        let end = alike.map_or_else(|| elements.position(), |alike| alike.elements * alike.step);
        self.options.progress.advance(elements.consumed().saturating_sub(told));
        Ok(Piece { covers: Some(start..end), profile: fold.finish(elements.held()), error })
    }
}

/// The bucket that an element of this length goes to: the first that is long enough, or the last, where it is cut.
pub(crate) fn bucket_of(caps: &[u64], length: u64) -> Option<usize> {
    caps.iter().position(|cap| length <= *cap).or(caps.len().checked_sub(1))
}

/// Refuses to skip more elements than a list is good for.
pub(crate) fn check_skipped(skipped: usize) -> Result<()> {
    if skipped < MOST_SKIPPED {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Resources,
        format!("more than {MOST_SKIPPED} elements are bad: this is more than some damage"),
    )
    .hint("look at the first one, without `--on-error skip`"))
}
