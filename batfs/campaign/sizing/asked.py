"""What is asked of ``batfs size``: what is varied and from where to where, targets, costs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from batfs.decision.what_if import ALL, BANDWIDTH, MOST_NODES, NODES
from batfs.errors import InputError, unknown
from batfs.records import record
from batfs.report.statistics import JOB_METRICS, Metric
from batfs.report.tables import metric_named, shown
from batfs.units import SIZE_UNITS, format_size, parse_size
from batfs.workload.io import MOST_BYTES

#: Sizes lie so far apart, as a share, unless somebody says otherwise.
PRECISION: Final = 0.05
MOST_SIZES: Final = 10_000

_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")


@record
class Knob:
    """One thing that is varied: ``target`` is a file system, a storage, ``storage`` (all), ``nodes`` or
    ``bandwidth``; ``values`` ascending, in bytes, nodes or times."""

    target: str
    values: tuple[float, ...]

    @property
    def sized(self) -> bool:
        """Whether the values are bytes."""
        return self.target not in (NODES, BANDWIDTH)

    def text(self, value: float) -> str:
        """``1.2 TB``, ``64 nodes``, ``x1.5``."""
        if self.target == NODES:
            return f"{value:.0f} nodes"
        return f"x{value:g}" if self.target == BANDWIDTH else format_size(value)


def parse_knob(text: str, precision: float = PRECISION) -> Knob:
    """``bb=100GB..6TB`` (sizes in between so far apart that each is ``1 + precision`` times the one before),
    ``bb=1TB,2TB,4TB``, ``nodes=16..64``, ``bandwidth=x1..x4``. InputError for what is none."""
    target, equals, values = text.partition("=")
    if not equals or not target or not values:
        raise InputError(f"{text!r}: expected WHAT=FROM..TO such as bb=100GB..6TB, or WHAT=A,B,C")
    try:
        read = _reader(target)
        if ".." in values:
            first, _, last = values.partition("..")
            low, high = read(first), read(last)
            if not low < high:
                raise InputError(f"{first} isn't less than {last}")
            found = _between(low, high, precision, whole=target != BANDWIDTH)
        else:
            found = sorted({read(word) for word in values.split(",")})
            if len(found) < 2:
                raise InputError("at least two sizes were expected", hint="FROM..TO")
    except InputError as error:
        raise InputError(error.problem, place=text, hint=error.hint) from None
    return Knob(target, tuple(found))


def _reader(target: str) -> Callable[[str], float]:
    if target == NODES:
        return _nodes
    return _factor if target == BANDWIDTH else _size


def _nodes(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST_NODES):
        raise InputError(f"{text!r} is no number of nodes from 1 to {MOST_NODES}")
    return float(text)


def _factor(text: str) -> float:
    try:
        value = float(text[1:]) if text.startswith("x") else math.nan
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{text!r} is no factor such as x2")
    return value


def _size(text: str) -> float:
    if re.fullmatch(r"\s*[\d.eE+-]+\s*", text):
        raise InputError(f"{text!r} has no unit", hint="1TB, 500GB, 2TiB")
    size = parse_size(text)
    if not 0 < size <= MOST_BYTES:
        raise InputError(f"{text!r} is no size of a storage")
    return float(size)


def _between(low: float, high: float, precision: float, *, whole: bool) -> list[float]:
    steps = max(1, math.ceil(math.log(high / low) / math.log1p(precision) - 1e-9))
    if steps >= MOST_SIZES:
        raise InputError(f"{steps + 1} sizes are more than {MOST_SIZES}", hint="a coarser --precision")
    between = [low * (high / low) ** (k / steps) for k in range(1, steps)]
    digits = max(3, 2 + math.ceil(-math.log10(precision)))
    rounded = [float(f"{value:.{digits}g}") for value in between]
    if whole:
        rounded = [float(round(value)) for value in rounded]
    return sorted({low, high, *(value for value in rounded if low < value < high)})


@record
class Target:
    """What a size has to give: the mean over the runs of one figure, below or above a limit."""

    text: str
    metric: Metric
    limit: float
    below: bool
    strict: bool

    def met(self, value: float) -> bool:
        """Whether a value is on the right side; NaN isn't."""
        if self.below:
            return value < self.limit if self.strict else value <= self.limit
        return value > self.limit if self.strict else value >= self.limit

    def __str__(self) -> str:
        sign = ("<" if self.below else ">") + ("" if self.strict else "=")
        return f"{self.metric.title} {sign} {shown(self.metric, self.limit)}"


