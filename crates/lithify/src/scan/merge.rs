//! Pieces, put together in the order of the dataset, and what can be said of the whole.

use std::collections::{BTreeMap, HashSet};

use super::index::Counted;
use super::profile::{FeatureProfile, Profile, Witness};
use super::{OnError, Piece, Scanner, Span, check_skipped};
use crate::error::{Error, Result};
use crate::source::{Source, raw_format};

/// Puts pieces together in the order of the dataset.
pub(super) struct Merger<'a> {
    scanner: &'a Scanner<'a>,
    waiting: BTreeMap<usize, Result<Piece>>,
    pub(super) next: usize,
    /// Where in the present part all has been merged.
    position: u64,
    pub(super) whole: Profile,
    pub(super) error: Option<Error>,
    /// How many elements are wanted.
    limit: u64,
}

impl<'a> Merger<'a> {
    pub(super) fn new(scanner: &'a Scanner<'a>, limit: u64) -> Self {
        Self {
            scanner,
            waiting: BTreeMap::new(),
            next: 0,
            position: 0,
            whole: Profile::default(),
            error: None,
            limit,
        }
    }

    /// Whether there are as many elements as are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.whole.elements >= self.limit
    }

    pub(super) fn take(&mut self, spans: &[Span], number: usize, piece: Result<Piece>) -> Result<()> {
        self.waiting.insert(number, piece);
        while self.error.is_none() && !self.is_full() {
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
        let most = self.limit - self.whole.elements;
        let piece = if (starts_right || nothing_left) && piece.profile.elements <= most {
            piece
        } else {
            self.scanner.scan_from(span, self.position, most)?
        };
        self.position = piece.covers.map_or(self.position, |covers| covers.end);
        let before = self.whole.elements;
        merge(&mut self.whole, piece.profile);
        check_skipped(self.whole.skipped.len())?;
        match piece.error {
            Some(error) if !self.is_full() => Err(error.after_elements(before)),
            _ => Ok(()),
        }
    }
}

/// Appends the profile of the elements that come after those of `whole`.
pub(super) fn merge(whole: &mut Profile, later: Profile) {
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
    if later.elements > 0 {
        let named: HashSet<&str> = later.features.iter().map(|theirs| theirs.name.as_str()).collect();
        for mine in whole.features.iter_mut().filter(|mine| mine.first_missing.is_none()) {
            if !named.contains(mine.name.as_str()) {
                mine.first_missing = later_first;
            }
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

/// Says what can only be said of all elements together.
///
/// # Errors
/// They do not go together.
pub(super) fn finished(source: &dyn Source, on_error: OnError, mut whole: Profile) -> Result<Profile> {
    source.format().clone_into(&mut whole.format);
    whole.classes = source.classes();
    whole.choice = source.choice();
    whole.left_out = source.left_out();
    whole.rates = source.rates();
    for feature in &whole.features {
        // What files say of themselves counts more than what is said of them.
        if let Some(sounds) = feature.shapes().and_then(|shapes| shapes.sounds.as_ref()) {
            whole.rates.remove(&feature.name);
            whole.rates.extend(sounds.rate().map(|rate| (feature.name.clone(), rate)));
        }
    }
    whole.parts = source.parts().to_vec();
    whole.skipped.sort_by_key(|skipped| (skipped.part, skipped.position));
    if on_error == OnError::Fail
        && let Some((said, file)) = source.count()?.filter(|(said, _)| *said != whole.elements)
    {
        let message = format!("it says that there are {said} elements, and {} were found", whole.elements);
        return Err(Error::input(message).in_file(file).hint("`--on-error skip` takes what is there"));
    }
    if whole.elements > 0 && whole.features.is_empty() {
        let Some(raw) = raw_format(source.format()) else {
            return Err(Error::input("no element has anything in it"));
        };
        return Err(Error::input("no record has any feature: these are probably no tf.train.Examples")
            .in_file(&whole.parts[0].path)
            .hint(format!("`--from {raw}` keeps records of any kind as byte strings")));
    }
    // Where elements may be skipped, those of another kind than the first will be: pass 2 finds them.
    let two_kinds = |feature: &&FeatureProfile| feature.kinds.len() > 1 && on_error == OnError::Fail;
    if let Some(feature) = whole.features.iter().find(two_kinds) {
        let (first, other) = (feature.kinds[0], feature.kinds[1]);
        let message =
            format!("it holds {} here, but {} in element {} before", other.0, first.0, first.1.element);
        return Err(Error::input(message)
            .in_feature(&feature.name)
            .at_place(&whole.place(other.1))
            .hint("a feature must be of one kind: leave it out by naming the others with `--feature`")
            .hint("or leave out the elements of another kind than the first with `--on-error skip`"));
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
            Counted::SeenBytes => feature.shapes().is_some_and(|shapes| shapes.strings.count > 0),
            Counted::Seen | Counted::Rows => feature.shapes().is_some_and(|shapes| {
                let varies = match counter.what {
                    Counted::Rows => shapes.smallest.first() != shapes.largest.first(),
                    _ => shapes.values.min() != shapes.values.max(),
                };
                varies || feature.other_shapes().is_some() || shapes.values.count < whole.elements
            }),
        })
    });
    Ok(whole)
}
