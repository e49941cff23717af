"""Sounds: WAV as `tf.audio.decode_wav` gives it, and what that does not read, FLAC too, as libsndfile (`soundfile`) gives it."""

import io
import shutil
import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from oracle import FAILED, SKIPPED, USAGE, arrays_in, assert_npy, convert, example, ints, load, manifest, pieces, run, scan, strings, write
from test_tfds import F, assert_equal, expected, store

SUBTYPES = [
    ("wav", "PCM_U8"),
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "PCM_32"),
    ("wav", "FLOAT"),
    ("wav", "DOUBLE"),
    ("wavex", "PCM_U8"),
    ("wavex", "PCM_16"),
    ("wavex", "PCM_24"),
    ("wavex", "PCM_32"),
    ("wavex", "FLOAT"),
    ("flac", "PCM_S8"),
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
]


def samples(seed, length, channels, kind="noise"):
    """Samples of a kind: the encoder chooses another way for each."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)[:, None] / 8000
    made = {
        "noise": lambda: rng.uniform(-1, 1, (length, channels)),
        "quiet": lambda: rng.normal(0, 0.001, (length, channels)),
        "tones": lambda: 0.6 * np.sin(2 * np.pi * rng.uniform(50, 2000, channels) * time + rng.normal(0, 0.01, (length, channels))),
        "alike": lambda: np.repeat(rng.normal(0, 0.2, (length, 1)), channels, 1) + rng.normal(0, 0.0005, (length, channels)),
        "still": lambda: np.zeros((length, channels)),
        "level": lambda: np.full((length, channels), 0.25),
        "square": lambda: np.sign(np.sin(time * 300)) * np.ones((1, channels)) * 0.999,
        "coarse": lambda: np.round(rng.uniform(-1, 1, (length, channels)) * 100) / 128,
    }
    return np.clip(made[kind](), -1, 1 - 2**-15)


def encoded(data, rate=16000, format="wav", subtype="PCM_16"):
    """A sound as a file's bytes."""
    out = io.BytesIO()
    soundfile.write(out, data, rate, format=format.upper(), subtype=subtype)
    return out.getvalue()


def wav(data, rate=16000, chunks=(), after=b"", size=None, riff=None, bits=16, tag=1, fmt=b""):
    """A WAV file by hand: chunks before the samples, bytes after them, and the sizes that it claims."""
    data = np.asarray(data, "<i2")
    channels = data.shape[1] if data.ndim > 1 else 1
    body = data.tobytes()
    frame = channels * bits // 8
    format = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + fmt
    before = b"".join(name + struct.pack("<I", len(text)) + text + pad for name, text, pad in chunks)
    whole = b"WAVE" + b"fmt " + struct.pack("<I", len(format)) + format + before
    whole += b"data" + struct.pack("<I", len(body) if size is None else size) + body + after
    return b"RIFF" + struct.pack("<I", len(whole) if riff is None else riff) + whole


def by_soundfile(file, dtype="float32"):
    return soundfile.read(io.BytesIO(file), dtype=dtype, always_2d=True)[0]


def records(files):
    return [example({"audio": strings(file)}) for file in files]


def elements(out, name="audio"):
    """The sounds of an output, ragged or all of one shape."""
    if (out / f"{name}.npy").exists():
        return list(load(out / f"{name}.npy"))
    values, offsets = load(out / f"{name}.values.npy"), load(out / f"{name}.offsets.npy")
    found = pieces(values, offsets)
    shapes = out / f"{name}.shapes.npy"
    return [piece.reshape(shape) for piece, shape in zip(found, load(shapes), strict=True)] if shapes.exists() else found


def assert_sounds(out, wanted, name="audio"):
    found = elements(out, name)
    assert len(found) == len(wanted)
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), number
        assert one.tobytes() == other.tobytes(), number


