"""Parameters of the access model from measured bandwidths, with intervals.

The model is that of :mod:`batfs.filesystems.access` where one job is alone: N nodes with p processes each
reach min(N c, B f) bytes/s, c being a node's rate and B f what the targets give. Its parameters of one
direction are found by least squares on logarithms of bandwidths (errors of measurements are relative);
which of them the data need is chosen by the corrected Akaike criterion, one at a time. Intervals are
Student's t on the logarithms, from the curvature at the best fit; the draws of a study come from the same.
Sources: K. Burnham, D. Anderson, "Model Selection and Multimodel Inference" (AICc); G. Seber, C. Wild,
"Nonlinear Regression", ch. 5 (intervals).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from batfs.campaign.calibration.ior import Measurement
from batfs.errors import InputError, unknown
from batfs.filesystems.access import Client, Server, reached

Floats = NDArray[np.float64]

#: What may be fitted beside ``bandwidth`` (bytes/s of all targets), and where a search begins.
BEGIN: Final[Mapping[str, Sequence[float]]] = {
    "latency": (1e-4, 1e-3, 1e-2),
    "stream": (1e8, 1e9),
    "node": (1e9, 1e10),
    "half": (1e4, 1e6),
    "random_half": (1e4, 1e5, 1e6),
    "lock_half": (1e5, 1e6),
    "half_streams": (30.0, 300.0),
}
CLIENT: Final = ("latency", "stream", "node")
#: A fall of AICc by 6 is strong evidence; with seven candidates a fall by 2 comes by chance in a quarter.
ENOUGH: Final = 6.0


@dataclass(frozen=True, slots=True)
class Fit:
    """One direction: ``names`` (``bandwidth`` first) with their natural logarithms, ``covariance`` of these,
    ``spread`` of a measurement, ``freedom``, the number of measurements, and the spread on data held out."""

    direction: str
    names: tuple[str, ...]
    logs: Floats
    covariance: Floats
    spread: float
    freedom: int
    count: int
    held_out: float
    undetermined: tuple[str, ...] = ()
    """Names that no measurement depends on (a bandwidth that nothing came near): a value, no interval."""

    def values(self) -> dict[str, float]:
        return {name: math.exp(v) for name, v in zip(self.names, self.logs.tolist(), strict=True)}

    def intervals(self, probability: float = 0.95) -> dict[str, tuple[float, float]]:
        """Of each parameter, by name: the bounds of its interval; 0 and infinity if it is undetermined."""
        from scipy import stats

        t = float(stats.t.ppf(0.5 + probability / 2, self.freedom))
        wide = t * np.sqrt(np.diag(self.covariance))
        low, high = np.exp(self.logs - wide), np.exp(self.logs + wide)
        bounds = zip(low.tolist(), high.tolist(), strict=True)
        found = dict(zip(self.names, bounds, strict=True))
        return found | dict.fromkeys(self.undetermined, (0.0, math.inf))

    def predict(self, measurement: Measurement, targets: int = 1) -> float:
        """Bytes/s the model gives for what was measured."""
        return math.exp(
            _log_rate(dict(zip(self.names, self.logs.tolist(), strict=True)), measurement, targets)
        )


def _log_rate(logs: Mapping[str, float], m: Measurement, targets: int) -> float:
    values = {name: math.exp(min(max(value, -60.0), 60.0)) for name, value in logs.items()}
    client = Client(**{name: values[name] for name in CLIENT if name in values})
    rest = {name: v for name, v in values.items() if name not in CLIENT and name != "bandwidth"}
    factor = reached(
        *(client, Server(**rest), m.way, m.nodes, m.processes),
        own=m.own,
        writing=m.direction == "write",
        targets=targets,
    )
    rate = min(m.nodes * client.node_rate(m.way, m.processes), values["bandwidth"] * factor)
    return math.log(rate)


BEYOND: Final = 1e18  # bytes, bytes a second, processes


def fit(
    measurements: Sequence[Measurement],
    direction: str,
    targets: int = 1,
    parameters: Sequence[str] | None = None,
    folds: int = 5,
) -> Fit:
    """The parameters of one direction; ``targets``: how many a job's files lie on.

    ``parameters``: those to fit beside the bandwidth; None: those that the data need, one taken in as long as
    the criterion falls by :data:`ENOUGH` with the best one more. The spread on data held out comes from
    ``folds`` refits of the chosen parameters. InputError for too few measurements, or an unknown name.
    """
    own = [m for m in measurements if m.direction == direction]
    least = 3 + len(parameters or ())
    if len(own) < least:
        raise InputError(f"{len(own)} measurements of {direction}s; at least {least} are needed")
    for m in own:
        if not (0 < m.bandwidth < BEYOND and 0 < m.nodes * m.processes < BEYOND and 0 < m.way.size < BEYOND):
            raise InputError(
                f"{m.bandwidth:g} bytes/s by {m.nodes} nodes of {m.processes} processes in requests of "
                f"{m.way.size:g} bytes: more than any machine has, or nothing",
                place=m.source or None,
            )  # fmt: skip
    for name in parameters or ():
        if name not in BEGIN:
            raise unknown("parameter", name, BEGIN)
    names: tuple[str, ...] = ("bandwidth",)
    best = _solve(own, names, targets, {})
    for name in parameters or ():
        known = dict(zip(names, best.x.tolist(), strict=True))
        names = (*names, name)
        best = _solve(own, names, targets, known)
    while parameters is None and len(own) - len(names) > 2:
        known = dict(zip(names, best.x.tolist(), strict=True))
        tries = [
            ((*names, name), _solve(own, (*names, name), targets, known))
            for name in BEGIN
            if name not in names
        ]
        if not tries:
            break
        more, better = min(tries, key=lambda found: float(found[1].cost))
        if _criterion(better, len(own), len(more)) > _criterion(best, len(own), len(names)) - ENOUGH:
            break
        names, best = more, better
    freedom = len(own) - len(names)
    variance = 2.0 * float(best.cost) / freedom
    covariance = (np.linalg.pinv(best.jac.T @ best.jac) * variance).astype(np.float64)
    return Fit(
        *(direction, names, best.x, covariance, math.sqrt(variance), freedom, len(own)),
        _held_out(own, names, best.x, targets, folds),
        _undetermined(own, names, best, targets, variance),
    )


def _undetermined(
    own: Sequence[Measurement], names: Sequence[str], best: Any, targets: int, variance: float
) -> tuple[str, ...]:
    """The rates that could as well be without bound: 150 times as high they fit no worse than chance allows
    (3.84, the 95 % point of chi squared with one degree of freedom)."""
    found = []
    for name in names:
        if name in ("bandwidth", "stream", "node"):
            at = dict(zip(names, best.x.tolist(), strict=True))
            at[name] += 5.0
            errors = [_log_rate(at, m, targets) - math.log(m.bandwidth) for m in own]
            worse = sum(e * e for e in errors) - 2.0 * float(best.cost)
            if worse < 3.84 * max(variance, 1e-12):
                found.append(name)
    return tuple(found)


def _solve(own: Sequence[Measurement], names: Sequence[str], targets: int, known: Mapping[str, float]) -> Any:
    """The best of searches from several beginnings (the model has kinks)."""
    from scipy.optimize import least_squares

    logs = np.log([m.bandwidth for m in own])

    def residuals(x: Floats) -> Floats:
        at = dict(zip(names, x.tolist(), strict=True))
        return np.array([_log_rate(at, m, targets) for m in own]) - logs

    top = float(logs.max())
    starts = [[known.get(name, top) for name in names]]
    new = names[-1]
    if new in BEGIN:
        starts = [
            [*(known.get(name, top) + up * (name == "bandwidth") for name in names[:-1]), math.log(value)]
            for value in BEGIN[new]
            for up in (0.0, 0.7)
        ]
    found = [least_squares(residuals, start, method="trf", x_scale=1.0, max_nfev=200) for start in starts]
    return min(found, key=lambda one: float(one.cost))


def _criterion(found: Any, count: int, parameters: int) -> float:
    k = parameters + 1  # the spread is estimated too
    squares = max(2.0 * float(found.cost), 1e-24)
    small = 2.0 * k * (k + 1) / (count - k - 1) if count > k + 1 else math.inf
    return count * math.log(squares / count) + 2.0 * k + small


def _held_out(
    own: Sequence[Measurement], names: Sequence[str], best: Floats, targets: int, folds: int
) -> float:
    """Root mean square of the logarithms' errors on measurements that the refit hasn't seen."""
    from scipy.optimize import least_squares

    parts = min(folds, len(own))
    if parts < 2:
        return math.nan
    errors: list[float] = []
    for k in range(parts):
        left = [m for i, m in enumerate(own) if i % parts != k]
        if len(left) <= len(names):
            return math.nan
        logs = np.log([m.bandwidth for m in left])

        def residuals(x: Floats, left: Sequence[Measurement] = left, logs: Floats = logs) -> Floats:
            at = dict(zip(names, x.tolist(), strict=True))
            return np.array([_log_rate(at, m, targets) for m in left]) - logs

        found = least_squares(residuals, best, max_nfev=200)
        at = dict(zip(names, found.x.tolist(), strict=True))
        errors += [_log_rate(at, m, targets) - math.log(m.bandwidth) for m in own[k::parts]]
    return math.sqrt(sum(e * e for e in errors) / len(errors))
