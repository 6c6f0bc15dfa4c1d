"""What must hold between two messages, stated one by one: ``--validate`` checks them all.

An invariant is a sentence and a function that yields what contradicts it. Adding one is adding a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeAlias

from batfs._core.books import Reservation
from batfs.scheduling.interface import NodeSet
from batfs.scheduling.story import InvariantError
from batfs.scheduling.tenancy import Tenancy
from batfs.storage.reservation import LedgerError

Check: TypeAlias = Callable[[Tenancy], Iterator[str]]


def validate(tenancy: Tenancy) -> None:
    """InvariantError: the sentence that doesn't hold, and what contradicts it."""
    for sentence, check in INVARIANTS:
        for found in check(tenancy):
            raise InvariantError(f"it must hold that {sentence}: {found}")


def _nodes_of_one(tenancy: Tenancy) -> Iterator[str]:
    seen: NodeSet = 0
    for job in tenancy.running.values():
        if seen & job.nodes:
            yield f"{job.id} shares the nodes {tenancy.machine.text(seen & job.nodes)} with another job"
        seen |= job.nodes


def _busy_nodes(tenancy: Tenancy) -> Iterator[str]:
    machine, taken = tenancy.machine, 0
    for job in tenancy.running.values():
        taken |= job.nodes
    if machine.busy != taken:
        yield f"busy are {machine.text(machine.busy) or 'none'}, with jobs {machine.text(taken) or 'none'}"


def _free_nodes(tenancy: Tenancy) -> Iterator[str]:
    machine = tenancy.machine
    if machine.free != machine.all & ~machine.busy:
        yield f"free are {machine.text(machine.free) or 'none'}"


def _nodes_asked_for(tenancy: Tenancy) -> Iterator[str]:
    for job in tenancy.running.values():
        has, asked = job.nodes.bit_count(), job.booked.nodes.bit_count()
        if has != asked and (has or not job.left):
            yield f"{job.id} has {has} of {asked} nodes"


def _ledger(tenancy: Tenancy) -> Iterator[str]:
    try:
        tenancy.machine.ledger.validate()
    except LedgerError as error:
        yield str(error)


def _lines(tenancy: Tenancy) -> list[Reservation]:
    """Every reservation that somebody has."""
    of_jobs = [line for job in tenancy.running.values() for line in job.booked.held.lines]
    if tenancy.stager is not None:
        of_jobs += [line for booked in tenancy.stager.held() for line in booked.held.lines]
    of_moves = [line for lines in tenancy.lives.held.values() for line in lines]
    return [*of_jobs, *of_moves, *tenancy.machine.kept.values()]


def _every_reservation(tenancy: Tenancy) -> Iterator[str]:
    count, theirs = len(tenancy.machine.ledger), len(_lines(tenancy))
    if count != theirs:
        yield f"the ledger holds {count} reservations; jobs, moves and data sets have {theirs}"


def _capacity(tenancy: Tenancy) -> Iterator[str]:
    machine, sizes = tenancy.machine, Counter[int]()
    for line in _lines(tenancy):
        for share in line.shares:
            sizes[share.index] += share.size
    for k, storage in enumerate(machine.ledger.storages):
        held = machine.ledger.held(k)
        if held != sizes[k] or not 0 <= held <= storage.capacity:
            yield f"{storage.name} holds {held} bytes, for jobs {sizes[k]}, of {storage.capacity}"
        if not 0 <= machine.used[k] <= sizes[k]:
            yield f"{machine.used[k]} bytes of {sizes[k]} are in use on {storage.name}"


def _transfers(tenancy: Tenancy) -> Iterator[str]:
    machine, counts = tenancy.machine, Counter[int]()
    for transfers in (*(job.transfers for job in tenancy.running.values()), *tenancy.lives.transfers):
        for position, count in transfers:
            counts[position] += count
    for k, storage in enumerate(machine.ledger.storages):
        if machine.active[k] != counts[k]:
            yield f"{machine.transfers[k]} are counted on {storage.name}, {counts[k]} are under way"


INVARIANTS: tuple[tuple[str, Check], ...] = (
    ("no node belongs to two jobs", _nodes_of_one),
    ("the nodes that are busy are those that jobs have", _busy_nodes),
    ("a node is free if it is there and not busy", _free_nodes),
    ("a job keeps the nodes it was given until it leaves them all", _nodes_asked_for),
    ("the ledger agrees with its reservations", _ledger),
    ("every reservation belongs to a job, a move or a data set", _every_reservation),
    ("a storage holds what they hold, and no more than its capacity", _capacity),
    ("the transfers counted are those under way", _transfers),
)
