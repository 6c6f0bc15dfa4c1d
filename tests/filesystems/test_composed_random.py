"""Random composed jobs on every file system: exact bytes in each phase, kills at any moment, over sockets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, composed, simulate_tiny, sleep, watched, work
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_proxy import Reckless

from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.records import io_rows
from batfs.protocol import messages as m
from batfs.scheduling.core import Scheduler
from batfs.scheduling.interface import Pass, QueuePolicy, QueueView
from batfs.workload import parse_profile
from batfs.workload.model import Composed, IoProfile
from batfs.workload.phases import io_over_phases, runs

NODES = 3
STORAGES = {
    **{f"d{k}": {"filesystem": "dfs", "size": "1GB", "node": f"n{k}"} for k in range(NODES)},
    **{f"o{k}": {"filesystem": "lustre", "size": "1GB", "read": "100MBps"} for k in range(3)},
    **{f"b{k}": {"filesystem": "bb", "size": "500MB", "write": "400MBps"} for k in range(2)},
    **{f"v{k}": {"filesystem": "nvme", "size": "1GB"} for k in range(2)},
    "x0": {"filesystem": "cache", "size": "300MB"},
}
CONFIG = {
    "default_filesystem": "lustre",
    "filesystems": {
        "dfs": {"model": "dfs", "replication": 1, "locality": 0.5},
        "lustre": {"model": "pfs", "stripe_count": 2},
        "bb": {"model": "burst_buffer", "backing": "lustre"},
        "nvme": {"model": "nvme_pool", "block_size": "30MB"},
        "cache": {"model": "cache", "backing": "lustre", "fill": False, "write": "around"},
    },
}
Children = dict[str, dict[str, Any]]


def random_io(rng: random.Random) -> dict[str, Any]:
    """Some bytes on some file systems, or none."""
    if rng.random() < 0.4:
        return {}
    if rng.random() < 0.2:
        return {"io_reads": rng.randint(0, 10**7), "io_writes": rng.randint(0, 10**7)}
    entries = []
    for name in rng.sample(list(CONFIG["filesystems"]), rng.randint(1, 2)):
        options: dict[str, Any] = {"timing": rng.choice(["overlap", "phases"])}
        if name in ("dfs", "cache") and rng.random() < 0.5:
            options["data_set"] = rng.choice("ab")
        reads, writes = (rng.choice([0, rng.randint(1, 10**7)]) for _ in range(2))
        entries.append({"filesystem": name, "reads": reads, "writes": writes, "options": options})
    return {"io": entries}


def random_job(rng: random.Random, name: str, *, failing: float = 0.05, **more: Any) -> dict[str, Any]:
    """A composed job of random depth, its profiles called ``<name>.<k>``; some end with a code."""
    children: Children = {}
    for k in range(rng.randint(1, 4)):
        ret = {"ret": 1} if rng.random() < failing else {}
        seconds = rng.randint(1, 20) / 10
        kind = rng.choice([work(seconds), sleep(seconds), {**work(seconds), "com": 100}])
        children[f"{name}.{k}"] = {**kind, **ret, **random_io(rng)}
    leaves = list(children)
    for k in range(rng.randint(0, 3)):
        seq = [rng.choice(list(children)) for _ in range(rng.randint(1, 3))]
        inner = {"type": "composed", "seq": seq, "repeat": rng.randint(1, 3), **random_io(rng)}
        children[f"{name}.c{k}"] = inner
    seq = [*leaves[:1], *(rng.choice(list(children)) for _ in range(rng.randint(0, 3)))]
    used = set(seq)
    while True:
        more_used = used | {c for n in used for c in children[n].get("seq", ())}
        if more_used == used:
            break
        used = more_used
    children = {n: child for n, child in children.items() if n in used}
    return composed(
        name, seq, children, rng.randint(1, NODES), repeat=rng.randint(1, 3), **random_io(rng), **more
    )


def executed(name: str, children: Children) -> tuple[list[str], bool]:
    """What runs when a profile does, in order, and whether it ends with a code: as Batsim does it, slowly."""
    profile = children[name]
    out = [name]
    for _ in range(profile.get("repeat", 1)):
        for child in profile.get("seq", ()):
            inner, stopped = executed(child, children)
            out += inner
            if stopped:
                return out, True
    return out, bool(profile.get("ret"))


def volumes(profile: Mapping[str, Any]) -> list[tuple[str, int, int, bool]]:
    """File system, bytes read and written, whether in phases."""
    if "io" in profile:
        return [
            (e["filesystem"], e["reads"], e["writes"], e["options"]["timing"] == "phases")
            for e in profile["io"]
            if e["reads"] or e["writes"]
        ]
    reads, writes = profile.get("io_reads", 0), profile.get("io_writes", 0)
    return [("lustre", reads, writes, False)] if reads or writes else []


def expected(job: Mapping[str, Any]) -> tuple[Counter[tuple[str, int]], Counter[tuple[str, int]]]:
    """(every single movement a job should make: (``read`` or ``write``, bytes) -> how often; the same sums by
    ``file system read`` and so on). I/O that overlaps and goes to several file systems is one movement."""
    children = {**job["children"], "": job["profile"]}
    once, sums = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for name in executed("", children)[0]:
        for k, word in ((1, "read"), (2, "write")):
            for phased in (True, False):
                size = sum(v[k] for v in volumes(children[name]) if v[3] is phased)
                if size:
                    once[word, size] += 1
            for v in volumes(children[name]):
                sums[f"{v[0]} {word}", 0] += v[k]
    return once, +sums


def movements(ran: Ran, job_name: str) -> Counter[tuple[str, int]]:
    """What was sent for a job, between nodes and storages: as in :func:`expected`."""
    found = Counter[tuple[str, int]]()
    for decision in ran.sent:
        if not isinstance(decision, m.ExecuteJob) or decision.io_job is None:
            continue
        if f"batfs!w0.{job_name}." not in f"{decision.job_id}.":
            continue
        io = decision.io_job.profile
        assert isinstance(io, IoProfile)
        ids = io.ids
        for word, here in (("read", ids[io.sources] >= NODES), ("write", ids[io.destinations] >= NODES)):
            there = (ids[io.sources] < NODES) | (ids[io.destinations] < NODES)
            size = int(io.volumes[here & there].sum())
            if size:
                found[word, size] += 1
    return found


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_counting_is_what_running_does(seed: int) -> None:
    """``runs`` and ``io_over_phases`` against the recursion above, deep and with return codes."""
    rng = random.Random(seed)
    job = random_job(rng, "j")
    children = {**job["children"], "": job["profile"]}
    top, *rest = executed("", children)[0]
    assert top == ""
    profiles = {name: parse_profile(child, name) for name, child in children.items()}
    whole = profiles[""]
    assert isinstance(whole, Composed)
    assert runs(whole, profiles) == Counter(rest)
    wanted = expected(job)[1]
    asked = Counter[tuple[str, int]]()
    for part in io_over_phases(whole, profiles):
        asked[f"{part.filesystem or 'lustre'} read", 0] += part.reads
        asked[f"{part.filesystem or 'lustre'} write", 0] += part.writes
    assert +asked == wanted


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_phase_moves_exactly_its_bytes(tmp_path: Path, seed: int) -> None:
    """One job on all the file systems: each execution of each phase moves what its profile says, no more, and
    the records add up to it; every byte is given back."""
    job = random_job(random.Random(seed), "j", failing=0)
    ran = simulate_tiny(tmp_path, NODES, STORAGES, [job], CONFIG, dynamic=True, process=watched())
    assert not ran.result.deadlock
    assert not ran.said
    once, sums = expected(job)
    if not any(volumes(child) for child in job["children"].values()):
        return  # its own I/O alone: as ever
    assert movements(ran, "j") == once
    rows = [text.split(",") for record in ran.records for text in io_rows(record)]
    recorded = Counter[tuple[str, int]]()
    for row in rows:
        recorded[f"{row[2]} read", 0] += int(row[4])
        recorded[f"{row[2]} write", 0] += int(row[5])
        for total, parts in ((row[4], row[6]), (row[5], row[7])):
            assert sum(int(part.partition(":")[2]) for part in parts.split()) == int(total)
    assert +recorded == sums
    assert len({row[2] for row in rows}) == len(rows)
    held = sum(ran.reserved.values())
    assert held == 0 or any("data_set" in str(child) for child in (job["profile"], *job["children"].values()))


CACHES = {
    "read": {"model": "cache", "backing": "lustre"},
    "around": {"model": "cache", "backing": "lustre", "write": "around"},
    "back": {"model": "cache", "backing": "dfs", "write": "back"},
}


@given(st.integers(0, 10**6), st.sampled_from(sorted(CACHES)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_sent_is_what_is_recorded(tmp_path: Path, seed: int, cache: str) -> None:
    """Caches that fill and copies that are made on the way: a job reads and writes what it asks for, and the
    bytes of everything that was sent are those read, written, moved internally and staged."""
    files = {**CONFIG["filesystems"], "cache": CACHES[cache]}  # type: ignore[dict-item]
    files["dfs"] = {"model": "dfs", "replication": 2}
    job = random_job(random.Random(seed), "j", failing=0)
    config = {**CONFIG, "filesystems": files}
    ran = simulate_tiny(tmp_path, NODES, STORAGES, [job], config, dynamic=True, process=watched())
    assert not ran.result.deadlock
    rows = [text.split(",") for record in ran.records for text in io_rows(record)]
    sent = 0.0
    for decision in ran.sent:
        if isinstance(decision, m.ExecuteJob) and decision.io_job is not None:
            assert isinstance(decision.io_job.profile, IoProfile)
            sent += decision.io_job.profile.volumes.sum()
        elif isinstance(decision, m.RegisterProfile) and isinstance(decision.profile, IoProfile):
            sent += decision.profile.volumes.sum()
    assert sent == sum(int(row[k]) for row in rows for k in (4, 5, 8, 9))
    recorded = Counter[tuple[str, int]]()
    for row in rows:
        recorded[f"{row[2]} read", 0] += int(row[4])
        recorded[f"{row[2]} write", 0] += int(row[5])
    assert +recorded == expected(job)[1]


def without_io(profile: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in profile.items() if k not in ("io", "io_reads", "io_writes")}


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cutting_changes_no_time_and_space_is_held_once(tmp_path: Path, seed: int) -> None:
    """The same job executed whole, without I/O, and cut into steps, for a byte in one of its phases: it takes
    as long up to its messages. With all its I/O on one file system it holds each phase's bytes once."""
    rng = random.Random(seed)
    job = random_job(rng, "j")
    children = {name: without_io(child) for name, child in job["children"].items()}
    plain = {**job, "profile": without_io(job["profile"]), "children": children}
    whole = simulate_tiny(tmp_path, NODES, STORAGES, [plain], CONFIG, dynamic=True)
    ran = {name for name in executed("", {**children, "": plain["profile"]})[0] if name}
    leaf = rng.choice(sorted(name for name in ran if "seq" not in children[name]))
    marked = {**children, leaf: {**children[leaf], "io_reads": 1}}
    cut = simulate_tiny(tmp_path, NODES, STORAGES, [{**plain, "children": marked}], CONFIG, dynamic=True)
    times = list(cut.kinds().values())
    assert max(end for _, end in times) == pytest.approx(whole.times("j")[1], abs=1e-4)

    every = {
        name: {**child, "io_reads": rng.randint(1, 10**6), "io_writes": rng.randint(0, 10**6)}
        for name, child in children.items()
    }
    full = {**plain, "children": every}
    all_of_it = simulate_tiny(
        tmp_path, NODES, STORAGES, [full], CONFIG, dynamic=rng.random() < 0.7, process=watched()
    )
    assert all_of_it.peak == sum(every[name]["io_reads"] + every[name]["io_writes"] for name in ran)
    assert sum(all_of_it.reserved.values()) == 0


