"""What is asked for, as the words of the command line, and what comes of it."""

import json
import glob
import os
import sys
import warnings

import numpy as np

from . import _huggingface, _live, _lithify
from ._arrays import Arrays
from ._arrays import open as _open
from ._errors import RequestError
from ._progress import bar

# Keys whose value is a shape, which is written with an `x` between its sizes.
_SHAPES = {"pad", "resize", "resize-with-pad", "resize-with-crop-or-pad", "crop", "chunk"}


def convert(source, out, features=None, *, batched=None, again=None, progress=None, **options):
    """Turns a dataset into arrays on disk, however large it is, and opens them.

    Args:
        source: the path of a dataset, or several, or a glob; or a live one: a `tf.data.Dataset`, a dataset of Hugging Face, a `Dataset` or
            `DataLoader` of PyTorch, a `DataFrame`, an array, a dict or tuple of arrays (or of lists), a generator function, or whatever can be
            iterated over. Its elements are arrays, numbers, texts or byte strings, in dicts and tuples within each other.
        out: where to: `x.npy` for one array, `x.zarr` for a Zarr store, anything else is a directory of `.npy` files.
        features: which features are wanted, and how: `"tokens: pad=512 dtype=int32"`, a list of such, or a dict of names and what is
            wanted, as in `{"tokens": "pad=512", "image": {"resize": (224, 224), "dtype": "uint8"}, "label": None}`. Without it, all of
            them, each as it loses nothing; `{"image": False}` leaves that one out.
        batched: whether the source gives many elements at a time, as arrays that have a row for each. A `DataLoader` says so itself.
        again: whether iterating the source again gives the same elements in the same order. By default, what can be iterated again is
            taken to do so, but for a `DataLoader` that shuffles. If not, what comes is kept on disk until it is written.
        progress: whether a bar is shown: by default, on a terminal and in a notebook. Or what is called to make one, as `tqdm.tqdm` is.
        **options: what `lithify convert --help` names, with `_` for `-`: `memory="2GB"`, `threads=8`, `overwrite=True`,
            `on_error="skip"`; of files also `select="label < 10"`, `limit=1000`, `shuffle=42`, `from_="tfrecord"`; or, where there is one
            feature, what is wanted of it: `pad="max"`, `resize=(224, 224)`, `dtype="float16"`.

    Returns:
        The arrays by name: see `lithify.open`.

    Raises:
        lithify.Error: see its subclasses. What iterating a live source raises is raised as it is.

    >>> import lithify
    >>> lithify.convert([[1, 2], [3, 4, 5], [6]], "padded.npy", pad="max")["padded"].tolist()
    [[1, 2, 0], [3, 4, 5], [6, 0, 0]]
    """
    if "dry_run" in options or "json" in options:
        raise RequestError("`lithify.plan` tells what would be done, and `.to_dict()` gives it as plain data")
    words = [f"--output={os.fsdecode(out)}", *_features(features), *_flags(options)]
    _call("convert", source, words, batched, again, progress, out)
    arrays = _open(out)
    if arrays.skipped:
        warnings.warn(f"{len(arrays.skipped):,} elements were left out: `.skipped` lists them, and why", stacklevel=2)
    return arrays


def scan(source, features=None, *, batched=None, progress=None, **options):
    """Tells what is in a dataset, and what arrays of it would take. An iterator is used up by that.

    The arguments are those of `convert`, as far as they have to do with reading.
    """
    return Profile(*_call("scan", source, [*_features(features), *_flags(options)], batched, None, progress, "output"))


def plan(source, out, features=None, *, batched=None, progress=None, **options):
    """Tells what `convert` would do, with the same arguments; or raises what it would raise before anything is written. An iterator is
    used up by that.
    """
    words = [f"--output={os.fsdecode(out)}", "--dry-run", *_features(features), *_flags(options)]
    return Plan(*_call("convert", source, words, batched, None, progress, out))


def verify(out, *, progress=None, **options):
    """Compares arrays with their checksums: gives what has changed since they were written, as pairs of a file and what of it. With
    `against_source=True` they are compared with the files that they were made of, too.
    """
    return _differences("verify", out, progress, options)


def repair(out, *, progress=None, **options):
    """Writes anew what has changed, from the files that it was made of; gives what could not be cured, as `verify` does."""
    return _differences("repair", out, progress, options)


