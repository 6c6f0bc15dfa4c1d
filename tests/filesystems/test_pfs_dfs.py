"""PFS and DFS against arithmetic done by hand, and the documentation's worked example."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

import numpy as np
import pytest
from fs_machines import Machine, node, storage
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs._core.flows import build_profile
from batfs.errors import InputError
from batfs.filesystems import traffic as t
from batfs.filesystems.blocks import Disk, Layout
from batfs.filesystems.dfs import DistributedFileSystem
from batfs.filesystems.interface import Hold, Volume
from batfs.filesystems.pfs import stripe_layout
from batfs.filesystems.placer import Items, NoRoom, Placer
from batfs.storage.interface import SpaceRequest
from batfs.storage.policies import make_policy
from batfs.workload.model import ParallelHomogeneousTotal


def test_worked_example_of_the_documentation() -> None:
    """Job on nodes 0-1: reads 8e8 from the central storage (id 10), writes 2e8 to the nodes' disks (2, 3).

    8e8 / 2 nodes = 4e8 from 10 to each node; 2e8 / 2 = 1e8 from each node to its own disk. On ids 0-3 10 the
    matrix (row -> column) is: row 0: 1e8 to column 2; row 1: 1e8 to column 3; row 10: 4e8 to columns 0 and 1.
    """
    m = Machine(
        [node(0), node(1)],
        [storage(10, "central"), storage(2, "disks", node="n0"), storage(3, "disks", node="n1")],
        {"default_filesystem": "reads=central,writes=disks"},
    )
    profile = ParallelHomogeneousTotal(1e10, 1e7, {"io_reads": 8e8, "io_writes": 2e8})
    volumes = m.systems.volumes("w0!job1", profile)
    assert [(v.filesystem, v.reads, v.writes) for v in volumes] == [
        ("central", 800000000, 0),
        ("disks", 0, 200000000),
    ]
    io = build_profile(m.plans((0, 1), *volumes))
    assert io is not None
    assert io.ids.tolist() == [0, 1, 2, 3, 10]
    expected = np.zeros((5, 5))
    expected[0, 2] = expected[1, 3] = 1e8
    expected[4, 0] = expected[4, 1] = 4e8
    assert io.dense() == {"type": "parallel", "cpu": [0] * 5, "com": expected.ravel().tolist()}


@pytest.mark.parametrize(
    ("size", "stripe", "count", "expected"),
    [
        # 10 bytes in stripes of 4 over 3 targets: 4, 4, and the last 2
        (10, 4, 3, [4, 4, 2]),
        # 26 = 2 rounds of 12 (8 on each), then 2 more on the first
        (26, 4, 3, [10, 8, 8]),
        # less than one stripe stays on the first target
        (3, 4, 3, [3, 0, 0]),
        (0, 4, 2, [0, 0]),
        (24, 4, 3, [8, 8, 8]),
    ],
)
def test_stripes(size: int, stripe: int, count: int, expected: list[int]) -> None:
    assert stripe_layout(size, stripe, count) == expected


def pfs(**options: object) -> Machine:
    return Machine(
        [node(i) for i in range(4)],
        [storage(10 + i, "lustre", "100GB") for i in range(4)],
        {"filesystems": {"lustre": {"model": "pfs", **options}}},
    )


def test_pfs_stripes_over_as_many_targets_as_asked() -> None:
    """2 nodes read 12 MB and write 6 MB, stripe_count 3, stripes of 1 MB, policy round robin.

    Round robin takes 10, 11, 12. Reads: 12 stripes, 4 MB a target, 2 MB from each target to each node.
    Writes: 6 stripes, 2 MB a target, 1 MB from each node to each target. 6 MB are held on each.
    """
    m = pfs(stripe_count=3, stripe_size="1MB")
    plan = m.one((0, 1), Volume("lustre", 12_000_000, 6_000_000))
    assert t.by_source(plan.reads) == {10: 4_000_000, 11: 4_000_000, 12: 4_000_000}
    assert t.by_destination(plan.reads) == {0: 6_000_000, 1: 6_000_000}
    assert t.by_destination(plan.writes) == {10: 2_000_000, 11: 2_000_000, 12: 2_000_000}
    assert [(p.storage, p.size) for p in plan.placements] == [
        (10, 6_000_000),
        (11, 6_000_000),
        (12, 6_000_000),
    ]
    profile = build_profile(plan)
    assert profile is not None
    com = np.array(profile.dense()["com"]).reshape(5, 5)
    assert com[0].tolist() == [0, 0, 1e6, 1e6, 1e6]
    assert com[2].tolist() == [2e6, 2e6, 0, 0, 0]


def test_pfs_file_per_node_starts_on_the_next_target() -> None:
    """3 nodes with a file each, 2 stripes of 1 MB over 2 targets of 4: node 0 on the first two chosen, node 1
    on the next two, node 2 on the first two again: 2 MB on the first two, 1 MB on the others."""
    m = pfs(stripe_count=2, stripe_size="1MB")
    plan = m.one((0, 1, 2), Volume("lustre", 0, 6_000_000, pattern="per_node"))
    assert t.by_destination(plan.writes) == {10: 2_000_000, 11: 2_000_000, 12: 1_000_000, 13: 1_000_000}
    assert t.by_source(plan.writes) == {0: 2_000_000, 1: 2_000_000, 2: 2_000_000}


def test_pfs_holds_say_what_is_missing_and_where() -> None:
    """A target has 100 GB; 150 GB on one target never fit, 2 x 75 do; with 60 GB taken on every target 75
    don't fit now and 35 GB are missing on each of the two."""
    m = pfs(stripe_count=1)
    outcome = m.plan((0,), Volume("lustre", 0, 150 * 10**9))
    assert isinstance(outcome, Hold)
    assert outcome.never
    m = pfs(stripe_count=2, stripe_size="1MB")
    m.plans((0,), Volume("lustre", 0, 150 * 10**9))
    for _ in range(2):
        m.reserve(m.one((0,), Volume("lustre", 0, 120 * 10**9)))
    outcome = m.plan((0,), Volume("lustre", 0, 150 * 10**9))
    assert isinstance(outcome, Hold)
    assert (outcome.reason, outcome.never, outcome.storages, outcome.missing) == (
        "StorageCapacity",
        False,
        (10, 11),
        70 * 10**9,
    )


