"""What access patterns cost: a model of the processes that ask for bytes, and of the targets that serve them.

Bytes over bandwidth is the least that I/O takes. Two effects are added, each a handful of numbers with units,
each off unless given; docs/background/access-patterns.md has the figures and what was left out.

**Clients** (``client = "latency:0.5ms stream:1.2GBps depth:8"``). A process has up to ``depth`` requests of s
bytes on their way at once, each of which takes ``latency`` and its bytes over ``stream``: its rate is

    r = min(stream, depth * s / (latency + s / stream))

(Little's law: what is on its way is rate times time). Sequential requests are put together up to ``window``
bytes first (read-ahead, write-back), those of a collective access up to ``buffer``; random and strided ones
wait for each other: a depth of 1. The p processes of a node (of a collective access: ``aggregators``) reach
together no more than ``node``. So a node needs at least t = bytes / min(p r, node) for its part, which is
charged as t x speed flops on the node itself: a ``parallel`` task can't end before, and where I/O overlaps
with the computation a process that waits for its bytes doesn't compute.

**Servers** (``server = "half:64KiB random_half:1MiB lock_half:8MiB half_streams:40"``). A request of s bytes
takes a target as long as s + h bytes at its bandwidth would (Hockney's half-performance length), so it
reaches

    f = share s / (s + h) / (1 + (n - 1) / half_streams)

of it with n processes at once on the target. h is ``half``, of random and strided requests ``random_half``;
to it come ``lock_half`` bytes, times (w - 1) / w, where w > 1 nodes write interleaved (strided, random) into
shared files without being collective: of w requests in a row w - 1 take the lock of an extent from another
client.

**Devices.** To f come the table of ``batfs.filesystems.efficiency`` at the number of transfers on the target,
those of the job and those under way when it starts, what hard disks lose where reads and writes share one
link (``shared_bandwidth``, ``mix_efficiency``), and what a fault has left of its bandwidth. Batsim's
links have one fixed bandwidth each, under every simulator, so what is lost is overhead: at factor f, B bytes
move B/f over the target's link, of which B are the job's own and the rest internal. They travel between a
target and its server where the server is a known resource, so that they slow the target's own link only; else
on the same routes as the job's bytes. The factor is that of the moment at which the job is planned, and kept:
I/O that overlaps with a computation can't be slowed down once it moves.

Any number can be given for reads and writes apart: ``read_latency``, ``write_half``. Sources: R. Hockney,
"(r_inf, n_1/2, s_1/2) measurements", Parallel Computing 2 (1985); J. Little (1961); Lustre Operations Manual
(client read-ahead, RPC windows, extent locks of the LDLM); R. Thakur et al., ROMIO (collective buffering).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.filesystems.access_parameters import parse_parameters
from batfs.filesystems.efficiency import Efficiency
from batfs.filesystems.interface import (
    OVERLAP,
    IoPlan,
    IoRequest,
    Move,
    Setup,
    Traffic,
    Transfer,
    Volume,
    add_internal,
)
from batfs.filesystems.traffic import by_destination, by_source, from_transfers, joined
from batfs.protocol.messages import Resource
from batfs.records import field, record, replace
from batfs.storage.interface import FloatArray, StorageView
from batfs.units import parse_bandwidth, parse_part
from batfs.workload.access import Way

_REQUEST: Final = 1 << 20  # of an entry that doesn't say: Lustre's and most clients' usual RPC


@record
class Client:
    """One direction: ``latency`` seconds; ``stream``, ``node`` bytes/s; ``window``, ``buffer`` bytes."""

    latency: float = 0.0
    stream: float = math.inf
    depth: float = 1.0
    node: float = math.inf
    window: float = 1 << 20
    buffer: float = 16 << 20
    aggregators: float = 1.0

    def size(self, way: Way) -> float:
        """Bytes of a request as it leaves the node."""
        size = way.size or _REQUEST
        if way.collective:
            return max(size, self.buffer)
        return max(size, self.window) if way.order == "sequential" else size

    def process_rate(self, way: Way) -> float:
        """Bytes/s of one process, or of one aggregator."""
        size = self.size(way)
        takes = self.latency + (size / self.stream if self.stream < math.inf else 0.0)
        if takes <= 0:
            return math.inf
        depth = self.depth if way.collective or way.order == "sequential" else 1.0
        return min(self.stream, depth * size / takes)

    def asking(self, way: Way, processes: int) -> float:
        """How many of a node's processes ask for bytes themselves."""
        return min(self.aggregators, processes) if way.collective else processes

    def node_rate(self, way: Way, processes: int) -> float:
        """Bytes/s of one node with so many processes."""
        return min(self.asking(way, processes) * self.process_rate(way), self.node)


