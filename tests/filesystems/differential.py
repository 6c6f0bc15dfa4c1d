"""One workload through batfs's scheduler and through a scheduler that knows nothing of storage, both taking
the same decisions: each job on nodes of its own as soon as there is room for its bytes; kills at given times.

Run it for a count of seeds beyond the suite's: ``python differential.py FIRST COUNT``.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fs_tiny import Ran, composed, job, simulate_tiny, sleep, work

from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.proxy import RawProxy
from batfs.decision.pybatsim_process import PybatsimProcess, load_pybatsim
from batfs.decision.pybatsim_scheduler import BatfsScheduler
from batfs.decision.records import io_rows
from batfs.errors import BatfsError
from batfs.protocol import messages as m
from batfs.protocol.codec import decode_reply, encode_request
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.scheduling.observer import JobRecord, Observer, StorageState
from batfs.simulator import read_events

NODES, SPARE = 10, 2  # the last ones run no jobs: they come and go
MB = 10**6
POLICIES = ("round_robin", "random", "worst_fit", "best_fit", "first_fit")

OURS = '''
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import Pass

class Fixed:
    """Every job on the nodes that its member ``place`` says, when there is room; the last one at its
    ``until``; each job is killed at its ``kill``."""
    name = "fixed"
    def __init__(self):
        self.kills, self.until = {}, {}
    def schedule(self, view):
        for job in view.arrived:
            if "kill" in job.job.extra:
                self.kills[job.id] = job.job.extra["kill"]
        starts = []
        for job in (view.queue if view.freed else view.arrived):
            place, until = job.job.extra["place"], job.job.extra.get("until", 0.0)
            if until > view.now:
                continue
            placed = view.place(job, among=((1 << job.nodes) - 1) << place)
            if not isinstance(placed, Hold):
                starts.append(placed)
        started = {placed.job.id for placed in starts}
        for job in view.queue:
            until = job.job.extra.get("until", 0.0)
            if 0.0 < until <= view.now and job.id not in started:
                starts.append(view.place(job, among=((1 << job.nodes) - 1) << job.job.extra["place"]))
        due = [i for i, at in self.kills.items() if at <= view.now]
        kills = [i for i in due if i in view.running and view.running[i].nodes]
        for i in due:
            del self.kills[i]
        times = [*self.kills.values(), *(j.job.extra.get("until", 0.0) for j in view.queue)]
        later = [at for at in times if at > view.now]
        return Pass(starts, kills, min(later, default=None))
'''

THEIRS = """
from batsim.batsim import BatsimScheduler
from procset import ProcSet

class Fixed(BatsimScheduler):
    def onSimulationBegins(self):
        assert not self.bs.storage_resources and self.bs.nb_resources == self.bs.nb_compute_resources
        self.kills, self.until, self.running = {}, {}, {}
    def onJobSubmission(self, job):
        extra = job.json_dict
        if "kill" in extra:
            self.kills[job.id] = extra["kill"]
            self.bs.wake_me_up_at(extra["kill"])
        if "until" in extra:
            self.until[job.id] = (extra["until"], job)
            self.bs.wake_me_up_at(extra["until"])
        else:
            self.start(job)
    def start(self, job):
        place = job.json_dict["place"]
        job.allocation = ProcSet((place, place + job.requested_resources - 1))
        self.running[job.id] = job
        self.bs.execute_jobs([job])
    def onJobCompletion(self, job):
        del self.running[job.id]
    def onJobsKilled(self, jobs):
        pass
    def onRequestedCall(self):
        now = self.bs.time()
        for i, (at, job) in list(self.until.items()):
            if at <= now:
                del self.until[i]
                self.start(job)
        for i, at in list(self.kills.items()):
            if at <= now:
                del self.kills[i]
                if i in self.running:
                    self.bs.kill_jobs([self.running[i]])
    def onNotifyEventMachineUnavailable(self, machines):
        assert all(i < NODES for i in machines)
    onNotifyEventMachineAvailable = onNotifyEventMachineUnavailable
