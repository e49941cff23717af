//! One task.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind as IoErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::super::fill::starts;
use super::super::journal::{self, DoneBlock, Journal, Trusted};
use super::super::publish::{WriteOptions, restore};
use super::super::{Notes, Worker, Written, fill_blocks};
use super::{BAD, Batch, DONE, Done, write_at_once};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Plan, Rows};
use crate::scan::profile::Skipped;
use crate::source::Source;
use crate::store::share::{Piece, Share};
use crate::store::{self, Checksum, Hasher, Opening, Output, aside};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// How a task is done.
pub struct TaskOptions<'a> {
    /// As of any pass 2. Whether an output may be replaced was said when the plan was made.
    pub writing: &'a WriteOptions<'a>,
    /// A directory of a local disk, where files of a Zarr store are built before they are copied to the output.
    pub scratch: Option<&'a Path>,
}

/// What came of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskReport {
    /// It was done already.
    WasDone,
    /// It is done now: so many blocks, of which some were done before.
    Done {
        /// All of its blocks.
        blocks: u64,
        /// Those that an earlier process had done.
        before: u64,
    },
}

impl Batch {
    /// Whether a task is done.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn is_done(&self, task: u64) -> Result<bool> {
        self.done(task).map(|done| done.is_some())
    }

    /// Does a task, or what is left of it. The plan need not hold more than the task must know; `number` gives the numbers that
    /// parts have in all of it.
    ///
    /// # Errors
    /// An element does not fit its row, or reading or writing fails. What is done is kept.
    pub fn run(
        &self,
        task: u64,
        source: &dyn Source,
        plan: &Plan,
        number: impl Fn(usize) -> usize,
        options: &TaskOptions<'_>,
    ) -> Result<TaskReport> {
        let blocks = plan.blocks_of(&self.tasks, task);
        let writing = options.writing;
        let mine = self.of_task(task).join(crate::unique::name());
        // Not the directories above: those of a plan that is done with must not come back.
        match fs::create_dir(self.of_task(task)) {
            Err(e) if e.kind() != IoErrorKind::AlreadyExists => Err(Error::io("create", &mine, e)),
            _ => fs::create_dir(&mine).map_err(|e| Error::io("create", &mine, e)),
        }?;
        let share = Share {
            ranges: ranges(source, plan, &blocks)?,
            align: self.tasks.align,
            unfinished: mine.join("unfinished"),
            scratch: options.scratch.map(Path::to_path_buf),
        };
        let earlier = if writing.restart { Vec::new() } else { self.earlier(task, plan, &blocks)? };
        let kept_aside = mine.join(ASIDE);
        let (store, restored) = self.open(plan, &share, &kept_aside, earlier)?;
        let journal = Journal::open(&mine, self.plan, Trusted::default())?;
        let mut notes = Notes::but(plan, &blocks.clone().collect::<BTreeSet<_>>());
        let (all, done) = (blocks.end - blocks.start, restored.len() as u64);
        for block in restored {
            let DoneBlock { number, arrays, totals, files } = block;
            let written = Written { arrays, totals, files };
            journal.note(number, &written)?;
            notes.take(number, written);
        }
        if done > 0 {
            writing.progress.resumed(done, all);
        }
        let per_block = plan.stored_bytes / plan.blocks().max(1);
        writing.progress.begin("write", per_block * all);
        writing.progress.advance(per_block * done);
        let fill = || fill_blocks(source, plan, store.as_ref(), writing.progress, notes, Some(&journal));
        let attempt = match writing.durable {
            Some(every) => journal.during(every, fill),
            None => fill(),
        };
        writing.progress.end();
        if attempt.is_err() {
            // It may be gone on with from another machine, which counts on nothing else.
            journal.make_durable()?;
        }
        let attempt = attempt.map_err(|error| kept(error, &mine, all))?;
        if !attempt.bad.is_empty() {
            return Err(self.bad(task, attempt.bad, number)?);
        }
        // Others count on what is said to be done, whatever becomes of this machine: unless it is said not to wait.
        if writing.durable.is_some() {
            store.sync()?;
        }
        let pieces = pieces(store, &kept_aside)?;
        if writing.durable.is_some() {
            journal.sync()?;
        }
        drop(journal);
        let by = mine.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.of_task(task).join(DONE);
        let text =
            serde_json::to_vec(&Done { by, pieces }).map_err(|e| Error::io("write", &path, e.into()))?;
        write_at_once(&path, &text)?;
        Ok(TaskReport::Done { blocks: all, before: done })
    }

    /// Opens the store of a share, with what an earlier process has done of it: the first of them all of whose pieces are there.
    fn open(
        &self,
        plan: &Plan,
        share: &Share,
        kept_aside: &Path,
        earlier: Vec<(PathBuf, Vec<DoneBlock>)>,
    ) -> Result<(Box<dyn Output>, Vec<DoneBlock>)> {
        let (output, how) = (self.directory.join("output"), (plan.layout, plan.io));
        let open = || store::open(&output, kept_aside, how, &plan.arrays, Opening::Share(share));
        for (process, done) in earlier {
            let store = open()?;
            let taken = done.iter().try_for_each(|block| restore(plan, store.as_ref(), block));
            if taken.and_then(|()| store.take_over(&process.join(ASIDE))).is_ok() {
                return Ok((store, done));
            }
        }
        Ok((open()?, Vec::new()))
    }

    /// What processes have done of a task, and where; the one that has done most comes first.
    fn earlier(&self, task: u64, plan: &Plan, blocks: &Range<u64>) -> Result<Vec<(PathBuf, Vec<DoneBlock>)>> {
        let mut all = Vec::new();
        for process in self.processes(task)? {
            let Some(trusted) = journal::look(&process, self.plan)? else { continue };
            let mut done: Vec<DoneBlock> = Vec::new();
            journal::blocks(&process, trusted, |block| done.push(block))?;
            done.sort_by_key(|block| block.number);
            done.dedup_by_key(|block| block.number);
            let sound = done.iter().all(|block| block.is_of(plan) && blocks.contains(&block.number));
            if sound && !done.is_empty() {
                all.push((process, done));
            }
        }
        all.sort_by_key(|(_, done)| std::cmp::Reverse(done.len()));
        Ok(all)
    }

    /// Keeps what elements have turned out to be bad, and gives the error that says so.
    fn bad(&self, task: u64, mut bad: Vec<Skipped>, number: impl Fn(usize) -> usize) -> Result<Error> {
        for bad in &mut bad {
            bad.part = number(bad.part);
        }
        let path = self.of_task(task).join(BAD);
        let text = serde_json::to_vec(&bad).map_err(|e| Error::io("write", &path, e.into()))?;
        write_at_once(&path, &text)?;
        let (first, others) = (&bad[0], bad.len() - 1);
        let message = match others {
            0 => first.reason.clone(),
            _ => format!("{} (and {others} more do not fit)", first.reason),
        };
        Ok(Error::input(message)
            .at_place(&first.place)
            .hint("pass 1 does not decode all that it counts: make the plan anew with `--restart`, and it is left out"))
    }
}

