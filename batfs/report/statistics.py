"""The figures the field uses, each with its formula and source; one number per run and figure.

Per job, from Batsim's ``jobs.csv`` (``s`` submission, ``b`` start, ``e`` end): waiting ``b - s``, turnaround
``e - s``, stretch ``(e - s) / (e - b)`` (Bender, Chakrabarti, Muthukrishnan, SODA 1998; Batsim's column of
that name), bounded slowdown ``max(1, (e - s) / max(e - b, threshold))`` (Feitelson and Rudolph, JSSPP 1998;
10 s is their threshold). Means and percentiles are over the jobs that ran, those of figures of I/O over the
ones that succeeded (a job that is cut short has not done its I/O quickly); percentiles interpolate linearly
between order statistics (type 7 of Hyndman and Fan, 1996, numpy's default).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from batfs.errors import InputError
from batfs.filesystems.script import APART, STAGE_IN
from batfs.filesystems.staging_modes import seconds_staging
from batfs.report.extras import pd, typed_columns, typed_table
from batfs.report.parts import job_keys
from batfs.report.run import REJECTED, SUCCESS, Run
from batfs.resource_sets import count_below
from batfs.scheduling.waits import CAUSES

THRESHOLD: Final = 10.0
PERCENTILES: Final = (50, 90, 95, 99)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a run: ``better`` is -1 where less is better, 1 where more is, 0 where neither."""

    name: str
    title: str
    unit: str
    better: int
    about: str


@dataclass(frozen=True, slots=True)
class JobMetric:
    """One figure of a job, from which a run's mean, percentiles and maximum are taken."""

    name: str
    title: str
    unit: str
    about: str


JOB_METRICS: Final[tuple[JobMetric, ...]] = (
    JobMetric("waiting_time", "waiting time", "s", "start - submission"),
    JobMetric("turnaround_time", "turnaround time", "s", "finish - submission"),
    JobMetric("stretch", "stretch", "", "turnaround / execution time"),
    JobMetric(
        "bounded_slowdown", "bounded slowdown", "", "max(1, turnaround / max(execution time, threshold))"
    ),
    JobMetric(
        "io_time",
        "I/O time",
        "s",
        "execution time of jobs with bytes that succeeded: their transfers run throughout",
    ),
    JobMetric(
        "io_slowdown",
        "I/O slowdown",
        "",
        "execution time / execution time of the job alone on its resources, of jobs that succeeded",
    ),
    JobMetric(
        "transfer_slowdown",
        "slowdown of transfers",
        "",
        "time a job waited for transfers of its own / what they take alone on the machine",
    ),
    JobMetric(
        "dilation",
        "dilation",
        "",
        "time from a job's first step until its nodes are free / the same with its transfers alone",
    ),
    JobMetric(
        "storage_waiting_time",
        "time waiting for storage",
        "s",
        "of the waiting time, the part for want of space",
    ),
)

