"""The Python interface for notebooks and scripts: ``batfs.simulate``, ``batfs.compare``, ``batfs.size``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from batfs.campaign.engine import run_campaign
from batfs.campaign.plan import Plan, make_plan, parse_seeds
from batfs.campaign.results import Comparison, collect, write_campaign
from batfs.campaign.settings import configured
from batfs.campaign.single import run_once
from batfs.campaign.sizing.asked import PRECISION, parse_cost, parse_knob, parse_target
from batfs.campaign.sizing.result import Sizing, find_size
from batfs.report.run import Run, read_run
from batfs.scratch import scratch_folder

PathText: TypeAlias = str | PathLike[str]
Several: TypeAlias = str | Sequence[str]


def simulate(
    platform: PathText,
    workload: PathText,
    *,
    policy: str | None = None,
    queue: str | None = None,
    io_policy: str | None = None,
    filesystem: str | Sequence[str] | None = None,
    seed: int = 0,
    output: PathText | None = None,
    dynamic_jobs: bool | None = None,
    master_host: str = "master_host",
    add_role_to_hosts: Several = (),
    mmax: int = 0,
    events: Several = (),
    **configuration: Any,
) -> Run:
    """Simulate ``workload`` (Batsim JSON) on ``platform`` (SimGrid XML) under the given policies.

    ``policy``, ``queue``, ``io_policy`` and ``filesystem`` are written as on the command line
    (``"worst_fit"``, ``"mine.py:Name:k=4"``); ``configuration`` takes any other key of the scheduler's
    configuration, such as ``node_selection="contiguous"`` or
    ``filesystems={"lustre": {"policy": "random"}}``. Files are kept if ``output`` (a prefix such as
    ``"out/io"``) is given, and only read otherwise. ``master_host``, ``add_role_to_hosts``, ``mmax`` and
    ``events`` are Batsim's.

    Returns a :class:`~batfs.report.run.Run`: tables ``.jobs``, ``.io`` and ``.storage`` (times in seconds,
    sizes in
    bytes), ``.summary()``, ``.figures()``. Raises :class:`batfs.errors.InputError` for bad input.
    """
    named = {"policy": policy, "queue": queue, "io_policy": io_policy}
    treatment = {key: value for key, value in named.items() if value is not None}
    base = dict(configuration)
    if filesystem is not None:
        from batfs.scheduling.config import parse_filesystem_flags

        base |= parse_filesystem_flags([filesystem] if isinstance(filesystem, str) else list(filesystem))
    settings = configured(base, treatment, seed)
    machine = {"master_host": master_host, "add_role_to_hosts": _words(add_role_to_hosts), "mmax": mmax}

    def once(prefix: Path) -> None:
        run_once(
            fspath(platform),
            fspath(workload),
            prefix,
            settings,
            dynamic_jobs=dynamic_jobs,
            machine=machine,
            events=_words(events),
            say=_warn,
        )

    if output is not None:
        once(Path(output))
        return read_run(f"{fspath(output)}_")
    with scratch_folder("compare") as folder:
        prefix = Path(folder) / Path(workload).stem
        once(prefix)
        return read_run(f"{prefix}_")


def compare(
    platform: PathText | Sequence[PathText],
    workload: PathText | Sequence[PathText],
    *,
    policy: Several = (),
    queue: Several = (),
    io_policy: Several = (),
    filesystem: Several = (),
    vary: Mapping[str, Sequence[Any]] | None = None,
    seeds: int | str | Sequence[int] = 30,
    baseline: str | None = None,
    resample: str = "none",
    null: bool = False,
    primary: str | None = None,
    calibration: PathText | None = None,
    threshold: float = 10.0,
    output: PathText | None = None,
    executor: str | Executor | None = None,
    jobs: int | None = None,
    dynamic_jobs: bool | None = None,
    progress: bool | None = None,
    master_host: str = "master_host",
    add_role_to_hosts: Several = (),
    mmax: int = 0,
    events: Several = (),
    **configuration: Any,
) -> Comparison:
    """Run every combination of the given settings with every seed, and compare them to ``baseline``.

    ``vary`` maps keys of the scheduler's configuration to values; ``seeds`` is a count or the seeds
    themselves;
    ``resample`` draws a workload per seed (``"shake"``, ``"blocks"``: see :mod:`batfs.campaign.resample`).
    ``primary`` names the one figure that is tested; without it all are, and more pairs are needed.
    ``calibration``: a file of ``batfs calibrate``; each seed draws the file systems' parameters from it.
    ``output`` keeps everything in a directory, where a later call with the same arguments finds what is done.
    ``executor`` is None for processes of this machine, ``"dask://host:port"``, or any
    :class:`concurrent.futures.Executor`.

    Returns a :class:`~batfs.campaign.results.Comparison`: tables ``.runs``, ``.jobs``, ``.summary``,
    sentences
    ``.conclusions()``, ``.figures()``, ``.report(path)``. Raises InputError for bad input; a run that
    fails is in
    ``.failures``.
    """
    values = {
        "platform": _paths(platform),
        "workload": _paths(workload),
        "policy": _words(policy),
        "queue": _words(queue),
        "io_policy": _words(io_policy),
        "filesystem": _words(filesystem),
        "vary": {key: list(items) for key, items in (vary or {}).items()},
        "seeds": parse_seeds(seeds),
        "baseline": baseline,
        "configuration": configuration,
        "resample": resample,
        "null": null,
        "primary": primary,
        "calibration": None if calibration is None else str(calibration),
        "threshold": threshold,
        "dynamic_jobs": dynamic_jobs,
        "master_host": master_host,
        "add_role_to_hosts": _words(add_role_to_hosts),
        "mmax": mmax,
        "events": _words(events),
    }
    plan = make_plan(values)
    if output is not None:
        return _compare(plan, Path(output), executor, jobs, progress, keep=True)
    with scratch_folder("compare") as folder:
        return _compare(plan, Path(folder), executor, jobs, progress, keep=False)


def size(
    platform: PathText,
    workload: PathText | Sequence[PathText],
    what: Mapping[str, str],
    *,
    target: Several = (),
    cost: Mapping[str, str] | None = None,
    policy: str | None = None,
    queue: str | None = None,
    io_policy: str | None = None,
    filesystem: str | Sequence[str] | None = None,
    seeds: int | str | Sequence[int] = 10,
    resample: str = "none",
    calibration: PathText | None = None,
    precision: float = PRECISION,
    figure: str | None = None,
    threshold: float = 10.0,
    output: PathText | None = None,
    executor: str | Executor | None = None,
    jobs: int | None = None,
    dynamic_jobs: bool | None = None,
    progress: bool | None = None,
    master_host: str = "master_host",
    add_role_to_hosts: Several = (),
    mmax: int = 0,
    events: Several = (),
    **configuration: Any,
) -> Sizing:
    """Search the cheapest size that meets ``target`` (``"wait.p95<1h"``, or several).

    ``what`` maps a file system, a storage, ``"storage"``, ``"nodes"`` or ``"bandwidth"`` to a range
    (``{"bb": "100GB..6TB"}``) or sizes (``"1TB,2TB"``); two of them at most. ``cost`` maps the same to prices
    (``{"bb": "80/TB"}``). ``seeds`` are the most that a size gets; sizes lie ``precision`` apart. Without a
    target the curve is measured, and its knee. The rest is as for :func:`compare`.

    Returns a :class:`~batfs.campaign.sizing.result.Sizing`: ``.best``, ``.table``, ``.sentences()``,
    ``.draw()``. Raises InputError for bad input.
    """
    base = dict(configuration)
    if filesystem is not None:
        from batfs.scheduling.config import parse_filesystem_flags

        base |= parse_filesystem_flags(_words(filesystem))
    plan = make_plan(
        {
            "platform": _paths(platform),
            "workload": _paths(workload),
            "policy": [] if policy is None else [policy],
            "queue": [] if queue is None else [queue],
            "io_policy": [] if io_policy is None else [io_policy],
            "seeds": parse_seeds(seeds),
            "configuration": base,
            "resample": resample,
            "calibration": None if calibration is None else str(calibration),
            "threshold": threshold,
            "dynamic_jobs": dynamic_jobs,
            "master_host": master_host,
            "add_role_to_hosts": _words(add_role_to_hosts),
            "mmax": mmax,
            "events": _words(events),
        }
    )
    knobs = [parse_knob(f"{name}={values}", precision) for name, values in what.items()]
    targets = [parse_target(text) for text in _words(target)]
    costs = [parse_cost(f"{name}={price}") for name, price in (cost or {}).items()]
    asked: dict[str, Any] = {"costs": costs, "figure": figure, "executor": executor, "jobs": jobs}
    if output is not None:
        found = find_size(plan, knobs, targets, Path(output), progress=progress, **asked)
        found.write(Path(output))
        return found
    with scratch_folder("size") as folder:
        found = find_size(plan, knobs, targets, Path(folder), progress=progress, **asked)
        found.directory = None
        return found


def _compare(
    plan: Plan,
    directory: Path,
    executor: str | Executor | None,
    jobs: int | None,
    progress: bool | None,
    *,
    keep: bool,
) -> Comparison:
    finished = run_campaign(plan, directory, executor=executor, jobs=jobs, progress=progress, say=_warn)
    found = collect(finished)
    if keep:
        write_campaign(finished, found)
    else:
        found.directory = None
    return found


def _warn(sentence: str) -> None:
    """What the commands print: where Python's programs look for such things."""
    own = str(Path(__file__).parents[1])
    level = 1
    while sys._getframe(level).f_code.co_filename.startswith(own):
        level += 1
    warnings.warn(sentence, UserWarning, stacklevel=level + 1)


def _paths(given: PathText | Sequence[PathText]) -> list[str]:
    return [fspath(given)] if isinstance(given, str | PathLike) else [fspath(path) for path in given]


def _words(given: Several) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
