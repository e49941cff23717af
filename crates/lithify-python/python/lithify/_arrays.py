"""What was written, opened: arrays that stay on disk."""

import builtins
import json
import operator
import os
from collections.abc import Mapping

import numpy as np

from . import _lithify
from ._errors import OutputError
from ._feed import objects

_MANIFEST = "lithify.json"


def open(out):
    """Opens what `convert` has written, as a mapping of names to arrays. Nothing is read before it is looked at.

    A name stands for an `np.memmap`, for a `zarr.Array` in a Zarr store (which needs `zarr`), or for a `Ragged` where elements differ in
    length. What stands beside an array, such as its lengths, has a name of its own: `tokens.lengths`.

    >>> import lithify
    >>> _ = lithify.convert({"x": [1, 2, 3]}, "opened", overwrite=True)
    >>> lithify.open("opened")["x"]
    memmap([1, 2, 3])
    """
    return Arrays(out)


class Arrays(Mapping):
    """The arrays of an output by name. It is pickled as its path, so that workers open it anew."""

    def __init__(self, out):
        self.path = os.path.abspath(os.fsdecode(out))
        single = self.path.endswith(".npy")
        self._manifest_path = self.path[:-4] + "." + _MANIFEST if single else os.path.join(self.path, _MANIFEST)
        try:
            with builtins.open(self._manifest_path, encoding="utf-8") as file:
                self.manifest = json.load(file)
        except OSError as error:
            raise OutputError(
                f"`{self.path}` is nothing that lithify has written: {error}",
                file=self.path,
                hints=["other arrays are opened by `np.load(path, mmap_mode='r')`, or by `zarr.open`"],
            ) from None
        self._directory = os.path.dirname(self.path) if single else self.path
        self._arrays, self._ragged, self._opened = {}, {}, {}
        for array in self.manifest["arrays"]:
            name = array["file"][: -len(".npy")] if array["file"].endswith(".npy") else array["file"]
            self._arrays[name] = array
        for name, array in self._arrays.items():
            if array["role"] == "values":
                base = name[: -len("values")].rstrip("./")
                self._ragged[base or name] = name

    @property
    def elements(self):
        """How many elements there are."""
        return self.manifest["elements"]

    @property
    def skipped(self):
        """The elements that were left out, and why."""
        return self.manifest["skipped"]

    def __getitem__(self, name):
        if name not in self._opened:
            if name in self._ragged:
                values = self._ragged[name]
                parts = {role: self._open(self._arrays[part]) for role, part in self._parts(values).items()}
                # Byte strings are kept as bytes, one after another.
                strings = "raggedbytes" in self._arrays[values]["fit"]
                self._opened[name] = Ragged(parts, strings, (self.path, name, 0, self.elements))
            elif name in self._arrays:
                self._opened[name] = self._open(self._arrays[name])
            else:
                raise KeyError(name)
        return self._opened[name]

    def __iter__(self):
        parts = {part for name in self._ragged.values() for part in self._parts(name).values()}
        return iter([*(name for name in self._arrays if name not in parts), *self._ragged])

    def __len__(self):
        return sum(1 for _ in self)

    def __contains__(self, name):
        return name in self._ragged or name in self._arrays

    def __reduce__(self):
        return Arrays, (self.path,)

    def __repr__(self):
        lines = [f"{name}: {self._about(name)}" for name in self]
        skipped = f", {len(self.skipped):,} were left out" if self.skipped else ""
        elements = "1 element" if self.elements == 1 else f"{self.elements:,} elements"
        return f"{self.path}: {elements}{skipped}\n  " + "\n  ".join(lines)

    def _repr_html_(self):
        return _lithify.call(["lithify", "info", "--", self.path])[2]

    def _about(self, name):
        if name in self._ragged:
            return f"ragged {self._arrays[self._ragged[name]]['dtype']}"
        array = self._arrays[name]
        return f"{array['dtype']} {tuple(array['shape'])}"

    def _parts(self, values):
        """The arrays that make up a ragged one, by role."""
        feature = self._arrays[values]["feature"]
        roles = {"values", "offsets", "value_offsets", "shapes"}
        return {
            array["role"]: name
            for name, array in self._arrays.items()
            if array["feature"] == feature and array["role"] in roles
        }

    def _open(self, array):
        if self.path.endswith(".npy") or self.manifest["layout"].startswith("npy"):
            path = os.path.join(self._directory, array["file"])
            # What has no bytes cannot be mapped.
            return np.load(path, mmap_mode="r" if 0 not in array["shape"] else None)
        try:
            import zarr
        except ImportError:
            raise ImportError("a Zarr store is opened by the package `zarr`: `pip install zarr`") from None
        return zarr.open_array(os.path.join(self._directory, array["file"]), mode="r")


