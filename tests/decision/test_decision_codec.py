"""The decision process's half of the protocol: requests are read, replies are written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from batfs.protocol import messages as m
from batfs.protocol.decision_side import LazyProfiles, ProtocolError, decode_request, encode_reply
from batfs.workload.model import IoProfile, Job, ParallelHomogeneous

ROOT = Path(__file__).parents[2]
GOLDEN = next(
    (path for path in (ROOT.parent / "shared/golden", ROOT.parents[1] / "shared/golden") if path.is_dir()),
    None,
)


@pytest.mark.skipif(GOLDEN is None, reason="no recordings of the real Batsim here (../shared/golden)")
def test_every_recorded_request_is_understood() -> None:
    """All requests of the real Batsim, with nothing left out: counts and kinds of events agree."""
    assert GOLDEN is not None
    seen: set[str] = set()
    for transcript in sorted(GOLDEN.glob("cases/*/transcript.jsonl")):
        for line in transcript.read_text().splitlines():
            raw = json.loads(line).get("request")
            if raw is None:
                continue
            request = decode_request(json.dumps(raw))
            assert request.now == raw["now"]
            assert [event.timestamp for event in request.events] == [e["timestamp"] for e in raw["events"]]
            for event, given in zip(request.events, raw["events"], strict=True):
                seen.add(given["type"])
                if isinstance(event, m.SimulationBegins):
                    assert len(event.compute_resources) == given["data"]["nb_compute_resources"]
                    assert len(event.storage_resources) == given["data"]["nb_storage_resources"]
                    for name, profiles in given["data"]["profiles"].items():
                        assert set(event.profiles[name]) == set(profiles)
                        assert all(event.profiles[name][key] is not None for key in profiles)
                elif isinstance(event, m.JobSubmitted):
                    assert event.job.id == given["data"]["job_id"]
                    assert event.job.requested_nodes == given["data"]["job"]["res"]
    assert {"SIMULATION_BEGINS", "JOB_SUBMITTED", "JOB_COMPLETED", "JOB_KILLED", "NOTIFY"} <= seen


def test_the_documented_matrix_on_the_wire() -> None:
    """Batsim's documentation: 4e8 from storage 10 to each node, 1e8 from each node to its disk, on 0-3 10."""
    ids = np.array([0, 1, 2, 3, 10])
    io = IoProfile(
        ids,
        sources=np.array([0, 1, 4, 4]),
        destinations=np.array([2, 3, 0, 1]),
        volumes=np.array([1e8, 1e8, 4e8, 4e8]),
    )
    execute = m.ExecuteJob(1.5, "w0!job1", (0, 1), io_job=m.IoJob(ids.tolist(), "io", io))
    [event] = json.loads(encode_reply(m.Reply(1.5, [execute])))["events"]
    assert event["data"]["alloc"] == "0-1"
    assert event["data"]["additional_io_job"] == {
        "alloc": "0-3 10",
        "profile_name": "io",
        "profile": {
            "type": "parallel",
            "cpu": [0, 0, 0, 0, 0],
            "com": [
                *[0, 0, 100000000, 0, 0],
                *[0, 0, 0, 100000000, 0],
                *[0, 0, 0, 0, 0],
                *[0, 0, 0, 0, 0],
                *[400000000, 400000000, 0, 0, 0],
            ],
        },
    }


