"""Rogue conversations: a decision process, a simulator or a scheduler that says what it should not.

``sim``: recorded ones of Batsim's, something wrong in the decision process's replies. ``sched`` and
``proxy``: a simulator that plays a workload, or repeats what a recorded one said, with something wrong in its
requests; behind the proxy there is a scheduler (first come, first served, or what a recorded one said) that
answers wrongly, too. Who wasn't taken for a simulator calls again and is polite, so that nearly all of them
end by themselves.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import random
import select
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from batfs.decision.zmtp import Conversation
from batfs.errors import BatfsError
from batfs.protocol.v5 import hello
from benchmarks.hostile.children import Child, cases, tell

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "simulator"))  # the rude replies are the tests'
PATIENCE = 60.0
ENOUGH = 60  # exchanges
KINDS = (
    "SIMULATION_BEGINS", "SIMULATION_ENDS", "JOB_SUBMITTED", "JOB_COMPLETED", "JOB_KILLED", "REQUESTED_CALL",
    "RESOURCE_STATE_CHANGED", "ANSWER", "FROM_JOB_MSG", "NOTIFY", "QUERY", "MAGIC", "",
)  # fmt: skip
KINDS_5 = (
    "SimulationBeginsEvent", "SimulationEndsEvent", "JobSubmittedEvent", "JobCompletedEvent",
    "JobsKilledEvent", "RequestedCallEvent", "AllStaticJobsHaveBeenSubmittedEvent",
    "ExternalEventOccurredEvent", "BatsimHelloEvent",
)  # fmt: skip
SETTINGS = (
    "",
    "",
    "",
    '{"policy": "random"}',
    "queue = 'easy'",
    '{"polcy": 1}',
    "x = [",
    "/dev/zero",
    "/nowhere",
)


# ---- who plays the simulator ------------------------------------------------------------------------------


class Played:
    """A simulator of some jobs: executes what it is told to, as far as it understands it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        dynamic = rng.random() < 0.5
        nodes = [
            {"id": k, "name": f"n{k}", "state": "idle", "properties": {"role": ""}, "zone_properties": {}}
            for k in range(4)
        ]
        stores = [{"id": 4 + k, "name": f"s{k}", "state": "idle", "zone_properties": {},
                   "properties": {"role": "storage", "size": "100", "filesystem": rng.choice(["pfs", "bb"])}}
                  for k in range(3)]  # fmt: skip
        io = {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0}
        self.profiles = {
            "io": {**io, "io_reads": 60, "io_writes": 20},
            "huge": {**io, "io_writes": 10**9},
            "plain": io,
            "nap": {"type": "delay", "delay": 5, "io_reads": 7},
            "steps": {"type": "composed", "repeat": 2, "seq": ["io", "plain"]},
        }
        self.config = {
            "redis-enabled": False, "redis-hostname": "127.0.0.1", "redis-port": 6379,
            "redis-prefix": "default",
            "profiles-forwarded-on-submission": rng.random() < 0.5, "dynamic-jobs-enabled": dynamic,
            "dynamic-jobs-acknowledged": rng.random() < 0.2, "profile-reuse-enabled": False,
            "sched-config": rng.choice(SETTINGS), "forward-unknown-events": False,
        }  # fmt: skip
        self.now = 0.0
        self.due: list[tuple[float, str, dict[str, Any]]] = [
            (0.0, "SIMULATION_BEGINS", {
                "nb_resources": 7, "nb_compute_resources": 4, "nb_storage_resources": 3,
                "allow_compute_sharing": False, "allow_storage_sharing": True, "config": self.config,
                "compute_resources": nodes, "storage_resources": stores, "workloads": {"w0": "/w.json"},
                "profiles": {"w0": self.profiles}})
        ]  # fmt: skip
        self.ids = [f"w0!{k}" for k in range(rng.randint(1, 12))]
        for name in self.ids:
            at, profile = rng.uniform(0, 50), rng.choice(list(self.profiles))
            job = {"id": name, "subtime": at, "walltime": 100.0, "res": rng.randint(1, 4), "profile": profile}
            data: dict[str, Any] = {"job_id": name, "job": job}
            if self.config["profiles-forwarded-on-submission"]:
                data["profile"] = self.profiles[profile]
            self.due.append((at, "JOB_SUBMITTED", data))
        self.due.append((60.0, "NOTIFY", {"type": "no_more_static_job_to_submit"}))
        self.alive = set(self.ids)
        self.over = False

    def requests(self) -> Iterator[dict[str, Any]]:
        """The next request, as long as there is one; :meth:`hear` the answer in between."""
        while not self.over:
            if not self.due:
                if self.alive:
                    return  # it would wait for ever
                self.due.append((self.now, "SIMULATION_ENDS", {}))
                self.over = True
            self.due.sort(key=lambda one: one[0])
            self.now = max(self.now, self.due[0][0])
            events = [one for one in self.due if one[0] <= self.now]
            self.due = self.due[len(events) :]
            yield {
                "now": self.now,
                "events": [{"timestamp": at, "type": kind, "data": data} for at, kind, data in events],
            }

    def hear(self, reply: Any) -> None:
        for event in reply.get("events", ()):
            data, kind = event["data"], event["type"]
            if kind == "EXECUTE_JOB":
                done = {"job_id": data["job_id"], "job_state": "COMPLETED_SUCCESSFULLY", "return_code": 0,
                        "alloc": data["alloc"]}  # fmt: skip
                self.due.append((self.now + self.rng.uniform(0.1, 90), "JOB_COMPLETED", done))
                self.alive.discard(data["job_id"])
            elif kind == "REJECT_JOB":
                self.alive.discard(data["job_id"])
            elif kind == "CALL_ME_LATER":
                self.due.append((data["timestamp"], "REQUESTED_CALL", {}))
            elif kind == "KILL_JOB":
                self.due.append((self.now, "JOB_KILLED", {"job_ids": data["job_ids"], "job_progress": {}}))


