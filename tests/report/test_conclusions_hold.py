"""What a comparison concludes: pairs that are independent, numbers that suffice, intervals that cover.

The simulations are small here; ``CAMPAIGNS=1000 python tests/report/test_conclusions_hold.py`` does the
ones whose figures are in docs/reference/statistics.md.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

scipy_stats = pytest.importorskip("scipy.stats", reason="the extra 'report' is not installed")

from batfs.report.comparisons import Compared, compare_groups  # noqa: E402
from batfs.report.groups import Group, group_runs  # noqa: E402
from batfs.report.inference import Difference, compare_pairs, holm, mean_interval, sentence  # noqa: E402
from batfs.report.power import detectable, flips_needed, pairs_needed, student  # noqa: E402
from batfs.report.run import Run, load_run  # noqa: E402
from batfs.report.statistics import all_metrics  # noqa: E402
from batfs.report.tables import metric_named, with_ends  # noqa: E402

WriteRun = Callable[..., Path]
CAMPAIGNS = int(os.environ.get("CAMPAIGNS", "0"))


@pytest.mark.parametrize(
    "comparisons, pairs", [(1, 6), (2, 7), (11, 9), (13, 10), (51, 11), (52, 12), (611, 15), (0, 6)]
)
def test_pairs_needed(comparisons: int, pairs: int) -> None:
    """2 / 2**9 x 11 = 0.043 is below 0.05, 2 / 2**8 x 11 = 0.086 isn't."""
    assert pairs_needed(comparisons) == pairs
    assert comparisons * 2.0 ** (1 - pairs) < 0.05 <= max(1, comparisons) * 2.0 ** (2 - pairs)


def test_enough_draws_for_many_comparisons() -> None:
    """With 9999 draws p is at least 1e-4, and 500 times that is 0.05: no effect whatever could be found."""
    assert flips_needed(1) == 9999
    m = 611
    assert m / (flips_needed(m) + 1) < 0.05 / 10
    draw = random.Random(1)
    strong = [10 + draw.gauss(0, 1) for _ in range(20)]
    found = compare_pairs(strong, [0.0] * 20, flips=flips_needed(m))
    assert found.p * m < 0.05
    assert holm([found] * m)[0].called


def test_students_quantiles() -> None:
    for freedom in (1, 2, 5, 29):
        assert student(0.975, freedom) == pytest.approx(scipy_stats.t.ppf(0.975, freedom))


def test_two_workloads_with_ten_seeds_that_change_nothing_are_two_pairs() -> None:
    x, y = [10.0] * 10 + [20.0] * 10, [12.0] * 10 + [25.0] * 10
    [found] = holm([compare_pairs(x, y, cells=["a"] * 10 + ["b"] * 10)])
    assert (found.n, found.runs, found.workloads) == (2, 20, 2)
    assert found.p == 0.5
    assert not found.called
    assert not found.exact
    assert math.isnan(found.low)
    text = sentence("worst_fit", "best_fit", "mean waiting time", "s", -1, found)
    assert "2 pairs of 2 workloads" in text
    assert "too few to conclude anything (at least 6 are needed)" in text


def test_one_run_thirty_times_has_no_p_and_no_effect_size() -> None:
    found = compare_pairs([5.0] * 30, [4.0] * 30)
    assert (found.n, found.runs) == (1, 30)
    assert math.isnan(found.p)
    assert math.isnan(found.adjusted)
    assert math.isnan(found.effect)
    assert found.exact
    assert "all 30 runs" in sentence("a", "b", "makespan", "s", -1, found)


@pytest.mark.parametrize("times", [1, 2, 7])
def test_repeating_a_run_changes_no_conclusion(times: int) -> None:
    """Eight workloads that no seed changes, with one seed or several: the same comparison."""
    draw = random.Random(3)
    x = [draw.gauss(5, 1) for _ in range(8)]
    y = [value + draw.gauss(3, 1) for value in x]
    once = compare_pairs(x, y, cells=range(8))
    again = compare_pairs(
        [v for v in x for _ in range(times)],
        [v for v in y for _ in range(times)],
        cells=[k for k in range(8) for _ in range(times)],
    )
    same = [
        getattr(one, name) for one in (once, again) for name in ("n", "mean", "low", "high", "p", "effect")
    ]
    assert same[:6] == same[6:]


def test_seeds_that_change_one_side_are_pairs() -> None:
    draw = random.Random(4)
    found = compare_pairs([draw.gauss(5, 1) for _ in range(12)], [2.0] * 12)
    assert found.n == 12
    assert found.called


def test_adjusted_p_is_holms_for_any_number_of_pairs() -> None:
    """Three pairs: p = 0.25 each; over four such comparisons 1."""
    found = holm([compare_pairs([1.0, 2.0, 3.5], [0.0, 0.5, 1.0]) for _ in range(4)])
    assert [d.p for d in found] == [0.25] * 4
    assert [d.adjusted for d in found] == [1.0] * 4


