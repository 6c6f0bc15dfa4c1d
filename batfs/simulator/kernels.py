"""The fluid model's inner loops: SimGrid's fair bottleneck and the march of time, on flat memory.

Everything here is written in the subset of Python that numba compiles and works on a :class:`State` of flat
buffers, so that one source serves two masters: interpreted (on memoryviews) for short runs, compiled to
machine code (``compiled``) for long ones. Both make the same floating-point operations in the same order and
therefore give the same bits; a test compares them.

The model is SimGrid 3.34's ``ptask_L07`` with the fair bottleneck solver (BATSIM.md sections A2 to A5):

* a *flow* is one parallel task: a slot with ``remains`` (a fraction of the task, from 1 to 0), a latency to
  pay first, an optional rate bound, and *rows* (resource, weight);
* a *timer* is a slot that only waits.

Two ideas keep the work small. A resource with a single enabled row is *private*: it acts on its flow as a
bound, has no list to walk, and when it can't be the flow's tightest limit (by a margin far above rounding) it
is not looked at; equal limits are looked at once (a *group*). And only the connected part of the system that
changed is solved again: the solution is a pure function of the enabled flows, component by component.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from batfs.simulator.leaps import (
    INFINITY,
    LEAST_LEAP,
    NOT_EMPTY,
    above,
    falls,
    holds,
    jump,
    leap,
    paces,
    settled_least,
)

__all__ = ["INFINITY", "NOT_EMPTY", "above", "falls", "holds", "jump", "paces", "settled_least"]

WORK_PRECISION = 1e-5  # SimGrid's precision/work-amount
TIME_PRECISION = 1e-9  # SimGrid's precision/timing
REMAINS_PRECISION = 1e-14  # their product
MARGIN = 1.0 + 1e-6  # a limit this much looser than the tightest one can never bind

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

# what the compiled kernel is called for; with a slot: 8 * slot + that
ADVANCE, START, STOP, SOLVE, TRANSFER = range(5)

ROUND_LIMIT = 20_000_000  # rounds that are really made
ENDLESS = 10_000_000_000  # rounds, with those that are leapt over: an hour of SimGrid's time
# rounds are made one by one up to here, whence their bits are SimGrid's (the longest of Batsim's recordings
# that ends in the same bits takes 8,531); then every so many rounds a leap is tried
PLAIN_ROUNDS = 20_000
BETWEEN_LEAPS = 16


class State(NamedTuple):
    """Flat buffers of the whole system; ``f8`` is float64, ``i8`` int64.

    Buffers per slot, per resource and per row. A slot's rows are ``[first, first + count)``; so are its
    groups.
    """

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
    pace: Any  # f8, see leaps
    slope: Any  # f8
    order: Any  # i8, creation order
    kind: Any  # i8
    first: Any  # i8
    count: Any  # i8
    groups: Any  # i8, number of groups
    shared: Any  # i8, first row of the list of shared rows, -1 for none
    seen: Any  # i8, epoch of the last component search that met this slot
    alive: Any  # i8
    driver: Any  # i8, see leaps
    finished: Any  # i8, list
    dirty: Any  # i8, list, room for every slot twice
    component: Any  # i8, list
    # per resource
    capacity: Any  # f8
    left: Any  # f8
    share: Any  # f8
    fall: Any  # f8, see leaps
    bend: Any  # f8
    fatpipe: Any  # i8
    top: Any  # i8, newest enabled row, -1 for none
    rows: Any  # i8, number of enabled rows
    living: Any  # i8, rows whose flow is still alive in this solve
    met: Any  # i8, epoch
    drives: Any  # i8, see leaps
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


def again(state: State, slot: int) -> None:
    """A reserved slot's flow is about to start once more."""
    state.order[slot] = state.info[CREATED]
    state.info[CREATED] += 1
    state.latency[slot] = state.fresh[slot]
    state.remains[slot] = 1.0 if state.count[slot] > 0 else 0.0


def others(state: State, slot: int, count: int) -> int:
    """What :func:`advance` returned, or 0 where the slot is all that has ended."""
    if count == 1 and state.finished[0] == slot:
        return 0
    return count


