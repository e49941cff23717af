"""Reads that give wrong bytes, though the disk has the right ones."""

import re
import shutil
from collections import Counter

from tortures.common import Failure, Skipped

WRONG = "ff" * 24


def run(torture, tries):
    """One read of each thread gives wrong bytes, but for the first, by which the format is known: the run must give what an
    undisturbed one gives, and tell what it has met."""
    if not shutil.which("strace"):
        raise Skipped("there is no strace")
    files = torture.dataset(60_000)
    words = ["convert", *files, "-o", "out", "-f", "x: ragged", "-f", "y", "-f", "label", "--threads", 1]
    log = torture.directory / "data-trace"
    path = torture.directory / files[0]
    traced = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=pread64", "-P", str(path)]
    torture.run(*words, before=traced)
    threads = Counter(re.findall(r"^(\d+) +pread64\(", log.read_text(), re.MULTILINE))
    reads = min(count for count in threads.values() if count > 1)
    whole = torture.outputs()
    met = 0
    for _ in range(tries):
        torture.clear()
        when = torture.random.randint(2, reads)
        code, told = torture.run(*words, before=[*traced, "-e", f"inject=pread64:poke_exit=@arg2={WRONG}:when={when}"])
        if "strace:" in told:
            raise Failure(f"strace cannot: {told}")
        if code:
            raise Failure(f"read {when} of {reads} gives wrong bytes, and the run ends with {code}: {told}")
        torture.compare(whole, f"read {when} of {reads} gives wrong bytes")
        met += "sound when read again" in told
    return f"{met:,} of {tries:,} were read again, and right; the others were of no consequence"
