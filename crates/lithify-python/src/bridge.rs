//! Between the thread that Python runs on and the one that the work is done on.
//!
//! Whatever is Python's happens on the thread that called: the user's own code when a live dataset is iterated, signals,
//! progress. The work, which may wait for its elements, has a thread of its own, and never needs the GIL.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lithify::error::{Error, ErrorKind, Result};
use lithify::progress::Progress;
use lithify::source::live::Batch;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::exception;

/// Bytes of batches that wait to be taken, unless one alone is larger.
pub const WAITING_BYTES: u64 = 16 << 20;
/// Between two looks at signals and at how far the work is.
const TICK: Duration = Duration::from_millis(50);

/// What both threads know.
#[derive(Default)]
pub struct Bridge {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    done: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Whether elements are wanted from the first on.
    wanted: bool,
    /// The iteration that goes on: each has a number.
    iteration: u64,
    waiting: VecDeque<Batch>,
    waiting_bytes: u64,
    /// Whether there will be no more batches of this iteration, or nobody takes them.
    ended: bool,
    /// Whether the work is over.
    over: bool,
    /// What is being done, as it is told: with the bytes in all, and a number that differs for each.
    pass: Option<(&'static str, u64, u64)>,
}

impl State {
    /// Whether nobody takes batches of an iteration any more: another may have begun since.
    fn is_over(&self, iteration: u64) -> bool {
        self.ended || self.iteration != iteration
    }
}

impl Bridge {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Waits until something is so, but no longer than a tick.
    fn wait<'b>(
        &'b self,
        state: MutexGuard<'b, State>,
        mut until: impl FnMut(&State) -> bool,
    ) -> MutexGuard<'b, State> {
        let waited = self.changed.wait_timeout_while(state, TICK, |state| !until(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Asks for the elements from the first on; called by the work.
    pub fn begin(self: &Arc<Self>) -> Batches {
        let mut state = self.lock();
        *state = State {
            wanted: true,
            iteration: state.iteration + 1,
            over: state.over,
            pass: state.pass,
            ..State::default()
        };
        self.changed.notify_all();
        Batches { bridge: Arc::clone(self), iteration: state.iteration }
    }

    /// Hands over a batch of an iteration; says whether more are wanted. Called by Python's thread.
    ///
    /// # Errors
    /// A signal was caught meanwhile.
    fn give(&self, py: Python<'_>, iteration: u64, batch: Batch) -> PyResult<bool> {
        let bytes = batch.held();
        loop {
            let room = py.detach(|| {
                let room = |state: &State| {
                    state.is_over(iteration)
                        || state.waiting.is_empty()
                        || state.waiting_bytes + bytes <= WAITING_BYTES
                };
                let state = self.wait(self.lock(), room);
                room(&state)
            });
            if room || self.stop.load(Ordering::Relaxed) {
                break;
            }
            py.check_signals()?;
        }
        let mut state = self.lock();
        if state.is_over(iteration) || self.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        state.waiting_bytes += bytes;
        state.waiting.push_back(batch);
        self.changed.notify_all();
        Ok(true)
    }
}

impl Progress for Bridge {
    fn begin(&self, what: &'static str, total_bytes: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.set(|state| {
            let number = state.pass.map_or(0, |pass| pass.2);
            state.pass = Some((what, total_bytes, number + 1));
        });
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The batches of an iteration, as the work takes them.
pub struct Batches {
    bridge: Arc<Bridge>,
    iteration: u64,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut state = self.bridge.lock();
        loop {
            if self.bridge.stop.load(Ordering::Relaxed) {
                return Some(Err(Error::new(ErrorKind::Interrupted, "stopped as asked")));
            }
            if state.iteration != self.iteration {
                return None;
            }
            if let Some(batch) = state.waiting.pop_front() {
                state.waiting_bytes -= batch.held();
                self.bridge.changed.notify_all();
                return Some(Ok(batch));
            }
            if state.ended {
                return None;
            }
            state = self.bridge.wait(state, |state| state.ended || !state.waiting.is_empty());
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.bridge.set(|state| state.ended |= state.iteration == self.iteration);
    }
}

/// What takes a batch, and says whether more are wanted.
pub type Give<'g> = dyn FnMut(Batch) -> PyResult<bool> + 'g;

/// Does work on a thread of its own, and what it needs of Python here: `pump` gives all elements from the first on, and
/// `progress` is called as `tqdm` is.
///
/// # Errors
/// What Python's code raises; else the error of the work.
pub fn run<'py, T: Send>(
    py: Python<'py>,
    progress: Option<&Bound<'py, PyAny>>,
    mut pump: impl FnMut(&mut Give<'_>) -> PyResult<()>,
    work: impl FnOnce(&Arc<Bridge>) -> Result<T> + Send,
) -> PyResult<T> {
    let bridge = Arc::new(Bridge::default());
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // Also where it panics: somebody waits for it.
            let _over = Over(&bridge);
            work(&bridge)
        });
        // Also where something panics here: the work waits for it.
        let _stop = Stop(&bridge);
        let mut failure = None;
        let mut shown = Shown { progress, pass: 0, bar: None, told: 0 };
        loop {
            let (over, wanted, pass) = py.detach(|| {
                let mut state = bridge.wait(bridge.lock(), |state| state.over || state.wanted);
                let wanted = std::mem::take(&mut state.wanted).then_some(state.iteration);
                (state.over, wanted, state.pass)
            });
            if over {
                break;
            }
            if failure.is_some() {
                continue;
            }
            let mut turn = || {
                py.check_signals()?;
                shown.tell(py, pass, bridge.done.load(Ordering::Relaxed))?;
                if let Some(iteration) = wanted {
                    let mut last = Instant::now();
                    pump(&mut |batch| {
                        if last.elapsed() > TICK {
                            last = Instant::now();
                            py.check_signals()?;
                            let pass = bridge.lock().pass;
                            shown.tell(py, pass, bridge.done.load(Ordering::Relaxed))?;
                        }
                        bridge.give(py, iteration, batch)
                    })?;
                    bridge.set(|state| state.ended |= state.iteration == iteration);
                }
                Ok(())
            };
            if let Err(error) = turn() {
                failure = Some(error);
                bridge.stop();
            }
        }
        if failure.is_none() {
            // How it ended is told, too.
            failure = shown.tell(py, bridge.lock().pass, bridge.done.load(Ordering::Relaxed)).err();
        }
        shown.close(py);
        let outcome = py.detach(|| worker.join());
        match (failure, outcome) {
            // What is kept of it, and how to go on.
            (Some(failure), Ok(Err(error)))
                if failure.is_instance_of::<PyKeyboardInterrupt>(py) && !error.hints().is_empty() =>
            {
                Err(exception(py, &error))
            }
            (Some(failure), _) => Err(failure),
            (None, Ok(outcome)) => outcome.map_err(|error| exception(py, &error)),
            (None, Err(_)) => Err(PyRuntimeError::new_err("this is a defect of lithify: please report it")),
        }
    })
}

