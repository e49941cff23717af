"""Zarr stores as datasets, written by zarr-python and by TensorStore, in both versions of the format; and real ones."""

import gzip
import json
import os
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorstore
import zarr
from numcodecs import Blosc, GZip, Zlib, Zstd
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from oracle import FAILED, assert_npy, run, scan
from test_npy import DTYPES, RNG, numbers

DATA = Path(os.environ.get("LITHIFY_TEST_DATA", "")) / "zarr"
SHAPE = (23, 5, 7)


def assert_converts(store, array, tmp_path, *words):
    """Every way to cut the work gives the array."""
    for options in [(), ("--threads", 1)]:
        run("convert", store, "-o", tmp_path / "back.npy", "--overwrite", "-q", *options, *words)
        assert_npy(tmp_path / "back.npy", array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "chunks,shards", [((4, 5, 7), None), ((4, 2, 3), None), ((2, 5, 7), (8, 5, 7)), ((3, 2, 2), (6, 4, 8))]
)
def test_version_3_is_read(tmp_path, dtype, chunks, shards):
    array = numbers(dtype, SHAPE)
    for codec in [None, ZstdCodec(level=1), GzipCodec(level=1), Crc32cCodec()]:
        zarr.create_array(
            tmp_path / "x.zarr", data=array, chunks=chunks, shards=shards, overwrite=True, compressors=codec
        )
        assert_converts(tmp_path / "x.zarr", array, tmp_path)


@pytest.mark.parametrize("dtype", [order + dtype for dtype in DTYPES if dtype != "?" for order in "<>"] + ["S5", "<U3", ">U3", "<M8[ns]"])
@pytest.mark.parametrize("order", "CF")
def test_version_2_is_read(tmp_path, dtype, order):
    if dtype[-2] in "SU" or dtype[1] in "SU":
        array = np.array([f"{n}é" if "U" in dtype else f"{n}" for n in range(20)], dtype).reshape(10, 2)
        wanted = np.array([text.encode() for text in array.astype(f"U{8}").ravel()]).reshape(10, 2)
    else:
        array = numbers(dtype.replace("M8[ns]", "i8"), (10, 2)).astype(dtype)
        wanted = array.astype("<i8") if "M8" in dtype else array.astype(array.dtype.newbyteorder("<"))
    for codec in [None, Zstd(1), GZip(1), Zlib(1)]:
        stored = zarr.create_array(
            tmp_path / "x.zarr", shape=array.shape, dtype=array.dtype, chunks=(4, 2), order=order,
            overwrite=True, compressors=codec, zarr_format=2,
        )
        stored[...] = array
        assert_converts(tmp_path / "x.zarr", wanted, tmp_path)


@pytest.mark.parametrize("compressor", ["lz4", "lz4hc", "zstd", "zlib"])
@pytest.mark.parametrize("shuffle", [Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">f4", "<c16", "S3", "S40"])
def test_blosc_is_read(tmp_path, compressor, shuffle, dtype):
    for rows, block in [(64, 0), (5000, 0), (3001, 4096), (1, 0)]:
        values = np.arange(rows * 3).reshape(rows, 3) % 251
        array = values.astype("U8").astype(dtype) if "S" in dtype else values.astype(dtype)
        if rows == 64:
            array = np.frombuffer(RNG.bytes(array.nbytes), array.dtype).reshape(array.shape) if "S" not in dtype else array
        codec = Blosc(compressor, clevel=5, shuffle=shuffle, blocksize=block)
        stored = zarr.create_array(
            tmp_path / "x.zarr", shape=array.shape, dtype=array.dtype, chunks=(3000, 3), overwrite=True,
            compressors=codec, zarr_format=2,
        )
        stored[...] = array
        wanted = np.array(array.tolist()) if "S" in dtype else array.astype(array.dtype.newbyteorder("<"))
        run("convert", tmp_path / "x.zarr", "-o", tmp_path / "back.npy", "--overwrite", "-q")
        assert_npy(tmp_path / "back.npy", wanted)
        if "S" not in dtype:
            codec = BloscCodec(cname=compressor, clevel=5, shuffle=["noshuffle", "shuffle", "bitshuffle"][shuffle])
            zarr.create_array(tmp_path / "y.zarr", data=wanted, chunks=(3000, 3), overwrite=True, compressors=codec)
            run("convert", tmp_path / "y.zarr", "-o", tmp_path / "back.npy", "--overwrite", "-q")
            assert_npy(tmp_path / "back.npy", wanted)


