"""Make the platform of an NVMe-oF pool from StorAlloc's description of a storage system (YAML or TOML).

  batfs platform from-storalloc infra8TB.yml --nodes 64 -o pool.xml

Each host of the file becomes a server with its network cable; each disk a storage with its capacity and
bandwidths. Storages keep the order of the file: names are HOST_DISK, with a number before them where Batsim's
byte order of names would change it. The nodes' side is made as by ``batfs platform new`` (--set nodes.KEY).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from batfs.cli.platforms.new import verified
from batfs.errors import InputError
from batfs.files import write_text
from batfs.parsing import add_word, duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", type=Path, metavar="SYSTEM", help="StorAlloc's system file, YAML or TOML")
    add_word(parser, "--output", "[standard output]", type=Path, metavar="FILE")
    add_word(parser, "--nodes", "[%(default)s]", type=int, default=16)
    add_word(
        parser,
        "--name",
        "of the pool [%(default)s]",
        old=("--file-system",),
        default="nvme",
    )
    add_word(parser, "--model", "of the pool [%(default)s]", metavar="MODEL", default="nvme_pool")
    parser.add_argument(
        "--latency",
        default="10us",
        metavar="TIME",
        type=given_time,
        help="of each disk's links [%(default)s]",
    )
    add_word(parser, "--set", action="append", default=[], metavar="nodes.KEY=VALUE", dest="sets")


def given_time(text: str) -> str:
    """An argparse type: a time with its unit, as it was written."""
    duration(text)
    return text


def run(args: argparse.Namespace) -> int:
    from batfs.platform.generate import Server, Target, generate
    from batfs.platform.spec import make_spec
    from batfs.workload.storalloc import read_system

    document: dict[str, dict[str, str | int]] = {
        "nodes": {"count": args.nodes, "first": 1000, "bandwidth": "12.5GBps", "latency": "2us"}
    }
    for entry in args.sets:
        place, equals, value = entry.partition("=")
        section, dot, key = place.partition(".")
        if not equals or not dot or section != "nodes":
            raise InputError(f"--set takes nodes.KEY=VALUE, found {entry!r}")
        document["nodes"][key] = value
    spec = make_spec(document)
    spec.comment = f"batfs platform from-storalloc {args.system.name} -s nodes.count={spec.nodes.count}"
    hosts = read_system(args.system)
    names = [f"{host.name}_{disk.name}" for host in hosts for disk in host.disks]
    if sorted(names) != names:
        width = len(str(len(names) - 1))
        names = [f"s{place:0{width}}_{name}" for place, name in enumerate(names)]
    ordered = iter(names)
    servers = [
        Server(
            host.name,
            [
                Target(
                    next(ordered),
                    {
                        "role": "storage",
                        "size": str(disk.capacity),
                        "filesystem": args.name,
                        "server": host.name,
                        "read_bandwidth": f"{disk.read_bandwidth:.17g}Bps",
                        "write_bandwidth": f"{disk.write_bandwidth:.17g}Bps",
                        **({"model": args.model} if args.model else {}),
                    },
                    f"{disk.read_bandwidth:.17g}Bps",
                    f"{disk.write_bandwidth:.17g}Bps",
                    args.latency,
                )
                for disk in host.disks
            ],
            f"{host.network_bandwidth:.17g}Bps",
            "2us",
        )
        for host in hosts
    ]
    text = generate(spec, servers)
    summary = verified(text)
    if args.output is None:
        sys.stdout.write(text)
    else:
        write_text(args.output, text)
        print(f"{args.output}: {summary}")
    return 0
