"""Zarr stores must hold, to every reader, what the `.npy` output of the same conversion holds.

What a reader cannot open is listed in `UNREAD`, and it must say so; everything else it must read.
"""

import json
import subprocess

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
import tensorstore
import xarray
import zarr

from oracle import (
    BINARY,
    FAILED,
    USAGE,
    arrays_in,
    convert,
    example,
    examples,
    floats,
    ints,
    load,
    manifest,
    run,
    strings,
    wants,
    write,
)

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")

ROWS = 100
# A bit pattern for each dtype that its neighbours do not share; the text of a value to pad with.
DTYPES = {
    "bool": "true",
    "int8": "-1",
    "int16": "-2",
    "int32": "-3",
    "int64": "-4",
    "uint8": "5",
    "uint16": "6",
    "uint32": "7",
    "uint64": "18446744073709551615",
    "float16": "0.5",
    "bfloat16": "0.5",
    "float32": "nan",
    "float64": "-inf",
    "complex64": "1.5",
    "complex128": "2.5",
    "S5": "ab",
}
CODECS = ["none", "crc32c", "zstd", "gzip:1+crc32c"]
CHUNKS = {
    "one chunk": "",
    "rows": "chunk=16",
    "shape": "chunk=16x3",
    "shards": "chunk=8 shard=32",
    "shards of a shape": "chunk=8x3 shard=24",
}
# Dtypes that a reader does not know. One such array keeps zarr-python, and so xarray, from listing its group.
UNREAD = {("zarr", "bfloat16"), ("xarray", "bfloat16"), ("tensorstore", "S")}


# --- readers ---------------------------------------------------------------------------------------------------------


def by_zarr(store, name):
    return zarr.open_group(store, mode="r", use_consolidated=True)[name][...]


def by_xarray(store, name):
    group, _, leaf = name.rpartition("/")
    return xarray.open_zarr(store, group=group or None, consolidated=True)[leaf].values


def by_tensorstore(store, name):
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store / name}/"}}
    return tensorstore.open(spec, open=True, read=True).result().read().result()


READERS = {"zarr": by_zarr, "xarray": by_xarray, "tensorstore": by_tensorstore}


def assert_equal(found, expected):
    """The same dtype, shape and bits."""
    found = np.asarray(found)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(expected).tobytes()


def npy(path, dtype=None):
    """An array of the `.npy` output; bfloat16 has no name there."""
    array = np.load(path)
    return array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array


def zarr_name(name, groups):
    """What an array is called in a Zarr store: those of ragged features and buckets stand in a group."""
    for group in groups:
        if name.startswith(f"{group}."):
            return f"{group}/{name.removeprefix(group + '.')}"
    return name


def assert_read(store, name, expected):
    """Every reader gives the expected array, or refuses a dtype that it does not know."""
    dtype = "S" if expected.dtype.kind == "S" else str(expected.dtype)
    for reader, read in READERS.items():
        if (reader, dtype) in UNREAD:
            with pytest.raises(ValueError, match="data.?type|bfloat16"):
                read(store, name)
        else:
            assert_equal(read(store, name), expected)


def assert_same(store, npy_output, groups=()):
    """Every array of the `.npy` output is in the store, to every reader, and nothing else is."""
    names = {name: zarr_name(name, groups) for name in arrays_in(npy_output)}
    found = {str(path.parent.relative_to(store)) for path in store.rglob("zarr.json")}
    documents = {path: json.loads((store / path / "zarr.json").read_text()) for path in found}
    assert {path for path in found if documents[path]["node_type"] == "array"} == set(names.values())
    for name, there in names.items():
        assert_read(store, there, np.load(npy_output / f"{name}.npy"))


