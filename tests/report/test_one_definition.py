"""Every printed figure against pandas: the run's table and ``--json``, the report's ``--json`` and Python
give what the CSV files say, with late, killed, failed, refused and stepped jobs and jobs with two entries
of a file system."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from batfs.cli.main import main  # noqa: E402
from batfs.report.format import between, together  # noqa: E402
from batfs.report.run import Run, read_run  # noqa: E402
from batfs.report.series import busy_nodes, storage_bandwidth  # noqa: E402
from batfs.report.statistics import STATISTICS, job_table, storage_table, summarize  # noqa: E402
from batfs.resource_sets import count_below, format_resources  # noqa: E402

WriteRun = Callable[..., Path]

PLATFORM = str(Path(__file__).parents[2] / "platforms" / "taurus_storage.xml")
GB = 10**9
SUCCESS = "COMPLETED_SUCCESSFULLY"


def draw_workload(seed: int, *, steps: bool) -> dict[str, Any]:
    """Jobs for 16 nodes that begin late; some ask for too many nodes or bytes, some have a walltime too
    short, some return 1, some have two entries of one file system, and some nothing to move."""
    draw = random.Random(seed)
    begin = draw.choice((0, 1_000_000))
    jobs, profiles = [], {}
    for k in range(draw.randint(1, 14)):
        entries = [
            {"filesystem": name, "reads": draw.randint(0, 60) * GB, "writes": draw.randint(0, 60) * GB}
            for name in draw.choices(("bb", "lustre", "nfs"), k=draw.randint(0, 3))
        ]
        if draw.random() < 0.1:
            entries.append({"filesystem": "bb", "writes": 10**15})
        profiles[f"p{k}"] = {
            "type": "parallel_homogeneous",
            "cpu": draw.randint(0, 60) * 10**9,
            "com": 0,
            "ret": int(draw.random() < 0.2),
            **({"io": entries} if any(e.get("reads") or e.get("writes") for e in entries) else {}),
        }
        job = {"id": f"1.{k}", "subtime": begin + draw.randint(0, 90), "profile": f"p{k}"}
        job["res"] = 17 if draw.random() < 0.1 else draw.randint(1, 16)
        if steps or draw.random() < 0.6:
            job["walltime"] = draw.choice((3, 40, 2000))
        jobs.append(job)
    return {"nb_res": 16, "jobs": sorted(jobs, key=lambda job: job["subtime"]), "profiles": profiles}


def batfs_run(folder: Path, workload: dict[str, Any], capsys: Any, *words: str) -> dict[str, Any]:
    (folder / "w.json").write_text(json.dumps(workload))
    out = str(folder / "x")
    capsys.readouterr()
    assert main(["run", "-p", PLATFORM, "-w", str(folder / "w.json"), "-e", out, "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def report_json(folder: Path, capsys: Any) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["report", str(folder / "x"), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    return dict(found["statistics"])


def users_jobs(folder: Path, name: str = "x_") -> Any:
    """jobs.csv by plain pandas: users' jobs, each from its first step to the last that held its nodes."""
    table = pd.read_csv(folder / f"{name}jobs.csv", dtype={"job_id": str, "allocated_resources": str})
    steps = table[table["workload_name"] == "batfs"].copy()
    jobs = table[table["workload_name"] != "batfs"].copy().set_index("job_id")
    if len(steps):
        parts = steps["job_id"].str.extract(r"^w0\.(?P<job>.+)\.\d+\.(?P<kind>\w+)$")
        steps = steps.assign(**parts)
        held = steps[~steps["kind"].isin(["stage_out", "drain"]) & steps["starting_time"].notna()]
        for job, mine in held.groupby("job"):
            row = jobs.loc[job]
            if row["final_state"] == "REJECTED" and "compute" not in set(mine["kind"]):
                continue
            begin = np.nanmin([*mine["starting_time"], row["starting_time"]])
            end = np.nanmax([*mine["finish_time"], row["finish_time"]])
            jobs.loc[job, ["starting_time", "finish_time", "execution_time"]] = begin, end, end - begin
            jobs.loc[job, ["waiting_time", "turnaround_time"]] = (
                begin - row["submission_time"],
                end - row["submission_time"],
            )
            jobs.loc[job, "stretch"] = (end - row["submission_time"]) / (end - begin)
            if row["final_state"] == "REJECTED":
                bad = mine[mine["final_state"] != SUCCESS].sort_values("finish_time", kind="stable")
                jobs.loc[job, "final_state"] = SUCCESS if bad.empty else bad["final_state"].iloc[0]
                jobs.loc[job, "allocated_resources"] = mine[mine["kind"] == "compute"][
                    "allocated_resources"
                ].iloc[0]
    return jobs, table["finish_time"].max()


