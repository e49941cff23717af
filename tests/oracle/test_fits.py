"""Each fit of lists of numbers, against TensorFlow's parsing and padding."""

from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf

from oracle import (
    FAILED,
    USAGE,
    assert_npy,
    assert_output,
    convert,
    example,
    examples,
    fixed,
    floats,
    ints,
    kind_of,
    lengths,
    present,
    ragged,
    read_ragged,
    unset,
    write,
)

LOW, HIGH = -(2**63), 2**63 - 1

# A list of numbers, with every edge: empty lists, missing ones, ones without a kind, the largest and smallest values.
LISTS = {
    "int64": (ints, tf.int64, [[1, 2, 3], [], None, [-1, LOW, HIGH, 0, 127, 128, -128], "unset", [300], [5, 6]]),
    "float": (
        floats,
        tf.float32,
        [[1.5], None, [float("nan"), -0.0, float("inf"), 3.4e38, 1e-45], [], "unset", [0.1, -2.5], [7.0]],
    ),
}


@pytest.fixture(params=LISTS)
def varying(request, tmp_path):
    """A file of lists of every length; the file, its records, and the dtype."""
    make, dtype, rows = LISTS[request.param]
    make_row = lambda row: row if row is None else unset() if row == "unset" else make(*row)
    records = examples("x", [make_row(row) for row in rows])
    return write(tmp_path / "a.tfrecord", records), records, dtype


def value_of(text, dtype):
    return tf.constant(float(text), dtype) if dtype.is_floating else tf.constant(int(text), dtype)


# --- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, dtype", [(ints, tf.int64), (floats, tf.float32)])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_lists_of_one_length_are_one_array(tmp_path, out, make, dtype, count):
    """A single value is no axis of its own, as with a FixedLenFeature of shape ()."""
    records = examples("x", [make(*range(start, start + count)) for start in range(-2, 9)])
    convert(write(tmp_path / "a", records), out)
    assert_output(out, {"x": fixed(records, "x", dtype, () if count == 1 else (count,))})


@pytest.mark.parametrize("reshape, shape", [("2,3", (2, 3)), ("3,-1", (3, 2)), ("-1,1,2", (3, 1, 2)), ("6", (6,))])
def test_reshape_is_that_of_a_fixed_feature(tmp_path, out, reshape, shape):
    records = examples("x", [ints(*range(start, start + 6)) for start in range(5)])
    convert(write(tmp_path / "a", records), out, f"x: reshape={reshape}")
    assert_output(out, {"x": fixed(records, "x", tf.int64, shape)})


@pytest.mark.parametrize("gone", [None, unset()])
def test_the_default_stands_for_a_missing_feature(tmp_path, out, gone):
    records = examples("x", [ints(3), gone, ints(-4)])
    convert(write(tmp_path / "a", records), out, "x: default=-9 present")
    assert_output(out, {"x": fixed(records, "x", tf.int64, (), -9), "x.present": present(records, "x")})


def test_the_default_may_have_a_value_for_each_of_a_row(tmp_path, out):
    records = examples("x", [floats(1, 2, 3), None, floats(4, 5, 6)])
    convert(write(tmp_path / "a", records), out, "x: default=0.5,-1,1e30")
    assert_output(out, {"x": fixed(records, "x", tf.float32, (3,), [0.5, -1, 1e30])})


def test_the_default_does_not_stand_for_an_empty_list(tmp_path, out):
    """A list that is there and empty is an error in TensorFlow, default or not."""
    records = examples("x", [ints(3), ints(), None])
    with pytest.raises(tf.errors.InvalidArgumentError):
        fixed(records, "x", tf.int64, (), 7)
    said = convert(write(tmp_path / "a", records), out, "x: default=7", code=USAGE).stderr
    assert "element 1" in said and "`x`" in said


def test_a_missing_feature_without_default_is_an_error(tmp_path, out):
    records = examples("x", [ints(3), ints(4), None])
    with pytest.raises(tf.errors.InvalidArgumentError):
        fixed(records, "x", tf.int64)
    said = convert(write(tmp_path / "a", records), out, "x", code=FAILED).stderr
    assert "element 2" in said and "`x`" in said


