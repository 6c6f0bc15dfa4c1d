"""What a file-system model is asked and what it answers.

A model turns "this job, on these nodes, reads and writes so many bytes" into *placements* (bytes to hold
on storages), *transfers* (bytes between resource ids while the job runs) and *stage moves* (before and
after it). It never looks at the queue. Ids are Batsim's resource ids throughout.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from batfs.protocol.messages import Resource
from batfs.storage.interface import StorageView


@dataclass(frozen=True, slots=True)
class Volume:
    """What one job asks of one file system: whole bytes, over all its nodes together."""

    filesystem: str
    reads: int
    writes: int
    files: int = 1
    pattern: str = "shared"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IoRequest:
    """One job on its nodes (ascending ids), and its window of time for the reservations."""

    job_id: str
    nodes: Sequence[int]
    volume: Volume
    start: float
    end: float = float("inf")


@dataclass(frozen=True, slots=True)
class Transfer:
    """``size`` whole bytes from resource ``source`` to resource ``destination``."""

    source: int
    destination: int
    size: int


@dataclass(frozen=True, slots=True)
class Placement:
    """``size`` bytes held on the storage with resource id ``storage`` for the job."""

    storage: int
    size: int


@dataclass(frozen=True, slots=True)
class Move:
    """A stage move (a dynamic job): ``when`` is ``before``, ``after`` or ``during`` (drain) the job."""

    source: int
    destination: int
    size: int
    when: str


@dataclass(frozen=True, slots=True)
class IoPlan:
    """What the model decided. ``reads``/``writes`` say which transfers carry the job's own bytes;
    ``internal`` transfers (replication, redirection) are accounted apart."""

    placements: Sequence[Placement] = ()
    reads: Sequence[Transfer] = ()
    writes: Sequence[Transfer] = ()
    internal: Sequence[Transfer] = ()
    flops: Mapping[int, float] = field(default_factory=dict)
    moves: Sequence[Move] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a plan can't be made now: ``reason`` is a word (``StorageCapacity``, ``BurstBufferResources``),
    ``storages`` the ids short of space, ``missing`` the bytes missing. ``never`` if it can never fit."""

    reason: str
    storages: Sequence[int] = ()
    missing: int = 0
    never: bool = False


Outcome: TypeAlias = IoPlan | Hold


class FileSystemModel(Protocol):
    """One file system of the machine under one model."""

    name: str
    storages: Sequence[Resource]

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome: ...
