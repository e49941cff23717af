"""What one would run instead of lithify: `python -m benchmarks.peers PEER WORKLOAD INPUT OUTPUT`.

Every program reads the files of the directory INPUT and writes the arrays of the workload into the directory OUTPUT,
in the order of the elements. None of them waits for the disk at its end (no `flush()`), as lithify does not either.
The last line printed is a JSON object with the seconds that importing took, since TensorFlow takes a while to load.
"""

import json
import os
import sys
import time

import numpy as np

from benchmarks.workloads import CHUNK, SHARD, SIDE, STORE, WIDTH, WORKLOADS, ZSTD_LEVEL, input_files

BUFFER = 8 << 20  # bytes TensorFlow reads at once
BATCH = 256  # vectors parsed at once: the fastest of 128, 256, 512 and 1024
TOKEN_BATCH = 8192  # sequences parsed at once: the fastest of 256, 1024, 2048 and 8192


def open_array(output, name, dtype, shape):
    """A new `.npy` file, mapped for writing."""
    return np.lib.format.open_memmap(f"{output}/{name}.npy", "w+", dtype, shape)


def fill(arrays, batches):
    """Writes batches (a dict of arrays each) one after the other into the mapped files of the same names."""
    at = 0
    for batch in batches:
        count = len(next(iter(batch.values())))
        for name, values in batch.items():
            arrays[name][at : at + count] = values
        at += count


class TfData:
    """The fastest programs found with tf.data: batches are parsed in parallel, and go right into the mapped file."""

    def __init__(self):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow

        self.tf = tensorflow

    def records(self, workload, files):
        """The serialised examples."""
        names = [str(file) for file in files]
        return self.tf.data.TFRecordDataset(names, workload.compression, buffer_size=BUFFER)

    def parsed(self, workload, files, spec, batch):
        """Batches of parsed examples."""
        tf = self.tf
        records = self.records(workload, files).batch(batch)
        return records.map(lambda b: tf.io.parse_example(b, spec), num_parallel_calls=tf.data.AUTOTUNE)

    def vector_spec(self, workload):
        """How to parse the elements of a workload of vectors."""
        tf = self.tf
        spec = {"x": tf.io.FixedLenFeature([WIDTH], tf.float32), "y": tf.io.FixedLenFeature([], tf.int64)}
        return {name: spec[name] for name in workload.arrays}

    def count(self, workload, files):
        """The number of elements: the shape of a mapped file must be known before the first is written."""
        tf = self.tf
        batches = self.records(workload, files).batch(4096)
        return int(batches.reduce(np.int64(0), lambda n, batch: n + tf.size(batch, tf.int64)))

    def vectors(self, workload, files, output):
        """Vectors of one length: a pass to count, a pass to convert."""
        count = self.count(workload, files)
        shapes = {"x": ("<f4", (count, WIDTH)), "y": ("<i8", (count,))}
        arrays = {name: open_array(output, name, *shapes[name]) for name in workload.arrays}
        batches = self.parsed(workload, files, self.vector_spec(workload), BATCH)
        fill(arrays, batches.prefetch(self.tf.data.AUTOTUNE).as_numpy_iterator())

    def tokens(self, workload, files, output):
        """Sequences: a pass for their number and the longest, a pass to pad and convert."""
        tf = self.tf
        spec = {"tokens": tf.io.RaggedFeature(tf.int64), "label": tf.io.FixedLenFeature([], tf.int64)}
        parsed = self.parsed(workload, files, spec, TOKEN_BATCH)

        def measured(so_far, batch):
            lengths = tf.cast(batch["tokens"].row_lengths(), tf.int64)
            return so_far[0] + tf.size(lengths, tf.int64), tf.maximum(so_far[1], tf.reduce_max(lengths))

        count, longest = (int(n) for n in parsed.reduce((np.int64(0), np.int64(0)), measured))

        def padded(batch):
            ids = tf.cast(batch["tokens"], tf.int32).to_tensor(shape=[None, longest])
            return {"tokens": ids, "label": batch["label"]}

        arrays = {
            "tokens": open_array(output, "tokens", "<i4", (count, longest)),
            "label": open_array(output, "label", "<i8", (count,)),
        }
        batches = parsed.map(padded, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        fill(arrays, batches.as_numpy_iterator())

    def images(self, workload, files, output):
        """Images: decoded and resized one by one in parallel, then batched."""
        tf = self.tf
        spec = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
        photos = workload.name == "photos"

        def made(record):
            element = tf.io.parse_single_example(record, spec)
            if not photos:
                return {"image": tf.io.decode_png(element["image"]), "label": element["label"]}
            resized = tf.image.resize(tf.io.decode_jpeg(element["image"], 3), (SIDE, SIDE))
            return {"image": tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8), "label": element["label"]}

        count = self.count(workload, files)
        shape = (SIDE, SIDE, 3) if photos else (28, 28, 1)
        arrays = {
            "image": open_array(output, "image", "|u1", (count, *shape)),
            "label": open_array(output, "label", "<i8", (count,)),
        }
        records = self.records(workload, files).map(made, num_parallel_calls=tf.data.AUTOTUNE)
        batches = records.batch(64 if photos else 1024).prefetch(tf.data.AUTOTUNE)
        fill(arrays, batches.as_numpy_iterator())

    def convert(self, workload, files, output):
        """The program for the workload."""
        convert = {"tokens": self.tokens, "photos": self.images, "digits": self.images}.get(workload.name, self.vectors)
        convert(workload, files, output)


