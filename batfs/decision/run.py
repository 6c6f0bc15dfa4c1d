"""One run in one process: the scheduler handed straight to the simulator, and everything that comes out.

No socket, no JSON, no pybatsim (unless a pybatsim scheduler is asked for: it gets its jobs' I/O from the same
tenancy, as behind the proxy).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from batfs._core import uncompiled
from batfs.decision.alone import AloneClock
from batfs.decision.bandwidths import own_bandwidths
from batfs.decision.experiment import Experiment, Loaded, asked_bytes, load
from batfs.decision.options import PYBATSIM
from batfs.decision.provenance import write_provenance
from batfs.decision.records import Recorder
from batfs.decision.tally import JobTally, StepsTally, StorageTally
from batfs.files import holding, writing
from batfs.protocol.messages import DecisionProcess
from batfs.records import record
from batfs.scheduling.account import ByteAccount
from batfs.scheduling.config import Configuration, Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.scheduling.observer import Observer, Several
from batfs.simulator import JobResult, Progress, SimulationOptions, read_events, simulate
from batfs.workload.traps import notes

if TYPE_CHECKING:
    from batfs.decision.injector import Injector
    from batfs.decision.pybatsim_process import PybatsimProcess


@record
class RunResult:
    """``summary`` is what ``batfs run --json`` prints: plain values. ``files``: what was written, in order.

    ``deadlock``: nothing could happen any more although jobs were waiting; ``stuck`` says which.
    """

    config: Configuration
    summary: dict[str, Any]
    files: Sequence[Path]
    deadlock: bool
    stuck: str = ""


def run(
    experiment: Experiment,
    settings: Settings,
    prefix: str | Path | None,
    *,
    command: Sequence[str] = (),
    observer: Observer | None = None,
    on_job: Callable[[JobResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
    prints_to: TextIO | None = None,
) -> RunResult:
    """Simulate ``experiment`` under ``settings``; write the output files under ``prefix`` (None: none).

    ``observer`` and ``on_job`` are told what the files hold, as it happens. ``command`` goes into the
    provenance. What a pybatsim scheduler prints goes to ``prints_to``, else to ``<prefix>_pybatsim.log``.
    Raises InputError before anything is written where the input can be checked by itself; files of a run that
    failed later keep the suffix ``.partial``.
    """
    given = (experiment, settings, prefix, command, observer, on_job, on_progress, say, prints_to)
    if prefix is None:
        return _run(*given)
    with holding(prefix, "sim", "sched"):
        return _run(*given)


def _run(
    experiment: Experiment,
    settings: Settings,
    prefix: str | Path | None,
    command: Sequence[str],
    observer: Observer | None,
    on_job: Callable[[JobResult], None] | None,
    on_progress: Callable[[Progress], None] | None,
    say: Callable[[str], None] | None,
    prints_to: TextIO | None,
) -> RunResult:
    started = time.time()
    config = settings.configuration(experiment.scheduler_config)
    loaded = load(experiment, config)
    if say is not None:
        for sentence in [*loaded.platform.warnings, *notes(loaded.workloads)]:
            say(sentence)
    slow = uncompiled()
    if say is not None and slow is not None:
        say(slow)
    events = [read_events(path, forward_unknown=False) for path in experiment.events]
    nodes = loaded.machine.nb_compute
    jobs = StepsTally(nodes) if experiment.dynamic_jobs else JobTally(nodes)
    clock = AloneClock(loaded.platform, loaded.machine)

    def job_ended(job: JobResult) -> None:
        jobs.add(job)
        assert on_job is not None
        on_job(job)

    with ExitStack() as stack:
        foreign: PybatsimProcess | None = None
        if config.queue.startswith(PYBATSIM):  # before any file: it may not be there
            from batfs.decision.pybatsim_process import hosted

            foreign = stack.enter_context(hosted(config.queue, prefix, config.seed, prints_to=prints_to))
        recorder: Recorder | None = None
        if prefix is not None and loaded.files is not None:
            # what a job's work is the simulator tells of Batsim 4's jobs only
            alone = clock.noted if experiment.generation == 4 else clock.seconds
            recorder = stack.enter_context(Recorder(prefix, alone))
        storage = StorageTally()
        told = Several(storage, recorder, observer)
        process, account = _decider(loaded, settings, config, told, foreign, say)
        decider: DecisionProcess = process
        machine, workloads = loaded.machine, loaded.workloads
        options = SimulationOptions(
            outputs=prefix,
            schedule_trace=experiment.schedule_trace,
            machine_state_trace=experiment.machine_state_trace,
            forward_profiles=experiment.forward_profiles,
            dynamic_jobs=experiment.dynamic_jobs,
            acknowledge_dynamic_jobs=experiment.acknowledge_dynamic_jobs,
            profile_reuse=experiment.profile_reuse,
            compute_sharing=experiment.compute_sharing,
            storage_sharing=experiment.storage_sharing,
            scheduler_config=experiment.scheduler_config,
            events=events,
            on_job=jobs.add if on_job is None else job_ended,
            on_work=None if recorder is None else clock.note,
            on_progress=on_progress,
        )
        if experiment.solver_log is not None:
            options.solver_log = stack.enter_context(writing(experiment.solver_log, keep_partial=True))
        five = None
        if experiment.generation == 5:
            from batfs.decision.run5 import Run5

            five = Run5(experiment, loaded, prefix, stack)
            machine, workloads = five.machine, five.workloads
            decider, options = five.process(process), five.options(options)
        result = simulate(loaded.platform, machine, workloads, decider, options)
        for job in () if five is None else five.jobs():
            jobs.add(job)
    summary = {
        "platform": str(experiment.platform),
        "workloads": [str(path) for path in experiment.workloads],
        "policy": config.policy,
        "queue": config.queue,
        **storage.io_policy(config),
        **storage.faults(),
        "seed": config.seed,
        "compute_nodes": nodes,
        "storages": len(loaded.machine.storages),
        **jobs.summary(),
        "waited_for": storage.waited_for(),
        "cut_jobs": storage.cut_jobs,
        "cut_bytes": storage.cut_bytes,
        "rejections": [{"job": job, "reason": why} for job, why in storage.rejections],
        "file_systems": storage.summary(),
        "storage_bandwidths": {
            name: list(both) for name, both in own_bandwidths(loaded.platform, loaded.machine).items()
        },
        "bytes": account().summary(),
    }
    if getattr(process, "draws", False):
        summary["draws"] = True
    files = list(result.files)
    if five is not None and five.path is not None:
        files.insert(0, five.path)
    if prefix is not None:
        files += [path for path in pybatsim_files(prefix) if config.queue.startswith(PYBATSIM)]
        if recorder is not None:
            files += recorder.paths
        files.append(
            write_provenance(
                prefix,
                command=command,
                configuration=config.as_dict(),
                inputs=experiment.inputs,
                results=summary,
                started=started,
            )
        )
    return RunResult(config, summary, files, result.deadlock, result.stuck)


def _decider(
    loaded: Loaded,
    settings: Settings,
    config: Configuration,
    observer: Observer,
    foreign: PybatsimProcess | None,
    say: Callable[[str], None] | None,
) -> tuple[DecisionProcess, Callable[[], ByteAccount]]:
    """The decision process, and its account of bytes once the simulation has begun."""
    if foreign is None:
        scheduler = Scheduler(settings, loaded.make_files(), observer=observer, say=say)
        return scheduler, lambda: scheduler.session.tenancy.account
    if loaded.files is None:
        account = unmoved(loaded, say)
        return foreign, lambda: account
    from batfs.decision.injector import WithFileSystems

    injector = foreign_injector(loaded, config, observer, say)
    return WithFileSystems(foreign, injector), lambda: injector.tenancy.account


def unmoved(loaded: Loaded, say: Callable[[str], None] | None) -> ByteAccount:
    """The account where no storage has a size, and so nothing can be moved."""
    account = ByteAccount()
    account.asked = asked_bytes(loaded.workloads)
    account.drop("the storages have no size", account.asked)
    if account.asked and say is not None:
        say("the platform's storages have no size: the jobs' I/O is left out")
    return account


def pybatsim_files(prefix: str | Path) -> list[Path]:
    """What a pybatsim scheduler within the process has printed, and its API's own log of events."""
    paths = (Path(f"{prefix}_pybatsim{ending}") for ending in (".log", "_events.csv"))
    return [path for path in paths if path.is_file()]


def foreign_injector(
    loaded: Loaded, config: Configuration, observer: Observer, say: Callable[[str], None] | None
) -> Injector:
    """The file systems for a scheduler that isn't batfs's own."""
    from batfs.decision.injector import Injector

    in_force = Settings(flags=Layer("the settings", config.as_dict()))
    return Injector(in_force, make_files=loaded.make_files(), observer=observer, say=say)
