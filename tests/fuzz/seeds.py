"""What is not found by chance, to start targets from: python3 seeds.py CORPUS [TARGET …], with what tests/requirements.txt
names. All targets that need seeds if none is given; each gets a folder of its own in CORPUS."""

import io
import itertools
import pathlib
import struct
import sys
import tempfile

import numpy as np


def images(put):
    """Small images of every format and kind, each after the two bytes that say how it is decoded."""
    from PIL import Image

    colours = Image.radial_gradient("L").resize((21, 13))
    colours = Image.merge("RGB", [colours, colours.transpose(0), colours.transpose(1)])
    modes = {mode: colours.convert(mode) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F")}
    modes["LA"] = modes["RGBA"].convert("LA")
    frames = [colours.rotate(90 * i) for i in range(1, 4)]

    def save(name, image, how=0, channels=0, **options):
        """Writes an image after the two bytes that say how it is decoded, if its format can be written so."""
        kind = name.split("-")[0]
        stream = io.BytesIO()
        try:
            image.save(stream, kind, **options)
        except (OSError, KeyError, ValueError, struct.error):
            return
        put(name, bytes([how, channels]) + stream.getvalue())

    for mode, image in modes.items():
        for how, channels in ((0, 0), (2, 2), (32, 3)):
            tail = f"{mode.replace(';', '')}-{how}-{channels}"
            for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF"):
                save(f"{kind}-{tail}", image, how, channels)
            save(f"WEBP-{tail}", image, how, channels)
            save(f"WEBP-lossless-{tail}", image, how, channels, lossless=True)
            save(f"TIFF-lzw-{tail}", image, how, channels, compression="tiff_lzw")
            save(f"TIFF-packbits-{tail}", image, how, channels, compression="packbits")
            save(f"TIFF-deflate-{tail}", image, how, channels, compression="tiff_adobe_deflate", tiffinfo={317: 2})
            save(f"TIFF-jpeg-{tail}", image, how, channels, compression="jpeg")
            save(f"TIFF-fax-{tail}", image, how, channels, compression="group4")
    for how in range(16):
        save(f"JPEG-progressive-{how}", colours, how, progressive=True)
        save(f"JPEG-420-{how}", colours, how, subsampling=2, restart_marker_blocks=2)
    exif = Image.Exif()
    exif[0x112] = 6
    save("JPEG-turned", colours, 16, exif=exif)
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        moving = {"save_all": True, "append_images": frames}
        save(f"{kind}-moving", colours, 32, **moving)
        save(f"{kind}-moving-disposed", modes["RGBA"], 32, disposal=2, lossless=True, **moving)


def table():
    """A table of every kind of column that is read, and of some that are not."""
    import pyarrow as pa

    texts = ["a", None, "some longer text", ""] * 3
    return pa.table(
        {
            "i": pa.array(range(12), pa.int16()),
            "nulls": pa.array([1, None, 3] * 4, pa.int64()),
            "f": pa.array(np.arange(12, dtype="float32")),
            "b": pa.array([True, False, None] * 4),
            "text": texts,
            "large": pa.array(texts, pa.large_string()),
            "view": pa.array(texts, pa.string_view()),
            "words": pa.array(texts).dictionary_encode(),
            "list": [[1, 2], None, [], [3]] * 3,
            "fixed": pa.array([[1.0, 2.0]] * 12, pa.list_(pa.float64(), 2)),
            "nested": [[["x"], []], [], None] * 4,
            "struct": [{"x": 1, "y": b"b"}] * 12,
            "time": pa.array(range(12), pa.timestamp("us")),
        }
    )


def arrow(put):
    """Files and streams of Arrow, compressed and not."""
    import pyarrow as pa

    whole = table()
    columns = [whole.select([name]) for name in whole.column_names]
    for number, (some, kind, codec) in enumerate(
        itertools.product([whole, *columns], [pa.ipc.new_file, pa.ipc.new_stream], [None, "zstd", "lz4"])
    ):
        stream = io.BytesIO()
        with kind(stream, some.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
            writer.write_table(some, max_chunksize=5)
        put(f"{number}", stream.getvalue())


def parquet(put):
    """Files of Parquet of every encoding, after the size of what stands between their first word and their footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = table()
    whole = whole.drop_columns(["view"])
    columns = [whole.select([name]) for name in whole.column_names]
    for number, (some, dictionary, codec, version) in enumerate(
        itertools.product([whole, *columns], [True, False], ["none", "snappy", "zstd"], ["1.0", "2.0"])
    ):
        stream = io.BytesIO()
        options = {"use_dictionary": dictionary, "compression": codec, "data_page_version": version, "row_group_size": 7}
        pq.write_table(some, stream, **options)
        put_parquet(put, f"{number}", stream.getvalue())
    encodings = {
        "DELTA_BINARY_PACKED": "nulls",
        "BYTE_STREAM_SPLIT": "f",
        "PLAIN": "b",
        "RLE": "b",
        "DELTA_LENGTH_BYTE_ARRAY": "text",
        "DELTA_BYTE_ARRAY": "text",
    }
    for encoding, column in encodings.items():
        stream = io.BytesIO()
        pq.write_table(whole.select([column]), stream, use_dictionary=False, column_encoding=encoding)
        put_parquet(put, encoding, stream.getvalue())


def put_parquet(put, name, file):
    """Takes apart what the target puts together."""
    (footer,) = struct.unpack("<I", file[-8:-4])
    pages = file[4 : len(file) - 8 - footer]
    put(name, struct.pack("<H", len(pages)) + pages + file[len(file) - 8 - footer : -8])


def npy(put):
    """Arrays of every kind, alone and in archives."""
    kinds = ["<i2", ">f4", "|b1", "<c8", "|S3", "<U2", "<M8[us]", "<f2"]
    for kind, order in itertools.product(kinds, "CF"):
        array = np.zeros((4, 3), kind, order)
        stream = io.BytesIO()
        np.save(stream, array)
        put(f"{kind[1:]}{order}", stream.getvalue())
        for save in (np.savez, np.savez_compressed):
            stream = io.BytesIO()
            save(stream, x=array, y=np.arange(4))
            put(f"{kind[1:]}{order}-{save.__name__}", stream.getvalue())


def zarr(put):
    """Arrays with every codec, of both versions of the format: their metadata and their only chunk."""
    import numcodecs
    import zarr
    from zarr import codecs

    three = [codecs.BloscCodec(cname=name) for name in ("lz4", "zstd", "blosclz", "zlib")]
    three += [codecs.GzipCodec(), codecs.ZstdCodec(), codecs.ZstdCodec(checksum=True)]
    two = [numcodecs.Blosc(name) for name in ("lz4", "zstd", "blosclz", "zlib")]
    two += [numcodecs.GZip(), numcodecs.Zlib(), numcodecs.Zstd(), numcodecs.LZ4()]
    wanted = [(2, one) for one in [None, *two]] + [(3, one) for one in [None, *three]]
    for (version, codec), kind, sharded in itertools.product(wanted, ["int16", "float64", "bool"], [False, True]):
        if sharded and version == 2:
            continue
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory)
            how = {"chunks": (4, 3), "shards": (8, 3)} if sharded else {"chunks": (8, 3)}
            array = zarr.create_array(
                path, shape=(8, 3), dtype=kind, zarr_format=version, compressors=codec, fill_value=1, **how
            )
            array[:] = np.zeros((8, 3), kind)
            chunk = next(path.glob("c/0/0" if version == 3 else "0.0")).read_bytes()
            metadata = (path / ("zarr.json" if version == 3 else ".zarray")).read_bytes()
        name = f"{version}-{kind}-{sharded}-{getattr(codec, 'cname', type(codec).__name__)}"
        put(name, bytes([version - 2]) + struct.pack("<H", len(metadata)) + metadata + chunk)


def tfds(put):
    """The documents of datasets with features of every class, and an element of each."""
    import tensorflow_datasets as tfds

    f = tfds.features
    kinds = {
        "tensor": (f.Tensor(shape=(2,), dtype=np.float32), [1, 2]),
        "bytes": (f.Tensor(shape=(None, 2), dtype=np.int16, encoding="bytes"), np.zeros((3, 2), "int16")),
        "zlib": (f.Tensor(shape=(2,), dtype=np.int16, encoding="zlib"), np.zeros(2, "int16")),
        "scalar": (f.Scalar(np.uint8), 3),
        "text": (f.Text(), "some"),
        "label": (f.ClassLabel(names=["a", "b"]), "b"),
        "box": (f.BBoxFeature(), f.BBox(0.0, 0.0, 1.0, 1.0)),
        "image": (f.Image(shape=(None, None, 3)), np.zeros((2, 3, 3), "uint8")),
        "depth": (f.Image(shape=(2, 2, 1), dtype=np.uint16), np.zeros((2, 2, 1), "uint16")),
        "video": (f.Video(shape=(None, 2, 2, 3)), np.zeros((2, 2, 2, 3), "uint8")),
        "sequence": (f.Sequence(np.int64), [1, 2]),
        "ragged": (f.Sequence(f.Sequence(np.int64)), [[1], []]),
        "optional": (f.Scalar(np.int64, optional=True), None),
        "steps": (f.Dataset({"x": np.float32, "first": np.bool_}), [{"x": 1.0, "first": True}]),
        "audio": (f.Audio(shape=(None,)), np.zeros(5, "int64")),
    }
    for name, (feature, value) in [*kinds.items(), ("all", (None, None))]:
        wanted = {name: (feature, value)} if feature else kinds
        features = f.FeaturesDict({one: feature for one, (feature, _) in wanted.items()})
        example = features.encode_example({one: value for one, (_, value) in wanted.items()})
        record = tfds.core.example_serializer.ExampleSerializer(
            features.get_serialized_info()
        ).serialize_example(example)
        with tempfile.TemporaryDirectory() as directory:
            features.save_config(directory)
            document = (pathlib.Path(directory) / "features.json").read_bytes()
        info = b'{"name": "fuzz", "version": "1.0.0", "fileFormat": "tfrecord", "splits": '
        info += b'[{"name": "train", "shardLengths": ["1"], "numBytes": "99"}]}'
        put(name, b"\0".join([info, document, record]))


TARGETS = {"image": images, "arrow": arrow, "parquet": parquet, "npy": npy, "zarr": zarr, "tfds": tfds}

for target in sys.argv[2:] or TARGETS:
    place = pathlib.Path(sys.argv[1]) / target
    place.mkdir(parents=True, exist_ok=True)
    TARGETS[target](lambda name, data, place=place: (place / name).write_bytes(data))
    print(f"{target}: {sum(1 for _ in place.iterdir())} seeds")
