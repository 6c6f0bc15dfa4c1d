"""What ``batfs sim`` does with its flags."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import FrameType
from typing import Any

from batfs import process
from batfs._core import uncompiled
from batfs.errors import InputError
from batfs.files import holding
from batfs.platform import Machine, Platform, load_platform, number_resources
from batfs.simulator.options import SimulationOptions
from batfs.simulator.simulation import simulate
from batfs.simulator.submitters import read_events
from batfs.texts import utf8_text
from batfs.workload import read_workload
from batfs.workload.model import Workload


class Stopped(BaseException):
    """SIGTERM or SIGINT."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


def settings(options: list[str]) -> dict[str, str]:
    """``--sg-cfg name:value`` entries as a mapping."""
    found = {}
    for option in options:
        for entry in option.split():
            name, colon, value = entry.partition(":")
            if not colon or not name:
                raise InputError(f"--sg-cfg: found {entry!r}, expected NAME:VALUE")
            found[name] = value
    return found


def prepare(
    args: argparse.Namespace,
) -> tuple[Platform, Machine, list[Workload], SimulationOptions]:
    """Read what the flags name. InputError for whatever is wrong with it."""
    if args.enable_profile_reuse and not args.enable_dynamic_jobs:
        raise InputError("--enable-profile-reuse needs --enable-dynamic-jobs, for Batsim too")
    if args.mmax < 0:
        raise InputError(f"--mmax must be at least 0, found {args.mmax}")
    config = args.sched_cfg
    if args.sched_cfg_file is not None:
        config = utf8_text(args.sched_cfg_file)
    platform = load_platform(args.platform, config=settings(args.sg_cfg))
    workloads = [read_workload(path, f"w{i}") for i, path in enumerate(args.workload)]
    limit = args.mmax
    if args.mmax_workload:
        # without workloads there is no limit
        most = max([workload.nb_res for workload in workloads], default=limit)
        limit = min(limit, most) if limit else most
    machine = number_resources(
        platform, master=args.master_host, roles=args.add_role_to_hosts, limit=limit or None
    )
    events = [read_events(path, forward_unknown=args.forward_unknown_events) for path in args.events]
    options = SimulationOptions(
        outputs=args.export,
        schedule_trace=not args.disable_schedule_tracing,
        machine_state_trace=not args.disable_machine_state_tracing,
        forward_profiles=args.forward_profiles_on_submission,
        dynamic_jobs=args.enable_dynamic_jobs,
        acknowledge_dynamic_jobs=args.acknowledge_dynamic_jobs,
        profile_reuse=args.enable_profile_reuse,
        compute_sharing=args.enable_compute_sharing,
        storage_sharing=not args.disable_storage_sharing,
        scheduler_config=config,
        forward_unknown_events=args.forward_unknown_events,
        events=events,
        no_scheduler=args.no_sched,
        keep_io_profiles=True,
        redis=(args.redis_hostname, args.redis_port, args.redis_prefix),
    )
    return platform, machine, workloads, options


def execution_context(args: argparse.Namespace) -> dict[str, str | int | bool]:
    """What Batsim's --dump-execution-context prints."""
    return {
        "socket_endpoint": args.socket_endpoint,
        "redis_enabled": False,
        "redis_hostname": args.redis_hostname,
        "redis_port": args.redis_port,
        "redis_prefix": args.redis_prefix,
        "export_prefix": args.export,
        "external_scheduler": not args.no_sched,
    }


def run_command(args: argparse.Namespace) -> int:
    """Run one simulation against the decision process at the other end of a socket; the exit code."""
    if args.dump_execution_context:
        print(json.dumps(execution_context(args), separators=(",", ":")))
        return 0
    quiet = args.quiet or args.verbosity == "quiet"
    platform, machine, workloads, options = prepare(args)

    def connected() -> Any:
        if args.no_sched:
            return nullcontext(None)
        from batfs.simulator.socket import SocketDecisionProcess

        log = show_message if args.verbosity in ("network-only", "debug") and not quiet else None
        return SocketDecisionProcess(
            args.socket_endpoint, profiles=options.forward_profiles, log=log, patience=args.connect_timeout
        )

    return run_simulation(platform, machine, workloads, options, connected, quiet, f"{args.export}_*")


def run_simulation(
    platform: Platform,
    machine: Machine,
    workloads: list[Workload],
    options: SimulationOptions,
    connected: Callable[[], Any],
    quiet: bool,
    files: str,
) -> int:
    """Simulate with the decision process that ``connected`` gives a context of; the exit code.

    Signals end it in order. ``files``: what to call the outputs when all is well.
    """
    from batfs.simulator.progress import ProgressLine

    for sentence in () if quiet else platform.warnings:
        process.say("batfs sim", f"note: {sentence}")
    slow = uncompiled()
    if slow is not None and not quiet:
        print(f"batfs sim: {slow}", file=sys.stderr)
    terminal = sys.stderr.isatty() and not quiet

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    calm = process.between_steps(stop)
    previous = {number: signal.signal(number, calm) for number in (signal.SIGINT, signal.SIGTERM)}
    line = ProgressLine(terminal)
    options.on_progress = line.show if terminal else None
    try:
        prefix = options.outputs
        if prefix is not None and options.generation == 5:
            prefix = f"{prefix}jobs.csv"  # Batsim 5's prefix may end in a slash: files in that folder
        held = nullcontext() if prefix is None else holding(prefix, "sim")
        with held, connected() as decision_process:
            result = simulate(platform, machine, workloads, decision_process, options)
    except Stopped as stopped:
        line.clear()
        name = signal.Signals(stopped.number).name
        print(f"batfs sim: stopped by {name}; partial files end in .partial", file=sys.stderr)
        return 128 + stopped.number
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    line.clear()
    if result.deadlock:
        print(
            f"batfs sim: {result.stuck} (Batsim reports a deadlock here)",
            file=sys.stderr,
        )
    if not quiet:
        summary = result.summary
        counts: tuple[float | int | str, ...] = result.unreported
        if not options.no_scheduler:
            counts = (summary["nb_jobs"], summary["nb_jobs_success"], summary["makespan"])
        print(
            f"{counts[0]} jobs, {counts[1]} successful, {summary['nb_jobs_rejected']} rejected; "
            f"makespan {counts[2]:.6f} s; files {files}",
            file=sys.stderr,
        )
    return 0


def show_message(direction: str, text: bytes) -> None:
    """A message of the conversation on stderr."""
    mark = ">>" if direction == "sent" else "<<"
    print(f"{mark} {text.decode(errors='replace')}", file=sys.stderr)
