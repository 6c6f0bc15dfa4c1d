"""No reply of a decision process ends the simulator in anything but an end or one clear line."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from batfs.errors import InputError
from batfs.protocol.simulator_side import decode_reply

sys.path.insert(0, str(Path(__file__).parent))
from rogue import cases, converse


def test_rude_conversations(tmp_path: Path) -> None:
    """Recorded conversations with wrong replies in them (``rogue.py`` holds as many as one likes)."""
    found = cases(tmp_path)
    ends: Counter[str] = Counter()
    for k in range(150):
        rng = random.Random(k)
        ends[converse(rng.choice(found), rng, tmp_path)] += 1
    assert ends["refused"] > 50
    assert ends["ended"] > 3


def events(kind: str, **data: object) -> str:
    return json.dumps({"now": 1.0, "events": [{"timestamp": 1.0, "type": kind, "data": data}]})


LONG = "x" * 5000
REFUSED = [
    ("[" * 100_000, "malformed JSON"),
    (events("EXECUTE_JOB", job_id="w0!a", alloc="0-99999999999"), "more ids than any machine has"),
    (
        events("EXECUTE_JOB", job_id="w0!a", alloc="9" * 5000),
        "'... (5000 characters) is not a set of resource ids",
    ),
    (events("EXECUTE_JOB", job_id="w0!a", alloc="0-9999999 " * 1000), "more ids than any machine has"),
    (events("EXECUTE_JOB", job_id="w0!a", alloc="0", mapping={"0": "9" * 5000}), "expected an integer"),
    (events("REJECT_JOB", job_id=LONG), "'job_id' is 'xxxxx"),
    (events("REJECT_JOB", job_id="w0!a\nb"), r"'w0!a\nb', expected a printable name"),
    (events("KILL_JOB", job_ids=["w0!a", LONG]), "(5000 characters), expected printable names"),
    (events(LONG), "(5000 characters)"),
    (events("REJECT_JOB", **{LONG + str(i): 0 for i in range(99)}), "and 91 more"),
]


@pytest.mark.parametrize(("reply", "message"), REFUSED, ids=[message[:20] for _, message in REFUSED])
def test_what_is_refused(reply: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_reply(reply)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
