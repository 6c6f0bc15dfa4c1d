"""What a comparison compares: axes, labels, seeds, TOML; workloads drawn for seeds; input files by hash."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from batfs.campaign.inputs import InputStore, plugin_files
from batfs.campaign.plan import Axis, Plan, make_plan, parse_seeds, parse_vary, read_plan
from batfs.campaign.resample import resample
from batfs.campaign.settings import configured
from batfs.campaign.task import without_clocks
from batfs.errors import InputError
from batfs.workload import read_workload


def test_the_product() -> None:
    plan = make_plan(
        {
            "platform": ["p.xml"],
            "workload": ["a.json", "b.json"],
            "policy": ["random", "worst_fit"],
            "queue": ["fcfs"],
            "vary": {"filesystems.pfs.stripe": [1, 2]},
            "seeds": 3,
        }
    )
    cells = list(plan.cells())
    assert len(cells) == 2 * 2 * 2 * 3
    assert plan.labels()[:2] == ["random, filesystems.pfs.stripe=1", "random, filesystems.pfs.stripe=2"]
    assert {cell.context for cell in cells} == {"a", "b"}
    assert [cell.seed for cell in cells[:3]] == [1, 2, 3]
    assert dict(cells[0].treatment) == {"policy": "random", "queue": "fcfs", "filesystems.pfs.stripe": 1}


def test_the_null_replica_has_seeds_of_its_own() -> None:
    plan = Plan(("p",), ("w",), (Axis("policy", ("random", "worst_fit")),), seeds=(1, 2), null=True)
    cells = list(plan.cells())
    assert {cell.label for cell in cells} == {"random", "random (again)", "worst_fit"}
    seeds = {(cell.label, cell.seed): cell.policy_seed for cell in cells}
    assert seeds["random", 1] == seeds["worst_fit", 1] == 1
    assert seeds["random (again)", 1] not in (1, 2)


@pytest.mark.parametrize(
    "text, seeds",
    [("3", (1, 2, 3)), (2, (1, 2)), ("5-7", (5, 6, 7)), ("1,4,9-10", (1, 4, 9, 10)), ([3, 5], (3, 5))],
)
def test_seeds(text: str | int | list[int], seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "0", "-3", "3-1", "1,,2"])
def test_no_seeds(text: str) -> None:
    with pytest.raises(InputError, match="are no seeds"):
        parse_seeds(text)


def test_vary() -> None:
    axes = parse_vary(
        ["node-selection=lowest,contiguous", "filesystems.bb.policy=lustre:threshold=0.1,x=2;random"]
    )
    assert axes == [
        Axis("node_selection", ("lowest", "contiguous")),
        Axis("filesystems.bb.policy", ("lustre:threshold=0.1,x=2", "random")),
    ]
    with pytest.raises(InputError, match="expected key=a,b,c"):
        parse_vary(["seed"])


def test_configured_goes_into_tables() -> None:
    found = configured({"filesystems": {"a": {"model": "pfs"}}}, {"filesystems.a.policy": "random"}, 4)
    assert found == {"filesystems": {"a": {"model": "pfs", "policy": "random"}}, "seed": 4}
    with pytest.raises(InputError, match="unknown key 'polcy'"):
        configured({}, {"polcy": "random"}, 1)


@pytest.mark.parametrize(
    "values, says",
    [
        ({"workload": ["w"]}, "needs a platform"),
        ({"platform": ["p"], "workload": ["w"], "policy": ["a", "a"]}, "given twice (--null"),
        ({"platform": ["p"], "workload": ["w"], "policy": ["a"], "baseline": "b"}, "unknown baseline 'b'"),
        ({"platform": ["p"], "workload": ["w"], "vary": {"seed": [1]}}, "can't vary 'seed'"),
        ({"platform": ["p"], "workload": ["w"], "threshold": -1}, "threshold"),
    ],
)
def test_wrong_plans(values: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(values)
    assert says in str(caught.value)


def test_a_plan_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('platform = "p.xml"\nworkload = "w.json"\npolicy = ["random"]\nseeds = "1-4"\n')
    plan = make_plan(read_plan(path))
    assert plan.platforms == (str(tmp_path / "p.xml"),)
    assert plan.seeds == (1, 2, 3, 4)
    path.write_text('polcy = ["random"]\n')
    with pytest.raises(InputError, match=r"unknown key 'polcy'.*did you mean 'policy'"):
        read_plan(path)
    path.write_text("policy = [\n")
    with pytest.raises(InputError, match="malformed TOML"):
        read_plan(path)


def test_shaking_moves_submissions_only(jobs: Path) -> None:
    workload = read_workload(jobs)
    reach = 0.1 * (workload.jobs[-1].submission_time - workload.jobs[0].submission_time) / 59
    shaken = resample(workload, "shake", 3)
    before = {job.id: job for job in workload.jobs}
    assert sorted(before) == sorted(job.id for job in shaken.jobs)
    for job in shaken.jobs:
        assert abs(job.submission_time - before[job.id].submission_time) <= reach + 1e-6
        assert job.profile == before[job.id].profile
    assert [job.submission_time for job in shaken.jobs] == sorted(job.submission_time for job in shaken.jobs)


def test_blocks_keep_what_follows_on_what(jobs: Path) -> None:
    """Every job of a drawn workload but a block's first follows the job it followed, at the same distance."""
    workload = read_workload(jobs)
    drawn = resample(workload, "blocks:length=10", 3)
    assert len(drawn.jobs) == len(workload.jobs)
    assert len({job.id for job in drawn.jobs}) == len(drawn.jobs)
    index = {job.name: i for i, job in enumerate(workload.jobs)}
    order = [index[job.name.partition("_")[2]] for job in drawn.jobs]
    followers = sum(b == (a + 1) % 60 for a, b in pairwise(order))
    assert followers >= 54 - 1
    for (a, job), (b, after) in zip(
        zip(order, drawn.jobs, strict=True), zip(order[1:], drawn.jobs[1:], strict=True), strict=False
    ):
        if b == a + 1:
            gap = workload.jobs[b].submission_time - workload.jobs[a].submission_time
            assert after.submission_time - job.submission_time == pytest.approx(gap, abs=1e-5)


