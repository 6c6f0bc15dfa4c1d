"""The figures of a run against hand calculations, and the inference against scipy."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

scipy_stats = pytest.importorskip("scipy.stats", reason="the extra 'report' is not installed")

from batfs.errors import InputError  # noqa: E402
from batfs.report import load_run  # noqa: E402
from batfs.report.comparisons import compare_groups  # noqa: E402
from batfs.report.distributions import ecdf, letter_values  # noqa: E402
from batfs.report.groups import group_runs  # noqa: E402
from batfs.report.inference import (  # noqa: E402
    Difference,
    bootstrap_mean,
    compare_pairs,
    effect_size,
    holm,
    sentence,
    sign_flip_test,
)
from batfs.report.statistics import bounded_slowdown, job_table, storage_table, summarize  # noqa: E402

WriteRun = Callable[..., Path]

JOBS = """\
job_id,workload_name,profile,submission_time,requested_number_of_resources,requested_time,success,final_state,\
starting_time,execution_time,finish_time,waiting_time,turnaround_time,stretch,allocated_resources,consumed_energy,\
metadata
1,w0,a,0.000000,2,-1.000000,1,COMPLETED_SUCCESSFULLY,0.000000,20.000000,20.000000,0.000000,20.000000,1.000000,0-1,\
-1.000000,""
2,w0,b,5.000000,1,-1.000000,0,COMPLETED_WALLTIME_REACHED,20.000000,5.000000,25.000000,15.000000,20.000000,4.000000,0,\
-1.000000,""
3,w0,c,6.000000,9,-1.000000,0,REJECTED,,,,,,,,,"asks for 9 nodes, has 4"
4,w0,b,10.000000,4,-1.000000,1,COMPLETED_SUCCESSFULLY,25.000000,15.000000,40.000000,15.000000,30.000000,2.000000,0-3,\
-1.000000,""
"""
IO = """\
job_id,workload_name,file_system,storages,read_bytes,written_bytes,read_by_storage,written_by_storage,internal_bytes,\
staged_bytes,io_resources,storage_waiting_time,hold_reason,allocated_resources
1,w0,fs,4,100,20,4:100,4:20,0,0,0-1 4,0.000000,,0-1
4,w0,fs,4 5,300,0,4:200 5:100,,7,50,0-5,3.000000,needs 5 B,0-3
4,w0,bb,5,0,40,,5:40,0,0,0-5,3.000000,needs 5 B,0-3
"""
STORAGE = """\
time,storage,name,filesystem,capacity,reserved_bytes,used_bytes,active_transfers
0.000000,4,disk4,fs,1000,0,0,0
0.000000,5,disk5,fs,500,0,0,0
0.000000,4,disk4,fs,1000,120,120,2
20.000000,4,disk4,fs,1000,0,0,0
25.000000,4,disk4,fs,1000,200,200,4
25.000000,5,disk5,fs,500,140,140,4
40.000000,4,disk4,fs,1000,0,0,0
40.000000,5,disk5,fs,500,0,0,0
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Four nodes, two storages, four jobs of which one is rejected and one killed."""
    (tmp_path / "t_jobs.csv").write_text(JOBS)
    (tmp_path / "t_io_jobs.csv").write_text(IO)
    (tmp_path / "t_storage_states.csv").write_text(STORAGE)
    (tmp_path / "t_provenance.json").write_text('{"results": {"compute_nodes": 4}}')
    return tmp_path / "t"


def test_figures_by_hand(tiny: Path) -> None:
    """Waits 0, 15, 15; turnarounds 20, 20, 30; node-seconds 40 + 5 + 60 of 4 x 40; bounded slowdowns 1,
    20/10, 2.

    Storage 4 holds 120 B for 20 s and 200 B for 15 s, storage 5 140 B for 15 s, of 1500 B over 40 s.
    Storage 4
    moves 320 B, storage 5 140 B: 320 over the mean 230.
    """
    values = summarize(load_run(tiny))
    assert values["jobs"] == 4
    assert values["refused_jobs"] == 1
    assert values["unsuccessful_jobs"] == 1
    assert values["makespan"] == 40
    assert values["mean_waiting_time"] == 10
    assert values["median_waiting_time"] == 15
    assert values["max_turnaround_time"] == 30
    assert values["mean_bounded_slowdown"] == pytest.approx(5 / 3)
    assert values["mean_stretch"] == pytest.approx(7 / 3)
    assert values["node_utilisation"] == pytest.approx(100 * 105 / 160)
    assert values["mean_storage_waiting_time"] == 1
    assert values["mean_io_time"] == pytest.approx(17.5)
    assert (values["read_bytes"], values["written_bytes"], values["staged_bytes"]) == (400, 60, 50)
    assert values["internal_bytes"] == 7
    expected = 100 * (120 * 20 + 200 * 15 + 140 * 15) / (1500 * 40)
    assert values["storage_utilisation"] == pytest.approx(expected)
    assert values["storage_peak"] == pytest.approx(28)
    assert values["storage_busy"] == pytest.approx(100 * (35 / 40 + 15 / 40) / 2)
    assert values["storage_imbalance"] == pytest.approx(320 / 230)


def test_storages_by_hand(tiny: Path) -> None:
    table = storage_table(load_run(tiny)).set_index("storage")
    assert table.loc[4, "mean_used_bytes"] == pytest.approx((120 * 20 + 200 * 15) / 40)
    assert table.loc[5, "max_reserved_bytes"] == 140
    assert table.loc[4, "max_active_transfers"] == 4
    assert list(table["read_bytes"]) == [300, 100]
    assert list(table["written_bytes"]) == [20, 40]


def test_job_table_joins_file_systems(tiny: Path) -> None:
    table = job_table(load_run(tiny)).set_index("job")
    assert table.loc["w0!4", "read_bytes"] == 300
    assert table.loc["w0!4", "written_bytes"] == 40
    assert table.loc["w0!4", "storage_waiting_time"] == 3  # the two rows tell of one wait
    assert table.loc["w0!4", "file_systems"] == "fs bb"
    assert table.loc["w0!2", "storage_waiting_time"] == 0
    assert math.isnan(table.loc["w0!3", "bounded_slowdown"])


def test_threshold(tiny: Path) -> None:
    assert summarize(load_run(tiny), threshold=1)["max_bounded_slowdown"] == 4
    found = bounded_slowdown(np.array([20.0, 3.0, math.nan]), np.array([1.0, 3.0, 1.0]), 10.0)
    assert found[:2].tolist() == [2.0, 1.0]
    assert math.isnan(found[2])
    with pytest.raises(InputError, match="threshold"):
        bounded_slowdown(np.array([1.0]), np.array([1.0]), 0.0)


def test_a_run_of_batsim_alone(tiny: Path) -> None:
    """Without batfs's own files nothing is claimed about storage."""
    Path(f"{tiny}_io_jobs.csv").unlink()
    Path(f"{tiny}_storage_states.csv").unlink()
    values = summarize(load_run(tiny))
    assert values["mean_waiting_time"] == 10
    assert math.isnan(values["read_bytes"])
    assert math.isnan(values["mean_storage_waiting_time"])
    assert math.isnan(values["storage_utilisation"])


