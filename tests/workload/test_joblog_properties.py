"""Any jobs, written in any format with hostile names, come back; bad lines cost neither jobs nor time."""

from __future__ import annotations

import cProfile
import csv
import io
import json
import pstats
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.workload.account import Report
from batfs.workload.joblog import LogOptions, read_job_log


class Job(NamedTuple):
    """Times in seconds after 2024-01-01."""

    submit: int
    wait: int
    runtime: int
    nodes: int
    limit: int  # minutes
    name: str
    user: str

    def times(self) -> list[int]:
        start = 1704067200 + self.submit + self.wait
        return [1704067200 + self.submit, start, start + self.runtime]


def iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


HEADER = ["JobIDRaw", "State", "JobName", "User", "Submit", "Start", "End", "NNodes", "TimelimitRaw"]


def cells(number: int, job: Job) -> list[str]:
    times = [iso(at) for at in job.times()]
    return [str(number), "COMPLETED", job.name, job.user, *times, str(job.nodes), str(job.limit)]


def piped(jobs: Sequence[Job]) -> str:
    return "".join("|".join(row) + "\n" for row in [HEADER, *(cells(n, j) for n, j in enumerate(jobs, 1))])


def comma(jobs: Sequence[Job]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *(cells(n, j) for n, j in enumerate(jobs, 1))])
    return out.getvalue()


def tabs(jobs: Sequence[Job]) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter="\t").writerows([HEADER, *(cells(n, j) for n, j in enumerate(jobs, 1))])
    return out.getvalue()


def records(jobs: Sequence[Job]) -> str:
    return json.dumps([dict(zip(HEADER, cells(n, j), strict=True)) for n, j in enumerate(jobs, 1)])


def sacct_json(jobs: Sequence[Job]) -> str:
    found = []
    for number, job in enumerate(jobs, 1):
        submit, start, end = job.times()
        limit = {"set": True, "infinite": False, "number": job.limit}
        clock = {"submission": submit, "start": start, "end": end, "elapsed": job.runtime, "limit": limit}
        found.append(
            {
                "job_id": number,
                "name": job.name,
                "user": job.user,
                "allocation_nodes": job.nodes,
                "state": {"current": ["COMPLETED"]},
                "time": clock,
            }
        )
    return orjson.dumps({"jobs": found}).decode()


def pbs(jobs: Sequence[Job]) -> str:
    lines = []
    for number, job in enumerate(jobs, 1):
        submit, start, end = job.times()
        name = job.name.replace('"', "").replace("\\", "")
        lines.append(
            f'01/02/2024 03:04:05;E;{number}.head;user=u jobname="{name}" queue=q ctime={submit}'
            f" start={start} Resource_List.nodect={job.nodes} Resource_List.walltime={job.limit * 60}"
            f" end={end} Exit_status=0\n"
        )
    return "".join(lines)


FORMATS: dict[str, tuple[Callable[[Sequence[Job]], str], str]] = {
    "sacct": (piped, "\n\r"),  # characters no name can have there
    "csv": (comma, ""),
    "tsv": (tabs, ""),
    "records": (records, ""),
    "sacct --json": (sacct_json, ""),
    "pbs": (pbs, "\n\r"),
}
HOSTILE = st.text(st.sampled_from("ab|,;\t\"'\\ \n\r#=é\u2028\x0b\x1c"), max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[Job]]:
    kind = draw(st.sampled_from(sorted(FORMATS)))
    banned = FORMATS[kind][1]
    names = HOSTILE.map(lambda name: "".join(c for c in name if c not in banned))
    times = st.integers(0, 10**8)
    job = st.builds(
        Job, times, st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 9999), st.integers(1, 9999),
        names, st.sampled_from(["ada", "bob"]),
    )  # fmt: skip
    return kind, draw(st.lists(job, min_size=1, max_size=6))