def recomputed(folder: Path, nodes: int = 16, name: str = "x_") -> dict[str, float]:
    """The figures of docs/reference/statistics.md that the CSV files give, by plain pandas."""
    jobs, makespan = users_jobs(folder, name)
    io = pd.read_csv(folder / f"{name}io_jobs.csv", dtype={"job_id": str})
    ran = jobs[jobs["final_state"] != "REJECTED"].copy()
    cut = ran[~ran["final_state"].isin([SUCCESS, "COMPLETED_FAILED"])].index
    ran["bounded_slowdown"] = np.maximum(1, ran["turnaround_time"] / np.maximum(ran["execution_time"], 10))
    by_job = io.groupby("job_id")[["read_bytes", "written_bytes", "internal_bytes"]].sum().sum(axis=1)
    good = ran[(ran["final_state"] == SUCCESS) & (ran.index.map(by_job).fillna(0) > 0)].copy()
    good["io_time"] = good["execution_time"]
    good["io_slowdown"] = good["execution_time"] / io.groupby("job_id")["alone_time"].first().reindex(
        good.index
    )
    found = {
        "jobs": len(jobs),
        "refused_jobs": (jobs["final_state"] == "REJECTED").sum(),
        "unsuccessful_jobs": (ran["final_state"] != SUCCESS).sum(),
        "makespan": makespan if len(ran) else 0.0,
        "last_end": ran["finish_time"].max() if len(ran) else 0.0,
        "cut_bytes": io[io["job_id"].isin(cut)][["read_bytes", "written_bytes"]].sum().sum(),
    }
    for column in ("read_bytes", "written_bytes", "staged_bytes", "internal_bytes"):
        found[column] = io[column].sum()
    sizes = [count_below(text, nodes) for text in ran["allocated_resources"]]
    span = ran["finish_time"].max() - jobs["submission_time"].min()
    found["node_utilisation"] = 100 * (ran["execution_time"] * sizes).sum() / (nodes * span)
    columns = {key: ran[key] for key in ("waiting_time", "turnaround_time", "stretch", "bounded_slowdown")}
    columns |= {key: good[key].dropna() for key in ("io_time", "io_slowdown")}
    for key, values in columns.items():
        found |= {
            f"mean_{key}": values.mean(),
            f"median_{key}": values.median(),
            **{f"p{q}_{key}": values.quantile(q / 100) for q in (90, 95, 99)},
            f"max_{key}": values.max(),
        }
    return {key: float(value) for key, value in found.items()}


@given(seed=st.integers(0, 10**6), steps=st.booleans())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_figure_is_what_pandas_makes_of_the_files(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], seed: int, steps: bool
) -> None:
    folder = tmp_path_factory.mktemp("run")
    words = ["--filesystem", "bb=burst_buffer:backing=lustre", "--enable-dynamic-jobs"] if steps else []
    printed = batfs_run(folder, draw_workload(seed, steps=steps), capsys, *words)
    expected = recomputed(folder)
    python = summarize(read_run(f"{folder}/x_"))
    shown = report_json(folder, capsys)
    for name, value in expected.items():
        # six decimals in the files; a ratio to a short time is as exact as the time
        assert python[name] == pytest.approx(value, rel=1e-4, abs=2e-5, nan_ok=True), name
        if math.isnan(python[name]):
            assert shown[name] is None
        else:
            assert shown[name] == python[name]
    for name in ("waiting_time", "turnaround_time", "bounded_slowdown"):
        for word in ("mean", "median", "max"):
            value = printed[name][word]
            assert (math.nan if value is None else value) == pytest.approx(
                expected[f"{word}_{name}"], rel=1e-4, abs=2e-5, nan_ok=True
            )
    assert printed["makespan"] == pytest.approx(expected["makespan"], abs=2e-5)
    used = printed["utilisation"]
    jobs, _ = users_jobs(folder)
    span = jobs["finish_time"].max() - jobs["submission_time"].min()
    # the files have six decimals, which is much where all is over in milliseconds
    digits = 100 * 2e-6 * len(jobs) / span if span > 0 else 0.0
    assert (math.nan if used is None else 100 * used) == pytest.approx(
        expected["node_utilisation"], rel=1e-5, abs=digits, nan_ok=True
    )
    io = pd.read_csv(folder / "x_io_jobs.csv", dtype={"job_id": str})
    assert not io.duplicated(["job_id", "file_system"]).any()
    for name, system in printed["file_systems"].items():
        rows = io[(io["file_system"] == name) & io["io_resources"].notna()]
        assert system["jobs"] == len(rows)
        assert (system["read_bytes"], system["written_bytes"]) == tuple(
            io[io["file_system"] == name][["read_bytes", "written_bytes"]].sum()
        )
    assert printed["cut_bytes"] == expected["cut_bytes"]


