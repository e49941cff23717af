"""Datasets of Hugging Face, against what they give as NumPy arrays: however they came to be, and wherever their rows are."""

import io

import numpy as np
import pytest
from outputs import assert_npy, assert_output, assert_ragged, left_in, padded

import lithify
from lithify import _huggingface

datasets = pytest.importorskip("datasets")

from datasets import Array2D, ClassLabel, Dataset, Features, Image, List, Value  # noqa: E402
from PIL import Image as Picture  # noqa: E402

datasets.disable_progress_bars()

FEATURES = Features({
    "int": Value("int32"),
    "float": Value("float64"),
    "bool": Value("bool"),
    "text": Value("string"),
    "label": ClassLabel(names=["cat", "dog"]),
    "fixed": List(Value("int16"), length=3),
    "nested": {"x": Value("int8"), "deep": {"y": Value("float32")}},
    "grid": Array2D((2, 3), "float32"),
})
DTYPES = {"int": "int32", "float": "float64", "bool": "bool", "label": "int64", "fixed": "int16", "grid": "float32"}
COUNT = 60


def columns(count=COUNT):
    return {
        "int": [at * 3 - 7 for at in range(count)],
        "float": [at / 7 for at in range(count)],
        "bool": [at % 3 == 0 for at in range(count)],
        "text": [f"té{at}" * (at % 3) for at in range(count)],
        "label": [at % 2 for at in range(count)],
        "fixed": [[at, -at, 2 * at] for at in range(count)],
        "nested": [{"x": at, "deep": {"y": at / 3}} for at in range(count)],
        "grid": [[[at, 1, 2], [3, 4, at]] for at in range(count)],
    }


def in_memory(count=COUNT):
    return Dataset.from_dict(columns(count), features=FEATURES)


def on_disk(place, dataset=None, **options):
    (dataset or in_memory()).save_to_disk(place, **options)
    return datasets.load_from_disk(place)


@pytest.fixture
def source(tmp_path):
    return on_disk(tmp_path / "saved")


def expected(dataset):
    """The arrays that its rows make, with the dtypes that its features say."""
    arrays = {}

    def add(name, values):
        if isinstance(values[0], dict):
            for part in values[0]:
                add(f"{name}/{part}", [value[part] for value in values])
        elif isinstance(values[0], str):
            arrays[name] = np.array([value.encode() for value in values])
        else:
            arrays[name] = np.array(values, {**DTYPES, "nested/x": "int8", "nested/deep/y": "float32"}.get(name))

    rows = list(dataset.with_format(None))
    for name in dataset.column_names:
        add(name, [row[name] for row in rows])
    return arrays


def convert(source, out, features=None, **options):
    """Converts, and sees that nothing is left behind."""
    arrays = lithify.convert(source, out, features, progress=False, **options)
    assert left_in(out.parent) == [out.name]
    assert arrays.elements == len(arrays[next(iter(arrays))])
    return arrays


def origin(out):
    """The files that an output was made of."""
    return [part["path"] for part in lithify.open(out).manifest["parts"]]


# --- Where the rows are ----------------------------------------------------------------------------------------------


def test_in_memory(out):
    dataset = in_memory()
    assert _huggingface._cached(dataset) is None
    convert(dataset, out)
    assert_output(out, expected(dataset))


def test_from_disk_it_is_read_as_it_is(out, tmp_path, source):
    files = [str(tmp_path / "saved" / "data-00000-of-00001.arrow")]
    assert _huggingface._cached(source) == files
    convert(source, out)
    assert_output(out, expected(source))
    assert origin(out) == files


def test_several_files_are_read_as_they_are(out, tmp_path):
    dataset = on_disk(tmp_path / "saved", num_shards=3)
    files = [str(tmp_path / "saved" / f"data-0000{at}-of-00003.arrow") for at in range(3)]
    assert _huggingface._cached(dataset) == files
    convert(dataset, out)
    assert_output(out, expected(dataset))
    assert origin(out) == files


