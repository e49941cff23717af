//! Pass 2: blocks are filled by all cores, each straight into its place in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Lost, Result};
use crate::parallel::on_threads;
use crate::plan::{CounterPlan, Plan, Rows};
use crate::progress::Progress;
use crate::scan::profile::Skipped;
use crate::scan::{OnError, check_skipped};
use crate::source::{Part, Source};
use crate::store::files::FileRecord;
use crate::store::{Checksum, Store, changed};
use crate::value::Slots;

mod cast;
mod cursor;
mod fill;
pub(crate) mod grow;
mod journal;
pub mod manifest;
mod pixels;
mod place;
mod publish;
pub mod repair;
mod staging;
pub mod tasks;
mod there;
mod unfinished;
pub mod verify;

use cursor::Cursor;
use fill::{Block, Filler, Scratch, slots_of};
use journal::{DoneBlock, Journal};
pub use publish::{Report, WriteOptions, check_target, stage, write, write_staged};
pub use staging::Staging;
pub use unfinished::{Asked, Left};

/// What is known of a block once it is written.
struct Written {
    /// Its bytes in each array, and their checksum.
    arrays: Vec<Note>,
    /// Where the counters stood before and after it.
    totals: [Vec<u64>; 2],
    /// The files that were completed with it.
    files: Vec<FileRecord>,
}

/// The bytes of a block in an array, and their checksum.
pub(crate) type Note = (u64, Checksum);

/// What is known of all blocks: columns that are made once, so that it grows by a few bytes a block and no more.
struct Notes {
    done: Vec<bool>,
    /// For each array, a note of each block.
    arrays: Vec<Vec<Note>>,
    /// For each counter, where it stood before and after each block.
    counters: Vec<Vec<[u64; 2]>>,
    /// The files that are complete.
    files: BTreeMap<PathBuf, FileRecord>,
}

impl Notes {
    fn of(plan: &Plan) -> Self {
        let blocks = usize::try_from(plan.blocks()).unwrap_or(usize::MAX);
        Self {
            done: vec![false; blocks],
            arrays: vec![vec![(0, Checksum(0)); blocks]; plan.arrays.len()],
            counters: vec![vec![[0; 2]; blocks]; plan.counters.len()],
            files: BTreeMap::new(),
        }
    }

    /// Notes by which only these blocks are still to be done.
    fn but(plan: &Plan, blocks: &BTreeSet<u64>) -> Self {
        let mut notes = Self::of(plan);
        notes.done = (0..plan.blocks()).map(|number| !blocks.contains(&number)).collect();
        notes
    }

    /// How many blocks are done.
    fn done(&self) -> u64 {
        self.done.iter().map(|done| u64::from(*done)).sum()
    }

    fn is_done(&self, number: u64) -> bool {
        usize::try_from(number).is_ok_and(|number| self.done[number])
    }

    /// Takes a block that an earlier run has written.
    fn restore(&mut self, block: DoneBlock) {
        let DoneBlock { number, arrays, totals, files } = block;
        self.take(number, Written { arrays, totals, files });
    }

    fn take(&mut self, number: u64, written: Written) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.done[number] = true;
        self.files.extend(written.files.into_iter().map(|file| (file.path.clone(), file)));
        for (column, note) in self.arrays.iter_mut().zip(written.arrays) {
            column[number] = note;
        }
        let [before, after] = written.totals;
        for (column, totals) in self.counters.iter_mut().zip(before.into_iter().zip(after)) {
            column[number] = totals.into();
        }
    }

    /// The notes of each array, if every block was written and begins where the one before ends.
    fn joined(self, plan: &Plan) -> Result<Filled> {
        let follow = |(column, counter): (&Vec<[u64; 2]>, &CounterPlan)| {
            let mut at = 0;
            column.iter().all(|[before, after]| std::mem::replace(&mut at, *after) == *before)
                && at == counter.total
        };
        if self.done.iter().all(|done| *done) && self.counters.iter().zip(&plan.counters).all(follow) {
            return Ok(Filled { arrays: self.arrays, files: self.files.into_values().collect() });
        }
        Err(changed())
    }
}

/// What came of all blocks.
enum Outcome {
    /// All are in the store.
    Done(Filled),
    /// Elements that passed the scan, but do not fit their rows.
    Bad(Vec<Skipped>),
}

/// What is known of blocks that are all done.
struct Filled {
    /// For each array, the bytes and checksum of each block.
    arrays: Vec<Vec<Note>>,
    /// The files that were completed with them.
    files: Vec<FileRecord>,
}

/// What came of the blocks that were to be filled.
struct Attempt {
    /// What is known of all blocks.
    notes: Notes,
    /// Elements that passed the scan, but do not fit their rows.
    bad: Vec<Skipped>,
}

impl Attempt {
    /// The same of a plan all of whose blocks were to be done.
    fn outcome(self, plan: &Plan) -> Result<Outcome> {
        if self.bad.is_empty() {
            self.notes.joined(plan).map(Outcome::Done)
        } else {
            Ok(Outcome::Bad(self.bad))
        }
    }
}

