"""The replay: requests arrive, a policy places them, the ledger holds them until they end.

At one instant bytes are given back first; then those who wait are served, in their order of arrival; then
requests that arrive, in the order of the trace. A delayed request keeps its duration.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from batfs.storage.interface import AllocationPolicy, Choice, Network, Share, SpaceRequest, StorageTable
from batfs.storage.ledger import Ledger, NoRoomError
from batfs.storage.replay.metrics import Summary, Tally
from batfs.storage.replay.requests import TraceRequest
from batfs.storage.replay.waiting import Backfill, Fifo, Refuse, Retry, Storalloc, WhenFull
from batfs.storage.split import block_sizes, choose_blocks
from batfs.storage.view import SystemView

GRANTED, REFUSED, FAILED = "granted", "refused", "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. ``start`` is NaN unless granted; ``blocks`` how many blocks it was in."""

    request: TraceRequest
    state: str
    start: float
    shares: tuple[Share, ...]
    blocks: int
    tries: int
    reason: str = ""


def replay(
    table: StorageTable,
    requests: Iterable[TraceRequest],
    policy: AllocationPolicy,
    *,
    seed: int = 0,
    block_size: int | None = None,
    min_block_size: int = 0,
    when_full: WhenFull | None = None,
    network: Network | None = None,
    outcome: Callable[[Outcome], None] | None = None,
    series: list[tuple[float, int, int, int]] | None = None,
    validate: bool = False,
) -> Summary:
    """Replay ``requests`` (in order of arrival) on the storages of ``table``, empty at first.

    ``outcome`` is called once for each request, when its fate is known. ``series`` is filled with
    (time, storage index, bytes used, allocations) for each change. With ``validate`` the ledger checks
    itself after every event. ``policy`` should be a new one: some remember.
    """
    run = _Replay(table, policy, seed, block_size, min_block_size, when_full or Refuse(), network)
    run.outcome, run.validate = outcome, validate
    return run.play(requests, series)


