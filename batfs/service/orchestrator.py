"""The orchestrator's process: one socket, one thread, one ledger file.

A round: take the messages that have arrived, give each to the core, make what changed durable in one
transaction, then send the answers. Under load a round holds many messages, so that one wait for the disk
serves them all (group commit). When the ledger can't be written, what a round newly granted is refused, and
so is every further change, until it can be written again; what was under way is kept and written then.
"""

from __future__ import annotations

import signal
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from batfs.connections import Connections, bind, unlink_bound
from batfs.errors import InputError
from batfs.service import messages as m
from batfs.service.auth import LOCAL, AllowList, KeyPair, Peer, is_loopback, serve_with, start_authenticator
from batfs.service.clock import RECORD_EVERY, Clock
from batfs.service.core import MOVES_TIME, Core
from batfs.service.leases import FINAL, LIVE
from batfs.service.logs import Log
from batfs.service.metrics import Metrics
from batfs.service.store import Row, Store, StoreError
from batfs.storage.interface import AllocationPolicy

ROUND = 512
PRUNE_EVERY = 600.0
# a ledger that can't be written is tried again so often
RETRY_EVERY = 0.5
# whole messages of one connection that wait to be read, and the parts of one that are looked at
WAITING = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """``ledger`` None: nothing survives (``--simulate``). ``metrics``: port on loopback, 0 for none.

    ``grace``: a lease's space is kept so long after its end; ``quota``: leases and requests a user may have.
    """

    endpoint: str = "tcp://127.0.0.1:28100"
    ledger: Path | None = None
    keys: KeyPair | None = None
    allowed: Path | None = None
    discipline: str = "fifo"
    heartbeat: float = 5.0
    seed: int = 0
    simulate: bool = False
    block_size: int | None = None
    min_block_size: int = 0
    metrics: int = 0
    grace: float = 0.0
    quota: int = 1_000_000

    def check(self) -> None:
        """InputError for a setting that makes no sense."""
        if not 0.01 <= self.heartbeat <= 86400.0:
            raise InputError(f"a heartbeat every {self.heartbeat:g} s", hint="0.01 to 86400 s is expected")
        if not 0 <= self.grace <= m.MAX_SECONDS or self.quota < 1:
            raise InputError("the grace period must not be negative, the quota at least 1")
        if not 0 <= self.metrics < 65536:
            raise InputError(f"the port {self.metrics} is not 0 to 65535")
        if self.keys is None and not is_loopback(self.endpoint):
            raise InputError(
                f"without keys the orchestrator binds to loopback only, not {self.endpoint}",
                hint="make keys with 'batfs service keys', then --key and --allow",
            )
        if (self.keys is None) != (self.allowed is None):
            raise InputError("keys and an allow-list go together", hint="--key FILE --allow FILE")
        if self.keys is not None and self.keys.secret is None:
            raise InputError("the orchestrator's key file holds no secret key", hint="give NAME.key_secret")
        if self.simulate and self.ledger is not None:
            raise InputError("a simulation keeps no ledger file", hint="leave out --ledger")


