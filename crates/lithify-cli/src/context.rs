//! What every command needs: the machine, and who is told how far it is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lithify::error::{Error, ErrorKind, Result};
use lithify::machine::Machine;
use lithify::open;
use lithify::plan::request::Request;
use lithify::progress::Progress;
use lithify::scan::ScanOptions;
use lithify::source::{Choice, Options, Source};
use lithify::write::WriteOptions;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};

use crate::args::{Dataset, Run, Writing};
use crate::progress::Reporter;

/// What this run may use, and whom it tells of its progress: whoever is at the terminal, or another program.
pub struct Context<P = Reporter> {
    /// What may be used.
    pub machine: Machine,
    /// Who is told.
    pub progress: P,
    pub(crate) quiet: bool,
}

impl Context {
    /// That of a command, which signals stop.
    ///
    /// # Errors
    /// The machine cannot be asked, or signals cannot be listened to.
    pub(crate) fn new(run: &Run, output: &Path) -> Result<Self> {
        let (stop, again) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let deaf = |e| Error::new(ErrorKind::Io, format!("cannot listen to signals: {e}"));
        // Schedulers announce the end by several.
        for signal in [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU] {
            // Another one after a while ends the process at once; not before, since one may be sent in several ways.
            let registered = signal_hook::flag::register_conditional_default(signal, Arc::clone(&again))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
            registered.map_err(deaf)?;
        }
        // A file that gets too large is an error of the call that writes it, and ends nothing.
        signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(deaf)?;
        Self::telling(run, output, Reporter::new(run.quiet, stop, again))
    }
}

impl<P: Progress> Context<P> {
    /// That of a run for an output.
    ///
    /// # Errors
    /// The machine cannot be asked.
    pub fn telling(run: &Run, output: &Path, progress: P) -> Result<Self> {
        let machine = Machine::here(output, run.memory, run.threads.map(usize::from))?;
        Ok(Self { machine, progress, quiet: run.quiet })
    }

    /// Opens a dataset.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self, dataset: &Dataset, request: &Request, choice: Choice) -> Result<Box<dyn Source>> {
        let zip = dataset.zip.clone();
        let options = Options { choice, zip, features: request.names(), ..self.machine.source_options() };
        open(&dataset.inputs, dataset.from.as_deref(), &options)
    }

    /// How a dataset is scanned.
    pub fn scanning<'a>(&'a self, request: &'a Request, dataset: &Dataset) -> ScanOptions<'a> {
        ScanOptions {
            request,
            on_error: dataset.on_error.into(),
            threads: self.machine.threads,
            largest_payload: self.machine.largest_record(),
            excluded: &[],
            progress: &self.progress,
        }
    }

    /// How an output is written.
    pub fn writing(&self, flags: &Writing) -> WriteOptions<'_> {
        WriteOptions {
            overwrite: flags.overwrite,
            restart: flags.restart,
            durable: (!flags.no_sync).then_some(Duration::from_secs_f64(flags.sync_every)),
            progress: &self.progress,
        }
    }
}
