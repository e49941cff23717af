"""The libraries that own formats, instead of lithify: `python -m benchmarks.source_peers PEER WORKLOAD INPUT OUTPUT`.

As in `peers`, every program writes the arrays of its workload in the order of the elements, and does not wait for the
disk. Batches go right from the library into the mapped file; where a call of it keeps one core busy, a thread or a
process a core makes such calls.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from multiprocessing import Pool

import numpy as np

from benchmarks.peers import BATCH, TfData, fill, open_array, run
from benchmarks.workloads import WIDTH

ARROW_BATCH = 4096  # rows of a record batch


def vectors(output, count):
    """The arrays of so many vectors."""
    return {"x": open_array(output, "x", "<f4", (count, WIDTH)), "y": open_array(output, "y", "<i8", (count,))}


def on_all_cores(convert, jobs):
    """Calls `convert` with each of the jobs, in threads."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda job: convert(*job), jobs):
            pass


class Saved(TfData):
    """A saved dataset by tf.data, which knows how many elements there are."""

    def convert(self, _workload, files, output):
        automatic = self.tf.data.AUTOTUNE
        dataset = self.tf.data.Dataset.load(os.path.commonpath(files))
        batches = dataset.batch(BATCH, num_parallel_calls=automatic).prefetch(automatic)
        fill(vectors(output, len(dataset)), batches.as_numpy_iterator())


class Tfds(TfData):
    """TFRecord files of TensorFlow Datasets, which parses elements in parallel and then makes batches."""

    def __init__(self):
        super().__init__()
        import tensorflow_datasets

        self.tfds = tensorflow_datasets

    def builder(self, files):
        """The dataset that the files are of."""
        return self.tfds.builder_from_directory(os.path.dirname(files[0]))

    def convert(self, _workload, files, output):
        builder = self.builder(files)
        in_order = self.tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        dataset = builder.as_dataset(split="train", batch_size=BATCH, read_config=in_order)
        batches = dataset.prefetch(self.tf.data.AUTOTUNE)
        fill(vectors(output, builder.info.splits["train"].num_examples), self.tfds.as_numpy(batches))


class TfdsDataSource(Tfds):
    """ArrayRecord files of TensorFlow Datasets, of which it gives elements by their numbers: so many at once."""

    def batches(self, source):
        """Batches of elements."""
        for start in range(0, len(source), BATCH):
            elements = source.__getitems__(range(start, min(start + BATCH, len(source))))
            yield {name: np.stack([element[name] for element in elements]) for name in elements[0]}

    def convert(self, _workload, files, output):
        source = self.builder(files).as_data_source(split="train")
        fill(vectors(output, len(source)), self.batches(source))


class ArrayRecord(TfData):
    """The same files without their library: records by array_record, parsed by TensorFlow."""

    READER = "readahead_buffer_size:0,max_parallelism:0"  # ranges are read by our own threads

    def __init__(self):
        super().__init__()
        from array_record.python.array_record_module import ArrayRecordReader

        self.open = ArrayRecordReader

    def convert(self, workload, files, output):
        readers = [self.open(str(file), self.READER) for file in files if "array_record" in file.name]
        *offsets, count = accumulate((reader.num_records() for reader in readers), initial=0)
        arrays = vectors(output, count)
        spec = self.vector_spec(workload)

        def part(reader, offset, start):
            stop = min(start + BATCH, reader.num_records())
            for name, values in self.tf.io.parse_example(reader.read(start, stop), spec).items():
                arrays[name][offset + start : offset + stop] = values

        jobs = [
            (reader, offset, start)
            for reader, offset in zip(readers, offsets, strict=True)
            for start in range(0, reader.num_records(), BATCH)
        ]
        on_all_cores(part, jobs)


