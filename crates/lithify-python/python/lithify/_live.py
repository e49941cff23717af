"""Live datasets: what gives their elements, and what is known of them before.

No library is imported that the caller has not imported: what is no object of such a library is not looked at.
"""

import collections.abc
import inspect
import os
import sys
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from ._errors import RequestError

# Bytes of the elements that are taken of TensorFlow at once, about.
_BATCH_BYTES = 1 << 20
_BATCH_ELEMENTS = 4096


@dataclass
class Feed:
    """What gives the elements of a live dataset, as lithify's own part reads it."""

    name: str
    """What people know it as."""
    begin: Callable[[], Any]
    """Gives an iterator that begins at the first element."""
    rows: bool = False
    """Whether elements come many at a time, as arrays that have a row for each."""
    elements: Optional[int] = None
    """How many there are, if that is known."""
    alike: bool = False
    """Whether they differ in nothing but their values."""
    again: bool = False
    """Whether it can be begun again, and gives the same."""


@dataclass
class Ragged:
    """Rows that differ in length: where each starts among the values, and the last ends."""

    values: Any
    splits: Any


def is_path(source):
    """Whether it is a path, or several."""
    paths = source if isinstance(source, (list, tuple)) else [source]
    return len(paths) > 0 and all(isinstance(path, (str, os.PathLike)) for path in paths)


def of_library(source, library, path):
    """Whether an object is of a class of a library that the caller has imported."""
    module = sys.modules.get(library)
    for name in path.split("."):
        module = getattr(module, name, None)
    return isinstance(module, type) and isinstance(source, module)


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
        return _of_tensorflow(source, batched)
    if of_library(source, "torch.utils.data", "DataLoader"):
        return _of_loader(source, batched)
    if isinstance(source, np.ndarray) or isinstance(source, dict):
        return _of_arrays(source)
    name, rows = type(source).__name__, bool(batched)
    if inspect.isgeneratorfunction(source) or (callable(source) and not hasattr(source, "__iter__")):
        name = getattr(source, "__name__", name)
        return Feed(name, lambda: iter(source()), rows, again=True)
    if isinstance(source, collections.abc.Iterator):
        return Feed(name, lambda: source, rows)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not rows:
        count = len(source)
        if not hasattr(source, "__iter__"):
            return Feed(name, lambda: (source[at] for at in range(count)), elements=count, again=True)
        return Feed(name, lambda: iter(source), elements=count, again=True)
    if hasattr(source, "__iter__"):
        return Feed(name, lambda: iter(source), rows, again=True)
    raise RequestError(
        f"no dataset: {type(source).__name__} can neither be iterated over nor is it a path",
        hints=["give a path, a tf.data.Dataset, a Dataset or DataLoader of PyTorch, an array, a generator, or an iterable"],
    )


