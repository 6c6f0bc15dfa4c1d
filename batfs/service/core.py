"""The orchestrator's mind: what each message does, from clients and from servers.

Room is decided by the project's allocator (see ``room``), the life of a lease is kept in the book (``book``).
Every message is checked here: who may say it, whether it was said before, whether it makes sense.
"""

from __future__ import annotations

import hashlib
import heapq

from batfs.service import messages as m
from batfs.service.auth import Peer
from batfs.service.book import END, WAIT, Book
from batfs.service.leases import Lease, Server
from batfs.service.store import AnswerRow

# what moves the clock in virtual time
MOVES_TIME = (m.RequestSpace, m.ReleaseLease, m.ExtendLease, m.PassTime)
MAX_DURATION = 10 * 366 * 86400.0


class Core(Book):
    """The book, and who may write what into it."""

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
            if message.wait > 0 and self.room.could_ever_fit(lease):
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
        against = self.room.extend(lease, message.duration)
        if against:
            return self._no(message, against)
        lease.duration += message.duration
        heapq.heappush(self._agenda, (lease.end, END, lease.number))
        self._change(lease, lease.state)
        return m.Reply(id=message.id, sent=self.now, state="ok", lease=lease.name, data={"end": lease.end})

    def _no(self, message: m.Message, reason: str) -> m.Reply:
        self.counts["refused_requests"] += 1
        return m.Reply(id=message.id, sent=self.now, state="refused", reason=reason)

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
                i = self.room.index.get(disk)
                if i is not None and capacity < (before := self.room.disks[i][1].capacity) and self.leases:
                    problem = f"{disk} can't shrink from {before} while leases live"
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
        self.room.servers_changed()
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
                for disk in sorted(d for d in lease.pending if d.startswith(prefix)):
                    self._gone(lease, disk)
                # what other servers still have to remove stays
                lease.shares = {d: size for d, size in lease.shares.items() if not d.startswith(prefix)}
        del self.servers[server.name]
        server.state = "forgotten"
        self._rows.append(server.row())
        self._rebuild()
        return m.Reply(id=message.id, sent=self.now, state="ok")
