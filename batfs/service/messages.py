"""The service's messages: typed, versioned, bounded; what travels between client, orchestrator and server.

A message is one ZeroMQ frame holding a JSON object (UTF-8)::

    {"v": 1, "type": "request", "id": "6f…", "sent": 1767225600.0, …fields}

``id`` is chosen by the sender and makes a mutating message idempotent: sent again, it has no further effect
and gets the same answer. ``sent`` is the sender's clock (seconds since the epoch); a message older than
:data:`MAX_AGE` is refused as a replay. Sizes are whole bytes, times seconds. Unknown members, missing
members and wrong kinds are refused; a frame above :data:`MAX_BYTES` is never parsed.
"""

from __future__ import annotations

import math
import time
import types
import typing
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

import orjson

from batfs.errors import BatfsError

VERSION = 1
MAX_BYTES = 256 * 1024
MAX_AGE = 3600.0
MAX_TEXT = 1024
MAX_ITEMS = 4096


class MessageError(BatfsError):
    """A message that breaks the rules; ``reason`` is one word that is counted and logged."""

    def __init__(self, reason: str, text: str, message_id: str = "") -> None:
        self.reason, self.message_id = reason, message_id
        super().__init__(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all messages carry."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent: float = field(default_factory=time.time)


# ---- client -> orchestrator -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpace(Message):
    """Ask for ``size`` bytes for ``duration`` seconds from ``start`` (None: now).

    ``wait``: how many seconds it may stand in the queue when there is no room (0: refuse at once).
    ``host`` is the node that will use the space (nvmet: the host NQN that is let in).
    ``options`` go to the allocation policy's request.
    """

    size: int
    duration: float
    start: float | None = None
    wait: float = 0.0
    host: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLeases(Message):
    """The sender's own leases (an operator sees all)."""

    all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendLease(Message):
    """Let a lease end ``duration`` seconds later."""

    lease: str
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLease(Message):
    """Give the space back before its end; also cancels one that waits or has not begun."""

    lease: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetStatus(Message):
    """Capacity, servers, queue and refusals, for `status`, `watch` and the live page."""

    history: bool = False


# ---- operator -> orchestrator -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetServer(Message):
    """A vanished server will not come back: end its allocations and drop its storages."""

    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTime(Message):
    """In virtual time only: let everything up to ``sent`` happen."""


# ---- server -> orchestrator -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One storage of a server. Bandwidths in bytes/s, 0 when unknown."""

    name: str
    capacity: int
    node: str = ""
    read_bandwidth: float = 0.0
    write_bandwidth: float = 0.0
    network_bandwidth: float = 0.0
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterServer(Message):
    """A server and its disks; ``held`` are the allocations it has on them (``lease/disk``: bytes)."""

    server: str
    disks: list[Disk]
    backend: str
    held: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Message):
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned(Message):
    """The space exists; ``connection`` is what a client needs to reach it."""

    server: str
    lease: str
    disk: str
    connection: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionFailed(Message):
    server: str
    lease: str
    disk: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed(Message):
    server: str
    lease: str
    disk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecords(Message):
    """Structured log lines of a component, gathered by the orchestrator."""

    component: str
    records: list[dict[str, Any]]


