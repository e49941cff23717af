"""The files themselves: what `np.save` writes, under the names that were asked for, by every way to write them."""

import json

import numpy as np
import pytest
import tensorflow as tf

from oracle import (
    arrays_in,
    assert_npy,
    assert_output,
    assert_same_output,
    convert,
    example,
    examples,
    fixed,
    fixed_strings,
    floats,
    ints,
    lengths,
    load,
    ragged,
    run,
    strings,
    unset,
    wants,
    write,
)

RECORDS = [
    example(
        {
            "label": ints(n),
            "tokens": ints(*range(n % 4)),
            "score": floats(n / 3),
            "name": strings(b"n%d" % n),
            "image": strings(np.full((n % 3 + 1, 2), n, np.uint8).tobytes()),
            "rows": ints(n % 3 + 1),
            "weight": unset() if n % 5 else floats(n),
        }
    )
    for n in range(23)
]
WANTED = [
    "tokens: pad=max value=-1 dtype=int16 mask",
    "image: decode=raw:uint8 reshape=rows,2 rename=pixels",
    "weight: default=0.5 present",
    "name",
    "score: dtype=bfloat16",
    "label: rename=a/b",
]


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "a.tfrecord", RECORDS)


def expected():
    """The arrays that WANTED asks for, by TensorFlow."""
    tokens = ragged(RECORDS, "tokens", tf.int64)
    pixels = tf.ragged.stack([tf.io.decode_raw(body, tf.uint8) for body in fixed(RECORDS, "image", tf.string)])
    rows = fixed(RECORDS, "rows", tf.int64)
    return {
        "tokens": tf.cast(tokens.to_tensor(-1), tf.int16).numpy(),
        "tokens.lengths": lengths(tokens),
        "tokens.mask": tf.sequence_mask(tokens.row_lengths()).numpy(),
        # Only the first axis differs, so that its rows are whole.
        "pixels.values": pixels.values.numpy().reshape(-1, 2),
        "pixels.offsets": np.concatenate([[0], np.cumsum(rows)]).astype(np.int64),
        "weight": fixed(RECORDS, "weight", tf.float32, (), 0.5),
        "weight.present": np.arange(23) % 5 == 0,
        "name": fixed_strings(fixed(RECORDS, "name", tf.string)),
        "score": tf.cast(fixed(RECORDS, "score", tf.float32), tf.bfloat16).numpy(),
        "a/b": fixed(RECORDS, "label", tf.int64),
    }


# --- one way to say it, and others -----------------------------------------------------------------------------------


def test_several_features_in_their_ways(source, out):
    convert(source, out, *WANTED)
    assert_output(out, expected())


def test_a_feature_that_gives_a_shape_may_be_wanted_itself(tmp_path, out):
    records = [example({"x": strings(bytes(range(2 * n))), "n": ints(n)}) for n in (3, 1, 2)]
    convert(write(tmp_path / "a", records), out, "x: decode=raw:uint8 reshape=n,2 pad=max lengths=no", "n: dtype=int8")
    rows = [tf.reshape(tf.io.decode_raw(body, tf.uint8), (-1, 2)) for body in fixed(records, "x", tf.string)]
    sizes = tf.cast(fixed(records, "n", tf.int64), tf.int8).numpy()
    assert_output(out, {"x": tf.ragged.stack(rows).to_tensor().numpy(), "n": sizes})


def test_a_plan_that_is_written_gives_what_convert_gives(source, tmp_path, out):
    convert(source, out / "converted", *WANTED)
    run("plan", source, "--to", out / "planned", "--output", tmp_path / "plan.json", *wants(WANTED), "--quiet")
    assert not (out / "planned").exists()
    run("write", tmp_path / "plan.json", "--quiet")
    assert_output(out / "planned", expected())
    assert_same_output(out / "planned", out / "converted")


