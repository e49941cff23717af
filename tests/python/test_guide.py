"""The guide: each chapter's blocks are run one after another in a directory of their own, and must give what stands there.

    ```console   lines `$ command`, each with its output; the command is `lithify`, and `python` is the one that runs the tests
    ```python    lines `>>> statement` as doctest has them, with the names of the chapter's blocks before; or else a script
    ```text      what the script before it prints

A line `...` or `…` stands for any lines. `<!-- needs: NAMES -->` before a block (or, for all blocks, in a chapter's first line) names
packages without which it is skipped. What differs from machine to machine is masked on both sides: see `MASKS`.
"""

import doctest
import functools
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import lithify

GUIDE = Path(__file__).parents[2] / "crates" / "lithify-cli" / "guide"
LITHIFY = Path(os.environ.get("LITHIFY") or Path(sys.executable).parent / "lithify").absolute()
# PyTorch is often there for the system's Python alone, as Debian's package is.
PYTHONS = [sys.executable, "/usr/bin/python3"]

SIZE = r"[\d,.]+ [KMGT]?i?B"
MASKS = [
    # Times and rates.
    (r"\bin [\d.]+ (?:ms|s|min)\b", "in TIME"),
    (rf"{SIZE}/s", "RATE"),
    (r", [\d.]+ blocks/s, about .* left", ""),
    # What the machine has, and what a run of as many threads as it has processors takes.
    (rf"{SIZE} of disk free in .*", "DISK"),
    (rf"of {SIZE} free in .*", "DISK"),
    (r"(?m)^memory: .*", "MEMORY"),
    (r"\bon \d+ threads?", "THREADS"),
    (rf"but {SIZE} are free in .*", "DISK"),
    # How far a run was when it was stopped.
    (r"\d+ of (its )?(\d+) blocks are done", r"N of \1\2 blocks are done"),
    # `lithify.json` is one of the files, and is as long as the paths in it.
    (rf"\bas {SIZE} in", "as SIZE in"),
    # Floats are not added in the same order everywhere.
    (r"\b(loss|accuracy) (\d\.\d)\d*", r"\1 \2"),
]


class Block(NamedTuple):
    chapter: Path
    line: int
    kind: str
    text: str
    # What a script prints.
    printed: str
    # Packages that the chapter needs, and those that the block does.
    always: tuple
    needs: tuple

    @property
    def name(self):
        return f"{self.chapter.stem}:{self.line}"


def blocks(chapter):
    text = chapter.read_text(encoding="utf-8")
    always = re.match(r"<!-- needs: (.*) -->\n", text)
    always, found = tuple(always[1].split()) if always else (), []
    for match in re.finditer(r"(?ms)^(?:<!-- needs: ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$", text):
        needs, kind, body = match.groups()
        line = text.count("\n", 0, match.start(2)) + 1
        if kind == "text" and found and found[-1].kind == "python":
            found[-1] = found[-1]._replace(printed=body)
        elif kind in ("console", "python"):
            found.append(Block(chapter, line, kind, body, "", always, tuple((needs or "").split())))
    return found


BLOCKS = [block for chapter in sorted(GUIDE.glob("*.md")) for block in blocks(chapter)]


@functools.cache
def python_for(needs):
    """An interpreter that has these packages, or None."""
    for python in PYTHONS:
        find = f"from importlib.util import find_spec; import sys; sys.exit(not all(map(find_spec, {needs!r})))"
        if os.path.exists(python) and subprocess.run([python, "-c", find]).returncode == 0:
            return python
    return None


def mask(text, place):
    text = text.replace(os.path.realpath(place), "/data").replace(str(place), "/data")
    for pattern, instead in MASKS:
        text = re.sub(pattern, instead, text)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def agrees(expected, found, place):
    """Whether there is what stands in the chapter, but for what is masked and left out."""
    lines = mask(expected, place).splitlines(keepends=True)
    pattern = "".join("(?:.*\n)*?" if line.strip() in ("...", "…") else re.escape(line) for line in lines)
    return re.fullmatch(pattern, mask(found, place)) is not None


