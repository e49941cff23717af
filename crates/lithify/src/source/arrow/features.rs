//! Columns as features: what is found on the way from a column down to the values of each feature, and what Hugging Face's
//! `datasets` says of them.
//!
//! A list is an axis, a struct is a part of a name (`a/b`). Of lists in lists, the values stand on one axis, and
//! `NAME/ragged_row_lengths_0` says how long each list is.

use std::collections::BTreeMap;

use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{DataType, Field, Schema};
use serde_json::Value;

use crate::decode::{Decode, Pixels, View};
use crate::source::Options;
use crate::value::{DType, Kind};

/// A step from a column towards the values of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into the child of a struct that has this number.
    Child(usize),
    /// Into lists of any lengths. Where a length is declared, all of them must have it.
    List {
        /// Whether offsets have 64 bits.
        large: bool,
        /// The declared length.
        declared: Option<u64>,
    },
    /// Into lists of this length.
    Fixed(u64),
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Numbers, one after another.
    Number(DType),
    /// Numbers of a bit each.
    Bits,
    /// Byte strings, told apart by offsets of 32 or 64 bits.
    Strings {
        /// Whether offsets have 64 bits.
        large: bool,
    },
    /// Byte strings that stand in any order in any of several buffers.
    Views,
    /// Byte strings of one length.
    Wide(usize),
}

impl Item {
    /// As a feature.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Number(dtype) => Kind::Items(dtype),
            Self::Bits => Kind::Items(DType::Bool),
            Self::Strings { .. } | Self::Views | Self::Wide(_) => Kind::Bytes,
        }
    }
}

/// A feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    /// Its name.
    pub name: String,
    /// The number of its column.
    pub column: usize,
    /// The way from the column to its values.
    pub steps: Vec<Step>,
    /// What they are.
    pub item: Item,
    /// What the numbers are by which they are named, where the column holds those: a dictionary says what they name.
    pub keys: Option<DType>,
    /// The sizes of its axes; only of the first it may be unknown.
    pub shape: Vec<Option<u64>>,
    /// How many of the lists of the way are behind when its first axis has been counted.
    pub counted: usize,
    /// Whether it holds the lengths of the lists that come last on the way.
    pub lengths: bool,
    /// Whether they are files of which, where one is null, there is only a path.
    pub files: bool,
}

impl Leaf {
    /// Whether all elements have one shape.
    pub(super) fn is_fixed(&self) -> bool {
        self.shape.iter().all(Option::is_some) && self.item.kind() != Kind::Bytes
    }
}

/// All features of a schema.
#[derive(Debug, Default)]
pub(super) struct Features {
    /// Those that can be read.
    pub leaves: Vec<Leaf>,
    /// Those that cannot, and why.
    pub left_out: Vec<(String, String)>,
    /// Those that could be read, and are not wanted.
    pub unread: Vec<String>,
    /// How byte strings are seen.
    pub views: BTreeMap<String, View>,
    /// The names of what numbers stand for.
    pub classes: BTreeMap<String, Vec<String>>,
}

/// The key of a schema's metadata under which `datasets` keeps its own.
pub(super) const HUGGINGFACE: &str = "huggingface";

/// What is above a field.
#[derive(Clone, Default)]
struct Above {
    column: usize,
    steps: Vec<Step>,
    /// The sizes of the lists.
    levels: Vec<Option<u64>>,
    /// Those that an extension declares of the lists that come next.
    declared: Vec<Option<u64>>,
}

impl Features {
    /// The features of a schema; `declared` is what `datasets` says of them elsewhere, where the schema itself says nothing.
    pub(super) fn of(schema: &Schema, declared: Option<&Value>) -> Self {
        let own: Option<Value> =
            schema.metadata.get(HUGGINGFACE).and_then(|text| serde_json::from_str(text).ok());
        let own = own.as_ref().and_then(|json| json.get("info")?.get("features"));
        let json = own.or(declared);
        let mut features = Self::default();
        for (column, field) in schema.fields().iter().enumerate() {
            let above = Above { column, ..Above::default() };
            features.walk(field, json.and_then(|json| json.get(field.name())), field.name(), above);
        }
        features
    }

    /// The same without those that are not wanted.
    pub(super) fn only(mut self, options: &Options) -> Self {
        if let Some(wanted) = &options.features {
            let (kept, other): (Vec<_>, Vec<_>) =
                self.leaves.into_iter().partition(|leaf| wanted.contains(&leaf.name));
            (self.leaves, self.unread) = (kept, other.into_iter().map(|leaf| leaf.name).collect());
        }
        self
    }

    fn leave_out(&mut self, name: &str, why: impl Into<String>) {
        self.left_out.push((name.to_owned(), why.into()));
    }

