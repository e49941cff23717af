"""Directories of TensorFlow Datasets, written by its own writers and read by its own reader, against what lithify makes of them.

What `tfds.as_numpy` gives of an element, in the order of the files, must be what stands in the arrays: of the same dtype, the
same shape, and to the bit.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from oracle import FAILED, USAGE, arrays_in, assert_npy, convert, load, manifest, pieces, run, scan

F = tfds.features
DATA = Path(os.environ.get("LITHIFY_TEST_DATA", ""))


def store(base, features, train, file_format=None, **others):
    """A dataset of these elements, written by TFDS; gives the directory of its version."""
    splits = {"train": train, **others}
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="made",
        version="1.0.0",
        features=F.FeaturesDict(features),
        split_datasets={name: list(enumerate(elements)) for name, elements in splits.items()},
        data_dir=str(base),
        disable_shuffling=True,
        file_format=file_format,
    )
    return Path(builder.data_dir)


def flat(element, prefix=""):
    """The features of an element by the names that lithify gives them; steps are stacked."""
    found = {}
    for name, value in element.items():
        name = f"{prefix}{name}"
        if isinstance(value, dict):
            found |= flat(value, f"{name}/")
        elif isinstance(value, tf.RaggedTensor):
            found[name] = value.flat_values.numpy()
            for level, lengths in enumerate(value.nested_row_lengths()):
                found[f"{name}/ragged_row_lengths_{level}"] = lengths.numpy()
        elif isinstance(value, tf.data.Dataset):
            steps = [flat(step) if isinstance(step, dict) else {"": step} for step in value]
            for key in steps[0] if steps else []:
                stacked = [step[key] for step in steps]
                strings = isinstance(stacked[0], bytes)
                found[f"{name}/{key}".rstrip("/")] = np.array(stacked, object) if strings else np.stack(stacked)
        else:
            found[name] = value.numpy()
    return found


def expected(directory, split="train"):
    """All elements of a split, in the order of the files."""
    builder = tfds.builder_from_directory(str(directory))
    config = tfds.ReadConfig(interleave_cycle_length=1)
    return [flat(element) for element in builder.as_dataset(split=split, read_config=config, shuffle_files=False)]


def elements(out, name):
    """The elements of a feature, whichever fit without loss it has."""
    if (out / f"{name}.npy").exists():
        return list(load(out / f"{name}.npy"))
    part = lambda suffix: out / f"{name}.{suffix}.npy"
    values, offsets = load(part("values")), load(part("offsets"))
    strings = next(array["fit"] for array in manifest(out)["arrays"] if array["file"] == f"{name}.values.npy")
    if part("value_offsets").exists():
        values = np.array([*(piece.tobytes() for piece in pieces(values, load(part("value_offsets")))), None], object)[:-1]
    found = pieces(values, offsets)
    if part("shapes").exists():
        found = [piece.reshape(shape) for piece, shape in zip(found, load(part("shapes")), strict=True)]
    if "raggedbytes" in strings and not part("value_offsets").exists():
        return [piece.tobytes() for piece in found]
    return found


def assert_same(found, wanted, what):
    if isinstance(wanted, bytes) or wanted.dtype == object:
        as_lists = lambda value: value if isinstance(value, bytes) else np.asarray(value, object).tolist()
        assert as_lists(found) == as_lists(wanted), what
        return
    found = np.asarray(found)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), what
    assert found.tobytes() == wanted.tobytes(), what


def assert_equal(out, wanted, skip=()):
    """The output has these elements, and no other features."""
    names = {name for element in wanted for name in element} - set(skip)
    for name in names:
        found = elements(out, name)
        assert len(found) == len(wanted)
        for number, (one, element) in enumerate(zip(found, wanted, strict=True)):
            if name in element:
                assert_same(one, element[name], f"{name} of element {number}")
    roles = (".values", ".offsets", ".value_offsets", ".shapes", ".present", ".lengths", ".sizes")
    bare = lambda name: next((name.removesuffix(role) for role in roles if name.endswith(role)), name)
    assert {bare(name) for name in arrays_in(out)} - set(skip) == names


def random(seed):
    return np.random.default_rng(seed)


# --- Numbers ---------------------------------------------------------------------------------------------------------

PLAIN = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


def numbers(rng, dtype, shape):
    dtype = np.dtype(dtype)
    if dtype == bool:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        made = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        made.flat[:2] = [info.min, info.max][: made.size]
        return made
    return rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("encoding", ["none", "bytes", "zlib"])
def test_numbers_of_every_dtype(tmp_path, out, encoding):
    features, rows = {}, [{} for _ in range(9)]
    for dtype in PLAIN:
        if dtype == "uint32" and encoding != "none":
            continue  # TensorFlow's `decode_raw` knows no such numbers.
        for shape in [(), (3,), (2, 2), (None,), (2, None)]:
            name = f"{dtype}_{'x'.join('n' if size is None else str(size) for size in shape)}"
            features[name] = F.Tensor(shape=shape, dtype=np.dtype(dtype), encoding=encoding)
            for number, row in enumerate(rows):
                sizes = [number % 4 if size is None else size for size in shape]
                row[name] = numbers(random(number), dtype, sizes) if sizes else numbers(random(number), dtype, (1,))[0]
    directory = store(tmp_path, features, rows)
    convert(directory, out)
    wanted = expected(directory)
    if encoding == "none":
        # What TensorFlow reads of such is the bits of an int64.
        for row in wanted:
            for name in (name for name in row if name.startswith("uint64")):
                row[name] = np.asarray(row[name]).view(np.uint64)
    assert_equal(out, wanted)


@pytest.mark.parametrize("encoding", ["bytes", "zlib"])
def test_several_axes_that_are_not_known(tmp_path, out, encoding):
    shapes = [(2, 3), (0, 4), (1, 1), (5, 2)]
    rows = [{"x": random(number).normal(size=shape).astype(np.float32)} for number, shape in enumerate(shapes)]
    directory = store(tmp_path, {"x": F.Tensor(shape=(None, None), dtype=np.float32, encoding=encoding)}, rows)
    convert(directory, out / "ragged")
    assert_equal(out / "ragged", expected(directory))
    convert(directory, out / "padded", "x: pad=max")
    wanted = np.zeros((4, 5, 4), np.float32)
    for row, (made, shape) in enumerate(zip(rows, shapes, strict=True)):
        wanted[row, : shape[0], : shape[1]] = made["x"]
    assert_npy(out / "padded/x.npy", wanted)


def test_a_value_that_is_optional_is_marked(tmp_path, out):
    rows = [{"x": number if number % 3 else None, "y": number} for number in range(7)]
    features = {"x": F.Scalar(dtype=np.int32, optional=True), "y": np.int64}
    directory = store(tmp_path, features, rows)
    convert(directory, out, "x: default=-2147483648 present", "y")
    assert_npy(out / "x.npy", np.array([row["x"] for row in expected(directory)], np.int32))
    assert_npy(out / "x.present.npy", np.array([number % 3 > 0 for number in range(7)]))


# --- Text, classes, boxes --------------------------------------------------------------------------------------------


def test_text_classes_and_boxes(tmp_path, out):
    names = ["cat", "dog", "a long name"]
    features = {
        "text": F.Text(),
        "long": F.Text(),
        "deep": {"label": F.ClassLabel(names=names), "box": F.BBoxFeature()},
        "words": F.Sequence(F.Text()),
        "pair": F.Translation(languages=["en", "de"]),
    }
    rows = [
        {
            "text": "ä" * number,
            "long": "\u20ac" * 40 * number,
            "deep": {"label": names[number % 3], "box": F.BBox(0.0, 0.25, 0.5, 0.25 + number / 10)},
            "words": ["w" * length for length in range(number % 4)],
            "pair": {"en": f"one {number}", "de": f"eins {number}"},
        }
        for number in range(8)
    ]
    directory = store(tmp_path, features, rows)
    convert(directory, out)
    assert_equal(out, expected(directory))
    assert manifest(out)["classes"] == {"deep/label": names}


# --- Images ----------------------------------------------------------------------------------------------------------


def picture(seed, shape, dtype=np.uint8):
    return random(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def test_images_of_one_size_are_pixels(tmp_path, out):
    features = {
        "grey": F.Image(shape=(5, 6, 1)),
        "jpeg": F.Image(shape=(16, 24, 3), encoding_format="jpeg"),
        "rgba": F.Image(shape=(4, 3, 4)),
        "deep": F.Image(shape=(4, 3, 3), dtype=np.uint16),
        "floats": F.Image(shape=(4, 3, 1), dtype=np.float32),
        "labels": F.LabeledImage(shape=(4, 3, 1), labels=["a", "b"]),
    }
    rows = [
        {
            "grey": picture(number, (5, 6, 1)),
            "jpeg": picture(number, (16, 24, 3)),
            "rgba": picture(number, (4, 3, 4)),
            "deep": picture(number, (4, 3, 3), np.uint16),
            "floats": random(number).normal(size=(4, 3, 1)).astype(np.float32),
            "labels": picture(number, (4, 3, 1)) % 2,
        }
        for number in range(5)
    ]
    directory = store(tmp_path, features, rows)
    convert(directory, out)
    assert_equal(out, expected(directory))


def test_images_of_several_sizes(tmp_path, out):
    rows = [{"x": picture(number, (4 + number, 9 - number, 3))} for number in range(4)]
    directory = store(tmp_path, {"x": F.Image()}, rows)
    convert(directory, out / "encoded")
    values, offsets = load(out / "encoded/x.values.npy"), load(out / "encoded/x.offsets.npy")
    for number, row in enumerate(rows):
        encoded = values[offsets[number] : offsets[number + 1]].tobytes()
        assert np.array_equal(tf.io.decode_image(encoded).numpy(), row["x"])
    convert(directory, out / "ragged", "x")
    assert_equal(out / "ragged", expected(directory))
    convert(directory, out / "resized", "x: resize=5x7")
    resized = [tf.image.resize(row["x"], (5, 7)) for row in expected(directory)]
    wanted = tf.cast(tf.clip_by_value(tf.round(tf.stack(resized)), 0, 255), tf.uint8)
    assert_npy(out / "resized/x.npy", wanted.numpy())


# --- Sequences and steps ---------------------------------------------------------------------------------------------


def test_sequences(tmp_path, out):
    features = {
        "fixed": F.Sequence(np.int32, length=3),
        "varying": F.Sequence(np.uint8),
        "boxes": F.Sequence({"box": F.BBoxFeature(), "label": F.ClassLabel(num_classes=4)}),
        "packed": F.Sequence(F.Tensor(shape=(2,), dtype=np.float64, encoding="bytes")),
        "nested": F.Sequence(F.Sequence(np.int64)),
        "deeper": F.Sequence(F.Sequence(F.Sequence(F.Tensor(shape=(2,), dtype=np.float32)))),
    }
    rows = []
    for number in range(9):
        rng, count = random(number), number % 4
        nested = [rng.integers(-9, 9, length).tolist() for length in rng.integers(0, 4, count)]
        rows.append(
            {
                "fixed": rng.integers(-5, 5, 3).tolist(),
                "varying": rng.integers(0, 255, count).tolist(),
                "boxes": [{"box": F.BBox(0.0, 0.0, 0.5, 1.0), "label": item} for item in range(count)],
                "packed": [rng.normal(size=2) for _ in range(count)],
                "nested": nested,
                "deeper": [[[[0.5, 1.5]] * length for length in range(count)]] * (number % 3),
            }
        )
    directory = store(tmp_path, features, rows)
    convert(directory, out)
    assert_equal(out, expected(directory))


def episodes(count, size=(8, 6, 3)):
    """Episodes as robots record them."""
    features = {
        "id": np.int32,
        "steps": F.Dataset(
            {
                "observation": {
                    "image": F.Image(shape=size, encoding_format="png"),
                    "state": F.Tensor(shape=(7,), dtype=np.float32),
                },
                "action": F.Tensor(shape=(4,), dtype=np.float64, encoding="bytes"),
                "reward": np.float32,
                "is_last": np.bool_,
                "instruction": F.Text(),
            }
        ),
    }
    rows = []
    for number in range(count):
        rng, steps = random(number), 1 + number * 3 % 5
        step = lambda at: {
            "observation": {"image": rng.integers(0, 255, size, np.uint8), "state": rng.normal(size=7).astype(np.float32)},
            "action": rng.normal(size=4),
            "reward": float(at),
            "is_last": at + 1 == steps,
            "instruction": f"do {number}",
        }
        rows.append({"id": number, "steps": [step(at) for at in range(steps)]})
    return features, rows


STEPS = ["steps/observation/image", "steps/observation/state", "steps/action", "steps/reward", "steps/is_last"]


def test_steps_of_episodes(tmp_path, out):
    directory = store(tmp_path, *episodes(11))
    wanted = expected(directory)
    # Without a request, encoded images stay as they are where episodes are of different lengths.
    convert(directory, out / "all")
    assert_equal(out / "all", wanted, skip=["steps/observation/image"])
    for number, files in enumerate(elements(out / "all", "steps/observation/image")):
        decoded = np.stack([tf.io.decode_image(file).numpy() for file in files])
        assert_same(decoded, wanted[number]["steps/observation/image"], number)
    # Values are steps, and offsets count them: alike for all features.
    convert(directory, out / "ragged", *(f"{name}: ragged" for name in STEPS))
    offsets = load(out / "ragged/steps/reward.offsets.npy")
    for name in STEPS:
        assert_npy(out / f"ragged/{name}.values.npy", np.concatenate([row[name] for row in wanted]))
        assert_npy(out / f"ragged/{name}.offsets.npy", offsets)
        assert not (out / f"ragged/{name}.shapes.npy").exists()
    convert(directory, out / "padded", *(f"{name}: pad=6" for name in STEPS))
    for name in STEPS:
        first = wanted[0][name]
        padded = np.zeros((11, 6, *first.shape[1:]), first.dtype)
        for row, element in zip(padded, wanted, strict=True):
            row[: len(element[name])] = element[name]
        assert_npy(out / f"padded/{name}.npy", padded)


def test_frames_are_resized(tmp_path, out):
    directory = store(tmp_path, *episodes(9, (10, 12, 3)))
    name = "steps/observation/image"
    resized = []
    for row in expected(directory):
        frames = tf.image.resize(row[name], (4, 5), antialias=True)
        resized.append(tf.cast(tf.clip_by_value(tf.round(frames), 0, 255), tf.uint8).numpy())
    counts = np.array([len(frames) for frames in resized])
    convert(directory, out / "ragged", f"{name}: resize=4x5 antialias ragged")
    assert_npy(out / f"ragged/{name}.values.npy", np.concatenate(resized))
    assert_npy(out / f"ragged/{name}.offsets.npy", np.concatenate([[0], counts.cumsum()]))
    convert(directory, out / "padded", f"{name}: resize=4x5 antialias pad=max")
    padded = np.zeros((9, counts.max(), 4, 5, 3), np.uint8)
    for row, frames in zip(padded, resized, strict=True):
        row[: len(frames)] = frames
    assert_npy(out / f"padded/{name}.npy", padded)
    assert_npy(out / f"padded/{name}.lengths.npy", counts)
    convert(directory, out / "cut", f"{name}: resize=4x5 antialias pad=2 truncate")
    assert_npy(out / f"cut/{name}.npy", padded[:, :2])
    failed = convert(directory, out / "none", f"{name}: resize=4x5", code=USAGE)
    assert "pad=max" in failed.stderr
    # The same frames in chunks.
    convert(directory, out / "x.zarr", f"{name}: resize=4x5 antialias ragged")
    import zarr

    np.testing.assert_array_equal(zarr.open(out / "x.zarr")[f"{name}/values"][:], np.concatenate(resized))


def test_videos_and_sound(tmp_path, out):
    features = {
        "clip": F.Video(shape=(None, 6, 4, 3)),
        "pictures": F.Sequence(F.Image(shape=(3, 3, 1))),
        "sound": F.Audio(),
        "stereo": F.Audio(shape=(None, 2), dtype=np.int32),
    }
    rows = [
        {
            "clip": [picture(frame, (6, 4, 3)) for frame in range(number + 1)],
            "pictures": [picture(frame, (3, 3, 1)) for frame in range(number % 3)],
            "sound": random(number).integers(-99, 99, 5 + number),
            "stereo": random(number).integers(-99, 99, (3 + number, 2)).astype(np.int32),
        }
        for number in range(5)
    ]
    directory = store(tmp_path, features, rows)
    convert(directory, out, "clip", "pictures", "sound", "stereo")
    wanted = expected(directory)
    for row in wanted:
        if not len(row["pictures"]):
            row["pictures"] = np.zeros((0, 3, 3, 1), np.uint8)
    assert_equal(out, wanted)


# --- Splits, directories, damage -------------------------------------------------------------------------------------

SLICES = ["train", "test", "train[:10%]", "train[30%:70%]", "train[5:12]", "train[-4:]", "train+test", "train[:3]+test[1:]"]


@pytest.fixture(scope="module")
def split_up(tmp_path_factory):
    """A dataset of two splits in several files, and of one with a configuration in between."""
    base = tmp_path_factory.mktemp("splits")
    rows = [{"x": number} for number in range(25)]
    config = tfds.download.DownloadConfig(num_shards=4)
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="made",
        version="1.2.3",
        config="small",
        features=F.FeaturesDict({"x": np.int16}),
        split_datasets={"train": list(enumerate(rows)), "test": list(enumerate([{"x": 100 + number} for number in range(5)]))},
        data_dir=str(base),
        disable_shuffling=True,
        download_config=config,
    )
    return base, Path(builder.data_dir)


@pytest.mark.parametrize("split", SLICES)
def test_splits(split_up, out, split):
    _, directory = split_up
    convert(directory, out, options=["--split", split])
    assert_npy(out / "x.npy", np.array([row["x"] for row in expected(directory, split)], np.int16))
    run("verify", out, "--against-source", "--quiet")


def test_without_a_split_all_are_taken(split_up, out):
    base, directory = split_up
    assert len(list(directory.glob("*train*"))) > 1
    # The version, the configuration and the name all mean the only version there is.
    for number, path in enumerate([directory, directory.parent, base / "made"]):
        convert(path, out / str(number))
        assert load(out / str(number) / "x.npy").tolist() == [*range(25), *range(100, 105)]
    assert "train+test" in run("scan", directory).stdout
    for wrong in ["other", "train[:90]", "train[3:3]", "train["]:
        assert wrong in convert(directory, out / "none", options=["--split", wrong], code=USAGE).stderr


def test_a_saved_plan_keeps_the_split(split_up, out, tmp_path):
    _, directory = split_up
    run("plan", directory, "--split", "train[2:9]", "--to", out, "--output", tmp_path / "plan.json")
    run("write", tmp_path / "plan.json", "--quiet")
    assert load(out / "x.npy").tolist() == [*range(2, 9)]


def test_what_is_not_as_it_says_is_refused(split_up, out, tmp_path):
    _, directory = split_up
    copy = Path(shutil.copytree(directory, tmp_path / "copy"))
    info = json.loads((copy / "dataset_info.json").read_text())
    shard = sorted(copy.glob("*train*"))[1]
    shard.write_bytes(shard.read_bytes() + shard.read_bytes())
    assert "says that there are" in convert(copy, out, code=FAILED).stderr
    shard.unlink()
    assert shard.name in convert(copy, out, code=FAILED).stderr
    (copy / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "riegeli"}))
    assert "riegeli" in convert(copy, out, code=FAILED).stderr
    for text in ["", "{", "[]", '{"splits": 3}', '{"splits": [{"name": "../x", "shardLengths": ["1"]}]}']:
        (copy / "dataset_info.json").write_text(text)
        assert "dataset_info.json" in convert(copy, out, code=FAILED).stderr
    assert not out.exists()


# --- Real ones -------------------------------------------------------------------------------------------------------

REAL = sorted(path.parent for path in DATA.glob("tfds/**/features.json")) if DATA.name else []


@pytest.mark.parametrize("directory", REAL, ids=lambda path: path.parts[-3])
def test_real_directories(directory, out):
    convert(directory, out)
    assert_equal(out, expected(directory))
