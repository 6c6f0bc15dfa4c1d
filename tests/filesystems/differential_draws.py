"""What the differential test draws: machines with a file system of each model, jobs on them, and all that
may meet there. A seed's workload stays what it is: what came later is drawn from generators of its own.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from differential_sides import NODES, SPARE
from fs_tiny import composed, job, sleep, work

MB = 10**6
CHASSIS = {k: {"chassis": "abcde"[k // 2]} for k in range(NODES)}
AHEAD = ("ahead", "two_step")
POLICIES = ("round_robin", "random", "worst_fit", "best_fit", "first_fit")


class Case(NamedTuple):
    """A workload and its machine. ``dynamic``: dynamic jobs are on; ``events``: nodes that come and go, as
    Batsim's file of them; ``properties``: of nodes."""

    seed: int
    storages: dict[str, dict[str, Any]]
    config: dict[str, Any]
    jobs: list[dict[str, Any]]
    dynamic: bool
    events: str
    properties: Mapping[int, Mapping[str, str]]

    @property
    def timed(self) -> bool:
        """Whether data sets go by themselves: that is heard of at once only where a job waits, and behind the
        proxy our last one doesn't."""
        return "3s" in str(self.jobs) or "age:" in str(self.config)

    @property
    def paced(self) -> bool:
        """Whether anything moves piece by piece, each at a call of its own."""
        return any(word in str(self.config) for word in ("staging_rate", "staging_share", "rebuild"))

    @property
    def early(self) -> bool:
        """Whether a file system stages before jobs have nodes, which no scheduler behind the proxy can be
        told."""
        modes = [self.config.get("staging")]
        modes += [system.get("staging") for system in self.config["filesystems"].values()]
        return self.dynamic and any(mode in AHEAD for mode in modes)

    @property
    def patient(self) -> bool:
        """Whether jobs wait for near nodes, which no scheduler behind the proxy can know of."""
        return "patience" in str(self.config.get("node_selection"))

    @property
    def held(self) -> Case | None:
        """The same with what jobs themselves ask to be staged before they have nodes staged while they have
        them, as the proxy does; None if none does."""
        jobs = copy.deepcopy(self.jobs)
        asking = [e["options"] for e in _io_of(jobs) if e["options"].get("staging") in AHEAD]
        for options in asking:
            options["staging"] = "held"
        return self._replace(jobs=jobs) if asking else None


def draw(seed: int) -> Case:
    """The workload of this seed."""
    rng = random.Random(seed)
    tight, dynamic = rng.random() < 0.4, rng.random() < 0.7
    storages, config = random_storages(rng, tight), random_config(rng, tight)
    jobs = random_jobs(rng, kills=not tight)
    enrich(seed, storages, config, jobs, dynamic)
    events = random_events(rng)
    properties = widen(seed, storages, config, jobs, dynamic)
    properties = loosen(seed, config, jobs, dynamic, properties)
    return Case(seed, storages, config, jobs, dynamic, events, properties)


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
                more = rng.randint(1, MB)
                if "io" in made["profile"]:
                    made["profile"]["io"][0]["reads"] = more
                else:
                    made["profile"]["io_reads"] = more


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


def random_events(rng: random.Random) -> str:
    """A spare node and its disk are away for a while."""
    lines = []
    if rng.random() < 0.5:
        node, at = NODES - 1 - rng.randrange(SPARE), 1 + rng.randint(0, 5)
        for kind, when in (("unavailable", at), ("available", at + rng.randint(1, 8))):
            lines.append(f'{{"type": "machine_{kind}", "timestamp": {when}.5, "resources": "{node}"}}')
    return "\n".join(lines) + "\n"


def widen(
    seed: int, storages: dict[str, Any], config: dict[str, Any], jobs: list[Any], dynamic: bool
) -> dict[int, dict[str, str]]:
    """Two thirds of the workloads with what came last: staging in every mode and its limits, pools with
    something behind them, Rabbits, node selections, rebuilds, sets that lie there from the beginning, files
    and what they cost. The nodes' properties."""
    rng = random.Random(f"wider {seed}")
    if rng.random() < 0.33:
        return {}
    systems = config["filesystems"]
    if rng.random() < 0.5:
        _add_rabbit(rng, storages, systems, jobs)
    if rng.random() < 0.5:
        systems["nvme"]["backing"] = "lustre"
    if rng.random() < 0.6:
        _stage(rng, config, dynamic)
    if rng.random() < 0.3:
        selections = ("data_locality", "near_storage", "data_locality:level=chassis", "topology")
        config["node_selection"] = rng.choice(selections[:3])
    if rng.random() < 0.3:
        config["data_sets"] = [
            {"name": name, "size": rng.randint(1, 10 * MB), "filesystem": rng.choice(["lustre", "dfs"])}
            for name in rng.sample("abc", rng.randint(1, 2))
        ]
    if rng.random() < 0.4:
        _rebuild(rng, config, storages)
    if rng.random() < 0.4:
        _files(rng, jobs)
    if rng.random() < 0.3:
        systems[rng.choice(list(systems))]["missing"] = rng.choice(["fill", "wait", "error"])
    return CHASSIS


