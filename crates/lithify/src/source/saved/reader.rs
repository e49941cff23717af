//! Elements of saved datasets: the records of each, seen as features.

use std::ops::Range;

use super::Structure;
use super::layout::{Layout, not_a_tensor};
use super::spec::{Component, What};
use crate::decode::tensor_proto;
use crate::error::{Error, Result};
use crate::source::Elements;
use crate::source::framing::{FOOTER, Frames};
use crate::value::Element;

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

impl<'s> Reader<'s> {
    pub(super) fn new(frames: Frames<'s>, structure: &'s Structure, largest: u64) -> Self {
        let is_number = |component: &Component| matches!(component.what, What::Tensor { dtype: Some(_), .. });
        let in_place = structure.components.iter().all(is_number);
        let layout = Layout { in_place, ..Layout::default() };
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
                What::Ragged { rank } => layout.push_ragged(record, *rank, &mut names, *largest),
                What::Sparse => layout.push_sparse(record, &mut names, *largest),
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