@record
class Server:
    """One direction: the part of its bandwidth that a target reaches at best (``share``), the
    half-performance lengths in bytes, and a number of streams."""

    share: float = 1.0
    half: float = 0.0
    random_half: float = 0.0
    lock_half: float = 0.0
    half_streams: float = math.inf

    def factor(self, size: float, way: Way, streams: float, writers: int) -> float:
        """The part of its bandwidth that a target reaches, for requests of ``size`` bytes."""
        scattered = way.order != "sequential" and not way.collective
        half = self.random_half if scattered else self.half
        if scattered and writers > 1:
            half += self.lock_half * (writers - 1) / writers
        return self.share * size / (size + half) / (1.0 + max(0.0, streams - 1.0) / self.half_streams)


def reached(
    client: Client,
    server: Server,
    way: Way,
    nodes: int,
    processes: int,
    *,
    own: bool,
    writing: bool,
    targets: int,
    others: float = 0.0,
) -> float:
    """The part of its bandwidth that each of ``targets`` reaches under so many nodes of ``processes`` each,
    beside ``others`` streams. Processes with files of their ``own`` are spread over the targets."""
    streams = nodes * client.asking(way, processes)
    if own:
        streams = max(1.0, streams / targets)
    writers = nodes if writing and not own else 1
    return server.factor(client.size(way), way, streams + others, writers)


@record
class Device:
    """One storage whose reads and writes go over the same link: the parts of its bandwidth that either of
    them reaches alone, and both together reach while both are under way."""

    alone: tuple[float, float]
    mixed: float

    def factor(self, writing: bool, mixing: bool) -> float:
        """The part of the link's bandwidth that one direction reaches."""
        return self.alone[writing] * (self.mixed if mixing else 1.0)


def make_devices(storages: Sequence[Resource]) -> dict[int, Device]:
    """Those of these storages that say ``shared_bandwidth``. InputError for a property that makes no
    sense."""
    found: dict[int, Device] = {}
    for storage in storages:
        whole = _property(storage, "shared_bandwidth", parse_bandwidth)
        mixed = _property(storage, "mix_efficiency", parse_part)
        if whole is None:
            if mixed is not None:
                raise InputError(
                    f"the storage {storage.name!r} has a mix_efficiency, but no shared_bandwidth",
                    hint="only what shares one link is slower when both directions use it",
                )
            continue
        read, write = (_property(storage, f"{way}_bandwidth", parse_bandwidth) for way in ("read", "write"))
        alone = min(1.0, (read or whole) / whole), min(1.0, (write or whole) / whole)
        found[storage.id] = Device(alone, 1.0 if mixed is None else mixed)
    return found


def _property(storage: Resource, key: str, parse: Callable[[str], float]) -> float | None:
    text = storage.property(key)
    if text is None:
        return None
    try:
        value = parse(text)
        if value <= 0:
            raise InputError("it must be above 0")
    except InputError as error:
        place = f"property {key!r} of the storage {storage.name!r}"
        raise InputError(error.problem, place=place, hint=error.hint) from None
    return value


