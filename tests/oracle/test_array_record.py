"""ArrayRecord files, written by the package `array_record` in every way that it knows, against what its reader gives."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from oracle import FAILED, SKIPPED, assert_npy, convert, example, fixed, floats, ints, load, manifest, pieces, run, scan, strings
from test_tfds import F, assert_equal, expected, numbers, random, store

OPTIONS = [
    "",
    "group_size:1",
    "group_size:7",
    "group_size:1000",
    "group_size:5,uncompressed",
    "group_size:1,zstd",
    "group_size:64,zstd:19",
    "group_size:64,zstd:-5",
    "group_size:9,zstd:3,window_log:31",
    "group_size:3,brotli",
    "group_size:100,brotli:0",
    "group_size:100,brotli:11,window_log:30",
    "group_size:1,snappy",
    "group_size:50,snappy",
    "group_size:4,pad_to_block_boundary:true",
    "group_size:3,transpose:false",
]


def write(path, records, options="group_size:1"):
    """Writes records with the package's own writer."""
    writer = ArrayRecordWriter(str(path), options)
    for record in records:
        writer.write(record)
    writer.close()
    return path


def records_of(count, seed=0):
    """Examples of a few features, some of them large."""
    made = []
    for number in range(count):
        rng = random(seed + number)
        text = bytes(rng.integers(97, 101, number % 50 * (400 if number % 71 == 3 else 1), np.uint8))
        values = rng.normal(size=5).astype(np.float32)
        made.append(example({"x": ints(number), "f": floats(*values), "t": strings(text)}))
    return made


def assert_records(out, records):
    """The output has what TensorFlow parses of these records."""
    import tensorflow as tf

    assert_npy(out / "x.npy", fixed(records, "x", tf.int64))
    assert_npy(out / "f.npy", fixed(records, "f", tf.float32, (5,)))
    texts = pieces(load(out / "t.values.npy"), load(out / "t.offsets.npy"))
    assert [text.tobytes() for text in texts] == fixed(records, "t", tf.string).tolist()


@pytest.mark.parametrize("options", OPTIONS)
def test_every_way_to_write(tmp_path, out, options):
    records = records_of(500)
    path = write(tmp_path / "data", records, options)
    assert ArrayRecordReader(str(path)).read_all() == records
    assert scan(path)["format"] == "array_record"
    convert(path, out, "x", "f", "t: ragged")
    assert_records(out, records)
    run("verify", out, "--against-source", "--quiet")
    assert manifest(out)["elements"] == 500


@pytest.mark.parametrize("options", ["group_size:1", "group_size:333", "group_size:10,uncompressed"])
def test_a_file_that_is_read_in_pieces(tmp_path, options):
    """Larger than what a thread takes at a time; what comes out does not depend on threads or memory."""
    rng = random(1)
    records = [example({"x": ints(number), "f": floats(*rng.normal(size=1500).astype(np.float32))}) for number in range(12000)]
    path = write(tmp_path / "data", records, options)
    assert path.stat().st_size > 60 << 20
    for number, words in enumerate([["--threads", "1"], ["--threads", "4"], ["--threads", "2", "--memory", "64MiB"]]):
        convert(path, tmp_path / str(number), options=words)
        assert load(tmp_path / str(number) / "x.npy").tolist() == list(range(12000))
        found = load(tmp_path / str(number) / "f.npy")
        assert found.tobytes() == load(tmp_path / "0" / "f.npy").tobytes()
    np.testing.assert_array_equal(load(tmp_path / "0" / "f.npy")[[0, -1]], [fixed([records[at]], "f", "float32", (1500,))[0] for at in (0, -1)])


def test_records_of_any_kind(tmp_path, out):
    records = [b"", b"one", b"\xff" * 300_000, bytes(range(256)) * 300, b"", b"end"]
    for number, options in enumerate(OPTIONS):
        path = write(tmp_path / f"data{number}", records, options)
        convert(path, out / str(number), "record: ragged", options=["--from", "array_record-raw"])
        found = pieces(load(out / str(number) / "record.values.npy"), load(out / str(number) / "record.offsets.npy"))
        assert [piece.tobytes() for piece in found] == records
    assert "array_record-raw" in convert(path, out / "no", code=FAILED).stderr


