"""Many replays of one trace: policies x capacities x block sizes x answers x seeds."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TextIO

from batfs import units
from batfs.storage.policies import known_policies, make_policy
from batfs.storage.replay.metrics import Summary
from batfs.storage.replay.requests import RequestTrace
from batfs.storage.replay.run import Settings, run_replay
from batfs.storage.replay.system import read_storages
from batfs.storage.replay.waiting import make_when_full

# policies that need no options, in the order of the docs: what "all" means
ALL_POLICIES = (
    *("random", "round_robin", "first_fit", "best_fit", "worst_fit", "worst_fit_percent"),
    *("worst_case", "least_loaded", "max_bandwidth", "power_of_two", "locality", "lustre", "striped"),
    *("storalloc_random", "storalloc_round_robin", "storalloc_worst_fit", "storalloc_worst_case"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """The runs that differ by their seed only."""

    settings: Settings
    capacity: int
    summaries: Sequence[Summary]

    def mean(self, key: str) -> float:
        return statistics.fmean(getattr(s, key) for s in self.summaries)


def plan(
    systems: Sequence[str],
    policies: Sequence[str],
    *,
    scales: Sequence[float] = (1.0,),
    block_sizes: Sequence[int | None] = (None,),
    min_block_size: int = 0,
    when_full: Sequence[str] = ("refuse",),
    seeds: Iterable[int] = (0,),
) -> list[Settings]:
    """Every combination, seeds innermost. Names and options are checked here, before anything runs."""
    for policy in policies:
        make_policy(policy)
    for text in when_full:
        make_when_full(text)
    for system, scale in product(systems, scales):
        read_storages(system, scale=scale)
    every = product(systems, scales, when_full, block_sizes, policies, list(seeds))
    return [
        Settings(system, policy, seed, scale, block, min_block_size if block else 0, full)
        for system, scale, full, block, policy, seed in every
    ]


def expand(policies: Sequence[str]) -> list[str]:
    """``all`` as every policy that needs no options (and those of plugins), the rest as given, once each."""
    out: list[str] = []
    for text in policies:
        plugins = [n for n in known_policies() if n not in ALL_POLICIES and n != "weighted"]
        for name in (*ALL_POLICIES, *plugins) if text == "all" else (text,):
            if name not in out:
                out.append(name)
    return out


def run_sweep(
    settings: Sequence[Settings],
    trace: RequestTrace,
    *,
    processes: int = 1,
    done: Callable[[int], None] | None = None,
) -> list[Cell]:
    """Run them all, in ``processes`` processes; the order of the results is that of ``settings``.

    ``done`` is told after each run how many are finished.
    """
    summaries: list[Summary] = []
    for summary in _run(settings, trace, processes):
        summaries.append(summary)
        if done is not None:
            done(len(summaries))
    cells: dict[Settings, list[Summary]] = {}
    for setting, summary in zip(settings, summaries, strict=True):
        cells.setdefault(replace(setting, seed=0), []).append(summary)
    return [
        Cell(setting, found[0].total.capacity if found[0].total else 0, found)
        for setting, found in cells.items()
    ]


def _run(settings: Sequence[Settings], trace: RequestTrace, processes: int) -> Iterator[Summary]:
    if processes <= 1 or len(settings) <= 1:
        for setting in settings:
            yield run_replay(setting, trace).summary
        return
    with ProcessPoolExecutor(processes, initializer=_keep, initargs=(trace,)) as pool:
        yield from pool.map(_replay_kept, settings, chunksize=1)


_kept: list[RequestTrace] = []  # the trace, once in each process of the pool


def _keep(trace: RequestTrace) -> None:
    _kept[:] = [trace]


def _replay_kept(setting: Settings) -> Summary:
    return run_replay(setting, _kept[0]).summary


# ---- results ----------------------------------------------------------------------------------------------

CELL_COLUMNS: Sequence[str] = (
    *("system", "capacity", "when full", "block", "policy", "granted", "refused", "failed"),
    *("granted bytes", "delayed", "mean delay", "fragmentation", "most used %"),
)


def cell_row(cell: Cell) -> tuple[str, ...]:
    """One line of the table: means over the seeds (the largest, for the most used)."""
    s = cell.settings
    most = max((u.max_percent for run in cell.summaries for u in run.storages), default=0.0)
    return (
        s.system.rpartition("/")[2],
        units.format_size(cell.capacity),
        s.when_full,
        "" if s.block_size is None else units.format_size(s.block_size),
        s.policy,
        f"{cell.mean('granted'):g}",
        f"{cell.mean('refused'):g}",
        f"{cell.mean('failed'):g}",
        units.format_size(cell.mean("granted_bytes")),
        f"{cell.mean('delayed'):g}",
        f"{cell.mean('mean_delay'):.0f} s",
        f"{100 * cell.mean('fragmentation'):.1f} %",
        f"{most:.1f}",
    )


def run_rows(settings: Sequence[Settings], cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """One row per run, all numbers, in the order of the cells."""
    by_cell: dict[Settings, list[int]] = {}
    for setting in settings:
        by_cell.setdefault(replace(setting, seed=0), []).append(setting.seed)
    return [
        {
            "system": cell.settings.system,
            "policy": cell.settings.policy,
            "seed": seed,
            "scale": cell.settings.scale,
            "block_size": cell.settings.block_size,
            "min_block_size": cell.settings.min_block_size,
            "when_full": cell.settings.when_full,
        }
        | summary.numbers()
        for cell in cells
        for seed, summary in zip(by_cell[cell.settings], cell.summaries, strict=True)
    ]


def write_rows(stream: TextIO, rows: Sequence[dict[str, Any]]) -> None:
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