class Naive(TfData):
    """What many write first: all elements in a list, the list into an array, the array into a file."""

    def convert(self, workload, files, output):
        tf = self.tf
        spec = self.vector_spec(workload)
        dataset = self.records(workload, files).map(lambda r: tf.io.parse_single_example(r, spec))
        elements = list(dataset.as_numpy_iterator())
        for name in workload.arrays:
            np.save(f"{output}/{name}.npy", np.array([element[name] for element in elements]))


class TfDataToZarr(TfData):
    """Vectors to a Zarr store: eight chunks are parsed at once and written together, so that all cores have work."""

    ROWS = 8 * CHUNK

    def convert(self, workload, files, output):
        count = self.count(workload, files)
        x = self.open(f"{output}/{STORE}/x", np.dtype("<f4"), (count, WIDTH), (CHUNK, WIDTH))
        y = self.open(f"{output}/{STORE}/y", np.dtype("<i8"), (count,), (count,))
        labels = np.empty(count, np.int64)
        batches = self.parsed(workload, files, self.vector_spec(workload), self.ROWS)
        at = 0
        for batch in batches.prefetch(2).as_numpy_iterator():
            self.write(x, at, batch["x"])
            labels[at : at + len(batch["y"])] = batch["y"]
            at += len(batch["y"])
        self.write(y, 0, labels)
        self.finish()


class TfDataToTensorStore(TfDataToZarr):
    """By TensorStore, which goes on while the next rows are parsed. It does not wait for the disk."""

    def __init__(self):
        super().__init__()
        import tensorstore

        self.tensorstore = tensorstore
        self.context = tensorstore.Context({"file_io_sync": False})
        self.writing = []

    def open(self, path, dtype, shape, chunk):
        codecs = [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": ZSTD_LEVEL}},
        ]
        metadata = {
            "data_type": dtype.name,
            "shape": shape,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "codecs": codecs,
        }
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}, "metadata": metadata}
        return self.tensorstore.open(spec, create=True, context=self.context).result()

    def write(self, array, at, rows):
        if len(self.writing) == 2:
            self.writing.pop(0).result()
        self.writing.append(array[at : at + len(rows)].write(rows))

    def finish(self):
        for writing in self.writing:
            writing.result()