RUN_METRICS: Final[tuple[Metric, ...]] = (
    Metric("jobs", "jobs", "", 0, "jobs submitted"),
    Metric("refused_jobs", "refused jobs", "", -1, "jobs the policy rejected"),
    Metric("unsuccessful_jobs", "failed or killed jobs", "", -1, "jobs that ran and did not succeed"),
    Metric("makespan", "makespan", "s", -1, "end of the last job or step, from time 0 (Batsim's)"),
    Metric("last_end", "end of the last job", "s", -1, "without the stage-outs and drains after it"),
    Metric(
        "node_utilisation",
        "node utilisation",
        "%",
        0,
        "node-seconds of jobs / (nodes x time from the first submission to the last job's end)",
    ),
    Metric(
        "storage_utilisation",
        "storage utilisation",
        "%",
        0,
        "reserved byte-seconds / (capacity x span), all storages",
    ),
    Metric(
        "storage_peak",
        "fullest storage",
        "%",
        0,
        "the largest share of its capacity any storage held reserved",
    ),
    Metric("storage_busy", "storage activity", "%", 0, "time with a transfer active, mean over the storages"),
    Metric(
        "storage_imbalance",
        "storage imbalance",
        "",
        -1,
        "bytes moved by the busiest storage / mean over the storages (without jobs that were cut)",
    ),
    Metric(
        "system_efficiency",
        "system efficiency",
        "%",
        1,
        "node-seconds of work / node-seconds, of jobs with transfers of their own",
    ),
    Metric(
        "idle_bandwidth",
        "bandwidth idle while transfers waited",
        "%",
        -1,
        "of what the links could move that transfers on hold needed most, the part that they did not",
    ),
    Metric("read_bytes", "bytes read", "B", 0, "asked for by jobs that ran, from storages"),
    Metric("written_bytes", "bytes written", "B", 0, "asked for by jobs that ran, to storages"),
    Metric("staged_bytes", "bytes staged", "B", 0, "moved between tiers before, during or after jobs"),
    Metric(
        "staging_node_hours",
        "node-hours idle in staging",
        "node-h",
        -1,
        "nodes x time from the beginning to the end of stage-ins that held them; none known where nothing is "
        "staged in",
    ),
    Metric("internal_bytes", "internal bytes", "B", 0, "moved by the file systems themselves (replication)"),
    Metric(
        "cut_bytes",
        "bytes of jobs that were cut",
        "B",
        0,
        "of those, asked for by jobs that were killed or ran out of time; how many moved isn't known",
    ),
)
STATISTICS: Final[tuple[tuple[str, str], ...]] = (
    ("mean", "mean"),
    *(
        (("median" if p == 50 else f"p{p}"), "median" if p == 50 else f"{p}th percentile")
        for p in PERCENTILES
    ),
    ("max", "maximum"),
)


def all_metrics() -> dict[str, Metric]:
    """Every figure of a run by name: those of :data:`RUN_METRICS`, and ``mean_waiting_time`` and so on."""
    metrics = {metric.name: metric for metric in RUN_METRICS}
    for job in JOB_METRICS:
        for key, word in STATISTICS:
            name = f"{key}_{job.name}"
            metrics[name] = Metric(
                name, f"{word} {job.title}", job.unit, -1, f"{word} over jobs: {job.about}"
            )
    return metrics


def job_table(run: Run, threshold: float = THRESHOLD) -> pd.DataFrame:
    """A row per job of ``run``: its times, its bytes and its figures (NaN where it has none).

    Columns: ``job`` (``workload!id``), profile, nodes (requested), submission_time, starting_time,
    finish_time,
    execution_time, final_state, the figures of :data:`JOB_METRICS`, read_bytes, written_bytes, staged_bytes,
    internal_bytes, file_systems, storages, hold_reason, ``wait_<cause>`` for each cause of waiting (they
    add up to the waiting time), allocated_resources, metadata.
    """
    known: pd.DataFrame | None = run.memory.get(f"jobs {threshold}")
    if known is None:
        known = run.memory[f"jobs {threshold}"] = _job_table(run, threshold)
    return known