class Repeated:
    """A recorded simulator, which doesn't listen."""

    def __init__(self, transcript: Path) -> None:
        lines = [json.loads(line) for line in transcript.read_text().splitlines()]
        self.said = [line["request"] for line in lines if "request" in line]
        self.heard = [line["reply"] for line in lines if isinstance(line.get("reply"), dict)]
        self.ids = [
            str(e["data"]["job_id"]) for r in self.said for e in r["events"] if "job_id" in e.get("data", {})
        ]

    def requests(self) -> Iterator[dict[str, Any]]:
        yield from self.said

    def hear(self, reply: Any) -> None:
        pass


def spoiled(rng: random.Random, request: Any, ids: list[str], kinds: tuple[str, ...]) -> bytes:
    """A request with something wrong in it, or bytes that are none."""
    from rogue import ODD, fresh, places

    text = json.dumps(request)
    how = rng.random()
    if how < 0.1:
        data = bytearray(text.encode())
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if how < 0.14:
        return text[: rng.randrange(len(text))].encode()
    if how < 0.18:
        return rng.choice(
            [b"", b"null", b"[]", b"\xff", b"[" * 5000, b"{} {}", b"NaN", b'"x"', b"1e999", b"{}\0"]
        )
    request = json.loads(text)
    for _ in range(rng.choice([1, 1, 2, 5])):
        events = request.get("events")
        if rng.random() < 0.35 and isinstance(events, list):
            event = (
                fresh(rng.choice(events)) if events and rng.random() < 0.5 else {"timestamp": 0, "data": {}}
            )
            if isinstance(event, dict):
                event["type" if "event_type" not in event else "event_type"] = rng.choice(kinds)
                if isinstance(event.get("data"), dict) and rng.random() < 0.8:
                    event["data"]["job_id"] = rng.choice([*ids, "w0!0", "batfs!1"])
                    event["data"]["job_ids"] = [rng.choice([*ids, "w0!0"])]
            events.insert(rng.randint(0, len(events)), event)
            continue
        found = places(request, [])
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
            container[key] = fresh(rng.choice([*ODD, *ids]))
    return json.dumps(request).encode("utf-8", "replace")


