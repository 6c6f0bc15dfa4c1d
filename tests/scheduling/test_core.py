"""The scheduler's core, driven by events: order, capacity, rejection, EASY against a brute-force oracle."""

from __future__ import annotations

import importlib.util
from math import inf
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.plugins import PluginError
from batfs.protocol import messages as m
from batfs.scheduling.core import Scheduler
from batfs.scheduling.story import InvariantError


def _driving() -> ModuleType:
    path = Path(__file__).with_name("driving.py")
    spec = importlib.util.spec_from_file_location("batfs_tests_driving", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


driving = _driving()
begins, drive, job = driving.begins, driving.drive, driving.job


def test_fcfs_keeps_the_order_and_starts_as_soon_as_nodes_are_free() -> None:
    jobs = [job("1", 0, 3), job("2", 1, 2), job("3", 2, 1)]
    run = drive({}, begins(4, []), jobs, {"w0!1": 10, "w0!2": 5, "w0!3": 1})
    # 2 lacks a node until 1 ends; 3 would fit at once but may not overtake
    assert run.starts == {"w0!1": 0, "w0!2": 10, "w0!3": 10}
    assert run.nodes == {"w0!1": (0, 1, 2), "w0!2": (0, 1), "w0!3": (2,)}


def test_easy_backfills_what_ends_before_the_reservation() -> None:
    jobs = [job("1", 0, 3, 10), job("2", 1, 4, 10), job("3", 2, 1, 8), job("4", 2, 1, 9)]
    run = drive({"queue": "easy"}, begins(4, []), jobs, {"w0!1": 10, "w0!2": 5, "w0!3": 8, "w0!4": 9})
    # 2 is promised 4 nodes at 10: 3 (until 10) goes ahead, 4 (until 11) may not
    assert run.starts == {"w0!1": 0, "w0!3": 2, "w0!2": 10, "w0!4": 15}


def test_easy_treats_a_job_without_walltime_as_endless() -> None:
    jobs = [job("1", 0, 3), job("2", 1, 4, 10), job("3", 2, 1), job("4", 2, 1, 1000)]
    run = drive({"queue": "easy"}, begins(4, []), jobs, {"w0!1": 10, "w0!2": 5, "w0!3": 8, "w0!4": 900})
    # nobody knows when 1 ends: what has an end may fill the hole, what hasn't may not take the head's nodes
    assert run.starts["w0!4"] == 2
    assert run.starts["w0!2"] == 902
    assert run.starts["w0!3"] == 907


def test_a_job_waits_for_bytes_with_the_reason() -> None:
    jobs = [job("1", 0, 1, writes=60), job("2", 1, 1, reads=30, writes=20), job("3", 2, 1)]
    run = drive({"validate": True}, begins(4, [100]), jobs, {"w0!1": 10, "w0!2": 5, "w0!3": 1})
    assert run.starts == {"w0!1": 0, "w0!2": 10, "w0!3": 10}
    second = run.memory.records[1]
    assert second.job.id == "w0!2"
    assert second.storage_waiting_time == 9
    assert second.reason == "StorageCapacity: 10 bytes missing on s0"
    assert [(t, held) for t, (_, held, _, _) in run.memory.states] == [(0, 60), (10, 50), (15, 0)]


def test_what_can_never_fit_is_rejected_with_the_reason_and_holds_up_nobody() -> None:
    jobs = [job("1", 0, 1, writes=101), job("2", 0, 9), job("3", 0, 1, writes=100)]
    run = drive({"validate": True}, begins(4, [100]), jobs, dict.fromkeys(("w0!1", "w0!2", "w0!3"), 5.0))
    assert run.starts == {"w0!3": 0}
    assert run.rejected == {
        "w0!1": "can never start: StorageCapacity: 1 bytes missing on s0, for ever",
        "w0!2": "asks for 9 nodes; jobs can have 4",
    }


def test_contiguity_and_node_order() -> None:
    jobs = [job("1", 0, 1), job("2", 0, 1), job("3", 0, 1), job("4", 1, 2)]
    runtimes = {"w0!1": 9.0, "w0!2": 1.0, "w0!3": 9.0, "w0!4": 1.0}
    lowest = drive({}, begins(5, []), jobs, runtimes)
    assert lowest.nodes["w0!4"] == (1, 3)
    together = drive({"node_selection": "contiguous"}, begins(5, []), jobs, runtimes)
    assert together.nodes["w0!4"] == (3, 4)
    # Batsim numbers by the bytes of names: node_1 node_10 node_2 node_3; by name node_2 follows node_1
    names = ["node_1", "node_10", "node_2", "node_3"]
    by_name = drive({"node_order": "name"}, begins(4, [], names), [job("1", 0, 2)], {"w0!1": 1})
    assert by_name.nodes["w0!1"] == (0, 2)


def test_a_block_waits_for_consecutive_nodes() -> None:
    jobs = [job("1", 0, 1), job("2", 0, 1), job("3", 0, 1), job("4", 1, 2)]
    runtimes = {"w0!1": 9.0, "w0!2": 1.0, "w0!3": 9.0, "w0!4": 1.0}
    run = drive({"node_selection": "block"}, begins(4, []), jobs, runtimes)
    assert run.starts["w0!4"] == 9
    assert run.nodes["w0!4"] == (0, 1)


def test_unavailable_machines_are_left_alone_until_they_return() -> None:
    machine = begins(3, [])
    scheduler = Scheduler(
        driving.Settings(), lambda config, compute, storages, dynamic: driving.OnePool(storages)
    )
    scheduler.decide(m.Request(0.0, [machine]))
    gone = m.Notification(0.0, "event_machine_unavailable", {"resources": "0-1"})
    scheduler.decide(m.Request(0.0, [gone]))
    one, profile = job("1", 1, 2)
    assert not scheduler.decide(m.Request(1.0, [m.JobSubmitted(1.0, one, profile)])).decisions
    back = m.Notification(2.0, "event_machine_available", {"resources": "0"})
    [started] = scheduler.decide(m.Request(2.0, [back])).decisions
    assert isinstance(started, m.ExecuteJob)
    assert started.alloc == (0, 2)


def test_a_policy_that_cheats_is_found_out(tmp_path: Path) -> None:
    file = tmp_path / "cheat.py"
    file.write_text(
        "from batfs.scheduling.interface import JobPlacement, Pass\n"
        "class Cheat:\n"
        "    name = 'cheat'\n"
        "    def schedule(self, view):\n"
        "        return Pass([JobPlacement(job, 1, view.now) for job in view.queue])\n"
    )
    with pytest.raises(PluginError, match=r"cheat\.py: line 4: .*without a placement"):
        drive({"queue": f"{file}:Cheat"}, begins(2, []), [job("1", 0, 1)], {"w0!1": 1})


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(InputError, match=r"known: .*easy.*fcfs"):
        drive({"queue": "esay"}, begins(2, []), [], {})
    with pytest.raises(InputError, match=r"unknown key 'polcy'.*did you mean 'policy'"):
        drive({"polcy": "random"}, begins(2, []), [], {})


# ---- properties ------------------------------------------------------------------------------------------

NODES, SIZES = 6, [50, 80]


@st.composite
def scenarios(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    count = draw(st.integers(1, 14))
    jobs, runtimes, kills = [], {}, []
    for k in range(count):
        at = draw(st.integers(0, 20))
        walltime = draw(st.one_of(st.none(), st.integers(1, 12)))
        reads, writes = draw(st.integers(0, 60)), draw(st.integers(0, 40))
        jobs.append(job(f"{k:02}", float(at), draw(st.integers(1, NODES + 1)), walltime, reads, writes))
        runtimes[f"w0!{k:02}"] = float(draw(st.integers(1, 15)))
        if draw(st.booleans()):
            kills.append((at + draw(st.integers(0, 15)) + 0.5, f"w0!{k:02}"))
    return jobs, runtimes, kills


@pytest.mark.parametrize("queue", ["fcfs", "easy", "easy:depth=2"])
@pytest.mark.parametrize(
    "selection", ["lowest", "block", "data_locality:patience=3", "near_storage:patience=2"]
)
@pytest.mark.parametrize("passes", ["message", "event"])
@settings(max_examples=40, deadline=None)
@given(scenarios())
def test_books_balance_after_every_event(queue: str, selection: str, passes: str, scenario) -> None:  # type: ignore[no-untyped-def]
    """Disjoint nodes, no storage over its size, no byte lost, whatever is killed (``validate`` checks)."""
    jobs, runtimes, kills = scenario
    config = {"queue": queue, "node_selection": selection, "passes": passes, "validate": True}
    run = drive(config, begins(NODES, SIZES), jobs, runtimes, kills=kills)
    scheduler = run.scheduler
    assert scheduler is not None
    assert scheduler.machine is not None
    assert len(scheduler.machine.ledger) == 0
    assert scheduler.machine.free == scheduler.machine.all
    assert set(run.starts) | set(run.rejected) == {one.id for one, _ in jobs}
    assert not set(run.starts) & set(run.rejected)
    for one, profile in jobs:
        if one.id in run.starts:
            assert run.starts[one.id] >= one.submission_time
            assert len(run.nodes[one.id]) == one.requested_nodes
        else:
            too_many = sum(profile.extra.values()) > max(SIZES) if profile.extra else False
            assert one.requested_nodes > NODES or too_many
    asked = {one.id: profile.extra for one, profile in jobs if profile.extra}
    for record in run.memory.records:
        if record.plans:
            [plan] = record.plans
            assert sum(int(t.sizes.sum()) for t in plan.reads) == asked[record.job.id]["io_reads"]
            assert sum(int(t.sizes.sum()) for t in plan.writes) == asked[record.job.id]["io_writes"]
    for _, (position, held, used, transfers) in run.memory.states:
        assert 0 <= used <= held <= SIZES[position]
        assert transfers >= 0


def easy_oracle(jobs, runtimes, nodes: int) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """EASY on counts, the obvious way: everything anew at every instant."""
    waiting: list = []
    running: dict[str, tuple[float, float, int]] = {}  # id -> (end, promised end, nodes)
    coming = sorted((one for one, _ in jobs), key=lambda o: (o.submission_time, o.id))
    starts: dict[str, float] = {}
    while waiting or running or coming:
        now = min([end for end, _, _ in running.values()] + [o.submission_time for o in coming[:1]])
        running = {k: v for k, v in running.items() if v[0] > now}
        while coming and coming[0].submission_time <= now:
            waiting.append(coming.pop(0))
        free = nodes - sum(n for _, _, n in running.values())
        shadow, extra, head = 0.0, nodes, None
        for one in list(waiting):
            wall = inf if one.walltime is None else one.walltime
            fits = one.requested_nodes <= free
            if head is None and not fits:
                head, shadow, have = one, inf, 0
                for promised in sorted({p for _, p, _ in running.values() if p < inf}):
                    have = free + sum(n for _, p, n in running.values() if p <= promised)
                    if have >= head.requested_nodes:
                        shadow = promised
                        break
                else:
                    have = head.requested_nodes  # nothing is promised, nothing to spare
                extra = have - head.requested_nodes
            elif fits and head is not None and not (now + wall <= shadow and wall < inf):
                fits = one.requested_nodes <= extra
                extra -= one.requested_nodes if fits else 0
            if fits:
                starts[one.id] = now
                running[one.id] = (now + min(runtimes[one.id], wall), now + wall, one.requested_nodes)
                free -= one.requested_nodes
                waiting.remove(one)
    return starts


@settings(max_examples=150, deadline=None)
@given(scenarios())
def test_easy_is_the_textbooks(scenario) -> None:  # type: ignore[no-untyped-def]
    jobs, runtimes, _ = scenario
    jobs = [(one, driving.ParallelHomogeneous(1.0, 0.0)) for one, _ in jobs if one.requested_nodes <= NODES]
    run = drive({"queue": "easy"}, begins(NODES, []), jobs, runtimes)
    assert run.starts == easy_oracle(jobs, runtimes, NODES)


def test_bytes_that_nobody_accounts_for_are_found() -> None:
    """What was asked for is moved, cut short, dropped or left, whoever waits, runs or stands apart."""
    scheduler = Scheduler(
        driving.Settings(flags=driving.Layer("test", {"validate": True})),
        lambda config, compute, storages, dynamic: driving.OnePool(storages),
    )
    scheduler.decide(m.Request(0.0, [begins(2, [100])]))
    jobs = [job("1", 0, 2, 60), job("2", 0, 1, 50)]  # the second waits for nodes
    scheduler.decide(m.Request(0.0, [m.JobSubmitted(0.0, *one) for one in jobs]))
    scheduler.session.validate()
    scheduler.session.tenancy.account.asked += 1
    with pytest.raises(InvariantError, match="every byte asked for is moved, cut short, dropped or left"):
        scheduler.session.validate()
