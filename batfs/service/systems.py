"""A server's host and disks out of a system file, and the back end its flags ask for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from batfs.errors import InputError, unknown
from batfs.service.backends.directory import Directory
from batfs.service.backends.interface import Backend
from batfs.service.backends.nvmet import CONFIGFS, DryRun, Nvmet, Port
from batfs.service.backends.simulated import Simulated
from batfs.service.messages import Disk
from batfs.workload.storalloc import read_system


@dataclass(frozen=True, slots=True)
class Site:
    """What one server process holds: its name, where clients reach it, and the disks of its nodes."""

    name: str
    address: str
    disks: list[Disk]


def read_site(path: Path, host: str | None, name: str | None = None) -> Site:
    """The nodes and disks of a system file (StorAlloc's YAML, or TOML): all its hosts, or only ``host``.

    A disk is called by its name in the file; with several hosts ``host.disk``. The server is called ``name``,
    or as its only host, or as the file.
    """
    hosts = {found.name: found for found in read_system(path)}
    if host is not None and host not in hosts:
        raise unknown("host", host, hosts, file=path)
    chosen = list(hosts.values()) if host is None else [hosts[host]]
    if not chosen or not any(found.disks for found in chosen):
        raise InputError("holds no disk", file=path)
    disks = [
        Disk(
            name=disk.name if len(chosen) == 1 else f"{found.name}.{disk.name}",
            capacity=disk.capacity,
            node=found.name,
            read_bandwidth=disk.read_bandwidth,
            write_bandwidth=disk.write_bandwidth,
            network_bandwidth=found.network_bandwidth,
            device=disk.device,
        )
        for found in chosen
        for disk in found.disks
    ]
    return Site(name or (chosen[0].name if len(chosen) == 1 else path.stem), chosen[0].address, disks)


def make_backend(args: argparse.Namespace, site: Site) -> Backend:
    """The back end the flags of ``batfs service server`` name."""
    if args.backend == "simulated":
        return Simulated(site.name, args.journal)
    if args.backend == "directory":
        if args.root is None:
            raise InputError("the directory back end needs --root DIR")
        return Directory(site.name, args.root, args.kind)
    return Nvmet(
        site.name,
        {disk.name: disk.device for disk in site.disks},
        Port(args.address or site.address, args.port, args.transport),
        carve=args.carve,
        configfs=args.configfs or CONFIGFS,
        system=DryRun() if args.dry_run else None,
    )
