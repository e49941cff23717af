//! Elements of saved datasets: the records of each, seen as features.
//!
//! Tensors of numbers stay where they were read. Where an element has others, all of it is laid out anew: strings as lists,
//! and of ragged and sparse tensors the tensors that they consist of.

use std::ops::Range;

use super::Structure;
use super::spec::{Component, What, only, repeated, text};
use crate::decode::tensor_proto::{self, TensorView, Values};
use crate::error::{Error, Result};
use crate::source::Elements;
use crate::source::framing::{FOOTER, Frames};
use crate::source::wire::{self, range_in};
use crate::value::{DType, Element, Field, Form, Kind, List};

impl What {
    /// What is added to the name of a component to name its features.
    pub(super) fn suffixes(&self) -> Vec<String> {
        match self {
            Self::Tensor { .. } | Self::Ragged { rank: 0 } => vec![String::new()],
            Self::Ragged { rank } => {
                let splits = (0..*rank).map(|axis| format!("/row_splits_{axis}"));
                splits.chain(["/flat_values".to_owned()]).collect()
            }
            Self::Sparse => ["/indices", "/values", "/dense_shape"].map(str::to_owned).to_vec(),
        }
    }
}

/// How many bytes there are before the next element starts, if what the records hold tells that. The first of them is the next
/// record of the frames.
pub(super) fn records_to_next(frames: &mut Frames<'_>, components: &[Component]) -> Option<usize> {
    let count = components.len();
    // Where each record ends, and which components the first may be one of.
    let mut ends = vec![0];
    let mut first = vec![true; count];
    for record in 0..count {
        let start = ends.last().copied()?;
        match frames.record(start).ok()? {
            // As many are left of the last element.
            None => return Some(start),
            Some(data) => {
                ends.push(data.end + FOOTER);
                let message = &frames.window()[data];
                for (place, first) in first.iter_mut().enumerate() {
                    *first &= components[(place + record) % count].what.may_be(message);
                }
            }
        }
    }
    let place = first.iter().position(|first| *first)?;
    // Where two are possible, nobody knows.
    let sure = !first[place + 1..].contains(&true);
    sure.then(|| ends[(count - place) % count])
}

pub(super) struct Reader<'s> {
    frames: Frames<'s>,
    structure: &'s Structure,
    largest: u64,
    /// Where the data of the present element's records are in the window.
    records: Vec<Range<usize>>,
    layout: Layout,
}

/// An element as it is lent.
struct Layout {
    /// Whether its fields are ranges of the window, and not of `bytes`.
    in_place: bool,
    bytes: Vec<u8>,
    fields: Vec<Field>,
    sizes: Vec<u64>,
    /// Typed values, brought into their form.
    scratch: Vec<u8>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(frames: Frames<'s>, structure: &'s Structure, largest: u64) -> Self {
        let is_number = |component: &Component| matches!(component.what, What::Tensor { dtype: Some(_), .. });
        let layout = Layout {
            in_place: structure.components.iter().all(is_number),
            bytes: Vec::new(),
            fields: Vec::new(),
            sizes: Vec::new(),
            scratch: Vec::new(),
        };
        Self { frames, structure, largest, records: Vec::new(), layout }
    }

    /// Finds the records of the next element. Says whether there are any.
    fn gather(&mut self) -> Result<bool> {
        let Some(at) = self.frames.begin() else { return Ok(false) };
        self.records.clear();
        let (mut ahead, count) = (0, self.structure.components.len());
        for place in 0..count {
            match self.frames.record(ahead) {
                Ok(Some(data)) => {
                    ahead = data.end + FOOTER;
                    self.records.push(data);
                }
                Ok(None) if place == 0 => return Ok(false),
                Ok(None) => return Err(self.cut(at, place)),
                Err(error) => {
                    self.recover(count - place - 1);
                    return Err(error);
                }
            }
        }
        self.frames.lend(ahead);
        Ok(true)
    }

    fn cut(&mut self, at: u64, there: usize) -> Error {
        self.frames.end();
        let count = self.structure.components.len();
        let message = format!("the element is cut: {there} of its {count} tensors are there");
        self.frames.damaged(at, message).loses_a_stretch()
    }

