"""The orchestrator's process: one socket, one thread, one ledger file.

A round: take the messages that have arrived, give each to the core, make what changed durable in one
transaction, then send the answers. Under load a round holds many messages, so that one wait for the disk
serves them all (group commit).
"""

from __future__ import annotations

import http.server
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from batfs.errors import InputError
from batfs.service import messages as m
from batfs.service.auth import LOCAL, AllowList, KeyPair, Peer, is_loopback, serve_with, start_authenticator
from batfs.service.core import MOVES_TIME, Core
from batfs.service.leases import FINAL, LIVE
from batfs.service.logs import Log
from batfs.service.status import prometheus
from batfs.service.store import Store
from batfs.storage.interface import AllocationPolicy

ROUND = 512
PRUNE_EVERY = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """``ledger`` None: nothing survives (``--simulate``). ``metrics``: port on loopback, 0 for none."""

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


class Orchestrator:
    """Binds on construction; :meth:`run` serves until :meth:`stop` (or a signal). Raises InputError."""

    def __init__(self, settings: Settings, policy: AllocationPolicy, log: Log | None = None) -> None:
        self.settings, self.log = settings, log or Log("orchestrator")
        if settings.keys is None and not is_loopback(settings.endpoint):
            raise InputError(
                f"without keys the orchestrator binds to loopback only, not {settings.endpoint}",
                hint="make keys with 'batfs service keys', then --key and --allow",
            )
        if (settings.keys is None) != (settings.allowed is None):
            raise InputError("keys and an allow-list go together", hint="--key FILE --allow FILE")
        if settings.keys is not None and settings.keys.secret is None:
            raise InputError("the orchestrator's key file holds no secret key", hint="give NAME.key_secret")
        if settings.simulate and settings.ledger is not None:
            raise InputError("a simulation keeps no ledger file", hint="leave out --ledger")
        self.allowed = AllowList(settings.allowed) if settings.allowed else None
        self.store = Store(settings.ledger) if settings.ledger else None
        self.core = Core(
            policy,
            seed=settings.seed,
            discipline=settings.discipline,
            heartbeat=settings.heartbeat,
            virtual=settings.simulate,
            block_size=settings.block_size,
            min_block_size=settings.min_block_size,
            now=0.0 if settings.simulate else time.time(),
            log=self.log,
        )
        if self.store is not None:
            since = time.time() - 2 * m.MAX_AGE
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
        self._socket.set(zmq.MAXMSGSIZE, 4 * m.MAX_BYTES)
        self._socket.set(zmq.HEARTBEAT_IVL, 5000)
        self._socket.set(zmq.ROUTER_HANDOVER, 0)
        if settings.keys is not None:
            serve_with(self._socket, settings.keys)
        try:
            self._socket.bind(settings.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(f"cannot bind to {settings.endpoint}: {error.strerror}") from error
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._stopping = False
        self._waiting: deque[tuple[bytes, Peer, bytes, float]] = deque()
        self._metrics = _serve_metrics(settings.metrics, self.core) if settings.metrics else None

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
                    self.store.prune(time.time() - 2 * m.MAX_AGE, FINAL)
                    pruned = time.monotonic()
        finally:
            self.log("stopped")
            self.close()

    def _patience(self) -> int:
        """Milliseconds until something is due, at most a second."""
        if self.settings.simulate:
            return 1000
        left = min(1.0, self.core.next_time() - time.time())
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
        if not self.settings.simulate:
            core.advance(time.time())
            if self.allowed is not None and self.allowed.problem:
                self.log("allow-list", problem=self.allowed.problem)
                self.allowed.problem = None
        else:
            self._simulate()
        self._flush()

    def _take(self, frames: list[zmq.Frame]) -> None:
        address = frames[0].bytes
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
            self.core.handle(time.time(), address, peer, frame)

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
        if rows and self.store is not None:
            self.store.write(rows)
        for address, message in out:
            try:
                self._socket.send_multipart([address, m.encode(message)], zmq.NOBLOCK)
            except zmq.Again:
                self.core.counts["unsent"] += 1
            except m.MessageError as error:
                short = m.Reply(id=message.id, sent=message.sent, state="refused", reason=str(error))
                self._socket.send_multipart([address, m.encode(short)], zmq.NOBLOCK)

    def close(self) -> None:
        if not self._socket.closed:
            self._socket.close()
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._context.term()
        if self.store is not None:
            self.store.close()
        if getattr(self, "_metrics", None) is not None:
            assert self._metrics is not None
            self._metrics.shutdown()
            self._metrics.server_close()


def _serve_metrics(port: int, core: Core) -> http.server.ThreadingHTTPServer:
    """`/metrics` for Prometheus, on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            for _ in range(5):
                try:
                    body = prometheus(core).encode()
                    break
                except RuntimeError:  # a table changed under the reading thread: read again
                    continue
            else:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(f"cannot serve metrics on port {port}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return server
