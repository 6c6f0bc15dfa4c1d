"""What the HTML report carries as data: every job, and series reduced so that no extreme is lost."""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from batfs import json_text
from batfs.report import distributions, gantt, palette, series
from batfs.report.extras import require
from batfs.report.figures import DISTRIBUTIONS
from batfs.report.groups import Group
from batfs.report.header import bandwidths
from batfs.report.run import REJECTED, Run
from batfs.report.statistics import JOB_METRICS, THRESHOLD, job_table

# breakpoints of all series of one run together; 40 storages get 1250 buckets each
POINTS: Final = 200_000
HEAT_BINS: Final = 300
HEAT_ROWS: Final = 256


def pack(value: Any) -> str:
    """``value`` as JSON, deflated, base64: what a browser unpacks with ``DecompressionStream``."""
    orjson = require("orjson")
    text = json_text.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return base64.b64encode(zlib.compress(text, 6)).decode()


def run_payload(run: Run, threshold: float = THRESHOLD) -> dict[str, Any]:
    """One run's course: jobs, series of queue and nodes, and of each storage."""
    first, last = run.span
    flows = series.storage_bandwidth(run)
    bandwidth = {key: series.add(*pair) for key, pair in flows.items()}
    reserved = series.storage_steps(run, "reserved_bytes")
    transfers = series.storage_steps(run, "active_transfers")
    idents = sorted({*run.storages.ids, *flows})
    share = POINTS // 4
    own = bandwidths(run)
    shares = {
        key: _share_of_own(*pair, *own[run.storages.name(key)])
        for key, pair in flows.items()
        if run.storages.name(key) in own
    }
    lines = {
        "share": series.reduce_all(shares, share),
        "bandwidth": series.reduce_all(bandwidth, share),
        "reserved": series.reduce_all(reserved, share),
        "transfers": series.reduce_all(transfers, share),
    }
    return {
        "label": run.label,
        "name": run.name,
        "span": [first, last],
        "nodes": run.nodes,
        "jobs": _jobs(run, threshold),
        "queue": _steps(series.reduce_steps(series.queue_length(run), 4000), run),
        "storageQueue": _steps(series.reduce_steps(series.storage_queue_length(run), 4000), run),
        "busy": _steps(series.reduce_steps(series.busy_nodes(run), 4000), run),
        "storages": [
            {
                "id": ident,
                "name": run.storages.name(ident),
                "fs": run.storages.filesystem(ident),
                "capacity": run.storages.capacity(ident),
                **{kind: _steps(found[ident], run) for kind, found in lines.items() if ident in found},
            }
            for ident in idents
        ],
        "heat": _heat(run, idents, bandwidth, reserved, transfers, shares),
    }


def _share_of_own(reads: series.Steps, writes: series.Steps, read: float, write: float) -> series.Steps:
    """Percent of a storage's own bandwidth that is used: of its reads or of its writes, whichever is more."""
    times = np.union1d(reads.times, writes.times)
    return series.Steps(times, 100 * np.maximum(reads.at(times) / read, writes.at(times) / write))


def _decimals(run: Run) -> int:
    """Microseconds in a short run, milliseconds in a long one: what Batsim's files resolve, and what is
    seen.
    """
    return 6 if run.span[1] < 1e5 else 3


def _steps(steps: series.Steps, run: Run) -> dict[str, Any]:
    return {"t": _round(steps.times, _decimals(run)), "v": _short(steps.values)}


def _round(values: NDArray[np.float64], decimals: int) -> list[float]:
    return [float(v) for v in np.round(values, decimals).tolist()]


def _short(values: NDArray[np.float64]) -> list[float | int]:
    """Whole numbers as such, others with seven digits."""
    return [int(v) if v == int(v) else float(f"{v:.7g}") for v in values.tolist()]


def _coded(words: list[str]) -> dict[str, Any]:
    """Texts as indices into a list of the distinct ones, in order of appearance."""
    known: dict[str, int] = {}
    codes = [known.setdefault(word, len(known)) for word in words]
    return {"codes": codes, "words": list(known)}


