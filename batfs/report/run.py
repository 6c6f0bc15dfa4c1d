"""A finished run, read back: Batsim's CSV files and batfs's own, as pandas tables.

Each table is one line of pandas (``pandas.read_csv(path, dtype=JOBS_DTYPES)``); this module finds the
files that belong together, checks their columns and says plainly what is wrong with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from batfs import texts
from batfs.errors import InputError, nearest
from batfs.filesystems.script import AHEAD, STAGE_IN
from batfs.report.extras import pd, require, typed_table
from batfs.report.parts import job_keys, split_steps
from batfs.resource_sets import are_resources, shown
from batfs.scheduling.waits import CAUSES, OF_SPACE

if TYPE_CHECKING:
    from batfs.report.figures import Figures

JOBS: Final = "jobs.csv"
JOBS_DTYPES: Final[Mapping[str, str]] = {
    "job_id": "str",
    "workload_name": "str",
    "profile": "str",
    "submission_time": "float64",
    "requested_number_of_resources": "int64",
    "requested_time": "float64",
    "success": "int64",
    "final_state": "str",
    "starting_time": "float64",
    "execution_time": "float64",
    "finish_time": "float64",
    "waiting_time": "float64",
    "turnaround_time": "float64",
    "stretch": "float64",
    "allocated_resources": "str",
    "consumed_energy": "float64",
    "metadata": "str",
}
IO_DTYPES: Final[Mapping[str, str]] = {
    "job_id": "str",
    "workload_name": "str",
    "file_system": "str",
    "storages": "str",
    "read_bytes": "int64",
    "written_bytes": "int64",
    "read_by_storage": "str",
    "written_by_storage": "str",
    "internal_bytes": "int64",
    "staged_bytes": "int64",
    "io_resources": "str",
    "storage_waiting_time": "float64",
    "hold_reason": "str",
    "allocated_resources": "str",
}
# columns that files of older versions lack; they are there all the same, without values
LATER_DTYPES: Final[Mapping[str, str]] = {
    "alone_time": "float64",
    **{f"wait_{cause}": "float64" for cause in CAUSES},
}
WAITS_DTYPES: Final[Mapping[str, str]] = {
    "job_id": "str",
    "workload_name": "str",
    "cause": "str",
    "file_system": "str",
    "seconds": "float64",
}
IO_TIMES_DTYPES: Final[Mapping[str, str]] = {
    "job_id": "str",
    "workload_name": "str",
    "nodes": "int64",
    "start": "float64",
    "end": "float64",
    "work": "float64",
    "io_slowdown": "float64",
    "stretch": "float64",
}
STORAGE_DTYPES: Final[Mapping[str, str]] = {
    "time": "float64",
    "storage": "int64",
    "name": "str",
    "filesystem": "str",
    "capacity": "int64",
    "reserved_bytes": "int64",
    "used_bytes": "int64",
    "active_transfers": "int64",
}
MACHINE_DTYPES: Final[Mapping[str, str]] = {
    "time": "float64",
    "nb_sleeping": "int64",
    "nb_switching_on": "int64",
    "nb_switching_off": "int64",
    "nb_idle": "int64",
    "nb_computing": "int64",
}
REJECTED: Final = "REJECTED"
SUCCESS: Final = "COMPLETED_SUCCESSFULLY"
FAILED: Final = "COMPLETED_FAILED"
#: Ends by which a job has done all that it had to do; after others nobody knows how much of it.
WHOLE: Final = (SUCCESS, FAILED)


@dataclass(frozen=True, slots=True)
class Storages:
    """Names, file systems and capacities (bytes) by resource id; an id the files don't name is ``storage
    10``.
    """

    known: Mapping[int, tuple[str, str, int]]

    @property
    def ids(self) -> list[int]:
        return list(self.known)

    def name(self, ident: int) -> str:
        return self.known[ident][0] if ident in self.known else f"storage {ident}"

    def filesystem(self, ident: int) -> str:
        return self.known[ident][1] if ident in self.known else "unnamed file system"

    def capacity(self, ident: int) -> int:
        return self.known[ident][2] if ident in self.known else 0


@dataclass(eq=False)
class Run:
    """One run's tables. Times in seconds, sizes in bytes, as in the files.

    ``jobs``: a row per job in the order Batsim wrote them; ``io``: a row per job and file system;
    ``storage``:
    a row per change of a storage; the last two are empty tables for a run of Batsim's own without batfs.
    ``steps``: the dynamic jobs that moved bytes for jobs and file systems, which are no jobs (see ``parts``).
    ``provenance`` holds versions, arguments, seed and input hashes, where written.
    """

    name: str
    jobs: pd.DataFrame
    io: pd.DataFrame
    storage: pd.DataFrame
    machine_states: pd.DataFrame
    schedule: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    # a row per job and cause of its waiting; None for files of other programs and of older versions
    waits: pd.DataFrame | None = None
    # a row per job with transfers of its own, where an I/O policy or ``measure_io`` watched them
    io_times: pd.DataFrame | None = None
    steps: pd.DataFrame = field(init=False)
    # what was costly to compute from these tables, by name
    memory: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.jobs, self.steps = split_steps(self.jobs)

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The jobs that ran (all but the rejected ones), whatever their end."""
        found: pd.DataFrame = self.jobs[self.jobs["starting_time"].notna()]
        return found

    @cached_property
    def stages_in(self) -> bool:
        """Whether anything was staged in, with nodes held for it or before."""
        return bool(self.steps["kind"].isin([STAGE_IN, AHEAD]).any())

    @cached_property
    def makespan(self) -> float:
        """The end of the last job or step, seconds from time 0, as in Batsim's ``schedule.csv``; 0 if none
        ran."""
        ends = [table["finish_time"].max() for table in (self.finished, self.steps)]
        return max((float(end) for end in ends if end == end), default=0.0)

    @cached_property
    def cut(self) -> frozenset[str]:
        """The jobs (``workload!id``) that ran and were ended before their end: killed, out of time."""
        ran = self.finished[~self.finished["final_state"].isin(WHOLE)]
        return frozenset(job_keys(ran))

    @property
    def io_known(self) -> bool:
        """Whether a file says what jobs read and wrote, be it nothing: Batsim's own files don't."""
        return bool(len(self.io)) or self.waits is not None

    @cached_property
    def moved(self) -> pd.DataFrame:
        """The rows of ``io`` of jobs that were not cut: their bytes have moved, all of them."""
        if not self.cut or not len(self.io):
            return self.io
        found: pd.DataFrame = self.io[~job_keys(self.io).isin(self.cut)]
        return found

    @cached_property
    def span(self) -> tuple[float, float]:
        """First submission and last finish, seconds; (0, 0) without jobs."""
        if not len(self.jobs):
            return 0.0, 0.0
        first = float(self.jobs["submission_time"].min())
        last = float(self.finished["finish_time"].max()) if len(self.finished) else first
        return first, last

    @cached_property
    def nodes(self) -> int:
        """How many compute nodes the machine has: from provenance, else as far as the files tell."""
        known = self.provenance.get("results", {}).get("compute_nodes")
        if isinstance(known, int):
            return known
        return _count_nodes(self)

    def waited_for(self) -> pd.DataFrame:
        """A row per cause and file system: how many jobs that ran waited for it, the seconds together,
        their mean over all jobs that ran, and the share of all waiting. The seconds make up the jobs'
        waiting time. Without rows where no file says what jobs waited for."""
        waits = self.waits
        names = {"jobs": "int64", "seconds": "float64", "mean": "float64", "share": "float64"}
        if waits is None:
            return typed_table(names)
        ran = set(job_keys(self.finished))
        mine = waits[job_keys(waits).isin(ran)]
        found = mine.groupby(["cause", "file_system"])["seconds"].agg(jobs="count", seconds="sum")
        order = [cause for cause in CAUSES if cause in set(mine["cause"])]
        found = found.reindex(order, level="cause") if order else found
        every = float(found["seconds"].sum())
        found["mean"] = found["seconds"] / max(1, len(ran))
        found["share"] = found["seconds"] / every if every else 0.0
        return found

    @property
    def label(self) -> str:
        """What tells this run from others shown with it: given by whoever shows them together, else by
        provenance, else the policies it ran under, else its name."""
        given = self.memory.get("label") or self.provenance.get("label")
        if isinstance(given, str):
            return given
        return (
            ", ".join(self.settings[key] for key in ("policy", "queue") if key in self.settings) or self.name
        )

    @label.setter
    def label(self, text: str) -> None:
        self.memory["label"] = text

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """The configuration in provenance as flat texts: ``policy``, ``queue``,
        ``filesystems.lustre.model``.
        """
        return dict(_flat(self.provenance.get("configuration", {})))

    @cached_property
    def pair(self) -> tuple[str, ...] | None:
        """What this run shares with the run of another policy it may be compared to: workload and seed."""
        given = self.provenance.get("pair")
        if isinstance(given, list):
            return tuple(str(part) for part in given)
        if "seed" not in self.settings:
            return None
        inputs: Mapping[str, Any] = self.provenance.get("inputs", {})
        platform = self.settings.get("platform")
        hashes = sorted(str(entry.get("sha256")) for path, entry in inputs.items() if path != platform)
        return self.settings["seed"], *hashes

    @property
    def cell(self) -> tuple[str, ...] | None:
        """The workload (or, in a campaign, the workload and platform) that it has in common with runs of
        other seeds; None where nobody knows."""
        pair = self.pair
        if pair is None:
            return None
        return pair[:-1] if isinstance(self.provenance.get("pair"), list) else pair[1:]

    @cached_property
    def storages(self) -> Storages:
        """The storages this run's files name."""
        idents, first = np.unique(self.storage["storage"].to_numpy(), return_index=True)
        columns = [
            self.storage[name].to_numpy()[first].tolist() for name in ("name", "filesystem", "capacity")
        ]
        rows = zip(idents.tolist(), *columns, strict=True)
        return Storages({ident: (str(name), str(system), size) for ident, name, system, size in rows})

    @cached_property
    def alone_times(self) -> Mapping[str, float]:
        """Seconds each job with I/O takes alone on its nodes and storages, by ``workload!id``: the column
        ``alone_time`` of io_jobs.csv, empty for files that lack it."""
        io = self.io[self.io["alone_time"].notna()]
        return dict(zip(job_keys(io).tolist(), io["alone_time"].tolist(), strict=True))

    def summary(self, threshold: float = 10.0) -> pd.DataFrame:
        """One row per figure: name, value, unit (see :mod:`batfs.report.statistics`)."""
        from batfs.report.statistics import summary_table

        return summary_table(self, threshold)

    def figures(self) -> Figures:
        """The report's figures of this run, one method each (matplotlib)."""
        from batfs.report.figures import Figures

        return Figures([self])

    def _repr_html_(self) -> str:
        from batfs.report.tables import run_html

        return run_html(self)

    def __repr__(self) -> str:
        first, last = self.span
        return (
            f"<Run {self.name!r}: {len(self.jobs)} jobs, {len(self.jobs) - len(self.finished)} rejected, "
            f"{first:g} to {last:g} s>"
        )


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif value is not None:
            yield f"{before}{key}", str(value)


