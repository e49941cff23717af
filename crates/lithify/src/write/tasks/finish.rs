//! All tasks are done: what they have kept aside is put in its place, and the output gets its name.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::journal::{self, Trusted, sync_all};
use super::super::manifest::{Manifest, Run};
use super::super::publish::{check_beside, check_files, check_target, complete, complete_output, end};
use super::super::staging::Staging;
use super::super::{Notes, stopped, unfinished};
use super::run::ASIDE;
use super::{Batch, Done, inside};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::parallel::on_threads;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::store::files::FileRecord;
use crate::store::share::Piece;
use crate::store::{self, Hasher, Opening, Store, aside};

/// Bytes that are copied at once.
const COPY_BYTES: usize = 512 << 10;

impl Batch {
    /// Completes the output of a plan all of whose tasks are done. It can be begun any number of times.
    ///
    /// # Errors
    /// A task is not done, or what it has left is not what it has written; or writing fails.
    pub fn finish(
        &self,
        plan: &Plan,
        (overwrite, durable): (bool, bool),
        progress: &dyn Progress,
    ) -> Result<Manifest> {
        let overwrite = overwrite || self.tasks.overwrite;
        let staging = Staging::lock(&plan.output)?.making_in(&inside(self.plan));
        if complete(&staging)?.is_some() {
            staging.clear()?;
            return Manifest::read(&plan.output);
        }
        let done = self.all_done(&plan.output)?;
        check_target(&plan.target(), overwrite)?;
        check_beside(plan, overwrite)?;
        let (mut notes, mut begun) = (Notes::of(plan), u64::MAX);
        let mut pieces: Vec<(u64, PathBuf, Piece)> = Vec::new();
        for (task, done) in (0..).zip(done) {
            let process = self.of_task(task).join(&done.by);
            let mut sound = true;
            let since = journal::blocks(&process, Trusted::ALL, |block| {
                sound &= block.is_of(plan);
                if sound {
                    notes.restore(block);
                }
            })?;
            if !sound || !plan.blocks_of(&self.tasks, task).all(|block| notes.is_done(block)) {
                let message = format!(
                    "task {task} is said to be done, but its journal does not tell of all of its blocks"
                );
                return Err(Error::new(ErrorKind::Output, message)
                    .in_file(&process)
                    .hint(format!("do it anew: `lithify write PLAN --task {task} --restart`")));
            }
            begun = begun.min(since.unwrap_or(u64::MAX));
            pieces.extend(
                done.pieces.into_iter().map(|piece| {
                    (task, process.join(ASIDE).join(aside::name(piece.array, piece.start)), piece)
                }),
            );
        }
        let mut filled = notes.joined(plan)?;
        let (made, slabs) = (staging.output(), staging.slabs());
        let store = store::open(&made, &slabs, (plan.layout, plan.io), &plan.arrays, Opening::Again)?;
        filled.files.extend(put(store.as_ref(), plan.threads, &pieces, progress)?);
        check_files(&made, &filled.files)?;
        unfinished::save(staging.path(), &plan.request, plan)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let seconds = now.saturating_sub(begun) as f64;
        let run = Run { seconds, plan: Some(self.plan), ..Run::of(plan) };
        let sync = || if durable { sync_all(staging.path()) } else { Ok(()) };
        let manifest = complete_output(store, filled, run, plan, &staging, (overwrite, &sync))?;
        end(plan, &staging, durable)?;
        Ok(manifest)
    }

    /// Removes what is left beside an output that has its name.
    pub fn tidy(output: &Path) {
        if !Staging::is_begun(output) {
            return;
        }
        // What cannot be removed, or is in use, is in nobody's way.
        if let Ok(staging) = Staging::lock(output) {
            let _ = staging.clear();
        }
    }

    /// What each task has left.
    fn all_done(&self, output: &Path) -> Result<Vec<Done>> {
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        for task in 0..self.tasks.count {
            match self.done(task)? {
                Some(done) => all.push(done),
                None => missing.push(task),
            }
        }
        if missing.is_empty() {
            return Ok(all);
        }
        let ranges = ranges_of(&missing);
        let message = format!(
            "{} of {} tasks of `{}` are not done: {ranges}",
            missing.len(),
            self.tasks.count,
            printable(output)
        );
        Err(Error::new(ErrorKind::Output, message).hint(format!(
            "do them with `lithify write PLAN --task K`, as with `sbatch --array={ranges}`; what they have done is kept"
        )))
    }
}

/// Puts pieces where they belong; gives the files that this has made.
fn put(
    store: &dyn Store,
    threads: usize,
    pieces: &[(u64, PathBuf, Piece)],
    progress: &dyn Progress,
) -> Result<Vec<FileRecord>> {
    progress.begin("finish", pieces.iter().map(|(_, _, piece)| piece.bytes).sum());
    let next = AtomicUsize::new(0);
    let all: Mutex<Result<Vec<FileRecord>>> = Mutex::new(Ok(Vec::new()));
    on_threads(threads.min(pieces.len()), || {
        while let Some((task, path, piece)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let files = match progress.cancelled() {
                true => Err(stopped()),
                false => put_one(store, path, piece).map_err(|e| again(e, *task)),
            };
            progress.advance(piece.bytes);
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *all, files) {
                (Ok(all), Ok(files)) => all.extend(files),
                (Ok(_), Err(error)) => *all = Err(error),
                (Err(_), _) => return,
            }
        }
    })?;
    progress.end();
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn put_one(store: &dyn Store, path: &Path, piece: &Piece) -> Result<Vec<FileRecord>> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    // Nothing more is expected, so that a slab is not taken for one that is all here.
    let mut region = store.region(piece.array, piece.start, 0)?;
    let (mut hasher, mut at, mut files) = (Hasher::new(), 0, Vec::new());
    while at < piece.bytes {
        let count = usize::try_from(piece.bytes - at).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let bytes = region.next(count)?;
        file.read_exact_at(bytes, at).map_err(|e| Error::io("read", path, e))?;
        hasher.update(bytes);
        at += count as u64;
    }
    if hasher.finish() != piece.checksum {
        return Err(Error::new(ErrorKind::Output, "it is not what its task has written").in_file(path));
    }
    region.commit(&mut files)?;
    Ok(files)
}

/// Says what can be done about a piece that cannot be had.
fn again(error: Error, task: u64) -> Error {
    error.hint(format!("do the task anew: `lithify write PLAN --task {task} --restart`"))
}

/// Numbers that rise, as `3,7-9`.
pub(super) fn ranges_of(numbers: &[u64]) -> String {
    let mut ranges: Vec<[u64; 2]> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some(last) if last[1] + 1 == number => last[1] = number,
            _ => ranges.push([number; 2]),
        }
    }
    let show =
        |[first, last]: &[u64; 2]| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(show).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::ranges_of;

    #[test]
    fn missing_tasks_are_named_as_schedulers_do() {
        assert_eq!(ranges_of(&[3, 7, 8, 9, 11]), "3,7-9,11");
        assert_eq!(ranges_of(&[0]), "0");
    }
}
