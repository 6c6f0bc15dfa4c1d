"""A job's bytes behind the proxy and in batfs's own scheduler: one tenancy, so one behaviour.

Times are calculated by hand: one node computes 1 Gf/s, the storage reads 100 MB/s and writes 50 MB/s.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, composed, job, simulate_tiny, watched, work

from batfs.decision.injector import Injector, WithFileSystems
from batfs.filesystems.interface import Move, Placement, Transfer
from batfs.filesystems.traffic import from_transfers
from batfs.protocol import messages as m
from batfs.records import replace
from batfs.resource_sets import parse_resources
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler

sys.path.insert(0, str(Path(__file__).parent.parent / "scheduling"))
import driving

MB, GB = 10**6, 10**9
PFS = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"}}
PHASES = {"timing": "phases"}


class Plain:
    """Starts each job on the first nodes when it is submitted, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, m.Event]] = []

    def decide(self, request: m.Request) -> m.Reply:
        out: list[m.Decision] = []
        for event in request.events:
            self.heard.append((request.now, event))
            if isinstance(event, m.JobSubmitted):
                nodes = tuple(range(event.job.requested_nodes))
                out.append(m.ExecuteJob(request.now, event.job.id, nodes))
        return m.Reply(request.now, out)

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for _, event in self.heard]


def behind(inner: m.DecisionProcess, **more: Any) -> Any:
    def make(settings: Any, files: Any, ran: Ran) -> m.DecisionProcess:
        return WithFileSystems(inner, Injector(settings, make_files=files, say=ran.said.append, observer=ran))

    return make


# ---- time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("walltime", [10.5, 10.123456, 10.3])
@pytest.mark.parametrize("proxied", [False, True])
def test_the_walltime_of_a_job_in_steps_is_kept(tmp_path: Path, walltime: float, proxied: bool) -> None:
    """Jobs one after the other, each reads 200 MB at 100 MB/s (2 s) and computes for 20 s: each must be
    ended ``walltime`` seconds after its first step began, at whatever date with six decimals that was."""
    rng = random.Random(1)
    io = [{"filesystem": "lustre", "reads": 200 * MB, "writes": 0, "options": PHASES}]
    jobs = [
        job(f"{k:03}", 1, 20e9, at=round(k * 30 + rng.random(), 6), walltime=walltime, io=io)
        for k in range(60)
    ]
    process = behind(Plain()) if proxied else watched()
    ran = simulate_tiny(tmp_path, 1, PFS, jobs, dynamic=True, control="1us", process=process)
    for k in range(60):
        began = min(v[0] for n, v in ran.kinds().items() if n.startswith(f"w0.{k:03}."))
        ended = ran.jobs[f"w0!{k:03}"]
        assert ended.end - began == pytest.approx(walltime, abs=1e-4)
        assert ended.state == "COMPLETED_KILLED"


def test_a_walltime_shorter_than_a_message_takes_is_kept(tmp_path: Path) -> None:
    """Batsim aborts on a call that is due when it reads it: a walltime of 1 ms ends the job a little late."""
    io = [{"filesystem": "lustre", "reads": 200 * MB, "writes": 0, "options": PHASES}]
    ran = simulate_tiny(
        tmp_path, 1, PFS, [job("1", 1, 20e9, walltime=0.001, io=io)], dynamic=True, control="1ms"
    )
    assert not ran.result.deadlock
    assert ran.kinds()["w0.1.0.read"][1] < 0.2


LATER = '''
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import Pass

class Later:
    """Starts each job so many seconds after its submission; asks to be called once, and not again."""
    name = "later"
    def __init__(self, delay="1", again="yes"):
        self.delay, self.again, self.asked = float(delay), again == "yes", set()
    def schedule(self, view):
        starts, wake = [], None
        for job in view.queue:
            at = job.job.submission_time + self.delay
            if at <= view.now:
                placed = view.place(job)
                if not isinstance(placed, Hold):
                    starts.append(placed)
            elif self.again or job.id not in self.asked:
                self.asked.add(job.id)
                wake = at if wake is None else min(wake, at)
        return Pass(starts, (), wake)
'''


@pytest.mark.parametrize("delay", [1 / 3, 2 / 3, 1.0, 0.1 + 0.2, 0.500000001])
@pytest.mark.parametrize("again", ["yes", "no"])
def test_no_wake_up_is_lost(tmp_path: Path, delay: float, again: str) -> None:
    """Each of four jobs starts ``delay`` after its submission, though the date has more than six decimals and
    the policy, which compares exactly, asks for it once only. The dates of the calls are 10 s apart."""
    (tmp_path / "later.py").write_text(LATER)
    jobs = [job(f"{k}", 1, 1e9, at=1.0 + 10 * k) for k in range(4)]
    queue = f"{tmp_path}/later.py:Later:delay={delay},again={again}"
    ran = simulate_tiny(tmp_path, 2, PFS, jobs, {"queue": queue}, control="1us")
    assert not ran.result.deadlock
    for k in range(4):
        assert ran.times(f"{k}")[0] == pytest.approx(1.0 + 10 * k + delay, abs=1e-4)


