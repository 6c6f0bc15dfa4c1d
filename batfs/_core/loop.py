# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The event loop: activities and time, and the actors that start them, wait for them and send messages.

Activities are slots of the solver's memory (see ``layout``), handed out here; the clock moves from one end to
the next. Actors are the sequential pieces of Batsim, in the order in which SimGrid runs them: an actor is a
generator that yields its kernel calls. All ready actors run up to their next call; the calls are then served
in that order, and whoever is answered (or created) forms the next *sub-round*, in the same simulated instant.
When nobody is ready the engine moves the clock, and the owners of what ended are woken in the order of
creation. These rules decide every tie.

A yielded ``None`` is a call that is answered at once; anything else is a :class:`Call`, or a few of them in a
row that need no Python of the actor's in between.

Compiled by Cython when batfs is installed, and plain Python all the same. ``run`` and ``run_all`` are what
the compiled classes do as calls; a class made elsewhere says it in ``serve`` and ``serve_all``.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from batfs._core import layout
from batfs._core.arrays import doubles as of_doubles
from batfs._core.arrays import integers as of_integers

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AsString
    from cython.cimports.libc.string import memcpy

FREE = cython.declare(cython.longlong, layout.FREE)
ENABLED = cython.declare(cython.longlong, layout.ENABLED)
TIMER = cython.declare(cython.longlong, layout.TIMER)
SLOTS = cython.declare(cython.longlong, layout.SLOTS)
ROOM = cython.declare(cython.longlong, layout.ROOM)
CREATED = cython.declare(cython.longlong, layout.CREATED)
INFINITY = cython.declare(cython.double, float("inf"))

#: Whether this is the compiled form.
COMPILED = cython.compiled

# what waiting for a flow answers
DONE, TIMED_OUT, CANCELLED = 0, 1, 2
# what the sender of a message does when it has arrived (0: anything)
SLEEPS, ENDS = 1, 2


class Deadlock(Exception):
    """Nothing is left that could ever end."""


# ---- activities and time -----------------------------------------------------------------------------------


@cython.ccall
def six_decimals(value: cython.double) -> cython.double:
    """``round(value, 6)``, of what is 0 or more."""
    micros: cython.double = value * 1e6
    if micros < 1e14:
        nearest: cython.longlong = int(micros + 0.5)
        off: cython.double = micros - nearest
        if off > -0.48 and off < 0.48:  # else, near the middle of two, all digits are needed
            return nearest / 1e6
    return round(value, 6)


