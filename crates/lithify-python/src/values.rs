//! Python's objects as elements.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;

use lithify::source::live::{ARRAY, Builder};
use lithify::value::DType;
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::of_feature;
use crate::memory::copy;

/// Objects within objects that are looked into.
const MOST_DEPTH: usize = 64;

/// Where something is in an element: `a/0/b`.
#[derive(Default)]
pub struct Path {
    names: String,
    /// The units of points in time, by feature: as numbers they are all of one.
    units: RefCell<HashMap<String, String>>,
}

impl Path {
    /// Does something with what has a name in what is here.
    pub fn within<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> PyResult<T>) -> PyResult<T> {
        let before = self.names.len();
        if before > 0 {
            self.names.push('/');
        }
        self.names.push_str(name);
        let outcome = work(self);
        self.names.truncate(before);
        outcome
    }

    pub fn feature(&self) -> &str {
        if self.names.is_empty() { ARRAY } else { &self.names }
    }

    /// Refuses points in time whose unit is not that of the feature's others.
    fn check_unit(&self, dtype: &Bound<'_, PyArrayDescr>) -> PyResult<()> {
        let unit = dtype.str()?.to_string();
        let mut units = self.units.borrow_mut();
        let known = units.entry(self.feature().to_owned()).or_insert_with(|| unit.clone());
        if *known == unit {
            return Ok(());
        }
        let why = format!("it is of {unit} here, and of {known} before: bring all to one unit");
        Err(self.refuse(&why))
    }

    /// The exception that says of the feature here why it cannot be taken.
    pub fn refuse(&self, why: &str) -> PyErr {
        Python::attach(|py| of_feature(py, self.feature(), why))
    }
}

/// What takes a part, which is so deep within others.
pub type Take<'t, 'py> = dyn FnMut(&Bound<'py, PyAny>, &mut Path, usize) -> PyResult<()> + 't;

/// Gives the parts of dicts and tuples within each other; nothing of what is `None`.
///
/// # Errors
/// They are too many within each other; what `take` says.
pub fn each_part<'py>(
    item: &Bound<'py, PyAny>,
    path: &mut Path,
    depth: usize,
    take: &mut Take<'_, 'py>,
) -> PyResult<()> {
    if depth > MOST_DEPTH {
        return Err(path.refuse("it has too many objects within each other"));
    }
    if let Ok(dict) = item.cast::<PyDict>() {
        return dict.iter().try_for_each(|(key, value)| {
            let key = key.str()?;
            path.within(key.to_str()?, |path| each_part(&value, path, depth + 1, take))
        });
    }
    if let Ok(tuple) = item.cast::<PyTuple>() {
        return tuple.iter().enumerate().try_for_each(|(at, value)| {
            path.within(&at.to_string(), |path| each_part(&value, path, depth + 1, take))
        });
    }
    if item.is_none() { Ok(()) } else { take(item, path, depth) }
}

/// Adds what an element is made of: arrays, numbers, texts and byte strings, in dicts and tuples within each other.
///
/// # Errors
/// It is made of something else.
pub fn add(item: &Bound<'_, PyAny>, path: &mut Path, depth: usize, out: &mut Builder) -> PyResult<()> {
    each_part(item, path, depth, &mut |item, path, depth| {
        if let Ok(array) = item.cast::<PyUntypedArray>() {
            return add_array(array, path, depth, out);
        }
        if let Ok(list) = item.cast::<PyList>() {
            return add_list(list, path, depth, out);
        }
        if add_scalar(item, path, out)? {
            return Ok(());
        }
        let known = item.py().import("lithify._live")?.getattr("known")?.call1((item, path.feature()))?;
        add(&known, path, depth + 1, out)
    })
}

