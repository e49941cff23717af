"""Live datasets: what gives their elements, and what an element may be made of."""

import collections.abc
import datetime
import inspect
import numbers
import os
import sys

import numpy as np

from . import _pandas, _tensorflow, _torch
from ._errors import DataError, RequestError
from ._feed import BATCH_BYTES, Feed, Ragged, objects, of_library

__all__ = ["Ragged", "feed_of", "is_path", "known", "known_rows"]


def is_path(source):
    """Whether it is a path, or several."""
    paths = source if isinstance(source, (list, tuple)) else [source]
    return len(paths) > 0 and all(isinstance(path, (str, os.PathLike)) for path in paths)


def feed_of(source, batched=None, again=None):
    """What gives the elements of an object.

    `batched` says whether what it gives are many elements at a time; `again` whether iterating it again gives the same.
    """
    feed = _feed_of(source, batched)
    if again is not None:
        feed.again = again and feed.again
    return feed


def _feed_of(source, batched):
    if of_library(source, "tensorflow", "data.Dataset"):
        return _tensorflow.feed_of(source, batched)
    parts = source.values() if isinstance(source, dict) else [source]
    if any(of_library(part, "tensorflow", "RaggedTensor") for part in parts):
        return _tensorflow.feed_of(sys.modules["tensorflow"].data.Dataset.from_tensor_slices(source), None)
    if of_library(source, "torch.utils.data", "DataLoader"):
        return _torch.loader_feed(source, batched)
    if of_library(source, "pandas", "DataFrame"):
        return _pandas.feed_of(source, _of_arrays)
    if hasattr(source, "toarray"):
        raise RequestError(f"{type(source).__name__} is sparse", hints=["give `.toarray()`, or its rows one by one: `(row.toarray() for row in it)`"])
    if isinstance(source, tuple) and len(source) > 1 and all(_is_array(part) and len(part.shape) > 0 for part in source):
        # As TensorFlow has it: the parts of an element stand in tuples, and elements in lists.
        source = dict(zip(getattr(source, "_fields", map(str, range(len(source)))), source))
        return _of_arrays(source, "tuple")
    if isinstance(source, collections.abc.Mapping):
        return _of_columns(_flat(source), type(source).__name__)
    together = _numbers_of(source) if isinstance(source, list) and not batched else source
    if _is_array(together):
        return _of_arrays(together, type(source).__name__)
    return _of_iterable(source, bool(batched))


def _of_iterable(source, rows):
    name = type(source).__name__
    if inspect.isgeneratorfunction(source) or (callable(source) and not hasattr(source, "__iter__")):
        return Feed(getattr(source, "__name__", name), lambda: iter(source()), rows, again=True)
    if isinstance(source, collections.abc.Iterator):
        return Feed(name, lambda: source, rows)
    # The length of what has no items by number is a hint, as PyTorch says.
    numbered = hasattr(source, "__getitem__") and not of_library(source, "torch.utils.data", "IterableDataset")
    count = len(source) if numbered and hasattr(source, "__len__") and not rows else None
    if hasattr(source, "__iter__"):
        return Feed(name, lambda: iter(source), rows, count, again=True)
    if count is not None:
        return Feed(name, lambda: (source[at] for at in range(count)), rows, count, again=True)
    raise RequestError(
        f"no dataset: {name} can neither be iterated over nor is it a path",
        hints=["give a path, a tf.data.Dataset, a Dataset or DataLoader of PyTorch, an array, a generator, or an iterable"],
    )


def _is_array(source):
    """Whether it has rows that can be cut off: an array of NumPy, or of a library that keeps it elsewhere."""
    return all(hasattr(source, name) for name in ("shape", "dtype", "__getitem__"))


def _flat(source, above=""):
    """What mappings within each other hold, by names such as `a/b`."""
    found = {}
    for key, value in source.items():
        inside = isinstance(value, collections.abc.Mapping)
        for name, part in _flat(value, f"{above}{key}/").items() if inside else [(f"{above}{key}", value)]:
            if name in found:
                raise RequestError("two features have this name", feature=name)
            found[name] = part
    return found


