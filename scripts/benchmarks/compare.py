"""Whether two directories hold equal arrays: `python -m benchmarks.compare EXPECTED ACTUAL NAME…`.

They are `.npy` files, or the arrays of a Zarr store in the directory. A time is worth nothing if what was written is not the same.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.workloads import STORE

ROWS = 4096  # compared at once


def load(directory, name):
    """An array, of which nothing is read yet."""
    store = Path(directory) / STORE
    if not store.exists():
        return np.load(f"{directory}/{name}.npy", mmap_mode="r")
    try:
        import zarr
    except ImportError:
        import tensorstore

        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store / name}/"}}
        return tensorstore.open(spec, open=True, read=True).result()
    return zarr.open_array(store / name, mode="r")


def difference(expected, actual):
    """What is different about two arrays, or None."""
    found = getattr(actual.dtype, "numpy_dtype", actual.dtype)  # TensorStore has dtypes of its own
    if (expected.dtype, expected.shape) != (found, actual.shape):
        return f"{found} {actual.shape} instead of {expected.dtype} {expected.shape}"
    for start in range(0, len(expected), ROWS):
        rows = slice(start, min(start + ROWS, len(expected)))
        if expected[rows].tobytes() != np.asarray(actual[rows]).tobytes():
            return f"other values in rows {start} to {start + ROWS}"
    return None


def main(expected, actual, *names):
    """Compares the arrays called `names`, and fails at the first difference."""
    for name in names:
        arrays = (load(directory, name) for directory in (expected, actual))
        if found := difference(*arrays):
            sys.exit(f"{name} has {found}")


if __name__ == "__main__":
    main(*sys.argv[1:])
