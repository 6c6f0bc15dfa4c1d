"""Figures and the HTML report of finished runs.

``load_run(path)`` reads a run's files as tables; ``Figures(runs)`` draws them; ``write_report(runs,
path)`` makes
one HTML file that opens offline. pandas and matplotlib come with the extra ``report``.
"""

from batfs.report.run import Run, find_runs, load_run, load_runs

__all__ = ["Run", "find_runs", "load_run", "load_runs"]
