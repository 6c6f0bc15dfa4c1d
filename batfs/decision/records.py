"""The scheduler's own output files: who read and wrote what where, and how full each storage was.

``<prefix>_io_jobs.csv`` has a row per (job, file system), written when the job is over;
``<prefix>_storage_states.csv`` a row per change of a storage, ``<prefix>_waits.csv`` one per job and cause
of its waiting, ``<prefix>_io_times.csv`` one per job whose transfers an I/O policy decided on,
``<prefix>_data_sets.csv`` one per data set.
docs/reference/outputs.md explains the columns.
Rows are written as they come, into files that take their names only when the run has succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO

from batfs._core.sheets import Sheet, ids_text, sizes_text
from batfs.files import writing
from batfs.filesystems.data_sets import SetRow
from batfs.filesystems.interface import IoPlan, Move, PhaseVolume, Volume, phase_of, ways
from batfs.filesystems.traffic import by_destination, by_source, total
from batfs.records import field, record
from batfs.scheduling.observer import JobRecord, Observer, StorageState
from batfs.scheduling.waits import CAUSES, OF_SPACE, by_file_system
from batfs.storage.interface import StorageTable
from batfs.texts import csv_field

if TYPE_CHECKING:
    from batfs.scheduling.io_times import IoTimes

IO_JOBS_COLUMNS = (
    "job_id",
    "workload_name",
    "file_system",
    "storages",
    "read_bytes",
    "written_bytes",
    "read_by_storage",
    "written_by_storage",
    "internal_bytes",
    "staged_bytes",
    "io_resources",
    "storage_waiting_time",
    "hold_reason",
    "allocated_resources",
    "alone_time",
    *(f"wait_{cause}" for cause in CAUSES),
)
STORAGE_STATES_COLUMNS = (
    "time",
    "storage",
    "name",
    "filesystem",
    "capacity",
    "reserved_bytes",
    "used_bytes",
    "active_transfers",
)
IO_TIMES_COLUMNS = (
    *("job_id", "workload_name", "nodes", "start", "end", "transfers", "moved_bytes"),
    *("work", "alone", "blocked", "held", "io_slowdown", "stretch"),
)
DATA_SETS_COLUMNS = (
    *("data_set", "file_system", "bytes", "held_bytes", "owner", "created", "last_read"),
    *("read_bytes", "written_bytes", "ended", "why", "by"),
)
WAITS_COLUMNS = ("job_id", "workload_name", "cause", "file_system", "seconds")

# enough for one write call per few hundred rows
_BUFFERED = 512


def io_jobs_path(prefix: str | Path) -> Path:
    return Path(f"{prefix}_io_jobs.csv")


def storage_states_path(prefix: str | Path) -> Path:
    return Path(f"{prefix}_storage_states.csv")


@record(frozen=False, eq=False)
class _Sheet:
    """One of the files: what is still to be written to it, and the file when it is open."""

    path: Path
    columns: Sequence[str]
    rows: Sheet = field(default_factory=Sheet)
    file: TextIO | None = None

    def open(self, stack: ExitStack) -> None:
        self.file = stack.enter_context(writing(self.path, keep_partial=True))
        self.file.write(",".join(self.columns) + "\n")

    def flush(self, least: int = 0) -> None:
        """What is buffered goes to the file, if that is so many lines."""
        if self.file is not None and self.rows.lines >= least:
            self.file.write(self.rows.take())


class Recorder(Observer):
    """Writes the files; a context manager. On an exception what was written stays as ``.partial``.

    ``alone`` says how long a job's task takes alone on the machine (without it, or where it has no answer,
    the column stays empty).
    """

    def __init__(self, prefix: str | Path, alone: Callable[[JobRecord], float | None] | None = None) -> None:
        self._alone = alone
        self._stack = ExitStack()
        self._fixed: list[str] = []
        self._jobs = _Sheet(io_jobs_path(prefix), IO_JOBS_COLUMNS)
        self._states = _Sheet(storage_states_path(prefix), STORAGE_STATES_COLUMNS)
        # these appear with their first rows
        self._waits = _Sheet(Path(f"{prefix}_waits.csv"), WAITS_COLUMNS)
        self._times = _Sheet(Path(f"{prefix}_io_times.csv"), IO_TIMES_COLUMNS)
        self._sets = _Sheet(Path(f"{prefix}_data_sets.csv"), DATA_SETS_COLUMNS)
        self._sheets = (self._jobs, self._states, self._waits, self._times, self._sets)

    def __enter__(self) -> Recorder:
        with ExitStack() as stack:
            self._jobs.open(stack)
            self._states.open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.flush()
        except BaseException as failed:  # none of them is whole then
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)
        for sheet in self._sheets:
            if kind is None and sheet.file is None:
                # one of an earlier run under this prefix would be taken for ours
                sheet.path.unlink(missing_ok=True)

    def flush(self) -> None:
        """What is buffered goes to the files."""
        for sheet in self._sheets:
            sheet.flush()

    @property
    def paths(self) -> list[Path]:
        """The files that are written; that of waits only where a job without I/O had to wait, that of times
        only where transfers are measured, that of data sets where there were some."""
        return [sheet.path for sheet in self._sheets if sheet.file is not None]

    def _add(self, sheet: _Sheet, rows: Iterable[str]) -> None:
        if sheet.file is None:
            sheet.open(self._stack)
        for row in rows:
            sheet.rows.add(row)
        sheet.flush(_BUFFERED)

    # ---- told by the scheduler ----------------------------------------------------------------------------

    def begins(self, storages: StorageTable, ids: Sequence[int]) -> None:
        self._fixed = [
            f",{i},{csv_field(s.name)},{csv_field(s.filesystem)},{s.capacity},"
            for i, s in zip(ids, storages, strict=True)
        ]
        # the state before anything happens, so that plots have a first point
        self._states.rows.storages(0.0, self._fixed, [(place, 0, 0, 0) for place in range(len(ids))])

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        sheet = self._states
        if sheet.rows.storages(now, self._fixed, states) >= _BUFFERED:
            sheet.flush()

    def job_over(self, record: JobRecord) -> None:
        alone = None if self._alone is None else self._alone(record)
        sheet = self._jobs
        lines = sheet.rows.io_job(record, alone, _CAUSES, OF_SPACE, Volume)
        if not lines:
            self._add(sheet, io_rows(record, "" if alone is None else f"{alone:.6f}"))
        elif lines >= _BUFFERED:
            sheet.flush()
        if record.io_times is not None:
            self._add(self._times, [times_row(record, record.io_times)])

    def waiter_over(self, record: JobRecord) -> None:
        self._add(self._waits, wait_rows(record))

    def data_set_over(self, row: SetRow) -> None:
        self._add(self._sets, [set_row(row)])


def io_rows(record: JobRecord, alone: str = "") -> list[str]:
    """The lines of one job: one per volume, or one with empty columns for a rejected job without I/O."""
    job = record.job
    workload, _, name = job.id.partition("!")
    head = f"{csv_field(name)},{csv_field(workload)}"
    systems = [volume.filesystem for volume in record.volumes]
    names = list(dict.fromkeys(systems or [""]))
    tails = _tails(record, names, alone)
    phased = any(type(volume) is PhaseVolume for volume in record.volumes)
    if not record.plans:
        return [
            f"{head},{csv_field(name)},,0,0,,,0,0,{tail}" for name, tail in zip(names, tails, strict=True)
        ]
    if phased or len(names) < len(systems):
        return [f"{head},{row},{tail}" for row, tail in zip(joined_rows(record), tails, strict=True)]
    rows: list[str] = []
    for volume, plan, tail in zip(record.volumes, record.plans, tails, strict=True):
        held = {p.storage for p in plan.placements}
        if record.moved:
            reads = by_source(plan.reads)
            writes = by_destination(plan.writes)
            moved = (
                f"{volume.reads},{volume.writes},{sizes_text(reads)},{sizes_text(writes)},"
                f"{total(plan.internal) if plan.internal else 0},{staged_bytes(plan)}"
            )
            held |= reads.keys() | writes.keys()
        else:
            moved = "0,0,,,0,0"
        storages = ids_text(sorted(held))
        rows.append(f"{head},{csv_field(plan.file_system)},{storages},{moved},{tail}")
    return rows


def _tails(record: JobRecord, names: Sequence[str], alone: str) -> list[str]:
    """What a row for each of these file systems ends with: what the job waited for on its account. The
    reason of a lack of space stands where the space was lacking, that of a rejection in each row."""
    if not record.waits:
        waits = _NO_WAIT if record.waits_known else _UNKNOWN
        waited = f"{record.storage_waiting_time:.6f},{csv_field(record.reason)}"
        return [f"{record.io_resources},{waited},{record.nodes},{alone}{waits}\n"] * len(names)
    tails = []
    for mine in by_file_system(record.waits, names):
        lacked = sum(mine.get(cause, 0.0) for cause in OF_SPACE)
        reason = csv_field(record.reason) if lacked or not record.ids else ""
        waits = _UNKNOWN
        if record.waits_known:
            waits = _WAITS % tuple([mine.get(cause, 0.0) for cause in CAUSES])
        tails.append(f"{record.io_resources},{lacked:.6f},{reason},{record.nodes},{alone}{waits}\n")
    return tails


_CAUSES: Final = tuple(CAUSES)
_NO_WAIT: Final = ",0.000000" * len(CAUSES)
_UNKNOWN: Final = "," * len(CAUSES)
_WAITS: Final = ",%.6f" * len(CAUSES)


def times_row(record: JobRecord, times: IoTimes) -> str:
    """What became of a job's transfers, in one line; empty where nothing was moved."""
    workload, _, name = record.job.id.partition("!")
    t = times
    seconds = ",".join(f"{value:.6f}" for value in (t.work, t.alone, t.blocked, t.held))
    ratios = ",".join("" if ratio is None else f"{ratio:.6f}" for ratio in (t.slowdown, t.stretch))
    head = f"{csv_field(name)},{csv_field(workload)},{t.nodes},{t.began:.6f},{t.end:.6f}"
    return f"{head},{t.transfers},{t.moved},{seconds},{ratios}\n"


