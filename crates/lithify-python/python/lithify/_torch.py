"""PyTorch's loaders and tensors."""

import collections.abc
import sys

import numpy as np

from ._errors import DataError, RequestError
from ._feed import Feed, objects


def loader_feed(loader, batched):
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
            return objects(item)
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


def array_of(tensor, feature):
    """A tensor as an array."""
    torch = sys.modules["torch"]
    try:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        if tensor.dtype != torch.bfloat16:
            return tensor.numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        # Sparse, quantized, nested, or on no device: PyTorch says which, and what to do.
        raise DataError(f"the tensor is no array: {error}", feature=feature) from None
    # NumPy has no bfloat16 of its own: what `ml_dtypes` calls so is used, if it is there.
    try:
        import ml_dtypes
    except ImportError:
        raise RequestError(
            "NumPy has no bfloat16 without the package `ml_dtypes`",
            hints=["install `ml_dtypes`, or make the tensors `.float()`, and ask for `dtype=bfloat16`"],
        ) from None
    return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
