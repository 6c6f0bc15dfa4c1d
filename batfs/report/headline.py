"""Which figures a table shows, and a comparison tests, when nobody says which: one list for both ends.

Before its first run a comparison says how many tests it will make at most, and afterwards it makes them: both
go by the lists here, of figures that are always shown, and of those that some settings let some runs tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from batfs.report.run import Run
from batfs.report.statistics import THRESHOLD, summarize

#: What settings may let runs do (see ``batfs.campaign.check``).
STAGED: Final = "staged"
WATCHED: Final = "watched"

HEADLINE: Final = (
    "mean_waiting_time",
    "p95_waiting_time",
    "mean_bounded_slowdown",
    "mean_turnaround_time",
    "makespan",
    "node_utilisation",
    "mean_io_time",
    "mean_io_slowdown",
    "mean_storage_waiting_time",
    "storage_utilisation",
    "storage_imbalance",
    "staged_bytes",
    "refused_jobs",
)

OF_TRANSFERS: Final = (
    "mean_transfer_slowdown",
    "mean_dilation",
    "max_dilation",
    "system_efficiency",
    "idle_bandwidth",
)


@dataclass(frozen=True, slots=True)
class Conditional:
    """Figures that are shown where a run tells them. ``needs``: what settings must let runs do for that;
    ``there``: whether a run may tell them."""

    names: tuple[str, ...]
    needs: str
    there: Callable[[Run], bool]


CONDITIONAL: Final = (
    Conditional(("staging_node_hours",), STAGED, lambda run: run.stages_in),
    # an I/O policy, ``measure_io``, pieces of transfers, limits of staging
    Conditional(OF_TRANSFERS, WATCHED, lambda run: run.io_times is not None),
)


def headline(runs: Iterable[Run], threshold: float = THRESHOLD) -> tuple[str, ...]:
    """The figures that a table of these runs shows when nobody says which."""
    runs = list(runs)
    found = [*HEADLINE]
    for more in CONDITIONAL:
        known = [summarize(run, threshold) for run in runs if more.there(run)]
        found += [name for name in more.names if any(not math.isnan(one[name]) for one in known)]
    return tuple(found)


def possible(let: Collection[str] = ()) -> tuple[str, ...]:
    """The most that :func:`headline` can find in runs whose settings ``let`` them do that much."""
    return (*HEADLINE, *(name for more in CONDITIONAL if more.needs in let for name in more.names))
