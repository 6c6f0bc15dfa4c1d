"""``batfs verify``: are the simulator's numbers right on this machine?"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batfs.parsing import add_word, at_least
from batfs.scratch import scratch_folder

if TYPE_CHECKING:
    from batfs.cli.verification.tasks import World

HELP = """Shows that the simulator's numbers are right on this machine: conversations recorded of Batsim
4.2.1 and 5.0.0-rc2 are replayed, and random parallel tasks are run here and in SimGrid itself, where
that can be imported (Debian: python3-simgrid; PyPI: simgrid).

Exit code 0: everything agrees; 1: something doesn't, and is named.

examples:
  batfs verify
  batfs verify -n 1000 --seed 7
  batfs verify -n 0                # the recordings only
"""

AGREES: Final = 1e-9  # relative, and in seconds
BATCH: Final = 75  # worlds in one run of SimGrid
SLOW: Final = 12  # worlds of few tasks and thousands of rounds of the solver, in each tenth batch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_word(
        parser,
        "--count",
        "random tasks to compare with SimGrid; 0: the recordings only [%(default)s]",
        old=("--tasks",),
        type=at_least(0),
        default=10_000,
    )
    add_word(parser, "--seed", "[%(default)s]", type=int, default=0)
    add_word(parser, "--json", action="store_true")
    parser.add_argument(
        "--python", metavar="PROGRAM", help="a Python that can import SimGrid [this one, or the system's]"
    )


class _Report:
    """Rows of the table, and what doesn't agree."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.values: list[dict[str, Any]] = []
        self.faults: list[str] = []

    def add(self, what: str, compared: int, agree: int, worst: float | None, off: str = "") -> None:
        """``worst``: the largest difference, if it was measured; ``off``: what is said of it."""
        if worst is not None:
            off = "same bits" if worst == 0.0 else f"{worst:.1e}"
        self.rows.append([what, f"{compared:,}", f"{agree:,}", off])
        self.values.append(
            {"what": what, "compared": compared, "agree": agree, "largest_difference": worst, "to": off}
        )


def run(args: argparse.Namespace) -> int:
    from batfs.cli.tables import table

    report = _Report()
    with scratch_folder("verify") as name:
        folder = Path(name)
        (folder / "4").mkdir()
        (folder / "5").mkdir()
        _recordings(report, folder / "4")
        _recordings5(report, folder / "5")
        note = _tasks(report, folder, args) if args.count > 0 else ""
    if args.json:
        said = {"agrees": not report.faults, "rows": report.values, "faults": report.faults, "note": note}
        print(json.dumps(said, indent=2))
    else:
        print(table(["", "compared", "agree", "largest difference"], report.rows))
        if note:
            print(f"\n{note}")
    for fault in report.faults:
        print(f"batfs verify: {fault}", file=sys.stderr)
    return 1 if report.faults else 0


def _progress(text: str) -> None:
    """On a terminal: what is being done, in one line that is written over."""
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def _recordings(report: _Report, folder: Path) -> None:
    from batfs.cli.verification import recordings
    from batfs.errors import BatfsError

    recordings.unpack(folder)
    cases, errors = recordings.names("cases"), recordings.names("errors")
    good = requests = ends = 0
    exact = 0
    worst = 0.0
    for name in cases:
        _progress(f"Batsim 4.2.1: {name}")
        try:
            outcome = recordings.replay(folder / "cases" / name, folder / "out")
        except BatfsError as error:
            report.faults.append(f"{name}: {error}")
            continue
        good += 1
        requests += outcome.requests
        ends += outcome.ends
        exact += outcome.ends if outcome.worst <= AGREES else 0
        worst = max(worst, outcome.worst)
        if outcome.worst > AGREES:
            report.faults.append(f"{name}: an end of a job is off by {outcome.worst:g} of its time")
    named = 0
    for name in errors:
        _progress(f"Batsim 4.2.1: {name}")
        case = folder / "errors" / name
        try:
            refused = bool(recordings.refused(case, folder / "out"))
        except BatfsError as error:
            report.faults.append(f"{name}: {error}")
            continue
        if refused == (recordings.status(case) != 0):
            named += 1
        else:
            report.faults.append(f"{name}: {'refused' if refused else 'not refused'}, other than by Batsim")
    _progress("")
    report.add("Batsim 4.2.1: conversations, with their files", len(cases), good, None)
    report.add("Batsim 4.2.1: requests in them", requests, requests, None, "6 decimals")
    report.add("Batsim 4.2.1: ends of jobs, 17 digits", ends, exact, worst)
    report.add("Batsim 4.2.1: what it refuses or aborts on", len(errors), named, None)


