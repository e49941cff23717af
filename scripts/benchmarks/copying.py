"""Copies a file into a new one whose space is reserved: `python copying.py pieces|kernel FROM TO`.

This is the yardstick for conversion, as no program can make an array of these bytes with less work than this.
"""

import os
import sys

PIECE = 1 << 20


def copy_pieces(source, target, _size):
    """Reads and writes a MiB at a time."""
    piece = memoryview(bytearray(PIECE))
    while count := os.readv(source, [piece]):
        os.write(target, piece[:count])


def copy_in_kernel(source, target, size):
    """Leaves the copying to the kernel, as `cp` does."""
    while size > 0:
        size -= os.copy_file_range(source, target, size)


def main(how, source, target):
    """Reserves the space, as lithify does, and copies."""
    os.makedirs(os.path.dirname(target))
    source = os.open(source, os.O_RDONLY)
    target = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    size = os.fstat(source).st_size
    os.posix_fallocate(target, 0, size)
    {"pieces": copy_pieces, "kernel": copy_in_kernel}[how](source, target, size)


if __name__ == "__main__":
    main(*sys.argv[1:])
