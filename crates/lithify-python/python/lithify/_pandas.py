"""pandas' tables: a column is a feature, and a row an element."""

import numpy as np

from ._errors import RequestError
from ._feed import Feed


def feed_of(frame, of_arrays):
    """What gives the rows of a table: as arrays, if no cell is missing or holds several values. What is missing of a type that has a mark
    for it, or of texts, is a feature that the element lacks."""
    if not frame.columns.is_unique:
        twice = ", ".join(f"`{name}`" for name in frame.columns[frame.columns.duplicated()].unique())
        raise RequestError(f"several columns have one name: {twice}", hints=["give each a name of its own"])
    columns = {name: _column(frame[name]) for name in frame.columns}
    if all(missing is None and _has_simple_items(values) for values, missing in columns.values()):
        return of_arrays({name: values for name, (values, _) in columns.items()}, "DataFrame")

    def rows():
        for at in range(len(frame)):
            yield {name: values[at] for name, (values, missing) in columns.items() if missing is None or not missing[at]}

    return Feed("DataFrame", rows, False, len(frame), False, True)


def _column(column):
    """The values of a column, and which of them are missing, if any are."""
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        return column.to_numpy(), None
    if getattr(column.dtype, "tz", None) is not None:
        # Points in time are those of the one zone that NumPy has.
        return column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), None
    missing = column.isna().to_numpy()
    missing = missing if missing.any() else None
    numbers = getattr(column.dtype, "numpy_dtype", None)
    if isinstance(numbers, np.dtype) and numbers.kind in "biuf":
        return column.fillna(False if numbers.kind == "b" else 0).to_numpy(dtype=numbers), missing
    return column.to_numpy(dtype=object), missing


def _has_simple_items(values):
    return values.dtype != object or all(isinstance(value, (str, bytes)) for value in values)