def test_from_a_cached_file(out, tmp_path):
    cache = tmp_path / "cache.arrow"
    dataset = in_memory().map(lambda row: {"int": row["int"] + 1}, cache_file_name=str(cache))
    assert _huggingface._cached(dataset) == [str(cache)]
    convert(dataset, out)
    assert_output(out, expected(dataset))
    from_file = Dataset.from_file(str(cache))
    assert _huggingface._cached(from_file) == [str(cache)]


def test_from_a_generator_or_a_table_on_disk(out, tmp_path):
    """What the library reads once and keeps in its cache."""
    (tmp_path / "rows.csv").write_text("a,b\n" + "".join(f"{at},{at / 2}\n" for at in range(100)))
    dataset = datasets.load_dataset("csv", data_files=str(tmp_path / "rows.csv"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(_huggingface._cached(dataset)) == 1
    convert(dataset, out)
    assert_output(out, {"a": np.arange(100), "b": np.arange(100) / 2})
    part = datasets.load_dataset("csv", data_files=str(tmp_path / "rows.csv"), split="train[10:30]", cache_dir=str(tmp_path / "cache"))
    convert(part, out, overwrite=True)
    assert_output(out, {"a": np.arange(10, 30), "b": np.arange(10, 30) / 2})


def test_a_file_that_is_gone_is_not_asked_for(out, tmp_path, source):
    """The rows are still mapped."""
    (tmp_path / "saved" / "data-00000-of-00001.arrow").unlink()
    assert _huggingface._cached(source) is None
    convert(source, out)
    assert_output(out, expected(source))


# --- What was done with the rows -------------------------------------------------------------------------------------

CHANGES = {
    "select_first": lambda dataset: dataset.select(range(20)),
    "select_within": lambda dataset: dataset.select(range(13, 37)),
    "select_apart": lambda dataset: dataset.select([50, 3, 3, 17]),
    "shuffle": lambda dataset: dataset.shuffle(seed=3),
    "sort": lambda dataset: dataset.sort("int", reverse=True),
    "filter": lambda dataset: dataset.filter(lambda row: row["int"] % 2 == 0),
    "map": lambda dataset: dataset.map(lambda row: {"int": row["int"] * 10, "new": [row["int"], 1]}),
    "map_removing": lambda dataset: dataset.map(lambda row: {"only": row["float"] * 2}, remove_columns=dataset.column_names),
    "rename": lambda dataset: dataset.rename_column("int", "renamed"),
    "swap": lambda dataset: dataset.rename_columns({"int": "label", "label": "int"}),
    "remove": lambda dataset: dataset.remove_columns(["text", "grid"]),
    "select_columns": lambda dataset: dataset.select_columns(["float", "int"]),
    "add_column": lambda dataset: dataset.add_column("added", np.arange(len(dataset)) * 2),
    "flatten": lambda dataset: dataset.select_columns(["nested", "int"]).flatten(),
    "shard": lambda dataset: dataset.shard(4, 1),
    "split": lambda dataset: dataset.train_test_split(0.25, seed=1)["test"],
    "twice": lambda dataset: datasets.concatenate_datasets([dataset, dataset]),
    "parts": lambda dataset: datasets.concatenate_datasets([dataset.select(range(40, 50)), dataset.shuffle(seed=1)]),
    "memory_and_disk": lambda dataset: datasets.concatenate_datasets([dataset, in_memory(7)]),
    "beside": lambda dataset: datasets.concatenate_datasets([dataset, Dataset.from_dict({"more": list(range(COUNT))})], axis=1),
    "numpy": lambda dataset: dataset.with_format("numpy"),
    "pandas": lambda dataset: dataset.with_format("pandas"),
    "shuffle_select_rename": lambda dataset: dataset.shuffle(seed=5).select(range(9)).rename_column("float", "f"),
    "flatten_indices": lambda dataset: dataset.shuffle(seed=5).flatten_indices(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_changes(out, tmp_path, change, place):
    dataset = CHANGES[change](in_memory() if place == "memory" else on_disk(tmp_path / "saved"))
    wanted = expected(dataset)
    if change == "rename":
        wanted["renamed"] = wanted["renamed"].astype("int32")
    if change == "swap":
        wanted = {name: array.astype({"int": "int64", "label": "int32"}.get(name, array.dtype)) for name, array in wanted.items()}
    if change == "flatten":
        wanted["nested.x"], wanted["nested.deep.y"] = wanted["nested.x"].astype("int8"), wanted["nested.deep.y"].astype("float32")
    convert(dataset, out)
    assert_output(out, wanted)


def test_cast_columns(out, source):
    dataset = source.cast_column("int", Value("int64")).cast_column("float", Value("float16"))
    convert(dataset, out)
    wanted = expected(source)
    assert_output(out, {**wanted, "int": wanted["int"].astype("int64"), "float": wanted["float"].astype("float16")})


def test_names_of_classes_are_those_of_the_dataset(out, source):
    assert convert(source, out).manifest["classes"] == {"label": ["cat", "dog"]}
    renamed = source.cast_column("label", ClassLabel(names=["tiger", "wolf"]))
    assert convert(renamed, out, overwrite=True).manifest["classes"] == {"label": ["tiger", "wolf"]}


def test_a_format_may_leave_columns_out(out, source):
    dataset = source.with_format("numpy", columns=["int", "fixed"])
    convert(dataset, out)
    wanted = expected(source)
    assert_output(out, {name: wanted[name] for name in ("int", "fixed")})
    convert(source.with_format("numpy", columns=["int"], output_all_columns=True), out, overwrite=True)
    assert_output(out, wanted)


def test_a_transform_is_applied(out, source):
    dataset = source.with_transform(lambda batch: {"double": [2 * number for number in batch["int"]]})
    convert(dataset, out)
    assert_output(out, {"double": 2 * np.array(source["int"])})


def test_what_a_transform_raises_is_raised(out, source):
    def broken(batch):
        raise ZeroDivisionError("so it is")

    with pytest.raises(ZeroDivisionError, match="so it is"):
        lithify.convert(source.with_transform(broken), out, progress=False)
    assert left_in(out.parent) == []


def test_the_dataset_itself_is_left_as_it_was(out, source):
    before = (source.format, source.column_names, source._fingerprint)
    convert(source.with_format("numpy", columns=["int"]), out)
    convert(source, out, overwrite=True)
    assert (source.format, source.column_names, source._fingerprint) == before


# --- What elements are made of ---------------------------------------------------------------------------------------


def test_it_is_what_numpy_gives(out):
    """Where the dtypes are those that the library makes of numbers itself."""
    count = 25
    dataset = Dataset.from_dict({
        "i": list(range(count)),
        "m": [[[at, 1], [2, 3]] for at in range(count)],
        "f": [[at / 3] * 4 for at in range(count)],
    }, features=Features({"i": Value("int64"), "m": Array2D((2, 2), "int64"), "f": List(Value("float32"), length=4)}))
    arrays = convert(dataset, out)
    for name, array in dataset.with_format("numpy")[:].items():
        assert_npy(out / f"{name}.npy", array)
        assert np.array_equal(arrays[name], array)


def test_lengths_that_differ(out):
    rows = [list(range(at % 5)) for at in range(50)]
    words = [["w" * at] * (at % 3) for at in range(50)]
    dataset = Dataset.from_dict({"tokens": rows, "words": words}, features=Features({"tokens": List(Value("int16")), "words": List(Value("string"))}))
    arrays = convert(dataset, out)
    assert arrays["tokens"].dtype == np.int16
    assert_ragged(arrays["tokens"], rows)
    assert [row.tolist() for row in arrays["words"]] == [[word.encode() for word in row] for row in words]
    convert(dataset, out, {"tokens": "pad=max"}, overwrite=True)
    assert_npy(out / "tokens.npy", padded(rows, dtype=np.int16))


def test_none(out):
    dataset = Dataset.from_dict({"number": [1, None, 3], "text": ["x", None, ""], "list": [[1], None, [2, 3]], "whole": [1, 2, 3]})
    arrays = convert(dataset, out)
    for name in ("number", "text", "list"):
        assert arrays[f"{name}.present"].tolist() == [True, False, True]
    assert arrays["whole"].tolist() == [1, 2, 3]
    assert [row.tolist() for row in arrays["number"]] == [[1], [], [3]]
    assert [row.tolist() for row in arrays["list"]] == [[1], [], [2, 3]]
    filled = convert(dataset, out, {"number": {"default": -1}}, overwrite=True)
    assert filled["number"].tolist() == [1, -1, 3]


def encoded(at, form):
    file = io.BytesIO()
    Picture.fromarray(np.random.default_rng(at).integers(0, 255, (8 + at % 3, 10, 3), np.uint8)).save(file, form)
    return file.getvalue()


def photos(count=6):
    return [encoded(at, "PNG" if at % 2 else "JPEG") for at in range(count)]


IMAGES = Features({"image": Image(), "label": Value("int8")})


def pictures(made):
    """What Pillow makes of images, in a frame as high as the highest."""
    frames = np.zeros((len(made), 10, 10, 3), np.uint8)
    for frame, image in zip(frames, made):
        array = np.asarray(Picture.open(io.BytesIO(image)))
        frame[: array.shape[0]] = array
    return frames


def assert_pictures(found, made):
    """JPEG decoders differ by little; PNG is PNG."""
    wanted = pictures(made)
    assert found.dtype == np.uint8 and found.shape == wanted.shape
    assert np.array_equal(found[1::2], wanted[1::2])
    assert np.abs(found[::2].astype(int) - wanted[::2].astype(int)).max() <= 12


WANTED = {"image": {"pad": (10, 10, 3), "dtype": "uint8"}, "label": None}


@pytest.mark.parametrize("place", ["memory", "disk", "shuffled", "iterable", "paths", "paths_iterable", "undecoded"])
def test_images(out, tmp_path, place):
    made = photos()
    rows = [{"bytes": image, "path": None} for image in made]
    if place.startswith("paths"):
        for at, image in enumerate(made):
            (tmp_path / f"{at}.img").write_bytes(image)
        rows = [str(tmp_path / f"{at}.img") for at in range(len(made))]
    dataset = Dataset.from_dict({"image": rows, "label": list(range(len(made)))}, features=IMAGES)
    if place == "disk":
        dataset = on_disk(tmp_path / "saved", dataset)
        assert _huggingface._cached(dataset) is not None
    elif place == "shuffled":
        dataset = dataset.shuffle(seed=1)
    elif place.endswith("iterable"):
        dataset = dataset.to_iterable_dataset()
    elif place == "undecoded":
        dataset = dataset.cast_column("image", Image(decode=False))
    arrays = convert(dataset, out, {"image": "resize=6x7 dtype=uint8", "label": None})
    assert arrays["image"].shape == (6, 6, 7, 3) and arrays["image"].dtype == np.uint8
    order = arrays["label"].tolist()
    assert sorted(order) == list(range(6)) and (order == list(range(6))) == (place != "shuffled")
    raw = convert(dataset, out, overwrite=True)
    assert [bytes(raw["image"][at]) for at in range(6)] == [made[at] for at in order]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("kind", ["memory", "iterable"])
def test_images_of_a_mode(out, kind, mode):
    """As `datasets` decodes them."""
    made = [Picture.fromarray(np.random.default_rng(at).integers(0, 256, (4, 3, 3)).astype(np.uint8)) for at in range(3)]
    dataset = Dataset.from_dict({"image": made}).cast_column("image", Image(mode=mode))
    wanted = np.stack([np.asarray(row["image"]) for row in dataset])
    found = lithify.convert(dataset if kind == "memory" else dataset.to_iterable_dataset(), out, resize=(4, 3))["image"]
    np.testing.assert_array_equal(np.squeeze(found), wanted)


def test_images_stand_upright(out):
    """As their EXIF says, and `datasets` has it."""
    smooth = np.add.outer(np.arange(16) * 8, np.arange(8) * 8)[..., None].repeat(3, axis=2).astype(np.uint8)
    images = []
    for orientation in range(1, 9):
        exif = Picture.Exif()
        exif[0x0112] = orientation
        data = io.BytesIO()
        Picture.fromarray(smooth).save(data, "JPEG", quality=100, subsampling=0, exif=exif)
        images.append({"bytes": data.getvalue(), "path": None})
    dataset = Dataset.from_dict({"image": images}, features=Features({"image": Image()}))
    lengthwise = [at for at, row in enumerate(dataset) if np.asarray(row["image"]).shape[0] == 8]
    assert len(lengthwise) == 4
    wanted = np.stack([np.asarray(row["image"]) for row in dataset.select(lengthwise)])
    found = lithify.convert(dataset.select(lengthwise), out, "image: resize=8x16 decode=accurate")["image"]
    assert np.abs(found[:].astype(int) - wanted).max() <= 3
    as_stored = lithify.convert(dataset, out.with_name("stored"), "image: resize=16x8 exif=ignore decode=accurate")["image"]
    assert np.abs(as_stored[:].astype(int) - smooth).max() <= 3


def test_images_are_what_pillow_decodes(out):
    made = photos()
    dataset = Dataset.from_dict({"image": [{"bytes": image, "path": None} for image in made]}, features=Features({"image": Image()}))
    arrays = convert(dataset, out, {"image": "pad=10x10x3 dtype=uint8"})
    assert_pictures(arrays["image"], made)


def test_cached_images_that_are_elsewhere(out, tmp_path):
    """The library keeps the paths of a directory of images, not the images."""
    made = photos()
    for at, image in enumerate(made):
        place = tmp_path / "photos" / ("even" if at % 2 == 0 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{at}.{'png' if at % 2 else 'jpg'}").write_bytes(image)
    dataset = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "photos"), split="train", cache_dir=str(tmp_path / "cache"))
    assert _huggingface._cached(dataset) is None
    arrays = convert(dataset, out, {"image": "resize=8x8 dtype=uint8", "label": None})
    assert arrays["image"].shape == (6, 8, 8, 3)
    assert arrays["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays.manifest["classes"] == {"label": ["even", "odd"]}


# --- Iterable datasets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 4])
def test_iterable(out, source, shards):
    """The types are those of the features, not those of Python."""
    convert(source.to_iterable_dataset(num_shards=shards), out)
    assert_output(out, expected(source))


def test_iterable_that_was_changed(out, source):
    iterable = source.to_iterable_dataset().filter(lambda row: row["int"] % 2 == 0).take(20).remove_columns(["text"])
    convert(iterable, out)
    wanted = expected(source.filter(lambda row: row["int"] % 2 == 0).select(range(20)).remove_columns(["text"]))
    assert_output(out, wanted)


def test_iterable_that_is_mapped_has_no_fixed_types(out, source):
    iterable = source.to_iterable_dataset().map(lambda row: {"int": row["int"] * 2, "new": [row["int"]] * (row["label"] + 1)})
    iterable = iterable.select_columns(["int", "new"])
    arrays = convert(iterable, out)
    assert arrays["int"].tolist() == [2 * number for number in source["int"]]
    assert_ragged(arrays["new"], [[number] * (label + 1) for number, label in zip(source["int"], source["label"])])


def test_iterable_of_a_generator(out):
    def rows():
        for at in range(30):
            yield {"a": at, "b": [at, at + 1]}

    arrays = convert(datasets.IterableDataset.from_generator(rows), out)
    assert arrays["a"].tolist() == list(range(30)) and arrays["b"].shape == (30, 2)
    features = Features({"a": Value("uint8"), "b": List(Value("float32"))})
    convert(datasets.IterableDataset.from_generator(rows, features=features), out, overwrite=True)
    assert_output(out, {"a": np.arange(30, dtype=np.uint8), "b": np.array([[at, at + 1] for at in range(30)], np.float32)})


def test_iterable_of_pictures_without_features(out):
    """What a generator gives as an object of Pillow is the array of its pixels."""
    def rows():
        for at in range(3):
            yield {"image": Picture.fromarray(np.full((4, 5, 3), at, np.uint8))}

    convert(datasets.IterableDataset.from_generator(rows), out)
    assert_output(out, {"image": np.stack([np.full((4, 5, 3), at, np.uint8) for at in range(3)])})


def test_what_a_generator_raises_is_raised(out):
    def rows():
        yield {"a": 1}
        raise ZeroDivisionError("so it is")

    for features in (None, Features({"a": Value("int64")})):
        with pytest.raises(ZeroDivisionError, match="so it is"):
            lithify.convert(datasets.IterableDataset.from_generator(rows, features=features), out, progress=False)
        assert left_in(out.parent) == []


# --- Requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DatasetDict", "IterableDatasetDict"])
@pytest.mark.parametrize("call", [lithify.scan, lambda several: lithify.convert(several, "nowhere"), lambda several: lithify.plan(several, "nowhere")])
def test_a_split_must_be_chosen(kind, call):
    several = getattr(datasets, kind)({"train": in_memory(3), "test": in_memory(2)})
    with pytest.raises(lithify.RequestError, match="'train', 'test'") as caught:
        call(several)
    assert caught.value.hints == ["choose one of its splits: `dataset['train']`"]


def test_no_rows(out):
    with pytest.raises(lithify.DataError, match="no elements"):
        lithify.convert(in_memory().select([]), out, progress=False)
    assert left_in(out.parent) == []


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_scan_and_plan_leave_nothing(out, tmp_path, monkeypatch, place):
    monkeypatch.chdir(out.parent)
    dataset = in_memory() if place == "memory" else on_disk(tmp_path / "saved")
    profile = lithify.scan(dataset, progress=False)
    assert profile.elements == COUNT and set(profile.features) == set(expected(dataset))
    plan = lithify.plan(dataset, out / "deeper" / "still", progress=False)
    assert {array["feature"]: (array["dtype"], array["shape"]) for array in plan.arrays}["grid"] == ("float32", [COUNT, 2, 3])
    assert left_in(out.parent) == []


def test_a_directory_is_made_where_there_is_none(out):
    lithify.convert(in_memory(), out / "deeper" / "still", progress=False)
    assert_output(out / "deeper" / "still", expected(in_memory()))
    assert left_in(out / "deeper") == ["still"] and left_in(out.parent) == [out.name]


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_errors_leave_nothing(out, tmp_path, place):
    dataset = in_memory() if place == "memory" else on_disk(tmp_path / "saved")
    with pytest.raises(lithify.RequestError, match="nonesuch"):
        lithify.convert(dataset, out, {"nonesuch": None}, progress=False)
    assert left_in(out.parent) == []


def test_verify_and_repair_of_what_was_read_as_it_is(out, source):
    convert(source, out)
    with open(out / "int.npy", "r+b") as file:
        file.seek(-4, 2)
        file.write(b"\xff\xff\xff\xff")
    assert [what for _, what in lithify.verify(out, progress=False)]
    lithify.repair(out, progress=False)
    assert lithify.verify(out, progress=False) == []
    assert_output(out, expected(source))
