//! Formats, and nothing else: what a dataset on disk holds, element by element.
//!
//! A [`Source`] has parts, which can be read by themselves and from any element on. A new format is a file of this
//! folder and a line in [`FORMATS`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::decode::View;
use crate::error::{Error, Result};
use crate::value::Element;
pub use input::read_wrong;

pub mod array_record;
pub mod arrow;
mod columns;
pub mod example;
pub mod folder;
mod framing;
pub mod input;
pub mod live;
pub mod npy;
mod payload;
pub mod probe;
mod ragged;
pub mod saved;
mod sequence;
pub mod snappy;
mod split;
pub mod tfds;
pub mod tfrecord;
pub mod webdataset;
pub mod wire;
pub mod zarr;

/// A file of the dataset that can be read by itself, and what tells it from another file put in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Its size on disk.
    pub bytes: u64,
    /// When it was last changed, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// The number of its dataset, where several are read one after another.
    #[serde(skip_serializing_if = "is_first", default)]
    pub dataset: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it like that")]
fn is_first(dataset: &usize) -> bool {
    *dataset == 0
}

impl Part {
    /// The same with its path from the root, as it is saved: one and the same for a file, from wherever it is named. Its own name
    /// stays, also where that is a link: it may tell what it is.
    #[must_use]
    pub fn absolute(&self) -> Self {
        let (parent, name) = (self.path.parent(), self.path.file_name());
        let parent = parent.map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        let real = parent.zip(name).and_then(|(parent, name)| Some(parent.canonicalize().ok()?.join(name)));
        let path = real.or_else(|| std::path::absolute(&self.path).ok());
        Self { path: path.unwrap_or_else(|| self.path.clone()), ..self.clone() }
    }

    /// Looks at a file or a directory: of that, all files in it count, and the last of their changes.
    ///
    /// # Errors
    /// It is not there, or cannot be listed.
    pub(crate) fn whole(path: &Path) -> Result<Self> {
        let mut all = Self::of(path)?;
        if !path.is_dir() {
            return Ok(all);
        }
        all.bytes = 0;
        let failed = |e| Error::io("list", path, e);
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // What a link leads to may lie above.
            let is_directory = entry.file_type().map_err(failed)?.is_dir();
            let one = if is_directory { Self::whole(&entry.path())? } else { Self::of(&entry.path())? };
            all.bytes += one.bytes;
            all.modified_ns = all.modified_ns.max(one.modified_ns);
        }
        Ok(all)
    }

    /// Looks at the file.
    ///
    /// # Errors
    /// There is no such file, or it may not be read.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io("open", path, e))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            path: path.to_path_buf(),
            bytes: metadata.len(),
            modified_ns: modified.map_or(0, |age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
            dataset: 0,
        })
    }
}

/// A dataset of one format.
pub trait Source: Send + Sync {
    /// The format's name, as in [`FORMATS`]; of several datasets, the names with `+` between them.
    fn format(&self) -> &str;

    /// The parts, in the order of the dataset.
    fn parts(&self) -> &[Part];

    /// A part as it is on disk now, to tell whether it has changed.
    ///
    /// # Errors
    /// It is not there any more, or may not be read.
    fn part_now(&self, part: usize) -> Result<Part> {
        Part::of(&self.parts()[part].path)
    }

    /// The names of what numbers stand for, in the order of the numbers, by feature.
    fn classes(&self) -> BTreeMap<String, Vec<String>> {
        BTreeMap::new()
    }