def test_what_is_not_stored_is_the_fill_value(tmp_path):
    array = zarr.create_array(tmp_path / "x.zarr", shape=(100, 3), chunks=(10, 3), dtype="f4", fill_value=-1.5)
    array[42] = 7
    assert_converts(tmp_path / "x.zarr", array[:], tmp_path)


def test_big_endian_and_transposed_chunks_are_turned(tmp_path):
    array = numbers("i4", (9, 4, 5))
    stored = zarr.create_array(
        tmp_path / "x.zarr", data=array, chunks=(4, 4, 2), filters=TransposeCodec(order=(2, 0, 1)),
        serializer=BytesCodec(endian="big"), compressors=ZstdCodec(),
    )
    assert_converts(tmp_path / "x.zarr", stored[:], tmp_path)


@pytest.mark.parametrize("driver", ["zarr", "zarr3"])
def test_tensorstore_is_read(tmp_path, driver):
    array = numbers("f4", (50, 6))
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{tmp_path}/x.zarr/"}}
    if driver == "zarr":
        spec["metadata"] = {"compressor": {"id": "zstd", "level": 1}, "chunks": [8, 4]}
    else:
        shard = {"name": "sharding_indexed", "configuration": {
            "chunk_shape": [4, 6], "codecs": [{"name": "bytes"}, {"name": "zstd"}], "index_location": "start"}}
        spec["metadata"] = {"codecs": [shard], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [16, 6]}}}
    stored = tensorstore.open(spec, create=True, dtype=tensorstore.float32, shape=array.shape).result()
    stored.write(array).result()
    assert_converts(tmp_path / "x.zarr", array, tmp_path)


def test_bfloat16_is_read(tmp_path):
    array = np.arange(12).reshape(6, 2).astype(ml_dtypes.bfloat16)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/x.zarr/"}}
    tensorstore.open(spec, create=True, dtype=tensorstore.bfloat16, shape=array.shape).result().write(array).result()
    run("convert", tmp_path / "x.zarr", "-o", tmp_path / "y.npy", "-q", "-f", "x: dtype=float32")
    assert_npy(tmp_path / "y.npy", array.astype("f4"))


@pytest.mark.parametrize("version", [2, 3])
def test_the_arrays_of_a_group_are_features(tmp_path, version):
    group = zarr.create_group(tmp_path / "store", zarr_format=version)
    wanted = {"a": numbers("f4", (9, 2)), "b/c": numbers("i8", (9,)), "b/_d": numbers("u1", (9, 2, 2))}
    for name, array in wanted.items():
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=(4,) + array.shape[1:])[...] = array
    assert set(scan(tmp_path / "store")["features"]) == set(wanted)
    run("convert", tmp_path / "store", "-o", tmp_path / "out", "-q")
    for name, array in wanted.items():
        assert_npy(tmp_path / "out" / f"{name}.npy", array)
    # One of them, by its path.
    run("convert", tmp_path / "store/b/c", "-o", tmp_path / "c.npy", "-q")
    assert_npy(tmp_path / "c.npy", wanted["b/c"])
    # Another of another length is none of the same elements.
    group.create_array("e", shape=(3,), dtype="f4")[...] = 1
    message = run("convert", tmp_path / "store", "-o", tmp_path / "out", "--overwrite", code=FAILED).stderr
    assert "`e` has 3 rows" in message and "by its own path: `" in message and "--feature a --feature" in message
    run("convert", tmp_path / "store", "-o", tmp_path / "chosen", "-f", "a", "-f", "b/c", "-q")
    assert_npy(tmp_path / "chosen/a.npy", wanted["a"])


