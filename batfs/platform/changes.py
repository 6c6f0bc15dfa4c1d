"""What changed between two summaries of a platform: line by line, or folded and with units for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from batfs.platform.measures import pattern
from batfs.records import record
from batfs.units import format_bandwidth, format_speed, format_time

_GONE, _NEW = "gone", "new"
_LINK: Final[Sequence[tuple[str, Callable[[Any], str]]]] = (
    ("bandwidth", format_bandwidth),
    ("latency", format_time),
    ("sharing", str),
)


@record
class Change:
    """``place`` is what changed (``host n1 speed``) from ``old`` to ``new``, as JSON holds them.

    A place that is in one of the two only has ``gone`` or ``new`` as ``word``.
    """

    place: str
    old: Any = None
    new: Any = None
    word: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.word or f'{_shown(self.old)} -> {_shown(self.new)}'}"

    def told(self) -> str:
        """What happened, with units, of a link only what is different."""
        if self.word:
            return self.word
        if _is_link(self.old) and _is_link(self.new):
            parts = zip(_LINK, self.old, self.new, strict=True)
            return ", ".join(
                f"{what} {show(a)} -> {show(b)}" for (what, show), a, b in parts if not _same(a, b)
            )
        return f"{self._with_unit(self.old)} -> {self._with_unit(self.new)}"

    def _with_unit(self, value: Any) -> str:
        if isinstance(value, list):
            return ", ".join(self._with_unit(entry) for entry in value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return _shown(value)
        last = self.place.replace("_", " ").split()[-2:]
        if last[-1] == "speed":
            return format_speed(value)
        if last[-1] == "latency":
            return format_time(value)
        if last[0] in ("read", "write") and last[-1] in ("alone", "all"):
            return format_bandwidth(value)
        return _shown(value)


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == len(_LINK) and isinstance(value[-1], str)


def told(found: Iterable[Change | str]) -> list[str]:
    """Lines for people: changes alike in places that differ in numbers only are one."""
    groups: dict[tuple[str, str], list[str]] = {}
    for change in found:
        if isinstance(change, Change):
            place, happened = change.place, change.told()
        else:
            place, _, happened = change.rpartition(": ")
        groups.setdefault((pattern(place), happened), []).append(place)
    lines = []
    for (_, happened), places in groups.items():
        more = f" … {places[-1]} ({len(places)} alike)" if len(places) > 1 else ""
        lines.append(f"{places[0]}{more}: {happened}" if places[0] else happened)
    return lines


def link_changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Change]:
    """One per link that changed, between the ``links`` of two summaries."""
    found: list[Change] = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new or name not in old:
            count = (old if name in old else new)[name]["count"]
            many = f" ({count})" if count > 1 else ""
            found.append(Change(f"{prefix}{name}{many}", word=_GONE if name in old else _NEW))
            continue
        before, after, place = old[name], new[name], f"{prefix}{name}"
        found += changes(before["count"], after["count"], f"{place} count")
        found += changes(
            before["usual"], after["usual"], place if before["count"] == 1 else f"{place} (most)"
        )
        for link in sorted({*before["others"], *after["others"]}):
            found += changes(
                before["others"].get(link, before["usual"]),
                after["others"].get(link, after["usual"]),
                f"{prefix}{link}",
            )
    return found


def all_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """One per difference between two summaries."""
    found = changes(old["master"], new["master"], "master")
    found += changes(old["hosts"], new["hosts"], "host")
    found += link_changes(old["links"], new["links"], "link ")
    found += changes(old["storages"], new["storages"], "storage")
    found += changes(old["file_systems"], new["file_systems"], "file system")
    return found


def changes(old: Any, new: Any, place: str = "") -> list[Change]:
    """One per difference between two values as JSON holds them; numbers agree to 1e-9."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{place} {key}".strip()
            if key not in new:
                found.append(Change(inner, word=_GONE))
            elif key not in old:
                found.append(Change(inner, word=_NEW))
            else:
                found += changes(old[key], new[key], inner)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        same = all(_same(a, b) for a, b in zip(old, new, strict=True))
        return [] if same else [Change(place, old, new)]
    return [] if _same(old, new) else [Change(place, old, new)]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    return bool(a == b)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(entry) for entry in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
