"""Arrow and Parquet files, and directories of `datasets`, against what pyarrow, NumPy and `datasets` give.

What comes out is always compared with the column that pyarrow reads back from the same file."""

import io
import itertools
import json
import os
import wave
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Array2D, Array3D, ClassLabel, Dataset, DatasetDict, Features, Image, LargeList, List, Sequence, Value
from PIL import Image as Pillow

from oracle import FAILED, SKIPPED, USAGE, arrays_in, assert_npy, convert, fixed_strings, load, manifest, pieces, run, scan

ROWS = 700


def rng(seed=0):
    return np.random.default_rng(seed)


def with_nulls(array, seed=1):
    """The same with every fifth value or so null."""
    mask = rng(seed).random(len(array)) < 0.2
    return pa.array([None if null else value for null, value in zip(mask, array.to_pylist(), strict=True)], array.type)


def texts(count=ROWS, seed=2):
    return ["é☃x"[: n % 4] * (n % 9) for n in rng(seed).integers(0, 40, count)]


NUMBERS = {
    "bool": lambda: pa.array(rng().random(ROWS) < 0.5),
    **{
        name: lambda name=name: pa.array(rng().integers(0 if name[0] == "u" else -100, 100, ROWS).astype(name))
        for name in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    },
    **{name: lambda name=name: pa.array(rng().normal(size=ROWS).astype(name)) for name in ["float16", "float32", "float64"]},
}
TIMES = {
    **{f"timestamp[{unit}]": pa.timestamp(unit) for unit in ["s", "ms", "us", "ns"]},
    "timestamp[us, tz=Europe/Paris]": pa.timestamp("us", "Europe/Paris"),
    **{f"duration[{unit}]": pa.duration(unit) for unit in ["s", "ms", "us", "ns"]},
    "date32": pa.date32(),
    "date64": pa.date64(),
    "time32[s]": pa.time32("s"),
    "time32[ms]": pa.time32("ms"),
    "time64[us]": pa.time64("us"),
    "time64[ns]": pa.time64("ns"),
}
TEXTS = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
}


def ints_of(array):
    """Times as the integers that they are stored as."""
    wide = array.type.bit_width == 64
    width = pa.int64() if wide else pa.int32()
    return array.view(width)


def write(path, table, how):
    """Writes a table; `how` is the format and how large its groups are."""
    form, rows, *more = how.split("-")
    rows = int(rows)
    if form == "parquet":
        pq.write_table(table, path, row_group_size=rows, compression=more[0] if more else "snappy")
    else:
        options = pa.ipc.IpcWriteOptions(compression=more[0] if more else None)
        kind = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with kind(path, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=rows)
    return path


HOWS = ["file-100", "file-10000", "stream-97", "file-64-lz4", "stream-333-zstd", "parquet-100", "parquet-10000"]


def flat(column, depth):
    """The values of nested lists, and the lengths of the lists at each level."""
    lengths, values = [], column
    for _ in range(depth):
        lengths.append([len(value) for value in values])
        values = list(itertools.chain.from_iterable(values))
    return values, lengths


def check_ragged(out, name, column, dtype):
    """A ragged feature has the values of these lists; `None` is a list that is missing."""
    values, offsets = load(out / f"{name}.values.npy"), load(out / f"{name}.offsets.npy")
    rows = [[] if row is None else row for row in column]
    assert offsets.tolist() == [0, *np.cumsum([len(row) for row in rows])]
    wanted = np.array(list(itertools.chain.from_iterable(rows)), dtype)
    if len(values):
        assert_npy(out / f"{name}.values.npy", wanted.reshape(values.shape))


# --- Every type ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
def test_numbers(tmp_path, out, how):
    table = pa.table({name: make() for name, make in NUMBERS.items()})
    path = write(tmp_path / "data", table, how)
    assert scan(path)["format"] == ("parquet" if how.startswith("parquet") else "arrow")
    convert(path, out)
    for name in NUMBERS:
        assert_npy(out / f"{name}.npy", table[name].to_numpy())
    assert arrays_in(out) == set(NUMBERS)
    run("verify", out, "--against-source", "--quiet")


@pytest.mark.parametrize("how", HOWS)
def test_numbers_with_nulls(tmp_path, out, how):
    """A null is a missing feature: `default` stands for it, and without one values and offsets leave it out."""
    table = pa.table({name: with_nulls(make()) for name, make in NUMBERS.items()})
    path = write(tmp_path / "data", table, how)
    convert(path, out, *(f"{name}: default={1 if name == 'bool' else 7} present" for name in NUMBERS))
    for name in NUMBERS:
        column = table[name].combine_chunks()
        filled = [7 if value is None else value for value in column.to_pylist()]
        assert_npy(out / f"{name}.npy", np.array(filled).astype(name))
        assert_npy(out / f"{name}.present.npy", column.is_valid().to_numpy(zero_copy_only=False))
    other = tmp_path / "ragged"
    convert(path, other)
    for name in NUMBERS:
        assert_npy(other / f"{name}.values.npy", np.array(table[name].drop_null().to_pylist(), name))
    failed = run("convert", path, "-o", tmp_path / "int8.npy", "--feature", "int8", code=FAILED)
    assert "is missing" in failed.stderr and "default=0" in failed.stderr


