"""Byte strings: fixed-width, ragged, and decoded as `tf.io.decode_raw` does."""

import numpy as np
import pytest
import tensorflow as tf

from oracle import (
    FAILED,
    USAGE,
    arrays_in,
    assert_npy,
    assert_output,
    convert,
    example,
    examples,
    fixed,
    fixed_strings,
    ints,
    lengths,
    present,
    ragged,
    read_ragged,
    strings,
    unset,
    write,
)

WORDS = [b"one", b"", b"a longer one", "ähnlich".encode(), b"\x00in\x00side", b"x"]


# --- fixed width -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ["x", "x: dtype=S", "x: dtype=S12"])
def test_one_string_an_element(tmp_path, out, request_):
    records = examples("x", [strings(word) for word in WORDS])
    convert(write(tmp_path / "a", records), out, request_)
    assert_output(out, {"x": fixed_strings(fixed(records, "x", tf.string))})


def test_a_wider_dtype_than_needed(tmp_path, out):
    records = examples("x", [strings(word) for word in WORDS])
    convert(write(tmp_path / "a", records), out, "x: dtype=S20")
    assert_output(out, {"x": fixed_strings(fixed(records, "x", tf.string), 20)})


def test_strings_can_be_cut(tmp_path, out):
    """NumPy cuts without asking; lithify only where it is told to."""
    records = examples("x", [strings(word) for word in WORDS])
    path = write(tmp_path / "a", records)
    assert "12" in convert(path, out, "x: dtype=S4", code=USAGE).stderr
    convert(path, out, "x: dtype=S4 truncate pad=1 lengths=no")
    assert_output(out, {"x": fixed(records, "x", tf.string, (1,)).astype("S4")})


def test_empty_strings_only(tmp_path, out):
    """NumPy has no strings of width 0 in files."""
    records = examples("x", [strings(b""), strings(b"")])
    convert(write(tmp_path / "a", records), out)
    assert_output(out, {"x": fixed_strings([b"", b""])})


def test_several_strings_an_element(tmp_path, out):
    records = examples("x", [strings(b"a", b"bcd"), strings(b"", b"ef")])
    convert(write(tmp_path / "a", records), out)
    assert_output(out, {"x": fixed_strings(fixed(records, "x", tf.string, (2,)))})


@pytest.mark.parametrize("value", ["", "<pad>"])
@pytest.mark.parametrize("width", [None, 3, 8])
def test_lists_of_strings_are_padded(tmp_path, out, value, width):
    """Padded and cut as to_tensor does, each string in the width of the widest."""
    records = examples("x", [strings(b"a", b"bcd"), strings(), None, strings(b"12345", b"", b"6"), unset()])
    rows = ragged(records, "x", tf.string)
    asked = f"pad={width or 'max'} truncate" + (f" value={value}" if value else "")
    convert(write(tmp_path / "a", records), out, f"x: {asked}")
    padded = rows.to_tensor(value.encode(), shape=(None, width)).numpy()
    kept = np.minimum(lengths(rows), width or 3)
    assert_output(out, {"x": fixed_strings(padded, 5), "x.lengths": kept})


def test_the_default_of_strings(tmp_path, out):
    records = examples("x", [strings(b"abc"), None, strings(b"d")])
    convert(write(tmp_path / "a", records), out, "x: default=no present")
    expected = fixed_strings(fixed(records, "x", tf.string, (), b"no"))
    assert_output(out, {"x": expected, "x.present": present(records, "x")})


# --- ragged ----------------------------------------------------------------------------------------------------------


def string_arrays(rows):
    """Byte strings as bytes, where each string starts, and where each element's strings start."""
    flat = rows.values.numpy().tolist()
    ends = np.cumsum([0, *map(len, flat)]).astype(np.int64)
    return np.frombuffer(b"".join(flat), np.uint8), ends, rows.row_splits.numpy()


def test_long_strings_are_ragged_by_themselves(tmp_path, out):
    records = examples("x", [strings(bytes(range(n))) for n in (65, 0, 1, 256, 3)])
    convert(write(tmp_path / "a", records), out)
    values, ends, _ = string_arrays(ragged(records, "x", tf.string))
    assert_output(out, {"x.values": values, "x.offsets": ends})


