"""One replay with all its settings, and its results as text, CSV and JSON."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import orjson

from batfs import files, json_text, units
from batfs.storage.policies import make_policy
from batfs.storage.replay.engine import Outcome, replay
from batfs.storage.replay.metrics import Summary, Use
from batfs.storage.replay.requests import CAPACITY_FROM, RequestTrace, TraceRequest
from batfs.storage.replay.system import read_storages
from batfs.storage.replay.waiting import make_when_full
from batfs.storage.table import StorageTable


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is, besides its trace: all of it text and numbers, so that a run can be repeated."""

    system: str
    policy: str
    seed: int = 0
    scale: float = 1.0
    block_size: int | None = None
    min_block_size: int = 0
    when_full: str = "refuse"
    validate: bool = False


@dataclass(slots=True)
class Run:
    """A finished replay. ``outcomes`` and ``series`` are empty unless asked for."""

    settings: Settings
    trace: RequestTrace
    table: StorageTable
    summary: Summary
    outcomes: list[Outcome]
    series: list[tuple[float, int, int, int]]


def run_replay(
    settings: Settings,
    trace: RequestTrace,
    *,
    details: bool = False,
    done: Callable[[int], None] | None = None,
) -> Run:
    """Replay ``trace`` as ``settings`` say; with ``details`` keep every outcome and every change.

    ``done`` is told now and then how many requests have arrived.
    """
    table = read_storages(settings.system, scale=settings.scale)
    outcomes: list[Outcome] = []
    series: list[tuple[float, int, int, int]] = []
    summary = replay(
        table,
        trace.requests if done is None else _told(trace.requests, done),
        make_policy(settings.policy),
        seed=settings.seed,
        block_size=settings.block_size,
        min_block_size=settings.min_block_size,
        when_full=make_when_full(settings.when_full),
        outcome=outcomes.append if details else None,
        series=series if details else None,
        validate=settings.validate,
    )
    return Run(settings, trace, table, summary, outcomes, series)


def _told(requests: Sequence[TraceRequest], done: Callable[[int], None]) -> Iterator[TraceRequest]:
    for number, request in enumerate(requests):
        if number % 1000 == 0:
            done(number)
        yield request


def to_json(run: Run) -> Mapping[str, Any]:
    """The run as one object: settings, where its requests came from, results."""
    s, t = run.settings, run.trace
    return {
        "settings": {
            "system": s.system,
            "policy": s.policy,
            "seed": s.seed,
            "scale": s.scale,
            "block_size": s.block_size,
            "min_block_size": s.min_block_size,
            "when_full": s.when_full,
        },
        "trace": {
            "source": t.source,
            "requests": len(t.requests),
            "records": t.records,
            "without_bytes": t.without_bytes,
            "no_length": t.no_length,
            "merged": t.merged,
            "capacity_from": t.capacity_from,
            "zone": t.zone,
        },
        "results": run.summary.to_json(),
    }


def write_outputs(prefix: str, run: Run) -> list[Path]:
    """``<prefix>_summary.json``, ``_uses.csv``, ``_grants.csv`` and ``_series.csv``; returns their paths.

    Each appears whole or not at all. InputError when the directory can't be written.
    """
    with files.holding(prefix, "alloc"):
        return _write_outputs(prefix, run)


def _write_outputs(prefix: str, run: Run) -> list[Path]:
    paths = {
        name: Path(f"{prefix}_{name}") for name in ("summary.json", "uses.csv", "grants.csv", "series.csv")
    }
    files.write_text(
        paths["summary.json"], json_text.dumps(to_json(run), option=orjson.OPT_INDENT_2).decode() + "\n"
    )
    with files.writing(paths["uses.csv"]) as stream:
        _write_uses(stream, run.summary)
    with files.writing(paths["grants.csv"]) as stream:
        _write_grants(stream, run)
    with files.writing(paths["series.csv"]) as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("time", "storage", "name", "capacity", "used_bytes", "allocations"))
        storages = run.table
        rows.writerows(
            (time, index, storages[index].name, storages[index].capacity, used, allocations)
            for time, index, used, allocations in run.series
        )
    return list(paths.values())


def _write_uses(stream: TextIO, summary: Summary) -> None:
    total = [] if summary.total is None else [summary.total]
    kinds = [("storage", u) for u in summary.storages] + [("group", u) for u in summary.groups]
    rows = [{"kind": kind} | use.row() for kind, use in [*kinds, *(("all", u) for u in total)]]
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _write_grants(stream: TextIO, run: Run) -> None:
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(
        "request state arrival start end delay size blocks tries storages reason".split()  # noqa: SIM905
    )
    for outcome in run.outcomes:
        request, granted = outcome.request, not math.isnan(outcome.start)
        rows.writerow(
            (
                request.key,
                outcome.state,
                request.arrival,
                outcome.start if granted else "",
                outcome.start + request.duration if granted else "",
                outcome.start - request.arrival if granted else "",
                request.size,
                outcome.blocks,
                outcome.tries,
                " ".join(f"{run.table[s.index].name}:{s.size}" for s in outcome.shares),
                outcome.reason,
            )
        )


# ---- for a person -----------------------------------------------------------------------------------------


def describe(run: Run) -> str:
    """The settings in two lines: what was replayed, on what, and what stands for what."""
    s, t = run.settings, run.trace
    block = "" if s.block_size is None else f", blocks of {units.format_size(s.block_size)}"
    merged = f"merged from {t.records} records" if t.merged else "one a record"
    capacity = int(run.table.capacities.sum())
    stands = CAPACITY_FROM[t.capacity_from]
    brief = f"; {t.no_length} of no length made 1 s" if t.no_length else ""
    return (
        f"{len(t.requests)} requests ({merged}) of {t.source}: capacity from {stands}, times in {t.zone}"
        f"{brief}\n"
        f"on {len(run.table)} storages of {len(run.table.group_names)} nodes, {units.format_size(capacity)}; "
        f"policy {s.policy}, seed {s.seed}{block}, when full: {s.when_full}"
    )


def totals(summary: Summary) -> list[tuple[str, str, str]]:
    """Rows (what, requests, bytes) of the table of results."""
    s, size = summary, units.format_size
    delays = f"mean {s.mean_delay:.0f} s, most {s.max_delay:.0f} s" if s.delayed else ""
    return [
        ("requested", str(s.requests), size(s.requested_bytes)),
        ("granted", str(s.granted), size(s.granted_bytes)),
        ("refused", str(s.refused), size(s.refused_bytes)),
        ("failed", str(s.failed), size(s.failed_bytes)),
        ("  though the bytes were free", str(s.fragmented), ""),
        ("delayed", str(s.delayed), delays),
        ("split", str(s.split), f"{s.blocks} blocks granted in all"),
        (
            "fragmentation",
            f"{100 * s.fragmentation:.1f} %",
            "how much smaller the largest hole is than it could be",
        ),
    ]


def use_row(use: Use) -> tuple[str, ...]:
    """One line of the table of storages."""
    return (
        use.name,
        units.format_size(use.capacity),
        f"{use.mean_allocations:.2f}",
        str(use.max_allocations),
        units.format_size(use.mean_used),
        f"{use.mean_percent:.1f}",
        units.format_size(use.max_used),
        f"{use.max_percent:.1f}",
    )


USE_COLUMNS: Sequence[str] = (
    *("name", "capacity", "allocations", "most"),
    *("used, mean", "%", "used, most", "%"),
)
