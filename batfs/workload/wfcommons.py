"""Workflow instances of WfCommons (WfFormat) as jobs that wait for each other's files.

Since version 1.5 an instance has its structure in ``workflow.specification`` (tasks and files) and what was
measured in ``workflow.execution``; before, each task of ``workflow.tasks`` has both, with its files in it.

A task is a job, submitted at 0 with all others. A file is a data set: one that a task writes is waited for
(``missing = wait``), any other was there before. Bytes read and written are those measured
(``readBytes``, ``writtenBytes``), over its files in proportion to their sizes, or these sizes. Where a parent
hands no file of its own to its child, a data set of 1 byte does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from batfs import texts
from batfs.errors import InputError, unknown
from batfs.workload.account import Report
from batfs.workload.batsim import load_json
from batfs.workload.fields import (
    INT_MAX,
    member_place,
    missing,
    need_integer,
    need_number,
    need_object,
    need_string,
    wrong,
)
from batfs.workload.foreign import foreign_json
from batfs.workload.io import MOST_BYTES, RequestedIo
from batfs.workload.model import Json
from batfs.workload.recorded import RecordedJob


@dataclass(slots=True)
class Task:
    """A task of an instance: ``reads`` and ``writes`` by file, in bytes; ``read_bytes`` and
    ``written_bytes`` as measured (None: not), ``runtime`` in seconds."""

    id: str
    name: str
    place: str
    parents: Sequence[str]
    reads: Mapping[str, int]
    writes: Mapping[str, int]
    runtime: float = 0.0
    cores: float = 1.0
    machines: int = 1
    read_bytes: int | None = None
    written_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WfOptions:
    """``filesystem`` where the files are (None: the configuration's choice); ``cores_per_node`` makes nodes
    of a task's cores (None: as many nodes as it had machines)."""

    filesystem: str | None = None
    cores_per_node: int | None = None


def read_instance(path: str | Path, options: WfOptions, report: Report) -> list[RecordedJob]:
    """The tasks of the instance in ``path`` as jobs, in its order. InputError with the place of anything
    wrong: a task without runtime, a file without size, parents in a circle."""
    try:
        data = texts.as_utf8(texts.unpacked(texts.read_bytes(path, "the instance"), path), path)
        tasks = parse_instance(load_json(data))
        report.records = len(tasks)
        return list(_jobs(tasks, options, report))
    except InputError as error:
        raise error.at(file=path) from error.__cause__


def parse_instance(document: Json) -> list[Task]:
    """The tasks of an instance, of any version of the format."""
    top = need_object(document, "")
    if "workflow" not in top:
        what = foreign_json(document)
        if what is not None:
            raise InputError(f"{what}; an instance of WfCommons was expected")
        missing(top, "workflow", "")
    workflow = need_object(top["workflow"], "workflow")
    if "specification" in workflow:
        tasks = _specified(workflow)
    elif "tasks" in workflow:
        tasks = _flat(workflow)
    else:
        missing(workflow, "specification", "workflow")
    _in_order(tasks)
    return list(tasks.values())


# ---- reading ----------------------------------------------------------------------------------------------


def _specified(workflow: Mapping[str, Any]) -> dict[str, Task]:
    """Version 1.5 and later."""
    where = "workflow.specification"
    specification = need_object(workflow["specification"], where)
    sizes: dict[str, int] = {}
    for file, place in _objects(specification, "files", where, needed=False):
        name = _text(file, "id", place)
        if name in sizes:
            raise InputError(f"the file {name!r} is there twice", place=member_place(place, "id"))
        sizes[name] = _bytes(file, "sizeInBytes", place)

    def files(task: Mapping[str, Any], key: str, place: str) -> dict[str, int]:
        found = {}
        for name, inner in _names(task, key, place):
            if name not in sizes:
                raise unknown("file", name, sizes).at(place=inner)
            found[name] = sizes[name]
        return found

    tasks: list[Task] = []
    for task, place in _objects(specification, "tasks", where):
        parents = [name for name, _ in _names(task, "parents", place)]
        name, id = _text(task, "name", place), _text(task, "id", place)
        reads, writes = files(task, "inputFiles", place), files(task, "outputFiles", place)
        tasks.append(Task(id, name, place, parents, reads, writes))
    by_id = _by_id(tasks)
    if "execution" not in workflow:
        raise InputError(
            "it has no 'execution', so no task has a runtime: it describes a workflow that was not run",
            place="workflow",
        )
    execution = need_object(workflow["execution"], "workflow.execution")
    run: set[str] = set()
    for measured, place in _objects(execution, "tasks", "workflow.execution"):
        name = _text(measured, "id", place)
        if name not in by_id:
            raise unknown("task", name, by_id).at(place=member_place(place, "id"))
        if name in run:
            raise InputError(f"the task {name!r} is there twice", place=member_place(place, "id"))
        run.add(name)
        _measure(by_id[name], measured, place)
    for found in tasks:
        if found.id not in run:
            raise InputError(f"the task {found.id!r} has no runtime in workflow.execution", place=found.place)
    return by_id


def _flat(workflow: Mapping[str, Any]) -> dict[str, Task]:
    """Version 1.4 and before: parents by id or by name, files in each task."""
    tasks: list[Task] = []
    for task, place in _objects(workflow, "tasks", "workflow"):
        name = _text(task, "name", place)
        id = _text(task, "id", place) if "id" in task else name
        files: dict[str, dict[str, int]] = {"input": {}, "output": {}}
        for file, inner in _objects(task, "files", place, needed=False):
            link = _text(file, "link", inner)
            if link not in files:
                raise unknown("link", link, files).at(place=member_place(inner, "link"))
            key = "sizeInBytes" if "sizeInBytes" in file or "size" not in file else "size"
            files[link][_text(file, "id" if "id" in file else "name", inner)] = _bytes(file, key, inner)
        parents = [name for name, _ in _names(task, "parents", place)]
        tasks.append(Task(id, name, place, parents, files["input"], files["output"]))
        _measure(tasks[-1], task, place)
    by_id = _by_id(tasks)
    by_name: dict[str, str] = {}
    for found in tasks:
        by_name.setdefault(found.name, found.id)
    for found in tasks:
        found.parents = [p if p in by_id else by_name.get(p, p) for p in found.parents]
    return by_id


def _measure(task: Task, measured: Mapping[str, Any], place: str) -> None:
    key = "runtimeInSeconds" if "runtimeInSeconds" in measured or "runtime" not in measured else "runtime"
    if key not in measured:
        missing(measured, key, place)
    task.runtime = need_number(measured[key], member_place(place, key))
    for key in ("coreCount", "cores"):
        if measured.get(key) is not None:
            task.cores = need_number(measured[key], member_place(place, key), positive=True)
            if task.cores > INT_MAX:
                wrong(task.cores, f"at most {INT_MAX} cores", member_place(place, key))
            break
    task.machines = max(1, len({name for name, _ in _names(measured, "machines", place)}))
    if measured.get("readBytes") is not None:
        task.read_bytes = _bytes(measured, "readBytes", place)
    if measured.get("writtenBytes") is not None:
        task.written_bytes = _bytes(measured, "writtenBytes", place)


def _by_id(tasks: Sequence[Task]) -> dict[str, Task]:
    found: dict[str, Task] = {}
    for task in tasks:
        if task.id in found:
            raise InputError(f"the task {task.id!r} is there twice", place=member_place(task.place, "id"))
        found[task.id] = task
    return found


def _in_order(by_id: Mapping[str, Task]) -> None:
    """InputError for a parent that isn't there, and for parents in a circle."""
    left = dict.fromkeys(by_id, 0)
    children: dict[str, list[str]] = {}
    for task in by_id.values():
        for k, parent in enumerate(task.parents):
            if parent not in by_id:
                raise unknown("task", parent, by_id).at(place=f"{task.place}.parents[{k}]")
            left[task.id] += 1
            children.setdefault(parent, []).append(task.id)
    ready = [name for name, count in left.items() if not count]
    while ready:
        name = ready.pop()
        del left[name]
        for child in children.get(name, ()):
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    if left:
        stuck = by_id[next(iter(left))]
        raise InputError(
            f"the task {stuck.id!r} is among its own ancestors, or below such", place=stuck.place
        )


def _objects(
    parent: Mapping[str, Any], key: str, place: str, *, needed: bool = True
) -> Iterator[tuple[dict[str, Any], str]]:
    if parent.get(key) is None and not needed:
        return
    if key not in parent:
        missing(parent, key, place)
    where = member_place(place, key)
    if not isinstance(parent[key], list):
        wrong(parent[key], "an array", where)
    if needed and not parent[key]:
        wrong(parent[key], "at least one", where)
    for k, item in enumerate(parent[key]):
        yield need_object(item, f"{where}[{k}]"), f"{where}[{k}]"


def _names(parent: Mapping[str, Any], key: str, place: str) -> Iterator[tuple[str, str]]:
    where = member_place(place, key)
    given = parent.get(key)
    if given is None:
        return
    if not isinstance(given, list):
        wrong(given, "an array of names", where)
    for k, name in enumerate(given):
        yield need_string(name, f"{where}[{k}]"), f"{where}[{k}]"


def _text(parent: Mapping[str, Any], key: str, place: str) -> str:
    if key not in parent:
        missing(parent, key, place)
    found = need_string(parent[key], member_place(place, key))
    if not found:
        wrong(found, "a name", member_place(place, key))
    return found


def _bytes(parent: Mapping[str, Any], key: str, place: str) -> int:
    if key not in parent:
        missing(parent, key, place)
    value, where = parent[key], member_place(place, key)
    if type(value) is float and value.is_integer() and value < 2**53:
        value = int(value)  # as JSON writers of other languages write whole numbers
    return need_integer(value, where, least=0, most=MOST_BYTES)


# ---- jobs -------------------------------------------------------------------------------------------------


def _jobs(tasks: Sequence[Task], options: WfOptions, report: Report) -> Iterator[RecordedJob]:
    writers: dict[str, list[str]] = {}
    for task in tasks:
        for file in task.writes:
            writers.setdefault(file, []).append(task.id)
    marks = _marks(tasks, writers)
    for task in tasks:
        io = []
        for file, size, moved in _moved(task.reads, task.read_bytes):
            waits = any(writer != task.id for writer in writers.get(file, ()))
            about: dict[str, Json] = {"data_set": file, "missing": "wait" if waits else "fill"}
            io.append(
                RequestedIo(options.filesystem, moved, 0, options=about | ({} if waits else {"size": size}))
            )
        for parent in task.parents:
            if not _handed(task, parent, writers):
                report.change("its parent hands it no file: 1 byte says that it is over")
                about = {"data_set": marks[parent], "missing": "wait"}
                io.append(RequestedIo(options.filesystem, 1, 0, options=about))
        for file, size, moved in _moved(task.writes, task.written_bytes):
            about = {"data_set": file, "size": size}
            if len(writers[file]) > 1 or file in task.reads:
                about["write"] = "overwrite"
            io.append(RequestedIo(options.filesystem, 0, moved, options=about))
        if task.id in marks:
            io.append(RequestedIo(options.filesystem, 0, 1, options={"data_set": marks[task.id]}))
        for reads, writes, files in (
            (task.read_bytes or 0, 0, task.reads),
            (0, task.written_bytes or 0, task.writes),
        ):
            if not files and (reads or writes):
                io.append(RequestedIo(options.filesystem, reads, writes))
        nodes = task.machines
        if options.cores_per_node is not None:
            nodes = ceil(task.cores / options.cores_per_node)
        yield RecordedJob(task.id, 0.0, nodes, task.runtime, io=tuple(io), extra={"name": task.name})


def _marks(tasks: Sequence[Task], writers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The data sets of 1 byte, by the task that writes it."""
    found: dict[str, str] = {}
    for task in tasks:
        for parent in task.parents:
            if parent not in found and not _handed(task, parent, writers):
                name = f"end of {parent}"
                while name in writers:
                    name += "'"
                found[parent] = name
    return found


def _handed(task: Task, parent: str, writers: Mapping[str, Sequence[str]]) -> bool:
    """Whether the parent tells the task that it is over by a file that nobody else writes."""
    return any(writers.get(file) == [parent] for file in task.reads)


def _moved(files: Mapping[str, int], measured: int | None) -> Iterator[tuple[str, int, int]]:
    """(file, its size, the bytes that travel) of each; at least 1 of both, so that it can be waited for."""
    sizes = {file: max(1, size) for file, size in files.items()}
    total, left = sum(sizes.values()), measured
    for file, size in sizes.items():
        moved = size
        if left is not None:
            moved = left * size // total  # of what is left to those that are left
            total -= size
            left -= moved
        yield file, size, max(1, moved)
