"""A policy without a simulator: a job's life takes as long as its bytes and work say, alone on the machine.

For trying policies out, and for bounds: machines that don't exist (burst buffers without end) and knowledge
that nobody has (run times). What it leaves out is that transfers share links. On part 0 under ``fcfs-bb``,
half of the simulated jobs take as long as estimated to a thousandth; the mean differs by 0.2 %.
"""

from __future__ import annotations

import heapq
import random
import time
from dataclasses import replace
from math import inf

from batfs._core.nodes import positions
from batfs.campaign.reproduce.kopanski import (
    OURS,
    SEED,
    JobOutcome,
    Run,
    check_policy,
    make_layout,
    make_pass,
)
from batfs.errors import InputError
from batfs.scheduling.kopanski.layout import Layout
from batfs.scheduling.kopanski.life import compute_phases
from batfs.scheduling.kopanski.policies import Pass
from batfs.scheduling.kopanski.process import buffered_job
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState
from batfs.workload.model import Workload

FLOPS = 1e9
LINK = 5e9
CABLE = 1.25e9
"""Flop/s of a node; byte/s of the file system's link, and of the cable of a node or burst buffer."""

ENDLESS = "+endless"
"""Behind a policy's name: burst buffers without end."""
KNOWN = "+known"
"""Behind plan-io's name: how long each job will run is known in advance."""


def life_time(job: BufferedJob) -> float:
    """From the start of the stage-in to the end of the stage-out (s), unless the walltime cuts it short.

    Staging crosses the file system's link only. A checkpoint is half as many bytes; as many nodes as fit
    share a burst buffer's cable, as when a job fills its own chassis first.
    """
    phases = compute_phases(job.cpu)
    staging = job.nodes * job.share / LINK
    together = min(job.nodes, 8, 40_000_000_000 // job.share) if job.share > 0 else 1
    checkpoint = together * (job.share // 2) / CABLE
    traffic = (job.nodes - 1) * job.com / CABLE
    computing = phases * max(job.cpu / phases / FLOPS, traffic)
    return 2 * staging + computing + (phases - 1) * checkpoint


def stay(job: BufferedJob) -> float:
    """As :func:`life_time`, walltimes obeyed (s)."""
    return min(life_time(job), job.walltime)


def estimate(workload: Workload, policy: str, *, label: str = "", seed: int = SEED) -> Run:
    """``workload`` under ``policy``, lives estimated. InputError if a job is not of the experiment's form."""
    chosen, layout = _variant(policy, seed)
    state = ClusterState(layout)
    begin = time.perf_counter()
    jobs = [buffered_job(job, workload.profiles[job.profile]) for job in workload.jobs]
    jobs.sort(key=lambda job: job.submission_time)
    ends: list[tuple[float, int, str]] = []
    outcomes: list[JobOutcome] = []
    rejected: list[str] = []
    submitted = 0
    while submitted < len(jobs) or ends:
        now = jobs[submitted].submission_time if submitted < len(jobs) else inf
        if ends and ends[0][0] <= now:
            now, _, job_id = heapq.heappop(ends)
            state.end(job_id)
        else:
            submitted += 1
            job = jobs[submitted - 1]
            if not state.admits(job):
                rejected.append(job.id.partition("!")[2])
                continue
            state.waiting.append(job)
        chosen(state, now)
        for job, placement in state.started:
            outcome = _outcome(job, placement.nodes, layout, now)
            heapq.heappush(ends, (outcome.finish, len(outcomes), job.id))
            outcomes.append(outcome)
        state.started.clear()
    assert not state.waiting, "an admitted job starts at the latest when it is alone"
    return Run(label or workload.name, policy, outcomes, rejected, time.perf_counter() - begin)


def check(policy: str) -> None:
    """InputError for an unknown policy or ending."""
    _variant(policy, SEED)


def _variant(policy: str, seed: int) -> tuple[Pass, Layout]:
    """The pass and the machine that ``policy`` with its endings says; InputError for an unknown one."""
    name = policy.removesuffix(ENDLESS)
    known = name.endswith(KNOWN)
    name = name.removesuffix(KNOWN)
    check_policy(name)
    layout = make_layout(name)
    if policy.endswith(ENDLESS):
        layout = replace(layout, capacity=10**15)
    if not known:
        return make_pass(name, seed), layout
    if name != OURS:
        raise InputError(f"run times known in advance are of use to {OURS} only, not to {name}")
    from batfs.scheduling.amounts import Aims, PlanSearch
    from batfs.scheduling.kopanski.plan_io import plan_io

    return plan_io(PlanSearch(random.Random(seed), Aims()), stay), layout


def _outcome(job: BufferedJob, nodes: int, layout: Layout, now: float) -> JobOutcome:
    return JobOutcome(
        job_id=job.id.partition("!")[2],
        submission_time=job.submission_time,
        start=now,
        finish=now + stay(job),
        requested_nodes=job.nodes,
        share=job.share,
        walltime=job.walltime,
        timed_out=life_time(job) > job.walltime,
        sub_jobs=0,
        nodes=tuple(layout.node_hosts[k] for k in positions(nodes)),
        buffers=(),
    )
