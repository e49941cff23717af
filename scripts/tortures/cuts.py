"""Power cuts, simulated: the system calls of a run are recorded, and a disk is made up as it may be if the power goes at any
moment. What was written before the last `syncfs` that had come to its end is there. Of what was written afterwards, names
(files that are made, renamed and removed) are there up to some moment, as journals of file systems keep them; and of the data any
part, or none."""

import os
import re
import shutil
from dataclasses import dataclass, field

from tortures.common import REQUESTS, Failure, Skipped

CALLS = "openat,mkdir,pwrite64,write,ftruncate,fallocate,rename,renameat2,unlink,unlinkat,rmdir,syncfs,fdatasync"
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$", re.DOTALL)
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
PATH = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
LATE = 40  # of the calls, so many of the last are cut after as often as all the others


def text(escaped):
    """Bytes that strace has printed."""
    return bytes.fromhex(escaped.replace("\\x", ""))


@dataclass
class Disk:
    """Names, and what the files hold that have them."""

    names: dict = field(default_factory=dict)  # by path: a number of a file, or None for a directory
    files: dict = field(default_factory=dict)  # by number: a bytearray

    def apply(self, call):
        """Does what a call does, if that is possible."""
        kind, *rest = call
        if kind == "make":
            path, number = rest
            self.names[path] = number
            if number is not None:
                self.files[number] = bytearray()
        elif kind == "write":
            number, at, data = rest
            if number in self.files:
                held = self.files[number]
                held.extend(bytes(max(0, at - len(held))))
                held[at : at + len(data)] = data
        elif kind == "size":
            number, size, least = rest
            if number in self.files:
                held = self.files[number]
                held.extend(bytes(max(0, size - len(held))))
                if not least:
                    del held[size:]
        elif kind == "remove":
            self.names.pop(rest[0], None)
        elif kind == "rename":
            self.rename(*rest)

    def below(self, path):
        """What has a name below another."""
        return {name: file for name, file in self.names.items() if name == path or name.startswith(path + "/")}

    def rename(self, before, after, exchange):
        """Renames a file, or a directory with all that is in it."""
        moved, other = self.below(before), self.below(after)
        for name in [*moved, *other]:
            self.names.pop(name, None)
        for name, file in moved.items():
            self.names[after + name[len(before) :]] = file
        if exchange:
            for name, file in other.items():
                self.names[before + name[len(after) :]] = file


@dataclass
class Trace:
    """The calls of a run that change a disk, in order; and of each wait for the disk, how many calls were before its begin, and
    how many before its end."""

    calls: list = field(default_factory=list)
    waits: list = field(default_factory=list)


def read_trace(log, root):
    """Reads what strace has recorded, of what lies below a directory."""
    trace, disk, open_files, begun = Trace(), Disk(), {}, {}

    def inside(path):
        path = os.path.normpath(os.path.join(root, path))
        return os.path.relpath(path, root) if path.startswith(root + "/") else None

    def add(*call):
        trace.calls.append(call)
        disk.apply(call)

    def enter(call, rest):
        failed = re.search(r"\) += -1 E", rest[-200:])
        if failed:
            return
        paths = [text(found) for found in PATH.findall(rest[:4096])] if call not in ("write", "pwrite64") else []
        number = int(re.match(r"\d+", rest)[0]) if rest[:1].isdigit() else None
        if call == "openat":
            path, opened = inside(paths[0].decode()), re.search(r"= (\d+)(<[^>]*>)?$", rest)
            if not opened:
                return
            number = int(opened[1])
            open_files.pop(number, None)
            if path is None or not re.search(r"O_WRONLY|O_RDWR", rest):
                return
            if path not in disk.names:
                add("make", path, len(trace.calls))
            file = disk.names[path]
            if "O_TRUNC" in rest:
                add("size", file, 0, False)
            open_files[number] = [file, 0, "O_APPEND" in rest]
        elif call == "mkdir" and (path := inside(paths[0].decode())):
            add("make", path, None)
        elif call in ("write", "pwrite64") and number in open_files:
            file, at, appends = open_files[number]
            data = text(PATH.search(rest)[1])
            if call == "pwrite64":
                at = int(re.search(r", (\d+)\) += \d+$", rest[-100:])[1])
            elif appends:
                at = len(disk.files[file])
            add("write", file, at, data)
            if call == "write":
                open_files[number][1] = at + len(data)
        elif call == "ftruncate" and number in open_files:
            add("size", open_files[number][0], int(re.search(r">, (\d+)", rest)[1]), False)
        elif call == "fallocate" and number in open_files:
            add("size", open_files[number][0], int(re.search(r">, 0, 0, (\d+)", rest)[1]), True)
        elif call in ("rename", "renameat2") and all(map(inside, (path.decode() for path in paths))):
            before, after = (inside(path.decode()) for path in paths)
            add("rename", before, after, "RENAME_EXCHANGE" in rest)
        elif call in ("unlink", "rmdir") and (path := inside(paths[0].decode())):
            add("remove", path)
        elif call == "unlinkat":
            above = re.match(r"(?:AT_FDCWD|\d+)<([^>]*)>", rest)
            if path := inside(os.path.join(text(above[1]).decode(), paths[0].decode())):
                add("remove", path)

    unfinished = {}
    with open(log) as lines:
        for line in lines:
            line = line.rstrip("\n")
            if found := LINE.match(line):
                thread, call, rest = found.groups()
                begun[thread] = len(trace.calls)
                if rest.endswith(" <unfinished ...>"):
                    unfinished[thread] = rest.removesuffix(" <unfinished ...>")
                    continue
            elif found := RESUMED.match(line):
                thread, call, rest = found.groups()
                rest = unfinished.pop(thread) + rest
            else:
                continue
            if call in ("syncfs", "fdatasync"):
                if rest.endswith("= 0"):
                    trace.waits.append((begun[thread], len(trace.calls)))
            else:
                enter(call, rest)
    return trace


