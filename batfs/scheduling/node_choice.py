"""Nodes for one job by a selection that looks at where its data and its space are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batfs.protocol.messages import Resource
from batfs.scheduling.interface import NodeSet, WaitingJob
from batfs.scheduling.machine import FileSystems, Machine
from batfs.scheduling.nearness import Home, NodeView, Patience, Whereabouts
from batfs.scheduling.nodes import checked


class NodeChoice:
    """The selection ``machine.near`` and what it is shown. A view is made for each choice: nothing is kept
    but the patience of jobs."""

    def __init__(
        self, machine: Machine, files: FileSystems, compute: Sequence[Resource], storages: Sequence[Resource]
    ) -> None:
        self._machine = machine
        self._files = files
        self._selection: Any = machine.near
        self._where = Whereabouts(compute, storages, machine.order)
        self._near = getattr(self._selection, "near", None)
        self.patience = Patience(getattr(self._selection, "patience", 0.0))

    def choose(self, job: WaitingJob, free: NodeSet, begin: float) -> NodeSet | None:
        """Nodes of ``free`` for the job from ``begin`` on."""
        view, kind = self._view(job, free, begin), type(self._selection)
        found: NodeSet | None
        if kind.__module__.startswith("batfs."):
            found = self._selection.choose(view)
        else:
            found = checked(self._selection.choose, kind.__name__, (view,), free, job.nodes)
        return found

    def lets_wait(self, job: WaitingJob, chosen: NodeSet, free: NodeSet, now: float) -> bool:
        """Whether the job, which could start on ``chosen`` now, rather waits for nearer ones."""
        if not self.patience.seconds or self._near is None or not job.volumes:
            return False
        view = self._view(job, free, now)
        return self.patience.lets_wait(job.id, chosen, self._near(view), view, now)

    def _view(self, job: WaitingJob, free: NodeSet, begin: float) -> NodeView:
        where, machine = getattr(self._files, "where", None), self._machine
        data: dict[int, int] = {}
        homes: list[Home] = []
        if job.volumes:
            for volume in job.volumes:
                if where is not None and volume.reads and volume.options:
                    for storage, size in where(volume).items():
                        data[storage] = data.get(storage, 0) + size
            footprint = self._files.footprint(job.volumes, job.nodes)
            near = [(name, self._where.homes[name]) for name in footprint if name in self._where.homes]
            if near:
                room = machine.view.free(begin, begin + job.walltime)
                for name, storages in near:
                    need = -(-footprint[name] // job.nodes)
                    for nodes, ids in storages.items():
                        there = sum(max(0, int(room[machine.position[i]])) for i in ids)
                        homes.append(Home(nodes, there, need))
        return NodeView(free, job.nodes, machine.all, self._where.of(data), _together(homes))


def _together(homes: Sequence[Home]) -> Sequence[Home]:
    """One home for the same nodes: that of the file system with least room for the job."""
    found: dict[NodeSet, Home] = {}
    for home in homes:
        known = found.get(home.nodes)
        if known is None or home.fits(home.nodes) < known.fits(home.nodes):
            found[home.nodes] = home
    return list(found.values())