def test_a_wish_outlives_an_earlier_call(tmp_path: Path) -> None:
    """Two jobs 2 s apart, both to start 5 s after they came: the wake-up for the second is wished while that
    for the first is on its way, and not again. It starts at 1 + 2 + 5 = 8 s all the same."""
    (tmp_path / "later.py").write_text(LATER)
    jobs = [job("0", 1, 1e9, at=1.0), job("1", 1, 1e9, at=3.0)]
    ran = simulate_tiny(
        tmp_path, 2, PFS, jobs, {"queue": f"{tmp_path}/later.py:Later:delay=5,again=no"}, control="1us"
    )
    assert [ran.times(name)[0] for name in "01"] == [pytest.approx(6.0), pytest.approx(8.0)]


@pytest.mark.parametrize("passes", ["message", "event"])
def test_upkeep_is_asked_when_bytes_are_free_whatever_a_pass_is(passes: str) -> None:
    """Two jobs on all nodes, a third waits: when the first ends, the second starts in the same message, and
    the file systems are asked for upkeep there and nowhere else after the start."""
    calls: list[float] = []

    class Pool(driving.OnePool):
        def upkeep(self, view: Any, rng: Any, now: float) -> Sequence[Move]:
            calls.append(now)
            return ()

    scheduler = Scheduler(
        Settings(flags=Layer("t", {"passes": passes})),
        lambda config, compute, storages, dynamic: Pool(storages),  # type: ignore[arg-type,return-value]
    )
    scheduler.decide(m.Request(0.0, [dynamic(driving.begins(2, [100]))]))
    submitted = [m.JobSubmitted(at, *driving.job(name, at, 2)) for name, at in (("1", 1), ("2", 1), ("3", 2))]
    scheduler.decide(m.Request(1.0, submitted[:2]))
    calls.clear()
    scheduler.decide(m.Request(2.0, submitted[2:]))
    scheduler.decide(m.Request(3.0, [m.JobCompleted(3.0, "w0!1", "COMPLETED_SUCCESSFULLY", 0, "0-1")]))
    assert calls == [3.0]


def dynamic(begins: m.SimulationBegins) -> m.SimulationBegins:
    """The same machine with dynamic jobs on."""
    config = {**begins.config, "dynamic-jobs-enabled": True}
    return m.SimulationBegins(
        0.0, begins.compute_resources, begins.storage_resources, False, True, config, {}, {}
    )


# ---- behind the proxy --------------------------------------------------------------------------------------


def test_a_wake_up_of_ours_is_not_heard_of_and_one_of_theirs_is(tmp_path: Path) -> None:
    """A job in phases makes the injector ask for its walltime's end, at 1 + 9 = 10 s; the other side asks for
    4 s and for 10 s. It hears of two calls, though three came."""

    class Asking(Plain):
        def decide(self, request: m.Request) -> m.Reply:
            reply = super().decide(request)
            first = [e for e in request.events if isinstance(e, m.JobSubmitted) and e.job.id == "w0!1"]
            calls = [m.CallMeLater(request.now, at) for at in (10.0, 4.0)] if first else []
            return m.Reply(reply.now, [*calls, *reply.decisions])

    io = [{"filesystem": "lustre", "reads": 200 * MB, "writes": 0, "options": PHASES}]
    jobs = [job("1", 1, 5e9, at=1.0, walltime=9, io=io), job("2", 1, 1e9, at=100.0)]
    inner = Asking()
    ran = simulate_tiny(tmp_path, 1, PFS, jobs, dynamic=True, control="1us", process=behind(inner))
    assert len([d for d in ran.sent if isinstance(d, m.CallMeLater)]) == 3
    heard = [now for now, event in inner.heard if isinstance(event, m.RequestedCall)]
    assert heard == [pytest.approx(4.0, abs=1e-3), pytest.approx(10.0, abs=1e-3)]


def ask(
    injector: Injector, now: float, events: Sequence[m.Event], decisions: Sequence[m.Decision] = ()
) -> list[m.Decision]:
    injector.heard(now, events)
    out = injector.own()
    for decision in decisions:
        out += injector.outgoing(now, decision)
    return out + injector.closing(now)


