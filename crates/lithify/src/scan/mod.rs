//! Pass 1: every element is read once, in parallel, and folded into a [`Profile`].
//!
//! Parts are cut into spans of bytes. A span begins where a record seems to start, which is not certain: it counts only
//! if the span before ends exactly there, and is scanned anew otherwise. So the outcome is that of reading in order.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::decode::{Content, Decode, Numbers, View};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::parallel::on_threads;
use crate::plan::request::{FitRequest, Request};
use crate::progress::Progress;
use crate::source::{Elements, Source, example};
use crate::value::{Element, Kind, List, Slots};

pub mod index;
pub mod profile;

use index::{Counted, Entry};
use profile::{FeatureProfile, Profile, Skipped, Witness};

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

/// Reads a dataset once.
///
/// # Errors
/// The first element in the order of the dataset that is damaged, unless such are skipped; or a file cannot be read.
pub fn scan(source: &dyn Source, options: &ScanOptions<'_>) -> Result<Profile> {
    let spans = spans_of(source);
    options.progress.begin("scan", source.parts().iter().map(|part| part.bytes).sum());
    let excluded = options.excluded.iter().map(|skipped| (skipped.part, skipped.position)).collect();
    let scanner = Scanner { source, options, excluded, stop: AtomicBool::new(false) };
    let merger = Mutex::new(Merger::new(&scanner));
    let next = AtomicUsize::new(0);
    on_threads(options.threads.min(spans.len()), || {
        while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed)) {
            if scanner.stopped() {
                break;
            }
            let found = scanner.find_and_scan(span);
            let mut merger = merger.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = merger.take(&spans, span.number, found) {
                scanner.stop.store(true, Ordering::Relaxed);
                merger.error.get_or_insert(error);
            }
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
    finished(source, options, merger.whole)
}

/// A run of a part's bytes, scanned by one thread.
struct Span {
    number: usize,
    part: usize,
    range: Range<u64>,
    last_of_part: bool,
}

fn spans_of(source: &dyn Source) -> Vec<Span> {
    let mut spans = Vec::new();
    for (part, file) in source.parts().iter().enumerate() {
        let pieces = if source.seekable(part) { file.bytes.div_ceil(SPAN_BYTES).max(1) } else { 1 };
        for piece in 0..pieces {
            let last_of_part = piece + 1 == pieces;
            let end = if last_of_part { u64::MAX } else { (piece + 1) * SPAN_BYTES };
            spans.push(Span { number: spans.len(), part, range: piece * SPAN_BYTES..end, last_of_part });
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
    excluded: HashSet<(usize, u64)>,
    stop: AtomicBool,
}

impl Scanner<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.options.progress.cancelled()
    }

    fn find_and_scan(&self, span: &Span) -> Result<Piece> {
        let start = match span.range.start {
            0 => Some(0),
            _ => self.source.find_element(
                span.part,
                span.range.start..span.range.end.min(self.source.parts()[span.part].bytes),
            )?,
        };
        match start {
            Some(start) => self.scan_from(span, start),
            None => Ok(Piece { covers: None, profile: Profile::default(), error: None }),
        }
    }

    fn scan_from(&self, span: &Span, start: u64) -> Result<Piece> {
        let range = start..span.range.end;
        let mut elements = self.source.read(span.part, range)?;
        let mut fold = Fold::new(self, span.part);
        let mut error = None;
        let (mut looked, mut told) = (start, start);
        loop {
            let at = elements.position();
            if at - looked >= STEP_BYTES {
                self.options.progress.advance(elements.consumed().saturating_sub(told));
                (looked, told) = (at, elements.consumed());
                if self.stopped() {
                    break;
                }
            }
            match fold.step(elements.as_mut()) {
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
        let end = elements.position();
        self.options.progress.advance(elements.consumed().saturating_sub(told));
        Ok(Piece { covers: Some(start..end), profile: fold.profile, error })
    }
}

/// Folds elements into a profile.
struct Fold<'a> {
    scanner: &'a Scanner<'a>,
    part: usize,
    profile: Profile,
    slots: Slots,
    /// What is asked of each slot.
    asked: Vec<Asked>,
    first: Option<Witness>,
    next_entry: (u64, u64),
    spacing: u64,
    scratch: Vec<u8>,
    /// How many values each slot has in the present element.
    counts: Vec<u64>,
}

/// What is counted of each feature that is watched.
const COUNTED: [Counted; 4] = [Counted::Values, Counted::Bytes, Counted::Seen, Counted::SeenBytes];

/// What a slot's feature is watched for.
struct Asked {
    /// Whether more than its presence is wanted.
    watched: bool,
    view: View,
    caps: Vec<u64>,
    /// The counters of [`COUNTED`], made when there is something to count: features are many, and most need one.
    counters: [Option<usize>; 4],
    buckets: Vec<usize>,
}

impl<'a> Fold<'a> {
    fn new(scanner: &'a Scanner<'a>, part: usize) -> Self {
        let total: u64 = scanner.source.parts().iter().map(|part| part.bytes).sum();
        Self {
            scanner,
            part,
            profile: Profile::default(),
            slots: Slots::default(),
            asked: Vec::new(),
            first: None,
            next_entry: (0, 0),
            spacing: (total / ENTRIES).clamp(ENTRY_BYTES.0, ENTRY_BYTES.1),
            scratch: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Folds in the next element; says whether there was one.
    fn step(&mut self, elements: &mut dyn Elements) -> Result<bool> {
        let Some(element) = elements.next()? else { return Ok(false) };
        if !self.scanner.excluded.is_empty()
            && self.scanner.excluded.contains(&(self.part, element.position()))
        {
            return Ok(true);
        }
        self.fold(&element).map_err(|e| e.at_byte(element.position()))?;
        Ok(true)
    }

    fn fold(&mut self, element: &Element<'_>) -> Result<()> {
        let witness =
            Witness { part: self.part, element: self.profile.elements, position: element.position() };
        let known = self.asked.len();
        let Self { slots, profile, asked, scanner, first, .. } = self;
        let found = slots.find(element, |name| {
            if let Some(why) = example::bad_name(name) {
                return Err(Error::input(format!(
                    "the record is no tf.train.Example: {why}: `{}`",
                    name.escape_ascii()
                ))
                .hint("`--from tfrecord-raw` keeps records of any kind as byte strings"));
            }
            let name = std::str::from_utf8(name).unwrap_or_default();
            let index = &mut profile.index;
            asked.push(Asked::of(name, scanner.options.request, index));
            profile.features.push(FeatureProfile::new(name, *first));
            Ok(true)
        });
        if let Err(error) = found {
            self.forget(known);
            return Err(error);
        }
        // What can be wrong is found before anything is folded in: a bad element must leave no trace.
        self.counts.clear();
        for slot in 0..self.asked.len() {
            match self.check(slot, element) {
                Ok(count) => self.counts.push(count),
                Err(error) => {
                    let error = error.in_feature(&self.profile.features[slot].name);
                    self.forget(known);
                    return Err(error);
                }
            }
        }
        self.enter(witness, element);
        self.first.get_or_insert(witness);
        for slot in 0..self.asked.len() {
            match self.slots.list(slot, element) {
                Some(list) => self.observe(slot, list, self.counts[slot], element, witness),
                None => {
                    self.profile.features[slot].first_missing.get_or_insert(witness);
                }
            }
        }
        self.profile.elements += 1;
        let stored = element.stored_bytes() as u64;
        self.profile.stored_bytes += stored;
        self.profile.largest_record = self.profile.largest_record.max(stored);
        Ok(())
    }

    /// Takes back the features that a bad element brought.
    fn forget(&mut self, known: usize) {
        if self.asked.len() > known {
            self.asked.truncate(known);
            self.profile.features.truncate(known);
            self.slots = Slots::of(self.profile.features.iter().map(|feature| feature.name.as_str()));
        }
    }

    /// The number of values of a feature, after a look at whether all is well with it.
    fn check(&mut self, slot: usize, element: &Element<'_>) -> Result<u64> {
        let Some(list) = self.slots.list(slot, element) else { return Ok(0) };
        let count = list.count().map_err(|bad| Error::input(format!("the feature is damaged: {}", bad.0)))?;
        let view = &self.asked[slot].view;
        if !view.is_plain() {
            let slots = &self.slots;
            view.numbers(
                list,
                &|name| slots.named(name, element),
                &mut self.scratch,
                self.scanner.options.largest_payload,
            )?;
        }
        Ok(count)
    }

    /// Enters the element in the index, if it is time.
    fn enter(&mut self, witness: Witness, element: &Element<'_>) {
        let (position, number) = self.next_entry;
        if self.profile.elements == 0 || element.position() >= position || witness.element >= number {
            let first = element.position() == 0;
            self.profile.index.push(Entry {
                element: witness.element,
                part: self.part,
                position: element.position(),
                first,
            });
            self.next_entry = (element.position() + self.spacing, witness.element + ENTRY_ELEMENTS);
        }
    }

    fn observe(&mut self, slot: usize, list: List<'_>, count: u64, element: &Element<'_>, witness: Witness) {
        let asked = &self.asked[slot];
        if !asked.watched {
            self.profile.features[slot].present += 1;
            return;
        }
        // Tensors are looked for, unless something else is asked for.
        let tensor = View { decode: Some(Decode::Tensor), reshape: None };
        let holds_tensor = || {
            list.kind == Kind::Bytes
                && list.single().is_some_and(|payload| Content::of(payload) == Content::Tensor)
        };
        let view = match &asked.view {
            View { decode: None, reshape: None } if holds_tensor() => Some(&tensor),
            view if view.is_plain() => None,
            view => Some(view),
        };
        let slots = &self.slots;
        let sibling = |name: &str| slots.named(name, element);
        let most = self.scanner.options.largest_payload;
        // What the view makes of the element was tried before: it cannot fail any more, but for tensors that are
        // found and not asked for, which do not count then.
        let numbers = view.and_then(|view| view.numbers(list, &sibling, &mut self.scratch, most).ok());
        let seen = numbers.as_ref().map_or(count, |numbers| numbers.shape.iter().product());
        let seen_bytes = numbers.as_ref().map_or(0, Numbers::string_bytes);
        let feature = &mut self.profile.features[slot];
        feature.viewed = asked.view != View::default();
        let bytes = feature.observe(list, count, numbers.as_ref(), witness);
        let index = &mut self.profile.index;
        let viewed = if numbers.is_some() { seen } else { 0 };
        for (at, more) in
            [count, bytes, viewed, seen_bytes].into_iter().enumerate().filter(|counted| counted.1 > 0)
        {
            let counter = &mut self.asked[slot].counters[at];
            let counter = *counter.get_or_insert_with(|| index.counter_or_new(&feature.name, COUNTED[at]));
            index.count(counter, more);
        }
        let asked = &self.asked[slot];
        if let Some(bucket) = bucket_of(&asked.caps, seen) {
            index.count(asked.buckets[bucket], 1);
        }
    }

    /// Deals with a damaged element: gives the error back, or counts the element as skipped.
    fn bad(&mut self, error: Error, position: u64) -> Result<()> {
        let path = &self.scanner.source.parts()[self.part].path;
        let error = error.in_file(path).at_element(self.profile.elements).at_byte(position);
        if error.kind() != ErrorKind::Input || self.scanner.options.on_error == OnError::Fail {
            return Err(if error.kind() == ErrorKind::Input {
                error.hint("`--on-error skip` leaves such elements out and lists them")
            } else {
                error
            });
        }
        self.profile.skipped.push(Skipped {
            part: self.part,
            position: error.place().byte.unwrap_or(position),
            place: error.place().clone(),
            reason: error.message().to_owned(),
        });
        Ok(())
    }
}

/// The bucket that an element of this length goes to: the first that is long enough, or the last, where it is cut.
pub(crate) fn bucket_of(caps: &[u64], length: u64) -> Option<usize> {
    caps.iter().position(|cap| length <= *cap).or(caps.len().checked_sub(1))
}

impl Asked {
    fn of(name: &str, request: &Request, index: &mut index::Index) -> Self {
        let watched = request.looks_at(name);
        let wanted = request.feature(name).or_else(|| request.feature(""));
        let caps = match wanted.and_then(|wanted| wanted.fit.as_ref()) {
            Some(FitRequest::Bucket(caps)) => caps.clone(),
            _ => Vec::new(),
        };
        Self {
            watched,
            view: wanted.map(|wanted| wanted.view.clone()).unwrap_or_default(),
            counters: [None; 4],
            buckets: (0..caps.len())
                .map(|bucket| index.counter_or_new(name, Counted::Bucket(bucket)))
                .collect(),
            caps,
        }
    }
}

/// Puts pieces together in the order of the dataset.
struct Merger<'a> {
    scanner: &'a Scanner<'a>,
    waiting: BTreeMap<usize, Result<Piece>>,
    next: usize,
    /// Where in the present part all has been merged.
    position: u64,
    whole: Profile,
    error: Option<Error>,
}

impl<'a> Merger<'a> {
    fn new(scanner: &'a Scanner<'a>) -> Self {
        Self {
            scanner,
            waiting: BTreeMap::new(),
            next: 0,
            position: 0,
            whole: Profile::default(),
            error: None,
        }
    }

    fn take(&mut self, spans: &[Span], number: usize, piece: Result<Piece>) -> Result<()> {
        self.waiting.insert(number, piece);
        while self.error.is_none() {
            let Some(piece) = self.waiting.remove(&self.next) else { break };
            let span = &spans[self.next];
            self.next += 1;
            self.append(span, piece?)?;
            if span.last_of_part {
                self.position = 0;
            }
        }
        Ok(())
    }

    fn append(&mut self, span: &Span, piece: Piece) -> Result<()> {
        if span.range.start > 0 && self.position >= span.range.end {
            // A long element, or damage, reaches beyond the whole span.
            return Ok(());
        }
        let starts_right = piece.covers.as_ref().is_some_and(|covers| covers.start == self.position);
        let part_bytes = self.scanner.source.parts()[span.part].bytes;
        let nothing_left =
            piece.covers.is_none() && self.scanner.source.seekable(span.part) && self.position >= part_bytes;
        let piece =
            if starts_right || nothing_left { piece } else { self.scanner.scan_from(span, self.position)? };
        self.position = piece.covers.map_or(self.position, |covers| covers.end);
        let before = self.whole.elements;
        merge(&mut self.whole, piece.profile);
        if self.whole.skipped.len() > MOST_SKIPPED {
            return Err(Error::input(format!(
                "more than {MOST_SKIPPED} elements are bad: this is not a dataset with some damage"
            ))
            .hint("look at the first one, without `--on-error skip`"));
        }
        piece.error.map_or(Ok(()), |error| Err(error.after_elements(before)))
    }
}

/// Appends the profile of the elements that come after those of `whole`.
pub(crate) fn merge(whole: &mut Profile, later: Profile) {
    let before = whole.elements;
    let had_elements = before > 0;
    let first = whole.index.before(0).map(|(_, entry)| Witness {
        part: entry.part,
        element: 0,
        position: entry.position,
    });
    let later_first = later.index.before(0).map(|(_, entry)| Witness {
        part: entry.part,
        element: before,
        position: entry.position,
    });
    for mine in &mut whole.features {
        if later.elements > 0
            && later.features.iter().all(|theirs| theirs.name != mine.name)
            && mine.first_missing.is_none()
        {
            mine.first_missing = later_first;
        }
    }
    for theirs in later.features {
        let at = match whole.features.binary_search_by(|mine| mine.name.cmp(&theirs.name)) {
            Ok(at) => at,
            Err(at) => {
                let missing = if had_elements { first } else { None };
                whole.features.insert(at, FeatureProfile::new(&theirs.name, missing));
                at
            }
        };
        whole.features[at].merge(theirs, before);
    }
    whole.elements += later.elements;
    whole.stored_bytes += later.stored_bytes;
    whole.largest_record = whole.largest_record.max(later.largest_record);
    whole.skipped.extend(later.skipped.into_iter().map(|mut skipped| {
        skipped.place.element = skipped.place.element.map(|element| element + before);
        skipped
    }));
    whole.index.merge(&later.index, before);
}

fn finished(source: &dyn Source, options: &ScanOptions<'_>, mut whole: Profile) -> Result<Profile> {
    source.format().clone_into(&mut whole.format);
    whole.parts = source.parts().to_vec();
    whole.skipped.extend(options.excluded.iter().cloned());
    whole.skipped.sort_by_key(|skipped| (skipped.part, skipped.position));
    if whole.elements > 0 && whole.features.is_empty() {
        return Err(Error::input("no record has any feature: these are probably no tf.train.Examples")
            .in_file(&whole.parts[0].path)
            .hint("`--from tfrecord-raw` keeps records of any kind as byte strings"));
    }
    // Where elements may be skipped, those of another kind than the first will be: pass 2 finds them.
    let two_kinds = |feature: &&FeatureProfile| feature.kinds.len() > 1 && options.on_error == OnError::Fail;
    if let Some(feature) = whole.features.iter().find(two_kinds) {
        let (first, other) = (feature.kinds[0], feature.kinds[1]);
        let message =
            format!("it holds {} here, but {} in element {} before", other.0, first.0, first.1.element);
        let place = whole.place(other.1);
        return Err(Error::input(message)
            .in_feature(&feature.name)
            .in_file(place.file.as_deref().unwrap_or(std::path::Path::new("")))
            .at_element(other.1.element)
            .at_byte(other.1.position)
            .hint("a feature must be of one kind: leave it out by naming the others with `--feature`"));
    }
    let features = &whole.features;
    whole.index.keep_counters(|counter| {
        let feature = features.iter().find(|feature| feature.name == counter.feature);
        feature.is_some_and(|feature| match counter.what {
            Counted::Bucket(_) => true,
            // Where every element has as many, a running total is a product.
            Counted::Values => {
                feature.present < whole.elements || feature.lengths.min() != feature.lengths.max()
            }
            Counted::Bytes => feature.strings.count > 0,
            Counted::SeenBytes => feature.shapes.as_ref().is_some_and(|shapes| shapes.strings.count > 0),
            Counted::Seen => feature.shapes.as_ref().is_some_and(|shapes| {
                feature.present < whole.elements || shapes.values.min() != shapes.values.max()
            }),
        })
    });
    Ok(whole)
}
