"""``batfs-proxy``: the file systems between Batsim and any Batsim 4 decision process, over sockets.

Batsim speaks to the proxy as to its scheduler; the proxy speaks to the scheduler as Batsim does. A message in
which the :class:`~batfs.decision.injector.Injector` changes nothing goes on byte for byte; in the others only
what is changed is written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import orjson

from batfs.decision.injector import Injector
from batfs.decision.peers import read_object
from batfs.errors import InputError
from batfs.filesystems.script import WORKLOAD
from batfs.protocol import messages as m
from batfs.protocol.decision_side import (
    WRONG,
    ProtocolError,
    decision_to_json,
    event_from_json,
    io_job_to_json,
    malformed,
    need_ids,
    need_text,
    not_batsims,
)
from batfs.protocol.simulator_side import decode_reply
from batfs.resource_sets import parse_resources

#: What an injector must see; everything else is between the two others.
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
_REGISTERING = frozenset(("REGISTER_JOB", "REGISTER_PROFILE"))
#: What is said of jobs and machines of which a part may have to be hidden.
_HIDING = (b'"JOB_KILLED"', b'"event_machine_', f'"{WORKLOAD}!'.encode())
#: What a job says that may wait for a data set.
_SETS = b'"data_set"'


class Asked(Protocol):
    """A scheduler that answers messages as they are on the wire."""

    def ask(self, text: bytes, meanwhile: Callable[[], object] | None = None) -> bytes: ...


class Front(Protocol):
    """The simulator's side of a conversation."""

    def recv_text(self) -> bytes: ...
    def send_text(self, text: bytes) -> None: ...


