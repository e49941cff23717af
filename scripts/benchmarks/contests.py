"""lithify against other programs, on the same input, in turns."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure, report
from benchmarks.workloads import CHUNK, SHARD, STORE, WORKLOADS, ZSTD_LEVEL, input_files, total_size

SCRIPTS = Path(__file__).resolve().parent.parent
COPYING = Path(__file__).resolve().parent / "copying.py"

COPY = "copy, in pieces of 1 MiB"
TARGETS = {  # the least median ratio of the contender's time to lithify's
    "floats": {COPY: (0.5, "lithify <= 2 x copy"), "tf.data": (25, ">= 25")},
    "tokens": {"tf.data": (25, ">= 25")},
    "gzip": {"tf.data": (3, ">= 3")},
    "photos": {
        "tf.data": (1.3, ">= 1.3"),
        "opencv": (1.3, ">= 1.3"),
        "dali": (1.3, ">= 1.3"),
        "decode only": (0.9, "lithify >= 0.9 x decoding alone"),
    },
    "digits": {"tf.data": (8, ">= 8")},
    "zarr": {"tf.data + TensorStore": (1.5, ">= 1.5"), "tf.data + zarr-python": (3, ">= 3")},
    "shards": {"TensorStore": (1, ">= 1"), "zarr-python + zarrs": (1, ">= 1")},
    "tasks": {"one process": (0.9, ">= 0.9")},
    "zarr, not compressed": {"lithify, .npy": (0.5, "at least half the speed of .npy")},
}


class Failed(Exception):
    """A program that is measured, or needed for it, did not do its work."""


@dataclass
class Contender:
    """A program that makes arrays in the directory put in the place of `{output}`."""

    name: str
    command: list
    arrays: tuple  # what it writes, to be compared with what the others do


class Bench:
    """What all benchmarks share: where things are, and how often to run."""

    def __init__(self, lithify, python, data, rounds, scale, everything):
        self.lithify = lithify
        self.python = python
        self.data = data
        self.rounds = rounds
        self.scale = scale
        self.everything = everything
        self.output = data / "output"
        self.environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "PYTHONDONTWRITEBYTECODE": "1"}
        self.raw = []  # every single run, for the JSON file

    def say(self, text):
        """Tells what goes on, apart from the tables."""
        print(text, file=sys.stderr, flush=True)

    def module(self, name, *arguments):
        """The command for a module of these that needs NumPy or TensorFlow."""
        return [self.python, "-m", f"benchmarks.{name}", *arguments]

    def prepare(self, command):
        """Runs what is needed but not measured."""
        run = measure.run(command, self.environment, sync=False)
        if run.status:
            raise Failed(f"`{' '.join(map(str, command))}` failed:\n{run.output}")

    def dataset(self, name):
        """The directory of a workload's files, generated if need be."""
        directory = WORKLOADS[name].directory(self.data, self.scale)
        if not directory.is_dir():
            self.say(f"generating {directory.name}")
            self.prepare(self.module("generate", name, self.data, self.scale))
        return directory

    def can_import(self, package):
        """Whether a package of a peer is installed."""
        return measure.run([self.python, "-c", f"import {package}"], sync=False).status == 0

    def convert(self, inputs, output, *options):
        """The command for a conversion by lithify."""
        return [self.lithify, "convert", inputs, "--output", output, "--quiet", "--no-sync", *options]

    def record(self, benchmark, contender, number, run):
        """Keeps a run for the JSON file, and fails if the program did."""
        self.raw.append({"benchmark": benchmark, "contender": contender, "round": number, **run.raw()})
        if run.status:
            raise Failed(f"{contender} failed with {run.status} in {benchmark}:\n{run.output}")

    def clear(self):
        """Removes what a run wrote."""
        shutil.rmtree(self.output, ignore_errors=True)


def reference(bench, workload):
    """Arrays by lithify, which all others must equal. Converting also gets the input into the page cache."""
    directory = bench.data / f"arrays-{workload.name}"
    shutil.rmtree(directory, ignore_errors=True)
    inputs = bench.dataset(workload.name)
    bench.prepare(bench.convert(inputs, directory, *workload.options))
    return directory