def _job_table(run: Run, threshold: float) -> pd.DataFrame:
    # columns first and one table at the end: a report reads hundreds of runs, and to put columns into a table
    # one by one took longer than everything else
    jobs = run.jobs
    names = job_keys(jobs)
    keys = names.tolist()
    found = _io_of_jobs(run)
    nothing: list[Any] = [0, 0, 0, 0, math.nan, "", "", ""]
    moves = zip(*(found.get(key, nothing) for key in keys), strict=True)
    columns = [list(column) for column in moves] or [[] for _ in nothing]
    io = typed_columns(_IO_BY_JOB, dict(zip(_IO_BY_JOB, columns, strict=True)))
    executed = jobs["execution_time"].to_numpy()
    ran = jobs["starting_time"].notna().to_numpy()
    volumes = [io[name] for name in ("read_bytes", "written_bytes", "internal_bytes")]
    moved = (sum(volumes) > 0) & (jobs["final_state"] == SUCCESS).to_numpy(dtype=bool)
    alone = np.array([run.alone_times.get(key, math.nan) for key in keys], dtype=np.float64)
    held = io["storage_waiting_time"]
    io["storage_waiting_time"] = np.where(ran & np.isnan(held), 0.0, held)
    with np.errstate(divide="ignore", invalid="ignore"):  # a job that moves nothing takes no time alone
        slowdown = executed / np.where(moved, alone, math.nan)
    waited = _waits_by_job(run)
    known = ran & (run.waits is not None)
    waits = {}
    for cause in CAUSES:
        mine = waited.get(cause, {})
        seconds = np.array([mine.get(key, 0.0) for key in keys], dtype=np.float64)
        waits[f"wait_{cause}"] = np.where(known, seconds, math.nan)
    return pd.DataFrame(
        {
            "job": names,
            "profile": jobs["profile"],
            "nodes": jobs["requested_number_of_resources"],
            **{name: jobs[name] for name in _OF_JOBS},
            "bounded_slowdown": bounded_slowdown(jobs["turnaround_time"].to_numpy(), executed, threshold),
            **io,
            "io_time": np.where(moved, executed, math.nan),
            "io_slowdown": slowdown,
            **_transfers(run, keys),
            **waits,
            "allocated_resources": jobs["allocated_resources"],
            "metadata": jobs["metadata"],
        }
    )


def _transfers(run: Run, keys: Sequence[str]) -> dict[str, FloatArray]:
    """What each job's transfers cost it; NaN where nobody watched them."""
    times = run.io_times
    ids = [] if times is None else job_keys(times).tolist()
    found: dict[str, FloatArray] = {}
    for name, column in (("transfer_slowdown", "io_slowdown"), ("dilation", "stretch")):
        known = {} if times is None else dict(zip(ids, times[column].tolist(), strict=True))
        found[name] = np.array([known.get(key, math.nan) for key in keys], dtype=np.float64)
    return found


_OF_JOBS: Final = (
    "submission_time",
    "starting_time",
    "finish_time",
    "execution_time",
    "final_state",
    "waiting_time",
    "turnaround_time",
    "stretch",
)
_IO_BY_JOB: Final = {
    "read_bytes": "int64",
    "written_bytes": "int64",
    "staged_bytes": "int64",
    "internal_bytes": "int64",
    "storage_waiting_time": "float64",
    "hold_reason": "str",
    "file_systems": "str",
    "storages": "str",
}


def storage_waits(run: Run) -> FloatArray:
    """Seconds that each job of ``run.finished`` waited for storage; 0 for a job without I/O."""
    jobs = job_table(run)
    found: FloatArray = jobs.loc[jobs["starting_time"].notna(), "storage_waiting_time"].to_numpy()
    return found


def _waits_by_job(run: Run) -> dict[str, dict[str, float]]:
    """Seconds for which each job waited, by cause and job; empty where no file says what they waited for."""
    found: dict[str, dict[str, float]] = {}
    if run.waits is not None:
        columns = [run.waits[name].tolist() for name in ("cause", "workload_name", "job_id", "seconds")]
        for cause, workload, job, seconds in zip(*columns, strict=True):
            mine = found.setdefault(cause, {})
            key = f"{workload}!{job}"
            mine[key] = mine.get(key, 0.0) + seconds
    return found


