"""What goes wrong: which exception it is, what it says, and that nothing is left of it."""

import re

import lithify
import numpy as np
import pytest
import tensorflow as tf

from outputs import assert_npy, assert_output, left_in


class Mine(Exception):
    """An exception of the user's own."""


def failing(at, make):
    for number in range(at):
        yield make(number)
    raise Mine(at)


MAKE = {
    "alike": lambda at: at,
    "ragged": lambda at: [at] * (at % 3),
    "strings": lambda at: {"x": "a" * (at % 60)},
    "two features": lambda at: {"x": at, "y": [at] * (at % 3)},
}


@pytest.mark.parametrize("at", [0, 1, 100, 10_000])
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("again", [False, True])
def test_what_a_generator_raises_is_raised_as_it_is(at, name, again, out):
    source = lambda: failing(at, MAKE[name])
    with pytest.raises(Mine) as caught:
        lithify.convert(source if again else source(), out, ragged=True if name == "ragged" else None)
    assert caught.value.args == (at,) and caught.traceback[-1].name == "failing"
    assert left_in(out.parent) == []


def test_what_making_an_iterator_raises(out):
    def source():
        raise Mine("at once")

    with pytest.raises(Mine, match="at once"):
        lithify.convert(source, out)
    assert left_in(out.parent) == []


@pytest.mark.parametrize("kind", [StopIteration, KeyboardInterrupt, SystemExit, TypeError, MemoryError])
def test_exceptions_of_python(kind, out):
    class Source:
        def __iter__(self):
            return self

        def __next__(self):
            raise kind("x")

    expected = lithify.DataError if kind is StopIteration else kind
    with pytest.raises(expected) as caught:
        lithify.convert(Source(), out)
    assert caught.type is expected and left_in(out.parent) == []


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_objects_that_no_array_can_hold(make, out):
    rows = [{"x": {"y": 1}} for _ in range(5000)] + [{"x": {"y": object()}}]
    with pytest.raises(lithify.DataError, match="object") as caught:
        lithify.convert(make(rows), out)
    assert (caught.value.element, caught.value.feature) == (5000, "x/y")
    assert left_in(out.parent) == []