# ---- connections ------------------------------------------------------------------------------------------


class End:
    """One end of a ZeroMQ connection over a file, on a plain socket."""

    def __init__(self, stream: socket.socket, kind: bytes) -> None:
        self.stream, self.talk = stream, Conversation(kind)
        self.closed = False
        stream.settimeout(10)
        self.flush()

    def flush(self) -> None:
        due, self.talk.due = self.talk.due, b""
        if due:
            self.raw(due)

    def raw(self, data: bytes) -> None:
        try:
            self.stream.sendall(data)
        except OSError:
            self.closed = True

    def send(self, text: bytes) -> None:
        self.raw(self.talk.message(text))

    def step(self) -> bytes | None:
        """What has come; None if that is no whole message."""
        try:
            data = self.stream.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return None
        try:
            text = self.talk.receive(data)
        except BatfsError:
            self.closed = True
            return None
        self.flush()
        return text


def connected(path: Path, child: Child) -> End | None:
    """A connection to what the child listens on; None if it ends before."""
    while not child.over(0.005):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(str(path))
        except OSError:
            stream.close()
            continue
        end = End(stream, b"REQ")
        while not (end.talk.ready or end.closed):
            end.step()
        return end
    return None


class Served:
    """First come, first served, on as many nodes as there are said to be; for Batsim 4 and 5."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.free: list[int] = []
        self.waiting: list[tuple[str, int]] = []
        self.running: dict[str, list[int]] = {}

    def reply(self, request: Any) -> dict[str, Any]:
        """What it decides; something of ValueError, KeyError, ... for a request that it can't read."""
        five = False
        for event in request["events"]:
            five = "event_type" in event
            kind, data = (event["event_type"], event["event"]) if five else (event["type"], event["data"])
            if kind == "SIMULATION_BEGINS":
                self.free = [host["id"] for host in data["compute_resources"]]
            elif kind == "SimulationBeginsEvent":
                self.free = [host["id"] for host in data["computation_hosts"]]
            elif kind in ("JOB_SUBMITTED", "JobSubmittedEvent"):
                size = data["job"]["resource_request" if five else "res"]
                self.waiting.append((data["job_id"], size))
            elif kind in ("JOB_COMPLETED", "JobCompletedEvent"):
                self.free = sorted([*self.free, *self.running.pop(data["job_id"])])
            elif kind in ("JOB_KILLED", "JobsKilledEvent"):
                for name in data["job_ids"]:
                    self.free = sorted([*self.free, *self.running.pop(name, [])])
        now, out = request["now"], []
        while self.waiting and self.waiting[0][1] <= len(self.free):
            name, size = self.waiting.pop(0)
            self.running[name], self.free = self.free[:size], self.free[size:]
            out.append(self._execute(name, " ".join(map(str, self.running[name])), five))
        if self.running and self.rng.random() < 0.03:
            names = [self.rng.choice(list(self.running))]
            out.append(("KillJobsEvent" if five else "KILL_JOB", {"job_ids": names}))
        if not five and self.rng.random() < 0.05:
            out.append(("CALL_ME_LATER", {"timestamp": now + self.rng.uniform(0.1, 20)}))
        if five:
            return {"now": now, "events": [{"timestamp": now, "event_type": k, "event": d} for k, d in out]}
        return {"now": now, "events": [{"timestamp": now, "type": k, "data": d} for k, d in out]}

    def _execute(self, name: str, hosts: str, five: bool) -> tuple[str, dict[str, Any]]:
        if not five and self.rng.random() < 0.05:
            return "REJECT_JOB", {"job_id": name}
        if not five:
            return "EXECUTE_JOB", {"job_id": name, "alloc": hosts}
        return "ExecuteJobEvent", {"job_id": name, "allocation": {
            "host_allocation": hosts, "executor_placement": {},
            "executor_placement_type": "PredefinedExecutorPlacementStrategyWrapper"}}  # fmt: skip