class WebDataset:
    """Tars by webdataset, a tar at a time in each process of a pool. Samples are counted by headers alone."""

    def __init__(self):
        import webdataset  # noqa: F401

    @staticmethod
    def count(file):
        """The number of samples, which is that of the members that are classes."""
        found, at, size = 0, 0, file.stat().st_size
        with open(file, "rb") as tar:
            while at < size:
                header = os.pread(tar.fileno(), 512, at)
                if not header[0]:
                    break
                found += header[:100].rstrip(b"\0").endswith(b".cls")
                at += 512 + (int(header[124:135], 8) + 511) // 512 * 512
        return found

    @staticmethod
    def batches(workload, file):
        """The samples of a tar, decoded and in batches."""
        import webdataset

        samples = webdataset.WebDataset(str(file), shardshuffle=False).decode("rgb8").to_tuple(*workload.arrays)
        for batch in samples.batched(BATCH):
            yield dict(zip(workload.arrays, batch, strict=True))

    @classmethod
    def part(cls, workload, file, offset, output):
        """Converts one tar into its rows."""
        arrays = {name: np.load(f"{output}/{name}.npy", mmap_mode="r+")[offset:] for name in workload.arrays}
        fill(arrays, cls.batches(workload, file))

    def convert(self, workload, files, output):
        first = next(self.batches(workload, files[0]))
        with Pool() as pool:
            *offsets, count = accumulate(pool.map(self.count, files), initial=0)
            for name, values in first.items():
                open_array(output, name, values.dtype, (count, *values.shape[1:]))
            jobs = [(workload, file, offset, output) for file, offset in zip(files, offsets, strict=True)]
            pool.starmap(self.part, jobs, chunksize=1)


def rows(batch):
    """A record batch as NumPy arrays that share its memory. `to_numpy` does the same, but imports pandas."""
    return {"x": np.from_dlpack(batch["x"].flatten()).reshape(-1, WIDTH), "y": np.from_dlpack(batch["y"])}


class Parquet:
    """Parquet files by pyarrow, which decodes columns in parallel."""

    def __init__(self):
        from pyarrow import parquet

        self.open = parquet.ParquetFile

    def convert(self, _workload, files, output):
        parts = [self.open(file, memory_map=True) for file in files]
        arrays = vectors(output, sum(part.metadata.num_rows for part in parts))
        fill(arrays, (rows(batch) for part in parts for batch in part.iter_batches(ARROW_BATCH)))


class Arrow:
    """Arrow files by pyarrow, mapped: nothing is done but copying, on all cores."""

    def __init__(self):
        import pyarrow

        self.pyarrow = pyarrow

    def convert(self, _workload, files, output):
        pa = self.pyarrow
        parts = [pa.ipc.open_file(pa.memory_map(str(file))) for file in files]
        batches = [part.get_batch(number) for part in parts for number in range(part.num_record_batches)]
        *offsets, count = accumulate(map(len, batches), initial=0)
        arrays = vectors(output, count)

        def part(batch, offset):
            for name, values in rows(batch).items():
                arrays[name][offset : offset + len(batch)] = values

        on_all_cores(part, zip(batches, offsets, strict=True))


class HuggingFace:
    """What `save_to_disk` wrote, by HuggingFace's datasets as NumPy arrays."""

    def __init__(self):
        import datasets

        self.load = datasets.load_from_disk

    def convert(self, _workload, files, output):
        dataset = self.load(os.path.dirname(files[0]))
        fill(vectors(output, len(dataset)), self.batches(dataset))

    def batches(self, dataset):
        """Batches as they are asked for by most."""
        return dataset.with_format("numpy").iter(ARROW_BATCH)


class HuggingFaceArrow(HuggingFace):
    """The same as Arrow tables, whose memory NumPy can see."""

    def batches(self, dataset):
        for table in dataset.with_format("arrow").iter(ARROW_BATCH):
            yield from map(rows, table.to_batches())


PEERS = {
    "tf.data": Saved,
    "tfds": Tfds,
    "tfds.data_source": TfdsDataSource,
    "array_record + tf.io": ArrayRecord,
    "webdataset": WebDataset,
    "pyarrow.parquet": Parquet,
    "pyarrow": Arrow,
    "datasets, as numpy": HuggingFace,
    "datasets, as arrow": HuggingFaceArrow,
}


if __name__ == "__main__":
    run(PEERS, *sys.argv[1:])
