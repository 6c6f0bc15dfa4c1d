"""What the transfers of a job, and all of them together, have cost: the figures of an I/O policy."""

from __future__ import annotations

from batfs.records import record


@record
class IoTimes:
    """What became of one job's transfers, up to the time its nodes were free. Seconds, but ``nodes``,
    ``transfers`` and ``moved`` (bytes). ``work``: it computed; ``alone``: its blocking transfers would have
    taken alone; ``blocked``: it waited for them, ``held`` of it because of the I/O policy."""

    nodes: int
    began: float
    end: float
    work: float
    alone: float
    blocked: float
    held: float
    transfers: int
    moved: int

    @property
    def slowdown(self) -> float | None:
        """Time for I/O over what it takes alone; None without any."""
        return max(1.0, self.blocked / self.alone) if self.alone > 0 else None

    @property
    def stretch(self) -> float | None:
        """Time from its beginning over what it takes with its I/O alone (the dilation of one application)."""
        least = self.work + self.alone
        return max(1.0, (self.end - self.began) / least) if least > 0 else None


@record
class Idle:
    """Bytes that the links could have moved which transfers on hold need most, and that they did not; and
    all that they could have moved meanwhile."""

    unused: float
    offered: float
