"""The orchestrator's mind: messages and the clock in, rows to keep and messages to send out.

No sockets, no files, no clock: the caller gives the time, makes :meth:`Core.drain`'s rows durable, and only
then sends its messages. Whatever an answer says is therefore on the disk before anybody can read it.

Room is decided by the project's :class:`~batfs.storage.ledger.Ledger` and allocation policies. Beside it the
core counts the bytes that *exist* on each disk: a share is provisioned only when what was there before has
been removed, so that a byte is never given twice, not even while a server is slow or away.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from batfs.service import messages as m
from batfs.service.auth import Peer
from batfs.service.leases import FINAL, LIVE, Lease, Server
from batfs.service.store import AnswerRow, LeaseRow, Row, ServerRow
from batfs.storage.interface import AllocationPolicy, Share, SpaceRequest, Storage
from batfs.storage.ledger import HELD, RELEASED, Ledger, NoRoomError
from batfs.storage.split import block_sizes, choose_blocks
from batfs.storage.view import SystemView

# what moves the clock in virtual time
MOVES_TIME = (m.RequestSpace, m.ReleaseLease, m.ExtendLease, m.PassTime)
MAX_DURATION = 10 * 366 * 86400.0
# at one instant: what ends, then what begins, then whose patience is over
END, START, WAIT = 0, 1, 2


class Core:
    """``discipline``: ``fifo`` (nobody overtakes the head of the queue) or ``backfill`` (whoever fits).

    ``heartbeat``: seconds between a server's signs of life; it is away after three that are missing.
    ``block_size``: larger requests are split into blocks of it, placed by the policy one by one.
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
        log: Callable[..., None] | None = None,
    ) -> None:
        self.policy, self.discipline, self.heartbeat, self.virtual = policy, discipline, heartbeat, virtual
        self.block_size, self.min_block_size = block_size, min_block_size
        block_sizes(1, block_size, min_block_size)  # says what is wrong with them
        self.rng = random.Random(seed)
        self.now = now
        self._log = log or (lambda *_, **__: None)
        self.servers: dict[str, Server] = {}
        self.leases: dict[int, Lease] = {}  # live ones
        self.queue: OrderedDict[int, Lease] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.refusals: deque[dict[str, Any]] = deque(maxlen=50)
        self.history: deque[tuple[float, int, int]] = deque(maxlen=4000)
        # (time, disk, bytes reserved, allocations) at each change: what the live page draws per disk
        self.changes: deque[tuple[float, str, int, int]] = deque(maxlen=4000)
        self._next = 1
        self._known: OrderedDict[tuple[str, str], tuple[bytes, float, int | bytes]] = OrderedDict()
        self._finals: dict[int, Lease] = {}  # ended lately: a repeated request gets its answer
        self._agenda: list[tuple[float, int, int]] = []
        self._blocked: OrderedDict[int, Lease] = OrderedDict()
        self._addresses: dict[bytes, str] = {}
        self._dirty: dict[int, Lease] = {}
        self._rows: list[Row] = []
        self._out: list[tuple[bytes, m.Message]] = []
        self.ledger = Ledger([], now=now, release_at_end=True)
        self._view = SystemView(self.ledger)
        self._disks: list[tuple[Server, m.Disk]] = []
        self._index: dict[str, int] = {}
        self._present: list[int] = []
        self._up: np.ndarray[Any, np.dtype[np.int64]] | None = None
        self.outstanding = 0
        self._freed = False

    # ---- in and out ----------------------------------------------------------------------------------------

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
        for lease_row in leases:
            lease = Lease.of(lease_row)
            self._known[lease.user, lease.request] = (lease.digest, lease.changed, lease.number)
            if lease.state in FINAL:
                self._finals[lease.number] = lease
                continue
            self.leases[lease.number] = lease
            if lease.state == "queued":
                self.queue[lease.number] = lease
                heapq.heappush(self._agenda, (lease.wait_until, WAIT, lease.number))
            else:
                kind = START if lease.state == "reserved" else END
                heapq.heappush(
                    self._agenda, (lease.start if kind == START else lease.end, kind, lease.number)
                )
        for answer in answers:
            self._known[answer.user, answer.request] = (answer.digest, answer.at, answer.reply)
        self._next = last + 1
        self._rebuild()
        for lease in self.leases.values():
            if lease.state in ("provisioning", "allocated", "ending"):
                for disk, size in lease.shares.items():
                    self._present[self._index[disk]] += size
                if lease.state != "allocated":
                    lease.pending = set(lease.shares)

    def handle(self, now: float, address: bytes, peer: Peer, frame: bytes) -> None:
        """One frame from ``peer``. Never raises for what is in the frame."""
        known = m.BY_ROLE[peer.role] if peer.name != "local" else m.OPERATOR | m.SERVER
        try:
            message = m.decode(frame, known)
            if self.virtual and isinstance(message, MOVES_TIME):
                now = max(now, message.sent)
            self.advance(now)
            if not self.virtual and abs(now - message.sent) > m.MAX_AGE:
                raise m.MessageError("replayed", "sent too long ago (or a clock is wrong)", message.id)
            self._dispatch(address, peer, message, frame)
            self._serve_queue()
        except m.MessageError as error:
            self.refuse_frame(address, peer, error)

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
                mine = [
                    lease.summary()
                    for lease in self.leases.values()
                    if lease.user == peer.name or (message.all and peer.role == "operator")
                ]
                self._say(address, m.Reply(id=message.id, sent=self.now, state="ok", data={"leases": mine}))
            case m.GetStatus():
                from batfs.service.status import status

                data = status(self, history=message.history, details=peer.role == "operator")
                self._say(address, m.Reply(id=message.id, sent=self.now, state="ok", data=data))
            case m.PassTime() if self.virtual:
                self._say(address, m.Reply(id=message.id, sent=self.now, state="ok"))
            case m.LogRecords():
                for record in message.records:
                    self._log("gathered", component=f"{peer.name}/{message.component}", record=record)
            case _:
                self._from_server(address, peer, message)

    def _say(self, address: bytes | None, message: m.Message) -> None:
        if address is not None:
            self._out.append((address, message))

    def _note_refusal(self, who: str, reason: str, text: str) -> None:
        self.refusals.append({"time": self.now, "who": who, "reason": reason, "text": text[:300]})
        self._log("refused", who=who, reason=reason, text=text[:300])

    # ---- clients -------------------------------------------------------------------------------------------

    def _request(self, address: bytes, peer: Peer, message: m.RequestSpace, frame: bytes) -> None:
        digest = hashlib.blake2b(frame, digest_size=16).digest()
        earlier = self._known.get((peer.name, message.id))
        if earlier is not None:
            if earlier[0] != digest or not isinstance(earlier[2], int):
                raise m.MessageError("replayed", "this id was used for something else", message.id)
            lease = self.leases.get(earlier[2]) or self._finals[earlier[2]]
            self._answer(lease, {(address, message.id)}, again=True)
            return
        start = self.now if message.start is None else max(message.start, self.now)
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
        )
        lease.asks.add((address, message.id))
        self._known[peer.name, message.id] = (digest, self.now, number)
        self.counts["requests"] += 1
        self.leases[number] = lease
        wrong = self._wrong(lease)
        if wrong:
            self._finish(lease, "refused", wrong)
        elif (self.discipline == "fifo" and self.queue) or not self._place(lease):
            if message.wait > 0 and self._could_fit(lease):
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
            return f"the duration must be above 0 and at most {MAX_DURATION:.0f} s"
        if lease.start > self.now + MAX_DURATION:
            return "the start is too far ahead"
        return ""

    def _could_fit(self, lease: Lease) -> bool:
        return lease.size <= int(self.ledger.capacities.sum())

    def _shortage(self, lease: Lease) -> str:
        if self.queue and self.discipline == "fifo" and lease.number not in self.queue:
            return "others wait for room before it"
        up = self._candidates()
        if not len(up):
            return "no storage server is up"
        largest = int(self.ledger.free(lease.start, lease.end)[up].max())
        return f"no room: the most free bytes on one disk for that time are {largest}"

    def _candidates(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        if self._up is None:
            self._up = np.array(
                [i for i, (server, _) in enumerate(self._disks) if server.state == "up"], dtype=np.int64
            )
        return self._up

    def _place(self, lease: Lease) -> bool:
        """Find room by the policy and book it; False if there is none now."""
        up = self._candidates()
        if not len(up):
            return False
        request = SpaceRequest(
            lease.size,
            lease.start,
            lease.end,
            key=lease.name,
            candidates=None if len(up) == len(self._disks) else up,
            options=lease.options,
        )
        sizes = block_sizes(lease.size, self.block_size, self.min_block_size)
        if len(sizes) == 1:
            choice = self.policy.choose(self._view, request, self.rng)
        else:
            choice = choose_blocks(self.policy, self._view, request, sizes, self.rng)
        if choice is None:
            return False
        try:
            self.ledger.check(choice, lease.start, lease.end)
        except NoRoomError:  # a policy that looks at no capacity
            return False
        lease.lines = [
            self.ledger.reserve([share], start=lease.start, end=lease.end, key=lease.name) for share in choice
        ]
        lease.shares = {}
        for share in choice:
            disk = self._names[share.index]
            lease.shares[disk] = lease.shares.get(disk, 0) + share.size
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

    def _begin(self, lease: Lease) -> None:
        """Have the servers make the space, or wait until what stood there is gone."""
        heapq.heappush(self._agenda, (lease.end, END, lease.number))
        self._change(lease, "reserved")
        self._blocked[lease.number] = lease
        self._unblock()

    def _unblock(self) -> None:
        for lease in list(self._blocked.values()):
            indices = [(self._index[disk], size) for disk, size in lease.shares.items()]
            if any(self._present[i] + size > self._disks[i][1].capacity for i, size in indices):
                continue
            del self._blocked[lease.number]
            for i, size in indices:
                self._present[i] += size
            lease.pending = set(lease.shares)
            self._change(lease, "provisioning")
            for disk in lease.shares:
                self._provision(lease, disk)

    def _provision(self, lease: Lease, disk: str) -> None:
        server, entry = self._disks[self._index[disk]]
        self.outstanding += 1
        self._say(
            server.address,
            m.Provision(
                lease=lease.name, disk=entry.name, size=lease.shares[disk], user=lease.user, host=lease.host
            ),
        )

    def _once(self, address: bytes, peer: Peer, message: m.Message, frame: bytes) -> None:
        """A change that is not a request for space: done once, answered as often as it is sent."""
        digest = hashlib.blake2b(frame, digest_size=16).digest()
        earlier = self._known.get((peer.name, message.id))
        if earlier is not None:
            if earlier[0] != digest or isinstance(earlier[2], int):
                raise m.MessageError("replayed", "this id was used for something else", message.id)
            answer = m.decode(earlier[2])
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
            self._rows.append(AnswerRow(peer.name, message.id, digest, kept, self.now))
        self._say(address, answer)

    def _own(self, peer: Peer, name: str) -> Lease | None:
        number = int(name[1:]) if name[:1] == "L" and name[1:].isascii() and name[1:].isdigit() else -1
        lease = self.leases.get(number)
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
            return self._no(message, "the extension must be above 0, and the lease not too long")
        shares = [share for line in lease.lines for share in line.shares]
        try:
            self.ledger.check(shares, lease.end, lease.end + message.duration)
        except NoRoomError as error:
            return self._no(message, f"others come after it: {error}")
        for line in lease.lines:
            self.ledger.set_end(line, lease.end + message.duration)
        lease.duration += message.duration
        heapq.heappush(self._agenda, (lease.end, END, lease.number))
        self._change(lease, lease.state)
        return m.Reply(id=message.id, sent=self.now, state="ok", lease=lease.name, data={"end": lease.end})

    def _no(self, message: m.Message, reason: str) -> m.Reply:
        self.counts["refused_requests"] += 1
        return m.Reply(id=message.id, sent=self.now, state="refused", reason=reason)

    # ---- the life of a lease -------------------------------------------------------------------------------

    def _change(self, lease: Lease, state: str, reason: str = "") -> None:
        lease.state, lease.reason, lease.changed = state, reason, self.now
        self._dirty[lease.number] = lease

    def _answer(self, lease: Lease, asks: set[tuple[bytes, str]], *, again: bool = False) -> None:
        """Tell whoever asked for the lease how it stands; those who must wait are remembered."""
        state = {"queued": "queued", "reserved": "granted", "allocated": "allocated"}.get(lease.state)
        if lease.state in ("ending", *FINAL):
            state = "refused" if lease.state in ("refused", "failed") else "released"
        blocked = lease.number in self._blocked
        if (state is None or blocked) or state in ("queued", "granted"):
            lease.asks |= asks
        if state is None or blocked:
            return
        for address, message_id in sorted(asks):
            self._say(
                address,
                m.Reply(
                    id=message_id,
                    sent=self.now,
                    state=state,
                    reason=lease.reason,
                    lease=lease.name,
                    data=lease.summary(),
                ),
            )

    def _end(self, lease: Lease, final: str, reason: str) -> None:
        """Stop holding: at once if nothing exists on a disk, else when the servers have removed it."""
        if lease.state in ("queued", "reserved"):
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
        server, entry = self._disks[self._index[disk]]
        self.outstanding += 1
        self._say(server.address, m.Remove(lease=lease.name, disk=entry.name))

    def _let_go(self, lease: Lease) -> None:
        for line in lease.lines:
            if line.state != RELEASED:
                self.ledger.release(line)
        lease.lines = []
        self._freed = True
        self._sample()

    def _finish(self, lease: Lease, final: str, reason: str) -> None:
        self._change(lease, final, reason)
        self.leases.pop(lease.number, None)
        self._finals[lease.number] = lease
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
            if lease.now_start:
                lease.start = self.now
            if self._place(lease):
                del self.queue[lease.number]
                self.counts["delayed"] += 1
            elif self.discipline == "fifo":
                return

    # ---- servers -------------------------------------------------------------------------------------------

    def _from_server(self, address: bytes, peer: Peer, message: m.Message) -> None:
        name: str = message.server  # type: ignore[attr-defined]
        if peer.name not in (name, "local"):
            raise m.MessageError("role", f"the key of {peer.name!r} can't speak for {name!r}", message.id)
        if isinstance(message, m.RegisterServer):
            self._register(address, message)
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
        lease = self.leases.get(int(message.lease[1:])) if message.lease[1:].isdigit() else None
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
            if not lease.pending:
                self._change(lease, "allocated")
                self._answer(lease, lease.asks)
                lease.asks = set()

    def _gone(self, lease: Lease, disk: str) -> None:
        """A share no longer exists on its disk."""
        lease.pending.discard(disk)
        self._present[self._index[disk]] -= lease.shares[disk]
        if not lease.pending:
            final, _, reason = lease.reason.partition(": ")
            self._finish(lease, final or "ended", reason)
        self._unblock()

    def _register(self, address: bytes, message: m.RegisterServer) -> None:
        server = self.servers.get(message.server)
        names = [disk.name for disk in message.disks]
        problem = ""
        if not names or len(set(names)) != len(names):
            problem = "a server has one disk or more, each with a name of its own"
        elif any(disk.capacity <= 0 for disk in message.disks):
            problem = "a disk's capacity must be positive"
        elif server is not None:
            now_there = {f"{message.server}/{disk.name}": disk.capacity for disk in message.disks}
            for lease in self.leases.values():
                for disk in lease.shares:
                    if disk.startswith(f"{message.server}/") and disk not in now_there:
                        problem = f"{disk} holds {lease.name} and is missing"
            for disk, capacity in now_there.items():
                i = self._index.get(disk)
                if i is not None and capacity < self._disks[i][1].capacity and self.leases:
                    problem = f"{disk} can't shrink from {self._disks[i][1].capacity} while leases live"
        if problem:
            self.counts["refused_registration"] += 1
            self._note_refusal(f"server {message.server}", "registration", problem)
            self._say(address, m.Reply(id=message.id, sent=self.now, state="refused", reason=problem))
            return
        if server is None:
            server = self.servers[message.server] = Server(message.server, message.backend, [])
        changed = server.disks != message.disks or server.backend != message.backend
        server.disks, server.backend = list(message.disks), message.backend
        if server.address is not None:
            self._addresses.pop(server.address, None)
        server.address, server.heard, server.state = address, self.now, "up"
        self._addresses[address] = server.name
        self._up = None
        self._rows.append(server.row())
        if changed:
            self._rebuild()
        self._log("registered", server=server.name, disks=len(server.disks), held=len(message.held))
        self._say(address, m.Welcome(sent=self.now, heartbeat=self.heartbeat))
        self._reconcile(server, message.held)
        self._freed = True
        self._unblock()

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
                for disk in [d for d in lease.pending if d.startswith(prefix)]:
                    self._gone(lease, disk)
        del self.servers[server.name]
        server.state = "forgotten"
        self._rows.append(server.row())
        self._rebuild()
        return m.Reply(id=message.id, sent=self.now, state="ok")

    def _rebuild(self) -> None:
        """A new ledger over the servers there are, with every live reservation in it."""
        present = dict(zip(self._index, self._present, strict=True))
        self._disks = [(s, d) for s in self.servers.values() for d in s.disks]
        self._names = [f"{s.name}/{d.name}" for s, d in self._disks]
        self._index = {name: i for i, name in enumerate(self._names)}
        self._present = [present.get(name, 0) for name in self._names]
        self._up = None
        self.ledger = Ledger(
            [
                Storage(
                    i,
                    self._names[i],
                    d.capacity,
                    group=f"{s.name}/{d.node}",
                    read_bandwidth=d.read_bandwidth or None,
                    write_bandwidth=d.write_bandwidth or None,
                    network_bandwidth=d.network_bandwidth or None,
                )
                for i, (s, d) in enumerate(self._disks)
            ],
            now=self.now,
            release_at_end=True,
        )
        self._view = SystemView(self.ledger)
        self.ledger.listen(self._changed)
        for lease in self.leases.values():
            if lease.state in ("reserved", "provisioning", "allocated") and lease.end > self.now:
                shares = [Share(self._index[disk], size) for disk, size in lease.shares.items()]
                lease.lines = [
                    self.ledger.reserve(
                        shares, start=max(lease.start, self.now), end=lease.end, key=lease.name
                    )
                ]
            else:
                lease.lines = []

    # ---- time ----------------------------------------------------------------------------------------------

    def next_time(self) -> float:
        """When something is due; infinite if nothing is."""
        return self._agenda[0][0] if self._agenda else float("inf")

    def advance(self, now: float, *, one: bool = False) -> None:
        """Move the clock: leases begin and end, the queue's patience runs out, servers are missed."""
        while self._agenda and self._agenda[0][0] <= now:
            time, kind, number = heapq.heappop(self._agenda)
            lease = self.leases.get(number)
            due = {} if lease is None else {START: lease.start, END: lease.end, WAIT: lease.wait_until}
            self.now = max(self.now, time)
            self.ledger.advance(max(self.ledger.now, self.now))
            if lease is None or due[kind] != time:
                pass
            elif kind == WAIT and lease.state == "queued":
                del self.queue[number]
                self._finish(lease, "refused", f"waited until its time was up; {self._shortage(lease)}")
                self._freed = True  # the next in the queue may be smaller
            elif kind == START and lease.state == "reserved" and number not in self._blocked:
                self._begin(lease)
            elif kind == END and lease.state in ("reserved", "provisioning", "allocated"):
                self.counts["expired"] += 1
                self._end(lease, "ended", "")
            if not self._agenda or self._agenda[0][0] > time:
                self._serve_queue()
                if one:
                    break
        else:
            self.now = max(self.now, now)
            self.ledger.advance(max(self.ledger.now, self.now))
        if not self.virtual:
            self._miss_servers()
            self._prune()

    def _miss_servers(self) -> None:
        for server in self.servers.values():
            if server.state == "up" and self.now - server.heard > 3 * self.heartbeat:
                server.state = "away"
                self._addresses.pop(server.address or b"", None)
                server.address = None
                self._up = None
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

    def _changed(self, time: float, index: int, held: int) -> None:
        count = int(self.ledger.overlaps(time, time)[index]) if time >= self.ledger.now else 0
        self.changes.append((time, self._names[index], held, count))

    def _sample(self) -> None:
        used = int(self.ledger.capacities.sum() - self.ledger.free(self.now, self.now).sum())
        if self.history and self.history[-1][0] == self.now:
            self.history.pop()
        self.history.append((self.now, used, len(self.ledger)))

    def validate(self) -> None:
        """The invariants; AssertionError names the one that is broken."""
        reserved = [0] * len(self._disks)
        present = [0] * len(self._disks)
        for lease in self.leases.values():
            assert lease.state in LIVE, lease.state
            assert not lease.shares or sum(lease.shares.values()) == lease.size, lease.name
            for disk, size in lease.shares.items():
                i = self._index[disk]
                if lease.lines and lease.lines[0].state == HELD:
                    reserved[i] += size
                exists = lease.state in ("provisioning", "allocated") or disk in lease.pending
                present[i] += size if exists else 0
        for i, (_, disk_) in enumerate(self._disks):
            assert self.ledger.held(i) == reserved[i], (
                f"{self._names[i]}: the ledger holds {self.ledger.held(i)}"
            )
            assert present[i] == self._present[i] <= disk_.capacity, (
                f"{self._names[i]}: {self._present[i]} exist"
            )
