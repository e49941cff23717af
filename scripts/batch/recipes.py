"""Tests without Slurm: other programs that run tasks."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from batch.common import want
from tortures.common import Failure, Skipped

ROOT = Path(__file__).resolve().parents[2]
RECIPES = Path(__file__).parent / "recipes"
PYTHON = ["dask", "snakemake"]  # what needs packages of Python's


def program(name):
    """Where a program is."""
    place = ROOT / "target/venv/bin" / name if name in ("python", "snakemake") else shutil.which(name)
    if not place or not Path(place).exists():
        raise Skipped(f"there is no {name}")
    return str(place)


def recipe(site, words):
    """Runs something that has to do eight tasks."""
    made = []
    for kind in site.kinds():
        work = site.work(kind, 8)
        line = [word.format(plan=work.plan, lithify=site.lithify, place=work.place) for word in words]
        path = f"{site.lithify.parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "LITHIFY": str(site.lithify), "HOME": str(work.place)}
        try:
            done = subprocess.run(line, cwd=work.place, env=environment, capture_output=True, text=True, timeout=240)
        except subprocess.TimeoutExpired:
            raise Failure(f"it hangs: {shlex.join(line)}") from None
        want(done.returncode == 0, f"{shlex.join(line)} ends with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
        work.check()
        made.append(work.output.name)
    return f"8 tasks each of {', '.join(made)}"


def parallel(site):
    """GNU parallel."""
    shell = "seq 0 7 | {} --jobs 4 --halt soon,fail=1 {{lithify}} write {{plan}} --task {{{{}}}} --threads 1"
    return recipe(site, ["bash", "-c", shell.format(program("parallel"))])


def xargs(site):
    """xargs -P."""
    return recipe(site, ["sh", "-c", "seq 0 7 | xargs -P 4 -I@ {lithify} write {plan} --task @ --threads 1"])


def dask(site):
    """Dask, with a cluster on this machine."""
    program("python")
    return recipe(site, [program("python"), str(RECIPES / "tasks_by_dask.py"), "{plan}", "8"])


def snakemake(site):
    """Snakemake, whose rules declare marks of their own, never the output that all tasks share."""
    words = [program("snakemake"), "--snakefile", str(RECIPES / "Snakefile"), "--cores", "4", "--config"]
    return recipe(site, [*words, "plan={plan}", "tasks=8", "lithify={lithify}"])


TESTS = {test.__name__: test for test in [xargs, parallel, dask, snakemake]}
QUICK = ["xargs"]
