"""What is converted: the sizes, names and features of the generated datasets.

Only the standard library is used here, as this is read both by the script that times (which must stay small, see
`measure.py`) and by the programs it starts.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workload:
    """A dataset to generate, and the arrays that every contender makes of it."""

    name: str
    elements: int
    files: int
    compression: str  # as TensorFlow names it: "" or "GZIP"
    arrays: tuple[str, ...]  # one `.npy` file each
    options: tuple[str, ...]  # what to ask lithify for, beyond its defaults

    def scaled(self, scale):
        """The number of elements at `scale`, the same in every file."""
        return max(1, round(self.elements * scale / self.files)) * self.files

    def directory(self, data, scale):
        """Where the files are. The size is in the name, so that scales do not get mixed up."""
        return Path(data) / f"{self.name}-{self.scaled(scale)}"


WIDTH = 1024  # floats in an element
LONGEST = 512  # tokens in an element, at most
VOCABULARY = 50_000
CHUNK = 1024  # rows of a chunk of vectors, and what they are compressed by: what lithify chooses by itself
ZSTD_LEVEL = 1
SHARD = 8192  # rows of a shard
STORE = "arrays.zarr"  # the name of a Zarr store among the outputs
SIDE = 224  # rows and columns of a resized photograph

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("floats", 200_000, 4, "", ("x", "y"), ()),
        Workload(
            "tokens",
            1_000_000,
            4,
            "",
            ("tokens", "label"),
            ("--feature", "tokens: pad=max dtype=int32", "--feature", "label"),
        ),
        Workload("gzip", 60_000, 1, "GZIP", ("x",), ()),
        Workload(
            "photos",
            16_000,
            4,
            "",
            ("image", "label"),
            ("--feature", f"image: resize={SIDE}x{SIDE} channels=3 lengths=no", "--feature", "label"),
        ),
        Workload("matrix", 1_000_000, 1, "", ("x",), ()),
        Workload("digits", 400_000, 4, "", ("image", "label"), ("--feature", "image", "--feature", "label")),
        Workload("saved", 100_000, 1, "", ("x", "y"), ()),
        Workload("tfds", 100_000, 1, "", ("x", "y"), ()),
        Workload("tfds-array_record", 100_000, 1, "", ("x", "y"), ()),
        Workload("webdataset", 100_000, 4, "", ("npy", "cls"), ("--feature", "npy", "--feature", "cls")),
        Workload(
            "webdataset-jpeg",
            20_000,
            4,
            "",
            ("jpg", "cls"),
            ("--feature", "jpg: decode=accurate", "--feature", "cls"),
        ),
        Workload("webdataset-png", 40_000, 4, "", ("png", "cls"), ("--feature", "png", "--feature", "cls")),
        Workload("parquet", 100_000, 4, "", ("x", "y"), ()),
        Workload("arrow", 100_000, 4, "", ("x", "y"), ()),
        Workload("huggingface", 100_000, 4, "", ("x", "y"), ()),
    )
}


def input_files(directory):
    """The files of a generated dataset, in order, whatever folders they are in."""
    return sorted(path for path in Path(directory).rglob("*") if path.is_file())


def total_size(paths):
    """The bytes of all `paths` together, of what links point to where they are links."""
    return sum(path.stat().st_size for path in paths)
