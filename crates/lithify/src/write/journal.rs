//! What of an unfinished output is done, so that a run that was ended in any way can be gone on with.
//!
//! ```text
//! CRC-64 of what follows, ' ', JSON, '\n'
//! …{"begin":{"by":"lithify 0.1.0","boot":"…","plan":"…"}}        a run begins, or goes on
//! …{"block":{"number":7,"arrays":[…],"totals":[[…],[…]]}}        a block is in its files, as far as this kernel is concerned
//! …{"durable":4711}                                              what the first so many bytes tell of has reached the disk
//! ```
//! A killed process loses nothing that it has written: the kernel has it. So while the machine has not been started anew, every
//! line counts. After that, or on another machine, those count that are followed by a word that they are durable. Where the disk
//! says that it could not keep what was written, the kernel may not have it any more either: then only those stay in the journal.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Note, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{ArrayPlan, Plan, Rows};
use crate::store::Checksum;
use crate::store::files::FileRecord;

/// Bytes of a line before its JSON.
const CHECKSUM_BYTES: usize = 17;

/// Bytes of a line, at most: one that is longer is none.
const MOST_LINE: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begin(Begin),
    Block(DoneBlock),
    Durable(u64),
}

/// Who writes a journal, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begin {
    by: String,
    /// What tells this start of this machine from all others.
    boot: String,
    /// When that was, in seconds since 1970.
    #[serde(default)]
    at: u64,
    /// The checksum of the file of the plan.
    plan: Checksum,
}

impl Begin {
    fn now(plan: Checksum) -> Self {
        let mut boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        boot.truncate(boot.trim_end().len());
        if !boot.is_empty() {
            // Nodes that share a kernel may still have page caches of their own.
            boot = format!("{boot} {}", rustix::system::uname().nodename().to_string_lossy());
        }
        let by = format!("lithify {}", env!("CARGO_PKG_VERSION"));
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        Self { by, boot, at, plan }
    }

    /// Whether what that one has noted means the same to this one.
    fn goes_on_with(&self, other: &Self) -> bool {
        (&self.by, self.plan) == (&other.by, other.plan)
    }
}

/// A block that is done.
#[derive(Serialize, Deserialize)]
pub(super) struct DoneBlock {
    /// Its number.
    pub number: u64,
    /// Its bytes in each array, and their checksum.
    pub arrays: Vec<Note>,
    /// Where the counters stood before and after it.
    pub totals: [Vec<u64>; 2],
    /// Files of the output that were completed with it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<FileRecord>,
}

impl DoneBlock {
    /// Whether it can be a block of this plan.
    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        let Self { number, arrays, totals: [before, after], files } = self;
        let counters = &plan.counters;
        let start = number.saturating_mul(plan.block_rows);
        let rows = plan.elements.saturating_sub(start).min(plan.block_rows);
        let end = u64::from(start + rows == plan.elements);
        let rows_of = |array: &ArrayPlan| match array.rows {
            Rows::Elements => rows,
            Rows::ElementsAndEnd => rows + end,
            Rows::Counted(counter) => after[counter] - before[counter],
            Rows::CountedAndEnd(counter) => after[counter] - before[counter] + end,
        };
        let counts = before.iter().zip(after).zip(counters);
        *number < plan.blocks()
            && (before.len(), after.len()) == (counters.len(), counters.len())
            && counts.clone().all(|((before, after), counter)| before <= after && *after <= counter.total)
            && arrays.len() == plan.arrays.len()
            && arrays
                .iter()
                .zip(&plan.arrays)
                .all(|(note, array)| note.0 == rows_of(array) * array.row_bytes())
            && files.iter().all(|file| plan.layout.is_zarr() && is_below(&file.path))
    }
}

/// Whether a path leads to what is below a directory, and nowhere else.
pub(super) fn is_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// A journal that is being written.
pub(super) struct Journal {
    path: PathBuf,
    /// The directory of the output, by which its file system is told to write everything.
    directory: File,
    state: Mutex<State>,
}

struct State {
    file: File,
    bytes: u64,
    /// Those of them that tell of what has reached the disk.
    durable: u64,
    /// Whether blocks were noted that are not known to be durable.
    fresh: bool,
    /// Whether they could not be made so, or noted: nothing more is.
    failed: bool,
}

