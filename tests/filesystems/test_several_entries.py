"""Jobs with several I/O entries: each is planned beside those before it, on every model.

Storages move 10 B/s each way, the cache 100 B/s.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, composed, job, simulate_tiny, watched, work

from batfs.filesystems.interface import Hold
from batfs.filesystems.lru import Cache
from batfs.filesystems.site import FileSystems

RATES = {"read": "10Bps", "write": "10Bps"}
CACHE = {"c0": {"filesystem": "cache", "size": "100B", "read": "100Bps", "write": "100Bps"}}


def targets(count: int, size: int = 100) -> dict[str, Any]:
    return {f"ost{k}": {"filesystem": "lustre", "size": f"{size}B", **RATES} for k in range(count)}


def entry(system: str, reads: int = 0, writes: int = 0, **options: Any) -> dict[str, Any]:
    return {"filesystem": system, "reads": reads, "writes": writes, "options": options}


def run(folder: Path, storages: dict[str, Any], jobs: list[Any], model: str = "", **more: Any) -> Ran:
    systems = {"filesystems": {model.partition(":")[0]: {"model": model}}} if model else {}
    config = {"default_filesystem": "lustre", "policy": "first_fit", **systems, **more}
    return simulate_tiny(folder, 4, storages, jobs, config, dynamic=True, process=watched())


def hits(ran: Ran) -> dict[str, list[tuple[int, int]]]:
    """(bytes found in the cache, bytes brought there) of each entry, by job."""
    return {
        record.job.name: [(plan.notes["hits"], sum(plan.notes["added"].values())) for plan in record.plans]
        for record in ran.records
    }


# ---- a cache ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "begins"), [("none", 0.0), ("held", 6.0), ("ahead", 6.0)])
def test_two_sets_in_a_cache_with_room_for_one(tmp_path: Path, mode: str, begins: float) -> None:
    """60 B of x come into the cache of 100 B and y, of which 60 B are read as well, goes past it: 120 B from
    the target take 12 s, of which staging takes 6. A later reader of x finds it, one of y doesn't."""
    jobs = [
        job("a", io=[entry("cache", 60, data_set="x"), entry("cache", 60, data_set="y")]),
        job("b", at=50.0, io=[entry("cache", 60, data_set="x")]),
        job("c", at=80.0, io=[entry("cache", 60, data_set="y")]),
    ]
    ran = run(tmp_path, {**CACHE, **targets(1, 1000)}, jobs, f"cache:backing=lustre,staging={mode}")
    assert hits(ran) == {"a": [(0, 60), (0, 0)], "b": [(60, 0)], "c": [(0, 60)]}
    assert ran.times("a") == pytest.approx((begins, 12.0), abs=1e-3)
    staged = [t for kind, t in ran.kinds().items() if ".a." in kind]
    assert staged == ([] if mode == "none" else [pytest.approx((0.0, 6.0), abs=1e-3)])


def test_phases_share_a_cache(tmp_path: Path) -> None:
    """The entries of one phase, and of the job as a whole, are beside each other, too."""
    phases = {"p": work(1, io=[entry("cache", 30, data_set="y"), entry("cache", 60, data_set="z")])}
    job_a = composed("a", ["p"], phases, io=[entry("cache", 60, data_set="x")])
    ran = run(tmp_path, {**CACHE, **targets(1, 1000)}, [job_a], "cache:backing=lustre")
    assert hits(ran) == {"a": [(0, 60), (0, 30), (0, 0)]}


def test_what_gives_way_to_an_entry_is_not_found_by_the_next(tmp_path: Path) -> None:
    """y, 60 B, leaves for 80 B of x: the job's second entry reads it from behind. The other way about y is in
    use, and x goes past the cache. The same of two jobs that start together."""
    before = job("0", io=[entry("cache", 60, data_set="y")])
    x, y = entry("cache", 80, data_set="x"), entry("cache", 60, data_set="y")
    for k, jobs in enumerate(
        [[job("a", at=50.0, io=[x, y])], [job("a", at=50.0, io=[x]), job("b", at=50.0, io=[y])]]
    ):
        (tmp_path / f"{k}").mkdir()
        ran = run(tmp_path / f"{k}", {**CACHE, **targets(1, 1000)}, [before, *jobs], "cache:backing=lustre")
        found = [one for name, entries in sorted(hits(ran).items()) for one in entries if name != "0"]
        assert found == [(0, 80), (0, 0)]
    for k, jobs in enumerate(
        [[job("a", at=50.0, io=[y, x])], [job("a", at=50.0, io=[y]), job("b", at=50.0, io=[x])]], 2
    ):
        (tmp_path / f"{k}").mkdir()
        ran = run(tmp_path / f"{k}", {**CACHE, **targets(1, 1000)}, [before, *jobs], "cache:backing=lustre")
        found = [one for name, entries in sorted(hits(ran).items()) for one in entries if name != "0"]
        assert found == [(60, 0), (0, 0)]