class Ragged:
    """Elements that differ in length, one after another in one array: `x[i]` is the array of an element, or its byte string.

    Attributes:
        values: the values of all elements.
        offsets: where each element starts in them, and the last ends.
    """

    def __init__(self, parts, strings, place):
        """Made by `lithify.open`: of the arrays by role, whether they hold byte strings, and where they are found again, which is the
        output, the name there, and the first and the last of the elements.
        """
        self.values, self.offsets = parts["values"], parts["offsets"]
        self._parts, self._strings, self._place = parts, strings, place

    def __len__(self):
        return self.offsets.shape[0] - 1

    @property
    def dtype(self):
        """The dtype of the values."""
        return self.values.dtype

    @property
    def lengths(self):
        """How many values (or bytes) each element has."""
        return np.diff(self.offsets[:])

    def __getitem__(self, at):
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return self._cut(start, max(start, stop)) if step == 1 else [self[one] for one in range(start, stop, step)]
        if isinstance(at, (list, np.ndarray)):
            return [self[one] for one in np.arange(len(self))[np.asarray(at, dtype=None if len(at) else int)]]
        number = operator.index(at)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(f"there is no element {at}: there are {len(self)}")
        found = self._between(int(self.offsets[number]), int(self.offsets[number + 1]))
        shapes = self._parts.get("shapes")
        return found if shapes is None else found.reshape(tuple(shapes[number]))

    def _between(self, start, stop):
        ends = self._parts.get("value_offsets")
        if not self._strings:
            return self.values[start:stop]
        if ends is None:
            return self.values[start:stop].tobytes()
        ends = ends[start : stop + 1]
        return objects(self.values[int(a) : int(b)].tobytes() for a, b in zip(ends[:-1], ends[1:]))

    def _cut(self, start, stop):
        parts = {**self._parts, "offsets": self.offsets[start : stop + 1]}
        if "shapes" in parts:
            parts["shapes"] = parts["shapes"][start:stop]
        path, name, before, _ = self._place
        return Ragged(parts, self._strings, (path, name, before + start, before + stop))

    def __iter__(self):
        return (self[at] for at in range(len(self)))

    def to_numpy(self):
        """All elements in memory, as an array of objects."""
        return objects(self)

    def __reduce__(self):
        return _reopen, self._place

    def __repr__(self):
        return f"Ragged({len(self):,} elements of {'bytes' if self._strings else self.dtype})"


def _reopen(path, name, start, stop):
    return open(path)[name][start:stop]


def _rows_of(array):
    return array.shape[0] if hasattr(array, "shape") else len(array)


class Dataset:
    """The rows of what was written, as a dataset of PyTorch: `dataset[i]` is a dict of the features of an element, or its value if there
    is one. For TensorFlow, it gives the elements to `tf.data.Dataset.from_generator`.
    """

    def __init__(self, out, features=None):
        self._made_of = os.path.abspath(os.fsdecode(out)), features
        arrays = open(out)
        rows = [name for name in arrays if _rows_of(arrays[name]) == arrays.elements]
        self.arrays = {name: arrays[name] for name in (rows if features is None else features)}
        self._count = arrays.elements

    def __len__(self):
        return self._count

    def __getitem__(self, at):
        # Copies, since what is mapped may not be written to.
        row = {name: np.array(array[at]) if np.ndim(array[at]) else array[at] for name, array in self.arrays.items()}
        return row if len(row) > 1 else next(iter(row.values()))

    def __iter__(self):
        return (self[at] for at in range(len(self)))

    def __reduce__(self):
        return Dataset, self._made_of
