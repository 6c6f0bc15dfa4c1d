"""Workloads of Batsim 1 and 2: what they call their profiles, and how Batsim 4 says it.

They have ``msg_par…`` profiles, ``nb`` for the repetitions of a composed one, and two kinds of transfers to
storages that Batsim 4 has as one. Batsim 5's names are named here, too, where Batsim 4's are expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from batfs import json_text
from batfs.errors import InputError
from batfs.texts import as_utf8, read_unpacked
from batfs.workload.fields import member_place, shown
from batfs.workload.model import Workload

Object = dict[str, Any]
COMMAND: Final = "batfs workload convert OLD -o NEW"

# Batsim 1 and 2's name of a profile -> Batsim 4's
OLD: Final[Mapping[str, str]] = {
    "msg_par": "parallel",
    "msg_par_hg": "parallel_homogeneous",
    "msg_par_hg_tot": "parallel_homogeneous_total",
    "msg_par_hg_pfs": "parallel_homogeneous_pfs",
    "msg_par_hg_pfs0": "parallel_homogeneous_pfs",
    "msg_par_hg_pfs_tiers": "parallel_homogeneous_pfs",
    "parallel_homogeneous_pfs_multiple_tiers": "parallel_homogeneous_pfs",
}
# Batsim 5's name of a profile -> Batsim 4's
NEW: Final[Mapping[str, str]] = {
    "DelayProfile": "delay",
    "ParallelTaskProfile": "parallel",
    "ParallelTaskHomogeneousProfile": "parallel_homogeneous",
    "SequentialCompositionProfile": "composed",
    "ParallelTaskOnStorageHomogeneousProfile": "parallel_homogeneous_pfs",
    "ParallelTaskDataStagingBetweenStoragesProfile": "data_staging",
    "TraceReplayProfile": "usage_trace",
    "ForkJoinCompositionProfile": "",
    "ParallelTaskMergeCompositionProfile": "",
}


def generation(kind: str) -> str | None:
    """Which Batsim calls a profile so, and what Batsim 4 calls it; None for a name that none has."""
    if kind in OLD:
        return f"{kind!r} is what Batsim 1 and 2 call {OLD[kind]!r}"
    if kind in NEW:
        now = f"call it {NEW[kind]!r}" if NEW[kind] else "Batsim 4 has nothing like it"
        return f"{kind!r} is a profile of Batsim 5; {now}"
    return None


def read_any(path: Path) -> tuple[Workload, dict[str, int]]:
    """The workload in a file of whatever Batsim, and counts of what was Batsim 1's or 2's in it."""
    from batfs.workload.batsim import load_json, parse_workload, read_workload

    try:
        document = load_json(as_utf8(read_unpacked(path), path))
        done = to_batsim4(document) if isinstance(document, dict) else {}
        if not done:
            return read_workload(path), done
        return parse_workload(json_text.dumps(document), path=str(path)), done
    except InputError as error:
        raise error.at(file=path) from None


def to_batsim4(document: Object) -> dict[str, int]:
    """Rewrite a workload of Batsim 1 or 2 in place as Batsim 4 has it; what was changed, with counts.

    InputError at the profile that can't be said.
    """
    counts: dict[str, int] = {}
    profiles = document.get("profiles")
    for name, raw in profiles.items() if isinstance(profiles, dict) else ():
        if not isinstance(raw, dict):
            continue
        place = member_place("profiles", name)
        kind = raw.get("type")
        if isinstance(kind, str) and kind in OLD:
            raw["type"] = OLD[kind]
            if kind in _STORAGE:
                _STORAGE[kind](raw, place)
            _count(counts, f"{kind} is {OLD[kind]}")
        if raw.get("type") == "composed" and "nb" in raw and "repeat" not in raw:
            raw["repeat"] = raw.pop("nb")
            _count(counts, "nb of a composed profile is repeat")
    return counts


def _count(counts: dict[str, int], text: str) -> None:
    counts[text] = counts.get(text, 0) + 1


def _pfs0(obj: Object, place: str) -> None:
    """``size`` bytes that each node writes to the one storage."""
    if "bytes_to_read" not in obj and "bytes_to_write" not in obj:
        obj["bytes_to_read"] = 0
        obj["bytes_to_write"] = _size(obj, place)


def _tiers(obj: Object, place: str) -> None:
    """``size`` bytes of each node, ``direction`` to or from the storage ``host``: HPST, or LCST, the PFS."""
    if "bytes_to_read" in obj or "bytes_to_write" in obj:
        return
    size = _size(obj, place)
    direction = str(obj.pop("direction", "to_storage")).lower()
    if direction not in ("to_storage", "from_storage"):
        raise InputError(
            f"found {shown(direction)}, expected to_storage or from_storage", place=f"{place}.direction"
        )
    obj["bytes_to_read"], obj["bytes_to_write"] = (0, size) if direction == "to_storage" else (size, 0)
    host = str(obj.pop("host", "lcst")).lower()
    obj.setdefault("storage", {"lcst": "pfs", "hpst": "hpst"}.get(host, host))


def _size(obj: Object, place: str) -> Any:
    if "size" not in obj:
        raise InputError("the member 'size' is missing", place=place)
    return obj.pop("size")


_STORAGE: Final[Mapping[str, Callable[[Object, str], None]]] = {
    "msg_par_hg_pfs0": _pfs0,
    "msg_par_hg_pfs": _tiers,
    "msg_par_hg_pfs_tiers": _tiers,
    "parallel_homogeneous_pfs_multiple_tiers": _tiers,
}
