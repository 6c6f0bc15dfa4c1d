"""``batfs platform from-storalloc``, ``show`` and ``diff``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.platform import load_platform, number_resources

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ROOT / "platforms"

SYSTEM = """
hosts:
  - hostname: srv10
    ipv4: 10.0.0.1
    network_bw: 12.5
    disks:
      - {capacity: 8000, write_bandwidth: 2.93, read_bandwidth: 3.13, block_device: /dev/nvme1n1}
      - {capacity: 1000, write_bandwidth: 2.93, read_bandwidth: 3.13, block_device: /dev/nvme0n1}
  - hostname: srv2
    ipv4: 10.0.0.2
    network_bw: 5
    disks:
      - {capacity: 1.5, write_bandwidth: 1, read_bandwidth: 2, block_device: /dev/sda}
"""


def test_from_storalloc(
    tmp_path: Path, simgrid: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    system, out = tmp_path / "system.yml", tmp_path / "pool.xml"
    system.write_text(SYSTEM)
    assert main(["platform", "from-storalloc", str(system), "--nodes", "4", "-o", str(out)]) == 0
    assert "4 compute nodes, 3 storages (3 of 'nvme')" in capsys.readouterr().out
    platform = load_platform(out)
    machine = number_resources(platform)
    # in the order of the file, which byte order alone would change
    assert [(s.name, s.properties["size"], s.properties["server"]) for s in machine.storages] == [
        ("s0_srv10_nvme1n1", "8000000000000", "srv10"),
        ("s1_srv10_nvme0n1", "1000000000000", "srv10"),
        ("s2_srv2_sda", "1500000000", "srv2"),
    ]
    node = machine.compute[0].host
    read, cable, down = platform.route(machine.storages[0].host, node).links
    assert (platform.links[read].bandwidth, platform.links[cable].bandwidth) == (3.13e9, 12.5e9)
    assert platform.links[down].name.endswith("_DOWN")
    (_, cable, write) = platform.route(node, machine.storages[2].host).links
    assert (platform.links[cable].bandwidth, platform.links[write].bandwidth) == (5e9, 1e9)
    assert main(["check", str(out)]) == 0
    answer = simgrid(out)
    for a, b, links, latency in answer["routes"]:
        route = platform.route(platform.host_index[a], platform.host_index[b])
        assert ([platform.links[link].name for link in route.links], route.latency) == (links, latency)


def test_from_storallocs_own_systems(shared: Path, tmp_path: Path) -> None:
    for file in sorted((shared / "data" / "storalloc").glob("*.yml")):
        out = tmp_path / f"{file.stem}.xml"
        assert main(["platform", "from-storalloc", str(file), "-o", str(out)]) == 0
        machine = number_resources(load_platform(out))
        assert machine.nb_storage == 8
        assert main(["check", str(out)]) == 0


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "show", str(PLATFORMS / "taurus_storage.xml")]) == 0
    told = capsys.readouterr().out
    for line in (
        "platform  [Floyd]",
        "nodes: taurus-1 … taurus-16 (16)",
        "— ost-1_read, ost-2_read: 600 MB/s, 300 us",
        "↔ oss-1 ↔ nodes (oss-1_nic ↔ rack-1_switch)",
        "… and 3 like it: oss-2, oss-3, oss-4",
        "master: master_host",
    ):
        assert line in told
    assert " 0-15  taurus-1 … taurus-9" in told
    rows = [line.split() for line in told.splitlines() if line.startswith("lustre")]
    assert rows[-1][:4] == ["lustre", "8", "32", "TB"]
    assert main(["platform", "show", str(PLATFORMS / "io_example.xml"), "--json"]) == 0
    resources = json.loads(capsys.readouterr().out)["resources"]
    assert [(entry["id"], entry["name"]) for entry in resources][-1] == (10, "shared_storage")
    assert main(["platform", "show", str(PLATFORMS / "io_example.xml"), "--all"]) == 0
    assert "node-1_disk" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted(PLATFORMS.glob("*.xml")), ids=lambda file: file.stem)
def test_show_draws_every_platform(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "show", str(file)]) == 0
    assert "compute_node" in capsys.readouterr().out


def test_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = PLATFORMS / "pfs_cluster.xml", tmp_path / "new.xml"
    assert main(["platform", "diff", str(old), str(old)]) == 0
    assert "no difference" in capsys.readouterr().out
    text = old.read_text().replace('id="ost-7_read" bandwidth="1.2GBps"', 'id="ost-7_read" bandwidth="1GBps"')
    text = text.replace('id="size" value="20TB"', 'id="size" value="21TB"', 1)
    text = text.replace(
        'id="oss-3_cable" bandwidth="3GBps" latency="20us"',
        'id="oss-3_cable" bandwidth="3GBps" latency="30us"',
    )
    new.write_text(text)
    assert main(["platform", "diff", str(old), str(new), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["hosts"] == ["ost-1 properties size: 20TB -> 21TB"]
    assert found["links"] == [
        "oss-3_cable_DOWN: 3e+09, 2e-05, SHARED -> 3e+09, 3e-05, SHARED",
        "oss-3_cable_UP: 3e+09, 2e-05, SHARED -> 3e+09, 3e-05, SHARED",
        "ost-7_read: 1.2e+09, 0.0005, SHARED -> 1e+09, 0.0005, SHARED",
    ]
    assert "node-100 -> ost-9: latency 0.00054 s -> 0.00055 s" in found["routes"]
    assert any(line.startswith("ost-7 read alone: 1.2e+09 -> 1e+09") for line in found["bandwidths"])
    assert main(["platform", "diff", str(old), str(new), "--routes", "50"]) == 1
    assert "a sample of" in capsys.readouterr().out
