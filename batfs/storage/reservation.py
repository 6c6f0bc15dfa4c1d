"""What a ledger's reservation is made of, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Sequence

from batfs.errors import BatfsError
from batfs.storage.interface import Share, Storage


class LedgerError(BatfsError):
    """The ledger was asked for something that would break it: a defect of the caller's, not of its input."""


class NoRoomError(LedgerError):
    """A reservation doesn't fit. ``index`` is the first storage short of space, ``missing`` its bytes."""

    def __init__(self, storage: Storage, size: int, free: int) -> None:
        self.index = storage.index
        self.missing = size - free
        super().__init__(
            f"no room for {size} bytes on the storage {storage.name!r}: {free} free of {storage.capacity}"
        )


def merged_shares(shares: Sequence[Share], m: int) -> tuple[Share, ...]:
    """``shares`` with at most one per storage; LedgerError for a size or an index that makes no sense."""
    if not shares:
        raise LedgerError("a reservation needs at least one share")
    if len(shares) == 1:
        [share] = shares
        if 0 <= share.index < m and type(share.size) is int and share.size > 0:
            return (share,)
    sizes: dict[int, int] = {}
    for share in shares:
        if not 0 <= share.index < m:
            raise LedgerError(f"there is no storage {share.index}: there are {m}")
        if type(share.size) is not int or share.size <= 0:
            raise LedgerError(f"the size of a share must be a positive int, not {share.size!r}")
        sizes[share.index] = sizes.get(share.index, 0) + share.size
    if len(sizes) == len(shares):
        return tuple(shares)
    return tuple(Share(index, size) for index, size in sizes.items())
