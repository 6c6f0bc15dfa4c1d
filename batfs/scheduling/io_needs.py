"""How much of the machine's links a job's I/O takes, for queue policies that go by it.

What is asked for is told in *seconds of a link*: a job whose transfers take half of a link's bandwidth for
20 s, whenever that is, needs 10 s of it. Divided by the time for which the job runs this is its share of the
link; shares that add up to 1 are all that any I/O policy can serve without somebody's waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from batfs._core.flows import build_profile, merge
from batfs.filesystems.interface import IoPlan, Move, Volume, ways
from batfs.records import Row, record
from batfs.scheduling.loads import Loads
from batfs.workload.model import IoProfile


@record
class IoProgress(Row):
    """How far the I/O of a job has come: ``moved`` bytes in all its transfers that are over, ``size`` of all
    it will have; ``seconds`` it has computed, plus what those transfers would have taken alone."""

    moved: int
    size: int
    seconds: float


class IoNeeds:
    """Measures what jobs with given plans need."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads

    def of(self, volumes: Sequence[Volume], plans: Sequence[IoPlan]) -> Mapping[int, float]:
        """Seconds of each link, by number (without a platform file: of each storage)."""
        needed: dict[int, float] = {}
        for times, profile in _profiles(volumes, plans):
            load = self._loads.of(profile)
            for link, rate in load.demand.items():
                capacity = self._loads.capacity[link]
                needed[link] = needed.get(link, 0.0) + times * load.seconds * rate / capacity
        return needed


def _profiles(volumes: Sequence[Volume], plans: Sequence[IoPlan]) -> Iterator[tuple[int, IoProfile]]:
    """(how often, what) of everything that moves for a job."""
    for volume, plan in zip(volumes, plans, strict=True):
        for times, way in ways(volume, plan):
            profile = build_profile(way)
            if profile is not None:
                yield times, profile
        moves: list[tuple[int, Move]] = [(1, m) for m in (*plan.stage_in, *plan.stage_out, *plan.background)]
        points = plan.checkpoints
        if points is not None:
            moves += [(points.times, move) for move in (*points.writes, *points.drains)]
        for times, move in moves:
            moved = merge([move.traffic], move.flops)
            if moved is not None:
                yield times, moved
