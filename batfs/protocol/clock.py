"""Time as it is on the wire: every date that a simulator writes has six decimals.

A decision process that asks to be called at a date hears of it at one that may differ by half of the last
decimal. Whoever waits for a date compares with :func:`due`, and asks for one that :func:`on_wire` gives.
"""

from __future__ import annotations

#: Seconds; what is closer together is the same instant.
RESOLUTION = 1e-6


def due(at: float, now: float) -> bool:
    """Whether the date ``at`` has come, as far as the wire can tell."""
    return now >= at - RESOLUTION


def on_wire(at: float) -> float:
    """The first date with six decimals that is not before ``at``: who is called then finds it has come."""
    rounded = round(at, 6)
    return rounded if rounded >= at else round(rounded + RESOLUTION, 6)
