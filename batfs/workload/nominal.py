"""How long a profile would run alone: without waiting for others, for the network or for I/O."""

from __future__ import annotations

from collections.abc import Mapping

from batfs.workload.model import (
    Composed,
    Delay,
    Parallel,
    ParallelHomogeneous,
    ParallelHomogeneousSpread,
    ParallelHomogeneousTotal,
    Profile,
    Recv,
    Send,
)


class NominalTimes:
    """Seconds by profile name and number of nodes, on nodes of ``speed`` flop/s (one core of each).

    Communication, I/O, staging and messages take no time here; traces have no known time (0 s).
    """

    def __init__(self, profiles: Mapping[str, Profile], speed: float) -> None:
        self._profiles = profiles
        self._speed = speed
        self._composed: dict[tuple[str, int], float] = {}

    def seconds(self, name: str, nodes: int) -> float:
        profile = self._profiles[name]
        if isinstance(profile, Composed):
            return self._of_composed(name, nodes)
        return self._of_leaf(profile, nodes)

    def _of_leaf(self, profile: Profile, nodes: int) -> float:
        match profile:
            case Delay():
                return profile.duration
            case ParallelHomogeneous():
                return profile.cpu / self._speed
            case ParallelHomogeneousTotal() | ParallelHomogeneousSpread():
                return profile.cpu / nodes / self._speed
            case Parallel():
                return float(profile.cpu.max()) / self._speed
            case Send():
                return profile.sleep_time
            case Recv():
                return profile.poll_time
            case _:
                return 0.0

    def _of_composed(self, name: str, nodes: int) -> float:
        """Children first, without recursion: nesting may be as deep as a file likes."""
        stack = [name]
        while stack:
            top = stack[-1]
            profile = self._profiles[top]
            assert isinstance(profile, Composed)
            waiting = [
                child
                for child in dict.fromkeys(profile.sequence)
                if isinstance(self._profiles[child], Composed) and (child, nodes) not in self._composed
            ]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            total = 0.0
            for child in profile.sequence:
                known = self._composed.get((child, nodes))
                total += self._of_leaf(self._profiles[child], nodes) if known is None else known
            self._composed[(top, nodes)] = total * profile.repeat
        return self._composed[(name, nodes)]
