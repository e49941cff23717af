//! Elements in a random order, of datasets that are larger than memory.
//!
//! The dataset is read from its start to its end as often as it is larger than the memory that may be taken, and each time the
//! elements of the next *window* of the new order are kept. So all reading is in sequence, whatever the disk is, and nothing
//! is written in between.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::permutation::Permutation;
use super::pieces::{Piece, changed, pieces_of};
use crate::decode::View;
use crate::error::{Error, ErrorKind, Result};
use crate::parallel::on_threads;
use crate::source::{Choice, Elements, Options, Part, Source, Want, at_position};
use crate::value::{Element, Kept};

/// Elements that are looked at to know what one takes in memory: so many in each of so many places.
const SAMPLED_PIECES: usize = 16;
const SAMPLED_ELEMENTS: usize = 64;
/// Bytes of elements that are kept in one piece of memory.
const ARENA_BYTES: usize = 1 << 20;

/// A dataset in another order.
pub(super) struct Shuffled {
    source: Box<dyn Source>,
    choice: Choice,
    order: Permutation,
    /// Places of the order that are taken.
    rows: Range<u64>,
    pieces: Vec<Piece>,
    /// Elements of a window, and bytes that windows may take.
    window: u64,
    memory: u64,
    threads: usize,
    windows: Mutex<Windows>,
    freed: Condvar,
}

/// The windows in memory: the one that is read, and the one before, as long as someone is still there.
#[derive(Default)]
struct Windows {
    latest: Option<(u64, Arc<Window>)>,
    before: Weak<Window>,
}

impl Shuffled {
    /// The elements of `source` in the order of the seed in `options`, or those of its rows that are asked for.
    ///
    /// # Errors
    /// The dataset cannot be read, or has fewer elements than rows are asked for.
    pub(super) fn open(source: Box<dyn Source>, seed: u64, options: &Options) -> Result<Self> {
        let limit = options.choice.limit.unwrap_or(u64::MAX);
        let pieces = pieces_of(source.as_ref(), limit, options.threads)?;
        let next = pieces.last().map_or(0, |piece| piece.numbers.end);
        let rows = options.choice.rows.map_or(0..next, |[start, end]| start..end);
        if rows.end > next || rows.start > rows.end {
            return Err(Error::input(format!(
                "rows {} to {} are wanted of the shuffled dataset, and it has {next}",
                rows.start, rows.end
            )));
        }
        let bytes: u64 = source.parts().iter().map(|part| part.bytes).sum();
        let bytes =
            pieces.iter().map(|piece| piece.positions.end - piece.positions.start).sum::<u64>().max(bytes);
        // What an element takes on average, with all that is kept of it; and a quarter more, since windows are not alike. On disk
        // they may take far less than in memory.
        let each = bytes.div_ceil(next.max(1)).max(sampled(source.as_ref(), &pieces)?);
        let each = each + each / 4;
        let count = rows.end - rows.start;
        let all = each.saturating_mul(count);
        // While a window is read, some may still be busy with the one before.
        let window = if all <= options.memory { count } else { options.memory / 2 / each };
        Ok(Self {
            choice: Choice { shuffle: Some(seed), rows: options.choice.rows, ..source.choice() },
            order: Permutation::new(next, seed),
            rows,
            pieces,
            window: window.max(1),
            memory: options.memory.min(all.saturating_mul(2).saturating_add(2 * ARENA_BYTES as u64)),
            threads: options.threads,
            windows: Mutex::default(),
            freed: Condvar::new(),
            source,
        })
    }

