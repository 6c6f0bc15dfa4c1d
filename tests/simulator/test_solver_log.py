"""The log of the solver's rounds: ``batfs run --debug-solver``."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.simulator.engine import Engine
from batfs.simulator.solver_log import SolverLog

ROOT = Path(__file__).parents[2]
RUN = [
    "run",
    "-p",
    str(ROOT / "platforms/io_example.xml"),
    "-w",
    str(ROOT / "workloads/io_example.json"),
    "-q",
]


@pytest.mark.parametrize("interpreted", [False, True])
def test_two_rounds_of_three_flows(interpreted: bool) -> None:
    """A and B share a link of 100, A bounded at 20 (B: 80 in the end), C has its own of 7.

    Round 1: A and B may take 50 each; A rises by 20 and is settled, B rises by 50: 30 are left. Round 2: all
    of it is B's, but A's last increment counts once more, so the link is empty.
    """
    engine = Engine([100.0, 7.0], [False, False], ["link", "own"], interpreted=interpreted)
    stream = io.StringIO()
    log = engine.solver.log = SolverLog(stream, engine, engine.names, str)
    for name, resource, bound in (("A", 0, 20.0), ("B", 0, 0.0), ("C", 1, 0.0)):
        engine.add_flow(engine.rows([resource], [1.0]), 1, 0.0, bound, name)
    assert engine.solver.solve() == 0
    log.flush()
    found = stream.getvalue().splitlines()
    a = found.index("t = 0 s: 2 flows share link")
    assert sorted(found[a + 1 : a + 3]) == [
        "  A: 1 resources, 1 left, at most 20/s",
        "  B: 1 resources, 1 left",
    ]
    assert found[a + 3 : a + 5] == ["  round 1", "    link: 100 left for 2 flows, 50 for each"]
    assert sorted(found[a + 5 : a + 7]) == ["    A: + 20 = 20/s, settled", "    B: + 50 = 50/s"]
    assert found[a + 7 : a + 10] == [
        "  round 2",
        "    link: 30 left for 1 flow, 30 for each",
        "    B: + 30 = 80/s, settled",
    ]
    c = found.index("t = 0 s: 1 flow, share nothing")
    assert found[c + 1 : c + 4] == ["  C: 1 resources, 1 left", "  round 1", "    C: + 7 = 7/s, settled"]


def test_a_run_with_it_is_the_same_run(tmp_path: Path) -> None:
    log = tmp_path / "rounds.txt"
    assert main([*RUN, "-e", str(tmp_path / "with"), "--debug-solver", str(log)]) == 0
    assert main([*RUN, "-e", str(tmp_path / "without")]) == 0
    for name in ("jobs.csv", "io_jobs.csv", "schedule.trace"):
        assert (tmp_path / f"with_{name}").read_bytes() == (tmp_path / f"without_{name}").read_bytes()
    lines = log.read_text().splitlines()
    assert lines[0].startswith("t = 0 s: ")
    assert any(line.startswith("  w0!") for line in lines)
    assert any(line.startswith("  a message: ") for line in lines)
    assert "  round 1" in lines


def test_batsim_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*RUN, "-e", str(tmp_path / "x"), "--engine", "batsim", "--debug-solver", str(tmp_path / "log")]
    assert main(words) == 2
    assert "--debug-solver goes with batfs's own simulator" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()
