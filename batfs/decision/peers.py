"""What can be wrong with the programs at the other ends of our sockets."""

from __future__ import annotations

from typing import Any

import orjson

from batfs.errors import BatfsError
from batfs.protocol.decision_side import ProtocolError


class SimulatorGoneError(BatfsError):
    """Batsim went away before the simulation was over."""

    def __init__(self) -> None:
        super().__init__("Batsim went away in mid-simulation (its connection closed)")


class SchedulerGoneError(BatfsError):
    """The decision process behind the proxy went away."""


def read_object(text: bytes) -> dict[str, Any]:
    """A simulator's message. ProtocolError when it is no JSON object."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the simulator sent something that is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"the simulator sent {type(message).__name__}, not an object")
    return message


def giving_up(why: str) -> bytes:
    """An answer that ends Batsim, which would wait for a better one for ever."""
    return orjson.dumps({"error": f"the decision process gave up: {why}"})
