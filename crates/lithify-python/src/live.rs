//! Live datasets: objects that give elements, as `lithify/_live.py` describes them.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lithify::Result;
use lithify::convert::{Alike, Job, convert, convert_growing};
use lithify::error::{Error, ErrorKind};
use lithify::machine::{Machine, show_size};
use lithify::progress::Progress;
use lithify::source::Source;
use lithify::source::live::{Batch, Batches, Builder, COPIES, Feed, Live, Spool};
use lithify::write::check_target;
use lithify::write::manifest::Manifest;
use pyo3::prelude::*;

use crate::bridge::{Bridge, Give, WAITING_BYTES};
use crate::errors::{exception, in_data};
use crate::rows::give_rows;
use crate::values::{Path, add};

/// An object that gives elements.
pub struct Object<'py> {
    /// What gives an iterator over them.
    begin: Bound<'py, PyAny>,
    /// Whether they come many at a time, as arrays.
    rows: bool,
    known: Known,
}

/// What is known of an object, also where Python is not.
#[derive(Clone)]
pub struct Known {
    name: String,
    /// How many elements there are.
    elements: Option<u64>,
    /// Whether they are said to differ in nothing but their values.
    alike: bool,
    /// Whether it can be iterated again, and gives the same.
    again: bool,
}

impl<'py> Object<'py> {
    /// Takes what `lithify._live.Feed` is made of.
    ///
    /// # Errors
    /// It is something else.
    pub fn of(feed: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            begin: feed.getattr("begin")?,
            rows: feed.getattr("rows")?.extract()?,
            known: Known {
                name: feed.getattr("name")?.extract()?,
                elements: feed.getattr("elements")?.extract()?,
                alike: feed.getattr("alike")?.extract()?,
                again: feed.getattr("again")?.extract()?,
            },
        })
    }

    /// What is known of it.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// Gives all elements from the first on.
    ///
    /// # Errors
    /// What iterating raises, and a `DataError` where elements are made of what no array can hold.
    pub fn pump(&self, give: &mut Give<'_>) -> PyResult<()> {
        let (py, mut path) = (self.begin.py(), Path::default());
        let (mut builder, mut number) = (Builder::default(), 0_u64);
        for item in self.begin.call0()?.try_iter()? {
            let item = item?;
            if self.rows {
                let mut wanted = |batch: Batch| {
                    number += batch.elements();
                    give(batch)
                };
                let more = give_rows(&item, &mut path, &mut wanted);
                if !more.map_err(|error| self.at(error, number, py))? {
                    return Ok(());
                }
                continue;
            }
            add(&item, &mut path, 0, &mut builder).map_err(|error| self.at(error, number, py))?;
            builder.end_element().map_err(|error| self.exception(py, error, number))?;
            number += 1;
            if builder.is_full() && !give(builder.take())? {
                return Ok(());
            }
        }
        if !builder.is_empty() {
            give(builder.take())?;
        }
        Ok(())
    }

    /// Says of which element an error is.
    fn at(&self, error: PyErr, number: u64, py: Python<'_>) -> PyErr {
        match in_data(py, &error) {
            Some(found) => self.exception(py, found, number),
            None => error,
        }
    }

    fn exception(&self, py: Python<'_>, error: Error, number: u64) -> PyErr {
        exception(py, &error.in_file(FilePath::new(&self.known.name)).at_element(number))
    }
}

impl Known {
    /// The object as a source, which gives the same each time that it is read; one pass over it must do, unless it gives the same
    /// again.
    pub fn source(&self, bridge: &Arc<Bridge>, alike: bool) -> Live {
        let (bridge, again, begun) = (Arc::clone(bridge), self.again, AtomicBool::new(false));
        let start = move || -> Result<Batches> {
            if begun.swap(true, Ordering::Relaxed) && !again {
                return Err(Error::request("it can be iterated over only once"));
            }
            Ok(Box::new(bridge.begin()))
        };
        Live::new(Feed {
            name: self.name.clone(),
            begin: Box::new(start),
            elements: self.elements,
            alike,
            held: WAITING_BYTES,
        })
    }

    /// The object as a source that need be read once only.
    pub fn source_of_one_pass(&self, bridge: &Arc<Bridge>) -> Live {
        self.source(bridge, self.alike && self.elements.is_some())
    }

    /// Converts it, in as few passes as can be.
    ///
    /// # Errors
    /// As [`convert`].
    pub fn convert(&self, bridge: &Arc<Bridge>, job: &Job<'_>) -> Result<Manifest> {
        let alike = match (self.alike, self.again) {
            (true, _) => Alike::Said,
            (false, true) => Alike::Hoped,
            (false, false) => Alike::Anyhow,
        };
        // Before anything is taken that comes once only.
        check_target(job.target, job.writing.overwrite)?;
        let live = self.source(bridge, true);
        match convert_growing(&live, job, alike) {
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Input && alike == Alike::Hoped => {}
            Ok(Some(manifest)) => return Ok(manifest),
            Err(error) => return Err(error),
        }
        if self.again {
            return convert(&self.source(bridge, false), job);
        }
        let mut spool = Spool::create(&job.machine.disk_path)?;
        Progress::begin(&**bridge, "read", 0);
        for batch in live.batches()? {
            let batch = batch?;
            // As it is written, there is one more.
            let held = batch.held().saturating_mul(COPIES + 1);
            if held > job.machine.memory {
                return Err(too_large(held, job.machine).in_file(FilePath::new(&self.name)));
            }
            spool.push(&batch)?;
            bridge.advance(batch.held());
        }
        let spooled = spool.finish(&self.name);
        let mut machine = job.machine.clone();
        machine.disk = machine.disk.saturating_sub(spooled.parts()[0].bytes);
        convert(&spooled, &Job { machine: &machine, ..*job })
    }
}

fn too_large(held: u64, machine: &Machine) -> Error {
    let message = format!(
        "an element takes {} while it is handed on, but the budget is {} ({})",
        show_size(held),
        show_size(machine.memory),
        machine.memory_limit
    );
    Error::new(ErrorKind::Resources, message)
        .hint(format!("allow it with `memory=\"{}MiB\"`", held.div_ceil(1 << 20)))
}
