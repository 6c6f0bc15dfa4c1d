"""Rewrite a platform file of an earlier SimGrid, or one that only XML parsers take, as SimGrid 3.34 reads it.

  batfs platform convert old.xml -o new.xml

The declaration and the DOCTYPE become SimGrid's, byte-order marks and other encodings UTF-8, options of
earlier versions get their present names, links without a latency get 0. Comments and everything else stay.
What is left to do by hand is told, as by 'batfs check'; exit code 1 then.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from batfs.errors import InputError
from batfs.files import write_text
from batfs.parsing import add_word
from batfs.texts import read_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", type=Path, metavar="PLATFORM", help="a platform file of any SimGrid")
    add_word(parser, "--output", "[standard output]", type=Path, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    from batfs.platform import load_platform
    from batfs.platform.convert import modernised

    raw = read_bytes(args.platform, "the platform")
    text, done = modernised(raw)
    if args.output is None:
        sys.stdout.write(text)
        return 0
    write_text(args.output, text)
    print(f"{args.output}: {'; '.join(done) if done else 'nothing had to be changed'}")
    try:
        platform = load_platform(args.output)
    except InputError as error:
        print(f"left to do: {error}")
        return 1
    for line, why in platform.refused:
        print(f"left to do: {args.output}: line {line}: {why}")
    return int(bool(platform.refused))
