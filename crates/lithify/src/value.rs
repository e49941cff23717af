//! What elements are made of: dtypes, and features borrowed from the bytes they were read from.
//!
//! Numbers stay as they were stored until a row takes them: a [`List`] is a slice of the record, not a vector.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use dtype::DType;
pub(crate) use items::{advance, fill};
pub use kept::Kept;

mod dtype;
mod items;
mod kept;

/// The sizes of an element's axes. Up to four stand in place, so that looking at an element allocates nothing.
pub type Shape = smallvec::SmallVec<[u64; 4]>;

/// What a feature is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    /// A list of byte strings.
    Bytes,
    /// A list of 32-bit floats.
    Float,
    /// A list of 64-bit integers.
    Int64,
    /// Items of a dtype, one after another.
    Items(DType),
}

impl Kind {
    const NAMED: [(Self, &str); 3] = [(Self::Bytes, "bytes"), (Self::Float, "float"), (Self::Int64, "int64")];

    /// Whether values of both are of one dtype, however they are stored.
    #[must_use]
    pub fn alike(self, other: Self) -> bool {
        self.dtype() == other.dtype()
    }

    /// The dtype that its values have by themselves; `None` for byte strings.
    #[must_use]
    pub fn dtype(self) -> Option<DType> {
        match self {
            Self::Bytes => None,
            Self::Float => Some(DType::Float32),
            Self::Int64 => Some(DType::Int64),
            Self::Items(dtype) => Some(dtype),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Self::NAMED.iter().find(|named| named.0 == *self)) {
            (Self::Items(dtype), _) => dtype.fmt(f),
            (_, named) => f.write_str(named.map_or("", |named| named.1)),
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let named = Self::NAMED.iter().find(|named| named.1 == text);
        named.map_or_else(|| text.parse().map(Self::Items), |named| Ok(named.0))
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.to_string()
    }
}

/// One feature of an element, as ranges of the element's bytes.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where the name is, among the names.
    pub name: Range<usize>,
    /// What the feature is stored as; `None` where it is named but holds nothing, which means that it is missing.
    pub kind: Option<Kind>,
    /// Where the list is.
    pub body: Range<usize>,
    /// How it lies there.
    pub form: Form,
    /// Where its shape is, among the element's sizes; `None` for a list, whose one size is how many values it has. The
    /// product of the shape is that number.
    pub shape: Option<Range<usize>>,
}

impl Field {
    /// A list of the element's bytes, as it lies on the wire.
    #[must_use]
    pub fn list(name: Range<usize>, kind: Option<Kind>, body: Range<usize>) -> Self {
        Self { name, kind, body, form: Form::Message, shape: None }
    }

    /// One byte string of the element's bytes.
    #[must_use]
    pub fn string(name: Range<usize>, body: Range<usize>) -> Self {
        let form = Form::String { unread: 0 };
        Self { name, kind: Some(Kind::Bytes), body, form, shape: None }
    }

    /// Its list, in these bytes of its element; `None` where it holds nothing.
    #[must_use]
    pub(crate) fn list_in<'a>(&self, bytes: &'a [u8]) -> Option<List<'a>> {
        let body = &bytes[self.body.clone()];
        self.kind.map(|kind| List { kind, body, lies: Lies::In(self.form), shape: None })
    }
}

/// How a list lies in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As a protobuf message, whose repeated field number 1 holds the values.
    Message,
    /// The same, of numbers that are of this dtype, though messages have no such numbers.
    As(DType),
    /// As a protobuf message, whose repeated field number 1 holds features. Their lists follow one another.
    Steps,
    /// As the one byte string that it consists of; of which so many more bytes, at its end, were not read: see
    /// [`Want::Heads`](crate::source::Want::Heads).
    String {
        /// How many.
        unread: u64,
    },
    /// As items one after another, of the dtype that the kind names.
    Items {
        /// Whether each item's most significant byte comes first.
        big_endian: bool,
    },
}

