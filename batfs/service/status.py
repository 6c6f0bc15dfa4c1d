"""What the orchestrator says of itself: for `status`, `watch`, the live page and Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batfs.service.core import Core


# disks (and servers) in one answer: the others follow in further ones
PAGE = 300


def status(
    core: Core, *, history: bool = False, details: bool = True, after: int = 0, most: int | None = PAGE
) -> dict[str, Any]:
    """Capacity and leases per server and disk, the queue, refusals and counters, as plain JSON.

    Without ``details`` (a client asks) nothing is said of other users' leases. At most ``most`` disks from
    the one numbered ``after`` on; ``next`` says where to go on. Sums are over all.
    """
    end = len(core.room.disks) if most is None else min(len(core.room.disks), after + most)
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
        for i, (server, disk) in enumerate(core.room.disks[after:end], start=after)
    ]
    answer: dict[str, Any] = {
        "now": core.now + core.offset,
        "virtual": core.virtual,
        "policy": core.room.policy.name,
        "servers": [
            {
                "server": s.name,
                "state": s.state,
                "backend": s.backend,
                "disks": len(s.disks),
                "heard": s.heard + core.offset,
            }
            for s in list(core.servers.values())[after : None if most is None else after + most]
        ],
        "disks": disks,
        "next": end if end < len(core.room.disks) else None,
        "capacity": core.room.capacity,
        "reserved": core.room.capacity - int(free.sum()),
        "leases": len(core.leases),
        "queued": len(core.queue),
        "quarantined": sum(lease.state == "quarantined" for lease in core.leases.values()),
        "problems": [text for text in (core.unsafe, core.closed) if text],
        "counters": dict(sorted(core.counts.items())),
    }
    if details:
        answer["queue"] = [lease.summary(core.offset) for lease in list(core.queue.values())[:100]]
        answer["quarantine"] = [
            lease.summary(core.offset) for lease in core.leases.values() if lease.state == "quarantined"
        ][:50]
        answer["refusals"] = [{**r, "time": r["time"] + core.offset} for r in core.refusals]
    if history:
        # at most some hundred points; the last stays
        step = max(1, len(core.history) // 400)
        points = list(core.history)
        answer["history"] = [[p[0] + core.offset, *p[1:]] for p in points[::-1][::step][::-1]]
        # the newest changes; older ones don't fit into a message
        changes: list[list[Any]] = []
        room = 90_000
        for time, disk, held, count in reversed(core.changes):
            room -= len(disk) + 60
            if room < 0:
                break
            changes.append([time + core.offset, disk, held, count])
        answer["changes"] = changes[::-1]
        cut = list(core.changes)[: len(core.changes) - len(changes)]
        before = core.before | {disk: (held, count) for _, disk, held, count in cut}
        shown = {f"{d['server']}/{d['disk']}" for d in disks} | {disk for _, disk, _, _ in changes}
        answer["before"] = {disk: list(held) for disk, held in before.items() if disk in shown}
        answer["since"] = (cut[-1][0] if cut else core.since) + core.offset
    return answer


def prometheus(core: Core) -> str:
    """The text exposition format 0.0.4 of Prometheus."""
    lines: list[str] = []

    def gauge(name: str, text: str, samples: list[tuple[str, float]], kind: str = "gauge") -> None:
        lines.append(f"# HELP batfs_{name} {text}")
        lines.append(f"# TYPE batfs_{name} {kind}")
        lines.extend(f"batfs_{name}{labels} {value:g}" for labels, value in samples)

    now = status(core, most=None)
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
    gauge("quarantined", "Requests that failed when their turn came.", [("", now["quarantined"])])
    gauge("problems", "Troubles of the orchestrator's own; see its log.", [("", len(now["problems"]))])
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
