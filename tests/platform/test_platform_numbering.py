"""Batsim's resource ids, against the recorded SIMULATION_BEGINS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batfs.errors import InputError
from batfs.platform import load_platform, number_resources


def test_recorded_machines(golden: list[Path]) -> None:
    for file in golden:
        case = json.loads((file.parent / "case.json").read_text())
        args: list[str] = case["args"]
        given = {name: args[i + 1] for i, name in enumerate(args) if name in ("-m", "--mmax")}
        roles = [args[i + 1] for i, name in enumerate(args) if name == "-r"]
        limits = [int(given.get("--mmax", 0))]
        if "--mmax-workload" in args:
            limits.append(json.loads((file.parent / "workload.json").read_text())["nb_res"])
        chosen = [limit for limit in limits if limit]
        machine = number_resources(
            load_platform(file),
            master=given.get("-m", "master_host"),
            roles=roles,
            limit=min(chosen) if chosen else None,
        )
        first = json.loads((file.parent / "transcript.jsonl").open().readline())["request"]
        begins = first["events"][0]["data"]
        assert (machine.nb_compute, machine.nb_storage) == (
            begins["nb_compute_resources"],
            begins["nb_storage_resources"],
        )
        expected = [*begins["compute_resources"], *begins["storage_resources"]]
        for resource, recorded in zip(machine.resources, expected, strict=True):
            assert (resource.id, resource.name) == (recorded["id"], recorded["name"])
            assert dict(resource.properties) == recorded["properties"], file
            assert dict(resource.zone_properties) == recorded["zone_properties"], file


def platform(tmp_path: Path, hosts: str) -> Path:
    file = tmp_path / "p.xml"
    file.write_text(
        '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd"><platform version="4.1">'
        f'<zone id="z" routing="Full">{hosts}</zone></platform>'
    )
    return file


def test_roles(tmp_path: Path) -> None:
    hosts = "".join(f'<host id="{name}" speed="1Gf"/>' for name in ("n10", "n9", "n1", "head"))
    loaded = load_platform(platform(tmp_path, hosts))
    machine = number_resources(loaded, master="head", roles=["n1,n9:storage", "n9:compute_node"])
    assert [(r.id, r.name, r.role) for r in machine.resources] == [
        (0, "n10", "compute_node"),
        (1, "n9", "compute_node"),
        (2, "n1", "storage"),
    ]
    assert machine.resource("n1").properties["role"] == "storage"
    assert machine.resource("n10").properties["role"] == ""
    with pytest.raises(InputError, match=r"no resource named 'n10x'.*did you mean 'n10'"):
        machine.resource("n10x")
    with pytest.raises(InputError, match=r"-r names the host 'n8'"):
        number_resources(loaded, master="head", roles=["n8:storage"])
    with pytest.raises(InputError, match=r"'host1,host2:role'"):
        number_resources(loaded, master="head", roles=["n1"])


def test_a_compute_node_needs_speed(tmp_path: Path) -> None:
    hosts = '<host id="slow" speed="0"/><host id="master_host" speed="0"/>'
    with pytest.raises(InputError, match="compute node 'slow' has speed 0"):
        number_resources(load_platform(platform(tmp_path, hosts)))
