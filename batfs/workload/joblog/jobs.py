"""From the rows of a job log to the jobs that ran.

What a row means is decided here, once for all formats: the state says what ran, Elapsed is the run time,
nodes are those allocated, and every record ends as a job, as a part of one, or left out under a rule that is
counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from batfs.errors import InputError
from batfs.texts import decode, read_unpacked
from batfs.units import parse_size
from batfs.workload.account import Report
from batfs.workload.foreign import foreign_workload, is_darshan
from batfs.workload.io import RequestedIo
from batfs.workload.joblog.cells import (
    EPOCH,
    NoUnit,
    count_of,
    duration_of,
    hosts_in,
    is_known,
    nodes_in_tres,
    text_of,
    time_of,
)
from batfs.workload.joblog.columns import Columns, assign
from batfs.workload.joblog.rows import Row, Table
from batfs.workload.joblog.states import State, state_of
from batfs.workload.joblog.tables import is_swf, read_table
from batfs.workload.model import Json
from batfs.workload.numbers import plain
from batfs.workload.recorded import RecordedJob
from batfs.workload.swf import SwfOptions, parse_swf
from batfs.workload.zones import Zone

_STEP: Final = re.compile(r"([^.]+)\.(batch|extern|interactive|\d+)")
_FLOAT: Final = re.compile(r"\d+\.0+")
_HET: Final = re.compile(r"(\d+)\+(\d+)")
_DAY: Final = 86400.0
_NO_TASK: Final = ("4294967294", "4294967295")
_NAMES: Final = ("user", "account", "name", "queue")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How a job log is read.

    ``zone`` is the clock of times without an offset; ``columns`` the user's ``role=NAME`` words. ``strict``
    refuses the log for the first record that can't be read. ``steps`` makes jobs of Slurm's job steps, in
    place of the jobs they belong to. ``unfinished``: jobs that ran or waited when the log was taken are left
    out, or take as long as they asked for. ``processors_per_node`` makes nodes of processors where a log has
    no nodes.
    """

    zone: Zone = "UTC"
    columns: tuple[str, ...] = ()
    strict: bool = False
    steps: bool = False
    unfinished: Literal["leave-out", "limit"] = "leave-out"
    processors_per_node: int | None = None


@dataclass(frozen=True, slots=True)
class SchedulerJob:
    """A job as the scheduler saw it; times in seconds on one clock, ``requested_time`` None: none.

    ``runtime``: what the log says it ran, which is less than from start to end where it was suspended; None:
    from start to end. ``state`` is the log's word. ``members`` go into the workload's job; ``volumes`` are
    the bytes read and written where the log tells them; ``line`` is where it stands.
    """

    id: str
    submission: float
    start: float
    end: float
    nodes: int
    requested_time: float | None = None
    runtime: float | None = None
    state: str = ""
    members: Mapping[str, Json] = field(default_factory=dict)
    volumes: tuple[int, int] | None = None
    line: int = 0

    @property
    def number(self) -> str:
        """The number in front of the id, which is what Darshan keeps (``478544`` of ``478544[3].head``)."""
        found = re.match(r"(?:[A-Za-z]\w*\.)?(\d+)", self.id)
        return found[1] if found else self.id

    def recorded(self) -> RecordedJob:
        runtime = self.end - self.start if self.runtime is None else self.runtime
        recorded: dict[str, Json] = {"wait": plain(self.start - self.submission)}
        if self.state:
            recorded["state"] = self.state
        extra = {**self.members, "recorded": recorded}
        io = (
            None
            if self.volumes is None
            else ((RequestedIo(None, *self.volumes),) if any(self.volumes) else ())
        )
        return RecordedJob(
            self.id, self.submission, self.nodes, runtime, self.requested_time, io, extra, start=self.start
        )


@dataclass(slots=True)
class JobLog:
    """The jobs of a log in its order; ``nodes`` of the machine where the log says it."""

    jobs: list[SchedulerJob]
    nodes: int | None = None