def test_what_upkeep_frees_goes_to_who_waits() -> None:
    """100 bytes on the second storage. A move of the pool's own holds 60 of them from 2 s on, so a job of 50
    is held back at 3 s; the move ends at 4 s and the job starts."""

    class Pool(driving.OnePool):
        done = False

        def upkeep(self, view: Any, rng: Any, now: float) -> Sequence[Move]:
            if self.done:
                return ()
            self.done = True
            here, there = (s.id for s in self.storages)
            return (
                Move("balance", from_transfers([Transfer(here, there, 10)]), (Placement(there, 60),), "t"),
            )

    injector = Injector(
        Settings(flags=Layer("test", {"validate": True})),
        make_files=lambda config, compute, storages, on: Pool(storages),  # type: ignore[arg-type,return-value]
        observer=driving.Memory(),
    )
    [begun] = [d for d in ask(injector, 0.0, [dynamic(driving.begins(3, [10, 100]))]) if is_move(d)]
    one, profile = driving.job("1", 0, 1, writes=50)
    assert not ask(injector, 3.0, [m.JobSubmitted(3.0, one, profile)], [m.ExecuteJob(3.0, one.id, (1,))])
    ended = m.JobCompleted(4.0, begun.job_id, "COMPLETED_SUCCESSFULLY", 0, "4")
    [start] = ask(injector, 4.0, [ended])
    assert isinstance(start, m.ExecuteJob)
    assert start.job_id == one.id
    assert start.io_job is not None


def is_move(decision: m.Decision) -> bool:
    return isinstance(decision, m.ExecuteJob) and decision.job_id.startswith("batfs!")


@pytest.mark.parametrize("proxied", [False, True])
def test_the_file_systems_hear_of_machines_that_are_away(proxied: bool) -> None:
    """The storage 2 is away and back: told by the scheduler and the injector alike. The other side, which
    doesn't know it, hears of the node 0 only."""
    told: list[tuple[Any, ...]] = []

    class Pool(driving.OnePool):
        def lost(self, resources: Sequence[int]) -> None:
            told.append(("lost", *resources))

        def back(self, resources: Sequence[int]) -> None:
            told.append(("back", *resources))

    def make(config: Any, compute: Any, storages: Any, on: bool) -> Any:
        return Pool(storages)

    inner = Plain()
    process: m.DecisionProcess = (
        WithFileSystems(inner, Injector(Settings(), make_files=make))
        if proxied
        else Scheduler(Settings(), make)
    )
    process.decide(m.Request(0.0, [driving.begins(2, [100])]))
    for at, kind, resources in (
        (1.0, "unavailable", "2"),
        (2.0, "available", "0 2"),
        (3.0, "available", "0"),
    ):
        data = {"type": f"event_machine_{kind}", "resources": resources}
        process.decide(m.Request(at, [m.Notification(at, data["type"], data)]))
    assert told == [("lost", 2), ("back", 0, 2), ("back", 0)]
    if proxied:
        heard = [e.data["resources"] for _, e in inner.heard if isinstance(e, m.Notification)]
        assert heard == ["0", "0"]


@pytest.mark.parametrize("shown", [False, True])
def test_storages_are_hidden_unless_they_are_asked_for(shown: bool) -> None:
    begins = driving.begins(3, [10, 20])
    injector = Injector(
        Settings(flags=Layer("test", {"show_storages": shown})),
        make_files=lambda config, compute, storages, on: driving.OnePool(storages),  # type: ignore[arg-type,return-value]
    )
    [seen] = injector.heard(0.0, [begins])
    assert isinstance(seen, m.SimulationBegins)
    assert [r.id for r in seen.storage_resources] == ([3, 4] if shown else [])
    assert [r.id for r in seen.compute_resources] == [0, 1, 2]


@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("proxied", [False, True])
def test_what_never_fits_is_rejected_when_it_is_submitted(tmp_path: Path, proxied: bool, on: bool) -> None:
    """Two phases hold 6 GB each on a storage of 10: they never fit, though each by itself would. The job is
    rejected at 1 s, when another fills the storage until 61 s; a third job of 6 GB waits until then and
    starts. The one rejected counts as killed for the other side."""
    children = {"a": work(1, io_writes=6 * GB), "b": work(1, io_writes=6 * GB)}
    jobs = [
        job("0", 1, 60e9, io_reads=int(5.9 * GB)),
        composed("1", ["a", "b"], children, at=1.0),
        job("2", 1, 1e9, at=2.0, io_reads=6 * GB),
    ]
    small = {"s0": {**PFS["s0"], "size": "10GB"}}
    inner = Plain()
    process = behind(inner) if proxied else watched()
    ran = simulate_tiny(tmp_path, 3, small, jobs, dynamic=on, control="1us", process=process)
    assert ran.jobs["w0!1"].rejected
    assert (
        ran.jobs["w0!1"].metadata
        == "can never start: StorageCapacity: 2000000000 bytes missing on s0, for ever"
    )
    rejected = [d.timestamp for d in ran.sent if isinstance(d, m.RejectJob) and d.job_id == "w0!1"]
    assert rejected == [pytest.approx(1.0, abs=1e-3)]
    assert ran.times("2")[0] == pytest.approx(60.0, abs=0.2)
    [record] = [r for r in ran.records if r.job.id == "w0!1"]
    assert record.reason.startswith("can never start")
    if proxied:
        ended = [e for _, e in inner.heard if isinstance(e, m.JobCompleted) and e.job_id == "w0!1"]
        assert [e.state for e in ended] == ["COMPLETED_KILLED"]
        assert parse_resources(ended[0].alloc) == (0,)


