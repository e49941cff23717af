"""Runs that are killed."""

import time

from tortures.common import REQUESTS, Failure


def run(torture, tries):
    """Kills runs at random moments; each is gone on with, which may be killed, too; and each must end as if nothing had been."""
    files = torture.dataset(16_000)
    kills = results = gone_on = 0
    outputs = list(REQUESTS)
    wholes = {}
    for output in outputs:
        words = ["convert", *files, "-o", output, *REQUESTS[output], "--threads", 8]
        torture.clear()
        start = time.monotonic()
        torture.must(*words)
        wholes[output] = (words, time.monotonic() - start, torture.outputs())
    while kills < tries:
        words, seconds, whole = wholes[outputs[results % len(outputs)]]
        torture.clear()
        over = False
        while not over:
            process = torture.start(*words)
            # Late moments are the delicate ones.
            time.sleep(torture.random.uniform(0, seconds * 1.1))
            process.kill()
            _, told = process.communicate()
            killed = process.returncode == -9
            kills += killed
            if not killed:
                torture.check(process.returncode, told, words)
            gone_on += "going on with" in told
            # What was killed when all was done is there already.
            over = process.returncode == 0 or "is there already" in told
            if not over and torture.random.random() < 0.5:
                code, told = torture.run(*words)
                gone_on += "going on with" in told
                if code and "is there already" not in told:
                    raise Failure(f"{words} ended with {code}: {told}")
                over = True
        torture.compare(whole, words)
        results += 1
    return f"{kills:,} kills, {gone_on:,} times gone on, {results:,} byte-identical results"
