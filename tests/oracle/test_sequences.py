"""tf.train.SequenceExample: its context and its feature lists, against what TensorFlow parses of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from oracle import FAILED, arrays_in, assert_npy, assert_output, convert, floats, ints, load, pieces, scan, strings, write

DATA = Path(os.environ.get("LITHIFY_TEST_DATA", ""))
REAL = DATA / "tfrecord/torchdata/sequence_example.tfrecord"
RAGGED = DATA / "tfrecord/gdmix-grouped/data.tfrecord"


def sequence(context, lists):
    """The bytes of a SequenceExample of this context and these lists of steps."""
    return tf.train.SequenceExample(
        context=tf.train.Features(feature=context),
        feature_lists=tf.train.FeatureLists(
            feature_list={name: tf.train.FeatureList(feature=steps) for name, steps in lists.items()}
        ),
    ).SerializeToString()


def parsed(records, context, lists):
    """What TensorFlow makes of a batch: the context, the lists padded to the longest, and the lengths of these."""
    found = tf.io.parse_sequence_example(tf.constant(records), context, lists)
    return tuple({name: value.numpy() for name, value in part.items()} for part in found)


@pytest.fixture
def records():
    """Lists of 0 to 4 steps: of three numbers, of one, and of strings."""
    made = []
    for number in range(10):
        steps = range(number * 2 % 5)
        lists = {
            "state": [floats(number, step, 0.5) for step in steps],
            "action": [ints(-step * number) for step in steps],
            "word": [strings(b"w" * step) for step in steps],
        }
        made.append(sequence({"id": ints(number), "name": strings(b"n%d" % number)}, lists))
    return made


LISTS = {
    "state": tf.io.FixedLenSequenceFeature([3], tf.float32),
    "action": tf.io.FixedLenSequenceFeature([], tf.int64),
    "word": tf.io.FixedLenSequenceFeature([], tf.string),
}


def test_lists_are_padded_as_tensorflow_pads_them(tmp_path, out, records):
    context, lists, lengths = parsed(records, {"id": tf.io.FixedLenFeature([], tf.int64)}, LISTS)
    source = write(tmp_path / "x.tfrecord", records)
    convert(source, out, "id", *(f"{name}: pad=max" for name in LISTS))
    assert_npy(out / "id.npy", context["id"])
    assert_npy(out / "state.npy", lists["state"])
    assert_npy(out / "action.npy", lists["action"])
    assert_npy(out / "word.npy", lists["word"].astype("S3"))
    assert_npy(out / "action.lengths.npy", lengths["action"])
    assert load(out / "state.lengths.npy")[:, 0].tolist() == lengths["state"].tolist()


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_without_a_request_nothing_is_lost(tmp_path, out, records, compression):
    _, lists, lengths = parsed(records, {}, LISTS)
    convert(write(tmp_path / "x.tfrecord", records, compression), out)
    offsets = np.concatenate([[0], lengths["action"].cumsum()])
    keep = lambda name: np.concatenate([row[:length] for row, length in zip(lists[name], lengths[name], strict=True)])
    for name in ["state", "action"]:
        assert_npy(out / f"{name}.values.npy", keep(name))
        assert_npy(out / f"{name}.offsets.npy", offsets)
    words = load(out / "word.values.npy")
    assert [word.item() for word in words] == list(keep("word"))


def test_steps_of_different_lengths_are_values_and_row_lengths(tmp_path, out):
    rows = [[[1, 2], [3], []], [], [[4]], [[], [5, 6, 7]]]
    records = [sequence({}, {"x": [ints(*step) for step in row]}) for row in rows]
    spec = {"x": tf.io.RaggedFeature(tf.int64)}
    found = tf.io.parse_sequence_example(tf.constant(records), {}, spec)[1]["x"]
    convert(write(tmp_path / "x.tfrecord", records), out)
    assert_npy(out / "x.values.npy", found.flat_values.numpy())
    assert_npy(out / "x/row_lengths.values.npy", found.nested_row_lengths()[1].numpy().astype(np.int64))
    assert_npy(out / "x/row_lengths.offsets.npy", np.concatenate([[0], found.nested_row_lengths()[0].numpy().cumsum()]))


def test_lists_of_images_are_frames(tmp_path, out):
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 255, (count, 6, 5, 3), np.uint8) for count in [2, 0, 3, 1]]
    encode = lambda frame: strings(tf.io.encode_png(frame).numpy())
    records = [sequence({}, {"frame": [encode(frame) for frame in video]}) for video in videos]
    source = write(tmp_path / "x.tfrecord", records)
    convert(source, out / "ragged", "frame: ragged")
    assert_npy(out / "ragged/frame.values.npy", np.concatenate(videos))
    assert_npy(out / "ragged/frame.offsets.npy", np.array([0, 2, 2, 5, 6]))
    convert(source, out / "padded", "frame: resize=3x4 pad=4")
    wanted = np.zeros((4, 4, 3, 4, 3), np.uint8)
    for row, video in zip(wanted, videos, strict=True):
        if len(video):
            resized = tf.clip_by_value(tf.round(tf.image.resize(video, (3, 4))), 0, 255)
            row[: len(video)] = tf.cast(resized, tf.uint8)
    assert_npy(out / "padded/frame.npy", wanted)
    assert_npy(out / "padded/frame.lengths.npy", np.array([2, 0, 3, 1]))
    # Frames of an element that differ in size make no array; whoever wants them has the encoded ones.
    odd = sequence({}, {"frame": [encode(videos[0][0]), encode(videos[0][0][:4])]})
    source = write(tmp_path / "odd.tfrecord", [*records, odd])
    failed = convert(source, out / "none", "frame: resize=3x4 pad=4", code=FAILED)
    assert "different sizes" in failed.stderr and "element 4" in failed.stderr
    convert(source, out / "bytes", "frame: decode=none")
    assert len(load(out / "bytes/frame.value_offsets.npy")) == 2 + 3 + 1 + 2 + 1


@pytest.mark.skipif(not REAL.is_file(), reason="LITHIFY_TEST_DATA is not set to a directory of test data")
def test_real_ones(out):
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(REAL))]
    context = {"x_int": tf.io.FixedLenFeature([10], tf.int64), "x_float": tf.io.FixedLenFeature([10], tf.float32)}
    spec = {
        "x_int_seq": tf.io.FixedLenSequenceFeature([10], tf.int64),
        "x_float_seq": tf.io.FixedLenSequenceFeature([10], tf.float32),
        "x_byte_seq": tf.io.FixedLenSequenceFeature([], tf.string),
    }
    context, lists, lengths = parsed(records, context, spec)
    convert(REAL, out, *context, *(f"{name}: pad=max lengths=no" for name in spec))
    wanted = context | lists | {"x_byte_seq": lists["x_byte_seq"].astype("S8")}
    assert_output(out, wanted)
    assert set(scan(REAL)["features"]) == {"x_byte", *wanted}
    convert(RAGGED, out / "ragged")
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(RAGGED))]
    spec = {"per_member_indices": tf.io.RaggedFeature(tf.int64), "per_member_values": tf.io.RaggedFeature(tf.float32)}
    for name, found in tf.io.parse_sequence_example(tf.constant(records), {}, spec)[1].items():
        assert_npy(out / f"ragged/{name}.values.npy", found.flat_values.numpy())
        lengths = load(out / f"ragged/{name}/row_lengths.values.npy")
        assert lengths.tolist() == found.nested_row_lengths()[1].numpy().tolist()
        ends = load(out / f"ragged/{name}/row_lengths.offsets.npy")
        assert [len(piece) for piece in pieces(lengths, ends)] == found.nested_row_lengths()[0].numpy().tolist()
    assert arrays_in(out / "ragged")
