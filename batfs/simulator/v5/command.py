"""What ``batfs sim --protocol 5`` does with its flags."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batfs.errors import InputError
from batfs.platform import Machine, Platform, load_platform, number_resources
from batfs.protocol.v5.simulator_side import Features
from batfs.simulator.command import run_simulation, settings, show_message
from batfs.simulator.options import SimulationOptions
from batfs.simulator.v5.events import read_events
from batfs.simulator.v5.links import Component, Conversation, Library, Process
from batfs.texts import utf8_text
from batfs.workload import read_workload
from batfs.workload.model import Workload


def config_words(path: str) -> list[str]:
    """The flags that a TOML file stands for: ``platform = "p.xml"`` is ``--platform p.xml``."""
    import tomllib

    try:
        found = tomllib.loads(utf8_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"cannot read the configuration: {error}", file=path) from None
    words: list[str] = []
    for key, value in found.items():
        if isinstance(value, bool):
            words += [f"--{key}"] if value else []
        elif isinstance(value, list):
            words += [f"--{key}", *map(str, value)]
        elif isinstance(value, Mapping):
            raise InputError("found a table, expected a value", file=path, place=key)
        else:
            words += [f"--{key}", str(value)]
    return words


def prepare(args: argparse.Namespace) -> tuple[Platform, Machine, list[Workload], SimulationOptions]:
    """Read what the flags name. InputError for whatever is wrong with it."""
    if args.platform is None:
        raise InputError("no platform given", hint="-p FILE")
    if args.mmax < 0:
        raise InputError(f"--mmax must be at least 0, found {args.mmax}")
    platform = load_platform(args.platform, config=settings(args.sg_cfg))
    workloads = [read_workload(path, f"w{i}", 5) for i, path in enumerate(args.workload)]
    limit = args.mmax
    if args.mmax_workload:
        if not workloads:
            raise InputError("--mmax-workload needs a workload", hint="-w FILE")
        most = max(workload.nb_res for workload in workloads)
        limit = min(limit, most) if limit else most
    roles = [f"{host}:{role}" for host, role in args.add_role]
    machine = number_resources(
        platform, master=args.master_host, roles=roles, limit=limit or None, generation=5
    )
    lists = {f"ee{i}": str(Path(path).absolute()) for i, path in enumerate(args.events)}
    options = SimulationOptions(
        outputs=args.export,
        machine_state_trace=args.trace_machine_state,
        pstate_trace=args.trace_pstate_changes,
        events=[read_events(path, name) for path, name in zip(args.events, lists, strict=True)],
        event_lists=lists,
        generation=5,
    )
    return platform, machine, workloads, options


def component(args: argparse.Namespace) -> tuple[Component, str]:
    """The one decision component that the flags name, and its init string."""
    given = [
        (of, *pair, from_file)
        for of, pairs, from_file in (
            (Process, args.edc_socket_str, False),
            (Process, args.edc_socket_file, True),
            (Library, args.edc_library_str, False),
            (Library, args.edc_library_file, True),
        )
        for pair in pairs
    ]
    if len(given) != 1:
        found = f"{len(given)} were given" if given else "none was given"
        raise InputError(
            f"exactly one decision component is needed, {found}", hint="-s tcp://localhost:28000 ''"
        )
    of, where, init, from_file = given[0]
    if from_file:
        try:
            init = utf8_text(init)
        except InputError as error:
            problem = f"cannot read the init file: {error.problem.removeprefix('cannot read: ')}"
            raise InputError(problem, file=init) from None
    if of is Library:
        return Library(where), init
    return Process(where, args.connect_timeout, "Batsim 5"), init


def take_on(features: Features, options: SimulationOptions, workloads: list[Workload]) -> None:
    """Set the options to what the decision component asks for in its hello."""
    options.dynamic_jobs = features.dynamic_registration
    options.acknowledge_dynamic_jobs = features.acknowledge_dynamic_jobs
    options.profile_reuse = features.dynamic_registration and features.profile_reuse
    options.forward_profiles = features.forward_profiles_on_job_submission
    options.forward_profiles_on_kill = features.forward_profiles_on_jobs_killed
    if features.forward_profiles_on_simulation_begins:
        for workload in workloads:
            for name in workload.removed_profiles:
                raise InputError(
                    f"no job uses the profile {name!r}: forward_profiles_on_simulation_begins, which the "
                    "hello asks for, makes Batsim 5.0.0-rc2 crash on it",
                    file=workload.path,
                )


def run_command(args: argparse.Namespace) -> int:
    """Run one simulation against the decision component; the exit code."""
    if args.dump_execution_context:
        print(json.dumps(vars(args), indent=2, sort_keys=True, default=str))
        return 0
    quiet = args.quiet or args.verbosity == "quiet"
    platform, machine, workloads, options = prepare(args)

    def connected() -> Any:
        found, init = component(args)
        log = show_message if args.verbosity == "debug" and not quiet else None
        conversation = Conversation(found, log)
        try:
            take_on(conversation.greet(init), options, workloads)
        except BaseException:
            found.close()
            raise
        return conversation

    code = run_simulation(platform, machine, workloads, options, connected, quiet, f"{args.export}*")
    if code == 0 and args.trace_machine_state and not quiet:
        print(
            "batfs sim: machine_states.csv counts every machine, storages too, as idle or computing; that of "
            "Batsim 5.0.0-rc2 never gets idle again",
            file=sys.stderr,
        )
    return code
