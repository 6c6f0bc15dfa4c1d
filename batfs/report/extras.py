"""The report's libraries, imported on first use, with a clear word when one is absent."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from batfs.errors import MissingExtraError

try:
    import pandas as pd
except ModuleNotFoundError as error:  # nothing of the report works without it
    raise MissingExtraError("the report", "report") from error

__all__ = ["cores", "pd", "require"]


def require(module: str, what: str = "the report", extra: str = "report") -> ModuleType:
    """The module named ``module``; MissingExtraError when it isn't installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] == error.name.split(".")[0]:
            raise MissingExtraError(what, extra) from error
        raise


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