def test_many_small_records_in_large_groups(tmp_path, out):
    """More records than bytes: a chunk is padded so that each has a position."""
    records = [example({"x": ints(3)})] * 300_000
    path = write(tmp_path / "data", records, "group_size:65536,zstd:9")
    convert(path, out, options=["--threads", "3"])
    assert_npy(out / "x.npy", np.full(300_000, 3))
    run("verify", out, "--against-source", "--quiet")


def test_no_records(tmp_path):
    path = write(tmp_path / "data", [])
    assert scan(path)["elements"] == 0


def test_transposed_records_are_refused_by_name(tmp_path, out):
    path = write(tmp_path / "data", records_of(20), "group_size:4,transpose:true")
    said = convert(path, out, code=FAILED).stderr
    assert "transposed" in said and "transpose:false" in said


def test_a_group_beyond_the_memory_is_refused(tmp_path, out):
    path = write(tmp_path / "data", [example({"x": strings(b"x" * 100_000)})] * 600, "group_size:600")
    said = convert(path, out, options=["--memory", "64MiB"], code=FAILED).stderr
    assert "a group of 600 records" in said and "group_size:1" in said
    convert(path, out, options=["--memory", "2GiB"])


def test_damage_costs_no_more_than_its_chunk(tmp_path, out):
    records = records_of(400)
    for number, (options, most) in enumerate([("group_size:1", 1), ("group_size:8", 8)]):
        path = write(tmp_path / f"data{number}", records, options)
        whole = path.read_bytes()
        for at in (70, 90, 2000, 30_000, len(whole) // 3):
            damaged = bytearray(whole)
            damaged[at] ^= 4
            path.write_bytes(damaged)
            said = convert(path, out / "no", "x", code=None)
            if said.returncode == 0:
                shutil.rmtree(out / "no")  # It was padding.
                continue
            assert "byte " in said.stderr and path.name in said.stderr, said.stderr
            convert(path, out / f"{number}-{at}", "x", options=["--on-error", "skip"], code=SKIPPED)
            found = load(out / f"{number}-{at}/x.npy").tolist()
            assert found == sorted(set(found)) and len(found) < 400
            if "header" not in said.stderr:
                assert len(found) >= 400 - most
        path.write_bytes(whole[: len(whole) // 65536 * 65536 - 65536])
        assert "index" in convert(path, out / "no", code=FAILED).stderr


# --- TensorFlow Datasets ---------------------------------------------------------------------------------------------


def test_tfds_directories(tmp_path, out):
    features = {
        "id": np.int32,
        "text": F.Text(),
        "packed": F.Tensor(shape=(None, 2), dtype=np.float64, encoding="zlib"),
        "image": F.Image(shape=(4, 3, 3)),
        "label": F.ClassLabel(names=["a", "b"]),
        "steps": F.Sequence({"v": F.Tensor(shape=(2,), dtype=np.float32)}),
    }
    rows = [
        {
            "id": number,
            "text": "word " * number,
            "packed": random(number).normal(size=(number % 4, 2)),
            "image": random(number).integers(0, 255, (4, 3, 3), np.uint8),
            "label": number % 2,
            "steps": [{"v": [0.5, number]}] * (number % 3),
        }
        for number in range(60)
    ]
    # TFDS gives no tf.data of such files: the same elements in TFRecords tell what is in them.
    as_tfrecords = store(tmp_path / "tfrecord", features, rows, test=rows[:7])
    directory = store(tmp_path, features, rows, test=rows[:7], file_format="array_record")
    assert list(directory.glob("*.array_record*"))
    wanted = {split: expected(as_tfrecords, split) for split in ("train", "test")}
    convert(directory, out / "all")
    assert_equal(out / "all", wanted["train"] + wanted["test"])
    for split, rows in [("train[:10%]", wanted["train"][:6]), ("train[7:51]+test[-2:]", wanted["train"][7:51] + wanted["test"][-2:])]:
        convert(directory, out / split.replace("/", ""), options=["--split", split])
        assert_equal(out / split, rows)
        run("verify", out / split, "--against-source", "--quiet")
    shard = next(directory.glob("*test*array_record*"))
    shutil.copy(next(directory.glob("*train*array_record*")), shard)
    assert "says that there are" in convert(directory, out / "no", code=FAILED).stderr
