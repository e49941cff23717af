"""Reports in a real browser: on a phone, in light and in dark."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from test_reports import PAGES, output  # noqa: F401 (a fixture)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

PHONE = 360  # pixels
THEMES = {"light": 1, "dark": 0}  # as Chromium numbers them
# A page in a frame as wide as a phone, and what is found in it: by WCAG 2.2, 1.4.3, contrast is of a text with what is behind it.
FRAME = """<!doctype html><pre id="found"></pre><iframe id="frame" style="width: WIDTHpx; height: 800px; border: 0"></iframe><script>
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow, style = (of) => view.getComputedStyle(of);
  const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (of) => { while (numbers(style(of).backgroundColor)[3] === 0) of = of.parentElement; return style(of).backgroundColor; };
  let texts = 0, contrast = Infinity;
  for (const one of page.body.querySelectorAll("*")) {
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const front = style(one)[one instanceof view.SVGElement ? "fill" : "color"];
    const [high, low] = [light(front), light(behind(one))].sort((a, b) => b - a);
    texts += 1;
    contrast = Math.min(contrast, (high + 0.05) / (low + 0.05));
  }
  const drawn = [...page.querySelectorAll("img, svg")].map((one) => one.getBoundingClientRect());
  found.textContent = JSON.stringify({
    wide: page.documentElement.scrollWidth - page.documentElement.clientWidth, texts, contrast,
    drawn: drawn.filter((box) => box.width > 0 && box.height > 0).length, all: drawn.length,
    images: [...page.images].every((image) => image.complete && image.naturalWidth > 0),
    back: style(page.body).backgroundColor,
  });
};
frame.src = "PAGE";
</script>"""


def chromium(place, theme, *arguments):
    """Runs the browser without a window; gives what it prints."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={place}"]
    words += [f"--blink-settings=preferredColorScheme={THEMES[theme]}", "--virtual-time-budget=5000", "--allow-file-access-from-files"]
    return subprocess.run([CHROMIUM, *words, *arguments], capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_a_phone(name, theme, output, tmp_path):  # noqa: F811
    page = output[0] / f"{name}.html"
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(PHONE)).replace("PAGE", page.as_uri()))
    found = json.loads(re.search(r'<pre id="found">(\{.*?\})</pre>', chromium(tmp_path / "user", theme, "--dump-dom", frame.as_uri()))[1])
    assert found["wide"] <= 0, "it must not be scrolled sideways"
    assert found["texts"] > 20 and found["contrast"] >= 4.5
    # Texts and lists of a few numbers are written.
    assert found["drawn"] == found["all"] and (found["all"] or name == "ragged") and found["images"]
    assert (sum(map(int, re.findall(r"\d+", found["back"]))) > 384) == (theme == "light")


@pytest.mark.parametrize("theme", THEMES)
def test_a_screenshot(theme, output, tmp_path):  # noqa: F811
    picture = tmp_path / "page.png"
    chromium(tmp_path / "user", theme, f"--screenshot={picture}", "--window-size=900,1400", (output[0] / "npy.html").as_uri())
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape == (1400, 900, 3)
    background = np.median(pixels.reshape(-1, 3), axis=0)
    assert (background.mean() > 128) == (theme == "light")
    # Random pictures are on it: of many colours.
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