@cython.cclass
class Activities:
    """Slots and rows of the solver's memory, and the clock.

    A slot belongs to an *owner*, any object; :meth:`advance` returns the owners of what has ended. ``arrays``
    are the buffers by name: whoever keeps one must know that they become others as the room grows.
    """

    arrays = cython.declare(dict, visibility="public")
    owners = cython.declare(list, visibility="public")
    solver = cython.declare(object, visibility="public")
    free: list
    free_of_size: dict
    slots_room: cython.longlong
    rows_room: cython.longlong
    rows_used: cython.longlong
    resources: cython.longlong
    pauses: cython.longlong  # the slot for pauses
    early: cython.longlong  # how many ends a transfer or a pause met, for `advance` to give
    clock: cython.p_double
    info: cython.p_longlong
    left: cython.p_double
    rate: cython.p_double
    timer: cython.p_double
    latency: cython.p_double
    fresh: cython.p_double
    bound: cython.p_double
    order: cython.p_longlong
    kind: cython.p_longlong
    first: cython.p_longlong
    count: cython.p_longlong
    finished: cython.p_longlong
    resource: cython.p_longlong
    weight: cython.p_double

    def __init__(self, capacities: Sequence[float], fatpipe: Sequence[bool], solver: Any) -> None:
        """Resources with ``capacities`` (flop/s, bytes/s), FATPIPE ones marked, for this solver."""
        self.solver = solver
        self.arrays = {}
        self.owners = []
        self.free = []
        self.free_of_size = {}
        self.rows_used = 0
        self.pauses = -1
        self.early = 0
        self.resources = len(capacities)
        self.allocate(16, 256)
        arrays = self.arrays
        arrays["capacity"][:] = array("d", capacities)
        arrays["fatpipe"][:] = array("l", fatpipe)
        arrays["top"][:] = of_integers(self.resources, -1)

    def endless(self) -> None:
        """The solver would go on for ever (see ``layout.CULPRIT``): to raise what says so."""
        raise RuntimeError

    # ---- memory ----

    def allocate(self, slots: int, rows: int) -> None:
        """(Re)allocate the buffers, with room for that many slots and rows, keeping what was there."""
        sizes = {"slot": slots, "resource": self.resources, "row": rows, "twice": 2 * slots}
        arrays: dict[str, Any] = {"clock": of_doubles(1), "info": of_integers(layout.INFO)}
        for made, names in ((of_doubles, layout.FLOATS), (of_integers, layout.INTEGERS)):
            for kind, every in names.items():
                for name in every:
                    arrays[name] = made(sizes[kind])
        arrays["timer"] = of_doubles(slots, INFINITY)
        for name, numbers in self.arrays.items():
            arrays[name][: len(numbers)] = numbers
        self.arrays = arrays
        self.slots_room, self.rows_room = slots, rows
        self.owners.extend([None] * (slots - len(self.owners)))
        self.clock, self.info = doubles(arrays["clock"]), integers(arrays["info"])
        self.left, self.rate, self.timer = (
            doubles(arrays["remains"]),
            doubles(arrays["rate"]),
            doubles(arrays["timer"]),
        )
        self.latency, self.fresh = doubles(arrays["latency"]), doubles(arrays["fresh"])
        self.bound, self.order = doubles(arrays["bound"]), integers(arrays["order"])
        self.kind, self.first = integers(arrays["kind"]), integers(arrays["first"])
        self.count, self.finished = integers(arrays["count"]), integers(arrays["finished"])
        self.resource, self.weight = integers(arrays["resource"]), doubles(arrays["weight"])
        self.info[ROOM], self.info[ROOM + 1], self.info[ROOM + 2] = slots, self.resources, rows
        self.solver.attach(arrays)

    @cython.cfunc
    def slot(self, owner: object) -> cython.longlong:
        slot: cython.longlong
        if self.free:
            slot = self.free.pop()
        else:
            slot = self.info[SLOTS]
            if slot == self.slots_room:
                self.allocate(2 * slot, self.rows_room)
            self.info[SLOTS] = slot + 1
        self.owners[slot] = owner
        self.order[slot] = self.info[CREATED]
        self.info[CREATED] += 1
        return slot

    def rows(self, resources: Any, weights: Any) -> cython.longlong:
        """The first of consecutive rows with these numbers (each weight > 0), to be given back with
        :meth:`free_rows`; 0 for none. Both columns may be the bytes of arrays instead."""
        return rows(self, resources, weights)

    def free_rows(self, first: cython.longlong, count: cython.longlong) -> None:
        """Rows that are no longer used."""
        free_rows(self, first, count)

    # ---- activities ----

    @property
    def now(self) -> float:
        """The clock, in seconds."""
        return self.clock[0]

    @property
    def date(self) -> float:
        """The clock as Batsim prints it, with six decimals."""
        return six_decimals(self.clock[0])

    def add_timer(self, duration: cython.double, owner: object) -> cython.longlong:
        """A slot that ends after ``duration`` seconds (>= 0)."""
        return timer(self, duration, owner)

    def add_flow(
        self,
        first: cython.longlong,
        count: cython.longlong,
        latency: cython.double,
        bound: cython.double,
        owner: object,
    ) -> cython.longlong:
        """A slot with the rows ``[first, first + count)``; ``bound`` <= 0 means none.

        A flow without rows has nothing to do: it ends as soon as its latency is paid.
        """
        return flow(self, first, count, latency, bound, owner)

    def stamp(self) -> cython.longlong:
        """The place in the order of creation of something that is about to be created."""
        created: cython.longlong = self.info[CREATED]
        self.info[CREATED] = created + 1
        return created

    def pause(self, duration: cython.double, stamp: cython.longlong) -> cython.longlong:
        """Move the clock to the next end of anything, ``duration`` (> 0) from now at most.

        -1: the time has passed and nothing else has ended. Otherwise :meth:`advance` gives what has, and the
        slot that is returned holds the timer; its owner is to be set.
        """
        slot: cython.longlong = self.pauses
        if slot < 0:
            slot = self.pauses = self.slot(None)
            self.rate[slot] = 0.0
            self.latency[slot] = 0.0
        self.order[slot] = stamp
        self.timer[slot] = duration
        self.kind[slot] = TIMER
        count: cython.longlong = self.solver.advance()
        if count == 1 and self.finished[0] == slot:
            return -1
        self.early = count
        self.pauses = -1
        return slot

    def remove(self, slot: cython.longlong) -> None:
        """Cancel an activity: it gives its resources back and never ends."""
        remove(self, slot)

    def remains(self, slot: cython.longlong) -> cython.double:
        """What is left of a flow, as a fraction of the whole."""
        return self.left[slot]

    def advance(self) -> list[Any]:
        """Move the clock to the next end of anything; the owners of what ended, in creation order.

        Raises :class:`Deadlock` when nothing can end, and what :meth:`endless` does.
        """
        i: cython.longlong
        slot: cython.longlong
        count: cython.longlong = self.early
        if count != 0:
            self.early = 0
        else:
            count = self.solver.advance()
        if count < 0:
            if count == -1:
                raise Deadlock
            self.endless()
        owners: list = self.owners
        ended: list = []
        for i in range(count):
            slot = self.finished[i]
            ended.append(owners[slot])
            owners[slot] = None
            self.free.append(slot)
        return ended

    @property
    def steps(self) -> int:
        """How many times the clock has moved."""
        return self.info[layout.STEPS]

    @property
    def solves(self) -> int:
        """How many components were solved."""
        return self.info[layout.SOLVES]


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
def size_for(count: cython.longlong) -> cython.longlong:
    """Rows are handed out by powers of two, four at the least."""
    size: cython.longlong = 4
    while size < count:
        size *= 2
    return size


