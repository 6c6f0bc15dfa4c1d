"""The service's messages: typed, versioned, bounded; what travels between client, orchestrator and server.

A message is one ZeroMQ frame holding a JSON object (UTF-8)::

    {"v": 1, "type": "request", "id": "6f…", "sent": 1767225600.0, …fields}

``id`` is chosen by the sender and makes a mutating message idempotent: sent again, it has no further effect
and gets the same answer. ``sent`` is the sender's clock (seconds since the epoch); a message older than
:data:`MAX_AGE` is refused as a replay. Sizes are whole bytes, times seconds. Unknown members, missing
members and wrong kinds are refused; a frame above :data:`MAX_BYTES` is never parsed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, Union

import msgspec
from msgspec import Meta, Raw, field

from batfs.errors import BatfsError

VERSION = 1
MAX_BYTES = 256 * 1024
MAX_AGE = 3600.0
MAX_TEXT = 1024
MAX_ITEMS = 4096
# leases in one message: the rest follows in further pages
PAGE = 500
# no moment and no duration is further away (seconds; some 3,000 years): they add up without loss of order
MAX_SECONDS = 1e11

# what the outside may write, with its bounds; msgspec checks them while it reads
Id: TypeAlias = Annotated[str, Meta(pattern=r"\A[!-~]{1,128}\Z")]
# a server or a disk: printable ASCII, without the "/" that stands between the two
Name: TypeAlias = Annotated[str, Meta(pattern=r"\A[!-.0-~]{1,255}\Z")]
Text: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT, pattern=r"\A[^\x00]*\Z")]
LongText: TypeAlias = Annotated[str, Meta(max_length=4 * MAX_TEXT, pattern=r"\A[^\x00]*\Z")]
Word: TypeAlias = Annotated[str, Meta(pattern=r"\A[!-~]{1,64}\Z")]
Bytes: TypeAlias = Annotated[int, Meta(ge=0, lt=2**62)]
Seconds: TypeAlias = Annotated[float, Meta(ge=-MAX_SECONDS, le=MAX_SECONDS)]
Rate: TypeAlias = Annotated[float, Meta(ge=0, le=1e18)]
# flat: nothing in a message nests deeper than its schema says
Scalar: TypeAlias = (
    LongText
    | Annotated[int, Meta(ge=-(2**62), lt=2**62)]
    | Annotated[float, Meta(ge=-1e300, le=1e300)]
    | bool
    | None
)
Options: TypeAlias = Annotated[dict[Word, Scalar], Meta(max_length=32)]
Connection: TypeAlias = Annotated[dict[Word, Scalar], Meta(max_length=64)]
Held: TypeAlias = Annotated[dict[Text, Bytes], Meta(max_length=MAX_ITEMS)]


class MessageError(BatfsError):
    """A message that breaks the rules; ``reason`` is one word that is counted and logged."""

    def __init__(self, reason: str, text: str, message_id: str = "") -> None:
        self.reason, self.message_id = reason, message_id
        super().__init__(text)


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What all messages carry."""

    id: Id = field(default_factory=lambda: uuid.uuid4().hex)
    sent: Annotated[float, Meta(ge=0, le=MAX_SECONDS)] = field(default_factory=time.time)
    v: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


# ---- client -> orchestrator -------------------------------------------------------------------------------


class RequestSpace(Message, frozen=True, kw_only=True, tag="request"):
    """Ask for ``size`` bytes for ``duration`` seconds from ``start`` (None: now).

    ``wait``: how many seconds it may stand in the queue when there is no room (0: refuse at once).
    ``host`` is the node that will use the space (nvmet: the host NQN that is let in).
    ``options`` go to the allocation policy's request.
    """

    size: Bytes
    duration: Seconds
    start: Seconds | None = None
    wait: Seconds = 0.0
    host: Text = ""
    options: Options = field(default_factory=dict)


class ListLeases(Message, frozen=True, kw_only=True, tag="list"):
    """The sender's own leases (an operator sees all), those after number ``after``.

    The answer's ``next`` is where to go on, None when these were the last.
    """

    all: bool = False
    after: Bytes = 0


class ExtendLease(Message, frozen=True, kw_only=True, tag="extend"):
    """Let a lease end ``duration`` seconds later."""

    lease: Text
    duration: Seconds


class ReleaseLease(Message, frozen=True, kw_only=True, tag="release"):
    """Give the space back before its end; also cancels one that waits or has not begun."""

    lease: Text


class GetStatus(Message, frozen=True, kw_only=True, tag="status"):
    """Capacity, servers, queue and refusals, for `status`, `watch` and the live page.

    ``after``: how many disks were told before; the answer's ``next`` is where to go on, None at the end.
    """

    history: bool = False
    after: Bytes = 0


# ---- operator -> orchestrator -----------------------------------------------------------------------------


class ForgetServer(Message, frozen=True, kw_only=True, tag="forget"):
    """A vanished server will not come back: end its allocations and drop its storages."""

    server: Name


class PassTime(Message, frozen=True, kw_only=True, tag="pass_time"):
    """In virtual time only: let everything up to ``sent`` happen."""


# ---- server -> orchestrator -------------------------------------------------------------------------------


