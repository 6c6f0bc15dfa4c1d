"""Composed jobs whose phases bring I/O of their own: each phase has its bytes moved in its turn.

Batsim finds the children of a composed profile by name in the workload file only, and can't be given I/O for
one of them, so such a job is cut (as checkpoints cut one): every execution of a phase is a step of its own,
on the job's nodes, with the phase's I/O merged, beside it, or before and after it. The original is rejected.
The I/O of a composed profile itself (the job's, or one that lies within another) goes with the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from batfs._core.flows import build_profile
from batfs.errors import InputError
from batfs.filesystems.interface import IoPlan, PhaseVolume, Volume, phase_of, ways
from batfs.filesystems.script import (
    Activity,
    Step,
    beside,
    in_background,
    overlapped,
    phases_around,
    staging_in,
    staging_out,
    write_body,
)
from batfs.records import record, replace
from batfs.workload.model import (
    HOMOGENEOUS,
    Composed,
    Delay,
    IoProfile,
    Job,
    Profile,
)
from batfs.workload.phases import UNSENT, below, children_first, has_io, runs


@record(eq=False)
class Phased(Composed):
    """A composed profile with the profiles below it by name, and how often each of them runs. ``whole``: the
    name of one that can't be sent by itself, so that the job must be executed as it is."""

    below: Mapping[str, Profile] = {}
    runs: Mapping[str, int] = {}
    whole: str = ""


class _FileSystems(Protocol):
    def volumes(self, job_id: str, profile: Profile) -> tuple[Volume, ...]: ...


class Phases:
    """Reads composed jobs: ``profiles`` are those of each workload, ``say`` is given sentences, with a key
    for each that is to be said once."""

    def __init__(
        self,
        files: _FileSystems,
        profiles: Mapping[str, Mapping[str, Profile]],
        say: Callable[[str, str], None],
        *,
        dynamic_jobs: bool,
    ) -> None:
        self._files = files
        self._profiles = profiles
        self._say = say
        self._dynamic = dynamic_jobs
        self._known: dict[tuple[str, str], Phased | None] = {}

    def read(self, job: Job, profile: Composed) -> tuple[Composed, tuple[Volume, ...]]:
        """The profile as it is to be run, and what it asks of the file systems: first the job as a whole,
        then each phase with I/O. The same profile without such a phase. InputError as from ``volumes``."""
        key = job.workload, job.profile
        if key not in self._known:
            self._known[key] = self._phased(job, profile)
        phased = self._known[key]
        volumes = self._files.volumes(job.id, profile)
        if phased is None:
            return profile, volumes
        return phased, (*volumes, *phase_volumes(self._files, job.id, phased))

    def _phased(self, job: Job, profile: Composed) -> Phased | None:
        there = below(profile, self._profiles.get(job.workload) or {})
        unknown = [name for name, child in there.items() if child is None]
        if unknown:
            self._say(
                f"unknown {job.workload}",
                f"{job.id} is composed of {unknown[0]!r}, which the simulator hasn't told of: if it asks for "
                "I/O, nothing is moved for it",
            )
        if not any(has_io(child) for child in there.values()):
            return None
        phased = with_phases(profile, {name: child for name, child in there.items() if child is not None})
        if phased.whole in phased.below and self._dynamic:
            kind = type(phased.below[phased.whole]).__name__.lower()
            self._say(
                f"whole {kind}",
                f"{job.id} has a phase that is a {kind}, which can't be sent as a job of its own: the I/O of "
                "all its phases moves beside the whole job",
            )
        return phased


def with_phases(profile: Composed, profiles: Mapping[str, Profile]) -> Phased:
    """``profile`` with what lies below it."""
    there = below(profile, profiles)
    whole = next((n for n, child in there.items() if child is None or isinstance(child, UNSENT)), "")
    known = {name: child for name, child in there.items() if child is not None}
    counted = runs(profile, profiles)
    return Phased(profile.sequence, profile.repeat, profile.extra, profile.ret, known, counted, whole)


def phase_volumes(files: _FileSystems, job_id: str, phased: Phased) -> list[PhaseVolume]:
    """What each phase with I/O asks of the file systems. InputError, also for checkpoints within a job that
    must be executed whole."""
    out: list[PhaseVolume] = []
    for name, times in phased.runs.items():
        child = phased.below.get(name)
        if child is None or not has_io(child):
            continue
        for v in files.volumes(f"{job_id}, phase {name!r}", child):
            if "checkpoints" in v.options and phased.whole:
                raise InputError(
                    f"checkpoints can't cut a job with the phase {phased.whole!r} into parts",
                    place=f"job {job_id}",
                )
            out.append(
                PhaseVolume(
                    *(v.filesystem, v.reads, v.writes, v.files, v.pattern, v.options, v.operations, v.access),
                    phase=name,
                    times=times,
                )
            )
    return out