@cython.cfunc
def length(column: Any) -> cython.longlong:
    """How many numbers there are; in bytes they are eight bytes each."""
    count: cython.longlong = len(column)
    return count // 8 if type(column) is bytes else count


@cython.cfunc
def rows(s: Activities, resources: Any, weights: Any) -> cython.longlong:
    """See :meth:`Activities.rows`."""
    count: cython.longlong = length(resources)
    first: cython.longlong
    i: cython.longlong
    if count == 0:
        return 0
    size: cython.longlong = size_for(count)
    free: list = s.free_of_size.get(size)
    if free:
        first = free.pop()
    else:
        first = s.rows_used
        s.rows_used = first + size
        if s.rows_used > s.rows_room:
            s.allocate(s.slots_room, max(2 * s.rows_room, 2 * s.rows_used))
    if type(resources) is bytes:
        if cython.compiled:
            memcpy(s.resource + first, PyBytes_AsString(resources), 8 * count)
            memcpy(s.weight + first, PyBytes_AsString(weights), 8 * count)
        else:
            s.arrays["resource"][first : first + count] = array("l", resources)
            s.arrays["weight"][first : first + count] = array("d", weights)
    elif count > 8:
        if type(resources) is not array:
            resources, weights = array("l", resources), array("d", weights)
        s.arrays["resource"][first : first + count] = resources
        s.arrays["weight"][first : first + count] = weights
    else:
        for i in range(count):
            s.resource[first + i] = int(resources[i])
            s.weight[first + i] = float(weights[i])
    return first


@cython.cfunc
def free_rows(s: Activities, first: cython.longlong, count: cython.longlong):
    """See :meth:`Activities.free_rows`."""
    size: cython.longlong = size_for(count)
    free: list = s.free_of_size.get(size)
    if free is None:
        s.free_of_size[size] = [first]
    else:
        free.append(first)


@cython.cfunc
def flow(
    s: Activities,
    first: cython.longlong,
    count: cython.longlong,
    latency: cython.double,
    bound: cython.double,
    owner: object,
) -> cython.longlong:
    """See :meth:`Activities.add_flow`."""
    slot: cython.longlong = s.slot(owner)
    s.first[slot] = first
    s.count[slot] = count
    s.latency[slot] = latency
    s.bound[slot] = bound
    s.left[slot] = 1.0 if count else 0.0
    s.rate[slot] = 0.0
    s.solver.start(slot)
    return slot


@cython.cfunc
def remove(s: Activities, slot: cython.longlong):
    """See :meth:`Activities.remove`."""
    if s.kind[slot] == ENABLED:
        s.solver.stop(slot)
    s.kind[slot] = FREE
    s.timer[slot] = INFINITY
    s.latency[slot] = 0.0
    s.rate[slot] = 0.0
    s.owners[slot] = None
    s.free.append(slot)


@cython.cfunc
def timer(s: Activities, duration: cython.double, owner: object) -> cython.longlong:
    """See :meth:`Activities.add_timer`."""
    slot: cython.longlong = s.slot(owner)
    s.timer[slot] = duration
    s.kind[slot] = TIMER
    s.rate[slot] = 0.0
    s.latency[slot] = 0.0
    return slot


