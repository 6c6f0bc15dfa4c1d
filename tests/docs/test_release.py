"""The files of a release: a source archive of the same bytes for all, and wheels that are none refused."""

from __future__ import annotations

import importlib.util
import io
import re
import tarfile
import tomllib
import types
import zipfile
from pathlib import Path

import pytest
import yaml

import batfs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def release() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("release_make", ROOT / "release/make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive(path: Path, names: list[str], when: int, owner: str) -> Path:
    """A source archive as a build tool of somebody's machine would write it."""
    with tarfile.open(path, "w:gz") as out:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname, member.uid = 3, when, owner, when % 1000
            member.mode = 0o755 if name.endswith(".sh") else 0o600
            out.addfile(member, io.BytesIO(b"abc"))
    return path


def test_a_source_archive_has_the_same_bytes_whoever_builds_it(
    release: types.ModuleType, tmp_path: Path
) -> None:
    """What the machine that built it brings goes; names, content and who may run it stay."""
    ours = archive(tmp_path / "a.tar.gz", ["x/b", "x/a.sh"], 1_700_000_000, "me")
    theirs = archive(tmp_path / "b.tar.gz", ["x/a.sh", "x/b"], 1_800_000_001, "you")
    assert ours.read_bytes() != theirs.read_bytes()
    release.same_bytes(ours, 1_650_000_000)
    release.same_bytes(theirs, 1_650_000_000)
    assert ours.read_bytes() == theirs.read_bytes()
    with tarfile.open(ours) as found:
        members = [(m.name, m.mtime, m.mode, m.uname) for m in found.getmembers()]
        assert members == [("x/a.sh", 1_650_000_000, 0o755, ""), ("x/b", 1_650_000_000, 0o644, "")]
        content = found.extractfile("x/b")
        assert content is not None
        assert content.read() == b"abc"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["batfs/_core/loop.py", "batfs-1.dist-info/licenses/LICENSE"], "no compiled core"),
        (["batfs/_core/loop.py", "batfs/_core/loop.abi3.so"], "no license"),
        (["batfs/_core/loop.py", "batfs/_core/loop.abi3.so", "batfs-1.dist-info/licenses/LICENSE"], None),
    ],
)
def test_a_wheel_that_would_run_interpreted_is_refused(
    release: types.ModuleType, tmp_path: Path, names: list[str], said: str | None
) -> None:
    wheel = tmp_path / "batfs-1-cp311-abi3-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        for name in names:
            out.writestr(name, b"")
    if said is None:
        release.check(wheel)
    else:
        with pytest.raises(release.ReleaseError, match=said):
            release.check(wheel)


def test_one_version_everywhere() -> None:
    """pyproject.toml, `batfs --version`, CITATION.cff and the newest entry of the changelog say the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert {project["version"], batfs.__version__, citation["version"], newest[1]} == {project["version"]}
    assert citation["license"] == project["license"]


def test_the_tools_of_a_release_have_one_version() -> None:
    lines = (ROOT / "release/requirements.txt").read_text().split()
    assert lines
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines), lines
