"""What is read: compression, shards, encodings, order. The oracle is TFRecordDataset and tf.io.parse_example."""

import gzip
import zlib

import numpy as np
import pytest
import tensorflow as tf

import wire
from oracle import (
    FAILED,
    SKIPPED,
    assert_npy,
    assert_output,
    convert,
    examples,
    fixed,
    fixed_strings,
    floats,
    ints,
    manifest,
    ragged,
    read_ragged,
    strings,
    write,
)

RECORDS = examples("x", [ints(*range(n % 5), -n) for n in range(40)])


def assert_is_ragged(out, records, dtype=tf.int64):
    rows = ragged(records, "x", dtype)
    assert_output(out, {"x.values": rows.values.numpy(), "x.offsets": rows.row_splits.numpy()})


def records_of(path, compression=""):
    """The records as TensorFlow reads them."""
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path), compression)]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz", "a.zlib", "a", "part-00000-of-00001"])
def test_compression_is_found_by_content(tmp_path, out, compression, name):
    """Whatever the name says: only the content tells."""
    path = write(tmp_path / name, RECORDS, compression)
    convert(path, out, "x: ragged")
    assert_is_ragged(out, records_of(path, compression))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_every_level_of_zlib_is_found(tmp_path, out, level):
    """The second byte of a zlib stream depends on the level."""
    options = tf.io.TFRecordOptions(compression_type="ZLIB", compression_level=level)
    path = write(tmp_path / "a", RECORDS, options)
    convert(path, out, "x: ragged")
    assert_is_ragged(out, records_of(path, "ZLIB"))


def test_a_plain_file_may_begin_like_gzip(tmp_path, out):
    """The length of the first record, 0x8b1f, has the first two bytes of gzip."""
    payload = examples("x", [strings(b"a" * n) for n in range(0x8B00, 0x8B20)])
    record = next(record for record in payload if len(record) == 0x8B1F)
    path = write(tmp_path / "a", [record])
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    convert(path, out, "x: dtype=S")
    assert_output(out, {"x": fixed_strings(fixed([record], "x", tf.string))})


def test_gzip_members_are_one_stream(tmp_path, out):
    """Also where a record straddles two members."""
    plain = write(tmp_path / "plain", RECORDS).read_bytes()
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(plain[:101]) + gzip.compress(plain[101:]))
    convert(path, out, "x: ragged")
    assert_is_ragged(out, records_of(path, "GZIP"))


def test_shards_are_read_in_the_order_of_their_names(tmp_path, out):
    """With an empty file among them, and each compressed in another way; as a directory, as a glob and as a list."""
    kinds = ["", "GZIP", "ZLIB"]
    paths = [write(tmp_path / f"s-{n:05}-of-00020", RECORDS[2 * n : 2 * n + 2], kinds[n % 3]) for n in range(20)]
    paths[7].write_bytes(b"")
    expected = RECORDS[:14] + RECORDS[16:]
    for number, source in enumerate([tmp_path, tmp_path / "s-*", paths]):
        target = out / str(number)
        convert(source, target, "x: ragged")
        assert_is_ragged(target, expected)
        assert [part["path"] for part in manifest(target)["parts"]] == [str(path) for path in paths]


def test_files_that_are_named_keep_their_order(tmp_path, out):
    paths = [write(tmp_path / name, RECORDS[n : n + 1]) for n, name in enumerate("cab")]
    convert(paths, out, "x: ragged")
    assert_is_ragged(out, [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in paths])])


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_a_compressed_file_without_records(tmp_path, out, compression):
    paths = [write(tmp_path / "a", [], compression), write(tmp_path / "b", RECORDS)]
    assert records_of(paths[0], compression) == []
    convert(paths, out, "x: ragged")
    assert_is_ragged(out, RECORDS)


# --- encodings -------------------------------------------------------------------------------------------------------

