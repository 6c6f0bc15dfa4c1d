"""``--no-sched``: no scheduler; every job starts at once on the first machines.

Batsim reports no such job in its files; what ran is only counted (``Outputs.unreported``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batfs._core import desk as states
from batfs._core.desk import SimJob
from batfs.errors import InputError
from batfs.simulator import jobs
from batfs.simulator.actors import Script
from batfs.workload.model import Workload

if TYPE_CHECKING:
    from batfs.simulator.server import Server


def launch_all(server: Server, workloads: Sequence[Workload]) -> None:
    """One actor per job, on machines 0 to res - 1, all at time 0."""
    for workload in workloads:
        for job in workload.jobs:
            if job.requested_nodes > server.machines.count:
                raise InputError(
                    f"--no-sched: the job {job.id!r} needs {job.requested_nodes} machines, the platform has "
                    f"{server.machines.count}"
                )
            record = SimJob(job, workload.profiles[job.profile], workload.name)
            record.state = states.RUNNING
            record.alloc = tuple(range(job.requested_nodes))
            record.alloc_text = f"0-{job.requested_nodes - 1}" if job.requested_nodes > 1 else "0"
            server.jobs[job.id] = record
            script = _execute(server, record)
            record.actors.append(server.maestro.create(script, server.machines.hosts[0]))


def _execute(server: Server, job: SimJob) -> Script:
    yield from jobs.execute(server, job, notify=False)
    server.outputs.unreported.add(job.state, job.job.submission_time, job.start, job.runtime)
