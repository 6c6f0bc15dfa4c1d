"""Results for a person at a terminal: columns that line up, units that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batfs.scheduling.waits import CAUSES
from batfs.units import format_size

if TYPE_CHECKING:
    from batfs.decision.run import RunResult

#: Of many rejected jobs so many are listed.
_REJECTIONS = 10

_STATES = {
    "COMPLETED_SUCCESSFULLY": "succeeded",
    "COMPLETED_FAILED": "failed",
    "COMPLETED_WALLTIME_REACHED": "reached their walltime",
    "COMPLETED_KILLED": "killed",
    "REJECTED": "rejected",
}


def results(result: RunResult) -> str:
    """All that ``batfs run`` prints."""
    s = result.summary
    parts = [
        _facts(
            [
                ("platform", f"{s['platform']}: {_machine(s)}"),
                ("workload", ", ".join(s["workloads"])),
                ("policy", f"{s['policy']}; queue {s['queue']}; seed {s['seed']}"),
                ("jobs", _jobs(s)),
                ("makespan", _makespan(s)),
                *_bytes(s.get("bytes")),
                ("node use", _use(s["utilisation"])),
                *_idle_in_staging(s),
            ]
        ),
        table(
            ["", "mean", "median", "max"],
            [
                _times("waiting time", s["waiting_time"]),
                _times("turnaround time", s["turnaround_time"]),
                [
                    f"bounded slowdown ({s['bounded_slowdown']['threshold']:g} s)",
                    *(
                        _value(s["bounded_slowdown"][key], "{:.2f}".format)
                        for key in ("mean", "median", "max")
                    ),
                ],
            ],
        ),
    ]
    if s["waited_for"]:
        parts.append(_waits(s))
    if "faults" in s:
        parts.append(_faults(s["faults"]))
    if "io" in s:
        parts.append(_io(s["io_policy"], s["io"]))
    if s["rejections"]:
        parts.append(_rejections(s["rejections"]))
    if s["file_systems"]:
        parts.append(
            table(
                [
                    "file system",
                    "storages",
                    "capacity",
                    "read",
                    "written",
                    "jobs",
                    "waited for space",
                    "most reserved",
                    "fullest storage",
                ],
                [_filesystem(name, f) for name, f in s["file_systems"].items()],
            )
        )
    if s["cut_jobs"]:
        cut = format_size(s["cut_bytes"])
        parts.append(
            f"{_count(s['cut_jobs'], 'job')} with I/O ended before their end: {cut} of the bytes above were "
            "asked for by them, and how many of these moved isn't known"
        )
    if result.files:
        parts.append("output files:\n" + "\n".join(f"  {path}" for path in result.files))
    return "\n\n".join(parts)


def _rejections(rejected: Sequence[Mapping[str, str]]) -> str:
    """The jobs that were refused, and why: the first of them."""
    shown = [f"  {one['job']}  {one['reason']}" for one in rejected[:_REJECTIONS]]
    if len(rejected) > len(shown):
        shown.append(f"  ... and {len(rejected) - len(shown)} more (--json has all)")
    return "\n".join(["rejected:", *shown])


def _jobs(s: Mapping[str, Any]) -> str:
    states = [f"{count} {_STATES.get(state, state)}" for state, count in s["states"].items()]
    return f"{s['jobs']}" + (f": {', '.join(states)}" if states else "")


def _idle_in_staging(s: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What jobs' nodes have waited for data, where any is staged in."""
    hours = s.get("staging_node_hours")
    return [] if hours is None else [("idle in staging", f"{hours:,.2f} node-hours")]


def _waits(s: Mapping[str, Any]) -> str:
    """What the jobs waited for; the shares make up all of the waiting."""
    every = sum(wait["seconds"] for wait in s["waited_for"])
    ran = sum(count for state, count in s["states"].items() if state != "REJECTED")
    rows = [
        [
            CAUSES[wait["cause"]].title + (f" ({wait['file_system']})" if wait["file_system"] else ""),
            str(wait["jobs"]),
            duration(wait["seconds"] / ran),
            f"{wait['seconds'] / every:.1%}",
        ]
        for wait in s["waited_for"]
    ]
    return table(["waited for", "jobs", "mean over all jobs", "share"], rows)


