"""``batfs.ext``: what plugins may rely on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import batfs
from batfs import ext

ROOT = Path(__file__).parents[2]

#: The promise. A name is added here with the version that adds it; none goes without a version of warnings.
PROMISED = [
    "AllocationPolicy",
    "Bandwidth",
    "Checkpoints",
    "Choice",
    "FileSystemModel",
    "Hold",
    "InputError",
    "IoModel",
    "IoPass",
    "IoPlan",
    "IoPolicy",
    "IoRequest",
    "IoView",
    "JobPlacement",
    "Ledger",
    "Model",
    "Move",
    "NodeSet",
    "Outcome",
    "Pass",
    "PhaseRequest",
    "PhaseVolume",
    "Placement",
    "Policy",
    "QueuePolicy",
    "QueueView",
    "RepeatedPlan",
    "ScoringPolicy",
    "Seconds",
    "Selection",
    "Setup",
    "Share",
    "Size",
    "SpaceRequest",
    "Start",
    "StartedJob",
    "Storage",
    "StorageView",
    "SystemView",
    "Traffic",
    "Transfer",
    "Volume",
    "WaitingJob",
    "add_internal",
    "draw",
    "equal_shares",
    "from_grid",
    "from_transfers",
    "make_policy",
    "read_grid",
    "start_in_order",
    "trial",
    "write_grid",
]


def test_the_names_are_those_promised() -> None:
    assert sorted(PROMISED) == sorted(ext.__all__) == sorted(dir(ext))
    for name in PROMISED:
        assert getattr(ext, name) is getattr(ext, name)


def test_small_records_are_unpacked_and_indexed() -> None:
    """As they could be from the first version on, when they were named tuples."""
    storage, size, key = placed = ext.Placement(8, 100)
    assert (storage, size, key) == (8, 100, "")
    assert placed[:2] == (8, 100)
    assert placed[-1] == ""
    assert len(placed) == 3
    assert placed._replace(size=7) == ext.Placement(8, 7)
    source, destination, moved = ext.Transfer(1, 9, 4)
    assert (source, destination, moved) == (1, 9, 4)
    kind, *_ = ext.Move("drain", ext.from_transfers([ext.Transfer(1, 9, 4)]))
    assert kind == "drain"
    assert [*ext.Checkpoints(3, (), ())] == [3, (), ()]


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="did you mean 'Share'"):
        _ = ext.Shares


def test_a_name_costs_what_it_is() -> None:
    code = "import sys; from batfs.ext import Size; print('batfs.filesystems' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


def test_dir_shows_what_there_is() -> None:
    assert {"simulate", "compare", "__version__"} <= set(dir(batfs))
    assert not {"TYPE_CHECKING", "annotations"} & set(dir(batfs))
    code = "import sys, batfs; dir(batfs); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name
)
def test_plugins_in_the_docs_import_nothing_else(page: Path) -> None:
    """A class in a page is a plugin; whatever it imports of batfs is promised."""
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        for code in re.findall(r"write_text\('''(.*?)'''", block, re.S) or [block]:
            if re.search(r"^class ", code, re.M):
                assert set(re.findall(r"^from (batfs\S*)", code, re.M)) <= {"batfs.ext"}, page
