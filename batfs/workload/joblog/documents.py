"""Job tables that aren't text: JSON (Slurm's ``--json``, records, columns, a record a line) and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from batfs.errors import InputError, MissingExtraError
from batfs.workload.joblog.columns import ALIASES, plain_name
from batfs.workload.joblog.rows import Row, Table

_SLURM: Final = (
    *(
        "id",
        "label",
        "het",
        "submit",
        "start",
        "end",
        "elapsed",
        "nodes",
        "hosts",
        "processors",
        "limit",
        "state",
    ),
    *("user", "account", "name", "queue", "cluster"),
)
_SLURM_GIVEN: Final = (*(f"{role}={role}" for role in _SLURM), "elapsed=elapsed:s", "limit=limit:minutes")


def parse_json(data: bytes) -> Any:
    """A JSON document, or the list of a file with one object a line; InputError when it is neither."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        problem = InputError(
            f"malformed JSON: {error.msg}", place=f"line {error.lineno}, column {error.colno}"
        )
    rows: list[Any] = []
    for line in data.split(b"\n"):
        if line.strip():
            try:
                rows.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                rows.append(None)
    if sum(isinstance(row, dict) for row in rows) * 2 < len(rows) or len(rows) < 2:
        raise problem
    return rows


def read_json(document: Any) -> Table:
    """The jobs of a JSON document; InputError where it holds none."""
    if isinstance(document, dict) and isinstance(document.get("jobs"), list) and _is_slurm(document["jobs"]):
        return _slurm(document["jobs"])
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list) and value]
        if document and all(isinstance(value, dict) for value in document.values()):  # pandas: columns
            document = _by_column(document)
        elif len(lists) == 1 and all(isinstance(row, dict) for row in lists[0]):
            document = lists[0]
    if not isinstance(document, list) or not any(isinstance(row, dict) for row in document):
        raise InputError("a JSON document without a list of jobs")
    if _is_slurm(document):
        return _slurm(document)
    header = list(dict.fromkeys(key for row in document if isinstance(row, dict) for key in row))

    def rows() -> Iterator[Row]:
        for number, row in enumerate(document):
            if isinstance(row, dict):
                yield Row(number, [row.get(key) for key in header])
            else:
                yield Row(number, (), "not an object")

    return Table("JSON records", header, rows(), records="jobs")


def _by_column(document: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    keys = list(dict.fromkeys(key for column in document.values() for key in column))
    return [{name: column.get(key) for name, column in document.items()} for key in keys]


def _is_slurm(jobs: Sequence[Any]) -> bool:
    first = next((job for job in jobs if isinstance(job, dict)), {})
    return "job_id" in first and (
        isinstance(first.get("time"), dict) or isinstance(first.get("job_state"), list)
    )


def _slurm(jobs: Sequence[Any]) -> Table:
    """``sacct --json`` and ``squeue --json``, whose numbers may be ``{"set": true, "number": 5}``."""

    def rows() -> Iterator[Row]:
        for number, job in enumerate(jobs):
            if not isinstance(job, dict):
                yield Row(number, (), "not an object")
                continue
            time = _inner(job, "time") or job
            het = _inner(job, "het") or job
            state = job.get("state", job.get("job_state"))
            if isinstance(state, dict):
                state = state.get("current")
            nodes = _number(job.get("allocation_nodes"))
            cells = (
                _number(job.get("job_id")),
                _label(job),
                _number(het.get("het_job_id") if het is job else het.get("job_id")),
                _number(time.get("submission", time.get("submit_time"))),
                _number(time.get("start", time.get("start_time"))),
                _number(time.get("end", time.get("end_time"))),
                _number(time.get("elapsed")),
                _number(job.get("node_count")) if nodes is None else nodes,
                job.get("nodes") if isinstance(job.get("nodes"), str) else None,
                _processors(job),
                _number(time.get("limit", time.get("time_limit"))),
                state,
                job.get("user") or job.get("user_name"),
                job.get("account"),
                job.get("name"),
                job.get("partition"),
                job.get("cluster"),
            )
            yield Row(number, cells)

    return Table("Slurm's --json", _SLURM, rows(), _SLURM_GIVEN, slurm=True, records="jobs")


def _inner(job: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = job.get(key)
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> Any:
    """A plain number, or the one inside Slurm's object; None where it isn't set or infinite."""
    if isinstance(value, dict):
        return value.get("number") if value.get("set", True) and not value.get("infinite") else None
    return value


def _label(job: Mapping[str, Any]) -> str | None:
    array = _inner(job, "array")
    parent = _number(array.get("job_id", job.get("array_job_id")))
    task = _number(array.get("task_id", job.get("array_task_id")))
    return f"{parent}_{task}" if parent and task is not None else None


def _processors(job: Mapping[str, Any]) -> Any:
    tres = job.get("tres")
    if isinstance(tres, dict):
        for entry in tres.get("allocated") or ():
            if isinstance(entry, dict) and entry.get("type") == "cpu":
                return entry.get("count")
    return _number(job.get("cpus"))


def read_parquet(path: Path, given: Sequence[str]) -> Table:
    """The columns of a Parquet file that job tables have, row group by row group."""
    try:
        from pyarrow import parquet
        from pyarrow.lib import ArrowException
    except ImportError:
        raise MissingExtraError("reading Parquet", "parquet") from None
    try:
        file = parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise InputError(f"damaged Parquet file: {error}", file=path) from None
    known = {plain_name(name) for names in ALIASES.values() for name in names}
    known |= {plain_name(word.partition("=")[2]) for word in given}
    known |= {plain_name(word.partition("=")[2].rpartition(":")[0]) for word in given}
    names = [name for name in file.schema_arrow.names if plain_name(name) in known]

    def rows() -> Iterator[Row]:
        number = 0
        for batch in file.iter_batches(batch_size=65536, columns=names):
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                yield Row(number, cells)
                number += 1

    return Table("Parquet table", names, rows(), records="row")
