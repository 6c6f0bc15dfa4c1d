"""What can be wrong with the programs at the other ends of our sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from batfs.errors import BatfsError
from batfs.protocol.decision_side import ProtocolError
from batfs.protocol.v5.hello import is_init

#: What a simulator hears that calls while another is served.
TAKEN = "another simulation is under way here"
#: Bytes of a message: Batsim 4's first one holds all profiles.
LARGEST = 1 << 30


class SimulatorGoneError(BatfsError):
    """Batsim went away before the simulation was over."""

    def __init__(self) -> None:
        super().__init__("Batsim went away in mid-simulation (its connection closed)")


class Strangers:
    """Says of those who call and are no simulator (or not ours) why they were refused: each thing once,
    however often they come."""

    def __init__(self, say: Callable[[str], None] | None) -> None:
        self._say = say
        self._said: set[str] = set()

    def refused(self, why: str) -> None:
        if why not in self._said and self._say is not None:
            self._say(f"a connection was refused: {why} (said once)")
        self._said.add(why)


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


def no_simulator(text: bytes) -> str:
    """Why this can't be the first message of a simulation; empty if it can: Batsim 5's init string, or a
    message of Batsim 4's in which a simulation begins."""
    if is_init(text):
        try:
            text[4:].decode()
        except UnicodeDecodeError:
            return "its first message is not text"
        return ""
    try:
        raw = read_object(text)
    except ProtocolError:
        return "its first message is not JSON"
    events = raw.get("events")
    if not isinstance(events, list) or not isinstance(raw.get("now"), int | float):
        return "its first message is none of Batsim's"
    kinds = [event.get("type") if isinstance(event, dict) else None for event in events]
    return "" if "SIMULATION_BEGINS" in kinds else "no simulation begins with its first message"


def giving_up(why: str) -> bytes:
    """An answer that ends Batsim, which would wait for a better one for ever."""
    return orjson.dumps({"error": f"the decision process gave up: {why}"})
