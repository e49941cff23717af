"""Control groups with a memory limit, of version 1 and 2, where this process may make them."""

import os
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measure

JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class Group:
    """A control group with a memory limit."""

    def __init__(self, path, limit, limit_file, peak_file):
        self.path = path
        self.peak_file = peak_file
        (path / limit_file).write_text(str(limit))

    def run(self, command, environment=None):
        """Runs a command in the group. The shell that joins it becomes the program, so it is not measured."""
        run = measure.run(["/bin/sh", "-c", JOIN, self.path, *command], environment)
        run.group_peak = self.peak()
        return run

    def peak(self):
        """The most bytes charged to the group, or None where this kernel does not tell."""
        try:
            return int((self.path / self.peak_file).read_text())
        except OSError:
            return None


def own_groups():
    """The directory of this process's group, the limit's file and the peak's, for each version that is mounted."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for _, point, kind, options, *_ in mounts:
            if kind == "cgroup" and "memory" in controllers.split(",") and "memory" in options.split(","):
                yield Path(point), path, "memory.limit_in_bytes", "memory.max_usage_in_bytes"
            if kind == "cgroup2" and not controllers:
                yield Path(point), path, "memory.max", "memory.peak"


def make(limit):
    """A new group inside the own one, or beside it at the top, where processes and groups must not mix; or None."""
    for point, path, limit_file, peak_file in own_groups():
        for parent in dict.fromkeys((point / path.lstrip("/"), point)):
            directory = parent / f"bench-{os.getpid()}"
            try:
                directory.mkdir()
            except OSError:
                continue
            try:
                return Group(directory, limit, limit_file, peak_file)
            except OSError:
                directory.rmdir()
    return None


@contextmanager
def limited(limit):
    """A group limited to so many bytes, gone afterwards; None where groups cannot be made."""
    group = make(limit)
    try:
        yield group
    finally:
        if group:
            group.path.rmdir()
