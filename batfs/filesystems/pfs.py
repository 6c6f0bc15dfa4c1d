"""PFS: a parallel file system like Lustre. docs/background/pfs.md explains it with a figure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from batfs._core.arrays import IntArray, np
from batfs._core.flows import evenly
from batfs.errors import InputError
from batfs.filesystems.base import MODELS, Model, Reserve, Timing
from batfs.filesystems.interface import (
    Hold,
    IoPlan,
    IoRequest,
    Outcome,
    Placement,
    Setup,
    Volume,
    add_internal,
)
from batfs.filesystems.services import GatewayChoice, Gateways, MetadataServers, service_nodes
from batfs.filesystems.traffic import from_grid, split_by, split_evenly, split_rows, turns
from batfs.plugins import Size
from batfs.storage.interface import StorageView
from batfs.storage.view import room


def stripe_layout(size: int, stripe_size: int, count: int) -> list[int]:
    """Bytes of a file of ``size`` bytes on each of the ``count`` targets it is striped over.

    Stripe i lies on target i mod count (Lustre manual, "File layout (striping)"): target t gets the full
    rounds, and of the last, partial round what reaches it.
    """
    rounds, rest = divmod(size, stripe_size * count)
    whole = rounds * stripe_size
    if not rest:
        return [whole] * count
    full, partial = divmod(rest, stripe_size)
    out = [whole + stripe_size] * full + [whole] * (count - full)
    if partial:
        out[full] += partial
    return out


#: The remainder of what is on one target begins at the first node.
_FIRST = (0,)


@MODELS.register("pfs")
class ParallelFileSystem(Model):
    """Storage targets behind servers; files striped over them; every node speaks with every target of a file.

    ``stripe_count`` targets a file (0: all of them; Lustre's default is 1), ``stripe_size`` bytes a stripe.
    A job with f files uses up to f * stripe_count targets. Which ones: the allocation policy, one target
    after the other. Gateways and metadata servers are off unless configured: see ``services``.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        stripe_count: int = 1,
        stripe_size: Size = 1 << 20,
        gateways: str = "",
        gateways_per_job: int = 1,
        gateway_choice: GatewayChoice = "round_robin",
        metadata_servers: str = "",
        operations_per_file: int = 3,
        operation_work: float = 2e4,
        timing: Timing = "overlap",
        reserve: Reserve = "both",
    ) -> None:
        super().__init__(setup, timing=timing, reserve=reserve)
        if stripe_count < 0 or stripe_size < 1:
            raise InputError("stripe_count must be 0 (all) or more, and stripe_size at least one byte")
        self.stripe_count = min(stripe_count, len(self.storages)) or len(self.storages)
        self.stripe_size = stripe_size
        ids = service_nodes(setup, "gateway", gateways)
        self.gateways = Gateways(setup, ids, gateways_per_job, gateway_choice) if ids else None
        self.nodeless = self.gateways is None
        servers = service_nodes(setup, "metadata", metadata_servers)
        self.metadata = MetadataServers(servers, operations_per_file, operation_work) if servers else None

    def own_nodes(self) -> Sequence[int]:
        gateways = self.gateways.ids if self.gateways else ()
        metadata = self.metadata.ids if self.metadata else ()
        return tuple(sorted({*gateways, *metadata}))

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
        volume = request.volume
        if not volume.reads and not volume.writes:  # metadata alone
            outcome: Outcome = IoPlan(self.name)
        elif volume.pattern == "shared" or len(self.storages) == 1:
            outcome = self._split(request, view, rng)
        else:
            outcome = self._chosen(request, self.layout(volume, len(request.nodes)), view, rng)
        if isinstance(outcome, IoPlan):
            self.around(outcome, request, view, rng)
        return outcome

    def around(self, plan: IoPlan, request: IoRequest, view: StorageView, rng: random.Random) -> None:
        """See ``Model.around``: timing, overheads, gateways and metadata."""
        volume, nodes = request.volume, request.nodes
        if self.timing != "overlap" or volume.options:
            plan.timing = self.timing_of(request)
        if self.gateways is not None:
            self._forward(plan, request, rng, self.gateways)
        if self.metadata is not None:
            plan.flops = self.metadata.flops(volume, len(nodes))
            if volume.writes:
                share = volume.reads / (volume.reads + volume.writes)
                plan.read_flops = {server: amount * share for server, amount in plan.flops.items()}

    def on_one(self, volume: Volume) -> bool:
        """See ``Model.on_one``: a file of one stripe, and nobody between the nodes and its target."""
        if self.gateways is not None or self.metadata is not None or volume.pattern != "shared":
            return False
        return (len(self.storages) == 1 or volume.files * self.stripe_count == 1) and bool(
            self.held_bytes(volume.reads, volume.writes)
        )

    @property
    def attends(self) -> bool:
        """Only gateways remember anything of jobs."""
        return self.gateways is not None

    def started(self, request: IoRequest, plan: IoPlan, now: float) -> None:
        if self.gateways is not None:
            self.gateways.started()

    # ---- which bytes on which targets ---------------------------------------------------------------------

    def _split(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
        """The job's own bytes, which every node exchanges with each of the targets."""
        volume, nodes = request.volume, request.nodes
        reads, writes, m = volume.reads, volume.writes, len(self.storages)
        if m == 1 or volume.files * self.stripe_count == 1:  # everything on one target
            need = self.held_bytes(reads, writes)
            if m > 1:
                one = self.choose((need,), request, view, rng)
                if isinstance(one, Hold):
                    return one
                if len(one[0]) > 1:
                    return self._shared_out(request, self.layout(volume, len(nodes)), one)
                [[(target, _)]] = one
            elif need > room(view, self.setup.positions[0], request.start, request.end):
                return self.hold([need], request, view)
            else:  # the one storage there is, without asking the policy
                target = self.storages[0].id
            return IoPlan(
                self.name,
                (Placement(target, need),) if need else (),
                (evenly(nodes, (target,), None, ((reads,), _FIRST)),) if reads else (),
                (evenly(nodes, (target,), ((writes,), _FIRST), None),) if writes else (),
            )
        count = min(volume.files * self.stripe_count, m)
        sets = max(1, count // self.stripe_count)
        columns = [self._shared(size, sets, count) for size in (reads, writes)]
        needs = self.held_each(*columns)
        picked = self.pick(needs, request, view, rng, self.everywhere)
        if picked is None:
            chosen = self.choose(needs, request, view, rng)
            if isinstance(chosen, Hold):
                return chosen
            if any(len(shares) > 1 for shares in chosen):
                return self._shared_out(request, self.layout(volume, len(nodes)), chosen)
            picked = [shares[0][0] for shares in chosen]
        order = sorted(range(count), key=picked.__getitem__)
        ids = [picked[k] for k in order]
        rest = [turns(column, len(nodes)) for column in columns]
        read, written = (
            ([column[k] for k in order], [turn[k] for k in order])
            for column, turn in zip(columns, rest, strict=True)
        )
        return IoPlan(
            self.name,
            tuple([Placement(picked[k], needs[k]) for k in order if needs[k]]),
            (evenly(nodes, ids, None, read),) if reads else (),
            (evenly(nodes, ids, written, None),) if writes else (),
        )

    def _chosen(
        self, request: IoRequest, layout: tuple[IntArray, IntArray], view: StorageView, rng: random.Random
    ) -> Outcome:
        by_target = zip(*(matrix.sum(axis=0).tolist() for matrix in layout), strict=True)
        chosen = self.choose([self.held_bytes(r, w) for r, w in by_target], request, view, rng)
        return chosen if isinstance(chosen, Hold) else self._shared_out(request, layout, chosen)

    def _shared_out(
        self,
        request: IoRequest,
        layout: tuple[IntArray, IntArray],
        chosen: Sequence[Sequence[tuple[int, int]]],
    ) -> IoPlan:
        """Any layout (bytes read and written int64[n, targets]) on the storages chosen for its targets."""
        reads, writes = layout
        held = tuple(Placement(s, size) for s, size in sorted(share for c in chosen for share in c) if size)
        if any(len(shares) > 1 for shares in chosen):
            # a policy that splits by itself: what moves on each storage is what is held there
            parts = [
                _follow(read, written, [size for _, size in shares])
                for read, written, shares in zip(reads.T, writes.T, chosen, strict=True)
            ]
            reads, writes = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
        targets = [storage for shares in chosen for storage, _ in shares]
        order = sorted(range(len(targets)), key=targets.__getitem__)
        ids = tuple(targets[i] for i in order)
        reads, writes = reads[:, order], writes[:, order]
        if len(set(ids)) < len(ids):
            first = [k for k, target in enumerate(ids) if not k or ids[k - 1] != target]
            reads, writes = (np.add.reduceat(matrix, first, axis=1) for matrix in (reads, writes))
            ids = tuple(ids[k] for k in first)
        volume, nodes = request.volume, request.nodes
        return IoPlan(
            self.name,
            held,
            (from_grid(ids, nodes, reads.T),) if volume.reads else (),
            (from_grid(nodes, ids, writes),) if volume.writes else (),
        )

    def layout(self, volume: Volume, n: int) -> tuple[IntArray, IntArray]:
        """Bytes read and written int64[n, targets] by each node on each target used, not yet named.

        ``shared``: each of the f files is striped over its own targets as long as there are enough, and every
        node touches an equal part of each. ``per_node``: a node's files are its own; the targets of node j
        start where those of node j-1 end (round robin).
        """
        m, k = len(self.storages), self.stripe_count
        if volume.pattern == "shared":
            count = min(volume.files * k, m)
            sets = max(1, count // k)
            return (
                split_rows(self._shared(volume.reads, sets, count), n).T,
                split_rows(self._shared(volume.writes, sets, count), n).T,
            )
        each = min(-(-volume.files_of(n) // n) * k, m)
        count = min(each * n, m)
        return self._per_node(volume.reads, n, each, count), self._per_node(volume.writes, n, each, count)

    def _shared(self, size: int, sets: int, count: int) -> list[int]:
        """``size`` bytes in ``sets`` sets of stripes over ``count`` targets: bytes of each."""
        if sets == 1:
            return stripe_layout(size, self.stripe_size, count)
        out: list[int] = []
        base, rest = divmod(size, sets)
        for s in range(sets):
            width = count * (s + 1) // sets - count * s // sets
            out += stripe_layout(base + (s < rest), self.stripe_size, width)
        return out

    def _per_node(self, size: int, n: int, each: int, count: int) -> IntArray:
        out = np.zeros((n, count), dtype=np.int64)
        start = np.arange(n) * each % count
        for j, part in enumerate(split_evenly(size, n).tolist()):
            out[j, (start[j] + np.arange(each)) % count] = stripe_layout(part, self.stripe_size, each)
        return out

    # ---- what comes on top --------------------------------------------------------------------------------

    def _forward(self, plan: IoPlan, request: IoRequest, rng: random.Random, gateways: Gateways) -> None:
        picked = gateways.choose(request.nodes, rng, sum(map(len, self.trials.values())))
        nodes = request.nodes
        read = [gateways.redirect(traffic, nodes, picked, reading=True) for traffic in plan.reads]
        written = [gateways.redirect(traffic, nodes, picked, reading=False) for traffic in plan.writes]
        plan.reads, plan.writes = [outer for outer, _ in read], [outer for outer, _ in written]
        add_internal(plan, [inner for _, inner in read], [inner for _, inner in written])
        plan.notes = {**plan.notes, "gateways": list(picked)}


def _follow(read: IntArray, written: IntArray, shares: Sequence[int]) -> tuple[IntArray, IntArray]:
    """One column of a layout (bytes by node) shared out: int64[n, shares] each. Where it holds what it reads
    and writes, both together are ``shares`` exactly."""
    by_share = split_by(int(read.sum()), shares)
    rest = np.array(shares, dtype=np.int64) - by_share
    if rest.sum() != written.sum():
        rest = split_by(int(written.sum()), shares)
    return _rows(read, by_share), _rows(written, rest)


def _rows(column: IntArray, totals: IntArray) -> IntArray:
    """Each row of ``column`` split by what is left of ``totals``: rows and columns both add up."""
    left, rows = totals, []
    for size in column.tolist():
        rows.append(split_by(size, left.tolist()))
        left = left - rows[-1]
    return np.array(rows, dtype=np.int64)
