"""Checkpoints and random faults: the time lost is that of the process step by step, and in the mean
Daly's."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from batfs.campaign.reproduce.daly import Setting, best_interval, expected, simulate
from batfs.cli.main import main

SETTING = Setting(5000.0, 60)


def step_by_step(interval: float, nodes: int, parts: int, seed: int) -> float:
    """Seconds of all jobs: each attempt of a part (after a failure it reads the checkpoint first, then
    computes, then writes its own but for the last) succeeds if it ends before the next failure."""
    total = 0.0
    for k in range(nodes):
        rng = random.Random(f"{seed}/0/n{k}")
        failure, now, part, failed = rng.expovariate(1 / SETTING.mtbf), 0.0, 0, False
        while part < parts:
            read = SETTING.checkpoint if failed and part else 0
            end = now + read + interval + (SETTING.checkpoint if part < parts - 1 else 0)
            failed = end > failure
            now = failure if failed else end
            part += not failed
            if failed:
                failure += rng.expovariate(1 / SETTING.mtbf)
        total += now
    return total


def test_every_failure_costs_what_it_costs_step_by_step(tmp_path: Path) -> None:
    interval, nodes, parts = 700.0, 4, 60
    found = simulate(interval, SETTING, tmp_path, nodes=nodes, parts=parts, seed=7)
    mean, write = SETTING
    last = mean * math.exp(write / mean) * (math.exp((interval + write) / mean) - math.exp(interval / mean))
    took = found.simulated * interval * parts * nodes - last * nodes
    assert took == pytest.approx(step_by_step(interval, nodes, parts, 7), rel=1e-6)


@pytest.mark.parametrize("factor", [0.6, 1.0, 2.0])
def test_a_long_run_takes_what_daly_expects(tmp_path: Path, factor: float) -> None:
    """Within 1 %: over 4,000 parts the mean is known to about 0.4 %."""
    found = simulate(best_interval(SETTING) * factor, SETTING, tmp_path, seed=2)
    assert found.simulated == pytest.approx(found.expected, rel=0.01)


def test_the_best_interval_is_the_best() -> None:
    best = best_interval(SETTING)
    by_hand = math.sqrt(2 * 60 * 5000) * (1 + math.sqrt(60 / 10000) / 3 + 60 / 10000 / 9) - 60
    assert best == pytest.approx(by_hand)
    least = min(range(200, 2000), key=lambda x: expected(x, SETTING))
    assert best == pytest.approx(least, rel=0.01)


def test_the_command_says_both(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    figure = tmp_path / "daly.png"
    assert main(["reproduce", "daly2006", "--intervals", "4", "--figure", str(figure)]) == 0
    assert "best interval 735.1 s" in capsys.readouterr().out
    assert figure.stat().st_size > 5000
    assert main(["reproduce", "daly2006", "--checkpoint", "2h"]) == 2
