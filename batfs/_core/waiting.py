# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The accounts of what jobs wait for: seconds by cause, job by job. Compiled by Cython.

Which cause a lack has, and what those behind a job with such a cause wait for, is said by the subclass (see
``batfs.scheduling.waits``); causes and the file systems they are about are pairs of words here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Wait:
    """One job: seconds by cause so far; since when it has the cause it has (``key``), None while it is
    behind, and how the account of those behind stood when it fell behind. ``tried``: in which pass."""

    key: tuple
    since: cython.double
    tried: cython.longlong
    hold: object
    seconds: dict
    account: dict

    def __init__(self, key: tuple | None, since: float, tried: int) -> None:
        self.key = key
        self.since = since
        self.tried = tried
        self.hold = None
        self.seconds = {}
        self.account = {}


@cython.cclass
class Accounts:
    """Of all that wait. ``front``: what those behind wait for at first; ``of_space``: the causes that are a
    lack of space; ``apart``: that of jobs which no pass tries. ``made`` makes what is told of a wait that is
    over of (seconds by cause, the last lack of space); ``none`` is told of a job that never waited."""

    kept = cython.declare(cython.bint, visibility="public")
    jobs: dict
    own: set
    number: cython.longlong
    account: dict
    front: tuple
    since: cython.double
    fronts: dict
    first: tuple
    of_space: tuple
    apart: str
    made: object
    none: object

    def __init__(
        self, front: tuple, of_space: tuple, apart: str, made: Callable[..., Any], none: Any
    ) -> None:
        self.kept = False
        self.jobs = {}
        self.own = set()
        self.number = 0
        self.account = {}
        self.first = self.front = front
        self.since = 0.0
        self.fronts = {}
        self.of_space = of_space
        self.apart = apart
        self.made = made
        self.none = none

    # ---- what the subclass says ----

    def _key(self, hold: Any, job: Any) -> tuple:
        """What a job waits for that lacked this."""
        raise NotImplementedError

    def _behind(self, key: tuple) -> tuple:
        """What those wait for that are behind a job with this cause."""
        raise NotImplementedError

    # ---- what happens ----

    def held_back(self, job: Any, hold: Any, now: float, *, since: float | None = None) -> None:
        """An attempt to start the job now has failed for this. A first one counts ``since`` the
        submission."""
        key: tuple = self._key(hold, job)
        job_id = job.id
        wait: Wait = self.jobs.get(job_id)
        if wait is None:
            wait = self.jobs[job_id] = Wait(key, job.submission_time if since is None else since, self.number)
        elif wait.key != key:
            close(self, wait, now)
            wait.key = key
        wait.tried = self.number
        if key[0] in self.of_space:
            wait.hold = hold
        if key[0] == self.apart:  # no pass tries it, and none passes it over
            self.own.discard(job_id)
        else:
            self.own.add(job_id)

    def lines_up(self, job_id: str, now: float) -> None:
        """A job that stood apart from the queue joins its end."""
        wait: Wait = self.jobs.get(job_id)
        if wait is not None:
            falls_behind(self, wait, now)

    def promised(self, job_id: str) -> None:
        """The job has a promise for later, made or made again in this pass: it lacks what it lacked."""
        wait: Wait = self.jobs.get(job_id)
        if wait is not None:
            wait.tried = self.number

    def lacks_space(self, job_id: str) -> bool:
        """Whether space is what the job waits for now."""
        wait: Wait = self.jobs.get(job_id)
        return wait is not None and wait.key is not None and wait.key[0] in self.of_space

    def pass_over(
        self, now: float, arrived: Sequence[Any], freed: bool, head: Any, waits: Callable[[str], bool]
    ) -> None:
        """The pass is over: ``arrived`` have come since the last one, ``freed`` whether something had been
        given back, ``head`` is first in the queue, and ``waits`` says whether a job still waits."""
        wait: Wait
        front: tuple = self.first
        submitted: cython.double
        time: cython.double = now
        self.kept = True
        if freed and self.own:
            for job_id in list(self.own):
                wait = self.jobs[job_id]
                if wait.tried != self.number:
                    falls_behind(self, wait, time)
                    self.own.discard(job_id)
        if head is not None:
            wait = self.jobs.get(head.id)
            if wait is not None and wait.key is not None:
                front = self.fronts.get(wait.key)
                if front is None:
                    front = self.fronts[wait.key] = self._behind(wait.key)
        if front != self.front:
            self.account = dict(account_at(self, time))
            self.front = front
            self.since = time
        for job in arrived:
            job_id = job.id
            if job_id not in self.jobs and waits(job_id):
                submitted = job.submission_time
                wait = self.jobs[job_id] = Wait(None, submitted, self.number)
                wait.account = account_at(self, time)
                if time > submitted:
                    wait.seconds[front] = time - submitted
        self.number += 1

    def over(self, job_id: str, now: float) -> Any:
        """What the job has waited for; forgets it."""
        wait: Wait = self.jobs.pop(job_id, None)
        if wait is None:
            return self.none
        self.own.discard(job_id)
        close(self, wait, now)
        return self.made({key: seconds for key, seconds in wait.seconds.items() if seconds > 0}, wait.hold)

    def reason(self, job_id: str) -> Any:
        """The last lack of space that kept the job."""
        wait: Wait = self.jobs.get(job_id)
        return None if wait is None else wait.hold


@cython.cfunc
def falls_behind(a: Accounts, wait: Wait, now: cython.double):
    """It has no cause of its own any more."""
    close(a, wait, now)
    wait.key = None
    wait.account = account_at(a, now)


@cython.cfunc
def close(a: Accounts, wait: Wait, now: cython.double):
    """Charge what has passed since to what the job waited for."""
    before: cython.double
    more: cython.double
    if wait.key is not None:
        before = wait.seconds.get(wait.key, 0.0)
        wait.seconds[wait.key] = before + now - wait.since
    else:
        for key, total in account_at(a, now).items():
            before = wait.account.get(key, 0.0)
            more = total - before
            if more > 0.0:
                before = wait.seconds.get(key, 0.0)
                wait.seconds[key] = before + more
    wait.since = now


@cython.cfunc
def account_at(a: Accounts, now: cython.double) -> dict:
    """Seconds by cause that the first of the queue has made the others wait, up to ``now``."""
    if now <= a.since:
        return a.account
    found: dict = dict(a.account)
    before: cython.double = found.get(a.front, 0.0)
    found[a.front] = before + now - a.since
    return found
