"""``batfs explain``: where one job's bytes go, and what limits them."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from batfs.cli.machine_flags import add_dynamic_jobs, add_machine_flags
from batfs.errors import InputError, unknown
from batfs.parsing import add_word, at_least, size

if TYPE_CHECKING:
    from batfs.workload.model import Job, Workload

HELP = """show where one job's bytes would go on an empty machine, and what limits them

For one job of a workload on one platform: the storages it gets, each transfer and the links it crosses, the
bottleneck, and the ideal I/O time alone and with every other node doing the same (as the simulator has
it; "at least" where it is a bound). Examples:

  batfs explain -p platforms/io_example.xml -w workloads/io_example.json --job job1
  batfs explain -p platforms/taurus_storage.xml -w workloads/io.json --job 17 --policy worst_fit
  batfs explain -p platforms/pfs_cluster.xml --reads 800GB --nodes 16 --filesystem pfs:stripe_count=4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from batfs.decision.options import add_scheduler_arguments

    add_word(parser, "--platform", required=True)
    add_word(parser, "--workload", "that holds the job", metavar="FILE")
    parser.add_argument("--job", metavar="ID", help="the job's id in the workload [the first with I/O]")
    parser.add_argument(
        "--reads", metavar="SIZE", type=size, help="instead of a workload: bytes read, such as 800GB"
    )
    parser.add_argument("--writes", metavar="SIZE", type=size, help="instead of a workload: bytes written")
    add_word(parser, "--nodes", "of the job, instead of a workload [1]", type=at_least(1))
    parser.add_argument("--on", metavar="IDS", help="the node ids it gets, such as '0-3 8' [the lowest]")
    add_machine_flags(parser)
    add_dynamic_jobs(parser)
    add_word(parser, "--all", ": every transfer and link", action="store_true")
    add_word(parser, "--json", action="store_true")
    add_scheduler_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from batfs.decision.experiment import announced
    from batfs.decision.explain import explain
    from batfs.decision.files import make_on
    from batfs.decision.options import settings_from
    from batfs.platform import load_platform, number_resources
    from batfs.resource_sets import parse_resources
    from batfs.scheduling.storages import need_sizes, storage_table, with_overrides
    from batfs.workload import requested_io
    from batfs.workload.phases import with_io

    platform = load_platform(args.platform)
    machine = number_resources(
        platform, master=args.master_host, roles=args.add_role_to_hosts, limit=args.mmax or None
    )
    config = settings_from(args).configuration()
    compute, storages = announced(machine)
    storages = with_overrides(storages, config)
    try:
        storage_table(storages)
    except InputError as error:
        raise error.at(file=args.platform) from None
    files = make_on(config, compute, storages, args.dynamic_jobs, platform)
    job, workload = _job(args)
    profile = workload.profiles[job.profile]
    parts = [part for _, one, _ in with_io(profile, workload.profiles) for part in requested_io(one)]
    plain = (files.default_reads, files.default_writes)
    used = {name for part in parts for name in ([part.filesystem] if part.filesystem else plain)}
    try:
        need_sizes(storages, used)
    except InputError as error:
        raise error.at(file=args.platform) from None
    nodes = None if args.on is None else parse_resources(args.on)
    found = explain(
        *(platform, machine, files, job, profile, nodes),
        seed=config.seed,
        profiles=workload.profiles,
        jobs=workload.jobs,
        data_sets=config.data_sets,
    )
    if args.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        show(found, everything=args.all)
    return 0 if found.hold is None else 1


def _job(args: argparse.Namespace) -> tuple[Job, Workload]:
    """The job and its workload."""
    from batfs.workload import read_workload, requested_io
    from batfs.workload.model import Job, ParallelHomogeneous, Workload
    from batfs.workload.phases import with_io

    if args.workload is None:
        if args.reads is None and args.writes is None:
            raise InputError("which job?", hint="give a workload (-w) and --job, or --reads and --writes")
        reads, writes = (given or 0 for given in (args.reads, args.writes))
        made = Job("w0!asked", 0.0, args.nodes or 1, "asked")
        asked = ParallelHomogeneous(0.0, 0.0, {"io_reads": reads, "io_writes": writes})
        return made, Workload("w0", made.requested_nodes, (made,), {made.profile: asked})
    workload = read_workload(args.workload)
    if args.job is None:
        for job in workload.jobs:
            profile = workload.profiles[job.profile]
            parts = with_io(profile, workload.profiles)
            if any(requested_io(part, f"profiles.{name or job.profile}") for name, part, _ in parts):
                return job, workload
        raise InputError("no job of this workload asks for I/O", file=args.workload)
    for job in workload.jobs:
        if args.job in (job.id, job.name):
            return job, workload
    raise unknown("job", args.job, (job.name for job in workload.jobs[:20]), file=args.workload)