def prepare(state: State, slot: int) -> None:
    """Sort a slot's rows into groups of equal limits, leaving out those that can't bind while private."""
    capacity, weight, resource, fatpipe = state.capacity, state.weight, state.resource, state.fatpipe
    group = state.group
    first = state.first[slot]
    end = first + state.count[slot]
    bound = state.bound[slot]
    limit = bound if bound > 0.0 else INFINITY
    for row in range(first, end):
        r = resource[row]
        if fatpipe[r] == 0:
            reach = capacity[r] / weight[row]
            if reach < limit:
                limit = reach
    limit *= MARGIN
    groups = 0
    for row in range(first, end):
        r = resource[row]
        size = capacity[r]
        w = weight[row]
        state.owner[row] = slot
        group[row] = -1
        if (size - WORK_PRECISION) / w <= limit:
            found = -1
            for g in range(first, first + groups):
                if state.group_capacity[g] == size and state.group_weight[g] == w:
                    found = g
                    break
            if found < 0:
                found = first + groups
                groups += 1
                state.group_capacity[found] = size
                state.group_weight[found] = w
                state.group_private[found] = 0
            group[row] = found
    state.groups[slot] = groups


def share_row(state: State, row: int) -> None:
    """The row's resource is no longer private: put the row on its slot's list of shared rows."""
    slot = state.owner[row]
    head = state.shared[slot]
    state.after[row] = head
    state.before[row] = -1
    if head >= 0:
        state.before[head] = row
    state.shared[slot] = row


def unshare_row(state: State, row: int) -> None:
    """The row is alone on its resource again."""
    after, before = state.after[row], state.before[row]
    if before >= 0:
        state.after[before] = after
    else:
        state.shared[state.owner[row]] = after
    if after >= 0:
        state.before[after] = before


def touch(state: State, slot: int) -> None:
    """This slot's component must be solved again."""
    n = state.info[DIRTY]
    if n == 0 or state.dirty[n - 1] != slot:
        if n >= 2 * state.info[ROOM]:
            compact_dirty(state)
            n = state.info[DIRTY]
        state.dirty[n] = slot
        state.info[DIRTY] = n + 1


def compact_dirty(state: State) -> None:
    """Leave each slot once in the list of touched ones (it has room for every slot twice)."""
    state.info[EPOCH] += 1
    epoch = state.info[EPOCH]
    kept = 0
    for i in range(state.info[DIRTY]):
        slot = state.dirty[i]
        if state.seen[slot] != epoch:
            state.seen[slot] = epoch
            state.dirty[kept] = slot
            kept += 1
    state.info[DIRTY] = kept


def enter(state: State, row: int) -> None:
    """Put an enabled row on top of its resource's list."""
    r = state.resource[row]
    older = state.top[r]
    state.below[row] = older
    state.above[row] = -1
    state.top[r] = row
    users = state.rows[r] + 1
    state.rows[r] = users
    if users == 1:
        if state.group[row] >= 0:
            state.group_private[state.group[row]] += 1
        return
    state.above[older] = row
    if users == 2:
        if state.group[older] >= 0:
            state.group_private[state.group[older]] -= 1
        share_row(state, older)
    share_row(state, row)


def leave_row(state: State, slot: int, row: int) -> None:
    """Take a row of ``slot`` off its resource's list; whoever is left there is to be solved again."""
    r = state.resource[row]
    below, above = state.below[row], state.above[row]
    if above >= 0:
        state.below[above] = below
    else:
        state.top[r] = below
    if below >= 0:
        state.above[below] = above
    users = state.rows[r] - 1
    state.rows[r] = users
    if users > 0:
        other = state.top[r]
        if users == 1:
            unshare_row(state, other)
            if state.group[other] >= 0:
                state.group_private[state.group[other]] += 1
        if state.owner[other] != slot:
            touch(state, state.owner[other])


def enable(state: State, slot: int) -> None:
    """The flow starts to use its resources (newest row first in each resource's list, as in SimGrid)."""
    first = state.first[slot]
    state.kind[slot] = ENABLED
    state.shared[slot] = -1
    for row in range(first, first + state.count[slot]):
        enter(state, row)
    touch(state, slot)


def disable(state: State, slot: int) -> None:
    """The flow gives its resources back; whoever shared one with it is to be solved again."""
    first = state.first[slot]
    state.kind[slot] = FREE
    state.rate[slot] = 0.0
    for row in range(first, first + state.count[slot]):
        leave_row(state, slot, row)