/// One item of a dataset, borrowed from the buffer it was read into.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    bytes: &'a [u8],
    names: &'a [u8],
    fields: &'a [Field],
    sizes: &'a [u64],
    /// Bytes that it takes where it is stored, if those are not `bytes`.
    stored: Option<u64>,
    count: u64,
    position: u64,
    /// The file that it is, where each element is one.
    file: Option<&'a Path>,
}

impl<'a> Element<'a> {
    /// An element whose `fields` are ranges of `bytes`; `position` is where it starts in its part.
    #[must_use]
    pub fn new(bytes: &'a [u8], fields: &'a [Field], position: u64) -> Self {
        Self::named(bytes, bytes, fields, position)
    }

    /// The same with names that are ranges of `names`.
    #[must_use]
    pub fn named(bytes: &'a [u8], names: &'a [u8], fields: &'a [Field], position: u64) -> Self {
        Self { bytes, names, fields, sizes: &[], stored: None, count: 1, position, file: None }
    }

    /// The same whose fields have shapes that are ranges of `sizes`.
    #[must_use]
    pub fn with_sizes(self, sizes: &'a [u64]) -> Self {
        Self { sizes, ..self }
    }

    /// The same, which takes so many bytes where it is stored: not those that its fields are ranges of.
    #[must_use]
    pub fn with_stored(self, bytes: u64) -> Self {
        Self { stored: Some(bytes), ..self }
    }

    /// The same at another position.
    #[must_use]
    pub fn at(self, position: u64) -> Self {
        Self { position, ..self }
    }

    /// The same as the content of a file.
    #[must_use]
    pub fn of_file(self, file: &'a Path) -> Self {
        Self { file: Some(file), ..self }
    }

    /// The same as a run of so many elements that are alike: the items of all of them follow one another in each field, whose
    /// shape is that of one.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { count, ..self }
    }

    /// How many elements it stands for: 1, unless a [run](crate::source::Elements::next_run) was asked for.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The file that it is, where each element is one.
    #[must_use]
    pub fn file(&self) -> Option<&'a Path> {
        self.file
    }

    /// Where it starts in its part, in (decoded) bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Its size as stored, in bytes; those that were not read count, too.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let unread = self.fields.iter().map(|field| match field.form {
            Form::String { unread } => unread,
            Form::Message | Form::As(_) | Form::Steps | Form::Items { .. } => 0,
        });
        unread.sum::<u64>() + self.stored.unwrap_or(self.bytes.len() as u64)
    }

    /// The number of its features.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no features.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The name of the feature stored at place `at`.
    #[must_use]
    pub fn name(&self, at: usize) -> &'a [u8] {
        &self.names[self.fields[at].name.clone()]
    }

    /// The list of the feature stored at place `at`, or `None` where it is named but holds nothing.
    #[must_use]
    pub fn list(&self, at: usize) -> Option<List<'a>> {
        let field = &self.fields[at];
        let shape = field.shape.clone().map(|shape| &self.sizes[shape]);
        field.list_in(self.bytes).map(|list| List { shape, ..list })
    }
}

/// Finds features by name, element after element.
///
/// Elements may store features in any order, but most often it is that of the element before: the name seen at a place
/// is tried first.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    names: Vec<Vec<u8>>,
    by_name: HashMap<Vec<u8>, usize>,
    /// For each place, the slot that was there in the last element.
    expected: Vec<usize>,
    /// For each slot, the place in this element, from 1; 0 where it is missing.
    places: Vec<u32>,
}

