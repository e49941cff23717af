//! What the user names, as one source: datasets one after another, and of their elements those that are wanted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::decode::View;
use crate::error::{Error, Result};
use crate::source::probe::{self, Found};
use crate::source::{Alike, Choice, Elements, Options, Part, Source, Want};

mod condition;
mod permutation;
mod portions;
mod select;
mod shuffle;

use condition::Condition;
pub use portions::Portion;
use select::Selected;
use shuffle::Shuffled;

/// Opens the datasets that `inputs` name: files, directories, or globs, one after another in this order; the files of a
/// directory or glob sorted by name. Formats are found by content, unless `from` names the one of all.
///
/// # Errors
/// Nothing is there, or it is of no known format; or datasets do not go together.
pub fn open(inputs: &[PathBuf], from: Option<&str>, options: &Options) -> Result<Box<dyn Source>> {
    Dataset::open(probe::find(inputs, from)?, options)
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
    let mut found = Vec::new();
    for (paths, format) in by_dataset.values().zip(formats.split('+')) {
        found.extend(probe::find(paths, Some(format))?);
    }
    Dataset::open(found, options)
}

/// Datasets one after another.
struct Dataset {
    datasets: Vec<Box<dyn Source>>,
    parts: Vec<Part>,
    /// The number of the first part of each dataset.
    starts: Vec<usize>,
    formats: String,
    classes: BTreeMap<String, Vec<String>>,
    choice: Choice,
    conditions: Vec<Condition>,
}

impl Dataset {
    fn open(found: Vec<Found>, options: &Options) -> Result<Box<dyn Source>> {
        let mut all = Self {
            datasets: Vec::new(),
            parts: Vec::new(),
            starts: Vec::new(),
            formats: String::new(),
            classes: BTreeMap::new(),
            choice: options.choice.clone(),
            conditions: options.choice.select.iter().map(|text| text.parse()).collect::<Result<_>>()?,
        };
        let features = options.features.clone().map(|mut features| {
            features.extend(all.conditions.iter().map(|condition| condition.feature.clone()));
            features
        });
        let options = &Options { features, ..options.clone() };
        for Found { format, parts } in found {
            all.push(format.open(parts, options)?, options)?;
        }
        match options.choice.shuffle {
            Some(seed) => Ok(Box::new(Shuffled::open(Box::new(all), seed, options)?)),
            None => Ok(Box::new(all)),
        }
    }

    fn push(&mut self, source: Box<dyn Source>, options: &Options) -> Result<()> {
        if let (Some(split), None) = (&options.choice.split, &source.choice().split) {
            return Err(Error::request(format!("`{split}` is no split of it: the dataset has none"))
                .hint("splits are those of directories that TensorFlow Datasets or Hugging Face's datasets have written"));
        }
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
        if !self.formats.is_empty() {
            self.formats.push('+');
        }
        self.formats.push_str(source.format());
        self.starts.push(self.parts.len());
        let dataset = self.datasets.len();
        self.parts.extend(source.parts().iter().map(|part| Part { dataset, ..part.clone() }));
        self.datasets.push(source);
        Ok(())
    }

    /// The dataset that a part is of, and its number there.
    fn of(&self, part: usize) -> (&dyn Source, usize) {
        let dataset = self.parts[part].dataset;
        (self.datasets[dataset].as_ref(), part - self.starts[dataset])
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
        let mut all = self.datasets.iter().map(|source| source.rates());
        let first = all.next().unwrap_or_default();
        // What all of them say, and say alike.
        all.fold(first, |mut rates, others| {
            rates.retain(|feature, rate| others.get(feature) == Some(rate));
            rates
        })
    }

    fn left_out(&self) -> BTreeMap<String, String> {
        self.datasets.iter().flat_map(|source| source.left_out()).collect()
    }

    fn view(&self, feature: &str) -> Option<&View> {
        self.datasets.iter().find_map(|source| source.view(feature))
    }

    fn promised(&self, feature: &str) -> bool {
        // Of several datasets, one element tells nothing of those of another.
        self.datasets.len() == 1 && self.datasets[0].promised(feature)
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

    fn count(&self) -> Result<Option<(u64, &Path)>> {
        if !self.choice.select.is_empty() || self.choice.limit.is_some() {
            return Ok(None);
        }
        let mut all = None;
        for source in &self.datasets {
            let Some((count, place)) = source.count()? else { return Ok(None) };
            all = Some((all.map_or(0, |(before, _)| before) + count, place));
        }
        Ok(all)
    }

    fn alike(&self, part: usize) -> Option<Alike> {
        let (source, within) = self.of(part);
        source.alike(within).filter(|_| self.conditions.is_empty())
    }

    fn read(&self, part: usize, range: Range<u64>, want: Want) -> Result<Box<dyn Elements + '_>> {
        let (source, within) = self.of(part);
        let elements = source.read(within, range, want)?;
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
        source.seekable(within)
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let (source, within) = self.of(part);
        source.find_element(within, range)
    }
}
