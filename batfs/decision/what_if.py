"""What would it be with more of something? The same run once more on a machine that is larger in one respect.

``storage=unlimited`` (every file system), ``bb=unlimited``, ``bb=x2``, ``bb=6TB`` (a file system, whose
storages then hold that together in their proportions, or a single storage), ``bandwidth=x2`` (the links that
only storages are reached by, and what the storages say of their bandwidths), ``nodes=x2``, ``nodes=64``,
``nodes=unlimited`` (doubled until no job waits for nodes). Nothing else changes: same jobs, policies, seed.
Where jobs wait for storage this says how much of all waiting, behind them as well, a larger one would remove.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batfs.decision.bandwidths import own_links
from batfs.decision.experiment import Experiment, Loaded, announced, load
from batfs.errors import InputError, nearest
from batfs.platform import Machine, Platform
from batfs.records import record, replace
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.storages import shared_out, storage_table, with_overrides
from batfs.units import parse_bandwidth, parse_size
from batfs.workload import requested_io
from batfs.workload.io import MOST_BYTES
from batfs.workload.model import Workload

ALL: Final = "storage"
BANDWIDTH: Final = "bandwidth"
NODES: Final = "nodes"
#: What is compared; all but the last are means and medians by their names in a run's summary.
FIGURES: Final = ("waiting_time", "turnaround_time", "bounded_slowdown")
_BANDWIDTHS: Final = ("read_bandwidth", "write_bandwidth", "network_bandwidth")
#: More nodes than any machine has: what would need them is a slip.
MOST_NODES: Final = 1_000_000


@record
class WhatIf:
    """``target``: a file system or storage, ``storage`` for all of them, ``nodes``, ``bandwidth``. One of
    ``factor`` and ``size`` (bytes, or how many nodes) is set, or neither: then there is no limit."""

    text: str
    target: str
    factor: float | None = None
    size: int | None = None


def parse_what_if(text: str) -> WhatIf:
    """``bb=unlimited``, ``bb=x2``, ``bb=6TB``, ``bandwidth=x4``, ``nodes=64``. InputError for others."""
    target, equals, value = text.partition("=")
    place = f"--what-if {text}"
    if not equals or not target or not value:
        raise InputError(
            "expected WHAT=unlimited, WHAT=xFACTOR, FILESYSTEM=SIZE or nodes=NUMBER", place=place
        )
    if value == "unlimited" and target != BANDWIDTH:
        return WhatIf(text, target)
    if value.startswith("x"):
        try:
            factor = float(value[1:])
        except ValueError:
            factor = math.nan
        if not (factor > 0 and math.isfinite(factor)):
            raise InputError(f"{value!r} is no factor above 0, such as x2", place=place)
        return WhatIf(text, target, factor=factor)
    if target == BANDWIDTH:
        raise InputError(f"{value!r} is no factor such as x2", place=place)
    if target == NODES:
        count = int(value) if value.isascii() and value.isdigit() and len(value) < 9 else 0
        if not 1 <= count <= MOST_NODES:
            raise InputError(
                f"{value!r} is no number of nodes from 1 to {MOST_NODES}, nor a factor such as x2",
                place=place,
            )
        return WhatIf(text, target, size=count)
    try:
        return WhatIf(text, target, size=parse_size(value))
    except InputError as error:
        raise InputError(error.problem, place=place, hint=error.hint) from None


def changed(
    experiment: Experiment, settings: Settings, what: WhatIf, loaded: Loaded | None = None
) -> tuple[Experiment, Settings]:
    """The experiment and the settings of the run on the larger machine; ``nodes=unlimited`` is twice what is
    here. InputError for an unknown file system or storage, and for nodes that can't be added."""
    config = settings.configuration(experiment.scheduler_config)
    loaded = loaded or load(experiment, config)
    resources = with_overrides(announced(loaded.machine)[1], config)
    layer = f"--what-if {what.text}"
    if what.target == BANDWIDTH:
        assert what.factor is not None
        told = {
            r.name: {k: repr(what.factor * parse_bandwidth(v)) for k in _BANDWIDTHS if (v := r.property(k))}
            for r in resources
        }
        faster = replace(experiment, storage_bandwidth=what.factor * experiment.storage_bandwidth)
        return faster, settings.over(Layer(layer, {"storages": {n: t for n, t in told.items() if t}}))
    if what.target == NODES:
        here = loaded.machine.nb_compute
        wanted = what.size or max(1, round(here * (what.factor or 2.0)))
        if wanted > MOST_NODES:
            raise InputError(f"{wanted} nodes are more than {MOST_NODES}", place=layer)
        more = replace(experiment, nodes=wanted, mmax=0, mmax_workload=False)
        if wanted > here:
            load(more, config)  # whether nodes can be added at all
        return more, settings
    storages = storage_table(resources)
    systems = dict.fromkeys(s.filesystem or ALL for s in storages)
    names = [s.name for s in storages]
    if what.target != ALL and what.target not in systems and what.target not in names:
        known = [ALL, NODES, BANDWIDTH, *systems]
        near = nearest(what.target, [*known, *names])
        raise InputError(
            f"unknown file system {what.target!r}; known: {', '.join(known)}, and each storage",
            place=layer,
            hint=f"did you mean {near!r}?" if near else None,
        )
    mine = [s for s in storages if what.target in (ALL, s.filesystem)] or [
        s for s in storages if s.name == what.target
    ]
    capacities = [s.capacity for s in mine]
    if what.size is not None:
        sizes = shared_out(what.size, capacities)
    elif what.factor is not None:
        sizes = [round(capacity * what.factor) for capacity in capacities]
    else:
        asked = sum(_bytes(workload) for workload in loaded.workloads)
        sizes = [min(capacity + asked, MOST_BYTES) for capacity in capacities]
    over = {s.name: {"size": str(size)} for s, size in zip(mine, sizes, strict=True)}
    return experiment, settings.over(Layer(layer, {"storages": over}))


