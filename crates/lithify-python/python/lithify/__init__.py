"""Datasets that do not fit in memory become arrays that need not.

>>> import lithify
>>> arrays = lithify.convert("train-*.tfrecord", "arrays/")        # doctest: +SKIP
>>> arrays = lithify.convert(dataset, "arrays/", features={"tokens": "pad=512 dtype=int32", "label": None})  # doctest: +SKIP
>>> arrays["tokens"][:3]                                            # doctest: +SKIP

A dataset is the path of one, or a live object: a `tf.data.Dataset`, a dataset of Hugging Face, a `Dataset` or `DataLoader` of
PyTorch, an array, a generator function, or anything that can be iterated over. Elements are arrays, numbers, texts and byte strings, in
dicts and tuples within each other.
"""

from ._arrays import Arrays, Dataset, Ragged, open
from ._convert import Plan, Profile, convert, plan, repair, scan, verify
from ._errors import DataError, Error, IOFailure, OutputError, RequestError, ResourcesError
from ._lithify import __version__

__all__ = [
    "Arrays",
    "DataError",
    "Dataset",
    "Error",
    "IOFailure",
    "OutputError",
    "Plan",
    "Profile",
    "Ragged",
    "RequestError",
    "ResourcesError",
    "__version__",
    "convert",
    "open",
    "plan",
    "repair",
    "scan",
    "verify",
]
