"""What a live dataset is to lithify's own part: something that gives elements, and what is known of them before."""

import sys
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

# Bytes and elements that are taken at once where many can be, about.
BATCH_BYTES = 1 << 20
BATCH_ELEMENTS = 4096


@dataclass
class Feed:
    """What gives the elements of a live dataset."""

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


def of_library(source, library, path):
    """Whether an object is of a class of a library. What the caller has not imported is not imported here either."""
    found = sys.modules.get(library)
    for name in path.split("."):
        found = getattr(found, name, None)
    return isinstance(found, type) and isinstance(source, found)


def objects(items):
    """An array of objects, whatever they are."""
    items = list(items)
    array = np.empty(len(items), dtype=object)
    for at, item in enumerate(items):
        array[at] = item
    return array
