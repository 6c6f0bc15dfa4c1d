"""Jobs and profiles as typed records: what a workload asks for.

Readers (Batsim JSON, traces) make these; the simulator executes them; the protocol carries them.
Field names are batfs's own; the JSON names of Batsim stand in each docstring.

``extra`` holds every JSON member that has no field here: those Batsim doesn't know (``io_reads``), and an
optional one that was written out although it has its default value (``"repeat": 1``). A number keeps the kind
it was written in (4 stays an int, 4.0 a float). So a record can be turned back into the very object
it was read from, which is what Batsim forwards to its scheduler.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from batfs._core.arrays import Doubles, np, shown
from batfs._core.arrays import FloatArray as FloatArray
from batfs._core.arrays import IntArray as IntArray
from batfs._core.flows import IoProfile as IoProfile
from batfs.records import record

Json: TypeAlias = Any

# What ``extra`` is when there is nothing extra: one object shared by millions of records, never changed.
NO_EXTRA: Mapping[str, Json] = {}


@record
class Delay:
    """``delay``: sleep ``duration`` seconds (> 0), no resources used."""

    duration: float
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


class _Numbers:
    """The numbers of a :class:`Parallel` that was read: arrays of numpy's are made when somebody asks."""

    __slots__ = ("_read",)
    _read: tuple[array[float], array[float]]

    def __getattr__(self, name: str) -> FloatArray:
        if name not in ("cpu", "com"):  # of the fields only these may be without a value
            raise AttributeError(name)
        cpu, com = self._read
        found = shown(cpu) if name == "cpu" else shown(com).reshape(len(cpu), len(cpu))
        setattr(self, name, found)
        return found


@record(eq=False)
class Parallel(_Numbers):
    """``parallel``: ``cpu`` float64[n] flops, ``com`` float64[n, n] bytes, row -> column.

    ``integers`` remembers how the numbers were written (Batsim forwards integers as integers): one byte
    per number, ``cpu`` first, then ``com`` row by row, 1 for an integer; empty when all were doubles.
    ``absent``: the one that wasn't written at all (Batsim 5 lets leave out either); it is all zeros here.
    """

    cpu: FloatArray
    com: FloatArray
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0
    integers: bytes = b""
    absent: str = ""

    @classmethod
    def read(
        cls, cpu: array[float], com: array[float], extra: Mapping[str, Json] = NO_EXTRA, **more: Any
    ) -> Parallel:
        """One of numbers that are not in numpy's arrays, ``com`` row by row."""
        later: Any = None
        made = cls(later, later, extra, **more)
        del made.cpu, made.com
        made._read = cpu, com
        return made

    @property
    def size(self) -> int:
        """n."""
        return len(self._read[0] if hasattr(self, "_read") else self.cpu)

    @property
    def numbers(self) -> tuple[Doubles, Doubles]:
        """``cpu`` and ``com``, in whatever array they are, the latter row by row."""
        if hasattr(self, "_read"):
            return self._read
        return np.ascontiguousarray(self.cpu), np.ascontiguousarray(self.com).ravel()


@record
class ParallelHomogeneous:
    """``parallel_homogeneous``: ``cpu`` flops per node, ``com`` bytes per ordered pair of distinct nodes."""

    cpu: float
    com: float
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


@record
class ParallelHomogeneousTotal:
    """``parallel_homogeneous_total``: cpu/n per node, com/n per ordered pair."""

    cpu: float
    com: float
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


@record
class ParallelHomogeneousSpread:
    """Batsim 5's homogeneous task with amounts that are spread uniformly: cpu/n per node, com/(n² - n) per
    ordered pair. Batsim 4 has no such profile."""

    cpu: float
    com: float
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


#: A task whose executors all do the same.
Homogeneous: TypeAlias = ParallelHomogeneous | ParallelHomogeneousTotal | ParallelHomogeneousSpread
HOMOGENEOUS = (ParallelHomogeneous, ParallelHomogeneousTotal, ParallelHomogeneousSpread)