    /// Goes on to the next element after a record that is damaged, and to whose element so many more belong.
    fn recover(&mut self, more: usize) {
        if self.frames.is_over() {
            return;
        }
        // Where the data are damaged, it is known where the record ends.
        let known = self.frames.lent() > 0;
        for _ in 0..if known { more } else { 0 } {
            let ahead = self.frames.lent();
            match self.frames.size(ahead) {
                Ok(Some(size)) => self.frames.lend(ahead + size),
                Ok(None) => return self.frames.end(),
                Err(_) => break,
            }
        }
        if self.frames.is_over() || self.frames.lent() > 0 {
            return;
        }
        match records_to_next(&mut self.frames, &self.structure.components) {
            Some(bytes) => self.frames.lend(bytes),
            None => self.frames.end(),
        }
    }

    /// Lays out the element whose records were gathered.
    fn lay_out(&mut self) -> Result<(), String> {
        let Self { frames, structure, records, layout, largest } = self;
        layout.fields.clear();
        layout.sizes.clear();
        layout.bytes.clear();
        let window = frames.window();
        let mut names = structure.features.iter().cloned();
        for (component, data) in structure.components.iter().zip(records) {
            let record = &window[data.clone()];
            let wrong = |why: String| {
                let path = component.path.escape_debug();
                if component.path.is_empty() { why } else { format!("`{path}`: {why}") }
            };
            let laid_out = match &component.what {
                What::Tensor { dtype, .. } => {
                    let tensor = tensor_proto::parse(record).map_err(|why| wrong(not_a_tensor(why)))?;
                    match (tensor.dtype == *dtype, names.next()) {
                        (true, Some(name)) => layout.push(window, name, &tensor, *largest),
                        _ => Err("its dtype is another than the dataset's structure says".into()),
                    }
                }
                What::Ragged { rank } => one_variant(record).and_then(|body| {
                    let tensors = tensors_of(body, "RaggedTensorVariant")?;
                    if tensors.len() != rank + 1 {
                        return Err(format!("it has {} tensors, and must have {}", tensors.len(), rank + 1));
                    }
                    layout.push_all(window, &mut names, &tensors, *largest)
                }),
                What::Sparse => variants(record, 3).and_then(|bodies| {
                    let tensors = bodies.into_iter().map(|body| tensors_of(body, "tensorflow::Tensor"));
                    let tensors = tensors.collect::<Result<Vec<_>, _>>()?.concat();
                    if tensors.len() != 3 {
                        return Err(format!("it has {} tensors, and must have 3", tensors.len()));
                    }
                    layout.push_all(window, &mut names, &tensors, *largest)
                }),
            };
            laid_out.map_err(wrong)?;
        }
        if layout.in_place && !layout.bytes.is_empty() {
            // Numbers that are not written as such are legal, and rare: from now on all are laid out anew.
            layout.in_place = false;
            return self.lay_out();
        }
        Ok(())
    }
}

fn not_a_tensor(why: &str) -> String {
    format!("the record is no tensor: {why}")
}

/// The bodies of so many variants, which lie in a tensor as strings do.
fn variants(tensor: &[u8], count: u64) -> Result<Vec<&[u8]>, String> {
    let content = only(tensor, 4)?.unwrap_or_default();
    let shape = tensor_proto::parse_shape(only(tensor, 2)?.unwrap_or_default())?;
    if shape.iter().product::<u64>() != count {
        return Err("it is a batch of ragged or sparse tensors that stand by themselves, which cannot be read".into());
    }
    let (mut lengths, mut bytes) = tensor_proto::split(content, count)?;
    let mut found = Vec::new();
    while !lengths.is_empty() {
        let length = wire::varint(&mut lengths).and_then(|length| usize::try_from(length).ok());
        let (body, rest) = length.and_then(|length| bytes.split_at_checked(length)).ok_or("it is cut")?;
        found.push(body);
        bytes = rest;
    }
    Ok(found)
}

fn one_variant(tensor: &[u8]) -> Result<&[u8], String> {
    variants(tensor, 1)?.pop().ok_or_else(|| "it is empty".into())
}

/// The tensors of a variant of this type.
fn tensors_of<'a>(body: &'a [u8], wanted: &str) -> Result<Vec<&'a [u8]>, String> {
    let found = text(only(body, 1)?)?;
    if found != wanted {
        return Err(format!("it is a variant of type `{}`, and `{wanted}` is wanted", found.escape_debug()));
    }
    Ok(repeated(body, 3)?)
}