/// Writes the blocks of a plan to a store, but for those that are noted already, and notes them in a journal.
///
/// # Errors
/// The first element, in the order of the dataset, that does not fit its row; or reading or writing fails.
fn fill_blocks(
    source: &dyn Source,
    plan: &Plan,
    store: &dyn Store,
    progress: &dyn Progress,
    notes: Notes,
    journal: Option<&Journal>,
) -> Result<Attempt> {
    check_parts(source, &plan.parts)?;
    let runs = runs_of(source, plan, &notes);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    // Blocks after the first that failed need not be filled; those before may fail even earlier in the dataset.
    let failed_block = AtomicU64::new(u64::MAX);
    let failure: Mutex<Option<(u64, Error)>> = Mutex::new(None);
    let notes = Mutex::new(notes);
    let bad: Mutex<Vec<Skipped>> = Mutex::new(Vec::new());
    on_threads(plan.threads.min(runs.len()), || {
        let mut worker = Worker::new(source, plan);
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            for number in run.clone() {
                if stop.load(Ordering::Relaxed)
                    || progress.cancelled()
                    || number > failed_block.load(Ordering::Relaxed)
                {
                    break;
                }
                let written = worker.write_block(number, store, progress).and_then(|written| {
                    // Where elements are bad, all of it is done anew.
                    if let (Some(journal), true) = (journal, worker.bad.is_empty()) {
                        journal.note(number, &written)?;
                    }
                    Ok(written)
                });
                match written {
                    Ok(written) => {
                        notes.lock().unwrap_or_else(PoisonError::into_inner).take(number, written);
                    }
                    Err(error) => {
                        stop.store(error.kind() != ErrorKind::Input, Ordering::Relaxed);
                        failed_block.fetch_min(number, Ordering::Relaxed);
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        if failure.as_ref().is_none_or(|first| number < first.0) {
                            *failure = Some((number, error));
                        }
                        break;
                    }
                }
            }
        }
        bad.lock().unwrap_or_else(PoisonError::into_inner).append(&mut worker.bad);
    })?;
    if let Some((_, error)) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if progress.cancelled() {
        return Err(stopped());
    }
    check_parts(source, &plan.parts)?;
    let mut bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A block may meet an element that belongs to the one before.
    bad.sort_by_key(|skipped| (skipped.part, skipped.position));
    bad.dedup_by_key(|skipped| (skipped.part, skipped.position));
    Ok(Attempt { notes: notes.into_inner().unwrap_or_else(PoisonError::into_inner), bad })
}

/// How long a block may go on that has been begun when the run is asked to stop. Those of the largest outputs are of gigabytes.
const PATIENCE: Duration = Duration::from_secs(2);

fn stopped() -> Error {
    Error::new(ErrorKind::Interrupted, "stopped as asked")
}

/// Refuses parts that are not those of the scan any more, whether another dataset was opened or a file has changed.
fn check_parts(source: &dyn Source, then: &[Part]) -> Result<()> {
    let now = source.parts();
    if now.len() != then.len() {
        return Err(Error::input(format!(
            "the dataset had {} files when it was scanned, and has {} now",
            then.len(),
            now.len()
        ))
        .hint("scan it again: run `convert` again, or make the plan anew"));
    }
    for (part, (now, then)) in now.iter().zip(then).enumerate() {
        let here = source.part_now(part)?;
        if here.absolute() != *then {
            let how = match here.bytes == then.bytes {
                true => "its time of change is another".into(),
                false => format!("it had {} bytes, and has {} now", then.bytes, here.bytes),
            };
            return Err(Error::input(format!("the file has changed since it was scanned: {how}"))
                .in_file(&now.path)
                .hint("scan it again: run `convert` again, or make the plan anew"));
        }
    }
    Ok(())
}

/// Blocks that one thread fills one after another: single ones where reading can begin anywhere, and else those for which it
/// begins in the same place. Those that are done are in none.
fn runs_of(source: &dyn Source, plan: &Plan, notes: &Notes) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut last = None;
    for number in (0..plan.blocks()).filter(|number| !notes.is_done(*number)) {
        let at = plan.index.before(number * plan.block_rows).map(|(_, entry)| (entry.part, entry.position));
        let entry = at.map(|(part, position)| (part, source.entry(part, position)));
        let goes_on = at != entry || at.is_some_and(|(part, _)| !source.seekable(part));
        match runs.last_mut() {
            Some(run) if goes_on && entry == last && run.end == number => run.end = number + 1,
            _ => runs.push(number..number + 1),
        }
        last = entry;
    }
    runs
}

struct Worker<'a> {
    plan: &'a Plan,
    cursor: Cursor<'a>,
    slots: Slots,
    fillers: Vec<Filler<'a>>,
    scratch: Scratch,
    /// Elements that do not fit, where they are to be skipped.
    bad: Vec<Skipped>,
    /// The number of the element that the counters stand before, while reading goes on there.
    counted: Option<(u64, Vec<u64>)>,
}

