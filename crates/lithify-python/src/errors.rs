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

/// A `DataError` that says of a feature why it cannot be taken.
pub fn of_feature(py: Python<'_>, feature: &str, why: &str) -> PyErr {
    let made = || {
        let about = PyDict::new(py);
        about.set_item("feature", feature)?;
        data_error(py)?.call((why,), Some(&about))
    };
    made().map_or_else(|error| error, PyErr::from_value)
}

/// What a `DataError` says, and of which feature; `None` of any other exception.
pub fn in_data(py: Python<'_>, error: &PyErr) -> Option<Error> {
    let value = error.value(py);
    if !value.is_instance(&data_error(py).ok()?).ok()? {
        return None;
    }
    let error = Error::input(value.str().ok()?.to_string());
    match value.getattr("feature").ok()?.extract::<Option<String>>().ok()? {
        Some(feature) => Some(error.in_feature(&feature)),
        None => Some(error),
    }
}

fn data_error(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("lithify._errors")?.getattr("DataError")
}

/// The error, and what to do about it.
fn text(error: &Error) -> String {
    error.hints().iter().fold(error.to_string(), |text, hint| format!("{text}\nhint: {hint}"))
}