impl Layout {
    fn push_all(
        &mut self,
        window: &[u8],
        names: &mut impl Iterator<Item = Range<usize>>,
        tensors: &[&[u8]],
        largest: u64,
    ) -> Result<(), String> {
        for (tensor, name) in tensors.iter().zip(names) {
            let tensor = tensor_proto::parse(tensor).map_err(not_a_tensor)?;
            self.push(window, name, &tensor, largest)?;
        }
        Ok(())
    }

    /// Adds a feature.
    fn push(
        &mut self,
        window: &[u8],
        name: Range<usize>,
        tensor: &TensorView<'_>,
        largest: u64,
    ) -> Result<(), String> {
        let start = self.sizes.len();
        self.sizes.extend_from_slice(&tensor.shape);
        let shape = Some(start..self.sizes.len());
        let (kind, form) = match tensor.dtype {
            Some(dtype) => (Kind::Items(dtype), Form::Items { big_endian: false }),
            None => (Kind::Bytes, Form::Message),
        };
        let start = self.bytes.len();
        match (&tensor.values, tensor.dtype) {
            (Values::Content(content), _) if self.in_place => {
                let body = range_in(window, content);
                self.fields.push(Field { name, kind: Some(kind), body, form, shape });
                return Ok(());
            }
            (Values::Content(content), _) => self.bytes.extend_from_slice(content),
            (Values::Strings(content), _) => {
                let count = tensor.shape.iter().product();
                tensor_proto::push_strings(content, count, &mut self.bytes)?;
            }
            (Values::Typed { message, field }, None) => {
                for string in List::of_field(Kind::Bytes, message, *field).runs() {
                    wire::push_string(&mut self.bytes, string.map_err(|bad| bad.0)?);
                }
            }
            (Values::Typed { message, field }, Some(dtype)) => {
                self.expand(dtype, &tensor.shape, message, *field, largest)?;
            }
        }
        let body = start..self.bytes.len();
        self.fields.push(Field { name, kind: Some(kind), body, form, shape });
        Ok(())
    }

    /// Adds typed values, of which fewer may be there than they stand for.
    fn expand(
        &mut self,
        dtype: DType,
        shape: &[u64],
        message: &[u8],
        field: u32,
        largest: u64,
    ) -> Result<(), String> {
        let bytes = shape.iter().fold(dtype.size() as u64, |bytes, size| bytes.saturating_mul(*size));
        let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| *bytes as u64 <= largest) else {
            return Err(format!("it has {bytes} bytes, more than the {largest} that the memory budget leaves for it"));
        };
        tensor_proto::expand(dtype, bytes, message, field, &mut self.scratch)?;
        self.bytes.extend_from_slice(&self.scratch);
        Ok(())
    }
}

impl Elements for Reader<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        if !self.gather()? {
            return Ok(None);
        }
        let (at, stored) = (self.frames.position() - self.frames.lent() as u64, self.frames.lent());
        self.lay_out().map_err(|why| self.frames.damaged(at, why))?;
        let bytes = if self.layout.in_place { self.frames.window() } else { &self.layout.bytes };
        let element = Element::named(bytes, &self.structure.names, &self.layout.fields, at);
        Ok(Some(element.with_sizes(&self.layout.sizes).with_stored(stored as u64)))
    }

    fn skip(&mut self) -> Result<bool> {
        if self.frames.begin().is_none() {
            return Ok(false);
        }
        let count = self.structure.components.len();
        let mut ahead = 0;
        for place in 0..count {
            match self.frames.size(ahead) {
                Ok(Some(size)) => ahead += size,
                Ok(None) if place == 0 => return Ok(false),
                Ok(None) => {
                    let at = self.frames.position();
                    return Err(self.cut(at, place));
                }
                Err(error) => {
                    self.recover(count - place - 1);
                    return Err(error);
                }
            }
        }
        self.frames.lend(ahead);
        Ok(true)
    }

    fn position(&self) -> u64 {
        self.frames.position()
    }

    fn consumed(&self) -> u64 {
        self.frames.consumed()
    }
}