def files_of(store):
    """All files of a store and their bytes, but for the manifest."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name != "lithify.json"
    }


# --- every dtype, every codec ----------------------------------------------------------------------------------------


def varied(n):
    """Rows of 0 to 10 values, 0 and 1 for every dtype's sake."""
    return [(n + k) % 2 for k in range(n % 11)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rows")
    numbers = examples("x", [ints(*varied(n)) for n in range(ROWS)])
    texts = examples("x", [strings(*(b"abc"[: v + 1] for v in varied(n))) for n in range(ROWS)])
    complexes = [
        example({"x": strings(tf.io.serialize_tensor(tf.constant(varied(n), tf.complex64)).numpy())})
        for n in range(ROWS)
    ]
    wide = [
        example({"x": strings(tf.io.serialize_tensor(tf.constant(varied(n), tf.complex128)).numpy())})
        for n in range(ROWS)
    ]
    return {
        "numbers": write(directory / "numbers", numbers),
        "S5": write(directory / "texts", texts),
        "complex64": write(directory / "complex64", complexes),
        "complex128": write(directory / "complex128", wide),
    }


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_codec_and_chunk_is_read(rows, tmp_path, dtype, codec, chunks):
    source = rows.get(dtype, rows["numbers"])
    feature = f"x: pad=max value={DTYPES[dtype]} dtype={dtype} mask"
    convert(source, tmp_path / "npy", feature)
    store = tmp_path / "out.zarr"
    convert(source, store, f"{feature} codec={codec} {CHUNKS[chunks]}")
    expected = npy(tmp_path / "npy" / "x.npy", dtype)
    assert_read(store, "x", expected)
    for name in ("x.lengths", "x.mask"):
        assert_equal(by_tensorstore(store, name), np.load(tmp_path / "npy" / f"{name}.npy"))
    run("verify", store, "--against-source")


# --- version 2 -------------------------------------------------------------------------------------------------------


def by_tensorstore_2(store, name):
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{store / name}/"}}
    return tensorstore.open(spec, open=True, read=True).result().read().result()


@pytest.mark.parametrize("chunks", [words for words in CHUNKS if "shard" not in words])
@pytest.mark.parametrize("codec", ["none", "zstd", "gzip:1"])
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "bfloat16"])
def test_version_2_is_read(rows, tmp_path, dtype, codec, chunks):
    source = rows.get(dtype, rows["numbers"])
    feature = f"x: pad=max value={DTYPES[dtype]} dtype={dtype} rename=a/x"
    convert(source, tmp_path / "npy", feature)
    store = tmp_path / "out"
    convert(source, store, f"{feature} codec={codec} {CHUNKS[chunks]}", options=("--store", "zarr2"))
    expected = npy(tmp_path / "npy" / "a/x.npy")
    assert zarr.open_group(store, mode="r").metadata.zarr_format == 2
    assert_equal(by_zarr(store, "a/x"), expected)
    if dtype != "S5":  # of which TensorStore makes an axis of characters
        assert_equal(by_tensorstore_2(store, "a/x"), expected)
    assert_equal(xarray.open_zarr(store, group="a", consolidated=False)["x"].values, expected)
    run("verify", store, "--against-source")
    # Padding that nobody wrote is there all the same.
    run("convert", store, "-o", tmp_path / "back", "-q")
    assert dtype == "S5" or (tmp_path / "back/a/x.npy").read_bytes() == (tmp_path / "npy/a/x.npy").read_bytes()


def test_version_2_is_consolidated(source, tmp_path):
    store = tmp_path / "out.zarr"
    features = [text for text in without_zarr_keys(FITS)]
    convert(source, store, *features, options=("--store", "zarr2"))
    convert(source, tmp_path / "npy", *features)
    for name in arrays_in(tmp_path / "npy"):
        assert_equal(by_zarr(store, zarr_name(name, GROUPS)), np.load(tmp_path / "npy" / f"{name}.npy"))
    assert xarray.open_zarr(store, consolidated=True)["label"].dims == ("element",)


@pytest.mark.parametrize("word,what", [("chunk=8 shard=64", "shards"), ("codec=crc32c", "checksums"), ("dtype=bfloat16", "bfloat16")])
def test_version_2_lacks_some_things(rows, tmp_path, word, what):
    words = wants([f"x: pad=max {word}"])
    done = run("convert", rows["numbers"], "-o", tmp_path / "out", "--store", "zarr2", *words, code=None)
    assert done.returncode != 0 and what in done.stderr and "--store zarr`" in done.stderr


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["zarr", "zarr2"])
@pytest.mark.parametrize("codec", ["none", "zstd", "gzip:1"])
def test_texts_are_as_long_as_they_are(tmp_path, codec, store):
    texts = ["", "a", "éß", "日本語", " ", "x" * 50] * 20
    source = write(tmp_path / "in", examples("t", [strings(text.encode()) for text in texts]))
    for chunks in ("", "chunk=7", "chunk=8 shard=32" if store == "zarr" else "chunk=200"):
        out = tmp_path / "out"
        words = ("--store", store, "--overwrite")
        convert(source, out, f"t: dtype=string codec={codec} {chunks}", options=words)
        found = zarr.open_group(out, mode="r")["t"]
        assert found.dtype.kind in "TO" and found[...].tolist() == texts
        assert xarray.open_zarr(out, consolidated=True)["t"].values.tolist() == texts
        run("verify", out, "--against-source")


