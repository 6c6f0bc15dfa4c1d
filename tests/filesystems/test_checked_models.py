"""What a model from outside answers is checked: what is wrong names its file and line, the time, the job."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batfs.cli.main import main

ROOT = Path(__file__).parents[2]
MODEL = '''import numpy as np
from batfs.filesystems.base import Model
from batfs.filesystems.interface import IoPlan, Move, Placement, Traffic

class Odd(Model):
    def plan(self, request, view, rng):
        """On its first storage, all of it; with one thing wrong."""
        me, node, v = self.storages[0].id, request.nodes[0], request.volume
        def column(*values): return np.array(values, dtype=np.int64)
        def traffic(a, b, size): return Traffic(column(a), column(b), column(size))
        reads, writes = traffic(me, node, v.reads), traffic(node, me, v.writes)
        placements = [Placement(me, v.reads + v.writes)]
        answer = IoPlan(self.name, placements, [reads], [writes])
        {}
        return answer

    def started(self, request, plan, now):
        {}
'''
PLANS = {
    "answer = None": "answered None, expected an IoPlan or a Hold",
    "answer = 7": "answered 7, expected an IoPlan or a Hold",
    "answer.file_system = 'x'": "answered a plan of the file system 'x'",
    "answer.reads = [traffic(me, node, v.reads + 1)]": r"planned reads of \d+ bytes; \d+ were asked for",
    "answer.reads = []": r"planned reads of 0 bytes; \d+ were asked for",
    "answer.writes = [writes, writes]": r"planned writes of \d+ bytes; \d+ were asked for",
    "answer.reads = [traffic(me, node, -5), traffic(me, node, v.reads + 5)]": "planned reads of -5 bytes",
    "answer.reads = [Traffic(column(me), column(node), np.array([float('nan')]))]": "in float64, expected",
    "answer.reads = [Traffic(column(me), column(node), np.array([1e9]))]": "in float64, expected whole bytes",
    "answer.reads = [Traffic(column(me, me), column(node), column(5))]": "columns of the shapes",
    "answer.reads = [Traffic(column(me), column(node), column(5, 6))]": "columns of the shapes",
    "answer.reads = [Traffic(np.zeros((2, 2), int), np.zeros((2, 2), int), np.zeros((2, 2), int))]": "shapes",
    "answer.reads = [traffic(me, 12345, v.reads)]": "planned reads from or to 12345, an id that isn't there",
    "answer.writes = [traffic(-1, me, v.writes)]": "planned writes from or to -1, an id that isn't there",
    "answer.reads = ['all of it']": "planned reads as str, expected Traffic",
    "answer.reads = None": "answered what is none",
    "answer.internal = [traffic(me, 99, 1)]": "planned internal from or to 99",
    "answer.placements = [Placement(99, 5)]": "placed bytes on 99, which is no storage's id",
    "answer.placements = [Placement(me, -5)]": "placed -5 bytes on the storage",
    "answer.placements = [Placement(me, 0.5)]": "answered what is none",
    "answer.placements = [Placement(me, float('nan'))]": "answered what is none",
    "answer.flops = {me: 5.0}": r"planned work on \d+, which is no node's id",
    "answer.flops = {node: float('nan')}": "planned nan flops",
    "answer.timing = 'whenever'": "planned the timing 'whenever'",
    "answer.stage_in = [7]": "answered 7, expected a Move",
    "answer.stage_in = [Move('in', traffic(me, 4321, 5))]": r"planned a move \(in\) from or to 4321",
    "1 / 0": "raised ZeroDivisionError: division by zero",
    "raise SystemExit(0)": r"ended the program \(SystemExit: 0\)",
    "exit()": r"ended the program \(SystemExit: None\)",
}


def run(tmp_path: Path, plan: str, started: str = "pass") -> int:
    (tmp_path / "odd.py").write_text(MODEL.format(plan, started))
    return main(
        ["run", "-p", f"{ROOT}/platforms/taurus_storage.xml", "-w", f"{ROOT}/workloads/io.json", "-q",
         "-e", str(tmp_path / "r"), "--filesystem", f"lustre={tmp_path / 'odd.py'}:Odd"]
    )  # fmt: skip


@pytest.mark.parametrize("wrong", PLANS)
def test_a_wrong_plan_is_blamed_on_its_model(
    tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, wrong) == 2
    said = capsys.readouterr().err
    assert re.search(
        r"odd\.py: line \d+: at [\d.]+ s, for 'w0![^']*', "
        r"the model 'Odd' of the file system 'lustre' \(plan\) ",
        said,
    ), said
    assert re.search(PLANS[wrong], said), said
    assert not list(tmp_path.glob("r_jobs.csv"))


def test_what_another_call_raises_is_blamed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "pass", "raise KeyError('lost')") == 2
    assert re.search(r"odd\.py: line 18: at .* \(started\) raised KeyError: 'lost'", capsys.readouterr().err)


def test_a_good_plan_is_believed(tmp_path: Path) -> None:
    assert run(tmp_path, "pass") == 0
