"""What all tests need: datasets, runs, and whether two outputs are the same."""

import random
import shutil
import struct
import subprocess
import zlib

FAILED, STOPPED = 1, 75
PARTIAL, LOCK = ".{}.lithify-partial", ".{}.lithify-lock"


class Failure(Exception):
    """Data were lost or corrupted, or the program did what it must not."""


class Skipped(Exception):
    """Something is missing that the test needs."""


def crc32c_table():
    """The table of CRC-32C."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 if byte & 1 else byte >> 1
        table.append(byte)
    return table


TABLE = crc32c_table()


def masked_crc(data):
    """The checksum of TFRecords."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data):
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def varint(number):
    """A number of protobuf."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(number, data):
    """A field of protobuf that holds bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def integers(values):
    """A feature of integers."""
    return field(3, field(1, b"".join(map(varint, values))))


def floats(values):
    """A feature of floats."""
    return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))


def texts(values):
    """A feature of byte strings."""
    return field(1, b"".join(field(1, value) for value in values))


def example(features):
    """A serialised `tf.train.Example`."""
    entries = (field(1, field(1, name.encode()) + field(2, value)) for name, value in features.items())
    return field(1, b"".join(entries))


def png(width, height, pick):
    """A picture that hardly compresses."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pick.randbytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


class Torture:
    """A program, a directory to torture it in, and a seed."""

    def __init__(self, lithify, directory, seed):
        if not lithify.is_file():
            raise SystemExit(f"{lithify} is not there: build it with `cargo build --release`")
        self.lithify, self.directory, self.random = lithify, directory, random.Random(seed)

    def dataset(self, elements, files=2, longest=30):
        """TFRecord files of elements with sequences of integers, a few floats, a label and a text. Records are few, and
        written again and again: their checksums are made in Python."""
        pick = self.random
        kinds = [
            record(
                example(
                    {
                        "x": integers([pick.randrange(1000) for _ in range(1 + at % longest)]),
                        "y": floats([pick.random() for _ in range(4)]),
                        "label": integers([at % 10]),
                        "text": texts([b"w" * (at % 20)]),
                    }
                )
            )
            for at in range(300)
        ]
        return self.repeated(kinds, elements, files)

    def images(self, elements, files=2):
        """The same of elements with a picture and a label."""
        pick = self.random
        kinds = [
            record(example({"image": texts([png(*pick.choices(range(1, 300), k=2), pick)]), "label": integers([at])}))
            for at in range(20)
        ]
        return self.repeated(kinds, elements, files)

    def repeated(self, kinds, elements, files):
        """Files of some records in random order."""
        pick = self.random
        paths = [self.directory / f"data-{number}" for number in range(files)]
        for path in paths:
            with open(path, "wb") as file:
                file.writelines(kinds[pick.randrange(len(kinds))] for _ in range(elements // files))
        return [path.name for path in paths]

    def command(self, *words):
        """A command of the program."""
        return [str(self.lithify), *map(str, words)]

    def start(self, *words):
        """Starts a run."""
        return subprocess.Popen(
            self.command(*words), cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words, before=(), timeout=120):
        """A run to its end: its exit code, and what it told. One that hangs is a failure."""
        try:
            done = subprocess.run(
                [*before, *self.command(*words)], cwd=self.directory, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"it hangs: {words}") from None
        self.check(done.returncode, done.stderr, words)
        return done.returncode, done.stderr

    @staticmethod
    def check(code, told, words):
        """No run may panic, or end by a signal that nobody sent."""
        # The program is not even loaded; or Rust's library panics, as it does where a directory cannot be closed.
        if "error while loading shared libraries" in told or "unexpected error during closedir" in told:
            return
        if "panicked" in told or code not in (0, 1, 2, 3, STOPPED):
            raise Failure(f"{words} ended with {code}: {told}")

    def must(self, *words):
        """A run that has to succeed."""
        code, told = self.run(*words)
        if code:
            raise Failure(f"{words} ended with {code}: {told}")
        return told

    def outputs(self):
        """All files but those of the dataset, without what a manifest tells of its run."""
        found = {}
        for path in sorted(self.directory.rglob("*")):
            name = str(path.relative_to(self.directory))
            if path.is_file() and not name.startswith("data-"):
                data = path.read_bytes()
                found[name] = data[: data.rfind(b'"run"')] if name.endswith("lithify.json") else data
        return found

    def compare(self, whole, what):
        """Fails where there is anything else than in an undisturbed run."""
        there = self.outputs()
        if there != whole:
            names = sorted(name for name in there.keys() | whole.keys() if there.get(name) != whole.get(name))
            raise Failure(f"{what}: {', '.join(names[:5])} differ from what an undisturbed run gives")

    def clear(self):
        """Removes all but the dataset."""
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif not path.name.startswith("data-"):
                path.unlink()


# Outputs of each kind: files, chunks and shards that blocks fill alone and together.
REQUESTS = {
    "out": ["-f", "x: pad=500 dtype=float64", "-f", "y", "-f", "label", "-f", "text: ragged"],
    "out.npy": ["-f", "x: pad=500 dtype=float64"],
    "out.zarr": ["-f", "x: pad=500 dtype=float64 chunk=100 shard=1000", "-f", "y: chunk=64", "-f", "label"],
    "other.zarr": ["-f", "x: pad=500 dtype=float64 chunk=700 codec=none", "-f", "text: ragged", "-f", "label"],
}
