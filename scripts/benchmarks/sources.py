"""Each format that lithify reads, against the library that owns it."""

from benchmarks import contests

NUMBERS = (5, ">= 5")
SOURCES = {  # the workload, what its peers need, and the least median ratio of a peer's time to lithify's
    "saved": ({"tf.data": "tensorflow"}, NUMBERS),
    "tfds": ({"tfds": "tensorflow_datasets"}, NUMBERS),
    "tfds-array_record": (
        {"tfds.data_source": "tensorflow_datasets, array_record", "array_record + tf.io": "array_record"},
        NUMBERS,
    ),
    "webdataset": ({"webdataset": "webdataset"}, NUMBERS),
    "webdataset-jpeg": ({"webdataset": "webdataset, PIL"}, None),
    "webdataset-png": ({"webdataset": "webdataset, PIL"}, None),
    "parquet": ({"pyarrow.parquet": "pyarrow"}, NUMBERS),
    "arrow": ({"pyarrow": "pyarrow"}, NUMBERS),
    "huggingface": ({"datasets, as numpy": "datasets", "datasets, as arrow": "datasets"}, NUMBERS),
}


def contest(bench, name):
    """The table of one source, or None where no peer is installed: it is their package that makes the dataset."""
    packages, target = SOURCES[name]
    peers = list(contests.installed(bench, packages))
    if not peers:
        return None

    def contenders(bench, workload, _expected):
        inputs = bench.dataset(name)
        convert = bench.convert(inputs, bench.output, *workload.options)
        yield contests.Contender("lithify", convert, workload.arrays)
        for peer in peers:
            command = bench.module("source_peers", peer, name, inputs, bench.output)
            yield contests.Contender(peer, command, workload.arrays)

    return contests.contest(name, contenders, dict.fromkeys(peers, target))(bench)


def sources(only):
    """The benchmark of the sources `only`, or of all. One that fails does not keep the others from being told."""

    def benchmark(bench):
        tables, failures = [], []
        for name in only or SOURCES:
            try:
                tables.append(contest(bench, name))
            except contests.Failed as failure:
                failures.append(f"\n{failure}")
        text = "\n".join(filter(None, tables))
        if failures:
            raise contests.Failed("\n".join([text, *failures]))
        return text

    return benchmark
