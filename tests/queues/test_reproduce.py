"""``batfs reproduce``: the experiment end to end, against the artifact's own runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from batfs.campaign.reproduce import compare, estimate, kopanski, over_parts, references, sources
from batfs.cli.main import main
from batfs.errors import InputError
from batfs.scheduling.kopanski.state import BufferedJob
from batfs.workload.model import Job, ParallelHomogeneous, Workload

SHARED = Path(__file__).parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the files in ../shared")


@pytest.fixture(scope="module")
def files():
    return sources.Files(SHARED / "data")


@pytest.fixture(scope="module")
def site(files):
    return kopanski.load_site(files.need(kopanski.PLATFORM))


@needs_shared
def test_the_first_jobs_start_and_end_as_in_the_artifacts_run(files, site):
    """Starts don't depend on later submissions, except through the network; so compare those before the
    cut whose whole life lies before it."""
    source = files.workload("k1000", 1)
    cut = replace(source.workload, jobs=source.workload.jobs[:60])
    last = cut.jobs[-1].submission_time
    done = kopanski.run_policy(site, cut, "fcfs-bb", label="k1000")
    path = SHARED / "reference" / "kopanski" / "k1000-fcfs-bb.csv"
    recorded = references.recorded_starts(path)
    early = [job for job in done.outcomes if recorded[job.job_id] <= last]
    assert len(early) > 50
    for job in early:
        assert job.start == pytest.approx(recorded[job.job_id], abs=1e-5)
    assert done.figures().jobs == 60


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("policy", ["fcfs-bb", "plan-2"])
def test_every_start_of_the_artifacts_run(files, site, policy):
    source = files.workload("k1000", 1)
    done = kopanski.run_policy(site, source.workload, policy, label="k1000")
    row = compare.row(done, SHARED / "reference" / "kopanski")
    assert (row.same_starts, row.recorded) == (1000, 1000)
    for figure in ("mean_waiting_time", "mean_bounded_slowdown"):
        assert row.difference(figure) == pytest.approx(0.0, abs=1e-6)


@needs_shared
def test_the_command(tmp_path, capsys, files):
    content = json.loads(files.need(sources.FILES["part-0"]).read_text(encoding="utf-8"))
    content["jobs"] = content["jobs"][5:9]
    small = tmp_path / "small.json"
    small.write_text(json.dumps(content), encoding="utf-8")
    words = ["reproduce", "kopanski2021", "--workload", str(small), "--policies", "fcfs,sjf-bb"]
    data = ["--data", str(SHARED / "data")]
    assert main([*words, *data, "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "small: 4 jobs" in shown
    assert sum(line.startswith("small ") for line in shown.splitlines()) == 2
    lines = (tmp_path / "out" / "small-sjf-bb.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == kopanski.CSV_HEADER
    assert len(lines) == 5
    assert main([*words, *data, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["policy"] for run in runs] == ["fcfs", "sjf-bb"]
    assert runs[0]["jobs"] == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["kopanski2021", "--policies", "sjfbb"], "did you mean 'sjf-bb'"),
        (["kopanski2021", "--data", "/nowhere"], "no such directory"),
    ],
)
def test_wrong_words_are_refused(words, says, capsys):
    assert main(["reproduce", *words]) == 2
    assert says in capsys.readouterr().err


@needs_shared
def test_an_unknown_workload_is_refused(files):
    with pytest.raises(InputError, match="did you mean 'part-1'"):
        files.workload("part1", 1)


@needs_shared
def test_a_part_without_a_file_is_made_from_the_log(files, tmp_path):
    (tmp_path / sources.LOG).symlink_to(files.need(sources.LOG))
    source = sources.Files(tmp_path).workload("part-14", 1)
    assert "made from" in source.origin
    assert len(source.workload.jobs) == 1305


def test_parts_stand_for_all_sixteen():
    assert sources.expand(["parts", "k1000", "part-3"]) == [*(f"part-{k}" for k in range(16)), "k1000"]


def outcome(**changes):
    job = kopanski.JobOutcome("1", 100.0, 700.0, 1300.0, 1, 0, 900.0, False, 3, (1,), ((0,),))
    return replace(job, **changes)


def test_figures_by_hand():
    # turnarounds 1200 and 300 over at least 600 s of execution: slowdowns 2 and 1
    jobs = [outcome(), outcome(job_id="2", start=150.0, finish=400.0, timed_out=True)]
    figures = kopanski.figures(jobs, rejected=1)
    assert (figures.mean_waiting_time, figures.max_waiting_time) == (325.0, 600.0)
    assert (figures.mean_bounded_slowdown, figures.makespan) == (1.5, 1300.0)
    assert (figures.jobs, figures.rejected, figures.timed_out, figures.sub_jobs) == (2, 1, 1, 6)


def test_policies_are_compared_in_pairs_over_enough_workloads():
    rows = []
    for k in range(8):
        for policy, wait in (("a", 100.0 + k), ("b", 90.0 + k * 1.1)):
            job = outcome(start=100.0 + wait, finish=800.0 + wait)
            run = kopanski.Run(f"part-{k}", policy, [job], [], 1.0)
            rows.append(compare.row(run, None))
    found = over_parts.pairs(rows)
    assert [pair.figure for pair in found] == [
        "mean_waiting_time",
        "mean_bounded_slowdown",
        "max_waiting_time",
    ]
    assert found[0].difference.high < 0
    assert over_parts.pairs(rows[:6]) == []
    assert len(over_parts.pair_table(found)) == 4


@needs_shared
def test_a_policy_is_estimated_without_a_simulator(files):
    source = files.workload("part-0", 1)
    cut = replace(source.workload, jobs=source.workload.jobs[:150])
    done = estimate.estimate(cut, "fcfs-bb")
    path = SHARED / "reference" / "kopanski" / "part-0-fcfs-bb.csv"
    recorded = references.recorded_starts(path)
    last = cut.jobs[-1].submission_time
    early = [job for job in done.outcomes if recorded[job.job_id] <= last]
    assert len(early) > 100
    # contention changes some lives, and with them some starts
    assert sum(abs(recorded[job.job_id] - job.start) < 60.0 for job in early) > 0.9 * len(early)
    endless = estimate.estimate(cut, "sjf-bb+split+endless").figures()
    assert endless.mean_waiting_time <= done.figures().mean_waiting_time
    assert endless.jobs == 150


def test_an_estimated_life_by_hand():
    # two nodes, 10 GB each: staging 4 s each way; two hours of work in two phases; one checkpoint of 5 GB a
    # node, both on one burst buffer: 8 s
    job = BufferedJob("w0!1", 0.0, 2, 1e5, 7.2e12, 0.0, 10**10)
    assert estimate.life_time(job) == pytest.approx(4 + 7200 + 8 + 4)
    assert estimate.stay(replace(job, walltime=100.0)) == 100.0


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("plan-3+known", "of use to plan-io only"),
        ("plan-io+split", "unknown policy"),
        ("fcfs+endles", "unknown"),
    ],
)
def test_unknown_endings_are_refused(policy, says):
    with pytest.raises(InputError, match=says):
        estimate.check(policy)


@needs_shared
@pytest.mark.slow
def test_plan_io_splits_bytes_in_the_simulator(site):
    """Twelve jobs leave 15 GB on each burst buffer; the next one's 30 GB go to two of them at once."""
    shares = [25 * 10**9] * 12 + [30 * 10**9]
    jobs = [Job(f"w0!{k}", 1.0 + k, 1, str(k), 1e5) for k in range(13)]
    profiles = {
        str(k): ParallelHomogeneous(7.2e12 + 1e11 * k, 0.0, {"bb": share}) for k, share in enumerate(shares)
    }
    done = kopanski.run_policy(site, Workload("w0", 96, jobs, profiles), "plan-io")
    last = done.outcomes[-1]
    assert [len(own) for job in done.outcomes for own in job.buffers] == [1] * 12 + [2]
    # two stage-ins, computing, a checkpoint to both, computing, two drains, two stage-outs
    assert (last.waiting_time, last.timed_out, last.sub_jobs) == (0.0, False, 2 + 1 + 1 + 1 + 2 + 2)
    # 30 GB behind a link of 5 GB/s that others use too; a checkpoint of 15 GB leaves the node at 1.25 GB/s
    work = 7200.0 + 1200.0
    assert work + 6.0 + 12.0 + 6.0 < last.finish - last.start < work + 100.0
    [line] = [line for line in kopanski.csv_lines(done.outcomes) if line.startswith("12,")]
    assert "+" in line.rpartition(",")[2]
    whole = kopanski.run_policy(site, Workload("w0", 96, jobs, profiles), "plan-2")
    assert max(job.waiting_time for job in whole.outcomes) > 7200.0
    # the fair opponent: plan-2 that may split, too
    fair = kopanski.run_policy(site, Workload("w0", 96, jobs, profiles), "plan-2+split")
    assert fair.policy == "plan-2+split"
    assert fair.outcomes[-1].waiting_time == 0.0
    assert [len(own) for job in fair.outcomes for own in job.buffers] == [1] * 12 + [2]


