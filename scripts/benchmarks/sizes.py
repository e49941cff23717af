"""Time and memory against size: what lithify, the best program of TensorFlow, and what everybody writes first take as datasets grow."""

import os
import re
import shutil
from pathlib import Path
from statistics import median

from benchmarks import measure, plot, report
from benchmarks.limits import linked
from benchmarks.workloads import WORKLOADS, input_files, total_size

SIZES = (0.1e9, 0.5e9, 2e9, 8e9, 20e9)  # bytes of input
REPEATED = 2e9  # what is larger is run once
NAIVE = "np.array(list(…))"
README = Path(__file__).resolve().parents[2] / "README.md"
DRAWING = Path(__file__).resolve().parent / "sizes.svg"
MARKERS = ("<!-- sizes -->\n", "<!-- /sizes -->\n")
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def field(bench, inputs):
    """Who runs: the name, and the command."""
    yield "lithify", bench.convert(inputs, bench.output)
    for name, peer in (("tf.data", "tf.data"), (NAIVE, "naive")):
        yield name, bench.module("peers", peer, WORKLOADS["floats"].name, inputs, bench.output)


def too_large(runs, size):
    """Whether a program takes more than nine tenths of the memory there is, if it goes on as from the one size to the other."""
    if len(runs) < 2:
        return False
    (few, less), (many, more) = [(size, median(run.peak for run in runs[size])) for size in sorted(runs)[-2:]]
    return more + (more - less) / (many - few) * (size - many) > 0.9 * MEMORY


def measured(bench):
    """The runs of each program on each size of input."""
    runs = {}
    for file in input_files(bench.dataset("floats")):
        # Into the page cache.
        file.read_bytes()
    for wanted in SIZES:
        inputs = linked(bench, wanted * bench.scale)
        size = total_size(input_files(inputs))
        try:
            for number in range(bench.rounds if wanted <= REPEATED else 1):
                for name, command in field(bench, inputs):
                    if name == NAIVE and too_large(runs.get(name, {}), size):
                        continue
                    bench.clear()
                    bench.say(f"sizes, {size / 1e9:.3g} GB, round {number + 1}: {name}")
                    run = measure.run(command, bench.environment)
                    bench.record(f"sizes {size}", name, number, run)
                    runs.setdefault(name, {}).setdefault(size, []).append(run)
        finally:
            bench.clear()
            shutil.rmtree(inputs, ignore_errors=True)
    return runs


def rows(runs):
    """A row for each size: seconds and memory of each program."""
    for size in sorted(next(iter(runs.values()))):
        cells = [f"{size / 1e9:.1f} GB"]
        for name in runs:
            taken = runs[name].get(size)
            if taken is None:
                cells.append("does not fit in memory")
                continue
            peak = median(run.peak for run in taken)
            memory = f"{peak / report.MIB:.0f} MiB" if peak < 1 << 30 else f"{peak / (1 << 30):.1f} GiB"
            cells.append(f"{median(run.wall for run in taken):.2f} s, {memory}")
        yield cells


def drawing(runs):
    """Both measures as lines."""
    line = lambda of, of_run: [(size / 1e9, median(map(of_run, several))) for size, several in sorted(of.items())]
    measures = {"seconds": lambda run: run.wall, "memory at most, MiB": lambda run: run.peak / report.MIB}
    panels = [
        plot.Panel(title, "GB of TFRecords", {name: line(of, of_run) for name, of in runs.items()})
        for title, of_run in measures.items()
    ]
    said = "; ".join(", ".join(row) for row in rows(runs))
    return plot.svg(panels, f"Seconds and memory against the size of the input, for {', '.join(runs)}: {said}")


def in_markdown(runs):
    """What stands in the README."""
    head = ["TFRecords of 1,024 float32", *runs]
    lines = [head, ["---"] * len(head), *rows(runs)]
    table = "\n".join("| " + " | ".join(f"`{cell}`" if cell in (NAIVE, "tf.data") else cell for cell in line) + " |" for line in lines)
    return f"![Seconds and memory against size](scripts/benchmarks/{DRAWING.name})\n\n{table}\n"


def write_readme(runs):
    """Puts the table and the drawing where the README has them."""
    DRAWING.write_text(drawing(runs))
    start, end = MARKERS
    text, count = re.subn(f"{start}.*?{end}", lambda _: start + in_markdown(runs) + end, README.read_text(), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{README} has not one place between {start.strip()} and {end.strip()}")
    README.write_text(text)


def sizes(readme):
    """The benchmark of sizes; if it is wanted, what it finds is written into the README."""

    def benchmark(bench):
        runs = measured(bench)
        if readme:
            write_readme(runs)
        head = ["input", *runs]
        return "\nsizes: vectors of 1,024 float32 in TFRecords, which are in the page cache\n" + report.table(head, list(rows(runs)))

    return benchmark
