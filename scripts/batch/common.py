"""What all tests of batch jobs need: a dataset, what one process makes of it, and what tasks make of it."""

import filecmp
import json
import os
import shlex
import shutil
import subprocess
import time

from batch.cluster import Cluster, missing, until
from tortures.common import PARTIAL, Failure, Skipped, Torture, example, integers, record, texts

# Rows of odd widths, so that those of two tasks meet within a page; values and offsets; chunks, shards, and arrays of one chunk.
REQUESTS = {
    "npy": ["-f", "label", "-f", "blob: decode=raw:uint8", "-f", "tokens: pad=4001 dtype=uint8", "-f", "text: ragged"],
    "zarr": [
        *("-f", "label: chunk=999", "-f", "blob: decode=raw:uint8 chunk=300 shard=900"),
        *("-f", "tokens: pad=4001 dtype=uint8 codec=none chunk=500", "-f", "text: ragged"),
    ],
}
# An array whose chunks are files that each belong to one task.
ALONE = ["-f", "tokens: pad=4001 dtype=uint8 codec=none chunk=10 lengths=no"]
OUTPUTS = {"npy": "out", "zarr": "out.zarr"}
# Elements: so few that each of four tasks has but one block, and all write where they meet at the same time; or some blocks for
# each of eight tasks. They make 34 MB and 104 MB of output.
FEW, MANY = 7_700, 24_000
SLOW = 4_000_000  # bytes a second that each node may write where tasks are to be disturbed in their midst: some seconds a task


def want(holds, what):
    """Fails where something is not as it has to be."""
    if not holds:
        raise Failure(what)


class Site(Torture):
    """The program, and a directory that all nodes share, with datasets and with what one process makes of them."""

    def __init__(self, lithify, directory, quick):
        self.shared, self.quick, self.own, self.works = directory / "shared", quick, directory / "own", 0
        self.shared.mkdir()
        super().__init__(lithify, self.shared, 1)
        self.datasets, self.wholes, self.unable = {}, {}, missing()

    def cluster(self, **options):
        """A cluster."""
        if self.unable:
            raise Skipped(self.unable)
        return Cluster(self.own, self.shared, **options)

    def inputs(self, elements):
        """The files of a dataset of so many elements."""
        if elements not in self.datasets:
            pick = self.random
            kinds = [
                record(
                    example(
                        {
                            "label": integers([at]),
                            "blob": texts([pick.randbytes(299)]),
                            "tokens": integers([pick.randrange(250) for _ in range(at % 30)]),
                            "text": texts([b"w" * (at % 20)]),
                        }
                    )
                )
                for at in range(300)
            ]
            self.directory = self.shared / f"data-{elements}"
            self.directory.mkdir()
            self.datasets[elements] = [str(self.directory / name) for name in self.repeated(kinds, elements, files=6)]
            self.directory = self.shared
        return self.datasets[elements]

    def whole(self, kind, elements):
        """The output of one process."""
        if (kind, elements) not in self.wholes:
            output = self.shared / f"whole-{elements}-{OUTPUTS[kind]}"
            self.must("convert", *self.inputs(elements), "-o", output, *REQUESTS[kind])
            self.wholes[kind, elements] = output
        return self.wholes[kind, elements]

    def output(self, *words):
        """A run to its end: its exit code, and what it gave."""
        done = subprocess.run(self.command(*words), cwd=self.directory, capture_output=True, text=True, timeout=120)
        self.check(done.returncode, done.stderr, words)
        return done.returncode, done.stdout or done.stderr

    def work(self, kind, tasks, elements=MANY, request=None, planned=True):
        """An output that tasks are to make; a plan for it is made at once, if nothing else is said."""
        self.works += 1
        work = Work(self, kind, tasks, elements, request or REQUESTS[kind], self.shared / f"work-{self.works}")
        if planned:
            work.make_plan(work.plan, work.request)
        return work

    def kinds(self):
        """The kinds of output that a test looks at: for a quick one, in turns."""
        kinds = list(REQUESTS)
        return [kinds[self.works % 2]] if self.quick else kinds


