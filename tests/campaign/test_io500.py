"""IO500: calibrated machines give the figures back; hard figures are predicted without the system's own."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batfs.campaign.calibration.io500 import (
    FIGURES,
    Submission,
    calibrate,
    find,
    largest_error,
    predict,
    read_summary,
    rehearse,
)
from batfs.cli.main import main
from batfs.errors import InputError

figure = st.floats(0.01, 20_000)


def summary(path: Path, rows: list[tuple[str, int, int, list[float]]]) -> Path:
    lines = ["submission,nodes,tasks,tasks_per_node,easy_transfer," + ",".join(FIGURES)]
    lines += [f"{name},{n},{n * p},{p},2 MiB,{','.join(map(str, f))}" for name, n, p, f in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(figure, min_size=4, max_size=4), st.integers(0, 200), st.integers(1, 128))
def test_all_four_figures_come_out_as_measured(
    tmp_path: Path, measured: list[float], nodes: int, processes: int
) -> None:
    """Whatever was measured, hard quicker than easy included: within 1 %."""
    figures = dict(zip(FIGURES, measured, strict=True))
    submission = Submission("site/machine/lustre/2026/1", "lustre", nodes, processes, 2 << 20, figures)
    assert largest_error(figures, rehearse(submission, tmp_path)) < 0.01


def test_parameters_by_hand() -> None:
    """Easy writes 10, hard 1 GiB/s: requests of 47,008 bytes reach a tenth, so h = 9 x 47,008 bytes; reads
    the other way round: easy reaches half, so h = 2 MiB."""
    figures = dict(zip(FIGURES, (10.0, 1.0, 4.0, 8.0), strict=True))
    targets = calibrate(Submission("a/b/c/d/e", "c", 10, 4, 2 << 20, figures))
    assert targets.bandwidths == (8 * 2**30, 10 * 2**30)
    assert targets.server["write_random_half"] == pytest.approx(9 * 47008)
    assert targets.server["read_half"] == pytest.approx(2 << 20)
    assert targets.server["read_random_half"] == targets.server["write_half"] == 0


@pytest.mark.parametrize(
    "name, kind",
    [
        ("DDN ExaScaler", "lustre"),
        ("lustre02", "lustre"),
        ("IBM Storage Scale 5.2", "spectrum scale"),
        ("ESS", "spectrum scale"),
        ("fastaccess", "unknown"),
        ("times", "unknown"),
        ("IME", "node-local"),
        ("WekaFS", "weka"),
        ("scratch", "unknown"),
    ],
)
def test_kinds_are_told_by_names(name: str, kind: str) -> None:
    assert Submission("x", name, 1, 1, 1, {}).kind == kind


def planted(rng: random.Random, ratios: dict[str, float]) -> list[Submission]:
    found = []
    for i in range(200):
        storage = rng.choice(sorted(ratios))
        easy = math.exp(rng.gauss(4, 1.5))
        hard = easy / ratios[storage] * math.exp(rng.gauss(0, 0.2))
        figures = {"ior-easy-write": easy, "ior-hard-write": hard}
        found.append(Submission(f"site{i}/m/{storage}/2026/1", storage, 10, 16, 2 << 20, figures))
    return found


def test_a_kind_that_decides_is_learnt() -> None:
    """Lustre 25 times, DAOS 1.5 times as quick in the easy way, spread by a fifth: the median error of a
    log-normal of 0.2 is exp(0.67 x 0.2) - 1 = 0.14; the median ratio of all is wrong for one of the kinds."""
    predictions, errors = predict(planted(random.Random(7), {"lustre": 25.0, "daos": 1.5}), "write")
    assert len(predictions) == errors.count == 200
    assert errors.predicted == pytest.approx(0.14, abs=0.04)
    assert errors.ratio > 0.3
    assert errors.easy > 2
    assert 0.85 <= errors.covered <= 0.95


def test_a_site_is_predicted_by_others_only() -> None:
    """All systems of one site alike and unlike all others: its own don't help."""
    rows = planted(random.Random(3), {"lustre": 10.0})
    odd = [
        Submission(
            f"odd/m{i}/lustre/2026/1",
            "lustre",
            10,
            16,
            2 << 20,
            {"ior-easy-write": 50.0, "ior-hard-write": 5000.0},
        )
        for i in range(5)
    ]
    predictions, _ = predict([*rows, *odd], "write")
    own = [p for p in predictions if p.submission.name.startswith("odd/")]
    assert all(p.predicted < 10 for p in own)


def test_a_machine_from_a_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The platform carries the parameters: a plain run of ior_hard on it takes what was measured."""
    path = summary(tmp_path / "s.csv", [("a/one/lustre/1/x", 4, 2, [8.0, 0.5, 6.0, 2.0])])
    xml = tmp_path / "m.xml"
    assert main(["platform", "new", "--from-io500", "one", "--io500", str(path), "-o", str(xml)]) == 0
    entry = {"filesystem": "scratch", "kind": "ior_hard", "writes": 50 << 30, "processes_per_node": 2}
    workload = {
        "nb_res": 4,
        "jobs": [{"id": "1", "subtime": 0, "res": 4, "profile": "p"}],
        "profiles": {"p": {"type": "parallel_homogeneous", "cpu": 0, "com": 0, "io": [entry]}},
    }
    (tmp_path / "w.json").write_text(json.dumps(workload))
    out = tmp_path / "out" / "r"
    assert main(["run", "-p", str(xml), "-w", str(tmp_path / "w.json"), "-e", str(out), "-q"]) == 0
    header, row = (tmp_path / "out" / "r_jobs.csv").read_text().splitlines()
    job = dict(zip(header.split(","), row.split(","), strict=True))
    assert float(job["execution_time"]) == pytest.approx(100, rel=1e-3)
    assert main(["check", str(xml)]) == 0
    capsys.readouterr()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"site{i}/m/lustre/1/x", 4, 2, [8.0 + i, 0.5, 6.0, 2.0]) for i in range(3)]
    path = summary(tmp_path / "s.csv", rows)
    assert main(["reproduce", "io500", str(path)]) == 0
    said = capsys.readouterr().out
    assert "all four simulated within 5 %: 3 of 3" in said
    assert "predicted from 30 submissions on" in said
    assert main(["reproduce", "io500", str(path), "--json", "--submission", "site1/"]) == 0
    [system] = json.loads(capsys.readouterr().out)["calibrated"]
    assert system["simulated"] == pytest.approx(system["measured"], rel=0.01)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = summary(
        tmp_path / "s.csv", [("a/one/l/1/x", 4, 2, [1, 1, 1, 1]), ("a/two/l/1/x", 4, 2, [1, 1, 1, 1])]
    )
    rows = read_summary(path)
    with pytest.raises(InputError, match="2 submissions have 'a/' in their name"):
        find(rows, "a/")
    with pytest.raises(InputError, match="no submission 'three'"):
        find(rows, "three")
    path.write_text(path.read_text().replace("1,1,1,1", "1,fast,1,1", 1))
    with pytest.raises(InputError, match=r"s\.csv: line 2: .*fast"):
        read_summary(path)
    path.write_text("name,easy\nx,1\n")
    with pytest.raises(InputError, match="no column 'submission'"):
        read_summary(path)
    assert main(["platform", "new", "--from-io500", "x"]) == 2
