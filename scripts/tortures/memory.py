"""Budgets that are kept to."""

import gzip
import json
import subprocess

from benchmarks import groups
from tortures.common import Failure

UNIT = 1 << 20


def run(torture, tries):
    """Converts datasets of any shape within any budget, in a control group that is allowed half as much again, where one can be
    made: the peak must be below the budget, or the run refused."""
    largest, refused, kept, grouped = 0.0, 0, 0, 0
    pick = torture.random
    while kept < tries:
        torture.clear()
        budget = pick.choice([20, 24, 32, 48, 64, 128]) * UNIT
        shard = pick.choice([100, 10_000])
        if pick.random() < 0.3:
            files = torture.images(pick.randrange(2, 400), files=pick.choice([1, 2]))
            options = pick.choice(
                [
                    ["-o", "out", "-f", "image: resize=200x200", "-f", "label"],
                    ["-o", "out", "-f", "image: ragged", "-f", "label"],
                    ["-o", "out", "-f", "image: pad=max mask", "--shuffle", "3"],
                    ["-o", "out.zarr", "-f", f"image: resize=100x300 dtype=float32 chunk=10 shard={shard}"],
                ]
            )
        else:
            longest = pick.choice([1, 30, 300])
            files = torture.dataset(pick.randrange(2, 30_000), files=pick.choice([1, 2, 5]), longest=longest)
            options = pick.choice(
                [
                    ["-o", "out", "-f", f"x: pad={pick.choice([400, 4000])}", "-f", "text"],
                    ["-o", "out", "-f", "x: ragged", "-f", "y", "-f", "text: ragged"],
                    ["-o", "out.zarr", "-f", f"x: pad=400 chunk={pick.choice([1, 50, 3000])}", "-f", "label"],
                    ["-o", "out.zarr", "-f", "x: ragged codec=zstd:5", "-f", f"y: chunk=10 shard={shard}"],
                    ["-o", "out", "-f", "x: bucket=5,50,500", "-f", "label", "--shuffle", "7"],
                ]
            )
        if pick.random() < 0.2:
            for file in files:
                path = torture.directory / file
                path.write_bytes(gzip.compress(path.read_bytes(), 1))
        words = ["convert", *files, *options, "--memory", f"{budget // UNIT}MiB", "--threads", pick.choice([1, 2, 8]), "--json"]
        with groups.limited(budget * 3 // 2) as group:
            join = ["/bin/sh", "-c", groups.JOIN, str(group.path)] if group else []
            done = subprocess.run(
                [*join, *torture.command(*words)], cwd=torture.directory, capture_output=True, text=True
            )
            grouped += group is not None
        torture.check(done.returncode, done.stderr, words)
        if done.returncode:
            if "memory" not in done.stderr:
                raise Failure(f"{words} ended with {done.returncode}: {done.stderr}")
            refused += 1
            continue
        peak = json.loads(done.stdout)["run"]["peak_memory"]
        largest = max(largest, peak / budget)
        if peak > budget:
            raise Failure(f"{words} took {peak} bytes")
        kept += 1
    how = "all in control groups of 1.5 times as much" if grouped else "control groups cannot be made here"
    return f"{kept:,} of {kept:,} within their budgets (at most {largest:.0%}), {refused:,} more refused; {how}"
