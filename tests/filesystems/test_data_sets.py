"""Data sets on every model: footprint and traffic, lives, ways of writing, purges, kills; by hand."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fs_machines import Machine, node, storage
from fs_tiny import job, simulate_tiny, write_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.filesystems import traffic as t
from batfs.filesystems.interface import Hold, IoPlan, IoRequest, Traffic, Volume
from batfs.storage.interface import Share

MODELS = ["pfs:stripe_count=2", "dfs:replication=2", "burst_buffer", "nvme_pool:block_size=30B"]
MB = 10**6


class Bench:
    """Two nodes and a file system of four storages of 1,000 bytes under ``model``, with its books."""

    def __init__(self, model: str, **options: object) -> None:
        self.m = Machine(
            [node(i) for i in range(2)],
            [storage(10 + i, "fs", "1kB") for i in range(4)],
            {"filesystems": {"fs": {"model": model, "policy": "round_robin", **options}}},
        )
        self.sets = self.m.systems.data_sets["fs"]
        self.kept: dict[str, Any] = {}
        self.own: dict[str, list[Any]] = {}
        self.now = 0.0

    def plan(self, name: str, reads: int, writes: int, data_set: str, **options: Any) -> IoPlan | Hold:
        self.volume = Volume("fs", reads, writes, options={"data_set": data_set, **options})
        found = self.m.plan((0, 1), self.volume, job=name)
        return found if isinstance(found, Hold) else found[0]

    def start(self, name: str, reads: int, writes: int, data_set: str, **options: Any) -> IoPlan:
        plan = self.plan(name, reads, writes, data_set, **options)
        assert isinstance(plan, IoPlan), plan
        for p in plan.placements:
            line = self.m.ledger.reserve([Share(self.m.systems.position[p.storage], p.size)])
            if p.key:
                self.kept.setdefault(p.key, []).append(line)
            else:
                self.own.setdefault(name, []).append(line)
        self.m.systems.started(IoRequest(name, (0, 1), self.volume, 0.0), plan, self.now, "w0")
        return plan

    def end(self, name: str, success: bool = True) -> None:
        self.now += 1
        for line in self.own.pop(name, ()):
            self.m.ledger.release(line)
        self.m.systems.ended(name, success, self.now)
        self.release()

    def release(self) -> None:
        for key in self.m.systems.released():
            for line in self.kept.pop(key):
                self.m.ledger.release(line)

    def run(self, name: str, reads: int, writes: int, data_set: str, **options: Any) -> IoPlan:
        plan = self.start(name, reads, writes, data_set, **options)
        self.end(name)
        return plan

    @property
    def held(self) -> int:
        return sum(self.m.ledger.held(k) for k in range(4))

    def size(self, name: str) -> int:
        return self.sets.sets[name].size

    def ended(self) -> list[tuple[str, str, str]]:
        return [(row.name, row.why, row.by) for row in self.sets.rows()]


def copies(model: str) -> int:
    return 2 if model.startswith("dfs") else 1


@pytest.mark.parametrize("model", MODELS)
def test_what_one_job_writes_the_next_reads_where_it_lies(model: str) -> None:
    """100 bytes are written; the next job reads them from storages that hold them, and holds nothing more."""
    b = Bench(model)
    b.run("w0!1", 0, 100, "x")
    lies = b.sets.sets["x"].bytes_on()
    assert sum(lies.values()) == b.held == 100 * copies(model)
    assert b.m.systems.where(b.volume) == lies
    plan = b.start("w0!2", 100, 0, "x")
    assert not plan.placements
    assert set(t.by_source(plan.reads)) <= set(lies)
    assert t.total(plan.reads) == 100


@pytest.mark.parametrize("model", MODELS)
def test_traffic_is_not_footprint(model: str) -> None:
    """A file of 100 bytes is read 50 times over, and written over with as many: 5,000 bytes each way on a
    file system of 4,000 hold 100."""
    b = Bench(model)
    plan = b.run("w0!1", 5000, 0, "x", size=100)
    assert (t.total(plan.reads), b.held) == (5000, 100 * copies(model))
    plan = b.run("w0!2", 5000, 5000, "x", size=100)
    assert (t.total(plan.reads), t.total(plan.writes), b.size("x")) == (5000, 5000, 100)
    assert b.held == 100 * copies(model)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", ["append", "overwrite", "replace"])
@pytest.mark.parametrize(("reads", "writes"), [(100, 0), (0, 100), (100, 100)])
def test_nothing_travels_from_or_to_a_set_without_bytes(
    model: str, way: str, reads: int, writes: int
) -> None:
    """A job that says the set has 0 bytes when it has run, and moves 100 of them, can never run; nor one
    that reads a set of which only the name is there."""
    b = Bench(model)
    hold = b.plan("w0!1", reads, writes, "x", size=0, write=way)
    assert isinstance(hold, Hold)
    assert (hold.never, hold.sentence()) == (True, "DataSet: the data set 'x' is empty")
    b.run("w0!2", 0, 0, "y", size=0)
    assert b.held == 0
    assert isinstance(b.plan("w0!3", 0, 100, "y", size=0, write="overwrite"), Hold)
    assert isinstance(b.plan("w0!4", 0, 100, "y"), IoPlan)


@pytest.mark.parametrize("model", MODELS)
def test_append_overwrite_replace(model: str) -> None:
    """100 bytes; 40 appended are 140; 60 written over stay 140, 150 grow it to 150; a replacement of 80 holds
    230 beside the old one until its job has succeeded, then 80; one that fails leaves what was there."""
    b, c = Bench(model), copies(model)
    b.run("w0!1", 0, 100, "x")
    b.run("w0!2", 0, 40, "x")
    assert b.size("x") == 140
    b.run("w0!3", 0, 60, "x", write="overwrite")
    assert b.size("x") == 140
    b.run("w0!4", 0, 150, "x", write="overwrite")
    assert (b.size("x"), b.held) == (150, 150 * c)
    b.start("w0!5", 0, 80, "x", write="replace")
    assert (b.size("x"), b.held) == (150, 230 * c)
    b.end("w0!5", success=False)
    assert (b.size("x"), b.held) == (150, 150 * c)
    b.run("w0!6", 0, 80, "x", write="replace")
    assert (b.size("x"), b.held) == (80, 80 * c)


@pytest.mark.parametrize("model", MODELS)
def test_what_a_killed_writer_leaves(model: str) -> None:
    """Of an append nothing; of a new set nothing; a set that it was writing over is lost with it."""
    b = Bench(model)
    b.run("w0!1", 0, 100, "x")
    b.start("w0!2", 0, 50, "x")
    b.end("w0!2", success=False)
    assert b.size("x") == 100
    b.start("w0!3", 0, 50, "y")
    b.end("w0!3", success=False)
    b.start("w0!4", 0, 50, "x", write="overwrite")
    b.end("w0!4", success=False)
    assert b.ended() == [("y", "failed", "w0!3"), ("x", "torn", "w0!4")]
    assert b.held == 0


@pytest.mark.parametrize("model", MODELS)
def test_read_before_it_exists(model: str) -> None:
    """``error`` and ``wait`` hold the job, for ever or not; a set that is still being written isn't there."""
    b = Bench(model, missing="error")
    hold = b.plan("w0!1", 100, 0, "x")
    assert isinstance(hold, Hold)
    assert (hold.never, hold.sentence()) == (True, "DataSet: the data set 'x' is not on 'fs'")
    b.start("w0!2", 0, 100, "x")
    hold = b.plan("w0!3", 100, 0, "x", missing="wait")
    assert isinstance(hold, Hold)
    assert not hold.never
    b.end("w0!2")
    assert isinstance(b.plan("w0!3", 100, 0, "x"), IoPlan)