    fn walk(&mut self, field: &Field, json: Option<&Value>, name: &str, mut above: Above) {
        let class = json.and_then(class_of);
        if let Some(shape) = extension_shape(field).or_else(|| array_shape(json?)) {
            above.declared = shape;
        }
        match field.data_type() {
            DataType::Struct(fields) => {
                let is_file = matches!(class, Some("Image" | "Audio" | "Video" | "Pdf"));
                if is_file && let Some(place) = fields.iter().position(|field| field.name() == "bytes") {
                    above.steps.push(Step::Child(place));
                    if class == Some("Image") && !self.image(name, json) {
                        return;
                    }
                    if let Some((item, _)) = item_of(fields[place].data_type()) {
                        self.leaf(name, &above, item, None);
                        self.leaves.last_mut().into_iter().for_each(|leaf| leaf.files = true);
                    }
                    return;
                }
                for (place, field) in fields.iter().enumerate() {
                    let mut above = above.clone();
                    above.steps.push(Step::Child(place));
                    let json = json.and_then(|json| inside(json).get(field.name()));
                    self.walk(field, json, &format!("{name}/{}", field.name()), above);
                }
            }
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
                let declared = if above.declared.is_empty() { None } else { above.declared.remove(0) };
                let large = matches!(field.data_type(), DataType::LargeList(_));
                above.steps.push(Step::List { large, declared });
                above.levels.push(declared);
                self.walk(item, item_json(json), name, above);
            }
            DataType::FixedSizeList(item, length) => {
                let length = u64::try_from(*length).unwrap_or_default();
                // One that is stored as a list of all of its values has a shape of its own.
                let whole = above.declared.iter().map(|size| size.unwrap_or(0)).fold(1, u64::saturating_mul);
                if above.declared.len() > 1 && whole == length {
                    above.levels.append(&mut above.declared);
                } else {
                    above.declared.drain(..usize::from(!above.declared.is_empty()));
                    above.levels.push(Some(length));
                }
                above.steps.push(Step::Fixed(length));
                self.walk(item, item_json(json), name, above);
            }
            DataType::Dictionary(keys, values) => match (item_of(keys), item_of(values)) {
                (Some((Item::Number(keys), _)), Some((item, text))) if item != Item::Bits => {
                    self.view(name, text);
                    self.leaf(name, &above, item, Some(keys));
                }
                _ => self.leave_out(name, format!("its dictionary is of {values}")),
            },
            DataType::Null => self.leave_out(name, "all of its values are null"),
            other => match item_of(other) {
                Some((item, text)) => {
                    self.view(name, text);
                    if let Some(names) = json.filter(|_| class == Some("ClassLabel")).and_then(names_of) {
                        self.classes.insert(name.to_owned(), names);
                    }
                    self.leaf(name, &above, item, None);
                }
                None if other.is_decimal() => self.leave_out(
                    name,
                    format!(
                        "no dtype of NumPy is {other}: cast the column before, to float64 or to an integer"
                    ),
                ),
                None => self.leave_out(name, format!("no dtype of NumPy is {other}")),
            },
        }
    }

    /// Images are as `datasets` decodes them: upright, and in the mode that is declared (`features/image.py`). Says whether they
    /// can be.
    fn image(&mut self, name: &str, json: Option<&Value>) -> bool {
        let channels = match json.and_then(|json| json.get("mode")?.as_str()) {
            None => None,
            Some("RGB") => Some(3),
            Some("RGBA") => Some(4),
            Some(mode) => {
                let why = format!(
                    "its images are declared to be of the mode {mode}: cast the column to `Image()` before"
                );
                self.leave_out(name, why);
                return false;
            }
        };
        let pixels = Pixels { channels, upright: Some(true), ..Pixels::default() };
        self.views.insert(name.to_owned(), View { pixels, ..View::default() });
        true
    }

    /// Texts are not looked into.
    fn view(&mut self, name: &str, text: bool) {
        if text {
            self.views.insert(name.to_owned(), View { decode: Some(Decode::None), ..View::default() });
        }
    }

    /// Adds a feature, and the lengths of the lists in its lists.
    fn leaf(&mut self, name: &str, above: &Above, item: Item, keys: Option<DType>) {
        if above.levels.contains(&Some(0)) || item == Item::Wide(0) {
            return self.leave_out(name, "its values take no bytes");
        }
        let lists: Vec<usize> =
            (0..above.steps.len()).filter(|at| !matches!(above.steps[*at], Step::Child(_))).collect();
        // The last list whose length is not known: the axes after it are of one size.
        let varies = above.levels.iter().rposition(Option::is_none);
        let leaf = |name: String, steps: &[Step], shape: Vec<Option<u64>>| Leaf {
            name,
            column: above.column,
            steps: steps.to_vec(),
            item,
            keys,
            shape,
            counted: 0,
            lengths: false,
            files: false,
        };
        for (level, last) in lists.iter().enumerate().take(varies.map_or(0, |last| last + 1)).skip(1) {
            let steps = &above.steps[..=*last];
            let lengths = leaf(format!("{name}/ragged_row_lengths_{}", level - 1), steps, vec![None]);
            let item = Item::Number(DType::Int64);
            self.leaves.push(Leaf { item, keys: None, counted: level, lengths: true, ..lengths });
        }
        let shape = above.levels[varies.unwrap_or_default()..].to_vec();
        let counted = varies.map_or(0, |level| level + 1);
        self.leaves.push(Leaf { counted, ..leaf(name.to_owned(), &above.steps, shape) });
    }
}

