"""How many durable grants a second the storage service gives, and how long a client waits.

    python -m benchmarks.service [--clients 50] [--seconds 8] [--live 100000] [--json FILE]

An orchestrator process with its ledger file (``synchronous=FULL``), a server process, and a process with the
clients, each with one request under way; requests of one size on 100 disks under ``worst_fit``. Then the
memory of an orchestrator with ``--live`` allocations on 1,000 disks.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import zmq

from batfs.service import messages as m
from batfs.service.backends.simulated import Simulated
from batfs.service.client import Client
from batfs.service.logs import Log
from batfs.service.server import Server

TB = 10**12


def _serve(endpoint: str, disks: int) -> None:
    entries = [m.Disk(name=f"d{i}", capacity=TB) for i in range(disks)]
    Server("s1", entries, Simulated("s1"), endpoint, log=Log("s1", quiet=True)).run()


def _load(endpoint: str, clients: int, seconds: float, total: int, size: int, out: Path) -> None:
    """Ask from ``clients`` sockets for ``seconds``, or until ``total`` grants; write the latencies."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    poller, sent, latencies = zmq.Poller(), {}, []
    for _ in range(clients):
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(endpoint)
        poller.register(socket, zmq.POLLIN)
        socket.send(m.encode(m.RequestSpace(size=size, duration=86400.0)))
        sent[socket] = time.monotonic()
    begin = time.monotonic()
    while time.monotonic() - begin < seconds and len(latencies) < total:
        for socket, _ in poller.poll(100):
            reply = m.decode(socket.recv())
            if not isinstance(reply, m.Reply) or reply.state != "allocated":
                raise SystemExit(f"expected a grant, got {reply}")
            now = time.monotonic()
            latencies.append(now - sent[socket])
            socket.send(m.encode(m.RequestSpace(size=size, duration=86400.0)))
            sent[socket] = now
    took = time.monotonic() - begin
    out.write_text(json.dumps({"grants": len(latencies), "seconds": took, "latencies": sorted(latencies)}))
    context.destroy(0)


def measure(clients: int, seconds: float, total: int, disks: int, size: int) -> dict[str, float]:
    """One run of the three processes; figures as in the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        orchestrator = subprocess.Popen(
            [sys.executable, "-m", "batfs", "service", "orchestrator", "--bind", "tcp://127.0.0.1:*",
             "--ledger", str(folder / "ledger.db"), "--log", str(folder / "log")],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert orchestrator.stdout is not None
        endpoint = orchestrator.stdout.readline().split()[-1]
        server = multiprocessing.Process(target=_serve, args=(endpoint, disks), daemon=True)
        server.start()
        with Client(endpoint) as client:
            while not client.status()["disks"]:
                time.sleep(0.05)
            load = multiprocessing.Process(
                target=_load, args=(endpoint, clients, seconds, total, size, folder / "out.json")
            )
            load.start()
            load.join()
            found = json.loads((folder / "out.json").read_text())
            live = client.status()["leases"]
        memory = int(Path(f"/proc/{orchestrator.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
        ticks = [
            int(x)
            for x in Path(f"/proc/{orchestrator.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        ]
        for process in (server, orchestrator):
            process.terminate()
        orchestrator.wait()
        server.join()
    waits = found["latencies"]
    return {
        "clients": clients,
        "grants_per_s": found["grants"] / found["seconds"],
        **{f"p{p}_ms": 1000 * waits[min(len(waits) - 1, len(waits) * p // 100)] for p in (50, 90, 99)},
        "live": live,
        "orchestrator_cpu_us_per_grant": 1e6
        * sum(ticks)
        / os.sysconf("SC_CLK_TCK")
        / max(1, found["grants"]),
        "orchestrator_MB": memory / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--live", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [measure(n, args.seconds, 10**9, 100, 10**6) for n in (1, args.clients)]
    rows.append(measure(args.clients, 3600.0, args.live, 1000, 10**6))
    heads = list(rows[0])
    print("  ".join(f"{h:>14}" for h in heads))
    for row in rows:
        print("  ".join(f"{row[h]:>14.1f}" for h in heads))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    threading.current_thread().name = "benchmark"
    main()
