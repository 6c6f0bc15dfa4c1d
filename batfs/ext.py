"""What plugins need, in one place: policies, queue policies, I/O policies, models, node selections.

``from batfs.ext import Share`` is all a plugin imports of batfs. What is named here is promised: a name keeps
its meaning from one minor version to the next, and is deprecated for one minor version, with a warning,
before it goes; everything else in batfs may move at any time. A test holds the list of names.

Each name is looked up when it is first asked for, so that a plugin costs what it uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from batfs.errors import InputError
    from batfs.filesystems.base import Model, read_grid, write_grid
    from batfs.filesystems.interface import (
        Checkpoints,
        FileSystemModel,
        Hold,
        IoPlan,
        IoRequest,
        Move,
        Outcome,
        PhaseRequest,
        PhaseVolume,
        Placement,
        RepeatedPlan,
        Setup,
        Traffic,
        Transfer,
        Volume,
        add_internal,
    )
    from batfs.filesystems.traffic import from_grid, from_transfers
    from batfs.plugins import Bandwidth, Seconds, Size
    from batfs.scheduling.interface import (
        JobPlacement,
        NodeSet,
        Pass,
        QueuePolicy,
        QueueView,
        StartedJob,
        WaitingJob,
    )
    from batfs.scheduling.io_policies.interface import IoPass, IoPolicy, IoView, Start
    from batfs.scheduling.nodes import Selection
    from batfs.scheduling.queues.fcfs import start_in_order
    from batfs.storage.interface import AllocationPolicy, Choice, Share, SpaceRequest, Storage, StorageView
    from batfs.storage.ledger import Ledger
    from batfs.storage.policies import make_policy
    from batfs.storage.policies.base import Policy, ScoringPolicy, draw, equal_shares
    from batfs.storage.view import SystemView
    from batfs.workload.iomodels import IoModel

# module -> what it offers
_HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "batfs.errors": ("InputError",),
    "batfs.plugins": ("Bandwidth", "Seconds", "Size"),
    "batfs.storage.interface": (
        *("AllocationPolicy", "Choice", "Share", "SpaceRequest", "Storage", "StorageView"),
    ),
    "batfs.storage.policies.base": ("Policy", "ScoringPolicy", "draw", "equal_shares"),
    "batfs.storage.policies": ("make_policy",),
    "batfs.storage.ledger": ("Ledger",),
    "batfs.storage.view": ("SystemView",),
    "batfs.scheduling.interface": (
        *("JobPlacement", "NodeSet", "Pass", "QueuePolicy", "QueueView", "StartedJob", "WaitingJob"),
    ),
    "batfs.scheduling.queues.fcfs": ("start_in_order",),
    "batfs.scheduling.io_policies.interface": ("IoPass", "IoPolicy", "IoView", "Start"),
    "batfs.scheduling.nodes": ("Selection",),
    "batfs.filesystems.interface": (
        *("Checkpoints", "FileSystemModel", "Hold", "IoPlan", "IoRequest", "Move", "Outcome", "Placement"),
        *("PhaseRequest", "PhaseVolume", "RepeatedPlan", "Setup", "Traffic"),
        *("Transfer", "Volume", "add_internal"),
    ),
    "batfs.filesystems.base": ("Model", "read_grid", "write_grid"),
    "batfs.filesystems.traffic": ("from_grid", "from_transfers"),
    "batfs.workload.iomodels": ("IoModel",),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AllocationPolicy",
    "Bandwidth",
    "Checkpoints",
    "Choice",
    "FileSystemModel",
    "Hold",
    "InputError",
    "IoModel",
    "IoPass",
    "IoPlan",
    "IoPolicy",
    "IoRequest",
    "IoView",
    "JobPlacement",
    "Ledger",
    "Model",
    "Move",
    "NodeSet",
    "Outcome",
    "Pass",
    "PhaseRequest",
    "PhaseVolume",
    "Placement",
    "Policy",
    "QueuePolicy",
    "QueueView",
    "RepeatedPlan",
    "ScoringPolicy",
    "Seconds",
    "Selection",
    "Setup",
    "Share",
    "Size",
    "SpaceRequest",
    "Start",
    "StartedJob",
    "Storage",
    "StorageView",
    "SystemView",
    "Traffic",
    "Transfer",
    "Volume",
    "WaitingJob",
    "add_internal",
    "draw",
    "equal_shares",
    "from_grid",
    "from_transfers",
    "make_policy",
    "read_grid",
    "start_in_order",
    "trial",
    "write_grid",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        from batfs.errors import nearest

        close = nearest(name, __all__)
        hint = f"; did you mean {close!r}?" if close else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    found = globals()[name] = getattr(importlib.import_module(module), name)
    return found


def __dir__() -> list[str]:
    return __all__


def trial(
    platform: str | PathLike[str] = "taurus_storage",
    workload: str | PathLike[str] = "io",
    *,
    first: int = 60,
    dynamic_jobs: bool = False,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """One run in memory, with every invariant checked; what ``batfs run --json`` would print. For tests.

    ``platform`` and ``workload`` are files, or names of those that come with batfs (``batfs list presets``);
    only the ``first`` jobs are run. ``settings`` are ``policy``, ``queue``, ``io_policy``, ``filesystem``
    (``"lustre=mine.py:Model"``, or several) as on the command line, or any key of the scheduler's
    configuration. Raises InputError.
    """
    import tempfile

    from batfs.campaign.settings import configured
    from batfs.decision.experiment import Experiment
    from batfs.decision.run import run
    from batfs.scheduling.config import Layer, Settings, parse_filesystem_flags

    systems = settings.pop("filesystem", [])
    base = parse_filesystem_flags([systems] if isinstance(systems, str) else list(systems))
    with tempfile.TemporaryDirectory(prefix="batfs-trial-") as folder:
        experiment = Experiment(
            platform=_platform(platform, Path(folder)),
            workloads=[_workload(workload, first, Path(folder))],
            dynamic_jobs=dynamic_jobs,
        )
        flags = configured({"validate": True, **base}, settings, seed)
        result = run(experiment, Settings(flags=Layer("the trial's settings", flags)), None)
    if result.deadlock:
        raise AssertionError(result.stuck)
    return result.summary


def _platform(name: str | PathLike[str], folder: Path) -> Path:
    from batfs.platform.generate import generate
    from batfs.platform.spec import make_spec, preset, presets

    if str(name) not in presets():
        return Path(name)
    path = folder / "platform.xml"
    path.write_text(generate(make_spec(preset(str(name)))), encoding="utf-8")
    return path


def _workload(name: str | PathLike[str], first: int, folder: Path) -> Path:
    from batfs.workload import read_workload, write_workload
    from batfs.workload.presets import PRESETS
    from batfs.workload.transform import Cut, cut

    whole = PRESETS[str(name)]("w0") if str(name) in PRESETS else read_workload(Path(name))
    path = folder / "workload.json"
    write_workload(path, cut(whole, Cut(first=first, keep_times=True)))
    return path
