//! One element after another, folded into a profile.

use super::index::{Counted, Entry};
use super::profile::{FeatureProfile, Profile, Skipped, Witness};
use super::{ENTRY_ELEMENTS, OnError, SKIP_HINT, Scanner, bucket_of, check_skipped};
use crate::audio::Format;
use crate::decode::{Content, Decode, Look, Numbers, Scratch, View};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::request::{FeatureRequest, FitRequest, Request};
use crate::source::{Alike, Elements, at_position, example, raw_format};
use crate::value::{Element, Kind, List, Slots};

/// Features that a dataset may have. Where there are more, something is taken for a name that is none.
const MOST_FEATURES: usize = 1 << 16;

/// Folds elements into a profile.
pub(super) struct Fold<'a> {
    scanner: &'a Scanner<'a>,
    part: usize,
    pub(super) profile: Profile,
    slots: Slots,
    /// What is asked of each slot.
    asked: Vec<Asked>,
    first: Option<Witness>,
    next_entry: (u64, u64),
    scratch: Scratch,
    /// How many values each slot has in the present element.
    counts: Vec<u64>,
    /// Of elements that are alike, and only passed over: what each adds to the counters, and how many more bytes it takes where
    /// it is stored than it is counted for.
    alike: Option<(Vec<u64>, u64)>,
}

/// What is counted of each feature that is watched.
const COUNTED: [Counted; 5] =
    [Counted::Values, Counted::Bytes, Counted::Seen, Counted::SeenBytes, Counted::Rows];

/// What a slot's feature is watched for.
struct Asked {
    /// Whether more than its presence is wanted.
    watched: bool,
    view: View,
    /// Whether byte strings must be images, and how they are seen then.
    images: bool,
    as_images: View,
    /// Whether byte strings that are sounds are to be decoded, and how.
    sounds: bool,
    as_sounds: View,
    as_tensors: View,
    caps: Vec<u64>,
    /// The counters of [`COUNTED`], made when there is something to count: features are many, and most need one.
    counters: [Option<usize>; COUNTED.len()],
    buckets: Vec<Option<usize>>,
}

impl<'a> Fold<'a> {
    pub(super) fn new(scanner: &'a Scanner<'a>, part: usize) -> Self {
        Self {
            scanner,
            part,
            profile: Profile::default(),
            slots: Slots::default(),
            asked: Vec::new(),
            first: None,
            next_entry: (0, 0),
            scratch: Scratch::default(),
            counts: Vec::new(),
            alike: None,
        }
    }

    /// Folds in the next element, which is known to be like the first but for its values, without reading it; says whether
    /// there was one.
    pub(super) fn pass(&mut self, elements: &mut dyn Elements) -> Result<bool> {
        let position = elements.position();
        let first = self.first.map_or(position, |first| first.position);
        let profile = &self.profile;
        let known = || {
            let more = (position - first).saturating_sub(profile.stored_bytes);
            (profile.index.sums().to_vec(), more)
        };
        let (each, more) = self.alike.take().unwrap_or_else(known);
        let there = elements.skip();
        if let Ok(true) = there {
            self.enter(Witness { part: self.part, element: self.profile.elements, position });
            self.profile.index.count_all(&each);
            self.profile.elements += 1;
            let stored = (elements.position() - position).saturating_sub(more);
            self.profile.stored_bytes += stored;
            self.profile.largest_record = self.profile.largest_record.max(stored);
        }
        self.alike = Some((each, more));
        there
    }

    /// What was learnt. Reading has held so many bytes beside the elements.
    pub(super) fn finish(mut self, held: u64) -> Profile {
        self.profile.largest_record = self.profile.largest_record.max(held);
        if self.alike.is_some() {
            self.profile.repeat_features(self.profile.elements);
        }
        self.profile
    }

    /// Folds in the next element; says whether there was one.
    pub(super) fn step(&mut self, elements: &mut dyn Elements) -> Result<bool> {
        let Some(element) = elements.next()? else { return Ok(false) };
        if let Some(known) = self.scanner.excluded.get(&(self.part, element.position())) {
            let mut skipped = (*known).clone();
            skipped.place.element = Some(self.profile.elements);
            self.profile.skipped.push(skipped);
            return Ok(true);
        }
        self.fold(&element).map_err(|e| match element.file() {
            Some(file) => e.in_file(file),
            None => at_position(self.scanner.source, self.part, element.position(), e),
        })?;
        Ok(true)
    }

