"""What the orchestrator says of itself: for `status`, `watch`, the live page and Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batfs.service.core import Core


def status(core: Core, *, history: bool = False, details: bool = True) -> dict[str, Any]:
    """Capacity and leases per server and disk, the queue, refusals and counters, as plain JSON.

    Without ``details`` (a client asks) nothing is said of other users' leases.
    """
    free = core.room.ledger.free(core.now, core.now)
    live = core.room.ledger.overlaps(core.now, core.now)
    disks = [
        {
            "server": server.name,
            "node": disk.node,
            "disk": disk.name,
            "state": server.state,
            "capacity": disk.capacity,
            "reserved": int(disk.capacity - free[i]),
            "present": core.room.present[i],
            "allocations": int(live[i]),
        }
        for i, (server, disk) in enumerate(core.room.disks)
    ]
    answer: dict[str, Any] = {
        "now": core.now,
        "virtual": core.virtual,
        "policy": core.room.policy.name,
        "servers": [
            {
                "server": s.name,
                "state": s.state,
                "backend": s.backend,
                "disks": len(s.disks),
                "heard": s.heard,
            }
            for s in core.servers.values()
        ],
        "disks": disks,
        "capacity": sum(d["capacity"] for d in disks),
        "reserved": sum(d["reserved"] for d in disks),
        "leases": len(core.leases),
        "queued": len(core.queue),
        "counters": dict(sorted(core.counts.items())),
    }
    if details:
        answer["queue"] = [lease.summary() for lease in list(core.queue.values())[:100]]
        answer["refusals"] = list(core.refusals)
    if history:
        # at most some hundred points; the last stays
        step = max(1, len(core.history) // 400)
        points = list(core.history)
        answer["history"] = [list(p) for p in points[::-1][::step][::-1]]
        # the newest changes; older ones don't fit into a message
        answer["changes"] = [list(c) for c in list(core.changes)[-1500:]]
    return answer


def prometheus(core: Core) -> str:
    """The text exposition format 0.0.4 of Prometheus."""
    lines: list[str] = []

    def gauge(name: str, text: str, samples: list[tuple[str, float]], kind: str = "gauge") -> None:
        lines.append(f"# HELP batfs_{name} {text}")
        lines.append(f"# TYPE batfs_{name} {kind}")
        lines.extend(f"batfs_{name}{labels} {value:g}" for labels, value in samples)

    now = status(core)
    for key, text in (
        ("capacity", "Bytes on the disk."),
        ("reserved", "Bytes reserved on the disk."),
        ("present", "Bytes that exist on the disk."),
        ("allocations", "Allocations on the disk."),
    ):
        gauge(
            f"disk_{key}{'' if key == 'allocations' else '_bytes'}",
            text,
            [
                (f'{{server="{_label(d["server"])}",disk="{_label(d["disk"])}"}}', d[key])
                for d in now["disks"]
            ],
        )
    gauge(
        "server_up",
        "1 if the server is up.",
        [(f'{{server="{_label(s["server"])}"}}', float(s["state"] == "up")) for s in now["servers"]],
    )
    gauge("leases", "Live leases.", [("", len(core.leases))])
    gauge("queue_length", "Requests that wait for room.", [("", len(core.queue))])
    gauge(
        "events_total",
        "What has happened since the start, by kind.",
        [(f'{{kind="{_label(kind)}"}}', count) for kind, count in sorted(core.counts.items())],
        "counter",
    )
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
