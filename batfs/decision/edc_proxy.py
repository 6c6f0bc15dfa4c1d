"""``batfs-proxy`` for Batsim 5: the file systems between it and any decision component that speaks JSON.

The component knows nothing of I/O, nor of what becomes of its jobs on the wire: one that it executes is
replaced by a parallel task with the I/O merged (:class:`~batfs.decision.replacing.Translation`), and told of
under its own id. What doesn't concern either side goes on as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from batfs.decision.injector import Injector
from batfs.decision.replacing import Translation
from batfs.errors import BatfsError, InputError
from batfs.filesystems.script import WORKLOAD
from batfs.protocol import messages as m
from batfs.protocol.decision_side import WRONG, ProtocolError, malformed, not_batsims
from batfs.protocol.v5 import hello
from batfs.protocol.v5.decision_side import OUR_CALLS, decisions_to_json, event_from_json
from batfs.resource_sets import parse_resources

Raw = dict[str, Any]

_U32 = 2**32
_REGISTERING = ("RegisterJobEvent", "RegisterProfileEvent")


class Proxy5:
    """One simulation. ``over``: it has ended."""

    def __init__(self, injector: Injector, translation: Translation) -> None:
        self._injector = injector
        self._translation = translation
        self._forwards = False  # whether the component asked for profiles
        self._registers = False  # whether it registers jobs itself, and hasn't finished yet
        self._finish_due = False
        self._theirs: set[str] = set()  # jobs that it has registered
        self._now = 0.0
        self._kept: dict[str, Raw] = {}  # events that the component is told later, as they were sent
        self.over = False

    def hello(self, answer: bytes) -> bytes:
        """The component's answer to the first message, asking for what the proxy needs besides. ProtocolError
        for one in binary."""
        try:
            flags, text = hello.split_hello(answer)
            if not flags & hello.JSON:
                raise ProtocolError(
                    "the decision component behind the proxy speaks binary flatbuffers; the proxy needs JSON"
                )
            said = orjson.loads(hello.unframed(text))
            features = said["events"][0]["event"]["requested_simulation_features"]
            self._forwards = bool(features.get("forward_profiles_on_job_submission"))
            self._registers = bool(features.get("dynamic_registration"))
            features |= {"dynamic_registration": True, "forward_profiles_on_job_submission": True}
        except (*WRONG, IndexError) as error:
            raise _not_a_components(answer, error) from None
        return answer[:4] + orjson.dumps(said)

    # ---- Batsim -> component ------------------------------------------------------------------------------

    def request(self, message: bytes) -> bytes | None:
        """Batsim's message as the component shall get it; None if there is nothing in it for it."""
        try:
            raw: Raw = orjson.loads(hello.unframed(message))
            self._now = now = float(raw["now"])
            events: list[Raw] = list(raw["events"])
            self._translation.begin_message()
            self._injector.advance(now)
            out = [self._own_event(event, now) for event in self._injector.untold()]
            for event in events:
                out += self._heard(now, event)
        except WRONG as error:
            raise not_batsims(5, error) from error
        out += [self._own_event(event, now) for event in self._injector.settled()]
        if events and not out:
            return None
        return hello.framed(orjson.dumps({**raw, "events": out}))

    def _heard(self, now: float, raw: Raw) -> list[Raw]:
        """What the component hears of one event."""
        kind, data = raw["event_type"], raw.get("event") or {}
        if kind == "RequestedCallEvent":
            if not str(data["call_me_later_id"]).startswith(OUR_CALLS):
                return [raw]
        elif kind == "JobSubmittedEvent" and str(data["job_id"]).startswith(f"{WORKLOAD}!"):
            return []  # one of ours, acknowledged since the component wants that of its own
        elif kind in ("JobSubmittedEvent", "JobCompletedEvent") and data["job_id"] in self._theirs:
            return [raw]
        record = event_from_json(raw)
        out: list[Raw] = []
        for event in self._translation.seen(record):
            heard = self._injector.incoming(now, event)
            if heard is record:
                out.append(raw)
            elif heard is not None:
                found = self._changed(raw, heard)
                if found is not None:
                    out.append(found)
            elif isinstance(event, m.JobSubmitted):
                self._kept[event.job.id] = raw
            elif isinstance(event, m.Notification):
                self._kept[event.kind] = raw
        if kind == "SimulationEndsEvent":
            self.over = True
        elif kind == "JobSubmittedEvent":
            out = [self._submission(raw) for raw in out]
        return out

    def _submission(self, raw: Raw) -> Raw:
        """With the profile, if the component asked for that."""
        if self._forwards:
            return raw
        return {**raw, "event": {k: v for k, v in raw["event"].items() if k != "profile"}}

    def _own_event(self, event: m.Event, now: float) -> Raw:
        """An event of the injector's own; one that was kept back is the simulator's, later."""
        if isinstance(event, m.JobSubmitted):
            return {**self._submission(self._kept.pop(event.job.id)), "timestamp": now}
        if isinstance(event, m.Notification):
            return {**self._kept.pop(event.kind), "timestamp": now}
        return _own_event(event, now)

    def _changed(self, raw: Raw, event: m.Event) -> Raw | None:
        """``raw`` with what was changed in it; None for an event that only the injector is told."""
        data = dict(raw["event"])
        if isinstance(event, m.SimulationBegins):
            shown = {r.id for r in (*event.compute_resources, *event.storage_resources)}
            for hosts, count in (
                ("computation_hosts", "computation_host_number"),
                ("storage_hosts", "storage_host_number"),
            ):
                data[hosts] = [host for host in data.get(hosts) or () if host["id"] in shown]
                data[count] = len(data[hosts])
            data["host_number"] = data["computation_host_number"] + data["storage_host_number"]
        elif isinstance(event, m.JobCompleted):
            data |= {"job_id": event.job_id, "state": event.state, "return_code": event.return_code % _U32}
        elif isinstance(event, m.JobKilled):
            data["job_ids"] = list(event.job_ids)
            data["progresses"] = [
                {"job_id": i, "wrapper": event.progress[i]} for i in event.job_ids if i in event.progress
            ]
        elif isinstance(event, m.Notification) and raw["event_type"] == "ExternalEventOccurredEvent":
            pass  # availability in its text: the component reads it as it was sent
        else:
            return None
        return {**raw, "event": data}

    # ---- component -> Batsim ------------------------------------------------------------------------------

    def reply(self, message: bytes | None, ask: Callable[[bytes], bytes]) -> bytes:
        """The component's answer (None: it was not asked) as Batsim shall get it; ``ask`` asks it again where
        it has to hear, at the same instant, what its decisions have led to."""
        now = self._now
        out = self._written(self._injector.opening())
        if message is not None:
            now = self._decided(message, out)
        while events := self._injector.again(now):
            out += self._written(self._injector.own())
            told = [self._own_event(event, now) for event in events]
            asked = orjson.dumps({"now": now, "events": told})
            now = self._decided(ask(hello.framed(asked)), out)
        out += self._written([*self._injector.closing(now), *self._translation.closing(now)])
        if self._finish_due and not self._registers:
            self._finish_due = False
            out += decisions_to_json([m.Notify(now, "registration_finished")], now)
        # what batfs adds is of the reply's own time; the component's may be earlier
        last = 0.0
        for event in out:
            last = event["timestamp"] = max(last, min(event["timestamp"], now))
        return hello.framed(orjson.dumps({"now": now, "events": out}, option=orjson.OPT_SERIALIZE_NUMPY))

    def _decided(self, message: bytes, out: list[Raw]) -> float:
        """The time of the component's answer; what Batsim is told of its decisions goes ``out``."""
        try:
            raw: Raw = orjson.loads(hello.unframed(message))
            now = float(raw["now"])
            for event in raw["events"]:
                event["timestamp"] = float(event["timestamp"])
                out += self._told(now, event)
        except (*WRONG, InputError) as error:
            raise _not_a_components(message, error) from None
        return now

    def _written(self, decisions: Sequence[m.Decision]) -> list[Raw]:
        """Our own decisions, as Batsim 5 is told them."""
        sent = [one for decision in decisions for one in self._translation.sent(decision)]
        finished = [one for one in sent if isinstance(one, m.Notify)]
        if finished and self._registers:  # the component may still register jobs
            self._finish_due = True
            sent = [one for one in sent if not isinstance(one, m.Notify)]
        return decisions_to_json(sent, self._now)

    def _told(self, now: float, raw: Raw) -> list[Raw]:
        """What Batsim is told of one decision."""
        kind, data = raw["event_type"], raw.get("event") or {}
        if kind == "FinishRegistrationEvent":
            self._registers = False
            return []
        if kind in _REGISTERING:
            if not self._registers:
                raise BatfsError("the decision component registers jobs without having asked for it")
            if kind == "RegisterJobEvent":
                self._theirs.add(str(data["job_id"]))
            return [raw]
        record = self._record(now, kind, data)
        if record is None:
            return [raw]
        decided = self._injector.outgoing(now, record)
        sent = [one for decision in decided for one in self._translation.sent(decision)]
        if decided == [record] and sent == [record]:
            return [raw]
        return decisions_to_json(sent, now)

    def _record(self, now: float, kind: str, data: Mapping[str, Any]) -> m.Decision | None:
        """A record of the decisions that concern us; None for the others."""
        if kind in ("ExecuteJobEvent", "RejectJobEvent") and data["job_id"] in self._theirs:
            return None
        if kind == "RejectJobEvent":
            return m.RejectJob(now, str(data["job_id"]))
        if kind == "KillJobsEvent":
            return m.KillJob(now, [str(i) for i in data["job_ids"]])
        if kind != "ExecuteJobEvent":
            return None
        allocation = data["allocation"]
        custom = allocation["executor_placement_type"] == "CustomExecutorToHostMapping"
        mapping = dict(enumerate(allocation["executor_placement"]["mapping"])) if custom else None
        storages = {str(s["storage_name"]): int(s["host_id"]) for s in data.get("storage_placement") or ()}
        return m.ExecuteJob(
            now,
            str(data["job_id"]),
            parse_resources(allocation["host_allocation"]),
            mapping,
            storages or None,
        )


def _own_event(event: m.Event, now: float) -> Raw:
    """The events that an injector makes itself."""
    if isinstance(event, m.JobCompleted):
        kind = "JobCompletedEvent"
        data: Raw = {
            "job_id": event.job_id,
            "state": event.state,
            "return_code": event.return_code % _U32,
        }
    else:
        assert isinstance(event, m.JobKilled)
        kind = "JobsKilledEvent"
        progress = {"kill_progress_type": "KillProgressAtomicProfile"}
        data = {
            "job_ids": list(event.job_ids),
            "progresses": [
                {
                    "job_id": job_id,
                    "wrapper": {**progress, "kill_progress": {"profile_id": "", "progress": 0.0}},
                }
                for job_id in event.job_ids
            ],
        }
    return {"timestamp": now, "event_type": kind, "event": data}


def _not_a_components(message: object, error: Exception) -> ProtocolError:
    return malformed(f"the decision component behind the proxy sent {message!r:.200}", error)
