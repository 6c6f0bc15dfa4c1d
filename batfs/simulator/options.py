"""What a simulation can be told, and what it tells back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from batfs.records import field, record
from batfs.simulator.submitters import ExternalEvent
from batfs.simulator.work import Work


@record
class JobResult:
    """A finished or rejected job, as a row of ``jobs.csv``; times in seconds.

    A rejected job has ``start`` -1 and no allocation. ``runtime`` is 1e-5 for a job that took no time.
    """

    job_id: str
    workload: str
    profile: str
    submission_time: float
    requested_nodes: int
    walltime: float | None
    state: str
    start: float
    runtime: float
    alloc: str
    metadata: str
    return_code: int

    @property
    def end(self) -> float:
        return self.start + self.runtime

    @property
    def rejected(self) -> bool:
        return self.state == "REJECTED"


@record
class Progress:
    """Where a run stands: simulated time (s), jobs ended, jobs in all (static ones), requests sent."""

    now: float
    jobs_done: int
    jobs: int
    requests: int


@record(frozen=False)
class SimulationOptions:
    """Batsim's switches, where results go, and who is told on the way.

    ``outputs`` is Batsim's ``--export`` prefix (None: nothing is written). ``on_job`` is called with every
    finished or rejected job at the moment the simulator reports it; ``on_work`` with the work of every job
    that starts with I/O; ``on_progress`` about every ``progress_interval`` seconds of wall-clock time.
    Nothing else is kept of finished jobs.
    ``keep_io_profiles``: an inline profile of an additional_io_job stays registered after its job has
    ended, as in Batsim; without, memory doesn't grow with finished jobs.
    ``redis``: host, port and prefix, which only the decision process is told of.
    ``solver_log``: where the solver's rounds are told in words.
    ``interpreted``: the core runs as plain Python although it is compiled (for comparing the two).
    ``generation`` 5: as Batsim 5.0.0-rc2 does it; what follows it is its own: the files of ``events`` by the
    names of their lists, the profiles of killed jobs, a trace of pstates.
    """

    outputs: str | Path | None = None
    schedule_trace: bool = True
    machine_state_trace: bool = True
    forward_profiles: bool = False
    dynamic_jobs: bool = False
    acknowledge_dynamic_jobs: bool = False
    profile_reuse: bool = False
    compute_sharing: bool = False
    storage_sharing: bool = True
    scheduler_config: str = ""
    forward_unknown_events: bool = False
    events: Sequence[Sequence[ExternalEvent]] = ()
    no_scheduler: bool = False
    on_job: Callable[[JobResult], None] | None = None
    on_work: Callable[[str, Work], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    progress_interval: float = 0.2
    interpreted: bool = False
    solver_log: TextIO | None = None
    keep_io_profiles: bool = False
    redis: tuple[str, int, str] = ("127.0.0.1", 6379, "default")
    generation: int = 4
    event_lists: Mapping[str, str] = field(default_factory=dict)
    forward_profiles_on_kill: bool = False
    pstate_trace: bool = False


@record(frozen=False)
class SimulationResult:
    """How a run ended. ``summary`` are the fields of ``schedule.csv``; ``files`` what was written.

    ``unreported``: jobs that ran without a scheduler (in all, successful ones), and when the last ended (s).
    ``deadlock``: nothing could happen any more although jobs or the scheduler were still waiting; then
    ``waiting`` and ``running`` are the ids of the jobs that were never started, and of those that never end.
    """

    now: float
    requests: int
    deadlock: bool
    summary: Mapping[str, float | int | str]
    files: Sequence[Path] = field(default_factory=list)
    steps: int = 0
    solves: int = 0
    unreported: tuple[int, int, float] = (0, 0, 0.0)
    waiting: Sequence[str] = ()
    running: Sequence[str] = ()

    @property
    def stuck(self) -> str:
        """Why a deadlock may be one, in a sentence; empty without one."""
        if not self.deadlock:
            return ""
        parts = []
        if self.waiting:
            were = "was" if len(self.waiting) == 1 else "were"
            parts.append(
                f"{_jobs(self.waiting)} {were} submitted and neither started nor rejected by the scheduler"
            )
        if self.running:
            parts.append(
                f"{_jobs(self.running)} started and can't go on: is a bandwidth or a speed 0, or does a job "
                "wait for a message?"
            )
        why = "; ".join(parts) or "no job is left: were dynamic jobs never said to be over?"
        return f"at t={self.now:.6f} s nothing can happen any more: {why}"


def _jobs(ids: Sequence[str]) -> str:
    """``2 jobs (w0!1, w0!2)``, the first few of many."""
    shown = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
    return f"{len(ids)} job{'' if len(ids) == 1 else 's'} ({shown})"
