"""Which jobs of a queue can't start before which others could: what a plan learns from one for the next.

While a plan is made what is free only gets less. So when a job found no start before some instant for want of
nodes, no job after it that asks for as many nodes or more, for as long or longer, finds one. A full order of
both takes too long to keep; jobs of one width in some ``BANDS`` bands of lengths tell most of it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np

BANDS = 16


def ranked(widths: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """Of each job, int64[q]: the rank where it looks for what others have learnt, and the first rank that
    learns from it and the one behind the last: those of its width that are as long or longer. What a rank
    knows is never more than what the ones behind it do."""
    looked, learnt, ends = ([0] * len(widths) for _ in range(3))
    lasts = lengths.tolist()
    of_width: dict[int, list[int]] = {}
    for k, width in enumerate(widths.tolist()):
        of_width.setdefault(width, []).append(k)
    ranks = 0
    for _, places in sorted(of_width.items()):
        own = sorted([lasts[k] for k in places])
        edges = sorted(set(own))
        if len(edges) > BANDS:  # else a band holds one length only
            edges = sorted({own[band * len(own) // BANDS] for band in range(BANDS)})
        for k in places:
            band = bisect_right(edges, lasts[k]) - 1
            looked[k] = ranks + band
            learnt[k] = ranks + band + (edges[band] < lasts[k])
            ends[k] = ranks + len(edges)
        ranks += len(edges)
    return np.array(looked, np.int64), np.array(learnt, np.int64), np.array(ends, np.int64)