@pytest.mark.parametrize("how", HOWS)
def test_times_are_integers_in_their_unit(tmp_path, out, how):
    numbers = rng().integers(0, 80_000, ROWS)
    table = pa.table(
        {
            name: pa.array(numbers * (86_400_000 if name == "date64" else 1), pa.int64() if kind.bit_width == 64 else pa.int32()).view(kind)
            for name, kind in TIMES.items()
        }
    )
    path = write(tmp_path / "data", table, how)
    convert(path, out)
    stored = pq.read_table(path) if how.startswith("parquet") else table
    for name in TIMES:
        # Parquet has no date64; that it was one is kept beside the data, and pyarrow forgets it.
        column = table[name] if name == "date64" else stored[name]
        assert_npy(out / f"{name}.npy", ints_of(column.combine_chunks()).to_numpy())
    seen = load(out / "timestamp[us].npy").view("datetime64[us]")
    np.testing.assert_array_equal(seen, table["timestamp[us]"].to_numpy())


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("how", HOWS)
def test_strings(tmp_path, out, how, nulls):
    values = texts()
    columns = {}
    for name, kind in TEXTS.items():
        column = pa.array(values if "string" in name else [text.encode() for text in values]).cast(kind)
        columns[name] = pa.array([None if at % 6 == 1 else value for at, value in enumerate(column.to_pylist())], kind) if nulls else column
    columns["fixed"] = pa.array([bytes([at % 251, 1, 2]) for at in range(ROWS)], pa.binary(3))
    columns["coded"] = (pa.array(["one", "two", None, "three"] if nulls else ["one", "two"] * 2).take(pa.array(rng().integers(0, 4, ROWS)))).dictionary_encode()
    table = pa.table(columns)
    path = write(tmp_path / "data", table, how)
    convert(path, out, *(f"{name}: ragged" for name in columns))
    for name in columns:
        wanted = [value.encode() if isinstance(value, str) else value for value in table[name].to_pylist()]
        found = pieces(load(out / f"{name}.values.npy"), load(out / f"{name}.offsets.npy"))
        assert [piece.tobytes().rstrip(b"\0") for piece in found] == [value or b"" for value in wanted], name


def test_dictionaries(tmp_path, out):
    """Dictionaries of numbers and strings, replaced and added to in a stream, and in lists and structs."""
    codes = lambda values, width: pa.array(values).dictionary_encode().cast(pa.dictionary(width, pa.array(values).type))
    batches = []
    for number in range(5):
        words = [f"w{number}{at % 3}" for at in range(20)]
        floats = [None if at == 3 else number + at % 4 / 2 for at in range(20)]
        nested = pa.ListArray.from_arrays(pa.array(range(0, 22, 2)), codes(words, pa.int8()))
        batches.append(
            pa.record_batch(
                {
                    "words": codes(words[:10], pa.uint8()),
                    "floats": codes(floats[:10], pa.int64()),
                    "nested": nested,
                    "in": pa.StructArray.from_arrays([codes(words[10:], pa.int16())], ["a"]),
                }
            )
        )
    for deltas in [False, True]:
        path = tmp_path / f"stream-{deltas}"
        with pa.ipc.new_stream(path, batches[0].schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)) as writer:
            for batch in batches:
                writer.write_batch(batch)
        table = pa.ipc.open_stream(path).read_all()
        output = tmp_path / f"out-{deltas}"
        convert(path, output, "words", "floats: default=-1", "nested", "in/a")
        assert_npy(output / "words.npy", fixed_strings([word.encode() for word in table["words"].to_pylist()]))
        assert_npy(output / "floats.npy", np.array([-1 if value is None else value for value in table["floats"].to_pylist()]))
        flattened = [word.encode() for row in table["nested"].to_pylist() for word in row]
        assert load(output / "nested.npy").ravel().tolist() == flattened
        assert load(output / "in/a.npy").tolist() == [row["a"].encode() for row in table["in"].to_pylist()]


# --- Lists and structs -----------------------------------------------------------------------------------------------


def random_lists(depth, leaf, seed=0, most=4):
    random = rng(seed)
    make = lambda depth: leaf(random) if depth == 0 else [make(depth - 1) for _ in range(random.integers(0, most + 1))]
    return [make(depth) for _ in range(ROWS)]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("how", HOWS)
def test_lists(tmp_path, out, how, large):
    kind = pa.large_list if large else pa.list_
    ints = random_lists(1, lambda random: int(random.integers(100)))
    missing = [None if at % 5 == 2 else row for at, row in enumerate(ints)]
    words = random_lists(1, lambda random: "ab" * random.integers(4), 3)
    deep = random_lists(3, lambda random: float(random.random()), 4, 3)
    table = pa.table(
        {
            "ints": pa.array(ints, kind(pa.int16())),
            "missing": pa.array(missing, kind(pa.int64())),
            "flags": pa.array([[value % 2 == 0 for value in row] for row in ints], kind(pa.bool_())),
            "words": pa.array(words, kind(pa.string())),
            "deep": pa.array(deep, kind(kind(kind(pa.float64())))),
        }
    )
    path = write(tmp_path / "data", table, how)
    convert(path, out, "ints", "missing: present", "flags", "words: dtype=S6", "deep", "deep/ragged_row_lengths_0", "deep/ragged_row_lengths_1")
    check_ragged(out, "ints", ints, np.int16)
    check_ragged(out, "missing", missing, np.int64)
    check_ragged(out, "flags", [[value % 2 == 0 for value in row] for row in ints], bool)
    check_ragged(out, "words", [[word.encode() for word in row] for row in words], "S6")
    for level, name in enumerate(["deep/ragged_row_lengths_0", "deep/ragged_row_lengths_1"]):
        rows = [[len(inner) for inner in (row if level == 0 else itertools.chain.from_iterable(row))] for row in deep]
        check_ragged(out, name, rows, np.int64)
    check_ragged(out, "deep", [flat(row, 2)[0] for row in deep], np.float64)
    assert_npy(out / "missing.present.npy", np.array([row is not None for row in missing]))
    run("verify", out, "--against-source", "--quiet")


