"""What the columns of job tables are called: a role for each, and the unit where a name or format tells one.

Names are compared in small letters without blanks, underscores and dots; of several present the first counts.
The names of each format are in docs/reference/job-logs.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batfs.errors import InputError, nearest, unknown
from batfs.workload.joblog.cells import UNITS

ALIASES: Final[Mapping[str, Sequence[str]]] = {
    "id": (
        *("JobIDRaw", "COBALT_JOBID", "job_id", "JobID", "id_job", "jid", "job_number", "job", "id"),
        *("job_name",),  # Alibaba PAI's jobs have no other
    ),
    "label": ("JobID",),  # beside JobIDRaw: 100_3 of an array, 200+1 of a heterogeneous job
    "array": ("id_array_job", "array_job_id"),
    "task": ("id_array_task", "array_task_id", "array_pos", "array_index"),
    "het": ("het_job_id", "pack_job_id"),
    "submit": (
        *("submit", "submit_time", "time_submit", "time_submission", "QUEUED_TIMESTAMP", "submission_time"),
        *("adt", "ctime", "submitted", "submitted_time", "subtime", "queue_date", "qtime", "qdt"),
        *("eligible", "eligible_time", "time_eligible"),
    ),
    "start": (
        *("Start", "start_time", "time_start", "START_TIMESTAMP", "sdt", "started", "start_date"),
        *("begin", "begin_time", "dispatch_time"),
    ),
    "end": (
        *(
            "End",
            "end_time",
            "time_end",
            "END_TIMESTAMP",
            "edt",
            "ended",
            "end_date",
            "finish",
            "finish_time",
        ),
        *("completed", "completion", "completion_time", "finished"),
    ),
    "elapsed": (
        *(
            "ElapsedRaw",
            "Elapsed",
            "time_elapsed",
            "run_time",
            "RUNTIME_SECONDS",
            "duration",
            "duration_seconds",
        ),
        *("walltime_used", "wallclock_used", "resources_used.walltime", "run_time_seconds", "runtime_s"),
    ),
    "time": ("TIME",),  # squeue's elapsed time
    "nodes": (
        *("AllocNodes", "NNodes", "NODES_USED", "num_nodes_alloc", "nodes_alloc", "nodes_allocated", "nnuma"),
        *("allocation_nodes", "allocated_nodes", "node_count", "node_num", "num_nodes", "nodect", "inst_num"),
        *("Resource_List.nodect", "num_hosts", "NodeCnt", "n_nodes", "nodes"),
    ),
    "nodes_requested": (
        *(
            "ReqNodes",
            "nodes_req",
            "NODES_REQUESTED",
            "num_nodes_req",
            "requested_nodes",
            "nnumr",
            "req_nodes",
        ),
        *("min_nodes",),
    ),
    "hosts": ("NodeList", "node_list", "exec_hosts", "NODELIST(REASON)", "node_ranges"),
    "tres": ("AllocTRES", "tres_alloc", "tres_alloc_str"),
    "processors": (
        *(
            "AllocCPUS",
            "NCPUS",
            "CORES_USED",
            "num_cores_alloc",
            "cpus_alloc",
            "cores_alloc",
            "cores_allocated",
        ),
        *("processors_used", "total_cores", "totalcores", "cpus_allocated", "cnumat", "cpu_num", "num_cpus"),
        *("num_procs", "num_cores", "ProcCnt", "cpus", "cores", "processors"),
    ),
    "processors_requested": (
        *(
            "ReqCPUS",
            "cpus_req",
            "processors_req",
            "CORES_REQUESTED",
            "num_cores_req",
            "requested_cores",
            "cnumr",
        ),
        *("processors_requested", "cores_req"),
    ),
    "limit": (
        *("TimelimitRaw", "Timelimit", "time_limit", "WALLTIME_SECONDS", "wallclock_req", "elpl"),
        *("requested_time", "requested_walltime", "Resource_List.walltime", "walltime_req", "req_walltime"),
        *("walltime", "walltime_requested", "wallclock_limit", "wallclock_limit_sec", "time_limit_seconds"),
        *("time_limit_s", "time_limit_minutes", "walltime_minutes", "walltime_hours", "limit", "wall_time"),
        *("requested_time_seconds", "requested_runtime", "runtime_requested"),
    ),
    "state": ("State", "job_state", "status", "exit state", "state_current", "ST", "end_state", "jobstatus"),
    "user": ("User", "user_name", "USERNAME_GENID", "user_id", "id_user", "usr", "UID", "uid", "owner"),
    "account": ("Account", "project", "PROJECT_NAME_GENID", "project_name", "account_name", "acct", "vc"),
    "name": ("JobName", "job_name", "name", "jnam", "JOB_NAME"),
    "queue": ("Partition", "QUEUE_NAME", "queue"),
    "cluster": ("Cluster", "MACHINE_NAME", "cluster_name"),
    "reads": ("io_reads", "reads", "read_bytes", "bytes_read"),
    "writes": ("io_writes", "writes", "written_bytes", "write_bytes", "bytes_written"),
}
NEEDED: Final = ("id", "submit")

# seconds of a bare number, by a column's name; None: it has to be said
_MINUTES: Final = ("timelimitraw", "timelimit")
_SECONDS: Final = (
    *(
        "wallclockreq",
        "elpl",
        "requestedtime",
        "resourcelistwalltime",
        "elapsedraw",
        "elapsed",
        "timeelapsed",
    ),
    *("runtime", "duration", "resourcesusedwalltime", "walltimeused", "wallclockused"),
)
_SUFFIXES: Final = (
    ("milliseconds", 1e-3),
    ("seconds", 1.0),
    ("minutes", 60.0),
    ("hours", 3600.0),
    ("secs", 1.0),
    ("sec", 1.0),
    ("mins", 60.0),
    ("min", 60.0),
)
_SHORT_SUFFIX: Final = re.compile(r"_(ms|s|m|h)$", re.IGNORECASE)


def plain_name(name: str) -> str:
    """The letters and digits of a column's name, small."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def unit_of(name: str) -> float | None:
    """Seconds of a bare number in the column ``name``; None where neither name nor format tells."""
    short = _SHORT_SUFFIX.search(name.strip())
    if short is not None:
        return UNITS[short[1].lower()]
    plain = plain_name(name)
    for suffix, seconds in _SUFFIXES:
        if plain.endswith(suffix):
            return seconds
    return 60.0 if plain in _MINUTES else 1.0 if plain in _SECONDS else None


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each role's cell is in a row, by position; ``names`` as the file has them.

    ``units``: seconds of a bare number in the columns of durations (None: it has to be said).
    """

    places: Mapping[str, int]
    names: Mapping[str, str]
    units: Mapping[str, float | None]

    def cell(self, row: Sequence[Any], role: str) -> Any:
        """The cell of ``role``, None where the table has no such column."""
        place = self.places.get(role)
        return None if place is None else row[place]


def assign(header: Sequence[str], given: Sequence[str] = (), *, hint: str | None = None) -> Columns:
    """The columns of a table with this ``header``; ``given``: the user's ``role=NAME`` or ``role=NAME:unit``.

    InputError where one that is needed can't be found, with what there is.
    """
    plain = [plain_name(name) for name in header]
    places: dict[str, int] = {}
    for role, names in ALIASES.items():
        place = next((plain.index(known) for name in names if (known := plain_name(name)) in plain), None)
        if place is not None:
            places[role] = place
    if "label" in places and places["label"] == places.get("id"):
        del places["label"]
    if "name" in places and places["name"] == places.get("id"):
        del places["name"]
    if "time" in places and ("elapsed" in places or "st" not in plain):
        del places["time"]  # TIME alone means anything
    if "queue" in places and plain[places["queue"]] == "queue" and "duration" in plain:
        del places["queue"]  # Helios and Acme: the seconds a job queued
    units: dict[str, float | None] = {}
    for role in ("elapsed", "limit"):
        if role in places:
            units[role] = unit_of(header[places[role]])
    if "timesubmission" in plain and plain[places.get("limit", 0)] == "timelimit":
        units["limit"] = 1.0  # Frontier's tables: seconds
    for word in given:
        _take(word, header, plain, places, units)
    _check(places, header, hint)
    return Columns(places, {role: header[place] for role, place in places.items()}, units)


def _take(
    word: str,
    header: Sequence[str],
    plain: Sequence[str],
    places: dict[str, int],
    units: dict[str, float | None],
) -> None:
    """One ``--column role=NAME[:unit]``."""
    role, equals, name = word.partition("=")
    role = role.strip().lower()
    if not equals or not name:
        raise InputError(f"--column {word!r} is not ROLE=NAME", hint=f"such as submit={header[0]}")
    if role not in ALIASES:
        raise unknown("role in --column", role, ALIASES)
    unit: float | None = None
    if plain_name(name) not in plain and ":" in name:
        name, _, unit_name = name.rpartition(":")
        if unit_name.lower() not in UNITS:
            raise unknown("unit in --column", unit_name, UNITS)
        unit = UNITS[unit_name.lower()]
    if plain_name(name) not in plain:
        close = nearest(name, header)
        raise InputError(
            f"--column {word!r}: there is no column {name!r}; found {', '.join(header)}",
            hint=f"did you mean {close!r}?" if close else None,
        )
    places[role] = plain.index(plain_name(name))
    if role in ("elapsed", "limit"):
        units[role] = unit_of(name) if unit is None else unit


def _check(places: Mapping[str, int], header: Sequence[str], hint: str | None) -> None:
    missing = [role for role in NEEDED if role not in places]
    if (
        not {"nodes", "nodes_requested", "processors", "processors_requested", "hosts", "tres"}
        & places.keys()
    ):
        missing.append("nodes")
    if "start" not in places and "time" not in places:
        missing.append("start")
    elif not {"end", "elapsed", "time"} & places.keys():
        missing.append("end")
    if missing:
        wanted = "; ".join(f"{role}: {', '.join(ALIASES[role][:6])}" for role in missing)
        found = ", ".join(name for name in header if name) or "none"
        raise InputError(
            f"a column is missing ({wanted}); found {found[:400]}",
            place="line 1",
            hint=hint or f"--column {missing[0]}=NAME says which one it is",
        )