impl<'a> Worker<'a> {
    fn new(source: &'a dyn Source, plan: &'a Plan) -> Self {
        let slots = slots_of(plan);
        Self {
            plan,
            cursor: Cursor::new(source, plan),
            fillers: (0..plan.features.len()).map(|number| Filler::of(plan, number, &slots)).collect(),
            slots,
            scratch: Scratch::default(),
            bad: Vec::new(),
            counted: None,
        }
    }

    fn write_block(&mut self, number: u64, store: &dyn Store, progress: &dyn Progress) -> Result<Written> {
        let plan = self.plan;
        let start = number * plan.block_rows;
        let stop = (start + plan.block_rows).min(plan.elements);
        let before = self.seek(start, stop)?;
        let mut block = Block::begin(store, plan, start, stop - start, before.clone())?;
        let Self { cursor, slots, fillers, scratch, bad, .. } = self;
        let (run, mut read, mut at) = (plan.run(), 0, start);
        let mut asked: Option<Instant> = None;
        while at < stop {
            if progress.cancelled() && asked.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(stopped());
            }
            let most = run.min(stop - at);
            let mut count = 1;
            let filled = cursor.next(most, |number, element| {
                read += element.stored_bytes();
                count = element.count();
                slots.find(element, |_| Ok::<_, Error>(false))?;
                fillers.iter().try_for_each(|filler| filler.fill(number, element, slots, &mut block, scratch))
            });
            if !tolerate(filled, plan, cursor.last(), bad)? {
                // How many elements are lost is for another scan to say.
                return Ok(Written {
                    arrays: vec![(0, Checksum(0)); plan.arrays.len()],
                    totals: [Vec::new(), Vec::new()],
                    files: Vec::new(),
                });
            }
            at += count;
        }
        if stop == plan.elements {
            fillers.iter().try_for_each(|filler| filler.end(&mut block))?;
        }
        let bytes: Vec<u64> = block.filled().collect();
        if bad.is_empty() {
            check_filled(plan, &bytes, stop - start)?;
        }
        let after = block.totals.clone();
        self.counted = Some((stop, after.clone()));
        let (checksums, files) = block.commit()?;
        progress.advance(read);
        let arrays = bytes.into_iter().zip(checksums).collect();
        Ok(Written { arrays, totals: [before, after], files })
    }

    /// Moves to an element, and tells where the counters stand before it.
    fn seek(&mut self, start: u64, stop: u64) -> Result<Vec<u64>> {
        let plan = self.plan;
        let (mut at, entry) = self.cursor.seek(start, stop)?;
        let mut totals: Vec<u64> = match (entry, self.counted.take()) {
            (Some(entry), _) => plan
                .counters
                .iter()
                .map(|counter| match counter.indexed {
                    Some(indexed) => plan.index.total_before(indexed, entry),
                    None => counter.each * at,
                })
                .collect(),
            (None, Some((element, totals))) if element == at => totals,
            (None, _) => vec![0; plan.counters.len()],
        };
        let Self { cursor, slots, fillers, scratch, bad, .. } = self;
        while at < start {
            if plan.counts() {
                let counted = cursor.next(1, |_, element| {
                    slots.find(element, |_| Ok::<_, Error>(false))?;
                    fillers.iter().try_for_each(|filler| filler.count(element, slots, &mut totals, scratch))
                });
                // Where elements turn out bad, the totals do not matter: all is done anew without them.
                if !tolerate(counted, plan, cursor.last(), bad)? {
                    return Ok(totals);
                }
            } else {
                cursor.skip()?;
                for (total, counter) in totals.iter_mut().zip(&plan.counters) {
                    *total += counter.each;
                }
            }
            at += 1;
        }
        Ok(totals)
    }
}

/// Notes an element that does not fit, where such may be skipped; says whether the next can be gone on with.
fn tolerate(
    outcome: Result<()>,
    plan: &Plan,
    (part, position): (usize, u64),
    bad: &mut Vec<Skipped>,
) -> Result<bool> {
    let error = match outcome {
        Err(error) if error.kind() == ErrorKind::Input && plan.on_error == OnError::Skip => error,
        other => return other.map(|()| true),
    };
    if error.place().element.is_none() {
        return Err(error);
    }
    check_skipped(plan.skipped.len() + bad.len())?;
    let goes_on = error.lost() == Lost::Element;
    bad.push(Skipped::by(&error, part, position));
    Ok(goes_on)
}

/// Rows filled against rows promised.
fn check_filled(plan: &Plan, bytes: &[u64], rows: u64) -> Result<()> {
    for (array, filled) in plan.arrays.iter().zip(bytes) {
        let promised = match array.rows {
            Rows::Elements => rows * array.row_bytes(),
            _ => continue,
        };
        if promised != *filled {
            return Err(Error::input(format!(
                "a block of `{}` has {filled} bytes instead of {promised}: this is a defect of the program",
                array.name
            )));
        }
    }
    Ok(())
}