def _count_nodes(run: Run) -> int:
    """Batsim's machine_states.csv starts with every compute node idle or computing: the largest sum is the
    machine unless storages computed; the highest id a job ran on is a lower bound when it is absent."""
    states = run.machine_states
    if len(states):
        columns = ["nb_sleeping", "nb_switching_on", "nb_switching_off", "nb_idle", "nb_computing"]
        return int(states[columns].sum(axis=1).iloc[0])
    tops = [int(text.replace("-", " ").split()[-1]) for text in run.finished["allocated_resources"] if text]
    return max(tops, default=-1) + 1


def find_runs(path: str | os.PathLike[str]) -> list[str]:
    """The prefixes of the runs at ``path``: a prefix itself, a ``..._jobs.csv``, or a directory of runs.

    A directory is searched itself, then (only if it holds none) everything below it. InputError if there
    is none.
    """
    given = os.fspath(path)
    here = Path(given)
    if here.is_dir():
        found = _prefixes(here.iterdir()) or _prefixes(here.rglob("*jobs.csv"))
        if not found:
            raise InputError("no run in this directory; expected files named ..._jobs.csv", file=given)
        return found
    if here.name.endswith(JOBS) and here.is_file():
        return _prefixes([here]) or [given.removesuffix(JOBS)]
    if Path(f"{given}_{JOBS}").is_file():
        return [f"{given}_"]
    siblings = _prefixes(here.parent.glob("*jobs.csv")) if here.parent.is_dir() else []
    close = nearest(f"{given}_", siblings)
    hint = (
        f"did you mean {close.removesuffix('_')!r}?" if close else "a run is the prefix given to -e/--export"
    )
    raise InputError(f"no run here: {given}_{JOBS} doesn't exist", file=given, hint=hint)


