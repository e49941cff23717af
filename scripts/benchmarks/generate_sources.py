"""Writes the datasets of `sources`, each with the library whose format it is, imported where it is used."""

import io

import numpy as np
import tensorflow as tf

from benchmarks.workloads import WIDTH

BLOCK = 4096  # elements made at once, and rows of a record batch or of a row group
CLASSES = 10
JPEG_SIDE, PNG_SIDE = 128, 32


def vectors(first, count):
    """Blocks of normally distributed vectors with a class each, which depend on nothing but `first`."""
    rng = np.random.default_rng([7, first])
    for start in range(first, first + count, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, first + count))
        yield {"x": rng.standard_normal((len(numbers), WIDTH), np.float32), "y": numbers % CLASSES}


def elements(first, count):
    """The same, an element at a time."""
    for block in vectors(first, count):
        yield from ({"x": x, "y": y} for x, y in zip(block["x"], block["y"], strict=True))


def parts(workload, directory, count, ending):
    """The path of each file, with its first element and their number."""
    each = count // workload.files
    for number in range(workload.files):
        yield directory / f"{workload.name}-{number:05}-of-{workload.files:05}.{ending}", number * each, each


def saved(_workload, directory, count):
    """A dataset saved by tf.data."""
    signature = {"x": tf.TensorSpec((None, WIDTH), tf.float32), "y": tf.TensorSpec((None,), tf.int64)}
    tf.data.Dataset.from_generator(lambda: vectors(0, count), output_signature=signature).unbatch().save(str(directory))


def tfds(file_format):
    """A dataset of TensorFlow Datasets, in files of that format."""

    def write(_workload, directory, count):
        import tensorflow_datasets as tfds

        label = tfds.features.ClassLabel(num_classes=CLASSES)
        features = {"x": tfds.features.Tensor(shape=(WIDTH,), dtype=np.float32), "y": label}
        tfds.dataset_builders.store_as_tfds_dataset(
            name="vectors",
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={"train": ((number, element) for number, element in enumerate(elements(0, count)))},
            data_dir=directory,
            file_format=file_format,
            disable_shuffling=True,
        )

    return write


def webdataset(samples):
    """Tars of samples, in order of their keys."""

    def write(workload, directory, count):
        import webdataset as wds

        for path, first, each in parts(workload, directory, count, "tar"):
            with wds.TarWriter(str(path), mtime=0) as tar:
                for number, sample in enumerate(samples(first, each), first):
                    tar.write({"__key__": f"{number:09}", **sample})

    return write


def vector_samples(first, count):
    """Vectors as `.npy` files, with their classes."""
    for element in elements(first, count):
        yield {"npy": element["x"], "cls": int(element["y"])}


def images(ending, side, **options):
    """Square pieces of two real photographs, encoded by Pillow, with a class each."""

    def samples(first, count):
        from PIL import Image
        from sklearn.datasets import load_sample_images

        rng = np.random.default_rng([7, first])
        pictures = load_sample_images().images
        for number in range(first, first + count):
            picture = pictures[number % len(pictures)]
            top, left = (rng.integers(0, length - side) for length in picture.shape[:2])
            encoded = io.BytesIO()
            Image.fromarray(picture[top : top + side, left : left + side]).save(encoded, **options)
            yield {ending: encoded.getvalue(), "cls": number % CLASSES}

    return samples


def batches(first, count):
    """Vectors as Arrow's record batches: a list of one length, and an integer."""
    import pyarrow as pa

    for block in vectors(first, count):
        rows = pa.FixedSizeListArray.from_arrays(pa.array(block["x"].ravel()), WIDTH)
        yield pa.record_batch({"x": rows, "y": pa.array(block["y"])})


def record_batches(ending, opened):
    """Files of record batches."""

    def write(workload, directory, count):
        for path, first, each in parts(workload, directory, count, ending):
            batch, *others = batches(first, each)
            with opened(path, batch.schema) as writer:
                for batch in (batch, *others):
                    writer.write_batch(batch)

    return write


def parquet(path, schema):
    """A Parquet file as pyarrow writes it where nothing is asked for."""
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(path, schema)


def arrow(path, schema):
    """An Arrow file."""
    from pyarrow.ipc import new_file

    return new_file(path, schema)


def huggingface(workload, directory, count):
    """What `save_to_disk` of HuggingFace's datasets writes."""
    import datasets
    import pyarrow as pa

    types = {"x": datasets.List(datasets.Value("float32"), length=WIDTH), "y": datasets.ClassLabel(num_classes=CLASSES)}
    features = datasets.Features(types)
    table = pa.Table.from_batches(list(batches(0, count))).cast(features.arrow_schema)
    datasets.Dataset(table).save_to_disk(directory, num_shards=workload.files)


WRITERS = {
    "saved": saved,
    "tfds": tfds("tfrecord"),
    "tfds-array_record": tfds("array_record"),
    "webdataset": webdataset(vector_samples),
    "webdataset-jpeg": webdataset(images("jpg", JPEG_SIDE, format="jpeg", quality=90)),
    "webdataset-png": webdataset(images("png", PNG_SIDE, format="png")),
    "parquet": record_batches("parquet", parquet),
    "arrow": record_batches("arrow", arrow),
    "huggingface": huggingface,
}
