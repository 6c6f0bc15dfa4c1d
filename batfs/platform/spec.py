"""What ``batfs platform new`` is told: nodes, network and storages, as records with checked values.

Values are texts as they will stand in the platform (``"150MBps"``, ``"0.11ms"``, ``"4TB"``), or whole
numbers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from batfs import texts
from batfs.errors import InputError, unknown
from batfs.platform.chassis import Rabbits
from batfs.units import parse_bandwidth, parse_part, parse_size, parse_speed, parse_time

TOPOLOGIES = ("flat", "torus", "fat_tree", "dragonfly")


@dataclass(slots=True)
class Nodes:
    """The compute nodes and the network between them.

    ``topology`` flat: every node has a full-duplex cable to the switch of its rack, racks one to the core.
    Others: SimGrid's clusters of that name with ``parameters``; ``racks`` is then not used.
    ``first`` is the first node's number: 1000 rather than 0 keeps Batsim's ids in numeric order.
    """

    count: int = 16
    name: str = "node-"
    first: int = 0
    speed: str = "1Gf"
    cores: int = 1
    topology: str = "flat"
    parameters: str = ""
    racks: int = 1
    bandwidth: str = "1.25GBps"
    latency: str = "20us"
    uplink_bandwidth: str = "5GBps"
    uplink_latency: str = "5us"


@dataclass(slots=True)
class Disks:
    """A disk in every node (a file system of its own, usually under a distributed one).

    With a ``mix_efficiency`` reads and writes share one link, as on a hard disk, and reach together this part
    of it while both are under way (1: all of it).
    """

    file_system: str = "disk"
    size: str = "500GB"
    read_bandwidth: str = "150MBps"
    write_bandwidth: str = "80MBps"
    latency: str = "0.11ms"
    model: str = ""
    mix_efficiency: str = ""


@dataclass(slots=True)
class Group:
    """Storage targets behind servers; each server has a full-duplex cable to the network.

    ``server`` and ``target`` begin the names; a number follows, but for the only one of a name that doesn't
    end with a dash. ``racks``: servers are spread over that many racks (0: they hang on the core switch).
    ``mix_efficiency``: see ``Disks``.
    """

    file_system: str
    servers: int
    targets: int
    size: str
    read_bandwidth: str
    write_bandwidth: str
    latency: str
    server: str
    target: str
    server_bandwidth: str = "1.25GBps"
    server_latency: str = "20us"
    racks: int = 0
    model: str = ""
    mix_efficiency: str = ""

    def server_names(self) -> list[str]:
        return _numbered(self.server, self.servers)

    def target_names(self) -> list[str]:
        """Names of all targets; those of the first server come first."""
        return _numbered(self.target, self.servers * self.targets)


def _numbered(prefix: str, count: int) -> list[str]:
    if count == 1 and not prefix.endswith("-"):
        return [prefix]
    return [f"{prefix}{number}" for number in range(1, count + 1)]


def _central() -> Group:
    return Group("nfs", 1, 1, "20TB", "500MBps", "300MBps", "0.2ms", "nfs_server", "nfs")


def _pfs() -> Group:
    group = Group("lustre", 4, 2, "40TB", "1.2GBps", "900MBps", "0.5ms", "oss-", "ost-")
    group.server_bandwidth = "2.5GBps"
    return group


def _buffers() -> Group:
    group = Group("bb", 2, 1, "3TB", "3GBps", "2GBps", "30us", "bb-node-", "bb-")
    group.server_bandwidth, group.model = "5GBps", "burst_buffer"
    return group


def _nvme() -> Group:
    group = Group("nvme", 2, 4, "3.2TB", "3.2GBps", "2.9GBps", "10us", "nvme-node-", "nvme-")
    group.server_bandwidth, group.model = "12.5GBps", "nvme_pool"
    return group


@dataclass(slots=True)
class Spec:
    """A whole platform; sections that are None are left out."""

    nodes: Nodes = field(default_factory=Nodes)
    disks: Disks | None = None
    central: Group | None = None
    pfs: Group | None = None
    burst_buffers: Group | None = None
    nvme: Group | None = None
    rabbits: Rabbits | None = None
    comment: str = ""

    def groups(self) -> list[Group]:
        """The storages behind servers, in the order they are written."""
        return [group for group in (self.central, self.pfs, self.burst_buffers, self.nvme) if group]


SECTIONS: dict[str, Callable[[], Nodes | Disks | Group | Rabbits]] = {
    "nodes": Nodes,
    "disks": Disks,
    "central": _central,
    "pfs": _pfs,
    "burst_buffers": _buffers,
    "nvme": _nvme,
    "rabbits": Rabbits,
}


def make_spec(document: Mapping[str, Any], *, file: Path | None = None) -> Spec:
    """A spec of ``{section: {key: value}}``; what isn't said has its default. InputError names the place."""
    spec = Spec()
    for name, table in document.items():
        if name == "comment":
            spec.comment = str(table)
            continue
        if name not in SECTIONS:
            raise unknown("section", name, SECTIONS, file=file)
        if table is False:
            continue
        if table is True:
            table = {}
        if not isinstance(table, Mapping):
            raise InputError(f"expected a table, found {table!r}", file=file, place=name)
        record = SECTIONS[name]()
        known = {entry.name: entry for entry in fields(record)}
        for key, value in table.items():
            if key not in known:
                raise unknown("key", key, known, file=file, place=f"{name}.{key}")
            setattr(record, key, _value(key, value, getattr(record, key), file, f"{name}.{key}"))
        setattr(spec, name, record)
    if spec.nodes.topology not in TOPOLOGIES:
        raise unknown("topology", spec.nodes.topology, TOPOLOGIES, file=file, place="nodes.topology")
    if spec.nodes.topology != "flat":
        if not spec.nodes.parameters:
            raise InputError(
                f"the topology {spec.nodes.topology!r} needs parameters, such as '3,2;4,1;3,1;2' (dragonfly)",
                file=file,
                place="nodes.parameters",
            )
        if spec.disks is not None:
            raise InputError(
                f"disks in nodes need the topology 'flat', found {spec.nodes.topology!r}",
                file=file,
                place="disks",
            )
    if spec.rabbits is not None:
        if spec.rabbits.chassis:
            spec.nodes.count = spec.rabbits.chassis * spec.rabbits.nodes
        _check_rabbits(spec, spec.rabbits, file)
    racks = spec.nodes.racks if spec.nodes.topology == "flat" and spec.rabbits is None else 0
    for name, group in (
        ("central", spec.central),
        ("pfs", spec.pfs),
        ("burst_buffers", spec.burst_buffers),
        ("nvme", spec.nvme),
    ):
        if group is not None and group.racks > racks:
            raise InputError(
                f"{group.racks} racks of servers, but {racks} of nodes", file=file, place=f"{name}.racks"
            )
    if spec.nodes.racks < 1:
        raise InputError("must be above 0: each node is in a rack", file=file, place="nodes.racks")
    if spec.nodes.racks > spec.nodes.count:
        raise InputError(
            f"{spec.nodes.racks} racks for {spec.nodes.count} nodes", file=file, place="nodes.racks"
        )
    _back(spec)
    return spec


