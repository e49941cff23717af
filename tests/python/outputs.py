"""What all tests share: what `np.save` would write, what was written, and Python processes of their own."""

import io
import os
import signal
import subprocess
import sys
import time

import ml_dtypes
import numpy as np


def saved(array):
    """The bytes of the file that `np.save` writes."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, order="C"))
    return buffer.getvalue()


def assert_npy(path, expected):
    """The file is what `np.save` makes of the expected array. bfloat16, which NumPy lacks, loads as two opaque bytes."""
    expected = np.asarray(expected)
    found = np.load(path)
    if expected.dtype == ml_dtypes.bfloat16:
        assert found.dtype == np.dtype("V2")
        found = found.view(ml_dtypes.bfloat16)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)
    assert path.read_bytes() == saved(expected)


def files_of(out):
    """The bytes of every array of a directory, by name."""
    return {str(path.relative_to(out).with_suffix("")): path.read_bytes() for path in out.rglob("*.npy")}


def assert_output(out, expected):
    """The directory has exactly these arrays."""
    assert set(files_of(out)) == set(expected)
    for name, array in expected.items():
        assert_npy(out / f"{name}.npy", array)


def padded(rows, width=None, value=0, dtype=None):
    """Lists as rows of one width."""
    width = max(map(len, rows), default=0) if width is None else width
    made = np.full((len(rows), width), value, dtype or np.asarray(max(rows, key=len)).dtype)
    for row, items in zip(made, rows):
        row[: len(items)] = items
    return made


def assert_ragged(ragged, rows):
    """A ragged array has these elements."""
    assert len(ragged) == len(rows)
    for at, row in enumerate(rows):
        np.testing.assert_array_equal(ragged[at], row)


def left_in(directory):
    """What is in a directory, what is hidden as well."""
    return sorted(os.listdir(directory))


# --- Processes of their own ------------------------------------------------------------------------------------------


# Tells the most memory that a process has had at once. (`ru_maxrss` begins with what the process had that started it.)
PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""


def start(code, *words):
    """Begins to run Python code."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(code, *words):
    """Runs Python code, which must not fail; gives what it printed."""
    process = start(code, *words)
    try:
        said, failed = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, failed
    return said


def interrupt(process, until, seconds=3):
    """Sends Ctrl-C as soon as something is so; gives how the process ended, which must be soon."""
    try:
        end = time.monotonic() + 30
        while not until() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, failed = process.communicate(timeout=seconds)
    finally:
        process.kill()
        process.communicate()
    return failed.strip().splitlines()[-1] if failed.strip() else "it ended before"