def disk_after(trace, cut, pick):
    """A disk as it may be when the power goes after so many calls."""
    durable = max((before for before, end in trace.waits if end <= cut), default=0)
    names_until = pick.randint(durable, cut)
    kept = pick.random()
    disk = Disk()
    for number, call in enumerate(trace.calls[:cut]):
        if number < durable:
            disk.apply(call)
        elif call[0] == "write":
            if pick.random() < kept:
                kind, file, at, data = call
                data = data[: pick.randrange(len(data) + 1)] if pick.random() < 0.3 else data
                disk.apply((kind, file, at, data))
        elif number < names_until:
            disk.apply(call)
    return disk


def another_start(journal, crc64):
    """A journal as if the machine had been started anew since."""
    lines = []
    for line in journal.splitlines(keepends=True):
        json = line[17:].rstrip(b"\n")
        if line.startswith(crc64(json)):
            changed = re.sub(rb'"boot":"[^"]*"', b'"boot":"another"', json)
            line = crc64(changed) + b" " + changed + b"\n"
        lines.append(line)
    return b"".join(lines)


def crc64_nvme():
    """CRC-64/NVME, as hexadecimal digits."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x9A6C9329AC4BC9B5 if byte & 1 else byte >> 1
        table.append(byte)

    def checksum(data):
        crc = (1 << 64) - 1
        for byte in data:
            crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
        return b"%016x" % (crc ^ (1 << 64) - 1)

    return checksum


def run(torture, tries):
    """After each cut, the same command must give what an undisturbed run gives, and go on with all that was durable."""
    if not shutil.which("strace"):
        raise Skipped("there is no strace")
    files = torture.dataset(10_000)
    log, root = torture.directory / "data-trace", str(torture.directory.resolve())
    crc64, traces = crc64_nvme(), {}
    for output, request in REQUESTS.items():
        torture.clear()
        words = ["convert", *files, "-o", output, *request, "--threads", 1]
        strace = ["strace", "-f", "-y", "-xx", "-s", str(1 << 26), "-e", f"trace={CALLS}", "-qq", "-o", str(log)]
        code, told = torture.run(*words, "--sync-every", 0.01, before=strace)
        if code or "strace:" in told:
            raise Failure(f"it ends with {code}: {told}")
        traces[output] = (words, torture.outputs(), read_trace(log, root))
    log.unlink()
    gone_on = named = 0
    for number in range(tries):
        output = list(REQUESTS)[number % len(REQUESTS)]
        words, whole, trace = traces[output]
        all_calls = len(trace.calls)
        first = 0 if torture.random.random() < 0.5 else max(0, all_calls - LATE)
        cut = torture.random.randint(first, all_calls)
        disk = disk_after(trace, cut, torture.random)
        torture.clear()
        for path, file in sorted(disk.names.items()):
            place = torture.directory / path
            if file is None:
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                data = bytes(disk.files[file])
                place.write_bytes(another_start(data, crc64) if place.name == "journal" else data)
        what = f"the power is cut after {cut} of {all_calls} calls of {words}"
        there = (torture.directory / output).exists()
        code, told = torture.run(*words)
        if code and not (there and "is there already" in told):
            raise Failure(f"{what}, and then it ends with {code}: {told}")
        named += there
        gone_on += "going on with" in told
        torture.compare(whole, what)
    return f"{tries:,} cuts, {gone_on:,} times gone on, {named:,} times complete already; all byte-identical"