# ---- actors ------------------------------------------------------------------------------------------------


@cython.cclass
class Call:
    """One or several kernel calls of an actor, each served in a sub-round of its own."""

    def serve(self, actor: Actor, step: int) -> int:
        """Serve call ``step`` (from 0). Returns the next one's number, or 0 after the last, which answers
        the actor (``maestro.ready``) or blocks it."""
        return self.run(actor, step)

    def serve_all(self, actor: Actor) -> None:
        """All calls at once: for an actor that is the only one awake."""
        step = self.serve(actor, 0)
        while step:
            step = self.serve(actor, step)

    @cython.cfunc
    def run(self, actor: Actor, step: cython.longlong) -> cython.longlong:
        """``serve``, in the classes of this module."""
        return self.serve(actor, step)

    @cython.cfunc
    def run_all(self, actor: Actor):
        """``serve_all``, in the classes of this module."""
        self.serve_all(actor)


@cython.cclass
class Then(Call):
    """A call made of a function of the actor, which answers it or blocks it."""

    function: object

    def __init__(self, function: Callable[[Actor], None]) -> None:
        self.function = function

    def serve_all(self, actor: Actor) -> None:
        self.function(actor)

    @cython.cfunc
    def run(self, actor: Actor, step: cython.longlong) -> cython.longlong:
        self.function(actor)
        return 0

    @cython.cfunc
    def run_all(self, actor: Actor):
        self.function(actor)


@cython.cclass
class Actor:
    """A script on a host. ``answer`` is what its next resumption gets; ``blocked_on`` what it sleeps on.

    ``step`` > 0: it is in the middle of ``call``, whose call of that number comes next. ``owned``: flows that
    it started and that have not ended.
    """

    script = cython.declare(object, visibility="public")
    resume = cython.declare(object, visibility="public")
    host = cython.declare(cython.longlong, visibility="public")
    answer = cython.declare(object, visibility="public")
    alive = cython.declare(cython.bint, visibility="public")
    call = cython.declare(object, visibility="public")
    step = cython.declare(cython.longlong, visibility="public")
    blocked_on = cython.declare(object, visibility="public")
    owned = cython.declare(list, visibility="public")

    def __init__(self, script: Any, host: int) -> None:
        self.script = script
        self.resume = script.send
        self.host = host
        self.answer = None
        self.alive = True
        self.call = None
        self.step = 0
        self.blocked_on = None
        self.owned = []


@cython.cclass
class Maestro:
    """Runs the actors, sub-round after sub-round, and wakes the owners of what has ended.

    ``stopped``: the end, although others are alive. ``alone``: nobody but the actor that runs now is awake,
    so that calls that only pass can be left out.
    """

    engine = cython.declare(Activities, visibility="public")
    ready = cython.declare(list, visibility="public")
    cancelled = cython.declare(list, visibility="public")
    living = cython.declare(cython.longlong, visibility="public")
    alone = cython.declare(cython.bint, visibility="public")
    stopped = cython.declare(cython.bint, visibility="public")

    def __init__(self, engine: Activities) -> None:
        self.engine = engine
        self.ready = []
        self.cancelled = []
        self.living = 0
        self.alone = self.stopped = False

    def create(self, script: Any, host: int) -> Actor:
        """A new actor, ready in the next sub-round."""
        actor = self.enrol(script, host)
        self.ready.append(actor)
        return actor

    def enrol(self, script: Any, host: int) -> Actor:
        """A new actor that somebody else makes ready."""
        self.living += 1
        return Actor(script, host)

    def run(self, moves: cython.longlong) -> cython.bint:
        """That many moves of the clock, and what the actors do before each; True when it is over.

        Each move wakes the owners of what has ended; see :meth:`Activities.advance`.
        """
        while moves > 0:
            moves -= 1
            self.run_ready()
            if self.living == 0 or self.stopped:
                return True
            for owner in self.engine.advance():
                kind = type(owner)
                if kind is Sleep:
                    cython.cast(Sleep, owner).over()
                elif kind is Flow:
                    cython.cast(Flow, owner).over()
                elif kind is Comm:
                    cython.cast(Comm, owner).over()
                else:
                    owner.end()
        return False

    def run_ready(self) -> None:
        """Sub-rounds until nobody is ready."""
        actor: Actor
        while self.ready:
            batch: list = self.ready
            self.ready = []
            if len(batch) == 1:  # the usual case
                actor = batch[0]
                if actor.alive:
                    run_alone(self, actor)
            else:
                sub_round(self, batch)
            if self.cancelled:
                collect_cancelled(self)

    def ended(self, actor: Actor) -> None:
        """An actor that ends takes the flows it still owns with it (a task whose walltime was reached)."""
        ended(self, actor)

    def kill(self, actor: Actor) -> None:
        """End an actor where it stands."""
        if actor.alive:
            waiting = actor.blocked_on
            if waiting is not None:
                waiting.abandon(self.engine)
            actor.script.close()
            ended(self, actor)

    def end_of(self, actor: Actor) -> Call:
        """The call that ends an actor where it stands."""

        def end(killer: Actor) -> None:
            self.kill(actor)
            self.ready.append(killer)

        return Then(end)

    def collect_cancelled(self) -> None:
        """Who waited for flows that were cancelled is awake."""
        collect_cancelled(self)

    def sleep(self, duration: float) -> Call:
        """The call that sleeps ``duration`` seconds (> 0; a sleep of 0 is no call at all)."""
        return Sleep(self, duration)

    def begin(self, actor: Actor) -> None:
        """Run a new actor, which nobody made ready, up to its first call and serve that; nobody else is
        awake."""
        call: Call = actor.resume(None)
        call.run_all(actor)


