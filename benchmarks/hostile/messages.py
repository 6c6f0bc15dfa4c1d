"""Mutated messages against running processes of the storage service, a role at a time.

``anybody`` says everything to an orchestrator on loopback; ``client``, ``operator`` and ``server`` have a key
of their role; ``orchestrator`` says everything to a server. Good messages, mutated ones, those that once
ended an orchestrator. At the end every lease can be released and the books come out empty; nothing counts as
``internal``, memory stays bounded.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import zmq

from batfs.service import messages as m
from batfs.service.auth import KeyPair, add_to_allow_list, connect_with, make_keys, read_key
from batfs.service.client import Client

ROOT = Path(__file__).parents[1]
MOST_GROWN = 256  # MiB over the second half
IN_FLIGHT = 200
VALUES = (
    None, -1, 0, 1, 2**31, 2**61, 2**63, 2**64, 10**30, 1e-9, 1e308, -0.0, "", "x" * 2000, "L1", "L²",
    "\0", "..", "a/b", [], {}, [[[]]], True, {"count": "abc"}, {"count": 1e300}, [1] * 5000,
)  # fmt: skip


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def good(lease: str) -> list[bytes]:
    return [
        m.encode(message)
        for message in (
            m.RequestSpace(size=1000, duration=0.5, options={"count": 1}),
            m.RequestSpace(size=10**13, duration=5.0, wait=1.0),
            m.RequestSpace(size=10, duration=5.0, start=time.time() + 1),
            m.ReleaseLease(lease="L2"),
            m.ExtendLease(lease="L2", duration=10.0),
            m.ListLeases(all=True),
            m.GetStatus(history=True),
            m.ForgetServer(server="nobody"),
            m.PassTime(),
            m.RegisterServer(server="evil", disks=[m.Disk(name="d0", capacity=5)], backend="x", more=1),
            m.HeldToo(server="evil", of="x", held={"L1/d0": 5}),
            m.Heartbeat(server="evil"),
            m.Provisioned(server="evil", lease="L2", disk="d0", connection={"a": 1}),
            m.ProvisionFailed(server="evil", lease="L2", disk="d0", reason="no"),
            m.Removed(server="evil", lease="L2", disk="d0"),
            m.LogRecords(component="c", records=[{"a": 1}]),
        )
    ]


def mutated(rng: random.Random, frames: list[bytes]) -> bytes:
    """A frame nobody should send."""
    frame = bytearray(rng.choice(frames))
    kind = rng.randrange(9)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        frame[rng.randrange(len(frame))] = rng.randrange(256)
    elif kind == 2:
        del frame[rng.randrange(len(frame)) :]
    elif kind == 3:
        at = rng.randrange(len(frame))
        frame[at:at] = frame[at : at + rng.randrange(60)]
    elif kind == 8:
        at = frame.rfind(b":") + 1
        frame[at:at] = nested(rng.choice([3, 300, 3000])) + b","
    else:
        body = json.loads(bytes(frame))
        body["id"], body["sent"] = f"{rng.getrandbits(60):x}", time.time()
        if kind in (4, 5):
            body[rng.choice(list(body))] = rng.choice(VALUES)
        elif kind == 6:
            body.pop(rng.choice(list(body)))
        else:
            body["type"] = rng.choice([*m.OPERATOR, *m.SERVER, *m.ANSWERS])
        with contextlib.suppress(ValueError, TypeError):
            return json.dumps(body).encode()
    return bytes(frame)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def killers() -> list[bytes]:
    """Kinds of messages that once ended an orchestrator, each with an id of its own."""

    def frame(kind: str, members: str) -> bytes:
        head = f'{{"v":1,"type":"{kind}","id":"{uuid.uuid4().hex}","sent":{time.time():f}'
        return f"{head},{members}}}".encode() if members else f"{head}}}".encode()

    disks = ",".join(f'{{"name":"d{i}","capacity":{2**61}}}' for i in range(8))
    return [
        frame("request", '"size":1000,"duration":1e-9'),
        frame("request", '"size":1000,"duration":5e-324'),
        frame("request", '"size":1000,"duration":60,"options":{"count":"abc"}'),
        frame("request", '"size":1000,"duration":60,"options":{"count":1e300}'),
        frame("request", '"size":1000,"duration":60,"options":{"a":' + nested(300).decode() + "}"),
        frame("log", '"component":"x","records":[{"a":' + nested(500).decode() + "}]"),
        b'{"v":' + nested(1000) + b',"type":"status","id":"a","sent":1}',
        frame("request", f'"size":{2**61},"duration":60'),
        frame("request", f'"size":{10**400},"duration":60'),
        frame("request", '"size":1,"duration":1,"start":1e308'),
        frame("request", '"size":1,"duration":1,"host":"\\ud800"'),
        frame("pass_time", ""),
        frame("register", '"server":"evil","backend":"x","disks":[' + disks + "]"),
        frame("provisioned", '"server":"s1","lease":"L\u00b2","disk":"d0","connection":{}'),
        frame("release", f'"lease":"L{"9" * 900}"'),
        frame("register", '"server":"a/b","backend":"x","disks":[{"name":"c","capacity":1}]'),
        frame("list", f'"after":{2**61}'),
        frame("held", '"server":"s1","of":"x","held":{}'),
    ]


def answers() -> list[bytes]:
    """What an orchestrator may say to a server."""
    return [
        m.encode(message)
        for message in (
            m.Welcome(heartbeat=1.0),
            m.RegisterAgain(),
            m.Provision(lease="L1", disk="d0", size=1000, user="alice", host=""),
            m.Provision(lease="L2", disk="nowhere", size=2**60, user="alice", host=""),
            m.Remove(lease="L1", disk="d0"),
            m.Reply(id="a", state="refused", reason="no"),
        )
    ]


SYSTEM = (
    "hosts:\n- hostname: s1\n  ipv4: 127.0.0.1\n  network_bw: 1\n  disks: [{vendor: v, model: m,"
    " serial: s, capacity: 1000, read_bandwidth: 1, write_bandwidth: 1}]\n"
)


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "batfs", "service", *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def pour(
    socket: zmq.Socket[Any], head: list[bytes], rng: random.Random, frames: list[bytes], number: int
) -> None:
    """One message, good, mutated or one of the killers; now and then of many parts."""
    dice = rng.random()
    frame = (
        rng.choice(killers()) if dice < 0.02 else mutated(rng, frames) if dice < 0.8 else rng.choice(frames)
    )
    sent = [frame] * rng.randrange(2, 50) if rng.random() < 0.01 else [frame]
    socket.send_multipart([*head, *sent])
    if number % IN_FLIGHT == 0:
        while socket.poll(0):
            socket.recv_multipart()


def messages(role: str, count: int, seed: int) -> int:
    rng = random.Random(seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "s.yml").write_text(SYSTEM)
        told: dict[str, Any]
        if role == "orchestrator":
            findings, told = to_a_server(rng, count, folder)
        else:
            findings, told = to_an_orchestrator(role, rng, count, folder)
        for log in folder.glob("*log"):
            findings += [x for x in log.read_text().splitlines() if '"event":"defect"' in x][:5]
    print(json.dumps({"messages": count, "role": role, "seed": seed,
                      "seconds": round(time.monotonic() - begin), **told}))  # fmt: skip
    for finding in findings:
        print("FOUND", finding[:2000])
    return 1 if findings else 0


def to_an_orchestrator(
    role: str, rng: random.Random, count: int, folder: Path
) -> tuple[list[str], dict[str, Any]]:
    findings: list[str] = []
    told: dict[str, Any] = {}
    words = ["orchestrator", "--bind", "tcp://127.0.0.1:*", "--ledger", str(folder / "l.db"), "--log",
             str(folder / "log"), "--block-size", "1GB"]  # fmt: skip
    more: list[str] = []
    mine: tuple[KeyPair, KeyPair] | None = None
    boss: tuple[KeyPair, KeyPair] | None = None
    if role != "anybody":
        for name in ("main", "s1", "evil", "boss"):
            make_keys(folder, name)
        (folder / "allowed").write_text("")
        for kind, name in (("server", "s1"), (role, "evil"), ("operator", "boss")):
            add_to_allow_list(folder / "allowed", kind, name, folder / f"{name}.key")
        words += ["--key", str(folder / "main.key_secret"), "--allow", str(folder / "allowed")]
        more = ["--key", str(folder / "s1.key_secret"), "--orchestrator-key", str(folder / "main.key")]
        public = read_key(folder / "main.key")
        mine = read_key(folder / "evil.key_secret"), public
        boss = read_key(folder / "boss.key_secret"), public
    process = started(*words)
    assert process.stdout is not None
    endpoint = process.stdout.readline().split()[-1]
    server = started("server", "--system", str(folder / "s.yml"), "--connect", endpoint,
                     "--log", str(folder / "server.log"), *more)  # fmt: skip
    with Client(endpoint, timeout=120, keys=boss) as client, zmq.Context() as context:
        while not client.status()["disks"]:
            time.sleep(0.05)
        frames = good(client.request(10**9, 10 * 86400.0).lease)
        socket: zmq.Socket[Any] = context.socket(zmq.DEALER)
        socket.linger, socket.sndhwm, socket.rcvhwm = 0, 500, 0
        if mine is not None:
            connect_with(socket, *mine)
        socket.connect(endpoint)
        half = 0
        for number in range(count):
            pour(socket, [], rng, frames, number)
            if number == count // 2:
                half = resident(process.pid)
            if number % 1000 == 0 and process.poll() is not None:
                return [f"the orchestrator ended with {process.poll()} before message {number}"], told
        counters = client.status()["counters"]
        for left in client.leases(everybody=True):
            client.release(left["lease"])
        deadline = time.monotonic() + 60
        while client.leases(everybody=True) and time.monotonic() < deadline:
            time.sleep(0.2)
        status = client.status()
        books = status["reserved"], sum(disk["present"] for disk in status["disks"])
        # bytes on a server that only the messages know of are nobody's to remove
        mine_only = [d["present"] for d in status["disks"] if d["server"] == "s1"]
        if books[0] or any(mine_only):
            findings.append(f"all was released, and the books say {books}")
        if counters.get("refused_internal"):
            findings.append(f"{counters['refused_internal']} messages met a defect; see the log")
        grown = (resident(process.pid) - half) / 2**20
        if grown > MOST_GROWN:
            findings.append(f"memory grew by {grown:.0f} MiB over the second half")
        told = {"grown_MiB": round(grown, 1), "resident_MiB": round(resident(process.pid) / 2**20),
                "counters": counters}  # fmt: skip
        socket.close()
    for child in (server, process):
        child.terminate()
        code = child.wait(60)
        if code:
            findings.append(f"a process ended with {code}")
    return findings, told


def to_a_server(rng: random.Random, count: int, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Said by who stands where the orchestrator is expected."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger, socket.sndhwm, socket.rcvhwm = 0, 500, 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        server = started("server", "--system", str(folder / "s.yml"), "--connect",
                         f"tcp://127.0.0.1:{port}", "--log", str(folder / "server.log"))  # fmt: skip
        address, _ = socket.recv_multipart()
        socket.send_multipart([address, m.encode(m.Welcome(heartbeat=1.0))])
        frames, half = answers(), 0
        for number in range(count):
            pour(socket, [address], rng, frames, number)
            if number % IN_FLIGHT == 0:
                # it reads as fast as it can; what is more would be dropped
                while not socket.poll(0, zmq.POLLOUT):
                    time.sleep(0.001)
            if number == count // 2:
                half = resident(server.pid)
            if number % 1000 == 0 and server.poll() is not None:
                return [f"the server ended with {server.poll()} before message {number}"], {}
        # it still does what it is told
        done, deadline = False, time.monotonic() + 120
        while not done and time.monotonic() < deadline:
            socket.send_multipart(
                [address, m.encode(m.Provision(lease="L77", disk="nowhere", size=5, user="u"))]
            )
            while socket.poll(500):
                done = done or b'"L77"' in socket.recv_multipart()[-1]
        grown = (resident(server.pid) - half) / 2**20
        findings = [] if done else ["the server doesn't answer any more"]
        if grown > MOST_GROWN:
            findings.append(f"memory grew by {grown:.0f} MiB over the second half")
        server.terminate()
        code = server.wait(60)
        if code:
            findings.append(f"the server ended with {code}")
    return findings, {"grown_MiB": round(grown, 1)}