# --- What TensorFlow reads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_what_tensorflow_decodes(tmp_path, out, channels):
    rng = np.random.default_rng(channels)
    odd = [(b"JUNK", b"12345678", b"")]
    after = struct.pack("<4sI", b"LIST", 10) + b"INFOISFTab"
    files = [wav(rng.integers(-(2**15), 2**15, (length, channels)), after=after, fmt=fmt) for length in (0, 1, 7, 1000, 40_000) for fmt in (b"", b"\0\0")]
    files += [wav(rng.integers(-9, 9, (30, channels)), chunks=[(b"LIST", b"INFO" + b"x" * 30, b""), *odd])]
    files += [wav([[-32768] * channels, [32767] * channels])]
    decoded = [tf.audio.decode_wav(file) for file in files]
    path = write(tmp_path / "data", records(files))
    convert(path, out)
    assert_sounds(out, [sound.audio.numpy() for sound in decoded])
    assert manifest(out)["rates"] == {"audio": 16000} and {sound.sample_rate.numpy() for sound in decoded} == {16000}
    convert(path, out / "padded", "audio: pad=max")
    longest = max(sound.audio.shape[0] for sound in decoded)
    padded = tf.stack([tf.pad(sound.audio, [[0, longest - sound.audio.shape[0]], [0, 0]]) for sound in decoded])
    assert_npy(out / "padded/audio.npy", padded.numpy())
    for wanted in (1, 2, 3):
        convert(path, out / f"channels{wanted}", f"audio: channels={wanted}")
        assert_sounds(out / f"channels{wanted}", [tf.audio.decode_wav(file, desired_channels=wanted).audio.numpy() for file in files])


def test_exact_integers(tmp_path, out):
    rng = np.random.default_rng(3)
    made = [rng.integers(-(2**15), 2**15, (length, 2)).astype(np.int16) for length in (5, 900, 1)]
    path = write(tmp_path / "data", records([wav(data) for data in made] + [encoded(made[1], format="flac")]))
    for number, words in enumerate(["audio: dtype=int16", "audio: decode=audio:int16", "audio: decode=audio dtype=int16 ragged"]):
        convert(path, out / str(number), words)
        assert_sounds(out / str(number), [*made, made[1]])
    convert(path, out / "mono", "audio: decode=audio:mono channels=1 pad=10 truncate")
    assert load(out / "mono/audio.npy").shape == (4, 10)
    said = convert(path, out / "no", "audio: decode=audio:mono", code=FAILED).stderr
    assert "2 channels" in said


# --- What it does not read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format,subtype", SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_encoding(tmp_path, out, format, subtype, channels):
    kinds = ["noise", "quiet", "tones", "alike", "still", "level", "square", "coarse"]
    files = [encoded(samples(number, length, channels, kind), 22050, format, subtype) for number, kind in enumerate(kinds) for length in (1, 17, 5000, 9000)]
    path = write(tmp_path / "data", records(files))
    convert(path, out)
    assert_sounds(out, [by_soundfile(file) for file in files])
    assert manifest(out)["rates"] == {"audio": 22050}
    whole = subtype not in ("FLOAT", "DOUBLE")
    for dtype, fits in [("int16", subtype in ("PCM_U8", "PCM_S8", "PCM_16")), ("int32", whole)]:
        done = convert(path, out / dtype, f"audio: dtype={dtype}", code=None)
        assert (done.returncode == 0) == fits, done.stderr
        if fits:
            assert_sounds(out / dtype, [by_soundfile(file, dtype) for file in files])
        else:
            assert "integers are wanted" in done.stderr or "bits" in done.stderr


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_by_its_levels(tmp_path, out, subtype, level):
    """Each level of the encoder uses other predictors."""
    files = []
    for number, kind in enumerate(["noise", "tones", "alike", "quiet", "square"]):
        for channels in (1, 2, 8):
            buffer = io.BytesIO()
            soundfile.write(buffer, samples(number, 20_000, channels, kind), 44100, format="FLAC", subtype=subtype, compression_level=level)
            files.append(buffer.getvalue())
    convert(write(tmp_path / "data", records(files)), out)
    assert_sounds(out, [by_soundfile(file) for file in files])