@cython.cfunc
def run_alone(m: Maestro, actor: Actor):
    """The only one that is ready."""
    call: Call
    step: cython.longlong = actor.step
    if step != 0:
        call = actor.call
        while step != 0:
            step = call.run(actor, step)
        actor.step = 0
        return
    m.alone = True
    ready: list = m.ready
    try:
        found = actor.resume(actor.answer)
    except StopIteration:
        ended(m, actor)
        return
    if found is None:
        ready.append(actor)
    else:
        call = found
        call.run_all(actor)


@cython.cfunc
def sub_round(m: Maestro, batch: list):
    """One sub-round of several actors."""
    ready: list = m.ready
    callers: list = []
    calls: list = []
    asleep: cython.bint = True  # whoever came before has ended or goes to sleep
    alone: cython.bint
    actor: Actor
    call: Call
    i: cython.Py_ssize_t
    last: Actor = batch[len(batch) - 1]
    for one in batch:
        actor = one
        if not actor.alive:
            continue
        if actor.step != 0:
            callers.append(actor)
            calls.append(actor.call)
            asleep = False
            continue
        alone = actor is last and asleep and not m.cancelled
        if alone:
            for i in range(len(callers)):
                call = calls[i]
                call.run_all(callers[i])
            callers.clear()
            calls.clear()
        m.alone = alone
        try:
            found = actor.resume(actor.answer)
        except StopIteration:
            ended(m, actor)
            continue
        if alone and found is not None:
            call = found
            call.run_all(actor)
            return
        callers.append(actor)
        calls.append(found)
        if type(found) is not Sleep:
            asleep = False
    for i in range(len(callers)):
        actor = callers[i]
        found = calls[i]
        if found is None:
            ready.append(actor)
        else:
            call = found
            actor.step = call.run(actor, actor.step)
            if actor.step != 0:
                actor.call = call
                ready.append(actor)


@cython.cfunc
def ended(m: Maestro, actor: Actor):
    """See :meth:`Maestro.ended`."""
    actor.alive = False
    m.living -= 1
    if actor.owned:
        for flow in actor.owned:
            flow.cancel()
        actor.owned.clear()


@cython.cfunc
def collect_cancelled(m: Maestro):
    """See :meth:`Maestro.collect_cancelled`."""
    flow: Flow
    waiter: Actor
    flows: list = m.cancelled
    m.cancelled = []
    for one in flows:
        flow = one
        if flow.waiter is not None:
            waiter = flow.waiter
            flow.waiter = None
            flow.forget_timeout()
            waiter.blocked_on = None
            waiter.answer = CANCELLED
            if waiter.alive:
                m.ready.append(waiter)


