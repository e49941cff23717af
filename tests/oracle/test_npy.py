"""Arrays as datasets: `.npy` files and folders of them, `.npz` files, and what lithify itself has written."""

import os
from pathlib import Path

import numpy as np
import pytest

from oracle import FAILED, assert_npy, convert, run, scan

DATA = Path(os.environ.get("LITHIFY_TEST_DATA", "")) / "npy"
DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
RNG = np.random.default_rng(7)


def numbers(dtype, shape):
    """Any bits at all, but for booleans."""
    if dtype == "?":
        return RNG.integers(0, 2, shape).astype(bool)
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(RNG.bytes(count), dtype).reshape(shape)


def native(array):
    """The array as lithify writes it: in C order, little-endian."""
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (5, 3), (4, 2, 3), (3, 0), (2, 1, 1, 2)])
def test_rows_are_elements(tmp_path, dtype, shape):
    for order in "<>":
        for layout in "CF":
            stored = np.array(numbers(dtype, shape).astype(np.dtype(dtype).newbyteorder(order)), order=layout)
            np.save(tmp_path / "x.npy", stored)
            run("convert", tmp_path / "x.npy", "-o", tmp_path / "out.npy", "--overwrite", "-q")
            assert_npy(tmp_path / "out.npy", native(stored))


@pytest.mark.parametrize("rows", [1, 1000, 300_000])
def test_many_rows_are_written_in_runs(tmp_path, rows):
    array = RNG.integers(0, 1000, (rows, 3), np.int32)
    np.save(tmp_path / "x.npy", np.asfortranarray(array))
    for options in [(), ("--threads", 1), ("--io", "mapped")]:
        run("convert", tmp_path / "x.npy", "-o", tmp_path / "out.npy", "--overwrite", "-q", *options)
        assert_npy(tmp_path / "out.npy", array)
    # A cast takes them one by one.
    run("convert", tmp_path / "x.npy", "-o", tmp_path / "out.npy", "--overwrite", "-q", "--feature", "x", "--dtype", "float64")
    assert_npy(tmp_path / "out.npy", array.astype("f8"))
    assert scan(tmp_path / "x.npy")["elements"] == rows


def test_files_follow_one_another(tmp_path):
    arrays = [RNG.normal(size=(rows, 4)) for rows in (3, 0, 5, 1)]
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
    run("convert", *[tmp_path / f"{number}.npy" for number in range(4)], "-o", tmp_path / "out.npy", "-q")
    assert_npy(tmp_path / "out.npy", np.concatenate(arrays))


def test_a_folder_has_an_element_a_file(tmp_path):
    arrays = [RNG.integers(0, 255, (height, 5), np.uint8) for height in (3, 1, 4)]
    (tmp_path / "in" / "b").mkdir(parents=True)
    for name, array in zip(["a.npy", "b/a.npy", "c.npy"], arrays):
        np.save(tmp_path / "in" / name, array)
    convert(tmp_path / "in", tmp_path / "out", "array: pad=max value=9")
    padded = np.full((3, 4, 5), 9, np.uint8)
    for row, array in zip(padded, arrays):
        row[: len(array)] = array
    assert_npy(tmp_path / "out" / "array.npy", padded)
    assert_npy(tmp_path / "out" / "array.lengths.npy", np.array([[3, 5], [1, 5], [4, 5]]))
    convert(tmp_path / "in", tmp_path / "sized", "array: resize=2x2")
    assert np.load(tmp_path / "sized" / "array.npy").shape[:3] == (3, 2, 2)


def test_the_seed_of_it_all(tmp_path):
    """A 2 x 2 and a 3 x 3 array become one of 2 x 3 x 3."""
    arrays = [np.arange(4, dtype="f4").reshape(2, 2), np.arange(9, dtype="f4").reshape(3, 3)]
    (tmp_path / "in").mkdir()
    for number, array in enumerate(arrays):
        np.save(tmp_path / "in" / f"{number}.npy", array)
    run("convert", tmp_path / "in", "-o", tmp_path / "out.npy", "--feature", "array", "--pad", "max", "-q")
    wanted = np.zeros((2, 3, 3), "f4")
    wanted[0, :2, :2], wanted[1] = arrays
    assert_npy(tmp_path / "out.npy", wanted)


