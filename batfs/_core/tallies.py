# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Figures of a run, gathered job by job. Compiled by Cython."""

from __future__ import annotations

from array import array
from typing import Any

from batfs._core.sheets import REJECTED as REJECTED

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class JobTimes:
    """Counts and times (s) of jobs that have ended, on a machine of ``nodes`` nodes.

    ``states``: how many jobs ended how. ``makespan``: the end of the last one that was added. Of those that
    were counted: ``first`` submission, ``last`` end, ``node_seconds``, and of each that ran how long it
    waited, how long from its submission to its end, and its slowdown, bounded by ``threshold``.
    """

    states = cython.declare(dict, visibility="readonly")
    makespan = cython.declare(cython.double, visibility="public")
    first = cython.declare(cython.double, visibility="readonly")
    last = cython.declare(cython.double, visibility="readonly")
    node_seconds = cython.declare(cython.double, visibility="readonly")
    waiting = cython.declare(object, visibility="readonly")
    turnaround = cython.declare(object, visibility="readonly")
    slowdown = cython.declare(object, visibility="readonly")
    nodes = cython.declare(cython.longlong, visibility="readonly")
    threshold: cython.double
    apart: str

    def __init__(self, nodes: int, threshold: float, apart: str) -> None:
        """``apart``: the workload whose jobs aren't counted."""
        self.nodes = nodes
        self.threshold = threshold
        self.apart = apart
        self.states = {}
        self.makespan = self.last = self.node_seconds = 0.0
        self.first = float("inf")
        self.waiting, self.turnaround, self.slowdown = array("d"), array("d"), array("d")

    def add(self, job: Any) -> None:
        """One job that ended or was rejected."""
        state: str = job.state
        start: cython.double = job.start
        runtime: cython.double = job.runtime
        if state != REJECTED and start + runtime > self.makespan:
            self.makespan = start + runtime
        if job.workload != self.apart:
            count(self, job, state, start, runtime, job.alloc)

    def count(self, job: Any, state: str, start: float, runtime: float, alloc: str) -> None:
        """A job that ended in this state, after ``runtime`` on ``alloc`` from ``start`` on."""
        count(self, job, state, start, runtime, alloc)

    @cython.ccall
    def nodes_of(self, job: object, alloc: str) -> cython.longlong:
        """How many nodes a job had: a mapping may put it on fewer than it asked for."""
        return count_below(alloc, self.nodes) if alloc else job.requested_nodes


@cython.cfunc
def count(t: JobTimes, job: object, state: str, start: cython.double, runtime: cython.double, alloc: str):
    """See :meth:`JobTimes.count`."""
    submitted: cython.double = job.submission_time
    t.states[state] = t.states.get(state, 0) + 1
    if submitted < t.first:
        t.first = submitted
    if state == REJECTED:
        return
    waited: cython.double = start - submitted
    stay: cython.double = waited + runtime
    slowdown: cython.double = stay / (runtime if runtime > t.threshold else t.threshold)
    t.waiting.append(waited)
    t.turnaround.append(stay)
    t.slowdown.append(slowdown if slowdown > 1.0 else 1.0)
    if start + runtime > t.last:
        t.last = start + runtime
    t.node_seconds += runtime * t.nodes_of(job, alloc)


@cython.ccall
def count_below(text: str, limit: cython.longlong) -> cython.longlong:
    """How many ids of a text written by Batsim or by us (``0-3 10``) are below ``limit``, without a set
    of them. ValueError if it is no such text."""
    data: bytes = text.encode()
    codes: cython.p_uchar = data
    length: cython.Py_ssize_t = len(data)
    k: cython.Py_ssize_t
    code: cython.longlong
    count: cython.longlong = 0
    low: cython.longlong = -1  # of a range, once its other end is read
    value: cython.longlong = -1  # what has been read of a number
    for k in range(length + 1):
        code = codes[k] if k < length else 32
        if 48 <= code <= 57:
            value = code - 48 if value < 0 else 10 * value + code - 48
        elif code == 45 and value >= 0 and low < 0:
            low, value = value, -1
        elif code == 32 and (value >= 0 or low < 0):
            if value >= 0:
                if low < 0:
                    low = value
                if value >= limit:
                    value = limit - 1
                if value >= low:
                    count += value - low + 1
            low = value = -1
        else:
            raise ValueError(f"{text!r:.80} is no set of ids")
    return count
