"""The actors that feed the server: jobs, external events, wake-ups."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batfs import json_text
from batfs.errors import InputError
from batfs.records import record
from batfs.resource_sets import parse_resources
from batfs.simulator.actors import ENDS, SLEEPS, Script
from batfs.texts import read_bytes
from batfs.workload.model import Job, Json

if TYPE_CHECKING:
    from batfs.simulator.server import Server

NEAREST_CALL: Final = 1e-5  # s; a wake-up nearer than this is put off to it
MACHINE_EVENTS: Final = ("machine_available", "machine_unavailable")


@record
class ExternalEvent:
    """One line of an events file; ``resources`` is empty for events Batsim doesn't know."""

    kind: str
    timestamp: float
    resources: tuple[int, ...]
    data: Mapping[str, Json]


def submit_jobs(server: Server, jobs: Iterable[Job]) -> Script:
    """Submit a workload's jobs (in order of submission time), those of one instant together."""
    return _submit(server, ((job.submission_time, job) for job in jobs), server.on_submitted, "job")


def submit_events(server: Server, events: Sequence[ExternalEvent]) -> Script:
    """The same for external events."""
    dated = ((event.timestamp, event) for event in events)
    return _submit(server, dated, server.on_external, "event")


def _submit(server: Server, dated: Iterable[tuple[float, Any]], deliver: Any, kind: str) -> Script:
    send = server.mailbox.send
    yield send((server.on_hello, kind))
    date = server.engine.now
    batch: list[Any] = []
    for timestamp, item in dated:
        if timestamp > date:
            if batch:
                yield send((deliver, batch), SLEEPS)
                batch = []
            # counted from `date`, though the send above took a while: Batsim's submissions lag by that much
            yield server.maestro.sleep(timestamp - date)
            date = server.engine.now
        batch.append(item)
    if batch:
        yield send((deliver, batch))
    yield server.mailbox.send((server.on_bye, kind), ENDS)


def wait_until(server: Server, target: float, call_id: str = "") -> Script:
    """One CALL_ME_LATER."""
    now = server.engine.now
    if target > now:
        yield server.maestro.sleep(max(target - now, NEAREST_CALL))
    yield server.mailbox.send((server.on_waited, call_id), ENDS)


def read_events(path: str | Path, *, forward_unknown: bool) -> list[ExternalEvent]:
    """Batsim's events file: one JSON object a line with ``type``, ``timestamp`` and, for machines,
    ``resources``.

    Sorted by timestamp; in one instant machines become available before others become unavailable, and
    these before unknown events, as in Batsim. InputError with the line of whatever is wrong.
    """
    events = read_lines(path, partial(_event, forward_unknown=forward_unknown))
    order = {kind: place for place, kind in enumerate(MACHINE_EVENTS)}
    return sorted(events, key=lambda event: (event.timestamp, order.get(event.kind, len(order))))


def read_lines(path: str | Path, read: Callable[[Json], ExternalEvent]) -> list[ExternalEvent]:
    """The events of a file of one JSON value a line, as ``read`` makes them of it."""
    text = read_bytes(path, "the events")
    events = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                events.append(read(_json(line)))
            except InputError as error:
                raise error.at(file=path, place=f"line {number}") from None
    return events


def _json(line: bytes) -> Json:
    try:
        return json_text.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"malformed JSON: {error.msg}") from None


def _event(data: Json, *, forward_unknown: bool) -> ExternalEvent:
    if not isinstance(data, dict):
        raise InputError("found something else than a JSON object")
    kind, timestamp = data.get("type"), data.get("timestamp")
    if not isinstance(kind, str):
        raise InputError("the event has no string 'type'")
    if isinstance(timestamp, bool) or not isinstance(timestamp, (int, float)) or timestamp < 0:
        raise InputError("the event has no 'timestamp' that is a number of at least 0")
    if kind not in MACHINE_EVENTS:
        if not forward_unknown:
            raise InputError(
                f"unknown event type {kind!r}; known: {', '.join(MACHINE_EVENTS)}",
                hint="--forward-unknown-events passes others to the decision process",
            )
        return ExternalEvent(kind, float(timestamp), (), data)
    resources = data.get("resources")
    if not isinstance(resources, str):
        raise InputError(f"{kind} needs a string 'resources'")
    return ExternalEvent(kind, float(timestamp), parse_resources(resources), data)
