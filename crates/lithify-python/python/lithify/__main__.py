"""The command line: `python -m lithify` is `lithify`."""

import signal
import sys

from . import _lithify


def main():
    """Runs the command that was typed, and ends with its exit code."""
    # The command stops in order by itself, and Python has no part in it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_lithify.main(["lithify", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