class Work:
    """An output that tasks make, in a directory of its own."""

    def __init__(self, site, kind, tasks, elements, request, place):
        self.site, self.kind, self.tasks, self.elements, self.place = site, kind, tasks, elements, place
        place.mkdir()
        self.output, self.plan, self.profiles = place / OUTPUTS[kind], place / "plan", place / "profiles"
        self.hidden = place / PARTIAL.format(self.output.name)
        self.inputs, self.request = site.inputs(elements), request
        self.planning = ["--to", str(self.output), "-o", str(self.plan), "--tasks", str(tasks)]

    def make_plan(self, plan, request, *words):
        """Makes a plan for the output."""
        self.site.must("plan", *self.inputs, *request, "--to", self.output, "-o", plan, "--tasks", self.tasks, *words)

    def line(self, *words):
        """A command of the program, for a shell."""
        return shlex.join(self.site.command(*words))

    def writing(self, *words, task="auto"):
        """The command of a task, for a shell."""
        return self.line("write", self.plan, "--task", task, "--threads", 1, *words)

    def submit(self, cluster, *options, script=None, tasks=None):
        """Submits the tasks as an array."""
        tasks = tasks if tasks is not None else f"0-{self.tasks - 1}"
        return cluster.sbatch(script or f"exec {self.writing()}", f"--array={tasks}", *options)

    def all_here(self, plan, finish=True):
        """Does all tasks of a plan that are not done, not on the cluster but here."""
        for task in range(self.tasks):
            self.site.must("write", plan, "--task", task)
        if finish:
            self.site.must("finish", plan)

    def status(self):
        """What `status` tells: blocks done and of all, altogether and of each task."""
        code, told = self.site.output("status", self.plan, "--json")
        want(code == 0, f"status ends with {code}: {told}")
        return json.loads(told)

    def blocks(self, task=None):
        """How many blocks are done, and how many there are."""
        status = self.status()
        if task is not None:
            status = status["tasks"][task]
        return status["done"], status["blocks"]

    def midst(self, *tasks, timeout=60):
        """Waits until tasks have done some of their blocks, but not all."""

        def amid():
            found = [self.blocks(task) for task in tasks]
            want(all(done < whole for done, whole in found), f"the tasks {tasks} are too fast to be disturbed: {found}")
            return all(done > 0 for done, _ in found)

        until(amid, timeout, f"tasks {tasks} are in their midst")

    def finish(self):
        """Ends the work: exit code, and what it told."""
        return self.site.run("finish", self.plan)

    def unfinished(self, missing):
        """What `finish` has to say where tasks are missing."""
        code, told = self.finish()
        want(code == 1, f"finish ends with {code} though the tasks {missing} are missing: {told}")
        want(missing in told, f"finish does not name the tasks {missing}: {told}")
        want(not self.output.exists(), f"finish publishes the output though the tasks {missing} are missing")

    def check(self):
        """Completes the output, and fails where it is anything but what one process has made."""
        code, told = self.finish()
        want(code == 0, f"finish ends with {code}: {told}")
        self.compare("after finish")
        # Once more, nothing is left to do.
        code, told = self.finish()
        want(code == 0, f"the second finish ends with {code}: {told}")
        shutil.rmtree(self.place)

    def compare(self, when):
        """Fails where the output is anything but what one process has made, or something is left beside it."""
        differ = sorted(differing(self.site.whole(self.kind, self.elements), self.output))
        want(not differ, f"{', '.join(differ[:5])} differ from what one process has made, {when}")
        left = [path.name for path in self.place.glob(".*lithify*")]
        want(not left, f"{left} is left {when}")


def files(top):
    """The names of all files in a directory."""
    return {os.path.relpath(os.path.join(place, name), top) for place, _, names in os.walk(top) for name in names}


def manifest(path):
    """A manifest, without what it tells of its run."""
    found = json.loads(path.read_text())
    return {name: value for name, value in found.items() if name not in ("run", "checksum")}


def differing(whole, other):
    """The files that two outputs have not in common."""
    names = files(whole)
    yield from names ^ files(other)
    for name in names & files(other):
        if name == "lithify.json":
            same = manifest(whole / name) == manifest(other / name)
        else:
            same = filecmp.cmp(whole / name, other / name, shallow=False)
        if not same:
            yield name


def seconds(since):
    """How long ago that was."""
    return f"{time.monotonic() - since:.0f} s"