class Orchestrator:
    """Binds on construction; :meth:`run` serves until :meth:`stop` (or a signal). Raises InputError."""

    def __init__(self, settings: Settings, policy: AllocationPolicy, log: Log | None = None) -> None:
        self.settings, self.log = settings, log or Log("orchestrator")
        settings.check()
        self.allowed = AllowList(settings.allowed) if settings.allowed else None
        self.store = Store(settings.ledger) if settings.ledger else None
        if self.store is not None and self.store.migrated is not None:
            self.log("ledger of an older version", copy=str(self.store.migrated))
        self.clock = Clock(self.store.moment() if self.store is not None else None)
        self.core = Core(
            policy,
            seed=settings.seed,
            discipline=settings.discipline,
            heartbeat=settings.heartbeat,
            virtual=settings.simulate,
            block_size=settings.block_size,
            min_block_size=settings.min_block_size,
            now=0.0 if settings.simulate else self.clock.now(),
            grace=settings.grace,
            log=self.log,
        )
        self.core.quota, self.core.durable = settings.quota, self.store is not None
        if self.store is not None:
            since = self.clock.now() - 2 * m.MAX_AGE
            self.core.nothing_ends_before = self.clock.grace_until
            if self.clock.grace_until:
                self.log("the date is far past the last record: a grace period", until=self.clock.grace_until)
            self.core.restore(
                self.store.servers(),
                self.store.leases(LIVE, since),
                self.store.answers(since),
                self.store.last_number(),
            )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator = None
        if settings.keys is not None:
            assert self.allowed is not None
            self._authenticator = start_authenticator(self._context, self.allowed)
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 500
        # a peer that goes on reading slowly loses messages (it asks again), never blocks the others
        self._socket.sndhwm = 10_000
        # one byte more than is allowed, so that what is too long is refused and not only cut off
        self._socket.set(zmq.MAXMSGSIZE, 2 * m.MAX_BYTES)
        self._socket.rcvhwm = WAITING
        self._socket.set(zmq.HEARTBEAT_IVL, 5000)
        self._socket.set(zmq.ROUTER_HANDOVER, 0)
        if settings.keys is not None:
            serve_with(self._socket, settings.keys)
        self._connections = Connections(self._socket)
        self._unlink = weakref.finalize(self, unlink_bound, self._socket, settings.endpoint)
        try:
            self.endpoint = bind(self._socket, settings.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(f"cannot bind to {settings.endpoint}: {error.strerror}") from error
        self._stopping = False
        self._waiting: deque[tuple[bytes, Peer, bytes, float]] = deque()
        # when to try to write again, and when a moment was written last
        self._retry = self._recorded = 0.0
        try:
            self._metrics = Metrics(settings.metrics, self.core) if settings.metrics else None
        except BaseException:
            self.close()
            raise

    def stop(self, *_: Any) -> None:
        """End :meth:`run` after the round that is under way (safe in a signal handler)."""
        self._stopping = True

    def run(self, *, signals: bool = True, every_round: Callable[[], None] | None = None) -> None:
        if signals:
            signal.signal(signal.SIGTERM, self.stop)
            signal.signal(signal.SIGINT, self.stop)
        self.log(
            "started", endpoint=self.endpoint, leases=len(self.core.leases), policy=self.core.room.policy.name
        )
        pruned = time.monotonic()
        try:
            while not self._stopping:
                self._round()
                if every_round is not None:
                    every_round()
                if self.store is not None and time.monotonic() - pruned > PRUNE_EVERY:
                    pruned = time.monotonic()
                    try:
                        self.store.prune(self.clock.now() - 2 * m.MAX_AGE, FINAL)
                    except StoreError as error:
                        self.log("not pruned", reason=str(error))
        finally:
            self.log("stopped")
            self.close()

    def _patience(self) -> int:
        """Milliseconds until something is due; short, for connections are looked after meanwhile."""
        if self.settings.simulate:
            return 200
        left = min(0.2, self.core.next_time() - self.clock.now())
        return max(0, int(left * 1000) + 1)

    def _round(self) -> None:
        core, taken = self.core, 0
        if self._socket.poll(self._patience()):
            while taken < ROUND:
                try:
                    frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                taken += 1
                self._take(frames)
        closed = self._connections.look()
        if closed:
            core.counts["refused_endless"] += closed
            self.log("closed", connections=closed, reason="much was sent, and no whole message")
        if not self.settings.simulate:
            core.offset = self.clock.offset()
            core.advance(self.clock.now())
            problem = "" if self.allowed is None else self.allowed.look()
            if problem != core.closed:
                core.closed = problem
                self.log("allow-list", problem=problem or "none any more")
        else:
            self._simulate()
        self._flush()
        if self._metrics is not None:
            self._metrics.serve()

    def _take(self, frames: list[zmq.Frame]) -> None:
        address = frames[0].bytes
        self._connections.heard(frames[-1])
        peer = self._peer(frames[-1])
        if peer is None:
            # authenticated once, but no longer on the list
            self.core.refuse_frame(
                address, None, m.MessageError("key", "a key that is not on the allow-list")
            )
            return
        if len(frames) != 2:
            self.core.refuse_frame(address, peer, m.MessageError("malformed", f"{len(frames) - 1} frames"))
            return
        frame = frames[1].bytes
        if self.settings.simulate:
            self._hear_simulated(address, peer, frame)
        else:
            self.core.handle(self.clock.now(), address, peer, frame)

    def _peer(self, frame: zmq.Frame) -> Peer | None:
        if self.allowed is None:
            return LOCAL
        try:
            key = frame.get("User-Id")
        except zmq.ZMQError:
            return None
        return self.allowed.peer(str(key))

    def _simulate(self) -> None:
        """Virtual time: what servers say comes first; a client is heard when everything before is settled.

        So the clock stands still while space is made and removed, and only requests move it.
        """
        while self._waiting and not self.core.outstanding:
            address, peer, frame, due = self._waiting[0]
            if self.core.next_time() <= due:
                self.core.advance(due, one=True)
                continue
            self._waiting.popleft()
            self.core.handle(self.core.now, address, peer, frame)

    def _hear_simulated(self, address: bytes, peer: Peer, frame: bytes) -> None:
        message: m.Message | None
        try:
            message = m.decode(frame)
        except m.MessageError:
            message = None
        if isinstance(message, MOVES_TIME):
            self._waiting.append((address, peer, frame, message.sent))
        else:
            self.core.handle(self.core.now, address, peer, frame)

    def _flush(self) -> None:
        rows, out = self.core.drain()
        if self.store is not None:
            out = self._keep(self.store, rows, out)
        for address, message in out:
            try:
                frame = m.encode(message)
            except m.MessageError as error:
                if not isinstance(message, m.Reply):
                    self.log("unsent", type=type(message).__name__, reason=str(error))
                    continue
                frame = m.encode(
                    m.Reply(id=message.id, sent=message.sent, state="refused", reason=str(error))
                )
            try:
                self._socket.send_multipart([address, frame], zmq.NOBLOCK)
            except zmq.ZMQError:  # it reads too slowly, or is gone
                self.core.counts["unsent"] += 1
                self.core.unheard(address)

    def _keep(
        self, store: Store, rows: list[Row], out: list[tuple[bytes, m.Message]]
    ) -> list[tuple[bytes, m.Message]]:
        """Make ``rows`` durable; what may be sent: all of ``out``, or the refusals only."""
        core = self.core
        late = bool(core.unsafe)
        quiet = time.monotonic() - self._recorded < RECORD_EVERY
        if not rows and quiet and not late:
            return out
        if late and time.monotonic() < self._retry:
            return core.hold(rows, out)
        try:
            store.write(rows, self.clock.moment())
        except StoreError as error:
            self._retry = time.monotonic() + RETRY_EVERY
            if not late:
                self.log("ledger", problem=str(error))
            return core.take_back(rows, out, str(error))
        self._recorded = time.monotonic()
        core.fresh.clear()
        if late:
            core.unsafe = ""
            self.log("ledger", problem="none any more")
        return out

    def close(self) -> None:
        """Give everything back; may be called again."""
        if getattr(self, "_metrics", None) is not None:
            assert self._metrics is not None
            self._metrics.close()
        self._unlink()
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._socket.close()
        self._connections.close()
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._context.term()
        if self.store is not None:
            self.store.close()
