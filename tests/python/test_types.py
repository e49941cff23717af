"""The types that the package says it has are those that it has."""

import subprocess
import sys
from pathlib import Path

import pytest

import lithify
from lithify import _lithify

pytest.importorskip("mypy")
STUB = Path(lithify.__file__).with_name("__init__.pyi")


@pytest.fixture
def settings(tmp_path):
    """Of other libraries nothing is known."""
    path = tmp_path / "mypy.ini"
    path.write_text("[mypy]\nignore_missing_imports = True\n")
    return path


def test_stubs_are_those_of_the_package(settings):
    command = [sys.executable, "-m", "mypy.stubtest", "lithify", "--ignore-missing-stub", "--mypy-config-file", settings]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_key_has_a_type():
    keys = STUB.read_text().split("class _Keys(", 1)[1].split("\nclass ", 1)[0]
    named = {line.split(":")[0].strip().replace("_", "-") for line in keys.splitlines() if line.startswith("    ") and ": " in line}
    assert set(_lithify.KEYS) <= named


def test_a_wrong_word_is_found(settings, tmp_path):
    program = tmp_path / "program.py"
    program.write_text('import lithify\nlithify.convert([1], "x", memori=2)\nlithify.convert([1], "x", memory="2GB", pad=3).elements\n')
    done = subprocess.run([sys.executable, "-m", "mypy", "--config-file", settings, program], capture_output=True, text=True)
    assert 'Unexpected keyword argument "memori"' in done.stdout and "Found 1 error" in done.stdout, done.stdout + done.stderr