impl Slots {
    /// Slots for these features, in this order.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut slots = Self::default();
        for name in names {
            slots.add(name.as_bytes());
        }
        slots
    }

    fn add(&mut self, name: &[u8]) -> usize {
        let slot = self.names.len();
        self.names.push(name.to_vec());
        self.by_name.insert(name.to_vec(), slot);
        self.places.push(0);
        slot
    }

    /// Where this element has each feature. Features without a slot are passed over, or get one of their own if
    /// `discover` allows their name. Where a name comes twice the later one counts, as in every protobuf map.
    ///
    /// # Errors
    /// What `discover` says.
    pub fn find<E>(
        &mut self,
        element: &Element<'_>,
        mut discover: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.places.fill(0);
        for place in 0..element.len() {
            let name = element.name(place);
            let slot = match self.expected.get(place) {
                Some(&slot) if self.names.get(slot).is_some_and(|expected| expected == name) => slot,
                _ => match self.by_name.get(name) {
                    Some(&slot) => slot,
                    None if discover(name)? => self.add(name),
                    None => continue,
                },
            };
            if self.expected.len() <= place {
                self.expected.resize(place + 1, usize::MAX);
            }
            self.expected[place] = slot;
            let there = u32::try_from(place + 1).unwrap_or(u32::MAX);
            self.places[slot] = if element.list(place).is_some() { there } else { 0 };
        }
        Ok(())
    }

    /// The slot of a feature.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.by_name.get(name.as_bytes()).copied()
    }

    /// The list in a slot, of the element that was looked through last.
    #[must_use]
    pub fn list<'a>(&self, slot: usize, element: &Element<'a>) -> Option<List<'a>> {
        match self.places[slot] {
            0 => None,
            place => element.list(place as usize - 1),
        }
    }

    /// The list of a feature by name.
    #[must_use]
    pub fn named<'a>(&self, name: &str, element: &Element<'a>) -> Option<List<'a>> {
        self.list(self.slot(name)?, element)
    }
}

/// A list of values as it lies in a record.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// What the values are.
    pub kind: Kind,
    body: &'a [u8],
    lies: Lies,
    shape: Option<&'a [u64]>,
}

#[derive(Clone, Copy, Debug)]
enum Lies {
    In(Form),
    /// In the repeated field of this number of a message.
    InField(u32),
}

/// A list's bytes are not what they should be, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadList(pub &'static str);

impl<'a> List<'a> {
    /// The values of the repeated field numbered `field` of the message `body`.
    #[must_use]
    pub fn of_field(kind: Kind, body: &'a [u8], field: u32) -> Self {
        Self { kind, body, lies: Lies::InField(field), shape: None }
    }

    /// What its values are; `None` for byte strings.
    #[must_use]
    pub fn dtype(&self) -> Option<DType> {
        if let Lies::In(Form::As(dtype)) = self.lies { Some(dtype) } else { self.kind.dtype() }
    }

    /// Its shape, where that is more than how many values there are.
    #[must_use]
    pub fn shape(&self) -> Option<&'a [u64]> {
        self.shape
    }

    /// Bytes that its one byte string has beyond those that are here.
    #[must_use]
    pub fn unread(&self) -> u64 {
        if let Lies::In(Form::String { unread }) = self.lies { unread } else { 0 }
    }

    /// Its items, where it consists of such; and whether each item's most significant byte comes first.
    #[must_use]
    pub fn items(&self) -> Option<(&'a [u8], bool)> {
        if let Lies::In(Form::Items { big_endian }) = self.lies {
            Some((self.body, big_endian))
        } else {
            None
        }
    }

    /// The list cut into slices of encoded values: packed runs and single values of numbers (little-endian floats,
    /// varints, items), one slice a value for bytes.
    #[must_use]
    pub fn runs(&self) -> Runs<'a> {
        let (field, whole) = match self.lies {
            Lies::In(Form::Message | Form::As(_)) => (1, false),
            Lies::In(Form::Steps) => {
                return Runs { kind: self.kind, field: 1, rest: &[], whole: false, steps: self.body };
            }
            Lies::InField(field) => (field, false),
            Lies::In(Form::String { .. } | Form::Items { .. }) => (0, true),
        };
        Runs { kind: self.kind, field, rest: self.body, whole, steps: &[] }
    }

    /// The number of values.
    ///
    /// # Errors
    /// The list is cut short or holds something else.
    pub fn count(&self) -> Result<u64, BadList> {
        let mut count = 0;
        for run in self.runs() {
            let run = run?;
            count += match self.kind {
                Kind::Bytes => 1,
                Kind::Float => run.len() / 4,
                Kind::Int64 => crate::source::wire::count_varints(run),
                Kind::Items(dtype) => run.len() / dtype.size().max(1),
            };
        }
        Ok(count as u64)
    }

    /// The only value of a bytes list.
    #[must_use]
    pub fn single(&self) -> Option<&'a [u8]> {
        let mut runs = self.runs();
        let first = runs.next()?.ok()?;
        runs.next().is_none().then_some(first)
    }
}