def test_gateways_carry_the_bytes_and_jobs_never_get_them() -> None:
    """Nodes 0 and 1 write 8 bytes through the gateway n3 to the one target: 4 + 4 to the gateway (internal),
    8 from it to the target (the job's own), and nothing from a node to the target."""
    m = Machine(
        [node(0), node(1), node(3, service="gateway", filesystem="lustre")], [storage(10, "lustre", "1GB")]
    )
    assert m.systems.own_nodes == (3,)
    plan = m.one((0, 1), Volume("lustre", 4, 8))
    assert t.by_source(plan.writes) == {3: 8}
    assert t.by_destination(plan.writes) == {10: 8}
    assert t.by_destination(plan.reads) == {3: 4}
    profile = build_profile(plan)
    assert profile is not None
    com = np.array(profile.dense()["com"]).reshape(4, 4)  # ids 0 1 3 10
    assert com.tolist() == [[0, 0, 4, 0], [0, 0, 4, 0], [2, 2, 0, 8], [0, 0, 4, 0]]


def test_round_robin_over_gateways_moves_with_jobs_not_with_plans() -> None:
    m = Machine(
        [node(0), node(1), node(2)],
        [storage(10, "lustre")],
        {"filesystems": {"lustre": {"gateways": "n1 n2"}}},
    )
    from batfs.filesystems.interface import IoRequest

    volume = Volume("lustre", 4, 0)
    first = m.one((0,), volume)
    assert m.one((0,), volume).notes == first.notes == {"gateways": [1]}
    m.systems.started(IoRequest("w0!1", (0,), volume, 0.0), first, 0.0)
    assert m.one((0,), volume).notes == {"gateways": [2]}