def copies(bench, workload, expected):
    """Copying the largest array, which is nearly all of the output."""
    array = workload.arrays[0]
    source, target = expected / f"{array}.npy", bench.output / f"{array}.npy"
    python = [sys.executable, "-I", "-S", COPYING]
    yield Contender(COPY, [*python, "pieces", source, target], (array,))
    yield Contender("copy, by the kernel", [*python, "kernel", source, target], (array,))


def installed(bench, packages):
    """The peers whose package is there, of a dict of their packages; the others are told."""
    for name, package in packages.items():
        if bench.can_import(package):
            yield name
        else:
            bench.say(f"without the peer {name}: its package {package} is not there")


def peers(bench, workload):
    """The other programs that there are for a workload."""
    names = ["tf.data"]
    if workload.name == "floats":
        if bench.can_import("tfrecord"):
            names.append("tfrecord")
        else:
            bench.say(f"without the peer tfrecord: install it with `{bench.python} -m pip install tfrecord`")
        if bench.everything:
            names.append("naive")
    others = {"opencv": "cv2", "dali": "nvidia.dali", "decode only": "simplejpeg"} if workload.name == "photos" else {}
    names.extend(installed(bench, others))
    inputs = workload.directory(bench.data, bench.scale)
    for name in names:
        # Pixels of OpenCV and DALI differ, as they decode and round otherwise; and who only decodes writes nothing.
        arrays = () if name in others else workload.arrays
        yield Contender(name, bench.module("peers", name, workload.name, inputs, bench.output), arrays)


def contenders(bench, workload, expected):
    """All who take part, lithify first."""
    inputs = workload.directory(bench.data, bench.scale)
    convert = bench.convert(inputs, bench.output, *workload.options)
    yield Contender("lithify", convert, workload.arrays)
    if workload.name in ("floats", "tokens"):
        yield from copies(bench, workload, expected)
    yield from peers(bench, workload)


def ways_to_write(bench, workload):
    """lithify against itself: the two ways for a block to reach the disk."""
    inputs = workload.directory(bench.data, bench.scale)
    for way in ("pwrite", "mapped"):
        command = bench.convert(inputs, bench.output, *workload.options, "--io", way)
        yield Contender(f"--io {way}", command, workload.arrays)


def take_turns(bench, workload, expected, field):
    """Runs all contenders in each round, every round beginning with another one. Gives the runs of each."""
    results = {contender.name: [] for contender in field}
    for number in range(bench.rounds):
        first = number % len(field)
        for contender in field[first:] + field[:first]:
            bench.clear()
            bench.say(f"{workload.name}, round {number + 1} of {bench.rounds}: {contender.name}")
            run = measure.run(contender.command, bench.environment)
            bench.record(workload.name, contender.name, number, run)
            results[contender.name].append(run)
            if number == 0 and contender.arrays:
                bench.prepare(bench.module("compare", expected, bench.output, *contender.arrays))
    return results


def contest(name, field=contenders, targets=None):
    """The benchmark that is a contest on the workload `name`, by those of the function `field`."""

    def benchmark(bench):
        workload = WORKLOADS[name]
        expected = reference(bench, workload)
        try:
            results = take_turns(bench, workload, expected, list(field(bench, workload, expected)))
        finally:
            bench.clear()
            shutil.rmtree(expected)
        files = input_files(bench.dataset(name))
        size = total_size(files)
        counts = f"{workload.scaled(bench.scale):,} elements, {size / report.MIB:.0f} MiB, files: {len(files)}"
        return report.contest(f"{name}: {counts}", results, size, TARGETS[name] if targets is None else targets)

    return benchmark


def several(bench, names, field, title, targets):
    """Contests on several workloads by those of the function `field`, a table each."""
    tables = []
    for name in names:
        workload = WORKLOADS[name]
        expected = reference(bench, workload)
        try:
            results = take_turns(bench, workload, expected, list(field(bench, workload)))
        finally:
            bench.clear()
            shutil.rmtree(expected)
        size = total_size(input_files(bench.dataset(name)))
        tables.append(report.contest(f"{title}, {name}: {size / report.MIB:.0f} MiB", results, size, targets))
    return "\n".join(tables)


