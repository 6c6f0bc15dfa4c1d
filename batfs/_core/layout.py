"""The memory of the solver: what stands where. Buffers of float64 and of int64, per slot, per resource, per
row.

A slot's rows are ``[first, first + count)``; so are its groups. Activities (``loop``) and solver share these
buffers.
"""

from __future__ import annotations

# kinds of slots
FREE, LATENT, ENABLED, TIMER = 0, 1, 2, 3

# places in the buffer ``info`` (the other one that is of neither kind is ``clock``)
SLOTS = 0  # slots in use: [0, SLOTS)
FINISHED = 1  # how many slots stand in ``finished``
DIRTY = 2  # how many slots stand in ``dirty``
EPOCH = 3  # number of component searches so far
FAILURE = 4  # 1: the solver found an endless loop
CULPRIT = 5  # the FATPIPE resource of that loop
SOLVES = 6  # how many components were solved
STEPS = 7  # how many times the clock moved
ROOM = 8  # room for slots, resources, rows (three places)
CREATED = 11  # how many slots were ever taken: the next place in the order of creation
INFO = 16

#: Names of the buffers by what they are for: one number per slot, resource or row (or two per slot).
#: What isn't said here is the solver's own: see there.
FLOATS = {
    "slot": (
        "remains",
        "rate",  # fraction of the task per second
        "timer",  # infinity for none
        "latency",  # 0 for none (or paid)
        "fresh",  # the latency of a flow that starts again and again
        "bound",  # <= 0 for none
        "increment",  # the solver's last one
        *("pace", "slope"),  # see the solver's leaps
    ),
    "resource": ("capacity", "left", "share", "fall", "bend"),
    "row": ("weight", "group_capacity", "group_weight", "group_left"),
}
INTEGERS = {
    "slot": (
        "order",  # of creation
        *("kind", "first", "count"),
        "groups",  # how many
        "shared",  # first row of the list of shared rows, -1 for none
        "seen",  # epoch of the last component search that met this slot
        "alive",
        "driver",  # see the solver's leaps
        *("finished", "component"),  # lists
    ),
    "twice": ("dirty",),  # a list, room for every slot twice
    "resource": (
        "fatpipe",
        "top",  # newest enabled row, -1 for none
        "rows",  # number of enabled rows
        "living",  # rows whose flow is still alive in this solve
        "met",  # epoch
        "drives",  # see the solver's leaps
        "listed",  # a list
    ),
    "row": (
        "resource",
        "owner",  # the slot
        *("below", "above"),  # next older enabled row on the same resource, next newer one; -1 at the end
        *("after", "before"),  # next shared row of the same slot, and the one before
        "group",  # a place in group_*, -1 when the row can't bind while private
        "group_private",  # how many of the group's rows are private now
    ),
}
