"""The memory of the solver: what stands where. Buffers of float64 and of int64, per slot, per resource, per
row.

A slot's rows are ``[first, first + count)``; so are its groups. Engine and solver share these buffers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# kinds of slots
FREE, LATENT, ENABLED, TIMER = 0, 1, 2, 3

# places in State.info
SLOTS = 0  # slots in use: [0, SLOTS)
FINISHED = 1  # how many slots stand in State.finished
DIRTY = 2  # how many slots stand in State.dirty
EPOCH = 3  # number of component searches so far
FAILURE = 4  # 1: the solver found an endless loop
CULPRIT = 5  # the FATPIPE resource of that loop
SOLVES = 6  # how many components were solved
STEPS = 7  # how many times the clock moved
ROOM = 8  # room for slots, resources, rows (three places)
CREATED = 11  # how many slots were ever taken: the next place in the order of creation
INFO = 16


class State(NamedTuple):
    """The buffers by name; ``f8`` is float64, ``i8`` int64."""

    clock: Any  # f8[1]
    info: Any  # i8[INFO]
    # per slot
    remains: Any  # f8
    rate: Any  # f8, fraction of the task per second
    timer: Any  # f8, infinity for none
    latency: Any  # f8, 0 for none (or paid)
    fresh: Any  # f8, the latency of a flow that starts again and again
    bound: Any  # f8, <= 0 for none
    increment: Any  # f8, the solver's last increment
    pace: Any  # f8, see the solver's leaps
    slope: Any  # f8
    order: Any  # i8, creation order
    kind: Any  # i8
    first: Any  # i8
    count: Any  # i8
    groups: Any  # i8, number of groups
    shared: Any  # i8, first row of the list of shared rows, -1 for none
    seen: Any  # i8, epoch of the last component search that met this slot
    alive: Any  # i8
    driver: Any  # i8, see the solver's leaps
    finished: Any  # i8, list
    dirty: Any  # i8, list, room for every slot twice
    component: Any  # i8, list
    # per resource
    capacity: Any  # f8
    left: Any  # f8
    share: Any  # f8
    fall: Any  # f8, see the solver's leaps
    bend: Any  # f8
    fatpipe: Any  # i8
    top: Any  # i8, newest enabled row, -1 for none
    rows: Any  # i8, number of enabled rows
    living: Any  # i8, rows whose flow is still alive in this solve
    met: Any  # i8, epoch
    drives: Any  # i8, see the solver's leaps
    listed: Any  # i8, list
    # per row
    weight: Any  # f8
    resource: Any  # i8
    owner: Any  # i8, the slot
    below: Any  # i8, next older enabled row on the same resource, -1 at the end
    above: Any  # i8, next newer enabled row
    after: Any  # i8, next shared row of the same slot
    before: Any  # i8
    group: Any  # i8, the row's group (a place in group_*), -1 when it can't bind while private
    group_capacity: Any  # f8
    group_weight: Any  # f8
    group_left: Any  # f8
    group_private: Any  # i8, how many of the group's rows are private now


#: Names of the float64 buffers by what they are for: one number per slot, resource or row.
FLOATS = {
    "slot": ("remains", "rate", "timer", "latency", "fresh", "bound", "increment", "pace", "slope"),
    "resource": ("capacity", "left", "share", "fall", "bend"),
    "row": ("weight", "group_capacity", "group_weight", "group_left"),
}
INTEGERS = {
    "slot": (
        *("order", "kind", "first", "count", "groups", "shared", "seen", "alive", "driver", "finished"),
        "component",
    ),
    "twice": ("dirty",),
    "resource": ("fatpipe", "top", "rows", "living", "met", "drives", "listed"),
    "row": ("resource", "owner", "below", "above", "after", "before", "group", "group_private"),
}
