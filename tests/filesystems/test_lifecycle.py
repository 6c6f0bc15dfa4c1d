"""A job's life beyond one EXECUTE_JOB: the decisions it takes and when nodes and bytes come back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.filesystems.interface import PHASES, Checkpoints, IoPlan, Move, Traffic
from batfs.filesystems.lifecycle import Life
from batfs.filesystems.script import needs_script
from batfs.filesystems.traffic import from_grid
from batfs.protocol import messages as m
from batfs.workload.model import Composed, Delay, IoProfile, Job, ParallelHomogeneous, Profile

OK = "COMPLETED_SUCCESSFULLY"
JOB = Job("w0!1", 0.0, 2, "p", 100.0)
COMPUTE = ParallelHomogeneous(8.0, 4.0)
STORAGES = {10, 11}


def grid(sources: tuple[int, ...], destinations: tuple[int, ...], size: int) -> Traffic:
    return from_grid(sources, destinations, np.full((len(sources), len(destinations)), size, dtype=np.int64))


def staged(**more: Any) -> IoPlan:
    """Buffer 10, behind it 11: 8 bytes in, 6 bytes out; the job reads and writes the buffer."""
    return IoPlan(
        "bb",
        reads=[grid((10,), (0, 1), 4)],
        writes=[grid((0, 1), (10,), 3)],
        stage_in=[Move("stage_in", grid((11,), (10,), 8))],
        stage_out=[Move("stage_out", grid((10,), (11,), 6))],
        **more,
    )


def life(*plans: IoPlan, profile: Profile = COMPUTE, job: Job = JOB) -> Life:
    return Life(job, profile, (0, 1), plans, STORAGES)


def started(decisions: list[m.Decision]) -> list[str]:
    return [d.job_id for d in decisions if isinstance(d, m.ExecuteJob)]


def test_staging_around_the_job() -> None:
    one = life(staged())
    first = one.begin(0.0)
    register, job, execute = first
    assert isinstance(register, m.RegisterProfile)
    assert isinstance(register.profile, IoProfile)
    # from 11 to 10, on exactly these two storages: row 11, column 10
    assert register.profile.dense() == {"type": "parallel", "cpu": [0, 0], "com": [0, 0, 8, 0]}
    assert isinstance(job, m.RegisterJob)
    assert (job.job.id, job.job.requested_nodes, job.job.walltime) == ("batfs!w0.1.0.stage_in", 2, None)
    assert isinstance(execute, m.ExecuteJob)
    assert (tuple(execute.alloc), execute.io_job) == ((10, 11), None)
    assert (one.state, one.nodes_free, one.over) == ("staging in", False, False)

    (run,) = one.completed("batfs!w0.1.0.stage_in", OK, 5.0)
    assert isinstance(run, m.ExecuteJob)
    assert (run.job_id, tuple(run.alloc)) == ("w0!1", (0, 1))
    assert run.io_job is not None
    assert list(run.io_job.alloc) == [0, 1, 10]
    assert (one.state, one.deadline) == ("running", 105.0)

    out = one.completed("w0!1", OK, 50.0)
    assert started(out) == ["batfs!w0.1.2.stage_out"]
    assert (one.state, one.nodes_free, one.over) == ("staging out", True, False)
    assert one.completed("batfs!w0.1.2.stage_out", OK, 60.0) == []
    assert (one.state, one.over, one.result) == ("done", True, OK)
    assert [(d.kind, d.start, d.end, d.moved) for d in one.log] == [
        ("stage_in", 0.0, 5.0, 8),
        ("job", 5.0, 50.0, 14),
        ("stage_out", 50.0, 60.0, 6),
    ]


def test_no_stage_out_after_a_failure() -> None:
    one = life(staged())
    one.begin(0.0)
    one.completed("batfs!w0.1.0.stage_in", OK, 5.0)
    assert one.completed("w0!1", "COMPLETED_WALLTIME_REACHED", 105.0) == []
    assert (one.over, one.nodes_free, one.result) == (True, True, "COMPLETED_WALLTIME_REACHED")


def test_phases_read_compute_write() -> None:
    """The read and the write are empty jobs on the storage with the traffic merged in; the deadline is that
    of the whole, so a call is asked for, and the write gets what is left of the walltime: 100 - 40 = 60 s."""
    plan = IoPlan("pfs", reads=[grid((10,), (0, 1), 4)], writes=[grid((0, 1), (10,), 3)], timing=PHASES)
    assert needs_script(COMPUTE, [plan])
    one = life(plan)
    call, profile, job, read = one.begin(0.0)
    assert isinstance(call, m.CallMeLater)
    assert call.at == 100.0
    assert isinstance(profile, m.RegisterProfile)
    assert isinstance(job, m.RegisterJob)
    assert job.job.walltime == 100.0
    assert isinstance(read, m.ExecuteJob)
    assert tuple(read.alloc) == (10,)
    assert read.io_job is not None
    assert list(read.io_job.alloc) == [0, 1, 10]
    (run,) = [d for d in one.completed("batfs!w0.1.0.read", OK, 10.0) if isinstance(d, m.ExecuteJob)]
    assert (run.job_id, run.io_job) == ("w0!1", None)
    write = one.completed("w0!1", OK, 40.0)
    assert [d.job.walltime for d in write if isinstance(d, m.RegisterJob)] == [60.0]
    assert not one.nodes_free
    one.completed("batfs!w0.1.2.write", OK, 45.0)
    assert one.over


def test_walltime_counts_from_the_read_phase() -> None:
    plan = IoPlan("pfs", reads=[grid((10,), (0, 1), 4)], timing=PHASES)
    one = life(plan)
    one.begin(0.0)
    one.completed("batfs!w0.1.0.read", OK, 30.0)
    assert one.tick(99.0) == []
    (kill,) = one.tick(100.0)
    assert isinstance(kill, m.KillJob)
    assert list(kill.job_ids) == ["w0!1"]
    one.completed("w0!1", "COMPLETED_KILLED", 100.0)
    assert (one.over, one.result) == (True, "COMPLETED_WALLTIME_REACHED")


@pytest.mark.parametrize("profile", [Delay(10.0), Composed(("a", "b"))])
def test_io_runs_beside_what_it_cant_be_merged_into(profile: Profile) -> None:
    """Batsim ignores I/O on a delay and crashes on a composed job: the traffic is an activity of its own, and
    the job is over when both are."""
    plan = IoPlan("pfs", reads=[grid((10,), (0, 1), 4)])
    assert needs_script(profile, [plan])
    assert not needs_script(COMPUTE, [plan])
    one = life(plan, profile=profile)
    assert started(one.begin(0.0)) == ["w0!1", "batfs!w0.1.1.io"]
    one.completed("w0!1", OK, 10.0)
    assert not one.nodes_free
    one.completed("batfs!w0.1.1.io", OK, 12.0)
    assert one.over


def test_checkpoints_cut_the_job_and_drains_outlive_it() -> None:
    """2 checkpoints: 3 parts of 8/3 flops and 4/3 bytes. A drain runs beside the next part and holds the
    bytes, not the nodes, when the job has ended."""
    checkpoint = Checkpoints(
        2, [Move("checkpoint", grid((0, 1), (10,), 5))], [Move("drain", grid((10,), (11,), 10))]
    )
    plan = IoPlan("bb", checkpoints=checkpoint)
    one = life(plan)
    assert not one.executed
    first = one.begin(0.0)
    (part,) = [d.profile for d in first if isinstance(d, m.RegisterProfile)]
    assert part == ParallelHomogeneous(8 / 3, 4 / 3)
    assert started(first) == ["batfs!w0.1.0.compute"]
    assert started(one.completed("batfs!w0.1.0.compute", OK, 10.0)) == ["batfs!w0.1.1.checkpoint"]
    assert started(one.completed("batfs!w0.1.1.checkpoint", OK, 11.0)) == [
        "batfs!w0.1.2.drain",
        "batfs!w0.1.3.compute",
    ]
    one.completed("batfs!w0.1.3.compute", OK, 20.0)
    one.completed("batfs!w0.1.2.drain", OK, 20.5)
    assert started(one.completed("batfs!w0.1.4.checkpoint", OK, 21.0)) == [
        "batfs!w0.1.5.drain",
        "batfs!w0.1.6.compute",
    ]
    one.completed("batfs!w0.1.6.compute", OK, 30.0)
    assert (one.nodes_free, one.over) == (True, False)
    one.completed("batfs!w0.1.5.drain", OK, 31.0)
    assert one.over


def test_checkpoints_of_what_cant_be_cut() -> None:
    plan = IoPlan("bb", checkpoints=Checkpoints(1, [Move("checkpoint", grid((0, 1), (10,), 5))], ()))
    with pytest.raises(InputError, match="composed profile"):
        life(plan, profile=Composed(("a",)))


plans = st.builds(
    lambda phases, stage, ahead, checkpoints: IoPlan(
        "bb",
        reads=[grid((10,), (0, 1), 4)],
        writes=[grid((0, 1), (10,), 3)],
        timing=PHASES if phases else "overlap",
        stage_in=[Move("stage_in", grid((11,), (10,), 8))] * stage,
        stage_out=[Move("stage_out", grid((10,), (11,), 6))] * stage,
        background=[Move("replicate", grid((0,), (11,), 6))] * ahead,
        checkpoints=Checkpoints(
            checkpoints,
            [Move("checkpoint", grid((0, 1), (10,), 5))] * 2,
            [Move("drain", grid((10,), (11,), 10))] * 2,
        )
        if checkpoints
        else None,
    ),
    st.booleans(),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 3),
)


@given(st.lists(plans, min_size=1, max_size=2), st.integers(0, 10**6), st.floats(0, 1), st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_life_ends_whatever_fails_or_is_killed(
    drawn: list[IoPlan], seed: int, trouble: float, kill: bool
) -> None:
    """Activities end in any order, some fail, the job may be killed at any moment: the life always ends, no
    id is used twice, nothing starts on the nodes once they are free, over means nothing is live."""
    rng = random.Random(seed)
    one = life(*drawn)
    now, seen, dying = 0.0, set[str](), set[str]()

    def take(decisions: list[m.Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, m.ExecuteJob):
                assert decision.job_id not in seen
                seen.add(decision.job_id)
                assert decision.job_id in one.live
                if one.nodes_free:
                    assert set(decision.alloc) <= STORAGES
            if isinstance(decision, m.KillJob):
                assert decision.job_ids
                dying.update(decision.job_ids)

    take(one.begin(now))
    for _ in range(200):
        assert one.over == (not one.live)
        if one.over:
            break
        now += rng.random()
        if kill and rng.random() < 0.1:
            take(one.kill(now))
        job_id = rng.choice(list(one.live))
        failed = rng.random() < trouble / 5
        state = "COMPLETED_KILLED" if job_id in dying else "COMPLETED_FAILED" if failed else OK
        take(one.completed(job_id, state, now))
    assert one.over
    assert one.nodes_free
    assert one.state == "done"
    assert (one.result == OK) == all(d.state == OK or d.kind in ("drain", "replicate") for d in one.log)


def test_each_plan_has_as_many_checkpoints_as_it_asked_for() -> None:
    """2 on one file system, 1 on the other: both are written after the first part, one after the second."""

    def plan(name: str, times: int, storage: int) -> IoPlan:
        move = Move("checkpoint", grid((0, 1), (storage,), 5))
        return IoPlan(name, checkpoints=Checkpoints(times, [move], ()))

    one = life(plan("bb", 2, 10), plan("cc", 1, 11))
    kinds = [kinds for step in one.steps if (kinds := [activity.kind for activity in step.activities])]
    compute, checkpoint = ["compute"], ["checkpoint"]
    assert kinds == [compute, checkpoint * 2, compute, checkpoint, compute]


def test_what_is_lost_takes_its_drains_along() -> None:
    """A checkpoint's drain from 10 to 11 is under way when 11 fails and loses what it has: the job begins
    again and the drain is ended; it goes on when 12 is lost, which it doesn't touch."""
    for lost, ended in (((11,), True), ((12,), False)):
        checkpoint = Checkpoints(
            1, [Move("checkpoint", grid((0, 1), (10,), 5))], [Move("drain", grid((10,), (11,), 10))]
        )
        one = life(IoPlan("bb", checkpoints=checkpoint))
        one.begin(0.0)
        one.completed("batfs!w0.1.0.compute", OK, 10.0)
        one.completed("batfs!w0.1.1.checkpoint", OK, 11.0)
        decisions, _ = one.restart(12.0, lost)
        kills = [i for d in decisions if isinstance(d, m.KillJob) for i in d.job_ids]
        assert ("batfs!w0.1.2.drain" in kills) is ended
        assert "batfs!w0.1.3.compute" in kills


def test_what_ends_just_before_it_is_stopped_counts_as_stopped() -> None:
    """Two checkpoints are written when the job has to begin again: both are to be killed. One has ended by
    itself in that moment. Nothing begins before the other has ended too; then the job computes again, from
    the beginning: the 7 s since 5 are undone."""
    plans = [
        IoPlan(name, checkpoints=Checkpoints(1, [Move("checkpoint", grid((0, 1), (at,), 5))], ()))
        for name, at in (("a", 10), ("b", 11))
    ]
    one = life(*plans)
    [compute] = started(one.begin(5.0))
    first, second = started(one.completed(compute, OK, 9.0))
    (kill,), undone = one.restart(12.0)
    assert isinstance(kill, m.KillJob)
    assert (list(kill.job_ids), undone) == ([first, second], 7.0)
    assert one.completed(first, OK, 12.0) == []
    assert started(one.completed(second, "COMPLETED_KILLED", 12.0)) == ["batfs!w0.1.3.compute"]