def students(values: Any) -> tuple[float, float, float]:
    """Mean and 95 % interval of Student's t, of an independent implementation."""
    stats = pytest.importorskip("scipy.stats")
    mean, n = values.mean(), len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


def test_every_figure_of_a_comparison_is_what_pandas_makes_of_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three policies on four workloads, with refused, killed and late jobs: each run's figures, the means
    with their intervals, the paired differences, the table in the terminal and the one in the report."""
    workload = draw_workload(0, steps=False)
    assert workload["jobs"][0]["subtime"] >= 1_000_000
    (tmp_path / "w.json").write_text(json.dumps(workload))
    out, policies = tmp_path / "out", ("first_fit", "worst_fit", "random")
    words = ["compare", "-p", PLATFORM, "-w", str(tmp_path / "w.json"), "-o", str(out), "--queue", "easy"]
    words += [word for policy in policies for word in ("--policy", policy)]
    words += ["--seeds", "4", "--resample", "shake", "-j", "1", "--formats", "none"]
    assert main(words) == 0
    terminal = capsys.readouterr().out

    table: dict[str, dict[int, dict[str, float]]] = {policy: {} for policy in policies}
    runs = pd.read_parquet(out / "runs.parquet")
    assert len(runs) == 12
    jobs = 0
    for folder in sorted((out / "runs").iterdir()):
        policy, seed = folder.name.split("-seed")
        expected = recomputed(folder, name="run_")
        states = set(users_jobs(folder, "run_")[0]["final_state"])
        assert {"REJECTED", "COMPLETED_WALLTIME_REACHED", SUCCESS} <= states
        table[policy][int(seed.partition("-")[0])] = expected
        [row] = runs[
            (runs["treatment"] == f"{policy}") & (runs["seed"] == int(seed.partition("-")[0]))
        ].to_dict("records")
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-4, abs=2e-5, nan_ok=True), (folder.name, name)
        jobs += int(expected["jobs"])
    assert len(pd.read_parquet(out / "jobs.parquet")) == jobs

    means = pd.DataFrame({policy: pd.DataFrame(found).T.mean() for policy, found in table.items()})
    values = {policy: pd.DataFrame(found).T.sort_index() for policy, found in table.items()}
    summary = pd.read_csv(out / "summary.csv")
    checked = 0
    for row in summary.to_dict("records"):
        if row["figure"] not in means.index:
            continue
        mine = values[row["treatment"]][row["figure"]]
        mean, low, high = students(mine)
        assert row["mean"] == pytest.approx(mean, rel=1e-4, abs=2e-5, nan_ok=True), row
        if mine.std() > 1e-4 * abs(mean):
            assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-3, abs=1e-3), row
            checked += 1
    assert checked > 20

    found = pd.read_csv(out / "differences.csv")
    assert set(found["setting"]) == {"worst_fit", "random"}
    checked = 0
    for row in found.to_dict("records"):
        if row["figure"] not in means.index:
            continue
        pairs = values[row["setting"]][row["figure"]] - values[row["baseline"]][row["figure"]]
        mean, low, high = students(pairs)
        base = means[row["baseline"]][row["figure"]]
        assert row["difference"] == pytest.approx(mean, rel=1e-3, abs=1e-4), row
        if pairs.std() > 1e-3:  # else six decimals decide
            assert row["pairs"] == 4
            assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-3, abs=1e-3), row
            assert row["relative"] == pytest.approx(mean / base, rel=1e-3, abs=1e-7), row
            # Hedges' correction for four pairs: 1 - 3 / (4 * 3 - 1)
            assert row["effect_size"] == pytest.approx((8 / 11) * mean / pairs.std(ddof=1), rel=1e-2), row
            checked += 1
    assert checked > 10

    shown = (out / "report.html").read_text()
    shown = shown[shown.index('aria-label="Results by setting"') :].partition("</table>")[0]
    scale = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "%": 1.0, "": 1.0}
    for title, name in (
        ("mean waiting time", "mean_waiting_time"),
        ("95th percentile waiting time", "p95_waiting_time"),
        ("mean bounded slowdown", "mean_bounded_slowdown"),
        ("mean turnaround time", "mean_turnaround_time"),
        ("makespan", "makespan"),
        ("node utilisation", "node_utilisation"),
        ("mean I/O time", "mean_io_time"),
        ("mean I/O slowdown", "mean_io_slowdown"),
        ("refused jobs", "refused_jobs"),
    ):
        line = shown[re.search(rf">{re.escape(title)}<", shown).start() :].partition("</tr>")[0]  # type: ignore[union-attr]
        unit = re.match(rf">{re.escape(title)}(?:<small>(.*?)</small>)?", line)[1] or ""  # type: ignore[index]
        cells = [float(text) for text in re.findall(r"<td[^>]*>([\d.]+)", line)]
        printed = next(text for text in terminal.splitlines() if text.startswith(f"{title} "))
        told = re.findall(r"([\d.]+)(?: (s|min|h|d|%))?(?=  |$)", printed.removeprefix(title))
        for policy, cell, (number, word) in zip(policies, cells, told, strict=True):
            expected = means[policy][name]
            # four digits are shown, or as many as tell them apart
            assert cell * scale[unit] == pytest.approx(expected, rel=6e-4), (title, policy)
            assert float(number) * scale[word] == pytest.approx(expected, rel=6e-4), (title, policy)


def test_the_median_of_two_jobs_is_between_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two jobs of 100 s on all nodes, submitted at 1000 s: waits 0 and 100 s, turnarounds 100 and 200 s.
    And the nodes are busy from the first submission on: 100 %, though the machine stood idle for 1000 s
    before it."""
    profile = {"type": "parallel_homogeneous", "cpu": 10**11, "com": 0}
    jobs = [{"id": str(k), "subtime": 1000, "res": 16, "profile": "p"} for k in range(2)]
    found = batfs_run(tmp_path, {"nb_res": 16, "jobs": jobs, "profiles": {"p": profile}}, capsys)
    assert found["waiting_time"]["median"] == pytest.approx(50)
    assert found["turnaround_time"]["median"] == pytest.approx(150)
    assert found["bounded_slowdown"]["median"] == pytest.approx(1.5)
    assert found["utilisation"] == pytest.approx(1)
    statistics = report_json(tmp_path, capsys)
    assert statistics["median_waiting_time"] == pytest.approx(50)
    assert statistics["node_utilisation"] == pytest.approx(100)


