"""``batfs run --engine batsim``: the real Batsim beside our scheduler, and both ended whatever fails."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO, TypeAlias

from batfs.decision.alone import AloneClock
from batfs.decision.experiment import Experiment, Loaded, load
from batfs.decision.options import PYBATSIM, split_pybatsim
from batfs.decision.peers import SimulatorGoneError, no_simulator
from batfs.decision.provenance import write_provenance
from batfs.decision.records import Recorder
from batfs.decision.tally import JobTally, StepsTally, StorageTally
from batfs.errors import BatfsError, InputError
from batfs.files import PARTIAL, holding, publish, writing
from batfs.records import replace
from batfs.scheduling.account import ByteAccount
from batfs.scheduling.config import Settings
from batfs.scheduling.observer import Observer, Several

if TYPE_CHECKING:
    from batfs.decision.link import ZmqLink
    from batfs.decision.run import RunResult
    from batfs.workload.model import Workload

#: Seconds that Batsim gets to write its files after the simulation's last message, and to end when asked to.
_LAST_WORDS = 120.0
_GRACE = 3.0
_PATIENCE = 30.0  # with a program that is asked for its version

_BATSIM = re.compile(r"Batsim v?(\d+)\.\d")
_VERSION = re.compile(r"(\d+)\.\d")

#: What each generation of Batsim writes, by the end of its file's name, and what it is called at last. (The
#: jobs file of Batsim 5 has two rows for a job with I/O: PREFIX_jobs.csv is batfs's own there.)
_OUTPUTS = {
    4: {end: end for end in ("_jobs.csv", "_schedule.csv", "_machine_states.csv", "_schedule.trace")},
    5: {
        f"_{end}": f"_batsim_{end}"
        for end in ("jobs.csv", "schedule.json", "real_exec_info.json", "machine_states.csv")
    },
}

_Flags: TypeAlias = Callable[[str, str], list[str]]
_Converse: TypeAlias = Callable[["ZmqLink"], ByteAccount]


class BatsimError(BatfsError):
    """Batsim could not be started, or failed."""


class EndedRow(NamedTuple):
    """A row of Batsim's jobs file, as :class:`~batfs.decision.tally.EndedJob`."""

    job_id: str
    workload: str
    submission_time: float
    requested_nodes: int
    state: str
    start: float
    runtime: float
    alloc: str


def run_with_batsim(
    experiment: Experiment,
    settings: Settings,
    prefix: str | Path,
    *,
    batsim: str | None = None,
    command: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> RunResult:
    """The same run as :func:`batfs.decision.run.run`, simulated by Batsim over a socket on this machine.

    Batsim writes to files ending in ``.partial`` that get their names when all has gone well; what it says is
    kept in ``<prefix>_batsim.log``. Raises BatsimError with Batsim's own last line when it fails.
    """
    with holding(prefix, "sim", "sched"):
        return _run_with_batsim(experiment, settings, prefix, batsim, command, say)


def _run_with_batsim(
    experiment: Experiment,
    settings: Settings,
    prefix: str | Path,
    batsim: str | None,
    command: Sequence[str],
    say: Callable[[str], None] | None,
) -> RunResult:
    from batfs.decision.link import ZmqLink
    from batfs.decision.run import RunResult

    started = time.time()
    config = settings.configuration(experiment.scheduler_config)
    binary = _find(batsim)
    generation = generation_of(binary)
    loaded = load(experiment, config)
    log = Path(f"{prefix}_batsim.log")
    aside = f"{prefix}{PARTIAL}"
    nodes = loaded.machine.nb_compute
    jobs = StepsTally(nodes) if experiment.dynamic_jobs else JobTally(nodes)
    clock = AloneClock(loaded.platform, loaded.machine)
    with ExitStack() as stack:
        recorder = stack.enter_context(Recorder(prefix, clock.seconds))
        storage = StorageTally()
        batsim_is_alive = _Watch(log)
        link = ZmqLink("tcp://127.0.0.1:*", check=batsim_is_alive, no_first=no_simulator)
        stack.callback(link.close)
        link.bind()
        flags, converse = (_batsim5 if generation == 5 else _batsim4)(
            experiment, settings, loaded, prefix, Several(storage, recorder), say, stack
        )
        process = stack.enter_context(_started([binary, *flags(aside, link.endpoint)], log))
        batsim_is_alive.process = process
        try:
            account = converse(link)
        except SimulatorGoneError as error:
            raise batsim_is_alive.failure() or error from None
        except BatfsError as error:
            link.give_up(str(error))  # Batsim fails of that, but it isn't what went wrong
            raise
        try:
            process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            raise BatsimError(f"Batsim did not end {_LAST_WORDS:g} s after the simulation's end") from None
        failure = batsim_is_alive.failure()
        if failure is not None:
            raise failure
    files = []
    if generation == 5:
        files.append(Path(f"{prefix}_jobs.csv"))
    for there, name in _OUTPUTS[generation].items():
        if Path(aside + there).exists():
            publish(Path(aside + there), Path(f"{prefix}{name}"))
            files.append(Path(f"{prefix}{name}"))
    for row in _rows(Path(f"{prefix}_jobs.csv")):
        jobs.add(row)
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
        "bytes": account.summary(),
    }
    files += recorder.paths
    files.append(log)
    files.append(
        write_provenance(
            prefix,
            command=command,
            configuration=config.as_dict(),
            inputs=experiment.inputs,
            results={**summary, "engine": "batsim", "batsim": generation},
            started=started,
        )
    )
    return RunResult(config, summary, files, deadlock=False)


