"""``batfs verify``: a table of what agrees, and an exit code that says whether all of it does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from batfs.cli import verify
from batfs.cli.main import main
from batfs.cli.verification import recordings, recordings5, tasks

CASES = 107
ERRORS = 43
CASES5 = 69
ERRORS5 = 50


def figures(text: str) -> dict[str, list[str]]:
    """The table's rows by their first cell."""
    return {cells[0]: cells[1:] for line in text.splitlines() if len(cells := re.split(r" {2,}", line)) > 2}


def test_everything_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    if tasks.python_with_simgrid() is None:
        pytest.skip("SimGrid's Python module is not installed (Debian: python3-simgrid)")
    assert main(["verify", "--tasks", "200", "--seed", "3"]) == 0
    found = figures(capsys.readouterr().out)
    assert found["Batsim 4.2.1: conversations, with their files"] == [str(CASES)] * 2
    assert found["Batsim 4.2.1: what it refuses or aborts on"] == [str(ERRORS)] * 2
    assert found["Batsim 5.0.0-rc2: conversations, with jobs.csv"] == [str(CASES5)] * 2
    assert found["Batsim 5.0.0-rc2: what it refuses or aborts on"] == [str(ERRORS5)] * 2
    (name,) = [name for name in found if name.startswith("SimGrid ")]
    compared, agree, worst = found[name]
    assert int(compared) == int(agree) >= 200
    assert worst == "same bits" or float(worst) < 1e-9


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recordings of each generation only."""
    chosen = {"cases": ["001-v1-one-link-weights"], "errors": ["024-walltime-zero"]}
    monkeypatch.setattr(recordings, "names", chosen.__getitem__)
    chosen5 = {"cases": ["046-merge-io"], "errors": ["015-not-json"]}
    monkeypatch.setattr(recordings5, "names", chosen5.__getitem__)


@pytest.mark.usefixtures("few")
def test_batsim_5_is_replayed_and_the_table_is_there_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "-n", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["agrees"], said["faults"], said["note"]) == (True, [], "")
    rows = {row["what"]: (row["compared"], row["agree"]) for row in said["rows"]}
    assert rows["Batsim 5.0.0-rc2: conversations, with jobs.csv"] == (1, 1)
    assert rows["Batsim 5.0.0-rc2: what it refuses or aborts on"] == (1, 1)
    compared, agree = rows["Batsim 5.0.0-rc2: requests in them"]
    assert compared == agree > 10


@pytest.mark.usefixtures("few")
def test_what_disagrees_with_batsim_5_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that was recorded a second later, and an error that is none any more."""
    real = recordings5.Recording.__init__

    def begin(self: recordings5.Recording, folder: Path) -> None:
        real(self, folder)
        if folder.parent.name == "cases":
            self.requests[1]["now"] += 1.0

    monkeypatch.setattr(recordings5.Recording, "__init__", begin)
    monkeypatch.setattr(recordings5, "refused", lambda case, prefix: "")
    assert main(["verify", "-n", "0"]) == 1
    said = capsys.readouterr()
    assert "Batsim 5, 046-merge-io: requests[1].now: " in said.err
    assert "Batsim 5, 015-not-json: not refused, other than by Batsim" in said.err
    assert figures(said.out)["Batsim 5.0.0-rc2: conversations, with jobs.csv"] == ["1", "0"]


@pytest.mark.usefixtures("few")
def test_worlds_that_simgrid_solves_for_ever_are_rows_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One in some 10,000 drawn: here they are refused at once, and SimGrid makes no end of them. One that is
    refused here and ends there is a fault."""
    if tasks.python_with_simgrid() is None:
        pytest.skip("SimGrid's Python module is not installed (Debian: python3-simgrid)")
    drawn = list(verify._batches(1_500, 17))[4]
    ending, endless = tasks.parted(drawn, tmp_path)
    assert len(endless) == 1
    assert [world for world in drawn if world not in endless] == ending
    monkeypatch.setattr(tasks, "PATIENCE", 1.0)
    monkeypatch.setattr(verify, "_batches", lambda count, seed: [[*ending[:3], *endless, *ending[3:6]]])
    assert main(["verify"]) == 0
    found = figures(capsys.readouterr().out)
    assert [found[name][:2] for name in found if name.endswith("would solve for ever")] == [["1", "1"]]
    compared = sum(len(these) for _, these in ending[:6])
    assert [found[name][:2] for name in found if name.endswith("random tasks")] == [[str(compared)] * 2]

    monkeypatch.setattr(tasks, "goes_on", lambda world, folder, python: False)
    assert main(["verify"]) == 1
    said = capsys.readouterr()
    assert "refused here, but SimGrid ends it: [{'start': 0.0" in said.err
    assert re.search("would solve for ever +1 +0$", said.out, re.MULTILINE)


@pytest.mark.usefixtures("few")
def test_without_simgrid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--python", "/no/such/python"]) == 0
    out = capsys.readouterr().out
    assert "SimGrid was not compared with: /no/such/python can't import it (Debian: python3-simgrid" in out
    assert not [name for name in figures(out) if name.startswith("SimGrid ")]


@pytest.mark.usefixtures("few")
def test_what_disagrees_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Batsim's recorded clock is a second ahead, and the error is none any more."""
    plain = recordings.normal

    def shifted(request: dict[str, object]) -> dict[str, object]:
        found = plain(request)
        return {**found, "now": found["now"] + 1.0} if found.pop("recorded", False) else found

    real = recordings.Recording.__init__

    def begin(self: recordings.Recording, case: Path, profiles: bool) -> None:
        real(self, case, profiles)
        self.requests[1]["recorded"] = True

    monkeypatch.setattr(recordings, "normal", shifted)
    monkeypatch.setattr(recordings.Recording, "__init__", begin)
    monkeypatch.setattr(recordings, "status", lambda case: 0)
    assert main(["verify", "--tasks", "0"]) == 1
    said = capsys.readouterr()
    assert "001-v1-one-link-weights: request 1.now: " in said.err
    assert "024-walltime-zero: refused, other than by Batsim" in said.err
    assert figures(said.out)["Batsim 4.2.1: conversations, with their files"] == ["1", "0"]


def test_files_are_compared(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,simulation_time,state\n1.000001,5,x\n")
    for text, message in (
        ("time,simulation_time,state\n1.000002,9,x\n", ""),
        ("time,simulation_time,state\n1.00001,5,x\n", "time: '1.000001', recorded '1.00001'"),
        ("time,simulation_time,state\n1.000001,5,y\n", "state: 'x', recorded 'y'"),
        ("time,simulation_time,state\n", "2 rows"),
    ):
        (tmp_path / "b.csv").write_text(text)
        if not message:
            recordings.compare_files(tmp_path / "a.csv", tmp_path / "b.csv")
            continue
        with pytest.raises(recordings.MismatchError, match=re.escape(message)):
            recordings.compare_files(tmp_path / "a.csv", tmp_path / "b.csv")
