"""Casts on the way in, against `tf.cast` and `tf.saturate_cast`.

`tf.cast` wraps or is undefined where a value does not fit, which lithify refuses: so values that fit must become what
`tf.cast` makes of them, and each that does not must be an error.
"""

import math

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from oracle import FAILED, assert_npy, assert_output, convert, examples, fixed, floats, ints, ragged, strings, write

FLOATS = [tf.float16, tf.bfloat16, tf.float32, tf.float64]
INTEGERS = [tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64]
NUMBERS = [*FLOATS, *INTEGERS]
TARGETS = [*NUMBERS, tf.bool]

by_name = lambda dtype: dtype.name


EDGES = [
    sign * (2**bits + near)
    for bits in (0, 7, 8, 11, 15, 16, 24, 31, 32, 53, 63, 64)
    for near in (-1, 0, 1)
    for sign in (1, -1)
]
FRACTIONS = [
    *(0.5, -0.5, 0.1, -1.5, 2.5, 1e-3, 6e-8, 3.0e38, 65504.0, 65519.9, 1.7e308, -0.0, 1.00390625, 1.001953125),
    # Just above the middle of two half floats, and in float precision right on it: rounding twice shows.
    *(1.0 + 2**-11 + 2**-30, 1.0 + 2**-8 + 2**-40),
]


def values_of(dtype):
    """Values at every edge of a dtype, and near the edges of all others."""
    if dtype.is_integer:
        return np.array(sorted({edge for edge in EDGES if dtype.min <= edge <= dtype.max}), dtype.as_numpy_dtype)
    with np.errstate(over="ignore"):
        values = np.array([*map(float, EDGES), *FRACTIONS]).astype(dtype.as_numpy_dtype)
    return values[np.isfinite(values.astype(np.float64))]


def fits(value, dtype):
    """Whether a value fits a dtype: for an integer it must be whole and in range, for a float it must not overflow."""
    if dtype == tf.bool:
        return True
    if dtype.is_floating:
        return math.isfinite(float(tf.cast(value, dtype)))
    number = int(value) if isinstance(value, np.integer) else float(value)
    return number == int(number) and dtype.min <= int(number) <= dtype.max


def stored_as(path, values):
    """A file of one element, which holds these values as raw bytes."""
    return write(path, examples("x", [strings(values.tobytes())]))


def decoded(path, dtype):
    """The values as TensorFlow reads them; as NumPy does where TensorFlow has no such decoder."""
    (record,) = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    body = fixed([record], "x", tf.string)[0]
    if dtype in (tf.uint32, tf.uint64):
        return tf.constant(np.frombuffer(body, dtype.as_numpy_dtype))
    return tf.io.decode_raw(body, dtype)


# --- from raw bytes of every dtype -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS, ids=by_name)
@pytest.mark.parametrize("source", NUMBERS, ids=by_name)
def test_values_that_fit_are_cast_as_tf_cast_does(tmp_path, out, source, target):
    values = values_of(source)
    values = values[[fits(value, target) for value in values]]
    path = stored_as(tmp_path / "a", values)
    convert(path, out, f"x: decode=raw:{source.name} dtype={target.name}")
    assert_npy(out / "x.npy", tf.cast(decoded(path, source), target).numpy()[None])


@pytest.mark.parametrize("target", FLOATS, ids=by_name)
@pytest.mark.parametrize("source", FLOATS, ids=by_name)
def test_infinities_and_nan_are_kept(tmp_path, out, source, target):
    """An infinity is no overflow."""
    values = np.array([np.nan, np.inf, -np.inf], source.as_numpy_dtype)
    path = stored_as(tmp_path / "a", values)
    convert(path, out, f"x: decode=raw:{source.name} dtype={target.name}")
    found = np.load(out / "x.npy", mmap_mode="r").view(target.as_numpy_dtype)
    np.testing.assert_array_equal(
        found[0].astype(np.float64), tf.cast(decoded(path, source), target).numpy().astype(np.float64)
    )


@pytest.mark.parametrize("source", NUMBERS, ids=by_name)
def test_each_value_that_does_not_fit_is_an_error(tmp_path, source):
    """Every value alone beside one that fits; the message names the element and the value."""
    for target in (tf.int8, tf.uint16, tf.int32, tf.uint64, tf.float16):
        unfit = [value for value in values_of(source) if not fits(value, target)]
        for number, value in enumerate([*unfit[:2], *unfit[-2:]]):
            good = np.ones(1, source.as_numpy_dtype)
            rows = [good, good, np.array([value], source.as_numpy_dtype)]
            path = write(tmp_path / f"{target.name}-{number}", examples("x", [strings(row.tobytes()) for row in rows]))
            said = convert(
                path, tmp_path / "out", f"x: decode=raw:{source.name} dtype={target.name}", code=FAILED
            ).stderr
            assert "element 2" in said and "`x`" in said and target.name in said
            assert not (tmp_path / "out").exists()


