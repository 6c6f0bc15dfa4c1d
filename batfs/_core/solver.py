# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True
"""The fluid model's inner loops: SimGrid's fair bottleneck and the march of time, on flat memory.

Compiled by Cython when batfs is installed, and plain Python all the same: interpreted, this file is the
oracle of the tests. Both make the same floating-point operations in the same order and so give the same bits
(the C compiler is told to contract none of them).

The model is SimGrid 3.34's ``ptask_L07`` with the fair bottleneck solver:

* a *flow* is one parallel task: a slot with ``remains`` (a fraction of the task, from 1 to 0), a latency to
  pay first, an optional rate bound, and *rows* (resource, weight);
* a *timer* is a slot that only waits.

Two ideas keep the work small. A resource with a single enabled row is *private*: it acts on its flow as a
bound, has no list to walk, and when it can't be the flow's tightest limit (by a margin far above rounding) it
is not looked at; equal limits are looked at once (a *group*). And only the connected part of the system that
changed is solved again: the solution is a pure function of the enabled flows, component by component.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batfs._core import layout

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

WORK_PRECISION = cython.declare(cython.double, 1e-5)  # SimGrid's precision/work-amount
TIME_PRECISION = cython.declare(cython.double, 1e-9)  # SimGrid's precision/timing
REMAINS_PRECISION = cython.declare(cython.double, 1e-14)  # their product
MARGIN = cython.declare(cython.double, 1.0 + 1e-6)  # a limit so much looser than the tightest never binds
INFINITY = cython.declare(cython.double, float("inf"))
ROUND_LIMIT = cython.declare(cython.longlong, 20_000_000)  # rounds that are really made
ENDLESS = cython.declare(cython.longlong, 10_000_000_000)  # with those leapt over: minutes of SimGrid's time
# rounds are made one by one up to here, whence their bits are SimGrid's (the longest of Batsim's recordings
# that ends in the same bits takes 8,531); then every so many rounds a leap is tried
PLAIN_ROUNDS = cython.declare(cython.longlong, 20_000)
BETWEEN_LEAPS = cython.declare(cython.longlong, 16)
LEAST_LEAP = cython.declare(cython.longlong, 64)  # rounds; shorter leaps aren't worth looking for
LOGGED = cython.declare(cython.longlong, 1000)  # rounds of a solve that a log has; then each of so many
NOT_EMPTY = cython.declare(cython.double, 2e-5)  # units/s; twice what SimGrid takes for nothing left

FREE = cython.declare(cython.longlong, layout.FREE)
LATENT = cython.declare(cython.longlong, layout.LATENT)
ENABLED = cython.declare(cython.longlong, layout.ENABLED)
SLOTS = cython.declare(cython.longlong, layout.SLOTS)
FINISHED = cython.declare(cython.longlong, layout.FINISHED)
DIRTY = cython.declare(cython.longlong, layout.DIRTY)
EPOCH = cython.declare(cython.longlong, layout.EPOCH)
FAILURE = cython.declare(cython.longlong, layout.FAILURE)
CULPRIT = cython.declare(cython.longlong, layout.CULPRIT)
SOLVES = cython.declare(cython.longlong, layout.SOLVES)
STEPS = cython.declare(cython.longlong, layout.STEPS)
ROOM = cython.declare(cython.longlong, layout.ROOM)
CREATED = cython.declare(cython.longlong, layout.CREATED)

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Solver:
    """The kernels on the buffers of one engine (see ``layout``)."""

    # told of each round, if there is one (see ``note_component`` and those after it)
    log = cython.declare(object, visibility="public")
    clock: cython.p_double
    info: cython.p_longlong
    remains: cython.p_double
    rate: cython.p_double
    timer: cython.p_double
    latency: cython.p_double
    fresh: cython.p_double
    bound: cython.p_double
    increment: cython.p_double
    pace: cython.p_double
    slope: cython.p_double
    order: cython.p_longlong
    kind: cython.p_longlong
    first: cython.p_longlong
    count: cython.p_longlong
    groups: cython.p_longlong
    shared: cython.p_longlong
    seen: cython.p_longlong
    alive: cython.p_longlong
    driver: cython.p_longlong
    finished: cython.p_longlong
    dirty: cython.p_longlong
    component: cython.p_longlong
    capacity: cython.p_double
    left: cython.p_double
    share: cython.p_double
    fall: cython.p_double
    bend: cython.p_double
    fatpipe: cython.p_longlong
    top: cython.p_longlong
    rows: cython.p_longlong
    living: cython.p_longlong
    met: cython.p_longlong
    drives: cython.p_longlong
    listed: cython.p_longlong
    weight: cython.p_double
    resource: cython.p_longlong
    owner: cython.p_longlong
    below: cython.p_longlong
    above: cython.p_longlong
    after: cython.p_longlong
    before: cython.p_longlong
    group: cython.p_longlong
    group_capacity: cython.p_double
    group_weight: cython.p_double
    group_left: cython.p_double
    group_private: cython.p_longlong

    def attach(self, arrays: Mapping[str, Any]) -> None:
        """Work on these arrays from now on; whoever attaches them keeps them alive."""
        self.clock = doubles(arrays["clock"])
        self.remains = doubles(arrays["remains"])
        self.rate = doubles(arrays["rate"])
        self.timer = doubles(arrays["timer"])
        self.latency = doubles(arrays["latency"])
        self.fresh = doubles(arrays["fresh"])
        self.bound = doubles(arrays["bound"])
        self.increment = doubles(arrays["increment"])
        self.pace = doubles(arrays["pace"])
        self.slope = doubles(arrays["slope"])
        self.capacity = doubles(arrays["capacity"])
        self.left = doubles(arrays["left"])
        self.share = doubles(arrays["share"])
        self.fall = doubles(arrays["fall"])
        self.bend = doubles(arrays["bend"])
        self.weight = doubles(arrays["weight"])
        self.group_capacity = doubles(arrays["group_capacity"])
        self.group_weight = doubles(arrays["group_weight"])
        self.group_left = doubles(arrays["group_left"])
        self.info = integers(arrays["info"])
        self.order = integers(arrays["order"])
        self.kind = integers(arrays["kind"])
        self.first = integers(arrays["first"])
        self.count = integers(arrays["count"])
        self.groups = integers(arrays["groups"])
        self.shared = integers(arrays["shared"])
        self.seen = integers(arrays["seen"])
        self.alive = integers(arrays["alive"])
        self.driver = integers(arrays["driver"])
        self.finished = integers(arrays["finished"])
        self.dirty = integers(arrays["dirty"])
        self.component = integers(arrays["component"])
        self.fatpipe = integers(arrays["fatpipe"])
        self.top = integers(arrays["top"])
        self.rows = integers(arrays["rows"])
        self.living = integers(arrays["living"])
        self.met = integers(arrays["met"])
        self.drives = integers(arrays["drives"])
        self.listed = integers(arrays["listed"])
        self.resource = integers(arrays["resource"])
        self.owner = integers(arrays["owner"])
        self.below = integers(arrays["below"])
        self.above = integers(arrays["above"])
        self.after = integers(arrays["after"])
        self.before = integers(arrays["before"])
        self.group = integers(arrays["group"])
        self.group_private = integers(arrays["group_private"])

    def start(self, slot: cython.longlong) -> None:
        """A slot's flow starts: it pays its latency, or uses its resources."""
        start(self, slot)

    def stop(self, slot: cython.longlong) -> None:
        """A slot's flow gives its resources back."""
        disable(self, slot)

    def solve(self) -> cython.longlong:
        """Solve what has changed; not 0 if the solver would go on for ever (see ``layout.FAILURE``)."""
        solve_dirty(self)
        return self.info[FAILURE]

    def advance(self) -> cython.longlong:
        """Move the clock until something finishes; returns how many slots did (``finished``, in creation
        order).

        -1 when nothing can ever happen again, -2 when the solver can't end (see ``layout.FAILURE``). Finished
        flows are disabled; their slots stay taken until the caller frees them (``kind`` is FREE).
        """
        return advance(self)

    def transfer(self, slot: cython.longlong) -> cython.longlong:
        """Start a reserved slot's flow once more and move the clock: 0 if that ends, and nothing else with
        it; else as :meth:`advance`."""
        again(self, slot)
        start(self, slot)
        count = advance(self)
        if count == 1 and self.finished[0] == slot:
            return 0
        return count


