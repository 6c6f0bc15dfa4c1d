"""Every command and snippet in README.md and docs/ runs.

In a page, ``console`` blocks (lines that begin with ``$ ``; a trailing backslash continues one) and
``python`` blocks run in order, in one scratch folder that sees the project's files. A block is left out
when the line before it is an HTML comment ``<!-- not run: why -->``. A console block whose comment is
``<!-- exit 2 -->`` must end with that code.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHARED = ROOT.parent / "shared"
FENCE = re.compile(
    r"^(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<kind>console|python)\n(?P<body>.*?)^```$", re.M | re.S
)


@dataclass
class Block:
    line: int
    kind: str
    body: str
    note: str

    @property
    def skipped(self) -> bool:
        return self.note.startswith("not run:")

    @property
    def code(self) -> int:
        return int(self.note.split()[1]) if self.note.startswith("exit ") else 0

    def commands(self) -> list[str]:
        """The commands of a console block; lines without ``$`` are output, shown for the reader."""
        found: list[str] = []
        going_on = False
        for line in self.body.splitlines():
            if line.startswith("$ "):
                found.append(line[2:])
                going_on = line.endswith("\\")
            elif going_on:
                found[-1] += "\n" + line
                going_on = line.endswith("\\")
        return found


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, m.start()) + 1, m["kind"], m["body"], (m["note"] or "").strip())
        for m in FENCE.finditer(text)
    ]


def darshan_works() -> bool:
    """PyDarshan needs a C library, and not every Python has a wheel that brings it."""
    try:
        import darshan  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


RUN = [p for p in PAGES if p.exists() and any(not b.skipped for b in blocks(p))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path) -> None:
    place = tmp_path / "project"
    place.mkdir()
    for name in ("platforms", "workloads", "schedulers", "examples"):
        if (ROOT / name).exists():
            (place / name).symlink_to(ROOT / name)
    if SHARED.exists():
        (tmp_path / "shared").symlink_to(SHARED)
    env = dict(os.environ, PYTHONPATH=str(ROOT), MPLBACKEND="Agg", COLUMNS="120")
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    snippets = ""
    for block in blocks(page):
        if block.skipped:
            continue
        if any("../shared" in c for c in (block.body,)) and not SHARED.exists():
            continue
        if "import darshan" in block.body and not darshan_works():
            continue
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.kind == "python":
            # snippets of a page share their names: each runs after those before it
            snippets += block.body
            done = subprocess.run(
                [sys.executable, "-c", snippets],
                cwd=place,
                env=env,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
            continue
        for command in block.commands():
            done = subprocess.run(
                ["bash", "-c", command], cwd=place, env=env, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == block.code, f"{where}: {command}\n{done.stdout}{done.stderr}"


def test_links_between_pages_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} points to {target}"


def test_the_policy_of_the_readme(tmp_path: Path) -> None:
    """The ten lines of the README, taken from the page, run as a plugin file."""
    (code,) = [
        b.body for b in blocks(ROOT / "README.md") if b.kind == "python" and "class Emptiest" in b.body
    ]
    (tmp_path / "emptiest.py").write_text(code, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "batfs",
        "run",
        "--policy",
        "emptiest.py:Emptiest",
        "--json",
        "-e",
        "out/x",
    ]
    files = ["-p", ROOT / "platforms" / "taurus_storage.xml", "-w", ROOT / "workloads" / "io_example.json"]
    done = subprocess.run(
        [*command, *map(str, files)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "emptiest.py:Emptiest" in done.stdout


def test_the_readme_shows_what_comes_out(tmp_path: Path) -> None:
    """The table in the README is that of `make run`."""
    command = [
        sys.executable,
        "-m",
        "batfs",
        "run",
        "-p",
        "platforms/taurus_storage.xml",
        "-w",
        "workloads/io.json",
    ]
    done = subprocess.run(
        [*command, "--policy", "random", "-e", str(tmp_path / "random")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    shown = done.stdout.split("\noutput files")[0].rstrip()
    assert shown
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")