def _of_columns(source, name):
    """Arrays, or lists of as many items, which need not be alike."""
    arrays, alike = {}, True
    for key, column in source.items():
        try:
            arrays[key] = column if _is_array(column) else _array(column, key)
        except DataError:
            arrays[key], alike = column, False
    if alike:
        return _of_arrays(arrays, name)
    counts = {key: len(column) for key, column in arrays.items()}
    _check_counts(counts)
    count = next(iter(counts.values()))
    elements = lambda: ({key: column[at] for key, column in arrays.items()} for at in range(count))
    return Feed(name, elements, False, count, False, True)


def _numbers_of(items):
    """Numbers, or lists of as many of them, as the array that NumPy makes of them: of integers and floats, all become floats."""
    if not items or not isinstance(items[0], (numbers.Number, list)):
        return None
    try:
        array = np.asarray(items)
    except ValueError:
        return None
    return array if array.dtype.kind in "biufc" else None


def _check_counts(counts):
    if len(set(counts.values())) > 1:
        raise RequestError("the arrays have not the same number of rows: " + ", ".join(f"{key!r} {n}" for key, n in counts.items()))


def _of_arrays(source, name):
    """An array has an element a row; of several, all have as many."""
    arrays = source if isinstance(source, collections.abc.Mapping) else {None: source}
    if not arrays or any(len(array.shape) == 0 for array in arrays.values()):
        raise RequestError("an array without axes has no elements")
    counts = {key: int(array.shape[0]) for key, array in arrays.items()}
    _check_counts(counts)
    count = next(iter(counts.values()))
    dtypes = [np.dtype(array.dtype) if isinstance(array, np.ndarray) else np.asarray(array[:1]).dtype for array in arrays.values()]
    row = sum(dtype.itemsize * int(np.prod(array.shape[1:])) for dtype, array in zip(dtypes, arrays.values()))
    # What is kept elsewhere is read by the piece.
    step = max(1, min(4 * BATCH_BYTES // max(row, 1), 1 << 16))

    def slices():
        for at in range(0, count, step):
            cut = {key: np.asanyarray(array[at : at + step]) for key, array in arrays.items()}
            yield cut[None] if None in cut else cut

    alike = all(dtype.kind in "biufcmM" or dtype.name == "bfloat16" for dtype in dtypes)
    return Feed(name, slices, True, count, alike, True)


def _array(items, feature):
    try:
        array = np.asarray(items)
        # NumPy drops what is NUL at the end of strings.
        return np.array(items, dtype=object) if array.dtype.kind in "SU" and not isinstance(items, np.ndarray) else array
    except ValueError as error:
        raise DataError(f"it is no array: {error}", feature=str(feature)) from None


def known(item, feature):
    """An object of another library as something that lithify knows."""
    if of_library(item, "torch", "Tensor"):
        return _torch.array_of(item, feature)
    if of_library(item, "tensorflow", "RaggedTensor") or of_library(item, "tensorflow", "SparseTensor"):
        return _tensorflow.parts(item)
    if isinstance(item, collections.abc.Mapping):
        return dict(item)
    if isinstance(item, (bytearray, memoryview)):
        return bytes(item)
    if isinstance(item, (datetime.date, datetime.timedelta)):
        return _time(item)
    if isinstance(item, np.generic) or hasattr(item, "__array__") or hasattr(item, "__array_interface__"):
        array = np.asanyarray(item)
        if array.dtype != object or array.ndim > 0:
            return array
    if isinstance(item, numbers.Number):
        return np.asarray(item) if not isinstance(item, numbers.Integral) else int(item)
    raise DataError(f"an object of {type(item).__name__} is no array, number or string", feature=feature)


def _time(item):
    if getattr(item, "tzinfo", None) is not None:
        item = item.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return np.asarray(item, dtype="m8[us]" if isinstance(item, datetime.timedelta) else "M8[us]")


def known_rows(item, feature):
    """The same of many elements at a time."""
    if isinstance(item, list):
        return objects(item) if any(isinstance(one, (str, bytes)) for one in item) else _array(item, feature)
    if of_library(item, "tensorflow", "RaggedTensor") and item.ragged_rank == 1:
        return _tensorflow.ragged(item)
    return known(item, feature)