@cython.cfunc
def doubles(numbers: Any) -> cython.p_double:
    """The numbers of an array of float64."""
    if cython.compiled:
        return cython.cast(cython.p_double, cython.cast(cython.size_t, numbers.buffer_info()[0]))
    return memoryview(numbers)


@cython.cfunc
def integers(numbers: Any) -> cython.p_longlong:
    """The numbers of an array of int64."""
    if cython.compiled:
        return cython.cast(cython.p_longlong, cython.cast(cython.size_t, numbers.buffer_info()[0]))
    return memoryview(numbers)


@cython.cfunc
@cython.exceptval(check=False)
def start(s: Solver, slot: cython.longlong) -> cython.void:
    """See :meth:`Solver.start`."""
    prepare(s, slot)
    if s.latency[slot] > 0.0:
        s.kind[slot] = LATENT
    else:
        enable(s, slot)


@cython.cfunc
@cython.exceptval(check=False)
def again(s: Solver, slot: cython.longlong) -> cython.void:
    """A reserved slot's flow is about to start once more."""
    s.order[slot] = s.info[CREATED]
    s.info[CREATED] += 1
    s.latency[slot] = s.fresh[slot]
    s.remains[slot] = 1.0 if s.count[slot] > 0 else 0.0


@cython.cfunc
@cython.exceptval(check=False)
def prepare(s: Solver, slot: cython.longlong) -> cython.void:
    """Sort a slot's rows into groups of equal limits, leaving out those that can't bind while private."""
    capacity, weight, resource, fatpipe = s.capacity, s.weight, s.resource, s.fatpipe
    group = s.group
    first = s.first[slot]
    end = first + s.count[slot]
    bound = s.bound[slot]
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
        s.owner[row] = slot
        group[row] = -1
        if (size - WORK_PRECISION) / w <= limit:
            found = -1
            for g in range(first, first + groups):
                if s.group_capacity[g] == size and s.group_weight[g] == w:
                    found = g
                    break
            if found < 0:
                found = first + groups
                groups += 1
                s.group_capacity[found] = size
                s.group_weight[found] = w
                s.group_private[found] = 0
            group[row] = found
    s.groups[slot] = groups