/// Stops the work, if it is not over.
struct Stop<'a>(&'a Bridge);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Says that the work is over.
struct Over<'a>(&'a Bridge);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.set(|state| state.over = true);
    }
}

/// A bar for each pass.
struct Shown<'a, 'py> {
    progress: Option<&'a Bound<'py, PyAny>>,
    /// The number of the pass that there is a bar of.
    pass: u64,
    bar: Option<Bound<'py, PyAny>>,
    told: u64,
}

impl<'py> Shown<'_, 'py> {
    fn tell(&mut self, py: Python<'py>, pass: Option<(&'static str, u64, u64)>, done: u64) -> PyResult<()> {
        let (Some(progress), Some((what, total, number))) = (self.progress, pass) else { return Ok(()) };
        if number != self.pass {
            self.close(py);
            let about = PyDict::new(py);
            about.set_item("desc", what)?;
            about.set_item("total", (total > 0).then_some(total))?;
            about.set_item("unit", "B")?;
            about.set_item("unit_scale", true)?;
            self.bar = Some(progress.call((), Some(&about))?);
            (self.pass, self.told) = (number, 0);
        }
        if let (Some(bar), true) = (&self.bar, done > self.told) {
            bar.call_method1("update", (done - self.told,))?;
            self.told = done;
        }
        Ok(())
    }

    fn close(&mut self, py: Python<'py>) {
        if let Some(bar) = self.bar.take()
            && let Err(error) = bar.call_method0("close")
        {
            error.write_unraisable(py, Some(&bar));
        }
    }
}
