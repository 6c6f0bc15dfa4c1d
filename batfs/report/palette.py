"""Colours that colour-blind readers can tell apart.

Categories: Okabe and Ito's palette ("Color Universal Design", 2008). Amounts: cividis (Nuñez, Anderton,
Renslow,
PLOS ONE 2018), made for colour-vision deficiency and even in lightness.
"""

from __future__ import annotations

from typing import Final

CATEGORIES: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#F0E442")
DASHES: Final = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
AMOUNTS: Final = "cividis"

# why a job did not start when it was submitted
STARTED_AT_ONCE: Final = "#B8C4CE"
WAITED_FOR_NODES: Final = "#0072B2"
WAITED_FOR_STORAGE: Final = "#E69F00"
# the causes of waiting in the order of their registry: nodes, storage, a promise, behind one that waits for
# nodes, behind one that waits for storage, the policy; further ones repeat the last
WAITED: Final = (WAITED_FOR_NODES, WAITED_FOR_STORAGE, "#009E73", "#56B4E9", "#F0C75E", "#CC79A7", "#7F7F7F")
READ: Final = "#0072B2"
WRITE: Final = "#D55E00"
INK: Final = "#1F2933"
FAINT: Final = "#9AA5B1"


def waited(index: int) -> str:
    """The colour of a class of ``gantt.REASONS``."""
    return WAITED[min(index, len(WAITED)) - 1] if index else STARTED_AT_ONCE


def category(index: int) -> str:
    """The colour of the ``index``-th category; they repeat after eight (see ``dash``)."""
    return CATEGORIES[index % len(CATEGORIES)]


def dash(index: int) -> str | tuple[float, tuple[float, ...]]:
    """The line style of the ``index``-th category: another one each time the colours repeat."""
    return DASHES[index // len(CATEGORIES) % len(DASHES)]
