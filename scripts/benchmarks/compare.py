"""Whether two directories hold equal arrays: `python -m benchmarks.compare EXPECTED ACTUAL NAME…`.

A time is worth nothing if what was written is not the same.
"""

import sys

import numpy as np

ROWS = 4096  # compared at once


def difference(expected, actual):
    """What is different about two arrays, or None."""
    if (expected.dtype, expected.shape) != (actual.dtype, actual.shape):
        return f"{actual.dtype} {actual.shape} instead of {expected.dtype} {expected.shape}"
    for start in range(0, len(expected), ROWS):
        rows = slice(start, start + ROWS)
        if expected[rows].tobytes() != actual[rows].tobytes():
            return f"other values in rows {start} to {start + ROWS}"
    return None


def main(expected, actual, *names):
    """Compares the arrays called `names`, and fails at the first difference."""
    for name in names:
        arrays = (np.load(f"{directory}/{name}.npy", mmap_mode="r") for directory in (expected, actual))
        if found := difference(*arrays):
            sys.exit(f"{name}.npy has {found}")


if __name__ == "__main__":
    main(*sys.argv[1:])
