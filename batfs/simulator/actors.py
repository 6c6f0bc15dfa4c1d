"""Actors: the sequential pieces of Batsim, and the order in which SimGrid runs them; see ``_core.loop``."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias

from batfs._core.loop import (
    CANCELLED,
    DONE,
    ENDS,
    SLEEPS,
    TIMED_OUT,
    Actor,
    Call,
    Comm,
    Flow,
    Maestro,
    Mailbox,
    Sleep,
    Then,
    Waiting,
)

Script: TypeAlias = "Generator[Call | None, Any, Any]"

__all__ = [
    "CANCELLED",
    "DONE",
    "ENDS",
    "SLEEPS",
    "TIMED_OUT",
    "Actor",
    "Call",
    "Comm",
    "Flow",
    "Maestro",
    "Mailbox",
    "Script",
    "Sleep",
    "Then",
    "Waiting",
]