def write_phases(
    job: Job,
    profile: Phased,
    nodes: Sequence[int],
    volumes: Sequence[Volume],
    plans: Sequence[IoPlan],
    storages: Collection[int],
    *,
    merging: bool = True,
) -> list[Step]:
    """The steps of such a job's life; ``volumes`` go with ``plans`` one by one. Staging is done once for the
    whole job: the phases find their input where it was, however often they run."""
    if profile.whole:
        inner = [_executed_whole(volumes, plans, storages)]
    else:
        inner = _Writer(job, profile, nodes, volumes, plans, storages, merging).steps()
    return [*staging_in(plans, storages), *inner, *staging_out(plans, storages)]


def _executed_whole(volumes: Sequence[Volume], plans: Sequence[IoPlan], storages: Collection[int]) -> Step:
    """The job as it is, and beside it all its I/O."""
    activities = [Activity("job")]
    for volume, plan in zip(volumes, plans, strict=True):
        for times, way in ways(volume, plan):
            io = build_profile(way)
            if io is not None:
                flops = None if io.flops is None else io.flops * times
                io = IoProfile(io.ids, io.sources, io.destinations, io.volumes * times, flops)
                activities.append(beside("io", io, storages))
    return Step("running", activities, in_background(plans, storages))


class _Writer:
    """Writes the steps of one job, children first; those of a phase are the same objects each time."""

    def __init__(
        self,
        job: Job,
        profile: Phased,
        nodes: Sequence[int],
        volumes: Sequence[Volume],
        plans: Sequence[IoPlan],
        storages: Collection[int],
        merging: bool,
    ) -> None:
        self._job = job
        self._merging = merging
        self._profile = profile
        self._nodes = nodes
        self._storages = storages
        self._plans: dict[str, list[IoPlan]] = {}
        self._again: dict[str, list[IoPlan]] = {}
        self._differ: set[str] = set()  # phases that move their bytes in another way when they run again
        for volume, plan in zip(volumes, plans, strict=True):
            first, *again = [way for _, way in ways(volume, plan)]
            phase, _ = phase_of(volume)
            self._plans.setdefault(phase, []).append(first)
            self._again.setdefault(phase, []).append(again[0] if again else first)
            if again:
                self._differ.add(phase)
        self._written: dict[str, list[Step]] = {}
        self._closed: dict[int, Step] = {}  # steps that nothing may be added to, by identity
        self._stops: set[str] = set()

    def steps(self) -> list[Step]:
        """All of them but staging."""
        for name, composed in children_first(self._profile, self._profile.below):
            self._written[name] = self._composed(name, composed)
        return self._as_they_run(self._written[""]) if self._differ else self._written[""]

    def _composed(self, name: str, composed: Composed) -> list[Step]:
        once: list[Step] = []
        for child in composed.sequence:
            self._append(once, self._child(child))
            if child in self._stops:
                break
        stopped = child in self._stops
        if not stopped:
            once = self._repeated(once, composed.repeat)
        before, after = self._around(name)
        steps = [*before, *self._spanned(once, name), *after]
        if stopped or composed.ret:
            self._stops.add(name)
            steps[-1] = steps[-1] if stopped else _ending(steps[-1], composed.ret)
        return steps

    def _child(self, name: str) -> list[Step]:
        steps = self._written.get(name)
        if steps is None:
            profile = self._profile.below[name]
            steps = self._body(profile, self._again.get(name, ()))
            if name in self._differ:
                _link(steps, self._body(profile, self._plans[name]))
            self._written[name] = steps
            if profile.ret:
                self._stops.add(name)
        return steps

    def _body(self, profile: Profile, plans: Sequence[IoPlan]) -> list[Step]:
        return write_body(
            self._job, profile, self._nodes, plans, self._storages, whole=False, merging=self._merging
        )

    def _around(self, name: str) -> tuple[list[Step], list[Step]]:
        """The read phase and the write phase of a composed profile's own I/O."""
        around = phases_around(self._again.get(name, ()), self._storages)
        if name in self._differ:
            for steps, first in zip(around, phases_around(self._plans[name], self._storages), strict=True):
                _link(steps, first)
        return around

    def _spanned(self, steps: list[Step], name: str) -> list[Step]:
        """With the overlapping I/O of the composed profile beside all of it."""
        plans = self._plans.get(name, ())
        io, background = overlapped(self._again.get(name, ())), in_background(plans, self._storages)
        if io is None and not background:
            return steps
        steps = list(steps)
        first = steps[0] = replace(steps[0], detached=[*background, *steps[0].detached])
        if io is not None:
            activity = beside("io", io, self._storages)
            once = overlapped(plans) if name in self._differ else None
            activity.first = None if once is None else beside("io", once, self._storages)
            first.spanning = (*first.spanning, (activity, len(steps) - 1))
            last = steps[-1] = replace(steps[-1])  # the I/O has to end with it
            self._closed[id(last)] = last
        return steps

    def _as_they_run(self, steps: list[Step]) -> list[Step]:
        """The same with what runs the first time in its place."""
        seen: set[int] = set()

        def placed(activity: Activity) -> Activity:
            if activity.first is None or id(activity) in seen:
                return activity
            seen.add(id(activity))
            return activity.first

        out: list[Step] = []
        for step in steps:
            activities = [placed(activity) for activity in step.activities]
            spanning = [(placed(activity), length) for activity, length in step.spanning]
            same = activities == step.activities and spanning == list(step.spanning)
            out.append(step if same else replace(step, activities=activities, spanning=spanning))
        return out

    # ---- phases that are one: two sleeps, or two computations, with nothing between them -------------------

    def _append(self, steps: list[Step], more: Sequence[Step]) -> None:
        joined = self._joined(steps[-1], more[0]) if steps and more else None
        if joined is not None:
            steps[-1] = joined
            more = more[1:]
        steps += more

    def _repeated(self, once: list[Step], times: int) -> list[Step]:
        if times < 2 or not once:
            return once
        if len(once) == 1:
            [only] = once
            profile = self._plain(only)
            many = None if profile is None else _times(profile, times)
            return once * times if many is None else [_with_profile(only, many)]
        joined = self._joined(once[-1], once[0])
        if joined is None:
            return once * times
        middle = once[1:-1]
        return [once[0], *([*middle, joined] * (times - 1)), *middle, once[-1]]

    def _joined(self, first: Step, second: Step) -> Step | None:
        """Two steps as one that takes as long, if there is one."""
        one, two = self._plain(first), self._plain(second)
        if one is None or two is None or id(first) in self._closed:
            return None
        both = _sum(one, two)
        return None if both is None else _with_profile(second, both)

    def _plain(self, step: Step) -> Profile | None:
        """The profile of a step that is one computation without any I/O."""
        if len(step.activities) != 1 or step.detached or step.spanning:
            return None
        [activity] = step.activities
        profile = activity.profile
        if activity.kind != "compute" or activity.io is not None or isinstance(profile, IoProfile):
            return None
        return profile


