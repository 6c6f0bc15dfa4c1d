"""Whole comparisons: results, resuming, killing, failing, other executors."""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pd = pytest.importorskip("pandas", reason="the extra 'report' is not installed")

import batfs  # noqa: E402
from batfs.campaign.ahead import ahead  # noqa: E402
from batfs.campaign.plan import NULL_SUFFIX, make_plan  # noqa: E402
from batfs.cli.main import main  # noqa: E402
from batfs.errors import InputError  # noqa: E402
from batfs.report.statistics import job_table  # noqa: E402
from batfs.scheduling.core import Session  # noqa: E402

ROOT = Path(__file__).parents[2]
PLUGIN = """
from batfs.errors import InputError


class Broken:
    '''Fails under one seed, crashes under another.'''

    def __init__(self, **options):
        pass

    def choose(self, view, request, rng):
        import os
        state = rng.getstate()[1][0]
        {act}
"""


def words(machine: Path, jobs: Path, *more: str) -> list[str]:
    base = [
        "compare",
        "-p",
        str(machine),
        "-w",
        str(jobs),
        "--policy",
        "random",
        "--policy",
        "worst_fit",
        "-j",
        "2",
    ]
    return [*base, "--no-report", *more]


def tree(directory: Path) -> dict[str, bytes]:
    """Every file of a campaign but its lock, by path."""
    paths = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, machine: Path, jobs: Path) -> Path:
    """A finished campaign of 2 policies x 8 seeds."""
    directory = tmp_path_factory.mktemp("whole") / "c"
    assert main(words(machine, jobs, "--seeds", "8", "-o", str(directory))) == 0
    return directory


def test_tables(whole: Path, machine: Path, jobs: Path) -> None:
    runs = pd.read_parquet(whole / "runs.parquet")
    assert list(runs["treatment"]) == ["random"] * 8 + ["worst_fit"] * 8
    assert list(runs["seed"]) == [*range(1, 9)] * 2
    rows = pd.read_parquet(whole / "jobs.parquet")
    assert len(rows) == 16 * 60
    means = rows.groupby(["treatment", "seed"])["waiting_time"].mean().to_list()
    assert means == pytest.approx(runs["mean_waiting_time"].to_list())
    summary = pd.read_csv(whole / "summary.csv")
    row = summary[(summary["treatment"] == "worst_fit") & (summary["figure"] == "mean_waiting_time")].iloc[0]
    by = runs.groupby("treatment")["mean_waiting_time"].mean()
    assert row["difference"] == pytest.approx(by["worst_fit"] - by["random"])
    assert (whole / "conclusions.txt").read_text().count("\n") >= 10
    provenance = json.loads((whole / "provenance.json").read_text())
    assert {item["name"] for item in provenance["inputs"].values()} == {str(machine), str(jobs)}
    assert len(provenance["runs"]) == 16
    assert not (whole / "failures.csv").exists()


def test_seeds_matter_where_the_policy_draws(whole: Path) -> None:
    runs = pd.read_parquet(whole / "runs.parquet")
    spread = runs.groupby("treatment")["mean_turnaround_time"].nunique()
    assert spread["random"] > 1
    assert spread["worst_fit"] == 1


def test_again_runs_nothing(whole: Path, machine: Path, jobs: Path) -> None:
    before = tree(whole)
    times = {path: path.stat().st_mtime_ns for path in (whole / "runs").rglob("*")}
    assert main(words(machine, jobs, "--seeds", "8", "-o", str(whole))) == 0
    assert tree(whole) == before
    assert {path: path.stat().st_mtime_ns for path in (whole / "runs").rglob("*")} == times


