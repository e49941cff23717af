//! Some elements in memory, laid out as they are lent.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::source::wire;
use crate::value::{DType, Element, Field, Form, Kind};

/// Some elements, one after another, of whatever features each has.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    names: Vec<u8>,
    sizes: Vec<u64>,
    fields: Vec<Field>,
    extent: Extent,
}

/// Which fields are whose.
#[derive(Clone, Debug)]
enum Extent {
    /// There are so many elements that differ in their values only: the fields are those of the first, and the values of the others
    /// follow.
    Alike(u64),
    /// Where the fields of each element end.
    Each(Vec<usize>),
}

impl Default for Extent {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Batch {
    /// So many elements that are alike in all but their values. Of each feature there are the name, the dtype and the shape of one
    /// element; `values` adds those of all elements for the feature of a number, in the machine's order of bytes.
    ///
    /// # Errors
    /// What `values` says.
    pub fn alike<E>(
        elements: u64,
        features: &[(&str, DType, &[u64])],
        mut values: impl FnMut(usize, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut builder = Builder::default();
        for (number, (name, dtype, shape)) in features.iter().enumerate() {
            builder.numbers(name, *dtype, shape, |bytes| values(number, bytes))?;
            // The field is that of the first.
            if let Some(field) = builder.batch.fields.last_mut() {
                let one = field.body.len() as u64 / elements.max(1);
                field.body.end = field.body.start + usize::try_from(one).unwrap_or_default();
            }
        }
        Ok(Self { extent: Extent::Alike(elements), ..builder.batch })
    }

    /// How many elements it has.
    #[must_use]
    pub fn elements(&self) -> u64 {
        match &self.extent {
            Extent::Alike(elements) => *elements,
            Extent::Each(ends) => ends.len() as u64,
        }
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn held(&self) -> u64 {
        let ends = if let Extent::Each(ends) = &self.extent { ends.len() } else { 0 };
        let fields = self.fields.len() * size_of::<Field>() + (ends + self.sizes.len()) * size_of::<u64>();
        (self.bytes.len() + self.names.len() + fields) as u64
    }

    /// Lends the element numbered `at`, and if they are alike those after it, up to `most`. `moved` is room for the fields of an
    /// element that is not the first of those that are alike.
    pub(super) fn lend<'b>(
        &'b self,
        at: u64,
        most: u64,
        position: u64,
        moved: &'b mut Vec<Field>,
    ) -> Element<'b> {
        let (fields, count, stored): (&[Field], _, _) = match &self.extent {
            Extent::Alike(elements) => {
                let count = most.min(elements - at);
                let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
                moved.clone_from(&self.fields);
                for field in moved.iter_mut() {
                    let one = field.body.len();
                    let start = field.body.start + one * number(at);
                    field.body = start..start + one * number(count);
                }
                (moved, count, self.bytes.len() as u64 / elements * count)
            }
            Extent::Each(ends) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let start = at.checked_sub(1).map_or(0, |before| ends[before]);
                let fields = &self.fields[start..ends[at]];
                (fields, 1, fields.iter().map(|field| field.body.len() as u64).sum())
            }
        };
        Element::named(&self.bytes, &self.names, fields, position)
            .with_sizes(&self.sizes)
            .with_stored(stored)
            .times(count)
    }
}

/// How values of a kind lie in a batch.
fn form_of(kind: Kind) -> Form {
    match kind {
        Kind::Items(_) => Form::Items { big_endian: cfg!(target_endian = "big") },
        _ => Form::Message,
    }
}

/// What a kind is called in a record: by its dtype, for all numbers are items here.
fn name_of(kind: Kind) -> String {
    kind.dtype().map_or_else(|| BYTES.to_owned(), String::from)
}

fn kind_named(name: &str) -> Option<Kind> {
    if name == BYTES { Some(Kind::Bytes) } else { name.parse().ok().map(Kind::Items) }
}

const BYTES: &str = "bytes";
/// Elements after which no other is waited for to tell what empty lists are of.
const MOST_UNSETTLED: usize = 1 << 18;
/// What a list is of that has no items, if no other tells: what `NumPy` says.
const UNKNOWN: Kind = Kind::Items(DType::Float64);

