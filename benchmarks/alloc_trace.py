"""A synthetic year of requests, in the shape of the one StorAlloc's authors published figures for.

Their trace (Theta, 24,001 requests, 1.63 PB, 31,160 parts when split at 200 GB) isn't available. This one has
as many requests over 366 days and, in expectation, the same volume and the same number of parts: sizes are
log-normal (mu 18.405, sigma 4.0, bytes) cut at 16 TB, which the two sums determine; arrivals are uniform;
durations are log-normal with the median (2730 s) and sigma (1.56) of Theta's October 2020, cut at a day.
"""

from __future__ import annotations

import csv
import random
import sys
from itertools import pairwise
from pathlib import Path

from batfs.storage.replay import TraceRequest

YEAR = 366 * 86400


def synthetic_year(n: int = 24_001, *, seed: int = 0, span: float = YEAR) -> list[TraceRequest]:
    """``n`` requests in order of arrival over ``span`` seconds; whole seconds and bytes."""
    rng = random.Random(seed)
    arrivals = sorted(int(rng.random() * span) for _ in range(n))
    out: list[TraceRequest] = []
    for number, arrival in enumerate(arrivals):
        size = max(1, min(int(rng.lognormvariate(18.405, 4.0)), 16 * 10**12))
        duration = max(1, min(int(rng.lognormvariate(7.912, 1.56)), 86400))
        out.append(TraceRequest(str(number), float(arrival), float(duration), size))
    assert all(a.arrival <= b.arrival for a, b in pairwise(out))
    return out


def write_csv(path: Path, requests: list[TraceRequest]) -> None:
    """The trace as ``batfs alloc replay`` reads it."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("id", "start", "duration", "size"))
        writer.writerows((r.key, r.arrival, r.duration, r.size) for r in requests)


if __name__ == "__main__":
    write_csv(Path(sys.argv[1] if len(sys.argv) > 1 else "year.csv"), synthetic_year())