def test_a_feature_of_two_kinds_is_an_error(tmp_path, out):
    records = examples("x", [ints(3), floats(4)])
    with pytest.raises(tf.errors.InvalidArgumentError):
        fixed(records, "x", tf.int64)
    assert "element 1" in convert(write(tmp_path / "a", records), out, code=FAILED).stderr


SOUND_VALUES = ["nan float16", "-inf float32", "1e3 int16", "-0.0 float64", "2 bool", "-128 int8"]
UNSOUND_VALUES = [
    *("-1 uint8", "256 uint8", "1.5 int32", "nan int8", "inf int64", "x float32"),
    *("1e10 float16", "1e39 float32", "1e400 float64"),
]


@pytest.mark.parametrize("value_and_dtype", SOUND_VALUES)
def test_padding_values_are_cast(tmp_path, out, value_and_dtype):
    value, dtype = value_and_dtype.split()
    path = write(tmp_path / "a", examples("x", [ints(1), ints(1, 1)]))
    convert(path, out, f"x: pad=max value={value} dtype={dtype} lengths=no")
    assert_output(out, {"x": np.array([[1, np.array(float(value)).astype(dtype)], [1, 1]], dtype)})


@pytest.mark.parametrize("value_and_dtype", UNSOUND_VALUES)
def test_a_padding_value_that_does_not_fit_is_an_error(tmp_path, out, value_and_dtype):
    """As in a cast of the data, nothing becomes another number in silence."""
    value, dtype = value_and_dtype.split()
    path = write(tmp_path / "a", examples("x", [ints(1), ints(1, 1)]))
    said = convert(path, out, f"x: pad=max value={value} dtype={dtype}", code=USAGE).stderr
    assert value in said
    assert dtype in said


# --- pad -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "-1", "7"])
def test_pad_max_is_to_tensor(varying, out, value):
    path, records, dtype = varying
    rows = ragged(records, "x", dtype)
    convert(path, out, f"x: pad=max value={value}")
    assert_output(out, {"x": rows.to_tensor(value_of(value, dtype)).numpy(), "x.lengths": lengths(rows)})


def test_pad_max_is_padded_batch_over_a_tf_data_pipeline(varying, out):
    """The same through the interface that users replace: a dataset, parsed record by record, in one padded batch."""
    path, records, dtype = varying
    spec = {"x": tf.io.FixedLenSequenceFeature((), dtype, allow_missing=True)}
    parse = lambda record: tf.io.parse_single_example(record, spec)["x"]
    (batch,) = tf.data.TFRecordDataset(str(path)).map(parse).padded_batch(len(records))
    convert(path, out, "x: pad lengths=no")
    assert_output(out, {"x": batch.numpy()})


@pytest.mark.parametrize("width", [7, 8, 20])
def test_pad_to_a_size(varying, out, width):
    path, records, dtype = varying
    rows = ragged(records, "x", dtype)
    convert(path, out, f"x: pad={width} value=3 lengths=no")
    assert_output(out, {"x": rows.to_tensor(value_of("3", dtype), shape=(None, width)).numpy()})


@pytest.mark.parametrize("width", [1, 2, 4, 9])
def test_truncate_cuts_at_the_end_as_to_tensor_does(varying, out, width):
    path, records, dtype = varying
    rows = ragged(records, "x", dtype)
    convert(path, out, f"x: pad={width} truncate value=-5")
    cut = rows.to_tensor(value_of("-5", dtype), shape=(None, width)).numpy()
    assert_output(out, {"x": cut, "x.lengths": np.minimum(lengths(rows), width)})


