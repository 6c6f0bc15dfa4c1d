# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Lines of output files, put together from numbers and words, and totals. Compiled by Cython.

A run writes some forty lines a job, nearly all of them numbers with six decimals. Here they are digits in a
buffer of bytes, without a Python object for each; interpreted they are pieces of text, formatted by Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AsString, PyByteArray_Resize
    from cython.cimports.cpython.unicode import PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
    from cython.cimports.libc.string import memcpy

#: Whether this is the compiled form.
COMPILED = cython.compiled

MOST = cython.declare(cython.longlong, 10**17)
MILLION = cython.declare(cython.longlong, 1_000_000)
# as millionths, numbers up to here have an error below the distance from a middle that is looked for
LARGEST = cython.declare(cython.double, 1e14)


@cython.cclass
class Sheet:
    """Text that grows: lines are added, and taken off together."""

    buffer: bytearray  # the compiled form's
    at: cython.p_char
    room: cython.Py_ssize_t
    size: cython.Py_ssize_t
    pieces: list  # the interpreted form's

    def __init__(self) -> None:
        self.size = 0
        if cython.compiled:
            self.room = 4096
            self.buffer = bytearray(self.room)
            self.at = PyByteArray_AsString(self.buffer)
        else:
            self.pieces = []

    def add(self, words: str) -> None:
        """Words as they are."""
        text(self, words)

    def take(self) -> str:
        """All of it; it is empty then."""
        if cython.compiled:
            found: str = PyUnicode_DecodeUTF8(self.at, self.size, cython.NULL)
            self.size = 0
            return found
        found = "".join(self.pieces)
        self.pieces.clear()
        return found

    # ---- lines ----

    def add_job(
        self,
        job: object,
        state: str,
        start: cython.double,
        runtime: cython.double,
        machines: str,
        metadata: str,
    ) -> None:
        """A ``Job`` that has run, or has been rejected, in ``jobs.csv``; times in seconds."""
        submitted: cython.double = job.submission_time
        nodes: cython.longlong = job.requested_nodes
        walltime: cython.double = -1.0 if job.walltime is None else job.walltime
        names: tuple = job.id.partition("!")
        field(self, names[2])
        text(self, ",")
        field(self, names[0])
        text(self, ",")
        field(self, job.profile)
        if state == "REJECTED":
            six(self, submitted)
            whole(self, nodes)
            six(self, walltime)
            text(self, ",0,REJECTED,,,,,,,,")
        else:
            moments(self, submitted, nodes, walltime, state, start, runtime)
            text(self, ",")
            text(self, machines)
            text(self, ",-1.000000")
        text(self, ',"')
        text(self, metadata)
        text(self, '"\n')

    def started(self, now: cython.double, machines: tuple, alias: str, name: str, colour: str) -> None:
        """A job begins, in ``schedule.trace``: a state of its machines by an ``alias``."""
        text(self, "4 ")
        text(self, alias)
        text(self, ' machine_state "')
        text(self, name)
        text(self, '" "')
        text(self, colour)
        text(self, '"\n')
        self.trace(now, machines, alias)

    def states(self, now: float, idle: cython.longlong, computing: cython.longlong) -> None:
        """How many machines do what, in ``machine_states.csv``."""
        text(self, f"{now:g},0,0,0")
        whole(self, idle)
        whole(self, computing)
        text(self, "\n")

    def trace(self, now: cython.double, machines: tuple, value: str) -> None:
        """These machines have a new state, in ``schedule.trace``."""
        before: str = f"7 {now:.6f} machine_state m"
        after: str = " " + value + "\n"
        if cython.compiled:
            lead: cython.Py_ssize_t = 0
            rest: cython.Py_ssize_t = 0
            between: str = after + before
            head: cython.p_const_char = PyUnicode_AsUTF8AndSize(before, cython.address(lead))
            tail: cython.p_const_char = PyUnicode_AsUTF8AndSize(between, cython.address(rest))
            reserve(self, lead + len(machines) * (rest + 20))
            memcpy(self.at + self.size, head, lead)
            self.size += lead
            machine: cython.longlong
            for machine in machines:
                digits(self, machine, 1)
                memcpy(self.at + self.size, tail, rest)
                self.size += rest
            self.size -= lead  # of a line that doesn't come
        else:
            self.pieces += [f"{before}{machine}{after}" for machine in machines]

    def io_job(
        self,
        job_id: str,
        system: str,
        storage: cython.longlong,
        reads: cython.longlong,
        writes: cython.longlong,
        resources: str,
        waiting: cython.double,
        reason: str,
        nodes: str,
        alone: float | None,
        waits: object,
        known: bool,
        causes: tuple,
        of_space: tuple,
    ) -> None:
        """A job whose bytes were all on one storage, in ``io_jobs.csv``.

        ``waits``: its wait in seconds by (cause, file system), of which a column each is written for
        ``causes`` where they are ``known``; those ``of_space`` together are a lack of space, for ``reason``.
        """
        names: tuple = job_id.partition("!")
        seconds: dict = by_cause(waits)
        lacked: cython.double = 0.0 if seconds else waiting
        for cause in of_space:
            lacked += seconds.get(cause, 0.0)
        field(self, names[2])
        text(self, ",")
        field(self, names[0])
        text(self, ",")
        field(self, system)
        whole(self, storage)
        whole(self, reads)
        whole(self, writes)
        there(self, storage, reads)
        there(self, storage, writes)
        text(self, ",0,0,")
        text(self, resources)
        six(self, lacked)
        text(self, ",")
        if lacked != 0.0 or not nodes or not seconds:
            field(self, reason)
        text(self, ",")
        text(self, nodes)
        text(self, ",")
        if alone is not None:
            decimals(self, alone)
        if known:
            for cause in causes:
                if cause in seconds:
                    six(self, seconds[cause])
                else:
                    text(self, ",0.000000")
        else:
            text(self, "," * len(causes))
        text(self, "\n")

    def storages(self, now: cython.double, about: list, states: Sequence[Any]) -> None:
        """Storages have changed, in ``storage_states.csv``: (position, bytes held, bytes used, transfers) of
        each. ``about``, by position: which it is, between commas."""
        for position, reserved, used, transfers in states:
            decimals(self, now)
            text(self, about[position])
            number(self, reserved)
            whole(self, used)
            whole(self, transfers)
            text(self, "\n")


