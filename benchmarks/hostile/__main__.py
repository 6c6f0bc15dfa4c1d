"""Hostile input, much of it; exit code 1 for a finding.

    python -m benchmarks.hostile messages ROLE [--count 1000000] [--seed 1]
    python -m benchmarks.hostile lines [--count 100000] [--seed 1] [--workers 2]
    python -m benchmarks.hostile interrupts [--count 400] [--seed 1]
    python -m benchmarks.hostile conversations ROLE [--count 10000] [--seed 1] [--workers 2]

``messages``: mutated messages to running processes, as anybody, client, operator, server (to an
orchestrator), orchestrator (to a server), metrics or page (requests of the web). ``lines``: command lines and
input files of every format, damaged, in odd surroundings. ``conversations``: rogue ones with sim, sched or
proxy. ``interrupts``: Ctrl-C at any moment of any command. Nothing may end but with a documented exit code,
nor hang, print a traceback or take much memory.
"""

from __future__ import annotations

import argparse
import sys

MESSAGES = ("anybody", "client", "operator", "server", "orchestrator", "metrics", "page")
CONVERSATIONS = ("sim", "sched", "proxy")


def command() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hostile", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", choices=("messages", "lines", "conversations", "interrupts"))
    parser.add_argument("role", nargs="?", choices=(*MESSAGES, *CONVERSATIONS), metavar="ROLE")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, metavar="N", help="lines: case N alone, its files are kept")
    args = parser.parse_args()
    roles = {"messages": MESSAGES, "conversations": CONVERSATIONS, "lines": (None,), "interrupts": (None,)}[
        args.what
    ]
    if args.role not in roles:
        parser.error(f"{args.what} are of {', '.join(map(str, roles))}, not {args.role}")
    if args.what == "interrupts":
        from benchmarks.hostile.interrupts import interrupts

        return interrupts(args.count or 400, args.seed)
    if args.what == "lines":
        from benchmarks.hostile.lines import lines

        return lines(args.count or 100_000, args.seed, args.workers, args.only)
    if args.what == "conversations":
        from benchmarks.hostile.conversations import conversations

        return conversations(args.role, args.count or 10_000, args.seed, args.workers)
    if args.role in ("metrics", "page"):
        from benchmarks.hostile.web import web

        return web(args.role, args.count or 1_000_000, args.seed)
    from benchmarks.hostile.messages import messages

    return messages(args.role, args.count or 1_000_000, args.seed)


if __name__ == "__main__":
    sys.exit(command())
