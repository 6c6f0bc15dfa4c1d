"""Figures and the HTML report of finished runs.

``load_run(path)`` reads a run's files as tables; ``Figures(runs)`` draws them; ``write_report(runs,
path)`` makes
one HTML file that opens offline. pandas and matplotlib come with the extra ``report``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batfs.report.run import Run, find_runs, load_run, load_runs

__all__ = ["Run", "find_runs", "load_run", "load_runs"]


def __getattr__(name: str) -> Any:
    # pandas comes with the first table, not with whatever else is in this package
    if name in __all__:
        from batfs.report import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