def test_small_disks_are_no_reason_where_others_are_large(tmp_path: Path) -> None:
    """6 GB on the disk of one's own node: n0 has 1 GB, n1 has 10 GB. The job can run on n1."""
    disks = {
        f"d{k}": {"filesystem": "disk", "node": f"n{k}", "size": size}
        for k, size in enumerate(("1GB", "10GB"))
    }
    jobs = [job("0", 1, 100e9), job("1", 1, 1e9, at=1.0, io_writes=6 * GB)]
    ran = simulate_tiny(tmp_path, 2, disks, jobs, control="1us", process=watched())
    assert not ran.jobs["w0!1"].rejected
    assert ran.times("1")[0] == pytest.approx(1.0, abs=1e-3)


# ---- the story ---------------------------------------------------------------------------------------------


def test_an_error_in_the_books_comes_with_its_story() -> None:
    """A job that completes twice: the error names it, the last messages and who holds what."""
    from batfs.scheduling.story import InvariantError

    scheduler = Scheduler(
        Settings(),
        lambda config, compute, storages, on: driving.OnePool(storages),  # type: ignore[arg-type,return-value]
    )
    scheduler.decide(m.Request(0.0, [driving.begins(3, [100])]))
    jobs = [m.JobSubmitted(1.0, *driving.job(name, 1, 1, writes=60)) for name in "ab"]
    scheduler.decide(m.Request(1.0, jobs))
    with pytest.raises(InvariantError, match="w0!c has completed, but it was not running") as caught:
        scheduler.decide(m.Request(2.0, [m.JobCompleted(2.0, "w0!c", "COMPLETED_SUCCESSFULLY", 0, "0")]))
    story = "\n".join(caught.value.story)
    assert "1.000000 heard JobSubmitted(w0!a) JobSubmitted(w0!b); sent ExecuteJob(w0!a 0)" in story
    assert "2.000000 heard JobCompleted(w0!c" in story
    assert "w0!a running on 0, holds 60 on s0" in story
    assert "w0!b waits for 1 nodes: StorageCapacity: 20 bytes missing on s0" in story


def test_each_invariant_is_stated_and_checked() -> None:
    """Books that are spoilt one by one: each time the sentence that no longer holds is the one named."""
    from batfs.scheduling.invariants import INVARIANTS, validate
    from batfs.scheduling.story import InvariantError

    def spoilt(how: Any) -> str:
        scheduler = Scheduler(
            Settings(),
            lambda config, compute, storages, on: driving.OnePool(storages),  # type: ignore[arg-type,return-value]
        )
        scheduler.decide(m.Request(0.0, [driving.begins(4, [100])]))
        jobs = [m.JobSubmitted(1.0, *driving.job(name, 1, 1, writes=40)) for name in "ab"]
        scheduler.decide(m.Request(1.0, jobs))
        tenancy = scheduler.session.tenancy
        validate(tenancy)
        how(tenancy)
        with pytest.raises(InvariantError) as caught:
            validate(tenancy)
        return caught.value.problem

    def lose_a_line(tenancy: Any) -> None:
        booked = tenancy.running["w0!a"].booked
        booked.held = replace(booked.held, lines=())

    def share_a_node(tenancy: Any) -> None:
        tenancy.running["w0!a"].nodes = tenancy.running["w0!b"].nodes

    ways: list[tuple[Any, str]] = [
        (share_a_node, "no node belongs to two jobs: w0!b shares the nodes 1"),
        (lambda t: t.machine.__setattr__("busy", 15), "the nodes that are busy are those that jobs have"),
        (lambda t: t.machine.__setattr__("free", 15), "a node is free if it is there and not busy"),
        (lambda t: t.running["w0!a"].booked.__setattr__("nodes", 5), "a job keeps the nodes it was given"),
        (lose_a_line, "every reservation belongs to a job, a move or a data set"),
        (lambda t: t.machine.used.__setitem__(0, 90), "a storage holds what they hold"),
        (lambda t: t.machine.transfers.__setitem__(0, 7), "the transfers counted are those under way"),
    ]
    for how, sentence in ways:
        assert spoilt(how).startswith(f"it must hold that {sentence}")
    assert len(ways) == len(INVARIANTS) - 1  # the ledger's audit has tests of its own