@pytest.mark.parametrize("how", HOWS)
def test_lists_of_one_length_are_axes(tmp_path, out, how):
    values = rng().normal(size=(ROWS, 2, 3)).astype(np.float32)
    inner = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 3)
    table = pa.table(
        {
            "two": pa.FixedSizeListArray.from_arrays(inner, 2),
            "flags": pa.FixedSizeListArray.from_arrays(pa.array(values[:, 0].ravel() > 0), 3),
            "words": pa.FixedSizeListArray.from_arrays(pa.array([f"{at}" for at in range(2 * ROWS)]), 2),
            "rows": pa.ListArray.from_arrays(pa.array(np.arange(ROWS + 1, dtype=np.int32) * 2), inner),
            "holes": pa.array([None if at % 4 == 0 else row.tolist() for at, row in enumerate(values[:, 0])], pa.list_(pa.float32(), 3)),
        }
    )
    path = write(tmp_path / "data", table, how)
    convert(path, out, "two", "flags", "words", "rows", "holes: default=5")
    assert_npy(out / "two.npy", values)
    assert_npy(out / "flags.npy", values[:, 0] > 0)
    assert load(out / "words.npy").tolist() == [[f"{at}".encode(), f"{at + 1}".encode()] for at in range(0, 2 * ROWS, 2)]
    assert_npy(out / "rows.npy", values)
    holes = values[:, 0].copy()
    holes[::4] = 5
    assert_npy(out / "holes.npy", holes)


@pytest.mark.parametrize("how", HOWS)
def test_structs_are_parts_of_names(tmp_path, out, how):
    rows = [None if at % 7 == 3 else {"a": at, "b": {"c": [at / 2] * (at % 3), "d": None if at % 2 else "x"}} for at in range(ROWS)]
    steps = [[{"x": at, "y": [1] * step} for step in range(at % 4)] for at in range(ROWS)]
    pairs = pa.array([[("k", at)] * (at % 3) for at in range(ROWS)], pa.map_(pa.string(), pa.int32()))
    table = pa.table({"s": pa.array(rows), "steps": pa.array(steps), "map": pairs})
    path = write(tmp_path / "data", table, how)
    convert(path, out, "s/a: default=-1", "s/b/c", "s/b/d: ragged", "steps/x", "steps/y", "steps/y/ragged_row_lengths_0", "map/key", "map/value")
    assert_npy(out / "s/a.npy", np.array([-1 if row is None else row["a"] for row in rows]))
    check_ragged(out, "s/b/c", [None if row is None else row["b"]["c"] for row in rows], np.float64)
    present = [row is not None and row["b"]["d"] is not None for row in rows]
    assert load(out / "s/b/d.offsets.npy").tolist() == [0, *np.cumsum(present)]
    check_ragged(out, "steps/x", [[step["x"] for step in row] for row in steps], np.int64)
    check_ragged(out, "steps/y", [[y for step in row for y in step["y"]] for row in steps], np.int64)
    check_ragged(out, "steps/y/ragged_row_lengths_0", [[len(step["y"]) for step in row] for row in steps], np.int64)
    check_ragged(out, "map/value", [[value for _, value in row] for row in pairs.to_pylist()], np.int32)


# --- Nulls where there is no place for them, and what is no array ----------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
def test_nulls_in_lists(tmp_path, out, how):
    """Of floats they are NaN, as pandas and NumPy have it; nothing stands for them among integers and strings."""
    table = pa.table(
        {
            "f16": pa.array([[None, 1.5]] * 3, pa.list_(pa.float16())),
            "f32": pa.array([[None, 1.5]] * 3, pa.list_(pa.float32(), 2)),
            "f64": pa.array([[1.5, None, 2.5]] * 3, pa.list_(pa.float64())),
            "i": pa.array([[1], [2, None], [3]]),
            "t": pa.array([["a"], ["b"], [None]]),
            "l": pa.array([[[1]], [[2]], [[3], None]]),
        }
    )
    path = write(tmp_path / "data", table, how)
    convert(path, out, "f16", "f32", "f64")
    for name, row in [("f16", [None, 1.5]), ("f32", [None, 1.5]), ("f64", [1.5, None, 2.5])]:
        assert_npy(out / f"{name}.npy", np.array([row] * 3, f"f{int(name[1:]) // 8}"))
    for name, element, words in [("i", 1, "a value in it is null, which no int64 stands for"), ("t", 2, "a value in it is null"), ("l", 2, "a list in it is null")]:
        failed = convert(path, tmp_path / "failed", name, code=FAILED)
        assert words in failed.stderr and f"element {element}" in failed.stderr and f"`{name}`" in failed.stderr
        convert(path, tmp_path / name, name, options=["--on-error", "skip"], code=SKIPPED)
        kept = manifest(tmp_path / name)
        assert (kept["elements"], [one["place"]["element"] for one in kept["skipped"]]) == (2, [element])