    fn fold(&mut self, element: &Element<'_>) -> Result<()> {
        let witness =
            Witness { part: self.part, element: self.profile.elements, position: element.position() };
        let known = self.asked.len();
        let Self { slots, profile, asked, scanner, first, .. } = self;
        let raw = raw_format(scanner.source.format());
        let found = slots.find(element, |name| {
            if let Some(why) = example::bad_name(name) {
                let name = name.escape_ascii();
                let Some(raw) = raw else { return Err(Error::input(format!("{why}: `{name}`"))) };
                return Err(Error::input(format!("the record is no tf.train.Example: {why}: `{name}`"))
                    .hint(format!("`--from {raw}` keeps records of any kind as byte strings")));
            }
            let name = std::str::from_utf8(name).unwrap_or_default();
            if asked.len() == MOST_FEATURES {
                let message = format!("there are more than {MOST_FEATURES} features");
                let error = Error::new(ErrorKind::Resources, message);
                return Err(match raw {
                    Some(raw) => error
                        .hint(format!("names seem to hold data: `--from {raw}` keeps records as they are")),
                    None => error,
                });
            }
            let declared = scanner.source.view(name);
            asked.push(Asked::of(name, scanner.options.request, declared));
            let new = FeatureProfile::new(name, *first);
            profile.features.push(FeatureProfile { declared: declared.cloned(), ..new });
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
                    let name = &self.profile.features[slot].name;
                    let request = self.scanner.options.request;
                    let unnamed = request.wanted(name).is_some_and(|wanted| wanted.name.is_empty());
                    let error = match unnamed && self.asked.len() > 1 {
                        // What is asked of the only feature is asked of each, where there are several.
                        true => {
                            error.hint("say which feature is meant: `--feature NAME` before the other flags")
                        }
                        false => error,
                    };
                    let error = error.in_feature(name);
                    self.forget(known);
                    return Err(error);
                }
            }
        }
        self.enter(witness);
        self.first.get_or_insert(witness);
        for slot in 0..self.asked.len() {
            match self.slots.list(slot, element) {
                Some(list) => self.observe(slot, list, self.counts[slot], element, witness)?,
                None => {
                    self.profile.features[slot].first_missing.get_or_insert(witness);
                }
            }
        }
        self.profile.elements += 1;
        let stored = element.stored_bytes();
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
        // What is only found, and not asked for, need not be in order: then it is not even looked for here.
        if self.asked[slot].asks_of(list)
            && let Some((view, true)) = self.asked[slot].sees(list)
        {
            let slots = &self.slots;
            view.numbers(
                list,
                &|name| slots.named(name, element),
                Look::Outline,
                &mut self.scratch,
                self.scanner.options.largest_payload,
            )?;
        }
        Ok(count)
    }

    /// Enters the element in the index, if it is time.
    fn enter(&mut self, witness: Witness) {
        let Witness { part, element, position } = witness;
        let (next_position, next_element) = self.next_entry;
        if self.profile.elements == 0 || position >= next_position || element >= next_element {
            self.profile.index.push(Entry { element, part, position });
            self.next_entry = (position + self.scanner.spacing, element + ENTRY_ELEMENTS);
        }
    }

    fn observe(
        &mut self,
        slot: usize,
        list: List<'_>,
        count: u64,
        element: &Element<'_>,
        witness: Witness,
    ) -> Result<()> {
        let asked = &self.asked[slot];
        if !asked.watched {
            self.profile.features[slot].present += 1;
            return Ok(());
        }
        let view = asked.sees(list).map(|seen| seen.0);
        let slots = &self.slots;
        let sibling = |name: &str| slots.named(name, element);
        let most = self.scanner.options.largest_payload;
        // What the view makes of the element was tried before: it cannot fail any more, but for tensors and images that
        // are found and not asked for. Those that are not sound do not count; one that is too large is worth stopping for.
        let outline = view.map(|view| view.numbers(list, &sibling, Look::Outline, &mut self.scratch, most));
        let numbers = match outline {
            Some(Err(error)) if error.kind() == ErrorKind::Resources => {
                return Err(error.in_feature(&self.profile.features[slot].name));
            }
            seen => seen.and_then(Result::ok),
        };
        let seen = numbers.as_ref().map_or(count, |numbers| numbers.shape.iter().product());
        let seen_bytes = numbers.as_ref().map_or(0, Numbers::string_bytes);
        let rows = numbers.as_ref().map_or(0, Numbers::rows);
        let feature = &mut self.profile.features[slot];
        feature.viewed = asked.names_a_view();
        let bytes = feature.observe(list, count, numbers.as_ref(), witness);
        let index = &mut self.profile.index;
        let viewed = if numbers.is_some() { seen } else { 0 };
        for (at, more) in
            [count, bytes, viewed, seen_bytes, rows].into_iter().enumerate().filter(|counted| counted.1 > 0)
        {
            let counter = &mut self.asked[slot].counters[at];
            let counter = *counter.get_or_insert_with(|| index.add_counter(&feature.name, COUNTED[at]));
            index.count(counter, more);
        }
        let asked = &mut self.asked[slot];
        if let Some(bucket) = bucket_of(&asked.caps, seen) {
            let what = Counted::Bucket(bucket);
            let counter =
                *asked.buckets[bucket].get_or_insert_with(|| index.add_counter(&feature.name, what));
            index.count(counter, 1);
        }
        Ok(())
    }

    /// Folds in all other elements of a part whose elements are alike, without reading them. Says whether it did: where its
    /// first element is left out, or elements are to be, they are read.
    pub(super) fn repeat(&mut self, alike: Alike) -> bool {
        let left_out = !self.profile.skipped.is_empty() || !self.scanner.excluded.is_empty();
        if self.profile.elements != 1 || left_out {
            return false;
        }
        let spacing = (self.scanner.spacing / alike.step).clamp(1, ENTRY_ELEMENTS);
        self.profile.repeat(alike.elements, spacing, alike.step);
        true
    }

    /// Deals with a damaged element: gives the error back, or counts the element as skipped.
    pub(super) fn bad(&mut self, error: Error, position: u64) -> Result<()> {
        let error = error.at_element(self.profile.elements);
        let error = at_position(self.scanner.source, self.part, position, error);
        if error.kind() != ErrorKind::Input {
            return Err(error);
        }
        if self.scanner.options.on_error == OnError::Fail {
            // What is wrong with the first element of all may well be wrong with the request.
            let asked_wrong = (self.part, position) == (0, 0) && error.place().feature.is_some();
            let hopeless = asked_wrong || !self.scanner.source.can_skip();
            return Err(if hopeless { error } else { error.hint(SKIP_HINT) });
        }
        check_skipped(self.profile.skipped.len())?;
        let position = error.place().byte.unwrap_or(position);
        self.profile.skipped.push(Skipped::by(&error, self.part, position));
        Ok(())
    }
}

