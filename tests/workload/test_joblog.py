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
        '"COBALT_JOBID","QUEUED_TIMESTAMP","START_TIMESTAMP","END_TIMESTAMP",'
        '"WALLTIME_SECONDS","NODES_USED"\n'
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


# one job of 3,600 s on 4 nodes: submitted at 10:00 UTC of 2024-03-01, started at 10:05, 2 h asked for
SUBMIT, START, END = 1709287200, 1709287500, 1709291100
SACCT = "JobIDRaw|State|User|Submit|Start|End|NNodes|TimelimitRaw\n"
ROW = "101|COMPLETED|ada|2024-03-01T10:00:00|2024-03-01T10:05:00|2024-03-01T11:05:00|4|120"
SAMPLES = Path(__file__).parent / "joblogs"
LSF = (SAMPLES / "lsf").read_text()
PBS = (SAMPLES / "pbs").read_text()
NO_LIMIT = ("lsf", "helios", "sacct-fixed-width")  # these don't tell the time asked for


@pytest.mark.parametrize("kind", sorted(path.name for path in SAMPLES.iterdir()))
def test_every_format_tells_of_the_same_job(kind: str) -> None:
    jobs, report = read(SAMPLES / kind)
    (job,) = jobs.values()
    assert (job.number, job.nodes, round(job.submission), round(job.start)) == ("101", 4, SUBMIT, START)
    assert job.recorded().runtime == 3600
    assert job.requested_time == (None if kind in NO_LIMIT else 7200)
    if kind != "swf":
        assert job.members["user"] == "ada"
    assert report.kinds