@pytest.mark.parametrize("how", HOWS)
def test_what_is_no_array_is_left_out_and_named(tmp_path, out, how):
    table = pa.table({"x": pa.array(range(5)), "null": pa.nulls(5), "price": pa.array([1] * 5).cast(pa.decimal128(22, 2)), "y": pa.array([0.5] * 5)})
    path = write(tmp_path / "data", table, how)
    found = scan(path)["features"]
    assert found["null"]["left_out"] == "all of its values are null" and "cast the column" in found["price"]["left_out"]
    told = run("convert", path, "-o", out).stderr
    assert "`null` is left out" in told and "`price` is left out" in told
    assert arrays_in(out) == {"x", "y"}
    assert "cast the column" in convert(path, tmp_path / "failed", "price", code=FAILED).stderr
    only = write(tmp_path / "only", table.select(["null"]), how)
    assert "it has no column of numbers" in run("scan", only, code=FAILED).stderr


def test_two_columns_of_one_name(tmp_path):
    table = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert "two of its columns are called `x`" in run("scan", write(tmp_path / "data", table, "file-10"), code=FAILED).stderr


# --- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4"])
def test_parquet_compression(tmp_path, out, compression):
    table = pa.table({"x": pa.array(np.arange(5000) % 300), "t": pa.array([f"t{at % 40}" for at in range(5000)])})
    path = write(tmp_path / "data", table, f"parquet-900-{compression}")
    convert(path, out)
    assert_npy(out / "x.npy", np.arange(5000) % 300)
    assert load(out / "t.npy").tolist() == [f"t{at % 40}".encode() for at in range(5000)]


def test_brotli_is_refused(tmp_path):
    path = write(tmp_path / "data", pa.table({"x": pa.array([1, 2, 3])}), "parquet-10-brotli")
    told = run("scan", path, code=FAILED).stderr
    assert "it is compressed by BROTLI" in told and "write it anew" in told


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_parquet_pages(tmp_path, out, dictionary, version):
    table = pa.table({"x": pa.array(rng().integers(0, 50, 30_000)), "l": pa.array([list(range(at % 6)) for at in range(30_000)]), "s": pa.array([f"{at % 999}" for at in range(30_000)])})
    path = tmp_path / "data"
    pq.write_table(table, path, data_page_version=version, use_dictionary=dictionary, data_page_size=3000, row_group_size=17_000, write_statistics=not dictionary)
    convert(path, out, options=["--threads", "3"])
    assert_npy(out / "x.npy", table["x"].to_numpy())
    check_ragged(out, "l", table["l"].to_pylist(), np.int64)
    assert load(out / "s.npy").tolist() == [word.encode() for word in table["s"].to_pylist()]


@pytest.mark.parametrize("size", [40, 3000, 1 << 20])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_axes_in_parquet_pages(tmp_path, out, dictionary, version, size):
    """Rows of one shape, in pages that end anywhere: within rows, within runs of levels, and where a dictionary is full."""
    count = 4000
    columns = {}
    for name, shape in {"int8": (), "uint16": (), "float16": (7,), "float32": (2, 3), "int16": (40,), "int64": (1,), "float64": (3, 1, 2)}.items():
        few = rng().integers(0, 50, (count, *shape))
        # Numbers of which there are few, and then many.
        columns[name] = np.where(np.arange(count).reshape(-1, *[1] * len(shape)) < 3000, few, rng(1).integers(0, 120, few.shape)).astype(name)
    lists = {}
    for name, values in columns.items():
        lists[name] = pa.array(values.ravel())
        for length in reversed(values.shape[1:]):
            lists[name] = pa.FixedSizeListArray.from_arrays(lists[name], length)
    path = tmp_path / "data"
    pq.write_table(pa.table(lists), path, data_page_version=version, use_dictionary=dictionary, data_page_size=size, dictionary_pagesize_limit=80, row_group_size=2900, write_batch_size=100)
    convert(path, out, options=["--threads", "3"])
    for name, values in columns.items():
        assert_npy(out / f"{name}.npy", values)
    assert arrays_in(out) == set(columns)


