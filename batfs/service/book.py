"""The book of leases: how they begin and end as time goes by, and what must be made durable and sent for it.

No sockets, no files, no clock: the caller gives the time, makes :meth:`Book.drain`'s rows durable, and only
then sends its messages. Whatever an answer says is therefore on the disk before anybody can read it.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from batfs.service import messages as m
from batfs.service.leases import FINAL, LIVE, Lease, Server
from batfs.service.room import PlacementError, Room
from batfs.service.store import AnswerRow, LeaseRow, Row, ServerRow
from batfs.storage.interface import AllocationPolicy

# of requests that ended, the newest so many are known by their ids (refused ones; others; other changes)
MAX_REFUSED, MAX_ENDED, MAX_ANSWERS = 10_000, 200_000, 200_000
# refusals logged in ten seconds, at most; all are counted
MAX_LOGGED = 500
# so long after a start, beyond three heartbeats, servers may be on their way: they try again every 2 s
RETURN = 5.0
# changes of a disk that are kept, for the live page
KEPT = 4000
# at one instant: what ends, then what begins, then whose patience is over
END, START, WAIT = 0, 1, 2


class Book:
    """``discipline``: ``fifo`` (nobody overtakes the head of the queue) or ``backfill`` (whoever fits).

    ``heartbeat``: seconds between a server's signs of life; it is away after three that are missing.
    ``block_size``: larger requests are split into blocks of it, placed by the policy one by one.
    ``grace``: for so long (seconds) after its end a lease's space is kept, and the lease can be extended.
    ``virtual``: the clock is the messages' own (``--simulate``): nothing is too old, nobody is ever away.
    """

    def __init__(
        self,
        policy: AllocationPolicy,
        *,
        seed: int = 0,
        discipline: str = "fifo",
        heartbeat: float = 5.0,
        virtual: bool = False,
        block_size: int | None = None,
        min_block_size: int = 0,
        now: float = 0.0,
        grace: float = 0.0,
        log: Callable[..., None] | None = None,
    ) -> None:
        self.discipline, self.heartbeat, self.virtual = discipline, heartbeat, virtual
        self.room = Room(
            policy,
            seed=seed,
            now=now,
            listener=self._changed,
            block_size=block_size,
            min_block_size=min_block_size,
        )
        self.now = now
        self.grace = grace
        # how far the system's date is ahead of the service's clock, and until when nothing may be removed
        self.offset, self.nothing_ends_before = 0.0, 0.0
        self._log = log or (lambda *_, **__: None)
        self.servers: dict[str, Server] = {}
        self.leases: dict[int, Lease] = {}  # live ones
        self.owned: Counter[str] = Counter()  # how many of them each user has
        self.queue: OrderedDict[int, Lease] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.refusals: deque[dict[str, Any]] = deque(maxlen=50)
        self.history: deque[tuple[float, int, int]] = deque([(now, 0, 0)], maxlen=KEPT)
        # (time, disk, bytes reserved, allocations) at each change: what the live page draws per disk; and
        # what each disk held before the first that is kept, and when that was (0 at the start)
        self.changes: deque[tuple[float, str, int, int]] = deque()
        self.before: dict[str, tuple[int, int]] = {}
        self.since = now
        self._next = 1
        self._known: OrderedDict[tuple[str, str], tuple[bytes, float, int | bytes]] = OrderedDict()
        self._finals: dict[int, Lease] = {}  # ended lately: a repeated request gets its answer
        self._agenda: list[tuple[float, int, int]] = []
        self._blocked: OrderedDict[int, Lease] = OrderedDict()
        self._dirty: dict[int, Lease] = {}
        self._rows: list[Row] = []
        self._out: list[tuple[bytes, m.Message]] = []
        self.outstanding = 0
        self._freed = False
        self._ended: dict[str, deque[int]] = {"refused": deque(), "others": deque()}
        self._answered: deque[tuple[str, str]] = deque()
        self._logged = (now, 0)
        self.fresh: set[int] = set()  # leases of which nothing is durable yet
        # after a start: servers that were there and have not reported yet, until when that is waited for, and
        # the requests that will be refused then, if there is no room
        self._awaited: set[str] = set()
        self._settled = now
        self._hasty: set[int] = set()

    def drain(self) -> tuple[list[Row], list[tuple[bytes, m.Message]]]:
        """What to make durable, and what to send once it is."""
        rows = self._rows + [lease.row() for lease in self._dirty.values()]
        out = self._out
        self._rows, self._dirty, self._out = [], {}, []
        return rows, out

    def restore(
        self,
        servers: Iterable[ServerRow],
        leases: Iterable[LeaseRow],
        answers: Iterable[AnswerRow],
        last: int,
    ) -> None:
        """Take up what an earlier orchestrator had made durable. Servers are away until they register."""
        for row in servers:
            if row.state != "forgotten":
                self.servers[row.name] = Server.of(row)
                self.servers[row.name].state = "away"
        known = {f"{server.name}/{disk.name}" for server in self.servers.values() for disk in server.disks}
        for lease_row in leases:
            lease = Lease.of(lease_row)
            self._known[lease.user, lease.request] = (lease.digest, lease.changed, lease.number)
            if lease.state in FINAL:
                self._remember(lease)
                continue
            self.leases[lease.number] = lease
            self.owned[lease.user] += 1
            if lease.state == "ending" and not set(lease.shares) <= known:
                # an older version kept shares on a server that was forgotten
                lease.shares = {disk: size for disk, size in lease.shares.items() if disk in known}
                lease.pending &= known
                self._dirty[lease.number] = lease
            if lease.state in ("queued", "quarantined"):
                if lease.state == "queued":
                    self.queue[lease.number] = lease
                heapq.heappush(self._agenda, (lease.wait_until, WAIT, lease.number))
            elif lease.state == "reserved":
                heapq.heappush(self._agenda, (lease.start, START, lease.number))
            else:
                heapq.heappush(self._agenda, (self._due(lease), END, lease.number))
        for answer in answers:
            self._known[answer.user, answer.request] = (answer.digest, answer.at, answer.reply)
            self._answered.append((answer.user, answer.request))
        self._known = OrderedDict(sorted(self._known.items(), key=lambda item: item[1][1]))
        self._next = last + 1
        self._awaited = set(self.servers)
        self._settled = self.now + 3 * self.heartbeat + RETURN
        self._rebuild()
        for lease in list(self.leases.values()):
            if lease.state in ("provisioning", "allocated", "ending"):
                # of one that ends, some disks may be clear already
                self.room.occupy(lease, lease.pending if lease.state == "ending" else None)
            if lease.state == "ending" and not lease.pending:
                final, _, reason = lease.reason.partition(": ")
                self._finish(lease, final or "ended", reason)
        self._freed = True
        self._sample()

    def _settling(self) -> bool:
        """Whether servers of before a restart may still come back: until then nobody is refused for want of
        them."""
        return bool(self._awaited) and self.now < self._settled and not self.virtual

    def _settle(self) -> None:
        """All are back, or will not be: whoever would not wait is refused now."""
        for number in sorted(self._hasty):
            if number in self.queue:
                why = self._shortage(self.queue[number])
                self._finish(self.queue.pop(number), "refused", why)
                self._freed = True
        self._hasty.clear()

    def _rebuild(self) -> None:
        self.room.rebuild(self.servers.values(), self.leases.values(), self.now)

    def _say(self, address: bytes | None, message: m.Message) -> None:
        if address is not None:
            self._out.append((address, message))

    def _note_refusal(self, who: str, reason: str, text: str) -> None:
        """For the status and the log; who floods us doesn't fill the disk."""
        self.refusals.append({"time": self.now, "who": who, "reason": reason, "text": text[:300]})
        since, count = self._logged
        if self.now - since > 10.0:
            if count > MAX_LOGGED:
                self._log("refused", who="", reason="", text=f"{count - MAX_LOGGED} more in ten seconds")
            since, count = self.now, 0
        self._logged = (since, count + 1)
        if count < MAX_LOGGED:
            self._log("refused", who=who, reason=reason, text=text[:300])

    def _due(self, lease: Lease) -> float:
        """When the lease's space may be removed: never early, whatever the clock seems to say."""
        return max(lease.until, self.nothing_ends_before)

    def next_time(self) -> float:
        """When something is due; infinite if nothing is."""
        return self._agenda[0][0] if self._agenda else float("inf")

    def advance(self, now: float, *, one: bool = False) -> None:
        """Move the clock: leases begin and end, the queue's patience runs out, servers are missed."""
        while self._agenda and self._agenda[0][0] <= now:
            time, kind, number = heapq.heappop(self._agenda)
            self.now = max(self.now, time)
            self.room.advance(self.now)
            lease = self.leases.get(number)
            if lease is not None:
                try:
                    self._turn(lease, time, kind)
                except Exception as error:  # one lease's trouble is not the others'
                    self._quarantine(lease, f"{type(error).__name__}: {error}")
            if not self._agenda or self._agenda[0][0] > time:
                self._serve_queue()
                if one:
                    break
        else:
            self.now = max(self.now, now)
            self.room.advance(self.now)
        if self._hasty and not self._settling():
            self._serve_queue()
            self._settle()
            self._serve_queue()
        if not self.virtual:
            self._miss_servers()
            self._prune()

    def _turn(self, lease: Lease, time: float, kind: int) -> None:
        """Something of the lease is due at ``time``, if it still is."""
        due = {START: lease.start, END: self._due(lease), WAIT: lease.wait_until}
        if due[kind] != time:
            return
        if kind == WAIT and lease.state == "queued" and self._settling():
            self._hasty.add(lease.number)
        elif kind == WAIT and lease.state in ("queued", "quarantined"):
            self.queue.pop(lease.number, None)
            why = lease.reason if lease.state == "quarantined" else self._shortage(lease)
            self._finish(lease, "refused", f"waited until its time was up; {why}")
            self._freed = True  # the next in the queue may be smaller
        elif kind == START and lease.state == "reserved" and lease.number not in self._blocked:
            self._begin(lease)
        elif kind == END and lease.state in ("reserved", "provisioning", "allocated"):
            self.counts["expired"] += 1
            self._end(lease, "ended", "")

    def _quarantine(self, lease: Lease, why: str) -> None:
        """A request that can't be served, for a reason that lies in it: out of the way, but not forgotten."""
        self.counts["quarantined"] += 1
        self._log("quarantined", lease=lease.name, user=lease.user, state=lease.state, reason=why[:500])
        if lease.state not in ("queued", "reserved"):
            return  # its bytes exist: they stay where they are
        self.queue.pop(lease.number, None)
        self._blocked.pop(lease.number, None)
        self._let_go(lease)
        lease.shares = {}
        self._change(lease, "quarantined", why[:500])
        heapq.heappush(self._agenda, (lease.wait_until, WAIT, lease.number))
        self._answer(lease, lease.asks)
        lease.asks = set()

    def _miss_servers(self) -> None:
        for server in self.servers.values():
            if server.state == "up" and self.now - server.heard > 3 * self.heartbeat:
                server.state = "away"
                server.address = None
                self.room.servers_changed()
                self.counts["servers_lost"] += 1
                self._rows.append(server.row())
                self._log("away", server=server.name)

    def _prune(self) -> None:
        """Forget ids that are too old to be repeated (see messages.MAX_AGE)."""
        while self._known:
            key, (_, at, what) = next(iter(self._known.items()))
            if at > self.now - 2 * m.MAX_AGE:
                return
            if isinstance(what, int) and what in self.leases:
                self._known.move_to_end(key)
                self._known[key] = (self._known[key][0], self.now, what)
                continue
            del self._known[key]
            if isinstance(what, int):
                self._finals.pop(what, None)

    def _remember(self, lease: Lease) -> None:
        """Its id is known for a while, unless too many come after it."""
        self._finals[lease.number] = lease
        refused = lease.state == "refused"
        ended = self._ended["refused" if refused else "others"]
        ended.append(lease.number)
        while len(ended) > (MAX_REFUSED if refused else MAX_ENDED):
            old = self._finals.pop(ended.popleft(), None)
            if old is not None:
                self._known.pop((old.user, old.request), None)

    def _place(self, lease: Lease) -> bool:
        """Find room and book it; False if there is none now. Raises PlacementError."""
        if not self.room.book(lease):
            return False
        self.counts["granted"] += 1
        self.counts["granted_bytes"] += lease.size
        if lease.start > self.now:
            self._change(lease, "reserved")
            heapq.heappush(self._agenda, (lease.start, START, lease.number))
            self._answer(lease, lease.asks)
        else:
            self._begin(lease)
        self._sample()
        return True

    def _shortage(self, lease: Lease) -> str:
        if self._settling():
            away = f"{len(self._awaited)} of {len(self.servers)} servers"
            return f"the orchestrator has just started, and {away} have not reported yet"
        if self.queue and self.discipline == "fifo" and lease.number not in self.queue:
            return "others wait for room before it"
        return self.room.shortage(lease)

    def _begin(self, lease: Lease) -> None:
        """Have the servers make the space, or wait until what stood there is gone."""
        heapq.heappush(self._agenda, (self._due(lease), END, lease.number))
        self._change(lease, "reserved")
        self._blocked[lease.number] = lease
        self._unblock()

    def _unblock(self) -> None:
        for lease in list(self._blocked.values()):
            if not self.room.is_clear(lease):
                continue
            del self._blocked[lease.number]
            self.room.occupy(lease)
            lease.pending = set(lease.shares)
            self._change(lease, "provisioning")
            for disk in lease.shares:
                self._provision(lease, disk)

    def _provision(self, lease: Lease, disk: str) -> None:
        server, entry = self.room.disks[self.room.index[disk]]
        self.outstanding += 1
        self._say(
            server.address,
            m.Provision(
                lease=lease.name, disk=entry.name, size=lease.shares[disk], user=lease.user, host=lease.host
            ),
        )

    def _change(self, lease: Lease, state: str, reason: str = "") -> None:
        lease.state, lease.reason, lease.changed = state, reason, self.now
        self._dirty[lease.number] = lease

    def _answer(self, lease: Lease, asks: set[tuple[bytes, str]], *, again: bool = False) -> None:
        """Tell whoever asked for the lease how it stands; those who must wait are remembered."""
        state = {"queued": "queued", "reserved": "granted", "allocated": "allocated"}.get(lease.state)
        if lease.state in ("ending", *FINAL):
            state = "refused" if lease.state in ("refused", "failed") else "released"
        elif lease.state == "quarantined":
            state = "refused"
        blocked = lease.number in self._blocked
        if (state is None or blocked) or state in ("queued", "granted"):
            lease.asks |= asks
        if state is None or blocked:
            return
        data = lease.summary(self.offset)
        if state == "queued":
            data["patience"] = max(0.0, lease.wait_until - self.now, self._settled - self.now)
        for address, message_id in sorted(asks):
            self._say(
                address,
                m.Reply(
                    id=message_id,
                    sent=self.now,
                    state=state,
                    reason=lease.reason,
                    lease=lease.name,
                    data=data,
                ),
            )

    def _end(self, lease: Lease, final: str, reason: str) -> None:
        """Stop holding: at once if nothing exists on a disk, else when the servers have removed it."""
        if lease.state in ("queued", "quarantined", "reserved"):
            self.queue.pop(lease.number, None)
            self._blocked.pop(lease.number, None)
            self._let_go(lease)
            self._finish(lease, final, reason)
            return
        self._change(lease, "ending", f"{final}: {reason}" if reason else final)
        self._let_go(lease)
        lease.pending = set(lease.shares)
        for disk in lease.shares:
            self._remove(lease, disk)

    def _remove(self, lease: Lease, disk: str) -> None:
        server, entry = self.room.disks[self.room.index[disk]]
        self.outstanding += 1
        self._say(server.address, m.Remove(lease=lease.name, disk=entry.name))

    def _let_go(self, lease: Lease) -> None:
        self.room.let_go(lease)
        self._freed = True
        self._sample()

    def _gone(self, lease: Lease, disk: str) -> None:
        """A share no longer exists on its disk."""
        lease.pending.discard(disk)
        self.room.vacate(lease, disk)
        self._dirty[lease.number] = lease
        if not lease.pending:
            final, _, reason = lease.reason.partition(": ")
            self._finish(lease, final or "ended", reason)
        self._unblock()

    def _finish(self, lease: Lease, final: str, reason: str) -> None:
        self._change(lease, final, reason)
        if self.leases.pop(lease.number, None) is not None:
            self.owned[lease.user] -= 1
            if not self.owned[lease.user]:
                del self.owned[lease.user]
        self._remember(lease)
        if final in ("refused", "failed"):
            self.counts["refused_requests"] += 1
            self._note_refusal(f"client {lease.user}", final, reason)
        self._answer(lease, lease.asks)
        lease.asks = set()

    def _serve_queue(self) -> None:
        """Once an instant, after everything that ends then has ended."""
        if not self._freed:
            return
        self._freed = False
        for lease in list(self.queue.values()):
            if lease.now_start or lease.start < self.now:
                lease.start = self.now
            try:
                placed = self._place(lease)
            except PlacementError as error:
                self._quarantine(lease, str(error))
                continue
            if placed:
                del self.queue[lease.number]
                self.counts["delayed"] += 1
            elif self.discipline == "fifo":
                return

    def _changed(self, time: float, index: int, held: int) -> None:
        ledger = self.room.ledger
        count = int(ledger.overlaps(time, time)[index]) if time >= ledger.now else 0
        self.changes.append((time, self.room.names[index], held, count))
        if len(self.changes) > KEPT:
            self.since, disk, before, live = self.changes.popleft()
            self.before[disk] = (before, live)

    def _sample(self) -> None:
        used = self.room.used(self.now)
        if self.history and self.history[-1][0] == self.now:
            self.history.pop()
        self.history.append((self.now, used, len(self.room.ledger)))

    def validate(self) -> None:
        """The invariants; AssertionError names the one that is broken."""
        for lease in self.leases.values():
            assert lease.state in LIVE, f"{lease.name} is {lease.state}"
            whole = (
                lease.state in ("queued", "quarantined", "ending") or sum(lease.shares.values()) == lease.size
            )
            assert whole, f"{lease.name} holds {sum(lease.shares.values())} of {lease.size} bytes"
        self.room.validate(self.leases.values())