@record
class AccessModel:
    """Both sides of one file system with these ``storages``, for reads and for writes; ``servers``: the
    resource that stands for the server of a storage, by storage; ``speeds``: flop/s of the nodes, by id;
    ``efficiency`` by number of transfers."""

    clients: tuple[Client, Client]
    targets: tuple[Server, Server]
    servers: Mapping[int, int]
    speeds: Mapping[int, float]
    storages: frozenset[int] = frozenset()
    efficiency: Efficiency | None = None
    devices: Mapping[int, Device] = field(default_factory=dict)
    following: bool = False

    @property
    def idle(self) -> bool:
        """Whether it costs nothing while no storage is degraded."""
        return not self.speeds and self._ideal

    @property
    def _ideal(self) -> bool:
        """Whether the targets reach all of their bandwidth."""
        return self.efficiency is None and not self.devices and self.targets == (_IDEAL, _IDEAL)

    def apply(
        self,
        plan: IoPlan,
        request: IoRequest,
        view: StorageView,
        position: Mapping[int, int],
        *,
        staged: bool = False,
    ) -> None:
        """Add to ``plan`` what the pattern of ``request`` costs; ``position``: of storages in ``view``. What
        moves by itself (in phases, or ``staged``) may pay for the load of its devices piece by piece instead:
        see :meth:`follow`."""
        volume, nodes = request.volume, request.nodes
        self._wait(plan, volume, nodes)
        if not self._ideal or health_of(view) is not None:
            later = self.following and (staged or plan.timing != OVERLAP)
            self._slow(plan, request, view, position, later)

    def follow(self, traffic: Traffic, view: StorageView, position: Mapping[int, int]) -> list[Traffic]:
        """What these bytes cost as a piece that starts now, by the load of the devices at this moment."""
        if self._unloaded(view):
            return []
        return [
            self._overhead([traffic], k, storage, over, amount)
            for k in (0, 1)
            for storage, amount, factor in self._factors(traffic, k, view, position)
            if (over := round(amount * (1.0 / factor - 1.0))) > 0
        ]

    def _wait(self, plan: IoPlan, volume: Volume, nodes: Any) -> None:
        """The least time of each direction as work on the job's nodes (none on storages that are staged)."""
        speeds = self.speeds
        if not nodes or nodes[0] not in speeds:
            return
        access, n = volume.access, len(nodes)
        seconds = [
            size / n / client.node_rate(way, access.processes)
            for size, client, way in zip(
                (volume.reads, volume.writes), self.clients, (access.reads, access.writes), strict=True
            )
        ]
        if not any(seconds):
            return
        reading, writing = plan.caused_flops
        first, second = dict(reading), dict(writing)
        for node in nodes:
            speed = speeds[node]
            if seconds[0]:
                first[node] = first.get(node, 0.0) + seconds[0] * speed
            if seconds[1]:
                second[node] = second.get(node, 0.0) + seconds[1] * speed
        plan.read_flops = first
        plan.flops = {r: first.get(r, 0.0) + second.get(r, 0.0) for r in (*first, *second)}

    def _slow(
        self,
        plan: IoPlan,
        request: IoRequest,
        view: StorageView,
        position: Mapping[int, int],
        later: bool,
    ) -> None:
        """The overhead of the targets as internal traffic; checkpoints carry theirs. ``later``: what the load
        of the devices costs isn't counted yet."""
        volume = request.volume
        access = volume.access
        extra: tuple[list[Traffic], list[Traffic]] = ([], [])
        for k, (traffics, way) in enumerate(
            zip((plan.reads, plan.writes), (access.reads, access.writes), strict=True)
        ):
            server, client = self.targets[k], self.clients[k]
            if ((later or self._unloaded(view)) and server == _IDEAL) or not traffics:
                continue
            counts = {} if later else transfers_at(traffics, k)
            loads = by_destination(traffics) if k else by_source(traffics)
            own = volume.pattern != "shared"
            for storage, amount in loads.items():
                if storage not in self.storages:  # of a file system behind, which has said its own
                    continue
                at = position[storage]
                factor = 1.0 if later else self._loaded(storage, at, bool(k), counts[storage], view, plan)
                if server != _IDEAL:
                    factor *= reached(
                        *(client, server, way, len(request.nodes), access.processes),
                        own=own,
                        writing=bool(k),
                        targets=len(loads),
                        others=float(view.transfers[at]),
                    )
                over = round(amount * (1.0 / factor - 1.0))
                if over > 0:
                    extra[k].append(self._overhead(traffics, k, storage, over, amount))
        if extra[0] or extra[1]:
            add_internal(plan, *extra)
        if plan.checkpoints is not None and not self.following:
            writes = [self._slower(move, view, position) for move in plan.checkpoints.writes]
            plan.checkpoints = replace(plan.checkpoints, writes=writes)

    def _overhead(self, traffics: Sequence[Traffic], k: int, storage: int, over: int, amount: int) -> Traffic:
        """``over`` bytes beside the ``amount`` that leave (k = 0) or enter (1) a storage."""
        end = self.servers.get(storage)
        if end is None:
            return _along(traffics, k, storage, over / amount)
        ends = (storage, end) if not k else (end, storage)
        return from_transfers([Transfer(*ends, over)])

    def _unloaded(self, view: StorageView) -> bool:
        """Whether its devices cost nothing, whatever moves."""
        return self.efficiency is None and not self.devices and health_of(view) is None

    def _factors(
        self, traffic: Traffic, k: int, view: StorageView, position: Mapping[int, int]
    ) -> Iterator[tuple[int, int, float]]:
        """Of each own storage that the traffic leaves (k = 0) or enters (1): its bytes there, and what the
        device reaches."""
        counts = transfers_at([traffic], k)
        for storage, amount in (by_destination if k else by_source)([traffic]).items():
            if storage in self.storages:
                yield (
                    storage,
                    amount,
                    self._loaded(storage, position[storage], bool(k), counts[storage], view),
                )

    def _loaded(
        self,
        storage: int,
        at: int,
        writing: bool,
        count: int,
        view: StorageView,
        plan: IoPlan | None = None,
    ) -> float:
        """What the device reaches in one direction, with ``count`` transfers beside those under way: reads
        and writes of ``plan`` that go on at the same time mix, and so do those under way in the other
        direction."""
        health = health_of(view)
        factor = 1.0 if health is None else float(health[at])
        device = self.devices.get(storage)
        if device is not None:
            written = getattr(view, "writing", None)
            theirs = 0 if written is None else int(written[at])
            mixing = (int(view.transfers[at]) - theirs if writing else theirs) > 0
            if plan is not None and plan.timing == OVERLAP and not mixing:
                mixing = storage in (by_source(plan.reads) if writing else by_destination(plan.writes))
            factor *= device.factor(writing, mixing)
        if self.efficiency is not None:
            factor *= self.efficiency.at(count + int(view.transfers[at]))
        return factor

    def _slower(self, move: Move, view: StorageView, position: Mapping[int, int]) -> Move:
        """A checkpoint with what its targets lose to the number of transfers and to faults."""
        traffic = move.traffic
        extra = [
            _along([traffic], 1, storage, 1.0 / factor - 1.0)
            for storage, amount, factor in self._factors(traffic, 1, view, position)
            if round(amount * (1.0 / factor - 1.0)) > 0
        ]
        return replace(move, traffic=joined([traffic, *extra])) if extra else move