@cython.cfunc
@cython.exceptval(check=False)
def share_row(s: Solver, row: cython.longlong) -> cython.void:
    """The row's resource is no longer private: put the row on its slot's list of shared rows."""
    slot = s.owner[row]
    head = s.shared[slot]
    s.after[row] = head
    s.before[row] = -1
    if head >= 0:
        s.before[head] = row
    s.shared[slot] = row


@cython.cfunc
@cython.exceptval(check=False)
def unshare_row(s: Solver, row: cython.longlong) -> cython.void:
    """The row is alone on its resource again."""
    after, before = s.after[row], s.before[row]
    if before >= 0:
        s.after[before] = after
    else:
        s.shared[s.owner[row]] = after
    if after >= 0:
        s.before[after] = before


@cython.cfunc
@cython.exceptval(check=False)
def touch(s: Solver, slot: cython.longlong) -> cython.void:
    """This slot's component must be solved again."""
    n = s.info[DIRTY]
    if n == 0 or s.dirty[n - 1] != slot:
        if n >= 2 * s.info[ROOM]:
            compact_dirty(s)
            n = s.info[DIRTY]
        s.dirty[n] = slot
        s.info[DIRTY] = n + 1


@cython.cfunc
@cython.exceptval(check=False)
def compact_dirty(s: Solver) -> cython.void:
    """Leave each slot once in the list of touched ones (it has room for every slot twice)."""
    s.info[EPOCH] += 1
    epoch = s.info[EPOCH]
    kept = 0
    for i in range(s.info[DIRTY]):
        slot = s.dirty[i]
        if s.seen[slot] != epoch:
            s.seen[slot] = epoch
            s.dirty[kept] = slot
            kept += 1
    s.info[DIRTY] = kept


