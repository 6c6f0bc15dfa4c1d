"""``batfs run``: one simulation, from input files to a table of results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs import process
from batfs.cli.machine_flags import add_dynamic_jobs, add_machine_flags
from batfs.errors import InputError
from batfs.parsing import add_word
from batfs.texts import utf8_text

if TYPE_CHECKING:
    from batfs.decision.experiment import Experiment

HELP = """Simulate a workload on a platform: jobs compete for nodes and for storage.

examples:
  batfs run -p platforms/taurus_storage.xml -w workloads/io.json --policy random
  batfs run -p platforms/taurus_storage.xml -w workloads/io.json --queue easy --policy worst_fit -e out/easy
  batfs run -p platforms/taurus_storage.xml -w workloads/io.json --config my.toml --seed 7 --json
  batfs run -p platforms/taurus_storage.xml -w workloads/io.json --queue pybatsim:schedFiller
  batfs run -p platforms/taurus_storage.xml -w workloads/io.json --engine batsim

Writes Batsim's PREFIX_jobs.csv, PREFIX_schedule.csv, PREFIX_machine_states.csv and PREFIX_schedule.trace, and
PREFIX_io_jobs.csv, PREFIX_storage_states.csv and PREFIX_provenance.json. Exit code: 0, 1 when the simulation
could not be completed, 2 for wrong input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from batfs.decision.options import add_scheduler_arguments

    source = parser.add_argument_group("input")
    add_word(source, "--platform", required=True)
    add_word(source, "--workload", "(repeatable)", metavar="FILE", action="append", required=True)
    add_scheduler_arguments(parser)
    output = parser.add_argument_group("output")
    add_word(output, "--export", "[%(default)s]", default="out/run")
    add_word(output, "--json", action="store_true")
    add_word(output, "--verbose", ": what a pybatsim scheduler prints, too", action="store_true")
    add_word(output, "--quiet", action="store_true")
    output.add_argument("--disable-schedule-tracing", action="store_true", help="no PREFIX_schedule.trace")
    output.add_argument(
        "--disable-machine-state-tracing", action="store_true", help="no PREFIX_machine_states.csv"
    )
    output.add_argument(
        "--what-if",
        metavar="WHAT=MORE",
        action="append",
        default=[],
        help="what a larger machine would make of it: storage=unlimited, a file system bb=unlimited, "
        "bb=x2 or bb=6TB, bandwidth=x2 (of the storages' links), nodes=x2, nodes=64 or nodes=unlimited; "
        "repeatable",
    )
    engine = parser.add_argument_group("simulator")
    engine.add_argument(
        "--engine",
        choices=("batfs", "batsim"),
        default="batfs",
        help="batfs's own simulator, or the real Batsim with the same scheduler [%(default)s]",
    )
    add_word(engine, "--protocol", "(batfs's own simulator) [%(default)s]", choices=("4", "5"), default="4")
    engine.add_argument(
        "--debug-solver", metavar="FILE", help="write each round of batfs's own solver to it, in words"
    )
    engine.add_argument("--batsim-bin", metavar="FILE", help="the Batsim to start [batsim on PATH]")
    machine = parser.add_argument_group("Batsim's settings (with Batsim's meaning)")
    add_machine_flags(machine, events=True)
    machine.add_argument(
        "--mmax-workload", action="store_true", help="use as many nodes as the workloads' nb_res"
    )
    machine.add_argument(
        "--sg-cfg",
        metavar="NAME:VALUE",
        action="append",
        default=[],
        help="a SimGrid option, such as network/TCP-gamma:65536 (repeatable)",
    )
    either = machine.add_mutually_exclusive_group()
    either.add_argument("--sched-cfg", metavar="TEXT", default="", help="the scheduler's configuration")
    either.add_argument("--sched-cfg-file", metavar="FILE", help="the same from a file")
    add_dynamic_jobs(machine)
    machine.add_argument(
        "--acknowledge-dynamic-jobs", action="store_true", help="announce the scheduler's own jobs to it"
    )
    machine.add_argument("--enable-profile-reuse", action="store_true", help="keep profiles of finished jobs")
    machine.add_argument(
        "--forward-profiles-on-submission", action="store_true", help="send profiles with jobs"
    )
    machine.add_argument(
        "--enable-compute-sharing", action="store_true", help="several jobs may share a compute node"
    )
    machine.add_argument(
        "--disable-storage-sharing", action="store_true", help="a storage takes one job at a time"
    )


