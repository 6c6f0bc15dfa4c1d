"""Where transfers wait until the I/O policy lets them go, and how it is done.

A life (``batfs.filesystems.lifecycle``) asks here before it starts a transfer. The gate shows what waits and
what moves to the policy, at most once a message, and sends what it answers as dynamic jobs:

- *hold*: nothing is sent yet;
- *part of the bytes* (``Start.size``): a job with these, and the transfer waits again when they have moved;
- *weight* w: w jobs with a w-th of the bytes each, since the simulator shares a link among tasks alike;
- *a limit of staging*: its transfers come before the policy when they may move, and move in pieces (see
  ``pacing``);
- *rate* r: one more flow in each job, over a link of bandwidth C that nobody else uses (a throttle), of C V/r
  bytes beside V bytes of its own: all flows of a task go on together, so none of them is faster than r.

To the life all of it is one activity under its own id, which ends when its last bytes have moved.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from batfs._core.sheets import SUCCESS
from batfs.errors import BatfsError
from batfs.filesystems.script import Activity, launch
from batfs.plugins import PluginError, Unusable, blamed, place_in
from batfs.protocol import messages as m
from batfs.protocol.clock import call_at, due
from batfs.records import record
from batfs.scheduling.io_policies import FAIR
from batfs.scheduling.io_policies.interface import Application, IoPass, IoPolicy, IoView, Start, Transfer
from batfs.scheduling.io_times import Idle, IoTimes
from batfs.scheduling.loads import Loads
from batfs.scheduling.pacing import Pace, Pacer
from batfs.scheduling.pieces import part_of, tasks, throttled, with_bytes
from batfs.scheduling.storages import Throttle
from batfs.scheduling.story import InvariantError
from batfs.workload.model import FloatArray, IoProfile, Job

#: A rhythm begins anew when this much of a transfer's own time has passed since the last one: what comes
#: sooner belongs to the same phase (a read that follows on a write).
_SAME_PHASE = 0.01

_ASKED = attrgetter("asked")


@record
class _Measured:
    """What an activity moves, measured once however often it runs. ``narrow``: the link that it needs most,
    -1 if none."""

    activity: Activity
    profile: IoProfile
    file_systems: tuple[str, ...]
    storages: tuple[int, ...]
    direction: str
    size: int
    alone: float
    demand: Mapping[int, float]
    narrow: int


@record(frozen=False, eq=False)
class _Asked(Transfer):
    """A transfer with what it takes to send it. ``rest`` float64[t]: bytes of each flow that haven't been
    sent, ``settled`` those that haven't arrived with all of their piece; ``pieces``: ids of the jobs under
    way; ``failed``: how one of them ended, if badly."""

    job: Job = None  # type: ignore[assignment]
    name: str = ""
    activity: Activity = None  # type: ignore[assignment]
    profile: IoProfile = None  # type: ignore[assignment]
    rest: FloatArray = None  # type: ignore[assignment]
    settled: FloatArray = None  # type: ignore[assignment]
    deadline: float | None = None
    narrow: int = -1
    sent: int = 0
    pieces: set[str] = None  # type: ignore[assignment]
    throttle: Throttle | None = None
    failed: str = ""
    stopped: bool = False
    pace: Pace | None = None
    offered: bool = False


class Gate:
    """See the module. ``moves`` is told when an activity begins or ceases to move."""

    def __init__(
        self,
        policy: IoPolicy,
        loads: Loads,
        systems: Mapping[int, str],
        throttles: Sequence[Throttle],
        moves: Callable[[str, bool], None],
    ) -> None:
        self.policy = policy
        self._loads = loads
        self._systems = systems
        self._throttles = list(throttles)
        self._moves = moves
        self._at_once = policy.name == FAIR
        #: bytes of the largest piece of a transfer, if it is cut; and what the load costs a piece
        self.chunk: int | None = None
        self.slowed: Callable[[IoProfile], IoProfile] | None = None
        #: what holds staging back, if its part of the machine is limited
        self.pacer: Pacer | None = None
        self._paced: dict[str, _Asked] = {}  # of those that wait, the ones with a pace, in order of since
        self._may: set[str] = set()  # which of them may move now
        self._pace_at = float("inf")  # when to look at them again
        self._waiting: dict[str, _Asked] = {}
        self._line: list[_Asked] = []  # the same in the order of asking
        self._came: list[_Asked] = []  # those that the policy hasn't seen
        self._narrow: dict[int, int] = {}  # how many need a link most, of those that wait
        self._offered = 0.0  # bytes/s of these links together, where that is finite
        self._moving: dict[str, _Asked] = {}
        self._of: dict[str, _Asked] = {}  # by the ids of their pieces
        self._applications: dict[str, Application] = {}
        self._measured: dict[str, dict[int, _Measured]] = {}  # by job and activity
        self._dirty = False
        self._wish: float | None = None
        self._called = False
        self._alarm = float("inf")  # when the next deadline of what is on hold was asked to be heard of
        self._now = 0.0
        self._idle = [0.0, 0.0]  # bytes/s at the moment
        self._idled = [0.0, 0.0]

    # ---- jobs ----------------------------------------------------------------------------------------------

    def begin(self, job: Job, nodes: int, now: float) -> None:
        """A job with transfers of its own starts."""
        self._applications[job.id] = Application(job.id, nodes, now, job.extra)

    def leaves(self, job_id: str, now: float) -> IoTimes:
        """Its nodes are free: what became of it."""
        a = self._applications[job_id]
        return IoTimes(
            *(a.nodes, a.began, now, a.work(now), a.alone, a.blocked_at(now), a.held, a.transfers, a.moved)
        )

    def end(self, job_id: str) -> None:
        """It is over."""
        application = self._applications.pop(job_id, None)
        if application is not None:
            application.over = True
        self._measured.pop(job_id, None)

    def progress(self, job_id: str, now: float) -> tuple[int, float] | None:
        """(bytes that its transfers have moved, seconds that it has computed and those would have taken
        alone) of a job under way; None if it has no transfers of its own."""
        a = self._applications.get(job_id)
        return None if a is None else (a.moved, a.work(now) + a.alone)

    @property
    def jobs_on_hold(self) -> list[str]:
        """Jobs of which a transfer waits."""
        return [asked.job_id for asked in self._waiting.values()]

    @property
    def idle(self) -> Idle:
        return Idle(*self._idled)

    # ---- asked by lives ------------------------------------------------------------------------------------

    def ask(
        self,
        job: Job,
        name: str,
        activity: Activity,
        now: float,
        deadline: float | None,
        *,
        blocking: bool,
    ) -> list[m.Decision]:
        """A transfer is wanted. What starts it, if it starts at once."""
        asked = self._asked(job, name, activity, now, deadline, blocking)
        if blocking:
            _asks(asked.application, asked.alone, now)
        self._begins_to_wait(asked)
        self._dirty = True
        return self._start(Start(asked), now) if self._at_once and asked.pace is None else []

    def at_once(self, activity: Activity) -> bool:
        """Whether it would start as soon as it is asked for."""
        pacer = self.pacer
        return self._at_once and (
            pacer is None or not pacer.limits(activity.kind, self._files_of(_profile_of(activity)))
        )

    def holds(self, activity_id: str) -> bool:
        """Whether nothing of it is under way."""
        return activity_id in self._waiting

    def unsent(self, activity_id: str) -> Activity | None:
        """What is left of a transfer if the pieces under way are sent again; None if the id is none's."""
        asked = self._waiting.get(activity_id) or self._moving.get(activity_id)
        if asked is None:
            return None
        profile, left = asked.profile, asked.settled
        if left is profile.volumes:
            return asked.activity
        flops = None if profile.flops is None else profile.flops * (left.sum() / asked.size)
        return with_bytes(
            asked.activity, IoProfile(profile.ids, profile.sources, profile.destinations, left, flops)
        )

    def withdraw(self, activity_id: str, now: float) -> list[str] | None:
        """Nobody wants it any more: the jobs to kill, after which it ends; none if it is over with that. None
        if the id is no transfer's."""
        asked = self._waiting.get(activity_id)
        if asked is not None:
            self._waits_no_more(asked)
            self._over(asked, now)
            return []
        asked = self._moving.get(activity_id)
        if asked is None:
            return None
        asked.stopped = True
        return sorted(asked.pieces)

    # ---- the course of time --------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        passed = now - self._now
        if passed > 0:
            self._now = now
            for k, rate in enumerate(self._idle):
                self._idled[k] += rate * passed

    def called(self, now: float) -> None:
        """A wake-up has come, for whomever."""
        if due(self._alarm, now):
            self._alarm = float("inf")
            self._dirty = True
        if due(self._pace_at, now):
            self._pace_at = float("inf")
            self._dirty = True
        if self._wish is not None and due(self._wish, now):
            self._wish = None
            self._called = self._dirty = True

    def piece_of(self, job_id: str) -> str | None:
        """The activity that a dynamic job under way is a piece of."""
        asked = self._of.get(job_id)
        return None if asked is None else asked.id

    def completed(self, job_id: str, state: str, now: float) -> tuple[list[m.Decision], str | None]:
        """A piece has ended: what is to be sent, and the state in which its activity has ended, if it has."""
        asked = self._of.pop(job_id)
        asked.pieces.discard(job_id)
        out: list[m.Decision] = []
        if state != SUCCESS and not asked.failed:
            asked.failed = state
            if asked.pieces and not asked.stopped:
                out.append(m.KillJob(now, sorted(asked.pieces)))
        if asked.pieces:
            return out, None
        del self._moving[asked.id]
        if asked.throttle is not None:
            self._throttles.append(asked.throttle)
            asked.throttle = None
        self._dirty = True
        if asked.failed or asked.stopped or not asked.left:
            self._over(asked, now)
            return out, asked.failed or ("COMPLETED_KILLED" if asked.left else SUCCESS)
        asked.since = now
        asked.settled = asked.rest
        asked.rate = None
        self._begins_to_wait(asked)
        self._moves(asked.id, False)
        if self._at_once and asked.pace is None:
            out += self._start(Start(asked), now)
        return out, None

    def decide(self, now: float) -> list[m.Decision]:
        """Ask the policy, if there is anything new."""
        if not self._dirty:
            return []
        self._dirty = False
        out: list[m.Decision] = []
        if self._paced:
            out += self._let(now)
        came = sorted([t for t in self._came if t.waits], key=_ASKED)
        self._came = []
        if self._line and not self._at_once:
            view = IoView(
                now,
                list(self._line),
                list(self._moving.values()),
                self._loads.capacity,
                self._applications.values(),
                len(self._throttles),
                self._called,
                came,
            )
            try:
                decided = self.policy.schedule(view)
                if not isinstance(decided, IoPass):
                    raise Unusable(f"answered {decided!r:.80}", hint="an IoPass was expected")
                wake = decided.wake_at
                for start in decided.starts:
                    out += self._start(start, now)
                if wake is not None:
                    at = call_at(wake, now)
                    if self._wish is None or not wake <= self._wish <= at:
                        self._wish = at
                        out.append(m.CallMeLater(now, at))
            except (Exception, SystemExit) as error:
                raise self._blamed(error, now) from error
            if self._line and not self._moving and self._wish is None:
                raise self._wrong(
                    f"at {now:g} s, the I/O policy {self.policy.name!r} holds {len(self._line)} transfers "
                    "while nothing moves, and doesn't ask to be called again"
                )
        self._called = False
        # after an alarm the next of all, else the first of those that have come
        late = self._waiting.values() if self._alarm == float("inf") else came
        first = min([d for t in late if t.waits and (d := t.deadline) is not None], default=self._alarm)
        at = call_at(first, now)
        if at < self._alarm:  # Batsim can't end at its walltime what doesn't run
            self._alarm = at
            out.append(m.CallMeLater(now, at))
        self._measure()
        return out

    # ---- inside --------------------------------------------------------------------------------------------

    def _asked(
        self, job: Job, name: str, activity: Activity, now: float, deadline: float | None, blocking: bool
    ) -> _Asked:
        known = self._measured.setdefault(job.id, {})  # a phase that runs again is the same activity
        found = known.get(id(activity))
        if found is None:
            found = known[id(activity)] = self._measure_one(activity)
        made = _Asked(
            *(f"batfs!{name}", activity.kind, self._applications[job.id]),
            *(found.file_systems, found.storages, found.direction),
            blocking,
            *(now, now),
            *(found.size, found.size),
            *(found.alone, found.demand),
            job=job,
            name=name,
            activity=activity,
            profile=found.profile,
            rest=found.profile.volumes,
            settled=found.profile.volumes,
            deadline=deadline,
            narrow=found.narrow,
            pieces=set(),
        )
        if self.pacer is not None:
            made.pace = self.pacer.pace(made)
        return made

    def _measure_one(self, activity: Activity) -> _Measured:
        profile = _profile_of(activity)
        systems, load, capacity = self._systems, self._loads.of(profile), self._loads.capacity
        return _Measured(
            *(activity, profile, self._files_of(profile)),
            tuple([i for i in profile.resources() if i in systems]),
            _direction(profile, systems),
            int(profile.volumes.sum()),
            load.seconds,
            load.demand,
            max(load.demand, key=lambda link: load.demand[link] / capacity[link], default=-1),
        )

    def _files_of(self, profile: IoProfile) -> tuple[str, ...]:
        """The file systems of the storages that it touches."""
        systems = self._systems
        return tuple(dict.fromkeys([systems[i] for i in profile.resources() if i in systems]))

    def _let(self, now: float) -> list[m.Decision]:
        """Of what has a pace, start what may move now, or show it to the policy; and see that the rest is
        looked at again."""
        assert self.pacer is not None
        out: list[m.Decision] = []
        waiting = [(asked, asked.pace) for asked in self._paced.values() if asked.pace is not None]
        self._may = self.pacer.allowed([(asked.id, pace, asked.left) for asked, pace in waiting], now)
        for asked, _ in waiting:
            may = asked.id in self._may
            if may and self._at_once:
                out += self._start(Start(asked), now)
            elif may and not asked.offered:
                self._offer(asked)
            elif asked.offered and not may:
                self._take_back(asked)
        at = call_at(self.pacer.next, now)
        if at < self._pace_at:  # else a call on its way is no later than one can be asked for now
            self._pace_at = at
            out.append(m.CallMeLater(now, at))
        return out

    def _begins_to_wait(self, asked: _Asked) -> None:
        asked.waits = True
        self._waiting[asked.id] = asked
        if asked.pace is not None:
            self._paced[asked.id] = asked  # the policy sees it when it may move
        elif not self._at_once:  # else it starts before anybody looks
            self._offer(asked)

    def _offer(self, asked: _Asked) -> None:
        """It is in the policy's hands."""
        asked.offered = True
        insort(self._line, asked, key=_ASKED)
        self._came.append(asked)
        if asked.narrow not in self._narrow:
            self._narrow[asked.narrow] = 0
            self._offered += self._finite(asked.narrow)
        self._narrow[asked.narrow] += 1

    def _waits_no_more(self, asked: _Asked) -> None:
        asked.waits = False
        del self._waiting[asked.id]
        self._paced.pop(asked.id, None)
        if asked.offered:
            self._take_back(asked)

    def _take_back(self, asked: _Asked) -> None:
        """It is no longer."""
        asked.offered = False
        at = bisect_left(self._line, asked.asked, key=_ASKED)
        while self._line[at] is not asked:
            at += 1
        del self._line[at]
        self._narrow[asked.narrow] -= 1
        if not self._narrow[asked.narrow]:
            del self._narrow[asked.narrow]
            self._offered = self._offered - self._finite(asked.narrow) if self._narrow else 0.0

    def _start(self, start: Start, now: float) -> list[m.Decision]:
        asked = start.transfer
        if not isinstance(asked, _Asked) or self._waiting.get(asked.id) is not asked:
            raise self._wrong(f"the I/O policy {self.policy.name!r} starts what doesn't wait: {asked.id}")
        if start.weight < 1 or (start.size is not None and start.size < 1):
            raise self._wrong(
                f"the I/O policy {self.policy.name!r} starts {asked.id} with weight {start.weight} and "
                f"{start.size} bytes: both must be at least 1"
            )
        if start.rate is not None and not start.rate > 0:
            raise self._wrong(
                f"the I/O policy {self.policy.name!r} starts {asked.id} at {start.rate} bytes/s"
            )
        if asked.pace is not None and asked.id not in self._may:
            return []
        throttle = None
        rate = start.rate if asked.size and start.rate is not None else None
        if rate is not None and rate < asked.bandwidth:
            if not self._throttles:
                return []  # as nobody can hold it to that rate
            throttle = self._throttles.pop(0)
        else:
            rate = None
        size = asked.left if start.size is None else min(start.size, asked.left)
        if asked.pace is not None and self.pacer is not None:
            size = min(size, self.pacer.piece(asked.pace, asked.left))
        if self.chunk is not None:
            size = min(size, self.chunk)
        parts = self._parts(asked, size, start.weight)
        if asked.pace is not None and self.pacer is not None:
            self.pacer.starts(asked.pace, size, now)
        asked.left -= size
        self._waits_no_more(asked)
        self._moving[asked.id] = asked
        if asked.blocking:
            asked.application.held += now - asked.since
        asked.since = now
        asked.weight, asked.rate, asked.throttle = len(parts), rate, throttle
        walltime = None
        if asked.activity.limited and asked.deadline is not None:
            walltime = max(asked.deadline - now, 1e-5)
        out: list[m.Decision] = []
        for part in parts:
            if self.slowed is not None:
                part = self.slowed(part)
            activity = asked.activity if part is asked.profile else with_bytes(asked.activity, part)
            if throttle is not None and rate is not None:
                activity = throttled(asked.activity, part, throttle, rate)
            name = asked.name
            if asked.sent:  # the first one has the activity's own name
                head, _, kind = name.rpartition(".")
                name = f"{head}-{asked.sent}.{kind}"
            asked.sent += 1
            job_id, decisions = launch(activity, asked.job, name, (), now, walltime)
            asked.pieces.add(job_id)
            self._of[job_id] = asked
            out += decisions
        self._moves(asked.id, True)
        return out

    def _parts(self, asked: _Asked, size: int, weight: int) -> list[IoProfile]:
        """The next ``size`` bytes as up to ``weight`` tasks of even size; together exact."""
        profile = asked.profile
        if size == asked.size and weight == 1:
            return [profile]
        volumes = asked.rest if size == asked.left else part_of(asked.rest, size, asked.left)
        asked.rest = asked.rest - volumes
        flops = profile.flops
        if flops is not None:
            flops = flops * (size / asked.size / max(weight, 1)) if asked.size else flops
        return tasks(profile, volumes, flops, max(1, min(weight, size)))

    def _over(self, asked: _Asked, now: float) -> None:
        """It has ended, whichever way."""
        self._dirty = True
        application = asked.application
        if not asked.blocking:
            return
        if not asked.pieces and asked.sent == 0:
            application.held += now - asked.since
        else:
            application.transfers += 1
            application.moved += asked.size - asked.left
            application.alone += (
                asked.alone if asked.size == 0 else (asked.alone * (asked.size - asked.left) / asked.size)
            )
        application.pending -= 1
        if not application.pending:
            application.blocked += now - application.blocked_since
        application.last_end = now

    def _measure(self) -> None:
        """How much of the bandwidth that those on hold need most isn't used from now on."""
        unused, narrow = self._offered, self._narrow.keys()
        used: dict[int, float] = {}
        for asked in self._moving.values() if unused else ():
            part = 1.0 if asked.rate is None else min(1.0, asked.rate / asked.bandwidth)
            for link in narrow & asked.demand.keys():
                used[link] = used.get(link, 0.0) + asked.demand[link] * part
        for link, rate in used.items():
            unused -= min(rate, self._finite(link))
        self._idle = [max(0.0, unused), self._offered]

    def _finite(self, link: int) -> float:
        """Bytes/s of a link; 0 where it has no end, or there is none."""
        bandwidth = self._loads.capacity.get(link, 0.0)
        return bandwidth if bandwidth < float("inf") else 0.0

    def _wrong(self, problem: str) -> BatfsError:
        if type(self.policy).__module__.startswith("batfs."):
            return InvariantError(problem)
        file, line = place_in(self.policy.schedule)
        return PluginError(problem, file=file, place=line)

    def _blamed(self, error: BaseException, now: float) -> BaseException:
        waits = next((asked.job_id for asked in self._waiting.values()), None)
        whose = f", with a transfer of {waits!r} waiting" if waits is not None else ""
        name = getattr(self.policy, "name", type(self.policy).__name__)
        return blamed(error, self.policy, f"at {now:g} s{whose}, the I/O policy {name!r}")


def _asks(application: Application, alone: float, now: float) -> None:
    """A transfer that its job waits for: its rhythm, and since when it waits."""
    if not application.pending:
        application.blocked_since = now
        last = application.last_end
        worked = now - (application.began if last is None else last)
        application.cycle_seconds += alone
        if worked > _SAME_PHASE * (1.0 + alone):
            application.cycle_seconds += worked
            application.cycles += 1
    application.pending += 1


def _profile_of(activity: Activity) -> IoProfile:
    profile = activity.profile if isinstance(activity.profile, IoProfile) else activity.io
    assert profile is not None, "it moves something"
    return profile


def _direction(profile: IoProfile, storages: Mapping[int, str]) -> str:
    ids = profile.ids.tolist()
    from_storage = {ids[k] in storages for k in profile.sources.tolist()}
    to_storage = {ids[k] in storages for k in profile.destinations.tolist()}
    if from_storage == {True}:
        return "move" if to_storage == {True} else "read"
    return "write" if to_storage == {True} and from_storage == {False} else "both"
