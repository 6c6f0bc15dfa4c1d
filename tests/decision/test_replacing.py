"""One job replaced by another, as Batsim 5 wants it: the same run as with Batsim 4's additional_io_job.

The simulator here is Batsim 4's: parallel tasks over nodes and storages, registered and executed, are the
same in both generations. What would be sent to Batsim 5 is held against its rules on the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs.decision.experiment import Experiment, load
from batfs.decision.files import make_files
from batfs.decision.replacing import Numbering, Replacing, Translation, Watcher, merge
from batfs.protocol import messages as m
from batfs.protocol.v5.decision_side import encode_reply, milliseconds
from batfs.records import replace
from batfs.scheduling.config import Settings, flags_layer, parse_filesystem_flags
from batfs.scheduling.core import Scheduler
from batfs.simulator import JobResult, SimulationOptions, simulate
from batfs.workload.model import IoProfile, Job, Parallel, ParallelHomogeneousSpread
from tests.support.batsim5_rules import Rules

ROOT = Path(__file__).parents[2]
TAURUS = ROOT / "platforms/taurus_storage.xml"


def as_batsim5(request: m.Request) -> dict[str, Any]:
    """A request in Batsim 5's words, as far as the rules look at it."""
    events: list[dict[str, Any]] = []
    for event in request.events:
        said: dict[str, Any] | None = None
        if isinstance(event, m.SimulationBegins):
            said = {
                "computation_hosts": [{"id": r.id} for r in event.compute_resources],
                "storage_hosts": [{"id": r.id} for r in event.storage_resources],
            }
        elif isinstance(event, m.JobSubmitted) and event.job.workload != "batfs":
            job = {"resource_request": event.job.requested_nodes, "profile_id": f"w0!{event.job.profile}"}
            said = {"job_id": event.job.id, "job": job}
        elif isinstance(event, m.JobCompleted):
            said = {"job_id": event.job_id}
        elif isinstance(event, m.SimulationEnds):
            said = {}
        if said is not None:
            events.append({"event_type": f"{type(event).__name__}Event", "event": said})
    return {"now": request.now, "events": events}


def of_batsim4(decision: m.Decision) -> m.Decision:
    """Batsim 4 has no placements of single profiles: the task runs on the machines of its one profile, and
    tells its end from the first of these."""
    if isinstance(decision, m.ExecuteJob) and decision.overrides:
        [placed] = decision.overrides.values()
        return replace(decision, alloc=placed.alloc, overrides=None)
    return decision


class Checked:
    """Passes an exchange on, and holds each reply against the rules of Batsim 5."""

    def __init__(self, inner: m.DecisionProcess) -> None:
        self.inner = inner
        self.rules = Rules()
        self.faults: list[str] = []

    def decide(self, request: m.Request) -> m.Reply:
        self.rules.request(as_batsim5(request))
        reply = self.inner.decide(request)
        self.faults += self.rules.reply(json.loads(encode_reply(reply)))
        return m.Reply(reply.now, [of_batsim4(decision) for decision in reply.decisions])


def run(
    platform: Path, workload: Path, flags: dict[str, Any], *, dynamic: bool, replacing: bool, events: str = ""
) -> dict[str, JobResult]:
    """Every job by its own id; batfs's own ones too."""
    settings = Settings(flags=flags_layer(flags))
    loaded = load(Experiment(platform=platform, workloads=[workload]), settings.configuration())
    process: m.DecisionProcess = Scheduler(settings, make_files)
    checked = None
    if replacing:
        profiles = {w.name: w.profiles for w in loaded.workloads}
        translation = Translation(config={}, dynamic_jobs=dynamic, profiles=lambda named: profiles)
        process = Replacing(process, translation)
        process = checked = Checked(process)
    jobs: dict[str, JobResult] = {}

    def ended(job: JobResult) -> None:
        ours = job.job_id
        if ours.endswith("+io"):
            ours = ours.removeprefix("batfs!").removesuffix("+io").replace(".", "!", 1)
        if not (replacing and job.rejected and ours in jobs):
            jobs[ours] = job

    options = SimulationOptions(
        dynamic_jobs=dynamic or replacing, compute_sharing=replacing, storage_sharing=True, on_job=ended
    )
    simulate(loaded.platform, loaded.machine, loaded.workloads, process, options)
    assert checked is None or not checked.faults, checked.faults[:3]
    return jobs