""".replace("NODES", str(NODES))


class Books(Observer):
    """What was recorded, in a form that can be compared."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.reserved: dict[int, list[tuple[float, int]]] = {}

    def job_over(self, record: JobRecord) -> None:
        self.rows += io_rows(record)

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        for state in states:
            steps = self.reserved.setdefault(state.position, [])
            if (
                steps and abs(steps[-1][0] - now) < 1e-4
            ):  # what happens at one instant may come in two messages
                steps.pop()
            if (steps[-1][1] if steps else 0) != state.reserved_bytes:
                steps.append((now, state.reserved_bytes))


class Wire:
    """A pybatsim scheduler behind the proxy, everything in bytes as on a socket."""

    def __init__(self, inner: PybatsimProcess, injector: Injector) -> None:
        self._inner, self._proxy = inner, RawProxy(injector)

    def decide(self, request: m.Request) -> m.Reply:
        text = encode_request(request)
        passes = self._proxy.passes(text)
        asked = self._proxy.request(text)
        assert asked is text or not passes
        return decode_reply(
            self._proxy.reply(None if asked is None else self._inner.ask(asked), self._inner.ask)
        )


def random_storages(rng: random.Random, tight: bool) -> dict[str, dict[str, Any]]:
    size = (lambda: f"{rng.randint(26, 45)}MB") if tight else (lambda: "1GB")
    return {
        **{f"d{k}": {"filesystem": "dfs", "size": size(), "node": f"n{k}"} for k in range(NODES)},
        **{f"o{k}": {"filesystem": "lustre", "size": size(), "read": "10MBps"} for k in range(4)},
        **{f"b{k}": {"filesystem": "bb", "size": size(), "write": "40MBps"} for k in range(2)},
        **{f"v{k}": {"filesystem": "nvme", "size": size()} for k in range(2)},
        "x0": {"filesystem": "cache", "size": size(), "read": "50MBps"},
    }


def random_config(rng: random.Random, tight: bool) -> dict[str, Any]:
    """Where space is short only policies that don't draw: when they are tried again is the shells' affair."""
    return {
        "policy": rng.choice(POLICIES[2:] if tight else POLICIES),
        "seed": rng.randint(0, 99),
        "default_filesystem": "lustre",
        "filesystems": {
            "dfs": {"model": "dfs", "replication": rng.randint(1, 2), "locality": 0.5},
            "lustre": {"model": "pfs", "stripe_count": rng.randint(1, 4)},
            "bb": {"model": "burst_buffer", "backing": "lustre"},
            "nvme": {"model": "nvme_pool", "block_size": "5MB"},
            "cache": {"model": "cache", "backing": "lustre", "write": rng.choice(["around", "back"])},
        },
    }