def test_bool_becomes_numbers(tmp_path, out):
    path = stored_as(tmp_path / "a", np.array([True, False, True]))
    for target in NUMBERS:
        convert(path, out / target.name, f"x: decode=raw:bool dtype={target.name}")
        assert_npy(out / target.name / "x.npy", tf.cast(decoded(path, tf.bool), target).numpy()[None])


# --- from lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["ragged", "pad=max value=1", "exact"])
@pytest.mark.parametrize("target", TARGETS, ids=by_name)
@pytest.mark.parametrize("make, source", [(ints, tf.int64), (floats, tf.float32)], ids=["int64", "float"])
def test_lists_are_cast_in_every_fit(tmp_path, out, make, source, target, fit):
    values = [value.item() for value in values_of(source) if fits(value, target)]
    rows = [values, values[::-1]] if fit == "exact" else [values[:3], [], values[3:]]
    records = examples("x", [make(*row) for row in rows])
    convert(write(tmp_path / "a", records), out, f"x: {'' if fit == 'exact' else fit} dtype={target.name}")
    cast = tf.cast(ragged(records, "x", source), target)
    if fit == "ragged":
        assert_npy(out / "x.values.npy", cast.values.numpy())
    else:
        assert_npy(out / "x.npy", cast.to_tensor(tf.cast(1, target)).numpy())


@pytest.mark.parametrize("fit", ["ragged", "pad=max", "bucket=1,4"])
@pytest.mark.parametrize(
    "row, dtype",
    [([1, 300], "uint8"), ([-1], "uint8"), ([2**31], "int32"), ([-(2**63)], "uint64"), ([65520], "float16")],
)
def test_a_value_out_of_range_is_an_error_in_every_fit(tmp_path, out, row, dtype, fit):
    path = write(tmp_path / "a", examples("x", [ints(1), ints(), ints(*row), ints(2)]))
    said = convert(path, out, f"x: {fit} dtype={dtype}", code=FAILED).stderr
    assert "element 2" in said and str(row[-1]) in said and dtype in said
    assert not out.exists()


@pytest.mark.parametrize("value", [0.5, -1.25, float("nan"), float("inf"), 3e9])
def test_a_fraction_is_not_dropped_without_being_asked(tmp_path, out, value):
    path = write(tmp_path / "a", examples("x", [floats(1.0), floats(value)]))
    assert "element 1" in convert(path, out, "x: dtype=int32", code=FAILED).stderr


def test_bad_elements_can_be_skipped(tmp_path, out):
    """The others are numbered anew, as if those had never been."""
    records = examples("x", [ints(1), ints(300, 2), ints(3, 4), ints(-1), ints(5)])
    convert(write(tmp_path / "a", records), out, "x: ragged dtype=uint8", options=["--on-error", "skip"], code=3)
    kept = ragged([records[0], records[2], records[4]], "x", tf.int64)
    assert_output(out, {"x.values": tf.cast(kept, tf.uint8).values.numpy(), "x.offsets": kept.row_splits.numpy()})