_DRAW = random.Random(1)
SAMPLES = {
    "normal": [_DRAW.gauss(5, 2) for _ in range(30)],
    "skewed": [_DRAW.expovariate(0.1) for _ in range(25)],
    "small": [3.1, 4.7, 1.2, 9.9, 5.0, 2.2, 7.4],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_bootstrap_against_scipy(name: str) -> None:
    """Both draw 20,000 resamples: their interval ends differ by Monte Carlo noise only."""
    data = np.array(SAMPLES[name])
    ours = bootstrap_mean(data, resamples=20000, seed=3)
    theirs = scipy_stats.bootstrap(
        (data,), np.mean, n_resamples=20000, method="BCa", rng=np.random.default_rng(3)
    )
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.mean == pytest.approx(data.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


@pytest.mark.parametrize("shift", [0.0, 0.4, 1.0, 3.0])
@pytest.mark.parametrize("n", [6, 11, 30])
def test_sign_flips_against_scipy(shift: float, n: int) -> None:
    draw = random.Random(n)
    differences = np.array([draw.gauss(shift, 1) for _ in range(n)])
    theirs = scipy_stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=20000 if n > 14 else np.inf,
        rng=np.random.default_rng(1),
    )
    ours = sign_flip_test(differences, resamples=20000, seed=4)
    # exact where both enumerate; else both are estimates of the same p
    tolerance = 1e-12 if n <= 14 else 4 * math.sqrt(max(theirs.pvalue, 1e-4) / 20000) + 1e-4
    assert ours == pytest.approx(theirs.pvalue, abs=tolerance)


def test_effect_size() -> None:
    """d_z of 1..7 is 4 / sqrt(28/6); Hedges' factor for 6 degrees of freedom is 1 - 3/23."""
    assert effect_size(np.arange(1.0, 8.0)) == pytest.approx(4 / math.sqrt(28 / 6) * (1 - 3 / 23))
    assert effect_size(np.array([2.0, 2.0])) == math.inf
    assert effect_size(np.zeros(5)) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_against_scipy(values: list[float]) -> None:
    """scipy has Benjamini-Hochberg only; Holm's own definition is the oracle: (m - rank) p, made monotone."""
    found = holm([_difference(p) for p in values])
    order = sorted(range(len(values)), key=values.__getitem__)
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(values) - rank) * values[i]))
        assert found[i].adjusted == pytest.approx(worst)


