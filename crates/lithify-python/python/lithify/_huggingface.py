"""Datasets of Hugging Face's `datasets`: their Arrow files are read as they are, and what is not in such is brought there first."""

import contextlib
import os
import tempfile

from ._live import of_library


@contextlib.contextmanager
def files_of(source, out):
    """The files that hold a `datasets.Dataset`, for as long as they are there; `None` of what is no such dataset."""
    if not of_library(source, "datasets", "Dataset"):
        yield None
        return
    cached = _cached(source)
    if cached is not None:
        yield cached
        return
    import pyarrow

    parent = os.path.dirname(os.path.abspath(os.fspath(out)))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".lithify-", dir=parent) as directory:
        path = os.path.join(directory, "data.arrow")
        with pyarrow.ipc.new_stream(path, source.features.arrow_schema) as writer:
            for table in source.with_format("arrow").iter(1000):
                writer.write_table(table.cast(source.features.arrow_schema))
        yield [path]


def _cached(dataset):
    """The files of a dataset that is all that they hold, and nothing else."""
    import datasets.table

    if dataset._indices is not None:
        return None
    table = dataset.data
    blocks = [table]
    if isinstance(table, datasets.table.ConcatenationTable):
        if any(len(row) != 1 for row in table.blocks):
            return None
        blocks = [row[0] for row in table.blocks]
    if not all(isinstance(block, datasets.table.MemoryMappedTable) and not block.replays for block in blocks):
        return None
    if any(block.schema.remove_metadata() != dataset.features.arrow_schema.remove_metadata() for block in blocks):
        return None
    return [os.path.abspath(block.path) for block in blocks]