/// What values of a type are, and whether they are texts; `None` of types that are no numbers or byte strings.
fn item_of(data_type: &DataType) -> Option<(Item, bool)> {
    Some(match data_type {
        DataType::Boolean => (Item::Bits, false),
        DataType::Utf8 => (Item::Strings { large: false }, true),
        DataType::LargeUtf8 => (Item::Strings { large: true }, true),
        DataType::Binary => (Item::Strings { large: false }, false),
        DataType::LargeBinary => (Item::Strings { large: true }, false),
        DataType::Utf8View => (Item::Views, true),
        DataType::BinaryView => (Item::Views, false),
        DataType::FixedSizeBinary(width) => (Item::Wide(usize::try_from(*width).ok()?), false),
        number => (Item::Number(number_of(number)?), false),
    })
}

/// Dates, times and durations are integers, in the unit in which they are stored.
fn number_of(data_type: &DataType) -> Option<DType> {
    Some(match data_type {
        DataType::Int8 => DType::Int8,
        DataType::Int16 => DType::Int16,
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => DType::Int32,
        DataType::Int64
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_) => DType::Int64,
        DataType::UInt8 => DType::Uint8,
        DataType::UInt16 => DType::Uint16,
        DataType::UInt32 => DType::Uint32,
        DataType::UInt64 => DType::Uint64,
        DataType::Float16 => DType::Float16,
        DataType::Float32 => DType::Float32,
        DataType::Float64 => DType::Float64,
        _ => return None,
    })
}

/// The class of a feature of `datasets`.
fn class_of(json: &Value) -> Option<&str> {
    json.get("_type")?.as_str()
}

/// The shape of an array of `datasets`.
fn array_shape(json: &Value) -> Option<Vec<Option<u64>>> {
    let is_array = class_of(json)?.strip_prefix("Array").is_some_and(|rest| rest.ends_with('D'));
    sizes_of(json.get("shape").filter(|_| is_array)?)
}

fn sizes_of(json: &Value) -> Option<Vec<Option<u64>>> {
    let sizes: Vec<_> = json.as_array()?.iter().map(Value::as_u64).collect();
    // Where one after the first is not known, nothing is.
    sizes.iter().skip(1).all(Option::is_some).then_some(sizes)
}

/// The shape that the type of a field has by an extension of Arrow: that of `datasets`, or Arrow's own.
fn extension_shape(field: &Field) -> Option<Vec<Option<u64>>> {
    let name = field.metadata().get(EXTENSION_TYPE_NAME_KEY)?;
    let json: Value = serde_json::from_str(field.metadata().get(EXTENSION_TYPE_METADATA_KEY)?).ok()?;
    if name == "arrow.fixed_shape_tensor" {
        let moved = json.get("permutation").and_then(Value::as_array);
        let in_place =
            moved.is_none_or(|moved| moved.iter().map(Value::as_u64).eq((0..).map(Some).take(moved.len())));
        return sizes_of(json.get("shape").filter(|_| in_place)?);
    }
    sizes_of(json.get(0).filter(|_| name.starts_with("datasets.features.features.Array"))?)
}

/// What is said of the items of a list. A sequence of several features is a struct of lists, of which nothing is said here.
fn item_json(json: Option<&Value>) -> Option<&Value> {
    let json = json?;
    match (json, class_of(json)) {
        (Value::Array(items), _) => items.first(),
        (_, Some("Sequence" | "List" | "LargeList")) => json.get("feature"),
        // All lists of an array are told by its shape.
        _ => array_shape(json).is_none().then_some(json),
    }
}

/// What is said of the fields of a struct, which may be a sequence of several features.
fn inside(json: &Value) -> &Value {
    match class_of(json) {
        Some("Sequence" | "List" | "LargeList") => json.get("feature").unwrap_or(json),
        _ => json,
    }
}

fn names_of(json: &Value) -> Option<Vec<String>> {
    let names = json.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