def _back(spec: Spec) -> None:
    """Burst buffers stage from the shared file system that there is, unless they name another, or none
    (``model = "burst_buffer:backing="``)."""
    behind = spec.pfs or spec.central
    if behind is None:
        return
    for held in (spec.disks, *spec.groups()):
        if held is None or held is behind:
            continue
        name, _, options = held.model.partition(":")
        if name == "burst_buffer" and not any(o.startswith("backing=") for o in options.split(",")):
            held.model = f"{name}:{f'{options},' if options else ''}backing={behind.file_system}"


def _check_rabbits(spec: Spec, rabbits: Rabbits, file: Path | None) -> None:
    nodes = spec.nodes
    for wrong, problem, place in (
        (
            spec.disks is not None,
            "nodes have either disks of their own or a Rabbit in their chassis",
            "disks",
        ),
        (
            nodes.topology != "flat",
            f"chassis need the topology 'flat', found {nodes.topology!r}",
            "nodes.topology",
        ),
        (nodes.racks > 1, "racks are counted in chassis here: rabbits.chassis_per_rack", "nodes.racks"),
    ):
        if wrong:
            raise InputError(problem, file=file, place=place)
    try:
        rabbits.check()
    except InputError as error:
        raise error.at(file, "rabbits.spares") from None


_PARSERS = (
    ("size", parse_size),
    ("bandwidth", parse_bandwidth),
    ("latency", parse_time),
    ("speed", parse_speed),
    ("mix_efficiency", parse_part),
)


# of anything counted: a platform is written out host by host
MOST = 10_000_000


def _value(key: str, value: Any, default: Any, file: Path | None, place: str) -> Any:
    try:
        if isinstance(default, int):
            if isinstance(value, str):
                value = int(value)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InputError(f"expected a whole number, found {value!r}")
            if value > MOST:
                raise InputError(f"{value} is more than any machine has ({MOST} at most)")
            if value == 0 and key not in ("first", "racks", "spares", "chassis"):
                raise InputError("must be above 0")
            return value
        if not isinstance(value, str):
            raise InputError(f"expected a text, found {value!r}")
        for suffix, parse in _PARSERS:
            if key == suffix or key.endswith(f"_{suffix}"):
                parse(value)
        return value
    except ValueError:
        raise InputError(f"expected a whole number, found {value!r}", file=file, place=place) from None
    except InputError as error:
        raise error.at(file, place) from None


def read_spec(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; InputError for anything that isn't TOML."""
    try:
        return tomllib.loads(texts.utf8_text(path))
    except ValueError as error:  # no TOML, or a number with thousands of digits
        raise InputError(f"not TOML: {error}", file=path) from error


def presets() -> dict[str, str]:
    """Names and texts of the specs that come with batfs."""
    folder = resources.files("batfs.platform") / "presets"
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }


def preset(name: str) -> dict[str, Any]:
    """The tables of a preset; InputError lists the known ones."""
    known = presets()
    if name not in known:
        raise unknown("preset", name, known)
    return tomllib.loads(known[name])
