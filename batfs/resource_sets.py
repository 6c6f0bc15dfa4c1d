"""Sets of resource ids in Batsim's text form: ``"0-3 10"``.

Tokens are separated by single spaces, ``a-b`` is inclusive with a <= b; commas are not separators in
Batsim 4 (it silently drops what follows one), so they are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from batfs.errors import InputError

_TOKEN = re.compile(r"(\d+)(?:-(\d+))?")


def parse_resources(text: str) -> tuple[int, ...]:
    """Ascending ids of ``"0-3 10"``; duplicates merge. Raises InputError on anything else."""
    ids: set[int] = set()
    for token in text.split(" "):
        if not token:
            continue
        found = _TOKEN.fullmatch(token)
        if found is None:
            hint = "ids are separated by spaces" if "," in token else None
            raise InputError(f"{text!r} is not a set of resource ids such as '0-3 10'", hint=hint)
        first = int(found[1])
        last = first if found[2] is None else int(found[2])
        if last < first:
            raise InputError(f"the interval {token!r} in {text!r} runs backwards")
        ids.update(range(first, last + 1))
    if not ids:
        raise InputError(f"{text!r} holds no resource id")
    return tuple(sorted(ids))


def format_resources(ids: Iterable[int]) -> str:
    """The canonical text of a set of ids: ascending, runs of two or more as ``a-b``."""
    parts: list[str] = []
    first = last = -1
    for i in sorted(ids):
        if i == last:
            continue
        if i == last + 1 and first >= 0:
            last = i
            continue
        if first >= 0:
            parts.append(str(first) if first == last else f"{first}-{last}")
        first = last = i
    if first >= 0:
        parts.append(str(first) if first == last else f"{first}-{last}")
    return " ".join(parts)


def format_ascending(ids: Sequence[int]) -> str:
    """The same for ids that ascend without repetition: costs the number of runs, not of ids."""
    count = len(ids)
    parts: list[str] = []
    k = 0
    while k < count:
        first = ids[k]
        if ids[-1] - first == count - 1 - k:  # all the rest is one run
            last = count - 1
        else:
            # ids ascend, so ids[j] - j never falls: the run's end is where it first rises
            last, beyond = k, count - 1
            while beyond - last > 1:
                middle = (last + beyond) // 2
                if ids[middle] - first == middle - k:
                    last = middle
                else:
                    beyond = middle
        parts.append(str(first) if last == k else f"{first}-{ids[last]}")
        k = last + 1
    return " ".join(parts)
