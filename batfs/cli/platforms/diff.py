"""Compare two platforms: hosts and ids, links, routes, and the bandwidths that come of them.

  batfs platform diff old.xml new.xml

Changes alike in places whose names differ in a number only are one line; --all shows each.

Exit code 0 when nothing differs, 1 when something does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batfs.cli.machine_flags import add_machine_flags
from batfs.parsing import add_word, at_least

if TYPE_CHECKING:
    from batfs.platform.changes import Change


SHOWN = 20
ROUTES = 20_000  # as the platform room has it, which is imported when there is something to do


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, metavar="OLD", help="a platform file, SimGrid XML")
    parser.add_argument("new", type=Path, metavar="NEW", help="the one it is compared with")
    add_machine_flags(parser)
    parser.add_argument(
        "--routes",
        type=at_least(1),
        metavar="N",
        help=f"pairs of hosts compared, a sample of all [{ROUTES}]",
    )
    add_word(parser, "--all", f": not the first {SHOWN} lines of a kind", action="store_true")
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from batfs.platform import load_platform, number_resources
    from batfs.platform.changes import told
    from batfs.platform.difference import compare

    old, new = (
        number_resources(
            load_platform(file),
            master=args.master_host,
            roles=args.add_role_to_hosts,
            limit=args.mmax or None,
        )
        for file in (args.old, args.new)
    )
    found = compare(old, new, limit=args.routes or ROUTES)
    kinds: dict[str, Sequence[Change | str]] = {
        "hosts": found.hosts,
        "links": found.links,
        "routes": found.routes,
        "bandwidths": found.bandwidths,
    }
    if args.json:
        lists = {kind: [str(change) for change in changes] for kind, changes in kinds.items()}
        json.dump({**lists, "compared": found.compared, "pairs": found.pairs}, sys.stdout, indent=1)
        print()
        return int(bool(found))
    for kind, changes in kinds.items():
        lines = [line for change in changes for line in told([change])] if args.all else told(changes)
        if lines:
            print(f"{kind}: {len(changes)}")
            for line in lines if args.all else lines[:SHOWN]:
                print(f"  {line}")
            if len(lines) > SHOWN and not args.all:
                print(f"  … and {len(lines) - SHOWN} more (--all)")
    if not found:
        print("no difference")
    if found.compared < found.pairs:
        print(f"(a sample of {found.compared} of {found.pairs} routes was compared)")
    return int(bool(found))
