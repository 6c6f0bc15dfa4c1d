"""The generated reference is that of the code, and no text of ours names a file that users don't have."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/generate.py"), "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, f"run make reference: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("folder", ["batfs", "docs", "schedulers", "platforms"])
def test_nothing_cites_a_file_that_users_dont_have(folder: str) -> None:
    inside = re.compile(r"\b(BATSIM5?|PEERS|DESIGN|KOPANSKI)\.md\b|\.\./shared\b")
    for path in (ROOT / folder).rglob("*"):
        if (
            path.suffix in (".py", ".md", ".toml", ".xml", ".txt", ".html", ".js")
            and "_build" not in path.parts
        ):
            found = inside.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path}: {found and found[0]}"


def test_readme_is_short_and_says_nothing_twice() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    assert len(text.splitlines()) < 150
    assert len(titles) == len(set(titles))
    paragraphs = [p for p in re.split(r"\n{2,}", text) if len(p) > 40]
    assert len(paragraphs) == len(set(paragraphs))


def test_links_in_the_documentation_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