# ---- orchestrator -> server -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Message):
    """Registration accepted; send a heartbeat every ``heartbeat`` seconds."""

    heartbeat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterAgain(Message):
    """The orchestrator doesn't know the sender (it was restarted)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision(Message):
    """Make ``size`` bytes of space on ``disk`` for ``lease``; doing it again changes nothing."""

    lease: str
    disk: str
    size: int
    user: str
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Message):
    """Destroy the space of ``lease`` on ``disk``; already gone is as good."""

    lease: str
    disk: str


# ---- orchestrator -> anybody ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Message):
    """The answer to the message with the same ``id``.

    ``state``: granted, allocated, queued, released, refused, ok. ``reason`` when refused.
    """

    state: str
    reason: str = ""
    lease: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.state != "refused"


CLIENT: dict[str, type[Message]] = {
    "request": RequestSpace,
    "list": ListLeases,
    "extend": ExtendLease,
    "release": ReleaseLease,
    "status": GetStatus,
    "log": LogRecords,
}
SERVER: dict[str, type[Message]] = {
    "register": RegisterServer,
    "heartbeat": Heartbeat,
    "provisioned": Provisioned,
    "provision_failed": ProvisionFailed,
    "removed": Removed,
    "log": LogRecords,
}
OPERATOR: dict[str, type[Message]] = {**CLIENT, "forget": ForgetServer, "pass_time": PassTime}
ANSWERS: dict[str, type[Message]] = {
    "reply": Reply,
    "welcome": Welcome,
    "register_again": RegisterAgain,
    "provision": Provision,
    "remove": Remove,
}
BY_ROLE: dict[str, dict[str, type[Message]]] = {"client": CLIENT, "server": SERVER, "operator": OPERATOR}
_TYPES: dict[str, type[Message]] = {**OPERATOR, **SERVER, **ANSWERS}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def encode(message: Message) -> bytes:
    """The frame of a message. Raises MessageError when it is above :data:`MAX_BYTES`."""
    body: dict[str, Any] = {"v": VERSION, "type": _NAMES[type(message)]}
    for f in fields(message):
        value = getattr(message, f.name)
        body[f.name] = value
    frame = orjson.dumps(body)
    if len(frame) > MAX_BYTES:
        raise MessageError("oversized", f"a message of {len(frame)} bytes; at most {MAX_BYTES} are allowed")
    return frame


def decode(frame: bytes, known: Mapping[str, type[Message]] = _TYPES) -> Message:
    """The message in ``frame``. ``known``: what the sender may say. Raises MessageError."""
    if len(frame) > MAX_BYTES:
        raise MessageError("oversized", f"a frame of {len(frame)} bytes; at most {MAX_BYTES} are allowed")
    try:
        body = orjson.loads(frame)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise MessageError("malformed", f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise MessageError("malformed", "not a JSON object")
    named = body.get("id")
    message_id = named if isinstance(named, str) and 0 < len(named) <= 128 else ""
    if body.get("v") != VERSION or isinstance(body.get("v"), bool):
        raise MessageError("version", f"version {body.get('v')!r}; this side speaks {VERSION}", message_id)
    name = body.get("type")
    if not isinstance(name, str) or name not in _TYPES:
        raise MessageError("malformed", f"unknown type {str(name)[:40]!r}", message_id)
    if name not in known:
        raise MessageError("role", f"{name!r} is not for this role", message_id)
    if not message_id:
        raise MessageError("malformed", "'id' must be a string of 1 to 128 characters")
    members = {key: value for key, value in body.items() if key not in ("v", "type")}
    try:
        return _build(_TYPES[name], members, name)
    except MessageError as error:
        raise MessageError(error.reason, str(error), message_id) from None


T = TypeVar("T")


def _build(kind: type[T], members: Mapping[str, Any], where: str) -> T:
    hints = _hints(kind)
    unknown = set(members) - set(hints)
    if unknown:
        raise MessageError("malformed", f"{where}: unknown member {min(unknown)[:40]!r}")
    values: dict[str, Any] = {}
    for name, (hint, required) in hints.items():
        if name in members:
            values[name] = _check(hint, members[name], f"{where}.{name}")
        elif required:
            raise MessageError("malformed", f"{where}: {name!r} is missing")
    return kind(**values)


_HINTS: dict[type, dict[str, tuple[Any, bool]]] = {}


def _hints(kind: type) -> dict[str, tuple[Any, bool]]:
    found = _HINTS.get(kind)
    if found is None:
        types_ = typing.get_type_hints(kind)
        found = {
            f.name: (
                types_[f.name],
                (f.default is MISSING and f.default_factory is MISSING) or f.name in ("id", "sent"),
            )
            for f in fields(kind)
        }
        _HINTS[kind] = found
    return found


def _check(hint: Any, value: Any, where: str) -> Any:
    """``value`` if it is what ``hint`` says and within bounds; MessageError otherwise."""
    if isinstance(hint, types.UnionType):
        return None if value is None else _check(hint.__args__[0], value, where)
    if hint is str:
        if isinstance(value, str) and len(value) <= MAX_TEXT and "\x00" not in value:
            return value
    elif hint is bool:
        if isinstance(value, bool):
            return value
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62:
            return value
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif typing.get_origin(hint) is list:
        if isinstance(value, list) and len(value) <= MAX_ITEMS:
            (inner,) = typing.get_args(hint)
            return [_check(inner, item, f"{where}[{i}]") for i, item in enumerate(value)]
    elif typing.get_origin(hint) is dict:
        if isinstance(value, dict) and len(value) <= MAX_ITEMS:
            inner = typing.get_args(hint)[1]
            if inner is Any:
                return value
            return {k: _check(inner, v, f"{where}[{k[:40]!r}]") for k, v in value.items()}
    elif isinstance(value, dict):
        return _build(hint, value, where)
    expected = getattr(hint, "__name__", str(hint))
    raise MessageError("malformed", f"{where}: expected {expected}, found {str(value)[:40]!r}")