impl Asked {
    /// Whether the request says how it is seen.
    fn names_a_view(&self) -> bool {
        self.view.decode.is_some() || self.view.reshape.is_some()
    }

    /// Whether anything is asked that this list may fail. Sounds are decoded without being asked for.
    fn asks_of(&self, list: List<'_>) -> bool {
        let is_sound = || list.single().and_then(Format::of).is_some();
        self.names_a_view() || self.images || self.sounds && list.kind == Kind::Bytes && is_sound()
    }

    /// How a list is seen, where that is not as it is stored; and whether that was asked for. Where nothing is said, tensors,
    /// images and sounds are looked for.
    fn sees(&self, list: List<'_>) -> Option<(&View, bool)> {
        if self.names_a_view() {
            let shaped = list.shape().is_some();
            return (shaped || !self.view.is_plain()).then_some((&self.view, true));
        }
        let as_shaped = list.shape().map(|_| (&self.view, false));
        if list.kind != Kind::Bytes {
            return as_shaped;
        }
        // Of a list that is known to be one of many, the first tells of all.
        let many = list.shape().is_some_and(|shape| !shape.is_empty());
        let one = if many { list.runs().next().and_then(Result::ok) } else { list.single() };
        match one.map(Content::of) {
            Some(Content::Tensor) if many => as_shaped,
            Some(Content::Tensor) => Some((&self.as_tensors, false)),
            Some(content) if content.is_image() => Some((&self.as_images, self.images)),
            // Before images: of a sound, too, it may be asked how many channels it has.
            Some(content) if content.is_sound() && !many => Some((&self.as_sounds, self.sounds)),
            _ if self.images => Some((&self.as_images, true)),
            _ => as_shaped,
        }
    }

    fn of(name: &str, request: &Request, declared: Option<&View>) -> Self {
        let watched = request.looks_at(name);
        let wanted = request.wanted(name);
        let caps = match wanted.and_then(|wanted| wanted.fit.as_ref()) {
            Some(FitRequest::Bucket(caps)) => caps.clone(),
            _ => Vec::new(),
        };
        let view = wanted.map(|wanted| wanted.view.clone()).unwrap_or_default().or(declared);
        let view = if let Some(wanted) = wanted { wanted.with_depth(view) } else { view };
        let samples = wanted.and_then(FeatureRequest::item_dtype);
        Self {
            watched,
            as_tensors: View { decode: Some(Decode::Tensor), ..view.clone() },
            as_images: View { decode: Some(Decode::IMAGE), ..view.clone() },
            sounds: !wanted.is_some_and(FeatureRequest::takes_bytes),
            as_sounds: View { decode: Some(Decode::audio(samples)), ..view.clone() },
            images: wanted.is_some_and(FeatureRequest::asks_for_images),
            view,
            counters: [None; COUNTED.len()],
            buckets: vec![None; caps.len()],
            caps,
        }
    }
}
