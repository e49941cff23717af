"""TFRecord files that other projects have published, against TensorFlow and against sums computed beforehand.

They are found through LITHIFY_TEST_DATA, a directory with `cases.json`, the files it names, and for each case
`expected/CASE.json`: numbers and SHA-256 sums of each feature.
"""

import hashlib
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from oracle import (
    FAILED,
    NATURAL,
    assert_npy,
    assert_output,
    convert,
    fixed,
    kind_of,
    lengths,
    load,
    present,
    ragged,
    read_any,
    run,
    scan,
)

DATA = Path(os.environ.get("LITHIFY_TEST_DATA", ""))
HERE = (DATA / "cases.json").is_file()

pytestmark = pytest.mark.skipif(not HERE, reason="LITHIFY_TEST_DATA is not set to a directory of test data")


@cache
def cases():
    return {case["case"]: case for case in json.loads((DATA / "cases.json").read_text())} if HERE else {}


@cache
def expected(case):
    return json.loads((DATA / "expected" / f"{case}.json").read_text())


def files(case):
    return sorted(path for path in DATA.glob(cases()[case]["path"]) if path.is_file())


@cache
def records(case):
    """All records of a case as TensorFlow reads them, told how each file is compressed."""
    kinds = {DATA / file["file"]: file["compression"].replace("NONE", "") for file in expected(case)["files"]}
    return [record.numpy() for path in files(case) for record in tf.data.TFRecordDataset(str(path), kinds[path])]


@cache
def dtype_of(case, name):
    kinds = {kind_of(record, name) for record in records(case)} - {None}
    return NATURAL[kinds.pop()]


CASES = [name for name, case in cases().items() if case["kind"] == "example"]
FEATURES = [(case, name) for case in CASES for name in expected(case)["features"]]
NUMBERS = [(case, name) for case, name in FEATURES if expected(case)["features"][name]["kind"] != "bytes"]


def sha(data):
    return hashlib.sha256(bytes(data)).hexdigest()


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The outputs of all cases, converted without a request."""
    base = tmp_path_factory.mktemp("converted")
    for case in CASES:
        convert(files(case), base / case)
    return base


@pytest.mark.parametrize("case", CASES)
def test_the_cases_are_there(case):
    """So that a wrong directory does not look like a pass."""
    assert len(records(case)) == expected(case)["records"] > 0


# --- without a request -----------------------------------------------------------------------------------------------


def is_photos(case, name):
    """Photographs of one size become an array of pixels without a word."""
    return (case, name) == ("ibm-anki-detection", "image/encoded")


@pytest.mark.parametrize("case, name", FEATURES)
def test_every_feature_comes_back_whole(converted, case, name):
    """Whatever fit was chosen, the lists are those that TensorFlow parses, and it is known which are missing."""
    rows = ragged(records(case), name, dtype_of(case, name))
    if is_photos(case, name):
        photos = [tf.io.decode_image(row[0], expand_animations=False) for row in rows.to_list()]
        assert_npy(converted / case / f"{name}.npy", np.stack(photos))
        return
    assert read_any(converted / case, name) == rows.to_list()
    there = present(records(case), name)
    if there.all():
        assert not (converted / case / f"{name}.present.npy").exists()
    else:
        assert_npy(converted / case / f"{name}.present.npy", there)


@pytest.mark.parametrize("case", CASES)
def test_outputs_verify(converted, case):
    run("verify", converted / case)
    run("verify", converted / case, "--against-source")


@pytest.mark.parametrize("case, name", FEATURES)
def test_features_of_one_length_are_fixed_features(converted, case, name):
    """An exact array is what parse_example gives for a FixedLenFeature."""
    about = expected(case)["features"][name]
    array = converted / case / f"{name}.npy"
    if is_photos(case, name):
        return
    if not array.exists():
        short = about["kind"] != "bytes" or about["max_bytes"] <= 64
        assert about["min_len"] != about["max_len"] or not short
        return
    shape = () if about["max_len"] == 1 else (about["max_len"],)
    values = fixed(records(case), name, dtype_of(case, name), shape)
    assert_npy(array, values if about["kind"] != "bytes" else values.astype(f"S{about['max_bytes']}"))


def test_a_directory_of_a_tensorflow_dataset_is_its_records(converted, tmp_path):
    """The JSON files beside the records are no data."""
    case = "tfds-wine-raw"
    (path,) = files(case)
    convert(path.parent, tmp_path / "out", options=["--from", "tfrecord"])
    for name in expected(case)["features"]:
        assert_npy(tmp_path / "out" / f"{name}.npy", load(converted / case / f"{name}.npy"))


# --- padded ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case, name", FEATURES)
def test_padded_bytes_have_the_known_sum(tmp_path, case, name):
    """The sums are over rows that are filled with zero bytes up to the longest, computed by others' readers."""
    about = expected(case)["features"][name]
    decode = " decode=none" if about["kind"] == "bytes" else ""
    convert(files(case), tmp_path / "out", f"{name}: pad=max rename=x{decode}")
    array = load(tmp_path / "out" / "x.npy")
    assert len(array) == about["records"]
    assert sha(array.tobytes()) == about["dense"]["sha256"]
    assert sha(load(tmp_path / "out" / "x.lengths.npy").tobytes()) == about["lengths_sha256"]


