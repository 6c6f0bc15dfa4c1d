"""A file of faults: what fails when, for how long, and what becomes of the data and of the jobs.

    seed = 1                     # of the random ones; the run's seed if it isn't said

    [[fault]]
    at = "2h"                    # a time, or seconds
    storage = "ost3"             # a name, a list of names, or a pattern (ost*); or node = ...
    state = "down"               # down, degraded or back
    lasts = "1h"                 # it is back by itself after that; else when a later entry says so
    data = "recovered"           # or lost: what lay there is gone
    jobs = "wait"                # those with data there: wait, fail, or restart from their last checkpoint

    [[fault]]
    at = "3h"
    storage = "ost1"
    state = "degraded"
    bandwidth = 0.5              # the part of it that is left
    rebuild = "4TB"              # bytes that the other storages of its file system send it meanwhile
    rebuild_time = "6h"          # spread over that time; or rebuild_rate = "200MBps"; else all at once

    [[random]]
    node = "*"                   # each of them by itself
    mtbf = "1000h"               # mean time from being there (again) to the next failure
    law = "exponential"          # or weibull, with a shape
    repair = "10m"             # how long each one lasts
    jobs = "restart"

    [[random]]
    storage = "ost*"
    mtbf = "5000h"
    repair = "1h"
    then = {bandwidth = 0.7, rebuild = "4TB", rebuild_rate = "500MBps"}  # degraded when it is back

The same tables may stand in the configuration under ``faults``: ``[[faults.fault]]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from batfs import texts
from batfs.errors import InputError, unknown
from batfs.protocol.clock import LATEST
from batfs.records import record
from batfs.units import parse_bandwidth, parse_size, parse_time

DOWN, DEGRADED, BACK = "down", "degraded", "back"
WAIT, FAIL, RESTART = "wait", "fail", "restart"
RECOVERED, LOST = "recovered", "lost"


@record
class Fault:
    """What happens to each of the resources that ``names`` (names, patterns) mean. ``node``: they are
    nodes. ``at`` and ``lasts``: seconds; infinite if no end is said. ``bandwidth``: the part that is left;
    ``rebuild``: bytes, ``rate`` of them a second at most. ``then``: what it is when it is back. ``place``:
    where it was said."""

    names: Sequence[str]
    node: bool
    state: str
    at: float = 0.0
    lasts: float = math.inf
    bandwidth: float = 1.0
    data: str = RECOVERED
    jobs: str = WAIT
    rebuild: int = 0
    rate: float = math.inf
    then: Fault | None = None
    place: str = ""


@record
class RandomFaults:
    """Faults like ``fault`` at random times: ``mtbf`` seconds apart in the mean, the distribution Weibull's
    with this ``shape`` (1: the exponential one)."""

    fault: Fault
    mtbf: float
    shape: float = 1.0


@record
class FaultPlan:
    """All of a file; ``seed`` None: the run's own."""

    faults: Sequence[Fault]
    random: Sequence[RandomFaults]
    seed: int | None = None

    @property
    def stops(self) -> bool:
        """Whether jobs wait for what has failed, or start again: then they run in steps."""
        return any(fault.state == DOWN and fault.jobs != FAIL for fault in self.every)

    @property
    def of_nodes(self) -> bool:
        """Whether nodes fail."""
        return any(fault.node for fault in self.every)

    @property
    def every(self) -> list[Fault]:
        return [*self.faults, *(one.fault for one in self.random)]


def read_faults(path: str | Path) -> dict[str, Any]:
    """The tables of a file, checked. InputError with file and place."""
    import tomllib

    try:
        values = tomllib.loads(texts.utf8_text(path))
    except ValueError as error:  # TOML's own error, or a number with thousands of digits
        raise InputError(f"malformed TOML: {error}", file=path) from None
    try:
        parse_faults(values)
    except InputError as error:
        raise error.at(file=path) from None
    return values


