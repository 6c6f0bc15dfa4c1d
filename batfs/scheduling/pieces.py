"""A transfer in pieces: what part of its bytes moves, in how many tasks, and what holds these to a rate.

All bytes are whole numbers, and those of the pieces are together those of the transfer.
"""

from __future__ import annotations

from batfs._core.arrays import np
from batfs.filesystems.script import EMPTY, Activity
from batfs.filesystems.traffic import split_rows
from batfs.records import replace
from batfs.scheduling.storages import Throttle
from batfs.workload.model import FloatArray, IoProfile


def tasks(profile: IoProfile, volumes: FloatArray, flops: FloatArray | None, count: int) -> list[IoProfile]:
    """``volumes`` of a profile's flows as ``count`` tasks of even size, each with ``flops``."""
    columns = split_rows(volumes.astype(np.int64), count).T if count > 1 else volumes[None, :]
    parts = []
    for column in columns:
        there = np.flatnonzero(column)
        sent = column[there].astype(float)
        parts.append(IoProfile(profile.ids, profile.sources[there], profile.destinations[there], sent, flops))
    return parts


def part_of(volumes: FloatArray, size: int, whole: int) -> FloatArray:
    """``size`` bytes out of ``volumes`` (whole numbers that add up to ``whole``), in proportion."""
    base = np.minimum(np.floor(volumes * (size / whole)), volumes)
    missing = size - int(base.sum())
    while missing > 0:  # a byte each from the first that have one left
        room = np.flatnonzero(base < volumes)[:missing]
        base[room] += 1
        missing -= len(room)
    while missing < 0:
        room = np.flatnonzero(base > 0)[:-missing]
        base[room] -= 1
        missing += len(room)
    return base


def with_bytes(activity: Activity, profile: IoProfile) -> Activity:
    """The same activity for a part of its bytes."""
    if isinstance(activity.profile, IoProfile):
        return replace(activity, profile=profile)
    return replace(activity, io=profile)


def throttled(activity: Activity, part: IoProfile, throttle: Throttle, rate: float) -> Activity:
    """With one more flow, over the throttle: as an empty job on one of its own storages, beside which all of
    it moves."""
    size = float(part.volumes.sum())
    n, more = len(part.ids), np.array([throttle.source, throttle.destination])
    beside = max(1.0, round(throttle.bandwidth * size / rate))
    order = np.argsort(more)
    at = np.empty(2, dtype=np.int64)
    at[order] = (n, n + 1)
    profile = IoProfile(
        np.concatenate((part.ids, more[order])),
        np.append(part.sources, at[0]),
        np.append(part.destinations, at[1]),
        np.append(part.volumes, beside),
        None if part.flops is None else np.append(part.flops, (0.0, 0.0)),
    )
    return replace(activity, alloc=activity.alloc[:1], profile=EMPTY, io=profile)