def test_strings_that_end_in_nul_are_kept_whole(tmp_path, out):
    """NumPy's fixed-width strings drop NULs at the end, so these must not become such without being asked for."""
    words = [b"ab\x00", b"", b"\x00", b"c"]
    records = examples("x", [strings(word) for word in words])
    assert fixed_strings(words).tolist() != words
    convert(write(tmp_path / "a", records), out)
    values, ends, _ = string_arrays(ragged(records, "x", tf.string))
    assert_output(out, {"x.values": values, "x.offsets": ends})
    assert read_ragged(out, "x") == ragged(records, "x", tf.string).to_list()


def test_lists_of_long_strings_have_two_levels_of_offsets(tmp_path, out):
    lists = [[b"a" * 70, b""], [], None, "unset", [bytes(range(256))], [b"x", b"y\x00", b"z" * 100], []]
    make = lambda row: row if row is None else unset() if row == "unset" else strings(*row)
    records = examples("x", [make(row) for row in lists])
    convert(write(tmp_path / "a", records), out)
    rows = ragged(records, "x", tf.string)
    values, ends, starts = string_arrays(rows)
    assert_output(
        out, {"x.values": values, "x.value_offsets": ends, "x.offsets": starts, "x.present": present(records, "x")}
    )
    assert read_ragged(out, "x") == rows.to_list()


@pytest.mark.parametrize("first", [b"a", b"a" * 70], ids=["short", "long"])
def test_reshaped_lists_of_strings_keep_their_shape(tmp_path, out, first):
    """Whichever way they are ragged."""
    rows = [[first, b"b", b"c", b"d"], [b"e", b"f"]]
    convert(write(tmp_path / "a", examples("x", [strings(*row) for row in rows])), out, "x: reshape=2,-1")
    assert read_ragged(out, "x") == [tf.reshape(row, (2, -1)).numpy().tolist() for row in rows]


def test_lists_of_short_strings_are_ragged_items(tmp_path, out):
    records = examples("x", [strings(b"a", b"bcd"), strings(), strings(b"ef")])
    convert(write(tmp_path / "a", records), out)
    rows = ragged(records, "x", tf.string)
    assert_output(out, {"x.values": fixed_strings(rows.values.numpy()), "x.offsets": rows.row_splits.numpy()})
    assert read_ragged(out, "x") == rows.to_list()


# --- decode=raw ------------------------------------------------------------------------------------------------------

RAW = [
    *(tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16),
    *(tf.complex64, tf.complex128, tf.bool),
]


def payloads(count, size, seed=0):
    """Random bytes: every pattern of bits, NaNs too, must come through as it is."""
    random = np.random.default_rng(seed)
    return [random.bytes(count * size) for _ in range(6)]


@pytest.mark.parametrize("order", ["", ":little", ":big"])
@pytest.mark.parametrize("dtype", RAW, ids=lambda dtype: dtype.name)
def test_raw_bytes(tmp_path, out, dtype, order):
    bodies = payloads(5, dtype.size)
    records = examples("x", [strings(body) for body in bodies])
    convert(write(tmp_path / "a", records), out, f"x: decode=raw:{dtype.name}{order}")
    expected = tf.io.decode_raw(fixed(records, "x", tf.string), dtype, little_endian=order != ":big").numpy()
    assert_output(out, {"x": expected})


@pytest.mark.parametrize("order", ["", ":big"])
@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_raw_bytes_that_only_numpy_decodes(tmp_path, out, dtype, order):
    bodies = payloads(5, np.dtype(dtype).itemsize)
    convert(
        write(tmp_path / "a", examples("x", [strings(body) for body in bodies])), out, f"x: decode=raw:{dtype}{order}"
    )
    stored = np.dtype(dtype).newbyteorder(">" if order else "<")
    assert_output(out, {"x": np.stack([np.frombuffer(body, stored) for body in bodies]).astype(dtype)})


@pytest.mark.parametrize("fit", ["ragged", "pad=max value=9", "pad=3 truncate", "bucket=2,5"])
def test_raw_bytes_of_varying_length(tmp_path, out, fit):
    bodies = [np.arange(n, dtype=np.int16).tobytes() for n in (3, 0, 5, 1, 2)]
    records = examples("x", [strings(body) for body in bodies])
    convert(write(tmp_path / "a", records), out, f"x: decode=raw:int16 {fit}")
    rows = tf.ragged.stack([tf.io.decode_raw(body, tf.int16) for body in bodies])
    counts = lengths(rows)
    if fit == "ragged":
        expected = {"x.values": rows.values.numpy(), "x.offsets": rows.row_splits.numpy().astype(np.int64)}
    elif fit.startswith("bucket"):
        short, long = np.flatnonzero(counts <= 2), np.flatnonzero(counts > 2)
        expected = {
            f"x.le{cap}{suffix}": array
            for cap, chosen in ((2, short), (5, long))
            for suffix, array in (
                ("", tf.gather(rows, chosen).to_tensor(shape=(None, cap)).numpy()),
                (".elements", chosen),
                (".lengths", counts[chosen]),
            )
        }
    else:
        width, value = (5, 9) if "max" in fit else (3, 0)
        padded = rows.to_tensor(tf.constant(value, tf.int16), shape=(None, width)).numpy()
        expected = {"x": padded, "x.lengths": np.minimum(counts, width)}
    assert_output(out, expected)


