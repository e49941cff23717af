"""How can a `tf.data.Dataset` become an array? Two lines each, and what comes is what TensorFlow would give in memory."""

import lithify
import numpy as np
import tensorflow as tf

from outputs import assert_npy


def test_integers(out):
    dataset = tf.data.Dataset.from_tensor_slices([1, 2, 3, 4, 5])

    array = lithify.convert(dataset, out.with_suffix(".npy"))["out"]

    assert_npy(out.with_suffix(".npy"), np.array(list(dataset.as_numpy_iterator())))
    assert isinstance(array, np.memmap) and array.tolist() == [1, 2, 3, 4, 5] and array.dtype == np.int32


SEQUENCES = [[1, 2], [3, 4, 5], [6]]


def check_padded(dataset, out):
    array = lithify.convert(dataset, out.with_suffix(".npy"), pad="max")["out"]

    expected = next(iter(tf.data.Dataset.from_generator(
        lambda: SEQUENCES, output_signature=tf.TensorSpec([None], array.dtype)).padded_batch(3))).numpy()
    assert_npy(out.with_suffix(".npy"), expected)
    assert array.tolist() == [[1, 2, 0], [3, 4, 5], [6, 0, 0]]


def test_sequences_of_a_generator(out):
    spec = tf.TensorSpec([None], tf.int32)
    check_padded(tf.data.Dataset.from_generator(lambda: SEQUENCES, output_signature=spec), out)


def test_sequences_of_a_generator_without_a_signature(out):
    check_padded(tf.data.Dataset.from_generator(lambda: SEQUENCES, tf.int64), out)


def test_sequences_of_a_ragged_tensor(out):
    check_padded(tf.data.Dataset.from_tensor_slices(tf.ragged.constant(SEQUENCES)), out)


def images(*channels):
    shapes = [(2, 2, *channels), (3, 3, *channels)]
    return [np.random.default_rng(1).random(shape, np.float32) * 255 for shape in shapes]


def test_images_with_a_channel(out):
    dataset = tf.data.Dataset.from_generator(lambda: images(1), tf.float32)
    lithify.convert(dataset, out.with_suffix(".npy"), resize=(3, 3))
    assert_npy(out.with_suffix(".npy"), np.stack([tf.image.resize(image, (3, 3)).numpy() for image in images(1)]))


def test_images_without_an_axis_of_channels(out):
    dataset = tf.data.Dataset.from_generator(images, output_signature=tf.TensorSpec([None, None], tf.float32))
    lithify.convert(dataset, out.with_suffix(".npy"), resize=(3, 3))
    rows = [tf.image.resize(image[..., None], (3, 3)).numpy()[..., 0] for image in images()]
    assert_npy(out.with_suffix(".npy"), np.stack(rows))


def test_images_as_they_are(out):
    dataset = tf.data.Dataset.from_generator(lambda: images(1), tf.float32)
    found = lithify.convert(dataset, out)["array"]
    for element, image in zip(found, images(1), strict=True):
        np.testing.assert_array_equal(element, image)
