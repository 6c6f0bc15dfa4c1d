"""``batfs platform``: make, draw and compare platforms."""

from __future__ import annotations

from batfs.parsing import Parser, commands

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


def add_arguments(parser: Parser) -> None:
    commands(parser, COMMANDS)