    /// The window of this number. Who asks must have let go of the one that it had.
    fn window(&self, number: u64) -> Result<Arc<Window>> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some((_, window)) = windows.latest.as_ref().filter(|latest| latest.0 == number) {
                return Ok(Arc::clone(window));
            }
            // Two are in memory at most: the one that is made, and the one before, which others may still read.
            if windows.before.strong_count() == 0 {
                break;
            }
            let timeout = Duration::from_millis(20);
            (windows, _) = self.freed.wait_timeout(windows, timeout).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some((_, window)) = windows.latest.take() {
            windows.before = Arc::downgrade(&window);
        }
        let start = self.rows.start + number * self.window;
        let window = Arc::new(self.load(start..(start + self.window).min(self.rows.end))?);
        windows.latest = Some((number, Arc::clone(&window)));
        Ok(window)
    }

    /// Reads the dataset, and keeps the elements whose places are these.
    fn load(&self, places: Range<u64>) -> Result<Window> {
        let next = AtomicUsize::new(0);
        let held = AtomicUsize::new(0);
        let outcome: Mutex<Result<Vec<Loaded>>> = Mutex::new(Ok(Vec::new()));
        on_threads(self.threads, || {
            let mut loaded = Loaded::default();
            while let Some(piece) = self.pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                let read = self.read_piece(piece, &places, &mut loaded, &held);
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                match read {
                    Ok(()) if outcome.is_ok() => {}
                    Ok(()) => return,
                    Err(error) => {
                        *outcome = Err(error);
                        return;
                    }
                }
            }
            if let Ok(all) = &mut *outcome.lock().unwrap_or_else(PoisonError::into_inner) {
                all.push(loaded);
            }
        })?;
        let all = outcome.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        let mut window = Window { first: places.start, slots: Vec::new(), arenas: Vec::new() };
        window.slots.resize(usize::try_from(places.end - places.start).unwrap_or_default(), Slot::default());
        for Loaded { arenas, found } in all {
            let before = window.arenas.len();
            window.arenas.extend(arenas);
            for (place, slot) in found {
                let at = usize::try_from(place - places.start).unwrap_or(usize::MAX);
                window.slots[at] = Slot { arena: slot.arena + before, ..slot };
            }
        }
        Ok(window)
    }

    fn read_piece(
        &self,
        piece: &Piece,
        places: &Range<u64>,
        loaded: &mut Loaded,
        held: &AtomicUsize,
    ) -> Result<()> {
        let mut elements = self.source.read(piece.part, piece.positions.clone(), Want::Whole)?;
        for number in piece.numbers.clone() {
            let place = self.order.place(number);
            let at = elements.position();
            let located = |e: Error| at_position(self.source.as_ref(), piece.part, at, e.at_element(number));
            if !places.contains(&place) {
                if !elements.skip().map_err(located)? {
                    return Err(changed());
                }
                continue;
            }
            let element = elements.next().map_err(located)?.ok_or_else(changed)?;
            let grown = loaded.keep(&element, place, piece.part);
            let all = held.fetch_add(grown, Ordering::Relaxed) + grown;
            let single = self.window >= self.rows.end - self.rows.start;
            if all as u64 > if single { self.memory } else { self.memory / 2 } {
                return Err(Error::new(
                    ErrorKind::Resources,
                    "elements are of too different sizes to be shuffled in the memory that there is",
                )
                .hint("give more memory with `--memory`"));
            }
        }
        Ok(())
    }
}

/// What some elements from all over the dataset take on average when they are kept, in bytes.
fn sampled(source: &dyn Source, pieces: &[Piece]) -> Result<u64> {
    let mut sample = Loaded::default();
    let (mut bytes, mut count) = (0, 0);
    for piece in pieces.iter().step_by(pieces.len().div_ceil(SAMPLED_PIECES).max(1)) {
        let mut elements = source.read(piece.part, piece.positions.clone(), Want::Whole)?;
        for number in piece.numbers.clone().take(SAMPLED_ELEMENTS) {
            let at = elements.position();
            let located = |e: Error| at_position(source, piece.part, at, e.at_element(number));
            let Some(element) = elements.next().map_err(located)? else { break };
            bytes += sample.keep(&element, number, piece.part) as u64;
            count += 1;
        }
    }
    Ok(bytes.div_ceil(count.max(1)))
}

/// Elements of consecutive places.
struct Window {
    first: u64,
    slots: Vec<Slot>,
    arenas: Vec<Kept>,
}

