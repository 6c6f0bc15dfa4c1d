"""The file systems of the machine that the simulator announced, as the configuration wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batfs.filesystems.interface import Topology
from batfs.filesystems.site import FileSystems, make_filesystems
from batfs.protocol.messages import Resource
from batfs.scheduling.config import Configuration
from batfs.scheduling.core import MakeFiles


def make_files(
    config: Configuration, compute: Sequence[Resource], storages: Sequence[Resource], dynamic_jobs: bool
) -> FileSystems:
    """For :class:`~batfs.scheduling.core.Scheduler`; reads ``config.platform`` if there is one."""
    platform: Topology | None = None
    if config.platform is not None:
        from batfs.platform import load_platform

        platform = load_platform(config.platform)
    return make_on(config, compute, storages, dynamic_jobs, platform)


def files_on(platform: Topology) -> MakeFiles:
    """:func:`make_on` with the platform filled in, for :class:`~batfs.scheduling.core.Scheduler`."""

    def make(
        config: Configuration, compute: Sequence[Resource], storages: Sequence[Resource], dynamic_jobs: bool
    ) -> FileSystems:
        return make_on(config, compute, storages, dynamic_jobs, platform)

    return make


def make_on(
    config: Configuration,
    compute: Sequence[Resource],
    storages: Sequence[Resource],
    dynamic_jobs: bool,
    platform: Topology | None,
) -> FileSystems:
    """The same with a platform that was read already, or none."""
    settings: dict[str, Any] = {
        "filesystem": config.filesystem,
        "default_filesystem": config.default_filesystem,
        "staging": config.staging,
        "policy": config.policy,
        "filesystems": config.filesystems,
        "chunk": config.chunk,
    }
    return make_filesystems(settings, compute, storages, platform=platform, dynamic_jobs=dynamic_jobs)