def test_a_recipe_says_the_same(source, tmp_path, out):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        [feature.tokens]
        pad = "max"
        value = -1
        dtype = "int16"
        mask = true
        [feature.image]
        decode = "raw:uint8"
        reshape = ["rows", 2]
        rename = "pixels"
        [feature.weight]
        default = 0.5
        present = true
        [feature.name]
        [feature.score]
        dtype = "bfloat16"
        [feature.label]
        rename = "a/b"
        """
    )
    convert(source, out, options=["--recipe", recipe])
    assert_output(out, expected())


LISTS = [strings(b"x"), strings(b"y", b"z"), None]
# Recipes that say what the notation of the command line cannot, because of blanks: the recipe, the lists under the name
# it is about, the arrays that must come of it.
BLANKS = {
    "a colon and a blank in a name": (
        "a: b",
        '[feature."a: b"]\ndtype = "int8"',
        [ints(1), ints(2)],
        {"a: b": np.array([1, 2], np.int8)},
    ),
    "a blank at the end of a name": (
        "a ",
        '[feature."a "]\ndtype = "int8"',
        [ints(1), ints(2)],
        {"a ": np.array([1, 2], np.int8)},
    ),
    "a blank in a new name": (
        "a",
        '[feature.a]\nrename = "my array"',
        [ints(1), ints(2)],
        {"my array": np.array([1, 2])},
    ),
    "a blank to pad with": (
        "a",
        '[feature.a]\npad = "max"\nvalue = " "\nlengths = false',
        LISTS,
        {"a": np.array([[b"x", b" "], [b"y", b"z"], [b" ", b" "]])},
    ),
    "a blank in a default": (
        "a",
        '[feature.a]\ndefault = "p q"',
        [strings(b"wide"), None],
        {"a": np.array([b"wide", b"p q"])},
    ),
}


@pytest.mark.parametrize("what", BLANKS)
def test_a_recipe_may_hold_blanks(tmp_path, out, what):
    """And what was made by it can be verified and planned as any other output can."""
    name, text, features, arrays = BLANKS[what]
    source = write(tmp_path / "in", examples(name, features))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    convert(source, out / "converted", options=["--recipe", recipe])
    assert_output(out / "converted", arrays)
    run("verify", out / "converted", "--against-source")
    run("plan", source, "--to", out / "planned", "--output", tmp_path / "plan", "--recipe", recipe, "--quiet")
    run("write", tmp_path / "plan", "--quiet")
    assert_output(out / "planned", arrays)


def test_flags_say_the_same_of_one_feature(source, out):
    flags = ["--pad", "6", "--value", "-1", "--dtype", "int16", "--side", "left"]
    convert(source, out, "tokens", options=flags)
    tokens = ragged(RECORDS, "tokens", tf.int64)
    padded = tf.keras.preprocessing.sequence.pad_sequences([row.numpy() for row in tokens], 6, "int16", value=-1)
    assert_output(out, {"tokens": padded, "tokens.lengths": lengths(tokens)})


def test_a_dry_run_tells_what_will_be_written(source, out):
    done = convert(source, out, *WANTED, options=["--dry-run", "--json"])
    assert not out.exists()
    told = {array["file"].removesuffix(".npy"): array for array in json.loads(done.stdout)["arrays"]}
    assert set(told) == set(expected())
    for name, array in expected().items():
        assert told[name]["shape"] == list(array.shape)
        assert told[name]["bytes"] == array.nbytes


def test_the_only_feature_need_not_be_named(tmp_path, out):
    records = examples("x", [ints(1, 2), ints(3)])
    convert(write(tmp_path / "a", records), out, options=["--pad", "max"])
    assert_output(out, {"x": ragged(records, "x", tf.int64).to_tensor().numpy(), "x.lengths": np.array([2, 1])})


# --- one file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["score", "other"])
def test_one_file_under_the_name_that_was_given(source, tmp_path, name):
    """Whether or not it is that of the feature."""
    target = tmp_path / "single"
    convert(source, target / f"{name}.npy", "score")
    assert_output(target, {name: fixed(RECORDS, "score", tf.float32)})
    run("verify", target / f"{name}.npy", "--against-source")


@pytest.mark.parametrize("name", ["tokens", "other"])
def test_one_file_with_its_lengths_and_mask_beside_it(source, tmp_path, name):
    target = tmp_path / "single"
    convert(source, target / f"{name}.npy", "tokens: pad=max mask")
    tokens = ragged(RECORDS, "tokens", tf.int64)
    mask = tf.sequence_mask(tokens.row_lengths()).numpy()
    arrays = {name: tokens.to_tensor().numpy(), f"{name}.lengths": lengths(tokens), f"{name}.mask": mask}
    assert_output(target, arrays)


def test_one_file_leaves_its_neighbours_alone(source, tmp_path):
    """Also one that is called as the feature is."""
    target = tmp_path / "single"
    target.mkdir()
    (target / "score.npy").write_bytes(b"something else")
    convert(source, target / "other.npy", "score")
    assert (target / "score.npy").read_bytes() == b"something else"
    assert_npy(target / "other.npy", fixed(RECORDS, "score", tf.float32))


def test_one_file_of_a_feature_in_a_folder(tmp_path):
    records = examples("a/b", [ints(1), ints(2)])
    convert(write(tmp_path / "in", records), tmp_path / "single" / "labels.npy", "a/b")
    assert_output(tmp_path / "single", {"labels": fixed(records, "a/b", tf.int64)})


def test_overwriting_replaces_all_of_an_output(source, out):
    convert(source, out, *WANTED)
    convert(source, out, "label", code=1)
    assert_output(out, expected())
    convert(source, out, "label", options=["--overwrite"])
    assert_output(out, {"label": fixed(RECORDS, "label", tf.int64)})


# --- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 9, 10, 99, 1000])
@pytest.mark.parametrize(
    "shape", [(), (3,), (1, 2), (2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), (0, 5)], ids=str
)
def test_headers_of_every_length(tmp_path, out, rows, shape):
    """A header grows with the digits of its shape, and must end where that of NumPy does."""
    count = int(np.prod(shape))
    records = [example({"x": floats(*range(count))})] * rows
    reshape = f" reshape={','.join(map(str, shape))}" if len(shape) > 1 else ""
    convert(write(tmp_path / "a", records), out, f"x:{reshape}")
    assert_output(out, {"x": fixed(records, "x", tf.float32, shape)})


def test_arrays_can_be_read_in_slices(source, out):
    """What a memory map is for."""
    convert(source, out, "tokens: pad=max")
    rows = ragged(RECORDS, "tokens", tf.int64).to_tensor().numpy()
    array = load(out / "tokens.npy")
    assert not array.flags.writeable
    np.testing.assert_array_equal(array[5:9, 1:], rows[5:9, 1:])
    np.testing.assert_array_equal(array[[3, 1, 22]], rows[[3, 1, 22]])
    assert arrays_in(out) == {"tokens", "tokens.lengths"}
