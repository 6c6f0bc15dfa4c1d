"""The words for when what a job reads is brought to it: while it has its nodes (``held``), before it has any
(``ahead``), or as a job of its own (``two_step``)."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

StagingMode: TypeAlias = Literal["held", "ahead", "two_step"]
STAGING: Final[tuple[str, ...]] = get_args(StagingMode)
HELD: Final = "held"
TWO_STEP: Final = "two_step"