def _difference(p: float) -> Difference:
    return Difference(
        n=30,
        baseline_mean=1,
        mean=1,
        low=0.5,
        high=2,
        relative=1,
        effect=1,
        lower=0,
        p=p,
        adjusted=p,
        distinct=30,
    )


def test_null_comparisons_are_not_called() -> None:
    """Two samples of one distribution, 400 times: at a level of 95 % about 20 may be called, 36 would be a
    one-in-a-thousand accident; each a comparison of its own, so Holm has nothing to adjust."""
    draw = random.Random(11)
    called = 0
    for _ in range(400):
        x = [draw.lognormvariate(3, 1) for _ in range(20)]
        y = [draw.lognormvariate(3, 1) for _ in range(20)]
        called += compare_pairs(x, y, resamples=999, seed=draw.randrange(1000)).called
    assert called < 36


def test_a_real_difference_is_called() -> None:
    draw = random.Random(5)
    base = [draw.lognormvariate(3, 1) for _ in range(30)]
    found = compare_pairs([0.8 * value + draw.gauss(0, 0.3) for value in base], base)
    assert found.called
    assert found.high < 0
    text = sentence("worst_fit", "random", "mean waiting time", "s", -1, found)
    assert "worst_fit is lower (better) than random" in text
    assert "30 pairs" in text


def test_equal_values_under_every_seed_carry_no_claim() -> None:
    """A policy without random draws repeats one run: no interval can be had from that."""
    found = holm([compare_pairs([5.0] * 30, [4.0] * 30)])[0]
    assert not found.called
    assert "exactly this workload" in sentence("a", "b", "makespan", "s", -1, found)
    same = compare_pairs([5.0] * 30, [5.0] * 30)
    assert "same value" in sentence("a", "b", "makespan", "s", -1, same)


def test_few_pairs_conclude_nothing() -> None:
    found = compare_pairs([1.0, 2.0, 3.0], [2.0, 3.5, 4.1])
    assert not found.called
    assert "too few" in sentence("a", "b", "makespan", "s", -1, found)


def test_inference_is_deterministic() -> None:
    x, y = SAMPLES["normal"][:20], SAMPLES["skewed"][:20]
    assert compare_pairs(x, y, seed=1) == compare_pairs(x, y, seed=1)


def test_letter_values_of_a_known_sample() -> None:
    """1..99: median 50 at depth 50, fourths at depth 25.5, eighths at 13, sixteenths at 7."""
    found = letter_values(np.arange(1.0, 100.0))
    assert found.median == 50
    assert found.pairs[:3] == ((25.5, 74.5), (13.0, 87.0), (7.0, 93.0))
    assert letter_values(np.array([])).n == 0
    assert letter_values(np.array([4.0])).median == 4


def test_ecdf_keeps_the_ends() -> None:
    draw = random.Random(3)
    sample = np.array([draw.random() for _ in range(50000)])
    values, shares = ecdf(sample, points=1000)
    assert len(values) <= 1000
    assert shares[0] == 1 / 50000
    assert shares[-1] == 1
    oracle = scipy_stats.ecdf(sample).cdf
    assert oracle.evaluate(values).tolist() == pytest.approx(shares.tolist())


def test_comparison_pairs_by_seed(tmp_path: Path, write_run: WriteRun) -> None:
    """Same seeds, one policy ten percent slower: paired, that is found; the null is not."""
    runs = [
        load_run(write_run(tmp_path / f"{label}{seed}", jobs=60, seed=seed, label=label, slow=slow))
        for label, slow in (("base", 1.0), ("slower", 1.1))
        for seed in range(8)
    ]
    rows = compare_groups(group_runs(runs), "base", ["mean_io_time", "read_bytes"])
    found = {row.metric.name: row for row in rows}
    assert found["mean_io_time"].difference.n == 8
    assert found["mean_io_time"].difference.relative == pytest.approx(0.1, abs=1e-6)
    assert found["mean_io_time"].verdict == "worse"
    assert found["read_bytes"].verdict == ""
    with pytest.raises(InputError, match="unknown baseline 'bas'"):
        compare_groups(group_runs(runs), "bas")