@cython.cfunc
@cython.exceptval(check=False)
def enter(s: Solver, row: cython.longlong) -> cython.void:
    """Put an enabled row on top of its resource's list."""
    r = s.resource[row]
    older = s.top[r]
    s.below[row] = older
    s.above[row] = -1
    s.top[r] = row
    users = s.rows[r] + 1
    s.rows[r] = users
    if users == 1:
        if s.group[row] >= 0:
            s.group_private[s.group[row]] += 1
        return
    s.above[older] = row
    if users == 2:
        if s.group[older] >= 0:
            s.group_private[s.group[older]] -= 1
        share_row(s, older)
    share_row(s, row)


@cython.cfunc
@cython.exceptval(check=False)
def leave_row(s: Solver, slot: cython.longlong, row: cython.longlong) -> cython.void:
    """Take a row of ``slot`` off its resource's list; whoever is left there is to be solved again."""
    r = s.resource[row]
    below, above = s.below[row], s.above[row]
    if above >= 0:
        s.below[above] = below
    else:
        s.top[r] = below
    if below >= 0:
        s.above[below] = above
    users = s.rows[r] - 1
    s.rows[r] = users
    if users > 0:
        other = s.top[r]
        if users == 1:
            unshare_row(s, other)
            if s.group[other] >= 0:
                s.group_private[s.group[other]] += 1
        if s.owner[other] != slot:
            touch(s, s.owner[other])


@cython.cfunc
@cython.exceptval(check=False)
def enable(s: Solver, slot: cython.longlong) -> cython.void:
    """The flow starts to use its resources (newest row first in each resource's list, as in SimGrid)."""
    first = s.first[slot]
    s.kind[slot] = ENABLED
    s.shared[slot] = -1
    for row in range(first, first + s.count[slot]):
        enter(s, row)
    touch(s, slot)


@cython.cfunc
@cython.exceptval(check=False)
def disable(s: Solver, slot: cython.longlong) -> cython.void:
    """The flow gives its resources back; whoever shared one with it is to be solved again."""
    first = s.first[slot]
    s.kind[slot] = FREE
    s.rate[slot] = 0.0
    for row in range(first, first + s.count[slot]):
        leave_row(s, slot, row)


@cython.cfunc
@cython.exceptval(check=False)
def solve_dirty(s: Solver) -> cython.void:
    """Solve every component that holds a touched slot."""
    info, seen, met = s.info, s.seen, s.met
    component, listed = s.component, s.listed
    info[EPOCH] += 1
    epoch = info[EPOCH]
    for i in range(info[DIRTY]):
        start = s.dirty[i]
        if seen[start] == epoch or s.kind[start] != ENABLED:
            continue
        seen[start] = epoch
        component[0] = start
        size = 1
        resources = 0
        visited = 0
        while visited < size:
            row = s.shared[component[visited]]
            visited += 1
            while row >= 0:
                r = s.resource[row]
                if met[r] != epoch:
                    met[r] = epoch
                    listed[resources] = r
                    resources += 1
                    other = s.top[r]
                    while other >= 0:
                        slot = s.owner[other]
                        if seen[slot] != epoch:
                            seen[slot] = epoch
                            component[size] = slot
                            size += 1
                        other = s.below[other]
                row = s.after[row]
        solve(s, size, resources)
        if info[FAILURE] != 0:
            return
    info[DIRTY] = 0


