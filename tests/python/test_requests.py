"""What is wanted of features, in each of the ways to say it."""

import lithify
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from outputs import assert_npy, assert_output, assert_ragged, padded

ROWS = [[1, 2], [3, 4, 5, 6], [], [7]]
SOURCES = pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])


@SOURCES
@pytest.mark.parametrize("asked", [{"pad": "max"}, {"pad": 4}, {"pad": (4,)}, {"pad": "4"}])
def test_pad(make, asked, out):
    lithify.convert(make(ROWS), out, **asked)
    assert_output(out, {"array": padded(ROWS), "array.lengths": np.array([2, 4, 0, 1])})


@SOURCES
def test_pad_and_truncate(make, out):
    lithify.convert(make(ROWS), out, pad=2, truncate=True, value=-1, side="left", lengths=False, mask=True)
    assert_output(out, {
        "array": np.array([[1, 2], [5, 6], [-1, -1], [-1, 7]]),
        "array.mask": np.array([[1, 1], [1, 1], [0, 0], [0, 1]], bool),
    })


def test_pad_of_two_axes(out):
    rows = [np.ones((1, 3)), np.ones((2, 1))]
    lithify.convert(rows, out, pad=(2, 3), lengths=False)
    expected = np.stack([np.pad(row, [(0, 2 - row.shape[0]), (0, 3 - row.shape[1])]) for row in rows])
    assert_output(out, {"array": expected})


def test_what_is_too_long_is_refused(out):
    with pytest.raises(lithify.Error) as caught:
        lithify.convert(ROWS, out, pad=3)
    assert (caught.value.element, caught.value.feature) == (1, "array")
    assert not list(out.parent.iterdir())


DTYPES = ["float32", np.float32, np.dtype("float32"), "uint8", np.uint8, bool, float, np.float16, ml_dtypes.bfloat16]


@SOURCES
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(make, dtype, out):
    lithify.convert(make([1, 0, 1]), out, dtype=dtype)
    assert_output(out, {"array": np.array([1, 0, 1]).astype(dtype)})


def test_dtypes_of_tensorflow(out):
    lithify.convert([1, 2, 3], out, {"array": {"dtype": tf.int16}})
    assert_output(out, {"array": np.array([1, 2, 3], np.int16)})


@pytest.mark.parametrize("dtype", ["S5", np.dtype("S5")], ids=repr)
def test_dtypes_of_strings(dtype, out):
    lithify.convert(np.array(["ab", "c"]), out, dtype=dtype)
    assert_output(out, {"array": np.array([b"ab", b"c"], "S5")})


@SOURCES
def test_values_that_do_not_fit(make, out):
    with pytest.raises(lithify.DataError) as caught:
        lithify.convert(make([1, 2, 300]), out, dtype="uint8")
    assert caught.value.element == 2
    assert not list(out.parent.iterdir())
    lithify.convert(make([1, 2, 300]), out, dtype="uint8", saturate=True)
    assert_output(out, {"array": np.array([1, 2, 255], np.uint8)})


@SOURCES
@pytest.mark.parametrize("bucket", ["2,4", (2, 4), [2, 4]], ids=repr)
def test_buckets(make, bucket, out):
    found = lithify.convert(make(ROWS), out, bucket=bucket)
    arrays = {name: array for name, array in found.items() if "lengths" not in name}
    held = sorted(tuple(array.shape) for array in arrays.values())
    assert held == [(1,), (1, 4), (3,), (3, 2)]
    np.testing.assert_array_equal(next(a for a in arrays.values() if a.shape == (3, 2)), [[1, 2], [0, 0], [7, 0]])


@SOURCES
def test_ragged_and_what_is_missing(make, out):
    rows = [{"x": [1, 2], "y": 1}, {"x": None, "y": 2}, {"y": 3}, {"x": [3], "y": 4}]
    found = lithify.convert(make(rows), out, {"x": "ragged present", "y": None})
    assert_ragged(found["x"], [[1, 2], [], [], [3]])
    assert_npy(out / "x.present.npy", np.array([True, False, False, True]))
    assert_npy(out / "y.npy", np.arange(1, 5))


@SOURCES
def test_defaults(make, out):
    lithify.convert(make([{"x": 1}, {}, {"x": None}, {"x": 4}]), out, {"x": {"default": 9, "present": True}})
    assert_output(out, {"x": np.array([1, 9, 9, 4]), "x.present": np.array([True, False, False, True])})