def test_metadata_work_lands_on_the_server() -> None:
    """2 nodes open 100 shared files: 100 * 3 operations * 2 nodes * 1e6 flops = 6e8 on the server n5. Files
    of their own are opened by one node each: 3e8."""
    m = Machine(
        [node(0), node(1), node(5, service="metadata", filesystem="lustre")],
        [storage(10, "lustre")],
        {"filesystems": {"lustre": {"operation_work": 1e6}}},
    )
    assert m.one((0, 1), Volume("lustre", 2, 0, files=100)).flops == {5: 6e8}
    assert m.one((0, 1), Volume("lustre", 2, 0, files=100, pattern="per_node")).flops == {5: 3e8}
    profile = build_profile(m.one((0, 1), Volume("lustre", 2, 0, files=100)))
    assert profile is not None
    assert profile.dense()["cpu"] == [0, 0, 600000000, 0]


def test_efficiency_table_adds_overhead_beside_the_jobs_bytes() -> None:
    """Factor 0.5 at 2 clients or more, 1 at 1: two nodes that read 100 bytes make the target move 200, of
    which 100 are internal; one node alone moves 100."""
    m = Machine(
        [node(0), node(1)],
        [storage(10, "lustre")],
        {"filesystems": {"lustre": {"efficiency": "1:1 2:0.5"}}},
    )
    two = m.one((0, 1), Volume("lustre", 100, 0))
    assert (t.total(two.reads), t.total(two.internal)) == (100, 100)
    one = m.one((0,), Volume("lustre", 100, 0))
    assert (t.total(one.reads), t.total(one.internal)) == (100, 0)


def dfs(**options: object) -> Machine:
    """Six nodes in three racks, two each, a disk in each: ids 10 to 15."""
    racks = "aabbcc"
    return Machine(
        [node(i, rack=racks[i]) for i in range(6)],
        [storage(10 + i, "hdfs", "1TB", node=f"n{i}") for i in range(6)],
        {"filesystems": {"hdfs": {"model": "dfs", "policy": "first_fit", **options}}},
    )


def test_dfs_write_pipeline_follows_the_placement_rule() -> None:
    """Node 0 (rack a) writes 100 bytes, 3 copies, policy first fit: own disk 10; another rack: the first is
    12 (rack b); the rack of the second, another node: 13. Pipeline n0 -> 10, n0 -> 12, n2 -> 13."""
    plan = dfs().one((0,), Volume("hdfs", 0, 100))
    assert t.by_destination(plan.writes) == {10: 100}
    (internal,) = plan.internal
    assert list(zip(*(a.tolist() for a in internal.columns), strict=True)) == [(0, 12, 100), (2, 13, 100)]
    assert [(p.storage, p.size) for p in plan.placements] == [(10, 100), (12, 100), (13, 100)]


def test_dfs_blocks_and_locality() -> None:
    """2 nodes read 8 blocks of 10 bytes each at locality 0.75: 12 of 16 blocks are local, 6 on each node: 60
    bytes from 10 to n0 and from 11 to n1. The other 20 bytes of each come from the first disk that is not its
    own: n0 from 11, n1 from 10."""
    plan = dfs(block_size="10B", locality=0.75, replication=1).one((0, 1), Volume("hdfs", 160, 0))
    profile = build_profile(plan)
    assert profile is not None
    assert profile.ids.tolist() == [0, 1, 10, 11]
    assert profile.dense()["com"][8:] == [60, 20, 0, 0, 20, 60, 0, 0]
    assert plan.notes["locality"] == 0.75
    assert t.by_destination(plan.reads) == {0: 80, 1: 80}


def test_dfs_reads_remote_blocks_from_its_own_rack_when_a_copy_is_there() -> None:
    """Locality 0, 3 copies, first fit, reader n0: copies avoid its own disk: 11 (rack a), then 12, 13. The
    nearest is 11, in its rack."""
    plan = dfs(locality=0.0).one((0,), Volume("hdfs", 100, 0))
    assert t.by_source(plan.reads) == {11: 100}