def test_texts_are_utf_8_and_keep_their_nuls(tmp_path):
    for value, what in [(b"ab\xff", "UTF-8"), (b"ab\0", "NUL")]:
        source = write(tmp_path / "in", examples("t", [strings(b"fine"), strings(value)]))
        done = convert(source, tmp_path / "out.zarr", "t: dtype=string", code=None)
        assert done.returncode != 0 and what in done.stderr, done.stderr
        assert not (tmp_path / "out.zarr").exists()
    source = write(tmp_path / "in", examples("t", [strings(b"fine")]))
    done = convert(source, tmp_path / "out", "t: dtype=string", code=None)
    assert done.returncode != 0 and "Zarr" in done.stderr


def test_the_plan_says_which_readers_lack_a_dtype(rows, tmp_path):
    for source, dtype, reader in ((rows["numbers"], "bfloat16", "zarr-python"), (rows["S5"], "S5", "TensorStore")):
        words = [*wants([f"x: pad=max dtype={dtype}"]), "--dry-run"]
        assert reader in run("convert", source, "-o", tmp_path / "out.zarr", *words).stdout
        assert reader not in run("convert", source, "-o", tmp_path / "out", *words).stdout


# --- fits ------------------------------------------------------------------------------------------------------------


def mixed(count=700):
    """Elements of many kinds, some of them long."""
    return [
        example(
            {
                "tokens": ints(*range(n % 13), *range(n % 97 == 0 and 900)),
                "few": ints(*range(n % 4)),
                "text": strings(b"text " * (n % 29)),
                "words": strings(*(b"w" * k for k in range(n % 5))),
                "name": strings(b"n%d" % n),
                "label": ints(n % 3),
                "deep/er/x": floats(*(n + k for k in range(6))),
                "tensor": strings(
                    tf.io.serialize_tensor(tf.reshape(tf.range(2 * (n % 3)), (n % 3, 2))).numpy()
                ),
            }
        )
        for n in range(count)
    ]


FITS = [
    "tokens: ragged chunk=64 codec=none",
    "few: bucket=1,3 chunk=32 shard=64 mask",
    "text: ragged chunk=100 shard=1000",
    "words: ragged present",
    "name: chunk=64",
    "label: dtype=uint8",
    "deep/er/x: reshape=2,3 chunk=10x2x2",
    "tensor: ragged",
]
GROUPS = ["tokens", "few", "text", "words", "tensor"]


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in.tfrecord", mixed())


def without_zarr_keys(features):
    """The same request for `.npy`."""
    keys = ("chunk=", "shard=", "codec=")
    return [" ".join(word for word in feature.split(" ") if not word.startswith(keys)) for feature in features]


def test_every_fit_is_read(source, tmp_path):
    store, arrays = tmp_path / "out.zarr", tmp_path / "npy"
    convert(source, store, *FITS)
    convert(source, arrays, *without_zarr_keys(FITS))
    assert_same(store, arrays, GROUPS)
    for path in ("", "tokens", "few", "text", "words", "tensor", "deep", "deep/er"):
        assert json.loads((store / path / "zarr.json").read_text())["node_type"] == "group"
    run("verify", store, "--against-source")


def test_without_a_word_everything_is_taken(source, tmp_path):
    store, arrays = tmp_path / "out.zarr", tmp_path / "npy"
    convert(source, store)
    convert(source, arrays)
    ragged = {path.stem for path in arrays.rglob("*.offsets.npy")}
    groups = [name.removesuffix(".offsets") for name in ragged]
    assert_same(store, arrays, groups)


def test_ragged_arrays_say_how_they_are_read(source, tmp_path):
    store = tmp_path / "out.zarr"
    convert(source, store, "tokens: ragged")
    group = zarr.open_group(store, mode="r")["tokens"]
    values, offsets = group["values"], group["offsets"]
    assert offsets.attrs["convention"] == values.attrs["convention"] == "element i is values[offsets[i]:offsets[i+1]]"
    assert (offsets.attrs["feature"], offsets.attrs["role"]) == ("tokens", "offsets")
    for n in (0, 97, 699):
        row = values[offsets[n] : offsets[n + 1]]
        np.testing.assert_array_equal(row, [*range(n % 13), *range(n % 97 == 0 and 900)])


