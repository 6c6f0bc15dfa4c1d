"""The report's libraries, imported on first use, with a clear word when one is absent."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from batfs.errors import MissingExtraError

try:
    import pandas as pd
except ModuleNotFoundError as error:  # nothing of the report works without it
    raise MissingExtraError("the report", "report") from error

__all__ = ["pd", "require", "typed_columns", "typed_table"]


def typed_table(kinds: Mapping[str, str], columns: Mapping[str, Sequence[Any]] | None = None) -> pd.DataFrame:
    """A table of these columns, each of its type; without rows where none are given. As a series of each
    column would do it, at a third of the time: a report reads hundreds of runs."""
    if columns is None:
        return _empty(tuple(kinds.items())).copy()
    return pd.DataFrame(typed_columns(kinds, columns), copy=False)


@cache
def _empty(kinds: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    """To copy a table without rows takes a tenth of the time that it takes to make one."""
    return pd.DataFrame(typed_columns(dict(kinds), {name: () for name, _ in kinds}))


def typed_columns(kinds: Mapping[str, str], columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The columns of such a table, as arrays."""
    return {
        name: pd.array(columns[name], dtype="str") if kind == "str" else np.array(columns[name], dtype=kind)
        for name, kind in kinds.items()
    }


def require(module: str, what: str = "the report", extra: str = "report") -> ModuleType:
    """The module named ``module``; MissingExtraError when it isn't installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] == error.name.split(".")[0]:
            raise MissingExtraError(what, extra) from error
        raise
