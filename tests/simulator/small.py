"""A small machine and a decision process that runs jobs first come, first served: for tests of the simulator.

Three nodes of two cores at 1 Gflop/s behind links of 1 GB/s and 100 us, and the master beside them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batfs.platform import load_platform, number_resources
from batfs.protocol import messages as m
from batfs.simulator import JobResult, SimulationOptions, read_events, simulate
from batfs.workload import read_workload
from batfs.workload.model import Job

PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1"><zone id="z" routing="Full">
<host id="master_host" speed="1Gf"/>
<host id="n0" speed="1Gf" core="2"/><host id="n1" speed="1Gf" core="2"/><host id="n2" speed="1Gf" core="2"/>
<link id="wire" bandwidth="1GBps" latency="100us"/><link id="mgmt" bandwidth="1GBps" latency="0"/>
<route src="n0" dst="n1"><link_ctn id="wire"/></route>
<route src="n0" dst="n2"><link_ctn id="wire"/></route>
<route src="n1" dst="n2"><link_ctn id="wire"/></route>
<route src="n0" dst="master_host"><link_ctn id="mgmt"/></route>
<route src="n1" dst="master_host"><link_ctn id="mgmt"/></route>
<route src="n2" dst="master_host"><link_ctn id="mgmt"/></route>
</zone></platform>
"""


class Firstcome:
    """Starts jobs in order on the lowest free nodes that are available; ``act`` adds decisions of its own."""

    def __init__(self, act: Callable[[m.Request], Sequence[m.Decision]] | None = None) -> None:
        self.act = act
        self.free: set[int] = set()
        self.waiting: list[Job] = []
        self.running: dict[str, tuple[int, ...]] = {}
        self.away: set[int] = set()
        self.told: list[m.Event] = []

    def decide(self, request: m.Request) -> m.Reply:
        now = request.now
        out: list[m.Decision] = []
        for event in request.events:
            self.told.append(event)
            if isinstance(event, m.SimulationBegins):
                self.free = {r.id for r in event.compute_resources}
            elif isinstance(event, m.JobSubmitted):
                self.waiting.append(event.job)
            elif isinstance(event, m.JobCompleted):
                self.free |= set(self.running.pop(event.job_id))
            elif isinstance(event, m.Notification) and event.kind.startswith("event_machine"):
                first, _, last = str(event.data["resources"]).partition("-")
                ids = set(range(int(first), int(last or first) + 1))
                self.away = self.away - ids if event.kind.endswith("_available") else self.away | ids
            elif isinstance(event, m.SimulationEnds):
                return m.Reply(now, [])
        if self.act is not None:
            out += self.act(request)
        while self.waiting and self.waiting[0].requested_nodes <= len(self.free - self.away):
            job = self.waiting.pop(0)
            nodes = tuple(sorted(self.free - self.away)[: job.requested_nodes])
            self.free -= set(nodes)
            self.running[job.id] = nodes
            out.append(m.ExecuteJob(now, job.id, nodes))
        return m.Reply(now, out)


class Outcome:
    """What a run gave: jobs by name, rows of its files, and all the decision process was told."""

    def __init__(self, jobs: Mapping[str, JobResult], files: Mapping[str, Any], told: list[m.Event]) -> None:
        self.jobs = jobs
        self.files = files
        self.told = told


def run(
    folder: Path,
    jobs: Sequence[Mapping[str, Any]],
    profiles: Mapping[str, Any],
    *,
    events: Sequence[Mapping[str, Any]] = (),
    platform: str = PLATFORM,
    act: Callable[[m.Request], Sequence[m.Decision]] | None = None,
    **options: Any,
) -> Outcome:
    """Simulate ``jobs`` (``id``, ``res``, ``profile``; ``subtime`` 0 where it isn't given)."""
    (folder / "p.xml").write_text(platform)
    text = {"nb_res": 3, "jobs": [{"subtime": 0, **job} for job in jobs], "profiles": profiles}
    (folder / "w.json").write_text(json.dumps(text))
    workload = read_workload(folder / "w.json", "w0")
    lists = []
    if events:
        (folder / "events.txt").write_text("".join(json.dumps(event) + "\n" for event in events))
        lists = [read_events(folder / "events.txt", forward_unknown=False)]
    machine = number_resources(load_platform(folder / "p.xml"))
    process = Firstcome(act)
    found: dict[str, JobResult] = {}
    simulate(
        machine.platform,
        machine,
        [workload],
        process,
        SimulationOptions(
            outputs=folder / "out",
            events=lists,
            on_job=lambda job: found.__setitem__(job.job_id.partition("!")[2], job),
            **options,
        ),
    )
    files = {}
    for kind in ("jobs", "schedule", "machine_states"):
        with open(folder / f"out_{kind}.csv", newline="") as file:
            files[kind] = list(csv.DictReader(file))
    return Outcome(found, files, process.told)
