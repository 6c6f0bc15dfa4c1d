"""Batsim 5's output files: ``PREFIXjobs.csv``, ``PREFIXschedule.json``, machine states only on request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from batfs import files
from batfs.records import replace
from batfs.resource_sets import format_resources
from batfs.simulator.options import SimulationOptions
from batfs.simulator.outputs import JOBS_HEADER, STATES_HEADER, Lines, Outputs, job_row

if TYPE_CHECKING:
    from batfs._core.desk import SimJob
    from batfs.simulator.machines import Machines

VERSION: Final = "v5.0.0-rc2"
# fields of schedule.csv that schedule.json doesn't have
_ELSEWHERE: Final = frozenset(("scheduling_time", "simulation_time"))


class Outputs5(Outputs):
    """The files of a run under Batsim 5."""

    def __init__(self, options: SimulationOptions, names: list[str]) -> None:
        self._began = time.perf_counter()
        self._prefix = ""
        self._pstates: Lines | None = None
        self.registered: set[str] = set()  # jobs that the decision component registered
        self.first_submission = 0.0
        super().__init__(options, names)

    def _begin(self, prefix: str, options: SimulationOptions, names: list[str]) -> None:
        self._prefix = prefix
        self._jobs = self._file(f"{prefix}jobs.csv", JOBS_HEADER)
        if options.machine_state_trace:
            self.machine_states = self._file(f"{prefix}machine_states.csv", STATES_HEADER).sheet.states
        if options.pstate_trace:
            self._pstates = self._file(f"{prefix}pstate_changes.csv", "time,machine_id,new_pstate\n")
        self._schedule = Path(f"{prefix}schedule.json")

    def pstate_changed(self, now: float, ids: tuple[int, ...], pstate: int) -> None:
        """A line of ``pstate_changes.csv``."""
        if self._pstates is not None:
            self._pstates.write(f"{now:g},{format_resources(ids)},{pstate}\n")

    def job_done(self, record: SimJob) -> None:
        if record.state != "REJECTED":
            self.first_submission = min(self.first_submission, record.job.submission_time)
        super().job_done(record)

    def add_job(self, lines: Lines, record: SimJob) -> None:
        """Batsim 4's line but for the profile's full name, no metadata, and an energy of 0 (not -1) for jobs
        that the decision component registered."""
        job = record.job
        if "!" not in job.profile:
            job = replace(job, profile=f"{job.workload}!{job.profile}")
        if record.state == "REJECTED":
            lines.write(job_row(job, record.state, 0.0, 0.0, "", "").replace('""', ""))
            return
        energy = "0.000000" if job.id in self.registered else "-1.000000"
        row = job_row(job, record.state, record.start, record.runtime, record.alloc_text, "")
        lines.write(f"{row.rpartition(',-1.000000,')[0]},{energy},\n")

    def _write_summary(self, path: Path, summary: Mapping[str, float | int | str]) -> None:
        found = {**summary, "batsim_version": VERSION}
        found["makespan"] = float(summary["makespan"]) - self.first_submission
        lines = [f'  "{key}": {_bare(found[key])}' for key in sorted(found) if key not in _ELSEWHERE]
        files.write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
        spent = {
            **_memory(),
            "time_in_edc_seconds": round(float(summary["scheduling_time"]), 6),
            "time_in_simu_seconds": round(time.perf_counter() - self._began, 6),
        }
        lines = [f'  "{key}": {_bare(spent[key])}' for key in sorted(spent)]
        files.write_text(Path(f"{self._prefix}real_exec_info.json"), "{\n" + ",\n".join(lines) + "\n}\n")


def _bare(value: float | int | str) -> str:
    """A number with six decimals; null for one that isn't a number, where Batsim writes what is no JSON."""
    if isinstance(value, float):
        return "null" if value != value else f"{value:.6f}"
    return orjson.dumps(value).decode()


def _memory() -> dict[str, int]:
    """Peak memory of this process in kB, 0 where the system doesn't say."""
    found = {"memory_VmHWM_kB": 0, "memory_VmPeak_kB": 0}
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if f"memory_{name}_kB" in found:
            found[f"memory_{name}_kB"] = int(value.split()[0])
    return found


def all_idle(machines: Machines) -> None:
    """Count storages as idle too: 5.0.0-rc2 doesn't, and gets negative numbers when they work."""
    machines.idle = machines.count
