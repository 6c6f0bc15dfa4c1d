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
class Host:
    """One host of a system file: its name, where clients reach it, its disks."""

    name: str
    address: str
    disks: list[Disk]


def read_host(path: Path, name: str | None) -> Host:
    """The host called ``name`` (or the only one) in StorAlloc's YAML or the same in TOML."""
    hosts = {host.name: host for host in read_system(path)}
    if name is None:
        if len(hosts) != 1:
            raise InputError(
                f"holds {len(hosts)} hosts", file=path, hint=f"--host one of: {', '.join(hosts)}"
            )
        name = next(iter(hosts))
    if name not in hosts:
        raise unknown("host", name, hosts, file=path)
    host = hosts[name]
    disks = [
        Disk(
            name=disk.name,
            capacity=disk.capacity,
            node=host.name,
            read_bandwidth=disk.read_bandwidth or 0.0,
            write_bandwidth=disk.write_bandwidth or 0.0,
            network_bandwidth=host.network_bandwidth or 0.0,
            device=disk.device,
        )
        for disk in host.disks
    ]
    return Host(host.name, host.address, disks)


def make_backend(args: argparse.Namespace, host: Host) -> Backend:
    """The back end the flags of ``batfs service server`` name."""
    if args.backend == "simulated":
        return Simulated(host.name, args.journal)
    if args.backend == "directory":
        if args.root is None:
            raise InputError("the directory back end needs --root DIR")
        return Directory(host.name, args.root, args.kind)
    return Nvmet(
        host.name,
        {disk.name: disk.device for disk in host.disks},
        Port(args.address or host.address, args.port, args.transport),
        carve=args.carve,
        configfs=args.configfs or CONFIGFS,
        system=DryRun() if args.dry_run else None,
    )
