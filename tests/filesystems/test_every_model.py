"""What must hold for every model, on random machines and requests."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from fs_machines import Machine, node, storage
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs._core.flows import build_profile
from batfs.filesystems import site
from batfs.filesystems import traffic as t
from batfs.filesystems.interface import Hold, IoPlan, Move, Volume
from batfs.workload.model import ParallelHomogeneous

MODELS = {
    "pfs": [
        "pfs",
        "pfs:stripe_count=0",
        "pfs:stripe_count=3,stripe_size=7B",
        "pfs:gateways=n0 n1,gateways_per_job=2",
    ],
    "dfs": ["dfs", "dfs:replication=1,locality=0.3", "dfs:block_size=13B,pipelines=2,locality_spread=0.5"],
    "bb": [
        "burst_buffer",
        "burst_buffer:backing=pfs",
        "burst_buffer:backing=pfs,per=job,stripes=2",
        "burst_buffer:backing=dfs,placement=topology",
    ],
    "nvme": ["nvme_pool", "nvme_pool:block_size=17B", "nvme_pool:per=node"],
    "rabbit": [
        "rabbit",
        "rabbit:type=lustre,backing=pfs",
        "rabbit:type=gfs2,backing=dfs",
        "rabbit:type=lustre,servers=2",
    ],
    "cache": [
        "cache:backing=pfs",
        "cache:backing=dfs,write=back",
        "cache:backing=pfs,write=around,fill=false",
    ],
}
CASES = [(name, spec) for name, specs in MODELS.items() for spec in specs]


def machine(name: str, spec: str, policy: str, dynamic: bool) -> Machine:
    """Eight nodes in two racks and all the file systems; the one under test has the model ``spec``."""
    nodes = [node(i, rack="ab"[i // 4], chassis="cdef"[i // 2]) for i in range(8)]
    storages = [
        *(storage(20 + i, "pfs", "2kB", server="oss") for i in range(4)),
        *(storage(30 + i, "dfs", "2kB", node=f"n{i}") for i in range(8)),
        *(storage(40 + i, "bb", "2kB", rack="ab"[i]) for i in range(2)),
        *(storage(50 + i, "nvme", "2kB") for i in range(3)),
        *(storage(60 + i, "cache", "300B") for i in range(2)),
        *(storage(70 + i, "rabbit", "2kB", chassis="ccdeff"[i]) for i in range(6)),
    ]
    return Machine(
        nodes,
        storages,
        {"policy": policy, "filesystems": {name: {"model": spec}}},
        dynamic_jobs=dynamic,
    )


def moves_of(plan: IoPlan) -> list[Move]:
    checkpoints = plan.checkpoints
    more = [*checkpoints.writes, *checkpoints.drains] if checkpoints else []
    return [*plan.stage_in, *plan.stage_out, *plan.background, *more]


@pytest.mark.parametrize(("name", "spec"), CASES, ids=[spec for _, spec in CASES])
@given(
    nodes=st.sets(st.integers(2, 7), min_size=1).map(sorted),
    reads=st.integers(0, 700),
    writes=st.integers(0, 700),
    files=st.integers(1, 5),
    pattern=st.sampled_from(["shared", "per_node"]),
    policy=st.sampled_from(["random", "round_robin", "worst_fit", "best_fit", "striped:k=2"]),
    dynamic=st.booleans(),
    extra=st.sampled_from([{}, {"data_set": "a"}, {"checkpoints": 2, "checkpoint_bytes": 11}]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_bytes_are_exact_and_placements_fit(
    name: str,
    spec: str,
    nodes: list[int],
    reads: int,
    writes: int,
    files: int,
    pattern: str,
    policy: str,
    dynamic: bool,
    extra: dict[str, Any],
    seed: int,
) -> None:
    m = machine(name, spec, policy, dynamic)
    m.rng = random.Random(seed)
    if not reads and not writes:
        reads = 1
    options = {k: v for k, v in extra.items() if k in (*m.systems.models[name].job_options,)}  # type: ignore[attr-defined]
    volume = Volume(name, reads, writes, files, pattern, options)
    for k in range(3):
        outcome = m.plan(nodes, volume, job=f"w0!{k}")
        if isinstance(outcome, Hold):
            assert outcome.missing > 0 or outcome.never
            return
        (plan,) = outcome
        storages = {s.id for s in m.systems.storages}
        # exactly what was asked for, from and to storages
        assert t.total(plan.reads) == reads
        assert t.total(plan.writes) == writes
        assert set(t.by_source(plan.reads)) <= storages
        assert set(t.by_destination(plan.writes)) <= storages
        assert set(t.by_destination(plan.reads)) <= {*nodes, *m.systems.own_nodes}
        assert set(t.by_source(plan.writes)) <= {*nodes, *m.systems.own_nodes}
        # the profile holds these ids and bytes and no others
        profile = build_profile(plan)
        if profile is not None:
            moved = t.total([*plan.reads, *plan.writes, *plan.internal])
            assert int(profile.volumes.sum()) == moved
            assert (profile.volumes > 0).all()
            ends = set(profile.sources.tolist()) | set(profile.destinations.tolist())
            assert ends == set(range(len(profile.ids)))
            # the nodes of a replication pipeline pass bytes on, whoever's they are
            behind_dfs = "dfs" in spec
            known = {*storages, *m.systems.own_nodes, *(range(8) if behind_dfs else nodes)}
            assert set(profile.ids.tolist()) <= known
            assert (np.diff(profile.sources * len(profile.ids) + profile.destinations) > 0).all()
        if not dynamic:
            assert not plan.needs_dynamic_jobs
        for move in moves_of(plan):
            assert t.size(move.traffic) > 0
        # the books take all of it; nothing is above its capacity
        held = m.reserve(plan)
        m.ledger.validate()
        if k % 2:
            m.ledger.release(held)


def test_staged_bytes_are_those_the_job_reads_and_writes() -> None:
    m = machine("bb", "burst_buffer:backing=pfs", "worst_fit", True)
    plan = m.one((2, 3, 4), Volume("bb", 301, 97, options={"checkpoints": 1, "checkpoint_bytes": 31}))
    staged = {
        kind: sum(t.size(x.traffic) for x in moves_of(plan) if x.kind == kind)
        for kind in ("stage_in", "stage_out", "checkpoint", "drain")
    }
    assert staged == {"stage_in": 301, "stage_out": 97, "checkpoint": 31, "drain": 31}


def test_what_a_profile_asks_for_is_read_once() -> None:
    """As long as it isn't forgotten for others: then its volumes are equal ones."""
    systems = machine("pfs", "pfs", "round_robin", False).systems
    profile = ParallelHomogeneous(1.0, 0.0, {"io": [{"filesystem": "pfs", "reads": 10, "writes": 0}]})
    first = systems.volumes("w0!1", profile)
    known = systems.volumes("w0!2", profile)
    assert known == first
    systems.volumes("w0!3", ParallelHomogeneous(1.0, 0.0, dict(profile.extra)))
    assert systems.volumes("w0!4", profile) is known
    others = [ParallelHomogeneous(1.0, 0.0, dict(profile.extra)) for _ in range(site._REMEMBERED + 1)]
    assert all(systems.volumes("w0!3", other) == first for other in others)
    assert len(systems._asked) <= site._REMEMBERED
