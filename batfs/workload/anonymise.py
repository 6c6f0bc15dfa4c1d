"""Taking out of recorded jobs what names people: ids, users, accounts, names of jobs, programs, data sets.

The same name gets the same substitute everywhere, in the order of submission, so that who submitted together
stays visible and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from batfs import records
from batfs.workload.account import Report
from batfs.workload.io import RequestedIo
from batfs.workload.joblog.states import State, state_of
from batfs.workload.recorded import RecordedJob

# a member of a job -> what its substitutes begin with
_WORDS: Final[Mapping[str, str]] = {
    "user": "user",
    "account": "account",
    "group": "group",
    "name": "name",
    "queue": "queue",
    "partition": "partition",
    "executable": "program",
    "executables": "program",
    "array": "array",
    "cluster": "cluster",
}
_PERSONAL: Final = re.compile(r"user|uid|gid|account|project|group|exe|name|owner|mail", re.IGNORECASE)


def anonymised(jobs: Iterable[RecordedJob], report: Report) -> list[RecordedJob]:
    """``jobs`` under numbers, in the order of submission; names in the report go, too."""
    names: dict[str, dict[str, str]] = {}
    ordered = sorted(jobs, key=lambda job: (job.submission, job.id))
    numbers = {job.id: str(number) for number, job in enumerate(ordered, start=1)}
    report.source = "log"
    report.unread = [line.partition(": ")[0] for line in report.unread]
    report.notes = [f"{len(report.notes)} notes left out with the names in them"] if report.notes else []
    for counts in (report.assumed, report.changed, report.left_out, report.joined):
        for rule in [rule for rule in counts if "'" in rule and "state" in rule]:
            counts["state isn't known: the times decide"] = counts.pop(rule)
    report.change("ids, users, accounts and names replaced", len(ordered))
    return [
        replace(
            job,
            id=numbers[job.id],
            extra={key: _without(key, value, names, numbers) for key, value in job.extra.items()},
            io=None if job.io is None else tuple(_of_numbered_set(io, names) for io in job.io),
        )
        for job in ordered
    ]


def _without(key: str, value: Any, names: dict[str, dict[str, str]], numbers: Mapping[str, str]) -> Any:
    if key == "swf":
        return {inner: _number(inner, item, names, numbers) for inner, item in value.items()}
    if isinstance(value, Mapping):
        return {
            inner: item
            for inner, item in value.items()
            if not _PERSONAL.search(inner) and not (inner == "state" and state_of(item)[0] is State.UNKNOWN)
        }
    if key not in _WORDS:
        return value
    if isinstance(value, list):
        return [_substitute(_WORDS[key], str(item), names) for item in value]
    if key == "array":
        parent, _, task = str(value).rpartition("_")
        return f"{_substitute('array', parent, names)}_{task}"
    return _substitute(_WORDS[key], str(value), names)


def _of_numbered_set(io: RequestedIo, names: dict[str, dict[str, str]]) -> RequestedIo:
    if "data_set" not in io.options:
        return io
    number = _substitute("set", str(io.options["data_set"]), names)
    return records.replace(io, options={**io.options, "data_set": number})


def _number(key: str, value: Any, names: dict[str, dict[str, str]], numbers: Mapping[str, str]) -> Any:
    """SWF's fields are numbers, and stay numbers."""
    if key == "preceding_job":
        return int(numbers.get(str(value), "-1"))
    return int(_substitute("", str(value), names, key)) if key in _WORDS else value


def _substitute(word: str, name: str, names: dict[str, dict[str, str]], kind: str | None = None) -> str:
    known = names.setdefault(word if kind is None else kind, {})
    return known.setdefault(name, f"{word}{len(known) + 1}")
