"""``batfs platform``: make, draw and compare platforms."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from typing import Protocol, cast

HELP = """Make, draw and compare platforms (SimGrid XML that Batsim and batfs read).

  batfs platform new bb_cluster -o bb.xml          one of the platforms that come with batfs
  batfs platform new --nodes 64 --racks 4 --pfs 4x2 --set pfs.size=40TB -o my.xml
  batfs platform new my.toml -o my.xml             the same from a file
  batfs platform from-storalloc system.yml --nodes 128 -o pool.xml
  batfs platform show platforms/taurus_storage.xml
  batfs platform diff old.xml new.xml
  batfs platform convert old.xml -o new.xml
  batfs platform add-throttles mine.xml -o throttled.xml
"""

# name -> module, one line
COMMANDS = {
    "new": ("batfs.cli.platforms.new", "make a platform from a name, a small TOML file or flags"),
    "from-storalloc": ("batfs.cli.platforms.storalloc", "the NVMe-oF pool of a StorAlloc system file"),
    "show": ("batfs.cli.platforms.show", "draw zones, links and storages; list resource ids"),
    "convert": ("batfs.cli.platforms.convert", "rewrite a file of an earlier SimGrid as 3.34 reads it"),
    "add-throttles": ("batfs.cli.platforms.throttles", "add links that limit the rates of transfers"),
    "diff": ("batfs.cli.platforms.diff", "what changed in hosts, links, routes and bandwidths"),
}


class Command(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


def _available() -> dict[str, tuple[str, str]]:
    return {name: entry for name, entry in COMMANDS.items() if importlib.util.find_spec(entry[0])}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module_name, line) in _available().items():
        module = cast(Command, importlib.import_module(module_name))
        sub = commands.add_parser(
            name,
            help=line,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run_command=module.run)


def run(args: argparse.Namespace) -> int:
    return int(args.run_command(args))
