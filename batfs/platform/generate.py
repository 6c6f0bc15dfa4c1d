"""A platform file from a :class:`~batfs.platform.spec.Spec`.

The outermost zone routes by Floyd over zones: the nodes, one zone per storage server, the core switch when
there are several racks, and the front end with the master host. Every storage has a read and a write link
of its own behind its server's cable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batfs.errors import InputError
from batfs.platform.chassis import Chassis, chassis_of, write_chassis
from batfs.platform.spec import Disks, Group, Nodes, Spec
from batfs.platform.topologies import expand_radical
from batfs.platform.writer import Writer
from batfs.units import parse_bandwidth

MASTER = "master_host"


@dataclass(slots=True)
class Attachment:
    """Where other zones join the network: a zone and its gateway."""

    zone: str
    gateway: str


@dataclass(slots=True)
class Target:
    """A storage host, its properties, and its links next to it."""

    name: str
    properties: dict[str, str]
    read_bandwidth: str
    write_bandwidth: str
    latency: str


@dataclass(slots=True)
class Server:
    """A zone of storages behind one cable; ``rack`` numbers the switch it hangs on (0: the core)."""

    name: str
    targets: list[Target]
    bandwidth: str
    latency: str
    rack: int = 0


def generate(spec: Spec, more: Sequence[Server] = ()) -> str:
    """The text of the platform; ``more`` servers stand beside those of the spec's groups.

    InputError for what can't be built.
    """
    out = Writer(spec.comment)
    parts = [(_title(group), servers_of(group)) for group in spec.groups()]
    if more:
        parts.append(("storages behind their servers", list(more)))
    servers = [server for _, members in parts for server in members]
    _check_names(spec, servers)
    with out.inside("zone", id="platform", routing="Floyd"):
        joints = _nodes(out, spec, len(servers) + 1)
        for title, members in parts:
            out.comment(title)
            for server in members:
                _server(out, server)
        out.comment("the front end: Batsim's master is no resource")
        with out.inside("zone", id="front", routing="Full"):
            out.element("host", id=MASTER, speed="1Gf")
        out.comment("cables of the servers and of the front end, each way on its own")
        for server in servers:
            out.link(f"{server.name}_cable", server.bandwidth, server.latency, "SPLITDUPLEX")
        out.link("front_cable", "1GBps", "10us", "SPLITDUPLEX")
        uplinks = _uplinks(out, spec) if spec.disks is None else []
        for rack, core in uplinks:
            cable = f"{rack.zone}_uplink:UP"
            out.route(rack.zone, core.zone, cable, gateways=(rack.gateway, core.gateway))
        for server, joint in zip(servers, joints, strict=False):
            if server.rack:
                rack_name = f"rack-{server.rack}"
                joint = Attachment("nodes" if spec.disks else rack_name, f"{rack_name}_switch")
            gateways = (f"{server.name}_nic", joint.gateway)
            out.route(server.name, joint.zone, f"{server.name}_cable:UP", gateways=gateways)
        joint = joints[len(servers)]
        out.route("front", joint.zone, "front_cable:UP", gateways=(MASTER, joint.gateway))
    return out.text()


def _check_names(spec: Spec, servers: Sequence[Server]) -> None:
    seen: set[str] = {MASTER}
    names = [f"{spec.nodes.name}{spec.nodes.first + i}" for i in range(spec.nodes.count)]
    for server in servers:
        names += [server.name, *(target.name for target in server.targets)]
    names += [one.rabbit for one in _chassis(spec)]
    for name in names:
        if name in seen:
            raise InputError(f"two hosts or servers would be named {name!r}")
        seen.add(name)


def _properties(
    file_system: str, size: str, read: str, write: str, model: str, mix: str = "", **more: str
) -> dict[str, str]:
    found = {"role": "storage", "size": size, "filesystem": file_system, **more}
    found |= {"read_bandwidth": read, "write_bandwidth": write}
    if mix:
        found |= {"shared_bandwidth": max(read, write, key=parse_bandwidth), "mix_efficiency": mix}
    return found | ({"model": model} if model else {})


# -- compute nodes --------------------------------------------------------------------------------------


def _nodes(out: Writer, spec: Spec, guests: int) -> list[Attachment]:
    """Write the nodes' zones; where each of ``guests`` other zones joins them."""
    nodes = spec.nodes
    if spec.rabbits is not None:
        chassis = _chassis(spec)
        cable = (nodes.bandwidth, nodes.latency)
        write_chassis(out, spec.rabbits, chassis, speed=nodes.speed, cores=nodes.cores, cable=cable)
        return [_joint(out, [one.name for one in chassis])] * guests
    if spec.disks is not None:
        return [_with_disks(out, nodes, spec.disks)] * guests
    if nodes.topology != "flat":
        return _computed(out, nodes, guests)
    what = f"{nodes.count} nodes, each with a full-duplex cable"
    out.comment(f"{what} to the switch" if nodes.racks == 1 else f"{what} to the switch of its rack")
    for number, (first, last) in enumerate(_racks(nodes), start=1):
        rack = f"rack-{number}"
        properties = {"rack": rack} if nodes.racks > 1 else None
        out.element(
            "cluster",
            properties,
            id=rack,
            prefix=nodes.name,
            suffix="",
            radical=f"{first}-{last}",
            speed=nodes.speed,
            core=str(nodes.cores) if nodes.cores > 1 else None,
            bw=nodes.bandwidth,
            lat=nodes.latency,
            router_id=f"{rack}_switch",
        )
    return [_joint(out, [f"rack-{number}" for number in range(1, nodes.racks + 1)])] * guests