_TARGET: Final = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>)\s*(.+?)\s*")
_SHORT: Final[Mapping[str, str]] = {
    "wait": "waiting_time",
    "waiting": "waiting_time",
    "turnaround": "turnaround_time",
    "slowdown": "bounded_slowdown",
    "storage_wait": "storage_waiting_time",
    "refused": "refused_jobs",
    "failed": "unsuccessful_jobs",
    "utilisation": "node_utilisation",
}
_SECONDS: Final[Mapping[str, float]] = {
    "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
}  # fmt: skip


def figure_named(text: str) -> Metric:
    """The figure of a run called ``mean_waiting_time``, ``wait.mean``, ``wait`` (its mean) or ``makespan``.
    InputError listing what is known."""
    name, _, statistic = text.partition(".")
    name = _SHORT.get(name, name)
    if name in {metric.name for metric in JOB_METRICS}:
        return metric_named(f"{statistic or 'mean'}_{name}")
    return metric_named(text if statistic else name)


def parse_target(text: str) -> Target:
    """``wait.p95<1h``, ``makespan<=2d``, ``utilisation>80%``. InputError for what is none, and for times,
    sizes and shares without a unit."""
    parts = _TARGET.fullmatch(text)
    if parts is None:
        raise InputError("expected FIGURE<LIMIT such as wait.p95<1h", place=f"--target {text}")
    try:
        metric = figure_named(parts[1])
        limit = _limit(parts[3], metric)
    except InputError as error:
        raise InputError(error.problem, place=f"--target {text}", hint=error.hint) from None
    return Target(text, metric, limit, parts[2].startswith("<"), "=" not in parts[2])


def _limit(text: str, metric: Metric) -> float:
    number = _NUMBER.fullmatch(text)
    if number is None or not math.isfinite(float(number[1])):
        raise InputError(f"{text!r} is no number")
    value, unit = float(number[1]), number[2]
    if metric.unit == "s":
        if unit in _SECONDS:
            return value * _SECONDS[unit]
        raise InputError(f"{text!r} has no unit of time; known: {', '.join(_SECONDS)}")
    if metric.unit == "B":
        return _size(text)
    if unit != metric.unit:
        what = f"in {metric.unit}" if metric.unit else "without a unit"
        raise InputError(f"{text!r}: {metric.title} is {what}")
    return value


@record
class Cost:
    """What one byte, node or time of a knob costs."""

    target: str
    price: float


def parse_cost(text: str) -> Cost:
    """``bb=80/TB``, ``nodes=3000/node``, ``bandwidth=500/x``. InputError for what is none."""
    target, equals, value = text.partition("=")
    number, slash, unit = value.partition("/")
    place = f"--cost {text}"
    try:
        price = float(number)
    except ValueError:
        price = math.nan
    if not equals or not target or not (price >= 0 and math.isfinite(price)):
        raise InputError("expected WHAT=PRICE/UNIT such as bb=80/TB", place=place)
    if target in (NODES, BANDWIDTH):
        known = ("node", "nodes") if target == NODES else ("x",)
        if unit not in known:
            raise InputError(f"expected {target}=PRICE/{known[0]}", place=place)
        return Cost(target, price)
    if unit not in SIZE_UNITS:
        raise InputError(
            f"{unit!r} is no unit of size" if slash else "the price of what? a unit is missing",
            place=place,
            hint=f"{target}={number}/TB",
        )
    return Cost(target, price / SIZE_UNITS[unit])


def prices(knobs: Sequence[Knob], costs: Sequence[Cost]) -> list[float]:
    """The price of each knob's unit; without any costs a byte is as dear as another. InputError for the price
    of something that isn't varied, or where some are missing."""
    known = [knob.target for knob in knobs]
    given: dict[str, float] = {}
    for cost in costs:
        if cost.target not in known:
            raise unknown("thing that is varied", cost.target, known, place="--cost")
        if cost.target in given:
            raise InputError(f"the price of {cost.target!r} is given twice", place="--cost")
        given[cost.target] = cost.price
    if not given and (len(knobs) == 1 or all(knob.sized for knob in knobs)):
        return [1.0] * len(knobs)
    missing = [name for name in known if name not in given]
    if missing:
        raise InputError(
            f"what does {missing[0]!r} cost? With several things at once each needs a price",
            hint=f"--cost {missing[0]}=80/TB"
            if knobs[known.index(missing[0])].sized
            else "--cost nodes=3000/node",
        )
    return [given[name] for name in known]


def distinct(knobs: Sequence[Knob]) -> None:
    """InputError for knobs that can't be turned together."""
    names = [knob.target for knob in knobs]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise InputError(f"{name!r} is varied twice")
    if len(knobs) > 2:
        raise InputError(
            f"{len(knobs)} things can't be varied at once: two at most",
            hint="fix what matters least in a configuration (--config)",
        )
    if ALL in names and any(knob.sized for knob in knobs if knob.target != ALL):
        raise InputError(f"{ALL!r} is every file system, so none can be varied beside it")