def _recordings5(report: _Report, folder: Path) -> None:
    from batfs.cli.verification import recordings5
    from batfs.errors import BatfsError

    recordings5.unpack(folder)
    cases, errors = recordings5.names("cases"), recordings5.names("errors")
    good = requests = named = 0
    for name in cases:
        _progress(f"Batsim 5.0.0-rc2: {name}")
        try:
            requests += recordings5.replay(folder / "cases" / name, f"{folder}/out5/{name}/")
            good += 1
        except BatfsError as error:
            report.faults.append(f"Batsim 5, {name}: {error}")
    for name in errors:
        _progress(f"Batsim 5.0.0-rc2: {name}")
        if recordings5.refused(folder / "errors" / name, f"{folder}/out5/{name}/"):
            named += 1
        else:
            report.faults.append(f"Batsim 5, {name}: not refused, other than by Batsim")
    _progress("")
    report.add("Batsim 5.0.0-rc2: conversations, with jobs.csv", len(cases), good, None)
    report.add("Batsim 5.0.0-rc2: requests in them", requests, requests, None, "1e-6")
    report.add("Batsim 5.0.0-rc2: what it refuses or aborts on", len(errors), named, None)


def _batches(count: int, seed: int) -> Iterator[list[World]]:
    """Worlds with about ``count`` tasks in all."""
    from batfs.cli.verification.tasks import slow_world, world

    rng = random.Random(seed)
    batch = 0
    while count > 0:
        worlds = [world(rng, number) for number in range(min(BATCH, max(1, count // 4)))]
        if batch % 10 == 0:
            worlds += [slow_world(rng, len(worlds) + number) for number in range(SLOW)]
        batch += 1
        count -= sum(len(tasks) for _, tasks in worlds)
        yield worlds


def _tasks(report: _Report, folder: Path, args: argparse.Namespace) -> str:
    """Compare random tasks; what is to be said when that can't be done."""
    from batfs.cli.verification import tasks as verification
    from batfs.errors import InputError

    found = verification.python_with_simgrid(args.python)
    if found is None:
        tried = f"{args.python} can't import it" if args.python else "no Python here can import it"
        return f"SimGrid was not compared with: {tried} (Debian: python3-simgrid; PyPI: simgrid)."
    python, version = found
    compared = agree = refused = endless = 0
    worst = 0.0
    for worlds in _batches(args.count, args.seed):
        _progress(f"SimGrid {version}: {compared} tasks")
        platform, tasks = verification.written(worlds, folder)
        try:
            ours = verification.ours(platform, tasks)
        except InputError:
            ending, without_end = verification.parted(worlds, folder)
            ended = [world for world in without_end if not verification.goes_on(world, folder, python)]
            report.faults += [f"refused here, but SimGrid ends it: {str(world[1])[:300]}" for world in ended]
            refused += len(without_end)
            endless += len(without_end) - len(ended)
            platform, tasks = verification.written(ending, folder)
            ours = verification.ours(platform, tasks)
        theirs = verification.theirs(platform, tasks, python)
        for task, mine, simgrid in zip(tasks, ours, theirs, strict=True):
            off = abs(mine - simgrid) / max(abs(simgrid), 1.0)
            worst = max(worst, off)
            compared += 1
            if off <= AGREES:
                agree += 1
            elif len(report.faults) < 20:
                report.faults.append(f"a task ends at {mine!r}, in SimGrid at {simgrid!r}: {str(task)[:300]}")
    _progress("")
    report.add(f"SimGrid {version}: ends of random tasks", compared, agree, worst)
    if refused:
        report.add(f"SimGrid {version}: what it would solve for ever", refused, endless, None)
    return ""
