"""``usage_trace`` profiles: each rank replays its ``m_usage`` actions on its machine.

The profile's file lists one trace file per rank. A line ``RANK m_usage USAGE FLOPS`` computes FLOPS on
each of max(1, round(USAGE x cores)) cores of the rank's machine, with no bytes moved. A rank that is through
sends 4 bytes to the job's first machine, where the job's own actor takes one such message at a time; the
job ends with the last of them (``usage_trace_replayer_process`` and ``execute_task`` in Batsim 4.2.1).
"""

from __future__ import annotations

from array import array
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batfs._core.arrays import doubles, integers
from batfs._core.flows import Flows
from batfs.errors import InputError
from batfs.simulator.actors import CANCELLED, DONE, TIMED_OUT, Actor, Call, Flow, Maestro, Script, Then
from batfs.simulator.work import Demand, Work
from batfs.texts import read_bytes
from batfs.workload.model import UsageTrace

if TYPE_CHECKING:
    from batfs._core.desk import SimJob, Task
    from batfs.simulator.engine import Engine
    from batfs.simulator.jobs import Budget
    from batfs.simulator.server import Server

Action = tuple[float, float]  # usage from 0 to 1, flops
END_OF_RANK: Final = 4.0  # bytes of the message a rank ends with


def read_trace(path: Path) -> list[list[Action]]:
    """The actions of each rank. InputError, with file and line, for whatever can't be read."""
    names = _text(path, "the list of traces").rstrip().split("\n")
    if names == [""]:
        return []
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise InputError(
                "found an empty line, expected the name of a rank's trace file",
                file=path,
                place=f"line {number}",
            )
    return [_read_rank(path.parent / name.rstrip(), rank) for rank, name in enumerate(names)]


def _text(path: Path, what: str) -> str:
    return read_bytes(path, what).decode(errors="surrogateescape")


def _read_rank(path: Path, rank: int) -> list[Action]:
    """The rank's own lines; those of others are passed over, and so is a last line that has no end, as
    SimGrid's replay does."""
    actions = []
    for number, line in enumerate(_text(path, f"the trace of rank {rank}").split("\n")[:-1], start=1):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] != str(rank):
            continue
        try:
            if len(words) < 4 or words[1] != "m_usage":
                raise ValueError
            usage, flops = float(words[2]), float(words[3])
            if not (0.0 <= usage <= 1.0 and 0.0 <= flops < float("inf")):
                raise ValueError
        except ValueError:
            raise InputError(
                f"found {line.strip()!r}, expected 'RANK m_usage USAGE FLOPS' with a usage from 0 to 1",
                file=path,
                place=f"line {number}",
            ) from None
        actions.append((usage, flops))
    return actions


class _Ranks:
    """The mailbox to which the ranks of one job send their ends, and the job's actor that reads it.

    Sender and reader meet, then 4 bytes travel; the others wait their turn.
    """

    def __init__(self, server: Server, host: int) -> None:
        self.server = server
        self.host = host
        self.running: dict[int, Actor] = {}  # by rank
        self.queue: deque[_Message] = deque()
        self.awaited: _Message | None = None  # the reader's, when it was there first
        self.current: _Message | None = None  # what is awaited or on its way
        self.deadline: _Deadline | None = None
        self.arrived = -1  # the rank whose end was read last

    def post(self, message: _Message) -> _Message:
        """A rank's message is there; what carries it is its own, or the reader's."""
        carrier = self.awaited
        if carrier is None:
            self.queue.append(message)
            return message
        self.awaited = None
        carrier.rank = message.rank
        carrier.start(message.sender)
        return carrier

    def take(self) -> _Message:
        """The reader is there."""
        if self.queue:
            message = self.queue.popleft()
            message.start(message.sender)
        else:
            message = self.awaited = _Message(self, -1, -1)
        self.current = message
        return message

    def forget(self) -> None:
        """The reader waits no longer."""
        if self.current is not None:
            self.current.drop()
        if self.deadline is not None:
            self.deadline.drop()
        self.current = self.awaited = self.deadline = None

    def abandon(self, engine: Engine) -> None:
        """The reader was killed."""
        self.forget()


class _Message(Call):
    """One rank's end on its way. As a call it sends: look up the mailbox, put it there, wait for arrival."""

    __slots__ = ("carrier", "flow", "rank", "ranks", "sender", "waiters")

    def __init__(self, ranks: _Ranks, rank: int, sender: int) -> None:
        self.ranks = ranks
        self.rank = rank
        self.sender = sender  # host
        self.carrier = self
        self.flow: _Transfer | None = None
        self.waiters: list[Actor] = []

    def serve(self, actor: Actor, step: int) -> int:
        if step == 0:
            return 1
        if step == 1:
            self.carrier = self.ranks.post(self)
            return 2
        self.carrier.waiters.append(actor)
        return 0

    def start(self, sender: int) -> None:
        """Both sides are there: the bytes travel."""
        server = self.ranks.server
        demand = Demand(2, None, flows=Flows(array("l", [0]), array("l", [1]), array("d", [END_OF_RANK])))
        work = server.workshop.work(demand, array("l", [sender, self.ranks.host]))
        self.flow = _Transfer(self, server.maestro, work)
        self.flow.start()

    def end(self) -> None:
        """It has arrived: whoever waits goes on, in the order in which they began to wait."""
        ranks = self.ranks
        deadline, ranks.deadline = ranks.deadline, None
        answer = DONE
        if deadline is not None and not deadline.drop():
            answer = TIMED_OUT  # the time was over in the same instant
        for actor in self.waiters:
            if actor.blocked_on is ranks:
                actor.blocked_on = None
                actor.answer = answer
            ranks.server.maestro.ready.append(actor)
        ranks.current = None
        ranks.arrived = self.rank

    def drop(self) -> None:
        """It will never arrive."""
        if self.flow is not None:
            self.flow.cancel()


