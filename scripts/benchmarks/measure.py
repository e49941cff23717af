"""Runs one program at a time, and measures it from outside: time, processor time, the most memory."""

import json
import mmap
import os
import platform
import resource
import select
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

SAMPLE_MS = 10  # between two looks at the memory of what runs
TOUCHED = 4 << 30  # bytes of memory touched before a run, at most a quarter of what there is


@dataclass
class Run:
    """What one run took."""

    wall: float  # seconds
    cpu_user: float  # seconds
    cpu_system: float  # seconds
    peak: int  # bytes resident at once, mapped files included
    status: int  # exit code, negative for a signal
    output: str  # what it printed
    group_peak: int | None = None  # bytes charged to its control group, page cache included
    notes: dict = field(default_factory=dict)  # what it tells about itself

    @property
    def cpu(self):
        """Processor time in the program and in the kernel for it."""
        return self.cpu_user + self.cpu_system

    def raw(self):
        """What goes into the JSON file."""
        return asdict(self)


def own_peak():
    """The most memory this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_peak(pid):
    """The most memory a process has had since it started its program, in bytes; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(line[1]) * 1024 for line in lines if line and line[0] == "VmHWM:"), 0)


def wait(pid):
    """Waits for a process. Gives its exit status, its resource usage and the most memory seen in `/proc`."""
    seen = 0
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(SAMPLE_MS):
            seen = max(seen, resident_peak(pid))
    finally:
        os.close(descriptor)
    _, status, usage = os.wait4(pid, 0)
    return status, usage, seen


def run(command, environment=None, sync=True):
    """Runs a command in a fresh process.

    What earlier runs left to be written to disk is written before the clock starts, and memory is touched: a virtual
    machine gets a page from its host when it is first used, which is many times slower than using it. The kernel counts into `ru_maxrss`
    what this script had when it started the child. So where the child has no more than that, what `/proc` showed of it
    is taken.
    """
    if sync:
        os.sync()
        touch_memory()
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        start = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        status, usage, seen = wait(child.pid)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        output = printed.read()
    counted = usage.ru_maxrss * 1024
    return Run(
        wall=wall,
        cpu_user=usage.ru_utime,
        cpu_system=usage.ru_stime,
        peak=seen if seen and counted <= own_peak() else counted,
        status=child.returncode,
        output=output[-4000:],
        notes=last_json(output),
    )


def touch_memory():
    """Writes to each page of a large piece of memory, and gives it back."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with mmap.mmap(-1, max(mmap.PAGESIZE, min(TOUCHED, available // 4))) as memory:
        for start in range(0, len(memory), 1 << 20):
            memory[start : start + (1 << 20)] = bytes(min(1 << 20, len(memory) - start))


def last_json(output):
    """The JSON object on the last line, where a program told something about itself; else an empty one."""
    last = output.strip().rpartition("\n")[2]
    try:
        notes = json.loads(last)
    except ValueError:
        return {}
    return notes if isinstance(notes, dict) else {}


def forget_cached(paths):
    """Drops files from the page cache, so that reading them again is charged to who does it."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def file_system(path):
    """The type of the file system that holds `path`."""
    path = Path(path).resolve()
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [mount for mount in mounts if path.is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2]


def processor():
    """The name of the processor, as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine(data):
    """The facts about this machine that times depend on."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "file_system": file_system(data),
        "load": os.getloadavg(),
        "python": platform.python_version(),
    }