def show(found: Any, *, everything: bool) -> None:
    """Print an explanation for a person."""
    from batfs.filesystems.interface import phase_of
    from batfs.filesystems.traffic import by_destination, by_source, total
    from batfs.resource_sets import format_resources
    from batfs.units import format_bandwidth, format_size

    limit = None if everything else 12

    def named(i: int) -> str:
        return f"{i} {found.names[i]}"

    print(f"{found.job} on nodes {format_resources(found.nodes)}")
    for note in found.notes:
        print(f"  note: {note}")
    for use in found.data_sets:
        print(f"  data set {use.sentence(found.names)}")
    if found.hold is not None:
        print(f"  can't start: {found.hold.sentence(found.names)}")
        return
    for volume, plan in zip(found.volumes, found.plans, strict=True):
        phase, _ = phase_of(volume)
        print(f"\nfile system {plan.file_system}" + (f", for the phase {phase!r}" if phase else ""))
        held: dict[int, int] = {}
        for p in plan.placements:
            held[p.storage] = held.get(p.storage, 0) + p.size
        reads, writes = by_source(plan.reads), by_destination(plan.writes)
        ids = sorted({*held, *reads, *writes})
        rows: list[tuple[str, ...]] = [("storage", "held", "read", "written")]
        rows += [
            (named(i), *(format_size(column.get(i, 0)) for column in (held, reads, writes)))
            for i in ids[:limit]
        ]
        _table(rows)
        _more(len(ids), limit)
        if plan.internal:
            print(f"  and {format_size(total(plan.internal))} moved internally (copies, forwarding)")
        for key, value in plan.notes.items():
            if isinstance(value, str | int | float | list):
                print(f"  {key}: {value}")
    for part in found.parts:
        often = f", {part.times} times" if part.times > 1 else ""
        print(f"\n{part.when}{often}: {format_size(part.bytes)} in {len(part.flows)} transfers")
        rows = [("from", "to", "bytes", "for", "links crossed")]
        for flow in part.flows[:limit]:
            rows.append(
                (
                    named(flow.source),
                    named(flow.destination),
                    format_size(flow.size),
                    flow.kind,
                    " > ".join(flow.links) or "none",
                )
            )
        _table(rows)
        _more(len(part.flows), limit)
        rows = [("link", "bandwidth", "bytes over it", "alone", "jobs on it", "all of theirs")]
        for crossed in part.links[:limit]:
            rows.append(
                (
                    crossed.link,
                    format_bandwidth(crossed.bandwidth),
                    format_size(crossed.bytes),
                    f"{crossed.alone:.3f} s",
                    str(crossed.jobs),
                    f"{crossed.shared:.3f} s",
                )
            )
        _table(rows)
        _more(len(part.links), limit)
        _times(part)


def _times(part: Any) -> None:
    """What a part takes, and why."""
    least = "at least " if part.bound else ""
    alone, shared = part.ideal
    slowest, busiest = part.bottleneck, part.busiest
    of = f"; the bottleneck is {slowest.link}" if slowest is not None else ""
    print(f"  ideal time alone: {least}{alone:.3f} s{of}")
    longest = slowest.alone if slowest is not None else 0.0
    if part.work_bound > max(longest, part.gamma_bound):
        print("  (limited by metadata operations: the work that goes with the bytes)")
    elif part.gamma_bound > longest:
        print("  (limited by TCP-gamma: latency times bytes of the longest transfer)")
    of = f"; the busiest link is {busiest.link}" if busiest is not None else ""
    when = " if all begin this part together" if part.by_itself and part.copies else ""
    print(f"  with {part.copies} more such jobs on the other nodes: {least}{shared:.3f} s{when}{of}")
    if part.bound:
        print("  (bounds: other parts of the job may move at the same time)")
    elif any(abs(a - b) > 1e-6 for a, b in zip(part.computing, part.ideal, strict=True)):
        alone, shared = part.computing
        print(f"  with what the job computes: {alone:.3f} s alone, {shared:.3f} s with the others")


def _table(rows: list[tuple[str, ...]]) -> None:
    if len(rows) < 2:
        return
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _more(count: int, limit: int | None) -> None:
    if limit is not None and count > limit:
        print(f"  ... and {count - limit} more (--all lists them)")
