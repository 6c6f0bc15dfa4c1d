"""Schedulers' logs and published job tables: any of them as rows of one kind, and rows as jobs.

``tables`` tells by its content what a file is and gives its rows; ``columns`` knows what their columns are
called; ``cells`` reads times, durations and numbers; ``states`` knows which jobs ran; ``jobs`` makes the
jobs.
"""

from __future__ import annotations

from batfs.workload.joblog.jobs import LogOptions, SchedulerJob, read_job_log

__all__ = ["LogOptions", "SchedulerJob", "read_job_log"]
