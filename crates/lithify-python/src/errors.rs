//! Errors as exceptions: those of `lithify/_errors.py`.

use lithify::error::{Error, ErrorKind, Remedy};
use lithify_cli::is_switch;
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
        about.set_item("hints", hints(error).collect::<Vec<_>>())?;
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
    let hints = hints(error);
    hints.fold(in_python(&error.to_string()), |text, hint| format!("{text}\nhint: {hint}"))
}

fn hints(error: &Error) -> impl Iterator<Item = String> {
    let works = error.remedy().map(|remedy| format!("{}: {}", remedy.promise(), arguments(remedy)));
    error.hints().iter().map(|hint| in_python(hint)).chain(works)
}

/// What must be said otherwise, as arguments.
fn arguments(remedy: &Remedy) -> String {
    let flags = remedy.flags.iter().map(|(flag, value)| match (*flag, value) {
        ("output", Some(path)) => format!("out={path:?}"),
        (flag, Some(value)) => format!("{}={value:?}", flag.replace('-', "_")),
        (flag, None) => format!("{}=None", flag.replace('-', "_")),
    });
    let features = (!remedy.features.is_empty()).then(|| format!("features={:?}", remedy.features));
    flags.chain(features).collect::<Vec<_>>().join(", ")
}

/// What names flags, as it is said where they are arguments: `overwrite=True` for `--overwrite`.
fn in_python(text: &str) -> String {
    let spans = text.split('`').enumerate().map(|(number, span)| match span.strip_prefix("--") {
        Some(flag) if number % 2 == 1 && !flag.contains(" --") => argument(flag),
        _ => span.to_owned(),
    });
    spans.collect::<Vec<_>>().join("`")
}

fn argument(flag: &str) -> String {
    let (flag, value) = flag.split_once([' ', '=']).map_or((flag, None), |(flag, value)| (flag, Some(value)));
    let name = match flag {
        "feature" => "features".into(),
        "from" => "from_".into(),
        flag => flag.replace('-', "_"),
    };
    match value {
        Some(value) => format!("{name}=\"{}\"", value.trim_matches('\'')),
        None if is_switch(flag) => format!("{name}=True"),
        None => name,
    }
}
