//! A program as a source.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Batch, LIVE, part};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Alike, Elements, Part, Source, Want};
use crate::value::{Element, Field};

/// What is taken of a dataset whose number of elements is not known, for whatever depends on its size: so many bytes, and no more
/// elements than these.
const UNKNOWN: (u64, u64) = (8 << 30, 1 << 20);

/// A batch that is put together, one that waits, one that is taken, and what is made of it may be there at once.
const COPIES: u64 = 4;

/// Where elements come from.
pub struct Feed {
    /// What people know it as.
    pub name: String,
    /// Begins at the first element.
    pub begin: Begin,
    /// How many elements there will be, if that is known.
    pub elements: Option<u64>,
    /// Whether all elements are said to be as the first in all but their values.
    pub alike: bool,
    /// Whether it can begin more than once, and gives the same each time.
    pub again: bool,
    /// Bytes of memory that wait to be taken, at most.
    pub held: u64,
    /// Bytes of memory that an element may take while it is handed on.
    pub memory: u64,
}

/// What begins at the first element, and gives batches until there are no more.
pub type Begin = Box<dyn Fn() -> Result<Batches> + Send + Sync>;
/// Batches, one after another.
pub type Batches = Box<dyn Iterator<Item = Result<Batch>> + Send>;

/// A program that gives elements, as a source of one part that is read from its start on.
pub struct Live {
    shared: Arc<Shared>,
    parts: [Part; 1],
    /// Whether the first element alone tells what all are.
    of_the_first: bool,
}

struct Shared {
    feed: Feed,
    /// Whether it has begun before.
    used: AtomicBool,
    /// What was begun, if no more was taken of it than its first batch, and that batch.
    begun: Mutex<Option<(Batches, Batch)>>,
}

impl Live {
    /// A source of what a program gives. The first element tells what all are where that is said, and how many there are is known.
    #[must_use]
    pub fn new(feed: Feed) -> Self {
        let (parts, of_the_first) = ([part(&feed.name, 0)], feed.alike && feed.elements.is_some());
        let shared = Shared { feed, used: AtomicBool::new(false), begun: Mutex::default() };
        Self { shared: Arc::new(shared), parts, of_the_first }
    }

    /// The same, where the first element tells what all are, whether or not that is said; or where it does not.
    pub(crate) fn told_by_the_first(&self, of_the_first: bool) -> Self {
        Self { shared: Arc::clone(&self.shared), parts: self.parts.clone(), of_the_first }
    }

    /// Where the elements come from.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// All batches: those of what was begun, if no more was taken of it than the first of them.
    ///
    /// # Errors
    /// It cannot be begun.
    pub fn batches(&self) -> Result<Batches> {
        let (batches, first) = self.begin()?;
        Ok(Box::new(std::iter::once(Ok(first)).chain(batches)))
    }

    /// Whether it can be read from its start on: if it comes only once, no more has been taken of it than its first batch.
    pub(crate) fn can_begin(&self) -> bool {
        self.feed().again || !self.shared.used.load(Ordering::Relaxed) || self.begun().is_some()
    }

    fn begin(&self) -> Result<(Batches, Batch)> {
        if let Some(begun) = self.begun().take() {
            return Ok(begun);
        }
        if self.shared.used.swap(true, Ordering::Relaxed) && !self.feed().again {
            return Err(Error::request("it can be iterated over only once"));
        }
        let Feed { name, begin, memory, .. } = self.feed();
        let (name, memory, mut elements) = (PathBuf::from(name), *memory, 0);
        let batches = begin()?.map(move |batch| {
            let batch = batch?;
            elements += batch.elements();
            let held = batch.held().saturating_mul(COPIES);
            // There is more than one element only of those that are small.
            if held > memory {
                Err(too_large(held, memory).in_file(&name).at_element(elements - 1))
            } else {
                Ok(batch)
            }
        });
        Ok((Box::new(batches), Batch::default()))
    }

