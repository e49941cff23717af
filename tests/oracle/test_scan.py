"""The numbers that `scan` reports, against those that TensorFlow's parsing gives."""

import numpy as np
import pytest
import tensorflow as tf

from oracle import (
    FAILED,
    SKIPPED,
    convert,
    example,
    examples,
    floats,
    ints,
    lengths,
    present,
    ragged,
    run,
    scan,
    strings,
    unset,
    write,
)

ROWS = {
    "int64": (tf.int64, [ints(1, 2, 3), ints(), ints(-1), unset(), ints(*range(100)), ints(7)]),
    "float": (tf.float32, [floats(), floats(1, 2), floats(0.5), floats(3, 4, 5), floats(1), floats()]),
    "bytes": (
        tf.string,
        [strings(b"a", b""), strings(), strings(b"xyz"), unset(), strings(b"\x00" * 200), strings(b"b")],
    ),
}


def numbers(sizes):
    """What scan tells of sizes, in NumPy's words."""
    return {"min": sizes.min(), "max": sizes.max(), "total": sizes.sum(), "count": len(sizes)}


def assert_numbers(found, sizes):
    assert {key: found[key] for key in ("min", "max", "total", "count")} == numbers(sizes)
    assert sum(count for _, count in found["histogram"]) == len(sizes)


@pytest.mark.parametrize("kind", ROWS)
def test_lengths_of_lists_and_strings(tmp_path, kind):
    dtype, rows = ROWS[kind]
    records = examples("x", [*rows, None])
    feature = scan(write(tmp_path / "a", records))["features"]["x"]
    parsed = ragged(records, "x", dtype)
    there = present(records, "x")
    assert feature["kind"] == kind
    assert feature["present"] == there.sum()
    assert_numbers(feature["lengths"], lengths(parsed)[there])
    if kind == "bytes":
        assert_numbers(feature["strings"], np.array([len(value) for value in parsed.values.numpy()]))
    else:
        assert feature["strings"] is None


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_counts_over_many_shards(tmp_path, compression):
    random = np.random.default_rng(3)
    records = [example({"x": ints(*range(random.integers(60))), f"only{n % 3}": floats(n)}) for n in range(300)]
    paths = [write(tmp_path / f"s{n}", records[n * 30 : n * 30 + 30], compression) for n in range(10)]
    found = scan(paths)
    assert found["elements"] == len(records)
    assert found["record_bytes"] == sum(map(len, records))
    assert found["largest_record"] == max(map(len, records))
    assert [file["path"] for file in found["parts"]] == [str(path) for path in paths]
    assert [file["bytes"] for file in found["parts"]] == [path.stat().st_size for path in paths]
    assert set(found["features"]) == {"x", "only0", "only1", "only2"}
    for name, feature in found["features"].items():
        assert feature["present"] == present(records, name).sum()
    sizes = lengths(ragged(records, "x", tf.int64))
    feature = found["features"]["x"]["lengths"]
    assert_numbers(feature, sizes)
    # Sizes below 64 are counted exactly, so that quantiles are, too.
    assert dict(map(tuple, feature["histogram"])) == dict(
        zip(*map(np.ndarray.tolist, np.unique(sizes, return_counts=True)), strict=True)
    )
    assert feature["median"] == np.quantile(sizes, 0.5, method="inverted_cdf")
    assert feature["p99"] == np.quantile(sizes, 0.99, method="inverted_cdf")


def test_the_same_for_any_number_of_threads(tmp_path):
    paths = [write(tmp_path / f"s{n}", examples("x", [ints(*range(n))] * 5)) for n in range(9)]
    first, *others = (scan(paths, "--threads", threads)["features"] for threads in (1, 2, 7))
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    "body, content",
    [
        (tf.io.encode_jpeg(np.zeros((4, 4, 3), np.uint8)).numpy(), "JPEG"),
        (tf.io.encode_png(np.zeros((4, 4, 3), np.uint8)).numpy(), "PNG"),
        (tf.io.serialize_tensor(tf.range(3)).numpy(), "tensor"),
        (b"some text", "text"),
    ],
    ids=["jpeg", "png", "tensor", "text"],
)
def test_what_byte_strings_look_like(tmp_path, body, content):
    found = scan(write(tmp_path / "a", examples("x", [strings(body)] * 3)))["features"]["x"]["contents"]
    assert {name.lower(): count for name, count in found.items()} == {content.lower(): 3}


def test_the_padded_size_is_that_of_the_array(tmp_path, out):
    source = write(tmp_path / "a", examples("x", [ints(*range(n)) for n in (3, 9, 1)]))
    convert(source, out, "x: pad=max")
    assert scan(source)["features"]["x"]["padded_bytes"] == np.load(out / "x.npy").nbytes


def test_damage_is_told(tmp_path):
    path = write(tmp_path / "a", examples("x", [ints(n) for n in range(4)]))
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    run("scan", path, code=FAILED)
    assert "1" in run("scan", path, "--on-error", "skip", code=SKIPPED).stdout
