"""Objects of other libraries, and names: what stands for a dataset, and what must not be taken for one."""

import collections

import lithify
import numpy as np
import pytest
import tensorflow as tf

from outputs import PEAK, assert_output, assert_ragged, left_in, run

X, Y = np.arange(12).reshape(6, 2), np.arange(6) * 0.5


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr")


def test_files_of_several_arrays(tmp_path, out):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    lithify.convert(np.load(tmp_path / "a.npz"), out)
    assert_output(out, {"x": X, "y": Y})


@pytest.mark.parametrize("make", [collections.OrderedDict, collections.UserDict, collections.ChainMap], ids=lambda make: make.__name__)
def test_mappings(make, out):
    lithify.convert(make({"x": X, "y": Y}), out)
    assert_output(out, {"x": X, "y": Y})


def test_mappings_in_elements(out):
    lithify.convert([collections.UserDict(x=1, y=collections.OrderedDict(z=2))] * 3, out)
    assert_output(out, {"x": np.ones(3, int), "y/z": np.full(3, 2)})


@pytest.mark.parametrize("ending", ["", ".zarr"])
def test_what_was_opened(ending, tmp_path, out, request):
    if ending:
        request.getfixturevalue("zarr")
    lithify.convert({"x": X, "y": Y}, tmp_path / f"first{ending}")
    lithify.convert(lithify.open(tmp_path / f"first{ending}"), out)
    assert_output(out, {"x": X, "y": Y})


def test_what_was_opened_and_is_ragged(tmp_path, out):
    rows = [[1, 2], [], [3]]
    lithify.convert(lithify.convert(rows, tmp_path / "first", ragged=True)["array"], out, ragged=True)
    assert_ragged(lithify.open(out)["array"], rows)


def test_rows_of_what_was_opened(tmp_path, out):
    lithify.convert({"x": X, "y": Y}, tmp_path / "first")
    lithify.convert(lithify.Dataset(tmp_path / "first"), out)
    assert_output(out, {"x": X, "y": Y})


def test_zarr_arrays(zarr, tmp_path, out):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group["x"] = X
    group["y"] = Y
    for number, (source, expected) in enumerate([
        (group["x"], {"array": X}), ({"x": group["x"], "y": group["y"]}, {"x": X, "y": Y}),
    ]):
        lithify.convert(source, out.with_name(f"{number}"))
        assert_output(out.with_name(f"{number}"), expected)


def test_a_mapping_of_zarr_arrays_is_not_read_at_once(tmp_path, out):
    pytest.importorskip("zarr")
    grown = run(PEAK + """
import sys, lithify, numpy as np, zarr
big = zarr.create_array(sys.argv[1], shape=(40000, 1000), chunks=(500, 1000), dtype="f8")
for at in range(0, 40000, 500):
    big[at : at + 500] = at
lithify.convert({"x": big[:500]}, sys.argv[2] + "-first")
before = peak()
lithify.convert({"x": big}, sys.argv[2], memory="64MB", no_sync=True)
print(peak() - before)
""", tmp_path / "big.zarr", out)
    assert int(grown) < 80_000_000


def test_tensors(out):
    sources = [(tf.constant(X), "array"), ({"x": tf.constant(X)}, "x"), ([tf.constant(x) for x in X], "array")]
    for number, (source, name) in enumerate(sources):
        lithify.convert(source, out.with_name(f"{number}"))
        assert_output(out.with_name(f"{number}"), {name: X})


def test_ragged_tensors(out):
    rows = [[1, 2], [], [3]]
    ragged = tf.ragged.constant(rows, tf.int64)
    for number, source in enumerate([ragged, {"array": ragged}]):
        found = lithify.convert(source, out.with_name(f"{number}"), ragged=True)
        assert_ragged(found["array"], rows)


def test_tables_are_taken_by_rows_or_refused(out):
    pandas = pytest.importorskip("pandas")
    try:
        lithify.convert(pandas.DataFrame({"x": Y, "y": Y}), out)
    except lithify.RequestError:
        return
    assert_output(out, {"x": Y, "y": Y})


def test_tables_of_arrow_are_taken_by_rows_or_refused(out):
    pyarrow = pytest.importorskip("pyarrow")
    try:
        lithify.convert(pyarrow.table({"x": Y, "y": Y}), out)
    except lithify.RequestError:
        return
    assert_output(out, {"x": Y, "y": Y})


