//! What the user names, as one source: datasets one after another or side by side, and of their elements those that are wanted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::decode::View;
use crate::error::{Error, Result, nearest};
use crate::source::probe::{self, Found};
use crate::source::{Alike, Choice, Elements, Options, Part, Source, Want};

mod condition;
mod permutation;
mod pieces;
mod portions;
mod select;
mod shuffle;
mod zip;

use condition::Condition;
use pieces::{Piece, pieces_of};
pub use portions::Portion;
use select::Selected;
use shuffle::Shuffled;
use zip::Zipped;

/// Opens the datasets that `inputs` name: files, directories, or globs, one after another in this order; the files of a
/// directory or glob sorted by name; and beside them those of the options. Formats are found by content, unless `from` names the
/// one of the inputs.
///
/// # Errors
/// Nothing is there, or it is of no known format; or datasets do not go together.
pub fn open(inputs: &[PathBuf], from: Option<&str>, options: &Options) -> Result<Box<dyn Source>> {
    let mut rows = vec![probe::find(inputs, from)?];
    for beside in &options.zip {
        rows.push(probe::find(std::slice::from_ref(beside), None)?);
    }
    Dataset::open(rows, options)
}

/// Opens what was open before: the format of each dataset, as [`Source::format`] gave them, and the parts of all.
///
/// # Errors
/// As [`open`].
pub fn open_parts<'p>(
    formats: &str,
    parts: impl IntoIterator<Item = &'p Part>,
    options: &Options,
) -> Result<Box<dyn Source>> {
    let mut by_dataset: BTreeMap<usize, Vec<PathBuf>> = BTreeMap::new();
    for part in parts {
        by_dataset.entry(part.dataset).or_default().push(part.path.clone());
    }
    let mut by_dataset = by_dataset.into_values();
    let mut rows = Vec::new();
    for formats in formats.split('&') {
        let mut found = Vec::new();
        for (format, paths) in formats.split('+').zip(by_dataset.by_ref()) {
            found.extend(probe::find(&paths, Some(format))?);
        }
        rows.push(found);
    }
    Dataset::open(rows, options)
}

/// What may be wrong with conditions: features that none of these is, and those that may have been meant. `all` is whether these are the
/// features of all elements.
pub(crate) fn misnamed(select: &[String], names: &[&str], all: bool) -> Option<String> {
    let mut conditions = select.iter().filter_map(|text| text.parse::<Condition>().ok());
    let Condition { feature, .. } =
        conditions.find(|condition| !names.contains(&condition.feature.as_str()))?;
    match nearest(&feature, names) {
        Some(near) => Some(format!(
            "`{feature}` is not among the features of the first elements: did you mean `{near}`?"
        )),
        None if all => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("no element has `{feature}`; there are {}", names.join(", ")))
        }
        None => Some(format!("`{feature}` is not among the features of the first elements")),
    }
}

/// Several sources as one: one after another, or side by side.
#[derive(Default)]
struct Dataset {
    sources: Vec<Box<dyn Source>>,
    parts: Vec<Part>,
    /// The number of the first part of each source.
    starts: Vec<usize>,
    formats: String,
    classes: BTreeMap<String, Vec<String>>,
    choice: Choice,
    conditions: Vec<Condition>,
    /// Where elements are in each source, where they are side by side.
    zipped: Vec<Vec<Piece>>,
}

impl Dataset {
    /// Opens datasets one after another, and such rows side by side.
    fn open(rows: Vec<Vec<Found>>, options: &Options) -> Result<Box<dyn Source>> {
        let select = &options.choice.select;
        let conditions = select.iter().map(|text| text.parse()).collect::<Result<Vec<Condition>>>()?;
        let features = options.features.clone().map(|mut features| {
            features.extend(conditions.iter().map(|condition| condition.feature.clone()));
            features
        });
        let inner = &Options { features, ..options.clone() };
        let mut opened = Vec::new();
        for (row, found) in rows.into_iter().enumerate() {
            let mut all = Self::default();
            for Found { format, parts } in found {
                let source = format.open(parts, inner)?;
                // What stands beside a split may be all that there is of it.
                if let (Some(split), None, 0) = (&options.choice.split, &source.choice().split, row) {
                    return Err(Error::request(format!("`{split}` is no split of it: the dataset has none"))
                        .hint("splits are those of directories that TensorFlow Datasets or Hugging Face's datasets have written"));
                }
                all.push(source, '+')?;
            }
            opened.push(all);
        }
        let mut all = match opened.pop() {
            Some(only) if opened.is_empty() => only,
            last => Self::zip(opened.into_iter().chain(last), options)?,
        };
        let split = all.choice.split.take();
        all.choice = Choice { split, shuffle: None, rows: None, ..options.choice.clone() };
        let classes = all.classes();
        all.conditions = conditions.into_iter().map(|condition| condition.of_classes(&classes)).collect();
        match options.choice.shuffle {
            Some(seed) => Ok(Box::new(Shuffled::open(Box::new(all), seed, options)?)),
            None => Ok(Box::new(all)),
        }
    }

