"""What a composed profile runs: which profiles lie below it, how often each one runs, and their I/O.

A child that ends with a return code other than 0 stops the whole, so what would come after it
never runs and isn't counted. Nesting may be as deep as a file likes: nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from batfs.workload.io import IO, RequestedIo, requested_io
from batfs.workload.model import Composed, Profile, Recv, Send, Smpi, UsageTrace

#: What a composed job must be executed as it is for: these speak with the scheduler under the job's name, or
#: name files and profiles that are looked up in the workload. Others can be sent as jobs of their own.
UNSENT = (Send, Recv, Smpi, UsageTrace)


def below(composed: Composed, profiles: Mapping[str, Profile]) -> Mapping[str, Profile | None]:
    """Every profile below ``composed``, by name, in the order in which they are first met; None for a name
    that ``profiles`` doesn't have."""
    found: dict[str, Profile | None] = {}
    stack = list(reversed(composed.sequence))
    while stack:
        name = stack.pop()
        if name in found:
            continue
        profile = found[name] = profiles.get(name)
        if isinstance(profile, Composed):
            stack.extend(reversed(profile.sequence))
    return found


def has_io(profile: Profile | None) -> bool:
    """Whether a profile says anything of I/O of its own."""
    return profile is not None and bool(profile.extra) and any(key in profile.extra for key in IO)


def children_first(composed: Composed, profiles: Mapping[str, Profile]) -> Iterator[tuple[str, Composed]]:
    """The composed profiles below ``composed`` by name, each after those below it; then ``composed`` itself,
    with an empty name. No profile contains itself."""
    done: set[str] = set()
    stack: list[tuple[str, Composed]] = [("", composed)]
    while stack:
        name, top = stack[-1]
        waiting = [
            (child, inner)
            for child in dict.fromkeys(top.sequence)
            if child not in done and isinstance(inner := profiles.get(child), Composed)
        ]
        if waiting:
            stack.extend(reversed(waiting))
            continue
        stack.pop()
        if name not in done:
            done.add(name)
            yield name, top


def runs(composed: Composed, profiles: Mapping[str, Profile]) -> Mapping[str, int]:
    """How often each profile below ``composed`` runs, composed ones too; those that never run are left out.

    In the order in which they are first met.
    """
    counted: dict[str, tuple[dict[str, int], bool]] = {}
    for name, top in children_first(composed, profiles):
        once: dict[str, int] = {}
        stops = False
        for child in top.sequence:
            once[child] = once.get(child, 0) + 1
            inner, stops = counted.get(child, ({}, False))
            for grandchild, times in inner.items():
                once[grandchild] = once.get(grandchild, 0) + times
            profile = profiles.get(child)
            stops = stops or (profile is not None and not isinstance(profile, Composed) and profile.ret != 0)
            if stops:
                break
        if not stops:
            once = {child: times * top.repeat for child, times in once.items()}
            stops = top.ret != 0
        counted[name] = once, stops
    return counted[""][0]


def with_io(profile: Profile, profiles: Mapping[str, Profile]) -> Iterator[tuple[str, Profile, int]]:
    """(name, profile, how often it runs) of everything a job with ``profile`` runs that says something of
    I/O: the profile itself first, with an empty name."""
    if has_io(profile):
        yield "", profile, 1
    if isinstance(profile, Composed):
        there = below(profile, profiles)
        if any(has_io(child) for child in there.values()):
            for name, times in runs(profile, profiles).items():
                child = there[name]
                if child is not None and has_io(child):
                    yield name, child, times


def io_over_phases(
    profile: Profile, profiles: Mapping[str, Profile], place: str = "profile"
) -> Sequence[RequestedIo]:
    """What a job with ``profile`` asks for in all: its own and that of its phases, as often as they run; of a
    composed one, one entry per file system. InputError as from ``requested_io``."""
    if not isinstance(profile, Composed):
        return requested_io(profile, place)
    sums: dict[str | None, list[int]] = {}
    for name, one, times in with_io(profile, profiles):
        for part in requested_io(one, f"profiles.{name}" if name else place):
            total = sums.setdefault(part.filesystem, [0, 0])
            total[0] += times * part.reads
            total[1] += times * part.writes
    return [RequestedIo(name, reads, writes) for name, (reads, writes) in sums.items()]
