"""Generates a dataset: `python -m benchmarks.generate WORKLOAD DATA SCALE`.

TensorFlow frames, checksums and compresses the records. The examples inside are put together with NumPy, since building
a million of them as protobuf objects takes minutes.
"""

import os
import shutil
import sys

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from benchmarks import generate_sources  # noqa: E402
from benchmarks.workloads import LONGEST, VOCABULARY, WIDTH, WORKLOADS  # noqa: E402

BLOCK = 8192  # elements made at once, which bounds the memory that generating takes
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3  # the field numbers in tf.train.Feature


def varint(number):
    """A protobuf varint."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(field, payload):
    """A length-delimited protobuf field."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def feature(name, kind, packed):
    """The map entry of a feature, with its values already packed."""
    value = delimited(kind, delimited(1, packed))
    return delimited(1, delimited(1, name.encode()) + delimited(2, value))


def example(*features):
    """A serialised tf.train.Example."""
    return delimited(1, b"".join(features))


def varints(values):
    """All `values` as varints in one buffer, and where each one ends in it."""
    sizes = np.searchsorted([1 << 7, 1 << 14, 1 << 21, 1 << 28], values, side="right") + 1
    ends = np.cumsum(sizes)
    starts = ends - sizes
    out = np.empty(ends[-1], np.uint8)
    for byte in range(sizes.max()):
        here = sizes > byte
        continues = (sizes[here] > byte + 1).astype(np.uint8)
        out[starts[here] + byte] = (values[here] >> 7 * byte & 127) | continues << 7
    return out.tobytes(), ends


def floats(rng, first, count):
    """Normally distributed vectors with a label: every element has the same shape."""
    rows = rng.standard_normal((count, WIDTH), np.float32)
    for number, row in enumerate(rows, first):
        label = feature("y", INT64_LIST, varint(number % 10))
        yield example(feature("x", FLOAT_LIST, row.tobytes()), label)


def rounded(rng, _first, count):
    """Vectors with two decimals, so that there is something to compress."""
    rows = np.round(rng.standard_normal((count, WIDTH), np.float32), 2)
    for row in rows:
        yield example(feature("x", FLOAT_LIST, row.tobytes()))


def tokens(rng, first, count):
    """Sequences as long as sentences are (median 66), of token numbers, with a label."""
    lengths = np.clip(rng.lognormal(np.log(66), 0.6, count).astype(np.int64), 1, LONGEST)
    packed, ends = varints(rng.integers(0, VOCABULARY, lengths.sum()))
    start = 0
    for number, last in enumerate(np.cumsum(lengths) - 1, first):
        end = int(ends[last])
        label = feature("label", INT64_LIST, varint(number % 2))
        yield example(feature("tokens", INT64_LIST, packed[start:end]), label)
        start = end


def image(encoded, label):
    """An encoded image with a label."""
    entry = delimited(1, delimited(1, b"image") + delimited(2, delimited(BYTES_LIST, delimited(1, encoded))))
    return example(entry, feature("label", INT64_LIST, varint(label)))


def photos(rng, first, count):
    """Pieces of two real photographs, of mixed sizes, as JPEGs of the quality that photographs usually have."""
    from sklearn.datasets import load_sample_images

    pictures = [tf.image.resize(picture, (854, 1280)).numpy().astype(np.uint8) for picture in load_sample_images().images]
    for number in range(first, first + count):
        height, width = rng.integers(200, 601, 2)
        top, left = rng.integers(0, 854 - height), rng.integers(0, 1280 - width)
        piece = pictures[number % len(pictures)][top : top + height, left : left + width]
        yield image(tf.io.encode_jpeg(piece, quality=int(rng.integers(75, 96))).numpy(), number % 10)


def digits(rng, first, count):
    """Handwritten digits of 28 x 28, as PNGs."""
    from sklearn.datasets import load_digits

    pictures = tf.image.resize(load_digits().images[..., None] * 15.9, (28, 28)).numpy().astype(np.uint8)
    for number in range(first, first + count):
        picture = np.roll(pictures[rng.integers(len(pictures))], rng.integers(-3, 4), axis=(0, 1))
        yield image(tf.io.encode_png(picture).numpy(), number % 10)


MAKERS = {"floats": floats, "tokens": tokens, "gzip": rounded, "photos": photos, "digits": digits}


def write_file(workload, path, first, count):
    """Writes one file of `count` elements, which depends on nothing but the workload and `first`."""
    rng = np.random.default_rng([7, first])
    options = tf.io.TFRecordOptions(compression_type=workload.compression)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for start in range(first, first + count, BLOCK):
            for record in MAKERS[workload.name](rng, start, min(BLOCK, first + count - start)):
                writer.write(record)


def write_files(workload, directory, count):
    """Writes a dataset of TFRecord files, all with the same number of elements."""
    each = count // workload.files
    for number in range(workload.files):
        path = directory / f"{workload.name}-{number:05}-of-{workload.files:05}.tfrecord"
        write_file(workload, path, number * each, each)


def write_matrix(_workload, directory, count):
    """Writes vectors with two decimals as the rows of a `.npy` file."""
    rng = np.random.default_rng(7)
    matrix = np.lib.format.open_memmap(directory / "x.npy", "w+", "<f4", (count, WIDTH))
    for start in range(0, count, BLOCK):
        rows = matrix[start : start + BLOCK]
        np.round(rng.standard_normal(rows.shape, np.float32), 2, out=rows)


WRITERS = {**dict.fromkeys(MAKERS, write_files), "matrix": write_matrix, **generate_sources.WRITERS}


def generate(workload, data, scale):
    """Writes all files under another name first, so that a directory that exists is complete."""
    directory = workload.directory(data, scale)
    partial = directory.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    WRITERS[workload.name](workload, partial, workload.scaled(scale))
    partial.rename(directory)


if __name__ == "__main__":
    generate(WORKLOADS[sys.argv[1]], sys.argv[2], float(sys.argv[3]))