@pytest.mark.parametrize(
    ("decision", "kind", "data"),
    [
        (m.RejectJob(1.0, "w0!1"), "REJECT_JOB", {"job_id": "w0!1"}),
        (m.KillJob(1.0, ["w0!1", "w0!2"]), "KILL_JOB", {"job_ids": ["w0!1", "w0!2"]}),
        (m.CallMeLater(1.0, 2.5), "CALL_ME_LATER", {"timestamp": 2.5}),
        (m.SetJobMetadata(1.0, "w0!1", "x"), "SET_JOB_METADATA", {"job_id": "w0!1", "metadata": "x"}),
        (m.SetResourceState(1.0, "0-2", "1"), "SET_RESOURCE_STATE", {"resources": "0-2", "state": "1"}),
        (m.Notify(1.0, "registration_finished"), "NOTIFY", {"type": "registration_finished"}),
        (
            m.RegisterJob(1.0, Job("d!1", 0.0, 2, "p")),
            "REGISTER_JOB",
            {"job_id": "d!1", "job": {"id": "d!1", "subtime": 0.0, "walltime": -1, "res": 2, "profile": "p"}},
        ),
        (
            m.RegisterProfile(1.0, "d", "p", ParallelHomogeneous(1e6, 0.0)),
            "REGISTER_PROFILE",
            {
                "workload_name": "d",
                "profile_name": "p",
                "profile": {"type": "parallel_homogeneous", "cpu": 1000000.0, "com": 0.0},
            },
        ),
        (
            m.ExecuteJob(1.0, "w0!1", (0, 2), mapping={0: 1, 1: 0}),
            "EXECUTE_JOB",
            {"job_id": "w0!1", "alloc": "0 2", "mapping": {"0": 1, "1": 0}},
        ),
        (
            m.ExecuteJob(1.0, "w0!1", (0,), storage_mapping={"pfs": 7}),
            "EXECUTE_JOB",
            {"job_id": "w0!1", "alloc": "0", "storage_mapping": {"pfs": 7}},
        ),
    ],
)
def test_decisions_on_the_wire(decision: m.Decision, kind: str, data: dict[str, object]) -> None:
    [event] = json.loads(encode_reply(m.Reply(1.0, [decision])))["events"]
    assert event == {"timestamp": 1.0, "type": kind, "data": data}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{", "not JSON"),
        (b'{"events": []}', "'now' is missing"),
        (b'{"now": 0, "events": [{"timestamp": 0, "type": "HELLO"}]}', "unknown event type 'HELLO'"),
        (b'{"now": 0, "events": [{"timestamp": 0, "type": "JOB_SUBMITTED", "data": {}}]}', "redis"),
    ],
)
def test_what_is_no_message_is_named(text: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        decode_request(text)


@pytest.mark.parametrize(
    "profile",
    [
        {"type": "delay", "delay": 0.0},
        {"type": "send", "msg": {}, "sleeptime": 0.0},
        {"type": "recv", "polltime": 0},
    ],
)
def test_what_was_rounded_to_nothing_is_accepted(profile: dict[str, object]) -> None:
    """A delay of 2e-7 s arrives as 0.000000: it is above 0 in the file, and the job is one like any other."""
    job = {"id": "w0!1", "subtime": 0, "walltime": 10, "res": 1, "profile": "p"}
    event = {
        "timestamp": 0,
        "type": "JOB_SUBMITTED",
        "data": {"job_id": "w0!1", "job": job, "profile": profile},
    }
    [submitted] = decode_request(json.dumps({"now": 0, "events": [event]})).events
    assert isinstance(submitted, m.JobSubmitted)
    read = submitted.profile
    times = [getattr(read, name, 1.0) for name in ("duration", "sleep_time", "poll_time")]
    assert 0.0 < min(times) <= 5e-7
    begins = {w: {"p": profile} for w in ("w0",)}
    assert LazyProfiles(begins["w0"], "w0")["p"] == read


GOOD = (
    {
        "type": "SIMULATION_BEGINS",
        "data": {
            "compute_resources": [{"id": 0, "name": "n", "properties": {"role": "", "size": 5}}],
            "storage_resources": [],
            "allow_compute_sharing": False,
            "allow_storage_sharing": True,
            "config": {"a": 1},
            "workloads": {"w0": "w.json"},
            "profiles": {"w0": {"p": {"type": "delay", "delay": 1}}},
        },
    },
    {"type": "JOB_SUBMITTED", "data": {"job_id": "w0!1", "job": {
        "id": "w0!1", "subtime": 0, "walltime": 9, "res": 1, "profile": "p"}}},
    {"type": "JOB_COMPLETED",
     "data": {"job_id": "w0!1", "job_state": "COMPLETED_FAILED", "return_code": 1, "alloc": "0"}},
    {"type": "JOB_KILLED", "data": {"job_ids": ["w0!1"], "job_progress": {}}},
    {"type": "RESOURCE_STATE_CHANGED", "data": {"resources": "0-1", "state": "1"}},
    {"type": "FROM_JOB_MSG", "data": {"job_id": "w0!1", "msg": {}}},
    {"type": "NOTIFY", "data": {"type": "no_more_static_job_to_submit"}},
)  # fmt: skip
WORDS = ("job_id", "job_state", "state", "kind", "resources", "name", "alloc")


def words_in(record: object) -> list[object]:
    """What must be text in an event that was read."""
    found = [value for name in WORDS if (value := getattr(record, name, None)) is not None]
    found += list(getattr(record, "job_ids", ()))
    for host in getattr(record, "compute_resources", ()):
        found += [host.name, *host.properties.values(), *host.zone_properties.values()]
    found += list(getattr(record, "workloads", {}).values())
    return found


@pytest.mark.parametrize("event", GOOD, ids=lambda event: str(event["type"]))
def test_members_of_a_wrong_kind_are_refused_where_they_are_read(event: dict[str, object]) -> None:
    """Every member, at any depth, of every event in turn made something else: a sentence, or a record whose
    ids and states are text (what they weren't ended batfs-proxy with a defect, much later)."""
    odd = (None, True, -1, 2.5, "", "x", [], ["x"], [[1]], {}, {"a": {}}, {"0": []})

    def check(text: str) -> None:
        try:
            request = decode_request(text)
        except ProtocolError:
            return
        for record in request.events:
            assert all(isinstance(word, str) for word in words_in(record)), text
            for profiles in getattr(record, "profiles", {}).values():
                assert isinstance(profiles, LazyProfiles)
                profiles.raw("p")

    def walk(value: object, whole: dict[str, object]) -> None:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
        for key, kept in list(pairs):
            for other in odd:
                value[key] = other  # type: ignore[index]
                check(json.dumps({"now": 0, "events": [whole]}))
            value[key] = kept  # type: ignore[index]
            if isinstance(kept, dict | list):
                walk(kept, whole)

    whole = {"timestamp": 0.0, **json.loads(json.dumps(event))}
    check(json.dumps({"now": 0, "events": [whole]}))
    walk(whole, whole)