@pytest.mark.parametrize("width", [1, 3, 7, 9])
def test_the_left_side_is_that_of_keras_pad_sequences(varying, out, width):
    """Keras pads and cuts at the front."""
    path, records, dtype = varying
    rows = ragged(records, "x", dtype)
    expected = tf.keras.preprocessing.sequence.pad_sequences(
        [row.numpy() for row in rows],
        maxlen=width,
        dtype=dtype.as_numpy_dtype,
        padding="pre",
        truncating="pre",
        value=-1,
    )
    convert(path, out, f"x: pad={width} side=left truncate value=-1 mask")
    kept = np.minimum(lengths(rows), width)
    mask = np.arange(width) >= width - kept[:, None]
    assert_output(out, {"x": expected, "x.lengths": kept, "x.mask": mask})


def test_the_mask_is_a_sequence_mask(varying, out):
    path, records, dtype = varying
    rows = ragged(records, "x", dtype)
    convert(path, out, "x: pad=9 mask lengths=no")
    mask = tf.sequence_mask(rows.row_lengths(), 9).numpy()
    assert_output(out, {"x": rows.to_tensor(shape=(None, 9)).numpy(), "x.mask": mask})


def test_a_longer_element_is_an_error_without_truncate(varying, out):
    """As padded_batch refuses to pad to a smaller size; the element is named."""
    path, records, dtype = varying
    rows = ragged(records, "x", dtype)
    longest = int(np.argmax(lengths(rows)))
    padded = tf.data.Dataset.from_tensor_slices(rows).map(lambda row: row).padded_batch(9, padded_shapes=[4])
    with pytest.raises(tf.errors.DataLossError):
        list(padded)
    said = convert(path, out, "x: pad=4", code=USAGE).stderr
    assert f"element {longest}" in said and "`x`" in said
    assert not out.exists()


def test_the_default_of_a_padded_row_fills_it(tmp_path, out):
    """Only a missing feature takes the default; an empty list is padding. Neither has data, so neither has a length."""
    records = examples("x", [ints(1, 2, 3), None, ints(), unset()])
    convert(write(tmp_path / "a", records), out, "x: pad=max default=9 value=-1")
    rows = [[1, 2, 3], [9, 9, 9], [-1, -1, -1], [9, 9, 9]]
    assert_npy(out / "x.npy", np.array(rows, np.int64))
    assert_npy(out / "x.lengths.npy", np.array([3, 0, 0, 0], np.int64))


@pytest.mark.parametrize("pad", ["max", "max,max", "4x5", "6"])
@pytest.mark.parametrize("value", ["0", "-7"])
def test_reshaped_lists_are_padded_in_each_axis(tmp_path, out, pad, value):
    """Shapes from sibling features; each axis is filled up as padded_batch does."""
    shapes = [(2, 3), (4, 1), (1, 5), (3, 0), (2, 2)]
    records, tensors = shaped_records(shapes)
    sizes = {"4x5": (4, 5), "6": (6, 5)}.get(pad, (4, 5))
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(tensors), output_signature=tf.TensorSpec((None, None), tf.int64)
    )
    (batch,) = dataset.padded_batch(len(shapes), sizes, tf.constant(int(value), tf.int64))
    convert(write(tmp_path / "a", records), out, f"x: reshape=height,width pad={pad} value={value}")
    assert_output(out, {"x": batch.numpy(), "x.lengths": np.array(shapes, np.int64)})


@pytest.mark.parametrize("left", [False, True])
def test_truncation_in_each_axis(tmp_path, out, left):
    """As to_tensor cuts a RaggedTensor of tensors; on the left side, the same with every axis turned round."""
    shapes = [(2, 3), (4, 1), (1, 5), (2, 2)]
    records, tensors = shaped_records(shapes)
    turn = (lambda tensor: tensor[..., ::-1, ::-1]) if left else (lambda tensor: tensor)
    cut = tf.ragged.stack([turn(tensor) for tensor in tensors]).to_tensor(-1, shape=(None, 2, 3))
    convert(
        write(tmp_path / "a", records),
        out,
        f"x: reshape=height,width pad=2x3 truncate value=-1 lengths=no side={'left' if left else 'right'}",
    )
    assert_output(out, {"x": turn(cut.numpy())})