/// See [`List::runs`].
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    kind: Kind,
    /// The number of the repeated field.
    field: u32,
    rest: &'a [u8],
    /// The body is no message, and is still to be given.
    whole: bool,
    /// Steps that are still to come.
    steps: &'a [u8],
}

impl<'a> Iterator for Runs<'a> {
    type Item = Result<&'a [u8], BadList>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.whole) {
            return Some(Ok(std::mem::take(&mut self.rest)));
        }
        loop {
            while !self.rest.is_empty() {
                match self.step() {
                    Ok(Some(run)) => return Some(Ok(run)),
                    Ok(None) => {}
                    Err(bad) => {
                        (self.rest, self.steps) = (&[], &[]);
                        return Some(Err(bad));
                    }
                }
            }
            if self.steps.is_empty() {
                return None;
            }
            let Some(list) = next_step(&mut self.steps) else {
                self.steps = &[];
                return Some(Err(BadList("a step is damaged")));
            };
            self.rest = list;
        }
    }
}

/// Reads a step of a list of features, whose kind is known: its list.
fn next_step<'a>(steps: &mut &'a [u8]) -> Option<&'a [u8]> {
    use crate::source::wire::{self, Wire};
    let (1, Wire::Bytes) = wire::tag(steps)? else { return None };
    let mut feature = wire::bytes(steps)?;
    if feature.is_empty() {
        return Some(feature);
    }
    let (1..=3, Wire::Bytes) = wire::tag(&mut feature)? else { return None };
    wire::bytes(&mut feature)
}

impl<'a> Runs<'a> {
    fn step(&mut self) -> Result<Option<&'a [u8]>, BadList> {
        use crate::source::wire::{self, Wire};
        let (field, wire_type) = wire::tag(&mut self.rest).ok_or(BadList("a tag is cut"))?;
        if field != self.field {
            wire::skip(&mut self.rest, wire_type).ok_or(BadList("an unknown field is cut"))?;
            return Ok(None);
        }
        match (self.kind, wire_type) {
            (Kind::Bytes, Wire::Bytes) => {
                wire::bytes(&mut self.rest).map(Some).ok_or(BadList("a byte string is cut"))
            }
            (Kind::Float, Wire::Bytes) => match wire::bytes(&mut self.rest) {
                Some(run) if run.len().is_multiple_of(4) => Ok(Some(run)),
                Some(_) => Err(BadList("a packed float list is not a multiple of 4 bytes")),
                None => Err(BadList("a float list is cut")),
            },
            (Kind::Float, Wire::Fixed32) => {
                let (value, rest) = self.rest.split_at_checked(4).ok_or(BadList("a float is cut"))?;
                self.rest = rest;
                Ok(Some(value))
            }
            (Kind::Int64, Wire::Bytes) => match wire::bytes(&mut self.rest) {
                Some(run) if run.last().is_none_or(|last| *last < 0x80) => Ok(Some(run)),
                _ => Err(BadList("an int64 list is cut")),
            },
            (Kind::Int64, Wire::Varint) => {
                let before = self.rest;
                wire::varint(&mut self.rest).ok_or(BadList("an integer is cut"))?;
                Ok(Some(&before[..before.len() - self.rest.len()]))
            }
            _ => Err(BadList("a list holds values of another type")),
        }
    }
}