def read_job_log(path: str | Path, options: LogOptions, report: Report, data: bytes | None = None) -> JobLog:
    """The jobs of a scheduler's log or job table; what is left out, joined or assumed is counted.

    ``data``: the file's bytes where they are there already. InputError for a file that is no job log, for
    columns that are missing, and with ``strict`` for the first record that can't be read.
    """
    path = Path(path)
    data = read_unpacked(path) if data is None else data
    if is_darshan(data):
        raise InputError(
            "not a job log but one of Darshan: 'batfs workload from-darshan' reads it", file=path
        )
    text = None if data.startswith(b"PAR1") else decode(data, path)
    if text is not None and is_swf(text.text):
        report.kinds.append("standard workload format")
        swf = SwfOptions(processors_per_node=options.processors_per_node, strict=options.strict)
        log = parse_swf(text, swf, report, path)
        origin = float(report.origin or 0.0)
        return JobLog([_of_swf(job, origin) for job in log.jobs], log.nodes)
    table, text = read_table(path, data, options.columns)
    if text is not None:
        report.notes += text.notes
    report.kinds.append(table.kind)
    try:
        columns = assign(table.header, (*table.given, *options.columns), hint=table.hint)
    except InputError as error:
        what = None if text is None else foreign_workload(data[:50000], path)
        if what is not None and "from-log" not in what:
            raise InputError(f"not a job log: {what}", file=path) from None
        raise error.at(file=path) from None
    return JobLog(_Reading(path, table, columns, options, report).jobs())


def _of_swf(job: RecordedJob, origin: float) -> SchedulerJob:
    """An SWF's times are counted from its header's UnixStartTime."""
    swf = job.extra.get("swf", {})
    submit = origin + job.submission
    start = submit + max(0.0, float(swf.get("wait", 0)))
    return SchedulerJob(
        job.id,
        submit,
        start,
        start + job.runtime,
        job.nodes,
        job.requested_time,
        job.runtime,
        members=job.extra,
    )


class _Left(Exception):
    """A record that is left out; its argument is the rule."""


