"""Seconds of a process learnt from other jobs: planted numbers are found, nobody helps itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from batfs.campaign.calibration.processes import ProcessTimes, held_out
from batfs.campaign.reproduce.theta import Comparison, each_day, each_job, with_process_times
from batfs.errors import InputError


def planted(
    rng: np.random.Generator, jobs: int, spread: float
) -> tuple[list[float], list[float], list[float]]:
    """log t = -12 + 0.8 log x + 0.1 log p + noise."""
    sizes = np.exp(rng.uniform(10, 22, jobs))
    processes = np.exp(rng.uniform(0, 9, jobs))
    seconds = np.exp(-12 + 0.8 * np.log(sizes) + 0.1 * np.log(processes) + rng.normal(0, spread, jobs))
    return sizes.tolist(), processes.tolist(), seconds.tolist()


def test_without_noise_the_numbers_are_found() -> None:
    fitted = ProcessTimes.fit(*planted(np.random.default_rng(1), 30, 0.0))
    assert fitted.weights == pytest.approx((-12, 0.8, 0.1), abs=1e-9)
    assert fitted.rate(1e6, 10) == pytest.approx(
        1e6 / math.exp(-12 + 0.8 * math.log(1e6) + 0.1 * math.log(10))
    )


def test_intervals_cover_what_they_say() -> None:
    """200 repetitions of 20 jobs: 90 % intervals of a new job. The share lies within three standard errors
    (0.021 each) of 0.9."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        sizes, processes, seconds = planted(rng, 21, 0.7)
        found = ProcessTimes.fit(sizes[:-1], processes[:-1], seconds[:-1]).predict(sizes[-1], processes[-1])
        covered += found.low <= seconds[-1] <= found.high
    assert covered / 200 == pytest.approx(0.9, abs=0.064)


def comparisons(seconds: list[float]) -> list[Comparison]:
    sizes, processes, measured = planted(np.random.default_rng(3), 12, 0.5)
    rows = zip(sizes, processes, seconds or measured, strict=True)
    return [
        Comparison(str(i), "read", round(x * p), 1, p, t, 1e-9, 86400.0 * (i // 3))
        for i, (x, p, t) in enumerate(rows)
    ]


@pytest.mark.parametrize("group", [each_job, each_day])
def test_nobody_is_compared_with_itself(group: object) -> None:
    """A job's own measurement, however wild, changes the others' predictions and not its own; with days
    held out, not those of its day."""
    usual = comparisons([])
    wild = [c.measured for c in usual]
    wild[4] *= 1e6
    before, _ = with_process_times(usual, group)  # type: ignore[arg-type]
    after, _ = with_process_times(comparisons(wild), group)  # type: ignore[arg-type]
    same = [i for i in range(12) if before[i].simulated == after[i].simulated]
    assert same == ([4] if group is each_job else [3, 4, 5])


def test_equal_columns_say_nothing_and_few_jobs_are_refused() -> None:
    sizes, _, seconds = planted(np.random.default_rng(5), 10, 0.1)
    alike = ProcessTimes.fit(sizes, [4.0] * 10, seconds)
    assert alike.freedom == 8
    assert len(held_out(sizes, [4.0] * 10, seconds, range(10))) == 10
    with pytest.raises(InputError, match="4 jobs to learn from"):
        ProcessTimes.fit(sizes[:4], sizes[:4], seconds[:4])
