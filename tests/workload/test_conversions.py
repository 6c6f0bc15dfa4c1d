"""What converters assume, join and count: walltimes, computation without I/O, phases, clocks, scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.texts import Text
from batfs.workload import parse_workload, read_workload, requested_io
from batfs.workload.account import Report
from batfs.workload.batsim import workload_lines
from batfs.workload.darshan import DarshanOptions, to_jobs
from batfs.workload.io import RequestedIo
from batfs.workload.joblog import SchedulerJob
from batfs.workload.model import Composed, Workload
from batfs.workload.phases import io_over_phases
from batfs.workload.recorded import ConvertOptions, Phase, RecordedJob, convert
from batfs.workload.swf import SwfOptions, parse_swf

NOON = 1709290800.0


def converted(jobs: list[RecordedJob], **options: Any) -> tuple[Workload, Report]:
    report = Report("test", records=len(jobs))
    made = convert(jobs, ConvertOptions(**options), report)
    read = parse_workload("".join(workload_lines(made)).encode())
    assert read.jobs == made.jobs
    assert report.records == len(made.jobs) + sum(report.left_out.values())
    return made, report


@pytest.mark.parametrize(
    ("rule", "walltimes", "count"),
    [
        ("keep", [50, None], "no requested time: without a walltime"),
        ("runtime:2", [50, 200], "no requested time: 2 x the run time"),
        ("extend+runtime:1.5", [100, 150], "no requested time: 1.5 x the run time"),
        ("12h", [50, 43200], "no requested time: 12h"),
        ("none", [None, None], ""),
    ],
)
def test_jobs_without_a_requested_time(rule: str, walltimes: list[float | None], count: str) -> None:
    jobs = [RecordedJob("a", 0, 1, 100, 50), RecordedJob("b", 1, 1, 100)]
    made, report = converted(jobs, walltime=rule)
    assert [job.walltime for job in made.jobs] == walltimes
    assert not count or {**report.changed, **report.assumed}[count] == 1


def test_drawn_walltimes_lie_between_their_factors_and_repeat() -> None:
    jobs = [RecordedJob(str(i), i, 1, 100) for i in range(200)]
    first, _ = converted(jobs, walltime="uniform:1,5")
    again, _ = converted(jobs, walltime="uniform:1,5")
    other, _ = converted(jobs, walltime="uniform:1,5", seed=2)
    times = [job.walltime or 0 for job in first.jobs]
    assert all(100 <= time <= 500 for time in times)
    assert 250 < sum(times) / 200 < 350  # 300 on average
    assert first.jobs == again.jobs != other.jobs


@pytest.mark.parametrize(
    "rule", ["soon", "runtime:0.5", "uniform:5,1", "none+runtime:2", "runtime:", "-1h", ""]
)
def test_walltime_rules_that_make_no_sense(rule: str) -> None:
    with pytest.raises(InputError, match="the walltime"):
        converted([RecordedJob("a", 0, 1, 100)], walltime=rule)


def test_what_a_workload_cannot_have_is_left_out_and_counted() -> None:
    """No nodes, too many for an int, run times and submissions that are no numbers; 64 bits and more stay."""
    jobs = [
        RecordedJob("zero", 0, 0, 1),
        RecordedJob("huge", 0, 2**40, 1),
        RecordedJob("nan", 0, 1, float("nan")),
        RecordedJob("when", float("inf"), 1, 1),
        RecordedJob("1.pbsw01", 0, 1, 1e15, 0.0, io=(RequestedIo("fs", 2**63, 2**64),)),
    ]
    made, report = converted(jobs, speed=1e9)
    assert [job.id for job in made.jobs] == ["w0!1.pbsw01"]
    assert made.profiles["1.pbsw01"].cpu == 1e24  # type: ignore[union-attr]
    assert sum(report.left_out.values()) == 4


def test_computation_without_the_measured_io() -> None:
    io = (RequestedIo(None, 5, 0),)
    jobs = [
        RecordedJob("a", 0, 1, 100, io=io, io_seconds=30),
        RecordedJob("b", 0, 1, 100, io=io, io_seconds=130),
        RecordedJob("c", 0, 1, 100, io=io),
        RecordedJob("d", 0, 1, 100, io=()),
    ]
    made, report = converted(jobs, compute="without-io", speed=1)
    cpu = {job.name: made.profiles[job.profile].cpu for job in made.jobs}  # type: ignore[union-attr]
    assert cpu == {"a": 70, "b": 0, "c": 100, "d": 100}
    assert report.changed == {"measured I/O time taken off its computation": 2}
    assert report.assumed["measured I/O time unknown: all of its run time is computation"] == 1


def test_phases_become_a_composed_job_and_lose_no_byte() -> None:
    """A run of 100 s reads in 10..20, writes in 15..30 and 90..120 (cut at 100): it computes 10 + 60 s."""
    phases = (
        Phase(10, 20, (RequestedIo("fs", 5, 0),)),
        Phase(15, 30, (RequestedIo("fs", 0, 7),)),
        Phase(90, 120, (RequestedIo("fs", 0, 8),)),
    )
    job = RecordedJob("a", 0, 2, 100, io=(RequestedIo("fs", 6, 20, 3),), phases=phases)
    made, _ = converted([job], compute="phases", speed=1)
    profile = made.profiles["a"]
    assert isinstance(profile, Composed)
    steps = [made.profiles[name] for name in profile.sequence]
    assert [step.cpu for step in steps] == [10, 0, 60, 0]  # type: ignore[union-attr]
    # the byte that no phase read is read in the first, the 5 that none wrote are written in the last
    assert [(step.extra.get("io_reads"), step.extra.get("io_writes")) for step in steps] == [
        (None, None), (6, 7), (None, None), (0, 13),
    ]  # fmt: skip
    assert [(io.reads, io.writes) for io in io_over_phases(profile, made.profiles)] == [(6, 20)]


def darshan(number: str, start: float, seconds: float, size: int = 7) -> dict[str, Any]:
    use = dict.fromkeys(("reads", "metadata_operations", "read_seconds", "metadata_seconds"), 0)
    use |= {"type": "lustre", "writes": size, "write_seconds": 4.0, "shared_bytes": 0, "files": 1}
    use["intervals"] = [["writes", 0.0, seconds, size]]
    return {
        "job": number, "start": start, "end": start + seconds, "seconds": seconds, "processes": 2,
        "executable": "x", "mounts": {"/lus": use},
    }  # fmt: skip


def scheduled(name: str, start: float, end: float) -> SchedulerJob:
    return SchedulerJob(name, start - 10, start, end, 2)


def test_darshan_belongs_to_the_job_of_its_number_in_whose_time_it_lies() -> None:
    """Tasks of a PBS array have one number; a number used again is another job."""
    jobs = [
        scheduled("5[1].head", NOON, NOON + 100),
        scheduled("5[2].head", NOON + 200, NOON + 300),
        scheduled("9", NOON, NOON + 100),
    ]
    logs = [
        darshan("5", NOON + 210, 50, 2),
        darshan("5", NOON + 10, 50, 1),
        darshan("9", NOON + 10**7, 50, 3),
    ]
    report = Report("r")
    found = {job.id: job for job in to_jobs(logs, jobs, DarshanOptions(), report)}
    assert {name: job.io[0].writes for name, job in found.items() if job.io} == {
        "5[1].head": 1, "5[2].head": 2, "9#darshan": 3,
    }  # fmt: skip
    assert found["9"].io is None
    assert report.joined == {"Darshan log of a job in the scheduler log": 2}
    assert "not joined" in report.notes[0]


@pytest.mark.parametrize(("hours", "zone"), [(2, "Etc/GMT-2"), (-6, "Etc/GMT+6"), (5.5, "")])
def test_a_shift_that_fits_all_is_proposed_as_a_zone(hours: float, zone: str) -> None:
    away = hours * 3600
    jobs = [scheduled(str(i), NOON + i * 1000 + away, NOON + i * 1000 + away + 500) for i in range(3)]
    report = Report("r")
    found = to_jobs(
        [darshan(str(i), NOON + i * 1000 + 20, 100) for i in range(3)], jobs, DarshanOptions(), report
    )
    assert len(found) == 3
    assert [phase.begin for phase in found[0].phases] == [20]
    (note,) = report.notes
    assert f"{abs(int(hours))} h" in note
    assert zone in note


def test_a_name_that_no_file_is_under_is_an_error() -> None:
    with pytest.raises(InputError, match=r"--name /scratch=bb: no file is under it.*/lus \(lustre\)"):
        to_jobs([darshan("1", NOON, 5)], None, DarshanOptions(names={"/scratch": "bb"}), Report("r"))


def test_runs_of_less_than_a_second_are_counted() -> None:
    report = Report("r")
    (job,) = to_jobs([darshan("1", NOON, 0.25)], None, DarshanOptions(), report)
    assert (job.runtime, report.changed) == (1.0, {"run of less than a second made 1 s": 1})
    assert job.io_seconds == 2.0  # 4 s of two processes


def test_alcfs_two_tables_are_a_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Darshan's table alone, and with the scheduler's: runs add up, MPI-IO counts without POSIX."""
    head = (
        "COBALT_JOBID,START_TIMESTAMP,END_TIMESTAMP,NODES_USED,NPROCS,RUN_TIME,TOTAL_POSIX_BYTES_READ,"
        "TOTAL_POSIX_BYTES_WRITTEN,TOTAL_MPIIO_BYTES_READ,TOTAL_STDIO_BYTES_WRITTEN,TOTAL_POSIX_F_READ_TIME\n"
    )
    times = "2020-10-01 20:08:47,2020-10-01 20:35:42"
    (tmp_path / "darshan.csv").write_text(
        f"{head}470732,{times},128,2048,67,100,0,500,3,64\n470732,{times},128,2048,97,0,0,40,0,0\n"
        f"470733,,,128,2048,97,0,0,40,0,0\n"
    )
    (tmp_path / "djc.csv").write_text(
        "COBALT_JOBID,QUEUED_TIMESTAMP,START_TIMESTAMP,END_TIMESTAMP,WALLTIME_SECONDS,NODES_USED\n"
        f"470732,2020-10-01 16:25:34,{times},3600.0,128.0\n"
    )
    out = tmp_path / "w.json"
    words = ["workload", "from-darshan", str(tmp_path / "darshan.csv"), "--json", "-o", str(out)]
    for more, wait in (([], None), (["--jobs", str(tmp_path / "djc.csv")], 13393)):
        assert main([*words, *more]) == 0
        report = json.loads(capsys.readouterr().out.partition("\n")[2])
        assert report["left_out"] == {"can't be read": 1}
        assert report["records"] == 1 + sum(report["joined"].values()) + 1
        workload = read_workload(out)
        (job,) = workload.jobs
        (io,) = requested_io(workload.profiles[job.profile])
        assert (job.name, job.requested_nodes, io.reads, io.writes) == ("470732", 128, 140, 3)
        assert job.extra.get("recorded", {}).get("wait") == wait


