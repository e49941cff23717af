"""Disks that are too small."""

import os
import subprocess

from tortures.common import REQUESTS, Failure, Skipped, Torture

KINDS = ["out", "out.npy", "other.zarr"]  # those whose size is known before


def run(torture, tries):
    """A disk that has too few bytes is refused before the first row is written, or the run fails with what is done kept; after
    more room was made, it succeeds."""
    if os.geteuid() != 0:
        raise Skipped("it needs root, to mount file systems")
    files = [str(torture.directory / file) for file in torture.dataset(4000)]
    refused = kept = 0
    for number in range(tries):
        output = KINDS[number % len(KINDS)]
        words = ["convert", *files, "-o", output, *REQUESTS[output]]
        torture.must(*words)
        whole = torture.outputs()
        needed = sum(map(len, whole.values()))
        torture.clear()
        size = torture.random.randrange(needed // 20, needed) // 4096 * 4096
        small = torture.directory / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", small], capture_output=True)
        if mounted.returncode:
            raise Skipped("no file system can be mounted here")
        try:
            inner = Torture(torture.lithify, small, number)
            code, told = inner.run(*words)
            if code != 1 or (small / output).exists():
                raise Failure(f"{size} of {needed} bytes, and {words} ends with {code}: {told}")
            if "blocks are done, and kept" in told:
                kept += 1
            else:
                refused += 1
                left = [path for path in small.iterdir() if path.is_dir()]
                if left:
                    raise Failure(f"{size} of {needed} bytes are refused, but {left} is left")
            subprocess.run(["mount", "-o", f"remount,size={8 * needed}", small], check=True)
            inner.must(*words)
            inner.compare(whole, f"{words}, after the disk was full")
        finally:
            subprocess.run(["umount", small], check=True)
        torture.clear()
    return f"{refused:,} of {tries:,} sizes refused before the first row, {kept:,} (compressed) failed and were gone on with"
