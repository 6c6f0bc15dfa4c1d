"""The service's clock: wall time that nobody can set.

Leases end by it, so a wrong step of the system's clock must not reach it. Within one boot it goes on with
the kernel's boot clock (``CLOCK_BOOTTIME``: seconds since the boot, sleep included, settable by nobody),
whatever becomes of the system's date. The ledger remembers the last moment with the boot it belongs to, so
that an orchestrator started again in the same boot goes on with the same clock. After another boot only the
system's date can say how long the machine was off: it is believed, but never backwards, and where it lies
past the last recorded moment by more than :data:`OFF`, nothing that seems to have ended meanwhile is removed
before :data:`GRACE` has passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# the moment is recorded at least so often (seconds)
RECORD_EVERY = 60.0
# longer than that between two records, and the machine was off or its date was moved
OFF = 3 * RECORD_EVERY
# for so long nothing is removed then
GRACE = 3600.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the service's clock, the boot it was in, and that boot's clock then."""

    time: float
    boot: str
    since_boot: float


def boot_id() -> str:
    """The kernel's name for this boot; empty where there is none (then no two moments are of one boot)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _since_boot() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """Goes on from ``last``, the moment recorded last, if there is one.

    ``grace_until``: nothing may be removed before (0: no such need).
    """

    def __init__(
        self,
        last: Moment | None = None,
        *,
        wall: Callable[[], float] = time.time,
        since_boot: Callable[[], float] = _since_boot,
        boot: str | None = None,
    ) -> None:
        self._wall, self._since_boot = wall, since_boot
        self._boot = boot_id() if boot is None else boot
        here, self.grace_until = since_boot(), 0.0
        if last is not None and self._boot and last.boot == self._boot and here >= last.since_boot:
            now = last.time + (here - last.since_boot)
        else:
            now = wall()
            if last is not None:
                now = max(now, last.time)
                if now - last.time > OFF:
                    self.grace_until = now + GRACE
        self._zero = now - here

    def now(self) -> float:
        """Seconds since 1970, as far as one can know."""
        return self._zero + self._since_boot()

    def offset(self) -> float:
        """Seconds that the system's date is ahead; outside, moments are given in the system's date."""
        ahead = self._wall() - self.now()
        return ahead if abs(ahead) > 1.0 else 0.0

    def moment(self) -> Moment:
        return Moment(self.now(), self._boot, self._since_boot())
