"""System calls that fail."""

import re
import shutil

from tortures.common import LOCK, PARTIAL, REQUESTS, Failure, Skipped

# The calls of the write path, and how they can fail.
CALLS = {
    "openat": ["EACCES", "EMFILE", "EIO", "ENOSPC"],
    "pwrite64": ["ENOSPC", "EIO", "EDQUOT", "EFBIG"],
    "write": ["ENOSPC", "EIO"],
    "pread64": ["EIO"],
    "fallocate": ["ENOSPC", "EOPNOTSUPP", "EIO"],
    "ftruncate": ["EIO", "EFBIG"],
    "mkdir": ["EACCES", "ENOSPC", "EROFS"],
    "unlink": ["EIO"],
    "rename": ["EIO", "EACCES", "EXDEV"],
    "renameat2": ["EIO", "EINVAL", "ENOSYS"],
    "syncfs": ["EIO", "ENOSPC"],
    "fdatasync": ["EIO"],
    "statx": ["EIO"],
    "close": ["EIO"],
    "flock": ["EIO"],
}
LATE = 12  # of the calls of a kind, so many of the last are tried more often than others


def run(torture, tries):
    """Lets one call fail in each run: it must end with an error that says so, or go on as if nothing had been; and the same
    command again must give what an undisturbed run gives."""
    if not shutil.which("strace"):
        raise Skipped("there is no strace")
    files = torture.dataset(3000)
    log = torture.directory / "data-trace"
    errors = tolerated = gone_on = told_late = 0
    outputs = list(REQUESTS)
    for number in range(tries):
        output = outputs[number % len(outputs)]
        words = ["convert", *files, "-o", output, *REQUESTS[output], "--threads", 1]
        torture.clear()
        traced = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
        torture.run(*words, before=traced)
        whole = torture.outputs()
        counts = {call: len(re.findall(rf"^\d+ +{call}\(", log.read_text(), re.MULTILINE)) for call in CALLS}
        call = torture.random.choice([call for call in CALLS if counts[call]])
        error = torture.random.choice(CALLS[call])
        first = 1 if torture.random.random() < 0.5 else max(1, counts[call] - LATE)
        when = torture.random.randint(first, counts[call])
        torture.clear()
        code, told = torture.run(*words, before=[*traced, "-e", f"inject={call}:error={error}:when={when}"])
        what = f"{call} number {when} of {counts[call]} fails with {error} in {words}"
        if "strace:" in told:
            raise Failure(f"strace cannot: {told}")
        if code == 0 and call == "syncfs":
            raise Failure(f"{what}: it may not have reached the disk, and all is said to be well")
        if code == 0:
            tolerated += 1
            # What could not be removed goes with the next run.
            shutil.rmtree(torture.directory / PARTIAL.format(output), ignore_errors=True)
            (torture.directory / LOCK.format(output)).unlink(missing_ok=True)
        else:
            errors += 1
            # Where standard error cannot be written, and where the program is not even loaded, it can tell nothing.
            if "error" not in told and call != "write":
                raise Failure(f"{what}: it ends with {code} and tells {told!r}")
            if (torture.directory / output).exists():
                torture.must("verify", output)
            if (torture.directory / output).exists() and not (torture.directory / PARTIAL.format(output)).exists():
                # All was done, and only telling so failed.
                told_late += 1
            else:
                told = torture.must(*words)
                gone_on += "going on with" in told
        torture.compare(whole, what)
    return (
        f"{errors:,} clear errors, {tolerated:,} of no consequence; {gone_on:,} gone on with, {told_late:,} complete already; "
        "all completed"
    )
