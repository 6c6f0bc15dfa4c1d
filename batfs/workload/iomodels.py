"""How many bytes a job reads and writes, when nobody recorded it: named, seeded models.

A model is a callable ``(job, draws) -> (bytes read, bytes written)``; its options are the arguments of the
factory registered under its name. It draws from ``draws`` only, so a trace and a seed give the same volumes
everywhere. Others can be given as ``file.py:Name`` or through the entry-point group ``batfs.io_models``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
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

    The share is exponential, cut at 1, with the given ``mean``: its rate is solved for, so that the shares
    drawn have that mean. Above one half the density rises towards 1 instead; with 1 all of the time is I/O.
    """

    bandwidth: Bandwidth = 1e8
    mean: float = 0.1
    reads: float | None = None
    _rate: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        _check_share("reads", self.reads)
        if not 0 < self.mean <= 1:
            raise InputError(f"mean is {self.mean}, expected a share above 0 and up to 1")
        if self.mean < 1:
            object.__setattr__(self, "_rate", rate_of_share(self.mean))

    def __call__(self, job: JobShape, draws: Draws) -> Volumes:
        share = 1.0 if self.mean == 1 else draws.share(self._rate)
        return _split(share * job.runtime * job.nodes * self.bandwidth, draws, self.reads)


def rate_of_share(mean: float) -> float:
    """The rate of the exponential cut at 1 that has this ``mean``, above 0 and below 1; negative above 1/2.

    The mean at rate r is 1/r - 1/(e^r - 1), which falls from 1/2 at 0 and is below 1/r; at -r it is one minus
    that at r.
    """
    if mean > 0.5:
        return -rate_of_share(1.0 - mean)
    if mean > 0.5 - 1e-6:
        return 12.0 * (0.5 - mean)  # where the two terms would cancel: their series
    low, high = 0.0, 1.0 / mean
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return middle
        # above 700 the second term is below any float's reach
        if 1.0 / middle - (1.0 / math.expm1(middle) if middle < 700 else 0.0) > mean:
            low = middle
        else:
            high = middle
