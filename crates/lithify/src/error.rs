//! The one error: whose fault it is, where it happened, and what to do about it.

use std::fmt;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an [`Error`] is, which decides what a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The dataset holds something that is damaged or is not what it should be.
    Input,
    /// The request cannot be understood, or does not fit the dataset.
    Request,
    /// The request is sound, but this machine lacks the disk or the memory.
    Resources,
    /// The operating system refused to read or write.
    Io,
    /// The output exists, is in use, or does not match its checksums.
    Output,
    /// The caller asked to stop.
    Interrupted,
}

/// What of a dataset damage has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lost {
    /// One element.
    #[default]
    Element,
    /// A stretch of a file, and nobody knows how many elements stood there.
    Stretch,
}

/// Where in the dataset something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<PathBuf>,
    /// The element's number in the dataset, from 0.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub element: Option<u64>,
    /// The byte offset in the file (in its decoded stream, where it is compressed).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub byte: Option<u64>,
    /// The feature.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub feature: Option<String>,
}

/// Something to be asked for otherwise, so that what was refused can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Words of the notation, of the feature that the error names, instead of those that they contradict; what stands after `-` is not
    /// said any more.
    Words(String),
    /// The same of a feature that the error does not name.
    WordsOf(String, String),
    /// Words by which the feature is read in another way: what is in it then is not known.
    View(&'static str),
    /// Of the feature that is said by this name, all of this instead.
    Spec(String, String),
    /// A flag and its value; without one, it is left out.
    Flag(&'static str, Option<String>),
    /// A directory as the output.
    Directory,
    /// A Zarr store as the output.
    Zarr,
}

/// What would be done if it were asked for so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy {
    /// All that is said of features then, each in the notation; nothing if that stays as it is.
    pub features: Vec<String>,
    /// Flags and their values, instead of those that were given; one without a value is left out.
    pub flags: Vec<(&'static str, Option<String>)>,
    /// Whether it was planned with. Else what was found in the dataset does not tell: that was not looked for.
    pub sure: bool,
}

impl Remedy {
    /// What is said before it: what it is known to do.
    #[must_use]
    pub fn promise(&self) -> &'static str {
        if self.sure { "this would work" } else { "perhaps" }
    }
}

/// What went wrong, where, and what would help.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Place,
    hints: Vec<String>,
    changes: Vec<Change>,
    remedy: Option<Remedy>,
    lost: Lost,
    source: Option<std::io::Error>,
}

impl Error {
    /// An error of this kind that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            place: Place::default(),
            hints: Vec::new(),
            changes: Vec::new(),
            remedy: None,
            lost: Lost::Element,
            source: None,
        }))
    }

    /// The dataset is damaged.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// The request cannot be met as it stands.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, message)
    }

    /// The operating system failed to `action` the file at `path`.
    #[must_use]
    pub fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, format!("cannot {action} `{}`: {source}", printable(path)));
        let hint = match source.kind() {
            IoErrorKind::FileTooLarge => {
                "`ulimit -f` shows the largest file that is allowed here, if the file system itself allows it"
            }
            IoErrorKind::QuotaExceeded => "free some of your quota, or give another output",
            _ => "",
        };
        error.0.source = Some(source);
        if hint.is_empty() { error } else { error.hint(hint) }
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Adds what may be asked for instead: the best comes first.
    #[must_use]
    pub(crate) fn instead(mut self, change: Change) -> Self {
        self.0.changes.push(change);
        self
    }

    /// The same of the feature that the error names, in words of the notation.
    #[must_use]
    pub(crate) fn words(self, words: impl Into<String>) -> Self {
        self.instead(Change::Words(words.into()))
    }

    /// What may be asked for instead.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.0.changes
    }

    /// Says what would be done.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: Option<Remedy>) -> Self {
        self.0.remedy = remedy;
        self
    }

    /// Says that more than one element may be lost by it.
    #[must_use]
    pub fn loses_a_stretch(mut self) -> Self {
        self.0.lost = Lost::Stretch;
        self
    }

    /// Names the file, unless it is named already.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.0.place.file.get_or_insert_with(|| path.to_path_buf());
        self
    }

    /// Names the element, unless it is named already.
    #[must_use]
    pub fn at_element(mut self, element: u64) -> Self {
        self.0.place.element.get_or_insert(element);
        self
    }

    /// Names the byte, unless it is named already.
    #[must_use]
    pub fn at_byte(mut self, byte: u64) -> Self {
        self.0.place.byte.get_or_insert(byte);
        self
    }

    /// Names the feature, unless it is named already.
    #[must_use]
    pub fn in_feature(mut self, name: &str) -> Self {
        self.0.place.feature.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Names what a place names, unless it is named already.
    #[must_use]
    pub fn at_place(mut self, place: &Place) -> Self {
        let mine = &mut self.0.place;
        mine.file = mine.file.take().or_else(|| place.file.clone());
        mine.element = mine.element.or(place.element);
        mine.byte = mine.byte.or(place.byte);
        mine.feature = mine.feature.take().or_else(|| place.feature.clone());
        self
    }

    /// Names a file instead of a place in a list of files.
    #[must_use]
    pub(crate) fn in_listed_file(mut self, path: Option<&Path>) -> Self {
        self.0.place.byte = None;
        if let Some(path) = path {
            self.0.place.file = Some(path.to_path_buf());
        }
        self
    }

    /// Counts the element's number from the start of the dataset, once it is known how many came before.
    #[must_use]
    pub(crate) fn after_elements(mut self, before: u64) -> Self {
        if let Some(element) = &mut self.0.place.element {
            *element += before;
        }
        self
    }

    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong, without the place and the hints.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What is lost by it, if it is left out.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.0.lost
    }

    /// Where it happened, as far as it is known.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What can be asked for instead, and would be done, where such was found.
    #[must_use]
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.remedy.as_ref()
    }

    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(file) = &self.file {
            write!(f, "`{}`", printable(file))?;
            separator = ", ";
        }
        if let Some(element) = self.element {
            write!(f, "{separator}element {element}")?;
            separator = ", ";
        }
        if let Some(byte) = self.byte {
            write!(f, "{separator}byte {byte}")?;
            separator = ", ";
        }
        if let Some(feature) = &self.feature {
            write!(f, "{separator}feature `{}`", readable(feature))?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.0.place.to_string();
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

/// A path as it can be printed: control characters, which a file name may hold, are escaped.
pub(crate) fn printable(path: &Path) -> String {
    readable(&path.to_string_lossy())
}

/// A name as it can be printed.
pub(crate) fn readable(name: &str) -> String {
    if name.chars().any(char::is_control) { name.escape_debug().to_string() } else { name.to_owned() }
}

/// The name that a mistyped one was most likely meant to be, if there is one.
pub(crate) fn nearest<S: AsRef<str>>(name: &str, names: impl IntoIterator<Item = S>) -> Option<S> {
    let found = names.into_iter().min_by_key(|other| distance(other.as_ref(), name))?;
    let near = found.as_ref();
    let most = (name.chars().count() / 2).min(3);
    let letters = |name: &str| {
        let mut letters: Vec<char> = name.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    // Letters in another order, or in the other case, are a slip, too.
    (distance(near, name) <= most || letters(near) == letters(name)).then_some(found)
}

/// How many letters must be changed to make one name of another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