@pytest.mark.parametrize("model", MODELS)
def test_lives(model: str) -> None:
    """``job``: gone with it; a time: gone then; ``campaign``: with the last job of it; else until deleted."""
    b = Bench(model)
    b.start("w0!1", 0, 10, "a", life="job")
    assert b.held == 10 * copies(model)
    b.end("w0!1")
    assert b.held == 0
    b.run("w0!2", 0, 10, "b", life=50)
    b.run("w0!3", 0, 10, "c", life="campaign")
    b.run("w0!4", 0, 10, "d")
    assert not b.m.systems.time_has_come(49.0)
    assert b.m.systems.time_has_come(50.0)
    b.sets.end_campaign("w0", 60.0)
    b.run("w0!5", 10, 0, "d", delete=True)
    assert b.ended() == [
        ("a", "job", "w0!1"),
        ("b", "time", ""),
        ("c", "campaign", ""),
        ("d", "deleted", "w0!5"),
    ]
    assert b.held == 0


def test_bytes_of_a_deleted_set_stay_until_nobody_reads_it() -> None:
    b = Bench("pfs")
    b.run("w0!1", 0, 100, "x")
    b.start("w0!2", 100, 0, "x")
    b.run("w0!3", 0, 0, "x", delete=True)
    assert ("x" in b.sets.sets, b.held) == (False, 100)
    b.end("w0!2")
    assert b.held == 0