def test_dfs_data_set_is_read_where_its_copies_lie() -> None:
    """A job on n0 writes data set d (100 bytes, copies on 10, 12, 13); a later job on n2 and n4 reads it: 50
    bytes each; n2 reads its own disk 12; n4 (rack c) has no copy near and takes the first copy left, 10."""
    from batfs.filesystems.interface import IoRequest

    m = dfs()
    wrote = Volume("hdfs", 0, 100, options={"data_set": "d"})
    plan = m.one((0,), wrote)
    assert {p.storage for p in plan.placements if p.key} == {10, 12, 13}
    m.systems.started(IoRequest("w0!1", (0,), wrote, 0.0), plan, 0.0)
    m.systems.ended("w0!1", True, 1.0)
    again = m.one((2, 4), Volume("hdfs", 100, 0, options={"data_set": "d"}), job="w0!2")
    assert t.by_source(again.reads) == {10: 50, 12: 50}
    assert t.by_destination(again.reads) == {2: 50, 4: 50}
    assert not again.placements


def test_dfs_full_own_disk_writes_elsewhere() -> None:
    """n0's disk holds 1 TB and is full: the copy goes to the first disk with room, 11."""
    m = dfs(replication=1)
    m.reserve(m.one((0,), Volume("hdfs", 0, 10**12)))
    assert t.by_destination(m.one((0,), Volume("hdfs", 0, 100)).writes) == {11: 100}


