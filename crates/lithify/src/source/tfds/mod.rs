//! Directories that TensorFlow Datasets has written: `dataset_info.json` says in which files the elements of each split are,
//! `features.json` what they hold, and `*.labels.txt` what the numbers of classes stand for.
//!
//! Elements come in the order of the files; TFDS itself mixes files while it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::array_record::ArrayRecords;
use super::payload::{Payload, RecordSource};
use super::probe::{Evidence, shown_in};
use super::tfrecord::TfRecords;
use super::{Choice, Elements, Format, Options, Part, Source, Verdict, Want, split};
use crate::decode::View;
use crate::error::{Error, Result, printable};

mod features;
mod info;
pub(super) mod schema;

use schema::Schema;

/// The name of the file that declares features.
const FEATURES: &str = "features.json";
/// How many directories lie between a dataset's and that of a version: one for a configuration.
const DEPTH: usize = 2;
/// Entries of a directory that are looked at to tell whether a dataset is in it.
const LOOKS: usize = 64;

/// Directories of TensorFlow Datasets.
pub struct Tfds;

impl Format for Tfds {
    fn name(&self) -> &'static str {
        "tfds"
    }

    fn about(&self) -> &'static str {
        "directories of TensorFlow Datasets"
    }

    fn probe(&self, _: &Evidence<'_>) -> Verdict {
        Verdict::No
    }

    fn takes(&self, directory: &Path) -> bool {
        !versions_in(directory, DEPTH).is_empty()
    }

    fn stands_alone(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let directory = one_directory(&parts)?;
        let (format, splits) = info::splits_of(&directory)?;
        let split = options.choice.split.clone().unwrap_or_else(|| split::all(&splits));
        let wanted = split::kept(&split, &splits)?;
        let parts = wanted.iter().map(|kept| Part::of(kept.path).map_err(|e| missing(e, &directory)));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let schema = Schema::read(&directory, FEATURES)?;
        let mut elements = 0_u64;
        let (views, classes, promised) = (schema.views.clone(), schema.classes.clone(), schema.promised());
        let rates = schema.rates.clone();
        let payload = Payload::Declared(schema);
        let mut records: Box<dyn RecordSource> = match format {
            info::ARRAY_RECORD => Box::new(ArrayRecords::open(parts, payload, options)?),
            _ => Box::new(TfRecords::open(parts, payload, options)?),
        };
        for (number, kept) in wanted.into_iter().enumerate() {
            elements = elements.saturating_add(kept.range.end - kept.range.start);
            if kept.range != (0..kept.all) {
                records.keep(number, kept.range)?;
            }
        }
        Ok(Box::new(Dataset {
            records,
            views,
            classes,
            rates,
            promised,
            elements,
            split,
            info: directory.join(info::FILE),
        }))
    }
}

fn missing(error: Error, directory: &Path) -> Error {
    error.hint(format!("`{}` names it in `{}`", info::FILE, printable(directory)))
}

/// The directory of a version: the one that is given, the only one in it, or the one that the given files are in.
fn one_directory(parts: &[Part]) -> Result<PathBuf> {
    let mut found = Vec::new();
    for part in parts {
        let path = &part.path;
        let directories = match path.is_dir() {
            true => versions_in(path, DEPTH),
            false => vec![path.parent().map(Path::to_path_buf).unwrap_or_default()],
        };
        if directories.is_empty() {
            let message = format!("there is no `{}` with a `{FEATURES}` in it", info::FILE);
            return Err(Error::input(message).in_file(path));
        }
        found.extend(directories);
    }
    found.dedup();
    if let [one] = &found[..] {
        return Ok(one.clone());
    }
    let names: Vec<_> = found.iter().map(|path| format!("`{}`", printable(path))).collect();
    Err(Error::request("there are several datasets, or versions of one")
        .hint(format!("name one of {}", names.join(", "))))
}

/// The directories of versions that a directory is or holds. Only directories that hold nothing else are looked into.
fn versions_in(directory: &Path, depth: usize) -> Vec<PathBuf> {
    if [FEATURES, info::FILE].iter().all(|name| directory.join(name).is_file()) {
        return vec![directory.to_path_buf()];
    }
    let mut inside: Vec<_> = shown_in(directory).take(LOOKS).collect();
    if depth == 0 || !inside.iter().all(|path| path.is_dir()) {
        return Vec::new();
    }
    inside.sort();
    inside.iter().flat_map(|path| versions_in(path, depth - 1)).collect()
}

/// The chosen elements of a dataset.
struct Dataset {
    records: Box<dyn RecordSource>,
    views: BTreeMap<String, View>,
    classes: BTreeMap<String, Vec<String>>,
    rates: BTreeMap<String, u64>,
    /// The features in which elements are alike but for their values.
    promised: BTreeSet<String>,
    elements: u64,
    split: String,
    /// What says how many elements there are.
    info: PathBuf,
}

impl Source for Dataset {
    fn format(&self) -> &'static str {
        Tfds.name()
    }

    fn parts(&self) -> &[Part] {
        self.records.parts()
    }

    fn classes(&self) -> BTreeMap<String, Vec<String>> {
        self.classes.clone()
    }

    fn rates(&self) -> BTreeMap<String, u64> {
        self.rates.clone()
    }

    fn view(&self, feature: &str) -> Option<&View> {
        self.views.get(feature)
    }

    fn promised(&self, feature: &str) -> bool {
        self.promised.contains(feature)
    }

    fn count(&self) -> Result<Option<(u64, &Path)>> {
        Ok(Some((self.elements, &self.info)))
    }

    fn choice(&self) -> Choice {
        Choice { split: Some(self.split.clone()), ..Choice::default() }
    }

    fn seekable(&self, part: usize) -> bool {
        self.records.seekable(part)
    }

    fn read(&self, part: usize, range: Range<u64>, want: Want) -> Result<Box<dyn Elements + '_>> {
        self.records.read(part, range, want)
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        self.records.find_element(part, range)
    }
}
