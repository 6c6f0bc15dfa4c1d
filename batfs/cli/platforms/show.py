"""Draw a platform: its zones with what they hold and join, file systems, and Batsim's resource ids.

batfs platform show platforms/taurus_storage.xml
batfs platform show platform.xml --all          every resource in a row of its own
batfs platform show platform.xml --json         the same for programs
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from batfs.cli.machine_flags import add_machine_flags
from batfs.parsing import add_word
from batfs.texts import aligned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", type=Path, metavar="PLATFORM", help="a platform file, SimGrid XML")
    add_machine_flags(parser)
    add_word(parser, "--all", ": every resource in a row of its own", action="store_true")
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from batfs.platform import load_platform, number_resources
    from batfs.platform.drawing import folded, resource_rows, system_rows, tree

    platform = load_platform(args.platform)
    machine = number_resources(
        platform, master=args.master_host, roles=args.add_role_to_hosts, limit=args.mmax or None
    )
    if args.json:
        document = {
            "platform": str(args.platform),
            "master": platform.hosts[machine.master].name,
            "notes": platform.notes,
            "resources": [
                {"id": r.id, "name": r.name, "role": r.role, "properties": dict(r.properties)}
                for r in machine.resources
            ],
        }
        json.dump(document, sys.stdout, indent=1)
        print()
        return 0
    for note in platform.notes:
        print(f"note: {note}", file=sys.stderr)
    print("\n".join(tree(machine)))
    rows = resource_rows(machine)
    titles = ("id", "name", "role", "zone", "file system", "size", "belongs to")
    print()
    print("\n".join(aligned([titles, *(rows if args.all else folded(machine, rows))], (0, 5))))
    systems = system_rows(machine)
    if systems:
        print()
        heads = ("file system", "storages", "capacity", "reads", "writes", "when used at once by")
        print("\n".join(aligned([heads, *systems], (1, 2, 3, 4))))
    return 0