@cython.cclass
class Sleep(Call):
    """A timer and who waits for it."""

    maestro: Maestro
    duration: cython.double
    actor: Actor
    slot: cython.longlong

    def __init__(self, maestro: Maestro, duration: float) -> None:
        self.maestro = maestro
        self.duration = duration
        self.actor = None
        self.slot = -1

    @staticmethod
    def begun(maestro: Maestro, duration: float, actor: Actor, slot: int) -> Sleep:
        """The sleep of an actor whose timer runs already."""
        sleep: Sleep = Sleep(maestro, duration)
        sleep.actor = actor
        sleep.slot = slot
        actor.blocked_on = sleep
        return sleep

    @cython.cfunc
    def run(self, actor: Actor, step: cython.longlong) -> cython.longlong:
        self.run_all(actor)
        return 0

    @cython.cfunc
    def run_all(self, actor: Actor):
        self.actor = actor
        actor.blocked_on = self
        self.slot = timer(self.maestro.engine, self.duration, self)

    @cython.cfunc
    def over(self):
        """The time has passed."""
        actor: Actor = self.actor
        if actor is not None:
            actor.blocked_on = None
            actor.answer = None
            self.maestro.ready.append(actor)

    def end(self) -> None:
        self.over()

    def abandon(self, engine: Activities) -> None:
        """Who slept is gone."""
        self.actor = None
        if engine.owners[self.slot] is self:
            engine.remove(self.slot)


