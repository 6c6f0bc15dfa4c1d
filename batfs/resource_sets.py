"""Sets of resource ids in Batsim's text form: ``"0-3 10"``.

Tokens are separated by single spaces, ``a-b`` is inclusive with a <= b; commas are not separators in
Batsim 4 (it silently drops what follows one), so they are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from batfs._core.sheets import text_of
from batfs._core.tallies import count_below as count_below
from batfs.errors import InputError

_TOKEN: Final = r"([0-9]{1,18})(?:-([0-9]{1,18}))?"
MOST_IDS: Final = 10_000_000  # in one set


def shown(text: str) -> str:
    """The text in quotes, cut where it's long."""
    return repr(text) if len(text) <= 80 else f"{text[:60]!r}... ({len(text)} characters)"


def parse_resources(text: str) -> tuple[int, ...]:
    """Ascending ids of ``"0-3 10"``; duplicates merge. Raises InputError on anything else."""
    ids: set[int] = set()
    total = 0
    match = re.compile(_TOKEN).fullmatch
    for token in text.split(" "):
        if not token:
            continue
        found = match(token)
        if found is None:
            hint = "ids are separated by spaces" if "," in token else None
            raise InputError(f"{shown(text)} is not a set of resource ids such as '0-3 10'", hint=hint)
        first = int(found[1])
        last = first if found[2] is None else int(found[2])
        if last < first:
            raise InputError(f"the interval {token!r} in {shown(text)} runs backwards")
        total += last + 1 - first
        if last >= 2**31 or total > MOST_IDS:
            raise InputError(f"{shown(text)} names more ids than any machine has ({MOST_IDS} at most)")
        ids.update(range(first, last + 1))
    if not ids:
        raise InputError(f"{shown(text)} holds no resource id")
    return tuple(sorted(ids))


def are_resources(text: str) -> bool:
    """Whether the text is one of this form, or empty: quick, for the many of an output."""
    match = re.compile(_TOKEN).fullmatch
    for token in text.split():
        found = match(token)
        if found is None or not int(found[1]) <= int(found[2] or found[1]) < 2**31:
            return False
    return True


def format_resources(ids: Iterable[int]) -> str:
    """The canonical text of a set of ids: ascending, runs of two or more as ``a-b``."""
    return text_of(sorted(set(ids)))


#: The same for ids that ascend without repetition: costs the number of runs, not of ids.
format_ascending = text_of