impl Journal {
    /// Begins the journal of a plan in a directory, or goes on with its first `bytes`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn open(directory: &Path, plan: Checksum, trusted: Trusted) -> Result<Self> {
        let path = path_in(directory);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::io("create", &path, e))?;
        file.set_len(trusted.bytes).map_err(|e| Error::io("cut", &path, e))?;
        let directory = File::open(directory).map_err(|e| Error::io("open", directory, e))?;
        let Trusted { bytes, durable } = trusted;
        let state = State { file, bytes, durable, fresh: false, failed: false };
        let journal = Self { path, directory, state: Mutex::new(state) };
        journal.append(&mut journal.lock(), &Line::Begin(Begin::now(plan)))?;
        if trusted.durable > 0 {
            // The word for it may just have been cut off.
            journal.append(&mut journal.lock(), &Line::Durable(trusted.durable))?;
        }
        Ok(journal)
    }

    /// Notes a block, all of whose bytes were given to the kernel.
    ///
    /// # Errors
    /// It cannot be written, or blocks before it could not be made durable.
    pub(super) fn note(&self, number: u64, written: &Written) -> Result<()> {
        let mut state = self.lock();
        if state.failed {
            return Err(Error::new(ErrorKind::Io, "what was written before could not be kept"));
        }
        let Written { arrays, totals, files } = written;
        let block =
            DoneBlock { number, arrays: arrays.clone(), totals: totals.clone(), files: files.clone() };
        self.append(&mut state, &Line::Block(block))?;
        state.fresh = true;
        Ok(())
    }

    /// Does some work, and meanwhile makes durable what was noted, so often.
    ///
    /// # Errors
    /// The work fails, or what was noted cannot be made durable.
    pub(super) fn during<T>(&self, every: Duration, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let over = Over::default();
        std::thread::scope(|scope| {
            let keeper = std::thread::Builder::new().spawn_scoped(scope, || -> Result<()> {
                while over.not_within(every) {
                    self.make_durable().inspect_err(|_| self.lock().failed = true)?;
                }
                Ok(())
            });
            let keeper = keeper.map_err(|e| {
                Error::new(
                    ErrorKind::Resources,
                    format!("cannot start a thread that waits for the disk: {e}"),
                )
                .hint("allow this process more threads, or use `--no-sync`")
            })?;
            let done = {
                let _over = Guard(&over);
                work()
            };
            match keeper.join() {
                // It tells why; the work only that something was not kept.
                Ok(kept) => kept.and(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Waits until all that was noted so far has reached the disk.
    ///
    /// # Errors
    /// It could not be written there.
    pub(super) fn make_durable(&self) -> Result<()> {
        let bytes = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.fresh) {
                return Ok(());
            }
            state.bytes
        };
        self.sync()?;
        let mut state = self.lock();
        self.append(&mut state, &Line::Durable(bytes))?;
        state.file.sync_data().map_err(|e| Error::io("write", &self.path, e))?;
        state.durable = bytes;
        Ok(())
    }

    /// Waits until everything that was written has reached the disk. It is asked by one and the same open file each time: one that
    /// was opened later is not told of what has failed before.
    ///
    /// # Errors
    /// It could not be written there. Then only those blocks are done that were known to be there before.
    pub(super) fn sync(&self) -> Result<()> {
        let synced = sync_file_system(&self.directory, &self.path);
        if synced.is_err() {
            let mut state = self.lock();
            state.failed = true;
            // Where not even that is possible, there is no journal any more.
            if state.file.set_len(state.durable).is_err() {
                let _ = fs::remove_file(&self.path);
            }
        }
        synced
    }

    fn append(&self, state: &mut State, line: &Line) -> Result<()> {
        let json = serde_json::to_string(line).map_err(|e| Error::io("write", &self.path, e.into()))?;
        let text = format!("{} {json}\n", String::from(Checksum::of(json.as_bytes())));
        let written = state.file.write_all(text.as_bytes());
        // What comes after a line that is cut does not count.
        state.failed |= written.is_err();
        written.map_err(|e| Error::io("write", &self.path, e))?;
        state.bytes += text.len() as u64;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until everything that was written to the file system of a directory has reached the disk.
///
/// # Errors
/// It could not be written there.
pub(super) fn sync_all(directory: &Path) -> Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let open = File::open(directory).map_err(|e| Error::io("open", directory, e))?;
    sync_file_system(&open, directory)
}

pub(super) fn sync_file_system(any: &File, path: &Path) -> Result<()> {
    rustix::fs::syncfs(any).map_err(|e| Error::io("wait for the disk of", path, e.into()))
}

/// Whether some work is over.
#[derive(Default)]
struct Over {
    is: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    /// Waits so long, or until it is; says whether it is not.
    fn not_within(&self, time: Duration) -> bool {
        let is = self.is.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(is, time, |is| !*is);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Says that it is over, also where the work panics: somebody waits for it.
struct Guard<'a>(&'a Over);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        *self.0.is.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

/// How much of a journal counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trusted {
    /// Its first bytes.
    bytes: u64,
    /// Those of them that tell of what has reached the disk.
    durable: u64,
}

impl Trusted {
    /// All of it: whoever has written it has said that it is complete.
    pub(super) const ALL: Self = Self { bytes: u64::MAX, durable: 0 };
}

/// Looks at the journal in a directory: how much of it counts; `None` if it is not of this plan.
///
/// # Errors
/// It cannot be read, or another version of the program has noted blocks that count.
pub(super) fn look(directory: &Path, plan: Checksum) -> Result<Option<Trusted>> {
    let now = Begin::now(plan);
    let (mut trusted, mut last, mut blocks) = (Trusted::default(), None, 0_u64);
    read(directory, u64::MAX, |line, bytes| {
        match line {
            Line::Begin(begin) if last.as_ref().is_none_or(|last| begin.goes_on_with(last)) => {
                last = Some(begin);
            }
            Line::Block(_) if last.is_some() => blocks += 1,
            Line::Durable(upto) if upto <= trusted.bytes => trusted.durable = upto,
            _ => return ControlFlow::Break(()),
        }
        trusted.bytes = bytes;
        ControlFlow::Continue(())
    })?;
    let Some(begun) = last else { return Ok(None) };
    if begun.boot != now.boot || now.boot.is_empty() {
        trusted.bytes = trusted.durable;
    }
    if begun.by != now.by && blocks > 0 && trusted.bytes > 0 {
        let message = format!("blocks of it were written by {}, and this is {}", begun.by, now.by);
        return Err(Error::new(ErrorKind::Output, message)
            .in_file(directory)
            .hint("go on with that one, or begin anew with `--restart`"));
    }
    Ok((begun.plan == now.plan).then_some(trusted))
}

/// Gives the blocks that the part of a journal tells of that counts; and when it was begun, in seconds since 1970.
///
/// # Errors
/// It cannot be read.
pub(super) fn blocks(
    directory: &Path,
    trusted: Trusted,
    mut take: impl FnMut(DoneBlock),
) -> Result<Option<u64>> {
    let mut since = None;
    read(directory, trusted.bytes, |line, _| {
        match line {
            Line::Begin(begin) => since = since.or(Some(begin.at)),
            Line::Block(block) => take(block),
            Line::Durable(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(since)
}

/// How many blocks a journal tells of, whether or not they count, and when it was begun, in seconds since 1970.
///
/// # Errors
/// It cannot be read.
pub(super) fn progress(directory: &Path) -> Result<(Option<u64>, u64)> {
    let mut count = 0;
    let since = blocks(directory, Trusted::ALL, |_| count += 1)?;
    Ok((since, count))
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join("journal")
}

/// Reads lines up to the first that is not whole, or up to so many bytes; with each, where it ends.
fn read(directory: &Path, most: u64, mut take: impl FnMut(Line, u64) -> ControlFlow<()>) -> Result<()> {
    let path = path_in(directory);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("open", &path, e)),
    };
    let (mut reader, mut text, mut at) = (BufReader::new(file), Vec::new(), 0);
    while at < most {
        text.clear();
        reader
            .by_ref()
            .take(MOST_LINE)
            .read_until(b'\n', &mut text)
            .map_err(|e| Error::io("read", &path, e))?;
        at += text.len() as u64;
        let Some(line) = parse(&text) else { break };
        if take(line, at).is_break() {
            break;
        }
    }
    Ok(())
}

fn parse(text: &[u8]) -> Option<Line> {
    let (sum, json) = text.strip_suffix(b"\n")?.split_at_checked(CHECKSUM_BYTES)?;
    let sum = Checksum::try_from(String::from_utf8(sum.strip_suffix(b" ")?.to_vec()).ok()?).ok()?;
    (Checksum::of(json) == sum).then(|| serde_json::from_slice(json).ok())?
}