def test_lists_in_pages_that_break_a_promise(tmp_path, out):
    """Arrays of `datasets` of another shape than it says: the row is told, and those before and after it are right."""
    features = Features({"x": Array2D((3, 1), "int32"), "y": Value("int64")})
    rows = [[[at], [at + 1], [at + 2]] for at in range(2000)]
    rows[700], rows[701] = [[1], [2]], [[3], [4], [5], [6]]
    table = pa.table({"x": pa.array(rows, pa.list_(pa.list_(pa.int32()))), "y": pa.array(np.arange(2000))})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features.to_dict()}})})
    path = tmp_path / "data"
    pq.write_table(table, path, data_page_size=300)
    told = run("convert", path, "-o", out, code=FAILED).stderr
    assert "element 700" in told and "2 items, and 3 are declared" in told
    convert(path, out, options=["--on-error", "skip"], code=SKIPPED)
    kept = [at for at in range(2000) if at not in (700, 701)]
    assert_npy(out / "x.npy", np.array([rows[at] for at in kept], np.int32))
    assert_npy(out / "y.npy", np.array(kept))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("texts", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_encodings_of_parquet(tmp_path, out, texts, version):
    count = 5000
    words = [None if at % 7 == 3 else f"prefix{at}" * (at % 5) for at in range(count)]
    lists = [[f"{at}-{number}" for number in range(at % 4)] for at in range(count)]
    table = pa.table({"i": pa.array(rng().integers(-1000, 1000, count)), "f": pa.array(rng().random(count)), "s": pa.array(words), "l": pa.array(lists), "r": pa.array(["x"] * count)})
    path = tmp_path / "data"
    encodings = {"i": "DELTA_BINARY_PACKED", "f": "BYTE_STREAM_SPLIT", "s": texts, "l.list.element": texts, "r": texts}
    pq.write_table(table, path, use_dictionary=False, column_encoding=encodings, data_page_version=version, data_page_size=2000, row_group_size=3000)
    convert(path, out, "s: default=", "l: ragged", "*")
    assert_npy(out / "i.npy", table["i"].to_numpy())
    assert_npy(out / "f.npy", table["f"].to_numpy())
    assert load(out / "s.npy").tolist() == [(word or "").encode() for word in words]
    assert load(out / "r.npy").tolist() == [b"x"] * count
    assert load(out / "l.values.npy").tolist() == [word.encode() for row in lists for word in row]
    assert np.array_equal(load(out / "l.offsets.npy"), np.cumsum([0, *map(len, lists)]))


def test_files_follow_one_another(tmp_path, out):
    directory = tmp_path / "d"
    directory.mkdir()
    for number in range(4):
        write(directory / f"{number}.parquet", pa.table({"x": pa.array(np.arange(100) + 100 * number)}), "parquet-30")
    convert(directory, out)
    assert_npy(out / "x.npy", np.arange(400))
    arrow = write(tmp_path / "a", pa.table({"x": pa.array([7])}), "stream-10")
    convert([directory / "0.parquet", arrow], tmp_path / "mixed")
    assert_npy(tmp_path / "mixed/x.npy", np.array([*range(100), 7]))


@pytest.mark.parametrize("how", ["file-200000", "stream-7000", "file-30000-zstd", "parquet-60000", "parquet-200000"])
def test_a_large_table_does_not_depend_on_threads_or_memory(tmp_path, how):
    count = 200_000
    table = pa.table(
        {
            "x": pa.array(rng().random((count))),
            "l": pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * 30), pa.array(rng().integers(0, 1 << 40, count * 30))),
            "t": pa.array([f"{at}" * (at % 5) for at in range(count)]),
            "n": pa.array([None if at % 3 == 0 else at for at in range(count)]),
        }
    )
    path = write(tmp_path / "data", table, how)
    assert path.stat().st_size > 33 << 20
    memory = "256MiB" if how in ("file-30000-zstd", "parquet-200000") else "96MiB"
    for number, words in enumerate([["--threads", "1"], ["--threads", "4"], ["--threads", "2", "--memory", memory]]):
        convert(path, tmp_path / str(number), "x", "l: ragged", "t: ragged", "n: default=0", options=words)
        check = {name: (tmp_path / str(number) / f"{name}.npy").read_bytes() for name in arrays_in(tmp_path / str(number))}
        if number == 0:
            wanted = check
            assert_npy(tmp_path / "0/x.npy", table["x"].to_numpy())
            assert_npy(tmp_path / "0/l.values.npy", table["l"].combine_chunks().flatten().to_numpy())
        assert check == wanted
        if "--memory" in words:
            used = json.loads((tmp_path / str(number) / "lithify.json").read_text())["run"]
            assert used["peak_memory"] <= used["planned_memory"] <= int(memory[:-3]) << 20


# --- Real files ------------------------------------------------------------------------------------------------------

DATA = Path(os.environ.get("LITHIFY_TEST_DATA", "")) / "hf"
REAL = sorted(path for path in DATA.rglob("*") if path.is_file() and path.suffix != ".json")


def read_table(path):
    if path.suffix == ".parquet":
        return pq.read_table(path)
    return (pa.ipc.open_file if path.suffix == ".arrow_file" else pa.ipc.open_stream)(path.read_bytes()).read_all()


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_files(tmp_path, path):
    """Every column of numbers is that of pyarrow, with 0 for nulls; every list of them has the same values."""
    table = read_table(path)
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind, output = column.type, tmp_path / name
        is_number = lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        if column.null_count == len(column):
            continue
        if is_number(kind):
            convert(path, output, f"{name}: default=0")
            wanted = [0 if value is None else value for value in column.to_pylist()]
            assert_npy(output / f"{name}.npy", np.array(wanted, column.type.to_pandas_dtype()))
        elif pa.types.is_list(kind) and is_number(kind.value_type) and column.combine_chunks().values.null_count == 0:
            convert(path, output, f"{name}: ragged")
            check_ragged(output, name, column.to_pylist(), kind.value_type.to_pandas_dtype())
        elif pa.types.is_string(kind) or pa.types.is_binary(kind):
            convert(path, output, f"{name}: ragged")
            found = pieces(load(output / f"{name}.values.npy"), load(output / f"{name}.offsets.npy"))
            wanted = [value.encode() if isinstance(value, str) else value or b"" for value in column.to_pylist()]
            assert [piece.tobytes().rstrip(b"\0") for piece in found] == [value and value.rstrip(b"\0") or b"" for value in wanted]


# --- Hugging Face ----------------------------------------------------------------------------------------------------

FEATURES = Features(
    {
        "label": ClassLabel(names=["no", "yes", "maybe"]),
        "labels": List(ClassLabel(names=["a", "b"])),
        "grid": Array2D(shape=(2, 3), dtype="float32"),
        "rows": Array3D(shape=(None, 2, 2), dtype="int16"),
        "three": List(Value("int32"), length=3),
        "any": List(Value("float64")),
        "large": LargeList(Value("int64")),
        "nested": List(List(Value("int64"))),
        "text": Value("string"),
        "when": Value("timestamp[ms]"),
        "inner": {"a": Value("int8"), "b": List(Value("string"))},
        "seq": List({"u": Value("float32"), "v": Value("int64")}),
        "flag": Value("bool"),
    }
)