def outcomes(
    wishes: Sequence[WhatIf], experiment: Experiment, settings: Settings, before: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The :func:`outcome` of each wish; ``before``: the summary of the run on the machine as it is."""
    from batfs.decision.run import run

    found = []
    for what in wishes:
        larger, under = changed(experiment, settings, what)
        after = run(larger, under, None).summary
        if what.target == NODES and what.factor is None and what.size is None:
            most = min(MOST_NODES, asked_nodes(load(experiment, settings.configuration()).workloads))
            while _lacks_nodes(after) and (larger.nodes or most) < most:
                larger = replace(larger, nodes=min(2 * (larger.nodes or most), most))
                after = run(larger, under, None).summary
        found.append(outcome(what, before, after))
        if what.target == NODES:
            found[-1]["nodes"] = after["compute_nodes"]
    return found


def _lacks_nodes(summary: Mapping[str, Any]) -> bool:
    return any(wait["cause"] in ("nodes", "behind_nodes") for wait in summary["waited_for"])


def asked_nodes(workloads: Sequence[Workload]) -> int:
    """With so many nodes all jobs can run at once."""
    return sum(job.requested_nodes for workload in workloads for job in workload.jobs)


def _bytes(workload: Any) -> int:
    """All that the jobs of a workload may hold at once, and more: each profile's bytes, copies included, a
    job."""
    total = 0
    for job in workload.jobs:
        names = [job.profile]
        while names:
            profile = workload.profiles[names.pop()]
            names += getattr(profile, "sequence", ())
            total += sum(part.reads + part.writes for part in requested_io(profile))
    # copies and staging hold a job's bytes more than once
    return 16 * total


def faster(platform: Platform, machine: Machine, factor: float) -> None:
    """Multiply the bandwidth of the links by which only storages are reached: those on routes between nodes
    and storages that no two nodes share. InputError where there is none."""
    own = {k for both in own_links(platform, machine).values() for links in both for k in links}
    if not own:
        raise InputError("no link leads to storages alone, so none can be made faster", file=platform.file)
    for index in own:
        link = platform.links[index]
        platform.links[index] = replace(link, bandwidth=link.bandwidth * factor)
        platform.bandwidths[index] = link.bandwidth * factor


def outcome(what: WhatIf, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of both runs and their differences, as ``batfs run --json`` prints them."""
    found: dict[str, Any] = {"what_if": what.text}
    for name in FIGURES:
        old, new = before[name]["mean"], after[name]["mean"]
        difference = None if old is None or new is None else new - old
        found[f"mean_{name}"] = {"with": new, "difference": difference}
    found["makespan"] = {"with": after["makespan"], "difference": after["makespan"] - before["makespan"]}
    rejected = [summary["states"].get("REJECTED", 0) for summary in (before, after)]
    found["rejected"] = {"with": rejected[1], "difference": rejected[1] - rejected[0]}
    return found
