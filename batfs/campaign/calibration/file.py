"""The calibration file: parameters of a file system as a configuration, and what isn't known of them.

TOML. ``[filesystems.NAME]`` holds ``client`` and ``server`` as ``--config`` takes them, at the best fit.
``[calibration.NAME.read]`` and ``.write`` hold the parameters' names, the natural logarithms of their best
values in bytes, seconds and numbers, and the covariance of these; from them a study draws. Bandwidths stand
as ``share`` of those in the platform, which are ``nominal`` (bytes/s of all targets).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from batfs.campaign.calibration.fit import BEGIN, CLIENT, Fit
from batfs.errors import InputError
from batfs.texts import read_text

Floats = NDArray[np.float64]
DIRECTIONS: Final = ("read", "write")
_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("half", "random_half", "lock_half"), "B"),
    **dict.fromkeys(("stream", "node"), "Bps"),
    "latency": "s",
}


@dataclass(frozen=True, slots=True)
class Uncertain:
    """One direction of one file system; ``nominal``: bytes/s of all targets in the platform."""

    names: tuple[str, ...]
    logs: Floats
    covariance: Floats
    nominal: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a calibration file says: by file system and direction."""

    parts: Mapping[str, Mapping[str, Uncertain]]

    def options(self, seed: int | None = None) -> dict[str, dict[str, str]]:
        """``client`` and ``server`` of each file system: the best values, or with ``seed`` a draw.

        The same seed gives the same draw, whatever else is compared. Shares above 1 are 1: a target gives
        no more than the platform says.
        """
        rng = None if seed is None else np.random.default_rng((seed, 0x10C))
        return {
            name: parameters({d: _values(part[d], rng) for d in DIRECTIONS if d in part})
            for name, part in sorted(self.parts.items())
        }


def _values(part: Uncertain, rng: np.random.Generator | None) -> dict[str, float]:
    logs = part.logs
    if rng is not None:
        logs = rng.multivariate_normal(part.logs, part.covariance, method="eigh")
    values = {name: math.exp(min(v, 100.0)) for name, v in zip(part.names, logs.tolist(), strict=True)}
    values["share"] = min(1.0, values.pop("bandwidth") / part.nominal)
    return values


def parameters(values: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The options ``client`` and ``server`` of parameters by direction and name."""
    out: dict[str, list[str]] = {"client": [], "server": []}
    for direction, named in values.items():
        for name, value in named.items():
            side = "client" if name in CLIENT else "server"
            out[side].append(f"{direction}_{name}:{value:.6g}{_UNITS.get(name, '')}")
    return {side: " ".join(words) for side, words in out.items() if words}


def nominal(fitted: Fit) -> float:
    """The bandwidth for a platform: four standard errors above the best, so that draws stay below."""
    return float(f"{math.exp(float(fitted.logs[0]) + 4.0 * math.sqrt(float(fitted.covariance[0, 0]))):.3g}")


def write_calibration(fits: Sequence[Fit], name: str, nominals: Mapping[str, float], comment: str) -> str:
    """The text of the file for one file system; ``nominals``: bytes/s in the platform by direction."""
    parts = {f.direction: Uncertain(f.names, f.logs, f.covariance, nominals[f.direction]) for f in fits}
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += ["", f"[filesystems.{_key(name)}]"]
    options = Calibration({name: parts}).options()[name]
    lines += [f'{side} = "{text}"' for side, text in options.items()]
    for f in fits:
        lines += ["", f"[calibration.{_key(name)}.{f.direction}]"]
        lines.append("names = [" + ", ".join(f'"{n}"' for n in f.names) + "]")
        lines.append("logs = [" + ", ".join(repr(float(v)) for v in f.logs) + "]")
        rows = ("[" + ", ".join(repr(float(v)) for v in row) + "]" for row in f.covariance)
        lines.append("covariance = [" + ", ".join(rows) + "]")
        lines.append(f"nominal = {nominals[f.direction]!r}")
        lines.append(f"measurements = {f.count}")
        lines.append(f"spread = {f.spread!r}")
        if not math.isnan(f.held_out):
            lines.append(f"held_out = {f.held_out!r}")
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name.replace("_", "a").replace("-", "a").isalnum() and name.isascii() else f'"{name}"'


def read_calibration(path: Path) -> Calibration:
    """InputError (with the place in the file) for what isn't a calibration file."""
    try:
        document = tomllib.loads(read_text(path).text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}", file=path) from None
    tables = document.get("calibration")
    if not isinstance(tables, dict) or not tables:
        raise InputError("no [calibration] in it", file=path, hint="batfs calibrate writes such a file")
    found: dict[str, dict[str, Uncertain]] = {}
    for name, table in tables.items():
        for direction, part in (table if isinstance(table, dict) else {}).items():
            place = f"calibration.{name}.{direction}"
            if direction not in DIRECTIONS:
                raise InputError("expected read or write", file=path, place=place)
            found.setdefault(name, {})[direction] = _part(part, path, place)
    if not found:
        raise InputError("no direction is calibrated", file=path, place="calibration")
    return Calibration(found)


def _part(part: Any, path: Path, place: str) -> Uncertain:
    try:
        names = tuple(str(name) for name in part["names"])
        logs = np.array(part["logs"], dtype=np.float64)
        covariance = np.array(part["covariance"], dtype=np.float64)
        top = float(part["nominal"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a calibrated direction: {error!r}", file=path, place=place) from None
    n = len(names)
    if n == 0 or names[0] != "bandwidth" or len(set(names)) < n or not set(names[1:]) <= set(BEGIN):
        raise InputError(f"names are {', '.join(names)}; bandwidth comes first", file=path, place=place)
    sound = logs.shape == (n,) and covariance.shape == (n, n) and top > 0
    if not sound or not (np.isfinite(logs).all() and np.isfinite(covariance).all() and math.isfinite(top)):
        raise InputError(f"{n} names, but logs or covariance are of another size", file=path, place=place)
    if not np.allclose(covariance, covariance.T) or np.linalg.eigvalsh(covariance).min() < -1e-9:
        raise InputError("the covariance is none: not symmetric, or negative", file=path, place=place)
    return Uncertain(names, logs, covariance, top)
