"""What the live page shows, out of the orchestrator's status: columns to draw and tables of HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from batfs.units import format_size

# Okabe and Ito's palette: told apart by colour-blind readers
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#767676"
PALETTE = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
# rows of a table, and disks drawn, at most: a page is for looking at
MOST = 200


def clock(seconds: float) -> str:
    """The time of the day, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%SZ")


def columns(status: dict[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """The charts' columns; sizes in GB. Of many disks the fullest."""
    history = status.get("history", [])
    if history:
        history = [*history, [status["now"], *history[-1][1:]]]  # the line goes on until now
    disks = status["disks"]
    if len(disks) > MOST:
        disks = sorted(disks, key=lambda d: -d["reserved"])[:MOST]
    return {
        "history": {
            "time": [1000 * t for t, _, _ in history],
            "used": [used / 1e9 for _, used, _ in history],
            "leases": [count for _, _, count in history],
        },
        "disks": {
            "name": [f"{d['server']}/{d['disk']}" for d in disks],
            "used": [d["reserved"] / 1e9 for d in disks],
            "free": [(d["capacity"] - d["reserved"]) / 1e9 for d in disks],
            "leases": [d["allocations"] for d in disks],
            "state": [d["state"] for d in disks],
            "colour": [BLUE if d["state"] == "up" else GREY for d in disks],
        },
    }


def series(status: dict[str, Any], by: str) -> dict[str, list[Any]]:
    """Used GB and allocations over time for each disk, or summed for each node, as step lines.

    ``by``: "disk" or "node". All lines begin when the record does, each disk with what it held then: nothing,
    or what ``before`` says where older changes are no longer known.
    """
    changes = status.get("changes", [])
    before = status.get("before", {})
    group: dict[str, str] = {}
    for d in status["disks"]:
        disk = f"{d['server']}/{d['disk']}"
        group[disk] = disk if by == "disk" else d["node"] or d["server"]
    level = {disk: tuple(before.get(disk, (0, 0))) for disk in group}
    total = {name: [0, 0] for name in sorted(set(group.values()))}
    for disk, name in group.items():
        total[name][0] += level[disk][0]
        total[name][1] += level[disk][1]
    began = status.get("since", status["now"])
    lines = {name: [(began, *held)] for name, held in total.items()}
    for time, disk, used, count in changes:
        if disk in group:
            held = total[group[disk]]
            held[0] += used - level[disk][0]
            held[1] += count - level[disk][1]
            level[disk] = (used, count)
            lines[group[disk]].append((max(time, began), *held))
    for line in lines.values():
        line.append((max(status["now"], line[-1][0]), *line[-1][1:]))
    return {
        "name": list(lines),
        "times": [_steps([1000 * point[0] for point in line])[1:] for line in lines.values()],
        "used": [_steps([point[1] / 1e9 for point in line])[:-1] for line in lines.values()],
        "leases": [_steps([point[2] for point in line])[:-1] for line in lines.values()],
        "colour": [PALETTE[i % len(PALETTE)] for i in range(len(lines))],
    }


def _steps(values: list[Any]) -> list[Any]:
    return [v for v in values for _ in (0, 1)]


def headline(status: dict[str, Any]) -> str:
    """The page's first lines: how full, how many, and what is wrong."""
    share = status["reserved"] / status["capacity"] if status["capacity"] else 0.0
    lines = [
        f"<h1>batfs storage service</h1><p>{status['leases']} leases, {status['queued']} queued, "
        f"{status['reserved'] / 1e9:.1f} of {status['capacity'] / 1e9:.1f} GB reserved ({share:.0%}), "
        f"policy {html.escape(str(status['policy']))}, {clock(status['now'])}</p>"
    ]
    lines += [f"<p><strong>Problem:</strong> {html.escape(str(t))}</p>" for t in status.get("problems", [])]
    if "queue" not in status:
        lines.append("<p>With an operator's key: everybody's leases, the queue and the refusals, too.</p>")
    return "".join(lines)


def tables(status: dict[str, Any], leases: Sequence[dict[str, Any]]) -> dict[str, str]:
    """HTML of the tables, whole texts in all cells: name -> what stands there."""
    on: dict[str, list[int]] = {}
    for d in status["disks"]:
        sums = on.setdefault(d["server"], [0, 0])
        sums[0] += d["reserved"]
        sums[1] += d["capacity"]
    servers = [
        (
            s["server"],
            s["state"] if s["state"] == "up" else f"{s['state']}, last heard {clock(s['heard'])}",
            s["backend"],
            s["disks"],
            " of ".join(format_size(size) for size in on.get(s["server"], (0, 0))),
        )
        for s in status["servers"]
    ]
    live = [
        (
            x["lease"],
            x["user"],
            x["state"],
            format_size(x["size"]),
            f"{clock(x['start'])} to {clock(x['end'])}",
            ", ".join(x["shares"]) or "-",
            x["reason"] or "-",
        )
        for x in leases
    ]
    queue = [(x["lease"], x["user"], format_size(x["size"]), x["reason"]) for x in status.get("queue", [])]
    refusals = [(clock(r["time"]), r["who"], r["text"]) for r in reversed(status.get("refusals", []))]
    return {
        "servers": _table("Servers", ("server", "state", "back end", "disks", "reserved"), servers),
        "leases": _table(
            "Leases",
            ("lease", "user", "state", "size", "from, to", "disks", "reason"),
            live,
            status["leases"] if "queue" in status else len(live),
        ),
        "queue": _table("Waiting", ("lease", "user", "size", "reason"), queue, status["queued"]),
        "refusals": _table("Refused lately", ("time", "who", "reason"), refusals),
    }


def _table(title: str, names: Iterable[str], rows: Sequence[Sequence[object]], total: int = 0) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(row[0]))}</th>'
        + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows[:MOST]
    )
    left = max(total, len(rows)) - min(len(rows), MOST)
    more = f"<p>and {left} more</p>" if left > 0 else ""
    shown = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else "<p>none</p>"
    region = f'class="scroll" role="region" aria-label="{title}" tabindex="0"'
    return f"<h2>{title}</h2><div {region}>{shown}</div>{more}"
