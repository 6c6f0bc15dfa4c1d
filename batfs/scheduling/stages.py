"""How long a job is expected to stage: what promises and plans count on top of its walltime.

The moves into the storages before a job and out of them after it are taken to run at the rates of the
machine, with nobody else on it: the slowest link on the routes of the moves that run at the same time (where
the platform is known), and the slowest storage that says its bandwidths. What runs beside them is left out:
it changes while a job waits, and a promise must not. Each stage takes some messages besides. When staging
takes longer than that, what was promised on its end moves back by as much; when it takes less, promises move
forward as after any job that ends early.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batfs._core.arrays import np
from batfs.filesystems.interface import IoPlan, Move, Topology, add_flops
from batfs.filesystems.script import in_turns
from batfs.filesystems.staging_modes import NO_LIMIT, StagingLimit
from batfs.filesystems.traffic import by_destination, by_source, joined
from batfs.records import Row, record
from batfs.scheduling.loads import WINDOW, Routes
from batfs.storage.interface import StorageView

#: Seconds for the messages between two stages.
MESSAGES = 1e-3


@record
class Stages(Row):
    """Seconds: ``before`` the job runs (its nodes are held), and ``after`` (its bytes are)."""

    before: float
    after: float

    @property
    def total(self) -> float:
        return self.before + self.after


NO_STAGES = Stages(0.0, 0.0)


class StageTimes:
    """Estimates stages on the storages of ``view``. ``positions``: where each stands in it, by id; ``names``
    of all resources; ``platform`` None if nobody gave the file; ``limits`` of staging, by file system."""

    def __init__(
        self,
        view: StorageView,
        positions: Mapping[int, int],
        names: Mapping[int, str],
        platform: Topology | None,
        limits: Mapping[str, StagingLimit] | None = None,
    ) -> None:
        self._view = view
        self._limits = limits or {}
        self._positions = positions
        self.routes = None if platform is None else Routes(platform, names)

    def of(self, plans: Iterable[IoPlan]) -> Stages:
        """Of a job with these plans, if it started now."""
        before = after = 0.0
        into = [move for plan in plans for move in plan.stage_in]
        if into:
            before = MESSAGES + sum(self.seconds(moves) for moves in in_turns(into))
        out = [move for plan in plans for move in plan.stage_out]
        if out:
            after = MESSAGES + sum(self.seconds(moves) for moves in in_turns(out))
        for plan in plans if self._limits else ():
            limit = self._limits.get(plan.file_system, NO_LIMIT)
            before = max(before, sum(self._paced(moves, limit) for moves in in_turns(plan.stage_in)))
            after = max(after, sum(self._paced(moves, limit) for moves in in_turns(plan.stage_out)))
        beside = [move for plan in plans for move in plan.background]
        beside += [m for plan in plans if plan.checkpoints is not None for m in plan.checkpoints.drains]
        if beside:  # the last of them may begin as late as the last part of the job
            after += MESSAGES + self.seconds(beside)
        return Stages(before, after) if before or after else NO_STAGES

    def seconds(self, moves: Sequence[Move]) -> float:
        """Of moves that start together, until all have ended."""
        traffic = [move.traffic for move in moves]
        table = self._view.storages
        longest = self._on_routes(moves, self.routes) if self.routes is not None else 0.0
        for loads, bandwidths in (
            (by_source(traffic), table.read_bandwidths),
            (by_destination(traffic), table.write_bandwidths),
        ):
            for resource, size in loads.items():
                place = self._positions.get(resource)
                if place is not None and not np.isnan(bandwidths[place]):
                    longest = max(longest, size / float(bandwidths[place]))
        return longest

    def _paced(self, moves: Sequence[Move], limit: StagingLimit) -> float:
        """Of moves whose part of the machine is limited."""
        if limit == NO_LIMIT:
            return 0.0
        size = sum(int(move.traffic.sizes.sum()) for move in moves)
        return MESSAGES + limit.seconds(size, self.seconds(moves))

    def _on_routes(self, moves: Sequence[Move], routes: Routes) -> float:
        links = routes.platform.links
        loads: dict[int, int] = {}
        longest = 0.0
        moved = joined([move.traffic for move in moves])
        for source, destination, size in zip(
            moved.sources.tolist(), moved.destinations.tolist(), moved.sizes.tolist(), strict=True
        ):
            route, latency = routes.between(source, destination)
            longest = max(longest, 2 * latency * size / WINDOW)
            for link in route:
                if links[link].fatpipe:
                    longest = max(longest, latency + size / links[link].bandwidth)
                else:
                    loads[link] = loads.get(link, 0) + size
        slowest = max((size / links[link].bandwidth for link, size in loads.items()), default=0.0)
        latest = max((routes.between(s, d)[1] for s, d in _distinct(moved)), default=0.0)
        return max(longest, _work(moves, routes), slowest) + latest


def _work(moves: Sequence[Move], routes: Routes) -> float:
    """Seconds of the metadata operations that go with the moves."""
    flops: dict[int, float] = {}
    for move in moves:
        add_flops(flops, move.flops)
    speeds = {resource: routes.speed(resource) for resource in flops}
    return max((amount / speeds[r] for r, amount in flops.items() if speeds[r] > 0), default=0.0)


def _distinct(moved: Any) -> set[tuple[int, int]]:
    return set(zip(moved.sources.tolist(), moved.destinations.tolist(), strict=True))
