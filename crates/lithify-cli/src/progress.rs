//! A bar on a terminal, a line now and then elsewhere, nothing where quiet is wanted.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lithify::machine::show_size;
use lithify::progress::Progress;

use crate::terminal::painted;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Signals within this time are one wish to stop.
const ONE_STOP: Duration = Duration::from_millis(500);

/// Tells the user how far a run is, and the run that the user wants it to stop.
pub struct Reporter {
    quiet: bool,
    shown: Shown,
    stop: Arc<AtomicBool>,
    /// Whether another signal ends the process: some time after the first.
    again: Arc<AtomicBool>,
    asked: OnceLock<Instant>,
}

enum Shown {
    Bar(Mutex<ProgressBar>),
    Lines(Lines),
    Nothing,
}

impl Reporter {
    /// A reporter that asks a run to stop once `stop` is set, and some time later sets `again`.
    pub fn new(quiet: bool, stop: Arc<AtomicBool>, again: Arc<AtomicBool>) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if io::stderr().is_terminal() {
            Shown::Bar(Mutex::new(ProgressBar::hidden()))
        } else {
            Shown::Lines(Lines { pass: Mutex::new(Pass::new("", 0)), done: AtomicU64::new(0) })
        };
        Self { quiet, shown, stop, again, asked: OnceLock::new() }
    }
}

/// Writes a line to standard error. Whoever has closed the terminal does not want the run to fail for that.
pub fn tell(line: fmt::Arguments<'_>) {
    let line = line.to_string();
    let _ = writeln!(io::stderr(), "{}", painted(&line, &io::stderr()));
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress for Reporter {
    fn resumed(&self, done: u64, blocks: u64) {
        if !self.quiet {
            tell(format_args!("going on with a run that was ended: {done} of {blocks} blocks are done"));
        }
    }

    fn begin(&self, what: &'static str, total_bytes: u64) {
        match &self.shown {
            Shown::Bar(bar) => {
                let new = ProgressBar::with_draw_target(Some(total_bytes), ProgressDrawTarget::stderr());
                let style = ProgressStyle::with_template(
                    "{msg:>6} {wide_bar} {percent:>3} %  {binary_bytes_per_sec}  {eta} left",
                );
                new.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                new.set_message(what);
                *locked(bar) = new;
            }
            Shown::Lines(lines) => {
                *locked(&lines.pass) = Pass::new(what, total_bytes);
                lines.done.store(0, Ordering::Relaxed);
            }
            Shown::Nothing => {}
        }
    }

    fn advance(&self, bytes: u64) {
        match &self.shown {
            Shown::Bar(bar) => locked(bar).inc(bytes),
            Shown::Lines(lines) => lines.advance(bytes),
            Shown::Nothing => {}
        }
    }

    fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            locked(bar).finish_and_clear();
        }
    }

    fn cancelled(&self) -> bool {
        let stop = self.stop.load(Ordering::Relaxed);
        if stop && self.asked.get_or_init(Instant::now).elapsed() > ONE_STOP {
            self.again.store(true, Ordering::Relaxed);
        }
        stop
    }
}

struct Lines {
    pass: Mutex<Pass>,
    done: AtomicU64,
}

struct Pass {
    what: &'static str,
    total_bytes: u64,
    start: Instant,
    last: Instant,
}

impl Pass {
    fn new(what: &'static str, total_bytes: u64) -> Self {
        Self { what, total_bytes, start: Instant::now(), last: Instant::now() }
    }
}

impl Lines {
    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Ok(mut pass) = self.pass.try_lock() else { return };
        if pass.last.elapsed() < LINE_EVERY {
            return;
        }
        pass.last = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "a share and a rate")]
        let (share, rate) =
            (done as f64 / pass.total_bytes.max(1) as f64, done as f64 / pass.start.elapsed().as_secs_f64());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "to be read")]
        let shown = show_size(rate as u64);
        let left = pass.start.elapsed().as_secs_f64() * (1.0 / share.clamp(1e-6, 1.0) - 1.0);
        tell(format_args!("{}: {:.0} %, {shown}/s, {left:.0} s left", pass.what, share * 100.0));
    }
}