def test_rows_of_rejected_jobs_have_no_start(tmp_path):
    file = tmp_path / "w-fcfs.csv"
    file.write_text("job_id,submit,start,state\n1,0,5.25,COMPLETED_SUCCESSFULLY\n2,0,,REJECTED\n")
    assert references.recorded_starts(file) == {"1": 5.25}


def test_the_csv_keeps_all_digits():
    """A submission after a year, and a start between two microseconds, come back as they were."""
    outcome = kopanski.JobOutcome(
        "7", 28453001.5, 28453002.123456789, 28460000.1, 1, 5, 123456789.0, False, 3, (1,), ((0,),)
    )
    header, line = kopanski.csv_lines([outcome])
    row = dict(zip(header.split(","), line.split(","), strict=True))
    assert row["submit"] == "28453001.5"
    assert row["walltime"] == "123456789"
    assert float(row["start"]) == 28453002.123456789
    assert float(row["wait"]) == outcome.waiting_time


def test_means_over_the_parts():
    """Waits of 1, 2, ... 6 h in parts of 1, 2, ... 6 jobs: 3.5 h over parts, 91 / 21 h over jobs."""
    rows = []
    for k in range(1, 7):
        outcomes = [
            kopanski.JobOutcome(str(j), 0.0, k * 3600.0, k * 3600.0 + 600, 1, 0, 600.0, False, 1, (1,), ((),))
            for j in range(k)
        ]
        rows.append(compare.row(kopanski.Run(f"part-{k}", "fcfs-bb", outcomes, (), 0.0), None))
    wait, slowdown = over_parts.means(rows)
    assert wait.interval.mean == pytest.approx(3.5 * 3600)
    assert wait.over_jobs == pytest.approx(91 / 21 * 3600)
    assert wait.interval.low < 3.5 * 3600 < wait.interval.high
    assert slowdown.figure == "mean_bounded_slowdown"
    assert over_parts.mean_table([wait])[1].split()[:5] == ["fcfs-bb", "mean", "wait", "h", "3.500"]
    assert over_parts.means(rows[:2]) == []


@needs_shared
def test_all_sixteen_published_parts_are_found(files):
    assert [files.find(f"part-{k}.json") is not None for k in range(16)] == [True] * 16
    assert sources.expand(["parts"]) == [f"part-{k}" for k in range(16)]
    part = files.workload("part-3", 1)
    assert part.origin == "part-3.json.gz"
    # the single part that is beside them is the same
    folder = files.directory / "kth"
    single, packed = (
        sources.read_workload(folder / name) for name in ("part-0.json", "parts/part-0.json.gz")
    )
    assert packed.jobs == single.jobs
