from __future__ import annotations

import argparse
import sys

from benchmarks.hostile.lines import lines


def command() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("lines",))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    return lines(args.count, args.seed, args.workers)


sys.exit(command())