def test_odd_files(tmp_path, out):
    data = np.arange(-50, 50).reshape(-1, 2)
    text = b"INFOISFT\x05\0\0\0abcde"
    sound = {
        "padded": wav(data, chunks=[(b"LIST", text, b"\0")]),
        "not padded": wav(data, chunks=[(b"LIST", text, b"")]),
        "garbage behind": wav(data, after=b"xyz"),
        "an odd number of bytes": wav(data, size=99),
        "a stream": wav(data, size=2**32 - 1, riff=2**32 - 1),
        "a stream of nothing yet": wav(data, size=0, riff=0),
        "a frame and a half": wav(data, size=6, after=b""),
    }
    wanted = {"an odd number of bytes": data[:24], "a frame and a half": data[:1]}
    path = write(tmp_path / "data", records(sound.values()))
    convert(path, out, "audio: dtype=int16")
    assert_sounds(out, [wanted.get(name, data).astype(np.int16) for name in sound])
    for name in ("padded", "garbage behind", "a stream"):
        np.testing.assert_array_equal(by_soundfile(sound[name], "int16"), data)
    for name in ("not padded", "a frame and a half"):
        try:
            found = tf.audio.decode_wav(sound[name]).audio.numpy()
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError):  # It says what it found, which may be no text.
            continue
        np.testing.assert_array_equal(found, wanted.get(name, data).astype(np.float32) / 2**15)


