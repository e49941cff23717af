"""Budgets that are kept to."""

import json
import subprocess

from tortures.common import Failure

UNIT = 1 << 20


def run(torture, tries):
    """Converts datasets of any shape within any budget: the peak must be below it, or the run refused."""
    largest, refused = 0.0, 0
    for _ in range(tries):
        pick = torture.random
        torture.clear()
        files = torture.dataset(pick.randrange(2, 30_000), files=pick.choice([1, 2, 5]), longest=pick.choice([1, 30, 300]))
        budget = pick.choice([20, 24, 32, 48, 64, 128]) * UNIT
        options = pick.choice(
            [
                ["-o", "out", "-f", f"x: pad={pick.choice([400, 4000])}", "-f", "text"],
                ["-o", "out", "-f", "x: ragged", "-f", "y", "-f", "text: ragged"],
                ["-o", "out.zarr", "-f", f"x: pad=400 chunk={pick.choice([1, 50, 3000])}", "-f", "label"],
                ["-o", "out.zarr", "-f", "x: ragged codec=zstd:5", "-f", "y: chunk=10 shard=10000"],
                ["-o", "out", "-f", "x: bucket=5,50,500", "-f", "label", "--shuffle", "7"],
            ]
        )
        words = ["convert", *files, *options, "--memory", f"{budget // UNIT}MiB", "--threads", pick.choice([1, 2, 8]), "--json"]
        done = subprocess.run(torture.command(*words), cwd=torture.directory, capture_output=True, text=True)
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
    return f"{tries - refused:,} of {tries - refused:,} within their budgets (at most {largest:.0%}), {refused:,} refused"
