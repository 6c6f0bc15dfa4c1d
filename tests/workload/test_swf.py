"""From SWF to Batsim: fields, cleaning rules, sizes, I/O models and tables."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.workload import read_workload, requested_io
from batfs.workload.recorded import ConvertOptions, Report, convert
from batfs.workload.swf import SwfOptions, read_swf

KTH = Path(__file__).parents[2].parent / "shared" / "data" / "kth" / "KTH-SP2-1996-2.1-cln.swf"

HEADER = """\
; Version: 2.2
; Computer: a machine
; MaxProcs: 64
; MaxNodes: 16
; UnixStartTime: 843480031
; TimeZone: 3600
; TimeZoneString: Europe/Stockholm
; Note: first
; Note: second
;
"""
#      job submit wait run procs cpu mem rprocs rtime rmem status user group app queue part prev think
LINES = """\
    1   100   5   60    8  -1 -1   8   120  -1 1  3  4  5  6  7 -1 -1
    2    50   0    0    6  -1 -1   6    60  -1 1 -1 -1 -1 -1 -1 -1 -1
    3    60   0   10   -1  -1 -1   9    -1  -1 0 -1 -1 -1 -1 -1 -1 -1

    4    70   0   10    4  -1 -1  12     5  -1 1 -1 -1 -1 -1 -1 -1 -1
    5    80   0   -1    4  -1 -1   4     5  -1 5 -1 -1 -1 -1 -1 -1 -1
    6    80   0    0    4  -1 -1   4     5  -1 5 -1 -1 -1 -1 -1 -1 -1
    7    80   0   10    4  -1 -1   4     5  -1 2 -1 -1 -1 -1 -1 -1 -1
    8    -1   0   10    4  -1 -1   4     5  -1 1 -1 -1 -1 -1 -1 -1 -1
    9    90   0   10   -1  -1 -1  -1     5  -1 1 -1 -1 -1 -1 -1 -1 -1
   10    95 2.5   10  128 1.5 -1  -1     5  -1 1 -1 -1 -1 -1 -1 -1 -1
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.swf"
    path.write_text(HEADER + LINES)
    return path


def test_cleaning_rules_each_count(log: Path) -> None:
    report = Report("log")
    read = read_swf(log, SwfOptions(), report)
    assert report.records == 10
    assert read.nodes == 16  # 64 processors, 4 to a node
    assert read.header["Note"] == "first\nsecond"
    assert [job.id for job in read.jobs] == ["1", "2", "3", "4", "10"]
    workload = convert(read.jobs, ConvertOptions(nodes=read.nodes), report)
    assert report.left_out == {
        "never ran": 2,
        "partial execution (status 2, 3 or 4)": 1,
        "no submission time": 1,
        "no number of processors": 1,
        "needs more nodes than the machine has": 1,
    }
    assert report.changed == {"run time of 0 made 1 s": 1}
    assert [(j.name, j.submission_time, j.requested_nodes, j.walltime) for j in workload.jobs] == [
        ("2", 0, 2, 60),
        ("3", 10, 3, None),
        ("4", 20, 1, 5),
        ("1", 50, 2, 120),
    ]
    # 14:00:31 in Stockholm, 50 s before the first job
    assert workload.extra["clock"] == 14 * 3600 + 31 + 50
    names = ("wait", "status", "user", "group", "executable", "queue", "partition", "processors")
    assert workload.jobs[3].extra["swf"] == dict(zip(names, (5, 1, 3, 4, 5, 6, 7, 8), strict=True))


def test_sizes_walltimes_speeds_and_what_runs(log: Path) -> None:
    def made(swf: SwfOptions, **options: Any) -> dict[str, Any]:
        report = Report("log")
        workload = convert(read_swf(log, swf, report).jobs, ConvertOptions(**options), report)
        return {job.name: (job, workload.profiles[job.profile]) for job in workload.jobs}

    requested = made(SwfOptions(size="requested", processors_per_node=1))
    assert (requested["4"][0].requested_nodes, requested["10"][0].requested_nodes) == (12, 128)
    extended = made(SwfOptions(), walltime="extend")
    assert (extended["4"][0].walltime, extended["1"][0].walltime) == (10, 120)
    assert made(SwfOptions(), walltime="none")["1"][0].walltime is None
    assert made(SwfOptions(), speed=2e9)["1"][1].cpu == 120e9
    assert made(SwfOptions(), runs="delay")["1"][1].duration == 60
    assert made(SwfOptions(), com=5)["1"][1].com == 5
    assert made(SwfOptions(), com=5)["4"][1].com == 0  # one node sends to nobody


