"""All parsers of the three programs, by the words that call them."""

from __future__ import annotations

from collections.abc import Iterator

from batfs.cli.main import make_parser
from batfs.decision.command import make_parser as sched
from batfs.decision.proxy_command import make_parser as proxy
from batfs.parsing import Parser

#: Command lines of other programs, taken over with all their words.
FOREIGN = ("batfs sim", "batfs sim --protocol 5", "batfs service client")


def every_parser() -> Iterator[tuple[str, Parser]]:
    yield from make_parser().walk("batfs")
    yield "batfs sim --protocol 5", make_parser().command("sim", ["--protocol", "5"])
    yield "batfs-sched", sched()
    yield "batfs-proxy", proxy()
