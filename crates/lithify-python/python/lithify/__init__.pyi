"""Datasets that do not fit in memory become arrays that need not."""

import os
from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence
from typing import Any, Literal, TypedDict, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

__version__: str

_Path = str | os.PathLike[str]
_Wanted = str | Mapping[str, Any] | Literal[True] | None
_Features = str | Sequence[str] | Mapping[str, _Wanted] | None
_Progress = bool | Callable[..., Any] | None

class _Keys(TypedDict, total=False):
    """What is wanted of the only feature: `lithify convert --help` tells what each means."""

    pad: int | str | Sequence[int]
    value: float | str
    side: Literal["left", "right"]
    truncate: bool
    lengths: bool
    mask: bool
    ragged: bool
    bucket: str | Sequence[int]
    reshape: str | Sequence[int | str]
    decode: str
    dtype: Any
    saturate: bool
    default: Any
    present: bool
    rename: str
    drop: bool
    resize: str | Sequence[int]
    keep_aspect: bool
    resize_with_pad: str | Sequence[int]
    resize_with_crop_or_pad: str | Sequence[int]
    shorter_side: int
    crop: int | str | Sequence[int]
    central_crop: float
    method: str
    antialias: bool
    channels: int
    ratio: int
    exif: Literal["ignore", "apply"]
    frames: Literal["first", "all"]
    scale: float | str
    mean: float | str | Sequence[float]
    std: float | str | Sequence[float]
    layout: Literal["nhwc", "nchw"]
    chunk: int | str | Sequence[int]
    shard: int | str
    codec: str

class _Reading(_Keys, total=False):
    """How a dataset is read. All but the last three are for datasets in files."""

    from_: str
    split: str | Sequence[str]
    select: str | Sequence[str]
    limit: int
    shuffle: int
    zip: _Path | Sequence[_Path]
    recipe: _Path
    on_error: Literal["fail", "skip"]
    memory: int | str
    threads: int

class _Planning(_Reading, total=False):
    """How arrays are kept."""

    store: Literal["npy", "zarr", "zarr2"]
    io: Literal["pwrite", "mapped"]

class _Writing(_Planning, total=False):
    """How arrays are written."""

    overwrite: bool
    restart: bool
    sync_every: float
    no_sync: bool

class _Running(TypedDict, total=False):
    memory: int | str
    threads: int

class _Verifying(_Running, total=False):
    against_source: bool

def convert(
    source: Any,
    out: _Path,
    features: _Features = None,
    *,
    batched: bool | None = None,
    again: bool | None = None,
    progress: _Progress = None,
    **options: Unpack[_Writing],
) -> Arrays:
    """Turns a dataset into arrays on disk, however large it is, and opens them."""

def scan(
    source: Any,
    features: _Features = None,
    *,
    batched: bool | None = None,
    progress: _Progress = None,
    **options: Unpack[_Reading],
) -> Profile:
    """Tells what is in a dataset, and what arrays of it would take."""

def plan(
    source: Any,
    out: _Path,
    features: _Features = None,
    *,
    batched: bool | None = None,
    progress: _Progress = None,
    **options: Unpack[_Planning],
) -> Plan:
    """Tells what `convert` would do."""

def verify(out: _Path, *, progress: _Progress = None, **options: Unpack[_Verifying]) -> list[tuple[str, str]]:
    """Compares arrays with their checksums: gives what has changed, as pairs of a file and what of it."""

def repair(out: _Path, *, progress: _Progress = None, **options: Unpack[_Running]) -> list[tuple[str, str]]:
    """Writes anew what has changed; gives what could not be cured."""

def open(out: _Path) -> Arrays:
    """Opens what `convert` has written."""

class Arrays(Mapping[str, Any]):
    """The arrays of an output by name: `np.memmap`, `zarr.Array` or `Ragged`."""

    path: str
    manifest: dict[str, Any]
    def __init__(self, out: _Path) -> None: ...
    @property
    def elements(self) -> int: ...
    @property
    def skipped(self) -> list[dict[str, Any]]: ...
    def __getitem__(self, name: str) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __contains__(self, name: object) -> bool: ...

class Ragged:
    """Elements that differ in length: `x[i]` is the array of an element, or its byte string."""

    values: Any
    offsets: Any
    def __init__(self, parts: dict[str, Any], strings: bool, place: tuple[str, str, int, int]) -> None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> Ragged | list[Any]: ...
    @overload
    def __getitem__(self, at: list[int] | NDArray[Any]) -> list[Any]: ...
    def to_numpy(self) -> NDArray[Any]:
        """All elements in memory, as an array of objects."""

class Dataset:
    """The rows of what was written, as a dataset of PyTorch."""

    arrays: dict[str, Any]
    def __init__(self, out: _Path, features: Sequence[str] | None = None) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, at: int) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...

class _Facts:
    def __init__(self, facts: str, text: str) -> None: ...
    def to_dict(self) -> dict[str, Any]:
        """All of it, as dicts, lists, numbers and texts."""
    def __getitem__(self, name: str) -> Any: ...
    def keys(self) -> KeysView[str]: ...

class Profile(_Facts):
    """What is in a dataset."""

    @property
    def elements(self) -> int: ...
    @property
    def features(self) -> dict[str, dict[str, Any]]: ...

class Plan(_Facts):
    """What `convert` would do."""

    @property
    def elements(self) -> int: ...
    @property
    def arrays(self) -> list[dict[str, Any]]: ...
    @property
    def bytes(self) -> int: ...

class Error(Exception):
    """Something that lithify could not do."""

    file: str | None
    element: int | None
    offset: int | None
    feature: str | None
    hints: list[str]
    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        element: int | None = None,
        offset: int | None = None,
        feature: str | None = None,
        hints: Sequence[str] = (),
    ) -> None: ...

class DataError(Error):
    """The dataset holds something that is damaged, or is not what it should be."""

class RequestError(Error, ValueError):
    """The request cannot be understood, or does not fit the dataset."""

class ResourcesError(Error):
    """The request is sound, but this machine lacks the disk or the memory."""

class IOFailure(Error):
    """The operating system refused to read or write."""

class OutputError(Error):
    """The output exists, is in use, or is not as it was written."""