@settings(max_examples=300, deadline=None)
@given(tables())
def test_any_table_comes_back_as_the_same_jobs(table: tuple[str, list[Job]]) -> None:
    kind, jobs = table
    report = Report(kind)
    found = read_job_log("log", LogOptions(), report, FORMATS[kind][0](jobs).encode()).jobs
    assert report.left_out == {}
    assert report.records == len(jobs)
    for number, (job, was) in enumerate(zip(found, jobs, strict=True), 1):
        assert job.number == str(number)
        assert [job.submission, job.start, job.end] == was.times()
        assert (job.nodes, job.requested_time) == (was.nodes, was.limit * 60)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60), max_size=6),
    st.data(),
)
def test_no_line_of_rubbish_costs_another_job(rubbish: list[str], data: st.DataObject) -> None:
    """Lines of anything between good ones: each good job stays, and the account adds up."""
    jobs = [Job(10 * i, 5, 60, 2, 9, "x", "ada") for i in range(4)]
    lines = piped(jobs).splitlines(keepends=True)
    for line in rubbish:
        at = data.draw(st.integers(1, len(lines)))
        lines.insert(at, line.replace("\n", " ") + "\n")
    report = Report("log")
    found = read_job_log("log", LogOptions(), report, "".join(lines).encode()).jobs
    assert {"1", "2", "3", "4"} <= {job.id for job in found}
    assert report.records == len(found) + sum(report.left_out.values()) + sum(report.joined.values())


BAD = [
    "too|few",
    "|COMPLETED|x|ada|2024-03-01T10:00:00|2024-03-01T10:05:00|2024-03-01T11:05:00|4|120",  # no id
    "7000001|COMPLETED|x|ada|yesterday|2024-03-01T10:05:00|2024-03-01T11:05:00|4|120",
    "7000002|COMPLETED|x|ada|2024-03-01T10:00:00|2024-03-01T10:05:00|2024-03-01T09:05:00|4|120",
    "7000003|COMPLETED|x|ada|2024-03-01T10:00:00|2024-03-01T10:05:00|2024-03-01T11:05:00|four|120",
    "7000004|COMPLETED|x|ada|2024-03-01T10:00:00|2024-03-01T10:05:00|2024-03-01T11:05:00|4|soon",
    "a|b|c|d|e|f|g|h|i|j|k",
    "\ufffd\ufffd\ufffd",
]


def lines_of(count: int) -> tuple[str, str]:
    """A clean log, and the same with a bad line of each kind in turn in place of one in a hundred."""
    good = [
        f"{i}|COMPLETED|job {i % 97}|ada|{iso(1704067200 + 7 * i)}|{iso(1704067260 + 7 * i)}|"
        f"{iso(1704070000 + 7 * i)}|{1 + i % 64}|120\n"
        for i in range(count)
    ]
    head = "|".join(HEADER) + "\n"
    mixed = [BAD[i // 100 % len(BAD)] + "\n" if i % 100 == 50 else line for i, line in enumerate(good)]
    return head + "".join(good), head + "".join(mixed)


@pytest.mark.slow
def test_200_000_lines_with_a_bad_one_in_a_hundred() -> None:
    """Counts are exact: 2,000 of 200,000 can't be read, the first ten are named."""
    report = Report("log")
    jobs = read_job_log("log", LogOptions(), report, lines_of(200_000)[1].encode()).jobs
    assert (report.records, len(jobs)) == (200_000, 198_000)
    assert report.left_out == {"can't be read": 2_000}
    assert len(report.unread) == 10


def test_bad_lines_take_no_more_work_than_good_ones() -> None:
    """A log with them takes at most 10 % more than a clean one, in function calls: clocks aren't exact."""

    def calls(text: str) -> int:
        profile = cProfile.Profile()
        profile.runcall(read_job_log, "log", LogOptions(), Report("log"), text.encode())
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    clean, dirty = (calls(text) for text in lines_of(8_000))
    assert dirty <= 1.1 * clean