def _differences(command, out, progress, options):
    found, _, _ = _lithify.call(["lithify", command, *_flags(options), "--", os.fsdecode(out)], None, bar(progress))
    return [tuple(pair) for pair in json.loads(found)]


def _call(command, source, words, batched, again, progress, out):
    def call(inputs, feed=None):
        return _lithify.call(["lithify", command, *words, "--", *map(os.fsdecode, inputs)], feed, bar(progress))

    if isinstance(source, Arrays):
        return call([source.path])
    if _live.is_path(source):
        paths = source if isinstance(source, (list, tuple)) else [source]
        if len(paths) > 1 and not any(os.path.exists(path) or glob.has_magic(os.fspath(path)) for path in paths):
            raise RequestError(
                f"no file is called `{os.fsdecode(paths[0])}`, or as the others",
                hints=["if these are texts and no paths, give them as an array, or as features: `{'text': texts}`"],
            )
        return call(paths)
    with _huggingface.files_of(source, out) as paths:
        if paths is not None:
            return call(paths)
    feed = _live.feed_of(source, batched, again)
    return call([feed.name], feed)


def _flags(options):
    words = []
    for name, value in options.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        many = isinstance(value, (list, tuple)) and flag[2:] not in _lithify.KEYS
        for one in value if many else [value]:
            if one is True and not _lithify.KEYS.get(flag[2:], False):
                words.append(flag)
            elif one is not None and (one is not False or _lithify.KEYS.get(flag[2:], False)):
                words.append(f"{flag}={_value(flag[2:], one)}")
    return words


def _features(features):
    if features is None:
        return []
    if isinstance(features, str):
        features = [features]
    if not features:
        raise RequestError("no feature is named", hints=["leave `features` out for all of them"])
    if isinstance(features, dict):
        features = [_spec(name, wanted) for name, wanted in features.items()]
    return [f"--feature={spec}" for spec in features]


def _spec(name, wanted):
    quoted = _quoted(name)
    if wanted is None or wanted is True:
        return quoted
    if wanted is False:
        return f"{quoted}: drop"
    if isinstance(wanted, str):
        return f"{quoted}: {wanted}"
    if not isinstance(wanted, dict):
        raise RequestError(f"what is wanted of `{name}` is neither a text nor a dict: {wanted!r}", feature=name)
    words = []
    for key, value in wanted.items():
        key = key.rstrip("_").replace("_", "-")
        if value is not None:
            words.append(f"{key}={_quoted(_value(key, value))}")
    return f"{quoted}: {' '.join(words)}"


def _quoted(text):
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _value(key, value):
    if value is True or value is False:
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ("x" if key in _SHAPES else ",").join(str(part) for part in value)
    if key == "dtype" and not isinstance(value, str):
        return _dtype(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _dtype(dtype):
    """The name of a dtype of NumPy, TensorFlow or PyTorch."""
    if type(dtype).__module__ == "torch":
        return str(dtype).removeprefix("torch.")
    found = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    return f"S{found.itemsize}" if found.kind == "S" else found.name


class _Facts:
    """Facts, as plain data, as text, and as a notebook shows them."""

    def __init__(self, facts, text, page):
        self._facts, self._text, self._page = json.loads(facts), text, page

    def to_dict(self):
        """All of it, as dicts, lists, numbers and texts."""
        return json.loads(json.dumps(self._facts))

    def __getitem__(self, name):
        return self._facts[name]

    def keys(self):
        return self._facts.keys()

    def __str__(self):
        return self._text

    __repr__ = __str__

    def _repr_html_(self):
        return self._page


class Plan(_Facts):
    """What `convert` would do."""

    @property
    def elements(self):
        """How many elements there are."""
        return self._facts["elements"]

    @property
    def arrays(self):
        """The arrays: of each its file, dtype, shape, bytes, feature and fit."""
        return self._facts["arrays"]

    @property
    def bytes(self):
        """Bytes of all arrays. Compressed, they take less."""
        return self._facts["bytes"]


class Profile(_Facts):
    """What is in a dataset."""

    @property
    def elements(self):
        """How many elements there are."""
        return self._facts["elements"]

    @property
    def features(self):
        """The features by name: of each its kind, its lengths and their histogram, and what it would take padded to the longest."""
        return {feature["name"]: feature for feature in self._facts["features"]}