class Behind:
    """The scheduler behind the proxy, that says something wrong now and then. ``script``: what it says, in
    that order, whatever it hears."""

    def __init__(self, rng: random.Random, listener: socket.socket) -> None:
        self.rng, self.listener, self.end = rng, listener, None
        self.rude = rng.choice([0.0, 0.0, 0.1, 0.5])
        self.ids: list[str] = []
        self.script: list[Any] = []
        self._served = Served(rng)

    def fileno(self) -> int:
        return (self.listener if self.end is None else self.end.stream).fileno()

    def step(self) -> None:
        from rogue import spoiled as spoiled_reply

        if self.end is None:
            self.end = End(self.listener.accept()[0], b"REP")
            return
        text = self.end.step()
        if text is None:
            return
        if hello.is_init(text):
            self.end.send(hello.hello("1") if self.rng.random() > self.rude / 3 else self.rng.randbytes(20))
            return
        framed = text.endswith(b"\0")
        reply: Any
        try:
            request = json.loads(text.rstrip(b"\0"))
            reply = self.script.pop(0) if self.script else self._served.reply(request)
            self.ids = [name for name, _ in self._served.waiting] + list(self._served.running)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            reply = {"now": 0, "events": []}
        rude = self.rng.random() < self.rude
        said = spoiled_reply(self.rng, reply, self.ids) if rude else json.dumps(reply).encode()
        self.end.send(said + b"\0" if framed else said)


# ---- one conversation -------------------------------------------------------------------------------------


def ask(front: End, data: bytes, child: Child, behind: Behind | None, raw: bool = False) -> bytes | None:
    """Send, and wait for the answer; None when there is none."""
    front.raw(data) if raw else front.send(data)
    deadline = time.monotonic() + PATIENCE
    while not front.closed and time.monotonic() < deadline:
        sources: list[Any] = [front.stream] if behind is None or (behind.end and behind.end.closed) else [
            front.stream, behind
        ]  # fmt: skip
        ready = select.select(sources, [], [], 0.2)[0]
        if behind in ready:
            assert behind is not None
            behind.step()
        if front.stream in ready:
            text = front.step()
            if text is not None:
                return text
        if not ready and child.over(0):
            return None
    return None


def converse(
    role: str,
    rng: random.Random,
    scratch: Path,
    recordings: dict[int, list[Path]],
    noted: Path | None = None,
) -> tuple[str, str]:
    """One; how it ended, and what was wrong with it. ``noted``: a file for the modules it needed."""
    from batfs.decision import command, proxy_command

    folder = scratch / "here"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    front_path, back_path = folder / "front", folder / "back"
    words = ["-s", f"ipc://{front_path}", *rng.choice([[], ["-e", "out"], ["--validate"], ["-q"]])]
    behind = None
    if role == "proxy":
        if rng.random() < 0.3:
            words += ["--queue", rng.choice(["pybatsim:schedFcfs", "pybatsim:schedFiller"])]
        else:
            words += ["-t", f"ipc://{back_path}"]
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(back_path))
            listener.listen()
            behind = Behind(rng, listener)
    else:
        words += rng.choice([[], ["--queue", "easy"], ["--policy", "random"], ["--queue", "conservative"]])
    main = command.main if role == "sched" else proxy_command.main

    def work() -> int:
        try:
            return main(words)
        finally:
            if noted is not None:
                noted.write_text("\n".join(sys.modules))

    child = Child(work, folder, [f"batfs-{role}", *words])
    try:
        talk(rng, child, front_path, behind, recordings)
    finally:
        if behind is not None:
            behind.listener.close()
            if behind.end is not None:
                behind.end.stream.close()
    if not child.over(2):  # none of those who called was a simulator: it waits for one
        child.terminate()
    ended = child.end(PATIENCE)
    wrong = ended.wrong()
    if wrong:
        told = ended.said.strip().splitlines()
        wrong += f": {told[-1][:300] if told else ''}"
    return str(ended.code), wrong