def _io_of(jobs: list[Any]) -> list[dict[str, Any]]:
    profiles = [p for made in jobs for p in (made["profile"], *made.get("children", {}).values())]
    return [entry for profile in profiles for entry in profile.get("io", [])]


def _add_rabbit(
    rng: random.Random, storages: dict[str, Any], systems: dict[str, Any], jobs: list[Any]
) -> None:
    """One in each chassis; some entries of buffers are of these."""
    for k in range(NODES // 2):
        storages[f"r{k}"] = {"filesystem": "rabbit", "size": "1GB", "chassis": "abcde"[k], "read": "30MBps"}
    kind = rng.choice(["xfs", "lustre", "gfs2"])
    systems["rabbit"] = {"model": "rabbit", "backing": "lustre", "type": kind}
    if kind == "lustre" and rng.random() < 0.5:
        systems["rabbit"]["servers"] = rng.randint(1, 3)
    for entry in _io_of(jobs):
        if entry["filesystem"] == "bb" and rng.random() < 0.7:
            entry["filesystem"] = "rabbit"


def loosen(
    seed: int,
    config: dict[str, Any],
    jobs: list[Any],
    dynamic: bool,
    properties: Mapping[int, Mapping[str, str]],
) -> Mapping[int, Mapping[str, str]]:
    """Half of the workloads with jobs that say themselves when they are staged, with patience for those whose
    data is there, and with nodes that batfs chooses. The nodes' properties."""
    rng = random.Random(f"looser {seed}")
    if rng.random() < 0.5:
        return properties
    if rng.random() < 0.6:
        for entry in _io_of(jobs):
            if entry["filesystem"] in ("bb", "nvme", "cache", "rabbit") and rng.random() < 0.6:
                entry["options"]["staging"] = rng.choice(("held", *AHEAD) if dynamic else ("held",))
    if rng.random() < 0.5:
        config["staged_patience"] = rng.choice([0, 0.4, 2])
    if rng.random() < 0.5:
        return properties
    selection = rng.choice(["data_locality", "data_locality:level=chassis", "near_storage"])
    if rng.random() < 0.4:
        selection += (",patience=" if ":" in selection else ":patience=") + rng.choice(["0.7s", "3s"])
    config["node_selection"] = selection
    *free, last = [made["job"] for made in jobs]
    last["place"] = NODES - SPARE - 1
    for one in free:
        one["free"] = last["place"]
    return CHASSIS


def _stage(rng: random.Random, config: dict[str, Any], dynamic: bool) -> None:
    """The modes without nodes need dynamic jobs."""
    modes = ("held", "ahead", "two_step") if dynamic else ("held",)
    systems = config["filesystems"]
    if rng.random() < 0.4:
        config["staging"] = rng.choice(modes)
    for name in ("bb", "nvme", "cache", "rabbit"):
        system = systems.get(name)
        if system is None or "backing" not in system:
            continue
        if rng.random() < 0.5:
            system["staging"] = rng.choice(modes)
        if rng.random() < 0.3:
            system["max_staging"] = rng.choice([0, 1, 2])
        limit = rng.random()
        if limit < 0.2 and dynamic:
            system["staging_share"] = rng.choice([0.3, 0.8])
        elif limit < 0.4 and dynamic:
            system["staging_rate"] = rng.choice(["5MBps", "25MBps"])


def _rebuild(rng: random.Random, config: dict[str, Any], storages: Mapping[str, Any]) -> None:
    """Degraded for a while, and others send it what it lost."""
    name = rng.choice([one for one in storages if one[0] in "od"])
    fault = {"at": round(1 + rng.random() * 4, 3), "storage": name, "state": "degraded", "bandwidth": 0.5}
    fault["rebuild"] = rng.randint(1, 20 * MB)
    fault |= rng.choice([{}, {"rebuild_rate": "4MBps"}, {"rebuild_time": "5s"}, {"lasts": 2.5}])
    config["policy"] = rng.choice(POLICIES[2:])
    config.setdefault("faults", {}).setdefault("fault", []).append(fault)


def _files(rng: random.Random, jobs: list[Any]) -> None:
    for entry in _io_of(jobs):
        if rng.random() < 0.5:
            entry["files"] = rng.choice([1, 3, 20])
            entry["pattern"] = rng.choice(["shared", "per_node"])
        if rng.random() < 0.2:
            entry["operations"] = {"open": rng.randint(1, 9), "stat": 2}
