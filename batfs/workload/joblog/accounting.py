"""Logs without columns: PBS and Torque accounting (and Cobalt's), LSF's lsb.acct, Slurm's key=value texts.

PBS: one event a line, ``date;type;id;key=value ...``; the E record tells a job's whole story. Sources: PBS
Professional's Reference Guide ("Accounting Log"), Torque's ("Accounting records"); Cobalt writes the same
with quoted values. LSF: "lsb.acct" of IBM Spectrum LSF's configuration reference, JOB_FINISH. Slurm:
jobcomp/filetxt and ``scontrol show job``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from batfs.workload.joblog.rows import Row, Table

PBS_LINE: Final = re.compile(r"\d{1,2}/\d{1,2}/\d{4} \d\d:\d\d:\d\d(?:\.\d+)?;[A-Za-z];[^;]*;")
LSF_LINE: Final = re.compile(r'"?JOB_(?:FINISH|NEW|START|STATUS)"?\s+"?[\d.]+"?\s+\d+')
SLURM_LINE: Final = re.compile(r"JobId=\d+\S* ")
# a bounded name: what has no "=" would be looked at from each of its letters on, to its end
_PAIR: Final = re.compile(r'([A-Za-z_][\w.]{0,200})=("(?:[^"\\]|\\.)*"|[^\s]*)')
_HEADER: Final = (
    *("id", "submit", "start", "end", "elapsed", "nodes", "nodes_requested", "processors", "limit", "state"),
    *("user", "account", "name", "queue"),
)
_GIVEN: Final = (*(f"{name}={name}" for name in _HEADER), "elapsed=elapsed:s", "limit=limit:s")


def read_pbs(text: str) -> Table:
    """A PBS, Torque or Cobalt accounting log: one row for each job, in the order of its last record."""
    return Table("PBS accounting log", _HEADER, _pbs_rows(text), _GIVEN)


def _pbs_rows(text: str) -> Iterator[Row]:
    """E records as rows; jobs that have only others: begun (S) and not ended, or never begun."""
    ended: set[str] = set()
    waiting: dict[str, tuple[int, str, dict[str, str]]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        parts = line.split(";", 3)
        if len(parts) < 4 or len(parts[1]) != 1 or not PBS_LINE.match(line):
            yield Row(number, (), "not a record of PBS's accounting")
            continue
        kind, job, rest = parts[1].upper(), parts[2].strip(), parts[3]
        if kind in "LYUBKkFMTWC" or not job or job == "license":
            continue  # licences, reservations, provisioning, checkpoints: not jobs
        pairs = _pairs(rest)
        if kind == "E":
            ended.add(job)
            waiting.pop(job, None)
            yield _pbs_job(number, job, pairs, _array_parent(job, pairs))
        elif kind == "R" or job not in ended:
            before = waiting.get(job)
            known = {**(before[2] if before else {}), **pairs}
            if before is not None and before[1] == "running" and kind in "DA":
                kind = "S"  # deleted while it ran: its E record is still to come
            waiting[job] = (number, _PBS_STATES.get(kind, before[1] if before else "queued"), known)
    for job, (number, state, known) in waiting.items():
        if job not in ended:
            yield _pbs_job(number, job, known, state)


# what the last record of a job that has no E record says
_PBS_STATES: Final = {"S": "running", "R": "queued", "Q": "queued", "D": "deleted", "A": "aborted"}


def _pairs(text: str) -> dict[str, str]:
    return {key: value.strip('"') if value[:1] == '"' else value for key, value in _PAIR.findall(text)}


def _array_parent(job: str, pairs: Mapping[str, str]) -> str:
    """``123[].server`` stands for all subjobs, which have records of their own."""
    return "queued" if "[]" in job and "exec_host" not in pairs else "ended"


def _pbs_job(number: int, job: str, pairs: Mapping[str, str], state: str) -> Row:
    def first(*keys: str) -> str:
        return next((pairs[key] for key in keys if pairs.get(key)), "")

    if state == "ended":
        state = "finished"
    cells = {
        "id": job,
        "submit": first("ctime", "qtime", "etime"),
        "start": first("start"),
        "end": first("end") if state == "finished" else "",
        "elapsed": first("resources_used.walltime"),
        "nodes": _pbs_nodes(pairs),
        "nodes_requested": first("Resource_List.nodect") or _selected(pairs),
        "processors": first("Resource_List.ncpus", "resources_used.ncpus", "Resource_List.procs"),
        "limit": first("Resource_List.walltime"),
        "state": state,
        "user": first("user"),
        "account": first("account", "project", "group"),
        "name": first("jobname"),
        "queue": first("queue"),
    }
    return Row(number, tuple(cells.values()))


def _pbs_nodes(pairs: Mapping[str, str]) -> str:
    """The distinct hosts of ``exec_host`` (``n1/0*24+n2/0``); Cobalt's lists of names; else ``nodect``."""
    hosts = pairs.get("exec_host") or pairs.get("exec_vnode", "")
    names = {re.split(r"[/:]", word.strip("()"))[0] for word in re.split(r"[+]", hosts)} - {""}
    nodect = pairs.get("Resource_List.nodect", "")
    if len(names) > 1 or (names and not nodect):
        return str(len(names))
    return nodect or str(len(names) or "")


