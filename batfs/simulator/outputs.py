"""Batsim's output files, written as they come; and the figures of ``schedule.csv``.

While a run lasts its files end in ``.partial``; they take their names when it has ended well and keep the
suffix when it has not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from batfs import files
from batfs._core.sheets import Sheet, Totals
from batfs.errors import InputError
from batfs.simulator.options import JobResult, SimulationOptions
from batfs.simulator.paje import PajeTrace

if TYPE_CHECKING:
    from batfs._core.desk import SimJob
    from batfs.simulator.machines import Machines
    from batfs.workload.model import Job

JOBS_HEADER: Final = (
    "job_id,workload_name,profile,submission_time,requested_number_of_resources,requested_time,success,final_state,"
    "starting_time,execution_time,finish_time,waiting_time,turnaround_time,stretch,allocated_resources,"
    "consumed_energy,metadata\n"
)
STATES_HEADER: Final = "time,nb_sleeping,nb_switching_on,nb_switching_off,nb_idle,nb_computing\n"
JOBS_AT_ONCE: Final = 128  # the lines of so many are written together
VERSION: Final = "v4.2.1"  # the Batsim whose numbers these are


def job_row(job: Job, state: str, start: float, runtime: float, alloc: str, metadata: str) -> str:
    """The line of ``jobs.csv`` for a job that is over or rejected; times in seconds."""
    sheet = Sheet()
    sheet.add_job(job, state, start, runtime, alloc, metadata)
    return sheet.take()


class Outputs:
    """Everything a run reports of its jobs and machines: to files, to the caller, to the totals."""

    def __init__(self, options: SimulationOptions, names: list[str]) -> None:
        self.on_job = options.on_job
        self.totals = Totals()
        self.unreported = Totals()  # jobs that ran without a scheduler
        self.jobs_done = 0
        self._open: list[tuple[Lines, Path]] = []
        self.paths: list[Path] = []
        self._jobs: Lines | None = None
        #: Told (the time, machines that are idle, machines that compute) at each change.
        self.machine_states: Callable[[float, int, int], None] | None = None
        self.trace: PajeTrace | None = None  # told which machines start and are idle
        self._schedule: Path | None = None
        if options.outputs is None:
            return
        self._begin(str(options.outputs), options, names)

    def _begin(self, prefix: str, options: SimulationOptions, names: list[str]) -> None:
        """Open the files."""
        self._jobs = self._file(f"{prefix}_jobs.csv", JOBS_HEADER)
        if options.machine_state_trace:
            self.machine_states = self._file(f"{prefix}_machine_states.csv", STATES_HEADER).sheet.states
        if options.schedule_trace:
            self.trace = PajeTrace(self._file(f"{prefix}_schedule.trace").sheet, names)
        self._schedule = Path(f"{prefix}_schedule.csv")

    def _file(self, name: str, header: str = "") -> Lines:
        path = Path(name)
        if not self._open:
            files.check_writable(path.parent)
        try:
            stream = files.opened(files.partial_path(path), buffering=1 << 16)
        except OSError as error:
            raise InputError(f"cannot write: {error.strerror}", file=path) from error
        lines = Lines(stream)
        self._open.append((lines, path))
        if header:
            lines.write(header)
        return lines

    # ---- what happens ----

    def job_killed(self, job: SimJob, now: float) -> None:
        if self.trace is not None:
            self.trace.job_killed(job.alloc, now)

    def job_done(self, record: SimJob) -> None:
        """The server reports the end (or rejection) of a job."""
        self.jobs_done += 1
        if not self.jobs_done % JOBS_AT_ONCE:
            for lines, _ in self._open:
                lines.flush()
        job = record.job
        state = record.state
        submitted = job.submission_time
        if state == "REJECTED":
            self.totals.rejected += 1
        else:
            self.totals.add(state, submitted, record.start, record.runtime)
        if self._jobs is not None:
            self.add_job(self._jobs, record)
        if self.on_job is not None:
            self.on_job(
                JobResult(
                    job.id,
                    record.workload,
                    job.profile,
                    submitted,
                    job.requested_nodes,
                    job.walltime,
                    state,
                    record.start,
                    record.runtime,
                    record.alloc_text,
                    record.metadata,
                    record.return_code,
                )
            )

    def add_job(self, lines: Lines, record: SimJob) -> None:
        """Add the line of a job that is over or rejected."""
        alloc = "" if record.state == "REJECTED" else record.alloc_text
        state, metadata = record.state, record.metadata
        lines.sheet.add_job(record.job, state, record.start, record.runtime, alloc, metadata)

    # ---- the end ----

    def finish(self, summary: Mapping[str, float | int | str]) -> None:
        """The run ended well: write ``schedule.csv`` and give every file its name."""
        if self._schedule is None:
            return
        if self.trace is not None:
            self.trace.finish()
        for stream, _ in self._open:
            stream.close()
        self._write_summary(self._schedule, summary)
        for _, path in self._open:
            files.publish(files.partial_path(path), path)
        self.paths = [path for _, path in self._open] + [self._schedule]
        self._open = []

    def _write_summary(self, path: Path, summary: Mapping[str, float | int | str]) -> None:
        files.write_text(path, ",".join(summary) + "\n" + ",".join(map(_field, summary.values())) + "\n")

    def abandon(self) -> list[Path]:
        """The run failed: what was written stays, marked as partial. Returns those files."""
        kept = []
        for stream, path in self._open:
            with contextlib.suppress(OSError, ValueError):  # the disk is full: what is there is there
                stream.close()
            kept.append(files.partial_path(path))
        self._open = []
        return kept


def _field(value: float | int | str) -> str:
    if isinstance(value, float):
        return "-nan" if value != value else f"{value:.6f}"
    return str(value)


class Lines:
    """Text on its way to a file: what is on the sheet is kept until :meth:`flush`, and written at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.sheet = Sheet()
        self.write: Callable[[str], None] = self.sheet.add

    def flush(self) -> None:
        """Write what was kept."""
        self._stream.write(self.sheet.take())

    def close(self) -> None:
        self.flush()
        self._stream.close()


def summary(
    totals: Totals, machines: Machines, scheduling: float, simulation: float
) -> dict[str, float | int | str]:
    """The fields of ``schedule.csv``; means are over all jobs, rejected ones included, as Batsim's."""
    finished = totals.success + totals.failed
    jobs = finished + totals.rejected

    def mean(total: float) -> float:
        return total / jobs if jobs else float("nan")

    return {
        "batsim_version": VERSION,
        "consumed_joules": 0.0,
        "makespan": totals.makespan,
        "max_slowdown": totals.max_slowdown,
        "max_turnaround_time": totals.max_turnaround,
        "max_waiting_time": totals.max_waiting,
        "mean_slowdown": mean(totals.slowdown),
        "mean_turnaround_time": mean(totals.turnaround),
        "mean_waiting_time": mean(totals.waiting),
        "nb_computing_machines": machines.count,
        "nb_grouped_switches": 0,
        "nb_jobs": jobs,
        "nb_jobs_finished": finished,
        "nb_jobs_killed": totals.failed,
        "nb_jobs_rejected": totals.rejected,
        "nb_jobs_success": totals.success,
        "nb_machine_switches": 0,
        "scheduling_time": scheduling,
        "simulation_time": simulation,
        "success_rate": mean(float(totals.success)),
        "time_computing": machines.time_computing,
        "time_idle": machines.time_idle,
        "time_sleeping": 0.0,
        "time_switching_off": 0.0,
        "time_switching_on": 0.0,
        "time_unavailable": machines.time_unavailable,
    }