/// Puts a [`Batch`] together, element by element.
#[derive(Debug, Default)]
pub struct Builder {
    batch: Batch,
    /// The names that there are, by where they stand, and the last element that has each.
    names: Vec<(Range<usize>, usize)>,
    /// A name that two features of an element have.
    twice: Option<String>,
    /// Which of them the next feature has, most likely.
    next: usize,
    /// Where each element ends.
    ends: Vec<usize>,
    /// The fields that are empty lists, and what such are of, by name, where it was found before.
    empty: Vec<usize>,
    kinds: HashMap<Vec<u8>, Kind>,
}

impl Builder {
    /// Adds a feature of numbers to the element that is under way: `values` adds as many bytes as the shape takes, in the machine's
    /// order.
    ///
    /// # Errors
    /// What `values` says.
    pub fn numbers<E>(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
        values: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.batch.bytes.len();
        values(&mut self.batch.bytes)?;
        self.field(name, Kind::Items(dtype), shape, start);
        Ok(())
    }

    /// Adds a feature of byte strings to the element that is under way: as many as the shape says.
    pub fn strings<'s>(&mut self, name: &str, shape: &[u64], strings: impl IntoIterator<Item = &'s [u8]>) {
        let start = self.batch.bytes.len();
        for string in strings {
            wire::push_string(&mut self.batch.bytes, string);
        }
        self.field(name, Kind::Bytes, shape, start);
    }

    /// Adds a feature that is an array of no items, of what the others are that have its name.
    pub fn empty(&mut self, name: &str, shape: &[u64]) {
        let start = self.batch.bytes.len();
        let at = self.field(name, UNKNOWN, shape, start);
        self.empty.push(at);
    }

    /// Adds a feature whose values begin at `start`; gives the number of its field.
    fn field(&mut self, name: &str, kind: Kind, shape: &[u64], start: usize) -> usize {
        let name = self.name(name);
        let Batch { bytes, sizes, fields, .. } = &mut self.batch;
        let first = sizes.len();
        sizes.extend_from_slice(shape);
        let shape = Some(first..sizes.len());
        fields.push(Field { name, kind: Some(kind), body: start..bytes.len(), form: form_of(kind), shape });
        fields.len() - 1
    }

    /// Where a name stands. Elements have their features in the same order, most often.
    fn name(&mut self, name: &str) -> Range<usize> {
        let Self { batch, names, next, ends, twice, .. } = self;
        let is = |known: &(Range<usize>, usize)| batch.names[known.0.clone()] == *name.as_bytes();
        let at = match names.get(*next) {
            Some(known) if is(known) => Some(*next),
            _ => names.iter().position(is),
        };
        let at = at.unwrap_or_else(|| {
            let start = batch.names.len();
            batch.names.extend_from_slice(name.as_bytes());
            names.push((start..batch.names.len(), usize::MAX));
            names.len() - 1
        });
        *next = at + 1;
        let element = ends.len();
        if std::mem::replace(&mut names[at].1, element) == element {
            twice.get_or_insert_with(|| name.to_owned());
        }
        names[at].0.clone()
    }

    /// Says of empty lists what they are of: what the feature holds in other elements, if that is known.
    fn settle(&mut self) {
        if self.empty.is_empty() {
            return;
        }
        let Self { batch, kinds, empty, .. } = self;
        for (field, kind) in batch.fields.iter().filter_map(|field| Some((field, field.kind?))) {
            let name = &batch.names[field.name.clone()];
            if !field.body.is_empty() && !kinds.contains_key(name) {
                kinds.insert(name.to_vec(), kind);
            }
        }
        empty.retain(|at| {
            let field = &mut batch.fields[*at];
            let Some(kind) = kinds.get(&batch.names[field.name.clone()]) else { return true };
            (field.kind, field.form) = (Some(*kind), form_of(*kind));
            false
        });
    }

    /// Ends the element that is under way.
    ///
    /// # Errors
    /// Two of its features have one name.
    pub fn end_element(&mut self) -> Result<()> {
        self.ends.push(self.batch.fields.len());
        self.next = 0;
        match self.twice.take() {
            Some(name) => Err(Error::input("two features have this name").in_feature(&name)),
            None => Ok(()),
        }
    }

    /// Whether there is no element yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether there is so much that it is worth being handed over. As long as there are only empty lists of a feature, others may
    /// tell of what they are.
    #[must_use]
    pub fn is_full(&mut self) -> bool {
        let elements = self.ends.len();
        if self.batch.bytes.len() >= super::BATCH_BYTES || elements >= MOST_UNSETTLED {
            return true;
        }
        if elements < super::BATCH_ELEMENTS || !self.empty.is_empty() && !elements.is_power_of_two() {
            return false;
        }
        self.settle();
        self.empty.is_empty()
    }

    /// The elements that were ended, and begins anew.
    #[must_use]
    pub fn take(&mut self) -> Batch {
        self.settle();
        let kinds = std::mem::take(&mut self.kinds);
        let Self { batch, ends, .. } = std::mem::replace(self, Self { kinds, ..Self::default() });
        // The next batch will be as large.
        self.batch.bytes.reserve(batch.bytes.len());
        Batch { extent: Extent::Each(ends), ..batch }
    }
}