def _io_of_jobs(run: Run) -> dict[str, list[Any]]:
    """``run.io`` summed over the file systems of each job, a list of :data:`_IO_BY_JOB`; the wait is the
    longest of them, not their sum."""
    io = run.io
    sums = ("read_bytes", "written_bytes", "staged_bytes", "internal_bytes")
    texts = ("hold_reason", "file_system", "storages")
    keys = job_keys(io).tolist()
    found: dict[str, list[Any]] = {}
    # plain loops: a job has a row or two, and pandas would make a table of each
    columns = [io[name].tolist() for name in (*sums, "storage_waiting_time", *texts)]
    for key, *row in zip(keys, *columns, strict=True):
        before = found.get(key)
        if before is None:
            found[key] = row
            continue
        for i in range(4):
            before[i] += row[i]
        before[4] = max(before[4], row[4])
        for i in range(5, 8):
            if row[i] and row[i] not in before[i].split(" ") and row[i] != before[i]:
                before[i] = f"{before[i]} {row[i]}".strip()
    # files of older versions give the whole wait in each row, the others what each file system lacked
    if len(io) and io["wait_storage"].notna().any():
        totals = io.groupby(pd.Series(keys, index=io.index))["storage_waiting_time"].sum()
        for key, total in totals.items():
            found[str(key)][4] = float(total)
    return found


_MOVED: Final = ("read_bytes", "written_bytes")


def bounded_slowdown(
    turnaround: FloatArray, execution: FloatArray, threshold: float = THRESHOLD
) -> FloatArray:
    """``max(1, turnaround / max(execution, threshold))`` per job; NaN stays NaN. Feitelson and Rudolph,
    1998.
    """
    if not (math.isfinite(threshold) and threshold > 0):
        raise InputError(
            f"the threshold of bounded slowdown must be a positive number of seconds, not {threshold}"
        )
    return np.maximum(1.0, turnaround / np.maximum(execution, threshold))


def summarize(run: Run, threshold: float = THRESHOLD) -> dict[str, float]:
    """Every figure of :func:`all_metrics` by name; NaN where the run has nothing to compute it from."""
    known: dict[str, float] | None = run.memory.get(f"summary {threshold}")
    if known is None:
        known = run.memory[f"summary {threshold}"] = _summarize(run, threshold)
    return dict(known)


def _summarize(run: Run, threshold: float) -> dict[str, float]:
    table = job_table(run, threshold)
    states = table["final_state"]
    result: dict[str, float] = {
        "jobs": float(len(table)),
        "refused_jobs": float((states == REJECTED).sum()),
        "unsuccessful_jobs": float((~states.isin([REJECTED, SUCCESS])).sum()),
        "makespan": run.makespan,
        "last_end": float(run.finished["finish_time"].max()) if len(run.finished) else 0.0,
        "node_utilisation": node_utilisation(run),
        "staging_node_hours": staging_node_hours(run),
        **_storage_figures(run),
        **_transfer_figures(run),
    }
    for name in ("read_bytes", "written_bytes", "staged_bytes", "internal_bytes"):
        result[name] = float(table[name].sum()) if run.io_known else math.nan
    cut = table["job"].isin(run.cut).to_numpy(dtype=bool) if run.cut else ()
    bytes_cut = sum(int(table[name].to_numpy()[cut].sum()) for name in _MOVED) if run.cut else 0
    result["cut_bytes"] = float(bytes_cut) if run.io_known else math.nan
    ran = table["starting_time"].notna().to_numpy()
    for job in JOB_METRICS:  # arrays: a table of those that ran would take longer than all the rest
        values = table[job.name].to_numpy(dtype=np.float64)[ran]
        known = values[~np.isnan(values)]
        result.update({f"{key}_{job.name}": value for key, value in describe(known).items()})
    if not run.io_known:
        # without io_jobs.csv nothing is known of storage, and 0 would be a claim
        for key, _ in STATISTICS:
            result[f"{key}_storage_waiting_time"] = math.nan
    return result


def describe(values: FloatArray) -> dict[str, float]:
    """mean, median, p90, p95, p99 and max of ``values``; NaN for an empty one."""
    if not len(values):
        return {key: math.nan for key, _ in STATISTICS}
    points = np.percentile(values, PERCENTILES)
    # fsum: the mean doesn't depend on how a library happens to order its additions
    mean = math.fsum(values.tolist()) / len(values)
    keys = [key for key, _ in STATISTICS]
    return dict(zip(keys, [mean, *(float(point) for point in points), float(values.max())], strict=True))