def _prefixes(paths: Iterable[Path]) -> list[str]:
    """``dir/run_`` of each ``dir/run_jobs.csv`` (``dir/`` of ``dir/jobs.csv``), sorted; io_jobs.csv aside."""
    names = (
        str(path) for path in paths if path.name.endswith(JOBS) and not path.name.endswith("io_jobs.csv")
    )
    return sorted(name.removesuffix(JOBS) for name in names if name.removesuffix(JOBS)[-1:] in ("_", "/", ""))


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run at a prefix, a ``_jobs.csv`` or a directory that holds exactly one. InputError otherwise."""
    found = find_runs(path)
    if len(found) > 1:
        names = ", ".join(prefix.removesuffix("_") for prefix in found[:5])
        raise InputError(f"{len(found)} runs here, expected one: {names}", file=path)
    return read_run(found[0])


def load_runs(paths: Iterable[str | os.PathLike[str]]) -> list[Run]:
    """Every run at every path (see :func:`find_runs`), in the order given."""
    return [read_run(prefix) for path in paths for prefix in find_runs(path)]


def read_run(prefix: str) -> Run:
    """The run whose files begin with ``prefix`` (``out/io_``, or ``dir/`` for bare names). InputError for a
    file that isn't what its name says, with the place."""
    io = read_table(f"{prefix}io_jobs.csv", IO_DTYPES, optional=True, later=LATER_DTYPES)
    jobs = read_table(f"{prefix}{JOBS}", JOBS_DTYPES)
    _check_resources(jobs, f"{prefix}{JOBS}")
    return Run(
        name=_name(prefix),
        prefix=prefix,
        jobs=jobs,
        io=io,
        storage=read_table(f"{prefix}storage_states.csv", STORAGE_DTYPES, optional=True),
        machine_states=read_table(f"{prefix}machine_states.csv", MACHINE_DTYPES, optional=True),
        schedule=_first_row(f"{prefix}schedule.csv"),
        provenance=_read_json(f"{prefix}provenance.json"),
        waits=_read_waits(prefix, io),
        io_times=_read_times(f"{prefix}io_times.csv"),
    )