def rows_of(count):
    return [
        {
            "label": at % 3,
            "labels": [at % 2] * (at % 3),
            "grid": (np.arange(6).reshape(2, 3) + at).tolist(),
            "rows": np.full((at % 4, 2, 2), at).tolist(),
            "three": [at, at + 1, at + 2],
            "any": [0.5] * (at % 5),
            "large": [at] * (at % 2),
            "nested": [[at] * step for step in range(at % 3)],
            "text": "word " * (at % 4),
            "when": at * 1000,
            "inner": {"a": at % 100, "b": ["x"] * (at % 2)},
            "seq": [{"u": step / 2, "v": step} for step in range(at % 3)],
            "flag": at % 2 == 0,
        }
        for at in range(count)
    ]


def check_rows(out, rows):
    column = lambda name: [row[name] for row in rows]
    assert_npy(out / "label.npy", np.array(column("label"), np.int64))
    assert manifest(out)["classes"] == {"label": ["no", "yes", "maybe"], "labels": ["a", "b"]}
    check_ragged(out, "labels", column("labels"), np.int64)
    assert_npy(out / "grid.npy", np.array(column("grid"), np.float32))
    assert_npy(out / "rows.values.npy", np.concatenate([np.array(row, np.int16).reshape(-1, 2, 2) for row in column("rows")]))
    assert_npy(out / "three.npy", np.array(column("three"), np.int32))
    check_ragged(out, "any", column("any"), np.float64)
    check_ragged(out, "large", column("large"), np.int64)
    check_ragged(out, "nested", [sum(row, []) for row in column("nested")], np.int64)
    check_ragged(out, "nested/ragged_row_lengths_0", [[len(one) for one in row] for row in column("nested")], np.int64)
    assert load(out / "text.npy").tolist() == [text.encode() for text in column("text")]
    assert_npy(out / "when.npy", np.array(column("when"), np.int64))
    assert_npy(out / "inner/a.npy", np.array([row["a"] for row in column("inner")], np.int8))
    check_ragged(out, "seq/v", [[one["v"] for one in row] for row in column("seq")], np.int64)
    assert_npy(out / "flag.npy", np.array(column("flag")))


@pytest.mark.parametrize("form", ["disk", "shards", "parquet", "file"])
def test_features_of_datasets(tmp_path, out, form):
    rows = rows_of(240)
    made = Dataset.from_list(rows, features=FEATURES)
    path = tmp_path / "d"
    if form in ("disk", "shards"):
        made.save_to_disk(path, num_shards=3 if form == "shards" else 1)
        assert scan(path)["format"] == "huggingface"
    elif form == "parquet":
        made.to_parquet(path, batch_size=50)
    else:
        write(path, made.data.table, "file-50")
    convert(path, out)
    check_rows(out, rows)
    run("verify", out, "--against-source", "--quiet")


def test_selected_and_shuffled_rows(tmp_path, out):
    rows = rows_of(100)
    made = Dataset.from_list(rows, features=FEATURES).shuffle(seed=1).select(range(10, 80))
    made.save_to_disk(tmp_path / "d")
    convert(tmp_path / "d", out, "when")
    assert load(out / "when.npy").tolist() == [int(when.timestamp() * 1000) for when in made["when"]]


def test_splits(tmp_path):
    parts = {"train": range(0, 50), "test": range(50, 70), "val": range(70, 75)}
    made = DatasetDict({name: Dataset.from_dict({"x": list(rows)}) for name, rows in parts.items()})
    made.save_to_disk(tmp_path / "d", num_shards={"train": 4, "test": 1, "val": 1})
    for split, wanted in {
        None: range(75),
        "train": range(50),
        "test+train": [*range(50, 70), *range(50)],
        "train[:10%]+val": [*range(5), *range(70, 75)],
        "train[20:-20]": range(20, 30),
        "train[1shard]": range(13, 26),
        "train[:2]+train[:3]": [0, 1, 0, 1, 2],
    }.items():
        out = tmp_path / str(split)
        convert(tmp_path / "d", out, options=["--split", split] if split else [])
        assert load(out / "x.npy").tolist() == list(wanted)
        run("verify", out, "--against-source", "--quiet")
    assert "has no split `all_of_it`" in convert(tmp_path / "d", tmp_path / "f", options=["--split", "all_of_it"], code=USAGE).stderr
    # A split by itself, whatever it is called; and two after one another.
    convert(tmp_path / "d/test", tmp_path / "one")
    assert load(tmp_path / "one/x.npy").tolist() == list(range(50, 70))
    run("verify", tmp_path / "one", "--against-source", "--quiet")
    convert([tmp_path / "d/val", tmp_path / "d/test"], tmp_path / "two")
    assert load(tmp_path / "two/x.npy").tolist() == [*range(70, 75), *range(50, 70)]
    run("verify", tmp_path / "two", "--against-source", "--quiet")


def encoded(at, form="PNG"):
    buffer = io.BytesIO()
    Pillow.fromarray(rng(at).integers(0, 255, (8, 6, 3), np.uint8)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["disk", "parquet"])
def test_images(tmp_path, out, form):
    files = [encoded(at) for at in range(12)]
    features = Features({"image": Image(), "more": List(Image()), "label": ClassLabel(names=["a", "b"])})
    made = Dataset.from_dict(
        {
            "image": [{"bytes": file, "path": None} for file in files],
            "more": [[{"bytes": file, "path": "x.png"}] * 2 for file in files],
            "label": [0, 1] * 6,
        },
        features=features,
    )
    path = tmp_path / "d"
    if form == "disk":
        made.save_to_disk(path)
    else:
        made.to_parquet(path)
    convert(path, out)
    assert_npy(out / "image.npy", np.stack([np.array(made[at]["image"]) for at in range(12)]))
    assert_npy(out / "more.npy", np.stack([[np.array(image) for image in made[at]["more"]] for at in range(12)]))
    assert_npy(out / "label.npy", np.array([0, 1] * 6))