class _Replay:
    def __init__(
        self,
        table: StorageTable,
        policy: AllocationPolicy,
        seed: int,
        block_size: int | None,
        min_block_size: int,
        when_full: WhenFull,
        network: Network | None,
    ) -> None:
        block_sizes(1, block_size, min_block_size)  # says what is wrong with them
        self.table, self.policy, self.when_full, self.network = table, policy, when_full, network
        self.rng = random.Random(seed)
        self.block_size, self.min_block_size = block_size, min_block_size
        self.outcome: Callable[[Outcome], None] | None = None
        self.validate = False
        self.largest = int(table.capacities.max()) if len(table) else 0
        self.everything = int(table.capacities.sum())
        self.retries: list[tuple[float, int, TraceRequest, int]] = []  # (time, order, request, tries so far)
        self.queue: deque[tuple[TraceRequest, int]] = deque()
        self.promised = -math.inf  # when the booked head of the queue starts
        self.order = 0
        self.summary = Summary()
        self._delays = 0.0
        self._fragmentation = 0.0

    def play(
        self, requests: Iterable[TraceRequest], series: list[tuple[float, int, int, int]] | None
    ) -> Summary:
        first = True
        for request in requests:
            if first:
                self._open(request.arrival, series is not None)
                first = False
            self._advance(request.arrival)
            self._arrive(request)
            if self.validate:
                self.ledger.validate()
        if first:
            self._open(0.0, False)
        self._advance(math.inf)
        while self.ledger.next_change < math.inf:
            self.ledger.advance(self.ledger.next_change)
        self._close()
        if series is not None and self.tally.series is not None:
            series.extend(self.tally.series)
        return self.summary

    def _open(self, begin: float, series: bool) -> None:
        self.ledger = Ledger(self.table, now=begin, release_at_end=True)
        self.tally = Tally(self.table, begin, series=series)
        self.ledger.listen(self.tally)
        # nobody knows transfers here: every reservation held counts as one
        self.view = SystemView(
            self.ledger, transfers=self.ledger.overlaps(begin, begin), network=self.network
        )

    def _close(self) -> None:
        s, n = self.summary, self.summary.requests
        s.begin, s.end = self.tally.begin, self.ledger.now
        s.mean_delay = self._delays / s.delayed if s.delayed else 0.0
        s.fragmentation = self._fragmentation / n if n else 0.0
        s.storages, s.groups, s.total = self.tally.uses(self.ledger.now)

    # ---- events -------------------------------------------------------------------------------------------

    def _advance(self, to: float) -> None:
        """Everything up to ``to``: releases, retries, the queue. ``inf`` goes on until nobody waits."""
        ledger, retries = self.ledger, self.retries
        while retries or self.queue:
            time = retries[0][0] if retries else ledger.next_change
            if time > to:
                break
            if time == math.inf:  # nothing will ever change: the head of the queue can't be served
                self._refuse(*self.queue.popleft(), "never fits")
                self._serve()
                continue
            ledger.advance(time)
            while retries and retries[0][0] <= time:
                _, _, request, tries = heapq.heappop(retries)
                self._try(request, tries)
            if self.queue:
                self._serve()
        if to != math.inf:
            ledger.advance(to)

    def _arrive(self, request: TraceRequest) -> None:
        s = self.summary
        s.requests += 1
        s.requested_bytes += request.size
        could_be = min(self.everything - self.tally.used[-1], self.largest)
        if could_be:
            self._fragmentation += 1.0 - self.ledger.largest_free / could_be
        if isinstance(self.when_full, Fifo | Backfill) and self.queue:
            self.queue.append((request, 0))
            if isinstance(self.when_full, Backfill):
                self._serve(only_last=True)
            return
        self._try(request, 0)

    def _try(self, request: TraceRequest, tries: int) -> None:
        """Grant it now, or do what is done when the system is full."""
        if self._grant(request, tries, request.arrival if tries == 0 else self.ledger.now):
            return
        rule = self.when_full
        if isinstance(rule, Retry):
            wait = rule.every * rule.backoff**tries
            if self.ledger.now + wait - request.arrival <= rule.limit:
                self.order += 1
                heapq.heappush(self.retries, (self.ledger.now + wait, self.order, request, tries + 1))
                return
            self._refuse(request, tries + 1, "no room")
        elif isinstance(rule, Storalloc):
            self._later(request, rule)
        elif isinstance(rule, Refuse):
            self._refuse(request, tries + 1, "no room")
        else:
            self.queue.append((request, tries + 1))
            self._serve()

    def _later(self, request: TraceRequest, rule: Storalloc) -> None:
        """StorAlloc's retry: later starts, one after the other, with the end where it is."""
        start, end, tries = request.arrival, request.arrival + request.duration, 1
        if len(self._sizes(request)) == 1:
            while start - request.arrival < rule.limit and start + rule.every < end:
                start += rule.every
                if self._grant(request, tries, start, end):
                    return
                tries += 1
        self._refuse(request, tries, "no room")

    def _serve(self, only_last: bool = False) -> None:
        """Those who wait, in order: strictly, or around the promise made to the first."""
        queue, ledger = self.queue, self.ledger
        if not only_last:
            while queue and ledger.now >= self.promised:
                request, tries = queue[0]
                if self._grant(request, tries, ledger.now):
                    queue.popleft()
                elif not len(ledger) or not self._ever(request):
                    queue.popleft()
                    self._refuse(request, tries + 1, "never fits")
                elif isinstance(self.when_full, Backfill) and self._promise(request, tries):
                    queue.popleft()
                else:
                    break
        if isinstance(self.when_full, Backfill):
            behind = [queue.pop()] if only_last else list(queue)
            if not only_last:
                queue.clear()
            for request, tries in behind:
                if not self._grant(request, tries, ledger.now):
                    queue.append((request, tries + 1))

    def _promise(self, request: TraceRequest, tries: int) -> bool:
        """Book the request at the earliest end of a reservation from which it fits."""
        for time in sorted({line.end for line in self.ledger.live}):
            if time > self.ledger.now and self._grant(request, tries, time):
                self.promised = time
                return True
        return False

    # ---- one request --------------------------------------------------------------------------------------

    def _ever(self, request: TraceRequest) -> bool:
        """False if even the empty system has no room (its blocks may still not fit side by side)."""
        return request.size <= self.everything and self._sizes(request)[0] <= self.largest

    def _sizes(self, request: TraceRequest) -> list[int]:
        if self.block_size is None or request.size <= self.block_size:
            return [request.size]
        return block_sizes(request.size, self.block_size, self.min_block_size)

    def _grant(self, request: TraceRequest, tries: int, start: float, end: float | None = None) -> bool:
        """True when the fate of the request is known: granted from ``start``, or failed. It keeps its
        duration unless ``end`` is given."""
        sizes = self._sizes(request)
        wanted = request.at(start)
        if end is not None:
            wanted = SpaceRequest(request.size, start, end, request.key)
        if len(sizes) == 1:
            choice = self.policy.choose(self.view, wanted, self.rng)
        else:
            choice = choose_blocks(self.policy, self.view, wanted, sizes, self.rng)
        if choice is None:
            return False
        try:
            self._reserve(choice, start, wanted.end, request.key)
        except NoRoomError as error:
            self._fail(request, tries + 1, choice, len(sizes), str(error))
            return True
        s = self.summary
        s.granted += 1
        s.granted_bytes += request.size
        s.blocks += len(sizes)
        if len(sizes) > 1:
            s.split += 1
        delay = start - request.arrival
        if delay > 0.0:
            s.delayed += 1
            self._delays += delay
            s.max_delay = max(s.max_delay, delay)
        if self.outcome is not None:
            self.outcome(Outcome(request, GRANTED, start, choice, len(sizes), tries + 1))
        return True

    def _reserve(self, choice: Choice, start: float, end: float, key: str) -> None:
        """All shares or none; each block is an allocation of its own, as the metrics count them."""
        if len(choice) > 1:
            self.ledger.check(choice, start, end)
        for share in choice:
            self.ledger.reserve((share,), start=start, end=end, key=key)

    def _fail(self, request: TraceRequest, tries: int, choice: Choice, blocks: int, reason: str) -> None:
        self.summary.failed += 1
        self.summary.failed_bytes += request.size
        self._note_fragmented(request)
        if self.outcome is not None:
            self.outcome(Outcome(request, FAILED, math.nan, choice, blocks, tries, reason))

    def _refuse(self, request: TraceRequest, tries: int, reason: str) -> None:
        self.summary.refused += 1
        self.summary.refused_bytes += request.size
        self._note_fragmented(request)
        if self.outcome is not None:
            blocks = len(self._sizes(request))
            self.outcome(Outcome(request, REFUSED, math.nan, (), blocks, tries, reason))

    def _note_fragmented(self, request: TraceRequest) -> None:
        if request.size <= self.everything - self.tally.used[-1]:
            self.summary.fragmented += 1