def test_without_a_job_that_ran_nothing_is_claimed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [{"id": "1", "subtime": 5, "res": 17, "profile": "p"}]
    workload = {"nb_res": 16, "jobs": jobs, "profiles": {"p": {"type": "delay", "delay": 1}}}
    found = batfs_run(tmp_path, workload, capsys)
    assert found["waiting_time"] == {"mean": None, "median": None, "max": None}
    assert found["utilisation"] is None
    assert report_json(tmp_path, capsys)["mean_waiting_time"] is None
    assert main(["run", "-p", PLATFORM, "-w", str(tmp_path / "w.json"), "-e", str(tmp_path / "y")]) == 0
    assert "node use  -" in capsys.readouterr().out


def io_run(
    folder: Path, capsys: Any, walltimes: dict[str, float], ret: int = 0
) -> tuple[Run, dict[str, Any]]:
    """Jobs of one node, far apart, each reading 100 GB from Lustre (2 min 47 s alone), with these
    walltimes."""
    profile = {"type": "delay", "delay": 1, "io": [{"filesystem": "lustre", "reads": 100 * GB}]}
    profile = {"type": "parallel_homogeneous", "cpu": 10**9, "com": 0, "ret": ret, "io": profile["io"]}
    jobs = [
        {"id": name, "subtime": 10_000 * k, "res": 1, "profile": "p", "walltime": walltime}
        for k, (name, walltime) in enumerate(walltimes.items())
    ]
    printed = batfs_run(folder, {"nb_res": 16, "jobs": jobs, "profiles": {"p": profile}}, capsys)
    return read_run(f"{folder}/x_"), printed