def of_each(profile: Homogeneous, executors: int) -> tuple[float, float]:
    """Flops of each executor, and bytes between each ordered pair of them."""
    if type(profile) is ParallelHomogeneousTotal:
        return profile.cpu / executors, profile.com / executors
    if type(profile) is ParallelHomogeneousSpread:
        pairs = executors * executors - executors
        return profile.cpu / executors, profile.com / pairs if pairs else 0.0
    return float(profile.cpu), float(profile.com)


@record
class ParallelHomogeneousPfs:
    """``parallel_homogeneous_pfs``: bytes read and written by each node from and to the storage ``label``.

    ``amounts`` says otherwise for Batsim 5's ``ParallelTaskOnStorageHomogeneousProfile``: with ``"spread"``
    they are what all nodes together read and write; with ``"read"`` each node writes as much as it reads,
    whatever ``bytes_to_write`` says (5.0.0-rc2 with its default strategy).
    """

    bytes_to_read: float
    bytes_to_write: float
    label: str = "pfs"
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0
    amounts: str = "each"

    def of_each(self, executors: int) -> tuple[float, float]:
        """Bytes that each node reads, and that each writes."""
        if self.amounts == "spread":
            return self.bytes_to_read / executors, self.bytes_to_write / executors
        if self.amounts == "read":
            return float(self.bytes_to_read), float(self.bytes_to_read)
        return float(self.bytes_to_read), float(self.bytes_to_write)


@record
class DataStaging:
    """``data_staging``: ``size`` bytes from the storage labelled ``source`` to ``destination``."""

    size: float
    source: str
    destination: str
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


@record
class Composed:
    """``composed``: the profiles named in ``sequence`` in order, the whole list ``repeat`` times."""

    sequence: tuple[str, ...]
    repeat: int = 1
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


@record
class Send:
    """``send``: FROM_JOB_MSG with ``message``, then sleep ``sleep_time`` seconds."""

    message: Json
    sleep_time: float = 1e-7
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


@record
class Recv:
    """``recv``: poll for a message matching ``regex``, then run ``success``, ``failure`` or ``timeout``."""

    regex: str = ".*"
    success: str = ""
    failure: str = ""
    timeout: str = ""
    poll_time: float = 0.005
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


@record
class UsageTrace:
    """``usage_trace``: ``m_usage u f`` actions; ``trace`` is a file that lists one trace file per rank.

    The path is relative to the workload's folder. A type Batsim doesn't know but that has a ``trace``
    is run as this one, as Batsim does; its own ``type`` is then in ``extra``.
    """

    trace: str
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


@record
class Smpi:
    """``smpi``: a replay of MPI traces. batfs carries it for Batsim's sake; its simulator refuses it."""

    trace: str
    extra: Mapping[str, Json] = NO_EXTRA
    ret: int = 0


Profile: TypeAlias = (
    Delay
    | Parallel
    | ParallelHomogeneous
    | ParallelHomogeneousTotal
    | ParallelHomogeneousSpread
    | ParallelHomogeneousPfs
    | DataStaging
    | Composed
    | Send
    | Recv
    | UsageTrace
    | Smpi
)


@record
class Job:
    """One job. ``id`` is Batsim's full id ``workload!name``; ``extra`` holds members Batsim doesn't know."""

    id: str
    submission_time: float
    requested_nodes: int
    profile: str
    walltime: float | None = None
    extra: Mapping[str, Json] = NO_EXTRA

    @property
    def workload(self) -> str:
        return self.id.partition("!")[0]

    @property
    def name(self) -> str:
        return self.id.partition("!")[2]


@record
class Workload:
    """A named set of jobs in submission order (submission time, then full id) and their profiles.

    ``removed_profiles``: names of the file that no job and no composed profile refers to. As in Batsim they
    are not in ``profiles``, but their names are taken. ``generation``: 4 or 5, whose file this is.
    ``trace_flops``: the factor on the flops of the traces that it names, which is applied when it is written.
    """

    name: str
    nb_res: int
    jobs: Sequence[Job]
    profiles: Mapping[str, Profile]
    path: str = ""
    extra: Mapping[str, Json] = NO_EXTRA
    removed_profiles: Sequence[str] = ()
    generation: int = 4
    trace_flops: float = 1.0