def _selected(pairs: Mapping[str, str]) -> str:
    """The chunks of ``select=2:ncpus=4+1:mem=8gb`` or ``nodes=2:ppn=8+1``."""
    text = pairs.get("Resource_List.select") or pairs.get("Resource_List.nodes") or ""
    total = 0
    for chunk in filter(None, text.split("+")):
        word = chunk.split(":")[0]
        total += int(word) if word.isdigit() else 1
    return str(total or "")


_TOKEN: Final = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_LSF_EXIT, _LSF_DONE = 32, 64


def read_lsf(text: str) -> Table:
    """LSF's lsb.acct: a row for each JOB_FINISH record."""
    return Table("LSF's lsb.acct", _HEADER, _lsf_rows(text), _GIVEN)


def _lsf_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        words = [word or quoted.replace('""', '"') for quoted, word in _TOKEN.findall(line)]
        if words[0] in ("EVENT_ADRSV_FINISH", "JOB_RESIZE", "JOB_NEW", "JOB_START", "JOB_STATUS"):
            continue
        try:
            row = _lsf_job(words)
        except (ValueError, IndexError):
            yield Row(number, (), "not a JOB_FINISH record of lsb.acct")
        else:
            yield Row(number, row)


def _lsf_job(words: list[str]) -> tuple[Any, ...]:
    if words[0] != "JOB_FINISH":
        raise ValueError(words[0])
    end, job, processors = int(words[2]), words[3], int(words[6])
    submit, start = int(words[7]), int(words[10])
    user, queue = words[11], words[12]
    asked = int(words[22])
    place = 23 + asked
    count = int(words[place])
    hosts = words[place + 1 : place + 1 + count]
    place += 1 + count
    status, name = int(words[place]), words[place + 2]
    after = place + 4 + 19  # the factor, name and command, then 19 numbers of resources used
    project = words[after + 1] if len(words) > after + 1 else ""
    index = words[after + 6] if len(words) > after + 6 else "0"
    distinct = {host.rpartition("*")[2] for host in hosts}
    ran = start > 0 and count > 0 and status in (_LSF_DONE, _LSF_EXIT, 192, 96)
    return (
        f"{job}[{index}]" if index.isdigit() and int(index) > 0 else job,
        submit,
        start or None,
        end,
        None,
        len(distinct) or None,
        None,
        processors,
        None,
        "done" if ran else "never" if not start else "exit",
        user,
        project,
        name,
        queue,
    )


_SLURM_KEYS: Final = {
    "JobId": "id",
    "SubmitTime": "submit",
    "StartTime": "start",
    "EndTime": "end",
    "RunTime": "elapsed",
    "NumNodes": "nodes",
    "NodeCnt": "nodes",
    "ProcCnt": "processors",
    "NumCPUs": "processors",
    "TimeLimit": "limit",
    "Timelimit": "limit",
    "JobState": "state",
    "UserId": "user",
    "Account": "account",
    "Name": "name",
    "JobName": "name",
    "Partition": "queue",
}
_SLURM_PAIR: Final = re.compile(r"(?:^|\s)([A-Z][\w/:]*)=")


def read_slurm_pairs(text: str) -> Table:
    """Slurm's jobcomp/filetxt (a job a line) and what ``scontrol show job`` prints (a job a paragraph)."""
    given = tuple(word.replace("limit=limit:s", "limit=limit:minutes") for word in _GIVEN)
    return Table("Slurm's key=value records", _HEADER, _slurm_rows(text), given, slurm=True)


def _slurm_rows(text: str) -> Iterator[Row]:
    record: list[str] = []
    begin = 0
    for number, line in enumerate([*text.split("\n"), "JobId="], start=1):
        if line.startswith("JobId="):
            if record:
                yield _slurm_job(begin, " ".join(record))
            record, begin = [], number
        record.append(line.strip())


def _slurm_job(number: int, text: str) -> Row:
    found = list(_SLURM_PAIR.finditer(text))
    cells = dict.fromkeys(_HEADER, "")
    for at, match in enumerate(found):
        role = _SLURM_KEYS.get(match[1])
        stop = found[at + 1].start() if at + 1 < len(found) else len(text)
        if role is not None and not cells[role]:
            cells[role] = text[match.end() : stop].strip()
    cells["user"] = cells["user"].partition("(")[0]
    if not cells["id"]:
        return Row(number, (), "a record without JobId")
    return Row(number, tuple(cells.values()))