def test_masked_arrays_are_refused_if_anything_is_masked(out):
    """What is below a mask is no data."""
    with pytest.raises(lithify.Error):
        lithify.convert([np.ma.array([1, 2], mask=[False, True])], out)


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_the_order_of_features_does_not_matter(make, out):
    lithify.convert(make([{"x": 1, "y": 0.5}, {"y": 1.5, "x": 2}] * 3000), out)
    assert_output(out, {"x": np.tile([1, 2], 3000), "y": np.tile([0.5, 1.5], 3000)})


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_the_order_of_features_of_batches_does_not_matter(make, out):
    lithify.convert(make([{"x": X[:3], "y": Y[:3]}, {"y": Y[3:], "x": X[3:]}]), out, batched=True)
    assert_output(out, {"x": X, "y": Y})


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
@pytest.mark.parametrize("element", [{"a": {"b": 1}, "a/b": 2}, {1: 1, "1": 2}], ids=str)
def test_two_features_of_one_name_are_refused(make, element, out):
    with pytest.raises(lithify.Error):
        lithify.convert(make([element] * 3), out)
    assert left_in(out.parent) == []


@pytest.mark.parametrize("source", [{"a": {"b": Y}, "a/b": Y}, {1: Y, "1": X}], ids=["nested", "number"])
def test_two_arrays_of_one_name_are_refused(source, out):
    with pytest.raises(lithify.Error):
        lithify.convert(source, out)


def test_a_dict_of_lists_that_differ(out):
    found = lithify.convert({"x": [[1, 2], [3], []], "y": {"z": [1, 2, 3]}}, out)
    assert [row.tolist() for row in found["x"]] == [[1, 2], [3], []] and found["y/z"].tolist() == [1, 2, 3]


def test_a_tuple_of_arrays_has_features(out):
    """As `tf.data.Dataset.from_tensor_slices` takes it."""
    lithify.convert((X, Y), out)
    assert_output(out, {"0": X, "1": Y})


def test_tables(out):
    """What pandas marks as missing is a feature that is missing; integers stay integers."""
    import pandas

    frame = pandas.DataFrame(
        {
            "id": pandas.array([2**53 + 1, None, 3], dtype="Int64"),
            "text": ["x", None, "é"],
            "rows": [[1, 2], [3], []],
            "real": [1.5, float("nan"), 2.5],
            "when": pandas.to_datetime(["2020-01-01 12:00", "2020-01-02", "2020-01-03"], format="mixed").tz_localize("Europe/Berlin"),
            "kind": pandas.Categorical(["a", "b", "a"]),
        }
    )
    words = {"*": None, "id": "default=-1 present", "text": "default=? dtype=S2", "rows": "ragged"}
    found = lithify.convert(frame, out, words)
    assert found["id"].tolist() == [2**53 + 1, -1, 3] and found["id.present"].tolist() == [True, False, True]
    assert found["text"].tolist() == [b"x", b"?", "é".encode()]
    assert [row.tolist() for row in found["rows"]] == [[1, 2], [3], []]
    np.testing.assert_array_equal(found["real"], frame["real"])
    utc = frame["when"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    assert found["when"].tolist() == utc.astype(np.int64).tolist()
    assert found["kind"].tolist() == [b"a", b"b", b"a"]
    frame.columns = ["a", "b", "a", "c", "d", "e"]
    with pytest.raises(lithify.RequestError, match="`a`"):
        lithify.convert(frame, out.with_name("other"))
    whole = pandas.DataFrame({"x": np.arange(5, dtype=np.int16), "y": list("abcde")})
    assert lithify.convert(whole, out.with_name("whole"))["x"].dtype == np.int16


def test_points_in_time(out):
    import datetime

    days = [datetime.date(2020, 1, day) for day in (1, 2)]
    times = [datetime.datetime(2020, 1, 1, 12), datetime.datetime(2020, 1, 1, 13, tzinfo=datetime.timezone.utc)]
    found = lithify.convert([{"day": day, "time": time, "raw": bytearray(b"x")} for day, time in zip(days, times)], out)
    assert found["time"][:].view("M8[us]").tolist() == [time.replace(tzinfo=None) for time in times]
    assert found["day"][:].view("M8[us]").astype("M8[D]").tolist() == days and found["raw"].tolist() == [b"x"] * 2


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_numbers_of_two_kinds_are_refused(make, out):
    for rows in ([1, 2.5], [np.int32(1), np.int64(2)], [1] * 5000 + [1.5]):
        with pytest.raises(lithify.DataError, match="holds") as caught:
            lithify.convert(make([{"x": row} for row in rows]), out)
        assert caught.value.feature == "x" and caught.value.element == len(rows) - 1
    assert left_in(out.parent) == []
