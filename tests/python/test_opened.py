"""What was written, opened: arrays that stay on disk, by name."""

import collections.abc
import pickle

import lithify
import numpy as np
import pytest
import tensorflow as tf

from outputs import assert_npy, assert_ragged

ROWS = [[1, 2], [], [3, 4, 5], [6]]
WORDS = [["a", "bcd"], [], ["é"], ["", "xy", "z"]]
GRIDS = [np.ones((1, 2)), np.zeros((3, 1)), np.full((0, 4), 2.0), np.full((2, 2), 3.0)]
MIXED = [{"x": at, "tokens": row, "grid": grid, "words": words, "text": "t" * at}
         for at, (row, grid, words) in enumerate(zip(ROWS, GRIDS, WORDS))]
RAGGED = {name: "ragged" for name in ("tokens", "grid", "words", "text")}
LAYOUTS = pytest.mark.parametrize("ending", ["", ".zarr"], ids=["npy", "zarr"])


@pytest.fixture
def opened(ending, out):
    if ending:
        pytest.importorskip("zarr")
    return lithify.convert(MIXED, str(out) + ending, {"x": None, **RAGGED})


@LAYOUTS
def test_a_mapping(opened):
    assert isinstance(opened, collections.abc.Mapping)
    assert sorted(opened) == ["grid", "text", "tokens", "words", "x"] and len(opened) == 5
    assert "tokens" in opened and "nothing" not in opened and dict(opened.items()).keys() == opened.keys()
    with pytest.raises(KeyError, match="nothing"):
        opened["nothing"]
    assert opened.get("nothing") is None
    assert opened.elements == 4 and opened.skipped == []
    assert all(name in repr(opened) for name in opened) and opened["x"] is opened["x"]


@LAYOUTS
def test_arrays_stay_on_disk(opened, ending):
    if ending:
        import zarr

        assert isinstance(opened["x"], zarr.Array)
    else:
        assert isinstance(opened["x"], np.memmap) and opened["x"].filename == f"{opened.path}/x.npy"
    np.testing.assert_array_equal(opened["x"][:], np.arange(4))


@LAYOUTS
def test_ragged_arrays(opened):
    tokens = opened["tokens"]
    assert isinstance(tokens, lithify.Ragged) and tokens.dtype == np.int64
    assert_ragged(tokens, ROWS)
    assert [row.tolist() for row in tokens] == ROWS
    np.testing.assert_array_equal(tokens.lengths, [2, 0, 3, 1])
    assert tokens[-1].tolist() == [6] and tokens[np.int64(2)].tolist() == [3, 4, 5]
    assert [row.tolist() for row in tokens[1:3]] == ROWS[1:3]
    assert [row.tolist() for row in tokens[::-2]] == ROWS[::-2]
    for at in ([2, 0, -1], np.array([2, 0, -1])):
        assert [row.tolist() for row in tokens[at]] == [ROWS[2], ROWS[0], ROWS[3]]
    assert [row.tolist() for row in tokens[np.array([True, False, False, True])]] == [ROWS[0], ROWS[3]]
    assert tokens[[]] == []
    for at in (4, -5, [4]):
        with pytest.raises(IndexError):
            tokens[at]
    objects = tokens.to_numpy()
    assert objects.dtype == object and objects.shape == (4,) and [row.tolist() for row in objects] == ROWS
    assert "4 elements of int64" in repr(tokens)


@LAYOUTS
def test_ragged_axes_and_strings(opened):
    for element, grid in zip(opened["grid"], GRIDS, strict=True):
        assert element.shape == grid.shape and element.dtype == np.float64
        np.testing.assert_array_equal(element, grid)
    assert [list(row) for row in opened["words"]] == [[word.encode() for word in row] for row in WORDS]
    texts = [bytes(text) if not isinstance(text, np.ndarray) else text.item() for text in opened["text"]]
    assert texts == [b"", b"t", b"tt", b"ttt"]


@LAYOUTS
def test_long_strings_are_bytes(ending, out):
    texts = [b"", b"x" * 100, "é".encode() * 60, b"a\0b\0"]
    found = lithify.convert([{"x": text} for text in texts], str(out) + ending)["x"]
    assert list(found) == texts and found[-1] == texts[-1] and found[[1, 0]] == [texts[1], texts[0]]
    assert found.to_numpy().tolist() == texts
    np.testing.assert_array_equal(found.lengths, [0, 100, 120, 4])


def test_grids_that_are_all_alike_in_what_follows_the_first_axis(out):
    rows = [np.full((at, 3), at) for at in range(4)]
    assert_ragged(lithify.convert(rows, out, ragged=True)["array"], rows)


@LAYOUTS
def test_what_is_pickled_is_a_path(opened):
    opened["tokens"][0]
    copy = pickle.loads(pickle.dumps(opened))
    assert copy.path == opened.path and list(copy) == list(opened)
    data = pickle.dumps(opened["tokens"])
    assert len(data) < 1000
    assert_ragged(pickle.loads(data), ROWS)
    assert_ragged(pickle.loads(pickle.dumps(opened["tokens"][1:][:2])), ROWS[1:3])
    assert [list(row) for row in pickle.loads(pickle.dumps(opened["words"]))] == [list(row) for row in opened["words"]]


