"""The quick ways of the actors against the plain one: SimGrid's sub-rounds, a call at a time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from batfs.platform import load_platform, number_resources
from batfs.protocol import messages as m
from batfs.simulator import SimulationOptions, actors, simulate
from batfs.simulator.submitters import ExternalEvent
from batfs.workload.model import (
    Composed,
    Delay,
    Job,
    ParallelHomogeneous,
    ParallelHomogeneousTotal,
    Profile,
    Recv,
    Send,
    Workload,
)

PLATFORM = Path(__file__).parents[2] / "platforms" / "pfs_cluster.xml"


class PlainMaestro(actors.Maestro):
    """Every ready actor runs up to its next call; the calls are then served in that order. No short cuts."""

    def run_ready(self) -> None:
        while self.ready:
            batch, self.ready = self.ready, []
            calls = []
            for actor in batch:
                if not actor.alive:
                    continue
                if actor.step:
                    calls.append((actor, actor.call))
                    continue
                try:
                    calls.append((actor, actor.resume(actor.answer)))
                except StopIteration:
                    self.ended(actor)
            for actor, call in calls:
                if call is None:
                    self.ready.append(actor)
                    continue
                actor.step = step = call.serve(actor, actor.step)
                if step:
                    actor.call = call
                    self.ready.append(actor)
            if self.cancelled:
                self.collect_cancelled()


def random_workload(rng: random.Random, nodes: int) -> Workload:
    profiles: dict[str, Profile] = {
        "short": Delay(0.001),
        "delay": Delay(7.25),
        "empty": ParallelHomogeneous(0.0, 0.0),
        "work": ParallelHomogeneous(3e9, 2e6),
        "total": ParallelHomogeneousTotal(5e10, 1e8),
        "both": Composed(("work", "delay"), 2),
        "nested": Composed(("delay", "both"), 1),
        "tell": Send({"text": "here"}),
        "hear": Recv("yes", success="short", failure="delay", timeout="short"),
        "talk": Composed(("tell", "work", "hear"), 1),
    }
    jobs = []
    now = 0.0
    for i in range(40):
        now += rng.choice([0.0, 0.0, 1e-7, 0.3, rng.expovariate(0.5)])
        walltime = rng.choice([None, 5.0, 60.0, 2.000001])
        name = rng.choice(list(profiles))
        jobs.append(Job(f"w0!{i}", now, rng.randrange(1, nodes // 2), name, walltime))
    return Workload("w0", nodes, jobs, profiles)


class Whimsical:
    """Does whatever Batsim allows, at random, and keeps all it was told."""

    def __init__(self, seed: int, nodes: int) -> None:
        self.rng = random.Random(seed)
        self.free = set(range(nodes))
        self.waiting: list[Job] = []
        self.running: dict[str, set[int]] = {}
        self.over = False
        self.registered = 0
        self.registering = True
        self.told: list[str] = []

    def decide(self, request: m.Request) -> m.Reply:
        rng, out = self.rng, []
        self.told.append(repr(request.events))
        now = request.now
        ended = False
        for event in request.events:
            if isinstance(event, m.JobSubmitted):
                self.waiting.append(event.job)
            elif isinstance(event, m.JobCompleted):
                self.free |= self.running.pop(event.job_id)
            elif isinstance(event, m.Notification) and event.kind == "no_more_static_job_to_submit":
                self.over = True
            elif isinstance(event, m.SimulationEnds):
                ended = True
        if ended:
            return m.Reply(now, [])
        at = now

        def later() -> float:
            nonlocal at
            at += rng.choice([0.0, 0.0, 0.0, 1e-6, 0.4])
            return at

        if self.registering and rng.random() < 0.2 and self.registered < 5:
            self.registered += 1
            name = f"dyn{self.registered}"
            out.append(m.RegisterProfile(later(), "dynamic", name, Delay(rng.uniform(0.1, 3.0))))
            out.append(m.RegisterJob(later(), Job(f"dynamic!{name}", now, 1, name, None)))
            self.waiting.append(Job(f"dynamic!{name}", now, 1, name, None))
        while self.waiting and rng.random() < 0.85:
            job = self.waiting[0]
            if job.requested_nodes > len(self.free):
                break
            self.waiting.pop(0)
            if rng.random() < 0.05:
                out.append(m.RejectJob(later(), job.id))
                continue
            nodes = set(sorted(self.free)[: job.requested_nodes])
            self.free -= nodes
            self.running[job.id] = nodes
            out.append(m.ExecuteJob(later(), job.id, tuple(sorted(nodes))))
            if rng.random() < 0.2:
                out.append(m.ToJobMessage(later(), job.id, rng.choice(["yes", "no"])))
        if self.running and rng.random() < 0.06:
            out.append(m.KillJob(later(), rng.sample(sorted(self.running), 1)))
        if self.waiting or rng.random() < 0.1:
            stamp = later()
            out.append(m.CallMeLater(stamp, stamp + rng.choice([0.5, 3.0])))
        done = self.over and not self.waiting and not self.running
        if self.registering and done:
            self.registering = False
            out.append(m.Notify(later(), "registration_finished"))
        return m.Reply(max(at, now + rng.choice([0.0, 0.0, 2e-6])), out)


def outcome(seed: int, folder: Path, interpreted: bool) -> tuple[list[str], dict[str, str], Any]:
    platform = load_platform(PLATFORM)
    machine = number_resources(platform)
    nodes = min(machine.nb_compute, 12)
    process = Whimsical(seed, nodes)
    events = [ExternalEvent("note", 3.0, (), {"type": "note", "timestamp": 3.0})]
    folder.mkdir()
    options = SimulationOptions(
        outputs=folder / "x",
        dynamic_jobs=True,
        forward_unknown_events=True,
        events=[events],
        interpreted=interpreted,
    )
    workload = random_workload(random.Random(seed), nodes)
    result = simulate(platform, machine, [workload], process, options)
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.name != "x_schedule.csv"}
    return process.told, texts, (result.now, result.requests, result.deadlock, result.steps)


@pytest.mark.parametrize("seed", range(25))
def test_short_cuts_change_nothing(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreted = seed % 2 == 0
    quick = outcome(seed, tmp_path / "quick", interpreted)
    monkeypatch.setattr("batfs.simulator.server.Maestro", PlainMaestro)
    plain = outcome(seed, tmp_path / "plain", interpreted)
    assert quick[0] == plain[0]
    assert quick[1:] == plain[1:]
    assert len(quick[0]) > 40