/// Says of an error how much is done.
fn kept(error: Error, mine: &Path, all: u64) -> Error {
    match journal::progress(mine) {
        Ok((_, done)) if done > 0 && error.kind() != ErrorKind::Input => error
            .hint(format!("{done} of {all} blocks are done, and kept: the same command goes on from there")),
        _ => error,
    }
}

/// Where a process keeps pieces aside.
pub(super) const ASIDE: &str = "aside";

/// Of each array, the bytes that blocks have of it.
fn ranges(source: &dyn Source, plan: &Plan, blocks: &Range<u64>) -> Result<Vec<Range<u64>>> {
    let elements = plan.elements_of(blocks);
    if elements.is_empty() {
        return Ok(vec![0..0; plan.arrays.len()]);
    }
    let before = starts(plan, elements.start, &totals(source, plan, elements.start)?).collect::<Vec<_>>();
    let after = starts(plan, elements.end, &totals(source, plan, elements.end)?).collect::<Vec<_>>();
    let ranges = before.into_iter().zip(after).zip(&plan.arrays);
    let ranges = ranges.map(|((start, end), array)| {
        let with_end = matches!(array.rows, Rows::ElementsAndEnd | Rows::CountedAndEnd(_));
        start..if with_end && elements.end == plan.elements { array.bytes() } else { end }
    });
    Ok(ranges.collect())
}

/// Where the counters stand before an element.
fn totals(source: &dyn Source, plan: &Plan, element: u64) -> Result<Vec<u64>> {
    let counters = plan.counters.iter();
    if element == 0 {
        return Ok(vec![0; plan.counters.len()]);
    }
    if element == plan.elements {
        return Ok(counters.map(|counter| counter.total).collect());
    }
    // Where the index tells, its part need not even be among those of the task.
    let known = plan.index.before(element).filter(|(_, entry)| entry.element == element);
    if known.is_some() || !plan.counts() {
        let total = |indexed| known.map_or(0, |(number, _)| plan.index.total_before(indexed, number));
        return Ok(counters.map(|counter| counter.indexed.map_or(counter.each * element, total)).collect());
    }
    let mut worker = Worker::new(source, plan);
    worker.seek(element, element)
}

/// What was kept aside, with checksums.
fn pieces(store: Box<dyn Output>, directory: &Path) -> Result<Vec<Piece>> {
    let found = store.pieces()?;
    // Whoever comes after must find what was written, and some file systems see to that when a file is closed.
    drop(store);
    let piece = |(array, range): (usize, Range<u64>)| {
        let (start, bytes) = (range.start, range.end - range.start);
        let path = directory.join(aside::name(array, start));
        Ok(Piece { array, start, bytes, checksum: checksum(&path, bytes)? })
    };
    found.into_iter().map(piece).collect()
}

fn checksum(path: &Path, bytes: u64) -> Result<Checksum> {
    let failed = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?.take(bytes);
    let (mut hasher, mut piece) = (Hasher::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&piece[..count]),
        }
    }
}