@given(
    st.sampled_from(["COMPLETED_WALLTIME_REACHED", "COMPLETED_KILLED", "COMPLETED_FAILED"]),
    st.floats(0.1, 100),
)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_more_job_that_did_not_succeed_improves_no_figure_of_speed(
    write_run: WriteRun, tmp_path_factory: pytest.TempPathFactory, state: str, seconds: float
) -> None:
    """Whatever ran short: time and slowdown of I/O, bandwidths and the balance of storages stay; it is
    counted."""
    prefix = write_run(tmp_path_factory.mktemp("run") / "r", jobs=30)
    before = read_run(f"{prefix}_")
    last = before.finished["finish_time"].max()
    jobs, io = Path(f"{prefix}_jobs.csv"), Path(f"{prefix}_io_jobs.csv")
    row = {
        **before.jobs.iloc[-1].to_dict(),
        "job_id": "short",
        "submission_time": last,
        "starting_time": last,
        "execution_time": seconds,
        "finish_time": last + seconds,
        "waiting_time": 0.0,
        "turnaround_time": seconds,
        "stretch": 1.0,
        "final_state": state,
        "success": 0,
        "metadata": "",
    }
    jobs.write_text(jobs.read_text() + ",".join(str(row[name]) for name in before.jobs.columns) + "\n")
    first = before.io.iloc[0].to_dict() | {"job_id": "short"}
    names = io.read_text().splitlines()[0].split(",")
    io.write_text(io.read_text() + ",".join(str(first[name]) for name in names) + "\n")
    after = read_run(f"{prefix}_")
    old, new = summarize(before), summarize(after)
    assert new["unsuccessful_jobs"] == old["unsuccessful_jobs"] + 1
    for word, _ in STATISTICS:
        for name in ("io_time", "io_slowdown"):
            assert new[f"{word}_{name}"] == pytest.approx(old[f"{word}_{name}"], nan_ok=True)
    if state != "COMPLETED_FAILED":  # one that failed in the end has moved its bytes
        assert new["storage_imbalance"] == pytest.approx(old["storage_imbalance"])
        assert new["read_bytes"] - old["read_bytes"] == first["read_bytes"]
        assert new["cut_bytes"] == old["cut_bytes"] + first["read_bytes"] + first["written_bytes"]
        peak = {k: [s.values.max(initial=0) for s in pair] for k, pair in storage_bandwidth(before).items()}
        assert {
            k: [s.values.max(initial=0) for s in pair] for k, pair in storage_bandwidth(after).items()
        } == peak