class TfDataToZarrPython(TfDataToZarr):
    """By zarr-python."""

    def __init__(self):
        super().__init__()
        import zarr

        self.zarr = zarr

    def open(self, path, dtype, shape, chunk):
        codec = self.zarr.codecs.ZstdCodec(level=ZSTD_LEVEL)
        return self.zarr.create_array(path, shape=shape, dtype=dtype, chunks=chunk, compressors=codec)

    def write(self, array, at, rows):
        array[at : at + len(rows)] = rows

    def finish(self):
        pass


class TensorStoreShards:
    """A mapped `.npy` file to shards by TensorStore: two shards are written at a time, so that all cores have work."""

    def __init__(self):
        import tensorstore

        self.tensorstore = tensorstore

    def convert(self, _workload, files, output):
        (file,) = files
        array = np.load(file, mmap_mode="r")
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        inner = [little, {"name": "zstd", "configuration": {"level": ZSTD_LEVEL}}]
        shard = {"chunk_shape": [CHUNK, WIDTH], "codecs": inner, "index_codecs": [little, {"name": "crc32c"}]}
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{output}/{STORE}/x/"},
            "metadata": {
                "data_type": array.dtype.name,
                "shape": array.shape,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [SHARD, WIDTH]}},
                "codecs": [{"name": "sharding_indexed", "configuration": shard}],
            },
        }
        context = self.tensorstore.Context({"file_io_sync": False})
        store = self.tensorstore.open(spec, create=True, context=context).result()
        writing = []
        for start in range(0, len(array), SHARD):
            if len(writing) == 2:
                writing.pop(0).result()
            writing.append(store[start : min(start + SHARD, len(array))].write(array[start : start + SHARD]))
        for last in writing:
            last.result()


class ZarrPythonShards:
    """The same by zarr-python, whose chunks are encoded by the package `zarrs`."""

    def __init__(self):
        import zarr
        import zarrs  # noqa: F401

        zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
        self.zarr = zarr

    def convert(self, _workload, files, output):
        (file,) = files
        array = np.load(file, mmap_mode="r")
        codec = self.zarr.codecs.ZstdCodec(level=ZSTD_LEVEL)
        shape = {"shape": array.shape, "chunks": (CHUNK, WIDTH), "shards": (SHARD, WIDTH)}
        store = self.zarr.create_array(f"{output}/{STORE}/x", dtype=array.dtype, compressors=codec, **shape)
        for start in range(0, len(array), 4 * SHARD):
            store[start : start + 4 * SHARD] = array[start : start + 4 * SHARD]


class TfrecordPackage:
    """The `tfrecord` package, which needs no TensorFlow: a pass to count, a pass to convert."""

    KINDS = {"x": "float", "y": "int", "tokens": "int", "label": "int"}

    def __init__(self):
        from tfrecord.reader import tfrecord_loader

        self.load = tfrecord_loader

    def elements(self, workload, files):
        """The parsed elements, a dict of arrays each."""
        kinds = {name: self.KINDS[name] for name in workload.arrays}
        for file in files:
            yield from self.load(str(file), None, kinds)

    def convert(self, workload, files, output):
        count = sum(1 for _ in self.elements(workload, files))
        x = open_array(output, "x", "<f4", (count, WIDTH))
        y = open_array(output, "y", "<i8", (count,))
        for number, element in enumerate(self.elements(workload, files)):
            x[number] = element["x"]
            y[number] = element["y"][0]


def payloads(files):
    """The encoded images of TFRecord files and where they stand: found by the start of a JPEG, without any parsing."""
    for file in files:
        data = memoryview(open(file, "rb").read())
        at = 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            record = data[at + 12 : at + 12 + length]
            yield record[bytes(record[:64]).index(b"\xff\xd8\xff") :]
            at += length + 16


