"""While it runs: Ctrl-C, progress, memory, other threads."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import lithify
import numpy as np
import pytest
import tensorflow as tf

from outputs import PEAK, assert_npy, interrupt, left_in, run, start

ENDLESS = {
    "generator": "(n for n in itertools.count())",
    "iterator of C": "itertools.count()",
    "arrays": "itertools.repeat(np.zeros(10))",
    "ragged": "([n] * (n % 3) for n in itertools.count())",
    "strings": "('a' * (n % 3) for n in itertools.count())",
    "slow": "(time.sleep(0.5) or n for n in itertools.count())",
}


@pytest.mark.parametrize("call", ["convert", "scan"])
@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_source_is_interrupted(name, call, out):
    if call == "scan" and name in ("strings", "arrays", "slow"):
        pytest.skip("as others")
    call = "convert(source, out)" if call == "convert" else "scan(source)"
    code = f"import itertools, sys, time, lithify, numpy as np\nout = sys.argv[1]\nsource = {ENDLESS[name]}\n"
    begun = out.parent / "begun"
    process = start(f"{code}open({str(begun)!r}, 'w').close()\nlithify.{call}", out)
    until = time.monotonic() + 30
    after = lambda: begun.exists() and time.sleep(0.3) is None or time.monotonic() > until
    assert interrupt(process, after) == "KeyboardInterrupt"
    begun.unlink()
    assert left_in(out.parent) == []


CONVERT = "import sys, lithify; lithify.convert(sys.argv[1], sys.argv[2], memory='64MB', threads=2)"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of some 100 MB for each format."""
    directory = tmp_path_factory.mktemp("large")
    rows = np.random.default_rng(1).integers(0, 2**62, (100_000, 130))
    np.save(directory / "a.npy", rows)
    value = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[row.tobytes()])) for row in rows[:1000]]
    records = [tf.train.Example(features=tf.train.Features(feature={"x": one})).SerializeToString() for one in value]
    with tf.io.TFRecordWriter(str(directory / "a.tfrecord")) as writer:
        for _ in range(100):
            for record in records:
                writer.write(record)
    return directory


@pytest.mark.parametrize("file", ["a.npy", "a.tfrecord"])
def test_what_was_interrupted_goes_on(file, large, out):
    process = start(CONVERT, large / file, out)
    begun = lambda: any(name.startswith(".out") for name in left_in(out.parent))
    ended = interrupt(process, begun)
    # What was done is kept, and that is said.
    assert ended == "KeyboardInterrupt" or "goes on" in ended or out.exists(), ended
    if not out.exists():
        run(CONVERT, large / file, out)
    whole = out.with_name("whole")
    run(CONVERT, large / file, whole)
    names = sorted(path.name for path in whole.glob("*.npy"))
    assert names == sorted(path.name for path in out.glob("*.npy")) and names
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in names)
    assert left_in(out.parent) == ["out", "whole"]


# --- Progress ---------------------------------------------------------------------------------------------------------


class Bars:
    """What makes bars as `tqdm` does, and keeps what they were told."""

    def __init__(self, fail=False):
        self.bars, self.fail = [], fail

    def __call__(self, *, desc, total, unit, unit_scale):
        assert isinstance(desc, str) and (total is None or total > 0) and unit == "B" and unit_scale
        self.bars.append(bar := Told(self, total))
        return bar


class Told:
    def __init__(self, bars, total):
        self.bars, self.total, self.done, self.closed = bars, total, 0, False

    def update(self, count):
        assert count > 0 and not self.closed
        if self.bars.fail:
            raise RuntimeError("no bar")
        self.done += count

    def close(self):
        assert not self.closed
        self.closed = True