@cython.cfunc
@cython.exceptval(check=False)
def leave(s: Solver, slot: cython.longlong) -> cython.void:
    """The flow's rate is settled: it no longer counts as a user of its shared resources."""
    s.alive[slot] = 0
    row = s.shared[slot]
    while row >= 0:
        s.living[s.resource[row]] -= 1
        row = s.after[row]


@cython.cfunc
@cython.exceptval(check=False)
def solve(s: Solver, size: cython.longlong, resources: cython.longlong) -> cython.void:
    """SimGrid's fair bottleneck on the slots ``component[:size]`` and ``listed[:resources]``.

    It is not max-min: a settled flow's last increment is subtracted again in every later round, and a
    FATPIPE resource shrinks by the smallest increment only. Both are SimGrid's and are kept.

    The bits depend on orders, all of them SimGrid's: a resource's rows are gone through newest first, each
    subtracted by itself and cut at WORK_PRECISION at once (a sum subtracted once gives others); a rate is the
    sum of its increments from the first round on; ``left / living`` is divided anew in each round. They don't
    depend on the order of flows or of resources: each is written by its own terms only, and whether a
    resource is private or listed changes no operation on it.
    """
    component, listed, alive, rate = s.component, s.listed, s.alive, s.rate
    left, share, living, fatpipe = s.left, s.share, s.living, s.fatpipe
    resource, weight, owner, below, after = (
        s.resource,
        s.weight,
        s.owner,
        s.below,
        s.after,
    )
    increment, bound, first, groups, shared = (
        s.increment,
        s.bound,
        s.first,
        s.groups,
        s.shared,
    )
    group_left, group_weight, group_private = s.group_left, s.group_weight, s.group_private
    s.info[SOLVES] += 1
    for i in range(resources):
        r = listed[i]
        left[r] = s.capacity[r]
        living[r] = s.rows[r]
    waiting = 0
    for i in range(size):
        slot = component[i]
        if s.count[slot] == 0:
            rate[slot] = 1.0
            alive[slot] = 0
            continue
        rate[slot] = 0.0
        alive[slot] = 1
        waiting += 1
        for g in range(first[slot], first[slot] + groups[slot]):
            group_left[g] = s.group_capacity[g]
    active = size  # component[:active] may hold settled flows; compacted as the rounds go
    rounds = 0
    logged: cython.bint = s.log is not None
    if logged:
        note_component(s, size, resources)
    leapt: cython.longlong = 0
    while waiting > 0:
        rounds += 1
        if rounds > PLAIN_ROUNDS and rounds % BETWEEN_LEAPS == 0:
            jumped = leap(s, active, resources, ENDLESS - leapt)
            leapt += jumped
            if logged and jumped > 0:
                s.log.leapt(jumped)
        noted = logged and (rounds <= LOGGED or rounds % LOGGED == 0)
        # (1) what each alive row of a resource may take
        kept = 0
        for i in range(resources):
            r = listed[i]
            if living[r] > 0:
                listed[kept] = r
                kept += 1
                share[r] = left[r] if fatpipe[r] != 0 else left[r] / living[r]
        resources = kept
        if noted:
            note_offers(s, rounds, resources)
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
                leave(s, slot)
                settled += 1
        active = kept
        # (3) what that took from each resource; settled flows take their last increment once more
        moved = 0
        kept = 0
        for i in range(resources):
            r = listed[i]
            rest = left[r]
            row = s.top[r]
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
                row = s.top[r]
                while row >= 0:
                    slot = owner[row]
                    if alive[slot] != 0:
                        leave(s, slot)
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
                        leave(s, slot)
                        settled += 1
        waiting -= settled
        if noted:
            note_rises(s, active)
        if (
            (settled == 0 and moved == 0 and bounded == 0)
            or rounds > ROUND_LIMIT
            or leapt > ENDLESS - LEAST_LEAP
        ):
            s.info[FAILURE] = 1
            s.info[CULPRIT] = listed[0] if resources > 0 else -1
            return