def test_one_file(out):
    arrays = lithify.convert(ROWS, out.with_suffix(".npy"), pad="max", mask=True)
    assert sorted(arrays) == ["out", "out.lengths", "out.mask"]
    assert sorted(lithify.open(str(out) + ".npy")) == sorted(arrays)
    assert pickle.loads(pickle.dumps(arrays))["out"].tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5], [6, 0, 0]]


def test_names_in_folders(out):
    arrays = lithify.convert([{"a": {"b": {"c": 1}, "values": [1]}}, {"a": {"b": {"c": 2}, "values": [1, 2]}}], out)
    assert sorted(arrays) == ["a/b/c", "a/values"]
    assert_ragged(arrays["a/values"], [[1], [1, 2]])


@pytest.mark.parametrize("name", ["values", "x.values", "offsets", "x.lengths"])
@LAYOUTS
def test_names_that_parts_have(name, ending, out):
    arrays = lithify.convert([{name: [1]}, {name: [1, 2]}], str(out) + ending, {name: "ragged"})
    assert list(arrays) == [name]
    assert_ragged(arrays[name], [[1], [1, 2]])


@LAYOUTS
def test_what_has_no_values(ending, out):
    arrays = lithify.convert({"x": np.zeros((3, 0))}, str(out) + ending)
    assert arrays["x"].shape == (3, 0)
    assert_ragged(lithify.convert([[], []], str(out) + "-ragged" + ending, ragged=True)["array"], [[], []])


@pytest.mark.parametrize("make", ["nothing", "empty", "file"])
def test_what_lithify_has_not_written(make, out):
    if make == "empty":
        out.mkdir()
    if make == "file":
        np.save(out.with_suffix(".npy"), np.arange(3))
        out = out.with_suffix(".npy")
    with pytest.raises(lithify.OutputError, match="nothing that lithify has written"):
        lithify.open(out)


# --- Rows -------------------------------------------------------------------------------------------------------------


@LAYOUTS
def test_rows(ending, out):
    source = {"x": np.arange(5), "y": np.random.default_rng(1).random((5, 2))}
    lithify.convert(source, str(out) + ending)
    rows = lithify.Dataset(str(out) + ending)
    assert len(rows) == 5 and len(list(rows)) == 5
    for at, row in enumerate(rows):
        assert row.keys() == source.keys() and row["x"] == at
        np.testing.assert_array_equal(row["y"], source["y"][at])
    assert rows[-1]["x"] == 4
    one = lithify.Dataset(str(out) + ending, features=["x"])
    assert one[3] == 3 and [int(x) for x in one] == list(range(5))
    with pytest.raises(IndexError):
        rows[5]


def test_ragged_rows(out):
    lithify.convert(MIXED, out, {"x": None, **RAGGED})
    rows = pickle.loads(pickle.dumps(lithify.Dataset(out)))
    assert [row["tokens"].tolist() for row in rows] == ROWS


@LAYOUTS
def test_rows_for_tensorflow(ending, out):
    lithify.convert(ROWS, str(out) + ending, ragged=True)
    rows = lithify.Dataset(str(out) + ending)
    dataset = tf.data.Dataset.from_generator(lambda: rows, output_signature=tf.TensorSpec([None], tf.int64))
    assert [row.tolist() for row in dataset.as_numpy_iterator()] == ROWS


# --- Verifying and repairing ------------------------------------------------------------------------------------------


def flip(path):
    """Flips a bit of the last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_found(out):
    lithify.convert({"x": np.arange(100), "y": np.arange(100.0)}, out)
    assert lithify.verify(out) == []
    flip(out / "x.npy")
    (file, what), = lithify.verify(out)
    assert file.endswith("x.npy") and "changed" in what


def records(path, count=100):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for at in range(count):
            value = tf.train.Feature(int64_list=tf.train.Int64List(value=[at, at + 1]))
            writer.write(tf.train.Example(features=tf.train.Features(feature={"x": value})).SerializeToString())
    return path


def test_what_was_made_of_files_is_repaired(tmp_path, out):
    expected = np.stack([np.arange(100), np.arange(1, 101)], 1)
    lithify.convert(records(tmp_path / "a.tfrecord"), out)
    assert_npy(out / "x.npy", expected)
    flip(out / "x.npy")
    assert lithify.repair(out) == []
    assert lithify.verify(out) == []
    assert_npy(out / "x.npy", expected)


def test_verifying_against_the_files(tmp_path, out):
    lithify.convert(records(tmp_path / "a.tfrecord"), out)
    assert lithify.verify(out, against_source=True) == []
    (tmp_path / "a.tfrecord").unlink()
    with pytest.raises(lithify.Error):
        lithify.verify(out, against_source=True)


def test_what_was_live_is_not_repaired(out):
    lithify.convert([1, 2, 3], out)
    flip(out / "array.npy")
    with pytest.raises(lithify.RequestError, match="not there to be read again"):
        lithify.repair(out)