def test_stores_are_chunked_anew(tmp_path):
    array = numbers("f4", (1000, 17))
    np.save(tmp_path / "x.npy", array)
    run("convert", tmp_path / "x.npy", "-o", tmp_path / "a.zarr", "-q", "-f", "x: chunk=64 shard=256")
    run("convert", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", "-q", "-f", "x: chunk=100x5 codec=gzip:1")
    assert zarr.open(tmp_path / "b.zarr")["x"].chunks == (100, 5)
    np.testing.assert_array_equal(zarr.open(tmp_path / "b.zarr")["x"][:].view("u4"), array.view("u4"))
    run("convert", tmp_path / "b.zarr", "-o", tmp_path / "y.npy", "-q")
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "x.npy").read_bytes()
    # Bands that are larger than blocks, and rows that are larger than what is read at a time.
    wide = numbers("f4", (64, 300_000))
    zarr.create_array(tmp_path / "wide.zarr", data=wide, chunks=(64, 300_000))
    assert_converts(tmp_path / "wide.zarr", wide, tmp_path)


def test_memory_stays_within_the_budget_or_is_refused(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=np.zeros((1024, 1 << 16), "f4"), chunks=(256, 1 << 16))
    message = run("convert", tmp_path / "x.zarr", "-o", tmp_path / "y.npy", "--memory", "100MiB", code=FAILED).stderr
    assert "memory" in message, message


