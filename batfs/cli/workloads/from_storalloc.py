"""``batfs workload from-storalloc``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batfs.cli.workloads import convert
from batfs.errors import InputError
from batfs.parsing import add_word, at_least

if TYPE_CHECKING:
    from batfs.workload.model import Json
    from batfs.workload.recorded import RecordedJob
    from batfs.workload.storalloc import TraceJob


HELP = """convert a trace of StorAlloc or Fives (YAML)

  batfs workload from-storalloc IOJobsOct.yml --io-on lustre -o oct.json
  batfs workload from-storalloc theta2022_week4.yaml --zone UTC -o week.json

Such traces have one row per Darshan record, each with its whole job's window; the rows of one id become one
job (bytes added up) unless --no-merge, which makes each a job of its own (470732, 470732#1, ...). Times
without an offset are on the clock of --zone. The recorded waiting time and, where the trace has them, the
measured I/O seconds stay in the job's "recorded" member.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, metavar="TRACE", help="the trace, YAML")
    add_word(parser, "--zone", "[%(default)s]", default="UTC")
    add_word(parser, "--no-merge", "[they are added up]", action="store_true")
    convert.add_io_on(parser)
    add_word(parser, "--processors-per-node", old=("--cores-per-node",), type=at_least(1))
    convert.add_compute(parser, phases=False)
    convert.add_arguments(parser, io=False)


def run(args: argparse.Namespace) -> int:
    from batfs.workload.account import Report
    from batfs.workload.storalloc import read_trace

    report = Report(args.trace.name)
    rows = read_trace(args.trace, zone=args.zone, merge=not args.no_merge)
    report.records = sum(row.records for row in rows)
    merged = report.records - len(rows)
    if merged:
        report.changed["row merged into the job with its id"] = merged
    jobs = recorded(rows, args.filesystem, args.processors_per_node, args.trace)
    return convert.finish(args, jobs, None, report)


def recorded(
    rows: Iterable[TraceJob], filesystem: str | None, cores_per_node: int | None, file: Path
) -> Iterator[RecordedJob]:
    """Each row of a trace as a job; InputError for one whose size can't be told."""

    from batfs.workload.io import RequestedIo
    from batfs.workload.numbers import plain
    from batfs.workload.recorded import RecordedJob

    for row in rows:
        nodes = row.nodes
        if nodes is None and row.cores is not None and cores_per_node:
            nodes = -(-row.cores // cores_per_node)
        if nodes is None:
            hint = "--processors-per-node makes nodes of cores" if row.cores is not None else None
            raise InputError(
                f"the job {row.id} has no number of nodes", file=file, place=row.place, hint=hint
            )
        extra: dict[str, Json] = {"wait": row.start - row.submission}
        extra |= {key: plain(value) for key, value in row.extra.items() if isinstance(value, int | float)}
        io = RequestedIo(filesystem, row.read_bytes, row.written_bytes)
        yield RecordedJob(
            id=row.id,
            submission=row.submission,
            nodes=nodes,
            runtime=row.duration,
            requested_time=row.walltime,
            io=(io,) if io.reads or io.writes else (),
            extra={"recorded": extra},
            start=row.start,
            io_seconds=io_seconds(row),
        )


def io_seconds(row: TraceJob) -> float | None:
    """What a process spent in I/O on average: Fives's seconds are sums over processes. None: not measured."""
    found = (row.extra.get(key) for key in _SECONDS)
    seconds = [value for value in found if isinstance(value, int | float) and value >= 0]
    if len(seconds) < len(_SECONDS):
        return None
    runs = row.extra.get("runs") or ()
    counts = [run.get("nprocs") for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    counts += [row.extra.get("MPIprocs"), row.cores, row.nodes]
    processes = next((count for count in counts if isinstance(count, int) and count > 0), 1)
    processes = max([processes, *(c for c in counts[: len(runs)] if isinstance(c, int))])
    return round(math.fsum(seconds) / processes, 6)


_SECONDS: Final = ("readTimeSeconds", "writeTimeSeconds", "metaTimeSeconds")