def _check_resources(jobs: pd.DataFrame, path: str) -> None:
    """Each job's resources are ids, as everything that draws or counts them takes for granted."""
    texts = jobs["allocated_resources"]
    for text in set(texts.tolist()):
        if not are_resources(text):
            line = int((texts == text).to_numpy().argmax()) + 2
            raise InputError(
                f"{shown(text)} is not a set of resource ids such as '0-3 10'",
                file=path, place=f"line {line}: allocated_resources",
            )  # fmt: skip


def _read_waits(prefix: str, io: pd.DataFrame) -> pd.DataFrame | None:
    """What the jobs waited for: those with I/O by io_jobs.csv, the others by waits.csv; None where the
    files are of other programs or older versions."""
    path = f"{prefix}io_jobs.csv"
    if not os.path.isfile(path):
        return None
    names = texts.utf8_text(path).partition("\n")[0].rstrip("\r").split(",")
    causes = [cause for cause in CAUSES if f"wait_{cause}" in names]
    if not causes:
        return None
    if len(io) and io[f"wait_{causes[0]}"].isna().all():
        return None  # a proxy doesn't know
    columns: dict[str, list[Any]] = {name: [] for name in WAITS_DTYPES}
    if os.path.isfile(f"{prefix}waits.csv"):  # not even an empty table of it where it isn't
        others = read_table(f"{prefix}waits.csv", WAITS_DTYPES)
        columns = {name: others[name].tolist() for name in WAITS_DTYPES}
    of_io = {name: io[name].tolist() for name in ("job_id", "workload_name", "file_system")}
    for cause in causes:
        seconds = io[f"wait_{cause}"].to_numpy()
        rows = np.flatnonzero(seconds > 0).tolist()
        if not rows:
            continue
        columns["job_id"] += [of_io["job_id"][row] for row in rows]
        columns["workload_name"] += [of_io["workload_name"][row] for row in rows]
        columns["cause"] += [cause] * len(rows)
        # other causes stand on a job's first row, whatever its file system
        columns["file_system"] += [of_io["file_system"][row] if cause in OF_SPACE else "" for row in rows]
        columns["seconds"] += seconds[rows].tolist()
    return typed_table(WAITS_DTYPES, columns)