/// As a record: numbers as varints, each list after how many it has, and the bytes last.
impl Batch {
    /// Adds the record to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut kinds: Vec<Kind> = Vec::new();
        for kind in self.fields.iter().filter_map(|field| field.kind) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let names = kinds.iter().map(|kind| name_of(*kind)).collect::<Vec<_>>().join(" ");
        wire::push_varint(out, names.len());
        out.extend_from_slice(names.as_bytes());
        let mut number = |n: usize| wire::push_varint(out, n);
        match &self.extent {
            Extent::Alike(elements) => {
                number(0);
                number(usize::try_from(*elements).unwrap_or(usize::MAX));
            }
            Extent::Each(ends) => {
                number(1);
                number(ends.len());
                let mut before = 0;
                for end in ends {
                    number(end - std::mem::replace(&mut before, *end));
                }
            }
        }
        number(self.sizes.len());
        self.sizes.iter().for_each(|size| number(usize::try_from(*size).unwrap_or(usize::MAX)));
        number(self.fields.len());
        for field in &self.fields {
            let shape = field.shape.clone().unwrap_or_default();
            for n in [
                field.name.start,
                field.name.len(),
                field.body.start,
                field.body.len(),
                shape.start,
                shape.len(),
            ] {
                number(n);
            }
            number(kinds.iter().position(|kind| Some(*kind) == field.kind).unwrap_or_default());
        }
        number(self.names.len());
        out.extend_from_slice(&self.names);
        out.extend_from_slice(&self.bytes);
    }

    /// Reads a record; `None` where it is none.
    pub(super) fn decode(record: &[u8]) -> Option<Self> {
        let mut rest = record;
        let rest = &mut rest;
        let number = |rest: &mut &[u8]| wire::varint(rest).and_then(|n| usize::try_from(n).ok());
        // Each number takes a byte, so that none is believed that claims more than there is.
        let count = |rest: &mut &[u8]| number(rest).filter(|count| *count <= rest.len());
        let length = count(rest)?;
        let (kinds, after) = rest.split_at_checked(length)?;
        *rest = after;
        let kinds = std::str::from_utf8(kinds).ok()?.split_whitespace();
        let kinds = kinds.map(kind_named).collect::<Option<Vec<_>>>()?;
        let alike = number(rest)? == 0;
        let extent = if alike {
            Extent::Alike(number(rest)? as u64)
        } else {
            let mut end = 0_usize;
            let ends = (0..count(rest)?).map(|_| {
                end = end.checked_add(number(rest)?)?;
                Some(end)
            });
            Extent::Each(ends.collect::<Option<_>>()?)
        };
        let sizes = (0..count(rest)?).map(|_| wire::varint(rest)).collect::<Option<Vec<_>>>()?;
        let fields = (0..count(rest)?).map(|_| {
            let mut range = || {
                let (start, length) = (number(rest)?, number(rest)?);
                Some(start..start.checked_add(length)?)
            };
            let (name, body, shape) = (range()?, range()?, range()?);
            let kind = *kinds.get(number(rest)?)?;
            Some(Field { name, kind: Some(kind), body, form: form_of(kind), shape: Some(shape) })
        });
        let fields = fields.collect::<Option<Vec<_>>>()?;
        let length = count(rest)?;
        let (names, bytes) = rest.split_at_checked(length)?;
        Some(Self { bytes: bytes.to_vec(), names: names.to_vec(), sizes, fields, extent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(batch: &Batch, most: u64) -> Vec<String> {
        let (mut at, mut moved, mut all) = (0, Vec::new(), Vec::new());
        while at < batch.elements() {
            let element = batch.lend(at, most, at, &mut moved);
            let features = (0..element.len()).map(|place| {
                let list = element.list(place).unwrap();
                let values: Vec<u8> = list.runs().flat_map(|run| run.unwrap().to_vec()).collect();
                format!(
                    "{} {} {:?} {values:?}",
                    element.name(place).escape_ascii(),
                    list.kind,
                    list.shape().unwrap()
                )
            });
            all.push(format!("{}: {}", element.count(), features.collect::<Vec<_>>().join(", ")));
            at += element.count();
        }
        all
    }

    fn add(builder: &mut Builder, name: &str, shape: &[u64], values: &[u8]) {
        let add = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(values);
            Ok::<_, ()>(())
        };
        builder.numbers(name, DType::Uint8, shape, add).unwrap();
    }

    fn alike(elements: u64, features: &[(&str, DType, &[u64])], values: &[&[u8]]) -> Batch {
        let add = |number: usize, bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(values[number]);
            Ok::<_, ()>(())
        };
        Batch::alike(elements, features, add).unwrap()
    }

    fn ragged() -> Batch {
        let mut builder = Builder::default();
        add(&mut builder, "a", &[2], &[1, 2]);
        builder.strings("b", &[], [&b"x"[..]]);
        builder.end_element().unwrap();
        // In another order, and one that is missing.
        builder.strings("b", &[2], [&b"yy"[..], b""]);
        builder.end_element().unwrap();
        builder.end_element().unwrap();
        add(&mut builder, "c", &[], &[1]);
        add(&mut builder, "a", &[0], &[]);
        builder.end_element().unwrap();
        builder.empty("b", &[0]);
        builder.empty("d", &[1, 0]);
        builder.end_element().unwrap();
        builder.take()
    }

    #[test]
    fn elements_are_lent_as_they_came() {
        let wanted = [
            "1: a uint8 [2] [1, 2], b bytes [] [120]",
            "1: b bytes [2] [121, 121]",
            "1: ",
            "1: c uint8 [] [1], a uint8 [0] []",
            "1: b bytes [0] [], d float64 [1, 0] []",
        ];
        assert_eq!(shown(&ragged(), 8), wanted);
    }

    #[test]
    fn two_features_of_one_name_are_refused() {
        let mut builder = Builder::default();
        for name in ["a", "b", "a"] {
            add(&mut builder, name, &[], &[1]);
        }
        assert_eq!(builder.end_element().unwrap_err().place().feature.as_deref(), Some("a"));
        add(&mut builder, "a", &[], &[1]);
        builder.end_element().unwrap();
    }

    #[test]
    fn what_is_alike_is_lent_in_runs() {
        let batch = alike(
            3,
            &[("a", DType::Uint8, &[2]), ("b", DType::Int8, &[])],
            &[&[0, 1, 2, 3, 4, 5], &[10, 11, 12]],
        );
        assert_eq!(shown(&batch, 1)[2], "1: a uint8 [2] [4, 5], b int8 [] [12]");
        assert_eq!(shown(&batch, 2)[0], "2: a uint8 [2] [0, 1, 2, 3], b int8 [] [10, 11]");
        assert_eq!(shown(&batch, 9), ["3: a uint8 [2] [0, 1, 2, 3, 4, 5], b int8 [] [10, 11, 12]"]);
    }

    #[test]
    fn records_give_the_batch_back_or_nothing() {
        let alike = alike(2, &[("é", DType::Int16, &[1])], &[&[1, 2, 3, 4]]);
        for batch in [ragged(), alike, Batch::default()] {
            let mut record = Vec::new();
            batch.encode(&mut record);
            assert_eq!(shown(&Batch::decode(&record).unwrap(), 9), shown(&batch, 9));
            let names = record.len() - batch.bytes.len();
            assert!((0..names).all(|cut| Batch::decode(&record[..cut]).is_none()));
        }
    }
}