def assert_same(one: dict[str, JobResult], two: dict[str, JobResult], within: float = 1e-6) -> None:
    """Each decision is a message of Batsim's that takes a latency (0.1 ms on taurus) to be heard. Jobs in
    steps come with their metadata in Batsim 4, which Batsim 5 has no message for: then ``within`` is some of
    those."""
    assert one.keys() == two.keys()
    for job_id, a in one.items():
        b = two[job_id]
        assert a.state == b.state, job_id
        assert abs(a.start - b.start) < within, job_id
        assert abs(a.end - b.end) < within, job_id


MODELS = {
    "as it is": [],
    "staged": ["bb=burst_buffer:backing=lustre"],
    "checkpoints and phases": ["lustre=pfs:timing=phases", "bb=burst_buffer:backing=lustre"],
    "dfs": ["disk=dfs:replication=2"],
    "cache": ["bb=cache:backing=lustre"],
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, dynamic: bool) -> None:
    flags = {"policy": "random", "queue": "easy", **parse_filesystem_flags(MODELS[name])}
    workload = ROOT / "workloads/io.json"
    one, two = (run(TAURUS, workload, flags, dynamic=dynamic, replacing=r) for r in (False, True))
    assert len([i for i in one if i.startswith("w0!")]) == 300
    assert_same(one, two, 0.05 if name == "checkpoints and phases" else 1e-6)


@pytest.mark.parametrize("queue", ["fcfs", "sjf_storage", "conservative", "filler", "fit_io"])
def test_queues(queue: str) -> None:
    flags = {"policy": "random", "queue": queue}
    workload = ROOT / "workloads/io.json"
    assert_same(*(run(TAURUS, workload, flags, dynamic=True, replacing=r) for r in (False, True)))


def test_composed() -> None:
    workload = ROOT / "workloads/io_composed.json"
    one, two = (run(TAURUS, workload, {}, dynamic=True, replacing=r) for r in (False, True))
    assert any(i.startswith("batfs!") for i in one)
    assert_same(one, two)


def small(tmp_path: Path, profiles: dict[str, Any], jobs: list[dict[str, Any]]) -> Path:
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"nb_res": 16, "jobs": jobs, "profiles": profiles}))
    return path


def test_walltimes_and_return_codes(tmp_path: Path) -> None:
    """A task cut at its walltime, one whose profile says that it fails, a delay with I/O beside it."""
    profiles = {
        "long": {"type": "parallel_homogeneous", "cpu": 1e12, "com": 0, "io_writes": 10**9},
        "fails": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 1e6, "io_reads": 10**9, "ret": 3},
        "sleep": {"type": "delay", "delay": 5, "io_reads": 10**10},
        "one": {"type": "parallel", "cpu": [1e9, 2e9], "com": [0, 5e8, 0, 0], "io_reads": 10**9},
    }
    jobs = [
        {"id": "a", "subtime": 0, "res": 2, "profile": "long", "walltime": 20.5},
        {"id": "b", "subtime": 0.1, "res": 3, "profile": "fails", "walltime": 100},
        {"id": "c", "subtime": 0.2, "res": 1, "profile": "sleep", "walltime": 1000},
        {"id": "d", "subtime": 0.3, "res": 2, "profile": "one", "walltime": 1000},
    ]
    workload = small(tmp_path, profiles, jobs)
    told: dict[str, m.JobCompleted] = {}
    one = run(TAURUS, workload, {"validate": True}, dynamic=True, replacing=False)
    assert [one[f"w0!{i}"].state for i in "abcd"] == [
        "COMPLETED_WALLTIME_REACHED",
        "COMPLETED_FAILED",
        "COMPLETED_SUCCESSFULLY",
        "COMPLETED_SUCCESSFULLY",
    ]

    class Notes(Watcher):
        def over(self, now: float, event: m.JobCompleted) -> None:
            told[event.job_id] = event

    settings = Settings(flags=flags_layer({"validate": True}))
    loaded = load(Experiment(platform=TAURUS, workloads=[workload]), settings.configuration())
    profiles_read = {w.name: w.profiles for w in loaded.workloads}
    translation = Translation(
        config={}, dynamic_jobs=True, profiles=lambda named: profiles_read, watch=Notes()
    )
    process = Checked(Replacing(Scheduler(settings, make_files), translation))
    options = SimulationOptions(dynamic_jobs=True, compute_sharing=True)
    simulate(loaded.platform, loaded.machine, loaded.workloads, process, options)
    assert told["w0!a"].state == "COMPLETED_WALLTIME_REACHED"
    assert (told["w0!b"].state, told["w0!b"].return_code) == ("COMPLETED_FAILED", 3)
    for job in "abcd":
        # five messages of 10 us before each start and after each end, at most
        assert abs(told[f"w0!{job}"].timestamp - one[f"w0!{job}"].end) < 1e-3


