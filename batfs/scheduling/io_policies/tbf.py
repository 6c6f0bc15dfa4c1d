"""Token buckets: so many bytes per second and owner, with bursts."""

from __future__ import annotations

from typing import Literal

from batfs.errors import InputError
from batfs.plugins import Bandwidth, Size
from batfs.records import record
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.scheduling.io_policies.interface import IoPass, IoView, Start, Transfer


@record(frozen=False)
class _Bucket:
    tokens: float
    at: float


@IO_POLICIES.register("tbf")
class TokenBuckets:
    """Each owner has a bucket that holds at most ``burst`` bytes and fills with ``rate`` bytes/s. A piece of
    a transfer starts when the bucket holds its bytes, and takes them: ``chunk`` bytes (the burst if 0), or
    what is left of the transfer. ``by``: who owns a bucket, each ``job`` or each ``user`` (the member
    ``user`` of the job in the workload; jobs without one share a bucket). With ``borrow`` a piece starts
    without tokens while nothing moves on the links it needs, so that nothing lies idle.

    Source: Lustre's NRS policy TBF (Qian et al., "A configurable rule based classful token bucket filter
    network request scheduler for the Lustre file system", SC 2017), whose rules are by job and user as well;
    borrowing as in AdapTBF (Rashid, Dai, IPDPS-W 2023).

    Of V bytes the first burst b starts at once and each further one b / rate later: on a link of bandwidth B
    they have moved after (V / b - 1) b / rate + b / B.
    """

    name = "tbf"

    def __init__(
        self,
        rate: Bandwidth,
        burst: Size,
        by: Literal["job", "user"] = "job",
        chunk: Size = 0,
        borrow: bool = False,
    ) -> None:
        if not rate > 0 or not burst > 0:
            raise InputError(
                f"the options 'rate' and 'burst' of the I/O policy 'tbf' are {rate:g} bytes/s and {burst} "
                "bytes, expected more than 0"
            )
        self._rate = rate
        self._burst = burst
        self._chunk = min(chunk or burst, burst)
        self._by_user = by == "user"
        self._borrow = borrow
        self._buckets: dict[str, _Bucket] = {}

    def schedule(self, view: IoView) -> IoPass:
        now, room = view.now, view.room()
        starts: list[Start] = []
        later: list[float] = []
        first: set[str] = set()  # owners somebody of whom waits for tokens: in turn
        for transfer in sorted(view.waiting, key=lambda t: t.since):
            owner = self._owner(transfer)
            bucket = self._buckets.setdefault(owner, _Bucket(float(self._burst), now))
            bucket.tokens = min(float(self._burst), bucket.tokens + self._rate * (now - bucket.at))
            bucket.at = now
            size = min(self._chunk, transfer.left)
            enough = bucket.tokens >= size * (1 - 1e-9) and owner not in first
            if enough or (self._borrow and room.idle(transfer)):
                bucket.tokens = max(0.0, bucket.tokens - size)
                room.take(transfer)
                starts.append(Start(transfer, max(size, 1)))
            elif owner not in first:
                first.add(owner)
                later.append(now + (size - bucket.tokens) / self._rate)
        alive = {self._owner(t) for t in (*view.waiting, *view.moving)}
        if len(self._buckets) > 2 * len(alive) + 16:  # of those that are gone, the full ones say nothing
            self._buckets = {o: b for o, b in self._buckets.items() if o in alive or not self._full(b, now)}
        return IoPass(starts, min(later, default=None))

    def _full(self, bucket: _Bucket, now: float) -> bool:
        return bucket.tokens + self._rate * (now - bucket.at) >= self._burst

    def _owner(self, transfer: Transfer) -> str:
        if self._by_user:
            return f"user {transfer.application.extra.get('user', '')}"
        return transfer.job_id
