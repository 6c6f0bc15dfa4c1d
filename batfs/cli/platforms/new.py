"""Make a platform from a name, a small TOML file, flags, or all three (flags win).

  batfs platform new --list
  batfs platform new taurus_storage -o taurus_storage.xml
  batfs platform new --nodes 1000 --first-node 1000 --racks 20 --pfs 8x4 --burst-buffers 4x2 -o big.xml
  batfs platform new elcapitan --chassis 72 -o elcapitan.xml
  batfs platform new --from-io500 Helios --io500 summary.csv -o helios.xml
  batfs platform new pfs_cluster --set pfs.size=80TB --set nodes.latency=5us -o mine.xml

Sections and their keys (batfs platform new --keys prints them with their defaults): nodes, disks, central,
pfs, burst_buffers, nvme, rabbits. The same inputs give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs.errors import InputError
from batfs.files import write_text
from batfs.parsing import add_option, add_word, size
from batfs.scratch import scratch_folder

if TYPE_CHECKING:
    from batfs.platform.numbering import Machine
    from batfs.platform.spec import Spec


# flag -> section; the value is SERVERSxTARGETS
GROUPS = {"pfs": "pfs", "burst-buffers": "burst_buffers", "nvme": "nvme"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spec", nargs="?", metavar="SPEC", help="a platform that comes with batfs, or a TOML file"
    )
    add_word(parser, "--output", "[standard output]", type=Path, metavar="FILE")
    add_word(parser, "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="sets")
    add_word(parser, "--nodes", type=int)
    add_option(
        parser,
        "--first-node",
        old=("--first",),
        dest="first",
        type=int,
        metavar="N",
        help="number of the first node (1000: ids in order)",
    )
    parser.add_argument("--racks", type=int, metavar="N", help="racks, each with a switch")
    add_word(parser, "--chassis", type=int)
    parser.add_argument("--topology", metavar="T", help="flat, torus, fat_tree or dragonfly")
    parser.add_argument("--parameters", metavar="P", help="of the topology, as SimGrid's topo_parameters")
    parser.add_argument("--disks", type=given_size, metavar="SIZE", help="a disk of that size in every node")
    parser.add_argument(
        "--central", type=given_size, metavar="SIZE", help="one central storage of that size, like NFS"
    )
    parser.add_argument(
        "--throttles", type=int, metavar="N", help="links that limit rates, for I/O policies that do"
    )
    for flag in GROUPS:
        parser.add_argument(f"--{flag}", metavar="SxT", help=f"{flag}: S servers of T storages each")
    parser.add_argument(
        "--from-io500", metavar="SUBMISSION", help="a machine with the ior figures of that IO500 submission"
    )
    parser.add_argument("--io500", type=Path, metavar="CSV", help="the summary of submissions to find it in")
    add_word(parser, "--list", ": the platforms that come with batfs", action="store_true")
    parser.add_argument("--keys", action="store_true", help="print all keys as they are if nothing is said")


def given_size(text: str) -> str:
    """An argparse type: a size with its unit, as it was written."""
    size(text)
    return text


def run(args: argparse.Namespace) -> int:
    from batfs.platform.generate import generate
    from batfs.platform.spec import presets
    from batfs.platform.throttles import with_throttles

    if args.list:
        for name, text in presets().items():
            print(f"{name:<16} {text.splitlines()[0].lstrip('# ')}")
        return 0
    if args.keys:
        _print_keys()
        return 0
    text = generate(_from_io500(args) if args.from_io500 or args.io500 else _from_words(args))
    if args.throttles is not None:
        text = with_throttles(text, _machine(text), args.throttles)
    summary = verified(text)
    if args.throttles is not None:
        summary += f", {args.throttles} throttles"
    if args.output is None:
        sys.stdout.write(text)
    else:
        write_text(args.output, text)
        print(f"{args.output}: {summary}")
    return 0


def _from_words(args: argparse.Namespace) -> Spec:
    from batfs.platform.spec import make_spec

    file = Path(args.spec) if args.spec and args.spec.endswith(".toml") else None
    spec = make_spec(_document(args), file=file)
    spec.comment = _command(args)
    return spec


def _from_io500(args: argparse.Namespace) -> Spec:
    from batfs.campaign.calibration import io500

    if not args.from_io500 or args.io500 is None:
        raise InputError("--from-io500 SUBMISSION and --io500 CSV go together: which one, and where it is")
    if args.spec or _document(args):
        raise InputError("--from-io500 makes the whole machine: of the flags only -o goes with it")
    return io500.machine(io500.find(io500.complete(io500.read_summary(args.io500)), args.from_io500))


def verified(text: str, master: str = "master_host") -> str:
    """Load the text strictly and number its resources; what it holds in a few words."""
    machine = _machine(text, master)
    systems: dict[str, int] = {}
    for storage in machine.storages:
        name = storage.properties.get("filesystem", "storage")
        systems[name] = systems.get(name, 0) + 1
    held = ", ".join(f"{count} of {name!r}" for name, count in systems.items())
    return f"{machine.nb_compute} compute nodes, {len(machine.storages)} storages" + (
        f" ({held})" if held else ""
    )


def _machine(text: str, master: str = "master_host") -> Machine:
    from batfs.platform import load_platform, number_resources

    with scratch_folder("new") as folder:
        file = Path(folder) / "generated.xml"
        file.write_text(text, encoding="utf-8")
        return number_resources(load_platform(file), master=master)


def _document(args: argparse.Namespace) -> dict[str, Any]:
    from batfs.platform.spec import preset, read_spec

    document: dict[str, Any] = {}
    if args.spec:
        is_file = args.spec.endswith(".toml") or os.sep in args.spec
        document = read_spec(Path(args.spec)) if is_file else preset(args.spec)

    def put(section: str, key: str, value: Any) -> None:
        table = document.get(section)
        document[section] = {**(table if isinstance(table, dict) else {}), key: value}

    for flag, key in (("nodes", "count"), ("first", "first"), ("racks", "racks")):
        if getattr(args, flag) is not None:
            put("nodes", key, getattr(args, flag))
    for flag in ("topology", "parameters"):
        if getattr(args, flag) is not None:
            put("nodes", flag, getattr(args, flag))
    if args.chassis is not None:
        if args.nodes is not None:
            raise InputError("--chassis N and --nodes N say the same: one of them")
        if args.chassis < 1:
            raise InputError("--chassis must be above 0")
        put("rabbits", "chassis", args.chassis)
    for flag in ("disks", "central"):
        if getattr(args, flag) is not None:
            put(flag, "size", getattr(args, flag))
    for flag, section in GROUPS.items():
        given = getattr(args, flag.replace("-", "_"))
        if given is not None:
            servers, _, targets = given.partition("x")
            if not servers.isdigit() or not targets.isdigit():
                raise InputError(f"--{flag} takes servers x storages such as 4x2, found {given!r}")
            put(section, "servers", int(servers))
            put(section, "targets", int(targets))
    for entry in args.sets:
        place, equals, value = entry.partition("=")
        section, dot, key = place.partition(".")
        if not equals or not dot:
            raise InputError(f"--set takes SECTION.KEY=VALUE such as pfs.size=40TB, found {entry!r}")
        put(section, key, value)
    return document


def _command(args: argparse.Namespace) -> str:
    """The command that makes the file again, without a double dash (which XML comments may not hold)."""
    words = ["batfs platform new"]
    if args.spec:
        words.append(Path(args.spec).name)
    own = {"nodes": "nodes.count", "first": "nodes.first", "racks": "nodes.racks"}
    own |= {"topology": "nodes.topology", "parameters": "nodes.parameters"}
    own |= {"disks": "disks.size", "central": "central.size", "chassis": "rabbits.chassis"}
    for flag, key in own.items():
        if getattr(args, flag) is not None:
            words.append(f"-s {key}={getattr(args, flag)}")
    for flag, section in GROUPS.items():
        given = getattr(args, flag.replace("-", "_"))
        if given is not None:
            servers, _, targets = given.partition("x")
            words.append(f"-s {section}.servers={servers} -s {section}.targets={targets}")
    words += [f"-s {entry}" for entry in args.sets]
    return " ".join(words)


def _print_keys() -> None:
    from batfs.platform.spec import SECTIONS, Group

    for section, make in SECTIONS.items():
        record = make()
        print(f"[{section}]")
        for entry in fields(record):
            value = getattr(record, entry.name)
            print(f"{entry.name} = {value if isinstance(value, int) else chr(34) + value + chr(34)}")
        if isinstance(record, Group):
            print(f"# {record.servers} server(s) of {record.targets} storage(s)")
        print()