def test_strings_lose_what_fills_them_up(tmp_path):
    texts = np.array([["ab", "zwölf"], ["", "日本"]])
    np.save(tmp_path / "t.npy", texts)
    run("convert", tmp_path / "t.npy", "-o", tmp_path / "out.npy", "-q")
    assert_npy(tmp_path / "out.npy", np.char.encode(texts, "utf-8"))
    np.save(tmp_path / "t.npy", texts.astype(">U9"))
    run("convert", tmp_path / "t.npy", "-o", tmp_path / "out.npy", "-q", "--overwrite")
    assert_npy(tmp_path / "out.npy", np.char.encode(texts, "utf-8"))
    strings = np.array([b"a", b"", b"b\0c", b"long enough"])
    np.save(tmp_path / "s.npy", strings)
    run("convert", tmp_path / "s.npy", "-o", tmp_path / "out.npy", "-q", "--overwrite")
    assert_npy(tmp_path / "out.npy", strings)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_members_of_an_npz_are_features(tmp_path, save):
    arrays = {
        "x": RNG.normal(size=(700, 30)).astype("f4"),
        "y": np.arange(700),
        "name": np.array([f"n{number % 13}" for number in range(700)]),
        "big": RNG.integers(0, 9, (700, 2)).astype(">i2"),
    }
    save(tmp_path / "a.npz", **arrays)
    for threads in (1, 3):
        convert(tmp_path / "a.npz", tmp_path / f"out{threads}", options=("--threads", threads))
        for name, array in arrays.items():
            wanted = np.char.encode(array, "utf-8") if array.dtype.kind == "U" else native(array)
            assert_npy(tmp_path / f"out{threads}" / f"{name}.npy", wanted)
    save(tmp_path / "b.npz", x=arrays["x"], y=np.arange(3))
    refused = run("convert", tmp_path / "b.npz", "-o", tmp_path / "no", code=FAILED)
    assert "`y` has 3 rows, and `x` has 700" in refused.stderr


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_episodes_in_npz_files_are_elements(tmp_path, save):
    """With steps of any number, scalars, a text, an array of Fortran's order, and a member that one file lacks."""
    (tmp_path / "in" / "more").mkdir(parents=True)
    steps = [5, 1, 0, 300]
    episodes = [
        {
            "action": RNG.normal(size=(count, 7)).astype("f4"),
            "frames": np.asfortranarray(RNG.integers(0, 255, (count, 4, 3), np.uint8)),
            "reward": np.float64(count / 3),
            "task": np.array(f"task {count}"),
        }
        for count in steps
    ]
    for name, episode in zip(["a", "b", "more/a", "z"], episodes):
        save(tmp_path / "in" / f"{name}.npz", **episode)
    refused = run("convert", tmp_path / "in", "-o", tmp_path / "no", code=FAILED)
    assert "--from npy-files" in refused.stderr
    options = ("--from", "npy-files", "--feature", "frames: pad=max", "--feature", "action: ragged")
    convert(tmp_path / "in", tmp_path / "out", "reward", "task: dtype=S", options=options)
    out = tmp_path / "out"
    assert_npy(out / "reward.npy", np.array([episode["reward"] for episode in episodes]))
    assert_npy(out / "task.npy", np.array([str(episode["task"]).encode() for episode in episodes]))
    assert_npy(out / "action.values.npy", np.concatenate([episode["action"] for episode in episodes]))
    assert_npy(out / "action.offsets.npy", np.cumsum([0, *steps]))
    frames = np.zeros((4, 300, 4, 3), np.uint8)
    for row, episode in zip(frames, episodes):
        row[: len(episode["frames"])] = episode["frames"]
    assert_npy(out / "frames.npy", frames)
    only = {name: array for name, array in episodes[0].items() if name != "reward"}
    save(tmp_path / "in" / "zz.npz", **only)
    options = ("--from", "npy-files", "--feature", "reward: default=-1")
    convert(tmp_path / "in", tmp_path / "lacking", options=options)
    assert np.load(tmp_path / "lacking" / "reward.npy")[-1] == -1


