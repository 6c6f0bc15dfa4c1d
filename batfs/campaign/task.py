"""One run of a campaign, done anywhere: everything it needs comes in, everything it made goes out."""

from __future__ import annotations

import gc
import traceback
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batfs.campaign.inputs import Input, plugin_file
from batfs.errors import BatfsError
from batfs.scratch import scratch_folder

PREFIX: Final = "run"
# these hold wall-clock times, which no two runs share
CLOCKS: Final = ("scheduling_time", "simulation_time")


@dataclass(frozen=True, slots=True)
class Task:
    """A run to do. ``id`` is the hash of all that decides its results; ``folder`` the name of its
    directory.
    """

    id: str
    folder: str
    platform: Input
    workload: Input
    plugins: tuple[Input, ...]
    configuration: Mapping[str, Any]
    dynamic_jobs: bool | None
    about: Mapping[str, Any] = field(default_factory=dict)
    config_file: str | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: its files (deflated, by name) and the scheduler's configuration in force, or an
    error.
    """

    id: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    trace: str = ""


def execute(task: Task) -> Outcome:
    """Do a run in a scratch folder of its own. Never raises but for what ends the process."""
    try:
        with scratch_folder("run") as folder:
            return _execute(task, Path(folder))
    except BatfsError as error:
        return Outcome(task.id, error=str(error))
    except (Exception, SystemExit) as error:
        # a defect, of a plugin or ours: the others go on, and this one's story is kept
        return Outcome(task.id, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    finally:
        # what belongs to a run refers to itself; left to the collector's own times, a worker keeps hundreds
        gc.collect()


def _execute(task: Task, folder: Path) -> Outcome:
    from batfs.campaign.single import run_once

    plugins = {plugin.name: plugin.materialise(folder) for plugin in task.plugins}
    configuration = _with_plugins(task.configuration, plugins)
    done = run_once(
        task.platform.materialise(folder),
        task.workload.materialise(folder),
        folder / PREFIX,
        configuration,
        dynamic_jobs=task.dynamic_jobs,
        machine=task.machine,
        events=[file.materialise(folder) for file in task.events],
    )
    files = {}
    for path in sorted(folder.glob(f"{PREFIX}_*")):
        if path.name.endswith("_provenance.json"):
            continue  # the campaign writes its own, without clock and paths of scratch folders
        data = path.read_bytes()
        if path.name.endswith("_schedule.csv"):
            data = without_clocks(data)
        files[path.name] = zlib.compress(data, 1)
    return Outcome(task.id, files, task.configuration, done)


def _with_plugins(value: Any, plugins: Mapping[str, str]) -> Any:
    """The configuration with the paths of plugin files replaced by those of their copies."""
    if isinstance(value, Mapping):
        return {key: _with_plugins(item, plugins) for key, item in value.items()}
    if isinstance(value, str):
        file = plugin_file(value)
        if file is not None and file in plugins:
            return plugins[file] + value[len(file) :]
    return value


def without_clocks(table: bytes) -> bytes:
    """Batsim's two-line schedule.csv with its wall-clock columns left empty."""
    lines = table.decode().splitlines()
    if len(lines) != 2:
        return table
    names, values = lines[0].split(","), lines[1].split(",")
    kept = ["" if name in CLOCKS else value for name, value in zip(names, values, strict=False)]
    return f"{lines[0]}\n{','.join(kept)}\n".encode()
