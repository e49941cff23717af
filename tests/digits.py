"""Write the handwritten digits that scikit-learn ships as TFRecords of tf.train.Example, without TensorFlow.

usage: digits.py DIRECTORY

Each of the 1,797 elements has `image_raw` (8x8 bytes), `height`, `width`, `label`, and `ink`: the numbers of the pixels
that are not blank, as many as there are. Two of the four files are compressed, as is often the case in the wild.
"""

import gzip
import struct
import sys
from pathlib import Path

from sklearn.datasets import load_digits

SHARDS = 4


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data):
    """A record: its length, the length's checksum, the data, the data's checksum."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, data):
    """A protobuf field that holds bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def bytes_feature(value):
    return field(1, field(1, value))


def int64_feature(values):
    return field(3, field(1, b"".join(varint(value) for value in values)))


def example(features):
    entries = (field(1, field(1, name.encode()) + field(2, feature)) for name, feature in features.items())
    return field(1, b"".join(entries))


def digit(image, label):
    pixels = image.astype("u1").ravel()
    height, width = image.shape
    return example(
        {
            "image_raw": bytes_feature(pixels.tobytes()),
            "height": int64_feature([height]),
            "width": int64_feature([width]),
            "label": int64_feature([int(label)]),
            "ink": int64_feature(pixels.nonzero()[0].tolist()),
        }
    )


def main(directory):
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    records = [record(digit(image, label)) for image, label in zip(digits.images, digits.target)]
    share = -(-len(records) // SHARDS)
    for shard in range(SHARDS):
        data = b"".join(records[shard * share : (shard + 1) * share])
        path = directory / f"digits-{shard:05d}-of-{SHARDS:05d}.tfrecord"
        path.write_bytes(gzip.compress(data, mtime=0) if shard % 2 else data)


if __name__ == "__main__":
    main(*sys.argv[1:])