@pytest.mark.parametrize("form", ["disk", "parquet"])
def test_images_of_several_sizes_stay_encoded(tmp_path, out, form):
    files = []
    for at in range(6):
        buffer = io.BytesIO()
        Pillow.fromarray(rng(at).integers(0, 255, (8 + at, 6, 3), np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    features = Features({"image": Image(), "n": Value("int64")})
    made = Dataset.from_dict({"image": [{"bytes": file, "path": None} for file in files], "n": range(6)}, features=features)
    path = tmp_path / "d"
    if form == "disk":
        made.save_to_disk(path)
    else:
        made.to_parquet(path)
    convert(path, out)
    offsets = load(out / "image.offsets.npy")
    assert [load(out / "image.values.npy")[start:end].tobytes() for start, end in itertools.pairwise(offsets)] == files
    convert(path, tmp_path / "parts", options=["--split", "a=0.5,b=0.5"])
    assert arrays_in(tmp_path / "parts/a") == arrays_in(out)
    convert(path, tmp_path / "rows", "image: resize=4x4")
    assert load(tmp_path / "rows/image.npy").shape == (6, 4, 4, 3)


def test_compressed_tables_are_shuffled(tmp_path, out):
    """In memory they take many times what they take on disk."""
    table = pa.table({"s": pa.array([f"word {at % 7}" for at in range(100_000)]), "l": pa.array([[at % 5] * (at % 40) for at in range(100_000)])})
    path = write(tmp_path / "data", table, "parquet-100000-zstd")
    assert path.stat().st_size < 2 << 20
    convert(path, out, options=["--shuffle", "1"])
    words = load(out / "s.npy")
    assert sorted(words.tolist()) == sorted(word.encode() for word in table["s"].to_pylist())
    assert len(set(words[:100].tolist())) == 7
    convert(path, tmp_path / "less", options=["--shuffle", "1", "--memory", "100MiB"])
    assert np.array_equal(load(tmp_path / "less/s.npy"), words)


def test_sounds(tmp_path, out):
    sounds = rng().integers(-32768, 32767, (5, 300, 1)).astype(np.int16)
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    features = Features({"audio": datasets.Audio(sampling_rate=8000)})
    column = pa.array([{"bytes": wave_of(sound), "path": "x.wav"} for sound in sounds], kind)
    table = pa.table([column], schema=pa.schema({"audio": kind}, features.arrow_schema.metadata))
    convert(write(tmp_path / "data", table, "stream-2"), out, "audio")
    assert_npy(out / "audio.npy", sounds / np.float32(32768))


def wave_of(samples, rate=8000):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def test_images_that_are_not_there(tmp_path, out):
    """A null image is missing; one of which there is only the path is no element."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    features = Features({"image": Image()})
    column = pa.array([{"bytes": encoded(0), "path": None}, None, {"bytes": None, "path": "/gone.png"}], kind)
    schema = pa.schema({"image": kind}, features.arrow_schema.metadata)
    path = write(tmp_path / "data", pa.table([column], schema=schema), "file-10")
    failed = convert(path, out, "image: default=0", code=FAILED).stderr
    assert "there is only the path" in failed and "element 2" in failed
    convert(path, out, "image: ragged", options=["--on-error", "skip"], code=SKIPPED)
    assert manifest(out)["elements"] == 2


def test_a_schema_that_lies(tmp_path, out):
    """An array of a declared shape, one of which has another."""
    features = Features({"grid": Array2D(shape=(2, 2), dtype="int64")})
    table = pa.table({"grid": pa.array([[[1, 2], [3, 4]], [[5, 6], [7]], [[9, 10], [11, 12]]])}).replace_schema_metadata(features.arrow_schema.metadata)
    for how in ["file-10", "parquet-10"]:
        path = write(tmp_path / how, table, how)
        failed = convert(path, out, "grid", code=FAILED).stderr
        assert "a list in it has 1 items, and 2 are declared" in failed and "element 1" in failed
        convert(path, tmp_path / f"o{how}", "grid", options=["--on-error", "skip"], code=SKIPPED)
        assert_npy(tmp_path / f"o{how}/grid.npy", np.array([[[1, 2], [3, 4]], [[9, 10], [11, 12]]]))


def test_tensors_of_arrow(tmp_path, out):
    kind = pa.fixed_shape_tensor(pa.float32(), (2, 3))
    values = rng().normal(size=(ROWS, 2, 3)).astype(np.float32)
    storage = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 6)
    path = write(tmp_path / "data", pa.table({"t": pa.ExtensionArray.from_storage(kind, storage)}), "file-100")
    convert(path, out)
    assert_npy(out / "t.npy", values)


def test_directories_that_are_not_whole(tmp_path):
    Dataset.from_dict({"x": [1, 2, 3]}).save_to_disk(tmp_path / "d")
    file = next((tmp_path / "d").glob("*.arrow"))
    file.rename(tmp_path / "elsewhere")
    assert "`state.json` names it" in run("scan", tmp_path / "d", code=FAILED).stderr
    assert "no split of it" in run("scan", tmp_path / "elsewhere", "--split", "train", code=USAGE).stderr


# --- Damage, and what only looks like the end ---------------------------------------------------------------------------


def test_a_stream_that_goes_on_after_its_end(tmp_path, out):
    one = write(tmp_path / "one", pa.table({"x": pa.array(range(100))}), "stream-50").read_bytes()
    (tmp_path / "two").write_bytes(one + one)
    told = run("convert", tmp_path / "two", "-o", out, "--from", "arrow", code=FAILED).stderr
    assert "element 100" in told and "bytes follow the mark of its end" in told
    # What had been reserved of a file, and was never written, is zeros.
    half = len(write(tmp_path / "half", pa.table({"x": pa.array(range(50))}), "stream-50").read_bytes()) - 8
    (tmp_path / "torn").write_bytes(one[:half] + bytes(len(one) - half))
    assert "element 50" in run("convert", tmp_path / "torn", "-o", out, "--from", "arrow", code=FAILED).stderr
    convert(tmp_path / "torn", out, options=["--from", "arrow", "--on-error", "skip"], code=SKIPPED)
    assert_npy(out / "x.npy", np.arange(50))


@pytest.mark.parametrize("how", ["file-10", "stream-100"])
def test_unions_are_left_out(tmp_path, out, how):
    types = pa.array([0, 1, 0, 1], pa.int8())
    sparse = pa.UnionArray.from_sparse(types, [pa.array([1, 2, 3, 4]), pa.array(["a", "b", "c", "d"])])
    dense = pa.UnionArray.from_dense(types, pa.array([0, 0, 1, 1], pa.int32()), [pa.array([1, 2]), pa.array(["a", "b"])])
    named = pa.array(["u", "v", "u", "v"]).dictionary_encode()
    flags = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, 0]), pa.array([True, False]))
    table = pa.table({"s": sparse, "d": dense, "x": pa.array([7, 8, None, 10]), "n": named, "f": flags, "y": pa.array([1.0, 2, 3, 4])})
    path = write(tmp_path / "data", table, how)
    convert(path, out)
    assert_npy(out / "y.npy", np.array([1.0, 2, 3, 4]))
    assert load(out / "n.npy").tolist() == [b"u", b"v", b"u", b"v"]
    assert arrays_in(out) == {"x.values", "x.offsets", "x.present", "n", "y"}
    assert "no dtype of NumPy is" in run("convert", path, "-o", tmp_path / "no", "-f", "s", code=FAILED).stderr


def test_a_damaged_page_costs_the_rows_that_it_holds(tmp_path, out):
    """Of tables of one shape, too, of which nothing is read when they are scanned."""
    path = tmp_path / "data"
    count = 3000
    table = pa.table({"x": pa.array(np.arange(count)), "y": pa.array(np.arange(count) / 2)})
    pq.write_table(table, path, use_dictionary=False, compression="none", row_group_size=1000)
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[place : place + 8] = b"\xff" * 8
    path.write_bytes(data)
    assert "element 1000" in run("convert", path, "-o", out, code=FAILED).stderr
    convert(path, out, options=["--on-error", "skip"], code=SKIPPED)
    kept = np.r_[:1000, 2000:3000]
    assert_npy(out / "x.npy", kept)
    assert_npy(out / "y.npy", kept / 2)
    run("verify", out, "--against-source", "--quiet")


@pytest.mark.parametrize("name", ["ones", "zeros", "words", "front"])
def test_what_is_decoded_stays_within_the_budget(tmp_path, out, name):
    """Encoded, these take next to nothing."""
    count = 3000
    columns = {
        "ones": pa.array([np.ones(4000, np.int8)] * count),
        "zeros": pa.array([np.zeros(2000)] * count),
        "words": pa.array(["abc"[at % 3] * 20_000 for at in range(count)]),
        "front": pa.array([f"{'a' * 3000}{at}" for at in range(count)]),
    }
    path = tmp_path / "data"
    encodings = {"front": "DELTA_BYTE_ARRAY"} if name == "front" else None
    pq.write_table(pa.table({name: columns[name]}), path, use_dictionary=name != "front", column_encoding=encodings)
    assert path.stat().st_size < 2 << 20
    told = run("convert", path, "-o", out, "-f", f"{name}: ragged", "--memory", "48MiB", "--json", "--no-sync").stdout
    assert json.loads(told)["run"]["peak_memory"] <= 48 << 20
    values = columns[name].flatten() if name in ("ones", "zeros") else None
    if values is not None:
        assert np.array_equal(load(out / f"{name}.values.npy").ravel(), values.to_numpy())
    else:
        assert load(out / f"{name}.values.npy").tobytes() == "".join(columns[name].to_pylist()).encode()


def test_conditions_are_of_the_dtype_of_what_they_compare(tmp_path, out):
    table = pa.table({"f": pa.array(np.array([0.5, 0.9, 0.95], np.float32)), "t": pa.array(["", "ab", "abc"]), "b": pa.array([True, False, True])})
    path = write(tmp_path / "data", table, "parquet-10")
    for number, (condition, kept) in enumerate({"f >= 0.9": [1, 2], "f == 0.9": [1], "len(t) > 2": [2], "len(t) > 0": [1, 2], "b == true": [0, 2], "b == False": [1]}.items()):
        convert(path, out / str(number), options=["--select", condition])
        assert np.array_equal(load(out / f"{number}/f.npy"), table["f"].to_numpy()[kept]), condition
    assert "no element of the dataset meets `g == 1`" in run("convert", path, "-o", out / "none", "--select", "g == 1", code=FAILED).stderr
