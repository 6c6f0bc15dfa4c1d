"""Conversations with a rude decision process: recorded ones of Batsim's, with something wrong in a reply.

``python tests/simulator/rogue.py COUNT [SEED]`` holds so many of them and says how they ended.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from batfs.cli import sim
from batfs.cli.verification.recordings import flags_of, unpack
from batfs.errors import BatfsError
from batfs.protocol import messages as m
from batfs.protocol.simulator_side import decode_reply, encode_request
from batfs.simulator.command import prepare
from batfs.simulator.simulation import simulate

ENOUGH = 400  # requests after which the harness has heard enough
KINDS = (
    *("EXECUTE_JOB", "REJECT_JOB", "KILL_JOB", "CALL_ME_LATER", "SET_RESOURCE_STATE", "SET_JOB_METADATA"),
    *("CHANGE_JOB_STATE", "TO_JOB_MSG", "REGISTER_JOB", "REGISTER_PROFILE", "NOTIFY", "QUERY", "MAGIC", ""),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 4.0, 0.5, -0.0, 1e-9, 1e300, -1e300, 1e18, 2**31, 2**53, 2**63, 2**64),
    *(
        -(2**63),
        "",
        " ",
        "0",
        "0-1",
        "1 0",
        "0-99999999999",
        "5-1",
        "a",
        "w0!0",
        "w0!1",
        "w0!",
        "!",
        "w0!a!b",
    ),
    *(
        "\x00",
        "\ud7ff\n,;\"'",
        "é" * 50,
        "9" * 5000,
        "x" * 3000,
        [],
        {},
        [0],
        [[]],
        ["w0!0", "w0!0"],
        {"": 0},
    ),
    *({"0": 0, "1": 1}, {"0": "0", "1": 7}, [1, 2, 3, 4], [1e308] * 4, {"type": "delay"}),
    *({"type": "delay", "delay": 1}, {"type": "delay", "delay": 1e308}, {"type": "send", "msg": {}}),
    *({"type": "parallel", "cpu": [1], "com": [0]}, {"type": "parallel", "cpu": [1, 1], "com": [1] * 4}),
    *({"type": "parallel_homogeneous", "cpu": 1e308, "com": 1e308}, {"type": "usage_trace", "trace": "x"}),
    *({"type": "composed", "seq": ["a"], "repeat": 3}, {"type": "smpi", "trace": "x"}, {"type": "recv"}),
    *({"type": "parallel_homogeneous_total", "cpu": 5, "com": 0}, {"type": "data_staging", "nb_bytes": 5}),
    *(
        {"alloc": "0", "profile_name": "p"},
        {"alloc": "0-1", "profile_name": "q", "profile": {"type": "delay"}},
    ),
    {
        "alloc": "0-1",
        "profile_name": "r",
        "profile": {"type": "parallel", "cpu": [0, 0], "com": [0, 1e300, 5e-324, 0]},
    },
)


class Heard(Exception):
    """The conversation has lasted long enough."""


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside a JSON value."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, item in items:
        found.append((value, key))
        if isinstance(item, (dict, list)):
            places(item, found)
    return found


def fresh(value: Any) -> Any:
    return json.loads(json.dumps(value))


def spoiled(rng: random.Random, reply: Any, ids: list[str]) -> bytes:
    """A reply with something wrong in it, or some bytes that are none."""
    text = json.dumps(reply)
    how = rng.random()
    if how < 0.06:
        data = bytearray(text.encode())
        for _ in range(rng.randint(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if how < 0.09:
        return text[: rng.randrange(len(text))].encode()
    if how < 0.12:
        return rng.choice(
            [
                b"",
                b"null",
                b"[]",
                b"\xff\xfe",
                b"[" * 5000,
                b'{"a":' * 3000,
                b"{} {}",
                b"NaN",
                b'"x"',
                b"1e999",
            ]
        )
    reply = json.loads(text)
    if not isinstance(reply, dict):
        return text.encode()
    for _ in range(rng.choice([1, 1, 2, 5])):
        events = reply.get("events")
        if rng.random() < 0.45 and isinstance(events, list):
            now = reply.get("now", 0)
            stamp = now if rng.random() < 0.8 else rng.choice(ODD)
            names = ("job_id", "alloc", "job_ids", "timestamp", "profile", "profile_name", "workload_name")
            names += ("job", "metadata", "job_state", "type", "mapping", "additional_io_job", "msg")
            usual = {
                "job_id": rng.choice([*ids, "w0!0"]),
                "alloc": rng.choice(["0", "1", "0-1", "2", "0-3"]),
                "job_ids": [rng.choice([*ids, "w0!0"])],
                "timestamp": rng.choice([0.5, 3, 1e5]),
                "metadata": "m",
                "job_state": rng.choice(["RUNNING", "REJECTED", "COMPLETED_KILLED", "COMPLETED_FAILED"]),
                "type": rng.choice(["registration_finished", "continue_registration"]),
                "msg": "hello",
                "workload_name": rng.choice(["w0", "new"]),
                "profile_name": rng.choice(["p", "q"]),
                "profile": fresh(rng.choice([v for v in ODD if isinstance(v, dict)])),
                "job": {"id": "new!1", "subtime": 0, "res": 1, "profile": "p"},
            }
            kind = rng.choice(KINDS)
            wanted = {
                "EXECUTE_JOB": ["job_id", "alloc"],
                "REJECT_JOB": ["job_id"],
                "KILL_JOB": ["job_ids"],
                "CALL_ME_LATER": ["timestamp"],
                "SET_JOB_METADATA": ["job_id", "metadata"],
                "CHANGE_JOB_STATE": ["job_id", "job_state"],
                "TO_JOB_MSG": ["job_id", "msg"],
                "REGISTER_JOB": ["job_id", "job"],
                "REGISTER_PROFILE": ["workload_name", "profile_name", "profile"],
                "NOTIFY": ["type"],
            }.get(kind, ["job_id"])
            data = {name: usual.get(name) for name in wanted}
            if rng.random() < 0.4:
                data[rng.choice(names)] = fresh(rng.choice(ODD))
            events.insert(rng.randint(0, len(events)), {"timestamp": stamp, "type": kind, "data": data})
            continue
        found = places(reply, [])
        if not found:
            break
        container, key = rng.choice(found)
        change = rng.random()
        if change < 0.15 and isinstance(container, dict):
            del container[key]
        elif change < 0.25 and isinstance(container, list):
            container.append(fresh(container[key]))
        elif change < 0.35 and isinstance(container, dict):
            container[str(rng.choice(ODD))[:40]] = container.pop(key)
        else:
            container[key] = fresh(rng.choice([*ODD, *ids])) if change < 0.9 else rng.choice(KINDS)
    return json.dumps(reply).encode("utf-8", "replace")


class Rogue:
    """Answers as recorded, then rudely from some reply on."""

    def __init__(self, replies: list[Any], rng: random.Random, profiles: bool) -> None:
        self.replies = replies
        self.rng = rng
        self.rude = rng.randrange(len(replies)) if replies else 0
        self.profiles = profiles
        self.asked = 0
        self.ids: list[str] = []

    def decide(self, request: m.Request) -> m.Reply:
        encode_request(request, profiles=self.profiles)
        for event in request.events:
            if isinstance(event, m.JobSubmitted):
                self.ids.append(event.job.id)
        k = self.asked
        self.asked += 1
        if k > ENOUGH:
            raise Heard
        reply = self.replies[k] if k < len(self.replies) else {"now": request.now, "events": []}
        if isinstance(reply, dict) and k > self.rude:
            reply = {**reply, "now": max(request.now, reply["now"])}
        if k < self.rude or self.rng.random() < 0.3:
            return decode_reply(reply if isinstance(reply, str) else json.dumps(reply))
        return decode_reply(spoiled(self.rng, reply, self.ids))


def converse(case: Path, rng: random.Random, folder: Path) -> str:
    """One conversation; how it ended. Anything but a BatfsError of one line is raised."""
    parser = argparse.ArgumentParser()
    sim.add_arguments(parser)
    flags = flags_of(case)
    if rng.random() < 0.5:
        flags = [*flags, "--enable-dynamic-jobs"]
    before = Path.cwd()
    os.chdir(case)
    try:
        args = parser.parse_args([*flags, "-e", str(folder / "out")])
        platform, machine, workloads, options = prepare(args)
        lines = [json.loads(line) for line in (case / "transcript.jsonl").read_text().splitlines()]
        replies = [line.get("reply", line.get("reply_raw")) for line in lines if "request" not in line]
        simulate(platform, machine, workloads, Rogue(replies, rng, options.forward_profiles), options)
    except Heard:
        return "heard enough"
    except BatfsError as error:
        if "\n" in str(error) or len(str(error)) > 2000:
            raise AssertionError(f"no sentence: {str(error)[:2000]!r}") from None
        return "refused"
    finally:
        os.chdir(before)
    return "ended"


def cases(folder: Path) -> list[Path]:
    """The recorded cases, unpacked into ``folder``; without those whose solver takes its time."""
    unpack(folder)
    return sorted(path for path in (folder / "cases").iterdir() if "solver" not in path.name)


def main() -> None:
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        found = cases(Path(name))
        for k in range(count):
            rng = random.Random(f"{seed}-{k}")
            case = rng.choice(found)
            try:
                ends[converse(case, rng, Path(name))] += 1
            except BaseException:
                print(f"conversation {seed}-{k} with {case.name}:", file=sys.stderr)
                raise
    print(dict(ends))


if __name__ == "__main__":
    main()