class _Reading:
    """One log on its way from rows to jobs."""

    def __init__(
        self, path: Path, table: Table, columns: Columns, options: LogOptions, report: Report
    ) -> None:
        self._path = path
        self._table = table
        self._columns = columns
        self._options = options
        self._report = report
        self._scale: list[str] = []
        self._ids: set[str] = set()
        self._floats = False
        self._stepped: set[str] = set()
        self._clusters = False
        self._names = [(role, columns.places[role]) for role in _NAMES if role in columns.places]
        self._labelled = bool({"label", "array"} & columns.places.keys())
        self._measured = bool({"reads", "writes"} & columns.places.keys())
        self._said: list[tuple[str, str]] = []  # of the record at hand: counts only once it is a job

    def jobs(self) -> list[SchedulerJob]:
        rows = list(self._readable(self._table.rows))
        self._look_at_ids(rows)
        drafts = list(self._drafts(rows))
        if self._scale:
            self._report.notes.append(f"times are in {', '.join(self._scale)}: made seconds")
        unknown = self._columns.names
        if "submit" in unknown and unknown["submit"].lower().startswith(("eligible", "time_eligible")):
            self._report.assume("submitted when eligible: the log has no submission times", len(drafts))
        return distinct(self._joined(drafts), self._report, self._twice if self._options.strict else None)

    def _twice(self, job: SchedulerJob) -> InputError:
        place = self._table.place(job.line)
        return InputError(f"the job id {job.id!r} is there twice", file=self._path, place=place)

    def _readable(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._report.records += 1
            if row.problem:
                self._unreadable(row.line, row.problem)
            else:
                yield row

    def _unreadable(self, line: int, problem: str) -> None:
        if self._options.strict:
            raise InputError(problem, file=self._path, place=self._table.place(line))
        self._report.unreadable(self._table.place(line), problem)

    def _look_at_ids(self, rows: Sequence[Row]) -> None:
        """What only the whole column tells: floats (``29959.0``), steps, more than one cluster."""
        place = self._columns.places["id"]
        self._ids = {row.cells[place].strip() for row in rows if isinstance(row.cells[place], str)}
        self._floats = bool(self._ids) and all(_FLOAT.fullmatch(name) for name in self._ids)
        if self._options.steps and not self._floats:
            steps = (_STEP.fullmatch(name) for name in self._ids)
            self._stepped = {step[1] for step in steps if step and step[2].isdigit()}
        cluster = self._columns.places.get("cluster")
        if cluster is not None:
            names = {text_of(row.cells[cluster]) for row in rows if is_known(row.cells[cluster])}
            self._clusters = len(names) > 1

    def _drafts(self, rows: Sequence[Row]) -> Iterator[tuple[SchedulerJob, str]]:
        """The jobs of single rows, each with the number of the heterogeneous job it is a component of."""
        for row in rows:
            self._said.clear()
            try:
                draft = self._draft(row)
                for kind, rule in self._said:
                    (self._report.assume if kind == "assume" else self._report.change)(rule)
                yield draft
            except NoUnit as error:
                raise self._no_unit(row, error) from None
            except InputError as error:
                self._unreadable(row.line, str(error))
            except _Left as rule:
                if rule.args[0] in _PARTS:
                    self._report.join(rule.args[0])
                else:
                    self._report.leave_out(rule.args[0])

    def _no_unit(self, row: Row, error: NoUnit) -> InputError:
        role = "limit" if "limit" in self._columns.places else "elapsed"
        if self._columns.units.get("elapsed", 1.0) is None:
            role = "elapsed"
        name = self._columns.names[role]
        return InputError(
            f"the column {name!r} holds {error.problem}: is it seconds or minutes?",
            file=self._path,
            place=self._table.place(row.line),
            hint=f"--column {role}={name}:seconds or --column {role}={name}:minutes",
        )

    def _draft(self, row: Row) -> tuple[SchedulerJob, str]:
        cell = self._columns.cell
        cells = row.cells
        identifier = self._identifier(cells)
        state, word = State.UNKNOWN, ""
        found = cell(cells, "state")
        if is_known(found):
            state, word = state_of(found)
            if state is State.UNKNOWN:
                self._say("assume", f"state {word[:30]!r} isn't known: the times decide")
        if state is State.NEVER and self._options.unfinished == "leave-out":
            raise _Left("never ran")
        submit, start, end, runtime = self._times(cells, state)
        if submit is None:
            raise _Left("no submission time")
        if submit > start:
            self._say("change", "submitted after its start: submitted at it")
            submit = start
        nodes = self._nodes(cells)
        limit = self._limit(cells)
        if state in (State.RUNNING, State.NEVER):
            if limit is None:
                raise _Left("not finished when the log was taken, and no limit")
            self._say("change", "not finished when the log was taken: runs as long as it asked for")
            runtime, end = limit, start + limit
        job = SchedulerJob(
            identifier, submit, start, end, nodes, limit, runtime, word, self._members(cells), line=row.line
        )
        volumes = self._volumes(cells)
        return (job if volumes is None else replace(job, volumes=volumes)), self._component(cells)

    def _say(self, kind: Literal["assume", "change"], rule: str) -> None:
        self._said.append((kind, rule))

    def _identifier(self, cells: Sequence[Any]) -> str:
        found = self._columns.cell(cells, "id")
        if not is_known(found):
            raise InputError("it has no job id")
        name = text_of(found)
        if self._floats and isinstance(found, str):
            name = name.partition(".")[0]
        elif "." in name:
            step = _STEP.fullmatch(name)
            if step is not None and (not step[2].isdigit() or step[1] in self._ids):
                if not self._options.steps or not step[2].isdigit():
                    raise _Left(_STEP_RULE)
            elif step is not None and name in self._ids and self._table.slurm:
                raise _Left(_STEP_RULE)
        elif name in self._stepped:
            raise _Left(_STEPPED_RULE)
        if self._table.slurm and name.endswith("+"):
            raise InputError(f"the id {name!r} is cut off by its column's width")
        if self._clusters:
            name = f"{text_of(self._columns.cell(cells, 'cluster'))}.{name}"
        if "!" in name:
            self._say("change", "'!' in an id made '_'")
            name = name.replace("!", "_")
        return name

    def _times(self, cells: Sequence[Any], state: State) -> tuple[float | None, float, float, float | None]:
        """Submission, start, end, run time (None: from start to end). Raises _Left for what never ran."""
        cell, zone = self._columns.cell, self._options.zone
        words = [cell(cells, role) for role in ("submit", "start", "end")]
        submit, start, end = (time_of(word, zone, self._scale) for word in words)
        largest = max(submit or 0.0, start or 0.0, end or 0.0)
        if largest >= EPOCH or not largest:  # beside times since 1970 a 0 is none
            submit, start, end = submit or None, start or None, end or None
        elapsed = self._elapsed(cells)
        if self._scale and elapsed and start is not None and end is not None and end > start:
            elapsed = elapsed / 1000 if abs(elapsed - 1000 * (end - start)) <= 10 * (end - start) else elapsed
        if state is State.RUNNING:
            if self._options.unfinished == "leave-out":
                raise _Left("still running when the log was taken")
            return submit, start if start is not None else submit or 0.0, 0.0, None
        if state is State.NEVER:
            return submit, submit or 0.0, 0.0, None
        if start is None and end is not None and elapsed:
            start = end - elapsed
        if start is None:
            raise _Left("never ran")
        if end is None and state is State.MAYBE and not elapsed:
            raise _Left("never ran")
        if end is None and (elapsed is None or ("end" in self._columns.places and state is State.UNKNOWN)):
            raise _Left("still running when the log was taken")
        if end is None:
            assert elapsed is not None
            return submit, start, start + elapsed, elapsed
        if end < start or (submit or 0) > start or (elapsed and abs(end - start - elapsed) > 1):
            submit, start, end = self._turned_back(words, (submit, start, end), elapsed)
        if end < start:
            raise InputError(f"the job ends ({words[2]}) before it starts ({words[1]})")
        if state is State.MAYBE and (elapsed == 0 or (elapsed is None and end == start)):
            raise _Left("never ran")
        if elapsed is not None and abs(end - start - elapsed) > 1:
            self._say("assume", "ran as long as the log's elapsed time says, not from start to end")
        return submit, start, end, elapsed

    def _turned_back(
        self, words: Sequence[Any], times: tuple[float | None, float, float], elapsed: float | None
    ) -> tuple[float | None, float, float]:
        """The same times where clocks go back: of readings that happen twice those that make sense."""
        submit, start, end = times
        zone = self._options.zone
        starts = [start, *self._second(words[1], zone, start)]
        ends = [end, *self._second(words[2], zone, end)]
        if len(starts) + len(ends) == 2:
            return times

        def fault(pair: tuple[float, float]) -> tuple[bool, float, bool]:
            begin, stop = pair
            away = 0.0 if elapsed is None else abs(stop - begin - elapsed)
            return stop < begin, away, submit is not None and begin < submit

        begin, stop = min(((b, e) for b in starts for e in ends), key=fault)
        return submit, begin, stop

    def _second(self, word: Any, zone: Zone, first: float) -> list[float]:
        later = time_of(word, zone, [], second=True)
        return [later] if later is not None and later != first else []

    def _elapsed(self, cells: Sequence[Any]) -> float | None:
        cell = self._columns.cell(cells, "elapsed")
        if cell is None:
            cell = self._columns.cell(cells, "time")
            return duration_of(cell, 60.0) if cell is not None else None
        return duration_of(cell, self._columns.units["elapsed"])

    def _limit(self, cells: Sequence[Any]) -> float | None:
        try:
            limit = duration_of(self._columns.cell(cells, "limit"), self._columns.units.get("limit"))
        except NoUnit:
            raise
        except InputError:
            raise InputError(f"the requested time is {self._columns.cell(cells, 'limit')!r}") from None
        return limit if limit else None

    def _nodes(self, cells: Sequence[Any]) -> int:
        cell = self._columns.cell
        nodes = self._count(cells, "nodes")
        hosts, tres = cell(cells, "hosts"), cell(cells, "tres")
        if nodes is None and isinstance(tres, str):
            nodes = nodes_in_tres(tres)
        if nodes is None and hosts is not None:
            nodes = hosts_in(hosts) if isinstance(hosts, str) else count_of(hosts)
        if nodes is not None:
            return nodes
        nodes = self._count(cells, "nodes_requested")
        if nodes is not None:
            self._say("assume", "as many nodes as it asked for: those allocated aren't known")
            return nodes
        processors = self._count(cells, "processors")
        if processors is None:
            processors = self._count(cells, "processors_requested")
        if processors is None:
            raise _Left("no number of nodes")
        per_node = self._options.processors_per_node
        if per_node is None:
            self._say("assume", "a node for each processor: the log has no nodes (--processors-per-node)")
            return processors
        if processors % per_node:
            self._say("assume", "shares no node: its processors rounded up to whole nodes")
        return -(-processors // per_node)

    def _count(self, cells: Sequence[Any], role: str) -> int | None:
        found = self._columns.cell(cells, role)
        try:
            return count_of(found)
        except InputError:
            what = "nodes" if role.startswith("nodes") else "processors"
            raise InputError(f"the number of {what} is {str(found)[:60]!r}") from None

    def _members(self, cells: Sequence[Any]) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for role, place in self._names:
            value = cells[place]
            if is_known(value):
                found[role] = text_of(value).replace("\0", "")
        if not self._labelled:
            return found
        label = self._columns.cell(cells, "label")
        parent, task = self._columns.cell(cells, "array"), self._columns.cell(cells, "task")
        if is_known(label) and "_" in str(label):
            found["array"] = text_of(label)
        elif is_known(parent) and is_known(task) and text_of(parent) != "0" and text_of(task) not in _NO_TASK:
            found["array"] = f"{text_of(parent)}_{text_of(task)}"
        return found

    def _volumes(self, cells: Sequence[Any]) -> tuple[int, int] | None:
        if not self._measured:
            return None
        sizes: list[int] = []
        for role in ("reads", "writes"):
            value = self._columns.cell(cells, role)
            sizes.append(parse_size(text_of(value)) if is_known(value) else 0)
        return sizes[0], sizes[1]

    def _component(self, cells: Sequence[Any]) -> str:
        """The heterogeneous job (or PAI's job of several tasks) that this row is part of; or empty."""
        if self._table.parts:
            return self._identifier(cells)
        for role in ("label", "id"):
            name = self._columns.cell(cells, role)
            found = _HET.fullmatch(name) if isinstance(name, str) and "+" in name else None
            if found:
                return found[1]
        het = self._columns.cell(cells, "het")
        return text_of(het) if is_known(het) and text_of(het) not in ("0", "4294967294") else ""

    def _joined(self, drafts: Iterable[tuple[SchedulerJob, str]]) -> list[SchedulerJob]:
        """Components of one job made one: their nodes together, from the first's start to the last's end."""
        jobs: list[SchedulerJob] = []
        places: dict[str, int] = {}
        rule = "task of a job" if self._table.parts else "component of a heterogeneous job"
        for job, whole in drafts:
            at = places.get(whole) if whole else None
            if at is None or not (self._table.parts or _overlap(jobs[at], job)):
                if whole:
                    places[whole] = len(jobs)
                    job = replace(job, id=whole if not self._clusters else job.id)
                jobs.append(job)
                continue
            self._report.join(rule)
            known = jobs[at]
            limits = [limit for limit in (known.requested_time, job.requested_time) if limit is not None]
            start, end = min(known.start, job.start), max(known.end, job.end)
            jobs[at] = replace(
                known,
                submission=min(known.submission, job.submission),
                start=start,
                end=end,
                nodes=known.nodes + job.nodes,
                requested_time=max(limits, default=None),
                runtime=None,
            )
        return jobs


_STEP_RULE: Final = "step of a job"
_STEPPED_RULE: Final = "job that its steps stand for"
_PARTS: Final = (_STEP_RULE, _STEPPED_RULE)


def _overlap(a: SchedulerJob, b: SchedulerJob) -> bool:
    return a.start <= b.end and b.start <= a.end


def _requeued(before: SchedulerJob, after: SchedulerJob) -> bool:
    """Whether ``after`` is a further run of the same job: not completed, started again soon, same names."""
    if before.state in ("completed", "finished", "done") or after.start < before.end:
        return False
    if any(before.members.get(key) != after.members.get(key) for key in ("user", "name")):
        return False
    return after.submission <= before.end + _DAY


def distinct(
    jobs: Sequence[SchedulerJob], report: Report, twice: Callable[[SchedulerJob], InputError] | None = None
) -> list[SchedulerJob]:
    """One job an id: of records that are there twice one, of a requeued job's runs the last; a number used
    again gets a suffix. ``twice`` makes the error where ids have to be distinct."""
    groups: dict[str, list[SchedulerJob]] = {}
    for job in jobs:
        groups.setdefault(job.id, []).append(job)
    if len(groups) == len(jobs):
        return list(jobs)
    taken = set(groups)
    found: list[SchedulerJob] = []
    for group in groups.values():
        found += group if len(group) == 1 else _runs(group, taken, report, twice)
    return found


def _runs(
    group: list[SchedulerJob],
    taken: set[str],
    report: Report,
    twice: Callable[[SchedulerJob], InputError] | None,
) -> Iterator[SchedulerJob]:
    group.sort(key=lambda job: (job.start, job.end))
    current, requeued = group[0], False
    for job in group[1:]:
        same = replace(job, line=0) == replace(current, line=0)
        again = not same and not _requeued(current, job)
        if twice is not None and (same or again):
            raise twice(job)
        if same:
            report.leave_out("the same record again")
        elif again:
            report.change("job number used again: #2, #3, ... put behind it")
            yield current
            number = 2
            while f"{job.id}#{number}" in taken:
                number += 1
            taken.add(f"{job.id}#{number}")
            current, requeued = replace(job, id=f"{job.id}#{number}"), False
        else:
            if not requeued:
                report.change("requeued: last run kept")
            report.join("earlier run of a requeued job")
            current, requeued = replace(job, submission=min(current.submission, job.submission)), True
    yield current
