"""The disks of all servers: who has room for what, and which bytes exist where.

Two books. The *ledger* (the project's allocator) says what is promised, now and ahead; the policy chooses
from it. *Present* counts the bytes that exist on each disk, from the moment their making is asked for until
their removal is confirmed. A share is made only when both have room.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from batfs.errors import BatfsError, InputError
from batfs.service.leases import Lease, Server
from batfs.service.messages import Disk
from batfs.storage.choice import checked_choice
from batfs.storage.interface import AllocationPolicy, Choice, Share, SpaceRequest, Storage
from batfs.storage.ledger import HELD, RELEASED, Ledger, LedgerError, Listener, NoRoomError
from batfs.storage.split import block_sizes, choose_blocks
from batfs.storage.view import SystemView
from batfs.units import format_size

# one request in so many blocks at most: the policy is asked for each, and the others wait meanwhile
MAX_BLOCKS = 10_000


class PlacementError(BatfsError):
    """A request that the policy can't answer, whatever room there is."""


class Room:
    """``listener`` hears of each change of reserved bytes (time, disk index, bytes)."""

    def __init__(
        self,
        policy: AllocationPolicy,
        *,
        seed: int,
        now: float,
        listener: Listener,
        block_size: int | None = None,
        min_block_size: int = 0,
    ) -> None:
        block_sizes(1, block_size, min_block_size)  # says what is wrong with them
        self.policy, self.block_size, self.min_block_size = policy, block_size, min_block_size
        self.rng = random.Random(seed)
        self.disks: list[tuple[Server, Disk]] = []
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.present: list[int] = []
        self.capacity = 0
        self._listener = listener
        self._up: NDArray[np.int64] | None = None
        self.ledger = Ledger([], now=now, release_at_end=True)
        self._view = SystemView(self.ledger)

    def rebuild(self, servers: Iterable[Server], leases: Iterable[Lease], now: float) -> None:
        """New books over the servers there are, with every live reservation in them."""
        present = dict(zip(self.names, self.present, strict=True))
        self.disks = [(server, disk) for server in servers for disk in server.disks]
        self.names = [f"{server.name}/{disk.name}" for server, disk in self.disks]
        self.index = {name: i for i, name in enumerate(self.names)}
        self.present = [present.get(name, 0) for name in self.names]
        self.capacity = sum(disk.capacity for _, disk in self.disks)
        self._up = None
        self.ledger = Ledger(
            [
                Storage(
                    i,
                    self.names[i],
                    disk.capacity,
                    group=f"{server.name}/{disk.node}",
                    read_bandwidth=disk.read_bandwidth or None,
                    write_bandwidth=disk.write_bandwidth or None,
                    network_bandwidth=disk.network_bandwidth or None,
                )
                for i, (server, disk) in enumerate(self.disks)
            ],
            now=now,
            release_at_end=True,
        )
        self._view = SystemView(self.ledger)
        self.ledger.listen(self._listener)
        for lease in leases:
            lease.lines = []
            if lease.state in ("reserved", "provisioning", "allocated") and lease.until > now:
                shares = [Share(self.index[disk], size) for disk, size in lease.shares.items()]
                start = max(lease.start, now)
                lease.lines = [self.ledger.reserve(shares, start=start, end=lease.until, key=lease.name)]

    # ---- promises ------------------------------------------------------------------------------------------

    def servers_changed(self) -> None:
        """A server came or went: its disks are candidates, or no longer."""
        self._up = None

    def _candidates(self) -> NDArray[np.int64]:
        if self._up is None:
            up = [i for i, (server, _) in enumerate(self.disks) if server.state == "up"]
            self._up = np.array(up, dtype=np.int64)
        return self._up

    def book(self, lease: Lease) -> bool:
        """Choose disks by the policy and reserve them, all or nothing; False if there is no room.

        Raises PlacementError for whatever the policy does instead of choosing; nothing is held then.
        """
        up = self._candidates()
        if not len(up) or lease.size > self.capacity:
            return False
        try:
            choice = self._choose(lease, up)
        except Exception as error:  # a policy is anybody's code, and sees options that anybody wrote
            what = str(error) if isinstance(error, BatfsError) else f"{type(error).__name__}: {error}"
            raise PlacementError(f"the policy {self.policy.name!r} can't place this: {what[:200]}") from error
        if choice is None:
            return False
        try:
            self.ledger.check(choice, lease.start, lease.until)
        except NoRoomError:  # a policy that looks at no capacity
            return False
        except LedgerError as error:
            raise PlacementError(str(error)) from error
        lease.lines = []
        for share in choice:
            line = self.ledger.reserve([share], start=lease.start, end=lease.until, key=lease.name)
            lease.lines.append(line)
        lease.shares = {}
        for share in choice:
            disk = self.names[share.index]
            lease.shares[disk] = lease.shares.get(disk, 0) + share.size
        return True

    def _choose(self, lease: Lease, up: NDArray[np.int64]) -> Choice | None:
        request = SpaceRequest(
            lease.size,
            lease.start,
            lease.until,
            key=lease.name,
            candidates=None if len(up) == len(self.disks) else up,
            options=lease.options,
        )
        if self.block_size is not None and lease.size > MAX_BLOCKS * self.block_size:
            raise InputError(f"{format_size(lease.size)} would be more than {MAX_BLOCKS} blocks")
        sizes = block_sizes(lease.size, self.block_size, self.min_block_size)
        if len(sizes) == 1:
            choice = self.policy.choose(self._view, request, self.rng)
        else:
            choice = choose_blocks(self.policy, self._view, request, sizes, self.rng)
        if choice is None or type(self.policy).__module__.startswith("batfs."):
            return choice  # one of ours, or one that is guarded already
        return checked_choice(choice, request, len(self.disks))

    def extend(self, lease: Lease, by: float) -> str:
        """Let the reservation end ``by`` seconds later; what stands against it, or nothing."""
        shares = [share for line in lease.lines for share in line.shares]
        try:
            self.ledger.check(shares, lease.until, lease.until + by)
        except NoRoomError as error:
            return (
                f"others come after it: {format_size(error.missing)} are missing on {self.names[error.index]}"
            )
        for line in lease.lines:
            self.ledger.set_end(line, lease.until + by)
        return ""

    def let_go(self, lease: Lease) -> None:
        """The promise is over; the bytes may still exist."""
        for line in lease.lines:
            if line.state != RELEASED:
                self.ledger.release(line)
        lease.lines = []

    def could_ever_fit(self, lease: Lease) -> bool:
        return lease.size <= self.capacity

    def shortage(self, lease: Lease) -> str:
        """Why there is no room for the lease."""
        up = self._candidates()
        if not len(up):
            return "no storage server is up"
        if lease.size > self.capacity:
            return f"no room: all disks together hold {format_size(self.capacity)}"
        largest = format_size(int(self.ledger.free(lease.start, lease.until)[up].max()))
        return f"no room: the most free bytes on one disk for that time are {largest}"

    def advance(self, now: float) -> None:
        self.ledger.advance(max(self.ledger.now, now))

    def used(self, now: float) -> int:
        """Bytes reserved now, all disks together."""
        return self.capacity - int(self.ledger.free(now, now).sum())

    # ---- what exists ---------------------------------------------------------------------------------------

    def is_clear(self, lease: Lease) -> bool:
        """Whether what stood on the lease's disks before has been removed, as far as it needs the space."""
        return all(
            self.present[i] + size <= self.disks[i][1].capacity
            for i, size in ((self.index[disk], size) for disk, size in lease.shares.items())
        )

    def occupy(self, lease: Lease, disks: Iterable[str] | None = None) -> None:
        """The lease's bytes exist from now on: on all its disks, or on some of them."""
        for disk in lease.shares if disks is None else disks:
            self.present[self.index[disk]] += lease.shares[disk]

    def vacate(self, lease: Lease, disk: str) -> None:
        self.present[self.index[disk]] -= lease.shares[disk]

    def validate(self, leases: Iterable[Lease]) -> None:
        """The two books against the leases; AssertionError names what is wrong."""
        reserved, present = [0] * len(self.disks), [0] * len(self.disks)
        for lease in leases:
            for disk, size in lease.shares.items():
                i = self.index[disk]
                if lease.lines and lease.lines[0].state == HELD:
                    reserved[i] += size
                if lease.state in ("provisioning", "allocated") or disk in lease.pending:
                    present[i] += size
        for i, (_, disk_) in enumerate(self.disks):
            held = self.ledger.held(i)
            assert held == reserved[i], f"{self.names[i]}: {held} in the ledger, {reserved[i]} in the leases"
            assert present[i] == self.present[i] <= disk_.capacity, (
                f"{self.names[i]}: {self.present[i]} exist"
            )
