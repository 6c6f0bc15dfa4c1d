"""``batfs size``: the search against the full grid, what it says, and how it is asked."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas", reason="the extra 'report' is not installed")

import batfs  # noqa: E402
from batfs.campaign.plan import make_plan, parse_vary  # noqa: E402
from batfs.campaign.resample import resample  # noqa: E402
from batfs.campaign.sizing.asked import parse_knob, parse_target  # noqa: E402
from batfs.campaign.sizing.result import find_size  # noqa: E402
from batfs.campaign.sizing.search import Place, cheapest, coarse, knee  # noqa: E402
from batfs.cli.main import main  # noqa: E402
from batfs.decision.experiment import Experiment  # noqa: E402
from batfs.decision.run import run  # noqa: E402
from batfs.scheduling.config import Layer, Settings  # noqa: E402
from batfs.workload import read_workload, write_workload  # noqa: E402

GB = 10**9


# ---- the search by itself ----------------------------------------------------------------------------------


@dataclass
class Value:
    """A figure that is known up to ``half``; at most 1 is good."""

    value: float
    half: float = 0.0

    @property
    def meets(self) -> bool:
        return self.value <= 1

    @property
    def may(self) -> bool:
        return self.value - self.half <= 1

    @property
    def surely(self) -> bool:
        return self.value + self.half <= 1


class Judge:
    def __init__(self, figure: Callable[[Place], Value]) -> None:
        self.figure = figure
        self.asked: set[Place] = set()

    def __call__(self, place: Place) -> Value:
        self.asked.add(place)
        return self.figure(place)


@given(count=st.integers(2, 400), at=st.integers(0, 400), half=st.floats(0, 0.5))
@settings(max_examples=200, deadline=None)
def test_halving_finds_the_first_and_its_interval(count: int, at: int, half: float) -> None:
    """A curve that falls from 2 to 0, its 1 anywhere on or off the grid: the first at most 1, the first that
    may be, the first that surely is; at most 7 + 2 (the curve, anomalies) + 4 ways of halving."""
    fall = [2 - 2 * (k + 1) / (at + 1) if k <= at else 0.0 for k in range(count)]
    judge = Judge(lambda place: Value(fall[place[0]], half))
    found = cheapest([count], judge, lambda place: place[0])

    def first(good: Callable[[float], bool]) -> int | None:
        return next((k for k, value in enumerate(fall) if good(value)), None)

    best = first(lambda value: value <= 1)
    assert found.place == (None if best is None else (best,))
    assert len(judge.asked) <= 9 + 3 * (1 + math.ceil(math.log2(count)))
    if best is not None:
        [span] = found.spans
        may, sure = first(lambda value: value - half <= 1), first(lambda value: value + half <= 1)
        slack = 3 if count >= 30 else 0  # found to four steps
        if may == 0 and best > 0:
            assert span.low is None
        else:
            assert may is not None
            assert span.low is not None
            assert may - slack <= span.low <= may
        assert (span.high is None) == (sure is None)
        assert sure is None or sure <= (span.high or 0) <= sure + slack


def test_small_anomalies_below_the_answer_are_seen() -> None:
    """More made it worse at 41, so that 40 is the least that meets: halving alone would say 42."""
    judge = Judge(lambda place: Value(0.9 if place[0] == 40 or place[0] >= 42 else 1.1))
    assert cheapest([100], judge, lambda place: place[0]).place == (40,)


@given(seed=st.integers(0, 10**6), a=st.integers(2, 30), b=st.integers(2, 30))
@settings(max_examples=150, deadline=None)
def test_two_things_along_the_border(seed: int, a: int, b: int) -> None:
    """Against every pair, for figures that fall in both and costs that grow in both."""
    draw = random.Random(seed)
    x, y = ([draw.expovariate(1) for _ in range(n)] for n in (a, b))
    left = [sum(x[k:]) for k in range(a)]
    right = [sum(y[k:]) for k in range(b)]
    limit = draw.uniform(0, left[0] + right[0])
    prices = draw.uniform(0, 1), draw.uniform(0, 1)

    def cost(place: Place) -> float:
        return prices[0] * place[0] + prices[1] * place[1]

    judge = Judge(lambda place: Value((left[place[0]] + right[place[1]]) / limit if limit else 2.0))
    found = cheapest([a, b], judge, cost)
    good = [(i, j) for i in range(a) for j in range(b) if judge.figure((i, j)).meets]
    if not good:
        assert found.place is None
    else:
        assert found.place is not None
        assert cost(found.place) == pytest.approx(min(map(cost, good)))
    assert len(judge.asked) <= a * (2 + math.ceil(math.log2(b))) + 2 * (a + b)


def test_the_knee() -> None:
    """1/x from 1 to 10 lies farthest below its chord where its slope is the chord's, at the root of 10."""
    sizes = [1 + 0.1 * k for k in range(91)]
    found = knee(sizes, [1 / size for size in sizes])
    assert found is not None
    assert sizes[found] == pytest.approx(math.sqrt(10), abs=0.1)
    assert knee(sizes, sizes) is None
    assert knee(sizes, [-size for size in sizes]) is None
    assert coarse(85)[0] == 0
    assert coarse(85)[-1] == 84