def _read_times(path: str) -> pd.DataFrame | None:
    """What jobs' transfers cost, by io_times.csv; None where nobody watched them."""
    return read_table(path, IO_TIMES_DTYPES) if os.path.isfile(path) else None


def _name(prefix: str) -> str:
    path = Path(prefix.rstrip("/_") or ".")
    return path.name or "run"


def read_table(
    path: str,
    dtypes: Mapping[str, str],
    *,
    optional: bool = False,
    later: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """A CSV file with at least the columns of ``dtypes``, and always those of ``later``; every column has one
    type whatever is missing: empty text stays empty, empty numbers are NaN."""
    known = {**dtypes, **later}
    if not os.path.isfile(path):
        if optional:
            return typed_table(known)
        raise InputError("no such file", file=path)
    # empty strings must stay strings in text columns, and become NaN in the others
    missing = {name: [""] for name, kind in known.items() if kind == "float64"}
    try:
        table = pd.read_csv(
            path, dtype=_types(tuple(known.items())), keep_default_na=False, na_values=missing
        )
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text: {error}", file=path) from error
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"not a table batfs can read: {error}", file=path) from error
    lacking = [name for name in dtypes if name not in table.columns]
    if lacking:
        close = nearest(lacking[0], table.columns)
        hint = f"did you mean {close!r}?" if close else None
        raise InputError(f"the column {lacking[0]!r} is missing", file=path, place="line 1", hint=hint)
    absent = {
        name: pd.Series(index=table.index, dtype=kind)
        for name, kind in later.items()
        if name not in table.columns
    }
    return table.assign(**absent) if absent else table


@cache
def _types(kinds: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Columns and what pandas makes of the words for their types: each word takes it a while."""
    return {name: pd.api.types.pandas_dtype(kind) for name, kind in kinds}


def _first_row(path: str) -> Mapping[str, Any]:
    if not os.path.isfile(path):
        return {}
    lines = texts.utf8_text(path).splitlines()
    return dict(zip(lines[0].split(","), lines[1].split(","), strict=False)) if len(lines) > 1 else {}


def _read_json(path: str) -> Mapping[str, Any]:
    if not os.path.isfile(path):
        return {}
    orjson = require("orjson")
    try:
        value = orjson.loads(texts.read_bytes(path))
    except ValueError as error:
        raise InputError(f"malformed JSON: {error}", file=path) from error
    if not isinstance(value, dict):
        return {}
    for name in ("results", "configuration", "inputs"):
        if not isinstance(value.get(name, {}), dict):
            raise InputError(f"expected an object, found {type(value[name]).__name__}", file=path, place=name)
    return value
