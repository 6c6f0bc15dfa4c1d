"""Names that are no text, tables with what no row holds: a result or a sentence, JSON that is read."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
from pathlib import Path

import orjson
import pytest

from batfs import json_text
from batfs.campaign.calibration.fit import fit
from batfs.campaign.calibration.ior import Measurement
from batfs.cli.main import main
from batfs.errors import InputError
from batfs.plugins import raised_in
from batfs.report.run import read_run
from batfs.resource_sets import are_resources
from batfs.workload.access import Way

ROOT = Path(__file__).parents[2]
ODD = os.fsdecode(b"\xff\xfe")


def test_half_a_character_is_shown() -> None:
    value = {"a\udcff": ["\ud800", 10**30, "é"]}
    assert orjson.loads(json_text.indented(value)) == {r"a\udcff": [r"\ud800", 1e30, "é"]}
    assert orjson.loads(json_text.dumps(value)) == {r"a\udcff": [r"\ud800", 1e30, "é"]}


def printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output as the command itself sets it up."""
    output = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", output)


def test_a_run_and_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed(monkeypatch)
    platform, workload = tmp_path / f"{ODD}.xml", tmp_path / f"{ODD}.json"
    shutil.copy(ROOT / "platforms" / "io_example.xml", platform)
    shutil.copy(ROOT / "workloads" / "io_example.json", workload)
    given = ["-p", str(platform), "-w", str(workload)]
    out = tmp_path / ODD
    assert main(["run", *given, "-q", "-e", str(out)]) == 0
    orjson.loads(Path(f"{out}_provenance.json").read_bytes())
    assert main(["report", str(out), "--json"]) == 0
    assert main(["report", str(out), "-o", f"{out}.html", "--formats", "none"]) == 0
    many = ["--policy", "random", "--policy", "worst_fit", "--seeds", "1", "-j", "1", "--no-report"]
    assert main(["compare", *given, *many, "-o", f"{out}-all"]) == 0
    assert main(["workload", "convert", str(workload), "--to", "batsim5", "-o", f"{out}5.json"]) == 0


def test_a_log_and_a_darshan_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed(monkeypatch)
    log = tmp_path / f"{ODD}.txt"
    log.write_text(
        "JobID|State|Submit|Start|End|ElapsedRaw|NNodes|TimelimitRaw\n"
        "1|COMPLETED|2024-01-01T00:00:00|2024-01-01T00:01:00|2024-01-01T00:11:00|600|4|60\n"
    )
    assert main(["workload", "from-log", str(log), "-o", str(tmp_path / "w.json")]) == 0
    assert r"\udcff" in (tmp_path / "w.json").read_text()
    json.loads((tmp_path / "w.json").read_bytes())
    (tmp_path / f"{ODD}.darshan").write_bytes(bytes(100))
    assert main(["workload", "from-darshan", str(tmp_path / f"{ODD}.darshan")]) == 2


@pytest.mark.parametrize("text", ["<!", "1-", "5-1", "0-9999999999999999999", "1,2", "²"])
def test_resources_that_are_none(tmp_path: Path, text: str) -> None:
    given = ["-p", f"{ROOT}/platforms/io_example.xml", "-w", f"{ROOT}/workloads/io_example.json"]
    assert main(["run", *given, "-q", "-e", str(tmp_path / "r")]) == 0
    table = tmp_path / "r_jobs.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    rows[1][rows[0].index("allocated_resources")] = f'"{text}"'
    table.write_text("\n".join(map(",".join, rows)) + "\n")
    with pytest.raises(InputError, match="is not a set of resource ids") as caught:
        read_run(f"{tmp_path}/r_")
    assert "line 2: allocated_resources" in str(caught.value)
    assert not are_resources(text)
    assert are_resources("0-3 10")
    assert are_resources("")


@pytest.mark.parametrize("name", ["results", "configuration", "inputs"])
def test_provenance_of_another_shape(tmp_path: Path, name: str) -> None:
    given = ["-p", f"{ROOT}/platforms/io_example.xml", "-w", f"{ROOT}/workloads/io_example.json"]
    assert main(["run", *given, "-q", "-e", str(tmp_path / "r")]) == 0
    path = tmp_path / "r_provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: [1]}))
    assert main(["report", str(tmp_path / "r"), "-o", str(tmp_path / "r.html"), "--formats", "none"]) == 2


def test_a_field_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.csv"
    names = "submission,nodes,ior-easy-write,ior-hard-write,ior-easy-read,ior-hard-read"
    path.write_text(f"{names}\n{'a' * 200_000},4,8,0.5,6,2\n")
    assert main(["reproduce", "io500", str(path)]) == 2
    assert "line 2: field larger than field limit" in capsys.readouterr().err


def test_rates_of_operations_beside_those_of_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rate of one operation: operation_work is 1e9 flops over 4000 a second."""
    ior = (
        "IOR-3.0.1: MPI Coordinated Test of Parallel I/O\n\nSummary:\n\tapi = POSIX\n"
        "\taccess = file-per-process\n\tordering in a file = sequential offsets\n"
        "\tclients = {n} (1 per node)\n"
        "\txfersize = 1 MiB\n\tblocksize = 1 GiB\n\naccess bw(MiB/s) block(KiB) xfer(KiB) iter\n"
        "------ --------- ---------- --------- ----\nwrite {bw} 1048576 1024 0\n"
    )
    for n in (1, 2, 4, 8):
        (tmp_path / f"{n}.txt").write_text(ior.format(n=n, bw=100.5 * n))
    (tmp_path / "md.txt").write_text(
        "mdtest-3.4.0 was launched with 8 total task(s) on 2 node(s)\n\nSUMMARY rate: (of 1 iterations)\n"
        "   File creation             :       4000.0       4000.0       4000.0          0.0\n"
    )
    words = [str(tmp_path / f"{n}.txt") for n in (1, 2, 4, 8)]
    assert main(["calibrate", *words, str(tmp_path / "md.txt"), "-o", str(tmp_path / "c.toml")]) == 0
    assert "operation_work = 250000" in (tmp_path / "c.toml").read_text()
    capsys.readouterr()


def test_a_library_that_is_compiled_is_no_plugin() -> None:
    """Its frames name a file of their own making."""
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(UnicodeEncodeError) as caught:
        pa.array(["\udcff"])
    frames = caught.value.__traceback__
    assert frames is not None
    assert frames.tb_next is not None
    assert raised_in(caught.value.with_traceback(frames.tb_next)) == (None, None)


def test_measurements_beyond_any_machine() -> None:
    way = Way("sequential", 1 << 20)
    measured = [Measurement("write", n, 1, way, True, 1e9 * n, f"{n}.txt") for n in (1, 2, 4, 8)]
    for wrong in (1e308, math.inf, 0.0, math.nan):
        odd = [*measured, Measurement("write", 1, 1, way, True, wrong, "odd.txt, line 3")]
        with pytest.raises(InputError, match="more than any machine has") as caught:
            fit(odd, "write")
        assert "odd.txt, line 3" in str(caught.value)