def solve_dirty(state: State) -> None:
    """Solve every component that holds a touched slot."""
    info, seen, met = state.info, state.seen, state.met
    component, listed = state.component, state.listed
    info[EPOCH] += 1
    epoch = info[EPOCH]
    for i in range(info[DIRTY]):
        start = state.dirty[i]
        if seen[start] == epoch or state.kind[start] != ENABLED:
            continue
        seen[start] = epoch
        component[0] = start
        size = 1
        resources = 0
        visited = 0
        while visited < size:
            row = state.shared[component[visited]]
            visited += 1
            while row >= 0:
                r = state.resource[row]
                if met[r] != epoch:
                    met[r] = epoch
                    listed[resources] = r
                    resources += 1
                    other = state.top[r]
                    while other >= 0:
                        slot = state.owner[other]
                        if seen[slot] != epoch:
                            seen[slot] = epoch
                            component[size] = slot
                            size += 1
                        other = state.below[other]
                row = state.after[row]
        solve(state, size, resources)
        if info[FAILURE] != 0:
            return
    info[DIRTY] = 0


def leave(state: State, slot: int) -> None:
    """The flow's rate is settled: it no longer counts as a user of its shared resources."""
    state.alive[slot] = 0
    row = state.shared[slot]
    while row >= 0:
        state.living[state.resource[row]] -= 1
        row = state.after[row]


def solve(state: State, size: int, resources: int) -> None:
    """SimGrid's fair bottleneck (BATSIM.md A5) on the slots ``component[:size]`` and ``listed[:resources]``.

    It is not max-min: a settled flow's last increment is subtracted again in every later round, and a
    FATPIPE resource shrinks by the smallest increment only. Both are SimGrid's and are kept.
    """
    component, listed, alive, rate = state.component, state.listed, state.alive, state.rate
    left, share, living, fatpipe = state.left, state.share, state.living, state.fatpipe
    resource, weight, owner, below, after = (
        state.resource,
        state.weight,
        state.owner,
        state.below,
        state.after,
    )
    increment, bound, first, groups, shared = (
        state.increment,
        state.bound,
        state.first,
        state.groups,
        state.shared,
    )
    group_left, group_weight, group_private = state.group_left, state.group_weight, state.group_private
    state.info[SOLVES] += 1
    for i in range(resources):
        r = listed[i]
        left[r] = state.capacity[r]
        living[r] = state.rows[r]
    waiting = 0
    for i in range(size):
        slot = component[i]
        if state.count[slot] == 0:
            rate[slot] = 1.0
            alive[slot] = 0
            continue
        rate[slot] = 0.0
        alive[slot] = 1
        waiting += 1
        for g in range(first[slot], first[slot] + groups[slot]):
            group_left[g] = state.group_capacity[g]
    active = size  # component[:active] may hold settled flows; compacted as the rounds go
    rounds = 0
    leapt = 0
    while waiting > 0:
        rounds += 1
        if rounds > PLAIN_ROUNDS and rounds % BETWEEN_LEAPS == 0:
            leapt += leap(state, active, resources, ENDLESS - leapt)
        # (1) what each alive row of a resource may take
        kept = 0
        for i in range(resources):
            r = listed[i]
            if living[r] > 0:
                listed[kept] = r
                kept += 1
                share[r] = left[r] if fatpipe[r] != 0 else left[r] / living[r]
        resources = kept
        # (2) every alive flow rises until its tightest resource or its bound
        kept = 0
        settled = 0
        bounded = 0
        for i in range(active):
            slot = component[i]
            if alive[slot] == 0:
                continue
            component[kept] = slot
            kept += 1
            m = INFINITY
            row = shared[slot]
            while row >= 0:
                reach = share[resource[row]] / weight[row]
                if reach < m:
                    m = reach
                row = after[row]
            for g in range(first[slot], first[slot] + groups[slot]):
                if group_private[g] > 0:
                    reach = group_left[g] / group_weight[g]
                    if reach < m:
                        m = reach
            b = bound[slot]
            if b > 0.0:
                bounded += 1
                gap = b - rate[slot]
                if gap < m:
                    m = gap
            increment[slot] = m
            rate[slot] += m
            if b > 0.0 and rate[slot] == b:
                leave(state, slot)
                settled += 1
        active = kept
        # (3) what that took from each resource; settled flows take their last increment once more
        moved = 0
        kept = 0
        for i in range(resources):
            r = listed[i]
            rest = left[r]
            row = state.top[r]
            if fatpipe[r] == 0:
                while row >= 0:
                    rest -= weight[row] * increment[owner[row]]
                    if rest < WORK_PRECISION:
                        rest = 0.0
                    row = below[row]
            else:
                least = share[r]
                while row >= 0:
                    taken = weight[row] * increment[owner[row]]
                    if taken < least:
                        least = taken
                    row = below[row]
                rest -= least
                if rest < WORK_PRECISION:
                    rest = 0.0
            if rest != left[r]:
                moved = 1
                left[r] = rest
            if rest <= 0.0:
                row = state.top[r]
                while row >= 0:
                    slot = owner[row]
                    if alive[slot] != 0:
                        leave(state, slot)
                        settled += 1
                    row = below[row]
            else:
                listed[kept] = r
                kept += 1
        resources = kept
        for i in range(active):
            slot = component[i]
            for g in range(first[slot], first[slot] + groups[slot]):
                if group_private[g] > 0:
                    rest = group_left[g] - group_weight[g] * increment[slot]
                    if rest < WORK_PRECISION:
                        rest = 0.0
                    if rest != group_left[g]:
                        moved = 1
                        group_left[g] = rest
                    if rest <= 0.0 and alive[slot] != 0:
                        leave(state, slot)
                        settled += 1
        waiting -= settled
        if (
            (settled == 0 and moved == 0 and bounded == 0)
            or rounds > ROUND_LIMIT
            or leapt > ENDLESS - LEAST_LEAP
        ):
            state.info[FAILURE] = 1
            state.info[CULPRIT] = listed[0] if resources > 0 else -1
            return