def test_gzipped_logs_and_the_command(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "log.swf.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    out, again = tmp_path / "w.json", tmp_path / "again.json"
    assert (
        main(["workload", "from-swf", str(packed), "--io", "rate", "--seed", "5", "--json", "-o", str(out)])
        == 0
    )
    report = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (report["records"], report["jobs"], report["nb_res"]) == (10, 4, 16)
    assert main(["workload", "from-swf", str(packed), "--io", "rate", "--seed", "5", "-o", str(again)]) == 0
    assert out.read_bytes() == again.read_bytes()
    assert all(requested_io(p) for p in read_workload(out).profiles.values())
    packed.write_bytes(packed.read_bytes()[:40])
    assert main(["workload", "from-swf", str(packed), "-o", str(out)]) == 2
    assert "damaged gzip" in capsys.readouterr().err


def test_volumes_from_a_table(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "io.csv"
    table.write_text("job_id,filesystem,reads,writes\n1,lustre,3GB,5\n1,lustre,1,\n1,bb,,7\n99,bb,1,1\n")
    out = tmp_path / "w.json"
    assert main(["workload", "from-swf", str(log), "--io-csv", str(table), "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "no line in the I/O table" in shown
    assert "1 jobs of the I/O table aren't in the log" in shown
    workload = read_workload(out)
    job = next(j for j in workload.jobs if j.name == "1")
    assert [(io.filesystem, io.reads, io.writes) for io in requested_io(workload.profiles[job.profile])] == [
        ("lustre", 3_000_000_001, 5),
        ("bb", 0, 7),
    ]


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("1 2 3\n", "line 1", "found 3 fields, expected 18"),
        (";\n" + LINES.splitlines()[0].replace("60", "x6") + "\n", "line 2", "field 4 (run_time) is 'x6'"),
        (LINES.splitlines()[0].replace("60", "nan") + "\n", "line 1", "field 4 (run_time) is 'nan'"),
        (LINES.splitlines()[0].replace(" 1 ", " 1.5 ", 1) + "\n", "line 1", "job number is 1.5"),
    ],
)
def test_what_is_not_swf_is_refused(text: str, place: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.swf"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_swf(path, SwfOptions(), Report("x"))
    assert caught.value.place == place
    assert says in caught.value.problem


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--io-csv", "nowhere.csv"], "nowhere.csv: cannot read"),
        (["--nodes", "0"], "at least 1"),
        (["--io", "rates"], "did you mean 'rate'"),
        (["--runs", "delay", "--io", "rate"], "delay can't do I/O"),
        (["-p", "nowhere.xml"], "nowhere.xml"),
    ],
)
def test_wrong_flags(log: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "from-swf", str(log), *words]) == 2
    assert says in capsys.readouterr().err


def test_a_table_with_other_columns_is_refused(log: Path, tmp_path: Path) -> None:
    table = tmp_path / "io.csv"
    for text, says in (
        ("job,red\n", "expected job_id, reads, writes"),
        ("job,reads\n1,3 GBs\n", "line 2"),
        ("job,reads\n1\n", "found 1 columns"),
        ("job,reads\n1,-3\n", "not be"),
    ):
        table.write_text(text)
        from batfs.workload.iotable import read_io_table

        with pytest.raises(InputError) as caught:
            read_io_table(table)
        assert says in str(caught.value) or "negative" in str(caught.value)


@pytest.mark.skipif(not KTH.is_file(), reason="the KTH-SP2 log is not beside the project")
def test_kth_sp2_converts_and_loads(tmp_path: Path) -> None:
    out = tmp_path / "kth.json"
    assert main(["workload", "from-swf", str(KTH), "--io", "lognormal", "-o", str(out)]) == 0
    workload = read_workload(out)
    assert (len(workload.jobs), workload.nb_res) == (28_475, 100)
    assert workload.extra["converted"]["left_out"] == {"no number of processors": 1}
    by_id = {job.name: job for job in workload.jobs}
    job = by_id["16"]  # 16  600022  11940  2488  25 ... 3600
    assert (job.submission_time, job.requested_nodes, job.walltime) == (600022 - 599850, 25, 3600)
    assert workload.profiles[job.profile].cpu == 2488e9  # type: ignore[union-attr]
