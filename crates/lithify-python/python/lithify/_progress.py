"""A bar as `tqdm` makes one, for where that is not there."""

import sys
import time


def bar(progress):
    """What makes a bar for each pass, if one is wanted."""
    if callable(progress):
        return progress
    wanted = _is_seen() if progress is None else progress
    return Bar if wanted else None


def _is_seen():
    """Whether somebody looks: at a terminal, or at a notebook."""
    return sys.stderr is not None and (sys.stderr.isatty() or "ipykernel" in sys.modules)


class Bar:
    """A line that is written over as it goes on."""

    def __init__(self, *, desc, total, unit, unit_scale):
        self.desc, self.total = desc, total
        self.done, self.width = 0, 0
        self.start = self.told = time.monotonic()

    def update(self, count):
        self.done += count
        now = time.monotonic()
        if now - self.told >= 0.2:
            self.told = now
            self._write(self._line(now))

    def _line(self, now):
        rate = self.done / max(now - self.start, 1e-9)
        if not self.total:
            return f"{self.desc}: {self.done / 2**20:.0f} MiB, {rate / 2**20:.0f} MiB/s"
        share = min(self.done / self.total, 1)
        left = (self.total - self.done) / max(rate, 1)
        return f"{self.desc}: {'█' * int(24 * share):24} {share:4.0%}  {rate / 2**20:.0f} MiB/s  {max(left, 0):.0f} s left"

    def close(self):
        if self.width:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _write(self, line):
        sys.stderr.write("\r" + line.ljust(self.width))
        sys.stderr.flush()
        self.width = len(line)