def test_bfloat16_is_two_opaque_bytes_that_can_be_viewed(tmp_path, out):
    """NumPy has no bfloat16; what is stored is what ml_dtypes rounds to as well."""
    values = np.random.default_rng(0).normal(size=999).astype(np.float32)
    convert(write(tmp_path / "a", examples("x", [floats(*values)])), out, "x: dtype=bfloat16")
    found = np.load(out / "x.npy", mmap_mode="r")
    assert found.dtype == np.dtype("V2")
    np.testing.assert_array_equal(found.view(ml_dtypes.bfloat16)[0], values.astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(found.view(ml_dtypes.bfloat16)[0], tf.cast(values, tf.bfloat16).numpy())


@pytest.mark.parametrize("target", [tf.float16, tf.bfloat16], ids=by_name)
def test_every_way_to_round_to_a_half(tmp_path, out, target):
    """All floats near each of the dtype's values and near the middle between two of them."""
    steps = np.arange(2**16, dtype=np.uint16).view(target.as_numpy_dtype)[: 2**15][::7].astype(np.float32)
    steps = steps[np.isfinite(steps) & (steps < 6e4)]
    middles = (steps[1:].astype(np.float64) + steps[:-1]).astype(np.float32) / 2
    near = [np.nextafter(points, np.float32(to)) for points in (steps, middles) for to in (-1, 1e9)]
    values = np.concatenate([steps, middles, *near])
    values = np.concatenate([values, -values])
    path = stored_as(tmp_path / "a", values)
    convert(path, out, f"x: decode=raw:float32 dtype={target.name}")
    assert_npy(out / "x.npy", tf.cast(decoded(path, tf.float32), target).numpy()[None])


# --- saturate --------------------------------------------------------------------------------------------------------


def saturated(values, target):
    """What `tf.saturate_cast` is meant to give, by way of it where it is sound.

    It clips in the dtype of the values, which may not hold the limits of the target. Floats are therefore widened to
    float64 first, which changes no value. It has no kernel for the larger unsigned integers, and its limits overflow
    for int64: those are clipped by NumPy, and cast by TensorFlow.
    """
    source = values.dtype
    if source.is_floating:
        return tf.saturate_cast(tf.cast(values, tf.float64), target)
    if source in (tf.int64, tf.uint32, tf.uint64):
        low, high = (int(float(limit)) if target.is_floating else limit for limit in (target.min, target.max))
        low, high = max(source.min, low), min(source.max, high)
        return tf.cast(np.clip(values.numpy(), low, high), target)
    return tf.saturate_cast(values, target)


@pytest.mark.parametrize("target", NUMBERS, ids=by_name)
@pytest.mark.parametrize("source", NUMBERS, ids=by_name)
def test_saturate_clips_as_tf_saturate_cast_does(tmp_path, out, source, target):
    values = values_of(source)
    if source.is_floating and target in (tf.int64, tf.uint64):
        # No float is the largest 64-bit integer: TensorFlow's own result is undefined beyond it.
        values = values[np.abs(values.astype(np.float64)) < 2**63]
    path = stored_as(tmp_path / "a", values)
    convert(path, out, f"x: decode=raw:{source.name} dtype={target.name} saturate")
    assert_npy(out / "x.npy", saturated(decoded(path, source), target).numpy()[None])


@pytest.mark.parametrize("target", NUMBERS, ids=by_name)
@pytest.mark.parametrize("make, source", [(ints, tf.int64), (floats, tf.float32)], ids=["int64", "float"])
def test_lists_saturate(tmp_path, out, make, source, target):
    values = [value.item() for value in values_of(source) if abs(value.item()) < 2**63]
    records = examples("x", [make(*values[:5]), make(), make(*values[5:])])
    convert(write(tmp_path / "a", records), out, f"x: ragged dtype={target.name} saturate")
    assert_npy(out / "x.values.npy", saturated(ragged(records, "x", source).values, target).numpy())


@pytest.mark.parametrize("target", [tf.float16, tf.bfloat16, tf.float32, tf.int8, tf.int32, tf.uint8], ids=by_name)
def test_saturate_clips_infinities(tmp_path, out, target):
    path = stored_as(tmp_path / "a", np.array([np.inf, -np.inf, 1.0]))
    convert(path, out, f"x: decode=raw:float64 dtype={target.name} saturate")
    assert_npy(out / "x.npy", tf.saturate_cast(decoded(path, tf.float64), target).numpy()[None])


def test_saturate_drops_fractions_towards_zero(tmp_path, out):
    records = examples("x", [floats(2.9, -2.9, 0.5, -0.5, 300.7, -300.7)])
    convert(write(tmp_path / "a", records), out, "x: dtype=int8 saturate")
    assert_npy(out / "x.npy", tf.saturate_cast(ragged(records, "x", tf.float32).to_tensor(), tf.int8).numpy())


def test_subnormal_floats_are_kept(tmp_path, out):
    """NumPy is the oracle: TensorFlow may round them to zero."""
    values = np.array([1e-45, -1e-40, 1.1754942e-38], np.float32)
    path = write(tmp_path / "a", examples("x", [floats(*values)]))
    for target in ("float64", "bool", "bfloat16", "float16"):
        convert(path, out / target, f"x: dtype={target}")
        assert_npy(out / target / "x.npy", values.astype(tf.as_dtype(target).as_numpy_dtype)[None])


@pytest.mark.parametrize(
    "value, target, largest",
    [(1e30, "int64", 2**63 - 1), (-1e30, "int64", -(2**63)), (1e30, "uint64", 2**64 - 1), (-5.0, "uint64", 0)],
)
def test_saturate_clips_floats_to_the_largest_integers(tmp_path, out, value, target, largest):
    """Where TensorFlow's result is undefined, it is the nearest integer that fits."""
    convert(write(tmp_path / "a", examples("x", [floats(value)])), out, f"x: dtype={target} saturate")
    assert_npy(out / "x.npy", np.array([largest], target))
