"""The table of Theta's October in docs/guides/alloc.md is what the program says; policies are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batfs.storage.policies import POLICIES
from batfs.storage.replay import read_requests
from batfs.storage.replay.sweep import ALL_POLICIES, plan, run_sweep

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the real inputs in {DATA}")
def test_the_october_table() -> None:
    page = (ROOT / "docs/guides/alloc.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d[^|]*?) \| ([^|]*?) \| ([^|]*?) \| ([^|]*?) \|$", page, re.M)
    shown = {row[0]: list(row[1:]) for row in rows}
    assert list(shown) == list(ALL_POLICIES)
    systems = [str(DATA / f"storalloc/infra{size}-multi_node_multi_disk.yml") for size in ("8TB", "64TB")]
    settings = plan(systems, ALL_POLICIES, block_sizes=[None, 200 * 10**9])
    cells = run_sweep(settings, read_requests(DATA / "theta/IOJobsOct.yml"))
    found: dict[str, list[str]] = {}
    for cell in cells:
        (s,) = cell.summaries
        text = f"{s.granted} / {s.refused + s.failed}, {s.granted_bytes / 1e12:.1f}"
        found.setdefault(cell.settings.policy, []).append(text)
    assert found == shown


def test_every_policy_is_in_the_reference_with_a_docstring() -> None:
    page = (ROOT / "docs/reference/policies.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert sorted(documented) == sorted(POLICIES._built_in)
    for name in documented:
        assert POLICIES.get(name).__doc__, name
