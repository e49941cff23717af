"""The command line: `python -m lithify` is `lithify`."""

import signal
import sys
from pathlib import Path

from . import _lithify


def main():
    """Runs the command that was typed, and ends with its exit code."""
    # The command stops in order by itself, and Python has no part in it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What a script of a batch job calls: the interpreter alone would not do.
    program = Path(sys.executable).with_name("lithify")
    sys.exit(_lithify.main(["lithify", *sys.argv[1:]], program))


if __name__ == "__main__":
    main()
