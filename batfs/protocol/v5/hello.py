"""Batsim 5's handshake and the frames of its messages.

The first message is no JSON: a uint32 in native byte order, the length, and so many bytes, the *init* string
of the command line. Its answer is a uint32 of flags and the hello. Every later message ends in a NUL byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

import orjson

_SIZE: Final = struct.Struct("=I")
JSON: Final = 2  # the flag of a decision component that speaks JSON

#: What batfs asks for. Profiles are forwarded with their jobs: those of sequences are not, so the workload's
#: file is read too; ``forward_profiles_on_simulation_begins`` would bring them, but makes rc2 crash on a
#: profile that no job uses.
FEATURES: Final[Mapping[str, bool]] = {
    "dynamic_registration": True,
    "profile_reuse": False,
    "acknowledge_dynamic_jobs": False,
    "forward_profiles_on_job_submission": True,
    "forward_profiles_on_jobs_killed": False,
    "forward_profiles_on_simulation_begins": False,
}


def is_init(message: bytes) -> bool:
    """Whether this is Batsim 5's first message. (Batsim 4's is a JSON object: as a length its first four
    bytes would be more than half a gigabyte.)"""
    return len(message) >= _SIZE.size and _SIZE.unpack_from(message)[0] == len(message) - _SIZE.size


def init_text(message: bytes) -> str:
    """The init string. ValueError if this is no first message, or not UTF-8."""
    if not is_init(message):
        raise ValueError("not the first message of Batsim 5")
    return message[_SIZE.size :].decode()


def init_message(text: str) -> bytes:
    """The first message with that init string."""
    data = text.encode()
    return _SIZE.pack(len(data)) + data


def hello(version: str, features: Mapping[str, bool] = FEATURES) -> bytes:
    """The answer to the first message."""
    event = {
        "batprotocol_version": "1.0.0",
        "decision_component_name": "batfs",
        "decision_component_version": version,
        "decision_component_commit": "",
        "requested_simulation_features": dict(features),
    }
    message = {"now": 0.0, "events": [{"timestamp": 0.0, "event_type": "EDCHelloEvent", "event": event}]}
    return _SIZE.pack(JSON) + orjson.dumps(message)


def split_hello(answer: bytes) -> tuple[int, bytes]:
    """(flags, the message after them) of an answer to the first message. ValueError if it is too short."""
    if len(answer) < _SIZE.size:
        raise ValueError(f"{len(answer)} bytes, expected four of flags and a message")
    return _SIZE.unpack_from(answer)[0], answer[_SIZE.size :]


def framed(text: bytes) -> bytes:
    """A later message: rc0 and rc1 read past the end of one without its NUL."""
    return text + b"\0"


def unframed(message: bytes) -> bytes:
    """The JSON text of a later message."""
    return message.rstrip(b"\0")
