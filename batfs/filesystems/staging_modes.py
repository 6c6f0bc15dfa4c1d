"""The words for when what a job reads is brought to it: while it has its nodes (``held``), before it has any
(``ahead``), or as a job of its own (``two_step``); and what that may take of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, inf
from typing import Final, Literal, TypeAlias, get_args

from batfs.records import record

StagingMode: TypeAlias = Literal["held", "ahead", "two_step"]
STAGING: Final[tuple[str, ...]] = get_args(StagingMode)
HELD: Final = "held"
TWO_STEP: Final = "two_step"


@record
class StagingLimit:
    """What all stagings of a file system together may take: the part ``share`` of the bandwidth of any link,
    and ``rate`` bytes/s; 0: no such limit."""

    share: float = 0.0
    rate: float = 0.0

    def seconds(self, size: int, alone: float) -> float:
        """How long ``size`` bytes take at least that take ``alone`` seconds without a limit."""
        by_share = alone / self.share if self.share else alone
        return max(by_share, size / self.rate if self.rate else alone)


NO_LIMIT: Final = StagingLimit()


def seconds_staging(staged: Sequence[tuple[float, float]], others: Sequence[float]) -> float:
    """For how long a job's nodes had nothing to do but wait for its data.

    ``staged``: begin and end (s) of each stage-in that held them; ``others``: when its other steps on them
    began. Stage-ins at once count once, and so does a pause between two (an I/O policy's) in which nothing
    else of the job has begun.
    """
    found: list[float] = []
    until = -inf
    for begin, end in sorted(staged):
        if until > -inf and not any(until <= other < begin for other in others):
            begin = until
        if end > begin or end > until:
            found.append(end - max(begin, until))
            until = end
    return fsum(found)
