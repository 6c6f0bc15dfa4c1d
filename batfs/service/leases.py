"""The records the orchestrator keeps: leases and servers.

Life of a lease::

    queued ──► reserved ──► provisioning ──► allocated ──► ending ──► ended | released | failed
       │           │
       └───────────┴──► refused | released
       └──► quarantined ──► refused | released

*queued* waits for room; *reserved* has room from a later start on; *provisioning* waits for the servers
to make the space; *ending* waits for them to remove it: only then is the space given to somebody else.
A request whose turn ends in an error of the policy is *quarantined*: it holds nothing, is not tried again,
and is shown in the status until its patience is over or its owner (or an operator) takes it back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from batfs.service.messages import Disk
from batfs.service.store import LeaseRow, ServerRow
from batfs.storage.ledger import Reservation

LIVE = ("queued", "quarantined", "reserved", "provisioning", "allocated", "ending")
FINAL = ("ended", "released", "failed", "refused")


@dataclass(slots=True, eq=False)
class Lease:
    """One request for space and what became of it. ``shares``: "server/disk" -> bytes."""

    number: int
    user: str
    request: str
    digest: bytes
    size: int
    asked: float
    start: float
    duration: float
    wait_until: float
    state: str = "queued"
    reason: str = ""
    host: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)
    connections: dict[str, Any] = field(default_factory=dict)
    changed: float = 0.0
    now_start: bool = True
    grace: float = 0.0  # so long after its end the space is still there
    pending: set[str] = field(default_factory=set)  # disks whose server has not yet said that it is done
    # not kept: rebuilt after a restart
    lines: list[Reservation] = field(default_factory=list)  # one a block, as the policies count them
    asks: set[tuple[bytes, str]] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"L{self.number}"

    @property
    def end(self) -> float:
        return self.start + self.duration

    @property
    def until(self) -> float:
        """When its space may go to somebody else."""
        return self.start + self.duration + self.grace

    def row(self) -> LeaseRow:
        # what waits for "ending" to finish is kept in the reason, so that a restart knows the final state
        return LeaseRow(
            self.number,
            self.user,
            self.request,
            self.digest,
            self.size,
            self.asked,
            self.start,
            self.duration,
            self.wait_until,
            self.state,
            self.reason,
            self.host,
            self.options,
            dict(self.shares),
            dict(self.connections),
            self.changed,
            self.now_start,
            self.grace,
            sorted(self.pending),
        )

    @staticmethod
    def of(row: LeaseRow) -> Lease:
        # the kept fields are the first of a lease's, in the same order
        lease = Lease(*(getattr(row, field_.name) for field_ in fields(row)))
        lease.pending = set(row.pending)
        return lease

    def summary(self, offset: float = 0.0) -> dict[str, Any]:
        """What a user is shown; ``offset``: how far the system's date is ahead of the service's clock."""
        return {
            "lease": self.name,
            "user": self.user,
            "state": self.state,
            "size": self.size,
            "start": self.start + offset,
            "end": self.end + offset,
            "reason": self.reason,
            "shares": dict(self.shares),
            "connections": dict(self.connections),
        }


@dataclass(slots=True, eq=False)
class Server:
    """A storage server. ``state``: up, away (vanished: its space is withheld), forgotten."""

    name: str
    backend: str
    disks: list[Disk]
    state: str = "away"
    address: bytes | None = None
    heard: float = 0.0

    def row(self) -> ServerRow:
        disks = [{name: getattr(d, name) for name in d.__struct_fields__} for d in self.disks]
        return ServerRow(self.name, self.backend, self.state, disks)

    @staticmethod
    def of(row: ServerRow) -> Server:
        return Server(row.name, row.backend, [Disk(**d) for d in row.disks], row.state)