/// Where an element is kept, and the part that it is of.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    arena: usize,
    number: usize,
    part: usize,
}

/// What a thread has kept.
#[derive(Default)]
struct Loaded {
    arenas: Vec<Kept>,
    /// By place.
    found: Vec<(u64, Slot)>,
}

impl Loaded {
    /// Keeps an element; tells by how many bytes it has grown.
    fn keep(&mut self, element: &Element<'_>, place: u64, part: usize) -> usize {
        if self.arenas.last().is_none_or(|arena| arena.bytes() >= ARENA_BYTES) {
            if let Some(full) = self.arenas.last_mut() {
                full.shrink();
            }
            self.arenas.push(Kept::default());
        }
        let arena = self.arenas.len() - 1;
        let kept = &mut self.arenas[arena];
        let before = kept.bytes();
        self.found.push((place, Slot { arena, number: kept.len(), part }));
        kept.push(element);
        kept.bytes() - before + size_of::<(u64, Slot)>()
    }
}

impl Source for Shuffled {
    fn format(&self) -> &str {
        self.source.format()
    }

    fn parts(&self) -> &[Part] {
        self.source.parts()
    }

    fn part_now(&self, part: usize) -> Result<Part> {
        self.source.part_now(part)
    }

    fn classes(&self) -> BTreeMap<String, Vec<String>> {
        self.source.classes()
    }

    fn rates(&self) -> BTreeMap<String, u64> {
        self.source.rates()
    }

    fn left_out(&self) -> BTreeMap<String, String> {
        self.source.left_out()
    }

    fn view(&self, feature: &str) -> Option<&View> {
        self.source.view(feature)
    }

    fn promised(&self, feature: &str) -> bool {
        self.source.promised(feature)
    }

    fn choice(&self) -> Choice {
        self.choice.clone()
    }

    fn positions_are_bytes(&self, _: usize) -> bool {
        false
    }

    fn can_skip(&self) -> bool {
        false
    }

    fn held(&self) -> u64 {
        self.memory
    }

    fn count(&self) -> Result<Option<(u64, &Path)>> {
        Ok(self.source.count()?.filter(|_| self.choice.rows.is_none()))
    }

    /// All elements are those of the first part: their positions are their places in the new order.
    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        let rows = if part == 0 { self.rows.end - self.rows.start } else { 0 };
        let places = range.start.min(rows)..range.end.min(rows);
        Ok(Box::new(Reader { shuffled: self, next: places.start, until: places.end, window: None }))
    }

    fn seekable(&self, part: usize) -> bool {
        part == 0
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let there = part == 0 && range.start < range.end.min(self.rows.end - self.rows.start);
        Ok(there.then_some(range.start))
    }
}

struct Reader<'s> {
    shuffled: &'s Shuffled,
    next: u64,
    until: u64,
    window: Option<(u64, Arc<Window>)>,
}

impl Reader<'_> {
    fn let_go(&mut self) {
        if self.window.take().is_some() {
            self.shuffled.freed.notify_all();
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Elements for Reader<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        if self.next >= self.until {
            return Ok(None);
        }
        let number = self.next / self.shuffled.window;
        if self.window.as_ref().is_none_or(|window| window.0 != number) {
            self.let_go();
            self.window = Some((number, self.shuffled.window(number)?));
        }
        let Some((_, window)) = &self.window else { return Ok(None) };
        let place = self.shuffled.rows.start + self.next;
        let slot = window.slots[usize::try_from(place - window.first).unwrap_or(usize::MAX)];
        let element = window.arenas[slot.arena].element(slot.number).ok_or_else(changed)?;
        let position = self.next;
        self.next += 1;
        let element = element.at(position);
        Ok(Some(match element.file() {
            Some(_) => element,
            None => element.of_file(&self.shuffled.source.parts()[slot.part].path),
        }))
    }

    fn skip(&mut self) -> Result<bool> {
        let there = self.next < self.until;
        self.next += u64::from(there);
        Ok(there)
    }

    fn position(&self) -> u64 {
        self.next
    }
}