class _Transfer(Flow):
    """The 4 bytes of a message."""

    __slots__ = ("message",)

    def __init__(self, message: _Message, maestro: Maestro, work: Work) -> None:
        super().__init__(maestro, work)
        self.message = message

    def end(self) -> None:
        super().end()
        self.message.end()


class _Wait(Call):
    """The reader's calls: take the next message or be there for it, wait for its arrival (for ``timeout``
    seconds at most, when that is not negative). DONE or TIMED_OUT is the answer."""

    __slots__ = ("ranks", "timeout")

    def __init__(self, ranks: _Ranks, timeout: float) -> None:
        self.ranks = ranks
        self.timeout = timeout

    def serve(self, actor: Actor, step: int) -> int:
        ranks = self.ranks
        if step == 0:
            ranks.take()
            return 1
        assert ranks.current is not None
        ranks.current.waiters.append(actor)
        actor.blocked_on = ranks
        if self.timeout >= 0.0:
            ranks.deadline = _Deadline(ranks, actor, self.timeout)
        return 0


class _Deadline:
    """The timer of a reader that doesn't wait for ever."""

    def __init__(self, ranks: _Ranks, actor: Actor, timeout: float) -> None:
        self.ranks = ranks
        self.actor = actor
        self.slot = ranks.server.engine.add_timer(timeout, self)

    def end(self) -> None:
        if self.ranks.deadline is self:
            self.ranks.deadline = None
            self.ranks.forget()
            self.actor.blocked_on = None
            self.actor.answer = TIMED_OUT
            self.ranks.server.maestro.ready.append(self.actor)

    def drop(self) -> bool:
        """Stop it; False when it has run out already."""
        engine = self.ranks.server.engine
        if engine.owners[self.slot] is not self:
            return False
        engine.remove(self.slot)
        return True


def _placed(job: SimJob, task: Task, count: int) -> tuple[int, ...]:
    """Which executor each rank is on: the job's ``smpi_ranks_to_hosts_mapping``, else one after the other.

    As in Batsim the job keeps the first one it used, so all its traces have the same number of ranks.
    """
    if job.ranks is None:
        given: Any = job.job.extra.get("smpi_ranks_to_hosts_mapping")
        if given:
            job.ranks = tuple(given)
        else:
            job.ranks = tuple(rank % job.job.requested_nodes for rank in range(count))
    if len(job.ranks) != count:
        raise InputError(
            f"the job {job.job.id!r} executes the usage trace {task.name!r} of {count} ranks, but its "
            f"mapping of ranks to hosts is for {len(job.ranks)}",
            hint="smpi_ranks_to_hosts_mapping (or the first usage trace of a job) sets their number",
        )
    ranks: tuple[int, ...] = job.ranks
    return ranks


def replay(server: Server, job: SimJob, task: Task, profile: UsageTrace, budget: Budget) -> Script:
    """Run all ranks, and wait for their ends."""
    path = Path(server.workloads[job.workload].path).parent / profile.trace
    traces = read_trace(path)
    executors = job.alloc if job.mapping is None else tuple(job.alloc[place] for place in job.mapping)
    places = _placed(job, task, len(traces))
    ranks = _Ranks(server, server.machines.hosts[job.alloc[0]])
    yield None  # the mailbox is looked up by its name
    for rank, actions in enumerate(traces):
        if places[rank] >= len(executors):
            raise InputError(
                f"the job {job.job.id!r} puts rank {rank} on machine {places[rank]} of the {len(executors)} "
                "it was given (they count from 0)"
            )
        host = server.machines.hosts[executors[places[rank]]]

        def create(
            creator: Actor, rank: int = rank, actions: list[Action] = actions, host: int = host
        ) -> None:
            actor = server.maestro.create(_rank(server, host, actions, _Message(ranks, rank, host)), host)
            ranks.running[rank] = actor
            job.actors.append(actor)
            server.maestro.ready.append(creator)

        yield Then(create)
    limited = budget.left >= 0.0
    while ranks.running:
        before = server.engine.now
        outcome = yield _Wait(ranks, max(budget.left, 0.0) if limited else -1.0)
        if outcome == TIMED_OUT:
            for actor in ranks.running.values():
                yield server.maestro.end_of(actor)
            return -1
        job.actors.remove(ranks.running.pop(ranks.arrived))
        if limited:
            budget.left -= server.engine.now - before
    return profile.ret


def _rank(server: Server, host: int, actions: list[Action], last: _Message) -> Script:
    cores = server.machine.platform.hosts[host].cores
    for usage, flops in actions:
        count = max(int(usage * cores + 0.5), 1)
        demand = Demand(count, doubles(count, flops))
        work = server.workshop.work(demand, integers(count, host))
        flow = Flow(server.maestro, work, owned=True)
        outcome = yield flow
        if outcome == CANCELLED:
            return
    yield last