class Killing:
    """A queue policy that also kills what runs, at random."""

    name = "killing"

    def __init__(self, inner: QueuePolicy, rng: random.Random) -> None:
        self._inner = inner
        self._rng = rng
        self.killed: set[str] = set()

    def schedule(self, view: QueueView) -> Pass:
        decided = self._inner.schedule(view)
        kills = [i for i in view.running if i not in self.killed and self._rng.random() < 0.3]
        self.killed |= set(kills)
        return Pass(decided.starts, kills, view.now + 0.7)


class KillsToo:
    """A scheduler whose queue policy is a :class:`Killing`."""

    def __init__(self, inner: Scheduler, rng: random.Random) -> None:
        self._inner = inner
        self._rng = rng

    def decide(self, request: m.Request) -> m.Reply:
        scheduler = self._inner
        reply = scheduler.decide(request)
        if not isinstance(scheduler.session.policy, Killing):
            scheduler.session.policy = Killing(scheduler.session.policy, self._rng)
        return reply


def random_jobs(rng: random.Random, count: int) -> list[dict[str, Any]]:
    return [
        random_job(rng, f"{k}", at=1 + rng.randint(0, 10), walltime=rng.choice([2, 5, 100]))
        for k in range(count)
    ]


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_kills_at_any_moment_leave_nothing_behind(tmp_path: Path, seed: int, dynamic: bool) -> None:
    """Killed by the queue policy, by the walltime or by a return code while they read, compute, write or
    stage: the scheduler's own books are checked after every message (``validate``) and at the end."""
    rng = random.Random(seed)
    jobs = random_jobs(rng, 5)
    schedulers: list[Scheduler] = []

    def make(settings: Any, files: Any, ran: Ran) -> m.DecisionProcess:
        schedulers.append(Scheduler(settings, files, observer=ran))
        return KillsToo(schedulers[0], rng)

    ran = simulate_tiny(tmp_path, NODES, STORAGES, jobs, CONFIG, dynamic=dynamic, process=make, control="1ms")
    assert not ran.result.deadlock
    (scheduler,) = schedulers
    assert scheduler.counts["done"] + scheduler.counts["rejected"] == 5
    machine = scheduler.machine
    assert len(machine.ledger) == len(machine.kept)
    assert not machine.transfers.any()


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_behind_the_proxy(tmp_path: Path, seed: int, dynamic: bool) -> None:
    """A scheduler that knows nothing of it, and kills: every job is reported once, nothing stays reserved."""
    rng = random.Random(seed)
    jobs = random_jobs(rng, 5)
    inner = Reckless(seed, NODES)
    injectors: list[Injector] = []

    def make(settings: Any, files: Any, ran: Ran) -> m.DecisionProcess:
        injectors.append(Injector(settings, make_files=files))
        return WithFileSystems(inner, injectors[0])

    ran = simulate_tiny(tmp_path, NODES, STORAGES, jobs, CONFIG, dynamic=dynamic, process=make, control="1ms")
    assert not ran.result.deadlock
    assert sorted(inner.seen) == sorted(f"w0!{k}" for k in range(5))
    machine = injectors[0].tenancy.machine
    assert len(machine.ledger) == len(machine.kept)
    assert not machine.transfers.any()