REFUSED = {
    "a set": {"x": {1, 2}},
    "a list of lists of two lengths": {"x": [[1, 2], [3]]},
    "a long double": {"x": np.longdouble(1)},
    "an array of objects": {"x": np.array([None, 1], object)},
    "too large an integer": {"x": 2**64},
    "a function": {"x": len},
    "a text that is none": {"x": "\ud800"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_elements_that_are_refused(name, out):
    with pytest.raises(lithify.DataError) as caught:
        lithify.convert(iter([REFUSED[name]]), out)
    assert (caught.value.element, caught.value.feature) == (0, "x")
    assert left_in(out.parent) == []


def test_batches_that_are_none(out):
    for batch in ({"x": np.zeros(3), "y": np.zeros(4)}, np.float32(3), {"x": [[1], [1, 2]]}):
        with pytest.raises(lithify.DataError):
            lithify.convert(iter([batch]), out, batched=True)
    assert left_in(out.parent) == []


@pytest.mark.parametrize("rows", [(3, 5), (5, 3), (65536, 70_000), (70_000, 65536)], ids=str)
def test_arrays_of_as_many_rows(rows, out):
    with pytest.raises(lithify.Error, match="rows"):
        lithify.convert({name: np.arange(count) for name, count in zip("xy", rows)}, out)
    assert left_in(out.parent) == []


def test_what_was_left_out_is_said(out):
    with pytest.warns(UserWarning, match="1 elements were left out"):
        found = lithify.convert([1, 300, 5], out, dtype="uint8", on_error="skip")
    assert found["array"].tolist() == [1, 5] and "1 were left out" in repr(found)


def test_texts_that_are_taken_for_paths(out):
    with pytest.raises(lithify.RequestError) as caught:
        lithify.convert(["the cat sat", "on the mat"], out)
    assert "text" in caught.value.hints[0]
    texts = lithify.convert({"text": ["the cat sat", "on the mat"]}, out)["text"]
    assert texts.tolist() == [b"the cat sat", b"on the mat"]


def test_a_mistyped_option(out):
    with pytest.raises(lithify.RequestError, match="there is no `ovrwrite`") as caught:
        lithify.convert([1], out, ovrwrite=True)
    assert caught.value.hints == ["did you mean `overwrite=True`?"]


def test_no_features_at_all(out):
    with pytest.raises(lithify.RequestError, match="no feature is named"):
        lithify.convert({"x": [1]}, out, [])
    found = lithify.convert({"x": [1], "y": [2]}, out, {"*": None, "x": False})
    assert list(found) == ["y"]


def test_a_name_with_control_characters(out):
    with pytest.raises(lithify.DataError, match="control characters") as caught:
        lithify.convert([{"a\tb": 1}], out)
    assert "tf.train" not in str(caught.value)


def test_hints_on_memory_are_enough(out):
    for source in (lambda: (np.ones(1000) for _ in range(100)), [np.ones(3_000_000, np.float32)] * 2):
        memory = "24MiB"
        for _ in range(3):
            try:
                lithify.convert(source, out, memory=memory, overwrite=True)
                break
            except lithify.ResourcesError as error:
                memory = re.search('`memory="([0-9]+MiB)"`', error.hints[0])[1]
        else:
            raise AssertionError(f"{memory} is not enough either")


def test_a_dict_of_lists_of_which_one_is_shorter_is_refused(out):
    with pytest.raises(lithify.RequestError, match="not the same number of rows"):
        lithify.convert({"x": [[1, 2], [3]], "y": [1]}, out)


@pytest.mark.parametrize("source", [[], (), iter([]), np.zeros((0, 3)), {"x": np.zeros(0)}, {}, lambda: iter([])], ids=repr)
def test_sources_without_elements(source, out):
    with pytest.raises(lithify.Error):
        lithify.convert(source, out)
    assert left_in(out.parent) == []


@pytest.mark.parametrize("source", [3, None, np.float32(3), object()], ids=repr)
def test_what_is_no_source(source, out):
    with pytest.raises(lithify.RequestError):
        lithify.convert(source, out)


# --- Files ------------------------------------------------------------------------------------------------------------


def write(path, count):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for at in range(count):
            value = tf.train.Feature(int64_list=tf.train.Int64List(value=[at]))
            writer.write(tf.train.Example(features=tf.train.Features(feature={"x": value})).SerializeToString())
    return path


def test_a_damaged_record(tmp_path, out):
    path = write(tmp_path / "a.tfrecord", 10)
    data = bytearray(path.read_bytes())
    size = len(data) // 10
    data[7 * size + 14] ^= 1
    path.write_bytes(data)
    with pytest.raises(lithify.DataError) as caught:
        lithify.convert(path, out)
    error = caught.value
    assert (error.file, error.element, error.offset) == (str(path), 7, 7 * size)
    assert error.hints and error.hints[0] in str(error)
    assert left_in(out.parent) == []
    arrays = lithify.convert(path, out, on_error="skip")
    assert len(arrays.skipped) == 1
    assert_output(out, {"x": np.delete(np.arange(10), 7)})


def test_files_that_are_not_there(tmp_path, out):
    for paths in (tmp_path / "nothing", str(tmp_path / "no*.tfrecord"), [tmp_path / "a", tmp_path / "b"]):
        with pytest.raises(lithify.Error):
            lithify.convert(paths, out)


def test_names_of_files_that_look_like_options(tmp_path, out, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("-a.npy", np.arange(3))
    lithify.convert("-a.npy", out.with_suffix(".npy"))
    assert_npy(out.with_suffix(".npy"), np.arange(3))
    lithify.convert([1, 2], "-o")
    assert_npy(tmp_path / "-o" / "array.npy", np.array([1, 2]))


# --- Requests ---------------------------------------------------------------------------------------------------------

BAD = {
    "an unknown option": dict(no_such=1),
    "an unknown key": dict(features={"array": {"no_such": 1}}),
    "an unknown key in a text": dict(features="array: no_such=1"),
    "a bad value": dict(pad="wide"),
    "a bad dtype": dict(dtype="int33"),
    "a bad size": dict(memory="much"),
    "an unknown feature": dict(features=["x"]),
    "a feature twice": dict(features=["array: pad=3", "array: pad=4"]),
    "help": dict(help=True),
    "limit": dict(limit=2),
    "select": dict(select="array < 3"),
    "shuffle": dict(shuffle=1),
    "split": dict(split="a=0.5,b=0.5"),
    "zip": dict(zip="x.npy"),
    "from": dict(from_="npy"),
    "no text and no dict": dict(features={"array": 3}),
}


@pytest.mark.parametrize("name", BAD)
def test_requests_that_are_refused(name, out):
    with pytest.raises(lithify.RequestError) as caught:
        lithify.convert([1, 2, 3], out, **BAD[name])
    assert isinstance(caught.value, ValueError) and str(caught.value)
    assert left_in(out.parent) == []


def test_an_unknown_feature_is_named(out):
    with pytest.raises(lithify.RequestError, match="label") as caught:
        lithify.convert({"label": [1]}, out, {"lable": None})
    assert caught.value.hints


def test_hints_are_said_as_arguments(out):
    lithify.convert([1, 2], out)
    with pytest.raises(lithify.OutputError) as caught:
        lithify.convert([1, 2], out)
    assert any("`overwrite=True`" in hint for hint in caught.value.hints)
    with pytest.raises(lithify.ResourcesError) as caught:
        lithify.convert(np.zeros((4, 1 << 22)), out.with_name("other"), memory="2MB")
    assert any(re.search('`memory="[0-9]+MiB"`', hint) for hint in caught.value.hints)
    with pytest.raises(lithify.RequestError) as caught:
        lithify.convert({"a": [1], "b": [2]}, out.with_name("x.npy"))
    assert caught.value.hints and not any("--" in hint for hint in caught.value.hints)


@pytest.mark.parametrize("ragged", [False, True])
def test_a_later_element_that_takes_more_than_the_budget(ragged, out):
    """Whatever the first is like."""

    def elements():
        yield np.zeros(3)
        yield np.zeros(1 << 22)

    with pytest.raises(lithify.ResourcesError, match="element 1") as caught:
        lithify.convert(elements(), out, "array: ragged" if ragged else None, memory="64MiB")
    assert caught.value.element == 1 and left_in(out.parent) == []


def test_a_family_of_exceptions():
    kinds = [lithify.DataError, lithify.RequestError, lithify.ResourcesError, lithify.IOFailure, lithify.OutputError]
    assert all(issubclass(kind, lithify.Error) for kind in kinds)


@pytest.mark.parametrize("source", ["list", "generator", "ragged"])
@pytest.mark.parametrize("ending", ["", ".npy", ".zarr"])
def test_outputs_that_are_there(source, ending, out):
    path = out.with_name("out" + ending)
    make = {"list": lambda: [1, 2], "generator": lambda: iter([1, 2]), "ragged": lambda: iter([[1], [1, 2]])}[source]
    words = {"pad": "max"} if source == "ragged" else {}
    lithify.convert([7, 8, 9], path)
    with pytest.raises(lithify.OutputError, match="exists|there"):
        lithify.convert(make(), path, **words)
    assert next(iter(lithify.open(path).values()))[:].tolist() == [7, 8, 9]
    lithify.convert(make(), path, **words, overwrite=True)
    assert next(iter(lithify.open(path).values()))[:].tolist() == ([1, 2] if not words else [[1, 0], [1, 2]])


def test_what_fails_leaves_what_was_there(out):
    lithify.convert([7, 8, 9], out)
    before = left_in(out.parent)
    with pytest.raises(Mine):
        lithify.convert(failing(100, lambda at: at), out, overwrite=True)
    assert left_in(out.parent) == before and lithify.open(out)["array"].tolist() == [7, 8, 9]


def test_too_little_memory(out):
    with pytest.raises(lithify.ResourcesError):
        lithify.convert([1, 2], out, memory="1MB")
    assert left_in(out.parent) == []


def test_a_place_where_nothing_can_be_written(out):
    out.write_text("a file")
    with pytest.raises(lithify.Error):
        lithify.convert([1, 2], out / "below")


def test_a_generator_is_not_used_up_for_nothing(out):
    """What is wrong with the request is said before hours of a pipeline have passed."""
    given = 0

    def rows():
        nonlocal given
        for given in range(8000):
            yield {"x": "a" * (16_000 + given % 70)}

    lithify.convert([1], out)
    with pytest.raises(lithify.OutputError):
        lithify.convert(rows(), out)
    assert given < 4000


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, RuntimeError])
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"x": one}], ids=["itself", "list", "dict"])
def test_what_an_object_raises_that_becomes_an_array(kind, wrap, out):
    class Bad:
        def __array__(self, *_, **__):
            raise kind("x")

    with pytest.raises(kind):
        lithify.convert(iter([wrap(Bad())]), out)
    assert left_in(out.parent) == []
