"""The orchestrator's mind: what each message does, from clients and from servers.

Room is decided by the project's allocator (see ``room``), the life of a lease is kept in the book (``book``).
Every message is checked here: who may say it, whether it was said before, whether it makes sense.
"""

from __future__ import annotations

import hashlib
import heapq
import traceback
from typing import Any

import msgspec

from batfs.service import messages as m
from batfs.service.auth import Peer
from batfs.service.book import END, MAX_ANSWERS, WAIT, Book
from batfs.service.leases import Lease, Server
from batfs.service.room import PlacementError
from batfs.service.store import AnswerRow, LeaseRow, Row, ServerRow
from batfs.units import format_size

# what moves the clock in virtual time
MOVES_TIME = (m.RequestSpace, m.ReleaseLease, m.ExtendLease, m.PassTime)
MAX_DURATION = 10 * 366 * 86400.0
# one user's requests in the queue, at most
MAX_QUEUED = 10_000
# beyond it sums of bytes would not be exact everywhere
MAX_CAPACITY = 2**61
MAX_SERVERS = 10_000
MAX_HELD = 5_000_000


class Core(Book):
    """The book, and who may write what into it. ``quota``: leases of one user, at most."""

    quota = 1_000_000
    # why nothing may change now (the ledger can't be written); empty most of the time
    unsafe = ""
    # why nobody new is let in (the allow-list can't be read)
    closed = ""
    # whether there is a ledger: then nothing that it doesn't know is ever removed from a server at its birth
    durable = False

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        # registrations not yet whole: server -> (address, registration, what it holds, pages missing)
        self._arriving: dict[str, tuple[bytes, m.RegisterServer, dict[str, int], int]] = {}

    def handle(self, now: float, address: bytes, peer: Peer, frame: bytes) -> None:
        """One frame from ``peer``. Never raises for what is in the frame."""
        known = m.OPERATOR | m.SERVER if peer.anybody else m.BY_ROLE[peer.role]
        message_id = ""
        try:
            message = m.decode(frame, known)
            message_id = message.id
            if self.virtual and isinstance(message, MOVES_TIME):
                now = max(now, message.sent)
            self.advance(now)
            if not self.virtual and abs(now + self.offset - message.sent) > m.MAX_AGE:
                raise m.MessageError("replayed", "sent too long ago (or a clock is wrong)", message.id)
            self._dispatch(address, peer, message, frame)
            self._serve_queue()
        except m.MessageError as error:
            self.refuse_frame(address, peer, error)
        except Exception as error:  # a defect of ours: the message is refused, and everybody else is served
            at = traceback.extract_tb(error.__traceback__)[-1]
            self._log("defect", error=repr(error)[:500], at=f"{at.filename}:{at.lineno}", peer=peer.name)
            wrong = m.MessageError("internal", f"could not be handled: {type(error).__name__}", message_id)
            self.refuse_frame(address, peer, wrong)

    def refuse_frame(self, address: bytes, peer: Peer | None, error: m.MessageError) -> None:
        """Count, log and (where it can be told) answer a message that breaks the rules."""
        self.counts[f"refused_{error.reason}"] += 1
        who = f"{peer.role} {peer.name}" if peer else "unknown"
        self._note_refusal(who, error.reason, str(error))
        if error.message_id and peer is not None:
            self._say(
                address, m.Reply(id=error.message_id, sent=self.now, state="refused", reason=str(error))
            )

    def _dispatch(self, address: bytes, peer: Peer, message: m.Message, frame: bytes) -> None:
        self.counts["messages"] += 1
        match message:
            case m.RequestSpace():
                self._request(address, peer, message, frame)
            case m.ReleaseLease() | m.ExtendLease() | m.ForgetServer():
                self._once(address, peer, message, frame)
            case m.ListLeases():
                self._list(address, peer, message)
            case m.GetStatus():
                from batfs.service.status import status

                operator = peer.role == "operator"
                data = status(self, history=message.history, details=operator, after=message.after)
                self._say(address, m.Reply(id=message.id, sent=self.now, state="ok", data=data))
            case m.PassTime() if self.virtual:
                self._say(address, m.Reply(id=message.id, sent=self.now, state="ok"))
            case m.PassTime():
                raise m.MessageError("malformed", "the clock is not virtual here (--simulate)", message.id)
            case m.LogRecords():
                for record in message.records:
                    self._log("gathered", component=f"{peer.name}/{message.component}", record=record)
            case _:
                self._from_server(address, peer, message)

    def _list(self, address: bytes, peer: Peer, message: m.ListLeases) -> None:
        """As many leases as are sure to fit into an answer, and where to go on."""
        everybody = message.all and peer.role == "operator"
        shown: list[dict[str, object]] = []
        more, room = None, m.MAX_BYTES - 4096
        for number, lease in self.leases.items():
            if number <= message.after or not (everybody or lease.user == peer.name):
                continue
            summary = lease.summary(self.offset)
            room -= len(msgspec.json.encode(summary)) + 1
            if shown and (room < 0 or len(shown) == m.PAGE):
                more = int(str(shown[-1]["lease"])[1:])
                break
            shown.append(summary)
        data = {"leases": shown, "next": more}
        self._say(address, m.Reply(id=message.id, sent=self.now, state="ok", data=data))

    def _request(self, address: bytes, peer: Peer, message: m.RequestSpace, frame: bytes) -> None:
        digest = hashlib.blake2b(frame, digest_size=16).digest()
        earlier = self._known.get((peer.name, message.id))
        if earlier is not None:
            if earlier[0] != digest or not isinstance(earlier[2], int):
                raise m.MessageError("replayed", "this id was used for something else", message.id)
            lease = self.leases.get(earlier[2]) or self._finals[earlier[2]]
            self._answer(lease, {(address, message.id)}, again=True)
            return
        if self.unsafe:
            # nothing may change, not even the memory of this request: it can be asked again
            raise m.MessageError("ledger", self.unsafe, message.id)
        start = self.now if message.start is None else max(message.start - self.offset, self.now)
        number = self._next
        self._next += 1
        lease = Lease(
            number,
            peer.name,
            message.id,
            digest,
            message.size,
            self.now,
            start,
            message.duration,
            self.now + max(0.0, message.wait),
            host=message.host,
            options=message.options,
            now_start=message.start is None,
            grace=self.grace,
        )
        lease.asks.add((address, message.id))
        self._known[peer.name, message.id] = (digest, self.now, number)
        self.counts["requests"] += 1
        self.leases[number] = lease
        self.owned[peer.name] += 1
        self.fresh.add(number)
        wrong = self._wrong(lease)
        placed = False
        if not wrong and not (self.discipline == "fifo" and self.queue):
            try:
                placed = self._place(lease)
            except PlacementError as error:
                wrong = str(error)
        if wrong:
            self._finish(lease, "refused", wrong)
        elif not placed:
            if (message.wait > 0 or self._settling()) and self.room.could_ever_fit(lease):
                self.queue[number] = lease
                heapq.heappush(self._agenda, (lease.wait_until, WAIT, number))
                self._change(lease, "queued", self._shortage(lease))
                self._answer(lease, lease.asks)
            else:
                self._finish(lease, "refused", self._shortage(lease))

    def _wrong(self, lease: Lease) -> str:
        if lease.size <= 0:
            return "the size must be positive"
        if not 0 < lease.duration <= MAX_DURATION:
            return f"the duration must be above 0 and at most {MAX_DURATION / 86400:.0f} days"
        if lease.start > self.now + MAX_DURATION:
            return f"the start is more than {MAX_DURATION / 86400:.0f} days ahead"
        if not lease.start < lease.end:
            return f"a duration of {lease.duration:g} s is below what the clock can tell apart"
        if self.virtual:
            return ""
        if self.owned[lease.user] > self.quota:
            return f"{lease.user} has {self.quota} leases and requests already, and may have no more"
        waiting = (
            sum(x.user == lease.user for x in self.queue.values()) if len(self.queue) >= MAX_QUEUED else 0
        )
        if waiting >= MAX_QUEUED:
            return f"{MAX_QUEUED} requests of {lease.user} wait already"
        return ""

    def _once(self, address: bytes, peer: Peer, message: m.Message, frame: bytes) -> None:
        """A change that is not a request for space: done once, answered as often as it is sent."""
        digest = hashlib.blake2b(frame, digest_size=16).digest()
        earlier = self._known.get((peer.name, message.id))
        if earlier is not None:
            if earlier[0] != digest or isinstance(earlier[2], int):
                raise m.MessageError("replayed", "this id was used for something else", message.id)
            answer = m.decode(earlier[2])
        elif self.unsafe:
            raise m.MessageError("ledger", self.unsafe, message.id)
        else:
            match message:
                case m.ReleaseLease():
                    answer = self._release(peer, message)
                case m.ExtendLease():
                    answer = self._extend(peer, message)
                case m.ForgetServer():
                    answer = self._forget(message)
                case _:
                    raise AssertionError(message)
            kept = m.encode(answer)
            self._known[peer.name, message.id] = (digest, self.now, kept)
            self._answered.append((peer.name, message.id))
            while len(self._answered) > MAX_ANSWERS:
                old = self._answered.popleft()
                if old in self._known and isinstance(self._known[old][2], bytes):
                    del self._known[old]
            self._rows.append(AnswerRow(peer.name, message.id, digest, kept, self.now))
        self._say(address, answer)

    def _own(self, peer: Peer, name: str) -> Lease | None:
        lease = self.leases.get(lease_number(name))
        # somebody else's lease and no lease are the same to a client
        return lease if lease is not None and (lease.user == peer.name or peer.role == "operator") else None

    def _release(self, peer: Peer, message: m.ReleaseLease) -> m.Reply:
        lease = self._own(peer, message.lease)
        if lease is None or lease.state == "ending":
            return self._no(message, f"no live lease {message.lease!r} of yours")
        self.counts["released"] += 1
        self._end(lease, "released", "")
        return m.Reply(id=message.id, sent=self.now, state="released", lease=lease.name)

    def _extend(self, peer: Peer, message: m.ExtendLease) -> m.Reply:
        lease = self._own(peer, message.lease)
        if lease is None or not lease.lines:
            return self._no(message, f"no lease {message.lease!r} of yours that holds space")
        if message.duration <= 0 or lease.duration + message.duration > MAX_DURATION:
            days = f"{MAX_DURATION / 86400:.0f} days"
            return self._no(message, f"the extension must be above 0, and the whole lease at most {days}")
        against = self.room.extend(lease, message.duration)
        if against:
            return self._no(message, against)
        lease.duration += message.duration
        heapq.heappush(self._agenda, (self._due(lease), END, lease.number))
        self._change(lease, lease.state)
        end = lease.end + self.offset
        return m.Reply(id=message.id, sent=self.now, state="ok", lease=lease.name, data={"end": end})

    def _no(self, message: m.Message, reason: str) -> m.Reply:
        self.counts["refused_requests"] += 1
        return m.Reply(id=message.id, sent=self.now, state="refused", reason=reason)

    def _from_server(self, address: bytes, peer: Peer, message: m.Message) -> None:
        name: str = message.server  # type: ignore[attr-defined]
        if peer.name != name and not peer.anybody:
            raise m.MessageError("role", f"the key of {peer.name!r} can't speak for {name!r}", message.id)
        if isinstance(message, m.RegisterServer):
            if message.more:
                self._arriving[name] = (address, message, dict(message.held), message.more)
            else:
                self._arriving.pop(name, None)
                self._register(address, message, message.held)
            return
        if isinstance(message, m.HeldToo):
            self._page(address, message)
            return
        server = self.servers.get(name)
        if server is None or server.address != address:
            self._say(address, m.RegisterAgain(sent=self.now))
            return
        server.heard = self.now
        if isinstance(message, m.Heartbeat):
            return
        assert isinstance(message, m.Provisioned | m.ProvisionFailed | m.Removed)
        self.outstanding = max(0, self.outstanding - 1)
        lease = self.leases.get(lease_number(message.lease))
        disk = f"{name}/{message.disk}"
        if lease is None or disk not in lease.pending:
            return
        if isinstance(message, m.Removed):
            if lease.state == "ending":
                self._gone(lease, disk)
        elif lease.state == "provisioning":
            if isinstance(message, m.ProvisionFailed):
                self._log("provisioning failed", lease=lease.name, disk=disk, reason=message.reason)
                self._end(lease, "failed", f"{disk}: {message.reason}")
                return
            lease.pending.discard(disk)
            lease.connections[disk] = message.connection
            self._dirty[lease.number] = lease
            if not lease.pending:
                self._change(lease, "allocated")
                self._answer(lease, lease.asks)
                lease.asks = set()

    def _page(self, address: bytes, message: m.HeldToo) -> None:
        """A further page of what a server holds; with the last one it is registered."""
        waiting = self._arriving.get(message.server)
        if waiting is None or waiting[0] != address or waiting[1].id != message.of:
            return  # of a registration that was repeated meanwhile
        _, registration, held, missing = waiting
        if len(held) + len(message.held) > MAX_HELD:
            del self._arriving[message.server]
            raise m.MessageError("malformed", f"more than {MAX_HELD} allocations on one server", message.id)
        held |= message.held
        if missing > 1:
            self._arriving[message.server] = (address, registration, held, missing - 1)
            return
        del self._arriving[message.server]
        self._register(address, registration, held)

    def _register(self, address: bytes, message: m.RegisterServer, held: dict[str, int]) -> None:
        server = self.servers.get(message.server)
        names = [disk.name for disk in message.disks]
        problem = ""
        if not names or len(set(names)) != len(names):
            problem = "a server has one disk or more, each with a name of its own"
        elif any(disk.capacity <= 0 for disk in message.disks):
            problem = "a disk's capacity must be positive"
        elif self._capacity_with(message) > MAX_CAPACITY:
            problem = f"all disks together would be above {format_size(MAX_CAPACITY)}"
        elif server is None and len(self.servers) >= MAX_SERVERS:
            problem = f"there are {MAX_SERVERS} servers already"
        elif self.durable and held and self._next == 1:
            problem = (
                f"it holds {len(held)} allocations ({min(held)}, ...) and this ledger is new: start the "
                "orchestrator with the ledger they are from, or empty the server"
            )
        elif server is not None:
            now_there = {f"{message.server}/{disk.name}": disk.capacity for disk in message.disks}
            for lease in self.leases.values():
                for disk in lease.shares:
                    if disk.startswith(f"{message.server}/") and disk not in now_there:
                        problem = f"{disk} holds {lease.name} and is missing"
            for disk, capacity in now_there.items():
                i = self.room.index.get(disk)
                if i is not None and capacity < (before := self.room.disks[i][1].capacity) and self.leases:
                    problem = f"{disk} can't shrink from {format_size(before)} while leases live"
        if problem:
            self.counts["refused_registration"] += 1
            self._note_refusal(f"server {message.server}", "registration", problem)
            self._say(address, m.Reply(id=message.id, sent=self.now, state="refused", reason=problem))
            return
        if server is None:
            server = self.servers[message.server] = Server(message.server, message.backend, [])
        changed = server.disks != message.disks or server.backend != message.backend
        server.disks, server.backend = list(message.disks), message.backend
        server.address, server.heard, server.state = address, self.now, "up"
        self._awaited.discard(server.name)
        self.room.servers_changed()
        self._rows.append(server.row())
        if changed:
            self._rebuild()
        self._log("registered", server=server.name, disks=len(server.disks), held=len(held))
        self._say(address, m.Welcome(sent=self.now, heartbeat=self.heartbeat))
        self._reconcile(server, held)
        self._freed = True
        self._unblock()

    def _capacity_with(self, message: m.RegisterServer) -> int:
        """Bytes of all disks once this server has registered."""
        others = sum(d.capacity for s in self.servers.values() if s.name != message.server for d in s.disks)
        return others + sum(disk.capacity for disk in message.disks)

    def unheard(self, address: bytes) -> None:
        """A message to this address was lost: a server is told to register, which puts everything right."""
        for server in self.servers.values():
            if server.address == address:
                server.address = None

    def hold(self, rows: list[Row], out: list[tuple[bytes, m.Message]]) -> list[tuple[bytes, m.Message]]:
        """Keep a drained batch for later; what may be sent at once: refusals, which promise nothing."""
        self._rows = list({key_of(row): row for row in (*rows, *self._rows)}.values())
        refusals: list[tuple[bytes, m.Message]] = []
        self._out = []
        for address, message in out:
            # an answer that only tells (a list, a status) promises nothing either
            at_once = isinstance(message, m.Reply) and (
                not message.ok or bool(message.data and not message.lease)
            )
            (refusals if at_once else self._out).append((address, message))
        return refusals

    def take_back(
        self, rows: list[Row], out: list[tuple[bytes, m.Message]], reason: str
    ) -> list[tuple[bytes, m.Message]]:
        """A drained batch could not be made durable: what it newly granted is refused instead.

        Nobody has been told and no server has been sent anything of it. What else changed stays to be written
        and sent. Returns the refusals, which may be sent at once: they promise nothing.
        """
        self.unsafe = reason
        live = [self.leases[number] for number in sorted(self.fresh) if number in self.leases]
        self.fresh.clear()
        for lease in live:
            self.queue.pop(lease.number, None)
            self._blocked.pop(lease.number, None)
            self._let_go(lease)
            if lease.state == "provisioning":
                for disk in lease.shares:
                    self.room.vacate(lease, disk)
                lease.pending = set()
            lease.shares = {}
            lease.asks |= {(a, x.id) for a, x in out if isinstance(x, m.Reply) and x.lease == lease.name}
            self._finish(lease, "refused", reason)
        gone = {lease.name for lease in live}
        kept = [
            (a, x)
            for a, x in out
            if not (isinstance(x, m.Reply | m.Provision | m.Remove) and x.lease in gone)
        ]
        own, told = self.drain()
        return self.hold([*rows, *own], [*kept, *told])

    def _reconcile(self, server: Server, held: dict[str, int]) -> None:
        """Bring what exists on a server that (re)appeared in line with the ledger."""
        prefix = f"{server.name}/"
        wanted: set[str] = set()
        for lease in list(self.leases.values()):
            for disk in [d for d in lease.shares if d.startswith(prefix)]:
                key = f"{lease.name}/{disk.removeprefix(prefix)}"
                if lease.state == "ending":
                    if disk in lease.pending:
                        if key in held:
                            self._remove(lease, disk)
                        else:
                            self._gone(lease, disk)
                    wanted.add(key)
                elif lease.state in ("provisioning", "allocated"):
                    wanted.add(key)
                    if disk in lease.pending:
                        self._provision(lease, disk)
                    elif key not in held:
                        self._log("lost", lease=lease.name, disk=disk)
                        self.counts["lost"] += 1
                        lease.pending.add(disk)
                        self._change(lease, "provisioning", "its space was found missing and is made anew")
                        self._provision(lease, disk)
        for key in sorted(set(held) - wanted):
            # what the ledger once gave, and has taken back since
            lease_name, _, disk_name = key.partition("/")
            self._log("orphan", server=server.name, key=key)
            self.outstanding += 1
            self._say(server.address, m.Remove(lease=lease_name, disk=disk_name))

    def _forget(self, message: m.ForgetServer) -> m.Reply:
        server = self.servers.get(message.server)
        if server is None:
            return self._no(message, f"no server {message.server!r}")
        if server.state == "up":
            return self._no(message, f"{message.server!r} is up; only a server that is away can be forgotten")
        prefix = f"{server.name}/"
        for lease in list(self.leases.values()):
            if any(disk.startswith(prefix) for disk in lease.shares):
                if lease.state != "ending":
                    self._end(lease, "failed", f"the server {server.name} was forgotten")
                for disk in sorted(d for d in lease.pending if d.startswith(prefix)):
                    self._gone(lease, disk)
                # what other servers still have to remove stays
                lease.shares = {d: size for d, size in lease.shares.items() if not d.startswith(prefix)}
                self._dirty[lease.number] = lease
        self._arriving.pop(server.name, None)
        self._awaited.discard(server.name)
        del self.servers[server.name]
        server.state = "forgotten"
        self._rows.append(server.row())
        self._rebuild()
        return m.Reply(id=message.id, sent=self.now, state="ok")


def lease_number(name: str) -> int:
    """The number in a lease's name; -1, which is nobody's, if it is none."""
    digits = name[1:]
    return (
        int(digits) if name[:1] == "L" and digits.isascii() and digits.isdigit() and len(digits) < 19 else -1
    )


def key_of(row: Row) -> tuple[str, object]:
    """What a row replaces in the ledger."""
    if isinstance(row, LeaseRow):
        return "lease", row.number
    return ("server", row.name) if isinstance(row, ServerRow) else (f"answer {row.user}", row.request)
