"""A size or a time without a unit in NAME:key=value is noted, as it is behind a flag of its own."""

from __future__ import annotations

import pytest

from batfs import parsing
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.storage.replay import WHEN_FULL


@pytest.fixture(autouse=True)
def _no_notes():
    parsing.notes()
    yield
    parsing.notes()


@pytest.mark.parametrize(
    ("registry", "text", "noted"),
    [
        (WHEN_FULL, "retry:every=300,limit=1h", ["note: every=300 has no unit; taken as every=300s"]),
        (WHEN_FULL, "retry:every=5m,backoff=2,limit=0", []),
        (
            IO_POLICIES,
            "fcfs:chunk=1000000000",
            ["note: chunk=1000000000 has no unit; taken as chunk=1000000000B"],
        ),
        (IO_POLICIES, "cap:rate=1e9", ["note: rate=1e9 has no unit; taken as rate=1e9Bps"]),
        (IO_POLICIES, "cap:rate=1GBps", []),
    ],
)
def test_what_a_bare_number_was_taken_for_is_noted(registry, text, noted):
    bare = registry.make(text)
    assert parsing.notes() == noted
    for note in noted:
        text = text.replace(note.split()[1], note.split()[-1])
    again = registry.make(text)
    assert again == bare or vars(again) == vars(bare)
    assert parsing.notes() == []