def parse_faults(values: Mapping[str, Any]) -> FaultPlan:
    """The records that these tables mean. InputError with the place (``fault[2].at``)."""
    for key in values:
        if key not in ("fault", "random", "seed"):
            raise unknown("table", str(key), ("fault", "random", "seed"))
    seed = values.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise InputError(f"found {seed!r:.40}, expected a whole number", place="seed")
    found = {
        kind: [_table(table, f"{kind}[{k}]", kind) for k, table in enumerate(_tables(values, kind))]
        for kind in ("fault", "random")
    }
    if not found["fault"] and not found["random"]:
        raise InputError("it says no fault", hint="[[fault]] or [[random]]")
    return FaultPlan(
        [t.fault for t in found["fault"]],
        [RandomFaults(t.fault, t.seconds("mtbf"), t.number("shape", 1.0)) for t in found["random"]],
        seed,
    )


def _tables(values: Mapping[str, Any], kind: str) -> Sequence[Any]:
    found = values.get(kind, ())
    if not isinstance(found, list | tuple):
        raise InputError(
            f"found {type(found).__name__}, expected a list of tables", place=kind, hint=f"[[{kind}]]"
        )
    return found


_DEGRADED: Final = ("bandwidth", "rebuild", "rebuild_rate", "rebuild_time")
_BOTH: Final = ("storage", "node", "state", "data", "jobs", *_DEGRADED, "then")
_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "fault": ("at", "lasts", *_BOTH),
    "random": ("mtbf", "law", "shape", "repair", *_BOTH),
    "then": ("lasts", *_DEGRADED),
}