def shaped_records(shapes):
    """Records of tensors whose shapes stand in other features, and the tensors."""
    tensors = [np.arange(h * w, dtype=np.int64).reshape(h, w) + 10 * h for h, w in shapes]
    records = [
        example({"x": ints(*tensor.ravel()), "height": ints(tensor.shape[0]), "width": ints(tensor.shape[1])})
        for tensor in tensors
    ]
    return records, tensors


# --- ragged ----------------------------------------------------------------------------------------------------------


def test_ragged_is_a_ragged_tensor(varying, out):
    """Values and offsets are the flat values and row splits of the RaggedTensor."""
    path, records, dtype = varying
    rows = ragged(records, "x", dtype)
    convert(path, out, "x: ragged present")
    assert_output(
        out,
        {"x.values": rows.values.numpy(), "x.offsets": rows.row_splits.numpy(), "x.present": present(records, "x")},
    )
    np.testing.assert_equal(read_ragged(out, "x"), rows.to_list())


def test_without_a_request_nothing_is_lost(varying, out):
    """Which elements lack the feature is kept without asking, because an empty list is something else."""
    path, records, dtype = varying
    convert(path, out)
    np.testing.assert_equal(read_ragged(out, "x"), ragged(records, "x", dtype).to_list())
    assert_npy(out / "x.present.npy", present(records, "x"))
    assert {kind_of(record, "x") for record in records} == {
        None,
        {tf.int64: "int64_list", tf.float32: "float_list"}[dtype],
    }


def test_ragged_in_several_axes(tmp_path, out):
    shapes = [(2, 3), (4, 1), (3, 0), (1, 5)]
    records, tensors = shaped_records(shapes)
    convert(write(tmp_path / "a", records), out, "x: reshape=height,width ragged")
    flat = tf.ragged.stack([tf.reshape(tensor, [-1]) for tensor in tensors])
    assert_output(
        out,
        {
            "x.values": flat.values.numpy(),
            "x.offsets": flat.row_splits.numpy().astype(np.int64),
            "x.shapes": np.array(shapes, np.int64),
        },
    )
    assert read_ragged(out, "x") == [tensor.tolist() for tensor in tensors]


@pytest.mark.parametrize("fit", ["ragged", "pad=3"])
def test_lists_that_are_all_empty(tmp_path, out, fit):
    """Arrays of no items can be mapped, too."""
    records = examples("x", [ints(), ints()])
    convert(write(tmp_path / "a", records), out, f"x: {fit}")
    if fit == "ragged":
        assert_output(out, {"x.values": np.zeros(0, np.int64), "x.offsets": np.zeros(3, np.int64)})
    else:
        assert_output(out, {"x": np.zeros((2, 3), np.int64), "x.lengths": np.zeros(2, np.int64)})


# --- buckets ---------------------------------------------------------------------------------------------------------

ROWS = [list(range(n)) for n in (3, 0, 8, 1, 16, 5, 8, 2, 9, 3, 12, 3, 4, 1, 40, 2, 5, 33)]


def bucketed(rows, caps, value):
    """What bucket_by_sequence_length gives, each bucket in one batch: by cap, the rows, elements and lengths."""
    signature = (tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.int64))
    dataset = tf.data.Dataset.from_generator(lambda: enumerate(rows), output_signature=signature)
    # A length that equals a boundary goes up there, but is the last of its bucket here.
    batches = dataset.bucket_by_sequence_length(
        lambda number, row: tf.shape(row)[0],
        bucket_boundaries=[cap + 1 for cap in caps],
        bucket_batch_sizes=[len(rows)] * (len(caps) + 1),
        padding_values=(tf.constant(0, tf.int64), tf.constant(value, tf.int64)),
        pad_to_bucket_boundary=True,
    )
    return {batch.shape[1]: (batch.numpy(), numbers.numpy()) for numbers, batch in batches}


def bucket_arrays(rows, caps, value):
    """The arrays of a bucketed feature, by name; a bucket without elements is an array without rows."""
    found = bucketed(rows, caps, value)
    arrays = {}
    for cap in caps:
        batch, numbers = found.get(cap, (np.zeros((0, cap), np.int64), np.zeros(0, np.int64)))
        arrays[f"x.le{cap}"] = batch
        arrays[f"x.le{cap}.elements"] = numbers
        arrays[f"x.le{cap}.lengths"] = np.array([len(rows[number]) for number in numbers], np.int64)
    return arrays