def test_bytes_that_are_no_whole_number_of_items_are_an_error(tmp_path, out):
    records = examples("x", [strings(b"1234"), strings(b"12345")])
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.io.decode_raw(records[1], tf.int32)
    said = convert(write(tmp_path / "a", records), out, "x: decode=raw:int32", code=FAILED).stderr
    assert "element 1" in said and "`x`" in said


def test_images_of_one_shape_with_the_shape_beside_them(tmp_path, out):
    images = np.random.default_rng(1).integers(0, 256, (4, 5, 6, 3), np.uint8)
    records = image_records(images)
    convert(write(tmp_path / "a", records), out, "image: decode=raw:uint8 reshape=height,width,depth", "label")
    decoded = tf.io.decode_raw(fixed(records, "image", tf.string), tf.uint8)
    assert_output(out, {"image": tf.reshape(decoded, (4, 5, 6, 3)).numpy(), "label": np.arange(4)})


def test_images_of_varying_shape_are_padded_or_ragged(tmp_path, out):
    images = [np.full(shape, 7 + shape[0], np.uint8) for shape in ((2, 3, 3), (4, 2, 3), (1, 5, 1))]
    path = write(tmp_path / "a", image_records(images))
    view = "image: decode=raw:uint8 reshape=height,width,depth"
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec((None,) * 3, tf.uint8)
    )
    (batch,) = dataset.padded_batch(3, padding_values=tf.constant(255, tf.uint8))
    shapes = np.array([image.shape for image in images])
    convert(path, out / "padded", f"{view} pad=max value=255")
    assert_output(out / "padded", {"image": batch.numpy(), "image.lengths": shapes})
    convert(path, out / "ragged", view)
    assert read_ragged(out / "ragged", "image") == [image.tolist() for image in images]


def image_records(images):
    return [
        example(
            {
                "image": strings(image.tobytes()),
                **dict(zip(("height", "width", "depth"), map(ints, image.shape), strict=True)),
                "label": ints(number),
            }
        )
        for number, image in enumerate(images)
    ]


def test_one_feature_may_give_the_whole_shape(tmp_path, out):
    """As in sequencing data: raw floats, and a list of sizes beside them."""
    arrays = np.random.default_rng(2).normal(size=(5, 3, 4, 1)).astype(np.float32)
    records = [example({"subreads/encoded": strings(a.tobytes()), "subreads/shape": ints(*a.shape)}) for a in arrays]
    convert(
        write(tmp_path / "a", records), out, "subreads/encoded: decode=raw:float32 reshape=subreads/shape rename=reads"
    )
    decoded = tf.io.decode_raw(fixed(records, "subreads/encoded", tf.string), tf.float32)
    shape = fixed(records, "subreads/shape", tf.int64, (3,))[0]
    assert_output(out, {"reads": tf.reshape(decoded, (-1, *shape)).numpy()})


def test_a_shape_that_does_not_fit_is_an_error(tmp_path, out):
    make = lambda *shape: example({"x": strings(b"123456"), "shape": ints(*shape)})
    records = [make(2, 3), make(2, 2), make(6, 1)]
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.reshape(tf.io.decode_raw(b"123456", tf.uint8), (2, 2))
    path = write(tmp_path / "a", records)
    assert "element 1" in convert(path, out, "x: decode=raw:uint8 reshape=shape", code=FAILED).stderr
    assert arrays_in(out) == set()


def test_without_decoding_bytes_stay_bytes(tmp_path, out):
    """`decode=none` keeps even serialized tensors as the strings they are."""
    bodies = [tf.io.serialize_tensor(tf.range(n)).numpy() for n in (3, 5)]
    records = examples("x", [strings(body) for body in bodies])
    convert(write(tmp_path / "a", records), out, "x: decode=none ragged dtype=S")
    rows = ragged(records, "x", tf.string)
    assert_npy(out / "x.values.npy", fixed_strings(rows.values.numpy()))
