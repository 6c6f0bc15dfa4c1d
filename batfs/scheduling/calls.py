"""When the scheduler wants to be called though nothing happens: wishes of a policy, patience that ends."""

from __future__ import annotations

from batfs.protocol import messages as m
from batfs.protocol.clock import call_at, due


class Calls:
    """``wish``: the date the queue policy has asked for (s), until it has come or the policy asks for
    another. Each method answers what is to be sent."""

    def __init__(self) -> None:
        self.wish: float | None = None
        self._pending: list[float] = []

    @property
    def any(self) -> bool:
        """Whether one is on its way."""
        return bool(self._pending)

    def came(self, now: float) -> None:
        """A call has come, for whatever date up to ``now``."""
        self._pending = [at for at in self._pending if not due(at, now)]

    def is_due(self, now: float) -> bool:
        """Whether the policy's wish has come."""
        return self.wish is not None and due(self.wish, now)

    def wished(self, wish: float | None, now: float) -> list[m.Decision]:
        """See that the policy is called when it wishes, also while an earlier call is on its way."""
        if wish is not None:
            self.wish = wish
        elif self.is_due(now):
            self.wish = None
        return [] if self.wish is None else self.by(self.wish, now)

    def by(self, wish: float, now: float) -> list[m.Decision]:
        """A call at that time or before it."""
        at = call_at(wish, now)
        return [] if any(pending <= at for pending in self._pending) else self._call(at, now)

    def at(self, at: float, now: float) -> list[m.Decision]:
        """A call at that very time, if it is one; once."""
        return [] if at == float("inf") or at in self._pending else self._call(at, now)

    def _call(self, at: float, now: float) -> list[m.Decision]:
        self._pending.append(at)
        return [m.CallMeLater(now, at)]
