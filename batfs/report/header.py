"""What a report is of, for somebody who wasn't there: machine, workloads, policies, file systems, and what
holds the jobs up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batfs.report.groups import Group
from batfs.report.run import Run
from batfs.scheduling.waits import CAUSES
from batfs.units import format_bandwidth, format_size


@dataclass(frozen=True, slots=True)
class Header:
    """``facts``: what and how, as pairs; ``systems``: a row per file system; ``bottleneck``: a sentence."""

    facts: list[tuple[str, str]]
    systems: list[tuple[str, ...]]
    bottleneck: str


SYSTEM_COLUMNS = ("file system", "storages", "capacity", "read bandwidth", "write bandwidth")


def header(groups: Sequence[Group]) -> Header:
    """Of all runs of a report."""
    runs = [run for group in groups for run in group.runs]
    first = runs[0]
    return Header(_facts(groups, runs), _systems(first), bottleneck(groups))


def _facts(groups: Sequence[Group], runs: Sequence[Run]) -> list[tuple[str, str]]:
    facts = []
    machines = list(dict.fromkeys(_machine(run) for run in runs))
    facts.append(("machine" if len(machines) == 1 else "machines", "; ".join(machines)))
    works = list(dict.fromkeys(_workload(run) for run in runs))
    if len(works) > 3:
        works = [f"{len(works)} drawn from {', '.join(sorted({w.rpartition(', ')[0] or w for w in works}))}"]
    facts.append(("workload" if len(works) == 1 else "workloads", "; ".join(works)))
    for key, name in (("policy", "allocation policy"), ("queue", "queue policy")):
        values = list(dict.fromkeys(run.settings[key] for run in runs if key in run.settings))
        if values:
            facts.append((name if len(values) == 1 else _plural(name), ", ".join(values)))
    seeds = sorted({int(run.settings["seed"]) for run in runs if run.settings.get("seed", "").isdigit()})
    if seeds:
        facts.append(("seed" if len(seeds) == 1 else "seeds", _listed(seeds)))
    if len(groups) > 1 or len(runs) > 1:
        facts.append(("runs", f"{len(runs)} of {len(groups)} setting{'s' * (len(groups) > 1)}"))
    version = first_text(runs[0].provenance, "batfs")
    if version:
        facts.append(("simulated by", f"batfs {version}"))
    return facts


def _plural(name: str) -> str:
    return name[:-1] + "ies" if name.endswith("y") else name + "s"


def first_text(provenance: Mapping[str, Any], key: str) -> str:
    """A member of provenance that is a text, or nothing."""
    value = provenance.get(key)
    return value if isinstance(value, str) else ""


def _inputs(run: Run) -> list[str]:
    given = run.provenance.get("inputs")
    return list(given) if isinstance(given, Mapping) else []


def _machine(run: Run) -> str:
    names = [Path(name).name for name in _inputs(run) if name.endswith(".xml")]
    storages = len(run.storages.ids)
    told = f"{run.nodes} node{'s' * (run.nodes != 1)}, {storages} storage{'s' * (storages != 1)}"
    return f"{names[0]}: {told}" if names else told


def _workload(run: Run) -> str:
    names = [Path(name).name for name in _inputs(run) if not name.endswith((".xml", ".py"))]
    return f"{', '.join(names)}, {len(run.jobs)} jobs" if names else f"{len(run.jobs)} jobs"


def _listed(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds[:12])) + (", …" if len(seeds) > 12 else "")


def _systems(run: Run) -> list[tuple[str, ...]]:
    """A row per file system of :data:`SYSTEM_COLUMNS`."""
    by_system: dict[str, list[int]] = {}
    for ident in run.storages.ids:
        by_system.setdefault(run.storages.filesystem(ident), []).append(ident)
    own = bandwidths(run)
    rows = []
    for name, idents in sorted(by_system.items()):
        known = [own[run.storages.name(i)] for i in idents if run.storages.name(i) in own]
        sums = [format_bandwidth(sum(both[k] for both in known)) if known else "–" for k in (0, 1)]
        size = format_size(sum(run.storages.capacity(i) for i in idents))
        rows.append((name, str(len(idents)), size, *sums))
    return rows


def bandwidths(run: Run) -> dict[str, tuple[float, float]]:
    """Bytes/s that each storage can be read and written with, by name, where the run's files say so."""
    results = run.provenance.get("results")
    given = results.get("storage_bandwidths") if isinstance(results, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    return {str(name): (float(both[0]), float(both[1])) for name, both in given.items()}


def bottleneck(groups: Sequence[Group]) -> str:
    """What the jobs waited for, over the runs of each setting, in a sentence."""
    found = {group.label: shares for group in groups if (shares := _shares(group.runs)) is not None}
    waiting = {label: shares for label, shares in found.items() if shares}
    if not waiting:
        return "No job waited: nothing is short." if found else ""
    firsts: dict[tuple[str, str], list[str]] = {}
    for label, shares in waiting.items():
        firsts.setdefault(next(iter(shares)), []).append(label)
    if len(firsts) > 1:
        parts = [
            f"{_named(*key)} under {', '.join(labels[:4])}{' and others' if len(labels) > 4 else ''}"
            for key, labels in sorted(firsts.items(), key=lambda item: -len(item[1]))
        ]
        return f"What holds most jobs up depends on the setting: {'; '.join(parts)}."
    order = dict.fromkeys(key for shares in waiting.values() for key in shares)
    told = []
    for key in order:
        each = [one.get(key, 0.0) for one in waiting.values()]
        if max(each) >= 0.005:
            told.append(f"{_named(*key)} ({_range(each)})")
    first = _named(*next(iter(firsts)))
    if len(told) == 1:
        return f"All waiting is for {first}, or behind jobs that wait for it."
    where = " under every setting" if len(waiting) > 1 else ""
    said = ", ".join(told[:4])
    return (
        f"What holds jobs up{where} is {first}. Of all waiting, directly or behind a job that waits: {said}."
    )


def _range(shares: Sequence[float]) -> str:
    low, high = f"{100 * min(shares):.0f}", f"{100 * max(shares):.0f}"
    return f"{low}\N{NO-BREAK SPACE}%" if low == high else f"{low} to {high}\N{NO-BREAK SPACE}%"


_KIN = {"behind_nodes": "nodes", "behind_storage": "storage", "staging": "storage"}


def _shares(runs: Sequence[Run]) -> dict[tuple[str, str], float] | None:
    """Of one setting: the shares of all waiting by what it is for, itself or behind a job that waits for it,
    the largest first; None where no file says."""
    seconds: dict[tuple[str, str], float] = {}
    known = False
    for run in runs:
        results = run.provenance.get("results")
        waited = results.get("waited_for") if isinstance(results, Mapping) else None
        if isinstance(waited, list):
            known = True
            for one in waited:
                key = _KIN.get(one["cause"], one["cause"]), one["file_system"]
                seconds[key] = seconds.get(key, 0.0) + one["seconds"]
    every = sum(seconds.values())
    if not known:
        return None
    ranked = sorted(seconds.items(), key=lambda item: (-item[1], item[0]))
    return {key: value / every for key, value in ranked} if every else {}


def _named(cause: str, system: str) -> str:
    if cause == "storage":
        return f"space in {system}" if system else "space on storages"
    return CAUSES[cause].title if cause in CAUSES else cause