def test_damage_is_told(tmp_path, out):
    data = np.arange(-5000, 5000).reshape(-1, 2)
    flac = encoded(data.astype(np.int16), format="flac")
    flipped = bytearray(flac)
    flipped[len(flac) // 2] ^= 8
    bad = {
        "cut": wav(data)[:-2],
        "WAV data chunk": wav(data, size=10**6),
        "no chunk": wav(data)[:36],
        "flac cut": flac[:-20],
        "flac flipped": bytes(flipped),
        "a-law": wav(data, tag=6, bits=8),
        "no channels": wav(data.reshape(-1, 2)[:, :0]),
        "other bytes": b"RIFF\0\0\0\0WAVE",
        "twelve bits": wav(data, bits=12),
    }
    good = wav(data)
    for number, (name, file) in enumerate(bad.items()):
        path = write(tmp_path / f"data{number}", records([good, file, good]))
        said = convert(path, out / "no", "audio", code=FAILED).stderr
        assert "element 1" in said and "the sound cannot be decoded" in said, (name, said)
        convert(path, out / str(number), "audio", options=["--on-error", "skip"], code=SKIPPED)
        assert_sounds(out / str(number), [(data / 2**15).astype(np.float32)] * 2)


# --- Folders, tars, rates --------------------------------------------------------------------------------------------


def test_folders_of_classes(tmp_path, out):
    folder = tmp_path / "sounds"
    wanted, labels, names = [], [], []
    for label, name in enumerate(["cat", "dog"]):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            format = ["wav", "flac"][number % 2]
            file = encoded(samples(number, 4000 + 500 * number, 1, "tones"), 16000, format)
            (folder / name / f"{number}.{format}").write_bytes(file)
            wanted.append(by_soundfile(file))
            labels.append(label)
            names.append(f"{name}/{number}.{format}")
        (folder / name / "notes.txt").write_text("nothing to hear")
    assert scan(folder)["format"] == "audio-folder"
    text = run("scan", folder).stdout
    assert "16,000 samples a second" in text and "seconds" in text
    convert(folder, out)
    assert_sounds(out, wanted)
    assert_npy(out / "label.npy", np.array(labels))
    assert load(out / "name.npy").tolist() == [name.encode() for name in names]
    assert manifest(out)["classes"] == {"label": ["cat", "dog"]} and manifest(out)["rates"] == {"audio": 16000}
    run("verify", out, "--against-source", "--quiet")
    convert(folder, out / "padded", "audio: pad=max decode=audio:mono", "label")
    assert load(out / "padded/audio.npy").shape == (12, 6500)
    assert load(out / "padded/audio.lengths.npy").tolist() == [len(sound) for sound in wanted]
    convert(folder, out / "bytes", "audio: decode=none ragged")
    assert elements(out / "bytes")[0].tobytes() == (folder / names[0]).read_bytes()
    said = convert(folder, out / "no", "audio: resize=8x8", code=USAGE).stderr
    assert "images" in said


def test_rates_that_differ_are_kept(tmp_path, out):
    rates = [8000, 16000, 16000, 44100]
    files = [encoded(samples(number, 800, 1), rate) for number, rate in enumerate(rates)]
    missing = example({"x": ints(1)})
    path = write(tmp_path / "data", records(files))
    convert(path, out)
    assert_npy(out / "audio.rates.npy", np.array(rates))
    assert "rates" not in manifest(out)
    assert scan(path)["features"]["audio"]["sounds"]["rates"]["max"] == 44100
    assert "8,000..44,100" in run("scan", path).stdout
    path = write(tmp_path / "missing", [*records(files), missing])
    convert(path, out / "missing", "audio: ragged present")
    assert_npy(out / "missing/audio.rates.npy", np.array([*rates, 0]))


def test_zarr_has_the_rate(tmp_path):
    import zarr

    path = write(tmp_path / "data", records([encoded(samples(number, 500, 2)) for number in range(3)]))
    convert(path, tmp_path / "out.zarr", "audio")
    array = zarr.open_group(tmp_path / "out.zarr", mode="r")["audio"]
    assert array.attrs["rate"] == 16000 and array.shape == (3, 500, 2)


def test_sounds_in_tars(tmp_path, out):
    import webdataset

    files = [encoded(samples(number, 300 + number, 2, "tones"), 24000, ["wav", "flac"][number % 2]) for number in range(8)]
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for number, file in enumerate(files[::2]):
            writer.write({"__key__": f"s{number}", "wav": file, "cls": number})
    with webdataset.TarWriter(str(tmp_path / "b.tar")) as writer:
        for number, file in enumerate(files[1::2]):
            writer.write({"__key__": f"s{number}", "flac": file, "cls": number})
    convert(tmp_path / "a.tar", out / "a")
    assert_sounds(out / "a", [by_soundfile(file) for file in files[::2]], "wav")
    convert(tmp_path / "b.tar", out / "b")
    assert_sounds(out / "b", [by_soundfile(file) for file in files[1::2]], "flac")


def test_many_threads_and_little_memory(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(60):
        format = ["wav", "flac"][number % 2]
        (folder / f"{number:03}.{format}").write_bytes(encoded(samples(number, 50_000 + 1000 * number, 2, "tones"), 16000, format))
    for number, words in enumerate([["--threads", "1"], ["--threads", "4"], ["--threads", "2", "--memory", "32MiB"]]):
        convert(folder, tmp_path / str(number), "audio: pad=max", options=words)
        assert (tmp_path / str(number) / "audio.npy").read_bytes() == (tmp_path / "0/audio.npy").read_bytes()
    assert arrays_in(tmp_path / "1") == {"audio", "audio.lengths"}


# --- TensorFlow Datasets ---------------------------------------------------------------------------------------------


def test_audio_of_tensorflow_datasets(tmp_path, out):
    features = {
        "mono": F.Audio(sample_rate=16000),
        "stereo": F.Audio(shape=(None, 2), dtype=np.int16, sample_rate=8000),
        "plain": F.Audio(dtype=np.float32),
    }
    rng = np.random.default_rng(0)
    rows = [
        {
            "mono": rng.integers(-(2**15), 2**15, 100 * number),
            "stereo": rng.integers(-(2**15), 2**15, (50 + number, 2)).astype(np.int16),
            "plain": rng.normal(size=number).astype(np.float32),
        }
        for number in range(1, 6)
    ]
    directory = store(tmp_path, features, rows)
    convert(directory, out)
    assert_equal(out, expected(directory))
    assert manifest(out)["rates"] == {"mono": 16000, "stereo": 8000}


def test_files_that_are_decoded_when_they_are_read(tmp_path, out):
    """TFDS decodes them by pydub, or by tensorflow_io, which is not to be had here."""
    pytest.importorskip("pydub")
    features = {
        "mono": F.Audio(file_format="wav", lazy_decode=True),
        "stereo": F.Audio(file_format="wav", shape=(None, 2), dtype=np.int32, lazy_decode=True),
    }
    rows = []
    for number in range(4):
        mono, stereo = tmp_path / f"m{number}.wav", tmp_path / f"s{number}.wav"
        mono.write_bytes(encoded(samples(number, 200 + number, 1), 8000))
        stereo.write_bytes(encoded(samples(number, 100 + number, 2), 8000, subtype="PCM_32"))
        rows.append({"mono": str(mono), "stereo": str(stereo)})
    directory = store(tmp_path, features, rows)
    convert(directory, out)
    assert_equal(out, expected(directory))
    assert manifest(out)["rates"] == {"mono": 8000, "stereo": 8000}