def test_purges() -> None:
    """``age``: 10 s after the last use. ``lru``: the one used longest ago goes for a job that lacks 100
    bytes, none if all are not enough. ``watermark``: above 1,200 of 4,000 bytes down to 1,000."""
    b = Bench("pfs", purge="age:after=10")
    b.run("w0!1", 0, 100, "x")
    assert not b.m.systems.time_has_come(10.5)
    assert b.m.systems.time_has_come(11.0)
    b = Bench("pfs", purge="lru")
    for k in range(4):
        b.run(f"w0!{k}", 0, 900, f"x{k}")
    hold = b.plan("w0!9", 0, 500, "y")
    assert isinstance(hold, Hold)
    assert b.m.systems.make_room(hold, 9.0)
    b.release()
    assert isinstance(b.plan("w0!9", 0, 500, "y"), IoPlan)
    assert not b.m.systems.make_room(Hold("StorageCapacity", (10,), 5000), 9.0)
    b = Bench("pfs", purge="watermark:high=0.3,low=0.25")
    for k in range(4):
        b.run(f"w0!{k}", 0, 350, f"x{k}")
    b.m.systems.purge(b.m.ledger.held, [1000] * 4, 9.0)
    assert b.ended() == [("x0", "purged (watermark)", ""), ("x1", "purged (watermark)", "")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 5}, "'size' without a 'data_set'"),
        ({"data_set": "x", "size": -1}, "expected bytes"),
        ({"data_set": "x", "life": "forever"}, "life of a data set"),
        ({"data_set": "x", "missing": "fil"}, "fill"),
        ({"data_set": "x", "write": "over"}, "overwrite"),
        ({"data_set": 3}, "expected a name"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    model = Bench("pfs").m.systems.models["fs"]
    with pytest.raises(InputError, match=message):
        model.check(Volume("fs", 1, 0, options=options))


@pytest.mark.parametrize("model", MODELS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_bytes_are_conserved_over_any_history(model: str, seed: int) -> None:
    """Jobs that write, read, delete, are killed, overlap: what the books hold is what the data sets say and
    what running jobs hold themselves, after every step; in the end nothing is left over."""
    rng = random.Random(seed)
    b = Bench(model)
    running: list[str] = []
    for k in range(30):
        if rng.random() < 0.55:
            options: dict[str, Any] = {"write": rng.choice(["append", "overwrite", "replace"])}
            if rng.random() < 0.3:
                options["size"] = rng.randrange(200)
            if rng.random() < 0.3:
                options["life"] = rng.choice(["job", "campaign", "deleted"])
            options["delete"] = rng.random() < 0.2
            reads, writes = rng.choice([0, 90]), rng.choice([0, 0, 120])
            name, data_set = f"w0!{k}", rng.choice("abc")
            if isinstance(b.plan(name, reads, writes, data_set, **options), IoPlan):
                b.start(name, reads, writes, data_set, **options)
                running.append(name)
        elif running:
            b.end(running.pop(rng.randrange(len(running))), rng.random() < 0.7)
        kept = sum(line.size for lines in b.kept.values() for line in lines)
        own = sum(line.size for lines in b.own.values() for line in lines)
        assert b.held == kept + own
    for name in running:
        b.end(name)
    b.sets.end_campaign("w0", 99.0)
    b.release()
    assert b.held == sum(sum(one.bytes_on().values()) for one in b.sets.sets.values())
    for name in list(b.sets.sets):
        b.sets.drop(name, 99.0, "deleted")
    b.release()
    assert b.held == 0


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_whole_simulation(tmp_path: Path, dynamic: bool) -> None:
    """Two targets of 1 GB. Job 1 writes 800 MB of x on one of them at 100 MB/s, 8 s; job 2 reads them twice
    over from there, 16 s, beside job 3, which reads x too: 100 MB/s for both. Job 4 needs a set that nobody
    writes and is rejected; the records say what became of x."""
    fast = {"filesystem": "fs", "size": "1GB", "read": "100MBps", "write": "100MBps"}
    x = {"data_set": "x"}
    jobs = [
        job("1", io=[{"filesystem": "fs", "writes": 800 * MB, "options": x}]),
        job("2", at=20, io=[{"filesystem": "fs", "reads": 1600 * MB, "options": {**x, "delete": True}}]),
        job("3", at=60, io=[{"filesystem": "fs", "reads": 1, "options": {**x, "missing": "error"}}]),
    ]
    ran = simulate_tiny(tmp_path, 1, {"a": fast, "b": fast}, jobs, {"policy": "round_robin"}, dynamic=dynamic)
    assert ran.duration("1") == pytest.approx(8.0, abs=1e-5)
    assert ran.duration("2") == pytest.approx(16.0, abs=1e-5)
    assert "REJECTED" in ran.jobs["w0!3"].state


def test_the_table_of_data_sets(tmp_path: Path) -> None:
    """One node, 100 MB/s, jobs one after the other. x: written by 1 from 0 to 8 s, read whole twice over by 2
    from 8 to 24 s, which deletes it; y: there before, 200 MB of which 3 reads half, 24 to 25 s, still there
    in the end; z: of life ``job``, held from 25 to 26 s; w: appended to in vain by a job killed 2 s later."""
    fast = {"filesystem": "fs", "size": "10GB", "read": "100MBps", "write": "100MBps"}

    def moves(name: str, reads: int, writes: int, walltime: int = 100, **options: Any) -> dict[str, Any]:
        entry = {"filesystem": "fs", "reads": reads * MB, "writes": writes * MB, "options": options}
        return job(name, io=[entry], walltime=walltime)

    jobs = [
        moves("1", 0, 800, data_set="x"),
        moves("2", 1600, 0, data_set="x", delete=True),
        moves("3", 100, 0, data_set="y", size=200 * MB),
        moves("4", 0, 100, data_set="z", life="job"),
        moves("5", 0, 800, 2, data_set="w"),
    ]
    files = write_inputs(tmp_path, 1, {"a": fast}, jobs)
    words = ["run", "-p", str(files[0]), "-w", str(files[1]), "--filesystem", "fs=pfs", "-q"]
    assert main([*words, "-e", str(tmp_path / "o")]) == 0
    with (tmp_path / "o_data_sets.csv").open() as text:
        rows = {row["data_set"]: row for row in csv.DictReader(text)}
    assert list(rows) == ["x", "z", "w", "y"]

    def told(name: str) -> dict[str, Any]:
        times = ("created", "last_read", "ended")
        return {k: round(float(v), 2) if k in times and v else v for k, v in rows[name].items()}

    names = ("file_system", "bytes", "held_bytes", "owner", "created", "last_read", "read_bytes")
    names = (*names, "written_bytes", "ended", "why", "by")

    def row(*values: Any) -> dict[str, Any]:
        return dict(zip(names, ("fs", *values), strict=True))

    whole, both = str(800 * MB), str(1600 * MB)
    expected = {
        "x": row(whole, whole, "w0!1", 8.0, 24.0, both, whole, 24.0, "deleted", "w0!2"),
        "y": row(str(200 * MB), str(200 * MB), "", "", 25.0, str(100 * MB), "0", "", "", ""),
        "z": row(str(100 * MB), str(100 * MB), "w0!4", 26.0, "", "0", str(100 * MB), 26.0, "job", "w0!4"),
        "w": row(whole, whole, "w0!5", "", "", "0", whole, 28.0, "failed", "w0!5"),
    }
    for name, values in expected.items():
        assert told(name) == {"data_set": name, **values}


@pytest.mark.parametrize("model", MODELS)
def test_an_entry_without_bytes_makes_the_set_it_names(model: str) -> None:
    """Unless it deletes it: then there is none."""
    b = Bench(model)
    b.run("w0!1", 0, 0, "x")
    assert list(b.sets.sets) == ["x"]
    b.run("w0!1", 0, 0, "x", size=60)
    assert list(b.sets.sets) == ["x"]
    b.run("w0!2", 0, 0, "y", delete=True)
    assert list(b.sets.sets) == ["x"]
    b.run("w0!3", 0, 0, "x", delete=True)
    assert not b.sets.sets
    assert b.held == 0


def test_who_reads_a_set_on_its_own_disks_reads_its_own_part_there() -> None:
    """A buffer in each of four nodes. What two of them have written lies in theirs: they read it from there,
    each its half; the two others from both; of one and another, the one from its own, the rest crosswise."""
    m = Machine(
        [node(i) for i in range(4)],
        [storage(10 + i, "bb", "1kB", node=f"n{i}") for i in range(4)],
        {"filesystems": {"bb": {"model": "burst_buffer"}}},
    )
    volume = Volume("bb", 0, 100, options={"data_set": "x"})
    plan = m.one((0, 1), volume, job="w0!1")
    for p in plan.placements:
        m.ledger.reserve([Share(m.systems.position[p.storage], p.size)])
    m.systems.started(IoRequest("w0!1", (0, 1), volume, 0.0), plan, 0.0, "w0")
    m.systems.ended("w0!1", True, 1.0)
    assert pairs(plan.writes) == {(0, 10): 50, (1, 11): 50}

    def read(*nodes: int) -> dict[tuple[int, int], int]:
        return pairs(m.one(nodes, Volume("bb", 100, 0, options={"data_set": "x"}), job="w0!2").reads)

    assert read(0, 1) == {(10, 0): 50, (11, 1): 50}
    assert read(2, 3) == {(10, 2): 25, (10, 3): 25, (11, 2): 25, (11, 3): 25}
    assert read(1, 2) == {(11, 1): 50, (10, 2): 50}


def pairs(traffics: Sequence[Traffic]) -> dict[tuple[int, int], int]:
    moved: dict[tuple[int, int], int] = {}
    for one in traffics:
        for source, destination, size in zip(*one.columns, strict=True):
            pair = (int(source), int(destination))
            moved[pair] = moved.get(pair, 0) + int(size)
    return moved