class Disk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One storage of a server. Bandwidths in bytes/s, 0 when unknown."""

    name: Name
    capacity: Bytes
    node: Text = ""
    read_bandwidth: Rate = 0.0
    write_bandwidth: Rate = 0.0
    network_bandwidth: Rate = 0.0
    device: LongText = ""


class RegisterServer(Message, frozen=True, kw_only=True, tag="register"):
    """A server and its disks; ``held`` are the allocations it has on them (``lease/disk``: bytes).

    ``more``: how many :class:`HeldToo` follow with the rest of them; only then the server is welcome.
    """

    server: Name
    disks: Annotated[list[Disk], Meta(max_length=MAX_ITEMS)]
    backend: Text
    held: Held = field(default_factory=dict)
    more: Annotated[int, Meta(ge=0, le=100_000)] = 0


class HeldToo(Message, frozen=True, kw_only=True, tag="held"):
    """A further page of what a server holds; ``of`` is the id of its registration."""

    server: Name
    of: Id
    held: Held


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    server: Name


class Provisioned(Message, frozen=True, kw_only=True, tag="provisioned"):
    """The space exists; ``connection`` is what a client needs to reach it."""

    server: Name
    lease: Word
    disk: Name
    connection: Connection


class ProvisionFailed(Message, frozen=True, kw_only=True, tag="provision_failed"):
    server: Name
    lease: Word
    disk: Name
    reason: Text


class Removed(Message, frozen=True, kw_only=True, tag="removed"):
    server: Name
    lease: Word
    disk: Name


class LogRecords(Message, frozen=True, kw_only=True, tag="log"):
    """Structured log lines of a component, gathered by the orchestrator."""

    component: Text
    records: Annotated[list[Annotated[dict[Text, Scalar], Meta(max_length=64)]], Meta(max_length=MAX_ITEMS)]


# ---- orchestrator -> server -------------------------------------------------------------------------------


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """Registration accepted; send a heartbeat every ``heartbeat`` seconds."""

    heartbeat: Annotated[float, Meta(gt=0, le=86400)]


class RegisterAgain(Message, frozen=True, kw_only=True, tag="register_again"):
    """The orchestrator doesn't know the sender (it was restarted)."""


class Provision(Message, frozen=True, kw_only=True, tag="provision"):
    """Make ``size`` bytes of space on ``disk`` for ``lease``; doing it again changes nothing."""

    lease: Word
    disk: Name
    size: Bytes
    user: Text
    host: Text = ""


class Remove(Message, frozen=True, kw_only=True, tag="remove"):
    """Destroy the space of ``lease`` on ``disk``; already gone is as good."""

    lease: Word
    disk: Name


# ---- orchestrator -> anybody ------------------------------------------------------------------------------


class Reply(Message, frozen=True, kw_only=True, tag="reply"):
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
    "held": HeldToo,
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


_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in _TYPES.items()}
_ANY: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Union[tuple(_TYPES.values())])  # noqa: UP007
_ENCODER = msgspec.json.Encoder()


class _Head(msgspec.Struct):
    """What is looked at first. Raw: skipped over, not built."""

    v: Raw = Raw(b"null")
    type: Raw = Raw(b"null")
    id: Raw = Raw(b"null")
    sent: Raw = Raw(b"")


_HEAD = msgspec.json.Decoder(_Head)
_TEXT = msgspec.json.Decoder(str)
_ID = msgspec.json.Decoder(Id)
# msgspec's errors, and what nesting and letters that are no Unicode make of JSON's
_WRONG = (msgspec.MsgspecError, RecursionError, ValueError)


def encode(message: Message) -> bytes:
    """The frame of a message. Raises MessageError when it is above :data:`MAX_BYTES`."""
    try:
        frame = _ENCODER.encode(message)
    except (TypeError, *_WRONG) as error:
        raise MessageError("malformed", f"can't be written as JSON: {error}") from None
    if len(frame) > MAX_BYTES:
        raise MessageError("oversized", f"a message of {len(frame)} bytes; at most {MAX_BYTES} are allowed")
    return frame


def decode(frame: bytes, known: Mapping[str, type[Message]] = _TYPES) -> Message:
    """The message in ``frame``. ``known``: what the sender may say. Raises MessageError, and nothing else."""
    if len(frame) > MAX_BYTES:
        raise MessageError("oversized", f"a frame of {len(frame)} bytes; at most {MAX_BYTES} are allowed")
    try:
        # nearly always it is as it should be, and one pass tells
        message = _ANY.decode(frame)
        allowed = known.get(str(type(message).__struct_config__.tag)) is type(message)
        if allowed and b'"id":' in frame and b'"sent":' in frame:
            return message
    except _WRONG:
        pass  # what is wrong is found below
    try:
        head = _HEAD.decode(frame)
    except _WRONG as error:
        raise MessageError("malformed", f"not a message: {error}") from None
    try:
        message_id = _ID.decode(head.id)
    except _WRONG:
        message_id = ""
    if bytes(head.v) != b"%d" % VERSION:
        raise MessageError("version", f"version {_shown(head.v)}; this side speaks {VERSION}", message_id)
    try:
        name = _TEXT.decode(head.type)
    except _WRONG:
        name = ""
    if name not in _TYPES:
        raise MessageError("malformed", f"unknown type {_shown(head.type)}", message_id)
    if name not in known:
        raise MessageError("role", f"{name!r} is not for this role", message_id)
    if not message_id:
        raise MessageError("malformed", "'id' must be a string of 1 to 128 printable ASCII characters")
    if not bytes(head.sent):
        raise MessageError("malformed", f"{name}: 'sent' is missing", message_id)
    try:
        return _DECODERS[name].decode(frame)
    except _WRONG as error:
        raise MessageError("malformed", f"{name}: {str(error)[:300]}", message_id) from None


def _shown(raw: Raw) -> str:
    return bytes(raw)[:40].decode("utf-8", "replace")
