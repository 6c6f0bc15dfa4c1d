# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Lines of output files, put together from numbers and words, and sums over jobs. Compiled by Cython.

A run writes some forty lines a job, nearly all of them numbers with six decimals. Here they are digits in a
buffer of bytes, without a Python object for each; interpreted they are pieces of text, formatted by Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

# how jobs end, in Batsim's words
SUCCESS = "COMPLETED_SUCCESSFULLY"
FAILED = "COMPLETED_FAILED"
REJECTED = "REJECTED"

MOST = cython.declare(cython.longlong, 10**17)
MILLION = cython.declare(cython.longlong, 1_000_000)
# as millionths, numbers up to here have an error below the distance from a middle that is looked for
LARGEST = cython.declare(cython.double, 1e14)


@cython.cclass
class Ended:
    """What is told of a job that is over: see ``batfs.scheduling.observer.JobRecord``."""

    job = cython.declare(object, visibility="readonly")
    volumes = cython.declare(tuple, visibility="readonly")
    plans = cython.declare(object, visibility="readonly")
    ids = cython.declare(object, visibility="readonly")
    io_ids = cython.declare(object, visibility="readonly")
    waits = cython.declare(dict, visibility="readonly")
    hold = cython.declare(object, visibility="readonly")
    reason = cython.declare(str, visibility="readonly")
    moved = cython.declare(cython.bint, visibility="readonly")
    waits_known = cython.declare(cython.bint, visibility="readonly")
    profile = cython.declare(object, visibility="readonly")
    io = cython.declare(object, visibility="readonly")
    state = cython.declare(str, visibility="readonly")
    io_times = cython.declare(object, visibility="readonly")

    def __init__(
        self,
        job: Any,
        volumes: tuple,
        plans: Sequence[Any],
        ids: Sequence[int],
        io_ids: Sequence[int],
        waits: Any,
        hold: Any,
        reason: str,
        moved: bool,
        waits_known: bool,
        profile: Any = None,
        io: Any = None,
        state: str = SUCCESS,
        io_times: Any = None,
    ) -> None:
        self.job = job
        self.volumes = volumes
        self.plans = plans
        self.ids = ids
        self.io_ids = io_ids
        self.waits = waits
        self.hold = hold
        self.reason = reason
        self.moved = moved
        self.waits_known = waits_known
        self.profile = profile
        self.io = io
        self.state = state
        self.io_times = io_times


@cython.cclass
class Sheet:
    """Text that grows: lines are added, and taken off together."""

    buffer: bytearray  # the compiled form's
    at: cython.p_char
    room: cython.Py_ssize_t
    size: cython.Py_ssize_t
    pieces: list  # the interpreted form's
    #: How many lines there are of those that this class counts: of records, and whole ones.
    lines = cython.declare(cython.longlong, visibility="readonly")

    def __init__(self) -> None:
        self.size = self.lines = 0
        if cython.compiled:
            self.room = 64  # it doubles; texts of ids are short, and took a third longer with 4,096
            self.buffer = bytearray(self.room)
            self.at = PyByteArray_AsString(self.buffer)
        else:
            self.pieces = []

    def add(self, words: str) -> None:
        """A line as it is."""
        theirs(self, words)
        self.lines += 1

    def take(self) -> str:
        """All of it; it is empty then."""
        self.lines = 0
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
        comma(self)
        field(self, names[0])
        comma(self)
        field(self, job.profile)
        if state == REJECTED:
            six(self, submitted)
            whole(self, nodes)
            six(self, walltime)
            text(self, ",0,REJECTED,,,,,,,,")
        else:
            moments(self, submitted, nodes, walltime, state, start, runtime)
            comma(self)
            text(self, machines)
            text(self, ",-1.000000")
        text(self, ',"')
        theirs(self, metadata)
        text(self, '"\n')

    def started(self, now: cython.double, machines: tuple, alias: str, name: str, colour: str) -> None:
        """A job begins, in ``schedule.trace``: a state of its machines by an ``alias``."""
        text(self, "4 ")
        text(self, alias)
        text(self, ' machine_state "')
        theirs(self, name)
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

    def io_job(self, record: Ended, alone: float | None, causes: tuple, of_space: tuple, plain: type) -> int:
        """A job whose bytes were all on one storage, in ``io_jobs.csv``; how many lines there are then. 0,
        and nothing, of all others.

        Of its wait a column each is written for ``causes``, where they are known; those ``of_space`` together
        are a lack of space, for its reason. ``plain``: the kind of volume that is asked for once.
        """
        storage: cython.longlong = only_storage(record, plain)
        if storage < 0:
            return 0
        names: tuple = record.job.id.partition("!")
        plan, volume = record.plans[0], record.volumes[0]
        reads: cython.longlong = volume.reads
        writes: cython.longlong = volume.writes
        seconds: dict = by_cause(record.waits) if record.waits else record.waits
        lacked: cython.double = 0.0
        if seconds:
            for cause in of_space:
                lacked += seconds.get(cause, 0.0)
        field(self, names[2])
        comma(self)
        field(self, names[0])
        comma(self)
        field(self, plan.file_system)
        whole(self, storage)
        whole(self, reads)
        whole(self, writes)
        there(self, storage, reads)
        there(self, storage, writes)
        text(self, ",0,0,")
        ranges(self, record.io_ids)
        six(self, lacked)
        comma(self)
        if lacked != 0.0 or not record.ids or not seconds:
            field(self, record.reason)
        comma(self)
        ranges(self, record.ids)
        comma(self)
        if alone is not None:
            decimals(self, alone)
        if not record.waits_known:
            text(self, "," * len(causes))
        elif not seconds:
            text(self, ",0.000000" * len(causes))
        else:
            for cause in causes:
                six(self, seconds.get(cause, 0.0))
        text(self, "\n")
        self.lines += 1
        return self.lines

    def storages(self, now: cython.double, about: list, states: Sequence[Any]) -> int:
        """Storages have changed, in ``storage_states.csv``: (position, bytes held, bytes used, transfers) of
        each; how many lines there are then. ``about``, by position: which it is, between commas."""
        for position, reserved, used, transfers in states:
            decimals(self, now)
            text(self, about[position])
            number(self, reserved)
            whole(self, used)
            whole(self, transfers)
            text(self, "\n")
            self.lines += 1
        return self.lines