def _joint(out: Writer, zones: Sequence[str]) -> Attachment:
    """Where others join zones with a switch each: the only one's, or that of the core."""
    if len(zones) == 1:
        return Attachment(zones[0], f"{zones[0]}_switch")
    with out.inside("zone", id="core", routing="Full"):
        out.element("router", id="core_switch")
    return Attachment("core", "core_switch")


def _chassis(spec: Spec) -> list[Chassis]:
    nodes, rabbits = spec.nodes, spec.rabbits
    return [] if rabbits is None else chassis_of(rabbits, nodes.count, nodes.first, nodes.name)


def _racks(nodes: Nodes) -> list[tuple[int, int]]:
    """First and last node number of each rack; the first racks get one more when it doesn't divide."""
    size, rest = divmod(nodes.count, nodes.racks)
    found, first = [], nodes.first
    for rack in range(nodes.racks):
        last = first + size + (rack < rest) - 1
        found.append((first, last))
        first = last + 1
    return found


def _uplinks(out: Writer, spec: Spec) -> list[tuple[Attachment, Attachment]]:
    nodes = spec.nodes
    zones = [one.name for one in _chassis(spec)] or [f"rack-{k}" for k in range(1, nodes.racks + 1)]
    if nodes.topology != "flat" or len(zones) == 1:
        return []
    core = Attachment("core", "core_switch")
    found = []
    for rack in zones:
        out.link(f"{rack}_uplink", nodes.uplink_bandwidth, nodes.uplink_latency, "SPLITDUPLEX")
        found.append((Attachment(rack, f"{rack}_switch"), core))
    return found


def _computed(out: Writer, nodes: Nodes, guests: int) -> list[Attachment]:
    radical = f"{nodes.first}-{nodes.first + nodes.count - 1}"
    expand_radical(radical)
    out.comment(f"{nodes.count} nodes; other zones join at nodes spread evenly over them")
    out.element(
        "cluster",
        id="nodes",
        prefix=nodes.name,
        suffix="",
        radical=radical,
        speed=nodes.speed,
        core=str(nodes.cores) if nodes.cores > 1 else None,
        bw=nodes.bandwidth,
        lat=nodes.latency,
        topology=nodes.topology.upper(),
        topo_parameters=nodes.parameters,
    )
    # SimGrid gives such clusters no router: what comes from outside enters by some node's cable
    return [
        Attachment("nodes", f"{nodes.name}{nodes.first + place * nodes.count // guests}")
        for place in range(guests)
    ]


