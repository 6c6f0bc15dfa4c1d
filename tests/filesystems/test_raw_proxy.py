"""The proxy on messages as they are on the wire, against the injector on records."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from fs_tiny import Ran
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_proxy import BUFFER, MB, STAGED, Reckless, job, simulate_tiny

from batfs.decision.edc_proxy import Proxy5
from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.proxy import RawProxy
from batfs.decision.replacing import Translation
from batfs.protocol import messages as m
from batfs.protocol.codec import decode_reply, decode_request, encode_reply, encode_request
from batfs.protocol.decision_side import ProtocolError
from batfs.scheduling.config import Settings
from batfs.scheduling.story import InvariantError


class OnTheWire:
    """A decision process behind the proxy, everything in bytes."""

    def __init__(self, inner: m.DecisionProcess, injector: Injector) -> None:
        self.inner = inner
        self.proxy = RawProxy(injector)
        self.passed = 0

    def decide(self, request: m.Request) -> m.Reply:
        text = encode_request(request)
        passes = self.proxy.passes(text)
        asked = self.proxy.request(text)
        if passes:
            assert asked is text
            self.passed += 1
        return decode_reply(self.proxy.reply(None if asked is None else self.ask(asked), self.ask))

    def ask(self, text: bytes) -> bytes:
        return encode_reply(self.inner.decide(decode_request(text)))


def nobody(text: bytes) -> bytes:
    """Who isn't to be asked (again)."""
    raise NotImplementedError(text)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_and_records_give_the_same_run(tmp_path: Path, seed: int, dynamic: bool) -> None:
    """Jobs with and without I/O on a buffer and behind it, some killed, some without room: every job has the
    same times, and every message that was said to pass did so as it was."""
    rng = random.Random(seed)
    jobs = []
    for k in range(8):
        io: Any = [{"filesystem": name, "reads": rng.randint(0, 8) * 100 * MB} for name in ("bb", "lustre")]
        more = {"io": io[: rng.randint(1, 2)]} if rng.random() < 0.8 else {}
        one = job(f"{k}", rng.randint(1, 2), 3e9, at=rng.randint(0, 10), walltime=rng.choice([2, 50]), **more)
        jobs.append(one)
    runs, wires = [], []
    for kind in (OnTheWire, WithFileSystems):

        def make(settings: Any, files: Any, ran: Ran, kind: Any = kind) -> Any:
            made = kind(Reckless(seed, 3), Injector(settings, make_files=files))
            wires.append(made)
            return made

        runs.append(simulate_tiny(tmp_path, 3, BUFFER, jobs, STAGED, dynamic=dynamic, process=make))
    wire, records = runs
    assert not wire.result.deadlock
    assert {k: (j.start, j.end, j.rejected) for k, j in wire.jobs.items()} == {
        k: (pytest.approx(j.start, abs=1e-6), pytest.approx(j.end, abs=1e-6), j.rejected)
        for k, j in records.jobs.items()
    }
    assert dynamic or wires[0].passed > 4  # 8 of the fewest seen (12522)


