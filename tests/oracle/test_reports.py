"""What reports show is what NumPy finds in the arrays; and they can be read by everybody, from one file."""

import html.parser
import re
import shlex

import numpy as np
import pytest
import tensorflow as tf
from oracle import FAILED, run
from PIL import Image

COUNT = 40


class Page(html.parser.HTMLParser):
    """What is in a page: its elements with what they say, and the cells of its tables."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.rows, self.open, self.words = [], [], [], ""
        self.text = path.read_text()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag not in ("meta", "img", "rect", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)
        if "style" not in self.open:
            self.words += data

    def handle_endtag(self, tag):
        # What is opened is closed, in order.
        assert self.open.pop() == tag

    def row(self, first):
        return next(row for row in self.rows if row and row[0] == first)


def feature(values):
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A dataset of what can be looked at, and what became of it."""
    place = tmp_path_factory.mktemp("reports")
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (COUNT, 12, 10, 3)).astype(np.uint8)
    waves = rng.normal(size=(COUNT, 50)).astype(np.float32)
    waves[3, 4], waves[5, 6], waves[7, 8] = np.nan, np.inf, -np.inf
    with tf.io.TFRecordWriter(str(place / "a.tfrecord")) as writer:
        for at in range(COUNT):
            features = {
                "picture": feature([tf.io.encode_png(pictures[at]).numpy()]),
                "wave": feature([float(value) for value in waves[at]]),
                "tokens": feature([100 + at] * (at % 9 + 1)),
                "words": feature([f"<b>word {at}</b> & é".encode()]),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    words = ["-f", "picture: decode=tf", "-f", "wave", "-f", "tokens: pad=max value=-1", "-f", "words: dtype=S"]
    for out, more in (("npy", []), ("out.zarr", [])):
        run("convert", place / "a.tfrecord", "-o", place / out, "-q", *words, *more)
    run("convert", place / "a.tfrecord", "-o", place / "ragged", "-q", "-f", "tokens: ragged", "-f", "words: ragged")
    run("scan", place / "a.tfrecord", "--html", place / "scan.html")
    for out in ("npy", "out.zarr", "ragged"):
        run("info", place / out, "--html", place / f"{out}.html", "--sheet", place / f"{out}.png")
    return place, pictures, waves


PAGES = ["scan", "npy", "out.zarr", "ragged"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_else_and_is_for_everybody(name, output):
    page = Page(output[0] / f"{name}.html")
    assert len(page.text) < 2_000_000 and not page.open
    assert not re.search(r"https?://|<script|@import|url\(", page.text)
    of = lambda tag: [attributes for found, attributes in page.elements if found == tag]
    assert of("html") == [{"lang": "en"}] and len(of("h1")) == len(of("main")) == len(of("title")) == 1
    assert of("meta")[1]["name"] == "viewport"
    assert all(image["alt"] and image["src"].startswith("data:image/png;base64,") for image in of("img"))
    assert all(image["aria-label"] and image["role"] == "img" for image in of("svg"))
    assert all(cell["scope"] for cell in of("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:]))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_texts_stand_out_from_their_background(output):
    """By WCAG 2.2: 4.5 to 1 for texts, 3 to 1 for drawings; in light and in dark."""
    text = Page(output[0] / "scan.html").text
    themes = re.findall(r":root \{([^}]*)\}", text)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", theme))
        for back in ("back", "card"):
            for front, least in (("text", 4.5), ("dim", 4.5), ("bar", 3), ("other", 3)):
                high, low = sorted([luminance(colours[front]), luminance(colours[back])], reverse=True)
                assert (high + 0.05) / (low + 0.05) >= least, (front, back)


@pytest.mark.parametrize("name", ["npy", "out.zarr"])
def test_ranges_are_those_of_numpy(name, output):
    place, pictures, waves = output
    page = Page(place / f"{name}.html")
    suffix = ".npy" if name == "npy" else ""
    finite = waves[np.isfinite(waves)]
    least, greatest, nan, infinite = page.row(f"wave{suffix}")[4:8]
    np.testing.assert_allclose([float(least), float(greatest)], [finite.min(), finite.max()], atol=1e-4)
    assert (nan, infinite) == ("1", "2")
    assert page.row(f"picture{suffix}")[4:6] == [str(pictures.min()), str(pictures.max())]
    assert page.row(f"tokens{suffix}")[4:6] == ["-1", str(100 + COUNT - 1)]
    padding = 1 - sum(at % 9 + 1 for at in range(COUNT)) / (9 * COUNT)
    assert f"{padding * 100:.1f} %" in page.words


@pytest.mark.parametrize("name", ["npy", "out.zarr", "ragged"])
def test_texts_and_numbers_are_there_and_no_markup(name, output):
    page = Page(output[0] / f"{name}.html")
    assert f"<b>word {COUNT - 1}</b> & é" in page.words and "<b>word" not in page.text
    assert f"{100 + COUNT - 1}" in page.words


def test_the_sheet_shows_the_pictures(output):
    """Twelve of them, evenly spaced, as many times larger as there is room for."""
    place, pictures, _ = output
    sheet = np.asarray(Image.open(place / "npy.png").convert("RGB"))
    shown = [number * (COUNT - 1) // 11 for number in range(12)]
    places = []
    for column, number in enumerate(shown):
        wanted = pictures[number].repeat(8, axis=0).repeat(8, axis=1)
        left = 8 + column * 104
        found = [top for top in range(sheet.shape[0] - 96) if np.array_equal(sheet[top : top + 96, left : left + 80], wanted)]
        assert len(found) == 1, number
        places += found
    assert len(set(places)) == 1


def test_the_page_of_a_dataset_names_commands_that_work(output, tmp_path):
    place = output[0]
    page = Page(place / "scan.html")
    commands = re.findall(r"lithify convert .*", page.words)
    assert len(commands) >= 2
    for number, command in enumerate(commands):
        words = [word if word != "OUT" else str(tmp_path / f"{number}") for word in shlex.split(command)[1:]]
        run(*words)
    assert page.row("pad=max")[1:] == [f"{9 * COUNT * 8 / 1024:.1f} KiB", "47.2 %"]


def test_images_that_are_kept_encoded_are_shown_as_images(tmp_path):
    pictures = np.random.default_rng(3).integers(0, 256, (3, 30, 50, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{number}.png")
    run("convert", tmp_path / "photos", "-o", tmp_path / "out", "-f", "image: decode=none", "-q")
    run("info", tmp_path / "out", "--html", tmp_path / "page.html", "--sheet", tmp_path / "sheet.png")
    assert sum(tag == "img" for tag, _ in Page(tmp_path / "page.html").elements) == 3
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    for number, picture in enumerate(pictures):
        left = 8 + number * 104
        assert any(np.array_equal(sheet[top : top + 30, left : left + 50], picture) for top in range(sheet.shape[0] - 30)), number


def test_a_report_takes_the_place_of_nothing_but_a_report(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(4.0))
    page, mine = tmp_path / "page.html", tmp_path / "mine.html"
    for _ in range(2):
        run("scan", tmp_path / "x.npz", "--html", page, "-q")
    mine.write_text("<!doctype html>\n<title>mine</title>")
    told = run("scan", tmp_path / "x.npz", "--html", mine, "-q", code=FAILED).stderr
    assert "is no report of lithify" in told and "mine" in mine.read_text()
    # A pipe is written to.
    assert "<html" in run("scan", tmp_path / "x.npz", "--html", "/dev/stdout", "-q").stdout
