//! What of an unfinished output is done, so that a run that was ended in any way can be gone on with.
//!
//! ```text
//! CRC-64 of what follows, ' ', JSON, '\n'
//! …{"begin":{"by":"lithify 0.1.0","boot":"…","plan":"…"}}        a run begins, or goes on
//! …{"block":{"number":7,"arrays":[…],"totals":[[…],[…]]}}        a block is in its files, as far as this kernel is concerned
//! …{"durable":4711}                                              what the first so many bytes tell of has reached the disk
//! ```
//! A killed process loses nothing that it has written: the kernel has it. So while the machine has not been started anew, every
//! line counts. After that, or on another machine, those count that are followed by a word that they are durable.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Note, Written};
use crate::error::{Error, Result};
use crate::store::Checksum;
use crate::store::files::FileRecord;

/// Bytes of a line before its JSON.
const CHECKSUM_BYTES: usize = 17;

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
    /// What tells this start of the machine from all others.
    boot: String,
    /// The checksum of the file of the plan.
    plan: Checksum,
}

impl Begin {
    fn now(plan: Checksum) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { by: format!("lithify {}", env!("CARGO_PKG_VERSION")), boot: boot.trim().to_owned(), plan }
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
    /// Files of the output that were completed since the block before was noted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<FileRecord>,
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
    /// Whether blocks were noted that are not known to be durable.
    fresh: bool,
    /// Why they could not be made so.
    failed: Option<Error>,
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
        let state = State { file, bytes: trusted.bytes, fresh: false, failed: None };
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
    pub(super) fn note(&self, number: u64, written: &Written, files: &[FileRecord]) -> Result<()> {
        let mut state = self.lock();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let block = DoneBlock {
            number,
            arrays: written.arrays.clone(),
            totals: written.totals.clone(),
            files: files.to_vec(),
        };
        self.append(&mut state, &Line::Block(block))?;
        state.fresh = true;
        Ok(())
    }

    /// Does some work, and meanwhile makes durable what was noted, so often.
    pub(super) fn during<T>(&self, every: Duration, work: impl FnOnce() -> T) -> T {
        let over = Over::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while over.not_within(every) {
                    if let Err(error) = self.make_durable() {
                        self.lock().failed = Some(error);
                    }
                }
            });
            let _over = Guard(&over);
            work()
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
        sync_file_system(&self.directory, &self.path)?;
        let mut state = self.lock();
        self.append(&mut state, &Line::Durable(bytes))?;
        state.file.sync_data().map_err(|e| Error::io("write", &self.path, e))
    }

    fn append(&self, state: &mut State, line: &Line) -> Result<()> {
        let json = serde_json::to_string(line).map_err(|e| Error::io("write", &self.path, e.into()))?;
        let text = format!("{} {json}\n", String::from(Checksum::of(json.as_bytes())));
        state.file.write_all(text.as_bytes()).map_err(|e| Error::io("write", &self.path, e))?;
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

fn sync_file_system(any: &File, path: &Path) -> Result<()> {
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

/// Looks at the journal in a directory: how much of it counts; `None` if it is not of this plan.
///
/// # Errors
/// It cannot be read.
pub(super) fn look(directory: &Path, plan: Checksum) -> Result<Option<Trusted>> {
    let now = Begin::now(plan);
    let (mut trusted, mut boot) = (Trusted::default(), None);
    read(directory, u64::MAX, |line, bytes| {
        match line {
            Line::Begin(begin) if begin.goes_on_with(&now) => boot = Some(begin.boot),
            Line::Block(_) if boot.is_some() => {}
            Line::Durable(upto) if upto <= trusted.bytes => trusted.durable = upto,
            _ => return ControlFlow::Break(()),
        }
        trusted.bytes = bytes;
        ControlFlow::Continue(())
    })?;
    let same_boot = boot.as_ref().is_some_and(|boot| *boot == now.boot && !boot.is_empty());
    if !same_boot {
        trusted.bytes = trusted.durable;
    }
    Ok(boot.map(|_| trusted))
}

/// Gives the blocks that the part of a journal tells of that counts.
///
/// # Errors
/// It cannot be read.
pub(super) fn blocks(directory: &Path, trusted: Trusted, mut take: impl FnMut(DoneBlock)) -> Result<()> {
    read(directory, trusted.bytes, |line, _| {
        if let Line::Block(block) = line {
            take(block);
        }
        ControlFlow::Continue(())
    })
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
        reader.read_until(b'\n', &mut text).map_err(|e| Error::io("read", &path, e))?;
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
