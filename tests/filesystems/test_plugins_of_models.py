"""Models from outside: ``file.py:Name`` and an entry point, on the page's own example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fs_machines import Machine, node, storage

from batfs.errors import InputError
from batfs.filesystems import traffic as t
from batfs.filesystems.interface import Volume
from batfs.filesystems.site import make_filesystems
from batfs.plugins import PluginError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    page = (ROOT / "docs/guides/new-model.md").read_text(encoding="utf-8")
    found = re.search(r"write_text\('''(.*?)'''\)", page, re.S)
    assert found is not None
    path = tmp_path / "mirror.py"
    path.write_text(found[1])
    return path


def test_model_in_a_file(mirror: Path) -> None:
    """2 nodes read 80 and write 20 bytes with 3 copies: 80 from the first storage, 20 to each of three."""
    m = Machine(
        [node(0), node(1)],
        [storage(10 + i, "x", "1kB") for i in range(4)],
        {"filesystem": f"{mirror}:Mirror:copies=3"},
    )
    plan = m.one((0, 1), Volume("x", 80, 20))
    assert t.by_source(plan.reads) == {10: 80}
    assert t.by_destination([*plan.writes, *plan.internal]) == {10: 20, 11: 20, 12: 20}
    assert [p.size for p in plan.placements] == [100, 100, 100]


def test_wrong_option_of_a_model_in_a_file(mirror: Path) -> None:
    with pytest.raises(InputError, match=r"no option 'copys'.*did you mean 'copies'"):
        Machine([node(0)], [storage(1, "x")], {"filesystem": f"{mirror}:Mirror:copys=3"})


def test_model_by_entry_point(mirror: Path, tmp_path: Path) -> None:
    """A distribution's metadata beside the module is what an installation leaves; a broken one is skipped."""
    for name, point in (("mirrors", "mirror = mirror:Mirror"), ("broken", "broken = nowhere:Nothing")):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[batfs.filesystem_models]\n{point}\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "batfs", "explain", "--reads", "8GB", "--filesystem", "mirror:copies=2"),
            *("-p", str(ROOT / "platforms/pfs_cluster.xml")),
        ],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "ideal time alone" in done.stdout


def test_a_model_that_fails_while_it_is_made_is_named(tmp_path: Path) -> None:
    """It is its own mistake, with file and line; a wrong option is said as such."""
    (tmp_path / "odd.py").write_text(
        "from batfs.filesystems.pfs import ParallelFileSystem\n"
        "class Odd(ParallelFileSystem):\n"
        "    def __init__(self, setup, **options):\n"
        "        raise ValueError('no luck')\n"
    )
    nodes, storages = [node(0)], [storage(1, "fs")]
    with pytest.raises(PluginError, match=r"odd\.py: line 4: while it was made, the .*no luck"):
        make_filesystems({"filesystem": f"{tmp_path}/odd.py:Odd"}, nodes, storages)
    with pytest.raises(InputError, match="strip_count"):
        make_filesystems({"filesystem": "pfs:strip_count=2"}, nodes, storages)
