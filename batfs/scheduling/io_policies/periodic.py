"""Transfers at the times of a pattern that was computed ahead."""

from __future__ import annotations

from collections.abc import Sequence

from batfs.errors import InputError
from batfs.records import record
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.scheduling.io_policies.interface import Application, IoPass, IoView, Start, Transfer
from batfs.scheduling.io_policies.pattern import Pattern, Periodic, persched

_EARLY = 1e-3  # seconds: messages
#: Applications of which more periods go into the longest one aren't planned: patterns would have no end.
_MOST = 100


@record(frozen=False)
class _Plan:
    """A pattern that repeats from ``begun`` on; ``used``: of each application, the rounds and slots it has
    had."""

    pattern: Pattern
    begun: float
    names: Sequence[str]
    used: dict[str, tuple[int, int]]


@IO_POLICIES.register("periodic")
class PeriodicSchedule:
    """PerSched (see ``pattern``): each application moves its bytes in slots of a pattern that repeats.

    What an application does is seen as it goes: seconds of work a transfer, bytes a transfer, bytes/s alone.
    One that has had no transfer yet moves at once, and so does what nobody waits for, and whoever's period is
    less than a hundredth of the longest. When the set of
    applications that are known changes, a pattern is computed for them, from then on, on the link that they
    load most: lengths up to ``longest`` times the longest period, in steps of ``step``. A transfer waits for
    its application's next slot that isn't over; one that comes late begins at once. In its slot it moves at
    the slot's mean rate where that is less than its own and there is a throttle, else at full speed.

    Source: Aupy, Gainaru, Le Fevre, "Periodic I/O scheduling for super-computers", PMBS 2017. There the
    applications are known, and bandwidth within a slot may change from moment to moment.
    """

    name = "periodic"

    def __init__(self, longest: float = 3.0, step: float = 0.05) -> None:
        if not longest >= 1 or not 0 < step <= 1:
            raise InputError(
                f"the options 'longest' and 'step' of the I/O policy 'periodic' are {longest:g} and "
                f"{step:g}, expected at least 1, and more than 0 up to 1"
            )
        self._longest = longest
        self._step = step
        self._seen: dict[str, Transfer] = {}  # the last transfer of each application
        self._plan: _Plan | None = None
        self._due: dict[str, tuple[float, float, tuple[int, int]]] = {}  # slots waited for, by transfer

    def schedule(self, view: IoView) -> IoPass:
        for transfer in view.waiting:
            if transfer.blocking and transfer.size and transfer.demand:
                self._seen[transfer.job_id] = transfer
        known = [a for a in view.applications if a.transfers and a.job_id in self._seen]
        alive = {a.job_id for a in view.applications}
        self._due = {t.id: self._due[t.id] for t in view.waiting if t.id in self._due}
        self._seen = {job_id: t for job_id, t in self._seen.items() if job_id in alive}
        names = [a.job_id for a in known]
        if self._plan is None or list(self._plan.names) != names:
            self._plan = self._planned(view, known) if known else None
            self._due.clear()
        starts: list[Start] = []
        later: list[float] = []
        throttles = view.throttles
        for transfer in view.waiting:
            # a slot that was waited for counts though it may be over when the call comes
            slot = self._due.get(transfer.id) or self._slot(transfer, view.now)
            if slot is None:
                starts.append(Start(transfer))
                continue
            at, seconds, number = slot
            if at > view.now + _EARLY:
                later.append(at)
                self._due[transfer.id] = slot
                continue
            assert self._plan is not None
            self._due.pop(transfer.id, None)
            self._plan.used[transfer.job_id] = number
            slow = seconds > transfer.seconds * 1.01 and throttles > 0
            throttles -= slow
            rate = transfer.left / seconds if slow else None
            starts.append(Start(transfer, rate=rate))
        return IoPass(starts, min(later, default=None))

    def _planned(self, view: IoView, known: Sequence[Application]) -> _Plan:
        load: dict[int, float] = {}
        for application in known:
            for link, demand in self._seen[application.job_id].demand.items():
                load[link] = load.get(link, 0.0) + demand / view.capacity[link]
        link = max(load, key=lambda link: (load[link], -link))
        periodic, names = [], []
        for application in known:
            transfer = self._seen[application.job_id]
            rate = transfer.demand.get(link)
            if rate:
                # its work between two transfers, seen when it asked for one
                work = max((application.period or 0.0) - transfer.alone, 1e-3)
                periodic.append(Periodic(work, rate * transfer.alone, rate, application.nodes))
                names.append(application.job_id)
        longest = max(one.alone for one in periodic)
        slow = [k for k, one in enumerate(periodic) if one.alone * _MOST >= longest]
        periodic, names = [periodic[k] for k in slow], [names[k] for k in slow]
        pattern = persched(periodic, view.capacity[link], longest=self._longest, step=self._step)
        return _Plan(pattern, view.now, [a.job_id for a in known], dict.fromkeys(names, (0, -1)))

    def _slot(self, transfer: Transfer, now: float) -> tuple[float, float, tuple[int, int]] | None:
        """(when it begins, how long it lasts, its round and place) of the next slot of its application that
        isn't over; None if it has none."""
        plan = self._plan
        if plan is None or transfer.job_id not in plan.used or not transfer.blocking:
            return None
        names = list(plan.used)
        slots = plan.pattern.slots[names.index(transfer.job_id)]
        if not slots:
            return None
        turn, place = plan.used[transfer.job_id]
        length = plan.pattern.length
        turn = max(turn, int((now - plan.begun) // length) - 1)
        while True:
            place += 1
            if place >= len(slots):
                turn, place = turn + 1, 0
            begin = plan.begun + turn * length + slots[place][0].begin
            end = plan.begun + turn * length + slots[place][-1].end
            if end > now + _EARLY and (turn, place) > plan.used[transfer.job_id]:
                return begin, end - begin, (turn, place)