def text_of(ids: Sequence[int]) -> str:
    """The text of ascending ids without repetition, runs of two or more as ``a-b``; of a tuple it costs the
    number of runs, not of ids."""
    if len(ids) == 1:
        return str(ids[0])
    sheet = Sheet()
    ranges(sheet, ids)
    return sheet.take()


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
class FileSystemSums:
    """One file system over the run."""

    storages = cython.declare(cython.longlong, visibility="public")
    capacity = cython.declare(object, visibility="public")
    read_bytes = cython.declare(object, visibility="readonly")
    written_bytes = cython.declare(object, visibility="readonly")
    jobs = cython.declare(cython.longlong, visibility="readonly")
    jobs_that_waited = cython.declare(cython.longlong, visibility="readonly")
    waiting_time = cython.declare(cython.double, visibility="readonly")

    def __init__(self) -> None:
        self.capacity = self.read_bytes = self.written_bytes = 0
        self.storages = self.jobs = self.jobs_that_waited = 0
        self.waiting_time = 0.0


@cython.cclass
class WaitSums:
    """How many jobs waited for something, and for how many seconds together."""

    jobs = cython.declare(cython.longlong, visibility="readonly")
    seconds = cython.declare(cython.double, visibility="readonly")

    def __init__(self) -> None:
        self.jobs = 0
        self.seconds = 0.0


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
        if state == SUCCESS:
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


@cython.cclass
class StorageSums:
    """What the jobs that are over have read, written and waited for.

    ``filesystems``: a :class:`FileSystemSums` by name. ``waits``: a :class:`WaitSums` by cause and file
    system, of jobs that ran. ``rejections``: (job, why). ``cut_jobs`` were ended before their end, and had
    ``cut_bytes`` to move. ``of_space``: the causes of waiting that are a lack of space; ``plain``: the kind
    of volume that is asked for once, ``phase_of`` says of others how often.
    """

    filesystems = cython.declare(dict, visibility="readonly")
    waits = cython.declare(dict, visibility="readonly")
    rejections = cython.declare(list, visibility="readonly")
    io_times = cython.declare(list, visibility="readonly")
    cut_jobs = cython.declare(cython.longlong, visibility="readonly")
    cut_bytes = cython.declare(object, visibility="readonly")
    of_space: tuple
    plain: object
    phase_of: object

    def __init__(self, of_space: tuple, plain: type, phase_of: Callable[[Any], tuple[str, int]]) -> None:
        self.filesystems = {}
        self.waits = {}
        self.rejections = []
        self.io_times = []
        self.cut_jobs = self.cut_bytes = 0
        self.of_space = of_space
        self.plain = plain
        self.phase_of = phase_of

    def job_over(self, record: Ended) -> None:
        """See ``Observer``."""
        sums: FileSystemSums
        lacked: cython.double
        cut: cython.bint = record.state != SUCCESS and record.state != FAILED
        seen: list = []
        if record.io_times is not None:
            self.io_times.append(record.io_times)
        if not record.plans:
            if record.reason:
                self.rejections.append((record.job.id, record.reason))
        else:
            self.cut_jobs += cut
            for volume in record.volumes:
                system = volume.filesystem
                sums = self.filesystems[system]
                if record.moved:
                    reads, writes = volume.reads, volume.writes
                    if type(volume) is not self.plain:
                        times = self.phase_of(volume)[1]
                        reads, writes = times * reads, times * writes
                    sums.read_bytes += reads
                    sums.written_bytes += writes
                    if cut:
                        self.cut_bytes += reads + writes
                if system in seen:
                    continue  # phases, or several entries: one job
                seen.append(system)
                sums.jobs += 1
                if record.waits:
                    lacked = sum([record.waits.get((cause, system), 0.0) for cause in self.of_space])
                    if lacked > 0.0:
                        sums.jobs_that_waited += 1
                        sums.waiting_time += lacked
        waited(self, record)

    def waiter_over(self, record: Ended) -> None:
        """See ``Observer``."""
        waited(self, record)