# ---- the log ---------------------------------------------------------------------------------------------


@cython.cfunc
def note_component(s: Solver, size: cython.longlong, resources: cython.longlong):
    """Tell which flows are solved, and what they share."""
    s.log.component([s.component[i] for i in range(size)], [s.listed[i] for i in range(resources)])


@cython.cfunc
def note_offers(s: Solver, number: cython.longlong, resources: cython.longlong):
    """Tell what the resources offer in a round: see (1)."""
    offers = []
    for i in range(resources):
        r = s.listed[i]
        offers.append((r, s.left[r], s.share[r], s.living[r]))
    s.log.offers(number, offers)


@cython.cfunc
def note_rises(s: Solver, active: cython.longlong):
    """Tell what the flows took of that, and which are settled: see (2) and (3)."""
    rises = []
    for i in range(active):
        slot = s.component[i]
        rises.append((slot, s.increment[slot], s.rate[slot], s.alive[slot] != 0))
    s.log.rises(rises)


# ---- many rounds at once -----------------------------------------------------------------------------------
#
# A FATPIPE resource shrinks by the *smallest* increment of its flows only, and a settled flow's last
# increment counts for ever. So a fast flow beside a slow settled one is given the whole pipe again and
# again, while the pipe shrinks by a few bytes a round: 25 million rounds for a message beside a task that
# sends itself 400 B/s. SimGrid makes them all; here they are summed.
#
# What is summed: as long as no flow settles and every minimum stays where it is, each living flow rises by
# the share of one FATPIPE (its *driver*), which falls by the same amount every round. So in round i (from
# 0) the flow's increment is pace - i * slope, and a resource loses fall - i * bend: sums of n rounds are
# closed forms. A leap is as long as that is sure to hold, and as the driver's decrement is the same float
# (so within one power of two): drivers come out exact, other sums differ from SimGrid's in rounding only.


@cython.cfunc
@cython.exceptval(check=False)
def leap(
    s: Solver, active: cython.longlong, resources: cython.longlong, most: cython.longlong
) -> cython.longlong:
    """Make up to ``most`` rounds at once for ``component[:active]`` and ``listed[:resources]``.

    Returns how many; 0 when the next rounds are not of that kind.
    """
    if not paces(s, active, resources) or not falls(s, active, resources):
        return 0
    rounds = most
    for i in range(resources):
        r = s.listed[i]
        if s.living[r] > 0 and s.drives[r] != 0 and s.fall[r] > 0.0:
            left = s.left[r]
            power = 1.0
            while power * 2.0 <= left:
                power *= 2.0
            while power > left:
                power *= 0.5
            steps = (left - power) / s.fall[r] - 1.0
            if steps < rounds:
                rounds = int(steps)
    while rounds >= LEAST_LEAP:
        if holds(s, active, resources, rounds):
            jump(s, active, resources, rounds)
            return rounds
        rounds //= 2
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def paces(s: Solver, active: cython.longlong, resources: cython.longlong) -> cython.bint:
    """The next increment of each living flow, and its driver; False where that isn't a FATPIPE resource."""
    for i in range(resources):
        r = s.listed[i]
        s.drives[r] = 0
        if s.living[r] > 0:
            s.share[r] = s.left[r] if s.fatpipe[r] != 0 else s.left[r] / s.living[r]
    for i in range(active):
        slot = s.component[i]
        if s.alive[slot] == 0:
            continue
        pace = s.bound[slot] - s.rate[slot] if s.bound[slot] > 0.0 else INFINITY
        driver = -1
        row = s.shared[slot]
        while row >= 0:
            reach = s.share[s.resource[row]] / s.weight[row]
            if reach < pace:
                pace = reach
                driver = row
            row = s.after[row]
        for g in range(s.first[slot], s.first[slot] + s.groups[slot]):
            if s.group_private[g] > 0 and s.group_left[g] / s.group_weight[g] <= pace:
                return False
        if driver < 0 or s.fatpipe[s.resource[driver]] == 0:
            return False
        s.drives[s.resource[driver]] = 1
        s.pace[slot] = pace
        s.driver[slot] = driver
    return True