class RawProxy:
    """An :class:`Injector` on messages as they are on the wire. ``over``: the simulation has ended."""

    def __init__(self, injector: Injector) -> None:
        self.injector = injector
        self.over = False
        self._now = 0.0
        self._sets = False  # whether jobs may wait for data sets, so that their submissions are kept back
        self._submissions: dict[str, Mapping[str, Any]] = {}  # kept back, as they were sent

    def relay(self, front: Front, back: Asked, first: bytes | None = None) -> None:
        """A whole simulation between the two; ``first``: its first message, if it was read."""
        text = front.recv_text() if first is None else first
        while True:
            answer: bytes | None
            if self.passes(text):
                answer = back.ask(text, partial(self.request, text))
            else:
                asked = self.request(text)
                answer = None if asked is None else back.ask(asked)
            front.send_text(self.reply(answer, back.ask))
            if self.over:
                return
            text = front.recv_text()

    def passes(self, text: bytes) -> bool:
        """Whether :meth:`request` will find nothing to change in the simulator's message: then it may be sent
        on first, and be looked at while the decision process thinks."""
        if not self.injector.only_watches or any(word in text for word in _HIDING):
            return False
        return not (b'"JOB_SUBMITTED"' in text and (self._sets or _SETS in text))

    def request(self, text: bytes) -> bytes | None:
        """The simulator's message as the decision process shall get it; None if it needs none."""
        injector = self.injector
        self._sets = self._sets or (not injector.began and _SETS in text)
        raw = read_object(text)
        out: list[Any] = [self._told(event) for event in injector.untold()]
        changed = bool(out)
        try:
            now, events = float(raw["now"]), list(raw["events"])
        except WRONG as error:
            raise not_batsims(4, error) from None
        self._now = now
        injector.advance(now)
        for event in events:
            seen = self._seen(now, event)
            if seen is not event:
                changed = True
            if seen is not None:
                out.append(seen)
        more = injector.settled()
        out += [self._told(event) for event in more]
        if not changed and not more:
            return text
        if events and not out:
            return None
        return orjson.dumps({**raw, "events": out})

    def _seen(self, now: float, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """One event as the other side shall see it: the same object if nothing is changed in it."""
        try:
            kind = event["type"]
            if kind not in _EVENTS or (kind == "JOB_SUBMITTED" and self._passes_by(event["data"])):
                return event
            record = event_from_json(event)
        except WRONG as error:
            raise not_batsims(4, error) from None
        self.over = self.over or kind == "SIMULATION_ENDS"
        seen = self.injector.incoming(now, record)
        if seen is record:
            return event
        if seen is None and kind == "JOB_SUBMITTED":
            self._submissions[event["data"]["job_id"]] = event
        try:
            return None if seen is None else _changed(event, seen)
        except WRONG as error:
            raise not_batsims(4, error) from None

    def _told(self, event: m.Event) -> Mapping[str, Any]:
        """An event of the injector's own; a submission that was kept back is the simulator's, later."""
        if isinstance(event, m.JobSubmitted):
            return {**self._submissions.pop(event.job.id), "timestamp": event.timestamp}
        return event_to_json(event)

    def _passes_by(self, data: Mapping[str, Any]) -> bool:
        """Whether a job that says nothing of I/O is submitted: then nothing of it needs to be read. (What a
        composed one runs is not in the message.) Before the beginning nothing passes unseen."""
        if not self.injector.began:
            return False
        job, profile = data.get("job"), data.get("profile")
        if job is not None and profile is None:
            profile = self.injector.raw_profile(job["id"], job["profile"])
        if profile is None or job is None or not {"io", "io_reads", "io_writes"}.isdisjoint(profile):
            return False
        if profile.get("type") == "composed":
            return False
        return self.injector.passes_by(job["id"])

    def reply(self, text: bytes | None, ask: Callable[[bytes], bytes]) -> bytes:
        """The decision process's answer (None: it was not asked) as the simulator shall get it; ``ask`` asks
        it again where it has to hear, at the same instant, what its decisions have led to."""
        injector = self.injector
        out: list[Any] = [decision_to_json(decision) for decision in injector.opening()]
        changed = bool(out)
        if text is not None and not changed and b'"type"' not in text and injector.idle:
            return text  # no decisions, and nothing to add to them
        now = self._now
        raw: dict[str, Any] = {}
        if text is not None:
            raw, now, same = self._decided(text, out)
            changed = changed or not same
        while events := injector.again(now):
            out += [decision_to_json(decision) for decision in injector.own()]
            asked = orjson.dumps({"now": now, "events": [self._told(event) for event in events]})
            _, now, _ = self._decided(ask(asked), out)
            changed = True
        closing = injector.closing(now)
        if text is not None and not changed and not closing:
            return text
        out += [decision_to_json(decision) for decision in closing]
        return orjson.dumps({**raw, "now": now, "events": out}, option=orjson.OPT_SERIALIZE_NUMPY)

    def _decided(self, text: bytes, out: list[Any]) -> tuple[dict[str, Any], float, bool]:
        """The decision process's answer, read; its time; whether its decisions went ``out`` as they were."""
        try:
            raw = orjson.loads(text)
            now, events = float(raw["now"]), list(raw["events"])
        except WRONG as error:
            raise _not_a_schedulers(text, error) from None
        same = True
        for event in events:
            sent = self._sent(event)
            out += [event] if sent is None else sent
            same = same and sent is None
        return raw, now, same

    def _sent(self, event: Mapping[str, Any]) -> list[Any] | None:
        """What goes to the simulator for one decision; None: the decision as it is."""
        try:
            record = self._decision(event)
        except (*WRONG, InputError) as error:
            raise _not_a_schedulers(event, error) from None
        if record is None:
            return None
        sent = self.injector.outgoing(record.timestamp, record)
        if len(sent) == 1:
            [one] = sent
            if one is record:
                return None
            if type(one) is m.ExecuteJob and one.io_job is not None and one.job_id == event["data"]["job_id"]:
                more = {"additional_io_job": io_job_to_json(one.io_job)}
                return [{**event, "data": {**event["data"], **more}}]
        return [decision_to_json(decision) for decision in sent]

    def _decision(self, raw: Mapping[str, Any]) -> m.Decision | None:
        """A record of the decisions that concern an injector; None for the others."""
        kind, timestamp, data = raw["type"], float(raw["timestamp"]), raw.get("data") or {}
        if kind == "EXECUTE_JOB":
            job_id = need_text(data["job_id"], "job_id")
            if not self.injector.concerns(job_id):
                return None
            io = data.get("additional_io_job")
            mapping = data.get("mapping")
            return m.ExecuteJob(
                timestamp,
                job_id,
                parse_resources(data["alloc"]),
                None if mapping is None else {int(k): int(v) for k, v in mapping.items()},
                data.get("storage_mapping"),
                None if io is None else m.IoJob((), str(io.get("profile_name"))),
            )
        if kind == "KILL_JOB":
            return m.KillJob(timestamp, need_ids(data["job_ids"]))
        if kind == "REJECT_JOB":
            return m.RejectJob(timestamp, need_text(data["job_id"], "job_id"))
        if kind == "CALL_ME_LATER":
            return m.CallMeLater(timestamp, float(data["timestamp"]))
        if kind == "NOTIFY":
            return m.Notify(timestamp, str(data["type"]))
        if kind in _REGISTERING:
            [record] = decode_reply(orjson.dumps({"now": timestamp, "events": [raw]})).decisions
            return record
        return None


def _not_a_schedulers(message: object, error: Exception) -> ProtocolError:
    return malformed(f"the scheduler behind the proxy sent {message!r:.200}", error)


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
    if isinstance(event, m.Notification):
        return {"timestamp": event.timestamp, "type": "NOTIFY", "data": {**event.data, "type": event.kind}}
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
        storages = {resource.id for resource in seen.storage_resources}
        data["storage_resources"] = [r for r in data["storage_resources"] if r["id"] in storages]
        data["nb_compute_resources"], data["nb_storage_resources"] = len(shown), len(storages)
        data["nb_resources"] = len(shown) + len(storages)
    elif isinstance(seen, m.Notification):
        data = dict(seen.data)
    elif isinstance(seen, m.JobKilled):
        kept = set(seen.job_ids)
        data["job_ids"] = list(seen.job_ids)
        data["job_progress"] = {k: v for k, v in data["job_progress"].items() if k in kept}
    return {**raw, "data": data}
