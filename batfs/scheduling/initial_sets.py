"""Data sets that lie on the machine when the simulation begins: what the configuration says of them.

    [[data_sets]]
    name = "climate"
    filesystem = "lustre"        # the default one if it isn't said; a tier's lie behind it
    size = "2TB"
    owner = "alice"              # a word for the output
    life = "campaign"            # deleted (the default), campaign, or a time in simulated seconds
    campaign = "spring"          # whose, if its life is a campaign
    pin = true                   # no purge policy takes it
    nodes = ["n0", "n1"]         # laid out as if a job on these had written it

They are laid out in their order, by the file system's model and allocation policy, before any job comes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batfs.errors import InputError, unknown
from batfs.filesystems.data_sets import CAMPAIGN, DELETED, JOB, DataSet, read_life, read_size
from batfs.filesystems.interface import Hold, IoRequest, Volume
from batfs.filesystems.nodeless import stand_ins
from batfs.filesystems.site import FileSystems
from batfs.records import record, replace
from batfs.scheduling.machine import Machine

KEYS: Final = ("name", "filesystem", "size", "owner", "life", "campaign", "pin", "nodes")
#: In the place of the job that has written them.
_WRITER: Final = "before"


@record
class InitialSet:
    """One of them. ``place``: where it was said; ``nodes``: names."""

    name: str
    size: int
    place: str
    filesystem: str = ""
    owner: str = ""
    life: str | float = DELETED
    campaign: str = ""
    pinned: bool = False
    nodes: tuple[str, ...] = ()


def parse_initial_sets(entries: Any) -> list[InitialSet]:
    """What the configuration's ``data_sets`` say. InputError with the place of what is wrong."""
    found: list[InitialSet] = []
    for k, entry in enumerate(entries):
        place = f"data_sets[{k}]"
        if not isinstance(entry, Mapping):
            raise InputError(f"{entry!r:.60} is not a table", place=place)
        for key in entry:
            if key not in KEYS:
                raise unknown("key of a data set", str(key), KEYS, place=place)
        for key in ("name", "size"):
            if key not in entry:
                raise InputError(f"it has no {key!r}", place=place)
        for key in ("name", "filesystem", "owner", "campaign"):
            if not isinstance(entry.get(key, ""), str):
                raise InputError(f"{entry[key]!r:.60} is not a string", place=f"{place}.{key}")
        if not entry["name"]:
            raise InputError("a data set needs a name", place=f"{place}.name")
        if not isinstance(entry.get("pin", False), bool):
            raise InputError(f"{entry['pin']!r:.60} is neither true nor false", place=f"{place}.pin")
        nodes = entry.get("nodes", ())
        if isinstance(nodes, str):
            nodes = nodes.split()
        if not isinstance(nodes, list | tuple) or not all(isinstance(name, str) for name in nodes):
            raise InputError(f"{nodes!r:.60} is not a list of names", place=f"{place}.nodes")
        found.append(
            InitialSet(
                entry["name"],
                _read(read_size, entry["size"], f"{place}.size"),
                place,
                entry.get("filesystem", ""),
                entry.get("owner", ""),
                _life(entry, place),
                entry.get("campaign", ""),
                entry.get("pin", False),
                tuple(dict.fromkeys(nodes)),
            )
        )
    return found


def _life(entry: Mapping[str, Any], place: str) -> str | float:
    life: str | float = _read(read_life, entry.get("life", DELETED), f"{place}.life")
    if life == JOB:
        raise InputError("no job has written it whose life it could share", place=f"{place}.life")
    if life == CAMPAIGN and not entry.get("campaign"):
        raise InputError("its life is that of a campaign: which one?", place=place, hint="campaign = NAME")
    return life


def _read(reads: Any, value: Any, place: str) -> Any:
    try:
        return reads(value)
    except InputError as error:
        raise error.at(place=place) from None


def lay_out(entries: Any, files: Any, machine: Machine, rng: random.Random) -> None:
    """Put the data sets of the configuration where they lie, on ``files`` (the file systems of ``machine``).
    InputError for what has no place there."""
    nodes = {machine.names[i]: i for i in machine.order.ids(machine.all)}
    for one in parse_initial_sets(entries):
        try:
            _lay_out(one, files, machine, nodes, rng)
        except InputError as error:
            raise error.at(place=one.place) from None


def _lay_out(
    one: InitialSet, files: FileSystems, machine: Machine, nodes: Mapping[str, int], rng: random.Random
) -> None:
    system = one.filesystem or files.default_writes
    if system not in files.models:
        raise unknown("file system", system, files.models, place=f"{one.place}.filesystem")
    volume = Volume(system, 0, one.size, options={"data_set": one.name})
    book = files.book_of(volume)
    if book is None:
        raise InputError(f"the file system {system!r} keeps no data sets")
    if one.name in book.sets:
        raise InputError(f"the data set {one.name!r} is on {book.filesystem!r} already")
    model: Any = files.models[book.filesystem]
    for name in one.nodes:
        if name not in nodes:
            raise unknown("compute node", name, list(nodes), place=f"{one.place}.nodes")
    at: Sequence[int] = sorted(nodes[name] for name in one.nodes)
    if not at:
        at = tuple(nodes.values()) if model.needs_nodes(volume) and nodes else stand_ins(1)
    found = DataSet(
        one.name, book.filesystem, one.owner, one.campaign, one.life, there=True, pinned=one.pinned
    )
    if one.size:
        asked = IoRequest(_WRITER, at, replace(volume, filesystem=book.filesystem, options={}), 0.0)
        made = model.new_parts(asked, machine.view, rng, written=bool(one.nodes))
        if isinstance(made, Hold):
            raise _no_room(one, made, machine)
        found.parts += made[0]
    placements = []
    for k, part in enumerate(found.parts):
        part.name = f"{_WRITER}.{k}"
        placements += part.placements(book.key(one.name))
    held = machine.book(_WRITER, placements, 0.0, float("inf"))
    if isinstance(held, Hold):
        raise _no_room(one, held, machine)
    machine.keep(held)
    book.lay(found)


def _no_room(one: InitialSet, hold: Hold, machine: Machine) -> InputError:
    return InputError(f"the data set {one.name!r} finds no room: {hold.sentence(machine.names)}")