# ---- on machines -------------------------------------------------------------------------------------------


def workload(path: Path, seed: int, systems: tuple[str, ...], size: int) -> Path:
    """Sixty jobs that each hold up to ``size`` bytes of one of these file systems for a while."""
    draw = random.Random(seed)
    jobs, profiles, now = [], {}, 0.0
    for k in range(60):
        now += draw.expovariate(1 / 6)
        io = [{"filesystem": draw.choice(systems), "writes": draw.randint(size // 10, size)}]
        profiles[f"p{k}"] = {
            "type": "parallel_homogeneous",
            "cpu": draw.randint(5, 60) * 10**9,
            "com": 0,
            "io": io,
        }
        jobs.append(
            {"id": str(k), "subtime": round(now, 2), "res": draw.choice((1, 1, 2)), "profile": f"p{k}"}
        )
    path.write_text(json.dumps({"nb_res": 8, "jobs": jobs, "profiles": profiles}))
    return path


MACHINES = [
    (("--nodes", "12", "--burst-buffers", "2x1"), "84GB..1.3TB", "wait.mean<40s", "fcfs"),
    (("--nodes", "10", "--central", "2TB"), "42GB..650GB", "slowdown.mean<7", "easy"),
    (("--nodes", "16", "--pfs", "2x2", "--nvme", "2x1"), "84GB..1.3TB", "turnaround.mean<60s", "fcfs"),
]


def made(folder: Path, words: tuple[str, ...]) -> tuple[Path, list[str]]:
    platform = folder / "p.xml"
    assert main(["platform", "new", *words, "-o", str(platform)]) == 0
    from batfs.platform import load_platform, number_resources

    storages = number_resources(load_platform(platform)).storages
    return platform, list(dict.fromkeys(s.properties["filesystem"] for s in storages))


@pytest.mark.slow
@pytest.mark.parametrize("case", range(3))
def test_the_optimum_of_the_full_grid_in_a_fifth_of_its_runs(tmp_path: Path, case: int) -> None:
    """Every size of the grid with every seed, run by itself without files, and its smallest size whose mean
    over the seeds meets the target."""
    words, sizes, wanted, queue = MACHINES[case]
    platform, systems = made(tmp_path, words)
    system = systems[0]
    source = workload(tmp_path / "w.json", case, (system,), 40 * GB)
    seeds = 8
    knob = parse_knob(f"{system}={sizes}")
    target = parse_target(wanted)
    plan = make_plan(
        {"platform": [str(platform)], "workload": [str(source)], "queue": [queue], "seeds": seeds,
         "resample": "blocks:length=10"}
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        found = find_size(plan, [knob], [target], tmp_path / "o", executor=pool)
    drawn = []
    for seed in range(1, seeds + 1):
        drawn.append(tmp_path / f"{seed}.json")
        write_workload(drawn[-1], resample(read_workload(source), "blocks:length=10", seed))
    name = target.metric.name.removeprefix("mean_")
    means = []
    for size in knob.values:
        values = []
        for seed, file in enumerate(drawn, 1):
            config = {"queue": queue, "seed": seed, "filesystems": {system: {"size": int(size)}}}
            result = run(Experiment(platform, [file]), Settings(flags=Layer("", config)), None)
            assert "REJECTED" not in result.summary["states"]
            values.append(result.summary[name]["mean"])
        means.append(math.fsum(values) / seeds)
    best = next(k for k, mean in enumerate(means) if target.met(mean))
    assert 0 < best < len(means) - 1
    assert found.answer.place == (best,)
    assert found.every == seeds * len(means)
    used = sum(len(m.figures) for m in found.measured)
    assert used <= found.every / 5
    assert found.best is not None
    assert found.best.interval(target.metric.name).mean == pytest.approx(means[best], rel=1e-5)
    [span] = found.answer.spans
    assert (span.low or 0) <= best <= (len(means) if span.high is None else span.high)
    assert any("95 % interval of that" in line for line in found.sentences())


def test_refused_jobs_are_counted_and_no_answer(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten jobs that hold 20 GB for a while and ten that hold 90 GB on one storage: below 90 GB only the small
    ones run, at once; their mean is lower than that of all and is no answer."""
    rows, profiles = [], {}
    for name, size in (("small", 20), ("large", 90)):
        io = [{"filesystem": "pfs", "writes": size * GB}]
        profiles[name] = {"type": "parallel_homogeneous", "cpu": 10**10, "com": 0, "io": io}
        rows += [{"id": f"{name}{k}", "subtime": 0, "res": 1, "profile": name} for k in range(10)]
    source = tmp_path / "w.json"
    source.write_text(json.dumps({"nb_res": 8, "jobs": rows, "profiles": profiles}))
    words = [
        "size",
        "disk3=20GB,50GB,80GB,100GB,200GB",
        "-p",
        str(machine),
        "-w",
        str(source),
        "--policy",
        "worst_fit",
    ]
    config = tmp_path / "c.toml"
    config.write_text(
        "[storages.disk0]\nsize = '0GB'\n[storages.disk1]\nsize = '0GB'\n[storages.disk2]\nsize = '0GB'\n"
    )
    words += ["--config", str(config), "-j", "1", "--formats", "svg", "-o", str(tmp_path / "o")]
    assert main([*words, "--target", "wait.mean<1e6s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["disk3"]: row for row in found["sizes"]}
    assert {size: row["refused_jobs"] for size, row in rows.items() if size in (20e9, 100e9, 200e9)} == {
        20e9: 10, 100e9: 0, 200e9: 0,
    }  # fmt: skip
    assert rows[20e9]["refuses"]
    assert rows[20e9]["mean_waiting_time"] < rows[100e9]["mean_waiting_time"]
    assert found["answer"] == {"disk3": 100e9}
    assert any("Jobs are refused at" in line for line in found["conclusions"])
    table = pd.read_csv(tmp_path / "o" / "sizes.csv")
    assert table["disk3"].is_monotonic_increasing
    assert table.loc[table["disk3"] == 20e9, "refused_jobs"].item() == 10
    assert (tmp_path / "o" / "sizes.tex").read_text().count(r"\\") == len(table) + 1
    assert "<svg" in (tmp_path / "o" / "sizes.svg").read_text()
    # a second call makes no run
    before = sorted((tmp_path / "o" / "runs").iterdir())
    stamps = [path.stat().st_mtime_ns for path in before]
    assert main([*words, "--target", "wait.mean<1e6s"]) == 0
    said = capsys.readouterr()
    assert "refuses jobs" in said.out
    assert "exact for this workload" in said.out
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "o" / "runs").iterdir())] == stamps
    # nothing is short enough
    assert main([*words, "--target", "wait.mean<1ms"]) == 1
    assert "isn't met even with disk3 200 GB" in capsys.readouterr().out


def test_from_python_with_nodes_and_two_at_once(machine: Path, jobs: Path, tmp_path: Path) -> None:
    """Nodes are sized as well; and a pair is the cheapest of all pairs."""
    with ThreadPoolExecutor(1) as pool:
        nodes = batfs.size(
            machine, jobs, {"nodes": "4,6,8,12"}, target="wait.mean<40s", seeds=1, executor=pool
        )
        pair = batfs.size(
            machine, jobs, {"nodes": "6,8,12", "bandwidth": "x1,x2,x4"}, target="turnaround.mean<80s",
            cost={"nodes": "10/node", "bandwidth": "30/x"}, seeds=1, executor=pool,
        )  # fmt: skip
    for size in (4, 12):
        real = run(Experiment(machine, [jobs], nodes=size), Settings(flags=Layer("", {"seed": 1})), None)
        [one] = [m for m in nodes.measured if m.values == (size,)]
        assert one.interval("mean_waiting_time").mean == pytest.approx(
            real.summary["waiting_time"]["mean"], abs=1e-5
        )
    good = {}
    for count in (6, 8, 12):
        for times in (1.0, 2.0, 4.0):
            experiment = Experiment(machine, [jobs], nodes=count, storage_bandwidth=times)
            result = run(experiment, Settings(flags=Layer("", {"seed": 1})), None)
            if result.summary["turnaround_time"]["mean"] < 80:
                good[count, times] = 10 * count + 30 * times
    assert pair.best is not None
    assert good
    assert pair.cost(pair.best.values) == min(good.values())
    assert "exact" in pair._repr_html_()
    pair.draw()


@pytest.mark.parametrize(
    "words, says",
    [
        (["pfs"], "expected WHAT=FROM..TO"),
        (["pfs=1..2TB"], "'1' has no unit"),
        (["pfs=2TB..1TB"], "2TB isn't less than 1TB"),
        (["pfs=1TB"], "at least two sizes"),
        (["pf=1TB..2TB"], "did you mean 'pfs'"),
        (["disk9=1TB..2TB"], "unknown file system 'disk9'"),
        (["nodes=x2..x4"], "no number of nodes"),
        (["bandwidth=1..2"], "no factor such as x2"),
        (["pfs=1TB..2TB", "--target", "wait"], "expected FIGURE<LIMIT"),
        (["pfs=1TB..2TB", "--target", "wiat.p95<1h"], "wiat"),
        (["pfs=1TB..2TB", "--target", "wait.p96<1h"], "p96_waiting_time"),
        (["pfs=1TB..2TB", "--target", "wait.p95<60"], "has no unit of time"),
        (["pfs=1TB..2TB", "--target", "utilisation>0.5"], "is in %"),
        (["pfs=1TB..2TB", "--cost", "pfs=80"], "a unit is missing"),
        (["pfs=1TB..2TB", "--cost", "bb=80/TB"], "unknown thing that is varied 'bb'"),
        (["pfs=1TB..2TB", "nodes=8..9", "--target", "wait<1s"], "each needs a price"),
        (["pfs=1TB..2TB", "pfs=1TB..2TB", "--target", "wait<1s"], "varied twice"),
        (["pfs=1TB..2TB", "disk1=1TB..2TB"], "sized for a target"),
        (["pfs=1TB..2TB", "--precision", "0"], "--precision 0"),
        (["pfs=1TB..2TB", "--policy", "wrost_fit"], "did you mean 'worst_fit'"),
    ],
)
def test_wrong_questions_are_one_line(
    machine: Path, jobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    out = tmp_path / "o"
    assert main(["size", *words, "-p", str(machine), "-w", str(jobs), "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(out.glob("runs/*"))


def test_grids_of_sizes() -> None:
    values = parse_knob("bb=100GB..6TB").values
    assert values[0] == 100 * GB
    assert values[-1] == 6000 * GB
    assert all(1.03 < b / a < 1.07 for a, b in pairwise(values))
    assert parse_knob("nodes=4..9", 0.01).values == (4, 5, 6, 7, 8, 9)
    assert parse_knob("bb=2TB,1TB,2TB").values == (1000 * GB, 2000 * GB)
    assert parse_target("wait<90min").limit == 5400
    assert parse_target("utilisation >= 80 %").met(80.0)


def test_sizes_can_be_compared(machine: Path, jobs: Path, tmp_path: Path) -> None:
    """Of a file system and of a storage, whose names may have hyphens and dots, by ``compare --vary``."""
    [one, two, three] = parse_vary(
        ["filesystems.my-p.fs.stripe-count=1", "storages.a-b.size=1TB,2TB", "node-selection=lowest"]
    )
    assert one.key == "filesystems.my-p.fs.stripe_count"
    assert two.key == "storages.a-b.size"
    assert three.key == "node_selection"
    text = machine.read_text().replace('"disk3"', '"disk-3.b"').replace('value="pfs"', 'value="my-p.fs"')
    platform = tmp_path / "p.xml"
    platform.write_text(text)
    out = tmp_path / "o"
    words = ["compare", "-p", str(platform), "-w", str(jobs), "--seeds", "1", "--no-report", "-j", "1"]
    words += ["--vary", "filesystems.my-p.fs.size=1TB,2TB", "--vary", "storages.disk-3.b.size=400GB,500GB"]
    assert main([*words, "-o", str(out)]) == 0
    sizes = set()
    for folder in (out / "runs").iterdir():
        states = (
            pd.read_csv(folder / "run_storage_states.csv")
            .drop_duplicates("name")
            .set_index("name")["capacity"]
        )
        sizes.add((int(states.sum()), int(states["disk-3.b"])))
    assert sizes == {(a * GB, b * GB) for a in (1000, 2000) for b in (400, 500)}


def test_numbers_in_json_are_those_of_the_csv(machine: Path, jobs: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        found = batfs.size(
            machine, jobs, {"storage": "10GB,40GB,800GB"}, seeds=2, output=tmp_path, executor=pool
        )
    document: dict[str, Any] = json.loads((tmp_path / "size.json").read_text())
    table = pd.read_csv(tmp_path / "sizes.csv")
    for row, (_, line) in zip(document["sizes"], table.iterrows(), strict=True):
        for name, value in row.items():
            assert (value is None and pd.isna(line[name])) or value == pytest.approx(line[name])
    assert found.answer.place is None
    assert document["answer"] is None


def test_what_is_off_is_said_once_and_a_wrong_name_before_the_first_run(
    jobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As run and compare say it: a burst buffer stages only with dynamic jobs."""
    platform, systems = made(tmp_path, ("taurus_storage",))
    assert "bb" in systems
    words = ["size", "bb=1TB,2TB", "-p", str(platform), "-w", str(jobs), "--seeds", "1"]
    words += ["-j", "1", "--formats", "none"]
    assert main([*words, "-o", str(tmp_path / "o")]) == 0
    assert capsys.readouterr().err.count("need dynamic jobs (--dynamic-jobs") == 1
    assert main([*words, "--queue", "esy", "-o", str(tmp_path / "p")]) == 2
    assert "did you mean 'easy'?" in capsys.readouterr().err
    assert not (tmp_path / "p" / "runs").exists()
