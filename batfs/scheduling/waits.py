"""What every job waits for: each second of its wait has one cause, and they add up.

A job that a pass has tried to start and that lacked something waits for that: nodes, space in a file
system (or the stage-out of a job that has ended and still holds it), or nodes promised to another. It does so
until it is tried again, or passed over when something had been given back. A job that was not tried is
*behind*: it waits for whatever the first job of the queue waits for. The causes are a registry,
:data:`CAUSES`; what else can make jobs wait registers its own.

Costs: a pass pays for the jobs it has tried. The others share one account of what the first of the queue
waited for over time, of which each keeps how it stood when it fell behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from batfs._core.waiting import Accounts
from batfs.errors import InputError
from batfs.filesystems.data_sets import MISSING
from batfs.filesystems.interface import Hold
from batfs.records import field, record


@record
class Cause:
    """Why jobs wait: what a table calls it, and what it means."""

    title: str
    about: str


CAUSES: Final[dict[str, Cause]] = {}


def register_cause(name: str, title: str, about: str) -> str:
    """Add a cause; its seconds are the column ``wait_<name>`` of io_jobs.csv. InputError for a name that is
    taken."""
    if name in CAUSES:
        raise InputError(f"the cause of waiting {name!r} is there already")
    CAUSES[name] = Cause(title, about)
    return name


NODES: Final = register_cause("nodes", "nodes", "tried, and too few nodes were free")
STORAGE: Final = register_cause("storage", "storage", "tried, and a file system lacked space for its bytes")
PROMISE: Final = register_cause(
    "promise", "a promise to another job", "what it needs was free, but promised to a job before it"
)
BEHIND_NODES: Final = register_cause(
    "behind_nodes", "behind a job that waits for nodes", "not tried: the first of the queue lacked nodes"
)
BEHIND_STORAGE: Final = register_cause(
    "behind_storage", "behind a job that waits for storage", "not tried: the first of the queue lacked space"
)
POLICY: Final = register_cause(
    "policy", "the queue policy", "neither it nor the first of the queue was tried: the policy's own decision"
)
STAGING: Final = register_cause(
    "staging",
    "space being staged out",
    "tried, and a file system lacked space that jobs which have ended still hold for their stage-out",
)
UNAVAILABLE: Final = register_cause(
    "unavailable", "what has failed", "tried, and what it lacked would be there but for a fault"
)
STAGE_IN: Final = register_cause(
    "stage_in",
    "its data (BurstBufferStageIn)",
    "its data is brought to it before it has nodes, or waits for its turn",
)
LOCALITY: Final = register_cause(
    "locality", "nodes near its data", "nodes were free, but others are nearer to its data (patience)"
)
DEPENDENCY: Final = register_cause(
    "dependency", "data sets that others write", "a data set that it reads didn't exist yet (missing: wait)"
)
#: The causes that are a lack of space; each is charged to the file system that lacked it.
OF_SPACE: Final = (STORAGE, STAGING)

#: A cause and the file system it is about (empty where it is about none).
Key: TypeAlias = tuple[str, str]
#: Not enough free nodes; the word is Slurm's.
LACK_OF_NODES: Final = Hold("Resources")
#: Its data isn't there yet; the word is Slurm's.
NO_DATA: Final = Hold("BurstBufferStageIn")
#: For a job that waits for nearer nodes than those that are free.
FAR: Final = Hold("Locality")
#: For nodes kept for another job; a word of its own, so that it isn't taken for a lack of nodes.
PROMISED: Final = Hold("Reservation")

_CHARGED: Final = (*OF_SPACE, UNAVAILABLE)
_BEHIND: Final = (*_CHARGED, BEHIND_STORAGE)


@record
class Waited:
    """The wait of a job that is over: seconds by cause and file system, and the last reason that was
    space."""

    seconds: Mapping[Key, float] = field(default_factory=dict)
    hold: Hold | None = None


NO_WAIT: Final = Waited()


class Waits(Accounts):
    """``filesystem_of`` names the file system of a storage, by its resource id. ``staged_out`` says whether
    what is missing is held by jobs that have ended and are being staged out, ``failed`` whether what a job
    lacks would be there but for a fault. ``kept``: whether passes are told at all: a proxy has none."""

    def __init__(
        self,
        filesystem_of: Callable[[int], str],
        staged_out: Callable[[Hold], bool] = lambda hold: False,
        failed: Callable[[Hold, Any], bool] = lambda hold, job: False,
    ) -> None:
        super().__init__((POLICY, ""), OF_SPACE, DEPENDENCY, Waited, NO_WAIT)
        self._failed = failed
        self._filesystem_of = filesystem_of
        self._staged_out = staged_out

    def _key(self, hold: Hold, job: Any) -> Key:
        if hold is PROMISED:
            return PROMISE, ""
        if hold is NO_DATA:
            return STAGE_IN, ""
        if hold is FAR:
            return LOCALITY, ""
        if hold.reason == MISSING:
            return DEPENDENCY, ""
        failed = self._failed(hold, job)
        if hold is LACK_OF_NODES:
            return UNAVAILABLE if failed else NODES, ""
        cause = UNAVAILABLE if failed else STAGING if self._staged_out(hold) else STORAGE
        return cause, self._filesystem_of(hold.storages[0]) if hold.storages else ""

    def _behind(self, key: Key) -> Key:
        cause, system = key
        of_space = cause in _BEHIND and (system or cause != UNAVAILABLE)
        return BEHIND_STORAGE if of_space else BEHIND_NODES, system


def by_file_system(seconds: Mapping[Key, float], systems: Sequence[str]) -> list[dict[str, float]]:
    """Seconds by cause for each of a job's rows, one per file system: a lack of space goes to the row of
    the system that lacked it, all else to the first; together they are the job's wait."""
    rows: list[dict[str, float]] = [{} for _ in systems]
    for (cause, system), amount in seconds.items():
        place = systems.index(system) if cause in _CHARGED and system in systems else 0
        rows[place][cause] = rows[place].get(cause, 0.0) + amount
    return rows
