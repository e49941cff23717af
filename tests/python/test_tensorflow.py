"""Running `tf.data` pipelines: what comes is what `as_numpy_iterator` gives."""

import collections

import lithify
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from outputs import assert_npy, assert_output, assert_ragged, padded

Slices = tf.data.Dataset.from_tensor_slices
DTYPES = [
    *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.complex64, np.complex128),
]


def stacked(dataset):
    return np.stack(list(dataset.as_numpy_iterator()))


def generated(rows, *shape, dtype=tf.int64):
    """A dataset that does not say more of its elements than this shape."""
    return tf.data.Dataset.from_generator(lambda: rows, output_signature=tf.TensorSpec(shape or None, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("batched", [False, True])
def test_every_dtype(dtype, batched, out):
    values = {str(axes): np.random.default_rng(1).integers(0, 2, (7, 3, 2)[: axes + 1]).astype(dtype) for axes in range(3)}
    dataset = Slices({name: tf.constant(value) for name, value in values.items()})
    lithify.convert(dataset.batch(3) if batched else dataset, out, batched=batched)
    assert_output(out, values)


@pytest.mark.parametrize("drop", [False, True])
def test_batches_are_taken_apart(drop, out):
    dataset = Slices({"x": tf.range(10), "y": tf.random.stateless_uniform((10, 2), (1, 2))}).batch(4, drop_remainder=drop)
    lithify.convert(dataset, out, batched=True)
    rows = list(dataset.unbatch().as_numpy_iterator())
    assert len(rows) == (8 if drop else 10)
    assert_output(out, {name: np.stack([row[name] for row in rows]) for name in "xy"})


@pytest.mark.filterwarnings("error")
def test_batches_are_warned_of(out):
    """A batch that becomes an element may not be what is wanted; unless it is said to be."""
    batches = tf.data.Dataset.range(8).batch(4)
    with pytest.raises(UserWarning, match="`batched=True`"):
        lithify.convert(batches.prefetch(1), out)
    lithify.convert(batches, out, batched=False)
    lithify.convert(batches, out.with_name("apart"), batched=True)
    lithify.convert(batches.map(lambda batch: batch + 1), out.with_name("mapped"))


def test_batches_that_are_not_taken_apart(out):
    dataset = tf.data.Dataset.range(12).batch(4)
    lithify.convert(dataset, out)
    assert_output(out, {"array": stacked(dataset)})


Point = collections.namedtuple("Point", ["x", "y"])
STRUCTURES = {
    "dict": ({"b": 1, "a": 2}, ["b", "a"]),
    "tuple": ((1, 2), ["0", "1"]),
    "nested": (({"a": 1}, (2, {"b": 3})), ["0/a", "1/0", "1/1/b"]),
    "one": ((1,), ["0"]),
}


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name, batched, out):
    structure, names = STRUCTURES[name]
    dataset = tf.data.Dataset.range(9).map(lambda at: tf.nest.map_structure(lambda times: at * times, structure))
    lithify.convert(dataset.batch(4) if batched else dataset, out, batched=batched)
    times = [1, 2] if name == "dict" else tf.nest.flatten(structure)
    assert_output(out, {one: np.arange(9) * by for one, by in zip(names, times, strict=True)})


def test_a_named_tuple_has_fields(out):
    """They are named by their place in saved datasets, or by their names: they must be there."""
    dataset = tf.data.Dataset.range(5).map(lambda at: Point(at, at * 2))
    arrays = lithify.convert(dataset, out)
    assert [arrays[name].tolist() for name in arrays] == [[0, 1, 2, 3, 4], [0, 2, 4, 6, 8]]


def test_where_there_is_nothing(out):
    dataset = Slices(tf.range(5)).map(lambda at: (at, None))
    lithify.convert(dataset, out)
    assert_output(out, {"0": np.arange(5, dtype=np.int32)})


@pytest.mark.parametrize("count", [1, 4096, 4097, 10_000])
def test_an_unknown_number_of_elements(count, out):
    dataset = tf.data.Dataset.range(2 * count).filter(lambda at: at % 2 == 0)
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    lithify.convert(dataset, out)
    assert_output(out, {"array": np.arange(0, 2 * count, 2)})


@pytest.mark.parametrize("count", [1, 4096, 100_001])
def test_a_known_number_of_elements(count, out):
    lithify.convert(tf.data.Dataset.range(count), out)
    assert_output(out, {"array": np.arange(count)})


@pytest.mark.parametrize("empty", [lambda: tf.data.Dataset.range(0), lambda: tf.data.Dataset.range(9).filter(lambda at: at > 9)])
def test_a_dataset_without_elements_is_refused(empty, out):
    with pytest.raises(lithify.Error, match="no elements"):
        lithify.convert(empty(), out)
    assert not out.exists()


def test_a_dataset_without_an_end_is_refused(out):
    with pytest.raises(lithify.RequestError, match="no end") as caught:
        lithify.convert(tf.data.Dataset.range(3).repeat(), out)
    assert "take" in caught.value.hints[0]


ROWS = [list(range(n % 5)) for n in range(600)]


@pytest.mark.parametrize("shape", [(None,), ()], ids=["length", "rank"])
def test_sequences(shape, out):
    dataset = generated(ROWS, *shape)
    lithify.convert(dataset, out.with_suffix(".npy"), pad="max")
    assert_npy(out.with_suffix(".npy"), next(iter(generated(ROWS, None).padded_batch(600))).numpy())
    assert_ragged(lithify.convert(dataset, out)["array"], ROWS)


def test_padding_as_padded_batch_does_it(out):
    dataset = generated(ROWS, None)
    lithify.convert(dataset, out, {"array": "pad=7 value=-1"})
    spec = tf.constant(-1, tf.int64)
    assert_npy(out / "array.npy", next(iter(dataset.padded_batch(600, [7], spec))).numpy())


def test_batches_of_varying_width(out):
    dataset = generated([[1], [1, 2], [1, 2, 3], [4], [5]], None).padded_batch(2)
    lithify.convert(dataset, out, "array: pad=max", batched=True)
    assert_npy(out / "array.npy", padded([[1, 0], [1, 2], [1, 2, 3], [4, 0, 0], [5]]))


@pytest.mark.parametrize("batched", [False, True])
def test_ragged(batched, out):
    dataset = Slices(tf.ragged.constant(ROWS, tf.int64))
    lithify.convert(dataset.batch(300) if batched else dataset, out, batched=batched)
    found = lithify.open(out)
    assert_ragged(next(found[name] for name in found if isinstance(found[name], lithify.Ragged)), ROWS)


def test_ragged_in_two_axes(out):
    ragged = tf.ragged.constant([[[1, 2], []], [[3]], [], [[4, 5, 6], [7], [8]]], tf.int64)
    found = lithify.convert(Slices({"x": ragged}), out)
    assert_ragged(found["x/flat_values"], [row.flat_values.numpy() for row in ragged])
    assert_ragged(found["x/row_splits_0"], [row.row_splits.numpy() for row in ragged])


def test_sparse(out):
    sparse = tf.sparse.from_dense([[0, 1, 2], [0, 0, 0], [3, 0, 0]])
    found = lithify.convert(Slices(sparse), out)
    rows = list(Slices(sparse))
    assert_ragged(found["values"], [row.values.numpy() for row in rows])
    assert_ragged(found["indices"], [row.indices.numpy() for row in rows])
    np.testing.assert_array_equal(found["dense_shape"], [[3]] * 3)


WORDS = [b"", b"ab", "é".encode(), b"x" * 40, b"a\0b"]


@pytest.mark.parametrize("batched", [False, True])
def test_strings(batched, out):
    dataset = Slices(WORDS * 50)
    found = lithify.convert(dataset.batch(7) if batched else dataset, out, "array: ragged", batched=batched)["array"]
    assert list(found) == list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("batched", [False, True])
def test_strings_of_one_width(batched, out):
    dataset = Slices([b"ab", b"c", b"d"])
    lithify.convert(dataset.batch(2) if batched else dataset, out, batched=batched)
    assert_output(out, {"array": np.array([b"ab", b"c", b"d"])})


@pytest.mark.parametrize("make", [lambda: Slices([WORDS[:3], WORDS[2:]]), lambda: generated([WORDS[:1], [], WORDS], None, dtype=tf.string)])
def test_vectors_of_strings(make, out):
    found = lithify.convert(make(), out, "array: ragged")["array"]
    assert [list(row) for row in found] == [list(row) for row in make().as_numpy_iterator()]


def test_images_of_varying_size(out):
    images = [np.random.default_rng(n).integers(0, 256, (4 + n % 3, 5 + n % 2, 3), np.uint8) for n in range(30)]
    dataset = generated(images, None, None, 3, dtype=tf.uint8)
    lithify.convert(dataset, out, {"array": {"resize": (6, 7), "dtype": "float32"}})
    assert_npy(out / "array.npy", np.stack([tf.image.resize(image, (6, 7)).numpy() for image in images]))


def test_what_is_shuffled_is_iterated_once(out):
    dataset = generated([[n] * (1 + n % 3) for n in range(500)], None).shuffle(500)
    found = lithify.convert(dataset, out, "array: pad=max", again=False)
    assert sorted(found["array"][:, 0].tolist()) == list(range(500))
    assert all(set(row) <= {row[0], 0} for row in found["array"][1:].tolist() if row[0])
    np.testing.assert_array_equal(found["array.lengths"], 1 + found["array"][:, 0] % 3)


def test_zarr(out):
    zarr = pytest.importorskip("zarr")
    values = np.random.default_rng(1).random((5000, 3))
    lithify.convert(Slices({"x": values}), out.with_suffix(".zarr"))
    np.testing.assert_array_equal(zarr.open_group(out.with_suffix(".zarr"), mode="r")["x"][:], values)


def test_a_dataset_of_datasets_is_refused(out):
    with pytest.raises(lithify.Error):
        lithify.convert(tf.data.Dataset.range(10).window(2), out)


def test_what_tensorflow_raises(out):
    dataset = tf.data.Dataset.range(9).map(lambda at: tf.debugging.check_numerics(1 / (at - 5), "the fifth"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the fifth"):
        lithify.convert(dataset, out)
    assert not list(out.parent.iterdir())
