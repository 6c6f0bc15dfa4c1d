"""Batsim 5's external events: generic ones, each with a text for the decision component."""

from __future__ import annotations

from pathlib import Path

from batfs.errors import InputError, nearest
from batfs.records import replace
from batfs.simulator.submitters import ExternalEvent, read_lines
from batfs.workload.fields import need_number, need_object, need_string, shown

GENERIC = "generic"


def read_events(path: str | Path, name: str) -> list[ExternalEvent]:
    """The events file of the list ``name``: one JSON object a line with ``type``, ``timestamp``, ``data``.

    Sorted by timestamp (stable); ids are ``name!0``, ``name!1``, ... in the order of the file. InputError
    with the line of whatever is wrong.
    """
    events = read_lines(path, _event)
    numbered = [
        replace(event, data={"id": f"{name}!{number}", **event.data}) for number, event in enumerate(events)
    ]
    return sorted(numbered, key=lambda event: event.timestamp)


def _event(data: object) -> ExternalEvent:
    event = need_object(data, "")
    if "type" not in event:
        raise InputError("the event has no 'type'")
    kind = need_string(event["type"], "type")
    if kind != GENERIC:
        close = nearest(kind, (GENERIC,))
        hint = f"did you mean {close!r}?" if close else None
        raise InputError(f"unknown event type {kind!r}; Batsim 5 knows {GENERIC!r} only", hint=hint)
    for key in ("timestamp", "data"):
        if key not in event:
            raise InputError(f"the event has no {key!r}")
    if not isinstance(event["data"], str):
        hint = "the text of the object would do" if isinstance(event["data"], (dict, list)) else None
        raise InputError(f"'data' is {shown(event['data'])}, expected a string", hint=hint)
    timestamp = need_number(event["timestamp"], "timestamp")
    return ExternalEvent(kind, float(timestamp), (), {"data": event["data"]})
