//! Features as they are declared, found in Examples: their dtypes and shapes, and their bytes where they are encoded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::features::{Declared, Encoding, Features};
use crate::decode::View;
use crate::error::{Error, ErrorKind, Result};
use crate::source::payload::Parsed;
use crate::source::probe::read_json;
use crate::source::wire::{each_varint, range_in};
use crate::value::{DType, Form, Kind};

/// The features that a dataset declares.
pub(in crate::source) struct Schema {
    declared: Vec<Declared>,
    by_key: HashMap<String, usize>,
    /// How byte strings are seen, by the name of the feature.
    pub views: BTreeMap<String, View>,
    /// What numbers stand for, by the name of the feature.
    pub classes: BTreeMap<String, Vec<String>>,
    /// Samples a second, by the name of the feature.
    pub rates: BTreeMap<String, u64>,
}

impl Schema {
    pub(super) fn read(directory: &Path, name: &str) -> Result<Self> {
        let Features { declared, views, labels, rates } = Features::of(&read_json(&directory.join(name))?);
        let mut classes = BTreeMap::new();
        for name in labels {
            let path = directory.join(format!("{}.labels.txt", name.replace('/', "-")));
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
                    classes.insert(name, names.map(str::to_owned).collect());
                }
                // Classes need no names.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("read", &path, e)),
            }
        }
        let by_key = declared.iter().enumerate().map(|(at, declared)| (declared.key.clone(), at)).collect();
        Ok(Self { declared, by_key, views, classes, rates })
    }

    /// The names of the features in which elements are alike but for their values; none, where more is made of a record than
    /// it tells by its length.
    pub(super) fn promised(&self) -> BTreeSet<String> {
        let makes = |declared: &&Declared| {
            // In a sequence, each item is a byte string.
            declared.encoding == Encoding::Zlib
                || declared.encoding == Encoding::Bytes && !declared.is_fixed()
        };
        if self.declared.iter().any(|declared| makes(&declared)) {
            return BTreeSet::new();
        }
        let fixed = self.declared.iter().filter(|declared| declared.is_fixed());
        fixed.map(|declared| declared.key[..declared.name].to_owned()).collect()
    }

    /// Whether the feature declared at a place has this key.
    fn is(&self, at: usize, key: &[u8]) -> bool {
        self.declared.get(at).is_some_and(|declared| declared.key.as_bytes() == key)
    }

    /// Gives the features of a record their declared names, dtypes and shapes. Those that are not declared stay as they are.
    pub(in crate::source) fn apply(&self, record: &[u8], most: u64, parsed: &mut Parsed) -> Result<()> {
        for place in 0..parsed.fields.len() {
            let key = &record[parsed.fields[place].name.clone()];
            // Most often the features stand in the order of the record before.
            let guess = parsed.order.get(place).copied().filter(|at| self.is(*at, key));
            let known = guess.or_else(|| self.by_key.get(std::str::from_utf8(key).ok()?).copied());
            let Some(at) = known else { continue };
            if guess.is_none() {
                parsed.order.resize(parsed.order.len().max(place + 1), usize::MAX);
                parsed.order[place] = at;
            }
            let declared = &self.declared[at];
            declared
                .apply(record, most, place, parsed)
                .map_err(|e| e.in_feature(&declared.key[..declared.name]))?;
        }
        Ok(())
    }
}

impl Declared {
    fn apply(&self, record: &[u8], most: u64, place: usize, parsed: &mut Parsed) -> Result<()> {
        let field = &mut parsed.fields[place];
        field.name.end = field.name.start + self.name;
        let Some(kind) = field.kind else { return Ok(()) };
        let stored = match (self.encoding, self.dtype) {
            (Encoding::Bytes | Encoding::Zlib, _) | (_, None) => Kind::Bytes,
            (_, Some(dtype)) if dtype.is_integer() => Kind::Int64,
            _ => Kind::Float,
        };
        if kind != stored {
            // Texts were stored as the numbers of their words once.
            let tokens = self.dtype.is_none() && kind == Kind::Int64;
            let what = self.dtype.map_or("byte strings".into(), |dtype| dtype.to_string());
            let error = || {
                Error::input(format!(
                    "it is declared as {what} and stored as {stored}, but holds {kind} here"
                ))
            };
            return if tokens { Ok(()) } else { Err(error()) };
        }
        let list = field.list_in(record);
        let count = match (self.encoding, self.dtype) {
            (Encoding::List, dtype) => {
                if let Some(dtype) = dtype.filter(|dtype| Some(*dtype) != kind.dtype()) {
                    field.form = Form::As(dtype);
                }
                let count = list.map_or(Ok(0), |list| list.count());
                count.map_err(|bad| Error::input(format!("the feature is damaged: {}", bad.0)))?
            }
            (encoding, dtype) => {
                let item = dtype.map_or(1, DType::size);
                let bytes = items(record, most, place, encoding == Encoding::Zlib, parsed)?;
                if !bytes.len().is_multiple_of(item) {
                    let (bytes, dtype) = (bytes.len(), dtype.unwrap_or(DType::Uint8));
                    return Err(Error::input(format!("{bytes} bytes are no whole number of {dtype}")));
                }
                let field = &mut parsed.fields[place];
                (field.kind, field.form) = (dtype.map(Kind::Items), Form::Items { big_endian: false });
                field.body = bytes.clone();
                (bytes.len() / item) as u64
            }
        };
        let shape = self.shape(record, count, parsed)?;
        parsed.fields[place].shape = Some(shape);
        Ok(())
    }

