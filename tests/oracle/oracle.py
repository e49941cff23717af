"""What all tests share: making TFRecords, running lithify, reading what it wrote, and what TensorFlow says of it.

Every comparison ends in `assert_npy`: the file must be, byte for byte, what `np.save` writes of the array that
TensorFlow or NumPy computed, and must open as a memory map.
"""

import io
import json
import os
import subprocess

import ml_dtypes
import numpy as np
import tensorflow as tf

BINARY = os.environ["LITHIFY"]
DONE, FAILED, USAGE, SKIPPED = 0, 1, 2, 3


# --- Running lithify -------------------------------------------------------------------------------------------------


def run(*words, code=DONE):
    """Runs lithify, which must end with this exit code, if one is given; gives the finished process."""
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert code is None or done.returncode == code, f"lithify {words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


def wants(features):
    """The words that ask for these features."""
    return [word for feature in features for word in ("--feature", feature)]


def convert(source, output, *features, options=(), code=DONE):
    """Converts a file, a directory, or a list of them into the directory `output`; gives the finished process."""
    sources = source if isinstance(source, list) else [source]
    return run("convert", *sources, "--output", output, "--quiet", *wants(features), *options, code=code)


def scan(source, *options):
    """What `scan --json` says, with the features by name."""
    sources = source if isinstance(source, list) else [source]
    found = json.loads(run("scan", *sources, "--json", *options).stdout)
    found["features"] = {feature["name"]: feature for feature in found["features"]}
    return found


def manifest(output):
    """What `lithify.json` says, without the part that differs from run to run."""
    found = json.loads((output / "lithify.json").read_text())
    del found["run"], found["checksum"]
    return found


# --- Making records --------------------------------------------------------------------------------------------------


def ints(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def floats(*values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def strings(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def unset():
    """A feature that is there, but of no kind: the same as one that is missing."""
    return tf.train.Feature()


def example(features):
    """The bytes of a tf.train.Example of these features."""
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def examples(name, features):
    """An Example for each of these features, all under one name; `None` leaves the feature out."""
    return [example({} if feature is None else {name: feature}) for feature in features]


def write(path, records, compression=""):
    """Writes records with TensorFlow's own writer; gives the path."""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


# --- What TensorFlow says --------------------------------------------------------------------------------------------

NATURAL = {"int64_list": tf.int64, "float_list": tf.float32, "bytes_list": tf.string}


def kind_of(record, name):
    """Which list TensorFlow's protobuf class finds under a name; `None` where the feature is missing or unset."""
    features = tf.train.Example.FromString(record).features.feature
    return features[name].WhichOneof("kind") if name in features else None


def ragged(records, name, dtype):
    """A feature of all records as `tf.io.parse_example` gives it, as a RaggedTensor."""
    spec = {name: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)}
    return tf.io.parse_example(tf.constant(records, tf.string), spec)[name]


def fixed(records, name, dtype, shape=(), default=None):
    """A feature of all records as a FixedLenFeature."""
    spec = {name: tf.io.FixedLenFeature(shape, dtype, default)}
    return tf.io.parse_example(tf.constant(records, tf.string), spec)[name].numpy()


def present(records, name):
    """Which records have the feature."""
    return np.array([kind_of(record, name) is not None for record in records])


def lengths(rows):
    """The lengths of a RaggedTensor's rows."""
    return rows.row_lengths().numpy().astype(np.int64)


def fixed_strings(values, width=None):
    """Byte strings as NumPy's fixed-width strings, as wide as the widest; never of width 0, which NumPy cannot save."""
    values = np.asarray(values, object)
    width = width or max(map(len, values.ravel()), default=0) or 1
    return values.astype(f"S{width}")


# --- What lithify wrote ----------------------------------------------------------------------------------------------


def saved(array):
    """The bytes of the file that `np.save` writes."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, order="C"))
    return buffer.getvalue()


def load(path):
    """An array, memory-mapped."""
    array = np.load(path, mmap_mode="r")
    assert isinstance(array, np.memmap)
    return array


def assert_npy(path, expected):
    """The file is what `np.save` makes of the expected array, and can be mapped.

    bfloat16 is no dtype of NumPy's own: it must load as two opaque bytes, and be bfloat16 when it is seen as that.
    """
    expected = np.asarray(expected)
    found = load(path)
    if expected.dtype == ml_dtypes.bfloat16:
        assert found.dtype == np.dtype("V2")
        found = found.view(ml_dtypes.bfloat16)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if path.read_bytes() != saved(expected):
        np.testing.assert_array_equal(found, expected)
        raise AssertionError(f"{path} is equal as an array, but not in its bytes: a -0.0, a NaN, or the header")


def arrays_in(output):
    """The names of the arrays of an output."""
    return {str(path.relative_to(output).with_suffix("")) for path in output.rglob("*.npy")}


def assert_output(output, expected):
    """The output has exactly these arrays."""
    assert arrays_in(output) == set(expected)
    for name, array in expected.items():
        assert_npy(output / f"{name}.npy", array)


def files_of(output):
    """The bytes of every array of an output, by name."""
    return {name: (output / f"{name}.npy").read_bytes() for name in arrays_in(output)}


def assert_same_output(output, other):
    """Two outputs have the same arrays and manifest, to the byte."""
    assert files_of(output) == files_of(other)
    assert manifest(output) == manifest(other)


def pieces(array, ends):
    """The pieces of an array between each two of these ends."""
    return [array[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]


def read_ragged(output, name):
    """The elements of a ragged feature as Python lists, put together as a user of the files would do it."""
    part = lambda suffix: output / f"{name}.{suffix}.npy"
    values, offsets = load(part("values")), load(part("offsets"))
    if part("value_offsets").exists():
        strings_in = [piece.tobytes() for piece in pieces(values, load(part("value_offsets")))]
        values = np.array([*strings_in, None])[:-1]
    elements = pieces(values, offsets)
    if part("shapes").exists():
        elements = [piece.reshape(shape) for piece, shape in zip(elements, load(part("shapes")), strict=True)]
    if is_bytes(output, name) and not part("value_offsets").exists():
        return [[piece.tobytes()] for piece in elements]
    return [piece.tolist() for piece in elements]


def is_bytes(output, name):
    """Whether the values of a ragged array are the bytes of byte strings, one an element."""
    array = next(array for array in manifest(output)["arrays"] if array["file"] == f"{name}.values.npy")
    return "raggedbytes" in array["fit"]


def read_any(output, name):
    """The elements of a feature as lists of values, whichever fit without loss lithify has chosen for it."""
    exact = output / f"{name}.npy"
    if exact.exists():
        array = load(exact)
        return array.reshape(len(array), -1).tolist()
    return read_ragged(output, name)
