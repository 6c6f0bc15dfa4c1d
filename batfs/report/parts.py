"""Jobs that run in steps: which rows of ``jobs.csv`` are a user's jobs and which are steps of theirs.

With dynamic jobs, what a job's I/O does beside the job itself (staging, phases, checkpoints and the parts of
the computation between them, drains) and what file systems move for themselves (replication, balancing) are
jobs of a workload of their own, ``batfs``, named ``<workload>.<job>.<number>.<kind>``. No user has submitted
them, so they are no jobs here: a job begins when its nodes are first held for it and ends when they are given
back, whatever ran on them meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from batfs.filesystems.script import APART, WORKLOAD
from batfs.report.extras import pd, typed_table

COMPUTE: Final = "compute"
_SUCCESS: Final = "COMPLETED_SUCCESSFULLY"
MOVES_DTYPES: Final = {
    "job": "str",
    "kind": "str",
    "starting_time": "float64",
    "finish_time": "float64",
    "execution_time": "float64",
    "final_state": "str",
    "allocated_resources": "str",
}


def job_keys(table: pd.DataFrame) -> pd.Series[str]:
    """``workload!id`` of each row: how a job is called across tables."""
    found: pd.Series[str] = table["workload_name"] + "!" + table["job_id"]
    return found


def split_steps(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(the users' jobs, the steps) of a ``jobs.csv``; the index of both counts from 0.

    A job's ``starting_time`` is that of its first step and its ``finish_time`` that of the last one that held
    its nodes; waiting, turnaround and stretch follow. A job that was cut into parts (its own row is a
    rejection) gets the state and the nodes of its parts. Steps: ``job`` (``workload!id``; empty for what
    file systems do for themselves), ``kind``, times, ``final_state``, ``allocated_resources``.
    """
    ours = table["workload_name"] == WORKLOAD
    if not ours.any():
        return table, typed_table(MOVES_DTYPES)
    jobs, steps = table[~ours].reset_index(drop=True), table[ours].reset_index(drop=True)
    keys = job_keys(jobs).tolist()
    rows = {key.replace("!", ".", 1): row for row, key in enumerate(keys)}
    owners: list[str] = []
    kinds: list[str] = []
    of_job: dict[int, list[int]] = {}
    for step, name in enumerate(steps["job_id"].tolist()):
        owner, _, kind = name.rpartition(".")
        row = rows.get(owner.rpartition(".")[0])
        owners.append("" if row is None else keys[row])
        kinds.append(kind)
        if row is not None:
            of_job.setdefault(row, []).append(step)
    columns = {
        name: steps[name].tolist()
        for name in ("starting_time", "finish_time", "final_state", "allocated_resources")
    }
    values: dict[str, list[Any]] = {
        name: jobs[name].tolist()
        for name in (*columns, "success", "execution_time", "waiting_time", "turnaround_time", "stretch")
    }
    submitted = jobs["submission_time"].tolist()
    for row, mine in of_job.items():
        _fold(row, submitted[row], values, columns, [s for s in mine if kinds[s] not in APART], kinds)
    jobs = jobs.assign(**{name: pd.Series(column, dtype=jobs[name].dtype) for name, column in values.items()})
    moves = steps.assign(job=pd.Series(owners, dtype="str"), kind=pd.Series(kinds, dtype="str"))
    return jobs, moves[list(MOVES_DTYPES)]


def _fold(
    row: int,
    submitted: float,
    values: dict[str, list[Any]],
    columns: dict[str, list[Any]],
    held: Sequence[int],
    kinds: Sequence[str],
) -> None:
    """Put the steps ``held`` that held a job's nodes into its row."""
    ran = [s for s in held if columns["starting_time"][s] == columns["starting_time"][s]]  # not NaN
    parts = [s for s in ran if kinds[s] == COMPUTE]
    started, ended = values["starting_time"][row], values["finish_time"][row]
    whole = started == started
    if not ran or not (whole or parts):
        return  # it never came to run
    begin = min(columns["starting_time"][s] for s in ran)
    end = max(columns["finish_time"][s] for s in ran)
    if whole:
        begin, end = min(begin, started), max(end, ended)
    else:
        in_order = sorted(ran, key=lambda s: (columns["finish_time"][s], s))
        states = [columns["final_state"][s] for s in in_order]
        state = next((word for word in states if word != _SUCCESS), _SUCCESS)
        values["final_state"][row] = state
        values["success"][row] = int(state == _SUCCESS)
        values["allocated_resources"][row] = columns["allocated_resources"][parts[0]]
    values["starting_time"][row] = begin
    values["finish_time"][row] = end
    values["execution_time"][row] = end - begin
    values["waiting_time"][row] = begin - submitted
    values["turnaround_time"][row] = end - submitted
    values["stretch"][row] = (end - submitted) / (end - begin) if end > begin else values["stretch"][row]


def moves_by_kind(moves: pd.DataFrame) -> list[tuple[str, int, float, float]]:
    """(kind, how many, mean and longest duration in seconds) of the steps, kinds in order of name."""
    found: list[tuple[str, int, float, float]] = []
    for kind, group in moves.groupby("kind", sort=True) if len(moves) else ():
        times = group["execution_time"].dropna()
        mean, longest = (float(times.mean()), float(times.max())) if len(times) else (0.0, 0.0)
        found.append((str(kind), len(group), mean, longest))
    return found