def test_images_have_named_axes_and_classes(tmp_path):
    photos = tmp_path / "photos"
    for n in range(12):
        directory = photos / ("cats", "dogs")[n % 2]
        directory.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 256, (20 + n, 30, 3), np.uint8)
        (directory / f"{n}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    features = ["image: resize=16x24 chunk=5", "label"]
    convert(photos, tmp_path / "npy", *without_zarr_keys(features))
    convert(photos, tmp_path / "out.zarr", *features)
    assert_same(tmp_path / "out.zarr", tmp_path / "npy")
    dataset = xarray.open_zarr(tmp_path / "out.zarr", consolidated=True)
    assert dataset["image"].dims == ("element", "height", "width", "channel")
    assert dataset["label"].attrs["classes"] == ["cats", "dogs"]
    convert(photos, tmp_path / "nchw.zarr", "image: resize=16x24 layout=nchw")
    assert xarray.open_zarr(tmp_path / "nchw.zarr")["image"].dims == ("element", "channel", "height", "width")


def test_axes_of_one_name_have_one_size(tmp_path):
    """Also where a feature is called as an axis would be."""
    records = [example({"height": ints(n), "element": ints(1, 2), "x": ints(*range(6))}) for n in range(9)]
    convert(write(tmp_path / "in", records), tmp_path / "out.zarr")
    dataset = xarray.open_zarr(tmp_path / "out.zarr", consolidated=True)
    assert dataset["element"].dims == ("element_", "element_1")
    assert dataset["height"].dims == ("element_",)
    np.testing.assert_array_equal(dataset["height"].values, range(9))


# --- chunks ----------------------------------------------------------------------------------------------------------


def test_chunks_of_the_fill_value_are_not_written(tmp_path):
    records = examples("x", [ints(*([7] * (n % 3))) if 40 <= n < 50 else ints() for n in range(100)])
    source = write(tmp_path / "in", records)
    for codec in ("none", "zstd"):
        store = tmp_path / f"{codec}.zarr"
        convert(source, store, f"x: pad=4 value=-1 chunk=10 codec={codec} lengths=no")
        assert {path.name for path in (store / "x").iterdir()} == {"zarr.json", "c.4.0"}
        array = zarr.open_group(store, mode="r")["x"]
        assert array.fill_value == -1
        expected = tf.io.parse_example(records, {"x": tf.io.RaggedFeature(tf.int64)})["x"].to_tensor(-1, shape=(None, 4))
        np.testing.assert_array_equal(array[...], expected)
        np.testing.assert_array_equal(by_tensorstore(store, "x"), expected)
        run("verify", store, "--against-source")


def test_the_metadata_of_all_arrays_are_in_that_of_the_root(source, tmp_path):
    store = tmp_path / "out.zarr"
    convert(source, store, *FITS)
    root = json.loads((store / "zarr.json").read_text())["consolidated_metadata"]
    assert (root["kind"], root["must_understand"]) == ("inline", False)
    for path, document in root["metadata"].items():
        there = json.loads((store / path / "zarr.json").read_text())
        there.pop("consolidated_metadata", None)
        assert document == there
    paths = {str(path.parent.relative_to(store)) for path in store.rglob("zarr.json")}
    assert set(root["metadata"]) == paths - {"."}
    # A reader that has them looks at no other.
    (store / "label" / "zarr.json").unlink()
    assert zarr.open_group(store, mode="r", use_consolidated=True)["label"].shape == (700,)


def test_shards_hold_the_chunks_that_were_asked_for(source, tmp_path):
    store = tmp_path / "out.zarr"
    convert(source, store, "deep/er/x: chunk=8 shard=64")
    array = zarr.open_group(store, mode="r")["deep/er/x"]
    assert (array.chunks, array.shards) == ((8, 6), (64, 6))
    assert len(list((store / "deep/er/x").glob("c.*"))) == 11


# --- the same for all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_threads_and_memory_change_nothing(tmp_path, compression):
    """Blocks of every kind: smaller than slabs, larger, and of files that cannot be entered."""
    records = [
        example({"x": floats(*(n * 0.5 + k for k in range(1024))), "n": ints(n), "r": ints(*range(n % 50))})
        for n in range(9000)
    ]
    source = [write(tmp_path / f"in-{k}", records[k * 3000 : (k + 1) * 3000], compression) for k in range(3)]
    features = ["x: chunk=300 shard=900", "n: chunk=4000", "r: ragged chunk=10000 shard=70000"]
    outputs = []
    for number, options in enumerate(
        (["--threads", "1"], ["--threads", "2"], ["--threads", "7"], ["--threads", "7", "--memory", "100MiB"])
    ):
        store = tmp_path / f"{number}.zarr"
        convert(source, store, *features, options=options)
        outputs.append((files_of(store), manifest(store)))
    assert all(output == outputs[0] for output in outputs[1:])
    convert(source, tmp_path / "npy", *without_zarr_keys(features))
    assert_same(store, tmp_path / "npy", ["r"])


def test_a_shard_may_be_larger_than_memory_and_a_chunk_not(tmp_path):
    source = write(tmp_path / "in", examples("x", [floats(*range(10_000))] * 4000))
    run = ["--memory", "64MiB"]
    convert(source, tmp_path / "out.zarr", "x: chunk=10 shard=4000", options=run)
    assert zarr.open(tmp_path / "out.zarr")["x"][3999].tolist() == list(range(10_000))
    said = convert(source, tmp_path / "chunk.zarr", "x: chunk=4000", options=run, code=FAILED)
    assert "152.6 MiB" in said.stderr and "a smaller `chunk`" in said.stderr and "--memory" in said.stderr
    assert not (tmp_path / "chunk.zarr").exists()
    convert(source, tmp_path / "chunk.zarr", "x: chunk=4000", options=["--memory", "800MiB"])


@pytest.mark.parametrize("codec", ["none", "zstd:1", "zstd:9", "zstd:19", "gzip:6"])
@pytest.mark.parametrize("chunks", ["", "chunk=100 shard=2000", "chunk=3000", "chunk=100x333"])
def test_memory_is_what_was_planned(tmp_path, codec, chunks):
    rng = np.random.default_rng(1)
    records = [
        example({"x": floats(*rng.normal(size=1000)), "n": ints(n), "r": ints(*rng.integers(0, 9999, n % 300))})
        for n in range(6000)
    ]
    source = write(tmp_path / "in", records)
    features = [f"x: codec={codec} {chunks}", f"n: codec={codec}", f"r: ragged codec={codec}"]
    words = ["convert", source, "-o", tmp_path / "out.zarr", *wants(features), "--json", "--threads", "4"]
    ran = json.loads(subprocess.run([BINARY, *map(str, words)], capture_output=True, check=True).stdout)["run"]
    assert ran["peak_memory"] <= ran["planned_memory"]


def test_names_that_zarr_keeps_for_itself(tmp_path):
    """Samples of tars have a `__key__`."""
    source = write(tmp_path / "in", [example({"__key__": strings(b"a"), "x/__y": ints(1)}), example({"__key__": strings(b"b"), "x/__y": ints(2)})])
    for store in ("zarr", "zarr2"):
        convert(source, tmp_path / store, options=["--store", store])
        group = zarr.open_group(tmp_path / store, mode="r")
        assert group["key"][:].tolist() == [b"a", b"b"] and group["x/y"][:].tolist() == [1, 2]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["chunk=16", "shard=none", "codec=zstd"])
