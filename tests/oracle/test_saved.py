"""Saved datasets: what `Dataset.save` writes is what `Dataset.load` reads, component by component."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from oracle import DONE, FAILED, SKIPPED, assert_npy, convert, fixed_strings, read_ragged, run, scan

DATA = Path(os.environ.get("LITHIFY_TEST_DATA", "")) / "snapshot"
RNG = np.random.default_rng(11)
COMPRESSIONS = [None, "GZIP", "ZLIB", "SNAPPY"]
Point = namedtuple("Point", ["y", "x"])


def in_order(shards):
    """One shard after another: `Dataset.load` itself takes turns between as many as the machine has processors."""
    return shards.flat_map(lambda shard: shard)


def load(path, compression=None):
    """The elements as `Dataset.load` gives them."""
    return list(tf.data.Dataset.load(str(path), compression=compression, reader_func=in_order))


def named(structure, path=""):
    """The tensors of an element by the names of the features."""
    if structure is None:
        return {}
    below = lambda key: f"{path}/{key}" if path else str(key)
    if isinstance(structure, dict):
        items = structure.items()
    elif hasattr(structure, "_asdict"):
        items = structure._asdict().items()
    elif isinstance(structure, (tuple, list)):
        items = enumerate(structure)
    elif isinstance(structure, tf.RaggedTensor):
        splits = {f"row_splits_{axis}": splits for axis, splits in enumerate(structure.nested_row_splits)}
        items = {**splits, "flat_values": structure.flat_values}.items()
    elif isinstance(structure, tf.SparseTensor):
        items = {name: getattr(structure, name) for name in ("indices", "values", "dense_shape")}.items()
    else:
        value = structure.numpy()
        return {path or "array": np.asarray(value, object if isinstance(value, bytes) else None)}
    if isinstance(structure, (tf.RaggedTensor, tf.SparseTensor)):
        path = path or "array"
    found = {}
    for key, value in items:
        found |= named(value, below(key))
    return found


def check(source, output, compression=None, options=()):
    """Every feature of every element is what TensorFlow gives."""
    wanted = [named(element) for element in load(source, compression)]
    convert(source, output, options=options)
    for name in wanted[0]:
        arrays = [element[name] for element in wanted]
        if (output / f"{name}.npy").exists():
            stacked = np.stack(arrays)
            expected = fixed_strings(stacked) if stacked.dtype == object else stacked
            assert_npy(output / f"{name}.npy", expected)
            continue
        found = read_ragged(output, name)
        if arrays[0].dtype == object:
            assert [np.ravel(np.array(x, object)).tolist() for x in found] == [x.ravel().tolist() for x in arrays]
            if arrays[0].ndim > 1:
                assert np.load(output / f"{name}.shapes.npy").tolist() == [list(x.shape) for x in arrays]
        else:
            assert found == [x.tolist() for x in arrays]
            assert np.load(output / f"{name}.values.npy").dtype == arrays[0].dtype
    assert len(wanted) == scan(source)["elements"]
    return wanted


def save(dataset, path, **options):
    dataset.save(str(path), **options)
    return path


def rows(count=50):
    """A dataset of everything that a structure can have."""
    texts = [os.urandom(RNG.integers(0, 90)).hex()[: RNG.integers(0, 150)] for _ in range(count)]
    return tf.data.Dataset.from_tensor_slices(
        {
            "x": RNG.normal(size=(count, 3, 2)).astype("f4"),
            "10": np.arange(count, dtype="i8"),
            "9": RNG.integers(0, 255, (count, 7), np.uint8),
            "B": np.arange(count) % 3 == 0,
            "nest": {"a": (RNG.normal(size=count), np.arange(count, dtype="i4")), "s": texts},
            "words": [[f"a{n}", "bc" * (n % 40), ""] for n in range(count)],
        }
    )


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression(tmp_path, compression):
    save(rows(), tmp_path / "in", compression=compression)
    check(tmp_path / "in", tmp_path / "out", compression)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_large_elements(tmp_path, compression):
    """Records larger than what is read at a time, some that compress well and some that do not."""
    noise = RNG.integers(0, 255, (9, 700_001), np.uint8)
    noise[::2] = np.arange(700_001) // 7 % 256
    dataset = tf.data.Dataset.from_tensor_slices({"a": noise, "b": np.repeat(["text " * 999], 9)})
    save(dataset, tmp_path / "in", compression=compression)
    if compression == "SNAPPY":
        # TensorFlow fails to load these blocks, which it wrote itself.
        with pytest.raises(tf.errors.OpError):
            load(tmp_path / "in", compression)
        convert(tmp_path / "in", tmp_path / "out")
        assert_npy(tmp_path / "out" / "a.npy", noise)
    else:
        check(tmp_path / "in", tmp_path / "out", compression)


DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128"


@pytest.mark.parametrize("dtype", DTYPES.split())
def test_every_dtype(tmp_path, dtype):
    dtype = tf.as_dtype(dtype)
    values = tf.cast(tf.constant(RNG.integers(0, 100, (20, 2, 3))), dtype)
    save(tf.data.Dataset.from_tensor_slices(values), tmp_path / "in")
    run("convert", tmp_path / "in", "-o", tmp_path / "out.npy", "-q")
    assert_npy(tmp_path / "out.npy", values.numpy())
    save(tf.data.Dataset.from_tensor_slices((values[:, 0, 0], ["x"] * 20)), tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out")
    assert_npy(tmp_path / "out" / "0.npy", values[:, 0, 0].numpy())


STRUCTURES = {
    "lone": lambda n: tf.cast(n, tf.int32),
    "lone string": lambda n: tf.strings.as_string(n),
    "tuple": lambda n: (n, tf.cast(n, tf.float32)),
    "dict of tuple": lambda n: {"a": (n, {"z": n + 1, "y": n + 2}), "A": n},
    "namedtuple": lambda n: Point(n, n * 2),
    "none": lambda n: (n, None, {"x": None, "y": n}),
    "varying": lambda n: {"v": tf.range(n % 5), "m": tf.zeros([n % 3, 2]), "s": tf.strings.as_string(tf.range(n % 4))},
    "empty": lambda n: {"v": tf.zeros([0, 3]), "n": n},
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(tmp_path, name):
    save(tf.data.Dataset.range(30).map(STRUCTURES[name]), tmp_path / "in")
    check(tmp_path / "in", tmp_path / "out")


def test_ragged_and_sparse(tmp_path):
    ragged = tf.ragged.constant([[[1, 2], [3]], [[]], [], [[4, 5, 6], [7], [8]]], dtype=tf.int32)
    words = tf.ragged.constant([["a", "bb"], [], ["ccc"], ["", "d"]])
    sparse = tf.sparse.from_dense([[0, 1, 0], [2, 0, 3], [0, 0, 0], [4, 5, 6]])
    dataset = tf.data.Dataset.from_tensor_slices({"r": ragged, "w": words, "s": sparse, "n": [1, 2, 3, 4]})
    check(save(dataset, tmp_path / "in"), tmp_path / "out")
    check(save(dataset.batch(2), tmp_path / "batched", compression="SNAPPY"), tmp_path / "out2", "SNAPPY")
    check(save(dataset.batch(1).batch(2), tmp_path / "twice"), tmp_path / "out5")
    strings = tf.sparse.from_dense([["", "a"], ["bcd", ""]])
    floats = tf.RaggedTensor.from_row_splits(tf.ones([5, 3], tf.float64), tf.constant([0, 2, 5], tf.int32))
    dataset = tf.data.Dataset.from_tensors((strings, floats)).repeat(3)
    check(save(dataset, tmp_path / "other"), tmp_path / "out3")
    lone = tf.data.Dataset.from_tensors(ragged).repeat(2)
    check(save(lone, tmp_path / "lone"), tmp_path / "out4")


def test_batches_are_elements(tmp_path):
    save(rows(50).batch(8), tmp_path / "in")
    found = check(tmp_path / "in", tmp_path / "out")
    assert [len(element["10"]) for element in found] == [8] * 6 + [2]


def test_shards_follow_one_another(tmp_path):
    shard = lambda element: tf.cast(element["10"] % 13, tf.int64)
    save(rows(200), tmp_path / "in", shard_func=shard)
    check(tmp_path / "in", tmp_path / "out")
    convert(tmp_path / "in", tmp_path / "one", options=("--threads", 1))
    assert (tmp_path / "out" / "10.npy").read_bytes() == (tmp_path / "one" / "10.npy").read_bytes()


def test_only_the_present_run_counts(tmp_path):
    save(tf.data.Dataset.range(5), tmp_path / "in")
    save(tf.data.Dataset.range(9), tmp_path / "in")
    assert len([path for path in (tmp_path / "in").iterdir() if path.is_dir()]) == 2
    assert len(check(tmp_path / "in", tmp_path / "out")) == 9


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("mixed", [False, True])
def test_many_elements_in_spans(tmp_path, compression, mixed):
    """More than a thread reads at a time; once all of one size, and once not."""
    count = 150_000
    values = RNG.integers(0, 9, (count, 60), np.int32)
    structure = {"x": values, "n": np.arange(count)}
    dataset = tf.data.Dataset.from_tensor_slices(structure)
    if mixed:
        dataset = dataset.map(lambda e: {**e, "t": tf.strings.as_string(e["n"])})
    save(dataset, tmp_path / "in", compression=compression)
    for threads in (1, 3):
        out = tmp_path / f"out{threads}"
        convert(tmp_path / "in", out, options=("--threads", threads))
        assert_npy(out / "x.npy", values)
        assert_npy(out / "n.npy", np.arange(count))


def snapshots(path):
    return sorted(path.rglob("*.snapshot"))


def test_several_files_of_a_shard(tmp_path):
    """As checkpoints leave them: numbered, and read until one is missing."""
    save(tf.data.Dataset.range(5), tmp_path / "in")
    save(tf.data.Dataset.range(5, 7), tmp_path / "more")
    first, second = snapshots(tmp_path / "in")[0], snapshots(tmp_path / "more")[0]
    shutil.copy(second, first.with_name("00000001.snapshot"))
    told = run("convert", tmp_path / "in", "-o", tmp_path / "out.npy", "-q", code=FAILED)
    assert "there are 5 elements, and 7 were found" in told.stderr
    run("convert", tmp_path / "in", "-o", tmp_path / "out.npy", "-q", "--on-error", "skip")
    assert_npy(tmp_path / "out.npy", np.arange(7))
    first.rename(first.with_name("00000002.snapshot"))
    assert "not the one numbered 0" in run("scan", tmp_path / "in", code=FAILED).stderr


@pytest.mark.parametrize("compression", [None, "SNAPPY"])
def test_damage_is_told_and_left_out(tmp_path, compression):
    dataset = tf.data.Dataset.range(100).map(lambda n: {"a": n, "b": tf.strings.as_string(n), "c": n + 1})
    save(dataset, tmp_path / "in", compression=compression)
    path = snapshots(tmp_path / "in")[0]
    whole = bytearray(path.read_bytes())
    if compression is None:
        # The data of a record in the middle.
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        damaged = whole.copy()
        damaged[sum(len(record) + 16 for record in records[:130]) + 14] ^= 1
        path.write_bytes(damaged)
        assert "element 43" in run("convert", tmp_path / "in", "-o", tmp_path / "out", code=FAILED).stderr
        convert(tmp_path / "in", tmp_path / "out", options=("--on-error", "skip"), code=SKIPPED)
        kept = np.load(tmp_path / "out" / "a.npy")
        assert len(kept) == 99 and set(kept) < set(range(100))
        assert np.array_equal(np.load(tmp_path / "out" / "c.npy"), kept + 1)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    told = run("convert", tmp_path / "in", "-o", tmp_path / "cut", code=FAILED)
    assert "cut" in told.stderr or "stray bytes" in told.stderr


def test_what_cannot_be_read_is_refused(tmp_path):
    windows = tf.data.Dataset.range(10).window(5)
    try:
        save(windows, tmp_path / "in")
    except (tf.errors.OpError, TypeError, ValueError):
        pytest.skip("TensorFlow does not save nested datasets")
    assert "nested dataset" in run("scan", tmp_path / "in", code=FAILED).stderr


def test_nothing_was_saved(tmp_path):
    save(tf.data.Dataset.range(0), tmp_path / "in")
    assert scan(tmp_path / "in")["elements"] == 0


def test_without_a_spec_the_metadata_tell(tmp_path):
    save(tf.data.Dataset.range(5).map(lambda n: {"a": n, "b": tf.strings.as_string(n)}), tmp_path / "in")
    (tmp_path / "in" / "dataset_spec.pb").unlink()
    convert(tmp_path / "in", tmp_path / "out")
    assert_npy(tmp_path / "out" / "0.npy", np.arange(5))


def test_an_output_is_verified_against_its_source(tmp_path):
    save(rows(), tmp_path / "in", compression="GZIP")
    convert(tmp_path / "in", tmp_path / "out")
    run("verify", tmp_path / "out", "--against-source", code=DONE)


@pytest.mark.skipif(not DATA.is_dir(), reason="LITHIFY_TEST_DATA is not set to a directory of test data")
def test_real_datasets(tmp_path):
    found = 0
    for path in sorted(DATA.rglob("snapshot.metadata")):
        assert check(path.parent, tmp_path / str(found))
        found += 1
    assert found