def advance(state: State) -> int:
    """Move the clock until something finishes; returns how many slots did (``finished``, in creation order).

    Returns -1 when nothing can ever happen again, -2 when the solver can't end (see ``FAILURE``).
    Finished flows are disabled; their slots stay taken until the caller frees them (``kind`` is FREE).
    """
    info, clock, kind = state.info, state.clock, state.kind
    remains, rate, timer, latency = state.remains, state.rate, state.timer, state.latency
    finished = state.finished
    while True:
        if info[DIRTY] > 0:
            solve_dirty(state)
            if info[FAILURE] != 0:
                return -2
        slots = info[SLOTS]
        step = INFINITY
        for slot in range(slots):
            speed = rate[slot]
            if speed > 0.0:
                rest = remains[slot]
                soon = rest / speed if rest > 0.0 else 0.0
                if soon < step:
                    step = soon
            soon = timer[slot]
            if soon < step:
                step = soon
            soon = latency[slot]
            if 0.0 < soon < step:
                step = soon
        if step == INFINITY:
            return -1
        clock[0] += step
        info[STEPS] += 1
        count = 0
        opened = 0  # slots whose latency is paid now stand at the end of `component`
        last = info[ROOM] - 1
        for slot in range(slots):
            if kind[slot] == FREE:
                continue
            over = 0
            if latency[slot] > 0.0:
                if latency[slot] <= step:
                    latency[slot] = 0.0
                else:
                    latency[slot] -= step
                    if latency[slot] < TIME_PRECISION:
                        latency[slot] = 0.0
                if latency[slot] == 0.0:
                    state.component[last - opened] = slot
                    opened += 1
                    if remains[slot] <= 0.0:
                        over = 1
            elif kind[slot] == ENABLED:  # one that has just been opened has rate 0
                rest = remains[slot] - rate[slot] * step
                if rest < REMAINS_PRECISION:
                    rest = 0.0
                    over = 1
                remains[slot] = rest
            rest = timer[slot]
            if rest < INFINITY:
                rest -= step
                if rest < TIME_PRECISION:
                    rest = 0.0
                    over = 1
                timer[slot] = rest
            if over != 0:
                finished[count] = slot
                count += 1
        if opened > 0:
            by_creation(state, state.component, last + 1 - opened, opened)
            for i in range(last + 1 - opened, last + 1):
                enable(state, state.component[i])
        if count > 0:
            by_creation(state, finished, 0, count)
            for i in range(count):
                slot = finished[i]
                if kind[slot] == ENABLED:
                    disable(state, slot)
                kind[slot] = FREE
                timer[slot] = INFINITY
                rate[slot] = 0.0
            info[FINISHED] = count
            return count


def by_creation(state: State, slots: Any, start: int, count: int) -> None:
    """Sort ``slots[start:start + count]`` by creation (a handful: insertion)."""
    order = state.order
    for i in range(start + 1, start + count):
        slot = slots[i]
        j = i - 1
        while j >= start and order[slots[j]] > order[slot]:
            slots[j + 1] = slots[j]
            j -= 1
        slots[j + 1] = slot