    /// Its shape, of so many values.
    fn shape(&self, record: &[u8], count: u64, parsed: &mut Parsed) -> Result<Range<usize>> {
        let start = parsed.sizes.len();
        let show = || {
            let axes: Vec<_> =
                self.axes.iter().map(|size| size.map_or("?".into(), |size| size.to_string())).collect();
            format!("({})", axes.join(", "))
        };
        let wrong = |count: u64| {
            Err(Error::input(format!("it has {count} values, which is not as declared: {}", show())))
        };
        if let Some(key) = &self.shape_key {
            let sizes = stored_shape(record, key, parsed).ok_or_else(|| {
                Error::input(format!("`{key}`, which gives its shape, is missing or damaged here"))
            })?;
            let as_declared = sizes.len() == self.axes.len()
                && self.axes.iter().zip(&sizes).all(|(axis, size)| axis.is_none_or(|axis| axis == *size));
            let product = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
            if !as_declared || product != Some(count) {
                return wrong(count);
            }
            parsed.sizes.extend(sizes);
            return Ok(start..parsed.sizes.len());
        }
        let known = self.axes.iter().flatten().try_fold(1_u64, |product, size| product.checked_mul(*size));
        let unknown = self.axes.iter().filter(|size| size.is_none()).count();
        let rest = match (known, unknown) {
            (Some(known), 0) if known == count => 0,
            (Some(0), _) if count == 0 => 0,
            (Some(known), 1) if known > 0 && count.is_multiple_of(known) => count / known,
            // Nothing tells where one ends and the next begins.
            (_, 2..) => {
                parsed.sizes.push(count);
                return Ok(start..parsed.sizes.len());
            }
            _ => return wrong(count),
        };
        parsed.sizes.extend(self.axes.iter().map(|size| size.unwrap_or(rest)));
        Ok(start..parsed.sizes.len())
    }
}

/// The shape that is stored under a key, which then is no feature of its own.
fn stored_shape(record: &[u8], key: &str, parsed: &mut Parsed) -> Option<Vec<u64>> {
    let field = parsed.fields.iter_mut().find(|field| record[field.name.clone()] == *key.as_bytes())?;
    let (list, mut sizes) = (field.list_in(record)?, Vec::new());
    if list.kind != Kind::Int64 {
        return None;
    }
    for run in list.runs() {
        each_varint(run.ok()?, |size| {
            sizes.push(size);
            true
        })
        .ok()?;
    }
    field.kind = None;
    Some(sizes)
}

/// Where the items of a feature are that is stored as bytes: in the record, or after it, where they must be made.
fn items(record: &[u8], most: u64, place: usize, zlib: bool, parsed: &mut Parsed) -> Result<Range<usize>> {
    let Some(list) = parsed.fields[place].list_in(record) else { return Ok(0..0) };
    if let (false, Some(bytes)) = (zlib, list.single()) {
        return Ok(range_in(record, bytes));
    }
    let made = parsed.made_after(record);
    let start = made.len();
    for string in list.runs() {
        let string = string.map_err(|bad| Error::input(format!("the feature is damaged: {}", bad.0)))?;
        if !zlib {
            made.extend_from_slice(string);
            continue;
        }
        let left = most.saturating_sub((made.len() - record.len()) as u64);
        let inflated = ZlibDecoder::new(string).take(left.saturating_add(1)).read_to_end(made);
        let inflated = inflated.map_err(|e| Error::input(format!("it cannot be decompressed: {e}")))?;
        if inflated as u64 > left {
            let message = format!(
                "decompressed, it has more than the {most} bytes that the memory budget leaves for one element"
            );
            return Err(Error::new(ErrorKind::Resources, message).hint("give more memory with `--memory`"));
        }
    }
    Ok(start..made.len())
}
