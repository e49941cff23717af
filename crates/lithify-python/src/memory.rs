//! The memory of NumPy's arrays: the only place where it is touched.

#![expect(unsafe_code, reason = "NumPy tells where an array's items are by a pointer")]

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Adds the items of an array, from byte `start` on, so many bytes, to `out`. They must follow one another in memory (C order).
///
/// # Errors
/// They do not, or there are not as many.
pub fn copy(
    array: &Bound<'_, PyUntypedArray>,
    start: usize,
    bytes: usize,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let all = array.len() * array.dtype().itemsize();
    if !array.is_c_contiguous() || start.checked_add(bytes).is_none_or(|end| end > all) {
        return Err(PyValueError::new_err("the items of the array are not where they should be"));
    }
    if bytes == 0 {
        return Ok(());
    }
    out.reserve(bytes);
    // SAFETY: `array` is alive, and the GIL is held (`Bound`), so that NumPy neither frees nor moves its items: an array is only
    // resized in place where nobody else refers to it, and `Bound` does. It is contiguous, so that its items are the `all` bytes
    // from its pointer on, and `start + bytes <= all`. They are initialised: NumPy's own code reads them as freely. `out` has
    // room for them, and is no part of them. No reference to them is made, so that it does not matter if other threads, which
    // NumPy lets run while it computes, write to them: then what is copied is what a copy by NumPy would be, too.
    unsafe {
        let from = (*array.as_array_ptr()).fields.data.cast::<u8>().add(start);
        std::ptr::copy_nonoverlapping(from, out.as_mut_ptr().add(out.len()), bytes);
        out.set_len(out.len() + bytes);
    }
    Ok(())
}
