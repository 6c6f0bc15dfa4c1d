"""A request trace through the three processes in virtual time: the grants of ``batfs alloc replay``.

The orchestrator (started with ``--simulate``) takes its clock from the requests and hears a request only when
everything before it is settled, so that neither the network nor the servers' pace change what is granted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batfs.errors import BatfsError
from batfs.files import writing
from batfs.service import messages as m
from batfs.service.client import Client
from batfs.storage.replay.requests import TraceRequest
from batfs.units import format_size

WINDOW = 200
FOREVER = m.MAX_SECONDS / 2


@dataclass(frozen=True, slots=True)
class Grant:
    """What became of one request; ``shares``: disk -> bytes, empty when refused."""

    key: str
    size: int
    state: str
    start: float
    shares: dict[str, int]
    reason: str

    def row(self) -> dict[str, Any]:
        shares = " ".join(f"{disk}:{size}" for disk, size in self.shares.items())
        return {"request": self.key, "size": self.size, "state": self.state, "start": self.start,
                "shares": shares, "reason": self.reason}  # fmt: skip


def replay_trace(client: Client, requests: Iterable[TraceRequest], *, wait: bool = False) -> list[Grant]:
    """Send ``requests`` in order and collect what became of each, in the same order.

    Raises BatfsError when the orchestrator is not in virtual time.
    """
    if not client.status()["virtual"]:
        raise BatfsError("the orchestrator runs in real time; a replay needs one started with --simulate")
    wanted = list(requests)
    messages = [
        m.RequestSpace(
            id=f"{number}/{request.key}",
            sent=request.arrival,
            size=request.size,
            duration=request.duration,
            wait=FOREVER if wait else 0.0,
        )
        for number, request in enumerate(wanted)
    ]
    answers = client.ask_all(messages, window=WINDOW)
    if wait:
        # whoever still waits when the trace is over is served as leases end
        last = max((request.arrival for request in wanted), default=0.0)
        answers = client.settle(messages, answers, m.PassTime(sent=last + FOREVER))
    found: list[Grant] = []
    for request, message in zip(wanted, messages, strict=True):
        reply = answers[message.id]
        granted = reply.state in ("allocated", "released", "granted")
        found.append(
            Grant(
                request.key,
                request.size,
                "granted" if granted else reply.state,
                reply.data.get("start", request.arrival),
                reply.data.get("shares", {}) if granted else {},
                reply.reason,
            )
        )
    return found


def write_grants(path: Path, grants: Sequence[Grant]) -> None:
    """A CSV row per request."""
    with writing(path) as stream:
        rows = csv.DictWriter(stream, ["request", "size", "state", "start", "shares", "reason"])
        rows.writeheader()
        rows.writerows(grant.row() for grant in grants)


def describe(grants: Sequence[Grant]) -> str:
    """Two lines for a person."""
    granted = [grant for grant in grants if grant.state == "granted"]
    refused = len(grants) - len(granted)
    return (
        f"{len(grants)} requests: {len(granted)} granted ({format_size(sum(g.size for g in granted))}), "
        f"{refused} refused"
    )