def resources(names: list[str], role: str, first: int) -> list[m.Resource]:
    return [m.Resource(first + k, name, role) for k, name in enumerate(names)]


class Scripted:
    """A decision process that does what it was told, and keeps what it saw."""

    def __init__(self, *decide: Callable[[float], list[m.Decision]]) -> None:
        self._decide = list(decide)
        self.seen: list[m.Event] = []

    def decide(self, request: m.Request) -> m.Reply:
        self.seen += request.events
        return m.Reply(request.now, self._decide.pop(0)(request.now) if self._decide else [])


def begins() -> m.SimulationBegins:
    """Twelve nodes in natural order, two storages: in byte order n10 and n11 come after n1."""
    nodes = resources([f"n{k}" for k in range(12)], "compute_node", 0)
    stores = resources(["bb", "pfs"], "storage", 12)
    return m.SimulationBegins(0.0, nodes, stores, True, True, {}, {"w0": "w.json"}, {})


def replaced(*decide: Callable[[float], list[m.Decision]]) -> tuple[Replacing, Scripted]:
    inner = Scripted(lambda now: [], *decide)
    process = Replacing(inner, Translation(config={}, dynamic_jobs=True, profiles=lambda named: {}))
    process.decide(m.Request(0.0, [begins()]))
    return process, inner