def test_what_is_written_back_lies_beside_what_is_read(tmp_path: Path) -> None:
    """80 B are read from the first target of 100 B, so 30 B go to the second: read in 8 s, 3 s back."""
    jobs = [job("a", io=[entry("cache", 80, 30, data_set="x")])]
    storages = {"c0": {**CACHE["c0"], "size": "50B"}, **targets(2)}
    ran = run(tmp_path, storages, jobs, "cache:backing=lustre,write=back,fill=false")
    assert ran.times("a") == pytest.approx((0.0, 8.0), abs=1e-3)
    assert [*ran.kinds().values()] == [pytest.approx((8.0, 11.0), abs=1e-3)]


@pytest.mark.parametrize("part", range(4))
def test_what_is_to_be_brought_has_its_room(
    tmp_path: Path, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random jobs of several entries, on a cache: whatever a plan adds finds the place that was chosen."""
    insert, added = Cache.insert, 0

    def inserted(cache: Cache, *args: Any, **more: Any) -> bool:
        nonlocal added
        assert insert(cache, *args, **more), args
        cache.check()
        added += 1
        return True

    monkeypatch.setattr(Cache, "insert", inserted)
    for seed in range(part, 60, 4):
        rng = random.Random(seed)
        storages = {f"c{k}": CACHE["c0"] for k in range(rng.randint(1, 3))}
        model = f"cache:backing=lustre,write={rng.choice(['through', 'around', 'back'])}"
        model += f",staging={rng.choice(['none', 'held', 'ahead', 'two_step'])}"
        jobs = [random_job(rng, f"{k}") for k in range(rng.randint(2, 9))]
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        queue = rng.choice(["fcfs", "filler", "easy", "conservative"])
        ran = run(folder, {**storages, **targets(2, 10_000)}, jobs, model, queue=queue)
        assert not ran.result.deadlock, seed
    assert added


def random_job(rng: random.Random, name: str) -> dict[str, Any]:
    def entries() -> list[dict[str, Any]]:
        return [
            entry(
                "cache", rng.randrange(90), rng.choice([0, rng.randrange(50)]), data_set=rng.choice("uvwxyz")
            )
            for _ in range(rng.randint(1, 4))
        ]

    at, nodes = float(rng.randrange(60)), rng.randint(1, 2)
    if rng.random() < 0.3:
        phases = {f"{name}{k}": work(rng.randint(1, 9), io=entries()) for k in "ab"}
        whole: dict[str, Any] = {"io": entries()} if rng.random() < 0.5 else {}
        return composed(name, sorted(phases), phases, nodes, at=at, repeat=rng.randint(1, 2), **whole)
    return job(name, nodes, rng.randrange(20) * 1e9, at, io=entries())


# ---- data sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["lustre", "bb", "cache"])
@pytest.mark.parametrize("phase", [False, True])
def test_what_is_read_twice_is_there_once(tmp_path: Path, system: str, phase: bool) -> None:
    """60 B that were there before, read by two entries: they hold 60 of the 100 B behind."""
    both = [entry(system, 60, data_set="x"), entry(system, 60, data_set="x")]
    storages = {**targets(1)}
    if system != "lustre":
        storages["t0"] = {"filesystem": system, "size": "1kB", **RATES}
    model = {"bb": "burst_buffer:backing=lustre", "cache": "cache:backing=lustre"}.get(system, "")
    jobs = [composed("a", ["p"], {"p": work(1, io=both)}) if phase else job("a", io=both)]
    systems = {"filesystems": {system: {"model": model}}} if model else {}
    ran = run(tmp_path, storages, jobs, **systems)
    assert [row.held for row in ran.sets] == [60]
    assert [record.state for record in ran.records] == ["COMPLETED_SUCCESSFULLY"]


@pytest.mark.parametrize("system", ["lustre", "bb"])
@pytest.mark.parametrize(
    "first",
    [
        {"writes": 6},
        {"reads": 6, "missing": "fill"},
        {"writes": 6, "write": "replace"},
    ],
)
@pytest.mark.parametrize("phase", [False, True])
def test_nobody_waits_for_what_the_job_itself_makes(
    tmp_path: Path, first: dict[str, Any], phase: bool, system: str
) -> None:
    """An entry that reads what another before it writes, or takes to have been there, finds it, also within a
    phase: such a job stood in the queue for ever."""
    io = [entry(system, data_set="x", **first), entry(system, 6, data_set="x", missing="wait")]
    jobs = [composed("a", ["p"], {"p": work(1, io=io)}) if phase else job("a", io=io)]
    storages = {**targets(1), "b0": {"filesystem": "bb", "size": "100B", **RATES}}
    ran = run(tmp_path, storages, jobs, filesystems={"bb": {"model": "burst_buffer:backing=lustre"}})
    assert [record.state for record in ran.records] == ["COMPLETED_SUCCESSFULLY"]


def test_one_that_makes_a_set_of_nothing_is_refused_at_once(tmp_path: Path) -> None:
    """A set that the job names and doesn't write has no bytes to be read."""
    io = [entry("lustre", data_set="x"), entry("lustre", 6, data_set="x", missing="wait")]
    ran = run(tmp_path, targets(1), [job("a", io=io), job("b", at=5.0, io=[entry("lustre", 6)])])
    assert ran.jobs["w0!a"].state == "REJECTED"
    assert ran.times("b") == pytest.approx((5.0, 5.6), abs=1e-3)


@pytest.mark.parametrize("part", range(2))
def test_a_footprint_is_what_all_entries_together_hold(
    tmp_path: Path, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random jobs of several entries that read, write, write over and replace three data sets: plans of queue
    policies count what is held. (Two readers of 60 B that were there counted 120 B.)"""
    plan, seen = FileSystems.plan, 0

    def planned(files: FileSystems, job_id: str, nodes: Any, volumes: Any, *rest: Any) -> Any:
        nonlocal seen
        plans = plan(files, job_id, nodes, volumes, *rest)
        book = files.data_sets["lustre"]
        alone = not files.models["lustre"].trials and not book.assumed  # type: ignore[attr-defined]
        if not isinstance(plans, Hold) and alone:
            held = sum(placement.size for one in plans for placement in one.placements)
            assert files.footprint(volumes, len(nodes)).get("lustre", 0) == held
            assert not book.foreseen
            seen += len(volumes) > 1
        return plans

    monkeypatch.setattr(FileSystems, "plan", planned)
    for seed in range(part, 40, 2):
        rng = random.Random(seed)
        jobs = []
        for k in range(8):
            io = []
            for _ in range(rng.randint(1, 4)):
                options: dict[str, Any] = {"data_set": rng.choice("xyz")}
                options["write"] = rng.choice(["append", "overwrite", "replace"])
                options |= rng.choice([{}, {"size": rng.randint(1, 90)}, {"delete": True}])
                io.append(entry("lustre", rng.choice([0, 30, 60]), rng.choice([0, 20, 50]), **options))
            jobs.append(job(f"{k}", at=20.0 * k, io=io))
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        run(folder, targets(1, 100_000), jobs)
    assert seen > 50


def test_servers_of_a_rabbit_have_room_for_checkpoints(tmp_path: Path) -> None:
    """8 B that are read and two checkpoints of 4 B are 16 B: the first Rabbit has 10, so they lie on the
    second. (The Lustre's server was chosen for the 8 B alone, and the job rejected.)"""
    storages = {
        f"r{k}": {"filesystem": "rabbit", "size": size, "chassis": "ab"[k], **RATES}
        for k, size in enumerate(["10B", "30B"])
    }
    io = [entry("rabbit", 8, checkpoints=2, checkpoint_bytes=4)]
    ran = run(
        tmp_path, {**storages, **targets(1)}, [job("a", io=io)], "rabbit:backing=lustre,servers=1,type=lustre"
    )
    [record] = ran.records
    assert [(p.storage, p.size) for p in record.plans[0].placements if p.size == 16] == [(6, 16)]
    assert record.state == "COMPLETED_SUCCESSFULLY"


TIERS = [
    "burst_buffer:backing=lustre",
    "nvme_pool:backing=lustre,block_size=10B",
    "cache:backing=lustre,write=back",
]


@pytest.mark.parametrize("model", TIERS)
@pytest.mark.parametrize(
    ("write", "given", "sizes"),
    [
        ("append", None, (60, 100)),
        ("overwrite", None, (60, 60)),
        ("replace", None, (60, 40)),
        ("append", 70, (70, 70)),
        ("overwrite", 70, (70, 70)),
        ("replace", 70, (70, 70)),
        ("replace", 1, (1, 1)),
    ],
)
def test_what_several_buffers_write_is_one_version(
    tmp_path: Path, model: str, write: str, given: int | None, sizes: tuple[int, int]
) -> None:
    """60 B are written through two buffers, and later 40 B: the set is as large as if they had come in one
    piece. (Of 60 B that were to replace a set, the 30 of the last buffer were left.)"""
    more = {} if given is None else {"size": given}
    for count in (1, 2):
        jobs = [
            job(name, 2, at=at, io=[entry("bb", 0, size, data_set="x", write=write, **more)])
            for name, at, size in (("a", 0.0, 60), ("b", 50.0, 40))
        ][:count]
        size = "31B" if model.startswith("cache") else "100B"
        buffers = {f"b{k}": {"filesystem": "bb", "size": size, **RATES} for k in range(2)}
        folder = tmp_path / f"{count}"
        folder.mkdir()
        config = {"policy": "round_robin", "filesystems": {"bb": {"model": model}}}
        ran = run(folder, {**buffers, **targets(1, 1000)}, jobs, **config)
        [row] = ran.sets
        assert ran.reserved[2] == sizes[count - 1]
        assert row.size == max(sizes[:count])
        assert sum(kind.endswith("stage_out") for kind in ran.kinds()) >= 2