def test_more_seeds_and_a_lost_run(
    tmp_path: Path, whole: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs taken away are run again, half-written ones are swept, runs of fewer seeds are used for more."""
    copy = tmp_path / "c"
    shutil.copytree(whole, copy)
    lost = sorted((copy / "runs").iterdir())[3]
    lost.rename(lost.with_name(f".partial-{lost.name}"))
    assert main(words(machine, jobs, "--seeds", "8", "-o", str(copy))) == 0
    assert "15 runs are there already, 1 are missing" in capsys.readouterr().err
    assert tree(copy) == tree(whole)
    assert main(words(machine, jobs, "--seeds", "9", "-o", str(copy))) == 0
    assert "16 runs are there already, 2 are missing" in capsys.readouterr().err


def test_a_changed_input_is_noticed(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "jobs.json"
    mine.write_bytes(jobs.read_bytes())
    directory = tmp_path / "c"
    assert main(words(machine, mine, "--seeds", "2", "-o", str(directory))) == 0
    value = json.loads(mine.read_text())
    value["jobs"] = value["jobs"][:20]
    mine.write_text(json.dumps(value))
    assert main(words(machine, mine, "--seeds", "2", "-o", str(directory))) == 0
    assert "4 runs" in capsys.readouterr().err
    assert len(pd.read_parquet(directory / "jobs.parquet")) == 4 * 20
    assert len(list((directory / "runs").iterdir())) == 8


def test_two_at_once_are_refused(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl

    directory = tmp_path / "c"
    directory.mkdir()
    with open(directory / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(words(machine, jobs, "--seeds", "2", "-o", str(directory))) == 1
    assert "another 'batfs compare' is running" in capsys.readouterr().err


def test_a_failing_run_is_told_and_the_others_go_on(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(PLUGIN.format(act="raise ValueError('no')"))
    directory = tmp_path / "c"
    more = ["--policy", f"{plugin}:Broken", "--seeds", "2", "-o", str(directory)]
    assert main(words(machine, jobs, *more)) == 1
    said = capsys.readouterr().err
    assert "failed:" in said
    assert f"--policy {plugin}:Broken --seed 1" in said
    assert set(pd.read_parquet(directory / "runs.parquet")["treatment"]) == {"random", "worst_fit"}
    failures = pd.read_csv(directory / "failures.csv")
    assert len(failures) == 2
    assert failures["command"].str.startswith("batfs run -p ").all()


NEVER = """
class Never:
    def __init__(self, **options):
        pass

    def choose(self, view, request, rng):
        raise RuntimeError("no")
"""


def test_a_baseline_that_always_fails_is_named_and_the_rest_is_there(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "never.py"
    plugin.write_text(NEVER)
    directory = tmp_path / "c"
    more = [
        "--policy",
        f"{plugin}:Never",
        "--seeds",
        "2",
        "-o",
        str(directory),
        "--baseline",
        f"{plugin}:Never",
    ]
    assert main(words(machine, jobs, *more)) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert "0 of 2" in said.out  # in the table, as its runs that succeeded
    assert len(pd.read_csv(directory / "failures.csv")) == 2
    summary = pd.read_csv(directory / "summary.csv")
    assert set(summary["treatment"]) == {"random", "worst_fit"}
    conclusions = (directory / "conclusions.txt").read_text().splitlines()
    assert len(conclusions) == 3
    assert "all 2 runs failed, so it has no run, and it is the baseline (" in conclusions[0]
    assert (
        "never.py: line 7: at 3.131 s, for 'w0!0', the allocation policy 'Never' raised RuntimeError: no)"
        in (conclusions[0])
    )
    assert all("can't be compared" in line and "has no run" in line for line in conclusions[1:])
    assert (directory / "provenance.json").exists()


def test_a_workload_on_which_the_baseline_fails_is_named(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It never gets to choose where no job has bytes; so one workload has a baseline and the other hasn't."""
    plugin = tmp_path / "never.py"
    plugin.write_text(NEVER)
    plain = tmp_path / "plain.json"
    value = json.loads(jobs.read_text())
    for profile in value["profiles"].values():
        for key in ("io", "io_reads", "io_writes"):
            profile.pop(key, None)
    plain.write_text(json.dumps(value))
    found = batfs.compare(
        machine,
        [jobs, plain],
        policy=[f"{plugin}:Never", "random", "worst_fit"],
        seeds=2,
        jobs=2,
        progress=False,
    )
    assert {row.label for row in found.compared} == {"random @ plain", "worst_fit @ plain"}
    assert found.uncompared == [("random", jobs.stem), ("worst_fit", jobs.stem)]
    said = "\n".join(found.gaps())
    assert f"never.py:Never @ {jobs.stem}: all 2 runs failed" in said
    assert f"random @ {jobs.stem} can't be compared" in said
    page = found.report(tmp_path / "r.html").read_text()
    assert "runs failed, so it has no run" in page
    header, rows = found.table()
    assert header[-1] == f"{plugin}:Never @ {jobs.stem}"
    assert rows[-1][0] == "runs that succeeded"
    assert rows[-1][-1] == "0 of 2"


def test_what_can_be_concluded_is_said_before_the_first_run(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """13 figures of one setting: 2 / 2**9 x 13 is above 0.05, so ten pairs at least."""
    assert main(words(machine, jobs, "--seeds", "2", "-o", str(tmp_path / "a"), "--null")) == 0
    few = capsys.readouterr()
    assert "2 pairs can't establish any difference" in few.err
    assert few.err.index("can't establish") < few.err.index("results in")
    assert "is the baseline under other seeds" in few.err
    assert "settings that draw nothing at random give one run" in few.err
    assert "too few pairs" in few.out
    plan = make_plan({"platform": ["p"], "workload": ["w"], "policy": ["random", "worst_fit"], "seeds": 12})
    assert "12 pairs find a difference of" in ahead(plan)[1]
    one = make_plan({"platform": ["p"], "workload": ["w"], "policy": ["random"], "seeds": 2, "null": False})
    assert "nothing is compared" in ahead(one)[0]
    with pytest.raises(InputError, match="unknown figure"):
        make_plan({"platform": ["p"], "workload": ["w"], "primary": "mean_waitin_time"})


def test_the_summary_has_its_types_whatever_was_compared(machine: Path, jobs: Path) -> None:
    one = batfs.compare(machine, jobs, policy="worst_fit", seeds=2, jobs=2, progress=False).summary
    two = batfs.compare(
        machine, jobs, policy=["worst_fit", "random"], seeds=2, jobs=2, progress=False
    ).summary
    assert one.dtypes.equals(two.dtypes)
    row = two[(two["treatment"] == "worst_fit") & (two["figure"] == "mean_waiting_time")].iloc[0]
    assert (row["runs"], row["independent_runs"]) == (2, 1)
    assert pd.isna(row["low"])


@pytest.mark.slow
def test_a_crashing_worker_takes_nothing_with_it(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "crash.py"
    plugin.write_text(PLUGIN.format(act="os._exit(9)"))
    directory = tmp_path / "c"
    more = ["--policy", f"{plugin}:Broken", "--seeds", "3", "-o", str(directory)]
    assert main(words(machine, jobs, *more)) == 1
    assert "its process died" in capsys.readouterr().err
    assert len(pd.read_parquet(directory / "runs.parquet")) == 6


@pytest.mark.parametrize(
    "more, says",
    [
        (["--policy", "best_fti"], "best_fti"),
        (["--vary", "node_selektion=a"], "did you mean 'node_selection'"),
        (["--executor", "slurm"], "unknown executor 'slurm'"),
        (["--seeds", "none"], "are no seeds"),
        (["--baseline", "lustre"], "unknown baseline 'lustre'"),
        (["--resample", "blok"], "unknown way of resampling"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_bad_input(
    tmp_path: Path, machine: Path, jobs: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    code = main(words(machine, jobs, "--seeds", "1", "-o", str(tmp_path / "c"), *more))
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert code == 2
    assert not list((tmp_path / "c").glob("runs/*"))


def test_any_executor(machine: Path, jobs: Path, whole: Path) -> None:
    """Threads are an Executor as well; the workers get the files with the task."""
    with ThreadPoolExecutor(2) as threads:
        found = batfs.compare(
            machine, jobs, policy=["random", "worst_fit"], seeds=2, executor=threads, progress=False
        )
    expected = pd.read_parquet(whole / "runs.parquet").query("seed <= 2")
    assert found.runs["makespan"].to_list() == expected["makespan"].to_list()
    assert "random" in repr(found)
    assert "<table>" in found._repr_html_()


def test_a_worker_keeps_nothing_of_a_run(machine: Path, jobs: Path) -> None:
    """What belongs to a run refers to itself, and Python's own collections are rare: 480 runs of 50 jobs in
    one worker came to 300 MB."""
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as thread:
            batfs.compare(machine, jobs, policy="random", seeds=3, executor=thread, progress=False)
        assert not [one for one in gc.get_objects() if isinstance(one, Session)]
    finally:
        gc.enable()


def test_null_comparison(machine: Path, jobs: Path) -> None:
    """The same policy under other seeds, as a setting of its own: nothing may be called a difference."""
    found = batfs.compare(machine, jobs, policy="random", seeds=12, null=True, jobs=2, progress=False)
    again = [row for row in found.compared if row.label == "random" + NULL_SUFFIX]
    assert len(again) > 8
    assert sum(row.difference.distinct > 1 for row in again) > 5  # the runs do differ
    assert not any(row.found for row in again)


def test_resampled_seeds_share_workloads(machine: Path, jobs: Path) -> None:
    found = batfs.compare(
        machine,
        jobs,
        policy=["worst_fit", "best_fit"],
        seeds=6,
        resample="blocks:length=10",
        jobs=2,
        progress=False,
    )
    submitted = found.jobs.groupby(["treatment", "seed"])["submission_time"].max().unstack()
    assert submitted.loc["worst_fit"].tolist() == submitted.loc["best_fit"].tolist()
    assert submitted.loc["worst_fit"].nunique() == 6
    assert found.runs.query("treatment == 'worst_fit'")["makespan"].nunique() == 6


def test_simulate(tmp_path: Path, machine: Path, jobs: Path, whole: Path) -> None:
    """One run from Python is the run of the campaign, and its tables read in one line."""
    run = batfs.simulate(machine, jobs, policy="random", seed=3, output=tmp_path / "one")
    assert len(run.jobs) == 60
    assert run.io["read_bytes"].sum() == sum(
        profile["io_reads"] for profile in json.loads(jobs.read_text())["profiles"].values()
    )
    folder = next((whole / "runs").glob("random-seed3-*"))
    for name in ("jobs", "io_jobs", "storage_states"):
        assert (tmp_path / f"one_{name}.csv").read_bytes() == (folder / f"run_{name}.csv").read_bytes()
    assert "mean waiting time" in run._repr_html_()
    figure = run.figures().gantt()
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="unknown key 'polcy'"):
        batfs.simulate(machine, jobs, polcy="random")


def test_time_alone_is_the_simulators(tmp_path: Path, machine: Path, jobs: Path) -> None:
    """Jobs so far apart that none meets another take exactly the time that is given as theirs alone; the same
    jobs close together take that or longer."""
    value = json.loads(jobs.read_text())
    close = batfs.simulate(machine, jobs, policy="worst_fit", seed=0)
    for i, job in enumerate(value["jobs"]):
        job["subtime"] = 4000 * i
    apart = tmp_path / "apart.json"
    apart.write_text(json.dumps(value))
    alone = job_table(batfs.simulate(machine, apart, policy="worst_fit", seed=0))
    assert len(alone["io_slowdown"].dropna()) == 60
    assert alone["io_slowdown"].to_numpy() == pytest.approx(1.0, rel=1e-6)
    together = job_table(close)["io_slowdown"]
    assert together.min() > 1 - 1e-6
    assert together.max() > 1.1


@pytest.mark.slow
def test_killed_at_ten_moments(tmp_path: Path, whole: Path, machine: Path, jobs: Path) -> None:
    """kill -9 of the campaign ten times, at random moments of its life, then one call that finishes it:
    the same
    bytes in every file as undisturbed. Nothing of it lives on."""
    draw = random.Random(20)
    command = [sys.executable, "-m", "batfs", *words(machine, jobs, "--seeds", "8")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(batfs.__file__).parents[1])])}
    kills = 0
    directory = tmp_path / "c0"
    counts = []
    while kills < 10:
        process = subprocess.Popen(
            [*command, "-o", str(directory)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        # so many runs from now, and a moment more: a random point of its life however slow the machine is
        target = finished(directory) + draw.randrange(3)
        while process.poll() is None and finished(directory) < target:
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.15))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            counts.append(finished(directory))
        else:
            assert process.returncode == 0
            assert tree(directory) == tree(whole)
            directory = tmp_path / f"c{kills}{len(counts)}"
        assert _gone(process.pid)
    done = subprocess.run(
        [*command, "-o", str(directory)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert tree(directory) == tree(whole)
    assert any(0 < count < 16 for count in counts), (
        counts
    )  # some kill fell between the first run and the last


def finished(directory: Path) -> int:
    """How many runs of a campaign are there."""
    return len(list((directory / "runs").glob("[!.]*")))


def _gone(session: int) -> bool:
    """Whether no process of the session lives (workers end with the campaign; give them a moment)."""
    for _ in range(100):
        alive = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parts = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(parts[3]) == session and parts[0] != "Z":
                alive.append(stat.parent.name)
        if not alive:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_dask_cluster(tmp_path: Path, whole: Path, machine: Path, jobs: Path) -> None:
    """The same campaign on a Dask cluster: the same bytes."""
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    directory = tmp_path / "c"
    assert main(words(machine, jobs, "--seeds", "8", "-o", str(directory), "--executor", "dask://local")) == 0
    assert tree(directory) == tree(whole)


def test_a_damaged_run_is_done_again_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kept run cut in half, one with a byte changed, one without its hashes; what isn't ours stays."""
    directory = tmp_path / "o"
    inputs = ["-p", "platforms/io_example.xml", "-w", "workloads/io_example.json"]
    words = ["compare", *inputs, "--policy", "random", "--policy", "worst_fit"]
    words += ["--seeds", "2", "--formats", "none", "-o", str(directory)]
    assert main(words) == 0
    before = {path: path.read_bytes() for path in directory.glob("runs/*/*")}
    conclusions = (directory / "conclusions.txt").read_bytes()
    (directory / "thesis.tex.partial").write_text("precious")
    tables = sorted(directory.glob("runs/*/run_jobs.csv"))
    tables[0].write_bytes(tables[0].read_bytes()[: tables[0].stat().st_size // 2])
    changed = bytearray(tables[1].read_bytes())
    changed[-5] ^= 1
    tables[1].write_bytes(changed)
    (tables[2].parent / "hashes.json").unlink()
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().err
    assert said.count("is damaged") == 3
    assert said.count("run_jobs.csv is not what was written") == 2
    assert {path: path.read_bytes() for path in directory.glob("runs/*/*")} == before
    assert (directory / "conclusions.txt").read_bytes() == conclusions
    assert (directory / "thesis.tex.partial").read_text() == "precious"
