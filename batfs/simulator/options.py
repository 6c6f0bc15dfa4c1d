"""What a simulation can be told, and what it tells back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
    ``compiled``: None lets the run decide, True and False force compiled or interpreted kernels.
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
    ``deadlock``: nothing could happen any more although jobs or the scheduler were still waiting.
    """

    now: float
    requests: int
    deadlock: bool
    summary: Mapping[str, float | int | str]
    files: Sequence[Path] = field(default_factory=list)
    steps: int = 0
    solves: int = 0
    unreported: tuple[int, int, float] = (0, 0, 0.0)