@pytest.mark.parametrize("case, name", FEATURES)
def test_ragged_values_have_the_known_sum(tmp_path, case, name):
    about = expected(case)["features"][name]
    dtype = f" decode=none dtype=S{about['max_bytes']}" if about["kind"] == "bytes" else ""
    convert(files(case), tmp_path / "out", f"{name}: ragged rename=x{dtype}")
    values, offsets = (load(tmp_path / "out" / f"x.{part}.npy") for part in ("values", "offsets"))
    assert sha(np.diff(offsets).tobytes()) == about["lengths_sha256"]
    joined = values.tobytes() if about["kind"] != "bytes" else b"".join(values.tolist())
    if about["kind"] != "bytes" or not joined_loses_nul(case, name):
        assert sha(joined) == about["values_sha256"]


def joined_loses_nul(case, name):
    """Whether any string ends in NUL, which NumPy's fixed-width strings do not keep."""
    return any(value.endswith(b"\x00") for value in ragged(records(case), name, tf.string).values.numpy())


@pytest.mark.parametrize("case, name", NUMBERS)
def test_padded_numbers_are_a_padded_batch(tmp_path, case, name):
    """Through the pipeline that a user would have: parse, pad with -1, cast."""
    dtype = dtype_of(case, name)
    rows = ragged(records(case), name, dtype)
    target = tf.int32 if dtype == tf.int64 else tf.float16
    fit = f"pad=max value=-1 dtype={target.name}"
    padded = tf.cast(rows.to_tensor(tf.cast(-1, dtype)), target).numpy()
    values = rows.values.numpy()
    if dtype == tf.int64 and values.size and (values.max() > target.max or values.min() < target.min):
        convert(files(case), tmp_path / "out", f"{name}: rename=x {fit}", code=FAILED)
        return
    convert(files(case), tmp_path / "out", f"{name}: rename=x {fit}")
    assert_output(tmp_path / "out", {"x": padded, "x.lengths": lengths(rows)})


@pytest.mark.parametrize("name", ["class_name_Iris_setosa", "class_name_Iris_versicolor", "class_name_Iris_virginica"])
def test_one_hot_classes_of_which_one_is_present(tmp_path, name):
    """A default for what is missing, as a FixedLenFeature has it."""
    convert(files("spotify-iris-train"), tmp_path / "out", f"{name}: default=0 present")
    rows = records("spotify-iris-train")
    values = fixed(rows, name, tf.float32, (), 0.0)
    assert_output(tmp_path / "out", {name: values, f"{name}.present": present(rows, name)})


# --- decoded ---------------------------------------------------------------------------------------------------------

RAW = [(case, name, *view) for case in CASES for name, view in cases()[case].get("raw", {}).items()]


@pytest.mark.parametrize("case, name, dtype, shape", RAW)
def test_raw_bytes_with_the_shape_beside_them(tmp_path, case, name, dtype, shape):
    dtype = tf.as_dtype(np.dtype(dtype))
    convert(files(case), tmp_path / "out", f"{name}: decode=raw:{dtype.name} reshape={shape} rename=x")
    bodies = fixed(records(case), name, tf.string)
    shapes = ragged(records(case), shape, tf.int64)
    decoded = [tf.reshape(tf.io.decode_raw(body, dtype), sizes) for body, sizes in zip(bodies, shapes, strict=True)]
    assert_output(tmp_path / "out", {"x": tf.stack(decoded).numpy()})


# --- scan ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_scan_counts_what_is_there(case):
    found, known = scan(files(case)), expected(case)
    rows = records(case)
    assert found["elements"] == known["records"]
    assert found["record_bytes"] == sum(map(len, rows))
    assert found["largest_record"] == max(map(len, rows))
    assert set(found["features"]) == set(known["features"])
    for name, about in known["features"].items():
        there = found["features"][name]
        seen = lengths(ragged(rows, name, dtype_of(case, name)))[present(rows, name)]
        assert there["kind"] == about["kind"]
        assert there["present"] == about["records"] - about["missing"] - about["nokind"]
        assert there["lengths"]["total"] == about["total_values"] == seen.sum()
        assert there["lengths"]["max"] == about["max_len"]
        assert there["lengths"]["min"] == seen.min()
        if about["kind"] == "bytes":
            sizes = [there["strings"][key] for key in ("min", "max", "total")]
            assert sizes == [about["min_bytes"], about["max_bytes"], about["total_bytes"]]


# --- what is no dataset ----------------------------------------------------------------------------------------------

BAD = [path.name for path in files("bad-tfrecord")] if HERE else []


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_dataset_of_examples_is_refused(tmp_path, name):
    """Files of other formats, and records of other messages, some of which parse as Examples of nonsense."""
    (path,) = [path for path in files("bad-tfrecord") if path.name == name]
    convert(path, tmp_path / "out", code=FAILED)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", BAD)
def test_records_of_any_kind_can_be_had_raw(tmp_path, name):
    """Where TensorFlow reads records, the same come out; where it does not, lithify refuses, too."""
    (path,) = [path for path in files("bad-tfrecord") if path.name == name]
    try:
        bodies = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    except tf.errors.DataLossError:
        convert(path, tmp_path / "out", options=["--from", "tfrecord-raw"], code=FAILED)
        return
    convert(path, tmp_path / "out", "record: ragged decode=none", options=["--from", "tfrecord-raw"])
    found = read_any(tmp_path / "out", "record")
    assert [value for row in found for value in row] == bodies