def ids_text(ids: list) -> str:
    """Ids with blanks between them."""
    sheet = Sheet()
    between: str = ""
    for i in ids:
        text(sheet, between)
        number(sheet, i)
        between = " "
    return sheet.take()


def sizes_text(sizes: dict) -> str:
    """``id:bytes`` of each, with blanks between them."""
    sheet = Sheet()
    between: str = ""
    for i, size in sizes.items():
        text(sheet, between)
        number(sheet, i)
        text(sheet, ":")
        number(sheet, size)
        between = " "
    return sheet.take()


@cython.cclass
class Totals:
    """Running figures of all jobs: how many, when the last ended (s), and sums and maxima of what they
    took."""

    rejected = cython.declare(cython.longlong, visibility="public")
    success = cython.declare(cython.longlong, visibility="public")
    failed = cython.declare(cython.longlong, visibility="public")
    makespan = cython.declare(cython.double, visibility="public")
    waiting = cython.declare(cython.double, visibility="public")
    turnaround = cython.declare(cython.double, visibility="public")
    slowdown = cython.declare(cython.double, visibility="public")
    max_waiting = cython.declare(cython.double, visibility="public")
    max_turnaround = cython.declare(cython.double, visibility="public")
    max_slowdown = cython.declare(cython.double, visibility="public")

    def __init__(self) -> None:
        self.rejected = self.success = self.failed = 0
        self.makespan = 0.0
        self.waiting = self.turnaround = self.slowdown = 0.0
        self.max_waiting = self.max_turnaround = self.max_slowdown = 0.0

    def add(self, state: str, submitted: cython.double, start: cython.double, runtime: cython.double) -> None:
        """A job that has run, for ``runtime`` seconds (> 0)."""
        end: cython.double = start + runtime
        waiting: cython.double = start - submitted
        turnaround: cython.double = end - submitted
        slowdown: cython.double = turnaround / runtime
        if state == "COMPLETED_SUCCESSFULLY":
            self.success += 1
        else:
            self.failed += 1
        self.waiting += waiting
        self.turnaround += turnaround
        self.slowdown += slowdown
        self.makespan = larger(self.makespan, end)
        self.max_waiting = larger(self.max_waiting, waiting)
        self.max_turnaround = larger(self.max_turnaround, turnaround)
        self.max_slowdown = larger(self.max_slowdown, slowdown)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def larger(most: cython.double, value: cython.double) -> cython.double:
    """The larger of the two."""
    return value if value > most else most