    fn begun(&self) -> MutexGuard<'_, Option<(Batches, Batch)>> {
        self.shared.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_large(held: u64, memory: u64) -> Error {
    let (held, memory) = (held.div_ceil(1 << 20), memory >> 20);
    let message = format!("it takes {held} MiB while it is handed on, but the budget is {memory} MiB");
    Error::new(ErrorKind::Resources, message).hint(format!("allow it with `--memory {held}MiB`"))
}

impl Source for Live {
    fn format(&self) -> &str {
        LIVE
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn part_now(&self, part: usize) -> Result<Part> {
        Ok(self.parts[part].clone())
    }

    fn positions_are_bytes(&self, _part: usize) -> bool {
        false
    }

    fn held(&self) -> u64 {
        self.feed().held
    }

    fn alike(&self, part: usize) -> Option<Alike> {
        if !self.of_the_first {
            return None;
        }
        let of_first = || {
            let mut elements = self.read(part, 0..u64::MAX, Want::Whole).ok()?;
            let first = elements.next().map(|first| first.map(|first| first.stored_bytes()));
            drop(elements);
            let bytes = first.unwrap_or_else(|error| {
                // It may not come again.
                *self.begun() = Some((Box::new(std::iter::once(Err(error))), Batch::default()));
                None
            });
            bytes.map(|bytes| (UNKNOWN.0 / bytes.max(1)).clamp(1, UNKNOWN.1))
        };
        let elements = self.feed().elements.or_else(of_first)?;
        Some(Alike { elements, step: 1, sound: true })
    }

    fn read(&self, _part: usize, range: Range<u64>, _want: Want) -> Result<Box<dyn Elements + '_>> {
        let (batches, batch) = self.begin()?;
        let mut elements = LiveElements {
            source: self,
            batches: Some(batches),
            batch,
            before: 0,
            at: 0,
            end: range.end,
            consumed: 0,
            moved: Vec::new(),
        };
        while elements.at < range.start && elements.skip()? {}
        Ok(Box::new(elements))
    }

    fn seekable(&self, _part: usize) -> bool {
        false
    }

    fn find_element(&self, _part: usize, range: Range<u64>) -> Result<Option<u64>> {
        Ok(Some(range.start))
    }
}

/// The elements of a program. Positions are their numbers.
struct LiveElements<'a> {
    source: &'a Live,
    /// Nothing after an error.
    batches: Option<Batches>,
    batch: Batch,
    /// The number of the batch's first element.
    before: u64,
    at: u64,
    end: u64,
    /// Bytes of the elements that were lent.
    consumed: u64,
    moved: Vec<Field>,
}

impl LiveElements<'_> {
    /// Goes to the next batch if this one is used up; says whether there is an element.
    fn find(&mut self) -> Result<bool> {
        while self.at < self.end && self.at - self.before >= self.batch.elements() {
            let Some(batches) = &mut self.batches else { return Ok(false) };
            match batches.next() {
                Some(Ok(batch)) => (self.batch, self.before) = (batch, self.at),
                Some(Err(error)) => {
                    self.batches = None;
                    return Err(error);
                }
                None => return Ok(false),
            }
        }
        Ok(self.at < self.end)
    }
}

impl Elements for LiveElements<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        self.next_run(1)
    }

    fn next_run(&mut self, most: u64) -> Result<Option<Element<'_>>> {
        if !self.find()? {
            return Ok(None);
        }
        let Self { batch, before, at, consumed, moved, .. } = self;
        let element = batch.lend(*at - *before, most, *at, moved);
        *at += element.count();
        *consumed += element.stored_bytes();
        Ok(Some(element))
    }

    fn skip(&mut self) -> Result<bool> {
        let there = self.find()?;
        self.at += u64::from(there);
        Ok(there)
    }

    fn position(&self) -> u64 {
        self.at
    }

    fn held(&self) -> u64 {
        COPIES.saturating_mul(self.batch.held())
    }

    fn consumed(&self) -> u64 {
        self.consumed
    }
}

impl Drop for LiveElements<'_> {
    fn drop(&mut self) {
        // What can be begun only once is so for whoever reads next.
        if let (0, Some(batches)) = (self.before, self.batches.take()) {
            let batch = std::mem::take(&mut self.batch);
            *self.source.begun() = Some((batches, batch));
        }
    }
}