def _with_disks(out: Writer, nodes: Nodes, disks: Disks) -> Attachment:
    racks = [
        (f"rack-{number}", [f"{nodes.name}{i}" for i in range(first, last + 1)])
        for number, (first, last) in enumerate(_racks(nodes), start=1)
    ]
    out.comment(
        f"{nodes.count} nodes, each with a disk of its own: read and write links lie between disk and node,\n"
        "so that local traffic stays off the network"
    )
    with out.inside("zone", id="nodes", routing="DijkstraCache"):
        for rack, names in racks:
            for name in names:
                mine = {"rack": rack} if nodes.racks > 1 else {}
                cores = str(nodes.cores) if nodes.cores > 1 else None
                out.element("host", mine, id=name, speed=nodes.speed, core=cores)
                properties = _properties(
                    disks.file_system,
                    disks.size,
                    disks.read_bandwidth,
                    disks.write_bandwidth,
                    disks.model,
                    disks.mix_efficiency,
                    node=name,
                    **mine,
                )
                out.element("host", properties, id=f"{name}_disk", speed="0f")
        for rack, _ in racks:
            out.element("router", id=f"{rack}_switch")
        if nodes.racks > 1:
            out.element("router", id="core_switch")
        for _, names in racks:
            for name in names:
                out.link(f"{name}_cable", nodes.bandwidth, nodes.latency, "SPLITDUPLEX")
                _own_links(
                    out,
                    *(f"{name}_disk", disks.read_bandwidth, disks.write_bandwidth, disks.latency),
                    shared=bool(disks.mix_efficiency),
                )
        if nodes.racks > 1:
            for rack, _ in racks:
                out.link(f"{rack}_uplink", nodes.uplink_bandwidth, nodes.uplink_latency, "SPLITDUPLEX")
        ways = ("_io", "_io") if disks.mix_efficiency else ("_read", "_write")
        for rack, names in racks:
            for name in names:
                out.route(name, f"{rack}_switch", f"{name}_cable:UP")
                read, write = (f"{name}_disk{way}" for way in ways)
                out.route(f"{name}_disk", name, read, symmetrical=False)
                out.route(name, f"{name}_disk", write, symmetrical=False)
        if nodes.racks > 1:
            for rack, _ in racks:
                out.route(f"{rack}_switch", "core_switch", f"{rack}_uplink:UP")
    return Attachment("nodes", "core_switch" if nodes.racks > 1 else "rack-1_switch")


# -- storages -------------------------------------------------------------------------------------------


def _own_links(
    out: Writer, name: str, read: str, write: str, latency: str, *, shared: bool
) -> tuple[str, str]:
    """Write the links next to a storage: the one for reads, the one for writes, which may be the same."""
    if shared:
        out.link(f"{name}_io", max(read, write, key=parse_bandwidth), latency)
        return f"{name}_io", f"{name}_io"
    out.link(f"{name}_read", read, latency)
    out.link(f"{name}_write", write, latency)
    return f"{name}_read", f"{name}_write"


def _title(group: Group) -> str:
    count = group.servers * group.targets
    behind = "a server" if group.servers == 1 else f"{group.servers} servers"
    return f"file system {group.file_system!r}: {count} storage(s) behind {behind}"


def servers_of(group: Group) -> list[Server]:
    """The servers of a group with their storages."""
    targets = group.target_names()
    found = []
    for k, name in enumerate(group.server_names()):
        rack = k % group.racks + 1 if group.racks else 0
        more = {"server": name} | ({"rack": f"rack-{rack}"} if rack else {})
        read, write = group.read_bandwidth, group.write_bandwidth
        mix = group.mix_efficiency
        properties = _properties(group.file_system, group.size, read, write, group.model, mix, **more)
        mine = [
            Target(target, properties, read, write, group.latency)
            for target in targets[k * group.targets : (k + 1) * group.targets]
        ]
        found.append(Server(name, mine, group.server_bandwidth, group.server_latency, rack))
    return found


def _server(out: Writer, server: Server) -> None:
    with out.inside("zone", id=server.name, routing="Cluster"):
        for target in server.targets:
            out.element("host", target.properties, id=target.name, speed="0f")
        out.element("router", id=f"{server.name}_nic")
        ways = [
            _own_links(
                out,
                *(target.name, target.read_bandwidth, target.write_bandwidth, target.latency),
                shared="shared_bandwidth" in target.properties,
            )
            for target in server.targets
        ]
        for target, (read, write) in zip(server.targets, ways, strict=True):
            out.element("host_link", id=target.name, up=read, down=write)