def slowly(seconds):
    """Elements of a megabyte, for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
        yield np.zeros(125_000)


def test_progress_of_a_live_source(out):
    bars = Bars()
    lithify.convert(slowly(1), out, progress=bars)
    assert bars.bars and all(bar.closed for bar in bars.bars) and bars.bars[-1].done > 0


def test_progress_of_files(large, out):
    bars = Bars()
    lithify.convert(large / "a.npy", out, progress=bars, memory="64MB", no_sync=True)
    assert bars.bars and all(bar.closed for bar in bars.bars)
    assert all(bar.done <= bar.total for bar in bars.bars if bar.total)


def test_progress_that_raises_stops(large, out):
    bars = Bars(fail=True)
    with pytest.raises(RuntimeError, match="no bar"):
        lithify.convert(slowly(20), out, progress=bars)
    assert all(bar.closed for bar in bars.bars) and left_in(out.parent) == []


def test_progress_of_tqdm(out):
    tqdm = pytest.importorskip("tqdm")
    lithify.convert(slowly(0.3), out, progress=tqdm.tqdm)


def test_a_bar_of_its_own(out, capfd):
    lithify.convert(slowly(0.8), out, progress=True)
    assert "MiB" in capfd.readouterr().err
    lithify.convert(slowly(0.3), out, progress=False, overwrite=True)
    assert capfd.readouterr().err == ""


# --- Memory -----------------------------------------------------------------------------------------------------------

# What the budget does not count: Python's own objects, and what its allocator keeps.
OVERHEAD_MB = 16
MEMORY = PEAK + """
import os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
import lithify, numpy as np
rows = lambda size, count, more: (np.full((size + at % more, 1000), at, np.float32) for at in range(count))
{0}
lithify.convert([0.5, 1.5], sys.argv[1] + ".first")
before = peak()
lithify.convert(source, sys.argv[1], memory="64MB", no_sync=True, **words)
print(peak() - before)
"""
SOURCES = {
    "alike": "source, words = (lambda: rows(100, 1000, 1)), {}",
    "alike, once": "source, words = rows(100, 1000, 1), {}",
    "ragged, once": "source, words = rows(100, 1000, 3), dict(ragged=True)",
    "padded": "source, words = (lambda: rows(100, 1000, 3)), dict(pad='max')",
    "two features, once": """source = ({'x': row, 'y': row[:2]} for row in rows(100, 1000, 3))
words = dict(features={'x': 'ragged', 'y': None})""",
    "an array": "source, words = np.broadcast_to(np.ones((100, 1000), np.float32), (1000, 100, 1000)), {}",
    "tf.data": """import tensorflow as tf
source, words = tf.data.Dataset.range(1000).map(lambda at: tf.fill((100, 1000), tf.cast(at, tf.float32))), {}
list(source.take(3))""",
    "tf.data, of varying length": """import tensorflow as tf
source = tf.data.Dataset.range(1000).map(lambda at: tf.fill((100 + at % 3, 1000), tf.cast(at, tf.float32)))
words = dict(pad='max')
list(source.take(3))""",
}


@pytest.mark.parametrize("name", SOURCES)
def test_memory(name, out):
    """400 MB pass through, and 64 MB are allowed."""
    grown = int(run(MEMORY.replace("{0}", SOURCES[name]), out))
    assert grown < (64 + OVERHEAD_MB) * 10**6, f"{grown / 10**6:.0f} MB"


# --- Threads ----------------------------------------------------------------------------------------------------------


def test_other_threads_go_on(large, out):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(lithify.convert(large / "a.npy", out, memory="64MB", no_sync=True)))
    thread.start()
    longest, turns, last = 0, 0, time.monotonic()
    while thread.is_alive():
        now = time.monotonic()
        longest, turns, last = max(longest, now - last), turns + 1, now
    thread.join()
    assert outcome and turns > 1000 and longest < 0.5, (turns, longest)


def test_two_threads_convert_at_once(out):
    def convert(at):
        lithify.convert((at * n for n in range(20_000)), out.with_name(f"{at}.npy"))

    threads = [threading.Thread(target=convert, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for at in range(4):
        assert_npy(out.with_name(f"{at}.npy"), at * np.arange(20_000))


def test_a_generator_that_converts(out):
    def rows():
        for at in range(3):
            yield lithify.convert([at, at + 1], out.with_name(f"inner{at}"))["array"]

    lithify.convert(rows(), out)
    assert_npy(out / "array.npy", np.array([[0, 1], [1, 2], [2, 3]]))


def test_a_script_of_a_batch_job_calls_the_command_of_the_package(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(9))
    words = ["slurm", "x.npy", "--to", "out", "-o", "plan", "--tasks", "2"]
    done = subprocess.run([sys.executable, "-m", "lithify", *words], cwd=tmp_path, capture_output=True, text=True, check=True)
    (program,) = [line.split("=", 1)[1] for line in done.stdout.splitlines() if line.startswith("lithify=")]
    assert Path(program) == Path(sys.executable).with_name("lithify")


def test_the_wheel_brings_manual_pages_and_completions():
    if not Path(lithify.__file__).is_relative_to(sys.prefix):
        pytest.skip("lithify is not installed from a wheel")
    share = Path(sys.prefix) / "share"
    assert ".TH lithify-convert" in (share / "man/man1/lithify-convert.1").read_text()
    assert "_lithify()" in (share / "bash-completion/completions/lithify").read_text()
    assert (share / "zsh/site-functions/_lithify").read_text().startswith("#compdef lithify")
    assert "saved-dataset" in (share / "fish/vendor_completions.d/lithify.fish").read_text()
