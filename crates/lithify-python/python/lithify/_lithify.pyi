"""The part of the package that is written in Rust."""

import os
from collections.abc import Sequence
from typing import Any

__version__: str
KEYS: dict[str, bool]

def main(words: Sequence[str], program: os.PathLike[str]) -> int:
    """The command line: does what the words say, of which the first is the program's name; gives the exit code. `program` is what is
    run by it, for scripts."""

def call(words: Sequence[str], feed: Any | None = None, progress: Any | None = None) -> tuple[str, str, str]:
    """Does what the words say; gives what comes of it as JSON, as a text for people, and as a notebook shows it."""