def run(args: argparse.Namespace) -> int:
    from batfs.decision.signals import termination_raises

    with termination_raises():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from batfs import json_text
    from batfs.decision.options import settings_from

    experiment = _experiment(args)
    settings = settings_from(args)
    wishes = []
    if args.what_if:
        from batfs.decision.what_if import changed, parse_what_if

        wishes = [parse_what_if(text) for text in args.what_if]
        for what in wishes:  # what is wrong with them is said before the run
            changed(experiment, settings, what)
    say = _quiet if args.quiet else _note
    from batfs.decision import run as decision_run

    if args.engine == "batsim":
        if args.protocol == "5":
            raise InputError("--protocol goes with batfs's own simulator: Batsim says which one it is")
        if args.debug_solver:
            raise InputError("--debug-solver goes with batfs's own simulator")
        from batfs.decision.engine import run_with_batsim

        result = run_with_batsim(
            experiment, settings, args.export, batsim=args.batsim_bin, command=_command(), say=say
        )
    else:
        if args.batsim_bin:
            raise InputError("--batsim-bin goes with --engine batsim")
        line = _progress_line(args)
        try:
            result = decision_run.run(
                experiment,
                settings,
                args.export,
                command=_command(),
                on_progress=None if line is None else line.show,
                say=say,
                prints_to=sys.stderr if args.verbose else None,
            )
        finally:
            if line is not None:
                line.clear()
    found = []
    if wishes:
        from batfs.decision.what_if import outcomes
        from batfs.records import replace

        found = outcomes(wishes, replace(experiment, solver_log=None), settings, result.summary)
    if args.json:
        import orjson

        if wishes:
            result.summary["what_if"] = found
        document = {**result.summary, "files": [str(path) for path in result.files]}
        print(json_text.dumps(document, option=orjson.OPT_INDENT_2).decode())
    elif not args.quiet:
        from batfs.cli.tables import results, what_ifs

        print(results(result))
        if found:
            print(f"\n{what_ifs(found)}")
    if result.deadlock:
        print(f"batfs run: {result.stuck}", file=sys.stderr)
        return 1
    return 0


def _progress_line(args: argparse.Namespace) -> Any:
    if args.quiet or not sys.stderr.isatty():
        return None
    from batfs.simulator.progress import ProgressLine

    return ProgressLine(True)


def _experiment(args: argparse.Namespace) -> Experiment:
    from batfs.decision.experiment import Experiment
    from batfs.simulator.command import settings as simgrid_settings

    config = args.sched_cfg
    if args.sched_cfg_file is not None:
        config = utf8_text(args.sched_cfg_file)
    return Experiment(
        platform=Path(args.platform),
        workloads=[Path(path) for path in args.workload],
        generation=int(args.protocol),
        solver_log=None if args.debug_solver is None else Path(args.debug_solver),
        master=args.master_host,
        roles=args.add_role_to_hosts,
        mmax=args.mmax,
        mmax_workload=args.mmax_workload,
        sg_config=simgrid_settings(args.sg_cfg),
        events=[Path(path) for path in args.events],
        dynamic_jobs=args.dynamic_jobs,
        acknowledge_dynamic_jobs=args.acknowledge_dynamic_jobs,
        profile_reuse=args.enable_profile_reuse and args.dynamic_jobs,
        forward_profiles=args.forward_profiles_on_submission,
        compute_sharing=args.enable_compute_sharing,
        storage_sharing=not args.disable_storage_sharing,
        schedule_trace=not args.disable_schedule_tracing,
        machine_state_trace=not args.disable_machine_state_tracing,
        scheduler_config=config,
    )


def _command() -> list[str]:
    return ["batfs", *sys.argv[1:]]


def _note(sentence: str) -> None:
    process.say("batfs run", f"note: {sentence}")


def _quiet(sentence: str) -> None:
    pass