F32 = [np.float32(value) for value in (1.5, -0.0, np.inf, np.nan, 1e-45)]
ENCODINGS = {
    "packed ints": (tf.int64, wire.packed_ints(0, 1, -1, 300, 2**63 - 1, -(2**63))),
    "unpacked ints": (tf.int64, wire.unpacked_ints(0, 1, -1, 300, 2**63 - 1, -(2**63))),
    "ints in more bytes than they need": (tf.int64, wire.packed_ints(0, 1, 300, length=4)),
    "unpacked ints in ten bytes each": (tf.int64, wire.unpacked_ints(0, 5, length=10)),
    "packed floats": (tf.float32, wire.packed_floats(*F32)),
    "unpacked floats": (tf.float32, wire.unpacked_floats(*F32)),
    "a signalling NaN": (tf.float32, wire.packed_floats(np.array([0x7F800001, 0xFFC12345], np.uint32))),
    "an empty packed run": (tf.int64, wire.packed_ints()),
    "an empty list": (tf.float32, wire.field(2, b"")),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("fit", ["ragged", "pad=7"])
def test_encodings(tmp_path, out, encoding, fit):
    """Each beside a list as TensorFlow writes it."""
    dtype, body = ENCODINGS[encoding]
    usual = examples("x", [ints(7, 8) if dtype == tf.int64 else floats(7, 8)])
    records = [*usual, wire.example(wire.entry("x", body)), *usual]
    convert(write(tmp_path / "a", records), out, f"x: {fit}")
    rows = ragged(records, "x", dtype)
    if fit == "ragged":
        assert_is_ragged(out, records, dtype)
    else:
        assert_npy(out / "x.npy", rows.to_tensor(shape=(None, 7)).numpy())


def test_the_last_of_two_entries_of_one_name_counts(tmp_path, out):
    first, last = wire.entry("x", wire.packed_ints(1, 2, 3)), wire.entry("x", wire.packed_ints(9))
    records = [wire.example(first, last), wire.example(first) + wire.example(last), wire.example(last, first)]
    convert(write(tmp_path / "a", records), out, "x: ragged")
    assert_is_ragged(out, records)


def test_a_value_may_stand_before_its_name(tmp_path, out):
    turned = wire.field(1, wire.field(2, wire.packed_ints(4)) + wire.field(1, b"x"))
    records = [wire.example(turned), wire.example(wire.entry("x", wire.packed_ints(5)))]
    convert(write(tmp_path / "a", records), out)
    assert_output(out, {"x": fixed(records, "x", tf.int64)})


def test_entries_may_come_in_any_order(tmp_path, out):
    one = (
        wire.entry("a", wire.packed_ints(1)),
        wire.entry("b", wire.packed_ints(2)),
        wire.entry("c", wire.packed_ints(3)),
    )
    records = [wire.example(*one), wire.example(*one[::-1]), wire.example(one[1], one[2], one[0])]
    convert(write(tmp_path / "a", records), out)
    assert_output(out, {name: fixed(records, name, tf.int64) for name in "abc"})


def test_an_empty_record_lacks_every_feature(tmp_path, out):
    records = [b"", *RECORDS[:3], b""]
    convert(write(tmp_path / "a", records), out, "x: ragged")
    assert_is_ragged(out, records)


def test_names_with_blanks_and_slashes(tmp_path, out):
    """Names as TFDS makes them of nested features; a slash is a folder."""
    names = ["features/citric acid", "a/b/c", "π", "with:colon"]
    records = [r for name in names for r in examples(name, [ints(1)])]
    convert(write(tmp_path / "a", records), out, *(f"{name}: default=0" for name in names))
    assert_output(out, {name: fixed(records, name, tf.int64, (), 0) for name in names})


# --- records of any kind ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_raw_records_are_what_the_dataset_gives(tmp_path, out, compression):
    path = write(tmp_path / "a", [b"", b"text", b"\x00\xff" * 40, b"\n\x00", *RECORDS[:2]], compression)
    convert(path, out, options=["--from", "tfrecord-raw"])
    records = records_of(path, compression)
    ends = np.cumsum([0, *map(len, records)]).astype(np.int64)
    assert_output(out, {"record.values": np.frombuffer(b"".join(records), np.uint8), "record.offsets": ends})


def test_raw_records_can_be_decoded(tmp_path, out):
    path = write(tmp_path / "a", [np.arange(n, n + 6, dtype=np.float32).tobytes() for n in range(5)])
    convert(path, out, "record: decode=raw:float32 reshape=2,3", options=["--from", "tfrecord-raw"])
    decoded = tf.io.decode_raw(tf.constant(records_of(path)), tf.float32)
    assert_output(out, {"record": tf.reshape(decoded, (-1, 2, 3)).numpy()})


# --- damage ----------------------------------------------------------------------------------------------------------


def flip(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


# What is done to a file of three records, and how many of them TensorFlow reads before it fails.
DAMAGE = {
    "a length": (lambda data, second: flip(data, second), 1),
    "the checksum of a length": (lambda data, second: flip(data, second + 9), 1),
    "data": (lambda data, second: flip(data, second + 14), 1),
    "the checksum of data": (lambda data, second: flip(data, len(data) - 1), 2),
    "cut in the data": (lambda data, _: data[:-6], 2),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_an_error_and_what_came_before_is_kept_with_skip(tmp_path, out, damage):
    """TensorFlow fails, and has given the records before the damage; lithify fails, or skips and goes on."""
    harm, sound = DAMAGE[damage]
    records = RECORDS[:3]
    second = 16 + len(records[0])
    path = write(tmp_path / "a", records)
    path.write_bytes(harm(path.read_bytes(), second))
    read = []
    with pytest.raises(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(str(path)):
            read.append(record.numpy())
    assert read == records[:sound]
    assert f"element {sound}" in convert(path, out, "x: ragged", code=FAILED).stderr
    assert not out.exists()
    convert(path, out, "x: ragged", options=["--on-error", "skip"], code=SKIPPED)
    assert_is_ragged(out, records[:sound] + records[sound + 1 :])
    assert len(manifest(out)["skipped"]) == 1


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_cut_that_tensorflow_does_not_see_is_an_error(tmp_path, out, compression):
    """TensorFlow reads a file that ends inside of a record's header as if nothing were wrong."""
    pack = gzip.compress if compression else bytes
    cut = write(tmp_path / "whole", RECORDS).read_bytes()[: 16 + len(RECORDS[0]) + 7]
    path = tmp_path / "a"
    path.write_bytes(pack(cut))
    assert len(records_of(path, compression)) == 1
    assert "7 stray bytes" in convert(path, out, "x: ragged", code=FAILED).stderr


def test_gzip_that_is_cut_is_an_error(tmp_path, out):
    """TensorFlow does not look at the last eight bytes, which are the checksum of all."""
    whole = write(tmp_path / "a", RECORDS, "GZIP").read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole[:-8])
    assert len(records_of(path, "GZIP")) == len(RECORDS)
    convert(path, out, "x: ragged", code=FAILED)


PACKERS = {"gzip": (gzip.compress, gzip.decompress), "zlib": (zlib.compress, zlib.decompress)}


def is_sound(unpack, data):
    """Whether Python's own decoder takes the data, which checks all of it."""
    try:
        unpack(data)
    except (EOFError, OSError, zlib.error):
        return False
    return True


def assert_is_told(paths, out, records):
    """Damage in the last file is an error; with skip it is listed, and nothing is kept that was not written.

    The format is named for that, because a file whose first record is damaged cannot be known by its content.
    """
    convert(paths, out, "x: ragged", code=FAILED)
    assert not out.exists()
    convert(paths, out, "x: ragged", options=["--on-error", "skip", "--from", "tfrecord"], code=SKIPPED)
    assert len(manifest(out)["skipped"]) >= 1
    written = iter(ragged(records, "x", tf.int64).to_list())
    assert all(row in written for row in read_ragged(out, "x"))


@pytest.mark.parametrize("packer", PACKERS)
def test_any_flipped_bit_of_a_compressed_file_is_told(tmp_path, out, packer):
    """Behind a good file, so that not all is lost: what is missing must not go unnoticed."""
    pack, unpack = PACKERS[packer]
    good, bad = write(tmp_path / "good", RECORDS), tmp_path / "bad"
    whole = pack(good.read_bytes())
    for at in range(11, len(whole), 7):
        bad.write_bytes(flip(whole, at))
        assert not is_sound(unpack, bad.read_bytes())
        assert_is_told([good, bad], out / str(at), RECORDS * 2)


@pytest.mark.parametrize("packer", PACKERS)
def test_any_cut_of_a_compressed_file_is_told(tmp_path, out, packer):
    pack, unpack = PACKERS[packer]
    good, bad = write(tmp_path / "good", RECORDS), tmp_path / "bad"
    whole = pack(good.read_bytes())
    for end in range(12, len(whole), 7):
        bad.write_bytes(whole[:end])
        assert not is_sound(unpack, bad.read_bytes())
        assert_is_told([good, bad], out / str(end), RECORDS * 2)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("level", [0, 6])
def test_damage_after_many_buffers_is_told(tmp_path, out, packer, level):
    """Records of 32 bytes end with every buffer, so that a lost buffer leaves no record that is cut."""
    pack, unpack = PACKERS[packer]
    records = examples("x", [ints(n) for n in (20_000, 30_000)])
    assert all(len(record) == 16 for record in records)
    plain = write(tmp_path / "plain", records).read_bytes() * 25_000
    path = tmp_path / "bad"
    path.write_bytes(flip(pack(plain, level), -2 if packer == "zlib" else -6))
    assert not is_sound(unpack, path.read_bytes())
    convert(path, out, "x", code=FAILED)
    convert(path, out, "x", options=["--on-error", "skip"], code=SKIPPED)
    kept = len(np.load(out / "x.npy"))
    assert_output(out, {"x": np.tile(fixed(records, "x", tf.int64), 25_000)[:kept]})


@pytest.mark.parametrize("rest", [b"\x00", b"garbage after the end", zlib.compress(b"more")])
@pytest.mark.parametrize("packer", PACKERS)
def test_what_follows_a_compressed_stream_is_told(tmp_path, out, packer, rest):
    """TensorFlow ignores a second zlib stream, and with it all records that are in it."""
    path = tmp_path / "a"
    path.write_bytes(PACKERS[packer][0](write(tmp_path / "plain", RECORDS).read_bytes()) + rest)
    assert_is_told([path], out, RECORDS)


def test_text_is_no_dataset(tmp_path, out):
    path = tmp_path / "a"
    path.write_bytes(b"this is no record of any kind, but text that goes on for a while\n" * 3)
    with pytest.raises(tf.errors.DataLossError):
        records_of(path)
    convert(path, out, code=FAILED)


BAD_EXAMPLES = {
    "text": b"hello world, this is text",
    "a cut list": wire.example(wire.entry("x", wire.packed_ints(1, 2, 3)))[:-1],
    "a cut integer": wire.example(wire.entry("x", wire.field(3, wire.field(1, b"\x01\x80")))),
    "an integer of eleven bytes": wire.example(wire.entry("x", wire.field(3, wire.field(1, b"\x80" * 10 + b"\x01")))),
}


@pytest.mark.parametrize("kind", BAD_EXAMPLES)
def test_a_record_that_is_no_example_is_an_error(tmp_path, out, kind):
    record = BAD_EXAMPLES[kind]
    with pytest.raises(tf.errors.InvalidArgumentError):
        ragged([record], "x", tf.int64)
    path = write(tmp_path / "a", [RECORDS[0], record, RECORDS[1]])
    assert "element 1" in convert(path, out, "x: ragged", code=FAILED).stderr
    convert(path, out, "x: ragged", options=["--on-error", "skip"], code=SKIPPED)
    assert_is_ragged(out, RECORDS[:2])
