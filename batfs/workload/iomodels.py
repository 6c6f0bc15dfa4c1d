"""How many bytes a job reads and writes, when nobody recorded it: named, seeded models.

A model is a callable ``(job, draws) -> (bytes read, bytes written)``; its options are the arguments of the
factory registered under its name. It draws from ``draws`` only, so a trace and a seed give the same volumes
everywhere. Others can be given as ``file.py:Name`` or through the entry-point group ``batfs.io_models``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from batfs.errors import InputError
from batfs.plugins import Bandwidth, Registry, Size
from batfs.workload.draws import Draws


@dataclass(frozen=True, slots=True)
class JobShape:
    """What a model may look at: ``nodes`` used and the ``runtime`` in seconds."""

    nodes: int
    runtime: float


Volumes: TypeAlias = tuple[int, int]


class IoModel(Protocol):
    def __call__(self, job: JobShape, draws: Draws) -> Volumes: ...


IO_MODELS: Final[Registry[Callable[..., IoModel]]] = Registry("I/O model", "batfs.io_models")


def make_io_model(spec: str) -> IoModel:
    """The model ``spec`` names, with its options: ``"lognormal:median=2GB,sigma=1.5"``."""
    model: IoModel = IO_MODELS.make(spec)
    return model


def _split(volume: float, draws: Draws, reads: float | None) -> Volumes:
    """``volume`` bytes as (read, written); without a fixed share, most jobs mostly read or mostly write."""
    share = draws.arcsine() if reads is None else reads
    read = round(volume * share)
    return read, round(volume) - read


def _at_most(value: float, most: float | None) -> float:
    return value if most is None else min(value, most)


def _check_share(name: str, share: float | None) -> None:
    if share is not None and not 0 <= share <= 1:
        raise InputError(f"{name} is {share}, expected a share from 0 to 1")


@IO_MODELS.register("none")
@dataclass(frozen=True, slots=True)
class NoIo:
    """No I/O at all."""

    def __call__(self, job: JobShape, draws: Draws) -> Volumes:
        return 0, 0


@IO_MODELS.register("constant")
@dataclass(frozen=True, slots=True)
class Constant:
    """``reads`` and ``writes`` bytes for each node, always the same."""

    reads: Size = 0
    writes: Size = 0

    def __call__(self, job: JobShape, draws: Draws) -> Volumes:
        return self.reads * job.nodes, self.writes * job.nodes


@IO_MODELS.register("lognormal")
@dataclass(frozen=True, slots=True)
class Lognormal:
    """Bytes for each node log-normal around ``median``, whatever the run time.

    Volumes per job spread over many orders of magnitude in every Darshan study (Luu et al., HPDC 2015),
    which a log-normal follows. The defaults are fitted to the burst-buffer requests per node of Kopanski and
    Rzadca's workload (Euro-Par 2021; KTH-SP2, first part): mean of ln 20.54, standard deviation 2.42, never
    more than 40 GB (``most``).
    """

    median: Size = 830_000_000
    sigma: float = 2.42
    reads: float | None = None
    probability: float = 1.0
    most: Size | None = 40_000_000_000

    def __post_init__(self) -> None:
        _check_share("reads", self.reads)
        _check_share("probability", self.probability)

    def __call__(self, job: JobShape, draws: Draws) -> Volumes:
        if not draws.chance(self.probability):
            return 0, 0
        per_node = _at_most(draws.lognormal(self.median, self.sigma), self.most)
        return _split(job.nodes * per_node, draws, self.reads)


@IO_MODELS.register("rate")
@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes per node and second of run time log-normal around ``median``: long jobs move more."""

    median: Bandwidth = 2e6
    sigma: float = 1.5
    reads: float | None = None
    probability: float = 1.0
    most: Bandwidth | None = None

    def __post_init__(self) -> None:
        _check_share("reads", self.reads)
        _check_share("probability", self.probability)

    def __call__(self, job: JobShape, draws: Draws) -> Volumes:
        if not draws.chance(self.probability):
            return 0, 0
        rate = _at_most(draws.lognormal(self.median, self.sigma), self.most)
        return _split(job.nodes * job.runtime * rate, draws, self.reads)


@IO_MODELS.register("time_share")
@dataclass(frozen=True, slots=True)
class TimeShare:
    """A share of each job's time is I/O at ``bandwidth`` per node: volume = share x time x nodes x bandwidth.

    The share is exponential with the given ``mean``, drawn again above 1.
    """

    bandwidth: Bandwidth = 1e8
    mean: float = 0.1
    reads: float | None = None

    def __post_init__(self) -> None:
        _check_share("reads", self.reads)
        if not 0 < self.mean <= 1:
            raise InputError(f"mean is {self.mean}, expected a share above 0 and up to 1")

    def __call__(self, job: JobShape, draws: Draws) -> Volumes:
        share = draws.exponential(self.mean)
        while share > 1:
            share = draws.exponential(self.mean)
        return _split(share * job.runtime * job.nodes * self.bandwidth, draws, self.reads)
