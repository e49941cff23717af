//! Errors as exceptions: those of `lithify/_errors.py`.

use lithify::error::{Error, ErrorKind};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The exception that an error is.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error.kind() {
        ErrorKind::Input => "DataError",
        ErrorKind::Request => "RequestError",
        ErrorKind::Resources => "ResourcesError",
        ErrorKind::Io => "IOFailure",
        ErrorKind::Output => "OutputError",
        ErrorKind::Interrupted => return PyKeyboardInterrupt::new_err(text(error)),
    };
    let made = || {
        let place = error.place();
        let about = PyDict::new(py);
        about.set_item("file", place.file.as_deref().map(|file| file.to_string_lossy().into_owned()))?;
        about.set_item("element", place.element)?;
        about.set_item("offset", place.byte)?;
        about.set_item("feature", place.feature.as_deref())?;
        about.set_item("hints", error.hints())?;
        py.import("lithify._errors")?.getattr(class)?.call((text(error),), Some(&about))
    };
    made().map_or_else(|error| error, PyErr::from_value)
}

/// The error, and what to do about it.
fn text(error: &Error) -> String {
    error.hints().iter().fold(error.to_string(), |text, hint| format!("{text}\nhint: {hint}"))
}
