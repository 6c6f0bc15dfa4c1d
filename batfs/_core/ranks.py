"""Which jobs of a queue can't start before which others could: what a plan learns from one for the next.

While a plan is made what is free only gets less. So when a job found no start before some instant for want of
nodes, no job after it that asks for as many nodes or more, for as long or longer, finds one. A full order of
both takes too long to keep; jobs of one width in some ``BANDS`` bands of lengths tell most of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BANDS = 16


def ranked(widths: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """Of each job, int64[q]: the rank where it looks for what others have learnt, and the first rank that
    learns from it and the one behind the last: those of its width that are as long or longer. What a rank
    knows is never more than what the ones behind it do."""
    count = len(widths)
    looked, learnt, ends = (np.empty(count, np.int64) for _ in range(3))
    ranks = 0
    for width in np.unique(widths):
        places = np.flatnonzero(widths == width)
        own = lengths[places]
        edges = np.unique(own)
        if len(edges) > BANDS:  # else a band holds one length only
            edges = np.unique(np.sort(own)[np.arange(BANDS) * len(own) // BANDS])
        band = np.searchsorted(edges, own, side="right") - 1
        looked[places] = ranks + band
        learnt[places] = ranks + band + (edges[band] < own)
        ranks += len(edges)
        ends[places] = ranks
    return looked, learnt, ends
