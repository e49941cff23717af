"""Datasets of several blocks and spans: the same bytes however the work is split, and no record taken for another.

A file is cut in spans of 32 MiB that are read at the same time, each from where a record seems to start. Payloads that
hold whole TFRecords, or headers of such, must not be taken for records.
"""

import json
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from oracle import (
    FAILED,
    assert_output,
    assert_same_output,
    convert,
    example,
    fixed,
    floats,
    ints,
    lengths,
    ragged,
    run,
    scan,
    strings,
    wants,
    write,
)

SPAN = 32 << 20


def framed(directory, records):
    """Records as the bytes of a TFRecord file."""
    return write(directory / "framed", records).read_bytes()


# --- the same bytes --------------------------------------------------------------------------------------------------

REPEATS = 40
WANTED = [
    "tokens: pad=max value=-1 dtype=int32 mask",
    "floats: ragged dtype=float16",
    "texts: ragged dtype=S",
    "image: decode=raw:uint8 reshape=height,8 pad=max",
    "blob: ragged present",
    "label: bucket=2,5,9",
]


def some_records():
    random = np.random.default_rng(11)
    for number in range(400):
        height = int(random.integers(1, 30))
        features = {
            "tokens": ints(*random.integers(-(2**31), 2**31, random.integers(0, 300))),
            "floats": floats(*random.normal(size=random.integers(0, 200))),
            "texts": strings(*(random.bytes(3) + b"." for _ in range(random.integers(0, 4)))),
            "height": ints(height),
            "image": strings(random.bytes(height * 8)),
            "label": ints(*range(random.integers(0, 10))),
        }
        if number % 3:
            features["blob"] = strings(random.bytes(random.integers(0, 3000)))
        yield example(features)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The files of a dataset, plain and compressed, and the records that repeat in them."""
    directory = tmp_path_factory.mktemp("large")
    records = list(some_records())
    body = framed(directory, records)
    plain = directory / "part-0"
    plain.write_bytes(body * (REPEATS - 2))
    packed = [write(directory / f"part-{n}", records, kind) for n, kind in ((1, "GZIP"), (2, "ZLIB"))]
    return [plain, *packed], records


@pytest.fixture(scope="module")
def reference(large, tmp_path_factory):
    """An output that all others must be equal to."""
    output = tmp_path_factory.mktemp("reference") / "out"
    convert(large[0], output, *WANTED, options=["--threads", "1", "--io", "pwrite"])
    return output


def tiled_splits(sizes):
    return np.cumsum([0, *np.tile(sizes, REPEATS)]).astype(np.int64)


def tiled(array):
    return np.tile(array, (REPEATS, *[1] * (array.ndim - 1)))


def expected(records):
    """The arrays that WANTED asks for: what TensorFlow makes of the records that repeat, as often."""
    tokens, numbers, texts, labels = (
        ragged(records, name, dtype)
        for name, dtype in (("tokens", tf.int64), ("floats", tf.float32), ("texts", tf.string), ("label", tf.int64))
    )
    bodies = fixed(records, "image", tf.string)
    images = tf.ragged.stack([tf.reshape(tf.io.decode_raw(body, tf.uint8), (-1, 8)) for body in bodies])
    blobs = fixed(records, "blob", tf.string, (), b"")
    heights = fixed(records, "height", tf.int64)
    arrays = {
        "tokens": tiled(tf.cast(tokens.to_tensor(-1), tf.int32).numpy()),
        "tokens.lengths": tiled(lengths(tokens)),
        "tokens.mask": tiled(tf.sequence_mask(tokens.row_lengths()).numpy()),
        "floats.values": tiled(tf.cast(numbers.values, tf.float16).numpy()),
        "floats.offsets": tiled_splits(lengths(numbers)),
        "texts.values": tiled(texts.values.numpy().astype("S4")),
        "texts.offsets": tiled_splits(lengths(texts)),
        "image": tiled(images.to_tensor().numpy()),
        "image.lengths": tiled(np.stack([heights, np.full_like(heights, 8)], axis=1)),
        "blob.values": tiled(np.frombuffer(b"".join(blobs), np.uint8)),
        "blob.offsets": tiled_splits([len(blob) for blob in blobs]),
        "blob.present": tiled(np.arange(len(records)) % 3 != 0),
    }
    counts = lengths(labels)
    for low, cap in ((-1, 2), (2, 5), (5, 9)):
        chosen = np.flatnonzero((counts > low) & (counts <= cap))
        arrays[f"label.le{cap}"] = tiled(tf.gather(labels, chosen).to_tensor(shape=(None, cap)).numpy())
        arrays[f"label.le{cap}.lengths"] = tiled(counts[chosen])
        arrays[f"label.le{cap}.elements"] = np.concatenate([chosen + turn * len(records) for turn in range(REPEATS)])
    return arrays


def test_many_blocks_are_what_tensorflow_gives(large, reference):
    assert large[0][0].stat().st_size > SPAN
    assert_output(reference, expected(large[1]))


def test_there_are_several_blocks(large, out):
    """Else the tests here would show nothing."""
    told = json.loads(convert(large[0], out, *WANTED, options=["--dry-run", "--json"]).stdout)
    assert told["blocks"] >= 4


@pytest.mark.parametrize("io", ["mapped", "pwrite"])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_same_bytes_for_any_number_of_threads(large, reference, out, threads, io):
    convert(large[0], out, *WANTED, options=["--threads", threads, "--io", io])
    assert_same_output(out, reference)


@pytest.mark.parametrize("memory", ["least", "96MiB", "200MB", "2GiB"])
def test_the_same_bytes_for_any_memory(large, reference, out, memory):
    """Down to what one thread needs."""
    if memory == "least":
        told = json.loads(convert(large[0], out, *WANTED, options=["--dry-run", "--json", "--threads", "1"]).stdout)
        memory = told["memory_bytes"]
    convert(large[0], out, *WANTED, options=["--memory", memory, "--threads", "3"])
    assert_same_output(out, reference)


def test_the_same_bytes_by_way_of_a_plan(large, reference, tmp_path, out):
    run("plan", *large[0], "--to", out, "--output", tmp_path / "plan", "--threads", "2", "--io", "mapped", *wants(WANTED), "--quiet")
    run("write", tmp_path / "plan", "--threads", "5", "--quiet")
    assert_same_output(out, reference)


def test_verify_reads_all_of_it(reference):
    run("verify", reference)
    run("verify", reference, "--against-source", "--threads", "3")


def test_scan_counts_all_of_it(large):
    paths, records = large
    first, *others = (scan(paths, "--threads", threads) for threads in (1, 2, 7))
    assert all(other["features"] == first["features"] for other in others)
    assert first["elements"] == len(records) * REPEATS
    for name, dtype in (("tokens", tf.int64), ("floats", tf.float32), ("texts", tf.string)):
        sizes = lengths(ragged(records, name, dtype))
        found = first["features"][name]["lengths"]
        assert (found["total"], found["min"], found["max"]) == (sizes.sum() * REPEATS, sizes.min(), sizes.max())


# --- many and large elements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_more_than_a_million_tiny_records(tmp_path, out, threads):
    """Several blocks by the number of their rows, and many records between two entries of the index."""
    records = [example({"x": ints(*range(n % 3)), "y": ints(n)}) for n in range(3000)]
    path = tmp_path / "tiny"
    path.write_bytes(framed(tmp_path, records) * 400)
    convert(path, out, "x: ragged dtype=uint8", "y: dtype=int16", options=["--threads", threads])
    rows = ragged(records, "x", tf.int64)
    ends = np.cumsum([0, *np.tile(lengths(rows), 400)]).astype(np.int64)
    values = np.tile(tf.cast(rows.values, tf.uint8).numpy(), 400)
    y = np.tile(tf.cast(fixed(records, "y", tf.int64), tf.int16).numpy(), 400)
    assert_output(out, {"x.values": values, "x.offsets": ends, "y": y})


@pytest.mark.parametrize("io", ["mapped", "pwrite"])
@pytest.mark.parametrize("fit", ["pad=max value=5", "ragged", "decode=none"])
def test_elements_larger_than_a_block(tmp_path, out, io, fit):
    sizes = [9 << 20, 3, 0, (12 << 20) + 1, 70_000]
    bodies = [np.random.default_rng(size).bytes(size) for size in sizes]
    records = [example({"x": strings(body)}) for body in bodies]
    view = fit if "decode" in fit else f"decode=raw:uint8 {fit}"
    convert(write(tmp_path / "a", records), out, f"x: {view}", options=["--io", io])
    rows = tf.ragged.stack([tf.io.decode_raw(body, tf.uint8) for body in bodies])
    if "pad" in fit:
        assert_output(out, {"x": rows.to_tensor(tf.constant(5, tf.uint8)).numpy(), "x.lengths": lengths(rows)})
    else:
        assert_output(out, {"x.values": rows.values.numpy(), "x.offsets": rows.row_splits.numpy().astype(np.int64)})


# --- records inside of records ---------------------------------------------------------------------------------------


def numbered(numbers, size=4000):
    """Records with a number and a body, of which no two are the same."""
    return [
        example({"id": ints(number), "body": strings(number.to_bytes(8, "big") * (size // 8))}) for number in numbers
    ]


def body_of(size, fill=b"\x00"):
    """A record that holds one long body."""
    return example({"id": ints(-1), "body": strings((fill * (size // len(fill) + 1))[:size])})


def record_of_size(size):
    """A record of exactly so many bytes."""
    record = body_of(size - 60)
    record = body_of(size - 60 + size - len(record))
    assert len(record) == size
    return record


class Builder:
    """A TFRecord file under construction, which knows where it is."""

    def __init__(self, directory):
        self.directory = directory
        self.blocks = []
        self.size = 0
        self.count = 0

    def add(self, *records):
        block = framed(self.directory, records)
        self.blocks.append(block)
        self.size += len(block)

    def add_numbered(self, count):
        self.add(*numbered(range(self.count, self.count + count)))
        self.count += count

    def fill_to(self, position):
        """Adds records until the next one starts at this byte."""
        self.add_numbered((position - self.size) // 4100 - 2)
        self.add(record_of_size(position - self.size - 16))
        assert self.size == position

    def write(self):
        path = self.directory / "big.tfrecord"
        path.write_bytes(b"".join(self.blocks))
        return path


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


def assert_reads_as_tensorflow(path, out):
    """For each number of threads: the same ids and bodies, and as many elements in scan."""
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    ids = fixed(records, "id", tf.int64)
    bodies = fixed(records, "body", tf.string)
    ends = np.cumsum([0, *map(len, bodies)]).astype(np.int64)
    arrays = {"id": ids, "body.values": np.frombuffer(b"".join(bodies), np.uint8), "body.offsets": ends}
    for threads in (1, 3):
        convert(path, out / str(threads), "id", "body: ragged decode=none", options=["--threads", threads])
        assert_output(out / str(threads), arrays)
    assert scan(path)["elements"] == len(records)


@pytest.mark.parametrize("near", [-12, -5, 0, 1])
def test_a_record_starts_near_the_start_of_a_span(builder, out, near):
    builder.fill_to(SPAN + near)
    builder.add_numbered(50)
    assert_reads_as_tensorflow(builder.write(), out)


def test_a_payload_of_whole_records_over_the_start_of_a_span(builder, out):
    """The first header after the start of the span is sound, and so are those that follow it."""
    builder.fill_to(SPAN - 100_001)
    builder.add(body_of(200_000, framed(builder.directory, numbered(range(10**6, 10**6 + 40)))))
    builder.add_numbered(50)
    assert_reads_as_tensorflow(builder.write(), out)


def test_a_payload_of_records_that_ends_with_the_file(builder, out):
    builder.fill_to(SPAN - 1000)
    builder.add(body_of(100_000, framed(builder.directory, numbered([10**6], 80))))
    assert_reads_as_tensorflow(builder.write(), out)


def fake_header(directory, length):
    """A header of a record of this length, with the right checksum: that of the eight bytes which state it."""
    stated = length.to_bytes(8, "little")
    return stated + framed(directory, [stated])[-4:]


def test_a_header_in_a_payload_that_leads_to_the_next_record(builder, out):
    """What follows the fake record is a true one, so only that the span before does not end at it tells."""
    builder.fill_to(SPAN - 50_000)
    start, size = builder.size, 150_000
    end = start + 16 + size
    fake_at = SPAN + 1000
    record = bytearray(record_of_size(size))
    at = fake_at - start - 12
    fake = fake_header(builder.directory, end - fake_at - 16)
    record[at : at + len(fake)] = fake
    builder.add(bytes(record))
    builder.add_numbered(50)
    assert_reads_as_tensorflow(builder.write(), out)


def test_a_record_that_covers_a_whole_span(builder, out):
    """Two starts of spans lie in its payload, which is made of records."""
    builder.fill_to(SPAN - 10_000)
    builder.add(body_of(SPAN + 50_000, framed(builder.directory, numbered(range(10**6, 10**6 + 100)))))
    builder.add_numbered(20)
    assert_reads_as_tensorflow(builder.write(), out)


def test_damage_at_the_start_of_a_span_is_told_by_its_true_place(builder, out):
    """The element is counted from the start of the dataset, and those before and after it are kept with skip."""
    builder.fill_to(SPAN - 2000)
    builder.add_numbered(50)
    path = builder.write()
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    ends = np.cumsum([len(record) + 16 for record in records])
    bad = int(np.searchsorted(ends, SPAN)) + 1
    with open(path, "r+b") as file:
        file.seek(ends[bad] - 20)
        byte = file.read(1)[0]
        file.seek(ends[bad] - 20)
        file.write(bytes([byte ^ 1]))
    for threads in (1, 3):
        attempt = partial(convert, path, out / str(threads), "id")
        assert f"element {bad}" in attempt(options=["--threads", threads], code=FAILED).stderr
        attempt(options=["--threads", threads, "--on-error", "skip"], code=3)
        ids = fixed(records[:bad] + records[bad + 1 :], "id", tf.int64)
        assert_output(out / str(threads), {"id": ids})
