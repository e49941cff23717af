//! Elements by number: from the nearest place that the index knows, on over the parts.

use std::collections::HashSet;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::scan::OnError;
use crate::source::{Elements, Source, Want, at_position};
use crate::value::Element;

/// A place in the dataset that moves forward.
pub(super) struct Cursor<'a> {
    source: &'a dyn Source,
    plan: &'a Plan,
    skipped: HashSet<(usize, u64)>,
    open: Option<Open<'a>>,
    last: (usize, u64),
}

struct Open<'a> {
    part: usize,
    elements: Box<dyn Elements + 'a>,
    /// The number of the next element.
    next: u64,
    /// The number of the first element that is no longer in reach: in another part, or not read ahead.
    until: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a dyn Source, plan: &'a Plan) -> Self {
        let skipped = plan.skipped.iter().map(|skipped| (skipped.part, skipped.position)).collect();
        Self { source, plan, skipped, open: None, last: (0, 0) }
    }

    /// Goes to the last place at or before the element numbered `element` from which reading can start, for reading up to
    /// `stop`. Gives the number of the element there, and that of its entry in the index, where it is one.
    pub(super) fn seek(&mut self, element: u64, stop: u64) -> Result<(u64, Option<usize>)> {
        let Some((number, entry)) = self.plan.index.before(element) else {
            return Ok((element, None));
        };
        let here = self.open.as_ref().filter(|open| open.next <= element && open.part == entry.part);
        if let Some(open) = here {
            // Going on is as good as starting anew, where that would mean to read the same again.
            let again = || self.source.entry(entry.part, entry.position) <= open.elements.position();
            let costs = !self.source.seekable(open.part)
                || self.source.entry(entry.part, entry.position) < entry.position && again();
            if open.next == element || costs {
                return Ok((open.next, None));
            }
        }
        self.open_at(entry.part, entry.position, entry.element, stop)?;
        Ok((entry.element, Some(number)))
    }

    fn open_at(&mut self, part: usize, position: u64, next: u64, stop: u64) -> Result<()> {
        // A part that is read from end to end is opened once.
        let end =
            self.plan.index.after(stop).filter(|entry| {
                entry.part == part && self.source.entry(part, entry.position) == entry.position
            });
        let (end, until) = end.map_or_else(
            || (u64::MAX, self.plan.index.end_of(part)),
            |entry| (entry.position, entry.element),
        );
        self.open =
            Some(Open { part, elements: self.source.read(part, position..end, Want::Whole)?, next, until });
        Ok(())
    }

    /// Lends the next element and its number; or a run of up to so many.
    pub(super) fn next<R>(
        &mut self,
        most: u64,
        take: impl FnOnce(u64, &Element<'_>) -> Result<R>,
    ) -> Result<R> {
        self.find()?;
        let Some(open) = &mut self.open else { return Err(changed()) };
        let (part, number) = (open.part, open.next);
        let place = |e: Error, byte: u64| at_position(self.source, part, byte, e.at_element(number));
        let at = open.elements.position();
        self.last = (part, at);
        match open.elements.next_run(most.min(open.until - open.next)) {
            Ok(Some(element)) => {
                open.next += element.count();
                let byte = element.position();
                self.last = (part, byte);
                take(number, &element).map_err(|e| match (e.kind(), element.file()) {
                    (ErrorKind::Input, Some(file)) => place(e.in_file(file), byte),
                    (ErrorKind::Input, None) => place(e, byte),
                    _ => e,
                })
            }
            Ok(None) => Err(changed()),
            Err(error) => Err(place(error, at)),
        }
    }

    /// The part and the position of the element that was read last.
    pub(super) fn last(&self) -> (usize, u64) {
        self.last
    }

    /// Passes over the next element.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.find()?;
        let Some(open) = &mut self.open else { return Err(changed()) };
        if !open.elements.skip()? {
            return Err(changed());
        }
        open.next += 1;
        Ok(())
    }

    /// Moves to where the next good element starts: over those that pass 1 has left out, and on to the next part.
    fn find(&mut self) -> Result<()> {
        loop {
            let Some(open) = &mut self.open else {
                let (_, entry) = self.plan.index.before(0).ok_or_else(changed)?;
                self.open_at(entry.part, entry.position, entry.element, self.plan.elements)?;
                continue;
            };
            if open.next >= open.until {
                let (_, entry) = self.plan.index.before(open.next).ok_or_else(changed)?;
                self.open_at(entry.part, entry.position, entry.element, self.plan.elements)?;
                continue;
            }
            if self.skipped.is_empty() || !self.skipped.contains(&(open.part, open.elements.position())) {
                return Ok(());
            }
            match open.elements.next() {
                Ok(Some(_)) => {}
                Ok(None) => return Err(changed()),
                Err(error) if error.kind() == ErrorKind::Input && self.plan.on_error == OnError::Skip => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn changed() -> Error {
    Error::input("the dataset holds fewer elements than in pass 1: it has changed in between")
        .hint("run it again")
}