def set_row(row: SetRow) -> str:
    """A data set in one line; a time that never was is empty."""
    created, read, ended = (
        "" if at is None else f"{at:.6f}" for at in (row.created, row.last_read, row.ended)
    )
    head = f"{csv_field(row.name)},{csv_field(row.filesystem)},{row.size},{row.held},{csv_field(row.owner)}"
    traffic = f"{row.read_bytes},{row.written_bytes}"
    return f"{head},{created},{read},{traffic},{ended},{csv_field(row.why)},{csv_field(row.by)}\n"


def wait_rows(record: JobRecord) -> list[str]:
    """What the job waited for: a line for each cause, and for each file system that lacked space."""
    workload, _, name = record.job.id.partition("!")
    head = f"{csv_field(name)},{csv_field(workload)}"
    return [
        f"{head},{cause},{csv_field(system)},{seconds:.6f}\n"
        for (cause, system), seconds in record.waits.items()
    ]


def joined_rows(record: JobRecord) -> list[str]:
    """A job with several volumes on a file system (entries of its list, or phases of a composed one): a row
    per file system, over all of them and all executions of a phase. Staging is done once."""
    of: dict[str, list[tuple[Volume, IoPlan]]] = {}
    for volume, plan in zip(record.volumes, record.plans, strict=True):
        of.setdefault(plan.file_system, []).append((volume, plan))
    rows: list[str] = []
    for name, parts in of.items():
        held = {p.storage for _, plan in parts for p in plan.placements}
        reads: dict[int, int] = {}
        writes: dict[int, int] = {}
        internal = staged = 0
        for volume, plan in parts if record.moved else ():
            for times, way in ways(volume, plan):
                for sums, found in (
                    (reads, by_source(way.reads)),
                    (writes, by_destination(way.writes)),
                ):
                    for storage, size in found.items():
                        sums[storage] = sums.get(storage, 0) + times * size
                internal += times * total(way.internal)
            staged += staged_bytes(plan, phase_of(volume)[1])
        moved = (
            f"{sum(reads.values())},{sum(writes.values())},{sizes_text(dict(sorted(reads.items())))},"
            f"{sizes_text(dict(sorted(writes.items())))},{internal},{staged}"
        )
        storages = ids_text(sorted(held | reads.keys() | writes.keys()))
        rows.append(f"{csv_field(name)},{storages},{moved}")
    return rows


def staged_bytes(plan: IoPlan, times: int = 1) -> int:
    """Bytes of stage-ins, stage-outs and drains, all checkpoints included; ``times``: how often the phase
    runs that the plan is for, which is staged once."""
    moves: list[Move] = [*plan.stage_in, *plan.stage_out]
    staged = total([move.traffic for move in moves]) if moves else 0
    staged += times * total([move.traffic for move in plan.background]) if plan.background else 0
    if plan.checkpoints is not None:
        staged += times * plan.checkpoints.times * total([move.traffic for move in plan.checkpoints.drains])
    return staged