@pytest.mark.parametrize("caps", [[40], [3, 40], [0, 8, 12, 64], [4, 10, 30, 33, 100]])
def test_buckets_are_those_of_bucket_by_sequence_length(tmp_path, out, caps):
    path = write(tmp_path / "a", examples("x", [ints(*row) for row in ROWS]))
    convert(path, out, f"x: bucket={','.join(map(str, caps))} value=-3")
    assert_output(out, bucket_arrays(ROWS, caps, -3))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_automatic_buckets_waste_as_little_as_can_be(tmp_path, out, count):
    """Every choice of so many lengths is tried; none may need fewer values. Then the rows must be right, too."""
    path = write(tmp_path / "a", examples("x", [ints(*row) for row in ROWS]))
    convert(path, out, f"x: bucket=auto:{count}")
    caps = sorted(int(path.name.split(".")[1][2:]) for path in out.glob("x.le*.elements.npy"))
    sizes = {len(row) for row in ROWS}
    padded = lambda caps: sum(min(cap for cap in caps if cap >= len(row)) for row in ROWS)
    choices = [(*lower, max(sizes)) for n in range(count) for lower in combinations(sizes - {max(sizes)}, n)]
    assert len(caps) <= count and padded(caps) == min(map(padded, choices))
    assert_output(out, bucket_arrays(ROWS, caps, 0))


def test_an_element_without_the_feature_is_in_no_bucket(tmp_path, out):
    records = examples("x", [ints(1), None, ints(), ints(2, 3), unset()])
    convert(write(tmp_path / "a", records), out, "x: bucket=1,2 present")
    assert_npy(out / "x.le1.elements.npy", np.array([0, 2], np.int64))
    assert_npy(out / "x.le2.elements.npy", np.array([3], np.int64))
    assert_npy(out / "x.present.npy", present(records, "x"))


def test_buckets_cut_at_the_last_length_with_truncate(tmp_path, out):
    path = write(tmp_path / "a", examples("x", [ints(*row) for row in ROWS]))
    convert(path, out, "x: bucket=4,9 truncate")
    assert_output(out, bucket_arrays([row[:9] for row in ROWS], [4, 9], 0))


def test_buckets_on_the_left_side(tmp_path, out):
    """As the rows turned round are bucketed, and the buckets turned round again."""
    path = write(tmp_path / "a", examples("x", [ints(*row) for row in ROWS]))
    convert(path, out, "x: bucket=3,40 side=left value=9")
    turned = bucket_arrays([row[::-1] for row in ROWS], [3, 40], 9)
    assert_output(out, {name: array[:, ::-1] if array.ndim == 2 else array for name, array in turned.items()})


def test_buckets_have_masks(tmp_path, out):
    """A key that is accepted must have its effect."""
    path = write(tmp_path / "a", examples("x", [ints(*row) for row in ROWS]))
    convert(path, out, "x: bucket=9,40 mask")
    for cap in (9, 40):
        counts = np.load(out / f"x.le{cap}.lengths.npy")
        assert_npy(out / f"x.le{cap}.mask.npy", tf.sequence_mask(counts, cap).numpy())


@pytest.mark.parametrize("pad", [2**40, 2**62, 2**64 - 1])
def test_rows_beyond_all_bounds_are_an_error_that_says_so(tmp_path, out, pad):
    """No arithmetic may wrap: what lacks is memory or disk."""
    path = write(tmp_path / "a", examples("x", [ints(1), ints(2, 3)]))
    said = convert(path, out, f"x: pad={pad}", code=FAILED).stderr
    assert "memory" in said or "disk" in said
    assert not out.exists()


def test_an_element_longer_than_all_buckets_is_an_error(tmp_path, out):
    path = write(tmp_path / "a", examples("x", [ints(*row) for row in ROWS]))
    assert "40" in convert(path, out, "x: bucket=4,9", code=USAGE).stderr
