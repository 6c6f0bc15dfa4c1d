"""``batfs-proxy``: the file systems between Batsim and any Batsim 4 decision process, over sockets.

Batsim speaks to the proxy as to its scheduler; the proxy speaks to the scheduler as Batsim does. Messages
pass through as they are; only those the :class:`~batfs.decision.injector.Injector` changes are written anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson
import zmq
from zmq.utils.monitor import recv_monitor_message

from batfs.decision.injector import Injector
from batfs.errors import BatfsError, InputError
from batfs.protocol import messages as m
from batfs.protocol.decision_side import ProtocolError, decision_to_json, request_from_json
from batfs.resource_sets import parse_resources

_EVENTS = frozenset(
    (
        "SIMULATION_BEGINS",
        "JOB_SUBMITTED",
        "JOB_COMPLETED",
        "JOB_KILLED",
        "REQUESTED_CALL",
        "NOTIFY",
        "SIMULATION_ENDS",
    )
)


class SchedulerGoneError(BatfsError):
    """The decision process behind the proxy went away."""


class RawProxy:
    """An :class:`Injector` on decoded JSON messages."""

    def __init__(self, injector: Injector) -> None:
        self.injector = injector
        self._now = 0.0

    def request(self, raw: dict[str, Any]) -> dict[str, Any] | None:
        """The simulator's message as the decision process shall get it; None if it needs none."""
        injector = self.injector
        try:
            now = self._now = float(raw["now"])
            events = raw["events"]
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"the simulator sent a message that is not Batsim 4's: {error}") from None
        due, injector.events = injector.events, []
        out = [event_to_json(event) for event in due]
        for event in events:
            if event.get("type") not in _EVENTS:
                out.append(event)
                continue
            (record,) = request_from_json({"now": now, "events": [event]}).events
            seen = injector.incoming(now, record)
            if seen is record:
                out.append(event)
            elif seen is not None:
                out.append(_changed(event, seen))
        out += [event_to_json(event) for event in injector.events]
        injector.events = []
        if events and not out:
            return None
        return {**raw, "events": out}

    def reply(self, raw: Mapping[str, Any] | None) -> dict[str, Any]:
        """The decision process's answer (None: it was not asked) as the simulator shall get it."""
        injector = self.injector
        out = [decision_to_json(decision) for decision in injector.alive(injector.decisions)]
        injector.decisions = []
        now = self._now
        if raw is not None:
            now = float(raw["now"])
            for event in raw["events"]:
                record = _decision(event)
                if record is None:
                    out.append(event)
                    continue
                sent = injector.outgoing(record.timestamp, record)
                if len(sent) == 1 and sent[0] is record:
                    out.append(event)
                else:
                    out += [decision_to_json(decision) for decision in sent]
        out += [decision_to_json(decision) for decision in injector.closing(now)]
        return {**(raw or {}), "now": now, "events": out}


def event_to_json(event: m.Event) -> dict[str, Any]:
    """The events an injector makes itself."""
    if isinstance(event, m.JobCompleted):
        data: dict[str, Any] = {
            "job_id": event.job_id,
            "job_state": event.state,
            "return_code": event.return_code,
            "alloc": event.alloc,
        }
        return {"timestamp": event.timestamp, "type": "JOB_COMPLETED", "data": data}
    assert isinstance(event, m.JobKilled)
    data = {"job_ids": list(event.job_ids), "job_progress": dict(event.progress)}
    return {"timestamp": event.timestamp, "type": "JOB_KILLED", "data": data}


def _changed(raw: Mapping[str, Any], seen: m.Event) -> dict[str, Any]:
    """``raw`` with what the injector changed in it."""
    data = dict(raw["data"])
    if isinstance(seen, m.SimulationBegins):
        data["config"] = dict(seen.config)
        shown = {resource.id for resource in seen.compute_resources}
        data["compute_resources"] = [r for r in data["compute_resources"] if r["id"] in shown]
        hidden = int(data["nb_compute_resources"]) - len(shown)
        data["nb_compute_resources"] = len(shown)
        data["nb_resources"] = int(data["nb_resources"]) - hidden
    elif isinstance(seen, m.JobKilled):
        kept = set(seen.job_ids)
        data["job_ids"] = list(seen.job_ids)
        data["job_progress"] = {k: v for k, v in data["job_progress"].items() if k in kept}
    return {**raw, "data": data}


def _decision(raw: Mapping[str, Any]) -> m.Decision | None:
    """A record of the decisions that concern an injector; None for the others."""
    try:
        kind, timestamp, data = raw["type"], float(raw["timestamp"]), raw.get("data") or {}
        if kind == "EXECUTE_JOB":
            io = data.get("additional_io_job")
            mapping = data.get("mapping")
            return m.ExecuteJob(
                timestamp,
                data["job_id"],
                parse_resources(data["alloc"]),
                None if mapping is None else {int(k): int(v) for k, v in mapping.items()},
                data.get("storage_mapping"),
                None if io is None else m.IoJob((), str(io.get("profile_name"))),
            )
        if kind == "KILL_JOB":
            return m.KillJob(timestamp, list(data["job_ids"]))
        if kind == "REJECT_JOB":
            return m.RejectJob(timestamp, data["job_id"])
        if kind == "CALL_ME_LATER":
            return m.CallMeLater(timestamp, float(data["timestamp"]))
        if kind == "NOTIFY":
            return m.Notify(timestamp, str(data["type"]))
        if kind in ("REGISTER_JOB", "REGISTER_PROFILE", "SUBMIT_JOB", "SUBMIT_PROFILE"):
            raise BatfsError("the scheduler behind the proxy registers dynamic jobs; they are off for it")
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise ProtocolError(f"the scheduler behind the proxy sent {raw!r:.200}: {error}") from None
    return None


class SchedulerLink:
    """The proxy's side of the conversation with the decision process: a request socket that notices when
    the other side is gone."""

    def __init__(self, endpoint: str, *, patience: float = 10.0) -> None:
        self.endpoint = endpoint
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor = self._socket.get_monitor_socket(
            zmq.Event.DISCONNECTED | zmq.Event.CONNECTED | zmq.Event.HANDSHAKE_SUCCEEDED
        )
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._patience = patience
        self._connected = False
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(f"{endpoint!r} is not an endpoint to connect to: {error}") from None

    def ask(self, text: bytes) -> Any:
        """Send a message and wait for the answer as long as the other side lives. SchedulerGoneError when it
        never came within the patience (seconds), or went away."""
        self._socket.send(text)
        deadline = time.monotonic() + self._patience
        while True:
            timeout = None if self._connected else int(max(0.0, deadline - time.monotonic()) * 1000) + 1
            ready = dict(self._poller.poll(timeout))
            if self._socket in ready:
                self._connected = True
                return orjson.loads(self._socket.recv())
            if self._monitor in ready:
                event = recv_monitor_message(self._monitor)["event"]
                if event in (zmq.Event.CONNECTED, zmq.Event.HANDSHAKE_SUCCEEDED):
                    self._connected = True
                elif self._connected:
                    raise SchedulerGoneError(f"the scheduler at {self.endpoint} went away")
            if not self._connected and time.monotonic() >= deadline:
                raise SchedulerGoneError(f"no scheduler answers at {self.endpoint}")

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()