def test_an_output_is_a_dataset(tmp_path):
    """With arrays in folders, and again smaller."""
    np.savez(tmp_path / "a.npz", **{"obs/x": RNG.normal(size=(50, 4)), "y": np.arange(50)})
    convert(tmp_path / "a.npz", tmp_path / "one")
    convert(tmp_path / "one", tmp_path / "two", "obs/x: dtype=float32", "y")
    arrays = np.load(tmp_path / "a.npz")
    assert_npy(tmp_path / "two" / "obs" / "x.npy", arrays["obs/x"].astype("f4"))
    assert_npy(tmp_path / "two" / "y.npy", arrays["y"])


def test_what_is_no_array_is_refused(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}, []], object), allow_pickle=True)
    assert "never unpickled" in run("convert", tmp_path / "o.npy", "-o", tmp_path / "x.npy", code=FAILED).stderr
    np.save(tmp_path / "r.npy", np.zeros(3, [("a", "i4"), ("b", "f8")]))
    assert "structured" in run("convert", tmp_path / "r.npy", "-o", tmp_path / "x.npy", code=FAILED).stderr
    np.save(tmp_path / "z.npy", np.float32(1))
    assert "npy-files" in run("convert", tmp_path / "z.npy", "-o", tmp_path / "x.npy", code=FAILED).stderr
    np.save(tmp_path / "c.npy", np.zeros((100, 100)))
    os.truncate(tmp_path / "c.npy", 9000)
    assert "it is cut" in run("convert", tmp_path / "c.npy", "-o", tmp_path / "x.npy", code=FAILED).stderr
    assert not (tmp_path / "x.npy").exists()


@pytest.mark.skipif(not DATA.is_dir(), reason="LITHIFY_TEST_DATA is not set to a directory of test data")
def test_real_files(tmp_path):
    found = 0
    for path in sorted(DATA.rglob("*.np[yz]")):
        stored = np.load(path)
        arrays = {path.stem: stored} if path.suffix == ".npy" else dict(stored)
        if any(array.ndim == 0 for array in arrays.values()) or path.stem == "example_bool_bad_value":
            continue
        output = tmp_path / str(found)
        # What is deflated column by column gives no row before all of it is read.
        if path.suffix == ".npz" and any(array.ndim > 1 and array.flags.fnc for array in arrays.values()):
            assert "first axis varying fastest" in convert(path, output, code=FAILED).stderr
            continue
        convert(path, output)
        for name, array in arrays.items():
            assert_npy(output / f"{name}.npy", native(array))
        found += 1
    assert found > 20


@pytest.mark.skipif(not DATA.is_dir(), reason="LITHIFY_TEST_DATA is not set to a directory of test data")
def test_real_slices_are_padded_together(tmp_path):
    convert(DATA / "dali-mri-slices", tmp_path / "out", "array: pad=max")
    slices = [np.load(path) for path in sorted((DATA / "dali-mri-slices").rglob("*.npy"))]
    wanted = np.zeros((len(slices), *np.max([array.shape for array in slices], axis=0)), np.uint8)
    for row, array in zip(wanted, slices):
        row[: array.shape[0], : array.shape[1]] = array
    assert_npy(tmp_path / "out" / "array.npy", wanted)


def ragged_elements():
    """Elements of every way in which features can differ in length."""
    for number in range(500):
        element = {
            "tokens": RNG.integers(0, 1000, number % 7),
            "boxes": RNG.normal(size=(number % 4, 4)).astype(np.float32),
            "long": b"x" * (number * 37 % 600),
            "words": np.array([b"a" * (word + 1) for word in range(number % 3)], "S3"),
            "label": np.int64(number),
            "grid": RNG.normal(size=(number % 3, number % 5)),
        }
        yield element | ({"some": np.float64(number)} if number % 5 else {})


