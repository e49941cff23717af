"""Datasets of Hugging Face's `datasets`: their Arrow files are read as they are, and what is not in such is brought there first. So are
tables of `pyarrow`."""

import contextlib
import os
import tempfile

from ._errors import RequestError
from ._feed import of_library

# What is copied at once, about, and how many rows of it at most.
_COPY_BYTES = 16 << 20
_COPY_ROWS = 1000
# Rows that are copied at once where it is not known how large they are.
_UNKNOWN_ROWS = 32


@contextlib.contextmanager
def files_of(source, out):
    """The files that hold a dataset of Hugging Face, or a table, for as long as they are there; `None` of what is neither, or has no fixed
    types."""
    if of_library(source, "datasets", "DatasetDict") or of_library(source, "datasets", "IterableDatasetDict"):
        raise RequestError(
            f"{type(source).__name__} holds several datasets: {', '.join(map(repr, source))}",
            hints=[f"choose one of its splits: `dataset[{next(iter(source), 'train')!r}]`"],
        )
    if of_library(source, "pyarrow", "Table"):
        with _file(out) as path:
            _write(source.schema, source.to_batches(), path)
            yield [path]
        return
    if of_library(source, "datasets", "Dataset"):
        # What a transform makes of the elements is known only when they are asked for.
        source = None if source.format["type"] == "custom" else _seen(source)
    elif not of_library(source, "datasets", "IterableDataset") or source.features is None:
        source = None
    if source is not None and not all(mode in (None, "RGB", "RGBA") for mode in _modes(source.features)):
        # `datasets` brings images to that mode.
        source = None
    if source is None:
        yield None
        return
    cached = _cached(source)
    if cached is not None:
        yield cached
        return
    with _file(out) as path:
        _copy(source, path)
        yield [path]


@contextlib.contextmanager
def _file(out):
    """The path of a file on the disk of an output, which goes when it has been read. Where that is possible it has no name, so that it goes
    with the process, too."""
    directory = _directory(out)
    try:
        file = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError:
        with tempfile.TemporaryDirectory(prefix=".lithify-", dir=directory) as directory:
            yield os.path.join(directory, "data.arrow")
        return
    try:
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)


def _write(schema, tables, path):
    """Writes tables, or batches, to an Arrow file."""
    import pyarrow

    with pyarrow.ipc.new_stream(path, schema) as writer:
        for table in tables:
            writer.write(table)


def _modes(feature):
    """The modes that are declared of images."""
    if of_library(feature, "datasets", "Image"):
        yield feature.mode
    parts = feature.values() if isinstance(feature, dict) else feature if isinstance(feature, list) else [getattr(feature, "feature", None)]
    for part in parts:
        if part is not None:
            yield from _modes(part)


def _seen(dataset):
    """A dataset without the columns that its format leaves out."""
    columns, everything = dataset.format["columns"], dataset.format["output_all_columns"]
    if everything or set(columns) == set(dataset.column_names):
        return dataset
    return dataset.select_columns(columns)


def _directory(out):
    """The directory that an output will be in, or the nearest to it that is there."""
    directory = os.path.dirname(os.path.abspath(os.fspath(out)))
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def _copy(dataset, path):
    """Writes a dataset to an Arrow file, with what its paths of images and sounds refer to."""
    from datasets.table import embed_table_storage, table_cast

    schema = dataset.features.arrow_schema
    rows = _UNKNOWN_ROWS
    if hasattr(dataset, "data") and not any(_is_path(dataset, name) for name in dataset.column_names):
        rows = _COPY_BYTES * max(dataset.data.num_rows, 1) // max(dataset.data.nbytes, 1)
    tables = dataset.with_format("arrow").iter(min(max(rows, 1), _COPY_ROWS))
    # Encoded images and sounds that are not here are where a path says.
    _write(schema, (embed_table_storage(table_cast(table.select(schema.names), schema)) for table in tables), path)


def _is_path(dataset, name):
    """Whether a column has, of some images or sounds, no more than where they are; or may have."""
    feature = dataset.features[name]
    if not hasattr(feature, "embed_storage"):
        from datasets.features.features import require_storage_embed

        return require_storage_embed(feature)
    return any("bytes" in _fields(chunk) and chunk.field("bytes").null_count > 0 for chunk in dataset.data[name].chunks)


def _fields(array):
    return [array.type.field(at).name for at in range(array.type.num_fields)]


def _cached(dataset):
    """The files of a dataset that is all that they hold, and nothing else."""
    if not of_library(dataset, "datasets", "Dataset") or dataset._indices is not None:
        return None
    from datasets import table as tables

    table, blocks = dataset.data, [dataset.data]
    if isinstance(table, tables.ConcatenationTable):
        if any(len(row) != 1 for row in table.blocks):
            return None
        blocks = [row[0] for row in table.blocks]
    if not all(isinstance(block, tables.MemoryMappedTable) and _is_file(block, dataset.features) for block in blocks):
        return None
    if any(_is_path(dataset, name) for name in dataset.column_names):
        return None
    return [os.path.abspath(block.path) for block in blocks]


def _is_file(block, features):
    """Whether a table is all of a file, with the same features."""
    import pyarrow
    from datasets import Features

    # The features are written to the metadata of each table, also where they are what the file says.
    if any(name != "replace_schema_metadata" for name, _, _ in block.replays) or not os.path.isfile(block.path):
        return False
    with pyarrow.memory_map(block.path) as file, pyarrow.ipc.open_stream(file) as stream:
        schema = stream.schema
    return schema.remove_metadata() == features.arrow_schema.remove_metadata() and Features.from_arrow_schema(schema) == features