    fn zip(rows: impl Iterator<Item = Self>, options: &Options) -> Result<Self> {
        let mut all = Self::default();
        for row in rows {
            let pieces = pieces_of(&row, u64::MAX, options.threads)?;
            all.zipped.push(pieces);
            all.push(Box::new(row), '&')?;
        }
        let count = |pieces: &Vec<Piece>| pieces.last().map_or(0, |piece| piece.numbers.end);
        let first = count(&all.zipped[0]);
        for (source, other) in all.sources.iter().zip(all.zipped.iter().map(count)) {
            if other != first {
                let path = source.parts().first().map(|part| part.path.clone()).unwrap_or_default();
                return Err(Error::input(format!(
                    "it has {other} elements, and what it is to stand beside has {first}"
                ))
                .in_file(&path));
            }
        }
        Ok(all)
    }

    fn push(&mut self, source: Box<dyn Source>, between: char) -> Result<()> {
        self.choice.split = self.choice.split.take().or(source.choice().split);
        for (feature, names) in source.classes() {
            let known = self.classes.entry(feature).or_insert_with_key(|_| names.clone());
            if *known != names {
                let place = source.parts().first().map(|part| part.path.clone()).unwrap_or_default();
                return Err(Error::input("its classes are not those of the datasets before it, so that the same number would stand for different things")
                    .in_file(&place)
                    .hint("convert each dataset by itself"));
            }
        }
        let before = if self.formats.is_empty() { 0 } else { self.formats.split(['+', '&']).count() };
        if before > 0 {
            self.formats.push(between);
        }
        self.formats.push_str(source.format());
        self.starts.push(self.parts.len());
        let parts = source.parts().iter();
        self.parts.extend(parts.map(|part| Part { dataset: part.dataset + before, ..part.clone() }));
        self.sources.push(source);
        Ok(())
    }

    /// The source that a part is of, and its number there.
    fn of(&self, part: usize) -> (&dyn Source, usize) {
        let source = self.starts.partition_point(|start| *start <= part) - 1;
        (self.sources[source].as_ref(), part - self.starts[source])
    }

    /// Whether a part is of a source that stands beside the first: its elements are part of those.
    fn is_beside(&self, part: usize) -> bool {
        !self.zipped.is_empty() && part >= self.starts[1]
    }
}

impl Source for Dataset {
    fn format(&self) -> &str {
        &self.formats
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn part_now(&self, part: usize) -> Result<Part> {
        let (source, within) = self.of(part);
        Ok(Part { dataset: self.parts[part].dataset, ..source.part_now(within)? })
    }

    fn classes(&self) -> BTreeMap<String, Vec<String>> {
        self.classes.clone()
    }

    fn rates(&self) -> BTreeMap<String, u64> {
        if !self.zipped.is_empty() {
            return self.sources.iter().flat_map(|source| source.rates()).collect();
        }
        let mut all = self.sources.first().map(|source| source.rates()).unwrap_or_default();
        for source in &self.sources {
            let rates = source.rates();
            all.retain(|feature, rate| rates.get(feature) == Some(rate));
        }
        all
    }

    fn left_out(&self) -> BTreeMap<String, String> {
        self.sources.iter().flat_map(|source| source.left_out()).collect()
    }

    fn view(&self, feature: &str) -> Option<&View> {
        self.sources.iter().find_map(|source| source.view(feature))
    }

    fn promised(&self, feature: &str) -> bool {
        // Of several datasets one after another, one element tells nothing of those of another.
        let mut promises = self.sources.iter().map(|source| source.promised(feature));
        if self.zipped.is_empty() {
            self.sources.len() == 1 && promises.all(|all| all)
        } else {
            promises.any(|one| one)
        }
    }

    fn choice(&self) -> Choice {
        self.choice.clone()
    }

    fn elements_are_files(&self, part: usize) -> bool {
        let (source, within) = self.of(part);
        source.elements_are_files(within)
    }

    fn positions_are_bytes(&self, part: usize) -> bool {
        let (source, within) = self.of(part);
        source.positions_are_bytes(within)
    }

    fn can_skip(&self) -> bool {
        self.zipped.is_empty() && self.sources.iter().all(|source| source.can_skip())
    }

    fn count(&self) -> Result<Option<(u64, &Path)>> {
        if !self.choice.select.is_empty() || self.choice.limit.is_some() {
            return Ok(None);
        }
        let mut all = None;
        // Those that are side by side have as many as the first.
        let following = if self.zipped.is_empty() { self.sources.len() } else { 1 };
        for source in &self.sources[..following] {
            let Some((count, place)) = source.count()? else { return Ok(None) };
            all = Some((all.map_or(0, |(before, _)| before) + count, place));
        }
        Ok(all)
    }

    fn alike(&self, part: usize) -> Option<Alike> {
        let (source, within) = self.of(part);
        source.alike(within).filter(|_| self.conditions.is_empty() && self.zipped.is_empty())
    }

    fn read(&self, part: usize, range: Range<u64>, want: Want) -> Result<Box<dyn Elements + '_>> {
        let (source, within) = self.of(part);
        let elements = match &self.zipped[..] {
            [] => source.read(within, range, want)?,
            _ if self.is_beside(part) => source.read(within, 0..0, want)?,
            pieces => Box::new(Zipped::open(&self.sources, pieces, part, range, want)?),
        };
        if self.conditions.is_empty() {
            return Ok(elements);
        }
        Ok(Box::new(Selected::new(elements, &self.conditions)))
    }

    fn entry(&self, part: usize, position: u64) -> u64 {
        let (source, within) = self.of(part);
        source.entry(within, position)
    }

    fn seekable(&self, part: usize) -> bool {
        let (source, within) = self.of(part);
        source.seekable(within) && !self.is_beside(part)
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let (source, within) = self.of(part);
        source.find_element(within, range)
    }
}
