"""Files that stay: the data sets of one file system, whatever its model.

A data set has a name, a size, a place (its parts), an owner and a life. This is the book of them: what is
there, who uses it, when it goes and why. How its bytes are placed and read is in ``set_plans``; the rules are
in docs/guides/data-sets.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from batfs.errors import InputError, unknown
from batfs.filesystems.interface import IoPlan, IoRequest, SetChange, SetPart, Volume, earlier
from batfs.records import field, record
from batfs.units import parse_size, parse_time

if TYPE_CHECKING:
    from batfs.filesystems.purge import PurgePolicy

#: What an entry of a profile's ``io`` may say of its data set, on every model.
OPTIONS: Final = ("data_set", "size", "life", "missing", "write", "delete", "pin")
FILL, ERROR, WAIT = "fill", "error", "wait"
RULES: Final = (FILL, ERROR, WAIT)
APPEND, OVERWRITE, REPLACE = "append", "overwrite", "replace"
WAYS: Final = (APPEND, OVERWRITE, REPLACE)
JOB, CAMPAIGN, DELETED = "job", "campaign", "deleted"
LIVES: Final = (JOB, CAMPAIGN, DELETED)
#: Why a job is held back whose data set isn't there; a word of batfs's own.
MISSING: Final = "DataSet"


@record
class SetRequest:
    """What an entry says of its data set. ``size``: bytes of the set when the job has run (None: by what it
    moves). ``life``: one of LIVES, or the simulated second at which it goes; None if not said."""

    name: str
    size: int | None = None
    life: str | float | None = None
    missing: str | None = None
    write: str = APPEND
    delete: bool = False
    pin: bool = False


def names_a_set(volume: Volume) -> bool:
    """Whether the bytes are those of a data set."""
    return bool(volume.options) and bool(volume.options.get("data_set"))


def keeps(model: object, volume: Volume) -> bool:
    """Whether the volume's bytes are a data set that lies on this very file system."""
    return names_a_set(volume) and bool(getattr(model, "keeps", _never)(volume))


def _never(volume: Volume) -> bool:
    return False


def makes_set(volume: Volume, asked: SetRequest) -> bool:
    """Whether the set exists when a job that asks for this has succeeded: it writes to it, or it names it and
    neither reads nor deletes it."""
    return bool(volume.writes) or not (volume.reads or asked.delete)


