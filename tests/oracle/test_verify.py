"""`verify` must find every change: each array is changed by NumPy, or the source is by TensorFlow."""

import os

import numpy as np
import pytest

from oracle import FAILED, arrays_in, convert, example, ints, load, run, strings, write


def records(change=0):
    return [
        example({"tokens": ints(*range(n % 5)), "label": ints(n + change * (n == 17)), "text": strings(b"a" * (n * 7))})
        for n in range(30)
    ]


FEATURES = ["tokens: pad=max mask", "text: ragged present", "label"]


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "a.tfrecord", records())


@pytest.fixture
def output(source, out):
    convert(source, out, *FEATURES)
    return out


def flip(path, at):
    """Flips a bit of the byte at `at`."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_what_was_written_passes(output):
    run("verify", output)
    run("verify", output, "--against-source")


@pytest.mark.parametrize("where", ["header", "first", "last"])
def test_a_flipped_bit_in_any_array_is_found(output, where):
    for name in sorted(arrays_in(output)):
        path = output / f"{name}.npy"
        at = {"header": 60, "first": load(path).offset, "last": path.stat().st_size - 1}[where]
        flip(path, at)
        said = run("verify", output, code=FAILED)
        assert f"{name}.npy" in said.stdout + said.stderr
        flip(path, at)
    run("verify", output)


def test_a_changed_value_is_found(output):
    array = np.load(output / "label.npy", mmap_mode="r+")
    array[20] += 1
    array.flush()
    run("verify", output, code=FAILED)


@pytest.mark.parametrize("change", ["cut", "longer", "gone"])
def test_a_file_of_another_size_is_found(output, change):
    path = output / "tokens.npy"
    if change == "gone":
        path.unlink()
    else:
        body = path.read_bytes()
        path.write_bytes(body[:-1] if change == "cut" else body + b"\x00")
    said = run("verify", output, code=FAILED)
    assert "tokens.npy" in said.stdout + said.stderr


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_changed_source_is_found(source, output, keep_time):
    """One value is another; the size is the same, and perhaps even the time of the file."""
    before = source.stat()
    write(source, records(change=1))
    assert source.stat().st_size == before.st_size
    if keep_time:
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    run("verify", output)
    run("verify", output, "--against-source", code=FAILED)


def test_a_source_that_has_grown_is_found(source, output):
    write(source, [*records(), *records()[:1]])
    run("verify", output, "--against-source", code=FAILED)


def test_a_source_that_is_gone_is_found(source, output):
    source.unlink()
    run("verify", output)
    run("verify", output, "--against-source", code=FAILED)


def test_outputs_with_skipped_elements_pass(tmp_path, out):
    """What was left out must be left out again."""
    source = write(tmp_path / "b", [example({"x": ints(value)}) for value in (1, 300, 2, -1, 3)])
    convert(source, out, "x: dtype=uint8", options=["--on-error", "skip"], code=3)
    np.testing.assert_array_equal(load(out / "x.npy"), [1, 2, 3])
    run("verify", out, "--against-source")


def test_a_single_file_is_verified(source, tmp_path):
    path = tmp_path / "single" / "label.npy"
    convert(source, path, "label")
    run("verify", path)
    run("verify", path, "--against-source")
    flip(path, path.stat().st_size - 1)
    run("verify", path, code=FAILED)


@pytest.mark.parametrize("change", ["value", "longer", "gone"])
def test_a_plan_is_not_written_of_another_source(source, tmp_path, out, change):
    """Whatever was planned is not what would be written."""
    run("plan", source, "--to", out, "--output", tmp_path / "plan", "--feature", "label", "--quiet")
    if change == "gone":
        source.unlink()
    else:
        write(source, records(change=1) if change == "value" else [*records(), *records()[:1]])
        os.utime(source, ns=(1, 1))
    run("write", tmp_path / "plan", "--quiet", code=FAILED)
    assert not out.exists()
