"""What must hold whatever an I/O policy decides: bytes, ends, and that nothing lies idle for nothing."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from applications import GB, PFS, THROTTLES, once, periodic, run, spans
from fs_tiny import Ran, job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batfs.protocol import messages as m
from batfs.scheduling.gate import Gate
from batfs.scheduling.io_policies import exclusive, ordered
from batfs.scheduling.io_policies.interface import IoPass, IoView, Start
from batfs.scheduling.pieces import part_of
from batfs.workload.model import IoProfile

WALLTIME, SUCCESS = "COMPLETED_WALLTIME_REACHED", "COMPLETED_SUCCESSFULLY"
POLICIES = (
    "fair",
    "exclusive",
    "exclusive:chunk=70MB",
    "fcfs",
    "fcfs:chunk=33MB",
    "shortest_first",
    "shortest_first:chunk=50MB",
    "min_dilation:fill=true",
    "max_efficiency",
    "round_robin:chunk=90MB",
    "priority:of=started,chunk=40MB",
    "set10",
    "set10:most=3,chunk=60MB",
    "periodic:longest=1,step=0.5",
    "cap:rate=20MBps",
    "tbf:rate=30MBps,burst=100MB",
    "tbf:rate=30MBps,burst=100MB,chunk=41MB,borrow=true",
)


def moved(ran: Ran) -> dict[str, int]:
    """Bytes sent for each job in dynamic jobs that ended well, without what went over throttles."""
    profiles: dict[str, Any] = {}
    found: dict[str, int] = defaultdict(int)
    for decision in ran.sent:
        if isinstance(decision, m.RegisterProfile):
            profiles[f"batfs!{decision.name}"] = decision.profile
        if isinstance(decision, m.ExecuteJob) and decision.job_id in profiles:
            io = profiles[decision.job_id] if decision.io_job is None else decision.io_job.profile
            if not isinstance(io, IoProfile) or ran.jobs[decision.job_id].state != SUCCESS:
                continue
            limits = {i for i in io.resources() if i in ran.throttles}
            ids = io.resources()
            for source, size in zip(io.sources.tolist(), io.volumes.tolist(), strict=True):
                if ids[source] not in limits:
                    found[decision.job_id.split(".")[1]] += int(size)
    return found


APPLICATIONS = st.lists(
    st.tuples(
        st.integers(1, 3),  # phases
        st.floats(0.1, 20),  # seconds of work before each
        st.integers(1, 3 * GB),  # bytes of each
        st.integers(1, 3),  # nodes
        st.floats(0, 30),  # submitted
    ),
    min_size=2,
    max_size=5,
)


@pytest.mark.parametrize("policy", POLICIES)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(applications=APPLICATIONS)
def test_every_byte_moves_once_and_nobody_is_held_for_ever(
    policy: str, tmp_path: Path, applications: list[tuple[int, float, int, int, float]]
) -> None:
    """All invariants hold after each message (``validate``); every job ends well, with exactly its bytes."""
    jobs = [
        periodic(str(k), times, seconds, size, nodes=nodes, at=at)
        for k, (times, seconds, size, nodes, at) in enumerate(applications)
    ]
    ran = run(tmp_path, policy, jobs, storages={"pfs": PFS, **THROTTLES})
    total_nodes = sum(j["job"]["res"] for j in jobs)
    ran.throttles = {total_nodes + 1, total_nodes + 2, total_nodes + 3}
    ends = {record.job.id: record.state for record in ran.records}
    assert ends == {f"w0!{k}": SUCCESS for k in range(len(jobs))}
    assert moved(ran) == {str(k): times * size for k, (times, _, size, _, _) in enumerate(applications)}
    for record in ran.records:
        times = record.io_times
        assert times.end - times.began == pytest.approx(times.work + times.blocked)
        assert times.blocked >= times.alone * (1 - 1e-6) - 1e-3
        assert times.blocked >= times.held - 1e-3


@pytest.mark.parametrize(
    "policy",
    ["exclusive", "shortest_first", "min_dilation:chunk=60MB", "max_efficiency", "round_robin", "fcfs"],
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(applications=APPLICATIONS)
def test_no_link_lies_idle_that_a_transfer_could_use(
    policy: str, tmp_path: Path, applications: list[tuple[int, float, int, int, float]]
) -> None:
    """After every decision each transfer on hold meets one that moves on a link it needs, or (where nobody
    may pass) one that came before it and does."""
    jobs = [
        periodic(str(k), times, seconds, size, nodes=nodes, at=at)
        for k, (times, seconds, size, nodes, at) in enumerate(applications)
    ]
    seen = []
    plain = Gate.decide

    def watched(gate: Gate, now: float) -> list[m.Decision]:
        out = plain(gate, now)
        waiting, moving = list(gate._waiting.values()), list(gate._moving.values())
        for transfer in waiting:
            seen.append(transfer)
            before = (
                [t for t in waiting if t.asked < transfer.asked] if policy in ("exclusive", "fcfs") else []
            )
            assert any(not t.demand.keys().isdisjoint(transfer.demand) for t in (*moving, *before))
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gate, "decide", watched)
        ran = run(tmp_path, policy, jobs)
    assert len(ran.records) == len(jobs)


def test_a_job_on_hold_ends_at_its_walltime(tmp_path: Path) -> None:
    """a moves 20 s; b's 5 s are over while it waits, and its bytes never move. c's turn comes after a."""
    jobs = [once("a", 1, writes=2 * GB), limited("b", 1, 5.0), once("c", 1, writes=GB)]
    ran = run(tmp_path, "exclusive", jobs)
    states = {record.job.id: (record.state, round(record.io_times.end, 2)) for record in ran.records}
    assert states == {"w0!a": (SUCCESS, 21), "w0!b": (WALLTIME, 5), "w0!c": (SUCCESS, 31)}
    assert "b.write" not in spans(ran)


def limited(name: str, seconds: float, walltime: float, size: int = GB) -> dict[str, Any]:
    more = once(name, seconds, writes=size)["profile"]
    return job(name, 1, walltime=walltime, profile=more)


@pytest.mark.parametrize("policy", ["exclusive:chunk=300MB", "set10:most=4", "tbf:rate=50MBps,burst=200MB"])
def test_a_job_in_pieces_ends_at_its_walltime(policy: str, tmp_path: Path) -> None:
    """1 GB would take 10 s and more after 1 s of work; the walltime is over after 4."""
    ran = run(tmp_path, policy, [limited("a", 1, 4.0), once("b", 30, writes=GB)])
    states = {record.job.id: (record.state, round(record.io_times.end, 2)) for record in ran.records}
    assert states["w0!a"] == (WALLTIME, 4)
    assert states["w0!b"][0] == SUCCESS


def test_weights_split_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 GB each at once, weights 3 and 1: 75 MB/s until 13.333 s, when the other has moved 333 MB; the rest
    goes alone until 20 s."""

    def by_name(self: object, view: Any) -> IoPass:
        return IoPass([Start(t, weight=3 if t.job_id == "w0!a" else 1) for t in view.waiting])

    monkeypatch.setattr(exclusive.Exclusive, "schedule", by_name)
    ran = run(tmp_path, "exclusive", [once("a", 1, writes=GB), once("b", 1, writes=GB)])
    assert spans(ran) == {"a.write": (1, 14.333), "b.write": (1, 21)}