def options_of_piece(options: Mapping[str, Any], done: int, size: int, total: int) -> Mapping[str, Any]:
    """Options of an entry whose ``total`` bytes are written in pieces, for the one of ``size`` bytes after
    ``done``: together the pieces leave the set as the whole would."""
    way, given = options.get("write"), options.get("size")
    if way == OVERWRITE and given is None:
        return {**options, "size": done + size}
    if way == REPLACE and given is not None:
        whole = read_size(given)  # the first piece has some of it
        return {**options, "size": -(-whole * (done + size) // total) + (-whole * done // total)}
    return options


def set_request(options: Mapping[str, Any]) -> SetRequest:
    """The data set of an entry with these options. InputError for a value that is none, or for an option of a
    data set where none is named."""
    name = options.get("data_set", "")
    if not isinstance(name, str):
        raise InputError(f"data_set is {name!r}, expected a name")
    if not name:
        for key in OPTIONS[1:]:
            if key in options:
                raise InputError(f"{key!r} without a 'data_set'")
        return SetRequest("")
    for key in ("delete", "pin"):
        if not isinstance(options.get(key, False), bool):
            raise InputError(f"{key} is {options[key]!r}, expected true or false")
    missing, way = options.get("missing"), options.get("write", APPEND)
    if missing is not None and missing not in RULES:
        raise unknown("value of 'missing'", str(missing), RULES)
    if way not in WAYS:
        raise unknown("value of 'write'", str(way), WAYS)
    size = None if options.get("size") is None else read_size(options["size"])
    return SetRequest(
        name,
        size,
        None if options.get("life") is None else read_life(options["life"]),
        missing,
        way,
        options.get("delete", False),
        options.get("pin", False),
    )


def read_size(value: Any) -> int:
    """Whole bytes, as a number or with a unit. InputError if it is neither."""
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise InputError(f"size is {value!r}, expected bytes, 0 or more")
    if value != int(value):
        raise InputError(f"size is {value!r}, expected whole bytes")
    return int(value)


def read_life(value: Any) -> str | float:
    """One of LIVES, or a time (s). InputError if it is neither."""
    if isinstance(value, str):
        if value in LIVES:
            return value
        try:
            return parse_time(value)
        except InputError:
            raise unknown("life of a data set", value, (*LIVES, "a time in seconds")) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise InputError(f"life is {value!r}, expected {', '.join(LIVES)} or a time in seconds")
    return float(value)


def bytes_on(parts: Iterable[SetPart]) -> dict[int, int]:
    """What these parts hold on each storage, copies and all."""
    out: dict[int, int] = {}
    for part in parts:
        for storage, size in part.held.items():
            out[storage] = out.get(storage, 0) + size
    return out


@record(frozen=False, eq=False)
class DataSet:
    """Bytes that outlive their job. ``there``: whether it exists for those who ask (its writer has
    succeeded, or it was there before). ``created``: when it came to be (s); None: before the simulation, or
    not yet. ``read``, ``used``: when last; ``users``: jobs that use it now."""

    name: str
    filesystem: str = ""
    owner: str = ""
    campaign: str = ""
    life: str | float = DELETED
    parts: list[SetPart] = field(default_factory=list)
    there: bool = False
    created: float | None = None
    read: float | None = None
    used: float = 0.0
    users: set[str] = field(default_factory=set)
    pinned: bool = False
    read_bytes: int = 0
    written_bytes: int = 0
    largest: tuple[int, int] = (0, 0)

    @property
    def size(self) -> int:
        """Its bytes, once each."""
        return sum(part.size for part in self.parts)

    def bytes_on(self) -> dict[int, int]:
        """What it holds on each storage, copies and all."""
        return bytes_on(self.parts)

    @property
    def purgeable(self) -> bool:
        """Whether a purge policy may take it."""
        return self.there and not self.users and not self.pinned and self.life != JOB


@record
class SetRow:
    """One data set for the records: its largest size and what it held at most (bytes), what was read and
    written of it (traffic, bytes), and its times (s; None: never, or before the simulation). ``why`` it
    ended, and ``by`` which job; both empty while it is there."""

    name: str
    filesystem: str
    size: int
    held: int
    owner: str
    created: float | None
    last_read: float | None
    read_bytes: int
    written_bytes: int
    ended: float | None
    why: str
    by: str


class Timer:
    """When sets go by themselves, over all file systems of a machine: ``next`` (s)."""

    def __init__(self) -> None:
        self.next = inf
        self.now = 0.0  # as of the last job that named a set
        self._heap: list[tuple[float, str, str]] = []

    def add(self, at: float, filesystem: str, name: str) -> None:
        heapq.heappush(self._heap, (at, filesystem, name))
        self.next = self._heap[0][0]

    def due(self, now: float) -> Iterator[tuple[str, str]]:
        """(file system, data set) of those whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            _, filesystem, name = heapq.heappop(self._heap)
            self.next = self._heap[0][0] if self._heap else inf
            yield filesystem, name


@record(frozen=False)
class _Use:
    """What one job does to data sets until it ends. ``coming``: parts that take the place of all others when
    it succeeds."""

    sets: list[DataSet] = field(default_factory=list)
    reads: list[DataSet] = field(default_factory=list)
    makes: list[DataSet] = field(default_factory=list)
    written: list[tuple[DataSet, SetPart]] = field(default_factory=list)
    over: list[DataSet] = field(default_factory=list)
    coming: list[tuple[DataSet, list[SetPart]]] = field(default_factory=list)
    deletes: list[DataSet] = field(default_factory=list)
    takes_along: list[DataSet] = field(default_factory=list)


class DataSets:
    """The book of one file system. ``missing``: what becomes of a job that reads a set which isn't there:
    ``fill`` (it was there before the simulation), ``error`` (the job never runs) or ``wait``. ``assumed``:
    every set is taken to be there (to ask what a machine could ever hold)."""

    def __init__(self, filesystem: str) -> None:
        self.filesystem = filesystem
        self.missing = FILL
        self.purge: PurgePolicy | None = None
        self.timer = Timer()
        self.assumed = False
        self.foreseen: dict[str, int] = {}  # sizes as entries of a job leave them, for those after them
        self.sets: dict[str, DataSet] = {}
        self.leaving: list[DataSet] = []  # their names are gone, somebody still uses their bytes
        self.forgetters: list[Callable[[str], None]] = []  # told of each name that goes
        self.news: set[str] = set()  # what has changed since somebody who waits has looked
        self._uses: dict[str, _Use] = {}
        self._trials: dict[str, list[IoPlan]] = {}
        self._versions: dict[str, int] = {}
        self._released: list[str] = []
        self._rows: list[SetRow] = []

    # ---- what plans see -----------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Whether a job that asks for it finds it."""
        found = self.sets.get(name)
        return found is not None and found.there

    def comes(self, name: str, job_id: str) -> bool:
        """Whether it will exist as soon as a job that starts before this one in the same pass does: that one
        takes it to have been there."""
        return any(
            change.name == name and change.filled
            for other, plans in self._trials.items()
            if other != job_id
            for plan in plans
            for change in plan.changes
        )

    def version(self, name: str) -> int:
        """Counts the changes of a set; never twice the same for two states of it."""
        return self._versions.get(name, 0)

    def seen(self, name: str, request: IoRequest) -> list[SetPart]:
        """The parts of a set as a plan for ``request`` finds them: those that are there or being written,
        those that earlier phases of the job add, and those of jobs that start before it in the same pass."""
        found = self.sets.get(name)
        parts = [] if found is None else list(found.parts)
        for plan in earlier(request, self.filesystem):
            parts += _added(plan, name)
        for job_id, plans in self._trials.items():
            if job_id != request.job_id:
                for plan in plans:
                    parts += _added(plan, name)
        return parts

    def key(self, name: str) -> str:
        """What the keys of its parts in the books begin with."""
        return f"{self.filesystem}/{name}"

    # ---- jobs ---------------------------------------------------------------------------------------------

    def tried(self, request: IoRequest, plan: IoPlan) -> None:
        """See ``FileSystemModel.tried``."""
        if plan.changes:
            self._trials.setdefault(request.job_id, []).append(plan)

    def untried(self, job_id: str) -> None:
        self._trials.pop(job_id, None)

    def started(self, request: IoRequest, plan: IoPlan, now: float, campaign: str = "") -> None:
        """The job begins: what the plan adds is on the books; a fill is there at once."""
        self.timer.now = now
        asked = set_request(request.volume.options)
        changes = plan.changes or (SetChange(asked.name),)
        for change in changes:
            self._begin(request, asked, change, now, campaign)

    def _begin(
        self, request: IoRequest, asked: SetRequest, change: SetChange, now: float, campaign: str
    ) -> None:
        job, volume = request.job_id, request.volume
        found = self.sets.get(asked.name)
        if found is None:
            if not change.filled and not change.written and not change.makes:
                return  # nothing to read, nothing to delete
            owner = "" if change.filled else job
            found = self.sets[asked.name] = DataSet(asked.name, self.filesystem, owner, campaign)
        use = self._uses.setdefault(job, _Use())
        use.sets.append(found)
        found.users.add(job)
        found.used = now
        found.pinned = found.pinned or asked.pin
        found.read_bytes += change.reads
        found.written_bytes += change.writes
        if change.reads or volume.reads:
            found.read = now
            use.reads.append(found)
        if change.filled:
            found.parts += change.filled
            found.there = True
            self._changed(found)
        if change.replaces and change.continues:
            use.coming[-1][1].extend(change.written)
        elif change.replaces:
            use.coming.append((found, [*change.written]))
        else:
            found.parts += change.written
            use.written += [(found, part) for part in change.written]
            if change.written:
                self._changed(found)
        if change.over:
            use.over.append(found)
        if change.makes:
            use.makes.append(found)
        if asked.delete:
            use.deletes.append(found)
        if asked.life is not None:
            self._live(found, asked.life, job)
        self._schedule(found)

    def _live(self, found: DataSet, life: str | float, job: str) -> None:
        found.life = life
        if life == JOB:
            self._uses[job].takes_along.append(found)

    def ended(self, job_id: str, success: bool, now: float) -> None:
        """What a job that failed has written goes, half written as it is; so does a set that it was
        overwriting. What it only read, or what was there before it appended, stays."""
        use = self._uses.pop(job_id, None)
        if use is None:
            return
        for found in use.sets:
            found.users.discard(job_id)
            found.used = now
        for found in use.reads:
            found.read = now
        if success:
            self._succeeded(use, now, job_id)
        else:
            self._failed(use, now, job_id)
        for found in use.takes_along:
            if self.sets.get(found.name) is found and found.life == JOB:
                self.drop(found.name, now, JOB, job_id)
        for found in use.sets:
            self._schedule(found)
        for found in [one for one in self.leaving if not one.users]:
            self.leaving.remove(found)
            self._release(found)

    def _succeeded(self, use: _Use, now: float, job_id: str) -> None:
        for found, parts in use.coming:
            for part in found.parts:
                self._released += part.keys(self.key(found.name))
            found.parts[:] = parts
            self._changed(found)
        for found in use.makes:
            if not found.there:
                found.there, found.created = True, now
            self._changed(found)
        for found in use.deletes:
            if self.sets.get(found.name) is found:
                self.drop(found.name, now, DELETED, job_id)

    def _failed(self, use: _Use, now: float, job_id: str) -> None:
        for found, parts in use.coming:
            for part in parts:
                self._released += part.keys(self.key(found.name))
        for found, part in use.written:
            if part in found.parts:
                found.parts.remove(part)
                self._released += part.keys(self.key(found.name))
                self._changed(found)
        for found in use.over:
            if self.sets.get(found.name) is found:
                self.drop(found.name, now, "torn", job_id)
        for found in use.sets:
            gone = not found.there and not found.parts and not found.users
            if gone and self.sets.get(found.name) is found:
                self.drop(found.name, now, "failed", job_id)

    def lay(self, found: DataSet) -> None:
        """It lies there when the simulation begins, on the books already."""
        self.sets[found.name] = found
        self._changed(found)
        self._schedule(found)

    # ---- its end ------------------------------------------------------------------------------------------

    def drop(self, name: str, now: float, why: str, by: str = "") -> int:
        """The set is gone: its name at once, its bytes when nobody uses them any more. Its bytes held."""
        found = self.sets.pop(name)
        self._changed(found)
        held = sum(found.bytes_on().values())
        self._rows.append(self._row(found, now, why, by))
        if found.users:
            self.leaving.append(found)
        else:
            self._release(found)
        for forget in self.forgetters:
            forget(name)
        return held

    def _release(self, found: DataSet) -> None:
        for part in found.parts:
            self._released += part.keys(self.key(found.name))
        found.parts.clear()

    def time_has_come(self, name: str, now: float) -> bool:
        """A set may be due: by its life, or by the age at which it is purged. Whether it has gone."""
        found = self.sets.get(name)
        if found is None:
            return False
        if isinstance(found.life, float) and found.life <= now:
            self.drop(name, now, "time")
            return True
        if self.purge is not None and found.purgeable and self.purge.due(found.used) <= now:
            self.drop(name, now, f"purged ({self.purge.name})")
            return True
        return False

    def erased(self, storages: Collection[int]) -> None:
        """What lay there is gone: copies, or parts of which some bytes did, and a set without any."""
        for found in [*self.sets.values(), *self.leaving]:
            parts = list(found.parts)
            for part in parts:
                self._released += part.erase(self.key(found.name), storages)
                if part.size and not part.held:
                    found.parts.remove(part)
            if len(found.parts) < len(parts):
                self._changed(found)
            if parts and not found.parts and self.sets.get(found.name) is found:
                self.drop(found.name, self.timer.now, "lost")

    def end_campaign(self, campaign: str, now: float) -> None:
        """No job of it is left."""
        for found in [one for one in self.sets.values() if one.life == CAMPAIGN]:
            if found.campaign == campaign:
                self.drop(found.name, now, CAMPAIGN)

    def oldest(self) -> list[DataSet]:
        """Those that may be purged, least recently used first."""
        found = [one for one in self.sets.values() if one.purgeable]
        return sorted(found, key=lambda one: one.used)

    def released(self) -> list[str]:
        """Keys whose bytes go now; each is named once."""
        out, self._released = self._released, []
        return out

    def give_back(self, keys: Sequence[str]) -> None:
        """These keys go: copies that a model no longer wants."""
        self._released += keys

    # ---- records ------------------------------------------------------------------------------------------

    def rows(self) -> list[SetRow]:
        """Of those that have ended since this was asked last."""
        out, self._rows = self._rows, []
        return out

    def rows_left(self) -> list[SetRow]:
        """Of those that are there."""
        return [self._row(found, None, "", "") for found in self.sets.values()]

    def _row(self, found: DataSet, ended: float | None, why: str, by: str) -> SetRow:
        self._measure(found)
        size, held = found.largest
        return SetRow(
            *(found.name, self.filesystem, size, held, found.owner, found.created, found.read),
            *(found.read_bytes, found.written_bytes, ended, why, by),
        )

    # ---- inside -------------------------------------------------------------------------------------------

    def _measure(self, found: DataSet) -> None:
        size, held = found.largest
        found.largest = max(size, found.size), max(held, sum(found.bytes_on().values()))

    def changed(self, name: str) -> None:
        """Where a set lies has changed by the model's own doing."""
        self._versions[name] = self._versions.get(name, 0) + 1

    def _changed(self, found: DataSet) -> None:
        self.changed(found.name)
        self.news.add(found.name)
        self._measure(found)

    def _schedule(self, found: DataSet) -> None:
        """When it goes by itself, to the timer."""
        if self.sets.get(found.name) is not found or found.users:
            return
        at = found.life if isinstance(found.life, float) else inf
        if self.purge is not None and found.purgeable:
            at = min(at, self.purge.due(found.used))
        if at < inf:
            self.timer.add(at, self.filesystem, found.name)


def _added(plan: IoPlan, name: str) -> list[SetPart]:
    return [
        part
        for change in plan.changes
        if change.name == name
        for part in (*change.filled, *(() if change.replaces else change.written))
    ]