class _Table:
    """One table, read with its place."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self.values = values
        self.place = place
        self.fault: Fault

    def wrong(self, key: str, problem: str, hint: str | None = None) -> InputError:
        return InputError(problem, place=f"{self.place}.{key}" if key else self.place, hint=hint)

    def seconds(self, key: str, default: float | None = None) -> float:
        """A time: a number of seconds, or a text with a unit."""
        value = self.values.get(key, default)
        if value is None:
            raise self.wrong("", f"it has no {key}", f'{key} = "2h"')
        if key not in self.values:
            return float(value)
        try:
            time = parse_time(value) if isinstance(value, str) else _number(value)
        except InputError as error:
            raise self.wrong(key, error.problem, error.hint) from None
        if not 0 <= time < LATEST:
            raise self.wrong(key, f"found {value!r:.40}, expected 0 to {LATEST:g} s")
        return time

    def number(self, key: str, default: float) -> float:
        try:
            return _number(self.values.get(key, default))
        except InputError as error:
            raise self.wrong(key, error.problem) from None

    def quantity(self, key: str, parse: Callable[[str], float], default: float) -> float:
        """A number with a unit that ``parse`` knows, or without one."""
        value = self.values.get(key)
        if value is None:
            return default
        try:
            return parse(value if isinstance(value, str) else f"{_number(value):.17g}")
        except InputError as error:
            raise self.wrong(key, error.problem, error.hint) from None

    def word(self, key: str, known: Sequence[str], default: str) -> str:
        value = self.values.get(key, default)
        if value not in known:
            error = unknown(key, str(value)[:40], known)
            raise self.wrong(key, error.problem, error.hint)
        return str(value)

    def names(self) -> tuple[bool, tuple[str, ...]]:
        """(whether they are nodes, the names)."""
        given = [key for key in ("storage", "node") if key in self.values]
        if len(given) != 1:
            raise self.wrong(
                "", "it says both storage and node" if given else "it says neither storage nor node"
            )
        [key] = given
        value = self.values[key]
        names = value if isinstance(value, list | tuple) else [value]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise self.wrong(key, f"found {value!r:.40}, expected a name or a list of names")
        return key == "node", tuple(names)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"found {value!r:.40}, expected a number")
    return float(value)


def _known_keys(values: Any, place: str, kind: str) -> _Table:
    if not isinstance(values, Mapping):
        raise InputError(f"found {type(values).__name__}, expected a table", place=place)
    for key in values:
        if key not in _KEYS[kind]:
            error = unknown("key", str(key), _KEYS[kind])
            raise InputError(error.problem, place=place, hint=error.hint)
    return _Table(values, place)


def _left(table: _Table) -> tuple[float, int, float]:
    """Of what is degraded: the part of its bandwidth that is left, bytes of a rebuild, and how many of them
    a second at most."""
    values = table.values
    bandwidth, rate = table.number("bandwidth", 1.0), math.inf
    if "bandwidth" not in values or not 0 < bandwidth <= 1:
        found = f"found {values['bandwidth']!r:.40}" if "bandwidth" in values else "it has no bandwidth"
        raise table.wrong("bandwidth", f"{found}, expected the part that is left, above 0 and at most 1")
    paces = [key for key in ("rebuild_rate", "rebuild_time") if key in values]
    if len(paces) > 1:
        raise table.wrong(paces[1], "it says both rebuild_rate and rebuild_time")
    rebuild = int(table.quantity("rebuild", parse_size, 0))
    if not paces:
        return bandwidth, rebuild, rate
    if not rebuild:
        raise table.wrong(paces[0], "it says how quickly, but not how many bytes", 'rebuild = "4TB"')
    if paces == ["rebuild_time"]:
        rate = rebuild / max(table.seconds("rebuild_time"), math.ulp(0.0))
    else:
        rate = table.quantity("rebuild_rate", parse_bandwidth, rate)
    if not rebuild / LATEST < rate < math.inf:
        found = (
            f"found {values[paces[0]]!r:.40}, expected more than 0, and at most {LATEST:g} s for all of it"
        )
        raise table.wrong(paces[0], found)
    return bandwidth, rebuild, rate


def _then(values: Any, place: str, names: Sequence[str]) -> Fault:
    """What is degraded when it is back."""
    table = _known_keys(values, place, "then")
    bandwidth, rebuild, rate = _left(table)
    lasts = table.seconds("lasts", math.inf)
    if lasts == math.inf and not rebuild:
        raise table.wrong("", "it has no end", 'rebuild = "4TB", or lasts = "2h"')
    return Fault(
        names, False, DEGRADED, lasts=lasts, bandwidth=bandwidth, rebuild=rebuild, rate=rate, place=place
    )


def _table(values: Any, place: str, kind: str) -> _Table:
    table = _known_keys(values, place, kind)
    node, names = table.names()
    known = (DOWN, DEGRADED, BACK) if kind == "fault" else (DOWN, DEGRADED)
    state = table.word("state", known, DOWN if kind == "random" else "")
    data = table.word("data", (RECOVERED, LOST), RECOVERED)
    usual = RESTART if node or data == LOST else WAIT
    jobs = table.word("jobs", (WAIT, FAIL, RESTART), usual)
    only: dict[str, tuple[str, ...]] = dict.fromkeys(_DEGRADED, (DEGRADED,))
    only |= dict.fromkeys(("data", "jobs", "then"), (DOWN,))
    only["lasts"] = (DOWN, DEGRADED)
    for key, states in only.items():
        if key in values and state not in states:
            raise table.wrong(key, f"it says nothing of what is {state}", f"for {' or '.join(states)}")
    if state == DEGRADED and node:
        raise table.wrong("state", "a node can't be degraded", "a storage can")
    bandwidth, rebuild, rate = _left(table) if state == DEGRADED else (1.0, 0, math.inf)
    if jobs == WAIT and node:
        raise table.wrong("jobs", "jobs can't wait for a node on which they ran", "fail or restart")
    if jobs == WAIT and data == LOST:
        raise table.wrong("jobs", "jobs can't wait for data that are lost", "fail or restart")
    if kind == "fault":
        at = table.seconds("at")
        lasts = table.seconds("lasts", math.inf)
    else:
        at, lasts = 0.0, table.seconds("repair")
        law = table.word("law", ("exponential", "weibull"), "exponential")
        if table.seconds("mtbf") < 1:
            raise table.wrong("mtbf", f"found {values['mtbf']!r:.40}, expected at least 1 s")
        if ("shape" in values) != (law == "weibull"):
            raise table.wrong("shape", "the law weibull has one", 'law = "weibull", shape = 0.7')
        if not 0.05 <= table.number("shape", 1.0) <= 50:
            raise table.wrong("shape", f"found {values['shape']!r:.40}, expected 0.05 to 50")
    then = None
    if "then" in values:
        if node:
            raise table.wrong("then", "a node can't be degraded", "a storage can")
        then = _then(values["then"], f"{place}.then", names)
    table.fault = Fault(names, node, state, at, lasts, bandwidth, data, jobs, rebuild, rate, then, place)
    return table