@cython.cfunc
def moments(
    s: Sheet,
    submitted: cython.double,
    nodes: cython.longlong,
    walltime: cython.double,
    state: str,
    start: cython.double,
    runtime: cython.double,
):
    """The numbers of a job that has run."""
    end: cython.double = start + runtime
    turnaround: cython.double = end - submitted
    six(s, submitted)
    whole(s, nodes)
    six(s, walltime)
    text(s, ",1," if state == "COMPLETED_SUCCESSFULLY" else ",0,")
    text(s, state)
    six(s, start)
    six(s, runtime)
    six(s, end)
    six(s, start - submitted)
    six(s, turnaround)
    six(s, turnaround / runtime)


@cython.cfunc
def by_cause(waits: object) -> dict:
    """What was waited for each cause, for all file systems."""
    found: dict = {}
    for key, seconds in waits.items():
        found[key[0]] = found.get(key[0], 0.0) + seconds
    return found


@cython.cfunc
def there(s: Sheet, storage: cython.longlong, size: cython.longlong):
    """A comma and the bytes on a storage; nothing more without any."""
    text(s, ",")
    if size:
        number(s, storage)
        text(s, ":")
        number(s, size)


@cython.cfunc
def field(s: Sheet, words: str):
    """A field of a CSV file (RFC 4180), quoted where commas, quotes or line ends ask for it."""
    if "," in words or '"' in words or "\n" in words or "\r" in words:
        words = '"' + words.replace('"', '""') + '"'
    text(s, words)


@cython.cfunc
def text(s: Sheet, words: str):
    """Words as they are; half a character, which is no text, with its number, as in every file of ours."""
    if cython.compiled:
        length: cython.Py_ssize_t = 0
        found: cython.p_const_char
        try:
            found = PyUnicode_AsUTF8AndSize(words, cython.address(length))
        except UnicodeEncodeError:
            words = words.encode("utf-8", "backslashreplace").decode()
            found = PyUnicode_AsUTF8AndSize(words, cython.address(length))
        reserve(s, length)
        memcpy(s.at + s.size, found, length)
        s.size += length
    else:
        s.pieces.append(words)


@cython.cfunc
def reserve(s: Sheet, more: cython.Py_ssize_t):
    """Room for that many bytes more, in the compiled form."""
    if s.size + more > s.room:
        s.room = 2 * (s.size + more)
        PyByteArray_Resize(s.buffer, s.room)
        s.at = PyByteArray_AsString(s.buffer)


@cython.cfunc
def whole(s: Sheet, value: cython.longlong):
    """A comma and a whole number."""
    text(s, ",")
    number(s, value)


@cython.cfunc
def number(s: Sheet, value: cython.longlong):
    """A whole number."""
    if cython.compiled:
        if 0 <= value < MOST:
            reserve(s, 24)
            digits(s, value, 1)
        else:
            text(s, str(value))
    else:
        s.pieces.append(str(value))


@cython.cfunc
def six(s: Sheet, value: cython.double):
    """A comma and a number with six decimals."""
    text(s, ",")
    decimals(s, value)


@cython.cfunc
def decimals(s: Sheet, value: cython.double):
    """A number with six decimals, rounded as Python rounds it: exactly.

    The product with a million is off by less than a sixtieth, so that where it isn't near the middle between
    two whole numbers the nearest one is right. Python's own way, which takes ten times as long, is left for
    the others, for what is too large, and for what is below zero (or minus zero).
    """
    if cython.compiled:
        micros: cython.double = value * 1e6
        if value == 0.0 and 1.0 / value > 0.0:
            text(s, "0.000000")
            return
        if micros > 0.0 and micros < LARGEST:
            nearest: cython.longlong = cython.cast(cython.longlong, micros + 0.5)
            off: cython.double = micros - cython.cast(cython.double, nearest)
            if off > -0.48 and off < 0.48:
                reserve(s, 32)
                digits(s, nearest // MILLION, 1)
                s.at[s.size] = 46  # the point
                s.size += 1
                digits(s, nearest % MILLION, 6)
                return
    text(s, f"{value:.6f}")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def digits(s: Sheet, value: cython.longlong, least: cython.longlong) -> cython.longlong:
    """A number (>= 0) of ``least`` digits or more, where there is room; in the compiled form."""
    length: cython.longlong = least
    power: cython.longlong = 1
    for _ in range(least):
        power *= 10
    while power <= value:
        length += 1
        power *= 10
    place: cython.Py_ssize_t = s.size + length
    s.size = place
    for _ in range(length):
        place -= 1
        s.at[place] = cython.cast(cython.char, 48 + value % 10)
        value //= 10
    return 0
