"""What several verbs of `batfs workload` share: reading flags with units, writing the result."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from batfs.cli.machine_flags import add_machine_flags
from batfs.errors import InputError
from batfs.files import write_text
from batfs.parsing import add_word
from batfs.units import format_size, parse_size

if TYPE_CHECKING:
    from batfs.workload.check import MachineFacts
    from batfs.workload.model import Workload


Show: TypeAlias = Callable[[float], str]


def add_workload(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", type=Path, metavar="WORKLOAD", help="a workload, Batsim JSON")


def add_output(parser: argparse.ArgumentParser) -> None:
    add_word(parser, "--output", "[standard output]", type=Path, metavar="FILE")


def add_platform(parser: argparse.ArgumentParser) -> None:
    add_word(parser, "--platform", "whose nodes and storages count")
    add_machine_flags(parser)


def machine(args: argparse.Namespace) -> MachineFacts | None:
    """What the platform of ``-p`` has (None without one); the slowest speed where nodes differ."""

    from batfs.workload.check import MachineFacts

    if args.platform is None:
        return None
    from batfs.platform import load_platform, number_resources

    platform = load_platform(args.platform)
    numbered = number_resources(
        platform, master=args.master_host, roles=args.add_role_to_hosts, limit=args.mmax or None
    )
    sizes: dict[str, int | None] = {}
    for storage in numbered.storages:
        properties = {**storage.zone_properties, **storage.properties}
        name = properties.get("filesystem")
        if name is not None:
            before, size = sizes.get(name, 0), properties.get("size")
            sizes[name] = None if size is None or before is None else before + parse_size(size)
    speed = min(platform.hosts[node.host].speed for node in numbered.compute)
    return MachineFacts(numbered.nb_compute, speed, sizes)


class Progress:
    """``1200 of 3000 logs read`` on standard error: on a terminal only, after two seconds."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._begin = time.monotonic()

    def __call__(self, done: int) -> None:
        if time.monotonic() - self._begin < 2 or not sys.stderr.isatty():
            return
        of = "" if self._total is None else f" of {self._total}"
        print(
            f"\r{done}{of} {self._what}", end="\n" if done == self._total else "", file=sys.stderr, flush=True
        )


def write(workload: Workload, output: Path | None) -> None:
    """Write ``workload`` to ``output`` and say what it is; to standard output without a word.

    What is written has been read back first: nothing is written that can't be read. InputError otherwise.
    """

    from batfs.workload.batsim import parse_workload, workload_lines
    from batfs.workload.traces import settled

    if output is not None:
        workload = settled(workload, output)
    elif workload.trace_flops != 1.0:
        raise InputError("the traces are scaled too and need a place: name the workload with -o")
    text = "".join(workload_lines(workload))
    try:
        parse_workload(text.encode(), workload.name, str(output or workload.path))
    except InputError as error:
        raise InputError(f"the workload made can't be read back: {error}", file=output) from None
    if output is None:
        sys.stdout.write(text)
        return
    said = summary(workload)
    write_text(output, text)
    print(f"{output}: {said}")


def summary(workload: Workload) -> str:
    """One line: how many jobs over what time, and their bytes."""

    from batfs.workload.model import Composed
    from batfs.workload.phases import io_over_phases

    reads = writes = 0.0
    for job in workload.jobs:
        profile = workload.profiles[job.profile]
        if isinstance(profile, Composed):
            parts = io_over_phases(profile, workload.profiles)
            reads += sum(part.reads for part in parts)
            writes += sum(part.writes for part in parts)
            continue
        for key in ("io_reads", "io_writes"):
            if not isinstance(profile.extra.get(key, 0), int | float):
                found = f"found {profile.extra[key]!r:.60}, expected bytes"
                raise InputError(found, file=workload.path or None, place=f"profiles.{job.profile}.{key}")
        reads += profile.extra.get("io_reads", 0)
        writes += profile.extra.get("io_writes", 0)
    days = (
        (workload.jobs[-1].submission_time - workload.jobs[0].submission_time) / 86400 if workload.jobs else 0
    )
    return (
        f"{len(workload.jobs)} jobs for {workload.nb_res} nodes over {days:.4g} days,"
        f" {format_size(reads)} read, {format_size(writes)} written"
    )
