"""The Python package on live datasets, against what people do with them: `python -m benchmarks.live PROGRAM OUTPUT COUNT`.

Imports, and what a program has before it begins, do not count: each tells its seconds, and by how much its memory has grown.
"""

import importlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import measure, report

WIDTH = 256  # numbers of a vector of a batch
WIDE = 4096  # numbers of a vector that comes alone
BATCH = 256  # vectors of a batch
LONGEST = 200  # numbers of the longest list
NINJA_BATCH = 4096  # lists that mmap.ninja writes at once: faster than its default, 1024

COUNTS = {"batches": 1_000_000, "batches, all processors busy": 1_000_000, "elements": 100_000, "ragged": 1_000_000}
TABLES = {
    "batches": ("the pipeline alone", {"the pipeline alone": (0.95, ">= 0.95")}),
    "batches, all processors busy": ("the bytes alone", {"the bytes alone": (0.8, ">= 0.8")}),
    "elements": ("np.array(list(…))", {"np.array(list(…))": (2, ">= 2")}),
    "ragged": ("mmap.ninja", {"mmap.ninja": (1, "> 1")}),
}
# Who else runs.
OTHERS = {"ragged": ["lithify, not told that it is ragged"], "batches": ["the bytes alone"], "batches, all processors busy": ["the pipeline alone"]}


def pipeline(count, batched, threads=2):
    """Random vectors, as they come of tf.data, made by so many threads."""
    import tensorflow as tf

    rows = (BATCH, WIDTH) if batched else (WIDE,)
    made = tf.data.Dataset.range(count // BATCH if batched else count).map(
        lambda seed: tf.random.stateless_uniform(rows, seed=tf.stack([seed, seed])), num_parallel_calls=threads
    )
    # TensorFlow stops for half a second, now and then, to think about how it could be faster.
    options = tf.data.Options()
    options.autotune.enabled = False
    return made.prefetch(2).with_options(options)


def lists(count):
    """Lists that differ in length."""
    import numpy as np

    numbers = np.arange(LONGEST, dtype=np.int32)
    for length in np.random.default_rng(0).integers(0, LONGEST, count):
        yield numbers[:length]


def iterate(dataset):
    """Takes every element, and does nothing with it."""
    for _ in dataset:
        pass


def write(dataset, output):
    """Writes every batch to a file, and does nothing else: what cannot be gone below."""
    with open(f"{output}/bytes", "wb", buffering=0) as file:
        for batch in dataset:
            file.write(batch.numpy())


def seed(dataset, output):
    """What everybody does first."""
    import numpy as np

    np.save(f"{output}/array.npy", np.array(list(dataset.as_numpy_iterator())))


def ninja(dataset, output):
    """mmap.ninja's own way to write what a generator gives."""
    from mmap_ninja.ragged import RaggedMmap

    RaggedMmap.from_generator(out_dir=f"{output}/ragged", sample_generator=dataset, batch_size=NINJA_BATCH, verbose=False)


def lithify(dataset, output, **options):
    """The package."""
    import lithify

    lithify.convert(dataset, f"{output}/arrays", no_sync=True, progress=False, **options)


def program(name, count):
    """The modules that a program needs, what makes its dataset, and what it does with that and an output."""
    tf, batches, elements = ("tensorflow",), lambda: pipeline(count, True, 1), lambda: pipeline(count, False)
    busy = lambda: pipeline(count, True, os.cpu_count())
    return {
        "batches lithify": ((*tf, "lithify"), batches, lambda data, out: lithify(data, out, batched=True)),
        "batches the pipeline alone": (tf, batches, lambda data, out: iterate(data)),
        "batches the bytes alone": (tf, batches, write),
        "batches, all processors busy lithify": ((*tf, "lithify"), busy, lambda data, out: lithify(data, out, batched=True)),
        "batches, all processors busy the pipeline alone": (tf, busy, lambda data, out: iterate(data)),
        "batches, all processors busy the bytes alone": (tf, busy, write),
        "elements lithify": ((*tf, "lithify"), elements, lithify),
        "elements np.array(list(…))": (tf, elements, seed),
        "ragged lithify": (("lithify",), lambda: lists(count), lambda data, out: lithify(data, out, ragged=True)),
        "ragged lithify, not told that it is ragged": (("lithify",), lambda: lists(count), lithify),
        "ragged mmap.ninja": (("mmap_ninja.ragged",), lambda: lists(count), ninja),
    }[name]


def main():
    """Runs one program, and tells what it took."""
    _, name, output, count = sys.argv
    modules, begin, work = program(name, int(count))
    for module in modules:
        importlib.import_module(module)
    dataset = begin()
    if "tensorflow" in modules:
        # TensorFlow is made ready by the first element.
        next(iter(dataset))
    Path(output).mkdir(parents=True)
    # The most memory so far is forgotten (Linux: `man 5 proc`, clear_refs).
    Path("/proc/self/clear_refs").write_text("5")
    before, start = measure.resident_peak("self"), time.perf_counter()
    work(dataset, output)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "grown": measure.resident_peak("self") - before}))


def live(bench):
    """The benchmark of live datasets."""
    tables = []
    for name, (peer, targets) in TABLES.items():
        count = max(int(COUNTS[name] * bench.scale), BATCH)
        field = ["lithify", peer, *OTHERS.get(name, [])]
        results = {contender: [] for contender in field}
        for number in range(bench.rounds):
            first = number % len(field)
            for contender in field[first:] + field[:first]:
                bench.clear()
                bench.say(f"live {name}, round {number + 1} of {bench.rounds}: {contender}")
                command = bench.module("live", f"{name} {contender}", bench.output, str(count))
                run = measure.run(command, bench.environment)
                bench.record(f"live {name}", contender, number, run)
                told = json.loads(run.output.splitlines()[-1])
                results[contender].append(replace(run, wall=told["seconds"], peak=told["grown"]))
        bench.clear()
        size = count * 4 * {"elements": WIDE, "ragged": LONGEST // 2}.get(name, WIDTH)
        title = f"live {name}: {count:,} elements, {size / report.MIB:.0f} MiB"
        tables.append(report.contest(title, results, size, targets))
    return "\n".join(tables)


if __name__ == "__main__":
    main()
