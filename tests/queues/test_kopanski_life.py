"""The life of a job, and the decision process, event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.scheduling.kopanski.layout import Layout
from batfs.scheduling.kopanski.life import Launch, Life, Step, compute_phases
from batfs.scheduling.kopanski.policies import POLICIES
from batfs.scheduling.kopanski.process import KopanskiProcess
from batfs.scheduling.kopanski.state import BufferedJob
from batfs.workload.model import Job, ParallelHomogeneous


def job(nodes: int = 2, walltime: float = 1000.0, hours: float = 1.0) -> BufferedJob:
    return BufferedJob("w0!1", 0.0, nodes, walltime, hours * 3.6e12, 0.0, 101)


@pytest.mark.parametrize(("hours", "phases"), [(0.01, 1), (1.5, 2), (2.5, 2), (3.4, 3), (9.6, 10), (60, 10)])
def test_an_hour_of_work_is_a_phase_and_ten_are_the_most(hours, phases):
    assert compute_phases(hours * 3.6e12) == phases


def test_a_life_with_two_phases():
    life = Life(job(hours=2.0), 100.0)
    assert life.begin() == [Launch(Step.STAGE_IN, 0, 1000.0)]
    assert life.reported(Step.STAGE_IN, True, 110.0) == ()
    assert life.reported(Step.STAGE_IN, True, 120.0) == [Launch(Step.COMPUTE, 0, 980.0)]
    assert life.reported(Step.COMPUTE, True, 300.0) == [Launch(Step.CHECKPOINT, 0, 800.0)]
    assert life.reported(Step.CHECKPOINT, True, 310.0) == ()
    # the next phase begins while the checkpoint drains, without a limit
    expected = [Launch(Step.COMPUTE, 1, 780.0), Launch(Step.DRAIN, 0, None)]
    assert life.reported(Step.CHECKPOINT, True, 320.0) == expected
    assert life.reported(Step.COMPUTE, True, 500.0) == [Launch(Step.STAGE_OUT, 1, 600.0)]
    for step in (Step.DRAIN, Step.STAGE_OUT, Step.STAGE_OUT):
        assert life.reported(step, True, 510.0) == ()
        assert not life.over
    life.reported(Step.DRAIN, True, 600.0)
    assert life.over
    assert not life.failed


def test_a_job_cut_short_while_computing_is_over_at_once():
    life = Life(job(), 0.0)
    life.begin()
    life.reported(Step.STAGE_IN, True, 1.0)
    life.reported(Step.STAGE_IN, True, 1.0)
    assert life.reported(Step.COMPUTE, False, 1000.0) == ()
    assert life.over
    assert life.failed


def test_a_drain_that_ends_after_its_job_was_cut_short_changes_nothing():
    """Two phases of 1000 s in all: the second is cut short at 1000 s, while both pieces of the first
    checkpoint are still being drained. The job is over then, failed, and stays so when they are."""
    life = Life(job(hours=2.0), 0.0)
    life.begin()
    for step in (Step.STAGE_IN, Step.STAGE_IN, Step.COMPUTE, Step.CHECKPOINT, Step.CHECKPOINT):
        life.reported(step, True, 100.0)
    assert life.reported(Step.COMPUTE, False, 1000.0) == ()
    for _ in range(2):
        assert (life.over, life.failed) == (True, True)
        assert life.reported(Step.DRAIN, True, 1200.0) == ()
    assert (life.over, life.failed) == (True, True)


def test_a_stage_in_cut_short_waits_for_the_others():
    life = Life(job(), 0.0)
    life.begin()
    life.reported(Step.STAGE_IN, False, 1000.0)
    assert not life.over
    life.reported(Step.STAGE_IN, True, 1000.0001)
    assert life.over


def test_reports_that_take_the_rest_of_the_walltime_end_the_job():
    life = Life(job(walltime=10.0), 0.0)
    life.begin()
    life.reported(Step.STAGE_IN, True, 9.9)
    assert life.reported(Step.STAGE_IN, True, 10.0) == ()
    assert life.failed


# ---- the process ------------------------------------------------------------------------------------------

LAYOUT = Layout(groups=1, chassis=2, routers=1, nodes=3, capacity=1000)
NAMES = ("node_1", "node_2", "node_4", "node_5")


def begins(
    dynamic: bool = True, storages: tuple[str, ...] = ("node_0", "node_3", "pfs")
) -> m.SimulationBegins:
    compute = [m.Resource(k, name, "compute_node") for k, name in enumerate(NAMES)]
    storage = [m.Resource(len(NAMES) + k, name, "storage") for k, name in enumerate(storages)]
    config = {"dynamic-jobs-enabled": dynamic, "dynamic-jobs-acknowledged": False}
    return m.SimulationBegins(0.0, compute, storage, False, True, config, {}, {})


def submitted(number: int, nodes: int, share: int = 100) -> m.JobSubmitted:
    profile = ParallelHomogeneous(1e9, 0.0, {"bb": share})
    return m.JobSubmitted(1.0, Job(f"w0!{number}", 1.0, nodes, str(number), 60.0), profile)


def test_a_started_job_is_rejected_and_its_stage_ins_run():
    process = KopanskiProcess(POLICIES["fcfs"], LAYOUT)
    process.decide(m.Request(0.0, [begins()]))
    decisions = process.decide(m.Request(1.0, [submitted(1, 2, 600)])).decisions
    kinds = [type(decision).__name__ for decision in decisions]
    assert kinds == ["RejectJob", "RegisterProfile", *["RegisterJob", "ExecuteJob"] * 2]
    # both burst buffers have 400 bytes left: the next waits for them, and nobody overtakes it
    assert process.decide(m.Request(2.0, [submitted(2, 1, 600)])).decisions == []
    assert process.decide(m.Request(2.0, [submitted(3, 1, 100)])).decisions == []
    assert [job.id for job in process.state.waiting] == ["w0!2", "w0!3"]


def test_the_work_is_spread_over_the_phases():
    """Two hours of work, 7.2e12 flops a node, in two phases: 3.6e12 in each."""
    process = KopanskiProcess(POLICIES["fcfs"], LAYOUT)
    process.decide(m.Request(0.0, [begins()]))
    profile = ParallelHomogeneous(7.2e12, 5.0, {"bb": 100})
    event = m.JobSubmitted(1.0, Job("w0!1", 1.0, 1, "p", 9000.0), profile)
    process.decide(m.Request(1.0, [event]))
    done = m.JobCompleted(2.0, "sub!1_stage-in_0_0", "COMPLETED_SUCCESSFULLY", 0, "")
    decisions = process.decide(m.Request(2.0, [done])).decisions
    [registered] = [d for d in decisions if isinstance(d, m.RegisterProfile)]
    assert registered.profile == ParallelHomogeneous(3.6e12, 5.0)


def test_buffers_follow_the_chassis():
    process = KopanskiProcess(POLICIES["fcfs"], LAYOUT)
    process.decide(m.Request(0.0, [begins()]))
    decisions = process.decide(m.Request(1.0, [submitted(1, 3, 500)])).decisions
    executed = [d for d in decisions if isinstance(d, m.ExecuteJob)]
    assert [d.storage_mapping for d in executed] == [
        {"pfs": 6, "buffer": 4},
        {"pfs": 6, "buffer": 4},
        {"pfs": 6, "buffer": 5},
    ]
    assert process.records["w0!1"].sub_jobs == [f"sub!1_stage-in_0_{k}" for k in range(3)]


def test_a_job_that_can_never_run_is_rejected():
    process = KopanskiProcess(POLICIES["fcfs"], LAYOUT)
    process.decide(m.Request(0.0, [begins()]))
    decisions = process.decide(m.Request(1.0, [submitted(1, 5)])).decisions
    assert decisions == [m.RejectJob(1.0, "w0!1")]
    assert process.rejected == ["w0!1"]
    end = process.decide(m.Request(2.0, [m.Notification(2.0, "no_more_static_job_to_submit")]))
    assert end.decisions == [m.Notify(2.0, "registration_finished")]


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (begins(dynamic=False), "dynamic jobs"),
        (begins(storages=("node_0", "pfs")), "burst buffers don't fit"),
        (begins(storages=("node_0", "node_3")), "one parallel file system"),
    ],
)
def test_a_machine_that_is_not_the_experiments_is_refused(event, says):
    with pytest.raises(InputError, match=says):
        KopanskiProcess(POLICIES["fcfs"], LAYOUT).decide(m.Request(0.0, [event]))


def test_a_profile_without_bb_is_refused():
    process = KopanskiProcess(POLICIES["fcfs"], LAYOUT)
    process.decide(m.Request(0.0, [begins()]))
    event = m.JobSubmitted(1.0, Job("w0!1", 1.0, 1, "p", 60.0), ParallelHomogeneous(1.0, 0.0))
    with pytest.raises(InputError, match="bb = None"):
        process.decide(m.Request(1.0, [event]))


def test_a_split_share_is_staged_piece_by_piece_and_saved_at_once():
    process = KopanskiProcess(POLICIES["fcfs"], replace(LAYOUT, split=True))
    process.decide(m.Request(0.0, [begins()]))
    # 300 bytes are left on the first burst buffer, 99 on the second
    process.decide(m.Request(1.0, [submitted(1, 1, 700)]))
    process.decide(m.Request(1.0, [submitted(2, 1, 901)]))
    now = 2.0
    decisions = process.decide(m.Request(now, [submitted(3, 1, 350)])).decisions
    profiles = [d.profile for d in decisions if isinstance(d, m.RegisterProfile)]
    assert [profile.size for profile in profiles] == [300, 50]
    executed = [d for d in decisions if isinstance(d, m.ExecuteJob)]
    assert [d.storage_mapping for d in executed] == [{"pfs": 6, "buffer": 4}, {"pfs": 6, "buffer": 5}]
    running, _ = process._sub_jobs["sub!3_stage-in_0_0"]
    process._launch(running, Launch(Step.CHECKPOINT, 0, 10.0), now)
    registered, _, execute = process._decisions[-3:]
    assert execute.alloc == [2, 4, 5]
    assert registered.profile.com.tolist() == [[0, 150, 25], [0, 0, 0], [0, 0, 0]]


def test_pieces_are_awaited_where_there_are_more_of_them_than_nodes():
    life = Life(job(nodes=1, hours=2.0), 0.0, pieces=2)
    life.begin()
    assert life.reported(Step.STAGE_IN, True, 1.0) == ()
    assert [launch.step for launch in life.reported(Step.STAGE_IN, True, 2.0)] == [Step.COMPUTE]
    assert [launch.step for launch in life.reported(Step.COMPUTE, True, 3.0)] == [Step.CHECKPOINT]
    # one sub-job a node, whatever its pieces
    after = life.reported(Step.CHECKPOINT, True, 4.0)
    assert [launch.step for launch in after] == [Step.COMPUTE, Step.DRAIN]
    assert [launch.step for launch in life.reported(Step.COMPUTE, True, 5.0)] == [Step.STAGE_OUT]
    for step in (Step.STAGE_OUT, Step.STAGE_OUT, Step.DRAIN):
        life.reported(step, True, 6.0)
        assert not life.over
    life.reported(Step.DRAIN, True, 6.0)
    assert life.over
