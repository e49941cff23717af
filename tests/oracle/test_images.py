"""Images: decoded, resized and normalised as TensorFlow does, bit by bit."""

import json
import os
import pathlib

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from oracle import (
    FAILED, SKIPPED, USAGE, assert_npy, assert_output, assert_same_output, convert, example, examples, floats, ints,
    load, read_ragged, run, scan, strings, write,
)
from sklearn.datasets import load_sample_images

PHOTOS = load_sample_images().images
METHODS = ["nearest", "bilinear", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"]
SIZES = [(40, 61), (77, 50), (64, 64), (120, 31), (33, 200), (50, 50), (224, 97), (61, 40)]


def crops(sizes=SIZES, channels=3):
    """Pieces of photographs, of these sizes."""
    pieces = []
    for number, (height, width) in enumerate(sizes):
        photo = PHOTOS[number % len(PHOTOS)]
        top, left = 31 * number % (photo.shape[0] - height), 47 * number % (photo.shape[1] - width)
        piece = photo[top : top + height, left : left + width]
        pieces.append(piece if channels == 3 else piece[..., :1] if channels == 1 else
                      np.concatenate([piece, piece[..., :1]], axis=-1))
    return pieces


def jpegs(sizes=SIZES, quality=90, channels=3):
    return [tf.io.encode_jpeg(piece, quality=quality).numpy() for piece in crops(sizes, channels)]


def pngs(sizes=SIZES, channels=3):
    return [tf.io.encode_png(piece).numpy() for piece in crops(sizes, channels)]


def records_of(images):
    return examples("image", [strings(image) for image in images])


def decoded(images, **options):
    return [tf.io.decode_image(image, expand_animations=False, **options).numpy() for image in images]


def as_uint8(image):
    """The rule for uint8: rounded half to even, then clipped."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8).numpy()


def every_method(test):
    """Runs a test with each method to resize, with and without antialias."""
    return pytest.mark.parametrize("antialias", [False, True])(pytest.mark.parametrize("method", METHODS)(test))


def how(method, antialias):
    """The keys that ask for it."""
    return f"method={method}" + " antialias" * antialias


def sizes_of(images):
    return np.array([image.shape[-3:-1] for image in images], np.int64)


@pytest.fixture
def mixed(tmp_path):
    """JPEGs and PNGs of many sizes in one file."""
    images = [jpeg if number % 2 else png for number, (jpeg, png) in enumerate(zip(jpegs(), pngs(), strict=True))]
    return images, write(tmp_path / "images", records_of(images))


# --- Sizes -----------------------------------------------------------------------------------------------------------


@every_method
def test_resize(mixed, out, method, antialias):
    images, path = mixed
    words = f"image: resize=48x57 {how(method, antialias)}"
    convert(path, out, words)
    pixels = decoded(images)
    made = [tf.image.resize(image, (48, 57), method, antialias=antialias) for image in pixels]
    assert_output(out, {"image": np.stack([as_uint8(image) for image in made]), "image.sizes": sizes_of(pixels)})


@every_method
def test_resize_to_float(mixed, out, method, antialias):
    images, path = mixed
    words = f"image: resize=31x40 dtype=float32 lengths=no {how(method, antialias)}"
    convert(path, out, words)
    made = [tf.image.resize(image, (31, 40), method, antialias=antialias) for image in decoded(images)]
    assert_output(out, {"image": np.stack([tf.cast(image, tf.float32) for image in made])})


@every_method
def test_keep_aspect(mixed, out, method, antialias):
    images, path = mixed
    words = f"image: resize=48x57 keep-aspect value=7 {how(method, antialias)}"
    convert(path, out, words)
    rows = np.full((len(images), 48, 57, 3), 7, np.uint8)
    lengths = []
    for row, image in zip(rows, decoded(images), strict=True):
        made = as_uint8(tf.image.resize(image, (48, 57), method, preserve_aspect_ratio=True, antialias=antialias))
        row[: made.shape[0], : made.shape[1]] = made
        lengths.append(made.shape)
    assert_output(out, {"image": rows, "image.sizes": sizes_of(decoded(images)), "image.lengths": np.array(lengths)})


@every_method
def test_resize_with_pad(mixed, out, method, antialias):
    images, path = mixed
    words = f"image: resize-with-pad=60x45 lengths=no {how(method, antialias)}"
    convert(path, out, words)
    made = [tf.image.resize_with_pad(image, 60, 45, method, antialias) for image in decoded(images)]
    assert_output(out, {"image": np.stack([as_uint8(image) for image in made])})


@pytest.mark.parametrize("size", [(64, 64), (30, 100), (100, 30), (256, 256)])
def test_crop_or_pad(mixed, out, size):
    images, path = mixed
    convert(path, out, f"image: resize-with-crop-or-pad={size[0]}x{size[1]} lengths=no")
    assert_output(out, {"image": np.stack([tf.image.resize_with_crop_or_pad(i, *size) for i in decoded(images)])})


def test_central_crop_comes_first(mixed, out):
    images, path = mixed
    convert(path, out, "image: central-crop=0.875 resize=32x32 lengths=no")
    made = [tf.image.resize(tf.image.central_crop(image, 0.875), (32, 32)) for image in decoded(images)]
    assert_output(out, {"image": np.stack([as_uint8(image) for image in made])})


def test_the_evaluation_transform(mixed, out):
    """The shorter side to 36, then the middle 32: sizes as torchvision rounds them, samples as TensorFlow makes them."""
    images, path = mixed
    convert(path, out, "image: shorter-side=36 crop=32 lengths=no")
    made = []
    for image in decoded(images):
        height, width, _ = image.shape
        short = min(height, width)
        to = [36 if side == short else int(36 * side / short) for side in (height, width)]
        top, left = (int(round((side - 32) / 2.0)) for side in to)
        made.append(as_uint8(tf.image.resize(image, to))[top : top + 32, left : left + 32])
    assert_output(out, {"image": np.stack(made)})


def test_images_are_padded_without_resizing(mixed, out):
    images, path = mixed
    convert(path, out, "image: pad=max value=3")
    pixels = decoded(images)
    largest = np.max([image.shape for image in pixels], axis=0)
    rows = np.full((len(pixels), *largest), 3, np.uint8)
    for row, image in zip(rows, pixels, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    assert_output(out, {"image": rows, "image.lengths": np.array([image.shape for image in pixels])})


def test_images_may_be_ragged(mixed, out):
    images, path = mixed
    convert(path, out, "image: ragged")
    assert [np.array(one).tolist() for one in read_ragged(out, "image")] == [i.tolist() for i in decoded(images)]


def test_the_seed_example(tmp_path, out):
    """A 2x2 and a 3x3 array of floats become one of 2x3x3."""
    arrays = [np.arange(4, dtype=np.float32).reshape(2, 2), np.arange(9, dtype=np.float32).reshape(3, 3)]
    records = [example({"a": strings(tf.io.serialize_tensor(array).numpy())}) for array in arrays]
    convert(write(tmp_path / "a", records), out, "a: resize=3x3")
    made = [tf.image.resize(array[..., None], (3, 3)).numpy()[..., 0] for array in arrays]
    assert_output(out, {"a": np.stack(made), "a.sizes": np.array([[2, 2], [3, 3]])})


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "uint16", "float64"])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "area"])
def test_numbers_of_any_dtype_are_resized(tmp_path, out, dtype, method):
    """They keep their dtype: whole numbers are rounded half to even and clipped."""
    rng = np.random.default_rng(5)
    arrays = [(rng.random((h, w, 2)) * 250).astype(dtype) for h, w in [(5, 9), (12, 3), (7, 7)]]
    records = [example({"a": strings(tf.io.serialize_tensor(array).numpy())}) for array in arrays]
    convert(write(tmp_path / "a", records), out, f"a: resize=6x8 lengths=no method={method}")
    if method == "nearest":
        made = [tf.image.resize(array, (6, 8), method).numpy() for array in arrays]
    else:
        made = [tf.image.resize(array.astype(np.float32), (6, 8), method).numpy() for array in arrays]
    made = np.stack(made)
    if np.issubdtype(np.dtype(dtype), np.integer):
        limits = np.iinfo(dtype)
        made = np.clip(np.rint(made.astype(np.float64)), limits.min, limits.max)
    assert_output(out, {"a": made.astype(dtype)})


def test_lists_with_their_shape_in_other_features_are_resized(tmp_path, out):
    rows = [(np.arange(h * w) * 3 % 251, h, w) for h, w in [(4, 6), (5, 5), (9, 2)]]
    records = [example({"x": ints(*values), "h": ints(h), "w": ints(w)}) for values, h, w in rows]
    convert(write(tmp_path / "a", records), out, "x: reshape=h,w resize=4x4 dtype=float32 lengths=no")
    made = [tf.image.resize(values.reshape(h, w, 1).astype(np.float32), (4, 4))[..., 0] for values, h, w in rows]
    assert_output(out, {"x": np.stack(made)})


# --- Samples ---------------------------------------------------------------------------------------------------------


def test_images_of_one_size_are_one_array_without_a_word(tmp_path, out):
    images = pngs([(28, 28)] * 7, channels=1)
    convert(write(tmp_path / "a", records_of(images)), out)
    assert_output(out, {"image": np.stack(decoded(images))})


def test_images_of_many_sizes_stay_encoded_without_a_word(mixed, out):
    images, path = mixed
    convert(path, out)
    assert read_ragged(out, "image") == [[image] for image in images]


@pytest.mark.parametrize("channels", [1, 3])
def test_channels(tmp_path, out, channels):
    images = jpegs(channels=1) + jpegs() + pngs(channels=4)[:3] * (channels == 3)
    convert(write(tmp_path / "a", records_of(images)), out, f"image: channels={channels} resize=20x20 lengths=no")
    made = [tf.image.resize(image, (20, 20)) for image in decoded(images, channels=channels)]
    assert_output(out, {"image": np.stack([as_uint8(image) for image in made])})


def test_different_channels_are_an_error_that_names_both(tmp_path, out):
    images = jpegs() + jpegs(channels=1)[:2]
    path = write(tmp_path / "a", records_of(images))
    said = convert(path, out, "image: resize=20x20", code=FAILED).stderr
    assert "element 8" in said and "element 0" in said and "channels=3" in said
    assert not out.exists()


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_ratio(tmp_path, out, ratio):
    images = jpegs()
    convert(write(tmp_path / "a", records_of(images)), out, f"image: ratio={ratio} resize=16x16")
    made = [tf.image.resize(tf.io.decode_jpeg(image, ratio=ratio), (16, 16)) for image in images]
    assert_output(out, {"image": np.stack([as_uint8(i) for i in made]), "image.sizes": sizes_of(decoded(images))})


def test_accurate_samples(tmp_path, out):
    images = jpegs()
    convert(write(tmp_path / "a", records_of(images)), out, "image: decode=accurate ragged")
    made = [tf.io.decode_jpeg(image, dct_method="INTEGER_ACCURATE").numpy().tolist() for image in images]
    assert [np.array(one).tolist() for one in read_ragged(out, "image")] == made


def test_sixteen_bits(tmp_path, out):
    rng = np.random.default_rng(1)
    arrays = [rng.integers(0, 65536, (9, 11, 3), np.uint16) for _ in range(3)]
    images = [tf.io.encode_png(array).numpy() for array in arrays]
    path = write(tmp_path / "a", records_of(images))
    convert(path, out, "image: decode=tf:uint16")
    assert_output(out, {"image": np.stack(arrays)})
    other = out.with_name("other")
    convert(path, other, "image: decode=tf:uint16 resize=5x6 lengths=no")
    made = [tf.image.resize(array, (5, 6)) for array in arrays]
    assert_output(other, {"image": np.stack([np.clip(np.rint(one), 0, 65535) for one in made]).astype(np.uint16)})


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NORMALISED = "scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225"


def normalised(image):
    return (tf.cast(image, tf.float32) * (1 / 255) - tf.constant(MEAN)) / tf.constant(STD)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_normalised_samples(mixed, out, layout, dtype):
    images, path = mixed
    convert(path, out, f"image: resize=30x20 {NORMALISED} layout={layout} dtype={dtype} lengths=no")
    made = np.stack([normalised(tf.image.resize(image, (30, 20))) for image in decoded(images)])
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    assert_output(out, {"image": (made if layout == "nhwc" else made.transpose(0, 3, 1, 2)).astype(kind)})


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_samples_are_normalised_without_resizing(tmp_path, out, layout):
    images = pngs([(28, 40)] * 5)
    path = write(tmp_path / "a", records_of(images))
    convert(path, out, f"image: {NORMALISED} layout={layout}")
    made = np.stack([normalised(image) for image in decoded(images)])
    assert_output(out, {"image": made if layout == "nhwc" else made.transpose(0, 3, 1, 2)})


@pytest.mark.parametrize("words", ["", "resize=20x30", "resize-with-pad=20x30", "resize=20x30 keep-aspect value=9"])
def test_channels_first(mixed, tmp_path, words):
    images, path = mixed
    convert(path, tmp_path / "last", f"image: {words or 'pad=max'}")
    convert(path, tmp_path / "first", f"image: {words or 'pad=max'} layout=nchw")
    assert_npy(tmp_path / "first/image.npy", load(tmp_path / "last/image.npy").transpose(0, 3, 1, 2))


# --- Formats ---------------------------------------------------------------------------------------------------------


def test_real_images(out):
    """Every real photograph and test image that TensorFlow decodes, resized."""
    data = os.environ.get("LITHIFY_TEST_DATA")
    if not data:
        pytest.skip("LITHIFY_TEST_DATA is not set")
    images = []
    for path in sorted(pathlib.Path(data, "images").rglob("*.*")):
        try:
            decoded([path.read_bytes()], channels=3)
            images.append(path.read_bytes())
        except (tf.errors.InvalidArgumentError, tf.errors.InternalError):
            continue
    # WebP with alpha is not to be had with three channels.
    assert len(images) > 70
    path = write(out.with_name("real"), records_of(images))
    convert(path, out, "image: channels=3 resize=33x44 lengths=no")
    made = [tf.image.resize(image, (33, 44)) for image in decoded(images, channels=3)]
    assert_output(out, {"image": np.stack([as_uint8(np.squeeze(image)) for image in made])})


# --- What is wrong ---------------------------------------------------------------------------------------------------


def test_a_broken_image_is_a_bad_element(tmp_path, out):
    images = jpegs([(40, 50)] * 6)
    images[2] = images[2][: len(images[2]) // 2]
    images[4] = b"\xff\xd8\xff" + images[4][40:]
    path = write(tmp_path / "a", records_of(images))
    said = convert(path, out, "image: resize=20x20", code=FAILED).stderr
    assert "element 2" in said or "element 4" in said
    assert "the image cannot be decoded" in said
    convert(path, out, "image: resize=20x20 lengths=no", options=["--on-error", "skip"], code=SKIPPED)
    good = [image for number, image in enumerate(images) if number not in (2, 4)]
    made = [tf.image.resize(image, (20, 20)) for image in decoded(good)]
    assert_npy(out / "image.npy", np.stack([as_uint8(image) for image in made]))


@pytest.mark.parametrize("words", [
    "resize=0x4", "resize=4", "resize=4x4 pad=max", "crop=4", "keep-aspect", "method=cubic resize=4x4", "shorter-side=9",
    "channels=5", "scale=a", "std=0", "mean=1,2 resize=4x4", "layout=hwc", "antialias", "central-crop=1.5",
])
def test_requests_that_cannot_be_meant(mixed, out, words):
    _, path = mixed
    if words == "resize=4":
        convert(path, out, f"image: {words}")
        return
    convert(path, out, f"image: {words}", code=USAGE)
    assert not out.exists()


def test_an_image_that_is_too_large_for_the_budget_is_refused_with_the_numbers(tmp_path, out):
    huge = tf.io.encode_png(np.zeros((9000, 9000, 1), np.uint8), compression=9).numpy()
    path = write(tmp_path / "a", records_of([huge, *pngs(channels=1)]))
    said = convert(path, out, "image: resize=20x20", options=["--memory", "64MiB"], code=FAILED).stderr
    assert "MiB of memory" in said and "--memory" in said
    convert(path, out, "image: resize=20x20", options=["--memory", "1GiB"])


@pytest.mark.parametrize("options", [["--threads", "1"], ["--threads", "7"], ["--io", "mapped"], ["--memory", "64MiB"]])
def test_output_does_not_depend_on_how_it_is_made(mixed, tmp_path, options):
    images, _ = mixed
    path = write(tmp_path / "many", records_of(images * 40))
    convert(path, tmp_path / "one", f"image: resize=64x64 {NORMALISED}")
    convert(path, tmp_path / "other", f"image: resize=64x64 {NORMALISED}", options=options)
    assert_same_output(tmp_path / "one", tmp_path / "other")


def test_the_scan_tells_sizes(mixed):
    images, path = mixed
    found = scan(path)["features"]["image"]["images"]
    sizes = sizes_of(decoded(images))
    assert found["channels"] == [3]
    assert [found["heights"][key] for key in ("min", "max")] == [sizes[:, 0].min(), sizes[:, 0].max()]
    assert [found["widths"][key] for key in ("min", "max")] == [sizes[:, 1].min(), sizes[:, 1].max()]
    assert "makes images of one size" in run("scan", path).stdout


# --- Folders ---------------------------------------------------------------------------------------------------------


def folder(path, classes):
    """Image files in a folder for each class; gives them in the order of their paths."""
    found = []
    for name, images in classes.items():
        (path / name).mkdir(parents=True)
        for number, image in enumerate(images):
            ending = "jpg" if image.startswith(b"\xff\xd8") else "png"
            (path / name / f"{number:03}.{ending}").write_bytes(image)
    for file in sorted(path.rglob("*.*")):
        found.append((file, file.read_bytes()))
    return found


def test_a_folder_of_classes(tmp_path, out):
    """Labels are the numbers of the classes by name, as in tf.keras.utils.image_dataset_from_directory."""
    files = folder(tmp_path / "photos", {"dog": jpegs(), "cat": pngs()[:5], "eel/deep": jpegs()[:2], "empty": []})
    (tmp_path / "photos/notes.txt").write_text("not an image")
    (tmp_path / "photos/LICENSE").write_text("not an image")
    (tmp_path / "photos/cat/.hidden.jpg").write_text("not an image")
    convert(tmp_path / "photos", out, "image: resize=32x24", "label: dtype=uint8", "name")
    pixels = decoded([image for _, image in files])
    assert_npy(out / "image.npy", np.stack([as_uint8(tf.image.resize(one, (32, 24))) for one in pixels]))
    names = [str(path.relative_to(tmp_path / "photos")) for path, _ in files]
    labels = [["cat", "dog", "eel"].index(name.split("/")[0]) for name in names]
    assert_npy(out / "label.npy", np.array(labels, np.uint8))
    assert_npy(out / "name.npy", np.array(names, "S"))
    assert json.loads((out / "lithify.json").read_text())["classes"] == {"label": ["cat", "dog", "eel"]}
    # Keras takes hidden files and empty classes, too.
    (tmp_path / "photos/cat/.hidden.jpg").unlink()
    (tmp_path / "photos/empty").rmdir()
    keras = tf.keras.utils.image_dataset_from_directory(
        tmp_path / "photos", shuffle=False, image_size=(32, 24), batch_size=None, verbose=False
    )
    made = [(as_uint8(image), int(label)) for image, label in keras]
    assert [label for _, label in made] == labels
    assert_npy(out / "image.npy", np.stack([image for image, _ in made]))
    run("verify", out, "--against-source")


def test_a_flat_folder_and_single_files(tmp_path, out):
    files = folder(tmp_path / "photos", {".": jpegs()})
    convert(tmp_path / "photos", out, options=["--resize", "20x20", "--lengths", "no", "-f", "image"])
    expected = np.stack([as_uint8(tf.image.resize(one, (20, 20))) for one in decoded([image for _, image in files])])
    assert_npy(out / "image.npy", expected)
    assert set(scan(tmp_path / "photos")["features"]) == {"image", "name"}
    other = out.with_name("other")
    convert([path for path, _ in files], other, "image: resize=20x20")
    assert_npy(other / "image.npy", expected)


def test_a_broken_file_is_named(tmp_path, out):
    files = folder(tmp_path / "photos", {"a": jpegs(), "b": pngs()})
    files[3][0].write_bytes(files[3][1][:-300])
    files[10][0].write_bytes(b"")
    said = convert(tmp_path / "photos", out, "image: resize=20x20", code=FAILED).stderr
    assert str(files[10][0]) in said and "element 10" in said
    done = convert(tmp_path / "photos", out, "image: resize=20x20", options=["--on-error", "skip"], code=SKIPPED)
    good = [image for number, (_, image) in enumerate(files) if number not in (3, 10)]
    assert_npy(out / "image.npy", np.stack([as_uint8(tf.image.resize(i, (20, 20))) for i in decoded(good)]))
    skipped = json.loads((out / "lithify.json").read_text())["skipped"]
    assert [one["place"]["file"] for one in skipped] == [str(files[3][0]), str(files[10][0])], done.stderr


def test_a_folder_does_not_depend_on_how_it_is_read(tmp_path):
    folder(tmp_path / "photos", {name: jpegs() + pngs() for name in "abcdefg"})
    convert(tmp_path / "photos", tmp_path / "one", "image: resize=64x64", "label", options=["--threads", "1"])
    convert(tmp_path / "photos", tmp_path / "other", "image: resize=64x64", "label", options=["--threads", "5"])
    assert_same_output(tmp_path / "one", tmp_path / "other")


def test_a_folder_that_changes_is_told(tmp_path, out):
    files = folder(tmp_path / "photos", {"a": jpegs()})
    run("plan", tmp_path / "photos", "--to", out, "-o", tmp_path / "plan.json", "-f", "image: resize=8x8")
    files[0][0].with_name("new.jpg").write_bytes(files[0][1])
    assert "has changed" in run("write", tmp_path / "plan.json", code=FAILED).stderr