def random_io(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.2:
        return {}
    if rng.random() < 0.2:
        return {"io_reads": rng.randint(0, 20 * MB), "io_writes": rng.randint(0, 10 * MB)}
    entries = []
    for name in rng.sample(["dfs", "lustre", "bb", "nvme", "cache"], rng.choice([1, 2, 3])):
        options: dict[str, Any] = {}
        if rng.random() < 0.4:
            options["timing"] = rng.choice(["overlap", "phases"])
        if name in ("dfs", "cache") and rng.random() < 0.4:
            options["data_set"] = rng.choice("ab")
        reads, writes = (rng.choice([0, rng.randint(1, 25 * MB)]) for _ in range(2))
        entries.append({"filesystem": name, "reads": reads, "writes": writes, "options": options})
    return {"io": entries}


IO_POLICIES = (
    "fair", "exclusive", "exclusive:chunk=3MB", "fcfs", "shortest_first:chunk=5MB", "round_robin:chunk=2MB",
    "min_dilation", "max_efficiency", "set10", "priority:of=started",
)  # fmt: skip


def enrich(
    seed: int, storages: dict[str, Any], config: dict[str, Any], jobs: list[Any], dynamic: bool
) -> None:
    """Half of the workloads with what came later: I/O policies, pieces, devices that share, data sets on
    every file system, purges, and storages that fail. Drawn apart, so that the seeds keep their workloads."""
    rng = random.Random(f"more of {seed}")
    if rng.random() < 0.5:
        return
    systems = config["filesystems"]
    if dynamic and rng.random() < 0.5:
        config["io_policy"] = rng.choice(IO_POLICIES)
        config["measure_io"] = config["io_policy"] == "fair"
    if dynamic and rng.random() < 0.3:
        config["chunk"] = rng.choice(["2MB", "9MB"])
    if rng.random() < 0.3:
        storages[f"o{rng.randrange(4)}"] |= {"shared_bandwidth": "8MBps", "mix_efficiency": "0.7"}
    if rng.random() < 0.3:
        systems[rng.choice(list(systems))]["efficiency"] = "1:1 2:0.9 6:0.4"
    if rng.random() < 0.5:
        _name_sets(rng, systems, jobs)
    if rng.random() < 0.4:
        config["policy"] = rng.choice(POLICIES[2:])  # as where space is short
        config["faults"] = {"fault": [_fault(rng, list(storages)) for _ in range(rng.randint(1, 3))]}
        for made in jobs:  # the proxy doesn't cut jobs without I/O
            profiles = [made["profile"], *made.get("children", {}).values()]
            io = [one for profile in profiles for one in (profile, *profile.get("io", []))]
            if not any(one.get(key) for one in io for key in ("reads", "writes", "io_reads", "io_writes")):
                made["profile"]["io_reads"] = rng.randint(1, MB)


def _name_sets(rng: random.Random, systems: dict[str, Any], jobs: list[Any]) -> None:
    if rng.random() < 0.3:
        systems["lustre"]["purge"] = rng.choice(["lru", "watermark:high=0.5,low=0.2", "age:after=2s"])
    for made in jobs:
        profiles = [made["profile"], *made.get("children", {}).values()]
        for entry in (e for profile in profiles for e in profile.get("io", []) if rng.random() < 0.5):
            options = entry["options"]
            options["data_set"] = rng.choice("abc")
            for name, choices in {
                "size": [None, None, rng.randint(1, 20 * MB)],
                "write": [None, "append", "overwrite", "replace"],
                "missing": [None, "fill", "wait", "error"],
                "life": [None, None, "job", "campaign", "3s"],
                "delete": [None, None, True],
                "pin": [None, None, True],
            }.items():
                chosen = rng.choice(choices)
                if chosen is not None:
                    options[name] = chosen


def _fault(rng: random.Random, names: list[str]) -> dict[str, Any]:
    fault = {"at": round(1 + rng.random() * 6, 3), "storage": rng.choice(names)}
    if rng.random() < 0.8:
        fault["lasts"] = round(0.3 + rng.random() * 4, 3)
    if rng.random() < 0.3:
        return fault | {"state": "degraded", "bandwidth": rng.choice([0.5, 0.25])}
    fault |= {"state": "down", "jobs": rng.choice(["wait", "fail", "restart"])}
    if rng.random() < 0.3:
        fault |= {"data": "lost", "jobs": rng.choice(["fail", "restart"])}
    return fault


def random_jobs(rng: random.Random, *, kills: bool) -> list[dict[str, Any]]:
    jobs, place = [], 0
    for k in range(rng.randint(2, 6)):
        nodes = rng.randint(1, 2)
        if place + nodes >= NODES - SPARE:
            break
        at = round(1 + rng.random() * rng.choice([0, 1, 1.4 if kills else 5]), rng.choice([0, 0, 3, 6]))
        more: dict[str, Any] = {"at": at, "walltime": rng.choice([None, 0.3, 2.5, 60])}
        kind = rng.random()
        seconds = rng.randint(1, 30) / 10
        if kind < 0.25:
            children = {f"{k}.{c}": {**work(0.7), **random_io(rng)} for c in range(2)}
            made = composed(
                f"{k}", list(children), children, nodes, repeat=rng.randint(1, 2), **random_io(rng), **more
            )
        elif kind < 0.35:
            made = job(f"{k}", nodes, profile=sleep(seconds), **random_io(rng), **more)
        else:
            made = job(f"{k}", nodes, seconds * 1e9, **random_io(rng), **more)
        made["job"]["place"] = place
        if kills and rng.random() < 0.4:
            # far enough apart: a wake-up can't be wished for the next 0.1 s; never when a job ends by itself:
            # which comes first is a matter of the nanoseconds that a message takes
            made["job"]["kill"] = round(2.5 + k + rng.random() * 0.5, rng.choice([1, 6])) + 0.000317
        jobs.append(made)
        place += nodes
    last = job("z", 1, 1e9, at=1.0)
    last["job"] |= {"place": place, "until": 100.0}
    return [*jobs, last]


def write_events(rng: random.Random, path: Path) -> Path:
    """A spare node and its disk are away for a while."""
    lines = []
    if rng.random() < 0.5:
        node, at = NODES - 1 - rng.randrange(SPARE), 1 + rng.randint(0, 5)
        for kind, when in (("unavailable", at), ("available", at + rng.randint(1, 8))):
            lines.append(f'{{"type": "machine_{kind}", "timestamp": {when}.5, "resources": "{node}"}}')
    path.write_text("\n".join(lines) + "\n")
    return path


def outcome(ran: Ran, books: Books) -> dict[str, Any]:
    return {
        "jobs": {
            name: (r.state, round(r.start, 4), round(r.start + r.runtime, 4)) for name, r in ran.jobs.items()
        },
        "rows": sorted(_without_waits(row) for row in books.rows),
        "reserved": {
            k: [(round(at, 3), size) for at, size in steps] for k, steps in books.reserved.items() if steps
        },
        "deadlock": ran.result.deadlock,
    }


def _without_waits(row: str) -> str:
    cells = row.rstrip("\n").split(",")
    return ",".join(cells[:11])


def differing(seed: int, folder: Path) -> str:
    """What differs between the ways to run the workload of this seed; empty if nothing does."""
    rng = random.Random(seed)
    tight, dynamic = rng.random() < 0.4, rng.random() < 0.7
    storages, config = random_storages(rng, tight), random_config(rng, tight)
    jobs = random_jobs(rng, kills=not tight)
    enrich(seed, storages, config, jobs, dynamic)
    folder.mkdir(parents=True, exist_ok=True)
    events = write_events(rng, folder / "events.txt")
    (folder / "ours.py").write_text(OURS)
    theirs = folder / "fixed.py"
    theirs.write_text(THEIRS)
    own = {**config, "validate": True, "queue": f"{folder}/ours.py:Fixed"}
    layers = Settings(flags=Layer("test", {**config, "validate": True}))

    def run(kind: str) -> dict[str, Any]:
        books = Books()

        def make(settings: Settings, files: Any, ran: Ran) -> m.DecisionProcess:
            if kind == "scheduler":
                return Scheduler(settings, files, observer=books)
            if kind == "through pybatsim":
                inner = BatfsScheduler(settings=settings, observer=books, say=lambda sentence: None)
                inner.core.make_files = files
                return PybatsimProcess(inner)
            injector = Injector(layers, make_files=files, observer=books)
            scheduler = PybatsimProcess(load_pybatsim(str(theirs)))
            if kind == "behind the proxy":
                return WithFileSystems(scheduler, injector)
            return Wire(scheduler, injector)

        read = [read_events(events, forward_unknown=False)]
        try:
            ran = simulate_tiny(
                folder, NODES, storages, jobs, own, dynamic=dynamic, process=make, events=read
            )
        except BatfsError as error:
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        return outcome(ran, books)

    # a set that goes by itself is heard of at once only where a job waits: our last one does
    timed = "3s" in str(jobs) or "age:" in str(config)
    kinds = ("scheduler", "through pybatsim", "behind the proxy", "behind the proxy, in bytes")
    results = {kind: run(kind) for kind in kinds}
    first = results["scheduler"]
    for kind, found in results.items():
        for part in (first.keys() | found.keys()) - ({"reserved"} if timed else set()):
            if found.get(part) != first.get(part):
                return f"seed {seed}: {kind}: {part}\n  {_apart(first.get(part), found.get(part))}"
    return ""


def _apart(one: Any, other: Any) -> str:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [k for k in {**one, **other} if one.get(k) != other.get(k)]
        return "\n  ".join(f"{k}: {one.get(k)} != {other.get(k)}" for k in keys[:6])
    if isinstance(one, list) and isinstance(other, list):
        here, there = ([x for x in a if x not in b][:4] for a, b in ((one, other), (other, one)))
        return f"only here {here}, only there {there}"
    return f"{one} != {other}"


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(first, first + count):
            said = differing(seed, Path(scratch) / str(seed % 7))
            if said:
                bad += 1
                print(said, flush=True)
    print(f"{count} workloads, {bad} differ")
