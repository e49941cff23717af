//! Live datasets: objects that give elements, as `lithify/_live.py` describes them.

use std::path::Path as FilePath;
use std::sync::Arc;

use lithify::error::Error;
use lithify::source::live::{Batch, Builder, Feed, Live};
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
    /// The object as a source, of which an element may take so many bytes of memory while it is handed on.
    pub fn source(self, bridge: &Arc<Bridge>, memory: u64) -> Live {
        let bridge = Arc::clone(bridge);
        Live::new(Feed {
            name: self.name,
            begin: Box::new(move || Ok(Box::new(bridge.begin()))),
            elements: self.elements,
            alike: self.alike,
            again: self.again,
            held: WAITING_BYTES,
            memory,
        })
    }
}