def io(bench):
    """The benchmark of the two ways to write, on fixed-size and on padded rows."""
    return several(bench, ("floats", "tokens"), ways_to_write, "io", {})


def task_contenders(bench, workload):
    """lithify against itself: two tasks of a batch job, of a thread each, and one process of two threads, both by a plan."""
    inputs = workload.directory(bench.data, bench.scale)
    plan = bench.data / "plan"
    begin = 'lithify=$0 plan=$1; shift; set -e; "$lithify" plan "$@" --threads 2 > "$plan.log"'
    write = '"$lithify" write "$plan" --quiet --no-sync'
    words = [bench.lithify, plan, inputs, "--to", bench.output, "--output", plan, *workload.options]
    both = f"{write} --threads 1 --task 0 & {write} --threads 1 --task 1 & wait"
    tasks = f'{begin}\n{both}\n"$lithify" finish "$plan" --quiet --no-sync'
    yield Contender("lithify", ["/bin/sh", "-c", tasks, *words, "--tasks", "2"], workload.arrays)
    yield Contender("one process", ["/bin/sh", "-c", f"{begin}; {write} --threads 2", *words], workload.arrays)


def tasks(bench):
    """The benchmark of the tasks of a batch job, on one machine: what reads and writes most, and what computes most."""
    try:
        return several(bench, ("floats", "photos"), task_contenders, "two tasks", TARGETS["tasks"])
    finally:
        (bench.data / "plan").unlink(missing_ok=True)


def zarr_contenders(bench, workload):
    """lithify and others that make compressed chunks of one shape."""
    inputs = workload.directory(bench.data, bench.scale)
    chunks = f"chunk={CHUNK} codec=zstd:{ZSTD_LEVEL}"
    convert = bench.convert(inputs, bench.output / STORE, "--feature", f"x: {chunks}", "--feature", "y")
    yield Contender("lithify", convert, workload.arrays)
    for name in installed(bench, {"tf.data + TensorStore": "tensorstore", "tf.data + zarr-python": "zarr"}):
        command = bench.module("peers", name, workload.name, inputs, bench.output)
        yield Contender(name, command, workload.arrays)


def plain_contenders(bench, workload):
    """lithify against itself: chunks as they are, and `.npy`."""
    inputs = workload.directory(bench.data, bench.scale)
    features = ("--feature", "x: codec=none", "--feature", "y: codec=none")
    yield Contender("lithify", bench.convert(inputs, bench.output / STORE, *features), workload.arrays)
    yield Contender("lithify, .npy", bench.convert(inputs, bench.output), workload.arrays)


def zarr(bench):
    """The benchmark of Zarr stores, on the vectors of floats."""
    workload = WORKLOADS["floats"]
    expected = reference(bench, workload)
    size = total_size(input_files(bench.dataset("floats")))
    tables = []
    try:
        for name, field in (("zarr", zarr_contenders), ("zarr, not compressed", plain_contenders)):
            results = take_turns(bench, workload, expected, list(field(bench, workload)))
            tables.append(report.contest(f"{name}: {size / report.MIB:.0f} MiB", results, size, TARGETS[name]))
    finally:
        bench.clear()
        shutil.rmtree(expected)
    return "\n".join(tables)


def shards(bench):
    """The benchmark of a `.npy` file that becomes a store of shards."""
    workload = WORKLOADS["matrix"]
    inputs = bench.dataset("matrix")
    (file,) = input_files(inputs)
    keys = f"x: chunk={CHUNK} shard={SHARD} codec=zstd:{ZSTD_LEVEL}"
    field = [Contender("lithify", bench.convert(file, bench.output / STORE, "--feature", keys), workload.arrays)]
    for name in installed(bench, {"TensorStore": "tensorstore", "zarr-python + zarrs": "zarrs"}):
        field.append(Contender(name, bench.module("peers", name, workload.name, inputs, bench.output), workload.arrays))
    try:
        results = take_turns(bench, workload, inputs, field)
    finally:
        bench.clear()
    size = total_size([file])
    return report.contest(f"shards: {size / report.MIB:.0f} MiB", results, size, TARGETS["shards"])