def test_figures_that_never_differ_leave_the_family() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0], [0.0] * 6
    some, none = compare_pairs(x, y), compare_pairs(x, x)
    found = holm([some, *[none] * 12])
    assert found[0].family == 1
    assert found[0].called
    assert "equal in every one" in sentence("a", "b", "m", "s", -1, found[1])


def test_of_two_runs_there_is_a_range_and_no_interval() -> None:
    two = mean_interval([12.0, 15.0])
    assert math.isnan(two.low)
    assert two.ends == (12, 15)
    assert with_ends(metric_named("mean_waiting_time"), two) == "13.5 [range 12, 15] s"
    three = mean_interval([12.0, 15.0, 13.5])
    assert three.word == "95 % interval"
    assert three.high == pytest.approx(13.5 + 4.3027 * 1.5 / math.sqrt(3), rel=1e-3)
    assert mean_interval([4.0] * 30).ends is None


def covered(n: int, draw: Callable[[], float], mean: float, trials: int) -> tuple[float, float]:
    """How often our interval and Student's t hold ``mean``."""
    ours = student_s = 0
    for _ in range(trials):
        data = np.array([draw() for _ in range(n)])
        found = mean_interval(data, range(n), resamples=1999)
        ours += found.low <= mean <= found.high
        half = student(0.975, n - 1) * data.std(ddof=1) / math.sqrt(n)
        student_s += abs(data.mean() - mean) <= half
    return ours / trials, student_s / trials


@pytest.mark.parametrize("n", [3, 6, 10, 30])
def test_intervals_cover(n: int) -> None:
    """Of 300 normal samples 94 % (two standard errors: 2.6 %); log-normal ones not less often than
    Student's t."""
    rng = random.Random(n)
    ours, _ = covered(n, lambda: rng.gauss(5, 2), 5.0, 300)
    assert ours >= 0.92
    ours, student_s = covered(n, lambda: rng.lognormvariate(0, 0.7), math.exp(0.245), 150)
    assert ours >= student_s


def null_campaign(rng: random.Random, figures: int = 5) -> list[Difference]:
    """Two settings with 2 to 30 pairs, on one workload, on several or on one per seed, each drawing at
    random or not. Nothing makes one better than the other: what a workload of its own does to them is as
    likely in favour of either."""
    n = rng.randint(2, 30)
    resampled = rng.random() < 0.4
    draws = [rng.random() < 0.6 for _ in range(2)]
    workloads = n if resampled else rng.randint(1, 3)
    cells = [k % workloads for k in range(n)]
    rows = []
    for _ in range(figures):
        level = [rng.lognormvariate(3, 0.5) for _ in range(workloads)]
        own = [rng.gauss(0, 0.3) if resampled else 0.0 for _ in range(workloads)]
        x, y = (
            [
                level[c] * math.exp(0.1 * ((rng.gauss(0, 0.3) if draws[side] else 0.0) + (0.0, own[c])[side]))
                for c in cells
            ]
            for side in range(2)
        )
        rows.append(compare_pairs(x, y, cells=[0] * n if resampled else cells, resamples=999))
    return holm(rows)


def false_alarms(campaigns: int, seed: int = 1) -> float:
    """The share of null campaigns in which at least one difference is declared."""
    rng = random.Random(seed)
    return sum(any(d.called for d in null_campaign(rng)) for _ in range(campaigns)) / campaigns


def found_share(n: int, m: int, trials: int, seed: int = 2) -> float:
    """How often a difference as large as the printed one is found: normal differences, m - 1 others without
    any."""
    rng = random.Random(seed)
    size = detectable(n, m)
    found = 0
    for _ in range(trials):
        planted = compare_pairs(
            [rng.gauss(size, 1) for _ in range(n)], [0.0] * n, flips=flips_needed(m), resamples=999
        )
        others = [
            compare_pairs([rng.gauss(0, 1) for _ in range(n)], [0.0] * n, resamples=999)
            for _ in range(min(m, 3) - 1)
        ]
        # the others in the family with p of one half: what counts is how many they are
        rest = [others[k % len(others)] for k in range(m - 1)] if others else []
        found += holm([planted, *rest])[0].called
    return found / trials


def test_null_campaigns_declare_differences_in_at_most_one_of_twenty() -> None:
    """300 campaigns: two standard errors above 5 % are 7.5 %; all 1000 of the docs are done by hand."""
    assert false_alarms(CAMPAIGNS or 300) <= (0.05 if CAMPAIGNS else 0.075)


@pytest.mark.parametrize("n, m", [(6, 1), (10, 11), (16, 11), (30, 52)])
def test_a_difference_as_large_as_printed_is_found_four_times_in_five(n: int, m: int) -> None:
    """80 trials: two standard errors are 9 %."""
    assert found_share(n, m, 80) >= 0.71


def test_too_few_pairs_see_nothing() -> None:
    assert detectable(8, 11) == math.inf
    assert math.isfinite(detectable(9, 11))


# ---- through the report's own way: runs, groups, contexts
# ------------------------------------------------------