class Checker(doctest.OutputChecker):
    def __init__(self, place):
        self.place = place

    def check_output(self, want, got, flags):
        return agrees(want, got, self.place)


class Chapter:
    """A chapter that is tried: a directory, and the names that its statements have defined."""

    def __init__(self, root):
        self.place, self.names, self.done = root / "place", {"__name__": "__main__"}, {}
        self.place.mkdir()
        commands, packages = root / "bin", root / "packages"
        commands.mkdir()
        packages.mkdir()
        (commands / "lithify").symlink_to(LITHIFY)
        (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (commands / "python").chmod(0o755)
        # An interpreter that has other packages finds this one, and none that are not made for it.
        (packages / "lithify").symlink_to(Path(lithify.__file__).parent)
        self.script, self.packages = root / "script.py", packages
        self.environment = {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }

    def reach(self, block):
        """Runs a block and those before it that have not been run, and gives what came of it: None, or what is wrong."""
        for other in BLOCKS:
            if other.chapter == block.chapter and other.line <= block.line and other.name not in self.done:
                self.done[other.name] = missing(other) or self.run(other)
        return self.done[block.name]

    def run(self, block):
        if block.kind == "console":
            return self.console(block)
        return self.statements(block) if block.text.startswith(">>> ") else self.printing(block)

    def console(self, block):
        commands = re.split(r"(?m)^\$ ", block.text)[1:]
        # A command goes on while its lines end in `\`.
        pairs = [re.match(r"((?:.*\\\n)*.*\n)((?:.*\n)*)", command).groups() for command in commands]
        # All in one shell, where `$?` is what it would be in a terminal.
        lines = "".join(f"{command}code=$?; printf '\\036'; (exit $code)\n" for command, _ in pairs)
        found = subprocess.run(
            ["bash", "-c", lines], cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", timeout=120,
        ).stdout.split("\x1e")
        for (command, expected), output in zip(pairs, found, strict=False):
            if not agrees(expected, output, self.place):
                return f"$ {command}{output}--- but the chapter has:\n{expected}"
        return None if len(found) == len(pairs) + 1 else "the shell ended early"

    def printing(self, block):
        self.script.write_text(block.text, encoding="utf-8")
        python, environment = python_for(block.needs), self.environment
        if python != sys.executable:
            environment = {**environment, "PYTHONPATH": str(self.packages)}
        done = subprocess.run(
            [python, self.script], cwd=self.place, env=environment, capture_output=True, encoding="utf-8", timeout=120,
        )
        if done.returncode or not agrees(block.printed, done.stdout, self.place):
            return f"{done.stdout}{done.stderr}--- but the chapter has:\n{block.printed}"
        return None

    def statements(self, block):
        test = doctest.DocTestParser().get_doctest(block.text, self.names, block.name, str(block.chapter), block.line)
        # Its names are those of the next block, too.
        test.globs = self.names
        said = []
        before = os.getcwd()
        os.chdir(self.place)
        try:
            failed, _ = doctest.DocTestRunner(Checker(self.place), verbose=False).run(test, out=said.append, clear_globs=False)
        finally:
            os.chdir(before)
        return "".join(said) if failed else None


class Missing(str):
    """Why a block is skipped."""


def missing(block):
    script = block.kind == "python" and not block.text.startswith(">>> ")
    elsewhere = script and python_for(block.needs)
    needs = block.always if elsewhere else block.always + block.needs
    absent = [name for name in needs if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return Missing(f"{block.name} needs {', '.join(absent)}, which cannot be imported")


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    return functools.cache(lambda chapter: Chapter(tmp_path_factory.mktemp(chapter.stem)))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_block(block, chapters):
    wrong = chapters(block.chapter).reach(block)
    if isinstance(wrong, Missing):
        pytest.skip(wrong)
    assert wrong is None, f"{block.chapter.name}, line {block.line}:\n{wrong}"


def test_every_chapter_is_in_the_contents():
    contents = (GUIDE / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([\w-]+\.md)\)", contents)
    assert sorted(named) == sorted(path.name for path in GUIDE.glob("*.md") if path.name != "README.md")