@pytest.mark.parametrize("output", ["out", "out.npy"])
def test_npy_has_no_chunks(source, tmp_path, key, output):
    said = convert(source, tmp_path / output, f"label: {key}", code=USAGE)
    assert f"`{key.split('=')[0]}` is for Zarr" in said.stderr and "`.zarr`" in said.stderr


@pytest.mark.parametrize("change", ["flip", "cut", "gone", "surplus"])
def test_every_change_of_a_file_is_found(source, tmp_path, change):
    store = tmp_path / "out.zarr"
    convert(source, store, *FITS)
    for name, body in files_of(store).items():
        path = store / name
        said = name
        if change == "flip":
            path.write_bytes(bytes([body[0] ^ 1]) + body[1:])
        elif change == "cut":
            path.write_bytes(body[:-1])
        elif change == "gone":
            path.unlink()
        else:
            said = f"{name}.new"
            (store / said).write_bytes(body)
        assert f"`{said}`" in run("verify", store, code=FAILED).stdout
        path.write_bytes(body)
        (store / f"{name}.new").unlink(missing_ok=True)
    run("verify", store)


def test_texts_are_called_strings(tmp_path):
    source = write(tmp_path / "in", examples("t", [strings(b"abc"), strings(b"de")]))
    told = run("convert", source, "-o", tmp_path / "out.zarr", "-f", "t: dtype=string").stdout
    assert "string" in told and "S3" not in told
    assert "string" in run("info", tmp_path / "out.zarr").stdout