def _find(batsim: str | None) -> str:
    found = shutil.which(batsim or "batsim")
    if found is None:
        what = f"no program {batsim!r}" if batsim else "there is no batsim on PATH"
        raise InputError(
            what,
            hint="say where it is with --batsim-bin, or leave out --engine batsim",
        )
    return found


def generation_of(binary: str) -> int:
    """4 or 5: which Batsim a program is, by what it says of its version (4 where it says nothing)."""
    try:
        done = subprocess.run(
            [binary, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 4  # whatever is wrong with it shows when it is started
    said = done.stdout.decode(errors="replace")
    found = _BATSIM.search(said) or _VERSION.search(said)
    if found is None or done.returncode:
        return 4
    major = int(found[1])
    if major < 4:
        raise InputError(f"{binary} is Batsim {major}", hint="batfs drives Batsim 4 and 5")
    return min(major, 5)


def _batsim4(
    experiment: Experiment,
    settings: Settings,
    loaded: Loaded,
    prefix: str | Path,
    observer: Observer,
    say: Callable[[str], None] | None,
    stack: ExitStack,
) -> tuple[_Flags, _Converse]:
    """Batsim 4's command line, of a prefix and an endpoint; and who speaks with it."""
    from batfs.decision.proxy import RawProxy
    from batfs.decision.pybatsim_link import LinkedBatsim
    from batfs.decision.pybatsim_process import hosted, load_pybatsim
    from batfs.decision.pybatsim_scheduler import BatfsScheduler
    from batfs.decision.run import foreign_injector, unmoved

    config = settings.configuration(experiment.scheduler_config)
    if not config.queue.startswith(PYBATSIM):
        ours = BatfsScheduler(settings=settings, observer=observer, say=say)
        ours.core.make_files = loaded.make_files()

        def speak(link: ZmqLink) -> ByteAccount:
            LinkedBatsim(ours, link).start()
            return ours.core.session.tenancy.account

    elif loaded.files is None:
        name, options = split_pybatsim(config.queue)
        theirs = load_pybatsim(name, options, prefix, config.seed)

        def speak(link: ZmqLink) -> ByteAccount:
            LinkedBatsim(theirs, link).start()
            return unmoved(loaded, say)

    else:
        injector = foreign_injector(loaded, config, observer, say)
        back = stack.enter_context(hosted(config.queue, prefix, config.seed))

        def speak(link: ZmqLink) -> ByteAccount:
            RawProxy(injector).relay(link, back)
            return injector.tenancy.account

    return lambda aside, endpoint: [*_flags(experiment, aside), "-s", endpoint], speak


def _batsim5(
    experiment: Experiment,
    settings: Settings,
    loaded: Loaded,
    prefix: str | Path,
    observer: Observer,
    say: Callable[[str], None] | None,
    stack: ExitStack,
) -> tuple[_Flags, _Converse]:
    """The same for Batsim 5. Workloads of Batsim 4 are converted for it; PREFIX_jobs.csv is written here."""
    from batfs.decision.edc import converse
    from batfs.decision.jobs_file import JobsFile, jobs_path
    from batfs.decision.replacing import Replacing, Translation
    from batfs.scheduling.core import Scheduler

    queue = settings.configuration(experiment.scheduler_config).queue
    if queue.startswith(PYBATSIM):
        raise InputError(f"--queue {queue}: pybatsim 3 speaks with Batsim 4 only")
    if experiment.events:
        raise InputError("Batsim 5's machines know no unavailability: leave out --events")
    watch = JobsFile(stack.enter_context(writing(jobs_path(prefix), keep_partial=True)))
    workloads = _batsim5_workloads(loaded.workloads, Path(prefix), stack)
    scheduler = Scheduler(settings, loaded.make_files(), observer=observer, say=say)
    paths = [workload.path for workload in workloads]
    known = {workload.name: workload.profiles for workload in workloads}
    translation = Translation(
        config={"sched-config": experiment.scheduler_config},
        dynamic_jobs=experiment.dynamic_jobs,
        profiles=lambda named: known,
        watch=watch,
    )

    def speak(link: ZmqLink) -> ByteAccount:
        converse(link, link.recv_text(), lambda init: Replacing(scheduler, translation))
        return scheduler.session.tenancy.account

    return lambda aside, endpoint: [*_flags5(experiment, paths, f"{aside}_"), "-s", endpoint, ""], speak


def _batsim5_workloads(workloads: Sequence[Workload], prefix: Path, stack: ExitStack) -> list[Workload]:
    """The same in Batsim 5's form, their files as they are or written for the time of the run, beside the
    outputs."""
    from batfs.workload import write_workload
    from batfs.workload.generations import convert

    found = []
    for workload in workloads:
        if workload.generation != 5:
            path = prefix.with_name(f"{prefix.name}_{workload.name}.json{PARTIAL}")
            stack.callback(path.unlink, missing_ok=True)
            workload = replace(convert(workload, 5)[0], path=str(path))
            write_workload(path, workload)
        found.append(workload)
    return found


def _flags5(experiment: Experiment, workloads: Sequence[str], prefix: str) -> list[str]:
    """Batsim 5's command line; what Batsim 4 has flags for, its decision component asks for."""
    e = experiment
    flags = ["-p", str(e.platform), "-w", *workloads]
    if e.master != "master_host":
        flags += ["-m", e.master]
    for entry in e.roles:
        hosts, _, role = entry.rpartition(":")
        for host in hosts.split(","):
            flags += ["-r", host, role]
    if e.mmax:
        flags += ["--mmax", str(e.mmax)]
    if e.mmax_workload:
        flags.append("--mmax-workload")
    for name, value in e.sg_config.items():
        flags += ["--sg-cfg", f"{name}:{value}"]
    if e.machine_state_trace:
        flags.append("--trace-machine-state")
    return [*flags, "-e", prefix]


def _flags(experiment: Experiment, prefix: str) -> list[str]:
    """Batsim's command line, without what is its default anyway."""
    e = experiment
    flags = ["-p", str(e.platform)]
    for path in e.workloads:
        flags += ["-w", str(path)]
    for path in e.events:
        flags += ["--events", str(path)]
    if e.master != "master_host":
        flags += ["-m", e.master]
    for roles in e.roles:
        flags += ["-r", roles]
    if e.mmax:
        flags += ["--mmax", str(e.mmax)]
    for name, value in e.sg_config.items():
        flags += ["--sg-cfg", f"{name}:{value}"]
    switches = {
        "--mmax-workload": e.mmax_workload,
        "--enable-dynamic-jobs": e.dynamic_jobs,
        "--acknowledge-dynamic-jobs": e.acknowledge_dynamic_jobs,
        "--enable-profile-reuse": e.profile_reuse,
        "--forward-profiles-on-submission": e.forward_profiles,
        "--enable-compute-sharing": e.compute_sharing,
        "--disable-storage-sharing": not e.storage_sharing,
        "--disable-schedule-tracing": not e.schedule_trace,
        "--disable-machine-state-tracing": not e.machine_state_trace,
    }
    flags += [flag for flag, on in switches.items() if on]
    if e.scheduler_config:
        flags += ["--sched-cfg", e.scheduler_config]
    return [*flags, "-e", prefix]


class _Watch:
    """Called while we wait for Batsim's next message: raises once Batsim has ended."""

    def __init__(self, log: Path) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log

    def __call__(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            raise self.failure() or BatsimError("Batsim ended before the simulation was over")

    def failure(self) -> BatsimError | None:
        """What to say if Batsim has ended badly; None if it hasn't."""
        if self.process is None:
            return None
        try:
            # a connection closes a moment before its process is over
            status = self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return None
        if status == 0:
            return None
        how = f"exit status {status}" if status > 0 else signal.Signals(-status).name
        said = self._last_line()
        return BatsimError(f"Batsim failed ({how}){f': {said}' if said else ''}; its log is {self._log}")

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextmanager
def _started(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Batsim as a child that doesn't outlive the block."""
    with open(log, "wb") as stream:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            raise BatsimError(f"cannot start {command[0]}: {error.strerror}") from None
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _die_with_parent() -> None:
    # prctl(PR_SET_PDEATHSIG, SIGTERM): even if we are killed outright, Batsim doesn't wait for us for ever
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _rows(path: Path) -> Iterator[EndedRow]:
    with open(path, encoding="utf-8", newline="") as stream:
        yield from rows_of(stream)


def rows_of(stream: TextIO) -> Iterator[EndedRow]:
    """The jobs of a jobs file."""
    for row in csv.DictReader(stream):
        rejected = row["final_state"] == "REJECTED"
        yield EndedRow(
            row["job_id"],
            row["workload_name"],
            float(row["submission_time"]),
            int(row["requested_number_of_resources"]),
            row["final_state"],
            -1.0 if rejected else float(row["starting_time"]),
            0.0 if rejected else float(row["execution_time"]),
            row["allocated_resources"],
        )
