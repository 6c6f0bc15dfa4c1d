"""What an I/O policy sees and what it answers.

batfs sends read and write phases, staging, checkpoints and drains as dynamic jobs of its own: it can start
such a *transfer* when it likes, in pieces, and with an upper limit to its rate. An I/O policy is called when
transfers wait and something has changed (one came, one ended, the date it asked for has come). It looks at an
:class:`IoView` and names those that start. What it doesn't name waits and is shown again.

I/O that overlaps with the computation is one task with it and can't be held: it is shared fairly, as the
simulator does, whatever the policy; so are the moves that a file system makes for itself between jobs.

The answer may depend on the view and on what the policy has kept; no clocks, sockets or globals.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from batfs.records import record

#: A sum of rates may exceed a bandwidth by so much: figures that add up to it exactly are rounded.
_SLACK = 1 + 1e-9


@record(frozen=False, eq=False)
class Application:
    """A job and what it has got done, as far as can be seen from outside.

    ``nodes``: how many it has. ``began``: when its first step started (seconds). ``transfers``: those that
    have ended; ``moved``: their bytes; ``alone``: seconds they would have taken alone on the machine.
    ``blocked``: seconds for which it had to wait for transfers, on hold or under way. ``held``: seconds of
    these on hold. ``period``: its characteristic time (seconds), the mean time from the end of one blocking
    transfer to the next plus what it takes alone; None before the first has been asked for.
    ``extra``: what the job's description holds besides Batsim's own members (``user``, ``io_priority``).
    ``over``: whether the job is, for a policy that remembers it.
    """

    job_id: str
    nodes: int
    began: float
    extra: Mapping[str, object]
    transfers: int = 0
    moved: int = 0
    alone: float = 0.0
    blocked: float = 0.0
    held: float = 0.0
    last_end: float | None = None
    cycles: int = 0
    cycle_seconds: float = 0.0
    pending: int = 0
    blocked_since: float = 0.0
    over: bool = False

    def blocked_at(self, now: float) -> float:
        """:attr:`blocked` with what runs on."""
        return self.blocked + (now - self.blocked_since if self.pending else 0.0)

    def work(self, now: float) -> float:
        """Seconds it has computed until ``now``."""
        return max(0.0, now - self.began - self.blocked_at(now))

    @property
    def period(self) -> float | None:
        return self.cycle_seconds / self.cycles if self.cycles else None

    def progress(self, now: float) -> float:
        """(work + I/O alone) / time since it began: 1 when nobody ever slowed it, 0 at the worst."""
        passed = now - self.began
        return min(1.0, (self.work(now) + self.alone) / passed) if passed > 0 else 1.0


@record(frozen=False, eq=False)
class Transfer:
    """Bytes that somebody wants to move, as one activity of a job.

    ``id``: of the activity. ``kind``: ``read``, ``write``, ``stage_in``, ``stage_out``, ``drain``,
    ``checkpoint`` (or a model's own word). ``file_systems`` and ``storages`` (ids) it touches; ``direction``:
    ``read`` (from storages to nodes), ``write``, ``move`` (between storages) or ``both``. ``blocking``:
    whether its job waits for it. ``asked``: when it came (seconds); ``since``: since when it waits this time,
    or when its pieces that are under way started. ``size``: its bytes, of which ``left`` have neither moved
    nor are under way. ``alone``: seconds for all of it alone on the machine; ``demand``: bytes/s it then
    takes from each link, by the link's number (without a platform file: from each storage).
    ``weight``, ``rate``: of what is under way. ``waits``: whether it is among those that wait, for a policy
    that remembers it.
    """

    id: str
    kind: str
    application: Application
    file_systems: tuple[str, ...]
    storages: tuple[int, ...]
    direction: str
    blocking: bool
    asked: float
    since: float
    size: int
    left: int
    alone: float
    demand: Mapping[int, float]
    weight: int = 1
    rate: float | None = None
    waits: bool = True

    @property
    def job_id(self) -> str:
        return self.application.job_id

    @property
    def seconds(self) -> float:
        """What is left of it, alone."""
        return self.alone * (self.left / self.size) if self.size else self.alone

    @property
    def bandwidth(self) -> float:
        """Bytes/s alone; infinite if it takes no time."""
        return self.size / self.alone if self.alone > 0 else float("inf")


class Room:
    """What is left of each link's bandwidth beside the transfers that were taken into account."""

    def __init__(self, capacity: Mapping[int, float]) -> None:
        self._capacity = capacity
        self._used: dict[int, float] = {}

    def take(self, transfer: Transfer, rate: float | None = None) -> None:
        """This one moves, at its full speed or at ``rate`` (bytes/s)."""
        used, part = self._used, 1.0
        if rate is not None and transfer.size:
            part = min(1.0, rate / transfer.bandwidth)
        for link, demand in transfer.demand.items():
            used[link] = used.get(link, 0.0) + demand * part

    def share(self, transfer: Transfer) -> float:
        """The part of its full speed that is left for it: 1 (or more) if it fits."""
        least, used, capacity = float("inf"), self._used, self._capacity
        for link, demand in transfer.demand.items():
            taken = used.get(link)
            if taken is not None:
                least = min(least, (capacity[link] * _SLACK - taken) / demand)
        return least

    def idle(self, transfer: Transfer) -> bool:
        """Whether nothing moves on any link it needs."""
        return self._used.keys().isdisjoint(transfer.demand)

    def fits(self, transfer: Transfer) -> bool:
        """Whether it can move at its full speed beside the others."""
        used, capacity = self._used, self._capacity
        for link, demand in transfer.demand.items():
            taken = used.get(link)
            if taken is not None and taken + demand > capacity[link] * _SLACK:
                return False
        return True


@record
class IoView:
    """The moment. ``waiting`` in the order in which they were asked for (what comes back after a piece keeps
    its place); ``moving`` in the order in which they started. ``capacity``: bytes/s of each link by number.
    ``applications``: every job under way that has transfers of its own. ``throttles``: how many rates can be
    limited now; ``called``: the date the policy asked for has come. ``came``: of those waiting, in their
    order, the ones that didn't wait when the policy was last asked: one that keeps lines of its own needn't
    look at all the others.
    """

    now: float
    waiting: Sequence[Transfer]
    moving: Sequence[Transfer]
    capacity: Mapping[int, float]
    applications: Collection[Application] = ()
    throttles: int = 0
    called: bool = False
    came: Sequence[Transfer] = ()

    def room(self) -> Room:
        """What is left beside those that move."""
        room = Room(self.capacity)
        for transfer in self.moving:
            room.take(transfer, transfer.rate)
        return room


@record
class Start:
    """``transfer`` starts now. ``size``: so many bytes of it at most (all that is left if None); the rest
    waits anew when they have moved. ``weight``: its share beside others on the same links, as so many tasks.
    ``rate``: bytes/s it doesn't exceed; there must be a throttle for it.
    """

    transfer: Transfer
    size: int | None = None
    weight: int = 1
    rate: float | None = None


@record
class IoPass:
    """What was decided. ``wake_at``: ask again at that time at the latest (seconds)."""

    starts: Sequence[Start] = ()
    wake_at: float | None = None


class IoPolicy(Protocol):
    """Decides which transfers start. ``name``: as it is registered."""

    name: str

    def schedule(self, view: IoView) -> IoPass: ...