def node_utilisation(run: Run) -> float:
    """Percent: the node-seconds of all jobs over nodes x (last finish - first submission)."""
    first, last = run.span
    if last <= first or run.nodes <= 0:
        return math.nan
    seconds = math.fsum((run.finished["execution_time"] * nodes_used(run)).tolist())
    return 100.0 * seconds / (run.nodes * (last - first))


def staging_node_hours(run: Run) -> float:
    """Node-hours for which jobs held nodes and waited for their data; NaN where nothing was staged in."""
    steps = run.steps
    if not run.stages_in:
        return math.nan
    kinds = steps["kind"]
    held = steps[~kinds.isin(APART) & steps["starting_time"].notna() & (steps["job"] != "")]
    staged: dict[str, list[tuple[float, float]]] = {}
    others: dict[str, list[float]] = {}
    columns = [held[name].tolist() for name in ("job", "kind", "starting_time", "finish_time")]
    for job, kind, begin, end in zip(*columns, strict=True):
        if kind == STAGE_IN:
            staged.setdefault(job, []).append((begin, end))
        else:
            others.setdefault(job, []).append(begin)
    jobs = run.jobs[job_keys(run.jobs).isin(list(staged))]
    keys = job_keys(jobs).tolist()
    nodes = nodes_of(jobs, run.nodes)
    seconds = [seconds_staging(staged[key], others.get(key, ())) for key in keys]
    return math.fsum(n * s for n, s in zip(nodes.tolist(), seconds, strict=True)) / 3600


def nodes_used(run: Run) -> FloatArray:
    """How many compute nodes each job of ``run.finished`` ran on."""
    return nodes_of(run.finished, run.nodes)


def nodes_of(ran: pd.DataFrame, nodes: int) -> FloatArray:
    """How many of the machine's ``nodes`` each of these jobs has: those allocated, which with a mapping can
    be fewer than it asked for, and where no file says which, the number asked for."""
    texts, asked = ran["allocated_resources"].tolist(), ran["requested_number_of_resources"].tolist()
    known: dict[str, int] = {}
    for text in texts:
        if text not in known:
            known[text] = count_below(text, nodes)
    return np.array(
        [known[text] if text else n for text, n in zip(texts, asked, strict=True)], dtype=np.float64
    )


_STORAGE_TABLE: Final = {
    "storage": "int64",
    "name": "str",
    "filesystem": "str",
    "capacity": "int64",
    "mean_reserved_bytes": "float64",
    "max_reserved_bytes": "int64",
    "mean_used_bytes": "float64",
    "max_used_bytes": "int64",
    "busy_time": "float64",
    "busy_share": "float64",
    "max_active_transfers": "int64",
    "read_bytes": "int64",
    "written_bytes": "int64",
}


def storage_table(run: Run) -> pd.DataFrame:
    """A row per storage, by id: capacity, time-weighted mean and peak of reserved and used bytes, the
    share of
    time with a transfer active, most transfers at once, bytes read from and written to it by jobs.

    The window is the run's span; before a storage's first row it holds nothing.
    """
    return typed_table(_STORAGE_TABLE, _storage_columns(run))