def _faults(counts: Mapping[str, Any]) -> str:
    """What faults did to the jobs."""
    hours = counts["lost_node_seconds"] / 3600
    return (
        f"{_count(counts['faults'], 'fault')}: {counts['failed']} times a job failed, {counts['paused']} "
        f"times one waited, {counts['restarted']} times one began again ({hours:.2f} node-hours done again)"
    )


def _io(policy: str, io: Mapping[str, Any]) -> str:
    """What an I/O policy has made of the jobs' transfers."""
    ways = ("mean", "median", "max")
    rows = [
        [title, *(_value(io[name][way], "{:.3f}".format) for way in ways)]
        for title, name in (("I/O slowdown", "io_slowdown"), ("stretch (dilation)", "stretch"))
    ]
    rows.append(_times("held back", io["held"]))
    header = [f"I/O policy {policy}: {_count(io['jobs'], 'job')}", *ways]
    used = _value(io["system_efficiency"], "{:.1%}".format)
    idle = f"{format_size(int(io['idle_bytes']))} ({io['idle_share']:.1%})"
    return table(header, rows) + (
        f"\nsystem efficiency {used} of these jobs' node-seconds; idle while transfers were held: {idle}"
    )


def what_ifs(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """What each larger machine would make of the run: its means, and in brackets the difference."""
    rows = []
    for found in outcomes:
        cells = [found["what_if"]]
        if found["what_if"] == "nodes=unlimited":
            cells = [f"nodes=unlimited ({found['nodes']})"]
        for name, show in (
            ("mean_waiting_time", duration),
            ("mean_turnaround_time", duration),
            ("mean_bounded_slowdown", "{:.2f}".format),
            ("makespan", duration),
            ("rejected", str),
        ):
            new, difference = found[name]["with"], found[name]["difference"]
            if new is None or difference is None:
                cells.append("-")
                continue
            sign = "+" if difference > 0 else "-"
            cells.append(
                f"{show(new)} ({sign}{show(abs(difference))})" if difference else f"{show(new)} (same)"
            )
        rows.append(cells)
    return table(["what if", "mean wait", "mean turnaround", "mean slowdown", "makespan", "rejected"], rows)


def _bytes(account: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What became of the bytes that jobs asked for; nothing where all were moved."""
    if account is None or account["moved"] == account["asked"]:
        return []
    parts = [f"{format_size(account['asked'])} asked for, {format_size(account['moved'])} moved"]
    if account["cut_short"]:
        parts.append(f"{format_size(account['cut_short'])} of jobs that ended early")
    parts += [f"{format_size(size)} dropped: {why}" for why, size in account["dropped"].items()]
    if account["left"]:
        parts.append(f"{format_size(account['left'])} of jobs that never ended")
    return [("bytes", "; ".join(parts))]


def _makespan(s: Mapping[str, Any]) -> str:
    """Batsim's; where steps go on after the last job (stage-outs, drains), that is said."""
    text = duration(s["makespan"])
    if s["makespan"] - s["last_end"] > 1e-6:
        text += f"; the last job ends after {duration(s['last_end'])}, then data is staged out"
    return text


def _use(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{share:.1%} of node-seconds from the first submission to the last job's end"


def _times(name: str, values: Mapping[str, float | None]) -> list[str]:
    return [name, *(_value(values[key], duration) for key in ("mean", "median", "max"))]


def _value(value: float | None, show: Callable[[float], str]) -> str:
    return "-" if value is None else show(value)


def _filesystem(name: str, f: Mapping[str, Any]) -> list[str]:
    waited = "-"
    if f["jobs_that_waited"]:
        waited = f"{_count(f['jobs_that_waited'], 'job')}, {duration(f['waiting_time'])}"
    share = f["peak_bytes"] / f["capacity"] if f["capacity"] else 0.0
    return [
        name,
        str(f["storages"]),
        format_size(f["capacity"]),
        format_size(f["read_bytes"]),
        format_size(f["written_bytes"]),
        str(f["jobs"]),
        waited,
        f"{format_size(f['peak_bytes'])} ({share:.1%})",
        f"{f['peak_share']:.1%}",
    ]


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    every = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[k]) for row in every) for k in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _machine(s: Mapping[str, Any]) -> str:
    return f"{_count(s['compute_nodes'], 'node')}, {_count(s['storages'], 'storage')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def duration(seconds: float) -> str:
    """``12.3 s``, ``4 min 05 s``, ``3 h 25 min``, ``2 d 03 h``."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    # what is shown is rounded to its own smallest unit: 3 h 25 min 40 s are 3 h 26 min
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours:02} h"
