"""Serialized tensors, against `tf.io.parse_tensor`."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from oracle import (
    FAILED,
    assert_npy,
    assert_output,
    convert,
    examples,
    fixed_strings,
    read_ragged,
    scan,
    strings,
    write,
)

DTYPES = [
    *(tf.bool, tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64),
    *(tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128),
]
SHAPES = {
    1: [(3,), (0,), (5,), (1,)],
    2: [(2, 3), (4, 1), (3, 0), (1, 5)],
    3: [(1, 2, 3), (3, 1, 2), (2, 2, 0), (2, 4, 1)],
}

by_name = lambda dtype: dtype.name


def tensor(shape, dtype, seed):
    """A tensor of arbitrary bits (of truths, for bool)."""
    random = np.random.default_rng(seed)
    count = int(np.prod(shape))
    if dtype == tf.bool:
        return tf.constant(random.integers(0, 2, shape).astype(bool))
    bits = random.bytes(count * dtype.size)
    return tf.constant(np.frombuffer(bits, dtype.as_numpy_dtype).reshape(shape))


def file_of(path, tensors):
    return write(path, examples("x", [strings(tf.io.serialize_tensor(tensor).numpy()) for tensor in tensors]))


def parsed(path, dtype):
    """The tensors of a file as TensorFlow reads and parses them."""
    spec = {"x": tf.io.FixedLenFeature((), tf.string)}
    read = lambda record: tf.io.parse_tensor(tf.io.parse_single_example(record, spec)["x"], dtype)
    return [read(record) for record in tf.data.TFRecordDataset(str(path))]


def padded(tensors, value=0, sizes=None):
    """The tensors in one padded batch."""
    dtype, rank = tensors[0].dtype, tensors[0].shape.rank
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(tensors), output_signature=tf.TensorSpec((None,) * rank, dtype)
    )
    (batch,) = dataset.padded_batch(len(tensors), sizes, tf.cast(value, dtype))
    return batch.numpy()


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (2, 1, 3, 2), (0,), (2, 0)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=by_name)
def test_tensors_of_one_shape(tmp_path, out, dtype, shape):
    """They are found without asking, and keep their dtype and shape: a row is the tensor."""
    path = file_of(tmp_path / "a", [tensor(shape, dtype, seed) for seed in range(4)])
    convert(path, out)
    assert_output(out, {"x": tf.stack(parsed(path, dtype)).numpy()})


def test_tensors_may_be_asked_for(tmp_path, out):
    path = file_of(tmp_path / "a", [tensor((2, 3), tf.float32, seed) for seed in range(4)])
    convert(path, out, "x: decode=tensor dtype=float64")
    assert_output(out, {"x": tf.cast(tf.stack(parsed(path, tf.float32)), tf.float64).numpy()})


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES, ids=by_name)
def test_tensors_of_varying_shape_are_padded_as_padded_batch_does(tmp_path, out, dtype, rank):
    path = file_of(tmp_path / "a", [tensor(shape, dtype, seed) for seed, shape in enumerate(SHAPES[rank])])
    convert(path, out, "x: pad=max value=1 mask")
    tensors = parsed(path, dtype)
    shapes = np.array(SHAPES[rank], np.int64)
    mask = padded([tf.ones(shape, tf.bool) for shape in SHAPES[rank]])
    expected = {"x": padded(tensors, 1), "x.lengths": shapes[:, 0] if rank == 1 else shapes, "x.mask": mask}
    assert_output(out, expected)


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES, ids=by_name)
def test_tensors_of_varying_shape_are_ragged_by_themselves(tmp_path, out, dtype, rank):
    path = file_of(tmp_path / "a", [tensor(shape, dtype, seed) for seed, shape in enumerate(SHAPES[rank])])
    convert(path, out)
    flat = [tf.reshape(tensor, [-1]).numpy() for tensor in parsed(path, dtype)]
    ends = np.cumsum([0, *map(len, flat)]).astype(np.int64)
    expected = {"x.values": np.concatenate(flat), "x.offsets": ends}
    if rank > 1:
        expected["x.shapes"] = np.array(SHAPES[rank], np.int64)
    assert_output(out, expected)


@pytest.mark.parametrize("pad, sizes", [("5x6", (5, 6)), ("max,max", None), ("7", (7, None))])
def test_each_axis_may_have_a_size(tmp_path, out, pad, sizes):
    path = file_of(tmp_path / "a", [tensor(shape, tf.int32, seed) for seed, shape in enumerate(SHAPES[2])])
    convert(path, out, f"x: pad={pad} lengths=no value=-1")
    assert_output(out, {"x": padded(parsed(path, tf.int32), -1, sizes)})


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("sizes", [(1, 2), (2, 2), (3, 9), (9, 1)], ids=str)
def test_truncation_in_each_axis(tmp_path, out, sizes, left):
    """As to_tensor cuts; at the front, the same with the axes turned round."""
    path = file_of(tmp_path / "a", [tensor(shape, tf.int16, seed) for seed, shape in enumerate(SHAPES[2])])
    side = "left" if left else "right"
    convert(path, out, f"x: pad={sizes[0]}x{sizes[1]} truncate side={side} value=3 mask")
    turn = (lambda array: array[..., ::-1, ::-1]) if left else (lambda array: array)
    cut = lambda tensors, value: turn(
        tf.ragged.stack(list(map(turn, tensors))).to_tensor(value, shape=(None, *sizes)).numpy()
    )
    tensors = parsed(path, tf.int16)
    expected = {
        "x": cut(tensors, tf.constant(3, tf.int16)),
        "x.mask": cut([tf.ones_like(tensor, tf.bool) for tensor in tensors], False),
        "x.lengths": np.minimum(np.array(SHAPES[2], np.int64), sizes),
    }
    assert_output(out, expected)


def test_a_reshaped_tensor(tmp_path, out):
    path = file_of(tmp_path / "a", [tensor((2, 6), tf.float32, seed) for seed in range(3)])
    convert(path, out, "x: decode=tensor reshape=3,-1")
    assert_output(out, {"x": tf.reshape(parsed(path, tf.float32), (3, 3, 4)).numpy()})


def test_tensors_of_strings(tmp_path, out):
    tensors = [tf.constant([b"a", b"bcd"]), tf.constant([b"", b"ef"])]
    path = file_of(tmp_path / "a", tensors)
    convert(path, out)
    assert_output(out, {"x": fixed_strings(tf.stack(parsed(path, tf.string)).numpy())})


def test_tensors_of_strings_of_varying_shape(tmp_path, out):
    tensors = [tf.constant([[b"a", b"bcd"]]), tf.constant([[b""], [b"ef"], [b"g"]])]
    path = file_of(tmp_path / "a", tensors)
    convert(path, out)
    assert read_ragged(out, "x") == [tensor.numpy().tolist() for tensor in parsed(path, tf.string)]


@pytest.mark.parametrize(
    "tensors",
    [
        [["a" * 70, "b"], ["c"], []],
        [["a" * 70, "b"], ["c", "d\0"]],
        [[["a" * 70, "b"]], [["c"], ["d"]]],
        ["a" * 70, "b"],
    ],
    ids=["lists", "lists of one length", "two axes", "scalars"],
)
def test_tensors_of_long_strings(tmp_path, out, tensors):
    """Too long for a fixed width: they must be ragged, and keep their shape."""
    path = file_of(tmp_path / "a", [tf.constant(strings_in, tf.string) for strings_in in tensors])
    convert(path, out)
    expected = [
        tensor.numpy().tolist() if tensor.shape.rank else [tensor.numpy()] for tensor in parsed(path, tf.string)
    ]
    assert read_ragged(out, "x") == expected


# Values in the field of their type, as other writers have them: all of them, some (the last repeats), or too many.
TYPED = {
    tf.float32: ("float_val", [1.5, -0.0, 3.25]),
    tf.float64: ("double_val", [1.5, -0.0, 1e300]),
    tf.int32: ("int_val", [1, -2, 2**31 - 1]),
    tf.uint8: ("int_val", [1, 255, 7]),
    tf.int16: ("int_val", [-(2**15), 5, 6]),
    tf.int8: ("int_val", [-128, 5, 6]),
    tf.uint16: ("int_val", [65535, 5, 6]),
    tf.int64: ("int64_val", [-(2**63), 5, 6]),
    tf.bool: ("bool_val", [True, False, True]),
    tf.float16: ("half_val", [0x3C00, 0x8000, 0x7BFF]),
    tf.bfloat16: ("half_val", [0x3F80, 0x8000, 0x7F7F]),
    tf.uint32: ("uint32_val", [2**32 - 1, 5, 6]),
    tf.uint64: ("uint64_val", [2**64 - 1, 5, 6]),
    tf.complex64: ("scomplex_val", [1.5, -2.5, 0.0, 1.0, 7.0, 8.0]),
    tf.complex128: ("dcomplex_val", [1.5, -2.5, 0.0, 1.0, 7.0, 8.0]),
}


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2,)], ids=["as many", "fewer", "more"])
@pytest.mark.parametrize("dtype", TYPED, ids=by_name)
def test_values_in_typed_fields(tmp_path, out, dtype, shape):
    field, values = TYPED[dtype]
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, field).extend(values)
    path = write(tmp_path / "a", examples("x", [strings(proto.SerializeToString())] * 2))
    convert(path, out, "x: decode=tensor")
    assert_output(out, {"x": tf.stack(parsed(path, dtype)).numpy()})


def test_tensors_of_two_dtypes_are_an_error_where_tensors_are_asked_for(tmp_path, out):
    path = file_of(tmp_path / "a", [tf.range(3), tf.range(3.0)])
    with pytest.raises(tf.errors.InvalidArgumentError):
        parsed(path, tf.int32)
    said = convert(path, out, "x: decode=tensor pad=max", code=FAILED).stderr
    assert "element" in said and "`x`" in said


def test_tensors_of_two_dtypes_stay_bytes_by_themselves(tmp_path, out):
    bodies = [tf.io.serialize_tensor(value).numpy() for value in (tf.range(3), tf.range(3.0))]
    convert(write(tmp_path / "a", examples("x", [strings(body) for body in bodies])), out)
    values = b"".join(bodies)
    if (out / "x.npy").exists():
        assert_npy(out / "x.npy", fixed_strings(bodies))
    else:
        assert_npy(out / "x.values.npy", np.frombuffer(values, np.uint8))


def test_bytes_that_are_no_tensor_are_an_error(tmp_path, out):
    good = tf.io.serialize_tensor(tf.range(3)).numpy()
    for number, bad in enumerate([b"no tensor", good[:-1], good + b"\x00\x00\x00"]):
        path = write(tmp_path / str(number), examples("x", [strings(good), strings(bad)]))
        with pytest.raises(tf.errors.InvalidArgumentError):
            parsed(path, tf.int32)
        assert "element 1" in convert(path, out, "x: decode=tensor", code=FAILED).stderr


def test_scan_tells_what_the_tensors_are(tmp_path):
    path = file_of(tmp_path / "a", [tensor(shape, tf.float16, 0) for shape in SHAPES[2]])
    found = scan(path)["features"]["x"]
    shapes = np.array([tensor.shape for tensor in parsed(path, tf.float16)])
    assert found["tensors"] == {
        "dtype": "float16",
        "smallest": shapes.min(axis=0).tolist(),
        "largest": shapes.max(axis=0).tolist(),
        "uniform": False,
    }
