"""Time as it is on the wire: every date that a simulator writes has six decimals.

A decision process that asks to be called at a date hears of it at one that may differ by half of the last
decimal. Whoever waits for a date compares with :func:`due`, and asks for one that :func:`on_wire` gives.
"""

from __future__ import annotations

#: Seconds; what is closer together is the same instant.
RESOLUTION = 1e-6

#: Seconds; as much later is no later on the calendar: two steps of the wire's, and some rounding.
SAME = 2.5 * RESOLUTION

#: Seconds; dates with six decimals are exact before it: nobody is called later.
LATEST = 2.0**53 / 1e6

#: Seconds. Batsim aborts when the time asked for has passed on its clock by the time it handles the message,
#: and every decision before it in the reply delays that by the latency of a message.
SOON = 0.1


def on_calendar(at: float) -> float:
    """The first whole millisecond that is not before ``at``: what is foreseen (an end, a promise) is kept in
    these. What is later than one by no more than ``SAME`` is that one.

    Sums of times that ought to be equal then are, however they were added up; and a decision doesn't hang on
    the microseconds by which a message is later under one simulator than under another.
    """
    return round(at + (0.5e-3 - SAME), 3)


def due(at: float, now: float) -> bool:
    """Whether the date ``at`` has come, as far as the wire can tell."""
    return now >= at - RESOLUTION


def on_wire(at: float) -> float:
    """The first date with six decimals that is not before ``at``: who is called then finds it has come."""
    rounded = round(at, 6)
    return rounded if rounded >= at else round(rounded + RESOLUTION, 6)


def call_at(at: float, now: float) -> float:
    """The first date, not before ``at``, at which one can ask ``now`` to be called."""
    return on_wire(max(at, now + SOON))
