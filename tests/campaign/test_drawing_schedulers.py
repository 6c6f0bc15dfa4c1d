"""A pybatsim scheduler that is random by itself is noticed by ``batfs compare``, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from batfs.cli.main import main

ROOT = Path(__file__).parents[2]

SCHEDULER = """
import random
from batsim.batsim import BatsimScheduler
from procset import ProcSet

class {name}(BatsimScheduler):
    def onSimulationBegins(self):
        self.free, self.waiting, self.held = list(range(self.bs.nb_compute_resources)), [], {{}}
    def onJobSubmission(self, job):
        self.waiting.append(job)
    def onJobCompletion(self, job):
        self.free += self.held.pop(job.id)
    def onNoMoreEvents(self):
        while self.waiting and self.waiting[0].requested_resources <= len(self.free):
            job = self.waiting.pop(0)
            {pick}
            self.held[job.id] = chosen
            self.free = [node for node in self.free if node not in chosen]
            job.allocation = ProcSet(*chosen)
            self.bs.execute_jobs([job])
"""


@pytest.mark.parametrize("draws", [False, True])
def test_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], draws: bool) -> None:
    pick = (
        "random.sample(self.free, job.requested_resources)"
        if draws
        else "self.free[: job.requested_resources]"
    )
    (tmp_path / "mine.py").write_text(SCHEDULER.format(name="Mine", pick=f"chosen = {pick}"))
    code = main(
        [
            *("compare", "-p", str(ROOT / "platforms/io_example.xml"), "-w"),
            *(str(ROOT / "workloads/io_example.json"), "--queue", f"pybatsim:{tmp_path / 'mine.py'}"),
            *("--policy", "random", "--seeds", "2", "-o", str(tmp_path / "c"), "--no-report"),
        ]
    )
    assert code == 0
    assert ("draws random numbers by itself" in capsys.readouterr().err) == draws
