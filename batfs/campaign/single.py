"""One run: platform, workload and configuration in, Batsim's and batfs's files out. No printing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from batfs.campaign.inputs import sha256
from batfs.platform import Platform, load_platform, number_resources
from batfs.workload import read_workload
from batfs.workload.model import Workload

# keys of the configuration that `batfs run` has a flag for
_FLAGS: Final = (
    "policy",
    "queue",
    "filesystem",
    "default_filesystem",
    "seed",
    "node_selection",
    "node_order",
)


@lru_cache(maxsize=4)
def _platform(path: str, digest: str) -> Platform:
    return load_platform(path)


@lru_cache(maxsize=4)
def _workload(path: str, digest: str) -> Workload:
    return read_workload(path)


def run_once(
    platform: str,
    workload: str,
    prefix: Path,
    configuration: Mapping[str, Any],
    *,
    dynamic_jobs: bool | None = None,
) -> dict[str, Any]:
    """Simulate and write ``<prefix>_jobs.csv`` and the others; returns what provenance keeps as results."""
    from batfs.decision.files import files_on
    from batfs.decision.records import Recorder
    from batfs.scheduling.config import Layer, Settings
    from batfs.scheduling.core import Scheduler
    from batfs.simulator import SimulationOptions, simulate

    machine_file = _platform(platform, sha256(Path(platform).read_bytes()))
    jobs = _workload(workload, sha256(Path(workload).read_bytes()))
    machine = number_resources(machine_file)
    settings = Settings(flags=Layer("the settings", {**configuration, "platform": platform}))
    options = SimulationOptions(outputs=str(prefix), schedule_trace=False, dynamic_jobs=bool(dynamic_jobs))
    with Recorder(prefix) as recorder:
        scheduler = Scheduler(settings, files_on(machine_file), observer=recorder)
        simulate(machine_file, machine, [jobs], scheduler, options)
    return {**scheduler.counts, "compute_nodes": machine.nb_compute}


def command_line(
    platform: str,
    workload: str,
    configuration: Mapping[str, Any],
    config_file: str | None,
    dynamic_jobs: bool | None,
) -> list[str]:
    """The words of the ``batfs run`` that does the same; ``config_file`` holds what has no flag."""
    words = ["batfs", "run", "-p", platform, "-w", workload]
    if config_file is not None:
        words += ["--config", config_file]
    for key in _FLAGS:
        if configuration.get(key) is not None:
            words += [f"--{key.replace('_', '-')}", str(configuration[key])]
    if dynamic_jobs is not None:
        words.append("--enable-dynamic-jobs" if dynamic_jobs else "--no-dynamic-jobs")
    return words


def beyond_flags(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``configuration`` that only a file can tell ``batfs run``."""
    return {key: value for key, value in configuration.items() if key not in _FLAGS}
