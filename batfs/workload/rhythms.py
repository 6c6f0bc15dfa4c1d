"""Jobs that compute, read and write over and over: how often, and how much each time. Named, seeded models.

A model is a callable ``(job, draws) -> Rhythm``; its options are the arguments of the factory registered
under its name. It draws from ``draws`` only, as the I/O models do (:mod:`batfs.workload.iomodels`). Others
can be given as ``file.py:Name`` or through the entry-point group ``batfs.rhythms``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from batfs.errors import InputError
from batfs.plugins import Bandwidth, Registry, Seconds, Size
from batfs.workload.draws import Draws
from batfs.workload.iomodels import JobShape
from batfs.workload.model import Composed, Workload
from batfs.workload.nominal import NominalTimes
from batfs.workload.phases import io_over_phases, with_io


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``count`` iterations: each reads ``reads`` bytes, computes for ``work`` seconds and writes ``writes``
    bytes, over all nodes. Before the first, ``first`` bytes are read (a restart). ``io_seconds``: what the
    I/O of an iteration takes alone, where the model goes by that; None where it depends on the machine."""

    count: int
    work: float
    reads: int = 0
    writes: int = 0
    first: int = 0
    io_seconds: float | None = None


class RhythmModel(Protocol):
    def __call__(self, job: JobShape, draws: Draws) -> Rhythm: ...


RHYTHMS: Final[Registry[Callable[..., RhythmModel]]] = Registry("rhythm", "batfs.rhythms")


def make_rhythm(spec: str) -> RhythmModel:
    """The model ``spec`` names, with its options: ``"hacc:every=10m"``."""
    model: RhythmModel = RHYTHMS.make(spec)
    return model