def test_parquet_holds_the_same_job(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from datetime import UTC, datetime

    times = {name: [datetime.fromtimestamp(at, UTC)] for name, at in
             (("submit_time", SUBMIT), ("start_time", START), ("end_time", END))}  # fmt: skip
    table = arrow.table({"job_id": [101], "user_id": ["ada"], "num_nodes_alloc": [4], "time_limit": [120],
                         "job_state": ["COMPLETED"], "power": [[1.0, 2.0]], **times})  # fmt: skip
    parquet.write_table(table, tmp_path / "jobs")
    jobs, _ = read(tmp_path / "jobs")
    job = jobs["101"]
    assert (job.submission, job.start, job.end, job.nodes, job.requested_time) == (
        SUBMIT,
        START,
        END,
        4,
        7200,
    )
    (tmp_path / "bad").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(InputError, match="damaged Parquet"):
        read(tmp_path / "bad")


def test_pai_tables_have_no_header_and_several_tasks_a_job(tmp_path: Path) -> None:
    rows = "a,ps,1,Terminated,100.0,500.0,600,29,,\na,worker,3,Terminated,120.0,520.0,600,29,50,T4\n"
    jobs, report = read(log(tmp_path, rows + "b,worker,2,Waiting,130.0,,600,29,50,T4\n"))
    assert {(j.id, j.nodes, j.submission, j.end) for j in jobs.values()} == {("a", 4, 100.0, 520.0)}
    assert report.joined == {"task of a job": 1}
    assert report.left_out == {"never ran": 1}
    with pytest.raises(InputError, match=r"pai_task_table\.csv"):
        read(log(tmp_path, "a,1f,u,Terminated,100.0,500.0\n"))


def test_requeues_arrays_and_heterogeneous_jobs(tmp_path: Path) -> None:
    """Six records, three jobs: 101 ran twice, 200 has components of 2 and 3 nodes, 300_1 is a task."""
    text = (
        "JobID|JobIDRaw|State|Submit|Start|End|NNodes\n"
        "101|101|NODE_FAIL|1709287200|1709287500|1709288000|4\n"
        "101|101|COMPLETED|1709288100|1709288200|1709289000|5\n"
        "200+0|200|COMPLETED|1709287200|1709287500|1709291100|2\n"
        "200+1|201|COMPLETED|1709287200|1709287500|1709291200|3\n"
        "300_1|301|COMPLETED|1709287200|1709287500|1709291100|1\n"
        "300_[2-9]|300|PENDING|1709287200|Unknown|Unknown|1\n"
    )
    jobs, report = read(log(tmp_path, text))
    assert {name: (job.nodes, job.submission, job.end) for name, job in jobs.items()} == {
        "101": (5, SUBMIT, 1709289000),
        "200": (5, SUBMIT, 1709291200),
        "301": (1, SUBMIT, END),
    }
    assert jobs["301"].members["array"] == "300_1"
    assert report.changed == {"requeued: last run kept": 1}
    assert report.left_out == {"never ran": 1}


def test_a_number_used_again_is_another_job(tmp_path: Path) -> None:
    """Slurm's numbers wrap, and a log of two clusters has each of them twice."""
    late = 1709287200 + 90 * 86400
    text = (
        f"JobIDRaw|State|Submit|Start|End|NNodes\n7|COMPLETED|{SUBMIT}|{START}|{END}|1\n"
        f"7|COMPLETED|{late}|{late}|{late + 60}|2\n"
    )
    jobs, _ = read(log(tmp_path, text))
    assert {name: job.nodes for name, job in jobs.items()} == {"7": 1, "7#2": 2}
    clusters = "JobIDRaw|Cluster|Submit|Start|End|NNodes\n" + "".join(
        f"7|{name}|{SUBMIT}|{START}|{END}|{n}\n" for n, name in enumerate(("a", "b"), start=1)
    )
    jobs, _ = read(log(tmp_path, clusters))
    assert {name: (job.nodes, job.number) for name, job in jobs.items()} == {"a.7": (1, "7"), "b.7": (2, "7")}


def test_steps_are_jobs_only_when_asked_for(tmp_path: Path) -> None:
    text = SACCT + "\n".join(
        [
            ROW,
            *(ROW.replace("101", f"101.{step}") for step in ("batch", "extern", "0", "1")),
            ROW.replace("101", "102"),
        ]
    )
    jobs, report = read(log(tmp_path, text))
    assert (set(jobs), report.joined) == ({"101", "102"}, {"step of a job": 4})
    jobs, _ = read(log(tmp_path, text), steps=True)
    assert set(jobs) == {"101.0", "101.1", "102"}


@pytest.mark.parametrize("word", ["nan", "NaT", "N/A", "\\N", "None", "Unknown", "", "0", "<NA>", "NULL"])
def test_unknown_times_are_a_job_that_never_ran(word: str, tmp_path: Path) -> None:
    text = f"JobIDRaw|Submit|Start|End|NNodes\n101|{SUBMIT}|{START}|{END}|4\n102|{SUBMIT}|{word}|{word}|4\n"
    jobs, report = read(log(tmp_path, text))
    assert (set(jobs), report.left_out) == ({"101"}, {"never ran": 1})


def test_zero_is_a_time_where_a_log_counts_from_its_own_start(tmp_path: Path) -> None:
    jobs, _ = read(log(tmp_path, "id,submit,start,end,nodes\n1,0,0,60,2\n2,0,60,90,1\n"))
    assert {(job.submission, job.start, job.end) for job in jobs.values()} == {(0, 0, 60), (0, 60, 90)}


def test_states_decide_what_ran(tmp_path: Path) -> None:
    """Cancelled while pending, while running, running, pending, suspended, of a state nobody knows."""
    rows = [
        ("1", "CANCELLED by 7", START, START, 0),
        ("2", "CANCELLED", START, END, 3600),
        ("3", "RUNNING", START, "Unknown", 100),
        ("4", "PENDING", "Unknown", "Unknown", 0),
        ("5", "SUSPENDED", START, END, 10),
        ("6", "FROBNICATED", START, END, 3600),
        ("7", "FAILED", START, START, 0),
        ("8", "TIMEOUT", START, END, 1800),
    ]
    text = "JobIDRaw|State|Submit|Start|End|ElapsedRaw|NNodes|TimelimitRaw\n" + "".join(
        f"{name}|{state}|{SUBMIT}|{start}|{end}|{elapsed}|4|120\n"
        for name, state, start, end, elapsed in rows
    )
    jobs, report = read(log(tmp_path, text))
    assert {name: job.runtime for name, job in jobs.items()} == {"2": 3600, "6": 3600, "7": 0, "8": 1800}
    assert report.left_out == {"never ran": 2, "still running when the log was taken": 2}
    assert report.assumed == {
        "state 'frobnicated' isn't known: the times decide": 1,
        "ran as long as the log's elapsed time says, not from start to end": 1,
    }
    jobs, report = read(log(tmp_path, text), unfinished="limit")
    assert (jobs["3"].runtime, jobs["4"].runtime, jobs["5"].runtime) == (7200, 7200, 7200)


@pytest.mark.parametrize(
    ("column", "value", "seconds"),
    [
        ("timelimit", "120", 7200),
        ("Timelimit", "02:00:00", 7200),
        ("time_limit", "120", 7200),
        ("wallclock_req", "7200", 7200),
        ("walltime_seconds", "7200", 7200),
        ("walltime_minutes", "120", 7200),
        ("walltime_hours", "2", 7200),
        ("time_limit_s", "7200", 7200),
        ("requested_time", "7200", 7200),
        ("walltime", "1-00:00:00", 86400),
        ("timelimit", "4294967295", None),
        ("timelimit", "Partition_Limit", None),
        ("timelimit", "0", None),
    ],
)
def test_limits_have_the_unit_their_format_says(
    column: str, value: str, seconds: float | None, tmp_path: Path
) -> None:
    jobs, _ = read(
        log(tmp_path, f"job_id,submit,start,end,nodes,{column}\n1,{SUBMIT},{START},{END},4,{value}\n")
    )
    assert jobs["1"].requested_time == seconds


def test_a_limit_without_unit_is_refused_and_can_be_said(tmp_path: Path) -> None:
    table = log(tmp_path, f"job_id,submit,start,end,nodes,walltime\n1,{SUBMIT},{START},{END},4,120\n")
    with pytest.raises(InputError, match=r"line 2: the column 'walltime'.*--column limit=walltime:minutes"):
        read(table)
    assert read(table, columns=("limit=walltime:minutes",))[0]["1"].requested_time == 7200


def test_columns_of_any_name_can_be_said(tmp_path: Path) -> None:
    table = log(tmp_path, f"Nr;queued at;ran from;ran to;boxes;asked\n1;{SUBMIT};{START};{END};4;2\n")
    columns = (
        "id=Nr",
        "submit=queued at",
        "start=ran from",
        "end=ran to",
        "nodes=boxes",
        "limit=asked:hours",
    )
    job = read(table, columns=columns)[0]["1"]
    assert (job.submission, job.end, job.nodes, job.requested_time) == (SUBMIT, END, 4, 7200)
    for wrong, says in (
        ("submit=queued to", "did you mean 'queued at'"),
        ("submitted=queued at", "did you mean 'submit'"),
        ("submit", "is not ROLE=NAME"),
        ("limit=asked:fortnights", "unknown unit"),
    ):
        with pytest.raises(InputError, match=says):
            read(table, columns=(*columns, wrong))


@pytest.mark.parametrize("unit", [10**3, 10**6, 10**9])
def test_smaller_units_than_seconds_are_noticed(unit: int, tmp_path: Path) -> None:
    row = f"101,{SUBMIT * unit},{START * unit},{END * unit},{3600 * unit if unit == 1000 else 3600},4"
    jobs, report = read(log(tmp_path, f"job_id,submit_time,start_time,end_time,duration,node_count\n{row}\n"))
    assert jobs["101"].recorded().runtime == 3600
    assert "made seconds" in report.notes[0]


def test_nodes_are_those_allocated_and_else_what_tells_them(tmp_path: Path) -> None:
    times = f"{SUBMIT}|{START}|{END}"
    head = "JobIDRaw|Submit|Start|End|AllocNodes|ReqNodes|AllocTRES|NodeList|AllocCPUS\n"
    rows = [
        f"1|{times}|4|8|node=8|n[1-8]|96",
        f"2|{times}||8|billing=96,cpu=96,node=3|n[1-3]|96",
        f"3|{times}|0|8||a[01-03,7],b2,c[1-2]-[0-1]|96",
        f"4|{times}|||None assigned|96|".replace("|96|", "||96"),
        f"5|{times}||2-4|||",
        f"6|{times}||1.2K|||",
        f"7|{times}|||||",
    ]
    jobs, report = read(log(tmp_path, head + "\n".join(rows)), processors_per_node=48)
    assert {name: job.nodes for name, job in jobs.items()} == {
        "1": 4, "2": 3, "3": 4 + 1 + 4, "4": 2, "5": 2, "6": 1200,
    }  # fmt: skip
    assert report.left_out == {"no number of nodes": 1}


def test_a_night_hour_that_is_there_twice(tmp_path: Path) -> None:
    """Paris, 2023-10-29: 02:50 (first) to 02:10 (second) is 20 min; 01:50 to 02:20 is 5,400 s or 1,800 s."""
    head = "JobIDRaw|Submit|Start|End|ElapsedRaw|NNodes\n"
    rows = (
        "1|2023-10-29T02:40:00|2023-10-29T02:50:00|2023-10-29T02:10:00||4\n"
        "2|2023-10-29T01:40:00|2023-10-29T01:50:00|2023-10-29T02:20:00|5400|4\n"
        "3|2023-10-29T01:40:00|2023-10-29T01:50:00|2023-10-29T02:20:00|1800|4\n"
    )
    jobs, _ = read(log(tmp_path, head + rows), zone="Europe/Paris")
    assert [job.recorded().runtime for job in jobs.values()] == [1200, 5400, 1800]


def test_pbs_jobs_without_an_end_are_counted(tmp_path: Path) -> None:
    """One deleted in the queue, one still running, one rerun and ended, an array's parent and its subjob."""
    stamp = "03/01/2024 10:00:00"
    end = PBS.splitlines()[2].partition(";E;101.head;")[2]
    text = (
        f"{PBS}{stamp};Q;102.head;queue=work\n{stamp};D;102.head;requestor=ada@head\n"
        f"{stamp};Q;103.head;queue=work\n{stamp};S;103.head;user=ada ctime=1709287200 start=1709287500\n"
        f"{stamp};S;104.head;user=ada\n{stamp};R;104.head;user=ada\n{stamp};E;104.head;{end}\n"
        f"{stamp};E;105[].head;user=ada queue=work ctime=1709287200 start=1709287500 end=1709291100\n"
        f"{stamp};E;105[3].head;{end}\n{stamp};L;license;floating license hour: 3\nrubbish\n"
    )
    jobs, report = read(log(tmp_path, text))
    assert {name: job.number for name, job in jobs.items()} == {
        "101.head": "101", "104.head": "104", "105[3].head": "105",
    }  # fmt: skip
    assert report.left_out == {"never ran": 2, "still running when the log was taken": 1, "can't be read": 1}
    assert jobs["101.head"].members["account"] == "the climate"


def test_lsf_arrays_short_host_lists_and_jobs_that_never_started(tmp_path: Path) -> None:
    array = LSF.replace('"climate" 0 8 "" "" 0', '"climate" 0 8 "" "" 7')
    short = LSF.replace(" 101 ", " 102 ").replace(
        '8 "n1" "n1" "n2" "n2" "n3" "n3" "n4" "n4"', '4 "2*n1" "2*n2" "2*n3" "2*n4"'
    )
    never = LSF.replace(" 101 ", " 103 ").replace("0 0 1709287500", "0 0 0").replace(
        '8 "n1" "n1" "n2" "n2" "n3" "n3" "n4" "n4" 64', "0 32"
    )  # fmt: skip
    jobs, report = read(log(tmp_path, array + short + never + '"JOB_FINISH" "10"\n'))
    assert {name: (job.number, job.nodes) for name, job in jobs.items()} == {
        "101[7]": ("101", 4),
        "102": ("102", 4),
    }
    assert report.left_out == {"never ran": 1, "can't be read": 1}
    assert jobs["102"].members["name"] == 'my "first" job'


def test_squeue_has_clusters_and_no_submission(tmp_path: Path) -> None:
    text = (
        "CLUSTER: one\n             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n"
        "               101     batch   my job      ada  R    1:00:00      4 n[1-4]\n"
    )
    with pytest.raises(InputError, match=r"submit: submit.*found JOBID, PARTITION"):
        read(log(tmp_path, text))


def test_headers_in_the_middle_comments_and_records_twice(tmp_path: Path) -> None:
    """Two overlapping logs, one behind the other."""
    text = "# taken on a Monday\n\n" + (SACCT + ROW + "\n" + ROW.replace("101", "102") + "\n") * 2
    jobs, report = read(log(tmp_path, text))
    assert (set(jobs), report.left_out) == ({"101", "102"}, {"the same record again": 2})


@pytest.mark.parametrize("pack", ["gzip", "bz2", "lzma"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_packed_marked_and_other_encodings(pack: str, encoding: str, tmp_path: Path) -> None:
    import importlib

    data = (SACCT + ROW.replace("ada", "adé") + "\n").encode(encoding)
    jobs, report = read(log(tmp_path, importlib.import_module(pack).compress(data)))
    assert set(jobs) == {"101"}
    assert report.notes == (["1 byte that is not UTF-8: replaced"] if encoding == "latin-1" else [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("IOR-3.3.0: MPI Coordinated Test of Parallel I/O\n", "IOR's output"),
        ("IO500 version io500-sc20\n[RESULT] ior-easy-write 1 GiB/s\n", "IO500's output"),
        ("# burst buffers\nAllowUsers=ada\nDefaultPool=wlm_pool\nGranularity=10GB\n", "burst_buffer.conf"),
        ("# darshan log version: 3.41\n# exe: ./a\n", "darshan-parser"),
        ('{"version": 1, "resources": [], "tasks": [], "attributes": {}}', "Flux jobspec"),
        ('{"jobs": [{"submit_time": 5, "num_nodes": 2, "application_model": "m"}]}', "ElastiSim"),
        ('{"nb_res": 1, "jobs": [], "profiles": {}}', "a Batsim workload already"),
        ("3.41\0\0\0\0" + "75d\0\0\0\0\0", "from-darshan"),
        ("JobID|State\n1|COMPLETED\n", "a column is missing"),
        ("jobs:\n- {id: 1, readBytes: 1, writtenBytes: 2}\n", "from-storalloc"),
        ("JobIDRaw|State\n1|COMPLETED\n", "sacct -aXP"),
        ("{broken", "malformed JSON"),
        ("just some words\nand more\n", "a column is missing"),
        ("#!/bin/bash\n#SBATCH -N 4\nsrun ./a\n", "batch script"),
    ],
)
def test_what_is_no_log_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        read(log(tmp_path, text))


BOX = """\
+--------+-------------+------------+------------+-------------+
| id_job | time_submit | time_start | time_end   | nodes_alloc |
+--------+-------------+------------+------------+-------------+
|    101 |  1709287200 | 1709287500 | 1709291100 |           4 |
+--------+-------------+------------+------------+-------------+
"""


@pytest.mark.parametrize(
    "text",
    [
        BOX,
        "\n".join(line.strip("|") for line in BOX.splitlines()[1:4]).replace("+---", "----", 1)
        + "\n(1 row)\n",
        'sep=;\n"id_job";"time_submit";"time_start";"time_end";"nodes_alloc"\n101;1709287200;1709287500;1709291100;4',
        '"id_job"|"time_submit"|"time_start"|"time_end"|"nodes_alloc"\n"101"|"1709287200"|"1709287500"|"1709291100"|"4"',
    ],
    ids=["mysql", "psql", "Excel", "quoted"],
)
def test_tables_as_other_tools_draw_them(text: str, tmp_path: Path) -> None:
    jobs, report = read(log(tmp_path, text))
    assert (jobs["101"].nodes, jobs["101"].end) == (4, END)
    assert report.left_out == {}


def test_two_free_texts_share_what_is_over_if_it_can_be_told(tmp_path: Path) -> None:
    """The times between the texts tell which delimiters are theirs; else the line is left out."""
    head = "JobID|JobName|Submit|Start|End|NNodes|Comment|Timelimit\n"
    times = f"{SUBMIT}|{START}|{END}|4"
    rows = f"1|a|b|{times}|c|d|1-00:00:00\n2||{times}||||2\n3|x|1|2|{times}|y|3\n4|a|7|8|9|1|{times}|5|6|1\n"
    jobs, report = read(log(tmp_path, head + rows))
    assert {name: (job.submission, job.nodes, job.requested_time) for name, job in jobs.items()} == {
        "1": (SUBMIT, 4, 86400), "2": (SUBMIT, 4, 120), "3": (SUBMIT, 4, 180),
    }  # fmt: skip
    assert report.left_out == {"can't be read": 1}