    /// What the dataset has that can be no feature, and why.
    fn left_out(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Samples a second, of features that the dataset says are sounds of one rate.
    fn rates(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// How a feature is seen by what the dataset says of it, where nothing else is asked.
    fn view(&self, _feature: &str) -> Option<&View> {
        None
    }

    /// Whether all elements have this feature, and are alike in it but for its values: then what one has tells of all.
    fn promised(&self, _feature: &str) -> bool {
        false
    }

    /// Which of the dataset's elements these are. Where it has splits, it says which.
    fn choice(&self) -> Choice {
        Choice::default()
    }

    /// Whether each element of a part is a file of its own, so that its position there tells people nothing.
    fn elements_are_files(&self, _part: usize) -> bool {
        false
    }

    /// Whether a position in a part is a byte of its file, that people can look at.
    fn positions_are_bytes(&self, part: usize) -> bool {
        !self.elements_are_files(part)
    }

    /// Bytes of memory that it holds besides what is read, for all threads.
    fn held(&self) -> u64 {
        0
    }

    /// Whether elements can be left out that are bad. Not, where the others would be in other places then.
    fn can_skip(&self) -> bool {
        true
    }

    /// How many elements the dataset says that it has, and which file says so.
    ///
    /// # Errors
    /// It says that it is not complete.
    fn count(&self) -> Result<Option<(u64, &Path)>> {
        Ok(None)
    }

    /// What is known of a part whose elements are alike in all but their values, so that one tells of all.
    fn alike(&self, _part: usize) -> Option<Alike> {
        None
    }

    /// The elements of a part that start in `range`, a range of positions: byte offsets, in the decoded stream where the
    /// part is compressed. The range must start at the start of an element (0 always is one).
    ///
    /// # Errors
    /// The file cannot be opened.
    fn read(&self, part: usize, range: Range<u64>, want: Want) -> Result<Box<dyn Elements + '_>>;

    /// Whether a part can be entered in many places. Otherwise all that comes before is read, too.
    fn seekable(&self, part: usize) -> bool;

    /// Where reading begins that is to give what is at a position: there, where that costs nothing more.
    fn entry(&self, part: usize, position: u64) -> u64 {
        if self.seekable(part) { position } else { 0 }
    }

    /// The first position in `range` where an element seems to start, of a seekable part. It may be wrong: a payload
    /// can hold what looks like a record. Whoever asks must check that the elements before end there.
    ///
    /// # Errors
    /// The file cannot be read.
    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>>;
}

/// Says where in a part an error is: in its file, and at the byte, where positions are such.
pub(crate) fn at_position(source: &dyn Source, part: usize, position: u64, error: Error) -> Error {
    let error = error.in_file(&source.parts()[part].path);
    if source.positions_are_bytes(part) { error.at_byte(position) } else { error }
}

/// A part whose elements differ in nothing but the numbers that they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alike {
    /// How many there are.
    pub elements: u64,
    /// How far apart their positions are. The first has position 0.
    pub step: u64,
    /// Whether nothing can be wrong with any of them.
    pub sound: bool,
}

impl Alike {
    /// The position of the first element in a range of positions.
    #[must_use]
    pub fn first_in(self, range: &Range<u64>) -> Option<u64> {
        let position = range.start.next_multiple_of(self.step);
        (position < range.end && position / self.step < self.elements).then_some(position)
    }
}

/// The format that keeps as byte strings what this one takes for Examples; none of what is in no file.
pub(crate) fn raw_format(format: &str) -> Option<&'static str> {
    let raw = if format == array_record::ArrayRecord.name() { "array_record-raw" } else { "tfrecord-raw" };
    (format != live::LIVE).then_some(raw)
}

/// Names the file where each element is one: what is noticed once all are read is known by its folder and by its position
/// there.
pub(crate) fn name_file(source: &dyn Source, error: Error) -> Error {
    let place = error.place();
    let part = source.parts().iter().position(|part| place.file.as_ref() == Some(&part.path));
    let (Some(part), Some(position)) = (part, place.byte) else { return error };
    if source.positions_are_bytes(part) {
        return error;
    }
    let files = source.elements_are_files(part);
    let elements = if files { source.read(part, position..u64::MAX, Want::Heads).ok() } else { None };
    let file = elements.and_then(|mut elements| {
        let element = elements.next().ok().flatten()?;
        element.file().map(Path::to_path_buf)
    });
    error.in_listed_file(file.as_deref())
}

/// Whether parts of a dataset can be read without the others: see [`Format::separable`].
pub(crate) fn separable(format: &str, choice: &Choice) -> bool {
    let whole = choice.split.is_none() && choice.shuffle.is_none() && choice.rows.is_none();
    whole && FORMATS.iter().any(|known| known.name() == format && known.separable())
}

/// How much is wanted of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// All of them.
    Whole,
    /// Of an image or a sound, no more than tells its size, where a format can read so much alone.
    Heads,
}

