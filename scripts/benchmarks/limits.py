"""What lithify takes on its own: memory on small and large inputs, and time to start."""

import shutil
from statistics import median

from benchmarks import groups, measure, report
from benchmarks.workloads import input_files, total_size

GIVEN = "256MiB"  # what lithify is told to take at most
LIMIT = 512 << 20  # bytes the control group may have
SMALL = 10**9  # bytes of input that the large one is compared with
GROWTH = 1.10  # how much more memory the large input may take
STARTS = 50
START_MS = 10


def linked(bench, size):
    """A directory of about `size` bytes of input, which takes none: links to the same few files, again and again."""
    files = input_files(bench.dataset("floats"))
    count = max(1, round(size * len(files) / total_size(files)))
    directory = bench.data / f"linked-{count}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for number in range(count):
        (directory / f"part-{number:06}.tfrecord").symlink_to(files[number % len(files)].resolve())
    return directory


def measure_memory(bench, inputs, features, limit):
    """One conversion under `--memory`, in a control group if it is limited, with no input in the page cache."""
    bench.clear()
    measure.forget_cached({path.resolve() for path in input_files(inputs)})
    options = [word for name in features for word in ("--feature", name)]
    command = bench.convert(inputs, bench.output, "--memory", GIVEN, *options)
    if not limit:
        return measure.run(command)
    with groups.limited(limit) as group:
        return group.run(command)


def memory_runs(bench, sizes, features, limit):
    """The runs on each of the linked directories in `sizes`, in turns. Gives them by what the table calls them."""
    place = f"in a group of {limit >> 20} MiB" if limit else "no group"
    results = {}
    for number in range(bench.rounds):
        for inputs, size in sizes.items():
            name = f"{size / 1e9:.3g} GB, {' and '.join(features)}, {place}"
            bench.say(f"memory, round {number + 1} of {bench.rounds}: {name}")
            run = measure_memory(bench, inputs, features, limit)
            bench.record("memory", name, number, run)
            results.setdefault(name, (size, []))[1].append(run)
    return results


def memory_row(name, size, runs):
    """The figures of one size of input."""
    walls = [run.wall for run in runs]
    charged = [run.group_peak / report.MIB for run in runs if run.group_peak is not None]
    return [
        name,
        report.spread(walls),
        f"{size / report.MIB / median(walls):.0f}",
        f"{median(run.cpu for run in runs):.2f}",
        report.spread([run.peak / report.MIB for run in runs], "{:.1f}"),
        report.spread(charged, "{:.0f}") if charged else "",
    ]


def verdict(results):
    """Whether the large input took about as much memory as the small one in the same round."""
    (_, (_, few)), (name, (_, many)) = results.items()
    ratios = [after.peak / before.peak for before, after in zip(few, many, strict=True)]
    outcome = "met" if median(ratios) <= GROWTH else "NOT MET"
    return f"  {name}: {report.spread(ratios)} x the peak of the small input; target <= {GROWTH:.2f}: {outcome}"


def requests(bench, size, big_output):
    """What to ask for: a small output, and all of it where that is wanted and there is room."""
    yield ("y",)
    if not big_output:
        return
    if shutil.disk_usage(bench.data).free > 1.2 * size:
        yield ("x", "y")
    else:
        bench.say(f"memory: no room for an output of {size / 1e9:.3g} GB, so without --big-output")


def limits_to_try(bench):
    """No limit by the kernel, and one if it can be had."""
    with groups.limited(LIMIT) as group:
        if group:
            return [None, LIMIT]
    bench.say("memory: without control groups, as none can be made (this takes root)")
    return [None]


def memory(large, big_output):
    """The benchmark of memory with a large input of so many bytes."""

    def benchmark(bench):
        limits = limits_to_try(bench)
        directories = [linked(bench, size * bench.scale) for size in (SMALL, large)]
        sizes = {directory: total_size(input_files(directory)) for directory in directories}
        rows, verdicts = [], []
        try:
            for features in requests(bench, max(sizes.values()), big_output):
                for limit in limits:
                    results = memory_runs(bench, sizes, features, limit)
                    rows += [memory_row(name, *result) for name, result in results.items()]
                    verdicts.append(verdict(results))
        finally:
            bench.clear()
            for directory in directories:
                shutil.rmtree(directory, ignore_errors=True)
        header = [f"lithify --memory {GIVEN}", "seconds", "MiB/s", "CPU s", "peak MiB", "group's peak MiB"]
        title = "\nmemory: none of the input in the page cache at the start"
        return "\n".join([title, report.table(header, rows), *verdicts])

    return benchmark


def startup(bench):
    """The benchmark of starting: what every use in a script pays."""
    runs = []
    for number in range(STARTS):
        runs.append(measure.run([bench.lithify, "--help"], sync=False))
        bench.record("startup", "lithify --help", number, runs[-1])
    milliseconds = [run.wall * 1000 for run in runs]
    outcome = "met" if median(milliseconds) < START_MS else "NOT MET"
    row = ["lithify --help", report.spread(milliseconds), f"< {START_MS}: {outcome}"]
    return f"\nstartup: {STARTS} starts\n" + report.table(["command", "milliseconds", "target"], [row])
