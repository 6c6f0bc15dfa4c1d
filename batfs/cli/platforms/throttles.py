"""Add throttles to a platform file: links that limit the rates of transfers, for I/O policies that do (cap).

  batfs platform add-throttles mine.xml -n 64 -o throttled.xml

Each limited transfer under way takes one. They are storages that hold nothing, last in order: no resource id
changes, and allocation policies, reports and 'batfs check' don't see them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from batfs import texts
from batfs.cli.platforms.new import verified
from batfs.files import write_text
from batfs.parsing import add_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", type=Path, metavar="PLATFORM", help="a platform file, SimGrid XML")
    add_word(
        parser,
        "--count",
        "[%(default)s]",
        old=("--throttles",),
        dest="throttles",
        type=int,
        default=64,
    )
    add_word(parser, "--output", "[standard output]", type=Path, metavar="FILE")
    add_word(parser, "--master-host", "[%(default)s]", default="master_host")


def run(args: argparse.Namespace) -> int:
    from batfs.platform import load_platform, number_resources
    from batfs.platform.throttles import with_throttles

    machine = number_resources(load_platform(args.platform), master=args.master_host)
    text = with_throttles(texts.utf8_text(args.platform), machine, args.throttles)
    summary = verified(text, args.master_host)
    if args.output is None:
        sys.stdout.write(text)
    else:
        write_text(args.output, text)
        print(f"{args.output}: {summary}, {args.throttles} throttles")
    return 0
