"""Job logs of all kinds: what becomes of each record, and that nothing is lost without a count."""

from __future__ import annotations

from pathlib import Path

import pytest

from batfs.errors import InputError
from batfs.workload.account import Report
from batfs.workload.joblog import LogOptions, SchedulerJob, read_job_log


def read(path: Path, **options: object) -> tuple[dict[str, SchedulerJob], Report]:
    """The jobs of a log by id, and the account, which adds up."""
    report = Report(path.name)
    jobs = read_job_log(path, LogOptions(**options), report).jobs  # type: ignore[arg-type]
    assert report.records == len(jobs) + sum(report.left_out.values()) + sum(report.joined.values())
    assert len({job.id for job in jobs}) == len(jobs)
    return {job.id: job for job in jobs}, report


def log(tmp_path: Path, text: str | bytes, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("JobID|Start|End|NNodes\n", "submit: submit"),
        ("JobID|Submit|Start|End|NNodes\n1|a|2|3|1\n", "line 2: 'a' is not a time"),
        ("JobID|Submit|Start|End|NNodes\n1|0|5|3|1\n", "line 2: the job ends (3) before it starts (5)"),
        ("JobID|Submit|Start|End|NNodes\n1|0|5|6|x\n", "line 2: the number of nodes is 'x'"),
        ("JobID|Submit|Start|End|NNodes\n1|0|5|6\n", "line 2: found 4 columns, expected 5"),
        ("JobID|Submit|Start|End|NNodes\n1|0|5|6|1\n1|0|5|6|1\n", "line 3: the job id '1' is there twice"),
        ("JobID,Submit,Start,End,NNodes,Timelimit\n1,0,5,6,1,soon\n", "requested time is 'soon'"),
    ],
)
def test_strict_refuses_what_makes_no_sense(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_job_log(log(tmp_path, text), LogOptions(strict=True), Report("t"))
    assert says in str(caught.value)


def test_scheduler_logs_of_other_kinds(tmp_path: Path) -> None:
    alcf = log(
        tmp_path,
        '"COBALT_JOBID","QUEUED_TIMESTAMP","START_TIMESTAMP","END_TIMESTAMP","WALLTIME_SECONDS","NODES_USED"\n'
        '"470732","2020-10-01 16:25:34","2020-10-01 20:08:47","2020-10-01 20:35:42","3600.0","128.0"\n',
    )
    (job,) = read(alcf)[0].values()
    assert (job.id, job.nodes, job.requested_time, job.end - job.start) == ("470732", 128, 3600, 1615)
    limits = {"1-02:03:04": 93784, "02:03:04": 7384, "30:00": 1800, "1-12:30": 131400, "UNLIMITED": None}
    rows = [f"{i}|0|1|2|1|{text}" for i, text in enumerate(limits)]
    slurm = log(tmp_path, "\n".join(["JobID|Submit|Start|End|NNodes|Timelimit", *rows]))
    assert [job.requested_time for job in read(slurm)[0].values()] == list(limits.values())
    swf = log(tmp_path, "; UnixStartTime: 1000\n1 10 5 60 8 -1 -1 8 120 -1 1 -1 -1 -1 -1 -1 -1 -1\n")
    (job,) = read(swf)[0].values()
    assert (job.submission, job.start, job.end, job.nodes) == (1010, 1015, 1075, 8)