@SOURCES
@pytest.mark.parametrize("method", ["bilinear", "nearest", "bicubic", "area"])
def test_resize(make, method, out):
    images = [np.random.default_rng(n).random((4 + n, 5, 3), np.float32) for n in range(3)]
    lithify.convert(make(images), out, {"array": {"resize": (3, 7), "method": method}})
    assert_npy(out / "array.npy", np.stack([tf.image.resize(image, (3, 7), method).numpy() for image in images]))


def test_resize_with_pad_scale_and_mean(out):
    images = [np.random.default_rng(n).random((4 + n, 5, 3), np.float32) for n in range(3)]
    lithify.convert(images, out, resize_with_pad=(6, 7), layout="nchw")
    expected = [tf.image.resize_with_pad(image, 6, 7).numpy().transpose(2, 0, 1) for image in images]
    np.testing.assert_array_equal(np.load(out / "array.npy"), expected)


TWO = {"a": np.arange(4), "b": np.arange(4) * 0.5}


@pytest.mark.parametrize("features", [
    "a: dtype=int8 rename=x", ["a: dtype=int8 rename=x"], {"a": "dtype=int8 rename=x"}, {"a": {"dtype": np.int8, "rename": "x"}},
    {"a": {"dtype": "int8", "rename": "x"}, "b": {"drop": True}},
], ids=str)
def test_ways_to_say_it(features, out):
    lithify.convert(TWO, out, features)
    assert_output(out, {"x": np.arange(4, dtype=np.int8)})


@pytest.mark.parametrize("features", [["a", "b"], {"a": None, "b": None}, {"a": True, "b": {}}, {"*": None}, None], ids=str)
def test_features_without_a_word(features, out):
    lithify.convert(TWO, out, features)
    assert_output(out, TWO)


def test_what_is_dropped(out):
    lithify.convert(TWO, out, {"b": "drop"})
    assert_output(out, {"a": TWO["a"]})


@pytest.mark.parametrize("words", [{"truncate": False, "mask": False}, {"truncate": True, "mask": False}])
def test_words_that_are_true_or_not(words, out):
    lithify.convert({"a": np.ones((2, 3))}, out, {"a": {"pad": 3, "lengths": False, **words}})
    assert_output(out, {"a": np.ones((2, 3))})


@pytest.mark.parametrize("name", ["a b", "a: b", 'a"b', "é", "a=b", " a", "a, b", "-a", "a:b", "日本"])
@pytest.mark.parametrize("wanted", [None, "dtype=float32", {"dtype": "float32"}], ids=str)
def test_odd_names(name, wanted, out):
    found = lithify.convert({name: np.arange(3), "other": np.arange(3)}, out, {name: wanted})
    expected = np.arange(3) if wanted is None else np.arange(3, dtype=np.float32)
    assert [array.tolist() for array in found.values()] == [[0, 1, 2]]
    assert [array.dtype for array in found.values()] == [expected.dtype]


def test_a_name_that_no_file_can_have(out):
    with pytest.raises(lithify.RequestError, match="name of a file"):
        lithify.convert({"a\\b": np.arange(3)}, out, {"a\\b": None})
    lithify.convert({"a\\b": np.arange(3)}, out, {"a\\b": {"rename": "c"}})
    assert_output(out, {"c": np.arange(3)})


def test_odd_values(out):
    lithify.convert({"a": np.arange(3)}, out, {"a": {"rename": 'x "y" = é'}})
    assert_output(out, {'x "y" = é': np.arange(3)})


def test_options(out):
    lithify.convert(TWO, out, threads=1, memory="64MB", sync=None, no_sync=True)
    lithify.convert(TWO, out, overwrite=True, memory=64_000_000)
    assert_output(out, TWO)
    lithify.convert(TWO, out, store="zarr", overwrite=True)
    assert not list(out.glob("*.npy"))


def test_plan_and_scan(out):
    source = {"a": np.ones((5, 3), np.float32), "b": np.arange(5)}
    plan = lithify.plan(source, out)
    assert plan.elements == 5 and plan.bytes >= sum(array["bytes"] for array in plan.arrays) and not out.exists()
    assert [(array["file"], array["shape"]) for array in plan.arrays] == [("a.npy", [5, 3]), ("b.npy", [5])]
    profile = lithify.scan(ROWS)
    assert profile.elements == 4 and profile.features["array"]["lengths"]["max"] == 4
    for facts in (plan, profile):
        assert "<table>" in facts._repr_html_() and str(facts) and facts.to_dict()["elements"] == facts.elements