/// Adds a number or a string; says whether it is one.
fn add_scalar(item: &Bound<'_, PyAny>, path: &Path, out: &mut Builder) -> PyResult<bool> {
    let name = path.feature();
    if let Ok(string) = item.cast::<PyString>() {
        out.strings(name, &[], [text_of(string, path)?]);
    } else if let Ok(string) = item.cast::<PyBytes>() {
        out.strings(name, &[], [string.as_bytes()]);
    } else if let Ok(number) = item.cast_exact::<PyBool>() {
        add_number(out, name, DType::Bool, &[u8::from(number.is_true())]);
    } else if let Ok(number) = item.cast_exact::<PyInt>() {
        if let Ok(number) = number.extract::<i64>() {
            add_number(out, name, DType::Int64, &number.to_ne_bytes());
        } else {
            // As NumPy does.
            let large: u64 =
                number.extract().map_err(|_| path.refuse(&format!("{number} is no 64-bit integer")))?;
            add_number(out, name, DType::Uint64, &large.to_ne_bytes());
        }
    } else if let Ok(number) = item.cast_exact::<PyFloat>() {
        add_number(out, name, DType::Float64, &number.value().to_ne_bytes());
    } else if let Ok(number) = item.cast_exact::<PyComplex>() {
        let parts = [number.real().to_ne_bytes(), number.imag().to_ne_bytes()];
        add_number(out, name, DType::Complex128, parts.as_flattened());
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn text_of<'s>(string: &'s Bound<'_, PyString>, path: &Path) -> PyResult<&'s [u8]> {
    let text = string.to_str().map_err(|error| path.refuse(&format!("the text is not Unicode: {error}")))?;
    Ok(text.as_bytes())
}

fn add_number(out: &mut Builder, name: &str, dtype: DType, number: &[u8]) {
    let Ok(()) = out.numbers(name, dtype, &[], |bytes| {
        bytes.extend_from_slice(number);
        Ok::<_, Infallible>(())
    });
}

/// Adds a list: an array of its items, as NumPy makes of it.
fn add_list(list: &Bound<'_, PyList>, path: &mut Path, depth: usize, out: &mut Builder) -> PyResult<()> {
    let is_string =
        |item: &Bound<'_, PyAny>| item.is_instance_of::<PyBytes>() || item.is_instance_of::<PyString>();
    if !list.is_empty() && list.iter().all(|item| is_string(&item)) {
        // NumPy would make all of them as long as the longest.
        return add_strings(list, &[list.len() as u64], path, out);
    }
    let array = list.py().import("numpy")?.getattr("asarray")?.call1((list,));
    let array = array.map_err(|error| {
        let py = list.py();
        // What a signal has raised is not NumPy's.
        let of_numpy = error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyTypeError>(py);
        if of_numpy { path.refuse(&format!("the list is no array: {}", error.value(py))) } else { error }
    })?;
    let mut array = array.cast_into::<PyUntypedArray>()?;
    if matches!(array.dtype().kind(), b'S' | b'U') {
        // NumPy drops what is NUL at the end of strings, and makes strings of numbers that stand beside them.
        let objects = list.py().import("numpy")?.getattr("array")?.call1((list, "O"))?;
        array = objects.cast_into()?;
    }
    let array = &array;
    if array.is_empty() {
        // NumPy would say that it is of floats.
        out.empty(path.feature(), &shape_of(array));
        return Ok(());
    }
    add_array(array, path, depth, out)
}

fn shape_of(array: &Bound<'_, PyUntypedArray>) -> Vec<u64> {
    array.shape().iter().map(|size| *size as u64).collect()
}

/// Adds the texts or byte strings of a list.
fn add_strings(list: &Bound<'_, PyList>, shape: &[u64], path: &Path, out: &mut Builder) -> PyResult<()> {
    let items: Vec<Bound<'_, PyAny>> = list.iter().collect();
    let strings = items.iter().map(|item| string_of(item, path)).collect::<PyResult<Vec<_>>>()?;
    out.strings(path.feature(), shape, strings);
    Ok(())
}

pub fn string_of<'s>(item: &'s Bound<'_, PyAny>, path: &Path) -> PyResult<&'s [u8]> {
    if let Ok(string) = item.cast::<PyBytes>() {
        return Ok(string.as_bytes());
    }
    match item.cast::<PyString>() {
        Ok(string) => text_of(string, path),
        Err(_) => Err(path.refuse(&format!(
            "an array of objects may hold texts or bytes, and holds {}",
            item.get_type().name()?
        ))),
    }
}

fn add_array(
    array: &Bound<'_, PyUntypedArray>,
    path: &mut Path,
    depth: usize,
    out: &mut Builder,
) -> PyResult<()> {
    let shape = shape_of(array);
    match kind_of(array, path)? {
        Items::Numbers(dtype) => {
            let array = in_order(array)?;
            let bytes = array.len() * dtype.size();
            out.numbers(path.feature(), dtype, &shape, |out| copy(&array, 0, bytes, out))
        }
        Items::Strings => add_strings(&strings_of(array)?, &shape, path, out),
        Items::Fields(names) => names.iter().try_for_each(|name| {
            let field = array.get_item(name)?;
            path.within(name, |path| add(&field, path, depth + 1, out))
        }),
    }
}

/// What the items of an array are.
pub enum Items {
    /// Numbers of this dtype.
    Numbers(DType),
    /// Texts or byte strings.
    Strings,
    /// The fields of a structured array.
    Fields(Vec<String>),
}

pub fn kind_of(array: &Bound<'_, PyUntypedArray>, path: &Path) -> PyResult<Items> {
    if !array.is_exact_instance_of::<PyUntypedArray>() && is_masked(array)? {
        return Err(path.refuse("it is a masked array, and what is below its mask would show: fill it, or give the mask as a feature"));
    }
    let dtype = array.dtype();
    if matches!(dtype.kind(), b'M' | b'm') {
        path.check_unit(&dtype)?;
    }
    let numbers = match (dtype.kind(), dtype.itemsize()) {
        (b'b', 1) => DType::Bool,
        (b'i', 1) => DType::Int8,
        (b'i', 2) => DType::Int16,
        (b'i', 4) => DType::Int32,
        // Points in time, and lengths of it, are counts of their unit.
        (b'i' | b'M' | b'm', 8) => DType::Int64,
        (b'u', 1) => DType::Uint8,
        (b'u', 2) => DType::Uint16,
        (b'u', 4) => DType::Uint32,
        (b'u', 8) => DType::Uint64,
        (b'f', 2) => DType::Float16,
        (b'f', 4) => DType::Float32,
        (b'f', 8) => DType::Float64,
        (b'c', 8) => DType::Complex64,
        (b'c', 16) => DType::Complex128,
        (b'O' | b'S' | b'U' | b'T', _) => return Ok(Items::Strings),
        _ => {
            let name = dtype.getattr("name")?.extract::<String>()?;
            if name == "bfloat16" {
                return Ok(Items::Numbers(DType::BFloat16));
            }
            if let Some(names) = dtype.getattr("names")?.extract::<Option<Vec<String>>>()? {
                return Ok(Items::Fields(names));
            }
            return Err(path.refuse(&format!("no array can have items of the dtype {name}")));
        }
    };
    Ok(Items::Numbers(numbers))
}

fn is_masked(array: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    array.is_instance(&array.py().import("numpy.ma")?.getattr("MaskedArray")?)
}

/// The array itself if its items follow one another in the machine's order, else a copy in which they do.
pub fn in_order<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let native = array.dtype().is_native_byteorder().unwrap_or(true);
    if native && array.is_c_contiguous() {
        return Ok(array.clone());
    }
    let py = array.py();
    let dtype = array.dtype().call_method1("newbyteorder", ("=",))?;
    let how = PyDict::new(py);
    how.set_item("order", "C")?;
    let ordered = py.import("numpy")?.getattr("array")?.call((array, dtype), Some(&how))?;
    Ok(ordered.cast_into::<PyUntypedArray>()?)
}

/// The texts or byte strings of an array, one after another.
pub fn strings_of<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyList>> {
    Ok(array.call_method0("ravel")?.call_method0("tolist")?.cast_into()?)
}
