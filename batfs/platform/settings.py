"""SimGrid's configuration options as far as a platform file or ``--sg-cfg`` may set them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from batfs.errors import InputError, unknown

# options of the models; unknown names in these families are mistakes
KNOWN: Final = (
    "bmf/max-iterations",
    "cpu/maxmin-selective-update",
    "cpu/model",
    "cpu/optim",
    "cpu/solver",
    "disk/model",
    "disk/solver",
    "host/model",
    "host/solver",
    "maxmin/concurrency-limit",
    "network/TCP-gamma",
    "network/bandwidth-factor",
    "network/crosstraffic",
    "network/latency-factor",
    "network/loopback-bw",
    "network/loopback-lat",
    "network/maxmin-selective-update",
    "network/model",
    "network/optim",
    "network/solver",
    "network/weight-S",
    "precision/bmf",
    "precision/timing",
    "precision/work-amount",
)
# old spelling -> the one in use
ALIASES: Final = {
    "bmf/precision": "precision/bmf",
    "maxmin/precision": "precision/work-amount",
    "surf/precision": "precision/timing",
}
# options of other parts of SimGrid, which change no simulated time of parallel tasks
OTHER_FAMILIES: Final = (
    "cmonkey",
    "contexts",
    "debug",
    "exception",
    "fluid",
    "model-check",
    "plugin",
    "smpi",
    "storage",
    "tracing",
)
NUMBERS: Final = (
    "network/TCP-gamma",
    "network/loopback-bw",
    "network/loopback-lat",
    "precision/timing",
    "precision/work-amount",
)


def canonical(key: str) -> str:
    """The spelling of an option in use today."""
    return ALIASES.get(key, key)


def check(key: str, value: str) -> None:
    """InputError for an unknown option or a number that isn't one."""
    key = canonical(key)
    if key.partition("/")[0] not in OTHER_FAMILIES and key not in ("path", "plugin") and key not in KNOWN:
        raise unknown("SimGrid option", key, KNOWN)
    if key in NUMBERS:
        number({key: value}, key, 0.0)


def checked(config: Mapping[str, str]) -> dict[str, str]:
    """All options under their present names, each checked."""
    for key, value in config.items():
        check(key, value)
    return {canonical(key): value for key, value in config.items()}


def number(config: Mapping[str, str], key: str, default: float) -> float:
    """The option as a number; InputError when it is negative, not finite or no number."""
    text = config.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"the SimGrid option {key} must be a number, found {text!r}") from None
    if not math.isfinite(value) or value < 0:
        raise InputError(f"the SimGrid option {key} must be finite and not negative, found {text!r}")
    return value