@cython.cfunc
@cython.exceptval(check=False)
def falls(s: Solver, active: cython.longlong, resources: cython.longlong) -> cython.bint:
    """What each resource loses in the next round, and how that changes; False where a driver's loss does."""
    for i in range(resources):
        r = s.listed[i]
        if s.living[r] > 0 and s.drives[r] != 0:
            # a settled flow takes the least of it, and does so in every round
            least = s.left[r]
            settled = 0
            row = s.top[r]
            while row >= 0:
                slot = s.owner[row]
                taken = s.weight[row] * (s.pace[slot] if s.alive[slot] != 0 else s.increment[slot])
                if taken < least:
                    least = taken
                    settled = 1 - s.alive[slot]
                row = s.below[row]
            if settled == 0:
                return False
            once = s.left[r] - least
            twice = once - least
            if s.left[r] - once != once - twice:
                return False  # rounded up and down by turns
            s.fall[r] = s.left[r] - once
            s.bend[r] = 0.0
    for i in range(active):
        slot = s.component[i]
        if s.alive[slot] != 0:
            driver = s.driver[slot]
            s.slope[slot] = s.fall[s.resource[driver]] / s.weight[driver]
    for i in range(resources):
        r = s.listed[i]
        if s.living[r] > 0 and s.drives[r] == 0:
            fall = 0.0
            bend = 0.0
            if s.fatpipe[r] != 0:
                fall = s.left[r]
            row = s.top[r]
            while row >= 0:
                slot = s.owner[row]
                weight = s.weight[row]
                taken = weight * s.increment[slot]
                change = 0.0
                if s.alive[slot] != 0:
                    taken = weight * s.pace[slot]
                    change = weight * s.slope[slot]
                if s.fatpipe[r] == 0:
                    fall += taken
                    bend += change
                elif taken < fall:
                    fall = taken
                    bend = change
                row = s.below[row]
            s.fall[r] = fall
            s.bend[r] = bend
    return True


@cython.cfunc
@cython.exceptval(check=False)
def settled_least(s: Solver, r: cython.longlong) -> cython.double:
    """The least that settled flows take of a resource in a round."""
    least = INFINITY
    row = s.top[r]
    while row >= 0:
        slot = s.owner[row]
        if s.alive[slot] == 0:
            taken = s.weight[row] * s.increment[slot]
            if taken < least:
                least = taken
        row = s.below[row]
    return least


@cython.cfunc
@cython.exceptval(check=False)
def above(
    start: cython.double, first: cython.double, second: cython.double, last: cython.double
) -> cython.bint:
    """Whether start + first * i + second * i * i is at least 0 for all i from 0 to ``last``."""
    if start < 0.0 or start + (first + second * last) * last < 0.0:
        return False
    if second > 0.0 and first < 0.0:
        lowest = -first / (2.0 * second)
        if lowest < last:
            return start + (first + second * lowest) * lowest >= 0.0
    return True


