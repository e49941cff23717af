"""TensorFlow's datasets and tensors."""

import sys
import warnings

from ._errors import RequestError
from ._feed import BATCH_BYTES, BATCH_ELEMENTS, Feed, Ragged

# Lists that are taken at once, whose items have no more bytes than these: nobody knows how long they are.
_LISTS, _ITEM_BYTES = 16, 64


def feed_of(dataset, batched):
    """What gives the elements of a `tf.data.Dataset`: where it is not batched, they are taken many at a time."""
    tf, name = sys.modules["tensorflow"], "tf.data.Dataset"
    count = int(dataset.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise RequestError(
            "the dataset has no end", hints=["take what is wanted of it: `dataset.take(count)`, or leave `repeat()` out"]
        )
    specs = _specs(tf, dataset)
    if batched is None and _gives_batches(dataset):
        warnings.warn("each batch becomes an element: `batched=True` takes batches apart", stacklevel=5)
    if batched and any(isinstance(spec, tf.TensorSpec) and spec.shape.rank == 0 for spec in specs):
        raise RequestError("a batch has an axis for its elements, and this dataset gives scalars", hints=["leave `batched` out"])
    if batched and not all(_is_batch(tf, spec) for spec in specs):
        # Of what is no array TensorFlow knows how to take it apart.
        dataset, batched, count = dataset.unbatch(), False, -1
        specs = _specs(tf, dataset)
    dense = [spec for spec in specs if isinstance(spec, tf.TensorSpec)]
    shapes = [spec.shape[1:] if batched and spec.shape.rank else spec.shape for spec in dense]
    static = len(dense) == len(specs) and all(shape.is_fully_defined() for shape in shapes)
    alike = static and not any(spec.dtype == tf.string for spec in dense)
    if batched:
        return Feed(name, lambda: _rows(tf, dataset), True, None, alike, True)
    elements = count if count >= 0 else None
    if static:
        each = sum((spec.dtype.size or 64) * max(shape.num_elements(), 1) for spec, shape in zip(dense, shapes))
        size = max(1, min(BATCH_BYTES // max(each, 1), BATCH_ELEMENTS))
        return Feed(name, lambda: _rows(tf, dataset.batch(size).prefetch(2)), True, elements, alike, True)
    if len(dense) == len(specs) and all(_is_list(*one) for one in zip(dense, shapes)):
        return Feed(name, lambda: _rows(tf, dataset.ragged_batch(_LISTS).prefetch(2)), True, elements, False, True)
    return Feed(name, lambda: (parts(item) for item in dataset), False, elements, False, True)


def _gives_batches(dataset):
    """Whether the last that was done to a dataset, but for what changes no element, was to make batches."""
    while type(dataset).__name__ in ("_PrefetchDataset", "_OptionsDataset", "_CacheDataset", "_ShuffleDataset", "_TakeDataset"):
        dataset = dataset._input_dataset
    return type(dataset).__name__ in ("_BatchDataset", "_ParallelBatchDataset", "_PaddedBatchDataset", "_RaggedBatchDataset")


def _specs(tf, dataset):
    """The specs of the parts of an element; those that have no values are refused."""
    specs = tf.nest.flatten(dataset.element_spec)
    for spec in specs:
        if not isinstance(spec, (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec, type(None))):
            known = type(spec).__name__
            if known != "NoneTensorSpec":
                raise RequestError(
                    f"an element has a part that is described by a {known}, and has no values",
                    hints=["make tensors of it: `dataset.map(…)`, or `dataset.flat_map(…)` where it is a dataset"],
                )
    return [spec for spec in specs if isinstance(spec, (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec))]


def _is_list(spec, shape):
    """Whether what is not known of a tensor is no more than how many items it has, and those are small."""
    known = shape.rank == 0 or bool(shape.rank) and shape[1:].is_fully_defined()
    return known and (shape.rank == 0 or (spec.dtype.size or 1) * shape[1:].num_elements() <= _ITEM_BYTES)


def _is_batch(tf, spec):
    """Whether a batch is an array, or ragged in its rows alone."""
    return spec.ragged_rank == 1 if isinstance(spec, tf.RaggedTensorSpec) else isinstance(spec, tf.TensorSpec)


def _rows(tf, dataset):
    """Batches as arrays, in structures of dicts and tuples."""
    for item in dataset:
        yield _map(lambda leaf: ragged(leaf) if isinstance(leaf, tf.RaggedTensor) else leaf.numpy(), item)


def ragged(tensor):
    """A tensor that is ragged in its rows alone."""
    return Ragged(tensor.values.numpy(), tensor.row_splits.numpy())


def parts(item):
    """An element whose ragged and sparse tensors are the tensors that they consist of, under the names that they have when a dataset
    is saved and read."""
    tf = sys.modules["tensorflow"]

    def parts_of(leaf):
        if isinstance(leaf, tf.RaggedTensor):
            splits = {f"row_splits_{axis}": part.numpy() for axis, part in enumerate(leaf.nested_row_splits)}
            return {**splits, "flat_values": leaf.flat_values.numpy()}
        if isinstance(leaf, tf.SparseTensor):
            return {name: getattr(leaf, name).numpy() for name in ("indices", "values", "dense_shape")}
        return leaf.numpy()

    return _map(parts_of, item)


def _map(change, item):
    """A structure with its leaves changed; `None` stays."""
    if isinstance(item, dict):
        return {name: _map(change, item[name]) for name in sorted(item)}
    if isinstance(item, (tuple, list)):
        return tuple(_map(change, part) for part in item)
    return None if item is None else change(item)