def _of_arrays(source):
    """An array has an element a row; of a dict of arrays, all have as many."""
    arrays = {name: np.asarray(array) for name, array in source.items()} if isinstance(source, dict) else source
    all_arrays = list(arrays.values()) if isinstance(arrays, dict) else [arrays]
    if not all_arrays or any(array.ndim == 0 for array in all_arrays):
        raise RequestError("an array without axes has no elements")
    alike = all(array.dtype.kind not in "OSUT" for array in all_arrays)

    def slices():
        count = all_arrays[0].shape[0]
        row = sum(array.nbytes // max(array.shape[0], 1) for array in all_arrays)
        # What is cut off is copied, if it is mapped or in another order.
        step = max(1, min(16 * _BATCH_BYTES // max(row, 1), 1 << 16))
        for at in range(0, count, step):
            cut = slice(at, at + step)
            yield {name: array[cut] for name, array in arrays.items()} if isinstance(arrays, dict) else arrays[cut]

    # Arrays that differ in how many rows they have are found when they are cut.
    count = max(array.shape[0] for array in all_arrays)
    return Feed(type(source).__name__, slices, True, count, alike, True)


def _of_loader(loader, batched):
    """A DataLoader gives batches, unless its `batch_size` is None, and lists where the dataset gives tuples."""
    data = sys.modules["torch.utils.data"]
    rows = loader.batch_sampler is not None if batched is None else batched
    # What a function of the user's collates may be anything.
    own = rows and loader.collate_fn is not data._utils.collate.default_collate
    order = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    if type(order) is data.BatchSampler:
        order = order.sampler
    again = type(order) is data.SequentialSampler or isinstance(loader.dataset, data.IterableDataset)

    def arrays(item):
        if isinstance(item, collections.abc.Mapping):
            return {name: arrays(part) for name, part in item.items()}
        if not isinstance(item, (list, tuple)):
            return item
        strings = [isinstance(part, (str, bytes)) for part in item]
        if rows and strings and all(strings):
            return _objects(item)
        numbers = isinstance(item, list) and all(isinstance(part, (int, float, complex, np.generic)) for part in item)
        return item if numbers or strings and all(strings) else tuple(arrays(part) for part in item)

    def batches():
        for item in loader:
            if own and _is_apart(item):
                raise RequestError(
                    "the `collate_fn` of the DataLoader leaves elements apart, where a batch should be arrays with a row for each",
                    hints=["give the `dataset` of the loader, or `lambda: (element for batch in loader for element in batch)`"],
                )
            yield arrays(item)

    return Feed("DataLoader", batches, rows, again=again)


def _is_apart(batch):
    """Whether a batch is a list of elements, or has, of a feature, a tuple of what the elements have."""
    within = (tuple, dict) if isinstance(batch, list) else tuple
    return isinstance(batch, (list, tuple)) and any(isinstance(part, within) for part in batch)


def _of_tensorflow(dataset, batched):
    tf = sys.modules["tensorflow"]
    count = int(dataset.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise RequestError(
            "the dataset has no end", hints=["take what is wanted of it: `dataset.take(count)`, or leave `repeat()` out"]
        )
    specs = tf.nest.flatten(dataset.element_spec)
    if batched and not all(_is_batch(tf, spec) for spec in specs):
        # Of what is no array TensorFlow knows how to take it apart.
        dataset, batched, count = dataset.unbatch(), False, -1
        specs = tf.nest.flatten(dataset.element_spec)
    dense = [spec for spec in specs if isinstance(spec, tf.TensorSpec)]
    shapes = [spec.shape[1:] if batched and spec.shape.rank else spec.shape for spec in dense]
    static = len(dense) == len(specs) and all(shape.is_fully_defined() for shape in shapes)
    alike = static and not any(spec.dtype == tf.string for spec in dense)
    elements = count if count >= 0 and not batched else None
    again = True
    if batched:
        return Feed("tf.data.Dataset", lambda: _rows(tf, dataset), True, elements, alike, again)
    together = None
    if static:
        bytes_each = sum((spec.dtype.size or 64) * max(shape.num_elements(), 1) for spec, shape in zip(dense, shapes))
        together = lambda: dataset.batch(max(1, min(_BATCH_BYTES // max(bytes_each, 1), _BATCH_ELEMENTS)))
    elif len(dense) == len(specs) and all(_is_list(shape) for shape in shapes):
        together = lambda: dataset.ragged_batch(256)
    if together is None:
        return Feed("tf.data.Dataset", lambda: map(lambda item: _parts(tf, item), dataset), False, elements, alike, again)
    return Feed("tf.data.Dataset", lambda: _rows(tf, together().prefetch(2)), True, elements, alike, again)


def _is_list(shape):
    """Whether what is not known of a shape is no more than how many items it has."""
    return shape.rank is not None and (shape.rank == 0 or shape[1:].is_fully_defined())


def _is_batch(tf, spec):
    """Whether a batch is an array, or ragged in its rows alone."""
    if isinstance(spec, tf.RaggedTensorSpec):
        return spec.ragged_rank == 1
    return isinstance(spec, tf.TensorSpec) and spec.shape.rank != 0


def _rows(tf, dataset):
    """Batches as arrays, in structures of dicts and tuples."""

    def rows(leaf):
        if isinstance(leaf, tf.RaggedTensor):
            return Ragged(leaf.values.numpy(), leaf.row_splits.numpy())
        return leaf.numpy()

    for item in dataset:
        yield _map(tf, rows, item)


def _parts(tf, item):
    """An element whose ragged and sparse tensors are the tensors that they consist of, under the names that they have when a dataset
    is saved and read."""

    def parts(leaf):
        if isinstance(leaf, tf.RaggedTensor):
            splits = {f"row_splits_{axis}": part.numpy() for axis, part in enumerate(leaf.nested_row_splits)}
            return {**splits, "flat_values": leaf.flat_values.numpy()}
        if isinstance(leaf, tf.SparseTensor):
            return {name: getattr(leaf, name).numpy() for name in ("indices", "values", "dense_shape")}
        return leaf.numpy()

    return _map(tf, parts, item)


def _map(tf, change, item):
    """A structure with its leaves changed; `None` stays."""
    if isinstance(item, dict):
        return {name: _map(tf, change, item[name]) for name in sorted(item)}
    if isinstance(item, (tuple, list)):
        return tuple(_map(tf, change, part) for part in item)
    return None if item is None else change(item)


def known(item, feature):
    """An object of another library as something that lithify knows."""
    if of_library(item, "torch", "Tensor"):
        return _of_tensor(item)
    if of_library(item, "tensorflow", "RaggedTensor") or of_library(item, "tensorflow", "SparseTensor"):
        return _parts(sys.modules["tensorflow"], item)
    if isinstance(item, collections.abc.Mapping):
        return dict(item)
    if isinstance(item, np.generic) or hasattr(item, "__array__") or hasattr(item, "__array_interface__"):
        array = np.asarray(item)
        if array.dtype != object or array.ndim > 0:
            return array
    raise TypeError(f"feature `{feature}`: an object of {type(item).__name__} is no array, number or string")


def known_rows(item, feature):
    """The same of many elements at a time."""
    if isinstance(item, list):
        return _objects(item) if any(isinstance(one, (str, bytes)) for one in item) else np.asarray(item)
    if of_library(item, "tensorflow", "RaggedTensor") and item.ragged_rank == 1:
        return Ragged(item.values.numpy(), item.row_splits.numpy())
    return known(item, feature)


def _objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _of_tensor(tensor):
    torch = sys.modules["torch"]
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    # NumPy has no bfloat16 of its own: what `ml_dtypes` calls so is used, if it is there.
    try:
        import ml_dtypes
    except ImportError:
        raise RequestError(
            "NumPy has no bfloat16 without the package `ml_dtypes`",
            hints=["install `ml_dtypes`, or make the tensors `.float()`, and ask for `dtype=bfloat16`"],
        ) from None
    return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
