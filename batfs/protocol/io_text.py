"""The dense matrix of an I/O profile, written without making it: most of it is zeros."""

from __future__ import annotations

import orjson

from batfs._core.arrays import np
from batfs.workload.model import IoProfile


def io_text(profile: IoProfile) -> bytes:
    """Batsim's ``parallel`` profile in JSON. Whole volumes are written as integers, which Batsim doesn't
    round."""
    n, volumes = len(profile.resources()), profile.volumes
    whole = not len(volumes) or bool(volumes.max() < 2.0**63 and not (volumes % 1.0).any())
    cpu = b"[" + _zeros(b"0,", n) + b"]" if profile.flops is None else _numbers(profile.flops)
    zero = b"0," if whole else b"0.0,"
    if not len(volumes):
        com = _zeros(zero, n * n)
    else:
        keys = profile.sources * n + profile.destinations
        gaps = np.diff(keys, prepend=-1) - 1  # zeros before each volume
        before = {gap: zero * gap for gap in set(gaps.tolist())}
        cells = _numbers(volumes.astype(np.int64) if whole else volumes)[1:-1].split(b",")
        rows = [before[gap] + cell for gap, cell in zip(gaps.tolist(), cells, strict=True)]
        after = n * n - 1 - int(keys[-1])
        com = b",".join([*rows, _zeros(zero, after)] if after else rows)
    return b'{"type":"parallel","cpu":' + cpu + b',"com":[' + com + b"]}"


def _numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)


def _zeros(zero: bytes, count: int) -> bytes:
    return (zero * count)[:-1]
