"""Arrays, generators and whatever else can be iterated over: what comes is what `np.array` gives."""

import itertools
import time

import lithify
import ml_dtypes
import numpy as np
import pytest

from outputs import assert_npy, assert_output, assert_ragged, files_of, padded

RNG = np.random.default_rng(1)
BASE = RNG.integers(0, 100, (60, 4)).astype(np.int32)
ARRAYS = {
    "c": BASE,
    "fortran": np.asfortranarray(BASE),
    "strided": BASE[::3, ::2],
    "reversed": BASE[::-1],
    "big endian": BASE.astype(">i4"),
    "scalars": BASE[:, 0],
    "axes": RNG.random((30, 2, 3, 4)),
    "bool": BASE > 50,
    "half": BASE.astype(np.float16),
    "complex": BASE * 1j,
    "big endian complex": (BASE * 1j).astype(">c16"),
    "bfloat16": BASE.astype(ml_dtypes.bfloat16),
    "one row": BASE[:1],
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("how", ["array", "dict", "rows", "row generator"])
def test_arrays(name, how, out):
    array = ARRAYS[name]
    source = {"array": array, "dict": {"array": array}, "rows": list(array), "row generator": iter(array)}[how]
    lithify.convert(source, out)
    assert_output(out, {"array": array.astype(array.dtype.newbyteorder("="))})


def test_a_mapped_file(tmp_path, out):
    np.save(tmp_path / "a.npy", BASE)
    lithify.convert(np.load(tmp_path / "a.npy", mmap_mode="r")[5:], out)
    assert_output(out, {"array": BASE[5:]})


@pytest.mark.parametrize("each", [False, True])
def test_structured_arrays_have_a_feature_for_each_field(each, out):
    array = np.zeros(20, [("a", "i4"), ("b", ">f8", 3), ("c", [("d", "u1")])])
    array["a"], array["b"], array["c"]["d"] = np.arange(20), RNG.random((20, 3)), 7
    lithify.convert(list(array) if each else array, out)
    assert_output(out, {"a": array["a"], "b": array["b"].astype(np.float64), "c/d": array["c"]["d"]})


def test_points_in_time_are_integers(out):
    array = np.arange("2020-01-01", "2020-02-01", dtype="datetime64[D]")
    lithify.convert({"when": array, "how long": array - array[0]}, out)
    assert_output(out, {"when": array.view(np.int64), "how long": (array - array[0]).view(np.int64)})


@pytest.mark.parametrize("dtype", ["S", "U", object])
@pytest.mark.parametrize("each", [False, True])
def test_arrays_of_strings(dtype, each, out):
    words = ["ab", "", "é", "xyz"] if dtype != "S" else [b"ab", b"", b"c", b"xyz"]
    array = np.array(words, dtype)
    lithify.convert({"x": array} if not each else [{"x": word} for word in array], out)
    assert_output(out, {"x": np.array([word if dtype == "S" else word.encode() for word in words])})


SCALARS = {
    "ints": [3, -1, 2**62],
    "floats": [0.5, -0.0, np.inf],
    "bools": [True, False, True],
    "complex": [1j, 2 + 0j],
    "np.int16": [np.int16(3), np.int16(-4)],
    "np.float32": [np.float32(0.1), np.float32(2)],
    "np.float64": [np.float64(0.1), np.float64(2)],
    "np.bool": [np.True_, np.False_],
    "np.complex64": [np.complex64(1j)],
    "arrays of no axis": [np.array(3, np.uint8), np.array(4, np.uint8)],
    "lists": [[1, 2], [3, 4]],
    "lists in lists": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
    "lists of np scalars": [[np.uint8(1), np.uint8(2)]],
    "lists of lists of floats": [[[0.5], [1.5]]],
    "large unsigned": [np.uint64(2**64 - 1)],
}


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("make", [list, iter, tuple], ids=["list", "iterator", "tuple"])
def test_elements(name, make, out):
    lithify.convert(make(SCALARS[name]), out)
    assert_output(out, {"array": np.array(SCALARS[name])})


@pytest.mark.parametrize("numbers", [[1, 2.5, 3], [True, 2], [[1, 2], [0.5, 4]], [2, 1j], [1, np.float32(2)]], ids=str)
def test_a_list_of_numbers_of_two_kinds(numbers, out):
    lithify.convert(numbers, out)
    assert_output(out, {"array": np.array(numbers)})


def test_lists_that_are_batches(out):
    lithify.convert([[1, 2], [3]], out, batched=True)
    assert_output(out, {"array": np.array([1, 2, 3])})


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_lists_of_strings(make, out):
    rows = [["a", "é"], [], [b"xyz", "0" * 50]]
    found = lithify.convert(make([{"x": row} for row in rows]), out, "x: ragged")["x"]
    texts = [[one if isinstance(one, bytes) else one.encode() for one in row] for row in rows]
    assert [list(row) for row in found] == texts


def test_ranges_iterables_and_functions(out):
    class Rows:
        def __len__(self):
            return 7

        def __getitem__(self, at):
            return {"x": at}

    sources = [range(7), {"x": range(7)}, (n for n in range(7)), lambda: iter(range(7)), map(int, "0123456"), Rows()]
    for number, source in enumerate(sources):
        found = lithify.convert(source, out.with_name(f"{number}"))
        assert [array.tolist() for array in found.values()] == [list(range(7))]


def test_a_length_that_is_a_hint(out):
    """What has no items by number need not have as many as it says: chunks are not made for those."""

    class Rows:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter(range(1000))

    found = lithify.convert(Rows(), out.with_suffix(".zarr"), chunk=(100,))
    assert found["array"][:].tolist() == list(range(1000)) and found["array"].chunks == (100,)
    assert lithify.convert(Rows(), out.with_name("other.zarr"))["array"].chunks[0] >= 1000


def test_batches(out):
    batches = [{"x": BASE[:7], "y": [1.5] * 7}, {"x": BASE[7:9], "y": [2.5] * 2}, {"x": BASE[9:10], "y": [0.5]}]
    lithify.convert(iter(batches), out, batched=True)
    assert_output(out, {"x": BASE[:10], "y": np.array([1.5] * 7 + [2.5] * 2 + [0.5])})


# --- As many as it takes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4095, 4096, 4097, 65535, 65536, 65537, 200_000])
@pytest.mark.parametrize("make", [range, lambda count: iter(range(count)), np.arange], ids=["range", "iterator", "array"])
def test_many_elements(count, make, out):
    lithify.convert(make(count), out.with_suffix(".npy"))
    assert_npy(out.with_suffix(".npy"), np.arange(count))


@pytest.mark.parametrize("again", [False, True])
def test_rows_of_thirty_megabytes(again, out):
    rows = lambda: (np.full(1000, at, np.float64) + np.arange(1000) for at in range(3750))
    lithify.convert(rows if again else rows(), out.with_suffix(".npy"))
    assert_npy(out.with_suffix(".npy"), np.add.outer(np.arange(3750.0), np.arange(1000.0)))


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_large_elements(make, out):
    rows = [RNG.integers(0, 256, 1_500_000 + at, np.uint8) for at in range(8)]
    assert_ragged(lithify.convert(make(rows), out, ragged=True)["array"], rows)


def test_one_buffer_for_all_elements(out):
    buffer = np.zeros(50)

    def elements():
        for at in range(10_000):
            buffer[:] = at
            yield buffer

    lithify.convert(elements(), out.with_suffix(".npy"))
    assert_npy(out.with_suffix(".npy"), np.repeat(np.arange(10_000.0), 50).reshape(-1, 50))


def test_a_list_that_is_filled_anew(out):
    def elements():
        row = [0, 0]
        for at in range(5000):
            row[0] = at
            yield row

    lithify.convert(elements(), out.with_suffix(".npy"))
    assert_npy(out.with_suffix(".npy"), np.stack([np.arange(5000), np.zeros(5000, int)], 1))


# --- One pass, two, and over the disk ---------------------------------------------------------------------------------


DIFFERING = {
    "lengths": [list(range(at % 7)) for at in range(3000)],
    "an empty first": [[], [1, 2], [3]],
    "one": [[1, 2, 3]],
    "late": [[at, at] for at in range(5000)] + [[1, 2, 3]] + [[at] for at in range(5000)],
    "axes": [np.full((at % 3 + 1, at % 2 + 2), at) for at in range(300)],
    "strings": [{"x": "é" * (at % 50)} for at in range(300)],
    "missing": [{"x": [at] * (at % 3)} if at % 2 == 0 else {} for at in range(300)],
    "none": [{"x": [at] * (at % 3) if at % 2 else None} for at in range(300)],
    "missing at first": [{}, {"x": [1, 2]}, {}, {"x": [3]}],
    "a feature that comes late": [{"x": [1, 2], **({"y": [at]} if at > 5 else {})} for at in range(10)],
    "features": [{"x": [1] * (at % 3), "y": at, "z": {"a": np.float32(at)}} for at in range(300)],
}


@pytest.mark.parametrize("spec", ["ragged", "pad=max lengths=yes"])
@pytest.mark.parametrize("name", DIFFERING)
def test_however_it_is_read_the_files_are_the_same(name, spec, out):
    rows = DIFFERING[name]
    if name == "strings" and spec != "ragged":
        spec = "dtype=S200"
    if "missing" in name or name == "none" or "late" in name and isinstance(rows[0], dict):
        spec += "" if spec == "ragged" else " default=0"
    features = [f"x: {spec}"] + (["y: ragged"] if name == "a feature that comes late" else [])
    features = [f"array: {spec}"] if not isinstance(rows[0], dict) else features
    sources = {
        "list": rows, "iterator": iter(rows), "function": lambda: iter(rows), "generator": (row for row in rows)}
    ways = {way: files_of(lithify_into(source, out.with_name(way), features)) for way, source in sources.items()}
    assert len(ways["list"]) >= 1
    assert all(found == ways["list"] for found in ways.values()), {way: sorted(found) for way, found in ways.items()}
    found = lithify.open(out.with_name("list"))
    if spec == "ragged" and not isinstance(rows[0], dict):
        assert_ragged(found["array"], rows)
    if spec != "ragged" and isinstance(rows[0], list):
        np.testing.assert_array_equal(found["array"], padded(rows, dtype=np.int64))


def lithify_into(source, out, features):
    lithify.convert(source, out, features)
    return out


@pytest.mark.parametrize("times", range(3))
def test_elements_that_come_slowly_and_turn_out_to_differ(times, out):
    """The iteration is begun anew while the one before still waits for its next element."""
    def elements():
        for at in range(8000):
            if at % 500 == 0:
                time.sleep(0.01)
            yield list(range(at % 3 if at > 5000 else 2))

    lithify.convert(elements, out.with_suffix(".npy"), pad="max")
    assert_npy(out.with_suffix(".npy"), padded(list(elements())))


@pytest.mark.parametrize("times", range(3))
def test_a_list_whose_lengths_differ_late(times, out):
    rows = [[at] * (2 if at < 40_000 else 3) for at in range(60_000)]
    lithify.convert(rows, out.with_suffix(".npy"), pad="max")
    assert_npy(out.with_suffix(".npy"), padded(rows))


def test_an_iterator_that_was_begun(out):
    iterator = iter(range(10))
    next(iterator)
    lithify.convert(itertools.islice(iterator, 5), out)
    assert_output(out, {"array": np.arange(1, 6)})
