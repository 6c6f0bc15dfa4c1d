"""One run: platform, workload and configuration in, Batsim's and batfs's files out. No printing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from batfs.decision.experiment import Experiment, machine_fields
from batfs.decision.run import run
from batfs.errors import BatfsError
from batfs.platform import Platform
from batfs.scheduling.config import Layer, Settings

NO_FLAGS: Final[Mapping[str, Any]] = {}
# what the machine of a platform is, by Batsim's flags
MACHINE: Final = ("master_host", "add_role_to_hosts", "mmax", "events")
# keys of the configuration that `batfs run` has a flag for
_FLAGS: Final = (
    "policy",
    "queue",
    "io_policy",
    "filesystem",
    "default_filesystem",
    "seed",
    "node_selection",
    "node_order",
)


def run_once(
    platform: str,
    workload: str,
    prefix: Path,
    configuration: Mapping[str, Any],
    *,
    dynamic_jobs: bool | None = None,
    machine: Mapping[str, Any] = NO_FLAGS,
    events: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
    read: Platform | None = None,
) -> dict[str, Any]:
    """Simulate and write ``<prefix>_jobs.csv`` and the others; returns what provenance keeps as results.

    ``machine`` holds what of :data:`MACHINE` isn't as usual. The schedule trace, which no table is made from,
    is left out. ``say`` hears what a person should know, such as what is off and which flag turns it on.
    ``read``: the platform, where it has been read before; the routes it has found serve again.
    """
    experiment = Experiment(
        platform=Path(platform),
        workloads=[Path(workload)],
        **machine_fields(machine, events),
        dynamic_jobs=bool(dynamic_jobs),
        schedule_trace=False,
        read=read,
    )
    settings = Settings(flags=Layer("the settings", configuration))
    result = run(experiment, settings, prefix, say=say)
    if result.deadlock:
        raise BatfsError(result.stuck)
    # names of files are the campaign's to tell
    return {key: value for key, value in result.summary.items() if key not in ("platform", "workloads")}


def command_line(
    platform: str,
    workload: str,
    configuration: Mapping[str, Any],
    config_file: str | None,
    dynamic_jobs: bool | None,
    machine: Mapping[str, Any] = NO_FLAGS,
) -> list[str]:
    """The words of the ``batfs run`` that does the same; ``config_file`` holds what has no flag."""
    words = ["batfs", "run", "-p", platform, "-w", workload]
    if config_file is not None:
        words += ["--config", config_file]
    for key in _FLAGS:
        if configuration.get(key) is not None:
            words += [f"--{key.replace('_', '-')}", str(configuration[key])]
    for key in MACHINE:
        values = machine.get(key) or ()
        for value in values if isinstance(values, list | tuple) else [values]:
            words += [f"--{key.replace('_', '-')}", str(value)]
    for key, what in (("nodes", "nodes="), ("storage_bandwidth", "bandwidth=x")):
        if key in machine:
            words += ["--what-if", f"{what}{machine[key]}"]
    if dynamic_jobs:
        words.append("--dynamic-jobs")
    return words


def beyond_flags(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``configuration`` that only a file can tell ``batfs run``."""
    return {key: value for key, value in configuration.items() if key not in _FLAGS}