def test_numbering() -> None:
    _, inner = replaced()
    [begun] = inner.seen
    assert isinstance(begun, m.SimulationBegins)
    names = [r.name for r in begun.compute_resources]
    assert names == ["n0", "n1", "n10", "n11", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"]
    assert [r.id for r in (*begun.compute_resources, *begun.storage_resources)] == list(range(14))


def test_a_parallel_profile_keeps_its_executors_on_their_nodes() -> None:
    """Ours 1, 2, 4 are n1, n10, n2: Batsim 5's 1, 10, 2. Ascending 1 2 10, so executor 1 is on place 2."""
    job = Job("w0!a", 0.0, 3, "p", 100.0)
    profile = Parallel(np.array([1e9, 2e9, 3e9]), np.zeros((3, 3)))
    process, _ = replaced(lambda now: [m.ExecuteJob(now, "w0!a", (1, 2, 4))])
    [execute] = process.decide(m.Request(1.0, [m.JobSubmitted(1.0, job, profile)])).decisions
    assert isinstance(execute, m.ExecuteJob)
    assert execute.alloc == [1, 2, 10]
    assert execute.mapping == {0: 0, 1: 2, 2: 1}


def test_merged_in_the_order_of_batsim_5() -> None:
    """The same job reads 7 bytes for its second node (n10) from pfs (13): flops 1, 3, 2 and nothing on pfs;
    the bytes flow from place 3 to place 2."""
    job = Job("w0!a", 0.0, 3, "p", 100.0)
    profile = Parallel(np.array([1e9, 2e9, 3e9]), np.zeros((3, 3)))
    io = IoProfile(np.array([2, 13]), np.array([1]), np.array([0]), np.array([7.0]))
    execute = [m.ExecuteJob(1.0, "w0!a", (1, 2, 4), io_job=m.IoJob((2, 13), "io", io))]
    process, inner = replaced(lambda now: list(execute), lambda now: [m.KillJob(now, ["w0!a"])])
    reply = process.decide(m.Request(1.0, [m.JobSubmitted(1.0, job, profile)]))
    reject, register, submit, run = reply.decisions
    assert isinstance(reject, m.RejectJob)
    assert reject.job_id == "w0!a"
    assert isinstance(register, m.RegisterProfile)
    task = register.profile
    assert isinstance(task, Parallel)
    assert task.cpu.tolist() == [1e9, 3e9, 2e9, 0.0]
    assert np.argwhere(task.com).tolist() == [[3, 2]]
    assert task.com[3, 2] == 7.0
    assert isinstance(submit, m.RegisterJob)
    assert isinstance(run, m.ExecuteJob)
    assert submit.job.requested_nodes == 4
    assert submit.job.walltime == 100.0
    assert (run.job_id, run.alloc) == (submit.job.id, [1, 2, 10, 13])
    # killed under its own name, and told of so
    [kill] = process.decide(m.Request(2.0, [m.RequestedCall(2.0)])).decisions
    assert isinstance(kill, m.KillJob)
    assert kill.job_ids == [run.job_id]
    over = m.JobCompleted(2.0, run.job_id, "COMPLETED_KILLED", -2, "")
    process.decide(m.Request(2.0, [over, m.JobKilled(2.0, [run.job_id], {run.job_id: None})]))
    completed, killed = inner.seen[-2:]
    assert isinstance(completed, m.JobCompleted)
    assert isinstance(killed, m.JobKilled)
    assert completed.job_id == "w0!a"
    assert killed.job_ids == ["w0!a"]
    assert list(killed.progress) == ["w0!a"]


def test_nothing_is_killed_that_has_ended() -> None:
    """Batsim 5 aborts on a kill of a job whose end it has told, also in the reply to that end."""
    job = Job("w0!a", 0.0, 1, "p")
    process, _ = replaced(
        lambda now: [m.ExecuteJob(now, "w0!a", (0,))], lambda now: [m.KillJob(now, ["w0!a", "w0!b"])]
    )
    process.decide(m.Request(1.0, [m.JobSubmitted(1.0, job, ParallelHomogeneousSpread(1e9, 0))]))
    over = m.JobCompleted(2.0, "w0!a", "COMPLETED_SUCCESSFULLY", 0, "")
    assert not process.decide(m.Request(2.0, [over])).decisions


@pytest.mark.parametrize("resources", ["0-2", "n0 n1 n2"])
def test_availability_in_the_text_of_a_generic_event(resources: str) -> None:
    """Batsim 5's 0-2 are n0, n1 and n2: ours 0, 1 and 4."""
    process, inner = replaced()
    text = json.dumps({"type": "machine_unavailable", "resources": resources})
    event = m.Notification(5.0, "generic_external_event", {"data": text})
    process.decide(m.Request(5.0, [event]))
    said = inner.seen[-1]
    assert isinstance(said, m.Notification)
    assert said.kind == "event_machine_unavailable"
    assert said.data["resources"] == "0-1 4"


@given(st.floats(0, 1e9))
def test_calls_are_never_early_and_at_most_a_millisecond_late(at: float) -> None:
    assert at <= milliseconds(at) / 1000.0 <= at + 0.001 + at * 1e-15


@given(st.integers(0, 10**12))
def test_a_whole_millisecond_is_called_for_as_it_is(millisecond: int) -> None:
    assert milliseconds(millisecond / 1000.0) == millisecond


def test_calls_within_a_millisecond_are_one_at_its_end() -> None:
    """Who asks for 4.164937 and then for 4.164969 finds both dates over at 4.165, the one call that is
    sent; one at 4.164937, as it was asked for, would leave the other waiting for ever."""
    process, _ = replaced(
        lambda now: [m.CallMeLater(now, 4.164937)],
        lambda now: [m.CallMeLater(now, 4.164969), m.CallMeLater(now, 4.1655)],
    )
    replies = [process.decide(m.Request(at, [m.RequestedCall(at)])) for at in (4.0, 4.05)]
    assert [[d.at for d in reply.decisions if isinstance(d, m.CallMeLater)] for reply in replies] == [
        [4.165],
        [4.166],
    ]


@given(st.integers(1, 6), st.integers(1, 4), st.randoms(use_true_random=False))
def test_merge_conserves_flops_and_bytes(nodes: int, stores: int, rng: Any) -> None:
    """Batsim 5's spread amounts: com in all, whatever the number of pairs (none on one node)."""
    size = nodes + stores
    flows = [(a, nodes + b) for a in range(nodes) for b in range(stores) if rng.random() < 0.5]
    volumes = np.array([float(rng.randrange(1, 10**9)) for _ in flows])
    io = IoProfile(
        np.arange(size),
        np.array([a for a, _ in flows], np.int64),
        np.array([b for _, b in flows], np.int64),
        volumes,
    )
    own = ParallelHomogeneousSpread(6e9, 3e6)
    flops, matrix = merge(own, range(nodes), io, range(size), size)
    assert flops.sum() == pytest.approx(6e9)
    assert matrix.sum() == pytest.approx(volumes.sum() + (3e6 if nodes > 1 else 0))


def test_numbering_is_the_same_where_names_sort_alike() -> None:
    assert Numbering(resources(["a", "b"], "compute_node", 0), resources(["c"], "storage", 2)).same
    assert not Numbering(resources(["n2", "n10"], "compute_node", 0), ()).same