_IDEAL = Server()


def health_of(view: StorageView) -> FloatArray | None:
    """float64[m]: what faults have left of the storages' bandwidths; None while that is all of them. Views
    of others may not have it."""
    found: FloatArray | None = getattr(view, "health", None)
    return found


def transfers_at(traffics: Sequence[Traffic], end: int) -> dict[int, int]:
    """How many transfers leave (end 0) or enter (end 1) each id."""
    columns = joined(traffics).columns
    ids, counts = np.unique(columns[end][columns[2] > 0], return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def _along(traffics: Sequence[Traffic], end: int, storage: int, share: float) -> Traffic:
    """So large a share of what leaves (end 0) or enters (end 1) ``storage``, on the same routes."""
    columns = joined(traffics).columns
    there = columns[end] == storage
    sources, destinations, sizes = (column[there] for column in columns)
    others, place = np.unique(sources if end else destinations, return_inverse=True)
    sums = np.zeros(len(others), dtype=np.int64)
    np.add.at(sums, place, sizes)
    over = np.rint(sums * share).astype(np.int64)
    same = np.full(len(others), storage, dtype=np.int64)
    return Traffic(others, same, over) if end else Traffic(same, others, over)


# ---- from the configuration -------------------------------------------------------------------------------


def make_access(client: str, server: str, efficiency: str, setup: Setup) -> AccessModel:
    """The model these parameters describe for a file system.

    InputError where a client's are given and nobody gave the platform, which alone knows the nodes' speeds.
    """
    clients = tuple(Client(**values) for values in parse_parameters(client, "client"))
    targets = tuple(Server(**values) for values in parse_parameters(server, "server"))
    speeds: dict[int, float] = {}
    if client.strip():
        platform: Any = setup.platform
        if platform is None:
            raise InputError("client parameters need the platform file", hint="give it with -p")
        speeds = {
            node.id: float(platform.hosts[platform.host_index[node.name]].speed) for node in setup.nodes
        }
    ids = {node.name: node.id for node in setup.nodes}
    servers = {s.id: ids[name] for s in setup.storages if (name := s.property("server") or "") in ids}
    table = Efficiency.parse(efficiency)
    mine = frozenset(storage.id for storage in setup.storages)
    return AccessModel(
        *((clients[0], clients[1]), (targets[0], targets[1]), servers, speeds, mine, table),
        make_devices(setup.storages),
        setup.chunked and setup.dynamic_jobs,
    )
