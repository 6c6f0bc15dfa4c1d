"""Large requests in blocks, placed one by one, all or nothing.

The blocks of one request see each other: what the first took is gone for the second. Nothing is reserved
here; the shares of all blocks go to the ledger together.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.records import replace
from batfs.storage.interface import (
    AllocationPolicy,
    Choice,
    FloatArray,
    IntArray,
    Share,
    SpaceRequest,
    StorageTable,
    StorageView,
)

MOST_BLOCKS = 1_000_000


def block_sizes(size: int, block_size: int | None, min_block_size: int = 0) -> list[int]:
    """``size`` as blocks of ``block_size`` bytes and a remainder; whole when it isn't above one block.

    A remainder smaller than ``min_block_size`` is no block of its own: the last block takes it along.
    Raises InputError unless 0 < block_size and 0 <= min_block_size <= block_size.
    """
    if block_size is None:
        return [size]
    if block_size <= 0 or not 0 <= min_block_size <= block_size:
        raise InputError(
            f"block size {block_size} and smallest block {min_block_size} don't make sense",
            hint="0 <= smallest block <= block size is expected, and a block size above 0",
        )
    whole, rest = divmod(size, block_size)
    if whole > MOST_BLOCKS:
        raise InputError(
            f"{size} bytes in blocks of {block_size} would be {whole} blocks, above {MOST_BLOCKS}",
            hint="a larger block size",
        )
    if whole == 0 or (whole == 1 and rest == 0):
        return [size]
    sizes = [block_size] * whole
    if rest >= max(1, min_block_size):
        sizes.append(rest)
    else:
        sizes[-1] += rest
    return sizes


def choose_blocks(
    policy: AllocationPolicy,
    view: StorageView,
    request: SpaceRequest,
    sizes: Sequence[int],
    rng: random.Random,
) -> Choice | None:
    """Where ``policy`` puts each block, in order (shares of one block after those of the one before).

    None when one block finds no place. The shares of several blocks may name one storage.
    """
    if len(sizes) == 1 and sizes[0] == request.size:
        return policy.choose(view, request, rng)
    if len(sizes) == 1:
        return policy.choose(
            view, request if sizes[0] == request.size else replace(request, size=sizes[0]), rng
        )
    pending = PendingView(view, request.start, request.end)
    shares: list[Share] = []
    for size in sizes:
        choice = policy.choose(pending, replace(request, size=size), rng)
        if choice is None:
            return None
        for share in choice:
            pending.add(share)
        shares.extend(choice)
    return tuple(shares)


class PendingView:
    """``view`` as it will be once the shares added here are held during [start, end)."""

    def __init__(self, view: StorageView, start: float, end: float) -> None:
        self._view = view
        self._window = (start, end)
        m = len(view.storages)
        self._bytes: IntArray = np.zeros(m, dtype=np.int64)
        self._parts: IntArray = np.zeros(m, dtype=np.int64)

    def add(self, share: Share) -> None:
        self._bytes[share.index] += share.size
        self._parts[share.index] += 1

    @property
    def storages(self) -> StorageTable:
        return self._view.storages

    @property
    def now(self) -> float:
        return self._view.now

    @property
    def capacities(self) -> IntArray:
        return self._view.capacities

    @property
    def transfers(self) -> IntArray:
        return self._view.transfers + self._parts

    def free(self, start: float, end: float) -> IntArray:
        # a policy asks about the request's own window; for another this is the cautious answer
        return self._view.free(start, end) - self._bytes

    def overlaps(self, start: float, end: float) -> IntArray:
        return self._view.overlaps(start, end) + self._parts

    def overlapping_bytes(self, start: float, end: float) -> IntArray:
        return self._view.overlapping_bytes(start, end) + self._bytes

    def longest_overlap(self, start: float, end: float) -> FloatArray:
        own = min(end, self._window[1]) - max(start, self._window[0], self.now)
        longest = self._view.longest_overlap(start, end)
        return np.where(self._parts > 0, np.maximum(longest, max(own, 0.0)), longest)

    def distance(self, near: Sequence[str]) -> FloatArray | None:
        return self._view.distance(near)

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray | None:
        return self._view.residual_bandwidth(near)
