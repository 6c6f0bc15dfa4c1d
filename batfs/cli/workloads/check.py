"""``batfs workload check``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from batfs import process
from batfs.cli.workloads import common
from batfs.errors import InputError
from batfs.parsing import add_word

if TYPE_CHECKING:
    from batfs.workload.check import Finding


HELP = """load workloads as strictly as Batsim, and look for traps

  batfs workload check workloads/*.json
  batfs workload check w.json -p platforms/taurus_storage.xml --json

With a platform, jobs are also held against its nodes and its file systems. Exit code: 0 when nothing worse
than a note was found, 1 with warnings or errors, 2 when a file can't be loaded (Batsim would refuse it too).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workloads", type=Path, nargs="+", metavar="WORKLOAD", help="workloads, Batsim JSON")
    common.add_platform(parser)
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    import orjson

    from batfs import json_text
    from batfs.workload.batsim import read_workload
    from batfs.workload.check import SEVERITIES, check_workload

    machine = common.machine(args)
    results: list[tuple[Path, list[Finding], InputError | None]] = []
    for path in args.workloads:
        try:
            results.append((path, check_workload(read_workload(path), machine), None))
        except InputError as error:
            results.append((path, [], error))
    if args.json:
        print(json_text.dumps([_as_json(*result) for result in results], option=orjson.OPT_INDENT_2).decode())
    else:
        for result in results:
            _print(*result)
    if any(error is not None for _, _, error in results):
        return 2
    return int(any(finding.severity != SEVERITIES[-1] for _, found, _ in results for finding in found))


def _as_json(path: Path, found: list[Finding], error: InputError | None) -> dict[str, object]:
    findings = [
        {"severity": f.severity, "place": f.place, "message": f.message, "count": f.count} for f in found
    ]
    return {"file": str(path), "error": None if error is None else str(error), "findings": findings}


def _print(path: Path, found: list[Finding], error: InputError | None) -> None:
    if error is not None:
        process.say("batfs workload check", str(error))
        return
    print(f"{path}: {'ok' if not found else ''}".rstrip())
    for finding in found:
        more = f" (and {finding.count - 1} more)" if finding.count > 1 else ""
        print(f"  {finding.severity:<8}{finding.place}: {finding.message}{more}")