def test_second_volume_sees_the_first_ones_bytes() -> None:
    """100 GB on one target: two volumes of 60 GB each don't fit together."""
    m = Machine([node(0)], [storage(10, "nfs", "100GB")])
    one = Volume("nfs", 0, 60 * 10**9)
    m.plans((0,), one)
    outcome = m.plan((0,), one, one)
    assert isinstance(outcome, Hold)
    assert outcome.missing == 20 * 10**9


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"filesystems": {"lustr": {}}}, ["unknown file system 'lustr'", "did you mean 'lustre'?"]),
        ({"filesystems": {"lustre": {"model": "pfz"}}}, ["unknown file-system model 'pfz'", "dfs", "pfs"]),
        ({"filesystems": {"lustre": {"stripes": 4}}}, ["filesystems.lustre", "no option 'stripes'"]),
        ({"filesystems": {"lustre": {"stripe_count": "x"}}}, ["filesystems.lustre", "not a whole number"]),
        ({"default_filesystem": "nfs"}, ["unknown file system 'nfs'", "default_filesystem"]),
        ({"filesystems": {"lustre": {"gateways": "n7"}}}, ["unknown gateway host 'n7'"]),
        ({"filesystems": {"lustre": {"efficiency": "1:2"}}}, ["factor in (0, 1]"]),
    ],
)
def test_wrong_configuration_is_named(config: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        Machine([node(0)], [storage(10, "lustre")], config)
    for word in words:
        assert word in str(caught.value)


def test_unknown_file_system_of_a_job() -> None:
    m = Machine([node(0)], [storage(10, "lustre")])
    profile = ParallelHomogeneousTotal(1, 0, {"io": [{"filesystem": "lustr", "reads": 1}]})
    with pytest.raises(InputError, match=r"w0!7.*did you mean 'lustre'"):
        m.systems.volumes("w0!7", profile)


def obvious_place(
    layout: Layout,
    size: int,
    replication: int,
    writer: int | None,
    room: dict[int, int],
    pick: Callable[[list[Disk]], Disk],
    avoid: Collection[int],
) -> list[int] | None:
    """HDFS's rule as a sentence after the other: own node; another rack; the second's rack on another node;
    anywhere."""
    out: list[Disk] = []
    if writer is not None:
        own = [d for d in layout.of_node.get(writer, ()) if room[d.id] >= size and d.id not in avoid]
        if own:
            out.append(max(own, key=lambda disk: (room[disk.id], -disk.id)))
    for k in range(len(out), min(replication, len(layout.disks))):
        fits = [d for d in layout.disks.values() if room[d.id] >= size and d not in out and d.id not in avoid]
        if not fits:
            return None
        nodes = {disk.node for disk in out if disk.node is not None}
        elsewhere = [disk for disk in fits if disk.node is None or disk.node not in nodes]
        wishes = [elsewhere, fits]
        if k == 1:
            wishes.insert(0, [disk for disk in elsewhere if disk.rack != out[0].rack])
        elif k == 2:
            wishes.insert(0, [disk for disk in elsewhere if disk.rack == out[1].rack])
        out.append(pick(next(wish for wish in wishes if wish)))
    return [disk.id for disk in out]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_copies_lie_where_the_rule_says(data: st.DataObject) -> None:
    """Disks of nodes and of servers, in any racks, with room for some pieces only, under a policy that is
    worked out in the core (round robin, random, worst fit) and one that is asked (power of two): the same
    copies as by the obvious way."""
    draw = data.draw
    nodes = [node(k, rack=draw(st.sampled_from(["", "a", "b"]))) for k in range(draw(st.integers(1, 5)))]
    disks = []
    for k in range(draw(st.integers(1, 9))):
        owner = draw(st.sampled_from(["", *(n.name for n in nodes)]))
        more = {"node": owner} if owner else {}
        rack = draw(st.sampled_from(["", "a", "b", "c"]))
        disks.append(storage(20 + k, "dfs", "1TB", **more, **({"rack": rack} if rack else {})))
    spec = draw(
        st.sampled_from(
            ["round_robin", "round_robin:over=group", "power_of_two", "worst_fit", "random", "least_loaded"]
        )
    )
    m = Machine(nodes, disks, {"filesystem": "dfs", "policy": spec})
    model = m.systems.models["dfs"]
    assert isinstance(model, DistributedFileSystem)
    layout = model.layout
    room = {disk.id: draw(st.integers(-1, 6)) for disk in disks}
    window = (0.0, float("inf"))
    rngs = [random.Random(7), random.Random(7)]
    policies = [make_policy(spec), make_policy(spec)]
    start = np.array([room[disk.id] for disk in disks])

    def pick(among: list[Disk]) -> Disk:
        space = SpaceRequest(1, *window, "j", (), sorted(layout.position[disk.id] for disk in among))
        shares = policies[1].choose(m.view, space, rngs[1])
        assert shares is not None
        return layout.disks[20 + shares[0].index]

    for _ in range(6):  # each by a placer of its own: whose turn it is goes on from one to the next
        placer = Placer(layout, policies[0], m.view, rngs[0], start, window=window, key="j", near=())
        size, replication = draw(st.integers(1, 3)), draw(st.integers(1, 4))
        writer = draw(st.sampled_from([None, *range(len(nodes))]))
        kind = draw(st.sampled_from(["write", "read", "near", "copy"]))
        if kind == "copy":  # one more copy, and not on these disks
            avoid = draw(st.lists(st.sampled_from([disk.id for disk in disks]), max_size=2))
            expected = obvious_place(layout, size, 1, None, room, pick, avoid)
            found = placer.copy(size, avoid)
            assert ([] if found is None else [found]) == (expected or [])
            taken = expected or []
        else:
            items = Items()
            items.add([size], -1 if writer is None else writer, {"write": 0, "read": 1, "near": 2}[kind])
            taken = []
            if kind == "write":
                expected = obvious_place(layout, size, replication, writer, room, pick, ())
                taken = expected or []
            else:
                own = [d for d in layout.of_node.get(writer, ()) if writer is not None]
                fits = [d for d in own if room[d.id] >= size] if kind == "read" else []
                if fits:  # the roomiest of its own
                    expected = [max(fits, key=lambda disk: (room[disk.id], -disk.id)).id]
                else:
                    others = [d.id for d in own] if len(own) < len(disks) else []
                    expected = obvious_place(layout, size, replication, None, room, pick, others)
                    if expected is not None:
                        expected = [layout.nearest(-1 if writer is None else writer, expected)]
                taken = expected or []
            if expected is None:
                with pytest.raises(NoRoom) as short:
                    placer.place(items, replication, read=True, written=True)
                assert short.value.size == size
            else:
                places = placer.place(items, replication, read=True, written=True)[0]
                assert layout.ids[places[places >= 0]].tolist() == expected
        for disk in taken:
            room[disk] -= size
        assert placer.room.tolist() == [room[disk.id] for disk in disks]
