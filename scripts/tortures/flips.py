"""Bits that are flipped."""

from tortures.common import FAILED, Failure


def flip(torture, path, data):
    """Writes a file with a bit flipped; says which."""
    bit = torture.random.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    path.write_bytes(changed)
    return bit


def sources(torture, tries):
    """Of TFRecords, everything has a checksum: a conversion must notice any bit."""
    (file,) = torture.dataset(60, files=1)
    path = torture.directory / file
    data = path.read_bytes()
    for _ in range(tries):
        bit = flip(torture, path, data)
        code, told = torture.run("scan", file, "--json")
        if code != FAILED or "byte" not in told:
            raise Failure(f"bit {bit} of a source is flipped, and `scan` ends with {code}: {told}")
    return f"{tries:,} of {tries:,} found by the conversion"


def outputs(torture, tries):
    """Of outputs, too, `verify` must."""
    files = torture.dataset(400, longest=5)
    found = 0
    for output, request in {
        "out": ["-f", "x: ragged", "-f", "y", "-f", "label"],
        "out.zarr": ["-f", "x: pad=5 chunk=32", "-f", "y: chunk=16 shard=128", "-f", "text: dtype=string"],
    }.items():
        torture.must("convert", *files, "-o", output, *request)
        paths = [path for path in (torture.directory / output).rglob("*") if path.is_file()]
        sizes = [path.stat().st_size for path in paths]
        for _ in range(tries // 2):
            # By their sizes, but small ones are not to be left out.
            weights = sizes if torture.random.random() < 0.5 else None
            (path,) = torture.random.choices(paths, weights)
            data = path.read_bytes()
            if not data:
                continue
            bit = flip(torture, path, data)
            code, told = torture.run("verify", output)
            path.write_bytes(data)
            if code != FAILED:
                raise Failure(f"bit {bit} of {path.name} is flipped, and `verify` ends with {code}: {told}")
            found += 1
    return f"{found:,} of {found:,} found by `verify`"
