"""Batsim's resource ids: which host is the master, which are compute nodes, which are storages.

The rules are those of Batsim 4.2.1's ``machines.cpp``: compute hosts in byte-wise order of their names,
then storages in the same order (``n10`` comes before ``n2``). Batsim 5 (5.0.0-rc2) puts compute hosts in
natural order, storages still in byte order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from batfs.errors import InputError, nearest
from batfs.platform.machine import Platform
from batfs.platform.model import Host
from batfs.records import record

COMPUTE, STORAGE, MASTER = "compute_node", "storage", "master"
ROLES = (COMPUTE, MASTER, STORAGE)
#: The property ``service`` of the ends of throttles: see ``batfs.platform.throttles``.
THROTTLE = "throttle"


@record
class MachineResource:
    """A resource as Batsim numbers it; ``host`` is the index in ``Platform.hosts``.

    ``properties`` always has ``role``: empty for a compute node without one, as Batsim reports it. In Batsim
    5 a host without role has no such property.
    """

    id: int
    name: str
    host: int
    role: str
    properties: Mapping[str, str]
    zone_properties: Mapping[str, str]


class Machine:
    """Resources by id: compute nodes first, then storages; ``master`` is a host index without an id."""

    __slots__ = ("by_name", "master", "nb_compute", "nb_storage", "platform", "resources")

    def __init__(
        self,
        platform: Platform,
        master: int,
        resources: list[MachineResource],
        nb_compute: int,
        nb_storage: int,
    ) -> None:
        self.platform = platform
        self.master = master
        self.resources = resources
        self.nb_compute = nb_compute
        self.nb_storage = nb_storage
        self.by_name = {resource.name: resource for resource in resources}

    @property
    def compute(self) -> list[MachineResource]:
        return self.resources[: self.nb_compute]

    @property
    def storages(self) -> list[MachineResource]:
        """Without the ends of throttles (see ``batfs.platform.throttles``)."""
        return [r for r in self.resources[self.nb_compute :] if r.properties.get("service") != THROTTLE]

    def resource(self, name: str) -> MachineResource:
        """The resource of a host; InputError when it has none."""
        found = self.by_name.get(name)
        if found is None:
            close = nearest(name, self.by_name)
            raise InputError(
                f"no resource named {name!r}",
                file=self.platform.file,
                hint=f"did you mean {close!r}?" if close else None,
            )
        return found


def _given_roles(platform: Platform, master: str, roles: Sequence[str]) -> dict[str, str]:
    """Roles from the command line by host name; later entries win."""
    given: dict[str, str] = {}
    for entry in (f"{master}:{MASTER}", *roles):
        names, colon, role = entry.rpartition(":")
        if not colon or not names or not role:
            raise InputError(f"a role is given as 'host1,host2:role', found {entry!r}")
        for name in names.split(","):
            given[name] = role
    return given


def _role_of(host: Host, given: str | None, master: str, platform: Platform) -> str:
    declared = host.properties.get("role")
    role = declared or ""
    if given is not None:
        role = f"{declared},{given}" if declared else given
    if role in ("", *ROLES):
        return role or COMPUTE
    place = f"line {host.line}"
    if declared and given is not None:
        source = "as the master host (-m)" if given == MASTER and host.name == master else "by -r"
        raise InputError(
            f"the host {host.name!r} is given a role twice: {declared!r} in the file and {given!r} {source}, "
            f"which Batsim reads as the role {role!r}",
            file=platform.file,
            place=place,
            hint=f"remove one; the master is {master!r} unless -m names another",
        )
    close = nearest(role, ROLES)
    raise InputError(
        f"the host {host.name!r} has the unknown role {role!r}; expected one of {', '.join(ROLES)}",
        file=platform.file,
        place=place,
        hint=f"did you mean {close!r}?" if close else None,
    )


def natural_order(name: str) -> tuple[list[tuple[int, int]], bytes]:
    """The key by which Batsim 5 sorts compute hosts: runs of digits compare as numbers, the rest byte by
    byte; names that are equal so, byte by byte."""
    text = name.encode()
    runs = re.findall(rb"[0-9]+|[^0-9]", text)
    return [(48, int(run)) if run[0] in b"0123456789" else (run[0], 0) for run in runs], text


def number_resources(
    platform: Platform,
    *,
    master: str = "master_host",
    roles: Sequence[str] = (),
    limit: int | None = None,
    generation: int = 4,
) -> Machine:
    """Number hosts as Batsim does with ``-m master``, ``-r roles`` and ``--mmax limit``.

    ``limit`` keeps that many compute nodes, the first by id; None or 0 keeps all. InputError where Batsim
    aborts: no master or two, unknown or doubled roles, a compute node without speed, a limit too large.
    ``generation`` 5: as Batsim 5 does, which also takes roles of hosts that don't exist.
    """
    machine, faults = survey(platform, master=master, roles=roles, limit=limit, generation=generation)
    if faults:
        raise faults[0]
    return machine


def survey(
    platform: Platform,
    *,
    master: str = "master_host",
    roles: Sequence[str] = (),
    limit: int | None = None,
    generation: int = 4,
) -> tuple[Machine, list[InputError]]:
    """:func:`number_resources` that goes on after a fault: what can be numbered, and every fault.

    Hosts whose role isn't clear are left out; ``master`` is -1 when there is none. InputError only for roles
    that can't be read.
    """
    given = _given_roles(platform, master, roles)
    masters: list[Host] = []
    faults: list[InputError] = []
    by_role: dict[str, list[Host]] = {COMPUTE: [], STORAGE: []}
    # code points sort as their UTF-8 bytes do
    for host in sorted(platform.hosts, key=lambda host: host.name):
        try:
            role = _role_of(host, given.get(host.name), master, platform)
        except InputError as error:
            faults.append(error)
            continue
        if role == MASTER:
            masters.append(host)
        elif role == COMPUTE and host.speed <= 0:
            faults.append(
                InputError(
                    f"the compute node {host.name!r} has speed 0",
                    file=platform.file,
                    place=f"line {host.line}",
                    hint="a storage needs role 'storage', the master -m or role 'master'",
                )
            )
        else:
            by_role[role].append(host)
    for name in given if generation == 4 else ():
        if name not in platform.host_index and name != master:
            close = nearest(name, platform.host_index)
            faults.append(
                InputError(
                    f"-r names the host {name!r}, which the platform doesn't have",
                    file=platform.file,
                    hint=f"did you mean {close!r}?" if close else None,
                )
            )
    if not masters:
        faults.append(
            InputError(
                f"no host has the role 'master': there is no host {master!r}, and no role says so",
                file=platform.file,
                hint="name it with -m HOST",
            )
        )
    if len(masters) > 1:
        names = " and ".join(repr(host.name) for host in masters[:2])
        faults.append(InputError(f"there are two master hosts: {names}", file=platform.file))
    compute = by_role[COMPUTE]
    if generation == 5:
        compute.sort(key=lambda host: natural_order(host.name))
    if limit:
        if limit > len(compute):
            problem = f"--mmax {limit}: the platform has only {len(compute)} compute nodes"
            faults.append(InputError(problem, file=platform.file))
        compute = compute[:limit]
    resources: list[MachineResource] = []
    for role, hosts in ((COMPUTE, compute), (STORAGE, by_role[STORAGE])):
        for host in hosts:
            properties = dict(host.properties)
            if host.name in given:
                properties["role"] = role
            if generation == 4:
                properties.setdefault("role", "")
            resources.append(
                MachineResource(len(resources), host.name, host.index, role, properties, host.zone_properties)
            )
    first = masters[0].index if masters else -1
    return Machine(platform, first, resources, len(compute), len(by_role[STORAGE])), faults