def _storage_columns(run: Run) -> dict[str, list[Any]]:
    first, last = run.span
    read, written = bytes_by_storage(run)
    length = last - first if last > first else math.nan
    order = np.argsort(run.storage["storage"].to_numpy(), kind="stable")
    names = ("storage", "time", "reserved_bytes", "used_bytes", "active_transfers", "capacity")
    columns = [run.storage[name].to_numpy()[order] for name in names]
    bounds = np.flatnonzero(np.diff(columns[0], prepend=-1, append=-1))
    rows: list[dict[str, Any]] = []
    for begin, end in pairwise(bounds.tolist()):
        idents, times, reserved, used, active, capacity = (column[begin:end] for column in columns)
        ident = int(idents[0])
        weights = np.maximum(0.0, np.diff(np.append(np.minimum(times, last), last)))
        busy = float(weights[active > 0].sum())
        rows.append(
            {
                "storage": ident,
                "name": run.storages.name(ident),
                "filesystem": run.storages.filesystem(ident),
                "capacity": int(capacity[0]),
                "mean_reserved_bytes": float(weights @ reserved) / length,
                "max_reserved_bytes": int(reserved.max()),
                "mean_used_bytes": float(weights @ used) / length,
                "max_used_bytes": int(used.max()),
                "busy_time": busy,
                "busy_share": busy / length,
                "max_active_transfers": int(active.max()),
                "read_bytes": read.get(ident, 0),
                "written_bytes": written.get(ident, 0),
            }
        )
    return {name: [row[name] for row in rows] for name in _STORAGE_TABLE}


def parse_bytes(text: str) -> list[tuple[int, int]]:
    """``"10:800000000 11:5"`` as (storage id, bytes) pairs."""
    try:
        return [(int(ident), int(size)) for ident, _, size in (item.partition(":") for item in text.split())]
    except ValueError:
        raise InputError(f"found {text[:60]!r} in io_jobs.csv, expected ID:BYTES ...") from None


def bytes_by_storage(run: Run) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """Bytes read from and written to each storage id by the jobs of ``run`` that were not cut."""
    totals: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for total, column in zip(totals, ("read_by_storage", "written_by_storage"), strict=True):
        for text in run.moved[column]:
            for ident, size in parse_bytes(text):
                total[ident] = total.get(ident, 0) + size
    return totals


def _storage_figures(run: Run) -> dict[str, float]:
    names = ("storage_utilisation", "storage_peak", "storage_busy", "storage_imbalance")
    if not len(run.storage):
        return dict.fromkeys(names, math.nan)
    table = {name: np.array(column) for name, column in _storage_columns(run).items()}
    moved = (table["read_bytes"] + table["written_bytes"]).astype(np.float64)
    capacity = float(table["capacity"].sum())
    sized = table["capacity"] > 0
    shares = table["max_reserved_bytes"][sized] / table["capacity"][sized]
    busy = table["busy_share"][~np.isnan(table["busy_share"])]
    values = (
        100.0 * float(np.nansum(table["mean_reserved_bytes"])) / capacity if capacity else math.nan,
        100.0 * float(shares.max()) if len(shares) else math.nan,
        100.0 * float(busy.mean()) if len(busy) else math.nan,
        float(moved.max() / moved.mean()) if moved.sum() else math.nan,
    )
    return dict(zip(names, values, strict=True))


def _transfer_figures(run: Run) -> dict[str, float]:
    """What I/O policies are judged by, in percent, where transfers were watched."""
    names = ("system_efficiency", "idle_bandwidth")
    times = run.io_times
    if times is None:
        return dict.fromkeys(names, math.nan)
    held = math.fsum((times["nodes"] * (times["end"] - times["start"])).tolist())
    worked = math.fsum((times["nodes"] * times["work"]).tolist())
    told = run.provenance.get("results", {}).get("io")
    share = told.get("idle_share") if isinstance(told, dict) else None
    idle = 100.0 * share if isinstance(share, int | float) else math.nan
    return dict(zip(names, (100.0 * worked / held if held > 0 else math.nan, idle), strict=True))


def summary_table(run: Run, threshold: float = THRESHOLD) -> pd.DataFrame:
    """``summarize`` as a table: figure, value, unit, what it is; rows without a value left out."""
    values = summarize(run, threshold)
    rows = [
        {"figure": metric.title, "value": values[name], "unit": metric.unit, "about": metric.about}
        for name, metric in all_metrics().items()
        if not math.isnan(values[name])
    ]
    return pd.DataFrame(
        rows, index=pd.Index([n for n in all_metrics() if not math.isnan(values[n])], name="name")
    )
