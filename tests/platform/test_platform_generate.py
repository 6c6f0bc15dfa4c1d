"""``batfs platform new``: the project's platforms come from it, and SimGrid reads what it makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.platform import load_platform, number_resources
from batfs.platform.spec import presets
from batfs.platform.writer import Writer

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ROOT / "platforms"
LARGE = {"theta", "elcapitan"}  # made when they are wanted
Ask = Callable[..., dict[str, Any]]


def test_the_projects_platforms_are_made_by_it(tmp_path: Path) -> None:
    names = sorted(file.stem for file in PLATFORMS.glob("*.xml"))
    assert names == sorted(set(presets()) - LARGE)
    for name in names:
        out = tmp_path / f"{name}.xml"
        assert main(["platform", "new", name, "-o", str(out)]) == 0
        assert out.read_bytes() == (PLATFORMS / f"{name}.xml").read_bytes()


def test_the_worked_example_is_numbered_as_documented() -> None:
    machine = number_resources(load_platform(PLATFORMS / "io_example.xml"))
    names = {resource.id: resource.name for resource in machine.resources}
    assert [names[i] for i in (0, 1, 2, 3, 10)] == [
        "node-0",
        "node-1",
        "node-0_disk",
        "node-1_disk",
        "shared_storage",
    ]
    assert [machine.resources[i].properties["node"] for i in (2, 3)] == ["node-0", "node-1"]
    assert machine.nb_compute == 2


def test_disks_are_as_documented() -> None:
    platform = load_platform(PLATFORMS / "taurus_storage.xml")
    for k in range(1, 17):
        node, disk = platform.host_index[f"taurus-{k}"], platform.host_index[f"taurus-{k}_disk"]
        (read,) = platform.route(disk, node).links
        (write,) = platform.route(node, disk).links
        assert (platform.links[read].bandwidth, platform.links[read].latency) == (150e6, 0.11 * 1e-3)
        assert (platform.links[write].bandwidth, platform.links[write].latency) == (80e6, 0.11 * 1e-3)


def compare(file: Path, simgrid: Ask, step: int = 1) -> None:
    platform = load_platform(file)
    names = [host.name for host in platform.hosts]
    pairs = [(a, b) for i, a in enumerate(names) for j, b in enumerate(names) if (i + j) % step == 0]
    answer = simgrid(file, pairs)
    assert sorted(entry[0] for entry in answer["hosts"]) == sorted(names)
    assert {link.name: [link.bandwidth, link.latency] for link in platform.links} == answer["links"]
    for a, b, links, latency in answer["routes"]:
        route = platform.route(platform.host_index[a], platform.host_index[b])
        assert ([platform.links[link].name for link in route.links], route.latency) == (links, latency)
    # the order of SimGrid's hosts is the order of Batsim's ids
    machine = number_resources(platform)
    order = [entry[0] for entry in answer["hosts"]]
    for part in (machine.compute, machine.storages):
        places = [order.index(resource.name) for resource in part]
        assert places == sorted(places)


@pytest.mark.parametrize("name", sorted(set(presets()) - LARGE))
def test_simgrid_reads_the_projects_platforms(name: str, simgrid: Ask) -> None:
    compare(PLATFORMS / f"{name}.xml", simgrid, step=1 if name in ("taurus_storage", "io_example") else 9)


@pytest.mark.slow
def test_theta(tmp_path: Path, simgrid: Ask) -> None:
    file = tmp_path / "theta.xml"
    assert main(["platform", "new", "theta", "-o", str(file)]) == 0
    machine = number_resources(load_platform(file))
    assert (machine.nb_compute, machine.nb_storage) == (4392, 56)
    # ids follow the numbers of the nodes
    assert [r.name for r in machine.compute[:3]] == ["theta-1000", "theta-1001", "theta-1002"]
    compare(file, simgrid, step=9001)


@pytest.mark.parametrize("chassis", [1, 3, 72])
def test_a_rabbit_is_near_its_chassis_and_far_from_the_others(
    chassis: int, tmp_path: Path, simgrid: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """16 drives in use of 18, of 1.92 TB, 6.5 and 2.7 GB/s: 30.72 TB, 104 and 43.2 GB/s."""
    file = tmp_path / "ec.xml"
    assert main(["platform", "new", "elcapitan", "--chassis", str(chassis), "-o", str(file)]) == 0
    assert f"{chassis * 16} compute nodes, {chassis + 32} storages" in capsys.readouterr().out
    platform = load_platform(file)
    machine = number_resources(platform)
    rabbits = [s for s in machine.storages if s.properties["filesystem"] == "rabbit"]
    assert {s.properties["size"] for s in rabbits} == {"30720000000000B"}
    assert [s.properties["chassis"] for s in rabbits] == sorted(s.properties["chassis"] for s in rabbits)
    bandwidths = {link.name: link.bandwidth for link in platform.links}

    def route(a: str, b: str) -> list[str]:
        links = platform.route(platform.host_index[a], platform.host_index[b]).links
        return [platform.links[link].name for link in links]

    mine, name = (
        [n for n in machine.compute if n.properties["chassis"] == "chassis-" + "1".zfill(len(str(chassis)))],
        rabbits[0].name,
    )
    assert (len(mine), mine[0].name) == (16, "node-1000")
    for node in mine:
        assert route(node.name, name) == [f"{node.name}_pcie_UP", f"{name}_write"]
        assert route(name, node.name) == [f"{name}_read", f"{node.name}_pcie_DOWN"]
    assert route("node-1000", "node-1015") == ["node-1000_cable_UP", "node-1015_cable_DOWN"]
    assert (bandwidths[f"{name}_read"], bandwidths[f"{name}_write"]) == (104e9, 43.2e9)
    if chassis > 1:
        far = route(machine.compute[16].name, name)
        assert not any("pcie" in link for link in far)
        assert far[-2:] == [f"{name}_cable_DOWN", f"{name}_write"]
        assert sum("uplink" in link for link in far) == 2
    compare(file, simgrid, step=1 if chassis == 1 else 997)
    assert main(["check", str(file)]) == 0


def test_the_last_chassis_has_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    words = ["--nodes", "21", "--set", "rabbits.nodes=8", "--set", "rabbits.drives=3", "-o", str(file)]
    assert main(["platform", "new", *words]) == 0
    machine = number_resources(load_platform(file))
    held = [n.properties["chassis"] for n in machine.compute]
    assert [held.count(f"chassis-{k}") for k in (1, 2, 3)] == [8, 8, 5]
    assert [s.properties["size"] for s in machine.storages] == ["1920000000000B"] * 3
    assert main(["platform", "new", "--chassis", "3", "--set", "rabbits.nodes=5", "-o", str(file)]) == 0
    assert number_resources(load_platform(file)).nb_compute == 15


FLAGS = [
    ["--nodes", "4"],
    ["--nodes", "12", "--racks", "3", "--disks", "1TB", "--pfs", "2x2", "--set", "pfs.racks=2"],
    ["--nodes", "12", "--racks", "5", "--burst-buffers", "2x2", "--nvme", "1x3", "--set", "nvme.racks=1"],
    ["--nodes", "8", "--topology", "torus", "--parameters", "2,2,2", "--pfs", "2x1"],
    ["--nodes", "16", "--topology", "fat_tree", "--parameters", "2;4,4;1,2;1,2", "--central", "1TB"],
    ["--nodes", "72", "--topology", "dragonfly", "--parameters", "3,2;2,1;6,1;2", "--pfs", "3x2"],
]


@pytest.mark.parametrize("flags", FLAGS)
def test_flags(flags: list[str], tmp_path: Path, simgrid: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.xml"
    assert main(["platform", "new", *flags, "-o", str(file)]) == 0
    assert f"{flags[1]} compute nodes" in capsys.readouterr().out
    compare(file, simgrid)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tarus_storage"], "unknown preset 'tarus_storage'; known: bb_cluster"),
        (["absent.toml"], "absent.toml: cannot read"),
        (["--set", "pfs.sizes=1TB"], "pfs.sizes: unknown key 'sizes'"),
        (["--set", "pfs.size=1XB"], "pfs.size: unknown unit 'XB'"),
        (["--set", "nodes"], "--set takes SECTION.KEY=VALUE"),
        (["--pfs", "4"], "--pfs takes servers x storages"),
        (["elcapitan", "--chassis", "2", "--nodes", "32"], "--chassis N and --nodes N say the same"),
        (["elcapitan", "--chassis", "0"], "--chassis must be above 0"),
        (
            ["elcapitan", "--set", "rabbits.spares=18"],
            "rabbits.spares: 18 spares of 18 drives leave none in use",
        ),
        (["elcapitan", "--racks", "2"], "nodes.racks: racks are counted in chassis here"),
        (["elcapitan", "--disks", "1TB"], "disks: nodes have either disks of their own or a Rabbit"),
        (["elcapitan", "--topology", "torus", "--parameters", "2,2"], "chassis need the topology 'flat'"),
        (
            ["elcapitan", "--set", "rabbits.rabbit=node-", "--set", "nodes.first=1"],
            "would be named 'node-10'",
        ),
        (["--nodes", "0"], "nodes.count: must be above 0"),
        (["--nodes", "4", "--racks", "5"], "nodes.racks: 5 racks for 4 nodes"),
        (["--topology", "ring"], "unknown topology 'ring'"),
        (["--topology", "torus"], "needs parameters"),
        (["--nodes", "5", "--topology", "torus", "--parameters", "2,3"], "needs 6 hosts"),
        (["--set", "pfs.target=node-", "--pfs", "1x2"], "two hosts or servers would be named 'node-1'"),
    ],
)
def test_mistakes(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p.xml"
    assert main(["platform", "new", *words, "-o", str(out)]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not out.exists()


def test_what_xml_cannot_hold() -> None:
    """A file's name in a comment is shown by its numbers; a value is refused."""
    out = Writer("from \udcff\x01.yml")
    out.element("host", {"note": "ü\t\U0001f600"}, id="h")
    assert b"<!-- from \\udcff\\x01.yml -->" in out.text().encode()
    for value in ("\udcff", "\x01", "\x0b", "\ufffe"):
        with pytest.raises(InputError, match="can't stand in an XML file"):
            out.element("host", {"note": value}, id="h")
