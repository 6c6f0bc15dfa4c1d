"""The interpreted form of the kernels, with array operations for flows of many rows.

Interpreted Python takes microseconds a row; a parallel task on 128 nodes has hundreds, nearly all of them
private. Here such flows are entered and left with a few numpy operations; whatever is shared, and every small
flow, goes through the kernels themselves. The results are the same to the last bit.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batfs.simulator import kernels
from batfs.simulator.kernels import State

WIDE = 24  # rows from which arrays are quicker than a loop


class Arrays(NamedTuple):
    """The kernels' memory as numpy arrays."""

    capacity: NDArray[np.float64]
    fatpipe: NDArray[np.int64]
    top: NDArray[np.int64]
    rows: NDArray[np.int64]
    weight: NDArray[np.float64]
    resource: NDArray[np.int64]
    owner: NDArray[np.int64]
    below: NDArray[np.int64]
    above: NDArray[np.int64]
    group: NDArray[np.int64]
    group_capacity: NDArray[np.float64]
    group_weight: NDArray[np.float64]
    group_private: NDArray[np.int64]


def prepare(state: State, arrays: Arrays, slot: int) -> None:
    """:func:`kernels.prepare`."""
    count = state.count[slot]
    if count < WIDE:
        kernels.prepare(state, slot)
        return
    first = state.first[slot]
    rows = slice(first, first + count)
    resource = arrays.resource[rows]
    weight = arrays.weight[rows]
    size = arrays.capacity[resource]
    reach = size / weight
    limit = state.bound[slot]
    if limit <= 0.0:
        limit = kernels.INFINITY
    shared = arrays.fatpipe[resource] == 0
    if shared.any():
        limit = min(limit, float(reach[shared].min()))
    tight = np.flatnonzero((size - kernels.WORK_PRECISION) / weight <= limit * kernels.MARGIN)
    arrays.owner[rows] = slot
    group = arrays.group[rows]
    group[:] = -1
    known: dict[tuple[float, float], int] = {}
    places = tight.tolist()
    tight_sizes = size[tight].tolist()
    tight_weights = weight[tight].tolist()
    found = []
    for limits in zip(tight_sizes, tight_weights, strict=True):
        place = known.get(limits)
        if place is None:
            place = known[limits] = first + len(known)
            state.group_capacity[place], state.group_weight[place] = limits
            state.group_private[place] = 0
        found.append(place)
    if places:
        group[tight] = found
    state.groups[slot] = len(known)


def enable(state: State, arrays: Arrays, slot: int) -> None:
    """:func:`kernels.enable`."""
    count = state.count[slot]
    if count < WIDE:
        kernels.enable(state, slot)
        return
    first = state.first[slot]
    resource = arrays.resource[first : first + count]
    if arrays.rows[resource].any() or len(set(resource.tolist())) != count:
        # rows on resources in use go one by one; those on free ones, all distinct, together
        distinct, inverse = np.unique(resource, return_inverse=True)
        crowded = (np.bincount(inverse) > 1) | (arrays.rows[distinct] > 0)
        busy = crowded[inverse]
        alone = np.flatnonzero(~busy) + first
        rest = (np.flatnonzero(busy) + first).tolist()
    else:
        alone = np.arange(first, first + count)
        rest = []
    state.kind[slot] = kernels.ENABLED
    state.shared[slot] = -1
    free = arrays.resource[alone]
    arrays.below[alone] = -1
    arrays.above[alone] = -1
    arrays.top[free] = alone
    arrays.rows[free] = 1
    groups = arrays.group[alone]
    groups = groups[groups >= 0]
    if len(groups):
        np.add.at(arrays.group_private, groups, 1)
    for row in rest:
        kernels.enter(state, row)
    kernels.touch(state, slot)


def disable(state: State, arrays: Arrays, slot: int) -> None:
    """:func:`kernels.disable`."""
    count = state.count[slot]
    if count < WIDE:
        kernels.disable(state, slot)
        return
    first = state.first[slot]
    resource = arrays.resource[first : first + count]
    state.kind[slot] = kernels.FREE
    state.rate[slot] = 0.0
    users = arrays.rows[resource]
    single = users == 1
    free = resource[single]
    arrays.top[free] = -1
    arrays.rows[free] = 0
    if len(free) != count:
        for row in (np.flatnonzero(~single) + first).tolist():
            kernels.leave_row(state, slot, row)


def advance(state: State, arrays: Arrays) -> int:
    """:func:`kernels.advance`."""
    _current.arrays = arrays
    count: int = _advance(state)
    return count


class _Current:
    arrays: Any = None


_current = _Current()


def _enable(state: State, slot: int) -> None:
    enable(state, _current.arrays, slot)


def _disable(state: State, slot: int) -> None:
    disable(state, _current.arrays, slot)


# the kernels' own loop, with enable and disable replaced by the ones above
_advance = FunctionType(
    kernels.advance.__code__, {**vars(kernels), "enable": _enable, "disable": _disable}, "advance"
)