def _jobs(run: Run, threshold: float) -> dict[str, Any]:
    table = job_table(run, threshold)
    rejected = table[table["final_state"] == REJECTED]
    ran = table[table["starting_time"].notna()]
    found = gantt.bars(run)
    digits = _decimals(run)
    return {
        "id": ran["job"].tolist(),
        "submitted": _round(ran["submission_time"].to_numpy(), digits),
        "start": _round(ran["starting_time"].to_numpy(), digits),
        "end": _round(ran["finish_time"].to_numpy(), digits),
        "nodes": ran["nodes"].tolist(),
        "read": ran["read_bytes"].tolist(),
        "written": ran["written_bytes"].tolist(),
        "held": _round(ran["storage_waiting_time"].to_numpy(), digits),
        "profile": _coded(ran["profile"].tolist()),
        "state": _coded(ran["final_state"].tolist()),
        "hold": _coded(ran["hold_reason"].tolist()),
        "storages": _coded(ran["storages"].tolist()),
        "systems": _coded(ran["file_systems"].tolist()),
        "why": gantt.reasons(run).tolist(),
        "whys": [[text, palette.waited(k)] for k, text in enumerate(gantt.REASONS)],
        # by start, then end: the order of drawing
        "bars": {"job": found.job.tolist(), "low": found.low.tolist(), "high": found.high.tolist()},
        "refused": [
            {"id": job, "submitted": time, "nodes": nodes, "why": why.strip('"')}
            for job, time, nodes, why in zip(
                *(rejected[c].tolist() for c in ("job", "submission_time", "nodes", "metadata")), strict=True
            )
        ][:1000],
    }


def _heat(
    run: Run,
    idents: list[int],
    bandwidth: dict[int, series.Steps],
    reserved: dict[int, series.Steps],
    transfers: dict[int, series.Steps],
    shares: dict[int, series.Steps],
) -> dict[str, Any] | None:
    """Storages x time: of each bin the mean and the peak bandwidth, the mean share of a storage's own, the
    peak share reserved, most transfers.

    Beyond ``HEAT_ROWS`` storages those with most bytes moved are shown.
    """
    first, last = run.span
    if not idents or last <= first:
        return None
    none = series.Steps(np.empty(0), np.empty(0))
    if len(idents) > HEAT_ROWS:
        end = np.array([last])
        moved = {i: float(bandwidth.get(i, none).integral(end)[0]) for i in idents}
        idents = sorted(sorted(idents, key=lambda i: (-moved[i], i))[:HEAT_ROWS])
    edges = np.linspace(first, last, HEAT_BINS + 1)
    rows: dict[str, list[list[float | int]]] = {"mean": [], "peak": [], "reserved": [], "transfers": []}
    if shares:
        rows["share"] = []
    for ident in idents:
        flow = bandwidth.get(ident, none)
        rows["mean"].append(_short(flow.means(edges)))
        rows["peak"].append(_short(flow.peaks(edges)))
        if shares:
            rows["share"].append(_short(shares.get(ident, none).means(edges)))
        capacity = run.storages.capacity(ident)
        rows["reserved"].append(
            _short(100 * reserved.get(ident, none).peaks(edges) / capacity if capacity else edges[1:] * 0)
        )
        rows["transfers"].append(_short(transfers.get(ident, none).peaks(edges)))
    return {"ids": idents, "names": [run.storages.name(i) for i in idents], "rows": rows}


def distribution_payload(groups: list[Group]) -> list[dict[str, Any]]:
    """ECDF and letter values of each distribution worth showing, a line per label."""
    found = []
    about = {metric.name: metric for metric in JOB_METRICS}
    for name in (*DISTRIBUTIONS, "turnaround_time", "io_slowdown", "storage_waiting_time"):
        lines = []
        for group in groups:
            values = group.values(name)
            if not len(values):
                continue
            x, share = distributions.ecdf(values)
            letters = distributions.letter_values(values)
            lines.append(
                {
                    "label": group.label,
                    "n": len(values),
                    "x": _short(x),
                    "y": _round(share, 6),
                    "median": letters.median,
                    "pairs": letters.pairs,
                    "outliers": letters.outliers,
                }
            )
        if lines:
            metric = about[name]
            found.append({"name": name, "title": metric.title, "unit": metric.unit, "lines": lines})
    return found
