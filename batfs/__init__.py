"""batfs: file-system models, storage allocation and I/O-aware scheduling for Batsim.

``batfs.simulate(platform, workload, policy=...)`` runs one simulation, ``batfs.compare(...)`` many, and
``batfs.size(...)`` searches how much is enough; they return tables and figures, and need the extra
``report``. What plugins need is in :mod:`batfs.ext`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # a program's first lines: typing alone would take longer than all of them
    from typing import Any

    from batfs.campaign.api import compare, simulate, size

__version__ = "0.2.0"
__all__ = ["__version__", "compare", "simulate", "size"]


def __getattr__(name: str) -> Any:
    # pandas and the simulator are imported when they are first asked for, not with the package
    if name in ("compare", "simulate", "size"):
        import importlib

        return getattr(importlib.import_module("batfs.campaign.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "annotations"})
