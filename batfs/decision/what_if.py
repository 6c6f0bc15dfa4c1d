"""What would it be with more of something? The same run once more on a machine that is larger in one respect.

``storage=unlimited`` (every file system), ``bb=unlimited``, ``bb=x2``, ``bb=6TB`` (the sizes of its
storages add up to that, in their proportions), ``bandwidth=x2`` (the links that only storages are reached
by). Nothing else changes: same jobs, policies, seed. Where jobs wait for storage this says how much of all
waiting, behind them as well, a larger one would remove.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from batfs.decision.experiment import Experiment, announced, load
from batfs.errors import InputError, unknown
from batfs.platform import Machine, Platform
from batfs.records import record, replace
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.storages import storage_table, with_overrides
from batfs.units import parse_size
from batfs.workload import requested_io

ALL: Final = "storage"
BANDWIDTH: Final = "bandwidth"
#: What is compared; all but the last are means and medians by their names in a run's summary.
FIGURES: Final = ("waiting_time", "turnaround_time", "bounded_slowdown")


@record
class WhatIf:
    """``target``: a file system, ``storage`` for all of them, or ``bandwidth``. One of ``factor`` and
    ``size`` (bytes) is set, or neither: then there is no limit."""

    text: str
    target: str
    factor: float | None = None
    size: int | None = None


def parse_what_if(text: str) -> WhatIf:
    """``bb=unlimited``, ``bb=x2``, ``bb=6TB``, ``bandwidth=x4``. InputError for what is none."""
    target, equals, value = text.partition("=")
    place = f"--what-if {text}"
    if not equals or not target or not value:
        raise InputError("expected WHAT=unlimited, WHAT=xFACTOR or FILESYSTEM=SIZE", place=place)
    if target == "nodes":
        hint = "make a larger platform with batfs platform new"
        raise InputError("nodes can't be added to a platform", place=place, hint=hint)
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
    try:
        return WhatIf(text, target, size=parse_size(value))
    except InputError as error:
        raise InputError(error.problem, place=place, hint=error.hint) from None


def changed(experiment: Experiment, settings: Settings, what: WhatIf) -> tuple[Experiment, Settings]:
    """The experiment and the settings of the run on the larger machine. InputError for an unknown file
    system."""
    if what.target == BANDWIDTH:
        assert what.factor is not None
        return replace(experiment, storage_bandwidth=what.factor * experiment.storage_bandwidth), settings
    config = settings.configuration(experiment.scheduler_config)
    loaded = load(experiment, config)
    storages = storage_table(with_overrides(announced(loaded.machine)[1], config.storages))
    systems = dict.fromkeys(s.filesystem or ALL for s in storages)
    if what.target != ALL and what.target not in systems:
        raise unknown("file system", what.target, [ALL, BANDWIDTH, *systems], place=f"--what-if {what.text}")
    mine = [s for s in storages if what.target in (ALL, s.filesystem)]
    whole = sum(s.capacity for s in mine)
    asked = 0
    if what.factor is None and what.size is None:
        asked = sum(_bytes(workload) for workload in loaded.workloads)
    sizes: dict[str, Mapping[str, Any]] = {}
    for storage in mine:
        size = storage.capacity + asked
        if what.factor is not None:
            size = round(storage.capacity * what.factor)
        elif what.size is not None:
            size = round(storage.capacity * what.size / whole) if whole else what.size // len(mine)
        sizes[storage.name] = {"size": str(size)}
    return experiment, settings.over(Layer(f"--what-if {what.text}", {"storages": sizes}))


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
    nodes = [r.host for r in machine.resources if r.role != "storage"]
    storages = [r for r in machine.resources if r.role == "storage"]
    between: set[int] = set()
    for k, host in enumerate(nodes):
        other = nodes[k - 1]
        if other != host:
            between |= {*platform.route(host, other).links, *platform.route(other, host).links}
    near = {r.name: r.host for r in machine.resources}
    own: set[int] = set()
    for storage in storages:
        node = near.get(storage.properties.get("node", ""), nodes[0] if nodes else None)
        if node is not None and node != storage.host:
            own |= {*platform.route(node, storage.host).links, *platform.route(storage.host, node).links}
    own -= between
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
