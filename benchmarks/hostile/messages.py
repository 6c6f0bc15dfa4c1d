"""Mutated messages against a running orchestrator, and commands over damaged files: what comes of them.

    python -m benchmarks.hostile messages [--count 1000000] [--seed 1]
    python -m benchmarks.hostile lines [--count 100000] [--seed 1]

``messages`` starts an orchestrator process with a ledger and one server, and sends it ``--count`` frames as
whoever may say everything on loopback (client, operator and server in one): good ones, mutated ones, and
some of the kinds that once ended an orchestrator. At the end every lease can be released and the books come
out empty; nothing counts as ``internal``, memory stays bounded. ``lines`` runs whole commands in one process,
each over a file that was cut or changed; every one must return a documented exit code without a traceback.
Exit code 1 for a finding.
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
from pathlib import Path

import zmq

from batfs.service import messages as m
from batfs.service.client import Client

ROOT = Path(__file__).parents[1]
CODES = (0, 1, 2, 141)
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


def messages(count: int, seed: int) -> int:
    rng = random.Random(seed)
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        words = [sys.executable, "-m", "batfs", "service", "orchestrator", "--bind", "tcp://127.0.0.1:*",
                 "--ledger", str(folder / "l.db"), "--log", str(folder / "log"),
                 "--block-size", "1GB"]  # fmt: skip
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[-1]
        (folder / "s.yml").write_text(
            "hosts:\n- hostname: s1\n  ipv4: 127.0.0.1\n  network_bw: 1\n  disks: [{vendor: v, model: m,"
            " serial: s, capacity: 1000, read_bandwidth: 1, write_bandwidth: 1}]\n"
        )
        server = subprocess.Popen(
            [sys.executable, "-m", "batfs", "service", "server", "--system", str(folder / "s.yml"),
             "--connect", endpoint, "--log", str(folder / "server.log")], cwd=ROOT,
        )  # fmt: skip
        begin = time.monotonic()
        with Client(endpoint, timeout=60) as client, zmq.Context() as context:
            while not client.status()["disks"]:
                time.sleep(0.05)
            lease = client.request(10**9, 10 * 86400.0).lease
            frames = good(lease)
            socket = context.socket(zmq.DEALER)
            socket.linger, socket.sndhwm, socket.rcvhwm = 0, 500, 0
            socket.connect(endpoint)
            half = 0
            for number in range(count):
                sent = [mutated(rng, frames) if rng.random() < 0.8 else rng.choice(frames)]
                if rng.random() < 0.01:
                    sent *= rng.randrange(2, 50)
                socket.send_multipart(sent)
                if number % 200 == 0:
                    while socket.poll(0):
                        socket.recv_multipart()
                if number == count // 2:
                    half = resident(process.pid)
                if number % 1000 == 0 and process.poll() is not None:
                    findings.append(f"the orchestrator ended with {process.poll()} before message {number}")
                    break
            if process.poll() is None:
                counters = client.status()["counters"]
                for left in client.leases(everybody=True):
                    client.release(left["lease"])
                deadline = time.monotonic() + 30
                while client.leases(everybody=True) and time.monotonic() < deadline:
                    time.sleep(0.2)
                status = client.status()
                books = status["reserved"], sum(disk["present"] for disk in status["disks"])
                if any(books) or client.leases(everybody=True):
                    findings.append(f"all was released, and the books say {books}")
                if counters.get("refused_internal"):
                    findings.append(f"{counters['refused_internal']} messages met a defect; see the log")
                grown = (resident(process.pid) - half) / 2**20
                if grown > 256:
                    findings.append(f"memory grew by {grown:.0f} MiB over the second half")
                print(json.dumps({"messages": count, "seed": seed, "seconds": round(time.monotonic() - begin),
                                  "grown_MiB": round(grown, 1), "counters": counters}))  # fmt: skip
            socket.close()
        defects = [x for x in (folder / "log").read_text().splitlines() if '"event":"defect"' in x]
        findings += defects[:5]
        for child in (server, process):
            child.terminate()
            child.wait()
    for finding in findings:
        print("FOUND", finding)
    return 1 if findings else 0