def test_a_cap_leaves_the_rest_to_a_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 GB at 10 MB/s takes 100 s, 1 GB beside it has 90 MB/s: 11.111 s. A weight within the cap changes
    nothing of it."""
    for weight in (1, 3):

        def first_is_slow(self: object, view: Any, weight: int = weight) -> IoPass:
            return IoPass(
                [Start(t, rate=10e6, weight=weight) if t.job_id == "w0!a" else Start(t) for t in view.waiting]
            )

        monkeypatch.setattr(ordered.Fcfs, "schedule", first_is_slow)
        jobs = [once("a", 1, writes=GB), once("b", 1, writes=GB)]
        ran = run(tmp_path, "fcfs", jobs, storages={"pfs": PFS, **THROTTLES})
        assert spans(ran)["a.write"] == (1, 101)
        assert spans(ran)["b.write"] == ((1, 12.111) if weight == 1 else (1, pytest.approx(12.1, abs=0.1)))


def test_staging_and_drains_are_held_too(tmp_path: Path) -> None:
    """Both stage 1 GB from the parallel file system into a buffer: one after the other, and so out again."""
    storages = {
        "b0": {"filesystem": "bb", "size": "100GB", "read": "1GBps", "write": "1GBps"},
        "pfs": PFS,
    }
    config = {"filesystems": {"bb": {"model": "burst_buffer", "backing": "pfs"}}}
    io = {"io": [{"filesystem": "bb", "reads": GB, "writes": GB}]}
    jobs = [job(name, 1, 1e9, **io) for name in "ab"]
    ran = run(tmp_path, "exclusive", jobs, storages=storages, **config)
    found = spans(ran)
    assert found["a.stage_in"] == (0, 10)
    assert found["b.stage_in"] == (10, 20)
    outs = sorted((found["a.stage_out"], found["b.stage_out"]))
    assert outs[1][0] >= outs[0][1] - 1e-3
    assert [record.state for record in ran.records] == [SUCCESS, SUCCESS]


@given(
    st.lists(st.integers(0, 10**15), min_size=1, max_size=30).filter(sum),
    st.floats(0, 1),
)
def test_a_share_of_bytes_is_exact(sizes: list[int], part: float) -> None:
    import numpy as np

    whole = sum(sizes)
    size = max(1, int(whole * part))
    shares = part_of(np.array(sizes, dtype=float), size, whole)
    assert int(shares.sum()) == size
    assert all(
        0 <= share <= given and share == int(share) for share, given in zip(shares, sizes, strict=True)
    )
    assert all(
        abs(share - given * size / whole) <= 2 + given * 1e-12
        for share, given in zip(shares, sizes, strict=True)
    )


def test_a_policy_is_asked_when_there_is_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """a reads for 10 s while b waits for its turn, then b reads. Jobs that only compute come and go
    meanwhile: nobody asks more often for that."""
    asked: list[float] = []
    whole = exclusive.Exclusive.schedule

    def counted(self: exclusive.Exclusive, view: IoView) -> IoPass:
        asked.append(view.now)
        return whole(self, view)

    monkeypatch.setattr(exclusive.Exclusive, "schedule", counted)
    counts = []
    for beside in (0, 5):
        asked.clear()
        others = [job(f"c{k}", cpu=1e9, at=1.5 + k) for k in range(beside)]
        ran = run(tmp_path, "exclusive", [once("a", 1, reads=GB), once("b", 1, reads=GB), *others], nodes=7)
        assert spans(ran) == {"a.read": (0.0, 10.0), "b.read": (10.0, 20.0)}
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0
