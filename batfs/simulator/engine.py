"""Activities and time: flows and timers in slots, and the clock that moves from one end to the next.

The memory of the solver lives here; the engine hands out slots and rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from batfs._core import interpreted as core
from batfs._core import layout, solver
from batfs._core.layout import State
from batfs.errors import InputError

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

_LAYOUTS: Final = ((np.float64, "clock", 1, layout.FLOATS), (np.int64, "info", layout.INFO, layout.INTEGERS))


INFINITY: Final = float("inf")


class Deadlock(Exception):
    """Nothing is left that could ever end."""


class Engine:
    """The fluid system over resources with ``capacities`` (flop/s, bytes/s); ``fatpipe`` marks FATPIPE ones.

    A slot belongs to an *owner*, any object; :meth:`advance` returns the owners of what has ended. ``names``
    are the resources' names for messages. ``interpreted``: the core as plain Python, although it is compiled.
    """

    def __init__(
        self,
        capacities: Sequence[float],
        fatpipe: Sequence[bool],
        names: Sequence[str],
        interpreted: bool = False,
    ) -> None:
        self.names = names
        self.owners: list[Any] = []
        self._free: list[int] = []
        self._free_rows: dict[int, list[int]] = {}
        self._rows = 0  # rows handed out so far
        self._pauses = -1  # the slot for pauses
        self._early = 0  # how many ends a transfer met, for `advance` to give
        self._sizes = {"slot": 0, "resource": len(capacities), "row": 0, "twice": 0}
        self.state: State
        self.compiled = solver.COMPILED and not interpreted
        self.solver: solver.Solver = (core("solver") if interpreted else solver).Solver()
        self._allocate(16, 256)
        self.state.info[layout.SLOTS] = 0
        arrays = self.arrays
        arrays["capacity"][:] = capacities
        arrays["fatpipe"][:] = fatpipe
        arrays["top"][:] = -1
        self.capacities = arrays["capacity"].copy()

    # ---- memory ----

    def _allocate(self, slots: int, rows: int) -> None:
        """(Re)allocate the buffers, with room for that many slots and rows, keeping what was there."""
        old = dict(getattr(self, "arrays", {}))
        sizes = {"slot": slots, "resource": self._sizes["resource"], "row": rows, "twice": 2 * slots}
        arrays: dict[str, NDArray[Any]] = {}
        for dtype, head, size, names in _LAYOUTS:
            arrays[head] = np.zeros(size, dtype)
            for kind, every in names.items():
                for name in every:
                    arrays[name] = np.zeros(sizes[kind], dtype)
        arrays["timer"][:] = np.inf
        for name, array in old.items():
            arrays[name][: len(array)] = array
        self.arrays = arrays
        self._sizes = sizes
        # nobody else may keep these buffers: they are others from here on
        self.state = State(**{name: memoryview(arrays[name].data) for name in State._fields})
        self.owners.extend([None] * (slots - len(self.owners)))
        info = self.state.info
        info[layout.ROOM], info[layout.ROOM + 1], info[layout.ROOM + 2] = slots, sizes["resource"], rows
        self.solver.attach(arrays)

    def _slot(self, owner: Any) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = self.state.info[layout.SLOTS]
            if slot == self._sizes["slot"]:
                self._allocate(2 * slot, self._sizes["row"])
            self.state.info[layout.SLOTS] = slot + 1
        self.owners[slot] = owner
        state = self.state
        created = state.info[layout.CREATED]
        state.order[slot] = created
        state.info[layout.CREATED] = created + 1
        return slot

    def rows(self, count: int) -> int:
        """The first of ``count`` consecutive rows, to be given back with :meth:`free_rows`."""
        size = 4 if count <= 4 else 1 << (count - 1).bit_length()
        free = self._free_rows.get(size)
        if free:
            return free.pop()
        first = self._rows
        self._rows = first + size
        if self._rows > self._sizes["row"]:
            self._allocate(self._sizes["slot"], max(2 * self._sizes["row"], 2 * self._rows))
        return first

    def free_rows(self, first: int, count: int) -> None:
        size = 4 if count <= 4 else 1 << (count - 1).bit_length()
        self._free_rows.setdefault(size, []).append(first)

    def write_rows(
        self, first: int, resources: Sequence[int] | Indices, weights: Sequence[float] | Floats
    ) -> None:
        """Fill rows ``first...`` (each weight > 0)."""
        count = len(resources)
        if count > 8:
            self.arrays["resource"][first : first + count] = resources
            self.arrays["weight"][first : first + count] = weights
        else:
            resource, weight = self.state.resource, self.state.weight
            for i in range(count):
                resource[first + i] = int(resources[i])
                weight[first + i] = float(weights[i])

    # ---- activities ----

    @property
    def now(self) -> float:
        """The clock, in seconds."""
        now: float = self.state.clock[0]
        return now

    def add_timer(self, duration: float, owner: Any) -> int:
        """A slot that ends after ``duration`` seconds (>= 0)."""
        slot = self._slot(owner)
        state = self.state
        state.timer[slot] = duration
        state.kind[slot] = layout.TIMER
        state.rate[slot] = 0.0
        state.latency[slot] = 0.0
        return slot

    def add_flow(self, first: int, count: int, latency: float, bound: float, owner: Any) -> int:
        """A slot with the rows ``[first, first + count)``; ``bound`` <= 0 means none.

        A flow without rows has nothing to do: it ends as soon as its latency is paid.
        """
        slot = self._slot(owner)
        state = self.state
        state.first[slot] = first
        state.count[slot] = count
        state.latency[slot] = latency
        state.bound[slot] = bound
        state.remains[slot] = 1.0 if count else 0.0
        state.rate[slot] = 0.0
        self.solver.start(slot)
        return slot

    def reserve(self, first: int, count: int, latency: float, bound: float) -> int:
        """A slot for a flow that :meth:`transfer` starts again and again."""
        slot = self._slot(None)
        self.refit(slot, first, count, latency, bound)
        return slot

    def refit(self, slot: int, first: int, count: int, latency: float, bound: float) -> None:
        """Make a reserved slot one for another flow."""
        state = self.state
        state.first[slot] = first
        state.count[slot] = count
        state.bound[slot] = bound
        state.fresh[slot] = latency

    def transfer(self, slot: int) -> bool:
        """Start the flow of a reserved slot and move the clock to the next end of anything.

        True: that is the flow's own end, and nothing else's. False: :meth:`advance` gives what has ended, and
        the slot is no longer reserved: its owner is to be set.
        """
        count = self.solver.transfer(slot)
        if not count:
            return True
        self._early = count
        return False

    def stamp(self) -> int:
        """The place in the order of creation of something that is about to be created."""
        info = self.state.info
        created: int = info[layout.CREATED]
        info[layout.CREATED] = created + 1
        return created

    def pause(self, duration: float, stamp: int) -> int:
        """Move the clock to the next end of anything, ``duration`` (> 0) from now at most.

        -1: the time has passed and nothing else has ended. Otherwise :meth:`advance` gives what has, and the
        slot that is returned holds the timer; its owner is to be set.
        """
        slot = self._pauses
        if slot < 0:
            slot = self._pauses = self._slot(None)
            self.state.rate[slot] = 0.0
            self.state.latency[slot] = 0.0
        state = self.state
        state.order[slot] = stamp
        state.timer[slot] = duration
        state.kind[slot] = layout.TIMER
        count = self.solver.advance()
        if count == 1 and state.finished[0] == slot:
            return -1
        self._early = count
        self._pauses = -1
        return slot

    def remove(self, slot: int) -> None:
        """Cancel an activity: it gives its resources back and never ends."""
        state = self.state
        if state.kind[slot] == layout.ENABLED:
            self.solver.stop(slot)
        state.kind[slot] = layout.FREE
        state.timer[slot] = INFINITY
        state.latency[slot] = 0.0
        state.rate[slot] = 0.0
        self.owners[slot] = None
        self._free.append(slot)

    def remains(self, slot: int) -> float:
        """What is left of a flow, as a fraction of the whole."""
        left: float = self.state.remains[slot]
        return left

    def advance(self) -> list[Any]:
        """Move the clock to the next end of anything; the owners of what ended, in creation order.

        Raises :class:`Deadlock` when nothing can end, InputError when the solver would go on for ever.
        """
        count = self._early
        if count:
            self._early = 0
        else:
            count = self.solver.advance()
        if count < 0:
            if count == -1:
                raise Deadlock
            self._endless()
        owners = self.owners
        ended = []
        free = self._free
        finished = self.state.finished
        for i in range(count):
            slot = finished[i]
            ended.append(owners[slot])
            owners[slot] = None
            free.append(slot)
        return ended

    def _endless(self) -> None:
        culprit = self.state.info[layout.CULPRIT]
        name = self.names[culprit] if culprit >= 0 else "?"
        raise InputError(
            f"the bandwidth shares of {name} never settle: SimGrid's solver would loop for ever here "
            f"(t={self.now:.6f} s)",
            hint="a FATPIPE link is used by tasks of very different rates",
        )

    # ---- speed ----

    @property
    def steps(self) -> int:
        """How many times the clock has moved."""
        steps: int = self.state.info[layout.STEPS]
        return steps

    @property
    def solves(self) -> int:
        """How many components were solved."""
        solves: int = self.state.info[layout.SOLVES]
        return solves
