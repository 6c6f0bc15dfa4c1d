"""How long a process takes for its bytes, learnt from other jobs: a regression of logarithms.

    log(seconds) = a + b log(bytes of a process) + c log(processes) + noise

b < 1: large transfers run at a higher rate than small ones; c: what company costs (or many processes' small
parts gain). With b = 1 and c = 0 it is one rate for all. Noise is taken as normal, its standard deviation
estimated, so that a prediction has an interval (Student's t, with the uncertainty of a, b and c in it).
Source: any text on linear regression, e.g. N. Draper, H. Smith, "Applied Regression Analysis", ch. 1 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batfs.campaign.calibration import need_scipy
from batfs.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Seconds of a process, and the interval in which they lie with the probability asked for."""

    seconds: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """A fitted regression: ``weights`` a, b, c; ``spread``: the noise's standard deviation (of natural
    logarithms) with ``freedom`` degrees; ``inverse``: of the normal equations."""

    weights: tuple[float, float, float]
    spread: float
    freedom: int
    inverse: Floats

    @classmethod
    def fit(
        cls, sizes: Sequence[float], processes: Sequence[float], seconds: Sequence[float]
    ) -> ProcessTimes:
        """From jobs' bytes of a process, processes and seconds, all above 0. InputError for fewer than 5.

        Where all jobs have the same number of processes, or of bytes, that column says nothing: the least of
        the equal solutions is taken.
        """
        if len(seconds) < 5:
            raise InputError(f"{len(seconds)} jobs to learn from; at least 5 are needed")
        x, y = _columns(sizes, processes), np.log(seconds)
        inverse: Floats = np.linalg.pinv(x.T @ x).astype(np.float64)
        weights = inverse @ x.T @ y
        rest = y - x @ weights
        freedom = len(y) - int(np.linalg.matrix_rank(x))
        a, b, c = weights.tolist()
        return cls((a, b, c), math.sqrt(float(rest @ rest) / freedom), freedom, inverse)

    def predict(self, size: float, processes: float, probability: float = 0.9) -> Predicted:
        """For a job with so many bytes a process and so many processes."""
        from scipy import stats

        [row] = _columns([size], [processes])
        middle = float(row @ np.array(self.weights))
        wide = float(stats.t.ppf(0.5 + probability / 2, self.freedom)) * self.spread
        wide *= math.sqrt(1.0 + float(row @ self.inverse @ row))
        return Predicted(*(math.exp(v) for v in (middle, middle - wide, middle + wide)))

    def rate(self, size: float, processes: float) -> float:
        """Bytes/s of one process: the reciprocal of the middle prediction a byte."""
        return size / self.predict(size, processes).seconds


def _columns(sizes: Sequence[float], processes: Sequence[float]) -> Floats:
    return np.column_stack([np.ones(len(sizes)), np.log(sizes), np.log(processes)])


def held_out(
    sizes: Sequence[float], processes: Sequence[float], seconds: Sequence[float], groups: Sequence[Hashable]
) -> list[Predicted]:
    """A prediction for each job, learnt from the jobs of other ``groups`` only."""
    need_scipy("a prediction with its interval")
    found: dict[Hashable, ProcessTimes] = {}
    out = []
    for i, group in enumerate(groups):
        if group not in found:
            others = [k for k, other in enumerate(groups) if other != group]
            found[group] = ProcessTimes.fit(
                *([column[k] for k in others] for column in (sizes, processes, seconds))
            )
        out.append(found[group].predict(sizes[i], processes[i]))
    return out
