"""pybatsim's classes, without what it imports and hardly ever uses.

pybatsim imports redis (and with it asyncio, ssl and two hundred modules more) whether or not Batsim is told
to use it; here that waits until something of redis is asked for.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


_here = "redis" in sys.modules
if not _here:
    sys.modules["redis"] = _Later("redis")
try:
    from batsim.batsim import Batsim, BatsimScheduler, Job
finally:
    if not _here:
        del sys.modules["redis"]

__all__ = ["Batsim", "BatsimScheduler", "Job"]


def _by_submission(job: Any) -> int:
    """pybatsim's jobs hash by their addresses, so that a scheduler that keeps them in a set starts them in
    another order each time. These hash by the order in which they came (see ``LinkedBatsim``)."""
    order: int | None = job.__dict__.get("batfs_order")
    return object.__hash__(job) if order is None else order


Job.__hash__ = _by_submission
