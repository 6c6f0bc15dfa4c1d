"""Every second of a job's wait has one cause, and they add up."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

pd = pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from batfs.cli.main import main  # noqa: E402
from batfs.errors import InputError  # noqa: E402
from batfs.filesystems.interface import Hold  # noqa: E402
from batfs.report.gantt import REASONS, reasons  # noqa: E402
from batfs.report.run import read_run  # noqa: E402
from batfs.report.statistics import job_table, summarize  # noqa: E402
from batfs.scheduling.waits import (  # noqa: E402
    CAUSES,
    LACK_OF_NODES,
    PROMISED,
    Waits,
    by_file_system,
    register_cause,
)

ROOT = Path(__file__).parents[2]
PLATFORM = str(ROOT / "platforms" / "taurus_storage.xml")
GB = 10**9


class Job:
    def __init__(self, name: str, submitted: float) -> None:
        self.id, self.submission_time = name, submitted


def test_by_hand() -> None:
    """a lacks nodes from 0 to 10 and space on bb from 10 to 14; b, behind it from 2 on, waits 8 s behind a
    job that lacks nodes and 4 s behind one that lacks space; then it is the first, and nodes are promised
    to another."""
    waits = Waits({7: "bb"}.__getitem__)
    a, b = Job("a", 0.0), Job("b", 2.0)
    queue = {"a", "b"}
    waits.held_back(a, LACK_OF_NODES, 0.0)
    waits.pass_over(0.0, [a], True, a, queue.__contains__)
    waits.pass_over(2.0, [b], False, a, queue.__contains__)
    waits.held_back(a, Hold("StorageCapacity", (7,), 5), 10.0)
    waits.pass_over(10.0, [], True, a, queue.__contains__)
    assert waits.over("a", 14.0).seconds == {("nodes", ""): 10.0, ("storage", "bb"): 4.0}
    waits.held_back(b, PROMISED, 14.0)
    queue.discard("a")
    waits.pass_over(14.0, [], True, b, queue.__contains__)
    found = waits.over("b", 15.0)
    assert found.seconds == {("behind_nodes", ""): 8.0, ("behind_storage", "bb"): 4.0, ("promise", ""): 1.0}


def test_a_lack_of_space_goes_to_the_file_system_that_lacked_it() -> None:
    seconds = {("storage", "bb"): 3.0, ("nodes", ""): 2.0, ("behind_storage", "bb"): 1.0}
    assert by_file_system(seconds, ["nfs", "bb"]) == [{"nodes": 2.0, "behind_storage": 1.0}, {"storage": 3.0}]


def test_a_cause_is_registered_once() -> None:
    with pytest.raises(InputError, match="'nodes' is there already"):
        register_cause("nodes", "nodes", "again")


def draw(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    jobs, profiles = [], {}
    for k in range(60):
        io = [
            {"filesystem": name, "writes": rng.randint(1, 190) * GB}
            for name in rng.sample(("bb", "lustre", "nfs", "nvme"), rng.randint(0, 2))
        ]
        profile = {"type": "parallel_homogeneous", "cpu": rng.randint(1, 300) * 10**9, "com": 0}
        profiles[f"p{k}"] = profile | ({"io": io} if io else {})
        job = {
            "id": str(k),
            "subtime": rng.randint(0, 600),
            "res": rng.choice((1, 2, 4, 8, 16)),
            "profile": f"p{k}",
        }
        jobs.append(job | {"walltime": rng.choice((200, 2000, 9000))})
    return {"nb_res": 16, "jobs": sorted(jobs, key=lambda one: one["subtime"]), "profiles": profiles}


@pytest.mark.parametrize(
    "queue", ["fcfs", "easy", "easy_storage", "conservative", "sjf_storage", "filler", "fit_io"]
)
@pytest.mark.parametrize("selection", ["lowest", "contiguous"])
def test_causes_add_up_to_the_wait_of_every_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], queue: str, selection: str
) -> None:
    """In waits.csv, the columns of io_jobs.csv, the run's table and Python; late, refused and killed jobs
    included."""
    workload = tmp_path / "w.json"
    workload.write_text(json.dumps(draw(len(queue))))
    out = tmp_path / "x"
    more = ["--queue", queue, "--node-selection", selection, "--json", "-e", str(out)]
    assert main(["run", "-p", PLATFORM, "-w", str(workload), *more]) == 0
    printed = json.loads(capsys.readouterr().out)
    jobs = pd.read_csv(f"{out}_jobs.csv", dtype={"job_id": str}).set_index("job_id")
    jobs = jobs[jobs["final_state"] != "REJECTED"]
    waits = pd.read_csv(f"{out}_waits.csv", dtype={"job_id": str})
    assert (waits["seconds"] > 0).all()
    assert set(waits["cause"]) <= set(CAUSES)
    io = pd.read_csv(f"{out}_io_jobs.csv", dtype={"job_id": str})
    io = io[io["job_id"].isin(jobs.index)]
    columns = [f"wait_{cause}" for cause in CAUSES]
    mine = io.groupby("job_id")[columns].sum().sum(axis=1)
    assert not set(waits["job_id"]) & set(
        mine.index
    )  # jobs with I/O are in the one file, the others in the other
    by_job = pd.concat([mine, waits.groupby("job_id")["seconds"].sum()]).reindex(jobs.index).fillna(0.0)
    assert by_job.to_numpy() == pytest.approx(jobs["waiting_time"].to_numpy(), abs=1e-5)
    assert mine.to_numpy() == pytest.approx(jobs["waiting_time"].reindex(mine.index).to_numpy(), abs=1e-5)
    assert io["wait_storage"].to_list() == pytest.approx(io["storage_waiting_time"].to_list())
    # a reason only where the space was lacking, and it names a storage of that file system
    assert ((io["storage_waiting_time"] > 0) == io["hold_reason"].notna()).all()
    for name, system in printed["file_systems"].items():
        rows = io[(io["file_system"] == name) & (io["storage_waiting_time"] > 0)]
        assert system["jobs_that_waited"] == len(rows)
        assert system["waiting_time"] == pytest.approx(rows["storage_waiting_time"].sum(), abs=1e-4)
    total = sum(wait["seconds"] for wait in printed["waited_for"])
    assert total == pytest.approx(jobs["waiting_time"].sum(), abs=1e-3)
    run = read_run(f"{out}_")
    assert run.waited_for()["seconds"].sum() == pytest.approx(total, abs=1e-3)
    assert run.waited_for()["mean"].sum() == pytest.approx(summarize(run)["mean_waiting_time"])
    table = job_table(run).set_index("job").dropna(subset="starting_time")
    assert table[columns].sum(axis=1).to_numpy() == pytest.approx(table["waiting_time"].to_numpy(), abs=1e-5)
    why = reasons(run)
    assert ((why == 0) == (table["waiting_time"].to_numpy() <= 1e-6)).all()
    assert max(why) < len(REASONS)


def test_what_waits_for_the_burst_buffer_waits_for_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """a1 and a2 fill both burst buffers; b, which uses nfs and Lustre as well, waits for them alone, and c,
    without I/O and with nodes idle, waits behind it."""
    fill = [{"filesystem": "bb", "writes": 200 * GB}]
    every = [{"filesystem": name, "writes": 10 * GB} for name in ("nfs", "bb", "lustre")]
    profile = {"type": "parallel_homogeneous", "cpu": 10**10, "com": 0}
    profiles = {"a": {**profile, "io": fill}, "b": {**profile, "io": every}, "c": profile}
    jobs = [("a1", 0, "a"), ("a2", 0, "a"), ("b", 1, "b"), ("c", 2, "c")]
    workload = tmp_path / "w.json"
    rows = [{"id": name, "subtime": at, "res": 1, "profile": p} for name, at, p in jobs]
    workload.write_text(json.dumps({"nb_res": 16, "jobs": rows, "profiles": profiles}))
    words = ["run", "-p", PLATFORM, "-w", str(workload), "-e", str(tmp_path / "x")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    waited = {name: system["jobs_that_waited"] for name, system in found["file_systems"].items()}
    assert waited == {"bb": 1, "disk": 0, "lustre": 0, "nfs": 0, "nvme": 0}
    causes = {(wait["cause"], wait["file_system"]): wait["jobs"] for wait in found["waited_for"]}
    assert causes == {("storage", "bb"): 1, ("behind_storage", "bb"): 1}
    assert main(words) == 0
    assert "behind a job that waits for storage (bb)" in capsys.readouterr().out


def test_a_stage_out_keeps_others_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """a1 and a2 fill both burst buffers; when they have ended their bytes are there until they are staged
    out. b waits for space while they run, for the staging after that; c, which needs nothing, behind it."""
    fill = [{"filesystem": "bb", "writes": 200 * GB}]
    profile = {"type": "parallel_homogeneous", "cpu": 10**10, "com": 0}
    profiles = {"a": {**profile, "io": fill}, "c": profile}
    jobs = [("a1", 0, "a"), ("a2", 0, "a"), ("b", 1, "a"), ("c", 2, "c")]
    workload = tmp_path / "w.json"
    rows = [{"id": name, "subtime": at, "res": 1, "profile": p} for name, at, p in jobs]
    workload.write_text(json.dumps({"nb_res": 16, "jobs": rows, "profiles": profiles}))
    words = ["run", "-p", PLATFORM, "-w", str(workload), "-e", str(tmp_path / "x"), "--enable-dynamic-jobs"]
    words += ["--filesystem", "bb=burst_buffer:backing=lustre"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    causes = {wait["cause"]: (wait["jobs"], wait["seconds"]) for wait in found["waited_for"]}
    assert set(causes) == {"storage", "staging", "behind_storage"}
    table = pd.read_csv(tmp_path / "x_jobs.csv", dtype={"job_id": str})
    ends = table.set_index("job_id")["finish_time"]
    first = min(ends["a1"], ends["a2"])
    out = min(ends[name] for name in ends.index if name.endswith("stage_out") and ".a" in name)
    assert out > first + 1
    assert causes["storage"] == (1, pytest.approx(first - 1, abs=0.01))
    assert causes["staging"] == (1, pytest.approx(out - first, abs=0.01))
    assert causes["behind_storage"] == (1, pytest.approx(out - 2, abs=0.01))
    io = pd.read_csv(tmp_path / "x_io_jobs.csv", dtype={"job_id": str}).set_index("job_id")
    assert io["wait_staging"]["b"] == pytest.approx(causes["staging"][1], abs=1e-5)
    assert io["storage_waiting_time"]["b"] == pytest.approx(out - 1, abs=0.01)
    assert found["file_systems"]["bb"]["waiting_time"] == pytest.approx(out - 1, abs=0.01)
    run = read_run(f"{tmp_path}/x_")
    assert run.waited_for()["seconds"].sum() == pytest.approx(sum(s for _, s in causes.values()), abs=1e-4)
    assert main(words) == 0
    assert "space being staged out (bb)" in capsys.readouterr().out


@pytest.mark.parametrize("dynamic", [False, True])
def test_causes_add_up_on_the_first_run_of_the_readme(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dynamic: bool
) -> None:
    """README's own command; and the same with staging."""
    workload = str(ROOT / "workloads" / "io.json")
    words = ["run", "-p", PLATFORM, "-w", workload, "--policy", "random", "-e", str(tmp_path / "x"), "--json"]
    if dynamic:
        words += ["--enable-dynamic-jobs", "--filesystem", "bb=burst_buffer:backing=lustre"]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    run = read_run(f"{tmp_path}/x_")
    table = job_table(run)
    assert len(table) == 300
    causes = table[[f"wait_{cause}" for cause in CAUSES]].sum(axis=1)
    assert causes.to_numpy() == pytest.approx(table["waiting_time"].to_numpy(), abs=1e-5)
    told = sum(wait["seconds"] for wait in printed["waited_for"])
    assert told == pytest.approx(300 * printed["waiting_time"]["mean"], rel=1e-9)


def test_bytes_of_a_job_that_was_cut_are_counted_by_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 GB at 600 MB/s don't move in 2 s: the table says whose they are."""
    profile = {
        "type": "parallel_homogeneous",
        "cpu": 10**9,
        "com": 0,
        "io": [{"filesystem": "lustre", "reads": 100 * GB}],
    }
    workload = tmp_path / "w.json"
    jobs = [{"id": "1", "subtime": 0, "res": 1, "profile": "p", "walltime": 2}]
    workload.write_text(json.dumps({"nb_res": 16, "jobs": jobs, "profiles": {"p": profile}}))
    words = ["run", "-p", PLATFORM, "-w", str(workload), "-e", str(tmp_path / "x")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file_systems"]["lustre"]["read_bytes"] == 100 * GB
    assert (found["cut_jobs"], found["cut_bytes"]) == (1, 100 * GB)
    assert main(words) == 0
    assert "1 job with I/O ended before their end: 100 GB of the bytes above" in capsys.readouterr().out