@cython.cclass
class Flow(Call):
    """A parallel task: its slot, who waits for it and until when. Two calls: it starts, it is waited for.

    ``work``: its rows (see ``Work``). ``timeout``: seconds (>= 0) after which the wait ends with
    ``TIMED_OUT``, or a negative number for none. ``cancel`` takes effect at once; the waiter is woken after
    the sub-round, with ``CANCELLED``. ``owned``: it ends with the actor that started it.
    """

    maestro: Maestro
    work: object
    timeout: cython.double
    owned: cython.bint
    waiter: Actor
    timer: Timeout
    slot: cython.longlong
    first: cython.longlong
    count: cython.longlong
    done: cython.bint

    def __init__(self, maestro: Maestro, work: Any, timeout: float = -1.0, owned: bool = False) -> None:
        self.maestro = maestro
        self.work = work
        self.timeout = timeout
        self.owned = owned
        self.waiter = None
        self.timer = None
        self.slot = -1
        self.first = 0
        self.count = 0
        self.done = False

    @cython.cfunc
    def run(self, actor: Actor, step: cython.longlong) -> cython.longlong:
        if step == 0:
            actor.answer = None
            self.begin(actor)
            return 1
        self.wait(actor)
        return 0

    @cython.cfunc
    def run_all(self, actor: Actor):
        self.begin(actor)
        self.wait(actor)

    @cython.cfunc
    def begin(self, actor: Actor):
        if self.owned:
            actor.owned.append(self)
        self.set_off()

    def start(self) -> None:
        """Add it to the engine."""
        self.set_off()

    @cython.cfunc
    def set_off(self):
        engine: Activities = self.maestro.engine
        work = self.work
        columns: tuple = work.columns
        self.count = length(columns[0])
        self.first = rows(engine, columns[0], columns[1])
        self.slot = flow(engine, self.first, self.count, work.latency, work.bound, self)

    @cython.cfunc
    def give_back(self):
        if self.count != 0:
            free_rows(self.maestro.engine, self.first, self.count)
            self.count = 0

    @cython.cfunc
    def wait(self, actor: Actor):
        if self.done:
            actor.answer = DONE
            self.maestro.ready.append(actor)
            return
        self.waiter = actor
        actor.blocked_on = self
        if self.timeout >= 0.0:
            self.timer = Timeout(self, self.maestro.engine, self.timeout)

    @cython.cfunc
    def over(self):
        """It has done all its work."""
        self.done = True
        self.give_back()
        actor: Actor = self.waiter
        if actor is not None:
            if self.owned:
                actor.owned.clear()
            self.waiter = None
            self.forget_timeout()
            actor.blocked_on = None
            actor.answer = DONE
            self.maestro.ready.append(actor)

    def end(self) -> None:
        self.over()

    def cancel(self) -> None:
        """End it now."""
        if not self.done:
            self.done = True
            remove(self.maestro.engine, self.slot)
            self.give_back()
            self.maestro.cancelled.append(self)

    def abandon(self, engine: Activities) -> None:
        """The waiter is gone."""
        self.waiter = None
        self.forget_timeout()

    @cython.cfunc
    def forget_timeout(self):
        limit: Timeout = self.timer
        if limit is not None:
            self.timer = None
            limit.drop()

    def progress(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        return 1.0 if self.done else 1.0 - self.maestro.engine.remains(self.slot)


@cython.cclass
class Timeout:
    """The timer of a wait that doesn't last for ever."""

    flow: Flow
    engine: Activities
    slot: cython.longlong

    def __init__(self, flow: Flow, engine: Activities, duration: float) -> None:
        self.flow = flow
        self.engine = engine
        self.slot = timer(engine, duration, self)

    def end(self) -> None:
        """The time is over, if it still counts."""
        flow: Flow = self.flow
        actor: Actor
        if flow.timer is self:
            flow.timer = None
            if flow.waiter is not None:
                actor = flow.waiter
                flow.waiter = None
                actor.blocked_on = None
                actor.answer = TIMED_OUT
                flow.maestro.ready.append(actor)

    @cython.cfunc
    def drop(self):
        if self.engine.owners[self.slot] is self:
            remove(self.engine, self.slot)


# ---- the server's mailbox -------------------------------------------------------------------


@cython.cclass
class Comm(Call):
    """One message on its way: a rendez-vous of two actors, then a transfer of one byte.

    As a call it sends: look up the mailbox, put the message there, wait until it has arrived. ``then``: what
    its sender does next.
    """

    mailbox: Mailbox
    message = cython.declare(object, visibility="public")
    then: cython.longlong
    host: cython.longlong
    carrier: Comm  # itself, or the reader's own when that was there first
    waiters = cython.declare(list, visibility="public")

    def __init__(self, mailbox: Mailbox, message: Any, then: int = 0) -> None:
        self.mailbox = mailbox
        self.message = message
        self.then = then
        self.host = -1
        self.carrier = None
        self.waiters = []

    @cython.cfunc
    def run(self, actor: Actor, step: cython.longlong) -> cython.longlong:
        if step == 0:
            return 1
        if step == 1:
            self.carrier = post(self.mailbox, self, actor.host)
            return 2
        carrier: Comm = self.carrier
        self.carrier = None
        carrier.waiters.append(actor)
        return 0

    @cython.cfunc
    def run_all(self, actor: Actor):
        mailbox: Mailbox = self.mailbox
        maestro: Maestro = mailbox.maestro
        reader: Comm = mailbox.reader
        slot: cython.longlong
        if reader is None or maestro.cancelled:
            reader = post(mailbox, self, actor.host)
            reader.waiters.append(actor)
            return
        mailbox.reader = None
        reader.message = self.message
        slot = deliver(mailbox, actor.host)
        if slot >= 0:
            maestro.engine.owners[slot] = reader
            reader.waiters.append(actor)
        elif self.then == ENDS:
            maestro.ready.extend(reader.waiters)
            # not left to Python's own clearing up, which would swallow a KeyboardInterrupt raised meanwhile
            actor.script.close()
            ended(maestro, actor)
        elif self.then == SLEEPS:  # its timer is set before whatever the reader does next, so it may go first
            maestro.ready.append(actor)
            maestro.ready.extend(reader.waiters)
        else:
            maestro.ready.extend(reader.waiters)
            maestro.ready.append(actor)

    @cython.cfunc
    def over(self):
        """It has arrived."""
        self.mailbox.maestro.ready.extend(self.waiters)

    def end(self) -> None:
        self.over()


@cython.cclass
class Receive(Call):
    """Look up the mailbox, take the next message or be its reader, wait until it has arrived.

    It answers with the :class:`Comm` that holds the message.
    """

    mailbox: Mailbox

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    @cython.cfunc
    def run(self, actor: Actor, step: cython.longlong) -> cython.longlong:
        if step == 0:
            return 1
        if step == 1:
            actor.answer = take(self.mailbox)
            return 2
        actor.answer.waiters.append(actor)
        return 0

    @cython.cfunc
    def run_all(self, actor: Actor):
        comm: Comm = take(self.mailbox)
        actor.answer = comm
        comm.waiters.append(actor)


@cython.cclass
class Waiting(Call):
    """The actor is already among those who wait for ``comm``, which is the answer."""

    comm: Comm

    def __init__(self, comm: Comm) -> None:
        self.comm = comm

    @cython.cfunc
    def run(self, actor: Actor, step: cython.longlong) -> cython.longlong:
        actor.answer = self.comm
        return 0

    @cython.cfunc
    def run_all(self, actor: Actor):
        actor.answer = self.comm


@cython.cclass
class Mailbox:
    """The server's mailbox: messages wait their turn and travel one at a time.

    ``rows_of(host)``: first row, number of rows, latency and bound of a message from there to the ``master``.
    """

    maestro: Maestro
    rows_of: object
    known: dict
    master: cython.longlong
    # slots used again and again: one for messages of the master to itself, most of all, one for all others
    own_slot: cython.longlong
    other_slot: cython.longlong
    sender: cython.longlong  # whose message the other one fits
    queue = cython.declare(object, visibility="public")
    reader = cython.declare(object, visibility="public")
    receive = cython.declare(Call, visibility="public")

    def __init__(
        self, maestro: Maestro, rows_of: Callable[[int], tuple[int, int, float, float]], master: int
    ) -> None:
        self.maestro = maestro
        self.rows_of = rows_of
        self.master = master
        self.known = {}
        self.own_slot = self.other_slot = self.sender = -1
        self.queue = deque()
        self.reader = None
        self.receive = Receive(self)  # the call of its one reader

    def send(self, message: Any, then: int = 0) -> Comm:
        """The calls that send ``message``; they last until it has arrived.

        ``then``: SLEEPS or ENDS when that is what the actor does next for sure.
        """
        return Comm(self, message, then)

    def post(self, comm: Comm, host: cython.longlong) -> Comm:
        """A message is put; what carries it is ``comm``, or what its reader waits for already."""
        return post(self, comm, host)

    def withdraw(self, actor: Actor) -> None:
        """The actor is about to be killed: a message of its own that waits here is never read."""
        for comm in self.queue:
            if actor in comm.waiters or (actor.step and actor.call is comm):
                self.queue.remove(comm)
                return

    def transfer(self, owner: object, host: cython.longlong) -> None:
        """A transfer of one message from ``host`` begins; ``owner`` is told when it ends."""
        transfer(self, owner, host)

    def deliver(self, host: cython.longlong) -> cython.longlong:
        """Send a message while nobody is awake. -1: it has arrived, and nothing else ended before or then.

        Otherwise it is on its way; the slot of the transfer needs an owner.
        """
        return deliver(self, host)


@cython.cfunc
def rows_from(mailbox: Mailbox, host: cython.longlong) -> tuple:
    """Only one message travels at a time, so the rows of each sender are made once."""
    found: tuple = mailbox.known.get(host)
    if found is None:
        found = mailbox.known[host] = mailbox.rows_of(host)
    return found


@cython.cfunc
def transfer(mailbox: Mailbox, owner: object, host: cython.longlong):
    """See :meth:`Mailbox.transfer`."""
    rows: tuple = rows_from(mailbox, host)
    flow(mailbox.maestro.engine, rows[0], rows[1], rows[2], rows[3], owner)


@cython.cfunc
def post(mailbox: Mailbox, comm: Comm, host: cython.longlong) -> Comm:
    """See :meth:`Mailbox.post`."""
    reader: Comm = mailbox.reader
    if reader is not None:
        mailbox.reader = None
        reader.message = comm.message
        transfer(mailbox, reader, host)
        return reader
    comm.host = host
    mailbox.queue.append(comm)
    return comm


@cython.cfunc
def deliver(mailbox: Mailbox, host: cython.longlong) -> cython.longlong:
    """See :meth:`Mailbox.deliver`: the flow of a slot that is kept for it starts once more."""
    engine: Activities = mailbox.maestro.engine
    other: cython.bint = host != mailbox.master
    slot: cython.longlong = mailbox.other_slot if other else mailbox.own_slot
    rows: tuple
    if slot < 0 or (other and host != mailbox.sender):
        if slot < 0:
            slot = engine.slot(None)
        rows = rows_from(mailbox, host)
        engine.first[slot] = rows[0]
        engine.count[slot] = rows[1]
        engine.fresh[slot] = rows[2]
        engine.bound[slot] = rows[3]
    if other:
        mailbox.sender = host
    count: cython.longlong = engine.solver.transfer(slot)
    kept: cython.longlong = slot
    if count != 0:
        engine.early = count
        kept = -1
    if other:
        mailbox.other_slot = kept
    else:
        mailbox.own_slot = kept
    return -1 if count == 0 else slot


@cython.cfunc
def take(mailbox: Mailbox) -> Comm:
    """The reader is there; the message is in what this returns when its transfer has ended."""
    comm: Comm
    if mailbox.queue:
        comm = mailbox.queue.popleft()
        transfer(mailbox, comm, comm.host)
    else:
        comm = Comm(mailbox, None)
        mailbox.reader = comm
    return comm