@cython.cfunc
@cython.exceptval(check=False)
def holds(
    s: Solver, active: cython.longlong, resources: cython.longlong, rounds: cython.longlong
) -> cython.bint:
    """Whether so many rounds are all alike: nothing settles, and each minimum stays where it is."""
    n: cython.double = rounds
    last = n - 1.0
    pairs = 0.5 * n * last
    for i in range(resources):
        r = s.listed[i]
        if s.living[r] <= 0:
            continue
        fall, bend = s.fall[r], s.bend[r]
        least = fall - last * bend
        if least < 0.0 or s.left[r] - n * fall + pairs * bend < NOT_EMPTY:
            return False
        if s.fatpipe[r] != 0:
            if s.drives[r] != 0:
                # what a settled flow takes: `fall` is that as it is rounded
                least = settled_least(s, r)
            row = s.top[r]
            while row >= 0:
                slot = s.owner[row]
                taken = s.weight[row] * s.increment[slot]
                if s.alive[slot] != 0:
                    taken = s.weight[row] * (s.pace[slot] - last * s.slope[slot])
                if taken < least:
                    return False
                row = s.below[row]
    for i in range(active):
        slot = s.component[i]
        if s.alive[slot] == 0:
            continue
        pace, slope = s.pace[slot], s.slope[slot]
        if s.bound[slot] > 0.0 and s.rate[slot] + (n + 1.0) * pace - pairs * slope >= s.bound[slot]:
            return False
        row = s.shared[slot]
        while row >= 0:
            r = s.resource[row]
            # the resource's share less the flow's increment, in units of the flow
            unit = 1.0 / s.weight[row]
            if s.fatpipe[r] == 0:
                unit /= s.living[r]
            start = s.share[r] / s.weight[row] - pace
            first = slope - unit * (s.fall[r] + 0.5 * s.bend[r])
            if row != s.driver[slot] and not above(start, first, 0.5 * unit * s.bend[r], last):
                return False
            row = s.after[row]
        for g in range(s.first[slot], s.first[slot] + s.groups[slot]):
            if s.group_private[g] > 0:
                weight = s.group_weight[g]
                left = s.group_left[g]
                if left - weight * (n * pace - pairs * slope) < NOT_EMPTY:
                    return False
                if not above(left / weight - pace, 0.5 * slope - pace, 0.5 * slope, last):
                    return False
    return True


@cython.cfunc
@cython.exceptval(check=False)
def jump(
    s: Solver, active: cython.longlong, resources: cython.longlong, rounds: cython.longlong
) -> cython.void:
    """Make so many rounds."""
    n: cython.double = rounds
    last = n - 1.0
    pairs = 0.5 * n * last
    for i in range(resources):
        r = s.listed[i]
        if s.living[r] > 0:
            s.left[r] = s.left[r] - n * s.fall[r] + pairs * s.bend[r]
    for i in range(active):
        slot = s.component[i]
        if s.alive[slot] == 0:
            continue
        pace, slope = s.pace[slot], s.slope[slot]
        risen = n * pace - pairs * slope
        s.rate[slot] += risen
        s.increment[slot] = pace - last * slope
        for g in range(s.first[slot], s.first[slot] + s.groups[slot]):
            if s.group_private[g] > 0:
                s.group_left[g] -= s.group_weight[g] * risen


# ---- time --------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def advance(s: Solver) -> cython.longlong:
    """See :meth:`Solver.advance`."""
    info, clock, kind = s.info, s.clock, s.kind
    remains, rate, timer, latency = s.remains, s.rate, s.timer, s.latency
    finished = s.finished
    while True:
        if info[DIRTY] > 0:
            solve_dirty(s)
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
                    s.component[last - opened] = slot
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
            by_creation(s, s.component, last + 1 - opened, opened)
            for i in range(last + 1 - opened, last + 1):
                enable(s, s.component[i])
        if count > 0:
            by_creation(s, finished, 0, count)
            for i in range(count):
                slot = finished[i]
                if kind[slot] == ENABLED:
                    disable(s, slot)
                kind[slot] = FREE
                timer[slot] = INFINITY
                rate[slot] = 0.0
            info[FINISHED] = count
            return count


@cython.cfunc
@cython.exceptval(check=False)
def by_creation(
    s: Solver, slots: cython.p_longlong, start: cython.longlong, count: cython.longlong
) -> cython.void:
    """Sort ``slots[start:start + count]`` by creation (a handful: insertion)."""
    order = s.order
    for i in range(start + 1, start + count):
        slot = slots[i]
        j = i - 1
        while j >= start and order[slots[j]] > order[slot]:
            slots[j + 1] = slots[j]
            j -= 1
        slots[j + 1] = slot