def test_scripts_tell_of_burst_buffers(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    dw = "#!/bin/bash\n#SBATCH -J {}\n#DW jobdw type=scratch capacity={} access_mode=striped\n{}srun ./a\n"
    stage_in = "#DW stage_in type=directory source=/lus/in destination=$DW_JOB_STRIPED/in\n"
    stage_out = "#DW stage_out type=file source=$DW_JOB_STRIPED/out destination=/lus/out\n"
    (scripts / "job.101.sh").write_text(dw.format("x", "2TB", stage_in))
    (scripts / "solver.sh").write_text(dw.format("solve", "10GiB", stage_in + stage_out))
    (scripts / "other.sh").write_text(dw.format("nobody", "1GB", ""))
    (scripts / "plain.sh").write_text("#!/bin/bash\nsrun ./a\n")
    (tmp_path / "jobs.csv").write_text(
        "job_id,job_name,submit,start,end,nodes\n101,x,1,2,3,4\n102,solve,1,2,3,4\n103,y,1,2,3,4\n"
    )
    out = tmp_path / "w.json"
    words = ["workload", "from-log", str(tmp_path / "jobs.csv"), "--scripts", str(scripts), "-o", str(out)]
    assert main(words) == 0
    workload = read_workload(out)
    found = {job.name: requested_io(workload.profiles[job.profile]) for job in workload.jobs}
    assert [(io.filesystem, io.reads, io.writes, io.options) for io in (*found["101"], *found["102"])] == [
        ("bb", 2 * 10**12, 0, {"stage_in": True, "stage_out": False}),
        ("bb", 5 * 2**30, 5 * 2**30, {"stage_in": True, "stage_out": True}),
    ]
    assert found["103"] == ()
    assert workload.extra["converted"]["notes"] == [
        "1 scripts with burst buffers belong to no job of the log"
    ]


def scripted(folder: Path, text: str) -> int:
    """A log of one job of 4 nodes, and its script."""
    (folder / "s").mkdir()
    (folder / "s" / "job.101.sh").write_text(text)
    (folder / "jobs.csv").write_text("job_id,submit,start,end,nodes\n101,1,2,3,4\n")
    words = ["from-log", str(folder / "jobs.csv"), "--scripts", str(folder / "s")]
    return main(["workload", *words, "-o", str(folder / "w.json")])


@pytest.mark.parametrize(
    "lines",
    [
        "#DW jobdw type=xfs capacity=1TB name=local-1\n"
        "#DW jobdw type=lustre capacity=10TB name=all\n"
        "#DW copy_in source=/lus/in destination=$DW_JOB_local_1/in\n"
        "#DW copy_out source=$DW_JOB_local_1/out destination=/lus/out\n"
        "#DW copy_in source=/lus/in destination=$DW_JOB_all\n",
        '#FLUX: -N 4\n#FLUX: -S dw="""\n'
        "#FLUX: #DW jobdw type=xfs capacity=1TB name=local1\n"
        "#FLUX: #DW jobdw type=lustre capacity=10TB name=all\n"
        "#FLUX: #DW copy_in source=/lus/in destination=$DW_JOB_local1/in\n"
        "#FLUX: #DW copy_out source=$DW_JOB_local1/out destination=/lus/out\n"
        '#FLUX: #DW copy_in source=/lus/in destination=$DW_JOB_all\n#FLUX: """\n',
    ],
)
def test_scripts_tell_of_rabbits(tmp_path: Path, lines: str) -> None:
    """XFS: 1 TB for each of 4 nodes, half of it read and half written; Lustre: 10 TB in all, copied in."""
    assert scripted(tmp_path, "#!/bin/bash\n" + lines + "flux run ./a\n") == 0
    workload = read_workload(tmp_path / "w.json")
    [job] = workload.jobs
    found = requested_io(workload.profiles[job.profile])
    tb = 10**12
    assert [(io.filesystem, io.reads, io.writes, io.options) for io in found] == [
        (
            "rabbit",
            2 * tb,
            2 * tb,
            {"type": "xfs", "capacity": 4 * tb, "stage_in": True, "stage_out": True},
        ),
        (
            "rabbit",
            10 * tb,
            0,
            {"type": "lustre", "capacity": 10 * tb, "stage_in": True, "stage_out": False},
        ),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("#DW jobdw type=xfs name=a", "jobdw without capacity="),
        ("#DW jobdw type=xfs capacity=1TB", "jobdw without name="),
        ("#DW jobdw type=xfs capacity=1XB name=a", "unknown unit 'XB'"),
        ("#DW copy_in destination=$DW_JOB_a", "copy_in without source="),
        ("#DW copy_out source=$DW_JOB_fats destination=/l", "did you mean 'fast'"),
        ("#DW jobdw type=gfs2 capacity=1TB name=fast", "a second jobdw with the name 'fast'"),
        ("#DW create_persistent type=xfs name=a", "create_persistent without capacity="),
        ("#DW create_persistent type=xfs capacity=1XB name=a", "unknown unit 'XB'"),
        ("#DW persistentdw", "persistentdw without name="),
        ("#BB destroy_persistent hurry", "destroy_persistent without name="),
    ],
)
def test_mistakes_in_directives(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scripted(tmp_path, f"#!/bin/bash\n#DW jobdw type=xfs capacity=1TB name=fast\n{line}\n") == 2
    told = capsys.readouterr().err
    assert "job.101.sh: line 3" in told
    assert message in told


@pytest.mark.parametrize(
    ("kind", "filesystem", "size"), [("xfs", "rabbit", 4), ("lustre", "rabbit", 1), ("scratch", "bb", 1)]
)
def test_persistent_storage_is_a_data_set(tmp_path: Path, kind: str, filesystem: str, size: int) -> None:
    """1 GB, for each of the creator's 4 nodes on XFS: 1 creates it, 2 copies in, writes and reads it, 3 reads
    it, 4 destroys it, 5 uses what nobody creates, which is noted."""
    lines = {
        1: f"#DW create_persistent type={kind} capacity=1GB name=my-set",
        2: "#DW persistentdw name=my-set\n#DW copy_in source=/lus/in destination=$DW_PERSISTENT_my_set/in",
        3: "#DW persistentdw name=my-set",
        4: "#DW destroy_persistent name=my-set",
        5: "#DW persistentdw name=other",
    }
    (tmp_path / "s").mkdir()
    for number, line in lines.items():
        (tmp_path / "s" / f"job.{number}.sh").write_text(f"#!/bin/bash\n{line}\n")
    rows = "".join(f"{number},{number},2,3,{4 if number == 1 else 2}\n" for number in lines)
    (tmp_path / "jobs.csv").write_text("job_id,submit,start,end,nodes\n" + rows)
    words = ["workload", "from-log", str(tmp_path / "jobs.csv"), "--scripts", str(tmp_path / "s")]
    out = tmp_path / "w.json"
    assert main([*words, "-o", str(out)]) == 0
    workload = read_workload(out)
    profiles = {job.name: requested_io(workload.profiles[job.profile]) for job in workload.jobs}
    found = {
        name: [(io.filesystem, io.reads, io.writes, dict(io.options)) for io in ios]
        for name, ios in profiles.items()
    }
    whole = size * 10**9
    plain = {"data_set": "my-set", "stage_in": False, "stage_out": False}
    made = {**plain, "size": whole} | ({} if kind == "scratch" else {"type": kind})
    assert found["1"] == [(filesystem, 0, 0, made)]
    assert found["2"] == [(filesystem, whole, whole, {**made, "missing": "wait"})]
    assert found["3"] == [(filesystem, whole, 0, {**made, "missing": "wait"})]
    assert found["4"] == [(filesystem, 0, 0, {**plain, "delete": True})]
    assert found["5"] == []
    notes = workload.extra["converted"]["notes"]
    assert "job.5.sh: line 2: persistentdw isn't read: no job of the log creates 'other'" in notes
    assert main([*words, "--anonymise", "-o", str(out)]) == 0
    assert "my-set" not in out.read_text()


@pytest.mark.parametrize(("column", "keys"), [("job_name", ("x", "y")), ("user", ("ada", "bob"))])
def test_volumes_by_name_or_user(column: str, keys: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(
        "job_id,job_name,user,submit,start,end,nodes\n1,x,ada,1,2,3,4\n2,x,ada,1,2,3,4\n3,y,bob,1,2,3,4\n"
    )
    (tmp_path / "io.csv").write_text(f"{column},reads,writes\n{keys[0]},3 GiB,0\n{keys[1]},0,900G\n")
    out = tmp_path / "w.json"
    table = ["--io-csv", str(tmp_path / "io.csv")]
    assert main(["workload", "from-log", str(tmp_path / "jobs.csv"), *table, "-o", str(out)]) == 0
    workload = read_workload(out)
    volumes = {job.name: workload.profiles[job.profile].extra for job in workload.jobs}
    assert [(volumes[n]["io_reads"], volumes[n]["io_writes"]) for n in "123"] == [
        (3 * 2**30, 0), (3 * 2**30, 0), (0, 9 * 10**11),
    ]  # fmt: skip


def test_anonymised_logs_name_nobody(tmp_path: Path) -> None:
    secret = ("777001", "777002", "marie", "pierre", "radium", "polonium", "secret-run", "confidential")
    (tmp_path / "marie.csv").write_text(
        "job_id,job_name,user,account,partition,state,submit,start,end,nodes\n"
        "777002,secret-run,marie,radium,confidential,COMPLETED,1709287300,1709287500,1709291100,4\n"
        "777001,secret-run,pierre,radium,confidential,polonium,1709287200,1709287500,1709291100,4\n"
        "marie,secret-run\n"
    )
    out = tmp_path / "w.json"
    assert main(["workload", "from-log", str(tmp_path / "marie.csv"), "--anonymise", "-o", str(out)]) == 0
    text = out.read_text()
    assert not [word for word in secret if word in text.replace(str(tmp_path), "")]
    first, second = read_workload(out).jobs
    assert (first.name, second.name) == ("1", "2")  # in the order of submission
    assert (first.extra["user"], second.extra["user"]) == ("user1", "user2")
    assert first.extra["account"] == second.extra["account"]
    assert read_workload(out).extra["converted"]["left_out"] == {"can't be read": 1}


fields = st.sampled_from(
    ["-1", "0", "1", "7", "2.5", "100", "1e300", "nan", "inf", "x", "99999999999999999999"]
)
swf_line = st.lists(fields, min_size=16, max_size=20).map(" ".join)
header = st.sampled_from(
    ["; MaxProcs: 64", "  ; MaxNodes: 7", "; UnixStartTime: 1e30", "; UnixStartTime: 1607644800000", ";",
     "; TimeZone: 99999999999", "; TimeZoneString: Nowhere/Here", "JobID Submit Wait Run", ""]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(header | swf_line, max_size=12),
    st.sampled_from([None, 1, 48]),
    st.sampled_from(["recorded", "shift"]),
)
def test_any_swf_converts_with_counts_that_add_up(lines: list[str], per_node: int | None, shift: str) -> None:
    report = Report("log")
    options = SwfOptions("allocated", per_node, False, shift)  # type: ignore[arg-type]
    try:
        log = parse_swf(Text("\n".join(lines)), options, report, "log")
    except InputError as error:
        if "it is a job table" not in str(error):
            raise
        return
    assert report.records == len(log.jobs) + sum(report.left_out.values())
    try:
        made = convert(log.jobs, ConvertOptions(nodes=log.nodes), report)
    except InputError as error:
        if "no job is left" not in str(error):
            raise
        return
    assert report.records == len(made.jobs) + sum(report.left_out.values())
    assert parse_workload("".join(workload_lines(made)).encode()).jobs == made.jobs


def test_fields_17_and_18_are_counted_or_kept_to() -> None:
    """Job 2 may start 10 s after job 1 has ended at 100 s."""
    text = Text(
        "1 0 0 100 1 -1 -1 1 200 -1 1 5 2 -1 1 0 -1 -1\n2 0 110 100 1 -1 -1 1 200 -1 1 5 2 -1 1 0 1 10\n"
    )
    report = Report("log")
    assert [job.submission for job in parse_swf(text, SwfOptions(), report, "x").jobs] == [0, 0]
    assert sum(report.assumed.values()) == 1
    shifted = parse_swf(text, SwfOptions(dependencies="shift"), report, "x").jobs
    assert [job.submission for job in shifted] == [0, 110]


def test_processors_rounded_up_to_nodes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two nodes of 48 processors, 96 jobs of one: 48 times the node-seconds they take."""
    rows = "".join(f"{i} {i} 0 100 1 -1 -1 1 120 -1 1 1 1 -1 1 -1 -1 -1\n" for i in range(1, 97))
    (tmp_path / "log.swf").write_text(f"; MaxNodes: 2\n; MaxProcs: 96\n{rows}")
    words = ["workload", "from-swf", str(tmp_path / "log.swf"), "-o", str(tmp_path / "w.json")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "96  shares no node: its processors rounded up to whole nodes" in shown
    assert "48 x the node-seconds (load 50.5 in place of 1.05)" in shown
    assert "--processors-per-node 1" in shown
    assert main([*words, "--processors-per-node", "1"]) == 0
    assert read_workload(tmp_path / "w.json").nb_res == 96


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{"jobs":[{"type":"rigid","submit_time":5,"num_nodes":2,"application_model":"m.json"}]}',
            "ElastiSim",
        ),
        ('{"name":"x","schemaVersion":"1.5","workflow":{"tasks":[]}}', "WfCommons"),
        ('{"version":1,"resources":[],"tasks":[],"attributes":{}}', "Flux jobspec"),
        ('{"jobs":[{"job_id":1,"time":{"start":5},"state":{"current":["COMPLETED"]}}]}', "from-log"),
        ("; MaxProcs: 4\n1 0 0 100 1 -1 -1 1 200 -1 1 5 2 -1 1 0 -1 -1\n", "from-swf"),
        ("JobIDRaw|Submit|Start|End|NNodes\n1|2|3|4|5\n", "from-log"),
        ("04/15/2023 11:05:00;E;478544.head;user=u1 end=1\n", "from-log"),
        ("jobs:\n- {id: 1, readBytes: 1000, writtenBytes: 2000}\n", "from-storalloc"),
        ("# darshan log version: 3.41\n", "darshan-parser"),
        ("IOR-3.3.0: MPI Coordinated Test of Parallel I/O\n", "IOR"),
        ("<?xml version='1.0'?>\n<platform version='4.1'/>\n", "platform"),
    ],
)
def test_other_programs_files_are_named(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given.json"
    path.write_text(text)
    assert main(["workload", "check", str(path)]) == 2
    shown = capsys.readouterr().err
    assert says in shown
    assert "Batsim's workload was expected" in shown


def test_logs_of_darshan_2_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import gzip

    path = tmp_path / "old.darshan.gz"
    path.write_bytes(gzip.compress(b"2.06\0\0\0\0" + bytes(1000)))
    assert main(["workload", "from-darshan", str(tmp_path)]) == 2
    assert "a log of Darshan 2.06" in capsys.readouterr().err


def test_a_log_from_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    data = b"JobIDRaw|Submit|Start|End|NNodes\n1|2|3|4|5\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["workload", "from-log", "-", "-o", str(tmp_path / "w.json")]) == 0
    assert [job.name for job in read_workload(tmp_path / "w.json").jobs] == ["1"]


def test_several_logs_overlap_without_doubling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in (("a", "1|2|3|4|5\n2|2|3|9|5\n"), ("b", "2|2|3|9|5\n3|2|3|4|5\n")):
        (tmp_path / name).write_text(f"JobIDRaw|Submit|Start|End|NNodes\n{rows}")
    out = tmp_path / "w.json"
    assert (
        main(["workload", "from-log", str(tmp_path / "a"), str(tmp_path / "b"), "--json", "-o", str(out)])
        == 0
    )
    report = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (report["records"], report["jobs"], report["left_out"]) == (4, 3, {"the same record again": 1})
