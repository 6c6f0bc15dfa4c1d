"""Reading runs, writing reports, and looking at one in a browser."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

pd = pytest.importorskip("pandas", reason="the extra 'report' is not installed")
np = pytest.importorskip("numpy")

from batfs.cli.main import main  # noqa: E402
from batfs.errors import InputError  # noqa: E402
from batfs.report import find_runs, load_run, load_runs  # noqa: E402
from batfs.report.figures import Figures  # noqa: E402
from batfs.report.gantt import bars, thin  # noqa: E402
from batfs.report.page import write_report  # noqa: E402

WriteRun = Callable[..., Path]
GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "cases"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_finding_runs(tmp_path: Path, write_run: WriteRun) -> None:
    first = write_run(tmp_path / "deep" / "a", jobs=20)
    write_run(tmp_path / "deep" / "b", jobs=20, seed=1)
    assert find_runs(first) == [f"{first}_"]
    assert find_runs(f"{first}_jobs.csv") == [f"{first}_"]
    assert len(find_runs(tmp_path)) == 2
    assert [run.name for run in load_runs([tmp_path])] == ["a", "b"]
    with pytest.raises(InputError, match="2 runs here"):
        load_run(tmp_path)
    with pytest.raises(InputError, match="no run here"):
        load_run(tmp_path / "deep" / "c")
    with pytest.raises(InputError, match="no run in this directory"):
        load_run(os.path.dirname(__file__))


def test_one_line_of_pandas(tmp_path: Path, write_run: WriteRun) -> None:
    prefix = write_run(tmp_path / "r", jobs=30)
    for name in ("jobs", "io_jobs", "storage_states"):
        assert len(pd.read_csv(f"{prefix}_{name}.csv")) > 0


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded cases of Batsim are not beside the project")
def test_batsims_own_files() -> None:
    """A directory of the real Batsim's files, bare names, is a run."""
    run = load_run(GOLDEN / "146-site-132")
    assert len(run.jobs) == 40
    assert run.nodes == 24
    assert run.summary().loc["mean_waiting_time", "value"] == pytest.approx(
        float(run.schedule["mean_waiting_time"]), abs=1e-6
    )
    assert run.summary().loc["mean_stretch", "value"] == pytest.approx(
        float(run.schedule["mean_slowdown"]), abs=1e-6
    )


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("job_id,", "jobid,", "the column 'job_id' is missing (did you mean 'jobid'?)"),
        ("COMPLETED_SUCCESSFULLY,0", "COMPLETED_SUCCESSFULLY,zero", "not a table batfs can read"),
    ],
)
def test_bad_tables(
    tmp_path: Path, write_run: WriteRun, capsys: pytest.CaptureFixture[str], old: str, new: str, says: str
) -> None:
    prefix = write_run(tmp_path / "r", jobs=20)
    path = Path(f"{prefix}_jobs.csv")
    text = path.read_text()
    path.write_text(
        re.sub(re.escape(old) + r"\d*", new, text, count=1) if "zero" in new else text.replace(old, new, 1)
    )
    before = sorted(tmp_path.iterdir())
    if "zero" in new:
        path.write_text(re.sub(r"SUCCESSFULLY,[\d.]+", "SUCCESSFULLY,zero", text, count=1))
    assert main(["report", str(prefix)]) == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_figures_in_every_format(tmp_path: Path, write_run: WriteRun) -> None:
    """Every figure is written as PNG, SVG and PDF, twice the same."""
    runs = [load_run(write_run(tmp_path / "a", jobs=60, label="random"))]
    figures = Figures(runs)
    figures.runs[0].figures()
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        drawn = Figures(runs).save(tmp_path / place, ["png", "svg", "pdf"] if place == "one" else ["svg"])
    names = {path.stem for path in (tmp_path / "one").iterdir()}
    assert {"gantt", "queue", "storage_capacity", "storage_bandwidth", "storage_heat"} <= names
    assert {"ecdf_waiting_time", "letter_values_waiting_time", "ecdf_io_time"} <= names
    for name in names:
        assert (tmp_path / "one" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "one" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    for path in drawn:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()


def test_gantt_thinning_hides_no_job(tmp_path: Path, write_run: WriteRun) -> None:
    found = bars(load_run(write_run(tmp_path / "r", jobs=3000, nodes=32)))
    small = thin(found, columns=500)
    assert len(small.job) < len(found.job)
    scale = 500 / (found.end.max() - found.start.min())

    def pixels(b: object) -> set[tuple[int, int, int, int]]:
        columns = [
            ((getattr(b, k) - found.start.min()) * scale).astype(int).tolist() for k in ("start", "end")
        ]
        return set(zip(*columns, b.low.tolist(), b.high.tolist(), strict=True))  # type: ignore[attr-defined]

    assert pixels(small) == pixels(found)


def test_command(tmp_path: Path, write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = write_run(tmp_path / "r", jobs=40)
    assert main(["report", str(prefix), "--formats", "svg"]) == 0
    assert (tmp_path / "r_report.html").is_file()
    assert (tmp_path / "r_figures" / "gantt.svg").is_file()
    assert main(["report", str(prefix), "--formats", "gif"]) == 2
    assert "unknown figure format 'gif'" in capsys.readouterr().err
    assert main(["report", str(prefix), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value[0]["statistics"]["jobs"] == 40
    assert len(value[0]["storages"]) == 6


def test_the_page_needs_no_network_and_holds_every_job(tmp_path: Path, write_run: WriteRun) -> None:
    runs = load_runs(
        [write_run(tmp_path / "a", jobs=50, label="</script><b>"), write_run(tmp_path / "b", jobs=50)]
    )
    text = write_report(runs, tmp_path / "r.html", title="<&>").read_text()
    assert not re.search(r"""(src|href)=|url\(|https?://(?!www\.w3\.org)""", text)
    assert "<title>&lt;&amp;&gt;</title>" in text
    assert "</script><b>" not in text
    packed = re.search(r'id="run-0">([^<]+)<', text)
    assert packed is not None
    value = json.loads(zlib.decompress(base64.b64decode(packed[1])))
    assert value["jobs"]["id"] == ("w0!" + runs[0].finished["job_id"]).tolist()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to look at the report with")
def test_the_report_in_a_browser(tmp_path: Path, write_run: WriteRun) -> None:
    """Chromium runs the page without an error, every chart in sight is painted, and the picture shows
    them.
    """
    runs = [
        load_run(write_run(tmp_path / f"{label}{seed}", jobs=300, label=label, seed=seed, slow=slow))
        for label, slow in (("random", 1.2), ("worst_fit", 1.0))
        for seed in range(6)
    ]
    page = write_report(runs, tmp_path / "report.html")
    dom = _chromium(tmp_path, page, "--dump-dom")
    head = re.search(r"<html[^>]*>", dom)
    assert head is not None
    assert 'data-ready="yes"' in head[0]
    assert "data-error" not in head[0]
    assert 'id="loading"' not in dom
    painted = re.search(r'data-painted="(\d+)"', head[0])
    assert painted is not None
    assert int(painted[1]) >= 8
    _chromium(tmp_path, page, f"--screenshot={tmp_path / 'shot.png'}")
    image = pytest.importorskip("matplotlib.image").imread(tmp_path / "shot.png")
    colours = {tuple(c) for c in (image[::3, ::3, :3] * 255).round().astype(int).reshape(-1, 3).tolist()}
    assert (0, 114, 178) in colours  # the blue of jobs that waited for nodes
    assert (230, 159, 0) in colours  # the orange of those that waited for storage
    rows = np.flatnonzero(
        (np.abs(image[:, :, :3] - np.array([0, 114, 178]) / 255).sum(axis=2) < 0.02).any(axis=1)
    )
    assert len(rows) > 150


def _chromium(folder: Path, page: Path, act: str) -> str:
    assert CHROMIUM is not None
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    more = "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=10000"
    size = "--window-size=1240,4500"
    command = [CHROMIUM, *flags.split(), *more.split(), size, f"--user-data-dir={folder / 'profile'}", act]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout
