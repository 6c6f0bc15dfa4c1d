"""What others got: the paper's figures, and runs of its artifact.

``PAPER``: Kopanski & Rzadca 2021, the whole log of 28,453 jobs, as read off their text and plots (those
marked about are read off a plot). ``ARTIFACT``: the artifact's schedulers on Batsim 4.2.1 and SimGrid 3.34,
made again for comparison; plan-2 never met its limit of wall-clock time there.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from batfs.errors import InputError
from batfs.texts import read_text

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Reference:
    """Mean waiting time (s) and mean bounded slowdown; ``about``: read off a plot."""

    mean_waiting_time: float
    mean_bounded_slowdown: float
    about: bool = False


PAPER = {
    "fcfs": Reference(1565 * HOUR, 5300, True),
    "fcfs-easy": Reference(431 * HOUR, 1200, True),
    "filler": Reference(5.79 * HOUR, 17.92),
    "fcfs-bb": Reference(4.04 * HOUR, 10.97),
    "sjf-bb": Reference(3.86 * HOUR, 9.69),
    "plan-1": Reference(6.2 * HOUR, 8.3, True),
    "plan-2": Reference(3.07 * HOUR, 7.06),
    "plan-3": Reference(3.3 * HOUR, 7.6, True),
}

ARTIFACT = {
    "k1000": {
        "fcfs": Reference(151251.134750, 193.614951),
        "filler": Reference(6047.308763, 5.519179),
        "fcfs-easy": Reference(36531.811064, 38.490001),
        "fcfs-bb": Reference(9351.503593, 7.805402),
        "sjf-bb": Reference(9561.067568, 7.828838),
        "plan-2": Reference(4293.450453, 4.050008),
    },
    "part-0": {
        "fcfs": Reference(189852.051125, 241.772477),
        "filler": Reference(7360.465645, 8.594377),
        "fcfs-easy": Reference(39519.311622, 44.299617),
        "fcfs-bb": Reference(8965.177485, 8.417497),
        "sjf-bb": Reference(9198.145762, 8.777149),
    },
}


def reference(workload: str, policy: str) -> Reference | None:
    """The figures to compare with, if there are any."""
    return (PAPER if workload == "full" else ARTIFACT.get(workload, {})).get(policy)


def recorded_starts(path: Path) -> dict[str, float]:
    """The start of each job (s) in a CSV of an artifact's run: its columns ``job_id`` and ``start``.

    Rejected jobs have a row without a start there; they are left out.
    """
    rows = csv.DictReader(io.StringIO(read_text(path).text, newline=""))
    try:
        if not {"job_id", "start"} <= set(rows.fieldnames or ()):
            raise InputError("expected the columns job_id and start", file=path, place="line 1")
        return {row["job_id"]: float(row["start"]) for row in rows if row["start"]}
    except (ValueError, csv.Error) as error:
        raise InputError(str(error), file=path) from None
