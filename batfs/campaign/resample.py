"""Workloads like a given one: what a seed draws when the question is about more than one list of jobs.

A simulation has no noise of its own: run twice, a deterministic policy gives the same figures. A difference
found on one workload is then certain *for that workload* and says nothing of the next month's. These draw
next months, the same ones for every policy compared:

``shake:amount=0.1``
    Each submission moves by a uniform draw of at most ``amount`` mean interarrival times either way, as in
    Tsafrir, Ouaknine and Feitelson, "Reducing Performance Evaluation Sensitivity and Variability by Input
    Shaking" (MASCOTS 2007). Asks: does the result hang on exactly these submission times?

``blocks:length=50``
    Blocks of ``length`` consecutive jobs, each job with the gap to its predecessor, drawn with replacement
    until there are as many jobs as before: the circular block bootstrap (Politis and Romano, 1992) on a job
    log. Keeps bursts and what follows on what within a block. Asks: does it hold for workloads of this kind?
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Final

from batfs.errors import InputError, unknown
from batfs.plugins import parse_spec
from batfs.records import replace
from batfs.workload.model import Job, Workload

Resampler = Callable[[Workload, random.Random], Workload]


def _shake(workload: Workload, draw: random.Random, amount: float) -> Workload:
    jobs = workload.jobs
    if len(jobs) < 2:
        return workload
    reach = amount * (jobs[-1].submission_time - jobs[0].submission_time) / (len(jobs) - 1)
    moved = [
        replace(job, submission_time=round(max(0.0, job.submission_time + draw.uniform(-reach, reach)), 6))
        for job in jobs
    ]
    return replace(workload, jobs=sorted(moved, key=lambda job: (job.submission_time, job.id)))


def _blocks(workload: Workload, draw: random.Random, length: int) -> Workload:
    jobs = workload.jobs
    n = len(jobs)
    if n < 2:
        return workload
    gaps = [jobs[i].submission_time - jobs[i - 1].submission_time for i in range(1, n)]
    # nothing is known of the gap before the first job; the mean keeps the rate of arrival
    gaps.insert(0, math.fsum(gaps) / (n - 1))
    now = -1.0
    drawn: list[Job] = []
    while len(drawn) < n:
        first = draw.randrange(n)
        for i in range(first, first + min(length, n - len(drawn))):
            job = jobs[i % n]
            now = 0.0 if now < 0 else now + gaps[i % n]
            name = f"{len(drawn) + 1}_{job.name}"
            drawn.append(replace(job, id=f"{job.workload}!{name}", submission_time=round(now, 6)))
    return replace(workload, jobs=sorted(drawn, key=lambda job: (job.submission_time, job.id)))


def _number(options: Mapping[str, str], key: str, default: float, whole: bool = False) -> float:
    text = options.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value > 0 or (whole and value != int(value)):
        raise InputError(f"{key}={text}: expected a positive {'whole ' if whole else ''}number")
    return value


METHODS: Final = ("none", "shake", "blocks")


def make_resampler(text: str) -> Resampler | None:
    """The method named by ``none``, ``shake[:amount=A]`` or ``blocks[:length=L]``; None for ``none``."""
    spec = parse_spec(text, "way of resampling")
    if spec.name not in METHODS:
        raise unknown("way of resampling", spec.name, METHODS)
    allowed = {"none": (), "shake": ("amount",), "blocks": ("length",)}[spec.name]
    for key in spec.options:
        if key not in allowed:
            raise unknown(f"option of {spec.name}", key, allowed)
    if spec.name == "shake":
        amount = _number(spec.options, "amount", 0.1)
        return lambda workload, draw: _shake(workload, draw, amount)
    if spec.name == "blocks":
        length = int(_number(spec.options, "length", 50, whole=True))
        return lambda workload, draw: _blocks(workload, draw, length)
    return None


def resample(workload: Workload, method: str, seed: int) -> Workload:
    """``workload`` as ``method`` draws it under ``seed``; the same for every policy and on every machine."""
    resampler = make_resampler(method)
    if resampler is None:
        return workload
    return resampler(workload, random.Random(f"batfs workload {method} {seed}"))