def made_runs(
    write_run: WriteRun, folder: Path, plan: Sequence[tuple[str, str, int, int, float]]
) -> list[Run]:
    """Runs of (label, context, seed number, seed of the draws, slow-down)."""
    found = []
    for label, context, number, draws, slow in plan:
        prefix = write_run(
            folder / f"{label}-{context}-{number}", jobs=40, seed=draws, label=label, slow=slow
        )
        path = Path(f"{prefix}_provenance.json")
        text = f'{{"label": "{label} @ {context}", "treatment": "{label}", "context": "{context}", '
        path.write_text(text + f'"pair": ["{context}", "{number}"], "results": {{"compute_nodes": 16}}}}')
        found.append(load_run(prefix))
    return found


def test_contexts_are_compared_within_and_over(write_run: WriteRun, tmp_path: Path) -> None:
    """Two workloads with six seeds: within each six pairs, over both twelve; the sentence says over what."""
    plan = [
        (label, context, seed, 100 * which + seed, slow)
        for label, slow in (("base", 1.0), ("slower", 1.1))
        for which, context in enumerate(("a", "b"))
        for seed in range(6)
    ]
    rows = compare_groups(group_runs(made_runs(write_run, tmp_path, plan)), "base", ["mean_io_time"])
    assert [row.label for row in rows] == ["slower @ a", "slower @ b", "slower over 2 contexts"]
    assert [row.difference.n for row in rows] == [6, 6, 12]
    assert rows[0].difference.family == 3
    assert rows[2].difference.called
    assert "over these 2 workloads" in rows[2].sentence
    assert "12 pairs of 2 workloads" in rows[2].sentence


def test_a_primary_figure_leaves_the_others_descriptive(write_run: WriteRun, tmp_path: Path) -> None:
    plan = [
        (label, "a", seed, seed, slow)
        for label, slow in (("base", 1.0), ("slower", 1.1))
        for seed in range(6)
    ]
    groups = group_runs(made_runs(write_run, tmp_path, plan))
    every = {row.metric.name: row for row in compare_groups(groups, "base")}
    assert not any(row.found for row in every.values())  # six pairs are too few for a dozen figures
    assert "at least" in every["mean_io_time"].sentence
    one = {row.metric.name: row for row in compare_groups(groups, "base", primary="mean_io_time")}
    assert one["mean_io_time"].verdict == "worse"
    assert one["mean_io_time"].difference.needed == 6
    other = one["mean_waiting_time"]
    assert not other.found
    assert math.isnan(other.difference.adjusted)
    assert "described only" in other.sentence
    named = {row.metric.name: row for row in compare_groups(groups, "base", primary="median_io_time")}
    assert "median_io_time" in named
    assert "median_io_time" in all_metrics()


def test_a_setting_that_loses_jobs_is_not_better_for_it(write_run: WriteRun, tmp_path: Path) -> None:
    """One that is quicker, but refuses a job that the baseline ran: different, and the sentence says why."""
    runs = made_runs(
        write_run,
        tmp_path,
        [
            (label, "a", seed, seed, slow)
            for label, slow in (("base", 1.0), ("quick", 0.9))
            for seed in range(8)
        ],
    )
    for run in runs:
        if run.label.startswith("quick"):
            run.jobs.loc[run.jobs.index[-1], ["final_state", "starting_time", "finish_time"]] = [
                "REJECTED",
                math.nan,
                math.nan,
            ]
    [row] = compare_groups(group_runs(runs), "base", ["mean_io_time"])
    assert isinstance(row, Compared)
    assert row.lost >= 1
    assert row.difference.called
    assert row.verdict == "different"
    assert "refused, killed or failed" in row.sentence
    assert "(better)" not in row.sentence


def test_the_mean_of_runs_that_repeat_has_no_interval(write_run: WriteRun, tmp_path: Path) -> None:
    group = Group("x", made_runs(write_run, tmp_path, [("x", "a", seed, 7, 1.0) for seed in range(5)]))
    interval = group.interval("mean_waiting_time")
    assert interval.n == 1
    assert interval.ends is None


if __name__ == "__main__":
    print("false alarms in", CAMPAIGNS or 1000, "null campaigns:", false_alarms(CAMPAIGNS or 1000))
    for pairs, family in (
        (6, 1),
        (9, 11),
        (10, 11),
        (14, 11),
        (16, 11),
        (20, 52),
        (30, 1),
        (30, 11),
        (30, 52),
        (30, 611),
    ):
        print(pairs, "pairs,", family, "comparisons: found", found_share(pairs, family, 400))
    for count in (3, 4, 6, 10, 30, 100):
        rng = random.Random(count)
        normal = covered(count, lambda: rng.gauss(5, 2), 5.0, 1000)  # noqa: B023
        skewed = covered(count, lambda: rng.lognormvariate(0, 0.7), math.exp(0.245), 1000)  # noqa: B023
        print(count, "pairs: normal", normal, "log-normal", skewed, flush=True)