def _sum(one: Profile, two: Profile) -> Profile | None:
    """One profile that takes as long as ``one`` and then ``two``: of sleeps, or of computations alike on
    each node that send nothing."""
    if one.ret:
        return None
    if isinstance(one, Delay) and isinstance(two, Delay):
        return Delay(one.duration + two.duration, ret=two.ret)
    for kind in HOMOGENEOUS:
        if isinstance(one, kind) and isinstance(two, kind) and not one.com and not two.com:
            return kind(one.cpu + two.cpu, 0, ret=two.ret)
    return None


def _times(profile: Profile, times: int) -> Profile | None:
    if profile.ret:
        return None
    if isinstance(profile, Delay):
        return replace(profile, duration=profile.duration * times)
    if isinstance(profile, HOMOGENEOUS) and not profile.com:
        return replace(profile, cpu=profile.cpu * times)
    return None


def _with_profile(step: Step, profile: Profile) -> Step:
    return replace(step, activities=[replace(step.activities[0], profile=profile)])


def _ending(step: Step, code: int) -> Step:
    """A step that ends with a return code: that of the composed profile it is the last of."""
    first, *others = step.activities
    profile = first.profile
    if profile is None or isinstance(profile, IoProfile):
        return step
    ending = replace(first, profile=replace(profile, ret=code))
    if first.first is not None:
        ending.first = replace(first.first, profile=ending.profile)
    return replace(step, activities=[ending, *others])


def _link(steps: Sequence[Step], first: Sequence[Step]) -> None:
    """``first`` run in the place of ``steps`` the first time: the same but for where bytes come from."""
    for again, once in zip(steps, first, strict=True):
        for activity, other in zip(again.activities, once.activities, strict=True):
            activity.first = other
