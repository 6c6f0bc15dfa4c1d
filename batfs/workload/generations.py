"""A workload of Batsim 4 as one of Batsim 5, and back: the same simulation, to the last digit.

What one generation says for any number of nodes and the other only for one (amounts of each node, or of all
of them) becomes a profile for each number that its jobs ask for. Of two forms the one is taken that gives the
same doubles. What the other generation has no form for is counted; jobs that need it are refused, or left
out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.records import field, record, replace
from batfs.workload.extradata import MEMBER, ExtraData
from batfs.workload.model import (
    NO_EXTRA,
    Composed,
    DataStaging,
    Job,
    Json,
    Parallel,
    ParallelHomogeneous,
    ParallelHomogeneousPfs,
    ParallelHomogeneousSpread,
    ParallelHomogeneousTotal,
    Profile,
    Recv,
    Send,
    Smpi,
    UsageTrace,
    Workload,
    of_each,
)
from batfs.workload.phases import children_first

# members of Batsim 4's profiles and jobs that a record may hold as they were written out
_WRITTEN_OUT: Final = frozenset(
    (
        *(
            "type",
            "ret",
            "repeat",
            "storage",
            "host",
            "bytes_to_read",
            "bytes_to_write",
            "cpu",
            "com",
            "delay",
        ),
        *("seq", "nb_bytes", "from", "to", "trace", "id", "subtime", "res", "profile", "walltime"),
    )
)
_ULPS: Final = 4  # how far from a product the double may lie whose quotient is the amount


@record(frozen=False)
class Changes:
    """What a conversion did, with how many jobs or profiles each rule concerned."""

    changed: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def convert(workload: Workload, generation: int, *, leave_out: bool = False) -> tuple[Workload, Changes]:
    """``workload`` in the form of Batsim ``generation``, 4 or 5; itself if it has it already.

    InputError, with the counts and reasons, when jobs need what that one can't say; with ``leave_out`` these
    are left out.
    """
    changes = Changes()
    if workload.generation == generation:
        return workload, changes
    return _Conversion(workload, generation, changes).run(leave_out), changes


class _Conversion:
    def __init__(self, workload: Workload, generation: int, changes: Changes) -> None:
        self.workload = workload
        self.to5 = generation == 5
        self.generation = generation
        self.changes = changes
        self.made: dict[
            tuple[str, int], str | None
        ] = {}  # (name, nodes) -> its new name, None: can't be said
        self.profiles: dict[str, Profile] = {}
        self.reasons: dict[tuple[str, int], str] = {}

    def run(self, leave_out: bool) -> Workload:
        workload, changes = self.workload, self.changes
        everything = Composed(tuple(dict.fromkeys(job.profile for job in workload.jobs)))
        parents = [name for name, _ in children_first(everything, workload.profiles) if name]
        sizes = self._sizes(parents)
        for name in [*(name for name in sizes if name not in parents), *parents]:
            self._profile(name, sorted(sizes.get(name, ())))
        jobs, unsaid = [], Counter[str]()
        for job in workload.jobs:
            new = self.made[job.profile, job.requested_nodes]
            reason = self._why_not(job) or self.reasons.get((job.profile, job.requested_nodes))
            if reason is not None:
                unsaid[reason] += 1
            else:
                assert new is not None
                jobs.append(replace(job, profile=new, extra=self._extra(job.extra, "jobs")))
        if unsaid and not leave_out:
            listed = "; ".join(f"{count} jobs: {reason}" for reason, count in unsaid.most_common())
            raise InputError(
                f"Batsim {self.generation} can't say all of it: {listed}",
                file=workload.path or None,
                hint="--leave-out leaves these jobs out",
            )
        changes.left_out.update({f"jobs: {reason}": count for reason, count in unsaid.items()})
        if workload.removed_profiles:
            changes.left_out["profiles that nothing uses"] = len(workload.removed_profiles)
        return Workload(
            workload.name,
            workload.nb_res,
            jobs,
            self.profiles,
            workload.path,
            workload.extra,
            (),
            self.generation,
        )

    def _sizes(self, parents: list[str]) -> dict[str, set[int]]:
        """The numbers of nodes that each profile is executed on."""
        sizes: dict[str, set[int]] = {}
        for job in self.workload.jobs:
            sizes.setdefault(job.profile, set()).add(job.requested_nodes)
        for name in reversed(parents):
            profile = self.workload.profiles[name]
            assert isinstance(profile, Composed)
            for child in profile.sequence:
                sizes.setdefault(child, set()).update(sizes.get(name, ()))
        return sizes

    def _profile(self, name: str, sizes: list[int]) -> None:
        """Make what stands for a profile on each number of nodes; its children are made already."""
        profile = self.workload.profiles[name]
        found: dict[int, Profile] = {}
        for n in sizes:
            reason = self._unsayable(profile, n)
            if reason is not None:
                self.made[name, n] = None
                self.reasons[name, n] = reason
            else:
                found[n] = self._of(profile, n)
        groups: list[tuple[Profile, list[int]]] = []
        for n, made in found.items():
            for other, numbers in groups:
                if other == made or isinstance(profile, Parallel):
                    numbers.append(n)
                    break
            else:
                groups.append((made, [n]))
        for made, numbers in groups:
            new = name if len(groups) == 1 else self._free_name(f"{name}@{numbers[0]}")
            self.profiles[new] = made
            for n in numbers:
                self.made[name, n] = new
        if len(groups) > 1:
            self.changes.changed["profiles made for each number of nodes"] += 1

    def _free_name(self, name: str) -> str:
        while name in self.workload.profiles or name in self.profiles:
            name += "'"
        return name

    def _why_not(self, job: Job) -> str | None:
        if not self.to5 and job.submission_time < 0:
            return "they are submitted before 0"
        if not self.to5 and job.requested_nodes < 1:
            return "they ask for 0 nodes"
        return None

    def _unsayable(self, profile: Profile, n: int) -> str | None:
        """Why the other generation can't say a profile."""
        if isinstance(profile, Composed):
            bad = [child for child in profile.sequence if self.made[child, n] is None]
            return self.reasons[bad[0], n] if bad else None
        if self.to5:
            if isinstance(profile, (Send, Recv)):
                return f"a {type(profile).__name__.lower()} profile, and Batsim 5 has no messages to jobs"
            if isinstance(profile, DataStaging):
                return "a data_staging profile, on which Batsim 5.0.0-rc2 aborts"
            if isinstance(profile, ParallelHomogeneousPfs) and _all_together(profile, n) is None:
                return f"a parallel_homogeneous_pfs profile with amounts that {n} nodes can't share exactly"
        return None

    def _of(self, profile: Profile, n: int) -> Profile:
        """What stands for a profile on ``n`` nodes."""
        extra = self._extra(profile.extra, "profiles")
        if isinstance(profile, Composed):
            names = tuple(self.made[child, n] or "" for child in profile.sequence)
            return replace(profile, sequence=names, extra=extra)
        if isinstance(profile, ParallelHomogeneousPfs):
            if self.to5:
                together = _all_together(profile, n)
                assert together is not None
                return replace(together, extra=extra)
            read, written = profile.of_each(n)
            return replace(profile, bytes_to_read=read, bytes_to_write=written, extra=extra, amounts="each")
        if isinstance(profile, ParallelHomogeneousTotal) and self.to5:
            if n == 1 and not profile.cpu > 0:
                return _no_work(extra, profile.ret)
            spread = ParallelHomogeneousSpread(profile.cpu, profile.com * (n - 1), extra, profile.ret)
            return self._same(profile, spread, n, extra)
        if isinstance(profile, ParallelHomogeneousSpread):
            com = profile.com / (n - 1) if n > 1 else 0
            return self._same(
                profile, ParallelHomogeneousTotal(profile.cpu, com, extra, profile.ret), n, extra
            )
        if isinstance(profile, ParallelHomogeneous) and self.to5 and n == 1 and not profile.cpu > 0:
            return _no_work(extra, profile.ret)
        if isinstance(profile, (UsageTrace, Smpi)):
            self.changes.changed["traces, whose ranks end a little differently"] += 1
        if isinstance(profile, Parallel):
            return replace(profile, extra=extra, absent=profile.absent if self.to5 else "")
        return replace(profile, extra=extra)

    def _same(
        self,
        profile: ParallelHomogeneousTotal | ParallelHomogeneousSpread,
        other: ParallelHomogeneousTotal | ParallelHomogeneousSpread,
        n: int,
        extra: Mapping[str, Json],
    ) -> Profile:
        """The other generation's totals if they come to the same doubles, else the amounts of each node."""
        amounts = of_each(profile, n)
        if math.isfinite(other.com) and of_each(other, n) == amounts:
            return other
        return ParallelHomogeneous(*amounts, extra, profile.ret)

    def _extra(self, extra: Mapping[str, Json], whose: str) -> Mapping[str, Json]:
        """Unknown members become ``extra_data``, and back."""
        if self.to5:
            members = {key: value for key, value in extra.items() if key not in _WRITTEN_OUT}
            if members and not (set(members) == {MEMBER} and isinstance(members[MEMBER], str)):
                self.changes.changed[f"{whose}: unknown members became extra_data"] += 1
                return ExtraData(members)
            return ExtraData(members[MEMBER]) if members else NO_EXTRA
        if not isinstance(extra, ExtraData):
            return dict(extra) or NO_EXTRA
        members = dict(extra)
        if _WRITTEN_OUT & members.keys():
            members = {MEMBER: extra.written}
        others = {k: v for k, v in extra.others.items() if k not in _WRITTEN_OUT and k not in members}
        if members or others:
            self.changes.changed[f"{whose}: extra_data became members"] += 1
        return {**members, **others} or NO_EXTRA


def _no_work(extra: Mapping[str, Json], ret: int) -> Parallel:
    """A task of one node without flops, which Batsim 5 can't start in its homogeneous form."""
    return Parallel(np.zeros(1), np.zeros((1, 1)), extra, ret, b"", "com")


def _all_together(profile: ParallelHomogeneousPfs, n: int) -> ParallelHomogeneousPfs | None:
    """Amounts of ``n`` nodes together of which each one's share is exactly the profile's; None for none."""
    read, written = profile.of_each(n)
    if read == written:  # 5.0.0-rc2's default strategy is right for these
        return replace(profile, amounts="read")
    totals = [_product(amount, n) for amount in (read, written)]
    if None in totals:
        return None
    return replace(profile, bytes_to_read=totals[0], bytes_to_write=totals[1], amounts="spread")


def _product(amount: float, n: int) -> float | None:
    """The double whose ``n``-th part is ``amount``."""
    above = below = amount * n
    for _ in range(_ULPS):
        for total in (above, below):
            if math.isfinite(total) and total / n == amount:
                return total
        above, below = math.nextafter(above, math.inf), math.nextafter(below, 0.0)
    return None