def test_damage_is_told(tmp_path):
    array = numbers("f4", (64, 16))
    path = tmp_path / "x.zarr"
    zarr.create_array(path, data=array, chunks=(8, 16), shards=(16, 16))
    chunk = path / "c/1/0"
    sound = chunk.read_bytes()
    for at in [0, 7, len(sound) // 2, len(sound) - 60, len(sound) - 1]:
        damaged = bytearray(sound)
        damaged[at] ^= 0xFF
        chunk.write_bytes(damaged)
        done = run("convert", path, "-o", tmp_path / "y.npy", "--overwrite", code=None)
        # Zstandard frames have no checksum here, so that wrong bytes can come of wrong bytes.
        assert done.returncode == 0 or ("x.zarr" in done.stderr and "rows 16" in done.stderr), done.stderr
    for cut in [0, 3, 40, len(sound) - 1]:
        chunk.write_bytes(sound[:cut])
        message = run("convert", path, "-o", tmp_path / "y.npy", "--overwrite", code=FAILED).stderr
        assert "x.zarr" in message and "rows 16 to " in message, message
    # An index that claims more than there is.
    claims = bytearray(sound)
    claims[-20:-12] = (2**62).to_bytes(8, "little")
    chunk.write_bytes(claims)
    run("convert", path, "-o", tmp_path / "y.npy", "--overwrite", code=FAILED)
    for document in ["", "{", "[]", "7", "{}", '{"node_type": "array"}', '{"node_type": "array", "data_type": "float32", "shape": [-1]}']:
        (path / "zarr.json").write_text(document)
        assert "zarr" in run("scan", path, code=FAILED).stderr
    (path / "zarr.json").write_text(json.dumps({"node_type": "group", "zarr_format": 3}))
    assert "without arrays" in run("scan", path, code=FAILED).stderr


def test_what_cannot_be_read_is_named(tmp_path):
    zarr.create_array(tmp_path / "s.zarr", shape=(3,), dtype=str)[...] = ["a", "bc", ""]
    assert "any length" in run("scan", tmp_path / "s.zarr", code=FAILED).stderr
    zarr.create_array(tmp_path / "scalar.zarr", shape=(), dtype="f4")[...] = 1
    assert "no rows" in run("scan", tmp_path / "scalar.zarr", code=FAILED).stderr


@pytest.mark.skipif(not DATA.is_dir(), reason="LITHIFY_TEST_DATA is not set")
def test_real_stores_are_read(tmp_path):
    arrays = {path.parent for name in ("zarr.json", ".zarray") for path in DATA.rglob(name)}
    read = 0
    for path in sorted(arrays):
        # Where both versions are described, the later counts.
        array = zarr.open(path, mode="r", zarr_format=3 if (path / "zarr.json").exists() else 2)
        if isinstance(array, zarr.Array):
            run("convert", path, "-o", tmp_path / "out.npy", "--overwrite", "-q")
            assert_npy(tmp_path / "out.npy", array[:])
            read += 1
    assert read >= 8


def test_stores_of_one_array_follow_one_another(tmp_path):
    arrays = [numbers("f4", (rows, 3)) for rows in (4, 0, 7)]
    for number, array in enumerate(arrays):
        zarr.create_array(tmp_path / f"part-{number}.zarr", data=array, chunks=(2, 3))
    parts = [tmp_path / f"part-{number}.zarr" for number in range(3)]
    run("convert", *parts, "-o", tmp_path / "all.npy", "-q")
    assert_npy(tmp_path / "all.npy", np.concatenate(arrays))


def test_texts_of_one_width_are_turned(tmp_path):
    texts = np.array(["a", "éß", "日本語"], "U3")
    wanted = np.array([text.encode() for text in texts])
    for endian in ("big", "little"):
        zarr.create_array(tmp_path / "x.zarr", data=texts, serializer=BytesCodec(endian=endian), overwrite=True)
        run("convert", tmp_path / "x.zarr", "-o", tmp_path / "y.npy", "-q", "--overwrite")
        assert_npy(tmp_path / "y.npy", wanted)
    for version in (2, 3):
        stored = zarr.create_array(
            tmp_path / f"filled{version}", shape=(8,), chunks=(4,), dtype="U4", fill_value="AA", zarr_format=version
        )
        stored[:4] = "x"
        assert "filled with" in run("scan", tmp_path / f"filled{version}", code=FAILED).stderr


def test_what_is_claimed_is_not_believed(tmp_path):
    array = {"zarr_format": 2, "shape": [10], "chunks": [10], "dtype": "<f4", "fill_value": 0, "order": "C", "filters": None}
    frame = bytes([0x28, 0xB5, 0x2F, 0xFD, 0xE0]) + (2**50).to_bytes(8, "little") + bytes([1, 0, 0, 0])
    # Blocks that are each a byte, said to be repeated 128 KiB times (RFC 8878), without a word of how many there are.
    blocks = [(1 << 1 | 1 << 20).to_bytes(3, "little") + b"x" for _ in range(64)]
    sizeless = bytes([0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58]) + b"".join(blocks)
    cases = [
        ({"compressor": {"id": "zstd", "level": 1}}, frame, "more than the 40 bytes"),
        ({"compressor": {"id": "gzip", "level": 1}}, gzip.compress(bytes(1 << 24)), "more than the 40 bytes"),
        ({"compressor": {"id": "zlib", "level": 1}}, zlib.compress(bytes(1 << 24)), "more than the 40 bytes"),
        ({"compressor": {"id": "zstd", "level": 1}}, sizeless, "more than the 40 bytes"),
        ({"chunks": [2**40], "compressor": None}, b"", "memory"),
        ({"chunks": [2**62], "compressor": None}, b"", "larger than any file"),
        ({"shape": [2**63], "compressor": None}, b"", "larger than any file"),
        ({"dtype": "|S0", "compressor": None}, b"", "no bytes"),
        ({"dtype": "|S100000000000", "compressor": None}, b"", "wide"),
    ]
    for number, (change, chunk, what) in enumerate(cases):
        path = tmp_path / str(number)
        path.mkdir()
        (path / ".zarray").write_text(json.dumps(array | change))
        (path / "0").write_bytes(chunk)
        message = run("convert", path, "-o", tmp_path / "y.npy", code=FAILED).stderr
        assert what in message and len(message) < 1000, message
    shard = {"chunk_shape": [1, 1], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]}
    document = {
        "zarr_format": 3, "node_type": "array", "shape": [10], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10]}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "sharding_indexed", "configuration": shard}],
    }
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    assert "whole chunks" in run("scan", tmp_path, code=FAILED).stderr


def test_links_that_lead_back_end(tmp_path):
    group = zarr.create_group(tmp_path / "x.zarr")
    group.create_array("a", data=np.arange(3))
    for name in ("b", "c"):
        (tmp_path / "x.zarr" / name).symlink_to(".")
    assert list(scan(tmp_path / "x.zarr")["features"]) == ["a"]