@cython.cfunc
def waited(s: StorageSums, record: Ended):
    """What a job that has run waited for."""
    sums: WaitSums
    if record.ids:
        for key, seconds in record.waits.items():
            if key in s.waits:
                sums = s.waits[key]
            else:
                sums = s.waits[key] = WaitSums()
            sums.jobs += 1
            sums.seconds += seconds


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
    text(s, ",1," if state == SUCCESS else ",0,")
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
def only_storage(record: Ended, plain: object) -> cython.longlong:
    """Of the commonest case the storage (its id): one file system, one storage, nothing moved but the job's
    own bytes; -1 of all others."""
    even = None if record.io is None else record.io.even
    if even is None or not record.moved or len(record.plans) != 1 or len(even.storages) != 1:
        return -1
    plan = record.plans[0]
    if type(record.volumes[0]) is not plain or len(plan.placements) != 1 or plan.internal:
        return -1
    storage = plan.placements[0].storage
    if storage != even.storages[0] or plan.needs_dynamic_jobs:
        return -1
    return storage


@cython.cfunc
def there(s: Sheet, storage: cython.longlong, size: cython.longlong):
    """A comma and the bytes on a storage; nothing more without any."""
    comma(s)
    if size:
        number(s, storage)
        text(s, ":")
        number(s, size)


@cython.cfunc
def ranges(s: Sheet, ids: object):
    """See :func:`text_of`."""
    every: tuple = ids if type(ids) is tuple else tuple(ids)
    count: cython.Py_ssize_t = len(every)
    first: cython.longlong
    place: cython.Py_ssize_t = 0
    last: cython.Py_ssize_t
    step: cython.Py_ssize_t
    while place < count:
        first = every[place]
        # ids ascend, so ids[j] - j never falls: doubling steps, then halves, find the end of the run
        last, step = place, 1
        if in_run(every, count - 1, first, place):  # as they often are
            last = count - 1
        while last + step < count and in_run(every, last + step, first, place):
            last += step
            step *= 2
        while step:
            if last + step < count and in_run(every, last + step, first, place):
                last += step
            step //= 2
        if place:
            text(s, " ")
        number(s, first)
        if last > place:
            text(s, "-")
            number(s, first + last - place)
        place = last + 1


@cython.cfunc
@cython.inline
def in_run(ids: tuple, k: cython.Py_ssize_t, first: cython.longlong, place: cython.Py_ssize_t) -> cython.bint:
    """Whether id number ``k`` belongs to the run that begins with ``first`` at ``place``."""
    found: cython.longlong = ids[k]
    return found - first == k - place


@cython.cfunc
def field(s: Sheet, words: str):
    """A field of a CSV file (RFC 4180), quoted where commas, quotes or line ends ask for it."""
    if cython.compiled:
        begin: cython.Py_ssize_t = s.size
        theirs(s, words)
        place: cython.Py_ssize_t = begin
        while place < s.size and s.at[place] != 44 and s.at[place] != 34:
            if s.at[place] == 10 or s.at[place] == 13:
                break
            place += 1
        if place == s.size:
            return
        s.size = begin
    elif not ("," in words or '"' in words or "\n" in words or "\r" in words):
        text(s, words)
        return
    theirs(s, '"' + words.replace('"', '""') + '"')


@cython.cfunc
def theirs(s: Sheet, words: str):
    """Words of users; half a character, which is no text, with its number, as in every file of ours."""
    try:
        text(s, words)
    except UnicodeEncodeError:
        text(s, words.encode("utf-8", "backslashreplace").decode())


@cython.cfunc
def text(s: Sheet, words: str):
    """Words of ours as they are."""
    if cython.compiled:
        length: cython.Py_ssize_t = 0
        found: cython.p_const_char = PyUnicode_AsUTF8AndSize(words, cython.address(length))
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
def comma(s: Sheet):
    """A comma."""
    if cython.compiled:
        reserve(s, 1)
        s.at[s.size] = 44
        s.size += 1
    else:
        s.pieces.append(",")


@cython.cfunc
def whole(s: Sheet, value: cython.longlong):
    """A comma and a whole number."""
    comma(s)
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
    comma(s)
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
