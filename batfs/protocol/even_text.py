"""The dense matrix of an even I/O profile, written without making it: most of it is zeros, and the rest are
two numbers for each storage and direction, one byte apart."""

from __future__ import annotations

from collections.abc import Sequence

from batfs.workload.even import Amounts, EvenProfile


def even_text(profile: EvenProfile) -> bytes:
    """Batsim's ``parallel`` profile in JSON, with whole volumes, which Batsim doesn't round."""
    n, m = len(profile.nodes), len(profile.storages)
    size = n + m
    rows: list[str] = []
    if profile.written is None:
        rows.append(_zeros(n * size))
    else:
        columns = _columns(profile.written, n)
        before = _zeros(n) + ","
        if m == 1:
            [column] = columns
            rows += [before + value for value in column]
        else:
            rows += [before + ",".join(values) for values in zip(*columns, strict=True)]
    if profile.read is None:
        rows.append(_zeros(m * size))
    else:
        after = _zeros(m)
        for column in _columns(profile.read, n):
            rows += column
            rows.append(after)
    return f'{{"type":"parallel","cpu":[{_zeros(size)}],"com":[{",".join(rows)}]}}'.encode()


def _zeros(count: int) -> str:
    return ("0," * count)[:-1]


def _columns(amounts: Amounts, n: int) -> Sequence[list[str]]:
    """What each of ``n`` nodes exchanges with each storage."""
    columns = []
    for amount, start in zip(*amounts, strict=True):
        base, rest = divmod(amount, n)
        column = [str(base)] * n
        if rest:
            more, end = str(base + 1), start + rest
            if end <= n:
                column[start:end] = [more] * rest
            else:
                column[start:] = [more] * (n - start)
                column[: end - n] = [more] * (end - n)
        columns.append(column)
    return columns
