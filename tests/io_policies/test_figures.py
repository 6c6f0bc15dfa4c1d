"""What I/O policies are judged by, where runs are compared: the same figures in the table, the report, the
CSV files and Python, and only where transfers were watched."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

pd = pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from applications import GB, PFS, once  # noqa: E402
from fs_tiny import write_inputs  # noqa: E402

import batfs  # noqa: E402
from batfs.cli.main import main  # noqa: E402
from batfs.errors import InputError  # noqa: E402
from batfs.report.headline import HEADLINE, OF_TRANSFERS, headline  # noqa: E402
from batfs.report.run import read_run  # noqa: E402
from batfs.report.statistics import job_table, summarize  # noqa: E402

#: Two applications that compute 1 s and write 1 GB at 100 MB/s, 10 s alone. Fair: both write until 21 s, so
#: 20 s instead of 10, 21 instead of 11, and 2 of 42 node-seconds are work. Exclusive: one is not disturbed,
#: the other ends at 21 s, and 2 of 11 + 21 node-seconds are work. No policy leaves bandwidth idle.
EXPECTED = {
    "fair": (2.0, 21 / 11, 21 / 11, 100 * 2 / 42, 0.0),
    "exclusive": (1.5, (1 + 21 / 11) / 2, 21 / 11, 100 * 2 / 32, 0.0),
}
TITLES = ("slowdown of transfers", "dilation", "system efficiency", "bandwidth idle while transfers waited")


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    jobs = [once("a", 1, writes=GB), once("b", 1, writes=GB)]
    platform, workload = write_inputs(tmp_path, 2, {"pfs": PFS}, jobs)
    return str(platform), str(workload)


def test_a_comparison_of_io_policies(
    two: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--vary io_policy=...`` needs no other flag: steps are on, and ``fair`` is watched, too."""
    platform, workload = two
    out = tmp_path / "out"
    words = ["compare", "-p", platform, "-w", workload, "--seeds", "2", "-o", str(out)]
    assert main([*words, "--vary", "io_policy=fair,exclusive"]) == 0
    said = capsys.readouterr()
    page = (out / "report.html").read_text()
    for title in TITLES:
        assert title in said.out
        assert title in page
    assert f"in {len(HEADLINE) + len(OF_TRANSFERS)} figures" in said.err
    table = pd.read_csv(out / "summary.csv")
    for policy, values in EXPECTED.items():
        found = table[table["treatment"] == policy].set_index("figure")["mean"]
        assert [found[name] for name in OF_TRANSFERS] == pytest.approx(values, rel=1e-3, abs=1e-3)


def test_the_same_from_python(two: tuple[str, str], tmp_path: Path) -> None:
    platform, workload = two
    found = batfs.compare(
        platform,
        workload,
        io_policy=["fair", "exclusive"],
        seeds=1,
        jobs=1,
        output=tmp_path / "out",
        progress=False,
    )
    rows = found.runs.set_index("treatment")
    for policy, values in EXPECTED.items():
        assert rows.loc[policy, list(OF_TRANSFERS)].tolist() == pytest.approx(values, rel=1e-3, abs=1e-3)
    _, cells = found.table()
    assert {"mean dilation", "maximum dilation", "system efficiency"} <= {row[0] for row in cells}
    jobs = found.jobs.query("treatment == 'exclusive'").set_index("job")["dilation"]
    assert sorted(jobs) == pytest.approx([1.0, 21 / 11], rel=1e-3)


def test_a_report_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bucket of 200 MB that fills with 10 MB/s holds 1 GB back four times for 18 s, while nothing moves:
    all that could move meanwhile lies idle. Work 1 s of 1 + 10 + 4 x 18 = 83."""
    monkeypatch.chdir(tmp_path)
    platform, workload = write_inputs(tmp_path, 1, {"pfs": PFS}, [once("a", 1, writes=GB)])
    words = ["run", "-q", "-p", str(platform), "-w", str(workload), "--enable-dynamic-jobs", "-e", "x"]
    assert main([*words, "--io-policy", "tbf:rate=10MBps,burst=200MB"]) == 0
    capsys.readouterr()
    assert main(["report", "x", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)[0]["statistics"]
    values = (82 / 10, 83 / 11, 83 / 11, 100 / 83, 100.0)
    assert [told[name] for name in OF_TRANSFERS] == pytest.approx(values, rel=1e-3)
    results = json.loads(Path("x_provenance.json").read_text())["results"]["io"]
    assert told["mean_transfer_slowdown"] == pytest.approx(results["io_slowdown"]["mean"], rel=1e-5)
    assert told["max_dilation"] == pytest.approx(results["stretch"]["max"], rel=1e-5)
    assert told["system_efficiency"] == pytest.approx(100 * results["system_efficiency"], rel=1e-5)
    assert "bandwidth idle while transfers waited" in read_run("x_")._repr_html_()


def test_nothing_is_claimed_where_nobody_watched(two: tuple[str, str], tmp_path: Path) -> None:
    platform, workload = two
    run = batfs.simulate(platform, workload, output=tmp_path / "x", dynamic_jobs=True)
    assert all(math.isnan(summarize(run)[name]) for name in OF_TRANSFERS)
    assert headline([run]) == HEADLINE
    assert job_table(run)["dilation"].isna().all()


def test_a_file_without_its_columns_is_refused(two: tuple[str, str], tmp_path: Path) -> None:
    platform, workload = two
    batfs.simulate(platform, workload, output=tmp_path / "x", dynamic_jobs=True, measure_io=True)
    path = tmp_path / "x_io_times.csv"
    path.write_text(path.read_text().replace("stretch", "strech"))
    with pytest.raises(InputError, match=r"'stretch' is missing.*did you mean 'strech'"):
        read_run(str(tmp_path / "x_"))
