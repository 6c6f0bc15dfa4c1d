"""Jobs that share data sets under each model, for ``batfs gallery --data-sets``: how long the sets live, who
reads them, and what they hold.

The jobs come in groups of five. The first of a group reads what lies there from the beginning and writes a
set, for which the others wait; the third keeps one of its own while it runs; the last of every second group
deletes the group's. What nobody has used for ten minutes is purged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from batfs.filesystems.data_sets import DELETED, JOB, SetRow
from batfs.report import palette
from batfs.report.axes import legend_once
from batfs.report.picture import make_figure, styled
from batfs.report.series import Steps, intervals
from batfs.workload import requested_io
from batfs.workload.io import without_io

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from batfs.report.gallery import Exhibit, Shown
    from batfs.workload.model import Workload

GROUP: Final = 5
REFERENCE: Final = "reference"
#: Bytes of what lies there from the beginning.
REFERENCE_SIZE: Final = 60 * 10**9
PURGE: Final = "age:after=10m"

_WHY: Final = (
    ("", "there at the end", palette.category(0)),
    (DELETED, "deleted by a job", palette.category(5)),
    ("purged", "purged", palette.category(1)),
    (JOB, "with its job", palette.category(2)),
)
_OTHER: Final = ("else", palette.category(6))


def keeper(exhibit: Exhibit) -> str:
    """The file system on which the sets lie: behind a tier, if it is one."""
    return exhibit.options.get("backing", exhibit.filesystem)


def sharing(workload: Workload, exhibit: Exhibit) -> Workload:
    """The workload with the jobs' bytes as those of data sets on the exhibit's file system."""
    profiles = dict(workload.profiles)
    where = exhibit.filesystem
    size = 0
    jobs = [job for job in workload.jobs if requested_io(workload.profiles[job.profile])]
    made = {job.id: job for job in workload.jobs}
    for k, job in enumerate(jobs):
        profile = workload.profiles[job.profile]
        parts = requested_io(profile)
        reads, writes = sum(part.reads for part in parts), max(1, sum(part.writes for part in parts))
        group, place = divmod(k, GROUP)
        name = f"set{group}"
        if place == 0:
            size = writes
            io = [
                _entry(where, reads=reads, data_set=REFERENCE, missing="error"),
                _entry(where, writes=writes, data_set=name),
            ]
        else:
            more = {"delete": True} if place == GROUP - 1 and group % 2 else {}
            io = [_entry(where, reads=max(1, reads), data_set=name, size=size, missing="wait", **more)]
        if place == 2:
            io.append(_entry(where, writes=writes, data_set=f"own{group}", life=JOB))
        named = f"{job.profile}, shared {k}"  # jobs may have one profile
        profiles[named] = replace(profile, extra={**without_io(profile.extra), "io": io})
        made[job.id] = replace(job, profile=named)
    return replace(workload, jobs=tuple(made.values()), profiles=profiles)


def _entry(filesystem: str, reads: int = 0, writes: int = 0, **options: Any) -> dict[str, Any]:
    return {"filesystem": filesystem, "reads": reads, "writes": writes, "options": options}


def with_sets(flags: Mapping[str, Any], exhibit: Exhibit) -> dict[str, Any]:
    """The settings of the exhibit's run, with what lies there and what is purged."""
    sets = [{"name": REFERENCE, "filesystem": exhibit.filesystem, "size": REFERENCE_SIZE, "pin": True}]
    tables = dict(flags["filesystems"])
    tables[keeper(exhibit)] = {**tables.get(keeper(exhibit), {}), "purge": PURGE}
    return {**flags, "filesystems": tables, "data_sets": sets}


def readers(workload: Workload) -> dict[str, list[str]]:
    """Jobs, by the part of their id after the ``!``, that read each set."""
    out: dict[str, list[str]] = {}
    for job in workload.jobs:
        for part in requested_io(workload.profiles[job.profile]):
            name = part.options.get("data_set")
            if name and part.reads:
                out.setdefault(name, []).append(job.id.rpartition("!")[2])
    return out


@styled
def picture(shown: Sequence[Shown], reading: Sequence[Mapping[str, Sequence[str]]]) -> Figure:
    """A row for each model: the life of each set with the starts of its readers, and the bytes reserved,
    those of sets apart. ``reading``: see :func:`readers`, of each one's workload."""
    figure = make_figure(10, 0.6 + 3.0 * len(shown))
    axes = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(3, 2))
    for (left, right), one, read_by in zip(axes, shown, reading, strict=True):
        end = max(one.makespan, 1.0)
        rows = sorted(((*_life(row, one, end), row) for row in one.storage.sets), key=lambda it: it[:2])
        for y, (begin, until, row) in enumerate(rows):
            label, colour = _why(row)
            left.barh(y, (until - begin) / 60, left=begin / 60, height=0.7, color=colour, label=label)
            starts = [one.jobs[job].start for job in read_by.get(row.name, ()) if job in one.jobs]
            marks = [t / 60 for t in starts]
            left.plot(marks, [y] * len(marks), "|", color=palette.INK, label="a reader starts")
        left.set_yticks(range(len(rows)), [row.name for _, _, row in rows], fontsize=7)
        left.set(xlim=(0, end / 60), xlabel="time (min)", title=f"{one.name}: the life of each data set")
        legend_once(left, 7)
        used = one.used()
        times = [t / 60 for t, _ in used]
        right.step(times, [size / 1e9 for _, size in used], where="post", color=palette.INK, label="all")
        held = _held(rows)
        right.fill_between(
            held.times / 60,
            held.values / 1e9,
            step="post",
            alpha=0.5,
            color=palette.category(0),
            label="data sets, at most",
        )
        right.set(xlim=(0, end / 60), ylim=(0, None), xlabel="time (min)", ylabel="reserved (GB)")
        right.set_title("What is held")
        right.legend(fontsize=8)
    return figure


def _life(row: SetRow, one: Shown, end: float) -> tuple[float, float]:
    """From when until when (s) it held its bytes: from the start of the job that made it."""
    owner = one.jobs.get(row.owner.rpartition("!")[2])
    begin = 0.0 if owner is None else owner.start
    return begin, max(begin, end if row.ended is None else row.ended)


def _why(row: SetRow) -> tuple[str, str]:
    for word, label, colour in _WHY:
        if row.why == word or (word and row.why.startswith(word)):
            return label, colour
    return _OTHER


def _held(rows: Sequence[tuple[float, float, SetRow]]) -> Steps:
    """Bytes that the sets hold over time (s), if each holds the most it ever does."""
    lives = [(begin, until, row.held) for begin, until, row in rows]
    return intervals(*np.array(lives, dtype=np.float64).reshape(-1, 3).T)