@pytest.mark.parametrize("ending", ["", ".zarr"])
def test_ragged_features_are_put_together_again(tmp_path, ending):
    import pyarrow as pa
    import pyarrow.parquet as pq

    elements = list(ragged_elements())
    column = lambda name: [element.get(name) for element in elements]
    pq.write_table(
        pa.table(
            {
                "tokens": [value.tolist() for value in column("tokens")],
                "boxes": pa.array([value.tolist() for value in column("boxes")], pa.list_(pa.list_(pa.float32(), 4))),
                "long": pa.array(column("long"), pa.binary()),
                "words": pa.array([value.tolist() for value in column("words")], pa.list_(pa.binary())),
                "label": column("label"),
                "some": column("some"),
                "grid": [value.tobytes() for value in column("grid")],
                "height": [len(value) for value in column("grid")],
                "width": [value.shape[1] for value in column("grid")],
            }
        ),
        tmp_path / "elements.parquet",
    )
    wanted = ["tokens: ragged", "boxes: ragged", "long: ragged", "words: ragged", "label", "some: ragged present"]
    grid = "grid: decode=raw:float64 reshape=height,width ragged"
    once, again = tmp_path / f"once{ending}", tmp_path / f"again{ending}"
    convert(tmp_path / "elements.parquet", once, *wanted, grid)
    wanted.append("grid: ragged")
    for options in [(), ("--threads", 1, "--memory", "40MiB")]:
        convert(once, again, *wanted, options=("--overwrite", *options))
        for file in sorted(path for path in once.rglob("*") if path.is_file() and path.name != "lithify.json"):
            assert file.read_bytes() == (again / file.relative_to(once)).read_bytes(), file
    padded = ["tokens: pad=max value=-1 dtype=int32", "boxes: pad=max", "long: dtype=S", "some: default=-1"]
    convert(tmp_path / "elements.parquet", tmp_path / "padded", *padded, grid.replace("ragged", "pad=max"))
    convert(once, tmp_path / "repadded", *padded, "grid: pad=max")
    for file in (tmp_path / "padded").glob("*.npy"):
        assert file.read_bytes() == (tmp_path / "repadded" / file.name).read_bytes(), file
    found = scan(once)
    assert found["elements"] == 500 and found["features"]["some"]["present"] == 400


def test_the_arrays_of_a_ragged_feature_alone(tmp_path):
    np.savez(tmp_path / "x.npz", label=np.arange(5))
    run("convert", tmp_path / "x.npz", "-o", tmp_path / "plain", "-q")
    values, offsets = np.arange(7.0), np.array([0, 2, 2, 5, 7, 7])
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [values[start:end].tolist() for start, end in zip(offsets, offsets[1:])]}), tmp_path / "x.parquet")
    run("convert", tmp_path / "x.parquet", "-o", tmp_path / "ragged", "-q")
    run("convert", tmp_path / "ragged", "-o", tmp_path / "values.npy", "-f", "x.values", "-q")
    assert_npy(tmp_path / "values.npy", values)
    # Offsets that are not in order are damage.
    for wrong in [[0, 2, 1, 5, 7, 7], [0, 2, 2, 5, 7, 8], [-1, 2, 2, 5, 7, 7]]:
        np.save(tmp_path / "ragged" / "x.offsets.npy", np.array(wrong))
        told = run("convert", tmp_path / "ragged", "-o", tmp_path / "out", "-q", code=FAILED).stderr
        assert "do not say where elements start and end" in told


def test_nothing_is_written_into_what_is_read(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(5), y=np.arange(5))
    run("convert", tmp_path / "x.npz", "-o", tmp_path / "out", "-q")
    told = run("convert", tmp_path / "out", "-o", tmp_path / "out/again", "-q", code=2).stderr
    assert "the output lies in" in told and not (tmp_path / "out/again").exists()