def test_a_job_that_runs_out_of_time_is_no_fast_io(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 GB at 600 MB/s take 166.7 s; cut after 2 s it is no I/O slowdown of 0.012, nor 50 GB/s on one
    target."""
    run, _ = io_run(tmp_path, capsys, {"cut": 2.0})
    values = summarize(run)
    assert values["unsuccessful_jobs"] == 1
    for name in ("mean_io_time", "mean_io_slowdown", "storage_imbalance"):
        assert math.isnan(values[name])
    assert values["cut_bytes"] == values["read_bytes"] == 100 * GB
    assert storage_bandwidth(run) == {}
    assert storage_table(run)["read_bytes"].sum() == 0
    both, _ = io_run(tmp_path, capsys, {"cut": 2.0, "whole": 1000.0})
    assert summarize(both)["mean_io_slowdown"] == pytest.approx(1, rel=1e-3)
    failed, _ = io_run(tmp_path, capsys, {"failed": 1000.0}, ret=1)
    assert summarize(failed)["read_bytes"] == 100 * GB  # it has moved them before it failed
    assert math.isnan(summarize(failed)["mean_io_slowdown"])


def test_makespan_is_batsims_with_the_end_of_the_jobs_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that leaves 20 GB in the burst buffer: it is over before they are staged out, the run is not."""
    io = [{"filesystem": "bb", "writes": 20 * GB}]
    workload = {
        "nb_res": 16,
        "jobs": [{"id": "1", "subtime": 0, "res": 1, "profile": "p", "walltime": 1000}],
        "profiles": {"p": {"type": "parallel_homogeneous", "cpu": 10**9, "com": 0, "io": io}},
    }
    words = ["--filesystem", "bb=burst_buffer:backing=lustre", "--enable-dynamic-jobs"]
    printed = batfs_run(tmp_path, workload, capsys, *words)
    run = read_run(f"{tmp_path}/x_")
    batsims = float(run.schedule["makespan"])
    values = summarize(run)
    assert printed["makespan"] == pytest.approx(batsims, abs=1e-5)
    assert values["makespan"] == pytest.approx(batsims, abs=1e-5)
    assert values["last_end"] == pytest.approx(printed["last_end"], abs=1e-5)
    assert values["last_end"] < values["makespan"] - 10
    main(["run", "-p", PLATFORM, "-w", str(tmp_path / "w.json"), "-e", str(tmp_path / "x"), *words])
    assert "the last job ends after" in capsys.readouterr().out


def test_utilisation_counts_the_nodes_that_were_allocated(write_run: WriteRun, tmp_path: Path) -> None:
    """A job that asked for 4 nodes of 4 and was put on 2 of them for 100 s: half of the machine."""
    prefix = write_run(tmp_path / "r", jobs=1, nodes=4, storages=1)
    lines = Path(f"{prefix}_jobs.csv").read_text().splitlines()
    names, values = lines[0].split(","), lines[1].split(",")
    row = dict(zip(names, values, strict=True)) | {
        "requested_number_of_resources": "4",
        "allocated_resources": "0-1",
        "submission_time": "0",
        "starting_time": "0",
        "execution_time": "100",
        "finish_time": "100",
        "turnaround_time": "100",
    }
    Path(f"{prefix}_jobs.csv").write_text(f"{lines[0]}\n{','.join(row.values())}\n")
    Path(f"{prefix}_provenance.json").write_text('{"results": {"compute_nodes": 4}}')
    run = read_run(f"{prefix}_")
    assert summarize(run)["node_utilisation"] == pytest.approx(50)
    assert busy_nodes(run).values.max() == 2


@given(st.sets(st.integers(0, 60)), st.integers(0, 70))
def test_ids_below_a_limit_are_counted(ids: set[int], limit: int) -> None:
    assert count_below(format_resources(ids), limit) == sum(i < limit for i in ids)


@pytest.mark.parametrize("rejected", [True, False])
def test_a_column_has_one_type_whatever_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rejected: bool
) -> None:
    """Also without a job that has the value, or one that lacks it; and in files that are older than a
    column."""
    run, _ = io_run(tmp_path, capsys, {"1": 1000.0, **({"2": 1000.0} if not rejected else {})})
    if rejected:
        path = Path(f"{tmp_path}/x_io_jobs.csv")
        path.write_text(
            "\n".join(",".join(line.split(",")[:-1]) for line in path.read_text().splitlines()) + "\n"
        )
        run = read_run(f"{tmp_path}/x_")
    assert str(run.io["alone_time"].dtype) == "float64"
    table = job_table(run)
    for name in ("io_time", "io_slowdown", "storage_waiting_time", "starting_time"):
        assert str(table[name].dtype) == "float64"
    assert str(run.steps["starting_time"].dtype) == "float64"
    empty = Run("none", run.jobs.iloc[:0], run.io.iloc[:0], run.storage.iloc[:0], run.machine_states)
    for name in table.columns:
        assert job_table(empty)[name].dtype == table[name].dtype, name
    assert storage_table(empty).dtypes.equals(storage_table(run).dtypes)


def test_the_ends_of_an_interval_share_a_unit_that_tells_them_apart() -> None:
    assert between(1.0e12, 1.0004e12, "B") == "1 to 1.0004 TB"
    assert between(726.0123, 1106.4, "s") == "12.1 to 18.44 min"
    assert between(-5, 5e9, "B") == "0 to 5 GB"
    assert between(0, 0, "B") == "0 to 0 B"
    assert between(math.nan, 3, "s") == "– to 3 s"


@given(st.lists(st.floats(-1e18, 1e18).filter(lambda v: not 0 < abs(v) < 1e-3), min_size=2, max_size=3))
def test_texts_in_one_unit_are_the_values_rounded(values: list[float]) -> None:
    texts, unit = together(values, "B")
    scale = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15, "EB": 1e18}[unit]
    width = max(values) - min(values)
    slack = max(
        min(5e-4 * max(map(abs, values)), 0.1 * width or math.inf), 1e-11 * max(map(abs, values)), 1e-9
    )
    for text, value in zip(texts, values, strict=True):
        assert float(text.replace("\u202f", "")) * scale == pytest.approx(value, abs=slack)
