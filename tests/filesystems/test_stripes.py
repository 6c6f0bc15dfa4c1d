"""Each stripe of a file has a target of its own, whatever the allocation policy does by itself."""

from __future__ import annotations

from collections import Counter

import pytest
from fs_machines import Machine, node, storage
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.filesystems import traffic as t
from batfs.filesystems.interface import Volume
from batfs.filesystems.pfs import stripe_layout
from batfs.storage.policies import POLICIES

NEED_OPTIONS = {"weighted": "weighted:worst_fit=1"}
EVERY = [NEED_OPTIONS.get(name, name) for name in POLICIES.known()]


def machine(policy: str, model: str, count: int = 6) -> Machine:
    targets = [storage(20 + k, "lustre", "100kB", server=f"oss{k // 2}") for k in range(count)]
    return Machine(
        [node(k) for k in range(3)], targets, {"filesystems": {"lustre": {"model": model, "policy": policy}}}
    )


@pytest.mark.parametrize("policy", EVERY)
def test_every_stripe_has_its_own_target(policy: str) -> None:
    """A file of 25 bytes in stripes of 4 over 3 targets: 9 + 8 + 8 = (4+4+1), (4+4), (4+4); written too."""
    plan = machine(policy, "pfs:stripe_count=3,stripe_size=4").one((0, 1), Volume("lustre", 25, 25))
    assert sorted(t.by_source(plan.reads).values(), reverse=True) == stripe_layout(25, 4, 3)
    assert sorted(t.by_destination(plan.writes).values(), reverse=True) == [9, 8, 8]
    assert sorted(p.size for p in plan.placements) == [16, 16, 18]
    assert len({p.storage for p in plan.placements}) == 3


@pytest.mark.parametrize("policy", EVERY)
@given(
    st.integers(1, 6),
    st.integers(1, 8),
    st.integers(0, 500),
    st.integers(0, 500),
    st.sampled_from(["shared", "per_node"]),
)
@settings(max_examples=15, deadline=None)
def test_files_spread_over_as_many_targets_as_they_have_stripes(
    policy: str, stripes: int, files: int, reads: int, writes: int, pattern: str
) -> None:
    """Bytes are exact; shared files are on min(files x stripes, targets) targets at most, on each a part of
    its own; no target gets two parts of one file."""
    m = machine(policy, f"pfs:stripe_count={stripes},stripe_size=1B")
    plan = m.one((0, 1, 2), Volume("lustre", reads, writes, files, pattern))
    assert t.total(plan.reads) == reads
    assert t.total(plan.writes) == writes
    parts = files if pattern == "shared" else 3 * -(-files // 3)
    if files * stripes > 1:
        assert len({p.storage for p in plan.placements}) == len(plan.placements) <= min(6, parts * stripes)
    assert sum(p.size for p in plan.placements) == reads + writes
    # and what moves on each target is what is held there
    moved, held = Counter[int](), Counter[int]()
    moved.update(t.by_source(plan.reads))
    moved.update(t.by_destination(plan.writes))
    for placement in plan.placements:
        held[placement.storage] += placement.size
    assert +moved == +held
    # each node moves as much as any other, but for a byte
    if pattern == "shared":
        for by_node, size in ((t.by_destination(plan.reads), reads), (t.by_source(plan.writes), writes)):
            assert sorted(by_node.get(k, 0) for k in range(3)) == [(size + k) // 3 for k in range(3)]


@pytest.mark.parametrize("pattern", ["shared", "per_node"])
@pytest.mark.parametrize("reads", range(5))
@pytest.mark.parametrize("writes", range(5))
def test_a_policy_that_splits_by_itself_moves_what_it_holds(reads: int, writes: int, pattern: str) -> None:
    """One file in one stripe, which ``striped`` shares out over the targets. Two bytes written by three nodes
    onto 1 + 1: one each, and not both on the first, as each node by itself would round it."""
    plan = machine("striped", "pfs:stripe_count=1,stripe_size=1B").one(
        (0, 1, 2), Volume("lustre", reads, writes, 1, pattern)
    )
    moved = Counter(t.by_source(plan.reads))
    moved.update(t.by_destination(plan.writes))
    assert +moved == Counter({p.storage: p.size for p in plan.placements})
    for by_node, size in ((t.by_destination(plan.reads), reads), (t.by_source(plan.writes), writes)):
        assert [by_node.get(k, 0) for k in range(3)] == [(size + 2 - k) // 3 for k in range(3)]


def test_the_larger_stripe_is_on_the_target_that_was_chosen_for_it() -> None:
    """3 bytes in stripes of one on two targets: 2 and 1. The roomier target is the second by number; the
    first stripe, of two bytes, goes there, read and written."""
    targets = [storage(20, "lustre", "100B"), storage(21, "lustre", "200B")]
    table = {"model": "pfs:stripe_count=2,stripe_size=1B", "policy": "worst_fit"}
    m = Machine([node(0), node(1)], targets, {"filesystems": {"lustre": table}})
    plan = m.one((0, 1), Volume("lustre", 3, 3))
    assert t.by_source(plan.reads) == {20: 1, 21: 2}
    assert t.by_destination(plan.writes) == {20: 1, 21: 2}
    assert {p.storage: p.size for p in plan.placements} == {20: 2, 21: 4}


@pytest.mark.parametrize("policy", EVERY)
def test_the_stripes_of_a_shared_buffer(policy: str) -> None:
    """``per=job,stripes=4``: 40 bytes on four buffers, 10 each."""
    buffers = [storage(20 + k, "bb", "100B") for k in range(6)]
    table = {"bb": {"model": "burst_buffer:per=job,stripes=4", "policy": policy}}
    plan = Machine([node(0), node(1)], buffers, {"filesystems": table}).one((0, 1), Volume("bb", 24, 16))
    assert [p.size for p in plan.placements] == [10] * 4