def talk(
    rng: random.Random, child: Child, path: Path, behind: Behind | None, recordings: dict[int, list[Path]]
) -> None:
    generation = 5 if rng.random() < 0.25 else 4
    simulator: Played | Repeated = Played(rng)
    if generation == 5 or rng.random() < 0.3:
        repeated = simulator = Repeated(rng.choice(recordings[generation]))
        if behind is not None and rng.random() < 0.5:
            behind.script = repeated.heard
    rude = rng.choice([rng.randrange(12), rng.randrange(12), rng.randrange(40)])
    first = rude == 0
    while (front := connected(path, child)) is not None:
        with contextlib.closing(front.stream):
            if first:  # it is nobody: the one after it is a simulator
                first, rude = False, 1 + rng.randrange(12)
                text = json.dumps(next(simulator.requests())).encode()
                request = json.loads(text)
                odd = spoiled(rng, request, simulator.ids or ["w0!0"], KINDS)
                answer = ask(front, odd, child, behind)
                if answer is not None and not refused(answer):
                    return
                simulator = Played(rng) if isinstance(simulator, Played) else simulator
                continue
            hold(rng, child, front, behind, simulator, rude, generation)
        return


def refused(answer: bytes) -> bool:
    try:
        return "error" in json.loads(answer.rstrip(b"\0"))
    except (ValueError, TypeError, RecursionError):
        return False


def hold(
    rng: random.Random,
    child: Child,
    front: End,
    behind: Behind | None,
    simulator: Played | Repeated,
    rude: int,
    generation: int,
) -> None:
    """A conversation that is polite up to exchange ``rude``."""
    if generation == 5:
        first = hello.init_message(rng.choice(SETTINGS))
        if ask(front, first, child, behind) is None:
            return
    for number, request in enumerate(simulator.requests()):
        if number > ENOUGH or child.over(0):
            return
        text = json.dumps(request).encode()
        if number >= rude and rng.random() < 0.6:
            text = spoiled(rng, request, simulator.ids or ["w0!0"], KINDS if generation == 4 else KINDS_5)
        if generation == 5:
            text += b"\0"
        dice = rng.random() if number >= rude else 1.0
        if dice < 0.02:  # something else than a message
            front.raw(rng.choice([rng.randbytes(40), b"\x01\x00\x01\x00\x00\x00", b"\x02" + b"\xff" * 8]))
        elif dice < 0.03:
            return  # it goes away
        answer = ask(front, text, child, behind)
        if answer is None or refused(answer):
            return
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            simulator.hear(json.loads(answer.rstrip(b"\0")))


def conversations(role: str, count: int, seed: int, workers: int) -> int:
    from batfs.cli.verification import recordings, recordings5

    one: Callable[[random.Random, Path], tuple[str, str]]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        recordings.unpack(place / "4")
        recordings5.unpack(place / "5")
        if role == "sim":
            import rogue

            found = rogue.cases(place / "sim")

            def one(rng: random.Random, scratch: Path) -> tuple[str, str]:
                case = rng.choice(found)

                def work() -> int:
                    rogue.converse(case, rng, scratch)
                    return 0

                ended = Child(work, scratch, ["sim"]).end(PATIENCE)
                wrong = ended.wrong()
                return str(ended.code), wrong and f"{case.name}: {wrong}: {ended.said[-300:]}"

        else:
            recorded = {g: sorted((place / str(g)).glob("cases/*/transcript.jsonl")) for g in (4, 5)}
            warm(role, place, recorded)

            def one(rng: random.Random, scratch: Path) -> tuple[str, str]:
                return converse(role, rng, scratch, recorded)

        return tell(f"conversations {role}", count, seed, cases(count, seed, workers, one))


def warm(role: str, place: Path, recordings: dict[int, list[Path]]) -> None:
    """What the commands import, in this process."""
    import rogue  # noqa: F401

    (place / "warm").mkdir()
    noted = place / "modules"
    for seed in range(12):  # some are only imported in mid-conversation, and none of it in this process
        noted.write_text("")
        converse(role, random.Random(seed), place / "warm", recordings, noted)
        for module in noted.read_text().split():
            if module.partition(".")[0] not in ("__main__", "__mp_main__"):
                with contextlib.suppress(ImportError, KeyError):
                    importlib.import_module(module)