def _positive(model: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{name} of the rhythm {model!r} is {value:g}, expected more than 0")


@RHYTHMS.register("constant")
@dataclass(frozen=True, slots=True)
class Constant:
    """After every ``every`` seconds of computation each node writes ``writes`` bytes; before, it reads."""

    every: Seconds = 600.0
    reads: Size = 0
    writes: Size = 1_000_000_000

    def __post_init__(self) -> None:
        _positive("constant", every=self.every)

    def __call__(self, job: JobShape, draws: Draws) -> Rhythm:
        count = max(1, round(job.runtime / self.every))
        return Rhythm(count, job.runtime / count, self.reads * job.nodes, self.writes * job.nodes)


@RHYTHMS.register("io_sets")
@dataclass(frozen=True, slots=True)
class IoSets:
    """Applications of three frequencies of I/O, as those of IO-Sets.

    The characteristic time w of a job (from the beginning of one I/O phase to that of the next, alone on the
    machine) is normal around ``fast``, ``medium`` or ``slow`` seconds, which are drawn with the weights
    ``n_fast``, ``n_medium`` and ``n_slow``; its standard deviation is ``deviation`` times that. The share of
    I/O in w is normal around ``share`` with a standard deviation of ``share_deviation`` times that. Both are
    drawn again where they come out below a tenth of their mean or, the share, above 0.9. A job shorter than w
    does its I/O once.

    An iteration's bytes are what share x w seconds move at the job's own bandwidth: ``node_bandwidth`` times
    its nodes, ``bandwidth`` at most. ``reads``: the part of them that is read.

    Source: the way to draw them is that of the simulations in Boito, Pallez, Teylo, Vidal, "IO-Sets: simple
    and efficient approaches for I/O bandwidth management", IEEE TPDS 34(10), 2023: applications by
    characteristic time, from normal distributions a decade apart, and by the ratio of I/O. The default
    values are ours.
    """

    fast: Seconds = 10.0
    medium: Seconds = 100.0
    slow: Seconds = 1000.0
    n_fast: float = 1.0
    n_medium: float = 1.0
    n_slow: float = 1.0
    deviation: float = 0.1
    share: float = 0.1
    share_deviation: float = 0.25
    bandwidth: Bandwidth = 10e9
    node_bandwidth: Bandwidth = 1e9
    reads: float = 0.0

    def __post_init__(self) -> None:
        _positive("io_sets", fast=self.fast, medium=self.medium, slow=self.slow)
        _positive("io_sets", bandwidth=self.bandwidth, node_bandwidth=self.node_bandwidth)
        weights = (self.n_fast, self.n_medium, self.n_slow)
        if min(weights) < 0 or not sum(weights) > 0:
            raise InputError(f"the weights of the rhythm 'io_sets' are {weights}, expected one above 0")
        if not 0 < self.share <= 0.8 or not 0 <= self.reads <= 1:
            raise InputError(
                f"share and reads of the rhythm 'io_sets' are {self.share:g} and {self.reads:g}, expected "
                "more than 0 up to 0.8, and 0 to 1"
            )
        if not 0 <= self.deviation <= 1 or not 0 <= self.share_deviation <= 1:
            raise InputError("the deviations of the rhythm 'io_sets' are parts of their means, from 0 to 1")

    def __call__(self, job: JobShape, draws: Draws) -> Rhythm:
        mean = draws.pick((self.fast, self.medium, self.slow), (self.n_fast, self.n_medium, self.n_slow))
        period = min(_normal(draws, mean, self.deviation), float(job.runtime))
        share = _normal(draws, self.share, self.share_deviation, most=0.9)
        count = max(1, round(job.runtime / period))
        seconds = share * period
        size = round(seconds * min(self.bandwidth, self.node_bandwidth * job.nodes))
        read = round(size * self.reads)
        return Rhythm(count, period - seconds, read, size - read, io_seconds=seconds)


def _normal(draws: Draws, mean: float, deviation: float, most: float = float("inf")) -> float:
    while True:
        value = mean * (1.0 + deviation * draws.normal())
        if 0.1 * mean <= value <= most:
            return value


@RHYTHMS.register("hacc")
@dataclass(frozen=True, slots=True)
class Hacc:
    """Checkpoints as HACC writes them: 38 bytes for each particle, after every ``every`` seconds.

    A particle is seven floats of 4 bytes (position, velocity, potential), an id of 8 and a mask of 2. Each of
    ``processes`` processes of a node has as many particles as are drawn, log-normal around ``particles`` with
    ``sigma`` (0: always as many). With the probability ``restart`` a job begins by reading a checkpoint.

    Source: HACC-IO, the I/O kernel of the Hardware/Hybrid Accelerated Cosmology Code (V. Vishwanath, Argonne
    National Laboratory, in the CORAL benchmarks), whose only parameter is the particles of a process.
    """

    every: Seconds = 600.0
    particles: float = 5e6
    sigma: float = 0.0
    processes: int = 16
    restart: float = 0.0

    def __post_init__(self) -> None:
        _positive("hacc", every=self.every, particles=self.particles, processes=self.processes)
        if self.sigma < 0 or not 0 <= self.restart <= 1:
            raise InputError(
                f"sigma and restart of the rhythm 'hacc' are {self.sigma:g} and {self.restart:g}, expected "
                "0 or more, and 0 to 1"
            )

    def __call__(self, job: JobShape, draws: Draws) -> Rhythm:
        particles = round(draws.lognormal(self.particles, self.sigma))
        size = 38 * particles * self.processes * job.nodes
        first = size if draws.chance(self.restart) else 0
        count = max(1, round(job.runtime / self.every))
        return Rhythm(count, job.runtime / count, writes=size, first=first)


@RHYTHMS.register("recorded")
@dataclass(frozen=True, slots=True)
class Recorded:
    """The rhythms of recorded jobs: of those in ``file`` one is drawn for each job.

    ``file`` is a workload that was made by ``batfs workload from-darshan --compute iterations`` (or
    ``phases``), or any with composed jobs whose phases have I/O. A job takes over the seconds of computation
    of an iteration and the bytes of an iteration and node; how often depends on its own run time. ``speed``:
    flop/s for which the file was made.
    """

    file: str
    speed: float = 1e9
    _found: Sequence[tuple[float, float, float]] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        from batfs.workload.batsim import read_workload

        _positive("recorded", speed=self.speed)
        found = rhythms_of(read_workload(Path(self.file)), self.speed)
        if not found:
            raise InputError(
                "no composed job with I/O in its phases, whose rhythm could be drawn",
                file=self.file,
                hint="batfs workload from-darshan --compute iterations makes such workloads",
            )
        object.__setattr__(self, "_found", found)

    def __call__(self, job: JobShape, draws: Draws) -> Rhythm:
        work, reads, writes = draws.pick(self._found, [1.0] * len(self._found))
        count = max(1, round(job.runtime / work)) if work > 0 else 1
        read, written = round(reads * job.nodes), round(writes * job.nodes)
        return Rhythm(count, job.runtime / count, read, written)


def rhythms_of(workload: Workload, speed: float) -> list[tuple[float, float, float]]:
    """(seconds of computation, bytes read and bytes written by each node) of an iteration, of each job whose
    phases have I/O. Iterations are the times that it writes, or reads if it never writes."""
    found: list[tuple[float, float, float]] = []
    times_alone = NominalTimes(workload.profiles, speed)
    for job in workload.jobs:
        profile = workload.profiles[job.profile]
        if not isinstance(profile, Composed):
            continue
        parts = io_over_phases(profile, workload.profiles)
        reads, writes = sum(part.reads for part in parts), sum(part.writes for part in parts)
        count = 0
        for _, child, times in with_io(profile, workload.profiles):
            own = io_over_phases(child, workload.profiles)
            if child is not profile and any(part.writes if writes else part.reads for part in own):
                count += times
        if count:
            work = times_alone.seconds(job.profile, job.requested_nodes)
            each = count * job.requested_nodes
            found.append((work / count, reads / each, writes / each))
    return found
