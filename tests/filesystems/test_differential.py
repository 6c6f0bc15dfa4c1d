"""batfs's scheduler and a scheduler behind the proxy that takes the same decisions: the same bytes,
reservations and times. See ``differential`` for what is drawn.

BATFS_DIFFERENTIAL says how many workloads are run in this process (25), BATFS_DIFFERENTIAL_SOCKETS how many
over sockets (12), BATFS_DIFFERENTIAL_FROM the first seed (3).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import differential as d
import differential_forks as forks
import pytest

from batfs.decision.injector import Injector, WithFileSystems
from batfs.protocol import messages as m
from batfs.scheduling.config import Settings
from batfs.workload.model import Job, ParallelHomogeneous

FIRST = int(os.environ.get("BATFS_DIFFERENTIAL_FROM", "3"))
COUNT = int(os.environ.get("BATFS_DIFFERENTIAL", "25"))
SOCKETS = int(os.environ.get("BATFS_DIFFERENTIAL_SOCKETS", "12"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_whoever_decides_the_bytes_are_the_same(tmp_path: Path, seed: int) -> None:
    """In this process: the scheduler; the scheduler as a pybatsim scheduler, as ``batfs-sched`` is; and a
    pybatsim scheduler behind the proxy, in records and in bytes."""
    assert d.differing(seed, tmp_path / "x") == ""


@pytest.mark.parametrize("said", [0, 1])
def test_a_kill_of_who_has_ended_at_that_instant_goes_no_further(said: int) -> None:
    """A scheduler takes the events of a message one by one: at a call it kills a job that, a later event of
    the message says, has reached its walltime. Batsim aborts when it is told to kill who has ended. A job
    that runs on is killed, in the same reply."""
    node, disk = (
        m.Resource(0, "n0", "compute_node"),
        m.Resource(1, "s0", "storage", properties={"size": "1TB"}),
    )
    sent: list[m.Decision] = []

    class Theirs:
        def decide(self, request: m.Request) -> m.Reply:
            return m.Reply(request.now, list(sent))

    proxy = WithFileSystems(Theirs(), Injector(Settings()))
    config = {"dynamic-jobs-enabled": False, "dynamic-jobs-acknowledged": False}
    proxy.decide(m.Request(0.0, [m.SimulationBegins(0.0, [node], [disk], True, True, config, {}, {})]))
    jobs = []
    for name in ("1", "2"):
        job = Job(f"w0!{name}", 0.0, 1, name, 4.5)
        profile = ParallelHomogeneous(1.0, 0.0, {"io_reads": 10**9})
        jobs += [m.JobSubmitted(0.0, job, profile)]
    sent[:] = [m.ExecuteJob(0.0, f"w0!{name}", (0,)) for name in ("1", "2")]
    begun = proxy.decide(m.Request(0.0, jobs)).decisions
    assert [d.io_job is not None for d in begun if isinstance(d, m.ExecuteJob)] == [True, True]
    sent[:] = [m.KillJob(4.5, ["w0!1", "w0!2"][: said + 1])]
    over = m.JobCompleted(4.5, "w0!1", "COMPLETED_WALLTIME_REACHED", 1, "0")
    reply = proxy.decide(m.Request(4.5, [m.RequestedCall(4.5), over]))
    kills = [decision.job_ids for decision in reply.decisions if isinstance(decision, m.KillJob)]
    assert kills == [["w0!2"]] * said


def test_staging_before_nodes_is_refused_at_the_start(tmp_path: Path) -> None:
    """Behind the proxy, in every way: an error of the settings, before any job has begun."""
    seed = next(seed for seed in range(20_000, 20_100) if refuses(d.draw(seed)))
    runner = d.Runner(d.draw(seed), tmp_path / "x")
    for way in ("proxy", "bytes", "hosted"):
        outcome = getattr(runner, way)()
        assert d.REFUSAL in outcome.error, way
        assert not outcome.jobs
    assert not runner.scheduler().error


def refuses(case: d.Case) -> bool:
    return case.config["filesystems"]["bb"].get("staging") in ("ahead", "two_step")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each process is a fork of this one")
@pytest.mark.parametrize("seed", [3, 11, 12, 20, *range(FIRST + 4, FIRST + SOCKETS)])
def test_and_over_sockets(seed: int) -> None:
    """The same drawn workloads with ``batfs sim`` beside ``batfs-sched``, beside ``batfs-proxy`` with the
    other scheduler within it, and beside ``batfs-proxy`` and the other scheduler as a third process; under
    Batsim 5's protocol as well where it has what was drawn."""
    forks.prepare()
    only = ("sched", "hosted", "third", "five", "sched5", "third5")
    with tempfile.TemporaryDirectory() as folder:  # a socket's path is short
        assert d.differing(seed, Path(folder) / "x", sockets=True, only=only) == ""
