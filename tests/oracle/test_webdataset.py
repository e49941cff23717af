"""Tar files of samples, against the library that made them a convention."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from oracle import FAILED, SKIPPED, assert_npy, convert, fixed_strings, read_any, read_ragged, run, scan

DATA = Path(os.environ.get("LITHIFY_TEST_DATA", "")) / "webdataset"
RNG = np.random.default_rng(5)
HIDDEN = ("__url__", "__local_path__")


def samples(*paths, decode=True):
    """The samples as the library gives them."""
    dataset = webdataset.WebDataset([str(path) for path in paths], shardshuffle=False, empty_check=False)
    dataset = dataset.decode() if decode else dataset
    return [{name: value for name, value in sample.items() if name not in HIDDEN} for sample in dataset]


def as_array(value):
    """A component as an array; text and what else is bytes as an object."""
    if isinstance(value, dict):
        value = json.dumps(value)
    if isinstance(value, str):
        value = value.encode()
    return np.asarray(value, object if isinstance(value, bytes) else None)


def check(sources, output, options=(), decode=True):
    """Every component of every sample is what the library gives."""
    sources = sources if isinstance(sources, list) else [sources]
    wanted = samples(*sources, decode=decode)
    convert(sources, output, options=options)
    assert scan(sources, *[word for word in options if word in ("--from", "webdataset-raw")])["elements"] == len(wanted)
    for name in wanted[0]:
        arrays = [as_array(sample[name]) for sample in wanted if name in sample]
        exact = output / f"{name}.npy"
        if exact.exists():
            stacked = np.stack(arrays)
            if stacked.dtype.kind == "U":
                stacked = np.char.encode(stacked, "utf-8")
            assert_npy(exact, fixed_strings(stacked) if stacked.dtype == object else stacked)
            continue
        found = read_ragged(output, name)
        found = [x for x, sample in zip(found, wanted, strict=True) if name in sample]
        if arrays[0].dtype == object:
            assert [list(x) for x in found] == [[x.item()] for x in arrays]
        else:
            assert found == [x.tolist() for x in arrays]
    return wanted


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def png(height, width):
    stream = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (height, width, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write(path, members, format=tarfile.PAX_FORMAT, mode="w"):
    """A tar file of these members, in this order."""
    with tarfile.open(path, mode, format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data or b""))
    return path


def everything(count=40, prefix=""):
    """Members of everything that a sample can have."""
    for n in range(count):
        key = f"{prefix}{n:05}"
        yield f"{key}.cls", f" {n % 7}\n".encode()
        yield f"{key}.Txt", ("zwölf " * (n % 9)).encode()
        yield f"{key}.box.json", json.dumps([[n, n + 1], [n + 2, -n]]).encode()
        yield f"{key}.score.json", json.dumps(n / 3 if n % 2 else n).encode()
        yield f"{key}.meta.json", json.dumps({"n": n, "s": ["x"] * (n % 3)}).encode()
        yield f"{key}.a.npy", npy(np.asfortranarray(RNG.normal(size=(3, 4)).astype(">f4")))
        yield f"{key}.v.npy", npy(np.arange(n % 5, dtype="i2"))
        yield f"{key}.w.npy", npy(np.array([["ab", "zwölf"], ["", "日"]]))
        yield f"{key}.index.gz", gzip.compress(str(n).encode())
        yield f"{key}.bin", os.urandom(n * 50)


FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_everything_that_a_sample_has(tmp_path, format, mode):
    path = write(tmp_path / "a.tar", everything(), format, mode)
    wanted = samples(path)
    convert(path, tmp_path / "out")
    out = tmp_path / "out"
    keys = [sample["__key__"] for sample in wanted]
    assert_npy(out / "__key__.npy", np.array(keys, "S"))
    assert_npy(out / "cls.npy", np.array([sample["cls"] for sample in wanted]))
    assert_npy(out / "index.gz.npy", np.array([sample["index.gz"] for sample in wanted]))
    assert_npy(out / "box.json.npy", np.array([sample["box.json"] for sample in wanted]))
    assert_npy(out / "score.json.npy", np.array([sample["score.json"] for sample in wanted]))
    assert_npy(out / "a.npy.npy", np.array([sample["a.npy"] for sample in wanted]).astype("<f4"))
    assert_npy(out / "w.npy.npy", np.char.encode(wanted[0]["w.npy"][None].repeat(len(wanted), 0), "utf-8"))
    assert read_ragged(out, "v.npy") == [sample["v.npy"].tolist() for sample in wanted]
    for name in ("txt", "bin"):
        assert [x for [x] in read_any(out, name)] == [as_array(sample[name]).item() for sample in wanted]
    texts = [json.loads(text) for text in np.load(out / "meta.json.npy")]
    assert texts == [sample["meta.json"] for sample in wanted]


@pytest.mark.parametrize("format", FORMATS)
def test_raw_keeps_every_byte(tmp_path, format):
    path = write(tmp_path / "a.tar", everything(), format)
    check(path, tmp_path / "out", ("--from", "webdataset-raw"), decode=False)


@pytest.mark.parametrize("format", FORMATS)
def test_keys_are_split_and_joined_as_the_library_does(tmp_path, format):
    long = "d" * 90 + "/" + "e" * 90
    longer = "x" * 300 if format != tarfile.USTAR_FORMAT else "y"
    members = [
        ("dir", None),
        ("README", b"no sample"),
        (".hidden.txt", b"no sample"),
        ("__meta__", b"no sample"),
        ("__meta__/x.txt", b"no sample"),
        ("dir.x/001.seg.png", b"1"),
        ("dir.x/001.TXT", b"2"),
        ("other", None),
        ("dir.x/001.json", b"{}"),
        ("a/002.txt", b"3"),
        ("b/002.txt", b""),
        ("./003.txt", b"4"),
        ("dir/.x.txt", b"5"),
        ("003.txt", b"6"),
        ("b/002.txt", b"7"),
        (f"{long}.txt", b"8"),
        (f"{long}.cls", b"9"),
        (f"{longer}.txt", b"10"),
        (f"{longer}.cls", b"11"),
        ("grüße/ü.txt", b"12"),
        ("end", b"no sample"),
    ]
    path = write(tmp_path / "a.tar", members, format)
    assert len(check(path, tmp_path / "out")) == 10
    assert len(check(path, tmp_path / "raw", ("--from", "webdataset-raw"), decode=False)) == 10


def test_shards_do_not_share_samples(tmp_path):
    paths = []
    for shard in range(4):
        members = [(f"{n}.txt", f"{shard} {n}".encode()) for n in range(shard, 5)]
        paths.append(write(tmp_path / f"{shard}.tar", members))
    write(tmp_path / "0.tar", [])
    with pytest.raises(AssertionError):
        convert(tmp_path / "0.tar", tmp_path / "none")
    assert len(check(paths[1:], tmp_path / "out")) == 9


def test_images_are_decoded(tmp_path):
    path = write(tmp_path / "a.tar", ((f"{n}.png", png(5 + n, 9)) for n in range(6)))
    convert(path, tmp_path / "out", "png: pad=max")
    wanted = samples(path, decode=False)
    images = [np.asarray(Image.open(io.BytesIO(sample["png"]))) for sample in wanted]
    found = np.load(tmp_path / "out" / "png.npy")
    for n, image in enumerate(images):
        assert np.array_equal(found[n, : 5 + n], image)


@pytest.mark.parametrize("format", FORMATS)
def test_a_large_file_is_read_in_spans(tmp_path, format):
    """Of more than one span, with samples of two and three members, of which some are long."""

    def members():
        for n in range(3000):
            folder = "f" * 120 + f"/{n:06}"
            yield f"{folder}.cls", str(n).encode()
            yield f"{folder}.bin", bytes([n % 251]) * (n * 37 % 60_000)
            if n % 3 == 0:
                yield f"{folder}.txt", b"x" * (n % 50)

    path = write(tmp_path / "a.tar", members(), format)
    assert path.stat().st_size > 80 << 20
    wanted = [n for n in range(3000)]
    for threads in (1, 4):
        out = tmp_path / f"out{threads}"
        convert(path, out, options=("--threads", threads))
        assert_npy(out / "cls.npy", np.array(wanted))
        values, offsets = np.load(out / "bin.values.npy"), np.load(out / "bin.offsets.npy")
        lengths = [n * 37 % 60_000 for n in wanted]
        assert np.array_equal(np.diff(offsets), lengths)
        assert np.array_equal(values, np.repeat(np.array(wanted) % 251, lengths).astype(np.uint8))


def test_damage_is_told_and_left_out(tmp_path):
    members = [(f"{n:03}.{kind}", data) for n in range(50) for kind, data in (("cls", str(n).encode()), ("bin", b"x" * 900))]
    whole = write(tmp_path / "whole.tar", members).read_bytes()
    sample = 512 * (1 + 1 + 1 + 2)
    path = tmp_path / "a.tar"

    def told(data, *words, kept):
        path.write_bytes(data)
        message = run("convert", path, "-o", tmp_path / "no", code=FAILED).stderr
        for word in words:
            assert word in message
        out = tmp_path / f"out-{words[0]}"
        convert(path, out, options=("--on-error", "skip"), code=SKIPPED)
        assert np.load(out / "cls.npy").tolist() == kept

    # A header in the middle of a sample, or at its start: who knows which? So the samples on both sides are lost.
    at = 7 * sample
    damaged = bytearray(whole)
    damaged[at + 1024] ^= 1
    told(damaged, "element 7", f"byte {at}", "checksum", kept=[n for n in range(50) if n not in (7, 8)])
    damaged = bytearray(whole)
    damaged[9 * sample] ^= 1
    told(damaged, "element 8", "checksum", kept=[n for n in range(50) if n not in (8, 9)])
    damaged = bytearray(whole)
    damaged[20 * sample + 512 : 20 * sample + 514] = b"x0"
    told(damaged, "element 20", "no integer", kept=[n for n in range(50) if n != 20])
    told(whole[: 30 * sample + 700], "element 30", "cut", kept=list(range(30)))
    again = write(tmp_path / "again.tar", [*members[:6], ("002.bin", b"again"), *members[6:]]).read_bytes()
    told(again, "element 2", "two of this ending", kept=[n for n in range(50) if n != 2])
    told(whole + whole, "element 50", "after the mark of its end", kept=list(range(50)))


def test_json_that_changes_is_told(tmp_path):
    members = [(f"{n:05}.json", b"[1, 2]" if n < 2000 else b"{}") for n in range(2500)]
    path = write(tmp_path / "a.tar", members)
    message = run("convert", path, "-o", tmp_path / "no", code=FAILED).stderr
    assert "element 2000" in message and "webdataset-raw" in message
    members = [(f"{n}.json", b"1" if n % 2 else b'"x"') for n in range(20)]
    convert(write(tmp_path / "b.tar", members), tmp_path / "out")
    assert_npy(tmp_path / "out" / "json.npy", np.array([data for _, data in members]))


def test_an_output_is_verified_against_its_source(tmp_path):
    path = write(tmp_path / "a.tgz", everything(), mode="w:gz")
    convert(path, tmp_path / "out")
    run("verify", tmp_path / "out", "--against-source")


@pytest.mark.skipif(not DATA.is_dir(), reason="LITHIFY_TEST_DATA is not set to a directory of test data")
def test_real_files(tmp_path):
    raw = ("--from", "webdataset-raw")
    check(DATA / "compressed.tar", tmp_path / "raw", raw, decode=False)
    hopper = DATA / "pillow" / "hopper.tar"
    convert(hopper, tmp_path / "hopper", "jpg: decode=none ragged", "png: decode=none ragged", options=raw)
    for name in ("jpg", "png"):
        assert read_ragged(tmp_path / "hopper", name) == [[samples(hopper, decode=False)[0][name]]]
    check(DATA / "compressed.tar", tmp_path / "decoded")
    convert(DATA / "sample.tgz", tmp_path / "digits")
    wanted = samples(DATA / "sample.tgz")
    assert_npy(tmp_path / "digits" / "cls.npy", np.array([sample["cls"] for sample in wanted]))
    images = [np.asarray(Image.open(io.BytesIO(sample["png"]))) for sample in wanted]
    assert_npy(tmp_path / "digits" / "png.npy", np.array(images)[..., None])
