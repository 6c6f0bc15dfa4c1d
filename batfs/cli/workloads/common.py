"""What several verbs of `batfs workload` share: reading flags with units, writing the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from batfs.errors import InputError
from batfs.units import format_size
from batfs.workload.batsim import workload_lines, write_workload
from batfs.workload.model import Workload

T = TypeVar("T")


def unit(parse: Callable[[str], T]) -> Callable[[str], T]:
    """An argparse type from one of batfs.units' parsers."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the workload file to write (default: standard output)",
    )


def write(workload: Workload, output: Path | None) -> None:
    """Write ``workload`` to ``output`` and say what it is; to standard output without a word."""
    if output is None:
        sys.stdout.writelines(workload_lines(workload))
        return
    write_workload(output, workload)
    print(f"{output}: {summary(workload)}")


def summary(workload: Workload) -> str:
    """One line: how many jobs over what time, and their bytes."""
    reads = writes = 0.0
    for job in workload.jobs:
        extra = workload.profiles[job.profile].extra
        reads += extra.get("io_reads", 0)
        writes += extra.get("io_writes", 0)
    days = (
        (workload.jobs[-1].submission_time - workload.jobs[0].submission_time) / 86400 if workload.jobs else 0
    )
    return (
        f"{len(workload.jobs)} jobs for {workload.nb_res} nodes over {days:.4g} days,"
        f" {format_size(reads)} read, {format_size(writes)} written"
    )
