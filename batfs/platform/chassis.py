"""Chassis of nodes with near-node storage: a Rabbit that the nodes of its chassis reach over PCIe.

Of each chassis the nodes and the Rabbit hang on a switch by cables of their own; between a node and the
Rabbit of its chassis lies a second way, the node's PCIe link. The zone routes by Floyd, which takes the way
with the fewest links: two over PCIe against three over the switch from a node to its Rabbit, and from node
to node the switch, never the Rabbit. Whoever is elsewhere comes by the network. Sources:
docs/background/rabbit.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from batfs.errors import InputError
from batfs.platform.writer import Writer
from batfs.units import parse_bandwidth, parse_size


@dataclass(slots=True)
class Rabbits:
    """A Rabbit in every chassis of nodes.

    ``drives`` stand in it, of which ``spares`` hold nothing until another fails; ``size``, ``read_bandwidth``
    and ``write_bandwidth`` are of one drive. Every allocation lies on all the drives in use, so one storage
    stands for them: their sizes and bandwidths together. ``nodes`` a chassis; ``chassis``: how many, 0 for as
    many as there are nodes for (the last one has the rest).
    ``node_bandwidth``: of the PCIe link of each node; ``cable_bandwidth``: of the Rabbit's to the network.
    """

    file_system: str = "rabbit"
    nodes: int = 16
    chassis: int = 0
    chassis_per_rack: int = 8
    drives: int = 18
    spares: int = 2
    size: str = "1.92TB"
    read_bandwidth: str = "6.5GBps"
    write_bandwidth: str = "2.7GBps"
    latency: str = "80us"
    node_bandwidth: str = "7.8GBps"
    node_latency: str = "1us"
    cable_bandwidth: str = "50GBps"
    cable_latency: str = "2us"
    rabbit: str = "rabbit-"
    model: str = "rabbit"

    def check(self) -> None:
        """InputError for a Rabbit without a drive in use."""
        if self.spares >= self.drives:
            raise InputError(f"{self.spares} spares of {self.drives} drives leave none in use")

    def properties(self, chassis: Chassis) -> dict[str, str]:
        """Of the storage that stands for the drives in use of one Rabbit."""
        return {
            "role": "storage",
            "size": f"{self._together(parse_size(self.size))}B",
            "filesystem": self.file_system,
            "chassis": chassis.name,
            "rack": chassis.rack,
            "read_bandwidth": self._bandwidth(self.read_bandwidth),
            "write_bandwidth": self._bandwidth(self.write_bandwidth),
            "drives": str(self.drives),
            "spares": str(self.spares),
            **({"model": self.model} if self.model else {}),
        }

    def _bandwidth(self, of_one: str) -> str:
        return f"{self._together(parse_bandwidth(of_one))}Bps"

    def _together(self, of_one: float) -> str:
        return f"{of_one * (self.drives - self.spares):.15g}"


@dataclass(slots=True)
class Chassis:
    """One chassis: its names, and the numbers of its first and last node."""

    name: str
    rack: str
    rabbit: str
    first: int
    last: int
    nodes: list[str] = field(default_factory=list)


def chassis_of(rabbits: Rabbits, count: int, first: int, prefix: str) -> list[Chassis]:
    """The chassis of ``count`` nodes numbered from ``first``. Numbers are padded, as Batsim's ids follow
    names."""
    number = -(-count // rabbits.nodes)
    wide, racks = len(str(number)), len(str(-(-number // rabbits.chassis_per_rack)))
    found = []
    for k in range(number):
        begin = first + k * rabbits.nodes
        last = min(begin + rabbits.nodes, first + count) - 1
        names = [f"{prefix}{i}" for i in range(begin, last + 1)]
        rack = f"rack-{k // rabbits.chassis_per_rack + 1:0{racks}d}"
        label = f"{k + 1:0{wide}d}"
        found.append(Chassis(f"chassis-{label}", rack, f"{rabbits.rabbit}{label}", begin, last, names))
    return found


def write_chassis(
    out: Writer,
    rabbits: Rabbits,
    chassis: Sequence[Chassis],
    *,
    speed: str,
    cores: int,
    cable: tuple[str, str],
) -> None:
    """A zone for each chassis; ``cable``: bandwidth and latency of a node's to the switch."""
    properties = rabbits.properties(chassis[0])
    out.comment(
        f"{len(chassis)} chassis: nodes, and a Rabbit of {rabbits.drives} drives ({rabbits.spares} spares)\n"
        "that they reach over PCIe links of their own; all else goes over the switch"
    )
    for one in chassis:
        mine = {"chassis": one.name, "rack": one.rack}
        with out.inside("zone", id=one.name, routing="Floyd"):
            for node in one.nodes:
                out.element("host", mine, id=node, speed=speed, core=str(cores) if cores > 1 else None)
            out.element("host", {**properties, **mine}, id=one.rabbit, speed="0f")
            out.element("router", id=f"{one.name}_switch")
            for node in one.nodes:
                out.link(f"{node}_cable", *cable, "SPLITDUPLEX")
                out.link(f"{node}_pcie", rabbits.node_bandwidth, rabbits.node_latency, "SPLITDUPLEX")
            out.link(f"{one.rabbit}_cable", rabbits.cable_bandwidth, rabbits.cable_latency, "SPLITDUPLEX")
            for way in ("read", "write"):
                out.link(f"{one.rabbit}_{way}", properties[f"{way}_bandwidth"], rabbits.latency)
            ends = [(node, f"{node}_pcie:UP", f"{node}_pcie:DOWN") for node in one.nodes]
            ends.append((f"{one.name}_switch", f"{one.rabbit}_cable:DOWN", f"{one.rabbit}_cable:UP"))
            for node in one.nodes:
                out.route(node, f"{one.name}_switch", f"{node}_cable:UP")
            for end, towards, away in ends:
                out.route(end, one.rabbit, towards, f"{one.rabbit}_write", symmetrical=False)
                out.route(one.rabbit, end, f"{one.rabbit}_read", away, symmetrical=False)