/// The elements of a part, one after another.
pub trait Elements: Send {
    /// The next element, borrowed until the next call.
    ///
    /// # Errors
    /// After an error of kind [`Input`](crate::error::ErrorKind::Input) the next call goes on with the next element that can
    /// be found. After any other error there is nothing more to be had.
    fn next(&mut self) -> Result<Option<Element<'_>>>;

    /// The next elements, at least one and at most so many, as one whose fields hold the items of all: see
    /// [`Element::count`]. More than one is for parts whose elements are [alike](Source::alike).
    ///
    /// # Errors
    /// As [`next`](Self::next).
    fn next_run(&mut self, _most: u64) -> Result<Option<Element<'_>>> {
        self.next()
    }

    /// Passes over the next element. It need not be checked.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    fn skip(&mut self) -> Result<bool> {
        Ok(self.next()?.is_some())
    }

    /// Where the next element starts: after the last one, or after what was lost to damage.
    fn position(&self) -> u64;

    /// Bytes that it has held at a time, at most, besides the elements that it gave.
    fn held(&self) -> u64 {
        0
    }

    /// How many bytes of the file were read to get there, about: how far a pass over it is.
    fn consumed(&self) -> u64 {
        self.position()
    }
}

/// How likely a file is of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not.
    No,
    /// It is.
    Yes,
}

/// A way to store datasets.
pub trait Format: Sync {
    /// The name, for `--from`.
    fn name(&self) -> &'static str;

    /// What it is, in a line.
    fn about(&self) -> &'static str;

    /// Whether a file of this beginning is of this format. A format that only fits when asked for says no.
    fn probe(&self, seen: &probe::Evidence<'_>) -> Verdict;

    /// Whether a directory as a whole is a part of this format, and not the files in it.
    fn takes(&self, _directory: &Path) -> bool {
        false
    }

    /// Whether such a directory is a dataset by itself, that has nothing to do with one beside it.
    fn stands_alone(&self) -> bool {
        false
    }

    /// Whether some of the parts, with the first of all before them, can be opened without the others, and are read as among them.
    fn separable(&self) -> bool {
        false
    }

    /// Opens the parts.
    ///
    /// # Errors
    /// A part is not of this format.
    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>>;
}

/// What a source must know of its caller.
#[derive(Clone, Debug)]
pub struct Options {
    /// The largest record that will be held in memory, in bytes.
    pub largest_record: u64,
    /// Which elements are wanted.
    pub choice: Choice,
    /// Datasets that stand beside it, element for element.
    pub zip: Vec<PathBuf>,
    /// Bytes of memory that may be taken to bring elements into another order.
    pub memory: u64,
    /// Threads that may do so.
    pub threads: usize,
    /// The features that will be looked at, if not all: a format that keeps features apart need not read the others.
    pub features: Option<BTreeSet<String>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            largest_record: 1 << 40,
            choice: Choice::default(),
            zip: Vec::new(),
            memory: 1 << 30,
            threads: 1,
            features: None,
        }
    }
}

/// Which elements of a dataset are wanted: all, where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Of a dataset that has splits, those of these, or of parts of them: `train`, `train[:10%]`, `train+test`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub split: Option<String>,
    /// Those that meet all of these conditions, such as `label < 10` or `len(tokens) <= 512`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub select: Vec<String>,
    /// No more than so many of them: the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
    /// Those, in a random order that is drawn by this seed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shuffle: Option<u64>,
    /// Of that order, the rows from the first of these numbers up to the second, without it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<[u64; 2]>,
}

/// All formats, the most specific first.
pub const FORMATS: &[&dyn Format] = &[
    &tfds::Tfds,
    &saved::Saved,
    &tfrecord::ExampleFormat,
    &tfrecord::RawFormat,
    &array_record::ArrayRecord,
    &array_record::RawArrayRecord,
    &folder::ImageFolder,
    &folder::AudioFolder,
    &zarr::Zarr,
    &npy::Npy,
    &npy::npz::Npz,
    &npy::NpyFiles,
    &webdataset::WebDataset,
    &webdataset::RawWebDataset,
    &arrow::HuggingFace,
    &arrow::Arrow,
    &arrow::Parquet,
];