def test_drawing_is_the_same_everywhere(jobs: Path) -> None:
    workload = read_workload(jobs)
    for method in ("shake", "blocks"):
        one, two, other = (resample(workload, method, seed) for seed in (1, 1, 2))
        assert one.jobs == two.jobs
        assert one.jobs != other.jobs
    with pytest.raises(InputError, match=r"unknown way of resampling 'block'.*did you mean 'blocks'"):
        resample(workload, "block", 1)
    with pytest.raises(InputError, match="unknown option of blocks 'len'"):
        resample(workload, "blocks:len=4", 1)


def test_inputs_are_kept_by_content(tmp_path: Path, jobs: Path) -> None:
    store = InputStore(tmp_path / "inputs")
    first = store.keep(str(jobs))
    assert Path(first.path).read_bytes() == jobs.read_bytes()
    away = first.shipped()
    (tmp_path / "elsewhere").mkdir()
    assert Path(away.materialise(tmp_path / "elsewhere")).read_bytes() == jobs.read_bytes()
    Path(first.path).write_text("{}")
    with pytest.raises(InputError, match="was changed"):
        first.materialise(tmp_path)


def test_plugins_are_inputs() -> None:
    configuration = {
        "policy": "mine.py:Name:k=4",
        "filesystems": {"a": {"model": "dir/b.py:M"}},
        "queue": "easy",
    }
    assert plugin_files(configuration) == ["mine.py", "dir/b.py"]


def test_clocks_are_left_out() -> None:
    table = b"makespan,scheduling_time,simulation_time,success_rate\n4.0,1.5,2.5,1.0\n"
    assert without_clocks(table) == b"makespan,scheduling_time,simulation_time,success_rate\n4.0,,,1.0\n"
