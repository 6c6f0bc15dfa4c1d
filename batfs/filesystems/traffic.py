"""Bytes on their way: splitting them exactly, and adding up what a plan moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from batfs._core.arrays import IntArray, np
from batfs._core.flows import evenly
from batfs._core.flows import joined as joined
from batfs.filesystems.interface import Traffic, Transfer


def split_evenly(size: int, parts: int) -> IntArray:
    """int64[parts] that add up to ``size`` and differ by at most one: the first ones get the remainder.

    This is the largest-remainder method for equal weights, ties to the lower index.
    """
    base, rest = divmod(size, parts)
    out = np.full(parts, base, dtype=np.int64)
    if rest:
        out[:rest] += 1
    return out


def split_by(size: int, weights: Sequence[int] | IntArray) -> IntArray:
    """int64[len(weights)] in proportion to whole ``weights`` >= 0, adding up to ``size`` exactly.

    Largest remainder (Hamilton's method), ties to the lower index; exact integer arithmetic, so that the
    result is the same on every machine. All weights zero: evenly.
    """
    whole = [int(w) for w in weights]
    total = sum(whole)
    if not total:
        return split_evenly(size, len(whole))
    if size == total:
        return np.array(whole, dtype=np.int64)
    shares = [divmod(size * w, total) for w in whole]
    missing = size - sum(share for share, _ in shares)
    order = sorted(range(len(whole)), key=lambda i: (-shares[i][1], i))[:missing]
    out = np.array([share for share, _ in shares], dtype=np.int64)
    out[order] += 1
    return out


def split_operations(
    operations: Mapping[str, int], weights: Sequence[int] | IntArray
) -> list[Mapping[str, int]]:
    """Metadata operations by name, shared out in proportion to ``weights``: a mapping for each."""
    if not operations or not len(weights):
        return [{}] * len(weights)
    columns = {name: split_by(count, weights).tolist() for name, count in operations.items()}
    return [{name: column[k] for name, column in columns.items() if column[k]} for k in range(len(weights))]


def split_rows(sizes: Sequence[int] | IntArray, parts: int, *, turn: bool = True) -> IntArray:
    """int64[len(sizes), parts]: each size split evenly over ``parts``.

    With ``turn`` each row's remainder starts where the last one stopped, so that the columns stay even too:
    column sums then differ by at most one.
    """
    whole = np.asarray(sizes, dtype=np.int64)
    base, rest = np.divmod(whole, parts)
    out = np.repeat(base[:, None], parts, axis=1)
    if rest.any():
        start = (np.cumsum(rest) - rest) % parts if turn else np.zeros_like(rest)
        distance = (np.arange(parts)[None, :] - start[:, None]) % parts
        out += distance < rest[:, None]
    return out


def from_transfers(transfers: Iterable[Transfer]) -> Traffic:
    """The same transfers as arrays."""
    rows = [tuple(one) for one in transfers]
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 3)
    return Traffic(columns[:, 0].copy(), columns[:, 1].copy(), columns[:, 2].copy())


def from_grid(sources: Sequence[int], destinations: Sequence[int], sizes: IntArray) -> Traffic:
    """Every source to every destination: ``sizes`` int64[len(sources), len(destinations)] whole bytes."""
    return Traffic(
        np.repeat(np.asarray(sources, dtype=np.int64), len(destinations)),
        np.tile(np.asarray(destinations, dtype=np.int64), len(sources)),
        sizes.ravel(),
    )


def turns(amounts: Sequence[int], parts: int) -> list[int]:
    """Where the remainder of each amount begins when all are split evenly over the same ``parts``: where the
    last one stopped, as in :func:`split_rows` with ``turn``."""
    return [at % parts for at in accumulate(amounts[:-1], initial=0)] if amounts else []


def spread(pieces: Sequence[tuple[int, int]], nodes: Sequence[int], *, reading: bool) -> list[Traffic]:
    """Each piece (storage, bytes) split evenly over the ``nodes`` by itself, remainders to the first ones; a
    storage may have several. Empty when nothing moves."""
    moving = sorted([piece for piece in pieces if piece[1]], key=lambda piece: piece[0])
    if not moving:
        return []
    ids = [storage for storage, _ in moving]
    part = [size for _, size in moving], (0,) * len(moving)
    traffic = evenly(nodes, ids, *((None, part) if reading else (part, None)))
    return [traffic if len(set(ids)) == len(ids) else Traffic(*traffic.columns)]


def size(traffic: Traffic) -> int:
    """Its bytes."""
    return int(traffic.sizes.sum()) if traffic.even is None else traffic.even.total


def total(traffics: Iterable[Traffic]) -> int:
    """Bytes of all."""
    return sum(size(traffic) for traffic in traffics)


def by_source(traffics: Iterable[Traffic]) -> dict[int, int]:
    """Bytes that leave each id, ids ascending, without those that send nothing."""
    return _sums(traffics, 0)


def by_destination(traffics: Iterable[Traffic]) -> dict[int, int]:
    """Bytes that enter each id, ids ascending, without those that receive nothing."""
    return _sums(traffics, 1)


def _sums(traffics: Iterable[Traffic], end: int) -> dict[int, int]:
    sums: dict[int, int] = {}
    for k, traffic in enumerate(traffics):
        even = traffic.even
        part = None if even is None else even.written if end else even.read
        if even is not None and part is not None and (even.written is None or even.read is None):
            found = {i: amount for i, amount in zip(even.storages, part[0], strict=True) if amount}
        else:
            ids = traffic.columns[end]
            # exact in int64, unlike bincount's floating-point weights; ids are small
            amounts = np.zeros(int(ids.max(initial=-1)) + 1, dtype=np.int64)
            np.add.at(amounts, ids, traffic.sizes)
            there = np.flatnonzero(amounts)
            found = dict(zip(there.tolist(), amounts[there].tolist(), strict=True))
        if not k:
            sums = found
            continue
        for i, amount in found.items():
            sums[i] = sums.get(i, 0) + amount
        sums = dict(sorted(sums.items()))
    return sums