def test_a_reply_that_says_nothing_passes_after_an_end(tmp_path: Path) -> None:
    """Where nobody waits for room, the end of a job with I/O leaves nothing to add to the reply."""
    seen: list[tuple[bytes | None, bytes]] = []

    class Listening(RawProxy):
        def reply(self, text: bytes | None, ask: Callable[[bytes], bytes]) -> bytes:
            answer = super().reply(text, ask)
            seen.append((text, answer))
            return answer

    def make(settings: Any, files: Any, ran: Ran) -> Any:
        made = OnTheWire(Reckless(0, 3), Injector(settings, make_files=files))
        made.proxy = Listening(made.proxy.injector)
        return made

    simulate_tiny(tmp_path, 3, BUFFER, [job("1", io_reads=100 * MB)], STAGED, process=make)
    quiet = [(text, answer) for text, answer in seen if text is not None and not orjson.loads(text)["events"]]
    assert len(quiet) >= 2
    assert all(answer is text for text, answer in quiet)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("JOB_KILLED", {"job_ids": ["w0!1"], "job_progress": {}}),
        ("JOB_COMPLETED", {"job_id": "w0!1", "job_state": "COMPLETED_KILLED", "return_code": 1}),
        (
            "JOB_SUBMITTED",
            {
                "job_id": "w0!1",
                "job": {"id": "w0!1", "subtime": 0, "res": 1, "profile": "p"},
                "profile": {"type": "parallel_homogeneous", "cpu": 1, "com": 0, "io_reads": 1},
            },
        ),
        (
            "JOB_SUBMITTED",  # one without I/O, of which nothing else is read
            {
                "job_id": "w0!1",
                "job": {"id": "w0!1", "subtime": 0, "res": 1, "profile": "p"},
                "profile": {"type": "delay", "delay": 1},
            },
        ),
        ("NOTIFY", {"type": "no_more_static_job_to_submit"}),
        ("REQUESTED_CALL", {}),
        ("SIMULATION_ENDS", {}),
    ],
)
def test_an_event_before_the_beginning(tmp_path: Path, kind: str, data: dict[str, Any]) -> None:
    """In the very message with which the simulation begins, ahead of it; and a second beginning."""
    begin = {"timestamp": 0, "type": "SIMULATION_BEGINS", "data": {
        "compute_resources": [], "storage_resources": [], "allow_compute_sharing": False,
        "allow_storage_sharing": True, "config": {}, "profiles": {}}}  # fmt: skip
    event = {"timestamp": 0, "type": kind, "data": data}
    with pytest.raises(InvariantError, match="before the simulation began"):
        RawProxy(Injector(Settings())).request(orjson.dumps({"now": 0, "events": [event, begin]}))
    proxy = RawProxy(Injector(Settings()))
    proxy.request(orjson.dumps({"now": 0, "events": [begin]}))
    with pytest.raises(InvariantError, match="SimulationBegins in mid-simulation"):
        proxy.request(orjson.dumps({"now": 1, "events": [begin]}))


@pytest.mark.parametrize("stamp", ["", None, [], {}], ids=repr)
def test_a_time_that_is_none_is_the_components_mistake(stamp: Any) -> None:
    """Batsim 5's generation, a decision that goes on as it is but for its time."""
    translation = Translation(config={}, dynamic_jobs=True, profiles={}, watch=None, renumber=False)  # type: ignore[arg-type]
    proxy = Proxy5(Injector(Settings()), translation)
    event = {"timestamp": stamp, "event_type": "MagicEvent", "event": {}}
    with pytest.raises(ProtocolError, match="the decision component behind the proxy sent"):
        proxy.reply(orjson.dumps({"now": 1, "events": [event]}) + b"\0", nobody)
    early = {"timestamp": 0, "event_type": "RejectJobEvent", "event": {"job_id": "w0!1"}}
    with pytest.raises(InvariantError, match="RejectJob before the simulation began"):
        proxy.reply(orjson.dumps({"now": 1, "events": [early]}) + b"\0", nobody)


ODD_IDS = (None, 3, 0.5, True, [], ["w0!1"], {}, {"id": 1})


@pytest.mark.parametrize("odd", ODD_IDS, ids=repr)
@pytest.mark.parametrize("kind", ["EXECUTE_JOB", "REJECT_JOB", "KILL_JOB", "KILL_JOB of"])
def test_an_id_that_is_none_is_the_schedulers_mistake(tmp_path: Path, kind: str, odd: Any) -> None:
    """Said of the scheduler at once; a number among the ids of KILL_JOB ended the proxy with a defect."""
    data = {"job_id": odd, "alloc": "0", "job_ids": odd if kind.endswith("of") else [odd]}
    if kind.endswith("of") and isinstance(odd, list):
        data["job_ids"] = [*odd, odd]
    kind = kind.partition(" ")[0]

    class Odd:
        def decide(self, request: m.Request) -> m.Reply:
            raise NotImplementedError

    class Wire(OnTheWire):
        def decide(self, request: m.Request) -> m.Reply:
            self.proxy.request(encode_request(request))
            event = {"timestamp": request.now, "type": kind, "data": data}
            answer = orjson.dumps({"now": request.now, "events": [event]})
            return decode_reply(self.proxy.reply(answer, nobody))

    def make(settings: Any, files: Any, ran: Ran) -> Any:
        return Wire(Odd(), Injector(settings, make_files=files))

    with pytest.raises(ProtocolError, match="the scheduler behind the proxy sent"):
        simulate_tiny(tmp_path, 3, BUFFER, [job("1", io_reads=100 * MB)], STAGED, process=make)