class OpenCv:
    """A pool of processes, one a core, each with its share of the images. Its pixels are not TensorFlow's."""

    def convert(self, workload, files, output):
        from multiprocessing import Pool

        count = sum(1 for _ in payloads(files))
        open_array(output, "image", "|u1", (count, SIDE, SIDE, 3))
        workers = os.cpu_count()
        with Pool(workers) as pool:
            pool.map(self.part, [(files, output, worker, workers) for worker in range(workers)])

    @staticmethod
    def part(job):
        import cv2

        files, output, worker, workers = job
        cv2.setNumThreads(1)
        images = np.load(f"{output}/image.npy", mmap_mode="r+")
        for number, payload in enumerate(payloads(files)):
            if number % workers == worker:
                decoded = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
                resized = cv2.resize(decoded, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
                images[number] = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)


class Dali:
    """NVIDIA's loader on the processor alone. It reads TFRecords by an index, which is made first. Its pixels are not
    TensorFlow's."""

    BATCH = 64

    def __init__(self):
        from nvidia import dali
        from nvidia.dali import fn, tfrecord, types

        self.dali, self.fn, self.tfrecord, self.types = dali, fn, tfrecord, types

    @staticmethod
    def index(file, path):
        """Writes where each record of a file starts and how long it is, a line each; gives their number."""
        count, at, size = 0, 0, file.stat().st_size
        with open(file, "rb") as records, open(path, "w") as lines:
            while at < size:
                length = int.from_bytes(os.pread(records.fileno(), 8, at), "little") + 16
                lines.write(f"{at} {length}\n")
                count, at = count + 1, at + length
        return count

    def convert(self, _workload, files, output):
        dali, fn, types = self.dali, self.fn, self.types
        indices = [f"{output}/{file.name}.index" for file in files]
        count = sum(map(self.index, files, indices))
        features = {"image": self.tfrecord.FixedLenFeature((), self.tfrecord.string, "")}

        @dali.pipeline_def(batch_size=self.BATCH, num_threads=os.cpu_count(), device_id=None)
        def pipeline():
            names = [str(file) for file in files]
            payload = fn.readers.tfrecord(path=names, index_path=indices, features=features)["image"]
            decoded = fn.decoders.image(payload, device="cpu", output_type=types.RGB)
            return fn.resize(decoded, size=(SIDE, SIDE), interp_type=types.INTERP_LINEAR, antialias=False)

        images = open_array(output, "image", "|u1", (count, SIDE, SIDE, 3))
        running = pipeline()
        running.build()
        for start in range(0, count, self.BATCH):
            (batch,) = running.run()
            left = min(self.BATCH, count - start)
            images[start : start + left] = batch.as_array()[:left]


class DecodeOnly:
    """libjpeg-turbo with its fast DCT on all cores, by the package `simplejpeg`: nothing is resized or written."""

    def convert(self, _workload, files, _output):
        import functools
        from concurrent.futures import ThreadPoolExecutor

        import simplejpeg

        decode = functools.partial(simplejpeg.decode_jpeg, fastdct=True, fastupsample=False)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda some: [decode(bytes(one)).size for one in some], batches_of(payloads(files), 64)):
                pass


def batches_of(items, size):
    """Lists of so many items."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


PEERS = {
    "tf.data": TfData,
    "naive": Naive,
    "tf.data + TensorStore": TfDataToTensorStore,
    "tf.data + zarr-python": TfDataToZarrPython,
    "TensorStore": TensorStoreShards,
    "zarr-python + zarrs": ZarrPythonShards,
    "tfrecord": TfrecordPackage,
    "opencv": OpenCv,
    "dali": Dali,
    "decode only": DecodeOnly,
}


def run(peers, peer, workload, directory, output):
    """Runs one of `peers`, and tells how long its imports took."""
    start = time.perf_counter()
    program = peers[peer]()
    importing = time.perf_counter() - start
    os.makedirs(output)
    program.convert(WORKLOADS[workload], input_files(directory), output)
    print(json.dumps({"importing": round(importing, 3)}))


if __name__ == "__main__":
    run(PEERS, *sys.argv[1:])
